//! 8.3.2.9.1.1, delivery of notifications in a session of their own.
//!
//! One session for each sender of notifications and each device that is to have them; the sessions
//! of a user follow one another. What every leg does is in [`crate::pf::one_to_one::legs`].
//!
//! ```text
//! start                 -> Invited                INVITE V5
//! 2xx         Invited   -> Sending                ACK, one SEND each, for the device that accepted
//! other, timeout        Invited -> -              everything kept; none of the user's until a trigger
//! all sent    Sending   -> Ending                 BYE
//! BYE         Sending   -> -                      the rest kept until a trigger
//! silence     Sending   -> Ending                 BYE, the rest kept until a trigger
//! 200 to BYE  Ending    -> -                      next session
//! ```

use crate::clause::Clause;
use crate::endpoint::{DialogId, MsrpId, TransactionId};
use crate::pf::core::{Call, Core};
use crate::pf::headers::{self, ANONYMOUS, with_body};
use crate::pf::leg::SESSION_EXPIRES;
use crate::pf::notifications::{Notification, Session, Stage};
use crate::pf::one_to_one::Place;
use crate::pf::procedures::disposition_notifications;
use crate::pf::schedule::Alarm;
use crate::pf::state::UserId;
use crate::time::Instant;
use crate::wire::cpim;
use crate::wire::sip::{Builder, Message};

const OWN_SESSION: Clause = Clause::of("DGC-1.1-22");
const TO_THE_SENDER: Clause = Clause::of("DGC-1.1-23");
const DEVICE: Clause = Clause::of("DGC-1.1-24");
const REFERRED: Clause = Clause::of("DGC-1.1-25");
const CONTACT: Clause = Clause::of("DGC-1.1-26");
const RELEASE: Clause = Clause::of("DGC-1.1-27");
const OFFER: Clause = Clause::of("DGC-1.1-28");
const SENDONLY: Clause = Clause::of("DGC-1.1-29");
const CPIM_ONLY: Clause = Clause::of("DGC-1.1-30");
const IMDN_ONLY: Clause = Clause::of("DGC-1.1-31");
const BY_THE_CORE: Clause = Clause::of("DGC-1.1-32");
const STOPS: Clause = Clause::of("DGC-1.1-33");
const TIMER: Clause = Clause::of("DGC-1.1-34");
const IDENTITY: Clause = Clause::of("DGC-1.1-35");
const EACH: Clause = Clause::of("DGC-1.1-36");
const ENDS: Clause = Clause::of("DGC-1.1-37");
const KEEPS: Clause = Clause::of("DGC-1.1-38");

/// What the offer says of its content (item 7).
const CONTENT: &str = "m=message 9 TCP/MSRP *\r\na=accept-types:message/cpim\r\na=accept-wrapped-types:message/imdn+xml\r\n";

/// Invites the device that `first` is for (items 1 to 8).
pub(in crate::pf) fn start(core: &mut Core, now: Instant, user: UserId, first: Notification) {
    let mut media = core.open_media_at(Place::Notifications(user));
    core.endpoint.msrp_forks(media.session);
    let sdp = media.offer(core.endpoint.config(), CONTENT, Some("sendonly"));
    let invite = with_body(invitation(core, user, &first), &sdp, &[]);
    let reasons = [
        (OWN_SESSION, "stored notifications have a session of their own"),
        (TO_THE_SENDER, "it is addressed to the user who sent the messages"),
        (DEVICE, "it names the device"),
        (REFERRED, "Referred-By names the sender of the notifications"),
        (CONTACT, "Contact is the PF"),
        (RELEASE, "User-Agent names the CPM release"),
        (OFFER, "the offer sets up an MSRP session"),
        (SENDONLY, "it is for sending only"),
        (CPIM_ONLY, "of message/cpim only"),
        (IMDN_ONLY, "with message/imdn+xml inside only"),
        (BY_THE_CORE, "it goes to the SIP/IP core"),
    ];
    for (clause, text) in reasons {
        core.because(clause, text);
    }
    let call = core.endpoint.send(now, invite);
    core.calls.insert(call, Call::NotificationSession(user));
    // Timer B runs until the first provisional response only.
    core.schedule.set(Alarm::RingingFor(user), now + core.policy.ringing_limit);
    let stage = Stage::Invited { call, cancelled: false };
    core.notifications.of(user).session = Some(Session { first, stage, offered: Some(media), leg: None });
}

