//! Transactions (RFC 3261 17, RFC 6026): the four machines, and the table that matches messages
//! to them.

pub mod client_invite;
pub mod client_non_invite;
pub mod server_invite;
pub mod server_non_invite;
mod table;

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;

use crate::time::Instant;
use crate::wire::sip::Message;

pub use client_invite::ClientInvite;
pub use client_non_invite::ClientNonInvite;
pub use server_invite::ServerInvite;
pub use server_non_invite::ServerNonInvite;
pub use table::{Reception, Transactions};

/// A transaction of one node, client or server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TransactionId(pub u32);

/// Why a request got no final response, or a final response no ACK.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Timer B, F or H fired (RFC 3261 17); for a request, treated as a 408.
    Timeout,
    /// The transport could not deliver it (RFC 3261 17.1.4): treated as a 503.
    Transport,
}

/// What a machine asks of the layers around it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Send these bytes to where the transaction's messages go.
    Send(Bytes),
    /// Hand this message to the transaction user.
    Deliver(Message),
    /// Tell the transaction user that nothing will come.
    Fail(Failure),
    /// A remark for the trace.
    Note(Cow<'static, str>),
}

/// The effects of machines, in order.
pub type Effects = VecDeque<Effect>;

/// What the four machines have in common.
pub trait Machine {
    /// The request that created it.
    fn request(&self) -> &Message;

    /// Whether it may be forgotten.
    fn is_terminated(&self) -> bool;

    /// Its earliest deadline and the RFC's name of the timer.
    fn poll_timeout(&self) -> Option<(Instant, &'static str)>;

    /// Fires the timers that are due.
    fn handle_timeout(&mut self, now: Instant, effects: &mut Effects);
}

#[cfg(test)]
mod script {
    //! Lets a machine test read as a script: what happens when, what comes out, then silence.

    use super::{Effect, Effects, Failure, Machine};
    use crate::time::Instant;
    use crate::wire::sip::{Builder, Message, StartLine};

    pub(super) const fn ms(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    pub(super) fn request(method: &str) -> Message {
        Builder::request(method, "sip:bob@b.example")
            .push("Via", "SIP/2.0/UDP a.example:5060;branch=z9hG4bK1")
            .push("Max-Forwards", 70)
            .push("Route", "<sip:core.example;lr>")
            .push("From", "<sip:alice@a.example>;tag=a")
            .push("To", "<sip:bob@b.example>")
            .push("Call-ID", "call-1")
            .push("CSeq", format!("7 {method}"))
            .build()
    }

    pub(super) fn response(request: &Message, status: u16) -> Message {
        let response = Builder::response_to(request, status);
        let to = format!("{};tag=b", response.value("To").expect("a To"));
        response.set("To", to).build()
    }

    /// Effects as words: `INVITE`, `200`, `up 200`, `fail Timeout`; remarks are left out.
    pub(super) fn words(effects: &mut Effects) -> Vec<String> {
        effects.drain(..).filter_map(word).collect()
    }

    fn word(effect: Effect) -> Option<String> {
        match effect {
            Effect::Send(bytes) => Some(name(&Message::decode(bytes).expect("our own message decodes"))),
            Effect::Deliver(message) => Some(format!("up {}", name(&message))),
            Effect::Fail(failure) => Some(match failure {
                Failure::Timeout => "fail timeout".to_owned(),
                Failure::Transport => "fail transport".to_owned(),
            }),
            Effect::Note(_) => None,
        }
    }

    fn name(message: &Message) -> String {
        match message.start_line() {
            StartLine::Request { method, .. } => method.to_owned(),
            StartLine::Status { code, .. } => code.to_string(),
        }
    }

    /// The next deadline is at `at` with this timer, and gives these effects.
    pub(super) fn wake(machine: &mut impl Machine, at: Instant, timer: &str, expected: &[&str]) {
        assert_eq!(machine.poll_timeout(), Some((at, timer)));
        let mut effects = Effects::new();
        machine.handle_timeout(at, &mut effects);
        assert_eq!(words(&mut effects), expected, "at timer {timer}");
    }

    /// Nothing is due up to `until`.
    pub(super) fn quiet(machine: &mut impl Machine, until: Instant) {
        let mut effects = Effects::new();
        machine.handle_timeout(until, &mut effects);
        assert_eq!(words(&mut effects), [""; 0], "until {until}");
    }
}
