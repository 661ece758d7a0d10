//! Soak: many users, groups and losses from a seed, all actors reference actors, every rule on.
//!
//! Nothing is scripted. Members write, lose their connectivity, come back and leave, the focus
//! invites them again and ends groups, at moments that the seed decides; the court sees what
//! passes the edge of the PF as it does in any run. A seed that finds something is a scenario to
//! write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::ground::{Ground, names};
use super::world::World;
use crate::ids::Ids;
use crate::judge::verdict::Finding;
use crate::judge::{self, Judge, Session};
use crate::net::NodeId;
use crate::pattern::ast::{End, Role};
use crate::peers::{Aim, Order};
use crate::suite::catalogue::Catalogue;
use crate::suite::scenario::{Actor, Defaults, Group, Identity, Scenario, Variant};
use crate::time::Instant;
use crate::trace::event::{Event, Kind, Party};
use crate::trace::{Header, Trace};
use crate::wire::sip::Method;

/// How long everything is left alone at the end, so that what is owed can come: longer than any
/// timer of a rule and than 64*T1.
const CALM: Duration = Duration::from_secs(400);
/// The seconds of virtual time that a message may cost; a run that takes longer is stuck.
const PATIENCE: u64 = 60;

/// How large a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Users, each with one device.
    pub users: u8,
    /// Groups.
    pub groups: u8,
    /// Messages at the edge of the PF before the run calms down.
    pub messages: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { users: 12, groups: 6, messages: 10_000 }
    }
}

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct Soaked {
    /// The seed.
    pub seed: u64,
    /// Events at the edge of the PF.
    pub messages: usize,
    /// What the court found.
    pub findings: Vec<Finding>,
    /// The requirements whose rules were satisfied.
    pub satisfied: BTreeSet<String>,
    /// How often each kind of order was given.
    pub orders: BTreeMap<&'static str, usize>,
    /// The whole run.
    pub trace: Trace,
}

/// The stage of every seed: users, groups, and the court that knows them.
pub struct Stage {
    size: Size,
    defaults: Defaults,
    judge: Judge,
    ground: Ground,
}

impl Stage {
    /// A stage for a catalogue, under a policy of the reference PF.
    pub fn new(catalogue: &Catalogue, policy: &BTreeMap<String, String>, size: Size) -> Self {
        let defaults = defaults(size);
        let judge = Judge::new(&catalogue.requirements, names(&defaults), judge::Setup::default());
        let ground = Ground::of(&defaults, &scenario(&defaults), policy);
        Self { size, defaults, judge, ground }
    }

    /// Lets one seed run.
    pub fn soak(&self, seed: u64) -> Soaked {
        let world = World::build(&self.ground, seed);
        let header = Header {
            scenario: "soak".to_owned(),
            seed,
            iut: Party::new(Role::Pf, "pf"),
            book: self.ground.book.clone(),
            policy: self.ground.knobs.clone(),
            ..Header::default()
        };
        let session = self.judge.session(&header);
        let mut run =
            Run { stage: self, world, session, dice: Ids::new(seed, "soak"), orders: BTreeMap::new(), texts: 0, messages: 0 };
        run.play();
        run.finish(seed, header)
    }
}

/// One seed on its way.
struct Run<'s> {
    stage: &'s Stage,
    world: World,
    session: Session<'s>,
    dice: Ids,
    orders: BTreeMap<&'static str, usize>,
    texts: u64,
    /// Messages seen at the edge.
    messages: usize,
}

