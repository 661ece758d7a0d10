//! Connections as the driver keeps them: how they come, what waits for them, and when they end.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant as RealInstant;

use super::drain::Work;
use super::queue::Queue;
use super::stream::{Line, Stream};
use super::{Arrival, Limits, Sockets, Wire, listen};
use crate::engine::{Closure, ConnectionId, Engine, Input, Output, Standing, Transport};
use crate::net::NodeId;

/// A connection of one node.
#[derive(Debug)]
pub(super) struct Connection {
    queue: Arc<Queue>,
    task: Option<tokio::task::AbortHandle>,
    peer: SocketAddr,
    up: bool,
    /// Whether the engine has ended it, and a slow link keeps that from the peer so far.
    left: bool,
    heard: RealInstant,
    /// Since when its peer is in the middle of which message.
    unfinished: Option<(u64, RealInstant)>,
    /// Since when bytes wait, and how many had been written then.
    stalled: Option<(u64, RealInstant)>,
}

/// Why a connection is closed from this side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Complaint {
    Unfinished,
    Idle,
    Stalled,
}

impl Complaint {
    const fn text(self) -> &'static str {
        match self {
            Self::Unfinished => "its peer did not finish a message",
            Self::Idle => "nobody used it",
            Self::Stalled => "its peer does not read",
        }
    }
}

impl Connection {
    fn new(peer: SocketAddr, limits: &Limits, work: &Work) -> Self {
        let queue = Arc::new(Queue::new(limits.pause_at, work.clone()));
        let heard = RealInstant::now();
        Self { queue, task: None, peer, up: false, left: false, heard, unfinished: None, stalled: None }
    }

    pub(super) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The engine is done with it.
    pub(super) const fn leave(&mut self) {
        self.left = true;
    }

    /// Whether the engine wants to hear of it.
    pub(super) const fn is_wanted(&self) -> bool {
        !self.left
    }

    /// Bytes came.
    pub(super) fn heard(&mut self) {
        self.heard = RealInstant::now();
    }

    /// Ends it after what waits, unless it is given up already.
    pub(super) fn part(&self) {
        if !self.queue.is_aborted() {
            self.queue.end(Closure::Finished);
        }
    }

    /// Ends it as the driver ends.
    pub(super) fn conclude(&self) {
        match &self.task {
            Some(_) if self.up => self.queue.leave(),
            _ => self.abandon(),
        }
    }

    /// Ends it without ceremony.
    pub(super) fn abandon(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }

    /// What there is to complain about, with what the engine makes of the connection.
    fn complaint(&mut self, standing: Standing, now: RealInstant, limits: &Limits) -> Option<Complaint> {
        let (waiting, written) = self.queue.level();
        self.stalled = match self.stalled {
            _ if waiting == 0 || !self.up => None,
            Some((before, since)) if before == written => Some((before, since)),
            _ => Some((written, now)),
        };
        self.unfinished = match (standing, self.unfinished) {
            // While nothing is read from the peer it can finish nothing.
            (Standing::Unfinished { .. }, _) if waiting >= limits.pause_at => None,
            (Standing::Unfinished { messages }, Some((before, since))) if before == messages => Some((before, since)),
            (Standing::Unfinished { messages }, _) => Some((messages, now)),
            (Standing::Idle | Standing::InUse, _) => None,
        };
        let over = |since: Option<(u64, RealInstant)>, limit| since.is_some_and(|(_, since)| now.duration_since(since) >= limit);
        if over(self.stalled, limits.stalled) {
            Some(Complaint::Stalled)
        } else if over(self.unfinished, limits.unfinished) {
            Some(Complaint::Unfinished)
        } else if standing == Standing::Idle && waiting == 0 && now.duration_since(self.heard) >= limits.idle {
            Some(Complaint::Idle)
        } else {
            None
        }
    }
}

/// Connections.
impl<E: Engine> Sockets<E> {
    /// A peer's connection is taken in, or at once closed when there are too many.
    pub(super) fn accept(&mut self, id: NodeId, stream: Stream, local: SocketAddr, peer: SocketAddr) -> Option<NodeId> {
        let node = self.nodes.get_mut(id.0 as usize)?;
        if node.connections.len() >= self.limits.connections {
            tracing::warn!(target: "socket", node = %node.name, %peer, "refused: the limit of connections is reached");
            return None;
        }
        let connection = ConnectionId(2 * node.accepted + 1);
        node.accepted += 1;
        tracing::debug!(target: "socket", node = %node.name, %peer, %local, "accepted");
        node.connections.insert(connection, Connection::new(peer, &self.limits, &self.work));
        self.start(id, connection, stream);
        self.feed(id, Input::Accepted { connection, local, peer })
    }

