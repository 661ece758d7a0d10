//! What changes from one revision to another, for a terminal, as Markdown, Mermaid and JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::escape::visible;
use super::matrix::table;
use super::style::{bad, faint, good, odd, strong};
use super::terminal::level_name;
use super::{markdown, mermaid};
use crate::judge::coverage::Coverage;
use crate::judge::outcome::Gate;
use crate::judge::revision::{CoverageChange, Difference, FlowChange, Status, Turn};
use crate::trace::snapshot::{Change, Line};

/// The most messages that a diagram shows.
const MESSAGES: usize = 60;
/// The most changes of one flow that a terminal shows.
const CHANGES: usize = 12;
/// The most lines of one message that Markdown shows.
const LINES: usize = 40;

/// For a terminal.
pub fn pretty(difference: &Difference, width: usize) -> String {
    let mut out = format!("{}  {} {} {}\n", strong("cr diff"), visible(&difference.before), faint("→"), visible(&difference.after));
    if difference.is_empty() {
        out.push_str("\nnothing changes\n");
        return out;
    }
    section(&mut out, "requirements", &requirement_rows(difference), &["", "requirement", "level", "differs in", "summary"], width);
    section(&mut out, "scenarios", &scenario_rows(difference), &["", "scenario", "title"], width);
    section(&mut out, "verdicts", &verdict_rows(difference), &["", "scenario", "before", "after"], width);
    section(&mut out, "coverage", &coverage_rows(difference), &["requirement", "before", "after"], width);
    if !difference.flows.is_empty() {
        let _ = writeln!(out, "\n{}", strong(format!("flows ({})", difference.flows.len())));
        difference.flows.iter().for_each(|flow| show_flow(flow, &mut out));
    }
    objections(difference, &mut out);
    out
}

fn section(out: &mut String, name: &str, rows: &[Vec<String>], head: &[&str], width: usize) {
    if !rows.is_empty() {
        let _ = writeln!(out, "\n{}", strong(format!("{name} ({})", rows.len())));
        out.push_str(&table(head, rows.iter().cloned(), width));
    }
}

fn show_flow(flow: &FlowChange, out: &mut String) {
    let _ = writeln!(out, " {}  {}", strong(visible(&flow.name)), faint(counted(flow)));
    for change in flow.changes.iter().take(CHANGES) {
        let text = visible(&headline(change)).into_owned();
        let _ = match change {
            Change::Inserted { .. } => writeln!(out, "   {}", good(text)),
            Change::Missing { .. } => writeln!(out, "   {}", bad(text)),
            Change::Moved { .. } | Change::Changed { .. } => writeln!(out, "   {}", odd(text)),
        };
    }
    if flow.changes.len() > CHANGES {
        let _ = writeln!(out, "   {}", faint(format!("and {} more", flow.changes.len() - CHANGES)));
    }
}

