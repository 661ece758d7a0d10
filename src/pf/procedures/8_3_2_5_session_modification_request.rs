//! 8.3.2.5, by 8.2.2.5 as reconstructed: a re-INVITE or UPDATE on a leg of an established session.
//!
//! A change of the media goes to the other leg, and the answer comes back. A refresh of the session
//! timer stays on its leg, for each leg has a timer of its own; so does a change that comes while
//! there is no other leg (AMB-19).
//!
//! ```text
//! new offer, other leg up      mirrored; 2xx and refusal come back
//! same offer, none, no leg     answered 200 with the present description
//! 408, 481, BYE of other leg   as when there is no other leg: the status would end this one too
//! ```

use std::time::Duration;

use crate::clause::Clause;
use crate::endpoint::TransactionId;
use crate::pf::core::{Call, Core};
use crate::pf::headers::{self, group_contact, own_contact, with_body};
use crate::pf::leg::{MIN_SE, SESSION_EXPIRES, interval_too_small};
use crate::pf::procedures::deferred_handling::{self, Silence};
use crate::pf::schedule::Alarm;
use crate::pf::state::{GroupId, Modification, Side};
use crate::time::Instant;
use crate::wire::sip::{Builder, Message, Method};

const AS_B2BUA: Clause = Clause::of("DGC-5-01");

/// Takes a re-INVITE or UPDATE.
pub(in crate::pf) fn start(core: &mut Core, now: Instant, asked: TransactionId, group: GroupId, side: Side, message: &Message) {
    if interval_too_small(message) {
        let refusal = core.endpoint.response(asked, 422).push("Min-SE", MIN_SE);
        core.endpoint.respond(now, asked, refusal);
        return;
    }
    if core[group].modification.is_some() {
        return core.reply(now, asked, 491);
    }
    let Some(offer) = headers::sdp_of(message) else { return answer_locally(core, now, asked, (group, side), message, None) };
    let Some(remote) = core.medium_of(&offer) else { return core.reply(now, asked, 488) };
    let known = core[group].leg(side).and_then(|leg| leg.media.remote.as_ref()).map(|known| known.origin.clone());
    let other_is_up = core[group].leg(side.opposite()).is_some_and(|leg| leg.acknowledged);
    if known.as_ref() == Some(&remote.origin) || !other_is_up {
        answer_locally(core, now, asked, (group, side), message, Some(offer));
    } else {
        mirror(core, now, asked, (group, side), message, offer);
    }
}

/// 200 with our own description, and the session timer of this leg.
fn answer_locally(
    core: &mut Core,
    now: Instant,
    asked: TransactionId,
    (group, side): (GroupId, Side),
    message: &Message,
    offer: Option<String>,
) {
    core.because(AS_B2BUA, "no other leg is concerned: answered by the PF");
    let config = core.endpoint.config().clone();
    let remote = offer.as_deref().and_then(|offer| core.medium_of(offer));
    let Some(leg) = core[group].leg_mut(side) else { return };
    let sdp = match offer.as_deref().map(|offer| (offer, remote)) {
        Some((offer, Some(remote))) if leg.media.remote.as_ref() != Some(&remote) => {
            let attributes = leg.media.sdp.clone();
            Some(leg.media.answer(&config, offer, remote, &attributes))
        }
        Some(_) => Some(leg.media.sdp.clone()),
        None if message.method() == Some(Method::Invite) => Some(leg.media.sdp.clone()),
        None => None,
    };
    finish(core, now, asked, (group, side), message, sdp);
}

/// Sends the 200 of a change and takes over what the request said of the leg.
fn finish(
    core: &mut Core,
    now: Instant,
    asked: TransactionId,
    (group, side): (GroupId, Side),
    message: &Message,
    sdp: Option<String>,
) {
    let contact = contact_of(core, group, side);
    core.reply_with_sdp(now, asked, contact, message, sdp.as_deref());
    let Some(leg) = core[group].leg_mut(side) else { return };
    leg.learn(message);
    core.journal.touch(group);
    core.start_media(now, group, side);
    core.pump(now, group);
}

