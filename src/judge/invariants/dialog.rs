//! Dialogs (RFC 3261 12, 15): sequence numbers, remote target, route set, the end.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Invariant, PATIENCE, Report, Seen};
use crate::time::Instant;
use crate::trace::correlate::{Head, Symbol};
use crate::wire::sip::header::NameAddr;
use crate::wire::sip::{Message, Name, Uri};

const CSEQ: Invariant =
    Invariant::must("cseq-increases", "RFC 3261 12.2.1.1", "a CSeq number one above the last one of this side of the dialog");
const REMOTE_TARGET: Invariant =
    Invariant::must("remote-target", "RFC 3261 12.2.1.1", "the Contact that the peer last gave as the Request-URI");
const ROUTE_SET: Invariant =
    Invariant::must("route-set", "RFC 3261 12.2.1.1, 12.1", "the route set of the dialog as Route values, in order");
const BYE_BEFORE_ACK: Invariant =
    Invariant::must("bye-after-ack", "RFC 3261 15", "no BYE of the UAS before the ACK of its 2xx, or 64*T1");
const AFTER_BYE: Invariant = Invariant::must("nothing-after-bye", "RFC 3261 15.1.1, 15.1.2", "no request in a dialog after BYE");
const TAGS: Invariant = Invariant::must(
    "dialog-uris-kept",
    "RFC 3261 12.2.1.1",
    "the local and remote tags of the dialog in From and To, each on its side",
);

/// How long what left before a BYE came may be under way: T1, which RFC 3261 17.1.1.1 takes a round trip to last.
const CROSSING: Duration = Duration::from_millis(500);

pub(super) const ALL: &[&Invariant] = &[&CSEQ, &REMOTE_TARGET, &ROUTE_SET, &BYE_BEFORE_ACK, &AFTER_BYE, &TAGS];

#[derive(Clone, Debug, Default)]
struct Dialog {
    /// The last CSeq number that the IUT used.
    cseq: Option<u32>,
    remote_target: Option<String>,
    route_set: Option<Vec<String>>,
    /// The tag on the IUT's side.
    local_tag: Option<String>,
    /// Of an INVITE that the IUT accepted: when, until its ACK comes.
    unacknowledged: Option<Instant>,
    /// Whether the IUT ended it: by a BYE of its own, or by its answer to one.
    ended: bool,
    /// When the peer's BYE came.
    bye_came: Option<Instant>,
    has_subscription: bool,
}

/// What is known of all dialogs.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    all: BTreeMap<Symbol, Dialog>,
    /// How late what the IUT sends may be by the machine's fault.
    late: Duration,
}

impl State {
    pub(super) fn new(late: Duration) -> Self {
        Self { late, ..Self::default() }
    }

    pub(super) fn sip(&mut self, seen: &Seen<'_>, head: &Head<'_>, report: &mut Report) {
        let Some(symbol) = seen.facts.dialog else { return };
        let dialog = self.all.entry(symbol).or_default();
        dialog.has_subscription |= seen.facts.subscription.is_some();
        match (head.message.is_request(), seen.sent) {
            (true, true) => dialog.request_sent(seen, head, self.late, report),
            (true, false) => dialog.request_received(seen, head),
            (false, sent) => {
                let request = seen.facts.answers.and_then(|event| seen.message(event));
                if let Some(request) = request {
                    dialog.response(seen, head, request, sent);
                }
            }
        }
    }
}

fn is_target_refresh(method: &str) -> bool {
    matches!(method, "INVITE" | "UPDATE" | "SUBSCRIBE" | "NOTIFY" | "REFER")
}

fn contact(head: &Head<'_>) -> Option<String> {
    head.contact.map(|contact| contact.uri.text.to_owned())
}

fn routes(message: &Message, name: Name) -> Vec<String> {
    let uri = |value: &str| NameAddr::parse(value).map_or_else(|_| value.to_owned(), |route| route.uri.text.to_owned());
    message.elements(name).filter(|value| !value.is_empty()).map(uri).collect()
}

fn equivalent(one: &str, two: &str) -> bool {
    one == two || Uri::parse(one).ok().zip(Uri::parse(two).ok()).is_some_and(|(one, two)| one.equivalent(&two))
}

