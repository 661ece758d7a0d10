//! A whole suite measured: every scenario played once, every tamper case tried.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use super::execute::{Choices, Course};
use super::plan::{Order, Pool, Selection, cores, jobs};
use super::selftest::{proofs, tamper, trials};
use crate::judge::coverage;
use crate::judge::outcome::Outcome;
use crate::judge::revision::Revision;
use crate::suite::Suite;

/// How a suite is measured.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Knobs turned on top of what suite and scenarios say.
    pub policy: &'a BTreeMap<String, String>,
    /// The seed of everything random; `None`: the suite's.
    pub seed: Option<u64>,
    /// Whether tamper cases are tried; without them nothing is proven.
    pub tamper: bool,
}

/// Plays the suite against the reference PF and weighs what came of it.
pub fn measure<'s>(suite: &'s Suite, label: &str, terms: Terms<'_>) -> Revision<'s> {
    let course = Course::new(suite, Choices::in_the_simulator(terms.policy));
    let stop = AtomicBool::new(false);
    let seed = terms.seed.unwrap_or(suite.defaults.seed);
    let pool = Pool { threads: cores(), order: Order::Id, seed, max_fail: None, stop: &stop };
    let selected = Selection::default().apply(suite).unwrap_or_default();
    let jobs = jobs(&selected.scenarios, seed, 1);
    let mut outcomes: Vec<Outcome> = Vec::new();
    pool.run(&jobs, &|job| course.play(job), |outcome| outcomes.push(outcome));
    let mut trials = if terms.tamper { trials(suite) } else { Vec::new() };
    tamper(&course, &mut trials, &pool, &|| {});
    let missed = trials.iter().filter(|trial| !trial.is_caught());
    Revision {
        label: label.to_owned(),
        suite,
        coverage: coverage::measure(suite, &outcomes, &proofs(&trials)),
        missed: missed.map(|trial| (trial.requirement.id.clone(), trial.case.name.clone())).collect(),
        outcomes,
    }
}
