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
//! commit     Commit --delay of the plan--> the node's disk --> Committed
//! partition  datagrams are lost, streams stand still until it heals
//! death      connections are reset, commits under way are lost, the disk stays
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::edge::Held;
use super::link::Links;
use super::stream::{Direction, Signal, Streams};
use super::{CommitPlan, Disk, Edge, Filter, Hub, MemoryDisk, NodeId, Quality};
use crate::engine::{BatchId, Closure, CommitOutcome, ConnectionId, Engine, Input, Output, Write};
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
    disk: Box<dyn Disk>,
    plan: CommitPlan,
    commits: u64,
}

/// What happens at an instant.
enum Occurrence {
    Datagram {
        to: NodeId,
        input: Input,
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
            disk: Box::new(MemoryDisk::default()),
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

    /// Gives a node a disk of its own; otherwise it has an empty one in memory.
    pub fn set_disk(&mut self, node: NodeId, disk: Box<dyn Disk>) {
        self.node_mut(node).disk = disk;
    }

    /// Says how the commits of a node go.
    pub fn set_commit_plan(&mut self, node: NodeId, plan: CommitPlan) {
        self.node_mut(node).plan = plan;
    }

    /// The disk of a node.
    pub fn disk(&self, node: NodeId) -> &dyn Disk {
        self.node(node).disk.as_ref()
    }

    /// The present.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The engine of a node; `None` while its process is dead.
    pub fn engine(&self, node: NodeId) -> Option<&E> {
        self.node(node).hub.as_ref().map(Hub::engine)
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
            Occurrence::Datagram { to, input } => self.feed(to, input),
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
                    let input = Input::Datagram { local: peer, peer: local, data: data.clone() };
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
        let outcome = if node.plan.fails(node.commits) { CommitOutcome::Failed } else { node.disk.commit(writes) };
        self.feed(id, Input::Committed { batch, outcome })
    }

    fn node(&self, id: NodeId) -> &Node<E> {
        &self.nodes[id.0 as usize]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node<E> {
        &mut self.nodes[id.0 as usize]
    }
}

/// Connections.
impl<E: Engine> Simulator<E> {
    fn connect(&mut self, from: NodeId, connection: ConnectionId, peer: SocketAddr) {
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

    fn send(&mut self, from: NodeId, connection: ConnectionId, signal: Signal) {
        let Some(direction) = self.node(from).connections.get(&connection).copied() else { return };
        match self.streams.queue_until_up(direction, signal) {
            Some(Signal::Data(data)) => {
                for piece in self.streams.pieces(&data) {
                    self.transmit(direction, Signal::Data(piece));
                }
            }
            Some(signal) => self.transmit(direction, signal),
            None => {}
        }
    }

    fn transmit(&mut self, direction: Direction, signal: Signal) {
        let (from, to) = self.streams.route(direction);
        let span = self.links.segment(from, to);
        let at = self.streams.put(direction, self.now + span, signal);
        self.schedule(at, Occurrence::Stream(direction));
    }

    /// The first signal of a direction has arrived, unless the two are partitioned.
    fn arrive(&mut self, direction: Direction) -> Option<NodeId> {
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

    fn give_up(&mut self, direction: Direction) -> Option<NodeId> {
        let (_, to) = self.streams.route(direction);
        let connection = self.streams.receiver(direction).filter(|_| !self.streams.is_up(direction))?;
        self.streams.leave(direction);
        self.node_mut(to).connections.remove(&connection);
        self.feed(to, Input::Closed { connection, how: Closure::Refused })
    }
}

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
    /// committed yet is lost. Its disk stays.
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;

    use super::super::{Injection, Verdict};
    use super::*;
    use crate::engine::{Note, Transport};
    use crate::trace::event::{Content, Link};
    use crate::trace::tap::SIP_PORTS;
    use crate::wire::sip::{Builder, Message};

    /// Answers every SIP request with 200; does else what it is told.
    #[derive(Default)]
    struct Toy {
        inputs: Vec<Input>,
        outputs: VecDeque<Output>,
        deadline: Option<Instant>,
        answers: bool,
    }

    impl Engine for Toy {
        fn handle(&mut self, _now: Instant, input: Input) {
            if let (Input::Datagram { local, peer, data }, true) = (&input, self.answers) {
                let request = Message::decode(data.clone()).expect("a message");
                if request.is_request() {
                    let data = Builder::response_to(&request, 200).encode();
                    self.outputs.push_back(Output::Datagram { local: *local, peer: *peer, data });
                }
            }
            if input == Input::Timeout {
                self.deadline = None;
            }
            self.inputs.push(input);
        }

        fn poll_output(&mut self) -> Option<Output> {
            self.outputs.pop_front()
        }

        fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
            self.deadline.map(|at| (at, "toy"))
        }
    }

    struct Net {
        sim: Simulator<Toy>,
        iut: NodeId,
        peer: NodeId,
    }

    const C: ConnectionId = ConnectionId(2);

    fn net(settings: &Settings) -> Net {
        let mut sim = Simulator::new(settings, Tap::new([10, 0, 0, 1].into(), SIP_PORTS));
        let iut = sim.add("pf".into(), &[at(1, 5060), at(1, 2855)], Toy { answers: true, ..Toy::default() });
        let peer = sim.add("bob".into(), &[at(2, 5060), at(2, 2855)], Toy::default());
        sim.observe(iut);
        Net { sim, iut, peer }
    }

    fn at(host: u8, port: u16) -> SocketAddr {
        ([10, 0, 0, host], port).into()
    }

    fn ms(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn request(cseq: u32) -> Bytes {
        Builder::request("MESSAGE", "sip:pf@10.0.0.1")
            .push("Via", format!("SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK{cseq}"))
            .push("From", "<sip:bob@10.0.0.2>;tag=b")
            .push("To", "<sip:pf@10.0.0.1>")
            .push("Call-ID", "c@10.0.0.2")
            .push("CSeq", format!("{cseq} MESSAGE"))
            .encode()
    }

    fn chunk(id: u32) -> Bytes {
        let text = format!("MSRP t00{id} SEND\r\nTo-Path: msrp://10.0.0.1:2855/a;tcp\r\nFrom-Path: msrp://10.0.0.2:2855/b;tcp\r\n");
        Bytes::from(format!("{text}Message-ID: m00{id}\r\n-------t00{id}$\r\n"))
    }

    impl Net {
        fn put(&mut self, node: NodeId, outputs: impl IntoIterator<Item = Output>) {
            self.sim.act(node, |toy, _| toy.outputs.extend(outputs));
        }

        fn datagram(&mut self, cseq: u32) {
            self.put(self.peer, [Output::Datagram { local: at(2, 5060), peer: at(1, 5060), data: request(cseq) }]);
        }

        fn inputs(&self, node: NodeId) -> Vec<Input> {
            self.sim.engine(node).map(|toy| toy.inputs.clone()).unwrap_or_default()
        }

        /// The messages of the record: time in milliseconds, whether the IUT sent it, what it is.
        fn messages(&self) -> Vec<(u64, bool, String)> {
            self.sim.events().iter().filter_map(message).collect()
        }
    }

    fn message(event: &Event) -> Option<(u64, bool, String)> {
        let Kind::Message { sent, content, .. } = &event.kind else { return None };
        let text = match content {
            Content::Sip(message) => format!("{message:?}"),
            Content::Msrp(chunk) => chunk.transact_id().to_owned(),
            Content::Broken { fault, .. } => fault.code.to_owned(),
        };
        Some((event.at.as_micros() / 1_000, *sent, text))
    }

    #[test]
    fn a_datagram_and_its_answer_cross_the_edge() {
        let mut net = net(&Settings::default());
        net.datagram(1);
        net.sim.run_until(ms(10));
        let request = (1, false, "MESSAGE sip:pf@10.0.0.1".to_owned());
        assert_eq!(net.messages(), [request, (1, true, "200 OK".to_owned())]);
        assert!(matches!(net.inputs(net.peer).as_slice(), [Input::Datagram { .. }]));
        assert_eq!(net.sim.now(), ms(10));
    }

    #[test]
    fn a_connection_opens_carries_and_ends() {
        let mut net = net(&Settings { segmentation: false, ..Settings::default() });
        net.put(
            net.peer,
            [
                Output::Connect { connection: C, transport: Transport::Tcp, peer: at(1, 2855) },
                Output::Send { connection: C, data: chunk(1) },
            ],
        );
        net.sim.run_until(ms(9));
        net.put(net.iut, [Output::Close { connection: ConnectionId(1), how: Closure::Finished }]);
        net.sim.run_until(ms(20));
        let kinds: Vec<_> = net.sim.events().iter().map(|event| (event.at.as_micros() / 1_000, &event.kind)).collect();
        assert!(matches!(kinds[0], (1, Kind::Opened { link: Link { destination, .. } }) if *destination == at(1, 2855)));
        assert!(matches!(kinds[1], (3, Kind::Message { sent: false, content: Content::Msrp(_), .. })));
        assert!(matches!(kinds[2], (9, Kind::Closed { how: Closure::Finished, by_iut: true, .. })));
        let closed = Input::Closed { connection: C, how: Closure::Finished };
        assert_eq!(net.inputs(net.peer).last(), Some(&closed));
    }

    #[test]
    fn a_connection_to_nobody_is_refused() {
        let mut net = net(&Settings::default());
        net.put(net.peer, [Output::Connect { connection: C, transport: Transport::Tcp, peer: at(9, 2855) }]);
        net.put(net.peer, [Output::Connect { connection: ConnectionId(4), transport: Transport::Tcp, peer: at(1, 99) }]);
        net.sim.run_until(ms(10));
        let refused = |connection| Input::Closed { connection, how: Closure::Refused };
        assert_eq!(net.inputs(net.peer), [refused(C), refused(ConnectionId(4))]);
    }

    fn thirty_chunks(seed: u64, segmentation: bool) -> Net {
        let mut net = net(&Settings { seed, segmentation, ..Settings::default() });
        net.put(net.peer, [Output::Connect { connection: C, transport: Transport::Tcp, peer: at(1, 2855) }]);
        net.put(net.peer, (0..30).map(|id| Output::Send { connection: C, data: chunk(id) }));
        net.sim.run_until(ms(10));
        net
    }

    #[test]
    fn messages_do_not_depend_on_segmentation() {
        let whole = thirty_chunks(1, false);
        assert_eq!(whole.messages().len(), 30);
        for seed in 1..20 {
            let cut = thirty_chunks(seed, true);
            assert_eq!(cut.messages(), whole.messages());
            assert_ne!(cut.inputs(cut.iut), whole.inputs(whole.iut), "seed {seed} cuts nothing");
        }
    }

    #[test]
    fn one_seed_gives_one_record() {
        let run = |seed| {
            let mut net = net(&Settings { seed, ..Settings::default() });
            net.sim.set_link(net.iut, net.peer, Quality { loss: 0.3, reorder: 0.3, duplicate: 0.3, delay: None });
            (1..50).for_each(|cseq| net.datagram(cseq));
            net.sim.run_until(ms(100));
            net.sim.into_events()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn streams_stand_still_in_a_partition_and_go_on_when_it_heals() {
        let mut net = net(&Settings::default());
        net.put(net.peer, [Output::Connect { connection: C, transport: Transport::Tcp, peer: at(1, 2855) }]);
        net.sim.run_until(ms(5));
        net.sim.partition(net.peer, net.iut);
        net.datagram(1);
        net.put(net.peer, [Output::Send { connection: C, data: chunk(1) }, Output::Send { connection: C, data: chunk(2) }]);
        net.sim.run_until(ms(50));
        assert_eq!(net.messages(), []);
        net.sim.heal(net.iut, net.peer);
        net.sim.run_until(ms(60));
        assert_eq!(net.messages(), [(51, false, "t001".to_owned()), (51, false, "t002".to_owned())]);
    }

    #[test]
    fn a_connection_attempt_into_a_partition_is_given_up() {
        let mut net = net(&Settings::default());
        net.sim.partition(net.peer, net.iut);
        net.put(net.peer, [Output::Connect { connection: C, transport: Transport::Tcp, peer: at(1, 2855) }]);
        net.sim.run_until(ms(59_999));
        assert_eq!(net.inputs(net.peer), []);
        net.sim.run_until(ms(60_000));
        assert_eq!(net.inputs(net.peer), [Input::Closed { connection: C, how: Closure::Refused }]);
    }

    #[test]
    fn a_commit_is_durable_after_its_delay_and_lost_with_the_process_before_it() {
        let mut net = net(&Settings::default());
        let put = |key: u8| vec![Write::Put { key: vec![key], value: Bytes::new() }];
        net.put(net.iut, [Output::Commit { batch: BatchId(1), writes: put(1) }]);
        net.sim.run_until(ms(1));
        assert_eq!(net.inputs(net.iut), [Input::Committed { batch: BatchId(1), outcome: CommitOutcome::Durable }]);
        net.put(net.iut, [Output::Commit { batch: BatchId(2), writes: put(2) }]);
        net.sim.kill(net.iut);
        net.sim.start(net.iut, Toy::default());
        net.sim.run_until(ms(10));
        assert_eq!(net.inputs(net.iut), []);
        let keys: Vec<_> = net.sim.disk(net.iut).entries().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [vec![1]]);
    }

    #[test]
    fn a_planned_failure_stores_nothing() {
        let mut net = net(&Settings::default());
        net.sim
            .set_commit_plan(net.iut, CommitPlan { failure: super::super::CommitFailure::Among(vec![1]), ..CommitPlan::default() });
        let writes = vec![Write::Put { key: vec![1], value: Bytes::new() }];
        net.put(net.iut, [Output::Commit { batch: BatchId(1), writes }]);
        net.sim.run_until(ms(10));
        assert_eq!(net.inputs(net.iut), [Input::Committed { batch: BatchId(1), outcome: CommitOutcome::Failed }]);
        assert_eq!(net.sim.disk(net.iut).entries(), []);
    }

    #[test]
    fn death_resets_connections_and_refuses_new_ones_until_the_start() {
        let mut net = net(&Settings::default());
        let connect = |id| Output::Connect { connection: ConnectionId(id), transport: Transport::Tcp, peer: at(1, 5060) };
        net.put(net.peer, [connect(2)]);
        net.sim.run_until(ms(5));
        net.sim.kill(net.iut);
        net.put(net.peer, [connect(4)]);
        net.sim.run_until(ms(10));
        let ends: Vec<_> = net.inputs(net.peer).into_iter().skip(1).collect();
        let closed = |id, how| Input::Closed { connection: ConnectionId(id), how };
        assert_eq!(ends, [closed(2, Closure::Reset), closed(4, Closure::Refused)]);
        net.sim.start(net.iut, Toy::default());
        net.put(net.peer, [connect(6)]);
        net.sim.run_until(ms(20));
        assert!(matches!(net.inputs(net.peer).last(), Some(Input::Connected { connection: ConnectionId(6), .. })));
    }

    #[test]
    fn deadlines_follow_arrivals_of_the_same_instant() {
        let mut net = net(&Settings::default());
        net.sim.act(net.iut, |toy, _| toy.deadline = Some(ms(1)));
        net.datagram(1);
        net.sim.run_until(ms(5));
        assert!(matches!(net.inputs(net.iut).as_slice(), [Input::Datagram { .. }, Input::Timeout]));
    }

    #[test]
    fn a_note_of_a_node_stands_before_what_it_sends() {
        let mut net = net(&Settings::default());
        let note = Note { layer: "toy", text: "said".into(), because: None };
        net.put(net.peer, [Output::Note(note)]);
        assert!(matches!(&net.sim.events()[0].kind, Kind::Note { node, .. } if **node == *"bob"));
    }

    /// Does to the messages that the IUT sends what a list says, one entry each.
    struct Plan {
        verdicts: VecDeque<Verdict>,
        injections: VecDeque<Injection>,
    }

    impl Filter for Plan {
        fn on_sent(&mut self, _event: &Event) -> Verdict {
            self.verdicts.pop_front().unwrap_or(Verdict::Pass)
        }

        fn on_received(&mut self, event: &Event) -> Verdict {
            let refused = message(event).is_some_and(|(_, _, text)| text == "t009");
            if refused { Verdict::Withhold } else { Verdict::Pass }
        }

        fn poll_injection(&mut self) -> Option<Injection> {
            self.injections.pop_front()
        }
    }

    #[test]
    fn a_filter_alters_single_messages_of_a_stream() {
        let mut net = net(&Settings::default());
        net.put(net.peer, [Output::Connect { connection: C, transport: Transport::Tcp, peer: at(1, 2855) }]);
        net.sim.run_until(ms(5));
        let later = Verdict::Delay(Duration::from_millis(20));
        let verdicts = [Verdict::Drop, Verdict::Duplicate, Verdict::Replace(chunk(7)), later, Verdict::Withhold].into();
        let destination = at(2, 49_153);
        let link = Link { transport: Transport::Tcp, source: at(1, 2855), destination, connection: Some(ConnectionId(1)) };
        let injections = [Injection { after: Duration::from_millis(1), link, bytes: chunk(8) }].into();
        net.sim.set_filter(Some(Box::new(Plan { verdicts, injections })));
        let six = (0..6).flat_map(|id| chunk(id).to_vec()).collect::<Vec<_>>();
        net.put(net.iut, [Output::Send { connection: ConnectionId(1), data: six.into() }]);
        net.sim.run_until(ms(40));
        let record: Vec<_> = net.messages().into_iter().map(|(at, _, id)| (at, id)).collect();
        let expected = [(5, "t001"), (5, "t001"), (5, "t007"), (5, "t004"), (5, "t005"), (6, "t008"), (25, "t003")];
        assert_eq!(record, expected.map(|(at, id)| (at, id.to_owned())));
        let arrived: usize =
            net.inputs(net.peer).iter().map(|input| if let Input::Received { data, .. } = input { data.len() } else { 0 }).sum();
        assert_eq!(arrived, 6 * chunk(1).len());
    }

    #[test]
    fn a_filter_withholds_an_answer_from_the_iut_but_not_from_the_record() {
        let mut net = net(&Settings::default());
        net.sim.set_filter(Some(Box::new(Plan { verdicts: VecDeque::new(), injections: VecDeque::new() })));
        net.put(net.peer, [Output::Connect { connection: C, transport: Transport::Tcp, peer: at(1, 2855) }]);
        net.put(net.peer, [9, 1].map(|id| Output::Send { connection: C, data: chunk(id) }));
        net.sim.run_until(ms(10));
        assert_eq!(net.messages().len(), 2);
        let received: Vec<_> = net
            .inputs(net.iut)
            .into_iter()
            .filter_map(|input| if let Input::Received { data, .. } = input { Some(data) } else { None })
            .collect();
        assert_eq!(received, [chunk(1)]);
    }
}
