//! Soak: many users, groups and losses from a seed, all actors reference actors, every rule on.
//!
//! Nothing is scripted. Members write to their groups and to each other, lose their connectivity or
//! only their connections, come back, decline and leave, each user with one or two devices; the focus
//! invites them again and ends groups; commits of the store fail, and the PF dies and starts again: at
//! moments that the seed decides. The court sees what passes the edge of the PF as it does in any
//! run. A seed that finds something is a scenario to write.

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
use crate::suite::scenario::{Act, Actor, Defaults, Group, Identity, Scenario, Variant};
use crate::time::Instant;
use crate::trace::event::{Event, Kind, Party};
use crate::trace::{Header, Trace};
use crate::wire::sip::Method;

/// How long everything is left alone at the end, so that what is owed can come: longer than any
/// timer of a rule and than 64*T1.
const CALM: Duration = Duration::from_secs(400);
/// The seconds of virtual time that a message may cost; a run that takes longer is stuck.
const PATIENCE: u64 = 60;
/// How long nobody does anything before the PF dies: what it owed by then is done, so that what it
/// owes afterwards is what its store holds.
const QUIET: Duration = Duration::from_secs(40);
/// How many commits of a run fail, and among how many.
const FAILING: (usize, u64) = (40, 8_000);

/// How large a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Users; every other one has two devices.
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
    scenario: Scenario,
    judge: Judge,
    policy: BTreeMap<String, String>,
}

impl Stage {
    /// A stage for a catalogue, under a policy of the reference PF.
    pub fn new(catalogue: &Catalogue, policy: &BTreeMap<String, String>, size: Size) -> Self {
        let defaults = defaults(size);
        let judge = Judge::new(&catalogue.requirements, names(&defaults), judge::Setup::default());
        Self { size, scenario: scenario(&defaults), defaults, judge, policy: policy.clone() }
    }

    /// Lets one seed run.
    pub fn soak(&self, seed: u64) -> Soaked {
        let (mut run, header) = self.begin(seed);
        run.play();
        run.finish(seed, header)
    }

    /// The run of a seed, before anything happens.
    fn begin(&self, seed: u64) -> (Run<'_>, Header) {
        let mut dice = Ids::new(seed, "soak");
        let mut policy = self.policy.clone();
        policy.entry("store.commit-fail".to_owned()).or_insert_with(|| failing(&mut dice));
        let ground = Ground::of(&self.defaults, &self.scenario, &policy);
        let world = World::build(&ground, seed);
        let header = Header {
            scenario: "soak".to_owned(),
            seed,
            iut: Party::new(Role::Pf, "pf"),
            book: Arc::clone(&ground.book),
            policy: Arc::clone(&ground.knobs),
            ..Header::default()
        };
        let session = self.judge.session(&header);
        let run = Run { stage: self, world, session, dice, orders: BTreeMap::new(), away: BTreeSet::new(), texts: 0, messages: 0 };
        (run, header)
    }
}

