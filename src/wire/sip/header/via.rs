//! Via (RFC 3261 20.42).

use std::net::IpAddr;

use crate::wire::Fault;
use crate::wire::sip::uri::{Host, Params, host_port};

/// One Via element (RFC 3261 20.42).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Via<'a> {
    /// The version of SIP. It may be any: whoever asks in another one has to be told so, by this Via.
    pub version: &'a str,
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
        let (version, transport, rest_at) = slash_words(text).ok_or(fault(0, "SIP/2.0/ and a transport"))?;
        let rest = &text[rest_at..];
        let params_at = memchr::memchr(b';', rest.as_bytes()).unwrap_or(rest.len());
        let (host, port) =
            host_port(rest[..params_at].trim_ascii()).map_err(|inner| fault(rest_at + inner.offset, inner.expected))?;
        Ok(Self { version, transport, host, port, params: Params(&rest[params_at..]) })
    }

    /// The branch.
    pub fn branch(&self) -> Option<&'a str> {
        self.params.get("branch")
    }

    /// The address that the receiver saw (RFC 3261 18.2.1); with or without brackets (RFC 5118 4.5).
    pub fn received(&self) -> Option<IpAddr> {
        Host(self.params.get("received")?).ip()
    }

    /// `rport` (RFC 3581 3): `Some(None)` when it asks, `Some(Some(port))` when it is answered.
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params.get("rport").map(|port| port.parse().ok())
    }
}

/// Reads `SIP / 2.0 / transport LWS` and returns version, transport, and where sent-by starts.
fn slash_words(text: &str) -> Option<(&str, &str, usize)> {
    // Nearly every Via is written without white space around its slashes.
    let (version, transport) = match text.strip_prefix("SIP/2.0/") {
        Some(rest) if !rest.starts_with(|char: char| char.is_ascii_whitespace()) => ("2.0", 8),
        _ => transport_at(text)?,
    };
    let rest = &text[transport..];
    let end = rest.bytes().position(|byte| byte.is_ascii_whitespace())?;
    let sent_by = transport + end + (rest.len() - end - rest[end..].trim_ascii_start().len());
    (end > 0).then(|| (version, &rest[..end], sent_by))
}

fn transport_at(text: &str) -> Option<(&str, usize)> {
    let first = memchr::memchr(b'/', text.as_bytes())?;
    let second = first + 1 + memchr::memchr(b'/', &text.as_bytes()[first + 1..])?;
    let version = text[first + 1..second].trim_ascii();
    let is_sip = text[..first].trim_ascii().eq_ignore_ascii_case("SIP") && !version.is_empty();
    is_sip.then(|| (version, text.len() - text[second + 1..].trim_ascii_start().len()))
}
