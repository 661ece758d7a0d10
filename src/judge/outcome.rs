//! What a run adds up to: outcomes of scenarios, their gates, and the exit code of all.
//!
//! The runner makes these values, reports read them; neither knows the other.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::verdict::{Fault, Finding, FindingKind, Verdict};
use crate::pattern::ast::Place;
use crate::suite::catalogue::Level;
use crate::trace::Trace;
use crate::trace::event::Kind;

/// How the program ends. The codes are interface; they never count anything.
///
/// They are ordered by precedence: of several the greatest is returned, so that a proven failure
/// is never hidden behind an unknown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Exit {
    /// All gates passed.
    Ok,
    /// Nothing was selected, or less than asked for.
    NoTests,
    /// Traces or coverage await review.
    Pending,
    /// Something did not run to its end or could not be decided.
    Incomplete,
    /// The IUT does not conform.
    Conformance,
    /// The surroundings failed.
    Environment,
    /// A file of the suite or of a run is invalid or stale.
    Input,
    /// The command line is wrong.
    Usage,
    /// A defect of our own.
    Internal,
    /// SIGTERM.
    Terminated,
    /// SIGINT.
    Interrupted,
}

impl Exit {
    /// All of them, mildest first: the order of precedence.
    pub const ALL: [Self; 11] = [
        Self::Ok,
        Self::NoTests,
        Self::Pending,
        Self::Incomplete,
        Self::Conformance,
        Self::Environment,
        Self::Input,
        Self::Usage,
        Self::Internal,
        Self::Terminated,
        Self::Interrupted,
    ];

    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Conformance => 1,
            Self::Usage => 2,
            Self::Input => 3,
            Self::NoTests => 4,
            Self::Pending => 5,
            Self::Incomplete => 6,
            Self::Environment => 7,
            Self::Internal => 70,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Conformance => "conformance",
            Self::Usage => "usage",
            Self::Input => "input",
            Self::NoTests => "no-tests",
            Self::Pending => "pending",
            Self::Incomplete => "incomplete",
            Self::Environment => "environment",
            Self::Internal => "internal",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }

    /// When it is returned.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "all gates passed",
            Self::Conformance => {
                "the IUT broke a SHALL (or what --fail-on names), passed what is expected to fail, is flaky, or coverage was lost"
            }
            Self::Usage => "a flag is wrong, or a selector is unknown or matches nothing",
            Self::Input => "a scenario, the catalogue, a run file, a PICS file or an expected failure is invalid or stale",
            Self::NoTests => "nothing was left to run, or less than --min-tests",
            Self::Pending => "traces or coverage differ from what is stored and await review",
            Self::Incomplete => "a run file is truncated, a scenario is inconclusive or did not run",
            Self::Environment => "the surroundings failed: a file could not be written, a port is in use",
            Self::Internal => "a defect of cpmcheck",
            Self::Interrupted => "SIGINT",
            Self::Terminated => "SIGTERM",
        }
    }

    /// The one that goes first.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.max(other)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.code(), self.name())
    }
}

/// What a scenario's verdict means for the run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Gate {
    /// Everything held.
    Pass,
    /// Passed; something optional was left out or seen.
    Info,
    /// Passed; a SHOULD or a NOTE was broken.
    Warn,
    /// It failed, passed when it was tried again, and that is accepted.
    Unsteady,
    /// It failed as was expected.
    Waived,
    /// The IUT says that it cannot, as was expected.
    Unsupported,
    /// It passed, and was expected to fail.
    Surprise,
    /// It failed otherwise than was expected.
    Otherwise,
    /// The IUT says that it cannot, and nobody declared that.
    Undeclared,
    /// It failed, and passed when it was tried again.
    Flaky,
    /// A SHALL was broken.
    Fail,
    /// It could not be decided, or did not run.
    NotRun,
    /// The run itself went wrong.
    Error,
}

