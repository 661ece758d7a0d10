//! How connections of the simulated network come, carry and end.

use std::net::SocketAddr;

use super::super::stream::{Direction, Signal};
use super::{NodeId, Occurrence, Simulator};
use crate::engine::{Closure, ConnectionId, Engine, Input};

/// Connections.
impl<E: Engine> Simulator<E> {
    pub(super) fn connect(&mut self, from: NodeId, connection: ConnectionId, peer: SocketAddr) {
        let node = &mut self.nodes[from.0 as usize];
        node.ephemeral = node.ephemeral.checked_add(1).unwrap_or(49_152);
        let Some(local) = node.addresses.first().map(|address| SocketAddr::new(address.ip(), node.ephemeral)) else { return };
        let to = self.listeners.get(&peer).copied();
        let out = self.streams.open((from, connection, local), (to, peer));
        node.connections.insert(connection, out);
        self.schedule(self.now + self.connect_timeout, Occurrence::ConnectTimeout(out.back()));
        if to.is_some() {
            self.transmit(out, Signal::Open);
        } else {
            // Nobody has the address: the network says so at once.
            self.transmit(out.back(), Signal::Closed(Closure::Refused));
        }
    }

    pub(super) fn send(&mut self, from: NodeId, connection: ConnectionId, signal: Signal) {
        let Some(direction) = self.node(from).connections.get(&connection).copied() else { return };
        match self.streams.queue_until_up(direction, signal) {
            Some(Signal::Data(data)) => {
                for piece in self.streams.pieces(data) {
                    self.transmit(direction, Signal::Data(piece));
                }
            }
            Some(signal) => self.transmit(direction, signal),
            None => {}
        }
    }

    pub(super) fn transmit(&mut self, direction: Direction, signal: Signal) {
        let (from, to) = self.streams.route(direction);
        let span = self.links.segment(from, to);
        let at = self.streams.put(direction, self.now + span, signal);
        self.schedule(at, Occurrence::Stream(direction));
    }

    /// The first signal of a direction has arrived, unless the two are partitioned.
    pub(super) fn arrive(&mut self, direction: Direction) -> Option<NodeId> {
        let (from, to) = self.streams.route(direction);
        if self.links.is_cut(from, to) {
            return None;
        }
        match self.streams.take(direction, self.now)? {
            Signal::Open if direction.is_forward() => self.accept(direction),
            Signal::Open => self.connected(direction),
            Signal::Data(data) => {
                let connection = self.streams.receiver(direction)?;
                self.feed(to, Input::Received { connection, data })
            }
            Signal::Closed(how) => {
                let connection = self.streams.receiver(direction)?;
                self.streams.leave(direction);
                self.node_mut(to).connections.remove(&connection);
                self.feed(to, Input::Closed { connection, how })
            }
        }
    }

    fn accept(&mut self, direction: Direction) -> Option<NodeId> {
        let (_, to) = self.streams.route(direction);
        let node = self.node_mut(to);
        if node.hub.is_none() {
            self.transmit(direction.back(), Signal::Closed(Closure::Refused));
            return None;
        }
        let connection = ConnectionId(2 * node.accepted + 1);
        node.accepted += 1;
        node.connections.insert(connection, direction.back());
        let (peer, local) = self.streams.accept(direction, connection);
        self.transmit(direction.back(), Signal::Open);
        self.feed(to, Input::Accepted { connection, local, peer })
    }

    fn connected(&mut self, direction: Direction) -> Option<NodeId> {
        let (_, to) = self.streams.route(direction);
        let connection = self.streams.receiver(direction)?;
        let (local, waiting) = self.streams.connected(direction);
        for signal in waiting {
            self.send(to, connection, signal);
        }
        self.feed(to, Input::Connected { connection, local })
    }

    pub(super) fn give_up(&mut self, direction: Direction) -> Option<NodeId> {
        let (_, to) = self.streams.route(direction);
        let connection = self.streams.receiver(direction).filter(|_| !self.streams.is_up(direction))?;
        self.streams.leave(direction);
        self.node_mut(to).connections.remove(&connection);
        self.feed(to, Input::Closed { connection, how: Closure::Refused })
    }
}
