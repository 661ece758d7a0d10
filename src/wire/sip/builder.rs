//! Makes SIP messages: fields in the order in which they are pushed, Content-Length at the end.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use super::scan::{self, Head, Slot, Span};
use super::{Message, Name, StartLine, grammar};
use crate::wire::Fault;

/// A message in the making.
///
/// All text stands in one buffer, a line for each field as it goes out; what is replaced or removed
/// stays there unused. So a message of twenty fields costs two allocations, not forty.
#[derive(Clone)]
pub struct Builder {
    text: String,
    start: Range<usize>,
    fields: Vec<Line>,
    body: Bytes,
}

/// Where a field stands in the text: `Name: value` and the line end.
#[derive(Clone, Copy)]
struct Line {
    name: Name,
    start: usize,
    colon: usize,
    end: usize,
}

/// What a field may hold. Text is copied, everything else is formatted.
pub trait FieldValue {
    /// Writes the value to the end of `out`.
    fn write(&self, out: &mut String);
}

macro_rules! text {
    ($($type:ty),*) => {
        $(impl FieldValue for $type {
            fn write(&self, out: &mut String) {
                out.push_str(self);
            }
        })*
    };
}

macro_rules! formatted {
    ($($type:ty),*) => {
        $(impl FieldValue for $type {
            fn write(&self, out: &mut String) {
                // Writing to a string does not fail.
                let _ = write!(out, "{self}");
            }
        })*
    };
}

