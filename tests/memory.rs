//! What the PF keeps in memory for messages that wait: bounded for each, no faster than linear, and given back.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::{measure, opt_out};
use bytes::Bytes;
use cpmcheck::endpoint::{Config, DialogId, Hosts};
use cpmcheck::engine::{ConnectionId, Engine, Input, Output, Standing, Write};
use cpmcheck::msrp::Outgoing;
use cpmcheck::net::NodeId;
use cpmcheck::net::sim::{Settings, Simulator};
use cpmcheck::pattern::ast::Role;
use cpmcheck::peers::{Core, CoreSettings, GroupProfile, Order, Profile, Scripted};
use cpmcheck::pf::{Pf, PfConfig, Policy, ServedUser};
use cpmcheck::policy::Values;
use cpmcheck::time::Instant;
use cpmcheck::trace::event::{Content, Kind};
use cpmcheck::trace::tap::{SIP_PORTS, Tap};
use cpmcheck::wire::msrp::FailureReport;

const BOB: &str = "sip:+15145550102@home1.example";
const GROUP: &str = "sip:gc-1@cf.home1.example";

/// Bytes of text in each message; with its CPIM headers a message has [`content`]`.len()` of them.
const TEXT: usize = 1_000;
/// What a waiting message may cost besides its content, which is kept once, as it came: its place in the queue of
/// its group, its Message-ID, Content-Type and key in the store, and what allocators and growing tables leave over.
/// A second copy of the content does not fit in.
const OVERHEAD: i64 = 512;
/// What the delivery may hold at once on top of that: the messages that are on their way to the client, with what
/// was written of them, and its session. Not the messages that wait behind them.
const UNDER_WAY: i64 = 32_768;
/// What a PF may know afterwards that it did not know before: a session with the client and its registration.
const AFTERWARDS: i64 = 16_384;
/// Longer than any timer of a transaction.
const CALM: Duration = Duration::from_secs(100);

#[test]
fn a_message_that_waits_costs_its_content_and_a_little_more() {
    let weights = weigh(1_000);
    let each = (weights.stored - weights.before) / 1_000;
    let most = content(0).len() as i64 + OVERHEAD;
    assert!(each <= most, "{each} bytes for each message, {most} at most: {weights:?}");
    assert!(weights.peak <= weights.stored + UNDER_WAY, "{weights:?}");
}

#[test]
fn ten_times_the_messages_cost_ten_times_the_memory_at_most() {
    let (few, many) = (weigh(100), weigh(1_000));
    let grown = |weights: Weights| weights.stored - weights.before;
    // A table that has just grown is half empty; the tables are the smaller part.
    assert!(grown(many) <= grown(few) * 11, "{few:?} {many:?}");
}

#[test]
fn what_is_delivered_is_given_back() {
    let (few, many) = (weigh(100), weigh(1_000));
    for weights in [few, many] {
        assert!(weights.delivered - weights.before <= AFTERWARDS, "{weights:?}");
    }
    // Less than a byte for each message more.
    assert!(many.delivered - few.delivered < 900, "{few:?} {many:?}");
}

/// What the PF holds in the course of a deferred delivery, in bytes.
#[derive(Clone, Copy, Debug)]
struct Weights {
    before: i64,
    stored: i64,
    peak: i64,
    delivered: i64,
}

/// Lets the client miss so many messages, and get them.
fn weigh(messages: usize) -> Weights {
    let mut world = World::new();
    world.order(world.focus, &Order::Invite { group: GROUP.to_owned(), user: BOB.to_owned() });
    world.order(world.bob, &Order::Lose);
    world.pass(CALM);
    let (before, _) = world.weight();
    (0..messages).for_each(|number| world.write(number));
    world.pass(CALM);
    let (stored, _) = world.weight();
    world.order(world.bob, &Order::Register);
    world.pass(CALM);
    assert_eq!(world.delivered(), messages);
    let (delivered, peak) = world.weight();
    Weights { before, stored, peak, delivered }
}

/// A message of the group.
fn content(number: usize) -> Bytes {
    let text = "x".repeat(TEXT);
    Bytes::from(format!(
        "From: <sip:+15145550101@home1.example>\r\nTo: <{GROUP}>\r\nDateTime: 2026-01-01T00:00:00Z\r\n\
         NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: message-{number:04}\r\n\r\n\
         Content-Type: text/plain;charset=UTF-8\r\n\r\n{text}"
    ))
}

