//! A PF between two real endpoints, on wires without delay: the stage for the tests of procedures.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Pf, PfConfig, Policy, ServedUser};
use crate::clause::Clause;
use crate::endpoint::{Change, Config, Destination, DialogId, Endpoint, Event, Hosts, MsrpId, TransactionId};
use crate::engine::{BatchId, Closure, CommitOutcome, ConnectionId, Engine, Input, MemoryStore, Output, Store, Write};
use crate::msrp::{self, Outcome, Outgoing};
use crate::policy::Values;
use crate::time::Instant;
use crate::wire::cpim;
use crate::wire::imdn::{self, Imdn, Kind};
use crate::wire::msrp::FailureReport;
use crate::wire::sip::{Builder, Message, Name};

/// The PF.
const PF: usize = 0;
/// The Controlling Function.
pub(super) const FOCUS: usize = 1;
/// The user's device, behind the SIP/IP core: what the core would relay ends here.
pub(super) const BOB: usize = 2;

pub(super) const USER: &str = "sip:+15145550102@home1.example";
pub(super) const GROUP: &str = "sip:gc-1@cf.home1.example";
pub(super) const SHOWN: &str = "sip:gc-1@pf.home1.example";
pub(super) const ALICE: &str = "sip:+15145550101@home1.example";
pub(super) const CAROL: &str = "sip:+15145550103@home1.example";
pub(super) const PHONE: &str = "urn:gsma:imei:35824005-694458-0";
pub(super) const TABLET: &str = "urn:uuid:2ad8950e-48a5-4a74-8d99-ad76cc7fc74c";

const ROSTER: &str = "<conference-info xmlns=\"urn:ietf:params:xml:ns:conference-info\" entity=\"sip:gc-1@cf.home1.example\" \
    state=\"full\" version=\"1\"><users><user entity=\"sip:+15145550101@home1.example\" state=\"full\">\
    <endpoint entity=\"sip:+15145550101@home1.example\"><status>connected</status></endpoint></user>\
    <user entity=\"sip:+15145550102@home1.example\" state=\"full\"><endpoint entity=\"sip:+15145550102@home1.example\">\
    <status>connected</status></endpoint></user><user entity=\"sip:+15145550103@home1.example\" state=\"full\">\
    <endpoint entity=\"sip:+15145550103@home1.example\"><status>connected</status></endpoint></user></users></conference-info>";

const ADDRESSES: [&str; 3] = ["10.0.0.1", "10.0.1.1", "10.0.2.1"];

