//! The one place where wall-clock time becomes an engine's [`Instant`].

use std::time::{Duration, SystemTime};

use crate::time::{EPOCH, Instant};

/// Maps the monotonic clock of the process to the time axis of its engines.
///
/// With a rate above 1 engine time passes faster than the clock on the wall: all timers of a run
/// against our own process shrink alike, on both sides of the wire.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: tokio::time::Instant,
    base: Instant,
    rate: f64,
}

impl Clock {
    /// A clock whose instants tell the date: [`Instant::to_unix_micros`] is the wall-clock time. With
    /// another rate it left the wall's at `since`, counted from 1970, so that two processes that are
    /// told the same agree; without `since` it leaves it now.
    pub fn of_the_wall(rate: f64, since: Option<Duration>) -> Self {
        let now = Self::since_1970();
        let passed = since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let epoch = Duration::from_secs(EPOCH.unsigned_abs());
        let base = Instant::ZERO + (now.saturating_sub(passed) + passed.mul_f64(rate)).saturating_sub(epoch);
        Self { base, ..Self::from_zero(rate) }
    }

    /// The time on the wall.
    #[expect(clippy::disallowed_methods, reason = "the socket driver is where wall-clock time comes from")]
    pub fn since_1970() -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    /// A clock that starts at [`Instant::ZERO`] now.
    pub fn from_zero(rate: f64) -> Self {
        Self { start: tokio::time::Instant::now(), base: Instant::ZERO, rate }
    }

    /// The present.
    pub fn now(&self) -> Instant {
        self.base + self.start.elapsed().mul_f64(self.rate)
    }

    /// Takes the time since `instant` as not passed.
    pub(super) fn resume_at(&mut self, instant: Instant) {
        self.start += self.now().since(instant).div_f64(self.rate);
    }

    /// When an instant comes on the clock of the runtime.
    pub(super) fn at(&self, instant: Instant) -> tokio::time::Instant {
        let ahead = instant.since(self.base).div_f64(self.rate);
        // A deadline beyond what the runtime can hold is as good as one in a year.
        self.start + ahead.min(Duration::from_secs(365 * 24 * 3600))
    }

    /// How much faster than the clock on the wall it goes.
    pub const fn rate(&self) -> f64 {
        self.rate
    }
}
