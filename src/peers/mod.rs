//! Everyone around the PF: CPM Clients, Controlling Functions and the SIP/IP core.
//!
//! [`Scripted`] is a client's device, a focus or the S-CSCF's registrar side on an
//! [`crate::endpoint::Endpoint`]: it writes complete messages where a script says little, binds
//! MSRP sessions to dialogs, tells its owner what came, and does what [`automatic`] lists when it
//! is told to. [`Core`] is the proxy between PF and clients. Peers know neither patterns nor steps.

pub mod automatic;
mod client;
mod core;
mod focus;
mod media;
#[cfg(test)]
mod pairs;
mod profile;
mod reference;
mod registrar;
mod script;
mod templates;

pub use crate::endpoint::{DialogId, Event, MsrpId, TransactionId};
pub use core::{Core, CoreSettings};
pub use profile::{GroupProfile, Profile};
pub use reference::Order;
pub use script::{Aim, Draft, Refusal, Scripted};
