//! `cpmcheck trace show|export|check`: look at a stored run, take it elsewhere, or judge it again.

mod export;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::load::{Loaded, SuiteArgs, count};
use super::{Console, Exit};
use crate::judge::outcome::Outcome;
use crate::judge::verdict::{Finding, Verdict, verdict_of};
use crate::judge::{Judge, Setup};
use crate::report::escape::visible;
use crate::report::jsonl::{Stored, StoredOutcome, read};
use crate::report::ladder as render;
use crate::run::execute::{Choices, Course, patience};
use crate::run::plan::Job;
use crate::suite::Suite;
use crate::trace::Trace;

/// `trace`.
#[derive(clap::Subcommand, Debug)]
pub(super) enum Command {
    /// Show the ladder of a stored trace, or of a scenario that is played for it
    Show(ShowArgs),
    /// Write a trace as a capture, a picture or a diagram
    Export(export::Args),
    /// Judge a stored run again
    Check(CheckArgs),
}

/// Arguments of `trace show`.
#[derive(clap::Args, Debug)]
pub(super) struct ShowArgs {
    /// RUN:SCENARIO of a run file, a run file with one trace, or a scenario
    what: String,
    /// Print whole messages too
    #[arg(short, long)]
    messages: bool,
    /// The seed, when a scenario is played [default: the suite's]
    #[arg(long, value_parser = super::run::seed)]
    seed: Option<u64>,
    #[command(flatten)]
    suite: SuiteArgs,
}

/// Arguments of `trace check`.
#[derive(clap::Args, Debug)]
pub(super) struct CheckArgs {
    /// A run file, or RUN:SCENARIO
    what: String,
    /// A broken SHOULD fails as a SHALL does
    #[arg(long, env = "CPMCHECK_STRICT", hide_env = true)]
    strict: bool,
    #[command(flatten)]
    suite: SuiteArgs,
}

/// Runs the subcommand.
pub(super) fn run(command: &Command, console: &Console) -> Exit {
    let done = match command {
        Command::Show(args) => show(args, console),
        Command::Export(args) => export::run(args, console),
        Command::Check(args) => check(args, console),
    };
    match done {
        Ok(exit) | Err(exit) => exit,
    }
}

fn show(args: &ShowArgs, console: &Console) -> Result<Exit, Exit> {
    let traces = match stored(&args.what, console)? {
        Some((stored, name)) => traces_of(stored, name.as_deref(), console)?,
        None => vec![played(&args.what, args.seed, &args.suite, console)?.0.trace],
    };
    for trace in &traces {
        let marks = BTreeMap::new();
        let look = render::Look { ascii: console.ascii(), marks: &marks, ignored: &[] };
        let name = trace.header.name();
        console.print(&format!("{}  seed {:#x}\n\n{}", visible(&name), trace.header.seed, render::ladder(trace, &look)));
        if args.messages {
            console.print(&format!("\n{}", render::messages(trace)));
        }
    }
    Ok(Exit::Ok)
}

/// The run file that an argument names, with the scenario in it; `None` when it names no file.
pub(super) fn stored(what: &str, console: &Console) -> Result<Option<(Stored, Option<String>)>, Exit> {
    let (path, name) = match what.rsplit_once(':') {
        Some((path, name)) if Path::new(path).is_file() => (path, Some(name.to_owned())),
        _ if Path::new(what).is_file() => (what, None),
        _ => return Ok(None),
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        console.talk(&format!("error[E0703]: {path} cannot be read: {error}\n"));
        Exit::Input
    })?;
    let stored = read(&text).map_err(|fault| {
        console.talk(&format!("error[R0001]: {path} is no run file: {fault}\n"));
        Exit::Input
    })?;
    Ok(Some((stored, name)))
}

fn traces_of(stored: Stored, name: Option<&str>, console: &Console) -> Result<Vec<Trace>, Exit> {
    Ok(kept(stored, name, console)?.into_iter().filter_map(|outcome| outcome.trace).collect())
}

/// The outcomes that have a trace, and of these the named one.
fn kept(stored: Stored, name: Option<&str>, console: &Console) -> Result<Vec<StoredOutcome>, Exit> {
    let kept: Vec<StoredOutcome> = stored.outcomes.into_iter().filter(|outcome| outcome.trace.is_some()).collect();
    let names: Vec<String> = kept.iter().map(StoredOutcome::name).collect();
    let found: Vec<StoredOutcome> = kept.into_iter().filter(|outcome| name.is_none_or(|name| outcome.name() == name)).collect();
    if found.is_empty() {
        let known = if names.is_empty() { "none; run with --trace on".to_owned() } else { names.join(", ") };
        console.talk(&format!("error[U0010]: the run file keeps no such trace\n   = kept        {known}\n"));
        return Err(Exit::Usage);
    }
    Ok(found)
}

