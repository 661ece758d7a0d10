//! Reads typed values out of nodes, and says what is wrong with them.

use std::cell::RefCell;
use std::time::Duration;

use super::diagnostics::{Diagnostic, Mistakes, nearest};
use super::yaml::{Entry, Node};
use crate::pattern::ast::Place;

/// Where mistakes go while a suite is read.
#[derive(Debug, Default)]
pub(super) struct Desk {
    mistakes: RefCell<Mistakes>,
}

impl Desk {
    pub(super) fn say(&self, diagnostic: Diagnostic) {
        self.mistakes.borrow_mut().push(diagnostic);
    }

    pub(super) fn len(&self) -> usize {
        self.mistakes.borrow().len()
    }

    pub(super) fn has_errors_since(&self, mark: usize) -> bool {
        self.mistakes.borrow().has_errors_since(mark)
    }

    /// Forgets what follows from mistakes that were told: a step that could not be read leaves the
    /// others without request, dialog and use; a misspelt variable leaves one that nobody reads.
    pub(super) fn forget_consequences(&self, mark: usize, broken: bool) {
        const OF_BROKEN: [&str; 6] = ["Y0029", "Y0030", "Y0031", "Y0033", "Y0044", "Y0045"];
        let mut mistakes = self.mistakes.borrow_mut();
        let misspelt = mistakes.has_code_since(mark, "Y0019");
        mistakes.forget_since(mark, |diagnostic| {
            (broken && OF_BROKEN.contains(&diagnostic.code)) || (misspelt && diagnostic.code == "Y0044")
        });
    }

    /// Lets a reader that takes mistakes by reference report here.
    pub(super) fn with<T>(&self, read: impl FnOnce(&mut Mistakes) -> T) -> T {
        read(&mut self.mistakes.borrow_mut())
    }

    pub(super) fn into_sorted(self) -> Vec<Diagnostic> {
        self.mistakes.into_inner().into_sorted()
    }
}

/// A mapping of which each field is taken once.
pub(super) struct Fields<'n> {
    /// The entries.
    pub(super) entries: &'n [Entry],
    /// Where the mapping stands.
    pub(super) place: Place,
}

impl<'n> Fields<'n> {
    /// The entries of a mapping; anything else is a mistake.
    pub(super) fn of(desk: &Desk, node: &'n Node, what: &str) -> Option<Self> {
        if node.is_empty() {
            return Some(Self { entries: &[], place: node.place });
        }
        let entries = node.entries();
        if entries.is_none() {
            desk.say(wrong_type(node, what, "a mapping"));
        }
        entries.map(|entries| Self { entries, place: node.place })
    }

    /// Reports every field that is none of `known`.
    pub(super) fn known(&self, desk: &Desk, what: &str, known: &[&str]) {
        for entry in self.entries.iter().filter(|entry| !known.contains(&entry.key.text.as_str())) {
            desk.say(unknown_field(entry, what, known));
        }
    }

    /// The value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries.iter().find(|entry| entry.key.text == name).map(|entry| &entry.value)
    }

    /// The value of a field that must be there.
    pub(super) fn need(&self, desk: &Desk, name: &str, what: &str) -> Option<&'n Node> {
        let node = self.get(name).filter(|node| !node.is_empty());
        let misspelt = |entry: &Entry| entry.key.text != name && nearest(&entry.key.text, [name]).is_some();
        if node.is_none() && !self.entries.iter().any(misspelt) {
            desk.say(
                Diagnostic::new("Y0009", head(self.place), format!("{what} lacks `{name}`"))
                    .label("in this mapping")
                    .help(format!("add `{name}: …`")),
            );
        }
        node
    }
}

/// A short stretch at the start of a place, to underline for what is missing.
fn head(place: Place) -> Place {
    Place { end: place.end.min(place.start + 1).max(place.start), ..place }
}

