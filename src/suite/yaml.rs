//! YAML as a tree that keeps the source text and the place of everything.
//!
//! This is the one place that knows YAML. Events come from the parser that serde-saphyr is built
//! on, since only they tell how a scalar was quoted, and where a key, an anchor or a tag stands. A
//! scalar is never typed here: `no`, `010` and `1:30` stay what was written.

use std::fmt::Write as _;

use serde_yaml::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StructureStyle};

use super::diagnostics::{Diagnostic, Mistakes};
use super::source::SourceFile;
use crate::pattern::ast::Place;

/// A node of the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub place: Place,
}

/// What a node is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A scalar.
    Scalar {
        /// Its text; escapes of a quoted scalar are resolved, nothing else is.
        text: String,
        /// Whether it was quoted, or a block scalar.
        quoted: bool,
    },
    /// A mapping, in the order of the file.
    Mapping(Vec<Entry>),
    /// A sequence.
    Sequence(Vec<Node>),
}

/// A key and its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The key.
    pub key: Text,
    /// The value.
    pub value: Node,
}

/// A text and its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text {
    /// The text.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}

impl Node {
    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Mapping(_) | Kind::Sequence(_) => None,
        }
    }

    /// Whether nothing was written: `key:` and no value.
    pub fn is_empty(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, quoted: false } if text.is_empty())
    }

    /// The entries of a mapping.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.kind {
            Kind::Mapping(entries) => Some(entries),
            Kind::Scalar { .. } | Kind::Sequence(_) => None,
        }
    }

    /// The members of a sequence.
    pub fn members(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::Sequence(members) => Some(members),
            Kind::Scalar { .. } | Kind::Mapping(_) => None,
        }
    }

    /// What it is, for a person.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar { .. } if self.is_empty() => "nothing",
            Kind::Scalar { .. } => "a text",
            Kind::Mapping(_) => "a mapping",
            Kind::Sequence(_) => "a list",
        }
    }
}

/// Reads a file. What is wrong goes to `mistakes`; a syntax error leaves no tree.
pub fn parse(file: u32, source: &SourceFile, mistakes: &mut Mistakes) -> Option<Node> {
    if let Some(diagnostic) = tab_indentation(file, source) {
        mistakes.push(diagnostic);
        return None;
    }
    let mut reader = Reader { file, source, events: Parser::new_from_str(&source.text), mistakes, documents: 0, depth: 0 };
    match reader.document() {
        Ok(node) => node,
        Err(fault) => {
            let diagnostic = syntax_error(file, source, &fault);
            mistakes.push(diagnostic);
            None
        }
    }
}

struct Reader<'s, 'm> {
    file: u32,
    source: &'s SourceFile,
    events: Parser<'s, serde_yaml::granit_parser::StrInput<'s>>,
    mistakes: &'m mut Mistakes,
    documents: usize,
    depth: usize,
}

/// Nothing that an author writes is nested deeper; what is would exhaust the stack.
const DEPTH: usize = 64;

type Next<'s> = (Event<'s>, Span);

