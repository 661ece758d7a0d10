//! Cuts a byte stream into MSRP chunks by their end-lines (RFC 4975 7.1), in any segmentation.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use super::Chunk;
use super::chunk::{DASHES, end_lines, is_end_line, is_ident};
use crate::wire::Fault;

/// `MSRP`, a space, the longest transaction identifier and a space.
const MAX_START: usize = 38;

/// What a peer may make us hold before a chunk is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The start line and the header fields together, in bytes.
    pub head: usize,
    /// One chunk with its headers, in bytes.
    pub chunk: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: 16 * 1024, chunk: 1024 * 1024 }
    }
}

/// The unfinished bytes of one connection.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    limits: Limits,
    /// The end-line that the current chunk waits for, without its flag.
    mark: Vec<u8>,
    /// Whether the empty line after the header fields was seen.
    head_done: bool,
    /// Up to where the bytes were searched, so that each is seen once.
    searched: usize,
    broken: Option<Fault>,
}

impl Framer {
    /// A framer with its limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes bytes in. After the framing was lost they are dropped.
    pub fn feed(&mut self, data: &[u8]) {
        if self.broken.is_none() {
            self.buffer.extend_from_slice(data);
        }
    }

    /// The chunk that `data` is, when it is exactly one and nothing waits before it. It needs no
    /// copy then; in every other case the bytes are to be fed.
    pub fn whole(&self, data: &Bytes) -> Option<Chunk> {
        if self.broken.is_some() || !self.buffer.is_empty() || data.len() > self.limits.head.min(self.limits.chunk) {
            return None;
        }
        Chunk::decode(data.clone()).ok()
    }

