//! The court: findings over a trace, and their verdict.
//!
//! It sees a trace and nothing else, and shares only the parsers with the player. A [`Judge`] is
//! prepared once per catalogue; a [`Session`] judges one trace, event by event or at once.

pub mod coverage;
pub mod expect;
pub mod invariants;
pub mod outcome;
pub mod revision;
mod rules;
pub mod verdict;

use std::sync::Arc;

use smallvec::SmallVec;

use crate::pattern::{Contents, Names, View};
use crate::suite::catalogue::{Level, Requirement};
use crate::time::Instant;
use crate::trace::correlate::{Correlator, Facts, Head, Symbols};
use crate::trace::event::{Content, Event, Kind, Party};
use crate::trace::{Header, Trace};
pub use rules::{Breach, Outcome, RuleResult, Setup, holds};
use verdict::{Certainty, Fault, Finding, FindingKind};

/// The knob that says how much a NOTE binds.
const NOTES: &str = "report.notes-as";

/// How many events back bodies are kept as they were decoded; who looks farther decodes again.
const RECENT: usize = 64;

/// How many events wait to be weighed together. The court is much code: called for an event between
/// two steps of a simulation, it would find little of itself in the processor's caches.
const BATCH: usize = 128;

/// How many events a trace of one scenario mostly has.
const USUAL: usize = 128;

/// Judges traces by the invariants of the base protocols and the rules of a catalogue.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    rules: rules::Rules,
    requirements: Vec<Entry>,
    names: Names,
    setup: Setup,
}

#[derive(Clone, Debug)]
struct Entry {
    id: Arc<str>,
    clause: Arc<str>,
    level: Level,
    /// How many rules it has.
    rules: usize,
}

impl Judge {
    /// A judge of a catalogue. `names` are those of the suite's identities and groups.
    pub fn new(catalogue: &[Requirement], names: Names, setup: Setup) -> Self {
        let mut rules = rules::Rules::default();
        let entry = |requirement: &Requirement| Entry {
            id: requirement.id.as_str().into(),
            clause: requirement.clause.as_str().into(),
            level: requirement.level,
            rules: rules.add(requirement),
        };
        let requirements = catalogue.iter().map(entry).collect();
        Self { rules, requirements, names, setup }
    }

    /// Judges a whole trace.
    pub fn judge(&self, trace: &Trace) -> Judgement {
        let mut session = self.session(&trace.header);
        session.advance(&trace.events);
        session.finish(&trace.events, trace.ended, trace.complete)
    }

    /// Reads what the header of a trace says.
    pub fn opening(&self, header: &Header) -> Opening {
        Opening {
            iut: header.iut.clone(),
            correlator: Correlator::new(header),
            active: self.rules.active(header),
            notes_bind: rules::policy_of(NOTES, header).is_some_and(|value| crate::policy::same(value, "failure")),
        }
    }

    /// Begins to judge a trace of which only the header is known.
    pub fn session(&self, header: &Header) -> Session<'_> {
        self.begin(&self.opening(header))
    }

    /// Begins to judge a trace with this opening.
    pub fn begin(&self, opening: &Opening) -> Session<'_> {
        Session {
            judge: self,
            correlator: opening.correlator.clone(),
            facts: Vec::with_capacity(USUAL),
            contents: Vec::with_capacity(USUAL),
            names: self.names.clone(),
            learnt: Vec::new(),
            weighed: 0,
            rules: rules::Run::new(&self.rules, &opening.iut, Arc::clone(&opening.active), self.setup),
            invariants: invariants::Run::new(self.setup.late),
            notes_bind: opening.notes_bind,
        }
    }
}

/// What the header of a trace means to a judge. Traces with the same address book, policy and claims
/// open alike.
#[derive(Clone, Debug)]
pub struct Opening {
    iut: Party,
    /// That has seen nothing yet.
    correlator: Correlator,
    /// By number of a rule: whether its condition holds.
    active: Arc<[bool]>,
    notes_bind: bool,
}

/// What there is to judge: the events so far, what is known of each, what was decoded of each.
#[derive(Clone, Copy)]
struct Record<'e> {
    events: &'e [Event],
    facts: &'e [Facts],
    contents: &'e [Contents],
}

impl<'e> Record<'e> {
    /// An event as patterns see it.
    fn view(&self, at: usize) -> View<'e> {
        let (event, facts) = (&self.events[at], &self.facts[at]);
        let view = match &event.kind {
            Kind::Message { content: Content::Sip(message), .. } => View::sip(message),
            Kind::Message { content: Content::Msrp(chunk), .. } => {
                View::msrp(chunk, facts.whole.as_ref().map(|whole| whole.body.clone()))
            }
            _ => View::lost(),
        };
        view.knowing(&self.contents[at])
    }
}

/// One trace on its way through the court.
#[derive(Clone, Debug)]
pub struct Session<'j> {
    judge: &'j Judge,
    correlator: Correlator,
    facts: Vec<Facts>,
    contents: Vec<Contents>,
    names: Names,
    learnt: Vec<(String, String)>,
    /// How many events the rules and invariants have seen.
    weighed: usize,
    rules: rules::Run,
    invariants: invariants::Run,
    /// Whether a NOTE binds like a SHALL (AMB-49).
    notes_bind: bool,
}

