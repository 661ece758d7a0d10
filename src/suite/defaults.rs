//! `suite.yaml` and `readings.yaml`.

use super::catalogue::{Reading, Requirement};
use super::diagnostics::Diagnostic;
use super::reader::{self, Desk, Fields};
use super::resolve::policy;
use super::scenario::{Defaults, Group, Identity};
use super::yaml::{Entry, Node};
use crate::pattern::Names;
use crate::wire::sip::Uri;

/// The fields of `suite.yaml`.
pub(super) const FIELDS: &[&str] = &["title", "spec", "defaults", "pf", "identities", "groups", "policy"];
/// The fields below `defaults:`.
pub(super) const DEFAULT_FIELDS: &[&str] = &["within", "delay", "seed"];
/// The fields of an identity.
pub(super) const IDENTITY_FIELDS: &[&str] = &["uri", "aliases", "display", "devices"];
/// The fields of a group.
pub(super) const GROUP_FIELDS: &[&str] = &["focus", "conversation-id", "contribution-id", "subject", "members"];
/// The fields of a reading.
pub(super) const READING_FIELDS: &[&str] =
    &["clause", "requirements", "question", "ours", "other", "why", "knob", "scenarios", "untold"];

/// Reads `suite.yaml`.
pub(super) fn read(desk: &Desk, tree: &Node) -> Defaults {
    let mut defaults =
        Defaults { within: std::time::Duration::from_secs(5), delay: std::time::Duration::from_millis(1), ..Defaults::default() };
    let Some(fields) = Fields::of(desk, tree, "a suite") else { return defaults };
    fields.known(desk, "a suite", FIELDS);
    let text = |fields: &Fields<'_>, name: &str| {
        fields.get(name).and_then(|node| reader::text(desk, node, &format!("`{name}`"))).unwrap_or("").to_owned()
    };
    fields.need(desk, "title", "a suite");
    defaults.title = text(&fields, "title");
    defaults.spec = text(&fields, "spec");
    if let Some(inner) = fields.get("defaults").and_then(|node| Fields::of(desk, node, "`defaults`")) {
        inner.known(desk, "`defaults`", DEFAULT_FIELDS);
        let span = |name: &str| inner.get(name).and_then(|node| reader::span(desk, node, &format!("`{name}`")));
        defaults.within = span("within").unwrap_or(defaults.within);
        defaults.delay = span("delay").unwrap_or(defaults.delay);
        defaults.seed = inner.get("seed").and_then(|node| reader::number(desk, node, "`seed`")).unwrap_or(0);
    }
    defaults.pf = fields.get("pf").and_then(|node| uri(desk, node)).unwrap_or_default();
    for entry in entries(desk, &fields, "identities") {
        if let Some(identity) = identity(desk, entry) {
            defaults.identities.insert(entry.key.text.clone(), identity);
        }
    }
    for entry in entries(desk, &fields, "groups") {
        if let Some(group) = group(desk, entry, &defaults) {
            defaults.groups.insert(entry.key.text.clone(), group);
        }
    }
    defaults.policy = fields.get("policy").map(|node| policy(desk, node)).unwrap_or_default();
    defaults
}

fn entries<'n>(desk: &Desk, fields: &Fields<'n>, name: &str) -> &'n [Entry] {
    fields.get(name).and_then(|node| Fields::of(desk, node, &format!("`{name}`"))).map_or(&[], |fields| fields.entries)
}

fn uri(desk: &Desk, node: &Node) -> Option<String> {
    let text = reader::text(desk, node, "an address")?;
    if let Err(fault) = Uri::parse(text) {
        desk.say(Diagnostic::new("Y0050", node.place, format!("`{text}` is no URI")).label(fault.to_string()));
        return None;
    }
    Some(text.to_owned())
}

fn identity(desk: &Desk, entry: &Entry) -> Option<Identity> {
    let fields = Fields::of(desk, &entry.value, "an identity")?;
    fields.known(desk, "an identity", IDENTITY_FIELDS);
    let aliases = fields.get("aliases").map(|node| reader::members(desk, node, "`aliases`")).unwrap_or_default();
    let devices =
        fields.get("devices").and_then(|node| Fields::of(desk, node, "`devices`")).map_or(&[][..], |fields| fields.entries);
    let device =
        |entry: &Entry| reader::text(desk, &entry.value, "an instance").map(|text| (entry.key.text.clone(), text.to_owned()));
    Some(Identity {
        uri: uri(desk, fields.need(desk, "uri", "an identity")?)?,
        aliases: aliases.iter().filter_map(|node| uri(desk, node)).collect(),
        display: fields.get("display").and_then(|node| reader::text(desk, node, "`display`")).map(str::to_owned),
        devices: devices.iter().filter_map(device).collect(),
    })
}

