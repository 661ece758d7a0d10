//! The `cpmcheck` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    cpmcheck::cli::main()
}
