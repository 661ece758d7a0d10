//! What goes in and out of the MSRP machines.

use bytes::Bytes;

use crate::wire::msrp::FailureReport;

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
