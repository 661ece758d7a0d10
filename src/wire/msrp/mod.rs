//! MSRP messages (RFC 4975): chunks on the wire, paths, byte ranges.

mod chunk;
mod framer;
mod path;

pub use chunk::{ByteRange, Chunk, ChunkBuilder, FailureReport, Flag, Start};
pub use framer::{Framer, Limits};
pub use path::{MsrpUri, paths};
