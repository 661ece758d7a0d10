//! Conditions over policy and PICS, and arithmetic over bound numbers.

use std::time::Duration;

use crate::pattern::ast::{Condition, Expression, Span};
use crate::policy;
use crate::trace::Header;

/// Whether a condition holds in a run. A knob that the run does not name has its default.
pub fn holds(condition: &Condition, header: &Header) -> bool {
    match condition {
        Condition::Policy { name, value } => policy_of(name, header).is_some_and(|actual| policy::same(actual, value)),
        Condition::PolicyHas { name, value } => policy_of(name, header).is_some_and(|actual| policy::lists(actual, value)),
        Condition::Pics(name) => header.pics.contains(name),
        Condition::And(left, right) => holds(left, header) && holds(right, header),
        Condition::Or(left, right) => holds(left, header) || holds(right, header),
        Condition::Not(inner) => !holds(inner, header),
    }
}

/// The value of a knob in a run: what its header says, else the default.
pub(in crate::judge) fn policy_of<'a>(name: &str, header: &'a Header) -> Option<&'a str> {
    let alike = || header.policy.iter().find(|(knob, _)| policy::same(knob, name)).map(|(_, value)| value);
    // Most are spelt as they are known.
    let set = header.policy.get(name).or_else(alike).map(String::as_str);
    set.or_else(|| policy::knob(name).map(|knob| knob.default))
}

/// A span of time; `None` when a variable in it has no number.
pub(super) fn span(span: &Span, scale: f64, variable: &dyn Fn(&str) -> Option<String>) -> Option<Duration> {
    match span {
        Span::Fixed(span) => Duration::try_from_secs_f64(span.as_secs_f64() * scale).ok(),
        Span::Computed(expression) => {
            let seconds = number(expression, variable)?;
            Duration::try_from_secs_f64(seconds.max(0.0)).ok()
        }
    }
}

fn number(expression: &Expression, variable: &dyn Fn(&str) -> Option<String>) -> Option<f64> {
    match expression {
        Expression::Number(number) => Some(*number),
        Expression::Variable(name) => variable(name)?.trim().parse().ok(),
        Expression::Min(left, right) => Some(number(left, variable)?.min(number(right, variable)?)),
        Expression::Max(left, right) => Some(number(left, variable)?.max(number(right, variable)?)),
        Expression::Binary(left, operator, right) => {
            let (left, right) = (number(left, variable)?, number(right, variable)?);
            match operator {
                '+' => Some(left + right),
                '-' => Some(left - right),
                '*' => Some(left * right),
                '/' if right != 0.0 => Some(left / right),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn policy(name: &str, value: &str) -> Condition {
        Condition::Policy { name: name.into(), value: value.into() }
    }

    #[test]
    fn a_condition_reads_policy_and_claims() {
        let policies = Arc::new([("group.retry".into(), "2".into())].into());
        let mut header = Header { policy: policies, ..Header::default() };
        header.pics.insert("imdn".into());
        assert!(holds(&policy("group.retry", "2"), &header));
        assert!(!holds(&policy("group.unheard-of", "2"), &header));
        let stops = |value: &str| Condition::PolicyHas { name: "stop.codes".into(), value: value.into() };
        assert!(holds(&stops("480"), &header) && !holds(&stops("48"), &header));
        let both = Condition::And(Box::new(Condition::Pics("imdn".into())), Box::new(policy("group.retry", "3")));
        assert!(!holds(&both, &header));
        assert!(holds(&Condition::Not(Box::new(both)), &header));
    }

    #[test]
    fn a_span_is_computed_from_bound_numbers() {
        let third = Expression::Binary(Box::new(Expression::Variable("e".into())), '/', Box::new(Expression::Number(3.0)));
        let least = Expression::Min(Box::new(Expression::Number(32.0)), Box::new(third));
        let due = Expression::Binary(Box::new(Expression::Variable("e".into())), '-', Box::new(least));
        let bound = |_: &str| Some("60".to_owned());
        assert_eq!(span(&Span::Computed(due.clone()), 3.0, &bound), Some(Duration::from_secs(40)));
        assert_eq!(span(&Span::Computed(due), 1.0, &|_| None), None);
        assert_eq!(span(&Span::Fixed(Duration::from_secs(5)), 2.0, &bound), Some(Duration::from_secs(10)));
    }
}
