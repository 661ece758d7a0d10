//! The start line, and how lines end.

use super::Sink;
use crate::wire::sip::grammar;
use crate::wire::sip::{Message, Scheme, StartLine, Uri};

pub(super) fn check(message: &Message, sink: &mut Sink) {
    line_ends(message, sink);
    version(message, sink);
    match message.start_line() {
        StartLine::Request { method, uri } => request_line(message, method, uri, sink),
        StartLine::Status { code, reason } => status_line(message, code, reason, sink),
    }
}

/// RFC 3261 7: lines end with CRLF.
fn line_ends(message: &Message, sink: &mut Sink) {
    let start = message.start_offset();
    let head = &message.bytes()[start..message.body_offset()];
    let bare = memchr::memchr_iter(b'\n', head).find(|feed| *feed == 0 || head[feed - 1] != b'\r');
    if let Some(feed) = bare {
        sink.error("sip-line-end", start + feed, "RFC 3261 7", "a line ends with LF alone");
    }
}

fn version(message: &Message, sink: &mut Sink) {
    let version = message.version();
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        let at = match message.start_line() {
            StartLine::Request { .. } => {
                message.start_offset() + memchr::memmem::rfind(message.start_bytes(), version.as_bytes()).unwrap_or(0)
            }
            StartLine::Status { .. } => message.start_offset(),
        };
        sink.error("sip-version", at, "RFC 3261 7.1", format!("the version is {version:?}, not SIP/2.0"));
    }
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether `line` is these words with one space after each but the last.
fn is_joined(line: &[u8], words: [&str; 3]) -> bool {
    let [first, second, third] = words.map(str::as_bytes);
    let rest = line.strip_prefix(first).and_then(|rest| rest.strip_prefix(b" ")).and_then(|rest| rest.strip_prefix(second));
    rest.and_then(|rest| rest.strip_prefix(b" ")) == Some(third)
}

fn request_line(message: &Message, method: &str, uri: &str, sink: &mut Sink) {
    let start = message.start_offset();
    if !grammar::is_token(method) {
        sink.error("sip-method", start, "RFC 3261 7.1", "the method is no token");
    }
    if !is_joined(without_line_end(message.start_bytes()), [method, uri, message.version()]) {
        let text = "the parts of the request line are not separated by single spaces";
        sink.error("sip-start-line-spacing", start, "RFC 3261 7.1", text);
    }
    let at = start + memchr::memmem::find(message.start_bytes(), uri.as_bytes()).unwrap_or(0);
    match grammar::check(grammar::uri, uri) {
        Err((offset, expected)) => {
            sink.error(
                "sip-request-uri",
                at + offset,
                "RFC 3261 19.1.1",
                format!("the Request-URI is malformed: expected {expected}"),
            );
        }
        Ok(()) => request_uri(uri, at, method, sink),
    }
}

fn request_uri(text: &str, at: usize, method: &str, sink: &mut Sink) {
    let Ok(uri) = Uri::parse(text) else { return };
    if uri.headers.is_some() {
        let what = "a Request-URI holds escaped header fields, which must not become header fields of the message";
        sink.error("sip-request-uri-headers", at, "RFC 3261 19.1.1", what);
    }
    if uri.params.has("method") {
        sink.error("sip-request-uri-method", at, "RFC 3261 19.1.1", "a Request-URI holds a method parameter");
    }
    if uri.scheme == Scheme::Other && !text.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn:")) {
        sink.warning(
            "sip-request-uri-scheme",
            at,
            "RFC 3261 8.2.2.1",
            "few elements support the scheme of the Request-URI: expect 416",
        );
    }
    if method == "REGISTER" && uri.user.is_some() {
        sink.error("sip-register-user", at, "RFC 3261 10.2", "the Request-URI of a REGISTER has a user part");
    }
    if text.contains(":::") {
        sink.warning("uri-ipv6-colons", at, "RFC 5118 4.10", "an IPv6 address has three colons in a row");
    }
}

fn status_line(message: &Message, code: u16, reason: &str, sink: &mut Sink) {
    let start = message.start_offset();
    if !(100..700).contains(&code) {
        sink.error("sip-status-code", start, "RFC 3261 7.2", format!("there is no class of status code {code}"));
    }
    // The scanner took three digits for the code.
    let digits = message.version().len() + 1..message.version().len() + 4;
    let digits = message.start_bytes().get(digits).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or("");
    if !is_joined(without_line_end(message.start_bytes()), [message.version(), digits, reason]) {
        let text = "the parts of the status line are not separated by single spaces";
        sink.error("sip-start-line-spacing", start, "RFC 3261 7.2", text);
    }
    if reason.chars().any(|char| char.is_control() && char != '\t') {
        sink.error("sip-reason-phrase", start, "RFC 3261 7.2", "the reason phrase holds a control character");
    }
}
