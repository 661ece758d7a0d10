//! Engines on real sockets, in real time: SIP over UDP, TCP and TLS, MSRP over TCP and TLS.
//!
//! ```text
//! socket task  --Arrival-->  Sockets::step  --Input-->  engine  --Output-->  queue, socket, store
//! ```
//!
//! Every socket has a task that does nothing but move bytes; engines are called by [`Sockets::step`]
//! alone, one at a time, so that they need no locks. What waits in either direction is bounded: a
//! peer that is not read from is held up by TCP, one that does not read is given up.

mod clock;
mod connection;
mod drain;
mod fault;
mod limits;
mod listen;
mod mirror;
mod ports;
mod probe;
mod queue;
mod stream;
mod tls;
mod watch;
mod weather;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::task::AbortHandle;

pub use clock::Clock;
pub use fault::Fault;
pub use limits::{Limits, raise_descriptor_limit};
pub use ports::{Bound, Listener, Use};
pub use probe::{ask, reach};
pub use tls::{Names, Tls, TlsFiles, names_of};
pub use weather::IUT;

use super::disk::{self, Committer};
use super::{CommitPlan, Hub, NodeId};
use crate::engine::{BatchId, Closure, CommitOutcome, ConnectionId, Engine, Input, Output, Store, Write};
use crate::time::Instant;
use crate::trace::event::{Event, Kind};
use connection::Connection;
use drain::{Share, Work};
use stream::{Scratch, Stream};
use watch::Watch;
use weather::Weather;

/// Arrivals that wait for the engines; while they are so many, sockets are not read.
const INBOX: usize = 1_024;
/// Datagrams that wait for a socket; more are lost, as they would be on the way.
const OUTBOX: usize = 4_096;

/// What a task has to tell the driver.
#[derive(Debug)]
struct Arrival {
    node: NodeId,
    wire: Wire,
}

#[derive(Debug)]
enum Wire {
    Input(Input),
    Accepted {
        stream: Stream,
        local: SocketAddr,
        peer: SocketAddr,
    },
    Connected {
        connection: ConnectionId,
        stream: Stream,
        local: SocketAddr,
    },
    /// The peer will say nothing more; the engine has everything that it said before.
    Ended {
        connection: ConnectionId,
    },
}

/// A UDP socket. What goes out passes a task of its own, as what goes out on streams does, so that
/// bytes leave in the order in which an engine put them out, over whichever socket.
struct Datagrams {
    local: SocketAddr,
    out: Sender<(SocketAddr, Bytes, Share)>,
}

/// One engine and its sockets.
struct Node<E> {
    hub: Hub<E>,
    name: Arc<str>,
    datagrams: Vec<Datagrams>,
    addresses: Vec<SocketAddr>,
    tasks: Vec<AbortHandle>,
    listening: Vec<AbortHandle>,
    connections: BTreeMap<ConnectionId, Connection>,
    accepted: u64,
    commits: Option<Committer<BoxedStore>>,
    committing: usize,
    /// How its commits go, where that is not left to the store, and how many there were.
    plan: Option<(CommitPlan, u64)>,
}

/// What a node's records go to.
pub type BoxedStore = Box<dyn Store + Send>;

/// A batch that is done with. These are as many as the committers take, and do not wait for room:
/// a store that waits for an engine which waits for the store would be no use.
type Outcome = (NodeId, BatchId, CommitOutcome);

/// Engines on the sockets of this process.
///
/// It is to be used inside a runtime of one thread.
pub struct Sockets<E> {
    clock: Clock,
    limits: Limits,
    tls: Option<Arc<Tls>>,
    scratch: Scratch,
    sender: Sender<Arrival>,
    inbox: Receiver<Arrival>,
    work: Work,
    committed: (UnboundedSender<Outcome>, UnboundedReceiver<Outcome>),
    nodes: Vec<Node<E>>,
    watch: Watch,
    /// What holds things up, once something does.
    weather: Option<Weather>,
    /// The address of the IUT, when that is another process.
    iut: Option<IpAddr>,
    effects: Vec<Output>,
    swept: tokio::time::Instant,
    /// Whether a deadline was served last: then what has arrived comes first.
    woke: bool,
}

