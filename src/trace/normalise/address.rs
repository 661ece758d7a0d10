//! Finds addresses in a text: an IPv4 address, a bracketed IPv6 one or a host name, and its port.

use crate::wire::sip::set::{ALPHANUMERIC, Set, run, set};

static DIGITS: Set = set(&[b"0123456789"]);
static IPV6: Set = set(&[b"0123456789abcdefABCDEF:."]);
static LABEL: Set = set(&[ALPHANUMERIC, b"-"]);

/// Where an address stands in a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found<'a> {
    /// Where it starts, in bytes.
    pub(super) start: usize,
    /// The host, an IPv6 address with its brackets.
    pub(super) host: &'a str,
    /// The digits after the colon.
    pub(super) port: Option<&'a str>,
    /// Where it ends.
    pub(super) end: usize,
}

/// The first address at or after `from`.
pub(super) fn next(text: &str, from: usize) -> Option<Found<'_>> {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        let end = match byte {
            b'0'..=b'9' => ipv4(bytes, at),
            b'[' => ipv6(bytes, at),
            b'a'..=b'z' | b'A'..=b'Z' => match name(bytes, at) {
                Ok(end) => Some(end),
                // What follows in the same label is no more of a name, and no address either.
                Err(end) => {
                    at = end;
                    continue;
                }
            },
            _ => None,
        };
        let Some(end) = end else {
            at += 1;
            continue;
        };
        let port_end = if bytes.get(end) == Some(&b':') { digits(bytes, end + 1, 5) } else { end };
        let port = (port_end > end + 1).then(|| &text[end + 1..port_end]);
        return Some(Found { start: at, host: &text[at..end], port, end: port.map_or(end, |_| port_end) });
    }
    None
}

/// Where the digits end that start at `from`, so many of them at most.
fn digits(bytes: &[u8], from: usize, most: usize) -> usize {
    from + run(&DIGITS, &bytes[from..]).min(most)
}

fn ipv4(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    for _ in 0..3 {
        let end = digits(bytes, at, 3);
        if end == at || bytes.get(end) != Some(&b'.') {
            return None;
        }
        at = end + 1;
    }
    let end = digits(bytes, at, 3);
    (end > at).then_some(end)
}

fn ipv6(bytes: &[u8], start: usize) -> Option<usize> {
    let end = start + 1 + run(&IPV6, &bytes[start + 1..]);
    (end > start + 1 && bytes.get(end) == Some(&b']')).then_some(end + 1)
}

/// Where a name of two or more labels ends, or else where its only label does.
fn name(bytes: &[u8], start: usize) -> Result<usize, usize> {
    let label = |from: usize| from + run(&LABEL, &bytes[from..]);
    let first = label(start);
    let mut end = first;
    while bytes.get(end) == Some(&b'.') {
        let next = label(end + 1);
        if next == end + 1 {
            break;
        }
        end = next;
    }
    if end > first { Ok(end) } else { Err(first) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex::Regex;

    /// The same as an expression, leftmost first.
    fn by_expression(text: &str) -> Vec<(usize, usize, Option<&str>)> {
        let address =
            r"([0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9a-fA-F:.]+\]|[a-zA-Z][a-zA-Z0-9-]*(?:\.[a-zA-Z0-9-]+)+)(?::([0-9]{1,5}))?";
        let expression = Regex::new(address).expect("an expression");
        let found = expression.captures_iter(text).map(|found| {
            let whole = found.get(0).expect("the whole");
            (whole.start(), whole.end(), found.get(2).map(|port| port.as_str()))
        });
        found.collect()
    }

    fn all(text: &str) -> Vec<(usize, usize, Option<&str>)> {
        let mut from = 0;
        std::iter::from_fn(|| {
            let found = next(text, from)?;
            from = found.end;
            Some((found.start, found.end, found.port))
        })
        .collect()
    }

    #[test]
    fn addresses_and_names_are_found_with_their_ports() {
        let text = "Via: SIP/2.0/TCP 10.0.0.1:5060;x [2001:db8::1]:5061, <sip:bob@home1.example:70000> m.d 1234.5.6.7 a: 9";
        let found: Vec<_> = all(text).into_iter().map(|(start, end, port)| (&text[start..end], port)).collect();
        let expected = [
            ("10.0.0.1:5060", Some("5060")),
            ("[2001:db8::1]:5061", Some("5061")),
            ("home1.example:70000", Some("70000")),
            ("m.d", None),
            ("234.5.6.7", None),
        ];
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn it_finds_what_an_expression_finds(text in r"[a1Z9f.:\[\] /éx-]{0,40}") {
            prop_assert_eq!(all(&text), by_expression(&text));
        }
    }
}
