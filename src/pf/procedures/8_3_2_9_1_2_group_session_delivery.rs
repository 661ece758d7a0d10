//! 8.3.2.9.1.2: the PF invites the returning Client and delivers what it missed.
//!
//! One session for each group; the group is active, so the session is joined with the focus leg
//! once the stored data is delivered. For an inactive group (item 2) the data is kept.
//!
//! ```text
//! trigger           Held -> DrainPf(Invited)              INVITE V2
//! 2xx               Invited -> Sending -> Live            ACK, stored data in order, joined
//! 603               Invited -> Gone                       discard, BYE focus cause 603, unsubscribe
//! other, timeout    Invited -> Held                       kept; again by policy
//! limit, de-registration   Invited -> Invited(cancelled)  CANCEL
//! BYE focus         Sending -> Dormant                    stored data, then BYE Client
//! ```

use std::time::Duration;

use crate::clause::Clause;
use crate::endpoint::{DialogId, TransactionId};
use crate::pf::core::{Call, Core};
use crate::pf::headers::{self, DECLINED, ToUser};
use crate::pf::leg::SESSION_EXPIRES;
use crate::pf::schedule::Alarm;
use crate::pf::state::{Delivery, GroupId, Phase, Registration, Side, UserId};
use crate::time::Instant;
use crate::wire::sip::{Message, Name};
use crate::wire::xml::group_state::{self, GroupState, Participant};

const PENDING_DATA: Clause = Clause::of("DGC-1.2-01");
const ONE_SESSION_EACH: Clause = Clause::of("DGC-1.2-02");
const PINNED: Clause = Clause::of("DGC-1.2-18");
const ALL_DEVICES: Clause = Clause::of("DGC-1.2-17");
const IN_ORDER: Clause = Clause::of("DGC-1.2-07");
const JOINS: Clause = Clause::of("DGC-1.2-08");
const MAY_UNSUBSCRIBE: Clause = Clause::of("DGC-1.2-09");
const DECLINE_DISCARDS: Clause = Clause::of("DGC-1.2-10");
const DECLINE_LEAVES: Clause = Clause::of("DGC-1.2-11");
const DECLINE_UNSUBSCRIBES: Clause = Clause::of("DGC-1.2-12");
const MAY_RETRY: Clause = Clause::of("DGC-1.2-13");

/// Where the PF's own virtual clock starts, for the timestamps that it writes: microseconds since
/// 1970, of 2012-01-17T10:00:00Z.
const EPOCH: i64 = 1_326_794_400_000_000;

/// The user is available: every group with pending data is delivered, oldest data first, one after
/// the other or all at once (AMB-28).
pub(in crate::pf) fn trigger(core: &mut Core, now: Instant, user: UserId) {
    let mut pending: Vec<GroupId> = core.users[user].groups.clone();
    for group in &pending {
        core[*group].again = matches!(core[*group].phase, Phase::DrainPf(Delivery::Invited { cancelled: true, .. }));
    }
    pending.retain(|group| is_due(core, now, *group));
    pending.sort_by_key(|group| core[*group].deferred.oldest());
    for group in pending {
        core[group].attempts = 0;
        core.schedule.stop(Alarm::Retry(group));
        if core.policy.parallel_delivery {
            deliver(core, now, group);
        } else if !core.users[user].waiting.contains(&group) {
            core.users[user].waiting.push_back(group);
        }
    }
    next(core, now, user);
}

/// Whether a group waits for its delivery and its device may be there (AMB-36, AMB-51).
fn is_due(core: &Core, now: Instant, group: GroupId) -> bool {
    let held = core[group].phase == Phase::Held;
    let pending = !core[group].deferred.is_empty() || core.policy.invite_when_empty;
    held && pending && core.users[core[group].user].devices.may_reach(pinned(core, now, group))
}

/// The device that had accepted, unless it stayed away for longer than the policy waits.
fn pinned(core: &Core, now: Instant, group: GroupId) -> Option<&str> {
    let given_up = core.policy.pin_timeout.is_some_and(|limit| now.since(core[group].held_since) >= limit);
    core[group].device.as_deref().filter(|_| !given_up)
}

/// Starts the next delivery of a user whose groups are served one after the other.
fn next(core: &mut Core, now: Instant, user: UserId) {
    while core.users[user].delivering.is_none() {
        let Some(group) = core.users[user].waiting.pop_front() else { return };
        if is_due(core, now, group) {
            core.users[user].delivering = Some(group);
            deliver(core, now, group);
        }
    }
}

/// The delivery of a group is over, well or not; `stop` when the user's other groups are not to be
/// tried now (AMB-24).
pub(in crate::pf) fn on_over(core: &mut Core, now: Instant, group: GroupId, stop: bool) {
    let id = core[group].user;
    let user = &mut core.users[id];
    if stop {
        user.waiting.clear();
    }
    if user.delivering == Some(group) {
        user.delivering = None;
    }
    next(core, now, id);
}

