//! One connection and the chunks on it that wait for their answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::types::{Limits, SessionId};
use crate::engine::ConnectionId;
use crate::time::Instant;
use crate::wire::msrp::Framer;

/// A connection.
///
/// ```text
/// we open it      Opening -> Up -> gone
/// a peer opens it            Up -> gone
/// ```
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) framer: Framer,
    /// How many whole chunks came.
    pub(super) chunks: u64,
    pub(super) up: bool,
    /// Where it leads, when we opened it.
    pub(super) target: Option<(String, u16, bool)>,
    /// The sessions that are bound to it, or will be once it is up.
    pub(super) sessions: BTreeSet<SessionId>,
}

impl Connection {
    /// A connection that a peer opened.
    pub(super) fn accepted(limits: &Limits) -> Self {
        Self { framer: Framer::new(limits.framing), chunks: 0, up: true, target: None, sessions: BTreeSet::new() }
    }

    /// A connection that we open.
    pub(super) fn opening(limits: &Limits, target: (String, u16, bool)) -> Self {
        Self { up: false, target: Some(target), ..Self::accepted(limits) }
    }
}

/// A chunk that was sent and is not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pending {
    pub(super) connection: ConnectionId,
    pub(super) session: SessionId,
    /// The message that it is a part of; `None` for the one that binds the connection.
    pub(super) message: Option<u64>,
    /// The size of its data.
    pub(super) size: usize,
}

/// The transactions of all connections, with their deadlines in the order in which these were set.
///
/// Every deadline lies the same time after its chunk, so a queue keeps them sorted.
#[derive(Clone, Debug, Default)]
pub(super) struct Transactions {
    pending: BTreeMap<Arc<str>, Pending>,
    by_session: BTreeMap<SessionId, BTreeSet<Arc<str>>>,
    deadlines: VecDeque<(Instant, Arc<str>)>,
}

impl Transactions {
    pub(super) fn insert(&mut self, transact_id: &str, pending: Pending, deadline: Instant) {
        let transact_id: Arc<str> = transact_id.into();
        self.by_session.entry(pending.session).or_default().insert(Arc::clone(&transact_id));
        self.pending.insert(Arc::clone(&transact_id), pending);
        self.deadlines.push_back((deadline, transact_id));
    }

    /// Ends the transaction that an answer on this connection names.
    pub(super) fn answered(&mut self, transact_id: &str, connection: ConnectionId) -> Option<Pending> {
        self.pending.get(transact_id).filter(|pending| pending.connection == connection)?;
        let pending = self.remove(transact_id);
        self.tidy();
        pending
    }

    fn remove(&mut self, transact_id: &str) -> Option<Pending> {
        let pending = self.pending.remove(transact_id)?;
        if let Some(own) = self.by_session.get_mut(&pending.session) {
            own.remove(transact_id);
        }
        Some(pending)
    }

    /// Ends and returns the next transaction whose time is over.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Pending> {
        let (at, _) = self.deadlines.front()?;
        if *at > now {
            return None;
        }
        let (_, transact_id) = self.deadlines.pop_front()?;
        let pending = self.remove(&transact_id);
        self.tidy();
        pending
    }

    /// Forgets every transaction of a session.
    pub(super) fn forget(&mut self, session: SessionId) {
        for transact_id in self.by_session.remove(&session).unwrap_or_default() {
            self.pending.remove(&transact_id);
        }
        self.tidy();
    }

    /// When the next transaction is over.
    pub(super) fn next(&self) -> Option<Instant> {
        self.deadlines.front().map(|(at, _)| *at)
    }

    /// Keeps a live transaction at the front, so that no deadline is told that means nothing.
    fn tidy(&mut self) {
        while self.deadlines.front().is_some_and(|(_, transact_id)| !self.pending.contains_key(transact_id)) {
            self.deadlines.pop_front();
        }
    }
}
