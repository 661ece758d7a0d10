//! What carries bytes between the nodes of a world: the simulator, or sockets in real time.

use std::net::IpAddr;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::foreign::{Foreign, Restart};
use super::process::{Folder, Process};
use super::serve::Settings;
use super::world::{Inhabitant, Resident};
use crate::endpoint;
use crate::engine::Transport;
use crate::net::sim::Simulator;
use crate::net::socket::{Bound, Clock, Fault, Limits, Listener, Names, Sockets, Tls, TlsFiles, Use, names_of};
use crate::net::{Filter, NodeId, Quality};
use crate::time::Instant;
use crate::trace::event::{Event, Kind};

/// What carries bytes between the nodes of a world.
pub(super) enum Medium {
    /// Virtual time; the IUT is a node.
    Virtual(Box<Simulator<Inhabitant>>),
    /// Real time; the IUT is another process.
    Real(Box<Real>),
}

/// Nodes on sockets, and the process that is judged.
pub(super) struct Real {
    /// Before the runtime, in which its tasks live.
    sockets: Sockets<Inhabitant>,
    runtime: Runtime,
    iut: Iut,
    /// How far the date of the PF is from the day on which every simulated run begins, at the start.
    pub(super) date: Duration,
    /// Why the IUT did not come back.
    gone: Option<String>,
    now: Instant,
}

/// The IUT of a run on sockets.
enum Iut {
    /// Our PF in a process of its own.
    Own {
        process: Process,
        settings: Box<Settings>,
        /// What the process keeps when it is killed, if it is to keep anything.
        _store: Option<Folder>,
    },
    /// Somebody else's.
    Foreign(Restart),
}

impl Iut {
    /// Kills it and starts it again.
    fn restart(&mut self, seed: u64) -> Result<(), String> {
        match self {
            Self::Own { process, settings, .. } => {
                process.kill();
                settings.seed = Some(seed);
                *process = Process::start(settings)?;
                Ok(())
            }
            Self::Foreign(restart) => restart.run(),
        }
    }

    fn ended(&mut self) -> Option<String> {
        match self {
            Self::Own { process, .. } => process.ended(),
            Self::Foreign(_) => None,
        }
    }
}

impl Medium {
    /// The present.
    pub(super) fn now(&self) -> Instant {
        match self {
            Self::Virtual(sim) => sim.now(),
            Self::Real(real) => real.now,
        }
    }

    /// Everything recorded so far.
    pub(super) fn events(&self) -> &[Event] {
        match self {
            Self::Virtual(sim) => sim.events(),
            Self::Real(real) => real.sockets.events(),
        }
    }

    /// The record, when the run is over.
    pub(super) fn into_events(self) -> Vec<Event> {
        match self {
            Self::Virtual(sim) => sim.into_events(),
            Self::Real(real) => real.sockets.events().to_vec(),
        }
    }

    /// Records something that is no message.
    pub(super) fn record(&mut self, kind: Kind) {
        match self {
            Self::Virtual(sim) => sim.record(kind),
            Self::Real(real) => real.sockets.record(kind),
        }
    }

    /// Puts a filter at the edge of the IUT, where that is ours.
    pub(super) fn set_filter(&mut self, filter: Option<Box<dyn Filter>>) {
        match self {
            Self::Virtual(sim) => sim.set_filter(filter),
            Self::Real(_) => debug_assert!(filter.is_none(), "links are tampered with in the simulator"),
        }
    }

    /// Lets the next thing happen that is due by `limit`.
    pub(super) fn step(&mut self, limit: Instant) -> Option<NodeId> {
        match self {
            Self::Virtual(sim) => sim.step(limit),
            Self::Real(real) => real.step(limit),
        }
    }

    /// The engine of a node.
    pub(super) fn engine(&self, node: NodeId) -> Option<&Inhabitant> {
        match self {
            Self::Virtual(sim) => sim.engine(node),
            Self::Real(real) => real.sockets.engine(node),
        }
    }

