//! `cpmcheck doctor`: whether everything is there that a run needs.

use std::fmt::Write as _;

use super::load::{SuiteArgs, count};
use super::targets::{TargetArgs, upward};
use super::{Console, Exit};
use crate::report::escape::visible;
use crate::report::style::{bad, good, odd};
use crate::run::doctor::{self, Check, State};
use crate::suite::targets::{self, Configuration};

/// Arguments of `doctor`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    suite: SuiteArgs,
}

/// Looks at everything, and says how to mend what is not as it has to be.
pub(super) fn run(args: &Args, console: &Console) -> Exit {
    match examine(args, console) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn examine(args: &Args, console: &Console) -> Result<Exit, Exit> {
    let mut loaded = args.suite.configured(args.target.config.as_deref()).load(console)?;
    let scenarios = count(loaded.suite.scenarios.len(), "scenario");
    let mut checks = vec![Check::fine("suite", format!("{}: {scenarios}, no mistake", loaded.suite.sources.origin))];
    let chosen = args.target.choose(&mut loaded.suite, console)?;
    checks.push(configuration(args));
    if let Some(foreign) = chosen.target().foreign() {
        let claims = chosen.pics.as_ref().map_or_else(
            || {
                Check::doubtful(
                    "pics",
                    "none",
                    "say what the implementation claims: pics = \"FILE\"; else everything is expected of it",
                )
            },
            |pics| {
                Check::fine(
                    "pics",
                    format!("{} told, {} told", count(pics.features.len(), "feature"), count(pics.policies.len(), "knob")),
                )
            },
        );
        checks.push(claims);
        let banner = chosen.register.banner(loaded.suite.scenarios.len());
        let expected = if chosen.register.is_empty() { "none".to_owned() } else { banner.trim().to_owned() };
        checks.push(Check::fine("expectations", expected));
        checks.extend(doctor::machine());
        checks.extend(doctor::target(foreign));
    } else {
        checks.extend(doctor::machine());
    }
    console.print(&table(&checks));
    Ok(verdict(&checks, console))
}

/// The configuration was read if a target comes from it; otherwise it may be there all the same.
fn configuration(args: &Args) -> Check {
    let Some(path) = args.target.config.clone().or_else(upward) else {
        return Check::fine("configuration", "none: the built-in targets need none");
    };
    let shown = path.display().to_string();
    let mend = "mend what `cpmcheck doctor --target NAME` shows";
    match std::fs::read_to_string(&path).map(|text| targets::configuration(&shown, text)) {
        Err(why) => Check::bad("configuration", format!("{shown}: {why}"), "let this user read it"),
        Ok(read) if !read.is_usable() => {
            Check::bad("configuration", format!("{shown}: {}", count(read.mistakes.len(), "mistake")), mend)
        }
        Ok(read) => Check::fine("configuration", format!("{shown}: {}", names(&read.value))),
    }
}

fn names(configuration: &Configuration) -> String {
    let names: Vec<&str> = configuration.targets.iter().map(|target| target.name.as_str()).collect();
    if names.is_empty() { "no target".to_owned() } else { format!("targets {}", names.join(", ")) }
}

fn table(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.what.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for check in checks {
        let what = format!("{:<width$}", visible(&check.what));
        let found = visible(&check.found);
        // Writing to a string does not fail.
        let _ = match check.state {
            State::Fine => writeln!(out, "  {}  {what}  {found}", good("ok  ")),
            State::Doubtful => writeln!(out, "  {}  {what}  {found}", odd("warn")),
            State::Bad => writeln!(out, "  {}  {what}  {found}", bad("fail")),
        };
        if !check.mend.is_empty() {
            let _ = writeln!(out, "        {:<width$}  mend: {}", "", visible(&check.mend));
        }
    }
    out
}

fn verdict(checks: &[Check], console: &Console) -> Exit {
    let with = |state: State| checks.iter().filter(|check| check.state == state).count();
    let exit = if with(State::Bad) > 0 { Exit::Environment } else { Exit::Ok };
    console.print(&format!(
        "\n{} ok, {}, {} failed: exit {exit}\n",
        with(State::Fine),
        count(with(State::Doubtful), "warning"),
        with(State::Bad)
    ));
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_says_how_it_went_and_how_to_mend_it() {
        let checks = [
            Check::fine("suite", "read"),
            Check::doubtful("clock", "late\u{1b}", "set it"),
            Check::bad("pf", "silent", "start it"),
        ];
        let text = anstream::adapter::strip_str(&table(&checks)).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[0], "  ok    suite  read");
        assert!(lines[1].starts_with("  warn  clock  late") && !text.contains('\u{1b}'));
        assert_eq!((lines[3], lines[4].trim()), ("  fail  pf     silent", "mend: start it"));
    }
}