/// The interval between two attempts is over.
pub(in crate::pf) fn retry(core: &mut Core, now: Instant, group: GroupId) {
    if is_due(core, now, group) && core.users[core[group].user].registration != Registration::Gone {
        core.because(MAY_RETRY, "the policy invites again");
        deliver(core, now, group);
    }
}

/// Sends the INVITE of an active group (items 1.a, 1.b, 3).
fn deliver(core: &mut Core, now: Instant, group: GroupId) {
    let device = pinned(core, now, group).map(str::to_owned);
    let mut media = core.open_media(group, Side::Client);
    let invitation = core[group].invitation.clone();
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
    core.because(PENDING_DATA, "data of the group is pending");
    core.because(ONE_SESSION_EACH, "each group has a session of its own");
    match device {
        Some(_) => core.because(PINNED, "only the device that had accepted is invited"),
        None => core.because(ALL_DEVICES, "no device had accepted: all are invited"),
    };
    let call = core.endpoint.send(now, invite);
    core.calls.insert(call, Call::Delivery(group));
    core[group].phase = Phase::DrainPf(Delivery::Invited { call, cancelled: false });
}

/// From the first provisional response on the PF's own limit runs, as timer B does no more.
pub(in crate::pf) fn on_provisional(core: &mut Core, now: Instant, group: GroupId) {
    let alarm = Alarm::Ringing(group);
    if !core.schedule.runs(alarm) {
        core.schedule.set(alarm, now + core.policy.ringing_limit);
    }
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
    send_group_state(core, now, group);
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
    on_over(core, now, group, false);
}

/// 1.e, 5.a: any other failure keeps everything; whether the PF tries again is policy.
pub(in crate::pf) fn on_failed(core: &mut Core, now: Instant, group: GroupId, status: u16, retry_after: Option<Duration>) {
    let Phase::DrainPf(Delivery::Invited { cancelled, .. }) = core[group].phase else { return };
    core.schedule.stop(Alarm::Ringing(group));
    core.give_up_offer(now, group);
    if core[group].focus_leg.is_none() {
        core.finish(now, group, false);
        core[group].phase = Phase::Dormant;
        return on_over(core, now, group, false);
    }
    core[group].phase = Phase::Held;
    core[group].attempts += 1;
    if !cancelled && core[group].attempts <= core.policy.retry_count {
        let interval = core.policy.retry_interval.max(retry_after.unwrap_or_default());
        core.schedule.set(Alarm::Retry(group), now + interval);
    }
    let stop = cancelled || core.policy.stop_codes.contains(&u64::from(status));
    on_over(core, now, group, stop);
    if std::mem::take(&mut core[group].again) {
        let user = core[group].user;
        trigger(core, now, user);
    }
}

/// Everything stored is delivered: the two legs are joined, or the end of the focus is passed on.
pub(in crate::pf) fn on_drained(core: &mut Core, now: Instant, group: GroupId) {
    if let Some(reason) = core[group].closing.take() {
        core.note("the focus has ended meanwhile: the Client gets its BYE now");
        core.hang_up(now, group, Side::Client, reason.as_deref());
        core[group].phase = Phase::Dormant;
    } else {
        core.because(JOINS, "the Client is joined with the focus leg");
        core[group].phase = Phase::Live;
        if core.policy.unsubscribe_after_delivery && core[group].subscription.is_some() {
            core.because(MAY_UNSUBSCRIBE, "the policy ends the subscription after the delivery");
            core.unsubscribe(now, group);
        }
    }
    core.journal.touch(group);
    on_over(core, now, group, false);
}

/// AMB-13: for an active group the roster goes along only where the policy says so.
fn send_group_state(core: &mut Core, now: Instant, group: GroupId) {
    let remote = core[group].client.as_ref().and_then(|leg| leg.media.remote.as_ref());
    let accepted = remote.is_some_and(|remote| remote.accepts(group_state::MEDIA_TYPE));
    if !core.policy.send_group_state || core[group].roster.version.is_none() {
        return;
    }
    if !accepted && !core.policy.send_unaccepted_state {
        return core.note("the Client does not accept the group state object: left out (AMB-34)");
    }
    let body = state_of(core, now, group).to_xml();
    core.send_own(now, group, group_state::MEDIA_TYPE, body);
}

fn state_of(core: &Core, now: Instant, group: GroupId) -> GroupState {
    let participant = |user: &crate::wire::xml::conference_info::User| Participant {
        name: user.display_text.clone(),
        comm_addr: user.entity.clone(),
        role: None,
    };
    let since = i64::try_from(now.as_micros()).unwrap_or(0);
    GroupState {
        timestamp: crate::wire::datetime::format(EPOCH.saturating_add(since)),
        last_focus_session_id: core[group].shown.clone(),
        group_type: "Closed".to_owned(),
        contribution_id: None,
        participants: core[group].roster.connected().map(participant).collect(),
    }
}
