//! Transactions (RFC 3261 17, RFC 6026).

/// A transaction of one node, client or server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TransactionId(pub u32);

/// Why a request got no final response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Timer B or F fired (RFC 3261 17.1): treated as a 408.
    Timeout,
    /// The transport could not deliver it (RFC 3261 17.1.4): treated as a 503.
    Transport,
}
