//! Reads run files, so that a stored run can be shown and judged again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::{Hash, SCHEMA};
use crate::clause::Clause;
use crate::engine::{Closure, ConnectionId, Note, Transport};
use crate::judge::verdict::{Certainty, Fault as Blame, Finding, FindingKind};
use crate::pattern::ast::Role;
use crate::report::terminal::level_name;
use crate::suite::catalogue::Level;
use crate::time::Instant;
use crate::trace::event::{AddressBook, Content, Event, Kind, Link, Party};
use crate::trace::{Header, Trace};
use crate::wire::{Fault as WireFault, msrp, sip};

/// A run file as it was read.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// The seed of the run.
    pub seed: u64,
    /// Against whom, with the version if that is told.
    pub target: String,
    /// The hash of the suite that was run.
    pub suite_hash: String,
    /// What is in it.
    pub outcomes: Vec<StoredOutcome>,
    /// How much faster than the clock on the wall time went; `None` where it was virtual.
    pub speed: Option<f64>,
    /// Whether a footer says that the run went to its end.
    pub complete: bool,
}

/// One outcome of a run file.
#[derive(Clone, Debug, Default)]
pub struct StoredOutcome {
    /// Identifier of the scenario.
    pub scenario: String,
    /// The variant.
    pub variant: String,
    /// Which repetition it was, from 1.
    pub repetition: u64,
    /// The requirements that it claims.
    pub requirements: Vec<String>,
    /// The gate that the run gave it.
    pub gate: String,
    /// What was found.
    pub findings: Vec<Finding>,
    /// By event: the step that sent or awaited it.
    pub steps: BTreeMap<u32, String>,
    /// The trace, if it was kept.
    pub trace: Option<Trace>,
}

impl StoredOutcome {
    /// The scenario with its variant.
    pub fn name(&self) -> String {
        if self.variant.is_empty() { self.scenario.clone() } else { format!("{}@{}", self.scenario, self.variant) }
    }
}

/// Why a file is no run file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, a lower-case fragment.
    pub why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// Reads a run file.
///
/// # Errors
///
/// The first line that is not what it has to be. A missing footer is no error: the run is then not
/// complete.
pub fn read(text: &str) -> Result<Stored, Fault> {
    let mut stored = Stored::default();
    let (mut hash, mut open, mut begun) = (Hash::default(), None::<StoredOutcome>, false);
    for (at, line) in text.lines().enumerate() {
        let fault = |why: String| Fault { line: at + 1, why };
        let value: Value = match serde_json::from_str(line) {
            Ok(value) => value,
            // A last line without its end was cut off.
            Err(_) if !text.ends_with('\n') && at + 1 == text.lines().count() => break,
            Err(error) => return Err(fault(format!("this is no JSON: {error}"))),
        };
        let kind = value["type"].as_str().unwrap_or("");
        if !begun {
            begin(&value, kind, &mut stored).map_err(fault)?;
            begun = true;
        } else if stored.complete {
            return Err(fault("something follows the footer".to_owned()));
        } else if kind == "footer" {
            stored.complete = value["complete"] == true && open.is_none();
            if value["hash"].as_str() != Some(hash.text().as_str()) {
                return Err(fault("the lines above were altered: their hash differs".to_owned()));
            }
        } else {
            take(&value, kind, &mut open, &mut stored).map_err(fault)?;
        }
        hash = hash.with(line.as_bytes()).with(b"\n");
    }
    if begun { Ok(stored) } else { Err(Fault { line: 1, why: "the file is empty".to_owned() }) }
}

fn begin(value: &Value, kind: &str, stored: &mut Stored) -> Result<(), String> {
    if kind != "header" {
        return Err("a run file begins with a header".to_owned());
    }
    if value["schema"].as_u64() != Some(SCHEMA) {
        return Err(format!("the form of this file has version {}, this program reads {SCHEMA}", value["schema"]));
    }
    stored.seed = seed(&value["seed"])?;
    stored.target = value["target"].as_str().unwrap_or("").to_owned();
    stored.suite_hash = value["suite"]["hash"].as_str().unwrap_or("").to_owned();
    stored.speed = (value["clock"] == "real").then(|| value["speed"].as_f64().unwrap_or(1.0));
    Ok(())
}

