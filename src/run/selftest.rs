//! The checker checks itself: every tamper case must be caught by the rule of its own requirement,
//! a run with one seed must repeat itself byte for byte, and another order must change nothing.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::execute::Course;
use super::plan::{Job, Pool};
use super::tamper::Tampering;
use crate::judge::coverage::Proofs;
use crate::judge::outcome::{Outcome, RuleState};
use crate::suite::Suite;
use crate::suite::catalogue::{Requirement, Tamper};

/// What became of one tamper case in one scenario.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Result {
    /// The message that it alters never came.
    NotReached,
    /// The rule of the requirement did not notice.
    Missed,
    /// The rule of the requirement failed the run.
    Caught,
}

/// One tamper case.
#[derive(Clone, Debug)]
pub struct Trial<'s> {
    /// The requirement whose rule has to notice.
    pub requirement: &'s Requirement,
    /// The case.
    pub case: &'s Tamper,
    /// What became of it in each covering scenario, in order.
    pub results: Vec<(String, Result)>,
    /// The run that it spoilt: the one that was caught, else the last that was not.
    pub spoilt: Option<Box<Outcome>>,
}

impl Trial<'_> {
    /// Caught in some covering scenario.
    pub fn is_caught(&self) -> bool {
        self.results.iter().any(|(_, result)| *result == Result::Caught)
    }

    /// Where it had its occasion and the rule did not notice.
    pub fn missed(&self) -> impl Iterator<Item = &str> {
        self.results.iter().filter(|(_, result)| *result == Result::Missed).map(|(name, _)| name.as_str())
    }
}

/// Every tamper case of every requirement that a scenario lists.
pub fn trials(suite: &Suite) -> Vec<Trial<'_>> {
    let listed = |id: &str| suite.scenarios.iter().any(|scenario| scenario.requirements.iter().any(|listed| listed == id));
    let covered = suite.catalogue.requirements.iter().filter(|requirement| listed(&requirement.id));
    covered
        .flat_map(|requirement| {
            requirement.tamper.iter().map(move |case| Trial { requirement, case, results: Vec::new(), spoilt: None })
        })
        .collect()
}

/// Tries every case in every covering scenario until one catches it.
pub fn tamper(course: &Course<'_>, trials: &mut [Trial<'_>], pool: &Pool<'_>, done: &(dyn Fn() + Sync)) {
    let seed = pool.seed;
    let next = Mutex::new(trials.iter_mut());
    std::thread::scope(|scope| {
        for _ in 0..pool.threads.get() {
            scope.spawn(|| {
                loop {
                    let taken = next.lock().ok().and_then(|mut trials| trials.next());
                    let Some(trial) = taken else { return };
                    if pool.stop.load(std::sync::atomic::Ordering::Relaxed) {
                        return;
                    }
                    try_case(course, trial, seed);
                    done();
                }
            });
        }
    });
}

fn try_case(course: &Course<'_>, trial: &mut Trial<'_>, seed: u64) {
    let id = &trial.requirement.id;
    let covering = course.suite().scenarios.iter().filter(|scenario| scenario.requirements.contains(id) && !scenario.draft);
    for scenario in covering {
        for variant in &scenario.variants {
            let job = Job { scenario, variant, repetition: 1, seed };
            let (outcome, bitten) = course.play_tampered(&job, Tampering(trial.case.clone()));
            let caught = outcome.rules.get(id) == Some(&RuleState::Violated);
            let result = match (bitten, caught) {
                (_, true) => Result::Caught,
                (true, false) => Result::Missed,
                (false, false) => Result::NotReached,
            };
            trial.results.push((outcome.name(), result));
            if result != Result::NotReached {
                trial.spoilt = Some(Box::new(outcome));
            }
            if caught {
                return;
            }
        }
    }
}

/// What became of the cases of each requirement.
pub fn proofs(trials: &[Trial<'_>]) -> Proofs {
    let mut proofs = BTreeMap::new();
    for trial in trials {
        let entry: &mut (usize, usize) = proofs.entry(trial.requirement.id.clone()).or_default();
        entry.0 += usize::from(trial.is_caught());
        entry.1 += 1;
    }
    proofs
}

/// How two runs of the same jobs differ, by name; none if they do not.
pub fn differences(one: &[Outcome], other: &[Outcome], same: impl Fn(&Outcome, &Outcome) -> bool) -> Vec<String> {
    let differ = one.iter().zip(other).filter(|(one, other)| !same(one, other)).map(|(one, _)| one.name());
    let missing = one.len().abs_diff(other.len());
    differ.chain((missing > 0).then(|| format!("{missing} outcomes are missing"))).collect()
}