pub(super) fn unknown_field(entry: &Entry, what: &str, known: &[&str]) -> Diagnostic {
    Diagnostic::new("Y0003", entry.key.place, format!("unknown field `{}`", entry.key.text))
        .label(format!("no field of {what}"))
        .allowed("expected one of", &entry.key.text, known.iter().copied())
}

pub(super) fn wrong_type(node: &Node, what: &str, wanted: &str) -> Diagnostic {
    Diagnostic::new("Y0007", node.place, format!("{what} is {wanted}")).label(format!("this is {}", node.describe()))
}

pub(super) fn text<'n>(desk: &Desk, node: &'n Node, what: &str) -> Option<&'n str> {
    let text = node.text().filter(|_| !node.is_empty());
    if text.is_none() {
        desk.say(wrong_type(node, what, "a text"));
    }
    text
}

pub(super) fn members<'n>(desk: &Desk, node: &'n Node, what: &str) -> &'n [Node] {
    if node.is_empty() {
        return &[];
    }
    node.members().unwrap_or_else(|| {
        desk.say(wrong_type(node, what, "a list"));
        &[]
    })
}

/// A list of texts.
pub(super) fn texts<'n>(desk: &Desk, node: &'n Node, what: &str) -> Vec<(&'n str, Place)> {
    let members = members(desk, node, what);
    members
        .iter()
        .filter_map(|member| text(desk, member, &format!("a member of {what}")).map(|text| (text, member.place)))
        .collect()
}

pub(super) fn flag(desk: &Desk, node: &Node, what: &str) -> Option<bool> {
    match node.text() {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => {
            desk.say(
                Diagnostic::new("Y0010", node.place, format!("{what} is `true` or `false`"))
                    .label(format!("this is {}", node.describe())),
            );
            None
        }
    }
}

pub(super) fn count(desk: &Desk, node: &Node, what: &str) -> Option<u32> {
    number(desk, node, what).and_then(|number: u64| u32::try_from(number).ok())
}

pub(super) fn number<T: std::str::FromStr>(desk: &Desk, node: &Node, what: &str) -> Option<T> {
    let number = node.text().and_then(|text| text.parse().ok());
    if number.is_none() {
        let shown = node.text().map_or_else(|| node.describe().to_owned(), |text| format!("`{text}`"));
        desk.say(Diagnostic::new("Y0025", node.place, format!("{what} is a number, not {shown}")).label("not a number"));
    }
    number
}

/// A span of time: digits and `ms`, `s`, `m` or `h`.
pub(super) fn span_of(text: &str) -> Option<Duration> {
    let at = text.find(|char: char| !char.is_ascii_digit() && char != '.')?;
    let (digits, unit) = text.split_at(at);
    let scale = match unit.trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let number: f64 = digits.parse().ok()?;
    Duration::try_from_secs_f64(number * scale).ok()
}

pub(super) fn span(desk: &Desk, node: &Node, what: &str) -> Option<Duration> {
    let span = node.text().and_then(span_of);
    if span.is_none() {
        let shown = node.text().map_or_else(|| node.describe().to_owned(), |text| format!("`{text}`"));
        let mut diagnostic = Diagnostic::new("Y0024", node.place, format!("{what} is a span of time, not {shown}"));
        diagnostic = match node.text().filter(|text| text.parse::<f64>().is_ok()) {
            Some(bare) => diagnostic
                .label("a number without a unit")
                .help(format!("write `{bare}s` for seconds, `{bare}ms` for milliseconds")),
            None => diagnostic.label("not a span").help("write a number and a unit: `100ms`, `5s`, `2m`, `1h`"),
        };
        desk.say(diagnostic);
    }
    span
}

/// One word of a few.
pub(super) fn word<T: Copy>(desk: &Desk, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
    let text = text(desk, node, what)?;
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    if found.is_none() {
        desk.say(Diagnostic::new("Y0010", node.place, format!("{what} cannot be `{text}`")).label("not allowed here").allowed(
            "allowed are",
            text,
            words.iter().map(|(word, _)| *word),
        ));
    }
    found
}
