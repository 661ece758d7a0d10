//! Disposition notifications that wait for the users who asked for them (8.3.2.9.1.1).
//!
//! A notification is addressed to the original sender of a chat message. It is kept here while that
//! user is away, and leaves by exactly one way; which one is decided in the procedures.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::leg::{Leg, Media};
use super::one_to_one::SenderId;
use super::state::{UserId, address_key};
use crate::endpoint::{MsrpId, TransactionId};
use crate::msrp::Incoming;
use crate::time::Instant;
use crate::wire::cpim::{self, Cpim};
use crate::wire::imdn::{self, Imdn};
use crate::wire::sip::header::MediaType;

/// One notification on its way to a user.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Notification {
    /// The CPM address of its sender, who got the message that it speaks of.
    pub(super) from: String,
    /// Whether that sender asked for privacy (RFC 3323).
    pub(super) private: bool,
    /// The instance of the device that is to have it: the one that sent the message.
    pub(super) target: Option<String>,
    /// The instance of the device that made it.
    pub(super) origin: Option<String>,
    /// Conversation-ID, Contribution-ID and the like.
    pub(super) identifiers: Vec<(String, String)>,
    /// Its CPIM message, as it came.
    pub(super) body: Bytes,
    /// Since when it is kept.
    pub(super) since: Instant,
}

impl Notification {
    /// Whether it shows the same sender as another.
    fn is_of_the_sender_of(&self, other: &Self) -> bool {
        self.private == other.private && address_key(&self.from) == address_key(&other.from)
    }

    /// Whether a device may have it; one that no device is named for is for any.
    pub(super) fn is_for(&self, device: Option<&str>) -> bool {
        self.target.is_none() || self.target.as_deref() == device
    }
}

/// Reads a body as a notification: an IMDN document in a CPIM wrapper.
pub(super) fn read(content_type: &str, body: &Bytes) -> Option<Imdn> {
    let is = |value: &str, essence| MediaType::parse(value).is_ok_and(|own| own.is(essence));
    let cpim = is(content_type, cpim::MEDIA_TYPE).then(|| Cpim::decode(body.clone()).ok()).flatten()?;
    is(cpim.content_type()?, imdn::MEDIA_TYPE).then(|| Imdn::parse(&cpim.decoded()).ok()).flatten()
}

/// Where a notification stands.
///
/// ```text
/// Storing -> Waiting            durable
/// Waiting -> Sent               it left by one of the ways
/// Sent    -> gone               accepted
/// Sent    -> Passed             refused: not again before the next trigger
/// Sent    -> Waiting            the session ended before the answer
/// Passed  -> Waiting            trigger
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    /// The store does not have it for good yet.
    Storing,
    /// It waits for a way.
    Waiting,
    /// It was sent in this session.
    Sent(MsrpId),
    /// It was sent by MESSAGE.
    SentByMessage,
    /// It was refused; it waits for the next trigger.
    Passed,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    notification: Notification,
    standing: Standing,
    /// A session has refused it: it may still travel by MESSAGE.
    unsuited: bool,
}

/// How far the session for notifications of one user has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// The INVITE has no final response.
    Invited {
        /// The INVITE.
        call: TransactionId,
        /// Whether the PF has cancelled it.
        cancelled: bool,
    },
    /// It was accepted; notifications are on their way.
    Sending {
        /// The instance that accepted.
        device: Option<String>,
    },
    /// The BYE is not answered.
    Ending,
}

/// A session for notifications of one sender to one device of a user.
#[derive(Debug)]
pub(super) struct Session {
    /// The first of them: it tells whose they are and which device was invited.
    pub(super) first: Notification,
    /// How far it has come.
    pub(super) stage: Stage,
    /// The medium that the INVITE offers.
    pub(super) offered: Option<Media>,
    /// The leg.
    pub(super) leg: Option<Leg>,
}

/// Who waits for a notification to be durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// A MESSAGE: 202, since it is kept (RFC 3428 7).
    Message(TransactionId),
    /// An MSRP session.
    Msrp(MsrpId, Incoming),
    /// Nobody: the PF made it of this message of a sender, which need not be kept any longer.
    Told(SenderId, u64),
    /// Nobody: the PF had it already.
    Nobody,
}

/// What waits for one user.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: BTreeMap<u64, Entry>,
    /// The session that is under way.
    pub(super) session: Option<Session>,
    /// The MESSAGE that is under way.
    pub(super) message: Option<u64>,
    /// An error has stopped the delivery until the next trigger.
    pub(super) stopped: bool,
}

impl Queue {
    /// Adds a notification at the end.
    pub(super) fn push(&mut self, number: u64, notification: Notification, durable: bool) {
        let standing = if durable { Standing::Waiting } else { Standing::Storing };
        self.entries.insert(number, Entry { notification, standing, unsuited: false });
    }

