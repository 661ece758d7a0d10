//! Steps: from the tree of a flow to resolved steps, fragments put in place.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use super::arrows::is_arrow;
use super::catalogue::Level;
use super::conditions;
use super::diagnostics::Diagnostic;
use super::fragments::{Content, Library};
use super::patterns::{Ends, Patterns, unknown_actor};
use super::reader::{self, Desk, Fields};
use super::scenario::{Act, Actor, Branch, Defaults, Quality, Step};
use super::scope::{Filler, Scope};
use super::threads::Threads;
use super::yaml::{Entry, Kind, Node, Text};
use crate::pattern::ast::{End, Pattern, Place, Role};

/// The words that a block step starts with, each with the words that may stand beside it.
pub(super) const BLOCKS: &[(&str, &[&str])] = &[
    ("use", &["with", "as"]),
    ("wait", &[]),
    ("never", &["for"]),
    ("ignore", &[]),
    ("any-order", &[]),
    ("in-order", &[]),
    ("either", &[]),
    ("optional", &[]),
    ("for-each", &["do"]),
    ("repeat", &["do"]),
    ("when", &["do", "else"]),
    ("race", &[]),
    ("disconnect", &[]),
    ("link", &[]),
    ("partition", &[]),
    ("heal", &[]),
    ("restart", &[]),
    ("clock", &[]),
];

/// The words for levels.
pub(super) const LEVELS: [(&str, Level); 4] =
    [("SHALL", Level::Shall), ("SHOULD", Level::Should), ("MAY", Level::May), ("NOTE", Level::Note)];

/// Fragments may use fragments, so deep.
const DEPTH: usize = 16;
/// A scenario has no more steps than this, loops and fragments expanded.
const STEPS: u32 = 100_000;

/// Reads the flow of one scenario.
pub(super) struct Flow<'a> {
    pub(super) desk: &'a Desk,
    pub(super) defaults: &'a Defaults,
    pub(super) library: &'a Library,
    pub(super) actors: &'a [Actor],
    pub(super) iut: Role,
    /// Whether the catalogue knows a requirement.
    pub(super) requirements: &'a dyn Fn(&str, Place),
    pub(super) used: RefCell<BTreeSet<String>>,
    pub(super) threads: RefCell<Threads>,
    pub(super) numbers: Cell<u32>,
    /// How many demands on the IUT were read.
    pub(super) checks: Cell<u32>,
    /// Whether a step could not be read, so that later ones miss it.
    pub(super) broken: Cell<bool>,
}

/// Where in the nesting a step is read.
#[derive(Clone, Copy)]
pub(super) struct Spot<'s> {
    pub(super) scope: &'s Scope<'s>,
    /// What identifiers of steps here begin with.
    pub(super) prefix: &'s str,
    pub(super) via: &'s [Place],
    /// Names of the fragments that are being read.
    pub(super) open: &'s [&'s str],
    /// Whether this is the flow itself, whose end is the end of the scenario.
    pub(super) top: bool,
}

