//! What is run: which scenarios, in which variants, in which order, under which seeds, on how many
//! cores.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use super::select::Selector;
use crate::ids::Ids;
use crate::judge::outcome::{Omission, Outcome, Skip};
use crate::suite::Suite;
use crate::suite::diagnostics::nearest;
use crate::suite::scenario::{Scenario, Variant};

/// What the command line selects.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Selectors with the text they were written as; none: every scenario.
    pub wanted: Vec<(String, Selector)>,
    /// What is taken away again.
    pub skipped: Vec<(String, Selector)>,
}

/// A selector that matches nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unmatched {
    /// As it was written.
    pub text: String,
    /// Names that look like it.
    pub similar: Vec<String>,
    /// How many scenarios there are.
    pub loaded: usize,
}

/// The scenarios that are meant, and those that were taken away.
#[derive(Clone, Debug, Default)]
pub struct Selected<'s> {
    /// In order of their identifiers.
    pub scenarios: Vec<(&'s Scenario, Vec<&'s Variant>)>,
    /// Why the others of the selection are not among them.
    pub skips: Vec<Skip>,
}

impl Selection {
    /// Whether less than the whole suite is meant.
    pub fn is_filtered(&self) -> bool {
        !self.wanted.is_empty() || !self.skipped.is_empty()
    }

    /// Applies the selection.
    ///
    /// # Errors
    ///
    /// Every selector that matches nothing.
    pub fn apply<'s>(&self, suite: &'s Suite) -> Result<Selected<'s>, Vec<Unmatched>> {
        let catalogue = |id: &str| suite.catalogue.get(id);
        let fits = |selector: &Selector, scenario: &Scenario| selector.fits(scenario, &catalogue);
        let unmatched: Vec<Unmatched> = (self.wanted.iter().chain(&self.skipped))
            .filter(|(_, selector)| !suite.scenarios.iter().any(|scenario| fits(selector, scenario)))
            .map(|(text, _)| unmatched(text, suite))
            .collect();
        if !unmatched.is_empty() {
            return Err(unmatched);
        }
        let mut selected = Selected::default();
        for scenario in &suite.scenarios {
            let wanting: Vec<&Selector> =
                self.wanted.iter().map(|(_, selector)| selector).filter(|selector| fits(selector, scenario)).collect();
            if wanting.is_empty() && !self.wanted.is_empty() {
                continue;
            }
            let variants = scenario
                .variants
                .iter()
                .filter(|variant| wanting.is_empty() || wanting.iter().any(|selector| selector.takes(&variant.name)));
            match self.skipped.iter().find(|(_, selector)| fits(selector, scenario)) {
                Some((text, _)) => selected.skips.push(Skip {
                    name: scenario.id.clone(),
                    why: format!("--skip {text}"),
                    omission: Omission::Skipped,
                }),
                None => selected.scenarios.push((scenario, variants.collect())),
            }
        }
        Ok(selected)
    }
}

fn unmatched(text: &str, suite: &Suite) -> Unmatched {
    let (kind, value) = text.split_once(':').map_or(("", text), |(kind, value)| (kind, value));
    let names: Vec<&str> = match kind {
        "" | "file" => suite.scenarios.iter().map(|scenario| scenario.id.as_str()).collect(),
        "tag" => suite.scenarios.iter().flat_map(|scenario| scenario.tags.iter().map(String::as_str)).collect(),
        "req" => suite.catalogue.requirements.iter().map(|requirement| requirement.id.as_str()).collect(),
        "clause" => suite.catalogue.requirements.iter().map(|requirement| requirement.clause.as_str()).collect(),
        _ => Vec::new(),
    };
    let bare = value.trim_matches('*');
    let mut similar: Vec<String> = nearest(bare, names.iter().copied()).into_iter().map(str::to_owned).collect();
    let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let tails: Vec<String> = names.iter().map(|name| last(name)).collect();
    if let Some(near) = nearest(&last(bare), tails.iter().map(String::as_str)) {
        similar.extend(names.iter().filter(|name| last(name) == near).map(|name| (*name).to_owned()));
    }
    similar.extend(names.iter().filter(|name| bare.len() > 2 && name.contains(bare)).map(|name| (*name).to_owned()));
    let mut seen = Vec::new();
    similar.retain(|name| {
        !seen.contains(name) && {
            seen.push(name.clone());
            true
        }
    });
    similar.truncate(5);
    Unmatched { text: text.to_owned(), similar, loaded: suite.scenarios.len() }
}

