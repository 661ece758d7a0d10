//! Exit codes, their help, and what happens when the program itself is at fault.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Console;

pub use crate::judge::outcome::Exit;

/// The seed of the run that is under way, for the report of a panic.
static SEED: AtomicU64 = AtomicU64::new(0);

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Remembers the seed, so that a fault of our own can be repeated.
pub(super) fn remember_seed(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
}

/// Makes a panic readable: what broke, where, and the seed that repeats it.
pub(super) fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let what = info.payload_as_str().unwrap_or("no message");
        eprintln!("error[H0070]: cpmcheck itself is at fault: {what}");
        eprintln!("   = where       {place}");
        eprintln!("   = seed        {:#x}", SEED.load(Ordering::Relaxed));
        eprintln!("   = note        this is a defect of cpmcheck, not of the IUT; exit 70 (internal)");
    }));
}

/// Arguments of `help`.
#[derive(clap::Args, Debug)]
pub(super) struct HelpArgs {
    /// A topic or a command
    topic: Option<String>,
}

/// Prints the help on a topic or a command.
pub(super) fn help(args: &HelpArgs, console: &Console, mut command: clap::Command) -> Exit {
    let text = match args.topic.as_deref() {
        None => command.render_long_help().to_string(),
        Some("exit-codes") => exit_codes(),
        Some("verdicts") => VERDICTS.to_owned(),
        Some("selectors") => SELECTORS.to_owned(),
        Some(topic) => match command.find_subcommand_mut(topic) {
            Some(found) => found.clone().bin_name(format!("cpmcheck {topic}")).render_long_help().to_string(),
            None => {
                console.talk(&format!(
                    "error[U0001]: there is no help on `{topic}`\n   = topics      exit-codes, verdicts, selectors, or a command\n"
                ));
                return Exit::Usage;
            }
        },
    };
    console.print(&text);
    Exit::Ok
}

fn exit_codes() -> String {
    let rows: Vec<String> =
        Exit::ALL.iter().map(|exit| format!("{:>5}  {:<12}  {}", exit.code(), exit.name(), exit.meaning())).collect();
    format!(
        "{}\n\nIf several hold, the first of these is returned: 130/143 > 70 > 2 > 3 > 7 > 1 > 6 > 5 > 4 > 0.\n\
         The code is never a count.\n",
        rows.join("\n")
    )
}

const VERDICTS: &str = "\
PASS    every expectation, invariant and rule held                      passed
INFO    passed; something optional was seen or left out                 passed
WARN    passed; a SHOULD or a NOTE was broken (--strict: FAIL)          passed, counted
FAIL    a SHALL was broken, or a message that nobody explains came      exit 1
XFAIL   failed, and an expected failure says so and why                 skipped, counted
XPASS   passed, and an expected failure says that it fails              exit 1
XDIFF   failed otherwise than an expected failure says                  exit 1
UNSUP   the IUT says that it cannot (405, 489, 501), as was declared    skipped, counted
UNSUP!  the IUT says that it cannot, and nobody declared that           exit 1
FLAKY   failed, and passed when --retries tried it again                exit 1 (--flaky-result pass: passed, counted)
NOTRUN  inconclusive: a deadline was still open, a control failed, the run was stopped   exit 6
ERROR   the harness, the environment or the scenario is at fault        exit 3, 7 or 70
SKIP    left out by --skip, or played by the simulator only             skipped
N/A     left out: the target does not offer what it needs               skipped, with the reason
UNSUP   left out: the PICS file does not claim what it needs            skipped, with the reason

Every verdict but PASS says who is at fault: IUT, scenario, environment or harness.
The last line of a run counts PASS, INFO, WARN and accepted FLAKY as passed, SKIP, N/A, UNSUP and XFAIL as skipped, the rest as failed.
";

const SELECTORS: &str = "\
group/pinned-device     the scenario of this identifier
group/*                 every scenario whose identifier fits
tag:register            scenarios that carry the tag
req:DGC-1.2-*           scenarios that list such a requirement
clause:8.3.2.9.1.4      scenarios that list a requirement of this clause or of one below it
level:SHALL             scenarios that list a requirement of this level
actor:cf                scenarios with an actor of this role or name
file:group/*.yaml       scenarios whose file fits, seen from the suite
-E 'tag:race and not (level:MAY or file:imdn/*)'

Several selectors add up; --skip takes away from what they select.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_explained() {
        let text = exit_codes();
        for code in [0, 1, 2, 3, 4, 5, 6, 7, 70, 130, 143] {
            assert!(text.lines().any(|line| line.trim_start().starts_with(&format!("{code} "))), "{code} is missing");
        }
    }
}
