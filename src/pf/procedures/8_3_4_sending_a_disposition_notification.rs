//! 8.3.4, as reconstructed: the PF makes the delivery notifications of a Client that cannot.
//!
//! A notification goes to the device that sent the message, in the name of the user who got it. It
//! leaves by the ways of 8.3.2.9.1.1; towards a user of another PF, by MESSAGE.

use bytes::Bytes;

use crate::clause::Clause;
use crate::pf::core::{Call, Core};
use crate::pf::deferred::Item;
use crate::pf::media::Remote;
use crate::pf::notifications::{Answer, Notification};
use crate::pf::one_to_one::SenderId;
use crate::pf::policy::ImdnSupport;
use crate::pf::procedures::disposition_notifications;
use crate::pf::state::UserId;
use crate::pf::store::Key;
use crate::time::{Instant, unix_micros};
use crate::wire::cpim::{self, Cpim};
use crate::wire::datetime;
use crate::wire::imdn::{self, Imdn, Kind};

const GENERATES: Clause = Clause::of("DGC-1.1-20");

/// Whether a Client sends notifications itself, by its SDP answer or by policy (AMB-25).
pub(in crate::pf) fn is_supported(core: &Core, answer: &Remote) -> bool {
    match core.policy.imdn_support {
        ImdnSupport::WrappedTypes => answer.accepts_wrapped(imdn::MEDIA_TYPE),
        ImdnSupport::Always => true,
        ImdnSupport::Never => false,
    }
}

/// Whether the sender of a message is to be told that it has arrived.
pub(in crate::pf) fn is_wanted(core: &Core, item: &Item) -> bool {
    let asks = |message: Cpim| message.asks_for("positive-delivery") && message.message_id().is_some();
    core.policy.generate_imdn && Cpim::decode(item.body.clone()).is_ok_and(asks)
}

/// Tells the sender of a message that was delivered.
pub(in crate::pf) fn start(core: &mut Core, now: Instant, sender: SenderId, number: u64) {
    let (recipient, address) = (core.one[sender].user, core.one[sender].address.clone());
    let Some(item) = core.one[sender].untold.get(&number).cloned() else { return };
    let Some(body) = document(core, now, (recipient, &address), &item) else { return };
    let from = core.users[recipient].uri.clone();
    let notification = Notification { from, target: item.device, identifiers: item.identifiers, body, ..Notification::default() };
    core.one[sender].telling.insert(number);
    core.because(GENERATES, "the Client sends no notifications: the PF does");
    if let Some(user) = core.users.find(&address) {
        let former = Some(Key::Delivered(sender.0, number));
        let answer = Answer::Told(sender, number);
        return disposition_notifications::keep_in_place_of(core, now, user, notification, answer, former);
    }
    let message = disposition_notifications::standalone(&address, &core.users[recipient].route, &notification);
    let call = core.endpoint.send(now, message);
    core.calls.insert(call, Call::Told(sender, number));
}

/// Takes the final response of a sender whom another PF serves: one that cannot be reached is told
/// at the next occasion.
pub(in crate::pf) fn on_answered(core: &mut Core, sender: SenderId, number: u64, status: u16) {
    let told = !matches!(status, 408 | 480 | 503);
    core.on_told(sender, number, told);
    if told {
        core.journal.delete(Key::Delivered(sender.0, number));
    }
}

