//! Variables while a flow is read: `vars`, parameters, loop variables, and the attributes of
//! identities and groups that a name gives access to.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use super::diagnostics::Diagnostic;
use super::reader::Desk;
use super::scenario::Defaults;
use super::yaml::{Entry, Kind, Node, Text};
use crate::pattern::ast::{Path, Place};

/// A variable and whether somebody read it.
#[derive(Debug)]
struct Variable {
    name: String,
    value: Node,
    place: Place,
    used: Cell<bool>,
}

/// The variables of a flow, of a fragment or of a loop.
#[derive(Debug)]
pub(super) struct Scope<'p> {
    variables: Vec<Variable>,
    /// The surrounding loop or flow; a fragment has none: it sees its parameters only.
    outer: Option<&'p Scope<'p>>,
    /// What `save:` keeps for later steps, known when the scenario runs.
    saved: RefCell<BTreeSet<String>>,
}

impl Scope<'_> {
    pub(super) fn new() -> Self {
        Self { variables: Vec::new(), outer: None, saved: RefCell::default() }
    }

    pub(super) fn within<'p>(outer: &'p Scope<'p>) -> Scope<'p> {
        Scope { variables: Vec::new(), outer: Some(outer), saved: RefCell::default() }
    }

    pub(super) fn define(&mut self, name: &str, value: Node, place: Place) {
        self.variables.push(Variable { name: name.to_owned(), value, place, used: Cell::new(false) });
    }

    /// Lets later steps read what this step saves, in the whole flow.
    pub(super) fn save(&self, name: &str) {
        match self.outer {
            Some(outer) => outer.save(name),
            None => {
                self.saved.borrow_mut().insert(name.to_owned());
            }
        }
    }

    fn is_saved(&self, name: &str) -> bool {
        self.saved.borrow().contains(name) || self.outer.is_some_and(|outer| outer.is_saved(name))
    }

    /// The variable of a name.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        match self.variables.iter().rev().find(|variable| variable.name == name) {
            Some(variable) => {
                variable.used.set(true);
                Some(&variable.value)
            }
            None => self.outer?.get(name),
        }
    }

    /// The variables that nobody read.
    pub(super) fn unused(&self) -> impl Iterator<Item = (&str, Place)> {
        self.variables.iter().filter(|variable| !variable.used.get()).map(|variable| (variable.name.as_str(), variable.place))
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.variables.iter().map(|variable| variable.name.as_str()).collect();
        names.extend(self.outer.map(Scope::names).unwrap_or_default());
        names
    }
}

/// Puts variables into nodes.
pub(super) struct Filler<'a> {
    pub(super) desk: &'a Desk,
    pub(super) scope: &'a Scope<'a>,
    pub(super) defaults: &'a Defaults,
    /// The full name of a step before this one, by the name as written.
    pub(super) step: &'a dyn Fn(&str) -> Option<String>,
}

enum Found {
    Node(Node),
    /// Known when the scenario runs, under this name.
    Later(String),
}

