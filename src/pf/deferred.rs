//! What waits for one user in one group: stored messages in the order in which they came.
//!
//! Every message of the focus passes through here, in a live session too, where the queue is
//! mostly empty: so a message is acknowledged only once it is durable, live messages come behind
//! stored ones, and a loss leaves behind exactly what the Client did not acknowledge.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::endpoint::MsrpId;
use crate::time::{Instant, unix_micros};
use crate::wire::cpim::Cpim;
use crate::wire::datetime;

/// Who sent a message, as far as a failure has to be reported back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Origin {
    /// The session that it came by.
    pub(super) session: MsrpId,
    /// Its Message-ID there.
    pub(super) message_id: String,
}

/// One stored message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Item {
    /// Its Content-Type.
    pub(super) content_type: String,
    /// Its body, as it came.
    pub(super) body: Bytes,
    /// Whether the store has it for good.
    pub(super) durable: bool,
    /// Where to report when a Client that is there refuses it.
    pub(super) origin: Option<Origin>,
    /// When it came.
    pub(super) since: Instant,
    /// Conversation-ID, Contribution-ID and the like of its 1-1 session; a group has them once.
    pub(super) identifiers: Vec<(String, String)>,
    /// The instance of the device that sent it, where its session told.
    pub(super) device: Option<String>,
    /// Its imdn.Message-ID, read where disposition notifications may speak of it.
    pub(super) message_id: Option<String>,
    /// Its DateTime in microseconds since 1970, else when it came.
    pub(super) date: i64,
}

impl Item {
    /// A message that is not durable yet.
    pub(super) fn new(now: Instant, content_type: &str, body: Bytes) -> Self {
        Self {
            content_type: content_type.to_owned(),
            body,
            durable: false,
            origin: None,
            since: now,
            identifiers: Vec::new(),
            device: None,
            message_id: None,
            date: unix_micros(now),
        }
    }

    /// The same message as one that this device sent.
    pub(super) fn with_device(self, device: Option<String>) -> Self {
        Self { device, ..self }
    }

    /// The same message as one of a 1-1 session with these identifiers.
    pub(super) fn with_identifiers(mut self, identifiers: Vec<(String, String)>) -> Self {
        self.identifiers = identifiers;
        if let Ok(cpim) = Cpim::decode(self.body.clone()) {
            self.message_id = cpim.message_id().map(str::to_owned);
            self.date = cpim.date_time().and_then(|text| datetime::parse(text).ok()).unwrap_or(self.date);
        }
        self
    }
}

/// The queue. Numbers grow over all groups, so they also tell whose data is oldest.
#[derive(Clone, Debug, Default)]
pub(super) struct Deferred {
    items: BTreeMap<u64, Item>,
    /// Every item below was sent, or skipped, in the present session.
    cursor: u64,
    /// Every item below was sent, or skipped, in some session.
    reached: u64,
    /// Sent and not answered yet.
    outstanding: BTreeSet<u64>,
}

impl Deferred {
    /// Adds a message at the end.
    pub(super) fn push(&mut self, number: u64, item: Item) {
        self.items.insert(number, item);
    }

    /// Marks a message as durable; `None` when it is gone meanwhile.
    pub(super) fn make_durable(&mut self, number: u64) -> Option<()> {
        self.items.get_mut(&number).map(|item| item.durable = true)
    }

    /// Takes a message out.
    pub(super) fn remove(&mut self, number: u64) -> Option<Item> {
        self.outstanding.remove(&number);
        self.items.remove(&number)
    }

    /// Takes everything out; returns the numbers.
    pub(super) fn discard(&mut self) -> Vec<u64> {
        self.rewind();
        std::mem::take(&mut self.items).into_keys().collect()
    }

    /// Whether nothing is stored.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// A message.
    pub(super) fn get(&self, number: u64) -> Option<&Item> {
        self.items.get(&number)
    }

    /// The oldest message.
    pub(super) fn first(&self) -> Option<&Item> {
        self.items.values().next()
    }

    /// The oldest message that is durable.
    pub(super) fn first_durable(&self) -> Option<(u64, &Item)> {
        self.items.iter().find(|(_, item)| item.durable).map(|(number, item)| (*number, item))
    }

    /// Takes everything out, with the numbers.
    pub(super) fn take_all(&mut self) -> BTreeMap<u64, Item> {
        self.rewind();
        std::mem::take(&mut self.items)
    }

