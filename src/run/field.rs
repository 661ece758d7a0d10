//! Judges captures as runs are judged: the same correlation, invariants and rules, on what was
//! caught in place of what was recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use crate::capture::{self, Assignment, Imported};
use crate::judge::verdict::{Certainty, Finding, Verdict, verdict_of};
use crate::judge::{Judge, Judgement, Outcome, Setup};
use crate::policy::Values;
use crate::suite::Suite;
use crate::trace::Trace;
use crate::trace::correlate::{Facts, Symbol};
use crate::trace::event::{Content, Kind};
use crate::wire::sip::Message;

/// How far apart events of different connections have an order, where clocks are real.
pub const SKEW: Duration = Duration::from_millis(20);

/// What whoever asks knows of a capture.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Addresses whose roles are known.
    pub roles: Vec<Assignment>,
    /// Knobs of the implementation under test; they go before what the capture says.
    pub policy: BTreeMap<String, String>,
    /// What it claims beyond what the capture says.
    pub pics: BTreeSet<String>,
    /// The scenario that was played, `id` or `id@variant`, when the capture does not say.
    pub scenario: Option<String>,
    /// The skew; by default none for a simulated run and [`SKEW`] otherwise.
    pub skew: Option<Duration>,
    /// Whether a broken SHOULD fails as a SHALL does.
    pub strict: bool,
}

/// A capture that was judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What was read out of it.
    pub imported: Imported,
    /// What is to be said against it.
    pub findings: Vec<Finding>,
    /// What that adds up to; none when nothing passed the implementation under test.
    pub verdict: Verdict,
    /// Requirements whose rule was satisfied.
    pub satisfied: Vec<String>,
    /// Requirements whose rule was still open at the end.
    pub pending: Vec<String>,
    /// By which skew it was judged.
    pub skew: Duration,
}

/// Reads a capture and judges it.
///
/// # Errors
///
/// When the file is no capture.
pub fn judge(suite: &Suite, data: &Bytes, terms: &Terms) -> Result<Judged, capture::Fault> {
    let mut imported = capture::read(data, &terms.roles, &super::acquaintances(&suite.defaults))?;
    if let Some(named) = &terms.scenario {
        let (id, variant) = named.split_once('@').unwrap_or((named, ""));
        id.clone_into(&mut imported.trace.header.scenario);
        variant.clone_into(&mut imported.trace.header.variant);
    }
    let header = &mut imported.trace.header;
    header.policy = knobs(suite, &header.policy, &terms.policy).into();
    header.pics.extend(terms.pics.iter().cloned());
    let skew = terms.skew.unwrap_or(if header.virtual_clock { Duration::ZERO } else { SKEW });
    let judge = Judge::new(&suite.catalogue.requirements, super::names(&suite.defaults), Setup { skew, ..Setup::default() });
    let judgement = judge.judge(&imported.trace);
    let mut findings = claims(suite, &imported.trace, &judgement);
    findings.extend(judgement.findings.iter().cloned());
    let certain = imported.doubtful.map(|hole| judge.judge(&before(&imported.trace, hole)).findings);
    doubt(&mut findings, certain.as_deref(), &imported.trace, &judgement.facts);
    let with = |wanted: Outcome| {
        let found = judgement.requirements.iter().filter(|requirement| requirement.outcome() == wanted);
        found.map(|requirement| requirement.id.to_string()).collect()
    };
    let (satisfied, pending) = (with(Outcome::Satisfied), with(Outcome::Pending));
    let is_empty = !imported.trace.events.iter().any(|event| matches!(event.kind, Kind::Message { .. }));
    let verdict = if is_empty { Verdict::None } else { verdict_of(&findings, terms.strict) };
    Ok(Judged { imported, findings, verdict, satisfied, pending, skew })
}

/// The value of every knob: the suite's, then the capture's, then the asker's.
fn knobs(suite: &Suite, stated: &BTreeMap<String, String>, told: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut values = Values::default();
    for (name, value) in suite.defaults.policy.iter().chain(stated).chain(told) {
        // A capture of another version may state a knob that is gone.
        let _ = values.set(name, value);
    }
    crate::policy::knobs().iter().map(|knob| (knob.name.to_owned(), values.text(knob.name).to_owned())).collect()
}

/// What the scenario claims that was played, if one was.
fn claims(suite: &Suite, trace: &Trace, judgement: &Judgement) -> Vec<Finding> {
    let scenario = suite.scenario(&trace.header.scenario);
    scenario.map(|scenario| judgement.claims(scenario.requirements.iter().map(String::as_str))).unwrap_or_default()
}

/// What was caught before bytes are missing.
fn before(trace: &Trace, hole: u32) -> Trace {
    let events = trace.events[..(hole as usize).min(trace.events.len())].to_vec();
    let ended = events.last().map(|event| event.at).unwrap_or_default();
    Trace { header: trace.header.clone(), events, ended, complete: false }
}

/// A finding that may come of what the capture lacks is none that is certain. `certain` are those
/// that came up before anything was missing.
fn doubt(findings: &mut [Finding], certain: Option<&[Finding]>, trace: &Trace, facts: &[Facts]) {
    let older = if trace.header.virtual_clock { BTreeSet::new() } else { older_dialogs(trace, facts) };
    for finding in findings.iter_mut().filter(|finding| finding.certainty == Certainty::Broken) {
        let known = |known: &Finding| known.id == finding.id && known.event == finding.event;
        let after_a_hole = certain.is_some_and(|certain| !certain.iter().any(known));
        let dialog = finding.event.and_then(|event| facts.get(event as usize)?.dialog);
        let why = match dialog {
            _ if after_a_hole => "the capture lacks bytes that may explain it",
            Some(dialog) if older.contains(&dialog) => "its dialog is older than the capture",
            _ => continue,
        };
        finding.certainty = Certainty::Open;
        finding.observed = format!("{}; {why}", finding.observed);
    }
}

/// Dialogs that were not seen to begin.
fn older_dialogs(trace: &Trace, facts: &[Facts]) -> BTreeSet<Symbol> {
    let (mut begun, mut older) = (BTreeSet::new(), BTreeSet::new());
    for (event, facts) in trace.events.iter().zip(facts) {
        let (Some(dialog), Kind::Message { content: Content::Sip(message), .. }) = (facts.dialog, &event.kind) else { continue };
        if begun.contains(&dialog) || older.contains(&dialog) {
            continue;
        }
        // A fork is a dialog of its own from its first response on.
        let begins = if message.is_request() { to_tag(message).is_none() } else { facts.answers.is_some() };
        if begins {
            begun.insert(dialog)
        } else {
            older.insert(dialog)
        };
    }
    older
}

fn to_tag(message: &Message) -> Option<&str> {
    message.to().ok()?.tag()
}
