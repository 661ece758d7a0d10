//! The grammar of RFC 3261 25.1 and of its extensions, strictly, as nom parsers over the text of a
//! header field.
//!
//! The typed views of [`super::header`] are tolerant and take what they need; these parsers decide
//! whether a value is well-formed to its last character, and where it ceases to be. Values may
//! still be folded: line ends inside a value were seen to be folds by the scanner, so white space
//! of any kind counts as LWS.

use std::net::{Ipv4Addr, Ipv6Addr};

use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case, take_while, take_while1};
use nom::character::complete::{char, digit1};
use nom::combinator::{eof, opt, recognize, value};
use nom::error::{ErrorKind, ParseError};
use nom::sequence::{pair, preceded, terminated};
use nom::{Err, IResult, Parser};

/// Where a parser gave up, and on what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Miss<'a> {
    /// The text from the place on.
    pub(super) rest: &'a str,
    /// What was expected there; empty until a rule with a name adds it.
    pub(super) expected: &'static str,
}

impl<'a> ParseError<&'a str> for Miss<'a> {
    fn from_error_kind(rest: &'a str, _: ErrorKind) -> Self {
        Self { rest, expected: "" }
    }

    fn append(_: &'a str, _: ErrorKind, other: Self) -> Self {
        other
    }

    /// Of two alternatives, the one that came further explains more.
    fn or(self, other: Self) -> Self {
        if other.rest.len() <= self.rest.len() { other } else { self }
    }
}

pub(super) type Parsed<'a, T = ()> = IResult<&'a str, T, Miss<'a>>;

/// A rule for a whole field value.
pub(super) type Rule = for<'a> fn(&'a str) -> Parsed<'a>;

/// Applies `rule` to the whole of `text`.
///
/// # Errors
///
/// The offset of the first character that does not fit, and what was expected there.
pub(super) fn check(rule: Rule, text: &str) -> Result<(), (usize, &'static str)> {
    match terminated(rule, preceded(sws, named("the end of the value", eof))).parse(text) {
        Ok(_) => Ok(()),
        Err(Err::Error(miss) | Err::Failure(miss)) => Err((text.len() - miss.rest.len(), miss.expected)),
        Err(Err::Incomplete(_)) => Err((text.len(), "more")),
    }
}

fn miss<'a, T>(rest: &'a str, expected: &'static str) -> Parsed<'a, T> {
    Err(Err::Error(Miss { rest, expected }))
}

/// Gives a rule a name for people. A miss further inside that has a name already keeps it.
fn named<'a, T>(
    expected: &'static str,
    mut rule: impl Parser<&'a str, Output = T, Error = Miss<'a>>,
) -> impl FnMut(&'a str) -> Parsed<'a, T> {
    move |input| {
        rule.parse(input).map_err(|error| {
            error.map(|miss| {
                let inside = miss.rest.len() < input.len() && !miss.expected.is_empty();
                if inside { miss } else { Miss { rest: miss.rest, expected } }
            })
        })
    }
}

const fn is_lws(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\n')
}

/// `token` characters.
pub(super) const fn is_token_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | '!' | '%' | '*' | '_' | '+' | '`' | '\'' | '~')
}

/// Whether `text` is a token.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_token_char)
}

fn sws(input: &str) -> Parsed<'_, &str> {
    take_while(is_lws).parse(input)
}

fn lws(input: &str) -> Parsed<'_, &str> {
    named("white space", take_while1(is_lws))(input)
}

/// A separator with white space around it.
fn separator<'a>(mark: char) -> impl Parser<&'a str, Output = (), Error = Miss<'a>> {
    value((), (sws, char(mark), sws))
}

/// `item (mark item)*`: after a mark an item is owed.
fn separated<'a>(mark: char, mut item: impl FnMut(&'a str) -> Parsed<'a>, input: &'a str) -> Parsed<'a> {
    let (mut rest, ()) = item(input)?;
    while let Ok((after, ())) = separator(mark).parse(rest) {
        (rest, ()) = item(after)?;
    }
    Ok((rest, ()))
}

