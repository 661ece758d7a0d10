//! A trace as one JSON object: every event with what was derived of it, for other programs.
//!
//! ```text
//! schema      1
//! scenario variant seed verdict iut policy pics
//! findings    kind id level certainty cites expected observed fault, event where one shows it
//! events      number, at (microseconds), kind; of a message also from, to, headline, transport,
//!             source, destination, connection, protocol, start-line, headers (name and value, in
//!             order), body; dialog, transaction, group, user, device, message; answers, repeats, step
//! ```

use serde_json::{Map, Value, json};

use super::exhibit::Exhibit;
use super::terminal::level_name;
use crate::judge::expect::headline;
use crate::judge::verdict::{Certainty, Finding};
use crate::trace::correlate::{Correlation, Facts, Symbols};
use crate::trace::event::{Content, Event, Kind, Link};

/// The version of this form.
pub const SCHEMA: u64 = 1;

/// The trace as JSON text.
pub fn document(exhibit: &Exhibit<'_>) -> String {
    let header = &exhibit.trace.header;
    let Correlation { facts, symbols } = Correlation::of(exhibit.trace);
    let events = exhibit.trace.events.iter().zip(&facts).map(|(event, facts)| row(exhibit, event, facts, &symbols));
    let document = json!({
        "schema": SCHEMA,
        "scenario": header.scenario,
        "variant": header.variant,
        "seed": format!("{:#x}", header.seed),
        "verdict": exhibit.verdict,
        "iut": header.iut.to_string(),
        "policy": *header.policy,
        "pics": header.pics,
        "ended": exhibit.trace.ended.as_micros(),
        "complete": exhibit.trace.complete,
        "findings": exhibit.findings.iter().map(finding).collect::<Vec<_>>(),
        "events": events.collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

/// A finding as JSON.
pub fn finding(finding: &Finding) -> Value {
    json!({
        "kind": finding.kind.to_string(),
        "id": finding.id,
        "level": level_name(finding.level),
        "certainty": match finding.certainty { Certainty::Broken => "broken", Certainty::Open => "open" },
        "event": finding.event,
        "cites": finding.cites,
        "expected": finding.expected,
        "observed": finding.observed,
        "fault": finding.fault.to_string(),
    })
}

fn row(exhibit: &Exhibit<'_>, event: &Event, facts: &Facts, symbols: &Symbols) -> Value {
    let mut row = Map::new();
    row.insert("number".to_owned(), json!(event.number));
    row.insert("at".to_owned(), json!(event.at.as_micros()));
    let kind = match &event.kind {
        Kind::Message { .. } => "message",
        Kind::Opened { .. } => "opened",
        Kind::Closed { .. } => "closed",
        Kind::Fault(_) => "fault",
        Kind::Note { .. } => "note",
        Kind::FlowEnded => "flow-ended",
    };
    row.insert("kind".to_owned(), json!(kind));
    row.insert("headline".to_owned(), json!(headline(event)));
    if let Kind::Message { link, .. } | Kind::Opened { link } | Kind::Closed { link, .. } = &event.kind {
        row.insert("from".to_owned(), json!(facts.from.to_string()));
        row.insert("to".to_owned(), json!(facts.to.to_string()));
        way(&mut row, link);
        belongings(&mut row, facts, symbols);
    }
    if let Kind::Message { content, .. } = &event.kind {
        said(&mut row, content);
    }
    if let Some(step) = exhibit.steps.get(&event.number) {
        row.insert("step".to_owned(), json!(step));
    }
    Value::Object(row)
}

fn way(row: &mut Map<String, Value>, link: &Link) {
    row.insert("transport".to_owned(), json!(link.transport.token()));
    row.insert("source".to_owned(), json!(link.source.to_string()));
    row.insert("destination".to_owned(), json!(link.destination.to_string()));
    if let Some(connection) = link.connection {
        row.insert("connection".to_owned(), json!(connection.0));
    }
}

fn belongings(row: &mut Map<String, Value>, facts: &Facts, symbols: &Symbols) {
    let known = [
        ("dialog", facts.dialog),
        ("transaction", facts.transaction),
        ("group", facts.group),
        ("user", facts.user),
        ("device", facts.device),
        ("message", facts.message),
    ];
    for (name, symbol) in known {
        if let Some(symbol) = symbol {
            row.insert(name.to_owned(), json!(symbols.name(symbol)));
        }
    }
    for (name, event) in [("answers", facts.answers), ("repeats", facts.retransmission)] {
        if let Some(event) = event {
            row.insert(name.to_owned(), json!(event));
        }
    }
}

fn said(row: &mut Map<String, Value>, content: &Content) {
    let (protocol, start, headers, body) = match content {
        Content::Sip(message) => {
            let headers = message.fields().map(|field| json!([field.token, field.value])).collect();
            ("sip", String::from_utf8_lossy(message.start_bytes()).trim_end().to_owned(), headers, message.body())
        }
        Content::Msrp(chunk) => {
            let headers = chunk.fields().map(|(name, value)| json!([name, value])).collect();
            let bytes = chunk.encode();
            let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            ("msrp", String::from_utf8_lossy(line).into_owned(), headers, chunk.body().unwrap_or_default())
        }
        Content::Broken { bytes, .. } => ("none", String::new(), Vec::new(), bytes.clone()),
    };
    row.insert("protocol".to_owned(), json!(protocol));
    row.insert("start-line".to_owned(), json!(start));
    row.insert("headers".to_owned(), Value::Array(headers));
    match std::str::from_utf8(&body) {
        Ok(text) => row.insert("body".to_owned(), json!(text)),
        Err(_) => row.insert("body-hex".to_owned(), json!(body.iter().map(|byte| format!("{byte:02x}")).collect::<String>())),
    };
}
