//! What messages carry: CPIM (RFC 3862) and disposition notifications (RFC 5438).
//!
//! What the IUT passes on as it came is not its own; what it wrote or altered is.

use std::collections::BTreeSet;

use super::{Invariant, Report, Seen};
use crate::wire::msrp::Chunk;
use crate::wire::sip::Message;
use crate::wire::{cpim, imdn};

const READABLE: Invariant = Invariant::must("cpim-readable", "RFC 3862 2", "CPIM content that can be read");
const IDENTIFIED: Invariant = Invariant::must(
    "imdn-message-id",
    "RFC 5438 6.3, 7.1.1.1",
    "imdn.Message-ID and DateTime in a message that asks for notifications",
);
const NO_LOOP: Invariant =
    Invariant::must("imdn-asks-for-nothing", "RFC 5438 7.2.1.2", "no request for notifications in a notification");
const NOTIFICATION: Invariant = Invariant::must("imdn-readable", "RFC 5438 7.2, 11", "a notification of the form of RFC 5438");

pub(super) const ALL: &[&Invariant] = &[&READABLE, &IDENTIFIED, &NO_LOOP, &NOTIFICATION];

/// What came in so far, as fingerprints.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    received: BTreeSet<u64>,
}

/// A number that differs for different bytes, as far as chance allows.
fn fingerprint(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    let words = bytes.chunks_exact(8);
    let rest = words.remainder().iter().fold(bytes.len() as u64, |word, byte| (word << 8) | u64::from(*byte));
    let word = |chunk: &[u8]| chunk.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte));
    words.map(word).chain([rest]).fold(0, mix)
}

impl State {
    pub(super) fn sip(&mut self, seen: &Seen<'_>, message: &Message, report: &mut Report) {
        if message.content_type().is_some_and(|media| media.is("message/cpim")) {
            self.cpim(seen, &message.body(), report);
        }
    }

    pub(super) fn msrp(&mut self, seen: &Seen<'_>, chunk: &Chunk, report: &mut Report) {
        let Some(whole) = &seen.facts.whole else { return };
        let essence = chunk.content_type().and_then(|text| text.split(';').next()).unwrap_or("").trim();
        if essence.eq_ignore_ascii_case("message/cpim") {
            self.cpim(seen, &whole.body, report);
        }
    }

    fn cpim(&mut self, seen: &Seen<'_>, body: &[u8], report: &mut Report) {
        let fingerprint = fingerprint(body);
        if !seen.sent {
            self.received.insert(fingerprint);
            return;
        }
        if self.received.contains(&fingerprint) {
            return;
        }
        match seen.view.cpim() {
            Some(Err(fault)) => report.broken(&READABLE, seen.number, fault.to_string()),
            Some(Ok(message)) => own(seen, message, report),
            None => {}
        }
    }
}

fn own(seen: &Seen<'_>, message: &cpim::Cpim, report: &mut Report) {
    report.violations(seen.number, cpim::validate(message));
    let asks = message.disposition_notification().is_some_and(|asked| !asked.trim().is_empty());
    if asks && (message.message_id().is_none() || message.date_time().is_none()) {
        report.broken(&IDENTIFIED, seen.number, "one of them is missing");
    }
    let is_notification = message.content_type().is_some_and(|text| text.to_ascii_lowercase().starts_with("message/imdn+xml"));
    if !is_notification {
        return;
    }
    if asks {
        report.broken(&NO_LOOP, seen.number, "imdn.Disposition-Notification");
    }
    match imdn::Imdn::parse(&message.decoded()) {
        Err(fault) => report.broken(&NOTIFICATION, seen.number, fault.to_string()),
        Ok(notification) => report.violations(seen.number, imdn::validate(&notification)),
    }
}
