//! What a script does to the simulated network.

use std::sync::Arc;

use super::super::stream::Signal;
use super::{Hub, NodeId, Occurrence, Quality, Simulator};
use crate::engine::{Closure, Engine, Input};

/// Faults.
impl<E: Engine> Simulator<E> {
    /// Sets what the link between two nodes does, both ways.
    pub fn set_link(&mut self, one: NodeId, other: NodeId, quality: Quality) {
        self.links.set_quality(one, other, quality);
    }

    /// From now on nothing passes between the two.
    pub fn partition(&mut self, one: NodeId, other: NodeId) {
        self.links.set_cut(one, other, true);
    }

    /// All passes again; what streams held back goes on its way.
    pub fn heal(&mut self, one: NodeId, other: NodeId) {
        self.links.set_cut(one, other, false);
        let at = self.now + self.links.delay(one, other);
        for direction in self.streams.resume(one, other, at) {
            self.schedule(at, Occurrence::Stream(direction));
        }
    }

    /// Resets every connection of a node: the node is told now, its peers a delay later.
    pub fn disconnect(&mut self, id: NodeId) {
        let connections: Vec<_> = self.node(id).connections.keys().copied().collect();
        for connection in connections {
            self.send(id, connection, Signal::Closed(Closure::Reset));
            if let Some(direction) = self.node_mut(id).connections.remove(&connection) {
                self.streams.leave(direction.back());
                self.feed(id, Input::Closed { connection, how: Closure::Reset });
            }
        }
    }

    /// Ends the process of a node: its memory is gone, its connections are reset, what it had not
    /// committed yet is lost. Its store stays.
    pub fn kill(&mut self, id: NodeId) -> Option<E> {
        let connections = std::mem::take(&mut self.node_mut(id).connections);
        for direction in connections.into_values() {
            self.transmit(direction, Signal::Closed(Closure::Reset));
            self.streams.leave(direction.back());
        }
        if self.iut == Some(id) {
            self.edge.process_died(self.now);
        }
        let node = self.node_mut(id);
        node.process += 1;
        node.deadline = None;
        node.hub.take().map(|hub| hub.engine)
    }

    /// Starts a process at a node whose former one is dead.
    pub fn start(&mut self, id: NodeId, engine: E) {
        let observed = self.iut == Some(id);
        let node = self.node_mut(id);
        node.hub = Some(Hub::new(Arc::clone(&node.name), engine, observed));
        self.settle(id);
    }
}
