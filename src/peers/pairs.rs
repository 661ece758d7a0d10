//! Peers among each other over the simulated network.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Aim, Core, CoreSettings, DialogId, Event, GroupProfile, Order, Profile, Scripted, TransactionId};
use crate::endpoint::{Config, Hosts};
use crate::engine::{Engine, Input, Output, Transport};
use crate::msrp::{self, Outgoing};
use crate::net::sim::{Settings, Simulator};
use crate::net::{NodeId, Quality};
use crate::pattern::ast::Role;
use crate::time::Instant;
use crate::trace::tap::{SIP_PORTS, Tap};
use crate::wire::msrp::FailureReport;
use crate::wire::sip::{Builder, Message, Method, Name};

const BOB: &str = "sip:+15145550102@home1.example";
const FOCUS: &str = "sip:gc-7f3a9c@cf.home1.example";

enum Node {
    Actor(Box<Scripted>),
    Core(Box<Core>),
}

impl Engine for Node {
    fn handle(&mut self, now: Instant, input: Input) {
        match self {
            Self::Actor(actor) => actor.handle(now, input),
            Self::Core(core) => core.handle(now, input),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Actor(actor) => actor.poll_output(),
            Self::Core(core) => core.poll_output(),
        }
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match self {
            Self::Actor(actor) => actor.poll_timeout(),
            Self::Core(core) => core.poll_timeout(),
        }
    }
}

/// A PF that a script moves, the core, the two devices of bob, and a focus.
struct World {
    sim: Simulator<Node>,
    pf: NodeId,
    core: NodeId,
    phone: NodeId,
    tablet: NodeId,
    focus: NodeId,
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn hosts() -> Arc<Hosts> {
    let names = [("pf.home1.example", "10.0.0.1"), ("scscf1.home1.example", "10.0.0.2"), ("cf.home1.example", "10.0.1.1")];
    Arc::new(names.into_iter().map(|(name, address)| (name, ip(address))).collect())
}

fn config(name: &str, address: &str, host: &str) -> Config {
    Config::new(name, 1, ip(address), host, hosts())
}

fn device(name: &str) -> Profile {
    let mut profile = Profile::new(Role::Client, "bob", BOB);
    profile.instance = Some(format!("urn:uuid:{name}"));
    profile.route = Some("<sip:scscf1.home1.example;lr>".to_owned());
    profile
}

impl World {
    fn new(settings: &Settings) -> Self {
        Self::over(Transport::Tcp, settings)
    }

    fn over(transport: Transport, settings: &Settings) -> Self {
        let config = |name: &str, address: &str, host: &str| Config { transport, ..config(name, address, host) };
        let mut sim = Simulator::new(settings, Tap::new(ip("10.0.0.1"), SIP_PORTS));
        let mut pf = Profile::new(Role::Pf, "pf", "sip:pf.home1.example");
        pf.route = Some("<sip:scscf1.home1.example;lr>".to_owned());
        let mut focus = Profile::new(Role::Cf, "focus", FOCUS);
        focus.route = Some("<sip:pf.home1.example;lr>".to_owned());
        let members = vec![("sip:+15145550101@home1.example".to_owned(), None), (BOB.to_owned(), Some("Bob".to_owned()))];
        focus.groups = vec![GroupProfile { focus: FOCUS.to_owned(), members, ..GroupProfile::default() }];
        let actor = |profile: &Profile, config: Config| Node::Actor(Box::new(Scripted::new(profile.clone(), config)));
        let pf = add(&mut sim, "pf", "10.0.0.1", actor(&pf, config("pf", "10.0.0.1", "pf.home1.example")));
        let (phone, tablet) = (device("phone"), device("tablet"));
        let phone = (phone, config("phone", "10.0.2.1", "10.0.2.1"));
        let tablet = (tablet, config("tablet", "10.0.2.2", "10.0.2.2"));
        let settings = CoreSettings {
            uri: "sip:scscf1.home1.example".to_owned(),
            pf: "sip:pf.home1.example".to_owned(),
            users: vec![vec![BOB.to_owned(), "tel:+15145550102".to_owned()]],
            cancel_others: true,
        };
        let mut core = Core::new(settings, config("core", "10.0.0.2", "scscf1.home1.example"));
        for (profile, config) in [&phone, &tablet] {
            core.bind(BOB, &profile.contact(config));
        }
        let core = add(&mut sim, "core", "10.0.0.2", Node::Core(Box::new(core)));
        let phone = add(&mut sim, "phone", "10.0.2.1", actor(&phone.0, phone.1));
        let tablet = add(&mut sim, "tablet", "10.0.2.2", actor(&tablet.0, tablet.1));
        let focus = add(&mut sim, "focus", "10.0.1.1", actor(&focus, config("focus", "10.0.1.1", "cf.home1.example")));
        sim.observe(pf);
        Self { sim, pf, core, phone, tablet, focus }
    }

