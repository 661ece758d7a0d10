//! What there is to say about a requirement, a reading, a knob, a clause.

use std::fmt::Write as _;

use crate::cli::load::count;
use crate::policy::{self, Knob};
use crate::report::terminal::level_name;
use crate::suite::Suite;
use crate::suite::catalogue::{Exemption, Reading, Requirement};
use crate::suite::scenario::{Scenario, Variant};

/// A requirement: what it demands, the rule that judges it, what proves that rule.
pub(super) fn requirement(requirement: &Requirement, suite: &Suite) -> String {
    let Requirement { id, clause, actor, summary, .. } = requirement;
    let mut out = format!("{id}  {}  {clause}  ({actor})\n  {summary}\n", level_name(requirement.level));
    if let Some(exemption) = &requirement.exemption {
        let _ = writeln!(out, "\n  {}", why_no_rule(exemption));
    }
    for rule in &requirement.rules {
        let _ = write!(out, "\n  rule, {}\n{}", place(suite, rule.place), source(suite, rule.place));
    }
    if !requirement.tamper.is_empty() {
        let _ = writeln!(out, "\n  broken on purpose by {}", count(requirement.tamper.len(), "tamper case"));
        for case in &requirement.tamper {
            let _ = writeln!(out, "    {}", case.name);
        }
    }
    let line = format!("{id} ");
    let covered = suite.sources.others.get("coverage.snap").and_then(|text| text.lines().find(|known| known.starts_with(&line)));
    if let Some(covered) = covered {
        let _ = writeln!(out, "\n  coverage  {}", covered.trim_start_matches(&line).trim());
    }
    let listed: Vec<&Scenario> = suite.scenarios.iter().filter(|scenario| scenario.requirements.contains(id)).collect();
    let _ = writeln!(out, "\n  {}", if listed.is_empty() { "no scenario lists it" } else { "scenarios" });
    for scenario in listed {
        let _ = writeln!(out, "    {:<44} {}", scenario.id, scenario.title);
    }
    list(&mut out, suite.catalogue.readings_of(id));
    out
}

fn why_no_rule(exemption: &Exemption) -> String {
    match exemption {
        Exemption::Untestable(why) => format!("no rule: nothing on the wire tells ({why})"),
        Exemption::Implicit(why) => format!("no rule: implied ({why})"),
        Exemption::Editorial(why) => format!("no rule: it speaks to editors ({why})"),
        Exemption::Todo(why) => format!("no rule yet: {why}"),
    }
}

fn place(suite: &Suite, place: crate::pattern::ast::Place) -> String {
    let (path, line, _) = suite.sources.locate(place);
    format!("{path}:{line}")
}

/// The YAML mapping at a place, as it is written: its first line, and what is indented as far.
fn source(suite: &Suite, place: crate::pattern::ast::Place) -> String {
    let Some(file) = suite.sources.file(place) else { return String::new() };
    let (first, column) = file.position(place.start as usize);
    let belongs = |line: &&str| line.len() - line.trim_start().len() >= column - 1 && !line.trim().is_empty();
    let rest = (first + 1..).map(|number| file.line(number)).take_while(belongs);
    let lines = std::iter::once(file.line(first)).chain(rest);
    lines.fold(String::new(), |text, line| text + "    " + line.get(column - 1..).unwrap_or(line) + "\n")
}

/// The readings of a clause or of items of it.
fn readings_of(clause: &str, suite: &Suite, out: &mut String) {
    let stands_there = |reading: &&Reading| reading.clause.split(", ").any(|own| is_below(own, clause));
    list(out, suite.catalogue.readings.iter().filter(stands_there));
}

fn list<'a>(out: &mut String, readings: impl Iterator<Item = &'a Reading>) {
    for (at, reading) in readings.enumerate() {
        let title = if at == 0 { "\n  can be read in two ways\n" } else { "" };
        let _ = writeln!(out, "{title}    {}  {}", reading.id, reading.question);
    }
}

/// Whether a clause is another one, or an item of it.
fn is_below(clause: &str, above: &str) -> bool {
    clause.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ' ']))
}

