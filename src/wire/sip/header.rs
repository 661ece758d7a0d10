//! Typed values of header fields, each a view into its text.

use std::fmt;

use super::uri::{Host, Params, Uri, host_port};
use crate::wire::Fault;

/// The elements of a comma-separated value; commas inside quotes and angle brackets do not count.
pub fn list(value: &str) -> impl Iterator<Item = &str> {
    split(value, b',')
}

/// Splits at `separator` outside quoted strings and angle brackets; parts are trimmed.
pub(super) fn split(value: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let at = separator_at(text, separator);
        rest = at.map(|at| &text[at + 1..]);
        Some(text[..at.unwrap_or(text.len())].trim_matches([' ', '\t', '\r', '\n']))
    })
}

fn separator_at(text: &str, separator: u8) -> Option<usize> {
    let (mut quoted, mut escaped, mut angle) = (false, false, false);
    text.bytes().position(|byte| {
        if escaped {
            escaped = false;
        } else if quoted {
            escaped = byte == b'\\';
            quoted = byte != b'"';
        } else {
            match byte {
                b'"' => quoted = true,
                b'<' => angle = true,
                b'>' => angle = false,
                _ => return byte == separator && !angle,
            }
        }
        false
    })
}

/// A non-negative number of digits only.
///
/// # Errors
///
/// When it is empty, holds anything but digits, or does not fit.
pub fn number(text: &str) -> Result<u64, Fault> {
    let fault = Fault::new("number", 0, "digits");
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fault);
    }
    text.parse().map_err(|_| fault)
}

/// Removes the quotes and escapes of a quoted string; other text is returned as it is.
pub fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else { return text.to_owned() };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        out.extend(if char == '\\' { chars.next() } else { Some(char) });
    }
    out
}

/// One Via element (RFC 3261 20.42).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Via<'a> {
    /// The transport token.
    pub transport: &'a str,
    /// The host of sent-by.
    pub host: Host<'a>,
    /// The port of sent-by.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Parses one element.
    ///
    /// # Errors
    ///
    /// When protocol, transport or sent-by is malformed.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let fault = |offset, expected| Fault::new("sip-via", offset, expected);
        let after = slash_words(text).ok_or(fault(0, "SIP/2.0/ and a transport"))?;
        let (transport, rest_at) = after;
        let rest = &text[rest_at..];
        let params_at = memchr::memchr(b';', rest.as_bytes()).unwrap_or(rest.len());
        let (host, port) = host_port(rest[..params_at].trim()).map_err(|inner| fault(rest_at + inner.offset, inner.expected))?;
        Ok(Self { transport, host, port, params: Params(&rest[params_at..]) })
    }

    /// The branch.
    pub fn branch(&self) -> Option<&'a str> {
        self.params.get("branch")
    }
}

/// Reads `SIP / 2.0 / transport LWS` and returns the transport and where sent-by starts.
fn slash_words(text: &str) -> Option<(&str, usize)> {
    let first = text.find('/')?;
    let second = first + 1 + text[first + 1..].find('/')?;
    if !text[..first].trim().eq_ignore_ascii_case("SIP") || text[first + 1..second].trim() != "2.0" {
        return None;
    }
    let rest = &text[second + 1..];
    let lead = rest.len() - rest.trim_start().len();
    let end = lead + rest[lead..].find(char::is_whitespace)?;
    (end > lead).then(|| (&rest[lead..end], second + 1 + end + (rest[end..].len() - rest[end..].trim_start().len())))
}

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
        let fault = |offset, expected| Fault::new("sip-name-addr", offset, expected);
        let open = open_bracket(text).map_err(|offset| fault(offset, "a closing quote"))?;
        let Some(open) = open else {
            let at = memchr::memchr(b';', text.as_bytes()).unwrap_or(text.len());
            return Ok(Self { display: None, uri: Uri::parse(text[..at].trim_end())?, params: Params(&text[at..]) });
        };
        let close = open + memchr::memchr(b'>', &text.as_bytes()[open..]).ok_or(fault(text.len(), "a closing bracket"))?;
        let uri = Uri::parse(&text[open + 1..close]).map_err(|inner| inner.at(open + 1))?;
        let rest = text[close + 1..].trim_start();
        if !rest.is_empty() && !rest.starts_with(';') {
            return Err(fault(close + 1, "a semicolon or the end"));
        }
        let display = text[..open].trim();
        Ok(Self { display: (!display.is_empty()).then_some(display), uri, params: Params(rest) })
    }

    /// The tag parameter.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag")
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

/// The instance inside `"<…>"`.
pub fn bare_instance(value: &str) -> &str {
    value.trim_matches('"').trim_start_matches('<').trim_end_matches('>')
}

/// The first `<` outside a quoted string; `Err` with the place of an unclosed quote.
fn open_bracket(text: &str) -> Result<Option<usize>, usize> {
    let (mut quoted, mut escaped) = (None, false);
    for (at, byte) in text.bytes().enumerate() {
        match (quoted, byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(_), b'"') => quoted = None,
            (None, b'"') => quoted = Some(at),
            (None, b'<') => return Ok(Some(at)),
            _ => {}
        }
    }
    quoted.map_or(Ok(None), Err)
}