impl Flow<'_> {
    /// Reads a list of steps.
    pub(super) fn steps(&self, node: &Node, what: &str, spot: Spot<'_>) -> Vec<Step> {
        let members = reader::members(self.desk, node, what);
        if members.is_empty() {
            self.desk.say(Diagnostic::new("Y0040", node.place, format!("{what} has no steps")).label("empty"));
        }
        let step = |member: &Node| {
            let step = self.step(member, spot);
            self.broken.set(self.broken.get() || step.is_none());
            step
        };
        let steps: Vec<Step> = members.iter().filter_map(step).collect();
        if let (Some(Step { act: Act::Never(_), place, .. }), false) = (steps.last(), spot.top) {
            self.desk.say(
                Diagnostic::new("Y0041", *place, "this `never` ends with its block, so it watches nothing")
                    .label("nothing comes after it")
                    .help("put it before what it is to watch, or give it a time of its own with `for:`"),
            );
        }
        steps
    }

    fn step(&self, node: &Node, spot: Spot<'_>) -> Option<Step> {
        let Some(entries) = node.entries() else {
            let mut diagnostic = reader::wrong_type(node, "a step", "a mapping");
            if node.text().is_some_and(is_arrow) {
                diagnostic = diagnostic.help(format!("write `{}: {{}}`", node.text().unwrap_or("")));
            }
            self.desk.say(diagnostic);
            return None;
        };
        let place = entries.first().map_or(node.place, |entry| entry.key.place);
        let number = self.numbers.get();
        self.numbers.set(number + 1);
        if number == STEPS {
            self.desk.say(
                Diagnostic::new("Y0025", place, format!("the scenario has more than {STEPS} steps"))
                    .label("this one is too many")
                    .help("repeat less often, or split the scenario"),
            );
        }
        if number >= STEPS {
            return None;
        }
        let act = match entries.iter().find(|entry| is_arrow(&entry.key.text)) {
            Some(arrow) => {
                self.only(entries, arrow);
                self.message(number, arrow, spot)?
            }
            None => self.block(node, entries, spot)?,
        };
        Some(Step { number, act, place, via: spot.via.to_vec() })
    }

    /// A message step is one entry; more are keys at a wrong depth.
    fn only(&self, entries: &[Entry], arrow: &Entry) {
        for entry in entries.iter().filter(|entry| entry.key.place != arrow.key.place) {
            let diagnostic = if is_arrow(&entry.key.text) {
                Diagnostic::new("Y0022", entry.key.place, "two messages in one step")
                    .label("the second one")
                    .help("start it with `- `, it is a step of its own")
            } else {
                Diagnostic::new("Y0008", entry.key.place, format!("`{}` stands beside the message, not in it", entry.key.text))
                    .label("indented like the message itself")
                    .secondary(arrow.key.place, "it belongs to this message")
                    .help("indent it by two more columns, or put it between the braces")
            };
            self.desk.say(diagnostic);
        }
    }

    fn block(&self, node: &Node, entries: &[Entry], spot: Spot<'_>) -> Option<Act> {
        let found = BLOCKS
            .iter()
            .find_map(|(word, beside)| entries.iter().find(|entry| entry.key.text == *word).map(|entry| (entry, *beside)));
        let Some((entry, beside)) = found else {
            let first = entries.first();
            let written = first.map_or("", |entry| entry.key.text.as_str());
            let place = first.map_or(node.place, |entry| entry.key.place);
            self.desk.say(
                Diagnostic::new("Y0003", place, format!("unknown step `{written}`"))
                    .label("neither a message nor a block")
                    .allowed("a message is written `a -> b KIND`; blocks are", written, BLOCKS.iter().map(|(word, _)| *word)),
            );
            return None;
        };
        let fields = Fields { entries, place: node.place };
        let known: Vec<&str> = std::iter::once(entry.key.text.as_str()).chain(beside.iter().copied()).collect();
        fields.known(self.desk, &format!("`{}`", entry.key.text), &known);
        let value = &entry.value;
        match entry.key.text.as_str() {
            "use" => self.fragment(value, &fields, spot),
            "wait" => reader::span(self.desk, &self.filled(value, spot), "`wait`").map(Act::Wait),
            "never" => self.never(value, &fields, spot),
            "ignore" => Some(Act::Ignore(self.patterns_of(value, "`ignore`", spot))),
            "any-order" => Some(Act::AnyOrder(self.runs(value, spot))),
            "in-order" => Some(Act::InOrder(self.steps(value, "`in-order`", nested(spot)))),
            "either" => self.either(value, spot),
            "optional" => Some(Act::Optional(self.branches(&[Some(value)], "`optional`", spot).pop().unwrap_or_default())),
            "for-each" => self.for_each(value, &fields, spot),
            "repeat" => self.repeat(value, &fields, spot),
            "when" => self.when(value, &fields, spot),
            "race" => self.race(value, spot),
            "disconnect" => self.one_end(value, "`disconnect`", spot).map(Act::Disconnect),
            "restart" => self.one_end(value, "`restart`", spot).map(Act::Restart),
            "link" => self.link(value, spot),
            "partition" => self.two_ends(value, "`partition`", spot).map(|(one, two)| Act::Partition(one, two)),
            "heal" => self.two_ends(value, "`heal`", spot).map(|(one, two)| Act::Heal(one, two)),
            _ => reader::span(self.desk, &self.filled(value, spot), "`clock`").map(Act::Clock),
        }
    }

    fn filled(&self, node: &Node, spot: Spot<'_>) -> Node {
        let step = |name: &str| self.threads.borrow().resolve(spot.prefix, name);
        Filler { desk: self.desk, scope: spot.scope, defaults: self.defaults, step: &step }.node(node)
    }

    /// Calls `read` with what reads patterns here.
    pub(super) fn with_patterns<T>(&self, spot: Spot<'_>, read: impl FnOnce(&Patterns<'_>) -> T) -> T {
        let step = |name: &str| self.threads.borrow().resolve(spot.prefix, name);
        read(&Patterns {
            desk: self.desk,
            defaults: self.defaults,
            library: self.library,
            ends: Ends::Actors { declared: self.actors, iut: self.iut, used: &self.used },
            step: &step,
        })
    }

    fn patterns_of(&self, node: &Node, what: &str, spot: Spot<'_>) -> Vec<Pattern> {
        let node = self.filled(node, spot);
        self.with_patterns(spot, |patterns| match &node.kind {
            Kind::Sequence(members) => members.iter().filter_map(|member| patterns.one(member, what)).collect(),
            _ => patterns.one(&node, what).into_iter().collect(),
        })
    }

    fn never(&self, node: &Node, fields: &Fields<'_>, spot: Spot<'_>) -> Option<Act> {
        self.checks.set(self.checks.get() + 1);
        let patterns = self.patterns_of(node, "`never`", spot);
        if patterns.is_empty() {
            return None;
        }
        match fields.get("for") {
            Some(time) => reader::span(self.desk, &self.filled(time, spot), "`for`").map(|time| Act::NeverFor(patterns, time)),
            None => Some(Act::Never(patterns)),
        }
    }

    fn fragment(&self, node: &Node, fields: &Fields<'_>, spot: Spot<'_>) -> Option<Act> {
        let name = self.filled(node, spot);
        let name_text = reader::text(self.desk, &name, "the name of a fragment")?;
        let fragment = self.library.find(self.desk, name_text, node.place, true)?;
        if spot.open.contains(&name_text) || spot.open.len() >= DEPTH {
            self.desk.say(Diagnostic::new("Y0051", node.place, format!("`{name_text}` uses itself")).label("again, without end"));
            return None;
        }
        let Content::Steps(steps) = &fragment.content else { return None };
        let with = fields.get("with").map(|with| self.filled(with, spot));
        let scope = fragment.scope(self.desk, with.as_ref(), node.place);
        let own = match fields.get("as") {
            Some(node) => reader::text(self.desk, node, "`as`")?,
            None => name_text.rsplit('/').next().unwrap_or(name_text),
        };
        let prefix = if spot.prefix.is_empty() { own.to_owned() } else { format!("{}.{own}", spot.prefix) };
        let via: Vec<Place> = spot.via.iter().copied().chain([node.place]).collect();
        let open: Vec<&str> = spot.open.iter().copied().chain([name_text]).collect();
        let inner = Spot { scope: &scope, prefix: &prefix, via: &via, open: &open, top: false };
        let steps = self.steps(steps, &format!("fragment `{name_text}`"), inner);
        fragment.report_unread(self.desk, &scope);
        Some(Act::Block(steps))
    }

    /// Members of `any-order`: a step, or a run of steps.
    fn runs(&self, node: &Node, spot: Spot<'_>) -> Vec<Vec<Step>> {
        let members = reader::members(self.desk, node, "`any-order`");
        if members.len() < 2 {
            self.desk.say(Diagnostic::new("Y0040", node.place, "`any-order` has two members or more").label("nothing to order"));
        }
        let run = |member: &Node| match &member.kind {
            Kind::Sequence(_) => self.steps(member, "a run of `any-order`", nested(spot)),
            _ => self.step(member, nested(spot)).into_iter().collect(),
        };
        members.iter().map(run).collect()
    }

    /// Each branch is read from where the text is now; what they did is joined afterwards.
    fn branches(&self, bodies: &[Option<&Node>], what: &str, spot: Spot<'_>) -> Vec<Vec<Step>> {
        let before = self.threads.borrow().clone();
        let (mut after, mut out) = (Vec::new(), Vec::new());
        for body in bodies {
            self.threads.replace(before.clone());
            out.push(body.map(|body| self.steps(body, what, nested(spot))).unwrap_or_default());
            after.push(self.threads.borrow().clone());
        }
        let mut joined = before;
        joined.join(after);
        self.threads.replace(joined);
        out
    }

    fn either(&self, node: &Node, spot: Spot<'_>) -> Option<Act> {
        let members = reader::members(self.desk, node, "`either`");
        if members.len() < 2 {
            self.desk
                .say(Diagnostic::new("Y0040", node.place, "`either` has two branches or more").label("nothing to choose from"));
        }
        let mut levels = Vec::new();
        let mut bodies = Vec::new();
        for member in members {
            let fields = Fields::of(self.desk, member, "a branch of `either`")?;
            fields.known(self.desk, "a branch of `either`", &["level", "do"]);
            let level = fields.get("level").map_or(Some(Level::Shall), |node| reader::word(self.desk, node, "`level`", &LEVELS))?;
            levels.push(level);
            bodies.push(Some(fields.need(self.desk, "do", "a branch of `either`")?));
        }
        let steps = self.branches(&bodies, "a branch of `either`", spot);
        super::lint::alike(self.desk, &steps);
        Some(Act::Either(levels.into_iter().zip(steps).map(|(level, steps)| Branch { level, steps }).collect()))
    }

    fn for_each(&self, node: &Node, fields: &Fields<'_>, spot: Spot<'_>) -> Option<Act> {
        let entries = Fields::of(self.desk, node, "`for-each`")?.entries;
        let [Entry { key, value }] = entries else {
            self.desk.say(
                Diagnostic::new("Y0007", node.place, "`for-each` names one variable and its list")
                    .label("not one variable")
                    .help("write `for-each: { text: [one, two] }`"),
            );
            return None;
        };
        let body = fields.need(self.desk, "do", "`for-each`")?;
        let list = self.filled(value, spot);
        let Some(members) = list.members() else {
            self.desk.say(reader::wrong_type(&list, "what `for-each` goes through", "a list"));
            return None;
        };
        if members.is_empty() {
            self.desk.say(
                Diagnostic::new("Y0035", value.place, "`for-each` goes through an empty list, so it does nothing").label("empty"),
            );
        }
        let run = |member: &Node| self.loop_run(key, member.clone(), body, "`for-each`", spot);
        Some(Act::Repeat(members.iter().map(run).collect()))
    }

    fn repeat(&self, node: &Node, fields: &Fields<'_>, spot: Spot<'_>) -> Option<Act> {
        let times = reader::count(self.desk, &self.filled(node, spot), "`repeat`")?;
        let body = fields.need(self.desk, "do", "`repeat`")?;
        if times > STEPS {
            self.desk.say(Diagnostic::new("Y0025", node.place, format!("`repeat` goes up to {STEPS}")).label("out of range"));
            return None;
        }
        if times == 0 {
            self.desk.say(Diagnostic::new("Y0035", node.place, "`repeat: 0` does nothing").label("never"));
        }
        let name = Text { text: "i".to_owned(), place: node.place };
        let run = |at: u32| {
            let value = Node { kind: Kind::Scalar { text: at.to_string(), quoted: false }, place: node.place };
            self.loop_run(&name, value, body, "`repeat`", spot)
        };
        Some(Act::Repeat((1..=times).map(run).collect()))
    }

    fn loop_run(&self, name: &Text, value: Node, body: &Node, what: &str, spot: Spot<'_>) -> Vec<Step> {
        let mut scope = Scope::within(spot.scope);
        scope.define(&name.text, value, name.place);
        let steps = self.steps(body, what, Spot { scope: &scope, top: false, ..spot });
        if what == "`for-each`" {
            for (name, place) in scope.unused() {
                self.desk.say(
                    Diagnostic::new("Y0044", place, format!("variable `{name}` is never read"))
                        .label("never read")
                        .help(format!("write `\"${{{name}}}\"` where it belongs, or use `repeat`")),
                );
            }
        }
        steps
    }

    fn when(&self, node: &Node, fields: &Fields<'_>, spot: Spot<'_>) -> Option<Act> {
        let filled = self.filled(node, spot);
        let condition = conditions::read(self.desk, &filled)?;
        let body = fields.need(self.desk, "do", "`when`")?;
        let mut out = self.branches(&[Some(body), fields.get("else")], "a branch of `when`", spot);
        let no = out.pop().unwrap_or_default();
        Some(Act::When(condition, out.pop().unwrap_or_default(), no))
    }

    fn race(&self, node: &Node, spot: Spot<'_>) -> Option<Act> {
        let entries = Fields::of(self.desk, node, "`race`")?.entries;
        if entries.len() < 2 {
            self.desk.say(Diagnostic::new("Y0040", node.place, "`race` has two runs or more").label("nothing to race against"));
        }
        let run = |entry: &Entry| (entry.key.text.clone(), self.steps(&entry.value, "a run of `race`", nested(spot)));
        let runs: Vec<(String, Vec<Step>)> = entries.iter().map(run).collect();
        for step in runs.iter().flat_map(|(_, steps)| steps).filter(|step| !matches!(step.act, Act::Send(_) | Act::Wait(_))) {
            self.desk.say(
                Diagnostic::new("Y0041", step.place, "a run of `race` holds sending steps")
                    .label("this sends nothing")
                    .help("what is expected goes after the race, in `any-order` where the order is open"),
            );
        }
        Some(Act::Race(runs))
    }

    fn link(&self, node: &Node, spot: Spot<'_>) -> Option<Act> {
        let node = self.filled(node, spot);
        let fields = Fields::of(self.desk, &node, "`link`")?;
        fields.known(self.desk, "`link`", &["from", "to", "loss", "delay", "reorder", "duplicate"]);
        let from = self.one_end(fields.need(self.desk, "from", "`link`")?, "`from`", spot)?;
        let to = self.one_end(fields.need(self.desk, "to", "`link`")?, "`to`", spot)?;
        let share = |name: &str| {
            let Some(node) = fields.get(name) else { return Some(0.0) };
            let share: f64 = reader::number(self.desk, node, &format!("`{name}`"))?;
            if !(0.0..=1.0).contains(&share) {
                self.desk.say(
                    Diagnostic::new("Y0025", node.place, format!("`{name}` is a share between 0 and 1")).label("out of range"),
                );
            }
            Some(share)
        };
        let delay = match fields.get("delay") {
            Some(node) => Some(reader::span(self.desk, node, "`delay`")?),
            None => None,
        };
        let quality = Quality { loss: share("loss")?, delay, reorder: share("reorder")?, duplicate: share("duplicate")? };
        Some(Act::Link { from, to, quality })
    }

    fn one_end(&self, node: &Node, what: &str, spot: Spot<'_>) -> Option<End> {
        let node = self.filled(node, spot);
        let text = reader::text(self.desk, &node, what)?;
        let name = text.split('.').next().unwrap_or(text);
        let iut = self.iut.to_string();
        if name != iut && !self.actors.iter().any(|actor| &*actor.name == name) {
            self.desk.say(unknown_actor(name, node.place, self.actors, self.iut));
            return None;
        }
        self.used.borrow_mut().insert(name.to_owned());
        let device = text.split_once('.').map(|(_, device)| device.into());
        Some(End::Actor { name: name.into(), device })
    }

    fn two_ends(&self, node: &Node, what: &str, spot: Spot<'_>) -> Option<(End, End)> {
        match reader::members(self.desk, node, what) {
            [one, two] => Some((self.one_end(one, what, spot)?, self.one_end(two, what, spot)?)),
            _ => {
                self.desk.say(
                    Diagnostic::new("Y0007", node.place, format!("{what} names two actors"))
                        .label("not two")
                        .help("write `[bob, pf]`"),
                );
                None
            }
        }
    }
}

/// The same place, one block deeper.
const fn nested(spot: Spot<'_>) -> Spot<'_> {
    Spot { top: false, ..spot }
}