impl Filler<'_> {
    /// The tree with every variable put in.
    pub(super) fn node(&self, node: &Node) -> Node {
        match &node.kind {
            Kind::Scalar { text, quoted } if text.contains("${") => self.scalar(text, *quoted, node.place),
            Kind::Scalar { .. } => node.clone(),
            Kind::Sequence(members) => {
                Node { kind: Kind::Sequence(members.iter().map(|member| self.node(member)).collect()), place: node.place }
            }
            Kind::Mapping(entries) => {
                let entry = |entry: &Entry| Entry { key: self.text(&entry.key), value: self.node(&entry.value) };
                Node { kind: Kind::Mapping(entries.iter().map(entry).collect()), place: node.place }
            }
        }
    }

    /// A key with every variable put in.
    pub(super) fn text(&self, key: &Text) -> Text {
        if !key.text.contains("${") {
            return key.clone();
        }
        Text { text: self.replaced(&key.text, key.place), place: key.place }
    }

    fn scalar(&self, text: &str, quoted: bool, place: Place) -> Node {
        if let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).filter(|name| !name.contains("${")) {
            return match self.find(name, place) {
                Some(Found::Node(node)) => placed(node, place),
                Some(Found::Later(name)) => Node { kind: Kind::Scalar { text: format!("${{{name}}}"), quoted }, place },
                None => Node { kind: Kind::Scalar { text: text.to_owned(), quoted }, place },
            };
        }
        Node { kind: Kind::Scalar { text: self.replaced(text, place), quoted }, place }
    }

    fn replaced(&self, text: &str, place: Place) -> String {
        let (mut out, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(at) = rest.find("${") {
            let Some(end) = rest[at..].find('}') else { break };
            out.push_str(&rest[..at]);
            let whole = &rest[at..=at + end];
            match self.find(&rest[at + 2..at + end], place) {
                Some(Found::Node(node)) => match node.text() {
                    Some(value) => out.push_str(value),
                    None => self.desk.say(
                        Diagnostic::new("Y0007", place, format!("`{whole}` is {}, and stands inside a text", node.describe()))
                            .label("only a text fits here"),
                    ),
                },
                Some(Found::Later(name)) => out.extend(["${", &name, "}"]),
                None => out.push_str(whole),
            }
            rest = &rest[at + end + 1..];
        }
        out.push_str(rest);
        out
    }

    fn find(&self, name: &str, place: Place) -> Option<Found> {
        if let Some(node) = self.scope.get(name) {
            return Some(Found::Node(node.clone()));
        }
        if let Some((head, attribute)) = name.split_once('.') {
            let of = self.scope.get(head).and_then(Node::text).unwrap_or(head);
            if let Some(node) = self.attribute(of, attribute, place) {
                return Some(Found::Node(node));
            }
        }
        if self.scope.is_saved(name) {
            return Some(Found::Later(name.to_owned()));
        }
        if let Some(full) = self.value_of_step(name) {
            return Some(Found::Later(full));
        }
        let mut diagnostic = Diagnostic::new("Y0019", place, format!("variable `{name}` is not known here")).label("not known");
        diagnostic = diagnostic.allowed("known are", name, self.scope.names());
        self.desk.say(diagnostic.note("variables come from `vars`, `parameters`, a loop, or an earlier `save`"));
        None
    }

    /// `${invitation.sdp.path}`: a value of a message that an earlier step named.
    fn value_of_step(&self, name: &str) -> Option<String> {
        let mut splits = name.match_indices('.').filter(|(at, _)| Path::parse(&name[at + 1..]).is_ok());
        splits.find_map(|(at, _)| (self.step)(&name[..at]).map(|id| format!("{id}{}", &name[at..])))
    }

    /// `${beach-trip.focus}`, `${bob.uri}`, `${bob.phone}`.
    fn attribute(&self, of: &str, attribute: &str, place: Place) -> Option<Node> {
        let text = |text: &str| Some(Node { kind: Kind::Scalar { text: text.to_owned(), quoted: true }, place });
        let list =
            |texts: &[String]| Some(Node { kind: Kind::Sequence(texts.iter().filter_map(|one| text(one)).collect()), place });
        if let Some(group) = self.defaults.groups.get(of) {
            return match attribute {
                "focus" => text(&group.focus),
                "conversation-id" => text(&group.conversation_id),
                "contribution-id" => text(&group.contribution_id),
                "subject" => text(&group.subject),
                "members" => list(&group.members),
                _ => None,
            };
        }
        let identity = self.defaults.identities.get(of)?;
        match attribute {
            "uri" => text(&identity.uri),
            "display" => text(identity.display.as_deref()?),
            "tel" => text(identity.aliases.iter().find(|alias| alias.starts_with("tel:"))?),
            "aliases" => list(&identity.aliases),
            device => text(identity.devices.get(device)?),
        }
    }
}

/// What a variable holds is shown where it is used.
fn placed(node: Node, place: Place) -> Node {
    let kind = match node.kind {
        Kind::Sequence(members) => Kind::Sequence(members.into_iter().map(|member| placed(member, place)).collect()),
        Kind::Mapping(entries) => Kind::Mapping(
            entries
                .into_iter()
                .map(|entry| Entry { key: Text { place, ..entry.key }, value: placed(entry.value, place) })
                .collect(),
        ),
        scalar @ Kind::Scalar { .. } => scalar,
    };
    Node { kind, place }
}
