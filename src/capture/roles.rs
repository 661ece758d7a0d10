//! Who is who in a capture: told by whoever asks, else guessed from what each address does, and
//! said either way.
//!
//! The implementation under test is the address to which third-party REGISTERs go and past which
//! most messages pass. The core relays (it sends requests that another one's Via stands under) or
//! registers users of others. The focus calls itself so, or is subscribed to for its conference. All
//! others that make requests are Clients; where requests come by way of the core, the bottom Via,
//! Contact and asserted identity tell which.

mod devices;
mod evidence;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::messages::{Item, What, msrp_address};
use crate::pattern::ast::Role;
use crate::trace::event::{AddressBook, Content, Link, Party};
use crate::wire::sip::{Host, Message, Name, header};
use devices::Devices;
use evidence::Evidence;

/// An address whose role is told: `pf=192.0.2.10:5060`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Assignment {
    /// The role.
    pub role: Role,
    /// The address.
    pub address: IpAddr,
    /// The port; without one all ports of the address.
    pub port: Option<u16>,
}

impl std::str::FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (role, address) = text.split_once('=').ok_or("an assignment is ROLE=ADDRESS or ROLE=ADDRESS:PORT")?;
        let role = match role {
            "pf" => Role::Pf,
            "cf" => Role::Cf,
            "core" => Role::Core,
            "client" => Role::Client,
            other => return Err(format!("`{other}` is no role; roles are pf, cf, core, client")),
        };
        if let Ok(whole) = address.parse::<SocketAddr>() {
            return Ok(Self { role, address: whole.ip(), port: Some(whole.port()) });
        }
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        let address = bare.parse().map_err(|_| format!("`{address}` is no address"))?;
        Ok(Self { role, address, port: None })
    }
}

/// Who is who, and why.
#[derive(Clone, Debug, Default)]
pub(super) struct Cast {
    pub(super) book: AddressBook,
    /// The addresses of the implementation under test.
    pub(super) iut: BTreeSet<Place>,
    pub(super) ground: Ground,
    /// One line for each address: its role and what tells it.
    pub(super) said: Vec<String>,
}

/// An address that acts: with port 0 a whole machine.
pub(super) type Place = (IpAddr, u16);

/// How addresses are told apart: by machine, or also by port where several actors share one.
#[derive(Clone, Debug, Default)]
pub(super) struct Ground {
    by_port: bool,
    /// Where the owner of a port that was only connected from listens.
    aliases: BTreeMap<SocketAddr, u16>,
}

impl Ground {
    fn of(items: &[Item], told: &[Assignment]) -> Self {
        let shares = |link: &Link| link.source.ip() == link.destination.ip();
        let by_port = told.iter().any(|one| told.iter().any(|other| one.address == other.address && one.role != other.role))
            || messages(items).any(|(link, _)| shares(link));
        let mut ground = Self { by_port, aliases: BTreeMap::new() };
        if by_port {
            for (link, content) in messages(items) {
                if let Some(port) = own_port(content).filter(|_| link.connection.is_some()) {
                    ground.aliases.entry(link.source).or_insert(port);
                }
            }
        }
        ground
    }

    pub(super) fn place(&self, address: SocketAddr) -> Place {
        let port = self.aliases.get(&address).copied().unwrap_or_else(|| address.port());
        (address.ip(), if self.by_port { port } else { 0 })
    }
}

/// The port at which the sender of a request says that it listens.
fn own_port(content: &Content) -> Option<u16> {
    match content {
        Content::Sip(message) if message.is_request() => Some(message.via().ok()?.port.unwrap_or(5060)),
        Content::Msrp(chunk) if chunk.method().is_some() => {
            crate::wire::msrp::MsrpUri::parse(chunk.from_path()).ok().map(|uri| uri.port)
        }
        _ => None,
    }
}

pub(super) fn messages(items: &[Item]) -> impl Iterator<Item = (&Link, &Content)> {
    items.iter().filter_map(|item| match &item.what {
        What::Message(link, content) => Some((link, content)),
        What::Opened(_) | What::Closed { .. } | What::Fault(_) => None,
    })
}

