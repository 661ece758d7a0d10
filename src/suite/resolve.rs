//! Scenario files: from the tree to a [`Scenario`].

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::conditions::check_knob;
use super::diagnostics::Diagnostic;
use super::flow::{Flow, Spot};
use super::fragments::Library;
use super::patterns::{Ends, Patterns, ROLES};
use super::reader::{self, Desk, Fields};
use super::scenario::{Act, Actor, Defaults, Scenario, Step, Variant};
use super::scope::{Filler, Scope};
use super::threads::Threads;
use super::yaml::{Entry, Kind, Node};
use crate::pattern::ast::{Pattern, Place, Role};

/// The fields of a scenario.
pub(super) const FIELDS: &[&str] = &[
    "title",
    "requirements",
    "tags",
    "iut",
    "actors",
    "vars",
    "policy",
    "policies",
    "needs",
    "control",
    "ignore",
    "settle",
    "draft",
    "since",
    "until",
    "flow",
];

/// What every scenario is read with.
pub(super) struct Surroundings<'a> {
    pub(super) desk: &'a Desk,
    pub(super) defaults: &'a Defaults,
    pub(super) library: &'a Library,
    /// Identifiers of all requirements.
    pub(super) requirements: &'a [&'a str],
}

impl Surroundings<'_> {
    /// Reads one scenario; `None` when something in it is wrong.
    pub(super) fn scenario(&self, id: &str, file: u32, tree: &Node) -> Option<Scenario> {
        let mark = self.desk.len();
        self.library.take_files();
        let fields = Fields::of(self.desk, tree, "a scenario")?;
        fields.known(self.desk, "a scenario", FIELDS);
        let title = fields.need(self.desk, "title", "a scenario").and_then(|node| reader::text(self.desk, node, "`title`"));
        let iut =
            fields.get("iut").map_or(Some(Role::Pf), |node| reader::word(self.desk, node, "`iut`", &ROLES)).unwrap_or(Role::Pf);
        let actors = self.actors(fields.get("actors"), iut);
        let scope = self.vars(fields.get("vars"));
        let flow = Flow {
            desk: self.desk,
            defaults: self.defaults,
            library: self.library,
            actors: &actors,
            iut,
            requirements: &|name, place| self.check_requirement(name, place),
            used: RefCell::default(),
            threads: RefCell::new(Threads::default()),
            numbers: Cell::new(0),
            checks: Cell::new(0),
            broken: Cell::new(false),
        };
        let ignore = self.ignore(fields.get("ignore"), &scope, &actors, iut, &flow.used);
        let steps = fields.need(self.desk, "flow", "a scenario").map(|node| {
            let spot = Spot { scope: &scope, prefix: "", via: &[], open: &[], top: true };
            flow.steps(node, "`flow`", spot)
        });
        let mut steps = steps.unwrap_or_default();
        set_answered_by(&mut steps, &flow.threads.borrow().answered_by);
        let variants = self.variants(&fields);
        self.report_unused(&scope, &fields, &actors, &flow);
        self.desk.forget_consequences(mark, flow.broken.get());
        super::lint::constant_branches(self.desk, &steps, &variants);
        let requirements = self.requirements(fields.get("requirements"));
        let texts = |name: &str| fields.get(name).map(|node| owned(&reader::texts(self.desk, node, name))).unwrap_or_default();
        let scenario = Scenario {
            id: id.to_owned(),
            title: title.unwrap_or_default().to_owned(),
            requirements,
            tags: texts("tags"),
            iut,
            variants,
            needs: texts("needs"),
            control: fields.get("control").and_then(|node| reader::text(self.desk, node, "`control`")).map(str::to_owned),
            ignore,
            settle: fields.get("settle").and_then(|node| reader::span(self.desk, node, "`settle`")),
            draft: fields.get("draft").and_then(|node| reader::flag(self.desk, node, "`draft`")).unwrap_or(false),
            flow: steps,
            steps: flow.numbers.get(),
            files: std::iter::once(file).chain(self.library.take_files()).collect(),
            actors: actors.clone(),
        };
        if flow.checks.get() == 0 && !self.desk.has_errors_since(mark) {
            self.desk.say(
                Diagnostic::new("Y0039", first_line(tree), format!("scenario `{id}` checks nothing"))
                    .label("no step expects or forbids anything")
                    .help("add a step of the IUT (`pf -> …`), or a `never`"),
            );
        }
        (!self.desk.has_errors_since(mark)).then_some(scenario)
    }

    fn check_requirement(&self, id: &str, place: Place) {
        if !self.requirements.contains(&id) {
            self.desk.say(
                Diagnostic::new("Y0013", place, format!("requirement `{id}` is not in the catalogue")).label("not known").allowed(
                    "the catalogue has",
                    id,
                    self.requirements.iter().copied(),
                ),
            );
        }
    }

    fn requirements(&self, node: Option<&Node>) -> Vec<String> {
        let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
        for (id, place) in node.map(|node| reader::texts(self.desk, node, "`requirements`")).unwrap_or_default() {
            if let Some(first) = seen.get(id) {
                self.desk.say(
                    Diagnostic::new("Y0014", place, format!("requirement `{id}` is listed twice"))
                        .label("again here")
                        .secondary(*first, "first here"),
                );
                continue;
            }
            self.check_requirement(id, place);
            seen.insert(id, place);
        }
        node.map(|node| reader::texts(&Desk::default(), node, "`requirements`"))
            .unwrap_or_default()
            .into_iter()
            .map(|(id, _)| id.to_owned())
            .collect()
    }

    fn actors(&self, node: Option<&Node>, iut: Role) -> Vec<Actor> {
        let Some(fields) = node.and_then(|node| Fields::of(self.desk, node, "`actors`")) else { return Vec::new() };
        fields.entries.iter().filter_map(|entry| self.actor(entry, iut)).collect()
    }

    fn actor(&self, entry: &Entry, iut: Role) -> Option<Actor> {
        let name = entry.key.text.as_str();
        if name == iut.to_string() || name == "any" {
            self.desk.say(
                Diagnostic::new("Y0028", entry.key.place, format!("`{name}` cannot be declared"))
                    .label("reserved")
                    .help("the IUT is there without being declared, and `any` is everyone"),
            );
            return None;
        }
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            self.desk.say(
                Diagnostic::new("Y0028", entry.key.place, format!("`{name}` is no name for an actor"))
                    .label("letters, digits, `-` and `_` only"),
            );
            return None;
        }
        if entry.value.text().is_some() {
            let role = reader::word(self.desk, &entry.value, "the role of an actor", &ROLES)?;
            return Some(Actor {
                name: name.into(),
                role,
                devices: Vec::new(),
                reference: false,
                refreshes: true,
                connects_early: false,
            });
        }
        let fields = Fields::of(self.desk, &entry.value, "an actor")?;
        fields.known(self.desk, "an actor", &["role", "devices", "reference", "refreshes", "connects-early"]);
        let role = reader::word(self.desk, fields.need(self.desk, "role", "an actor")?, "the role of an actor", &ROLES)?;
        let devices = fields.get("devices").map(|node| reader::texts(self.desk, node, "`devices`")).unwrap_or_default();
        for (device, place) in &devices {
            self.check_device(name, device, *place);
        }
        let flag = |name: &str| fields.get(name).and_then(|node| reader::flag(self.desk, node, &format!("`{name}`")));
        Some(Actor {
            name: name.into(),
            role,
            devices: devices.into_iter().map(|(device, _)| Arc::from(device)).collect(),
            reference: flag("reference").unwrap_or(false),
            refreshes: flag("refreshes").unwrap_or(true),
            connects_early: flag("connects-early").unwrap_or(false),
        })
    }

    /// A device of someone with an identity has an instance there.
    fn check_device(&self, name: &str, device: &str, place: Place) {
        if let Some(identity) = self.defaults.identities.get(name)
            && !identity.devices.contains_key(device)
        {
            self.desk.say(
                Diagnostic::new("Y0012", place, format!("identity `{name}` has no device `{device}`"))
                    .label("no instance is known for it")
                    .allowed("suite.yaml gives it", device, identity.devices.keys().map(String::as_str)),
            );
        }
    }

    fn vars(&self, node: Option<&Node>) -> Scope<'static> {
        let mut scope = Scope::new();
        for entry in node.and_then(|node| Fields::of(self.desk, node, "`vars`")).iter().flat_map(|fields| fields.entries) {
            let value = Filler { desk: self.desk, scope: &scope, defaults: self.defaults, step: &|_| None }.node(&entry.value);
            scope.define(&entry.key.text, value, entry.key.place);
        }
        scope
    }

    fn ignore(
        &self,
        node: Option<&Node>,
        scope: &Scope<'_>,
        actors: &[Actor],
        iut: Role,
        used: &RefCell<BTreeSet<String>>,
    ) -> Vec<Pattern> {
        let Some(node) = node else { return Vec::new() };
        let node = Filler { desk: self.desk, scope, defaults: self.defaults, step: &|_| None }.node(node);
        let patterns = Patterns {
            desk: self.desk,
            defaults: self.defaults,
            library: self.library,
            ends: Ends::Actors { declared: actors, iut, used },
            step: &|_| None,
        };
        match &node.kind {
            Kind::Sequence(members) => members.iter().filter_map(|member| patterns.one(member, "`ignore`")).collect(),
            _ => patterns.one(&node, "`ignore`").into_iter().collect(),
        }
    }

    /// `policy`, and `policies` on top of it: a list of `{ name: …, policy… }` or a mapping from
    /// names to policies.
    fn variants(&self, fields: &Fields<'_>) -> Vec<Variant> {
        let common = fields.get("policy").map(|node| self.policy(node)).unwrap_or_default();
        let Some(node) = fields.get("policies") else { return vec![Variant { name: String::new(), policy: common }] };
        let Some(entries) = Fields::of(self.desk, node, "`policies`").map(|fields| fields.entries) else { return Vec::new() };
        if entries.is_empty() {
            self.desk.say(Diagnostic::new("Y0040", node.place, "`policies` names no variant").label("empty"));
        }
        let variant = |entry: &Entry| {
            let mut policy = common.clone();
            policy.extend(self.policy(&entry.value));
            Variant { name: entry.key.text.clone(), policy }
        };
        entries.iter().map(variant).collect()
    }

    /// A map from knobs to values as written.
    pub(super) fn policy(&self, node: &Node) -> BTreeMap<String, String> {
        policy(self.desk, node)
    }

    fn report_unused(&self, scope: &Scope<'_>, fields: &Fields<'_>, actors: &[Actor], flow: &Flow<'_>) {
        for (name, place) in scope.unused() {
            self.desk.say(
                Diagnostic::new("Y0044", place, format!("variable `{name}` is never read"))
                    .label("never read")
                    .help(format!("write `\"${{{name}}}\"` where it belongs, or remove it")),
            );
        }
        let entries = fields.get("actors").and_then(Node::entries).unwrap_or_default();
        for actor in
            actors.iter().filter(|actor| actor.role != Role::Core && !actor.reference && !flow.used.borrow().contains(&*actor.name))
        {
            let place = entries.iter().find(|entry| entry.key.text == *actor.name).map_or(fields.place, |entry| entry.key.place);
            self.desk.say(
                Diagnostic::new("Y0045", place, format!("actor `{}` takes part in no step", actor.name))
                    .label("never used")
                    .help("remove it, or declare it `reference: true` to let it act on its own"),
            );
        }
    }
}

