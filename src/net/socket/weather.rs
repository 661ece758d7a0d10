//! What a script does to the links of a run on sockets: the same as in the simulator.
//!
//! What one of our nodes sends is held up where it leaves, and what comes from the IUT, which is not
//! ours to hold up, where it arrives. The record is made between the weather and the IUT: what it
//! sent has been sent, whatever becomes of it.
//!
//! ```text
//! our node --weather--> record --> IUT      IUT --> record --weather--> our node
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::Sockets;
use crate::engine::{BatchId, Closure, CommitOutcome, ConnectionId, Engine, Input, Output, Write};
use crate::net::link::Links;
use crate::net::{CommitPlan, NodeId, Quality};
use crate::time::Instant;

/// The number that stands for the IUT, which is no node of the driver.
pub const IUT: NodeId = NodeId(u32::MAX);

/// The largest datagram that loopback carries.
const MTU: usize = 65_507;

/// What is held up.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// A node is to be told something.
    In(NodeId, Input),
    /// A node asks for something.
    Out(NodeId, Output),
    /// A connection that a node has asked for must be up by now.
    Patience(NodeId, ConnectionId),
}

/// How long a connection attempt goes on without an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection of a node in one direction: what passes it keeps its order.
type Line = (NodeId, ConnectionId, bool);

/// Something on its way between two nodes.
#[derive(Debug)]
struct Underway {
    from: NodeId,
    to: NodeId,
    /// What has no line is no part of a stream.
    line: Option<Line>,
    held: Held,
}

/// The links of a run, and what they hold up.
#[derive(Debug)]
pub(super) struct Weather {
    links: Links,
    due: BTreeMap<(Instant, u64), Underway>,
    /// What stands still until its link heals, in order.
    parked: Vec<Underway>,
    /// When the latest on each line arrives.
    latest: BTreeMap<Line, Instant>,
    /// Where connections lead that have been asked for.
    connecting: BTreeMap<(NodeId, ConnectionId), IpAddr>,
    sequence: u64,
}

impl Weather {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            links: Links::new(seed, Duration::ZERO, MTU),
            due: BTreeMap::new(),
            parked: Vec::new(),
            latest: BTreeMap::new(),
            connecting: BTreeMap::new(),
            sequence: 0,
        }
    }

    pub(super) fn set_quality(&mut self, one: NodeId, other: NodeId, quality: Quality) {
        self.links.set_quality(one, other, quality);
    }

    pub(super) fn cut(&mut self, one: NodeId, other: NodeId) {
        self.links.set_cut(one, other, true);
    }

    /// All passes again; what streams held back goes on its way.
    pub(super) fn heal(&mut self, now: Instant, one: NodeId, other: NodeId) {
        self.links.set_cut(one, other, false);
        let at = now + self.links.delay(one, other);
        for underway in std::mem::take(&mut self.parked) {
            if self.links.is_cut(underway.from, underway.to) {
                self.parked.push(underway);
            } else {
                self.put(at, underway);
            }
        }
    }

    fn put(&mut self, at: Instant, underway: Underway) {
        let at = match underway.line {
            Some(line) => {
                let latest = self.latest.entry(line).or_default();
                *latest = at.max(*latest);
                *latest
            }
            None => at,
        };
        self.sequence += 1;
        self.due.insert((at, self.sequence), underway);
    }

    /// Holds something back until `at`.
    pub(super) fn postpone(&mut self, at: Instant, node: NodeId, held: Held) {
        self.put(at, Underway { from: node, to: node, line: None, held });
    }

    /// A datagram sets out. Returns it when nothing holds it up.
    pub(super) fn datagram(&mut self, now: Instant, (from, to): (NodeId, NodeId), size: usize, held: Held) -> Option<Held> {
        let fate = self.links.datagram(from, to, size);
        if let Some(span) = fate.second {
            self.put(now + span, Underway { from, to, line: None, held: held.clone() });
        }
        match fate.first? {
            Duration::ZERO => Some(held),
            span => {
                self.put(now + span, Underway { from, to, line: None, held });
                None
            }
        }
    }

    /// Something of a stream sets out. Returns it when nothing holds it up.
    pub(super) fn stream(&mut self, now: Instant, (from, to): (NodeId, NodeId), line: Line, held: Held) -> Option<Held> {
        let underway = Underway { from, to, line: Some(line), held };
        let at = now + self.links.segment(from, to);
        // What went before it on the line, and is not due yet, stands still when it is.
        let waits = self.latest.get(&line).is_some_and(|latest| *latest >= now);
        if self.links.is_cut(from, to) && !waits {
            self.parked.push(underway);
        } else if at > now || waits {
            self.put(at, underway);
        } else {
            return Some(underway.held);
        }
        None
    }

    /// Forgets what stands still on a line; whether there was anything.
    fn abandon(&mut self, line: Line) -> bool {
        let before = self.parked.len();
        self.parked.retain(|underway| underway.line != Some(line));
        self.parked.len() < before
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next that is due by now and does not stand still.
    pub(super) fn release(&mut self, now: Instant) -> Option<Held> {
        loop {
            let next = self.due.first_entry().filter(|next| next.key().0 <= now)?;
            let underway = next.remove();
            if underway.line.is_some() && self.links.is_cut(underway.from, underway.to) {
                self.parked.push(underway);
            } else {
                return Some(underway.held);
            }
        }
    }

    /// Whether anything is on its way; a limit of patience is not.
    pub(super) fn is_carrying(&self) -> bool {
        self.due.values().any(|underway| !matches!(underway.held, Held::Patience(..)))
    }
}

