//! 8.3.2.9.1.3 item 1: the Client re-joins a group that is inactive.
//!
//! The re-join is answered at once, the last roster and everything stored go out in its session,
//! and meanwhile the CF is asked to start the group again (AMB-20, AMB-38). What the Client writes
//! before the CF has answered waits; when the CF refuses, the Client is told what got nowhere, and
//! its session ends with the status of the CF (AMB-39, AMB-40).
//!
//! ```text
//! re-join, data stored        Dormant -> Restarting(Asked)        200; INVITE V7 to the CF
//! re-join, group closed       Dormant -> Restarting(Failed)       200; no INVITE (AMB-29)
//! 2xx of the CF               Asked -> Live | DrainRj             ACK; what waited is passed on
//! other, timeout, limit       Asked -> Failed
//! everything delivered        Failed -> Dormant                   REPORTs, BYE with the status
//! INVITE of the CF            Asked | Failed -> Live | DrainRj    its leg is taken
//! BYE or loss of the Client   Restarting -> Dormant | Gone        CANCEL
//! ```

use bytes::Bytes;

use crate::clause::Clause;
use crate::endpoint::{DialogId, TransactionId};
use crate::pf::core::{Call, Core};
use crate::pf::group_state::{self, Announcement};
use crate::pf::headers::{self, Part, with_body};
use crate::pf::procedures::{group_delivery, group_rejoin, inactive_group};
use crate::pf::schedule::Alarm;
use crate::pf::state::{GroupId, Phase, Restart, Side};
use crate::time::Instant;
use crate::wire::sip::{Builder, Message, Name, Uri, reason_phrase};
use crate::wire::xml::resource_lists::{self, ResourceLists};

const REJOIN_HANDLED: Clause = Clause::of("DGC-1.3-02");
const ALL_MISSED: Clause = Clause::of("DGC-1.3-03");
const LAST_ROSTER: Clause = Clause::of("DGC-1.3-05");
const RESTARTS: Clause = Clause::of("DGC-1.3-06");
const ENDS_WITH_CAUSE: Clause = Clause::of("DGC-1.3-07");
const REPORTS_FAILURE: Clause = Clause::of("DGC-1.3-08");
const NO_INVITATION: Clause = Clause::of("DGC-9-07");

/// The user part of the conference factory's URI; its host is that of the focus.
const FACTORY: &str = "conference-factory";
/// What a group that was closed for good is answered with.
const CLOSED: u16 = 410;

/// Whether a re-join is served before the CF is asked: there is data to deliver (AMB-20). A group
/// that was closed for good is never asked for, so its data is delivered in any case (AMB-29).
pub(in crate::pf) fn is_due(core: &Core, group: GroupId) -> bool {
    let pending = !core[group].deferred.is_empty() && !inactive_group::is_running(core, group);
    pending && (core.policy.early_accept || core[group].closed)
}

/// Serves a re-join and asks the CF for the group.
pub(in crate::pf) fn start(core: &mut Core, now: Instant, group: GroupId, asked: TransactionId, message: &Message) {
    if headers::sdp_of(message).is_some_and(|offer| core.medium_of(&offer).is_none()) {
        core.note("the re-join offers no medium that could be used");
        return core.reply(now, asked, 488);
    }
    core.schedule.stop(Alarm::Retry(group));
    core.because(REJOIN_HANDLED, "the re-join is served").because(ALL_MISSED, "everything that was missed is due");
    core.because(NO_INVITATION, "so the PF sends no invitation");
    let attributes = core[group].invitation.sdp.clone();
    if !core.accept(now, (group, Side::Client), asked, message, &attributes) {
        return;
    }
    if let Some(device) = headers::instance_of(message) {
        core[group].device = Some(device);
    }
    core[group].attempts = 0;
    announce(core, group);
    if core[group].closed {
        core.note("the focus closed the group for good: no re-start is tried (AMB-29)");
        core[group].phase = Phase::Restarting(Restart::Failed { status: CLOSED });
    } else {
        ask(core, now, group, message);
    }
    group_delivery::on_over(core, now, group, false);
}

/// The last roster is due in the session of the re-join.
pub(in crate::pf) fn announce(core: &mut Core, group: GroupId) {
    core.because(LAST_ROSTER, "the group was inactive: the last roster is due");
    core[group].announcement = Announcement::Due;
}

