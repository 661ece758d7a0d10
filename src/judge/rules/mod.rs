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
//! - A scope with `for` closes so long after what opened it last, whether or not anything comes
//!   that closes it.
//! - `unless` ends what is owed, and what is on its way to be owed: a chain of triggers starts
//!   anew. One that reads variables does so for the chains and instances that bound them.
//! - `within` bounds `then`, else `never` or `count`.
//! - A relay without `within` is due when the scope is over and the trace complete.

mod atom;
mod cell;
mod condition;
mod instance;
mod keys;
mod outcome;
mod relay;
mod shape;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::Record;
use crate::pattern::{Bindings, Names};
use crate::suite::catalogue::{Per, Requirement};
use crate::time::Instant;
use crate::trace::Header;
use crate::trace::correlate::Facts;
use crate::trace::event::Party;
use atom::{Atoms, PLACES, Verdicts};
use cell::{Cell, Docket, Hit, Moment, Timer};
pub use condition::holds;
pub(super) use condition::policy_of;
use keys::{Axis, Parts};
pub use outcome::{Breach, Outcome, RuleResult};
use shape::{Shape, Slot};

/// Time and tolerance of a judge.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Setup {
    /// What written times are multiplied by.
    pub scale: f64,
    /// Events on different connections that are no farther apart have no order.
    pub skew: Duration,
    /// How much later than in virtual time something may come by the machine's fault.
    pub late: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self { scale: 1.0, skew: Duration::ZERO, late: Duration::ZERO }
    }
}

/// The rules of a catalogue, prepared; used for any number of traces.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    atoms: Atoms,
    /// By kind of occurrence: what the rules look for there.
    places: Vec<Place>,
    shapes: Vec<Shape>,
    /// The keys that rules go by, each once.
    axes: Vec<Parts>,
    /// By axis: the rules that every value of their key starts.
    self_starting: Vec<Vec<u32>>,
}

/// What the rules look for in one kind of occurrence.
#[derive(Clone, Debug, Default)]
struct Place {
    /// The patterns that may speak of it, each once.
    atoms: Vec<u32>,
    /// The parts that they play, in the order in which they are weighed.
    parts: Vec<Part>,
}

/// That a pattern is part of a rule.
#[derive(Clone, Copy, Debug)]
struct Part {
    rule: u32,
    slot: Slot,
    /// Which pattern of its place it is.
    at: usize,
    reach: Reach,
}

impl Place {
    fn file(&mut self, rule: u32, slot: Slot, atom: u32, reach: Reach) {
        let at = self.atoms.iter().position(|known| *known == atom).unwrap_or_else(|| {
            self.atoms.push(atom);
            self.atoms.len() - 1
        });
        self.parts.push(Part { rule, slot, at, reach });
    }
}

/// Which sessions a rule speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reach {
    All,
    Groups,
    OneToOne,
}

impl Reach {
    fn of(shape: &Shape) -> Self {
        match (shape.is_one_to_one, shape.parts.contains(&Per::Group)) {
            (true, _) => Self::OneToOne,
            (false, true) => Self::Groups,
            (false, false) => Self::All,
        }
    }

    /// Whether an event may concern the rule. A session that is no group's concerns no group: only
    /// what stands outside all sessions, a REGISTER for example, may concern each of them.
    fn has(self, facts: &Facts) -> bool {
        match self {
            Self::All => true,
            Self::Groups => facts.group.is_some() || facts.dialog.is_none(),
            Self::OneToOne => facts.group.is_none(),
        }
    }
}

impl Rules {
    /// Adds the rules of a requirement and returns how many they are.
    pub(super) fn add(&mut self, requirement: &Requirement) -> usize {
        for rule in &requirement.rules {
            let number = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX);
            let mut filed = Vec::new();
            let mut shape = Shape::of(rule, &mut self.atoms, |atom, slot| filed.push((atom, slot)));
            shape.axis = self.axis(&shape.parts);
            // Patterns that play the same part stand in the order of their numbers.
            filed.sort_unstable_by_key(|(atom, slot)| (*slot, *atom));
            self.places.resize(PLACES, Place::default());
            for (atom, slot) in filed {
                for place in &self.atoms.get(atom).places {
                    self.places[*place].file(number, slot, atom, Reach::of(&shape));
                }
            }
            self.self_starting.resize(self.axes.len(), Vec::new());
            if shape.starts_by_itself() {
                self.self_starting[shape.axis].push(number);
            }
            self.shapes.push(shape);
        }
        requirement.rules.len()
    }

    /// By number of a rule: whether its condition holds in a trace with this header.
    pub(super) fn active(&self, header: &Header) -> Arc<[bool]> {
        let is_active = |shape: &Shape| shape.rule.condition.as_ref().is_none_or(|condition| holds(condition, header));
        self.shapes.iter().map(is_active).collect()
    }

    fn axis(&mut self, parts: &Parts) -> usize {
        self.axes.iter().position(|known| known == parts).unwrap_or_else(|| {
            self.axes.push(parts.clone());
            self.axes.len() - 1
        })
    }
}

