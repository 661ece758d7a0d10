//! What is on its way to the store: batches, and what waits for them to be durable.
//!
//! A stored message is acknowledged when its batch is. Everything else is written down at the end
//! of the input that changed it, in one batch; a batch of that kind that fails is written again.

use std::collections::{BTreeMap, BTreeSet};

use super::core::Core;
use super::deferred::Item;
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
    /// Nothing; if it fails it is written again.
    Changes {
        /// The groups whose records are in it.
        groups: BTreeSet<GroupId>,
        /// The users whose records are in it.
        users: BTreeSet<UserId>,
        /// What it deletes.
        deleted: Vec<Key>,
    },
}

/// The PF's side of its store.
#[derive(Debug, Default)]
pub(super) struct Journal {
    batches: u64,
    /// The number of the last message.
    pub(super) last_number: u64,
    waiting: BTreeMap<BatchId, Waiting>,
    groups: BTreeSet<GroupId>,
    users: BTreeSet<UserId>,
    deleted: Vec<Key>,
}

impl Journal {
    /// Notes that a group has changed.
    pub(super) fn touch(&mut self, group: GroupId) {
        self.groups.insert(group);
    }

    /// Notes that a user has changed.
    pub(super) fn touch_user(&mut self, user: UserId) {
        self.users.insert(user);
    }

    /// Notes that a message is not needed any more.
    pub(super) fn delete(&mut self, key: Key) {
        self.deleted.push(key);
    }
}

impl Core {
    fn commit(&mut self, writes: Vec<Write>, waiting: Waiting) {
        self.journal.batches += 1;
        let batch = BatchId(self.journal.batches);
        self.journal.waiting.insert(batch, waiting);
        self.push(Output::Commit { batch, writes });
    }

    /// Asks for a message to be made durable; it is answered when that is done.
    pub(super) fn commit_message(&mut self, group: GroupId, number: u64, session: MsrpId, incoming: Incoming) {
        let key = Key::Message(group.0, number).encode();
        let value = store::encode_message(&incoming.content_type, &incoming.body);
        self.commit(vec![Write::Put { key, value }], Waiting::Message { group, number, session, incoming });
    }

    /// Writes down what has changed since the last time.
    pub(super) fn save_changes(&mut self) {
        let groups = std::mem::take(&mut self.journal.groups);
        let users = std::mem::take(&mut self.journal.users);
        let deleted = std::mem::take(&mut self.journal.deleted);
        if groups.is_empty() && users.is_empty() && deleted.is_empty() {
            return;
        }
        let mut writes = Vec::new();
        for user in &users {
            writes.push(Write::Put { key: Key::User(user.0).encode(), value: store::encode_user(&self.users[*user]) });
        }
        for group in &groups {
            let value = store::GroupRecord::of(self, *group).encode();
            writes.push(Write::Put { key: Key::Group(group.0).encode(), value });
        }
        writes.extend(deleted.iter().map(|key| Write::Delete { key: key.encode() }));
        self.commit(writes, Waiting::Changes { groups, users, deleted });
    }

    /// The store is done with a batch.
    pub(super) fn on_committed(&mut self, now: Instant, batch: BatchId, outcome: CommitOutcome) {
        match (self.journal.waiting.remove(&batch), outcome) {
            (Some(Waiting::Message { group, number, session, incoming }), CommitOutcome::Durable) => {
                self.acknowledge_message(now, session, &incoming);
                match self[group].deferred.make_durable(number) {
                    Some(()) => self.pump(now, group),
                    // The user has declined or left meanwhile.
                    None => self.journal.delete(Key::Message(group.0, number)),
                }
            }
            (Some(Waiting::Message { group, number, session, incoming }), CommitOutcome::Failed) => {
                self.note("a message could not be stored: refused, the others are kept");
                self.endpoint.msrp_answer(now, session, incoming.token, 413);
                if self[group].deferred.remove(number).is_some() {
                    let user = self[group].user;
                    self.users[user].stored -= 1;
                }
                self.pump(now, group);
            }
            (Some(Waiting::Changes { groups, users, deleted }), CommitOutcome::Failed) => {
                self.journal.groups.extend(groups);
                self.journal.users.extend(users);
                self.journal.deleted.extend(deleted);
            }
            (Some(Waiting::Changes { .. }), CommitOutcome::Durable) | (None, _) => {}
        }
    }

    /// Drops a message for good: it was acknowledged, or nobody wants it.
    pub(super) fn forget_message(&mut self, group: GroupId, number: u64) -> Option<Item> {
        let item = self[group].deferred.remove(number)?;
        let user = self[group].user;
        self.users[user].stored -= 1;
        self.journal.delete(Key::Message(group.0, number));
        Some(item)
    }

    /// Drops everything that is stored in a group.
    pub(super) fn discard(&mut self, group: GroupId) {
        for number in self[group].deferred.discard() {
            let user = self[group].user;
            self.users[user].stored -= 1;
            self.journal.delete(Key::Message(group.0, number));
        }
    }
}
