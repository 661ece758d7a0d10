//! Bytes to values and back, lossless: no time, no state.
//!
//! Every decoder is total: any bytes give a value or a [`Fault`] that says where and what was
//! expected. A value is a view into the received bytes. What parses yet breaks a rule of its
//! standard is reported as a [`Violation`] by the module's `validate`.

pub mod cpim;
pub mod datetime;
pub mod imdn;
pub mod inspect;
mod lines;
pub mod mime;
pub mod msrp;
mod raw;
pub mod sdp;
pub mod sip;
pub mod xml;

use std::fmt;

use bytes::{BufMut, BytesMut};

/// Why bytes are not what they were read as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// A stable name of the fault, kebab-case, for example `sip-start-line`.
    pub code: &'static str,
    /// Where in the bytes it was noticed.
    pub offset: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl Fault {
    /// A fault at `offset`.
    pub const fn new(code: &'static str, offset: usize, expected: &'static str) -> Self {
        Self { code, offset, expected }
    }

    /// The same fault with its offset counted from `base` bytes earlier.
    pub const fn at(self, base: usize) -> Self {
        Self { offset: self.offset + base, ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {} ({})", self.expected, self.offset, self.code)
    }
}

impl std::error::Error for Fault {}

/// Writes a header field and its line end. Line ends inside it become spaces, so that it stays one.
fn put_one_line(out: &mut BytesMut, line: &str) {
    let mut rest = line.as_bytes();
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        out.put_slice(&rest[..at]);
        out.put_u8(b' ');
        rest = &rest[at + 1..];
    }
    out.put_slice(rest);
    out.put_slice(b"\r\n");
}

/// How bad a violation is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Allowed, but unwise or deprecated.
    Warning,
    /// Forbidden by the standard that the violation cites.
    Error,
}

/// A rule of a standard that a message breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// A stable name, kebab-case.
    pub code: &'static str,
    /// How bad it is.
    pub level: Level,
    /// Where in the message, in bytes from its start.
    pub offset: usize,
    /// The rule, for example `RFC 3261 20.14`.
    pub rfc: &'static str,
    /// What is wrong, for a person: a lower-case fragment.
    pub message: String,
}