/// A map from knobs to values as written; unknown knobs and values are mistakes.
pub(super) fn policy(desk: &Desk, node: &Node) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for entry in Fields::of(desk, node, "a policy").iter().flat_map(|fields| fields.entries) {
        let value = match &entry.value.kind {
            Kind::Sequence(members) => members.iter().filter_map(Node::text).collect::<Vec<_>>().join(", "),
            _ => match reader::text(desk, &entry.value, "the value of a knob") {
                Some(text) => text.to_owned(),
                None => continue,
            },
        };
        if check_knob(desk, &entry.key.text, &value, entry.key.place, entry.value.place) {
            let name = crate::policy::knob(&entry.key.text).map_or(entry.key.text.as_str(), |knob| knob.name);
            out.insert(name.to_owned(), value);
        }
    }
    out
}

fn owned(texts: &[(&str, Place)]) -> Vec<String> {
    texts.iter().map(|(text, _)| (*text).to_owned()).collect()
}

/// The first line of a tree, to underline for what concerns the whole file.
fn first_line(tree: &Node) -> Place {
    let entry = tree.entries().and_then(<[Entry]>::first);
    entry.map_or(tree.place, |entry| entry.key.place)
}

/// Tells each expectation which step answers it.
fn set_answered_by(steps: &mut [Step], answered: &BTreeMap<u32, u32>) {
    for step in steps {
        match &mut step.act {
            Act::Expect(expectation) => expectation.answered_by = answered.get(&step.number).copied(),
            Act::AnyOrder(runs) | Act::Repeat(runs) => runs.iter_mut().for_each(|run| set_answered_by(run, answered)),
            Act::InOrder(steps) | Act::Optional(steps) | Act::Block(steps) => set_answered_by(steps, answered),
            Act::Either(branches) => branches.iter_mut().for_each(|branch| set_answered_by(&mut branch.steps, answered)),
            Act::When(_, yes, no) => {
                set_answered_by(yes, answered);
                set_answered_by(no, answered);
            }
            Act::Race(runs) => runs.iter_mut().for_each(|(_, run)| set_answered_by(run, answered)),
            Act::Send(_)
            | Act::Wait(_)
            | Act::Never(_)
            | Act::NeverFor(..)
            | Act::Ignore(_)
            | Act::Disconnect(_)
            | Act::Link { .. }
            | Act::Partition(..)
            | Act::Heal(..)
            | Act::Restart(_)
            | Act::Clock(_) => {}
        }
    }
}
