//! What an event starts: a link of a trigger, an instance, an entry of a relay.

use std::collections::BTreeSet;

use smallvec::{SmallVec, smallvec};

use super::super::atom::{Verdicts, occurrences};
use super::super::instance::{Scope, Variables};
use super::super::outcome::{Breach, unordered};
use super::super::relay::Wrong;
use super::super::shape::{Shape, Start};
use super::{Cell, Docket, Hit, Moment, Progress};
use crate::pattern::Bindings;

impl Cell {
    pub(super) fn trigger(
        &mut self,
        shape: &Shape,
        hit: &Hit<'_>,
        link: usize,
        starts: bool,
        moment: &Moment<'_>,
        docket: &mut Docket<'_>,
    ) {
        match shape.start {
            // A plain trigger, as most are: there is no progress to keep.
            Start::Chain(1) if !moment.atoms.get(hit.atom).is_loose() => {
                let mut variables = Variables::default();
                self.bind(hit.bindings, &Bindings::default(), Some(&mut variables));
                if starts {
                    self.spawn(shape, variables, moment, docket);
                }
            }
            Start::Chain(links) => self.advance_chain(shape, hit, (link, links), starts, moment, docket),
            Start::All(parts) => {
                let atom = moment.atoms.get(hit.atom);
                let scope = Scope { names: moment.names, own: &self.parts_variables, latest: &self.latest };
                let Some(more) = atom.matches_instance(moment.occurrence, &scope, None) else { return };
                if !self.parts.contains(&link) {
                    self.parts.push(link);
                }
                self.bind(hit.bindings, &more, None);
                if self.parts.len() < parts {
                    return;
                }
                self.parts.clear();
                let variables = std::mem::take(&mut self.parts_variables);
                if starts {
                    self.spawn(shape, variables, moment, docket);
                }
            }
            Start::Scope => {}
        }
    }

    /// Files what a link bound: `bind` with the chain, `bind-latest` with the key.
    pub(super) fn bind(&mut self, fixed: &Bindings, loose: &Bindings, into: Option<&mut Variables>) {
        let into = into.unwrap_or(&mut self.parts_variables);
        for binding in fixed.iter().chain(loose.iter()) {
            let place = if binding.latest { &mut self.latest } else { &mut *into };
            place.set(&binding.name, &binding.value);
        }
    }

    pub(super) fn advance_chain(
        &mut self,
        shape: &Shape,
        hit: &Hit<'_>,
        (at, links): (usize, usize),
        starts: bool,
        moment: &Moment<'_>,
        docket: &mut Docket<'_>,
    ) {
        let atom = moment.atoms.get(hit.atom);
        let mut waiting: SmallVec<[Progress; 1]> = if at == 0 {
            smallvec![Progress { step: 0, variables: Variables::default() }]
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
            let binds = hit.bindings.iter().chain(more.iter()).any(|binding| !binding.latest);
            if binds && at > 0 && !is_last {
                // Each match is a chain of its own: the next one starts from here as well.
                self.progress.push(progress.clone());
            }
            let mut variables = std::mem::take(&mut progress.variables);
            self.bind(hit.bindings, &more, Some(&mut variables));
            if !is_last {
                self.keep(Progress { step: at + 1, variables });
            } else if starts {
                self.spawn(shape, variables, moment, docket);
            }
        }
    }

    /// Without variables of its own, one progress stands for all that came as far or farther.
    pub(super) fn keep(&mut self, progress: Progress) {
        let known = self.progress.iter().any(|known| {
            known.variables == progress.variables
                && (known.step == progress.step || (known.step > progress.step && known.variables.is_empty()))
        });
        if !known {
            self.progress.push(progress);
        }
    }

    pub(super) fn spawn(&mut self, shape: &Shape, variables: Variables, moment: &Moment<'_>, docket: &mut Docket<'_>) {
        let scope = Scope { names: moment.names, own: &variables, latest: &self.latest };
        let trigger = Some(moment.occurrence.event);
        if let Some(must) = &shape.must
            && let Err(mismatches) = must.explain(&moment.occurrence.view, &scope)
        {
            let first = mismatches.first();
            let text = |part: Option<String>| part.unwrap_or_else(|| "nothing there".to_owned());
            return docket.result.breach(Breach {
                event: trigger,
                trigger,
                expected: text(first.map(|mismatch| format!("{}: {}", mismatch.path, mismatch.expected))),
                observed: text(first.and_then(|mismatch| mismatch.observed.clone())),
            });
        }
        if shape.needs && !self.need_is_met(&scope, moment) {
            let needs = shape.rule.duty.needs.as_ref().map(ToString::to_string).unwrap_or_default();
            return docket.result.breach(Breach {
                event: trigger,
                trigger,
                expected: format!("{needs} before #{}", moment.number()),
                observed: "nothing of the kind".to_owned(),
            });
        }
        if shape.waits() {
            self.spawn_waiting(shape, trigger, variables, moment, docket);
        } else {
            docket.result.satisfied += 1;
        }
    }

