//! The INVITE client transaction.

use std::time::Duration;

use bytes::Bytes;

use super::{Effect, Effects, Failure, Machine};
use crate::sip::timers::Timing;
use crate::time::{Instant, Timers};
use crate::wire::sip::{Builder, Message, Name};

/// INVITE client transaction (RFC 3261 17.1.1, RFC 6026 7.2).
///
/// ```text
/// 1xx        Calling | Proceeding -> Proceeding                    passed up
/// 2xx        Calling | Proceeding -> Accepted  -> Terminated       ACK is the user's; timer M
/// 2xx        Accepted -> Accepted                                  passed up: repeated or of a fork
/// 3xx-6xx    Calling | Proceeding -> Completed -> Terminated       ACK is ours; timer D
/// 3xx-6xx    Completed -> Completed                                ACK again
/// timer A    Calling -> Calling                                    INVITE again, unreliable only
/// timer B    Calling -> Terminated                                 the user is told
/// transport  Calling -> Terminated                                 the user is told
/// 64*T1      Proceeding -> Terminated                              after CANCEL (RFC 3261 9.1)
/// ```
#[derive(Clone, Debug)]
pub struct ClientInvite {
    state: State,
    request: Message,
    ack: Option<Bytes>,
    reliable: bool,
    timing: Timing,
    interval: Duration,
    timers: Timers<Timer>,
}

/// The states of RFC 6026 figure 5.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Sent, no response yet.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// A refusal came and is acknowledged.
    Completed,
    /// A 2xx came.
    Accepted,
    /// Done.
    Terminated,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer {
    A,
    B,
    D,
    M,
    Cancel,
}

impl Timer {
    const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::D => "D",
            Self::M => "M",
            Self::Cancel => "64*T1 after CANCEL",
        }
    }
}

impl ClientInvite {
    /// Sends the INVITE.
    pub fn start(now: Instant, request: Message, reliable: bool, timing: Timing, effects: &mut Effects) -> Self {
        let mut timers = Timers::default();
        if !reliable {
            timers.set(Timer::A, now + timing.t1);
        }
        timers.set(Timer::B, now + timing.transaction());
        effects.push_back(Effect::Send(request.octets()));
        Self { state: State::Calling, request, ack: None, reliable, timing, interval: timing.t1, timers }
    }

    /// The present state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Takes a response that matches.
    pub fn handle_response(&mut self, now: Instant, response: Message, effects: &mut Effects) {
        let status = response.status().unwrap_or(0);
        match (self.state, status / 100) {
            (State::Calling | State::Proceeding, 1) => self.on_provisional(response, effects),
            (State::Calling | State::Proceeding, 2) => {
                self.enter(State::Accepted, Timer::M, now + self.timing.transaction());
                effects.push_back(Effect::Deliver(response));
            }
            (State::Calling | State::Proceeding, _) => self.on_refusal(now, response, effects),
            (State::Accepted, 2) => effects.push_back(Effect::Deliver(response)),
            (State::Completed, 3..=6) => {
                effects.push_back(Effect::Note(format!("repeated {status} absorbed, ACK sent again").into()));
                effects.extend(self.ack.clone().map(Effect::Send));
            }
            (State::Accepted | State::Completed | State::Terminated, _) => {
                effects.push_back(Effect::Note(format!("{status} absorbed after the final response").into()));
            }
        }
    }

    fn on_provisional(&mut self, response: Message, effects: &mut Effects) {
        self.state = State::Proceeding;
        self.timers.stop(Timer::A);
        self.timers.stop(Timer::B);
        effects.push_back(Effect::Deliver(response));
    }

    fn on_refusal(&mut self, now: Instant, response: Message, effects: &mut Effects) {
        let ack = acknowledgement(&self.request, &response);
        effects.push_back(Effect::Send(ack.clone()));
        self.ack = Some(ack);
        match self.timing.d(self.reliable) {
            Duration::ZERO => self.terminate(),
            d => self.enter(State::Completed, Timer::D, now + d),
        }
        effects.push_back(Effect::Deliver(response));
    }

    /// A CANCEL was sent: without a final response within 64*T1 the INVITE counts as cancelled.
    pub fn cancelled(&mut self, now: Instant) {
        if matches!(self.state, State::Calling | State::Proceeding) {
            self.timers.set(Timer::Cancel, now + self.timing.transaction());
        }
    }

    /// What was sent may be lost for good. Once a response came, the peer has it.
    pub fn handle_transport_error(&mut self, effects: &mut Effects) {
        if self.state == State::Calling {
            self.fail(Failure::Transport, effects);
        }
    }

    fn enter(&mut self, state: State, timer: Timer, at: Instant) {
        self.timers.clear();
        self.timers.set(timer, at);
        self.state = state;
    }

    fn fail(&mut self, failure: Failure, effects: &mut Effects) {
        self.terminate();
        effects.push_back(Effect::Fail(failure));
    }

    fn terminate(&mut self) {
        self.timers.clear();
        self.state = State::Terminated;
    }
}

impl Machine for ClientInvite {
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
                Timer::A => {
                    self.interval = self.interval.saturating_mul(2);
                    self.timers.set(Timer::A, now + self.interval);
                    effects.push_back(Effect::Note("timer A: INVITE sent again".into()));
                    effects.push_back(Effect::Send(self.request.octets()));
                }
                Timer::B | Timer::Cancel => {
                    effects.push_back(Effect::Note(format!("timer {}: no final response to INVITE", timer.name()).into()));
                    self.fail(Failure::Timeout, effects);
                }
                Timer::D | Timer::M => self.terminate(),
            }
        }
    }
}

