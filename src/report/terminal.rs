//! The report of a run for a person: an opening line, an error block for every outcome that does
//! not pass, and a closing block whose last line a scraper can read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::escape::{bounded, short, visible};
use super::style::{bad, faint, frame, odd, of_gate, strong};
use crate::judge::outcome::{CleanUp, Expected, Gate, Miss, Outcome, Reasons, Skip, Totals};
use crate::judge::verdict::{Finding, FindingKind, Verdict};
use crate::report::ladder as render;
use crate::suite::Suite;
use crate::suite::catalogue::Level;

/// Characters of a text from the wire that one line shows.
const LONGEST: usize = 400;

/// What all blocks of one report share.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The suite, for excerpts and summaries.
    pub suite: &'a Suite,
    /// What `--suite` was, for commands that a person can type.
    pub suite_flag: Option<&'a str>,
    /// Whether ladders use ASCII characters only.
    pub ascii: bool,
    /// Characters in a line.
    pub width: usize,
    /// Where the traces of this run were written, if anywhere.
    pub run_file: Option<&'a str>,
    /// Further flags that change what a run does.
    pub flags: &'a str,
}

/// The word for a level.
pub const fn level_name(level: Level) -> &'static str {
    match level {
        Level::Shall => "SHALL",
        Level::Should => "SHOULD",
        Level::May => "MAY",
        Level::Note => "NOTE",
    }
}

/// The first line: what is run, against what, under which seed.
pub fn opening(suite: &Suite, selected: usize, seed: u64, target: &str) -> String {
    let clock = if target == "reference" { "virtual" } else { "real" };
    let title = if suite.defaults.title.is_empty() { "untitled" } else { &suite.defaults.title };
    format!(
        "{} {}  suite {} ({selected} of {} scenarios)  target {target}  seed {seed:#x}  clock {clock}\n{}\n",
        strong("cpmcheck"),
        env!("CARGO_PKG_VERSION"),
        suite.sources.origin,
        suite.scenarios.len(),
        faint(title)
    )
}

/// One line about an outcome.
pub fn line(outcome: &Outcome) -> String {
    let draft = if outcome.draft { "  draft" } else { "" };
    let again = if outcome.repetition > 1 { format!("  repetition {}", outcome.repetition) } else { String::new() };
    let events = outcome.messages();
    format!(
        "  {} {:<52} {:>4} messages  {:>9.3}s{again}{draft}\n",
        of_gate(outcome.gate, format!("{:<6}", outcome.gate)),
        visible(&outcome.name()),
        events,
        outcome.took.as_secs_f64()
    )
}

/// Everything about an outcome that does not pass, or that warns: five answers for each failure.
pub fn block(outcome: &Outcome, setting: &Setting<'_>) -> String {
    let mut out = format!("{} {}\n", of_gate(outcome.gate, outcome.gate), strong(visible(&outcome.name())));
    for miss in &outcome.misses {
        out.push_str(&miss_block(miss, outcome, setting));
    }
    // A script that broke off says why by its misses; what it did not come to show is no news then.
    let broke_off = !outcome.misses.is_empty();
    let told = |finding: &&Finding| !broke_off || (finding.kind != FindingKind::Expectation && !finding.is_unshown_claim());
    for finding in outcome.findings.iter().filter(told) {
        out.push_str(&finding_block(finding, setting));
    }
    if broke_off {
        out.push_str(&unshown(outcome));
    }
    if let CleanUp::Left(left) = &outcome.clean_up {
        let _ = writeln!(out, "{}: left open at the end: {}", odd("warning[C0240]"), bounded(&left.join(", "), LONGEST));
    }
    if let Some(expected) = &outcome.expected {
        out.push_str(&expectation(expected));
    }
    if !outcome.remark.is_empty() {
        out.push_str(&note("remark", &outcome.remark));
    }
    if outcome.gate.fails() && outcome.gate != Gate::Surprise && !outcome.trace.events.is_empty() {
        out.push('\n');
        out.push_str(&ladder(outcome, setting));
    }
    out.push_str(&again(outcome, setting));
    out
}

