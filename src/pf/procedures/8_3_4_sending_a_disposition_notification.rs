//! 8.3.4, as reconstructed: the PF makes the delivery notifications of a Client that cannot.
//!
//! A notification goes to the device that sent the message, in the name of the user who got it. It
//! leaves by the ways of 8.3.2.9.1.1; towards a user of another PF, by MESSAGE.

use bytes::Bytes;

use crate::clause::Clause;
use crate::pf::core::Core;
use crate::pf::media::Remote;
use crate::pf::notifications::{Answer, Notification};
use crate::pf::policy::ImdnSupport;
use crate::pf::procedures::disposition_notifications;
use crate::pf::state::UserId;
use crate::time::{Instant, unix_micros};
use crate::wire::cpim::{self, Cpim};
use crate::wire::datetime;
use crate::wire::imdn::{self, Imdn, Kind};

const GENERATES: Clause = Clause::of("DGC-1.1-20");

/// A chat message that the PF has delivered.
#[derive(Clone, Copy, Debug)]
pub(in crate::pf) struct About<'a> {
    /// Whom it was for.
    pub(in crate::pf) recipient: UserId,
    /// The CPM address of its sender.
    pub(in crate::pf) sender: &'a str,
    /// The instance of the device that sent it.
    pub(in crate::pf) device: Option<&'a str>,
    /// Its Conversation-ID, Contribution-ID and the like.
    pub(in crate::pf) identifiers: &'a [(String, String)],
    /// Its CPIM message.
    pub(in crate::pf) body: &'a Bytes,
}

/// Whether a Client sends notifications itself, by its SDP answer or by policy (AMB-25).
pub(in crate::pf) fn is_supported(core: &Core, answer: &Remote) -> bool {
    match core.policy.imdn_support {
        ImdnSupport::WrappedTypes => answer.accepts_wrapped(imdn::MEDIA_TYPE),
        ImdnSupport::Always => true,
        ImdnSupport::Never => false,
    }
}

/// Tells the sender of a message that it has arrived, if the sender has asked for that.
pub(in crate::pf) fn start(core: &mut Core, now: Instant, about: &About<'_>) {
    let Ok(message) = Cpim::decode(about.body.clone()) else { return };
    if !core.policy.generate_imdn || !message.asks_for("positive-delivery") {
        return;
    }
    let Some(body) = document(core, now, about, &message) else { return };
    let notification = Notification {
        from: core.users[about.recipient].uri.clone(),
        target: about.device.map(str::to_owned),
        identifiers: about.identifiers.to_vec(),
        body,
        ..Notification::default()
    };
    core.because(GENERATES, "the Client sends no notifications: the PF does");
    if let Some(user) = core.users.find(about.sender) {
        return disposition_notifications::keep(core, now, user, notification, Answer::Nobody);
    }
    let route = &core.users[about.recipient].route;
    let message = disposition_notifications::standalone(about.sender, route, &notification);
    core.endpoint.send(now, message);
}

/// The notification in its CPIM wrapper; `None` when the message cannot be named.
fn document(core: &mut Core, now: Instant, about: &About<'_>, message: &Cpim) -> Option<Bytes> {
    let time = message.date_time().unwrap_or_default();
    let document = Imdn::new(message.message_id()?, time, Kind::Delivery, "delivered").to_xml();
    let wrapper = cpim::Builder::new(&core.users[about.recipient].uri, about.sender)
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
    use crate::pf::notifications;
    use crate::pf::testing::{ALICE, BOB, FOCUS, PHONE, TABLET, USER, World, chat};
    use crate::wire::sip::{Builder, Message, Name};

    /// The user was away, and Alice has sent a standalone message; the user is back and has it.
    fn delivered(knobs: &[(&str, &str)], message: &str) -> World {
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
}
