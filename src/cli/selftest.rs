//! `cpmcheck selftest`: the checker checks itself.

use std::sync::atomic::{AtomicBool, Ordering};

use super::load::{Loaded, SuiteArgs, count};
use super::progress::{Bar, Progress};
use super::{Console, Exit};
use crate::judge::outcome::{Exit as Code, Gate, Outcome, Reasons, Totals};
use crate::report::jsonl::{Keep, Opening, Writer};
use crate::report::{junit, ladder, terminal};
use crate::run::execute::{Choices, Course};
use crate::run::plan::{Job, Order, Pool, Selection, cores, jobs};
use crate::run::select::Glob;
use crate::run::selftest::{Trial, differences, tamper, trials};
use crate::suite::load_all;
use crate::suite::source::Sources;

/// Arguments of `selftest`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Try these tamper cases alone and show what they do: DGC-1.2-02, DGC-*/invited-twice
    #[arg(value_name = "CASE")]
    cases: Vec<String>,
    #[command(flatten)]
    suite: SuiteArgs,
    /// Name every tamper case, those that were caught too
    #[arg(short, long, env = "CPMCHECK_VERBOSE", hide_env = true)]
    verbose: bool,
    /// How progress is shown on a terminal
    #[arg(long, value_enum, default_value_t = Progress::Auto, env = "CPMCHECK_PROGRESS", hide_env = true)]
    progress: Progress,
}

/// A scenario that must come out red: it awaits an answer that no PF gives.
const CANARY: &str = "\
title: A canary that has to die, since nobody answers 299
requirements: []
tags: [canary]
actors: { bob: client, core: core }
flow:
  - core -> pf REGISTER: { id: register, use: third-party-register }
  - pf -> core 299: { answers: register }
  - never: { pf -> bob INVITE: {} }
    for: 1s
";

/// Runs every check.
pub(super) fn run(args: &Args, console: &Console) -> Exit {
    let loaded = match args.suite.load(console) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let none = std::collections::BTreeMap::new();
    let choices = Choices::in_the_simulator(&none);
    let course = Course::new(&loaded.suite, choices);
    let stop = AtomicBool::new(false);
    let pool = Pool { threads: cores(), order: Order::Id, seed: loaded.suite.defaults.seed, max_fail: None, stop: &stop };
    let check = Check { args, console, loaded: &loaded, course: &course, pool };
    if !args.cases.is_empty() {
        return check.chosen();
    }
    let results = [check.canary(), check.control(), check.determinism(), check.order(), check.tamper()];
    let failed = results.iter().filter(|passed| !**passed).count();
    console.print(&format!("\n{} passed, {failed} failed\n", results.len() - failed));
    if failed > 0 { Exit::Conformance } else { Exit::Ok }
}

struct Check<'a> {
    args: &'a Args,
    console: &'a Console,
    loaded: &'a Loaded,
    course: &'a Course<'a>,
    pool: Pool<'a>,
}

