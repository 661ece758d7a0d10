//! SIP, SIPS and TEL URIs (RFC 3261 19.1, RFC 3966), and parameters.

use std::net::IpAddr;

use super::set::{ALPHANUMERIC, Set, first_of, run, set};
use crate::wire::Fault;

/// The scheme of a URI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `sip:`.
    Sip,
    /// `sips:`.
    Sips,
    /// `tel:`.
    Tel,
    /// Any other scheme; the URI is opaque.
    Other,
}

/// A host as written: a name, an IPv4 address, or an IPv6 reference with its brackets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Host<'a>(pub &'a str);

impl Host<'_> {
    /// The address, when the host is one.
    pub fn ip(self) -> Option<IpAddr> {
        let bare = self.0.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(self.0);
        // Most hosts are names: one letter tells.
        if run(&ADDRESS, bare.as_bytes()) < bare.len() {
            return None;
        }
        bare.parse().ok().or_else(|| super::grammar::ipv6(bare).map(IpAddr::V6))
    }
}

/// Parameters `;name=value`, as written, from the first semicolon on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Params<'a>(pub &'a str);

impl<'a> Params<'a> {
    /// All parameters in order; a value keeps its quotes.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let end = parameter_end(rest.as_bytes());
                let part = &rest[..end];
                rest = rest.get(end + 1..).unwrap_or("");
                match equals_in(part.as_bytes()) {
                    Some(at) => return Some((part[..at].trim_ascii(), Some(part[at + 1..].trim_ascii()))),
                    None if !part.trim_ascii().is_empty() => return Some((part.trim_ascii(), None)),
                    None => {}
                }
            }
            None
        })
    }

    /// The value of a parameter, empty when it has none; names compare in any letter case.
    pub fn get(self, name: &str) -> Option<&'a str> {
        let mut rest = self.0;
        while !rest.is_empty() {
            let end = parameter_end(rest.as_bytes());
            if let Some(value) = value_of(&rest[..end], name) {
                return Some(value);
            }
            rest = rest.get(end + 1..).unwrap_or("");
        }
        None
    }

    /// Whether a parameter is there.
    pub fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// The value of a parameter if it has this name, empty when it has none.
fn value_of<'a>(parameter: &'a str, name: &str) -> Option<&'a str> {
    let parameter = parameter.trim_ascii_start();
    let after = parameter.get(name.len()..)?;
    if !parameter.as_bytes()[..name.len()].eq_ignore_ascii_case(name.as_bytes()) {
        return None;
    }
    match after.trim_ascii_start() {
        "" => Some(""),
        after => after.strip_prefix('=').map(str::trim_ascii),
    }
}

/// Where the first parameter ends.
fn parameter_end(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(next) = text.get(at..).and_then(|rest| first_of([b';', b'"'], rest)) {
        at += next;
        if text[at] == b';' {
            return at;
        }
        at = super::header::quote_end(text, at).map_or(text.len(), |end| end + 1);
    }
    text.len()
}

/// Where the name of a parameter ends, if it has a value.
fn equals_in(parameter: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += first_of([b'=', b'"'], parameter.get(at..)?)?;
        if parameter[at] == b'=' {
            return Some(at);
        }
        at = super::header::quote_end(parameter, at)? + 1;
    }
}

static ADDRESS: Set = set(&[b"0123456789abcdefABCDEF.:"]);
static HOST_NAME: Set = set(&[ALPHANUMERIC, b".-_"]);

/// A URI, split.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uri<'a> {
    /// The whole URI as written.
    pub text: &'a str,
    /// Its scheme.
    pub scheme: Scheme,
    /// The user part without password, or the number of a `tel:` URI; still escaped.
    pub user: Option<&'a str>,
    /// The host of a SIP URI.
    pub host: Option<Host<'a>>,
    /// The port of a SIP URI.
    pub port: Option<u16>,
    /// The URI parameters.
    pub params: Params<'a>,
    /// The headers after `?`.
    pub headers: Option<&'a str>,
}