impl Gate {
    /// Its name, as every report shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Waived => "XFAIL",
            Self::Unsupported => "UNSUP",
            Self::Surprise => "XPASS",
            Self::Otherwise => "XDIFF",
            Self::Undeclared => "UNSUP!",
            Self::Unsteady | Self::Flaky => "FLAKY",
            Self::Fail => "FAIL",
            Self::NotRun => "NOTRUN",
            Self::Error => "ERROR",
        }
    }

    /// Whether the last line counts it as passed.
    pub const fn passes(self) -> bool {
        matches!(self, Self::Pass | Self::Info | Self::Warn | Self::Unsteady)
    }

    /// Whether it is declared and gates nothing; the last line counts it as skipped.
    pub const fn is_declared(self) -> bool {
        matches!(self, Self::Waived | Self::Unsupported)
    }

    /// Whether it makes a run fail.
    pub const fn fails(self) -> bool {
        !self.passes() && !self.is_declared()
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// From which level on a broken requirement fails the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FailOn {
    /// A SHALL.
    #[default]
    Shall,
    /// A SHOULD or a NOTE too.
    Should,
    /// Anything that was found.
    Any,
}

/// How the trace compares with the accepted one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Comparison {
    /// It was not compared: another seed, a filter, or a failed scenario.
    #[default]
    Skipped,
    /// Equal.
    Same,
    /// There is no accepted one; this is it.
    New(String),
    /// They differ; this is the new one.
    Changed {
        /// The accepted trace.
        old: String,
        /// The new trace.
        new: String,
    },
}

/// How the scenario left things: a second verdict, independent of the first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum CleanUp {
    /// Nothing was left open.
    #[default]
    Clean,
    /// Dialogs or MSRP sessions were still open when the harness closed them.
    Left(Vec<String>),
}

/// A step that was not met, with everything that a report needs to point at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Miss {
    /// Its stable code, `C0201`.
    pub code: &'static str,
    /// The headline.
    pub title: String,
    /// The step that was not met.
    pub step: Option<u32>,
    /// Where the step is written.
    pub place: Option<Place>,
    /// What stands under the marked text.
    pub label: String,
    /// Labelled notes, in order.
    pub notes: Vec<(&'static str, String)>,
}

/// What became of one rule set of a requirement in one run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RuleState {
    /// Its trigger never came.
    NotTriggered,
    /// It was triggered and the trace ended too early.
    Pending,
    /// It held.
    Satisfied,
    /// It was broken.
    Violated,
}

impl RuleState {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotTriggered => "not-triggered",
            Self::Pending => "pending",
            Self::Satisfied => "satisfied",
            Self::Violated => "violated",
        }
    }
}

/// What became of one variant of one scenario.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The identifier of the scenario.
    pub scenario: String,
    /// The variant; empty for the first.
    pub variant: String,
    /// Which repetition it was, from 1.
    pub repetition: u32,
    /// The seed.
    pub seed: u64,
    /// Whether it gates.
    pub draft: bool,
    /// The requirements that it claims.
    pub requirements: Vec<String>,
    /// Its verdict.
    pub verdict: Verdict,
    /// What the verdict means for the run.
    pub gate: Gate,
    /// All that the judge has to say.
    pub findings: Vec<Finding>,
    /// The steps that were not met.
    pub misses: Vec<Miss>,
    /// The outcome of the rules of every requirement that was triggered.
    pub rules: BTreeMap<String, RuleState>,
    /// Events that `ignore` or the automatic list explained.
    pub ignored: Vec<u32>,
    /// Where in the scenario each event was written that a step sent or awaited.
    pub steps: BTreeMap<u32, Place>,
    /// How the trace compares.
    pub comparison: Comparison,
    /// What it left behind.
    pub clean_up: CleanUp,
    /// What happened.
    pub trace: Trace,
    /// Virtual time that passed until the script was over.
    pub took: Duration,
    /// What was expected of it, if anything was.
    pub expected: Option<Expected>,
    /// Why the gate is what it is, where neither findings nor `expected` tell.
    pub remark: String,
}

