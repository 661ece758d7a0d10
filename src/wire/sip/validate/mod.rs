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

/// What is wrong with `message` as traffic, in the order of its bytes: nothing is excused.
pub fn validate(message: &Message, transport: Transport) -> Vec<Violation> {
    check(message, transport, Kind::Traffic)
}

/// What is wrong with `message` as a text that someone keeps: an excerpt of a call flow, or a message
/// of an RFC 2543 element. What such a text may lack is a warning that says why.
pub fn validate_excerpt(message: &Message, transport: Transport) -> Vec<Violation> {
    check(message, transport, Kind::Excerpt)
}

/// How a message came here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Over a wire: it is all there.
    Traffic,
    /// From a file: it may be shortened for readers.
    Excerpt,
}

fn check(message: &Message, transport: Transport, kind: Kind) -> Vec<Violation> {
    let mut sink = Sink { list: Vec::new(), kind };
    start::check(message, &mut sink);
    fields::check(message, &mut sink);
    message::check(message, transport, &mut sink);
    sink.list.sort_by_key(|violation| violation.offset);
    sink.list
}

/// Collects violations.
struct Sink {
    list: Vec<Violation>,
    kind: Kind,
}

impl Sink {
    fn error(&mut self, code: &'static str, offset: usize, rfc: &'static str, message: impl Into<String>) {
        self.push(Level::Error, code, offset, rfc, message);
    }

    fn warning(&mut self, code: &'static str, offset: usize, rfc: &'static str, message: impl Into<String>) {
        self.push(Level::Warning, code, offset, rfc, message);
    }

    /// An error in traffic. In an excerpt it is a warning where there is an excuse.
    fn excused(&mut self, excuse: Option<&str>, code: &'static str, offset: usize, rfc: &'static str, message: &str) {
        match excuse.filter(|_| self.kind == Kind::Excerpt) {
            Some(excuse) => self.warning(code, offset, rfc, format!("{message}; {excuse}")),
            None => self.error(code, offset, rfc, message),
        }
    }

    fn push(&mut self, level: Level, code: &'static str, offset: usize, rfc: &'static str, message: impl Into<String>) {
        self.list.push(Violation { code, level, offset, rfc, message: message.into() });
    }
}

#[cfg(test)]
mod tests;
