//! What became of rules.

use std::fmt;

use crate::trace::event::Event;

/// What became of a rule in a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Outcome {
    /// Nothing started it.
    #[default]
    NotTriggered,
    /// The trace ended too early to tell.
    Pending,
    /// It held.
    Satisfied,
    /// It was broken.
    Violated,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTriggered => "not triggered",
            Self::Pending => "pending",
            Self::Satisfied => "satisfied",
            Self::Violated => "violated",
        })
    }
}

/// One way in which a rule was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breach {
    /// The event that shows it; of something that did not come, the one that called for it.
    pub event: Option<u32>,
    /// What started the instance.
    pub trigger: Option<u32>,
    /// What was owed.
    pub expected: String,
    /// What came.
    pub observed: String,
}

/// What became of one rule.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RuleResult {
    /// Instances that held.
    pub satisfied: u32,
    /// Instances that the trace cannot tell.
    pub pending: u32,
    /// The first ways in which it was broken.
    pub breaches: Vec<Breach>,
}

impl RuleResult {
    /// Breaches beyond these add nothing.
    const KEPT: usize = 16;

    /// Violated if any instance is, else satisfied if any is, else pending.
    pub const fn outcome(&self) -> Outcome {
        match self {
            _ if !self.breaches.is_empty() => Outcome::Violated,
            _ if self.satisfied > 0 => Outcome::Satisfied,
            _ if self.pending > 0 => Outcome::Pending,
            _ => Outcome::NotTriggered,
        }
    }

    pub(super) fn breach(&mut self, breach: Breach) {
        if self.breaches.len() < Self::KEPT {
            self.breaches.push(breach);
        }
    }
}

/// Whether the order of two events is not what anyone can rely on: they passed different
/// connections within the skew.
pub(super) fn unordered(events: &[Event], one: u32, two: u32, skew: std::time::Duration) -> bool {
    use crate::trace::event::Kind;
    let connection = |event: &Event| match &event.kind {
        Kind::Message { link, .. } | Kind::Closed { link, .. } | Kind::Opened { link } => Some((link.connection, link.source)),
        Kind::Fault(_) | Kind::Note { .. } | Kind::FlowEnded => None,
    };
    let (Some(one), Some(two)) = (events.get(one as usize), events.get(two as usize)) else { return false };
    !skew.is_zero()
        && one.at.since(two.at).max(two.at.since(one.at)) < skew
        && connection(one).map(|end| end.0) != connection(two).map(|end| end.0)
}

/// Whether two events may have crossed on their way: they went opposite ways, or over different
/// connections, within the skew.
pub(super) fn crossed(events: &[Event], one: u32, two: u32, skew: std::time::Duration) -> bool {
    use crate::trace::event::Kind;
    let sent = |number: u32| match &events.get(number as usize)?.kind {
        Kind::Message { sent, .. } => Some(*sent),
        _ => None,
    };
    let close = |one: &Event, two: &Event| one.at.since(two.at).max(two.at.since(one.at)) < skew;
    let near = events.get(one as usize).zip(events.get(two as usize)).is_some_and(|(one, two)| close(one, two));
    near && (sent(one) != sent(two) || unordered(events, one, two, skew))
}