impl Check<'_> {
    fn say(&self, passed: bool, name: &str, text: &str) -> bool {
        let gate = if passed { Gate::Pass } else { Gate::Fail };
        self.console.print(&format!("  {} {name:<12} {text}\n", crate::report::style::of_gate(gate, format!("{gate:<6}"))));
        passed
    }

    fn outcomes(&self, jobs: &[Job<'_>], pool: Pool<'_>) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(jobs.len());
        pool.run(jobs, &|job| self.course.play(job), |outcome| outcomes.push(outcome));
        outcomes
    }

    fn jobs(&self) -> Vec<Job<'_>> {
        let selected = Selection::default().apply(&self.loaded.suite).unwrap_or_default();
        jobs(&selected.scenarios, self.pool.seed, 1)
    }

    /// A scenario that has to fail must be red in everything that reports.
    fn canary(&self) -> bool {
        let (red, why) = self.canary_is_red();
        self.say(red, "canary", &why)
    }

    fn canary_is_red(&self) -> (bool, String) {
        let sources = &self.loaded.suite.sources;
        let mut texts: Vec<(&str, &str)> = sources
            .files
            .iter()
            .filter(|file| !file.path.contains('/') || file.path.starts_with("flows/"))
            .map(|file| (file.path.as_str(), file.text.as_str()))
            .collect();
        texts.push(("canary/canary.yaml", CANARY));
        let suite = load_all(Sources::of_texts("canary", texts)).suite;
        let Some(scenario) = suite.scenario("canary/canary") else { return (false, "the canary could not be read".to_owned()) };
        let none = std::collections::BTreeMap::new();
        let choices = Choices::in_the_simulator(&none);
        let course = Course::new(&suite, choices);
        let job = Job { scenario, variant: &scenario.variants[0], repetition: 1, seed: suite.defaults.seed };
        let outcome = course.play(&job);
        let mut totals = Totals::default();
        totals.count(&outcome);
        let reasons = Reasons::of(&totals);
        let xml = junit::render(std::slice::from_ref(&outcome), &[], job.seed, "reference").unwrap_or_default();
        let lines = run_file(std::slice::from_ref(&outcome), &suite.sources, job.seed);
        let reports = [
            ("verdict", outcome.gate == Gate::Fail),
            ("exit code", reasons.exit() == Code::Conformance),
            ("terminal", terminal::line(&outcome).contains("FAIL") && totals.last_line() == "0 passed, 1 failed"),
            ("junit", xml.contains("<failure")),
            ("run file", lines.contains("\"gate\":\"FAIL\"")),
        ];
        let green: Vec<&str> = reports.iter().filter(|(_, red)| !red).map(|(name, _)| *name).collect();
        if green.is_empty() {
            (true, "red in every report".to_owned())
        } else {
            (false, format!("not red in {}", green.join(", ")))
        }
    }

    /// Without tampering everything passes: else a caught case would prove nothing.
    fn control(&self) -> bool {
        let outcomes = self.outcomes(&self.jobs(), self.pool);
        let red: Vec<String> =
            outcomes.iter().filter(|outcome| !outcome.gate.passes() && !outcome.draft).map(Outcome::name).collect();
        let text = if red.is_empty() { format!("{} pass untouched", count(outcomes.len(), "run")) } else { red.join(", ") };
        self.say(red.is_empty(), "control", &text)
    }

    /// One seed, one run file.
    fn determinism(&self) -> bool {
        let jobs = self.jobs();
        let (one, two) = (self.outcomes(&jobs, self.pool), self.outcomes(&jobs, self.pool));
        let sources = &self.loaded.suite.sources;
        let same = run_file(&one, sources, self.pool.seed) == run_file(&two, sources, self.pool.seed);
        let differ = differences(&one, &two, |one, two| one.trace == two.trace && one.findings == two.findings);
        let text = if same && differ.is_empty() {
            format!("{} twice, byte for byte", count(one.len(), "run"))
        } else {
            format!("differ: {}", differ.join(", "))
        };
        self.say(same && differ.is_empty(), "determinism", &text)
    }

    /// Another order, and one thread, change no verdict.
    fn order(&self) -> bool {
        let jobs = self.jobs();
        let one = self.outcomes(&jobs, self.pool);
        let random = Pool { order: Order::Random, threads: std::num::NonZeroUsize::MIN, ..self.pool };
        let two = self.outcomes(&jobs, random);
        let differ = differences(&one, &two, |one, two| one.gate == two.gate && one.verdict == two.verdict);
        let text =
            if differ.is_empty() { "random order, same verdicts".to_owned() } else { format!("differ: {}", differ.join(", ")) };
        self.say(differ.is_empty(), "order", &text)
    }

    /// The chosen cases, each with the ladder of the run that it spoilt.
    fn chosen(&self) -> Exit {
        let named = |trial: &Trial<'_>, text: &String| {
            let (id, name) = text.split_once('/').unwrap_or((text, "*"));
            Glob::new(id).fits(&trial.requirement.id) && Glob::new(name).fits(&trial.case.name)
        };
        let all = trials(&self.loaded.suite);
        if let Some(text) = self.args.cases.iter().find(|text| !all.iter().any(|trial| named(trial, text))) {
            self.console
                .talk(&format!("error[U0004]: `{text}` matches no tamper case of a covered requirement ({} known)\n", all.len()));
            return Exit::Usage;
        }
        let mut chosen: Vec<Trial<'_>> =
            all.into_iter().filter(|trial| self.args.cases.iter().any(|text| named(trial, text))).collect();
        tamper(self.course, &mut chosen, &self.pool, &|| {});
        for trial in &chosen {
            self.console.print(&describe(trial));
            if let Some(spoilt) = &trial.spoilt {
                let marks = crate::report::terminal::marks(spoilt);
                let look = ladder::Look { ascii: self.console.ascii(), marks: &marks, ignored: &[] };
                self.console.print(&format!("\n{}\n{}\n", spoilt.name(), ladder::ladder(&spoilt.trace, &look)));
            }
        }
        let caught = chosen.iter().filter(|trial| trial.is_caught()).count();
        self.console.print(&format!("{caught} of {} caught\n", chosen.len()));
        if caught == chosen.len() { Exit::Ok } else { Exit::Conformance }
    }

    fn tamper(&self) -> bool {
        let mut trials = trials(&self.loaded.suite);
        let bar = Bar::new(self.args.progress, false, self.console, trials.len());
        let done = std::sync::atomic::AtomicUsize::new(0);
        tamper(self.course, &mut trials, &self.pool, &|| {
            bar.tell(done.fetch_add(1, Ordering::Relaxed) + 1, 0, "tamper cases");
        });
        bar.finish();
        let caught = trials.iter().filter(|trial| trial.is_caught()).count();
        for trial in &trials {
            if self.args.verbose || !trial.is_caught() {
                self.console.print(&describe(trial));
            }
        }
        self.say(caught == trials.len(), "tamper", &format!("{caught} of {} caught", trials.len()))
    }
}

fn describe(trial: &Trial<'_>) -> String {
    let word = if trial.is_caught() { "caught" } else { "missed" };
    let place = match trial.results.iter().find(|(_, result)| *result == crate::run::selftest::Result::Caught) {
        Some((name, _)) => format!("by {name}"),
        None => {
            let missed: Vec<&str> = trial.missed().collect();
            if missed.is_empty() { "not reached in any covering scenario".to_owned() } else { format!("in {}", missed.join(", ")) }
        }
    };
    format!("    {word}  {} {}  {place}\n", trial.requirement.id, trial.case.name)
}

/// The run file of outcomes, with every trace.
fn run_file(outcomes: &[Outcome], sources: &Sources, seed: u64) -> String {
    let names: Vec<String> = outcomes.iter().map(Outcome::name).collect();
    let opening =
        Opening { title: "selftest", suite_hash: "", selected: &names, seed, target: "reference", speed: None, filtered: false };
    let mut totals = Totals::default();
    outcomes.iter().for_each(|outcome| totals.count(outcome));
    let write = || {
        let mut writer = Writer::begin(Vec::new(), Keep::On, &opening)?;
        outcomes.iter().try_for_each(|outcome| writer.add(outcome, sources))?;
        writer.finish(&totals, &Reasons::of(&totals), true, None)
    };
    write().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
