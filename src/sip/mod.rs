//! SIP as machines without input and output: transactions, dialogs, sessions and subscriptions.
//!
//! Nothing here knows an address or a connection; [`crate::endpoint`] stacks these machines on the
//! transport layer. Each machine is one RFC machine in one file.

pub mod acceptance;
pub mod dialog;
pub mod session;
pub mod subscription;
pub mod timers;
pub mod transaction;
