//! The values of header fields, one rule per form.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case, take_while_m_n};
use nom::character::complete::char;
use nom::combinator::{eof, opt, recognize, value};
use nom::sequence::{pair, preceded, terminated};

use super::uri::port;
use super::{
    ALPHANUMERIC, DIGITS, LWS, Miss, Parsed, Set, TOKEN, TOKEN_MARKS, comment, cut, digits, each, host, is_lws, lws, miss, named,
    opt_after, parameter, parameter_value, parameters, quoted, separated, separator, set, some, sws, token, uri,
};

/// `token` characters and white space: the display name outside quotes.
static WORDS: Set = set(&[ALPHANUMERIC, TOKEN_MARKS, b" \t\r\n"]);
/// `word` characters.
static WORD: Set = set(&[ALPHANUMERIC, TOKEN_MARKS, b"()<>:\\\"/[]?{}"]);
static ADDRESS: Set = set(&[b"0123456789abcdefABCDEF:."]);
static AGENT: Set = set(&[ALPHANUMERIC, TOKEN_MARKS, b":[]"]);
/// Everything visible.
static GRAPHIC: Set = set(&[ALPHANUMERIC, b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"]);

/// `name-addr`: the URI stands in angle brackets, without white space in them.
pub(in crate::wire::sip) fn name_addr(input: &str) -> Parsed<'_> {
    let (rest, _) = if input.starts_with('"') { terminated(quoted, sws).parse(input) } else { words(input) }?;
    value((), (named("an angle bracket", char('<')), uri, named("a closing angle bracket", char('>')))).parse(rest)
}

/// `*(token LWS)`.
fn words(input: &str) -> Parsed<'_, &str> {
    let mut rest = input;
    loop {
        match cut(&TOKEN, rest) {
            ("", _) => return Ok((rest, &input[..input.len() - rest.len()])),
            (_, after) => rest = cut(&LWS, after).1,
        }
    }
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
    if cut(&WORDS, input).1.starts_with('<') || input.starts_with('"') { name_addr(input) } else { bare_uri(input) }
}

/// From, To, Refer-To, Referred-By, Reply-To: `(name-addr / addr-spec) *(SEMI param)`.
pub(in crate::wire::sip) fn address_parameters(input: &str) -> Parsed<'_> {
    value((), pair(address, parameters)).parse(input)
}

/// A list of [`address_parameters`].
pub(in crate::wire::sip) fn addresses(input: &str) -> Parsed<'_> {
    separated(',', address_parameters, input)
}

/// As [`addresses`], or nothing.
pub(in crate::wire::sip) fn maybe_addresses(input: &str) -> Parsed<'_> {
    if input.is_empty() { Ok((input, ())) } else { addresses(input) }
}

/// Route, Record-Route, Path, Service-Route, History-Info: `name-addr *(SEMI param)`, a list.
pub(in crate::wire::sip) fn routes(input: &str) -> Parsed<'_> {
    separated(',', |input| value((), pair(name_addr, parameters)).parse(input), input)
}

/// Contact: `*` or addresses.
pub(in crate::wire::sip) fn contact(input: &str) -> Parsed<'_> {
    if input == "*" { Ok(("", ())) } else { addresses(input) }
}

fn via_parameter(input: &str) -> Parsed<'_> {
    // RFC 5118 4.5: generators write an IPv6 address here with and without brackets.
    if input.get(..8).is_some_and(|name| name.eq_ignore_ascii_case("received")) {
        let address = alt((host, some("an address", &ADDRESS)));
        return value((), preceded(pair(tag_no_case("received"), separator('=')), address)).parse(input);
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
pub(in crate::wire::sip) fn via(input: &str) -> Parsed<'_> {
    separated(',', via_element, input)
}

/// CSeq.
pub(in crate::wire::sip) fn cseq(input: &str) -> Parsed<'_> {
    value((), (digits, lws, some("a method", &TOKEN))).parse(input)
}

/// RAck.
pub(in crate::wire::sip) fn rack(input: &str) -> Parsed<'_> {
    value((), (digits, lws, digits, lws, some("a method", &TOKEN))).parse(input)
}

fn word(input: &str) -> Parsed<'_, &str> {
    some("a word", &WORD)(input)
}

/// Call-ID.
pub(in crate::wire::sip) fn call_id(input: &str) -> Parsed<'_> {
    value((), pair(word, opt(preceded(char('@'), word)))).parse(input)
}

/// In-Reply-To.
pub(in crate::wire::sip) fn call_ids(input: &str) -> Parsed<'_> {
    separated(',', call_id, input)
}

/// Replaces, Join, Target-Dialog: a Call-ID and tags.
pub(in crate::wire::sip) fn dialog(input: &str) -> Parsed<'_> {
    value((), pair(call_id, parameters)).parse(input)
}

/// A number and nothing else: Content-Length, Max-Forwards, Expires, Min-Expires, RSeq.
pub(in crate::wire::sip) fn number(input: &str) -> Parsed<'_> {
    value((), digits).parse(input)
}

/// Session-Expires, Min-SE.
pub(in crate::wire::sip) fn interval(input: &str) -> Parsed<'_> {
    value((), pair(digits, parameters)).parse(input)
}

/// Retry-After.
pub(in crate::wire::sip) fn retry_after(input: &str) -> Parsed<'_> {
    value((), (digits, opt(preceded(sws, comment)), parameters)).parse(input)
}

