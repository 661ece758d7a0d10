//! What a process has acknowledged, kept by the one who killed it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Why a record leaves the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leave {
    /// It was delivered.
    Delivered,
    /// Nobody wants it any more.
    Discarded,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// On its way; nobody has promised anything.
    Sent,
    /// Acknowledged.
    Stored,
    /// Its end is on its way.
    Leaving(Leave),
    /// Its end is acknowledged.
    Gone(Leave),
}

/// The fate of every record, by its number.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    fates: BTreeMap<u64, Fate>,
    pub(crate) acknowledged: u64,
    lost: u64,
    resurrected: u64,
    repeated: u64,
    /// The end of a record was under way at a kill, and did not take place.
    undecided: u64,
    pub(crate) faults: Vec<String>,
}

impl Ledger {
    pub(crate) fn send(&mut self, number: u64) {
        self.fates.insert(number, Fate::Sent);
    }

    pub(crate) fn leave(&mut self, number: u64, why: Leave) {
        self.fates.insert(number, Fate::Leaving(why));
    }

    /// What was last asked for this record has taken place, for good.
    pub(crate) fn acknowledge(&mut self, number: u64) {
        self.acknowledged += 1;
        let Some(fate) = self.fates.get_mut(&number) else {
            return self.faults.push(format!("{number} was acknowledged and never sent"));
        };
        *fate = match *fate {
            Fate::Sent | Fate::Stored => Fate::Stored,
            Fate::Leaving(why) | Fate::Gone(why) => Fate::Gone(why),
        };
    }

    /// The records that are known to be stored, oldest first.
    pub(crate) fn stored(&self) -> impl Iterator<Item = u64> {
        self.fates.iter().filter(|(_, fate)| **fate == Fate::Stored).map(|(number, _)| *number)
    }

    /// A new process has these records. What was open at the kill is decided now.
    pub(crate) fn compare(&mut self, there: &BTreeSet<u64>) {
        for number in there.iter().filter(|number| !self.fates.contains_key(number)) {
            self.resurrected += 1;
            self.faults.push(format!("{number} is there and was never sent"));
        }
        let fates = std::mem::take(&mut self.fates);
        self.fates = fates
            .into_iter()
            .filter_map(|(number, fate)| Some((number, self.decide(number, fate, there.contains(&number))?)))
            .collect();
    }

    fn decide(&mut self, number: u64, fate: Fate, there: bool) -> Option<Fate> {
        match (fate, there) {
            (Fate::Sent | Fate::Stored, true) => Some(Fate::Stored),
            (Fate::Sent, false) => None,
            (Fate::Stored, false) => {
                self.lost += 1;
                self.faults.push(format!("{number} was acknowledged and is lost"));
                None
            }
            (Fate::Leaving(_), true) => {
                self.undecided += 1;
                Some(Fate::Stored)
            }
            (Fate::Leaving(why) | Fate::Gone(why), false) => Some(Fate::Gone(why)),
            (Fate::Gone(why), true) => {
                match why {
                    Leave::Delivered => self.repeated += 1,
                    Leave::Discarded => self.resurrected += 1,
                }
                self.faults.push(format!("{number} is back: {why:?}"));
                Some(Fate::Gone(why))
            }
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, lost, resurrected, repeated, undecided, .. } = self;
        write!(f, "{acknowledged} acknowledged, {lost} lost, {resurrected} resurrected, {repeated} repeated after acknowledged")?;
        write!(f, " ({undecided} ends under way at a kill came to nothing)")
    }
}