    fn act<R>(&mut self, node: NodeId, action: impl FnOnce(&mut Scripted, Instant) -> R) -> R {
        let done = self.sim.act(node, |node, now| match node {
            Node::Actor(actor) => action(actor, now),
            Node::Core(_) => panic!("the core is no actor"),
        });
        done.expect("a living node")
    }

    /// Runs on, all events left to the automatic list for those `unattended`; returns the others'.
    fn run(&mut self, millis: u64, unattended: &[NodeId]) -> Vec<(NodeId, Event)> {
        for node in unattended {
            self.act(*node, |actor, _| actor.set_unattended(true));
        }
        let limit = self.sim.now() + Duration::from_millis(millis);
        self.sim.run_until(limit);
        let mut events = Vec::new();
        for node in [self.pf, self.phone, self.tablet, self.focus] {
            while let Some(event) = self.act(node, |actor, _| actor.poll_event()) {
                events.push((node, event));
            }
        }
        events
    }

    fn invite(&mut self, from: NodeId, target: &str) -> TransactionId {
        self.act(from, |actor, now| {
            let draft = actor.draft_request(&Method::Invite, Aim::Outside(target.to_owned())).expect("a draft");
            actor.send(now, draft).expect("sent")
        })
    }

    fn respond(&mut self, node: NodeId, transaction: TransactionId, status: u16) -> Option<DialogId> {
        self.act(node, |actor, now| {
            let draft = actor.draft_response(transaction, status).expect("a draft");
            actor.respond(now, draft).expect("sent")
        })
    }

