//! One rule for one value of its key: scope, progress of the trigger, instances.

use std::collections::BTreeSet;
use std::time::Duration;

use super::atom::{Atom, Atoms, Occurrence, occurrences};
use super::condition;
use super::instance::{Instance, Live, Scope, Variables};
use super::outcome::{Breach, RuleResult, unordered};
use super::relay::{Ledger, Wrong};
use super::shape::{Shape, Slot, Start};
use crate::pattern::{Bindings, Names, read};
use crate::time::Instant;
use crate::trace::correlate::Facts;
use crate::trace::event::Event;

/// A pattern of a rule that fits an occurrence, as far as no instance has a say.
pub(super) struct Hit<'a> {
    pub(super) slot: Slot,
    pub(super) atom: u32,
    pub(super) bindings: &'a Bindings,
}

/// The event that is weighed, and everything around it.
pub(super) struct Moment<'a> {
    pub(super) events: &'a [Event],
    pub(super) facts: &'a [Facts],
    pub(super) at: usize,
    pub(super) occurrence: &'a Occurrence<'a>,
    pub(super) atoms: &'a Atoms,
    pub(super) names: &'a Names,
    pub(super) scale: f64,
    pub(super) skew: Duration,
}

impl Moment<'_> {
    fn now(&self) -> Instant {
        self.events[self.at].at
    }

    fn number(&self) -> u32 {
        self.events[self.at].number
    }
}

/// Which deadline a timer stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Timer {
    Instance(u32),
    Relay,
}

/// Deadlines of a cell, to be filed by its owner.
pub(super) type Deadlines = Vec<(Instant, Timer)>;

/// How far a chain of triggers came.
#[derive(Clone, Debug)]
struct Progress {
    step: usize,
    variables: Variables,
}

#[derive(Clone, Debug)]
pub(super) struct Cell {
    open: bool,
    progress: Vec<Progress>,
    /// The parts of `all` that came.
    parts: BTreeSet<usize>,
    parts_variables: Variables,
    latest: Variables,
    /// Whether what is needed came.
    had_need: bool,
    /// Messages that may be what is needed, when variables decide.
    needs: Vec<(u32, u32)>,
    counted: u32,
    pub(super) live: Live,
    ledger: Option<Ledger>,
}

impl Cell {
    pub(super) fn new(shape: &Shape) -> Self {
        let open = !shape.has_after;
        Self {
            open,
            progress: Vec::new(),
            parts: BTreeSet::new(),
            parts_variables: Variables::default(),
            latest: Variables::default(),
            had_need: false,
            needs: Vec::new(),
            counted: 0,
            live: Live::default(),
            ledger: shape.rule.duty.relay.is_some().then(Ledger::default),
        }
    }

    /// The instance of a rule that nothing has to start.
    pub(super) fn start(&mut self, shape: &Shape, event: u32) {
        self.insert(shape, None, event, Variables::default(), None);
    }

    fn insert(&mut self, shape: &Shape, trigger: Option<u32>, event: u32, variables: Variables, deadline: Option<Instant>) -> u32 {
        let duty = &shape.rule.duty;
        self.live.insert(Instance {
            trigger,
            event,
            variables,
            step: 0,
            deadline,
            counted: self.counted,
            own_count: 0,
            owes_then: !duty.then.is_empty(),
            owes_never: duty.never.is_some(),
            owes_count: duty.count.is_some(),
            owes_seen: duty.seen.is_some(),
        })
    }

