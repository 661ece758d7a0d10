//! The simulator: one thread, one queue, a clock that jumps.
//!
//! Time moves to the earlier of the next arrival and the next deadline. Of two arrivals at one
//! instant the one sent first comes first; deadlines follow arrivals, in order of declaration. One
//! seed gives one run, byte for byte.
//!
//! ```text
//! datagram   sender --delay, loss, reorder, duplicate, MTU--> receiver
//! stream     Connect --delay--> Accepted --delay--> Connected; refused when nobody listens
//!            Send --delay, in order, cut as the seed says--> Received
//!            Close --delay, after what was sent--> Closed
//! commit     Commit --delay of the plan--> the node's store --> Committed
//! partition  datagrams are lost, streams stand still until it heals
//! death      connections are reset, commits under way are lost, the store stays
//! ```

mod connections;
mod faults;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::edge::Held;
use super::link::Links;
use super::stream::{Direction, Signal, Streams};
use super::{CommitPlan, Edge, Filter, Hub, NodeId, Quality};
use crate::engine::{BatchId, CommitOutcome, ConnectionId, Engine, Input, MemoryStore, Output, Store, Write};
use crate::time::Instant;
use crate::trace::event::{Event, Kind};
use crate::trace::tap::Tap;

/// What a network is like where nothing else is said.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// What decides everything random.
    pub seed: u64,
    /// Time on the way between two nodes.
    pub delay: Duration,
    /// The largest datagram that gets through.
    pub mtu: usize,
    /// Whether the seed cuts and joins what is sent on streams.
    pub segmentation: bool,
    /// How long a connection attempt goes on without an answer.
    pub connect_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { seed: 1, delay: Duration::from_millis(1), mtu: 65_507, segmentation: true, connect_timeout: Duration::from_secs(60) }
    }
}

/// How many things may happen at one instant before the run is taken for a livelock of ours.
const LIVELOCK: u32 = 1_000_000;

struct Node<E> {
    /// `None` while its process is dead.
    hub: Option<Hub<E>>,
    name: Arc<str>,
    addresses: Vec<SocketAddr>,
    /// Counts its processes: what was under way for an earlier one is lost.
    process: u32,
    deadline: Option<Instant>,
    connections: BTreeMap<ConnectionId, Direction>,
    accepted: u64,
    ephemeral: u16,
    store: Box<dyn Store>,
    plan: CommitPlan,
    commits: u64,
}

/// What happens at an instant.
enum Occurrence {
    Datagram {
        to: NodeId,
        /// Apart, since it is large and nearly every occurrence is another one.
        input: Box<Input>,
    },
    /// The first signal under way in this direction has arrived.
    Stream(Direction),
    ConnectTimeout(Direction),
    Commit {
        node: NodeId,
        process: u32,
        batch: BatchId,
        writes: Vec<Write>,
    },
    Held(Box<Held>),
    Wake(NodeId),
}

/// An occurrence with its place in the order of things.
struct Scheduled {
    at: Instant,
    /// Deadlines come after arrivals.
    deadline: bool,
    sequence: u64,
    what: Occurrence,
}