    fn message(&mut self, node: NodeId, dialog: DialogId, text: &str) {
        let message = Outgoing {
            message_id: None,
            content_type: "message/cpim".to_owned(),
            body: Bytes::copy_from_slice(text.as_bytes()),
            success_report: true,
            failure_report: FailureReport::Yes,
            chunk_size: 2048,
        };
        self.act(node, |actor, now| actor.send_message(now, dialog, message).expect("a session"));
    }
}

fn add(sim: &mut Simulator<Node>, name: &str, address: &str, node: Node) -> NodeId {
    let at = |port| SocketAddr::new(ip(address), port);
    sim.add(name.into(), &[at(5060), at(2855)], node)
}

fn request(events: &[(NodeId, Event)], at: NodeId, method: &str) -> (TransactionId, Message) {
    let found = events.iter().find_map(|(node, event)| match event {
        Event::Request { transaction, message, .. } if *node == at && message.method_token() == Some(method) => {
            Some((*transaction, message.clone()))
        }
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no {method} came: {events:?}"))
}

fn response(events: &[(NodeId, Event)], at: NodeId, status: u16) -> (Option<DialogId>, Message) {
    let found = events.iter().find_map(|(node, event)| match event {
        Event::Response { dialog, message, .. } if *node == at && message.status() == Some(status) => {
            Some((*dialog, message.clone()))
        }
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no {status} came: {events:?}"))
}

fn has_msrp(events: &[(NodeId, Event)], at: NodeId, fits: impl Fn(&msrp::Event) -> bool) -> bool {
    events.iter().any(|(node, event)| *node == at && matches!(event, Event::Msrp { event, .. } if fits(event)))
}

#[test]
fn a_focus_invites_exchanges_messages_and_hangs_up() {
    let mut world = World::new(&Settings::default());
    let (focus, pf) = (world.focus, world.pf);
    world.invite(focus, BOB);
    let events = world.run(10, &[]);
    let (transaction, invite) = request(&events, pf, "INVITE");
    assert!(invite.contact().expect("a Contact").is_focus());
    assert_eq!(invite.content_type().map(|kind| kind.essence), Some("application/sdp"));
    let there = world.respond(pf, transaction, 200).expect("a dialog");
    let events = world.run(20, &[focus]);
    let (here, _) = response(&events, focus, 200);
    world.message(pf, there, "Content-Type: text/plain\r\n\r\nhello");
    let events = world.run(20, &[focus]);
    assert!(has_msrp(&events, focus, |event| matches!(event, msrp::Event::Received(_))), "{events:?}");
    assert!(has_msrp(&events, pf, |event| matches!(event, msrp::Event::Sent { outcome: msrp::Outcome::Accepted, .. })));
    assert!(has_msrp(&events, pf, |event| matches!(event, msrp::Event::Report { code: 200, .. })));
    world.act(pf, |actor, now| actor.hang_up(now));
    world.run(20, &[focus]);
    let gone = world.act(focus, |actor, _| actor.endpoint().dialog(here.expect("a dialog")).is_none());
    assert!(gone);
}

#[test]
fn a_request_goes_by_the_transport_that_its_last_size_asks_for() {
    let mut world = World::over(Transport::Udp, &Settings::default());
    let (focus, pf) = (world.focus, world.pf);
    let mut sent = |drafted: usize, altered: usize| {
        let body = |draft: Builder, size| draft.body("text/plain", "x".repeat(size));
        world.act(focus, |actor, now| {
            let mut draft = actor.draft_request(&Method::Message, Aim::Outside(BOB.to_owned())).expect("a draft");
            draft.message = body(body(draft.message, drafted), altered);
            actor.send(now, draft).expect("sent")
        });
        let (_, message) = request(&world.run(10, &[]), pf, "MESSAGE");
        message.via().expect("a Via").transport.to_owned()
    };
    assert_eq!((sent(10, 10).as_str(), sent(10, 1300).as_str()), ("UDP", "TCP"));
}

#[test]
fn the_offer_may_come_with_the_200_and_the_answer_with_the_ack() {
    let mut world = World::new(&Settings::default());
    let (focus, pf) = (world.focus, world.pf);
    world.act(focus, |actor, now| {
        let mut draft = actor.draft_request(&Method::Invite, Aim::Outside(BOB.to_owned())).expect("a draft");
        draft.message = draft.message.remove("Content-Type").bare_body(Bytes::new());
        actor.send(now, draft).expect("sent")
    });
    let events = world.run(20, &[focus, pf]);
    assert!(has_msrp(&events, pf, |event| matches!(event, msrp::Event::Bound)), "{events:?}");
    assert!(has_msrp(&events, focus, |event| matches!(event, msrp::Event::Bound)), "{events:?}");
}

/// Has a peer act by itself from now on.
fn make_reference(world: &mut World, node: NodeId, config: Config) {
    world.sim.act(node, |node, _| {
        let Node::Actor(actor) = node else { return };
        let profile = Profile { reference: true, ..actor.profile().clone() };
        **actor = Scripted::new(profile, config);
    });
}

#[test]
fn a_reference_focus_passes_messages_on_to_the_others_of_the_group() {
    let mut world = World::new(&Settings::default());
    let (focus, pf) = (world.focus, world.pf);
    make_reference(&mut world, focus, config("focus", "10.0.1.1", "cf.home1.example"));
    for user in [BOB, "sip:+15145550101@home1.example"] {
        world.act(pf, |actor, now| {
            let mut draft = actor.draft_request(&Method::Invite, Aim::Outside(FOCUS.to_owned())).expect("a draft");
            draft.message = draft.message.remove("Route").set("From", format!("<{user}>;tag={}", user.len()));
            actor.send(now, draft).expect("sent")
        });
    }
    let events = world.run(20, &[pf]);
    let (dialog, _) = response(&events, pf, 200);
    world.message(pf, dialog.expect("a dialog"), "Content-Type: text/plain\r\n\r\nhello");
    let events = world.run(20, &[pf]);
    let relayed = |event: &msrp::Event| matches!(event, msrp::Event::Received(incoming) if incoming.body.ends_with(b"hello"));
    assert!(has_msrp(&events, pf, relayed), "{events:?}");
}

#[test]
fn a_subscription_at_a_focus_gets_the_full_roster_at_once() {
    let mut world = World::new(&Settings::default());
    let (focus, pf) = (world.focus, world.pf);
    world.act(pf, |actor, now| {
        let mut draft = actor.draft_request(&Method::Subscribe, Aim::Outside(FOCUS.to_owned())).expect("a draft");
        draft.message = draft.message.remove("Route").push("Event", "conference").push("Expires", 600);
        actor.send(now, draft).expect("sent")
    });
    let events = world.run(20, &[focus]);
    assert_eq!(response(&events, pf, 200).1.value(Name::Expires), Some("600"));
    let (_, notify) = request(&events, pf, "NOTIFY");
    assert_eq!(notify.value(Name::SubscriptionState), Some("active;expires=600"));
    let roster = crate::wire::xml::conference_info::ConferenceInfo::parse(&notify.body()).expect("a document");
    assert_eq!((roster.entity.as_str(), roster.version, roster.users().len()), (FOCUS, Some(1), 2));
}

/// The PF invites bob; returns what came to whom.
fn invitation(world: &mut World, accept_contact: Option<&str>) -> Vec<(NodeId, Event)> {
    let pf = world.pf;
    world.act(pf, |actor, now| {
        let mut draft = actor.draft_request(&Method::Invite, Aim::Outside(BOB.to_owned())).expect("a draft");
        draft.message = draft.message.push_some("Accept-Contact", accept_contact);
        actor.send(now, draft).expect("sent")
    });
    world.run(10, &[])
}

#[test]
fn the_core_forks_to_all_devices_and_cancels_the_slower() {
    let mut world = World::new(&Settings::default());
    let events = invitation(&mut world, None);
    let (phone, tablet, pf) = (world.phone, world.tablet, world.pf);
    let (transaction, invite) = request(&events, phone, "INVITE");
    assert_eq!(invite.elements(Name::Via).count(), 2);
    assert_eq!(invite.elements(Name::RecordRoute).collect::<Vec<_>>(), ["<sip:scscf1.home1.example;lr>"]);
    assert_eq!(invite.request_uri(), Some("sip:bob@10.0.2.1:5060;transport=tcp"));
    request(&events, tablet, "INVITE");
    world.respond(phone, transaction, 200);
    let events = world.run(20, &[tablet, pf]);
    assert!(events.iter().any(|(node, event)| *node == tablet && matches!(event, Event::Cancelled { .. })));
    response(&events, pf, 200);
    assert!(events.iter().any(|(node, event)| *node == phone && matches!(event, Event::Ack { .. })), "{events:?}");
    assert!(has_msrp(&events, pf, |event| matches!(event, msrp::Event::Bound)), "{events:?}");
}

#[test]
fn both_answers_of_a_fork_come_back_when_they_cross_the_cancel() {
    let mut world = World::new(&Settings::default());
    let events = invitation(&mut world, None);
    let (phone, tablet, pf) = (world.phone, world.tablet, world.pf);
    let first = request(&events, phone, "INVITE").0;
    let second = request(&events, tablet, "INVITE").0;
    world.respond(phone, first, 200);
    world.run(20, &[pf]);
    world.respond(tablet, second, 200);
    let events = world.run(20, &[]);
    let (dialog, _) = response(&events, pf, 200);
    assert!(dialog.is_some());
    assert!(events.iter().any(|(node, event)| *node == tablet && matches!(event, Event::Ack { .. })));
}

#[test]
fn the_best_refusal_of_a_fork_comes_back_once_all_refused() {
    let mut world = World::new(&Settings::default());
    let events = invitation(&mut world, None);
    let (phone, tablet, pf) = (world.phone, world.tablet, world.pf);
    let first = request(&events, phone, "INVITE").0;
    let second = request(&events, tablet, "INVITE").0;
    world.respond(phone, first, 486);
    assert!(world.run(20, &[]).iter().all(|(node, _)| *node != pf));
    world.respond(tablet, second, 603);
    response(&world.run(20, &[]), pf, 603);
}

#[test]
fn an_instance_reaches_its_device_alone_and_an_unknown_one_nobody() {
    let mut world = World::new(&Settings::default());
    let pinned = "*;+sip.instance=\"<urn:uuid:tablet>\";require;explicit";
    let events = invitation(&mut world, Some(pinned));
    assert!(events.iter().all(|(node, _)| *node != world.phone));
    let (transaction, _) = request(&events, world.tablet, "INVITE");
    world.respond(world.tablet, transaction, 603);
    response(&world.run(20, &[]), world.pf, 603);
    let events = invitation(&mut world, Some("*;+sip.instance=\"<urn:uuid:other>\";require;explicit"));
    response(&events, world.pf, 480);
}

#[test]
fn a_reference_client_takes_an_invitation_that_overtakes_the_answer_to_its_register() {
    let mut world = World::new(&Settings::default());
    let (phone, pf) = (world.phone, world.pf);
    make_reference(&mut world, phone, config("phone", "10.0.2.1", "10.0.2.1"));
    world.act(phone, |actor, now| actor.obey(now, &Order::Lose));
    let pinned = "*;+sip.instance=\"<urn:uuid:phone>\";require;explicit";
    response(&invitation(&mut world, Some(pinned)), pf, 480);
    // Both are under way at once, and the core passes the INVITE on first.
    world.act(pf, |actor, now| {
        let mut draft = actor.draft_request(&Method::Invite, Aim::Outside(BOB.to_owned())).expect("a draft");
        draft.message = draft.message.push("Accept-Contact", pinned);
        actor.send(now, draft).expect("sent")
    });
    world.act(phone, |actor, now| actor.obey(now, &Order::Register));
    response(&world.run(20, &[]), pf, 200);
}

#[test]
fn a_cancel_follows_its_invite_to_the_device() {
    let mut world = World::new(&Settings::default());
    let pinned = "*;+sip.instance=\"<urn:uuid:phone>\";require;explicit";
    let events = invitation(&mut world, Some(pinned));
    let (transaction, _) = request(&events, world.phone, "INVITE");
    let (phone, invite) = (world.phone, request(&events, world.phone, "INVITE").1);
    assert_eq!(world.act(phone, |actor, _| actor.pending(&invite)), Some(transaction));
    world.respond(phone, transaction, 180);
    let events = world.run(10, &[]);
    let sent = events.iter().find_map(|(_, event)| match event {
        Event::Response { transaction, .. } => Some(*transaction),
        _ => None,
    });
    world.act(world.pf, |actor, now| actor.cancel(now, sent.expect("an INVITE"), Vec::new()));
    response(&world.run(20, &[phone]), world.pf, 487);
}

#[test]
fn a_client_reaches_the_pf_through_the_core_with_asserted_identity() {
    let mut world = World::new(&Settings::default());
    let (phone, pf) = (world.phone, world.pf);
    world.invite(phone, "sip:gc-7f3a9c@pf.home1.example");
    let events = world.run(10, &[]);
    let (transaction, invite) = request(&events, pf, "INVITE");
    assert_eq!(invite.values_named("P-Asserted-Identity").next(), Some("<sip:+15145550102@home1.example>"));
    assert_eq!(invite.value(Name::Route), None);
    assert_eq!(invite.contact().expect("a Contact").instance(), Some("urn:uuid:phone"));
    world.respond(pf, transaction, 491);
    response(&world.run(20, &[]), phone, 491);
}

#[test]
fn sessions_come_to_be_on_lossy_links_too() {
    for seed in 1..10 {
        let mut world = World::over(Transport::Udp, &Settings { seed, ..Settings::default() });
        for (one, other) in [(world.pf, world.core), (world.core, world.phone)] {
            world.sim.set_link(one, other, Quality { loss: 0.2, reorder: 0.1, duplicate: 0.1, delay: None });
        }
        let (phone, pf) = (world.phone, world.pf);
        world.act(phone, |actor, _| actor.set_unattended(true));
        world.act(pf, |actor, _| actor.set_unattended(true));
        invitation(&mut world, Some("*;+sip.instance=\"<urn:uuid:phone>\";require;explicit"));
        let events = world.run(20_000, &[]);
        assert!(has_msrp(&events, pf, |event| matches!(event, msrp::Event::Bound)), "seed {seed}: {events:?}");
    }
}
