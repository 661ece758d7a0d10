//! Tamper cases at work: a filter at the edge of the IUT that alters what it sends.
//!
//! A case bites once: at the message that its pattern names, retransmissions of it included. What
//! an injected request is answered never reaches the IUT.

mod forge;

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::ids::Ids;
use crate::judge::expect::view_of;
use crate::net::{Filter, Injection, Verdict};
use crate::pattern::ast::{Answers, Pattern};
use crate::pattern::{Matcher, Names, fill};
use crate::suite::catalogue::{Tamper, TamperAct, TamperPoint};
use crate::time::{Instant, unix_micros};
use crate::trace::Header;
use crate::trace::correlate::{Correlator, Facts};
use crate::trace::event::{Content, Event, Kind, Link};
use crate::wire::sip::{Builder, Message, Name};
use forge::Forge;

/// A case that is to be tried.
#[derive(Clone, Debug)]
pub struct Tampering(pub Tamper);

impl Tampering {
    /// The filter that does it; `bitten` tells afterwards whether it had the occasion.
    pub(super) fn begin(self, header: &Header, names: Names, bitten: Bitten) -> Box<dyn Filter> {
        Box::new(Tamperer {
            bite: Bite::of(&self.0),
            tamper: self.0,
            correlator: Correlator::new(header),
            names,
            ids: Ids::new(header.seed, "tamper"),
            number: 0,
            met: 0,
            altered: BTreeSet::new(),
            swapped: None,
            forge: Forge::new(header),
            forged: BTreeSet::new(),
            injections: Vec::new(),
            bitten,
        })
    }
}

/// Whether a case had its occasion; shared between the filter and whoever waits for the run.
pub(super) type Bitten = std::sync::Arc<std::sync::atomic::AtomicBool>;

/// A pattern, prepared.
struct Bite {
    matcher: Matcher,
    second: Option<Matcher>,
}

impl Bite {
    fn of(tamper: &Tamper) -> Self {
        let (TamperPoint::On(pattern) | TamperPoint::After(pattern)) = &tamper.at;
        let second = match &tamper.act {
            TamperAct::SwapWith(pattern) => Some(Matcher::of(&pattern.keys)),
            _ => None,
        };
        Self { matcher: Matcher::of(&pattern.keys), second }
    }
}

struct Tamperer {
    tamper: Tamper,
    bite: Bite,
    correlator: Correlator,
    names: Names,
    ids: Ids,
    number: u32,
    met: u32,
    /// The messages that were altered, for their retransmissions.
    altered: BTreeSet<u32>,
    /// A message that waits for the one with which it changes places.
    swapped: Option<(Link, Bytes)>,
    forge: Forge,
    /// Branches and transaction identifiers of what was forged.
    forged: BTreeSet<String>,
    injections: Vec<Injection>,
    bitten: Bitten,
}

impl Filter for Tamperer {
    fn on_sent(&mut self, event: &Event) -> Verdict {
        let (event, facts) = self.correlate(event);
        self.forge.note(&event, &facts);
        if facts.retransmission.is_some_and(|first| self.altered.contains(&first)) {
            return self.alter(&event, &facts);
        }
        if self.swap_back(&event, &facts) {
            return Verdict::Pass;
        }
        match self.point(&event, &facts) {
            Some(true) => {
                self.altered.insert(event.number);
                self.bitten.store(true, std::sync::atomic::Ordering::Relaxed);
                self.alter(&event, &facts)
            }
            _ => Verdict::Pass,
        }
    }

    fn on_received(&mut self, event: &Event) -> Verdict {
        if is_answer_to_forged(event, &self.forged) {
            return Verdict::Withhold;
        }
        let (event, facts) = self.correlate(event);
        self.forge.note(&event, &facts);
        let _ = self.point(&event, &facts);
        Verdict::Pass
    }

    fn poll_injection(&mut self) -> Option<Injection> {
        (!self.injections.is_empty()).then(|| self.injections.remove(0))
    }
}

impl Tamperer {
    /// What is known of a message. The filter counts for itself: what it drops has no number in
    /// the trace.
    fn correlate(&mut self, event: &Event) -> (Event, Facts) {
        let event = Event { number: self.number, ..event.clone() };
        self.number += 1;
        let facts = self.correlator.push(&event);
        for (group, uri) in self.correlator.learnt_uris() {
            self.names.add_address(&group, uri);
        }
        (event, facts)
    }

    /// Whether this is the message that the case waits for; `true` when it is to be altered. One
    /// after which something is injected is left as it is.
    fn point(&mut self, event: &Event, facts: &Facts) -> Option<bool> {
        let (on, pattern) = match &self.tamper.at {
            TamperPoint::On(pattern) => (true, pattern.clone()),
            TamperPoint::After(pattern) => (false, pattern.clone()),
        };
        if facts.retransmission.is_some() || !self.fits(&pattern, &self.bite.matcher, event, facts) {
            return None;
        }
        self.met += 1;
        if self.met != self.tamper.nth.max(1) {
            return None;
        }
        if !on {
            self.inject(event, facts);
        }
        Some(on)
    }