/// Passes a re-join on to the CF as a re-start, whose final response is that of the re-join.
pub(in crate::pf) fn forward(core: &mut Core, now: Instant, group: GroupId, asked: TransactionId, message: &Message) {
    if headers::sdp_of(message).is_none_or(|offer| core.medium_of(&offer).is_none()) {
        return core.reply(now, asked, 488);
    }
    let invite = invitation(core, group, message);
    group_rejoin::join(core, now, group, asked, invite);
}

fn ask(core: &mut Core, now: Instant, group: GroupId, message: &Message) {
    let invite = invitation(core, group, message);
    let call = core.because(RESTARTS, "the CF is asked to start the group again").endpoint.send(now, invite);
    core.calls.insert(call, Call::Restart(group));
    // A 100 stops timer B, so the PF has a limit of its own.
    core.schedule.set(Alarm::Restarting(group), now + core.policy.ringing_limit);
    core[group].phase = Phase::Restarting(Restart::Asked { call });
}

/// V7: the re-join with the identifiers of the group, to where the policy re-starts groups.
fn invitation(core: &mut Core, group: GroupId, message: &Message) -> Builder {
    let mut medium = core.open_media(group, Side::Focus);
    let offer = headers::sdp_of(message).unwrap_or_else(|| core[group].invitation.sdp.clone());
    let sdp = medium.offer(core.endpoint.config(), &offer, Some("sendrecv"));
    core[group].offered = Some(medium);
    let members = group_state::recipients(core, group);
    let to_factory = !core.policy.restart_at_old_focus;
    let target = if to_factory { factory(&core[group].focus) } else { core[group].focus.clone() };
    let mut invite = group_rejoin::to_focus(core, group, message, &target);
    for name in [Name::ConversationId, Name::ContributionId, Name::Subject] {
        if let Some(value) = core[group].invitation.value(name) {
            invite = invite.set(name.canonical(), value);
        }
    }
    if !to_factory || members.is_empty() {
        return with_body(invite, &sdp, &[]);
    }
    let list = ResourceLists::of(members.iter().map(String::as_str)).to_xml();
    let part = Part {
        content_type: resource_lists::MEDIA_TYPE.to_owned(),
        disposition: Some("recipient-list".to_owned()),
        body: Bytes::from(list),
    };
    with_body(invite.push("Require", "recipient-list-invite"), &sdp, &[part])
}

/// The conference factory of the CF that hosted a group.
fn factory(focus: &str) -> String {
    let host = Uri::parse(focus).ok().and_then(|uri| uri.host).map_or_else(String::new, |host| host.0.to_owned());
    format!("sip:{FACTORY}@{host}")
}

/// The CF took too long.
pub(in crate::pf) fn on_limit(core: &mut Core, now: Instant, group: GroupId) {
    cancel(core, now, group);
    on_failed(core, now, group, 408);
}

/// Takes the final response of the CF.
pub(in crate::pf) fn handle(
    core: &mut Core,
    now: Instant,
    group: GroupId,
    invite: TransactionId,
    dialog: Option<DialogId>,
    response: &Message,
) {
    let status = response.status().unwrap_or(500);
    if status >= 300 {
        return on_failed(core, now, group, status);
    }
    group_rejoin::learn_focus(core, group, response);
    if !core.confirm(now, (group, Side::Focus), invite, dialog, response) {
        core.note("the answer of the CF has no medium that could be used");
        return on_failed(core, now, group, 488);
    }
    core.because(RESTARTS, "the group runs again");
    on_restarted(core, now, group);
}

/// The focus leg is up: what the Client wrote goes there, and the delivery goes on.
pub(in crate::pf) fn on_restarted(core: &mut Core, now: Instant, group: GroupId) {
    core.schedule.stop(Alarm::Restarting(group));
    core[group].phase = Phase::DrainRj;
    core.pump(now, group);
}

/// The CF refuses, or does not answer: the delivery is finished first, unless the policy ends the
/// session at once (AMB-39).
pub(in crate::pf) fn on_failed(core: &mut Core, now: Instant, group: GroupId, status: u16) {
    core.schedule.stop(Alarm::Restarting(group));
    core.give_up_offer(now, group);
    if !matches!(core[group].phase, Phase::Restarting(_)) {
        return;
    }
    if core.policy.failed_restart_ends_at_once {
        return end(core, now, group, status);
    }
    core[group].phase = Phase::Restarting(Restart::Failed { status });
    core.pump(now, group);
}

