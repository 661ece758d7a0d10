//! One MSRP request or response on the wire: a chunk, as views into the received bytes.

use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem;

use super::{ByteRange, FailureReport, Flag};
use crate::wire::Fault;
use crate::wire::raw::Raw;

/// The most header fields that a chunk may have.
const MAX_FIELDS: usize = 64;

/// What a chunk starts with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start<'a> {
    /// A request.
    Request {
        /// The method: SEND, REPORT, AUTH or an extension.
        method: &'a str,
    },
    /// A response.
    Response {
        /// The status code.
        code: u16,
        /// The comment, possibly empty.
        comment: &'a str,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Head {
    Request { method: Range<usize> },
    Response { code: u16, comment: Range<usize> },
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Slot {
    name: Range<usize>,
    value: Range<usize>,
}

/// A decoded chunk. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Chunk {
    raw: Raw,
    transact_id: Range<usize>,
    head: Head,
    slots: Vec<Slot>,
    body: Option<Range<usize>>,
    flag: Flag,
}

impl Chunk {
    /// Decodes exactly one chunk, its end-line included.
    ///
    /// # Errors
    ///
    /// When the start line, a header line or the end-line is malformed.
    pub fn decode(bytes: Bytes) -> Result<Self, Fault> {
        Self::decode_until(bytes, None)
    }

    /// Decodes a chunk whose end-line is known to start at `end`, or is still to be found.
    pub(super) fn decode_until(bytes: Bytes, end: Option<usize>) -> Result<Self, Fault> {
        let raw = Raw::of(bytes);
        let bytes = raw.bytes();
        let (transact_id, head, at) = start_line(bytes)?;
        let (slots, body_start) = fields(&raw, at)?;
        let id = &bytes[transact_id.clone()];
        let (body, end) = match body_start {
            Err(end) => (None, end),
            Ok(start) => {
                let found = end.or_else(|| end_line_at(bytes, start, id));
                let end = found.ok_or(Fault::new("msrp-end-line", start, "the end-line of the transaction"))?;
                // An end-line right after the empty line leaves no line end for the data to own.
                (Some(start..end.saturating_sub(2).max(start)), end)
            }
        };
        let flag = end_line(bytes, end, id)?;
        Ok(Self { transact_id, head, slots, body, flag, raw })
    }

    /// The bytes of the chunk.
    pub fn encode(&self) -> Bytes {
        self.bytes().clone()
    }

    /// All bytes that the chunk was decoded from.
    pub fn bytes(&self) -> &Bytes {
        self.raw.bytes()
    }

    /// Whether this is a request, and which, or a response.
    pub fn start(&self) -> Start<'_> {
        match &self.head {
            Head::Request { method } => Start::Request { method: self.text(method) },
            Head::Response { code, comment } => Start::Response { code: *code, comment: self.text(comment) },
        }
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&str> {
        match self.start() {
            Start::Request { method } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// The code of a response.
    pub const fn code(&self) -> Option<u16> {
        match self.head {
            Head::Request { .. } => None,
            Head::Response { code, .. } => Some(code),
        }
    }

    /// The transaction identifier.
    pub fn transact_id(&self) -> &str {
        self.text(&self.transact_id)
    }

    /// The continuation flag.
    pub const fn flag(&self) -> Flag {
        self.flag
    }

    /// All header fields in wire order, names as written.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.slots.iter().map(|slot| (self.text(&slot.name), self.text(&slot.value)))
    }

    /// The value of the first header field of this name, in any letter case.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.slot(name).map(|slot| self.text(&slot.value))
    }

    fn slot(&self, name: &str) -> Option<&Slot> {
        let bytes = self.bytes();
        let name = name.as_bytes();
        // Most names differ in length already, and most that are the same are written alike.
        let same = |slot: &&Slot| {
            let own = &bytes[slot.name.clone()];
            own.len() == name.len() && (own == name || own.eq_ignore_ascii_case(name))
        };
        self.slots.iter().find(same)
    }