/// An expected failure that was about an outcome.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Expected {
    /// What was expected: `fail`, `flaky`, `warn` or `unsupported`.
    pub what: &'static str,
    /// Why.
    pub because: String,
    /// Where it is followed up.
    pub issue: String,
    /// Where it is written, `FILE:LINE`.
    pub place: String,
    /// How what came differs from it; empty when it does not.
    pub difference: String,
}

impl Outcome {
    /// The scenario with its variant, `group/missed@strict`.
    pub fn name(&self) -> String {
        if self.variant.is_empty() { self.scenario.clone() } else { format!("{}@{}", self.scenario, self.variant) }
    }

    /// How many messages passed the edge of the IUT.
    pub fn messages(&self) -> usize {
        self.trace.events.iter().filter(|event| matches!(event.kind, Kind::Message { .. })).count()
    }

    /// Whose fault it is that this did not pass; the least certain first.
    pub fn fault(&self) -> Option<Fault> {
        let worst = self.findings.iter().filter(|finding| finding.verdict(true) > Verdict::Pass);
        worst.max_by_key(|finding| finding.verdict(true)).map(|finding| finding.fault)
    }

    /// The requirement that a failure names first: one whose rule broke, else one that the trace
    /// does not show.
    pub fn broken_requirement(&self) -> Option<&str> {
        let is_broken = |finding: &&Finding| finding.kind == FindingKind::Rule && finding.verdict(false) > Verdict::Pass;
        let rules = || self.findings.iter().filter(is_broken);
        let rule = rules().find(|finding| !finding.is_unshown_claim()).or_else(|| rules().next());
        rule.map(|finding| finding.id.as_str())
    }
}

/// The gate of a scenario.
pub fn gate_of(findings: &[Finding], fail_on: FailOn) -> Gate {
    let strict = fail_on != FailOn::Shall;
    let verdict = super::verdict::verdict_of(findings, strict);
    match verdict {
        Verdict::Error => Gate::Error,
        Verdict::Fail => Gate::Fail,
        _ if fail_on == FailOn::Any && !findings.is_empty() => Gate::Fail,
        Verdict::Inconclusive => Gate::NotRun,
        Verdict::None | Verdict::Pass if findings.iter().any(|finding| finding.is_warning(strict)) => Gate::Warn,
        Verdict::None | Verdict::Pass if findings.iter().any(|finding| finding.level == Level::May) => Gate::Info,
        Verdict::None | Verdict::Pass => Gate::Pass,
    }
}

/// Why a scenario was left out.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Skip {
    /// The scenario with its variant.
    pub name: String,
    /// Why, for example `--skip tag:msrp`.
    pub why: String,
    /// What kind of reason it is.
    pub omission: Omission,
}

/// Why a scenario may be left out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Omission {
    /// Somebody asked for it.
    #[default]
    Skipped,
    /// The target does not offer what it needs.
    NotApplicable,
    /// The IUT does not claim what it is about.
    Unsupported,
}

impl Omission {
    /// Its name in a list.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skipped => "SKIP",
            Self::NotApplicable => "N/A",
            Self::Unsupported => "UNSUP",
        }
    }
}

/// How a whole run ended, for its last lines and its footer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Outcomes that pass, by gate.
    pub gates: BTreeMap<Gate, usize>,
    /// Outcomes of drafts that would not pass; they do not gate.
    pub drafts: usize,
    /// Scenarios that were left out.
    pub skipped: usize,
    /// Traces that await review.
    pub pending: usize,
}

impl Totals {
    /// Counts one outcome.
    pub fn count(&mut self, outcome: &Outcome) {
        if outcome.draft && outcome.gate.fails() {
            self.drafts += 1;
        } else {
            *self.gates.entry(outcome.gate).or_default() += 1;
        }
        self.pending += usize::from(matches!(outcome.comparison, Comparison::New(_) | Comparison::Changed { .. }));
    }

