//! How long a process takes to be back, and the figures of a loop.

use std::fmt;
use std::time::{Duration, Instant};

use crate::ledger::Ledger;

/// How long a kill may take, from the signal to the next process that is ready.
const LIMIT: Duration = Duration::from_secs(1);

/// A clock that runs.
pub(crate) struct Watch(Instant);

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "a real process is timed")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// What a loop has shown.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) kills: u64,
    /// Kills of processes that were not ready yet.
    pub(crate) early: u64,
    /// From each kill to the next process that was ready.
    pub(crate) returns: Vec<Duration>,
    pub(crate) ledger: Ledger,
}

impl Figures {
    /// Whether the process was back in time. On a machine that is busy with other things a few are
    /// late without being at fault: the median decides.
    pub(crate) fn is_quick(&self) -> bool {
        self.quantile(0.5) < LIMIT
    }

    fn quantile(&self, part: f64) -> Duration {
        let mut sorted = self.returns.clone();
        sorted.sort_unstable();
        let at = (sorted.len().saturating_sub(1) as f64 * part).round() as usize;
        sorted.get(at).copied().unwrap_or_default()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |part| self.quantile(part).as_millis();
        write!(f, "{} kills ({} before ready), {}; back after {} ms (median), ", self.kills, self.early, self.ledger, millis(0.5))?;
        write!(f, "{} ms (99 %), {} ms (longest)", millis(0.99), millis(1.0))
    }
}