    /// Acts on the engine of a node now.
    pub(super) fn act<R>(&mut self, node: NodeId, action: impl FnOnce(&mut Inhabitant, Instant) -> R) -> Option<R> {
        match self {
            Self::Virtual(sim) => sim.act(node, action),
            Self::Real(real) => {
                let _inside = real.runtime.enter();
                let result = real.sockets.act(node, action);
                real.now = real.now.max(real.sockets.now());
                result
            }
        }
    }

    /// The engine of a node, to look at what it has kept for its user.
    pub(super) fn engine_mut(&mut self, node: NodeId) -> Option<&mut Inhabitant> {
        match self {
            Self::Virtual(sim) => sim.engine_mut(node),
            Self::Real(real) => real.sockets.engine_mut(node),
        }
    }

    /// Nobody reads what is recorded from now on.
    pub(super) fn close_record(&mut self) {
        match self {
            Self::Virtual(sim) => sim.close_record(),
            Self::Real(_) => {}
        }
    }

    /// Resets every connection of a node.
    pub(super) fn disconnect(&mut self, node: NodeId) {
        match self {
            Self::Virtual(sim) => sim.disconnect(node),
            Self::Real(real) => {
                let _inside = real.runtime.enter();
                real.sockets.disconnect(node);
            }
        }
    }

    /// Sets what the link between two nodes does, both ways.
    pub(super) fn set_link(&mut self, one: NodeId, other: NodeId, quality: Quality) {
        match self {
            Self::Virtual(sim) => sim.set_link(one, other, quality),
            Self::Real(real) => real.sockets.set_link(one, other, quality),
        }
    }

    /// From now on nothing passes between the two.
    pub(super) fn partition(&mut self, one: NodeId, other: NodeId) {
        match self {
            Self::Virtual(sim) => sim.partition(one, other),
            Self::Real(real) => real.sockets.partition(one, other),
        }
    }

    /// All passes again.
    pub(super) fn heal(&mut self, one: NodeId, other: NodeId) {
        match self {
            Self::Virtual(sim) => sim.heal(one, other),
            Self::Real(real) => real.sockets.heal(one, other),
        }
    }

    /// Why nothing more can come of the run: the IUT is gone, and nobody asked for that.
    pub(super) fn is_broken(&mut self) -> Option<String> {
        match self {
            Self::Virtual(_) => None,
            Self::Real(real) => real.gone.take().or_else(|| real.iut.ended()),
        }
    }
}

impl Real {
    fn step(&mut self, limit: Instant) -> Option<NodeId> {
        let node = self.runtime.block_on(self.sockets.step(Some(limit)));
        self.now = self.now.max(self.sockets.now());
        if node.is_none() {
            self.now = self.now.max(limit);
        }
        node
    }

    /// Kills the process of the IUT and starts it again, on the same store and addresses. A new
    /// process draws new identifiers.
    pub(super) fn restart(&mut self, seed: u64) {
        let then = self.sockets.now();
        self.gone = self.iut.restart(seed).err();
        self.sockets.iut_restarted(then);
    }

    /// Binds the sockets of every node, starts the IUT if it is ours, and then the clock. Returns the
    /// numbers of the nodes, in their order.
    pub(super) fn begin(nodes: Vec<Resident>, plan: Plan<'_>) -> Result<(Self, Vec<NodeId>), Fault> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|cause| Fault::Io("no runtime", cause))?;
        let inside = runtime.enter();
        let limits = Limits::default();
        let bound: Vec<Bound> =
            nodes.iter().map(|(_, config, _)| Bound::bind(&listeners(config), &limits)).collect::<Result<_, _>>()?;
        let names = names_of(nodes.iter().map(|(_, config, _)| config.sip.ip()));
        let tls = Tls::new(&plan.tls(), &names, &plan.names())?;
        let (speed, (address, port)) = (plan.speed(), plan.reach());
        let since = Clock::since_1970();
        let iut = plan.start(since)?;
        let mut sockets = Sockets::new(Clock::from_zero(speed), limits, Some(tls)).observing(address, port);
        let mut ids = Vec::new();
        for ((name, _, inhabitant), bound) in nodes.into_iter().zip(bound) {
            ids.push(sockets.add(name, bound, None, inhabitant)?);
        }
        drop(inside);
        let date = Clock::of_the_wall(speed, Some(since)).now().since(sockets.now());
        Ok((Self { date, sockets, runtime, iut, gone: None, now: Instant::ZERO }, ids))
    }
}

