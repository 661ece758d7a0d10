//! Captures of the whole suite: written, read back, and judged as the run was.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use cpmcheck::capture::{Encapsulation, Remarks, write};
use cpmcheck::judge::outcome::{FailOn, Outcome};
use cpmcheck::judge::verdict::Verdict;
use cpmcheck::run::execute::{Choices, Course};
use cpmcheck::run::field::{Judged, SKEW, Terms, judge};
use cpmcheck::run::plan::Job;
use cpmcheck::suite::source::Sources;
use cpmcheck::suite::{Suite, load_all};

fn suite() -> Suite {
    load_all(Sources::embedded()).suite
}

/// Every variant of every scenario, played once.
fn outcomes(suite: &Suite) -> Vec<Outcome> {
    let none = BTreeMap::new();
    let course = Course::new(suite, Choices { policy: &none, scale: 1.0, fail_on: FailOn::Shall, compare: false });
    let jobs = suite.scenarios.iter().flat_map(|scenario| scenario.variants.iter().map(move |variant| (scenario, variant)));
    jobs.map(|(scenario, variant)| course.play(&Job { scenario, variant, repetition: 1, seed: suite.defaults.seed })).collect()
}

fn capture(outcome: &Outcome, encapsulation: Encapsulation) -> Bytes {
    write(&outcome.trace, encapsulation, &Remarks { verdict: outcome.verdict.name(), of: &BTreeMap::new() }).into()
}

fn judged(suite: &Suite, outcome: &Outcome, encapsulation: Encapsulation, terms: &Terms) -> Judged {
    judge(suite, &capture(outcome, encapsulation), terms).expect("a capture")
}

/// What differs between a run and the judgement of its capture, for a person.
fn difference(outcome: &Outcome, judged: &Judged) -> Option<String> {
    if judged.verdict == outcome.verdict {
        return None;
    }
    let findings: Vec<String> = judged
        .findings
        .iter()
        .filter(|finding| finding.verdict(false) > Verdict::Pass)
        .map(|finding| format!("    {:?} {}: {} / {}", finding.event, finding.id, finding.expected, finding.observed))
        .collect();
    let roles = judged.imported.roles.join("\n    ");
    Some(format!("{}: {} became {}\n{}\n    {roles}", outcome.name(), outcome.verdict, judged.verdict, findings.join("\n")))
}

#[test]
fn the_capture_of_every_scenario_gets_the_verdict_of_its_run() {
    let suite = suite();
    let outcomes = outcomes(&suite);
    let differences: Vec<String> = outcomes
        .iter()
        .filter_map(|outcome| difference(outcome, &judged(&suite, outcome, Encapsulation::RawIp, &Terms::default())))
        .collect();
    assert!(differences.is_empty(), "{} of {} differ:\n{}", differences.len(), outcomes.len(), differences.join("\n"));
}

#[test]
fn with_the_skew_of_real_clocks_only_the_order_of_connections_leaves_anything_open() {
    let suite = suite();
    let outcomes = outcomes(&suite);
    let terms = Terms { skew: Some(SKEW), ..Terms::default() };
    let (mut open, mut wrong) = (0, Vec::new());
    for outcome in &outcomes {
        let judged = judged(&suite, outcome, Encapsulation::RawIp, &terms);
        match judged.verdict {
            Verdict::Inconclusive => open += 1,
            _ => wrong.extend(difference(outcome, &judged)),
        }
    }
    println!("{open} of {} captures are inconclusive with a skew of {:?}", outcomes.len(), Duration::from(SKEW));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