/// Finds out who is who. `known` names users, instances and groups that may occur.
pub(super) fn cast(items: &[Item], told: &[Assignment], known: &AddressBook) -> Cast {
    let ground = Ground::of(items, told);
    let evidence = Evidence::of(items, &ground);
    let roles = Roles::of(&evidence, told, &ground);
    let mut cast = Cast { iut: roles.with(Role::Pf), ..Cast::default() };
    cast.book.users.clone_from(&known.users);
    cast.book.groups.clone_from(&known.groups);
    let mut casting = Casting {
        cast,
        ground,
        roles,
        devices: Devices::of(known),
        focuses: BTreeMap::new(),
        core: Party::new(Role::Core, "core"),
    };
    for (link, content) in messages(items) {
        if let Content::Sip(message) = content {
            casting.hear(link, message);
        }
    }
    casting.conclude(items);
    let Casting { mut cast, ground, roles, .. } = casting;
    cast.said = roles.said;
    cast.ground = ground;
    cast
}

/// The role of each neighbour.
struct Roles {
    of: BTreeMap<Place, Role>,
    said: Vec<String>,
}

impl Roles {
    fn of(evidence: &Evidence, told: &[Assignment], ground: &Ground) -> Self {
        let mut roles = Self { of: BTreeMap::new(), said: Vec::new() };
        for one in told {
            let fits = |place: &&Place| place.0 == one.address && (!ground.by_port || one.port.is_none_or(|port| port == place.1));
            let places: Vec<Place> = evidence.places().filter(fits).copied().collect();
            if places.is_empty() {
                roles.said.push(format!("{} = {}  (told; no message comes or goes there)", one.role, one.address));
            }
            for place in places {
                roles.set(place, one.role, "told");
            }
        }
        if roles.with(Role::Pf).is_empty()
            && let Some((place, why)) = evidence.iut(|place| roles.of.contains_key(place))
        {
            roles.set(place, Role::Pf, &why);
        }
        let others: Vec<Place> = evidence.places().filter(|place| !roles.of.contains_key(place)).copied().collect();
        for place in others {
            let (role, why) = evidence.role(&place);
            if let Some(role) = role {
                roles.set(place, role, why);
            }
        }
        roles
    }

    fn set(&mut self, place: Place, role: Role, why: &str) {
        self.of.insert(place, role);
        let mut line = format!("{role} = {}", place.0);
        if place.1 != 0 {
            let _ = write!(line, ":{}", place.1);
        }
        self.said.push(format!("{line}  ({why})"));
    }

    fn with(&self, role: Role) -> BTreeSet<Place> {
        self.of.iter().filter(|(_, known)| **known == role).map(|(place, _)| *place).collect()
    }
}

struct Casting {
    cast: Cast,
    ground: Ground,
    roles: Roles,
    devices: Devices,
    /// By host, as Contact and Via give it.
    focuses: BTreeMap<String, Party>,
    core: Party,
}

impl Casting {
    /// Learns from a SIP message who made it and where that one is reached.
    fn hear(&mut self, link: &Link, message: &Message) {
        let source = self.role_at(link.source);
        let party = match source {
            Some(Role::Pf) => {
                self.learn_target(message);
                let host = message.is_request().then(|| message.via().ok().map(|via| via.host.0.to_owned())).flatten();
                let party = Party::new(Role::Pf, "pf");
                self.learn_host(host, &party);
                Some(party)
            }
            Some(Role::Cf) => Some(self.focus(Some(self.ground.place(link.source)), message)),
            Some(Role::Core) => self.behind_core(message),
            Some(Role::Client) | None => self.client(message, Some(link.source)),
        };
        if let (Some(party), Some(address)) = (party, msrp_address(&message.body())) {
            self.node(address, &party);
        }
    }

    fn role_at(&self, address: SocketAddr) -> Option<Role> {
        self.roles.of.get(&self.ground.place(address)).copied()
    }

    fn learn_host(&mut self, host: Option<String>, party: &Party) {
        if let Some(host) = host.filter(|host| Host(host).ip().is_none())
            && !self.cast.book.hosts.iter().any(|(known, _)| *known == host)
        {
            self.cast.book.hosts.push((host, party.clone()));
        }
    }

    fn node(&mut self, address: SocketAddr, party: &Party) {
        if !self.cast.book.nodes.iter().any(|(known, _)| *known == address) {
            self.cast.book.nodes.push((address, party.clone()));
        }
    }