/// `(mark item)*`.
fn each<'a>(mark: char, mut item: impl FnMut(&'a str) -> Parsed<'a>, input: &'a str) -> Parsed<'a> {
    let mut rest = input;
    while let Ok((after, ())) = separator(mark).parse(rest) {
        (rest, ()) = item(after)?;
    }
    Ok((rest, ()))
}

pub(super) fn token(input: &str) -> Parsed<'_, &str> {
    named("a token", take_while1(is_token_char))(input)
}

pub(super) fn digits(input: &str) -> Parsed<'_, &str> {
    named("digits", digit1)(input)
}

/// `quoted-string` with its quotes.
pub(super) fn quoted(input: &str) -> Parsed<'_, &str> {
    if !input.starts_with('"') {
        return miss(input, "a quoted string");
    }
    let mut chars = input.char_indices().skip(1);
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((&input[at + 1..], &input[..=at])),
            '\\' if !chars.next().is_some_and(|(_, char)| char.is_ascii() && !matches!(char, '\r' | '\n')) => {
                return miss(&input[at..], "an escaped character");
            }
            '\\' => {}
            char if char.is_control() && !is_lws(char) => return miss(&input[at..], "text without control characters"),
            _ => {}
        }
    }
    miss(&input[input.len()..], "a closing quote")
}

/// `comment`, nested ones included.
pub(super) fn comment(input: &str) -> Parsed<'_, &str> {
    if !input.starts_with('(') {
        return miss(input, "a comment");
    }
    let mut depth = 0_usize;
    let mut chars = input.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => {
                chars.next();
            }
            '(' => depth += 1,
            ')' if depth == 1 => return Ok((&input[at + 1..], &input[..=at])),
            ')' => depth -= 1,
            _ => {}
        }
    }
    miss(&input[input.len()..], "a closing parenthesis")
}

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
pub(super) fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().or_else(|| text.contains(":::").then(|| text.replacen(":::", "::", 1).parse().ok()).flatten())
}

/// `host`.
pub(super) fn host(input: &str) -> Parsed<'_, &str> {
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

fn port(input: &str) -> Parsed<'_, &str> {
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
    let name = recognize(pair(nom::bytes::complete::take_while_m_n(1, 1, first), take_while(further)));
    named("a URI scheme and a colon", terminated(name, char(':')))(input)
}

fn other_uri(input: &str) -> Parsed<'_> {
    value((), pair(scheme, escaped1("the rest of the URI", is_uric))).parse(input)
}

/// `addr-spec`: a URI of any scheme.
pub(super) fn uri(input: &str) -> Parsed<'_> {
    let (_, scheme) = scheme(input)?;
    match scheme {
        scheme if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") => sip_uri(input),
        scheme if scheme.eq_ignore_ascii_case("tel") => tel_uri(input),
        _ => other_uri(input),
    }
}

/// `gen-value`.
fn parameter_value(input: &str) -> Parsed<'_, &str> {
    match input.as_bytes().first() {
        Some(b'"') => quoted(input),
        Some(b'[') => host(input),
        _ => named("a parameter value", take_while1(is_token_char))(input),
    }
}

/// `generic-param`.
fn parameter(input: &str) -> Parsed<'_> {
    let name = named("a parameter", take_while1(is_token_char));
    value((), pair(name, opt_after('=', parameter_value))).parse(input)
}

/// Nothing, or `mark item`: after the mark the item is owed.
fn opt_after<'a, T>(
    mark: char,
    mut item: impl FnMut(&'a str) -> Parsed<'a, T>,
) -> impl Parser<&'a str, Output = Option<T>, Error = Miss<'a>> {
    move |input| match separator(mark).parse(input) {
        Ok((after, ())) => item(after).map(|(rest, item)| (rest, Some(item))),
        Err(_) => Ok((input, None)),
    }
}

pub(super) fn parameters(input: &str) -> Parsed<'_> {
    each(';', parameter, input)
}

