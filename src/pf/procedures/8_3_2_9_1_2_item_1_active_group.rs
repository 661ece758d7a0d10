//! 8.3.2.9.1.2 item 1: the PF invites the returning Client to a group that is active.
//!
//! The session is joined with the focus leg once the stored data is delivered.
//!
//! ```text
//! start             Held -> DrainPf(Invited)              INVITE V2
//! 2xx               Invited -> Sending -> Live            ACK, stored data in order, joined
//! 603               Invited -> Gone                       discard, BYE focus cause 603, unsubscribe
//! other, timeout    Invited -> Held                       kept; again by policy
//! limit, de-registration   Invited -> Invited(cancelled)  CANCEL
//! BYE focus         DrainPf -> Dormant                    completed as that of an inactive group
//! ```

use std::sync::Arc;
use std::time::Duration;

use crate::clause::Clause;
use crate::endpoint::{DialogId, TransactionId};
use crate::pf::core::{Call, Core};
use crate::pf::group_state::Announcement;
use crate::pf::headers::{self, DECLINED, ToUser};
use crate::pf::leg::SESSION_EXPIRES;
use crate::pf::procedures::{disposition_notifications, group_delivery};
use crate::pf::schedule::Alarm;
use crate::pf::state::{Delivery, GroupId, Phase, Side};
use crate::time::Instant;
use crate::wire::sip::{Message, Name};

const SERVICE: Clause = Clause::of("DGC-1.2-03");
const ORIGINAL_INFORMATION: Clause = Clause::of("DGC-1.2-04");
const ORIGINAL_OFFER: Clause = Clause::of("DGC-1.2-05");
const BOTH_WAYS: Clause = Clause::of("DGC-1.2-06");
const INSTANCE: Clause = Clause::of("DGC-1.2-19");
const AS_B2BUA: Clause = Clause::of("DGC-1.2-20");
const PINNED: Clause = Clause::of("DGC-1.2-18");
const ALL_DEVICES: Clause = Clause::of("DGC-1.2-17");
const IN_ORDER: Clause = Clause::of("DGC-1.2-07");
const JOINS: Clause = Clause::of("DGC-1.2-08");
const MAY_UNSUBSCRIBE: Clause = Clause::of("DGC-1.2-09");
const DECLINE_DISCARDS: Clause = Clause::of("DGC-1.2-10");
const DECLINE_LEAVES: Clause = Clause::of("DGC-1.2-11");
const DECLINE_UNSUBSCRIBES: Clause = Clause::of("DGC-1.2-12");

/// Sends the INVITE of an active group (items 1.a, 1.b, 3).
pub(in crate::pf) fn start(core: &mut Core, now: Instant, group: GroupId) {
    let device = group_delivery::pinned(core, now, group).map(str::to_owned);
    let mut media = core.open_media(group, Side::Client);
    core.endpoint.msrp_forks(media.session);
    let invitation = Arc::clone(&core[group].invitation);
    let user = &core.users[core[group].user];
    let invite = headers::invite_user(&ToUser {
        target: &user.uri,
        shown: &core[group].shown,
        route: &user.route,
        sdp: media.offer(core.endpoint.config(), &invitation.sdp, Some("sendrecv")),
        invitation: &invitation,
        accept_contact: headers::accept_contact(device.as_deref(), core.policy.merge_accept_contact),
        interval: SESSION_EXPIRES,
    });
    core[group].offered = Some(media);
    core.because(SERVICE, "Accept-Contact names the service of a CPM session");
    core.because(ORIGINAL_INFORMATION, "what the original invitation said of the group is repeated");
    core.because(ORIGINAL_OFFER, "the offer has the content attributes of the original one");
    core.because(BOTH_WAYS, "media goes both ways");
    match device {
        Some(_) => core
            .because(PINNED, "only the device that had accepted is invited")
            .because(INSTANCE, "Accept-Contact names its instance"),
        None => core.because(ALL_DEVICES, "no device had accepted: all are invited"),
    };
    let call = core.endpoint.send(now, invite);
    core.calls.insert(call, Call::Delivery(group));
    // A 100 ends timer B, so from then on this limit alone runs.
    core.schedule.set(Alarm::Ringing(group), now + core.policy.ringing_limit);
    core[group].phase = Phase::DrainPf(Delivery::Invited { call, cancelled: false });
}

