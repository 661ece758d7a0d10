//! Virtual time: an integer clock that only a driver moves.
//!
//! No engine reads a clock. A driver hands the present to [`crate::engine::Engine::handle`] and
//! asks for the next deadline; engines keep their deadlines in [`Timers`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use smallvec::SmallVec;

/// The wall-clock time at which every run begins, in seconds since 1970: 2012-01-17T09:00:00Z, the day
/// of the specification.
pub const EPOCH: i64 = 1_326_790_800;

/// The wall-clock time of an instant, in microseconds since 1970.
pub fn unix_micros(now: Instant) -> i64 {
    EPOCH.saturating_mul(1_000_000).saturating_add(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

/// A point on the run's own time axis, in microseconds since its start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The start of the run.
    pub const ZERO: Self = Self(0);

    /// The instant `micros` microseconds after the start.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The instant `millis` milliseconds after the start.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000)
    }

    /// Microseconds of Unix time, as far as virtual time stands for it: it begins on 17 January 2012,
    /// 09:00 UTC.
    pub fn to_unix_micros(self) -> i64 {
        const BEGINNING: i64 = 1_326_790_800_000_000;
        BEGINNING.saturating_add(i64::try_from(self.0).unwrap_or(i64::MAX))
    }

    /// Microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time since `earlier`, zero when `earlier` lies in the future.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Display for Instant {
    /// Seconds with millisecond precision, as every report shows time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000_000, self.0 / 1_000 % 1_000)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// The running timers of one machine, by name.
///
/// Machines have few timers each: a short list that moves nowhere else is the fastest map.
#[derive(Clone, Debug)]
pub struct Timers<K: Ord + Copy> {
    running: SmallVec<[(K, Instant); 3]>,
}

impl<K: Ord + Copy> Default for Timers<K> {
    fn default() -> Self {
        Self { running: SmallVec::new() }
    }
}

impl<K: Ord + Copy> Timers<K> {
    /// Starts `timer`, or moves it when it runs already.
    pub fn set(&mut self, timer: K, at: Instant) {
        match self.running.iter_mut().find(|(running, _)| *running == timer) {
            Some((_, deadline)) => *deadline = at,
            None => self.running.push((timer, at)),
        }
    }

    /// Stops `timer`; a timer that does not run is left alone.
    pub fn stop(&mut self, timer: K) {
        self.running.retain(|(running, _)| *running != timer);
    }

    /// Stops every timer.
    pub fn clear(&mut self) {
        self.running.clear();
    }

    /// When `timer` fires, if it runs.
    pub fn deadline(&self, timer: K) -> Option<Instant> {
        self.running.iter().find(|(running, _)| *running == timer).map(|(_, at)| *at)
    }

    /// The earliest deadline and its timer; of equal deadlines the smaller timer.
    pub fn next(&self) -> Option<(Instant, K)> {
        self.running.iter().map(|(timer, at)| (*at, *timer)).min()
    }

    /// Removes and returns the earliest timer whose deadline is not after `now`.
    pub fn expire(&mut self, now: Instant) -> Option<K> {
        let (at, timer) = self.next()?;
        (at <= now).then(|| {
            self.stop(timer);
            timer
        })
    }
}

/// The next deadline of each of many machines; its cost does not depend on how many there are,
/// but for a logarithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines<K: Ord + Clone> {
    by_key: BTreeMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Clone> Default for Deadlines<K> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Deadlines<K> {
    /// Sets, moves or (`None`) removes the deadline of `key`.
    pub fn set(&mut self, key: K, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.by_key.insert(key.clone(), at),
            None => self.by_key.remove(&key),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, key.clone()));
        }
        if let Some(at) = at {
            self.by_time.insert((at, key));
        }
    }

    /// The earliest deadline and its key; of equal deadlines the smaller key.
    pub fn next(&self) -> Option<(Instant, &K)> {
        self.by_time.first().map(|(at, key)| (*at, key))
    }

    /// Removes and returns the earliest key whose deadline is not after `now`.
    pub fn expire(&mut self, now: Instant) -> Option<K> {
        let due = self.by_time.first().is_some_and(|(at, _)| *at <= now);
        let (_, key) = due.then(|| self.by_time.pop_first()).flatten()?;
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_expire_in_order_of_their_deadlines() {
        let mut timers = Timers::default();
        timers.set('b', Instant::from_millis(20));
        timers.set('a', Instant::from_millis(30));
        timers.set('c', Instant::from_millis(40));
        timers.stop('c');
        assert_eq!(timers.expire(Instant::from_millis(10)), None);
        assert_eq!(timers.expire(Instant::from_millis(35)), Some('b'));
        assert_eq!(timers.expire(Instant::from_millis(35)), Some('a'));
        assert_eq!(timers.expire(Instant::from_millis(90)), None);
    }

    #[test]
    fn a_key_has_one_deadline_however_often_it_is_moved() {
        let mut deadlines = Deadlines::default();
        deadlines.set("a", Some(Instant::from_millis(10)));
        deadlines.set("b", Some(Instant::from_millis(20)));
        deadlines.set("a", Some(Instant::from_millis(30)));
        deadlines.set("c", Some(Instant::from_millis(5)));
        deadlines.set("c", None);
        assert_eq!(deadlines.next(), Some((Instant::from_millis(20), &"b")));
        assert_eq!(deadlines.expire(Instant::from_millis(30)), Some("b"));
        assert_eq!(deadlines.expire(Instant::from_millis(30)), Some("a"));
        assert_eq!(deadlines.expire(Instant::from_millis(30)), None);
    }

    #[test]
    fn an_instant_prints_as_seconds() {
        assert_eq!(Instant::from_millis(1_005).to_string(), "1.005");
        assert_eq!(Instant::from_millis(5) - Instant::from_millis(7), Duration::ZERO);
    }
}
