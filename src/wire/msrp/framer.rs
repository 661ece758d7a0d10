//! Cuts a byte stream into MSRP chunks by their end-lines (RFC 4975 7.1), in any segmentation.

use bytes::BytesMut;

use super::chunk::{Chunk, Flag, is_ident};
use crate::wire::Fault;

/// What a peer may make us hold before a chunk is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// One chunk with its headers, in bytes.
    pub chunk: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { chunk: 1024 * 1024 }
    }
}

/// The unfinished bytes of one connection.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    limits: Limits,
    /// The end-line that the current chunk waits for, without its flag.
    mark: Vec<u8>,
    searched: usize,
}

impl Framer {
    /// A framer with its limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes bytes in.
    pub fn feed(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// The next whole chunk, or `None` until more bytes come.
    ///
    /// # Errors
    ///
    /// When the stream cannot be framed any more: the connection is to be closed.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, Fault> {
        if self.mark.is_empty() && !self.read_mark()? {
            return Ok(None);
        }
        let from = self.searched.saturating_sub(self.mark.len() + 3);
        let found = memchr::memmem::find_iter(&self.buffer[from..], &self.mark).map(|at| from + at).find(|at| self.is_end(*at));
        let Some(at) = found else {
            self.searched = self.buffer.len();
            if self.buffer.len() > self.limits.chunk {
                return Err(Fault::new("msrp-chunk-limit", self.limits.chunk, "an end-line within the limit"));
            }
            return Ok(None);
        };
        let end = at + self.mark.len() + 3;
        self.mark.clear();
        self.searched = 0;
        Chunk::decode(self.buffer.split_to(end).freeze()).map(Some)
    }

    /// Whether a whole end-line stands at `at`: at the start of a line, with a flag and CRLF.
    fn is_end(&self, at: usize) -> bool {
        let after = at + self.mark.len();
        self.buffer[..at].ends_with(b"\r\n")
            && self.buffer.get(after).copied().and_then(Flag::of).is_some()
            && self.buffer.get(after + 1..after + 3) == Some(b"\r\n")
    }

    fn read_mark(&mut self) -> Result<bool, Fault> {
        let fault = |offset| Fault::new("msrp-start-line", offset, "MSRP and a transaction identifier");
        let head = &self.buffer[..self.buffer.len().min(38)];
        if !b"MSRP ".starts_with(&head[..head.len().min(5)]) {
            return Err(fault(0));
        }
        let Some(space) = head.get(5..).and_then(|rest| memchr::memchr(b' ', rest)) else {
            return if head.len() < 38 { Ok(false) } else { Err(fault(5)) };
        };
        let id = &head[5..5 + space];
        if !is_ident(id) {
            return Err(fault(5));
        }
        self.mark = [b"-------", id].concat();
        Ok(true)
    }

    /// How many bytes belong to no whole chunk yet.
    pub fn unfinished(&self) -> usize {
        self.buffer.len()
    }
}