    /// Weighs one occurrence. `starts`: whether it may start instances here.
    pub(super) fn weigh(
        &mut self,
        shape: &Shape,
        hits: &[Hit<'_>],
        starts: bool,
        moment: &Moment<'_>,
        result: &mut RuleResult,
    ) -> Deadlines {
        let mut deadlines = Deadlines::new();
        let in_scope = self.open;
        // Slots come in the order in which they count.
        for hit in hits {
            match hit.slot {
                Slot::Then(_) | Slot::Until | Slot::Unless | Slot::Before | Slot::Never | Slot::Of | Slot::Seen => {
                    self.move_instances(shape, hit, moment, result);
                }
                Slot::To => deadlines.extend(self.relay_out(shape, hit, moment, result)),
                Slot::ScopeUntil => {
                    if self.open {
                        deadlines.extend(self.close(shape, moment, result));
                    }
                }
                Slot::When(_) | Slot::From | Slot::Needs | Slot::After => {}
            }
        }
        // An event that ends the scope is not in it.
        if in_scope && self.open {
            // The last link first: an event moves a chain by one link.
            for hit in hits.iter().rev().filter(|hit| matches!(hit.slot, Slot::When(_))) {
                deadlines.extend(self.trigger(shape, hit, starts, moment, result));
            }
            for hit in hits.iter().filter(|hit| hit.slot == Slot::From) {
                deadlines.extend(self.relay_in(shape, hit, moment));
            }
        }
        for hit in hits.iter().filter(|hit| hit.slot == Slot::After) {
            if !self.open {
                deadlines.extend(self.reopen(shape, starts, moment));
            }
            self.latest.extend(hit.bindings);
        }
        for hit in hits.iter().filter(|hit| hit.slot == Slot::Needs) {
            self.note_need(hit, moment);
        }
        deadlines
    }

    fn reopen(&mut self, shape: &Shape, starts: bool, moment: &Moment<'_>) -> Deadlines {
        self.open = true;
        self.had_need = false;
        self.needs.clear();
        if let Some(ledger) = &mut self.ledger {
            ledger.deadline = None;
        }
        if shape.start != Start::Scope || !starts || !shape.waits() {
            return Deadlines::new();
        }
        self.spawn_waiting(shape, Some(moment.occurrence.event), Variables::default(), moment)
    }

    fn spawn_waiting(&mut self, shape: &Shape, trigger: Option<u32>, variables: Variables, moment: &Moment<'_>) -> Deadlines {
        let scope = Scope { names: moment.names, own: &variables, latest: &self.latest };
        let within = shape.rule.duty.within.as_ref();
        let within = within.and_then(|within| condition::span(within, moment.scale, &|name| scope.value(name)));
        let deadline = within.map(|within| moment.now() + within);
        let id = self.insert(shape, trigger, moment.number(), variables, deadline);
        deadline.map(|at| (at, Timer::Instance(id))).into_iter().collect()
    }

    /// The scope ends: what has no bound of its own ends with it.
    fn close(&mut self, shape: &Shape, moment: &Moment<'_>, result: &mut RuleResult) -> Deadlines {
        self.open = false;
        self.progress.clear();
        self.parts.clear();
        self.parts_variables = Variables::default();
        if !shape.is_bounded() {
            for id in self.live.ids() {
                let Some(instance) = self.live.remove(id) else { continue };
                self.end_instance(shape, &instance, Some(moment), result);
            }
        }
        self.rearm(shape, moment)
    }

    fn rearm(&mut self, shape: &Shape, moment: &Moment<'_>) -> Deadlines {
        let Some((relay, ledger)) = shape.rule.duty.relay.as_ref().zip(self.ledger.as_mut()) else { return Deadlines::new() };
        let latest = &self.latest;
        let within = relay
            .within
            .as_ref()
            .and_then(|within| condition::span(within, moment.scale, &|name| latest.get(name).map(str::to_owned)));
        ledger.rearm(moment.now(), within).map(|at| (at, Timer::Relay)).into_iter().collect()
    }

    /// The instance's time is up in good order: its scope ended, or its `until` came.
    fn end_instance(&self, shape: &Shape, instance: &Instance, moment: Option<&Moment<'_>>, result: &mut RuleResult) {
        if instance.owes_then {
            let why = moment.map_or_else(|| "the trace ended".to_owned(), |moment| format!("#{} came first", moment.number()));
            result.breach(breach_missing(shape, instance, &why));
        } else if instance.owes_count && !self.count_is_enough(shape, instance) {
            result.breach(self.breach_count(shape, instance));
        } else if instance.owes_seen {
            result.pending += 1;
        } else {
            result.satisfied += 1;
        }
    }

    fn count_of(&self, instance: &Instance) -> u32 {
        self.counted - instance.counted + instance.own_count
    }

    fn count_is_enough(&self, shape: &Shape, instance: &Instance) -> bool {
        let least = shape.rule.duty.count.as_ref().and_then(|count| count.at_least);
        least.is_none_or(|least| self.count_of(instance) >= least)
    }

    fn breach_count(&self, shape: &Shape, instance: &Instance) -> Breach {
        let count = shape.rule.duty.count.as_ref();
        let bound = |word: &str, bound: Option<u32>| bound.map(|bound| format!(" {word} {bound}")).unwrap_or_default();
        let expected = count.map_or_else(String::new, |count| {
            format!("{}:{}{}", count.of, bound("at least", count.at_least), bound("at most", count.at_most))
        });
        Breach {
            event: Some(instance.event),
            trigger: instance.trigger,
            expected,
            observed: format!("{} of them", self.count_of(instance)),
        }
    }
}

fn breach_missing(shape: &Shape, instance: &Instance, why: &str) -> Breach {
    let link = shape.rule.duty.then.get(instance.step);
    let before = shape.rule.duty.before.as_ref().map(|before| format!(" before {before}")).unwrap_or_default();
    Breach {
        event: Some(instance.event),
        trigger: instance.trigger,
        expected: format!("{}{before} after #{}", link.map(ToString::to_string).unwrap_or_default(), instance.event),
        observed: format!("nothing of the kind, {why}"),
    }
}

impl Cell {
    /// The instances that a hit concerns: for most patterns all of them at once, or those that a
    /// variable or the trigger picks out.
    fn concerned(&self, atom: &Atom, moment: &Moment<'_>) -> smallvec::SmallVec<[u32; 8]> {
        if self.live.is_empty() {
            return smallvec::SmallVec::new();
        }
        let candidates = if atom.answers_trigger() {
            moment.occurrence.answers.map(|answers| self.live.started_by(answers)).unwrap_or_default()
        } else if let Some((path, name)) = &atom.join {
            let value = read(&moment.occurrence.view, path);
            value.first().map(|value| self.live.with_value(name, value)).unwrap_or_default()
        } else {
            self.live.ids()
        };
        if !atom.is_loose() {
            return candidates;
        }
        let fits = |id: &u32| {
            self.live.get(*id).is_some_and(|instance| {
                let scope = Scope { names: moment.names, own: &instance.variables, latest: &self.latest };
                atom.matches_instance(moment.occurrence, &scope, instance.trigger).is_some()
            })
        };
        candidates.into_iter().filter(fits).collect()
    }

