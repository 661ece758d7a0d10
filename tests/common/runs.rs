//! Runs of the binary.

use std::path::Path;

use assert_cmd::Command;

use super::common::cpmcheck;

/// `cpmcheck run --suite DIR` with further arguments.
pub(crate) fn run(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = cpmcheck();
    command.arg("run").arg("--suite").arg(dir).args(arguments);
    command
}

/// Another seed than the suite's: traces are then judged and not compared.
pub(crate) const UNCOMPARED: [&str; 2] = ["--seed", "18"];
