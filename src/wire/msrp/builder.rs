//! Writes MSRP chunks.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem;

use super::chunk::DASHES;
use super::{Chunk, Flag, Start};

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
            Start::Response { code, comment: "" } => code.to_string(),
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

    /// Whether the data holds the end-line of the transaction, so that another identifier is needed (RFC 4975 7.1).
    pub fn collides(&self) -> bool {
        let mark = [DASHES, self.transact_id.as_bytes()].concat();
        self.body.as_ref().is_some_and(|body| memmem::find(body, &mark).is_some())
    }

    /// The transaction identifier.
    pub fn id(&self) -> &str {
        &self.transact_id
    }

    /// Replaces the transaction identifier.
    #[must_use]
    pub fn transact_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.transact_id);
        self
    }

    /// The bytes on the wire. Line ends inside a value become spaces, so that it stays one field.
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
            out.extend(value.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
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