/// One peer's side of a session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) node: usize,
    pub(super) dialog: DialogId,
    pub(super) media: MsrpId,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) store: MemoryStore,
    /// Requirements that the PF has cited, in order.
    pub(super) cited: Vec<Clause>,
    /// What the PF has committed, and what becomes of it: one entry for each commit to come.
    pub(super) commits: VecDeque<CommitOutcome>,
    /// Whether commits wait for [`World::commit`].
    pub(super) slow: bool,
    /// What the PF has sent, as text.
    from_pf: Vec<String>,
    /// What the peers have sent.
    pub(super) to_pf: Vec<Bytes>,
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
        users: vec![ServedUser { uri: USER.to_owned(), aliases: vec!["tel:+15145550102".to_owned()] }],
        core: "sip:scscf1.home1.example".to_owned(),
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(&[])
    }

    /// A world whose PF has these knobs.
    pub(super) fn with(knobs: &[(&str, &str)]) -> Self {
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
    pub(super) fn settle(&mut self) {
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
    pub(super) fn commit(&mut self) {
        let (batch, writes) = self.pending.pop_front().expect("a commit");
        let outcome = self.commits.pop_front().unwrap_or(CommitOutcome::Durable);
        if outcome == CommitOutcome::Durable {
            self.store.commit(&writes).expect("memory");
        }
        self.queue.push_back((PF, Input::Committed { batch, outcome }));
    }

    /// Lets time pass, deadline by deadline.
    pub(super) fn pass(&mut self, span: Duration) {
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
    pub(super) fn restart(&mut self) {
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

    /// The next event of a node.
    pub(super) fn event(&mut self, node: usize) -> Option<Event> {
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
    pub(super) fn assert_quiet(&mut self, node: usize) {
        while let Some(event) = self.event(node) {
            assert!(is_incidental(&event), "{event:?}");
        }
    }

    /// The next request, which has to have this method.
    pub(super) fn request(&mut self, node: usize, method: &str) -> (TransactionId, Option<DialogId>, Message) {
        match self.next(node) {
            Event::Request { transaction, dialog, message } if message.method_token() == Some(method) => {
                (transaction, dialog, message)
            }
            Event::Subscription { change: Change::Notified { transaction, message }, .. } if method == "NOTIFY" => {
                (transaction, None, message)
            }
            other => panic!("node {node}: {method} was due, not {other:?}"),
        }
    }

    /// The next response, which has to have this status.
    pub(super) fn response(&mut self, node: usize, status: u16) -> (TransactionId, Option<DialogId>, Message) {
        match self.next(node) {
            Event::Response { transaction, dialog, message } if message.status() == Some(status) => (transaction, dialog, message),
            other => panic!("node {node}: {status} was due, not {other:?}"),
        }
    }

    pub(super) fn ack(&mut self, node: usize) -> DialogId {
        match self.next(node) {
            Event::Ack { dialog, .. } => dialog,
            other => panic!("node {node}: ACK was due, not {other:?}"),
        }
    }

    /// Answers a request with a status alone.
    pub(super) fn answer(&mut self, node: usize, transaction: TransactionId, status: u16) -> Option<DialogId> {
        self.answer_with(node, transaction, status, |response| response)
    }

    pub(super) fn answer_with(
        &mut self,
        node: usize,
        transaction: TransactionId,
        status: u16,
        change: impl FnOnce(Builder) -> Builder,
    ) -> Option<DialogId> {
        let now = self.now;
        let response = change(self.peer(node).response(transaction, status));
        let dialog = self.peer(node).respond(now, transaction, response);
        self.settle();
        dialog
    }

    pub(super) fn send(&mut self, node: usize, request: Builder) -> TransactionId {
        let now = self.now;
        let transaction = self.peer(node).send(now, request);
        self.settle();
        transaction
    }

    pub(super) fn send_in(&mut self, session: &Session, request: Builder) -> TransactionId {
        let now = self.now;
        let transaction = self.peer(session.node).send_in(now, session.dialog, request).expect("a dialog");
        self.settle();
        transaction
    }

    pub(super) fn cancel(&mut self, node: usize, invite: TransactionId) {
        let now = self.now;
        self.peer(node).cancel(now, invite);
        self.settle();
    }

    /// Sends a BYE in a session and takes its 200.
    pub(super) fn bye(&mut self, session: &Session, reason: Option<&str>) {
        self.send_in(session, Builder::request("BYE", "").push_some("Reason", reason));
        self.response(session.node, 200);
    }

    /// The peer's connections break.
    pub(super) fn break_media(&mut self, session: &Session) {
        let now = self.now;
        self.peer(session.node).msrp_close(now, session.media, Closure::Reset);
        self.settle();
    }

    fn sdp(&mut self, node: usize, setup: &str) -> (MsrpId, String) {
        let (media, path) = self.peer(node).msrp_open();
        (media, sdp(node, media.0, setup, &path))
    }

    fn start(&mut self, node: usize, media: MsrpId, message: &Message, active: bool) {
        let sdp = super::headers::sdp_of(message).expect("SDP");
        let remote = super::media::read(&sdp).expect("a medium");
        let now = self.now;
        self.peer(node).msrp_start(now, media, &remote.path, active);
        self.settle();
    }

    /// An original sender invites the user to a 1-1 session: its node is that of the focus.
    pub(super) fn invite_one_to_one(&mut self, sender: &str, first: Option<&str>) -> (TransactionId, MsrpId) {
        self.invite_one_to_one_with(sender, first, |invite| invite)
    }

    /// As [`World::invite_one_to_one`], with an altered INVITE.
    pub(super) fn invite_one_to_one_with(
        &mut self,
        sender: &str,
        first: Option<&str>,
        change: impl FnOnce(Builder) -> Builder,
    ) -> (TransactionId, MsrpId) {
        let (media, sdp) = self.sdp(FOCUS, "actpass");
        let invite = Builder::request("INVITE", USER)
            .push("Route", "<sip:pf.home1.example;lr>")
            .push("From", format!("<{sender}>"))
            .push("To", format!("<{USER}>"))
            .push("Contact", format!("<sip:{}:5060;transport=tcp>", ADDRESSES[FOCUS]))
            .push("P-Asserted-Identity", format!("<{sender}>"))
            .push("P-Asserted-Service", super::headers::SESSION_SERVICE)
            .push("Accept-Contact", format!("*;{}", super::headers::FEATURE_TAG))
            .push("Conversation-ID", format!("conversation of {}", &sender[4..16]))
            .push("Contribution-ID", format!("contribution of {}", &sender[4..16]))
            .push("Supported", "timer")
            .push("Session-Expires", 1800);
        let part = first.map(|text| super::headers::Part {
            content_type: "message/cpim".to_owned(),
            disposition: None,
            body: Bytes::from(text.to_owned()),
        });
        let invite = super::headers::with_body(change(invite), &sdp, part.as_slice());
        (self.send(FOCUS, invite), media)
    }

    /// An original sender writes these messages while the user is gone, and ends its session.
    pub(super) fn wrote(&mut self, sender: &str, texts: &[&str]) {
        let (invite, media) = self.invite_one_to_one(sender, None);
        let session = self.accepted(FOCUS, invite, media);
        self.missed(&session, texts);
        self.bye(&session, None);
    }

    /// The focus invites the user, in the shape of V1.
    pub(super) fn invite(&mut self) -> (TransactionId, MsrpId) {
        self.invite_to(1)
    }

    /// The focus invites the user to the group of this number.
    pub(super) fn invite_to(&mut self, group: u32) -> (TransactionId, MsrpId) {
        let (media, sdp) = self.sdp(FOCUS, "actpass");
        let focus = format!("sip:gc-{group}@cf.home1.example");
        let invite = Builder::request("INVITE", USER)
            .push("Route", "<sip:pf.home1.example;lr>")
            .push("From", format!("<{focus}>"))
            .push("To", format!("<{USER}>"))
            .push("Contact", format!("<{focus}>;isfocus"))
            .push("P-Asserted-Identity", format!("<{focus}>"))
            .push("P-Asserted-Service", super::headers::GROUP_SERVICE)
            .push("Referred-By", "<sip:+15145550101@home1.example>")
            .push("Accept-Contact", format!("*;{}", super::headers::FEATURE_TAG))
            .push("Conversation-ID", format!("conversation-{group}"))
            .push("Contribution-ID", format!("contribution-{group}"))
            .push("Subject", "Hiking trip")
            .push("Supported", "timer")
            .push("Session-Expires", 1800)
            .body("application/sdp", sdp);
        (self.send(FOCUS, invite), media)
    }

    /// Bob's device answers an INVITE of the PF by 200.
    pub(super) fn pick_up(&mut self, invite: TransactionId, request: &Message, device: &str) -> Session {
        self.pick_up_with(invite, request, device, |response| response)
    }

    /// As [`World::pick_up`], with an altered 200.
    pub(super) fn pick_up_with(
        &mut self,
        invite: TransactionId,
        request: &Message,
        device: &str,
        change: impl FnOnce(Builder) -> Builder,
    ) -> Session {
        let (media, sdp) = self.sdp(BOB, "active");
        let contact = bob_contact(device);
        let dialog =
            self.answer_with(BOB, invite, 200, |response| change(response.set("Contact", contact).body("application/sdp", sdp)));
        self.ack(BOB);
        self.start(BOB, media, request, true);
        Session { node: BOB, dialog: dialog.expect("a dialog"), media }
    }

    /// As [`World::pick_up`], with an altered description.
    pub(super) fn pick_up_describing(
        &mut self,
        invite: TransactionId,
        request: &Message,
        change: impl FnOnce(String) -> String,
    ) -> Session {
        self.pick_up_with(invite, request, PHONE, |response| {
            let sdp = String::from_utf8_lossy(&response.content()).into_owned();
            response.body("application/sdp", change(sdp))
        })
    }

    /// Bob's device answers by 200 and never opens its connection.
    pub(super) fn pick_up_without_media(&mut self, invite: TransactionId, device: &str) {
        let (_, sdp) = self.sdp(BOB, "active");
        let contact = bob_contact(device);
        self.answer_with(BOB, invite, 200, |response| response.set("Contact", contact).body("application/sdp", sdp));
        self.ack(BOB);
    }

    /// Another device answers the same INVITE by 200, with a tag of its own.
    pub(super) fn pick_up_elsewhere(&mut self, invite: TransactionId, tag: &str) {
        let response = self.peer(BOB).response(invite, 200);
        let to = super::core::untagged(response.value("To").expect("a To"));
        let response = response.set("To", format!("{to};tag={tag}")).set("Contact", bob_contact(TABLET));
        let now = self.now;
        self.peer(BOB).send_raw(now, Destination::Transaction(invite), response.encode());
        self.settle();
    }

    /// Another device answers the same INVITE by 200, with a tag and a medium of its own.
    pub(super) fn pick_up_with_other_tag(&mut self, invite: TransactionId, request: &Message, tag: &str) {
        let (media, sdp) = self.sdp(BOB, "active");
        let response = self.peer(BOB).response(invite, 200);
        let to = super::core::untagged(response.value("To").expect("a To"));
        let response = response.set("To", format!("{to};tag={tag}")).set("Contact", bob_contact(TABLET));
        let now = self.now;
        self.peer(BOB).send_raw(now, Destination::Transaction(invite), response.body("application/sdp", sdp).encode());
        self.settle();
        self.start(BOB, media, request, true);
    }

    /// Another device opens its connection before its 200 comes: the path of the device.
    pub(super) fn connect_early(&mut self, request: &Message, tag: &str) -> String {
        let sdp = super::headers::sdp_of(request).expect("SDP");
        let to = super::media::read(&sdp).expect("a medium").path;
        let from = format!("msrp://10.0.2.2:2855/{tag};tcp");
        let binding =
            format!("MSRP early1 SEND\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\nMessage-ID: early-1\r\n-------early1$\r\n");
        self.throw(2855, Bytes::from(binding));
        from
    }

    /// The 200 of that device comes.
    pub(super) fn pick_up_late(&mut self, invite: TransactionId, tag: &str, path: &str) {
        let response = self.peer(BOB).response(invite, 200);
        let to = super::core::untagged(response.value("To").expect("a To"));
        let response = response.set("To", format!("{to};tag={tag}")).set("Contact", bob_contact(TABLET));
        let response = response.body("application/sdp", sdp(BOB, 950, "active", path));
        let now = self.now;
        self.peer(BOB).send_raw(now, Destination::Transaction(invite), response.encode());
        self.settle();
    }

    /// The Message-ID of the next message that a node gets, answered by `code`.
    pub(super) fn read_with_id(&mut self, node: usize, code: u16) -> String {
        let (session, incoming) = match self.next(node) {
            Event::Msrp { session, event: msrp::Event::Received(incoming) } => (session, incoming),
            other => panic!("node {node}: a message was due, not {other:?}"),
        };
        let now = self.now;
        self.peer(node).msrp_answer(now, session, incoming.token, code);
        self.settle();
        incoming.message_id
    }

    /// A node reports on a message.
    pub(super) fn report(&mut self, session: &Session, message_id: &str, code: u16) {
        let now = self.now;
        let report = msrp::Report { message_id: message_id.to_owned(), code, size: 1 };
        self.peer(session.node).msrp_report(now, session.media, report);
        self.settle();
    }

    /// Bytes reach the PF on a connection of their own, to its SIP or its MSRP port.
    pub(super) fn throw(&mut self, port: u16, data: Bytes) {
        self.accepted += 2;
        let connection = ConnectionId(self.accepted + 1);
        let (local, peer) = (SocketAddr::new(ip(ADDRESSES[PF]), port), SocketAddr::new(ip("10.0.9.9"), 9_999));
        for input in [Input::Accepted { connection, local, peer }, Input::Received { connection, data }] {
            self.pf.handle(self.now, input);
        }
        self.settle();
    }

    /// The heads of the requests of this method that the PF has sent.
    pub(super) fn seen_from_pf(&self, method: &str) -> Vec<String> {
        self.from_pf.iter().filter(|head| head.starts_with(method)).cloned().collect()
    }

    /// Both legs of the group session, and the invitation as Bob got it.
    pub(super) fn established(&mut self) -> (Session, Session, Message) {
        self.established_with(1)
    }

    /// Both legs of the group session of this number.
    pub(super) fn established_with(&mut self, group: u32) -> (Session, Session, Message) {
        let (invite, media) = self.invite_to(group);
        let (offered, _, message) = self.request(BOB, "INVITE");
        let bob = self.pick_up(offered, &message, PHONE);
        let focus = self.accepted(FOCUS, invite, media);
        (focus, bob, message)
    }

    /// The PF has answered an INVITE of this node by 200: it is acknowledged, media runs.
    pub(super) fn accepted(&mut self, node: usize, invite: TransactionId, media: MsrpId) -> Session {
        let (_, dialog, response) = self.response(node, 200);
        self.acknowledge(node, invite, dialog.expect("a dialog"), media, &response)
    }

    /// Bob is lost: the PF subscribes, and the focus tells the roster if it is to answer.
    pub(super) fn lose(&mut self, bob: &Session) {
        self.bye(bob, Some("SIP;cause=503;text=\"Radio lost\""));
    }

    /// Takes the SUBSCRIBE of the PF.
    pub(super) fn subscribed(&mut self) -> DialogId {
        let (subscribe, _, message) = self.request(FOCUS, "SUBSCRIBE");
        assert_eq!(message.value(Name::Event), Some("conference"));
        self.answer_with(FOCUS, subscribe, 200, |response| response.push("Expires", 3600)).expect("a dialog")
    }

    /// Bob's device takes the BYE of a delivery that is complete.
    pub(super) fn completed(&mut self) {
        let (bye, _, message) = self.request(BOB, "BYE");
        assert_eq!(message.value(Name::Reason), None);
        self.answer(BOB, bye, 200);
    }

    /// The S-CSCF registers Bob, from a device where one is given.
    pub(super) fn register(&mut self, expires: u32, device: Option<&str>) {
        self.register_user(USER, expires, device);
        self.response(BOB, 200);
    }

    /// A third-party REGISTER for any user; its answer is still to be taken.
    pub(super) fn register_user(&mut self, user: &str, expires: u32, device: Option<&str>) {
        let mut register = Builder::request("REGISTER", "sip:pf.home1.example")
            .push("From", "<sip:scscf1.home1.example>")
            .push("To", format!("<{user}>"))
            .push("Contact", "<sip:scscf1.home1.example:5060>")
            .push("Expires", expires);
        if let Some(device) = device {
            let inner =
                format!("REGISTER sip:home1.example SIP/2.0\r\nContact: {}\r\nContent-Length: 0\r\n\r\n", bob_contact(device));
            register = register.body("message/sip", inner);
        }
        self.send(BOB, register);
    }

    /// Bob's device re-joins; the answer is still to be taken.
    pub(super) fn rejoin(&mut self, target: &str, device: &str) -> (TransactionId, MsrpId) {
        let (media, sdp) = self.sdp(BOB, "actpass");
        let invite = rejoin_request(target, device).body("application/sdp", sdp);
        (self.send(BOB, invite), media)
    }

    /// As [`World::rejoin`], with an altered offer.
    pub(super) fn rejoin_with(
        &mut self,
        target: &str,
        device: &str,
        change: impl FnOnce(String) -> String,
    ) -> (TransactionId, MsrpId) {
        let (media, sdp) = self.sdp(BOB, "actpass");
        let invite = rejoin_request(target, device).body("application/sdp", change(sdp));
        (self.send(BOB, invite), media)
    }

    /// Bob was lost, missed these messages, and the focus has ended the group since; the roster
    /// that it told before names Alice, Bob and Carol.
    pub(super) fn dormant(knobs: &[(&str, &str)], texts: &[&str], reason: Option<&str>) -> Self {
        let mut world = Self::with(knobs);
        let (focus, bob, _) = world.established();
        world.lose(&bob);
        let dialog = world.subscribed();
        world.notify(dialog, "active;expires=3600", ROSTER);
        world.missed(&focus, texts);
        world.bye(&focus, reason);
        world.notify(dialog, "terminated;reason=noresource", "");
        world.assert_quiet(BOB);
        world.assert_quiet(FOCUS);
        world
    }

    /// The PF has answered Bob's new INVITE by 200 and ends the dialog that it replaces.
    pub(super) fn accepted_and_replaced(&mut self, invite: TransactionId, media: MsrpId, reason: &str) -> Session {
        let (_, dialog, response) = self.response(BOB, 200);
        let (bye, _, message) = self.request(BOB, "BYE");
        assert_eq!(message.value(Name::Reason), Some(reason));
        self.answer(BOB, bye, 200);
        self.acknowledge(BOB, invite, dialog.expect("a dialog"), media, &response)
    }

    /// A node acknowledges a 200 of the PF and starts its media.
    pub(super) fn acknowledge(
        &mut self,
        node: usize,
        invite: TransactionId,
        dialog: DialogId,
        media: MsrpId,
        response: &Message,
    ) -> Session {
        let now = self.now;
        self.peer(node).acknowledge(now, invite, dialog, None);
        self.start(node, media, response, true);
        Session { node, dialog, media }
    }

    /// The focus accepts the re-INVITE of a PF that was restarted; its media is still to be started.
    pub(super) fn take_up(&mut self, focus: &mut Session, invite: TransactionId) -> Message {
        let message = self.peer(FOCUS).request(invite).cloned().expect("a request");
        let (media, sdp) = self.sdp(FOCUS, "active");
        self.answer_with(FOCUS, invite, 200, |response| response.body("application/sdp", sdp));
        focus.media = media;
        message
    }

    /// The media of a session runs, towards the description in this message.
    pub(super) fn start_media(&mut self, session: &Session, message: &Message) {
        self.start(session.node, session.media, message, true);
    }

    /// The focus takes the session up again with a PF that was restarted.
    pub(super) fn repaired(&mut self, focus: &mut Session, invite: TransactionId) {
        let message = self.take_up(focus, invite);
        self.start_media(focus, &message);
        while !self.events[FOCUS - 1].is_empty() {
            self.event(FOCUS);
        }
    }

    /// The focus takes an INVITE of the PF: the session is up on its side.
    pub(super) fn accept_join(&mut self, invite: TransactionId, request: &Message) -> Session {
        let (media, sdp) = self.sdp(FOCUS, "active");
        let contact = format!("<{GROUP}>;isfocus");
        let dialog = self.answer_with(FOCUS, invite, 200, |response| response.set("Contact", contact).body("application/sdp", sdp));
        self.ack(FOCUS);
        self.start(FOCUS, media, request, true);
        Session { node: FOCUS, dialog: dialog.expect("a dialog"), media }
    }

    /// The focus notifies in the dialog of a subscription.
    pub(super) fn notify(&mut self, dialog: DialogId, state: &str, document: &str) {
        let session = Session { node: FOCUS, dialog, media: MsrpId(0) };
        let notify = Builder::request("NOTIFY", "").push("Event", "conference").push("Subscription-State", state);
        self.send_in(&session, notify.body("application/conference-info+xml", document.to_owned()));
        self.response(FOCUS, 200);
    }

    /// The next request of this method, whatever comes before it.
    pub(super) fn skip_to_request(&mut self, node: usize, method: &str) -> (TransactionId, Message) {
        loop {
            match self.next(node) {
                Event::Request { transaction, message, .. } if message.method_token() == Some(method) => {
                    return (transaction, message);
                }
                _ => {}
            }
        }
    }

    /// The next response of this status, whatever comes before it.
    pub(super) fn skip_to_response(&mut self, node: usize, status: u16) -> (TransactionId, Option<DialogId>, Message) {
        loop {
            match self.next(node) {
                Event::Response { transaction, dialog, message } if message.status() == Some(status) => {
                    return (transaction, dialog, message);
                }
                _ => {}
            }
        }
    }

    /// The next message that a node gets, whatever comes before it; answered by 200.
    pub(super) fn skip_to_message(&mut self, node: usize) -> String {
        self.settle();
        while !matches!(self.events[node - 1].front(), Some(Event::Msrp { event: msrp::Event::Received(_), .. })) {
            assert!(self.events[node - 1].pop_front().is_some(), "node {node} got no message");
        }
        self.read(node, 200)
    }

    /// A request of a node within a session, with an altered description of its media.
    pub(super) fn modify(&mut self, session: &Session, method: &str, change: impl FnOnce(String) -> String) -> TransactionId {
        let paths = self.peer(session.node).msrp_paths(session.media).expect("a session").0.to_owned();
        let sdp = sdp(session.node, 900, "actpass", &paths);
        self.send_in(session, Builder::request(method, "").body("application/sdp", change(sdp)))
    }

    /// Answers a change of the session by 200.
    pub(super) fn agree(&mut self, session: &Session, asked: TransactionId, change: impl FnOnce(String) -> String) {
        let paths = self.peer(session.node).msrp_paths(session.media).expect("a session").0.to_owned();
        let sdp = change(sdp(session.node, 901, "active", &paths));
        self.answer_with(session.node, asked, 200, |response| response.body("application/sdp", sdp));
    }

    /// Acknowledges a 2xx to a re-INVITE.
    pub(super) fn confirm(&mut self, session: &Session, invite: TransactionId) {
        let now = self.now;
        self.peer(session.node).acknowledge(now, invite, session.dialog, None);
        self.settle();
    }

    /// A node sends a message; the other side's answer is still to be taken.
    pub(super) fn write(&mut self, session: &Session, text: &str) {
        self.write_with(session, text, FailureReport::Yes);
    }

    fn write_with(&mut self, session: &Session, text: &str, failure_report: FailureReport) {
        let outgoing = Outgoing {
            message_id: None,
            content_type: "message/cpim".to_owned(),
            body: Bytes::from(text.to_owned()),
            success_report: false,
            failure_report,
            chunk_size: 2048,
        };
        let now = self.now;
        self.peer(session.node).msrp_send(now, session.media, outgoing);
        self.settle();
    }

    /// As [`World::write`], by someone who wants to hear of no failure.
    pub(super) fn write_unconcerned(&mut self, session: &Session, text: &str) {
        self.write_with(session, text, FailureReport::No);
    }

    /// What became of the message that the node sent.
    pub(super) fn sent(&mut self, node: usize) -> Outcome {
        match self.next(node) {
            Event::Msrp { event: msrp::Event::Sent { outcome, .. }, .. } => outcome,
            other => panic!("node {node}: an outcome was due, not {other:?}"),
        }
    }

    /// The focus writes and the PF accepts.
    pub(super) fn missed(&mut self, focus: &Session, texts: &[&str]) {
        for text in texts {
            self.write(focus, text);
            assert_eq!(self.sent(FOCUS), Outcome::Accepted, "{text}");
        }
    }

    /// The next message that a node gets, answered by `code`; 0 for no answer.
    pub(super) fn read(&mut self, node: usize, code: u16) -> String {
        let (session, incoming) = match self.next(node) {
            Event::Msrp { session, event: msrp::Event::Received(incoming) } => (session, incoming),
            other => panic!("node {node}: a message was due, not {other:?}"),
        };
        if code == 0 {
            self.unanswered.insert(node, (session, incoming.token));
        } else {
            let now = self.now;
            self.peer(node).msrp_answer(now, session, incoming.token, code);
            self.settle();
        }
        String::from_utf8_lossy(&incoming.body).into_owned()
    }

    /// Answers the message that was read last without an answer.
    pub(super) fn answer_last(&mut self, node: usize, code: u16) {
        let (session, token) = self.unanswered.remove(&node).expect("a message");
        let now = self.now;
        self.peer(node).msrp_answer(now, session, token, code);
        self.settle();
    }

    /// Bob reads these messages, in this order.
    pub(super) fn delivered(&mut self, texts: &[&str]) {
        for text in texts {
            assert_eq!(self.read(BOB, 200), *text);
        }
    }

    /// Whether the PF has cited a requirement.
    pub(super) fn has_cited(&self, id: &str) -> bool {
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

fn sdp(node: usize, origin: u32, setup: &str, path: &str) -> String {
    let address = ADDRESSES[node];
    format!(
        "v=0\r\no=- {origin} 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\nm=message 2855 TCP/MSRP *\r\n\
         a=accept-types:message/cpim application/im-iscomposing+xml\r\na=accept-wrapped-types:text/plain message/imdn+xml\r\n\
         a=setup:{setup}\r\na=path:{path}\r\na=sendrecv\r\n"
    )
}

/// A description that takes the group state object too.
pub(super) fn taking_state(sdp: String) -> String {
    sdp.replace("a=accept-types:message/cpim", "a=accept-types:message/cpim application/group-state-object+xml")
}

fn rejoin_request(target: &str, device: &str) -> Builder {
    Builder::request("INVITE", target)
        .push("Route", "<sip:pf.home1.example;lr>")
        .push("From", format!("<{USER}>"))
        .push("To", format!("<{target}>"))
        .push("Contact", bob_contact(device))
        .push("Conversation-ID", "conversation-1")
        .push("Supported", "timer")
        .push("Session-Expires", 1800)
}

/// Alice's notification that she has the user's message of this imdn.Message-ID, in its wrapper.
pub(super) fn wrapped_notification(id: &str) -> String {
    let document = Imdn::new(id, "2012-01-17T09:58:12Z", Kind::Delivery, "delivered").to_xml();
    let wrapper = cpim::Builder::new(ALICE, USER)
        .date_time("2012-01-17T10:02:10Z")
        .message_id(&format!("Imdn-{id}"))
        .mime("Content-Type", imdn::MEDIA_TYPE)
        .mime("Content-Disposition", "notification")
        .content(imdn::MEDIA_TYPE, document);
    String::from_utf8_lossy(&wrapper.encode()).into_owned()
}

/// That notification by MESSAGE, for the device that has sent the message.
pub(super) fn notification(id: &str, device: Option<&str>) -> Builder {
    let message = Builder::request("MESSAGE", USER)
        .push("Route", "<sip:pf.home1.example;lr>")
        .push("From", format!("<{ALICE}>"))
        .push("To", format!("<{USER}>"))
        .push("P-Asserted-Identity", format!("<{ALICE}>"))
        .push("Accept-Contact", "*;+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.msg\"");
    let instance = device.map(|device| format!("*;+sip.instance=\"<{device}>\";require;explicit"));
    message
        .push_some("Accept-Contact", instance)
        .push("Conversation-ID", "conversation-9")
        .push("Contribution-ID", "contribution-9")
        .body(cpim::MEDIA_TYPE, wrapped_notification(id))
}

/// A chat message in its CPIM wrapper, of this imdn.Message-ID.
pub(super) fn chat(id: &str) -> String {
    let wrapper = cpim::Builder::new(ALICE, USER)
        .date_time("2012-01-17T09:58:12Z")
        .message_id(id)
        .disposition_notification("positive-delivery")
        .content("text/plain", id.to_owned());
    String::from_utf8_lossy(&wrapper.encode()).into_owned()
}

fn bob_contact(device: &str) -> String {
    format!("<sip:bob@{}:5060;transport=tcp>;+sip.instance=\"<{device}>\"", ADDRESSES[BOB])
}
