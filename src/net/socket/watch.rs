//! What becomes of what a driver sees: a log, or the record of a run.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::super::Edge;
use super::mirror::Mirror;
use crate::engine::{Input, Note, Output};
use crate::net::NodeId;
use crate::time::Instant;
use crate::trace::event::{Event, Kind};
use crate::trace::tap::{SIP_PORTS, Tap};

/// Where engines' remarks and traffic go.
pub(super) struct Watch {
    edge: Edge,
    /// What is recorded; without it everything goes to the log, and nothing is kept.
    mirror: Option<Mirror>,
}

impl Watch {
    /// Everything goes to the log.
    pub(super) fn log() -> Self {
        Self { edge: Edge::new(Tap::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), SIP_PORTS)), mirror: None }
    }

    /// What crosses the edge of the IUT at `address` is recorded; it takes SIP at `port` too.
    pub(super) fn record(address: IpAddr, port: Option<u16>) -> Self {
        let ports: Vec<u16> = SIP_PORTS.into_iter().chain(port).collect();
        let mirror = Mirror::new(address, &ports);
        Self { edge: Edge::new(Tap::new(address, ports)), mirror: Some(mirror) }
    }

    /// TLS is spoken at these listeners of ours.
    pub(super) fn secure(&mut self, listeners: impl IntoIterator<Item = SocketAddr>) {
        if let Some(mirror) = &mut self.mirror {
            mirror.secure(listeners);
        }
    }

    /// The process of the IUT was killed.
    pub(super) fn iut_died(&mut self) {
        if let Some(mirror) = &mut self.mirror {
            mirror.died();
        }
    }

    /// Everything recorded so far.
    pub(super) fn events(&self) -> &[Event] {
        self.edge.events()
    }

    pub(super) const fn edge(&mut self) -> &mut Edge {
        &mut self.edge
    }

    /// An engine is told something.
    pub(super) fn input(&mut self, now: Instant, node: NodeId, name: &Arc<str>, input: &Input) {
        if let Some(mirror) = &mut self.mirror {
            mirror.input(node, input).for_each(|kind| self.edge.record(now, kind));
            return;
        }
        match input {
            Input::Datagram { peer, data, .. } => {
                tracing::debug!(target: "wire", node = %name, %peer, "<- {}", first_line(data));
            }
            Input::Received { connection, data } => {
                tracing::debug!(target: "wire", node = %name, connection = connection.0, "<- {}", first_line(data));
            }
            Input::Committed { batch, outcome } => {
                tracing::debug!(target: "store", node = %name, batch = batch.0, ?outcome, "committed");
            }
            Input::Accepted { .. } | Input::Connected { .. } | Input::Closed { .. } | Input::Timeout => {}
        }
    }

    /// An engine asks for something.
    pub(super) fn output(&mut self, now: Instant, node: NodeId, name: &Arc<str>, output: &Output) {
        if let Some(mirror) = &mut self.mirror {
            mirror.output(node, output).for_each(|kind| self.edge.record(now, kind));
            return;
        }
        match output {
            Output::Datagram { peer, data, .. } => {
                tracing::debug!(target: "wire", node = %name, %peer, "-> {}", first_line(data));
            }
            Output::Send { connection, data } => {
                tracing::debug!(target: "wire", node = %name, connection = connection.0, "-> {}", first_line(data));
            }
            Output::Commit { batch, writes } => {
                tracing::debug!(target: "store", node = %name, batch = batch.0, writes = writes.len(), "commit");
            }
            Output::Connect { .. } | Output::Close { .. } | Output::Note(_) => {}
        }
    }

    /// An engine is done with what it was told.
    pub(super) fn settled(&mut self, name: &Arc<str>) {
        if self.mirror.is_some() {
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
