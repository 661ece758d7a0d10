//! 8.3.2.1 step 7, as reconstructed: an INVITE to a 1-1 session with a served user.
//!
//! It is offered to the user's devices. When none can be reached the PF accepts for the user and
//! stores what the sender writes, a message in the INVITE included.
//!
//! ```text
//! INVITE                         Inviting, or Accepting for a user who is gone
//! 2xx                            Inviting -> Live       both legs
//! 408, 480, 503, timeout         Inviting -> Storing    the PF accepts for the user
//! other                          Inviting -> over       relayed
//! ```

use crate::endpoint::{DialogId, TransactionId};
use crate::pf::core::{Call, Core};
use crate::pf::deferred::Item;
use crate::pf::headers::{self, ELSEWHERE};
use crate::pf::one_to_one::session::{self, Phase, Session};
use crate::pf::one_to_one::store::Owed;
use crate::pf::one_to_one::{End, Place, SessionId};
use crate::pf::procedures::one_to_one_delivery;
use crate::pf::state::{Registration, UserId};
use crate::time::Instant;
use crate::wire::cpim;
use crate::wire::sip::Message;

/// Takes an INVITE of an original sender.
pub(in crate::pf) fn start(core: &mut Core, now: Instant, user: UserId, asked: TransactionId, message: &Message) {
    let Some(address) = headers::asserted_identity(message) else { return core.reply(now, asked, 400) };
    let sender = core.one.sender(user, &address, headers::wants_privacy(message));
    if let Some(sdp) = headers::sdp_of(message) {
        core.one[sender].sdp = sdp;
    }
    let id = core.one.add(Session::new(sender, Phase::Accepting { asked }, headers::identifiers(message)));
    if core.users[user].registration == Registration::Gone {
        accept_for_user(core, now, id, asked, message);
    } else {
        offer_to_user(core, now, (id, user), asked, message);
    }
}

/// 7.c: the INVITE to the user's devices.
fn offer_to_user(core: &mut Core, now: Instant, (id, user): (SessionId, UserId), asked: TransactionId, message: &Message) {
    let place = Place::Session(id, End::Terminating);
    let mut media = core.open_media_at(place);
    let template = headers::sdp_of(message).unwrap_or_default();
    core.endpoint.msrp_forks(media.session);
    let sdp = media.offer(core.endpoint.config(), &template, None);
    let target = message.request_uri().unwrap_or(&core.users[user].uri).to_owned();
    let invite = headers::relayed_invite(message, &target, &core.users[user].route, &core.address());
    let invite = headers::with_body(invite, &sdp, &headers::other_parts(message));
    core.note("the INVITE of the original sender is passed on to the user");
    let call = core.endpoint.send(now, invite);
    core.calls.insert(call, Call::InvitationAt(id));
    core.one.invites.insert(call, place);
    core.one.asked.insert(asked, id);
    if let Some(session) = core.one.sessions.get_mut(&id) {
        session.phase = Phase::Inviting { asked, call };
        session.offered = Some(media);
    }
}

/// Our INVITE is repeated under another transaction.
pub(in crate::pf) fn follow(core: &mut Core, id: SessionId, before: TransactionId, again: TransactionId) {
    if let Some(session) = core.one.sessions.get_mut(&id)
        && let Phase::Inviting { call, .. } = &mut session.phase
    {
        *call = again;
        core.one.invites.remove(&before);
        core.one.invites.insert(again, Place::Session(id, End::Terminating));
    }
}

/// Passes a provisional response of the user on.
pub(in crate::pf) fn on_provisional(core: &mut Core, now: Instant, id: SessionId, status: u16) {
    if let Some(Phase::Inviting { asked, .. }) = phase(core, id) {
        core.reply(now, asked, status);
    }
}

/// The sender has cancelled its INVITE.
pub(in crate::pf) fn on_cancelled(core: &mut Core, now: Instant, id: SessionId, asked: TransactionId) {
    core.reply(now, asked, 487);
    if let Some(Phase::Inviting { call, .. }) = phase(core, id) {
        core.calls.remove(&call);
        core.endpoint.cancel(now, call);
    }
    session::over(core, now, id);
}