/// The ACK to a refusal (RFC 3261 17.1.1.3): the INVITE's own branch, Request-URI and Route.
fn acknowledgement(invite: &Message, response: &Message) -> Bytes {
    let via = invite.elements(Name::Via).next();
    let cseq = invite.cseq().map_or(0, |cseq| cseq.number);
    let mut ack = Builder::request("ACK", invite.request_uri().unwrap_or_default())
        .push_some("Via", via)
        .push_some("Max-Forwards", invite.value(Name::MaxForwards))
        .push_some("From", invite.value(Name::From))
        .push_some("To", response.value(Name::To))
        .push_some("Call-ID", invite.call_id())
        .push("CSeq", format_args!("{cseq} ACK"));
    for route in invite.values(Name::Route) {
        ack = ack.push("Route", route);
    }
    ack.encode()
}

#[cfg(test)]
mod tests {
    use super::super::script::{ms, quiet, request, response, wake, words};
    use super::*;

    #[test]
    fn timer_a_doubles_and_timer_b_gives_up() {
        let mut m = start(false);
        wake(&mut m, ms(500), "A", &["INVITE"]);
        wake(&mut m, ms(1_500), "A", &["INVITE"]);
        wake(&mut m, ms(3_500), "A", &["INVITE"]);
        wake(&mut m, ms(7_500), "A", &["INVITE"]);
        wake(&mut m, ms(15_500), "A", &["INVITE"]);
        wake(&mut m, ms(31_500), "A", &["INVITE"]);
        wake(&mut m, ms(32_000), "B", &["fail timeout"]);
        assert!(m.is_terminated());
    }

    #[test]
    fn a_reliable_transport_has_no_timer_a() {
        let mut m = start(true);
        quiet(&mut m, ms(31_999));
        wake(&mut m, ms(32_000), "B", &["fail timeout"]);
    }

    #[test]
    fn a_provisional_response_stops_timers_a_and_b() {
        let mut m = start(false);
        assert_eq!(receive(&mut m, 100, 180), ["up 180"]);
        assert_eq!(m.poll_timeout(), None);
        assert_eq!(receive(&mut m, 200, 183), ["up 183"]);
        assert_eq!(m.state(), State::Proceeding);
    }

    #[test]
    fn every_2xx_is_passed_up_until_timer_m() {
        let mut m = start(false);
        assert_eq!(receive(&mut m, 100, 200), ["up 200"]);
        assert_eq!(receive(&mut m, 600, 200), ["up 200"]);
        assert_eq!(receive(&mut m, 700, 180), [""; 0]);
        wake(&mut m, ms(32_100), "M", &[]);
        assert!(m.is_terminated());
    }

    #[test]
    fn a_refusal_is_acknowledged_as_often_as_it_comes() {
        let mut m = start(false);
        assert_eq!(receive(&mut m, 100, 486), ["ACK", "up 486"]);
        assert_eq!(receive(&mut m, 600, 486), ["ACK"]);
        assert_eq!(receive(&mut m, 700, 200), [""; 0]);
        wake(&mut m, ms(32_100), "D", &[]);
        assert!(m.is_terminated());
    }

    #[test]
    fn on_a_reliable_transport_a_refusal_ends_it_at_once() {
        let mut m = start(true);
        assert_eq!(receive(&mut m, 100, 603), ["ACK", "up 603"]);
        assert!(m.is_terminated());
    }

    #[test]
    fn the_ack_to_a_refusal_repeats_the_invite_and_takes_the_tag() {
        let invite = request("INVITE");
        let ack = Message::decode(acknowledgement(&invite, &response(&invite, 486))).expect("an ACK");
        assert_eq!(ack.value(Name::Via), invite.value(Name::Via));
        assert_eq!(ack.value(Name::Route), Some("<sip:core.example;lr>"));
        assert_eq!(ack.value(Name::To), Some("<sip:bob@b.example>;tag=b"));
        assert_eq!(ack.value(Name::CSeq), Some("7 ACK"));
        assert_eq!(ack.request_uri(), invite.request_uri());
    }

    #[test]
    fn a_transport_error_counts_only_before_the_first_response() {
        let mut m = start(true);
        let mut effects = Effects::new();
        m.handle_transport_error(&mut effects);
        assert_eq!(words(&mut effects), ["fail transport"]);

        let mut m = start(true);
        receive(&mut m, 100, 180);
        m.handle_transport_error(&mut effects);
        assert_eq!(words(&mut effects), [""; 0]);
    }

    #[test]
    fn a_cancelled_invite_waits_64_t1_for_its_487() {
        let mut m = start(true);
        receive(&mut m, 100, 180);
        m.cancelled(ms(1_000));
        quiet(&mut m, ms(32_999));
        wake(&mut m, ms(33_000), "64*T1 after CANCEL", &["fail timeout"]);
    }

    fn start(reliable: bool) -> ClientInvite {
        let mut effects = Effects::new();
        let machine = ClientInvite::start(ms(0), request("INVITE"), reliable, Timing::default(), &mut effects);
        assert_eq!(words(&mut effects), ["INVITE"]);
        machine
    }

    fn receive(machine: &mut ClientInvite, at: u64, status: u16) -> Vec<String> {
        let mut effects = Effects::new();
        machine.handle_response(ms(at), response(&request("INVITE"), status), &mut effects);
        words(&mut effects)
    }
}
