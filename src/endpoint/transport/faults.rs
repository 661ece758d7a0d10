//! Messages that go no further than the transport layer.

use crate::wire::sip::{Builder, Message, Name, header};

/// Adds a tag to To, unless it has one.
pub(in crate::endpoint) fn with_to_tag(response: Builder, tag: &str) -> Builder {
    let tagged = match response.value("To") {
        Some(to) if header::tag_of(to).is_none() => [to, ";tag=", tag].concat(),
        Some(_) | None => return response,
    };
    response.set_first("To", Some(tagged))
}

/// The status and the reason for which a message goes no further (RFC 3261 8.1.1, 8.2).
pub(super) fn fault_of(message: &Message) -> Option<(u16, &'static str)> {
    if !message.version().eq_ignore_ascii_case("SIP/2.0") {
        Some((505, "another SIP version"))
    } else if message.via().is_err() {
        Some((400, "no valid Via"))
    } else if message.from().is_err() || message.to().is_err() {
        Some((400, "no valid From or To"))
    } else if message.call_id().is_none_or(str::is_empty) {
        Some((400, "no Call-ID"))
    } else {
        let is_own = |method| !message.is_request() || message.method_token() == Some(method);
        (!message.cseq().is_ok_and(|cseq| is_own(cseq.method))).then_some((400, "no valid CSeq"))
    }
}

/// What of a broken request is needed to answer it: its start line and the fields to be copied.
pub(super) fn salvage(data: &[u8]) -> Option<Message> {
    let mut kept = Vec::with_capacity(data.len());
    for (index, line) in data.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        let name = line.split(|byte| *byte == b':').next().map_or(Name::Other, |token| Name::of(token.trim_ascii_end()));
        if index == 0 || matches!(name, Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq) {
            kept.extend_from_slice(line);
            kept.extend_from_slice(b"\r\n");
        }
    }
    kept.extend_from_slice(b"\r\n");
    Message::decode(kept.into()).ok().filter(Message::is_request)
}