impl<'s> Reader<'s, '_> {
    fn next(&mut self) -> Result<Option<Next<'s>>, ScanError> {
        self.events.next_event().transpose()
    }

    fn document(&mut self) -> Result<Option<Node>, ScanError> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentEnd | Event::StreamEnd => {}
                Event::DocumentStart(..) => {
                    self.documents += 1;
                    if self.documents > 1 {
                        let place = self.place(&span);
                        self.mistakes
                            .push(Diagnostic::new("Y0001", place, "a file holds one document").label("a second one starts here"));
                        return Ok(root);
                    }
                }
                event => root = self.node(event, &span)?,
            }
        }
        Ok(root)
    }

    fn place(&self, span: &Span) -> Place {
        let byte = |mark: &serde_yaml::granit_parser::Marker| u32::try_from(mark.byte_offset().unwrap_or(0)).unwrap_or(u32::MAX);
        Place { file: self.file, start: byte(&span.start), end: byte(&span.end).max(byte(&span.start)) }
    }

    /// A node from its first event on; `None` for an event that is none.
    fn node(&mut self, event: Event<'s>, span: &Span) -> Result<Option<Node>, ScanError> {
        let place = self.place(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_sharing(anchor != 0, tag.is_some(), place);
                let place = self.trimmed(place, style);
                let quoted = style != ScalarStyle::Plain;
                // An empty plain scalar is written as nothing; the parser reports `~` for it.
                let text = if !quoted && place.start == place.end { String::new() } else { text.into_owned() };
                Ok(Some(Node { kind: Kind::Scalar { text, quoted }, place }))
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.mistakes.push(
                    Diagnostic::new("Y0005", place, "aliases are not part of the language")
                        .label("an alias")
                        .help("quote the value if it is a text; share steps and keys with `use`"),
                );
                Ok(Some(Node { kind: Kind::Scalar { text: String::new(), quoted: false }, place }))
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_sharing(anchor != 0, tag.is_some(), place);
                self.deeper(span, |reader| reader.sequence(place))
            }
            Event::MappingStart(style, anchor, tag) => {
                self.refuse_sharing(anchor != 0, tag.is_some(), place);
                self.deeper(span, |reader| reader.mapping(place, style == StructureStyle::Flow))
            }
            _ => Ok(None),
        }
    }

    fn deeper(&mut self, span: &Span, read: impl FnOnce(&mut Self) -> Result<Node, ScanError>) -> Result<Option<Node>, ScanError> {
        if self.depth == DEPTH {
            return Err(ScanError::new(span.start, format!("more than {DEPTH} levels of nesting")));
        }
        self.depth += 1;
        let node = read(self);
        self.depth -= 1;
        node.map(Some)
    }

    /// Anchors and tags are mistakes, because `use` is the way to share.
    fn refuse_sharing(&mut self, anchored: bool, tagged: bool, place: Place) {
        if anchored {
            let place = self.word_before(place, '&');
            self.mistakes.push(
                Diagnostic::new("Y0005", place, "anchors are not part of the language")
                    .label("an anchor")
                    .help("quote the value if it is a text; share steps and keys with `use`"),
            );
        }
        if tagged {
            let place = self.word_before(place, '!');
            self.mistakes.push(
                Diagnostic::new("Y0005", place, "tags are not part of the language")
                    .label("a tag")
                    .help("quote the value if it is a text"),
            );
        }
    }

    /// The word that starts with `sign` on the line of `place`, before it.
    fn word_before(&self, place: Place, sign: char) -> Place {
        let (line, _) = self.source.position(place.start as usize);
        let start = self.source.line_start(line);
        let text = self.source.text.get(start..(place.start as usize).max(start)).unwrap_or("");
        match text.rfind(sign) {
            Some(at) => {
                let word = text[at..].trim_end().len();
                let start = u32::try_from(start + at).unwrap_or(place.start);
                Place { file: place.file, start, end: start + u32::try_from(word).unwrap_or(1) }
            }
            None => place,
        }
    }

    /// A plain scalar's span without the blanks and comments after it.
    fn trimmed(&self, place: Place, style: ScalarStyle) -> Place {
        let text = self.source.text.get(place.start as usize..place.end as usize).unwrap_or("");
        let kept = if style == ScalarStyle::Plain { text.trim_end() } else { text.trim_end_matches(['\n', ' ']) };
        Place { end: place.start + u32::try_from(kept.len()).unwrap_or(0), ..place }
    }

    fn sequence(&mut self, start: Place) -> Result<Node, ScanError> {
        let mut members = Vec::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::SequenceEnd) {
                return Ok(Node { place: self.until(start, &span, members.last()), kind: Kind::Sequence(members) });
            }
            members.extend(self.node(event, &span)?);
        }
        Ok(Node { kind: Kind::Sequence(members), place: start })
    }

    fn mapping(&mut self, start: Place, flow: bool) -> Result<Node, ScanError> {
        let mut entries: Vec<Entry> = Vec::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::MappingEnd) {
                let place = self.until(start, &span, entries.last().map(|entry| &entry.value));
                return Ok(Node { place, kind: Kind::Mapping(entries) });
            }
            let Some(key) = self.node(event, &span)? else { continue };
            let Some((event, span)) = self.next()? else { break };
            let Some(value) = self.node(event, &span)? else { continue };
            self.entry(&mut entries, key, value, flow);
        }
        Ok(Node { kind: Kind::Mapping(entries), place: start })
    }

    fn entry(&mut self, entries: &mut Vec<Entry>, key: Node, value: Node, flow: bool) {
        let place = key.place;
        let Kind::Scalar { text, quoted } = key.kind else {
            self.mistakes.push(
                Diagnostic::new("Y0006", place, "a key is a text")
                    .label("not a text")
                    .help("quote this: a value that begins with `{` or `[` and goes on after it is a text, `\"…\"`"),
            );
            return;
        };
        if text == "<<" {
            let diagnostic = Diagnostic::new("Y0005", place, "`<<` is not part of the language").label("a merge key");
            self.mistakes.push(diagnostic.help("share steps and keys with `use`"));
            return;
        }
        let after = self.source.text.get(place.end as usize..).unwrap_or("");
        let colon = after.trim_start().starts_with(':');
        if flow && !quoted && !colon && value.is_empty() {
            self.mistakes.push(slip_in_flow(&text, place, entries.last(), &self.source.text));
            return;
        }
        if let Some(first) = entries.iter().find(|entry| entry.key.text == text) {
            let diagnostic = Diagnostic::new("Y0004", place, format!("key `{text}` stands twice in one mapping"))
                .label("again here")
                .secondary(first.key.place, "first here");
            let arrow = text.contains("->");
            let help = if arrow { "a second message is a step of its own: start it with `- `" } else { "keep one of them" };
            self.mistakes.push(diagnostic.help(help));
            return;
        }
        entries.push(Entry { key: Text { text, place }, value });
    }

    /// From the start of a collection to the end of its last member, or of its closing bracket.
    fn until(&self, start: Place, span: &Span, last: Option<&Node>) -> Place {
        let close = self.place(span);
        let end = if close.end > close.start { close.end } else { last.map_or(start.end, |last| last.place.end) };
        Place { end: end.max(start.end), ..start }
    }
}

