//! What becomes of what a driver sees: a log, or the record of a run.

use std::sync::Arc;

use super::super::Edge;
use crate::engine::{Input, Note, Output};
use crate::net::NodeId;
use crate::time::Instant;
use crate::trace::event::Kind;
use crate::trace::tap::{SIP_PORTS, Tap};

/// Where engines' remarks and traffic go.
pub(super) struct Watch {
    edge: Edge,
    logs: bool,
}

impl Watch {
    /// Everything goes to the log, and nothing is kept.
    pub(super) fn log() -> Self {
        let nowhere = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        Self { edge: Edge::new(Tap::new(nowhere, SIP_PORTS)), logs: true }
    }

    pub(super) const fn edge(&mut self) -> &mut Edge {
        &mut self.edge
    }

    /// An engine is told something.
    pub(super) fn input(&mut self, _now: Instant, _node: NodeId, name: &Arc<str>, input: &Input) {
        if !self.logs {
            return;
        }
        match input {
            Input::Datagram { peer, data, .. } => {
                tracing::debug!(target: "wire", node = %name, %peer, "<- {}", first_line(data));
            }
            Input::Received { connection, data } => {
                tracing::debug!(target: "wire", node = %name, connection = connection.0, "<- {}", first_line(data));
            }
            Input::Accepted { .. } | Input::Connected { .. } | Input::Closed { .. } | Input::Committed { .. } | Input::Timeout => {}
        }
    }

    /// An engine asks for something.
    pub(super) fn output(&mut self, _now: Instant, _node: NodeId, name: &Arc<str>, output: &Output) {
        if !self.logs {
            return;
        }
        match output {
            Output::Datagram { peer, data, .. } => {
                tracing::debug!(target: "wire", node = %name, %peer, "-> {}", first_line(data));
            }
            Output::Send { connection, data } => {
                tracing::debug!(target: "wire", node = %name, connection = connection.0, "-> {}", first_line(data));
            }
            Output::Connect { .. } | Output::Close { .. } | Output::Commit { .. } | Output::Note(_) => {}
        }
    }

    /// An engine is done with what it was told.
    pub(super) fn settled(&mut self, name: &Arc<str>) {
        if !self.logs {
            return;
        }
        for event in self.edge.drain_events() {
            if let Kind::Note { note: Note { layer, text, because }, .. } = event.kind {
                let because = because.map(|clause| clause.id());
                tracing::debug!(target: "engine", node = %name, layer, because, "{text}");
            }
        }
    }
}

fn first_line(data: &[u8]) -> String {
    let end = data.iter().position(|byte| *byte == b'\r' || *byte == b'\n').unwrap_or(data.len());
    String::from_utf8_lossy(&data[..end.min(120)]).escape_debug().to_string()
}