impl Scheduled {
    const fn key(&self) -> (Instant, bool, u64) {
        (self.at, self.deadline, self.sequence)
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// A network of engines in virtual time, and the record of what crosses the edge of one of them.
pub struct Simulator<E> {
    now: Instant,
    queue: BinaryHeap<Reverse<Scheduled>>,
    sequence: u64,
    at_this_instant: u32,
    nodes: Vec<Node<E>>,
    listeners: BTreeMap<SocketAddr, NodeId>,
    streams: Streams,
    links: Links,
    edge: Edge,
    iut: Option<NodeId>,
    connect_timeout: Duration,
    effects: Vec<Output>,
}

impl<E: Engine> Simulator<E> {
    /// An empty network whose record is made by `tap`.
    pub fn new(settings: &Settings, tap: Tap) -> Self {
        Self {
            now: Instant::ZERO,
            queue: BinaryHeap::with_capacity(64),
            sequence: 0,
            at_this_instant: 0,
            nodes: Vec::new(),
            listeners: BTreeMap::new(),
            streams: Streams::new(settings.seed, settings.segmentation),
            links: Links::new(settings.seed, settings.delay, settings.mtu),
            edge: Edge::new(tap),
            iut: None,
            connect_timeout: settings.connect_timeout,
            effects: Vec::new(),
        }
    }

    /// Adds a node that listens at `addresses`, for datagrams and connections alike. The first of
    /// them lends its IP address to the connections that the node opens.
    pub fn add(&mut self, name: Arc<str>, addresses: &[SocketAddr], engine: E) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        for address in addresses {
            self.listeners.insert(*address, id);
        }
        let hub = Hub::new(Arc::clone(&name), engine, false);
        self.nodes.push(Node {
            hub: Some(hub),
            name,
            addresses: addresses.to_vec(),
            process: 0,
            deadline: None,
            connections: BTreeMap::new(),
            accepted: 0,
            ephemeral: 49_152,
            store: Box::new(MemoryStore::default()),
            plan: CommitPlan::default(),
            commits: 0,
        });
        self.settle(id);
        id
    }

    /// Names the node whose edge is recorded; one node of a run, before anything happens.
    pub fn observe(&mut self, node: NodeId) {
        self.iut = Some(node);
        if let Some(hub) = &mut self.node_mut(node).hub {
            hub.observed = true;
        }
    }

    /// Puts a filter at the edge of the observed node.
    pub fn set_filter(&mut self, filter: Option<Box<dyn Filter>>) {
        self.edge.set_filter(filter);
    }

    /// Gives a node a store of its own; otherwise it has an empty one in memory.
    pub fn set_store(&mut self, node: NodeId, store: Box<dyn Store>) {
        self.node_mut(node).store = store;
    }

    /// Says how the commits of a node go.
    pub fn set_commit_plan(&mut self, node: NodeId, plan: CommitPlan) {
        self.node_mut(node).plan = plan;
    }

    /// The store of a node: it outlives the node's process.
    pub fn store(&self, node: NodeId) -> &dyn Store {
        self.node(node).store.as_ref()
    }

    /// The present.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The engine of a node; `None` while its process is dead.
    pub fn engine(&self, node: NodeId) -> Option<&E> {
        self.node(node).hub.as_ref().map(Hub::engine)
    }

    /// The engine of a node, to be asked for what it has to tell; it is not to act.
    pub fn engine_mut(&mut self, node: NodeId) -> Option<&mut E> {
        self.node_mut(node).hub.as_mut().map(|hub| &mut hub.engine)
    }

    /// Acts on the engine of a node at the present instant; `None` while its process is dead.
    pub fn act<R>(&mut self, node: NodeId, action: impl FnOnce(&mut E, Instant) -> R) -> Option<R> {
        let (now, edge, effects) = (self.now, &mut self.edge, &mut self.effects);
        let hub = self.nodes[node.0 as usize].hub.as_mut()?;
        let result = hub.act(now, edge, effects, action);
        self.settle(node);
        Some(result)
    }

    /// Everything recorded so far, in order.
    pub fn events(&self) -> &[Event] {
        self.edge.events()
    }

    /// The record, when the run is over.
    pub fn into_events(self) -> Vec<Event> {
        self.edge.into_events()
    }

    /// Closes the record: what happens from now on is not written down.
    pub fn close_record(&mut self) {
        self.edge.close_record();
    }

    /// Records something that is no message: a fault of the script, the end of the flow.
    pub fn record(&mut self, kind: Kind) {
        self.edge.record(self.now, kind);
    }

    /// When the next thing happens, if anything is still to happen.
    pub fn next_at(&mut self) -> Option<Instant> {
        while let Some(Reverse(next)) = self.queue.peek() {
            let stale = matches!(next.what, Occurrence::Wake(node) if self.node(node).deadline != Some(next.at));
            if !stale {
                return Some(next.at);
            }
            self.queue.pop();
        }
        None
    }

    /// Lets the next thing happen if it is due by `limit`, and returns the node that it touched;
    /// otherwise moves the clock to `limit` and returns `None`.
    ///
    /// # Panics
    ///
    /// When engines keep each other busy without time passing.
    pub fn step(&mut self, limit: Instant) -> Option<NodeId> {
        loop {
            let Some(at) = self.next_at().filter(|at| *at <= limit) else {
                self.now = self.now.max(limit);
                self.at_this_instant = 0;
                return None;
            };
            let Reverse(next) = self.queue.pop()?;
            self.at_this_instant = if at > self.now { 0 } else { self.at_this_instant + 1 };
            assert!(self.at_this_instant < LIVELOCK, "the engines make no progress at {at}");
            self.now = self.now.max(at);
            if let Some(node) = self.happen(next.what) {
                return Some(node);
            }
        }
    }

    /// Lets everything happen that is due by `limit`.
    pub fn run_until(&mut self, limit: Instant) {
        while self.step(limit).is_some() {}
    }

    fn happen(&mut self, what: Occurrence) -> Option<NodeId> {
        match what {
            Occurrence::Datagram { to, input } => self.feed(to, *input),
            Occurrence::Stream(direction) => self.arrive(direction),
            Occurrence::ConnectTimeout(direction) => self.give_up(direction),
            Occurrence::Commit { node, process, batch, writes } => self.commit(node, process, batch, &writes),
            Occurrence::Held(held) => self.release(*held),
            Occurrence::Wake(node) => {
                self.node_mut(node).deadline = None;
                self.feed(node, Input::Timeout)
            }
        }
    }

    fn feed(&mut self, id: NodeId, input: Input) -> Option<NodeId> {
        let (now, edge, effects) = (self.now, &mut self.edge, &mut self.effects);
        self.nodes[id.0 as usize].hub.as_mut()?.feed(now, input, edge, effects);
        self.settle(id);
        Some(id)
    }

    fn release(&mut self, held: Held) -> Option<NodeId> {
        let id = self.iut?;
        let (now, edge, effects) = (self.now, &mut self.edge, &mut self.effects);
        self.nodes[id.0 as usize].hub.as_mut()?.release(now, held, edge, effects);
        self.settle(id);
        Some(id)
    }

    /// Does what the engine asked for, and takes note of its next deadline.
    fn settle(&mut self, id: NodeId) {
        let mut effects = std::mem::take(&mut self.effects);
        for output in effects.drain(..) {
            self.carry_out(id, output);
        }
        self.effects = effects;
        for held in std::mem::take(&mut self.edge.held) {
            self.schedule(held.at, Occurrence::Held(Box::new(held)));
        }
        let now = self.now;
        let node = &mut self.nodes[id.0 as usize];
        let deadline = node.hub.as_ref().and_then(|hub| hub.engine.poll_timeout()).map(|(at, _)| at.max(now));
        if deadline != node.deadline {
            node.deadline = deadline;
            if let Some(at) = deadline {
                let wake = Scheduled { at, deadline: true, sequence: u64::from(id.0), what: Occurrence::Wake(id) };
                self.queue.push(Reverse(wake));
            }
        }
    }

    fn schedule(&mut self, at: Instant, what: Occurrence) {
        self.sequence += 1;
        self.queue.push(Reverse(Scheduled { at, deadline: false, sequence: self.sequence, what }));
    }

    fn carry_out(&mut self, from: NodeId, output: Output) {
        match output {
            Output::Datagram { local, peer, data } => {
                let Some(to) = self.listeners.get(&peer).copied() else { return };
                let fate = self.links.datagram(from, to, data.len());
                for span in [fate.first, fate.second].into_iter().flatten() {
                    let input = Box::new(Input::Datagram { local: peer, peer: local, data: data.clone() });
                    self.schedule(self.now + span, Occurrence::Datagram { to, input });
                }
            }
            Output::Connect { connection, peer, .. } => self.connect(from, connection, peer),
            Output::Send { connection, data } => self.send(from, connection, Signal::Data(data)),
            Output::Close { connection, how } => {
                self.send(from, connection, Signal::Closed(how));
                if let Some(direction) = self.node_mut(from).connections.remove(&connection) {
                    self.streams.leave(direction.back());
                }
            }
            Output::Commit { batch, writes } => {
                let node = self.node(from);
                let (at, process) = (self.now + node.plan.delay, node.process);
                self.schedule(at, Occurrence::Commit { node: from, process, batch, writes });
            }
            Output::Note(_) => {}
        }
    }

    fn commit(&mut self, id: NodeId, process: u32, batch: BatchId, writes: &[Write]) -> Option<NodeId> {
        let node = self.node_mut(id);
        if node.process != process {
            return None;
        }
        node.commits += 1;
        let durable = !node.plan.fails(node.commits) && node.store.commit(writes).is_ok();
        let outcome = if durable { CommitOutcome::Durable } else { CommitOutcome::Failed };
        self.feed(id, Input::Committed { batch, outcome })
    }

    fn node(&self, id: NodeId) -> &Node<E> {
        &self.nodes[id.0 as usize]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node<E> {
        &mut self.nodes[id.0 as usize]
    }
}
