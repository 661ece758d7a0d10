//! Writes MSRP chunks.

use std::fmt::{Display, Write};
use std::sync::LazyLock;

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem;

use super::chunk::DASHES;
use super::{Chunk, Flag, Start};
use crate::wire::put_one_line;

/// Finds what may be an end-line: it is made once, which costs more than a search.
static DASHED: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(DASHES));

/// A chunk in the making. To-Path and From-Path come first, Content-Type last.
///
/// The fields stand in one buffer, a line each; what is replaced or removed stays there unused.
#[derive(Clone, Debug)]
pub struct ChunkBuilder {
    transact_id: String,
    start: String,
    text: String,
    fields: Vec<Line>,
    body: Option<Bytes>,
    flag: Flag,
}

/// Where a field stands in the text: `Name: value`.
#[derive(Clone, Copy, Debug)]
struct Line {
    start: usize,
    colon: usize,
    end: usize,
}

/// What stands between name and value.
const SEPARATOR: &str = ": ";

/// Room for the fields of a usual chunk.
const USUAL_TEXT: usize = 384;
const USUAL_FIELDS: usize = 8;

impl ChunkBuilder {
    /// A request.
    pub fn request(transact_id: &str, method: &str, to_path: &str, from_path: &str) -> Self {
        Self::empty(transact_id, method.to_owned()).push("To-Path", to_path).push("From-Path", from_path)
    }

    /// A response to `request` (RFC 4975 7.2): To-Path is the first URI of its From-Path.
    pub fn response(request: &Chunk, code: u16, own_path: &str) -> Self {
        let to = super::paths(request.from_path()).next().unwrap_or("");
        let comment = comment(code);
        let start = if comment.is_empty() { format!("{code:03}") } else { format!("{code:03} {comment}") };
        Self::empty(request.transact_id(), start).push("To-Path", to).push("From-Path", own_path)
    }

    fn empty(transact_id: &str, start: String) -> Self {
        let (text, fields) = (String::with_capacity(USUAL_TEXT), Vec::with_capacity(USUAL_FIELDS));
        Self { transact_id: transact_id.to_owned(), start, text, fields, body: None, flag: Flag::Complete }
    }

    /// The parts of `chunk`, to be altered.
    pub fn of(chunk: &Chunk) -> Self {
        let start = match chunk.start() {
            Start::Request { method } => method.to_owned(),
            Start::Response { code, comment: "" } => format!("{code:03}"),
            Start::Response { code, comment } => format!("{code:03} {comment}"),
        };
        let fields = chunk.fields().fold(Self::empty(chunk.transact_id(), start), |of, (name, value)| of.push(name, value));
        Self { body: chunk.body(), flag: chunk.flag(), ..fields }
    }

    /// Adds a header field at the end.
    #[must_use]
    pub fn push(self, name: &str, value: impl Display) -> Self {
        let at = self.fields.len();
        self.insert(at, name, value)
    }

    fn insert(mut self, at: usize, name: &str, value: impl Display) -> Self {
        let start = self.text.len();
        self.text.push_str(name);
        let colon = self.text.len();
        self.text.push_str(SEPARATOR);
        // Writing to a string fails only where `value` itself refuses; then it stays empty.
        let _ = write!(self.text, "{value}");
        self.fields.insert(at, Line { start, colon, end: self.text.len() });
        self
    }

    /// Replaces the fields of this name by one at the place of the first, or at the end.
    #[must_use]
    pub fn set(self, name: &str, value: impl Display) -> Self {
        let at = self.fields.iter().position(|line| self.is(line, name)).unwrap_or(self.fields.len());
        self.remove(name).insert(at, name, value)
    }

    /// Removes the fields of this name.
    #[must_use]
    pub fn remove(mut self, name: &str) -> Self {
        self.fields.retain(|line| !self.text[line.start..line.colon].eq_ignore_ascii_case(name));
        self
    }

    /// The value of the first field of this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|line| self.is(line, name)).map(|line| &self.text[line.colon + SEPARATOR.len()..line.end])
    }

    fn is(&self, line: &Line, name: &str) -> bool {
        self.text[line.start..line.colon].eq_ignore_ascii_case(name)
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

    /// Whether the data holds the end-line of the transaction, so that another identifier is needed (RFC 4975 7.1).
    pub fn collides(&self) -> bool {
        // Hardly any data holds the dashes.
        let dashed = |body: &Bytes| DASHED.find(body).is_some();
        let mark = || [DASHES, self.transact_id.as_bytes()].concat();
        self.body.as_ref().is_some_and(|body| dashed(body) && memmem::find(body, &mark()).is_some())
    }

    /// The transaction identifier.
    pub fn id(&self) -> &str {
        &self.transact_id
    }

    /// Replaces the transaction identifier.
    #[must_use]
    pub fn transact_id(mut self, id: impl Into<String>) -> Self {
        self.transact_id = id.into();
        self
    }

    /// The bytes on the wire. Line ends inside a value become spaces, so that it stays one field.
    pub fn encode(&self) -> Bytes {
        let fields: usize = self.fields.iter().map(|line| line.end - line.start + 2).sum();
        let body = self.body.as_ref().map_or(0, |body| body.len() + 4);
        // The start line and the end-line need 18 bytes besides.
        let mut out = BytesMut::with_capacity(2 * self.transact_id.len() + self.start.len() + fields + body + 18);
        out.put_slice(b"MSRP ");
        out.put_slice(self.transact_id.as_bytes());
        out.put_u8(b' ');
        out.put_slice(self.start.as_bytes());
        out.put_slice(b"\r\n");
        for line in &self.fields {
            put_one_line(&mut out, &self.text[line.start..line.end]);
        }
        if let Some(body) = &self.body {
            out.put_slice(b"\r\n");
            out.put_slice(body);
            out.put_slice(b"\r\n");
        }
        out.put_slice(DASHES);
        out.put_slice(self.transact_id.as_bytes());
        out.put_u8(self.flag.octet());
        out.put_slice(b"\r\n");
        out.freeze()
    }

    /// The chunk that these parts make.
    ///
    /// # Panics
    ///
    /// When the transaction identifier, the start or a name that was given breaks the chunk apart.
    pub fn build(&self) -> Chunk {
        Chunk::decode(self.encode()).unwrap_or_else(|fault| panic!("a chunk of our own does not decode: {fault}"))
    }
}

/// The usual comment of a status code (RFC 4975 10).
pub fn comment(code: u16) -> &'static str {
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