/// The state of one rule in a run.
#[derive(Clone, Debug, Default)]
struct State {
    /// The cells of the keys that concerned the rule, oldest first.
    cells: SmallVec<[usize; 2]>,
    /// By number of a key: its cell, counted from 1.
    index: SmallVec<[u32; 4]>,
    /// Cells whose key has a gap.
    partial: SmallVec<[usize; 2]>,
    result: RuleResult,
}

/// The cells of all rules, each with the number of its key.
type Cells = Vec<(u32, Cell)>;

impl State {
    fn add(&mut self, key: u32, is_full: bool, cell: Cell, cells: &mut Cells) -> usize {
        let at = cells.len();
        cells.push((key, cell));
        self.cells.push(at);
        if !is_full {
            self.partial.push(at);
        }
        let place = key as usize;
        if place >= self.index.len() {
            self.index.resize(place + 1, 0);
        }
        self.index[place] = u32::try_from(cells.len()).unwrap_or(u32::MAX);
        at
    }

    fn find(&self, key: u32) -> Option<usize> {
        let place = self.index.get(key as usize)?;
        (*place as usize).checked_sub(1)
    }

    /// The cells without gaps that agree with a key that has one.
    fn concerned(&self, axis: &Axis, gap: u32, cells: &Cells) -> SmallVec<[usize; 4]> {
        let agrees = |at: &usize| axis.is_full(cells[*at].0) && axis.agree(cells[*at].0, gap);
        match axis.sharing(gap).filter(|sharing| sharing.len() < self.cells.len()) {
            None => self.cells.iter().copied().filter(agrees).collect(),
            Some(sharing) => {
                let mut found: SmallVec<[usize; 4]> = sharing.iter().filter_map(|key| self.find(*key)).filter(agrees).collect();
                found.sort_unstable();
                found
            }
        }
    }

    /// The cell of a full key. A new one takes over what is known of keys with gaps that agree:
    /// their history, and the instances that wait there for a cell of their own.
    fn cell_of(&mut self, shape: &Shape, axis: &Axis, key: u32, cells: &mut Cells) -> usize {
        if let Some(at) = self.find(key) {
            return at;
        }
        let agreeing = self.partial.iter().copied().filter(|at| axis.agree(cells[*at].0, key));
        let template = agreeing.max_by_key(|at| axis.known_parts(cells[*at].0));
        let cell = match template {
            None => Cell::new(shape),
            Some(at) => {
                let cell = cells[at].1.clone();
                cells[at].1.live = instance::Live::default();
                cell
            }
        };
        self.add(key, true, cell, cells)
    }
}

/// All rules over one trace.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// By number of a rule: whether its condition holds in this run.
    active: Arc<[bool]>,
    states: Vec<State>,
    cells: Cells,
    axes: Vec<Axis>,
    verdicts: Verdicts,
    /// What the patterns of the place that is weighed bind.
    fits: Vec<Option<Bindings>>,
    /// How many occurrences were weighed.
    weighed: u32,
    deadlines: BTreeSet<(Instant, u32, usize, Timer)>,
    setup: Setup,
}

impl Run {
    pub(super) fn new(rules: &Rules, iut: &Party, active: Arc<[bool]>, setup: Setup) -> Self {
        let axes = rules.axes.iter().map(Axis::of).collect();
        let states = rules.shapes.iter().map(|_| State::default()).collect();
        let (cells, verdicts) = (Cells::with_capacity(rules.shapes.len()), Verdicts::default());
        let (fits, deadlines) = (Vec::new(), BTreeSet::new());
        let mut run = Self { active, states, cells, axes, verdicts, fits, weighed: 0, deadlines, setup };
        let nowhere = Facts::between(iut.clone(), iut.clone());
        for ((shape, state), active) in rules.shapes.iter().zip(&mut run.states).zip(&*run.active) {
            if *active && shape.parts.is_empty() && shape.starts_by_itself() {
                let mut cell = Cell::new(shape);
                cell.start(shape, u32::MAX);
                state.add(run.axes[shape.axis].number(0, &nowhere), true, cell, &mut run.cells);
            }
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
            self.weighed += 1;
            self.start_new_keys(rules, &moment);
            self.occurrence(rules, &moment);
        }
    }