/// The claims of a script that broke off before the trace could show them, in one line.
fn unshown(outcome: &Outcome) -> String {
    let ids: Vec<&str> =
        outcome.findings.iter().filter(|finding| finding.is_unshown_claim()).map(|finding| finding.id.as_str()).collect();
    if ids.is_empty() { String::new() } else { note("not shown", &ids.join(", ")) }
}

/// What was expected of an outcome, and where that is written.
fn expectation(expected: &Expected) -> String {
    let mut out = format!("  {} {}\n", frame("-->"), visible(&expected.place));
    out.push_str(&note("listed as", &format!("{}, because {}", expected.what, expected.because)));
    out.push_str(&note("issue", &expected.issue));
    if !expected.difference.is_empty() {
        out.push_str(&note("difference", &expected.difference));
    }
    out
}

fn miss_block(miss: &Miss, outcome: &Outcome, setting: &Setting<'_>) -> String {
    let mut out = format!("{}: {}\n", bad(format!("error[{}]", miss.code)), strong(bounded(&miss.title, LONGEST)));
    if let Some(place) = miss.place {
        out.push_str(&excerpt(place, &miss.label, setting));
    }
    let finding = outcome.findings.iter().find(|finding| finding.kind == FindingKind::Expectation && !finding.cites.is_empty());
    if let Some(requirement) = finding.and_then(|finding| setting.suite.catalogue.get(&finding.cites)) {
        out.push_str(&note(
            "requirement",
            &format!("{} ({}, {}): {}", requirement.id, level_name(requirement.level), requirement.clause, requirement.summary),
        ));
    }
    for (label, text) in &miss.notes {
        out.push_str(&note(label, text));
    }
    if let Some(fault) = outcome.fault() {
        out.push_str(&note("blame", &fault.to_string()));
    }
    out
}

fn note(label: &str, text: &str) -> String {
    format!("   {} {label:<11} {}\n", frame("="), bounded(text, LONGEST))
}

/// The line of the scenario with the step underlined.
fn excerpt(place: crate::pattern::ast::Place, label: &str, setting: &Setting<'_>) -> String {
    let sources = &setting.suite.sources;
    let (path, line, column) = sources.locate(place);
    let Some(file) = sources.file(place) else { return format!("  {} {path}\n", frame("-->")) };
    let text = file.line(line);
    let gutter = line.to_string().len();
    let until = text.chars().count().saturating_sub(column - 1);
    let marked = sources.text(place).lines().next().map_or(1, |text| text.chars().count()).clamp(1, until.max(1));
    let (pad, blank) = (" ".repeat(gutter), " ".repeat(column - 1));
    format!(
        "{pad} {} {path}:{line}:{column}\n{pad} {bar}\n{} {bar} {}\n{pad} {bar} {blank}{} {}\n{pad} {bar}\n",
        frame("-->"),
        frame(line),
        bounded(text, LONGEST),
        bad("^".repeat(marked.min(LONGEST))),
        bad(bounded(label, LONGEST)),
        bar = frame("|"),
    )
}

fn finding_block(finding: &Finding, setting: &Setting<'_>) -> String {
    let severe = finding.verdict(false) > Verdict::Pass;
    let (word, code) = match finding.kind {
        FindingKind::Expectation => ("the script", "C0200"),
        FindingKind::Invariant => ("a rule of the base protocols", "C0230"),
        FindingKind::Rule => ("a requirement", "C0220"),
    };
    let level = level_name(finding.level);
    let head = if severe { format!("error[{code}]") } else { format!("{}[{code}]", level.to_lowercase()) };
    let title = format!("{word} was not kept: {}", finding.id);
    let mut out = if severe {
        format!("{}: {}\n", bad(head), strong(bounded(&title, LONGEST)))
    } else {
        format!("{}: {}\n", odd(head), bounded(&title, LONGEST))
    };
    match setting.suite.catalogue.get(&finding.id) {
        Some(requirement) => {
            out.push_str(&note(
                "requirement",
                &format!("{} ({}, {}): {}", requirement.id, level_name(requirement.level), requirement.clause, requirement.summary),
            ));
        }
        None if !finding.cites.is_empty() => out.push_str(&note("cites", &finding.cites)),
        None => {}
    }
    out.push_str(&note("expected", &finding.expected));
    out.push_str(&note("observed", &finding.observed));
    if let Some(event) = finding.event {
        out.push_str(&note("message", &format!("#{event}")));
    }
    out.push_str(&note("blame", &finding.fault.to_string()));
    out
}

