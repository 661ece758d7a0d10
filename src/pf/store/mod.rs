//! The store of the PF: what outlives its process, as records under ordered keys.
//!
//! Writing is an effect ([`crate::engine::Output::Commit`]): the driver owns a [`Store`], applies
//! batches to it and hands its records to [`super::Pf::restored`]. The engine never waits for it.

mod memory;
mod record;

pub use memory::Memory;
pub(super) use record::{GroupRecord, Key, LegRecord, Record, decode, encode_life, encode_message, encode_user};

use bytes::Bytes;

use crate::engine::Write;

/// Durable records under ordered keys.
pub trait Store {
    /// Applies a batch: all of its writes or none.
    ///
    /// # Errors
    ///
    /// When the batch could not be made durable; nothing of it was applied then.
    fn commit(&mut self, writes: Vec<Write>) -> std::io::Result<()>;

    /// All records in the order of their keys.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    fn records(&self) -> std::io::Result<Vec<(Vec<u8>, Bytes)>>;
}
