//! What differs between two snapshots, in terms of messages and header fields.

use std::fmt;

use similar::{Algorithm, ChangeTag, DiffOp, TextDiff, capture_diff_slices};

/// One block of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Block<'a> {
    /// Ends, protocol and first line without volatile parts: what makes it this message.
    identity: String,
    /// `#4 pf -> focus  SIP TCP`.
    title: &'a str,
    /// The first line of the message.
    start: &'a str,
    lines: Vec<&'a str>,
}

/// A line of a message that changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line {
    /// It is as it was; told for orientation.
    Kept(String),
    /// It is gone.
    Gone(String),
    /// It is new.
    New(String),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept(line) => write!(f, "  {line}"),
            Self::Gone(line) => write!(f, "- {line}"),
            Self::New(line) => write!(f, "+ {line}"),
        }
    }
}

/// One difference between an accepted trace and a new one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A message that was not there.
    Inserted {
        /// Its title in the new trace, `#4 pf -> focus  SIP TCP`.
        title: String,
        /// Its first line.
        start: String,
    },
    /// A message that is not there any more.
    Missing {
        /// Its title in the accepted trace.
        title: String,
        /// Its first line.
        start: String,
    },
    /// A message that stands elsewhere, unchanged but for its number.
    Moved {
        /// Its title in the accepted trace.
        from: String,
        /// Its title in the new trace.
        to: String,
        /// Its first line.
        start: String,
    },
    /// A message with other lines.
    Changed {
        /// Its title in the new trace.
        title: String,
        /// Its first line.
        start: String,
        /// The lines that differ, with the name of the field before each run.
        lines: Vec<Line>,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inserted { title, start } => write!(f, "+ {title}: {start}"),
            Self::Missing { title, start } => write!(f, "- {title}: {start}"),
            Self::Moved { from, to, start } => {
                let number = |title: &str| title.split(' ').next().unwrap_or("").to_owned();
                write!(f, "> {to}: {start} (was {})", number(from))
            }
            Self::Changed { title, start, lines } => {
                write!(f, "~ {title}: {start}")?;
                lines.iter().try_for_each(|line| write!(f, "\n    {line}"))
            }
        }
    }
}

impl Change {
    /// The change without the numbers of its messages: what traces that changed alike share.
    pub fn signature(&self) -> String {
        let bare = |title: &str| title.split_once(' ').map_or("", |(_, ends)| ends).to_owned();
        match self {
            Self::Inserted { title, start } => format!("+ {}: {start}", bare(title)),
            Self::Missing { title, start } => format!("- {}: {start}", bare(title)),
            Self::Moved { to, start, .. } => format!("> {}: {start}", bare(to)),
            Self::Changed { title, start, lines } => {
                let lines = lines.iter().filter(|line| !matches!(line, Line::Kept(_)));
                lines.fold(format!("~ {}: {start}", bare(title)), |text, line| format!("{text}\n{line}"))
            }
        }
    }
}

fn read(content: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for line in content.lines() {
        if let Some(rest) = line.strip_prefix('#') {
            let ends = rest.split_once(' ').map_or(rest, |(_, ends)| ends);
            blocks.push(Block { identity: ends.to_owned(), title: line, start: "", lines: Vec::new() });
        } else if let Some(block) = blocks.last_mut() {
            if block.start.is_empty() {
                block.start = line;
                block.identity = format!("{} {}", block.identity, kind_of(line));
            } else {
                if line.starts_with("CSeq:") {
                    block.identity.push_str(line.rsplit(' ').next().unwrap_or(""));
                }
                block.lines.push(line);
            }
        }
    }
    for block in &mut blocks {
        while block.lines.last().is_some_and(|line| line.is_empty()) {
            block.lines.pop();
        }
    }
    blocks
}

/// What kind of message a first line starts: a method, or the class of a code.
fn kind_of(start: &str) -> &str {
    let mut words = start.split(' ');
    match words.next().unwrap_or("") {
        "SIP/2.0" => "response",
        "MSRP" => match words.nth(1).unwrap_or("") {
            method @ ("SEND" | "REPORT") => method,
            _ => "response",
        },
        method => method,
    }
}