/// The INVITE in the shape of V5, without its body.
fn invitation(core: &Core, id: UserId, first: &Notification) -> Builder {
    let (user, named) = (&core.users[id], core.policy.imdn_instance);
    let target = first.target.as_deref().filter(|_| named.target);
    let origin = first.origin.as_deref().filter(|_| named.origin);
    let origin = origin.map(|device| format!(";+sip.instance=\"<{device}>\"")).unwrap_or_default();
    let sender = if first.private && core.policy.honour_privacy { ANONYMOUS } else { &first.from };
    let from = if core.policy.from_sender { sender } else { &core.config.identity };
    let mut invite = Builder::request("INVITE", &user.uri)
        .push("Route", &user.route)
        .push("From", format!("<{from}>"))
        .push("To", format!("<{}>", user.uri))
        .push("Contact", format!("<{}>{origin}", core.address()))
        .push("P-Asserted-Identity", format!("<{}>", core.config.identity))
        .push("Referred-By", format!("<{sender}>"));
    for value in headers::accept_contact(target, core.policy.merge_accept_contact) {
        invite = invite.push("Accept-Contact", value);
    }
    let invite = first.identifiers.iter().fold(invite, |invite, (name, value)| invite.push(name.clone(), value));
    invite.push("Supported", "timer").push("Session-Expires", SESSION_EXPIRES)
}

/// The INVITE is repeated under a new transaction.
pub(in crate::pf) fn follow(core: &mut Core, user: UserId, again: TransactionId) {
    if let Some(Session { stage: Stage::Invited { call, .. }, .. }) = &mut core.notifications.of(user).session {
        *call = again;
    }
}

/// Takes the final response to the INVITE.
pub(in crate::pf) fn handle(
    core: &mut Core,
    now: Instant,
    user: UserId,
    (invite, dialog): (TransactionId, Option<DialogId>),
    response: &Message,
) {
    let accepted = response.status().is_some_and(|status| status < 300);
    let Some(dialog) = dialog.filter(|_| accepted) else { return on_failed(core, now, user) };
    core.schedule.stop(Alarm::RingingFor(user));
    let Some(session) = core.notifications.of(user).session.as_mut() else { return };
    let (Stage::Invited { cancelled, .. }, Some(media)) = (session.stage.clone(), session.offered.take()) else { return };
    if cancelled {
        core.release(now, invite, dialog);
        core.close_offer(now, &media);
        return over(core, now, user);
    }
    let device = headers::instance_of(response).or_else(|| session.first.target.clone());
    session.stage = Stage::Sending { device };
    core.because(TIMER, "the session timer runs as the 200 says");
    core.because(IDENTITY, "requests inside the session go to the Contact of the 200");
    if core.confirm_at(now, Place::Notifications(user), media, (invite, dialog), response).is_none() {
        core.notifications.of(user).stopped = true;
        return over(core, now, user);
    }
    let remote = core.leg_at(Place::Notifications(user)).and_then(|leg| leg.media.remote.as_ref());
    if remote.is_none_or(|remote| !remote.receives || !remote.accepts(cpim::MEDIA_TYPE)) {
        core.note("the answer has no medium that takes notifications");
        return on_lost(core, now, user);
    }
    go_on(core, now, user);
}

