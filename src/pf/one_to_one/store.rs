//! Shelves in the store: what is kept, for how long, and what makes room.

use super::{SenderId, SessionId, Shelf};
use crate::clause::Clause;
use crate::endpoint::{MsrpId, TransactionId};
use crate::engine::Write;
use crate::msrp::Incoming;
use crate::pf::core::Core;
use crate::pf::deferred::{Deferred, Item};
use crate::pf::journal::Waiting;
use crate::pf::notifications::Queue;
use crate::pf::one_to_one::session;
use crate::pf::procedures::{
    disposition_notifications, notification_sending, one_to_one_invitation, registration_event, standalone_message,
};
use crate::pf::schedule::Alarm;
use crate::pf::state::{GroupId, UserId};
use crate::pf::store::{self, Key};
use crate::time::Instant;

const TOO_OLD: &str = "a message is older than the policy keeps it: dropped";
const NOTIFIED: Clause = Clause::of("DGC-1.1-43");

/// What is answered once a message is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::pf) enum Owed {
    /// A message of the original sender in a session that stores.
    Stored(MsrpId, Incoming),
    /// A message of the original sender in a session with the user.
    Live(SessionId, MsrpId, Incoming),
    /// The INVITE that carried it.
    Invite(SessionId),
    /// The MESSAGE that it was.
    Standalone(TransactionId),
}

impl Core {
    /// What lies on a shelf.
    pub(in crate::pf) fn shelf(&self, shelf: Shelf) -> &Deferred {
        match shelf {
            Shelf::Sender(sender) => &self.one[sender].deferred,
            Shelf::Group(group) => &self[group].parcel.queue,
        }
    }

    /// What lies on a shelf, to be changed.
    pub(in crate::pf) fn shelf_mut(&mut self, shelf: Shelf) -> &mut Deferred {
        match shelf {
            Shelf::Sender(sender) => &mut self.one[sender].deferred,
            Shelf::Group(group) => &mut self[group].parcel.queue,
        }
    }

    /// Drops a stored message for good.
    pub(in crate::pf) fn forget_stored(&mut self, shelf: Shelf, number: u64) -> Option<Item> {
        match shelf {
            Shelf::Group(group) => self.forget_message(group, number),
            Shelf::Sender(sender) => {
                let item = self.one[sender].deferred.remove(number)?;
                self.written_off(sender, number, &item);
                Some(item)
            }
        }
    }

    /// A message is delivered to a Client that sends no notifications: it is kept until its sender is
    /// told, if the sender is to be told.
    pub(in crate::pf) fn keep_untold(&mut self, sender: SenderId, number: u64) {
        let Some(item) = self.forget_stored(Shelf::Sender(sender), number) else { return };
        if notification_sending::is_wanted(self, &item) {
            self.journal.delivered(sender, number);
            self.one[sender].untold.insert(number, item);
        }
    }

    /// The notification of a message has its outcome: the message is needed no longer, or waits for
    /// the next occasion to tell.
    pub(in crate::pf) fn on_told(&mut self, sender: SenderId, number: u64, told: bool) {
        let sender = &mut self.one[sender];
        sender.telling.remove(&number);
        if told {
            sender.untold.remove(&number);
        }
    }

    /// A message of a sender is gone from memory: from the store and from the counts as well.
    pub(in crate::pf) fn written_off(&mut self, sender: SenderId, number: u64, item: &Item) {
        let user = self.one[sender].user;
        self.users[user].stored -= 1;
        if let Some(id) = &item.message_id {
            self.one.by_message_id.remove(&(user, id.clone()));
        }
        self.journal.delete(Key::OneToOne(sender.0, number));
    }

    /// Asks for a message of a sender to be made durable; `None` when the store has no room.
    pub(in crate::pf) fn keep(&mut self, sender: SenderId, item: &Item, owed: Owed) -> Option<u64> {
        let user = self.one[sender].user;
        if item.body.len() > self.policy.max_size || !self.has_room(user) {
            self.note("a message is beyond the limits of the store: refused, the others are kept");
            return None;
        }
        self.journal.last_number += 1;
        let number = self.journal.last_number;
        self.users[user].stored += 1;
        if let Some(id) = &item.message_id {
            self.one.by_message_id.insert((user, id.clone()), (sender, number));
        }
        let put = |key: Key, value| Write::Put { key: key.encode(), value };
        let record = store::encode_sender(&self.users[user].uri, &self.one[sender]);
        let writes = vec![put(Key::Sender(sender.0), record), put(Key::OneToOne(sender.0, number), store::encode_message(item))];
        self.commit(writes, Waiting::OneToOne { sender, number, owed });
        Some(number)
    }

    /// Whether one more message may be stored for a user; the policy may drop the oldest for it.
    pub(in crate::pf) fn has_room(&mut self, user: UserId) -> bool {
        while self.users[user].stored >= self.policy.max_messages {
            if !self.policy.drop_oldest || self.drop_oldest(user).is_none() {
                return false;
            }
        }
        true
    }

