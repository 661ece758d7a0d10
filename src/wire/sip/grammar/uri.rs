//! URIs: `SIP-URI`, `telephone-subscriber` (RFC 3966), `absoluteURI`, and hosts.

use std::net::{Ipv4Addr, Ipv6Addr};

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag_no_case, take_while, take_while_m_n, take_while1};
use nom::character::complete::{char, digit1};
use nom::combinator::{opt, recognize, value};
use nom::sequence::{pair, preceded, terminated};

use super::{Parsed, miss, named};

/// Characters that `accept` takes, and escapes `%HEX HEX`; possibly none.
fn escaped<'a>(accept: fn(char) -> bool) -> impl FnMut(&'a str) -> Parsed<'a, &'a str> {
    move |input| {
        let bytes = input.as_bytes();
        let mut at = 0;
        for (index, char) in input.char_indices() {
            if index < at {
                continue;
            }
            let hex = |place: usize| bytes.get(place).is_some_and(u8::is_ascii_hexdigit);
            at = match char {
                '%' if hex(index + 1) && hex(index + 2) => index + 3,
                '%' => return miss(&input[index..], "two hexadecimal digits after %"),
                char if accept(char) => index + char.len_utf8(),
                _ => break,
            };
        }
        Ok((&input[at..], &input[..at]))
    }
}

/// At least one of [`escaped`].
fn escaped1<'a>(expected: &'static str, accept: fn(char) -> bool) -> impl FnMut(&'a str) -> Parsed<'a, &'a str> {
    let mut run = escaped(accept);
    move |input| match run(input)? {
        (_, "") => miss(input, expected),
        done => Ok(done),
    }
}

const fn is_unreserved(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.' | '!' | '~' | '*' | '\'' | '(' | ')')
}

const fn is_user(char: char) -> bool {
    is_unreserved(char) || matches!(char, '&' | '=' | '+' | '$' | ',' | ';' | '?' | '/')
}

const fn is_password(char: char) -> bool {
    is_unreserved(char) || matches!(char, '&' | '=' | '+' | '$' | ',')
}

const fn is_uri_param(char: char) -> bool {
    is_unreserved(char) || matches!(char, '[' | ']' | '/' | ':' | '&' | '+' | '$')
}

const fn is_uri_header(char: char) -> bool {
    is_unreserved(char) || matches!(char, '[' | ']' | '/' | '?' | ':' | '+' | '$')
}

const fn is_uric(char: char) -> bool {
    is_unreserved(char) || matches!(char, ';' | '/' | '?' | ':' | '@' | '&' | '=' | '+' | '$' | ',')
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
    let (rest, name) =
        named("a host", take_while1(|char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.'))).parse(input)?;
    if is_hostname(name) || name.parse::<Ipv4Addr>().is_ok() { Ok((rest, name)) } else { miss(input, "a host") }
}

fn is_hostname(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
    let top = name.rsplit('.').next().unwrap_or("");
    name.split('.').all(is_label) && top.starts_with(|char: char| char.is_ascii_alphabetic())
}

pub(super) fn port(input: &str) -> Parsed<'_, &str> {
    let (rest, digits) = named("a port", digit1)(input)?;
    if digits.parse::<u16>().is_ok() { Ok((rest, digits)) } else { miss(input, "a port below 65536") }
}

fn sip_uri(input: &str) -> Parsed<'_> {
    let (rest, _) = alt((tag_no_case("sips:"), tag_no_case("sip:"))).parse(input)?;
    let user = (escaped1("a user", is_user), opt(preceded(char(':'), escaped(is_password))), char('@'));
    let (rest, _) = if rest.contains('@') { value(Some(()), user).parse(rest)? } else { (rest, None) };
    let (rest, _) = pair(host, opt(preceded(char(':'), port))).parse(rest)?;
    let mut parameter =
        value((), pair(escaped1("a URI parameter", is_uri_param), opt(preceded(char('='), escaped1("a value", is_uri_param)))));
    let mut rest = rest;
    while let Some(after) = rest.strip_prefix(';') {
        (rest, ()) = parameter.parse(after)?;
    }
    let mut header = value((), (escaped1("a header name", is_uri_header), named("=", char('=')), escaped(is_uri_header)));
    while let Some(after) = rest.strip_prefix(['?', '&']) {
        (rest, ()) = header.parse(after)?;
    }
    Ok((rest, ()))
}

fn tel_uri(input: &str) -> Parsed<'_> {
    let visual = |char: char| matches!(char, '-' | '.' | '(' | ')');
    let (rest, _) = tag_no_case("tel:").parse(input)?;
    let (rest, plus) = opt(char('+')).parse(rest)?;
    let accept = move |char: char| {
        char.is_ascii_digit() || visual(char) || (plus.is_none() && (char.is_ascii_hexdigit() || matches!(char, '*' | '#')))
    };
    let (rest, number) = named("a telephone number", take_while1(accept)).parse(rest)?;
    if !number.chars().any(|char| char.is_ascii_hexdigit() || matches!(char, '*' | '#')) {
        return miss(input, "a telephone number");
    }
    let mut rest = rest;
    let mut parameter =
        value((), pair(escaped1("a parameter", is_uri_param), opt(preceded(char('='), escaped1("a value", is_uri_param)))));
    while let Some(after) = rest.strip_prefix(';') {
        (rest, ()) = parameter.parse(after)?;
    }
    Ok((rest, ()))
}

fn scheme(input: &str) -> Parsed<'_, &str> {
    let first = |char: char| char.is_ascii_alphabetic();
    let further = |char: char| char.is_ascii_alphanumeric() || matches!(char, '+' | '-' | '.');
    let name = recognize(pair(take_while_m_n(1, 1, first), take_while(further)));
    named("a URI scheme and a colon", terminated(name, char(':')))(input)
}

fn other_uri(input: &str) -> Parsed<'_> {
    value((), pair(scheme, escaped1("the rest of the URI", is_uric))).parse(input)
}

/// `addr-spec`: a URI of any scheme.
pub(in crate::wire::sip) fn uri(input: &str) -> Parsed<'_> {
    let (_, scheme) = scheme(input)?;
    match scheme {
        scheme if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") => sip_uri(input),
        scheme if scheme.eq_ignore_ascii_case("tel") => tel_uri(input),
        _ => other_uri(input),
    }
}