    /// The store has a notification for good; it stays `false` for one that is gone meanwhile.
    pub(super) fn make_durable(&mut self, number: u64) -> bool {
        let entry = self.entries.get_mut(&number);
        entry.map(|entry| entry.standing = Standing::Waiting).is_some()
    }

    /// Takes a notification out.
    pub(super) fn remove(&mut self, number: u64) -> Option<Notification> {
        self.entries.remove(&number).map(|entry| entry.notification)
    }

    /// A notification by its number.
    pub(super) fn get(&self, number: u64) -> Option<&Notification> {
        self.entries.get(&number).map(|entry| &entry.notification)
    }

    /// Whether nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn waiting(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.iter().filter(|(_, entry)| entry.standing == Standing::Waiting).map(|(number, entry)| (*number, entry))
    }

    /// Since when the oldest of those that are not under way is kept.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let mut idle = self.entries.values().filter(|entry| matches!(entry.standing, Standing::Waiting | Standing::Passed));
        idle.next().map(|entry| entry.notification.since)
    }

    /// Those that are kept for longer than `limit` and are not under way.
    pub(super) fn older_than(&self, now: Instant, limit: Duration) -> Vec<u64> {
        let idle = |entry: &Entry| matches!(entry.standing, Standing::Waiting | Standing::Passed);
        let old = self.entries.iter().filter(|(_, entry)| entry.notification.since + limit <= now && idle(entry));
        old.map(|(number, _)| *number).collect()
    }

    /// The oldest that waits for a session and that `wanted` takes.
    pub(super) fn next(&self, wanted: impl Fn(&Notification) -> bool) -> Option<(u64, &Notification)> {
        let mut suited = self.waiting().filter(|(_, entry)| !entry.unsuited);
        suited.find(|(_, entry)| wanted(&entry.notification)).map(|(number, entry)| (number, &entry.notification))
    }

    /// The oldest that waits for a MESSAGE and that `wanted` takes: any, or only what a session
    /// has refused.
    pub(super) fn next_for_message(&self, any: bool, wanted: impl Fn(&Notification) -> bool) -> Option<u64> {
        let mut open = self.waiting().filter(|(_, entry)| any || entry.unsuited);
        open.find(|(_, entry)| wanted(&entry.notification)).map(|(number, _)| number)
    }

    /// The oldest of the same sender as `first`, for the device that accepted the session.
    pub(super) fn next_of(&self, first: &Notification, device: Option<&str>) -> Option<(u64, &Notification)> {
        self.next(|own| own.is_for(device) && own.is_of_the_sender_of(first))
    }

    /// A notification leaves by a session.
    fn sent(&mut self, number: u64, session: MsrpId) {
        self.set(number, Standing::Sent(session));
    }

    /// A notification leaves by MESSAGE.
    pub(super) fn sent_by_message(&mut self, number: u64) {
        self.message = Some(number);
        self.set(number, Standing::SentByMessage);
    }

    /// A session has refused a notification. It may leave by MESSAGE if that way is open, else it
    /// is kept for the next trigger.
    pub(super) fn refused(&mut self, number: u64, message_is_open: bool) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.unsuited = message_is_open;
            entry.standing = if message_is_open { Standing::Waiting } else { Standing::Passed };
        }
    }

    /// A notification cannot be had now: it is kept for the next trigger.
    pub(super) fn pass(&mut self, number: u64) {
        self.set(number, Standing::Passed);
    }

    /// Everything that shares sender and device with `first` is kept for the next trigger.
    pub(super) fn pass_like(&mut self, first: &Notification) {
        for entry in self.entries.values_mut().filter(|entry| entry.standing == Standing::Waiting) {
            if entry.notification.target == first.target && entry.notification.is_of_the_sender_of(first) {
                entry.standing = Standing::Passed;
            }
        }
    }

    fn rewind(&mut self, session: MsrpId) {
        for entry in self.entries.values_mut().filter(|entry| entry.standing == Standing::Sent(session)) {
            entry.standing = Standing::Waiting;
        }
    }

    /// Whether a session owes the answer to this one.
    pub(super) fn is_sent(&self, number: u64, session: MsrpId) -> bool {
        self.entries.get(&number).is_some_and(|entry| entry.standing == Standing::Sent(session))
    }

    /// Whether a session owes an answer.
    pub(super) fn awaits(&self, session: MsrpId) -> bool {
        self.entries.values().any(|entry| entry.standing == Standing::Sent(session))
    }

    /// The user is available: whatever was refused may be tried again.
    pub(super) fn trigger(&mut self) {
        self.stopped = false;
        for entry in self.entries.values_mut().filter(|entry| entry.standing == Standing::Passed) {
            entry.standing = Standing::Waiting;
        }
    }

    fn set(&mut self, number: u64, standing: Standing) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.standing = standing;
        }
    }
}

