//! `cpmcheck explain`: a requirement, a clause, a reading, a knob, an error code.

use std::fmt::Write as _;

use super::load::{SuiteArgs, count};
use super::{Console, Exit};
use crate::report::matrix::table;
use crate::report::terminal::level_name;
use crate::suite::Suite;
use crate::suite::catalogue::{Exemption, Reading, Requirement};
use crate::suite::codes::CODES;
use crate::suite::diagnostics::nearest;

/// Arguments of `explain`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// DGC-1.2-07, 8.3.2.9.1.4, AMB-18, bye.no-reason, C0201
    #[arg(required_unless_present = "policies")]
    topic: Option<String>,
    /// List every policy knob of the reference PF
    #[arg(long)]
    policies: bool,
    #[command(flatten)]
    suite: SuiteArgs,
}

/// Codes of runs, as [`CODES`] are those of files: code, title, what it means.
const RUN_CODES: &[(&str, &str, &str)] = &[
    ("C0200", "a step was not kept", "The script went on, since the step binds less than a SHALL. With --strict it fails."),
    (
        "C0201",
        "another answer came",
        "The request of a step was answered, and not as the step allows. The report shows what is allowed; `either:` allows more.",
    ),
    (
        "C0202",
        "a message differs",
        "The message that a step awaits came, and not all of the step's keys hold on it. Every key that does not hold is listed.",
    ),
    (
        "C0203",
        "a forbidden message came",
        "A `never:` above was still in force. It holds to the end of the block that encloses it.",
    ),
    (
        "C0204",
        "a message that nothing explains",
        "Neither a step, nor `ignore:`, nor the list of what the base protocols cause unasked explains it. Write a step for it, or ignore it.",
    ),
    (
        "C0210",
        "an awaited message did not come",
        "Nothing that fits came within the time of the step (`within:`, else the suite's, times --timeout-scale).",
    ),
    (
        "C0220",
        "the rule of a requirement was broken",
        "Rules look at the whole trace, whatever the scenario's steps say. `cpmcheck explain` with the requirement says what it demands.",
    ),
    ("C0230", "an invariant of a base protocol was broken", "Invariants hold in every run; each cites its RFC."),
    ("C0240", "something was left open", "After the scenario the harness closed what was open, and some of it would not close."),
    ("C0250", "coverage was lost", "coverage.snap says more of a requirement than the suite now shows."),
    (
        "C0301",
        "the script cannot do what a step says",
        "The actor is not in a state for it: no such dialog, no such request, no MSRP connection. The scenario is at fault.",
    ),
    ("U0001", "unknown help topic", "`cpmcheck help` lists the topics."),
    ("U0002", "unknown schema", "Schemas are those of the suite's files."),
    ("U0003", "a selector cannot be read", "`cpmcheck help selectors` shows every form."),
    ("U0004", "a selector matches nothing", "A selector that matches no scenario would make a green run of nothing."),
    ("U0005", "more than one suite", "Name one by --suite."),
    ("U0006", "no suite", "A suite is a folder with a suite.yaml."),
    ("U0007", "a knob is unknown or its value is not allowed", "`cpmcheck explain --policies` lists them."),
    ("U0008", "nothing is left to run", "Selectors match, and --skip takes all of it away."),
    ("U0009", "no such pending trace", "`cpmcheck pending` lists them."),
    ("U0010", "no such trace", "`trace show` takes a run file, RUN:SCENARIO, or a scenario."),
    ("U0011", "no such topic", "Topics are requirements, clauses, readings, knobs and codes."),
    ("U0012", "no revision", "`cr diff` takes suite folders and Git revisions; REVISION:DIR names a folder in a revision."),
    ("R0001", "no run file", "A run file is JSON lines with a header, made by `run --reporter jsonl=PATH`."),
    ("R0002", "an incomplete run file", "Without a footer nobody knows what is missing; such a file never passes."),
    ("E0703", "a file cannot be read", "The message of the operating system follows."),
    ("E0704", "a file cannot be written", "The message of the operating system follows."),
    ("H0070", "a defect of cpmcheck", "A panic. It says nothing about the IUT; the seed repeats it."),
];

/// Explains the topic.
pub(super) fn run(args: &Args, console: &Console) -> Exit {
    let loaded = match args.suite.load(console) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let suite = &loaded.suite;
    if args.policies {
        console.print(&policies(console.width()));
        return Exit::Ok;
    }
    let topic = args.topic.as_deref().unwrap_or("");
    match explain(topic, suite) {
        Some(text) => {
            console.print(&text);
            Exit::Ok
        }
        None => {
            let names = names(suite);
            let hint = nearest(topic, names.iter().map(String::as_str))
                .map_or_else(String::new, |near| format!("   = similar     {near}\n"));
            console.talk(&format!(
                "error[U0011]: nothing is known of `{topic}`\n{hint}   = try         a requirement, clause, reading, knob or code\n"
            ));
            Exit::Usage
        }
    }
}