    fn move_instances(&mut self, shape: &Shape, hit: &Hit<'_>, moment: &Moment<'_>, result: &mut RuleResult) {
        let atom = moment.atoms.get(hit.atom);
        if hit.slot == Slot::Of && !atom.is_loose() {
            self.counted += 1;
        }
        for id in self.concerned(atom, moment) {
            // The trigger never counts for the instance that it starts.
            if self.live.get(id).is_some_and(|instance| instance.event != moment.number()) {
                self.move_instance(shape, id, hit, atom.is_loose(), moment, result);
            }
        }
        if hit.slot == Slot::Unless && !atom.is_loose() {
            self.forget(result);
        }
    }

    /// `unless` ends what is on its way to be owed as well.
    fn forget(&mut self, result: &mut RuleResult) {
        self.progress.clear();
        self.parts.clear();
        if let Some(ledger) = &mut self.ledger {
            if ledger.delivered && !ledger.owes() {
                result.satisfied += 1;
            }
            ledger.clear();
        }
    }

    fn move_instance(&mut self, shape: &Shape, id: u32, hit: &Hit<'_>, loose: bool, moment: &Moment<'_>, result: &mut RuleResult) {
        match hit.slot {
            Slot::Then(step) => {
                let links = shape.rule.duty.then.len();
                let Some(instance) = self.live.get_mut(id).filter(|instance| instance.owes_then && instance.step == step) else {
                    return;
                };
                instance.variables.extend(hit.bindings);
                instance.step += 1;
                instance.owes_then = instance.step < links;
                self.settle(id, result);
            }
            Slot::Until => {
                let Some(instance) = self.live.get_mut(id) else { return };
                instance.owes_never = false;
                if instance.owes_count {
                    let Some(mut instance) = self.live.remove(id) else { return };
                    instance.owes_then = false;
                    return self.end_instance(shape, &instance, Some(moment), result);
                }
                self.settle(id, result);
            }
            Slot::Unless => drop(self.live.remove(id)),
            Slot::Before => {
                if self.live.get(id).is_some_and(|instance| instance.owes_then)
                    && let Some(instance) = self.live.remove(id)
                {
                    let why = format!("#{} came first", moment.number());
                    result.breach(Breach { event: Some(moment.number()), ..breach_missing(shape, &instance, &why) });
                }
            }
            Slot::Never => self.forbidden(shape, id, moment, result),
            Slot::Of => {
                let Some(instance) = self.live.get_mut(id) else { return };
                instance.own_count += u32::from(loose);
                self.check_count(shape, id, moment, result);
            }
            Slot::Seen => {
                if let Some(instance) = self.live.get_mut(id) {
                    instance.owes_seen = false;
                }
                self.settle(id, result);
            }
            Slot::To | Slot::ScopeUntil | Slot::When(_) | Slot::From | Slot::Needs | Slot::After => {}
        }
    }

