//! Findings and what they add up to.

use std::fmt;

use crate::suite::catalogue::Level;

/// What became of a scenario; it only ever worsens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Verdict {
    /// Nothing was judged yet.
    #[default]
    None,
    /// All that was owed came, and nothing else.
    Pass,
    /// The trace cannot tell.
    Inconclusive,
    /// The IUT broke a SHALL, or the scenario claims what it does not show.
    Fail,
    /// The run itself went wrong.
    Error,
}

impl Verdict {
    /// The worse of two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.max(other)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whose fault a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fault {
    /// The implementation under test.
    Iut,
    /// The scenario.
    Scenario,
    /// The surroundings: a port that is taken, a peer that is gone.
    Environment,
    /// Ourselves.
    Harness,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Iut => "IUT",
            Self::Scenario => "scenario",
            Self::Environment => "environment",
            Self::Harness => "harness",
        })
    }
}

/// What a finding was found by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FindingKind {
    /// A step of the scenario.
    Expectation,
    /// A rule of a base protocol.
    Invariant,
    /// The rule of a requirement.
    Rule,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expectation => "expectation",
            Self::Invariant => "invariant",
            Self::Rule => "rule",
        })
    }
}

/// How certain a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Certainty {
    /// It is broken.
    Broken,
    /// The trace ended too early, or the order of two connections decides.
    Open,
}

/// One thing that the judge has to say against a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What it was found by.
    pub kind: FindingKind,
    /// The step, the invariant's name, or the requirement.
    pub id: String,
    /// How strongly it binds.
    pub level: Level,
    /// Broken, or undecided.
    pub certainty: Certainty,
    /// The event that shows it, if one does.
    pub event: Option<u32>,
    /// The place in a standard, `RFC 3261 8.1.1.7` or a clause number.
    pub cites: String,
    /// What was expected: a lower-case fragment.
    pub expected: String,
    /// What was observed: a lower-case fragment.
    pub observed: String,
    /// Whose fault it is.
    pub fault: Fault,
}

impl Finding {
    /// What this finding alone makes of a scenario.
    pub fn verdict(&self, strict: bool) -> Verdict {
        match (self.fault, self.certainty, self.level) {
            (Fault::Environment | Fault::Harness, _, _) => Verdict::Error,
            (_, _, Level::May) => Verdict::Pass,
            (_, _, Level::Should | Level::Note) if !strict => Verdict::Pass,
            (_, Certainty::Open, _) => Verdict::Inconclusive,
            (_, Certainty::Broken, _) => Verdict::Fail,
        }
    }

    /// Whether this says only that the trace does not show what the scenario claims: nothing in it
    /// concerns the rule, or the rule was still open at the end.
    pub fn is_unshown_claim(&self) -> bool {
        self.kind == FindingKind::Rule && (self.fault == Fault::Scenario || self.certainty == Certainty::Open)
    }

    /// Whether this is a warning: a SHOULD or a NOTE that was not kept.
    pub fn is_warning(&self, strict: bool) -> bool {
        !strict && matches!(self.level, Level::Should | Level::Note) && self.certainty == Certainty::Broken
    }
}

/// What the findings of a run add up to; without any it is a pass.
pub fn verdict_of(findings: &[Finding], strict: bool) -> Verdict {
    findings.iter().fold(Verdict::Pass, |verdict, finding| verdict.and(finding.verdict(strict)))
}
