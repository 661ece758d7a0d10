//! Message steps: who sends, what is awaited, and what belongs to it.

use std::time::Duration;

use super::catalogue::Level;
use super::diagnostics::Diagnostic;
use super::flow::{Flow, LEVELS, Spot};
use super::patterns::{Words, unknown_id};
use super::reader::{self, Fields};
use super::scenario::{Act, Expectation, Sending};
use super::threads::{Found, Thread};
use super::yaml::Entry;
use crate::pattern::ast::{End, Path, Pattern, Place, Role, Value, What};

/// Words of a step that only a sender has, and those that only an expectation has.
const SENDING: &[&str] = &["after", "raw", "chunk-size"];
const EXPECTING: &[&str] = &["within", "level", "because", "unanswered"];

impl Flow<'_> {
    /// Reads a message step.
    pub(super) fn message(&self, number: u32, entry: &Entry, spot: Spot<'_>) -> Option<Act> {
        let (pattern, words) = self.with_patterns(spot, |patterns| {
            let (pattern, words) = patterns.step(&entry.key, &entry.value, spot.scope)?;
            let pattern = match words.get("initial") {
                Some(node) => Pattern { initial: reader::flag(self.desk, node, "`initial`"), ..pattern },
                None => pattern,
            };
            Some((pattern, words))
        })?;
        self.check_ends(&pattern)?;
        let sends = self.sends(&pattern.from);
        self.check_words(&pattern, &words, sends);
        let dialog = self.reference(&words, "in", spot);
        let answers = self.reference(&words, "answers", spot);
        let unanswered = words.get("unanswered").is_some_and(|node| reader::flag(self.desk, node, "`unanswered`") == Some(true));
        let id = words.get("id").and_then(|node| reader::text(self.desk, node, "`id`"));
        let thread = Thread {
            step: number,
            pattern: &pattern,
            dialog: dialog.as_ref().map(|(name, place)| (name.as_str(), *place)),
            answers: answers.as_ref().map(|(name, place)| (name.as_str(), *place)),
            expected: !sends,
            unanswered,
        };
        let found = self.threads.borrow_mut().step(self.desk, &thread);
        let id = id.map(|id| if spot.prefix.is_empty() { id.to_owned() } else { format!("{}.{id}", spot.prefix) });
        if let Some(id) = &id {
            let place = words.get("id").map_or(pattern.place, |node| node.place);
            self.threads.borrow_mut().name(self.desk, id, number, place);
        }
        let save = self.saves(&words, spot);
        if sends {
            return self.sending(pattern, &words, id, dialog.map(|(name, _)| name), found);
        }
        self.checks.set(self.checks.get() + 1);
        let expectation = Expectation {
            pattern,
            id,
            dialog: dialog.map(|(name, _)| name),
            opened_by: found.opened_by,
            answers: found.answers,
            unanswered,
            answered_by: None,
            within: self.time(&words, "within"),
            save,
            level: words.get("level").and_then(|node| reader::word(self.desk, node, "`level`", &LEVELS)).unwrap_or(Level::Shall),
            because: self.because(&words),
        };
        Some(Act::Expect(Box::new(expectation)))
    }

    fn time(&self, words: &Words, word: &str) -> Option<Duration> {
        words.get(word).and_then(|node| reader::span(self.desk, node, &format!("`{word}`")))
    }

    fn because(&self, words: &Words) -> Option<String> {
        let node = words.get("because")?;
        let id = reader::text(self.desk, node, "`because`")?;
        (self.requirements)(id, node.place);
        Some(id.to_owned())
    }

    fn sending(&self, pattern: Pattern, words: &Words, id: Option<String>, dialog: Option<String>, found: Found) -> Option<Act> {
        for key in &pattern.keys {
            if let Some(why) = unsendable(&key.value) {
                self.desk.say(
                    Diagnostic::new("Y0037", key.place, format!("`{}` says {why}, and this step sends", key.path))
                        .label("what is to be sent?")
                        .secondary(pattern.place, format!("`{}` is played by the harness", pattern.from))
                        .help("a sending step names values: a text, a list, `absent`, `same-as`, `generate`"),
                );
            }
        }
        let number = |word: &str| words.get(word).and_then(|node| reader::count(self.desk, node, &format!("`{word}`")));
        Some(Act::Send(Box::new(Sending {
            id,
            dialog,
            opened_by: found.opened_by,
            answers: found.answers,
            after: self.time(words, "after").unwrap_or_default(),
            raw: words.get("raw").and_then(|node| reader::text(self.desk, node, "`raw`")).map(str::to_owned),
            chunk_size: number("chunk-size").map(|size| size as usize),
            pattern,
        })))
    }

    fn saves(&self, words: &Words, spot: Spot<'_>) -> Vec<(String, Path)> {
        let Some(fields) = words.get("save").and_then(|node| Fields::of(self.desk, node, "`save`")) else { return Vec::new() };
        let mut out = Vec::new();
        for entry in fields.entries {
            match entry.value.text().map(Path::parse) {
                Some(Ok(path)) => {
                    spot.scope.save(&entry.key.text);
                    out.push((entry.key.text.clone(), path));
                }
                _ => self.desk.say(
                    Diagnostic::new("Y0021", entry.value.place, "`save` keeps the value at a path")
                        .label("not a path")
                        .help("write `save: { name: Contact.uri }`"),
                ),
            }
        }
        out
    }

    /// The full name that `in` or `answers` means.
    fn reference(&self, words: &Words, word: &str, spot: Spot<'_>) -> Option<(String, Place)> {
        let node = words.get(word)?;
        let name = reader::text(self.desk, node, &format!("`{word}`"))?;
        let found = self.threads.borrow().resolve(spot.prefix, name);
        if found.is_none() {
            let threads = self.threads.borrow();
            self.desk.say(unknown_id(name, node.place).allowed("known are", name, threads.names()));
            self.broken.set(true);
        }
        Some((found?, node.place))
    }

    /// Whether the harness plays this end.
    fn sends(&self, from: &End) -> bool {
        let End::Actor { name, .. } = from else { return false };
        self.actors.iter().any(|actor| actor.name == *name && !actor.reference)
    }

    /// One end is under test; the other is not. The core may fork to a device.
    fn check_ends(&self, pattern: &Pattern) -> Option<()> {
        let iut = self.iut.to_string();
        let name = |end: &End| match end {
            End::Actor { name, .. } => name.to_string(),
            End::Any | End::Role(_) | End::Sender => "any".to_owned(),
        };
        let (from, to) = (name(&pattern.from), name(&pattern.to));
        let core = |name: &str| self.actors.iter().any(|actor| &*actor.name == name && actor.role == Role::Core);
        let fine = from != "any" && to != "any" && from != to && (from == iut || to == iut || core(&from) || core(&to));
        if fine {
            return Some(());
        }
        let why = if from == "any" || to == "any" {
            "a step names both ends; `any` is for `never`, `ignore` and rules".to_owned()
        } else if from == to {
            "sender and receiver are the same".to_owned()
        } else {
            format!("neither end is `{iut}`, so nobody under test is involved")
        };
        self.desk.say(Diagnostic::new("Y0052", pattern.place, why).label("these two ends"));
        None
    }

    fn check_words(&self, pattern: &Pattern, words: &Words, sends: bool) {
        let (other, why) = if sends {
            (EXPECTING, "is about a message that is awaited, and this step sends")
        } else {
            (SENDING, "is about a message that the harness sends, and this step waits for one")
        };
        for word in other {
            if let Some(place) = words.place(word) {
                self.desk.say(Diagnostic::new("Y0036", place, format!("`{word}` {why}")).label("not in this step").secondary(
                    pattern.place,
                    format!("`{}` {}", pattern.from, if sends { "is played by the harness" } else { "acts on its own" }),
                ));
            }
        }
        if sends && pattern.what == What::Lost {
            self.desk.say(
                Diagnostic::new("Y0036", pattern.place, "a connection is broken with `disconnect`")
                    .label("`LOST` is what the other end notices")
                    .help(format!("write `disconnect: {}`", pattern.from)),
            );
        }
    }
}

/// Why a value cannot be sent.
fn unsendable(value: &Value) -> Option<&'static str> {
    match value {
        Value::Literal(_) | Value::Absent | Value::SameAs { .. } | Value::Variable(_) | Value::Generate { .. } => None,
        Value::List(members) => members.iter().find_map(unsendable),
        Value::OneOf(choices) => {
            if choices.len() == 1 {
                unsendable(&choices[0])
            } else {
                Some("which values are allowed")
            }
        }
        Value::Present => Some("that something is there"),
        Value::Not(_) => Some("what is not there"),
        Value::Contains(_) | Value::Matches(_) => Some("what a text looks like"),
        Value::LessThan(_) | Value::GreaterThan(_) => Some("how large a number is"),
        Value::None(_) | Value::First(_) => Some("which elements there are"),
        Value::Bind(_) | Value::BindLatest(_) => Some("what to bind"),
    }
}