/// Tells the Client what got nowhere, and ends its session with the status of the CF.
pub(in crate::pf) fn end(core: &mut Core, now: Instant, group: GroupId, status: u16) {
    let code = match status {
        _ if core.policy.report_focus_status => status,
        403 => 403,
        _ => 408,
    };
    for unsent in core.take_unsent(group) {
        if unsent.wants_report() {
            core.because(REPORTS_FAILURE, "a message of the Client reached nobody");
            core.report_failure(now, &unsent, code);
        }
    }
    if core[group].closed {
        core.discard_unsent(group);
    }
    core.because(ENDS_WITH_CAUSE, "the group could not be started again");
    let reason = format!("SIP;cause={status};text=\"{}\"", reason_phrase(status));
    core.hang_up(now, group, Side::Client, Some(&reason));
    core[group].phase = Phase::Dormant;
    group_delivery::on_over(core, now, group, false);
}

/// The Client is gone, or the group came back by other means: the CF is not asked any more.
pub(in crate::pf) fn withdraw(core: &mut Core, now: Instant, group: GroupId) {
    if !matches!(core[group].phase, Phase::Restarting(_)) {
        return;
    }
    cancel(core, now, group);
    core.schedule.stop(Alarm::Restarting(group));
    core.give_up_offer(now, group);
}

