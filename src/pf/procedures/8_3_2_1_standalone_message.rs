//! 8.3.2.1 as reconstructed, for a standalone message (MESSAGE, pager mode) to a served user.
//!
//! It is passed on; when no device can be reached a message in a CPIM wrapper is stored and accepted
//! (202), to be delivered with what else its sender has written. Disposition notifications have a
//! procedure of their own.

use crate::endpoint::TransactionId;
use crate::pf::core::Core;
use crate::pf::deferred::Item;
use crate::pf::one_to_one::store::Owed;
use crate::pf::procedures::disposition_notifications;
use crate::pf::state::{Registration, UserId};
use crate::pf::{headers, notifications};
use crate::time::Instant;
use crate::wire::cpim;
use crate::wire::sip::{Message, Name};

/// Takes a MESSAGE outside of dialogs.
pub(in crate::pf) fn start(core: &mut Core, now: Instant, asked: TransactionId, message: &Message) {
    let content_type = message.value(Name::ContentType).unwrap_or_default();
    if notifications::read(content_type, &message.body()).is_some() {
        return disposition_notifications::start(core, now, asked, message);
    }
    let user = message.request_uri().and_then(|target| core.users.find(target));
    match user {
        Some(user) if core.users[user].registration == Registration::Gone && is_storable(message) => {
            store(core, now, user, asked, message);
        }
        _ => core.forward_message(now, asked, message),
    }
}

/// The device did not answer as one that is there.
pub(in crate::pf) fn on_answered(core: &mut Core, now: Instant, asked: TransactionId, status: u16) {
    let request = core.endpoint.request(asked).cloned();
    let user = request.as_ref().and_then(|request| core.users.find(request.request_uri()?));
    match (request, user) {
        (Some(request), Some(user)) if matches!(status, 408 | 480 | 503) && is_storable(&request) => {
            store(core, now, user, asked, &request);
        }
        _ => core.pass_on(now, asked, status),
    }
}

fn store(core: &mut Core, now: Instant, user: UserId, asked: TransactionId, message: &Message) {
    let Some(address) = headers::asserted_identity(message) else { return core.reply(now, asked, 400) };
    let sender = core.one.sender(user, &address, headers::wants_privacy(message));
    let content_type = message.value(Name::ContentType).unwrap_or(cpim::MEDIA_TYPE);
    let item = Item::new(now, content_type, message.body()).with_identifiers(headers::identifiers(message));
    let item = item.with_device(headers::instance_of(message));
    core.note("no device can be reached: the standalone message is stored");
    match core.keep(sender, &item, Owed::Standalone(asked)) {
        Some(number) => core.one[sender].deferred.push(number, item),
        None => core.reply(now, asked, 480),
    }
}

/// The message is durable, or could not be stored.
pub(in crate::pf) fn on_kept(core: &mut Core, now: Instant, asked: TransactionId, durable: bool) {
    core.reply(now, asked, if durable { 202 } else { 480 });
}

/// A message in a CPIM wrapper: whose it is stands inside.
fn is_storable(message: &Message) -> bool {
    message.value(Name::ContentType).is_some_and(|kind| headers::essence(kind) == cpim::MEDIA_TYPE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pf::testing::{ALICE, BOB, FOCUS, PHONE, USER, World};
    use crate::wire::sip::Builder;

    fn message(content_type: &str, body: String) -> Builder {
        Builder::request("MESSAGE", USER)
            .push("Route", "<sip:pf.home1.example;lr>")
            .push("P-Asserted-Identity", format!("<{ALICE}>"))
            .push("Conversation-ID", "conversation")
            .push("Contribution-ID", "contribution")
            .body(content_type, body)
    }

    fn chat(text: &str) -> Builder {
        message(cpim::MEDIA_TYPE, format!("From: <{ALICE}>\r\nTo: <{USER}>\r\n\r\nContent-Type: text/plain\r\n\r\n{text}"))
    }

    #[test]
    fn a_message_to_a_user_who_is_there_is_passed_on() {
        let mut world = World::new();
        world.send(FOCUS, chat("hello"));
        let (asked, _, passed) = world.request(BOB, "MESSAGE");
        assert_eq!(passed.value(Name::PAssertedIdentity), Some(format!("<{ALICE}>").as_str()));
        world.answer(BOB, asked, 200);
        world.response(FOCUS, 200);
        world.register(600_000, None);
        world.assert_quiet(BOB);
    }

    #[test]
    fn a_message_to_an_absent_user_is_stored_and_delivered_in_a_session() {
        for status in [None, Some(480), Some(408)] {
            let mut world = World::new();
            if status.is_none() {
                world.register(0, None);
            }
            world.send(FOCUS, chat("hello"));
            if let Some(status) = status {
                let (asked, _, _) = world.request(BOB, "MESSAGE");
                world.answer(BOB, asked, status);
            }
            world.response(FOCUS, 202);
            world.register(600_000, None);
            let (invite, _, message) = world.request(BOB, "INVITE");
            assert_eq!(message.value(Name::ReferredBy), Some(format!("<{ALICE}>").as_str()));
            assert_eq!(message.value(Name::ConversationId), Some("conversation"));
            let sdp = headers::sdp_of(&message).expect("SDP");
            for line in
                ["a=accept-types:message/cpim\r\n", "a=accept-wrapped-types:text/plain message/imdn+xml\r\n", "a=sendonly\r\n"]
            {
                assert!(sdp.contains(line), "{line}");
            }
            world.pick_up_without_media(invite, PHONE);
            world.completed();
        }
    }

    #[test]
    fn a_refusal_is_passed_on_and_nothing_is_stored() {
        let mut world = World::new();
        world.send(FOCUS, chat("hello"));
        let (asked, _, _) = world.request(BOB, "MESSAGE");
        world.answer(BOB, asked, 486);
        world.response(FOCUS, 486);
        world.register(600_000, None);
        world.assert_quiet(BOB);
    }

    #[test]
    fn what_is_not_wrapped_is_not_stored() {
        let mut world = World::new();
        world.send(FOCUS, message("text/plain", "hello".to_owned()));
        let (asked, _, _) = world.request(BOB, "MESSAGE");
        world.answer(BOB, asked, 480);
        world.response(FOCUS, 480);
    }
}
