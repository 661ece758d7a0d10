//! One MSRP request or response on the wire: a chunk, as views into the received bytes.

use std::fmt;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem;

use super::super::Fault;

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
    bytes: Bytes,
    transact_id: Range<usize>,
    head: Head,
    slots: Box<[Slot]>,
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
        let (transact_id, head, mut at) = start_line(&bytes)?;
        let mut slots = Vec::with_capacity(10);
        let body_start = loop {
            if bytes[at..].starts_with(b"-------") {
                break None;
            }
            let end = line_end(&bytes, at).ok_or(Fault::new("msrp-header-line", at, "a header line and CRLF"))?;
            if end == at {
                break Some(at + 2);
            }
            let colon = memchr::memchr(b':', &bytes[at..end]).filter(|colon| *colon > 0);
            let colon = at + colon.ok_or(Fault::new("msrp-header-line", at, "a header name and a colon"))?;
            let lead = bytes[colon + 1..end].iter().take_while(|byte| **byte == b' ').count();
            slots.push(Slot { name: at..colon, value: colon + 1 + lead..end });
            at = end + 2;
        };
        let (body, end_at) = match body_start {
            None => (None, at),
            Some(start) => {
                let end = end_line_at(&bytes, start, &bytes[transact_id.clone()]).ok_or(Fault::new(
                    "msrp-end-line",
                    start,
                    "the end-line of the transaction",
                ))?;
                (Some(start..end), end + 2)
            }
        };
        let flag = end_line(&bytes, end_at, &transact_id)?;
        Ok(Self { bytes, transact_id, head, slots: slots.into_boxed_slice(), body, flag })
    }

    /// The bytes of the chunk.
    pub fn encode(&self) -> Bytes {
        self.bytes.clone()
    }

    /// All bytes that the chunk was decoded from.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
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
        self.fields().find(|(token, _)| token.eq_ignore_ascii_case(name)).map(|(_, value)| value)
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
        self.body.clone().map(|range| self.bytes.slice(range))
    }

    fn text(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(&self.bytes[range.clone()]).unwrap_or("")
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

/// A chunk in the making. To-Path and From-Path come first, Content-Type last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkBuilder {
    transact_id: String,
    start: String,
    fields: Vec<(String, String)>,
    body: Option<Bytes>,
    flag: Flag,
}

impl ChunkBuilder {
    /// A request.
    pub fn request(transact_id: &str, method: &str, to_path: &str, from_path: &str) -> Self {
        Self::new(transact_id, method.to_owned(), to_path, from_path)
    }

    /// A response to `request` (RFC 4975 7.2): To-Path is the first URI of its From-Path.
    pub fn response(request: &Chunk, code: u16, own_path: &str) -> Self {
        let to = super::paths(request.from_path()).next().unwrap_or("");
        let comment = comment(code);
        let start = if comment.is_empty() { code.to_string() } else { format!("{code} {comment}") };
        Self::new(request.transact_id(), start, to, own_path)
    }

    fn new(transact_id: &str, start: String, to_path: &str, from_path: &str) -> Self {
        let fields = vec![("To-Path".to_owned(), to_path.to_owned()), ("From-Path".to_owned(), from_path.to_owned())];
        Self { transact_id: transact_id.to_owned(), start, fields, body: None, flag: Flag::Complete }
    }

    /// The parts of `chunk`, to be altered.
    pub fn of(chunk: &Chunk) -> Self {
        let start = match chunk.start() {
            Start::Request { method } => method.to_owned(),
            Start::Response { code, comment } if comment.is_empty() => code.to_string(),
            Start::Response { code, comment } => format!("{code} {comment}"),
        };
        let fields = chunk.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { transact_id: chunk.transact_id().to_owned(), start, fields, body: chunk.body(), flag: chunk.flag() }
    }

    /// Adds a header field at the end.
    #[must_use]
    pub fn push(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.fields.push((name.to_owned(), value.to_string()));
        self
    }