/// What a script does to the network, and to the commits of a node.
impl<E: Engine> Sockets<E> {
    fn weather(&mut self) -> &mut Weather {
        // Chance decides here as it does anywhere on a real network.
        self.weather.get_or_insert_with(|| Weather::new(1))
    }

    /// Sets what the link between two nodes does, both ways; [`IUT`] stands for the IUT.
    pub fn set_link(&mut self, one: NodeId, other: NodeId, quality: Quality) {
        self.weather().set_quality(one, other, quality);
    }

    /// From now on nothing passes between the two.
    pub fn partition(&mut self, one: NodeId, other: NodeId) {
        self.weather().cut(one, other);
    }

    /// All passes again; what streams held back goes on its way.
    pub fn heal(&mut self, one: NodeId, other: NodeId) {
        let now = self.now();
        self.weather().heal(now, one, other);
    }

    /// Says how the commits of a node go; otherwise its store decides.
    pub fn set_commit_plan(&mut self, node: NodeId, plan: CommitPlan) {
        if let Some(node) = self.nodes.get_mut(node.0 as usize) {
            node.plan = Some((plan, 0));
        }
    }

    pub(super) fn plan_commit(&mut self, id: NodeId, now: Instant, batch: BatchId, writes: Vec<Write>) {
        let Some((plan, commits)) = &mut self.nodes[id.0 as usize].plan else { return self.commit(id, batch, writes) };
        *commits += 1;
        let (fails, at) = (plan.fails(*commits), now + plan.delay);
        let held = if fails {
            Held::In(id, Input::Committed { batch, outcome: CommitOutcome::Failed })
        } else {
            Held::Out(id, Output::Commit { batch, writes })
        };
        self.weather().postpone(at, id, held);
    }

    fn node_at(&self, address: IpAddr) -> Option<NodeId> {
        let of_ours = |node: &super::Node<E>| node.addresses.iter().any(|own| own.ip() == address);
        let ours = || Some(NodeId(u32::try_from(self.nodes.iter().position(of_ours)?).ok()?));
        if self.iut == Some(address) { Some(IUT) } else { ours() }
    }

    fn peer_of(&self, node: NodeId, connection: ConnectionId) -> Option<IpAddr> {
        let up = self.nodes.get(node.0 as usize)?.connections.get(&connection).map(|own| own.peer().ip());
        let asked_for = || self.weather.as_ref()?.connecting.get(&(node, connection)).copied();
        up.or_else(asked_for)
    }

    /// What comes from the IUT is held up here; our own nodes hold up what they send.
    pub(super) fn hold_up_input(&mut self, now: Instant, id: NodeId, input: Input) -> Option<Input> {
        let (connection, peer) = match &input {
            _ if self.weather.is_none() => return Some(input),
            Input::Datagram { peer, .. } => (None, Some(peer.ip())),
            Input::Accepted { connection, .. }
            | Input::Connected { connection, .. }
            | Input::Received { connection, .. }
            | Input::Closed { connection, .. } => (Some(*connection), self.peer_of(id, *connection)),
            Input::Committed { .. } | Input::Timeout => return Some(input),
        };
        if peer.is_none_or(|peer| self.iut != Some(peer)) {
            return Some(input);
        }
        let size = if let Input::Datagram { data, .. } = &input { data.len() } else { 0 };
        let held = Held::In(id, input);
        let passed = match connection {
            Some(connection) => self.weather().stream(now, (IUT, id), (id, connection, false), held),
            None => self.weather().datagram(now, (IUT, id), size, held),
        };
        match passed? {
            Held::In(_, input) => Some(input),
            Held::Out(..) | Held::Patience(..) => None,
        }
    }

