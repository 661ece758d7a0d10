//! What is said about a step that was not met: the headline, the marked place, the notes.

use std::time::Duration;

use crate::judge::outcome::Miss;
use crate::judge::verdict::{Certainty, Fault, Finding, FindingKind};
use crate::pattern::Mismatch;
use crate::pattern::ast::What;
use crate::suite::catalogue::Level;
use crate::suite::scenario::{Act, Expectation, Step};
use crate::trace::correlate::Facts;
use crate::trace::event::{Content, Event, Kind};
use crate::wire::sip::StartLine;

/// What a person calls an event: `INVITE`, `480 Temporarily Unavailable`, `MSRP SEND`.
pub fn headline(event: &Event) -> String {
    match &event.kind {
        Kind::Message { content: Content::Sip(message), .. } => match message.start_line() {
            StartLine::Request { method, .. } => method.to_owned(),
            StartLine::Status { code, reason } => format!("{code} {reason}"),
        },
        Kind::Message { content: Content::Msrp(chunk), .. } => match (chunk.method(), chunk.code()) {
            (Some(method), _) => format!("MSRP {method}"),
            (None, code) => format!("MSRP {}", code.unwrap_or_default()),
        },
        Kind::Message { content: Content::Broken { bytes, .. }, .. } => format!("{} bytes that are no message", bytes.len()),
        Kind::Opened { .. } => "a connection".to_owned(),
        Kind::Closed { .. } => "LOST".to_owned(),
        Kind::Fault(text) => text.clone(),
        Kind::Note { note, .. } => note.text.to_string(),
        Kind::FlowEnded => "the end of the script".to_owned(),
    }
}

fn finding(step: Option<&Step>, level: Level, cites: &str, event: Option<u32>, expected: String, observed: String) -> Finding {
    Finding {
        kind: FindingKind::Expectation,
        id: step.map_or_else(|| "flow".to_owned(), |step| format!("step {}", step.number)),
        level,
        certainty: Certainty::Broken,
        event,
        cites: cites.to_owned(),
        expected,
        observed,
        fault: Fault::Iut,
    }
}

fn miss(code: &'static str, title: String, step: Option<&Step>, label: String) -> Miss {
    Miss { code, title, step: step.map(|step| step.number), place: step.map(|step| step.place), label, notes: Vec::new() }
}

fn cites(expectation: &Expectation) -> &str {
    expectation.because.as_deref().unwrap_or("")
}

fn name(step: &Step) -> String {
    match &step.act {
        Act::Send(sending) => sending.pattern.what.to_string(),
        Act::Expect(expectation) => expectation.pattern.what.to_string(),
        _ => format!("step {}", step.number),
    }
}

fn observed_note(event: &Event, facts: &Facts) -> (&'static str, String) {
    ("observed", format!("{} at {}, message #{}, {} -> {}", headline(event), event.at, event.number, facts.from, facts.to))
}

fn demands(mismatches: &[Mismatch]) -> Vec<String> {
    let line = |mismatch: &Mismatch| match &mismatch.observed {
        Some(observed) => format!("{}: expected {}, observed {observed}", mismatch.path, mismatch.expected),
        None => format!("{}: expected {}, nothing is there", mismatch.path, mismatch.expected),
    };
    mismatches.iter().map(line).collect()
}

fn allowed(expectation: &Expectation) -> (&'static str, String) {
    let level = format!("{:?}", expectation.level).to_uppercase();
    ("allowed", format!("{} ({level})", expectation.pattern.what))
}

/// The answer to a request is one that the step does not allow.
pub(super) fn wrong_answer(step: &Step, expectation: &Expectation, event: &Event, facts: &Facts) -> (Miss, Finding) {
    let came = headline(event);
    let title = format!("{} answered {came}, which this step does not allow", facts.from);
    let mut miss = miss("C0201", title, Some(step), format!("observed {came}"));
    miss.notes.push(allowed(expectation));
    miss.notes.push(observed_note(event, facts));
    let expected = expectation.pattern.what.to_string();
    (miss, finding(Some(step), expectation.level, cites(expectation), Some(event.number), expected, came))
}

