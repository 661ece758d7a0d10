//! MSRP URIs and paths (RFC 4975 6, 14.1).

use super::super::Fault;
use crate::wire::sip::{Host, Params};

/// One URI of a To-Path or From-Path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MsrpUri<'a> {
    /// The whole URI as written.
    pub text: &'a str,
    /// Whether the scheme is `msrps`.
    pub secure: bool,
    /// The host.
    pub host: Host<'a>,
    /// The port; 2855 by default.
    pub port: u16,
    /// The session part.
    pub session: Option<&'a str>,
    /// The transport, `tcp`.
    pub transport: &'a str,
    /// Further parameters.
    pub params: Params<'a>,
}

impl<'a> MsrpUri<'a> {
    /// Parses one URI.
    ///
    /// # Errors
    ///
    /// When scheme, host, port or transport is missing or malformed.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let fault = |offset, expected| Fault::new("msrp-uri", offset, expected);
        let (scheme, rest) = cut(text, b':').ok_or(fault(0, "msrp:// or msrps://"))?;
        let rest = rest.strip_prefix("//").ok_or(fault(0, "msrp:// or msrps://"))?;
        let secure = match scheme {
            scheme if scheme.eq_ignore_ascii_case("msrp") => false,
            scheme if scheme.eq_ignore_ascii_case("msrps") => true,
            _ => return Err(fault(0, "msrp:// or msrps://")),
        };
        let (place, rest) = cut(rest, b';').ok_or(fault(text.len(), "a transport"))?;
        let (address, session) = match cut(place, b'/') {
            Some((address, session)) => (address, Some(session)),
            None => (place, None),
        };
        let user_end = address.bytes().rposition(|byte| byte == b'@').map_or(0, |at| at + 1);
        let address = &address[user_end..];
        let (host, port) = crate::wire::sip::host_port(address).map_err(|inner| fault(inner.offset, inner.expected))?;
        let end = rest.bytes().position(|byte| byte == b';').unwrap_or(rest.len());
        if end == 0 {
            return Err(fault(text.len(), "a transport"));
        }
        Ok(Self { text, secure, host, port: port.unwrap_or(2855), session, transport: &rest[..end], params: Params(&rest[end..]) })
    }

    /// Whether both name the same session (RFC 4975 6.1): the session part counts in its case.
    pub fn equivalent(&self, other: &MsrpUri<'_>) -> bool {
        self.secure == other.secure
            && self.host.0.eq_ignore_ascii_case(other.host.0)
            && self.port == other.port
            && self.session == other.session
            && self.transport.eq_ignore_ascii_case(other.transport)
    }
}

/// The URIs of a path, separated by spaces.
pub fn paths(value: &str) -> impl Iterator<Item = &str> {
    value.split(' ').filter(|part| !part.is_empty())
}

/// The parts before and behind a mark; URIs are too short for a vector search to pay.
fn cut(text: &str, mark: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == mark)?;
    Some((&text[..at], &text[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_host_port_session_and_transport() {
        let uri = MsrpUri::parse("msrps://bob@[2001:db8::1]:9000/aB1;tcp;x=y").unwrap();
        assert_eq!(
            (uri.secure, uri.host.0, uri.port, uri.session, uri.transport),
            (true, "[2001:db8::1]", 9000, Some("aB1"), "tcp")
        );
        assert_eq!(MsrpUri::parse("msrp://a.example;tcp").map(|uri| (uri.port, uri.session)), Ok((2855, None)));
        for text in ["", "msrp:a", "http://a.example/1;tcp", "msrp://a.example/1", "msrp://a.example/1;"] {
            assert!(MsrpUri::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_the_session_part_counts_in_its_case() {
        let parse = |text| MsrpUri::parse(text).unwrap();
        assert!(parse("msrp://A.example/x;TCP").equivalent(&parse("MSRP://a.example:2855/x;tcp")));
        assert!(!parse("msrp://a.example/x;tcp").equivalent(&parse("msrp://a.example/X;tcp")));
    }
}
