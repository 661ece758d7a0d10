//! What is on its way to the store: batches, and what waits for them to be durable.
//!
//! A stored message is acknowledged when its batch is. Everything else is written down at the end
//! of the input that changed it, in one batch; a batch of that kind that fails is written again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::core::Core;
use super::deferred::Item;
use super::notifications::Answer;
use super::one_to_one::{SenderId, Shelf, delivery, store::Owed};
use super::procedures::disposition_notifications;
use super::schedule::Alarm;
use super::state::{GroupId, UserId};
use super::store::{self, Key};
use crate::endpoint::MsrpId;
use crate::engine::{BatchId, CommitOutcome, Output, Write};
use crate::msrp::Incoming;
use crate::time::Instant;

/// What waits for a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Waiting {
    /// A message of the focus waits for its answer.
    Message {
        /// Its group.
        group: GroupId,
        /// Its number.
        number: u64,
        /// The session that it came by.
        session: MsrpId,
        /// The message, whose answer is due.
        incoming: Incoming,
    },
    /// A message of the Client waits for its answer.
    Unsent {
        /// Its group.
        group: GroupId,
        /// Its number.
        number: u64,
        /// The session that it came by.
        session: MsrpId,
        /// The message, whose answer is due.
        incoming: Incoming,
    },
    /// Someone waits for the answer to a message of an original sender.
    OneToOne {
        /// The sender.
        sender: SenderId,
        /// Its number.
        number: u64,
        /// What is to be answered.
        owed: Owed,
    },
    /// Someone waits for the answer to a disposition notification.
    Notification {
        /// Whom it is for.
        user: UserId,
        /// Its number.
        number: u64,
        /// The answer that is due.
        answer: Answer,
    },
    /// Nothing; if it fails it is written again.
    Nothing(Changes),
}

/// What has changed since it was written down.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Changes {
    life: Option<u64>,
    groups: BTreeSet<GroupId>,
    users: BTreeSet<UserId>,
    /// Messages that were delivered and whose senders are still to be told.
    delivered: BTreeSet<(SenderId, u64)>,
    deleted: Vec<Key>,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.life.is_none()
            && self.groups.is_empty()
            && self.users.is_empty()
            && self.delivered.is_empty()
            && self.deleted.is_empty()
    }

    fn add(&mut self, other: Self) {
        self.life = self.life.or(other.life);
        self.groups.extend(other.groups);
        self.users.extend(other.users);
        self.delivered.extend(other.delivered);
        self.deleted.extend(other.deleted);
    }
}

/// How long the PF waits before it writes again what could not be written.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// The PF's side of its store.
#[derive(Debug, Default)]
pub(super) struct Journal {
    batches: u64,
    /// The number of the last message.
    pub(super) last_number: u64,
    waiting: BTreeMap<BatchId, Waiting>,
    changes: Changes,
    /// Groups whose records the store has.
    recorded: BTreeSet<GroupId>,
    /// What could not be written.
    failed: Changes,
}

impl Journal {
    /// Notes that the PF was started once more.
    pub(super) fn begin_life(&mut self, number: u64) {
        self.changes.life = Some(number);
    }

    /// Takes up again what could not be written.
    pub(super) fn write_again(&mut self) {
        self.changes.add(std::mem::take(&mut self.failed));
    }

    /// Notes that the store has the record of a group.
    pub(super) fn has(&mut self, group: GroupId) {
        self.recorded.insert(group);
    }

    /// Notes that a group has changed.
    pub(super) fn touch(&mut self, group: GroupId) {
        self.changes.groups.insert(group);
    }

    /// Notes that a user has changed.
    pub(super) fn touch_user(&mut self, user: UserId) {
        self.changes.users.insert(user);
    }

    /// Notes that a message was delivered and that its sender is still to be told.
    pub(super) fn delivered(&mut self, sender: SenderId, number: u64) {
        self.changes.delivered.insert((sender, number));
    }

