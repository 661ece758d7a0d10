//! SIP messages (RFC 3261 and its extensions): framing, start line, header fields, grammars.

mod builder;
mod framer;
mod grammar;
pub mod header;
mod message;
mod name;
mod scan;
pub(crate) mod set;
mod uri;
mod validate;

pub use builder::{Builder, FieldName, FieldValue, reason_phrase};
pub use framer::{Framer, Limits};
pub use message::{HeaderField, Message, Method, StartLine};
pub use name::Name;
pub(in crate::wire) use set::first_of;
pub use uri::{Host, Params, Scheme, Uri, host_port};
pub use validate::{validate, validate_excerpt};