/// The ladder of a failure, around the first event that is held against the IUT.
fn ladder(outcome: &Outcome, setting: &Setting<'_>) -> String {
    let marks = marks(outcome);
    let look = render::Look { ascii: setting.ascii, marks: &marks, ignored: &outcome.ignored };
    render::ladder(&outcome.trace, &look)
}

/// What stands beside the events that are held against the IUT: the first finding of each.
pub fn marks(outcome: &Outcome) -> BTreeMap<u32, String> {
    let mut marks = BTreeMap::new();
    for finding in outcome.findings.iter().filter(|finding| finding.verdict(false) > Verdict::Pass) {
        if let Some(event) = finding.event {
            marks.entry(event).or_insert_with(|| format!("✗ expected {}", short(&finding.expected, 40)));
        }
    }
    marks
}

/// How to see this once more.
fn again(outcome: &Outcome, setting: &Setting<'_>) -> String {
    if !outcome.gate.fails() {
        return String::new();
    }
    let suite = setting.suite_flag.map_or_else(String::new, |dir| format!(" --suite {dir}"));
    let name = outcome.name();
    let name = visible(&name);
    let mut out = format!("\n   again:  cpmcheck run {name}{suite} --seed {:#x}{}\n", outcome.seed, setting.flags);
    if let Some(path) = setting.run_file {
        let _ = writeln!(out, "   trace:  cpmcheck trace show {path}:{name}");
    }
    let mut topics: Vec<String> = outcome.misses.iter().map(|miss| miss.code.to_owned()).collect();
    topics.extend(outcome.broken_requirement().map(str::to_owned));
    if !topics.is_empty() {
        let topics: Vec<String> = topics.iter().map(|topic| format!("cpmcheck explain {}", visible(topic))).collect();
        let _ = writeln!(out, "   more:   {}", topics.join("   ·   "));
    }
    out.push('\n');
    out
}

/// The end of a run.
#[derive(Clone, Copy, Debug)]
pub struct Closing<'a> {
    /// Every outcome.
    pub outcomes: &'a [Outcome],
    /// What was left out.
    pub skips: &'a [Skip],
    /// The counts.
    pub totals: &'a Totals,
    /// Why the run does not end with 0.
    pub reasons: &'a Reasons,
    /// A line about requirements, for example `SHALL 71/77 shown`.
    pub requirements: &'a str,
    /// How many outcomes stand in the list of those that do not pass.
    pub full: bool,
}

/// Everything after the outcomes, the last line included.
pub fn closing(closing: &Closing<'_>) -> String {
    let mut out = String::new();
    if closing.full {
        out.push_str(&left_out(closing));
        out.push_str(&failures(closing.outcomes));
        out.push_str(&changed(closing.outcomes));
        if !closing.requirements.is_empty() {
            out.push_str(&rule("requirements"));
            let _ = writeln!(out, "  {}", closing.requirements);
        }
    }
    let exit = closing.reasons.exit();
    let reasons: Vec<&str> = closing.reasons.iter().map(|(_, text)| text.as_str()).collect();
    if !reasons.is_empty() {
        let _ = writeln!(out, "{} {exit}: {}", strong("exit"), visible(&reasons.join(", ")));
    }
    let _ = write!(out, "\n{}\n", closing.totals.last_line());
    out
}