impl<'a> Uri<'a> {
    /// Splits a URI.
    ///
    /// # Errors
    ///
    /// When the scheme is missing, or a SIP URI has no valid host or port.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        // Nearly every URI begins like this.
        if let Some(rest) = text.strip_prefix("sip:") {
            return Self::parse_sip(text, Scheme::Sip, rest, 4);
        }
        let colon = first_of([b':'], text.as_bytes()).ok_or(Fault::new("uri-scheme", 0, "a URI scheme and a colon"))?;
        let (scheme, rest) = (&text[..colon], &text[colon + 1..]);
        let base = scheme.len() + 1;
        if scheme.eq_ignore_ascii_case("sip") {
            Self::parse_sip(text, Scheme::Sip, rest, base)
        } else if scheme.eq_ignore_ascii_case("sips") {
            Self::parse_sip(text, Scheme::Sips, rest, base)
        } else if scheme.eq_ignore_ascii_case("tel") {
            let (number, params) = cut(rest, b';');
            Ok(Self {
                text,
                scheme: Scheme::Tel,
                user: Some(number),
                host: None,
                port: None,
                params: Params(params),
                headers: None,
            })
        } else if scheme.is_empty()
            || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        {
            Err(Fault::new("uri-scheme", 0, "a URI scheme"))
        } else {
            Ok(Self { text, scheme: Scheme::Other, user: None, host: None, port: None, params: Params(""), headers: None })
        }
    }

    fn parse_sip(text: &'a str, scheme: Scheme, rest: &'a str, base: usize) -> Result<Self, Fault> {
        // A user part holds no raw at-sign, so the first one ends it, whatever else stands before.
        let (user, after) = match first_of([b'@'], rest.as_bytes()) {
            Some(at) => (Some(cut(&rest[..at], b':').0), at + 1),
            None => (None, 0),
        };
        let addr = &rest[after..];
        let (authority, tail) = addr.split_at(first_of([b';', b'?'], addr.as_bytes()).unwrap_or(addr.len()));
        let (params, headers) = match cut(tail, b'?') {
            (params, "") => (params, None),
            (params, headers) => (params, Some(&headers[1..])),
        };
        let (host, port) = host_port(authority).map_err(|fault| fault.at(base + after))?;
        Ok(Self { text, scheme, user, host: Some(host), port, params: Params(params), headers })
    }

    /// Whether both name the same resource: RFC 3261 19.1.4 for SIP, digits for TEL, bytes else.
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        if self.scheme != other.scheme {
            return false;
        }
        match self.scheme {
            Scheme::Sip | Scheme::Sips => {
                same_name(self.user, other.user)
                    && same_host(self.host, other.host)
                    && self.port == other.port
                    && same_params(self.params, other.params)
            }
            Scheme::Tel => digits(self.user).eq(digits(other.user)),
            Scheme::Other => self.text == other.text,
        }
    }

    /// Whether both name the same user: scheme, parameters and port aside, so that `tel:+1…` and
    /// `sip:+1…@host` meet, and `user=phone` or `transport` make no difference.
    pub fn same_user(&self, other: &Uri<'_>) -> bool {
        match (self.scheme, other.scheme) {
            (Scheme::Other, _) | (_, Scheme::Other) => self.text == other.text,
            (Scheme::Tel, _) | (_, Scheme::Tel) => digits(self.user).eq(digits(other.user)),
            _ => same_name(self.user, other.user) && same_host(self.host, other.host),
        }
    }
}

fn cut(text: &str, at: u8) -> (&str, &str) {
    first_of([at], text.as_bytes()).map_or((text, ""), |at| text.split_at(at))
}

/// Splits `host[:port]`.
///
/// # Errors
///
/// When the host is neither a name nor an address, or the port is no number below 65536.
pub fn host_port(text: &str) -> Result<(Host<'_>, Option<u16>), Fault> {
    let fault = |offset, expected| Fault::new("uri-host", offset, expected);
    let host_end = if text.starts_with('[') {
        text.find(']').ok_or(fault(0, "a closing bracket"))? + 1
    } else {
        run(&HOST_NAME, text.as_bytes())
    };
    let (host, rest) = text.split_at(host_end);
    if host.is_empty() || (host.starts_with('[') && Host(host).ip().is_none()) {
        return Err(fault(0, "a host"));
    }
    let port = match rest.trim_ascii_start().as_bytes() {
        [] => None,
        [b':', digits @ ..] => Some(port(digits.trim_ascii()).ok_or(fault(host_end, "a colon and a port below 65536"))?),
        _ => return Err(fault(host_end, "a colon and a port, or the end of the host")),
    };
    Ok((Host(host), port))
}

fn port(digits: &[u8]) -> Option<u16> {
    // Leading zeros count for nothing; what is left of more than five digits is too large.
    let significant = digits.iter().position(|digit| *digit != b'0').map_or(&[][..], |at| &digits[at..]);
    if digits.is_empty() || significant.len() > 5 || !significant.iter().all(u8::is_ascii_digit) {
        return None;
    }
    u16::try_from(significant.iter().fold(0, |port, digit| port * 10 + u32::from(digit - b'0'))).ok()
}

