//! The command line: one file per command, each with its `Args` and its `run`.
//!
//! Standard output carries data, standard error carries talk. Every command returns an [`Exit`];
//! this module turns it into the process's exit code and is the only place that reads the
//! environment.

mod clock;
mod completions;
mod console;
mod coverage;
mod cr;
mod doctor;
mod exit;
mod expect;
mod explain;
mod inspect;
mod judge;
mod knobs;
mod lint;
mod list;
mod load;
mod progress;
mod publish;
mod reporters;
mod retry;
mod review;
mod revisions;
mod run;
mod schema;
mod selection;
mod selftest;
mod serve;
mod signals;
mod snapshots;
mod soak;
mod targets;
mod trace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use console::{Color, Console};
pub use exit::Exit;

/// The whole command line.
#[derive(Parser, Debug)]
#[command(
    name = "cpmcheck",
    version,
    about = "Conformance test harness for deferred delivery of group chat (OMA CPM) over SIP and MSRP",
    help_template = HELP,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// When to colour the output
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, env = "CPMCHECK_COLOR", hide_env = true)]
    color: Color,
    /// Draw ladders with ASCII characters only
    #[arg(long, global = true, env = "CPMCHECK_ASCII", hide_env = true)]
    ascii: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run scenarios against the reference PF and judge them
    Run(Box<run::Args>),
    /// Show what would run
    List(list::Args),
    /// Decode messages and list what is wrong with them
    Inspect(inspect::Args),
    /// Explain a requirement, clause, reading, policy knob or error code
    Explain(explain::Args),
    /// Check scenarios and catalogue without running anything
    Lint(lint::Args),
    /// Show, export or judge a stored run
    #[command(subcommand)]
    Trace(trace::Command),
    /// Judge captures (pcapng, pcap) and run files
    Judge(judge::Args),
    /// Decide about changed traces, one by one
    Review(review::ReviewArgs),
    /// List the changed traces that await a decision
    Pending(review::PendingArgs),
    /// Accept changed traces
    Accept(review::DecideArgs),
    /// Reject changed traces
    Reject(review::DecideArgs),
    /// Which requirements are linked, shown and proven
    Coverage(coverage::Args),
    /// The expected failures of a target: list, update, prune
    #[command(subcommand)]
    Expect(expect::Command),
    /// What a change request changes: requirements, flows, verdicts, coverage
    #[command(subcommand)]
    Cr(cr::Command),
    /// Write the conformance report of the reference PF
    Publish(publish::Args),
    /// Check the checker: tamper cases, a canary, determinism
    Selftest(selftest::Args),
    /// Let many users, groups and losses happen at random, every rule on
    Soak(soak::Args),
    /// Serve as PF, focus or client on real sockets
    Serve(Box<serve::Args>),
    /// Check that everything is there that a run needs, the target included
    Doctor(doctor::Args),
    /// Print a JSON Schema
    Schema(schema::Args),
    /// Print a completion script
    Completions(completions::Args),
    /// More about a topic: exit-codes, verdicts, selectors
    Help(exit::HelpArgs),
    /// Crash, so that the report of a defect can be tested
    #[command(name = "__crash", hide = true)]
    Crash,
}

const HELP: &str = "\
{about-with-newline}
{usage-heading} {usage}

Basic:
  run          Run scenarios against the reference PF and judge them
  list         Show what would run
  inspect      Decode messages and list what is wrong with them
  explain      Explain a requirement, clause, reading, policy knob or error code
  lint         Check scenarios and catalogue without running anything
  trace        Show, export or judge a stored run
  judge        Judge captures (pcapng, pcap) and run files
Review:
  review       Decide about changed traces, one by one
  pending      List the changed traces that await a decision
  accept       Accept changed traces
  reject       Reject changed traces
Spec:
  coverage     Which requirements are linked, shown and proven
  expect       The expected failures of a target: list, update, prune
  cr           What a change request changes: requirements, flows, verdicts, coverage
  publish      Write the conformance report of the reference PF
Traffic:
  serve        Serve as PF, focus or client on real sockets
Plumbing:
  selftest     Check the checker: tamper cases, a canary, determinism
  soak         Let many users, groups and losses happen at random, every rule on
  doctor       Check that everything is there that a run needs, the target included
  schema       Print a JSON Schema
  completions  Print a completion script
  help         More about a topic: exit-codes, verdicts, selectors

Options:
{options}
";

const BASIC: &str = "\
cpmcheck run [SELECTOR…]       run scenarios against the reference PF and judge them
cpmcheck list [SELECTOR…]      show what would run
cpmcheck inspect FILE…         decode messages and list what is wrong with them
cpmcheck explain ID|CODE       explain a requirement, clause, reading, policy knob or error code
cpmcheck lint [PATH…]          check scenarios and catalogue without running anything
cpmcheck trace show RUN        show the ladder of a stored run

cpmcheck --help lists all commands.
";

/// Runs the program with the process's own arguments.
pub fn main() -> ExitCode {
    exit::install_panic_hook();
    let outcome = std::panic::catch_unwind(|| start(std::env::args_os()));
    outcome.unwrap_or(Exit::Internal).into()
}

/// Parses `arguments` and runs the command they name.
fn start(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let console = Console::new(cli.color, cli.ascii);
    match cli.command {
        Some(command) => dispatch(command, &console),
        None => {
            console.print(BASIC);
            Exit::Ok
        }
    }
}

fn dispatch(command: Command, console: &Console) -> Exit {
    match command {
        Command::Run(args) => run::run(&args, console),
        Command::List(args) => list::run(&args, console),
        Command::Inspect(args) => inspect::run(&args, console),
        Command::Explain(args) => explain::run(&args, console),
        Command::Lint(args) => lint::run(&args, console),
        Command::Trace(command) => trace::run(&command, console),
        Command::Judge(args) => judge::run(&args, console),
        Command::Review(args) => review::review(&args, console),
        Command::Pending(args) => review::pending(&args, console),
        Command::Accept(args) => review::accept(&args, console),
        Command::Reject(args) => review::reject(&args, console),
        Command::Coverage(args) => coverage::run(&args, console),
        Command::Expect(command) => command.run(console),
        Command::Cr(command) => command.run(console),
        Command::Publish(args) => publish::run(&args, console),
        Command::Selftest(args) => selftest::run(&args, console),
        Command::Soak(args) => soak::run(&args, console),
        Command::Serve(args) => serve::run(&args, console),
        Command::Doctor(args) => doctor::run(&args, console),
        Command::Schema(args) => schema::run(&args, console),
        Command::Completions(args) => completions::run(&args, console, Cli::command()),
        Command::Help(args) => exit::help(&args, console, Cli::command()),
        Command::Crash => panic!("this was asked for"),
    }
}

/// Help and version go to standard output and are no fault; everything else is a usage error.
fn refused(error: &clap::Error) -> Exit {
    // A closed pipe leaves nobody to tell.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Ok }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_grouped_help_names_every_command() {
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(HELP.contains(&format!("\n  {} ", command.get_name())), "{} is missing", command.get_name());
        }
    }

    #[test]
    fn without_a_command_six_are_named() {
        assert_eq!(BASIC.lines().filter(|line| line.starts_with("cpmcheck ") && !line.contains("--help")).count(), 6);
    }
}