    fn start_new_keys(&mut self, rules: &Rules, moment: &Moment<'_>) {
        for (axis, starting) in self.axes.iter_mut().zip(&rules.self_starting).filter(|(_, starting)| !starting.is_empty()) {
            let key = axis.number(self.weighed, moment.occurrence.facts);
            if !axis.is_full(key) || !axis.starts(key) {
                continue;
            }
            for number in starting {
                let (shape, state) = (&rules.shapes[*number as usize], &mut self.states[*number as usize]);
                if self.active[*number as usize] && state.find(key).is_none() {
                    let mut cell = Cell::new(shape);
                    cell.start(shape, u32::MAX);
                    state.add(key, true, cell, &mut self.cells);
                }
            }
        }
    }

    fn occurrence(&mut self, rules: &Rules, moment: &Moment<'_>) {
        let Some(place) = rules.places.get(moment.occurrence.place()) else { return };
        self.verdicts.clear();
        let mut fits = std::mem::take(&mut self.fits);
        fits.clear();
        for atom in &place.atoms {
            fits.push(rules.atoms.matches(*atom, moment.occurrence, moment.names, &mut self.verdicts));
        }
        let facts = moment.occurrence.facts;
        for of_rule in place.parts.chunk_by(|one, two| one.rule == two.rule) {
            let Part { rule, reach, .. } = of_rule[0];
            let fit = of_rule.iter().any(|part| fits[part.at].is_some());
            if fit && self.active[rule as usize] && reach.has(facts) {
                self.weigh(rules, rule, &hits(of_rule, place, &fits, &rules.atoms), moment);
            }
        }
        self.fits = fits;
    }

    fn weigh(&mut self, rules: &Rules, rule: u32, hits: &[Hit<'_>], moment: &Moment<'_>) {
        let (shape, state) = (&rules.shapes[rule as usize], &mut self.states[rule as usize]);
        let facts = moment.occurrence.facts;
        let (axis, cells, agenda) = (&mut self.axes[shape.axis], &mut self.cells, &mut self.deadlines);
        let key = axis.number(self.weighed, facts);
        let mut weigh = |result: &mut RuleResult, cell: &mut Cell, at: usize, starts: bool| {
            let mut docket = Docket::new(result);
            cell.weigh(shape, hits, starts, moment, &mut docket);
            for (deadline, timer) in docket.deadlines {
                agenda.insert((deadline, rule, at, timer));
            }
        };
        if !axis.is_full(key) {
            let concerned = state.concerned(axis, key, cells);
            for at in &concerned {
                weigh(&mut state.result, &mut cells[*at].1, *at, true);
            }
            // What has no full key yet learns of it too, for those that will be known later.
            let at = state.find(key).unwrap_or_else(|| state.add(key, false, Cell::new(shape), cells));
            return weigh(&mut state.result, &mut cells[at].1, at, concerned.is_empty());
        }
        let known = cells.len();
        let at = state.cell_of(shape, axis, key, cells);
        let taken_over: Vec<_> = if at == known { cells[at].1.deadlines().collect() } else { Vec::new() };
        weigh(&mut state.result, &mut cells[at].1, at, true);
        self.deadlines.extend(taken_over.into_iter().map(|(deadline, timer)| (deadline, rule, at, timer)));
    }

    fn expire(&mut self, rules: &Rules, now: Instant, inclusive: bool) {
        while let Some((at, rule, cell, timer)) = self.deadlines.first().copied() {
            if at > now || (at == now && !inclusive) {
                break;
            }
            self.deadlines.pop_first();
            let (shape, state) = (&rules.shapes[rule as usize], &mut self.states[rule as usize]);
            let mut docket = Docket::new(&mut state.result);
            self.cells[cell].1.expire(shape, timer, at, self.setup.scale, &mut docket);
            self.deadlines.extend(docket.deadlines.into_iter().map(|(deadline, timer)| (deadline, rule, cell, timer)));
        }
    }

    /// Ends the pass; one result per rule.
    pub(super) fn finish(mut self, rules: &Rules, ended: Instant, complete: bool) -> Vec<RuleResult> {
        if complete {
            self.expire(rules, ended, true);
        }
        for (state, shape) in self.states.iter_mut().zip(&rules.shapes) {
            for at in &state.cells {
                self.cells[*at].1.finish(shape, complete, &mut state.result);
            }
        }
        self.states.into_iter().map(|state| state.result).collect()
    }
}

/// What one event is to a rule: it plays a part once, however many alternatives of it fit.
fn hits<'a>(parts: &[Part], place: &Place, fits: &'a [Option<Bindings>], atoms: &Atoms) -> SmallVec<[Hit<'a>; 4]> {
    let mut hits: SmallVec<[Hit<'a>; 4]> = SmallVec::new();
    for Part { slot, at, .. } in parts.iter().copied() {
        let Some(bindings) = &fits[at] else { continue };
        let plays_already = |known: &Hit<'_>| known.slot == slot && !atoms.get(known.atom).is_loose();
        if !hits.last().is_some_and(plays_already) {
            hits.push(Hit { slot, atom: place.atoms[at], bindings });
        }
    }
    hits
}

#[cfg(test)]
mod tests;
