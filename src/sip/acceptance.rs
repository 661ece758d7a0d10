//! A 2xx to INVITE on its way to being acknowledged.

use std::time::Duration;

use crate::time::{Instant, Timers};

use super::timers::Timing;

/// The UAS core's care for its 2xx (RFC 3261 13.3.1.4), on any transport.
///
/// ```text
/// ACK        Waiting -> done
/// T1..T2     Waiting -> Waiting      2xx again
/// 64*T1      Waiting -> done         the user ends the session
/// ```
#[derive(Clone, Debug)]
pub struct Acceptance {
    timing: Timing,
    interval: Duration,
    timers: Timers<Timer>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer {
    Repeat,
    GiveUp,
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// Send the 2xx again.
    Repeat,
    /// No ACK came.
    AckMissing,
}

impl Acceptance {
    /// The 2xx was sent at `now` for the first time.
    pub fn start(now: Instant, timing: Timing) -> Self {
        let mut timers = Timers::default();
        timers.set(Timer::Repeat, now + timing.t1);
        timers.set(Timer::GiveUp, now + timing.transaction());
        Self { timing, interval: timing.t1, timers }
    }

    /// The earliest deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.timers.next().map(|(at, timer)| match timer {
            Timer::Repeat => (at, "2xx again"),
            Timer::GiveUp => (at, "64*T1 without ACK"),
        })
    }

    /// The next thing that is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        match self.timers.expire(now)? {
            Timer::Repeat => {
                self.interval = self.timing.backoff(self.interval);
                self.timers.set(Timer::Repeat, now + self.interval);
                Some(Due::Repeat)
            }
            Timer::GiveUp => {
                self.timers.clear();
                Some(Due::AckMissing)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_at_t1_doubling_to_t2_and_gives_up_after_64_t1() {
        let mut m = Acceptance::start(Instant::ZERO, Timing::default());
        for at in [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500] {
            assert_eq!(m.poll_timeout(), Some((Instant::from_millis(at), "2xx again")));
            assert_eq!(m.handle_timeout(Instant::from_millis(at)), Some(Due::Repeat));
        }
        assert_eq!(m.handle_timeout(Instant::from_millis(32_000)), Some(Due::AckMissing));
        assert_eq!(m.poll_timeout(), None);
    }
}
