//! URIs: `SIP-URI`, `telephone-subscriber` (RFC 3966), `absoluteURI`, and hosts.

use std::net::{Ipv4Addr, Ipv6Addr};

use nom::Parser;
use nom::character::complete::char;
use nom::combinator::{opt, value};
use nom::sequence::{pair, preceded};

use super::{ALPHANUMERIC, DIGITS, Parsed, Set, cut, miss, named, run, set, some};

/// `unreserved`, letters and digits aside.
const MARKS: &[u8] = b"-_.!~*'()";
static USER: Set = set(&[ALPHANUMERIC, MARKS, b"&=+$,;?/"]);
static PASSWORD: Set = set(&[ALPHANUMERIC, MARKS, b"&=+$,"]);
static PARAMETER: Set = set(&[ALPHANUMERIC, MARKS, b"[]/:&+$"]);
static HEADER: Set = set(&[ALPHANUMERIC, MARKS, b"[]/?:+$"]);
static URIC: Set = set(&[ALPHANUMERIC, MARKS, b";/?:@&=+$,"]);
static HOST_NAME: Set = set(&[ALPHANUMERIC, b"-."]);
static SCHEME: Set = set(&[ALPHANUMERIC, b"+-."]);
static GLOBAL_NUMBER: Set = set(&[b"0123456789-.()"]);
static LOCAL_NUMBER: Set = set(&[b"0123456789abcdefABCDEF*#-.()"]);

/// Characters of `set`, and escapes `%HEX HEX`; possibly none.
fn escaped<'a>(set: &'static Set) -> impl FnMut(&'a str) -> Parsed<'a, &'a str> {
    move |input| {
        let bytes = input.as_bytes();
        let hex = |place: usize| bytes.get(place).is_some_and(u8::is_ascii_hexdigit);
        let mut at = 0;
        loop {
            at += run(set, &bytes[at..]);
            match bytes.get(at) {
                Some(b'%') if hex(at + 1) && hex(at + 2) => at += 3,
                Some(b'%') => return miss(&input[at..], "two hexadecimal digits after %"),
                _ => return Ok((&input[at..], &input[..at])),
            }
        }
    }
}

/// At least one of [`escaped`].
fn escaped1<'a>(expected: &'static str, set: &'static Set) -> impl FnMut(&'a str) -> Parsed<'a, &'a str> {
    let mut escaped = escaped(set);
    move |input| match escaped(input)? {
        (_, "") => miss(input, expected),
        done => Ok(done),
    }
}

/// The address inside `[ ]`. RFC 5118 4.10: a third colon, which the ABNF of RFC 3261 produces by
/// mistake, is tolerated.
pub(in crate::wire::sip) fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().or_else(|| text.contains(":::").then(|| text.replacen(":::", "::", 1).parse().ok()).flatten())
}

/// `host`.
pub(in crate::wire::sip) fn host(input: &str) -> Parsed<'_, &str> {
    if let Some(inner) = input.strip_prefix('[') {
        return match inner.find(']') {
            Some(end) if ipv6(&inner[..end]).is_some() => Ok((&inner[end + 1..], &input[..end + 2])),
            _ => miss(input, "an IPv6 address in brackets"),
        };
    }
    let (rest, name) = some("a host", &HOST_NAME)(input)?;
    if is_hostname(name) || name.parse::<Ipv4Addr>().is_ok() { Ok((rest, name)) } else { miss(input, "a host") }
}

fn is_hostname(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).as_bytes();
    let is_label = |label: &[u8]| !matches!(label, [] | [b'-', ..] | [.., b'-']);
    let top = name.rsplit(|byte| *byte == b'.').next().and_then(|top| top.first());
    name.split(|byte| *byte == b'.').all(is_label) && top.is_some_and(u8::is_ascii_alphabetic)
}

pub(super) fn port(input: &str) -> Parsed<'_, &str> {
    let (rest, digits) = some("a port", &DIGITS)(input)?;
    if digits.parse::<u16>().is_ok() { Ok((rest, digits)) } else { miss(input, "a port below 65536") }
}

/// What follows `sip:` or `sips:`.
fn sip_uri(input: &str) -> Parsed<'_> {
    let password = preceded(char(':'), escaped(&PASSWORD));
    let user = (escaped1("a user", &USER), opt(password), char('@'));
    let (rest, _) = if input.contains('@') { value(Some(()), user).parse(input)? } else { (input, None) };
    let (mut rest, _) = pair(host, opt(preceded(char(':'), port))).parse(rest)?;
    while let Some(after) = rest.strip_prefix(';') {
        (rest, ()) = uri_parameter("a URI parameter", after)?;
    }
    let mut header = value((), (escaped1("a header name", &HEADER), named("=", char('=')), escaped(&HEADER)));
    while let Some(after) = rest.strip_prefix(['?', '&']) {
        (rest, ()) = header.parse(after)?;
    }
    Ok((rest, ()))
}

fn uri_parameter<'a>(expected: &'static str, input: &'a str) -> Parsed<'a> {
    let (rest, _) = escaped1(expected, &PARAMETER)(input)?;
    // An equals sign without a value is not taken, and misplaced then.
    let value = rest.strip_prefix('=').and_then(|after| escaped1("a value", &PARAMETER)(after).ok());
    Ok((value.map_or(rest, |(rest, _)| rest), ()))
}

/// What follows `tel:` in `whole`.
fn tel_uri<'a>(whole: &'a str, input: &'a str) -> Parsed<'a> {
    let (set, rest) = match input.strip_prefix('+') {
        Some(rest) => (&GLOBAL_NUMBER, rest),
        None => (&LOCAL_NUMBER, input),
    };
    let (mut rest, number) = some("a telephone number", set)(rest)?;
    if !number.bytes().any(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'*' | b'#')) {
        return miss(whole, "a telephone number");
    }
    while let Some(after) = rest.strip_prefix(';') {
        (rest, ()) = uri_parameter("a parameter", after)?;
    }
    Ok((rest, ()))
}

/// A scheme and its colon.
fn scheme(input: &str) -> Parsed<'_, &str> {
    const EXPECTED: &str = "a URI scheme and a colon";
    let (name, rest) = cut(&SCHEME, input);
    if !name.starts_with(|char: char| char.is_ascii_alphabetic()) {
        return miss(input, EXPECTED);
    }
    rest.strip_prefix(':').map_or_else(|| miss(rest, EXPECTED), |rest| Ok((rest, name)))
}

/// `addr-spec`: a URI of any scheme.
pub(in crate::wire::sip) fn uri(input: &str) -> Parsed<'_> {
    let (rest, scheme) = scheme(input)?;
    match scheme {
        scheme if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") => sip_uri(rest),
        scheme if scheme.eq_ignore_ascii_case("tel") => tel_uri(input, rest),
        _ => value((), escaped1("the rest of the URI", &URIC)).parse(rest),
    }
}