    fn settle(&mut self, id: u32, result: &mut RuleResult) {
        if self.live.get(id).is_some_and(Instance::is_done) {
            self.live.remove(id);
            result.satisfied += 1;
        }
    }

    fn forbidden(&mut self, shape: &Shape, id: u32, moment: &Moment<'_>, result: &mut RuleResult) {
        if !self.live.get(id).is_some_and(|instance| instance.owes_never) {
            return;
        }
        let Some(instance) = self.live.remove(id) else { return };
        if unordered(moment.events, instance.event, moment.number(), moment.skew) {
            result.pending += 1;
            return;
        }
        let never = shape.rule.duty.never.as_ref().map(ToString::to_string).unwrap_or_default();
        result.breach(Breach {
            event: Some(moment.number()),
            trigger: instance.trigger,
            expected: format!("no {never} after #{}", instance.event),
            observed: format!("#{} is one", moment.number()),
        });
    }

    fn check_count(&mut self, shape: &Shape, id: u32, moment: &Moment<'_>, result: &mut RuleResult) {
        let most = shape.rule.duty.count.as_ref().and_then(|count| count.at_most);
        let too_many = self.live.get(id).is_some_and(|instance| most.is_some_and(|most| self.count_of(instance) > most));
        if too_many && let Some(instance) = self.live.remove(id) {
            result.breach(Breach { event: Some(moment.number()), ..self.breach_count(shape, &instance) });
        }
    }
}

impl Cell {
    fn trigger(&mut self, shape: &Shape, hit: &Hit<'_>, starts: bool, moment: &Moment<'_>, result: &mut RuleResult) -> Deadlines {
        let Slot::When(at) = hit.slot else { return Deadlines::new() };
        match shape.start {
            Start::Chain(links) => self.advance_chain(shape, hit, (at, links), starts, moment, result),
            Start::All(parts) => {
                let atom = moment.atoms.get(hit.atom);
                let scope = Scope { names: moment.names, own: &self.parts_variables, latest: &self.latest };
                let Some(more) = atom.matches_instance(moment.occurrence, &scope, None) else { return Deadlines::new() };
                self.parts.insert(at);
                self.bind(hit.bindings, &more, None);
                if self.parts.len() < parts {
                    return Deadlines::new();
                }
                self.parts.clear();
                let variables = std::mem::take(&mut self.parts_variables);
                if starts { self.spawn(shape, variables, moment, result) } else { Deadlines::new() }
            }
            Start::Scope => Deadlines::new(),
        }
    }

    /// Files what a link bound: `bind` with the chain, `bind-latest` with the key.
    fn bind(&mut self, fixed: &Bindings, loose: &Bindings, into: Option<&mut Variables>) {
        let into = into.unwrap_or(&mut self.parts_variables);
        for binding in fixed.iter().chain(loose.iter()) {
            let place = if binding.latest { &mut self.latest } else { &mut *into };
            place.set(&binding.name, &binding.value);
        }
    }

    fn advance_chain(
        &mut self,
        shape: &Shape,
        hit: &Hit<'_>,
        (at, links): (usize, usize),
        starts: bool,
        moment: &Moment<'_>,
        result: &mut RuleResult,
    ) -> Deadlines {
        let atom = moment.atoms.get(hit.atom);
        let mut deadlines = Deadlines::new();
        let mut waiting = if at == 0 {
            vec![Progress { step: 0, variables: Variables::default() }]
        } else {
            self.progress.iter().filter(|progress| progress.step == at).cloned().collect()
        };
        let is_last = at + 1 == links;
        if at > 0 && !is_last {
            self.progress.retain(|progress| progress.step != at);
        }
        for progress in &mut waiting {
            let scope = Scope { names: moment.names, own: &progress.variables, latest: &self.latest };
            let Some(more) = atom.matches_instance(moment.occurrence, &scope, None) else {
                if at > 0 && !is_last {
                    self.progress.push(progress.clone());
                }
                continue;
            };
            let mut variables = std::mem::take(&mut progress.variables);
            self.bind(hit.bindings, &more, Some(&mut variables));
            if !is_last {
                self.keep(Progress { step: at + 1, variables });
            } else if starts {
                deadlines.extend(self.spawn(shape, variables, moment, result));
            }
        }
        deadlines
    }

