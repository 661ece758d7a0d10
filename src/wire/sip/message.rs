//! One SIP message: start line, header fields and body as views into the received bytes.

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::scan::{self, Head, Slot, Span, Start};
use super::{Name, Uri, header};
use crate::wire::Fault;
use crate::wire::raw::Raw;

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
    /// The tokens of all methods that have a name here.
    pub const KNOWN: [&str; 14] = [
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "OPTIONS",
        "REGISTER",
        "PRACK",
        "SUBSCRIBE",
        "NOTIFY",
        "MESSAGE",
        "UPDATE",
        "REFER",
        "INFO",
        "PUBLISH",
    ];

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
    raw: Raw,
    head: Head,
    body: Span,
}

impl Message {
    /// Decodes one whole message, as a datagram holds it: leading empty lines are skipped, the
    /// body is what Content-Length says, or the rest when there is none (RFC 3261 18.3).
    ///
    /// # Errors
    ///
    /// When the start line or a header line is malformed, the header section has no end, or
    /// Content-Length is no number, contradicts itself, or is larger than what is there.
    pub fn decode(bytes: Bytes) -> Result<Self, Fault> {
        let head = Self::scan(&bytes)?;
        let end = match head.content_length(&bytes)? {
            None => bytes.len(),
            Some(length) => head.end().checked_add(length).filter(|end| *end <= bytes.len()).ok_or_else(|| too_short(&head))?,
        };
        Ok(Self::assemble(bytes, head, end))
    }

    /// As [`Message::decode`], but whatever Content-Length says: when it is wrong, the body is the
    /// rest. For readers that answer 400 to such a datagram, or explain it to a person.
    ///
    /// # Errors
    ///
    /// When the start line or a header line is malformed, or the header section has no end.
    pub fn decode_tolerant(bytes: Bytes) -> Result<Self, Fault> {
        let head = Self::scan(&bytes)?;
        let length = head.content_length(&bytes).ok().flatten();
        let end = length.and_then(|length| head.end().checked_add(length)).unwrap_or(bytes.len()).min(bytes.len());
        Ok(Self::assemble(bytes, head, end))
    }