/// One seed on its way.
struct Run<'s> {
    stage: &'s Stage,
    world: World,
    session: Session<'s>,
    dice: Ids,
    orders: BTreeMap<&'static str, usize>,
    /// The devices that have lost their connectivity.
    away: BTreeSet<NodeId>,
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
            for device in self.devices(user) {
                self.come_back(device);
            }
        }
        self.let_pass(Duration::from_secs(5));
        // Whoever had lost no more than a connection has not registered again by that.
        for identity in self.stage.defaults.identities.values() {
            self.tell_pf(&identity.uri, None);
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
        let Some(device) = self.device(&user) else { return };
        match self.dice.below(1_000) {
            0..=459 => self.say(&user, device),
            460..=539 => self.call(&user, device),
            540..=659 => self.lose(&user, device),
            660..=869 => self.come_back(device),
            870..=884 => {
                if let Some(conversation) = self.conversation(device) {
                    self.order(device, "leave", &Order::Leave { conversation });
                }
            }
            885..=904 => {
                let status = [603, 603, 480, 486, 500][usize::try_from(self.dice.below(5)).unwrap_or(0)];
                self.order(device, "refuse", &Order::Refuse { status });
            }
            905..=964 => {
                let group = self.group();
                self.found(&group);
            }
            965..=974 => {
                let group = self.group().focus;
                self.order_focus("end", &Order::End { group });
            }
            975..=996 => self.cut(&user),
            _ => self.restart(),
        }
    }

    /// A device is lost. When it was the last one of its user, the S-CSCF may say so.
    fn lose(&mut self, user: &str, device: NodeId) {
        self.order(device, "lose", &Order::Lose);
        self.away.insert(device);
        let contact = self.world.actor(device).map(|actor| actor.profile().contact(actor.endpoint().config()));
        let uri = self.uri(user);
        self.world.unbind(&uri, contact.as_deref());
        let none_left = self.devices(user).iter().all(|device| self.away.contains(device));
        if none_left && self.dice.below(2) == 0 {
            *self.orders.entry("deregister").or_default() += 1;
            self.tell_pf(&uri, Some(0));
        }
    }

    fn come_back(&mut self, device: NodeId) {
        self.away.remove(&device);
        self.order(device, "return", &Order::Register);
    }

    /// The connections of a user's devices break.
    fn cut(&mut self, user: &str) {
        *self.orders.entry("cut").or_default() += 1;
        self.world.change(&Act::Disconnect(End::Actor { name: user.into(), device: None }));
        self.observe();
    }

    /// The PF dies, and starts again from what its store holds.
    fn restart(&mut self) {
        self.let_pass(QUIET);
        *self.orders.entry("restart").or_default() += 1;
        self.world.change(&Act::Restart(End::Actor { name: "pf".into(), device: None }));
        self.observe();
    }

    /// The focus invites every member of a group that does not take part.
    fn found(&mut self, group: &Group) {
        for member in &group.members {
            let user = self.uri(member);
            self.order_focus("invite", &Order::Invite { group: group.focus.clone(), user });
        }
    }

    fn say(&mut self, user: &str, device: NodeId) {
        if let Some(conversation) = self.conversation(device) {
            let text = self.text(user);
            let notify = self.dice.below(4) == 0;
            self.order(device, "say", &Order::Say { conversation, text, notify });
        }
    }

    /// Somebody has something to say to one other.
    fn call(&mut self, user: &str, device: NodeId) {
        let other = self.user();
        if other != user {
            let texts = (0..=self.dice.below(3)).map(|_| self.text(user)).collect();
            let order = Order::Call { user: self.uri(&other), texts, notify: self.dice.below(2) == 0 };
            self.order(device, "call", &order);
        }
    }

    fn text(&mut self, user: &str) -> String {
        self.texts += 1;
        format!("message {} of {user}", self.texts)
    }

    /// A group in which the device takes part now.
    fn conversation(&mut self, device: NodeId) -> Option<String> {
        let actor = self.world.actor(device)?;
        let taking_part: Vec<String> = actor.conversations().into_iter().map(str::to_owned).collect();
        let at = self.dice.below(taking_part.len() as u64);
        taking_part.into_iter().nth(usize::try_from(at).unwrap_or(0))
    }

    /// The devices of a user, or the node of anyone else.
    fn devices(&self, name: &str) -> Vec<NodeId> {
        self.world.nodes(&End::Actor { name: name.into(), device: None }).collect()
    }

    fn device(&mut self, user: &str) -> Option<NodeId> {
        let devices = self.devices(user);
        let at = self.dice.below(devices.len() as u64);
        devices.into_iter().nth(usize::try_from(at).unwrap_or(0))
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

    fn order_focus(&mut self, kind: &'static str, order: &Order) {
        if let Some(focus) = self.devices("focus").first() {
            self.order(*focus, kind, order);
        }
    }

    fn order(&mut self, node: NodeId, kind: &'static str, order: &Order) {
        *self.orders.entry(kind).or_default() += 1;
        self.world.act(node, |actor, now| actor.obey(now, order));
        self.observe();
    }

    /// Lets time pass, and everything that happens in it happen.
    fn let_pass(&mut self, span: Duration) {
        let until = self.world.now() + span;
        loop {
            let moved = self.world.step(until);
            self.observe();
            while let Some(user) = self.world.poll_registered() {
                self.tell_pf(&user, None);
            }
            let Some(node) = moved else { return };
            while self.world.poll_event(node).is_some() {}
        }
    }

    /// The S-CSCF registers a user with the PF (TS 24.229 5.4.1.7), or de-registers it.
    fn tell_pf(&mut self, user: &str, expires: Option<u32>) {
        let Some(node) = self.devices("core").first().copied() else { return };
        self.world.act(node, |registrar, now| {
            let draft = registrar.draft_request(&Method::Register, Aim::Outside(user.to_owned()));
            draft.and_then(|mut draft| {
                if let Some(expires) = expires {
                    draft.message = draft.message.set("Expires", expires);
                }
                registrar.send(now, draft)
            })
        });
        self.observe();
    }

    fn observe(&mut self) {
        let fresh = &self.world.events()[self.session.facts().len()..];
        self.messages += fresh.iter().filter(|event| matches!(event.kind, Kind::Message { .. })).count();
        self.session.advance(self.world.events());
    }
}