impl Dialog {
    fn request_sent(&mut self, seen: &Seen<'_>, head: &Head<'_>, late: Duration, report: &mut Report) {
        let (method, in_dialog) = (head.method, head.to_tag.is_some());
        // A CANCEL and the ACK of a refusal belong to their INVITE (RFC 3261 9.1, 17.1.1.3).
        let own_transaction = method != "CANCEL" && !(method == "ACK" && is_ack_of_refusal(seen, head));
        if !own_transaction {
            return;
        }
        let number = head.cseq.map(|cseq| cseq.number);
        if method != "ACK" {
            if let Some((last, number)) = self.cseq.zip(number)
                && in_dialog
                && number != last.wrapping_add(1)
            {
                report.broken(&CSEQ, seen.number, format!("{number} after {last}"));
            }
            self.cseq = number.or(self.cseq);
        }
        if self.local_tag.is_none() {
            self.local_tag = head.from_tag.map(str::to_owned);
        }
        if !in_dialog {
            return;
        }
        if self.local_tag.is_some() && head.from_tag != self.local_tag.as_deref() {
            report.broken(&TAGS, seen.number, "another From tag");
        }
        self.target_and_route(seen, head.message, report);
        if self.is_over(seen.at, late) && method != "ACK" && !self.has_subscription {
            report.broken(&AFTER_BYE, seen.number, method);
        }
        if method == "BYE" {
            if self.unacknowledged.is_some_and(|since| seen.at.since(since) < PATIENCE) {
                report.broken(&BYE_BEFORE_ACK, seen.number, "no ACK came yet");
            }
            self.ended = true;
        }
    }

    /// Whether the IUT must know by now that the session has ended. Until it answers a BYE, what it sends
    /// may have crossed it, but no longer than that takes.
    fn is_over(&self, now: Instant, late: Duration) -> bool {
        self.ended || self.bye_came.is_some_and(|came| now.since(came) > CROSSING + late)
    }

    fn target_and_route(&self, seen: &Seen<'_>, message: &Message, report: &mut Report) {
        let Some(route_set) = &self.route_set else { return };
        let loose = route_set.first().is_none_or(|first| Uri::parse(first).is_ok_and(|uri| uri.params.has("lr")));
        if !loose {
            return;
        }
        let target = message.request_uri().unwrap_or("");
        if let Some(expected) = self.remote_target.as_deref().filter(|expected| !equivalent(expected, target)) {
            report.broken(&REMOTE_TARGET, seen.number, format!("{target} in place of {expected}"));
        }
        let route = routes(message, Name::Route);
        let same = route.len() == route_set.len() && route.iter().zip(route_set).all(|(one, two)| equivalent(one, two));
        if !same {
            report.broken(&ROUTE_SET, seen.number, format!("[{}] in place of [{}]", route.join(", "), route_set.join(", ")));
        }
    }

    fn request_received(&mut self, seen: &Seen<'_>, head: &Head<'_>) {
        if is_target_refresh(head.method) {
            self.remote_target = contact(head).or(self.remote_target.take());
        }
        if head.to_tag.is_none() {
            self.route_set = Some(routes(head.message, Name::RecordRoute));
        }
        match head.method {
            "ACK" => self.unacknowledged = None,
            "BYE" => self.bye_came = self.bye_came.or(Some(seen.at)),
            _ => {}
        }
    }

    fn response(&mut self, seen: &Seen<'_>, head: &Head<'_>, request: &Message, sent: bool) {
        let status = head.message.status().unwrap_or(0);
        let method = request.method_token().unwrap_or("");
        if sent && method == "BYE" && status >= 200 {
            self.ended = true;
        }
        if !(101..300).contains(&status) {
            return;
        }
        let initial = !request.has_to_tag();
        if sent {
            if self.local_tag.is_none() {
                self.local_tag = head.to_tag.map(str::to_owned);
            }
            if method == "INVITE" && initial && status >= 200 {
                self.unacknowledged = Some(seen.at);
            }
            return;
        }
        self.cseq = self.cseq.or_else(|| request.cseq().ok().map(|cseq| cseq.number));
        if self.local_tag.is_none() {
            self.local_tag = request.from().ok().and_then(|from| from.tag()).map(str::to_owned);
        }
        if is_target_refresh(method) && (initial || status >= 200) {
            self.remote_target = contact(head).or(self.remote_target.take());
        }
        // The 2xx decides anew what an early dialog had learnt (RFC 3261 13.2.2.4).
        if initial && (self.route_set.is_none() || status >= 200) {
            self.route_set = Some(routes(head.message, Name::RecordRoute).into_iter().rev().collect());
        }
    }
}

fn is_ack_of_refusal(seen: &Seen<'_>, ack: &Head<'_>) -> bool {
    let invite = seen.facts.answers.and_then(|event| seen.message(event));
    invite.is_some_and(|invite| invite.via().ok().and_then(|via| via.branch()) == ack.branch)
}
