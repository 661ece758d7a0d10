//! One SIP message and the request that it answers (RFC 3261 8, 12, 18).

use super::{Invariant, Report, Seen};
use crate::trace::correlate::Head;
use crate::wire::Violation;
use crate::wire::sip::header::Via;
use crate::wire::sip::{Message, Name, Scheme};

const MANDATORY: Invariant =
    Invariant::must("mandatory-fields", "RFC 3261 8.1.1", "To, From, CSeq, Call-ID, Max-Forwards and Via in every request");
const COOKIE: Invariant =
    Invariant::must("via-branch-cookie", "RFC 3261 8.1.1.7", "a branch that begins with z9hG4bK in the top Via of a request");
const FROM_TAG: Invariant = Invariant::must("from-tag", "RFC 3261 8.1.1.3", "a From tag in every request");
const CONTACT: Invariant =
    Invariant::must("contact-forms-dialog", "RFC 3261 12.1.1, 8.1.1.8", "one SIP or SIPS Contact in a message that forms a dialog");
const RESPONSE_COPIES: Invariant = Invariant::must(
    "response-copies",
    "RFC 3261 8.2.6.2",
    "Via, From, Call-ID and CSeq of the response equal to those of the request",
);
const TO_TAG: Invariant = Invariant::must("response-to-tag", "RFC 3261 8.2.6.2", "a To tag in every response but 100");
const TO_TAG_KEPT: Invariant =
    Invariant::must("to-tag-kept", "RFC 3261 8.2.6.2", "the To tag of the request in the response to it");
const RECORD_ROUTE: Invariant = Invariant::must(
    "record-route-copied",
    "RFC 3261 12.1.1",
    "all Record-Route values of the request, in order, in the response that forms the dialog",
);
const STRAY_TAG: Invariant = Invariant::must("to-tag-initial", "RFC 3261 8.1.1.2", "no To tag in a request outside dialogs");
const REFUSAL_FIELDS: Invariant = Invariant::must(
    "refusal-fields",
    "RFC 3261 8.2.1-8.2.3, 20.5; RFC 6665 7.2.2, 8.2.1",
    "what the refusal says would be acceptable",
);
const UNDERSTOOD: Invariant =
    Invariant::must("require-supported", "RFC 3261 8.2.4", "no extension in a response that the request did not support");

/// What a response repeats of its request.
const COPIED: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

pub(super) const ALL: &[&Invariant] = &[
    &MANDATORY,
    &COOKIE,
    &FROM_TAG,
    &CONTACT,
    &RESPONSE_COPIES,
    &TO_TAG,
    &TO_TAG_KEPT,
    &RECORD_ROUTE,
    &STRAY_TAG,
    &REFUSAL_FIELDS,
    &UNDERSTOOD,
];

/// Judges a message that the IUT sent.
pub(super) fn judge(seen: &Seen<'_>, head: &Head<'_>, report: &mut Report) {
    let asked = seen.facts.answers.and_then(|event| seen.message(event)).filter(|_| !head.message.is_request());
    let mut violations = crate::wire::sip::validate(head.message, seen.link.transport);
    if let (false, Some(asked)) = (violations.is_empty(), asked) {
        let theirs = crate::wire::sip::validate(asked, seen.link.transport);
        violations
            .retain(|own| !is_copied(own) || !theirs.iter().any(|other| (other.code, &other.message) == (own.code, &own.message)));
    }
    report.violations(seen.number, violations);
    if head.message.is_request() {
        request(seen, head, report);
    } else if let Some(asked) = asked {
        response(seen, head, asked, report);
    }
}

/// Whether a mistake is in a field that a response takes over from its request (RFC 3261 8.2.6.2): the
/// mistake of whoever made the request.
fn is_copied(violation: &Violation) -> bool {
    match violation.code {
        "sip-header-missing" => COPIED.iter().any(|name| violation.message.starts_with(name.canonical())),
        "sip-via" | "sip-from" | "sip-from-tag" | "sip-to" | "sip-call-id" | "sip-cseq" | "sip-record-route" => true,
        _ => false,
    }
}