    /// The number of the oldest message.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.items.keys().next().copied()
    }

    /// The messages in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Item)> {
        self.items.iter().map(|(number, item)| (*number, item))
    }

    /// Takes out the messages that are wanted, to be sent in a session of their own.
    pub(super) fn split(&mut self, wanted: impl Fn(&Item) -> bool) -> Self {
        let items = self.items.extract_if(.., |_, item| wanted(item)).collect();
        Self { items, ..Self::default() }
    }

    /// Takes back what another session has left over: it is due in this one, in its place.
    pub(super) fn merge(&mut self, mut rest: Self) {
        if let Some(oldest) = rest.oldest() {
            self.cursor = self.cursor.min(oldest);
            self.items.append(&mut rest.items);
        }
    }

    /// The next message to send in this session, if it is durable.
    pub(super) fn next(&self) -> Option<(u64, &Item)> {
        let mut due = self.items.range(self.cursor..).filter(|(number, _)| !self.outstanding.contains(number));
        due.next().filter(|(_, item)| item.durable).map(|(number, item)| (*number, item))
    }

    /// Notes that a message was sent.
    pub(super) fn sent(&mut self, number: u64) {
        self.skip(number);
        self.outstanding.insert(number);
    }

    /// Passes over a message in this session; it stays stored.
    pub(super) fn skip(&mut self, number: u64) {
        self.outstanding.remove(&number);
        self.cursor = self.cursor.max(number + 1);
        self.reached = self.reached.max(self.cursor);
    }

    /// The message of this imdn.Message-ID, if a Client may have it although it did not say so.
    pub(super) fn find_sent(&self, message_id: &str) -> Option<u64> {
        let is = |item: &Item| Cpim::decode(item.body.clone()).is_ok_and(|cpim| cpim.message_id() == Some(message_id));
        self.items.range(..self.reached).find(|(_, item)| is(item)).map(|(number, _)| *number)
    }

    /// How many messages wait for their answer.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Whether this session has nothing more to send and nothing unanswered.
    pub(super) fn is_drained(&self) -> bool {
        self.outstanding.is_empty() && self.items.range(self.cursor..).next().is_none()
    }

    /// What was sent and not answered is due again in this session.
    pub(super) fn retract(&mut self) {
        self.cursor = self.outstanding.first().copied().unwrap_or(self.cursor);
        self.outstanding.clear();
    }

    /// Forgets what was sent: the session is over, the next one starts with the oldest message.
    pub(super) fn rewind(&mut self) {
        self.cursor = 0;
        self.outstanding.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(durable: bool) -> Item {
        Item { durable, ..Item::new(Instant::ZERO, "message/cpim", Bytes::from_static(b"x")) }
    }

    #[test]
    fn messages_leave_in_order_and_only_when_durable() {
        let mut queue = Deferred::default();
        queue.push(3, item(true));
        queue.push(5, item(false));
        queue.push(8, item(true));
        assert_eq!(queue.next().map(|(number, _)| number), Some(3));
        queue.sent(3);
        assert_eq!(queue.next(), None);
        assert_eq!(queue.make_durable(5), Some(()));
        assert_eq!(queue.next().map(|(number, _)| number), Some(5));
        assert_eq!(queue.outstanding(), 1);
    }

    #[test]
    fn what_was_not_answered_comes_again_in_the_next_session() {
        let mut queue = Deferred::default();
        queue.push(1, item(true));
        queue.push(2, item(true));
        queue.sent(1);
        queue.sent(2);
        queue.remove(1);
        assert!(!queue.is_drained());
        queue.rewind();
        assert_eq!(queue.next().map(|(number, _)| number), Some(2));
        assert_eq!(queue.oldest(), Some(2));
    }

    #[test]
    fn what_another_session_left_over_is_due_again_and_nothing_is_sent_twice() {
        let mut queue = Deferred::default();
        queue.push(1, item(true));
        queue.push(2, item(true));
        let mut parcel = queue.split(|_| true);
        assert!(queue.is_empty());
        parcel.sent(1);
        parcel.remove(1);
        queue.push(3, item(true));
        queue.sent(3);
        queue.merge(parcel);
        assert_eq!(queue.next().map(|(number, _)| number), Some(2));
        queue.sent(2);
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn a_refused_message_is_passed_over_and_kept() {
        let mut queue = Deferred::default();
        queue.push(1, item(true));
        queue.push(2, item(true));
        queue.sent(1);
        queue.skip(1);
        assert_eq!(queue.next().map(|(number, _)| number), Some(2));
        queue.sent(2);
        queue.remove(2);
        assert!(queue.is_drained() && !queue.is_empty());
    }
}
