//! A sequence diagram before it is drawn: lanes, and what passes between them.

use super::exhibit::Exhibit;
use crate::engine::Closure;
use crate::judge::expect::headline;
use crate::pattern::ast::Role;
use crate::time::Instant;
use crate::trace::correlate::Correlation;
use crate::trace::event::{Content, Kind, Party};

/// A diagram.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Clients, the IUT, then everyone else.
    pub lanes: Vec<Party>,
    /// Which of them is the IUT.
    pub iut: usize,
    /// What passes, in order.
    pub rows: Vec<Row>,
}

/// What passes.
#[derive(Clone, Debug)]
pub struct Row {
    /// The number of its event.
    pub number: u32,
    /// When.
    pub at: Instant,
    /// What it is.
    pub what: What,
    /// A word on it; it may hold whatever came from the wire.
    pub label: String,
    /// The step that sent or awaited it.
    pub step: Option<String>,
    /// What was found.
    pub marks: Vec<String>,
}

/// The kinds of rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// A message between two lanes.
    Message {
        /// The lane that it leaves.
        from: usize,
        /// The lane that it reaches.
        to: usize,
        /// How it is drawn.
        stroke: Stroke,
    },
    /// A connection broke between two lanes.
    Lost {
        /// The lane that broke it.
        from: usize,
        /// The other one.
        to: usize,
    },
    /// The harness changed the world.
    Fault,
    /// The script is over.
    Over,
}

/// How a message is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stroke {
    /// A request of SIP.
    Request,
    /// A response of SIP.
    Response,
    /// MSRP.
    Media,
    /// Repeated, or no message at all.
    Faint,
}

impl Chart {
    /// The diagram of a trace.
    pub fn of(exhibit: &Exhibit<'_>) -> Self {
        let trace = exhibit.trace;
        let facts = Correlation::of(trace).facts;
        let iut = &trace.header.iut;
        let mut lanes = vec![iut.clone()];
        for (event, facts) in trace.events.iter().zip(&facts) {
            let shown = matches!(event.kind, Kind::Message { .. } | Kind::Closed { how: Closure::Reset, .. });
            if shown && !lanes.contains(facts.peer(iut)) {
                lanes.push(facts.peer(iut).clone());
            }
        }
        lanes.sort_by_key(|party| (side(party, iut), party.to_string()));
        let lane = |party: &Party| lanes.iter().position(|known| known == party).unwrap_or_default();
        let mut rows = Vec::new();
        for (event, facts) in trace.events.iter().zip(&facts) {
            let (from, to) = (lane(&facts.from), lane(&facts.to));
            let what = match &event.kind {
                Kind::Message { content, .. } => {
                    What::Message { from, to, stroke: stroke(content, facts.retransmission.is_some()) }
                }
                Kind::Closed { how: Closure::Reset, .. } => What::Lost { from, to },
                Kind::Fault(_) => What::Fault,
                Kind::FlowEnded => What::Over,
                Kind::Closed { .. } | Kind::Opened { .. } | Kind::Note { .. } => continue,
            };
            let label = if matches!(what, What::Lost { .. }) { "connection lost".to_owned() } else { headline(event) };
            let marks = exhibit.marks(event.number).collect();
            rows.push(Row {
                number: event.number,
                at: event.at,
                what,
                label,
                step: exhibit.steps.get(&event.number).cloned(),
                marks,
            });
        }
        Self { iut: lane(iut), lanes, rows }
    }
}

fn side(party: &Party, iut: &Party) -> u8 {
    match party.role {
        _ if party == iut => 1,
        Role::Client => 0,
        Role::Pf | Role::Cf | Role::Core => 2,
    }
}

fn stroke(content: &Content, repeated: bool) -> Stroke {
    match content {
        _ if repeated => Stroke::Faint,
        Content::Sip(message) if message.is_request() => Stroke::Request,
        Content::Sip(_) => Stroke::Response,
        Content::Msrp(_) => Stroke::Media,
        Content::Broken { .. } => Stroke::Faint,
    }
}
