//! Writes run files.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{Hash, SCHEMA};
use crate::engine::Closure;
use crate::judge::outcome::{CleanUp, Comparison, Expected, Outcome, Reasons, Totals};
use crate::judge::verdict::Finding;
use crate::report::exhibit::steps_of;
use crate::suite::source::Sources;
use crate::trace::Header;
use crate::trace::event::{AddressBook, Content, Event, Kind, Link, Party};

/// Which traces are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Keep {
    /// None.
    Off,
    /// All of them.
    On,
    /// Those of outcomes that do not pass.
    #[default]
    RetainOnFailure,
}

impl Keep {
    /// Whether the trace of this outcome is kept.
    pub fn keeps(self, outcome: &Outcome) -> bool {
        match self {
            Self::Off => false,
            Self::On => true,
            Self::RetainOnFailure => !outcome.gate.passes(),
        }
    }
}

/// What the header says.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The title of the suite.
    pub title: &'a str,
    /// The hash of the suite's text.
    pub suite_hash: &'a str,
    /// The names of all outcomes to come.
    pub selected: &'a [String],
    /// The seed.
    pub seed: u64,
    /// Against whom.
    pub target: &'a str,
    /// How much faster than the clock on the wall time went; `None` where it was virtual.
    pub speed: Option<f64>,
    /// Whether less than the whole suite was meant.
    pub filtered: bool,
}

/// A run file in the making.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    keep: Keep,
    hash: Hash,
}

impl<W: Write> Writer<W> {
    /// Begins a run file.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn begin(out: W, keep: Keep, opening: &Opening<'_>) -> io::Result<Self> {
        let mut writer = Self { out, keep, hash: Hash::default() };
        let names = opening.selected.iter().fold(Hash::default(), |hash, name| hash.with(name.as_bytes()).with(b"\n"));
        let mut header = json!({
            "type": "header",
            "schema": SCHEMA,
            "tool": concat!("cpmcheck ", env!("CARGO_PKG_VERSION")),
            "suite": { "title": opening.title, "hash": opening.suite_hash, "selected": opening.selected.len(), "selected-hash": names.text() },
            "target": opening.target,
            "seed": seed_text(opening.seed),
            "shard": "1/1",
            "clock": if opening.speed.is_some() { "real" } else { "virtual" },
            "filtered": opening.filtered,
        });
        if let Some(speed) = opening.speed {
            header["speed"] = json!(speed);
        }
        writer.put(&header)?;
        Ok(writer)
    }

    /// Adds an outcome; `sources` hold the steps that its events belong to.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn add(&mut self, outcome: &Outcome, sources: &Sources) -> io::Result<()> {
        let kept = self.keep.keeps(outcome);
        self.put(&start(outcome, kept))?;
        if kept {
            let steps = steps_of(outcome, sources);
            for event in &outcome.trace.events {
                self.put(&event_line(event, steps.get(&event.number)))?;
            }
        }
        for finding in &outcome.findings {
            self.put(&check(finding))?;
        }
        self.put(&end(outcome, kept))
    }

    /// Ends the file. `duration` is the one wall-clock value that it may hold.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn finish(mut self, totals: &Totals, reasons: &Reasons, complete: bool, duration: Option<Duration>) -> io::Result<W> {
        let exit = reasons.exit();
        let texts: Vec<String> = reasons.iter().map(|(exit, text)| format!("{}: {text}", exit.name())).collect();
        let mut footer = json!({
            "type": "footer",
            "passed": totals.passed(),
            "failed": totals.failed(),
            "skipped": totals.neither(),
            "pending": totals.pending,
            "complete": complete,
            "exit": { "code": exit.code(), "name": exit.name(), "reasons": texts },
            "hash": self.hash.text(),
        });
        if let (Some(duration), Some(fields)) = (duration, footer.as_object_mut()) {
            fields.insert("duration-ms".to_owned(), json!(duration.as_millis()));
        }
        self.put(&footer)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn put(&mut self, value: &Value) -> io::Result<()> {
        let mut line = value.to_string();
        line.push('\n');
        self.hash = self.hash.with(line.as_bytes());
        self.out.write_all(line.as_bytes())
    }
}

pub(super) fn seed_text(seed: u64) -> String {
    format!("{seed:#x}")
}

fn start(outcome: &Outcome, kept: bool) -> Value {
    let header = &outcome.trace.header;
    let mut line = json!({
        "type": "scenario-start",
        "scenario": outcome.scenario,
        "variant": outcome.variant,
        "repetition": outcome.repetition,
        "seed": seed_text(outcome.seed),
        "requirements": outcome.requirements,
        "draft": outcome.draft,
    });
    if let (true, Some(fields)) = (kept, line.as_object_mut()) {
        fields.extend(header_fields(header));
    }
    line
}

fn header_fields(header: &Header) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("iut".to_owned(), party(&header.iut));
    fields.insert("policy".to_owned(), json!(*header.policy));
    fields.insert("pics".to_owned(), json!(header.pics));
    fields.insert("book".to_owned(), book(&header.book));
    fields
}

fn party(party: &Party) -> Value {
    json!({ "role": party.role.to_string(), "name": *party.name, "device": party.device.as_deref() })
}

fn book(book: &AddressBook) -> Value {
    let pairs = |list: &[(String, Party)]| list.iter().map(|(key, who)| json!([key, party(who)])).collect::<Vec<_>>();
    json!({
        "nodes": book.nodes.iter().map(|(address, who)| json!([address.to_string(), party(who)])).collect::<Vec<_>>(),
        "users": pairs(&book.users),
        "instances": pairs(&book.instances),
        "hosts": pairs(&book.hosts),
        "groups": book.groups.iter().map(|(key, name)| json!([key, **name])).collect::<Vec<_>>(),
    })
}

