//! The engine of a server: the reference PF, focus or client.

use std::str::FromStr;

use super::config::{Mistake, Settings};
use super::{Failure, Records, control};
use crate::endpoint::{self, Event};
use crate::engine::{ConnectionId, Engine, Input, Output, Standing};
use crate::pattern::ast::Role;
use crate::peers::{GroupProfile, Order, Profile, Scripted};
use crate::pf::{Pf, PfConfig, Policy, ServedUser};
use crate::time::Instant;
use crate::wire::sip::Uri;

/// What the PF calls itself unless it is told otherwise.
const IDENTITY: &str = "sip:rcse-standfw@home1.example";

/// Which part a server plays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The Participating Function.
    Pf,
    /// The Controlling Function.
    Cf,
    /// A Client's device.
    Client,
}

impl Part {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pf => "pf",
            Self::Cf => "cf",
            Self::Client => "client",
        }
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Pf, Self::Cf, Self::Client];
        all.into_iter().find(|part| part.name() == text).ok_or_else(|| format!("`{text}` is none of pf, cf, client"))
    }
}

/// The engine of a server.
#[derive(Debug)]
pub(super) enum Actor {
    Pf(Box<Pf>),
    Peer { actor: Box<Scripted>, orders: Vec<Order> },
}

/// Checks what the engines need.
pub(super) fn check(part: Part, settings: &Settings) -> Result<(), Mistake> {
    for user in &settings.user {
        for uri in std::iter::once(&user.uri).chain(&user.aliases) {
            Uri::parse(uri).map_err(|_| Mistake::new("user", format!("`{uri}` is no URI")))?;
        }
    }
    for group in &settings.group {
        Uri::parse(&group.focus).map_err(|_| Mistake::new("group", format!("`{}` is no URI", group.focus)))?;
        if let Some(stranger) = group.invite.iter().find(|user| !group.members.contains(user)) {
            return Err(Mistake::new("group", format!("`{stranger}` is invited and no member of {}", group.focus)));
        }
    }
    match part {
        Part::Pf if settings.core.is_none() && settings.user.iter().any(|user| user.core.is_none()) => {
            Err(Mistake::new("core", "a PF needs the next hop towards its clients"))
        }
        Part::Pf if settings.user.is_empty() => Err(Mistake::new("user", "a PF needs users to serve")),
        Part::Cf if settings.group.is_empty() => Err(Mistake::new("group", "a focus needs a group to host")),
        Part::Client if settings.user.len() != 1 => Err(Mistake::new("user", "a client is exactly one user")),
        Part::Cf | Part::Client if settings.core.is_none() => {
            Err(Mistake::new("core", "the next hop of requests outside of dialogs is needed"))
        }
        Part::Pf | Part::Cf | Part::Client => Ok(()),
    }
}

/// What the PF calls itself; its store is in this name.
pub(super) fn identity(settings: &Settings) -> String {
    settings.identity.clone().unwrap_or_else(|| IDENTITY.to_owned())
}

impl Actor {
    pub(super) fn new(part: Part, settings: &Settings, config: endpoint::Config, records: Records) -> Result<Self, Failure> {
        let core = settings.core.clone().unwrap_or_default();
        Ok(match part {
            Part::Pf => {
                let users = settings.user.iter().map(|user| ServedUser {
                    uri: user.uri.clone(),
                    aliases: user.aliases.clone(),
                    core: user.core.clone(),
                });
                let pf = PfConfig { identity: identity(settings), users: users.collect(), core };
                let policy = Policy::of(&settings.values()?);
                Self::Pf(Box::new(if records.is_empty() {
                    Pf::new(config, pf, policy)
                } else {
                    Pf::restored(config, pf, policy, records).map_err(Failure::Records)?
                }))
            }
            Part::Cf | Part::Client => {
                let role = if part == Part::Cf { Role::Cf } else { Role::Client };
                let (profile, orders) = peer(role, settings, core);
                let mut actor = Scripted::new(profile, config);
                actor.set_reference(true);
                Self::Peer { actor: Box::new(actor), orders }
            }
        })
    }

    /// Does what a person would do at the start.
    pub(super) fn begin(&mut self, now: Instant) {
        if let Self::Peer { actor, orders } = self {
            orders.drain(..).for_each(|order| actor.obey(now, &order));
        }
    }

    /// Takes one of the things that came; a reference actor has dealt with it already.
    pub(super) fn attend(&mut self) -> Option<Event> {
        match self {
            Self::Pf(_) => None,
            Self::Peer { actor, .. } => actor.poll_event(),
        }
    }

    /// Does what a line of its user asks for.
    pub(super) fn obey(&mut self, now: Instant, line: &str) -> Result<(), String> {
        match self {
            Self::Pf(_) => Err("a PF takes no orders".to_owned()),
            Self::Peer { actor, .. } => {
                control::orders(actor, line)?.iter().for_each(|order| actor.obey(now, order));
                Ok(())
            }
        }
    }
}

fn peer(role: Role, settings: &Settings, core: String) -> (Profile, Vec<Order>) {
    let groups: Vec<GroupProfile> = settings
        .group
        .iter()
        .map(|group| GroupProfile {
            focus: group.focus.clone(),
            subject: group.subject.clone(),
            conversation_id: group.conversation_id.clone(),
            contribution_id: group.contribution_id.clone(),
            members: group.members.iter().map(|uri| (uri.clone(), None)).collect(),
        })
        .collect();
    let invite = |group: &super::Group| {
        let group = group.clone();
        group.invite.into_iter().map(move |user| Order::Invite { group: group.focus.clone(), user })
    };
    let route = Some(format!("<{core};lr>"));
    match settings.user.first().filter(|_| role == Role::Client) {
        Some(user) => {
            let name = Uri::parse(&user.uri).ok().and_then(|uri| uri.user.map(str::to_owned)).unwrap_or_default();
            let profile = Profile {
                display: user.display.clone(),
                instance: user.instance.clone(),
                route,
                pf: core,
                reference: true,
                ..Profile::new(role, &name, &user.uri)
            };
            // It was away, and comes back.
            (profile, vec![Order::Lose, Order::Register])
        }
        None => {
            let uri = groups.first().map(|group| group.focus.clone()).unwrap_or_default();
            let profile = Profile { route, pf: core, groups, reference: true, ..Profile::new(role, "focus", &uri) };
            (profile, settings.group.iter().flat_map(invite).collect())
        }
    }
}

impl Engine for Actor {
    fn handle(&mut self, now: Instant, input: Input) {
        match self {
            Self::Pf(pf) => pf.handle(now, input),
            Self::Peer { actor, .. } => actor.handle(now, input),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Pf(pf) => pf.poll_output(),
            Self::Peer { actor, .. } => actor.poll_output(),
        }
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match self {
            Self::Pf(pf) => pf.poll_timeout(),
            Self::Peer { actor, .. } => actor.poll_timeout(),
        }
    }

    fn standing(&self, connection: ConnectionId) -> Standing {
        match self {
            Self::Pf(pf) => pf.standing(connection),
            Self::Peer { actor, .. } => actor.standing(connection),
        }
    }
}
