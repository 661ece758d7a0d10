//! 8.3.2.9: the Client is lost, the PF stays in the media path, subscribes to the focus and stores.
//!
//! A BYE tells what it means by its Reason (AMB-10); silence tells too (AMB-11). The end of the
//! focus leg is here as well, since it decides what becomes of stored data.
//!
//! ```text
//! BYE Client, SIP cause other than 200   Live | DrainPf | DrainRj -> Held      SUBSCRIBE
//! BYE Client, SIP cause 200              Live | DrainPf | DrainRj -> Gone      BYE focus, discard
//! BYE Client, no usable SIP cause        Live | DrainPf | DrainRj -> Dormant   BYE focus, keep
//! BYE focus                              Live | Held -> Dormant                BYE Client
//! BYE focus                              DrainPf | DrainRj                     finish, then BYE Client
//! SEND from the focus                    any of these                          stored, then 200
//! ```

use crate::clause::Clause;
use crate::endpoint::{DialogId, MsrpId, TransactionId};
use crate::msrp::Incoming;
use crate::pf::core::Core;
use crate::pf::deferred::{Item, Origin};
use crate::pf::one_to_one::{Shelf, delivery};
use crate::pf::procedures::{active_group, group_delivery, inactive_group, registration_event, restart, session_modification};
use crate::pf::schedule::Alarm;
use crate::pf::state::{Delivery, GroupId, Phase, Side};
use crate::time::Instant;
use crate::wire::msrp::FailureReport;
use crate::wire::sip::header::Reason;
use crate::wire::sip::{Message, Name};

const BYE_HANDLED: Clause = Clause::of("DGC-9-01");
const STAYS: Clause = Clause::of("DGC-9-02");
const STORES: Clause = Clause::of("DGC-9-03");
const LEAVES_DURING_DELIVERY: Clause = Clause::of("DGC-1.2-22");
const DISCARDS: Clause = Clause::of("DGC-1.2-23");

/// What a BYE of the Client says of its user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pf) enum Departure {
    /// Not left voluntarily.
    Lost,
    /// Left voluntarily.
    Left,
    /// No usable SIP cause.
    Unclear,
}

/// How a peer that sends no BYE shows that it is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pf) enum Silence {
    /// The session timer ran out.
    SessionTimer,
    /// A request within the dialog was answered 408 or 481, or not at all.
    Unanswered,
    /// The MSRP connection broke, or messages are not answered.
    Media,
    /// Our 2xx was never acknowledged.
    NoAck,
    /// The ACK brought no medium that could be used.
    NoMedia,
    /// The user was de-registered.
    Deregistered,
}

/// Answers a BYE and decides what becomes of the other leg.
pub(in crate::pf) fn on_bye(core: &mut Core, now: Instant, bye: TransactionId, group: GroupId, side: Side, message: &Message) {
    core.because(BYE_HANDLED, "the BYE is answered and the media of its leg released").reply(now, bye, 200);
    core.detach(now, group, side);
    let reason = reason_of(message);
    match side {
        Side::Focus => on_focus_bye(core, now, group, reason),
        Side::Client => match departure(message) {
            Departure::Lost => lost(core, now, group, true),
            Departure::Unclear if core.policy.bye_without_reason_defers => lost(core, now, group, true),
            Departure::Left => left(core, now, group, reason.as_deref(), true),
            Departure::Unclear => left(core, now, group, reason.as_deref(), false),
        },
    }
}

/// Answers a BYE in a dialog that is over for the PF (RFC 3261 15.1.2). One that crosses the BYE by which
/// the PF gave up a Client that seemed lost still tells when the user has left.
pub(in crate::pf) fn on_late_bye(core: &mut Core, now: Instant, bye: TransactionId, dialog: DialogId, message: &Message) {
    core.reply(now, bye, 200);
    let group = core.groups.iter().zip(0..).find(|(group, _)| group.parting == Some(dialog));
    let Some(group) = group.map(|(_, number)| GroupId(number)) else { return };
    core[group].parting = None;
    if departure(message) == Departure::Left && matches!(core[group].phase, Phase::Held | Phase::Dormant) {
        core.because(BYE_HANDLED, "the user was not lost, but has left in the same moment");
        left(core, now, group, reason_of(message).as_deref(), true);
    }
}