fn event_line(event: &Event, step: Option<&String>) -> Value {
    let mut line = Map::new();
    line.insert("type".to_owned(), json!(kind_name(&event.kind)));
    line.insert("n".to_owned(), json!(event.number));
    line.insert("at".to_owned(), json!(event.at.as_micros()));
    match &event.kind {
        Kind::Message { link, sent, content } => {
            line.extend(link_fields(link));
            line.insert("sent".to_owned(), json!(sent));
            line.extend(content_fields(content));
        }
        Kind::Opened { link } => {
            line.extend(link_fields(link));
            line.insert("state".to_owned(), json!("opened"));
        }
        Kind::Closed { link, how, by_iut } => {
            line.extend(link_fields(link));
            line.insert("state".to_owned(), json!(closure(*how)));
            line.insert("by-iut".to_owned(), json!(by_iut));
        }
        Kind::Fault(text) => {
            line.insert("text".to_owned(), json!(text));
        }
        Kind::Note { node, note } => {
            line.insert("node".to_owned(), json!(**node));
            line.insert("layer".to_owned(), json!(note.layer));
            line.insert("text".to_owned(), json!(note.text));
            if let Some(clause) = note.because {
                line.insert("because".to_owned(), json!(clause.id()));
            }
        }
        Kind::FlowEnded => {}
    }
    if let Some(step) = step {
        line.insert("step".to_owned(), json!(step));
    }
    Value::Object(line)
}

fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Message { .. } => "message",
        Kind::Opened { .. } | Kind::Closed { .. } => "connection",
        Kind::Fault(_) => "fault",
        Kind::Note { .. } => "note",
        Kind::FlowEnded => "flow-ended",
    }
}

pub(super) const fn closure(how: Closure) -> &'static str {
    match how {
        Closure::Finished => "finished",
        Closure::Reset => "reset",
        Closure::Refused => "refused",
    }
}

fn link_fields(link: &Link) -> Map<String, Value> {
    let address = |address: SocketAddr| json!(address.to_string());
    let mut fields = Map::new();
    fields.insert("transport".to_owned(), json!(link.transport.token()));
    fields.insert("from".to_owned(), address(link.source));
    fields.insert("to".to_owned(), address(link.destination));
    if let Some(connection) = link.connection {
        fields.insert("connection".to_owned(), json!(connection.0));
    }
    fields
}

fn content_fields(content: &Content) -> Map<String, Value> {
    let (protocol, bytes) = match content {
        Content::Sip(message) => ("sip", message.encode()),
        Content::Msrp(chunk) => ("msrp", chunk.encode()),
        Content::Broken { bytes, .. } => ("broken", bytes.clone()),
    };
    let mut fields = Map::new();
    fields.insert("protocol".to_owned(), json!(protocol));
    let (name, value) = raw(&bytes);
    fields.insert(name.to_owned(), value);
    fields
}

/// Text where it is text, else hexadecimal digits: the bytes come back exactly either way.
fn raw(bytes: &Bytes) -> (&'static str, Value) {
    match std::str::from_utf8(bytes) {
        Ok(text) => ("raw", json!(text)),
        Err(_) => ("raw-hex", json!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())),
    }
}

fn check(finding: &Finding) -> Value {
    json!({
        "type": "check",
        "kind": finding.kind.to_string(),
        "id": finding.id,
        "level": crate::report::terminal::level_name(finding.level),
        "broken": finding.certainty == crate::judge::verdict::Certainty::Broken,
        "event": finding.event,
        "cites": finding.cites,
        "expected": finding.expected,
        "observed": finding.observed,
        "fault": finding.fault.to_string(),
    })
}

/// What was expected of an outcome, as JSON.
pub fn expected(expected: &Expected) -> Value {
    json!({
        "what": expected.what,
        "because": expected.because,
        "issue": expected.issue,
        "place": expected.place,
        "difference": expected.difference,
    })
}

fn end(outcome: &Outcome, kept: bool) -> Value {
    let comparison = match outcome.comparison {
        Comparison::Skipped => "skipped",
        Comparison::Same => "same",
        Comparison::New(_) => "new",
        Comparison::Changed { .. } => "changed",
    };
    let left: &[String] = match &outcome.clean_up {
        CleanUp::Clean => &[],
        CleanUp::Left(left) => left,
    };
    let rules: Map<String, Value> = outcome.rules.iter().map(|(id, state)| (id.clone(), json!(state.name()))).collect();
    let mut end = json!({
        "type": "scenario-end",
        "scenario": outcome.scenario,
        "variant": outcome.variant,
        "verdict": outcome.verdict.name(),
        "gate": outcome.gate.name(),
        "rules": rules,
        "snapshot": comparison,
        "left-open": left,
        "messages": outcome.messages(),
        "took-us": u64::try_from(outcome.took.as_micros()).unwrap_or(u64::MAX),
        "ended-us": outcome.trace.ended.as_micros(),
        "trace": if kept { "kept" } else { "left-out" },
        "complete": outcome.trace.complete,
    });
    if let Some(own) = &outcome.expected {
        end["expected"] = expected(own);
    }
    if !outcome.remark.is_empty() {
        end["remark"] = json!(outcome.remark);
    }
    end
}
