//! MSRP sessions (RFC 4975): paths, chunks, responses, reports.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Invariant, Report, Seen};
use crate::engine::ConnectionId;
use crate::time::Instant;
use crate::trace::correlate::Symbol;
use crate::trace::event::{Content, Kind, Link};
use crate::wire::msrp::{Chunk, FailureReport, Flag, MsrpUri, paths};
use crate::wire::sdp::Sdp;
use crate::wire::sip::Message;
use crate::wire::sip::header::MediaType;

const PATHS: Invariant =
    Invariant::must("msrp-session-path", "RFC 4975 5.1, 7.1", "the path that the peer gave in To-Path, the own one in From-Path");
const RANGE: Invariant =
    Invariant::must("msrp-range-follows", "RFC 4975 5.1, 7.1.1", "each chunk of a message where the one before it ended");
const TOTAL: Invariant = Invariant::must("msrp-range-total-kept", "RFC 4975 7.1.1", "one total in all chunks of a message");
const UNIQUE_ID: Invariant =
    Invariant::must("msrp-transaction-unique", "RFC 4975 7.1", "a transaction identifier of its own for every request");
const ANSWERED: Invariant = Invariant::must("msrp-answered", "RFC 4975 7.2", "a response to every SEND that asks for one");
const UNASKED: Invariant =
    Invariant::must("msrp-answer-unasked", "RFC 4975 7.1.1, 7.2", "no response that Failure-Report rules out");
const RESPONSE_PATHS: Invariant = Invariant::must(
    "msrp-response-paths",
    "RFC 4975 7.2",
    "the first URI of the request's From-Path in To-Path and of its To-Path in From-Path",
);
const NO_REQUEST: Invariant = Invariant::must("msrp-response-stray", "RFC 4975 7.2", "no response but to a SEND, and one only");
const REPORT_UNASKED: Invariant =
    Invariant::must("msrp-report-unasked", "RFC 4975 7.1.2", "no REPORT that Success-Report or Failure-Report rules out");
const REPORT_OWED: Invariant =
    Invariant::must("msrp-report-owed", "RFC 4975 7.1.2", "a success REPORT for a whole message that asks for it");
const ACCEPTED: Invariant =
    Invariant::must("msrp-accepted-type", "RFC 4975 8.6", "content of a type that the peer accepts, wrapped or not");
const STOPPED: Invariant =
    Invariant::should("msrp-stops-on-413", "RFC 4975 10.5", "no further chunk of a message that was answered 413");
const DIRECTION: Invariant =
    Invariant::must("msrp-direction", "RFC 3264 6.1, RFC 4975 8", "no content in a direction that offer and answer exclude");

pub(super) const ALL: &[&Invariant] = &[
    &PATHS,
    &RANGE,
    &TOTAL,
    &UNIQUE_ID,
    &ANSWERED,
    &UNASKED,
    &RESPONSE_PATHS,
    &NO_REQUEST,
    &REPORT_UNASKED,
    &REPORT_OWED,
    &ACCEPTED,
    &STOPPED,
    &DIRECTION,
];

/// How long the sender of a SEND waits (RFC 4975 7.1.1).
const PATIENCE: Duration = Duration::from_secs(30);

/// What offer and answer say of a session.
#[derive(Clone, Debug, Default)]
struct Session {
    local: Option<String>,
    remote: Option<String>,
    accepts: Vec<String>,
    accepts_wrapped: Vec<String>,
    may_send: bool,
}

/// A message that the IUT sends.
#[derive(Clone, Debug, Default)]
struct Outgoing {
    next: u64,
    total: Option<u64>,
    stopped: bool,
}

/// A message that the IUT receives.
#[derive(Clone, Debug, Default)]
struct Incoming {
    success: bool,
    failure: FailureReport,
    /// Whole, and its report not seen.
    unreported: Option<(u32, Instant)>,
}

#[derive(Clone, Debug)]
struct Pending {
    event: u32,
    at: Instant,
    failure: FailureReport,
    to_path: String,
    from_path: String,
}

type Line = Option<ConnectionId>;

/// What is known of MSRP.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    sessions: BTreeMap<Symbol, Session>,
    outgoing: BTreeMap<(Symbol, String), Outgoing>,
    incoming: BTreeMap<(Symbol, String), Incoming>,
    /// SENDs of the IUT by connection and identifier: which message each carries.
    sent: BTreeMap<(Line, String), String>,
    pending: BTreeMap<(Line, String), Pending>,
    answered: BTreeSet<(Line, String)>,
}