/// Nobody answered the ringing.
pub(in crate::pf) fn on_ringing_limit(core: &mut Core, now: Instant, group: GroupId) {
    core.note("the invitation rings for longer than the policy waits");
    withdraw(core, now, group);
}

/// Cancels a pending invitation; what is stored is kept.
pub(in crate::pf) fn withdraw(core: &mut Core, now: Instant, group: GroupId) {
    if let Phase::DrainPf(Delivery::Invited { call, cancelled }) = &mut core[group].phase
        && !*cancelled
    {
        *cancelled = true;
        let call = *call;
        core.endpoint.cancel(now, call);
    }
}

/// Takes the final response to the INVITE (items 1.c to 1.e, 4).
pub(in crate::pf) fn handle(
    core: &mut Core,
    now: Instant,
    group: GroupId,
    invite: TransactionId,
    dialog: Option<DialogId>,
    response: &Message,
) {
    let Phase::DrainPf(Delivery::Invited { cancelled, .. }) = core[group].phase else { return };
    core.schedule.stop(Alarm::Ringing(group));
    match response.status().unwrap_or(500) {
        200..=299 if cancelled => {
            if let Some(dialog) = dialog {
                core.release(now, invite, dialog);
            }
            on_failed(core, now, group, 487, None);
        }
        200..=299 => on_accepted(core, now, group, invite, dialog, response),
        603 => on_declined(core, now, group),
        status => {
            let retry_after = response.value(Name::RetryAfter).and_then(|value| value.split([' ', ';', '(']).next()?.parse().ok());
            on_failed(core, now, group, status, retry_after.map(Duration::from_secs));
        }
    }
}

/// 1.c.i: stored data goes out in order; the Client may write at once.
fn on_accepted(core: &mut Core, now: Instant, group: GroupId, invite: TransactionId, dialog: Option<DialogId>, response: &Message) {
    core.because(AS_B2BUA, "the answer concerns the leg to the Client alone");
    if !core.confirm(now, (group, Side::Client), invite, dialog, response) {
        core.note("the answer has no medium that could be used");
        return on_failed(core, now, group, 488, None);
    }
    if let Some(device) = headers::instance_of(response) {
        core[group].device = Some(device);
    }
    core[group].attempts = 0;
    core[group].phase = Phase::DrainPf(Delivery::Sending);
    core.because(IN_ORDER, "stored data is delivered in the order in which it came");
    announce(core, group);
    core.pump(now, group);
}

/// 1.d: the user declines; nothing of the group is kept.
fn on_declined(core: &mut Core, now: Instant, group: GroupId) {
    core.give_up_offer(now, group);
    core.because(DECLINE_DISCARDS, "the user has declined: stored data is discarded");
    core.discard(group);
    if core[group].focus_leg.is_some() {
        core.because(DECLINE_LEAVES, "the focus is told that the user has declined");
        core.hang_up(now, group, Side::Focus, Some(DECLINED));
    }
    core.because(DECLINE_UNSUBSCRIBES, "the subscription to the focus ends");
    core.finish(now, group, true);
    group_delivery::on_over(core, now, group, false);
}

/// 1.e, 5.a: any other failure keeps everything; whether the PF tries again is policy.
pub(in crate::pf) fn on_failed(core: &mut Core, now: Instant, group: GroupId, status: u16, retry_after: Option<Duration>) {
    let Phase::DrainPf(Delivery::Invited { cancelled, .. }) = core[group].phase else { return };
    core.schedule.stop(Alarm::Ringing(group));
    core.give_up_offer(now, group);
    if core[group].focus_leg.is_none() {
        core.finish(now, group, false);
        core[group].phase = Phase::Dormant;
        return group_delivery::on_over(core, now, group, false);
    }
    core[group].phase = Phase::Held;
    core[group].attempts += 1;
    if !cancelled && core[group].attempts <= core.policy.retry_count {
        let interval = core.policy.retry_interval.max(retry_after.unwrap_or_default());
        core.schedule.set(Alarm::Retry(group), now + interval);
    }
    let stop = cancelled || core.policy.stop_codes.contains(&u64::from(status));
    group_delivery::on_over(core, now, group, stop);
    if std::mem::take(&mut core[group].again) {
        let user = core[group].user;
        group_delivery::trigger(core, now, user);
    }
}

