//! `cpmcheck coverage`: which requirements are linked, shown and proven.

use std::collections::BTreeMap;

use super::load::{Loaded, SuiteArgs, count};
use super::{Console, Exit};
use crate::judge::coverage::{self, Coverage, Entry, compare, to_json, to_snapshot};
use crate::report::matrix::table;
use crate::run::measure::{Terms, measure};

/// Arguments of `coverage`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    suite: SuiteArgs,
    /// Fail when a requirement is covered worse than coverage.snap says
    #[arg(long, env = "CPMCHECK_CHECK", hide_env = true)]
    check: bool,
    /// Write coverage.snap
    #[arg(long, conflicts_with = "check")]
    update: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Pretty, env = "CPMCHECK_FORMAT", hide_env = true)]
    format: Format,
    /// Leave tamper cases out; nothing is then proven
    #[arg(long, env = "CPMCHECK_NO_TAMPER", hide_env = true)]
    no_tamper: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    /// A table
    Pretty,
    /// One JSON array
    Json,
}

/// Measures and prints the coverage of a suite.
pub(super) fn run(args: &Args, console: &Console) -> Exit {
    let loaded = match args.suite.load(console) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let none = BTreeMap::new();
    let terms = Terms { policy: &none, seed: None, tamper: !args.no_tamper };
    let entries = measure(&loaded.suite, "", terms).coverage;
    match args.format {
        Format::Json => console.print(&format!("{:#}\n", to_json(&entries))),
        Format::Pretty if !args.check => show(&entries, console),
        Format::Pretty => {}
    }
    let stored = loaded.suite.sources.others.get("coverage.snap").map_or("", String::as_str);
    if args.update {
        return update(&loaded, &entries, console);
    }
    if args.check { check(stored, &entries, console) } else { Exit::Ok }
}

fn show(entries: &[Entry], console: &Console) {
    let row = |entry: &Entry| {
        vec![
            entry.id.clone(),
            crate::report::terminal::level_name(entry.level).to_owned(),
            entry.clause.clone(),
            entry.coverage.name().to_owned(),
            if entry.tamper > 0 { format!("{}/{}", entry.caught, entry.tamper) } else { String::new() },
            entry.untestable.clone().unwrap_or_else(|| entry.scenarios.join(" ")),
        ]
    };
    let head = ["requirement", "level", "clause", "coverage", "tamper", "scenarios"];
    console.print(&table(&head, entries.iter().map(row), console.width()));
    console.print(&format!("\n {}\n", coverage::summary(entries, Coverage::Proven)));
    // In the table there is no room for a whole reason.
    let exempt = coverage::exempt(entries);
    if !exempt.is_empty() {
        console.print(&format!(" {} of {} without a rule\n", exempt.len(), count(entries.len(), "requirement")));
    }
    for (id, why) in exempt {
        console.print(&format!("   {id}  {why}\n"));
    }
}

fn update(loaded: &Loaded, entries: &[Entry], console: &Console) -> Exit {
    let Some(dir) = &loaded.dir else {
        console.talk("error[E0704]: the built-in suite cannot be written; name a folder with --suite\n");
        return Exit::Usage;
    };
    match std::fs::write(dir.join("coverage.snap"), to_snapshot(entries)) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            console.talk(&format!("error[E0704]: coverage.snap cannot be written: {error}\n"));
            Exit::Environment
        }
    }
}

fn check(stored: &str, entries: &[Entry], console: &Console) -> Exit {
    let change = compare(stored, entries);
    for (old, new) in &change.lost {
        console.print(&format!("lost    {old}\n        {new}\n"));
    }
    for line in &change.gained {
        console.print(&format!("gained  {line}\n"));
    }
    console.print(&format!("{}\n", coverage::summary(entries, Coverage::Proven)));
    if !change.lost.is_empty() {
        console.talk(&format!("error[C0250]: coverage was lost in {}\n", count(change.lost.len(), "line")));
        Exit::Conformance
    } else if change.gained.is_empty() {
        Exit::Ok
    } else {
        console.talk("next: cpmcheck coverage --update\n");
        Exit::Pending
    }
}