fn same_host(left: Option<Host<'_>>, right: Option<Host<'_>>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => left.0.eq_ignore_ascii_case(right.0) || left.ip().is_some_and(|ip| right.ip() == Some(ip)),
        (left, right) => left.is_none() && right.is_none(),
    }
}

/// RFC 3261 19.1.4: `user`, `ttl`, `method`, `maddr` and `transport` count even when only one side
/// has them; any other parameter only when both have it.
fn same_params(left: Params<'_>, right: Params<'_>) -> bool {
    const ALWAYS: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
    let agrees = |one: Params<'_>, two: Params<'_>| {
        one.iter().all(|(name, value)| match two.get(name) {
            Some(other) => other.eq_ignore_ascii_case(value.unwrap_or("")),
            None => !ALWAYS.iter().any(|always| always.eq_ignore_ascii_case(name)),
        })
    };
    agrees(left, right) && agrees(right, left)
}

/// Whether two user parts are equal once their escapes are resolved.
fn same_name(left: Option<&str>, right: Option<&str>) -> bool {
    let is_plain = |user: Option<&str>| user.is_none_or(|user| !user.contains('%'));
    left == right || (!(is_plain(left) && is_plain(right)) && left.map(unescape) == right.map(unescape))
}

/// What of a number is not there to be read more easily.
fn digits(number: Option<&str>) -> impl Iterator<Item = u8> {
    number.unwrap_or("").bytes().filter(|byte| byte.is_ascii_alphanumeric() || *byte == b'+')
}

/// Resolves `%HEX HEX` once.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped =
            (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten().and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
    }

    #[test]
    fn a_sip_uri_falls_into_its_parts() {
        let whole = uri("SIPS:a%40b;x=1:pa$s@[2001:db8::1]:5070;lr;maddr=10.0.0.1?Subject=x&To=y");
        assert_eq!((whole.scheme, whole.user, whole.port), (Scheme::Sips, Some("a%40b;x=1"), Some(5070)));
        assert_eq!(whole.host.and_then(Host::ip), "2001:db8::1".parse().ok());
        assert_eq!(whole.params.iter().collect::<Vec<_>>(), [("lr", None), ("maddr", Some("10.0.0.1"))]);
        assert_eq!(whole.headers, Some("Subject=x&To=y"));
    }

    #[test]
    fn other_schemes_keep_what_they_have() {
        assert_eq!(uri("tel:+1-514-555-0101;phone-context=x").user, Some("+1-514-555-0101"));
        assert_eq!((uri("urn:service:sos").scheme, uri("urn:service:sos").host), (Scheme::Other, None));
    }

    #[test]
    fn what_is_no_uri_is_refused_with_its_place() {
        for (text, offset) in [
            ("", 0),
            ("bob", 0),
            (":x", 0),
            ("s p:x", 0),
            ("sip:", 4),
            ("sip:a@", 6),
            ("sip:2001:db8::10", 8),
            ("sip:a@b:70000", 7),
        ] {
            assert_eq!(Uri::parse(text).map_err(|fault| fault.offset), Err(offset), "{text:?}");
        }
    }

    #[test]
    fn the_third_colon_of_the_rfc_3261_grammar_is_tolerated() {
        assert_eq!(uri("sip:[2001:db8:::192.0.2.1]").host.and_then(Host::ip), "2001:db8::192.0.2.1".parse().ok());
    }

    #[test]
    fn equivalence_follows_rfc_3261_19_1_4() {
        for (left, right, same) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp", true),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false),
            ("SIP:ALICE@AtLanTa.CoM", "sip:alice@AtLanTa.CoM", false),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false),
            ("sip:a@[::1]", "sip:a@[0:0::1]", true),
            ("tel:+1-514-555-0101", "tel:+15145550101", true),
            ("urn:a", "urn:A", false),
        ] {
            assert_eq!(uri(left).equivalent(&uri(right)), same, "{left} {right}");
            assert_eq!(uri(right).equivalent(&uri(left)), same, "{right} {left}");
        }
        assert!(uri("tel:+1-514-555-0101").same_user(&uri("sip:+15145550101@home1.example;user=phone")));
    }

    #[test]
    fn parameters_are_found_past_quotes_and_blanks() {
        let params = Params(" ; a = 1;;b=\"x;y=\\\"z\";c ; A=2");
        assert_eq!(
            params.iter().collect::<Vec<_>>(),
            [("a", Some("1")), ("b", Some("\"x;y=\\\"z\"")), ("c", None), ("A", Some("2"))]
        );
        assert_eq!((params.get("A"), params.get("C"), params.has("d")), (Some("1"), Some(""), false));
        assert_eq!(Params(";a=\"open;b").iter().collect::<Vec<_>>(), [("a", Some("\"open;b"))]);
    }
}
