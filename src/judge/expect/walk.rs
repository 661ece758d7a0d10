//! Walking the graph: what begins when something else is settled.

use super::misses;
use super::program::{Guard, Op, Task};
use super::{Mark, Script, Standing};
use crate::pattern::Matcher;
use crate::pattern::ast::Pattern;
use crate::suite::catalogue::Level;
use crate::suite::scenario::Step;
use crate::time::Instant;

impl<'s> Script<'s> {
    pub(super) fn wake(&mut self, at: usize, now: Instant) {
        if self.marks[at] != Mark::Waiting || self.failed {
            return;
        }
        let op = &self.plan.program.ops[at];
        if !op.behind.iter().all(|before| self.is_settled(*before, op)) {
            return;
        }
        if matches!(op.task, Task::Expect(_)) {
            self.marks[at] = Mark::Open(now);
            self.open.insert(at);
        } else if self.is_taken(op.guard) {
            self.begin(at, now);
        }
    }

    fn begin(&mut self, at: usize, now: Instant) {
        let step = self.plan.program.ops[at].step;
        let until = match &self.plan.program.ops[at].task {
            Task::Send(sending) if !sending.after.is_zero() => now + sending.after,
            Task::Wait(span) => now + *span,
            Task::Never(patterns, span) => {
                let patterns: &'s [Pattern] = patterns;
                let until = span.map(|span| now + span);
                self.stand(at, step, patterns, true);
                match until {
                    Some(until) => until,
                    None => return self.settle(at, Mark::Done(None), now),
                }
            }
            Task::Ignore(patterns) => {
                let patterns: &'s [Pattern] = patterns;
                self.stand(at, step, patterns, false);
                return self.settle(at, Mark::Done(None), now);
            }
            Task::Close(opened) => {
                self.standing.retain(|standing| !opened.contains(&standing.op));
                return self.settle(at, Mark::Done(None), now);
            }
            Task::Send(_) | Task::Fault(_) => {
                return self.fall_due(at);
            }
            Task::Expect(_) => return,
        };
        self.marks[at] = Mark::Until(until);
        self.timed.insert(at);
    }

    pub(super) fn fall_due(&mut self, at: usize) {
        self.marks[at] = Mark::Due;
        self.due += 1;
        self.actions.push_back(at);
    }

    fn stand(&mut self, op: usize, step: &'s Step, patterns: &'s [Pattern], forbids: bool) {
        let matchers = patterns.iter().map(|pattern| Matcher::of(&pattern.keys)).collect();
        self.standing.push(Standing { op, step, patterns, matchers, forbids });
    }

    pub(super) fn settle(&mut self, at: usize, mark: Mark, now: Instant) {
        self.due -= usize::from(self.marks[at] == Mark::Due);
        self.marks[at] = mark;
        self.settled_at[at] = now;
        self.open.remove(&at);
        for ahead in self.plan.program.ops[at].ahead.clone() {
            self.wake(ahead, now);
        }
    }

    /// Whether `op` need not wait for `at`. A message of ours that is on its way holds up only
    /// what other actors send: one actor's messages do not overtake each other.
    pub(super) fn is_settled(&self, at: usize, op: &Op<'_>) -> bool {
        match self.marks[at] {
            Mark::Done(_) | Mark::Dropped => true,
            Mark::Sent(_) => match (&self.plan.program.ops[at].task, &op.task) {
                (_, Task::Expect(_)) => true,
                (Task::Send(before), Task::Send(next)) => before.pattern.from == next.pattern.from,
                _ => false,
            },
            _ => self.may_stay_away(at, op.guard),
        }
    }

    /// Whether `at` stands in a branch that nobody has to take, as seen from outside of it.
    pub(super) fn may_stay_away(&self, at: usize, from: Option<Guard>) -> bool {
        let inside: Vec<usize> = self.guards(from).map(|guard| guard.choice).collect();
        self.guards(self.plan.program.ops[at].guard).any(|guard| {
            let free = self.plan.program.choices[guard.choice].optional && self.decided[guard.choice].is_none();
            free && !inside.contains(&guard.choice)
        })
    }

    /// The branches around an operation, innermost first.
    fn guards(&self, innermost: Option<Guard>) -> impl Iterator<Item = Guard> {
        std::iter::successors(innermost, |guard| self.plan.program.choices[guard.choice].guard)
    }

    fn is_taken(&self, guard: Option<Guard>) -> bool {
        self.guards(guard).all(|guard| self.decided[guard.choice] == Some(guard.branch))
    }

    /// Takes the branches in which `at` stands; the others are dropped.
    pub(super) fn decide(&mut self, at: usize, now: Instant) {
        let guards: Vec<Guard> = self.guards(self.plan.program.ops[at].guard).collect();
        for guard in guards.into_iter().rev() {
            if self.decided[guard.choice].is_some() {
                continue;
            }
            self.decided[guard.choice] = Some(guard.branch);
            self.note_level(guard, at);
            for other in 0..self.plan.program.ops.len() {
                let inside = self.guards(self.plan.program.ops[other].guard).find(|inner| inner.choice == guard.choice);
                match inside {
                    Some(inner) if inner.branch != guard.branch => self.drop_op(other, now),
                    Some(_) => self.wake(other, now),
                    None => {}
                }
            }
        }
    }

    fn drop_op(&mut self, at: usize, now: Instant) {
        if !matches!(self.marks[at], Mark::Done(_) | Mark::Dropped) {
            self.timed.remove(&at);
            self.settle(at, Mark::Dropped, now);
        }
    }

    fn note_level(&mut self, guard: Guard, at: usize) {
        let level = self.plan.program.choices[guard.choice].levels[guard.branch];
        if level != Level::Shall {
            self.findings.push(misses::deviation(self.plan.program.ops[at].step, level));
        }
    }

    /// When the patience with an expectation ends. Of the branches of a choice the most patient
    /// one decides.
    pub(super) fn deadline(&self, at: usize) -> Option<Instant> {
        let undecided = self.guards(self.plan.program.ops[at].guard).find(|guard| self.decided[guard.choice].is_none());
        let Some(undecided) = undecided else { return self.own_deadline(at) };
        let rivals = self
            .open
            .iter()
            .filter(|rival| self.guards(self.plan.program.ops[**rival].guard).any(|guard| guard.choice == undecided.choice));
        let deadlines: Option<Vec<Instant>> = rivals.map(|rival| self.own_deadline(*rival)).collect();
        deadlines?.into_iter().max()
    }

    fn own_deadline(&self, at: usize) -> Option<Instant> {
        let op = &self.plan.program.ops[at];
        let (Task::Expect(expectation), Mark::Open(since)) = (&op.task, self.marks[at]) else { return None };
        if self.may_stay_away(at, None) || !op.clock.iter().all(|before| self.is_settled(*before, op)) {
            return None;
        }
        let since = op.clock.iter().fold(since, |since, before| since.max(self.settled_at[*before]));
        Some(since + expectation.within.unwrap_or(self.within).mul_f64(self.scale) + self.late)
    }
}
