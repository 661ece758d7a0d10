//! The ground on which a world stands: addresses, hosts, profiles of the actors, knobs, and the
//! address book by which its trace is read.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::block::{Block, Land};
use super::serve::{self, TimerSettings, User};
use crate::endpoint::{self, Hosts, Timing};
use crate::engine::Transport;
use crate::net::{CommitFailure, CommitPlan};
use crate::pattern::Names;
use crate::pattern::ast::Role;
use crate::peers::{CoreSettings, GroupProfile, Profile};
use crate::pf::{self, PfConfig, Policy, ServedUser};
use crate::policy::Values;
use crate::suite::scenario::{Actor, Defaults, Identity, Scenario};
use crate::trace::event::{AddressBook, Party};

/// The URI of the PF.
pub(super) const PF_URI: &str = "sip:pf.home1.example";
/// The name of the PF.
pub(super) const PF_HOST: &str = "pf.home1.example";
/// The URI of the S-CSCF.
pub(super) const CORE_URI: &str = "sip:scscf1.home1.example";

/// The names of a suite: identities, their devices, groups.
pub fn names(defaults: &Defaults) -> Names {
    let mut names = Names::default();
    for (name, identity) in &defaults.identities {
        let mut addresses = vec![identity.uri.clone()];
        addresses.extend(identity.aliases.iter().cloned());
        names.insert(name, addresses, identity.display.clone());
        for (device, instance) in &identity.devices {
            let full = if device.is_empty() { name.clone() } else { format!("{name}.{device}") };
            names.insert_device(&full, instance.clone());
        }
        if let (1, Some(instance)) = (identity.devices.len(), identity.devices.values().next()) {
            names.insert_device(name, instance.clone());
        }
    }
    for (name, group) in &defaults.groups {
        names.insert(name, vec![group.focus.clone()], Some(group.subject.clone()));
    }
    names.insert("pf", vec![pf_identity(defaults)], None);
    names
}

/// The users, instances and groups of a suite, wherever they are: what a capture may show of them.
pub fn acquaintances(defaults: &Defaults) -> AddressBook {
    let mut book = AddressBook::default();
    for (name, identity) in &defaults.identities {
        let user = Party::new(Role::Client, name);
        book.users.extend(addresses_of(identity).into_iter().map(|uri| (uri, user.clone())));
        let party = |device: &str| if device.is_empty() { user.clone() } else { Party::on(Role::Client, name, device) };
        book.instances.extend(identity.devices.iter().map(|(device, instance)| (instance.clone(), party(device))));
    }
    book.groups = groups(defaults);
    book
}

fn groups(defaults: &Defaults) -> Vec<(String, Arc<str>)> {
    let ids = defaults.groups.iter().flat_map(|(name, group)| {
        let name: Arc<str> = name.as_str().into();
        [&group.focus, &group.conversation_id, &group.contribution_id].map(|id| (id.clone(), Arc::clone(&name)))
    });
    ids.collect()
}

/// What the PF calls itself.
fn pf_identity(defaults: &Defaults) -> String {
    if defaults.pf.is_empty() { "sip:rcse-standfw@home1.example".to_owned() } else { defaults.pf.clone() }
}

/// What every run of one variant of one scenario stands on, whatever its seed.
#[derive(Debug)]
pub(super) struct Ground {
    /// Where the PF is.
    pub(super) pf_address: IpAddr,
    /// Where the core is.
    pub(super) core_address: IpAddr,
    hosts: Arc<Hosts>,
    transport: Transport,
    /// T1, T2 and T4 of every node.
    pub(super) timing: Timing,
    /// Time on the way between two nodes.
    pub(super) delay: Duration,
    /// Where the actors live.
    pub(super) homes: Vec<Home>,
    /// What the PF is told about its surroundings.
    pub(super) pf: PfConfig,
    /// The knobs as the PF reads them.
    pub(super) policy: Policy,
    /// How the commits of the PF go.
    pub(super) commits: CommitPlan,
    /// What the core is told about its surroundings.
    pub(super) core: Arc<CoreSettings>,
    /// By what the trace is read.
    pub(super) book: Arc<AddressBook>,
    /// Every knob and its value.
    pub(super) knobs: Arc<BTreeMap<String, String>>,
}