impl Run<'_> {
    fn play(&mut self) {
        for group in self.stage.defaults.groups.values() {
            self.found(group);
        }
        self.let_pass(Duration::from_secs(5));
        let limit = Instant::ZERO + Duration::from_secs(PATIENCE * self.stage.size.messages as u64);
        while self.messages < self.stage.size.messages && self.world.now() < limit {
            self.disturb();
            let pause = self.pause();
            self.let_pass(pause);
        }
        for user in self.stage.defaults.identities.keys() {
            self.order(user, "return", &Order::Register);
        }
        self.let_pass(Duration::from_secs(60));
        self.world.record(Kind::FlowEnded);
        self.let_pass(CALM);
    }

    fn finish(self, seed: u64, header: Header) -> Soaked {
        let ended = self.world.now();
        let judgement = self.session.finish(self.world.events(), ended, true);
        let satisfied = judgement.requirements.iter().filter(|result| result.outcome() == judge::Outcome::Satisfied);
        let events: Vec<Event> = self.world.into_events();
        Soaked {
            seed,
            messages: self.messages,
            satisfied: satisfied.map(|result| result.id.to_string()).collect(),
            findings: judgement.findings,
            orders: self.orders,
            trace: Trace { header, events, ended, complete: true },
        }
    }

    /// From nothing at all, so that messages cross, to long enough for every timer of a session.
    fn pause(&mut self) -> Duration {
        let (unit, bound) = match self.dice.below(10) {
            0..=1 => return Duration::ZERO,
            2..=5 => (1, 20),
            6..=8 => (50, 20),
            _ => (1_000, 20),
        };
        Duration::from_millis(unit * self.dice.below(bound))
    }

    /// Something happens to somebody.
    fn disturb(&mut self) {
        let user = self.user();
        match self.dice.below(100) {
            0..=54 => self.say(&user),
            55..=67 => {
                let uri = self.uri(&user);
                self.order(&user, "lose", &Order::Lose);
                self.world.unbind(&uri);
            }
            68..=90 => self.order(&user, "return", &Order::Register),
            91..=92 => {
                if let Some(conversation) = self.conversation(&user) {
                    self.order(&user, "leave", &Order::Leave { conversation });
                }
            }
            93..=98 => {
                let group = self.group();
                self.found(&group);
            }
            _ => {
                let group = self.group().focus;
                self.order_focus("end", &Order::End { group });
            }
        }
    }

    /// The focus invites every member of a group that does not take part.
    fn found(&mut self, group: &Group) {
        for member in &group.members {
            let user = self.uri(member);
            self.order_focus("invite", &Order::Invite { group: group.focus.clone(), user });
        }
    }

    fn say(&mut self, user: &str) {
        if let Some(conversation) = self.conversation(user) {
            self.texts += 1;
            let text = format!("message {} of {user}", self.texts);
            let notify = self.dice.below(4) == 0;
            self.order(user, "say", &Order::Say { conversation, text, notify });
        }
    }

    /// A group in which the user takes part now.
    fn conversation(&mut self, user: &str) -> Option<String> {
        let actor = self.world.actor(self.node(user)?)?;
        let taking_part: Vec<String> = actor.conversations().into_iter().map(str::to_owned).collect();
        let at = self.dice.below(taking_part.len() as u64);
        taking_part.into_iter().nth(usize::try_from(at).unwrap_or(0))
    }

    fn user(&mut self) -> String {
        let at = self.dice.below(u64::from(self.stage.size.users));
        user_name(u8::try_from(at).unwrap_or(0))
    }

    fn group(&mut self) -> Group {
        let at = self.dice.below(u64::from(self.stage.size.groups));
        self.stage.defaults.groups.values().nth(usize::try_from(at).unwrap_or(0)).cloned().unwrap_or_default()
    }

    fn uri(&self, user: &str) -> String {
        self.stage.defaults.identities.get(user).map(|identity| identity.uri.clone()).unwrap_or_default()
    }

    fn node(&self, name: &str) -> Option<NodeId> {
        self.world.nodes(&End::Actor { name: name.into(), device: None }).next()
    }

    fn order_focus(&mut self, kind: &'static str, order: &Order) {
        self.order("focus", kind, order);
    }

    fn order(&mut self, actor: &str, kind: &'static str, order: &Order) {
        if let Some(node) = self.node(actor) {
            *self.orders.entry(kind).or_default() += 1;
            self.world.act(node, |actor, now| actor.obey(now, order));
            self.observe();
        }
    }

    /// Lets time pass, and everything that happens in it happen.
    fn let_pass(&mut self, span: Duration) {
        let until = self.world.now() + span;
        loop {
            let moved = self.world.step(until);
            self.observe();
            while let Some(user) = self.world.poll_registered() {
                self.tell_pf(&user);
            }
            let Some(node) = moved else { return };
            while self.world.poll_event(node).is_some() {}
        }
    }

    /// The S-CSCF registers a user with the PF (TS 24.229 5.4.1.7).
    fn tell_pf(&mut self, user: &str) {
        let Some(node) = self.node("core") else { return };
        self.world.act(node, |registrar, now| {
            let draft = registrar.draft_request(&Method::Register, Aim::Outside(user.to_owned()));
            draft.and_then(|draft| registrar.send(now, draft))
        });
        self.observe();
    }

    fn observe(&mut self) {
        let fresh = &self.world.events()[self.session.facts().len()..];
        self.messages += fresh.iter().filter(|event| matches!(event.kind, Kind::Message { .. })).count();
        self.session.advance(self.world.events());
    }
}