fn group(desk: &Desk, entry: &Entry, defaults: &Defaults) -> Option<Group> {
    let fields = Fields::of(desk, &entry.value, "a group")?;
    fields.known(desk, "a group", GROUP_FIELDS);
    let text = |name: &str| {
        fields.need(desk, name, "a group").and_then(|node| reader::text(desk, node, &format!("`{name}`"))).map(str::to_owned)
    };
    let members = fields.get("members").map(|node| reader::texts(desk, node, "`members`")).unwrap_or_default();
    for (name, place) in &members {
        if !defaults.identities.contains_key(*name) {
            desk.say(
                Diagnostic::new("Y0050", *place, format!("`{name}` is nobody's name")).label("not among the identities").allowed(
                    "identities are",
                    name,
                    defaults.identities.keys().map(String::as_str),
                ),
            );
        }
    }
    Some(Group {
        focus: uri(desk, fields.need(desk, "focus", "a group")?)?,
        conversation_id: text("conversation-id")?,
        contribution_id: text("contribution-id")?,
        subject: fields.get("subject").and_then(|node| reader::text(desk, node, "`subject`")).unwrap_or("").to_owned(),
        members: members.into_iter().map(|(name, _)| name.to_owned()).collect(),
    })
}

impl Defaults {
    /// Everyone who has a name, with all addresses, and the instances of devices. The addresses
    /// under which a group is shown to clients are those of the set-up; the caller adds them.
    pub fn names(&self) -> Names {
        let mut names = Names::default();
        for (name, identity) in &self.identities {
            let addresses = std::iter::once(&identity.uri).chain(&identity.aliases).cloned().collect();
            names.insert(name, addresses, identity.display.clone());
            for (device, instance) in &identity.devices {
                names.insert_device(&format!("{name}.{device}"), instance.clone());
            }
            if let [instance] = identity.devices.values().collect::<Vec<_>>().as_slice() {
                names.insert_device(name, (*instance).clone());
            }
        }
        for (name, group) in &self.groups {
            names.insert(name, vec![group.focus.clone()], (!group.subject.is_empty()).then(|| group.subject.clone()));
        }
        names
    }
}

/// Reads `readings.yaml`: a map from identifiers to readings. What they name has to exist.
pub(super) fn readings(desk: &Desk, tree: &Node, scenarios: &[String], requirements: &[Requirement]) -> Vec<Reading> {
    let Some(fields) = Fields::of(desk, tree, "the list of readings") else { return Vec::new() };
    fields.entries.iter().filter_map(|entry| reading(desk, entry, scenarios, requirements)).collect()
}

fn reading(desk: &Desk, entry: &Entry, scenarios: &[String], requirements: &[Requirement]) -> Option<Reading> {
    let fields = Fields::of(desk, &entry.value, "a reading")?;
    fields.known(desk, "a reading", READING_FIELDS);
    let text = |name: &str| fields.get(name).and_then(|node| reader::text(desk, node, &format!("`{name}`"))).map(str::to_owned);
    let knob = text("knob");
    if let (Some(name), Some(node)) = (&knob, fields.get("knob"))
        && crate::policy::knob(name).is_none()
    {
        desk.say(Diagnostic::new("Y0015", node.place, format!("policy `{name}` is not known")).label("no such knob").allowed(
            "knobs are",
            name,
            crate::policy::knobs().iter().map(|knob| knob.name),
        ));
    }
    let shown = fields.get("scenarios").map(|node| reader::texts(desk, node, "`scenarios`")).unwrap_or_default();
    for (id, place) in shown.iter().filter(|(id, _)| !scenarios.iter().any(|known| known == id)) {
        desk.say(Diagnostic::new("Y0038", *place, format!("scenario `{id}` does not exist")).label("no such scenario").allowed(
            "scenarios are",
            id,
            scenarios.iter().map(String::as_str),
        ));
    }
    let concerned = fields.get("requirements").map(|node| reader::texts(desk, node, "`requirements`")).unwrap_or_default();
    for (id, place) in concerned.iter().filter(|(id, _)| !requirements.iter().any(|known| known.id == *id)) {
        desk.say(
            Diagnostic::new("Y0013", *place, format!("requirement `{id}` is not in the catalogue")).label("not known").allowed(
                "the catalogue has",
                id,
                requirements.iter().map(|known| known.id.as_str()),
            ),
        );
    }
    Some(Reading {
        id: entry.key.text.clone(),
        clause: text("clause").unwrap_or_default(),
        requirements: concerned.into_iter().map(|(id, _)| id.to_owned()).collect(),
        question: text("question").unwrap_or_default(),
        ours: text("ours").unwrap_or_default(),
        other: text("other").unwrap_or_default(),
        knob,
        scenarios: shown.into_iter().map(|(id, _)| id.to_owned()).collect(),
        untold: text("untold"),
        place: entry.key.place,
    })
}