/// In which order scenarios are run; results are always told in order of identifiers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// By identifier.
    #[default]
    Id,
    /// As the seed shuffles them.
    Random,
}

/// One run of one variant.
#[derive(Clone, Copy, Debug)]
pub struct Job<'s> {
    /// The scenario.
    pub scenario: &'s Scenario,
    /// Its variant.
    pub variant: &'s Variant,
    /// Which repetition, from 1.
    pub repetition: u32,
    /// The seed.
    pub seed: u64,
}

/// Every variant of every scenario, as often as asked. The first repetition has the seed of the
/// run, each further one a seed that derives from it.
pub fn jobs<'s>(scenarios: &[(&'s Scenario, Vec<&'s Variant>)], seed: u64, repeat: u32) -> Vec<Job<'s>> {
    let mut jobs = Vec::new();
    for (scenario, variants) in scenarios {
        for variant in variants {
            for repetition in 1..=repeat.max(1) {
                let seed = if repetition == 1 { seed } else { Ids::new(seed, &format!("repetition {repetition}")).next_u64() };
                jobs.push(Job { scenario, variant, repetition, seed });
            }
        }
    }
    jobs
}

/// How jobs are run.
#[derive(Clone, Copy, Debug)]
pub struct Pool<'a> {
    /// Threads.
    pub threads: NonZeroUsize,
    /// The order in which they begin.
    pub order: Order,
    /// The seed of a random order.
    pub seed: u64,
    /// Stop after so many outcomes that do not pass.
    pub max_fail: Option<usize>,
    /// Set from outside when the run is to stop.
    pub stop: &'a AtomicBool,
}

/// As many threads as there are cores.
pub fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

impl Pool<'_> {
    /// Runs every job and hands over the outcomes in the order of the jobs. Returns how many jobs
    /// were not run because the run was stopped or enough had failed.
    pub fn run(&self, jobs: &[Job<'_>], play: &(dyn Fn(&Job<'_>) -> Outcome + Sync), mut each: impl FnMut(Outcome)) -> usize {
        let queue = self.queue(jobs.len());
        let (next, enough) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel();
        let stopped = || self.stop.load(Ordering::Relaxed) || enough.load(Ordering::Relaxed);
        let mut told = 0;
        std::thread::scope(|scope| {
            for _ in 0..self.threads.get().min(jobs.len()) {
                let sender = sender.clone();
                let (queue, next, stopped) = (&queue, &next, &stopped);
                scope.spawn(move || {
                    while !stopped() {
                        let Some(at) = queue.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                        if sender.send((*at, play(&jobs[*at]))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            told = self.tell_in_order(&receiver, &enough, &mut each);
        });
        jobs.len() - told
    }

    fn tell_in_order(
        &self,
        receiver: &mpsc::Receiver<(usize, Outcome)>,
        enough: &AtomicBool,
        each: &mut impl FnMut(Outcome),
    ) -> usize {
        let (mut early, mut told, mut failed) = (BTreeMap::new(), 0, 0);
        for (at, outcome) in receiver {
            early.insert(at, outcome);
            while let Some(outcome) = early.remove(&told) {
                if enough.load(Ordering::Relaxed) {
                    return told;
                }
                failed += usize::from(outcome.gate.fails());
                each(outcome);
                told += 1;
                if self.max_fail.is_some_and(|most| failed >= most) {
                    enough.store(true, Ordering::Relaxed);
                }
            }
        }
        if enough.load(Ordering::Relaxed) {
            return told;
        }
        // A random order that was interrupted leaves gaps.
        let rest = early.len();
        early.into_values().for_each(each);
        told + rest
    }

    fn queue(&self, length: usize) -> Vec<usize> {
        let mut queue: Vec<usize> = (0..length).collect();
        if self.order == Order::Random {
            let mut ids = Ids::new(self.seed, "order");
            for at in (1..queue.len()).rev() {
                let other = usize::try_from(ids.below(at as u64 + 1)).unwrap_or(0);
                queue.swap(at, other);
            }
        }
        queue
    }
}
