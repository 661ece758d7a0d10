//! Rules over time: one pass over a trace, an instance per value of a correlation key.
//!
//! Patterns of all rules are kept once and filed by kind of event, so an event is matched against
//! few of them, and only rules with a pattern that fits are weighed. An event that lacks a part of
//! a key (a REGISTER, say, names a user and no group) concerns every instance whose other parts
//! agree. One that belongs to a session without a group concerns no group.
//!
//! How the parts of a rule combine, beyond the table of the language:
//!
//! - An event that closes a scope is not in it, nor is the one that opens it; the latter counts
//!   for `needs`.
//! - What is owed with a bound of its own (`within`, `before`, `until`) outlives the scope in
//!   which it was called for; anything else ends with it.
//! - `unless` ends what is owed, and what is on its way to be owed: a chain of triggers starts
//!   anew. One that reads variables does so for the chains and instances that bound them.
//! - `within` bounds `then`, else `never` or `count`.
//! - A relay without `within` is due when the scope is over and the trace complete.

mod atom;
mod cell;
mod condition;
mod instance;
mod outcome;
mod relay;
mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use smallvec::SmallVec;

use super::Record;
use crate::pattern::{Bindings, Names};
use crate::suite::catalogue::{Per, Requirement};
use crate::time::Instant;
use crate::trace::Header;
use crate::trace::correlate::{Facts, Symbol};
use atom::Atoms;
use cell::{Cell, Deadlines, Hit, Moment, Timer};
pub use condition::holds;
pub use outcome::{Breach, Outcome, RuleResult};
use shape::{Shape, Slot};

/// Time and tolerance of a judge.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Setup {
    /// What written times are multiplied by.
    pub scale: f64,
    /// Events on different connections that are no farther apart have no order.
    pub skew: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self { scale: 1.0, skew: Duration::ZERO }
    }
}

/// The rules of a catalogue, prepared; used for any number of traces.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    atoms: Atoms,
    /// By pattern: the rules that it is part of, and as what.
    uses: Vec<Vec<(u32, Slot)>>,
    shapes: Vec<Shape>,
    /// The rules that every value of their key starts.
    self_starting: Vec<u32>,
}

impl Rules {
    /// Adds the rules of a requirement and returns their numbers.
    pub(super) fn add(&mut self, requirement: &Requirement) -> Range<usize> {
        let first = self.shapes.len();
        for rule in &requirement.rules {
            let number = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX);
            let mut filed = Vec::new();
            let shape = Shape::of(rule, &mut self.atoms, |atom, slot| filed.push((atom, slot)));
            self.uses.resize(self.atoms.len(), Vec::new());
            for (atom, slot) in filed {
                self.uses[atom as usize].push((number, slot));
            }
            if shape.starts_by_itself() {
                self.self_starting.push(number);
            }
            self.shapes.push(shape);
        }
        first..self.shapes.len()
    }
}

/// The value of a rule's key; `None`: the event does not say.
type Key = SmallVec<[Option<Symbol>; 2]>;

fn key_of(per: &[Per], facts: &Facts) -> Key {
    per.iter()
        .map(|per| match per {
            Per::Trace | Per::OneToOne => None,
            Per::User => facts.user,
            Per::Device => facts.device,
            Per::Group => facts.group,
            Per::Dialog => facts.dialog,
            Per::Transaction => facts.transaction,
            Per::Subscription => facts.subscription,
            Per::MsrpSession => facts.msrp_session,
            Per::Message => facts.message,
        })
        .collect()
}

fn agrees(one: &Key, two: &Key) -> bool {
    one.iter().zip(two).all(|(one, two)| one.is_none() || two.is_none() || one == two)
}

/// The state of one rule in a run.
#[derive(Clone, Debug, Default)]
struct State {
    active: bool,
    cells: Vec<(Key, Cell)>,
    by_key: BTreeMap<Key, usize>,
    /// Cells by one part of their key, where it has several.
    by_part: BTreeMap<(usize, Symbol), SmallVec<[usize; 2]>>,
    /// Cells whose key has a gap.
    partial: Vec<usize>,
    result: RuleResult,
}

