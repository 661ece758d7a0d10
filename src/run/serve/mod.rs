//! An actor as a server: the engines of this crate on real sockets until a signal ends them.

mod actor;
mod config;
mod control;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedReceiver;

pub use actor::Part;
pub use config::{Group, LimitSettings, Mistake, Settings, TimerSettings, TlsSettings, User};

use crate::endpoint::{self, Hosts, Timing};
use crate::engine::{MemoryStore, Store, Transport};
use crate::net::disk::{Disk, OpenError};
pub use crate::net::socket::Listener;
use crate::net::socket::{self, Bound, BoxedStore, Clock, Limits, Names, Sockets, Tls, Use, names_of};
use crate::net::{CommitPlan, NodeId};
use crate::pf::BadRecord;
use actor::Actor;
use config::seconds;

/// Descriptors that are not connections.
const OTHER_DESCRIPTORS: u64 = 64;
/// How long SIGTERM waits for what is under way.
const DRAIN: Duration = Duration::from_secs(5);
/// Where the PF keeps what must survive, unless it is told otherwise.
const STORE: &str = ".cpmcheck/pf.store";

/// Why a server does not start.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is wrong.
    Configuration(Mistake),
    /// The machine denies something.
    Machine(socket::Fault),
    /// The store cannot be used.
    Store(OpenError),
    /// The store holds what this PF cannot take up.
    Records(BadRecord),
}

impl From<Mistake> for Failure {
    fn from(mistake: Mistake) -> Self {
        Self::Configuration(mistake)
    }
}

impl From<socket::Fault> for Failure {
    fn from(fault: socket::Fault) -> Self {
        Self::Machine(fault)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Configuration(mistake) => mistake.fmt(f),
            Self::Machine(fault) => fault.fmt(f),
            Self::Store(why) => why.fmt(f),
            Self::Records(why) => write!(f, "the store holds what this PF cannot take up: {why}"),
        }
    }
}

/// Where records go.
#[derive(Clone, PartialEq, Eq, Debug)]
enum StoreChoice {
    Memory,
    File(PathBuf),
}

/// A server whose settings make sense, before it touches the machine.
#[derive(Debug)]
pub struct Server {
    part: Part,
    settings: Settings,
    listeners: Vec<Listener>,
    limits: Limits,
    hosts: Hosts,
    timing: Timing,
    speed: f64,
    speed_since: Option<Duration>,
    drain: Duration,
}

impl Server {
    /// Checks settings.
    ///
    /// # Errors
    ///
    /// The first mistake.
    pub fn plan(part: Part, settings: Settings) -> Result<Self, Mistake> {
        let usual = Timing::default();
        let timers = &settings.timers;
        let timing = Timing {
            t1: seconds("timers.t1", timers.t1, usual.t1)?,
            t2: seconds("timers.t2", timers.t2, usual.t2)?,
            t4: seconds("timers.t4", timers.t4, usual.t4)?,
        };
        let speed = settings.speed.unwrap_or(1.0);
        if !(0.01..=1000.0).contains(&speed) {
            return Err(Mistake::new("speed", format!("{speed} is not between 0.01 and 1000")));
        }
        settings.values()?;
        settings.tls_files()?;
        actor::check(part, &settings)?;
        Ok(Self {
            part,
            listeners: settings.listeners()?,
            limits: settings.limits()?,
            hosts: settings.resolved()?.into_iter().collect(),
            timing,
            speed,
            speed_since: settings.speed_since.and_then(|since| Duration::try_from_secs_f64(since).ok()),
            drain: seconds("drain", settings.drain, DRAIN)?,
            settings,
        })
    }