text!(str, String, Cow<'_, str>);
formatted!(i32, u8, u16, u32, u64, usize, fmt::Arguments<'_>);

impl<V: FieldValue + ?Sized> FieldValue for &V {
    fn write(&self, out: &mut String) {
        (**self).write(out);
    }
}

impl<const PARTS: usize> FieldValue for [&str; PARTS] {
    fn write(&self, out: &mut String) {
        self.iter().for_each(|part| out.push_str(part));
    }
}

/// How a field is named: by a name that is known, or by a spelling that is looked up.
pub trait FieldName {
    /// The name, recognised.
    fn name(&self) -> Name;

    /// The spelling.
    fn token(&self) -> &str;
}

impl FieldName for Name {
    fn name(&self) -> Name {
        *self
    }

    fn token(&self) -> &str {
        self.canonical()
    }
}

impl FieldName for str {
    fn name(&self) -> Name {
        Name::of(self.as_bytes())
    }

    fn token(&self) -> &str {
        self
    }
}

impl FieldName for String {
    fn name(&self) -> Name {
        self.as_str().name()
    }

    fn token(&self) -> &str {
        self
    }
}

impl<N: FieldName + ?Sized> FieldName for &N {
    fn name(&self) -> Name {
        (**self).name()
    }

    fn token(&self) -> &str {
        (**self).token()
    }
}

/// What stands between name and value, and at the end of a line.
const SEPARATOR: &str = ": ";
const LINE_END: &str = "\r\n";
const CONTENT_LENGTH: &str = "Content-Length: ";

/// Room for the text and the fields of a usual message.
const USUAL_TEXT: usize = 1_024;
const USUAL_FIELDS: usize = 24;

impl Builder {
    fn empty(text: usize, fields: usize) -> Self {
        Self { text: String::with_capacity(text), start: 0..0, fields: Vec::with_capacity(fields), body: Bytes::new() }
    }

    /// A request without header fields.
    pub fn request(method: &str, uri: &str) -> Self {
        Self::empty(USUAL_TEXT, USUAL_FIELDS).with_start([method, " ", uri, " SIP/2.0"])
    }

    /// A response without header fields.
    pub fn response(status: u16, reason: &str) -> Self {
        Self::empty(USUAL_TEXT, USUAL_FIELDS).with_start(format_args!("SIP/2.0 {status} {reason}"))
    }

    /// A response with the fields that RFC 3261 8.2.6.2 copies from the request: Via, From, To,
    /// Call-ID, CSeq, and Record-Route for a response that can open a dialog (12.1.1). What may be there
    /// once and is there again is not copied again.
    pub fn response_to(request: &Message, status: u16) -> Self {
        let mut response = Self::response(status, reason_phrase(status));
        let opens = status > 100 && status < 300 && !request.has_to_tag();
        let is_single = |name| matches!(name, Name::From | Name::To | Name::CallId | Name::CSeq);
        let is_copied = |name| name == Name::Via || is_single(name) || (opens && name == Name::RecordRoute);
        for field in request.fields_where(is_copied) {
            if is_single(field.name) && response.fields.iter().any(|line| line.name == field.name) {
                continue;
            }
            let line = response.write(field.name, field.name.canonical(), field.value);
            response.fields.push(line);
        }
        response
    }

    /// The parts of `message`, to be altered. Content-Length is dropped and made anew.
    pub fn of(message: &Message) -> Self {
        let version = message.version();
        // Some room for a Via and a Route more.
        let empty = Self::empty(message.body_offset() + 256, message.fields().len() + 4);
        let mut of = match message.start_line() {
            StartLine::Request { method, uri } => empty.with_start([method, " ", uri, " ", version]),
            StartLine::Status { code, reason } => empty.with_start(format_args!("{version} {code} {reason}")),
        };
        for field in message.fields_where(|name| name != Name::ContentLength) {
            let line = of.write(field.name, field.token, field.value);
            of.fields.push(line);
        }
        of.body = message.body();
        of
    }

    /// Writes a line to the end of the text; it belongs to no field yet.
    fn write(&mut self, name: Name, token: &str, value: impl FieldValue) -> Line {
        let start = self.text.len();
        self.text.push_str(token);
        self.write_value(name, start, value)
    }

    /// Writes the rest of the line whose name was written from `start` on.
    fn write_value(&mut self, name: Name, start: usize, value: impl FieldValue) -> Line {
        let colon = self.text.len();
        self.text.push_str(SEPARATOR);
        value.write(&mut self.text);
        self.text.push_str(LINE_END);
        Line { name, start, colon, end: self.text.len() }
    }

    /// The start line.
    pub fn start(&self) -> &str {
        &self.text[self.start.clone()]
    }

    /// Replaces the start line.
    #[must_use]
    pub fn with_start(mut self, start: impl FieldValue) -> Self {
        let at = self.text.len();
        start.write(&mut self.text);
        self.start = at..self.text.len();
        self
    }

    /// Adds a field at the end.
    #[must_use]
    pub fn push(self, name: impl FieldName, value: impl FieldValue) -> Self {
        let at = self.fields.len();
        self.insert(at, name, value)
    }

    fn insert(mut self, at: usize, name: impl FieldName, value: impl FieldValue) -> Self {
        let line = self.write(name.name(), name.token(), value);
        self.fields.insert(at, line);
        self
    }

    /// Adds a field at the end, if there is a value.
    #[must_use]
    pub fn push_some(self, name: impl FieldName, value: Option<impl FieldValue>) -> Self {
        match value {
            Some(value) => self.push(name, value),
            None => self,
        }
    }

    /// Adds a field before all others.
    #[must_use]
    pub fn push_first(self, name: impl FieldName, value: impl FieldValue) -> Self {
        self.insert(0, name, value)
    }

    /// Replaces the fields of this name by one, at the place of the first, or at the end.
    #[must_use]
    pub fn set(self, name: impl FieldName, value: impl FieldValue) -> Self {
        let at = self.position(&name).unwrap_or(self.fields.len());
        self.remove(&name).insert(at, name, value)
    }

    /// Removes all fields of this name.
    #[must_use]
    pub fn remove(mut self, name: impl FieldName) -> Self {
        let is = named(name);
        self.fields.retain(|line| !is(&self.text, line));
        self
    }

    /// Replaces the value of the first field of this name, or removes that field alone.
    #[must_use]
    pub fn set_first(mut self, name: impl FieldName, value: Option<impl FieldValue>) -> Self {
        if let Some(at) = self.position(name) {
            match value {
                Some(value) => {
                    let Line { name, start, colon, .. } = self.fields[at];
                    let copy = self.text.len();
                    self.text.extend_from_within(start..colon);
                    self.fields[at] = self.write_value(name, copy, value);
                }
                None => drop(self.fields.remove(at)),
            }
        }
        self
    }

    /// Moves the fields of these names to the front, in the order of `names`; all others keep theirs.
    #[must_use]
    pub fn lead_with(mut self, names: &[Name]) -> Self {
        self.fields.sort_by_key(|line| names.iter().position(|name| *name == line.name).unwrap_or(names.len()));
        self
    }

    /// Whether a field of this name is there.
    pub fn has(&self, name: impl FieldName) -> bool {
        self.position(name).is_some()
    }

    /// The value of the first field of this name.
    pub fn value(&self, name: impl FieldName) -> Option<&str> {
        self.position(name).map(|at| self.value_of(&self.fields[at]))
    }

    /// The values of all fields of this name.
    pub fn values<'a>(&'a self, name: impl FieldName + 'a) -> impl Iterator<Item = &'a str> {
        let is = named(name);
        self.fields.iter().filter(move |line| is(&self.text, line)).map(|line| self.value_of(line))
    }

    fn position(&self, name: impl FieldName) -> Option<usize> {
        let is = named(name);
        self.fields.iter().position(|line| is(&self.text, line))
    }

    fn value_of(&self, line: &Line) -> &str {
        &self.text[line.colon + SEPARATOR.len()..line.end - LINE_END.len()]
    }

    /// Sets the body and its Content-Type.
    #[must_use]
    pub fn body(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.set(Name::ContentType, content_type).bare_body(body)
    }

    /// The body.
    pub fn content(&self) -> Bytes {
        self.body.clone()
    }

    /// Sets the body alone.
    #[must_use]
    pub fn bare_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The bytes on the wire. Content-Length is added unless a field of that name was pushed.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.encoded_len());
        out.put_slice(self.start().as_bytes());
        out.put_slice(LINE_END.as_bytes());
        // Most fields stand in the text as they go out, one behind the other.
        for lines in self.fields.chunk_by(|line, next| line.end == next.start) {
            if let (Some(first), Some(last)) = (lines.first(), lines.last()) {
                out.put_slice(&self.text.as_bytes()[first.start..last.end]);
            }
        }
        if !self.has_length() {
            // A buffer that grows takes any number.
            let _ = write!(out, "{CONTENT_LENGTH}{}{LINE_END}", self.body.len());
        }
        out.put_slice(LINE_END.as_bytes());
        out.put_slice(&self.body);
        out.freeze()
    }

    /// How many bytes [`Builder::encode`] gives.
    pub fn encoded_len(&self) -> usize {
        let head: usize = self.fields.iter().map(|line| line.end - line.start).sum();
        let digits = self.body.len().checked_ilog10().unwrap_or(0) as usize + 1;
        let length = if self.has_length() { 0 } else { CONTENT_LENGTH.len() + digits + LINE_END.len() };
        self.start().len() + LINE_END.len() + head + length + LINE_END.len() + self.body.len()
    }

    fn has_length(&self) -> bool {
        self.fields.iter().any(|line| line.name == Name::ContentLength)
    }

    /// The message that these parts make. Where each field stands is known: only parts that break
    /// the message apart, or bring a Content-Length of their own, are looked at anew.
    ///
    /// # Errors
    ///
    /// As [`Message::decode`].
    pub fn to_message(&self) -> Result<Message, Fault> {
        let bytes = self.encode();
        match self.head_in(&bytes) {
            Some(head) => {
                let end = bytes.len();
                Ok(Message::assemble(bytes, head, end))
            }
            None => Message::decode(bytes),
        }
    }

    /// The head of `bytes`, which are those of [`Builder::encode`], when every line is what it was
    /// pushed as.
    fn head_in(&self, bytes: &[u8]) -> Option<Head> {
        let body = bytes.len() - self.body.len();
        let lines = |byte| memchr::memchr_iter(byte, &bytes[..body]).count();
        let expected = self.fields.len() + 3;
        let whole = u32::try_from(bytes.len()).is_ok() && lines(b'\n') == expected && lines(b'\r') == expected;
        let is_named = |line: &Line| line.name != Name::Other || grammar::is_token(&self.text[line.start..line.colon]);
        if !whole || self.has_length() || !self.fields.iter().all(is_named) {
            return None;
        }
        let start = scan::start_line(bytes, 0..self.start().len()).ok()?;
        let mut at = self.start().len() + LINE_END.len();
        let start_line = Span::of(0..at);
        let mut slots = Vec::with_capacity(self.fields.len() + 1);
        for line in &self.fields {
            let end = at + line.end - line.start;
            slots.push(Slot::of_line(bytes, line.name, line.colon - line.start, at..end));
            at = end;
        }
        let blank = body - LINE_END.len();
        slots.push(Slot::of_line(bytes, Name::ContentLength, CONTENT_LENGTH.len() - SEPARATOR.len(), at..blank));
        Some(Head { start, start_line, slots, blank: Span::of(blank..body) })
    }

    /// The message that these parts make, of which it is known that they do.
    ///
    /// # Panics
    ///
    /// When a value that was pushed breaks the message apart (a line feed, say). Parts that come
    /// from outside are sent with [`Builder::encode`], which does not look at them.
    pub fn build(&self) -> Message {
        self.to_message().unwrap_or_else(|fault| panic!("a message of our own does not decode: {fault}"))
    }
}

