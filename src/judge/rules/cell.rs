//! One rule for one value of its key: scope, progress of the trigger, instances.

mod ending;
mod moves;
mod trigger;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::atom::{Atoms, Occurrence};
use super::condition;
use super::instance::{Instance, Live, Scope, Variables};
use super::outcome::{Breach, RuleResult, crossed};
use super::relay::Ledger;
use super::shape::{Shape, Slot, Start};
use crate::judge::Record;
use crate::pattern::{Bindings, Names};
use crate::time::Instant;

/// A pattern of a rule that fits an occurrence, as far as no instance has a say.
#[derive(Clone, Copy)]
pub(super) struct Hit<'a> {
    pub(super) slot: Slot,
    pub(super) atom: u32,
    pub(super) bindings: &'a Bindings,
}

/// The event that is weighed, and everything around it.
pub(super) struct Moment<'a> {
    pub(super) record: Record<'a>,
    pub(super) at: usize,
    pub(super) occurrence: &'a Occurrence<'a>,
    pub(super) atoms: &'a Atoms,
    pub(super) names: &'a Names,
    pub(super) scale: f64,
    pub(super) skew: Duration,
}

impl Moment<'_> {
    fn now(&self) -> Instant {
        self.record.events[self.at].at
    }

    fn number(&self) -> u32 {
        self.record.events[self.at].number
    }

    /// The first value at a path of the message.
    fn first(&self, reader: u32) -> Option<Arc<str>> {
        self.occurrence.first(self.atoms, reader)
    }

    /// What tells a message of a relay from others.
    fn relay_key(&self, shape: &Shape) -> Option<Arc<str>> {
        self.first(shape.relay_key?)
    }
}

/// Which deadline a timer stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Timer {
    Instance(u32),
    Relay,
    Scope,
}

/// Where a cell enters what became of its instances, and when it has to be looked at again.
pub(super) struct Docket<'a> {
    pub(super) result: &'a mut RuleResult,
    pub(super) deadlines: SmallVec<[(Instant, Timer); 2]>,
}

impl<'a> Docket<'a> {
    pub(super) fn new(result: &'a mut RuleResult) -> Self {
        Self { result, deadlines: SmallVec::new() }
    }
}

impl Docket<'_> {
    fn file(&mut self, deadline: Option<Instant>, timer: Timer) {
        self.deadlines.extend(deadline.map(|at| (at, timer)));
    }
}

/// How far a chain of triggers came.
#[derive(Clone, Debug)]
struct Progress {
    step: usize,
    variables: Variables,
}

#[derive(Clone, Debug)]
pub(super) struct Cell {
    open: bool,
    /// When the scope closes although nothing comes that closes it.
    closes: Option<Instant>,
    progress: Vec<Progress>,
    /// The parts of `all` that came.
    parts: Vec<usize>,
    parts_variables: Variables,
    latest: Variables,
    /// Whether what is needed came.
    had_need: bool,
    /// Messages that may be what is needed, when variables decide.
    needs: Vec<(u32, u32)>,
    /// By pattern, the identifiers that came, when equality with one decides.
    needed_values: Vec<(u32, BTreeSet<String>)>,
    counted: u32,
    pub(super) live: Live,
    ledger: Option<Box<Ledger>>,
}

impl Cell {
    pub(super) fn new(shape: &Shape) -> Self {
        let open = !shape.has_after;
        Self {
            open,
            closes: None,
            progress: Vec::new(),
            parts: Vec::new(),
            parts_variables: Variables::default(),
            latest: Variables::default(),
            had_need: false,
            needs: Vec::new(),
            needed_values: Vec::new(),
            counted: 0,
            live: Live::default(),
            ledger: shape.rule.duty.relay.is_some().then(Box::default),
        }
    }

    /// The instance of a rule that nothing has to start.
    pub(super) fn start(&mut self, shape: &Shape, event: u32) {
        self.insert(shape, None, event, Variables::default(), None);
    }

