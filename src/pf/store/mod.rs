//! The store of the PF: what outlives its process, as records under ordered keys.
//!
//! Writing is an effect ([`crate::engine::Output::Commit`]): the driver applies batches to a
//! [`crate::engine::Store`] and hands its records to [`super::Pf::restored`]. The PF never waits
//! for it.

mod check;
mod record;

pub use check::BadRecord;
pub(super) use check::read;

pub(super) use record::{
    GroupRecord, Key, LegRecord, Record, SenderRecord, encode_life, encode_message, encode_notification, encode_sender,
    encode_unsent, encode_user,
};