/// Whether a line is a field of this name, in any letter case or its compact form.
fn named(field: impl FieldName) -> impl Fn(&str, &Line) -> bool {
    let name = field.name();
    move |text, line| line.name == name && (name != Name::Other || text[line.start..line.colon].eq_ignore_ascii_case(field.token()))
}

impl PartialEq for Builder {
    fn eq(&self, other: &Self) -> bool {
        fn lines(of: &Builder) -> impl Iterator<Item = &str> {
            of.fields.iter().map(|line| &of.text[line.start..line.end])
        }
        self.start() == other.start() && lines(self).eq(lines(other)) && self.body == other.body
    }
}

impl Eq for Builder {}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.encode()))
    }
}

/// The usual reason phrase of a status code (RFC 3261 21 and extensions).
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => class_phrase(status),
    }
}

/// What the class of an unknown code means (RFC 3261 7.2).
const fn class_phrase(status: u16) -> &'static str {
    match status {
        ..=199 => "Progress",
        200..=299 => "Success",
        300..=399 => "Redirection",
        400..=499 => "Client Error",
        500..=599 => "Server Error",
        600.. => "Global Failure",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_that_break_the_message_apart_are_looked_at_anew() {
        let request = || Builder::request("OPTIONS", "sip:a@b.example").push("Via", "SIP/2.0/TCP a;branch=z9hG4bK1");
        for odd in [
            request().push("Subject", "one\r\n two"),
            request().push("Subject", "one\r\n\r\ntwo"),
            request().push("Content-Length", 0),
            request().push("Sub ject", "x"),
            request().with_start("OPTIONS"),
        ] {
            assert_eq!(odd.head_in(&odd.encode()), None, "{odd:?}");
        }
        assert!(request().head_in(&request().encode()).is_some());
    }

    #[test]
    fn a_response_has_once_what_may_be_there_once() {
        let request = ["Via: SIP/2.0/TCP a", "Via: SIP/2.0/TCP b", "Call-ID: 1", "i: 2", "CSeq: 1 OPTIONS", "CSeq: 2 OPTIONS"];
        let request = format!("OPTIONS sip:a@b.example SIP/2.0\r\n{}\r\n\r\n", request.join("\r\n"));
        let request = Message::decode(request.into()).expect("a request");
        let response = Builder::response_to(&request, 400).to_message().expect("a response");
        let count = |name| response.values(name).count();
        assert_eq!((count(Name::Via), count(Name::CallId), count(Name::CSeq)), (2, 1, 1));
        assert_eq!(response.call_id(), Some("1"));
    }

    proptest! {
        #[test]
        fn a_message_is_what_its_bytes_decode_to(
            start in "(OPTIONS sip:a@b SIP/2.0|SIP/2.0 200 OK|[ -~]{0,12})",
            fields in prop::collection::vec(("(Via|to|i|X-[a-z]{1,3}|[ -~]{0,4})", "[ -~\r\n\té]{0,8}"), 0..6),
            body in "[ -~\r\n]{0,8}",
        ) {
            let builder = fields.iter().fold(Builder::request("", "").with_start(start), |builder, (name, value)| builder.push(name, value));
            let builder = builder.bare_body(body);
            prop_assert_eq!(builder.to_message(), Message::decode(builder.encode()));
        }
    }
}
