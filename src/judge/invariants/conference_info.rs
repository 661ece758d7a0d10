//! Conference state in NOTIFY (RFC 4575).
//!
//! A document that the IUT passes on as it came is the focus's; what it composes is its own.

use std::collections::{BTreeMap, BTreeSet};

use super::{Invariant, Report, Seen};
use crate::trace::correlate::Symbol;
use crate::wire::mime;
use crate::wire::sip::{Message, Name};
use crate::wire::xml::conference_info::{self, ConferenceInfo, State as Completeness};

const READABLE: Invariant = Invariant::must("conference-info-readable", "RFC 4575 5", "a document that can be read");
const VERSION: Invariant =
    Invariant::must("conference-info-version", "RFC 4575 4.5, 5.2.1", "a version one above the last one of this subscription");
const FIRST_FULL: Invariant =
    Invariant::must("conference-info-first-full", "RFC 4575 3.4", "full state in the first document of a subscription");

pub(super) const ALL: &[&Invariant] = &[&READABLE, &VERSION, &FIRST_FULL];

/// What is known of the documents so far.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    versions: BTreeMap<Symbol, u32>,
    received: BTreeSet<Vec<u8>>,
}

impl State {
    pub(super) fn sip(&mut self, seen: &Seen<'_>, message: &Message, report: &mut Report) {
        if !message.is_request() || message.method_token() != Some("NOTIFY") {
            return;
        }
        let Some(content_type) = message.value(Name::ContentType) else { return };
        let body = message.body();
        let Some(part) = mime::find(content_type, &body, "application/conference-info+xml") else { return };
        if !seen.sent {
            self.received.insert(part.body.to_vec());
            return;
        }
        let passed_on = self.received.contains(&part.body[..]);
        let document = match ConferenceInfo::parse(&part.body) {
            Ok(document) => document,
            Err(fault) => {
                if !passed_on {
                    report.broken(&READABLE, seen.number, fault.to_string());
                }
                return;
            }
        };
        if !passed_on {
            report.violations(seen.number, conference_info::validate(&document));
        }
        self.version(seen, &document, passed_on, report);
    }

    fn version(&mut self, seen: &Seen<'_>, document: &ConferenceInfo, passed_on: bool, report: &mut Report) {
        let Some((symbol, version)) = seen.facts.subscription.zip(document.version) else { return };
        let last = self.versions.insert(symbol, version);
        match last {
            None if document.state != Completeness::Full && !passed_on => {
                report.broken(&FIRST_FULL, seen.number, "partial state");
            }
            Some(last) if version <= last || (version != last + 1 && !passed_on) => {
                report.broken(&VERSION, seen.number, format!("{version} after {last}"));
            }
            _ => {}
        }
    }
}
