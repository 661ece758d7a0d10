//! `cpmcheck cr diff`: what changes from one suite, revision or policy to another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::knobs::policies;
use super::load::{SuiteArgs, usable};
use super::{Console, Exit};
use crate::judge::revision::{Difference, Revision};
use crate::report::revision::{pretty, to_json, to_markdown, to_mermaid};
use crate::run::measure::{Terms, measure};
use crate::suite::Suite;
use crate::suite::source::Sources;

/// Commands about change requests.
#[derive(clap::Subcommand, Debug)]
pub(super) enum Command {
    /// Play two suites, revisions or policies and show what differs
    Diff(Args),
}

/// Arguments of `cr diff`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// What was: a suite folder or a Git revision, `main` or `v1:scenarios/x` [default: the suite]
    #[arg(value_name = "BEFORE", required_unless_present_any = ["policy", "before_policy"])]
    before: Option<String>,
    /// What is to be [default: the suite]
    #[arg(value_name = "AFTER")]
    after: Option<String>,
    #[command(flatten)]
    suite: SuiteArgs,
    /// Turn a knob of the reference PF on the second side
    #[arg(long, value_name = "NAME=VALUE")]
    policy: Vec<String>,
    /// Turn a knob of the reference PF on the first side
    #[arg(long, value_name = "NAME=VALUE")]
    before_policy: Vec<String>,
    /// The seed of everything random, on both sides [default: the suite's]
    #[arg(long, value_name = "N", value_parser = super::run::seed)]
    seed: Option<u64>,
    /// Leave tamper cases out; coverage then ends at shown
    #[arg(long)]
    no_tamper: bool,
    /// Fail when something passes no more, is caught no more, or is new and shown by no scenario
    #[arg(long)]
    check: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    /// For a terminal
    Pretty,
    /// A comment for a code-hosting page, with diagrams
    Markdown,
    /// The diagrams alone, two for each flow that changes
    Mermaid,
    /// One JSON object
    Json,
}

/// One side as the command line names it.
struct Side {
    label: String,
    suite: Suite,
    policy: BTreeMap<String, String>,
}

impl Side {
    fn play(&self, seed: u64, tamper: bool) -> Revision<'_> {
        measure(&self.suite, &self.label, Terms { policy: &self.policy, seed: Some(seed), tamper })
    }
}

impl Command {
    /// Runs the command.
    pub(super) fn run(&self, console: &Console) -> Exit {
        let Self::Diff(args) = self;
        match diff(args, console) {
            Ok(exit) | Err(exit) => exit,
        }
    }
}

fn diff(args: &Args, console: &Console) -> Result<Exit, Exit> {
    let before = side(args.before.as_deref(), ("--before-policy", &args.before_policy), args, console)?;
    let after = side(args.after.as_deref(), ("--policy", &args.policy), args, console)?;
    let seed = args.seed.unwrap_or(after.suite.defaults.seed);
    super::exit::remember_seed(seed);
    let old = before.play(seed, !args.no_tamper);
    let new = after.play(seed, !args.no_tamper);
    let difference = Difference::of(&old, &new);
    console.print(&match args.format {
        Format::Pretty => pretty(&difference, console.width()),
        Format::Markdown => to_markdown(&difference),
        Format::Mermaid => to_mermaid(&difference),
        Format::Json => format!("{:#}\n", to_json(&difference)),
    });
    Ok(if args.check && !difference.objections().is_empty() { Exit::Conformance } else { Exit::Ok })
}

/// One side: a folder with a suite, a revision, or the suite that every command works on.
fn side(name: Option<&str>, (flag, pairs): (&str, &[String]), args: &Args, console: &Console) -> Result<Side, Exit> {
    let policy = policies(flag, pairs, console)?;
    let (sources, dir) = match name {
        Some(name) if Path::new(name).join("suite.yaml").is_file() => {
            SuiteArgs { suite: Some(PathBuf::from(name)), ..SuiteArgs::default() }.sources(console)?
        }
        Some(name) => (revision(name, args, console)?, None),
        None => args.suite.sources(console)?,
    };
    let origin = name.map_or_else(|| dir.as_deref().map_or("the built-in suite".into(), Path::to_string_lossy), Into::into);
    let label = if pairs.is_empty() { origin.into_owned() } else { format!("{origin} with {}", pairs.join(" ")) };
    Ok(Side { label, suite: usable(sources, console)?, policy })
}

fn revision(name: &str, args: &Args, console: &Console) -> Result<Sources, Exit> {
    let (_, dir) = args.suite.sources(console)?;
    super::revisions::read(name, dir.as_deref()).map_err(|why| {
        console.talk(&format!(
            "error[U0012]: `{name}` is neither a suite folder nor a revision\n   = git         {}\n   = note        nothing was run; exit 2\n",
            why.lines().next().unwrap_or("")
        ));
        Exit::Usage
    })
}