/// The awaited message came, with other values.
pub(super) fn differs(
    step: &Step,
    expectation: &Expectation,
    event: &Event,
    facts: &Facts,
    mismatches: &[Mismatch],
) -> (Miss, Finding) {
    let came = headline(event);
    let total = expectation.pattern.keys.len();
    let held = total.saturating_sub(mismatches.len());
    let title = format!("{} sent {came}, which differs from what this step asks for", facts.from);
    let mut miss = miss("C0202", title, Some(step), format!("{held} of {total} conditions hold"));
    miss.notes.push(observed_note(event, facts));
    let demands = demands(mismatches);
    miss.notes.extend(demands.iter().map(|demand| ("differs", demand.clone())));
    let expected = format!("{} with {total} conditions", expectation.pattern.what);
    let observed = if demands.is_empty() { came } else { demands.join("; ") };
    (miss, finding(Some(step), expectation.level, cites(expectation), Some(event.number), expected, observed))
}

/// A message came that `never` forbids.
pub(super) fn forbidden(step: &Step, event: &Event, facts: &Facts) -> (Miss, Finding) {
    let came = headline(event);
    let title = format!("{} sent {came}, which this step forbids", facts.from);
    let mut miss = miss("C0203", title, Some(step), format!("observed {came}"));
    miss.notes.push(observed_note(event, facts));
    (miss, finding(Some(step), Level::Shall, "", Some(event.number), format!("no {came}"), came))
}

/// A message came that nothing explains.
pub(super) fn unexplained(event: &Event, facts: &Facts, awaited: &[&Step]) -> (Miss, Finding) {
    let came = headline(event);
    let title = format!("{} sent {came} to {}, which neither a step nor `ignore` explains", facts.from, facts.to);
    let mut miss = miss("C0204", title, awaited.first().copied(), "this was awaited next".to_owned());
    if awaited.is_empty() {
        miss.label.clear();
    }
    miss.notes.push(observed_note(event, facts));
    let names: Vec<String> = awaited
        .iter()
        .filter_map(|step| match &step.act {
            Act::Expect(expectation) => Some(arrow(expectation)),
            _ => None,
        })
        .collect();
    let expected = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    miss.notes.push(("awaited", expected.clone()));
    miss.notes.push(("try", "a step for it, or `ignore:` if it does not matter here".to_owned()));
    (miss, finding(awaited.first().copied(), Level::Shall, "", Some(event.number), expected, came))
}

fn arrow(expectation: &Expectation) -> String {
    let pattern = &expectation.pattern;
    format!("{} -> {} {}", pattern.from, pattern.to, pattern.what)
}

/// An awaited message did not come in time.
pub(super) fn nothing_came(step: &Step, expectation: &Expectation, waited: Duration, scale: f64) -> (Miss, Finding) {
    let pattern = &expectation.pattern;
    let seconds = waited.as_secs_f64();
    let what = match pattern.what {
        What::Lost => "loss of a connection".to_owned(),
        _ => pattern.what.to_string(),
    };
    let title = format!("no matching {what} from {} to {} within {seconds:.1} s", pattern.from, pattern.to);
    let mut miss = miss("C0210", title, Some(step), "this did not come".to_owned());
    miss.notes.push(("waited", format!("{seconds:.3} s (scale {scale:.1})")));
    let observed = format!("nothing within {seconds:.1} s");
    (miss, finding(Some(step), expectation.level, cites(expectation), None, arrow(expectation), observed))
}

/// A step of level SHOULD or MAY was met with other values.
pub(super) fn lenient(step: &Step, expectation: &Expectation, event: &Event, mismatches: &[Mismatch]) -> Finding {
    let observed = demands(mismatches).join("; ");
    finding(Some(step), expectation.level, cites(expectation), Some(event.number), arrow(expectation), observed)
}

/// A branch was taken that is not the strictest one.
pub(super) fn deviation(step: &Step, level: Level) -> Finding {
    let expected = "the branch of level SHALL".to_owned();
    finding(Some(step), level, "", None, expected, format!("the branch that begins with {}", name(step)))
}

/// The player could not do what a step asks for.
pub(super) fn refused(step: &Step, why: &str) -> (Miss, Finding) {
    let title = format!("the script cannot send {}: {why}", name(step));
    let miss = miss("C0301", title, Some(step), "this cannot be done here".to_owned());
    let finding =
        finding(Some(step), Level::Shall, "", None, format!("a state in which {} can be sent", name(step)), why.to_owned());
    (miss, Finding { fault: Fault::Scenario, ..finding })
}
