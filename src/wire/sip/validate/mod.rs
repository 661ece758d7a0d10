//! Everything a strict reader complains of in one message that decodes.
//!
//! Rules that need more than the message (transactions, dialogs, capabilities) are not here.

mod fields;
mod message;
mod start;
mod table;

use super::Message;
use crate::engine::Transport;
use crate::wire::{Level, Violation};

/// What is wrong with `message`, in the order of its bytes.
///
/// A message of an RFC 2543 element (its topmost Via has no branch with the magic cookie) may lack
/// what RFC 3261 made mandatory; that is reported as warnings.
pub fn validate(message: &Message, transport: Transport) -> Vec<Violation> {
    let mut sink = Sink { list: Vec::new() };
    start::check(message, &mut sink);
    fields::check(message, &mut sink);
    message::check(message, transport, &mut sink);
    sink.list.sort_by_key(|violation| violation.offset);
    sink.list
}

/// Collects violations.
struct Sink {
    list: Vec<Violation>,
}

impl Sink {
    fn error(&mut self, code: &'static str, offset: usize, rfc: &'static str, message: impl Into<String>) {
        self.push(Level::Error, code, offset, rfc, message);
    }

    fn warning(&mut self, code: &'static str, offset: usize, rfc: &'static str, message: impl Into<String>) {
        self.push(Level::Warning, code, offset, rfc, message);
    }

    fn push(&mut self, level: Level, code: &'static str, offset: usize, rfc: &'static str, message: impl Into<String>) {
        self.list.push(Violation { code, level, offset, rfc, message: message.into() });
    }
}

#[cfg(test)]
mod tests;
