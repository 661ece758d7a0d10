//! Requests, responses, ACK and CANCEL (RFC 3261 9, 13, 17; RFC 4320; RFC 6026).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Invariant, PATIENCE, Report, Seen};
use crate::time::Instant;
use crate::trace::correlate::{Head, Symbol};
use crate::wire::sip::Message;

const BRANCH_UNIQUE: Invariant = Invariant::must(
    "branch-unique",
    "RFC 3261 8.1.1.7",
    "a branch of its own for every request but CANCEL and the ACK of a refusal",
);
const ANSWERED: Invariant = Invariant::must(
    "request-answered",
    "RFC 3261 8.2, 17.1.2.2",
    "a final response within 64*T1 to every request but INVITE and ACK",
);
const INVITE_ANSWERED: Invariant =
    Invariant::must("invite-answered", "RFC 3261 17.2.1", "some response to an INVITE within 200 ms");
const ONE_FINAL: Invariant = Invariant::must("one-final-response", "RFC 3261 17.2.1, 17.2.2", "one final response per request");
const NO_LATE_PROVISIONAL: Invariant =
    Invariant::must("no-provisional-after-final", "RFC 3261 17.2.1, 17.2.2", "no provisional response after the final one");
const ACKNOWLEDGED: Invariant =
    Invariant::must("ack-for-every-final", "RFC 3261 13.2.2.4, 17.1.1.3", "an ACK for every final response to an INVITE");
const ACK_FORM: Invariant = Invariant::must(
    "ack-of-refusal",
    "RFC 3261 17.1.1.3",
    "Request-URI, branch, CSeq number and Call-ID of the INVITE and the To of the response in the ACK of a refusal",
);
const ACK_2XX: Invariant = Invariant::must(
    "ack-of-2xx",
    "RFC 3261 13.2.2.4, 8.1.1.7",
    "the CSeq number of the INVITE and a new branch in the ACK of a 2xx",
);
const ACK_WITHOUT_FINAL: Invariant =
    Invariant::must("ack-unasked", "RFC 3261 13.2.2.4, 17.1.1.3", "no ACK before a final response");
const CANCEL_EARLY: Invariant =
    Invariant::must("cancel-after-provisional", "RFC 3261 9.1", "no CANCEL before a provisional response");
const CANCEL_FORM: Invariant = Invariant::must(
    "cancel-form",
    "RFC 3261 9.1",
    "Request-URI, Call-ID, To, From and CSeq number of the request in its CANCEL, and only its top Via",
);
const CANCEL_LATE: Invariant = Invariant::should("cancel-after-final", "RFC 3261 9.1", "no CANCEL after the final response");
const SAME_2XX: Invariant = Invariant::must("same-2xx", "RFC 3261 13.3.1.4", "the same 2xx again while no ACK comes");
const QUIET_STREAM: Invariant =
    Invariant::must("no-repetition-on-streams", "RFC 3261 17.1.1.2, 17.1.2.2", "no request twice over a reliable transport");
const NO_408: Invariant = Invariant::must("no-408-to-non-invite", "RFC 4320 4.2", "no 408 to a request other than INVITE");
const NO_100: Invariant = Invariant::must(
    "no-100-to-non-invite",
    "RFC 4320 4.1",
    "no provisional response but 100 to a request other than INVITE, and that one late",
);

pub(super) const ALL: &[&Invariant] = &[
    &BRANCH_UNIQUE,
    &ANSWERED,
    &INVITE_ANSWERED,
    &ONE_FINAL,
    &NO_LATE_PROVISIONAL,
    &ACKNOWLEDGED,
    &ACK_FORM,
    &ACK_2XX,
    &ACK_WITHOUT_FINAL,
    &CANCEL_EARLY,
    &CANCEL_FORM,
    &CANCEL_LATE,
    &SAME_2XX,
    &QUIET_STREAM,
    &NO_408,
    &NO_100,
];

/// How much later than 200 ms is still put down to the clock.
const GRACE: Duration = Duration::from_millis(300);

#[derive(Clone, Debug)]
struct Transaction {
    request: u32,
    /// Whether the IUT is the client.
    client: bool,
    is_invite: bool,
    at: Instant,
    provisional: bool,
    /// The final responses: code, To tag, event.
    finals: Vec<(u16, String, u32)>,
}

/// What is known of all transactions.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    all: BTreeMap<Symbol, Transaction>,
    branches: BTreeSet<String>,
    /// Server transactions without a final response.
    unanswered: BTreeMap<Symbol, (u32, Instant)>,
    /// Final responses without an ACK: of which transaction and To tag.
    unacknowledged: BTreeMap<(Symbol, String), (u32, Instant)>,
    /// How late an answer may be by the machine's fault.
    late: Duration,
}

