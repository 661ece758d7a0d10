//! Sessions: their timer (RFC 4028), why they end (RFC 3326), what they replace (RFC 3891).

use std::fmt;

use super::{number, unquote};
use crate::wire::Fault;
use crate::wire::sip::uri::Params;

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

/// Replaces (RFC 3891 6.1) and Join (RFC 3911 7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replaces<'a> {
    /// The Call-ID of the dialog.
    pub call_id: &'a str,
    /// The parameters: `to-tag`, `from-tag`, `early-only`.
    pub params: Params<'a>,
}

impl<'a> Replaces<'a> {
    /// Parses the value.
    ///
    /// # Errors
    ///
    /// When the Call-ID or one of the tags is missing.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let at = memchr::memchr(b';', text.as_bytes()).unwrap_or(text.len());
        let value = Self { call_id: text[..at].trim_ascii(), params: Params(&text[at..]) };
        if value.call_id.is_empty() {
            return Err(Fault::new("sip-replaces", 0, "a Call-ID"));
        }
        if !value.params.has("to-tag") || !value.params.has("from-tag") {
            return Err(Fault::new("sip-replaces", at, "to-tag and from-tag"));
        }
        Ok(value)
    }

    /// The remote tag at the receiver of the request.
    pub fn to_tag(&self) -> &'a str {
        self.params.get("to-tag").unwrap_or("")
    }

    /// The other tag.
    pub fn from_tag(&self) -> &'a str {
        self.params.get("from-tag").unwrap_or("")
    }
}