/// A PF whose memory is weighed: what it allocates and frees. What it is given it gets as a copy of its own, and
/// what it gives away is copied, so that no bytes are shared with others.
struct Weighed {
    pf: Pf,
    live: i64,
    peak: i64,
}

impl Weighed {
    fn weigh(&mut self, work: impl FnOnce(&mut Pf)) {
        let Self { pf, live, peak } = self;
        let info = measure(|| work(pf));
        *peak = (*peak).max(*live + i64::try_from(info.bytes_max).expect("few bytes"));
        *live += info.bytes_current;
    }
}

enum Node {
    Pf(Box<Weighed>),
    Core(Box<Core>),
    Actor(Box<Scripted>),
}

impl Engine for Node {
    fn handle(&mut self, now: Instant, input: Input) {
        match self {
            Self::Pf(weighed) => weighed.weigh(|pf| pf.handle(now, copy_of_input(&input))),
            Self::Core(core) => core.handle(now, input),
            Self::Actor(actor) => actor.handle(now, input),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Pf(weighed) => {
                let mut copy = None;
                weighed.weigh(|pf| {
                    let output = pf.poll_output();
                    opt_out(|| copy = output.as_ref().map(copy_of_output));
                });
                copy
            }
            Self::Core(core) => core.poll_output(),
            Self::Actor(actor) => actor.poll_output(),
        }
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match self {
            Self::Pf(weighed) => weighed.pf.poll_timeout(),
            Self::Core(core) => core.poll_timeout(),
            Self::Actor(actor) => actor.poll_timeout(),
        }
    }

    fn standing(&self, connection: ConnectionId) -> Standing {
        match self {
            Self::Pf(weighed) => weighed.pf.standing(connection),
            Self::Core(core) => core.standing(connection),
            Self::Actor(actor) => actor.standing(connection),
        }
    }
}

/// Bytes that nobody else holds, so that the PF keeps them alone or not at all.
fn own(data: &Bytes) -> Bytes {
    Bytes::copy_from_slice(data)
}

fn copy_of_input(input: &Input) -> Input {
    match input {
        Input::Datagram { local, peer, data } => Input::Datagram { local: *local, peer: *peer, data: own(data) },
        Input::Received { connection, data } => Input::Received { connection: *connection, data: own(data) },
        other => other.clone(),
    }
}

fn copy_of_output(output: &Output) -> Output {
    let copy_of_write = |write: &Write| match write {
        Write::Put { key, value } => Write::Put { key: key.clone(), value: own(value) },
        Write::Delete { key } => Write::Delete { key: key.clone() },
    };
    match output {
        Output::Datagram { local, peer, data } => Output::Datagram { local: *local, peer: *peer, data: own(data) },
        Output::Send { connection, data } => Output::Send { connection: *connection, data: own(data) },
        Output::Commit { batch, writes } => Output::Commit { batch: *batch, writes: writes.iter().map(copy_of_write).collect() },
        other => other.clone(),
    }
}