/// Cancels a re-start that has no final response; a 2xx that crosses the CANCEL is released.
fn cancel(core: &mut Core, now: Instant, group: GroupId) {
    if let Phase::Restarting(Restart::Asked { call }) = core[group].phase {
        core.calls.remove(&call);
        core.endpoint.cancel(now, call);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::endpoint::TransactionId;
    use crate::msrp::Outcome;
    use crate::pf::headers::ELSEWHERE;
    use crate::pf::testing::{BOB, FOCUS, GROUP, PHONE, SHOWN, Session, World, taking_state};
    use crate::time::unix_micros;
    use crate::wire::sip::{Message, Name};
    use crate::wire::xml::group_state::GroupState;
    use crate::wire::xml::resource_lists::ResourceLists;
    use crate::wire::{datetime, mime};

    const ALICE: &str = "sip:+15145550101@home1.example";
    const CAROL: &str = "sip:+15145550103@home1.example";

    /// Bob has re-joined, his session is up, and the CF has the re-start.
    fn rejoined(world: &mut World) -> (Session, TransactionId, Message) {
        let (invite, media) = world.rejoin_with(SHOWN, PHONE, taking_state);
        let bob = world.accepted(BOB, invite, media);
        let (asked, _, message) = world.request(FOCUS, "INVITE");
        (bob, asked, message)
    }

    fn assert_state(world: &mut World) {
        let state = GroupState::parse(world.read(BOB, 200).as_bytes()).expect("a group state object");
        assert_eq!(state.last_focus_session_id, SHOWN);
        assert_eq!(state.participants.len(), 3);
    }

    /// Bob's session ends with this cause.
    fn assert_ended(world: &mut World, cause: &str) {
        let (bye, message) = world.skip_to_request(BOB, "BYE");
        let reason = message.value(Name::Reason).unwrap_or_default();
        assert!(reason.starts_with(&format!("SIP;cause={cause};text=")), "{reason}");
        world.answer(BOB, bye, 200);
    }

    fn reports(world: &World) -> Vec<String> {
        world.seen_from_pf("MSRP").into_iter().filter(|head| head.contains(" REPORT\r\n")).collect()
    }

    #[test]
    fn the_group_is_started_again_and_joined_while_the_roster_and_what_was_missed_go_out() {
        let mut world = World::dormant(&[], &["one", "two"], None);
        let (bob, asked, message) = rejoined(&mut world);
        assert_eq!(message.request_uri(), Some("sip:conference-factory@cf.home1.example"));
        assert_eq!(message.value(Name::ConversationId), Some("conversation-1"));
        assert_eq!(message.value(Name::ContributionId), Some("contribution-1"));
        assert_eq!(message.value(Name::Require), Some("recipient-list-invite"));
        let lists =
            mime::find(message.value(Name::ContentType).expect("a body"), &message.body(), super::resource_lists::MEDIA_TYPE);
        let lists = ResourceLists::parse(&lists.expect("a list").body).expect("a list");
        assert_eq!(lists.uris().collect::<Vec<_>>(), [ALICE, CAROL]);
        assert_state(&mut world);
        world.delivered(&["one", "two"]);
        world.write(&bob, "anyone there?");
        assert_eq!(world.sent(BOB), Outcome::Accepted);
        let focus = world.accept_join(asked, &message);
        assert_eq!(world.read(FOCUS, 200), "anyone there?");
        world.missed(&focus, &["welcome back"]);
        world.delivered(&["welcome back"]);
        for id in ["DGC-1.3-02", "DGC-1.3-03", "DGC-1.3-05", "DGC-1.3-06"] {
            assert!(world.has_cited(id), "{id}");
        }
    }

    #[test]
    fn the_roster_is_of_the_time_when_the_group_ended() {
        for restarts in [false, true] {
            let mut world = World::dormant(&[], &["one"], None);
            let ended = datetime::format(unix_micros(world.now));
            world.pass(Duration::from_secs(90));
            if restarts {
                world.restart();
            }
            rejoined(&mut world);
            let state = GroupState::parse(world.read(BOB, 200).as_bytes()).expect("a group state object");
            assert_eq!(state.timestamp, ended);
        }
    }

    #[test]
    fn a_quick_answer_of_the_cf_leaves_the_delivery_in_order() {
        let mut world = World::dormant(&[], &["one", "two"], None);
        let (_, asked, message) = rejoined(&mut world);
        let focus = world.accept_join(asked, &message);
        world.missed(&focus, &["live"]);
        assert_state(&mut world);
        world.delivered(&["one", "two", "live"]);
    }

    #[test]
    fn a_refused_restart_is_reported_and_ends_the_session_after_the_delivery() {
        for (status, knob, code) in [(404, "mapped", 408), (403, "mapped", 403), (404, "focus", 404)] {
            let mut world = World::dormant(&[("msrp.fail-status-map", knob)], &["one", "two"], None);
            let (bob, asked, _) = rejoined(&mut world);
            world.write(&bob, "anyone there?");
            world.answer(FOCUS, asked, status);
            assert_state(&mut world);
            assert_eq!(world.sent(BOB), Outcome::Accepted);
            assert!(reports(&world).is_empty());
            world.delivered(&["one", "two"]);
            assert_ended(&mut world, &status.to_string());
            let reports = reports(&world);
            assert!(reports.len() == 1 && reports[0].contains(&format!("Status: 000 {code}")), "{reports:?}");
            assert!(world.has_cited("DGC-1.3-07") && world.has_cited("DGC-1.3-08"));
            world.register(600_000, None);
            world.assert_quiet(BOB);
        }
    }

    #[test]
    fn the_policy_may_end_the_session_at_once_and_keeps_the_rest() {
        let mut world = World::dormant(&[("restart.fail-before-drain", "immediate")], &["one", "two"], None);
        let (_, asked, _) = rejoined(&mut world);
        assert!(world.read(BOB, 0).contains("groupstate"));
        world.answer(FOCUS, asked, 403);
        assert_ended(&mut world, "403");
        let (invite, media) = world.rejoin(SHOWN, PHONE);
        world.accepted(BOB, invite, media);
        world.delivered(&["one", "two"]);
    }

    #[test]
    fn who_wants_no_failure_report_or_wrote_nothing_gets_none() {
        for writes in [true, false] {
            let mut world = World::dormant(&[], &["one"], None);
            let (bob, asked, _) = rejoined(&mut world);
            assert_state(&mut world);
            if writes {
                world.write_unconcerned(&bob, "whoever");
            }
            world.answer(FOCUS, asked, 404);
            world.delivered(&["one"]);
            assert_ended(&mut world, "404");
            assert!(reports(&world).is_empty());
        }
    }

    #[test]
    fn a_cf_that_does_not_answer_counts_as_408() {
        for ringing in [false, true] {
            let mut world = World::dormant(&[("ringing.limit", "60s")], &["one"], None);
            let (_, asked, _) = rejoined(&mut world);
            if ringing {
                world.answer(FOCUS, asked, 180);
            }
            assert_state(&mut world);
            world.delivered(&["one"]);
            world.pass(Duration::from_secs(61));
            assert_ended(&mut world, "408");
        }
    }

    #[test]
    fn a_group_that_was_closed_for_good_is_delivered_and_not_asked_for() {
        let mut world = World::dormant(&[], &["one"], Some("SIP;cause=410;text=\"Gone\""));
        let (invite, media) = world.rejoin_with(SHOWN, PHONE, taking_state);
        world.accepted(BOB, invite, media);
        assert_state(&mut world);
        world.delivered(&["one"]);
        assert_ended(&mut world, "410");
        world.assert_quiet(FOCUS);
        world.rejoin(SHOWN, PHONE);
        world.response(BOB, 410);
    }

    #[test]
    fn the_policy_may_ask_at_the_old_focus() {
        let mut world = World::dormant(&[("restart.target", "old-focus")], &["one"], None);
        let (_, _, message) = rejoined(&mut world);
        assert_eq!((message.request_uri(), message.value(Name::Require)), (Some(GROUP), None));
    }

    #[test]
    fn the_policy_may_leave_the_answer_to_the_cf() {
        let mut world = World::dormant(&[("rejoin.early-accept", "false")], &["one"], None);
        world.rejoin_with(SHOWN, PHONE, taking_state);
        let (asked, _, _) = world.request(FOCUS, "INVITE");
        world.answer(FOCUS, asked, 404);
        world.response(BOB, 404);
        let (invite, media) = world.rejoin_with(SHOWN, PHONE, taking_state);
        let (asked, _, message) = world.request(FOCUS, "INVITE");
        let focus = world.accept_join(asked, &message);
        world.accepted(BOB, invite, media);
        assert_state(&mut world);
        world.delivered(&["one"]);
        world.missed(&focus, &["live"]);
        world.delivered(&["live"]);
    }

    #[test]
    fn who_leaves_takes_the_restart_back() {
        for (reason, kept) in [("SIP;cause=200", false), ("SIP;cause=503", true)] {
            let mut world = World::dormant(&[], &["one"], None);
            let (bob, asked, _) = rejoined(&mut world);
            world.answer(FOCUS, asked, 180);
            assert_state(&mut world);
            assert_eq!(world.read(BOB, 0), "one");
            world.bye(&bob, Some(reason));
            assert!(matches!(world.event(FOCUS), Some(crate::endpoint::Event::Cancelled { .. })));
            world.answer(FOCUS, asked, 487);
            world.rejoin(SHOWN, PHONE);
            if kept {
                world.response(BOB, 200);
            }
            world.request(FOCUS, "INVITE");
        }
    }

    #[test]
    fn a_second_rejoin_replaces_the_first() {
        let mut world = World::dormant(&[], &["one"], None);
        let (_, asked, message) = rejoined(&mut world);
        assert_state(&mut world);
        let (invite, media) = world.rejoin_with(SHOWN, PHONE, taking_state);
        assert_eq!(world.read(BOB, 0), "one");
        world.accepted_and_replaced(invite, media, ELSEWHERE);
        assert_state(&mut world);
        world.delivered(&["one"]);
        world.accept_join(asked, &message);
        world.assert_quiet(FOCUS);
    }

    #[test]
    fn an_invitation_of_the_cf_takes_the_place_of_the_restart() {
        let mut world = World::dormant(&[], &["one"], None);
        let (bob, asked, _) = rejoined(&mut world);
        world.answer(FOCUS, asked, 180);
        world.write(&bob, "anyone there?");
        let (invite, media) = world.invite();
        let (_, dialog, response) = world.skip_to_response(FOCUS, 200);
        world.acknowledge(FOCUS, invite, dialog.expect("a dialog"), media, &response);
        assert_state(&mut world);
        assert_eq!(world.skip_to_message(FOCUS), "anyone there?");
    }

    #[test]
    fn a_client_that_does_not_take_the_object_gets_the_messages() {
        let mut world = World::dormant(&[], &["one"], None);
        let (invite, media) = world.rejoin(SHOWN, PHONE);
        world.accepted(BOB, invite, media);
        world.delivered(&["one"]);
        let mut world = World::dormant(&[("group-state.if-not-accepted", "send")], &["one"], None);
        let (invite, media) = world.rejoin(SHOWN, PHONE);
        world.accepted(BOB, invite, media);
        assert!(world.read(BOB, 415).contains("<groupstate"));
        world.delivered(&["one"]);
    }

    #[test]
    fn the_object_may_come_last_and_in_cpim() {
        let knobs = [("group-state.position", "last"), ("group-state.wrap", "cpim"), ("group-state.if-not-accepted", "send")];
        let mut world = World::dormant(&knobs, &["one"], None);
        let (_, _, _) = rejoined(&mut world);
        world.delivered(&["one"]);
        let message = world.read(BOB, 200);
        assert!(message.starts_with("From: ") && message.contains("Content-Type: application/group-state-object+xml"), "{message}");
    }

    #[test]
    fn a_process_that_dies_keeps_what_was_not_delivered() {
        let mut world = World::dormant(&[], &["one", "two"], None);
        rejoined(&mut world);
        assert_state(&mut world);
        assert_eq!(world.read(BOB, 200), "one");
        world.restart();
        let (bye, _) = world.skip_to_request(BOB, "BYE");
        world.answer(BOB, bye, 200);
        let (invite, media) = world.rejoin(SHOWN, PHONE);
        world.accepted(BOB, invite, media);
        world.delivered(&["two"]);
    }
}