/// The notifications of all users.
#[derive(Debug, Default)]
pub(super) struct Notifications {
    queues: BTreeMap<UserId, Queue>,
    /// MSRP sessions of any kind that have carried notifications, and for whom.
    carriers: BTreeMap<MsrpId, UserId>,
}

impl Notifications {
    /// What waits for a user.
    pub(super) fn of(&mut self, user: UserId) -> &mut Queue {
        self.queues.entry(user).or_default()
    }

    /// What waits for a user, to be read.
    pub(super) fn get(&self, user: UserId) -> Option<&Queue> {
        self.queues.get(&user)
    }

    /// A notification leaves by a session, its own or one that is up.
    pub(super) fn sent(&mut self, user: UserId, number: u64, session: MsrpId) {
        self.carriers.insert(session, user);
        self.of(user).sent(number, session);
    }

    /// A connection is gone: what was not acknowledged on it waits again.
    pub(super) fn rewind(&mut self, session: MsrpId) {
        if let Some(user) = self.carriers.remove(&session) {
            self.of(user).rewind(session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(from: &str, target: Option<&str>) -> Notification {
        Notification { from: from.to_owned(), target: target.map(str::to_owned), ..Notification::default() }
    }

    fn number(found: Option<(u64, &Notification)>) -> Option<u64> {
        found.map(|(number, _)| number)
    }

    const BOB: &str = "sip:bob@home1.example";

    #[test]
    fn a_session_takes_only_what_is_for_its_sender_and_device() {
        let mut queue = Queue::default();
        queue.push(1, notification("sip:carol@home1.example", Some("a")), true);
        queue.push(2, notification(BOB, Some("b")), true);
        queue.push(3, notification(BOB, Some("a")), true);
        queue.push(4, notification(BOB, None), true);
        let first = notification("sip:bob@HOME1.example", Some("a"));
        assert_eq!(number(queue.next_of(&first, Some("a"))), Some(3));
        queue.sent(3, MsrpId(0));
        assert_eq!(number(queue.next_of(&first, Some("a"))), Some(4));
        assert_eq!(number(queue.next_of(&first, None)), Some(4));
        assert_eq!(number(queue.next_of(&Notification { private: true, ..first }, None)), None);
    }

    #[test]
    fn what_is_refused_waits_for_the_trigger_and_what_is_unanswered_does_not() {
        let mut queue = Queue::default();
        queue.push(1, notification(BOB, None), true);
        queue.push(2, notification(BOB, None), false);
        assert_eq!(number(queue.next(|_| true)), Some(1));
        queue.sent(1, MsrpId(7));
        assert_eq!(number(queue.next(|_| true)), None);
        queue.rewind(MsrpId(7));
        queue.pass(1);
        assert!(queue.make_durable(2));
        assert_eq!(number(queue.next(|_| true)), Some(2));
        queue.trigger();
        assert_eq!(number(queue.next(|_| true)), Some(1));
    }

    #[test]
    fn what_a_session_refuses_may_leave_by_message() {
        let mut queue = Queue::default();
        queue.push(1, notification(BOB, None), true);
        queue.push(2, notification(BOB, None), true);
        assert_eq!(queue.next_for_message(false, |_| true), None);
        queue.refused(2, true);
        assert_eq!(queue.next_for_message(false, |_| true), Some(2));
        assert_eq!(queue.next_for_message(true, |_| true), Some(1));
        queue.refused(1, false);
        assert_eq!(number(queue.next(|_| true)), None);
    }

    #[test]
    fn a_notification_is_told_from_a_chat_message() {
        let cpim = |kind: &str, content: &str| {
            Bytes::from(format!("From: <sip:a@x.example>\r\nTo: <sip:b@x.example>\r\n\r\nContent-Type: {kind}\r\n\r\n{content}"))
        };
        let document = Imdn::new("Msg-1", "2012-01-17T09:58:12Z", imdn::Kind::Delivery, "delivered").to_xml();
        let wrapped = cpim("message/imdn+xml", &document);
        assert_eq!(read("message/cpim;charset=utf-8", &wrapped).map(|own| own.message_id), Some("Msg-1".to_owned()));
        assert_eq!(read("text/plain", &wrapped), None);
        assert_eq!(read("message/cpim", &cpim("text/plain", "<imdn/>")), None);
        assert_eq!(read("message/cpim", &cpim("message/imdn+xml", "no document")), None);
    }
}