    /// Replaces the fields of this name by one at the place of the first, or at the end.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl fmt::Display) -> Self {
        let at = self.fields.iter().position(|(token, _)| token.eq_ignore_ascii_case(name)).unwrap_or(self.fields.len());
        self = self.remove(name);
        self.fields.insert(at, (name.to_owned(), value.to_string()));
        self
    }

    /// Removes the fields of this name.
    #[must_use]
    pub fn remove(mut self, name: &str) -> Self {
        self.fields.retain(|(token, _)| !token.eq_ignore_ascii_case(name));
        self
    }

    /// The value of the first field of this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(token, _)| token.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Replaces what stands after the transaction identifier: a method, or a code and a comment.
    #[must_use]
    pub fn with_start(mut self, start: &str) -> Self {
        start.clone_into(&mut self.start);
        self
    }

    /// Sets the data and its type; Content-Type becomes the last field.
    #[must_use]
    pub fn body(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        let mut with = self.remove("Content-Type").push("Content-Type", content_type);
        with.body = Some(body.into());
        with
    }

    /// Replaces the data alone.
    #[must_use]
    pub fn bare_body(mut self, body: Option<Bytes>) -> Self {
        self.body = body;
        self
    }

    /// Sets the continuation flag.
    #[must_use]
    pub const fn flag(mut self, flag: Flag) -> Self {
        self.flag = flag;
        self
    }

    /// The bytes on the wire.
    pub fn encode(&self) -> Bytes {
        let size: usize = self.fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut out = BytesMut::with_capacity(size + self.body.as_ref().map_or(0, Bytes::len) + 2 * self.transact_id.len() + 64);
        out.put_slice(b"MSRP ");
        out.put_slice(self.transact_id.as_bytes());
        out.put_u8(b' ');
        out.put_slice(self.start.as_bytes());
        out.put_slice(b"\r\n");
        for (name, value) in &self.fields {
            out.put_slice(name.as_bytes());
            out.put_slice(b": ");
            out.put_slice(value.as_bytes());
            out.put_slice(b"\r\n");
        }
        if let Some(body) = &self.body {
            out.put_slice(b"\r\n");
            out.put_slice(body);
            out.put_slice(b"\r\n");
        }
        out.put_slice(b"-------");
        out.put_slice(self.transact_id.as_bytes());
        out.put_u8(self.flag.octet());
        out.put_slice(b"\r\n");
        out.freeze()
    }

    /// The chunk that these parts make.
    ///
    /// # Panics
    ///
    /// When a value that was pushed breaks the chunk apart.
    pub fn build(&self) -> Chunk {
        Chunk::decode(self.encode()).unwrap_or_else(|fault| panic!("a chunk of our own does not decode: {fault}"))
    }
}

/// The usual comment of a status code (RFC 4975 10).
pub(super) fn comment(code: u16) -> &'static str {
    match code {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        408 => "Timeout",
        413 => "Stop Sending",
        415 => "Unsupported Media Type",
        423 => "Parameter Out of Bounds",
        481 => "No Such Session",
        501 => "Unknown Method",
        506 => "Session Already Bound",
        _ => "",
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

/// RFC 4975 9: 4 to 32 characters, the first alphanumeric.
pub(super) fn is_ident(text: &[u8]) -> bool {
    (4..=32).contains(&text.len())
        && text[0].is_ascii_alphanumeric()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+' | b'%' | b'='))
}

fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    memmem::find(bytes.get(at..)?, b"\r\n").map(|end| at + end)
}

/// Where `CRLF end-line` starts after the data.
fn end_line_at(bytes: &[u8], from: usize, transact_id: &[u8]) -> Option<usize> {
    let mut mark = Vec::with_capacity(transact_id.len() + 9);
    mark.extend_from_slice(b"\r\n-------");
    mark.extend_from_slice(transact_id);
    let body = bytes.get(from..)?;
    memmem::find_iter(body, &mark).find(|at| body.get(at + mark.len()).copied().and_then(Flag::of).is_some()).map(|at| from + at)
}

fn end_line(bytes: &[u8], at: usize, transact_id: &Range<usize>) -> Result<Flag, Fault> {
    let fault = Fault::new("msrp-end-line", at, "the end-line of the transaction");
    let rest = bytes.get(at..).and_then(|rest| rest.strip_prefix(b"-------")).ok_or(fault)?;
    match rest.strip_prefix(&bytes[transact_id.clone()]) {
        Some([flag, b'\r', b'\n']) => Flag::of(*flag).ok_or(fault),
        _ => Err(fault),
    }
}