fn request(seen: &Seen<'_>, head: &Head<'_>, report: &mut Report) {
    let (message, method) = (head.message, head.method);
    let mandatory = [Name::To, Name::From, Name::CSeq, Name::CallId, Name::MaxForwards, Name::Via];
    if let Some(missing) = mandatory.into_iter().find(|name| message.value(*name).is_none()) {
        report.broken(&MANDATORY, seen.number, format!("no {}", missing.canonical()));
    }
    let branch = head.branch.unwrap_or("");
    if !branch.starts_with("z9hG4bK") {
        report.broken(&COOKIE, seen.number, format!("`{branch}`"));
    }
    if head.from.is_some() && head.from_tag.is_none() {
        report.broken(&FROM_TAG, seen.number, "none");
    }
    if matches!(method, "INVITE" | "SUBSCRIBE" | "NOTIFY" | "UPDATE" | "REFER") {
        contact(seen, head, report);
    }
    if head.to_tag.is_some() && seen.facts.dialog.is_none() && method != "CANCEL" {
        report.broken(&STRAY_TAG, seen.number, format!("{method} carries one and belongs to no dialog"));
    }
}

fn contact(seen: &Seen<'_>, head: &Head<'_>, report: &mut Report) {
    let message = head.message;
    let count = message.elements(Name::Contact).count();
    let is_sip = head.contact.is_some_and(|contact| matches!(contact.uri.scheme, Scheme::Sip | Scheme::Sips));
    if count != 1 || !is_sip {
        report.broken(&CONTACT, seen.number, format!("{count} Contact values, {}", message.value(Name::Contact).unwrap_or("none")));
    }
}

fn response(seen: &Seen<'_>, head: &Head<'_>, request: &Message, report: &mut Report) {
    let (message, asked_tag) = (head.message, request.to().ok().and_then(|to| to.tag()));
    let status = message.status().unwrap_or(0);
    copies(seen, head, request, report);
    match (asked_tag, head.to_tag) {
        (None, None) if status > 100 => report.broken(&TO_TAG, seen.number, "none"),
        (Some(asked), told) if told != Some(asked) => {
            report.broken(&TO_TAG_KEPT, seen.number, format!("{} in place of {asked}", told.unwrap_or("none")));
        }
        _ => {}
    }
    let method = request.method_token().unwrap_or("");
    let forms = matches!(method, "INVITE" | "SUBSCRIBE" | "REFER") && asked_tag.is_none();
    if forms && (200..300).contains(&status) || (method == "INVITE" && (200..300).contains(&status)) {
        contact(seen, head, report);
    }
    if forms && (101..300).contains(&status) && !message.elements(Name::RecordRoute).eq(request.elements(Name::RecordRoute)) {
        report.broken(&RECORD_ROUTE, seen.number, format!("{} of them", message.elements(Name::RecordRoute).count()));
    }
    refusal(seen, message, status, report);
    extensions(seen, message, request, report);
}

fn copies(seen: &Seen<'_>, head: &Head<'_>, request: &Message, report: &mut Report) {
    let message = head.message;
    for name in [Name::CallId, Name::CSeq] {
        if message.value(name) != request.value(name) {
            report.broken(&RESPONSE_COPIES, seen.number, format!("another {}", name.canonical()));
        }
    }
    let asked = request.from().ok();
    let same_uri = head.from.map(|from| from.uri.text) == asked.map(|from| from.uri.text);
    if !same_uri || head.from_tag != asked.and_then(|from| from.tag()) {
        report.broken(&RESPONSE_COPIES, seen.number, "another From");
    }
    // The top Via gains `received` and `rport` on its way (RFC 3261 18.2.1), so values are counted
    // and the branches compared.
    if !branches(message).eq(branches(request)) {
        report.broken(&RESPONSE_COPIES, seen.number, "other Via values");
    }
}

fn branches(message: &Message) -> impl Iterator<Item = &str> {
    let vias = message.elements(Name::Via).filter_map(|via| Via::parse(via).ok());
    vias.map(|via| via.branch().unwrap_or(""))
}

fn refusal(seen: &Seen<'_>, message: &Message, status: u16, report: &mut Report) {
    let owed = match status {
        405 => Name::Allow,
        420 => Name::Unsupported,
        422 => Name::MinSe,
        423 => Name::MinExpires,
        489 => Name::AllowEvents,
        _ => return,
    };
    if message.value(owed).is_none() {
        report.broken(&REFUSAL_FIELDS, seen.number, format!("{status} without {}", owed.canonical()));
    }
}

fn extensions(seen: &Seen<'_>, message: &Message, request: &Message, report: &mut Report) {
    let known: Vec<&str> = [Name::Supported, Name::Require].into_iter().flat_map(|name| request.elements(name)).collect();
    for tag in message.elements(Name::Require).filter(|tag| !tag.is_empty()) {
        if !known.iter().any(|known| known.eq_ignore_ascii_case(tag)) {
            report.broken(&UNDERSTOOD, seen.number, format!("Require: {tag}"));
        }
    }
}
