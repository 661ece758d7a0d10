//! Typed values of header fields, each a view into its text.

mod address;
mod capability;
mod event;
mod notice;
mod sequence;
mod session;
mod via;

use super::set::first_of;
use crate::wire::Fault;

pub use address::{Contact, NameAddr, bare_instance, tag_of};
pub use capability::{AcceptContact, MediaType, Service};
pub use event::{Event, State, SubscriptionState, Token};
pub use notice::{RetryAfter, Warning};
pub use sequence::{CSeq, RAck};
pub use session::{Reason, Refresher, Replaces, SessionExpires};
pub use via::Via;

/// The elements of a comma-separated value; commas inside quotes and angle brackets do not count.
pub fn list(value: &str) -> impl Iterator<Item = &str> {
    split(value, b',')
}

/// The first element of a comma-separated value.
pub fn first(value: &str) -> &str {
    // Most values have one element.
    if first_of([b','], value.as_bytes()).is_none() {
        return value.trim_ascii();
    }
    separator_at(value.as_bytes(), b',').map_or(value, |at| &value[..at]).trim_ascii()
}

/// Splits at `separator` outside quoted strings and angle brackets; parts are trimmed.
pub(super) fn split(value: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let at = separator_at(text.as_bytes(), separator);
        rest = at.map(|at| &text[at + 1..]);
        Some(text[..at.unwrap_or(text.len())].trim_ascii())
    })
}

/// Hops from one character that matters to the next.
fn separator_at(text: &[u8], separator: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        let next = at + memchr::memchr3(separator, b'"', b'<', text.get(at..)?)?;
        at = match text[next] {
            b'"' => quote_end(text, next)?,
            b'<' => next + memchr::memchr(b'>', &text[next..])?,
            _ => return Some(next),
        } + 1;
    }
}

/// Where the quoted string that opens at `open` closes.
pub(super) fn quote_end(text: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        let next = at + memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[next] == b'"' {
            return Some(next);
        }
        at = next + 2;
    }
}

/// The tokens of Allow, Supported, Require and other lists, empty elements left out.
pub fn tokens(value: &str) -> impl Iterator<Item = &str> {
    list(value).map(|element| element.split(';').next().unwrap_or("").trim_ascii()).filter(|token| !token.is_empty())
}

/// A number of seconds: Expires, Min-Expires, Min-SE; parameters are ignored.
///
/// # Errors
///
/// When it is no number below 2^32 (RFC 3261 20.19).
pub fn seconds(value: &str) -> Result<u32, Fault> {
    let digits = value.split(';').next().unwrap_or("").trim_ascii();
    let fault = Fault::new("sip-seconds", 0, "a number of seconds below 2^32");
    number(digits).ok().and_then(|seconds| u32::try_from(seconds).ok()).ok_or(fault)
}

/// A non-negative number of digits only.
///
/// # Errors
///
/// When it is empty, holds anything but digits, or does not fit.
pub fn number(text: &str) -> Result<u64, Fault> {
    let fault = Fault::new("number", 0, "digits");
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fault);
    }
    text.parse().map_err(|_| fault)
}

/// Removes the quotes and escapes of a quoted string; other text is returned as it is.
pub fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else { return text.to_owned() };
    if !inner.contains('\\') {
        return inner.to_owned();
    }
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        out.extend(if char == '\\' { chars.next() } else { Some(char) });
    }
    out
}

#[cfg(test)]
mod tests;
