//! Rules that look at several parts of a message: what is owed, what contradicts.

use super::Sink;
use super::table;
use crate::engine::Transport;
use crate::wire::sip::header::{self, NameAddr, SessionExpires};
use crate::wire::sip::{Message, Name};

pub(super) fn check(message: &Message, transport: Transport, sink: &mut Sink) {
    mandatory(message, sink);
    repeated(message, sink);
    method_of_cseq(message, sink);
    body(message, transport, sink);
    star_contact(message, sink);
    identities(message, sink);
    session_timer(message, sink);
    match message.status() {
        None => request(message, sink),
        Some(status) => response(message, status, sink),
    }
}

/// Why a message may lack what RFC 3261 made mandatory: its topmost Via has no branch with the magic
/// cookie (RFC 3261 8.1.1.7).
fn old(message: &Message) -> Option<&'static str> {
    let is_modern = message.via().is_ok_and(|via| via.branch().is_some_and(|branch| branch.starts_with("z9hG4bK")));
    (!is_modern).then_some("its sender follows RFC 2543")
}

fn owed(message: &Message, name: Name, rfc: &'static str, excuse: Option<&str>, sink: &mut Sink) {
    if message.field(name).is_none() {
        sink.excused(excuse, "sip-header-missing", message.start_offset(), rfc, &format!("{} is missing", name.canonical()));
    }
}

/// A Contact is owed, by an old sender too, but of that one it is excused.
fn owed_contact(message: &Message, rfc: &'static str, sink: &mut Sink) {
    if message.field(Name::Contact).is_none() {
        owed(message, Name::Contact, rfc, old(message), sink);
    }
}

fn mandatory(message: &Message, sink: &mut Sink) {
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
        owed(message, name, "RFC 3261 8.1.1", None, sink);
    }
    owed(message, Name::Via, "RFC 3261 8.1.1.7", Some("call flows print messages before the sending hop adds it"), sink);
    if message.from().is_ok_and(|from| from.tag().is_none()) {
        let at = message.field(Name::From).map_or(0, |field| field.offset);
        sink.excused(old(message), "sip-from-tag", at, "RFC 3261 8.1.1.3", "From has no tag");
    }
    let answered = message.status().is_some_and(|status| status > 100);
    if answered && message.to().is_ok_and(|to| to.tag().is_none()) {
        let at = message.field(Name::To).map_or(0, |field| field.offset);
        let text = "To of a response has no tag";
        // RFC 3261 9.2 has only a SHOULD for the tag of the answer to a CANCEL.
        if message.method_token() == Some("CANCEL") {
            sink.warning("sip-to-tag", at, "RFC 3261 9.2", text);
        } else {
            sink.excused(old(message), "sip-to-tag", at, "RFC 3261 8.2.6.2", text);
        }
    }
}

fn repeated(message: &Message, sink: &mut Sink) {
    let mut seen = [false; Name::Other as usize + 1];
    for field in message.fields() {
        let again = std::mem::replace(&mut seen[field.name as usize], true);
        if let Some(row) = table::row(field.name).filter(|row| again && row.once) {
            let text = format!("{} stands more than once", row.name.canonical());
            sink.error("sip-header-repeated", field.offset, row.rfc, text);
        }
    }
}

fn method_of_cseq(message: &Message, sink: &mut Sink) {
    let Some((field, cseq)) = message.field(Name::CSeq).zip(message.cseq().ok()) else { return };
    if message.is_request() && message.method_token() != Some(cseq.method) {
        let text = format!("CSeq names {}, the request line does not", cseq.method);
        sink.error("sip-cseq-method", field.offset, "RFC 3261 8.1.1.5", text);
    }
}

fn body(message: &Message, transport: Transport, sink: &mut Sink) {
    let length = message.field(Name::ContentLength);
    let there = message.bytes().len() - message.body_offset();
    match (message.content_length(), length) {
        (Err(fault), _) => {
            sink.error("sip-content-length", fault.offset, "RFC 3261 20.14", format!("expected {}", fault.expected));
        }
        (Ok(Some(octets)), Some(field)) if octets > there => {
            let text = format!("Content-Length is {octets}, but {there} octets follow");
            sink.error("sip-content-length", field.offset, "RFC 3261 18.3", text);
        }
        (Ok(None), _) if transport.is_reliable() => {
            let at = message.start_offset();
            sink.error("sip-header-missing", at, "RFC 3261 20.14", "Content-Length is missing on a stream");
        }
        _ => {}
    }
    if message.trailing() > 0 && message.content_length().is_ok() && !transport.is_reliable() {
        let at = message.bytes().len() - message.trailing();
        let text = format!("{} octets follow the body and are ignored", message.trailing());
        sink.warning("sip-trailing", at, "RFC 3261 18.3", text);
    }
    untyped_body(message, sink);
}

/// RFC 3261 20.15. Of an excerpt a blank body, and one that is SDP at first sight, can be read all the
/// same.
fn untyped_body(message: &Message, sink: &mut Sink) {
    let body = message.body();
    if body.is_empty() || message.field(Name::ContentType).is_some() {
        return;
    }
    let excuse = if body.starts_with(b"v=0\r\n") {
        Some("the body is SDP at first sight")
    } else {
        body.iter().all(u8::is_ascii_whitespace).then_some("the body is blank")
    };
    let text = "Content-Type is missing beside a body";
    sink.excused(excuse, "sip-header-missing", message.start_offset(), "RFC 3261 20.15", text);
}

