//! One session: its paths, its connection, what it sends and what it puts together.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::chunks::Assembly;
use super::types::{Accept, Outgoing, Token};
use crate::engine::ConnectionId;
use crate::wire::msrp::{Chunk, FailureReport};

/// Where a session stands with its connection.
///
/// ```text
/// start, active    Idle | Lost -> Connecting -> Bound -> Lost
/// start, passive   Idle | Lost -> Waiting    -> Bound -> Lost      the peer's first SEND binds
/// early SEND       Idle        -> Bound                            the peer was faster than its answer
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Opened, not started.
    Idle,
    /// We open its connection.
    Connecting(ConnectionId),
    /// The peer is to open its connection.
    Waiting,
    /// Messages flow.
    Bound(ConnectionId),
    /// Its connection broke, or was refused.
    Lost,
}

/// A session of this node.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Our URI.
    pub(super) local: String,
    /// The peer's path as its description told, else as its first SEND did.
    pub(super) remote: String,
    pub(super) state: State,
    /// Whether the description of its peer is known.
    pub(super) started: bool,
    /// Whether its path was offered to several peers.
    pub(super) forks: bool,
    pub(super) accept: Accept,
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
}

impl Session {
    pub(super) fn new(local: String) -> Self {
        Self {
            local,
            remote: String::new(),
            state: State::Idle,
            started: false,
            forks: false,
            accept: Accept::default(),
            outbox: Outbox::default(),
            inbox: Inbox::default(),
        }
    }

    /// The connection that it is bound to.
    pub(super) const fn bound(&self) -> Option<ConnectionId> {
        match self.state {
            State::Bound(connection) => Some(connection),
            State::Idle | State::Connecting(_) | State::Waiting | State::Lost => None,
        }
    }

    /// The connection that it is bound to or will be.
    pub(super) const fn connection(&self) -> Option<ConnectionId> {
        match self.state {
            State::Bound(connection) | State::Connecting(connection) => Some(connection),
            State::Idle | State::Waiting | State::Lost => None,
        }
    }
}

/// A message on its way out.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    pub(super) message_id: String,
    pub(super) content_type: String,
    pub(super) body: Bytes,
    pub(super) success_report: bool,
    pub(super) failure_report: FailureReport,
    pub(super) chunk_size: usize,
    /// How much of the body was sent.
    pub(super) sent: usize,
    /// Whether its last chunk was sent.
    pub(super) done: bool,
    /// How many of its chunks wait for an answer.
    pub(super) unanswered: usize,
}

impl Sending {
    pub(super) fn new(message: Outgoing, message_id: String) -> Self {
        Self {
            message_id,
            content_type: message.content_type,
            body: message.body,
            success_report: message.success_report,
            failure_report: message.failure_report,
            chunk_size: message.chunk_size,
            sent: 0,
            done: false,
            unanswered: 0,
        }
    }
}

/// What a session sends.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    /// Every message without outcome, by the order in which it was given.
    pub(super) messages: BTreeMap<u64, Sending>,
    /// The messages that have bytes left to send; the first is next.
    pub(super) unsent: VecDeque<u64>,
    /// How many bytes of data wait for answers.
    pub(super) in_flight: usize,
    next: u64,
}

impl Outbox {
    pub(super) fn push(&mut self, message: Sending) {
        self.messages.insert(self.next, message);
        self.unsent.push_back(self.next);
        self.next += 1;
    }

    /// Takes a message out that has its outcome.
    pub(super) fn remove(&mut self, serial: u64) -> Option<Sending> {
        let message = self.messages.remove(&serial)?;
        if !message.done {
            self.unsent.retain(|own| *own != serial);
        }
        Some(message)
    }

    /// Takes everything out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Sending> + use<> {
        self.unsent.clear();
        self.in_flight = 0;
        std::mem::take(&mut self.messages).into_values()
    }
}

/// A message that was put together and waits for the user's answer.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    pub(super) connection: ConnectionId,
    pub(super) request: Chunk,
    pub(super) size: u64,
}

/// What a session receives.
#[derive(Clone, Debug, Default)]
pub(super) struct Inbox {
    pub(super) assemblies: BTreeMap<String, Assembly>,
    pub(super) owed: BTreeMap<Token, Owed>,
    /// The messages whose chunks are refused, with the code; the oldest is forgotten first.
    refused: VecDeque<(String, u16)>,
}

impl Inbox {
    /// How many refused messages are remembered.
    const REMEMBERED: usize = 64;

    /// How many bytes of unfinished messages are held.
    pub(super) fn held(&self) -> u64 {
        self.assemblies.values().map(Assembly::held).sum()
    }

    /// Refuses this chunk of a message and all that follow.
    pub(super) fn refuse(&mut self, message_id: &str, code: u16) {
        self.assemblies.remove(message_id);
        if self.refused.len() == Self::REMEMBERED {
            self.refused.pop_front();
        }
        self.refused.push_back((message_id.to_owned(), code));
    }

    /// The code by which earlier chunks of this message were refused.
    pub(super) fn refusal(&self, message_id: &str) -> Option<u16> {
        self.refused.iter().find(|(own, _)| own == message_id).map(|(_, code)| *code)
    }

    /// Forgets that a message was refused, when its last chunk came.
    pub(super) fn forgive(&mut self, message_id: &str) {
        self.refused.retain(|(own, _)| own != message_id);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
