//! A PF between two real endpoints, on wires without delay: the stage for the tests of procedures.

mod dialogs;
mod messages;
mod sessions;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub(in crate::pf) use self::messages::{chat, notification, wrapped_notification};
pub(in crate::pf) use self::sessions::taking_state;
use super::{Pf, PfConfig, Policy, ServedUser};
use crate::clause::Clause;
use crate::endpoint::{Change, Config, DialogId, Endpoint, Event, Hosts, MsrpId};
use crate::engine::{BatchId, Closure, CommitOutcome, ConnectionId, Engine, Input, MemoryStore, Output, Store, Write};
use crate::msrp;
use crate::policy::Values;
use crate::time::Instant;

/// The PF.
const PF: usize = 0;
/// The Controlling Function.
pub(in crate::pf) const FOCUS: usize = 1;
/// The user's device, behind the SIP/IP core: what the core would relay ends here.
pub(in crate::pf) const BOB: usize = 2;

pub(in crate::pf) const USER: &str = "sip:+15145550102@home1.example";
pub(in crate::pf) const GROUP: &str = "sip:gc-1@cf.home1.example";
pub(in crate::pf) const SHOWN: &str = "sip:gc-1@pf.home1.example";
pub(in crate::pf) const ALICE: &str = "sip:+15145550101@home1.example";
pub(in crate::pf) const CAROL: &str = "sip:+15145550103@home1.example";
pub(in crate::pf) const PHONE: &str = "urn:gsma:imei:35824005-694458-0";
pub(in crate::pf) const TABLET: &str = "urn:uuid:2ad8950e-48a5-4a74-8d99-ad76cc7fc74c";

const ROSTER: &str = "<conference-info xmlns=\"urn:ietf:params:xml:ns:conference-info\" entity=\"sip:gc-1@cf.home1.example\" \
    state=\"full\" version=\"1\"><users><user entity=\"sip:+15145550101@home1.example\" state=\"full\">\
    <endpoint entity=\"sip:+15145550101@home1.example\"><status>connected</status></endpoint></user>\
    <user entity=\"sip:+15145550102@home1.example\" state=\"full\"><endpoint entity=\"sip:+15145550102@home1.example\">\
    <status>connected</status></endpoint></user><user entity=\"sip:+15145550103@home1.example\" state=\"full\">\
    <endpoint entity=\"sip:+15145550103@home1.example\"><status>connected</status></endpoint></user></users></conference-info>";

const ADDRESSES: [&str; 3] = ["10.0.0.1", "10.0.1.1", "10.0.2.1"];

/// One peer's side of a session.
#[derive(Clone, Debug)]
pub(in crate::pf) struct Session {
    pub(in crate::pf) node: usize,
    pub(in crate::pf) dialog: DialogId,
    pub(in crate::pf) media: MsrpId,
}

pub(in crate::pf) struct World {
    pub(in crate::pf) now: Instant,
    pub(in crate::pf) store: MemoryStore,
    /// Requirements that the PF has cited, in order.
    pub(in crate::pf) cited: Vec<Clause>,
    /// What the PF has committed, and what becomes of it: one entry for each commit to come.
    pub(in crate::pf) commits: VecDeque<CommitOutcome>,
    /// Whether commits wait for [`World::commit`].
    pub(in crate::pf) slow: bool,
    /// What the PF has sent, as text.
    from_pf: Vec<String>,
    /// What the peers have sent.
    pub(in crate::pf) to_pf: Vec<Bytes>,
    pending: VecDeque<(BatchId, Vec<Write>)>,
    pf: Pf,
    peers: [Endpoint; 2],
    events: [VecDeque<Event>; 2],
    queue: VecDeque<(usize, Input)>,
    wires: BTreeMap<(usize, ConnectionId), (usize, ConnectionId)>,
    accepted: u64,
    unanswered: BTreeMap<usize, (MsrpId, msrp::Token)>,
    policy: Policy,
}

fn config(node: usize, name: &str) -> Config {
    let hosts: Hosts =
        [("pf.home1.example", ADDRESSES[PF]), ("cf.home1.example", ADDRESSES[FOCUS]), ("scscf1.home1.example", ADDRESSES[BOB])]
            .map(|(name, address)| (name, ip(address)))
            .into_iter()
            .collect();
    let host = if node == BOB { ADDRESSES[BOB].to_owned() } else { format!("{name}.home1.example") };
    Config::new(name, 1, ip(ADDRESSES[node]), &host, Arc::new(hosts))
}