/// Whether a request can be answered at all.
const fn is_answerable(head: &Head<'_>) -> bool {
    head.via.is_some() && head.cseq.is_some() && head.from.is_some() && head.to.is_some() && head.call_id.is_some()
}

impl State {
    /// Nothing was seen yet.
    pub(super) fn new(late: Duration) -> Self {
        Self { late, ..Self::default() }
    }

    /// The IUT has lost its memory.
    pub(super) fn forget(&mut self) {
        self.unanswered.clear();
        self.unacknowledged.clear();
        self.all.clear();
    }

    pub(super) fn sip(&mut self, seen: &Seen<'_>, head: &Head<'_>, report: &mut Report) {
        let Some(symbol) = seen.facts.transaction else { return };
        match (head.message.is_request(), seen.sent) {
            (true, true) => self.request_sent(seen, symbol, head, report),
            (true, false) => self.request_received(seen, symbol, head),
            (false, true) => self.response_sent(seen, symbol, head, report),
            (false, false) => self.response_received(seen, symbol, head),
        }
    }

    fn file(&mut self, seen: &Seen<'_>, symbol: Symbol, head: &Head<'_>) {
        let is_invite = head.method == "INVITE";
        self.all.entry(symbol).or_insert(Transaction {
            request: seen.number,
            client: seen.sent,
            is_invite,
            at: seen.at,
            provisional: false,
            finals: Vec::new(),
        });
    }

    fn request_sent(&mut self, seen: &Seen<'_>, symbol: Symbol, head: &Head<'_>, report: &mut Report) {
        match head.method {
            "ACK" => return self.ack_sent(seen, symbol, head, report),
            "CANCEL" => self.cancel_sent(seen, head.message, report),
            _ => {}
        }
        if let Some(known) = self.all.get(&symbol) {
            if seen.link.transport.is_reliable() && seen.facts.retransmission.is_none() {
                report.broken(&QUIET_STREAM, seen.number, format!("#{} again", known.request));
            }
            return;
        }
        let branch = head.branch.unwrap_or("");
        if head.method != "CANCEL" && !self.branches.insert(branch.to_owned()) {
            report.broken(&BRANCH_UNIQUE, seen.number, format!("{branch} was used before"));
        }
        self.file(seen, symbol, head);
    }

    fn request_received(&mut self, seen: &Seen<'_>, symbol: Symbol, head: &Head<'_>) {
        if head.method == "ACK" || self.all.contains_key(&symbol) {
            return;
        }
        self.file(seen, symbol, head);
        if is_answerable(head) {
            self.unanswered.insert(symbol, (seen.number, seen.at));
        }
    }

    fn response_received(&mut self, seen: &Seen<'_>, symbol: Symbol, head: &Head<'_>) {
        let Some(transaction) = self.all.get_mut(&symbol) else { return };
        let status = head.message.status().unwrap_or(0);
        if status < 200 {
            transaction.provisional = true;
            return;
        }
        let tag = head.to_tag.unwrap_or("");
        let is_new = !transaction.finals.iter().any(|(code, known, _)| *code == status && known == tag);
        if is_new {
            transaction.finals.push((status, tag.to_owned(), seen.number));
            // A refusal that comes after another final response belongs to no one any more.
            let heard = status < 300 || transaction.finals.len() == 1;
            // After Timer B, and 64*T1 after the first 2xx, there is no one who could (RFC 3261
            // 17.1.1.2, 13.2.2.4).
            let alive = transaction.provisional || seen.at.since(transaction.at) < PATIENCE;
            let first = transaction.finals.first().map_or(seen.at, |(_, _, event)| seen.time_of(*event));
            let in_time = alive && seen.at.since(first) < PATIENCE;
            if transaction.is_invite && heard && in_time {
                self.unacknowledged.insert((symbol, tag.to_owned()), (seen.number, seen.at));
            }
        }
    }

    fn response_sent(&mut self, seen: &Seen<'_>, symbol: Symbol, head: &Head<'_>, report: &mut Report) {
        let Some(transaction) = self.all.get_mut(&symbol) else { return };
        let message = head.message;
        let (status, first) = (message.status().unwrap_or(0), !transaction.provisional && transaction.finals.is_empty());
        if transaction.is_invite && first && seen.at.since(transaction.at) > Duration::from_millis(200) + GRACE + self.late {
            report.broken(&INVITE_ANSWERED, seen.number, format!("the first one after {:?}", seen.at.since(transaction.at)));
        }
        if !transaction.is_invite && (status == 408 || (status < 200 && status != 100)) {
            report.broken(if status == 408 { &NO_408 } else { &NO_100 }, seen.number, format!("{status}"));
        }
        if status < 200 {
            if !transaction.finals.is_empty() {
                report.broken(&NO_LATE_PROVISIONAL, seen.number, format!("{status} after the final response"));
            }
            transaction.provisional = true;
            return;
        }
        self.unanswered.remove(&symbol);
        match transaction.finals.first() {
            None => transaction.finals.push((status, head.to_tag.unwrap_or("").to_owned(), seen.number)),
            Some((code, _, event)) if *code != status => {
                report.broken(&ONE_FINAL, seen.number, format!("{status} after the {code} of #{event}"));
            }
            Some((_, _, event)) => {
                let differs = seen.message(*event).is_some_and(|first| first.bytes() != message.bytes());
                let repeats = transaction.is_invite && status < 300;
                if repeats && differs {
                    report.broken(&SAME_2XX, seen.number, format!("it differs from #{event}"));
                } else if !repeats && seen.link.transport.is_reliable() && seen.facts.retransmission.is_none() {
                    report.broken(&ONE_FINAL, seen.number, format!("#{event} again over a reliable transport"));
                }
            }
        }
    }

