//! The keys of rules: what tells one instance from another, numbered as the trace shows them.
//!
//! Most rules share one of a few keys. Such a key is an *axis*; its value is read from an event
//! once, and all rules that go by it find their cells by the number of that value.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::suite::catalogue::Per;
use crate::trace::correlate::{Facts, Symbol};

/// The parts of a key.
pub(super) type Parts = SmallVec<[Per; 2]>;

/// The value of a key; `None`: the event does not say.
pub(super) type Key = SmallVec<[Option<Symbol>; 2]>;

fn key_of(parts: &Parts, facts: &Facts) -> Key {
    let part = |per: &Per| match per {
        Per::Trace | Per::OneToOne => None,
        Per::User => facts.user,
        Per::Device => facts.device,
        Per::Group => facts.group,
        Per::Dialog => facts.dialog,
        Per::Transaction => facts.transaction,
        Per::Subscription => facts.subscription,
        Per::MsrpSession => facts.msrp_session,
        Per::Message => facts.message,
    };
    parts.iter().map(part).collect()
}

fn is_full(key: &Key) -> bool {
    key.iter().all(Option::is_some)
}

fn agrees(one: &Key, two: &Key) -> bool {
    one.iter().zip(two).all(|(one, two)| one.is_none() || two.is_none() || one == two)
}

/// The values that one key had so far.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    parts: Parts,
    all: Vec<Key>,
    numbers: BTreeMap<Key, u32>,
    /// Full keys by one of their parts, where there are several.
    by_part: BTreeMap<(usize, Symbol), SmallVec<[u32; 2]>>,
    /// The occurrence that was read last, and its key.
    latest: (u32, u32),
    /// By number of a key: whether the rules that it starts by itself were started.
    started: Vec<bool>,
}

impl Axis {
    pub(super) fn of(parts: &Parts) -> Self {
        Self {
            parts: parts.clone(),
            all: Vec::new(),
            numbers: BTreeMap::new(),
            by_part: BTreeMap::new(),
            latest: (u32::MAX, 0),
            started: Vec::new(),
        }
    }

    /// The number of the key of an occurrence, which is the `nth` of the run.
    pub(super) fn number(&mut self, nth: u32, facts: &Facts) -> u32 {
        if self.latest.0 != nth {
            let key = key_of(&self.parts, facts);
            let number = self.numbers.get(&key).copied().unwrap_or_else(|| self.add(key));
            self.latest = (nth, number);
        }
        self.latest.1
    }

    fn add(&mut self, key: Key) -> u32 {
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        // A key of one part is known whole or not at all.
        if key.len() > 1 && is_full(&key) {
            for (part, symbol) in key.iter().enumerate().filter_map(|(part, symbol)| Some((part, (*symbol)?))) {
                self.by_part.entry((part, symbol)).or_default().push(number);
            }
        }
        self.numbers.insert(key.clone(), number);
        self.all.push(key);
        self.started.push(false);
        number
    }

    /// Whether an event that has this key says all parts of it.
    pub(super) fn is_full(&self, number: u32) -> bool {
        is_full(&self.all[number as usize])
    }

    /// Whether a key starts rules by itself now: it does once.
    pub(super) fn starts(&mut self, number: u32) -> bool {
        !std::mem::replace(&mut self.started[number as usize], true)
    }

    /// How many parts of a key are known.
    pub(super) fn known_parts(&self, number: u32) -> usize {
        self.all[number as usize].iter().filter(|part| part.is_some()).count()
    }

    /// Whether what both keys say is the same.
    pub(super) fn agree(&self, one: u32, two: u32) -> bool {
        agrees(&self.all[one as usize], &self.all[two as usize])
    }

    /// The full keys that share the first known part of one that has a gap; `None`: nothing of it
    /// is known.
    pub(super) fn sharing(&self, gap: u32) -> Option<&[u32]> {
        let parts = self.all[gap as usize].iter().enumerate();
        let known = parts.into_iter().find_map(|(part, symbol)| symbol.map(|symbol| (part, symbol)))?;
        Some(self.by_part.get(&known).map_or(&[][..], SmallVec::as_slice))
    }
}
