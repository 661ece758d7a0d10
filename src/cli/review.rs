//! `cpmcheck review`, `pending`, `accept`, `reject`: what becomes of changed traces.
//!
//! A pending trace is a `.snap.new` beside the accepted `.snap`. Accepting moves it over the old
//! one, rejecting removes it. Enter and Esc never decide.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::load::{SuiteArgs, count};
use super::{Console, Exit};
use crate::report::diff::Difference;
use crate::report::escape::visible;
use crate::run::select::Glob;
use crate::trace::snapshot::Snapshot;

/// Arguments of `review`.
#[derive(clap::Args, Debug)]
pub(super) struct ReviewArgs {
    #[command(flatten)]
    suite: SuiteArgs,
    /// Where pending traces are, in place of beside the scenarios
    #[arg(long, value_name = "DIR", env = "CPMCHECK_PENDING_DIR", hide_env = true)]
    pending_dir: Option<PathBuf>,
}

/// Arguments of `pending`.
#[derive(clap::Args, Debug)]
pub(super) struct PendingArgs {
    #[command(flatten)]
    review: ReviewArgs,
    /// Print one JSON array
    #[arg(long, value_enum, default_value_t = Format::Pretty, env = "CPMCHECK_FORMAT", hide_env = true)]
    format: Format,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    /// One name a line
    Pretty,
    /// One JSON array
    Json,
}

/// Arguments of `accept` and `reject`.
#[derive(clap::Args, Debug)]
pub(super) struct DecideArgs {
    /// Names of scenarios, with variant; `*` stands for any text
    #[arg(value_name = "NAME", required_unless_present = "all")]
    names: Vec<String>,
    /// Every pending trace
    #[arg(long, env = "CPMCHECK_ALL", hide_env = true)]
    all: bool,
    #[command(flatten)]
    review: ReviewArgs,
}

/// A trace that awaits a decision.
struct Pending {
    name: String,
    old: PathBuf,
    new: PathBuf,
}

impl Pending {
    fn difference(&self) -> Difference {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        Difference::of(&read(&self.old), &read(&self.new))
    }

    /// Where it is, what it shows, and what of it differs.
    fn show(&self) -> String {
        let difference = self.difference();
        let text = std::fs::read_to_string(&self.new).unwrap_or_default();
        let title = Snapshot::parse(&text).map(|snapshot| snapshot.description).unwrap_or_default();
        format!(" {}\n {}     {}\n{}", visible(&title), self.old.display(), difference.headline(), difference.text())
    }

    fn accept(&self) -> std::io::Result<()> {
        std::fs::rename(&self.new, &self.old)
    }

    fn reject(&self) -> std::io::Result<()> {
        std::fs::remove_file(&self.new)
    }
}

/// Every pending trace, by name.
fn pending_of(args: &ReviewArgs, console: &Console) -> Result<Vec<Pending>, Exit> {
    let (_, dir) = args.suite.sources(console)?;
    let Some(dir) = dir.or_else(|| args.pending_dir.clone()) else {
        console.talk("note: the built-in suite has no pending traces; name a folder with --suite\n");
        return Ok(Vec::new());
    };
    let from = args.pending_dir.clone().unwrap_or_else(|| dir.clone());
    let mut found = Vec::new();
    collect(&from, &from, &dir, &mut found);
    found.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(found)
}

fn collect(root: &Path, at: &Path, suite: &Path, found: &mut Vec<Pending>) {
    let Ok(entries) = std::fs::read_dir(at) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            collect(root, &path, suite, found);
        } else if let Some(below) = path.strip_prefix(root).ok().and_then(|below| below.to_str()?.strip_suffix(".snap.new")) {
            let name = below.replace('\\', "/");
            found.push(Pending { old: super::snapshots::path(suite, &name), name, new: path.clone() });
        }
    }
}