    /// Without variables of its own, one progress stands for all that came as far or farther.
    fn keep(&mut self, progress: Progress) {
        let known = self.progress.iter().any(|known| {
            known.variables == progress.variables
                && (known.step == progress.step || (known.step > progress.step && known.variables.is_empty()))
        });
        if !known {
            self.progress.push(progress);
        }
    }

    fn spawn(&mut self, shape: &Shape, variables: Variables, moment: &Moment<'_>, result: &mut RuleResult) -> Deadlines {
        let scope = Scope { names: moment.names, own: &variables, latest: &self.latest };
        let trigger = Some(moment.occurrence.event);
        if let Some(must) = &shape.must
            && let Err(mismatches) = must.explain(&moment.occurrence.view, &scope)
        {
            let first = mismatches.first();
            let text = |part: Option<String>| part.unwrap_or_else(|| "nothing there".to_owned());
            result.breach(Breach {
                event: trigger,
                trigger,
                expected: text(first.map(|mismatch| format!("{}: {}", mismatch.path, mismatch.expected))),
                observed: text(first.and_then(|mismatch| mismatch.observed.clone())),
            });
            return Deadlines::new();
        }
        if shape.needs && !self.need_is_met(&scope, moment) {
            let needs = shape.rule.duty.needs.as_ref().map(ToString::to_string).unwrap_or_default();
            result.breach(Breach {
                event: trigger,
                trigger,
                expected: format!("{needs} before #{}", moment.number()),
                observed: "nothing of the kind".to_owned(),
            });
            return Deadlines::new();
        }
        if !shape.waits() {
            result.satisfied += 1;
            return Deadlines::new();
        }
        self.spawn_waiting(shape, trigger, variables, moment)
    }

    fn note_need(&mut self, hit: &Hit<'_>, moment: &Moment<'_>) {
        let atom = moment.atoms.get(hit.atom);
        if atom.is_loose() { self.needs.push((hit.atom, moment.number())) } else { self.had_need = true }
    }

    fn need_is_met(&self, scope: &Scope<'_>, moment: &Moment<'_>) -> bool {
        self.had_need
            || self.needs.iter().rev().any(|(atom, event)| {
                let seen = occurrences(moment.events, moment.facts, *event as usize);
                let atom = moment.atoms.get(*atom);
                seen.iter().any(|occurrence| {
                    atom.matches(occurrence, moment.names).is_some()
                        && atom.matches_instance(occurrence, scope, Some(moment.occurrence.event)).is_some()
                })
            })
    }

    fn relay_key(shape: &Shape, moment: &Moment<'_>) -> Option<String> {
        let key = &shape.rule.duty.relay.as_ref()?.key;
        read(&moment.occurrence.view, key).into_iter().next()
    }

    fn relay_in(&mut self, shape: &Shape, hit: &Hit<'_>, moment: &Moment<'_>) -> Deadlines {
        self.latest.extend(hit.bindings);
        let Some((key, ledger)) = Self::relay_key(shape, moment).zip(self.ledger.as_mut()) else { return Deadlines::new() };
        ledger.enter(key, moment.number());
        // Without a scope there is no end of it to count from.
        let unarmed = shape.rule.scope.is_none() && ledger.deadline.is_none();
        if unarmed { self.rearm(shape, moment) } else { Deadlines::new() }
    }