fn take(value: &Value, kind: &str, open: &mut Option<StoredOutcome>, stored: &mut Stored) -> Result<(), String> {
    match (kind, open.as_mut()) {
        ("scenario-start", None) => *open = Some(started(value, stored.speed.is_none())?),
        ("scenario-end", Some(outcome)) => {
            outcome.gate = text(value, "gate")?;
            if let Some(trace) = &mut outcome.trace {
                trace.ended = Instant::from_micros(value["ended-us"].as_u64().unwrap_or(0));
                trace.complete = value["complete"] == true;
            }
            let twice = |other: &StoredOutcome| other.name() == outcome.name() && other.repetition == outcome.repetition;
            if stored.outcomes.iter().any(twice) {
                return Err(format!("{} ends twice", outcome.name()));
            }
            stored.outcomes.extend(open.take());
        }
        ("check", Some(outcome)) => outcome.findings.push(finding(value)?),
        ("scenario-start", Some(_)) => return Err("a scenario begins inside another one".to_owned()),
        (_, Some(outcome)) => {
            let trace = outcome.trace.as_mut().ok_or("an event stands in a scenario whose trace was left out")?;
            let event = event(value, kind)?;
            outcome.steps.extend(value["step"].as_str().map(|step| (event.number, step.to_owned())));
            trace.events.push(event);
        }
        (_, None) => return Err(format!("`{kind}` stands outside of a scenario")),
    }
    Ok(())
}

fn started(value: &Value, virtual_clock: bool) -> Result<StoredOutcome, String> {
    let (scenario, variant) = (text(value, "scenario")?, text(value, "variant")?);
    let header = value.get("book").map(|book| header(value, book, &scenario, &variant)).transpose()?;
    let requirements = strings(&value["requirements"]);
    let trace = header.map(|header| Trace { header: Header { virtual_clock, ..header }, ..Trace::default() });
    let repetition = value["repetition"].as_u64().unwrap_or(1);
    Ok(StoredOutcome { scenario, variant, repetition, requirements, trace, ..StoredOutcome::default() })
}

fn finding(value: &Value) -> Result<Finding, String> {
    let (kind, level, fault) = (text(value, "kind")?, text(value, "level")?, text(value, "fault")?);
    let kinds = [FindingKind::Expectation, FindingKind::Invariant, FindingKind::Rule];
    let levels = [Level::Shall, Level::Should, Level::May, Level::Note];
    let faults = [Blame::Iut, Blame::Scenario, Blame::Environment, Blame::Harness];
    Ok(Finding {
        kind: kinds.into_iter().find(|known| known.to_string() == kind).ok_or_else(|| format!("`{kind}` finds nothing"))?,
        id: text(value, "id")?,
        level: levels.into_iter().find(|known| level_name(*known) == level).ok_or_else(|| format!("`{level}` is no level"))?,
        certainty: if value["broken"] == true { Certainty::Broken } else { Certainty::Open },
        event: value["event"].as_u64().and_then(|event| u32::try_from(event).ok()),
        cites: text(value, "cites")?,
        expected: text(value, "expected")?,
        observed: text(value, "observed")?,
        fault: faults.into_iter().find(|known| known.to_string() == fault).ok_or_else(|| format!("`{fault}` is nobody"))?,
    })
}

fn header(value: &Value, book: &Value, scenario: &str, variant: &str) -> Result<Header, String> {
    let policy = value["policy"].as_object().into_iter().flatten();
    let policy = policy.map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned()));
    Ok(Header {
        scenario: scenario.to_owned(),
        variant: variant.to_owned(),
        seed: seed(&value["seed"])?,
        iut: party(&value["iut"])?,
        book: Arc::new(AddressBook {
            nodes: pairs(&book["nodes"], |key, who| Ok((address(key)?, party(who)?)))?,
            users: pairs(&book["users"], |key, who| Ok((key.to_owned(), party(who)?)))?,
            instances: pairs(&book["instances"], |key, who| Ok((key.to_owned(), party(who)?)))?,
            hosts: pairs(&book["hosts"], |key, who| Ok((key.to_owned(), party(who)?)))?,
            groups: pairs(&book["groups"], |key, name| Ok((key.to_owned(), name.as_str().unwrap_or("").into())))?,
        }),
        policy: Arc::new(policy.collect()),
        pics: strings(&value["pics"]).into_iter().collect(),
        ..Header::default()
    })
}