impl State {
    fn add(&mut self, key: Key, cell: Cell) -> usize {
        let at = self.cells.len();
        // A key of one part is known whole or not at all.
        if key.len() > 1 {
            for (part, symbol) in key.iter().enumerate().filter_map(|(part, symbol)| Some((part, (*symbol)?))) {
                self.by_part.entry((part, symbol)).or_default().push(at);
            }
        }
        if key.iter().any(Option::is_none) {
            self.partial.push(at);
        }
        self.by_key.insert(key.clone(), at);
        self.cells.push((key, cell));
        at
    }

    /// The cells without gaps that agree with a key that has one.
    fn concerned(&self, key: &Key) -> Vec<usize> {
        let known = key.iter().enumerate().find_map(|(part, symbol)| symbol.map(|symbol| (part, symbol)));
        let is_full = |at: &usize| self.cells[*at].0.iter().all(Option::is_some) && agrees(&self.cells[*at].0, key);
        match known {
            Some(known) => self.by_part.get(&known).into_iter().flatten().copied().filter(is_full).collect(),
            None => (0..self.cells.len()).filter(is_full).collect(),
        }
    }
}

/// All rules over one trace.
#[derive(Clone, Debug)]
pub(super) struct Run {
    states: Vec<State>,
    deadlines: BTreeSet<(Instant, u32, usize, Timer)>,
    setup: Setup,
}

impl Run {
    pub(super) fn new(rules: &Rules, header: &Header, setup: Setup) -> Self {
        let mut run = Self { states: Vec::with_capacity(rules.shapes.len()), deadlines: BTreeSet::new(), setup };
        for shape in &rules.shapes {
            let active = shape.rule.condition.as_ref().is_none_or(|condition| holds(condition, header));
            let mut state = State { active, ..State::default() };
            if active && shape.per.is_empty() && shape.starts_by_itself() {
                let mut cell = Cell::new(shape);
                cell.start(shape, u32::MAX);
                state.add(Key::new(), cell);
            }
            run.states.push(state);
        }
        run
    }

    /// Weighs the event at `at`.
    pub(super) fn event(&mut self, rules: &Rules, record: Record<'_>, at: usize, names: &Names) {
        self.expire(rules, record.events[at].at, false);
        for occurrence in atom::occurrences(record, at) {
            let moment = Moment {
                record,
                at,
                occurrence: &occurrence,
                atoms: &rules.atoms,
                names,
                scale: self.setup.scale,
                skew: self.setup.skew,
            };
            self.start_new_keys(rules, &moment);
            self.occurrence(rules, &moment);
        }
    }

    fn start_new_keys(&mut self, rules: &Rules, moment: &Moment<'_>) {
        for number in &rules.self_starting {
            let (shape, state) = (&rules.shapes[*number as usize], &mut self.states[*number as usize]);
            let key = key_of(&shape.per, moment.occurrence.facts);
            if state.active && key.iter().all(Option::is_some) && !state.by_key.contains_key(&key) {
                let mut cell = Cell::new(shape);
                cell.start(shape, u32::MAX);
                state.add(key, cell);
            }
        }
    }

