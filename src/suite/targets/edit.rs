//! Changes to a file of expected failures as text, so that comments, order and wording of what is
//! there stay as somebody wrote them.

use std::fmt::Write as _;
use std::ops::Range;

use super::expectations::{Entry, Expect, UNWRITTEN};

/// An entry that is to be written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Draft {
    /// The selector.
    pub selector: String,
    /// What is expected.
    pub expect: Expect,
    /// A field of `failure` and its value.
    pub failure: Option<(&'static str, String)>,
    /// What was seen, for a comment.
    pub seen: String,
    /// Why it is accepted; empty until somebody says it.
    pub because: String,
    /// Where it is followed up; empty until somebody says it.
    pub issue: String,
}

impl Draft {
    fn write(&self, indent: &str, out: &mut String) {
        let said = |text: &str| if text.is_empty() { UNWRITTEN.to_owned() } else { quoted(text) };
        // Writing to a string does not fail.
        let _ = writeln!(out, "{indent}# {}", self.seen.replace(|char: char| char.is_control(), " "));
        let _ = writeln!(out, "{indent}- match: {}", quoted(&self.selector));
        let _ = writeln!(out, "{indent}  expect: {}", self.expect.word());
        let _ = writeln!(out, "{indent}  because: {}", said(&self.because));
        let _ = writeln!(out, "{indent}  issue: {}", said(&self.issue));
        if let Some((field, value)) = &self.failure {
            let _ = writeln!(out, "{indent}  failure: {{ {field}: {} }}", quoted(value));
        }
    }
}

/// A text as a YAML scalar: plain where nothing in it can be misread.
fn quoted(text: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "/-_.@".contains(char);
    if text.starts_with(|char: char| char.is_ascii_alphabetic()) && text.chars().all(plain) {
        return text.to_owned();
    }
    // What JSON escapes, YAML reads alike between double quotes.
    serde_json::Value::from(text).to_string()
}

/// The text with further entries at its end, indented as those that are there.
pub fn append(text: &str, entries: &[Entry], drafts: &[Draft]) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let dash = blocks(text, entries).first().and_then(|block| lines.get(block.start)).copied().unwrap_or("");
    let indent = &dash[..dash.len() - dash.trim_start().len()];
    let mut out = text.to_owned();
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    for draft in drafts {
        if !out.is_empty() && !out.ends_with("\n\n") {
            out.push('\n');
        }
        draft.write(indent, &mut out);
    }
    out
}

/// The text without some of its entries; what was written right above one goes with it. `None` where
/// entries do not stand on lines of their own.
pub fn remove(text: &str, entries: &[Entry], gone: &[usize]) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let blocks = blocks(text, entries);
    let alone = |block: &Range<usize>| lines.get(block.start).is_some_and(|line| line.trim_start().starts_with('-'));
    if blocks.len() != entries.len() || !blocks.iter().all(alone) || blocks.windows(2).any(|pair| pair[0].start >= pair[1].start) {
        return None;
    }
    let mut kept = vec![true; lines.len()];
    for block in gone.iter().filter_map(|number| blocks.get(*number)) {
        let above = lines[..block.start].iter().rev().take_while(|line| line.trim_start().starts_with('#')).count();
        // The comment at the head of a file is about the file.
        let start = if above == block.start { block.start } else { block.start - above };
        kept[start..block.end].fill(false);
        let parted = start == 0 || lines[start - 1].trim().is_empty();
        let blank = |number: &usize| parted && lines[*number].trim().is_empty();
        (block.end..lines.len()).take_while(blank).for_each(|number| kept[number] = false);
    }
    let left: String = lines.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(line, _)| *line).collect();
    // No blank lines at the end where an entry stood.
    let last = kept.last().is_some_and(|kept| !kept);
    Some(if last && !left.is_empty() { format!("{}\n", left.trim_end()) } else { left })
}

/// The text with another expectation in these entries.
pub fn reword(text: &str, entries: &[&Entry], expect: Expect) -> String {
    let mut places: Vec<Range<usize>> =
        entries.iter().map(|entry| entry.expect_place.start as usize..entry.expect_place.end as usize).collect();
    places.sort_by_key(|place| std::cmp::Reverse(place.start));
    let mut out = text.to_owned();
    for place in places.into_iter().filter(|place| text.get(place.clone()).is_some()) {
        out.replace_range(place, expect.word());
    }
    out
}

