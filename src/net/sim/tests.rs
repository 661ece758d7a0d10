use std::collections::VecDeque;

use bytes::Bytes;

use super::super::{Injection, Verdict};
use super::*;
use crate::engine::{Closure, Note, Store, Transport};
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
    let keys: Vec<_> = net.sim.store(net.iut).records().expect("memory").into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [vec![1]]);
}

#[test]
fn a_store_that_fails_is_told_to_the_engine() {
    struct Broken;
    impl Store for Broken {
        fn commit(&mut self, _writes: &[Write]) -> std::io::Result<()> {
            Err(std::io::ErrorKind::StorageFull.into())
        }

        fn records(&self) -> std::io::Result<Vec<(Vec<u8>, Bytes)>> {
            Ok(Vec::new())
        }
    }
    let mut net = net(&Settings::default());
    net.sim.set_store(net.iut, Box::new(Broken));
    net.put(net.iut, [Output::Commit { batch: BatchId(1), writes: Vec::new() }]);
    net.sim.run_until(ms(10));
    assert_eq!(net.inputs(net.iut), [Input::Committed { batch: BatchId(1), outcome: CommitOutcome::Failed }]);
}

#[test]
fn a_planned_failure_stores_nothing() {
    let mut net = net(&Settings::default());
    net.sim.set_commit_plan(net.iut, CommitPlan { failure: super::super::CommitFailure::Among(vec![1]), ..CommitPlan::default() });
    let writes = vec![Write::Put { key: vec![1], value: Bytes::new() }];
    net.put(net.iut, [Output::Commit { batch: BatchId(1), writes }]);
    net.sim.run_until(ms(10));
    assert_eq!(net.inputs(net.iut), [Input::Committed { batch: BatchId(1), outcome: CommitOutcome::Failed }]);
    assert_eq!(net.sim.store(net.iut).records().expect("memory"), []);
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