/// Asks about each pending trace; without a terminal it lists them and what to type.
pub(super) fn review(args: &ReviewArgs, console: &Console) -> Exit {
    let pending = match pending_of(args, console) {
        Ok(pending) => pending,
        Err(exit) => return exit,
    };
    if pending.is_empty() {
        console.print("nothing awaits review\n");
        return Exit::Ok;
    }
    if !console.is_interactive() {
        return list(&pending, console);
    }
    let mut undecided = 0;
    let mut at = 0;
    while at < pending.len() {
        let item = &pending[at];
        console.print(&format!("Reviewing [{}/{}]  {}\n{}", at + 1, pending.len(), item.name, item.show()));
        match ask(console) {
            Some('a') => settle(item.accept(), item, console),
            Some('r') => settle(item.reject(), item, console),
            Some('A') => {
                let signature = item.difference().signature();
                let same: Vec<&Pending> = pending[at..]
                    .iter()
                    .filter(|other| other.new.exists() && other.difference().signature() == signature)
                    .collect();
                console.print(&format!("{} with the same change\n", count(same.len(), "trace")));
                same.into_iter().for_each(|other| settle(other.accept(), other, console));
            }
            Some('s') => undecided += 1,
            Some('q') | None => {
                undecided += pending.len() - at;
                break;
            }
            // Nothing else decides anything.
            Some(_) => continue,
        }
        at += 1;
        while at < pending.len() && !pending[at].new.exists() {
            at += 1;
        }
    }
    if undecided > 0 { Exit::Pending } else { Exit::Ok }
}

/// One letter; an empty line is asked again.
fn ask(console: &Console) -> Option<char> {
    loop {
        console.print(" [a]ccept [r]eject [s]kip [A]ll same change [q]uit undecided > ");
        let _ = std::io::stdout().flush();
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(letter) = line.trim().chars().next().filter(|letter| letter.is_alphabetic()) {
            return Some(letter);
        }
    }
}

fn settle(done: std::io::Result<()>, item: &Pending, console: &Console) {
    if let Err(error) = done {
        console.talk(&format!("error[E0704]: {}: {error}\n", item.name));
    }
}

fn list(pending: &[Pending], console: &Console) -> Exit {
    for item in pending {
        console.print(&format!("{}\n{}", item.name, item.show()));
    }
    let first = &pending[0].name;
    console.talk(&format!(
        "{} await review\nnext: cpmcheck accept {first}   or: cpmcheck reject {first}   or: cpmcheck accept --all\n",
        count(pending.len(), "trace")
    ));
    Exit::Pending
}

/// Lists what awaits a decision.
pub(super) fn pending(args: &PendingArgs, console: &Console) -> Exit {
    let pending = match pending_of(&args.review, console) {
        Ok(pending) => pending,
        Err(exit) => return exit,
    };
    let text = match args.format {
        Format::Pretty => pending.iter().map(|item| format!("{}\n", item.name)).collect(),
        Format::Json => {
            let object = |item: &Pending| json!({ "name": item.name, "new": item.new.display().to_string(), "old": item.old.display().to_string() });
            format!("{:#}\n", json!(pending.iter().map(object).collect::<Vec<_>>()))
        }
    };
    console.print(&text);
    if pending.is_empty() { Exit::Ok } else { Exit::Pending }
}

/// Accepts pending traces.
pub(super) fn accept(args: &DecideArgs, console: &Console) -> Exit {
    decide(args, console, "accepted", Pending::accept)
}

/// Rejects pending traces.
pub(super) fn reject(args: &DecideArgs, console: &Console) -> Exit {
    decide(args, console, "rejected", Pending::reject)
}

fn decide(args: &DecideArgs, console: &Console, done: &str, act: impl Fn(&Pending) -> std::io::Result<()>) -> Exit {
    let pending = match pending_of(&args.review, console) {
        Ok(pending) => pending,
        Err(exit) => return exit,
    };
    for name in &args.names {
        if !pending.iter().any(|item| Glob::new(name).fits(&item.name)) {
            console.talk(&format!(
                "error[U0009]: no pending trace is called `{name}`\n   = note        nothing was decided; exit 2\n"
            ));
            return Exit::Usage;
        }
    }
    let meant = pending.iter().filter(|item| args.all || args.names.iter().any(|name| Glob::new(name).fits(&item.name)));
    for item in meant {
        match act(item) {
            Ok(()) => console.print(&format!("{done} {}\n", item.name)),
            Err(error) => {
                console.talk(&format!("error[E0704]: {}: {error}\n", item.name));
                return Exit::Environment;
            }
        }
    }
    Exit::Ok
}
