//! Messages that go no further than the transport layer.

use crate::wire::sip::{Builder, Message, Name, header};

/// Adds a tag to To, unless it has one.
pub(in crate::endpoint) fn with_to_tag(response: Builder, tag: &str) -> Builder {
    let tagged = match response.value(Name::To) {
        Some(to) if header::tag_of(to).is_none() => [to, ";tag=", tag].concat(),
        Some(_) | None => return response,
    };
    response.set_first(Name::To, Some(tagged))
}

/// The status and the reason for which a message goes no further (RFC 3261 8.1.1, 8.2).
pub(super) fn fault_of(message: &Message) -> Option<(u16, &'static str)> {
    let is_own = |method| !message.is_request() || message.method_token() == Some(method);
    if !message.version().eq_ignore_ascii_case("SIP/2.0") {
        Some((505, "another SIP version"))
    } else if !message.via().is_ok_and(|via| via.version == "2.0") {
        Some((400, "no valid Via"))
    } else if message.from().is_err() || message.to().is_err() {
        Some((400, "no valid From or To"))
    } else if message.call_id().is_none_or(str::is_empty) {
        Some((400, "no Call-ID"))
    } else if !message.cseq().is_ok_and(|cseq| is_own(cseq.method)) {
        Some((400, "no valid CSeq"))
    } else if message.repeats(&SINGLE) {
        Some((400, "a field twice that may be there once"))
    } else {
        None
    }
}

/// The fields that every request has once (RFC 3261 8.1.1, RFC 4475 3.3.9).
const SINGLE: [Name; 5] = [Name::From, Name::To, Name::CallId, Name::CSeq, Name::MaxForwards];

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

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: &str = "OPTIONS sip:b@b.example SIP/2.0\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKa\nMax-Forwards: 70\n\
                        From: <sip:a@a.example>;tag=1\nTo: <sip:b@b.example>\nCall-ID: 1@a.example\nCSeq: 1 OPTIONS\n\n";

    fn status(text: &str) -> Option<u16> {
        let message = Message::decode(text.replace('\n', "\r\n").into()).expect("a message");
        fault_of(&message).map(|(status, _)| status)
    }

    #[test]
    fn a_message_goes_no_further_without_what_names_its_transaction_and_dialog_once() {
        assert_eq!(status(WELL), None);
        for name in ["Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq"] {
            let line = WELL.lines().find(|line| line.starts_with(name)).expect("each is there");
            // Who leaves Max-Forwards out is served (RFC 3261 16.3).
            let owed = (name != "Max-Forwards").then_some(400);
            assert_eq!(status(&WELL.replace(&format!("{line}\n"), "")), owed, "no {name}");
            let doubled = status(&WELL.replace(line, &format!("{line}\n{line}")));
            assert_eq!(doubled, (name != "Via").then_some(400), "{name} twice");
        }
        assert_eq!(status(&WELL.replace("1 OPTIONS", "1 INVITE")), Some(400));
        assert_eq!(status(&WELL.replace("SIP/2.0/UDP", "SIP/3.0/UDP")), Some(400));
    }

    #[test]
    fn another_version_is_told_so_even_where_the_via_has_it_too() {
        let other = WELL.replace("SIP/2.0", "SIP/7.0");
        assert_eq!(status(&other), Some(505));
        let message = Message::decode(other.replace('\n', "\r\n").into()).expect("a message");
        assert!(message.via().is_ok(), "the answer finds its way");
    }
}
