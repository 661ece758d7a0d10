//! Conditions over policy and PICS: `policy NAME = value`, `policy NAME contains value`, `pics NAME`, `and`, `or`, `not`, `( )`.

use super::diagnostics::Diagnostic;
use super::reader::{self, Desk};
use super::yaml::Node;
use crate::pattern::ast::{Condition, Place};
use crate::policy;

/// Reads a condition.
pub(super) fn read(desk: &Desk, node: &Node) -> Option<Condition> {
    let text = reader::text(desk, node, "a condition")?;
    let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('=', " = ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { desk, words: &words, at: 0, place: node.place };
    let condition = reader.either();
    if let Some(condition) = condition
        && reader.at == words.len()
    {
        return Some(condition);
    }
    if !reader.told() {
        desk.say(
            Diagnostic::new("Y0057", node.place, format!("`{text}` is no condition"))
                .label(reader.words.get(reader.at).map_or_else(
                    || "something is missing at the end".to_owned(),
                    |word| format!("not understood from `{word}` on"),
                ))
                .help("write `policy NAME = value`, `policy NAME contains value`, `pics NAME`, joined with `and`, `or`, `not` and parentheses"),
        );
    }
    None
}

struct Reader<'w, 'd> {
    desk: &'d Desk,
    words: &'w [&'w str],
    at: usize,
    place: Place,
}

impl<'w> Reader<'w, '_> {
    fn take(&mut self, word: &str) -> bool {
        let is = self.words.get(self.at) == Some(&word);
        self.at += usize::from(is);
        is
    }

    fn next(&mut self) -> Option<&'w str> {
        let word = self.words.get(self.at).copied();
        self.at += usize::from(word.is_some());
        word
    }

    /// A knob that is wrong was told already.
    fn told(&self) -> bool {
        self.at > self.words.len()
    }

    fn either(&mut self) -> Option<Condition> {
        let mut left = self.both()?;
        while self.take("or") {
            left = Condition::Or(Box::new(left), Box::new(self.both()?));
        }
        Some(left)
    }

    fn both(&mut self) -> Option<Condition> {
        let mut left = self.single()?;
        while self.take("and") {
            left = Condition::And(Box::new(left), Box::new(self.single()?));
        }
        Some(left)
    }

    fn single(&mut self) -> Option<Condition> {
        if self.take("not") {
            return self.single().map(|inner| Condition::Not(Box::new(inner)));
        }
        if self.take("(") {
            let inner = self.either()?;
            return self.take(")").then_some(inner);
        }
        if self.take("pics") {
            return self.next().map(|name| Condition::Pics(name.to_owned()));
        }
        if !self.take("policy") {
            return None;
        }
        let name = self.next()?;
        let contains = self.take("contains");
        if !contains && !self.take("=") {
            return None;
        }
        let from = self.at;
        while self.words.get(self.at).is_some_and(|word| !matches!(*word, "and" | "or" | ")")) {
            self.at += 1;
        }
        let value = self.words[from..self.at].join(" ");
        if value.is_empty() {
            return None;
        }
        if !check_knob(self.desk, name, &value, self.place, self.place) {
            self.at = usize::MAX;
            return None;
        }
        let name = name.to_owned();
        Some(if contains { Condition::PolicyHas { name, value } } else { Condition::Policy { name, value } })
    }
}

/// Whether a knob and its value are allowed; what is not is told.
pub(super) fn check_knob(desk: &Desk, name: &str, value: &str, name_place: Place, value_place: Place) -> bool {
    let Some(knob) = policy::knob(name) else {
        desk.say(
            Diagnostic::new("Y0015", name_place, format!("policy `{name}` is not known"))
                .label("no such knob")
                .allowed("knobs are", name, policy::knobs().iter().map(|knob| knob.name))
                .note("`cpmcheck explain --policies` describes each of them"),
        );
        return false;
    };
    if let Err(why) = knob.check(value) {
        let mut diagnostic = Diagnostic::new("Y0016", value_place, why).label("not allowed");
        let words = knob.kind.words();
        if !words.is_empty() {
            diagnostic = diagnostic.allowed("allowed are", value, words.iter().copied());
        }
        desk.say(diagnostic.note(format!("{}: {}", knob.name, knob.doc)));
        return false;
    }
    true
}

/// Whether a condition comes out the same whatever is not in `policy`; `None` when it depends.
pub(super) fn constant(condition: &Condition, policy: &dyn Fn(&str) -> Option<String>) -> Option<bool> {
    match condition {
        Condition::Policy { name, value } => policy(name).map(|set| set == *value),
        Condition::PolicyHas { name, value } => policy(name).map(|set| policy::lists(&set, value)),
        Condition::Pics(_) => None,
        Condition::Not(inner) => constant(inner, policy).map(|inner| !inner),
        Condition::And(left, right) => match (constant(left, policy), constant(right, policy)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        },
        Condition::Or(left, right) => match (constant(left, policy), constant(right, policy)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
    }
}
