//! What a deadline or the end of the trace decides.

use super::super::outcome::{Breach, RuleResult};
use super::super::shape::Shape;
use super::{Cell, Docket, Timer, breach_missing};
use crate::time::Instant;

impl Cell {
    /// A deadline has passed.
    pub(in crate::judge::rules) fn expire(
        &mut self,
        shape: &Shape,
        timer: Timer,
        at: Instant,
        scale: f64,
        docket: &mut Docket<'_>,
    ) {
        match timer {
            Timer::Scope => {
                if self.closes == Some(at) {
                    self.shut();
                    if !shape.is_bounded() {
                        self.end_all(shape, format_args!("by {at}"), docket.result);
                    }
                    self.rearm(shape, at, scale, docket);
                }
            }
            Timer::Relay => {
                let due = self.ledger.as_ref().is_some_and(|ledger| ledger.deadline == Some(at) && ledger.owes());
                if due {
                    self.breach_relay(shape, &format!("nothing of the kind by {at}"), docket.result);
                }
            }
            Timer::Instance(id) => {
                let result = &mut *docket.result;
                let Some(waiting) = self.live.get_mut(id).filter(|instance| instance.deadline == Some(at)) else { return };
                if !waiting.owes_then && waiting.owes_never && !shape.rule.duty.then.is_empty() {
                    // The time was that of the response, which came; the absence has its own end.
                    waiting.deadline = None;
                    return;
                }
                let Some(instance) = self.live.remove(id, &shape.picks) else { return };
                if instance.owes_then {
                    result.breach(breach_missing(shape, &instance, format_args!("by {at}")));
                } else {
                    self.end_instance(shape, &instance, format_args!("by {at}"), result);
                }
            }
        }
    }

    pub(super) fn breach_relay(&mut self, shape: &Shape, observed: &str, result: &mut RuleResult) {
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
    pub(in crate::judge::rules) fn finish(&mut self, shape: &Shape, complete: bool, result: &mut RuleResult) {
        for id in self.live.ids() {
            let Some(instance) = self.live.remove(id, &shape.picks) else { continue };
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

    pub(super) fn finish_relay(&mut self, shape: &Shape, complete: bool, result: &mut RuleResult) {
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