    /// How many outcomes have this gate.
    pub fn of(&self, gate: Gate) -> usize {
        self.gates.get(&gate).copied().unwrap_or(0)
    }

    /// How many passed.
    pub fn passed(&self) -> usize {
        self.gates.iter().filter(|(gate, _)| gate.passes()).map(|(_, count)| count).sum()
    }

    /// How many did not.
    pub fn failed(&self) -> usize {
        self.gates.iter().filter(|(gate, _)| gate.fails()).map(|(_, count)| count).sum()
    }

    /// How many count as neither: left out, drafts, failures that were expected.
    pub fn neither(&self) -> usize {
        let declared: usize = self.gates.iter().filter(|(gate, _)| gate.is_declared()).map(|(_, count)| count).sum();
        self.skipped + self.drafts + declared
    }

    /// The last line of a run, for scrapers.
    pub fn last_line(&self) -> String {
        let skipped = self.neither();
        let tail = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        format!("{} passed, {} failed{tail}", self.passed(), self.failed())
    }
}

/// Every reason for which a run does not end with 0, and the code that goes first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reasons(Vec<(Exit, String)>);

impl Reasons {
    /// Adds a reason.
    pub fn add(&mut self, exit: Exit, text: impl Into<String>) {
        self.0.push((exit, text.into()));
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &(Exit, String)> {
        self.0.iter()
    }

    /// The code that goes first.
    pub fn exit(&self) -> Exit {
        self.0.iter().fold(Exit::Ok, |exit, (other, _)| exit.and(*other))
    }

    /// The reasons that `totals` give.
    pub fn of(totals: &Totals) -> Self {
        let mut reasons = Self::default();
        let failing =
            [Gate::Fail, Gate::Surprise, Gate::Otherwise, Gate::Undeclared, Gate::Flaky].map(|gate| (gate, Exit::Conformance));
        for (gate, exit) in failing.into_iter().chain([(Gate::NotRun, Exit::Incomplete)]) {
            if totals.of(gate) > 0 {
                reasons.add(exit, format!("{} {gate}", totals.of(gate)));
            }
        }
        if totals.pending > 0 {
            let plural = if totals.pending == 1 { "trace awaits" } else { "traces await" };
            reasons.add(Exit::Pending, format!("{} {plural} review", totals.pending));
        }
        reasons
    }

    /// Adds what an outcome of gate ERROR means: that depends on whose fault it is.
    pub fn add_error(&mut self, outcome: &Outcome) {
        let exit = match outcome.fault() {
            Some(Fault::Harness) => Exit::Internal,
            Some(Fault::Scenario) => Exit::Input,
            Some(Fault::Environment | Fault::Iut) | None => Exit::Environment,
        };
        self.add(exit, format!("ERROR {}", outcome.name()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_graver_exit_goes_first() {
        let order = [130, 143, 70, 2, 3, 7, 1, 6, 5, 4, 0];
        let ranked: Vec<u8> = Exit::ALL.iter().rev().map(|exit| exit.code()).collect();
        assert_eq!(ranked, order);
        for (at, graver) in Exit::ALL.iter().enumerate() {
            for milder in &Exit::ALL[..at] {
                assert_eq!(milder.and(*graver), *graver);
                assert_eq!(graver.and(*milder), *graver);
            }
        }
    }

    #[test]
    fn the_last_line_names_what_was_left_out() {
        let mut totals = Totals { gates: [(Gate::Pass, 3), (Gate::Warn, 1), (Gate::NotRun, 2)].into(), ..Totals::default() };
        assert_eq!(totals.last_line(), "4 passed, 2 failed");
        totals.skipped = 1;
        assert_eq!(totals.last_line(), "4 passed, 2 failed, 1 skipped");
        assert_eq!(Reasons::of(&totals).exit(), Exit::Incomplete);
    }
}