/// `{ a: SIP;text="x, y" }` and `{a:1}`: a key without value is a slip of quoting.
fn slip_in_flow(text: &str, place: Place, before: Option<&Entry>, source: &str) -> Diagnostic {
    if let Some((name, value)) = text.split_once(':') {
        return Diagnostic::new("Y0006", place, format!("`{text}` is one word to YAML, a key without a value"))
            .label("no space after the colon")
            .help(format!("write `{name}: {value}`, or quote this if the colon belongs to the text"));
    }
    let mut diagnostic = Diagnostic::new("Y0006", place, format!("`{text}` is a key without a value"));
    if let Some(before) = before {
        let whole = source.get(before.value.place.start as usize..place.end as usize).unwrap_or(text);
        diagnostic = diagnostic
            .label("the comma before it ended the value")
            .secondary(before.value.place, "quote this")
            .help(format!("inside `{{ }}` a comma ends a value; quote this: `'{}'`", whole.replace('\'', "''")));
    } else {
        diagnostic = diagnostic.label("no value").help("write `key: value`, or quote a text that begins with `{`");
    }
    diagnostic
}

/// YAML forbids tabs in indentation; the parser's own words for it are hard to read.
fn tab_indentation(file: u32, source: &SourceFile) -> Option<Diagnostic> {
    let mut at = 0;
    for line in source.text.split_inclusive('\n') {
        let lead = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line[..lead].find('\t').filter(|_| !line.trim().is_empty()) {
            let start = u32::try_from(at + tab).ok()?;
            let end = u32::try_from(at + lead).ok()?;
            let (number, _) = source.position(at);
            let place = Place { file, start, end };
            return Some(
                Diagnostic::new("Y0002", place, format!("line {number} is indented with a tab"))
                    .label("a tab")
                    .help("YAML is indented with spaces"),
            );
        }
        at += line.len();
    }
    None
}

/// What the parser could not read, with the cause that authors hit most often.
fn syntax_error(file: u32, source: &SourceFile, fault: &ScanError) -> Diagnostic {
    let mark = fault.marker();
    let (line, start) = (mark.line(), mark.byte_offset().unwrap_or(0).min(source.text.len()));
    if let Some(diagnostic) = unquoted_sign(file, source, line) {
        return diagnostic;
    }
    if let Some(diagnostic) = mis_indented(file, source, line) {
        return diagnostic;
    }
    let rest = source.line(line);
    let end = source.line_start(line) + rest.len();
    let end = if start < end { end } else { start };
    let place = Place { file, start: u32::try_from(start).unwrap_or(0), end: u32::try_from(end).unwrap_or(0) };
    let mut note = String::new();
    let _ = write!(note, "the YAML reader says: {}", fault.info());
    Diagnostic::new("Y0001", place, "this is not YAML")
        .label("the reader stops here")
        .help("a text that holds `: `, ` #`, a quote or a bracket is quoted: '…'")
        .note(note)
}

/// A plain value cannot begin with some signs.
fn unquoted_sign(file: u32, source: &SourceFile, line: usize) -> Option<Diagnostic> {
    let number = [line, line.saturating_sub(1)].into_iter().find(|line| value_with_sign(source.line(*line)).is_some())?;
    let (at, value) = value_with_sign(source.line(number))?;
    let start = u32::try_from(source.line_start(number) + at).ok()?;
    let place = Place { file, start, end: start + u32::try_from(value.len()).ok()? };
    let sign = value.chars().next()?;
    Some(
        Diagnostic::new("Y0006", place, format!("a value that begins with `{sign}` is quoted"))
            .label("quote this")
            .help(format!("write '{value}'")),
    )
}

fn value_with_sign(line: &str) -> Option<(usize, &str)> {
    let starts = line.match_indices(": ").map(|(at, sign)| at + sign.len());
    starts.map(|at| at + line[at..].len() - line[at..].trim_start().len()).find_map(|at| {
        let value = line[at..].split(" #").next()?.split(" }").next()?.trim_end().trim_end_matches([',', ']']);
        value.starts_with(['*', '&', '%', '@', '`', '!']).then_some((at, value))
    })
}

