//! The one wall clock of the program: how long a command took.

use std::time::Duration;

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
