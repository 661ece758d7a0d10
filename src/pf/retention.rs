//! Groups that are over are forgotten after a while.
//!
//! A group without legs and without anything stored is kept, so that a re-join can start it again:
//! the identity that its Client was shown leads to the focus by the record alone. `group.forget-after`
//! says for how long. Its number is given to another group once its record is gone for good.

use super::core::{Call, Core, Watch};
use super::headers::Invitation;
use super::one_to_one::Shelf;
use super::schedule::Alarm;
use super::state::{Group, GroupId, Phase, Side};
use crate::time::Instant;

impl Core {
    /// Groups are looked at now and then from now on, each as it comes to be.
    pub(super) fn watch_groups(&mut self, now: Instant) {
        for group in std::mem::take(&mut self.fresh) {
            if let Some(span) = self.policy.forget_after {
                self.schedule.set(Alarm::Forget(group), now + span);
            }
        }
    }

    /// Forgets a group that was over the last time already and has not been anything else since.
    pub(super) fn on_forgetting(&mut self, now: Instant, group: GroupId) {
        let Some(span) = self.policy.forget_after else { return };
        let over = self[group].is_over() && !self.is_referred_to(group);
        if over && self[group].was_over {
            return self.forget_group(group);
        }
        self[group].was_over = over;
        self.schedule.set(Alarm::Forget(group), now + span);
    }

    /// Whether something that is under way has to do with a group.
    fn is_referred_to(&self, group: GroupId) -> bool {
        let watched = |watch: &Watch| matches!(watch, Watch::Own(known) | Watch::Relayed(known) if *known == group);
        self.calls.values().any(|call| call.group() == Some(group))
            || self.asked.values().any(|known| *known == group)
            || self.watches.values().any(watched)
            || self.one.deliveries.contains_key(&Shelf::Group(group))
            || self.journal.waits_for(group)
    }

    fn forget_group(&mut self, group: GroupId) {
        self.note("a group that has long been over is forgotten");
        let user = self[group].user;
        self.forget_identities(group);
        self.users[user].groups.retain(|known| *known != group);
        self.users[user].waiting.retain(|known| *known != group);
        let sides = [Side::Client, Side::Focus].into_iter();
        let by_side = sides.flat_map(|side| [Alarm::Disconnected(group, side), Alarm::Refresh(group, side)]);
        let own = [Alarm::Retry(group), Alarm::Ringing(group), Alarm::Restarting(group), Alarm::Abandoned(group)];
        own.into_iter().chain(by_side).for_each(|alarm| self.schedule.stop(alarm));
        self[group] = Group::new(user, String::new(), String::new(), Invitation::default());
        self.journal.forget_group(group);
    }
}

impl Call {
    /// The group that a request of the PF is for.
    const fn group(&self) -> Option<GroupId> {
        match self {
            Self::Invitation(group)
            | Self::Delivery(group)
            | Self::Join(group)
            | Self::Restart(group)
            | Self::Modification(group, _)
            | Self::Refresh(group, _)
            | Self::Repair(group)
            | Self::DeliveryAt(Shelf::Group(group))
            | Self::Completed(Shelf::Group(group), _) => Some(*group),
            Self::Notify(_)
            | Self::Bye(_)
            | Self::Message(_)
            | Self::InvitationAt(_)
            | Self::DeliveryAt(Shelf::Sender(_))
            | Self::Completed(Shelf::Sender(_), _)
            | Self::ModificationAt(..)
            | Self::RefreshAt(_)
            | Self::Notification { .. }
            | Self::NotificationMessage(..)
            | Self::NotificationSession(_)
            | Self::NotificationBye(..)
            | Self::Told(..) => None,
        }
    }
}

impl Group {
    /// Whether nothing but the memory of the group is left.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Dormant | Phase::Gone)
            && self.client.is_none()
            && self.focus_leg.is_none()
            && self.offered.is_none()
            && self.subscription.is_none()
            && self.modification.is_none()
            && self.deferred.is_empty()
            && self.parcel.queue.is_empty()
            && self.outbox.is_empty()
    }

    /// Whether its number belongs to no group.
    pub(super) const fn is_hole(&self) -> bool {
        self.shown.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::pf::testing::{BOB, PHONE, World};

    const MINUTE: Duration = Duration::from_secs(60);

    /// A group that has ended while Bob was in it.
    fn ended() -> (World, String) {
        let mut world = World::with(&[("group.forget-after", "1m")]);
        let (focus, _, message) = world.established();
        let shown = message.contact().expect("a Contact").uri.text.to_owned();
        world.bye(&focus, None);
        let (bye, _, _) = world.request(BOB, "BYE");
        world.answer(BOB, bye, 200);
        (world, shown)
    }

    #[test]
    fn a_group_is_forgotten_when_it_has_long_been_over() {
        let (mut world, shown) = ended();
        assert!(world.groups() > 0);
        world.pass(MINUTE * 3);
        assert_eq!((world.groups(), world.records_of_groups()), (0, 0));
        world.rejoin(&shown, PHONE);
        world.response(BOB, 404);
    }

    #[test]
    fn a_group_that_was_started_again_is_kept() {
        let (mut world, _) = ended();
        world.pass(MINUTE / 2);
        world.established();
        world.pass(MINUTE * 3);
        assert!(world.groups() > 0);
    }

    #[test]
    fn a_group_with_something_stored_is_kept() {
        let mut world = World::dormant(&[("group.forget-after", "1m")], &["one"], None);
        world.pass(MINUTE * 5);
        world.register(600_000, None);
        let (_, _, invite) = world.request(BOB, "INVITE");
        assert!(invite.body().windows(3).any(|word| word == b"one"));
    }

    #[test]
    fn the_number_of_a_forgotten_group_is_given_again() {
        let (mut world, _) = ended();
        world.pass(MINUTE * 3);
        let before = world.numbers();
        world.established_with(2);
        assert_eq!(world.numbers(), before);
        world.restart();
        assert_eq!(world.numbers(), before);
    }
}
