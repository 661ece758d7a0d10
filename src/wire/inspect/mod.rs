//! Any message taken apart for a person or a script, with everything that is wrong with it.

mod body;
mod text;

use bytes::Bytes;

use super::{Fault, Level, Violation, cpim, msrp, sdp, sip};
use crate::engine::Transport;

pub use text::visible;

/// What to read bytes as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum As {
    /// What they look like.
    #[default]
    Auto,
    /// SIP (RFC 3261).
    Sip,
    /// MSRP (RFC 4975).
    Msrp,
    /// CPIM (RFC 3862).
    Cpim,
    /// SDP (RFC 8866).
    Sdp,
}

/// What bytes were read as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// SIP (RFC 3261).
    Sip,
    /// MSRP (RFC 4975).
    Msrp,
    /// CPIM (RFC 3862).
    Cpim,
    /// SDP (RFC 8866).
    Sdp,
}

impl Protocol {
    /// The name on the command line and in reports.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Sip => "sip",
            Self::Msrp => "msrp",
            Self::Cpim => "cpim",
            Self::Sdp => "sdp",
        }
    }

    /// Where the standard defines the form of a message.
    const fn rfc(self) -> &'static str {
        match self {
            Self::Sip => "RFC 3261 7",
            Self::Msrp => "RFC 4975 9",
            Self::Cpim => "RFC 3862 3",
            Self::Sdp => "RFC 8866 9",
        }
    }

    /// The protocol that bytes look like; SIP when they look like none.
    pub fn guess(bytes: &[u8]) -> Self {
        let text = bytes.trim_ascii_start();
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or(&[]).trim_ascii_end();
        let colon = memchr::memchr(b':', line);
        let is_name =
            |name: &[u8]| !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        if text.starts_with(b"MSRP ") {
            Self::Msrp
        } else if line.starts_with(b"SIP/") || memchr::memmem::find(line, b" SIP/").is_some() {
            Self::Sip
        } else if text.starts_with(b"v=") {
            Self::Sdp
        } else if colon.is_some_and(|colon| is_name(line[..colon].trim_ascii_end())) {
            Self::Cpim
        } else {
            Self::Sip
        }
    }
}

/// A part of a message for people: a line, and what belongs under it. The text is as it was on the
/// wire; [`visible`] makes it safe to show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// What it says.
    pub text: String,
    /// Its parts.
    pub children: Vec<Node>,
}

impl Node {
    fn leaf(text: impl Into<String>) -> Self {
        Self { text: text.into(), children: Vec::new() }
    }

    fn new(text: impl Into<String>, children: Vec<Self>) -> Self {
        Self { text: text.into(), children }
    }
}

/// What became of the bytes of one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspection {
    /// What they were read as.
    pub protocol: Protocol,
    /// Whether they decode.
    pub parsed: bool,
    /// Whether encoding what was decoded gives the same bytes.
    pub lossless: bool,
    /// What is wrong, nested bodies included, in the order of the bytes.
    pub violations: Vec<Violation>,
    /// The messages, taken apart.
    pub tree: Vec<Node>,
}

impl Inspection {
    /// Whether nothing is wrong; warnings do not count.
    pub fn is_fine(&self) -> bool {
        self.parsed && self.lossless && self.violations.iter().all(|violation| violation.level < Level::Error)
    }

    fn new(protocol: Protocol) -> Self {
        Self { protocol, parsed: true, lossless: true, violations: Vec::new(), tree: Vec::new() }
    }

    /// Notes that the bytes from `base` on do not decode.
    fn fail(&mut self, fault: Fault, base: usize) {
        self.parsed = false;
        self.lossless = false;
        self.violations.push(error_of(fault, base, self.protocol.rfc()));
    }

    /// Adds violations whose offsets count from `base`.
    fn add(&mut self, violations: impl IntoIterator<Item = Violation>, base: usize) {
        self.violations.extend(violations.into_iter().map(|violation| Violation { offset: violation.offset + base, ..violation }));
    }
}

/// Takes the bytes of one file apart. A stream (MSRP, SIP over TCP) may hold several messages.
pub fn inspect(bytes: &Bytes, what: As, transport: Transport) -> Inspection {
    let protocol = match what {
        As::Auto => Protocol::guess(bytes),
        As::Sip => Protocol::Sip,
        As::Msrp => Protocol::Msrp,
        As::Cpim => Protocol::Cpim,
        As::Sdp => Protocol::Sdp,
    };
    let mut inspection = Inspection::new(protocol);
    match protocol {
        Protocol::Sip => sip_messages(bytes, transport, &mut inspection),
        Protocol::Msrp => msrp_chunks(bytes, &mut inspection),
        Protocol::Cpim => match cpim::Cpim::decode(bytes.clone()) {
            Ok(message) => {
                inspection.lossless = message.encode() == *bytes;
                body::cpim(&message, 0, &mut inspection.violations, &mut inspection.tree);
            }
            Err(fault) => inspection.fail(fault, 0),
        },
        Protocol::Sdp => match sdp::Sdp::parse(bytes) {
            Ok(description) => {
                inspection.lossless = description.encode() == *bytes;
                inspection.add(sdp::validate(&description), 0);
                inspection.tree = body::lines(bytes);
            }
            Err(fault) => inspection.fail(fault, 0),
        },
    }
    inspection.violations.sort_by_key(|violation| violation.offset);
    inspection
}