/// `name-addr`: the URI stands in angle brackets, without white space in them.
pub(super) fn name_addr(input: &str) -> Parsed<'_> {
    let mut words = recognize(nom::multi::many0_count(pair(take_while1(is_token_char), sws)));
    let display = if input.starts_with('"') { terminated(quoted, sws).parse(input) } else { words.parse(input) };
    let (rest, _) = display?;
    value((), (named("an angle bracket", char('<')), uri, named("a closing angle bracket", char('>')))).parse(rest)
}

/// `addr-spec` outside angle brackets, where semicolon, comma and question mark end it or are
/// forbidden (RFC 3261 20).
fn bare_uri(input: &str) -> Parsed<'_> {
    let end = input.find([';', ',', ' ', '\t', '\r', '\n', '<']).unwrap_or(input.len());
    let (text, rest) = input.split_at(end);
    if let Some(at) = text.find('?') {
        return miss(&input[at..], "angle brackets around a URI with a question mark");
    }
    let shift = |inner: Miss<'_>| Miss { rest: &input[text.len() - inner.rest.len()..], expected: inner.expected };
    match terminated(uri, named("the end of the URI", eof)).parse(text) {
        Ok(_) => Ok((rest, ())),
        Err(error) => Err(error.map(shift)),
    }
}

fn address(input: &str) -> Parsed<'_> {
    let words = input.trim_start_matches(|char| is_token_char(char) || is_lws(char));
    if words.starts_with('<') || input.starts_with('"') { name_addr(input) } else { bare_uri(input) }
}

/// From, To, Refer-To, Referred-By, Reply-To: `(name-addr / addr-spec) *(SEMI param)`.
pub(super) fn address_parameters(input: &str) -> Parsed<'_> {
    value((), pair(address, parameters)).parse(input)
}

/// A list of [`address_parameters`].
pub(super) fn addresses(input: &str) -> Parsed<'_> {
    separated(',', address_parameters, input)
}

/// As [`addresses`], or nothing.
pub(super) fn maybe_addresses(input: &str) -> Parsed<'_> {
    if input.is_empty() { Ok((input, ())) } else { addresses(input) }
}

/// Route, Record-Route, Path, Service-Route, History-Info: `name-addr *(SEMI param)`, a list.
pub(super) fn routes(input: &str) -> Parsed<'_> {
    separated(',', |input| value((), pair(name_addr, parameters)).parse(input), input)
}

/// Contact: `*` or addresses.
pub(super) fn contact(input: &str) -> Parsed<'_> {
    if input == "*" { Ok(("", ())) } else { addresses(input) }
}

fn via_parameter(input: &str) -> Parsed<'_> {
    // RFC 5118 4.5: generators write an IPv6 address here with and without brackets.
    let address =
        |input| named("an address", take_while1(|char: char| char.is_ascii_hexdigit() || matches!(char, ':' | '.')))(input);
    let received = preceded(pair(tag_no_case("received"), separator('=')), alt((host, address)));
    if input.get(..8).is_some_and(|name| name.eq_ignore_ascii_case("received")) {
        return value((), received).parse(input);
    }
    parameter(input)
}

fn via_element(input: &str) -> Parsed<'_> {
    let protocol = (token, separator('/'), token, separator('/'), token, lws);
    let sent_by = pair(host, opt(preceded(separator(':'), port)));
    let (rest, _) = (named("a protocol such as SIP/2.0/UDP", protocol), sent_by).parse(input)?;
    each(';', via_parameter, rest)
}

/// Via.
pub(super) fn via(input: &str) -> Parsed<'_> {
    separated(',', via_element, input)
}

/// CSeq.
pub(super) fn cseq(input: &str) -> Parsed<'_> {
    value((), (digits, lws, named("a method", take_while1(is_token_char)))).parse(input)
}

/// RAck.
pub(super) fn rack(input: &str) -> Parsed<'_> {
    value((), (digits, lws, digits, lws, named("a method", take_while1(is_token_char)))).parse(input)
}