/// Passes a new offer on to the other leg.
fn mirror(core: &mut Core, now: Instant, asked: TransactionId, (group, side): (GroupId, Side), message: &Message, offer: String) {
    let other = side.opposite();
    let contact = contact_of(core, group, other);
    let config = core.endpoint.config().clone();
    let Some(leg) = core[group].leg_mut(other) else { return };
    let (before, dialog) = (leg.media.clone(), leg.dialog);
    let sdp = leg.media.offer(&config, &offer, None);
    let interval = if leg.interval == 0 { SESSION_EXPIRES } else { leg.interval };
    let updates = message.method() == Some(Method::Update) && leg.updates;
    let request = Builder::request(if updates { "UPDATE" } else { "INVITE" }, "")
        .push("Max-Forwards", headers::hops(message))
        .push("Contact", contact)
        .push("Supported", "timer")
        .push("Session-Expires", interval);
    core.because(AS_B2BUA, "the change goes to the other leg");
    let call = core.endpoint.send_in(now, dialog, with_body(request, &sdp, &[]));
    let Some(call) = call else {
        restore(core, group, other, before);
        return core.reply(now, asked, 500);
    };
    core.journal.touch(group);
    core.calls.insert(call, Call::Modification(group, other));
    core.asked.insert(asked, group);
    core[group].modification = Some(Modification { from: side, asked, offer, call, before });
}

/// Takes the final response of the other leg.
pub(in crate::pf) fn handle(
    core: &mut Core,
    now: Instant,
    (group, side): (GroupId, Side),
    call: TransactionId,
    response: &Message,
) {
    let status = response.status().unwrap_or(500);
    if status >= 300 {
        return on_failed(core, now, (group, side), status);
    }
    acknowledge(core, now, (group, side), call, response);
    let answer = headers::sdp_of(response).unwrap_or_default();
    let remote = core.medium_of(&answer);
    if let (Some(leg), Some(remote)) = (core[group].leg_mut(side), remote) {
        leg.media.remote = Some(remote);
        leg.learn(response);
        core.start_media(now, group, side);
    }
    let Some(modification) = core[group].modification.take() else { return };
    core.asked.remove(&modification.asked);
    let Some(request) = core.endpoint.request(modification.asked).cloned() else { return };
    let config = core.endpoint.config().clone();
    let offered = core.medium_of(&modification.offer);
    let Some(leg) = core[group].leg_mut(modification.from) else { return };
    let sdp = offered.map(|remote| leg.media.answer(&config, &modification.offer, remote, &answer));
    core.because(AS_B2BUA, "the answer of the other leg is passed on");
    finish(core, now, modification.asked, (group, modification.from), &request, sdp);
}

/// The other leg refuses: the session stays as it was. 408 and 481 end that leg, and passed on they
/// would end the one that asked as well (RFC 5057 5.1).
pub(in crate::pf) fn on_failed(core: &mut Core, now: Instant, (group, side): (GroupId, Side), status: u16) {
    let Some(modification) = core[group].modification.as_ref() else { return };
    let before = modification.before.clone();
    restore(core, group, side, before);
    if matches!(status, 408 | 481) {
        return deferred_handling::on_silence(core, now, group, side, Silence::Unanswered);
    }
    let Some(modification) = core[group].modification.take() else { return };
    core.because(AS_B2BUA, "the refusal of the other leg is passed on").pass_on(now, modification.asked, status);
}

/// The side that asked for a change has cancelled it; its request is answered already.
pub(in crate::pf) fn on_cancelled(core: &mut Core, now: Instant, group: GroupId, asked: TransactionId) {
    let Some(modification) = core[group].modification.take_if(|modification| modification.asked == asked) else { return };
    core.calls.remove(&modification.call);
    core.endpoint.cancel(now, modification.call);
    restore(core, group, modification.from.opposite(), modification.before);
}