impl Session<'_> {
    /// Reads what was added to `events` since the last call, and weighs it by the time that
    /// [`finish`](Self::finish) is called.
    pub fn advance(&mut self, events: &[Event]) {
        for at in self.facts.len()..events.len() {
            let facts = self.correlator.push(&events[at]);
            self.facts.push(facts);
            self.contents.push(Contents::default());
            let learnt = self.correlator.learnt_uris();
            if !learnt.is_empty() {
                // What came before was said without knowing them.
                self.weigh(events, at);
            }
            for (group, uri) in learnt {
                self.names.add_address(&group, uri.clone());
                self.learnt.push((group, uri));
            }
            if self.facts.len() - self.weighed >= BATCH {
                self.weigh(events, self.facts.len());
            }
        }
    }

    /// Shows the events before `end` to the rules and the invariants.
    fn weigh(&mut self, events: &[Event], end: usize) {
        for at in self.weighed..end {
            let record = Record { events, facts: &self.facts[..=at], contents: &self.contents[..=at] };
            self.rules.event(&self.judge.rules, record, at, &self.names);
        }
        for at in self.weighed..end {
            let record = Record { events, facts: &self.facts[..=at], contents: &self.contents[..=at] };
            self.invariants.event(record, at, Head::of_event(&events[at]).as_ref());
        }
        let past = self.weighed.saturating_sub(RECENT)..end.saturating_sub(RECENT);
        self.contents[past].fill(Contents::default());
        self.weighed = end;
    }

    /// What is known of each event so far.
    pub fn facts(&self) -> &[Facts] {
        &self.facts
    }

    /// What was decoded of each event so far, as far as it is kept.
    pub fn contents(&self) -> &[Contents] {
        &self.contents
    }

    /// The names of the symbols in the facts.
    pub const fn symbols(&self) -> &Symbols {
        self.correlator.symbols()
    }

    /// What the trace taught: the name of a group, and a further URI of it.
    pub fn learnt(&self) -> &[(String, String)] {
        &self.learnt
    }

    /// The names that literals stand for, with what the trace taught so far.
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// Weighs the rest of `events` and says what became of everything.
    pub fn finish(mut self, events: &[Event], ended: Instant, complete: bool) -> Judgement {
        self.advance(events);
        self.weigh(events, events.len());
        let ended = events.last().map_or(ended, |event| event.at.max(ended));
        let mut results = self.rules.finish(&self.judge.rules, ended, complete).into_iter();
        let requirements = self.judge.requirements.iter().map(|entry| {
            // Rules are numbered in the order of their requirements.
            let rules = results.by_ref().take(entry.rules).collect();
            RequirementResult { id: Arc::clone(&entry.id), clause: Arc::clone(&entry.clause), level: entry.level, rules }
        });
        let requirements: Vec<_> = requirements.collect();
        let mut findings: Vec<_> = requirements.iter().flat_map(RequirementResult::findings).collect();
        if self.notes_bind {
            for finding in findings.iter_mut().filter(|finding| finding.level == Level::Note) {
                finding.level = Level::Shall;
            }
        }
        findings.extend(self.invariants.finish(ended, complete));
        Judgement { findings, requirements, facts: self.facts }
    }
}

/// What became of one requirement in a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequirementResult {
    /// Its identifier.
    pub id: Arc<str>,
    /// Its clause number.
    pub clause: Arc<str>,
    /// Its level.
    pub level: Level,
    /// What became of each of its rules.
    pub rules: SmallVec<[RuleResult; 1]>,
}

impl RequirementResult {
    /// Violated if any rule is, else satisfied if any is, else pending if any is.
    pub fn outcome(&self) -> Outcome {
        self.rules.iter().map(RuleResult::outcome).max().unwrap_or_default()
    }

    fn findings(&self) -> impl Iterator<Item = Finding> {
        self.rules.iter().filter_map(|rule| rule.breaches.first()).map(|breach| Finding {
            kind: FindingKind::Rule,
            id: self.id.to_string(),
            level: self.level,
            certainty: Certainty::Broken,
            event: breach.event.filter(|event| *event != u32::MAX),
            cites: self.clause.to_string(),
            expected: breach.expected.clone(),
            observed: breach.observed.clone(),
            fault: Fault::Iut,
        })
    }
}

/// What the court says of a trace.
#[derive(Clone, PartialEq, Debug)]
pub struct Judgement {
    /// Everything that is to be said against it.
    pub findings: Vec<Finding>,
    /// What became of each requirement of the catalogue, in its order.
    pub requirements: Vec<RequirementResult>,
    /// What is known of each event.
    pub facts: Vec<Facts>,
}

impl Judgement {
    /// What became of a requirement; `None` when the catalogue does not know it.
    pub fn outcome(&self, id: &str) -> Option<Outcome> {
        self.requirements.iter().find(|requirement| *requirement.id == *id).map(RequirementResult::outcome)
    }

    /// What a scenario's claims come to: a requirement that it lists must be satisfied. Pending
    /// leaves the claim open, not triggered makes it empty.
    pub fn claims<'a>(&self, listed: impl IntoIterator<Item = &'a str>) -> Vec<Finding> {
        let claims = listed.into_iter().filter_map(|id| self.requirements.iter().find(|requirement| *requirement.id == *id));
        claims.filter_map(RequirementResult::claim).collect()
    }
}

impl RequirementResult {
    fn claim(&self) -> Option<Finding> {
        let (certainty, fault, observed) = match self.outcome() {
            // Without a rule it says in the catalogue why nothing can be shown.
            Outcome::NotTriggered if self.rules.is_empty() => return None,
            Outcome::Satisfied | Outcome::Violated => return None,
            Outcome::Pending => (Certainty::Open, Fault::Iut, "its rule was still open when the trace ended"),
            Outcome::NotTriggered => (Certainty::Broken, Fault::Scenario, "nothing in the trace concerns its rule"),
        };
        Some(Finding {
            kind: FindingKind::Rule,
            id: self.id.to_string(),
            level: Level::Shall,
            certainty,
            event: None,
            cites: self.clause.to_string(),
            expected: "a run that shows the requirement which the scenario lists".to_owned(),
            observed: observed.to_owned(),
            fault,
        })
    }
}
