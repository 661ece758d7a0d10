//! What changes from one revision of a suite, or one policy, to another: requirements, scenarios,
//! flows, verdicts and coverage.

use std::collections::{BTreeMap, BTreeSet};

use super::coverage::{Coverage, Entry};
use super::outcome::{Gate, Outcome};
use crate::suite::Suite;
use crate::suite::catalogue::{Level, Requirement};
use crate::suite::scenario::Scenario;
use crate::trace::Trace;
use crate::trace::snapshot::{Change, Snapshot, compare};

/// One side of a comparison: a suite under a policy, and what came of playing it.
#[derive(Clone, Debug)]
pub struct Revision<'s> {
    /// What the reader calls it: a folder, a revision, a policy.
    pub label: String,
    /// The suite.
    pub suite: &'s Suite,
    /// What became of every scenario, variants apart.
    pub outcomes: Vec<Outcome>,
    /// How far every requirement is covered.
    pub coverage: Vec<Entry>,
    /// The tamper cases that no scenario caught: requirement and case.
    pub missed: Vec<(String, String)>,
}

/// Something that is on one side only, or on both and not the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Only in the second.
    Added,
    /// In both, not the same.
    Changed,
    /// Only in the first.
    Removed,
}

impl Status {
    /// `added`, `changed`, `removed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

/// A requirement that is not what it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequirementChange {
    /// What became of it.
    pub status: Status,
    /// Its identifier.
    pub id: String,
    /// Its level, in the second if it is there.
    pub level: Level,
    /// Its summary, in the second if it is there.
    pub summary: String,
    /// Which parts differ: `level`, `clause`, `summary`, `rule`, `tamper` and so on.
    pub parts: Vec<&'static str>,
}

/// A scenario whose text is not what it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScenarioChange {
    /// What became of it.
    pub status: Status,
    /// Its identifier.
    pub id: String,
    /// Its title, in the second if it is there.
    pub title: String,
    /// The requirements that it lists and that the second does not know any more.
    pub orphaned: Vec<String>,
}

/// A flow that is not what it was.
#[derive(Clone, PartialEq, Debug)]
pub struct FlowChange {
    /// The scenario with its variant.
    pub name: String,
    /// What differs, message by message.
    pub changes: Vec<Change>,
    /// The first trace.
    pub before: Trace,
    /// The second trace.
    pub after: Trace,
}

/// What kind of change a verdict went through.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Turn {
    /// It passed and does not pass any more.
    Regression,
    /// It passes now.
    Fix,
    /// It failed in one way and now fails in another, or passes with another remark.
    Other,
    /// It is new.
    New,
    /// It is gone.
    Gone,
}

impl Turn {
    /// `regression`, `fix`, `other`, `new`, `gone`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::Fix => "fix",
            Self::Other => "other",
            Self::New => "new",
            Self::Gone => "gone",
        }
    }
}

/// A verdict that is not what it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerdictChange {
    /// What kind of change.
    pub turn: Turn,
    /// The scenario with its variant.
    pub name: String,
    /// What it was.
    pub before: Option<Gate>,
    /// What it is.
    pub after: Option<Gate>,
}

/// A requirement whose coverage is not what it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoverageChange {
    /// The requirement.
    pub id: String,
    /// What it was, with tamper cases caught and tried.
    pub before: Option<(Coverage, usize, usize)>,
    /// What it is.
    pub after: Option<(Coverage, usize, usize)>,
}

/// All that changes from one revision to another.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Difference {
    /// What the first is called.
    pub before: String,
    /// What the second is called.
    pub after: String,
    /// Requirements, by identifier.
    pub requirements: Vec<RequirementChange>,
    /// Scenarios, by identifier.
    pub scenarios: Vec<ScenarioChange>,
    /// Flows, by name.
    pub flows: Vec<FlowChange>,
    /// Verdicts: regressions first.
    pub verdicts: Vec<VerdictChange>,
    /// Coverage, by identifier.
    pub coverage: Vec<CoverageChange>,
    /// Tamper cases that are not caught any more.
    pub missed: Vec<(String, String)>,
    /// Requirements that were added or changed and that no scenario lists, without a reason.
    pub uncovered: Vec<String>,
}

