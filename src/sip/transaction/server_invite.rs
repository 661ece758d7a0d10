//! The INVITE server transaction.

use std::time::Duration;

use bytes::Bytes;

use super::{Effect, Effects, Failure, Machine};
use crate::sip::timers::Timing;
use crate::time::{Instant, Timers};
use crate::wire::sip::{Builder, Message};

/// When a 100 goes out, unless the user answers before (RFC 3261 17.2.1).
const TRYING_AFTER: Duration = Duration::from_millis(200);

/// INVITE server transaction (RFC 3261 17.2.1, RFC 6026 7.1).
///
/// ```text
/// INVITE     Proceeding -> Proceeding                       latest provisional again
/// 1xx        Proceeding -> Proceeding
/// 2xx        Proceeding -> Accepted  -> Terminated          repeating it is the user's; timer L
/// INVITE     Accepted -> Accepted                           absorbed
/// 2xx        Accepted -> Accepted                           sent
/// ACK        Accepted -> Accepted                           passed up
/// 3xx-6xx    Proceeding -> Completed                        timers G (unreliable only) and H
/// INVITE     Completed -> Completed                         response again
/// ACK        Completed -> Confirmed -> Terminated           timer I
/// timer G    Completed -> Completed                         response again
/// timer H    Completed -> Terminated                        the user is told
/// 200 ms     Proceeding -> Proceeding                       100 Trying
/// ```
#[derive(Clone, Debug)]
pub struct ServerInvite {
    state: State,
    request: Message,
    latest: Option<Bytes>,
    reliable: bool,
    timing: Timing,
    interval: Duration,
    timers: Timers<Timer>,
}

/// The states of RFC 6026 figure 3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// No final response yet.
    Proceeding,
    /// A 2xx was sent.
    Accepted,
    /// A refusal was sent, its ACK is missing.
    Completed,
    /// The refusal is acknowledged.
    Confirmed,
    /// Done.
    Terminated,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer {
    Trying,
    G,
    H,
    I,
    L,
}

impl Timer {
    const fn name(self) -> &'static str {
        match self {
            Self::Trying => "100 after 200 ms",
            Self::G => "G",
            Self::H => "H",
            Self::I => "I",
            Self::L => "L",
        }
    }
}

impl ServerInvite {
    /// Takes a new INVITE.
    pub fn start(now: Instant, request: Message, reliable: bool, timing: Timing) -> Self {
        let mut timers = Timers::default();
        timers.set(Timer::Trying, now + TRYING_AFTER);
        Self { state: State::Proceeding, request, latest: None, reliable, timing, interval: timing.t1, timers }
    }

    /// The present state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Takes the INVITE once more.
    pub fn handle_repeated(&mut self, effects: &mut Effects) {
        match self.state {
            State::Proceeding | State::Completed => {
                effects.push_back(Effect::Note("repeated INVITE absorbed".into()));
                effects.extend(self.latest.clone().map(Effect::Send));
            }
            State::Accepted | State::Confirmed | State::Terminated => {
                effects.push_back(Effect::Note("repeated INVITE absorbed after the final response".into()));
            }
        }
    }

    /// Takes an ACK that matches.
    pub fn handle_ack(&mut self, now: Instant, ack: Message, effects: &mut Effects) {
        match self.state {
            State::Completed => {
                self.timers.clear();
                let i = self.timing.linger(self.reliable);
                if i.is_zero() {
                    self.state = State::Terminated;
                } else {
                    self.state = State::Confirmed;
                    self.timers.set(Timer::I, now + i);
                }
            }
            State::Accepted => effects.push_back(Effect::Deliver(ack)),
            State::Proceeding | State::Confirmed | State::Terminated => {
                effects.push_back(Effect::Note("ACK absorbed".into()));
            }
        }
    }

    /// Sends a response of the user; after a refusal there is no other.
    pub fn respond(&mut self, now: Instant, status: u16, response: Bytes, effects: &mut Effects) {
        match (self.state, status / 100) {
            (State::Proceeding, 1) => {
                self.timers.stop(Timer::Trying);
                self.latest = Some(response.clone());
                effects.push_back(Effect::Send(response));
            }
            (State::Proceeding, 2) => {
                self.timers.clear();
                self.timers.set(Timer::L, now + self.timing.transaction());
                self.state = State::Accepted;
                effects.push_back(Effect::Send(response));
            }
            (State::Accepted, 2) => effects.push_back(Effect::Send(response)),
            (State::Proceeding, _) => self.refuse(now, response, effects),
            (State::Accepted | State::Completed | State::Confirmed | State::Terminated, _) => {
                effects.push_back(Effect::Note(format!("{status} not sent: INVITE has its final response").into()));
            }
        }
    }

