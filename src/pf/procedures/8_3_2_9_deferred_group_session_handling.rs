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
use crate::endpoint::{MsrpId, TransactionId};
use crate::msrp::Incoming;
use crate::pf::core::Core;
use crate::pf::deferred::{Item, Origin};
use crate::pf::procedures::{group_delivery, session_modification};
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

/// The first SIP value of Reason decides; protocols compare in any letter case (AMB-10).
pub(in crate::pf) fn departure(message: &Message) -> Departure {
    let mut reasons = message.elements(Name::Reason).filter_map(|value| Reason::parse(value).ok());
    match reasons.find(|reason| reason.protocol.eq_ignore_ascii_case("SIP")).and_then(|reason| reason.cause()) {
        Some(200) => Departure::Left,
        Some(_) => Departure::Lost,
        None => Departure::Unclear,
    }
}

fn reason_of(message: &Message) -> Option<String> {
    let values: Vec<&str> = message.elements(Name::Reason).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// The Client leg is gone although the user did not leave: the PF holds the focus leg.
fn lost(core: &mut Core, now: Instant, group: GroupId, stop: bool) {
    if core[group].focus_leg.is_some() {
        core.because(STAYS, "the user has not left: the PF stays in the session with the focus");
        hold(core, now, group);
    } else {
        core.finish(now, group, false);
        core[group].phase = Phase::Dormant;
    }
    group_delivery::on_over(core, now, group, stop);
}

/// The PF takes part for an absent user from now on.
pub(in crate::pf) fn hold(core: &mut Core, now: Instant, group: GroupId) {
    core[group].phase = Phase::Held;
    core[group].held_since = now;
    core.journal.touch(group);
    core.subscribe(now, group);
}

/// The user has left, or nothing says otherwise: the focus leg ends too.
fn left(core: &mut Core, now: Instant, group: GroupId, reason: Option<&str>, discard: bool) {
    let draining = matches!(core[group].phase, Phase::DrainPf(_) | Phase::DrainRj);
    if draining && discard {
        core.because(LEAVES_DURING_DELIVERY, "the user leaves in the middle of the delivery");
        core.because(DISCARDS, "what is left is discarded");
    }
    core.hang_up(now, group, Side::Focus, reason);
    core.finish(now, group, discard);
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
        Phase::Live => {
            core[group].phase = Phase::DrainRj;
            core[group].closing = Some(reason);
        }
        Phase::DrainPf(_) | Phase::DrainRj => core[group].closing = Some(reason),
        Phase::Held => {
            core.schedule.stop(Alarm::Retry(group));
            core[group].phase = Phase::Dormant;
        }
        Phase::Inviting { .. } | Phase::Joining { .. } | Phase::Dormant | Phase::Gone => {}
    }
}

/// A side is gone without a BYE.
pub(in crate::pf) fn on_silence(core: &mut Core, now: Instant, group: GroupId, side: Side, silence: Silence) {
    if side == Side::Focus {
        return on_focus_gone(core, now, group, "the focus is gone without a BYE");
    }
    let draining = matches!(core[group].phase, Phase::DrainPf(_) | Phase::DrainRj);
    let detected = counts_as_loss(core, silence) || draining;
    if !detected && matches!(silence, Silence::Media | Silence::Deregistered) {
        return core.note("the policy does not take this for a loss");
    }
    core.note("the Client is gone without a BYE");
    core.hang_up(now, group, Side::Client, None);
    if detected {
        lost(core, now, group, true);
    } else {
        left(core, now, group, None, false);
    }
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
    if incoming.body.len() > core.policy.max_size || core.users[user].stored >= core.policy.max_messages {
        core.note("a message is beyond the limits of the store: refused, the others are kept");
        return core.endpoint.msrp_answer(now, session, incoming.token, 413);
    }
    core.journal.last_number += 1;
    let number = core.journal.last_number;
    let wants_report = incoming.failure_report != FailureReport::No;
    let origin = wants_report.then(|| Origin { session, message_id: incoming.message_id.clone() });
    let item = Item { content_type: incoming.content_type.clone(), body: incoming.body.clone(), durable: false, origin };
    core[group].deferred.push(number, item);
    core.users[user].stored += 1;
    core.because(STORES, "the message is acknowledged once it is durable").commit_message(group, number, session, incoming);
}

/// The process before this one died: the PF takes its sessions up again.
///
/// Media does not outlive a process. The focus gets a re-INVITE with a new path; the Client, whose
/// connection is gone, gets a BYE and counts as lost.
pub(in crate::pf) fn resume(core: &mut Core, now: Instant) {
    for index in 0..core.groups.len() {
        let group = GroupId(u32::try_from(index).unwrap_or(u32::MAX));
        core.hang_up(now, group, Side::Client, None);
        if core[group].focus_leg.is_some() {
            hold(core, now, group);
            session_modification::repair(core, now, group);
        }
    }
}

/// The user was de-registered, or the device that takes part was (AMB-45).
pub(in crate::pf) fn on_deregistered(core: &mut Core, now: Instant, group: GroupId) {
    match core[group].phase {
        Phase::DrainPf(Delivery::Invited { .. }) => group_delivery::withdraw(core, now, group),
        Phase::Live | Phase::DrainRj | Phase::DrainPf(Delivery::Sending) => {
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
}
