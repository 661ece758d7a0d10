//! Offers and answers (RFC 3264; RFC 3261 13, 14).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Invariant, Report, Seen};
use crate::trace::correlate::Symbol;
use crate::wire::sdp;
use crate::wire::sdp::{Direction, Sdp};
use crate::wire::sip::Message;

const ANSWERED: Invariant =
    Invariant::must("offer-answered", "RFC 3261 13.2.1, 13.3.1.4", "an answer to every offer, an offer where none was made");
const ANSWER_MEDIA: Invariant = Invariant::must(
    "answer-media",
    "RFC 3264 6",
    "as many media lines in the answer as in the offer, of the same kinds and transports in order",
);
const ANSWER_DIRECTION: Invariant =
    Invariant::must("answer-direction", "RFC 3264 6.1", "a direction in the answer that the offer allows");
const ORIGIN: Invariant = Invariant::must(
    "origin-version",
    "RFC 3264 8",
    "the o= line of the last description, its version one higher when anything else differs",
);
const ONE_OFFER: Invariant =
    Invariant::must("one-offer-at-a-time", "RFC 3264 4, RFC 3261 14.1", "no new offer while another one is open");
const UNREADABLE: Invariant = Invariant::must("sdp-readable", "RFC 8866 5", "a description that can be read");

pub(super) const ALL: &[&Invariant] = &[&ANSWERED, &ANSWER_MEDIA, &ANSWER_DIRECTION, &ORIGIN, &ONE_OFFER, &UNREADABLE];

/// The last description of the IUT in a dialog.
#[derive(Clone, Debug)]
struct Own {
    /// The o= line without its version: user, session, address.
    identity: String,
    version: u64,
    text: Bytes,
}

/// What an answer is held against.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Description {
    /// Kind and protocol of each media line.
    medias: Vec<(String, String)>,
    direction: Direction,
}

#[derive(Clone, Debug, Default)]
struct Exchange {
    offer: Option<Description>,
    offered_by_iut: bool,
    answered: bool,
    dialog: Option<Symbol>,
}

/// What is known of all offers.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    own: BTreeMap<Symbol, Own>,
    /// By transaction.
    exchanges: BTreeMap<Symbol, Exchange>,
    /// How many offers are open in a dialog.
    open: BTreeMap<Symbol, u32>,
}

impl Own {
    fn of(sdp: &Sdp) -> Self {
        let origin = sdp.origin();
        Self {
            identity: format!("{} {} {}", origin.username, origin.sess_id, origin.unicast_address),
            version: origin.sess_version,
            text: sdp.encode(),
        }
    }

    /// The lines but that of the origin, whatever ends them.
    fn rest(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.text.split_inclusive(|byte| *byte == b'\n');
        let bare = lines.map(|line| line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(line));
        bare.filter(|line| !line.starts_with(b"o="))
    }
}

impl Description {
    fn of(sdp: &Sdp) -> Self {
        let medias = sdp.medias().map(|media| (media.media.to_owned(), media.proto.to_owned())).collect();
        Self { medias, direction: sdp.direction() }
    }

    /// Its media lines for a person.
    fn lines(&self) -> String {
        let lines: Vec<String> = self.medias.iter().map(|(kind, proto)| format!("`{kind} {proto}`")).collect();
        if lines.is_empty() { "no medium".to_owned() } else { lines.join(", ") }
    }
}

impl State {
    pub(super) fn sip(
        &mut self,
        seen: &Seen<'_>,
        message: &Message,
        parsed: Option<Result<&Sdp, crate::wire::Fault>>,
        report: &mut Report,
    ) {
        let sdp = match parsed {
            Some(Ok(sdp)) => Some(sdp),
            Some(Err(fault)) => {
                if seen.sent {
                    report.broken(&UNREADABLE, seen.number, fault.to_string());
                }
                return;
            }
            None => None,
        };
        if let Some(sdp) = sdp.filter(|_| seen.sent) {
            report.violations(seen.number, sdp::validate(sdp));
            self.origin(seen, sdp, report);
        }
        let Some(transaction) = seen.facts.transaction else { return };
        let sdp = sdp.map(Description::of);
        let method = message.method_token().unwrap_or("");
        match (message.is_request(), method) {
            (true, "INVITE" | "UPDATE") => self.request(seen, transaction, message, sdp, report),
            (true, "ACK") => self.ack(seen, transaction, sdp.as_ref(), report),
            (false, "INVITE" | "UPDATE") => self.response(seen, transaction, message, sdp, report),
            _ => {}
        }
    }

