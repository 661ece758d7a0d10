//! Mistakes that show only when more than one thing is looked at.

use super::conditions::constant;
use super::diagnostics::Diagnostic;
use super::reader::Desk;
use super::scenario::{Act, Scenario, Step, Variant};
use crate::pattern::ast::{Pattern, Place};

/// Two branches of `either` that begin alike: the first message could not decide.
pub(super) fn alike(desk: &Desk, branches: &[Vec<Step>]) {
    let firsts: Vec<&Pattern> = branches.iter().filter_map(|steps| first(steps)).collect();
    for (at, pattern) in firsts.iter().enumerate() {
        let text = |pattern: &Pattern| {
            let mut keys: Vec<String> = pattern.keys.iter().map(ToString::to_string).collect();
            keys.sort();
            (pattern.from.clone(), pattern.to.clone(), pattern.what.to_string(), keys)
        };
        if let Some(other) = firsts[..at].iter().find(|other| text(other) == text(pattern)) {
            desk.say(
                Diagnostic::new("Y0042", pattern.place, "two branches begin with the same message, so it decides nothing")
                    .label("as here")
                    .secondary(other.place, "another branch begins alike")
                    .help("put what is common before `either`, or say in what the first messages differ"),
            );
        }
    }
}

/// The first message that a run of steps waits for.
fn first(steps: &[Step]) -> Option<&Pattern> {
    match &steps.first()?.act {
        Act::Expect(expectation) => Some(&expectation.pattern),
        Act::Block(steps) | Act::InOrder(steps) => first(steps),
        _ => None,
    }
}

/// A `when` that the scenario's own policy decides: one of its branches is never reached.
pub(super) fn constant_branches(desk: &Desk, steps: &[Step], variants: &[Variant]) {
    for step in steps {
        if let Act::When(condition, yes, no) = &step.act {
            let outcome = |variant: &Variant| {
                constant(condition, &|name: &str| {
                    let name = crate::policy::knob(name).map_or(name, |knob| knob.name);
                    variant.policy.get(name).cloned()
                })
            };
            let mut outcomes = variants.iter().map(outcome);
            let first = outcomes.next().flatten();
            if let Some(always) = first.filter(|first| outcomes.all(|other| other == Some(*first)))
                && (!always || !no.is_empty())
            {
                let unreached = if always { no } else { yes };
                let place = unreached.first().map_or(step.place, |step| step.place);
                desk.say(
                    Diagnostic::new("Y0041", place, "these steps are never reached")
                        .label("never reached")
                        .secondary(
                            step.place,
                            format!("this is {} under every policy of the scenario", if always { "true" } else { "false" }),
                        )
                        .help("remove them, or list both policies below `policies:`"),
                );
            }
        }
        for inner in step.act.runs() {
            constant_branches(desk, inner, variants);
        }
    }
}

impl Act {
    /// The runs of steps inside a block, in the order of the text.
    pub fn runs(&self) -> Vec<&[Step]> {
        match self {
            Self::AnyOrder(runs) | Self::Repeat(runs) => runs.iter().map(Vec::as_slice).collect(),
            Self::InOrder(steps) | Self::Optional(steps) | Self::Block(steps) => vec![steps],
            Self::Either(branches) => branches.iter().map(|branch| branch.steps.as_slice()).collect(),
            Self::When(_, yes, no) => vec![yes, no],
            Self::Race(runs) => runs.iter().map(|(_, steps)| steps.as_slice()).collect(),
            Self::Send(_)
            | Self::Expect(_)
            | Self::Wait(_)
            | Self::Never(_)
            | Self::NeverFor(..)
            | Self::Ignore(_)
            | Self::Disconnect(_)
            | Self::Link { .. }
            | Self::Partition(..)
            | Self::Heal(..)
            | Self::Restart(_)
            | Self::Clock(_) => Vec::new(),
        }
    }
}

/// `control:` names another scenario of the suite.
pub(super) fn controls(desk: &Desk, scenarios: &[Scenario], ids: &[String], places: &[(String, Place)]) {
    for scenario in scenarios {
        let Some(control) = &scenario.control else { continue };
        let place = places.iter().find(|(id, _)| *id == scenario.id).map_or_else(Place::default, |(_, place)| *place);
        if !ids.contains(control) {
            desk.say(
                Diagnostic::new("Y0038", place, format!("the control scenario `{control}` does not exist"))
                    .label("no such scenario")
                    .allowed("scenarios are", control, ids.iter().map(String::as_str)),
            );
        } else if *control == scenario.id {
            desk.say(Diagnostic::new("Y0038", place, "a scenario cannot be its own control").label("itself"));
        }
    }
}