fn counted(flow: &FlowChange) -> String {
    let count = |wanted: fn(&Change) -> bool| flow.changes.iter().filter(|change| wanted(change)).count();
    let parts = [
        (count(|change| matches!(change, Change::Inserted { .. })), "new"),
        (count(|change| matches!(change, Change::Missing { .. })), "missing"),
        (count(|change| matches!(change, Change::Moved { .. })), "moved"),
        (count(|change| matches!(change, Change::Changed { .. })), "changed"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
    parts.join(", ")
}

/// The first line of a change; the lines of a changed message are left to Markdown.
fn headline(change: &Change) -> String {
    let text = change.to_string();
    text.lines().next().unwrap_or("").to_owned()
}

fn objections(difference: &Difference, out: &mut String) {
    let objections = difference.objections();
    if !objections.is_empty() {
        let _ = writeln!(out, "\n{}", strong(format!("to be settled ({})", objections.len())));
        objections.iter().for_each(|objection| {
            let _ = writeln!(out, " {}", bad(visible(objection)));
        });
    }
}

const fn sign(status: Status) -> &'static str {
    match status {
        Status::Added => "+",
        Status::Changed => "~",
        Status::Removed => "-",
    }
}

fn requirement_rows(difference: &Difference) -> Vec<Vec<String>> {
    let row = |change: &crate::judge::revision::RequirementChange| {
        vec![
            sign(change.status).to_owned(),
            change.id.clone(),
            level_name(change.level).to_owned(),
            if change.status == Status::Changed { change.parts.join(", ") } else { change.status.name().to_owned() },
            change.summary.clone(),
        ]
    };
    difference.requirements.iter().map(row).collect()
}

fn scenario_rows(difference: &Difference) -> Vec<Vec<String>> {
    let row = |change: &crate::judge::revision::ScenarioChange| {
        let orphaned =
            if change.orphaned.is_empty() { String::new() } else { format!(" (orphaned: {})", change.orphaned.join(", ")) };
        vec![sign(change.status).to_owned(), change.id.clone(), format!("{}{orphaned}", change.title)]
    };
    difference.scenarios.iter().map(row).collect()
}

fn verdict_rows(difference: &Difference) -> Vec<Vec<String>> {
    let name = |gate: Option<Gate>| gate.map_or_else(|| "-".to_owned(), |gate| gate.name().to_owned());
    let row = |change: &crate::judge::revision::VerdictChange| {
        vec![change.turn.name().to_owned(), change.name.clone(), name(change.before), name(change.after)]
    };
    difference.verdicts.iter().map(row).collect()
}

fn coverage_rows(difference: &Difference) -> Vec<Vec<String>> {
    let row = |change: &CoverageChange| vec![change.id.clone(), reached(change.before), reached(change.after)];
    difference.coverage.iter().map(row).collect()
}

fn reached(state: Option<(Coverage, usize, usize)>) -> String {
    match state {
        None => "-".to_owned(),
        Some((coverage, _, 0)) => coverage.name().to_owned(),
        Some((coverage, caught, of)) => format!("{} ({caught}/{of})", coverage.name()),
    }
}

/// A table with its name, its rows and their head.
type Section<'a> = (&'a str, Vec<Vec<String>>, &'a [&'a str]);

/// As a comment on a change: tables, and two diagrams for each flow that changes.
pub fn to_markdown(difference: &Difference) -> String {
    let mut out = format!("## {} → {}\n", markdown::text(&difference.before), markdown::text(&difference.after));
    if difference.is_empty() {
        out.push_str("\nNothing changes.\n");
        return out;
    }
    let objections = difference.objections();
    if !objections.is_empty() {
        out.push_str("\n### To be settled\n\n");
        objections.iter().for_each(|objection| {
            let _ = writeln!(out, "- {}", markdown::text(objection));
        });
    }
    let tables: [Section<'_>; 4] = [
        ("Requirements", requirement_rows(difference), &["", "requirement", "level", "differs in", "summary"]),
        ("Scenarios", scenario_rows(difference), &["", "scenario", "title"]),
        ("Verdicts", verdict_rows(difference), &["", "scenario", "before", "after"]),
        ("Coverage", coverage_rows(difference), &["requirement", "before", "after"]),
    ];
    for (name, rows, head) in tables {
        if !rows.is_empty() {
            let cells = rows.iter().map(|row| row.iter().map(|cell| markdown::text(cell)).collect());
            let _ = write!(out, "\n### {name} ({})\n\n{}", rows.len(), markdown::table(head, cells));
        }
    }
    if !difference.flows.is_empty() {
        let _ = writeln!(out, "\n### Flows ({})", difference.flows.len());
        difference.flows.iter().for_each(|flow| flow_markdown(flow, &mut out));
    }
    out
}

fn flow_markdown(flow: &FlowChange, out: &mut String) {
    let _ = write!(out, "\n<details><summary><b>{}</b>: {}</summary>\n\n", markdown::text(&flow.name), counted(flow));
    out.push_str("```diff\n");
    for change in &flow.changes {
        change_lines(change).iter().take(LINES).for_each(|line| {
            let _ = writeln!(out, "{}", visible(line).replace("```", "'''"));
        });
    }
    out.push_str("```\n");
    for (name, trace) in [("Before", &flow.before), ("After", &flow.after)] {
        let _ = write!(out, "\n{name}:\n\n```mermaid\n{}```\n", mermaid::sequence(trace, MESSAGES));
    }
    out.push_str("\n</details>\n");
}

