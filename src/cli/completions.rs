//! `cpmcheck completions SHELL`: a static completion script.

use clap_complete::Shell;

use super::{Console, Exit};

/// Arguments of `completions`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script for the shell.
pub(super) fn run(args: &Args, console: &Console, mut command: clap::Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "cpmcheck", &mut script);
    console.print(&String::from_utf8_lossy(&script));
    Exit::Ok
}