impl Difference {
    /// Compares two revisions.
    pub fn of(before: &Revision<'_>, after: &Revision<'_>) -> Self {
        let requirements = requirements(before.suite, after.suite);
        let bare = |id: &String| {
            after.coverage.iter().any(|entry| entry.id == *id && entry.coverage == Coverage::None && entry.untestable.is_none())
        };
        let touched = requirements.iter().filter(|change| change.status != Status::Removed).map(|change| change.id.clone());
        Self {
            before: before.label.clone(),
            after: after.label.clone(),
            uncovered: touched.filter(bare).collect(),
            requirements,
            scenarios: scenarios(before.suite, after.suite),
            flows: flows(&before.outcomes, &after.outcomes),
            verdicts: verdicts(&before.outcomes, &after.outcomes),
            coverage: coverage(&before.coverage, &after.coverage),
            missed: after.missed.iter().filter(|case| !before.missed.contains(case)).cloned().collect(),
        }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
            && self.scenarios.is_empty()
            && self.flows.is_empty()
            && self.verdicts.is_empty()
            && self.coverage.is_empty()
    }

    /// Why the change should not be taken as it is: regressions, losses, requirements that no
    /// scenario shows.
    pub fn objections(&self) -> Vec<String> {
        let regressions = self.verdicts.iter().filter(|change| change.turn == Turn::Regression);
        let mut objections: Vec<String> = regressions.map(|change| format!("{} does not pass any more", change.name)).collect();
        objections.extend(self.missed.iter().map(|(id, case)| format!("the tamper case {case} of {id} is not caught")));
        objections.extend(self.uncovered.iter().map(|id| format!("no scenario lists {id}")));
        objections
    }
}

/// Everything that is in either map, with its status unless it is the same.
fn statuses<'k, V>(
    old: &BTreeMap<&'k str, V>,
    new: &BTreeMap<&'k str, V>,
    same: impl Fn(&V, &V) -> bool,
) -> Vec<(&'k str, Status)> {
    let keys: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    let status = |key| match (old.get(key), new.get(key)) {
        (None, _) => Some((key, Status::Added)),
        (_, None) => Some((key, Status::Removed)),
        (Some(old), Some(new)) => (!same(old, new)).then_some((key, Status::Changed)),
    };
    keys.into_iter().filter_map(status).collect()
}

fn requirements(old: &Suite, new: &Suite) -> Vec<RequirementChange> {
    fn by_id(suite: &Suite) -> BTreeMap<&str, &Requirement> {
        suite.catalogue.requirements.iter().map(|requirement| (requirement.id.as_str(), requirement)).collect()
    }
    let (was, is) = (by_id(old), by_id(new));
    let mut changes = Vec::new();
    for (id, status) in statuses(&was, &is, |was, now| parts(old, was, new, now).is_empty()) {
        let Some(requirement) = is.get(id).or_else(|| was.get(id)) else { continue };
        let both = was.get(id).zip(is.get(id));
        changes.push(RequirementChange {
            status,
            id: id.to_owned(),
            level: requirement.level,
            summary: requirement.summary.clone(),
            parts: both.map(|(was, now)| parts(old, was, new, now)).unwrap_or_default(),
        });
    }
    changes
}

/// The parts in which two definitions of a requirement differ.
fn parts(old: &Suite, was: &Requirement, new: &Suite, now: &Requirement) -> Vec<&'static str> {
    let cases = |requirement: &Requirement| requirement.tamper.iter().map(|case| case.name.clone()).collect::<Vec<_>>();
    let differ = [
        ("level", was.level != now.level),
        ("clause", was.clause != now.clause),
        ("actor", was.actor != now.actor),
        ("summary", was.summary != now.summary),
        ("exemption", was.exemption != now.exemption),
        ("tamper", cases(was) != cases(now)),
    ];
    let mut parts: Vec<&str> = differ.iter().filter(|(_, differs)| *differs).map(|(part, _)| *part).collect();
    if parts.is_empty() && definition(old, was) != definition(new, now) {
        parts.push("rule");
    }
    parts
}

/// The text of a requirement in the catalogue, comments and spacing aside.
fn definition(suite: &Suite, requirement: &Requirement) -> Vec<String> {
    let Some(file) = suite.sources.file(requirement.place) else { return Vec::new() };
    let start = requirement.place.start as usize;
    let later = suite.catalogue.requirements.iter().filter(|other| other.place.file == requirement.place.file);
    let end = later.map(|other| other.place.start as usize).filter(|other| *other > start).min().unwrap_or(file.text.len());
    let lines = file.text.get(start..end).unwrap_or("").lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

fn scenarios(old: &Suite, new: &Suite) -> Vec<ScenarioChange> {
    fn by_id(suite: &Suite) -> BTreeMap<&str, &Scenario> {
        suite.scenarios.iter().map(|scenario| (scenario.id.as_str(), scenario)).collect()
    }
    let (was, is) = (by_id(old), by_id(new));
    let mut changes = Vec::new();
    for (id, status) in statuses(&was, &is, |was, now| texts(old, was) == texts(new, now)) {
        let Some(scenario) = is.get(id).or_else(|| was.get(id)) else { continue };
        let unknown = scenario.requirements.iter().filter(|listed| new.catalogue.get(listed).is_none());
        let orphaned = unknown.cloned().collect();
        changes.push(ScenarioChange { status, id: id.to_owned(), title: scenario.title.clone(), orphaned });
    }
    changes
}

/// The texts that a scenario is made of: its own, and its fragments'.
fn texts<'s>(suite: &'s Suite, scenario: &Scenario) -> Vec<(&'s str, &'s str)> {
    let files = scenario.files.iter().filter_map(|at| suite.sources.files.get(*at as usize));
    files.map(|file| (file.path.as_str(), file.text.as_str())).collect()
}