/// Digits and decimals, as many as there are.
fn decimal(input: &str) -> Parsed<'_> {
    let (_, rest) = cut(&DIGITS, input);
    Ok((rest.strip_prefix('.').map_or(rest, |decimals| cut(&DIGITS, decimals).1), ()))
}

/// Timestamp.
pub(in crate::wire::sip) fn timestamp(input: &str) -> Parsed<'_> {
    value((), (digits, opt(preceded(char('.'), digits)), opt(preceded(lws, decimal)))).parse(input)
}

/// MIME-Version.
pub(in crate::wire::sip) fn mime_version(input: &str) -> Parsed<'_> {
    value((), (digits, char('.'), digits)).parse(input)
}

/// One token: Priority, SIP-ETag.
pub(in crate::wire::sip) fn one_token(input: &str) -> Parsed<'_> {
    value((), token).parse(input)
}

/// `token *(SEMI param)`: Event, Subscription-State, Content-Disposition, P-Access-Network-Info.
pub(in crate::wire::sip) fn token_parameters(input: &str) -> Parsed<'_> {
    value((), pair(token, parameters)).parse(input)
}

/// A list of tokens with parameters: Require, Reason, Content-Encoding.
pub(in crate::wire::sip) fn tokens(input: &str) -> Parsed<'_> {
    separated(',', token_parameters, input)
}

/// As [`tokens`], or nothing: Allow, Supported, Accept-Encoding, Accept-Language.
pub(in crate::wire::sip) fn maybe_tokens(input: &str) -> Parsed<'_> {
    if input.is_empty() { Ok((input, ())) } else { tokens(input) }
}

/// Tokens with semicolons between them: Privacy.
pub(in crate::wire::sip) fn privacy(input: &str) -> Parsed<'_> {
    separated(';', one_token, input)
}

/// Parameters alone: P-Charging-Vector.
pub(in crate::wire::sip) fn only_parameters(input: &str) -> Parsed<'_> {
    separated(';', parameter, input)
}

/// P-Visited-Network-ID.
pub(in crate::wire::sip) fn networks(input: &str) -> Parsed<'_> {
    separated(',', |input| value((), pair(alt((quoted, token)), parameters)).parse(input), input)
}

/// Content-Type.
pub(in crate::wire::sip) fn media_type(input: &str) -> Parsed<'_> {
    let part = |expected| some(expected, &TOKEN);
    value((), (part("a media type"), named("a slash", separator('/')), part("a subtype"), parameters)).parse(input)
}

/// Accept.
pub(in crate::wire::sip) fn maybe_media_types(input: &str) -> Parsed<'_> {
    if input.is_empty() { Ok((input, ())) } else { separated(',', media_type, input) }
}

/// Call-Info, Alert-Info, Error-Info.
pub(in crate::wire::sip) fn infos(input: &str) -> Parsed<'_> {
    let item = |input| {
        let uri = (named("an angle bracket", char('<')), uri, named("a closing angle bracket", char('>')), parameters);
        value((), uri).parse(input)
    };
    separated(',', item, input)
}

/// Accept-Contact, Reject-Contact, Feature-Caps.
pub(in crate::wire::sip) fn feature_sets(input: &str) -> Parsed<'_> {
    separated(',', |input| value((), pair(named("an asterisk", char('*')), parameters)).parse(input), input)
}

/// A list of URIs outside brackets: P-Asserted-Service.
pub(in crate::wire::sip) fn service_ids(input: &str) -> Parsed<'_> {
    separated(',', bare_uri, input)
}

/// Authorization, WWW-Authenticate and their Proxy forms: a scheme and parameters.
pub(in crate::wire::sip) fn credentials(input: &str) -> Parsed<'_> {
    let (rest, _) = pair(some("an authentication scheme", &TOKEN), lws).parse(input)?;
    auth_parameters(rest)
}

/// Authentication-Info.
pub(in crate::wire::sip) fn auth_parameters(input: &str) -> Parsed<'_> {
    let item = |input| value((), (token, named("=", separator('=')), parameter_value)).parse(input);
    separated(',', item, input)
}

/// Server, User-Agent: products and comments.
pub(in crate::wire::sip) fn products(input: &str) -> Parsed<'_> {
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
pub(in crate::wire::sip) fn warning(input: &str) -> Parsed<'_, (&str, &str, &str)> {
    let three = take_while_m_n(3, 3, |char: char| char.is_ascii_digit());
    let code = terminated(named("a warning code of three digits", three), lws);
    let agent = terminated(some("a host or a name", &AGENT), lws);
    (code, agent, quoted).parse(input)
}

/// Warning.
pub(in crate::wire::sip) fn warnings(input: &str) -> Parsed<'_> {
    separated(',', |input| value((), warning).parse(input), input)
}

/// Date: `rfc1123-date`, always GMT.
pub(in crate::wire::sip) fn date(input: &str) -> Parsed<'_> {
    let fixed = |count| take_while_m_n(count, count, |char: char| char.is_ascii_digit());
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
pub(in crate::wire::sip) fn opaque(input: &str) -> Parsed<'_> {
    value((), some("an identifier", &GRAPHIC)).parse(input)
}

/// Text of any kind, without control characters: Subject, Organization, unknown fields.
pub(in crate::wire::sip) fn text(input: &str) -> Parsed<'_> {
    match input.find(|char: char| char.is_control() && !is_lws(char)) {
        Some(at) => miss(&input[at..], "text without control characters"),
        None => Ok(("", ())),
    }
}
