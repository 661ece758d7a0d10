//! The PF's own deadlines, however many sessions there are.
//!
//! [`crate::time::Timers`] suits a machine with a handful of timers; here there are some for each
//! user and group, so the order is kept beside the names and nothing is searched.

use std::collections::{BTreeMap, BTreeSet};

use super::one_to_one::{Place, SenderId, Shelf};
use super::state::{GroupId, Side, UserId};
use crate::endpoint::MsrpId;
use crate::time::Instant;

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Alarm {
    /// What could not be written is written again.
    WriteAgain,
    /// Sessions of the process before are to be taken up.
    Restore,
    /// The delay between a third-party REGISTER and the delivery is over.
    Trigger(UserId),
    /// A delivery INVITE that failed may be repeated.
    Retry(GroupId),
    /// A delivery INVITE has rung for too long.
    Ringing(GroupId),
    /// A re-start has gone without a final response for too long.
    Restarting(GroupId),
    /// An MSRP session whose dialog is over has had its time for late answers.
    Linger(MsrpId),
    /// A leg has been without its MSRP connection for too long.
    Disconnected(GroupId, Side),
    /// A refresh that met a 491 may be repeated (RFC 3261 14.1).
    Refresh(GroupId, Side),
    /// The leg to which a change was passed on is gone: the change is answered.
    Abandoned(GroupId),
    /// The delivery INVITE for a sender that failed may be repeated.
    RetrySender(SenderId),
    /// The INVITE of a delivery session has rung for too long.
    RingingAt(Shelf),
    /// A group may have been over for long enough.
    Forget(GroupId),
    /// The oldest message of a user has been kept long enough.
    Expire(UserId),
    /// The INVITE to a session for notifications has rung for too long.
    RingingFor(UserId),
    /// A success report has not come.
    NoReport(Shelf),
    /// A leg has been without its MSRP connection for too long.
    NoConnection(Place),
    /// A refresh that met a 491 may be repeated (RFC 3261 14.1).
    RefreshAt(Place),
}

impl Alarm {
    /// Its name in the trace.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::WriteAgain => "write-again",
            Self::Restore => "restore",
            Self::Trigger(_) => "trigger-delay",
            Self::Retry(_) | Self::RetrySender(_) => "retry-interval",
            Self::Ringing(_) | Self::RingingAt(_) | Self::RingingFor(_) => "ringing-limit",
            Self::Restarting(_) => "restart-limit",
            Self::Abandoned(_) => "abandoned-change",
            Self::NoReport(_) => "no-report",
            Self::Forget(_) => "group-over",
            Self::Expire(_) => "store-age",
            Self::Linger(_) => "late-answers",
            Self::Disconnected(..) | Self::NoConnection(_) => "no-connection",
            Self::Refresh(..) | Self::RefreshAt(_) => "refresh-retry",
        }
    }
}

/// Alarms by name and by time.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    at: BTreeMap<Alarm, Instant>,
    order: BTreeSet<(Instant, Alarm)>,
}

impl Schedule {
    /// Sets an alarm, or moves it.
    pub(super) fn set(&mut self, alarm: Alarm, at: Instant) {
        self.stop(alarm);
        self.at.insert(alarm, at);
        self.order.insert((at, alarm));
    }

    /// Stops an alarm; one that is not set is left alone.
    pub(super) fn stop(&mut self, alarm: Alarm) {
        if let Some(at) = self.at.remove(&alarm) {
            self.order.remove(&(at, alarm));
        }
    }

    /// Whether an alarm is set.
    pub(super) fn runs(&self, alarm: Alarm) -> bool {
        self.at.contains_key(&alarm)
    }

    /// The next alarm.
    pub(super) fn next(&self) -> Option<(Instant, &'static str)> {
        self.order.first().map(|(at, alarm)| (*at, alarm.name()))
    }

    /// Removes and returns the earliest alarm that is due.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Alarm> {
        let (at, alarm) = *self.order.first()?;
        (at <= now).then(|| {
            self.stop(alarm);
            alarm
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_ring_in_order_and_once() {
        let mut schedule = Schedule::default();
        schedule.set(Alarm::Retry(GroupId(1)), Instant::from_millis(20));
        schedule.set(Alarm::Ringing(GroupId(1)), Instant::from_millis(10));
        schedule.set(Alarm::Retry(GroupId(1)), Instant::from_millis(30));
        schedule.set(Alarm::Trigger(UserId(0)), Instant::from_millis(40));
        schedule.stop(Alarm::Trigger(UserId(0)));
        assert_eq!(schedule.next(), Some((Instant::from_millis(10), "ringing-limit")));
        assert_eq!(schedule.expire(Instant::from_millis(9)), None);
        assert_eq!(schedule.expire(Instant::from_millis(99)), Some(Alarm::Ringing(GroupId(1))));
        assert_eq!(schedule.expire(Instant::from_millis(99)), Some(Alarm::Retry(GroupId(1))));
        assert_eq!(schedule.expire(Instant::from_millis(99)), None);
    }
}
