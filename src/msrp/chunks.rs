//! Cutting a message into chunks and putting one together from its byte ranges (RFC 4975 5.1, 7.3.1).

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::wire::msrp::{ByteRange, Flag};

/// Above this size a chunk is interruptible: its Byte-Range does not tell the end (RFC 4975 7.1.1).
pub(super) const INTERRUPTIBLE: usize = 2048;
/// The most pieces that wait for bytes before them.
const MAX_PIECES: usize = 1024;

/// The next part of a message to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cut {
    pub(super) range: ByteRange,
    pub(super) data: Bytes,
    pub(super) flag: Flag,
}

/// Cuts the part that starts at `sent`. One that is `crowded` by other messages is interrupted at
/// the smallest size at which that is allowed.
pub(super) fn cut(body: &Bytes, sent: usize, chunk_size: usize, crowded: bool) -> Cut {
    let wanted = if chunk_size == 0 { INTERRUPTIBLE } else { chunk_size };
    let size = if crowded { wanted.min(INTERRUPTIBLE) } else { wanted };
    let end = sent.saturating_add(size).min(body.len());
    let intended = sent.saturating_add(wanted).min(body.len()) - sent;
    let range = ByteRange {
        start: sent as u64 + 1,
        end: (intended <= INTERRUPTIBLE).then_some(end as u64),
        total: Some(body.len() as u64),
    };
    Cut { range, data: body.slice(sent..end), flag: if end == body.len() { Flag::Complete } else { Flag::More } }
}

/// Why a chunk cannot be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Misfit {
    /// Its range contradicts itself, its data or earlier chunks.
    Range,
    /// The message is larger than allowed.
    TooLarge,
}

/// A message in the making.
///
/// What came in order is one run of bytes; what came ahead of it waits in pieces, none of which
/// overlap. Of bytes that come twice the later ones count (RFC 4975 7.3.1).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Assembly {
    run: BytesMut,
    ahead: BTreeMap<u64, Bytes>,
    waiting: u64,
    total: Option<u64>,
    ended: bool,
}

impl Assembly {
    /// Takes a chunk of at most `limit` bytes of message.
    pub(super) fn add(&mut self, range: Option<ByteRange>, data: Bytes, flag: Flag, limit: u64) -> Result<(), Misfit> {
        let range = range.unwrap_or(ByteRange { start: 1, end: None, total: None });
        let start = range.start.checked_sub(1).ok_or(Misfit::Range)?;
        let end = start.checked_add(data.len() as u64).ok_or(Misfit::Range)?;
        let told = range.total.or((flag == Flag::Complete).then_some(end));
        let total = match (self.total, told) {
            (Some(known), Some(told)) if known != told => return Err(Misfit::Range),
            (known, told) => known.or(told),
        };
        if end.max(total.unwrap_or(0)) > limit {
            return Err(Misfit::TooLarge);
        }
        if total.is_some_and(|total| end > total || self.end() > total) {
            return Err(Misfit::Range);
        }
        // The one who tells the end of the chunk owes that much, unless the chunk was aborted.
        if range.end.is_some_and(|told| told != end) && flag != Flag::Aborted {
            return Err(Misfit::Range);
        }
        self.total = total;
        self.ended |= flag == Flag::Complete;
        self.put(start, end, data)
    }

    fn put(&mut self, start: u64, end: u64, data: Bytes) -> Result<(), Misfit> {
        if start > self.run.len() as u64 {
            self.clear(start, end);
            self.waiting += data.len() as u64;
            if !data.is_empty() {
                self.ahead.insert(start, data);
            }
            return if self.ahead.len() > MAX_PIECES { Err(Misfit::TooLarge) } else { Ok(()) };
        }
        // `start` lies within the run, so both fit into memory.
        let at = usize::try_from(start).unwrap_or(usize::MAX);
        let inside = data.len().min(self.run.len() - at);
        self.run[at..at + inside].copy_from_slice(&data[..inside]);
        self.clear(start, end);
        self.run.extend_from_slice(&data[inside..]);
        self.join();
        Ok(())
    }

    /// Removes what waits between the bounds.
    fn clear(&mut self, start: u64, end: u64) {
        let below = self.ahead.range(..start).next_back().map(|(at, piece)| (*at, piece.clone()));
        let within: Vec<u64> = self.ahead.range(start..end).map(|(at, _)| *at).collect();
        let pieces = below.into_iter().map(|(at, _)| at).chain(within).collect::<Vec<_>>();
        for at in pieces {
            let Some(piece) = self.ahead.remove(&at) else { continue };
            self.waiting -= piece.len() as u64;
            let piece_end = at + piece.len() as u64;
            let part = |from: u64, to: u64| piece.slice(offset(from - at)..offset(to - at));
            if at < start {
                self.wait(at, part(at, piece_end.min(start)));
            }
            if piece_end > end {
                let from = end.max(at);
                self.wait(from, part(from, piece_end));
            }
        }
    }

    fn wait(&mut self, at: u64, piece: Bytes) {
        if !piece.is_empty() {
            self.waiting += piece.len() as u64;
            self.ahead.insert(at, piece);
        }
    }

    /// Moves what has become the continuation of the run into it.
    fn join(&mut self) {
        while let Some(piece) = self.ahead.remove(&(self.run.len() as u64)) {
            self.waiting -= piece.len() as u64;
            self.run.extend_from_slice(&piece);
        }
    }

    /// How far the bytes reach that came.
    fn end(&self) -> u64 {
        let ahead = self.ahead.last_key_value().map_or(0, |(at, piece)| at + piece.len() as u64);
        ahead.max(self.run.len() as u64)
    }