    /// Serves until `stop` is done, then drains. `ready` is told every socket once all are bound, and
    /// the desk's user what happens.
    ///
    /// # Errors
    ///
    /// When the machine denies what is needed.
    pub async fn run(
        self,
        ready: impl FnOnce(&[Listener]),
        mut desk: Desk<impl FnMut(&str)>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let wanted = self.limits.connections as u64 + OTHER_DESCRIPTORS;
        let granted = socket::raise_descriptor_limit(self.needed_descriptors())?;
        let connections = usize::try_from(granted.min(wanted) - OTHER_DESCRIPTORS).unwrap_or(self.limits.connections);
        let limits = Limits { connections, ..self.limits };
        let bound = Bound::bind(&self.listeners, &limits)?;
        let listeners: Vec<Listener> = bound.listeners().collect();
        let tls = self.tls(&listeners)?;
        let mut sockets = Sockets::new(Clock::of_the_wall(self.speed, self.speed_since), limits, Some(tls));
        let (store, records) = self.store()?;
        let engine = Actor::new(self.part, &self.settings, self.endpoint(&bound)?, records)?;
        let node = sockets.add(self.part.name().into(), bound, Some(store), engine)?;
        if let Some(plan) = self.commit_plan()? {
            sockets.set_commit_plan(node, plan);
        }
        sockets.act(node, |actor, now| actor.begin(now));
        ready(&listeners);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                stepped = sockets.step(None) => attend(&mut sockets, stepped, &mut desk.tell),
                Some(line) = desk.orders.recv() => {
                    if let Some(Err(why)) = sockets.act(node, |actor, now| actor.obey(now, &line)) {
                        (desk.tell)(&format!("error {why}"));
                    }
                    attend(&mut sockets, Some(node), &mut desk.tell);
                }
            }
        }
        tracing::info!(target: "serve", "draining");
        sockets.drain(self.drain).await;
        Ok(())
    }

    /// Commits that are to be slow or to fail, for tests.
    fn commit_plan(&self) -> Result<Option<CommitPlan>, Mistake> {
        let plan = super::ground::commit_plan(&self.settings.values()?);
        Ok((plan != CommitPlan::default()).then_some(plan))
    }

    /// As many as were asked for explicitly; otherwise what there is will do.
    fn needed_descriptors(&self) -> u64 {
        let asked = self.settings.limits.connections.map_or(0, |connections| connections as u64);
        asked + OTHER_DESCRIPTORS
    }

    fn tls(&self, listeners: &[Listener]) -> Result<Tls, Failure> {
        let files = self.settings.tls_files()?;
        let mut names = names_of(listeners.iter().map(|own| own.address.ip()));
        names.extend(self.settings.host.clone());
        let mut known = Names::new();
        for (name, address) in self.hosts.iter() {
            known.entry(address).or_default().push(name.to_owned());
        }
        let tls = Tls::new(&files, &names, &known)?;
        if tls.trusts_all() && listeners.iter().any(Listener::is_secure) {
            tracing::warn!(target: "serve", "certificates of peers are not checked; `tls.trusted` names whom to trust");
        }
        Ok(tls)
    }

    fn endpoint(&self, bound: &Bound) -> Result<endpoint::Config, Mistake> {
        let plain = bound.address(Use::Sip, &[Transport::Udp, Transport::Tcp]);
        let secure = bound.address(Use::Sip, &[Transport::Tls]);
        let msrp = bound.address(Use::Msrp, &[Transport::Tcp, Transport::Tls]);
        let first = plain.or(secure).map_or(IpAddr::from([127, 0, 0, 1]), |address| address.ip());
        let host = match &self.settings.host {
            Some(host) => host.clone(),
            None if first.is_unspecified() => {
                return Err(Mistake::new("host", "needed when listening on all addresses: peers must be told one"));
            }
            None => first.to_string(),
        };
        let mut config = endpoint::Config::new(self.part.name(), self.seed(), first, &host, Arc::new(self.hosts.clone()));
        config.sip = plain.unwrap_or(SocketAddr::new(first, 0));
        config.sips = secure.unwrap_or(SocketAddr::new(first, 0));
        config.msrp = msrp.unwrap_or(SocketAddr::new(first, 0));
        config.secure_media = bound.address(Use::Msrp, &[Transport::Tls]).is_some();
        config.timing = self.timing;
        // What names no transport goes as the first listener does.
        config.transport = self.listeners.first().map_or(Transport::Udp, |own| own.transport);
        Ok(config)
    }

    /// Identifiers of two processes must differ.
    fn seed(&self) -> u64 {
        use std::hash::{BuildHasher, RandomState};
        self.settings.seed.unwrap_or_else(|| RandomState::new().hash_one(std::process::id()))
    }

    fn choice(&self) -> StoreChoice {
        match (self.settings.store.as_deref(), self.part) {
            (Some("memory"), _) | (None, Part::Cf | Part::Client) => StoreChoice::Memory,
            (Some(path), _) => StoreChoice::File(path.into()),
            (None, Part::Pf) => StoreChoice::File(STORE.into()),
        }
    }

    fn store(&self) -> Result<(BoxedStore, Records), Failure> {
        match self.choice() {
            StoreChoice::Memory => Ok((Box::new(MemoryStore::default()), Vec::new())),
            StoreChoice::File(path) => {
                if let (None, Some(folder)) = (&self.settings.store, path.parent()) {
                    // The folder of the usual place is ours to make; if it cannot be, opening says so.
                    let _ = std::fs::create_dir_all(folder);
                }
                let owner = match self.part {
                    Part::Pf => actor::identity(&self.settings),
                    Part::Cf | Part::Client => self.part.name().to_owned(),
                };
                let store = Disk::open(&path, &owner).map_err(Failure::Store)?;
                let unreadable = |fault: std::io::Error| Failure::Store(OpenError { path: path.clone(), fault: fault.into() });
                let records = store.records().map_err(unreadable)?;
                Ok((Box::new(store), records))
            }
        }
    }
}

/// What a store holds.
type Records = Vec<(Vec<u8>, Bytes)>;

/// The user of a focus or client: where orders come from, and who is told what happens.
#[derive(Debug)]
pub struct Desk<F> {
    /// Orders, one a line; none come any more once the other end is dropped.
    pub orders: UnboundedReceiver<String>,
    /// Is told what happens, a line at a time.
    pub tell: F,
}

/// Lets an actor deal with what came, and tells its user.
fn attend(sockets: &mut Sockets<Actor>, stepped: Option<NodeId>, tell: &mut impl FnMut(&str)) {
    let Some(node) = stepped else { return };
    while let Some(event) = sockets.act(node, |actor, _| actor.attend()).flatten() {
        if let Some(line) = control::news(&event) {
            tell(&line);
        }
    }
}
