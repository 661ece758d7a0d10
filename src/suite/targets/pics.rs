//! What an implementation claims: its PICS.

use std::collections::{BTreeMap, BTreeSet};

use crate::pattern::ast::{Condition, Role};
use crate::policy;
use crate::suite::Suite;
use crate::suite::catalogue::Level;
use crate::suite::diagnostics::Diagnostic;
use crate::suite::reader::{Desk, Fields, flag, text, texts};
use crate::suite::scenario::{Act, Scenario, Step};
use crate::suite::yaml::{Entry, Node};

pub(super) const FIELDS: &[&str] = &["roles", "features", "policies", "optional"];
pub(super) const ROLES: [Role; 4] = [Role::Client, Role::Pf, Role::Cf, Role::Core];

/// What an implementation claims. What is not spoken of is claimed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pics {
    /// What it has and has not.
    pub features: BTreeMap<String, bool>,
    /// Its answers to knobs.
    pub policies: BTreeMap<String, String>,
    /// Which of the MAYs it has.
    pub optional: BTreeMap<String, bool>,
}

impl Pics {
    /// The features that are claimed in so many words.
    pub fn claimed(&self) -> BTreeSet<String> {
        self.features.iter().filter(|(_, claimed)| **claimed).map(|(name, _)| name.clone()).collect()
    }

    /// What the implementation does without and `scenario` needs, as a reason.
    pub fn lacks(&self, scenario: &Scenario) -> Option<String> {
        let mut needed = scenario.needs.iter().chain(&scenario.tags);
        if let Some(name) = needed.find(|name| self.features.get(*name) == Some(&false)) {
            return Some(format!("feature {name} is not claimed"));
        }
        let optional = scenario.requirements.iter().find(|id| self.optional.get(*id) == Some(&false));
        optional.map(|id| format!("{id} (MAY) is not claimed"))
    }

    /// A feature that `scenario` needs and that is claimed in so many words, when none is denied.
    pub fn claims_for<'s>(&self, scenario: &'s Scenario) -> Option<&'s str> {
        let mut needed = scenario.needs.iter().chain(&scenario.tags);
        if self.lacks(scenario).is_some() {
            return None;
        }
        needed.find(|name| self.features.get(*name) == Some(&true)).map(String::as_str)
    }
}

/// The names that features may have.
pub(super) fn features(suite: &Suite) -> Vec<&str> {
    let mut names = BTreeSet::new();
    for scenario in &suite.scenarios {
        names.extend(scenario.needs.iter().chain(&scenario.tags).map(String::as_str));
        conditions(&scenario.flow, &mut names);
    }
    names.into_iter().collect()
}

fn conditions<'s>(steps: &'s [Step], names: &mut BTreeSet<&'s str>) {
    for step in steps {
        match &step.act {
            Act::When(condition, yes, no) => {
                asked(condition, names);
                conditions(yes, names);
                conditions(no, names);
            }
            Act::InOrder(steps) | Act::Optional(steps) | Act::Block(steps) => conditions(steps, names),
            Act::AnyOrder(runs) | Act::Repeat(runs) => runs.iter().for_each(|run| conditions(run, names)),
            Act::Either(branches) => branches.iter().for_each(|branch| conditions(&branch.steps, names)),
            Act::Race(lanes) => lanes.iter().for_each(|(_, lane)| conditions(lane, names)),
            _ => {}
        }
    }
}

fn asked<'s>(condition: &'s Condition, names: &mut BTreeSet<&'s str>) {
    match condition {
        Condition::Pics(name) => {
            names.insert(name);
        }
        Condition::And(left, right) | Condition::Or(left, right) => {
            asked(left, names);
            asked(right, names);
        }
        Condition::Not(inner) => asked(inner, names),
        _ => {}
    }
}

/// Reads the whole file.
pub(super) fn read(desk: &Desk, tree: &Node, suite: &Suite) -> Pics {
    let mut pics = Pics::default();
    let Some(fields) = Fields::of(desk, tree, "a PICS file") else { return pics };
    fields.known(desk, "a PICS file", FIELDS);
    if let Some(node) = fields.get("roles") {
        roles(desk, node);
    }
    let known = features(suite);
    for entry in entries(desk, &fields, "features") {
        let claimed = flag(desk, &entry.value, &format!("`{}`", entry.key.text));
        if !known.contains(&entry.key.text.as_str()) {
            desk.say(unknown(entry, "feature").allowed(
                "features are tags and needs of scenarios:",
                &entry.key.text,
                known.iter().copied(),
            ));
        }
        pics.features.extend(claimed.map(|claimed| (entry.key.text.clone(), claimed)));
    }
    for entry in entries(desk, &fields, "policies") {
        pics.policies.extend(answer(desk, entry));
    }
    for entry in entries(desk, &fields, "optional") {
        pics.optional.extend(option(desk, entry, suite));
    }
    pics
}

fn entries<'n>(desk: &Desk, fields: &Fields<'n>, name: &str) -> &'n [Entry] {
    let node = fields.get(name).and_then(|node| Fields::of(desk, node, &format!("`{name}`")));
    node.map(|fields| fields.entries).unwrap_or_default()
}

