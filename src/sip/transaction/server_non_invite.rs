//! The non-INVITE server transaction.

use bytes::Bytes;

use super::{Effect, Effects, Machine};
use crate::sip::timers::Timing;
use crate::time::{Instant, Timers};
use crate::wire::sip::Message;

/// Non-INVITE server transaction (RFC 3261 17.2.2).
///
/// ```text
/// request    Trying -> Trying                                absorbed
/// 1xx        Trying | Proceeding -> Proceeding
/// request    Proceeding | Completed -> same                  latest response again
/// 2xx-6xx    Trying | Proceeding -> Completed -> Terminated  timer J
/// ```
#[derive(Clone, Debug)]
pub struct ServerNonInvite {
    state: State,
    request: Message,
    latest: Option<Bytes>,
    reliable: bool,
    timing: Timing,
    timers: Timers<Timer>,
}

/// The states of RFC 3261 figure 8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// No response yet.
    Trying,
    /// A provisional response was sent.
    Proceeding,
    /// The final response was sent.
    Completed,
    /// Done.
    Terminated,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer {
    J,
}

impl ServerNonInvite {
    /// Takes a new request.
    pub fn start(request: Message, reliable: bool, timing: Timing) -> Self {
        Self { state: State::Trying, request, latest: None, reliable, timing, timers: Timers::default() }
    }

    /// The present state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Takes the request once more.
    pub fn handle_repeated(&mut self, effects: &mut Effects) {
        let method = self.request.method_token().unwrap_or_default();
        effects.push_back(Effect::Note(format!("repeated {method} absorbed").into()));
        effects.extend(self.latest.clone().map(Effect::Send));
    }

    /// Sends a response of the user; after a final one there is no other.
    pub fn respond(&mut self, now: Instant, status: u16, response: Bytes, effects: &mut Effects) {
        match self.state {
            State::Trying | State::Proceeding => {
                self.latest = Some(response.clone());
                effects.push_back(Effect::Send(response));
                if status < 200 {
                    self.state = State::Proceeding;
                } else if self.reliable {
                    self.state = State::Terminated;
                } else {
                    self.state = State::Completed;
                    self.timers.set(Timer::J, now + self.timing.transaction());
                }
            }
            State::Completed | State::Terminated => {
                effects.push_back(Effect::Note(format!("{status} not sent: the request has its final response").into()));
            }
        }
    }
}

impl Machine for ServerNonInvite {
    fn request(&self) -> &Message {
        &self.request
    }

    fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.timers.next().map(|(at, Timer::J)| (at, "J"))
    }

    fn handle_timeout(&mut self, now: Instant, _effects: &mut Effects) {
        while let Some(Timer::J) = self.timers.expire(now) {
            self.state = State::Terminated;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{ms, quiet, request, response, wake, words};
    use super::*;

    #[test]
    fn a_repeated_request_is_absorbed_before_and_answered_after_the_response() {
        let mut m = start(false);
        assert_eq!(repeat(&mut m), [""; 0]);
        assert_eq!(respond(&mut m, 10, 100), ["100"]);
        assert_eq!(repeat(&mut m), ["100"]);
        assert_eq!(respond(&mut m, 20, 200), ["200"]);
        assert_eq!(repeat(&mut m), ["200"]);
        wake(&mut m, ms(32_020), "J", &[]);
        assert!(m.is_terminated());
    }

    #[test]
    fn there_is_one_final_response() {
        let mut m = start(false);
        assert_eq!(respond(&mut m, 10, 481), ["481"]);
        assert_eq!(respond(&mut m, 20, 200), [""; 0]);
        assert_eq!(m.state(), State::Completed);
    }

    #[test]
    fn on_a_reliable_transport_the_final_response_ends_it() {
        let mut m = start(true);
        quiet(&mut m, ms(60_000));
        assert_eq!(respond(&mut m, 60_000, 200), ["200"]);
        assert!(m.is_terminated());
    }

    fn start(reliable: bool) -> ServerNonInvite {
        ServerNonInvite::start(request("BYE"), reliable, Timing::default())
    }

    fn respond(machine: &mut ServerNonInvite, at: u64, status: u16) -> Vec<String> {
        let mut effects = Effects::new();
        machine.respond(ms(at), status, response(&request("BYE"), status).encode(), &mut effects);
        words(&mut effects)
    }

    fn repeat(machine: &mut ServerNonInvite) -> Vec<String> {
        let mut effects = Effects::new();
        machine.handle_repeated(&mut effects);
        words(&mut effects)
    }
}
