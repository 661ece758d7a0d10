//! The scanner of the header section: lines, start line, fields and Content-Length.
//!
//! Datagram decoder and stream framer both stand on it, so they cannot disagree about where a line
//! ends, what is folded, or how long the body is. It is as tolerant as a reader can be without
//! guessing; what it lets pass, [`validate`](fn@super::validate) reports.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memrchr};

use super::Name;
use super::set::first_of;
use crate::wire::Fault;

/// A span of the message's bytes. Messages are far below 4 GiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    #[expect(clippy::cast_possible_truncation, reason = "the decoder refuses messages of 4 GiB and more")]
    pub(super) const fn of(range: Range<usize>) -> Self {
        Self { start: range.start as u32, end: range.end as u32 }
    }

    pub(super) const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// What the start line says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    Request { method: Span, uri: Span, version: Span },
    Status { version: Span, code: u16, reason: Span },
}

/// One header field. Its line begins with its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot {
    pub(super) name: Name,
    token_end: u32,
    pub(super) value: Span,
    /// The whole field with folds and line end.
    pub(super) line: Span,
}

impl Slot {
    /// The field that fills the line at `line` and whose name has `token` bytes.
    pub(super) fn of_line(bytes: &[u8], name: Name, token: usize, line: Range<usize>) -> Self {
        let colon = line.start + token;
        Self {
            name,
            token_end: Span::of(line.start..colon).end,
            value: Span::of(trim(bytes, colon + 1..line.end)),
            line: Span::of(line),
        }
    }

    pub(super) const fn token(&self) -> Span {
        Span { start: self.line.start, end: self.token_end }
    }
}

/// A scanned header section: consecutive spans from the first byte of the start line on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) start: Start,
    /// The start line with its line end.
    pub(super) start_line: Span,
    pub(super) slots: Vec<Slot>,
    /// The empty line.
    pub(super) blank: Span,
}

/// More fields than this make the table of fields grow while it is filled.
const USUAL_FIELDS: usize = 64;
/// Where the header section usually ends.
const USUAL_HEAD: usize = 4096;

impl Head {
    /// Scans the header section that begins at `first`.
    pub(super) fn scan(bytes: &[u8], first: usize) -> Result<Self, Fault> {
        let (line_end, mut at) = line(bytes, first).ok_or(Fault::new("sip-start-line", first, "a start line"))?;
        let start = start_line(bytes, first..line_end)?;
        let start_line = Span::of(first..at);
        // Counted first, so that the table is allocated once and in the right size.
        let window = &bytes[at..bytes.len().min(at.saturating_add(USUAL_HEAD))];
        let mut slots = Vec::with_capacity(memchr_iter(b'\n', window).count().min(USUAL_FIELDS));
        loop {
            let (end, next) = line(bytes, at).ok_or(Fault::new("sip-header-end", at, "an empty line after the header fields"))?;
            if end == at {
                return Ok(Self { start, start_line, slots, blank: Span::of(at..next) });
            }
            let slot = field(bytes, at, end, next)?;
            at = slot.line.end as usize;
            slots.push(slot);
        }
    }

    /// The offset behind the empty line.
    pub(super) const fn end(&self) -> usize {
        self.blank.end as usize
    }

    /// What all Content-Length fields agree on (RFC 3261 20.14).
    ///
    /// # Errors
    ///
    /// When one is no number, or two differ.
    pub(super) fn content_length(&self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let mut length = None;
        for slot in self.slots.iter().filter(|slot| slot.name == Name::ContentLength) {
            let at = slot.value.range();
            let fault = |expected| Fault::new("sip-content-length", at.start, expected);
            let octets = octets(&bytes[at.clone()]).map_err(fault)?;
            if length.is_some_and(|earlier| earlier != octets) {
                return Err(fault("the same Content-Length as before"));
            }
            length = Some(octets);
        }
        Ok(length)
    }
}