fn ip(address: &str) -> IpAddr {
    address.parse().expect("an address")
}

fn pf_config() -> PfConfig {
    PfConfig {
        identity: "sip:rcse-standfw@home1.example".to_owned(),
        users: vec![ServedUser { uri: USER.to_owned(), aliases: vec!["tel:+15145550102".to_owned()], core: None }],
        core: "sip:scscf1.home1.example".to_owned(),
    }
}

impl World {
    pub(in crate::pf) fn new() -> Self {
        Self::with(&[])
    }

    /// A world whose PF has these knobs.
    pub(in crate::pf) fn with(knobs: &[(&str, &str)]) -> Self {
        let policy = Policy::of(&Values::read(knobs.iter().copied()).expect("knobs"));
        Self {
            now: Instant::ZERO,
            store: MemoryStore::default(),
            cited: Vec::new(),
            commits: VecDeque::new(),
            slow: false,
            from_pf: Vec::new(),
            to_pf: Vec::new(),
            pending: VecDeque::new(),
            pf: Pf::new(config(PF, "pf"), pf_config(), policy.clone()),
            peers: [Endpoint::new(config(FOCUS, "cf")), Endpoint::new(config(BOB, "bob"))],
            events: [VecDeque::new(), VecDeque::new()],
            queue: VecDeque::new(),
            wires: BTreeMap::new(),
            accepted: 0,
            unanswered: BTreeMap::new(),
            policy,
        }
    }

    fn peer(&mut self, node: usize) -> &mut Endpoint {
        &mut self.peers[node - 1]
    }

    /// Lets everything that is on its way arrive.
    pub(in crate::pf) fn settle(&mut self) {
        loop {
            for node in 0..3 {
                self.drain(node);
            }
            let Some((node, input)) = self.queue.pop_front() else { return };
            match node {
                PF => self.pf.handle(self.now, input),
                node => {
                    let now = self.now;
                    self.peer(node).handle(now, input);
                }
            }
        }
    }

    fn drain(&mut self, node: usize) {
        if node != PF {
            while let Some(event) = self.peer(node).poll_event() {
                self.events[node - 1].push_back(event);
            }
        }
        while let Some(output) = if node == PF { self.pf.poll_output() } else { self.peer(node).poll_output() } {
            self.carry(node, output);
        }
    }

    fn carry(&mut self, node: usize, output: Output) {
        match output {
            Output::Datagram { .. } => panic!("this world has no datagrams"),
            Output::Connect { connection, peer, .. } => self.connect(node, connection, peer),
            Output::Send { connection, data } => {
                if node == PF {
                    self.from_pf.push(String::from_utf8_lossy(&data).into_owned());
                } else {
                    self.to_pf.push(data.clone());
                }
                if let Some((other, theirs)) = self.wires.get(&(node, connection)).copied() {
                    self.queue.push_back((other, Input::Received { connection: theirs, data }));
                }
            }
            Output::Close { connection, how } => self.close(node, connection, how),
            Output::Commit { batch, writes } => {
                self.pending.push_back((batch, writes));
                if !self.slow {
                    self.commit();
                }
            }
            Output::Note(note) => self.cited.extend(note.because),
        }
    }

    fn connect(&mut self, node: usize, connection: ConnectionId, address: SocketAddr) {
        let Some(other) = ADDRESSES.iter().position(|own| ip(own) == address.ip()) else {
            return self.queue.push_back((node, Input::Closed { connection, how: Closure::Refused }));
        };
        self.accepted += 2;
        let theirs = ConnectionId(self.accepted + 1);
        self.wires.insert((node, connection), (other, theirs));
        self.wires.insert((other, theirs), (node, connection));
        let (local, port) = (address, 40_000);
        let peer = SocketAddr::new(ip(ADDRESSES[node]), port);
        self.queue.push_back((other, Input::Accepted { connection: theirs, local, peer }));
        self.queue.push_back((node, Input::Connected { connection, local: peer }));
    }

    fn close(&mut self, node: usize, connection: ConnectionId, how: Closure) {
        if let Some((other, theirs)) = self.wires.remove(&(node, connection)) {
            self.wires.remove(&(other, theirs));
            self.queue.push_back((other, Input::Closed { connection: theirs, how }));
        }
    }

