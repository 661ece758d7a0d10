//! Two nodes wired in memory, their streams cut at random.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;

use super::bench::{Bench, LINK, config, ms, outgoing};
use super::{Action, Config, Event, Incoming, Node, Outcome, Outgoing, SessionId};
use crate::engine::ConnectionId;
use crate::ids::Ids;

/// Two nodes with one stream in each direction, cut at random.
struct Pair {
    nodes: [Node; 2],
    sessions: Vec<[SessionId; 2]>,
    streams: BTreeMap<usize, VecDeque<(ConnectionId, Bytes)>>,
    received: [Vec<(SessionId, Incoming)>; 2],
    outcomes: [Vec<(String, Outcome)>; 2],
    reports: [Vec<String>; 2],
    ids: Ids,
}

impl Pair {
    /// Nodes with so many sessions between them; the first is active.
    fn new(count: usize, configs: [Config; 2], seed: u64) -> Self {
        let [left, right] = configs;
        let mut nodes = [Node::new(left, Ids::new(seed, "left")), Node::new(right, Ids::new(seed, "right"))];
        let mut sessions = Vec::new();
        for _ in 0..count {
            let ends = [nodes[0].open(), nodes[1].open()];
            nodes[0].start(ms(0), ends[0].0, &ends[1].1, true);
            nodes[1].start(ms(0), ends[1].0, &ends[0].1, false);
            sessions.push([ends[0].0, ends[1].0]);
        }
        let streams = BTreeMap::from([(0, VecDeque::new()), (1, VecDeque::new())]);
        Self {
            nodes,
            sessions,
            streams,
            received: Default::default(),
            outcomes: Default::default(),
            reports: Default::default(),
            ids: Ids::new(seed, "link"),
        }
    }

    /// Moves bytes in random pieces until nothing moves any more.
    fn run(&mut self) {
        loop {
            let moved = self.collect(0) | self.collect(1);
            let side = usize::try_from(self.ids.below(2)).unwrap();
            let delivered = self.deliver(side) || self.deliver(1 - side);
            if !moved && !delivered {
                return;
            }
        }
    }

    fn collect(&mut self, side: usize) -> bool {
        let mut moved = false;
        while let Some(action) = self.nodes[side].poll_action() {
            moved = true;
            match action {
                Action::Connect { connection, .. } => {
                    self.nodes[1 - side].handle_accepted(ms(1), across(connection));
                    self.nodes[side].handle_connected(ms(1), connection);
                }
                Action::Send { connection, data } => self.streams.get_mut(&side).unwrap().push_back((across(connection), data)),
                Action::Close { connection, how } => self.nodes[1 - side].handle_closed(ms(1), across(connection), how),
                Action::Note(_) => {}
            }
        }
        while let Some((session, event)) = self.nodes[side].poll_event() {
            moved = true;
            match event {
                Event::Received(incoming) => {
                    self.nodes[side].answer(ms(1), session, incoming.token, 200);
                    self.received[side].push((session, incoming));
                }
                Event::Sent { message_id, outcome } => self.outcomes[side].push((message_id, outcome)),
                Event::Report { message_id, code: 200 } => self.reports[side].push(message_id),
                Event::Bound => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        moved
    }

    /// Delivers a piece of what is first in the stream from `side`.
    fn deliver(&mut self, side: usize) -> bool {
        let Some((connection, mut data)) = self.streams.get_mut(&side).unwrap().pop_front() else { return false };
        let size = usize::try_from(self.ids.below(data.len() as u64)).unwrap() + 1;
        let piece = data.split_to(size.min(data.len()));
        if !data.is_empty() {
            self.streams.get_mut(&side).unwrap().push_front((connection, data));
        }
        self.nodes[1 - side].handle_received(ms(1), connection, &piece);
        true
    }
}

/// The number of a connection at its other end.
fn across(connection: ConnectionId) -> ConnectionId {
    ConnectionId(connection.0 ^ 1)
}

fn body(seed: u64, size: usize) -> Bytes {
    let mut ids = Ids::new(seed, "body");
    (0..size).map(|_| b"\r\n-$+#ab"[usize::try_from(ids.below(8)).unwrap()]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_message_arrives_whole_in_any_segmentation(
        seed in any::<u64>(),
        sizes in prop::collection::vec((0_usize..50_000, 1_usize..12_000, 0_usize..2, any::<bool>(), 0_usize..2), 1..8),
        interleave in any::<bool>(),
        shared in any::<bool>(),
        window in 1_usize..80_000,
    ) {
        let config = Config { interleave, window, share_connections: shared, ..config() };
        let mut pair = Pair::new(2, [config.clone(), config], seed);
        pair.run();
        let mut expected: [Vec<(String, Bytes)>; 2] = Default::default();
        for (at, (size, chunk_size, side, success_report, session)) in sizes.into_iter().enumerate() {
            let message = Outgoing { chunk_size: chunk_size.max(50), success_report, ..outgoing(&format!("m-{at:04}"), body(seed ^ at as u64, size)) };
            expected[1 - side].push((message.message_id.clone().unwrap(), message.body.clone()));
            let session = pair.sessions[session][side];
            pair.nodes[side].send(ms(1), session, message);
        }
        pair.run();
        for (side, expected) in expected.iter().enumerate() {
            let mut received: Vec<(String, Bytes)> = pair.received[side].iter().map(|(_, own)| (own.message_id.clone(), own.body.clone())).collect();
            received.sort();
            prop_assert_eq!(&received, expected);
            let mut outcomes = pair.outcomes[1 - side].clone();
            outcomes.sort_by(|left, right| left.0.cmp(&right.0));
            let accepted: Vec<_> = expected.iter().map(|(id, _)| (id.clone(), Outcome::Accepted)).collect();
            prop_assert_eq!(outcomes, accepted);
            let wanted = pair.received[side].iter().filter(|(_, own)| own.success_report).count();
            prop_assert_eq!(pair.reports[1 - side].len(), wanted);
            prop_assert_eq!(pair.nodes[side].poll_timeout(), None);
        }
    }

    #[test]
    fn no_bytes_make_a_node_panic(bytes in "(MSRP abcd SEND\r\n|MSRP abcd 200 OK\r\n|MSRP abcd REPORT\r\n|To-Path: PATH\r\n|From-Path: msrp://a/b;tcp\r\n|Message-ID: abcd\r\n|Byte-Range: [0-9*]{1,2}-[0-9*]{1,2}/[0-9*]{1,2}\r\n|Content-Type: a/b\r\n\r\n|x|\r\n|-------abcd[$+#]\r\n){0,30}") {
        let mut bench = Bench::bound(config());
        let text = bytes.replace("PATH", &bench.path);
        bench.node.handle_received(ms(1), LINK, &Bytes::copy_from_slice(text.as_bytes()));
        bench.node.handle_timeout(ms(60_000));
    }
}

#[test]
fn messages_of_one_session_arrive_in_their_order() {
    let mut pair = Pair::new(1, [config(), config()], 7);
    pair.run();
    for at in 0..20 {
        let session = pair.sessions[0][0];
        pair.nodes[0].send(ms(1), session, outgoing(&format!("m-{at:04}"), body(at, 3000)));
    }
    pair.run();
    let order: Vec<String> = pair.received[1].iter().map(|(_, own)| own.message_id.clone()).collect();
    assert_eq!(order, (0..20).map(|at| format!("m-{at:04}")).collect::<Vec<_>>());
    assert!(pair.received[1].iter().all(|(session, _)| *session == pair.sessions[0][1]));
}