    /// Where the value of the first header field of this name starts.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.slot(name).map(|slot| slot.value.start)
    }

    /// To-Path.
    pub fn to_path(&self) -> &str {
        self.value("To-Path").unwrap_or("")
    }

    /// From-Path.
    pub fn from_path(&self) -> &str {
        self.value("From-Path").unwrap_or("")
    }

    /// Message-ID.
    pub fn message_id(&self) -> Option<&str> {
        self.value("Message-ID")
    }

    /// Byte-Range, when it is there and well-formed.
    pub fn byte_range(&self) -> Option<ByteRange> {
        ByteRange::parse(self.value("Byte-Range")?).ok()
    }

    /// Content-Type.
    pub fn content_type(&self) -> Option<&str> {
        self.value("Content-Type")
    }

    /// Whether a success report is wanted; `no` by default.
    pub fn success_report(&self) -> bool {
        self.value("Success-Report").is_some_and(|value| value.eq_ignore_ascii_case("yes"))
    }

    /// Which failures are to be reported.
    pub fn failure_report(&self) -> FailureReport {
        match self.value("Failure-Report") {
            Some(value) if value.eq_ignore_ascii_case("no") => FailureReport::No,
            Some(value) if value.eq_ignore_ascii_case("partial") => FailureReport::Partial,
            _ => FailureReport::Yes,
        }
    }

    /// The code of the Status field of a REPORT in the namespace 000.
    pub fn status(&self) -> Option<u16> {
        let mut words = self.value("Status")?.split(' ').filter(|word| !word.is_empty());
        (words.next()? == "000").then(|| words.next())?.and_then(|code| code.parse().ok())
    }

    /// The data, `None` when the chunk has no body at all.
    pub fn body(&self) -> Option<Bytes> {
        self.body.clone().map(|range| self.bytes().slice(range))
    }

    /// The places of the header fields: name, value.
    pub(super) fn places(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        self.slots.iter().map(|slot| (slot.name.clone(), slot.value.clone()))
    }

    /// Where the data starts, when there is some.
    pub fn body_offset(&self) -> Option<usize> {
        self.body.as_ref().map(|range| range.start)
    }

    fn text(&self, range: &Range<usize>) -> &str {
        self.raw.text(range.clone())
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.start() {
            Start::Request { method } => write!(f, "MSRP {} {method}", self.transact_id()),
            Start::Response { code, comment } => write!(f, "MSRP {} {code} {comment}", self.transact_id()),
        }
    }
}

type StartLine = (Range<usize>, Head, usize);

fn start_line(bytes: &[u8]) -> Result<StartLine, Fault> {
    let fault = |offset, expected| Fault::new("msrp-start-line", offset, expected);
    let end = line_end(bytes, 0).ok_or(fault(0, "a start line and CRLF"))?;
    let rest = bytes[..end].strip_prefix(b"MSRP ").ok_or(fault(0, "MSRP and a transaction identifier"))?;
    let id_end = 5 + memchr::memchr(b' ', rest).ok_or(fault(5, "a transaction identifier and a space"))?;
    if !is_ident(&bytes[5..id_end]) {
        return Err(fault(5, "a transaction identifier of 4 to 32 characters"));
    }
    let word = id_end + 1..end;
    let text = std::str::from_utf8(&bytes[word.clone()]).map_err(|_| fault(word.start, "a method or a status code"))?;
    let head = match text.get(..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) {
        Some(digits) if text.len() == 3 || text.as_bytes()[3] == b' ' => {
            Head::Response { code: digits.parse().unwrap_or(0), comment: (word.start + 4).min(end)..end }
        }
        _ if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase()) => Head::Request { method: word },
        _ => return Err(fault(word.start, "a method or a status code")),
    };
    Ok((5..id_end, head, end + 2))
}

/// The header fields, and where the data starts, or, `Err`, the end-line when there is no data.
fn fields(raw: &Raw, mut at: usize) -> Result<(Vec<Slot>, Result<usize, usize>), Fault> {
    let bytes = raw.bytes();
    let mut slots = Vec::with_capacity(10);
    loop {
        if bytes[at..].starts_with(DASHES) {
            return Ok((slots, Err(at)));
        }
        let end = line_end(bytes, at).ok_or(Fault::new("msrp-header-line", at, "a header line and CRLF"))?;
        if end == at {
            return Ok((slots, Ok(at + 2)));
        }
        slots.push(slot(raw, at, end)?);
        if slots.len() > MAX_FIELDS {
            return Err(Fault::new("msrp-fields-limit", at, "fewer header fields"));
        }
        at = end + 2;
    }
}

