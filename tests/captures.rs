//! Captures of the whole suite: written, read back, and judged as the run was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use bytes::Bytes;
use cpmcheck::capture::{Encapsulation, Remarks, write};
use cpmcheck::engine::Closure;
use cpmcheck::judge::outcome::{Outcome, RuleState};
use cpmcheck::judge::verdict::Verdict;
use cpmcheck::run::execute::{Choices, Course};
use cpmcheck::run::field::{Judged, SKEW, Terms, judge};
use cpmcheck::run::plan::Job;
use cpmcheck::suite::source::Sources;
use cpmcheck::suite::{Suite, load_all};
use cpmcheck::trace::event::Kind;

static SUITE: LazyLock<Suite> = LazyLock::new(|| load_all(Sources::embedded()).suite);
/// Every variant of every scenario, played once.
static OUTCOMES: LazyLock<Vec<Outcome>> = LazyLock::new(|| outcomes(&SUITE));

fn outcomes(suite: &Suite) -> Vec<Outcome> {
    let none = BTreeMap::new();
    let course = Course::new(suite, Choices::in_the_simulator(&none));
    let jobs = suite.scenarios.iter().flat_map(|scenario| scenario.variants.iter().map(move |variant| (scenario, variant)));
    jobs.map(|(scenario, variant)| course.play(&Job { scenario, variant, repetition: 1, seed: suite.defaults.seed })).collect()
}

fn capture(outcome: &Outcome, encapsulation: Encapsulation) -> Bytes {
    write(&outcome.trace, encapsulation, &Remarks { verdict: outcome.verdict.name(), of: &BTreeMap::new() }).into()
}

fn judged(outcome: &Outcome, encapsulation: Encapsulation, terms: &Terms) -> Judged {
    judge(&SUITE, &capture(outcome, encapsulation), terms).expect("a capture")
}

/// The requirements that a run satisfied and the judgement of its capture does not, or the other
/// way round.
fn doubted(outcome: &Outcome, judged: &Judged) -> Vec<String> {
    let satisfied = outcome.rules.iter().filter(|(_, state)| **state == RuleState::Satisfied).map(|(id, _)| id.clone());
    let (live, caught): (BTreeSet<String>, BTreeSet<String>) = (satisfied.collect(), judged.satisfied.iter().cloned().collect());
    live.symmetric_difference(&caught).map(|id| format!("{} {id}", outcome.name())).collect()
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
    let (mut different, mut doubtful) = (Vec::new(), Vec::new());
    for outcome in OUTCOMES.iter() {
        let judged = judged(outcome, Encapsulation::RawIp, &Terms::default());
        different.extend(difference(outcome, &judged));
        doubtful.extend(doubted(outcome, &judged));
    }
    assert!(different.is_empty(), "{} of {} differ:\n{}", different.len(), OUTCOMES.len(), different.join("\n"));
    assert!(doubtful.is_empty(), "requirements that only one of run and capture satisfies:\n{}", doubtful.join("\n"));
}

#[test]
fn with_the_skew_of_real_clocks_only_the_order_of_connections_leaves_anything_open() {
    let terms = Terms { skew: Some(SKEW), ..Terms::default() };
    let (mut open, mut wrong) = (0, Vec::new());
    for outcome in OUTCOMES.iter() {
        let judged = judged(outcome, Encapsulation::RawIp, &terms);
        match judged.verdict {
            Verdict::Inconclusive => open += 1,
            _ => wrong.extend(difference(outcome, &judged)),
        }
    }
    println!("{open} of {} captures are inconclusive with a skew of {SKEW:?}", OUTCOMES.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn whole_messages_without_packets_get_the_verdict_of_the_run_where_no_connection_breaks() {
    let mut wrong = Vec::new();
    let mut judged_here = 0;
    for outcome in OUTCOMES.iter().filter(|outcome| !breaks(outcome)) {
        judged_here += 1;
        wrong.extend(difference(outcome, &judged(outcome, Encapsulation::UpperPdu, &Terms::default())));
    }
    println!("{judged_here} of {} scenarios break no connection", OUTCOMES.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a connection is lost, which link type 252 cannot tell.
fn breaks(outcome: &Outcome) -> bool {
    outcome.trace.events.iter().any(|event| matches!(event.kind, Kind::Closed { how: Closure::Reset, .. }))
}