/// A line whose column is none of its neighbours': mock-up `line 4 is indented 3 columns; its
/// siblings use 4`.
fn mis_indented(file: u32, source: &SourceFile, line: usize) -> Option<Diagnostic> {
    let indent = |number: usize| {
        let text = source.line(number);
        (!text.trim().is_empty() && !text.trim_start().starts_with('#')).then(|| text.len() - text.trim_start().len())
    };
    for number in [line, line.saturating_sub(1)] {
        let Some(own) = indent(number) else { continue };
        let Some(before) = (1..number).rev().find_map(indent) else { continue };
        let opens =
            (1..number).rev().find(|number| indent(*number).is_some()).is_some_and(|at| source.line(at).trim_end().ends_with(':'));
        let known = (1..number).rev().filter_map(indent).any(|other| other == own);
        if known || own == 0 || (own > before && opens) {
            continue;
        }
        let sibling =
            if own > before { before } else { (1..number).rev().filter_map(indent).filter(|other| *other > own).min()? };
        let start = u32::try_from(source.line_start(number)).ok()?;
        let place = Place { file, start, end: start + u32::try_from(own).ok()? };
        return Some(
            Diagnostic::new("Y0008", place, format!("line {number} is indented {own} columns; its siblings use {sibling}"))
                .label(format!("{own} columns"))
                .help(format!("indent it {sibling} columns")),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::source::Sources;

    fn read(text: &str) -> (Option<Node>, Vec<Diagnostic>) {
        let sources = Sources::of_texts("test", [("a.yaml", text)]);
        let mut mistakes = Mistakes::default();
        let node = parse(0, &sources.files[0], &mut mistakes);
        (node, mistakes.into_sorted())
    }

    fn scalars(node: &Node, text: &str, out: &mut Vec<(String, String)>) {
        let shown = |place: Place| text[place.start as usize..place.end as usize].to_owned();
        match &node.kind {
            Kind::Scalar { text, .. } => out.push((text.clone(), shown(node.place))),
            Kind::Mapping(entries) => {
                for entry in entries {
                    out.push((entry.key.text.clone(), shown(entry.key.place)));
                    scalars(&entry.value, text, out);
                }
            }
            Kind::Sequence(members) => members.iter().for_each(|member| scalars(member, text, out)),
        }
    }

    #[test]
    fn scalars_keep_their_text_and_their_place() {
        let text = "äöü: no   # a comment\n- bob -> pf \"X\": { a: 010, \"b c\": 'it''s', d: [1:30, ~] }\n".replace("- bob", "bob");
        let (node, mistakes) = read(&text);
        assert_eq!(mistakes, []);
        let mut found = Vec::new();
        scalars(&node.unwrap(), &text, &mut found);
        let found: Vec<(&str, &str)> = found.iter().map(|(text, shown)| (text.as_str(), shown.as_str())).collect();
        assert_eq!(
            found,
            [
                ("äöü", "äöü"),
                ("no", "no"),
                ("bob -> pf \"X\"", "bob -> pf \"X\""),
                ("a", "a"),
                ("010", "010"),
                ("b c", "\"b c\""),
                ("it's", "'it''s'"),
                ("d", "d"),
                ("1:30", "1:30"),
                ("~", "~")
            ]
        );
    }

    #[test]
    fn block_scalars_and_crlf_are_read() {
        let (node, mistakes) = read("a: |\r\n  one\r\n  two\r\nb: >-\r\n  three\r\n  four\r\nc:\r\n");
        assert_eq!(mistakes, []);
        let node = node.unwrap();
        let texts: Vec<&str> = node.entries().unwrap().iter().filter_map(|entry| entry.value.text()).collect();
        assert_eq!(texts, ["one\ntwo\n", "three four", ""]);
        assert!(node.entries().unwrap()[2].value.is_empty());
    }

    #[test]
    fn what_shares_or_repeats_is_refused_with_its_place() {
        let codes = |text: &str| read(text).1.iter().map(|mistake| mistake.code).collect::<Vec<_>>();
        assert_eq!(codes("a: &x 1\nb: *x\n"), ["Y0005", "Y0005"]);
        assert_eq!(codes("a: !t 1\n<<: { b: 1 }\n"), ["Y0005", "Y0005"]);
        assert_eq!(codes("a: 1\na: 2\n"), ["Y0004"]);
        assert_eq!(codes("{ a: x, y z }\n"), ["Y0006"]);
        assert_eq!(codes("a: 1\n---\nb: 2\n"), ["Y0001"]);
        assert_eq!(codes(&"[".repeat(500)), ["Y0001"]);
        assert_eq!(codes(&format!("{}{}", "[".repeat(500), "]".repeat(500))), ["Y0001"]);
        assert_eq!(codes("a:\n\tb: 1\n"), ["Y0002"]);
    }
}
