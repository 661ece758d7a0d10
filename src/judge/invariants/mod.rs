//! What the base protocols demand of everyone, always: judged on what the IUT sent, and on what it
//! owed and did not send.
//!
//! Each file holds one protocol's share: a state that sees every event once, and the invariants it
//! reports, each with the section that demands it. The form of a single message is judged by the
//! validators of [`crate::wire`], whose violations cite their section themselves.

mod conference_info;
mod content;
mod dialog;
mod msrp;
mod offer_answer;
mod session_timer;
mod sip_message;
mod subscription;
mod transaction;

use std::collections::BTreeMap;
use std::time::Duration;

use super::Record;
use super::verdict::{Certainty, Fault, Finding, FindingKind};
use crate::pattern::View;
use crate::suite::catalogue::Level;
use crate::time::Instant;
use crate::trace::correlate::{Facts, Head};
use crate::trace::event::{Content, Event, Kind, Link};
use crate::wire;
use crate::wire::msrp::Chunk;
use crate::wire::sip::Message;

/// Something that a base protocol demands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Invariant {
    /// A stable name, kebab-case.
    pub id: &'static str,
    /// Where it is demanded.
    pub rfc: &'static str,
    /// How strongly it binds.
    pub level: Level,
    /// What is demanded: a lower-case fragment.
    pub says: &'static str,
}

impl Invariant {
    const fn must(id: &'static str, rfc: &'static str, says: &'static str) -> Self {
        Self { id, rfc, level: Level::Shall, says }
    }

    const fn should(id: &'static str, rfc: &'static str, says: &'static str) -> Self {
        Self { id, rfc, level: Level::Should, says }
    }
}

/// Every invariant beyond the form of single messages, by file.
pub fn all() -> impl Iterator<Item = &'static Invariant> {
    [
        sip_message::ALL,
        transaction::ALL,
        dialog::ALL,
        offer_answer::ALL,
        session_timer::ALL,
        subscription::ALL,
        msrp::ALL,
        content::ALL,
        conference_info::ALL,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// 64*T1 with the default T1 (RFC 3261 17.1.1.1).
const PATIENCE: Duration = Duration::from_secs(32);

/// An event, as the invariants see it.
struct Seen<'a> {
    number: u32,
    at: Instant,
    sent: bool,
    facts: &'a Facts,
    link: &'a Link,
    events: &'a [Event],
    view: View<'a>,
}

impl Seen<'_> {
    /// An earlier SIP message.
    fn message(&self, event: u32) -> Option<&Message> {
        sip_of(self.events, event)
    }

    /// When an earlier event happened.
    fn time_of(&self, event: u32) -> Instant {
        self.events.get(event as usize).map_or(self.at, |event| event.at)
    }
}

fn sip_of(events: &[Event], event: u32) -> Option<&Message> {
    match &events.get(event as usize)?.kind {
        Kind::Message { content: Content::Sip(message), .. } => Some(message),
        _ => None,
    }
}

/// Where findings go. One invariant is reported a few times at most: the first cases say it all.
#[derive(Clone, Debug, Default)]
struct Report {
    findings: Vec<Finding>,
    counts: BTreeMap<&'static str, u32>,
}

impl Report {
    const KEPT: u32 = 4;

    fn broken(&mut self, invariant: &Invariant, event: u32, observed: impl Into<String>) {
        self.push(invariant.id, invariant.rfc, invariant.level, event, invariant.says.to_owned(), observed.into());
    }

    fn violations(&mut self, event: u32, violations: Vec<wire::Violation>) {
        for violation in violations.into_iter().filter(|violation| violation.level == wire::Level::Error) {
            let expected = "a message of the form that the standard gives it".to_owned();
            self.push(violation.code, violation.rfc, Level::Shall, event, expected, violation.message);
        }
    }

    fn push(&mut self, id: &'static str, rfc: &'static str, level: Level, event: u32, expected: String, observed: String) {
        let count = self.counts.entry(id).or_default();
        *count += 1;
        if *count > Self::KEPT {
            return;
        }
        self.findings.push(Finding {
            kind: FindingKind::Invariant,
            id: id.to_owned(),
            level,
            certainty: Certainty::Broken,
            event: Some(event),
            cites: rfc.to_owned(),
            expected,
            observed,
            fault: Fault::Iut,
        });
    }
}

/// All invariants over one trace.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    report: Report,
    transactions: transaction::State,
    dialogs: dialog::State,
    offers: offer_answer::State,
    subscriptions: subscription::State,
    msrp: msrp::State,
    content: content::State,
    conference: conference_info::State,
}

impl Run {
    /// Invariants whose deadlines may be missed by `late`.
    pub(super) fn new(late: Duration) -> Self {
        Self { transactions: transaction::State::new(late), dialogs: dialog::State::new(late), ..Self::default() }
    }

    /// Sees the event at `at`.
    pub(super) fn event(&mut self, record: Record<'_>, at: usize, head: Option<&Head<'_>>) {
        let Record { events, .. } = record;
        let (event, facts) = (&events[at], &record.facts[at]);
        match &event.kind {
            Kind::Message { link, sent, content } => {
                let view = record.view(at);
                let seen = Seen { number: event.number, at: event.at, sent: *sent, facts, link, events, view };
                match content {
                    Content::Sip(_) => head.into_iter().for_each(|head| self.sip(&seen, head)),
                    Content::Msrp(chunk) => self.msrp(&seen, chunk),
                    Content::Broken { fault, .. } if *sent => {
                        self.report.push(
                            fault.code,
                            "RFC 3261 7",
                            Level::Shall,
                            event.number,
                            fault.expected.to_owned(),
                            "something else".to_owned(),
                        );
                    }
                    Content::Broken { .. } => {}
                }
            }
            Kind::Closed { link, .. } => self.msrp.closed(link),
            Kind::Fault(what) if what.strip_prefix("restart ") == Some(&*facts.from.name) => {
                // Its memory is gone, and with it everything that it owed.
                self.transactions.forget();
                self.msrp.forget();
                self.subscriptions.forget();
            }
            Kind::Opened { .. } | Kind::Fault(_) | Kind::Note { .. } | Kind::FlowEnded => {}
        }
    }

    fn sip(&mut self, seen: &Seen<'_>, head: &Head<'_>) {
        let (message, report) = (head.message, &mut self.report);
        self.transactions.sip(seen, head, report);
        if seen.facts.retransmission.is_some() {
            return;
        }
        if seen.sent {
            sip_message::judge(seen, head, report);
            session_timer::judge(seen, message, report);
        }
        self.dialogs.sip(seen, head, report);
        let description = seen.view.description();
        if let Some(Ok(sdp)) = description {
            self.msrp.learn(seen, message, sdp);
        }
        self.offers.sip(seen, message, description, report);
        self.subscriptions.sip(seen, message, report);
        self.content.sip(seen, message, report);
        self.conference.sip(seen, message, report);
    }

    fn msrp(&mut self, seen: &Seen<'_>, chunk: &Chunk) {
        self.msrp.chunk(seen, chunk, &mut self.report);
        self.content.msrp(seen, chunk, &mut self.report);
    }

    /// Says what is broken.
    pub(super) fn finish(mut self, ended: Instant, complete: bool) -> Vec<Finding> {
        if complete {
            self.transactions.finish(ended, &mut self.report);
            self.msrp.finish(ended, &mut self.report);
            self.subscriptions.finish(ended, &mut self.report);
        }
        self.report.findings.sort_by_key(|finding| finding.event);
        self.report.findings
    }
}

#[cfg(test)]
mod tests;