    pub(super) fn note_need(&mut self, hit: &Hit<'_>, moment: &Moment<'_>) {
        let atom = moment.atoms.get(hit.atom);
        match &atom.join {
            _ if !atom.is_loose() => self.had_need = true,
            Some((reader, _)) if !atom.answers_trigger() => {
                let values = moment.atoms.read_all(*reader, &moment.occurrence.view);
                match self.needed_values.iter_mut().find(|(atom, _)| *atom == hit.atom) {
                    Some((_, known)) => known.extend(values),
                    None => self.needed_values.push((hit.atom, values.into_iter().collect())),
                }
            }
            _ => self.needs.push((hit.atom, moment.number())),
        }
    }

    fn need_is_met(&self, scope: &Scope<'_>, moment: &Moment<'_>) -> bool {
        let came = |(atom, values): &(u32, BTreeSet<String>)| {
            let variable = moment.atoms.get(*atom).join.as_ref().and_then(|(_, name)| scope.value(name));
            variable.is_some_and(|value| values.contains(&value))
        };
        self.had_need
            || self.needed_values.iter().any(came)
            || self.needs.iter().rev().any(|(atom, event)| {
                let seen = occurrences(moment.record, *event as usize);
                let (number, atom) = (atom, moment.atoms.get(*atom));
                seen.iter().any(|occurrence| {
                    moment.atoms.may_speak_of(*number, occurrence)
                        && moment.atoms.matches(*number, occurrence, moment.names, &mut Verdicts::default()).is_some()
                        && atom.matches_instance(occurrence, scope, Some(moment.occurrence.event)).is_some()
                })
            })
    }

    pub(super) fn relay_in(&mut self, shape: &Shape, hit: &Hit<'_>, moment: &Moment<'_>, docket: &mut Docket<'_>) {
        self.latest.extend(hit.bindings);
        let Some((key, ledger)) = moment.relay_key(shape).zip(self.ledger.as_mut()) else { return };
        ledger.enter(&key, moment.number());
        // Without a scope there is no end of it to count from.
        if shape.rule.scope.is_none() && ledger.deadline.is_none() {
            self.rearm(shape, moment.now(), moment.scale, docket);
        }
    }

    pub(super) fn relay_out(&mut self, shape: &Shape, hit: &Hit<'_>, moment: &Moment<'_>, docket: &mut Docket<'_>) {
        let atom = moment.atoms.get(hit.atom);
        let none = Variables::default();
        let scope = Scope { names: moment.names, own: &none, latest: &self.latest };
        if atom.matches_instance(moment.occurrence, &scope, None).is_none() {
            return;
        }
        let Some(relay) = shape.rule.duty.relay.as_ref() else { return };
        let Some((key, ledger)) = moment.relay_key(shape).zip(self.ledger.as_mut()) else { return };
        let number = moment.number();
        let breach = |expected: String, observed: String| Breach { event: Some(number), trigger: None, expected, observed };
        match ledger.leave(&key, relay.ordered, relay.times) {
            Ok(false) => return,
            Ok(true) => {}
            Err(Wrong::Again) => {
                let times = relay.times.unwrap_or(1);
                docket.result.breach(breach(
                    format!("{} with {}={key} {times} times", relay.to, relay.key),
                    format!("#{number} is one more"),
                ));
            }
            Err(Wrong::Before(earlier)) => {
                if unordered(moment.record.events, earlier, number, moment.skew) {
                    docket.result.pending += 1;
                } else {
                    docket.result.breach(breach(
                        format!("what came in at #{earlier} before what came in later"),
                        format!("#{number} overtakes it"),
                    ));
                }
            }
        }
        if !self.open || shape.rule.scope.is_none() {
            self.rearm(shape, moment.now(), moment.scale, docket);
        }
    }
}
