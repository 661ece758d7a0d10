//! How a new trace differs from the accepted one, message by message.

use std::fmt::Write as _;

use super::escape::visible;
use super::style::{bad, faint, good, odd, strong};
use crate::trace::snapshot::{Change, Line, Snapshot, compare};

/// The messages that differ, each with the lines that differ; never the whole trace.
pub fn of_snapshots(old: &str, new: &str) -> String {
    let content = |file: &str| Snapshot::parse(file).map(|snapshot| snapshot.content).unwrap_or_default();
    let (old, new) = (content(old), content(new));
    let messages = new.lines().filter(|line| line.starts_with('#')).count();
    if old.is_empty() {
        return format!(" a trace of {messages} messages where there is no accepted one yet\n");
    }
    let changes = compare(&old, &new);
    let mut out = format!(" {} of {messages} messages differ\n", changes.len());
    changes.iter().for_each(|change| show(change, &mut out));
    out
}

fn show(change: &Change, out: &mut String) {
    let _ = match change {
        Change::Inserted { .. } => writeln!(out, "   {}", good(visible(&change.to_string()))),
        Change::Missing { .. } => writeln!(out, "   {}", bad(visible(&change.to_string()))),
        Change::Moved { .. } => writeln!(out, "   {}", odd(visible(&change.to_string()))),
        Change::Changed { title, start, lines } => {
            let _ = writeln!(out, "   {}", strong(visible(&format!("~ {title}: {start}"))));
            for line in lines {
                let text = visible(&line.to_string()).into_owned();
                let _ = match line {
                    Line::Kept(_) => writeln!(out, "       {}", faint(text)),
                    Line::Gone(_) => writeln!(out, "       {}", bad(text)),
                    Line::New(_) => writeln!(out, "       {}", good(text)),
                };
            }
            Ok(())
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown() {
        let old = "---\nsource: a\n---\n#1 pf -> bob  SIP TCP\nINVITE sip:x SIP/2.0\nA: 1\nE: 5\n\n#2 bob -> pf  SIP TCP\nSIP/2.0 200 OK\n";
        let new = old.replace("E: 5", "E: 6");
        let text = of_snapshots(old, &new);
        assert!(text.contains("- E: 5") && text.contains("+ E: 6") && text.starts_with(" 1 of 2 messages differ"), "{text}");
        assert!(!text.contains("#2"), "{text}");
    }
}