    /// A focus, by its address, or by the host of its Contact or Via when it speaks through the core.
    fn focus(&mut self, place: Option<Place>, message: &Message) -> Party {
        let contact = message.contact().ok().and_then(|contact| contact.uri.host).map(|host| host.0.to_owned());
        let via = message.is_request().then(|| bottom_via(message).map(|via| via.0)).flatten();
        let host = || contact.clone().or_else(|| via.clone()).unwrap_or_default();
        let at = place.map_or_else(host, |place| format!("{}:{}", place.0, place.1));
        let number = self.focuses.len() + 1;
        let name = if number == 1 { "cf".to_owned() } else { format!("cf{number}") };
        let party = self.focuses.entry(at).or_insert_with(|| Party::new(Role::Cf, &name)).clone();
        self.learn_host(contact, &party);
        self.learn_host(via, &party);
        party
    }

    /// Who speaks through the core.
    fn behind_core(&mut self, message: &Message) -> Option<Party> {
        let is_focus = message.contact().is_ok_and(|contact| contact.is_focus());
        if is_focus {
            return Some(self.focus(None, message));
        }
        let relayed = message.is_request() && message.elements(Name::Via).count() > 1;
        if message.is_request() && !relayed {
            let host = message.via().ok().map(|via| via.host.0.to_owned());
            let core = self.core.clone();
            self.learn_host(host, &core);
            self.devices.registered(message);
            return None;
        }
        let host = message.elements(Name::Via).next().filter(|_| relayed).and_then(|via| header::Via::parse(via).ok());
        let core = self.core.clone();
        self.learn_host(host.map(|via| via.host.0.to_owned()), &core);
        self.client(message, None)
    }

    /// A Client that made a message; `direct` when no one relayed it.
    fn client(&mut self, message: &Message, direct: Option<SocketAddr>) -> Option<Party> {
        let made = self.devices.made(message, direct);
        made.map(|made| self.devices.party(&made))
    }

    /// Whom the implementation under test addresses.
    fn learn_target(&mut self, message: &Message) {
        if message.is_request() {
            self.devices.pinned(message);
        }
    }

    /// Writes down where everyone is.
    fn conclude(&mut self, items: &[Item]) {
        self.cast.book.users = self.devices.users();
        self.cast.book.instances = self.devices.instances();
        // The parties of devices are final only now, when all of them are known.
        self.cast.book.nodes.retain(|(_, party)| party.role != Role::Client);
        for (address, party) in self.devices.nodes() {
            self.node(address, &party);
        }
        for (host, party) in self.devices.hosts() {
            self.learn_host(Some(host), &party);
        }
        for (link, content) in messages(items) {
            self.node_of(link.source);
            self.node_of(link.destination);
            if let (Content::Sip(message), Some(address)) = (content, sdp_of_client(content))
                && let Some(device) = self.device_behind(link, message)
            {
                self.node(address, &device);
            }
        }
    }

    /// The node at an address that messages come from or go to, by its role.
    fn node_of(&mut self, address: SocketAddr) {
        let place = self.ground.place(address);
        let party = match self.roles.of.get(&place) {
            Some(Role::Pf) => Party::new(Role::Pf, "pf"),
            Some(Role::Core) => self.core.clone(),
            Some(Role::Cf) => {
                let at = format!("{}:{}", place.0, place.1);
                self.focuses.get(&at).cloned().unwrap_or_else(|| Party::new(Role::Cf, "cf"))
            }
            Some(Role::Client) | None => return,
        };
        self.node(address, &party);
        if place.1 == 0 {
            self.node(SocketAddr::new(place.0, 5060), &party);
        }
    }

    fn device_behind(&mut self, link: &Link, message: &Message) -> Option<Party> {
        let direct = match self.role_at(link.source) {
            Some(Role::Pf | Role::Cf) => return None,
            Some(Role::Core) if message.contact().is_ok_and(|contact| contact.is_focus()) => return None,
            Some(Role::Core) => None,
            Some(Role::Client) | None => Some(link.source),
        };
        self.client(message, direct)
    }
}

fn sdp_of_client(content: &Content) -> Option<SocketAddr> {
    match content {
        Content::Sip(message) => msrp_address(&message.body()),
        Content::Msrp(_) | Content::Broken { .. } => None,
    }
}

/// Host and port of whoever made a request.
fn bottom_via(message: &Message) -> Option<(String, Option<u16>)> {
    let via = header::Via::parse(message.elements(Name::Via).last()?).ok()?;
    Some((via.host.0.to_owned(), via.port))
}
