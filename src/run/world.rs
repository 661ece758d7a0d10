//! The world of one run: the nodes of a scenario and the simulated network between them.

use std::sync::Arc;
use std::time::Duration;

use super::block::{Block, Land};
use super::foreign::Foreign;
use super::ground::{Ground, Home};
use super::medium::{self, Medium, Real};
use super::serve;
use crate::endpoint::{self, Event as Came, Timing};
use crate::engine::{ConnectionId, Engine, Input, Output, Standing};
use crate::net::sim::{Settings, Simulator};
use crate::net::socket::IUT;
use crate::net::{Filter, NodeId, Quality};
use crate::pattern::ast::{End, Role};
use crate::peers::{Core, Scripted};
use crate::pf::{Pf, PfConfig, Policy};
use crate::suite::scenario::Act;
use crate::time::Instant;
use crate::trace::event::{Event, Kind, Party};
use crate::trace::tap::{SIP_PORTS, Tap};

/// Who runs on a node.
#[derive(Debug)]
pub(super) enum Inhabitant {
    /// The reference PF.
    Pf(Box<Pf>),
    /// The proxy between PF and clients.
    Core(Box<Core>),
    /// An actor of the script.
    Scripted(Box<Scripted>),
}

impl Engine for Inhabitant {
    fn handle(&mut self, now: Instant, input: Input) {
        match self {
            Self::Pf(pf) => pf.handle(now, input),
            Self::Core(core) => core.handle(now, input),
            Self::Scripted(actor) => actor.handle(now, input),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Pf(pf) => pf.poll_output(),
            Self::Core(core) => core.poll_output(),
            Self::Scripted(actor) => actor.poll_output(),
        }
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match self {
            Self::Pf(pf) => pf.poll_timeout(),
            Self::Core(core) => core.poll_timeout(),
            Self::Scripted(actor) => actor.poll_timeout(),
        }
    }

    fn standing(&self, connection: ConnectionId) -> Standing {
        match self {
            Self::Pf(pf) => pf.standing(connection),
            Self::Core(core) => core.standing(connection),
            Self::Scripted(actor) => actor.standing(connection),
        }
    }
}

/// A node that the script moves.
#[derive(Clone, Debug)]
struct Member {
    party: Party,
    node: NodeId,
    /// Whether the reference actor acts unscripted.
    reference: bool,
}

/// A node that is not the PF, before it is anywhere.
pub(super) type Resident = (Arc<str>, endpoint::Config, Inhabitant);

/// How a run on sockets goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How many times faster than the clock on the wall.
    pub(super) speed: f64,
    /// Whether the script kills the PF.
    pub(super) restarts: bool,
}

/// Blocks of addresses that are tried.
const ATTEMPTS: usize = 20;

fn pf_config(ground: &Ground, seed: u64) -> endpoint::Config {
    ground.config(seed, "pf", ground.pf_address, "pf.home1.example")
}

/// Every node but the PF: the core, then the homes in their order.
fn residents(ground: &Ground, seed: u64) -> Vec<Resident> {
    let config = ground.config(seed, "core", ground.core_address, "scscf1.home1.example");
    let mut core = Core::new(Arc::clone(&ground.core), config.clone());
    let mut residents = Vec::with_capacity(ground.homes.len() + 1);
    for home in &ground.homes {
        let name: Arc<str> = home.party.to_string().into();
        let config = ground.config(seed, &name, home.address, &home.host);
        let mut actor = Scripted::new(Arc::clone(&home.profile), config.clone());
        if home.party.role == Role::Client {
            core.bind(&home.profile.uri, &home.profile.contact(actor.endpoint().config()));
        }
        actor.set_reference(home.reference);
        if ground.is_off("client.rejoin-retry-after-491") {
            actor.give_up_after_491();
        }
        residents.push((name, config, Inhabitant::Scripted(Box::new(actor))));
    }
    residents.insert(0, ("core".into(), config, Inhabitant::Core(Box::new(core))));
    residents
}

/// The world of one scenario.
pub(super) struct World {
    medium: Medium,
    pf: NodeId,
    core: NodeId,
    members: Vec<Member>,
    pf_config: endpoint::Config,
    pf_settings: PfConfig,
    policy: Policy,
    timing: Timing,
    restarts: u64,
    clock: Duration,
    unattended: bool,
}

