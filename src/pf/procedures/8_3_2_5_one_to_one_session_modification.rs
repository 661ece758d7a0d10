//! 8.3.2.5 for sessions that are no group's: a re-INVITE or UPDATE on one of their legs.
//!
//! In a 1-1 session with both legs up a change of the media goes to the other leg, and the answer
//! comes back, as in a group. Everything else is answered by the PF, which is the media endpoint of
//! every leg: refreshes, and changes of a session that has one leg alone.
//!
//! ```text
//! new offer, other leg up      mirrored; 2xx and refusal come back, 408 and 481 end the other leg
//! same offer, none, no leg     answered 200 with the present description
//! ```

use crate::clause::Clause;
use crate::endpoint::TransactionId;
use crate::pf::core::{Call, Core};
use crate::pf::headers::{self, own_contact, with_body};
use crate::pf::leg::{MIN_SE, Media, SESSION_EXPIRES, interval_too_small};
use crate::pf::media::Remote;
use crate::pf::one_to_one::{End, Place, SessionId, legs};
use crate::time::Instant;
use crate::wire::sip::{Builder, Message, Method};

const AS_B2BUA: Clause = Clause::of("DGC-5-01");

/// A re-INVITE or UPDATE on its way through the B2BUA.
#[derive(Clone, Debug)]
pub(in crate::pf) struct Modification {
    /// The end that asked.
    from: End,
    /// Its request.
    asked: TransactionId,
    /// Its offer.
    offer: String,
    /// Our request at the other end.
    call: TransactionId,
    /// The media of the other end before it.
    before: Media,
}

/// Takes a re-INVITE or UPDATE.
pub(in crate::pf) fn start(core: &mut Core, now: Instant, asked: TransactionId, place: Place, message: &Message) {
    if interval_too_small(message) {
        let refusal = core.endpoint.response(asked, 422).push("Min-SE", MIN_SE);
        core.endpoint.respond(now, asked, refusal);
        return;
    }
    if is_changing(core, place) {
        return core.reply(now, asked, 491);
    }
    let Some(offer) = headers::sdp_of(message) else { return answer_locally(core, now, asked, place, message, None) };
    let Some(remote) = core.medium_of(&offer) else { return core.reply(now, asked, 488) };
    let known = core.leg_at(place).and_then(|leg| leg.media.remote.as_ref());
    match other_leg(core, place) {
        Some((id, from)) if known.is_none_or(|known| known.origin != remote.origin) => {
            mirror(core, now, asked, (id, from), message, offer);
        }
        _ => answer_locally(core, now, asked, place, message, Some((offer, remote))),
    }
}

fn is_changing(core: &Core, place: Place) -> bool {
    let Place::Session(id, _) = place else { return false };
    core.one.sessions.get(&id).is_some_and(|session| session.modification.is_some())
}

/// The session and the end of a leg whose counterpart is up.
fn other_leg(core: &Core, place: Place) -> Option<(SessionId, End)> {
    let Place::Session(id, end) = place else { return None };
    core.leg_at(Place::Session(id, end.opposite())).filter(|leg| leg.acknowledged).map(|_| (id, end))
}

/// 200 with our own description, and the session timer of this leg.
fn answer_locally(
    core: &mut Core,
    now: Instant,
    asked: TransactionId,
    place: Place,
    message: &Message,
    offer: Option<(String, Remote)>,
) {
    let config = core.endpoint.config().clone();
    let Some(leg) = core.leg_at_mut(place) else { return core.reply(now, asked, 481) };
    let sdp = match offer {
        Some((offer, remote)) if leg.media.remote.as_ref() != Some(&remote) => {
            let attributes = leg.media.sdp.clone();
            Some(leg.media.answer(&config, &offer, remote, &attributes))
        }
        None if message.method() == Some(Method::Update) => None,
        _ => Some(leg.media.sdp.clone()),
    };
    finish(core, now, asked, place, message, sdp);
}

/// Sends the 200 of a change and takes over what the request said of the leg.
fn finish(core: &mut Core, now: Instant, asked: TransactionId, place: Place, message: &Message, sdp: Option<String>) {
    let contact = own_contact(&core.address());
    core.reply_with_sdp(now, asked, contact, message, sdp.as_deref());
    if let Some(leg) = core.leg_at_mut(place) {
        leg.learn(message);
    }
    legs::start_media(core, now, place);
    legs::pump(core, now, place);
}

