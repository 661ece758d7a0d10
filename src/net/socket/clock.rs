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
    /// A clock whose instants tell the date: [`Instant::to_unix_micros`] is the wall-clock time.
    #[expect(clippy::disallowed_methods, reason = "the socket driver is where wall-clock time comes from")]
    pub fn of_the_wall(rate: f64) -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let epoch = Duration::from_secs(EPOCH.unsigned_abs());
        Self { base: Instant::ZERO + since_1970.saturating_sub(epoch), ..Self::from_zero(rate) }
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
