//! A rule, prepared: which pattern plays which part in it.

use std::sync::Arc;

use super::atom::{Atom, Atoms};
use super::keys::Parts;
use crate::pattern::Matcher;
use crate::pattern::ast::AnyOf;
use crate::suite::catalogue::{Per, Rule, Trigger};

/// The part that a pattern plays in a rule. The order is that in which one event is weighed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Slot {
    /// A link of the chain that is owed.
    Then(usize),
    /// The end of an absence or of a count.
    Until,
    /// What ends the obligation without verdict.
    Unless,
    /// What must not come before the chain is done.
    Before,
    Never,
    Of,
    Seen,
    To,
    ScopeUntil,
    /// A link of the trigger.
    When(usize),
    From,
    Needs,
    After,
}

/// How a rule starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    /// With its scope, or with the trace.
    Scope,
    /// With the last of so many links; one link is a plain trigger.
    Chain(usize),
    /// With the last of so many, in any order.
    All(usize),
}

/// By what patterns of a rule pick out instances.
#[derive(Clone, Debug, Default)]
pub(super) struct Picks {
    /// Some pattern has to answer the trigger.
    pub(super) by_trigger: bool,
    /// The variables with which an identifier in a message is compared.
    pub(super) by_value: Vec<Arc<str>>,
}

/// One rule, prepared.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// As it is written; apart, since most events need nothing of it.
    pub(super) rule: Box<Rule>,
    /// The parts of its key, and the number of that key among those of all rules.
    pub(super) parts: Parts,
    pub(super) axis: usize,
    /// Whether what belongs to a group is not looked at.
    pub(super) is_one_to_one: bool,
    pub(super) start: Start,
    pub(super) must: Option<Matcher>,
    /// What tells the messages of a relay apart, as a number of [`Atoms::reader`].
    pub(super) relay_key: Option<u32>,
    /// How its patterns pick out instances, beyond all of a key at once.
    pub(super) picks: Picks,
    pub(super) needs: bool,
    pub(super) has_after: bool,
}

impl Picks {
    /// Whether any pattern does.
    pub(super) fn any(&self) -> bool {
        self.by_trigger || !self.by_value.is_empty()
    }

    fn learn(&mut self, atom: &Atom) {
        self.by_trigger |= atom.answers_trigger();
        if let Some((_, name)) = atom.join.as_ref().filter(|(_, name)| !self.by_value.contains(name)) {
            self.by_value.push(Arc::clone(name));
        }
    }
}

impl Shape {
    /// Prepares a rule; `file` is told each pattern and its part.
    pub(super) fn of(rule: &Rule, atoms: &mut Atoms, mut file: impl FnMut(u32, Slot)) -> Self {
        let mut picks = Picks::default();
        let mut put = |slot: Slot, patterns: Option<&AnyOf>| {
            for pattern in patterns.into_iter().flat_map(|patterns| &patterns.0) {
                let number = atoms.intern(pattern);
                picks.learn(atoms.get(number));
                file(number, slot);
            }
        };
        let duty = &rule.duty;
        let scope = rule.scope.as_ref();
        put(Slot::After, scope.and_then(|scope| scope.after.as_ref()));
        put(Slot::ScopeUntil, scope.and_then(|scope| scope.until.as_ref()));
        let start = match &rule.when {
            None => Start::Scope,
            Some(Trigger::Any(any)) => {
                put(Slot::When(0), Some(any));
                Start::Chain(1)
            }
            Some(Trigger::Chain(links)) => {
                links.iter().enumerate().for_each(|(at, link)| put(Slot::When(at), Some(link)));
                Start::Chain(links.len())
            }
            Some(Trigger::All(parts)) => {
                parts.iter().enumerate().for_each(|(at, part)| put(Slot::When(at), Some(part)));
                Start::All(parts.len())
            }
        };
        duty.then.iter().enumerate().for_each(|(at, link)| put(Slot::Then(at), Some(link)));
        put(Slot::Before, duty.before.as_ref());
        put(Slot::Needs, duty.needs.as_ref());
        put(Slot::Never, duty.never.as_ref());
        put(Slot::Until, duty.until.as_ref());
        put(Slot::Of, duty.count.as_ref().map(|count| &count.of));
        put(Slot::From, duty.relay.as_ref().map(|relay| &relay.from));
        put(Slot::To, duty.relay.as_ref().map(|relay| &relay.to));
        put(Slot::Seen, duty.seen.as_ref());
        put(Slot::Unless, rule.unless.as_ref());
        Self {
            parts: rule.per.iter().copied().filter(|per| !matches!(per, Per::Trace | Per::OneToOne)).collect(),
            axis: 0,
            is_one_to_one: rule.per.contains(&Per::OneToOne),
            start,
            must: (!duty.must.is_empty()).then(|| Matcher::of(&duty.must)),
            relay_key: duty.relay.as_ref().map(|relay| atoms.reader(&relay.key)),
            picks,
            needs: duty.needs.is_some(),
            has_after: scope.is_some_and(|scope| scope.after.is_some()),
            rule: Box::new(rule.clone()),
        }
    }

    /// Whether an instance exists as soon as its key does: nothing has to start it.
    pub(super) fn starts_by_itself(&self) -> bool {
        self.start == Start::Scope && !self.has_after && self.rule.duty.relay.is_none()
    }

    /// Whether an instance has anything left to wait for.
    pub(super) fn waits(&self) -> bool {
        let duty = &self.rule.duty;
        !duty.then.is_empty() || duty.never.is_some() || duty.count.is_some() || duty.seen.is_some()
    }

    /// Whether what is owed has a bound of its own, so that the end of the scope is not its end.
    pub(super) fn is_bounded(&self) -> bool {
        let duty = &self.rule.duty;
        duty.within.is_some() || duty.before.is_some() || duty.until.is_some()
    }
}
