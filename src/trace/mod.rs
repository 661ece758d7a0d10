//! The record of a run: what happened, when, between whom.
//!
//! A [`Trace`] holds what passed the edge of the IUT. Everything else about it (ends, dialogs,
//! transactions, groups) is derived from the wire by [`correlate`], so a live run, a stored run
//! and a capture are read alike.

pub mod correlate;
pub mod event;
pub mod normalise;
pub mod parity;
pub mod snapshot;
pub mod tap;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::pattern::ast::Role;
use crate::time::Instant;
use event::{AddressBook, Event, Party};

/// What a trace is of, and how to read its addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Identifier of the scenario.
    pub scenario: String,
    /// Its variant; empty for the first.
    pub variant: String,
    /// The seed.
    pub seed: u64,
    /// Who is judged.
    pub iut: Party,
    /// Who is who.
    pub book: Arc<AddressBook>,
    /// Every policy knob of the IUT with its value, defaults included.
    pub policy: Arc<BTreeMap<String, String>>,
    /// What the IUT claims.
    pub pics: BTreeSet<String>,
    /// Whether time was virtual: then the order of events is exact.
    pub virtual_clock: bool,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            scenario: String::new(),
            variant: String::new(),
            seed: 0,
            iut: Party::new(Role::Pf, "pf"),
            book: Arc::default(),
            policy: Arc::default(),
            pics: BTreeSet::new(),
            virtual_clock: true,
        }
    }
}

impl Header {
    /// The scenario with its variant, `group/missed@strict`.
    pub fn name(&self) -> String {
        if self.variant.is_empty() { self.scenario.clone() } else { format!("{}@{}", self.scenario, self.variant) }
    }
}

/// The record of one run of one scenario.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Trace {
    /// What it is of.
    pub header: Header,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// When the recording stopped; absences are judged up to here.
    pub ended: Instant,
    /// Whether the recording went to its end: only then an absence tells anything.
    pub complete: bool,
}