    /// Notes that a group is forgotten.
    pub(super) fn forget_group(&mut self, group: GroupId) {
        self.recorded.remove(&group);
        self.changes.groups.remove(&group);
        self.failed.groups.remove(&group);
        self.delete(Key::Group(group.0));
    }

    /// Whether a message of a group is on its way to the store.
    pub(super) fn waits_for(&self, group: GroupId) -> bool {
        self.waiting.values().any(|waiting| match waiting {
            Waiting::Message { group: known, .. } | Waiting::Unsent { group: known, .. } => *known == group,
            Waiting::OneToOne { .. } | Waiting::Notification { .. } | Waiting::Nothing(_) => false,
        })
    }

    /// Notes that a message is not needed any more.
    pub(super) fn delete(&mut self, key: Key) {
        self.changes.deleted.push(key);
    }
}

impl Core {
    pub(super) fn commit(&mut self, writes: Vec<Write>, waiting: Waiting) {
        self.journal.batches += 1;
        let batch = BatchId(self.journal.batches);
        self.journal.waiting.insert(batch, waiting);
        self.push(Output::Commit { batch, writes });
    }

    /// Asks for a message to be made durable; it is answered when that is done.
    pub(super) fn commit_message(&mut self, group: GroupId, number: u64, item: &Item, session: MsrpId, incoming: Incoming) {
        let writes = self.with_group(group, Key::Message(group.0, number), store::encode_message(item));
        self.commit(writes, Waiting::Message { group, number, session, incoming });
    }

    /// The batch that writes a record of a group. The group goes along while the store has not got it:
    /// what belongs to no group could not be taken up again, and the batch with the group may still be
    /// under way, or fail.
    pub(super) fn with_group(&self, group: GroupId, key: Key, value: Bytes) -> Vec<Write> {
        let put = |key: Key, value| Write::Put { key: key.encode(), value };
        let missing = !self.journal.recorded.contains(&group);
        let own = missing.then(|| put(Key::Group(group.0), store::GroupRecord::of(self, group).encode()));
        std::iter::once(put(key, value)).chain(own).collect()
    }

    /// Writes down what has changed since the last time.
    pub(super) fn save_changes(&mut self) {
        let changes = std::mem::take(&mut self.journal.changes);
        if changes.is_empty() {
            return;
        }
        let put = |key: Key, value| Write::Put { key: key.encode(), value };
        let mut writes: Vec<Write> = changes.life.map(|life| put(Key::Life, store::encode_life(life))).into_iter().collect();
        writes.extend(changes.users.iter().map(|user| put(Key::User(user.0), store::encode_user(&self.users[*user]))));
        let groups = changes.groups.iter().filter(|group| !self[**group].is_hole());
        writes.extend(groups.map(|group| put(Key::Group(group.0), store::GroupRecord::of(self, *group).encode())));
        writes.extend(changes.delivered.iter().filter_map(|(sender, number)| {
            let item = self.one[*sender].untold.get(number)?;
            Some(put(Key::Delivered(sender.0, *number), store::encode_message(item)))
        }));
        writes.extend(changes.deleted.iter().map(|key| Write::Delete { key: key.encode() }));
        self.commit(writes, Waiting::Nothing(changes));
    }