fn word(input: &str) -> Parsed<'_, &str> {
    let is_word = |char: char| {
        is_token_char(char) || matches!(char, '(' | ')' | '<' | '>' | ':' | '\\' | '"' | '/' | '[' | ']' | '?' | '{' | '}')
    };
    named("a word", take_while1(is_word))(input)
}

/// Call-ID.
pub(super) fn call_id(input: &str) -> Parsed<'_> {
    value((), pair(word, opt(preceded(char('@'), word)))).parse(input)
}

/// In-Reply-To.
pub(super) fn call_ids(input: &str) -> Parsed<'_> {
    separated(',', call_id, input)
}

/// Replaces, Join, Target-Dialog: a Call-ID and tags.
pub(super) fn dialog(input: &str) -> Parsed<'_> {
    value((), pair(call_id, parameters)).parse(input)
}

/// A number and nothing else: Content-Length, Max-Forwards, Expires, Min-Expires, RSeq.
pub(super) fn number(input: &str) -> Parsed<'_> {
    value((), digits).parse(input)
}

/// Session-Expires, Min-SE.
pub(super) fn interval(input: &str) -> Parsed<'_> {
    value((), pair(digits, parameters)).parse(input)
}

/// Retry-After.
pub(super) fn retry_after(input: &str) -> Parsed<'_> {
    value((), (digits, opt(preceded(sws, comment)), parameters)).parse(input)
}

/// Timestamp.
pub(super) fn timestamp(input: &str) -> Parsed<'_> {
    let decimal = |input| {
        recognize(pair(
            take_while(|char: char| char.is_ascii_digit()),
            opt(pair(char('.'), take_while(|char: char| char.is_ascii_digit()))),
        ))
        .parse(input)
    };
    value((), (digits, opt(preceded(char('.'), digits)), opt(preceded(lws, decimal)))).parse(input)
}

/// MIME-Version.
pub(super) fn mime_version(input: &str) -> Parsed<'_> {
    value((), (digits, char('.'), digits)).parse(input)
}

/// One token: Priority, SIP-ETag.
pub(super) fn one_token(input: &str) -> Parsed<'_> {
    value((), token).parse(input)
}

/// `token *(SEMI param)`: Event, Subscription-State, Content-Disposition, P-Access-Network-Info.
pub(super) fn token_parameters(input: &str) -> Parsed<'_> {
    value((), pair(token, parameters)).parse(input)
}

/// A list of tokens with parameters: Require, Reason, Content-Encoding.
pub(super) fn tokens(input: &str) -> Parsed<'_> {
    separated(',', token_parameters, input)
}

/// As [`tokens`], or nothing: Allow, Supported, Accept-Encoding, Accept-Language.
pub(super) fn maybe_tokens(input: &str) -> Parsed<'_> {
    if input.is_empty() { Ok((input, ())) } else { tokens(input) }
}

/// Tokens with semicolons between them: Privacy.
pub(super) fn privacy(input: &str) -> Parsed<'_> {
    separated(';', one_token, input)
}

/// Parameters alone: P-Charging-Vector.
pub(super) fn only_parameters(input: &str) -> Parsed<'_> {
    separated(';', parameter, input)
}

/// P-Visited-Network-ID.
pub(super) fn networks(input: &str) -> Parsed<'_> {
    separated(',', |input| value((), pair(alt((quoted, token)), parameters)).parse(input), input)
}

/// Content-Type.
pub(super) fn media_type(input: &str) -> Parsed<'_> {
    let part = |expected| named(expected, take_while1(is_token_char));
    value((), (part("a media type"), named("a slash", separator('/')), part("a subtype"), parameters)).parse(input)
}

/// Accept.
pub(super) fn maybe_media_types(input: &str) -> Parsed<'_> {
    if input.is_empty() { Ok((input, ())) } else { separated(',', media_type, input) }
}

/// Call-Info, Alert-Info, Error-Info.
pub(super) fn infos(input: &str) -> Parsed<'_> {
    let item = |input| {
        let uri = (named("an angle bracket", char('<')), uri, named("a closing angle bracket", char('>')), parameters);
        value((), uri).parse(input)
    };
    separated(',', item, input)
}