/// Takes a refusal, or the lack of an answer.
pub(in crate::pf) fn on_failed(core: &mut Core, now: Instant, user: UserId) {
    core.schedule.stop(Alarm::RingingFor(user));
    let Some(session) = core.notifications.of(user).session.as_mut() else { return };
    let (Stage::Invited { cancelled, .. }, Some(media)) = (session.stage.clone(), session.offered.take()) else { return };
    core.close_offer(now, &media);
    if !cancelled {
        core.because(STOPS, "no further notification goes to this user now; all are kept");
        core.notifications.of(user).stopped = true;
    }
    over(core, now, user);
}

/// Sends the next notification of the session, or ends it when there is none (item 3).
pub(in crate::pf) fn go_on(core: &mut Core, now: Instant, user: UserId) {
    let queue = core.notifications.of(user);
    let Some(Session { first, stage: Stage::Sending { device }, leg: Some(leg), .. }) = &queue.session else { return };
    let session = leg.media.session;
    if queue.awaits(session) || !core.bound.contains(&session) {
        return;
    }
    if let Some(number) = queue.next_of(first, device.as_deref()).map(|(number, _)| number) {
        core.because(EACH, "each notification is sent once, to the device that it is for");
        return disposition_notifications::send(core, now, (user, number), session);
    }
    // Should another device have accepted, those for the invited one wait for the next trigger.
    let first = first.clone();
    queue.pass_like(&first);
    core.because(ENDS, "every notification for this device is delivered");
    hang_up(core, now, user);
}

/// Sends the BYE; the next session starts when it is answered.
fn hang_up(core: &mut Core, now: Instant, user: UserId) {
    let Some(leg) = core.take_at(now, Place::Notifications(user)) else { return };
    if let Some(session) = core.notifications.of(user).session.as_mut() {
        session.stage = Stage::Ending;
    }
    match core.endpoint.send_in(now, leg.dialog, Builder::request("BYE", "")) {
        Some(call) => drop(core.calls.insert(call, Call::NotificationBye(user, leg.media.session))),
        None => on_closed(core, now, user, leg.media.session),
    }
}

/// The BYE is answered, or never will be.
pub(in crate::pf) fn on_closed(core: &mut Core, now: Instant, user: UserId, media: MsrpId) {
    core.close_media(now, media);
    over(core, now, user);
}

/// The session is over: the next one may start.
fn over(core: &mut Core, now: Instant, user: UserId) {
    core.notifications.of(user).session = None;
    disposition_notifications::pump(core, now, user);
}

/// The Client has ended the session: what it has not accepted is kept.
pub(in crate::pf) fn on_bye(core: &mut Core, now: Instant, user: UserId) {
    core.because(KEEPS, "what was not delivered is kept for another time");
    core.notifications.of(user).stopped = true;
    if let Some(leg) = core.take_at(now, Place::Notifications(user)) {
        // An answer that comes late still counts, but the next session need not wait for it.
        core.notifications.rewind(leg.media.session);
        core.linger(now, leg.media.session);
    }
    over(core, now, user);
}

/// The device is gone without a BYE, or of no use: what is left is kept.
pub(in crate::pf) fn on_lost(core: &mut Core, now: Instant, user: UserId) {
    core.notifications.of(user).stopped = true;
    hang_up(core, now, user);
}

/// Nobody answered the ringing.
pub(in crate::pf) fn on_ringing_limit(core: &mut Core, now: Instant, user: UserId) {
    core.note("the invitation rings for longer than the policy waits");
    core.notifications.of(user).stopped = true;
    withdraw(core, now, user);
}