impl World {
    /// Builds the world of one seed in the simulator.
    pub(super) fn build(ground: &Ground, seed: u64) -> Self {
        let settings = Settings { seed, delay: ground.delay, ..Settings::default() };
        let mut sim = Simulator::new(&settings, Tap::new(ground.pf_address, SIP_PORTS));
        let config = pf_config(ground, seed);
        let addresses = [config.sip, config.msrp];
        let pf = Pf::new(config, ground.pf.clone(), ground.policy.clone());
        let pf = sim.add("pf".into(), &addresses, Inhabitant::Pf(Box::new(pf)));
        sim.observe(pf);
        sim.set_commit_plan(pf, ground.commits.clone());
        let add = |(name, config, inhabitant): Resident| {
            let core = matches!(inhabitant, Inhabitant::Core(_));
            let addresses = [config.sip, config.msrp];
            sim.add(name, if core { &addresses[..1] } else { &addresses }, inhabitant)
        };
        let nodes = residents(ground, seed).into_iter().map(add).collect::<Vec<_>>();
        Self::of(Medium::Virtual(Box::new(sim)), ground, seed, pf, nodes)
    }

    /// Builds the world on loopback addresses of its own, with the PF as another process. Returns it
    /// with the ground on which it stands, which `make` gives for a block of addresses.
    ///
    /// # Errors
    ///
    /// What the machine denies.
    pub(super) fn on_sockets(
        make: impl Fn(Land<'static>) -> Ground,
        seed: u64,
        Pace { speed, restarts }: Pace,
    ) -> Result<(Self, Ground), String> {
        let mut attempts = 0;
        loop {
            let ground = make(Land::Block(Block::next_loopback()));
            let config = pf_config(&ground, seed);
            let settings = serve::Settings { speed: Some(speed), ..ground.settings() };
            let pf = medium::Pf { address: ground.pf_address, settings: medium::settings_of(&config, settings), restarts };
            attempts += 1;
            match Real::begin(residents(&ground, seed), medium::Plan::Own(Box::new(pf))) {
                Ok((real, nodes)) => {
                    let clock = real.date;
                    let world = Self::of(Medium::Real(Box::new(real)), &ground, seed, IUT, nodes);
                    return Ok((Self { clock, ..world }, ground));
                }
                Err(fault) if medium::is_taken(&fault) && attempts < ATTEMPTS => {}
                Err(fault) => return Err(fault.to_string()),
            }
        }
    }

    /// Builds the world around an implementation that is not ours.
    ///
    /// # Errors
    ///
    /// What the machine denies.
    pub(super) fn around(foreign: &Foreign, ground: &Ground, seed: u64) -> Result<Self, String> {
        let begun = Real::begin(residents(ground, seed), medium::Plan::Foreign(foreign));
        let (real, nodes) = begun.map_err(|fault| fault.to_string())?;
        let clock = real.date;
        let world = Self::of(Medium::Real(Box::new(real)), ground, seed, IUT, nodes);
        Ok(Self { clock, ..world })
    }

    /// `nodes` are those of [`residents`]: the core, then the homes.
    fn of(medium: Medium, ground: &Ground, seed: u64, pf: NodeId, nodes: Vec<NodeId>) -> Self {
        let member = |(home, node): (&Home, NodeId)| Member { party: home.party.clone(), node, reference: home.reference };
        Self {
            medium,
            pf,
            core: nodes[0],
            members: ground.homes.iter().zip(nodes.into_iter().skip(1)).map(member).collect(),
            pf_config: pf_config(ground, seed),
            pf_settings: ground.pf.clone(),
            policy: ground.policy.clone(),
            timing: ground.timing,
            restarts: 0,
            clock: Duration::ZERO,
            unattended: false,
        }
    }

    /// The present.
    pub(super) fn now(&self) -> Instant {
        self.medium.now()
    }

    /// How far the wall clock has jumped.
    pub(super) const fn clock(&self) -> Duration {
        self.clock
    }

    /// T1, T2 and T4 of every node.
    pub(super) const fn timing(&self) -> Timing {
        self.timing
    }

    /// Everything recorded so far.
    pub(super) fn events(&self) -> &[Event] {
        self.medium.events()
    }

    /// The record, when nothing more is to happen.
    pub(super) fn into_events(self) -> Vec<Event> {
        self.medium.into_events()
    }

    /// Records something that is no message.
    pub(super) fn record(&mut self, kind: Kind) {
        self.medium.record(kind);
    }

    /// Puts a filter at the edge of the IUT.
    pub(super) fn tamper(&mut self, filter: Box<dyn Filter>) {
        self.medium.set_filter(Some(filter));
    }

    /// Lets the next thing happen that is due by `limit`.
    pub(super) fn step(&mut self, limit: Instant) -> Option<NodeId> {
        self.medium.step(limit)
    }

    /// The nodes of an end: of a user all devices.
    pub(super) fn nodes(&self, end: &End) -> impl Iterator<Item = NodeId> {
        self.members.iter().filter(move |member| member.party.is(end)).map(|member| member.node)
    }

    /// The scripted actor on a node.
    pub(super) fn actor(&self, node: NodeId) -> Option<&Scripted> {
        match self.medium.engine(node) {
            Some(Inhabitant::Scripted(actor)) => Some(actor),
            Some(Inhabitant::Pf(_) | Inhabitant::Core(_)) | None => None,
        }
    }

    /// Lets the scripted actor on a node act.
    pub(super) fn act<R>(&mut self, node: NodeId, action: impl FnOnce(&mut Scripted, Instant) -> R) -> Option<R> {
        let act = |inhabitant: &mut Inhabitant, now| match inhabitant {
            Inhabitant::Scripted(actor) => Some(action(actor, now)),
            Inhabitant::Pf(_) | Inhabitant::Core(_) => None,
        };
        self.medium.act(node, act).flatten()
    }

    /// The next thing that came to an actor of the script. What comes to a reference actor is its
    /// own business.
    pub(super) fn poll_event(&mut self, node: NodeId) -> Option<Came> {
        let member = self.members.iter().find(|member| member.node == node)?;
        let silent = member.reference || self.unattended;
        let Some(Inhabitant::Scripted(actor)) = self.medium.engine_mut(node) else { return None };
        if silent {
            while actor.poll_event().is_some() {}
        }
        actor.poll_event()
    }

    /// Lets an actor do what its role does unasked.
    pub(super) fn act_automatically(&mut self, node: NodeId, came: &Came) {
        self.act(node, |actor, now| actor.act_automatically(now, came));
    }

    /// Whether an actor has dealt with what came already.
    pub(super) fn is_settled(&self, node: NodeId, came: &Came) -> bool {
        let Some(actor) = self.actor(node) else { return true };
        match came {
            Came::Request { message, .. } => actor.pending(message).is_none(),
            Came::Response { dialog, .. } => dialog.is_none_or(|dialog| actor.unacknowledged(dialog).is_none()),
            Came::Msrp { event: crate::msrp::Event::Received(incoming), .. } => actor.unanswered(&incoming.message_id).is_none(),
            Came::Cancelled { transaction, .. } => actor.endpoint().request(*transaction).is_none(),
            _ => false,
        }
    }

    /// The users that registered a device since this was asked last.
    pub(super) fn poll_registered(&mut self) -> Option<String> {
        let take = |inhabitant: &mut Inhabitant, _| match inhabitant {
            Inhabitant::Core(core) => core.poll_registered(),
            Inhabitant::Pf(_) | Inhabitant::Scripted(_) => None,
        };
        self.medium.act(self.core, take).flatten()
    }

    /// Takes a device out of the location service, or all of a user.
    pub(super) fn unbind(&mut self, user: &str, contact: Option<&str>) {
        self.medium.act(self.core, |inhabitant: &mut Inhabitant, _| {
            if let Inhabitant::Core(core) = inhabitant {
                core.unbind(user, contact);
            }
        });
    }

    /// From now on every actor follows its habits alone, and nobody keeps a record.
    pub(super) fn set_unattended(&mut self) {
        self.medium.close_record();
        self.unattended = true;
        for node in self.members.iter().map(|member| member.node).collect::<Vec<_>>() {
            self.act(node, |actor, _| actor.set_unattended(true));
        }
    }

    /// Every actor of a role ends what it has open.
    pub(super) fn hang_up(&mut self, role: Role) {
        let members = self.members.iter().filter(|member| member.party.role == role);
        for node in members.map(|member| member.node).collect::<Vec<_>>() {
            self.act(node, |actor, now| actor.hang_up(now));
        }
    }

    /// Changes the world as a step says.
    pub(super) fn change(&mut self, act: &Act) {
        match act {
            Act::Disconnect(end) => {
                self.medium.record(Kind::Fault(format!("disconnect {end}")));
                for node in self.nodes(end).collect::<Vec<_>>() {
                    self.medium.disconnect(node);
                }
            }
            Act::Link { from, to, quality } => {
                self.medium.record(Kind::Fault(format!("link {from} {to}")));
                let crate::suite::scenario::Quality { loss, delay, reorder, duplicate } = *quality;
                let quality = Quality { loss, delay, reorder, duplicate };
                self.each_pair(from, to, |medium, one, other| medium.set_link(one, other, quality));
            }
            Act::Partition(one, other) => {
                self.medium.record(Kind::Fault(format!("partition {one} {other}")));
                self.each_pair(one, other, Medium::partition);
            }
            Act::Heal(one, other) => {
                self.medium.record(Kind::Fault(format!("heal {one} {other}")));
                self.each_pair(one, other, Medium::heal);
            }
            Act::Restart(end) => {
                self.medium.record(Kind::Fault(format!("restart {end}")));
                self.restart();
            }
            Act::Clock(span) => {
                self.medium.record(Kind::Fault(format!("clock +{}s", span.as_secs())));
                self.clock += *span;
            }
            _ => {}
        }
    }

    fn each_pair(&mut self, from: &End, to: &End, mut act: impl FnMut(&mut Medium, NodeId, NodeId)) {
        let (from, to) = (self.places(from), self.places(to));
        for one in &from {
            for other in &to {
                act(&mut self.medium, *one, *other);
            }
        }
    }

    /// The nodes that stand for an end on the network: the core is the proxy and its registrar.
    fn places(&self, end: &End) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = self.nodes(end).collect();
        let is = |role: Role, name: &str| Party::new(role, name).is(end);
        if is(Role::Pf, "pf") {
            nodes.push(self.pf);
        }
        let core = self.members.iter().any(|member| member.party.role == Role::Core && member.party.is(end));
        if core || is(Role::Core, "core") {
            nodes.push(self.core);
        }
        nodes
    }