/// A leg goes away while a change is under way. When it is the one that asked, its request gets the
/// answer that RFC 3261 15.1.2 recommends; when it is the other, what becomes of the first is not
/// decided yet.
pub(in crate::pf) fn abandon(core: &mut Core, now: Instant, group: GroupId, side: Side) {
    let Some(modification) = core[group].modification.as_ref() else { return };
    let (call, from) = (modification.call, modification.from);
    core.calls.remove(&call);
    if from != side {
        core.schedule.set(Alarm::Abandoned(group), now);
    } else if let Some(modification) = core[group].modification.take() {
        core.pass_on(now, modification.asked, 487);
    }
}

/// The leg that had asked for a change is the only one now: the PF answers by itself (AMB-19).
pub(in crate::pf) fn on_abandoned(core: &mut Core, now: Instant, group: GroupId) {
    let Some(modification) = core[group].modification.take() else { return };
    core.asked.remove(&modification.asked);
    let Some(request) = core.endpoint.request(modification.asked).cloned() else { return };
    answer_locally(core, now, modification.asked, (group, modification.from), &request, Some(modification.offer));
}

/// Half of the session interval is over and the refresh is ours (RFC 4028 10).
pub(in crate::pf) fn refresh(core: &mut Core, now: Instant, group: GroupId, side: Side) {
    let contact = contact_of(core, group, side);
    let Some(leg) = core[group].leg(side) else { return };
    let (dialog, updates, interval, sdp) = (leg.dialog, leg.updates, leg.interval, leg.media.sdp.clone());
    if !core.endpoint.may_offer(dialog) {
        return core.schedule.set(Alarm::Refresh(group, side), now + Duration::from_secs(2));
    }
    let request = Builder::request(if updates { "UPDATE" } else { "INVITE" }, "")
        .push("Contact", contact)
        .push("Supported", "timer")
        .push("Session-Expires", format!("{};refresher=uac", interval.max(MIN_SE)));
    let request = if updates { request } else { with_body(request, &sdp, &[]) };
    core.note("the session timer of this leg is refreshed");
    if let Some(call) = core.endpoint.send_in(now, dialog, request) {
        core.journal.touch(group);
        core.calls.insert(call, Call::Refresh(group, side));
    }
}

/// Takes the final response to a refresh: 408 and 481 mean that the peer is gone (RFC 4028 10).
pub(in crate::pf) fn on_refreshed(
    core: &mut Core,
    now: Instant,
    (group, side): (GroupId, Side),
    call: TransactionId,
    response: &Message,
) {
    match response.status().unwrap_or(500) {
        200..=299 => {
            acknowledge(core, now, (group, side), call, response);
            if let Some(leg) = core[group].leg_mut(side) {
                leg.learn(response);
            }
            // The response may have moved the remote target (RFC 3261 12.2.1.2): it is kept as well.
            core.journal.touch(group);
        }
        408 | 481 => deferred_handling::on_silence(core, now, group, side, Silence::Unanswered),
        491 => {
            // RFC 3261 14.1: 2.1 to 4 s for the owner of the Call-ID, 0 to 2 s for the other.
            let dialog = core[group].leg(side).and_then(|leg| core.endpoint.dialog(leg.dialog));
            let ours = dialog.is_some_and(|dialog| dialog.side == crate::endpoint::Side::Uac);
            let wait = if ours { 2_100 + 10 * core.ids.below(191) } else { 10 * core.ids.below(201) };
            core.schedule.set(Alarm::Refresh(group, side), now + Duration::from_millis(wait));
        }
        405 | 501 => {
            let again = core[group].leg_mut(side).is_some_and(|leg| std::mem::take(&mut leg.updates));
            if again {
                refresh(core, now, group, side);
            }
        }
        _ => core.note("the refresh was refused: the session runs until its interval ends"),
    }
}

