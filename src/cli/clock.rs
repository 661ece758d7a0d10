//! The wall clock of the program: how long a command took, and which day it is.

use std::time::{Duration, SystemTime};

use crate::suite::targets::Date;

/// Runs from its making.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Begins.
    #[expect(clippy::disallowed_methods, reason = "the duration of a command is wall-clock time")]
    pub(super) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// The time since.
    pub(super) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// The day, in Greenwich.
#[expect(clippy::disallowed_methods, reason = "what expires does so on a day of the calendar")]
pub(super) fn today() -> Date {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Date::of_days(since.as_secs() / 86_400)
}
