//! Session timers (RFC 4028).

use super::{Invariant, Report, Seen};
use crate::wire::sip::header::{Refresher, SessionExpires, number};
use crate::wire::sip::{Message, Name};

const SMALLEST: Invariant =
    Invariant::must("session-expires-least", "RFC 4028 4, 5", "a Session-Expires of at least 90 s and at least Min-SE");
const REFRESHER: Invariant =
    Invariant::must("refresher-named", "RFC 4028 9", "a refresher in the Session-Expires of a 2xx, the one that the request named");
const REQUIRED: Invariant = Invariant::must("require-timer", "RFC 4028 9", "Require: timer in a 2xx whose refresher is the UAC");
const NOT_LONGER: Invariant =
    Invariant::must("session-expires-not-longer", "RFC 4028 9", "an interval in the 2xx no longer than that of the request");
const SUPPORTED: Invariant =
    Invariant::must("supported-timer", "RFC 4028 7.1", "`timer` in the Supported of a request with Session-Expires");
const NOT_422: Invariant =
    Invariant::must("refusal-of-interval", "RFC 4028 6, 9", "no 422 to a request that does not support session timers");

pub(super) const ALL: &[&Invariant] = &[&SMALLEST, &REFRESHER, &REQUIRED, &NOT_LONGER, &SUPPORTED, &NOT_422];

fn expires(message: &Message) -> Option<SessionExpires> {
    SessionExpires::parse(message.value(Name::SessionExpires)?).ok()
}

fn least(message: &Message) -> u64 {
    let given = message.value(Name::MinSe).and_then(|value| number(value.split(';').next()?.trim()).ok());
    given.unwrap_or(90).max(90)
}

fn has_timer(message: &Message, name: Name) -> bool {
    message.elements(name).any(|tag| tag.eq_ignore_ascii_case("timer"))
}

/// Judges a message that the IUT sent.
pub(super) fn judge(seen: &Seen<'_>, message: &Message, report: &mut Report) {
    if !matches!(message.method_token(), Some("INVITE" | "UPDATE")) {
        return;
    }
    let own = expires(message);
    if let Some(own) = own.filter(|own| u64::from(own.seconds) < least(message)) {
        report.broken(&SMALLEST, seen.number, format!("{} s", own.seconds));
    }
    if message.is_request() {
        if own.is_some() && !has_timer(message, Name::Supported) {
            report.broken(&SUPPORTED, seen.number, "it is not listed");
        }
        return;
    }
    let Some(request) = seen.facts.answers.and_then(|event| seen.message(event)) else { return };
    let supports = has_timer(request, Name::Supported) || has_timer(request, Name::Require);
    match message.status() {
        Some(422) if !supports => report.broken(&NOT_422, seen.number, "422"),
        Some(200..=299) => {
            if let Some(own) = own {
                accepted(seen, message, request, own, report);
            }
        }
        _ => {}
    }
}

fn accepted(seen: &Seen<'_>, message: &Message, request: &Message, own: SessionExpires, report: &mut Report) {
    let asked = expires(request);
    let named = asked.and_then(|asked| asked.refresher);
    match own.refresher {
        None => report.broken(&REFRESHER, seen.number, "none"),
        Some(refresher) if named.is_some_and(|named| named != refresher) => {
            report.broken(&REFRESHER, seen.number, format!("{refresher}"));
        }
        Some(Refresher::Uac) if !has_timer(message, Name::Require) => report.broken(&REQUIRED, seen.number, "it is missing"),
        Some(Refresher::Uac | Refresher::Uas) => {}
    }
    if let Some(asked) = asked.filter(|asked| own.seconds > asked.seconds) {
        report.broken(&NOT_LONGER, seen.number, format!("{} s to {} s", own.seconds, asked.seconds));
    }
    if u64::from(own.seconds) < least(request) {
        report.broken(&SMALLEST, seen.number, format!("{} s to a request with Min-SE {}", own.seconds, least(request)));
    }
}