    fn relay_out(&mut self, shape: &Shape, hit: &Hit<'_>, moment: &Moment<'_>, result: &mut RuleResult) -> Deadlines {
        let atom = moment.atoms.get(hit.atom);
        let none = Variables::default();
        let scope = Scope { names: moment.names, own: &none, latest: &self.latest };
        if atom.matches_instance(moment.occurrence, &scope, None).is_none() {
            return Deadlines::new();
        }
        let Some(relay) = shape.rule.duty.relay.as_ref() else { return Deadlines::new() };
        let Some((key, ledger)) = Self::relay_key(shape, moment).zip(self.ledger.as_mut()) else { return Deadlines::new() };
        let number = moment.number();
        let breach = |expected: String, observed: String| Breach { event: Some(number), trigger: None, expected, observed };
        match ledger.leave(&key, relay.ordered, relay.times) {
            Ok(false) => return Deadlines::new(),
            Ok(true) => {}
            Err(Wrong::Again) => {
                let times = relay.times.unwrap_or(1);
                result.breach(breach(
                    format!("{} with {}={key} {times} times", relay.to, relay.key),
                    format!("#{number} is one more"),
                ));
            }
            Err(Wrong::Before(earlier)) => {
                if unordered(moment.events, earlier, number, moment.skew) {
                    result.pending += 1;
                } else {
                    result.breach(breach(
                        format!("what came in at #{earlier} before what came in later"),
                        format!("#{number} overtakes it"),
                    ));
                }
            }
        }
        if self.open && shape.rule.scope.is_some() { Deadlines::new() } else { self.rearm(shape, moment) }
    }
}

impl Cell {
    /// A deadline has passed.
    pub(super) fn expire(&mut self, shape: &Shape, timer: Timer, at: Instant, result: &mut RuleResult) {
        match timer {
            Timer::Relay => {
                let due = self.ledger.as_ref().is_some_and(|ledger| ledger.deadline == Some(at) && ledger.owes());
                if due {
                    self.breach_relay(shape, &format!("nothing of the kind by {at}"), result);
                }
            }
            Timer::Instance(id) => {
                let Some(waiting) = self.live.get_mut(id).filter(|instance| instance.deadline == Some(at)) else { return };
                if !waiting.owes_then && waiting.owes_never && !shape.rule.duty.then.is_empty() {
                    // The time was that of the response, which came; the absence has its own end.
                    waiting.deadline = None;
                    return;
                }
                let Some(instance) = self.live.remove(id) else { return };
                if instance.owes_then {
                    result.breach(breach_missing(shape, &instance, &format!("by {at}")));
                } else {
                    self.end_instance(shape, &instance, None, result);
                }
            }
        }
    }

    fn breach_relay(&mut self, shape: &Shape, observed: &str, result: &mut RuleResult) {
        let Some((relay, ledger)) = shape.rule.duty.relay.as_ref().zip(self.ledger.as_mut()) else { return };
        if let Some((key, event)) = ledger.next_owed() {
            result.breach(Breach {
                event: Some(event),
                trigger: Some(event),
                expected: format!("{} with {}={key}, which came in at #{event}", relay.to, relay.key),
                observed: observed.to_owned(),
            });
        }
        ledger.clear();
    }

    /// The trace is over.
    pub(super) fn finish(&mut self, shape: &Shape, complete: bool, result: &mut RuleResult) {
        for id in self.live.ids() {
            let Some(instance) = self.live.remove(id) else { continue };
            let absence_held = !instance.owes_then && !instance.owes_seen && self.count_is_enough(shape, &instance);
            let too_few = instance.owes_count && !self.count_is_enough(shape, &instance);
            if !complete || instance.owes_then || instance.owes_seen {
                result.pending += 1;
            } else if absence_held {
                result.satisfied += 1;
            } else if too_few {
                let breach = self.breach_count(shape, &instance);
                result.breach(breach);
            }
        }
        self.finish_relay(shape, complete, result);
    }

    fn finish_relay(&mut self, shape: &Shape, complete: bool, result: &mut RuleResult) {
        let Some(ledger) = &self.ledger else { return };
        let bounded = shape.rule.duty.relay.as_ref().is_some_and(|relay| relay.within.is_some());
        let scope_is_over = !self.open || (shape.rule.scope.is_none() && complete);
        match (ledger.owes(), ledger.delivered) {
            (true, _) if complete && scope_is_over && !bounded => {
                self.breach_relay(shape, "nothing of the kind to the end", result)
            }
            (true, true) | (false, true) => {
                result.satisfied += u32::from(!ledger.owes());
                result.pending += u32::from(ledger.owes());
            }
            (true, false) => result.pending += 1,
            (false, false) => {}
        }
    }
}