/// Plays a scenario; returns its outcome and the suite that it is of.
fn played(what: &str, seed: Option<u64>, suite: &SuiteArgs, console: &Console) -> Result<(Outcome, Suite), Exit> {
    let Loaded { suite, .. } = suite.load(console)?;
    let (id, wanted) = what.split_once('@').unwrap_or((what, ""));
    let found = suite.scenario(id).and_then(|scenario| {
        let variant = scenario
            .variants
            .iter()
            .find(|variant| variant.name == wanted)
            .or(scenario.variants.first().filter(|_| wanted.is_empty()))?;
        Some((scenario, variant))
    });
    let Some((scenario, variant)) = found else {
        let near = crate::suite::diagnostics::nearest(id, suite.scenarios.iter().map(|scenario| scenario.id.as_str()));
        let hint = near.map_or_else(String::new, |near| format!("   = similar     {near}\n"));
        console.talk(&format!("error[U0010]: `{what}` is neither a run file nor a scenario\n{hint}"));
        return Err(Exit::Usage);
    };
    let none = BTreeMap::new();
    let course = Course::new(&suite, Choices::in_the_simulator(&none));
    let seed = seed.unwrap_or(suite.defaults.seed);
    let outcome = course.play(&Job { scenario, variant, repetition: 1, seed });
    Ok((outcome, suite))
}

fn check(args: &CheckArgs, console: &Console) -> Result<Exit, Exit> {
    let Some((stored, name)) = stored(&args.what, console)? else {
        console.talk(&format!("error[U0010]: `{}` is no run file\n", args.what));
        return Err(Exit::Usage);
    };
    let Loaded { suite, .. } = args.suite.load(console)?;
    Ok(judge_stored(&stored, name.as_deref(), &suite, Manner { strict: args.strict, skew: None }, console))
}

/// How a run file is judged again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Whether a broken SHOULD fails as a SHALL does.
    pub(super) strict: bool,
    /// The skew, in place of what was played by.
    pub(super) skew: Option<Duration>,
}

/// Judges the traces of a run file, or the named one, by the present catalogue.
pub(super) fn judge_stored(stored: &Stored, name: Option<&str>, suite: &Suite, manner: Manner, console: &Console) -> Exit {
    let Manner { strict, skew } = manner;
    let complete = stored.complete;
    if !stored.suite_hash.is_empty() && stored.suite_hash != super::reporters::suite_hash(suite) {
        console.talk("note: the run was made with another text of the suite; it is judged by the present one\n");
    }
    let usual = patience(stored.speed);
    let setup = Setup { skew: skew.unwrap_or(usual.skew), ..usual };
    let judge = Judge::new(&suite.catalogue.requirements, crate::run::names(&suite.defaults), setup);
    let mut worst = Verdict::None;
    let mut judged = 0;
    for outcome in stored.outcomes.iter().filter(|outcome| name.is_none_or(|name| outcome.name() == name)) {
        let Some(trace) = &outcome.trace else { continue };
        judged += 1;
        let judgement = judge.judge(trace);
        let mut findings = judgement.claims(outcome.requirements.iter().map(String::as_str));
        findings.extend(judgement.findings);
        let verdict = verdict_of(&findings, strict);
        worst = worst.and(verdict);
        console.print(&format!("{verdict:<12} {}\n", visible(&outcome.name())));
        print_findings(&findings, strict, console);
    }
    let apart = if setup.skew.is_zero() { String::new() } else { format!(" with a skew of {:?}", setup.skew) };
    console.talk(&format!(
        "{} judged by rules and invariants{apart}; expectations are judged only while a scenario runs\n",
        count(judged, "trace")
    ));
    verdict_exit(worst, judged, complete, console)
}

/// Prints what makes a verdict worse than pass.
pub(super) fn print_findings(findings: &[Finding], strict: bool, console: &Console) {
    for finding in findings.iter().filter(|finding| finding.verdict(strict) > Verdict::Pass || strict) {
        let event = finding.event.map(|event| format!(" at #{event}")).unwrap_or_default();
        console.print(&format!(
            "  {} {}{event}: expected {}, observed {}\n",
            finding.kind,
            visible(&finding.id),
            visible(&finding.expected),
            visible(&finding.observed)
        ));
    }
}

/// What verdicts add up to.
pub(super) fn verdict_exit(worst: Verdict, judged: usize, complete: bool, console: &Console) -> Exit {
    let exit = match worst {
        Verdict::Fail => Exit::Conformance,
        Verdict::Error => Exit::Environment,
        Verdict::Inconclusive => Exit::Incomplete,
        Verdict::None | Verdict::Pass if judged == 0 => Exit::NoTests,
        Verdict::None | Verdict::Pass => Exit::Ok,
    };
    if complete {
        return exit;
    }
    console.talk("error[R0002]: the file was cut off, or says itself that it is not complete\n");
    exit.and(Exit::Incomplete)
}