fn event(value: &Value, kind: &str) -> Result<Event, String> {
    let number = value["n"].as_u64().and_then(|number| u32::try_from(number).ok()).ok_or("`n` is missing")?;
    let at = Instant::from_micros(value["at"].as_u64().ok_or("`at` is missing")?);
    let kind = match kind {
        "message" => Kind::Message { link: link(value)?, sent: value["sent"] == true, content: content(value)? },
        "connection" => match text(value, "state")?.as_str() {
            "opened" => Kind::Opened { link: link(value)? },
            state => Kind::Closed { link: link(value)?, how: closure(state)?, by_iut: value["by-iut"] == true },
        },
        "fault" => Kind::Fault(text(value, "text")?),
        "note" => note(value)?,
        "flow-ended" => Kind::FlowEnded,
        other => return Err(format!("`{other}` is no kind of event")),
    };
    Ok(Event { number, at, kind })
}

fn note(value: &Value) -> Result<Kind, String> {
    // Layers are a fixed set in the program; a file may come from another version.
    const LAYERS: [&str; 10] =
        ["transport", "transaction", "dialog", "session", "subscription", "msrp", "pf", "deferred", "store", "network"];
    let layer = text(value, "layer")?;
    let layer = LAYERS.into_iter().find(|known| *known == layer).unwrap_or("other");
    let because = value["because"].as_str().and_then(Clause::find);
    Ok(Kind::Note { node: Arc::from(text(value, "node")?), note: Note { layer, text: Cow::Owned(text(value, "text")?), because } })
}

fn content(value: &Value) -> Result<Content, String> {
    let bytes = raw(value)?;
    let content = match text(value, "protocol")?.as_str() {
        "sip" => sip::Message::decode(bytes.clone()).map(Content::Sip),
        "msrp" => msrp::Chunk::decode(bytes.clone()).map(Content::Msrp),
        "broken" => Err(fault_of(&bytes)),
        other => return Err(format!("`{other}` is no protocol")),
    };
    Ok(content.unwrap_or_else(|fault| Content::Broken { bytes, fault }))
}

/// What is wrong with bytes that were no message when they were recorded.
fn fault_of(bytes: &Bytes) -> WireFault {
    let decoded = if bytes.starts_with(b"MSRP ") {
        msrp::Chunk::decode(bytes.clone()).err()
    } else {
        sip::Message::decode(bytes.clone()).err()
    };
    decoded.unwrap_or(WireFault::new("broken", 0, "a message of the connection's protocol"))
}

fn raw(value: &Value) -> Result<Bytes, String> {
    if let Some(text) = value["raw"].as_str() {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    let digits = value["raw-hex"].as_str().ok_or("a message has no bytes")?;
    let pairs =
        digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()));
    pairs.collect::<Option<Vec<u8>>>().map(Bytes::from).ok_or_else(|| "`raw-hex` holds no hexadecimal digits".to_owned())
}

fn link(value: &Value) -> Result<Link, String> {
    let transport = match text(value, "transport")?.as_str() {
        "UDP" => Transport::Udp,
        "TCP" => Transport::Tcp,
        "TLS" => Transport::Tls,
        other => return Err(format!("`{other}` is no transport")),
    };
    Ok(Link {
        transport,
        source: address(&text(value, "from")?)?,
        destination: address(&text(value, "to")?)?,
        connection: value["connection"].as_u64().map(ConnectionId),
    })
}

fn closure(state: &str) -> Result<Closure, String> {
    [Closure::Finished, Closure::Reset, Closure::Refused]
        .into_iter()
        .find(|how| super::write::closure(*how) == state)
        .ok_or_else(|| format!("`{state}` is no state of a connection"))
}

fn party(value: &Value) -> Result<Party, String> {
    let role = match value["role"].as_str() {
        Some("client") => Role::Client,
        Some("pf") => Role::Pf,
        Some("cf") => Role::Cf,
        Some("core") => Role::Core,
        _ => return Err("an actor has no role".to_owned()),
    };
    Ok(Party { role, name: text(value, "name")?.into(), device: value["device"].as_str().map(Into::into) })
}

fn pairs<T>(list: &Value, each: impl Fn(&str, &Value) -> Result<T, String>) -> Result<Vec<T>, String> {
    let pairs = list.as_array().into_iter().flatten();
    pairs.map(|pair| each(pair[0].as_str().unwrap_or(""), &pair[1])).collect()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is no address"))
}

fn seed(value: &Value) -> Result<u64, String> {
    let text = value.as_str().unwrap_or("");
    u64::from_str_radix(text.trim_start_matches("0x"), 16).map_err(|_| format!("`{text}` is no seed"))
}

fn text(value: &Value, name: &str) -> Result<String, String> {
    value[name].as_str().map(str::to_owned).ok_or_else(|| format!("`{name}` is missing"))
}