/// The commits that fail.
fn failing(dice: &mut Ids) -> String {
    let chosen: BTreeSet<u64> = (0..FAILING.0).map(|_| 1 + dice.below(FAILING.1)).collect();
    chosen.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

/// The devices of a user: every other one has two.
fn devices(number: u8) -> &'static [&'static str] {
    if number.is_multiple_of(2) { &["phone", "tablet"] } else { &["phone"] }
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
            devices: (0..).zip(devices(number)).map(|(at, device)| ((*device).to_owned(), instance(number, at))).collect(),
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

fn instance(user: u8, device: u8) -> String {
    format!("urn:uuid:00000000-0000-4000-8000-00000000{device:02x}{user:02x}")
}

fn scenario(defaults: &Defaults) -> Scenario {
    let actor = |name: &str, role: Role, reference: bool| Actor {
        name: Arc::from(name),
        role,
        devices: defaults
            .identities
            .get(name)
            .into_iter()
            .flat_map(|own| own.devices.keys().map(|device| Arc::from(&**device)))
            .collect(),
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
    fn nothing_is_left_of_groups_that_have_ended() {
        let suite = load_all(Sources::embedded()).suite;
        let mut policy = suite.defaults.policy.clone();
        policy.insert("group.forget-after".to_owned(), "50s".to_owned());
        let stage = Stage::new(&suite.catalogue, &policy, Size { users: 5, groups: 3, messages: 1_000 });
        let (mut run, _) = stage.begin(3);
        run.play();
        let is_of_group = |key: &Vec<u8>| matches!(key.first(), Some(b'g' | b'm'));
        assert!(run.world.keys_in_store().iter().any(is_of_group));
        for group in stage.defaults.groups.values() {
            run.order_focus("end", &Order::End { group: group.focus.clone() });
        }
        for identity in stage.defaults.identities.values() {
            run.tell_pf(&identity.uri, None);
        }
        run.let_pass(CALM);
        let left: Vec<Vec<u8>> = run.world.keys_in_store().into_iter().filter(is_of_group).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// How many re-joins follow a 491 in the time in which a Client tries again.
    fn retries(policy: &BTreeMap<String, String>) -> usize {
        let suite = load_all(Sources::embedded()).suite;
        let trace = Stage::new(&suite.catalogue, policy, Size { messages: 1_000, ..Size::default() }).soak(0x337).trace;
        let facts = crate::trace::correlate::Correlation::of(&trace).facts;
        let sip = |event: &Event| match &event.kind {
            Kind::Message { content: crate::trace::event::Content::Sip(message), .. } => Some(message.clone()),
            _ => None,
        };
        let between = Duration::from_millis(2_000)..Duration::from_millis(4_100);
        let is_retry = |refused: &Event, event: &Event| {
            let [one, other] = [refused, event].map(|event| &facts[event.number as usize]);
            between.contains(&event.at.since(refused.at))
                && one.to == other.from
                && one.group == other.group
                && sip(event).is_some_and(|message| message.method() == Some(Method::Invite))
        };
        let refused = trace.events.iter().filter(|event| sip(event).is_some_and(|message| message.status() == Some(491)));
        refused.filter(|refused| trace.events.iter().any(|event| is_retry(refused, event))).count()
    }

    #[test]
    fn a_client_tries_again_after_491_unless_the_policy_has_it_wait() {
        let mut policy = load_all(Sources::embedded()).suite.defaults.policy;
        let tries = retries(&policy);
        policy.insert("client.rejoin-retry-after-491".to_owned(), "false".to_owned());
        assert!(tries > 0, "no 491");
        assert_eq!(retries(&policy), 0);
    }

    #[test]
    fn what_happens_is_varied() {
        let soaked = stage(2_000).soak(1);
        assert!(soaked.messages >= 2_000, "{} messages", soaked.messages);
        for order in ["say", "call", "lose", "deregister", "return", "invite", "cut"] {
            assert!(soaked.orders.get(order).is_some_and(|count| *count > 3), "{order}: {:?}", soaked.orders);
        }
        // Whoever comes back is registered with the PF, which is what triggers a delivery.
        assert!(soaked.satisfied.contains("DGC-9-06"), "{:?}", soaked.satisfied);
    }
}
