//! MSRP messages (RFC 4975): chunks on the wire, paths, byte ranges.

mod builder;
mod chunk;
mod fields;
mod framer;
mod path;
mod validate;

pub use builder::{ChunkBuilder, comment};
pub use chunk::{Chunk, Start};
pub use fields::{ByteRange, FailureReport, Flag};
pub use framer::{Framer, Limits};
pub use path::{MsrpUri, paths};
pub use validate::validate;

/// Whether the text may be a transaction identifier or a Message-ID (RFC 4975 9).
pub fn is_ident(text: &str) -> bool {
    chunk::is_ident(text.as_bytes())
}
