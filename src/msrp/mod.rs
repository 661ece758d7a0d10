//! MSRP sessions over connections as machines without input and output (RFC 4975, RFC 6135).
//!
//! A [`Node`] is the MSRP half of an endpoint: its owner hands it what happens on connections and
//! drains [`Node::poll_action`] and [`Node::poll_event`]. Relays (RFC 4976) are not played.

#[cfg(test)]
mod bench;
mod chunks;
mod connection;
mod early;
mod incoming;
mod node;
mod outgoing;
#[cfg(test)]
mod pairs;
mod reports;
mod session;
mod types;

pub use node::Node;
pub use types::{Accept, Action, Config, Event, Incoming, Limits, Outcome, Outgoing, Report, SessionId, Token};
