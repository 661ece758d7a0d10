//! One SIP message: start line, header fields and body as views into the received bytes.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use memchr::memchr;

use super::header;
use super::{Name, Uri};
use crate::wire::Fault;

/// A request method (RFC 3261 7.1); methods are case-sensitive.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Method {
    /// RFC 3261 13.
    Invite,
    /// RFC 3261 13.2.2.4.
    Ack,
    /// RFC 3261 15.
    Bye,
    /// RFC 3261 9.
    Cancel,
    /// RFC 3261 11.
    Options,
    /// RFC 3261 10.
    Register,
    /// RFC 3262.
    Prack,
    /// RFC 6665.
    Subscribe,
    /// RFC 6665.
    Notify,
    /// RFC 3428.
    Message,
    /// RFC 3311.
    Update,
    /// RFC 3515.
    Refer,
    /// RFC 6086.
    Info,
    /// RFC 3903.
    Publish,
    /// Any other token.
    Other(Box<str>),
}

impl Method {
    /// Reads a method token.
    pub fn of(token: &str) -> Self {
        match token {
            "INVITE" => Self::Invite,
            "ACK" => Self::Ack,
            "BYE" => Self::Bye,
            "CANCEL" => Self::Cancel,
            "OPTIONS" => Self::Options,
            "REGISTER" => Self::Register,
            "PRACK" => Self::Prack,
            "SUBSCRIBE" => Self::Subscribe,
            "NOTIFY" => Self::Notify,
            "MESSAGE" => Self::Message,
            "UPDATE" => Self::Update,
            "REFER" => Self::Refer,
            "INFO" => Self::Info,
            "PUBLISH" => Self::Publish,
            other => Self::Other(other.into()),
        }
    }

    /// The token on the wire.
    pub fn token(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Prack => "PRACK",
            Self::Subscribe => "SUBSCRIBE",
            Self::Notify => "NOTIFY",
            Self::Message => "MESSAGE",
            Self::Update => "UPDATE",
            Self::Refer => "REFER",
            Self::Info => "INFO",
            Self::Publish => "PUBLISH",
            Self::Other(token) => token,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

/// A span of the message's bytes. Messages are far below 4 GiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    #[expect(clippy::cast_possible_truncation, reason = "the decoder refuses messages of 4 GiB and more")]
    pub(super) const fn of(range: Range<usize>) -> Self {
        Self { start: range.start as u32, end: range.end as u32 }
    }

    const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Start {
    Request { method: Span, uri: Span, version: Span },
    Status { version: Span, code: u16, reason: Span },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Slot {
    name: Name,
    token: Span,
    value: Span,
    /// The whole field with its line end, so that nothing between the views is lost.
    line: Span,
}

/// The first line of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartLine<'a> {
    /// A request line.
    Request {
        /// The method token.
        method: &'a str,
        /// The Request-URI.
        uri: &'a str,
    },
    /// A status line.
    Status {
        /// The status code, 100 to 699 in a valid message.
        code: u16,
        /// The reason phrase; it may be empty and may hold any UTF-8.
        reason: &'a str,
    },
}

/// One header field of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeaderField<'a> {
    /// The name, recognised.
    pub name: Name,
    /// The name as it was spelt.
    pub token: &'a str,
    /// The value without surrounding white space; folds are still in it.
    pub value: &'a str,
    /// Where the value starts in the message.
    pub offset: usize,
}

/// A decoded SIP message. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    bytes: Bytes,
    start: Start,
    slots: Box<[Slot]>,
    blank: Span,
    body: Span,
}

