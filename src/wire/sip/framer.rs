//! Cuts a byte stream into SIP messages by Content-Length (RFC 3261 18.3), in any segmentation.

use bytes::{Buf, Bytes, BytesMut};

use super::scan::{self, Head};
use super::{Message, Name};
use crate::wire::Fault;

/// What a peer may make us hold before a message is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The start line and the header fields together, in bytes.
    pub head: usize,
    /// How many header fields.
    pub fields: usize,
    /// The body, in bytes.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: 64 * 1024, fields: 512, body: 10 * 1024 * 1024 }
    }
}

/// The unfinished bytes of one connection.
///
/// Whoever feeds it takes all messages out before feeding again; then it never holds more than
/// [`Limits`] allow and one read.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    limits: Limits,
    /// Where the line starts whose end is not here yet.
    line: usize,
    /// Up to where its end was looked for, so that every byte is seen once.
    searched: usize,
    /// The head of the message whose body is not here yet, and the length of the whole message.
    waiting: Option<(Head, usize)>,
    /// What ended the framing for good.
    fault: Option<Fault>,
}

impl Framer {
    /// A framer with its limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes bytes in. After a fault they are dropped.
    pub fn feed(&mut self, data: &[u8]) {
        if self.fault.is_none() {
            self.buffer.extend_from_slice(data);
        }
    }

    /// The message that `data` is, when it is exactly one and nothing waits before it. It needs no
    /// copy then; in every other case the bytes are to be fed.
    pub fn whole(&self, data: &Bytes) -> Option<Message> {
        if self.fault.is_some() || !self.buffer.is_empty() || scan::lead(data) > 0 {
            return None;
        }
        let message = Message::decode(data.clone()).ok()?;
        message.field(Name::ContentLength)?;
        let (head, whole) = (message.body_offset(), message.trailing() == 0);
        let within =
            head <= self.limits.head && message.fields().len() <= self.limits.fields && data.len() - head <= self.limits.body;
        (within && whole).then_some(message)
    }

