//! How a new trace differs from the accepted one, message by message.

use std::fmt::Write as _;

use super::escape::{bounded, visible};
use super::style::{bad, faint, good, odd, strong};
use crate::judge::outcome::{Comparison, Outcome};
use crate::trace::snapshot::{Change, Line, Snapshot, compare};

/// Lines of one difference that a run shows; a review shows all.
const SHOWN: usize = 24;

/// What is different between two snapshot files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Whether there is no accepted trace yet.
    first: bool,
    /// Messages of the new trace.
    messages: usize,
    changes: Vec<Change>,
}

impl Difference {
    /// Compares two snapshot files; an empty old one means that nothing was accepted yet.
    pub fn of(old: &str, new: &str) -> Self {
        let content = |file: &str| Snapshot::parse(file).map(|snapshot| snapshot.content).unwrap_or_default();
        let (old, new) = (content(old), content(new));
        let messages = new.lines().filter(|line| line.starts_with('#')).count();
        let changes = if old.is_empty() { Vec::new() } else { compare(&old, &new) };
        Self { first: old.is_empty(), messages, changes }
    }

    /// What traces that changed alike share, whichever of their messages it befell.
    pub fn signature(&self) -> Vec<String> {
        let first = self.first.then(|| format!("new: {}", self.messages));
        first.into_iter().chain(self.changes.iter().map(Change::signature)).collect()
    }

    /// One line: how much it is.
    pub fn headline(&self) -> String {
        if self.first {
            format!("a trace of {} messages where there is no accepted one yet", self.messages)
        } else {
            format!("{} of {} messages differ", self.changes.len(), self.messages)
        }
    }

    /// The messages that differ, each with the lines that differ; never the whole trace.
    pub fn text(&self) -> String {
        self.changes.iter().fold(String::new(), |mut out, change| {
            show(change, &mut out);
            out
        })
    }
}

fn show(change: &Change, out: &mut String) {
    let line = |text: &dyn ToString| bounded(&text.to_string(), 200);
    let _ = match change {
        Change::Inserted { .. } => writeln!(out, "   {}", good(line(change))),
        Change::Missing { .. } => writeln!(out, "   {}", bad(line(change))),
        Change::Moved { .. } => writeln!(out, "   {}", odd(line(change))),
        Change::Changed { title, start, lines } => {
            let _ = writeln!(out, "   {}", strong(line(&format!("~ {title}: {start}"))));
            for changed in lines {
                let text = line(changed);
                let _ = match changed {
                    Line::Kept(_) => writeln!(out, "       {}", faint(text)),
                    Line::Gone(_) => writeln!(out, "       {}", bad(text)),
                    Line::New(_) => writeln!(out, "       {}", good(text)),
                };
            }
            Ok(())
        }
    };
}

/// The traces of a run that differ from what is accepted: those that changed alike stand together,
/// with what changed told once.
pub fn of_outcomes(outcomes: &[Outcome]) -> String {
    let mut groups: Vec<(Difference, Vec<String>)> = Vec::new();
    for outcome in outcomes {
        let difference = match &outcome.comparison {
            Comparison::New(new) => Difference::of("", new),
            Comparison::Changed { old, new } => Difference::of(old, new),
            Comparison::Same | Comparison::Skipped => continue,
        };
        match groups.iter_mut().find(|(known, _)| known.first == difference.first && known.signature() == difference.signature()) {
            Some((_, names)) => names.push(outcome.name()),
            None => groups.push((difference, vec![outcome.name()])),
        }
    }
    groups.iter().map(|(difference, names)| of_group(difference, names)).collect()
}

fn of_group(difference: &Difference, names: &[String]) -> String {
    let word = if difference.first { "new" } else { "changed" };
    let mut out = String::new();
    for name in names {
        let _ = writeln!(out, "  {} {}", odd(format!("{word:<8}")), visible(name));
    }
    let alike = if names.len() > 1 { ", the same in each" } else { "" };
    let _ = writeln!(out, "   {}{alike}", difference.headline());
    let text = difference.text();
    let lines: Vec<&str> = text.lines().collect();
    for line in lines.iter().take(SHOWN) {
        let _ = writeln!(out, "{line}");
    }
    if lines.len() > SHOWN {
        let _ = writeln!(out, "   {}", faint(format!("… {} more lines", lines.len() - SHOWN)));
    }
    out
}

/// How a file is to change, in the form of `diff -u`.
pub fn unified(path: &str, old: &str, new: &str) -> String {
    let diff = similar::TextDiff::from_lines(old, new);
    let text = diff.unified_diff().context_radius(3).header(path, path).to_string();
    text.lines().fold(String::new(), |mut out, line| {
        let shown = visible(line).into_owned();
        // Writing to a string does not fail.
        let _ = match line.chars().next() {
            Some('+') => writeln!(out, "{}", good(shown)),
            Some('-') => writeln!(out, "{}", bad(shown)),
            Some('@') => writeln!(out, "{}", faint(shown)),
            _ => writeln!(out, "{shown}"),
        };
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str =
        "---\nsource: a\n---\n#1 pf -> bob  SIP TCP\nINVITE sip:x SIP/2.0\nA: 1\nE: 5\n\n#2 bob -> pf  SIP TCP\nSIP/2.0 200 OK\n";

    #[test]
    fn only_what_differs_is_shown() {
        let difference = Difference::of(OLD, &OLD.replace("E: 5", "E: 6"));
        let text = difference.text();
        assert_eq!(difference.headline(), "1 of 2 messages differ");
        assert!(text.contains("- E: 5") && text.contains("+ E: 6"), "{text}");
        assert!(!text.contains("#2"), "{text}");
    }

    #[test]
    fn a_first_trace_is_no_difference() {
        assert_eq!(Difference::of("", OLD).headline(), "a trace of 2 messages where there is no accepted one yet");
        assert_eq!(Difference::of("", OLD).text(), "");
    }
}
