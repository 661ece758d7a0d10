//! The contract between protocol engines and the drivers that move them.
//!
//! An engine owns no socket, no clock and no disk. A driver feeds it one [`Input`], drains
//! [`Engine::poll_output`] to `None`, then asks for the next deadline. Effects that take time (a
//! durable commit) are an [`Output`] and come back as an [`Input`]; no engine blocks.

mod store;

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::clause::Clause;
use crate::time::Instant;

pub use store::{MemoryStore, Store};

/// A node of the network: it takes input, gives output and names its next deadline.
pub trait Engine {
    /// Applies one input. It cannot fail: what a peer sends is data.
    fn handle(&mut self, now: Instant, input: Input);

    /// The next effect, in order; drained to `None` after every [`Engine::handle`].
    fn poll_output(&mut self) -> Option<Output>;

    /// The earliest deadline and its name. A [`Input::Timeout`] before it is harmless.
    fn poll_timeout(&self) -> Option<(Instant, &'static str)>;

    /// What a connection is to the engine now, so that a driver can close those of no use.
    fn standing(&self, _connection: ConnectionId) -> Standing {
        Standing::InUse
    }
}

/// What a connection is to the engine that has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// A message is on its way in, or the peer has never said anything of use.
    Unfinished {
        /// How many whole messages have come, so that two unfinished ones can be told apart.
        messages: u64,
    },
    /// Nothing depends on it; it may serve again.
    Idle,
    /// Something depends on it.
    InUse,
}

/// How bytes travel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A byte stream.
    Tcp,
    /// A byte stream inside TLS.
    Tls,
}

impl Transport {
    /// Whether the transport itself delivers or reports loss (RFC 3261 17).
    pub const fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls => true,
        }
    }

    /// The token of a Via header field.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

/// One connection as one node sees it.
///
/// Connections that the node opens carry even numbers of its own choice, those that it accepted
/// carry odd numbers chosen by the driver, so that neither has to ask the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId(pub u64);

/// A batch of writes on its way to the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BatchId(pub u64);

/// One change of the store. Keys are ordered bytes; a later write of a batch wins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// Stores `value` under `key`.
    Put {
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Bytes,
    },
    /// Removes `key`; a missing key is no fault.
    Delete {
        /// The key.
        key: Vec<u8>,
    },
}

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommitOutcome {
    /// All its writes are durable.
    Durable,
    /// None of its writes took place.
    Failed,
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closure {
    /// In good order (FIN).
    Finished,
    /// Torn down (RST).
    Reset,
    /// It never came to be.
    Refused,
}

/// What a driver tells an engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A datagram came in.
    Datagram {
        /// The address it came to.
        local: SocketAddr,
        /// The address it came from.
        peer: SocketAddr,
        /// Its payload.
        data: Bytes,
    },
    /// A peer opened a connection.
    Accepted {
        /// The new connection.
        connection: ConnectionId,
        /// The address that was connected to.
        local: SocketAddr,
        /// The peer's address.
        peer: SocketAddr,
    },
    /// A connection of [`Output::Connect`] is up.
    Connected {
        /// The connection.
        connection: ConnectionId,
        /// The local address that it got.
        local: SocketAddr,
    },
    /// Bytes arrived on a connection, in any segmentation.
    Received {
        /// The connection.
        connection: ConnectionId,
        /// The bytes.
        data: Bytes,
    },
    /// A connection is gone; nothing more comes of it.
    Closed {
        /// The connection.
        connection: ConnectionId,
        /// How it ended.
        how: Closure,
    },
    /// The store is done with a batch.
    Committed {
        /// The batch of [`Output::Commit`].
        batch: BatchId,
        /// What became of it.
        outcome: CommitOutcome,
    },
    /// Time has passed; deadlines up to now are due.
    Timeout,
}

/// What an engine asks of its driver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send a datagram.
    Datagram {
        /// The address to send from.
        local: SocketAddr,
        /// The address to send to.
        peer: SocketAddr,
        /// Its payload.
        data: Bytes,
    },
    /// Open a connection; answered by `Connected` or `Closed`. Sends before the answer are queued.
    Connect {
        /// The even number that the engine gave it.
        connection: ConnectionId,
        /// TCP or TLS.
        transport: Transport,
        /// The address to connect to.
        peer: SocketAddr,
    },
    /// Send bytes on a connection.
    Send {
        /// The connection.
        connection: ConnectionId,
        /// The bytes.
        data: Bytes,
    },
    /// End a connection after what was sent (`Finished`), or at once (`Reset`).
    Close {
        /// The connection.
        connection: ConnectionId,
        /// In which way.
        how: Closure,
    },
    /// Make writes durable, all or none.
    Commit {
        /// The number under which the outcome is reported.
        batch: BatchId,
        /// The writes.
        writes: Vec<Write>,
    },
    /// A remark for the trace. It stands beside the next thing that the engine puts out.
    Note(Note),
}

/// A remark of one layer: what it absorbed, which timer fired, which requirement decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The layer that speaks, for example `transaction`.
    pub layer: &'static str,
    /// What happened.
    pub text: Cow<'static, str>,
    /// The requirement that decided, if one did.
    pub because: Option<Clause>,
}