/// Takes the final response of the user.
pub(in crate::pf) fn handle(
    core: &mut Core,
    now: Instant,
    id: SessionId,
    (invite, dialog): (TransactionId, Option<DialogId>),
    response: &Message,
) {
    let Some(Phase::Inviting { asked, .. }) = phase(core, id) else { return };
    match (response.status().unwrap_or(500), dialog) {
        (200..=299, Some(dialog)) => on_accepted(core, now, (id, asked), (invite, dialog), response),
        (408 | 480 | 503, _) => on_failed(core, now, id),
        (status, _) => {
            core.one.asked.remove(&asked);
            core.reply(now, asked, status);
            session::over(core, now, id);
        }
    }
}

/// No device can be reached: the PF takes part for the user (step 7.b).
pub(in crate::pf) fn on_failed(core: &mut Core, now: Instant, id: SessionId) {
    let Some(Phase::Inviting { asked, .. }) = phase(core, id) else { return };
    core.one.asked.remove(&asked);
    let offered = core.one.sessions.get_mut(&id).and_then(|session| session.offered.take());
    if let Some(media) = offered {
        core.close_offer(now, &media);
    }
    match core.endpoint.request(asked).cloned() {
        Some(request) => accept_for_user(core, now, id, asked, &request),
        None => session::over(core, now, id),
    }
}

fn on_accepted(
    core: &mut Core,
    now: Instant,
    (id, asked): (SessionId, TransactionId),
    answer: (TransactionId, DialogId),
    response: &Message,
) {
    core.one.asked.remove(&asked);
    let request = core.endpoint.request(asked).cloned();
    let Some(session) = core.one.sessions.get_mut(&id) else { return };
    let (Some(media), sender) = (session.offered.take(), session.sender) else { return };
    let attributes = headers::sdp_of(response).unwrap_or_default();
    let joined = core.confirm_at(now, Place::Session(id, End::Terminating), media, answer, response);
    let place = Place::Session(id, End::Originating);
    let accepted = joined.and(request).and_then(|request| core.accept_at(now, place, asked, &request, &attributes));
    if accepted.is_none() {
        core.hang_up_at(now, Place::Session(id, End::Terminating), None);
        core.reply(now, asked, 488);
        return session::over(core, now, id);
    }
    if let Some(session) = core.one.sessions.get_mut(&id) {
        session.phase = Phase::Live;
    }
    one_to_one_delivery::supersede(core, now, sender, Some(id));
}

/// A further 2xx of the user, from another device: the newer one stays (NOTE 2).
pub(in crate::pf) fn on_further_answer(
    core: &mut Core,
    now: Instant,
    id: SessionId,
    (invite, dialog): (TransactionId, DialogId),
    response: &Message,
) {
    let place = Place::Session(id, End::Terminating);
    let usable = core.medium_in(response).is_some();
    let Some(earlier) = usable.then(|| core.take_at(now, place)).flatten() else { return core.release(now, invite, dialog) };
    let media = earlier.media.fork(&mut core.endpoint);
    core.one.media.insert(media.session, place);
    core.because(one_to_one_delivery::SECOND_ANSWER, "a second device has answered: the earlier session ends");
    core.bye(now, &earlier, Some(ELSEWHERE));
    core.forget_flights(earlier.media.session);
    if core.confirm_at(now, place, media, (invite, dialog), response).is_none() {
        return session::on_lost(core, now, id, End::Terminating);
    }
    if let Some(media) = core.leg_at(place).map(|leg| leg.media.session) {
        session::on_bound(core, now, (id, End::Terminating), media);
    }
}

