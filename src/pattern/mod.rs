//! The one pattern language: it says what to send, what to expect, what a rule watches for and
//! what a tamper case alters.
//!
//! [`ast`] holds what was read; it knows nothing of files, traces or sockets. A [`View`] is one
//! message as patterns see it; a [`Matcher`] says whether it fits, and where it does not; [`fill`]
//! puts a pattern's values into a message. Ends, answers and time are the business of whoever
//! knows the trace.

pub mod ast;
mod bindings;
mod bodies;
mod display;
mod env;
pub mod fill;
mod grammar;
mod matcher;
mod path;
#[cfg(test)]
mod testing;
mod view;

pub use bindings::{Binding, Bindings};
pub use bodies::fields as part_fields;
pub use env::{Env, Names, substitute};
pub use grammar::{Grammar, bare_uri};
pub use matcher::{Matcher, Mismatch};
pub use path::{PREFIXES, PathFault, Reader, Values, Wanted, distance, read, wanted};
pub use view::{Contents, View};

use ast::Key;

/// Whether a message fits keys, and what it binds. Who matches one set of keys often prepares a
/// [`Matcher`].
///
/// # Errors
///
/// Every demand that the message does not meet.
pub fn fits(keys: &[Key], view: &View<'_>, env: &dyn Env) -> Result<Bindings, Vec<Mismatch>> {
    Matcher::of(keys).explain(view, env)
}
