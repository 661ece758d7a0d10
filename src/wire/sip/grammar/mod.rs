//! The grammar of RFC 3261 25.1 and of its extensions, strictly, as nom parsers over the text of a
//! header field.
//!
//! The typed views of [`super::header`] are tolerant and take what they need; these parsers decide
//! whether a value is well-formed to its last character, and where it ceases to be. Values may
//! still be folded: line ends inside a value were seen to be folds by the scanner, so white space
//! of any kind counts as LWS.

pub(super) mod fields;
mod uri;

use nom::bytes::complete::{take_while, take_while1};
use nom::character::complete::{char, digit1};
use nom::combinator::{eof, value};
use nom::error::{ErrorKind, ParseError};
use nom::sequence::{pair, preceded, terminated};
use nom::{Err, IResult, Parser};

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
