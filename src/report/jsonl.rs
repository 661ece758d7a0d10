//! The run file: JSON lines with a header and a footer, the traces of a whole run.
//!
//! ```text
//! header           tool, suite, seed, clock
//! scenario-start   per outcome: identifier, variant, seed, policy, address book
//!   message connection fault note flow-ended     what happened, in order, and
//!                                                in which step; only if kept
//!   check                                        one finding
//! scenario-end     verdict, gate, rules
//! footer           counts, exit code with every reason, whether it is complete, hash of the stream
//! ```
//!
//! A file without footer is incomplete, never passed. With one seed a simulated run gives the same
//! bytes: no wall-clock value is in it unless the caller puts a duration into the footer.

mod read;
mod write;

pub use read::{Fault, Stored, StoredOutcome, read};
pub use write::{Keep, Opening, Writer, expected};

/// The version of the form of run files.
pub const SCHEMA: u64 = 1;

/// FNV-1a, 64 bits: tells whether a file is what was written, not who wrote it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    /// The hash of what came so far and `bytes`.
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)))
    }

    /// As text.
    pub fn text(self) -> String {
        format!("{:016x}", self.0)
    }
}
