//! Has one variant of one scenario played and judged, and says what became of it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::block::Land;
use super::foreign::Foreign;
use super::ground::Ground;
use super::plan::{Job, Selected};
use super::play::{Played, Player};
use super::tamper::{Bitten, Tampering};
use super::target::{Case, Target, restarts};
use super::world::{Pace, World};
use crate::endpoint::Timing;
use crate::judge::expect::Plan;
use crate::judge::outcome::{Comparison, FailOn, Outcome, RuleState, Skip, gate_of};
use crate::judge::verdict::verdict_of;
use crate::judge::{self, Judge};
use crate::pattern::Names;
use crate::pattern::ast::{Condition, Role};
use crate::suite::Suite;
use crate::suite::scenario::Scenario;
use crate::suite::targets::Pics;
use crate::trace::Header;
use crate::trace::correlate::Facts;
use crate::trace::event::Party;
use crate::trace::parity::Parity;
use crate::trace::snapshot::Snapshot;

/// How close two events on different sockets may come before their order tells nothing.
const SKEW: Duration = Duration::from_millis(20);

/// How late something may be in real time before it is more than the machine's fault.
const LATE: Duration = Duration::from_secs(1);

/// How long actors go on after the script in real time.
const REST: Duration = Duration::from_secs(2);

/// What real time adds to the judge's patience; `speed` is `None` where time is virtual.
pub fn patience(speed: Option<f64>) -> judge::Setup {
    let Some(speed) = speed else { return judge::Setup::default() };
    judge::Setup { skew: SKEW.mul_f64(speed), late: LATE.mul_f64(speed), ..judge::Setup::default() }
}

/// What the runs of one variant of a scenario have in common, made when it is played first.
struct Prepared<'a> {
    scenario: &'a Scenario,
    variant: &'a str,
    ground: OnceLock<Arc<Ground>>,
    plan: OnceLock<Arc<Plan<'a>>>,
    opening: OnceLock<judge::Opening>,
}

/// What is common to all scenarios of a run.
pub struct Course<'a> {
    pub(super) suite: &'a Suite,
    policy: &'a BTreeMap<String, String>,
    pub(super) scale: f64,
    fail_on: FailOn,
    compare: bool,
    target: Target<'a>,
    pics: Option<&'a Pics>,
    speed: f64,
    pub(super) names: Names,
    pub(super) judge: Judge,
    /// Every variant of the suite, in the order of scenarios and variants.
    prepared: Vec<Prepared<'a>>,
}

/// What the command line decides about a [`Course`].
#[derive(Clone, Copy, Debug)]
pub struct Choices<'a> {
    /// Knobs turned on top of what suite and scenario say.
    pub policy: &'a BTreeMap<String, String>,
    /// `--timeout-scale`.
    pub scale: f64,
    /// What fails.
    pub fail_on: FailOn,
    /// Whether traces are compared with the stored ones.
    pub compare: bool,
    /// Against whom.
    pub target: Target<'a>,
    /// What the IUT claims, if that is told.
    pub pics: Option<&'a Pics>,
    /// How much faster than the clock on the wall a run on sockets goes.
    pub speed: f64,
}

impl<'a> Choices<'a> {
    /// The usual course in the simulator; traces are not compared.
    pub const fn in_the_simulator(policy: &'a BTreeMap<String, String>) -> Self {
        Self { policy, scale: 1.0, fail_on: FailOn::Shall, compare: false, target: Target::Reference, pics: None, speed: 1.0 }
    }
}

impl Prepared<'_> {
    fn key(&self) -> (&str, &str) {
        (&self.scenario.id, self.variant)
    }
}