/// A reading: what is open, what we took, what else there is, and how to see the difference.
pub(super) fn reading(reading: &Reading, suite: &Suite) -> String {
    let mut out = format!(
        "{}  {}\n  {}\n\n  ours   {}\n  other  {}\n",
        reading.id, reading.clause, reading.question, reading.ours, reading.other
    );
    for (at, id) in reading.requirements.iter().enumerate() {
        let summary = suite.catalogue.get(id).map_or("", |requirement| requirement.summary.as_str());
        let title = if at == 0 { "\n  concerns\n" } else { "" };
        let _ = writeln!(out, "{title}    {id:<12} {summary}");
    }
    let decides = |knob: &&Knob| knob.reading == Some(&reading.id) || reading.knob.as_deref() == Some(knob.name);
    let knobs: Vec<&Knob> = policy::knobs().iter().filter(decides).collect();
    if knobs.is_empty() {
        out.push_str("\n  no knob: the reference PF knows our reading only\n");
    }
    for knob in &knobs {
        let _ = writeln!(out, "\n  knob   {} = {}   ({})\n         {}", knob.name, knob.default, knob.kind.allowed(), knob.doc);
    }
    if let Some(why) = &reading.untold {
        let _ = writeln!(out, "\n  not told apart by any trace: {why}");
    }
    if !reading.scenarios.is_empty() {
        out.push_str("\n  told apart by\n");
    }
    for scenario in reading.scenarios.iter().filter_map(|id| suite.scenario(id)) {
        let _ = writeln!(out, "    {}\n      {}", scenario.id, scenario.title);
        for variant in &scenario.variants {
            turned(variant, &knobs, suite, &mut out);
        }
    }
    out
}

/// How a variant of a scenario turns the knobs of a reading.
fn turned(variant: &Variant, knobs: &[&Knob], suite: &Suite, out: &mut String) {
    for knob in knobs {
        let own = variant.policy.get(knob.name).or_else(|| suite.defaults.policy.get(knob.name));
        let value = own.map_or(knob.default, String::as_str);
        let name = if variant.name.is_empty() { String::new() } else { format!("@{:<16} ", variant.name) };
        let ours = if value == knob.default { "   as we read it" } else { "" };
        let _ = writeln!(out, "      {name}{}: {value}{ours}", knob.name);
    }
}

/// Every knob.
pub(super) fn knobs(suite: &Suite) -> String {
    let texts: Vec<String> = policy::knobs().iter().map(|one| knob(one, suite)).collect();
    texts.join("\n")
}

/// A knob: its type, its default, what it decides, which reading it switches, who turns it.
pub(super) fn knob(knob: &Knob, suite: &Suite) -> String {
    let mut out = format!(
        "{}\n  {}\n  type     {}: {}\n  default  {}\n",
        knob.name,
        knob.doc,
        knob.kind.name(),
        knob.kind.allowed(),
        knob.default
    );
    let own = |reading: &&Reading| Some(reading.id.as_str()) == knob.reading || reading.knob.as_deref() == Some(knob.name);
    for reading in suite.catalogue.readings.iter().filter(own) {
        let _ = writeln!(out, "  reading  {}: {}", reading.id, reading.question);
    }
    let turning = |scenario: &&Scenario| scenario.variants.iter().any(|variant| variant.policy.contains_key(knob.name));
    let turning: Vec<&str> = suite.scenarios.iter().filter(turning).map(|scenario| scenario.id.as_str()).collect();
    if !turning.is_empty() {
        let _ = writeln!(out, "  turned in {}", turning.join(", "));
    }
    out
}

/// A clause: the requirements and the readings that stand in it.
pub(super) fn clause(topic: &str, suite: &Suite) -> Option<String> {
    let requirements = suite.catalogue.requirements.iter();
    let found: Vec<&Requirement> = requirements.filter(|requirement| is_below(&requirement.clause, topic)).collect();
    if found.is_empty() || topic.is_empty() {
        return None;
    }
    let mut out = format!("{topic}: {}\n", count(found.len(), "requirement"));
    for requirement in found {
        let listed = suite.scenarios.iter().filter(|scenario| scenario.requirements.contains(&requirement.id)).count();
        let _ = writeln!(
            out,
            "  {}  {:<6} {:<14} {}",
            requirement.id,
            level_name(requirement.level),
            count(listed, "scenario"),
            requirement.summary
        );
    }
    readings_of(topic, suite, &mut out);
    Some(out)
}
