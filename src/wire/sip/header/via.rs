//! Via (RFC 3261 20.42).

use std::net::IpAddr;

use crate::wire::Fault;
use crate::wire::sip::uri::{Host, Params, host_port};

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
        let (host, port) =
            host_port(rest[..params_at].trim_ascii()).map_err(|inner| fault(rest_at + inner.offset, inner.expected))?;
        Ok(Self { transport, host, port, params: Params(&rest[params_at..]) })
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

/// Reads `SIP / 2.0 / transport LWS` and returns the transport and where sent-by starts. The version may
/// be any: whoever asks in another one has to be told so (505), and by this Via.
fn slash_words(text: &str) -> Option<(&str, usize)> {
    // Nearly every Via is written without white space around its slashes.
    let transport = match text.strip_prefix("SIP/2.0/") {
        Some(rest) if !rest.starts_with(|char: char| char.is_ascii_whitespace()) => 8,
        _ => transport_at(text)?,
    };
    let rest = &text[transport..];
    let end = rest.bytes().position(|byte| byte.is_ascii_whitespace())?;
    let sent_by = transport + end + (rest.len() - end - rest[end..].trim_ascii_start().len());
    (end > 0).then(|| (&rest[..end], sent_by))
}

fn transport_at(text: &str) -> Option<usize> {
    let first = memchr::memchr(b'/', text.as_bytes())?;
    let second = first + 1 + memchr::memchr(b'/', &text.as_bytes()[first + 1..])?;
    let is_sip = text[..first].trim_ascii().eq_ignore_ascii_case("SIP") && !text[first + 1..second].trim_ascii().is_empty();
    is_sip.then(|| text.len() - text[second + 1..].trim_ascii_start().len())
}
