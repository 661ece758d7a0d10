//! A trace with what there is to say beside it, as every export shows it.

use std::collections::BTreeMap;

use super::terminal::level_name;
use crate::judge::expect::headline;
use crate::judge::outcome::Outcome;
use crate::judge::verdict::{Certainty, Finding};
use crate::pattern::ast::Place;
use crate::suite::source::Sources;
use crate::trace::Trace;
use crate::trace::correlate::Correlation;
use crate::trace::event::Kind;

/// What is exported.
#[derive(Clone, Debug)]
pub struct Exhibit<'a> {
    /// The trace.
    pub trace: &'a Trace,
    /// The verdict of the run, if there was one.
    pub verdict: String,
    /// What was found.
    pub findings: &'a [Finding],
    /// By event: the step that sent or awaited it, `group/missed.yaml:12`.
    pub steps: BTreeMap<u32, String>,
}

/// The steps that sent or awaited the events of an outcome.
pub fn steps_of(outcome: &Outcome, sources: &Sources) -> BTreeMap<u32, String> {
    let written = |(event, place): (&u32, &Place)| {
        let (path, line, _) = sources.locate(*place);
        (*event, format!("{path}:{line}"))
    };
    outcome.steps.iter().map(written).collect()
}

impl Exhibit<'_> {
    /// What stands beside each packet of a capture: who speaks to whom, which step, what was found.
    pub fn comments(&self) -> BTreeMap<u32, Vec<String>> {
        let facts = Correlation::of(self.trace).facts;
        let mut comments: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for (event, facts) in self.trace.events.iter().zip(&facts) {
            let own = comments.entry(event.number).or_default();
            if matches!(event.kind, Kind::Message { .. }) {
                let step = self.steps.get(&event.number).map(|step| format!("  step {step}")).unwrap_or_default();
                own.push(format!("#{} {} -> {}: {}{step}", event.number, facts.from, facts.to, headline(event)));
            }
            own.extend(self.marks(event.number));
        }
        comments
    }

    /// What was found at an event, a line for each finding.
    pub fn marks(&self, event: u32) -> impl Iterator<Item = String> {
        self.findings.iter().filter(move |finding| finding.event == Some(event)).map(line)
    }

    /// What was found that no event shows.
    pub fn absences(&self) -> impl Iterator<Item = String> {
        self.findings.iter().filter(|finding| finding.event.is_none()).map(line)
    }
}

/// A finding on one line.
pub fn line(finding: &Finding) -> String {
    let word = match finding.certainty {
        Certainty::Broken => "broken",
        Certainty::Open => "undecided",
    };
    let Finding { id, level, cites, expected, observed, .. } = finding;
    format!("{word}: {id} ({}, {cites}): expected {expected}, observed {observed}", level_name(*level))
}