impl<E: Engine> Sockets<E> {
    /// A driver without engines that logs what they remark. Without `tls` nothing is secured.
    pub fn new(clock: Clock, limits: Limits, tls: Option<Tls>) -> Self {
        let (sender, inbox) = mpsc::channel(INBOX);
        Self {
            clock,
            limits,
            tls: tls.map(Arc::new),
            scratch: Scratch::default(),
            sender,
            inbox,
            work: Work::default(),
            committed: mpsc::unbounded_channel(),
            nodes: Vec::new(),
            watch: Watch::log(),
            weather: None,
            iut: None,
            effects: Vec::new(),
            swept: tokio::time::Instant::now(),
            woke: false,
        }
    }

    /// Records what crosses the edge of the IUT at `address`, another process, in place of a log. Where
    /// it takes SIP at a port of its own, that is `port`.
    #[must_use]
    pub fn observing(mut self, address: IpAddr, port: Option<u16>) -> Self {
        self.watch = Watch::record(address, port);
        self.iut = Some(address);
        self
    }

    /// Everything recorded so far.
    pub fn events(&self) -> &[Event] {
        self.watch.events()
    }

    /// Records something that is no message.
    pub fn record(&mut self, kind: Kind) {
        let now = self.now();
        self.watch.edge().record(now, kind);
    }

    /// The IUT was killed and lives again. For our nodes no time has passed since `then`, when it was
    /// killed, and what it had not got across by then is lost with its connections.
    pub fn iut_restarted(&mut self, then: Instant) {
        self.watch.iut_died();
        self.clock.resume_at(then);
        for (id, connection) in self.connections_of_iut() {
            if let Some(own) = self.nodes[id.0 as usize].connections.get(&connection) {
                own.abandon();
            }
            self.feed(id, Input::Closed { connection, how: Closure::Reset });
        }
    }

    fn connections_of_iut(&self) -> Vec<(NodeId, ConnectionId)> {
        let leads_there = |own: &Connection| self.iut == Some(own.peer().ip());
        let of = |(id, node): (u32, &Node<E>)| {
            let there = node.connections.iter().filter(move |(_, own)| leads_there(own));
            there.map(move |(connection, _)| (NodeId(id), *connection)).collect::<Vec<_>>()
        };
        (0..).zip(&self.nodes).flat_map(of).collect()
    }

    /// Adds an engine that speaks on these sockets and commits to this store.
    ///
    /// # Errors
    ///
    /// When no thread can be had for the store.
    pub fn add(&mut self, name: Arc<str>, bound: Bound, store: Option<BoxedStore>, engine: E) -> Result<NodeId, Fault> {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        let addresses = bound.addresses().collect();
        self.watch.secure(bound.listeners().filter(Listener::is_secure).map(|own| own.address));
        let commits = store.map(|store| self.committer(id, store)).transpose()?;
        let (mut tasks, mut listening) = (Vec::new(), Vec::new());
        let mut datagrams = Vec::new();
        for (local, socket) in bound.datagrams {
            let socket = Arc::new(socket);
            let (out, waiting) = mpsc::channel(OUTBOX);
            let reader = listen::read_datagrams(id, local, Arc::clone(&socket), self.sender.clone(), self.work.begin());
            tasks.push(tokio::spawn(reader).abort_handle());
            tasks.push(tokio::spawn(listen::write_datagrams(socket, waiting)).abort_handle());
            datagrams.push(Datagrams { local, out });
        }
        for (listener, own) in bound.listeners {
            let tls = if own.is_secure() { self.tls.clone() } else { None };
            let doorman = listen::Doorman { node: id, tls, patience: self.limits.connect, inbox: self.sender.clone() };
            listening.push(tokio::spawn(doorman.run(listener)).abort_handle());
        }
        let hub = Hub::new(Arc::clone(&name), engine, false);
        let connections = BTreeMap::new();
        let node = Node {
            hub,
            name,
            datagrams,
            addresses,
            tasks,
            listening,
            connections,
            accepted: 0,
            commits,
            committing: 0,
            plan: None,
        };
        self.nodes.push(node);
        Ok(id)
    }

    fn committer(&self, node: NodeId, store: BoxedStore) -> Result<Committer<BoxedStore>, Fault> {
        let committed = self.committed.0.clone();
        let report = move |batch, outcome: Result<(), &std::io::Error>| {
            let outcome = match outcome {
                Ok(()) => CommitOutcome::Durable,
                Err(fault) => {
                    tracing::error!(target: "store", %fault, "a commit failed");
                    CommitOutcome::Failed
                }
            };
            // A driver that is gone wants to hear nothing.
            let _ = committed.send((node, batch, outcome));
        };
        Committer::start(store, disk::Limits::default(), report).map_err(|cause| Fault::Io("no thread for the store", cause))
    }