    /// The store is done with a batch.
    pub(super) fn on_committed(&mut self, now: Instant, batch: BatchId, outcome: CommitOutcome) {
        match (self.journal.waiting.remove(&batch), outcome) {
            (Some(Waiting::Message { group, number, session, incoming }), CommitOutcome::Durable) => {
                self.journal.has(group);
                self.acknowledge_message(now, session, &incoming);
                self.watch_age(self[group].user);
                match self[group].make_durable(number) {
                    Some(()) => {
                        self.pump(now, group);
                        delivery::pump(self, now, Shelf::Group(group));
                    }
                    // The user has declined or left meanwhile.
                    None => self.journal.delete(Key::Message(group.0, number)),
                }
            }
            (Some(Waiting::Message { group, number, session, incoming }), CommitOutcome::Failed) => {
                self.note("a message could not be stored: refused, the others are kept");
                self.endpoint.msrp_answer(now, session, incoming.token, 413);
                if self[group].take_stored(number).is_some() {
                    let user = self[group].user;
                    self.users[user].stored -= 1;
                }
                self.pump(now, group);
            }
            (Some(Waiting::Unsent { group, number, session, incoming }), outcome) => {
                self.on_unsent_kept(now, (group, number), (session, &incoming), outcome == CommitOutcome::Durable);
            }
            (Some(Waiting::OneToOne { sender, number, owed }), outcome) => {
                self.on_kept(now, sender, number, owed, outcome == CommitOutcome::Durable);
            }
            (Some(Waiting::Notification { user, number, answer }), outcome) => {
                disposition_notifications::on_kept(self, now, (user, number), answer, outcome == CommitOutcome::Durable);
            }
            (Some(Waiting::Nothing(changes)), CommitOutcome::Failed) => {
                self.journal.failed.add(changes);
                self.schedule.set(Alarm::WriteAgain, now + WRITE_AGAIN);
            }
            (Some(Waiting::Nothing(changes)), CommitOutcome::Durable) => self.on_written(&changes),
            (None, _) => {}
        }
    }

    /// The store has what has changed; a number whose record is gone is free for another group.
    fn on_written(&mut self, changes: &Changes) {
        let (holes, groups): (Vec<GroupId>, Vec<GroupId>) = changes.groups.iter().partition(|group| self[**group].is_hole());
        debug_assert!(holes.iter().all(|hole| !self.journal.recorded.contains(hole)), "a hole has no record");
        self.journal.recorded.extend(groups);
        let gone =
            changes.deleted.iter().filter_map(|key| if let Key::Group(number) = key { Some(GroupId(*number)) } else { None });
        self.holes.extend(gone);
    }

    /// Drops a message for good: it was acknowledged, or nobody wants it.
    pub(super) fn forget_message(&mut self, group: GroupId, number: u64) -> Option<Item> {
        let item = self[group].take_stored(number)?;
        self.strike_off(group, [number]);
        Some(item)
    }

    /// Drops a message of a user's groups that was sent and not acknowledged, by its
    /// imdn.Message-ID.
    pub(super) fn release_group_message(&mut self, user: UserId, message_id: &str) -> Option<Item> {
        let mut groups = self.users[user].groups.iter();
        let (group, number) = groups.find_map(|group| Some((*group, self[*group].deferred.find_sent(message_id)?)))?;
        self.forget_message(group, number)
    }

    /// Drops everything that is stored in a group, as far as no session has taken it along.
    pub(super) fn discard(&mut self, group: GroupId) {
        self.discard_unsent(group);
        let numbers = self[group].deferred.discard();
        self.strike_off(group, numbers);
    }

    /// Takes messages that are gone out of the count and the store.
    pub(super) fn strike_off(&mut self, group: GroupId, numbers: impl IntoIterator<Item = u64>) {
        let user = self[group].user;
        for number in numbers {
            self.users[user].stored -= 1;
            self.journal.delete(Key::Message(group.0, number));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::CommitOutcome;
    use crate::pf::testing::{BOB, FOCUS, PHONE, World};

    #[test]
    fn a_message_takes_its_group_along_while_the_store_has_not_got_it() {
        let mut world = World::new();
        world.commits.resize(100, CommitOutcome::Failed);
        let (mut focus, bob, _) = world.established();
        world.lose(&bob);
        world.subscribed();
        world.commits.clear();
        world.missed(&focus, &["one"]);
        world.restart();
        let (repair, _) = world.skip_to_request(FOCUS, "INVITE");
        world.repaired(&mut focus, repair);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        world.delivered(&["one"]);
    }
}