/// A number of digits only; `Err` with what was expected.
fn octets(digits: &[u8]) -> Result<usize, &'static str> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err("a number of octets");
    }
    let grow = |number: usize, digit: &u8| number.checked_mul(10)?.checked_add(usize::from(digit - b'0'));
    digits.iter().try_fold(0, grow).ok_or("a number of octets within reach")
}

/// The end of the line at `at` without its CRLF (or bare LF), and the start of the next line.
pub(super) fn line(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let feed = at + memchr(b'\n', bytes.get(at..)?)?;
    let end = if feed > at && bytes[feed - 1] == b'\r' { feed - 1 } else { feed };
    Some((end, feed + 1))
}

/// How many bytes of empty lines come first (RFC 3261 7.5).
pub(super) fn lead(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

pub(super) fn start_line(bytes: &[u8], range: Range<usize>) -> Result<Start, Fault> {
    let text = bytes[range.clone()].trim_ascii_end();
    let fault = |offset, expected| Fault::new("sip-start-line", range.start + offset, expected);
    let first = memchr(b' ', text).ok_or(fault(text.len(), "a space after the first word"))?;
    if is_version(&text[..first]) {
        return status_line(bytes, range, first);
    }
    let last = memrchr(b' ', text).filter(|last| *last > first).ok_or(fault(first + 1, "a Request-URI and a version"))?;
    if first == 0 {
        return Err(fault(0, "a method"));
    }
    if !is_version(&text[last + 1..]) {
        return Err(fault(last + 1, "a SIP version"));
    }
    let shift = |part: Range<usize>| Span::of(range.start + part.start..range.start + part.end);
    let uri = trim(text, first + 1..last);
    Ok(Start::Request { method: shift(0..first), uri: shift(uri), version: shift(last + 1..text.len()) })
}

fn status_line(bytes: &[u8], range: Range<usize>, first: usize) -> Result<Start, Fault> {
    let text = &bytes[range.clone()];
    let rest = first + 1;
    let code_end = memchr(b' ', &text[rest..]).map_or(text.len(), |at| rest + at);
    let code = match text[rest..code_end] {
        [a, b, c] if [a, b, c].iter().all(u8::is_ascii_digit) => {
            [a, b, c].iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'))
        }
        _ => return Err(Fault::new("sip-start-line", range.start + rest, "a status code of three digits")),
    };
    let reason = (code_end + 1).min(text.len());
    let shift = |part: Range<usize>| Span::of(range.start + part.start..range.start + part.end);
    Ok(Start::Status { version: shift(0..first), code, reason: shift(reason..text.len()) })
}

fn is_version(word: &[u8]) -> bool {
    word.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"SIP/"))
}

/// The field whose first line stands at `at..end`, with the lines folded to it (RFC 3261 7.3.1).
fn field(bytes: &[u8], at: usize, end: usize, next: usize) -> Result<Slot, Fault> {
    let first = &bytes[at..end];
    let colon = first_of([b':'], first).ok_or(Fault::new("sip-header-line", at, "a header name and a colon"))?;
    let token = first[..colon].trim_ascii_end();
    if token.is_empty() || is_blank(token[0]) {
        return Err(Fault::new("sip-header-name", at, "a header name"));
    }
    let (mut end, mut next) = (end, next);
    while bytes.get(next).copied().is_some_and(is_blank) {
        (end, next) = line(bytes, next).ok_or(Fault::new("sip-header-end", next, "an empty line after the header fields"))?;
    }
    Ok(Slot {
        name: Name::of(token),
        token_end: Span::of(at..at + token.len()).end,
        value: Span::of(trim(bytes, at + colon + 1..end)),
        line: Span::of(at..next),
    })
}

fn trim(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let text = &bytes[range.clone()];
    let whole = text.trim_ascii_end();
    let lead = whole.len() - whole.trim_ascii_start().len();
    range.start + lead..range.start + whole.len()
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