impl Message {
    /// Decodes one whole message, as a datagram holds it: leading empty lines are skipped, the
    /// body is what Content-Length says, or the rest when there is none (RFC 3261 18.3).
    ///
    /// # Errors
    ///
    /// When the start line or a header line is malformed, the header section has no end, or
    /// Content-Length is no number or larger than what is there.
    pub fn decode(bytes: Bytes) -> Result<Self, Fault> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(Fault::new("sip-message-size", 0, "a message below 4 GiB"));
        }
        let first = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
        let (line_end, mut at) = line(&bytes, first).ok_or(Fault::new("sip-start-line", first, "a start line"))?;
        let start = start_line(&bytes, first..line_end)?;
        let mut slots = Vec::with_capacity(32);
        let blank = loop {
            let (end, next) = line(&bytes, at).ok_or(Fault::new("sip-header-end", at, "an empty line after the header fields"))?;
            if end == at {
                break Span::of(at..next);
            }
            let (slot, after) = header_line(&bytes, at, end, next)?;
            slots.push(slot);
            at = after;
        };
        let body_start = blank.range().end;
        let mut message = Self { bytes, start, slots: slots.into_boxed_slice(), blank, body: Span::default() };
        let body_end = message.body_end(body_start)?;
        message.body = Span::of(body_start..body_end);
        Ok(message)
    }

    fn body_end(&self, start: usize) -> Result<usize, Fault> {
        let Some(field) = self.field(Name::ContentLength) else { return Ok(self.bytes.len()) };
        let length = header::number(field.value).map_err(|fault| fault.at(field.offset))?;
        usize::try_from(length)
            .ok()
            .and_then(|length| start.checked_add(length))
            .filter(|end| *end <= self.bytes.len())
            .ok_or(Fault::new("sip-content-length", field.offset, "a body as long as Content-Length says"))
    }

    /// The bytes of the message again, put together from its parts.
    pub fn encode(&self) -> Bytes {
        if let (Some(first), true) = (self.slots.first(), self.is_contiguous()) {
            let _ = first;
            return self.bytes.slice(..self.body.range().end);
        }
        self.bytes.slice(..self.body.range().end)
    }

    fn is_contiguous(&self) -> bool {
        self.slots.windows(2).all(|pair| pair[0].line.end == pair[1].line.start)
    }

    /// All bytes that the message was decoded from, what follows the body included.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How many bytes follow the body.
    pub fn trailing(&self) -> usize {
        self.bytes.len() - self.body.range().end
    }

    /// The start line.
    pub fn start_line(&self) -> StartLine<'_> {
        match self.start {
            Start::Request { method, uri, .. } => StartLine::Request { method: self.text(method), uri: self.text(uri) },
            Start::Status { code, reason, .. } => StartLine::Status { code, reason: self.text(reason) },
        }
    }

    /// The SIP version as written.
    pub fn version(&self) -> &str {
        match self.start {
            Start::Request { version, .. } | Start::Status { version, .. } => self.text(version),
        }
    }

    /// Whether this is a request.
    pub const fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// The method of a request, or of the request that a response answers (from CSeq).
    pub fn method(&self) -> Option<Method> {
        self.method_token().map(Method::of)
    }

    /// As [`Message::method`], as written.
    pub fn method_token(&self) -> Option<&str> {
        match self.start {
            Start::Request { method, .. } => Some(self.text(method)),
            Start::Status { .. } => self.cseq().ok().map(|cseq| cseq.method),
        }
    }

    /// The Request-URI of a request as written.
    pub fn request_uri(&self) -> Option<&str> {
        match self.start {
            Start::Request { uri, .. } => Some(self.text(uri)),
            Start::Status { .. } => None,
        }
    }

    /// The status code of a response.
    pub const fn status(&self) -> Option<u16> {
        match self.start {
            Start::Request { .. } => None,
            Start::Status { code, .. } => Some(code),
        }
    }

    /// All header fields in wire order.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = HeaderField<'_>> + ExactSizeIterator {
        self.slots.iter().map(|slot| self.view(slot))
    }

    /// The first header field of this name.
    pub fn field(&self, name: Name) -> Option<HeaderField<'_>> {
        self.slots.iter().find(|slot| slot.name == name).map(|slot| self.view(slot))
    }

    /// The value of the first header field of this name.
    pub fn value(&self, name: Name) -> Option<&str> {
        self.field(name).map(|field| field.value)
    }

    /// The values of all header fields of this name, a line each.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &str> {
        self.slots.iter().filter(move |slot| slot.name == name).map(|slot| self.text(slot.value))
    }

    /// The values of all header fields with this spelling or a compact form of it.
    pub fn values_named<'a>(&'a self, token: &'a str) -> impl Iterator<Item = &'a str> {
        let name = Name::of(token.as_bytes());
        self.fields()
            .filter(move |field| field.name == name && (name != Name::Other || field.token.eq_ignore_ascii_case(token)))
            .map(|field| field.value)
    }

    /// The elements of all comma-separated header fields of this name, in order.
    pub fn elements(&self, name: Name) -> impl Iterator<Item = &str> {
        self.values(name).flat_map(header::list)
    }

    /// The body.
    pub fn body(&self) -> Bytes {
        self.bytes.slice(self.body.range())
    }

    /// Where the body starts in the message.
    pub const fn body_offset(&self) -> usize {
        self.body.start as usize
    }

    /// The topmost Via.
    ///
    /// # Errors
    ///
    /// When it is missing or malformed.
    pub fn via(&self) -> Result<header::Via<'_>, Fault> {
        self.typed(Name::Via, header::Via::parse)
    }

    /// From.
    ///
    /// # Errors
    ///
    /// When it is missing or malformed.
    pub fn from(&self) -> Result<header::NameAddr<'_>, Fault> {
        self.typed(Name::From, header::NameAddr::parse)
    }

    /// To.
    ///
    /// # Errors
    ///
    /// When it is missing or malformed.
    pub fn to(&self) -> Result<header::NameAddr<'_>, Fault> {
        self.typed(Name::To, header::NameAddr::parse)
    }

    /// The first Contact.
    ///
    /// # Errors
    ///
    /// When it is missing or malformed.
    pub fn contact(&self) -> Result<header::NameAddr<'_>, Fault> {
        self.typed(Name::Contact, header::NameAddr::parse)
    }

    /// CSeq.
    ///
    /// # Errors
    ///
    /// When it is missing or malformed.
    pub fn cseq(&self) -> Result<header::CSeq<'_>, Fault> {
        self.typed(Name::CSeq, header::CSeq::parse)
    }

    /// Call-ID; compared byte by byte.
    pub fn call_id(&self) -> Option<&str> {
        self.value(Name::CallId)
    }

    /// Whether To carries a tag: the request belongs to a dialog.
    pub fn has_to_tag(&self) -> bool {
        self.to().is_ok_and(|to| to.tag().is_some())
    }

    /// The Request-URI parsed.
    ///
    /// # Errors
    ///
    /// When this is a response or the URI is malformed.
    pub fn target(&self) -> Result<Uri<'_>, Fault> {
        self.request_uri().ok_or(Fault::new("sip-request-uri", 0, "a request")).and_then(Uri::parse)
    }

    /// The media type of the body.
    pub fn content_type(&self) -> Option<header::MediaType<'_>> {
        self.typed(Name::ContentType, header::MediaType::parse).ok()
    }

    fn typed<'a, T>(&'a self, name: Name, parse: impl Fn(&'a str) -> Result<T, Fault>) -> Result<T, Fault> {
        let field = self.field(name).ok_or(Fault::new("sip-header-missing", 0, "a mandatory header field"))?;
        let first = header::list(field.value).next().unwrap_or(field.value);
        parse(first).map_err(|fault| fault.at(field.offset))
    }

    fn view(&self, slot: &Slot) -> HeaderField<'_> {
        HeaderField {
            name: slot.name,
            token: self.text(slot.token),
            value: self.text(slot.value),
            offset: slot.value.start as usize,
        }
    }

    fn text(&self, span: Span) -> &str {
        let bytes = &self.bytes[span.range()];
        match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(fault) => std::str::from_utf8(&bytes[..fault.valid_up_to()]).unwrap_or(""),
        }
    }

    /// The message as text for a person; bytes that are no UTF-8 are replaced.
    pub fn to_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.start_line() {
            StartLine::Request { method, uri } => write!(f, "{method} {uri}"),
            StartLine::Status { code, reason } => write!(f, "{code} {reason}"),
        }
    }
}

