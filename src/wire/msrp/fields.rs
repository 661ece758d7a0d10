//! Flags, report wishes and byte ranges: the small grammars of RFC 4975 9.

use std::fmt;

use crate::wire::Fault;

/// The continuation flag of an end-line (RFC 4975 7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flag {
    /// `$`: the message is complete.
    Complete,
    /// `+`: more chunks follow.
    More,
    /// `#`: the message is aborted.
    Aborted,
}

impl Flag {
    /// The octet on the wire.
    pub const fn octet(self) -> u8 {
        match self {
            Self::Complete => b'$',
            Self::More => b'+',
            Self::Aborted => b'#',
        }
    }

    /// Reads the octet.
    pub const fn of(octet: u8) -> Option<Self> {
        match octet {
            b'$' => Some(Self::Complete),
            b'+' => Some(Self::More),
            b'#' => Some(Self::Aborted),
            _ => None,
        }
    }
}

/// Failure-Report (RFC 4975 7.1.1); `yes` when absent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FailureReport {
    /// Every response and report is wanted.
    #[default]
    Yes,
    /// Only errors are wanted.
    Partial,
    /// Nothing is wanted.
    No,
}

impl fmt::Display for FailureReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::Partial => "partial",
            Self::No => "no",
        })
    }
}

/// Byte-Range `start-end/total`, 1-based; `None` stands for `*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The last byte.
    pub end: Option<u64>,
    /// The size of the whole message.
    pub total: Option<u64>,
}

impl ByteRange {
    /// Parses the value.
    ///
    /// # Errors
    ///
    /// When it has not the form `start-end/total`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let fault = Fault::new("msrp-byte-range", 0, "start-end/total");
        let (start, rest) = text.trim().split_once('-').ok_or(fault)?;
        let (end, total) = rest.split_once('/').ok_or(fault)?;
        let bound = |text: &str| match text {
            "*" => Ok(None),
            digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map(Some).map_err(|_| fault)
            }
            _ => Err(fault),
        };
        let start = bound(start)?.ok_or(fault)?;
        Ok(Self { start, end: bound(end)?, total: bound(total)? })
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = |value: Option<u64>| value.map_or_else(|| "*".to_owned(), |value| value.to_string());
        write!(f, "{}-{}/{}", self.start, bound(self.end), bound(self.total))
    }
}