fn same_path(one: &str, two: &str) -> bool {
    if one == two {
        return true;
    }
    let (mut one, mut two) = (paths(one), paths(two));
    loop {
        match (one.next(), two.next()) {
            (None, None) => return true,
            (Some(one), Some(two)) if one == two => {}
            (Some(one), Some(two)) => {
                let parsed = MsrpUri::parse(one).ok().zip(MsrpUri::parse(two).ok());
                if !parsed.is_some_and(|(one, two)| one.equivalent(&two)) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

impl State {
    /// The IUT has lost its memory.
    pub(super) fn forget(&mut self) {
        self.pending.clear();
        self.outgoing.clear();
        self.incoming.clear();
    }

    /// A connection ended: nothing can be answered on it.
    pub(super) fn closed(&mut self, link: &Link) {
        self.pending.retain(|(line, _), _| line.is_none() || *line != link.connection);
    }

    /// Learns what offer and answer say.
    pub(super) fn learn(&mut self, seen: &Seen<'_>, message: &Message, sdp: &Sdp) {
        let Some(symbol) = seen.facts.msrp_session else { return };
        if message.status().is_some_and(|status| status >= 300) {
            return;
        }
        let Some(path) = sdp.path() else { return };
        let session = self.sessions.entry(symbol).or_insert_with(|| Session { may_send: true, ..Session::default() });
        if seen.sent {
            session.local = Some(path.to_owned());
            session.may_send &= sdp.direction().sends() || message.is_request();
        } else {
            session.remote = Some(path.to_owned());
            session.accepts = sdp.accept_types().map(str::to_owned).collect();
            session.accepts_wrapped = sdp.accept_wrapped_types().map(str::to_owned).collect();
            session.may_send = sdp.direction().receives();
        }
    }

    pub(super) fn chunk(&mut self, seen: &Seen<'_>, chunk: &Chunk, report: &mut Report) {
        if seen.sent {
            report.violations(seen.number, crate::wire::msrp::validate(chunk));
        }
        let line = seen.link.connection;
        let key = (line, chunk.transact_id().to_owned());
        match (chunk.method(), seen.sent) {
            (Some(method), true) => {
                self.paths(seen, chunk, report);
                if self.sent.insert(key, chunk.message_id().unwrap_or("").to_owned()).is_some() {
                    report.broken(&UNIQUE_ID, seen.number, format!("{} was used before", chunk.transact_id()));
                }
                match method {
                    "SEND" => self.send(seen, chunk, report),
                    "REPORT" => self.report_sent(seen, chunk, report),
                    _ => {}
                }
            }
            (Some("SEND"), false) => self.received(seen, chunk, key),
            (Some(_), false) => {}
            (None, true) => self.response_sent(seen, chunk, &key, report),
            (None, false) => self.response_received(seen, chunk, &key),
        }
    }

    fn paths(&self, seen: &Seen<'_>, chunk: &Chunk, report: &mut Report) {
        let Some(session) = seen.facts.msrp_session.and_then(|symbol| self.sessions.get(&symbol)) else {
            return report.broken(&PATHS, seen.number, format!("{}, which no description gave", chunk.to_path()));
        };
        for (expected, actual) in [(&session.remote, chunk.to_path()), (&session.local, chunk.from_path())] {
            if let Some(expected) = expected.as_deref().filter(|expected| !same_path(expected, actual)) {
                report.broken(&PATHS, seen.number, format!("{actual} in place of {expected}"));
            }
        }
    }

    fn send(&mut self, seen: &Seen<'_>, chunk: &Chunk, report: &mut Report) {
        let Some(symbol) = seen.facts.msrp_session else { return };
        let key = (symbol, chunk.message_id().unwrap_or("").to_owned());
        let size = chunk.body().map_or(0, |body| body.len() as u64);
        let range = chunk.byte_range();
        let start = range.map_or(1, |range| range.start);
        let outgoing = self.outgoing.entry(key.clone()).or_default();
        if outgoing.stopped {
            report.broken(&STOPPED, seen.number, "one more");
        }
        let expected = outgoing.next.max(1);
        if start != expected && size > 0 {
            report.broken(&RANGE, seen.number, format!("byte {start} in place of {expected}"));
        }
        let total = range.and_then(|range| range.total);
        if let (Some(known), Some(total)) = (outgoing.total, total)
            && known != total
        {
            report.broken(&TOTAL, seen.number, format!("{total} after {known}"));
        }
        outgoing.total = outgoing.total.or(total);
        outgoing.next = start + size;
        if chunk.flag() != Flag::More {
            self.outgoing.remove(&key);
        }
        if size > 0 {
            self.content(seen, symbol, chunk, report);
        }
    }

    fn content(&self, seen: &Seen<'_>, symbol: Symbol, chunk: &Chunk, report: &mut Report) {
        let Some(session) = self.sessions.get(&symbol) else { return };
        if !session.may_send {
            report.broken(&DIRECTION, seen.number, "a SEND with content");
        }
        let Some(media) = chunk.content_type().and_then(|text| MediaType::parse(text).ok()) else { return };
        if session.accepts.is_empty() {
            return;
        }
        let accepts = |list: &[String], essence: &str| {
            list.iter().any(|known| {
                let range = known.split(';').next().unwrap_or("").trim();
                let of_kind = || {
                    range
                        .strip_suffix("/*")
                        .is_some_and(|kind| essence.split('/').next().is_some_and(|own| own.eq_ignore_ascii_case(kind)))
                };
                range == "*" || range.eq_ignore_ascii_case(essence) || of_kind()
            })
        };
        if !accepts(&session.accepts, media.essence) {
            return report.broken(&ACCEPTED, seen.number, media.essence.to_owned());
        }
        if seen.facts.whole.is_none() || !media.is("message/cpim") {
            return;
        }
        let Some(Ok(message)) = seen.view.cpim() else { return };
        let Some(inner) = message.content_type().and_then(|text| MediaType::parse(text).ok()) else { return };
        let fits = accepts(&session.accepts_wrapped, inner.essence) || accepts(&session.accepts, inner.essence);
        if !fits {
            report.broken(&ACCEPTED, seen.number, format!("{} wrapped in message/cpim", inner.essence));
        }
    }

    fn received(&mut self, seen: &Seen<'_>, chunk: &Chunk, key: (Line, String)) {
        let failure = chunk.failure_report();
        let pending = Pending {
            event: seen.number,
            at: seen.at,
            failure,
            to_path: chunk.to_path().to_owned(),
            from_path: chunk.from_path().to_owned(),
        };
        self.answered.remove(&key);
        self.pending.insert(key, pending);
        let Some((symbol, id)) = seen.facts.msrp_session.zip(chunk.message_id()) else { return };
        let incoming = self.incoming.entry((symbol, id.to_owned())).or_default();
        (incoming.success, incoming.failure) = (incoming.success || chunk.success_report(), failure);
        if incoming.success && seen.facts.whole.is_some() {
            incoming.unreported = Some((seen.number, seen.at));
        }
    }

    fn response_sent(&mut self, seen: &Seen<'_>, chunk: &Chunk, key: &(Line, String), report: &mut Report) {
        let Some(pending) = self.pending.remove(key) else {
            let what = if self.answered.contains(key) { "a second one" } else { "no such SEND" };
            return report.broken(&NO_REQUEST, seen.number, what);
        };
        self.answered.insert(key.clone());
        let code = chunk.code().unwrap_or(0);
        let ruled_out = match pending.failure {
            FailureReport::Yes => false,
            FailureReport::Partial => code == 200,
            FailureReport::No => true,
        };
        if ruled_out {
            report.broken(&UNASKED, seen.number, format!("{code} to Failure-Report: {}", pending.failure));
        }
        if code != 200 {
            self.refused(seen);
        }
        let first = |path| paths(path).next().unwrap_or("");
        let to = same_path(chunk.to_path(), first(&pending.from_path));
        let from = same_path(chunk.from_path(), first(&pending.to_path));
        if !to || !from {
            report.broken(&RESPONSE_PATHS, seen.number, format!("{} from {}", chunk.to_path(), chunk.from_path()));
        }
    }

    /// A message that was refused is owed no success report.
    fn refused(&mut self, seen: &Seen<'_>) {
        let request = seen.facts.answers.and_then(|event| seen.events.get(event as usize));
        let id = match request.map(|event| &event.kind) {
            Some(Kind::Message { content: Content::Msrp(chunk), .. }) => chunk.message_id(),
            _ => None,
        };
        let key = seen.facts.msrp_session.zip(id.map(str::to_owned));
        if let Some(incoming) = key.and_then(|key| self.incoming.get_mut(&key)) {
            incoming.unreported = None;
        }
    }

    fn response_received(&mut self, seen: &Seen<'_>, chunk: &Chunk, key: &(Line, String)) {
        if chunk.code() != Some(413) {
            return;
        }
        let id = self.sent.get(key).cloned();
        if let Some(outgoing) = seen.facts.msrp_session.zip(id).and_then(|key| self.outgoing.get_mut(&key)) {
            outgoing.stopped = true;
        }
    }

    fn report_sent(&mut self, seen: &Seen<'_>, chunk: &Chunk, report: &mut Report) {
        let Some((symbol, id)) = seen.facts.msrp_session.zip(chunk.message_id()) else { return };
        let Some(incoming) = self.incoming.get_mut(&(symbol, id.to_owned())) else {
            return report.broken(&REPORT_UNASKED, seen.number, format!("{id} was not received"));
        };
        let is_success = chunk.status() == Some(200);
        if is_success {
            incoming.unreported = None;
        }
        if is_success && !incoming.success {
            report.broken(&REPORT_UNASKED, seen.number, "a success REPORT, Success-Report was not yes");
        } else if !is_success && incoming.failure == FailureReport::No {
            report.broken(&REPORT_UNASKED, seen.number, "a failure REPORT, Failure-Report was no");
        }
    }

    pub(super) fn finish(&mut self, ended: Instant, report: &mut Report) {
        let overdue = |at: Instant| ended.since(at) >= PATIENCE;
        for pending in self.pending.values().filter(|pending| pending.failure == FailureReport::Yes && overdue(pending.at)) {
            report.broken(&ANSWERED, pending.event, format!("none for {:?}", ended.since(pending.at)));
        }
        for (event, at) in self.incoming.values().filter_map(|incoming| incoming.unreported).filter(|(_, at)| overdue(*at)) {
            report.broken(&REPORT_OWED, event, format!("none for {:?}", ended.since(at)));
        }
    }
}
