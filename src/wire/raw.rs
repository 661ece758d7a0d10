//! The received bytes that a decoded message keeps, and the text in them.

use std::ops::Range;

use bytes::Bytes;
use bytes_utils::Str;

/// Received bytes. Nearly every message is UTF-8 to its last byte; that is found out once, so that
/// reading a part of it is a slice and nothing more.
#[derive(Clone, Debug)]
pub(super) enum Raw {
    /// UTF-8 throughout.
    Text(Str),
    /// Something in it is not, a binary body most of the time: each part is looked at by itself.
    Mixed(Bytes),
}

impl Raw {
    pub(super) fn of(bytes: Bytes) -> Self {
        Str::from_inner(bytes).map_or_else(|fault| Self::Mixed(fault.into_inner()), Self::Text)
    }

    pub(super) fn bytes(&self) -> &Bytes {
        match self {
            Self::Text(text) => text.inner(),
            Self::Mixed(bytes) => bytes,
        }
    }

    /// Whether it is UTF-8 throughout.
    pub(super) const fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// The text at `range`, up to where it ceases to be UTF-8.
    #[inline]
    pub(super) fn text(&self, range: Range<usize>) -> &str {
        match self {
            Self::Text(text) => text.get(range).unwrap_or(""),
            Self::Mixed(bytes) => valid(bytes.get(range).unwrap_or(&[])),
        }
    }

    /// Where the text at `range` ceases to be UTF-8, if it does.
    pub(super) fn first_non_utf8(&self, range: Range<usize>) -> Option<usize> {
        match self {
            Self::Text(_) => None,
            Self::Mixed(bytes) => std::str::from_utf8(&bytes[range.clone()]).err().map(|fault| range.start + fault.valid_up_to()),
        }
    }
}

/// The text up to where it ceases to be UTF-8.
#[cold]
fn valid(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).or_else(|fault| std::str::from_utf8(&bytes[..fault.valid_up_to()])).unwrap_or("")
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Raw {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_text_up_to_where_it_ceases_to_be_utf8() {
        let (text, mixed) = (Raw::of(Bytes::from_static(b"one two")), Raw::of(Bytes::from_static(b"one t\xffwo")));
        assert!(matches!((&text, &mixed), (Raw::Text(_), Raw::Mixed(_))));
        assert_eq!((text.text(4..7), mixed.text(0..3), mixed.text(4..8)), ("two", "one", "t"));
        assert_eq!((text.first_non_utf8(4..7), mixed.first_non_utf8(0..3), mixed.first_non_utf8(4..8)), (None, None, Some(5)));
        assert_eq!(text.text(5..99), "");
    }
}
