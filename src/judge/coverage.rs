//! Coverage: how far each requirement is proven by the suite.
//!
//! *Linked*: a scenario lists it. *Shown*: its rules were satisfied in some run. *Proven*: every
//! tamper case of it was caught by its own rule; a MAY is proven once it is shown.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::outcome::{Outcome, RuleState};
use crate::suite::Suite;
use crate::suite::catalogue::{Exemption, Level, Requirement};

/// How far a requirement is covered; higher is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Coverage {
    /// No scenario lists it.
    #[default]
    None,
    /// A scenario lists it.
    Linked,
    /// Its rules were satisfied.
    Shown,
    /// Its tamper cases were caught.
    Proven,
}

impl Coverage {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Linked => "linked",
            Self::Shown => "shown",
            Self::Proven => "proven",
        }
    }
}

/// What is known of one requirement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its identifier.
    pub id: String,
    /// Its level.
    pub level: Level,
    /// Its clause.
    pub clause: String,
    /// How far it is covered.
    pub coverage: Coverage,
    /// Why it has no rule.
    pub untestable: Option<String>,
    /// How many of its tamper cases were caught.
    pub caught: usize,
    /// How many it has.
    pub tamper: usize,
    /// The scenarios that list it.
    pub scenarios: Vec<String>,
}

/// What became of the tamper cases of each requirement: caught, of how many.
pub type Proofs = BTreeMap<String, (usize, usize)>;

/// The coverage of every requirement of a suite, in the order of its catalogue.
pub fn measure(suite: &Suite, outcomes: &[Outcome], proofs: &Proofs) -> Vec<Entry> {
    suite.catalogue.requirements.iter().map(|requirement| entry(suite, requirement, outcomes, proofs)).collect()
}

fn entry(suite: &Suite, requirement: &Requirement, outcomes: &[Outcome], proofs: &Proofs) -> Entry {
    let lists = |scenario: &&crate::suite::scenario::Scenario| scenario.requirements.contains(&requirement.id);
    let scenarios: Vec<String> = suite.scenarios.iter().filter(lists).map(|scenario| scenario.id.clone()).collect();
    let states = || outcomes.iter().filter_map(|outcome| outcome.rules.get(&requirement.id));
    let shown = states().any(|state| *state == RuleState::Satisfied) && states().all(|state| *state != RuleState::Violated);
    let (caught, tamper) = proofs.get(&requirement.id).copied().unwrap_or((0, requirement.tamper.len()));
    let proven = requirement.level == Level::May || (tamper > 0 && caught == tamper);
    let coverage = match (scenarios.is_empty(), shown, proven) {
        (true, ..) => Coverage::None,
        (false, false, _) => Coverage::Linked,
        (false, true, false) => Coverage::Shown,
        (false, true, true) => Coverage::Proven,
    };
    Entry {
        id: requirement.id.clone(),
        level: requirement.level,
        clause: requirement.clause.clone(),
        coverage,
        untestable: requirement.exemption.as_ref().map(reason),
        caught,
        tamper,
        scenarios,
    }
}

fn reason(exemption: &Exemption) -> String {
    match exemption {
        Exemption::Untestable(why) => format!("untestable: {why}"),
        Exemption::Implicit(why) => format!("implicit: {why}"),
        Exemption::Editorial(why) => format!("editorial: {why}"),
        Exemption::Todo(why) => format!("todo: {why}"),
    }
}

const fn level(level: Level) -> &'static str {
    match level {
        Level::Shall => "SHALL",
        Level::Should => "SHOULD",
        Level::May => "MAY",
        Level::Note => "NOTE",
    }
}

/// The entries as a JSON array.
pub fn to_json(entries: &[Entry]) -> Value {
    let object = |entry: &Entry| {
        json!({
            "id": entry.id,
            "level": level(entry.level),
            "clause": entry.clause,
            "coverage": entry.coverage.name(),
            "untestable": entry.untestable,
            "tamper": { "caught": entry.caught, "of": entry.tamper },
        })
    };
    Value::Array(entries.iter().map(object).collect())
}

/// The entries as the text that is kept beside the suite: one line each, readable in a diff.
pub fn to_snapshot(entries: &[Entry]) -> String {
    entries.iter().map(|entry| format!("{}\n", snapshot_line(entry))).collect()
}