/// A change with `+`, `-` and `!` in the first column, as highlighters of diffs want it.
fn change_lines(change: &Change) -> Vec<String> {
    match change {
        Change::Changed { title, start, lines } => {
            let mut all = vec![format!("! {title}: {start}")];
            all.extend(lines.iter().map(|line| match line {
                Line::Kept(text) => format!("      {text}"),
                Line::Gone(text) => format!("-     {text}"),
                Line::New(text) => format!("+     {text}"),
            }));
            all
        }
        Change::Moved { .. } => vec![format!("!{}", change.to_string().trim_start_matches('>'))],
        Change::Inserted { .. } | Change::Missing { .. } => vec![change.to_string()],
    }
}

/// The diagrams alone, two for each flow that changes.
pub fn to_mermaid(difference: &Difference) -> String {
    let mut out = String::new();
    for flow in &difference.flows {
        for (label, trace) in [(&difference.before, &flow.before), (&difference.after, &flow.after)] {
            let title = visible(&format!("{} ({label})", flow.name)).replace('"', "'");
            let _ = write!(out, "---\ntitle: \"{title}\"\n---\n{}\n", mermaid::sequence(trace, MESSAGES));
        }
    }
    out
}

/// As one JSON object.
pub fn to_json(difference: &Difference) -> Value {
    let gate = |gate: Option<Gate>| gate.map(Gate::name);
    let reached = |state: Option<(Coverage, usize, usize)>| {
        state.map(|(coverage, caught, of)| json!({ "coverage": coverage.name(), "tamper": { "caught": caught, "of": of } }))
    };
    json!({
        "before": difference.before,
        "after": difference.after,
        "requirements": difference.requirements.iter().map(|change| json!({
            "status": change.status.name(), "id": change.id, "level": level_name(change.level), "parts": change.parts, "summary": change.summary,
        })).collect::<Vec<_>>(),
        "scenarios": difference.scenarios.iter().map(|change| json!({
            "status": change.status.name(), "id": change.id, "title": change.title, "orphaned": change.orphaned,
        })).collect::<Vec<_>>(),
        "flows": difference.flows.iter().map(|flow| json!({
            "name": flow.name, "changes": flow.changes.iter().map(Change::to_string).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "verdicts": difference.verdicts.iter().map(|change| json!({
            "turn": Turn::name(change.turn), "name": change.name, "before": gate(change.before), "after": gate(change.after),
        })).collect::<Vec<_>>(),
        "coverage": difference.coverage.iter().map(|change| json!({
            "id": change.id, "before": reached(change.before), "after": reached(change.after),
        })).collect::<Vec<_>>(),
        "objections": difference.objections(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::revision::VerdictChange;
    use crate::trace::Trace;

    fn difference() -> Difference {
        let changes =
            vec![Change::Inserted { title: "#3 pf -> bob  SIP TCP".to_owned(), start: "BYE sip:\u{1b}[31m SIP/2.0".to_owned() }];
        Difference {
            before: "main".to_owned(),
            after: "bye.no-reason=defer".to_owned(),
            flows: vec![FlowChange { name: "group/x".to_owned(), changes, before: Trace::default(), after: Trace::default() }],
            verdicts: vec![VerdictChange {
                turn: Turn::Regression,
                name: "group/x".to_owned(),
                before: Some(Gate::Pass),
                after: Some(Gate::Fail),
            }],
            ..Difference::default()
        }
    }

    #[test]
    fn a_regression_is_to_be_settled_in_every_form() {
        let difference = difference();
        for text in [pretty(&difference, 100), to_markdown(&difference), to_json(&difference).to_string()] {
            assert!(text.contains("group/x does not pass any more"), "{text}");
            assert!(!text.contains("\u{1b}[31m SIP"), "{text}");
        }
    }

    #[test]
    fn each_changed_flow_has_two_diagrams() {
        assert_eq!(to_mermaid(&difference()).matches("sequenceDiagram").count(), 2);
        assert_eq!(to_markdown(&difference()).matches("```mermaid").count(), 2);
    }

    #[test]
    fn equal_revisions_say_so() {
        assert!(pretty(&Difference::default(), 80).contains("nothing changes"));
    }
}