fn user_name(number: u8) -> String {
    format!("user{number:02}")
}

/// Users that are in a third of the groups each, and one focus that hosts all groups.
fn defaults(size: Size) -> Defaults {
    let mut defaults = Defaults { title: "Soak".to_owned(), delay: Duration::from_millis(1), ..Defaults::default() };
    for number in 0..size.users {
        let phone = format!("+1514555{number:04}");
        let identity = Identity {
            uri: format!("sip:{phone}@home1.example"),
            aliases: vec![format!("tel:{phone}")],
            display: None,
            devices: BTreeMap::from([("phone".to_owned(), format!("urn:uuid:00000000-0000-4000-8000-0000000000{number:02x}"))]),
        };
        defaults.identities.insert(user_name(number), identity);
    }
    for number in 0..size.groups {
        let is_in = |user: &u8| (user + number).is_multiple_of(3) || size.users < 6;
        let group = Group {
            focus: format!("sip:gc-{number:02}@cf.home1.example"),
            conversation_id: format!("c0000000-0000-4000-8000-0000000000{number:02x}"),
            contribution_id: format!("{number:032x}"),
            subject: format!("Group {number}"),
            members: (0..size.users).filter(is_in).map(user_name).collect(),
        };
        defaults.groups.insert(format!("group{number:02}"), group);
    }
    defaults
}

fn scenario(defaults: &Defaults) -> Scenario {
    let actor = |name: &str, role: Role, reference: bool| Actor {
        name: Arc::from(name),
        role,
        devices: Vec::new(),
        reference,
        refreshes: true,
        connects_early: false,
    };
    let mut actors: Vec<Actor> = defaults.identities.keys().map(|name| actor(name, Role::Client, true)).collect();
    actors.push(actor("focus", Role::Cf, true));
    actors.push(actor("core", Role::Core, false));
    Scenario {
        id: "soak".to_owned(),
        title: "Many users, groups and losses".to_owned(),
        requirements: Vec::new(),
        tags: Vec::new(),
        iut: Role::Pf,
        actors,
        variants: vec![Variant::default()],
        needs: Vec::new(),
        control: None,
        ignore: Vec::new(),
        settle: None,
        draft: false,
        flow: Vec::new(),
        steps: 0,
        files: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::load_all;
    use crate::suite::source::Sources;

    fn stage(messages: usize) -> Stage {
        let suite = load_all(Sources::embedded()).suite;
        Stage::new(&suite.catalogue, &suite.defaults.policy, Size { users: 5, groups: 3, messages })
    }

    #[test]
    fn one_seed_gives_one_run() {
        let stage = stage(300);
        let (one, other) = (stage.soak(7), stage.soak(7));
        assert_eq!(one.trace, other.trace);
        assert_ne!(one.trace.events, stage.soak(8).trace.events);
    }

    #[test]
    fn what_happens_is_varied() {
        let soaked = stage(2_000).soak(1);
        assert!(soaked.messages >= 2_000, "{} messages", soaked.messages);
        for order in ["say", "lose", "return", "invite"] {
            assert!(soaked.orders.get(order).is_some_and(|count| *count > 3), "{order}: {:?}", soaked.orders);
        }
    }
}
