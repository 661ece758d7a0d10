//! Variables of a rule: what is read is bound before, what is bound is read.

use std::collections::BTreeSet;

use super::catalogue::{Rule, Trigger};
use super::diagnostics::Diagnostic;
use super::reader::Desk;
use crate::pattern::ast::{AnyOf, Bound, Key, Place, Span, Value};

#[derive(Default)]
struct Uses {
    bound: BTreeSet<String>,
    read: Vec<(String, Place)>,
}

/// Reports variables that are read and never bound.
pub(super) fn variables(desk: &Desk, rule: &Rule) {
    let mut uses = Uses::default();
    for any in rule.patterns() {
        uses.any(any);
    }
    uses.keys(&rule.duty.must);
    let scope = rule.scope.as_ref().and_then(|scope| scope.span.as_ref());
    let times = [scope, rule.duty.within.as_ref(), rule.duty.relay.as_ref().and_then(|relay| relay.within.as_ref())];
    for time in times.into_iter().flatten() {
        if let Span::Computed(expression) = time {
            uses.read.extend(expression.variables().into_iter().map(|name| (name.to_owned(), rule.place)));
        }
    }
    for (name, place) in &uses.read {
        if !uses.bound.contains(name) {
            desk.say(
                Diagnostic::new("Y0060", *place, format!("variable `${name}` is read and nothing binds it"))
                    .label("never bound")
                    .allowed("bound are", name, uses.bound.iter().map(String::as_str))
                    .note("a key of `when` binds a variable: `Conversation-ID: { bind: conversation }`"),
            );
        }
    }
}

impl Uses {
    fn any(&mut self, any: &AnyOf) {
        for pattern in &any.0 {
            self.keys(&pattern.keys);
        }
    }

    fn keys(&mut self, keys: &[Key]) {
        for key in keys {
            self.value(&key.value, key.place);
        }
    }

    fn value(&mut self, value: &Value, place: Place) {
        match value {
            Value::Variable(name) | Value::LessThan(Bound::Variable(name)) | Value::GreaterThan(Bound::Variable(name)) => {
                self.read.push((name.clone(), place))
            }
            Value::Bind(name) | Value::BindLatest(name) => {
                self.bound.insert(name.to_string());
            }
            Value::Not(inner) | Value::Contains(inner) => self.value(inner, place),
            Value::List(members) | Value::OneOf(members) => members.iter().for_each(|member| self.value(member, place)),
            Value::None(keys) | Value::First(keys) => self.keys(keys),
            Value::Literal(_)
            | Value::Absent
            | Value::Present
            | Value::Matches(_)
            | Value::LessThan(_)
            | Value::GreaterThan(_)
            | Value::SameAs { .. }
            | Value::Generate { .. } => {}
        }
    }
}

impl Rule {
    /// All patterns of the rule, triggers first.
    pub fn patterns(&self) -> Vec<&AnyOf> {
        let mut out: Vec<&AnyOf> = Vec::new();
        if let Some(scope) = &self.scope {
            out.extend(scope.after.iter().chain(&scope.until));
        }
        match &self.when {
            Some(Trigger::Any(any)) => out.push(any),
            Some(Trigger::Chain(list) | Trigger::All(list)) => out.extend(list),
            None => {}
        }
        let duty = &self.duty;
        out.extend(&duty.then);
        out.extend([&duty.before, &duty.needs, &duty.never, &duty.until, &duty.seen, &self.unless].into_iter().flatten());
        out.extend(duty.count.iter().map(|count| &count.of));
        out.extend(duty.relay.iter().flat_map(|relay| [&relay.from, &relay.to]));
        out
    }
}
