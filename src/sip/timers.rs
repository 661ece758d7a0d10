//! The values from which every SIP timer derives (RFC 3261 table 4).

use std::time::Duration;

/// T1, T2 and T4 of one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// The estimate of the round-trip time.
    pub t1: Duration,
    /// The longest interval between retransmissions of non-INVITE requests and INVITE responses.
    pub t2: Duration,
    /// How long a message stays in the network.
    pub t4: Duration,
}

impl Default for Timing {
    /// The values of RFC 3261 17.1.1.1.
    fn default() -> Self {
        Self { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

impl Timing {
    /// 64*T1: timers B, F, H, J, L, M and N.
    pub const fn transaction(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// Timer D: at least 32 s on an unreliable transport, none on a reliable one.
    pub fn d(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.transaction().max(Duration::from_secs(32)) }
    }

    /// Timers I and K: T4 on an unreliable transport, none on a reliable one.
    pub const fn linger(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.t4 }
    }

    /// The interval after `interval`: doubled, but at most T2 (timers E and G, 13.3.1.4).
    pub fn backoff(&self, interval: Duration) -> Duration {
        interval.saturating_mul(2).min(self.t2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_double_up_to_t2() {
        let timing = Timing::default();
        let intervals: Vec<u128> = std::iter::successors(Some(timing.t1), |interval| Some(timing.backoff(*interval)))
            .take(5)
            .map(|d| d.as_millis())
            .collect();
        assert_eq!(intervals, [500, 1_000, 2_000, 4_000, 4_000]);
    }

    #[test]
    fn timer_d_never_falls_below_32_seconds() {
        let quick = Timing { t1: Duration::from_millis(10), ..Timing::default() };
        assert_eq!(quick.d(false), Duration::from_secs(32));
        assert_eq!(quick.d(true), Duration::ZERO);
    }
}