    /// How many bytes are held.
    pub(super) fn held(&self) -> u64 {
        self.run.len() as u64 + self.waiting
    }

    /// Whether every byte came, and the chunk that ends the message.
    pub(super) fn is_complete(&self) -> bool {
        self.ended && self.total == Some(self.run.len() as u64)
    }

    /// The message.
    pub(super) fn into_body(self) -> Bytes {
        self.run.freeze()
    }
}

/// A distance inside a piece, which is in memory.
fn offset(distance: u64) -> usize {
    usize::try_from(distance).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> Option<ByteRange> {
        Some(ByteRange::parse(text).unwrap())
    }

    fn add(assembly: &mut Assembly, text: &str, data: &'static str, flag: Flag) -> Result<(), Misfit> {
        assembly.add(range(text), Bytes::from_static(data.as_bytes()), flag, 100)
    }

    #[test]
    fn small_chunks_tell_their_end_and_large_ones_do_not() {
        let body = Bytes::from(vec![b'x'; 5000]);
        let ranges = |size, crowded| {
            let (mut sent, mut ranges) = (0, Vec::new());
            while sent < body.len() {
                let cut = cut(&body, sent, size, crowded);
                sent += cut.data.len();
                ranges.push(format!("{} {}", cut.range, char::from(cut.flag.octet())));
            }
            ranges
        };
        assert_eq!(ranges(2048, false), ["1-2048/5000 +", "2049-4096/5000 +", "4097-5000/5000 $"]);
        assert_eq!(ranges(10_000, false), ["1-*/5000 $"]);
        assert_eq!(ranges(10_000, true), ["1-*/5000 +", "2049-*/5000 +", "4097-5000/5000 $"]);
        assert_eq!(ranges(0, false), ranges(2048, true));
    }

    #[test]
    fn chunks_come_together_in_any_order() {
        let mut assembly = Assembly::default();
        add(&mut assembly, "7-9/9", "ghi", Flag::Complete).unwrap();
        add(&mut assembly, "4-*/9", "def", Flag::More).unwrap();
        assert!(!assembly.is_complete());
        add(&mut assembly, "1-3/9", "abc", Flag::More).unwrap();
        assert!(assembly.is_complete());
        assert_eq!(assembly.into_body(), "abcdefghi");
    }

    #[test]
    fn of_bytes_that_come_twice_the_later_ones_count() {
        let mut assembly = Assembly::default();
        add(&mut assembly, "5-8/8", "5678", Flag::Complete).unwrap();
        add(&mut assembly, "6-7/8", "fg", Flag::More).unwrap();
        add(&mut assembly, "1-5/8", "abcde", Flag::More).unwrap();
        assert_eq!(assembly.held(), 8);
        add(&mut assembly, "2-3/8", "BC", Flag::More).unwrap();
        assert!(assembly.is_complete());
        assert_eq!(assembly.into_body(), "aBCdefg8");
    }

    #[test]
    fn an_unknown_total_is_told_by_the_last_chunk() {
        let mut assembly = Assembly::default();
        add(&mut assembly, "1-*/*", "abc", Flag::More).unwrap();
        add(&mut assembly, "4-*/*", "def", Flag::Complete).unwrap();
        assert!(assembly.is_complete());
    }

    #[test]
    fn a_message_ends_with_its_flag_only() {
        let mut assembly = Assembly::default();
        add(&mut assembly, "1-3/3", "abc", Flag::More).unwrap();
        assert!(!assembly.is_complete());
    }

    #[test]
    fn ranges_that_contradict_are_refused() {
        let refused = |text, data, flag| add(&mut Assembly::default(), text, data, flag).unwrap_err();
        assert_eq!(refused("0-3/3", "abc", Flag::Complete), Misfit::Range);
        assert_eq!(refused("1-5/5", "abc", Flag::Complete), Misfit::Range);
        assert_eq!(refused("3-*/4", "abc", Flag::More), Misfit::Range);
        assert_eq!(refused("1-*/101", "abc", Flag::More), Misfit::TooLarge);
        assert_eq!(refused("99-*/*", "abc", Flag::More), Misfit::TooLarge);
        assert_eq!(refused("18446744073709551615-*/*", "abc", Flag::More), Misfit::Range);
        let mut assembly = Assembly::default();
        add(&mut assembly, "1-3/9", "abc", Flag::More).unwrap();
        assert_eq!(add(&mut assembly, "4-6/8", "def", Flag::More), Err(Misfit::Range));
    }

    proptest! {
        #[test]
        fn any_cover_of_the_body_gives_the_body(size in 1_usize..300, cuts in prop::collection::vec((0_usize..300, 1_usize..80), 0..60)) {
            let body: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let mut assembly = Assembly::default();
            let total = Some(size as u64);
            for (start, length) in cuts {
                let (start, end) = (start.min(size - 1), (start + length).min(size).max(start.min(size - 1)));
                let range = ByteRange { start: start as u64 + 1, end: Some(end as u64), total };
                assembly.add(Some(range), Bytes::copy_from_slice(&body[start..end]), Flag::More, 300).unwrap();
                prop_assert!(assembly.held() <= size as u64);
                prop_assert!(!assembly.is_complete());
            }
            let last = Some(ByteRange { start: 1, end: None, total });
            assembly.add(last, Bytes::from(body.clone()), Flag::Complete, 300).unwrap();
            prop_assert!(assembly.is_complete());
            prop_assert_eq!(assembly.into_body(), body);
        }
    }
}