    fn occurrence(&mut self, rules: &Rules, moment: &Moment<'_>) {
        let mut fits: SmallVec<[(u32, Bindings); 8]> = SmallVec::new();
        for number in rules.atoms.candidates(&moment.occurrence.bucket) {
            if let Some(bindings) = rules.atoms.get(number).matches(moment.occurrence, moment.names) {
                fits.push((number, bindings));
            }
        }
        let mut hits: Vec<(u32, Hit<'_>)> = Vec::with_capacity(fits.len() * 4);
        for (atom, bindings) in &fits {
            for (rule, slot) in &rules.uses[*atom as usize] {
                if self.states[*rule as usize].active {
                    hits.push((*rule, Hit { slot: *slot, atom: *atom, bindings }));
                }
            }
        }
        hits.sort_by_key(|(rule, hit)| (*rule, hit.slot));
        for of_rule in hits.chunk_by(|one, two| one.0 == two.0) {
            self.weigh(rules, of_rule, moment);
        }
    }

    fn weigh(&mut self, rules: &Rules, hits: &[(u32, Hit<'_>)], moment: &Moment<'_>) {
        let rule = hits[0].0;
        let (shape, state) = (&rules.shapes[rule as usize], &mut self.states[rule as usize]);
        let mut distinct: SmallVec<[Hit<'_>; 4]> = SmallVec::new();
        for (_, hit) in hits {
            // One event plays a part once, however many alternatives of it fit.
            let plays_already = |known: &&Hit<'_>| known.slot == hit.slot && !rules.atoms.get(known.atom).is_loose();
            if distinct.last().as_ref().is_none_or(|known| !plays_already(known)) {
                distinct.push(Hit { slot: hit.slot, atom: hit.atom, bindings: hit.bindings });
            }
        }
        let hits = distinct;
        let facts = moment.occurrence.facts;
        let key = key_of(&shape.per, facts);
        // A session that is no group's concerns no group: only what stands outside all sessions,
        // a REGISTER for example, may concern each of them.
        if shape.per.contains(&Per::Group) && facts.group.is_none() && facts.dialog.is_some() {
            return;
        }
        if shape.is_one_to_one && facts.group.is_some() {
            return;
        }
        let mut filed = Vec::new();
        if key.iter().all(Option::is_some) {
            let at = cell_of(state, shape, &key, &mut filed);
            weigh_cell(state, at, shape, &hits, true, moment, &mut filed);
        } else {
            let concerned = state.concerned(&key);
            for at in &concerned {
                weigh_cell(state, *at, shape, &hits, true, moment, &mut filed);
            }
            // What has no full key yet learns of it too, for those that will be known later.
            let at = match state.by_key.get(&key) {
                Some(at) => *at,
                None => state.add(key, Cell::new(shape)),
            };
            weigh_cell(state, at, shape, &hits, concerned.is_empty(), moment, &mut filed);
        }
        self.deadlines.extend(filed.into_iter().map(|(at, cell, timer)| (at, rule, cell, timer)));
    }

    fn expire(&mut self, rules: &Rules, now: Instant, inclusive: bool) {
        while let Some((at, rule, cell, timer)) = self.deadlines.first().copied() {
            if at > now || (at == now && !inclusive) {
                break;
            }
            self.deadlines.pop_first();
            let (shape, state) = (&rules.shapes[rule as usize], &mut self.states[rule as usize]);
            state.cells[cell].1.expire(shape, timer, at, &mut state.result);
        }
    }

    /// Ends the pass; one result per rule.
    pub(super) fn finish(mut self, rules: &Rules, ended: Instant, complete: bool) -> Vec<RuleResult> {
        if complete {
            self.expire(rules, ended, true);
        }
        for (state, shape) in self.states.iter_mut().zip(&rules.shapes) {
            for (_, cell) in &mut state.cells {
                cell.finish(shape, complete, &mut state.result);
            }
        }
        self.states.into_iter().map(|state| state.result).collect()
    }
}

type Filed = Vec<(Instant, usize, Timer)>;

/// The cell of a full key. A new one takes over what is known of keys with gaps that agree: their
/// history, and the instances that wait there for a cell of their own.
fn cell_of(state: &mut State, shape: &Shape, key: &Key, filed: &mut Filed) -> usize {
    if let Some(at) = state.by_key.get(key) {
        return *at;
    }
    let template = state
        .partial
        .iter()
        .copied()
        .filter(|at| agrees(&state.cells[*at].0, key))
        .max_by_key(|at| state.cells[*at].0.iter().filter(|part| part.is_some()).count());
    let cell = match template {
        None => Cell::new(shape),
        Some(at) => {
            let cell = state.cells[at].1.clone();
            state.cells[at].1.live = instance::Live::default();
            cell
        }
    };
    let at = state.add(key.clone(), cell);
    filed.extend(state.cells[at].1.live.deadlines().map(|(deadline, id)| (deadline, at, Timer::Instance(id))));
    at
}

fn weigh_cell(state: &mut State, at: usize, shape: &Shape, hits: &[Hit<'_>], starts: bool, moment: &Moment<'_>, filed: &mut Filed) {
    let deadlines: Deadlines = state.cells[at].1.weigh(shape, hits, starts, moment, &mut state.result);
    filed.extend(deadlines.into_iter().map(|(deadline, timer)| (deadline, at, timer)));
}

#[cfg(test)]
mod tests;