/// CSeq (RFC 3261 20.16).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CSeq<'a> {
    /// The sequence number, below 2^31 in a valid message.
    pub number: u32,
    /// The method.
    pub method: &'a str,
}

impl<'a> CSeq<'a> {
    /// Parses the value.
    ///
    /// # Errors
    ///
    /// When the number or the method is missing or malformed.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let fault = |offset, expected| Fault::new("sip-cseq", offset, expected);
        let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
        let number = text[..end].parse().map_err(|_| fault(0, "a number below 2^32"))?;
        let method = text[end..].trim();
        if method.is_empty() || method.contains(char::is_whitespace) {
            return Err(fault(end, "one method"));
        }
        Ok(Self { number, method })
    }
}

/// One Reason value (RFC 3326).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reason<'a> {
    /// The protocol, compared in any letter case.
    pub protocol: &'a str,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> Reason<'a> {
    /// Parses one element.
    ///
    /// # Errors
    ///
    /// When the protocol is missing.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let at = memchr::memchr(b';', text.as_bytes()).unwrap_or(text.len());
        let protocol = text[..at].trim();
        if protocol.is_empty() {
            return Err(Fault::new("sip-reason", 0, "a protocol"));
        }
        Ok(Self { protocol, params: Params(&text[at..]) })
    }

    /// The cause, when it is a number.
    pub fn cause(&self) -> Option<u64> {
        number(self.params.get("cause")?).ok()
    }

    /// The text without quotes.
    pub fn text(&self) -> Option<String> {
        self.params.get("text").map(unquote)
    }
}

/// One Accept-Contact value (RFC 3841 9.2): `*` and feature parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AcceptContact<'a> {
    /// The parameters: feature tags, `require`, `explicit`.
    pub params: Params<'a>,
}

impl<'a> AcceptContact<'a> {
    /// Parses one element.
    ///
    /// # Errors
    ///
    /// When it does not start with `*`.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let rest = text.strip_prefix('*').ok_or(Fault::new("sip-accept-contact", 0, "an asterisk"))?;
        Ok(Self { params: Params(rest.trim_start()) })
    }

    /// The wanted instance.
    pub fn instance(&self) -> Option<&'a str> {
        self.params.get("+sip.instance").map(bare_instance)
    }
}

/// Who refreshes a session (RFC 4028 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refresher {
    /// The UAC of the transaction that carries the header.
    Uac,
    /// Its UAS.
    Uas,
}

impl fmt::Display for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uac => "uac",
            Self::Uas => "uas",
        })
    }
}

/// Session-Expires (RFC 4028 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionExpires {
    /// The interval in seconds.
    pub seconds: u32,
    /// The refresher, when it is named.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Parses the value.
    ///
    /// # Errors
    ///
    /// When the interval is no number or the refresher is neither `uac` nor `uas`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let fault = |offset, expected| Fault::new("sip-session-expires", offset, expected);
        let at = memchr::memchr(b';', text.as_bytes()).unwrap_or(text.len());
        let seconds = number(text[..at].trim()).ok().and_then(|seconds| u32::try_from(seconds).ok());
        let refresher = match Params(&text[at..]).get("refresher") {
            None => None,
            Some(token) if token.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(token) if token.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            Some(_) => return Err(fault(at, "refresher=uac or refresher=uas")),
        };
        Ok(Self { seconds: seconds.ok_or(fault(0, "seconds"))?, refresher })
    }
}

/// A token with parameters: Event, Subscription-State, Content-Disposition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token<'a> {
    /// The token.
    pub value: &'a str,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> Token<'a> {
    /// Parses the value.
    ///
    /// # Errors
    ///
    /// When the token is missing.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let at = memchr::memchr(b';', text.as_bytes()).unwrap_or(text.len());
        let value = text[..at].trim();
        if value.is_empty() {
            return Err(Fault::new("sip-token", 0, "a token"));
        }
        Ok(Self { value, params: Params(&text[at..]) })
    }
}

/// A media type (RFC 3261 20.15).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MediaType<'a> {
    /// Type and subtype as written, for example `message/cpim`.
    pub essence: &'a str,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Parses the value.
    ///
    /// # Errors
    ///
    /// When there is no slash between type and subtype.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let at = memchr::memchr(b';', text.as_bytes()).unwrap_or(text.len());
        let essence = text[..at].trim();
        match essence.split_once('/') {
            Some((kind, subtype)) if !kind.trim().is_empty() && !subtype.trim().is_empty() => {
                Ok(Self { essence, params: Params(&text[at..]) })
            }
            _ => Err(Fault::new("media-type", 0, "a type, a slash and a subtype")),
        }
    }

    /// Whether this is the type `essence`, in any letter case.
    pub fn is(&self, essence: &str) -> bool {
        self.essence.eq_ignore_ascii_case(essence)
    }
}