/// Accept-Contact, Reject-Contact, Feature-Caps.
pub(super) fn feature_sets(input: &str) -> Parsed<'_> {
    separated(',', |input| value((), pair(named("an asterisk", char('*')), parameters)).parse(input), input)
}

/// A list of URIs outside brackets: P-Asserted-Service.
pub(super) fn service_ids(input: &str) -> Parsed<'_> {
    separated(',', bare_uri, input)
}

/// Authorization, WWW-Authenticate and their Proxy forms: a scheme and parameters.
pub(super) fn credentials(input: &str) -> Parsed<'_> {
    let (rest, _) = pair(named("an authentication scheme", take_while1(is_token_char)), lws).parse(input)?;
    auth_parameters(rest)
}

/// Authentication-Info.
pub(super) fn auth_parameters(input: &str) -> Parsed<'_> {
    let item = |input| value((), (token, named("=", separator('=')), parameter_value)).parse(input);
    separated(',', item, input)
}

/// Server, User-Agent: products and comments.
pub(super) fn products(input: &str) -> Parsed<'_> {
    let product = |input| recognize(pair(token, opt_after('/', token))).parse(input);
    let item = |input| named("a product or a comment", alt((comment, product)))(input);
    let (mut rest, _) = item(input)?;
    while let Ok((after, _)) = lws(rest) {
        if after.is_empty() {
            break;
        }
        (rest, _) = item(after)?;
    }
    Ok((rest, ()))
}

/// One Warning: code, agent, text with its quotes.
pub(super) fn warning(input: &str) -> Parsed<'_, (&str, &str, &str)> {
    let three = nom::bytes::complete::take_while_m_n(3, 3, |char: char| char.is_ascii_digit());
    let code = terminated(named("a warning code of three digits", three), lws);
    let is_agent = |char: char| is_token_char(char) || matches!(char, ':' | '[' | ']');
    let agent = terminated(named("a host or a name", take_while1(is_agent)), lws);
    (code, agent, quoted).parse(input)
}

/// Warning.
pub(super) fn warnings(input: &str) -> Parsed<'_> {
    separated(',', |input| value((), warning).parse(input), input)
}

/// Date: `rfc1123-date`, always GMT.
pub(super) fn date(input: &str) -> Parsed<'_> {
    let fixed = |count| nom::bytes::complete::take_while_m_n(count, count, |char: char| char.is_ascii_digit());
    let weekday = named("a day of the week", one_of(&["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]));
    let month = named("a month", one_of(&["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]));
    let day = (weekday, tag(", "), named("a day", fixed(2)), tag(" "), month, tag(" "), named("a year", fixed(4)), tag(" "));
    let time = named("a time hh:mm:ss", recognize((fixed(2), tag(":"), fixed(2), tag(":"), fixed(2))));
    value((), (named("a date such as Sat, 13 Nov 2010 23:29:00 GMT", day), time, named("GMT", tag(" GMT")))).parse(input)
}

fn one_of<'a>(names: &'static [&'static str]) -> impl FnMut(&'a str) -> Parsed<'a, &'a str> {
    move |input| match input.get(..3).filter(|word| names.iter().any(|name| name.eq_ignore_ascii_case(word))) {
        Some(word) => Ok((&input[3..], word)),
        None => miss(input, ""),
    }
}

/// An identifier without white space: Conversation-ID, Contribution-ID.
pub(super) fn opaque(input: &str) -> Parsed<'_> {
    value((), named("an identifier", take_while1(|char: char| char.is_ascii_graphic()))).parse(input)
}

/// Text of any kind, without control characters: Subject, Organization, unknown fields.
pub(super) fn text(input: &str) -> Parsed<'_> {
    match input.find(|char: char| char.is_control() && !is_lws(char)) {
        Some(at) => miss(&input[at..], "text without control characters"),
        None => Ok(("", ())),
    }
}
