//! The published report on the reference PF: how far each requirement is covered, by which
//! scenarios, and under which readings.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::markdown::{code, link, table, text};
use super::terminal::level_name;
use crate::judge::coverage::{self, Coverage, Entry, summary};
use crate::judge::outcome::Outcome;
use crate::judge::revision::Revision;
use crate::suite::Suite;
use crate::suite::catalogue::{Level, Reading};

/// The report as a page of Markdown. `root` leads from its folder to where the paths of the suite
/// begin, `../` for example.
pub fn to_markdown(revision: &Revision<'_>, root: &str) -> String {
    let suite = revision.suite;
    let passed = revision.outcomes.iter().filter(|outcome| outcome.gate.passes()).count();
    let mut out = format!("# Conformance of the reference PF\n\n{}\n\n", text(&suite.defaults.spec));
    let _ = writeln!(
        out,
        "{passed} of {} runs of {} scenarios pass. A requirement is *linked* when a scenario lists it, *shown* when its rule was \
         satisfied in a run, and *proven* when, beyond that, every tamper case of it was caught by its own rule.\n",
        revision.outcomes.len(),
        suite.scenarios.len()
    );
    out.push_str(&levels(&revision.coverage));
    out.push_str("\n## Requirements\n");
    for (clause, entries) in by_clause(&revision.coverage) {
        let _ = write!(out, "\n### {}\n\n", text(clause));
        let rows = entries.into_iter().map(|entry| requirement(entry, suite, root));
        out.push_str(&table(&["requirement", "level", "what", "coverage", "tamper", "scenarios", "readings"], rows));
    }
    out.push_str(&exempt(&revision.coverage));
    let _ = write!(out, "\n## Readings\n\nWhere the text can be read in two ways, the reference PF reads it like this.\n\n");
    out.push_str(&table(&["reading", "clause", "open", "taken", "knob"], suite.catalogue.readings.iter().map(reading)));
    out
}

fn levels(entries: &[Entry]) -> String {
    let mut rows = Vec::new();
    for level in [Level::Shall, Level::Should, Level::Note, Level::May] {
        let of: Vec<&Entry> = entries.iter().filter(|entry| entry.level == level).collect();
        let count = |wanted: Coverage| of.iter().filter(|entry| entry.untestable.is_none() && entry.coverage == wanted).count();
        let exempt = of.iter().filter(|entry| entry.untestable.is_some()).count();
        let numbers =
            [of.len(), count(Coverage::Proven), count(Coverage::Shown), count(Coverage::Linked), count(Coverage::None), exempt];
        rows.push(std::iter::once(level_name(level).to_owned()).chain(numbers.iter().map(usize::to_string)).collect());
    }
    table(&["level", "requirements", "proven", "shown", "linked", "bare", "without a rule"], rows)
}

fn by_clause(entries: &[Entry]) -> Vec<(&str, Vec<&Entry>)> {
    let mut clauses: Vec<(&str, Vec<&Entry>)> = Vec::new();
    for entry in entries {
        let clause = entry.clause.split(' ').next().unwrap_or("");
        match clauses.iter_mut().find(|(known, _)| *known == clause) {
            Some((_, entries)) => entries.push(entry),
            None => clauses.push((clause, vec![entry])),
        }
    }
    clauses
}

fn requirement(entry: &Entry, suite: &Suite, root: &str) -> Vec<String> {
    let summary = suite.catalogue.get(&entry.id).map_or("", |requirement| requirement.summary.as_str());
    let coverage = if entry.untestable.is_some() { "no rule".to_owned() } else { entry.coverage.name().to_owned() };
    let tamper = if entry.tamper > 0 { format!("{}/{}", entry.caught, entry.tamper) } else { String::new() };
    let scenarios: Vec<String> = entry.scenarios.iter().map(|id| scenario(id, suite, root)).collect();
    let readings: Vec<String> =
        suite.catalogue.readings_of(&entry.id).map(|reading| link(&text(&reading.id), "#readings")).collect();
    let [scenarios, readings] = [scenarios.join(" "), readings.join(" ")];
    vec![text(&entry.id), level_name(entry.level).to_owned(), text(summary), coverage, tamper, scenarios, readings]
}

/// A scenario, as a link to its file.
fn scenario(id: &str, suite: &Suite, root: &str) -> String {
    let path = format!("{id}.yaml");
    let file = suite.sources.files.iter().find(|file| file.path == path);
    file.map_or_else(|| code(id), |file| link(&code(id), &format!("{root}{}", file.shown)))
}

fn exempt(entries: &[Entry]) -> String {
    let exempt = coverage::exempt(entries);
    if exempt.is_empty() {
        return String::new();
    }
    let rows = exempt.into_iter().map(|(id, why)| vec![text(id), text(why)]);
    format!("\n## Without a rule\n\n{}", table(&["requirement", "why"], rows))
}

fn reading(reading: &Reading) -> Vec<String> {
    let knob = reading.knob.as_deref().map(code).unwrap_or_default();
    vec![text(&reading.id), text(&reading.clause), text(&reading.question), text(&reading.ours), knob]
}

/// The report as JSON.
pub fn to_json(revision: &Revision<'_>) -> Value {
    let suite = revision.suite;
    let verdict = |outcome: &Outcome| json!({ "scenario": outcome.name(), "gate": outcome.gate.name() });
    json!({
        "subject": "reference PF",
        "suite": suite.defaults.title,
        "spec": suite.defaults.spec,
        "summary": summary(&revision.coverage, Coverage::Proven),
        "requirements": revision.coverage.iter().map(|entry| object(entry, suite)).collect::<Vec<_>>(),
        "readings": suite.catalogue.readings.iter().map(|reading| json!({
            "id": reading.id, "clause": reading.clause, "taken": reading.ours, "knob": reading.knob,
        })).collect::<Vec<_>>(),
        "runs": revision.outcomes.iter().map(verdict).collect::<Vec<_>>(),
    })
}

fn object(entry: &Entry, suite: &Suite) -> Value {
    json!({
        "id": entry.id,
        "level": level_name(entry.level),
        "clause": entry.clause,
        "summary": suite.catalogue.get(&entry.id).map(|requirement| requirement.summary.as_str()),
        "coverage": entry.coverage.name(),
        "untestable": entry.untestable,
        "tamper": { "caught": entry.caught, "of": entry.tamper },
        "scenarios": entry.scenarios,
        "readings": suite.catalogue.readings_of(&entry.id).map(|reading| reading.id.as_str()).collect::<Vec<_>>(),
    })
}