    /// The connection that the engine asked for is up, unless it has changed its mind.
    pub(super) fn connected(&mut self, id: NodeId, connection: ConnectionId, stream: Stream, local: SocketAddr) -> Option<NodeId> {
        let node = self.nodes.get_mut(id.0 as usize)?;
        node.connections.get(&connection)?;
        tracing::debug!(target: "socket", node = %node.name, peer = ?stream.tcp().peer_addr().ok(), %local, "connected");
        self.start(id, connection, stream);
        self.feed(id, Input::Connected { connection, local })
    }

    fn start(&mut self, id: NodeId, connection: ConnectionId, stream: Stream) {
        let (scratch, inbox) = (self.scratch.clone(), self.sender.clone());
        let Some(own) = self.nodes[id.0 as usize].connections.get_mut(&connection) else { return };
        let line = Line { node: id, connection, queue: Arc::clone(&own.queue), scratch, inbox };
        let share = self.work.begin();
        own.up = true;
        own.heard();
        own.task = Some(tokio::spawn(line.run(stream, share)).abort_handle());
    }

    pub(super) fn connect(&mut self, id: NodeId, connection: ConnectionId, transport: Transport, peer: SocketAddr) {
        let node = &mut self.nodes[id.0 as usize];
        let source = listen::source_for(peer, node.addresses.iter().map(SocketAddr::ip));
        let mut own = Connection::new(peer, &self.limits, &self.work);
        let tls = if transport == Transport::Tls { self.tls.clone() } else { None };
        let possible = transport != Transport::Tls || tls.is_some();
        let full = node.connections.len() >= self.limits.connections;
        let (inbox, patience) = (self.sender.clone(), self.limits.connect);
        let task = async move {
            let outcome = if possible && !full {
                listen::connect(source, peer, tls.as_deref(), patience).await
            } else {
                Err(std::io::ErrorKind::QuotaExceeded.into())
            };
            let wire = match outcome {
                Ok((stream, local)) => Wire::Connected { connection, stream, local },
                Err(fault) => {
                    tracing::info!(target: "socket", %peer, %fault, "no connection came about");
                    Wire::Input(Input::Closed { connection, how: Closure::Refused })
                }
            };
            // A driver that is gone wants to hear nothing.
            let _ = inbox.send(Arrival { node: id, wire }).await;
        };
        own.task = Some(tokio::spawn(task).abort_handle());
        node.connections.insert(connection, own);
    }

    /// Puts bytes in line for a peer. One that takes nothing is given up before they are too many.
    pub(super) fn send(&mut self, id: NodeId, connection: ConnectionId, data: Bytes) {
        let node = &mut self.nodes[id.0 as usize];
        let Some(own) = node.connections.get_mut(&connection) else { return };
        if own.queue.push(data) > self.limits.drop_at {
            tracing::warn!(target: "socket", node = %node.name, peer = %own.peer, "reset: too much waits for its peer");
            own.queue.end(Closure::Reset);
        }
    }

    /// The engine ends a connection: it hears nothing more of it.
    pub(super) fn close(&mut self, id: NodeId, connection: ConnectionId, how: Closure) {
        let Some(own) = self.nodes[id.0 as usize].connections.remove(&connection) else { return };
        if own.up {
            own.queue.end(how);
        } else {
            own.abandon();
        }
    }

    /// Closes the first connection that gives reason to, once it is time to look.
    pub(super) fn sweep(&mut self) -> Option<NodeId> {
        let now = RealInstant::now();
        if now < self.swept + self.limits.sweep() {
            return None;
        }
        for (id, node) in (0..).map(NodeId).zip(&mut self.nodes) {
            let engine = node.hub.engine();
            let mut wanted = node.connections.iter_mut().filter(|(_, own)| own.is_wanted());
            let complaint = wanted.find_map(|(connection, own)| {
                let complaint = own.complaint(engine.standing(*connection), now, &self.limits)?;
                Some((*connection, own.peer, complaint))
            });
            if let Some((connection, peer, complaint)) = complaint {
                tracing::info!(target: "socket", node = %node.name, %peer, "closed: {}", complaint.text());
                return self.give_up(id, connection, complaint);
            }
        }
        self.swept = now;
        None
    }

    fn give_up(&mut self, id: NodeId, connection: ConnectionId, complaint: Complaint) -> Option<NodeId> {
        let how = if complaint == Complaint::Stalled { Closure::Reset } else { Closure::Finished };
        self.cut(id, connection, how)
    }

    /// Ends a connection from this side, and tells the engine.
    fn cut(&mut self, id: NodeId, connection: ConnectionId, how: Closure) -> Option<NodeId> {
        self.carry_out(id, self.clock.now(), Output::Close { connection, how });
        // That is no news from outside: no link holds it up.
        self.tell(id, Input::Closed { connection, how })
    }

    /// Resets every connection of a node.
    pub fn disconnect(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(id.0 as usize) else { return };
        let wanted = node.connections.iter().filter(|(_, own)| own.is_wanted());
        for connection in wanted.map(|(connection, _)| *connection).collect::<Vec<_>>() {
            self.cut(id, connection, Closure::Reset);
        }
    }
}
