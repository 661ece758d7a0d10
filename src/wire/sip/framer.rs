//! Cuts a byte stream into SIP messages by Content-Length (RFC 3261 18.3), in any segmentation.

use bytes::{Buf, Bytes, BytesMut};

use super::{Message, Name, header};
use crate::wire::Fault;

/// What a peer may make us hold before a message is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The start line and the header fields together, in bytes.
    pub head: usize,
    /// The body, in bytes.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: 64 * 1024, body: 10 * 1024 * 1024 }
    }
}

/// The unfinished bytes of one connection.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    limits: Limits,
    /// Up to where the search for the end of the head has looked, so that bytes are seen once.
    searched: usize,
}

impl Framer {
    /// A framer with its limits.
    pub fn new(limits: Limits) -> Self {
        Self { buffer: BytesMut::new(), limits, searched: 0 }
    }

    /// Takes bytes in.
    pub fn feed(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// The next whole message, or `None` until more bytes come.
    ///
    /// # Errors
    ///
    /// When the stream cannot be framed any more: the connection is to be closed.
    pub fn next_message(&mut self) -> Result<Option<Message>, Fault> {
        let lead = self.buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if lead > 0 {
            self.buffer.advance(lead);
            self.searched = self.searched.saturating_sub(lead);
        }
        let Some(head) = self.head_end()? else { return Ok(None) };
        let length = content_length(&self.buffer[..head])?;
        if length > self.limits.body {
            return Err(Fault::new("sip-body-limit", head, "a body below the limit"));
        }
        if self.buffer.len() < head + length {
            return Ok(None);
        }
        self.searched = 0;
        Message::decode(self.buffer.split_to(head + length).freeze()).map(Some)
    }

    fn head_end(&mut self) -> Result<Option<usize>, Fault> {
        let from = self.searched.saturating_sub(3);
        let window = &self.buffer[from..];
        let end = memchr::memchr_iter(b'\n', window).find_map(|at| match &window[at + 1..] {
            [b'\r', b'\n', ..] => Some(from + at + 3),
            [b'\n', ..] => Some(from + at + 2),
            _ => None,
        });
        self.searched = self.buffer.len();
        if end.unwrap_or(self.buffer.len()) > self.limits.head {
            return Err(Fault::new("sip-head-limit", self.limits.head, "the end of the header fields within the limit"));
        }
        Ok(end)
    }
}

fn content_length(head: &[u8]) -> Result<usize, Fault> {
    // The head alone, read as a datagram would be: its Content-Length is larger than what is there.
    let missing = Fault::new("sip-content-length", 0, "a Content-Length on a stream (RFC 3261 18.3)");
    let mut found = None;
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        if Name::of(line[..colon].trim_ascii_end()) == Name::ContentLength {
            let text = std::str::from_utf8(&line[colon + 1..]).map_err(|_| missing)?;
            let length = usize::try_from(header::number(text.trim())?).map_err(|_| missing)?;
            if found.is_some_and(|earlier| earlier != length) {
                return Err(Fault::new("sip-content-length", 0, "one Content-Length"));
            }
            found = Some(length);
        }
    }
    found.ok_or(missing)
}

/// The rest of a connection, when it ends in the middle of a message.
impl Framer {
    /// The bytes that belong to no whole message yet.
    pub fn unfinished(&self) -> Bytes {
        Bytes::copy_from_slice(&self.buffer)
    }
}