fn names(suite: &Suite) -> Vec<String> {
    let mut names: Vec<String> = suite.catalogue.requirements.iter().map(|requirement| requirement.id.clone()).collect();
    names.extend(suite.catalogue.readings.iter().map(|reading| reading.id.clone()));
    names.extend(crate::policy::knobs().iter().map(|knob| knob.name.to_owned()));
    names.extend(RUN_CODES.iter().map(|(code, ..)| (*code).to_owned()));
    names.extend(CODES.iter().map(|code| code.code.to_owned()));
    names
}

fn explain(topic: &str, suite: &Suite) -> Option<String> {
    let catalogue = &suite.catalogue;
    let is = |id: &str| id.eq_ignore_ascii_case(topic);
    if let Some(found) = catalogue.requirements.iter().find(|requirement| is(&requirement.id)) {
        return Some(requirement(found, suite));
    }
    if let Some(found) = catalogue.readings.iter().find(|reading| is(&reading.id)) {
        return Some(reading(found));
    }
    if let Some(knob) = crate::policy::knob(topic) {
        let reading = knob.reading.map_or_else(String::new, |id| format!("  decides {id}\n"));
        return Some(format!(
            "{}: {}\n  allowed {}\n  default {}\n{reading}",
            knob.name,
            knob.doc,
            knob.kind.allowed(),
            knob.default
        ));
    }
    if let Some((code, title, text)) = RUN_CODES.iter().find(|(code, ..)| is(code)) {
        return Some(format!("{code}: {title}\n\n{text}\n"));
    }
    if let Some(code) = CODES.iter().find(|code| is(code.code)) {
        return Some(format!("{}: {}\n\n{}\n", code.code, code.title, code.text));
    }
    clause(topic, suite)
}

fn requirement(requirement: &Requirement, suite: &Suite) -> String {
    let mut out = format!(
        "{}  {}  {}  ({})\n  {}\n",
        requirement.id,
        level_name(requirement.level),
        requirement.clause,
        requirement.actor,
        requirement.summary
    );
    match &requirement.exemption {
        Some(Exemption::Untestable(why)) => {
            let _ = writeln!(out, "  no rule: nothing on the wire tells ({why})");
        }
        Some(Exemption::Implicit(why)) => {
            let _ = writeln!(out, "  no rule: implied ({why})");
        }
        Some(Exemption::Editorial(why)) => {
            let _ = writeln!(out, "  no rule: it speaks to editors ({why})");
        }
        Some(Exemption::Todo(why)) => {
            let _ = writeln!(out, "  no rule yet: {why}");
        }
        None => {}
    }
    for rule in &requirement.rules {
        let _ = writeln!(out, "  rule at {}", place(suite, rule.place));
    }
    for case in &requirement.tamper {
        let _ = writeln!(out, "  tamper case {}", case.name);
    }
    let listed = suite.scenarios.iter().filter(|scenario| scenario.requirements.contains(&requirement.id));
    let mut none = true;
    for scenario in listed {
        none = false;
        let _ = writeln!(out, "  scenario {}: {}", scenario.id, scenario.title);
    }
    if none {
        out.push_str("  no scenario lists it\n");
    }
    for reading in suite.catalogue.readings.iter().filter(|reading| reading.clause == requirement.clause) {
        let _ = writeln!(out, "  reading {}: {}", reading.id, reading.question);
    }
    out
}

fn place(suite: &Suite, place: crate::pattern::ast::Place) -> String {
    let (path, line, _) = suite.sources.locate(place);
    format!("{path}:{line}")
}

fn reading(reading: &Reading) -> String {
    let mut out = format!(
        "{}  {}\n  {}\n  ours   {}\n  other  {}\n",
        reading.id, reading.clause, reading.question, reading.ours, reading.other
    );
    if let Some(knob) = &reading.knob {
        let _ = writeln!(out, "  knob   {knob}");
    }
    for scenario in &reading.scenarios {
        let _ = writeln!(out, "  told apart by {scenario}");
    }
    out
}

fn clause(topic: &str, suite: &Suite) -> Option<String> {
    let below = |clause: &str| clause.strip_prefix(topic).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ' ']));
    let found: Vec<&Requirement> = suite.catalogue.requirements.iter().filter(|requirement| below(&requirement.clause)).collect();
    if found.is_empty() || topic.is_empty() {
        return None;
    }
    let mut out = format!("{topic}: {}\n", count(found.len(), "requirement"));
    for requirement in found {
        let _ = writeln!(out, "  {}  {:<6} {}", requirement.id, level_name(requirement.level), requirement.summary);
    }
    Some(out)
}

fn policies(width: usize) -> String {
    let row = |knob: &crate::policy::Knob| {
        vec![knob.name.to_owned(), knob.default.to_owned(), knob.reading.unwrap_or("").to_owned(), knob.doc.to_owned()]
    };
    table(&["knob", "default", "reading", "decides"], crate::policy::knobs().iter().map(row), width.max(120))
}
