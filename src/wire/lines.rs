//! Lines and `name: value` fields over bytes: what CPIM, MIME and SDP share.

use std::ops::Range;

/// One line of a text; `next` is where the following one starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Line {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) next: usize,
}

impl Line {
    /// The line that starts at `at`, `None` at the end of the bytes. A bare LF ends a line too.
    pub(super) fn at(bytes: &[u8], at: usize) -> Option<Self> {
        if at >= bytes.len() {
            return None;
        }
        let (end, next) = match memchr::memchr(b'\n', &bytes[at..]) {
            Some(length) => (at + length, at + length + 1),
            None => (bytes.len(), bytes.len()),
        };
        let end = if next > end && end > at && bytes[end - 1] == b'\r' { end - 1 } else { end };
        Some(Self { start: at, end, next })
    }

    pub(super) const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether the line ends in CRLF.
    pub(super) const fn is_strict(self) -> bool {
        self.next == self.end + 2
    }

    pub(super) const fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// A field: where its name and its value stand, blanks around the value left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Slot {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
}

impl Slot {
    /// The field on `line`, `None` when no name and colon stand there.
    pub(super) fn of(bytes: &[u8], line: Line) -> Option<Self> {
        let text = &bytes[line.range()];
        let colon = memchr::memchr(b':', text)?;
        let name = text[..colon].trim_ascii_end();
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut slot = Self { name: line.start..line.start + name.len(), value: line.start + colon + 1..line.end };
        slot.trim(bytes);
        Some(slot)
    }

    /// Makes the value go on over the folded `line`.
    pub(super) fn extend(&mut self, bytes: &[u8], line: Line) {
        self.value.end = line.end;
        self.trim(bytes);
    }

    fn trim(&mut self, bytes: &[u8]) {
        let value = &bytes[self.value.clone()];
        let lead = value.len() - value.trim_ascii_start().len();
        let trail = value.len() - value.trim_ascii_end().len();
        let start = (self.value.start + lead).min(self.value.end);
        self.value = start..(self.value.end - trail).max(start);
    }
}

/// Whether a folded line starts here.
pub(super) fn is_folded(bytes: &[u8], line: Line) -> bool {
    !line.is_empty() && matches!(bytes[line.start], b' ' | b'\t')
}