/// Cancels the INVITE, or ends the session; what is left is kept.
pub(in crate::pf) fn withdraw(core: &mut Core, now: Instant, user: UserId) {
    let Some(session) = core.notifications.of(user).session.as_mut() else { return };
    match &mut session.stage {
        Stage::Invited { call, cancelled } => {
            let call = *call;
            if !std::mem::replace(cancelled, true) {
                core.endpoint.cancel(now, call);
            }
        }
        Stage::Sending { .. } => on_lost(core, now, user),
        Stage::Ending => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pf::testing::{ALICE, BOB, FOCUS, PHONE, TABLET, USER, World, notification};
    use crate::wire::sip::Name;

    /// Notifications are kept for the user, who comes back.
    fn returning(knobs: &[(&str, &str)], kept: &[(&str, Option<&str>)]) -> World {
        let mut world = World::with(knobs);
        world.register(0, None);
        for (id, device) in kept {
            world.send(FOCUS, notification(id, *device));
            world.response(FOCUS, 202);
        }
        world.register(600_000, None);
        world
    }

    fn assert_read(world: &mut World, id: &str, code: u16) {
        let body = world.read(BOB, code);
        assert!(body.contains(&format!("<message-id>{id}</message-id>")), "{body}");
    }

    fn assert_over(world: &mut World) {
        let (bye, _, _) = world.request(BOB, "BYE");
        world.answer(BOB, bye, 200);
    }

    #[test]
    fn the_invite_has_the_shape_of_v5() {
        let mut world = returning(&[], &[("one", Some(PHONE))]);
        let (_, _, invite) = world.request(BOB, "INVITE");
        assert_eq!(invite.request_uri(), Some(USER));
        assert_eq!(invite.to().map(|to| to.uri.text.to_owned()).ok().as_deref(), Some(USER));
        assert_eq!(invite.value(Name::ReferredBy), Some(format!("<{ALICE}>").as_str()));
        assert_eq!(invite.value(Name::PAssertedIdentity), Some("<sip:rcse-standfw@home1.example>"));
        assert_eq!(invite.value(Name::Contact), Some("<sip:pf.home1.example:5060;transport=tcp>"));
        assert_eq!(invite.value(Name::UserAgent), Some("CPM-serv/OMA2.0"));
        assert_eq!(invite.value(Name::Route), Some("<sip:scscf1.home1.example;lr>"));
        assert_eq!(invite.value(Name::ConversationId), Some("conversation-9"));
        let instance = format!("*;+sip.instance=\"<{PHONE}>\";require;explicit");
        assert!(invite.values(Name::AcceptContact).any(|value| value == instance));
        let sdp = headers::sdp_of(&invite).unwrap_or_default();
        for line in ["a=sendonly", "a=accept-types:message/cpim", "a=accept-wrapped-types:message/imdn+xml"] {
            assert!(sdp.lines().any(|own| own == line), "{sdp}");
        }
        assert_eq!(headers::other_parts(&invite).len(), 0);
    }

    #[test]
    fn each_notification_is_sent_once_and_then_the_session_ends() {
        let mut world = returning(&[], &[("one", None), ("two", None)]);
        let (invite, _, request) = world.request(BOB, "INVITE");
        world.pick_up(invite, &request, PHONE);
        assert_read(&mut world, "one", 200);
        assert_read(&mut world, "two", 0);
        world.assert_quiet(BOB);
        world.answer_last(BOB, 200);
        let (bye, _, message) = world.request(BOB, "BYE");
        assert_eq!(message.request_uri(), Some("sip:bob@10.0.2.1:5060;transport=tcp"));
        world.answer(BOB, bye, 200);
        world.register(600_000, None);
        world.assert_quiet(BOB);
        assert!(world.has_cited("DGC-1.1-36") && world.has_cited("DGC-1.1-37"));
    }

    #[test]
    fn each_device_gets_what_is_meant_for_it() {
        let mut world = returning(&[], &[("one", Some(PHONE)), ("two", Some(TABLET)), ("three", Some(PHONE))]);
        for (device, ids) in [(PHONE, &["one", "three"][..]), (TABLET, &["two"])] {
            let (invite, _, request) = world.request(BOB, "INVITE");
            assert!(request.values(Name::AcceptContact).any(|value| value.contains(device)));
            world.pick_up(invite, &request, device);
            for id in ids {
                assert_read(&mut world, id, 200);
            }
            assert_over(&mut world);
        }
        world.assert_quiet(BOB);
    }

    #[test]
    fn another_device_than_the_invited_one_gets_only_its_own() {
        let mut world = returning(&[], &[("one", Some(PHONE)), ("two", Some(TABLET))]);
        let (invite, _, request) = world.request(BOB, "INVITE");
        world.pick_up(invite, &request, TABLET);
        assert_read(&mut world, "two", 200);
        assert_over(&mut world);
        world.assert_quiet(BOB);
        world.register(600_000, None);
        let (invite, _, request) = world.request(BOB, "INVITE");
        world.pick_up(invite, &request, PHONE);
        assert_read(&mut world, "one", 200);
    }

    #[test]
    fn a_device_that_is_not_there_is_not_invited() {
        let mut world = returning(&[], &[]);
        world.register(0, None);
        world.send(FOCUS, notification("one", Some(TABLET)));
        world.response(FOCUS, 202);
        world.register(600_000, Some(PHONE));
        world.assert_quiet(BOB);
        world.register(600_000, Some(TABLET));
        world.request(BOB, "INVITE");
    }

    #[test]
    fn an_error_stops_everything_for_the_user_until_the_next_trigger() {
        let mut world = returning(&[], &[("one", Some(PHONE)), ("two", Some(TABLET))]);
        let (invite, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, invite, 486);
        world.assert_quiet(BOB);
        world.register(600_000, None);
        let (invite, _, request) = world.request(BOB, "INVITE");
        world.pick_up(invite, &request, PHONE);
        assert_read(&mut world, "one", 200);
        assert!(world.has_cited("DGC-1.1-33"));
    }

    #[test]
    fn no_answer_is_an_error_too() {
        let mut world = returning(&[], &[("one", None)]);
        let (invite, _, _) = world.request(BOB, "INVITE");
        world.pass(Duration::from_secs(181));
        assert!(matches!(world.event(BOB), Some(crate::endpoint::Event::Cancelled { .. })));
        world.answer(BOB, invite, 487);
        world.assert_quiet(BOB);
        world.register(600_000, None);
        world.request(BOB, "INVITE");
    }

    #[test]
    fn a_bye_of_the_client_keeps_the_rest() {
        let mut world = returning(&[], &[("one", None), ("two", None)]);
        let (invite, _, request) = world.request(BOB, "INVITE");
        let session = world.pick_up(invite, &request, PHONE);
        assert_read(&mut world, "one", 200);
        assert_read(&mut world, "two", 0);
        world.bye(&session, None);
        world.assert_quiet(BOB);
        world.register(600_000, None);
        let (invite, _, request) = world.request(BOB, "INVITE");
        world.pick_up(invite, &request, PHONE);
        assert_read(&mut world, "two", 200);
        assert_over(&mut world);
        assert!(world.has_cited("DGC-1.1-38"));
    }

    #[test]
    fn a_bye_that_overtakes_the_last_answer_does_not_repeat_it() {
        let mut world = returning(&[], &[("one", None)]);
        let (invite, _, request) = world.request(BOB, "INVITE");
        let session = world.pick_up(invite, &request, PHONE);
        assert_read(&mut world, "one", 0);
        world.bye(&session, None);
        world.answer_last(BOB, 200);
        world.register(600_000, None);
        world.assert_quiet(BOB);
    }

    #[test]
    fn what_a_session_refuses_leaves_by_message() {
        let mut world = returning(&[], &[("one", None), ("two", None)]);
        let (invite, _, request) = world.request(BOB, "INVITE");
        world.pick_up(invite, &request, PHONE);
        assert_read(&mut world, "one", 415);
        let (message, relayed) = world.skip_to_request(BOB, "MESSAGE");
        assert!(String::from_utf8_lossy(&relayed.body()).contains("<message-id>one</message-id>"));
        world.answer(BOB, message, 200);
    }

    #[test]
    fn without_message_it_waits_for_the_next_trigger() {
        let mut world = returning(&[("imdn.ways", "session")], &[("one", None)]);
        for code in [415, 200] {
            let (invite, _, request) = world.request(BOB, "INVITE");
            world.pick_up(invite, &request, PHONE);
            assert_read(&mut world, "one", code);
            assert_over(&mut world);
            world.assert_quiet(BOB);
            world.register(600_000, None);
        }
        world.assert_quiet(BOB);
    }

    #[test]
    fn the_session_timer_of_the_200_is_kept_up() {
        // A slow device: the connection breaks before each answer and comes back late.
        let mut world = returning(&[("loss.grace", "100s")], &[("one", None)]);
        let (invite, _, request) = world.request(BOB, "INVITE");
        let session = world.pick_up_with(invite, &request, PHONE, |response| {
            response.push("Supported", "timer").push("Require", "timer").push("Session-Expires", "90;refresher=uac")
        });
        assert_read(&mut world, "one", 0);
        world.break_media(&session);
        world.pass(Duration::from_secs(44));
        world.assert_quiet(BOB);
        world.pass(Duration::from_secs(1));
        let (refresh, _, message) = world.request(BOB, "UPDATE");
        assert_eq!(message.value(Name::SessionExpires), Some("90;refresher=uac"));
        world.answer(BOB, refresh, 481);
        assert_over(&mut world);
    }

    #[test]
    fn a_session_without_connection_is_given_up() {
        let mut world = returning(&[], &[("one", None)]);
        let (invite, _, _) = world.request(BOB, "INVITE");
        world.pick_up_without_media(invite, PHONE);
        world.pass(Duration::from_secs(33));
        assert_over(&mut world);
        world.assert_quiet(BOB);
        world.register(600_000, None);
        world.request(BOB, "INVITE");
    }

    #[test]
    fn a_connection_that_breaks_keeps_the_rest() {
        let mut world = returning(&[], &[("one", None)]);
        let (invite, _, request) = world.request(BOB, "INVITE");
        let session = world.pick_up(invite, &request, PHONE);
        assert_read(&mut world, "one", 0);
        world.break_media(&session);
        world.pass(Duration::from_secs(2));
        assert_over(&mut world);
        world.register(600_000, None);
        let (invite, _, request) = world.request(BOB, "INVITE");
        world.pick_up(invite, &request, PHONE);
        assert_read(&mut world, "one", 200);
    }

    #[test]
    fn who_is_deregistered_while_invited_is_cancelled() {
        let mut world = returning(&[], &[("one", None)]);
        let (invite, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, invite, 180);
        world.register(0, None);
        assert!(matches!(world.event(BOB), Some(crate::endpoint::Event::Cancelled { .. })));
        world.register(600_000, None);
        world.answer(BOB, invite, 487);
        world.request(BOB, "INVITE");
    }

    #[test]
    fn the_policy_decides_which_device_is_named() {
        for (knob, in_contact, in_accept_contact) in [("target", 0, 1), ("origin", 1, 0), ("both", 1, 1)] {
            let mut world = World::with(&[("imdn.instance", knob)]);
            world.register(0, None);
            let contact = format!("<sip:alice@10.0.1.1>;+sip.instance=\"<{TABLET}>\"");
            world.send(FOCUS, notification("one", Some(PHONE)).push("Contact", contact));
            world.response(FOCUS, 202);
            world.register(600_000, None);
            let (_, _, invite) = world.request(BOB, "INVITE");
            assert_eq!(invite.values(Name::Contact).filter(|value| value.contains(TABLET)).count(), in_contact, "{knob}");
            assert_eq!(invite.values(Name::AcceptContact).filter(|value| value.contains(PHONE)).count(), in_accept_contact);
        }
    }
}
