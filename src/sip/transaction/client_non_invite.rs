//! The non-INVITE client transaction.

use std::time::Duration;

use super::{Effect, Effects, Failure, Machine};
use crate::sip::timers::Timing;
use crate::time::{Instant, Timers};
use crate::wire::sip::Message;

/// Non-INVITE client transaction (RFC 3261 17.1.2).
///
/// ```text
/// 1xx        Trying | Proceeding -> Proceeding                passed up
/// 2xx-6xx    Trying | Proceeding -> Completed -> Terminated   passed up; timer K
/// timer E    Trying | Proceeding -> same                      request again, unreliable only
/// timer F    Trying | Proceeding -> Terminated                the user is told
/// transport  Trying -> Terminated                             the user is told
/// ```
#[derive(Clone, Debug)]
pub struct ClientNonInvite {
    state: State,
    request: Message,
    reliable: bool,
    timing: Timing,
    interval: Duration,
    timers: Timers<Timer>,
}

/// The states of RFC 3261 figure 6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Sent, no response yet.
    Trying,
    /// A provisional response came.
    Proceeding,
    /// The final response came; its repetitions are absorbed.
    Completed,
    /// Done.
    Terminated,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer {
    E,
    F,
    K,
}

impl Timer {
    const fn name(self) -> &'static str {
        match self {
            Self::E => "E",
            Self::F => "F",
            Self::K => "K",
        }
    }
}

impl ClientNonInvite {
    /// Sends the request.
    pub fn start(now: Instant, request: Message, reliable: bool, timing: Timing, effects: &mut Effects) -> Self {
        let mut timers = Timers::default();
        if !reliable {
            timers.set(Timer::E, now + timing.t1);
        }
        timers.set(Timer::F, now + timing.transaction());
        effects.push_back(Effect::Send(request.octets()));
        Self { state: State::Trying, request, reliable, timing, interval: timing.t1, timers }
    }

    /// The present state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Takes a response that matches.
    pub fn handle_response(&mut self, now: Instant, response: Message, effects: &mut Effects) {
        let status = response.status().unwrap_or(0);
        match self.state {
            State::Trying | State::Proceeding if status < 200 => {
                self.state = State::Proceeding;
                effects.push_back(Effect::Deliver(response));
            }
            State::Trying | State::Proceeding => {
                self.timers.clear();
                let k = self.timing.linger(self.reliable);
                if k.is_zero() {
                    self.state = State::Terminated;
                } else {
                    self.state = State::Completed;
                    self.timers.set(Timer::K, now + k);
                }
                effects.push_back(Effect::Deliver(response));
            }
            State::Completed | State::Terminated => {
                effects.push_back(Effect::Note(format!("{status} absorbed after the final response").into()));
            }
        }
    }

    /// What was sent may be lost for good. Once a response came, the peer has it.
    pub fn handle_transport_error(&mut self, effects: &mut Effects) {
        if self.state == State::Trying {
            self.fail(Failure::Transport, effects);
        }
    }

    fn fail(&mut self, failure: Failure, effects: &mut Effects) {
        self.timers.clear();
        self.state = State::Terminated;
        effects.push_back(Effect::Fail(failure));
    }
}

impl Machine for ClientNonInvite {
    fn request(&self) -> &Message {
        &self.request
    }

    fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.timers.next().map(|(at, timer)| (at, timer.name()))
    }

    fn handle_timeout(&mut self, now: Instant, effects: &mut Effects) {
        while let Some(timer) = self.timers.expire(now) {
            let method = self.request.method_token().unwrap_or_default();
            match timer {
                Timer::E => {
                    self.interval = match self.state {
                        State::Proceeding => self.timing.t2,
                        State::Trying | State::Completed | State::Terminated => self.timing.backoff(self.interval),
                    };
                    self.timers.set(Timer::E, now + self.interval);
                    effects.push_back(Effect::Note(format!("timer E: {method} sent again").into()));
                    effects.push_back(Effect::Send(self.request.octets()));
                }
                Timer::F => {
                    effects.push_back(Effect::Note(format!("timer F: no final response to {method}").into()));
                    self.fail(Failure::Timeout, effects);
                }
                Timer::K => self.state = State::Terminated,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{ms, quiet, request, response, wake, words};
    use super::*;

    #[test]
    fn timer_e_doubles_up_to_t2_and_timer_f_gives_up() {
        let mut m = start(false);
        for at in [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500] {
            wake(&mut m, ms(at), "E", &["BYE"]);
        }
        wake(&mut m, ms(32_000), "F", &["fail timeout"]);
        assert!(m.is_terminated());
    }

    #[test]
    fn a_provisional_response_slows_timer_e_to_t2() {
        let mut m = start(false);
        assert_eq!(receive(&mut m, 100, 100), ["up 100"]);
        wake(&mut m, ms(500), "E", &["BYE"]);
        wake(&mut m, ms(4_500), "E", &["BYE"]);
        assert_eq!(m.state(), State::Proceeding);
    }

    #[test]
    fn a_reliable_transport_has_neither_timer_e_nor_timer_k() {
        let mut m = start(true);
        quiet(&mut m, ms(31_999));
        assert_eq!(receive(&mut m, 31_999, 200), ["up 200"]);
        assert!(m.is_terminated());
    }

    #[test]
    fn repeated_final_responses_are_absorbed_until_timer_k() {
        let mut m = start(false);
        assert_eq!(receive(&mut m, 100, 200), ["up 200"]);
        assert_eq!(receive(&mut m, 600, 200), [""; 0]);
        wake(&mut m, ms(5_100), "K", &[]);
        assert!(m.is_terminated());
    }

    #[test]
    fn a_transport_error_is_told() {
        let mut m = start(true);
        let mut effects = Effects::new();
        m.handle_transport_error(&mut effects);
        assert_eq!(words(&mut effects), ["fail transport"]);
        assert!(m.is_terminated());
    }

    fn start(reliable: bool) -> ClientNonInvite {
        let mut effects = Effects::new();
        let machine = ClientNonInvite::start(ms(0), request("BYE"), reliable, Timing::default(), &mut effects);
        assert_eq!(words(&mut effects), ["BYE"]);
        machine
    }

    fn receive(machine: &mut ClientNonInvite, at: u64, status: u16) -> Vec<String> {
        let mut effects = Effects::new();
        machine.handle_response(ms(at), response(&request("BYE"), status), &mut effects);
        words(&mut effects)
    }
}