/// 7.b: accepts in place of the user; a message in the INVITE is stored first.
fn accept_for_user(core: &mut Core, now: Instant, id: SessionId, asked: TransactionId, message: &Message) {
    let Some(session) = core.one.sessions.get_mut(&id) else { return };
    session.phase = Phase::Accepting { asked };
    let sender = session.sender;
    let first = headers::other_parts(message).into_iter().find(|part| part.is(cpim::MEDIA_TYPE));
    core.note("no device can be reached: the PF takes part for the user");
    let Some(part) = first else { return accept(core, now, id, asked, message) };
    let item = Item::new(now, &part.content_type, part.body).with_identifiers(headers::identifiers(message));
    let item = item.with_device(headers::instance_of(message));
    match core.keep(sender, &item, Owed::Invite(id)) {
        Some(number) => core.one[sender].deferred.push(number, item),
        None => {
            core.reply(now, asked, 480);
            session::over(core, now, id);
        }
    }
}

/// The message in the INVITE is durable, or could not be stored.
pub(in crate::pf) fn on_first_kept(core: &mut Core, now: Instant, id: SessionId, durable: bool) {
    let Some(Phase::Accepting { asked }) = phase(core, id) else { return };
    match core.endpoint.request(asked).cloned() {
        Some(request) if durable => accept(core, now, id, asked, &request),
        _ => {
            core.reply(now, asked, 480);
            session::over(core, now, id);
        }
    }
}

fn accept(core: &mut Core, now: Instant, id: SessionId, asked: TransactionId, message: &Message) {
    let attributes = headers::sdp_of(message).unwrap_or_else(|| core.default_sdp());
    if core.accept_at(now, Place::Session(id, End::Originating), asked, message, &attributes).is_none() {
        core.reply(now, asked, 488);
        return session::over(core, now, id);
    }
    if let Some(session) = core.one.sessions.get_mut(&id) {
        session.phase = Phase::Storing;
    }
}

