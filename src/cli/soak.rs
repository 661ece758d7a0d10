//! `cpmcheck soak`: many users, groups and losses from seeds, every rule on.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::clock::Stopwatch;
use super::knobs::policies;
use super::load::{SuiteArgs, count};
use super::{Console, Exit};
use crate::judge::verdict::{Finding, Verdict};
use crate::report::ladder;
use crate::report::style::{bad, faint};
use crate::run::plan::cores;
use crate::run::soak::{Size, Soaked, Stage};
use crate::trace::Trace;
use crate::trace::correlate::{Correlation, Facts};
use crate::trace::event::{Content, Event, Kind};

/// Findings of one seed that are shown.
const SHOWN: usize = 3;

/// Arguments of `soak`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    suite: SuiteArgs,
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 10)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = super::run::seed)]
    seed: u64,
    /// Messages at the edge of the PF in each run
    #[arg(long, value_name = "N", default_value_t = Size::default().messages)]
    messages: usize,
    /// Users
    #[arg(long, value_name = "N", default_value_t = Size::default().users, value_parser = clap::value_parser!(u8).range(2..=160))]
    users: u8,
    /// Groups
    #[arg(long, value_name = "N", default_value_t = Size::default().groups, value_parser = clap::value_parser!(u8).range(1..=100))]
    groups: u8,
    /// Turn a knob of the reference PF
    #[arg(long, value_name = "NAME=VALUE")]
    policy: Vec<String>,
    /// Say of every seed what happened in it
    #[arg(short, long)]
    verbose: bool,
    /// Events of the same user and group that are shown before a finding, and half as many behind it
    #[arg(long, value_name = "N", default_value_t = 24)]
    around: usize,
    /// Write all messages of a seed with findings there, as text
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
    /// Threads [default: cores]
    #[arg(long, value_name = "N")]
    jobs: Option<std::num::NonZeroUsize>,
}

/// Lets every seed run and says what was found.
pub(super) fn run(args: &Args, console: &Console) -> Exit {
    match soak(args, console) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn soak(args: &Args, console: &Console) -> Result<Exit, Exit> {
    let turned = policies("--policy", &args.policy, console)?;
    let suite = args.suite.load(console)?.suite;
    let mut policy = suite.defaults.policy.clone();
    policy.extend(turned);
    let size = Size { users: args.users, groups: args.groups, messages: args.messages };
    let stage = Stage::new(&suite.catalogue, &policy, size);
    let begun = Stopwatch::start();
    let next = AtomicU64::new(0);
    let totals = Mutex::new((0_usize, 0_u64, BTreeSet::new()));
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.unwrap_or_else(cores).get() {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= args.seeds {
                        return;
                    }
                    let soaked = stage.soak(args.seed.wrapping_add(at));
                    if args.verbose {
                        told(&soaked, console);
                    }
                    let failed = report(&soaked, args.around, console);
                    if let (true, Some(path)) = (failed, &args.dump)
                        && let Err(why) = fs::write(path, text(&soaked.trace))
                    {
                        console.talk(&format!("{}: {why}\n", path.display()));
                    }
                    if let Ok(mut totals) = totals.lock() {
                        totals.0 += soaked.messages;
                        totals.1 += u64::from(failed);
                        totals.2.extend(soaked.satisfied);
                    }
                }
            });
        }
    });
    let (messages, failed, satisfied) = totals.into_inner().unwrap_or_default();
    let rate = messages as f64 / begun.elapsed().as_secs_f64().max(f64::EPSILON);
    console.talk(&format!("{rate:.0} messages/s, the rules of {} satisfied\n", count(satisfied.len(), "requirement")));
    console.print(&format!(
        "{} of {} messages, {failed} with findings\n",
        count(usize::try_from(args.seeds).unwrap_or(usize::MAX), "seed"),
        messages
    ));
    Ok(if failed > 0 { Exit::Conformance } else { Exit::Ok })
}

/// With --verbose: what happened, and the last part of it.
fn told(soaked: &Soaked, console: &Console) {
    let orders: Vec<String> = soaked.orders.iter().map(|(order, count)| format!("{order} {count}")).collect();
    let ids: Vec<&str> = soaked.satisfied.iter().map(String::as_str).collect();
    console.print(&format!(
        "     seed {:#x}: {} messages, {}\n     {}\n",
        soaked.seed,
        soaked.messages,
        orders.join(", "),
        ids.join(" ")
    ));
}

/// Shows what one seed found; whether it found anything that does not pass.
fn report(soaked: &Soaked, around: usize, console: &Console) -> bool {
    let broken: Vec<&Finding> = soaked.findings.iter().filter(|finding| finding.verdict(false) >= Verdict::Fail).collect();
    if broken.is_empty() {
        return false;
    }
    let orders: Vec<String> = soaked.orders.iter().map(|(order, count)| format!("{order} {count}")).collect();
    let mut out =
        format!("{} seed {:#x}: {}  {}\n", bad("FAIL"), soaked.seed, count(broken.len(), "finding"), faint(orders.join(", ")));
    for finding in broken.iter().take(SHOWN) {
        out.push_str(&format!(
            "  {} {}\n    expected  {}\n    observed  {}\n",
            bad(&finding.id),
            finding.event.map(|event| format!("at #{event}")).unwrap_or_default(),
            crate::report::escape::visible(&finding.expected),
            crate::report::escape::visible(&finding.observed)
        ));
        out.push_str(&excerpt(soaked, finding, around, console.ascii()));
    }
    console.print(&out);
    true
}

/// All messages of a run, each under a line that says when it went from whom to whom.
fn text(trace: &Trace) -> String {
    let facts = Correlation::of(trace).facts;
    let mut out = String::new();
    for (event, facts) in trace.events.iter().zip(&facts) {
        let Kind::Message { content, .. } = &event.kind else { continue };
        let bytes = match content {
            Content::Sip(message) => message.bytes(),
            Content::Msrp(chunk) => chunk.bytes(),
            Content::Broken { bytes, .. } => bytes,
        };
        let message = String::from_utf8_lossy(bytes).replace('\r', "");
        let _ = write!(out, "@ #{} {} {} -> {}\n{message}\n", event.number, event.at, facts.from, facts.to);
    }
    out
}

/// What happened between the same user and the PF around a finding, in the same group if there is one.
fn excerpt(soaked: &Soaked, finding: &Finding, around: usize, ascii: bool) -> String {
    let Some(event) = finding.event else { return String::new() };
    let facts = Correlation::of(&soaked.trace).facts;
    let Some(own) = facts.get(event as usize) else { return String::new() };
    let same = |other: &Facts| other.user == own.user && (own.group.is_none() || other.group.is_none() || other.group == own.group);
    let concerned = |other: &&Event| facts.get(other.number as usize).is_some_and(same);
    let all: Vec<&Event> = soaked.trace.events.iter().filter(concerned).collect();
    let at = all.iter().position(|other| other.number == event).unwrap_or(0);
    let shown = &all[at.saturating_sub(around)..(at + around / 2).min(all.len())];
    let part = Trace { events: shown.iter().map(|event| (*event).clone()).collect(), ..soaked.trace.clone() };
    let marks = [(event, "✗".to_owned())].into();
    ladder::ladder(&part, &ladder::Look { ascii, marks: &marks, ignored: &[] })
}