fn sip_messages(bytes: &Bytes, transport: Transport, inspection: &mut Inspection) {
    let mut at = 0;
    loop {
        let rest = bytes.slice(at..);
        match sip::Message::decode_tolerant(rest.clone()) {
            Err(fault) => return inspection.fail(fault, at),
            Ok(message) => {
                let length = rest.len() - message.trailing();
                inspection.lossless &= message.encode() == rest[..length];
                inspection.add(sip::validate_excerpt(&message, transport), at);
                inspection.tree.push(sip_message(&message, at, &mut inspection.violations));
                at += length;
            }
        }
        let is_blank = bytes[at..].iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        if is_blank || !transport.is_reliable() {
            return;
        }
    }
}

fn sip_message(message: &sip::Message, base: usize, violations: &mut Vec<Violation>) -> Node {
    let start = String::from_utf8_lossy(message.start_bytes()).trim_end().to_owned();
    let mut children: Vec<Node> = message.fields().map(|field| Node::leaf(field_line(&field))).collect();
    let body = message.body();
    if !body.is_empty() {
        let content_type = message.value(sip::Name::ContentType).unwrap_or("");
        let encoding = message.value(sip::Name::ContentEncoding).filter(|encoding| !encoding.eq_ignore_ascii_case("identity"));
        let content_type = if encoding.is_some() { "application/octet-stream" } else { content_type };
        children.push(body::body(content_type, &body, base + message.body_offset(), violations, body::DEPTH));
    }
    Node::new(start, children)
}

/// The field with its full name where it was written short, folds undone.
fn field_line(field: &sip::HeaderField<'_>) -> String {
    let value = field.value.split(['\r', '\n']).map(|line| line.trim_matches([' ', '\t'])).filter(|line| !line.is_empty());
    let value = value.collect::<Vec<_>>().join(" ");
    let canonical = field.name.canonical();
    if canonical.is_empty() || canonical.eq_ignore_ascii_case(field.token) {
        format!("{}: {value}", field.token)
    } else {
        format!("{canonical} ({}): {value}", field.token)
    }
}

fn msrp_chunks(bytes: &Bytes, inspection: &mut Inspection) {
    let mut framer = msrp::Framer::new(msrp::Limits { chunk: bytes.len(), ..msrp::Limits::default() });
    framer.feed(bytes);
    let mut at = 0;
    loop {
        match framer.next_chunk() {
            Err(fault) => return inspection.fail(fault, at),
            Ok(None) => break,
            Ok(Some(chunk)) => {
                let encoded = chunk.encode();
                inspection.lossless &= bytes[at..].starts_with(&encoded);
                inspection.add(msrp::validate(&chunk), at);
                inspection.tree.push(msrp_chunk(&chunk, at, &mut inspection.violations));
                at += encoded.len();
            }
        }
    }
    if at < bytes.len() || at == 0 {
        // The decoder of one chunk says better than the framer what is missing.
        let fault = msrp::Chunk::decode(bytes.slice(at..)).err();
        inspection.fail(fault.unwrap_or(Fault::new("msrp-end-line", 0, "the end-line of the transaction")), at);
    }
}

fn msrp_chunk(chunk: &msrp::Chunk, base: usize, violations: &mut Vec<Violation>) -> Node {
    let start = match chunk.start() {
        msrp::Start::Request { method } => format!("MSRP {} {method}", chunk.transact_id()),
        msrp::Start::Response { code, comment } => format!("MSRP {} {code} {comment}", chunk.transact_id()),
    };
    let mut children: Vec<Node> = chunk.fields().map(|(name, value)| Node::leaf(format!("{name}: {value}"))).collect();
    let flag = char::from(chunk.flag().octet());
    if let Some((data, offset)) = chunk.body().zip(chunk.body_offset()) {
        let is_whole = flag == '$' && chunk.byte_range().is_none_or(|range| range.start == 1);
        let content_type = chunk.content_type().filter(|_| is_whole).unwrap_or("application/octet-stream");
        children.push(body::body(content_type, &data, base + offset, violations, body::DEPTH));
    }
    children.push(Node::leaf(format!("end-line with {flag}")));
    Node::new(start.trim_end(), children)
}

fn error_of(fault: Fault, base: usize, rfc: &'static str) -> Violation {
    Violation {
        code: fault.code,
        level: Level::Error,
        offset: base + fault.offset,
        rfc,
        message: format!("expected {}", fault.expected),
    }
}

#[cfg(test)]
mod tests;