    fn ack_sent(&mut self, seen: &Seen<'_>, symbol: Symbol, head: &Head<'_>, report: &mut Report) {
        let (message, tag) = (head.message, head.to_tag.unwrap_or(""));
        self.unacknowledged.remove(&(symbol, tag.to_owned()));
        let Some(transaction) = self.all.get(&symbol).filter(|transaction| transaction.client) else { return };
        let Some(invite) = seen.message(transaction.request) else { return };
        let Some((code, _, answer)) = transaction.finals.iter().find(|(_, known, _)| known == tag) else {
            if transaction.finals.is_empty() {
                report.broken(&ACK_WITHOUT_FINAL, seen.number, "none came yet");
            }
            return;
        };
        let branch_of_invite = invite.via().ok().and_then(|via| via.branch()).unwrap_or("");
        let same_branch = head.branch.unwrap_or("") == branch_of_invite;
        let same_number = head.cseq.map(|cseq| cseq.number) == invite.cseq().ok().map(|cseq| cseq.number);
        if *code < 300 {
            if !same_number || same_branch {
                let what = if same_number { "the branch of the INVITE" } else { "another CSeq number" };
                report.broken(&ACK_2XX, seen.number, what);
            }
            return;
        }
        let answer_to = seen.message(*answer).and_then(|answer| answer.value(crate::wire::sip::Name::To));
        let wrong = [
            (message.request_uri() != invite.request_uri(), "another Request-URI"),
            (!same_branch, "another branch"),
            (!same_number, "another CSeq number"),
            (message.call_id() != invite.call_id(), "another Call-ID"),
            (message.value(crate::wire::sip::Name::To) != answer_to, "another To"),
        ];
        if let Some((_, what)) = wrong.into_iter().find(|(wrong, _)| *wrong) {
            report.broken(&ACK_FORM, seen.number, what);
        }
    }

    fn cancel_sent(&mut self, seen: &Seen<'_>, message: &Message, report: &mut Report) {
        let Some(request) = seen.facts.answers else { return };
        let transaction = self.all.values().rev().find(|transaction| transaction.request == request);
        let Some((transaction, invite)) = transaction.zip(seen.message(request)) else { return };
        if !transaction.provisional && transaction.finals.is_empty() {
            report.broken(&CANCEL_EARLY, seen.number, "none came yet");
        }
        if !transaction.finals.is_empty() {
            report.broken(&CANCEL_LATE, seen.number, "it had come");
        }
        use crate::wire::sip::Name;
        let number = |message: &Message| message.cseq().ok().map(|cseq| cseq.number);
        let same = message.request_uri() == invite.request_uri()
            && [Name::CallId, Name::To, Name::From].into_iter().all(|name| message.value(name) == invite.value(name))
            && number(message) == number(invite)
            && message.elements(Name::Via).count() == 1;
        if !same {
            report.broken(&CANCEL_FORM, seen.number, "something else in one of them");
        }
    }

    /// What is owed at the end of a trace that went on long enough.
    pub(super) fn finish(&mut self, ended: Instant, report: &mut Report) {
        for (symbol, (event, at)) in &self.unanswered {
            let transaction = self.all.get(symbol);
            let is_invite = transaction.is_some_and(|transaction| transaction.is_invite);
            let waits = transaction.is_some_and(|transaction| transaction.provisional);
            if is_invite && !waits && ended.since(*at) > Duration::from_millis(200) + GRACE + self.late {
                report.broken(&INVITE_ANSWERED, *event, format!("nothing for {:?}", ended.since(*at)));
            } else if !is_invite && ended.since(*at) >= PATIENCE {
                report.broken(&ANSWERED, *event, format!("nothing for {:?}", ended.since(*at)));
            }
        }
        for (event, at) in self.unacknowledged.values() {
            if ended.since(*at) >= PATIENCE {
                report.broken(&ACKNOWLEDGED, *event, format!("none for {:?}", ended.since(*at)));
            }
        }
    }
}
