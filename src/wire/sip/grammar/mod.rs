//! The grammar of RFC 3261 25.1 and of its extensions, strictly, as nom parsers over the text of a
//! header field.
//!
//! The typed views of [`super::header`] are tolerant and take what they need; these parsers decide
//! whether a value is well-formed to its last character, and where it ceases to be. Values may
//! still be folded: line ends inside a value were seen to be folds by the scanner, so white space
//! of any kind counts as LWS.

pub(super) mod fields;
mod uri;

use nom::combinator::eof;
use nom::error::{ErrorKind, ParseError};
use nom::sequence::{preceded, terminated};
use nom::{Err, IResult, Parser};

use super::set::{ALPHANUMERIC, Set, run, set};
pub(super) use uri::{host, ipv6, uri};

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

static LWS: Set = set(&[b" \t\r\n"]);
static DIGITS: Set = set(&[b"0123456789"]);
/// What a token may hold besides letters and digits.
const TOKEN_MARKS: &[u8] = b"-.!%*_+`'~";
static TOKEN: Set = set(&[ALPHANUMERIC, TOKEN_MARKS]);
/// What stands for itself in a quoted string, as far as it is ASCII.
static QUOTED: Set = set(&[ALPHANUMERIC, b" \t\r\n!#$%&'()*+,-./:;<=>?@[]^_`{|}~"]);

const fn is_lws(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\n')
}

/// Whether `text` is a token.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && run(&TOKEN, text.as_bytes()) == text.len()
}

/// Splits behind the characters of `set`; there may be none.
fn cut<'a>(set: &Set, input: &'a str) -> (&'a str, &'a str) {
    input.split_at(run(set, input.as_bytes()))
}

/// At least one character of `set`.
fn some<'a>(expected: &'static str, set: &'static Set) -> impl FnMut(&'a str) -> Parsed<'a, &'a str> {
    move |input| match cut(set, input) {
        ("", _) => miss(input, expected),
        (run, rest) => Ok((rest, run)),
    }
}

fn sws(input: &str) -> Parsed<'_, &str> {
    let (space, rest) = cut(&LWS, input);
    Ok((rest, space))
}

fn lws(input: &str) -> Parsed<'_, &str> {
    some("white space", &LWS)(input)
}

/// A separator with white space around it.
fn separator<'a>(mark: char) -> impl FnMut(&'a str) -> Parsed<'a> {
    move |input| {
        let (_, rest) = cut(&LWS, input);
        match rest.strip_prefix(mark) {
            Some(after) => Ok((cut(&LWS, after).1, ())),
            None => miss(rest, ""),
        }
    }
}

/// `item (mark item)*`: after a mark an item is owed.
fn separated<'a>(mark: char, mut item: impl FnMut(&'a str) -> Parsed<'a>, input: &'a str) -> Parsed<'a> {
    let (mut rest, ()) = item(input)?;
    while let Ok((after, ())) = separator(mark)(rest) {
        (rest, ()) = item(after)?;
    }
    Ok((rest, ()))
}

/// `(mark item)*`.
fn each<'a>(mark: char, mut item: impl FnMut(&'a str) -> Parsed<'a>, input: &'a str) -> Parsed<'a> {
    let mut rest = input;
    while let Ok((after, ())) = separator(mark)(rest) {
        (rest, ()) = item(after)?;
    }
    Ok((rest, ()))
}

pub(super) fn token(input: &str) -> Parsed<'_, &str> {
    some("a token", &TOKEN)(input)
}

pub(super) fn digits(input: &str) -> Parsed<'_, &str> {
    some("digits", &DIGITS)(input)
}

/// `quoted-string` with its quotes.
pub(super) fn quoted(input: &str) -> Parsed<'_, &str> {
    let bytes = input.as_bytes();
    if bytes.first() != Some(&b'"') {
        return miss(input, "a quoted string");
    }
    let mut at = 1;
    loop {
        at += run(&QUOTED, &bytes[at..]);
        match bytes.get(at) {
            None => return miss(&input[at..], "a closing quote"),
            Some(b'"') => return Ok((&input[at + 1..], &input[..=at])),
            Some(b'\\') => match bytes.get(at + 1) {
                Some(escaped) if escaped.is_ascii() && !matches!(escaped, b'\r' | b'\n') => at += 2,
                _ => return miss(&input[at..], "an escaped character"),
            },
            Some(_) => match input[at..].chars().next() {
                Some(char) if !char.is_control() => at += char.len_utf8(),
                _ => return miss(&input[at..], "text without control characters"),
            },
        }
    }
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

/// `gen-value`.
fn parameter_value(input: &str) -> Parsed<'_, &str> {
    match input.as_bytes().first() {
        Some(b'"') => quoted(input),
        Some(b'[') => host(input),
        _ => some("a parameter value", &TOKEN)(input),
    }
}

/// `generic-param`.
fn parameter(input: &str) -> Parsed<'_> {
    let (rest, _) = some("a parameter", &TOKEN)(input)?;
    let (rest, _) = opt_after('=', parameter_value).parse(rest)?;
    Ok((rest, ()))
}

/// Nothing, or `mark item`: after the mark the item is owed.
fn opt_after<'a, T>(
    mark: char,
    mut item: impl FnMut(&'a str) -> Parsed<'a, T>,
) -> impl Parser<&'a str, Output = Option<T>, Error = Miss<'a>> {
    move |input| match separator(mark)(input) {
        Ok((after, ())) => item(after).map(|(rest, item)| (rest, Some(item))),
        Err(_) => Ok((input, None)),
    }
}

pub(super) fn parameters(input: &str) -> Parsed<'_> {
    each(';', parameter, input)
}