/// Everything stored is delivered: the two legs are joined.
pub(in crate::pf) fn on_drained(core: &mut Core, now: Instant, group: GroupId) {
    core.because(JOINS, "the Client is joined with the focus leg");
    core[group].phase = Phase::Live;
    if core.policy.unsubscribe_after_delivery && core[group].subscription.is_some() {
        core.because(MAY_UNSUBSCRIBE, "the policy ends the subscription after the delivery");
        core.unsubscribe(now, group);
    }
    core.journal.touch(group);
    group_delivery::on_over(core, now, group, false);
    disposition_notifications::pump(core, now, core[group].user);
}

/// AMB-13: for an active group the roster goes along only where the policy says so.
pub(in crate::pf) fn announce(core: &mut Core, group: GroupId) {
    if core.policy.send_group_state && !core[group].roster.users.is_empty() {
        core[group].announcement = Announcement::Due;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pf::testing::{BOB, FOCUS, PHONE, SHOWN, Session, USER, World};
    use crate::wire::sip::Builder;

    /// Three messages are stored for a Client that was lost.
    fn held(knobs: &[(&str, &str)]) -> (World, Session, Message) {
        World::held(knobs, &["one", "two", "three"])
    }

    #[test]
    fn missed_messages_are_delivered_in_order_and_the_session_is_live_again() {
        let (mut world, focus, _) = held(&[("group.unsubscribe-after-delivery", "false")]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        let bob = world.pick_up(invite, &message, PHONE);
        world.delivered(&["one", "two", "three"]);
        world.missed(&focus, &["live"]);
        assert_eq!(world.read(BOB, 200), "live");
        world.write(&bob, "here I am");
        assert_eq!(world.sent(BOB), crate::msrp::Outcome::Accepted);
        assert_eq!(world.read(FOCUS, 200), "here I am");
        for id in ["DGC-9-06", "DGC-1.2-01", "DGC-1.2-07", "DGC-1.2-08"] {
            assert!(world.has_cited(id), "{id}");
        }
    }

    #[test]
    fn the_invitation_repeats_the_original_and_names_the_device() {
        let (mut world, _, original) = held(&[]);
        world.register(600_000, None);
        let (_, _, delivery) = world.request(BOB, "INVITE");
        assert_eq!(delivery.request_uri(), Some(USER));
        for name in [
            Name::PAssertedIdentity,
            Name::PAssertedService,
            Name::ReferredBy,
            Name::ConversationId,
            Name::ContributionId,
            Name::Subject,
            Name::Contact,
            Name::Allow,
            Name::Supported,
            Name::SessionExpires,
            Name::UserAgent,
        ] {
            assert!(delivery.value(name).is_some(), "{name:?}");
            assert_eq!(delivery.value(name), original.value(name), "{name:?}");
        }
        assert_ne!(delivery.call_id(), original.call_id());
        let accept_contact: Vec<&str> = delivery.values(Name::AcceptContact).collect();
        assert_eq!(accept_contact, headers::accept_contact(Some(PHONE), false));
        assert!(delivery.value(Name::Contact).is_some_and(|contact| contact.starts_with(&format!("<{SHOWN}>;isfocus"))));
        assert!(
            headers::sdp_of(&delivery).is_some_and(|sdp| sdp.contains("a=sendrecv\r\n") && sdp.contains("a=setup:actpass\r\n"))
        );
    }

    #[test]
    fn a_live_message_waits_behind_stored_ones() {
        let (mut world, focus, _) = held(&[]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        let bob = world.pick_up(invite, &message, PHONE);
        assert_eq!(world.read(BOB, 200), "one");
        assert_eq!(world.read(BOB, 0), "two");
        world.missed(&focus, &["live"]);
        world.write(&bob, "at once");
        assert_eq!(world.sent(BOB), crate::msrp::Outcome::Accepted);
        assert_eq!(world.read(FOCUS, 200), "at once");
        world.answer_last(BOB, 200);
        world.delivered(&["three", "live"]);
    }

    #[test]
    fn a_decline_discards_and_tells_the_focus() {
        let (mut world, _, _) = held(&[]);
        world.register(600_000, None);
        let (invite, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, invite, 603);
        let (bye, _, message) = world.request(FOCUS, "BYE");
        assert_eq!(message.value(Name::Reason), Some(DECLINED));
        world.answer(FOCUS, bye, 200);
        let (unsubscribe, _, message) = world.request(FOCUS, "SUBSCRIBE");
        assert_eq!(message.value(Name::Expires), Some("0"));
        world.answer(FOCUS, unsubscribe, 200);
        world.register(600_000, None);
        world.assert_quiet(BOB);
    }

    #[test]
    fn an_error_keeps_the_data_until_the_next_trigger() {
        let (mut world, _, _) = held(&[]);
        world.register(600_000, None);
        let (invite, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, invite, 480);
        world.pass(Duration::from_secs(600));
        world.assert_quiet(BOB);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        world.delivered(&["one", "two", "three"]);
    }

    #[test]
    fn the_policy_invites_again_with_a_new_call_id() {
        let (mut world, _, _) = held(&[("retry.count", "1"), ("retry.interval", "10s")]);
        world.register(600_000, None);
        let (invite, _, first) = world.request(BOB, "INVITE");
        world.answer(BOB, invite, 500);
        world.pass(Duration::from_secs(9));
        world.assert_quiet(BOB);
        world.pass(Duration::from_secs(1));
        let (invite, _, second) = world.request(BOB, "INVITE");
        assert_ne!(first.call_id(), second.call_id());
        assert_eq!(first.value(Name::ConversationId), second.value(Name::ConversationId));
        world.answer(BOB, invite, 500);
        world.pass(Duration::from_secs(600));
        world.assert_quiet(BOB);
    }

    #[test]
    fn a_larger_interval_is_taken_up() {
        let (mut world, _, _) = held(&[]);
        world.register(600_000, None);
        let (invite, _, first) = world.request(BOB, "INVITE");
        world.answer_with(BOB, invite, 422, |refusal| refusal.push("Min-SE", 3600));
        let (invite, _, second) = world.request(BOB, "INVITE");
        assert_eq!(first.call_id(), second.call_id());
        assert_eq!(second.value(Name::MinSe), Some("3600"));
        world.pick_up(invite, &second, PHONE);
        world.delivered(&["one", "two", "three"]);
    }

    #[test]
    fn ringing_has_a_limit() {
        // A 100 alone ends timer B too.
        for status in [100, 180] {
            let (mut world, _, _) = held(&[("ringing.limit", "60s")]);
            world.register(600_000, None);
            let (invite, _, _) = world.request(BOB, "INVITE");
            world.answer(BOB, invite, status);
            world.pass(Duration::from_secs(61));
            assert!(matches!(world.event(BOB), Some(crate::endpoint::Event::Cancelled { .. })), "{status}");
            world.answer(BOB, invite, 487);
            world.register(600_000, None);
            let (invite, _, message) = world.request(BOB, "INVITE");
            world.pick_up(invite, &message, PHONE);
            world.delivered(&["one", "two", "three"]);
        }
    }

    #[test]
    fn a_deregistration_cancels_and_a_decline_that_crosses_it_counts() {
        let (mut world, _, _) = held(&[]);
        world.register(600_000, None);
        let (invite, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, invite, 180);
        world.register(0, None);
        assert!(matches!(world.event(BOB), Some(crate::endpoint::Event::Cancelled { .. })));
        world.answer(BOB, invite, 603);
        let (_, _, message) = world.request(FOCUS, "BYE");
        assert_eq!(message.value(Name::Reason), Some(DECLINED));
    }

    #[test]
    fn an_answer_without_media_is_acknowledged_and_ended() {
        let (mut world, _, _) = held(&[]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        let sdp = headers::sdp_of(&message).unwrap_or_default().replace("m=message 2855", "m=message 0");
        world.answer_with(BOB, invite, 200, |response| response.body("application/sdp", sdp));
        world.ack(BOB);
        let (bye, _, _) = world.request(BOB, "BYE");
        world.answer(BOB, bye, 200);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        world.delivered(&["one", "two", "three"]);
    }

    #[test]
    fn a_refused_message_is_passed_over_and_kept() {
        let (mut world, _, _) = held(&[("group.unsubscribe-after-delivery", "false")]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        let bob = world.pick_up(invite, &message, PHONE);
        assert_eq!(world.read(BOB, 200), "one");
        assert_eq!(world.read(BOB, 413), "two");
        assert_eq!(world.read(BOB, 200), "three");
        world.lose(&bob);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        world.delivered(&["two"]);
    }

    #[test]
    fn a_broken_connection_ends_the_session_and_keeps_the_rest() {
        let (mut world, _, _) = held(&[("loss.detect", "none"), ("group.unsubscribe-after-delivery", "false")]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        let bob = world.pick_up(invite, &message, PHONE);
        assert_eq!(world.read(BOB, 200), "one");
        assert_eq!(world.read(BOB, 0), "two");
        world.break_media(&bob);
        world.pass(Duration::from_secs(1));
        let (bye, _, _) = world.request(BOB, "BYE");
        world.answer(BOB, bye, 200);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        world.delivered(&["two", "three"]);
    }

    #[test]
    fn silence_for_thirty_seconds_ends_the_session() {
        let (mut world, _, _) = held(&[]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        assert_eq!(world.read(BOB, 0), "one");
        world.pass(Duration::from_secs(31));
        let (bye, _, _) = world.request(BOB, "BYE");
        world.answer(BOB, bye, 200);
    }

    #[test]
    fn the_end_of_the_focus_is_passed_on_after_the_delivery() {
        let (mut world, focus, _) = held(&[]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        assert_eq!(world.read(BOB, 200), "one");
        world.bye(&focus, Some("SIP;cause=480"));
        world.delivered(&["two", "three"]);
        let (bye, _, message) = world.request(BOB, "BYE");
        assert_eq!(message.value(Name::Reason), Some("SIP;cause=480"));
        world.answer(BOB, bye, 200);
    }

    #[test]
    fn a_message_that_asked_for_no_report_is_waited_for_no_longer_than_its_answer() {
        let (mut world, focus, _) = held(&[("delivered-when", "success-report")]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        let bob = world.pick_up(invite, &message, PHONE);
        world.delivered(&["one", "two"]);
        assert_eq!(world.read(BOB, 0), "three");
        world.bye(&focus, None);
        world.answer_last(BOB, 200);
        let (bye, dialog, _) = world.request(BOB, "BYE");
        assert_eq!(dialog, Some(bob.dialog));
        world.answer(BOB, bye, 200);
    }

    #[test]
    fn who_leaves_during_the_delivery_gets_nothing_more() {
        let (mut world, _, _) = held(&[]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        let bob = world.pick_up(invite, &message, PHONE);
        assert_eq!(world.read(BOB, 200), "one");
        assert_eq!(world.read(BOB, 0), "two");
        world.bye(&bob, Some("SIP;cause=200;text=\"Call completed\""));
        let (bye, _, _) = world.request(FOCUS, "BYE");
        world.answer(FOCUS, bye, 200);
        world.request(FOCUS, "SUBSCRIBE");
        world.register(600_000, None);
        world.assert_quiet(BOB);
        assert!(world.has_cited("DGC-1.2-23"));
    }

    #[test]
    fn the_second_answer_of_a_fork_is_released() {
        let (mut world, _, _) = held(&[("group.unsubscribe-after-delivery", "false")]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        world.delivered(&["one", "two", "three"]);
        world.pick_up_elsewhere(invite, "another");
        let reasons = world.seen_from_pf("BYE");
        assert!(reasons.iter().any(|bye| bye.contains(headers::ELSEWHERE) && bye.contains("tag=another")), "{reasons:?}");
        assert_eq!(world.seen_from_pf("ACK").iter().filter(|ack| ack.contains("tag=another")).count(), 1);
    }

    #[test]
    fn the_interval_of_the_answer_makes_the_pf_refresh() {
        let (mut world, _, _) = held(&[("group.unsubscribe-after-delivery", "false")]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        let bob = world.pick_up_with(invite, &message, PHONE, |response| {
            response.push("Require", "timer").push("Session-Expires", "90;refresher=uac")
        });
        world.delivered(&["one", "two", "three"]);
        world.pass(Duration::from_secs(44));
        world.assert_quiet(BOB);
        world.pass(Duration::from_secs(1));
        let (refresh, dialog, message) = world.request(BOB, "UPDATE");
        assert_eq!(dialog, Some(bob.dialog));
        assert_eq!(message.value(Name::SessionExpires), Some("90;refresher=uac"));
        world.answer(BOB, refresh, 481);
        assert!(world.has_cited("DGC-9-02"));
    }

    #[test]
    fn options_are_answered() {
        let mut world = World::new();
        world.send(FOCUS, Builder::request("OPTIONS", "sip:pf.home1.example"));
        world.response(FOCUS, 200);
    }
}