/// The first SIP value of Reason decides; protocols compare in any letter case (AMB-10).
pub(in crate::pf) fn departure(message: &Message) -> Departure {
    let mut reasons = message.elements(Name::Reason).filter_map(|value| Reason::parse(value).ok());
    match reasons.find(|reason| reason.protocol.eq_ignore_ascii_case("SIP")).and_then(|reason| reason.cause()) {
        Some(200) => Departure::Left,
        Some(_) => Departure::Lost,
        None => Departure::Unclear,
    }
}

/// The Reason that is passed on: what is malformed in it stays behind.
fn reason_of(message: &Message) -> Option<String> {
    let values: Vec<&str> = message.elements(Name::Reason).filter(|value| is_well_formed(value)).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

fn is_well_formed(value: &str) -> bool {
    Reason::parse(value).is_ok_and(|reason| {
        let complete = reason.params.iter().all(|(name, value)| !name.is_empty() && value.is_none_or(|value| !value.is_empty()));
        complete && (!reason.params.has("cause") || reason.cause().is_some())
    })
}

/// The Client leg is gone although the user did not leave: the PF holds the focus leg.
fn lost(core: &mut Core, now: Instant, group: GroupId, stop: bool) {
    restart::withdraw(core, now, group);
    if core[group].focus_leg.is_some() {
        core.because(STAYS, "the user has not left: the PF stays in the session with the focus");
        hold(core, now, group);
    } else {
        core.finish(now, group, false);
        core[group].phase = Phase::Dormant;
    }
    group_delivery::on_over(core, now, group, stop);
    group_delivery::catch_up(core, now, group);
}

/// The PF takes part for an absent user from now on.
pub(in crate::pf) fn hold(core: &mut Core, now: Instant, group: GroupId) {
    core[group].phase = Phase::Held;
    core[group].held_since = now;
    core.journal.touch(group);
    core.subscribe(now, group);
    registration_event::watch(core, now, core[group].user);
}

/// The user has left, or nothing says otherwise: the focus leg ends too.
fn left(core: &mut Core, now: Instant, group: GroupId, reason: Option<&str>, discard: bool) {
    restart::withdraw(core, now, group);
    if core[group].phase.is_delivering() && discard {
        core.because(LEAVES_DURING_DELIVERY, "the user leaves in the middle of the delivery");
        core.because(DISCARDS, "what is left is discarded");
    }
    core.hang_up(now, group, Side::Focus, reason);
    core.finish(now, group, discard);
    if discard {
        delivery::interrupt(core, now, Shelf::Group(group));
    }
    group_delivery::on_over(core, now, group, false);
}

/// The focus has ended its leg.
fn on_focus_bye(core: &mut Core, now: Instant, group: GroupId, reason: Option<String>) {
    let gone = reason.as_deref().and_then(|reason| Reason::parse(reason).ok()).and_then(|reason| reason.cause()) == Some(410);
    core[group].closed |= gone;
    focus_gone(core, now, group, reason);
}

/// The focus leg is of no use any more, or the CF says that the conference is over.
pub(in crate::pf) fn on_focus_gone(core: &mut Core, now: Instant, group: GroupId, why: &'static str) {
    core.note(why);
    core.hang_up(now, group, Side::Focus, None);
    focus_gone(core, now, group, None);
}

fn focus_gone(core: &mut Core, now: Instant, group: GroupId, reason: Option<String>) {
    core.journal.touch(group);
    match core[group].phase {
        Phase::Live if core[group].deferred.is_drained() => {
            core.hang_up(now, group, Side::Client, reason.as_deref());
            core[group].phase = Phase::Dormant;
        }
        // What is on its way to the Client is finished first, then it gets the BYE.
        Phase::Live | Phase::DrainPf(_) | Phase::DrainRj => inactive_group::adopt(core, now, group, reason),
        Phase::Held => {
            core.schedule.stop(Alarm::Retry(group));
            core[group].phase = Phase::Dormant;
        }
        Phase::Inviting { .. } | Phase::Joining { .. } | Phase::Restarting(_) | Phase::Dormant | Phase::Gone => {}
    }
}

/// A side is gone without a BYE.
pub(in crate::pf) fn on_silence(core: &mut Core, now: Instant, group: GroupId, side: Side, silence: Silence) {
    if side == Side::Focus {
        return on_focus_gone(core, now, group, "the focus is gone without a BYE");
    }
    let detected = counts_as_loss(core, silence) || core[group].phase.is_delivering();
    if !detected && matches!(silence, Silence::Media | Silence::Deregistered) {
        return core.note("the policy does not take this for a loss");
    }
    core.note("the Client is gone without a BYE");
    give_up(core, now, group);
    if detected {
        lost(core, now, group, true);
    } else {
        left(core, now, group, None, false);
    }
}

/// Ends the dialog with a Client that seems lost.
fn give_up(core: &mut Core, now: Instant, group: GroupId) {
    core[group].parting = core[group].client.as_ref().map(|leg| leg.dialog);
    core.hang_up(now, group, Side::Client, None);
}

const fn counts_as_loss(core: &Core, silence: Silence) -> bool {
    let policy = &core.policy.loss;
    match silence {
        Silence::SessionTimer => policy.session_timer,
        Silence::Unanswered => policy.in_dialog_408_481,
        Silence::Media => policy.msrp_disconnect,
        Silence::Deregistered => policy.deregistration,
        Silence::NoAck | Silence::NoMedia => true,
    }
}

/// A message of the focus: it is stored first, whoever is there to take it.
pub(in crate::pf) fn on_message(core: &mut Core, now: Instant, group: GroupId, session: MsrpId, incoming: Incoming) {
    if incoming.content_type.is_empty() {
        return core.endpoint.msrp_answer(now, session, incoming.token, 200);
    }
    let user = core[group].user;
    if incoming.body.len() > core.policy.max_size || !core.has_room(user) {
        core.note("a message is beyond the limits of the store: refused, the others are kept");
        return core.endpoint.msrp_answer(now, session, incoming.token, 413);
    }
    core.journal.last_number += 1;
    let number = core.journal.last_number;
    let wants_report = incoming.failure_report != FailureReport::No;
    let origin = wants_report.then(|| Origin { session, message_id: incoming.message_id.clone() });
    let item = Item { origin, ..Item::new(now, &incoming.content_type, incoming.body.clone()) };
    core.users[user].stored += 1;
    core.because(STORES, "the message is acknowledged once it is durable");
    core.commit_message(group, number, &item, session, incoming);
    core[group].deferred.push(number, item);
}

/// The process before this one died: the PF takes its sessions up again.
///
/// Media does not outlive a process. The focus gets a re-INVITE with a new path; the Client, whose
/// connection is gone, gets a BYE and counts as lost.
pub(in crate::pf) fn resume(core: &mut Core, now: Instant) {
    for index in 0..core.groups.len() {
        let group = GroupId(u32::try_from(index).unwrap_or(u32::MAX));
        give_up(core, now, group);
        if core[group].focus_leg.is_some() {
            hold(core, now, group);
            session_modification::repair(core, now, group);
        }
    }
}

/// The user was de-registered, or the device that takes part was (AMB-45).
pub(in crate::pf) fn on_deregistered(core: &mut Core, now: Instant, group: GroupId) {
    delivery::interrupt(core, now, Shelf::Group(group));
    match core[group].phase {
        Phase::DrainPf(Delivery::Invited { .. }) => active_group::withdraw(core, now, group),
        Phase::Live | Phase::DrainRj | Phase::Restarting(_) | Phase::DrainPf(Delivery::Sending) => {
            on_silence(core, now, group, Side::Client, Silence::Deregistered);
        }
        Phase::Held => core.schedule.stop(Alarm::Retry(group)),
        Phase::Inviting { .. } | Phase::Joining { .. } | Phase::Dormant | Phase::Gone => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    use crate::engine::CommitOutcome;
    use crate::msrp::Outcome;
    use crate::pf::testing::{BOB, FOCUS, PHONE, Session, World};
    use crate::wire::sip::Builder;
    use std::time::Duration;

    fn meaning(reason: &str) -> Departure {
        let text = format!("BYE sip:a@b.example SIP/2.0\r\n{reason}Content-Length: 0\r\n\r\n");
        departure(&Message::decode(Bytes::from(text)).expect("a message"))
    }

    #[test]
    fn the_first_sip_value_decides() {
        assert_eq!(meaning("Reason: SIP;cause=503;text=\"Radio, lost\"\r\n"), Departure::Lost);
        assert_eq!(meaning("Reason: sip ; cause = 503 ; text=\"because=200\"\r\n"), Departure::Lost);
        assert_eq!(meaning("Reason: Q.850;cause=16, SIP;cause=503\r\n"), Departure::Lost);
        assert_eq!(meaning("Reason: SIP;cause=200\r\nReason: SIP;cause=503\r\n"), Departure::Left);
    }

    #[test]
    fn what_names_no_sip_cause_is_unclear() {
        for reason in ["", "Reason: Q.850;cause=16\r\n", "Reason: SIP\r\n", "Reason: SIP;cause=\r\n", "Reason: SIP;cause=-1\r\n"] {
            assert_eq!(meaning(reason), Departure::Unclear, "{reason}");
        }
    }

    fn live(knobs: &[(&str, &str)]) -> (World, Session, Session) {
        let mut world = World::with(knobs);
        let (focus, bob, _) = world.established();
        (world, focus, bob)
    }

    /// The Client is lost: what comes is stored, and delivered when the Client is back.
    fn assert_held(world: &mut World, focus: &Session) {
        world.subscribed();
        world.missed(focus, &["one"]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        world.delivered(&["one"]);
    }

    #[test]
    fn a_cause_other_than_200_keeps_the_focus_leg() {
        let (mut world, focus, bob) = live(&[]);
        world.bye(&bob, Some("SIP;cause=480"));
        assert_held(&mut world, &focus);
        assert!(world.has_cited("DGC-9-02") && world.has_cited("DGC-9-03") && world.has_cited("DGC-9-04"));
    }

    #[test]
    fn who_leaves_is_left_out() {
        for reason in [Some("SIP;cause=200;text=\"Call completed\""), Some("Q.850;cause=16"), None] {
            let (mut world, _, bob) = live(&[]);
            world.bye(&bob, reason);
            let (bye, _, message) = world.request(FOCUS, "BYE");
            assert_eq!(message.value(Name::Reason), reason);
            world.answer(FOCUS, bye, 200);
            world.register(600_000, None);
            world.assert_quiet(BOB);
            world.assert_quiet(FOCUS);
        }
    }

    #[test]
    fn a_malformed_reason_stays_behind() {
        for reason in ["SIP;cause=", "SIP;cause=-1", "SIP;cause=soon"] {
            let (mut world, _, bob) = live(&[]);
            world.bye(&bob, Some(reason));
            let (_, _, message) = world.request(FOCUS, "BYE");
            assert_eq!(message.value(Name::Reason), None, "{reason}");
        }
    }

    #[test]
    fn the_policy_may_take_a_bye_without_reason_for_a_loss() {
        let (mut world, focus, bob) = live(&[("bye.no-reason", "defer")]);
        world.bye(&bob, None);
        assert_held(&mut world, &focus);
    }

    #[test]
    fn a_broken_connection_is_a_loss() {
        let (mut world, focus, bob) = live(&[]);
        world.break_media(&bob);
        world.assert_quiet(BOB);
        world.pass(Duration::from_secs(1));
        let (bye, _, _) = world.request(BOB, "BYE");
        world.answer(BOB, bye, 200);
        assert_held(&mut world, &focus);
    }

    #[test]
    fn the_policy_may_pass_over_a_broken_connection() {
        let (mut world, _, bob) = live(&[("loss.detect", "session-timer")]);
        world.break_media(&bob);
        world.pass(Duration::from_secs(60));
        world.assert_quiet(BOB);
        world.assert_quiet(FOCUS);
    }

    #[test]
    fn a_bye_that_comes_after_its_connection_broke_decides() {
        let (mut world, _, bob) = live(&[]);
        world.break_media(&bob);
        world.bye(&bob, Some("SIP;cause=200"));
        world.request(FOCUS, "BYE");
        world.assert_quiet(BOB);
    }

    #[test]
    fn a_connection_that_never_comes_is_a_loss() {
        let mut world = World::new();
        let (invite, media) = world.invite();
        let (offered, _, _) = world.request(BOB, "INVITE");
        world.pick_up_without_media(offered, PHONE);
        world.accepted(FOCUS, invite, media);
        world.pass(Duration::from_secs(33));
        world.request(BOB, "BYE");
        world.subscribed();
    }

    #[test]
    fn a_deregistration_is_a_loss() {
        let (mut world, focus, _) = live(&[]);
        world.register(0, None);
        let (bye, _, _) = world.request(BOB, "BYE");
        world.answer(BOB, bye, 200);
        assert_held(&mut world, &focus);
    }

    #[test]
    fn what_the_client_had_not_answered_is_missed() {
        let (mut world, focus, bob) = live(&[]);
        world.missed(&focus, &["zero"]);
        assert_eq!(world.read(BOB, 0), "zero");
        world.lose(&bob);
        world.subscribed();
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        world.delivered(&["zero"]);
    }

    #[test]
    fn the_end_of_the_focus_reaches_the_client_with_its_reason() {
        let (mut world, focus, _) = live(&[]);
        world.bye(&focus, Some("SIP;cause=410;text=\"Gone\""));
        let (bye, _, message) = world.request(BOB, "BYE");
        assert_eq!(message.value(Name::Reason), Some("SIP;cause=410;text=\"Gone\""));
        world.answer(BOB, bye, 200);
        world.rejoin(crate::pf::testing::SHOWN, PHONE);
        world.response(BOB, 410);
    }

    #[test]
    fn byes_that_cross_are_both_answered() {
        let (mut world, focus, bob) = live(&[]);
        world.bye(&focus, None);
        let (theirs, _, _) = world.request(BOB, "BYE");
        world.bye(&bob, None);
        world.answer(BOB, theirs, 200);
        world.assert_quiet(FOCUS);
    }

    #[test]
    fn a_user_whose_leaving_crosses_the_bye_of_the_pf_has_left() {
        let (mut world, _, bob) = live(&[]);
        world.register(0, None);
        let (theirs, _, _) = world.request(BOB, "BYE");
        world.bye(&bob, Some("SIP;cause=200;text=\"Call completed\""));
        world.answer(BOB, theirs, 200);
        let (_, message) = world.skip_to_request(FOCUS, "BYE");
        assert_eq!(message.value(Name::Reason), Some("SIP;cause=200;text=\"Call completed\""));
    }

    #[test]
    fn data_of_a_group_that_has_ended_comes_first_when_the_group_comes_back() {
        let (mut world, focus, bob) = live(&[]);
        world.lose(&bob);
        world.subscribed();
        world.missed(&focus, &["one"]);
        world.bye(&focus, None);
        world.invite();
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        world.delivered(&["one"]);
    }

    #[test]
    fn a_message_is_acknowledged_once_it_is_durable() {
        let (mut world, focus, bob) = live(&[]);
        world.lose(&bob);
        world.subscribed();
        world.slow = true;
        world.write(&focus, "one");
        world.assert_quiet(FOCUS);
        world.commit();
        assert_eq!(world.sent(FOCUS), Outcome::Accepted);
    }

    #[test]
    fn a_message_that_cannot_be_stored_is_refused_and_the_others_are_kept() {
        let (mut world, focus, bob) = live(&[]);
        world.lose(&bob);
        world.subscribed();
        world.missed(&focus, &["one"]);
        world.commits.push_back(CommitOutcome::Failed);
        world.write(&focus, "two");
        assert_eq!(world.sent(FOCUS), Outcome::Refused(413));
        world.missed(&focus, &["three"]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        world.delivered(&["one", "three"]);
    }

    #[test]
    fn beyond_the_limit_messages_are_refused() {
        let (mut world, focus, bob) = live(&[("store.max-messages", "1"), ("store.max-size", "5")]);
        world.lose(&bob);
        world.subscribed();
        world.write(&focus, "too long");
        assert_eq!(world.sent(FOCUS), Outcome::Refused(413));
        world.missed(&focus, &["one"]);
        world.write(&focus, "two");
        assert_eq!(world.sent(FOCUS), Outcome::Refused(413));
    }

    #[test]
    fn a_large_message_is_delivered_as_it_was() {
        let (mut world, focus, bob) = live(&[]);
        world.lose(&bob);
        world.subscribed();
        let text = "0123456789".repeat(5_000);
        world.missed(&focus, &[&text]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        assert_eq!(world.read(BOB, 200), text);
    }

    #[test]
    fn what_was_acknowledged_outlives_the_process() {
        let (mut world, mut focus, bob) = live(&[]);
        world.lose(&bob);
        world.subscribed();
        world.missed(&focus, &["one"]);
        world.slow = true;
        world.write(&focus, "two");
        world.slow = false;
        world.restart();
        assert_eq!(world.sent(FOCUS), Outcome::Lost);
        let (repair, _) = world.skip_to_request(FOCUS, "INVITE");
        world.repaired(&mut focus, repair);
        world.missed(&focus, &["three"]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        world.delivered(&["one", "three"]);
    }

    #[test]
    fn a_client_of_the_process_before_gets_a_bye() {
        let (mut world, _, _) = live(&[]);
        world.restart();
        world.skip_to_request(BOB, "BYE");
    }

    #[test]
    fn a_user_who_leaves_while_the_pf_starts_again_has_left() {
        let (mut world, mut focus, bob) = live(&[]);
        world.restart();
        let (repair, _) = world.skip_to_request(FOCUS, "INVITE");
        world.repaired(&mut focus, repair);
        let (theirs, _) = world.skip_to_request(BOB, "BYE");
        world.bye(&bob, Some("SIP;cause=200;text=\"Call completed\""));
        world.answer(BOB, theirs, 200);
        let (_, message) = world.skip_to_request(FOCUS, "BYE");
        assert_eq!(message.value(Name::Reason), Some("SIP;cause=200;text=\"Call completed\""));
    }

    #[test]
    fn a_session_timer_that_runs_out_is_a_loss() {
        let (mut world, focus, _) = live(&[]);
        // The focus refreshes; Bob's 200 had no session timer, so only the focus leg has one.
        world.pass(Duration::from_secs(1_700));
        world.send_in(
            &focus,
            Builder::request("UPDATE", "").push("Supported", "timer").push("Session-Expires", "1800;refresher=uac"),
        );
        world.response(FOCUS, 200);
        world.pass(Duration::from_secs(1_700));
        world.assert_quiet(BOB);
        world.pass(Duration::from_secs(100));
        world.request(FOCUS, "BYE");
        world.request(BOB, "BYE");
    }
}