fn rule(title: &str) -> String {
    let line = "─".repeat(76_usize.saturating_sub(title.len()));
    format!("{}\n", frame(format!("── {title} {line}")))
}

fn left_out(closing: &Closing<'_>) -> String {
    let drafts = closing.outcomes.iter().filter(|outcome| outcome.draft && outcome.gate.fails());
    let mut reasons: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for skip in closing.skips {
        *reasons.entry((skip.omission.name(), &skip.why)).or_default() += 1;
    }
    let declared = declared(closing.outcomes);
    let drafts: Vec<String> = drafts.map(Outcome::name).collect();
    if reasons.is_empty() && drafts.is_empty() && declared.is_empty() {
        return String::new();
    }
    let mut out = rule("not counted as pass");
    for ((kind, why), count) in reasons {
        let _ = writeln!(out, "  {kind:<5} {count:>3}  {}", visible(why));
    }
    out.push_str(&declared);
    for name in drafts {
        let _ = writeln!(out, "  DRAFT      {}", visible(&name));
    }
    out
}

/// Failures that were expected: how many, and for which issues.
fn declared(outcomes: &[Outcome]) -> String {
    let mut issues: BTreeMap<Gate, BTreeMap<&str, usize>> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.gate.is_declared()) {
        let issue = outcome.expected.as_ref().map_or("", |expected| expected.issue.as_str());
        *issues.entry(outcome.gate).or_default().entry(issue).or_default() += 1;
    }
    let mut out = String::new();
    for (gate, issues) in issues {
        let count: usize = issues.values().sum();
        let each: Vec<String> = issues.iter().map(|(issue, count)| format!("{issue} ×{count}")).collect();
        let _ = writeln!(out, "  {:<5} {count:>3}  ({})", gate.name(), bounded(&each.join(", "), LONGEST));
    }
    out
}

fn failures(outcomes: &[Outcome]) -> String {
    let shown = |outcome: &&Outcome| outcome.gate.fails() || matches!(outcome.gate, Gate::Warn | Gate::Unsteady);
    let listed: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.draft).filter(shown).collect();
    if listed.is_empty() {
        return String::new();
    }
    let mut out = rule("failures and warnings");
    for outcome in listed {
        let difference = outcome.expected.as_ref().map(|expected| expected.difference.as_str());
        if let Some(told) = difference.into_iter().chain([outcome.remark.as_str()]).find(|told| !told.is_empty()) {
            let gate = of_gate(outcome.gate, format!("{:<6}", outcome.gate));
            let _ = writeln!(out, "  {gate} {:<44} {}", visible(&outcome.name()), short(told, 140));
            continue;
        }
        let first = worst(outcome);
        let (id, level, text) = first.map_or(("", "", String::new()), |finding| {
            let named =
                if finding.kind == FindingKind::Expectation && !finding.cites.is_empty() { &finding.cites } else { &finding.id };
            (named.as_str(), level_name(finding.level), format!("expected {}, observed {}", finding.expected, finding.observed))
        });
        let gate = of_gate(outcome.gate, format!("{:<6}", outcome.gate));
        let (name, id) = (outcome.name(), short(id, 40));
        let _ = writeln!(out, "  {gate} {:<44} {id:<12} {level:<6} {}", visible(&name), short(&text, 100));
    }
    out
}

fn worst(outcome: &Outcome) -> Option<&Finding> {
    let verdict = |finding: &&Finding| finding.verdict(false);
    let most = outcome.findings.iter().map(|finding| finding.verdict(false)).max()?;
    outcome.findings.iter().find(|finding| verdict(finding) == most)
}

fn changed(outcomes: &[Outcome]) -> String {
    let listed = super::diff::of_outcomes(outcomes);
    if listed.is_empty() {
        listed
    } else {
        format!("{}{listed}  decide with `cpmcheck review`\n", rule("traces that await review"))
    }
}
