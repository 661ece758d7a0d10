//! `cpmcheck judge`: findings on captures and run files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::knobs::policies;
use super::load::{Loaded, SuiteArgs, count};
use super::trace::{Manner, judge_stored, print_findings, verdict_exit};
use super::{Console, Exit};
use crate::capture::{self, Assignment};
use crate::judge::verdict::Verdict;
use crate::policy::span;
use crate::report::escape::visible;
use crate::report::json::finding;
use crate::report::jsonl;
use crate::run::field::{Judged, Terms, judge};
use crate::suite::Suite;
use crate::trace::event::Kind;

/// Clocks that are further apart tell nothing at all.
const LARGEST_SKEW: Duration = Duration::from_secs(60);

/// Arguments of `judge`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Captures (pcapng, pcap) and run files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Says what role an address of a capture has; what is not said is guessed, and shown
    #[arg(long, value_name = "ROLE=ADDR[:PORT]")]
    role: Vec<Assignment>,
    /// The value of a knob of what is judged; it goes before what the capture says
    #[arg(long, value_name = "NAME=VALUE", env = "CPMCHECK_POLICY", hide_env = true)]
    policy: Vec<String>,
    /// What is judged claims this
    #[arg(long, value_name = "NAME")]
    pics: Vec<String>,
    /// The scenario that was played, whose claims then count
    #[arg(long, value_name = "ID")]
    scenario: Option<String>,
    /// How far apart events of different connections have an order, up to a minute: `5ms`, `0`
    /// [default: 20ms, 0 for a simulated run]
    #[arg(long, value_name = "TIME", value_parser = skew)]
    skew: Option<Duration>,
    /// A broken SHOULD fails as a SHALL does
    #[arg(long, env = "CPMCHECK_STRICT", hide_env = true)]
    strict: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Pretty, env = "CPMCHECK_FORMAT", hide_env = true)]
    format: Format,
    #[command(flatten)]
    suite: SuiteArgs,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    /// Text for a person
    Pretty,
    /// A JSON object for each capture
    Json,
}

/// Reads a skew; without a unit only none at all is clear.
fn skew(text: &str) -> Result<Duration, String> {
    let bare = text.bytes().all(|byte| byte.is_ascii_digit()) && text != "0";
    let span = span(text).filter(|span| !bare && *span <= LARGEST_SKEW);
    span.ok_or_else(|| "a time of at most a minute with its unit: `5ms`, `1s`".to_owned())
}

/// Judges every file.
pub(super) fn run(args: &Args, console: &Console) -> Exit {
    match judge_all(args, console) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn judge_all(args: &Args, console: &Console) -> Result<Exit, Exit> {
    let Loaded { suite, .. } = args.suite.load(console)?;
    let terms = Terms {
        roles: args.role.clone(),
        policy: policies("--policy", &args.policy, console)?,
        pics: args.pics.iter().cloned().collect(),
        scenario: args.scenario.clone(),
        skew: args.skew,
        strict: args.strict,
    };
    let known = |named: &String| suite.scenario(named.split('@').next().unwrap_or(named)).is_some();
    if let Some(unknown) = args.scenario.as_ref().filter(|named| !known(named)) {
        console.talk(&format!("error[U0010]: `{unknown}` is no scenario\n   = try         cpmcheck list\n"));
        return Err(Exit::Usage);
    }
    let mut worst = Exit::Ok;
    for path in &args.files {
        worst = worst.and(judge_file(path, &suite, &terms, args, console)?);
    }
    Ok(worst)
}

fn judge_file(path: &Path, suite: &Suite, terms: &Terms, args: &Args, console: &Console) -> Result<Exit, Exit> {
    let data = std::fs::read(path).map_err(|error| {
        console.talk(&format!("error[E0703]: {} cannot be read: {error}\n", path.display()));
        Exit::Input
    })?;
    if !capture::is_capture(&data) {
        let stored = std::str::from_utf8(&data)
            .map_err(|_| "it is no text".to_owned())
            .and_then(|text| jsonl::read(text).map_err(|fault| fault.to_string()));
        return match stored {
            Ok(stored) => Ok(judge_stored(&stored, None, suite, Manner { strict: args.strict, skew: args.skew }, console)),
            Err(why) => {
                console.talk(&format!("error[R0003]: {} is neither a capture nor a run file: {why}\n", path.display()));
                Err(Exit::Input)
            }
        };
    }
    let judged = judge(suite, &Bytes::from(data), terms).map_err(|fault| {
        console.talk(&format!("error[R0003]: {} is no capture: {fault}\n", path.display()));
        Exit::Input
    })?;
    match args.format {
        Format::Pretty => show(path, &judged, args.strict, console),
        Format::Json => console.print(&format!("{:#}\n", object(path, &judged))),
    }
    let judged_any = usize::from(judged.verdict != Verdict::None);
    Ok(verdict_exit(judged.verdict, judged_any, judged.imported.trace.complete, console))
}

fn messages(judged: &Judged) -> usize {
    judged.imported.trace.events.iter().filter(|event| matches!(event.kind, Kind::Message { .. })).count()
}

fn show(path: &Path, judged: &Judged, strict: bool, console: &Console) {
    let imported = &judged.imported;
    let header = &imported.trace.header;
    let scenario = if header.scenario.is_empty() { String::new() } else { format!("  {}", visible(&header.name())) };
    console.print(&format!("{:<12} {}{scenario}\n", judged.verdict.name(), path.display()));
    print_findings(&judged.findings, strict, console);
    for line in &imported.roles {
        console.print(&format!("  role        {}\n", visible(line)));
    }
    if imported.roles.iter().any(|line| line.contains("guessed")) {
        console.print("  note        a wrong guess is mended by --role ROLE=ADDR[:PORT]\n");
    }
    for note in &imported.notes {
        console.print(&format!("  note        {}\n", visible(note)));
    }
    if !judged.skew.is_zero() {
        console.print(&format!("  skew        {:?}: events of different connections that are closer have no order\n", judged.skew));
    }
    if !judged.pending.is_empty() {
        console.print(&format!(
            "  open        {} still undecided at the end: {}\n",
            count(judged.pending.len(), "requirement"),
            judged.pending.join(", ")
        ));
    }
    console.print(&format!(
        "  {} in {} s; {} satisfied; judged by rules and invariants\n",
        count(messages(judged), "message"),
        imported.trace.ended,
        count(judged.satisfied.len(), "requirement")
    ));
}

fn object(path: &Path, judged: &Judged) -> Value {
    let imported = &judged.imported;
    json!({
        "file": path.display().to_string(),
        "verdict": judged.verdict.name(),
        "scenario": imported.trace.header.name(),
        "messages": messages(judged),
        "satisfied": judged.satisfied,
        "pending": judged.pending,
        "findings": judged.findings.iter().map(finding).collect::<Vec<_>>(),
        "roles": imported.roles,
        "notes": imported.notes,
        "skew-us": u64::try_from(judged.skew.as_micros()).unwrap_or(u64::MAX),
        "complete": imported.trace.complete,
    })
}