fn unknown(entry: &Entry, what: &str) -> Diagnostic {
    Diagnostic::new("T0005", entry.key.place, format!("there is no {what} `{}`", entry.key.text)).label("unknown")
}

/// Only a PF is judged by a suite; other roles may be named beside it.
fn roles(desk: &Desk, node: &Node) {
    let named = texts(desk, node, "`roles`");
    for (name, place) in &named {
        if !ROLES.iter().any(|role| role.to_string() == *name) {
            let roles = ROLES.map(|role| role.to_string());
            desk.say(Diagnostic::new("T0005", *place, format!("there is no role `{name}`")).label("unknown").allowed(
                "roles are",
                name,
                roles.iter().map(String::as_str),
            ));
        }
    }
    if !named.iter().any(|(name, _)| *name == "pf") {
        desk.say(
            Diagnostic::new("T0005", node.place, "the implementation does not claim to be a PF")
                .label("`pf` is not among these")
                .help("the suite judges a PF; add `pf`, or leave `roles` out"),
        );
    }
}

fn answer(desk: &Desk, entry: &Entry) -> Option<(String, String)> {
    let value = match entry.value.members() {
        Some(_) => texts(desk, &entry.value, "a policy").into_iter().map(|(word, _)| word).collect::<Vec<_>>().join(", "),
        None => text(desk, &entry.value, "a policy")?.to_owned(),
    };
    let Some(knob) = policy::knob(&entry.key.text) else {
        let names = policy::knobs().iter().map(|knob| knob.name);
        desk.say(
            unknown(entry, "knob").allowed("knobs are", &entry.key.text, names).help("`cpmcheck explain --policies` lists them"),
        );
        return None;
    };
    if let Err(why) = knob.check(&value) {
        desk.say(Diagnostic::new("Y0010", entry.value.place, why).label("not allowed"));
        return None;
    }
    Some((knob.name.to_owned(), value))
}

fn option(desk: &Desk, entry: &Entry, suite: &Suite) -> Option<(String, bool)> {
    let claimed = flag(desk, &entry.value, &format!("`{}`", entry.key.text))?;
    let Some(requirement) = suite.catalogue.get(&entry.key.text) else {
        let ids = suite.catalogue.requirements.iter().map(|requirement| requirement.id.as_str());
        desk.say(unknown(entry, "requirement").allowed("requirements are", &entry.key.text, ids));
        return None;
    };
    if requirement.level != Level::May {
        desk.say(
            Diagnostic::new("T0006", entry.key.place, format!("{} is not optional", requirement.id))
                .label("no MAY")
                .help("what breaks it belongs into a file of expected failures, with a reason"),
        );
        return None;
    }
    Some((entry.key.text.clone(), claimed))
}

#[cfg(test)]
mod tests {
    use super::super::{Look, pics};
    use super::*;
    use crate::suite::load;
    use crate::suite::source::Sources;

    fn suite() -> Suite {
        load(Sources::embedded()).expect("the built-in suite")
    }

    #[test]
    fn what_is_denied_is_a_reason() {
        let suite = suite();
        let may = suite.catalogue.requirements.iter().find(|requirement| requirement.level == Level::May).expect("a MAY");
        let file = pics(
            "a.pics.yaml",
            format!(
                "roles: [pf]\nfeatures: {{ imdn: false, group: true }}\npolicies: {{ bye.no-reason: leave }}\noptional: {{ {}: false }}\n",
                may.id
            ),
            &suite,
        );
        assert_eq!(file.complaints(Look::Short), "");
        let notified =
            suite.scenarios.iter().find(|scenario| scenario.tags.iter().any(|tag| tag == "imdn")).expect("one with imdn");
        assert_eq!(file.value.lacks(notified).as_deref(), Some("feature imdn is not claimed"));
        assert_eq!(file.value.claimed(), ["group".to_owned()].into());
        let mut other = notified.clone();
        other.tags = vec!["group".to_owned()];
        other.requirements.clear();
        assert_eq!((file.value.lacks(&other), file.value.claims_for(&other)), (None, Some("group")));
        other.requirements = vec![may.id.to_string()];
        assert!(file.value.lacks(&other).is_some_and(|why| why.contains("(MAY)")));
    }

    #[test]
    fn unknown_names_are_told_with_what_is_near() {
        let suite = suite();
        let shall = suite.catalogue.requirements.iter().find(|requirement| requirement.level == Level::Shall).expect("a SHALL");
        let text = format!(
            "roles: [cf]\nfeatures: {{ imdm: false }}\npolicies: {{ bye.no-raeson: leave, retry.count: many }}\noptional: {{ DGC-9-99: true, {}: false }}\n",
            shall.id
        );
        let said = pics("a.pics.yaml", text, &suite).complaints(Look::Short);
        for part in [
            "a.pics.yaml:1:8: T0005 error: the implementation does not claim to be a PF",
            "a.pics.yaml:2:13: T0005 error: there is no feature `imdm`",
            "did you mean `imdn`?",
            "did you mean `bye.no-reason`?",
            "`retry.count` takes a number",
            "there is no requirement `DGC-9-99`",
            "is not optional",
        ] {
            assert!(said.contains(part), "{part} is missing:\n{said}");
        }
    }
}
