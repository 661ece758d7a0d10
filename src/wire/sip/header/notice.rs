//! What a response tells about itself: Retry-After, Warning.

use nom::Parser;

use super::{number, unquote};
use crate::wire::Fault;
use crate::wire::sip::grammar;
use crate::wire::sip::uri::Params;

/// Retry-After (RFC 3261 20.33).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryAfter<'a> {
    /// After how many seconds to try again.
    pub seconds: u64,
    /// The comment, with its parentheses.
    pub comment: Option<&'a str>,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> RetryAfter<'a> {
    /// Parses the value.
    ///
    /// # Errors
    ///
    /// When it does not start with a number, or a comment has no end.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let fault = |rest: &str, expected| Fault::new("sip-retry-after", text.len() - rest.len(), expected);
        let (rest, digits) = grammar::digits.parse(text).map_err(|_| fault(text, "seconds"))?;
        let seconds = number(digits).map_err(|_| fault(text, "seconds"))?;
        let rest = rest.trim_ascii_start();
        let (rest, comment) = match rest.starts_with('(') {
            true => {
                grammar::comment.parse(rest).map(|(rest, comment)| (rest, Some(comment))).map_err(|_| fault(rest, "a comment"))?
            }
            false => (rest, None),
        };
        Ok(Self { seconds, comment, params: Params(rest.trim_ascii_start()) })
    }

    /// How long the sender will then be reachable.
    pub fn duration(&self) -> Option<u64> {
        number(self.params.get("duration")?).ok()
    }
}

/// One Warning value (RFC 3261 20.43).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Warning<'a> {
    /// The code of three digits.
    pub code: u16,
    /// Who warns.
    pub agent: &'a str,
    quoted: &'a str,
}

impl<'a> Warning<'a> {
    /// Parses one element.
    ///
    /// # Errors
    ///
    /// When code, agent or quoted text is missing or malformed.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        match grammar::fields::warning.parse(text) {
            Ok((_, (code, agent, quoted))) => Ok(Self { code: code.parse().unwrap_or(0), agent, quoted }),
            Err(nom::Err::Error(miss) | nom::Err::Failure(miss)) => {
                Err(Fault::new("sip-warning", text.len() - miss.rest.len(), miss.expected))
            }
            Err(nom::Err::Incomplete(_)) => Err(Fault::new("sip-warning", text.len(), "more")),
        }
    }

    /// The text without quotes.
    pub fn text(&self) -> String {
        unquote(self.quoted)
    }
}
