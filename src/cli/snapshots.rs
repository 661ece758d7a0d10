//! The accepted traces beside the scenarios: which files a run leaves there.

use std::path::{Path, PathBuf};

use super::Console;
use crate::judge::outcome::{Comparison, Outcome};

/// What to do with traces that differ from the accepted ones.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Update {
    /// Write nothing
    None,
    /// Accept traces that have no accepted one yet
    Missing,
    /// Accept traces that differ
    Changed,
    /// Accept both
    All,
}

/// Whether the trace of an outcome still awaits review after `--update`.
pub(super) fn stays_pending(outcome: &Outcome, update: Option<Update>) -> bool {
    match outcome.comparison {
        Comparison::New(_) => !accepts_new(update),
        Comparison::Changed { .. } => !accepts_changed(update),
        Comparison::Same | Comparison::Skipped => false,
    }
}

const fn accepts_new(update: Option<Update>) -> bool {
    matches!(update, Some(Update::Missing | Update::All))
}

const fn accepts_changed(update: Option<Update>) -> bool {
    matches!(update, Some(Update::Changed | Update::All))
}

/// The path of an accepted trace below the suite.
pub(super) fn path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.snap"))
}

/// Writes accepted and pending traces. Without a folder (the built-in suite) there is nowhere to
/// write, unless `pending_dir` says where.
pub(super) fn keep(
    outcomes: &[Outcome],
    dir: Option<&Path>,
    pending_dir: Option<&Path>,
    update: Option<Update>,
    console: &Console,
) {
    let update = update.or_else(|| std::env::var_os("CI").map(|_| Update::None));
    for outcome in outcomes {
        let (text, accepted) = match &outcome.comparison {
            Comparison::New(text) => (text, accepts_new(update)),
            Comparison::Changed { new, .. } => (new, accepts_changed(update)),
            Comparison::Same => {
                // What was pending is as it was again.
                if let Some(dir) = pending_dir.or(dir) {
                    let _ = std::fs::remove_file(path(dir, &outcome.name()).with_extension("snap.new"));
                }
                continue;
            }
            Comparison::Skipped => continue,
        };
        let target = match (accepted, update) {
            (true, _) => dir.map(|dir| path(dir, &outcome.name())),
            (false, Some(Update::None)) => None,
            (false, _) => pending_dir.or(dir).map(|dir| path(dir, &outcome.name()).with_extension("snap.new")),
        };
        let Some(target) = target else { continue };
        if let Err(error) = write(&target, text) {
            console.talk(&format!("warning[E0704]: {} cannot be written: {error}\n", target.display()));
        }
        if accepted {
            // What was pending is decided.
            let _ = std::fs::remove_file(target.with_extension("snap.new"));
        }
    }
}

fn write(target: &Path, text: &str) -> std::io::Result<()> {
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(target, text)
}