/// The lines of each entry: from its dash to its last line that says something.
fn blocks(text: &str, entries: &[Entry]) -> Vec<Range<usize>> {
    let lines: Vec<&str> = text.lines().collect();
    let says = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let starts: Vec<usize> = entries
        .iter()
        .map(|entry| {
            let first = text.get(..entry.span.start as usize).unwrap_or("").matches('\n').count();
            let dash = |number: &usize| lines.get(*number).is_some_and(|line| line.trim_start().starts_with('-'));
            (0..=first).rev().find(dash).unwrap_or(first)
        })
        .collect();
    let end = |number: usize| starts.get(number + 1).copied().unwrap_or(lines.len());
    let block = |(number, start): (usize, &usize)| {
        let last = (*start..end(number)).rev().find(|line| says(lines[*line])).unwrap_or(*start);
        *start..last + 1
    };
    starts.iter().enumerate().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::super::expectations;
    use super::*;

    const FILE: &str = "# Known failures of the lab.\n\n- match: group/a   # the first\n  expect: fail\n  because: sends 480\n  issue: https://t.example/1\n\n\
        # Since the spring.\n- match: group/b\n  expect: \"fail\"\n  because: >\n    sends\n    nothing\n  issue: https://t.example/2\n\n- { match: group/c, expect: warn, because: late, issue: 'https://t.example/3' }\n";

    fn entries(text: &str) -> Vec<Entry> {
        let read = expectations("a.yaml", text.to_owned());
        assert!(read.mistakes.iter().all(|mistake| mistake.code == "T0016"), "{:?}", read.mistakes);
        read.value
    }

    fn selectors(text: &str) -> Vec<String> {
        entries(text).into_iter().map(|entry| entry.selector).collect()
    }

    #[test]
    fn an_entry_is_taken_out_with_what_is_right_above_it() {
        for (gone, left, lost) in [
            (0, ["group/b", "group/c"], "the first"),
            (1, ["group/a", "group/c"], "Since the spring"),
            (2, ["group/a", "group/b"], "late"),
        ] {
            let text = remove(FILE, &entries(FILE), &[gone]).expect("lines of their own");
            assert_eq!(selectors(&text), left);
            assert!(text.starts_with("# Known failures of the lab.\n\n") && !text.contains(lost), "{text}");
            assert!(!text.contains("\n\n\n"), "{text:?}");
        }
        let text = remove(FILE, &entries(FILE), &[0, 1, 2]).expect("lines of their own");
        assert_eq!((text.trim(), selectors(&text).len()), ("# Known failures of the lab.", 0));
    }

    #[test]
    fn entries_that_share_a_line_are_left_alone() {
        let text =
            "[{ match: a, expect: fail, because: b, issue: 'x://1' }, { match: c, expect: fail, because: d, issue: 'x://2' }]\n";
        assert_eq!(remove(text, &entries(text), &[0]), None);
    }

    #[test]
    fn what_is_appended_is_read_back_and_nothing_else_changes() {
        let draft = Draft {
            selector: "group/d@strict".to_owned(),
            failure: Some(("contains", "answered \"480\": \\ odd".to_owned())),
            seen: "2 of 2 runs:\nfailed".to_owned(),
            ..Draft::default()
        };
        for text in ["", FILE, FILE.trim_end(), "  - match: a\n    expect: fail\n    because: b\n    issue: x://1\n"] {
            let new = append(text, &entries(text), &[draft.clone(), Draft { selector: "tag:x y".to_owned(), ..draft.clone() }]);
            assert!(new.starts_with(text.trim_end()), "{new}");
            let read = entries(&new);
            let [.., first, second] = read.as_slice() else { panic!("{new}") };
            assert_eq!((first.selector.as_str(), second.selector.as_str()), ("group/d@strict", "tag:x y"));
            assert_eq!(
                first.failure.as_ref().and_then(|failure| failure.contains.clone()),
                draft.failure.as_ref().map(|(_, text)| text.clone())
            );
            assert_eq!((first.because.as_str(), read.len()), (UNWRITTEN, entries(text).len() + 2));
        }
    }

    #[test]
    fn a_failure_becomes_flaky_in_place() {
        let all = entries(FILE);
        let text = reword(FILE, &[&all[0], &all[1]], Expect::Flaky);
        assert_eq!(text.replace("expect: flaky", "expect: fail"), FILE.replace("\"fail\"", "fail"));
        assert!(entries(&text)[..2].iter().all(|entry| entry.expect == Expect::Flaky));
    }
}