    /// When the cell has to be looked at again: its instances, and its scope.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = (Instant, Timer)> + '_ {
        let instances = self.live.deadlines().map(|(deadline, id)| (deadline, Timer::Instance(id)));
        instances.chain(self.closes.map(|at| (at, Timer::Scope)))
    }

    fn insert(&mut self, shape: &Shape, trigger: Option<u32>, event: u32, variables: Variables, deadline: Option<Instant>) -> u32 {
        let duty = &shape.rule.duty;
        let instance = Instance {
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
        };
        self.live.insert(instance, &shape.picks)
    }

    /// Weighs one occurrence. `starts`: whether it may start instances here.
    pub(super) fn weigh(&mut self, shape: &Shape, hits: &[Hit<'_>], starts: bool, moment: &Moment<'_>, docket: &mut Docket<'_>) {
        let in_scope = self.open;
        // Slots come in the order in which they count.
        for hit in hits {
            match hit.slot {
                Slot::Then(_) | Slot::Until | Slot::Unless | Slot::Before | Slot::Never | Slot::Of | Slot::Seen => {
                    self.move_instances(shape, hit, moment, docket.result);
                }
                Slot::To => self.relay_out(shape, hit, moment, docket),
                Slot::ScopeUntil => self.close(shape, moment, docket),
                Slot::When(_) | Slot::From | Slot::Needs | Slot::After => {}
            }
        }
        let starting = hits.partition_point(|hit| hit.slot < Slot::When(0));
        self.weigh_starts(shape, &hits[starting..], (starts, in_scope), moment, docket);
    }

    /// What an event starts, after what it moved.
    fn weigh_starts(
        &mut self,
        shape: &Shape,
        hits: &[Hit<'_>],
        (starts, in_scope): (bool, bool),
        moment: &Moment<'_>,
        docket: &mut Docket<'_>,
    ) {
        if hits.is_empty() {
            return;
        }
        // An event that ends the scope is not in it.
        if in_scope && self.open {
            let links = hits.partition_point(|hit| hit.slot < Slot::From);
            // The last link first: an event moves a chain by one link.
            for hit in hits[..links].iter().rev() {
                if let Slot::When(link) = hit.slot {
                    self.trigger(shape, hit, link, starts, moment, docket);
                }
            }
            for hit in hits[links..].iter().take_while(|hit| hit.slot == Slot::From) {
                self.relay_in(shape, hit, moment, docket);
            }
        }
        let scopes = hits.partition_point(|hit| hit.slot < Slot::After);
        for hit in &hits[scopes..] {
            self.reopen(shape, starts, moment, docket);
            self.latest.extend(hit.bindings);
            self.limit(shape, moment, docket);
        }
        for hit in hits[..scopes].iter().filter(|hit| hit.slot == Slot::Needs) {
            self.note_need(hit, moment);
        }
    }

    fn reopen(&mut self, shape: &Shape, starts: bool, moment: &Moment<'_>, docket: &mut Docket<'_>) {
        if self.open {
            return;
        }
        self.open = true;
        self.had_need = false;
        self.needs.clear();
        self.needed_values.clear();
        if let Some(ledger) = &mut self.ledger {
            ledger.deadline = None;
        }
        if shape.start == Start::Scope && starts && shape.waits() {
            self.spawn_waiting(shape, Some(moment.occurrence.event), Variables::default(), moment, docket);
        }
    }

    /// A scope that lasts so long counts from what opened it, or would have, last.
    fn limit(&mut self, shape: &Shape, moment: &Moment<'_>, docket: &mut Docket<'_>) {
        let Some(span) = shape.rule.scope.as_ref().and_then(|scope| scope.span.as_ref()) else { return };
        let latest = &self.latest;
        let span = condition::span(span, moment.scale, &|name| latest.get(name).map(str::to_owned));
        self.closes = span.map(|span| moment.now() + span);
        docket.file(self.closes, Timer::Scope);
    }

    fn spawn_waiting(
        &mut self,
        shape: &Shape,
        trigger: Option<u32>,
        variables: Variables,
        moment: &Moment<'_>,
        docket: &mut Docket<'_>,
    ) {
        let scope = Scope { names: moment.names, own: &variables, latest: &self.latest };
        let within = shape.rule.duty.within.as_ref();
        let within = within.and_then(|within| condition::span(within, moment.scale, &|name| scope.value(name)));
        let deadline = within.map(|within| moment.now() + within);
        let id = self.insert(shape, trigger, moment.number(), variables, deadline);
        docket.file(deadline, Timer::Instance(id));
    }

    /// The scope ends: what has no bound of its own ends with it.
    fn close(&mut self, shape: &Shape, moment: &Moment<'_>, docket: &mut Docket<'_>) {
        if !self.open {
            return;
        }
        self.shut();
        if shape.is_bounded() {
            self.doubt_crossed(shape, moment, docket.result);
        } else {
            self.end_all(shape, format_args!("#{} came first", moment.number()), docket.result);
        }
        self.rearm(shape, moment.now(), moment.scale, docket);
    }

    fn shut(&mut self) {
        self.open = false;
        self.closes = None;
        self.progress.clear();
        self.parts.clear();
        self.parts_variables = Variables::default();
    }

    fn end_all(&mut self, shape: &Shape, why: fmt::Arguments<'_>, result: &mut RuleResult) {
        for id in self.live.ids() {
            let Some(instance) = self.live.remove(id, &shape.picks) else { continue };
            self.end_instance(shape, &instance, why, result);
        }
    }

    /// What started within the skew before its scope ended may have started after it in truth: the
    /// two have crossed.
    fn doubt_crossed(&mut self, shape: &Shape, moment: &Moment<'_>, result: &mut RuleResult) {
        if moment.skew.is_zero() {
            return;
        }
        for id in self.live.ids() {
            let crossed = |own: &Instance| crossed(moment.record.events, own.event, moment.number(), moment.skew);
            if self.live.get(id).is_some_and(crossed) && self.live.remove(id, &shape.picks).is_some() {
                result.pending += 1;
            }
        }
    }

    fn rearm(&mut self, shape: &Shape, now: Instant, scale: f64, docket: &mut Docket<'_>) {
        let Some((relay, ledger)) = shape.rule.duty.relay.as_ref().zip(self.ledger.as_mut()) else { return };
        let latest = &self.latest;
        let within =
            relay.within.as_ref().and_then(|within| condition::span(within, scale, &|name| latest.get(name).map(str::to_owned)));
        docket.file(ledger.rearm(now, within), Timer::Relay);
    }

    /// The instance's time is up in good order: its scope ended, or its `until` came.
    fn end_instance(&self, shape: &Shape, instance: &Instance, why: fmt::Arguments<'_>, result: &mut RuleResult) {
        if instance.owes_then {
            result.breach(breach_missing(shape, instance, why));
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

pub(super) fn breach_missing(shape: &Shape, instance: &Instance, why: fmt::Arguments<'_>) -> Breach {
    let link = shape.rule.duty.then.get(instance.step);
    let before = shape.rule.duty.before.as_ref().map(|before| format!(" before {before}")).unwrap_or_default();
    Breach {
        event: Some(instance.event),
        trigger: instance.trigger,
        expected: format!("{}{before} after #{}", link.map(ToString::to_string).unwrap_or_default(), instance.event),
        observed: format!("nothing of the kind, {why}"),
    }
}
