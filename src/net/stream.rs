//! The streams of the simulated network: two directions each, in order, cut as the seed says.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};

use super::NodeId;
use crate::engine::{Closure, ConnectionId};
use crate::ids::Ids;
use crate::time::Instant;

/// One direction of one stream: forward is away from the side that opened it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Direction {
    stream: u32,
    forward: bool,
}

impl Direction {
    pub(super) const fn is_forward(self) -> bool {
        self.forward
    }

    pub(super) const fn back(self) -> Self {
        Self { stream: self.stream, forward: !self.forward }
    }
}

/// What travels on a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Signal {
    /// The request to open it, or its acceptance.
    Open,
    Data(Bytes),
    Closed(Closure),
}

#[derive(Debug)]
struct Stream {
    opener: Side,
    acceptor: Side,
    /// Whether the opener knows that it is up.
    up: bool,
    /// What the opener sent before.
    early: Vec<Signal>,
}

/// One end, with what is under way towards it.
#[derive(Debug)]
struct Side {
    node: NodeId,
    address: SocketAddr,
    /// The number under which the node knows it; `None` before and after.
    connection: Option<ConnectionId>,
    inbox: VecDeque<(Instant, Signal)>,
    latest: Instant,
}

impl Side {
    fn new(node: NodeId, address: SocketAddr, connection: Option<ConnectionId>) -> Self {
        Self { node, address, connection, inbox: VecDeque::new(), latest: Instant::ZERO }
    }
}

/// All streams of a network.
#[derive(Debug)]
pub(super) struct Streams {
    streams: Vec<Stream>,
    random: Ids,
    segmentation: bool,
}

impl Streams {
    pub(super) fn new(seed: u64, segmentation: bool) -> Self {
        Self { streams: Vec::new(), random: Ids::new(seed, "segments"), segmentation }
    }

    /// A new stream; the direction leads away from its opener. Where nobody has the address, the
    /// opener stands in for the peer, which then never hears of it.
    pub(super) fn open(&mut self, opener: (NodeId, ConnectionId, SocketAddr), peer: (Option<NodeId>, SocketAddr)) -> Direction {
        let (node, connection, address) = opener;
        let stream = u32::try_from(self.streams.len()).unwrap_or(u32::MAX);
        self.streams.push(Stream {
            opener: Side::new(node, address, Some(connection)),
            acceptor: Side::new(peer.0.unwrap_or(node), peer.1, None),
            up: false,
            early: Vec::new(),
        });
        Direction { stream, forward: true }
    }

    fn stream(&mut self, direction: Direction) -> &mut Stream {
        &mut self.streams[direction.stream as usize]
    }

    /// The end that a direction leads to.
    fn target(&mut self, direction: Direction) -> &mut Side {
        let stream = self.stream(direction);
        if direction.forward { &mut stream.acceptor } else { &mut stream.opener }
    }

    /// From which node to which a direction leads.
    pub(super) fn route(&self, direction: Direction) -> (NodeId, NodeId) {
        let stream = &self.streams[direction.stream as usize];
        if direction.forward { (stream.opener.node, stream.acceptor.node) } else { (stream.acceptor.node, stream.opener.node) }
    }

    /// Under which number the node at the end of a direction knows the stream.
    pub(super) fn receiver(&mut self, direction: Direction) -> Option<ConnectionId> {
        self.target(direction).connection
    }

    pub(super) fn is_up(&mut self, direction: Direction) -> bool {
        self.stream(direction).up
    }

    /// Keeps what the opener sends before it knows that the stream is up; gives back the rest.
    pub(super) fn queue_until_up(&mut self, direction: Direction, signal: Signal) -> Option<Signal> {
        let stream = self.stream(direction);
        let waits = direction.forward && !stream.up && !matches!(signal, Signal::Closed(_));
        if waits {
            stream.early.push(signal);
            return None;
        }
        Some(signal)
    }

    /// Puts a signal on its way and returns when it arrives: never before what went ahead of it.
    pub(super) fn put(&mut self, direction: Direction, at: Instant, signal: Signal) -> Instant {
        let side = self.target(direction);
        side.latest = side.latest.max(at);
        side.inbox.push_back((side.latest, signal));
        side.latest
    }

    /// The next signal that has arrived. Data that arrived together may come as one.
    pub(super) fn take(&mut self, direction: Direction, now: Instant) -> Option<Signal> {
        let joins = self.segmentation && self.random.below(2) == 0;
        let inbox = &mut self.target(direction).inbox;
        let due = |entry: Option<&(Instant, Signal)>| entry.is_some_and(|(at, _)| *at <= now);
        if !due(inbox.front()) {
            return None;
        }
        let (_, signal) = inbox.pop_front()?;
        let Signal::Data(first) = signal else { return Some(signal) };
        if !joins || !matches!(inbox.front(), Some((at, Signal::Data(_))) if *at <= now) {
            return Some(Signal::Data(first));
        }
        let mut joined = BytesMut::from(first);
        while let Some((_, Signal::Data(next))) = inbox.pop_front_if(|(at, signal)| *at <= now && matches!(signal, Signal::Data(_)))
        {
            joined.extend_from_slice(&next);
        }
        Some(Signal::Data(joined.freeze()))
    }

    /// Cuts what is sent at once into the segments that travel.
    pub(super) fn pieces(&mut self, mut data: Bytes) -> impl Iterator<Item = Bytes> + use<> {
        let cuts = self.segmentation && data.len() > 1 && self.random.below(4) == 0;
        let rest = cuts.then(|| data.split_off(1 + usize::try_from(self.random.below(data.len() as u64 - 1)).unwrap_or(0)));
        std::iter::once(data).chain(rest)
    }

    /// The peer accepts: its number is known from now on. Returns both addresses, opener first.
    pub(super) fn accept(&mut self, direction: Direction, connection: ConnectionId) -> (SocketAddr, SocketAddr) {
        let stream = self.stream(direction);
        stream.acceptor.connection = Some(connection);
        (stream.opener.address, stream.acceptor.address)
    }

    /// The opener learns that the stream is up. Returns its address and what it had sent before.
    pub(super) fn connected(&mut self, direction: Direction) -> (SocketAddr, Vec<Signal>) {
        let stream = self.stream(direction);
        stream.up = true;
        (stream.opener.address, std::mem::take(&mut stream.early))
    }

    /// The node at the end of a direction knows the stream no longer; nothing reaches it any more.
    pub(super) fn leave(&mut self, direction: Direction) {
        let side = self.target(direction);
        side.connection = None;
        side.inbox = VecDeque::new();
    }

    /// Every direction between two nodes on which something waits, now to arrive at `at`.
    pub(super) fn resume(&mut self, one: NodeId, other: NodeId, at: Instant) -> Vec<Direction> {
        let mut resumed = Vec::new();
        for (index, stream) in self.streams.iter_mut().enumerate() {
            let ends = [stream.opener.node, stream.acceptor.node];
            if ends != [one, other] && ends != [other, one] {
                continue;
            }
            for (forward, side) in [(true, &mut stream.acceptor), (false, &mut stream.opener)] {
                for entry in &mut side.inbox {
                    entry.0 = entry.0.max(at);
                    side.latest = side.latest.max(at);
                    resumed.push(Direction { stream: u32::try_from(index).unwrap_or(u32::MAX), forward });
                }
            }
        }
        resumed
    }
}
