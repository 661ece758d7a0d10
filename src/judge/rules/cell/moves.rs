//! How an event moves the instances that were there before it.

use smallvec::SmallVec;

use super::super::atom::Atom;
use super::super::instance::{Instance, Scope};
use super::super::outcome::{Breach, RuleResult, unordered};
use super::super::shape::{Shape, Slot};
use super::{Cell, Hit, Moment, Progress, breach_missing};

impl Cell {
    /// The instances that a hit concerns: for most patterns all of them at once, or those that a
    /// variable or the trigger picks out.
    pub(super) fn concerned(&self, atom: &Atom, moment: &Moment<'_>) -> SmallVec<[u32; 8]> {
        if self.live.is_empty() {
            return SmallVec::new();
        }
        let candidates = if atom.answers_trigger() {
            moment.occurrence.answers.map(|answers| self.live.started_by(answers)).unwrap_or_default()
        } else if let Some((reader, name)) = &atom.join {
            let value = moment.first(*reader);
            value.map(|value| self.live.with_value(name, value)).unwrap_or_default()
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

    pub(super) fn move_instances(&mut self, shape: &Shape, hit: &Hit<'_>, moment: &Moment<'_>, result: &mut RuleResult) {
        // Most events find nothing open that they could move.
        if self.live.is_empty() && !matches!(hit.slot, Slot::Of | Slot::Unless) {
            return;
        }
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
        match (hit.slot, atom.is_loose()) {
            (Slot::Unless, false) => self.forget(result),
            (Slot::Unless, true) => self.forget_chains(atom, moment),
            _ => {}
        }
    }

    /// An `unless` that reads variables ends the chains that bound them to what it names.
    fn forget_chains(&mut self, atom: &Atom, moment: &Moment<'_>) {
        let latest = &self.latest;
        // An identifier alone tells most chains from what is named, without a look at the message.
        let named = atom.join.as_ref().map(|(reader, name)| (name, moment.first(*reader)));
        let may_fit = |progress: &Progress| match &named {
            Some((name, value)) => value.as_deref() == progress.variables.get(name).or_else(|| latest.get(name)),
            None => true,
        };
        self.progress.retain(|progress| {
            let scope = Scope { names: moment.names, own: &progress.variables, latest };
            progress.variables.is_empty() || !may_fit(progress) || atom.matches_instance(moment.occurrence, &scope, None).is_none()
        });
    }

    /// `unless` ends what is on its way to be owed as well.
    pub(super) fn forget(&mut self, result: &mut RuleResult) {
        self.progress.clear();
        self.parts.clear();
        if let Some(ledger) = &mut self.ledger {
            if ledger.delivered && !ledger.owes() {
                result.satisfied += 1;
            }
            ledger.clear();
        }
    }

    pub(super) fn move_instance(
        &mut self,
        shape: &Shape,
        id: u32,
        hit: &Hit<'_>,
        loose: bool,
        moment: &Moment<'_>,
        result: &mut RuleResult,
    ) {
        match hit.slot {
            Slot::Then(step) => {
                let links = shape.rule.duty.then.len();
                let Some(instance) = self.live.get_mut(id).filter(|instance| instance.owes_then && instance.step == step) else {
                    return;
                };
                instance.variables.extend(hit.bindings);
                instance.step += 1;
                instance.owes_then = instance.step < links;
                self.settle(shape, id, result);
            }
            Slot::Until => {
                let Some(instance) = self.live.get_mut(id) else { return };
                instance.owes_never = false;
                if instance.owes_count {
                    let Some(mut instance) = self.live.remove(id, &shape.picks) else { return };
                    instance.owes_then = false;
                    return self.end_instance(shape, &instance, format_args!("#{} came first", moment.number()), result);
                }
                self.settle(shape, id, result);
            }
            Slot::Unless => drop(self.live.remove(id, &shape.picks)),
            Slot::Before => {
                if self.live.get(id).is_some_and(|instance| instance.owes_then)
                    && let Some(instance) = self.live.remove(id, &shape.picks)
                {
                    let missing = breach_missing(shape, &instance, format_args!("#{} came first", moment.number()));
                    result.breach(Breach { event: Some(moment.number()), ..missing });
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
                self.settle(shape, id, result);
            }
            Slot::To | Slot::ScopeUntil | Slot::When(_) | Slot::From | Slot::Needs | Slot::After => {}
        }
    }

    pub(super) fn settle(&mut self, shape: &Shape, id: u32, result: &mut RuleResult) {
        if self.live.get(id).is_some_and(Instance::is_done) {
            self.live.remove(id, &shape.picks);
            result.satisfied += 1;
        }
    }

    pub(super) fn forbidden(&mut self, shape: &Shape, id: u32, moment: &Moment<'_>, result: &mut RuleResult) {
        if !self.live.get(id).is_some_and(|instance| instance.owes_never) {
            return;
        }
        let Some(instance) = self.live.remove(id, &shape.picks) else { return };
        if unordered(moment.record.events, instance.event, moment.number(), moment.skew) {
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

    pub(super) fn check_count(&mut self, shape: &Shape, id: u32, moment: &Moment<'_>, result: &mut RuleResult) {
        let most = shape.rule.duty.count.as_ref().and_then(|count| count.at_most);
        let too_many = self.live.get(id).is_some_and(|instance| most.is_some_and(|most| self.count_of(instance) > most));
        if too_many && let Some(instance) = self.live.remove(id, &shape.picks) {
            result.breach(Breach { event: Some(moment.number()), ..self.breach_count(shape, &instance) });
        }
    }
}
