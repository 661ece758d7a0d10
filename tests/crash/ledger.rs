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
    /// Those of them that are stored: few, however long the loop.
    stored: BTreeSet<u64>,
    pub(crate) acknowledged: u64,
    lost: u64,
    resurrected: u64,
    repeated: u64,
    /// The end of a record was under way at a kill, and did not take place.
    undecided: u64,
    pub(crate) faults: Vec<String>,
}

impl Ledger {
    fn set(&mut self, number: u64, fate: Fate) {
        if fate == Fate::Stored {
            self.stored.insert(number);
        } else {
            self.stored.remove(&number);
        }
        self.fates.insert(number, fate);
    }

    pub(crate) fn send(&mut self, number: u64) {
        self.set(number, Fate::Sent);
    }

    pub(crate) fn leave(&mut self, number: u64, why: Leave) {
        self.set(number, Fate::Leaving(why));
    }

    /// What was last asked for this record has taken place, for good.
    pub(crate) fn acknowledge(&mut self, number: u64) {
        self.acknowledged += 1;
        match self.fates.get(&number).copied() {
            Some(Fate::Sent | Fate::Stored) => self.set(number, Fate::Stored),
            Some(Fate::Leaving(why) | Fate::Gone(why)) => self.set(number, Fate::Gone(why)),
            None => self.faults.push(format!("{number} was acknowledged and never sent")),
        }
    }

    /// The records that are known to be stored, oldest first.
    pub(crate) fn stored(&self) -> impl Iterator<Item = u64> {
        self.stored.iter().copied()
    }

    /// The record was taken over, for good; its end may be under way already.
    pub(crate) fn promise(&mut self, number: u64) {
        self.acknowledged += 1;
        if self.fates.get(&number) == Some(&Fate::Sent) {
            self.set(number, Fate::Stored);
        }
    }

    /// The end of a record has taken place, for good.
    pub(crate) fn settle(&mut self, number: u64) {
        if let Some(Fate::Leaving(why)) = self.fates.get(&number).copied() {
            self.acknowledged += 1;
            self.set(number, Fate::Gone(why));
        }
    }

    /// A new process has these records and no others. What was open at the kill is decided now.
    pub(crate) fn compare(&mut self, there: &BTreeSet<u64>) {
        for number in there {
            self.appear(*number);
        }
        self.decide_without(there);
    }

    /// A record is there, or comes.
    pub(crate) fn appear(&mut self, number: u64) {
        let fault = match self.fates.get(&number) {
            Some(Fate::Sent | Fate::Stored) => None,
            Some(Fate::Leaving(_)) => {
                self.undecided += 1;
                None
            }
            Some(Fate::Gone(Leave::Delivered)) => {
                self.repeated += 1;
                Some("was delivered and is back")
            }
            Some(Fate::Gone(Leave::Discarded)) => {
                self.resurrected += 1;
                Some("was discarded and is back")
            }
            None => {
                self.resurrected += 1;
                Some("came to nothing, or never was, and is there")
            }
        };
        self.faults.extend(fault.map(|fault| format!("{number} {fault}")));
        self.set(number, Fate::Stored);
    }

    /// All that there is has been seen.
    pub(crate) fn decide_without(&mut self, there: &BTreeSet<u64>) {
        let open: Vec<(u64, Fate)> = self.open().filter(|(number, _)| !there.contains(number)).collect();
        for (number, fate) in open {
            match fate {
                // It came to nothing: it must not come any more.
                Fate::Sent => drop(self.fates.remove(&number)),
                Fate::Stored => {
                    self.lost += 1;
                    self.faults.push(format!("{number} was acknowledged and is lost"));
                    self.stored.remove(&number);
                    self.fates.remove(&number);
                }
                Fate::Leaving(why) | Fate::Gone(why) => self.set(number, Fate::Gone(why)),
            }
        }
    }

    /// The records that are not gone for good.
    fn open(&self) -> impl Iterator<Item = (u64, Fate)> {
        self.fates.iter().filter(|(_, fate)| !matches!(fate, Fate::Gone(_))).map(|(number, fate)| (*number, *fate))
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
