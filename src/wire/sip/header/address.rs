//! Addresses: From, To, Contact, Route, P-Asserted-Identity and whatever else has their form.

use crate::wire::Fault;
use crate::wire::sip::uri::{Params, Uri};

/// A name-addr or addr-spec with parameters: From, To, Contact, Route, Record-Route, Referred-By,
/// P-Asserted-Identity and others (RFC 3261 20.10, 25.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NameAddr<'a> {
    /// The display name as written, quotes included.
    pub display: Option<&'a str>,
    /// The URI; `*` of a Contact is an error here.
    pub uri: Uri<'a>,
    /// The header parameters.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Parses one element. Without angle brackets, parameters belong to the header (RFC 3261 20).
    ///
    /// # Errors
    ///
    /// When brackets or quotes do not balance, or the URI is malformed.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let Parts { display, uri, at, params } = Parts::of(text)?;
        let uri = Uri::parse(uri).map_err(|inner| inner.at(at))?;
        Ok(Self { display, uri, params })
    }

    /// The tag parameter.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag")
    }

    /// The display name without quotes and escapes.
    pub fn name(&self) -> Option<String> {
        self.display.map(super::unquote)
    }

    /// `expires` of a Contact, in seconds.
    pub fn expires(&self) -> Option<u32> {
        super::seconds(self.params.get("expires")?).ok()
    }

    /// `cid` of a Referred-By, without quotes (RFC 3892 3).
    pub fn cid(&self) -> Option<String> {
        self.params.get("cid").map(super::unquote)
    }

    /// The instance of `+sip.instance` without quotes and angle brackets (RFC 5626 4.1).
    pub fn instance(&self) -> Option<&'a str> {
        self.params.get("+sip.instance").map(bare_instance)
    }

    /// Whether this is a focus (RFC 4579 5.1).
    pub fn is_focus(&self) -> bool {
        self.params.has("isfocus")
    }
}

/// The tag of a From or To value, whatever its URI is like.
pub fn tag_of(value: &str) -> Option<&str> {
    Parts::of(value).ok()?.params.get("tag")
}

/// An element cut into its parts, the URI unread.
struct Parts<'a> {
    display: Option<&'a str>,
    uri: &'a str,
    /// Where the URI stands.
    at: usize,
    params: Params<'a>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, Fault> {
        let fault = |offset, expected| Fault::new("sip-name-addr", offset, expected);
        let open = open_bracket(text).map_err(|offset| fault(offset, "a closing quote"))?;
        let Some(open) = open else {
            let end = memchr::memchr(b';', text.as_bytes()).unwrap_or(text.len());
            return Ok(Self { display: None, uri: text[..end].trim_ascii_end(), at: 0, params: Params(&text[end..]) });
        };
        let close = open + memchr::memchr(b'>', &text.as_bytes()[open..]).ok_or(fault(text.len(), "a closing bracket"))?;
        let rest = text[close + 1..].trim_ascii_start();
        if !rest.is_empty() && !rest.starts_with(';') {
            return Err(fault(close + 1, "a semicolon or the end"));
        }
        let display = Some(text[..open].trim_ascii()).filter(|display| !display.is_empty());
        Ok(Self { display, uri: &text[open + 1..close], at: open + 1, params: Params(rest) })
    }
}

/// The instance inside `"<…>"`.
pub fn bare_instance(value: &str) -> &str {
    value.trim_matches('"').trim_start_matches('<').trim_end_matches('>')
}

/// The first `<` outside a quoted string; `Err` with the place of an unclosed quote.
fn open_bracket(text: &str) -> Result<Option<usize>, usize> {
    let bytes = text.as_bytes();
    // Most values begin with their bracket.
    if bytes.first() == Some(&b'<') {
        return Ok(Some(0));
    }
    let mut at = 0;
    while let Some(next) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'<', rest)).map(|found| at + found) {
        if bytes[next] == b'<' {
            return Ok(Some(next));
        }
        at = super::quote_end(bytes, next).ok_or(next)? + 1;
    }
    Ok(None)
}

/// One Contact element (RFC 3261 20.10).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contact<'a> {
    /// `*`: all bindings of the user (RFC 3261 10.2.2).
    Any,
    /// An address.
    Address(NameAddr<'a>),
}

impl<'a> Contact<'a> {
    /// Parses one element.
    ///
    /// # Errors
    ///
    /// When it is neither `*` nor an address.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        if text == "*" { Ok(Self::Any) } else { NameAddr::parse(text).map(Self::Address) }
    }

    /// The address.
    pub const fn address(self) -> Option<NameAddr<'a>> {
        match self {
            Self::Any => None,
            Self::Address(address) => Some(address),
        }
    }
}