    fn refuse(&mut self, now: Instant, response: Bytes, effects: &mut Effects) {
        self.timers.clear();
        if !self.reliable {
            self.timers.set(Timer::G, now + self.timing.t1);
        }
        self.timers.set(Timer::H, now + self.timing.transaction());
        self.state = State::Completed;
        self.latest = Some(response.clone());
        effects.push_back(Effect::Send(response));
    }
}

impl Machine for ServerInvite {
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
            match timer {
                Timer::Trying => self.respond(now, 100, trying(&self.request), effects),
                Timer::G => {
                    self.interval = self.timing.backoff(self.interval);
                    self.timers.set(Timer::G, now + self.interval);
                    effects.push_back(Effect::Note("timer G: refusal sent again".into()));
                    effects.extend(self.latest.clone().map(Effect::Send));
                }
                Timer::H => {
                    self.timers.clear();
                    self.state = State::Terminated;
                    effects.push_back(Effect::Note("timer H: no ACK to the refusal".into()));
                    effects.push_back(Effect::Fail(Failure::Timeout));
                }
                Timer::I | Timer::L => self.state = State::Terminated,
            }
        }
    }
}

/// The 100 of the transaction itself: fields copied, no tag of ours (RFC 3261 8.2.6).
fn trying(request: &Message) -> Bytes {
    Builder::response_to(request, 100).encode()
}

#[cfg(test)]
mod tests {
    use super::super::script::{ms, quiet, request, response, wake, words};
    use super::*;

    #[test]
    fn says_100_when_the_user_is_silent_for_200_ms() {
        let mut m = start(false);
        wake(&mut m, ms(200), "100 after 200 ms", &["100"]);
        assert_eq!(repeat(&mut m), ["100"]);
        assert_eq!(m.poll_timeout(), None);
    }

    #[test]
    fn says_no_100_after_another_response() {
        let mut m = start(true);
        assert_eq!(respond(&mut m, 50, 180), ["180"]);
        quiet(&mut m, ms(60_000));
        assert_eq!(repeat(&mut m), ["180"]);
    }

    #[test]
    fn a_2xx_absorbs_the_invite_and_passes_acks_up_until_timer_l() {
        let mut m = start(false);
        assert_eq!(respond(&mut m, 50, 200), ["200"]);
        assert_eq!(respond(&mut m, 550, 200), ["200"]);
        assert_eq!(repeat(&mut m), [""; 0]);
        assert_eq!(acknowledge(&mut m, 600), ["up ACK"]);
        assert_eq!(respond(&mut m, 700, 486), [""; 0]);
        wake(&mut m, ms(32_050), "L", &[]);
        assert!(m.is_terminated());
    }

    #[test]
    fn timer_g_repeats_a_refusal_until_timer_h() {
        let mut m = start(false);
        assert_eq!(respond(&mut m, 0, 486), ["486"]);
        for at in [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500] {
            wake(&mut m, ms(at), "G", &["486"]);
        }
        wake(&mut m, ms(32_000), "H", &["fail timeout"]);
        assert!(m.is_terminated());
    }

    #[test]
    fn a_reliable_transport_repeats_nothing_but_still_waits_for_the_ack() {
        let mut m = start(true);
        assert_eq!(respond(&mut m, 0, 491), ["491"]);
        quiet(&mut m, ms(31_999));
        assert_eq!(acknowledge(&mut m, 31_999), [""; 0]);
        assert!(m.is_terminated());
    }

    #[test]
    fn after_the_ack_timer_i_absorbs_what_is_late() {
        let mut m = start(false);
        respond(&mut m, 0, 486);
        assert_eq!(repeat(&mut m), ["486"]);
        assert_eq!(acknowledge(&mut m, 100), [""; 0]);
        assert_eq!(repeat(&mut m), [""; 0]);
        assert_eq!(acknowledge(&mut m, 200), [""; 0]);
        wake(&mut m, ms(5_100), "I", &[]);
        assert!(m.is_terminated());
    }

    fn start(reliable: bool) -> ServerInvite {
        ServerInvite::start(ms(0), request("INVITE"), reliable, Timing::default())
    }

    fn respond(machine: &mut ServerInvite, at: u64, status: u16) -> Vec<String> {
        let mut effects = Effects::new();
        machine.respond(ms(at), status, response(&request("INVITE"), status).encode(), &mut effects);
        words(&mut effects)
    }

    fn repeat(machine: &mut ServerInvite) -> Vec<String> {
        let mut effects = Effects::new();
        machine.handle_repeated(&mut effects);
        words(&mut effects)
    }

    fn acknowledge(machine: &mut ServerInvite, at: u64) -> Vec<String> {
        let mut effects = Effects::new();
        machine.handle_ack(ms(at), request("ACK"), &mut effects);
        words(&mut effects)
    }
}