    fn fits(&self, pattern: &Pattern, matcher: &Matcher, event: &Event, facts: &Facts) -> bool {
        let Kind::Message { content, .. } = &event.kind else { return false };
        let whole = facts.whole.as_ref().map(|whole| whole.body.clone());
        let Some(view) = view_of(content, whole) else { return false };
        let initial = || view.as_sip().is_none_or(|message| !message.has_to_tag());
        let answers = match &pattern.answers {
            Some(Answers::Method(method)) => view.as_sip().is_some_and(|message| message.method_token() == Some(method.token())),
            Some(Answers::Trigger | Answers::Step(_)) | None => true,
        };
        facts.runs(&pattern.from, &pattern.to)
            && view.is(&pattern.what)
            && answers
            && pattern.initial.is_none_or(|wanted| initial() == wanted)
            && matcher.matches(&view, &self.names).is_some()
    }

    fn alter(&mut self, event: &Event, facts: &Facts) -> Verdict {
        let Kind::Message { link, content, .. } = &event.kind else { return Verdict::Pass };
        match &self.tamper.act {
            TamperAct::Drop => Verdict::Drop,
            TamperAct::Duplicate => Verdict::Duplicate,
            TamperAct::Delay(span) => Verdict::Delay(*span),
            TamperAct::Change(keys) => {
                let keys = keys.clone();
                self.changed(content, &keys, facts).map_or(Verdict::Pass, Verdict::Replace)
            }
            TamperAct::SwapWith(_) => {
                self.swapped = Some((*link, content.bytes()));
                Verdict::Drop
            }
            TamperAct::Inject(_) => Verdict::Pass,
        }
    }

    fn changed(&mut self, content: &Content, keys: &[crate::pattern::ast::Key], facts: &Facts) -> Option<Bytes> {
        let mut supplies = fill::Supplies {
            env: &self.names,
            ids: &mut self.ids,
            now: unix_micros(Instant::ZERO),
            from: &facts.from.name,
            to: &facts.to.name,
            entity: "",
            roster_version: 1,
            roster: None,
        };
        match content {
            Content::Sip(message) => Some(fill::sip(Builder::of(message), keys, &mut supplies).ok()?.encode()),
            Content::Msrp(chunk) => Some(fill::chunk(chunk, keys, &mut supplies).ok()?.encode()),
            Content::Broken { .. } => None,
        }
    }

    /// The message for which another one waits: it goes first, the other one right behind it.
    fn swap_back(&mut self, event: &Event, facts: &Facts) -> bool {
        let (TamperAct::SwapWith(pattern), Some(matcher), true) = (&self.tamper.act, &self.bite.second, self.swapped.is_some())
        else {
            return false;
        };
        let fits = self.fits(pattern, matcher, event, facts);
        if let (true, Some((link, bytes))) = (fits, self.swapped.take_if(|_| fits)) {
            self.injections.push(Injection { after: std::time::Duration::ZERO, link, bytes });
        }
        fits
    }

    fn inject(&mut self, event: &Event, facts: &Facts) {
        let TamperAct::Inject(pattern) = self.tamper.act.clone() else { return };
        let Some((link, content)) = self.forge.make(&pattern, event, facts, &mut self.ids) else { return };
        let Some(bytes) = self.changed(&content, &pattern.keys, facts) else { return };
        self.forged.extend(mark(&content));
        self.bitten.store(true, std::sync::atomic::Ordering::Relaxed);
        // Right behind what it follows, but after whatever the IUT does at the same instant.
        self.injections.push(Injection { after: std::time::Duration::from_millis(1), link, bytes });
    }
}

/// What tells the answer to a message.
fn mark(content: &Content) -> Option<String> {
    match content {
        Content::Sip(message) => branch(message),
        Content::Msrp(chunk) => Some(chunk.transact_id().to_owned()),
        Content::Broken { .. } => None,
    }
}

fn branch(message: &Message) -> Option<String> {
    // A response has passed all other hops already: the top Via is that of the IUT.
    message.values(Name::Via).next().and_then(|via| crate::wire::sip::header::Via::parse(via).ok()?.branch().map(str::to_owned))
}

fn is_answer_to_forged(event: &Event, forged: &BTreeSet<String>) -> bool {
    let Kind::Message { content, .. } = &event.kind else { return false };
    let is_answer = match content {
        Content::Sip(message) => !message.is_request(),
        Content::Msrp(chunk) => chunk.method().is_none(),
        Content::Broken { .. } => false,
    };
    is_answer && mark(content).is_some_and(|mark| forged.contains(&mark))
}