    fn scan(bytes: &[u8]) -> Result<Head, Fault> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(Fault::new("sip-message-size", 0, "a message below 4 GiB"));
        }
        Head::scan(bytes, scan::lead(bytes))
    }

    /// The message whose head was scanned already and whose body ends at `end`.
    pub(super) fn assemble(bytes: Bytes, head: Head, end: usize) -> Self {
        let body = Span::of(head.end()..end);
        Self { raw: Raw::of(bytes), head, body }
    }

    /// The bytes of the message again, put together from its parts: empty lines before it, start
    /// line, fields with their folds and line ends, empty line, body.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.body.end as usize);
        let bytes = self.bytes();
        out.put_slice(&bytes[..self.head.start_line.start as usize]);
        out.put_slice(&bytes[self.head.start_line.range()]);
        for slot in &self.head.slots {
            out.put_slice(&bytes[slot.line.range()]);
        }
        out.put_slice(&bytes[self.head.blank.range()]);
        out.put_slice(&bytes[self.body.range()]);
        out.freeze()
    }

    /// The bytes of the message as they were decoded, shared: those of [`Message::encode`].
    pub fn octets(&self) -> Bytes {
        self.bytes().slice(..self.body.range().end)
    }

    /// All bytes that the message was decoded from, what follows the body included.
    pub fn bytes(&self) -> &Bytes {
        self.raw.bytes()
    }

    /// How many bytes follow the body.
    pub fn trailing(&self) -> usize {
        self.bytes().len() - self.body.range().end
    }

    /// The start line.
    pub fn start_line(&self) -> StartLine<'_> {
        match self.head.start {
            Start::Request { method, uri, .. } => StartLine::Request { method: self.text(method), uri: self.text(uri) },
            Start::Status { code, reason, .. } => StartLine::Status { code, reason: self.text(reason) },
        }
    }

    /// The start line as written, with its line end.
    pub fn start_bytes(&self) -> &[u8] {
        &self.bytes()[self.head.start_line.range()]
    }

    /// Where the start line begins: behind the empty lines that came first.
    pub const fn start_offset(&self) -> usize {
        self.head.start_line.start as usize
    }

    /// The header fields as they stand on the wire, with folds and line ends, and the empty line
    /// behind them.
    pub fn field_bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.head.slots.iter().map(|slot| slot.line).chain([self.head.blank]).map(|span| &self.bytes()[span.range()])
    }

    /// The SIP version as written.
    pub fn version(&self) -> &str {
        match self.head.start {
            Start::Request { version, .. } | Start::Status { version, .. } => self.text(version),
        }
    }

    /// Whether this is a request.
    pub const fn is_request(&self) -> bool {
        matches!(self.head.start, Start::Request { .. })
    }

    /// The method of a request, or of the request that a response answers (from CSeq).
    pub fn method(&self) -> Option<Method> {
        self.method_token().map(Method::of)
    }

    /// As [`Message::method`], as written.
    pub fn method_token(&self) -> Option<&str> {
        match self.head.start {
            Start::Request { method, .. } => Some(self.text(method)),
            Start::Status { .. } => self.cseq().ok().map(|cseq| cseq.method),
        }
    }

    /// The Request-URI of a request as written.
    pub fn request_uri(&self) -> Option<&str> {
        match self.head.start {
            Start::Request { uri, .. } => Some(self.text(uri)),
            Start::Status { .. } => None,
        }
    }

    /// The status code of a response.
    pub const fn status(&self) -> Option<u16> {
        match self.head.start {
            Start::Request { .. } => None,
            Start::Status { code, .. } => Some(code),
        }
    }

    /// All header fields in wire order.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = HeaderField<'_>> + ExactSizeIterator {
        self.head.slots.iter().map(|slot| self.view(slot))
    }

    /// The header fields with these names, in wire order.
    pub(super) fn fields_where(&self, wanted: impl Fn(Name) -> bool) -> impl Iterator<Item = HeaderField<'_>> {
        self.head.slots.iter().filter(move |slot| wanted(slot.name)).map(|slot| self.view(slot))
    }

    /// The first header field of this name.
    pub fn field(&self, name: Name) -> Option<HeaderField<'_>> {
        self.slot(name).map(|slot| self.view(slot))
    }

    /// The value of the first header field of this name.
    pub fn value(&self, name: Name) -> Option<&str> {
        self.slot(name).map(|slot| self.text(slot.value))
    }

    fn slot(&self, name: Name) -> Option<&Slot> {
        self.head.slots.iter().find(|slot| slot.name == name)
    }

    /// The values of all header fields of this name, a line each.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &str> {
        self.head.slots.iter().filter(move |slot| slot.name == name).map(|slot| self.text(slot.value))
    }

    /// Whether one of these header fields is there more than once.
    pub fn repeats(&self, names: &[Name]) -> bool {
        let mut seen = 0_u128;
        self.head.slots.iter().any(|slot| {
            let bit = 1 << slot.name as u8;
            let again = seen & bit != 0;
            seen |= bit;
            again && names.contains(&slot.name)
        })
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
        self.bytes().slice(self.body.range())
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

    /// The tag of From.
    pub fn from_tag(&self) -> Option<&str> {
        header::tag_of(self.value(Name::From)?)
    }

    /// The tag of To.
    pub fn to_tag(&self) -> Option<&str> {
        header::tag_of(self.value(Name::To)?)
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
        self.to_tag().is_some()
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
        let slot = self.slot(name).ok_or(Fault::new("sip-header-missing", 0, "a mandatory header field"))?;
        parse(header::first(self.text(slot.value))).map_err(|fault| fault.at(slot.value.range().start))
    }

    /// What all Content-Length fields agree on.
    ///
    /// # Errors
    ///
    /// When one is no number, or two differ.
    pub fn content_length(&self) -> Result<Option<usize>, Fault> {
        self.head.content_length(self.bytes())
    }

    /// Where a field ceases to be UTF-8, if it does.
    pub(super) fn first_non_utf8(&self, field: &HeaderField<'_>) -> Option<usize> {
        if self.raw.is_text() {
            return None;
        }
        let slot = self.head.slots.iter().find(|slot| slot.value.range().start == field.offset)?;
        self.raw.first_non_utf8(slot.line.range())
    }

    fn view(&self, slot: &Slot) -> HeaderField<'_> {
        HeaderField {
            name: slot.name,
            token: self.text(slot.token()),
            value: self.text(slot.value),
            offset: slot.value.start as usize,
        }
    }

    #[inline]
    fn text(&self, span: Span) -> &str {
        self.raw.text(span.range())
    }

    /// The message as text for a person; bytes that are no UTF-8 are replaced.
    pub fn to_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes())
    }
}

fn too_short(head: &Head) -> Fault {
    let at = head.slots.iter().find(|slot| slot.name == Name::ContentLength).map_or(head.end(), |slot| slot.value.range().start);
    Fault::new("sip-content-length", at, "a body as long as Content-Length says")
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.start_line() {
            StartLine::Request { method, uri } => write!(f, "{method} {uri}"),
            StartLine::Status { code, reason } => write!(f, "{code} {reason}"),
        }
    }
}