    /// The next whole chunk, or `None` until more bytes come.
    ///
    /// # Errors
    ///
    /// When a chunk is malformed, or, see [`Framer::is_broken`], the stream cannot be framed any
    /// more and the connection is to be closed.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, Fault> {
        if let Some(fault) = self.broken {
            return Err(fault);
        }
        match self.find_end() {
            Ok(Some(at)) => {
                let end = at + self.mark.len() + 3;
                self.mark.clear();
                self.head_done = false;
                self.searched = 0;
                Chunk::decode_until(self.buffer.split_to(end).freeze(), Some(at)).map(Some)
            }
            Ok(None) => Ok(None),
            Err(fault) => {
                self.broken = Some(fault);
                self.buffer.clear();
                Err(fault)
            }
        }
    }

    /// Whether the framing of the stream was lost.
    pub const fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// How many bytes belong to no whole chunk yet.
    pub fn unfinished(&self) -> usize {
        self.buffer.len()
    }

    /// The bytes that belong to no whole chunk yet.
    pub fn unfinished_bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Where the end-line of the current chunk starts.
    fn find_end(&mut self) -> Result<Option<usize>, Fault> {
        if self.mark.is_empty() && !self.read_mark()? {
            return Ok(None);
        }
        let from = self.searched.saturating_sub(self.mark.len() + 3);
        let length = self.mark.len();
        let found = end_lines(&self.buffer, from, &self.mark[DASHES.len()..]).find(|at| is_end_line(&self.buffer, *at, length));
        self.check_limits(found)?;
        self.searched = self.buffer.len();
        Ok(found)
    }

    fn check_limits(&mut self, found: Option<usize>) -> Result<(), Fault> {
        let seen = found.unwrap_or(self.buffer.len());
        if !self.head_done {
            let from = self.searched.saturating_sub(3).min(seen);
            let head = memmem::find(&self.buffer[from..seen], b"\r\n\r\n").map(|at| from + at);
            self.head_done = head.is_some();
            if head.unwrap_or(seen) > self.limits.head {
                return Err(Fault::new("msrp-head-limit", self.limits.head, "the end of the header fields within the limit"));
            }
        }
        if seen > self.limits.chunk {
            return Err(Fault::new("msrp-chunk-limit", self.limits.chunk, "an end-line within the limit"));
        }
        Ok(())
    }

    /// Reads the transaction identifier; false until it is whole.
    fn read_mark(&mut self) -> Result<bool, Fault> {
        let fault = |offset| Fault::new("msrp-start-line", offset, "MSRP and a transaction identifier");
        let head = &self.buffer[..self.buffer.len().min(MAX_START)];
        if !b"MSRP ".starts_with(&head[..head.len().min(5)]) {
            return Err(fault(0));
        }
        let Some(space) = head.get(5..).and_then(|rest| memchr::memchr(b' ', rest)) else {
            return if head.len() < MAX_START { Ok(false) } else { Err(fault(5)) };
        };
        let id = &head[5..5 + space];
        if !is_ident(id) {
            return Err(fault(5));
        }
        self.mark.extend_from_slice(DASHES);
        self.mark.extend_from_slice(id);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::msrp::ChunkBuilder;

    fn chunk(id: &str, data: &[u8]) -> Bytes {
        let builder = ChunkBuilder::request(id, "SEND", "msrp://a.example/1;tcp", "msrp://b.example/2;tcp");
        builder.body("text/plain", data.to_vec()).encode()
    }

    fn drain(framer: &mut Framer) -> Result<Vec<Bytes>, Fault> {
        let mut chunks = Vec::new();
        while let Some(chunk) = framer.next_chunk()? {
            chunks.push(chunk.encode());
        }
        Ok(chunks)
    }

    #[test]
    fn one_byte_at_a_time_is_enough() {
        let chunks = [
            chunk("abcd", b"x\r\n-------abcd\r\n-------abce$\r\n"),
            chunk("efgh", b""),
            Bytes::from_static(b"MSRP ijkl 200 OK\r\n-------ijkl$\r\n"),
        ];
        let mut framer = Framer::default();
        let mut found = Vec::new();
        for byte in chunks.concat() {
            framer.feed(&[byte]);
            found.extend(drain(&mut framer).unwrap());
        }
        assert_eq!(found, chunks);
        assert_eq!(framer.unfinished(), 0);
    }

    #[test]
    fn a_malformed_chunk_does_not_end_the_stream() {
        let mut framer = Framer::default();
        framer.feed(b"MSRP abcd SEND\r\nnonsense\r\n-------abcd$\r\n");
        framer.feed(&chunk("efgh", b"x"));
        assert_eq!(framer.next_chunk().unwrap_err().code, "msrp-header-line");
        assert!(!framer.is_broken());
        assert_eq!(drain(&mut framer).unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_framed_breaks_the_stream_for_good() {
        for (bytes, code) in [
            (&b"HTTP/1.1 200 OK"[..], "msrp-start-line"),
            (b"MSRP ab ", "msrp-start-line"),
            (&[b'M'; 1], ""),
            (b"MSRP aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "msrp-start-line"),
        ] {
            let mut framer = Framer::default();
            framer.feed(bytes);
            assert_eq!(framer.next_chunk().map_or_else(|fault| fault.code, |_| ""), code);
            assert_eq!(framer.is_broken(), !code.is_empty());
            framer.feed(&chunk("efgh", b"x"));
            assert!(framer.next_chunk().is_err());
        }
    }

    #[test]
    fn what_a_peer_can_make_us_hold_is_bounded() {
        let limits = Limits { head: 200, chunk: 1000 };
        let broken = |bytes: &[u8]| {
            let mut framer = Framer::new(limits);
            framer.feed(bytes);
            framer.next_chunk().map_or_else(|fault| fault.code, |_| "")
        };
        assert_eq!(broken(format!("MSRP abcd SEND\r\nX: {}", "y".repeat(300)).as_bytes()), "msrp-head-limit");
        assert_eq!(broken(format!("MSRP abcd SEND\r\nX: y\r\n\r\n{}", "y".repeat(1000)).as_bytes()), "msrp-chunk-limit");
        assert_eq!(broken(format!("MSRP abcd SEND\r\nX: y\r\n\r\n{}\r\n-------abcd$\r\n", "y".repeat(900)).as_bytes()), "");
    }

    proptest! {
        #[test]
        fn any_segmentation_gives_the_same_chunks(
            bodies in prop::collection::vec("[a\r\n$+-]{0,40}|\r\n-------id00[$x]?", 1..6),
            cuts in prop::collection::vec(1_usize..50, 0..40),
        ) {
            let chunks: Vec<Bytes> = bodies.iter().enumerate().map(|(at, body)| chunk(&format!("id0{at}x"), body.as_bytes())).collect();
            let stream = chunks.concat();
            let mut framer = Framer::default();
            let (mut found, mut rest) = (Vec::new(), &stream[..]);
            for cut in cuts.into_iter().chain([stream.len()]) {
                let (head, tail) = rest.split_at(cut.min(rest.len()));
                framer.feed(head);
                found.extend(drain(&mut framer).unwrap());
                rest = tail;
            }
            prop_assert_eq!(&found, &chunks);
            for bytes in found {
                prop_assert!(Chunk::decode(bytes).is_ok());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut framer = Framer::default();
            framer.feed(b"MSRP abcd SEND\r\n");
            framer.feed(&bytes);
            drop(drain(&mut framer));
        }
    }
}