    /// The present.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The engine of a node.
    pub fn engine(&self, node: NodeId) -> Option<&E> {
        self.nodes.get(node.0 as usize).map(|node| node.hub.engine())
    }

    /// The same, to take out what it has kept for its user.
    pub fn engine_mut(&mut self, node: NodeId) -> Option<&mut E> {
        self.nodes.get_mut(node.0 as usize).map(|node| &mut node.hub.engine)
    }

    /// Acts on the engine of a node now.
    pub fn act<R>(&mut self, node: NodeId, action: impl FnOnce(&mut E, Instant) -> R) -> Option<R> {
        let now = self.clock.now();
        let own = self.nodes.get_mut(node.0 as usize)?;
        let result = own.hub.act(now, self.watch.edge(), &mut self.effects, action);
        self.settle(node, now);
        Some(result)
    }

    /// Waits until something has happened to an engine, and returns its node; `None` when nothing
    /// has by `limit`.
    pub async fn step(&mut self, limit: Option<Instant>) -> Option<NodeId> {
        loop {
            if self.woke
                && let Ok(arrival) = self.inbox.try_recv()
            {
                self.woke = false;
                if let Some(node) = self.arrive(arrival) {
                    return Some(node);
                }
            }
            let now = self.clock.now();
            // What links hold up is ours alone, so it can wait for whoever is late.
            let by = limit.map_or(now, |limit| now.min(limit));
            if let Some(held) = self.weather.as_mut().and_then(|weather| weather.release(by)) {
                return Some(self.go_on(now, held));
            }
            let next = self.deadline();
            if let Some((at, node)) = next.filter(|(at, _)| *at <= now) {
                tracing::trace!(target: "engine", late_us = now.since(at).as_micros(), "deadline");
                self.woke = true;
                return self.deliver(node, Input::Timeout);
            }
            let held = self.weather.as_ref().and_then(Weather::next);
            let until = next.map(|(at, _)| at).into_iter().chain(limit).chain(held).min();
            let sweep = self.swept + self.limits.sweep();
            let wake = until.map_or(sweep, |until| self.clock.at(until).min(sweep));
            tokio::select! {
                biased;
                Some((node, batch, outcome)) = self.committed.1.recv() => {
                    return self.admit(node, Input::Committed { batch, outcome });
                }
                Some(arrival) = self.inbox.recv() => {
                    if let Some(node) = self.arrive(arrival) {
                        return Some(node);
                    }
                }
                () = tokio::time::sleep_until(wake) => {
                    if let Some(node) = self.sweep() {
                        return Some(node);
                    }
                    if limit.is_some_and(|limit| limit <= self.clock.now()) {
                        return None;
                    }
                }
            }
        }
    }

    fn deadline(&self) -> Option<(Instant, NodeId)> {
        let deadlines = (0..).map(NodeId).zip(&self.nodes);
        deadlines.filter_map(|(id, node)| node.hub.engine().poll_timeout().map(|(at, _)| (at, id))).min()
    }

    fn arrive(&mut self, Arrival { node, wire }: Arrival) -> Option<NodeId> {
        match wire {
            Wire::Input(input) => self.admit(node, input),
            Wire::Accepted { stream, local, peer } => self.accept(node, stream, local, peer),
            Wire::Connected { connection, stream, local } => self.connected(node, connection, stream, local),
            Wire::Ended { connection } => {
                self.nodes.get(node.0 as usize)?.connections.get(&connection)?.part();
                None
            }
        }
    }

    /// Something has come from outside: it is recorded, and handed on unless a link holds it up.
    fn admit(&mut self, id: NodeId, input: Input) -> Option<NodeId> {
        let node = self.nodes.get_mut(id.0 as usize)?;
        match &input {
            Input::Received { connection, .. } => node.connections.get_mut(connection)?.heard(),
            Input::Closed { connection, .. } if !node.connections.contains_key(connection) => return None,
            Input::Committed { .. } => node.committing = node.committing.saturating_sub(1),
            _ => {}
        }
        self.feed(id, input)
    }