fn slot(raw: &Raw, at: usize, end: usize) -> Result<Slot, Fault> {
    let bytes = raw.bytes();
    if let Some(at) = raw.first_non_utf8(at..end) {
        return Err(Fault::new("msrp-utf8", at, "header fields in UTF-8"));
    }
    let line = &bytes[at..end];
    let colon = line.iter().position(|byte| !byte.is_ascii_graphic() || *byte == b':');
    let colon = colon.filter(|colon| *colon > 0 && line[*colon] == b':');
    let colon = at + colon.ok_or(Fault::new("msrp-header-line", at, "a header name and a colon"))?;
    let lead = bytes[colon + 1..end].iter().take_while(|byte| **byte == b' ').count();
    Ok(Slot { name: at..colon, value: colon + 1 + lead..end })
}

/// What every end-line starts with (RFC 4975 9).
pub(super) const DASHES: &[u8] = b"-------";

/// Finds the starts of lines that may be end-lines: it is made once, which costs more than a search.
static DASHED_LINE: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\r\n-------"));

/// RFC 4975 9: 4 to 32 characters, the first alphanumeric.
pub(super) fn is_ident(text: &[u8]) -> bool {
    (4..=32).contains(&text.len())
        && text[0].is_ascii_alphanumeric()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+' | b'%' | b'='))
}

fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut from = at;
    loop {
        let feed = from + memchr::memchr(b'\n', bytes.get(from..)?)?;
        if feed > at && bytes[feed - 1] == b'\r' {
            return Some(feed - 1);
        }
        from = feed + 1;
    }
}

/// Where the end-line starts, at the start of a line and not before `from`.
fn end_line_at(bytes: &[u8], from: usize, transact_id: &[u8]) -> Option<usize> {
    end_lines(bytes, from, transact_id).find(|at| is_end_line(bytes, *at, DASHES.len() + transact_id.len()))
}

/// Where lines start, not before `from`, that begin like the end-line of a transaction.
pub(super) fn end_lines<'a>(bytes: &'a [u8], from: usize, transact_id: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let from = from.saturating_sub(2).min(bytes.len());
    let lines = DASHED_LINE.find_iter(&bytes[from..]).map(move |at| from + at + 2);
    lines.filter(move |at| bytes[at + DASHES.len()..].starts_with(transact_id))
}

/// Whether the end-line whose mark of `length` bytes stands at `at` is whole: set off by a line end,
/// with a flag and a line end of its own. The data may hold all of it but that.
pub(super) fn is_end_line(bytes: &[u8], at: usize, length: usize) -> bool {
    let after = bytes.get(at + length..).unwrap_or(&[]);
    bytes[..at].ends_with(b"\r\n") && matches!(after, [flag, b'\r', b'\n', ..] if Flag::of(*flag).is_some())
}