    fn origin(&mut self, seen: &Seen<'_>, sdp: &Sdp, report: &mut Report) {
        let Some(dialog) = seen.facts.dialog else { return };
        let own = Own::of(sdp);
        if let Some(last) = self.own.get(&dialog) {
            let expected = last.version + u64::from(!last.rest().eq(own.rest()));
            if last.identity != own.identity {
                report.broken(&ORIGIN, seen.number, format!("`{}` after `{}`", own.identity, last.identity));
            } else if own.version != expected {
                report.broken(&ORIGIN, seen.number, format!("version {} in place of {expected}", own.version));
            }
        }
        self.own.insert(dialog, own);
    }

    fn request(&mut self, seen: &Seen<'_>, transaction: Symbol, message: &Message, sdp: Option<Description>, report: &mut Report) {
        let dialog = seen.facts.dialog;
        let open = dialog.and_then(|dialog| self.open.get(&dialog)).copied().unwrap_or(0);
        if seen.sent && sdp.is_some() && open > 0 && message.has_to_tag() {
            report.broken(&ONE_OFFER, seen.number, "one is open");
        }
        if let (Some(dialog), true) = (dialog, sdp.is_some()) {
            *self.open.entry(dialog).or_default() += 1;
        }
        self.exchanges.insert(transaction, Exchange { offer: sdp, offered_by_iut: seen.sent, answered: false, dialog });
    }

    fn response(&mut self, seen: &Seen<'_>, transaction: Symbol, message: &Message, sdp: Option<Description>, report: &mut Report) {
        let Some(exchange) = self.exchanges.get_mut(&transaction) else { return };
        let status = message.status().unwrap_or(0);
        let is_invite = message.method_token() == Some("INVITE");
        if status >= 300 {
            return self.settle(transaction);
        }
        if let (Some(offer), Some(answer), true) = (&exchange.offer, &sdp, seen.sent && !exchange.offered_by_iut) {
            compare(seen, offer, answer, report);
        }
        if status < 200 {
            return;
        }
        let made = exchange.offer.is_some();
        let owed = seen.sent && sdp.is_none() && !exchange.answered && (made || is_invite);
        if owed {
            report.broken(&ANSWERED, seen.number, format!("a {status} without a description"));
        }
        match (made, sdp) {
            (true, _) => self.settle(transaction),
            (false, Some(offer)) => {
                (exchange.offer, exchange.offered_by_iut) = (Some(offer), seen.sent);
                if let Some(dialog) = seen.facts.dialog {
                    exchange.dialog = Some(dialog);
                    *self.open.entry(dialog).or_default() += 1;
                }
            }
            (false, None) => {}
        }
    }

    fn ack(&mut self, seen: &Seen<'_>, transaction: Symbol, sdp: Option<&Description>, report: &mut Report) {
        let Some(exchange) = self.exchanges.get(&transaction) else { return };
        // An offer still open at the ACK came in the 2xx.
        if let (Some(offer), false) = (&exchange.offer, exchange.answered) {
            match sdp {
                None if seen.sent && !exchange.offered_by_iut => {
                    report.broken(&ANSWERED, seen.number, "an ACK without the answer to the offer of the 2xx");
                }
                Some(answer) if seen.sent && !exchange.offered_by_iut => compare(seen, offer, answer, report),
                _ => {}
            }
        }
        self.settle(transaction);
    }

    fn settle(&mut self, transaction: Symbol) {
        let Some(exchange) = self.exchanges.get_mut(&transaction) else { return };
        let was_open = exchange.offer.is_some() && !exchange.answered;
        exchange.answered = true;
        if let Some(open) = exchange.dialog.filter(|_| was_open).and_then(|dialog| self.open.get_mut(&dialog)) {
            *open = open.saturating_sub(1);
        }
    }
}

fn compare(seen: &Seen<'_>, offer: &Description, answer: &Description, report: &mut Report) {
    if offer.medias != answer.medias {
        report.broken(&ANSWER_MEDIA, seen.number, format!("{} to {}", answer.lines(), offer.lines()));
    }
    let (asked, told) = (offer.direction, answer.direction);
    let allowed = (!told.sends() || asked.receives()) && (!told.receives() || asked.sends());
    if !allowed {
        report.broken(&ANSWER_DIRECTION, seen.number, format!("{told} to {asked}"));
    }
}