/// After a restart the media with the focus is set up anew, by a re-INVITE with a new path.
pub(in crate::pf) fn repair(core: &mut Core, now: Instant, group: GroupId) {
    let contact = contact_of(core, group, Side::Focus);
    let Some(dialog) = core[group].focus_leg.as_ref().map(|leg| leg.dialog) else { return };
    let template = core[group].invitation.sdp.clone();
    let config = core.endpoint.config().clone();
    let Some(leg) = core[group].leg_mut(Side::Focus) else { return };
    let sdp = leg.media.offer(&config, &template, None);
    let request =
        Builder::request("INVITE", "").push("Contact", contact).push("Supported", "timer").push("Session-Expires", SESSION_EXPIRES);
    if let Some(call) = core.endpoint.send_in(now, dialog, with_body(request, &sdp, &[])) {
        core.journal.touch(group);
        core.calls.insert(call, Call::Repair(group));
    }
}

/// Takes the final response to that re-INVITE.
pub(in crate::pf) fn on_repaired(core: &mut Core, now: Instant, group: GroupId, call: TransactionId, response: &Message) {
    let remote = core.medium_in(response);
    let accepted = response.status().is_some_and(|status| status < 300);
    if accepted {
        acknowledge(core, now, (group, Side::Focus), call, response);
    }
    match (core[group].leg_mut(Side::Focus), remote) {
        (Some(leg), Some(remote)) if accepted => {
            leg.media.remote = Some(remote);
            leg.learn(response);
            let session = leg.media.session;
            core.start_media(now, group, Side::Focus);
            core.await_connection(now, group, Side::Focus, session);
        }
        _ => deferred_handling::on_focus_gone(core, now, group, "the focus does not take the session up again"),
    }
}

fn acknowledge(core: &mut Core, now: Instant, (group, side): (GroupId, Side), call: TransactionId, response: &Message) {
    let dialog = core[group].leg(side).map(|leg| leg.dialog);
    if let (Some(Method::Invite), Some(dialog)) = (response.method(), dialog) {
        core.endpoint.acknowledge(now, call, dialog, None);
    }
}

fn restore(core: &mut Core, group: GroupId, side: Side, before: crate::pf::leg::Media) {
    if let Some(leg) = core[group].leg_mut(side) {
        leg.media = before;
    }
}

