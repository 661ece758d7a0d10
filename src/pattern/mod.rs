//! The one pattern language: it says what to send, what to expect, what a rule watches for and
//! what a tamper case alters.
//!
//! [`ast`] holds what was read; it knows nothing of files, traces or sockets.

pub mod ast;