impl<'a> Course<'a> {
    /// Prepares what all scenarios share: names and the judge.
    pub fn new(suite: &'a Suite, choices: Choices<'a>) -> Self {
        let names = super::ground::names(&suite.defaults);
        let speed = (!choices.target.is_simulated()).then_some(choices.speed);
        let setup = judge::Setup { scale: choices.scale, ..patience(speed) };
        let judge = Judge::new(&suite.catalogue.requirements, names.clone(), setup);
        let Choices { policy, scale, fail_on, compare, target, pics, speed } = choices;
        let variants = |scenario: &'a Scenario| scenario.variants.iter().map(move |variant| (scenario, variant));
        let prepared = suite.scenarios.iter().flat_map(variants);
        let prepared = prepared.map(|(scenario, variant)| {
            let (ground, plan, opening) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
            Prepared { scenario, variant: &variant.name, ground, plan, opening }
        });
        let mut prepared: Vec<_> = prepared.collect();
        prepared.sort_by(|one, two| one.key().cmp(&two.key()));
        Self { suite, policy, scale, fail_on, compare, target, pics, speed, names, judge, prepared }
    }

    /// The suite.
    pub fn suite(&self) -> &'a Suite {
        self.suite
    }

    /// Plays a job. A panic of ours becomes an outcome of verdict error.
    pub fn play(&self, job: &Job<'_>) -> Outcome {
        self.attempt(job, None)
    }

    /// Plays a job while the link alters what the IUT sends. Also tells whether the case had its
    /// occasion.
    pub fn play_tampered(&self, job: &Job<'_>, tampering: Tampering) -> (Outcome, bool) {
        let bitten = Bitten::default();
        let outcome = self.attempt(job, Some((tampering, Bitten::clone(&bitten))));
        (outcome, bitten.load(std::sync::atomic::Ordering::Relaxed))
    }

    fn attempt(&self, job: &Job<'_>, tampering: Option<(Tampering, Bitten)>) -> Outcome {
        let attempt = std::panic::AssertUnwindSafe(|| Player::new(self, job, tampering).map(Player::play));
        match std::panic::catch_unwind(attempt) {
            Ok(Ok(played)) => self.outcome(job, played),
            Ok(Err(why)) => self.outcome(job, Played::denied(self.header(job), &why)),
            Err(cause) => self.outcome(job, Played::broken(self.header(job), &message_of(&*cause))),
        }
    }

    /// How long the actors go on after the script when the scenario does not say.
    pub(super) fn usual_settle(&self, timing: Timing) -> Duration {
        if self.rests_briefly() { REST.mul_f64(self.speed) } else { timing.t1 * 64 }
    }

    /// How late something may be through the fault of the machine.
    pub(super) fn late(&self) -> Duration {
        if self.target.is_simulated() { Duration::ZERO } else { LATE.mul_f64(self.speed) }
    }

    /// Whether the judged part ends as soon as nothing is owed any more: where time is real.
    pub(super) fn rests_briefly(&self) -> bool {
        !self.target.is_simulated()
    }

    /// What the runs of a variant have in common. A scenario that is not of the suite is
    /// looked at anew each time.
    fn prepared(&self, job: &Job<'_>) -> Option<&Prepared<'a>> {
        let wanted = (job.scenario.id.as_str(), job.variant.name.as_str());
        let at = self.prepared.binary_search_by(|known| known.key().cmp(&wanted)).ok()?;
        Some(&self.prepared[at]).filter(|known| std::ptr::eq(known.scenario, job.scenario))
    }

    /// The ground of a job in the simulator.
    pub(super) fn ground(&self, job: &Job<'_>) -> Arc<Ground> {
        let make = || Arc::new(Ground::of(&self.suite.defaults, job.scenario, &self.policy(job)));
        self.prepared(job).map_or_else(make, |known| Arc::clone(known.ground.get_or_init(make)))
    }

    /// The flow of a job, whose trace will have this header. One in which nothing races is compiled
    /// once for all seeds.
    pub(super) fn plan<'j>(&self, job: &Job<'j>, header: &Header) -> Arc<Plan<'j>>
    where
        'a: 'j,
    {
        let holds = |condition: &Condition| judge::holds(condition, header);
        let anew = || Arc::new(Plan::of(job.scenario, &holds, job.seed));
        let Some(known) = self.prepared(job) else { return anew() };
        let plan = known.plan.get_or_init(|| Arc::new(Plan::of(known.scenario, &holds, job.seed)));
        if plan.is_drawn() { anew() } else { Arc::clone(plan) as Arc<Plan<'j>> }
    }

    /// The court as a job of this header begins. Only in the simulator every run has the same addresses.
    pub(super) fn session(&self, job: &Job<'_>, header: &Header) -> judge::Session<'_> {
        match self.prepared(job).filter(|_| matches!(self.target, Target::Reference)) {
            Some(known) => self.judge.begin(known.opening.get_or_init(|| self.judge.opening(header))),
            None => self.judge.session(header),
        }
    }

    /// The world of a job, and the ground on which it stands.
    ///
    /// # Errors
    ///
    /// What the machine denies.
    pub(super) fn world(&self, job: &Job<'_>) -> Result<(World, Arc<Ground>), String> {
        match self.target {
            Target::Reference => {
                let ground = self.ground(job);
                Ok((World::build(&ground, job.seed), ground))
            }
            Target::Own(transport) => {
                let policy = self.policy(job);
                let make = |land| Ground::at(land, &self.suite.defaults, job.scenario, &policy).over(transport);
                let pace = Pace { speed: self.speed, restarts: restarts(&job.scenario.flow) };
                let (world, ground) = World::on_sockets(make, job.seed, pace)?;
                Ok((world, Arc::new(ground)))
            }
            Target::Foreign(foreign) => self.around(foreign, job),
        }
    }

    /// The world of a job around an implementation that is not ours, once that is in its first state.
    fn around(&self, foreign: &Foreign, job: &Job<'_>) -> Result<(World, Arc<Ground>), String> {
        let policy = self.policy(job);
        let ground = Ground::at(Land::Told(&foreign.target.addresses), &self.suite.defaults, job.scenario, &policy);
        let Timing { t1, t2, t4 } = ground.timing;
        let told = &foreign.target.timers;
        let timing = Timing { t1: told.t1.unwrap_or(t1), t2: told.t2.unwrap_or(t2), t4: told.t4.unwrap_or(t4) };
        let ground = ground.over(foreign.transport()).timed(timing).with_pf_at(foreign.reach.address);
        foreign.prepare(&self.turned(job))?;
        let world = World::around(foreign, &ground, self.ids(job))?;
        Ok((world, Arc::new(ground)))
    }

    /// The knobs that a variant turns otherwise than the target has them.
    fn turned(&self, job: &Job<'_>) -> BTreeMap<String, String> {
        let own = self.own_policy();
        let has = |name: &str| own.get(name).map(String::as_str).or_else(|| crate::policy::knob(name).map(|knob| knob.default));
        let differs = |name: &str, value: &str| !has(name).is_some_and(|has| crate::policy::same(has, value));
        let turned = job.variant.policy.iter().filter(|(name, value)| differs(name, value));
        turned.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The seed of identifiers in a job. An IUT that lives on must not see the same ones twice.
    pub(super) fn ids(&self, job: &Job<'_>) -> u64 {
        match self.target {
            Target::Reference | Target::Own(_) => job.seed,
            Target::Foreign(foreign) => {
                let name = format!("{}@{} {}", job.scenario.id, job.variant.name, job.repetition);
                foreign.seed(job.seed, &name)
            }
        }
    }

    /// Takes out what the target rules out, and says why.
    pub fn rule_out(&self, selected: &mut Selected<'a>) {
        for (scenario, variants) in &mut selected.scenarios {
            variants.retain(|variant| {
                let policy = variant.policy.iter().chain(self.policy);
                let policy = policy.map(|(name, value)| (name.clone(), value.clone())).collect();
                let usual = &self.suite.defaults.policy;
                let case = Case { scenario, turned: &policy, usual, pics: self.pics, speed: self.speed };
                let excuse = self.target.excuse(&case);
                let name = if variant.name.is_empty() { scenario.id.clone() } else { format!("{}@{}", scenario.id, variant.name) };
                let skip = |(omission, why): &(_, String)| Skip { name: name.clone(), why: why.clone(), omission: *omission };
                selected.skips.extend(excuse.iter().map(skip));
                excuse.is_none()
            });
        }
        selected.scenarios.retain(|(_, variants)| !variants.is_empty());
    }

    /// The knobs of a job: the suite's, then the scenario's, then the command line's.
    fn policy(&self, job: &Job<'_>) -> BTreeMap<String, String> {
        let mut policy = self.own_policy();
        policy.extend(job.variant.policy.clone());
        policy.extend(self.policy.clone());
        policy
    }

    /// What holds of the IUT whatever is run.
    fn own_policy(&self) -> BTreeMap<String, String> {
        let mut policy = self.suite.defaults.policy.clone();
        policy.extend(self.pics.into_iter().flat_map(|pics| pics.policies.clone()));
        policy
    }

    pub(super) fn header(&self, job: &Job<'_>) -> Header {
        Header {
            scenario: job.scenario.id.clone(),
            variant: job.variant.name.clone(),
            seed: job.seed,
            iut: Party::new(Role::Pf, "pf"),
            virtual_clock: self.target.is_simulated(),
            pics: self.pics.map(Pics::claimed).unwrap_or_default(),
            ..Header::default()
        }
    }

    fn outcome(&self, job: &Job<'_>, played: Played) -> Outcome {
        let Played { trace, mut findings, misses, ignored, steps, judgement, clean_up, took } = played;
        let (mut rules, mut facts) = (BTreeMap::new(), Vec::new());
        if let Some(judgement) = judgement {
            findings.extend(judgement.claims(job.scenario.requirements.iter().map(String::as_str)));
            let states = judgement.requirements.iter().map(|requirement| (requirement, state(requirement.outcome())));
            let triggered = states.filter(|(_, state)| *state != RuleState::NotTriggered);
            rules.extend(triggered.map(|(requirement, state)| (requirement.id.to_string(), state)));
            findings.extend(judgement.findings);
            facts = judgement.facts;
        }
        let gate = gate_of(&findings, self.fail_on);
        let mut outcome = Outcome {
            scenario: job.scenario.id.clone(),
            variant: job.variant.name.clone(),
            repetition: job.repetition,
            seed: job.seed,
            draft: job.scenario.draft,
            requirements: job.scenario.requirements.clone(),
            verdict: verdict_of(&findings, self.fail_on != FailOn::Shall),
            gate,
            findings,
            misses,
            rules,
            ignored,
            steps,
            comparison: Comparison::Skipped,
            clean_up,
            trace,
            took,
            expected: None,
            remark: String::new(),
        };
        if self.compare && job.repetition == 1 && gate.passes() {
            outcome.comparison = self.compared(&outcome, &facts);
        }
        outcome
    }

    /// How the trace of a run on sockets compares with the accepted one of the simulator; `None`
    /// where there is nothing to compare.
    pub fn parity(&self, outcome: &Outcome) -> Option<Parity> {
        if self.target.is_simulated() || !outcome.gate.passes() {
            return None;
        }
        let accepted = Snapshot::parse(self.suite.sources.others.get(&format!("{}.snap", outcome.name()))?)?;
        Some(Parity::of(&accepted.content, &Snapshot::of(&outcome.trace, "", "").content))
    }

    fn compared(&self, outcome: &Outcome, facts: &[Facts]) -> Comparison {
        let scenario = self.suite.scenario(&outcome.scenario);
        let title = scenario.map_or("", |scenario| scenario.title.as_str());
        let new = Snapshot::knowing(facts, &outcome.trace, &format!("{}.yaml", outcome.scenario), title);
        let Some(text) = self.suite.sources.others.get(&format!("{}.snap", outcome.name())) else {
            return Comparison::New(new.to_file());
        };
        match Snapshot::parse(text) {
            Some(old) if old.matches(&new) => Comparison::Same,
            _ => Comparison::Changed { old: text.clone(), new: new.to_file() },
        }
    }
}

const fn state(outcome: judge::Outcome) -> RuleState {
    match outcome {
        judge::Outcome::NotTriggered => RuleState::NotTriggered,
        judge::Outcome::Pending => RuleState::Pending,
        judge::Outcome::Satisfied => RuleState::Satisfied,
        judge::Outcome::Violated => RuleState::Violated,
    }
}

fn message_of(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}