fn snapshot_line(entry: &Entry) -> String {
    let head = format!("{} {}", entry.id, level(entry.level));
    let mut words = vec![head];
    if let Some(why) = &entry.untestable {
        words.push(why.split(':').next().unwrap_or("exempt").to_owned());
    }
    if entry.coverage >= Coverage::Linked {
        words.push("linked".to_owned());
    }
    if entry.coverage >= Coverage::Shown {
        words.push("shown".to_owned());
    }
    match (entry.coverage, entry.tamper) {
        (Coverage::Proven, 0) => words.push("proven".to_owned()),
        (Coverage::Proven, of) => words.push(format!("proven({}/{of})", entry.caught)),
        (_, of) if of > 0 && entry.caught > 0 => words.push(format!("tamper({}/{of})", entry.caught)),
        _ if words.len() == 1 => words.push("none".to_owned()),
        _ => {}
    }
    words.join(" ")
}

/// How entries differ from what is kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// Lines that got worse: the old one and the new one.
    pub lost: Vec<(String, String)>,
    /// Lines that got better or are new.
    pub gained: Vec<String>,
}

/// Compares with the kept text.
pub fn compare(stored: &str, entries: &[Entry]) -> Change {
    let old: BTreeMap<&str, &str> = stored.lines().filter_map(|line| Some((line.split_whitespace().next()?, line))).collect();
    let mut change = Change::default();
    for entry in entries {
        let line = snapshot_line(entry);
        match old.get(entry.id.as_str()) {
            Some(known) if *known == line => {}
            Some(known) if rank(known) > rank(&line) => change.lost.push(((*known).to_owned(), line)),
            _ => change.gained.push(line),
        }
    }
    for (id, line) in old {
        if !entries.iter().any(|entry| entry.id == id) {
            change.lost.push((line.to_owned(), format!("{id} is gone")));
        }
    }
    change
}

/// Level of coverage first, then tamper cases caught.
fn rank(line: &str) -> (usize, usize) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let level =
        words.iter().filter(|word| word.starts_with("linked") || word.starts_with("shown") || word.starts_with("proven")).count();
    let caught = words.iter().find_map(|word| word.split_once('(')?.1.split('/').next()?.parse().ok());
    (level, caught.unwrap_or(0))
}

/// The requirements without a rule, each with the reason.
pub fn exempt(entries: &[Entry]) -> Vec<(&str, &str)> {
    entries.iter().filter_map(|entry| Some((entry.id.as_str(), entry.untestable.as_deref()?))).collect()
}

/// `SHALL 71/77 shown   SHOULD 5/6 shown   2 without a scenario   1 linked alone`.
pub fn summary(entries: &[Entry], at_least: Coverage) -> String {
    let mut parts = Vec::new();
    for wanted in [Level::Shall, Level::Should, Level::Note, Level::May] {
        let of: Vec<&Entry> = entries.iter().filter(|entry| entry.level == wanted && entry.untestable.is_none()).collect();
        if of.is_empty() {
            continue;
        }
        let reached = of.iter().filter(|entry| entry.coverage >= at_least).count();
        parts.push(format!("{} {reached}/{} {}", level(wanted), of.len(), at_least.name()));
    }
    let at = |level: Coverage| entries.iter().filter(|entry| entry.coverage == level && entry.untestable.is_none()).count();
    for (count, what) in [(at(Coverage::None), "without a scenario"), (at(Coverage::Linked), "linked alone")] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    parts.join("   ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_gets_worse_is_a_loss() {
        let stored = "A SHALL linked shown proven(2/2)\nB SHALL linked\nC MAY none\n";
        let now = [entry_of("A", Coverage::Shown, 1), entry_of("B", Coverage::Proven, 2), entry_of("C", Coverage::None, 0)];
        let change = compare(stored, &now);
        assert_eq!(change.lost, [("A SHALL linked shown proven(2/2)".to_owned(), "A SHALL linked shown tamper(1/2)".to_owned())]);
        assert_eq!(change.gained, ["B SHALL linked shown proven(2/2)", "C SHALL none"]);
    }

    #[test]
    fn a_line_that_is_gone_is_a_loss() {
        let change = compare("A SHALL linked\n", &[]);
        assert_eq!(change.lost.len(), 1);
    }

    fn entry_of(id: &str, coverage: Coverage, caught: usize) -> Entry {
        Entry {
            id: id.to_owned(),
            level: Level::Shall,
            clause: "8.3.2.9".to_owned(),
            coverage,
            untestable: None,
            caught,
            tamper: 2,
            scenarios: Vec::new(),
        }
    }
}