fn phase(core: &Core, id: SessionId) -> Option<Phase> {
    core.one.sessions.get(&id).map(|session| session.phase)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::CommitOutcome;
    use crate::msrp::Outcome;
    use crate::pf::testing::{ALICE, BOB, FOCUS, PHONE, Session as Leg, World, wrapped_notification};
    use crate::wire::sip::{Builder, Name};

    /// Alice and Bob are in a session.
    fn live() -> (World, Leg, Leg) {
        let mut world = World::new();
        let (invite, media) = world.invite_one_to_one(ALICE, None);
        let (offered, _, message) = world.request(BOB, "INVITE");
        let bob = world.pick_up(offered, &message, PHONE);
        let alice = world.accepted(FOCUS, invite, media);
        (world, alice, bob)
    }

    /// The user registers and gets these messages in a delivery session.
    fn assert_deferred(world: &mut World, texts: &[&str]) {
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        let carried = headers::other_parts(&message).into_iter().find(|part| part.is(cpim::MEDIA_TYPE)).expect("a message");
        assert_eq!(carried.body, texts[0]);
        world.pick_up(invite, &message, PHONE);
        world.delivered(&texts[1..]);
        world.completed();
    }

    #[test]
    fn messages_go_both_ways_between_two_who_are_there() {
        let (mut world, alice, bob) = live();
        world.write(&alice, "hello");
        assert_eq!(world.sent(FOCUS), Outcome::Accepted);
        assert_eq!(world.read(BOB, 200), "hello");
        world.write(&bob, "hi");
        assert_eq!(world.read(FOCUS, 200), "hi");
        assert_eq!(world.sent(BOB), Outcome::Accepted);
        world.register(600_000, None);
        world.assert_quiet(BOB);
    }

    #[test]
    fn the_invite_reaches_the_user_as_its_sender_wrote_it() {
        let mut world = World::new();
        world.invite_one_to_one(ALICE, Some("first"));
        let (_, _, message) = world.request(BOB, "INVITE");
        assert_eq!(message.value(Name::PAssertedIdentity), Some(format!("<{ALICE}>").as_str()));
        assert_eq!(message.value(Name::PAssertedService), Some(headers::SESSION_SERVICE));
        assert_eq!(message.value(Name::ConversationId), Some("conversation of +15145550101"));
        assert_eq!(message.value(Name::ReferredBy), None);
        assert!(headers::sdp_of(&message).is_some_and(|sdp| sdp.contains("c=IN IP4 10.0.0.1") && sdp.contains("a=sendrecv")));
        assert_eq!(headers::other_parts(&message)[0].body, "first");
    }

    #[test]
    fn ringing_and_refusal_are_passed_on() {
        let mut world = World::new();
        world.invite_one_to_one(ALICE, None);
        let (invite, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, invite, 180);
        world.response(FOCUS, 180);
        world.answer(BOB, invite, 486);
        world.response(FOCUS, 486);
        world.assert_quiet(FOCUS);
    }

    #[test]
    fn a_cancel_is_passed_on() {
        let mut world = World::new();
        let (invite, _) = world.invite_one_to_one(ALICE, None);
        let (offered, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, offered, 180);
        world.response(FOCUS, 180);
        world.cancel(FOCUS, invite);
        world.response(FOCUS, 487);
        assert!(matches!(world.event(BOB), Some(crate::endpoint::Event::Cancelled { .. })));
    }

    #[test]
    fn the_pf_takes_part_for_a_user_who_cannot_be_reached() {
        for status in [408, 480, 503] {
            let mut world = World::new();
            let (invite, media) = world.invite_one_to_one(ALICE, Some("first"));
            let (offered, _, _) = world.request(BOB, "INVITE");
            world.answer(BOB, offered, status);
            let alice = world.accepted(FOCUS, invite, media);
            world.missed(&alice, &["second"]);
            world.assert_quiet(BOB);
            world.bye(&alice, None);
            assert_deferred(&mut world, &["first", "second"]);
        }
    }

    #[test]
    fn an_invite_whose_message_could_not_be_stored_is_refused() {
        let mut world = World::new();
        world.register(0, None);
        world.commits.push_back(CommitOutcome::Failed);
        world.invite_one_to_one(ALICE, Some("first"));
        world.response(FOCUS, 480);
        world.register(600_000, None);
        world.assert_quiet(BOB);
    }

    #[test]
    fn a_message_in_an_invite_is_durable_before_its_answer() {
        let mut world = World::new();
        world.register(0, None);
        world.slow = true;
        let (invite, media) = world.invite_one_to_one(ALICE, Some("first"));
        world.assert_quiet(FOCUS);
        world.slow = false;
        world.commit();
        world.accepted(FOCUS, invite, media);
    }

    #[test]
    fn what_a_lost_user_did_not_acknowledge_is_deferred() {
        let (mut world, alice, bob) = live();
        world.write(&alice, "one");
        world.write(&alice, "two");
        assert_eq!(world.sent(FOCUS), Outcome::Accepted);
        assert_eq!(world.sent(FOCUS), Outcome::Accepted);
        assert_eq!(world.read(BOB, 200), "one");
        assert_eq!(world.read(BOB, 0), "two");
        world.bye(&bob, Some("SIP;cause=503;text=\"Radio lost\""));
        let (bye, _, message) = world.request(FOCUS, "BYE");
        assert_eq!(message.value(Name::Reason), Some("SIP;cause=503;text=\"Radio lost\""));
        world.answer(FOCUS, bye, 200);
        assert_deferred(&mut world, &["two"]);
    }

    #[test]
    fn a_user_whose_connection_breaks_is_lost() {
        let (mut world, _, bob) = live();
        world.break_media(&bob);
        world.pass(Duration::from_secs(2));
        let (bye, _, _) = world.request(BOB, "BYE");
        world.answer(BOB, bye, 200);
        let (_, _, message) = world.request(FOCUS, "BYE");
        assert_eq!(message.value(Name::Reason), Some("SIP;cause=503;text=\"Service Unavailable\""));
    }

    #[test]
    fn what_the_sender_wrote_before_its_bye_arrives_before_the_bye() {
        let (mut world, alice, _) = live();
        world.write(&alice, "last");
        assert_eq!(world.sent(FOCUS), Outcome::Accepted);
        assert_eq!(world.read(BOB, 0), "last");
        world.bye(&alice, None);
        world.assert_quiet(BOB);
        world.answer_last(BOB, 200);
        let (bye, _, _) = world.request(BOB, "BYE");
        world.answer(BOB, bye, 200);
        world.register(600_000, None);
        world.assert_quiet(BOB);
    }

    #[test]
    fn a_refusal_of_a_live_message_is_told_to_its_sender() {
        let (mut world, alice, _) = live();
        world.write(&alice, "too long");
        assert_eq!(world.sent(FOCUS), Outcome::Accepted);
        assert_eq!(world.read(BOB, 413), "too long");
        assert!(matches!(
            world.event(FOCUS),
            Some(crate::endpoint::Event::Msrp { event: crate::msrp::Event::Report { code: 413, .. }, .. })
        ));
        world.register(600_000, None);
        world.assert_quiet(BOB);
    }

    #[test]
    fn a_deregistered_user_is_lost() {
        let (mut world, _, _) = live();
        world.register_user(crate::pf::testing::USER, 0, None);
        world.skip_to_request(BOB, "BYE");
        world.request(FOCUS, "BYE");
    }

    #[test]
    fn each_leg_is_refreshed_by_itself() {
        let (mut world, alice, bob) = live();
        for session in [alice, bob] {
            world.modify(&session, "INVITE", |sdp| sdp.replace("o=- 900", &format!("o=- {}", session.media.0)));
            world.response(session.node, 200);
        }
        world.assert_quiet(FOCUS);
        world.assert_quiet(BOB);
    }

    #[test]
    fn an_offer_without_a_medium_is_refused() {
        let mut world = World::new();
        let invite = crate::wire::sip::Builder::request("INVITE", crate::pf::testing::USER)
            .push("Route", "<sip:pf.home1.example;lr>")
            .push("Contact", "<sip:10.0.1.1>")
            .body("application/sdp", "v=0\r\n".to_owned());
        world.send(FOCUS, invite);
        world.response(FOCUS, 488);
    }

    #[test]
    fn a_session_ends_with_its_process_and_what_the_user_has_not_got_is_deferred() {
        let (mut world, alice, bob) = live();
        world.write(&alice, "one");
        world.write(&alice, "two");
        assert_eq!((world.sent(FOCUS), world.sent(FOCUS)), (Outcome::Accepted, Outcome::Accepted));
        assert_eq!(world.read(BOB, 200), "one");
        assert_eq!(world.read(BOB, 0), "two");
        world.restart();
        for session in [&alice, &bob] {
            world.send_in(session, Builder::request("UPDATE", ""));
            world.skip_to_response(session.node, 481);
        }
        assert_deferred(&mut world, &["two"]);
    }

    #[test]
    fn a_notification_that_was_on_its_way_is_one_in_the_next_life_too() {
        let (mut world, alice, _) = live();
        world.write(&alice, &wrapped_notification("Msg-1"));
        assert_eq!(world.sent(FOCUS), Outcome::Accepted);
        assert_eq!(world.read(BOB, 0), wrapped_notification("Msg-1"));
        world.restart();
        world.register(600_000, None);
        let (invite, message) = world.skip_to_request(BOB, "INVITE");
        assert!(headers::other_parts(&message).is_empty());
        world.pick_up(invite, &message, PHONE);
        assert_eq!(world.skip_to_message(BOB), wrapped_notification("Msg-1"));
        world.completed();
        world.restart();
        world.register(600_000, None);
        world.assert_quiet(BOB);
    }

    #[test]
    fn what_the_user_writes_is_acknowledged_when_the_sender_has_it() {
        let (mut world, _, bob) = live();
        world.write(&bob, "hi");
        world.assert_quiet(BOB);
        assert_eq!(world.read(FOCUS, 200), "hi");
        assert_eq!(world.sent(BOB), Outcome::Accepted);
        world.write(&bob, "ho");
        assert_eq!(world.read(FOCUS, 415), "ho");
        assert_eq!(world.sent(BOB), Outcome::Refused(415));
    }
}
