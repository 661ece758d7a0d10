//! The SIP transport layer (RFC 3261 18): datagrams, connections, Via and next hops.
//!
//! It knows no transaction. A proxy uses it alone: [`TransportLayer::forward_request`] pushes a Via,
//! [`TransportLayer::forward_response`] pops one.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::engine::{ConnectionId, Input, Output, Transport};
use crate::time::Instant;
use crate::wire::sip::{Builder, Message};

use super::Config;

/// Where a message came from, and where its answer goes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source {
    /// How it came.
    pub transport: Transport,
    /// The address that it came to.
    pub local: SocketAddr,
    /// The address that it came from.
    pub peer: SocketAddr,
    /// The connection that it came by.
    pub connection: Option<ConnectionId>,
}

/// Where a message goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Hop {
    /// How.
    pub transport: Transport,
    /// The address.
    pub peer: SocketAddr,
}

/// What came in by the transport layer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// A well-framed request or response with its mandatory fields.
    Message {
        /// The message.
        message: Message,
        /// Where it came from.
        source: Source,
    },
    /// A connection that we opened, or that was open, broke; what was sent to `hop` may be lost.
    Broken {
        /// The peer.
        hop: Hop,
        /// Whether the connection was never up.
        refused: bool,
    },
}

/// The transport layer of one node.
#[derive(Debug)]
pub struct TransportLayer {
    config: Config,
    arrivals: VecDeque<Arrival>,
    outputs: VecDeque<Output>,
}

impl TransportLayer {
    /// The transport layer of a node without connections.
    pub fn new(config: Config) -> Self {
        Self { config, arrivals: VecDeque::new(), outputs: VecDeque::new() }
    }

    /// What it was made of.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Applies one input; inputs that are not for SIP come back.
    pub fn handle(&mut self, _now: Instant, input: Input) -> Option<Input> {
        Some(input)
    }

    /// The next message or broken connection.
    pub fn poll_arrival(&mut self) -> Option<Arrival> {
        self.arrivals.pop_front()
    }

    /// The next effect for the driver.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Forwards a request as a proxy (RFC 3261 16.6): `received` and `rport` of the Via on top are
    /// completed from `source`, a Via with `branch` is pushed, and it goes to the first Route, else
    /// to the Request-URI. Returns whether a next hop was found.
    pub fn forward_request(&mut self, _now: Instant, _request: Builder, _source: &Source, _branch: &str) -> bool {
        false
    }

    /// Forwards a response as a proxy (RFC 3261 16.7): the Via on top, ours, is removed and it goes
    /// to where the next one says. Returns whether that could be resolved.
    pub fn forward_response(&mut self, _now: Instant, _response: Builder) -> bool {
        false
    }

    /// Answers a request without a transaction.
    pub fn reply(&mut self, _now: Instant, _response: Builder, _source: &Source) {}

    /// The branch of a stateless proxy (RFC 3261 16.11): the same for every repetition of a
    /// request, its CANCEL and the ACK to a refusal; `salt` tells the targets of a fork apart.
    pub fn stateless_branch(_request: &Message, salt: &str) -> String {
        format!("z9hG4bK{salt}")
    }

    /// Resets every connection.
    pub fn disconnect(&mut self, _now: Instant) {}
}