    /// The next whole message, or `None` until more bytes come.
    ///
    /// # Errors
    ///
    /// When the stream cannot be framed any more: the connection is to be closed. The same fault is
    /// given from then on.
    pub fn next_message(&mut self) -> Result<Option<Message>, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.advance().inspect_err(|fault| {
            self.fault = Some(*fault);
            self.buffer.clear();
        })
    }

    fn advance(&mut self) -> Result<Option<Message>, Fault> {
        let (head, length) = match self.waiting.take() {
            Some(waiting) => waiting,
            None => match self.next_head()? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        if self.buffer.len() < length {
            self.waiting = Some((head, length));
            return Ok(None);
        }
        Ok(Some(Message::assemble(self.buffer.split_to(length).freeze(), head, length)))
    }

    fn next_head(&mut self) -> Result<Option<(Head, usize)>, Fault> {
        let Some(end) = self.head_end()? else { return Ok(None) };
        let head = Head::scan(&self.buffer[..end], 0)?;
        if head.slots.len() > self.limits.fields {
            return Err(Fault::new("sip-fields-limit", end, "fewer header fields"));
        }
        let missing = Fault::new("sip-content-length", end, "a Content-Length on a stream");
        let length = head.content_length(&self.buffer[..end])?.ok_or(missing)?;
        if length > self.limits.body {
            return Err(Fault::new("sip-body-limit", end, "a body within the limit"));
        }
        Ok(Some((head, end + length)))
    }

    /// The offset behind the first empty line, line by line as the scanner sees them.
    fn head_end(&mut self) -> Result<Option<usize>, Fault> {
        if self.line == 0 {
            self.buffer.advance(scan::lead(&self.buffer));
        }
        let found = loop {
            let from = self.line.max(self.searched);
            let Some(feed) = memchr::memchr(b'\n', self.buffer.get(from..).unwrap_or(&[])).map(|at| from + at) else {
                self.searched = self.buffer.len();
                break None;
            };
            let content = &self.buffer[self.line..feed];
            let is_empty = matches!(content, [] | [b'\r']);
            self.line = feed + 1;
            if is_empty {
                break Some(feed + 1);
            }
        };
        if found.unwrap_or(self.buffer.len()) > self.limits.head {
            return Err(Fault::new("sip-head-limit", self.limits.head, "the end of the header fields within the limit"));
        }
        if found.is_some() {
            (self.line, self.searched) = (0, 0);
        }
        Ok(found)
    }

    /// The bytes that belong to no whole message yet: what is lost when the connection ends here.
    pub fn unfinished(&self) -> Bytes {
        Bytes::copy_from_slice(&self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = b"\r\n\r\nOPTIONS sip:a@b.example SIP/2.0\r\nSubject: one\r\n two\r\nl: 4\r\n\r\n\r\n\r\nSIP/2.0 200 OK\nContent-Length : 0\n\n";

    fn framed(limits: Limits, pieces: impl Iterator<Item = Vec<u8>>) -> Result<Vec<Bytes>, Fault> {
        let mut framer = Framer::new(limits);
        let mut messages = Vec::new();
        for piece in pieces {
            framer.feed(&piece);
            while let Some(message) = framer.next_message()? {
                messages.push(message.encode());
            }
        }
        Ok(messages)
    }

    #[test]
    fn any_segmentation_gives_the_same_messages() {
        let whole = framed(Limits::default(), [TWO.to_vec()].into_iter()).expect("frames");
        assert_eq!(whole.len(), 2);
        assert!(whole[0].ends_with(b"\r\n\r\n\r\n\r\n") && whole[1].starts_with(b"SIP/2.0 200"));
        for size in 1..TWO.len() {
            let pieces = TWO.chunks(size).map(<[u8]>::to_vec);
            assert_eq!(framed(Limits::default(), pieces), Ok(whole.clone()), "pieces of {size}");
        }
    }

    #[test]
    fn a_stream_without_content_length_cannot_be_framed() {
        let fault = framed(Limits::default(), [b"OPTIONS sip:a@b SIP/2.0\r\nSubject: x\r\n\r\n".to_vec()].into_iter());
        assert_eq!(fault.map_err(|fault| fault.code), Err("sip-content-length"));
    }

    #[test]
    fn conflicting_lengths_end_the_stream_and_equal_ones_do_not() {
        let text = |second| format!("OPTIONS sip:a@b SIP/2.0\r\nl: 0\r\nContent-Length: {second}\r\n\r\n").into_bytes();
        assert_eq!(framed(Limits::default(), [text(0)].into_iter()).map(|messages| messages.len()), Ok(1));
        assert_eq!(framed(Limits::default(), [text(5)].into_iter()).map_err(|fault| fault.code), Err("sip-content-length"));
    }

    #[test]
    fn limits_hold_however_the_bytes_arrive() {
        let limits = Limits { head: 80, fields: 3, body: 10 };
        let long = format!("OPTIONS sip:a@b SIP/2.0\r\nSubject: {}\r\nl: 0\r\n\r\n", "x".repeat(80)).into_bytes();
        let many = b"OPTIONS sip:a@b SIP/2.0\r\na:b\r\nc:d\r\ne:f\r\nl: 0\r\n\r\n".to_vec();
        let fat = b"OPTIONS sip:a@b SIP/2.0\r\nl: 11\r\n\r\n01234567890".to_vec();
        for (text, code) in [(long, "sip-head-limit"), (many, "sip-fields-limit"), (fat, "sip-body-limit")] {
            for size in [1, 7, text.len()] {
                let result = framed(limits, text.chunks(size).map(<[u8]>::to_vec));
                assert_eq!(result.map_err(|fault| fault.code), Err(code));
            }
        }
    }

    #[test]
    fn a_fault_stays_and_nothing_is_kept_after_it() {
        let mut framer = Framer::default();
        framer.feed(b"nonsense\r\n\r\n");
        let fault = framer.next_message().expect_err("no SIP");
        framer.feed(b"OPTIONS sip:a@b SIP/2.0\r\nl: 0\r\n\r\n");
        assert_eq!(framer.next_message(), Err(fault));
        assert!(framer.unfinished().is_empty());
    }
}
