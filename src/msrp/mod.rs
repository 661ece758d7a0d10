//! MSRP sessions over connections as machines without input and output (RFC 4975, RFC 6135).

mod types;

pub use types::{Event, Incoming, Outcome, Outgoing, Report, SessionId, Token};