/// What is to be the IUT of a run on sockets.
pub(super) enum Plan<'f> {
    Own(Box<Pf>),
    Foreign(&'f Foreign),
}

impl Plan<'_> {
    fn tls(&self) -> TlsFiles {
        match self {
            Self::Own(_) => TlsFiles::default(),
            Self::Foreign(foreign) => foreign.tls(),
        }
    }

    /// The names that certificates may carry in place of addresses.
    fn names(&self) -> Names {
        match self {
            Self::Own(_) => Names::new(),
            Self::Foreign(foreign) => foreign.names(),
        }
    }

    fn speed(&self) -> f64 {
        match self {
            Self::Own(pf) => pf.settings.speed.unwrap_or(1.0),
            Self::Foreign(foreign) => foreign.target.timers.speed,
        }
    }

    /// Where it is, and its port for SIP where that is not the usual one.
    fn reach(&self) -> (IpAddr, Option<u16>) {
        match self {
            Self::Own(pf) => (pf.address, None),
            Self::Foreign(foreign) => (foreign.reach.address.ip(), Some(foreign.reach.address.port())),
        }
    }

    /// Starts it, if it is ours to start.
    fn start(self, since: Duration) -> Result<Iut, Fault> {
        let Pf { mut settings, restarts, .. } = match self {
            Self::Own(pf) => *pf,
            Self::Foreign(foreign) => return Ok(Iut::Foreign(foreign.restart())),
        };
        let failed = |why: String| Fault::Io("no run on sockets", std::io::Error::other(why));
        let store = restarts.then(Folder::make).transpose().map_err(|cause| Fault::Io("no folder for the store", cause))?;
        let file = |folder: &Folder| folder.path().join("pf.store").display().to_string();
        settings.store = Some(store.as_ref().map_or_else(|| "memory".to_owned(), file));
        settings.speed_since = Some(since.as_secs_f64());
        let process = Process::start(&settings).map_err(failed)?;
        Ok(Iut::Own { process, settings: Box::new(settings), _store: store })
    }
}

/// Our PF in a process of its own.
pub(super) struct Pf {
    pub(super) address: IpAddr,
    pub(super) settings: Settings,
    /// Whether the script kills it: then it needs a store that outlives it.
    pub(super) restarts: bool,
}

/// Where a node listens, by its transport: a plain one always takes UDP and TCP alike.
fn listeners(config: &endpoint::Config) -> Vec<Listener> {
    let secure = config.transport == Transport::Tls;
    let listener = |of, transport, address| Listener { of, transport, address };
    let mut listeners = vec![
        listener(Use::Sip, Transport::Udp, config.sip),
        listener(Use::Sip, Transport::Tcp, config.sip),
        listener(Use::Msrp, if config.secure_media { Transport::Tls } else { Transport::Tcp }, config.msrp),
    ];
    listeners.extend(secure.then(|| listener(Use::Sip, Transport::Tls, config.sips)));
    listeners
}

/// The settings of a PF that is configured like a node of the simulator.
pub(super) fn settings_of(config: &endpoint::Config, settings: Settings) -> Settings {
    let text = |own: &Listener| format!("{}:{}", own.transport.token().to_ascii_lowercase(), own.address);
    let (mut sip, msrp): (Vec<Listener>, Vec<Listener>) = listeners(config).into_iter().partition(|own| own.of == Use::Sip);
    // What names no transport goes as the first one does.
    sip.sort_by_key(|own| own.transport != config.transport);
    Settings {
        listen: sip.iter().map(text).collect(),
        msrp_listen: msrp.iter().map(text).collect(),
        host: Some(config.host.clone()),
        seed: Some(config.seed),
        ..settings
    }
}

/// Whether an attempt failed because of an address that somebody else has.
pub(super) fn is_taken(fault: &Fault) -> bool {
    match fault {
        Fault::Bind { cause, .. } => cause.kind() == std::io::ErrorKind::AddrInUse,
        Fault::Io(_, cause) => cause.to_string().contains("is in use"),
        Fault::Descriptors { .. } | Fault::Tls(_) => false,
    }
}