impl Ground {
    /// The ground of a scenario under a policy.
    pub(super) fn of(defaults: &Defaults, scenario: &Scenario, policy: &BTreeMap<String, String>) -> Self {
        Self::at(Land::Block(Block::SIMULATED), defaults, scenario, policy)
    }

    /// The same elsewhere.
    pub(super) fn at(land: Land<'_>, defaults: &Defaults, scenario: &Scenario, policy: &BTreeMap<String, String>) -> Self {
        let values = Values::read(policy.iter().map(|(name, value)| (name.as_str(), value.as_str()))).unwrap_or_default();
        let homes = homes(land, defaults, scenario);
        let users = defaults.identities.values().map(addresses_of).collect();
        let knobs = crate::policy::knobs().iter().map(|knob| (knob.name.to_owned(), values.text(knob.name).to_owned()));
        Self {
            pf_address: land.pf(),
            core_address: land.core(),
            hosts: Arc::new(hosts(land, &homes)),
            transport: if values.is("sip.transport", "udp") { Transport::Udp } else { Transport::Tcp },
            timing: timing(&values),
            delay: defaults.delay,
            pf: pf_settings(defaults, scenario),
            policy: Policy::of(&values),
            commits: commit_plan(&values),
            core: Arc::new(CoreSettings { uri: CORE_URI.to_owned(), pf: PF_URI.to_owned(), users, cancel_others: true }),
            book: Arc::new(book(land, defaults, &homes)),
            knobs: Arc::new(knobs.collect()),
            homes,
        }
    }

    /// Whether a knob is turned off.
    pub(super) fn is_off(&self, knob: &str) -> bool {
        self.knobs.get(knob).is_some_and(|value| crate::policy::same(value, "false"))
    }

    /// Puts the SIP of the PF at a port of its own.
    pub(super) fn with_pf_at(mut self, address: SocketAddr) -> Self {
        let mut hosts = Hosts::clone(&self.hosts);
        hosts.set_port(PF_HOST, address.port());
        self.hosts = Arc::new(hosts);
        Arc::make_mut(&mut self.book).nodes.insert(0, (address, Party::new(Role::Pf, "pf")));
        self
    }