    pub(super) fn hold_up_output(&mut self, now: Instant, id: NodeId, output: Output) -> Option<Output> {
        let (connection, peer) = match &output {
            _ if self.weather.is_none() => return Some(output),
            Output::Datagram { peer, .. } => (None, Some(peer.ip())),
            Output::Connect { connection, peer, .. } => {
                let (connection, peer) = (*connection, peer.ip());
                self.weather().connecting.insert((id, connection), peer);
                self.weather().postpone(now + PATIENCE, id, Held::Patience(id, connection));
                (Some(connection), Some(peer))
            }
            Output::Send { connection, .. } | Output::Close { connection, .. } => {
                (Some(*connection), self.peer_of(id, *connection))
            }
            Output::Commit { .. } | Output::Note(_) => return Some(output),
        };
        let Some(to) = peer.and_then(|peer| self.node_at(peer)) else { return Some(output) };
        let size = if let Output::Datagram { data, .. } = &output { data.len() } else { 0 };
        let closes = if let Output::Close { connection, .. } = &output { Some(*connection) } else { None };
        let held = Held::Out(id, output);
        let passed = match connection {
            Some(connection) => self.weather().stream(now, (id, to), (id, connection, true), held),
            None => self.weather().datagram(now, (id, to), size, held),
        };
        if let (None, Some(connection)) = (&passed, closes)
            && let Some(own) = self.nodes[id.0 as usize].connections.get_mut(&connection)
        {
            own.leave();
        }
        match passed? {
            Held::Out(_, output) => Some(output),
            Held::In(..) | Held::Patience(..) => None,
        }
    }

    /// What was held up goes on its way.
    pub(super) fn go_on(&mut self, now: Instant, held: Held) -> NodeId {
        match held {
            Held::In(id, input) => {
                // An engine that does not want it any more is not told.
                let _ = self.deliver(id, input);
                id
            }
            Held::Patience(id, connection) => {
                // Only an attempt stands still for so long: what is up by now is not in line.
                let up = self.nodes[id.0 as usize].connections.contains_key(&connection);
                if !up && self.weather().abandon((id, connection, true)) {
                    self.tell(id, Input::Closed { connection, how: Closure::Refused });
                }
                id
            }
            Held::Out(id, Output::Commit { batch, writes }) => {
                self.commit(id, batch, writes);
                id
            }
            Held::Out(id, output) => {
                self.put_out(id, now, output);
                id
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const OURS: NodeId = NodeId(0);
    const LINE: Line = (OURS, ConnectionId(4), true);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn nothing_is_held_up_in_fair_weather() {
        let mut weather = Weather::new(1);
        assert!(weather.stream(at(0), (OURS, IUT), LINE, said("a")).is_some());
        assert!(weather.datagram(at(0), (IUT, OURS), 10, said("a")).is_some());
        assert_eq!(weather.next(), None);
    }

    #[test]
    fn a_slow_link_delays_and_keeps_the_order_of_a_stream() {
        let mut weather = Weather::new(1);
        let slow = |delay| Quality { delay: Some(delay), ..Quality::default() };
        weather.set_quality(OURS, IUT, slow(5 * MS));
        assert!(weather.stream(at(0), (OURS, IUT), LINE, said("a")).is_none());
        weather.set_quality(OURS, IUT, slow(Duration::ZERO));
        assert!(weather.stream(at(1), (OURS, IUT), LINE, said("b")).is_none(), "it would overtake");
        assert_eq!((weather.next(), heard(&mut weather, 4)), (Some(at(5)), String::new()));
        assert_eq!(heard(&mut weather, 5), "ab");
        assert!(weather.stream(at(6), (OURS, IUT), LINE, said("c")).is_some());
    }

    #[test]
    fn a_partition_loses_datagrams_and_stops_streams_until_it_heals() {
        let mut weather = Weather::new(1);
        weather.set_quality(OURS, IUT, Quality { delay: Some(2 * MS), ..Quality::default() });
        assert!(weather.stream(at(0), (OURS, IUT), LINE, said("a")).is_none());
        weather.cut(IUT, OURS);
        assert!(weather.datagram(at(1), (OURS, IUT), 10, said("x")).is_none());
        assert!(weather.stream(at(1), (OURS, IUT), LINE, said("b")).is_none());
        assert_eq!((heard(&mut weather, 9), weather.next()), (String::new(), None));
        weather.heal(at(9), OURS, IUT);
        assert_eq!((heard(&mut weather, 10), heard(&mut weather, 11)), (String::new(), "ab".to_owned()));
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn said(text: &'static str) -> Held {
        Held::Out(OURS, Output::Send { connection: ConnectionId(4), data: Bytes::from_static(text.as_bytes()) })
    }

    /// What is released by then, in order.
    fn heard(weather: &mut Weather, millis: u64) -> String {
        let mut text = String::new();
        while let Some(held) = weather.release(at(millis)) {
            if let Held::Out(_, Output::Send { data, .. }) = held {
                text.push_str(std::str::from_utf8(&data).expect("text"));
            }
        }
        text
    }
}