fn by_name(outcomes: &[Outcome]) -> BTreeMap<String, &Outcome> {
    outcomes.iter().map(|outcome| (outcome.name(), outcome)).collect()
}

fn flows(old: &[Outcome], new: &[Outcome]) -> Vec<FlowChange> {
    let old = by_name(old);
    let mut changes = Vec::new();
    for (name, after) in by_name(new) {
        let Some(before) = old.get(&name) else { continue };
        let content = |trace: &Trace| Snapshot::of(trace, "", "").content;
        let (was, now) = (content(&before.trace), content(&after.trace));
        if was != now {
            let changes_of = compare(&was, &now);
            changes.push(FlowChange { name, changes: changes_of, before: before.trace.clone(), after: after.trace.clone() });
        }
    }
    changes
}

fn verdicts(old: &[Outcome], new: &[Outcome]) -> Vec<VerdictChange> {
    let (old, new) = (by_name(old), by_name(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        let (before, after) = (old.get(name).map(|outcome| outcome.gate), new.get(name).map(|outcome| outcome.gate));
        let turn = match (before, after) {
            (None, _) => Turn::New,
            (_, None) => Turn::Gone,
            (Some(before), Some(after)) if before == after => continue,
            (Some(before), Some(after)) if before.passes() && !after.passes() => Turn::Regression,
            (Some(before), Some(after)) if !before.passes() && after.passes() => Turn::Fix,
            _ => Turn::Other,
        };
        changes.push(VerdictChange { turn, name: name.clone(), before, after });
    }
    changes.sort_by_key(|change| change.turn);
    changes
}

fn coverage(old: &[Entry], new: &[Entry]) -> Vec<CoverageChange> {
    let by_id = |entries: &[Entry]| -> BTreeMap<String, (Coverage, usize, usize)> {
        entries.iter().map(|entry| (entry.id.clone(), (entry.coverage, entry.caught, entry.tamper))).collect()
    };
    let (old, new) = (by_id(old), by_id(new));
    let ids: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let change = |id: &String| CoverageChange { id: id.clone(), before: old.get(id).copied(), after: new.get(id).copied() };
    ids.into_iter().filter(|id| old.get(*id) != new.get(*id)).map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::load_all;
    use crate::suite::source::Sources;

    const BASE: [(&str, &str); 2] = [
        ("suite.yaml", "title: T\nspec: S 1\nidentities: { bob: { role: client, uri: \"sip:bob@home1.example\" } }\n"),
        ("requirements.yaml", "X-1:\n  clause: 8.1\n  level: SHALL\n  actor: pf\n  summary: One\n  todo: later\n"),
    ];

    fn revision(suite: &Suite) -> Revision<'_> {
        Revision { label: "x".to_owned(), suite, outcomes: Vec::new(), coverage: Vec::new(), missed: Vec::new() }
    }

    fn change(to: &str) -> Vec<RequirementChange> {
        let (old, new) = (
            load_all(Sources::of_texts("a", BASE)).suite,
            load_all(Sources::of_texts("b", [BASE[0], ("requirements.yaml", to)])).suite,
        );
        Difference::of(&revision(&old), &revision(&new)).requirements
    }

    #[test]
    fn a_requirement_that_stays_is_no_change() {
        assert_eq!(change(&format!("# moved down by a comment\n\n{}", BASE[1].1)), []);
    }

    #[test]
    fn a_changed_part_of_a_requirement_is_named() {
        let changes = change(&BASE[1].1.replace("SHALL", "SHOULD").replace("One", "Two"));
        assert_eq!(changes.len(), 1);
        assert_eq!((changes[0].status, &changes[0].parts[..]), (Status::Changed, &["level", "summary"][..]));
    }

    #[test]
    fn requirements_come_and_go() {
        let changes = change(&BASE[1].1.replace("X-1", "X-2"));
        let told: Vec<_> = changes.iter().map(|change| (change.id.as_str(), change.status)).collect();
        assert_eq!(told, [("X-1", Status::Removed), ("X-2", Status::Added)]);
    }
}
