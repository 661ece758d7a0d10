//! 1-1 sessions: what original senders have written to a user, live and deferred.
//!
//! Stored messages lie on a [`Shelf`], one for each original sender of a user. A session with the
//! original sender is in `session`, the PF's own sendonly session that empties a shelf in
//! `delivery`, the legs of both in `legs`. What moves them is in the procedures.

pub(in crate::pf) mod delivery;
pub(in crate::pf) mod legs;
pub(in crate::pf) mod session;
pub(in crate::pf) mod store;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::delivery::DeliverySession;
use self::session::Session;
use super::deferred::{Deferred, Item};
use super::state::{GroupId, UserId, address_key};
use crate::endpoint::{DialogId, MsrpId, TransactionId};

/// One original sender of one user.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::pf) struct SenderId(pub(in crate::pf) u32);

/// One 1-1 session between an original sender and a user.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::pf) struct SessionId(pub(in crate::pf) u32);

/// The two legs of a 1-1 session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::pf) enum End {
    /// Towards the original sender.
    Originating,
    /// Towards the user.
    Terminating,
}

impl End {
    /// The other one.
    pub(in crate::pf) const fn opposite(self) -> Self {
        match self {
            Self::Originating => Self::Terminating,
            Self::Terminating => Self::Originating,
        }
    }
}

/// Stored messages that one delivery session delivers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::pf) enum Shelf {
    /// Those of one original sender.
    Sender(SenderId),
    /// Those that the delivery of an inactive group has taken along.
    Group(GroupId),
}

/// Where a leg is that belongs to no group session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::pf) enum Place {
    /// In the delivery session of a shelf.
    Delivery(Shelf),
    /// In a 1-1 session.
    Session(SessionId, End),
    /// In the session for disposition notifications of a user.
    Notifications(UserId),
}

/// What the PF keeps of an original sender of a user.
#[derive(Debug)]
pub(in crate::pf) struct Sender {
    /// To whom.
    pub(in crate::pf) user: UserId,
    /// The CPM Address.
    pub(in crate::pf) address: String,
    /// Whether the sender asked for privacy (RFC 3323): another shelf than without.
    pub(in crate::pf) private: bool,
    /// The SDP of the most recent INVITE; empty when there was none (AMB-17).
    pub(in crate::pf) sdp: String,
    /// What is stored.
    pub(in crate::pf) deferred: Deferred,
    /// Whether everything was delivered at the last trigger, so that what comes now may follow.
    pub(in crate::pf) follows: bool,
    /// How many delivery INVITEs failed since the last trigger.
    pub(in crate::pf) attempts: u64,
    /// Messages that were delivered to a Client that sends no notifications: their sender is to be
    /// told once everything is delivered.
    pub(in crate::pf) untold: BTreeMap<u64, Item>,
    /// Those of them whose notification is on its way.
    pub(in crate::pf) telling: BTreeSet<u64>,
}

/// The order of work for one user.
#[derive(Clone, Debug, Default)]
pub(in crate::pf) struct Turn {
    /// The senders of the user.
    pub(in crate::pf) senders: Vec<SenderId>,
    /// Those whose messages are still to be delivered.
    pub(in crate::pf) waiting: VecDeque<SenderId>,
    /// The one whose messages are being delivered.
    pub(in crate::pf) delivering: Option<SenderId>,
    /// The user came back while the PF was cancelling its invitation, or before it had noticed that the
    /// Client was gone: a trigger is due once it has.
    pub(in crate::pf) again: bool,
}

/// All 1-1 state of the PF.
#[derive(Debug, Default)]
pub(in crate::pf) struct OneToOne {
    senders: Vec<Sender>,
    by_address: BTreeMap<(UserId, String, bool), SenderId>,
    /// What is due for each user.
    pub(in crate::pf) turns: BTreeMap<UserId, Turn>,
    /// Stored messages by user and imdn.Message-ID.
    pub(in crate::pf) by_message_id: BTreeMap<(UserId, String), (SenderId, u64)>,
    /// Notifications that were on their way in a session when the process before died.
    pub(in crate::pf) stranded: Vec<(SenderId, u64, Item)>,
    /// Sessions with original senders.
    pub(in crate::pf) sessions: BTreeMap<SessionId, Session>,
    last_session: u32,
    /// The PF's own sessions that deliver.
    pub(in crate::pf) deliveries: BTreeMap<Shelf, DeliverySession>,
    /// Dialogs of legs.
    pub(in crate::pf) dialogs: BTreeMap<DialogId, Place>,
    /// MSRP sessions of legs.
    pub(in crate::pf) media: BTreeMap<MsrpId, Place>,
    /// Our INVITEs whose further 2xx may still come.
    pub(in crate::pf) invites: BTreeMap<TransactionId, Place>,
    /// INVITEs that the PF owes a final response.
    pub(in crate::pf) asked: BTreeMap<TransactionId, SessionId>,
}

impl OneToOne {
    /// The sender of this address to a user, new or known.
    pub(in crate::pf) fn sender(&mut self, user: UserId, address: &str, private: bool) -> SenderId {
        let key = (user, address_key(address), private);
        if let Some(known) = self.by_address.get(&key) {
            return *known;
        }
        let id = SenderId(u32::try_from(self.senders.len()).unwrap_or(u32::MAX));
        self.senders.push(Sender {
            user,
            address: address.to_owned(),
            private,
            sdp: String::new(),
            deferred: Deferred::default(),
            follows: false,
            attempts: 0,
            untold: BTreeMap::new(),
            telling: BTreeSet::new(),
        });
        self.by_address.insert(key, id);
        self.turns.entry(user).or_default().senders.push(id);
        id
    }

    /// Takes up a number that belongs to no sender.
    pub(in crate::pf) fn add_hole(&mut self, user: UserId) {
        let address = format!("hole {}", self.senders.len());
        self.sender(user, &address, false);
    }

    /// All senders, in the order in which they were first heard of.
    pub(in crate::pf) fn senders(&self) -> impl Iterator<Item = (SenderId, &Sender)> {
        self.senders.iter().enumerate().map(|(at, sender)| (SenderId(u32::try_from(at).unwrap_or(u32::MAX)), sender))
    }

    /// Adds a session.
    pub(in crate::pf) fn add(&mut self, session: Session) -> SessionId {
        self.last_session += 1;
        let id = SessionId(self.last_session);
        self.sessions.insert(id, session);
        id
    }
}

impl std::ops::Index<SenderId> for OneToOne {
    type Output = Sender;

    fn index(&self, id: SenderId) -> &Sender {
        &self.senders[id.0 as usize]
    }
}

impl std::ops::IndexMut<SenderId> for OneToOne {
    fn index_mut(&mut self, id: SenderId) -> &mut Sender {
        &mut self.senders[id.0 as usize]
    }
}
