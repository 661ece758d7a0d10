//! `cpmcheck lint`: every mistake of every file, without running anything.

mod text;

use std::path::{Path, PathBuf};

use super::load::{SuiteArgs, count};
use super::{Console, Exit};
use crate::suite::diagnostics::{Diagnostic, Look, Severity, render};
use crate::suite::load_all;

/// Arguments of `lint`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// A suite folder, or files of the suite whose mistakes are shown
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    suite: SuiteArgs,
    /// How to show mistakes
    #[arg(long, value_enum, default_value_t = ErrorFormat::Pretty, env = "CPMCHECK_ERROR_FORMAT", hide_env = true)]
    error_format: ErrorFormat,
    /// Compare a text of the change request with the catalogue instead: which requirements have
    /// another sentence now, or none
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// With --text: take over what the changed sentences read now
    #[arg(long, requires = "text")]
    update: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum ErrorFormat {
    /// With an excerpt
    Pretty,
    /// `file:line:column: code message`
    Short,
    /// One JSON object per line
    Json,
    /// Workflow commands
    Github,
}

/// The code of a file that has no place in a suite.
const STRAY: &str = "Y0090";

/// Reads the whole suite and shows what is wrong.
pub(super) fn run(args: &Args, console: &Console) -> Exit {
    match lint(args, console) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn lint(args: &Args, console: &Console) -> Result<Exit, Exit> {
    let (suite, files) = split(args);
    if let Some(path) = &args.text {
        return text::compare(path, args.update, &suite, console);
    }
    let (sources, dir) = suite.sources(console)?;
    let origin = sources.origin.clone();
    let loaded = load_all(sources);
    let shown: Vec<Diagnostic> = loaded
        .diagnostics
        .into_iter()
        .filter(|diagnostic| {
            let file = loaded.suite.sources.file(diagnostic.place).map_or("", |file| file.shown.as_str());
            files.is_empty() || files.iter().any(|wanted| same_file(file, wanted))
        })
        .collect();
    let look = match args.error_format {
        ErrorFormat::Pretty => Look::Full { colour: true },
        ErrorFormat::Short => Look::Short,
        ErrorFormat::Json => Look::Json,
        ErrorFormat::Github => Look::Github,
    };
    console.print(&render(&shown, &loaded.suite.sources, look));
    let stray = if dir.is_some() { strays(&loaded.suite.sources.others) } else { Vec::new() };
    stray.iter().for_each(|line| console.print(&format!("error[{STRAY}]: {line}\n")));
    let errors = shown.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count() + stray.len();
    let warnings = shown.len() + stray.len() - errors;
    console.talk(&format!(
        "{origin}: {}, {}, {}\n",
        count(loaded.suite.scenarios.len(), "scenario"),
        count(errors, "error"),
        count(warnings, "warning")
    ));
    Ok(if errors > 0 { Exit::Input } else { Exit::Ok })
}

/// A path that is a folder names the suite, any other one a file in it.
fn split(args: &Args) -> (SuiteArgs, Vec<PathBuf>) {
    let mut suite = args.suite.clone();
    let mut files = Vec::new();
    for path in &args.paths {
        if path.is_dir() {
            suite.suite = Some(path.clone());
        } else {
            if suite.suite.is_none() {
                suite.suite = path.ancestors().find(|dir| dir.join("suite.yaml").is_file()).map(Path::to_path_buf);
            }
            files.push(path.clone());
        }
    }
    (suite, files)
}

fn same_file(shown: &str, wanted: &Path) -> bool {
    let same = |left: &Path, right: &Path| left == right || right.ends_with(left) || left.ends_with(right);
    same(Path::new(shown), wanted)
}

/// What has no place in a suite: undecided traces, and conflicts of a merge.
fn strays(others: &std::collections::BTreeMap<String, String>) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, text) in others {
        if path.ends_with(".snap.new") {
            lines.push(format!("{path} awaits a decision; decide with `cpmcheck review`"));
        } else if text.lines().any(|line| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ")) {
            lines.push(format!("{path} holds the marks of a merge conflict"));
        }
    }
    lines
}