    /// Makes the oldest commit durable, or fails it as `commits` says.
    pub(in crate::pf) fn commit(&mut self) {
        let (batch, writes) = self.pending.pop_front().expect("a commit");
        let outcome = self.commits.pop_front().unwrap_or(CommitOutcome::Durable);
        if outcome == CommitOutcome::Durable {
            self.store.commit(&writes).expect("memory");
        }
        self.queue.push_back((PF, Input::Committed { batch, outcome }));
    }

    /// Lets time pass, deadline by deadline.
    pub(in crate::pf) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        self.settle();
        loop {
            let peers = self.peers.iter().filter_map(Endpoint::poll_timeout);
            let next = peers.chain(self.pf.poll_timeout()).map(|(at, _)| at).min().filter(|at| *at <= end);
            let Some(at) = next else { break };
            self.now = self.now.max(at);
            self.pf.handle(self.now, Input::Timeout);
            for node in [FOCUS, BOB] {
                let now = self.now;
                self.peer(node).handle(now, Input::Timeout);
            }
            self.settle();
        }
        self.now = end;
    }

    /// The PF dies and starts again with what its store has.
    pub(in crate::pf) fn restart(&mut self) {
        let connections: Vec<ConnectionId> = self.wires.keys().filter(|(node, _)| *node == PF).map(|(_, id)| *id).collect();
        for connection in connections {
            self.close(PF, connection, Closure::Reset);
        }
        self.pending.clear();
        self.queue.retain(|(node, _)| *node != PF);
        let records = self.store.records().expect("memory");
        self.pf = Pf::restored(config(PF, "pf"), pf_config(), self.policy.clone(), records).expect("its own records");
        self.settle();
        self.pass(Duration::ZERO);
    }

    /// How many groups the PF knows.
    pub(in crate::pf) fn groups(&self) -> usize {
        self.pf.core.groups.iter().filter(|group| !group.is_hole()).count()
    }

    /// How many numbers of groups were given out.
    pub(in crate::pf) fn numbers(&self) -> usize {
        self.pf.core.groups.len()
    }

    /// How many records of groups the store has.
    pub(in crate::pf) fn records_of_groups(&self) -> usize {
        let records = self.store.records().expect("memory");
        records.iter().filter(|(key, _)| key.first() == Some(&b'g')).count()
    }

    /// The next event of a node.
    pub(in crate::pf) fn event(&mut self, node: usize) -> Option<Event> {
        self.settle();
        self.events[node - 1].pop_front()
    }

    /// The next event that is not one of MSRP set-up; the node has to have one.
    fn next(&mut self, node: usize) -> Event {
        loop {
            match self.event(node) {
                Some(event) if is_incidental(&event) => {}
                Some(event) => return event,
                None => panic!("node {node} has nothing"),
            }
        }
    }

    /// A node has heard nothing but MSRP set-up.
    pub(in crate::pf) fn assert_quiet(&mut self, node: usize) {
        while let Some(event) = self.event(node) {
            assert!(is_incidental(&event), "{event:?}");
        }
    }

    /// Bytes reach the PF on a connection of their own, to its SIP or its MSRP port.
    pub(in crate::pf) fn throw(&mut self, port: u16, data: Bytes) {
        self.accepted += 2;
        let connection = ConnectionId(self.accepted + 1);
        let (local, peer) = (SocketAddr::new(ip(ADDRESSES[PF]), port), SocketAddr::new(ip("10.0.9.9"), 9_999));
        for input in [Input::Accepted { connection, local, peer }, Input::Received { connection, data }] {
            self.pf.handle(self.now, input);
        }
        self.settle();
    }

    /// The heads of the requests of this method that the PF has sent.
    pub(in crate::pf) fn seen_from_pf(&self, method: &str) -> Vec<String> {
        self.from_pf.iter().filter(|head| head.starts_with(method)).cloned().collect()
    }

    /// Whether the PF has cited a requirement.
    pub(in crate::pf) fn has_cited(&self, id: &str) -> bool {
        self.cited.iter().any(|clause| clause.id() == id)
    }
}

/// Events that a test does not wait for: set-up of media, timers of the peers themselves.
fn is_incidental(event: &Event) -> bool {
    matches!(
        event,
        Event::Msrp { event: msrp::Event::Bound | msrp::Event::Lost, .. }
            | Event::RefreshDue { .. }
            | Event::SessionExpired { .. }
            | Event::Subscription { change: Change::Accepted { .. }, .. }
    )
}