fn end_line(bytes: &[u8], at: usize, transact_id: &[u8]) -> Result<Flag, Fault> {
    let fault = Fault::new("msrp-end-line", at, "the end-line of the transaction");
    let rest = bytes.get(at..).and_then(|rest| rest.strip_prefix(DASHES)).ok_or(fault)?;
    match rest.strip_prefix(transact_id) {
        Some([flag, b'\r', b'\n']) => Flag::of(*flag).ok_or(fault),
        _ => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ChunkBuilder;
    use super::*;

    const SEND: &str = "MSRP d93kswow SEND\r\nTo-Path: msrp://127.0.0.1:15302/b1d2;tcp\r\nFrom-Path: msrp://127.0.0.1:15201/pfd2;tcp\r\n\
        Message-ID: 12339sdqwer\r\nSuccess-Report: yes\r\nFailure-Report: partial\r\nByte-Range: 1-5/5\r\nContent-Type: text/plain\r\n\r\nhello\r\n-------d93kswow$\r\n";

    fn read(text: &str) -> Result<Chunk, Fault> {
        Chunk::decode(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_send_request_is_read_and_kept() {
        let chunk = read(SEND).unwrap();
        assert_eq!(chunk.start(), Start::Request { method: "SEND" });
        assert_eq!((chunk.transact_id(), chunk.message_id(), chunk.flag()), ("d93kswow", Some("12339sdqwer"), Flag::Complete));
        assert_eq!(chunk.byte_range(), Some(ByteRange { start: 1, end: Some(5), total: Some(5) }));
        assert_eq!((chunk.success_report(), chunk.failure_report()), (true, FailureReport::Partial));
        assert_eq!(chunk.body().as_deref(), Some(&b"hello"[..]));
        assert_eq!(chunk.encode(), SEND);
        assert_eq!(ChunkBuilder::of(&chunk).encode(), SEND);
    }

    #[test]
    fn a_response_has_code_and_comment() {
        let chunk = read(
            "MSRP d93kswow 200 OK\r\nTo-Path: msrp://a.example/1;tcp\r\nFrom-Path: msrp://b.example/2;tcp\r\n-------d93kswow$\r\n",
        )
        .unwrap();
        assert_eq!(chunk.start(), Start::Response { code: 200, comment: "OK" });
        assert_eq!(chunk.body(), None);
        assert_eq!(read("MSRP d93kswow 413\r\n-------d93kswow$\r\n").unwrap().code(), Some(413));
    }

    #[test]
    fn look_alikes_of_the_end_line_are_data() {
        for data in ["x\r\n-------d93kswow", "\r\n-------d93kswow$x", "\r\n-------d93kswow!\r\n", "\r\n-------other123$\r\n"] {
            let text = SEND.replace("hello", data);
            assert_eq!(read(&text).unwrap().body().as_deref(), Some(data.as_bytes()), "{data}");
        }
    }

    #[test]
    fn empty_data_and_no_data_differ() {
        assert_eq!(read(&SEND.replace("hello", "")).unwrap().body().as_deref(), Some(&b""[..]));
        assert_eq!(read(&SEND.replace("Content-Type: text/plain\r\n\r\nhello\r\n", "")).unwrap().body(), None);
        // The line end between the empty line and the end-line was left out.
        assert_eq!(read(&SEND.replace("hello\r\n", "")).unwrap().body().as_deref(), Some(&b""[..]));
    }

    #[test]
    fn malformed_chunks_name_the_place() {
        let fault = |text: &str| read(text).map_err(|fault| (fault.code, fault.offset)).unwrap_err();
        assert_eq!(fault(""), ("msrp-start-line", 0));
        assert_eq!(fault("MSRP abc SEND\r\n"), ("msrp-start-line", 5));
        assert_eq!(fault("MSRP abcd send\r\n"), ("msrp-start-line", 10));
        assert_eq!(fault("MSRP abcd 20\r\n"), ("msrp-start-line", 10));
        assert_eq!(fault("MSRP abcd SEND\r\nnothing\r\n"), ("msrp-header-line", 16));
        assert_eq!(fault("MSRP abcd SEND\r\n-------abce$\r\n"), ("msrp-end-line", 16));
        assert_eq!(fault("MSRP abcd SEND\r\n\r\nhello\r\n"), ("msrp-end-line", 18));
        assert_eq!(fault(&format!("{SEND}x")).0, "msrp-end-line");
    }

    #[test]
    fn a_builder_keeps_the_chunk_in_one_piece() {
        let chunk = ChunkBuilder::request("abcd1", "SEND", "msrp://a.example/1;tcp", "msrp://b.example/2;tcp")
            .push("Message-ID", "a\r\n-------abcd1$\r\n")
            .body("text/plain", "x\r\n-------abcd1");
        assert!(chunk.collides());
        assert!(!chunk.clone().transact_id("abcd2").collides());
        assert_eq!(chunk.build().message_id(), Some("a  -------abcd1$  "));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in "MSRP abcd (SEND|200|x)\r\n([A-Za-z-]{1,4}:? ?[a-z*/-]{0,6}\r\n){0,6}(\r\n)?[a-z\r\n-]{0,12}(\r\n)?-------abcd[$+#]?\r\n") {
            if let Ok(chunk) = Chunk::decode(Bytes::from(text.clone())) {
                super::super::validate(&chunk);
                prop_assert_eq!(chunk.encode(), text);
            }
        }

        #[test]
        fn what_is_built_is_read_back(data in prop::collection::vec(any::<u8>(), 0..200), id in "[a-z0-9]{4,32}", flag in 0_usize..3) {
            let flag = [Flag::Complete, Flag::More, Flag::Aborted][flag];
            let builder = ChunkBuilder::request(&id, "SEND", "msrp://a.example/1;tcp", "msrp://b.example/2;tcp").body("text/plain", data.clone()).flag(flag);
            prop_assume!(!builder.collides());
            let chunk = builder.build();
            prop_assert_eq!(chunk.body().unwrap(), data);
            prop_assert_eq!(chunk.flag(), flag);
            prop_assert_eq!(ChunkBuilder::of(&chunk).encode(), chunk.encode());
        }
    }
}
