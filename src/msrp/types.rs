//! What goes in and out of the MSRP machines.

use std::time::Duration;

use bytes::Bytes;

use crate::engine::{Closure, ConnectionId, Note};
use crate::wire::msrp::FailureReport;

/// How a node presents itself and what it lets peers do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The host of its own paths.
    pub host: String,
    /// The port of its own paths.
    pub port: u16,
    /// Whether its own paths are `msrps`.
    pub secure: bool,
    /// How long a chunk may stay unanswered (RFC 4975 7.1.1).
    pub timeout: Duration,
    /// How many bytes of data one session sends ahead of their answers.
    pub window: usize,
    /// Whether messages of one session are sent in turns, a chunk each, rather than one after the other.
    pub interleave: bool,
    /// Whether an active session uses a connection that leads to its peer already.
    pub share_connections: bool,
    /// Whether [`crate::msrp::Node::answer`] sends the success report that the sender asked for.
    pub success_reports: bool,
    /// What peers may make the node hold.
    pub limits: Limits,
}

impl Config {
    /// The usual behaviour under paths of `host` and `port`.
    pub fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            secure: false,
            timeout: Duration::from_secs(30),
            window: 64 * 1024,
            interleave: false,
            share_connections: false,
            success_reports: true,
            limits: Limits::default(),
        }
    }
}

/// What peers may make a node hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// One message, in bytes.
    pub message: u64,
    /// The unfinished messages of one session together, in bytes.
    pub unfinished: u64,
    /// The unfinished messages of one session.
    pub messages: usize,
    /// The whole messages of one session that wait for the user's answer.
    pub unanswered: usize,
    /// The framing of one connection.
    pub framing: crate::wire::msrp::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        let framing = crate::wire::msrp::Limits::default();
        Self { message: 10 * 1024 * 1024, unfinished: 16 * 1024 * 1024, messages: 32, unanswered: 4096, framing }
    }
}

/// What a session takes; what does not fit is refused at its first chunk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Accept {
    /// The outer types as in `accept-types`, `*` for all; empty for no check. Others are refused by 415.
    pub types: Vec<String>,
    /// The largest message as in `max-size`. Larger ones are refused by 413.
    pub max_size: Option<u64>,
}

/// What a node asks of its owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Open a connection; answered by [`crate::msrp::Node::handle_connected`] or `handle_closed`.
    Connect {
        /// The number that the node gave it.
        connection: ConnectionId,
        /// The host of the peer's path.
        host: String,
        /// The port of the peer's path.
        port: u16,
        /// Whether the path is `msrps`.
        secure: bool,
    },
    /// Send bytes.
    Send {
        /// The connection.
        connection: ConnectionId,
        /// The bytes.
        data: Bytes,
    },
    /// End a connection.
    Close {
        /// The connection.
        connection: ConnectionId,
        /// In which way.
        how: Closure,
    },
    /// A remark for the trace.
    Note(Note),
}

/// An MSRP session of one node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(pub u32);

/// The last chunk of a received message, whose answer the user owes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub u64);

/// A message to be sent, cut into chunks on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// The Message-ID; made up when `None`.
    pub message_id: Option<String>,
    /// The Content-Type.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
    /// Success-Report: yes.
    pub success_report: bool,
    /// The value of Failure-Report.
    pub failure_report: FailureReport,
    /// The largest body of one chunk, in bytes.
    pub chunk_size: usize,
}

/// A whole message that came in; its last chunk is not answered yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incoming {
    /// The Message-ID.
    pub message_id: String,
    /// The Content-Type, empty when there is no body.
    pub content_type: String,
    /// The body, put together from all chunks.
    pub body: Bytes,
    /// Whether the sender wants a success report.
    pub success_report: bool,
    /// Which answers the sender wants.
    pub failure_report: FailureReport,
    /// What the answer to its last chunk names.
    pub token: Token,
}

/// What became of a message that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Every chunk was answered 200.
    Accepted,
    /// A chunk was answered by this code.
    Refused(u16),
    /// A chunk was not answered within 30 s (RFC 4975 7.1.1).
    TimedOut,
    /// The connection broke before all chunks were answered.
    Lost,
}

/// A REPORT to be sent (RFC 4975 7.1.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The Message-ID of the message reported on.
    pub message_id: String,
    /// The status, 200 for success.
    pub code: u16,
    /// The size of that message's body.
    pub size: u64,
}

/// What a session tells its user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The session has its connection; messages flow.
    Bound,
    /// A whole message came in; the user answers its last chunk.
    Received(Incoming),
    /// A message that was sent has its outcome.
    Sent {
        /// Its Message-ID.
        message_id: String,
        /// What became of it.
        outcome: Outcome,
    },
    /// The peer reported on a message.
    Report {
        /// Its Message-ID.
        message_id: String,
        /// The status, 200 for success.
        code: u16,
    },
    /// The connection broke.
    Lost,
}