fn contact_of(core: &Core, group: GroupId, side: Side) -> String {
    match side {
        Side::Client => group_contact(&core[group].shown),
        Side::Focus => own_contact(&core.address()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pf::testing::{BOB, FOCUS, World};
    use crate::wire::sip::Name;

    fn hold(sdp: String) -> String {
        sdp.replace("a=sendrecv", "a=inactive")
    }

    #[test]
    fn a_change_is_mirrored_and_its_answer_comes_back() {
        let mut world = World::new();
        let (focus, bob, _) = world.established();
        let asked = world.modify(&focus, "INVITE", hold);
        let (mirrored, dialog, message) = world.request(BOB, "INVITE");
        assert_eq!(dialog, Some(bob.dialog));
        let sdp = headers::sdp_of(&message).unwrap_or_default();
        assert!(sdp.contains("a=inactive\r\n") && sdp.contains("msrp://pf.home1.example"), "{sdp}");
        world.agree(&bob, mirrored, hold);
        world.ack(BOB);
        let (_, _, response) = world.response(FOCUS, 200);
        assert!(headers::sdp_of(&response).is_some_and(|sdp| sdp.contains("a=inactive\r\n")));
        world.confirm(&focus, asked);
        // A Client that takes nothing now gets what comes once it takes messages again.
        world.missed(&focus, &["later"]);
        world.assert_quiet(BOB);
        let asked = world.modify(&bob, "INVITE", |sdp| sdp.replace("o=- 900", "o=- 950"));
        let (mirrored, _, _) = world.request(FOCUS, "INVITE");
        world.agree(&focus, mirrored, |sdp| sdp);
        world.ack(FOCUS);
        world.response(BOB, 200);
        world.confirm(&bob, asked);
        world.delivered(&["later"]);
    }

    #[test]
    fn a_refusal_comes_back_and_leaves_the_session_as_it_was() {
        let mut world = World::new();
        let (focus, bob, _) = world.established();
        world.modify(&focus, "INVITE", hold);
        let (mirrored, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, mirrored, 488);
        world.response(FOCUS, 488);
        world.missed(&focus, &["still here"]);
        world.delivered(&["still here"]);
        world.write(&bob, "so am I");
        assert_eq!(world.sent(BOB), crate::msrp::Outcome::Accepted);
    }

    #[test]
    fn a_refresh_stays_on_its_leg() {
        let mut world = World::new();
        let (focus, _, _) = world.established();
        for method in ["UPDATE", "INVITE"] {
            let refresh = Builder::request(method, "").push("Supported", "timer").push("Session-Expires", "600;refresher=uac");
            let asked = world.send_in(&focus, refresh);
            let (_, _, response) = world.response(FOCUS, 200);
            assert_eq!(response.value(Name::SessionExpires), Some("600;refresher=uac"));
            assert_eq!(headers::sdp_of(&response).is_some(), method == "INVITE");
            if method == "INVITE" {
                world.confirm(&focus, asked);
            }
        }
        world.assert_quiet(BOB);
    }

    #[test]
    fn a_description_that_says_the_same_keeps_its_version() {
        let mut world = World::new();
        let (focus, bob, _) = world.established();
        world.lose(&bob);
        world.subscribed();
        let mut origins = Vec::new();
        for change in [|sdp: String| sdp, |sdp: String| sdp, hold] {
            let asked = world.modify(&focus, "INVITE", change);
            let (_, _, response) = world.response(FOCUS, 200);
            world.confirm(&focus, asked);
            let sdp = headers::sdp_of(&response).unwrap_or_default();
            origins.push(sdp.lines().nth(1).and_then(|line| line.split(' ').nth(2)).map(str::to_owned));
        }
        assert_eq!(origins, [Some("0".to_owned()), Some("0".to_owned()), Some("1".to_owned())]);
    }

    #[test]
    fn an_interval_that_is_too_small_is_refused() {
        let mut world = World::new();
        let (focus, _, _) = world.established();
        world.send_in(&focus, Builder::request("UPDATE", "").push("Supported", "timer").push("Session-Expires", 60));
        let (_, _, response) = world.response(FOCUS, 422);
        assert_eq!(response.value(Name::MinSe), Some("90"));
    }

    #[test]
    fn while_the_client_is_away_the_pf_answers_itself() {
        let mut world = World::new();
        let (focus, bob, _) = world.established();
        world.lose(&bob);
        world.subscribed();
        let asked = world.modify(&focus, "INVITE", hold);
        world.response(FOCUS, 200);
        world.confirm(&focus, asked);
        world.assert_quiet(BOB);
    }

    #[test]
    fn a_client_that_answers_481_is_lost_and_the_focus_leg_stays() {
        let mut world = World::new();
        let (focus, _, _) = world.established();
        let asked = world.modify(&focus, "INVITE", hold);
        let (mirrored, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, mirrored, 481);
        world.subscribed();
        world.pass(Duration::ZERO);
        let (_, _, response) = world.response(FOCUS, 200);
        assert!(headers::sdp_of(&response).is_some_and(|sdp| sdp.contains("a=inactive\r\n")));
        world.confirm(&focus, asked);
        world.missed(&focus, &["still here"]);
    }

    #[test]
    fn a_client_that_is_lost_during_a_change_leaves_the_focus_leg_in_place() {
        let mut world = World::new();
        let (focus, bob, _) = world.established();
        let asked = world.modify(&focus, "INVITE", hold);
        world.request(BOB, "INVITE");
        world.lose(&bob);
        world.subscribed();
        world.pass(Duration::ZERO);
        world.response(FOCUS, 200);
        world.confirm(&focus, asked);
        let again = world.modify(&focus, "INVITE", |sdp| sdp);
        world.response(FOCUS, 200);
        world.confirm(&focus, again);
    }

    #[test]
    fn where_a_failed_request_is_no_loss_the_focus_is_left() {
        let mut world = World::with(&[("loss.detect", "none")]);
        let (focus, _, _) = world.established();
        world.modify(&focus, "INVITE", hold);
        let (mirrored, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, mirrored, 481);
        world.response(FOCUS, 487);
        world.request(FOCUS, "BYE");
    }
}