/// The notification in its CPIM wrapper; `None` when the message cannot be named.
fn document(core: &mut Core, now: Instant, (recipient, sender): (UserId, &str), item: &Item) -> Option<Bytes> {
    let message = Cpim::decode(item.body.clone()).ok()?;
    let time = message.date_time().unwrap_or_default();
    let document = Imdn::new(message.message_id()?, time, Kind::Delivery, "delivered").to_xml();
    let wrapper = cpim::Builder::new(&core.users[recipient].uri, sender)
        .date_time(&datetime::format(unix_micros(now)))
        .message_id(&core.ids.message_id())
        .mime("Content-Type", imdn::MEDIA_TYPE)
        .mime("Content-Disposition", "notification")
        .content(imdn::MEDIA_TYPE, document);
    Some(wrapper.encode())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::TransactionId;
    use crate::pf::notifications;
    use crate::pf::testing::{ALICE, BOB, FOCUS, PHONE, TABLET, USER, World, chat};
    use crate::wire::sip::{Builder, Message, Name};

    /// The user was away, and Alice has sent a standalone message; the user is back and has it, and
    /// the PF ends the session.
    fn ending(knobs: &[(&str, &str)], message: &str) -> (World, TransactionId) {
        let mut world = World::with(knobs);
        world.register(0, None);
        let message = Builder::request("MESSAGE", USER)
            .push("Route", "<sip:pf.home1.example;lr>")
            .push("From", format!("<{ALICE}>"))
            .push("To", format!("<{USER}>"))
            .push("Contact", format!("<sip:alice@10.0.1.1>;+sip.instance=\"<{TABLET}>\""))
            .push("Conversation-ID", "conversation-9")
            .body(cpim::MEDIA_TYPE, message.to_owned());
        world.send(FOCUS, message);
        world.response(FOCUS, 202);
        world.register(600_000, None);
        let (invite, _, request) = world.request(BOB, "INVITE");
        world.pick_up(invite, &request, PHONE);
        let (bye, _, _) = world.request(BOB, "BYE");
        (world, bye)
    }

    /// The session is over.
    fn delivered(knobs: &[(&str, &str)], message: &str) -> World {
        let (mut world, bye) = ending(knobs, message);
        world.answer(BOB, bye, 200);
        world
    }

    fn notification_in(message: &Message) -> Imdn {
        notifications::read(cpim::MEDIA_TYPE, &message.body()).expect("a notification")
    }

    #[test]
    fn the_pf_notifies_for_a_client_that_does_not() {
        let mut world = delivered(&[("imdn.support-detection", "never")], &chat("Msg-1"));
        let (_, _, message) = world.request(BOB, "MESSAGE");
        assert_eq!(message.request_uri(), Some(ALICE));
        assert_eq!(message.value(Name::ConversationId), Some("conversation-9"));
        assert!(message.values(Name::AcceptContact).any(|value| value.contains(TABLET)));
        let imdn = notification_in(&message);
        assert_eq!((imdn.message_id.as_str(), imdn.status.as_str()), ("Msg-1", "delivered"));
        assert_eq!(imdn.date_time, "2012-01-17T09:58:12Z");
        let wrapper = Cpim::decode(message.body()).expect("a wrapper");
        assert_eq!(wrapper.from().map(|from| from.uri), Some(USER));
        assert_eq!(wrapper.content_disposition(), Some("notification"));
        assert_eq!(wrapper.disposition_notification(), None);
        assert!(world.has_cited("DGC-1.1-20"));
    }

    #[test]
    fn it_is_silent_where_the_client_can_or_nobody_asked_or_the_policy_says_so() {
        delivered(&[], &chat("Msg-1")).assert_quiet(BOB);
        let never = ("imdn.support-detection", "never");
        delivered(&[never, ("imdn.generate", "false")], &chat("Msg-1")).assert_quiet(BOB);
        let unasked = chat("Msg-1").replace("imdn.Disposition-Notification: positive-delivery\r\n", "");
        delivered(&[never], &unasked).assert_quiet(BOB);
    }

    #[test]
    fn a_process_that_dies_before_it_has_told_the_sender_does_so_in_its_next_life() {
        let (mut world, _) = ending(&[("imdn.support-detection", "never")], &chat("Msg-1"));
        world.restart();
        let (asked, message) = world.skip_to_request(BOB, "MESSAGE");
        assert_eq!(notification_in(&message).message_id, "Msg-1");
        world.answer(BOB, asked, 200);
        world.restart();
        world.assert_quiet(BOB);
    }

    #[test]
    fn a_sender_who_cannot_be_reached_is_told_later() {
        let mut world = delivered(&[("imdn.support-detection", "never")], &chat("Msg-1"));
        let (asked, _, _) = world.request(BOB, "MESSAGE");
        world.answer(BOB, asked, 480);
        world.assert_quiet(BOB);
        world.restart();
        let (_, message) = world.skip_to_request(BOB, "MESSAGE");
        assert_eq!(notification_in(&message).message_id, "Msg-1");
    }
}