    /// Records what a node is told and tells it, now or when its link lets it pass.
    fn feed(&mut self, id: NodeId, input: Input) -> Option<NodeId> {
        let now = self.clock.now();
        let node = self.nodes.get(id.0 as usize)?;
        self.watch.input(now, id, &node.name, &input);
        match self.hold_up_input(now, id, input) {
            Some(input) => self.deliver(id, input),
            None => Some(id),
        }
    }

    /// Tells an engine something, unless it concerns a connection that it has given up.
    fn deliver(&mut self, id: NodeId, input: Input) -> Option<NodeId> {
        let node = self.nodes.get_mut(id.0 as usize)?;
        match &input {
            Input::Received { connection, .. } | Input::Accepted { connection, .. } | Input::Connected { connection, .. } => {
                node.connections.get(connection).filter(|own| own.is_wanted())?;
            }
            Input::Closed { connection, how } => {
                let gone = node.connections.remove(connection)?;
                tracing::debug!(target: "socket", node = %node.name, peer = %gone.peer(), ?how, "closed");
                if !gone.is_wanted() {
                    return None;
                }
            }
            Input::Datagram { .. } | Input::Committed { .. } | Input::Timeout => {}
        }
        self.tell(id, input)
    }

    fn tell(&mut self, id: NodeId, input: Input) -> Option<NodeId> {
        let now = self.clock.now();
        let node = self.nodes.get_mut(id.0 as usize)?;
        node.hub.feed(now, input, self.watch.edge(), &mut self.effects);
        self.settle(id, now);
        Some(id)
    }

    /// Does what the engine asked for.
    fn settle(&mut self, id: NodeId, now: Instant) {
        let mut effects = std::mem::take(&mut self.effects);
        for output in effects.drain(..) {
            self.carry_out(id, now, output);
        }
        self.effects = effects;
        self.watch.settled(&self.nodes[id.0 as usize].name);
    }

    /// Does what an engine asks for, now or when its link lets it pass.
    fn carry_out(&mut self, id: NodeId, now: Instant, output: Output) {
        if let Some(output) = self.hold_up_output(now, id, output) {
            self.put_out(id, now, output);
        }
    }

    fn put_out(&mut self, id: NodeId, now: Instant, output: Output) {
        self.watch.output(now, id, &self.nodes[id.0 as usize].name, &output);
        match output {
            Output::Datagram { local, peer, data } => self.send_datagram(id, local, peer, data),
            Output::Connect { connection, transport, peer } => self.connect(id, connection, transport, peer),
            Output::Send { connection, data } => self.send(id, connection, data),
            Output::Close { connection, how } => self.close(id, connection, how),
            Output::Commit { batch, writes } => self.plan_commit(id, now, batch, writes),
            Output::Note(_) => {}
        }
    }

    fn commit(&mut self, id: NodeId, batch: BatchId, writes: Vec<Write>) {
        let node = &mut self.nodes[id.0 as usize];
        let taken = node.commits.as_ref().map(|commits| commits.submit(batch, writes));
        node.committing += usize::from(taken.is_some());
        if taken.is_some_and(|taken| taken.is_err()) {
            tracing::error!(target: "store", "a batch was refused: too many wait");
            // The other end is ours.
            let _ = self.committed.0.send((id, batch, CommitOutcome::Failed));
        }
    }

    fn send_datagram(&self, id: NodeId, local: SocketAddr, peer: SocketAddr, data: Bytes) {
        let sockets = &self.nodes[id.0 as usize].datagrams;
        let fits = |own: &&Datagrams| own.local.is_ipv4() == peer.is_ipv4();
        let exact = sockets.iter().filter(fits).find(|own| own.local == local);
        let Some(socket) = exact.or_else(|| sockets.iter().find(fits)) else {
            tracing::warn!(target: "socket", %peer, "no UDP socket leads there");
            return;
        };
        if socket.out.try_send((peer, data, self.work.begin())).is_err() {
            // As if it had been lost on the way: the transaction repeats it, or gives up.
            tracing::debug!(target: "socket", %peer, "a datagram was dropped: too many wait");
        }
    }
}

impl<E> Drop for Sockets<E> {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.tasks.iter().chain(&node.listening).for_each(AbortHandle::abort);
            node.connections.values().for_each(Connection::abandon);
        }
    }
}