/// The PF between a focus and a client that act by themselves.
struct World {
    sim: Simulator<Node>,
    pf: NodeId,
    bob: NodeId,
    focus: NodeId,
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn config(name: &str, address: &str, host: &str) -> Config {
    let names = [
        ("pf.home1.example", "10.0.0.1"),
        ("scscf1.home1.example", "10.0.0.2"),
        ("home1.example", "10.0.0.2"),
        ("cf.home1.example", "10.0.1.1"),
    ];
    let hosts: Hosts = names.into_iter().map(|(name, address)| (name, ip(address))).collect();
    Config::new(name, 1, ip(address), host, Arc::new(hosts))
}

impl World {
    fn new() -> Self {
        let mut sim = Simulator::new(&Settings::default(), Tap::new(ip("10.0.0.1"), SIP_PORTS));
        let mut add = |config: &Config, node| sim.add(config.name.as_str().into(), &[config.sip, config.msrp], node);
        let users = vec![ServedUser { uri: BOB.to_owned(), aliases: Vec::new(), core: None }];
        let core_uri = "sip:scscf1.home1.example".to_owned();
        let settings = PfConfig { identity: "sip:rcse-standfw@home1.example".to_owned(), users, core: core_uri.clone() };
        let own = config("pf", "10.0.0.1", "pf.home1.example");
        let pf = Pf::new(own.clone(), settings, Policy::of(&Values::default()));
        let pf = add(&own, Node::Pf(Box::new(Weighed { pf, live: 0, peak: 0 })));
        let phone = Profile {
            instance: Some("urn:uuid:phone".to_owned()),
            route: Some("<sip:scscf1.home1.example;lr>".to_owned()),
            reference: true,
            ..Profile::new(Role::Client, "bob", BOB)
        };
        let own = config("bob", "10.0.2.1", "10.0.2.1");
        let users = vec![vec![BOB.to_owned()]];
        let settings = CoreSettings { uri: core_uri, pf: "sip:pf.home1.example".to_owned(), users, cancel_others: true };
        let of_core = config("core", "10.0.0.2", "scscf1.home1.example");
        let mut core = Core::new(settings, of_core.clone());
        core.bind(BOB, &phone.contact(&own));
        add(&of_core, Node::Core(Box::new(core)));
        let bob = add(&own, Node::Actor(Box::new(Scripted::new(phone, own.clone()))));
        let group = GroupProfile {
            focus: GROUP.to_owned(),
            subject: "Beach".to_owned(),
            conversation_id: "conversation".to_owned(),
            contribution_id: "contribution".to_owned(),
            members: vec![("sip:+15145550101@home1.example".to_owned(), None), (BOB.to_owned(), None)],
        };
        let route = Some("<sip:pf.home1.example;lr>".to_owned());
        let profile = Profile { route, groups: vec![group], reference: true, ..Profile::new(Role::Cf, "focus", GROUP) };
        let own = config("focus", "10.0.1.1", "cf.home1.example");
        let focus = add(&own, Node::Actor(Box::new(Scripted::new(profile, own.clone()))));
        sim.observe(pf);
        Self { sim, pf, bob, focus }
    }

    fn pass(&mut self, span: Duration) {
        let limit = self.sim.now() + span;
        self.sim.run_until(limit);
    }

    fn act<R>(&mut self, node: NodeId, action: impl FnOnce(&mut Scripted, Instant) -> R) -> R {
        let act = |node: &mut Node, now| match node {
            Node::Actor(actor) => action(actor, now),
            Node::Pf(_) | Node::Core(_) => panic!("it follows no orders"),
        };
        self.sim.act(node, act).expect("a living node")
    }

    fn order(&mut self, node: NodeId, order: &Order) {
        self.act(node, |actor, now| actor.obey(now, order));
        self.pass(Duration::from_secs(1));
    }

    /// The dialog in which the focus invited the PF.
    fn session(&mut self) -> DialogId {
        let invitation = self.sim.events().iter().find_map(|event| match &event.kind {
            Kind::Message { sent: false, content: Content::Sip(message), .. } if message.method_token() == Some("INVITE") => {
                message.call_id().map(str::to_owned)
            }
            _ => None,
        });
        let call = invitation.expect("an invitation");
        self.act(self.focus, |actor, _| actor.dialog_of(&call)).expect("a session")
    }

    /// A message of the focus to the group.
    fn write(&mut self, number: usize) {
        let message = Outgoing {
            message_id: None,
            content_type: "message/cpim".to_owned(),
            body: content(number),
            success_report: false,
            failure_report: FailureReport::Yes,
            chunk_size: 2_048,
        };
        let session = self.session();
        self.act(self.focus, |actor, now| actor.send_message(now, session, message).expect("a session with media"));
        self.pass(Duration::from_millis(20));
    }

    /// How many messages went to the client.
    fn delivered(&self) -> usize {
        let is_one = |kind: &Kind| matches!(kind, Kind::Message { sent: true, content: Content::Msrp(chunk), .. } if chunk.method() == Some("SEND") && chunk.body().is_some_and(|body| body.len() > TEXT));
        self.sim.events().iter().filter(|event| is_one(&event.kind)).count()
    }

    /// What the PF holds now, and what it held at most, in bytes.
    fn weight(&self) -> (i64, i64) {
        match self.sim.engine(self.pf) {
            Some(Node::Pf(weighed)) => (weighed.live, weighed.peak),
            _ => panic!("the PF lives"),
        }
    }
}