/// RFC 3261 10.2.2: `Contact: *` stands alone, in a REGISTER with Expires 0.
fn star_contact(message: &Message, sink: &mut Sink) {
    if !message.values(Name::Contact).any(|value| value == "*") {
        return;
    }
    let Some(star) = message.fields().find(|field| field.name == Name::Contact && field.value == "*") else { return };
    let alone = message.values(Name::Contact).count() == 1;
    let zero = message.value(Name::Expires).is_some_and(|value| header::number(value) == Ok(0));
    if !alone || !zero || message.method_token() != Some("REGISTER") {
        let text = "Contact * is not alone in a REGISTER with Expires 0";
        sink.error("sip-contact", star.offset, "RFC 3261 10.2.2", text);
    }
}

fn identities(message: &Message, sink: &mut Sink) {
    let schemes: Vec<_> = message
        .elements(Name::PAssertedIdentity)
        .filter_map(|element| NameAddr::parse(element).ok())
        .map(|identity| identity.uri.scheme)
        .collect();
    let twice = schemes.iter().enumerate().any(|(index, scheme)| schemes[..index].contains(scheme));
    if schemes.len() > 2 || twice {
        let at = message.field(Name::PAssertedIdentity).map_or(0, |field| field.offset);
        let text = "more than one sip and one tel identity are asserted";
        sink.error("sip-p-asserted-identity", at, "RFC 3325 9.1", text);
    }
}

fn session_timer(message: &Message, sink: &mut Sink) {
    let Some((field, expires)) = parsed(message, Name::SessionExpires, SessionExpires::parse) else { return };
    let least = parsed(message, Name::MinSe, SessionExpires::parse).map(|(_, least)| least.seconds);
    if message.is_request() && least.is_some_and(|least| expires.seconds < least) {
        sink.error("sip-session-expires", field, "RFC 4028 7.1", "Session-Expires is below Min-SE");
    }
    if message.status().is_some_and(|status| (200..300).contains(&status)) && expires.refresher.is_none() {
        sink.error("sip-session-expires", field, "RFC 4028 9", "a 2xx response does not name the refresher");
    }
}

fn parsed<'a, T, E>(message: &'a Message, name: Name, parse: impl Fn(&'a str) -> Result<T, E>) -> Option<(usize, T)> {
    let field = message.field(name)?;
    parse(field.value).ok().map(|value| (field.offset, value))
}

fn request(message: &Message, sink: &mut Sink) {
    owed(message, Name::MaxForwards, "RFC 3261 8.1.1.6", Some("a proxy adds one (RFC 3261 16.6)"), sink);
    match message.method_token().unwrap_or("") {
        "INVITE" => owed_contact(message, "RFC 3261 8.1.1.8", sink),
        "SUBSCRIBE" => {
            owed_contact(message, "RFC 3261 8.1.1.8", sink);
            owed(message, Name::Event, "RFC 6665 4.1.2.1", None, sink);
        }
        "NOTIFY" => {
            owed(message, Name::Event, "RFC 6665 4.2.2", None, sink);
            owed(message, Name::SubscriptionState, "RFC 6665 4.2.2", None, sink);
        }
        "REFER" => owed(message, Name::ReferTo, "RFC 3515 2.4.1", None, sink),
        "PRACK" => owed(message, Name::RAck, "RFC 3262 7.2", None, sink),
        "PUBLISH" => owed(message, Name::Event, "RFC 3903 4", None, sink),
        "CANCEL" => {
            for field in message.fields().filter(|field| matches!(field.name, Name::Require | Name::ProxyRequire)) {
                sink.error("sip-cancel-require", field.offset, "RFC 3261 9.1", "a CANCEL holds Require or Proxy-Require");
            }
        }
        _ => {}
    }
}

fn response(message: &Message, status: u16, sink: &mut Sink) {
    let owes = match status {
        401 => Some((Name::WwwAuthenticate, "RFC 3261 21.4.2")),
        405 => Some((Name::Allow, "RFC 3261 21.4.6")),
        407 => Some((Name::ProxyAuthenticate, "RFC 3261 21.4.8")),
        420 => Some((Name::Unsupported, "RFC 3261 21.4.15")),
        421 => Some((Name::Require, "RFC 3261 21.4.16")),
        422 => Some((Name::MinSe, "RFC 4028 6")),
        423 => Some((Name::MinExpires, "RFC 3261 21.4.17")),
        489 => Some((Name::AllowEvents, "RFC 6665 8.3.2")),
        _ => None,
    };
    if let Some((name, rfc)) = owes {
        owed(message, name, rfc, None, sink);
    }
    if (200..300).contains(&status) && message.method_token() == Some("INVITE") {
        owed_contact(message, "RFC 3261 13.3.1.4", sink);
    }
    let reliable = message.elements(Name::Require).any(|option| option.eq_ignore_ascii_case("100rel"));
    if (101..200).contains(&status) && reliable {
        owed(message, Name::RSeq, "RFC 3262 3", None, sink);
    }
}
