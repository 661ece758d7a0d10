//! 8.3.2.9.1.2: the user is available, and what each group has stored is delivered.
//!
//! One session for each group, of the kind that the group calls for: an active one is invited back
//! (item 1), an inactive one is delivered as 1-1 messages are (item 2). Serial delivery takes the
//! group with the oldest data first and begins the next one when the last is over.
//!
//! ```text
//! trigger, serial     waiting <- groups that are due; the first is delivered
//! trigger, parallel   all groups that are due are delivered
//! over                the next of the waiting ones, or none after an error that stops the round
//! ```

use crate::clause::Clause;
use crate::pf::core::Core;
use crate::pf::one_to_one::{Shelf, delivery};
use crate::pf::procedures::{active_group, inactive_group};
use crate::pf::schedule::Alarm;
use crate::pf::state::{Delivery, GroupId, Phase, Registration, Side, UserId};
use crate::time::Instant;

const PENDING_DATA: Clause = Clause::of("DGC-1.2-01");
const ONE_SESSION_EACH: Clause = Clause::of("DGC-1.2-02");
const MAY_RETRY: Clause = Clause::of("DGC-1.2-13");
/// Item 5.a says the same again, for errors of any kind; 603 is never retried (AMB-04).
const MAY_RETRY_AGAIN: Clause = Clause::of("DGC-1.2-21");

/// The user is available: every group with pending data is delivered, oldest data first, one after
/// the other or all at once (AMB-28).
pub(in crate::pf) fn trigger(core: &mut Core, now: Instant, user: UserId) {
    let mut pending: Vec<GroupId> = core.users[user].groups.clone();
    for group in &pending {
        let withdrawn = matches!(core[*group].phase, Phase::DrainPf(Delivery::Invited { cancelled: true, .. }));
        // It may have come back before the PF has noticed that it was gone.
        let silent = core.schedule.runs(Alarm::Disconnected(*group, Side::Client));
        core[*group].again = withdrawn || silent || delivery::is_withdrawn(core, Shelf::Group(*group));
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

/// A trigger that came too early for a group is due now, unless the user is gone again.
pub(in crate::pf) fn catch_up(core: &mut Core, now: Instant, group: GroupId) {
    let user = core[group].user;
    let here = matches!(core.users[user].registration, Registration::Until(end) if end > now);
    if std::mem::take(&mut core[group].again) && here {
        trigger(core, now, user);
    }
}

/// Whether a group waits for its delivery and its device may be there (AMB-36, AMB-51).
fn is_due(core: &Core, now: Instant, group: GroupId) -> bool {
    let stored = !core[group].deferred.is_empty();
    let pending = match core[group].phase {
        Phase::Held => stored || core.policy.invite_when_empty,
        Phase::Dormant => stored,
        Phase::Inviting { .. }
        | Phase::Joining { .. }
        | Phase::Live
        | Phase::DrainPf(_)
        | Phase::DrainRj
        | Phase::Restarting(_)
        | Phase::Gone => false,
    };
    pending && !inactive_group::is_running(core, group) && core.users[core[group].user].devices.may_reach(pinned(core, now, group))
}

/// The device that had accepted, unless it stayed away for longer than the policy waits.
pub(in crate::pf) fn pinned(core: &Core, now: Instant, group: GroupId) -> Option<&str> {
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
        core.because(MAY_RETRY, "the policy invites again").because(MAY_RETRY_AGAIN, "after an error other than 603");
        deliver(core, now, group);
    }
}

/// Delivers one group.
fn deliver(core: &mut Core, now: Instant, group: GroupId) {
    core.because(PENDING_DATA, "data of the group is pending");
    core.because(ONE_SESSION_EACH, "each group has a session of its own");
    if core[group].phase == Phase::Dormant {
        inactive_group::start(core, now, group);
    } else {
        active_group::start(core, now, group);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::pf::testing::{BOB, PHONE, TABLET, World};

    /// Three messages are stored for a Client that was lost.
    fn held() -> World {
        let mut world = World::new();
        let (focus, bob, _) = world.established();
        world.lose(&bob);
        world.subscribed();
        world.missed(&focus, &["one", "two", "three"]);
        world.assert_quiet(BOB);
        world
    }

    #[test]
    fn another_device_is_no_trigger() {
        let mut world = held();
        world.register(600_000, Some(TABLET));
        world.assert_quiet(BOB);
        world.register(600_000, Some(PHONE));
        world.request(BOB, "INVITE");
    }

    #[test]
    fn nothing_missed_means_no_invitation() {
        let mut world = World::new();
        let (_, bob, _) = world.established();
        world.lose(&bob);
        world.register(600_000, None);
        world.assert_quiet(BOB);
    }

    #[test]
    fn a_second_register_causes_no_second_invitation() {
        let mut world = held();
        world.register(600_000, None);
        world.request(BOB, "INVITE");
        world.register(600_000, None);
        world.assert_quiet(BOB);
    }

    /// The Client's connection breaks without a word, and it registers before that counts as a loss.
    fn back_at_once() -> World {
        let mut world = World::new();
        let (focus, bob, _) = world.established();
        world.break_media(&bob);
        world.missed(&focus, &["one"]);
        world.register(600_000, Some(PHONE));
        world.assert_quiet(BOB);
        world
    }

    #[test]
    fn a_register_that_comes_before_the_loss_is_noticed_is_a_trigger_once_it_is() {
        let mut world = back_at_once();
        world.pass(Duration::from_secs(2));
        world.skip_to_request(BOB, "INVITE");
    }

    #[test]
    fn nobody_is_invited_who_was_back_only_for_a_moment() {
        let mut world = back_at_once();
        world.register(0, Some(PHONE));
        world.pass(Duration::from_secs(2));
        assert!(world.seen_from_pf("INVITE").iter().skip(1).count() == 0, "one INVITE, of the session that was lost");
    }
}