    fn drop_oldest(&mut self, user: UserId) -> Option<Item> {
        let oldest_of = |group: &GroupId| {
            let own = &self[*group];
            let oldest = [own.deferred.oldest(), own.parcel.queue.oldest()].into_iter().flatten().min()?;
            Some((oldest, Shelf::Group(*group)))
        };
        let groups = self.users[user].groups.iter().filter_map(oldest_of);
        let senders = self.one.turns.get(&user).map(|turn| turn.senders.as_slice()).unwrap_or_default();
        let senders = senders.iter().filter_map(|sender| Some((self.one[*sender].deferred.oldest()?, Shelf::Sender(*sender))));
        let (number, shelf) = groups.chain(senders).min()?;
        self.note("the store is full: the oldest message of the user is dropped");
        self.forget_stored(shelf, number)
    }

    /// From now on the oldest message of a user has its time.
    pub(in crate::pf) fn watch_age(&mut self, user: UserId) {
        let Some(limit) = self.policy.max_age else { return };
        if self.schedule.runs(Alarm::Expire(user)) {
            return;
        }
        let senders = self.one.turns.get(&user).map(|turn| turn.senders.as_slice()).unwrap_or_default();
        let senders = senders.iter().filter_map(|sender| Some(self.one[*sender].deferred.first()?.since));
        let of_group =
            |group: &GroupId| [&self[*group].deferred, &self[*group].parcel.queue].into_iter().filter_map(Deferred::first);
        let groups = self.users[user].groups.iter().flat_map(of_group).map(|item| item.since);
        let notification = self.notifications.get(user).and_then(Queue::oldest);
        let written = self.users[user].groups.iter().filter_map(|group| self[*group].outbox.oldest());
        if let Some(oldest) = senders.chain(groups).chain(notification).chain(written).min() {
            self.schedule.set(Alarm::Expire(user), oldest + limit);
        }
    }

    /// What a user has not fetched in time is dropped.
    pub(in crate::pf) fn on_aged(&mut self, now: Instant, user: UserId) {
        let Some(limit) = self.policy.max_age else { return };
        let expired = |deferred: &Deferred| deferred.first().filter(|item| item.since + limit <= now).and(deferred.oldest());
        for group in self.users[user].groups.clone() {
            while let Some(number) = expired(&self[group].deferred).or_else(|| expired(&self[group].parcel.queue)) {
                self.note(TOO_OLD);
                self.forget_message(group, number);
            }
            self.drop_old_unsent(now, group, limit);
            self.pump(now, group);
            super::delivery::pump(self, now, Shelf::Group(group));
        }
        for sender in self.one.turns.get(&user).map(|turn| turn.senders.clone()).unwrap_or_default() {
            while let Some(number) = expired(&self.one[sender].deferred) {
                self.note(TOO_OLD);
                self.forget_stored(Shelf::Sender(sender), number);
            }
            super::delivery::pump(self, now, Shelf::Sender(sender));
        }
        disposition_notifications::on_aged(self, now, user, limit);
        self.watch_age(user);
    }

    /// The store is done with a message of a sender.
    pub(in crate::pf) fn on_kept(&mut self, now: Instant, sender: SenderId, number: u64, owed: Owed, durable: bool) {
        match owed {
            Owed::Stored(media, incoming) => {
                self.settle(now, sender, number, durable);
                self.answer_message(now, media, &incoming, durable);
                session::on_stored(self, now, sender);
            }
            Owed::Live(id, media, incoming) => {
                session::on_live_kept(self, now, id, (sender, number), durable);
                self.answer_message(now, media, &incoming, durable);
                session::pump(self, now, id);
            }
            Owed::Invite(id) => {
                self.settle(now, sender, number, durable);
                one_to_one_invitation::on_first_kept(self, now, id, durable);
                session::on_stored(self, now, sender);
            }
            Owed::Standalone(asked) => {
                self.settle(now, sender, number, durable);
                standalone_message::on_kept(self, now, asked, durable);
                session::on_stored(self, now, sender);
            }
        }
    }

    /// A message on the shelf is durable, or was not to be made so.
    pub(in crate::pf) fn settle(&mut self, now: Instant, sender: SenderId, number: u64, durable: bool) {
        let user = self.one[sender].user;
        self.watch_age(user);
        registration_event::watch(self, now, user);
        if durable && self.one[sender].deferred.make_durable(number).is_none() {
            // It is gone meanwhile.
            self.journal.delete(Key::OneToOne(sender.0, number));
        } else if !durable && let Some(item) = self.one[sender].deferred.remove(number) {
            self.written_off(sender, number, &item);
        }
    }

    fn answer_message(&mut self, now: Instant, media: MsrpId, incoming: &Incoming, durable: bool) {
        if durable {
            self.acknowledge_message(now, media, incoming);
        } else {
            self.note("a message could not be stored: refused, the others are kept");
            self.endpoint.msrp_answer(now, media, incoming.token, 413);
        }
    }

    /// A user has notified of a message: it is not offered again (last sentence of 8.3.2.9.1.1).
    pub(in crate::pf) fn on_notified(&mut self, now: Instant, user: UserId, message_id: &str) {
        let Some((sender, number)) = self.one.by_message_id.get(&(user, message_id.to_owned())).copied() else {
            if self.release_group_message(user, message_id).is_some() {
                self.because(NOTIFIED, "the user has the message: it is kept no longer");
            }
            return;
        };
        self.because(NOTIFIED, "the user has the message: it is kept no longer");
        if self.forget_stored(Shelf::Sender(sender), number).is_some() {
            super::delivery::pump(self, now, Shelf::Sender(sender));
        }
    }
}