/// The differences, in the order of the new trace.
pub fn compare(accepted: &str, new: &str) -> Vec<Change> {
    let (old, new) = (read(accepted), read(new));
    let identities = |blocks: &[Block<'_>]| blocks.iter().map(|block| block.identity.clone()).collect::<Vec<_>>();
    let (old_ids, new_ids) = (identities(&old), identities(&new));
    let mut changes = Vec::new();
    let (mut missing, mut inserted) = (Vec::new(), Vec::new());
    for op in capture_diff_slices(Algorithm::Patience, &old_ids, &new_ids) {
        match op {
            DiffOp::Equal { old_index, new_index, len } => {
                let pairs = (0..len).map(|at| (&old[old_index + at], &new[new_index + at]));
                changes.extend(pairs.filter_map(|(old, new)| changed(old, new).map(|change| (new.title, change))));
            }
            DiffOp::Delete { old_index, old_len, .. } => missing.extend(old_index..old_index + old_len),
            DiffOp::Insert { new_index, new_len, .. } => inserted.extend(new_index..new_index + new_len),
            DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                missing.extend(old_index..old_index + old_len);
                inserted.extend(new_index..new_index + new_len);
            }
        }
    }
    for at in inserted {
        let block = &new[at];
        let origin = missing.iter().position(|from| old[*from].identity == block.identity && old[*from].start == block.start);
        let change = match origin.map(|place| missing.remove(place)) {
            Some(from) => {
                Change::Moved { from: old[from].title.to_owned(), to: block.title.to_owned(), start: block.start.to_owned() }
            }
            None => Change::Inserted { title: block.title.to_owned(), start: block.start.to_owned() },
        };
        changes.push((block.title, change));
    }
    changes.extend(
        missing
            .into_iter()
            .map(|at| (old[at].title, Change::Missing { title: old[at].title.to_owned(), start: old[at].start.to_owned() })),
    );
    let number =
        |title: &str| title.trim_start_matches('#').split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0_u32);
    changes.sort_by_key(|(title, _)| number(title));
    changes.into_iter().map(|(_, change)| change).collect()
}

fn changed(old: &Block<'_>, new: &Block<'_>) -> Option<Change> {
    if old.start == new.start && old.lines == new.lines {
        return None;
    }
    let mut lines = Vec::new();
    if old.start != new.start {
        lines.push(Line::Gone(old.start.to_owned()));
        lines.push(Line::New(new.start.to_owned()));
    }
    let diff = TextDiff::from_slices(&old.lines, &new.lines);
    let mut last_kept: Option<&str> = None;
    for change in diff.iter_all_changes() {
        let text = change.value().to_owned();
        match change.tag() {
            ChangeTag::Equal => last_kept = Some(change.value()),
            ChangeTag::Delete | ChangeTag::Insert => {
                // One line before a run tells where in the message it is.
                lines.extend(last_kept.take().filter(|kept| !kept.is_empty()).map(|kept| Line::Kept(kept.to_owned())));
                lines.push(if change.tag() == ChangeTag::Delete { Line::Gone(text) } else { Line::New(text) });
            }
        }
    }
    fold_length(&mut lines, body_of(&old.lines) != body_of(&new.lines));
    Some(Change::Changed { title: new.title.to_owned(), start: new.start.to_owned(), lines })
}

fn body_of<'b, 'a>(lines: &'b [&'a str]) -> &'b [&'a str] {
    let head = lines.iter().position(|line| line.is_empty()).unwrap_or(lines.len());
    &lines[head..]
}

