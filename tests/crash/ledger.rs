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

    /// The record was taken over, for good; its end may be under way already.
    pub(crate) fn promise(&mut self, number: u64) {
        self.acknowledged += 1;
        if let Some(fate @ Fate::Sent) = self.fates.get_mut(&number) {
            *fate = Fate::Stored;
        }
    }

    /// The end of a record has taken place, for good.
    pub(crate) fn settle(&mut self, number: u64) {
        if let Some(fate) = self.fates.get_mut(&number)
            && let Fate::Leaving(why) = *fate
        {
            self.acknowledged += 1;
            *fate = Fate::Gone(why);
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
        self.fates.insert(number, Fate::Stored);
    }

    /// All that there is has been seen.
    pub(crate) fn decide_without(&mut self, there: &BTreeSet<u64>) {
        for (number, fate) in std::mem::take(&mut self.fates) {
            let decided = match fate {
                fate if there.contains(&number) => fate,
                // It came to nothing: it must not come any more.
                Fate::Sent => continue,
                Fate::Stored => {
                    self.lost += 1;
                    self.faults.push(format!("{number} was acknowledged and is lost"));
                    continue;
                }
                Fate::Leaving(why) | Fate::Gone(why) => Fate::Gone(why),
            };
            self.fates.insert(number, decided);
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
