//! What went in comes out: equal by a key, so often, in order, in time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::time::Instant;

/// Something that went in.
#[derive(Clone, Debug)]
struct Item {
    key: Arc<str>,
    /// The event at which it went in.
    event: u32,
    /// How often it came out.
    out: u32,
}

/// What one instance of a rule owes.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    items: Vec<Item>,
    by_key: BTreeMap<Arc<str>, SmallVec<[usize; 1]>>,
    /// Everything before this came out often enough.
    first_owed: usize,
    owed: usize,
    /// Until when the next one has to come.
    pub(super) deadline: Option<Instant>,
    /// Whether something came out as it should.
    pub(super) delivered: bool,
}

/// What is wrong with something that came out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Wrong {
    /// It came out more often than it may.
    Again,
    /// This one, which went in earlier, is still owed.
    Before(u32),
}

impl Ledger {
    /// Something went in.
    pub(super) fn enter(&mut self, key: &Arc<str>, event: u32) {
        self.by_key.entry(Arc::clone(key)).or_default().push(self.items.len());
        self.items.push(Item { key: Arc::clone(key), event, out: 0 });
        self.owed += 1;
    }

    /// Something came out. What never went in is no concern.
    pub(super) fn leave(&mut self, key: &str, ordered: bool, times: Option<u32>) -> Result<bool, Wrong> {
        let Some(places) = self.by_key.get(key) else { return Ok(false) };
        let wanted = times.unwrap_or(1).max(1);
        let Some(at) = places.iter().copied().find(|at| self.items[*at].out < wanted) else {
            return if times.is_some() { Err(Wrong::Again) } else { Ok(false) };
        };
        let out_of_order = (ordered && at > self.first_owed).then(|| self.items[self.first_owed].event);
        self.items[at].out += 1;
        if self.items[at].out == wanted {
            self.owed -= 1;
            self.delivered = true;
        }
        while self.items.get(self.first_owed).is_some_and(|item| item.out >= wanted) {
            self.first_owed += 1;
        }
        out_of_order.map_or(Ok(true), |event| Err(Wrong::Before(event)))
    }

    /// Sets or lifts the bound for what is owed next.
    pub(super) fn rearm(&mut self, now: Instant, within: Option<Duration>) -> Option<Instant> {
        self.deadline = within.filter(|_| self.owed > 0).map(|within| now + within);
        self.deadline
    }

    /// Forgets everything: nothing is owed any more.
    pub(super) fn clear(&mut self) {
        let delivered = self.delivered;
        *self = Self { delivered, ..Self::default() };
    }

    pub(super) const fn owes(&self) -> bool {
        self.owed > 0
    }

    /// What is owed next: its key and the event at which it went in.
    pub(super) fn next_owed(&self) -> Option<(&str, u32)> {
        self.items.get(self.first_owed).map(|item| (&*item.key, item.event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_once_and_in_order() {
        let mut ledger = Ledger::default();
        ledger.enter(&"a".into(), 1);
        ledger.enter(&"b".into(), 2);
        assert_eq!(ledger.leave("a", true, Some(1)), Ok(true));
        assert_eq!(ledger.leave("a", true, Some(1)), Err(Wrong::Again));
        assert_eq!(ledger.leave("live", true, Some(1)), Ok(false));
        assert_eq!(ledger.next_owed(), Some(("b", 2)));
        assert_eq!(ledger.leave("b", true, Some(1)), Ok(true));
        assert!(!ledger.owes());
    }

    #[test]
    fn overtaking_is_noticed_once() {
        let mut ledger = Ledger::default();
        ["a", "b", "c"].into_iter().zip(1..).for_each(|(key, event)| ledger.enter(&key.into(), event));
        assert_eq!(ledger.leave("b", true, None), Err(Wrong::Before(1)));
        assert_eq!(ledger.leave("a", true, None), Ok(true));
        assert_eq!(ledger.leave("c", true, None), Ok(true));
        assert!(!ledger.owes());
    }

    #[test]
    fn equal_keys_are_owed_each() {
        let mut ledger = Ledger::default();
        ledger.enter(&"a".into(), 1);
        ledger.enter(&"a".into(), 2);
        assert_eq!(ledger.leave("a", true, Some(1)), Ok(true));
        assert!(ledger.owes());
        assert_eq!(ledger.leave("a", true, Some(1)), Ok(true));
        assert_eq!(ledger.leave("a", true, Some(1)), Err(Wrong::Again));
    }
}
