//! Makes SIP messages: fields in the order in which they are pushed, Content-Length at the end.

use std::borrow::Cow;
use std::fmt::Display;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Message, Name, StartLine};

/// A message in the making.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Builder {
    start: String,
    fields: Vec<(Cow<'static, str>, String)>,
    body: Bytes,
}

impl Builder {
    /// A request without header fields.
    pub fn request(method: &str, uri: &str) -> Self {
        Self { start: format!("{method} {uri} SIP/2.0"), fields: Vec::with_capacity(24), body: Bytes::new() }
    }

    /// A response without header fields.
    pub fn response(status: u16, reason: &str) -> Self {
        Self { start: format!("SIP/2.0 {status} {reason}"), fields: Vec::with_capacity(16), body: Bytes::new() }
    }

    /// A response with the fields that RFC 3261 8.2.6.2 copies from the request: Via, From, To,
    /// Call-ID, CSeq, and Record-Route for a response that can open a dialog (12.1.1).
    pub fn response_to(request: &Message, status: u16) -> Self {
        let mut response = Self::response(status, reason_phrase(status));
        let opens = status > 100 && status < 300 && !request.has_to_tag();
        for field in request.fields() {
            let copied = matches!(field.name, Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq);
            if copied || (opens && field.name == Name::RecordRoute) {
                response.fields.push((field.name.canonical().into(), field.value.to_owned()));
            }
        }
        response
    }

    /// The parts of `message`, to be altered. Content-Length is dropped and made anew.
    pub fn of(message: &Message) -> Self {
        let start = match message.start_line() {
            StartLine::Request { method, uri } => format!("{method} {uri} {}", message.version()),
            StartLine::Status { code, reason } => format!("{} {code} {reason}", message.version()),
        };
        let fields = message
            .fields()
            .filter(|field| field.name != Name::ContentLength)
            .map(|field| (field.token.to_owned().into(), field.value.to_owned()))
            .collect();
        Self { start, fields, body: message.body() }
    }

    /// The start line.
    pub fn start(&self) -> &str {
        &self.start
    }

    /// Replaces the start line.
    #[must_use]
    pub fn with_start(mut self, start: String) -> Self {
        self.start = start;
        self
    }

    /// Adds a field at the end.
    #[must_use]
    pub fn push(mut self, name: impl Into<Cow<'static, str>>, value: impl Display) -> Self {
        self.fields.push((name.into(), value.to_string()));
        self
    }

    /// Adds a field at the end, if there is a value.
    #[must_use]
    pub fn push_some(self, name: impl Into<Cow<'static, str>>, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.push(name, value),
            None => self,
        }
    }

    /// Adds a field before all others.
    #[must_use]
    pub fn push_first(mut self, name: impl Into<Cow<'static, str>>, value: impl Display) -> Self {
        self.fields.insert(0, (name.into(), value.to_string()));
        self
    }

    /// Replaces the fields of this name by one, at the place of the first, or at the end.
    #[must_use]
    pub fn set(mut self, name: impl Into<Cow<'static, str>>, value: impl Display) -> Self {
        let name = name.into();
        let at = self.fields.iter().position(|(token, _)| same(token, &name)).unwrap_or(self.fields.len());
        self = self.remove(&name);
        self.fields.insert(at, (name, value.to_string()));
        self
    }

    /// Removes all fields of this name.
    #[must_use]
    pub fn remove(mut self, name: &str) -> Self {
        self.fields.retain(|(token, _)| !same(token, name));
        self
    }

    /// Replaces the value of the first field of this name, or removes that field alone.
    #[must_use]
    pub fn set_first(mut self, name: &str, value: Option<String>) -> Self {
        if let Some(at) = self.fields.iter().position(|(token, _)| same(token, name)) {
            match value {
                Some(value) => self.fields[at].1 = value,
                None => drop(self.fields.remove(at)),
            }
        }
        self
    }

    /// Moves the fields of these names to the front, in the order of `names`; all others keep theirs.
    #[must_use]
    pub fn lead_with(mut self, names: &[&str]) -> Self {
        let place = |token: &str| names.iter().position(|name| same(token, name)).unwrap_or(names.len());
        self.fields.sort_by_key(|(token, _)| place(token));
        self
    }

    /// Whether a field of this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The value of the first field of this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(token, _)| same(token, name)).map(|(_, value)| value.as_str())
    }

    /// The values of all fields of this name.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |(token, _)| same(token, name)).map(|(_, value)| value.as_str())
    }

    /// Sets the body and its Content-Type.
    #[must_use]
    pub fn body(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        let mut with = self.set("Content-Type", content_type);
        with.body = body.into();
        with
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
        let head: usize = self.fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut out = BytesMut::with_capacity(self.start.len() + head + self.body.len() + 32);
        out.put_slice(self.start.as_bytes());
        for (name, value) in &self.fields {
            out.put_slice(b"\r\n");
            out.put_slice(name.as_bytes());
            out.put_slice(b": ");
            out.put_slice(value.as_bytes());
        }
        if !self.has("Content-Length") {
            out.put_slice(b"\r\nContent-Length: ");
            out.put_slice(self.body.len().to_string().as_bytes());
        }
        out.put_slice(b"\r\n\r\n");
        out.put_slice(&self.body);
        out.freeze()
    }

    /// The message that these parts make.
    ///
    /// # Panics
    ///
    /// When a value that was pushed breaks the message apart (a line feed, say). Parts that come
    /// from outside are sent with [`Builder::encode`], which does not look at them.
    pub fn build(&self) -> Message {
        Message::decode(self.encode()).unwrap_or_else(|fault| panic!("a message of our own does not decode: {fault}"))
    }
}

fn same(left: &str, right: &str) -> bool {
    // Only the compact forms, one letter each, are other names of the same field.
    if left.len() > 1 && right.len() > 1 {
        return left.eq_ignore_ascii_case(right);
    }
    let name = Name::of(left.as_bytes());
    name == Name::of(right.as_bytes()) && (name != Name::Other || left.eq_ignore_ascii_case(right))
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
