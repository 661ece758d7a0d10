//! Subscriptions (RFC 6665).

use std::collections::BTreeMap;

use super::{Invariant, PATIENCE, Report, Seen};
use crate::time::Instant;
use crate::trace::correlate::Symbol;
use crate::wire::sip::header::{Token, number};
use crate::wire::sip::{Message, Name};

const FIELDS: Invariant =
    Invariant::must("event-fields", "RFC 6665 4.1.2.1, 4.2.2, 8.2", "Event in SUBSCRIBE and NOTIFY, Subscription-State in NOTIFY");
const SAME_EVENT: Invariant =
    Invariant::must("event-kept", "RFC 6665 4.2.2, 8.2.1", "the event package of the subscription in its NOTIFY");
const GRANTED: Invariant =
    Invariant::must("expires-granted", "RFC 6665 4.2.1.1", "Expires in the 2xx to a SUBSCRIBE, no longer than was asked for");
const NOTIFIED: Invariant =
    Invariant::must("notify-after-subscribe", "RFC 6665 4.2.1.2", "a NOTIFY right after a SUBSCRIBE was accepted");
const TERMINATED: Invariant =
    Invariant::must("nothing-after-terminated", "RFC 6665 4.2.2", "no NOTIFY after the one that says terminated");

pub(super) const ALL: &[&Invariant] = &[&FIELDS, &SAME_EVENT, &GRANTED, &NOTIFIED, &TERMINATED];

#[derive(Clone, Debug, Default)]
struct Subscription {
    package: String,
    terminated: bool,
    /// The 2xx that the IUT gave, until its NOTIFY goes out.
    unnotified: Option<(u32, Instant)>,
}

/// What is known of all subscriptions.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    all: BTreeMap<Symbol, Subscription>,
}

fn package(message: &Message) -> Option<String> {
    message.value(Name::Event).and_then(|value| Token::parse(value).ok()).map(|event| event.value.to_ascii_lowercase())
}

impl State {
    /// The IUT has lost its memory.
    pub(super) fn forget(&mut self) {
        self.all.values_mut().for_each(|subscription| subscription.unnotified = None);
    }

    pub(super) fn sip(&mut self, seen: &Seen<'_>, message: &Message, report: &mut Report) {
        let method = message.method_token().unwrap_or("");
        if !matches!(method, "SUBSCRIBE" | "NOTIFY") {
            return;
        }
        let missing =
            message.value(Name::Event).is_none() || (method == "NOTIFY" && message.value(Name::SubscriptionState).is_none());
        if message.is_request() && seen.sent && missing {
            report.broken(&FIELDS, seen.number, format!("a {method} without"));
        }
        let Some(symbol) = seen.facts.subscription else { return };
        let subscription = self.all.entry(symbol).or_default();
        match (method, message.is_request(), seen.sent) {
            ("SUBSCRIBE", true, _) => subscription.package = package(message).unwrap_or_default(),
            ("SUBSCRIBE", false, true) => subscription.granted(seen, message, report),
            ("NOTIFY", true, true) => subscription.notified(seen, message, report),
            _ => {}
        }
    }

    pub(super) fn finish(&mut self, ended: Instant, report: &mut Report) {
        for subscription in self.all.values() {
            if let Some((event, at)) = subscription.unnotified.filter(|(_, at)| ended.since(*at) >= PATIENCE) {
                report.broken(&NOTIFIED, event, format!("none for {:?}", ended.since(at)));
            }
        }
    }
}

impl Subscription {
    fn granted(&mut self, seen: &Seen<'_>, message: &Message, report: &mut Report) {
        if !message.status().is_some_and(|status| (200..300).contains(&status)) {
            return;
        }
        self.unnotified = Some((seen.number, seen.at));
        let request = seen.facts.answers.and_then(|event| seen.message(event));
        let seconds = |message: &Message| message.value(Name::Expires).and_then(|value| number(value.trim()).ok());
        match (seconds(message), request.and_then(seconds)) {
            (None, _) => report.broken(&GRANTED, seen.number, "no Expires"),
            (Some(granted), Some(asked)) if granted > asked => {
                report.broken(&GRANTED, seen.number, format!("{granted} s to {asked} s"));
            }
            _ => {}
        }
    }

    fn notified(&mut self, seen: &Seen<'_>, message: &Message, report: &mut Report) {
        self.unnotified = None;
        if self.terminated {
            report.broken(&TERMINATED, seen.number, "one more");
        }
        if let Some(own) = package(message).filter(|own| !self.package.is_empty() && *own != self.package) {
            report.broken(&SAME_EVENT, seen.number, format!("{own} in place of {}", self.package));
        }
        let state = message.value(Name::SubscriptionState).and_then(|value| Token::parse(value).ok());
        self.terminated = state.is_some_and(|state| state.value.eq_ignore_ascii_case("terminated"));
    }
}