    /// Has all nodes use these timers.
    pub(super) const fn timed(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Has all nodes speak TLS, SIP and MSRP, or one of the others.
    pub(super) const fn over(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// What the PF is told when it is a process of its own, besides where it listens.
    pub(super) fn settings(&self) -> serve::Settings {
        let user = |user: &ServedUser| User { uri: user.uri.clone(), aliases: user.aliases.clone(), ..User::default() };
        let turned = crate::policy::knobs().iter().filter_map(|knob| {
            let value = self.knobs.get(knob.name).filter(|value| !crate::policy::same(value, knob.default))?;
            Some((knob.name.to_owned(), value.as_str().into()))
        });
        let Timing { t1, t2, t4 } = self.timing;
        serve::Settings {
            core: Some(self.pf.core.clone()),
            identity: Some(self.pf.identity.clone()),
            policy: turned.collect(),
            hosts: self.hosts.iter().map(|(name, address)| (name.to_owned(), address)).collect(),
            user: self.pf.users.iter().map(user).collect(),
            timers: TimerSettings { t1: Some(t1.as_secs_f64()), t2: Some(t2.as_secs_f64()), t4: Some(t4.as_secs_f64()) },
            ..serve::Settings::default()
        }
    }

    /// What makes one node of a run.
    pub(super) fn config(&self, seed: u64, name: &str, address: IpAddr, host: &str) -> endpoint::Config {
        let mut config = endpoint::Config::new(name, seed, address, host, Arc::clone(&self.hosts));
        config.transport = self.transport;
        config.secure_media = self.transport == Transport::Tls;
        config.timing = self.timing;
        if name == "pf" {
            pf::AGENT.clone_into(&mut config.agent);
            pf::ALLOW.clone_into(&mut config.allow);
        }
        config
    }
}

fn hosts(land: Land<'_>, homes: &[Home]) -> Hosts {
    let own = [(PF_HOST, land.pf()), ("scscf1.home1.example", land.core()), ("home1.example", land.core())];
    let named = homes.iter().filter(|home| home.host.parse::<IpAddr>().is_err());
    own.into_iter().chain(named.map(|home| (home.host.as_str(), home.address))).collect()
}

fn timing(values: &Values) -> Timing {
    if values.is("sip.timers", "radio") {
        // TS 24.229 table 7.7.1: T1, T2 and T4 towards a UE.
        Timing { t1: Duration::from_secs(2), t2: Duration::from_secs(16), t4: Duration::from_secs(17) }
    } else {
        Timing::default()
    }
}

/// An actor and where it lives.
#[derive(Clone, Debug)]
pub(super) struct Home {
    pub(super) party: Party,
    pub(super) profile: Arc<Profile>,
    pub(super) address: IpAddr,
    pub(super) host: String,
    pub(super) reference: bool,
}

/// A node per device of a client, one per focus, one for the registrar.
fn homes(land: Land<'_>, defaults: &Defaults, scenario: &Scenario) -> Vec<Home> {
    let (mut focuses, mut devices) = (0, 0);
    let mut homes = Vec::new();
    for actor in &scenario.actors {
        match actor.role {
            Role::Client if actor.devices.is_empty() => homes.push(client(land, defaults, actor, None, &mut devices)),
            Role::Client => {
                for device in &actor.devices {
                    homes.push(client(land, defaults, actor, Some(device), &mut devices));
                }
            }
            Role::Cf => {
                focuses += 1;
                let address = land.focus(focuses);
                let host = if focuses == 1 { "cf.home1.example".to_owned() } else { format!("{}.home1.example", actor.name) };
                homes.push(home(defaults, actor, None, address, host));
            }
            Role::Core => homes.push(home(defaults, actor, None, land.registrar(), "registrar.home1.example".to_owned())),
            Role::Pf => {}
        }
    }
    homes
}

fn client(land: Land<'_>, defaults: &Defaults, actor: &Actor, device: Option<&Arc<str>>, devices: &mut u8) -> Home {
    *devices += 1;
    let address = land.device(*devices);
    home(defaults, actor, device.cloned(), address, address.to_string())
}

fn home(defaults: &Defaults, actor: &Actor, device: Option<Arc<str>>, address: IpAddr, host: String) -> Home {
    let party = Party { role: actor.role, name: Arc::clone(&actor.name), device };
    Home { profile: Arc::new(profile(defaults, actor, &party)), party, address, host, reference: actor.reference }
}

fn addresses_of(identity: &Identity) -> Vec<String> {
    std::iter::once(&identity.uri).chain(&identity.aliases).cloned().collect()
}

fn profile(defaults: &Defaults, actor: &Actor, party: &Party) -> Profile {
    match party.role {
        Role::Client => {
            let identity = defaults.identities.get(&*party.name);
            let uri = identity.map_or_else(|| format!("sip:{}@home1.example", party.name), |identity| identity.uri.clone());
            Profile {
                display: identity.and_then(|identity| identity.display.clone()),
                instance: identity
                    .and_then(|identity| instance(identity, party.device.as_deref()))
                    .map(|(_, instance)| instance.to_owned()),
                route: Some(format!("<{CORE_URI};lr>")),
                refreshes: actor.refreshes,
                connects_early: actor.connects_early,
                ..Profile::new(Role::Client, &party.name, &uri)
            }
        }
        Role::Cf => {
            let groups: Vec<GroupProfile> = defaults.groups.values().map(|group| group_profile(defaults, group)).collect();
            let uri = groups.first().map_or_else(|| "sip:focus@cf.home1.example".to_owned(), |group| group.focus.clone());
            Profile { route: Some(format!("<{PF_URI};lr>")), groups, ..Profile::new(Role::Cf, &party.name, &uri) }
        }
        Role::Core | Role::Pf => {
            Profile { route: Some(format!("<{PF_URI};lr>")), ..Profile::new(party.role, &party.name, CORE_URI) }
        }
    }
}

/// The instance of a device by name; an actor without devices has the first one of the identity.
fn instance<'a>(identity: &'a Identity, device: Option<&str>) -> Option<(&'a str, &'a str)> {
    let found = match device {
        Some(device) => identity.devices.get_key_value(device),
        None => identity.devices.iter().next(),
    };
    found.map(|(device, instance)| (device.as_str(), instance.as_str()))
}

fn group_profile(defaults: &Defaults, group: &crate::suite::scenario::Group) -> GroupProfile {
    let member = |name: &String| {
        let identity = defaults.identities.get(name);
        (
            identity.map_or_else(|| name.clone(), |identity| identity.uri.clone()),
            identity.and_then(|identity| identity.display.clone()),
        )
    };
    GroupProfile {
        focus: group.focus.clone(),
        subject: group.subject.clone(),
        conversation_id: group.conversation_id.clone(),
        contribution_id: group.contribution_id.clone(),
        members: group.members.iter().map(member).collect(),
    }
}

/// The PF serves the users that the scenario has; all others have a PF elsewhere.
fn pf_settings(defaults: &Defaults, scenario: &Scenario) -> PfConfig {
    let clients = scenario.actors.iter().filter(|actor| actor.role == Role::Client);
    let identities = clients.filter_map(|actor| defaults.identities.get(&*actor.name));
    let user = |identity: &Identity| ServedUser { uri: identity.uri.clone(), aliases: identity.aliases.clone(), core: None };
    PfConfig { identity: pf_identity(defaults), users: identities.map(user).collect(), core: CORE_URI.to_owned() }
}

pub(super) fn commit_plan(values: &Values) -> CommitPlan {
    let delay = values.span("store.commit-delay").unwrap_or_default();
    let failing = values.numbers("store.commit-fail");
    let failure = if failing.is_empty() { CommitFailure::Never } else { CommitFailure::Among(failing) };
    CommitPlan { delay: delay.max(CommitPlan::default().delay), failure }
}

/// Who is reached where, and which URIs name whom.
fn book(land: Land<'_>, defaults: &Defaults, places: &[Home]) -> AddressBook {
    let pf = Party::new(Role::Pf, "pf");
    let core_name =
        places.iter().find(|home| home.party.role == Role::Core).map_or_else(|| "core".into(), |home| Arc::clone(&home.party.name));
    let core = Party { role: Role::Core, name: core_name, device: None };
    let mut book = AddressBook::default();
    let ends = |address: IpAddr, party: &Party| [5060, 5061, 2855].map(|port| (SocketAddr::new(address, port), party.clone()));
    book.nodes.extend(ends(land.pf(), &pf));
    book.nodes.extend(ends(land.core(), &core));
    book.nodes.extend(places.iter().flat_map(|home| ends(home.address, &home.party)));
    book.hosts.push((PF_HOST.to_owned(), pf));
    book.hosts.push(("scscf1.home1.example".to_owned(), core));
    book.hosts.extend(places.iter().map(|home| (home.host.clone(), home.party.clone())));
    for (name, identity) in &defaults.identities {
        let devices: Vec<&Home> =
            places.iter().filter(|home| home.party.role == Role::Client && *home.party.name == **name).collect();
        let user = Party::new(Role::Client, name);
        book.users.extend(addresses_of(identity).into_iter().map(|uri| (uri, user.clone())));
        for home in devices {
            if let Some((_, instance)) = instance(identity, home.party.device.as_deref()) {
                book.instances.push((instance.to_owned(), home.party.clone()));
            }
        }
    }
    book.groups = groups(defaults);
    book
}
