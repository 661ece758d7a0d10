//! How a new trace differs from the accepted one, message by message.

use std::fmt::Write as _;

use similar::{ChangeTag, TextDiff};

use super::style::{bad, faint, good, strong};

/// Lines of context around a change.
const CONTEXT: usize = 2;

/// The messages that differ, each with the lines that differ; never the whole trace.
pub fn of_snapshots(old: &str, new: &str) -> String {
    let diff = TextDiff::configure().timeout(std::time::Duration::from_secs(2)).diff_lines(old, new);
    let mut out = String::new();
    let messages = |text: &str| text.lines().filter(|line| line.starts_with('#')).count();
    let _ = writeln!(
        out,
        " {} lines differ; {} messages before, {} now",
        diff.iter_all_changes().filter(|change| change.tag() != ChangeTag::Equal).count(),
        messages(old),
        messages(new)
    );
    for group in diff.grouped_ops(CONTEXT) {
        if let Some(place) = group.first().and_then(|op| heading(new, op.new_range().start)) {
            let _ = writeln!(out, "   {}", strong(super::escape::visible(place)));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let text = super::escape::visible(change.value().trim_end_matches('\n')).into_owned();
            let _ = match change.tag() {
                ChangeTag::Equal => writeln!(out, "       {}", faint(text)),
                ChangeTag::Delete => writeln!(out, "     {}", bad(format!("- {text}"))),
                ChangeTag::Insert => writeln!(out, "     {}", good(format!("+ {text}"))),
            };
        }
    }
    out
}

/// The head of the message in which a line stands.
fn heading(text: &str, line: usize) -> Option<&str> {
    text.lines().take(line + 1).filter(|line| line.starts_with('#')).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown() {
        let old = "#1 pf -> bob  sip\nINVITE\nA: 1\nB: 2\nC: 3\nD: 4\nE: 5\n#2 bob -> pf  sip\nOK\n";
        let new = old.replace("E: 5", "E: 6");
        let text = of_snapshots(old, &new);
        assert!(text.contains("#1 pf -> bob  sip") && text.contains("- E: 5") && text.contains("+ E: 6"), "{text}");
        assert!(!text.contains("A: 1"), "{text}");
    }
}