/// A Content-Length that follows from another body is one line beside the point.
fn fold_length(lines: &mut Vec<Line>, body_differs: bool) {
    let length = |line: &Line| match line {
        Line::Gone(text) | Line::New(text) => text.strip_prefix("Content-Length: ").map(str::to_owned),
        Line::Kept(_) => None,
    };
    let pair = lines.windows(2).position(|pair| length(&pair[0]).is_some() && length(&pair[1]).is_some());
    let Some(at) = pair.filter(|_| body_differs) else { return };
    let (old, new) = (length(&lines[at]).unwrap_or_default(), length(&lines[at + 1]).unwrap_or_default());
    lines.splice(at..=at + 1, [Line::Kept(format!("Content-Length: {old} -> {new} (follows from the body)"))]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "#1 a -> pf  SIP TCP\nINVITE sip:x SIP/2.0\nCSeq: 1 INVITE\nSubject: one\n\n#2 pf -> a  SIP TCP\nSIP/2.0 200 OK\nCSeq: 1 INVITE\n\n#3 a -> pf  SIP TCP\nBYE sip:x SIP/2.0\nCSeq: 2 BYE";

    #[test]
    fn equal_traces_have_no_difference() {
        assert_eq!(compare(OLD, OLD), []);
    }

    #[test]
    fn a_new_field_is_shown_below_the_line_before_it() {
        let new = OLD.replace("Subject: one", "Subject: two");
        let changes = compare(OLD, &new);
        assert_eq!(
            changes[0].to_string(),
            "~ #1 a -> pf  SIP TCP: INVITE sip:x SIP/2.0\n      CSeq: 1 INVITE\n    - Subject: one\n    + Subject: two"
        );
    }

    #[test]
    fn a_length_that_follows_from_the_body_is_folded() {
        let old = "#1 a -> pf  SIP TCP\nMESSAGE sip:x SIP/2.0\nCSeq: 1 MESSAGE\nContent-Length: 3\n\none\\";
        let new = old.replace("Length: 3", "Length: 5").replace("one", "three");
        let Change::Changed { lines, .. } = &compare(old, &new)[0] else { panic!("a change") };
        let shown: Vec<String> = lines.iter().map(Line::to_string).collect();
        assert_eq!(shown, ["  CSeq: 1 MESSAGE", "  Content-Length: 3 -> 5 (follows from the body)", "- one\\", "+ three\\"]);
        let wrong = &compare(old, &old.replace("Length: 3", "Length: 4"))[0];
        assert!(wrong.to_string().contains("+ Content-Length: 4"), "{wrong}");
    }

    #[test]
    fn equal_changes_of_different_messages_have_one_signature() {
        let later = OLD.replace("#1", "#7");
        let changes = [
            compare(OLD, &OLD.replace("Subject: one", "Subject: two")),
            compare(&later, &later.replace("Subject: one", "Subject: two")),
        ];
        assert_ne!(changes[0], changes[1]);
        assert_eq!(changes[0][0].signature(), changes[1][0].signature());
    }

    #[test]
    fn another_answer_is_a_change_of_its_first_line() {
        let new = OLD.replace("200 OK", "480 Gone");
        let Change::Changed { lines, .. } = &compare(OLD, &new)[0] else { panic!("a change") };
        assert_eq!(lines, &[Line::Gone("SIP/2.0 200 OK".into()), Line::New("SIP/2.0 480 Gone".into())]);
    }

    #[test]
    fn messages_that_come_go_or_move_are_named() {
        let gone = OLD.split("\n\n#3").next().unwrap_or("");
        assert_eq!(compare(OLD, gone)[0].to_string(), "- #3 a -> pf  SIP TCP: BYE sip:x SIP/2.0");
        assert_eq!(compare(gone, OLD)[0].to_string(), "+ #3 a -> pf  SIP TCP: BYE sip:x SIP/2.0");
        let blocks: Vec<_> = OLD.split("\n\n").collect();
        let moved = [blocks[2].replace("#3", "#1"), blocks[0].replace("#1", "#2"), blocks[1].replace("#2", "#3")].join("\n\n");
        let changes = compare(OLD, &moved);
        assert!(matches!(&changes[..], [Change::Moved { .. }]), "{changes:?}");
    }
}