/// Passes a new offer on to the other leg.
fn mirror(core: &mut Core, now: Instant, asked: TransactionId, (id, from): (SessionId, End), message: &Message, offer: String) {
    let there = Place::Session(id, from.opposite());
    let contact = own_contact(&core.address());
    let config = core.endpoint.config().clone();
    let Some(leg) = core.leg_at_mut(there) else { return };
    let (before, dialog) = (leg.media.clone(), leg.dialog);
    let sdp = leg.media.offer(&config, &offer, None);
    let interval = if leg.interval == 0 { SESSION_EXPIRES } else { leg.interval };
    let updates = message.method() == Some(Method::Update) && leg.updates;
    let request = Builder::request(if updates { "UPDATE" } else { "INVITE" }, "")
        .push("Contact", contact)
        .push("Supported", "timer")
        .push("Session-Expires", interval);
    core.because(AS_B2BUA, "the change goes to the other leg");
    let Some(call) = core.endpoint.send_in(now, dialog, with_body(request, &sdp, &[])) else {
        restore(core, there, before);
        return core.reply(now, asked, 500);
    };
    core.calls.insert(call, Call::ModificationAt(id, from.opposite()));
    core.one.asked.insert(asked, id);
    if let Some(session) = core.one.sessions.get_mut(&id) {
        session.modification = Some(Modification { from, asked, offer, call, before });
    }
}

/// Takes the final response of the other leg.
pub(in crate::pf) fn handle(core: &mut Core, now: Instant, (id, end): (SessionId, End), call: TransactionId, response: &Message) {
    let status = response.status().unwrap_or(500);
    if status >= 300 {
        return on_failed(core, now, (id, end), status);
    }
    let there = Place::Session(id, end);
    if let (Some(Method::Invite), Some(dialog)) = (response.method(), core.leg_at(there).map(|leg| leg.dialog)) {
        core.endpoint.acknowledge(now, call, dialog, None);
    }
    let answer = headers::sdp_of(response).unwrap_or_default();
    let remote = core.medium_of(&answer);
    if let (Some(leg), Some(remote)) = (core.leg_at_mut(there), remote) {
        leg.media.remote = Some(remote);
        leg.learn(response);
        legs::start_media(core, now, there);
    }
    let Some(modification) = take(core, id) else { return };
    let Some(request) = core.endpoint.request(modification.asked).cloned() else { return };
    let config = core.endpoint.config().clone();
    let back = Place::Session(id, modification.from);
    let offered = core.medium_of(&modification.offer);
    let Some(leg) = core.leg_at_mut(back) else { return };
    let sdp = offered.map(|remote| leg.media.answer(&config, &modification.offer, remote, &answer));
    core.because(AS_B2BUA, "the answer of the other leg is passed on");
    finish(core, now, modification.asked, back, &request, sdp);
}

/// The other leg refuses: the session stays as it was; 408 and 481 end that leg (RFC 5057).
pub(in crate::pf) fn on_failed(core: &mut Core, now: Instant, (id, end): (SessionId, End), status: u16) {
    let Some(modification) = take(core, id) else { return };
    let there = Place::Session(id, end);
    restore(core, there, modification.before);
    core.because(AS_B2BUA, "the refusal of the other leg is passed on").reply(now, modification.asked, status);
    if matches!(status, 408 | 481) {
        legs::on_silence(core, now, there, "the other leg is gone");
    }
}

/// Our request is repeated under another transaction.
pub(in crate::pf) fn follow(core: &mut Core, id: SessionId, again: TransactionId) {
    if let Some(modification) = core.one.sessions.get_mut(&id).and_then(|session| session.modification.as_mut()) {
        modification.call = again;
    }
}

/// The end that asked has cancelled its request; `false` when it has asked for no change.
pub(in crate::pf) fn on_cancelled(core: &mut Core, now: Instant, id: SessionId, asked: TransactionId) -> bool {
    let own = core.one.sessions.get(&id).and_then(|session| session.modification.as_ref());
    if own.is_none_or(|own| own.asked != asked) {
        return false;
    }
    if let Some(modification) = take(core, id) {
        core.calls.remove(&modification.call);
        core.endpoint.cancel(now, modification.call);
        restore(core, Place::Session(id, modification.from.opposite()), modification.before);
        core.reply(now, asked, 487);
    }
    true
}

/// A leg goes away while a change is under way.
pub(in crate::pf) fn abandon(core: &mut Core, now: Instant, place: Place) {
    let Place::Session(id, end) = place else { return };
    let Some(modification) = take(core, id) else { return };
    core.calls.remove(&modification.call);
    // Requests that are pending when a dialog ends are answered nevertheless (RFC 3261 15.1.2).
    core.reply(now, modification.asked, if modification.from == end { 487 } else { 481 });
}

fn take(core: &mut Core, id: SessionId) -> Option<Modification> {
    let modification = core.one.sessions.get_mut(&id)?.modification.take()?;
    core.one.asked.remove(&modification.asked);
    Some(modification)
}