    /// The keys of what the store of the PF holds.
    #[cfg(test)]
    pub(super) fn keys_in_store(&mut self) -> Vec<Vec<u8>> {
        let Medium::Virtual(sim) = &mut self.medium else { return Vec::new() };
        let records = sim.store(self.pf).records().unwrap_or_default();
        records.into_iter().map(|(key, _)| key).collect()
    }

    /// The process of the PF dies and starts again from what its store holds.
    fn restart(&mut self) {
        self.restarts += 1;
        // A new process draws new identifiers.
        let seed = self.pf_config.seed.wrapping_add(self.restarts);
        let sim = match &mut self.medium {
            Medium::Virtual(sim) => sim,
            Medium::Real(real) => return real.restart(seed),
        };
        sim.kill(self.pf);
        let config = endpoint::Config { seed, ..self.pf_config.clone() };
        // The simulator's store is in memory: reading it does not fail.
        let records = sim.store(self.pf).records().unwrap_or_default();
        let pf = Pf::restored(config, self.pf_settings.clone(), self.policy.clone(), records)
            .expect("the PF takes up what it has written itself");
        sim.start(self.pf, Inhabitant::Pf(Box::new(pf)));
    }

    /// Why the IUT is gone, if it is and nobody asked for that.
    pub(super) fn is_broken(&mut self) -> Option<String> {
        self.medium.is_broken()
    }

    /// The sessions and subscriptions that actors still have, as a person names them.
    pub(super) fn open_sessions(&self) -> impl Iterator<Item = String> {
        self.members.iter().flat_map(|member| {
            let actor = self.actor(member.node);
            let count = actor.map_or(0, |actor| actor.open_sessions());
            (0..count).map(move |_| format!("a session of {}", member.party))
        })
    }
}