/// The end of the line at `at` without its CRLF (or bare LF), and the start of the next line.
fn line(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let feed = at + memchr(b'\n', bytes.get(at..)?)?;
    let end = if feed > at && bytes[feed - 1] == b'\r' { feed - 1 } else { feed };
    Some((end, feed + 1))
}

fn start_line(bytes: &[u8], range: Range<usize>) -> Result<Start, Fault> {
    let text = &bytes[range.clone()];
    let fault = |offset, expected| Fault::new("sip-start-line", range.start + offset, expected);
    let first = memchr(b' ', text).ok_or(fault(text.len(), "a space after the first word"))?;
    let rest = first + 1;
    if text.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"SIP/")) {
        let code_end = memchr(b' ', &text[rest..]).map_or(text.len(), |at| rest + at);
        let code = std::str::from_utf8(&text[rest..code_end])
            .ok()
            .filter(|digits| digits.len() == 3)
            .and_then(|digits| digits.parse().ok())
            .ok_or(fault(rest, "a status code of three digits"))?;
        let reason = (code_end + 1).min(text.len());
        let shift = |part: Range<usize>| Span::of(range.start + part.start..range.start + part.end);
        return Ok(Start::Status { version: shift(0..first), code, reason: shift(reason..text.len()) });
    }
    let last = memchr::memrchr(b' ', text).filter(|last| *last > first).ok_or(fault(rest, "a Request-URI and a version"))?;
    let shift = |part: Range<usize>| Span::of(range.start + part.start..range.start + part.end);
    if !text[last + 1..].get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"SIP/")) {
        return Err(fault(last + 1, "a SIP version"));
    }
    Ok(Start::Request { method: shift(0..first), uri: shift(rest..last), version: shift(last + 1..text.len()) })
}

fn header_line(bytes: &[u8], at: usize, end: usize, next: usize) -> Result<(Slot, usize), Fault> {
    let colon = memchr(b':', &bytes[at..end]).ok_or(Fault::new("sip-header-line", at, "a header name and a colon"))?;
    let token_end = at + bytes[at..at + colon].iter().rposition(|byte| !is_blank(*byte)).map_or(0, |last| last + 1);
    if token_end == at || is_blank(bytes[at]) {
        return Err(Fault::new("sip-header-name", at, "a header name"));
    }
    let (mut end, mut next) = (end, next);
    while bytes.get(next).copied().is_some_and(is_blank) {
        (end, next) = line(bytes, next).ok_or(Fault::new("sip-header-end", next, "an empty line after the header fields"))?;
    }
    let value = trim(bytes, at + colon + 1..end);
    let name = Name::of(&bytes[at..token_end]);
    Ok((Slot { name, token: Span::of(at..token_end), value: Span::of(value), line: Span::of(at..next) }, next))
}

fn trim(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let text = &bytes[range.clone()];
    let start = text.iter().position(|byte| !is_space(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    range.start + start..range.start + end
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