fn restore(core: &mut Core, place: Place, before: Media) {
    if let Some(leg) = core.leg_at_mut(place) {
        leg.media = before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msrp::Outcome;
    use crate::pf::testing::{ALICE, BOB, FOCUS, PHONE, Session, World};

    fn hold(sdp: String) -> String {
        sdp.replace("a=sendrecv", "a=inactive")
    }

    /// Alice and Bob are in a session.
    fn live() -> (World, Session, Session) {
        let mut world = World::new();
        let (invite, media) = world.invite_one_to_one(ALICE, None);
        let (offered, _, message) = world.request(BOB, "INVITE");
        let bob = world.pick_up(offered, &message, PHONE);
        let alice = world.accepted(FOCUS, invite, media);
        (world, alice, bob)
    }

    #[test]
    fn a_change_is_mirrored_and_its_answer_comes_back() {
        let (mut world, alice, bob) = live();
        let asked = world.modify(&alice, "INVITE", hold);
        let (mirrored, dialog, message) = world.request(BOB, "INVITE");
        assert_eq!(dialog, Some(bob.dialog));
        let sdp = headers::sdp_of(&message).unwrap_or_default();
        assert!(sdp.contains("a=inactive\r\n") && sdp.contains("msrp://pf.home1.example"), "{sdp}");
        world.agree(&bob, mirrored, hold);
        world.ack(BOB);
        let (_, _, response) = world.response(FOCUS, 200);
        assert!(headers::sdp_of(&response).is_some_and(|sdp| sdp.contains("a=inactive\r\n")));
        world.confirm(&alice, asked);
        assert!(world.has_cited("DGC-5-01"));
        // What a sender writes to a user on hold waits for the end of the hold.
        world.write(&alice, "later");
        assert_eq!(world.sent(FOCUS), Outcome::Accepted);
        world.assert_quiet(BOB);
        world.write(&bob, "to one on hold");
        assert_eq!(world.sent(BOB), Outcome::Refused(403));
        let asked = world.modify(&bob, "INVITE", |sdp| sdp.replace("o=- 900", "o=- 950"));
        let (mirrored, _, _) = world.request(FOCUS, "INVITE");
        world.agree(&alice, mirrored, |sdp| sdp);
        world.ack(FOCUS);
        world.response(BOB, 200);
        world.confirm(&bob, asked);
        world.delivered(&["later"]);
    }

    #[test]
    fn a_refusal_comes_back_and_leaves_the_session_as_it_was() {
        let (mut world, alice, _) = live();
        world.modify(&alice, "INVITE", hold);
        let (mirrored, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, mirrored, 488);
        world.response(FOCUS, 488);
        world.write(&alice, "still here");
        assert_eq!(world.sent(FOCUS), Outcome::Accepted);
        world.delivered(&["still here"]);
    }

    #[test]
    fn a_refresh_stays_on_its_leg() {
        let (mut world, alice, _) = live();
        for method in ["UPDATE", "INVITE"] {
            let refresh = Builder::request(method, "").push("Supported", "timer").push("Session-Expires", "600;refresher=uac");
            let asked = world.send_in(&alice, refresh);
            let (_, _, response) = world.response(FOCUS, 200);
            assert_eq!(headers::sdp_of(&response).is_some(), method == "INVITE");
            if method == "INVITE" {
                world.confirm(&alice, asked);
            }
        }
        world.assert_quiet(BOB);
    }

    #[test]
    fn where_the_pf_takes_part_for_the_user_it_answers_itself() {
        let mut world = World::new();
        world.register(0, None);
        let (invite, media) = world.invite_one_to_one(ALICE, None);
        let alice = world.accepted(FOCUS, invite, media);
        let asked = world.modify(&alice, "INVITE", hold);
        world.response(FOCUS, 200);
        world.confirm(&alice, asked);
        world.assert_quiet(BOB);
    }

    #[test]
    fn a_change_that_meets_another_waits() {
        let (mut world, alice, bob) = live();
        world.modify(&alice, "INVITE", hold);
        let (mirrored, _, _) = world.request(BOB, "INVITE");
        world.send_in(&bob, Builder::request("UPDATE", ""));
        world.response(BOB, 491);
        world.answer(BOB, mirrored, 488);
        world.response(FOCUS, 488);
    }

    #[test]
    fn a_change_may_be_taken_back() {
        let (mut world, alice, _) = live();
        let asked = world.modify(&alice, "INVITE", hold);
        let (mirrored, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, mirrored, 180);
        // The PF answers 100 first: before that the request cannot be cancelled.
        world.pass(std::time::Duration::from_millis(250));
        world.cancel(FOCUS, asked);
        world.response(FOCUS, 487);
        assert!(matches!(world.event(BOB), Some(crate::endpoint::Event::Cancelled { .. })));
        world.answer(BOB, mirrored, 487);
        world.write(&alice, "still here");
        assert_eq!(world.sent(FOCUS), Outcome::Accepted);
        world.delivered(&["still here"]);
    }

    #[test]
    fn a_user_who_answers_481_is_gone() {
        let (mut world, alice, _) = live();
        world.modify(&alice, "INVITE", hold);
        let (mirrored, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, mirrored, 481);
        world.response(FOCUS, 481);
        world.request(FOCUS, "BYE");
    }

    #[test]
    fn who_ends_the_session_ends_the_change() {
        let (mut world, alice, bob) = live();
        world.modify(&alice, "INVITE", hold);
        world.request(BOB, "INVITE");
        world.bye(&bob, None);
        world.response(FOCUS, 481);
        world.request(FOCUS, "BYE");
    }
}
