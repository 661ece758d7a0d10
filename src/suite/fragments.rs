//! The fragments of `flows/`: runs of steps and message templates, both with parameters.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::diagnostics::Diagnostic;
use super::patterns::Patterns;
use super::reader::{self, Desk, Fields};
use super::scope::{Filler, Scope};
use super::source::Sources;
use super::yaml::{Entry, Kind, Node, Text};
use crate::pattern::ast::Place;

/// A fragment as it was written.
#[derive(Debug)]
pub(super) struct Fragment {
    pub(super) name: String,
    pub(super) file: u32,
    parameters: Vec<(Text, Node)>,
    pub(super) content: Content,
}

/// What a fragment holds.
#[derive(Debug)]
pub(super) enum Content {
    /// `steps:`.
    Steps(Node),
    /// `template:`.
    Template(Node),
}

/// All fragments of a suite.
#[derive(Debug, Default)]
pub(super) struct Library {
    fragments: BTreeMap<String, Fragment>,
    used: RefCell<BTreeSet<String>>,
    /// Files that were used since [`Library::take_files`] was called last.
    files: RefCell<BTreeSet<u32>>,
    /// Templates that are being read, so that one that uses itself is noticed.
    open: RefCell<Vec<String>>,
}

/// The fields of a fragment.
pub(super) const FIELDS: &[&str] = &["title", "parameters", "steps", "template"];

impl Library {
    /// Reads the files below `flows/`.
    pub(super) fn read(desk: &Desk, sources: &Sources, trees: &[Option<Node>]) -> Self {
        let mut library = Self::default();
        for (at, file) in sources.files.iter().enumerate() {
            let name = file.path.strip_prefix("flows/").and_then(|path| path.rsplit_once('.')).map(|(name, _)| name);
            if let (Some(name), Some(tree), Ok(at)) = (name, &trees[at], u32::try_from(at))
                && let Some(fragment) = read_fragment(desk, name, at, tree)
            {
                library.fragments.insert(name.to_owned(), fragment);
            }
        }
        library
    }

    /// The fragment of a name, marked as used; a mistake when there is none.
    pub(super) fn find(&self, desk: &Desk, name: &str, place: Place, steps: bool) -> Option<&Fragment> {
        let Some(fragment) = self.fragments.get(name) else {
            let names =
                self.fragments.values().filter(|fragment| fragment.is_steps() == steps).map(|fragment| fragment.name.as_str());
            let kind = if steps { "fragment" } else { "message template" };
            desk.say(
                Diagnostic::new("Y0017", place, format!("no {kind} is called `{name}`"))
                    .label(format!("flows/{name}.yaml does not exist"))
                    .allowed(&format!("each {kind} is a file below `flows/`:"), name, names),
            );
            return None;
        };
        self.used.borrow_mut().insert(name.to_owned());
        self.files.borrow_mut().insert(fragment.file);
        if fragment.is_steps() != steps {
            let (is, goes) = if steps {
                ("a message template", "among the keys of a message")
            } else {
                ("a run of steps", "among the steps of a flow")
            };
            desk.say(Diagnostic::new("Y0017", place, format!("`{name}` is {is}")).label(format!("it goes {goes}")));
            return None;
        }
        Some(fragment)
    }

    /// The files that were used since the last call.
    pub(super) fn take_files(&self) -> BTreeSet<u32> {
        self.files.take()
    }

    /// The keys that a template gives.
    pub(super) fn template(&self, patterns: &Patterns<'_>, used: &Node, with: Option<&Node>) -> Vec<Entry> {
        let desk = patterns.desk;
        let Some(name) = reader::text(desk, used, "the name of a template") else { return Vec::new() };
        let Some(fragment) = self.find(desk, name, used.place, false) else { return Vec::new() };
        if self.open.borrow().iter().any(|open| open == name) {
            desk.say(Diagnostic::new("Y0051", used.place, format!("`{name}` uses itself")).label("again, without end"));
            return Vec::new();
        }
        let Content::Template(keys) = &fragment.content else { return Vec::new() };
        let scope = fragment.scope(desk, with, used.place);
        let filled = Filler { desk, scope: &scope, defaults: patterns.defaults, step: patterns.step }.node(keys);
        fragment.report_unread(desk, &scope);
        let Kind::Mapping(entries) = filled.kind else { return Vec::new() };
        let inner = entries.iter().find(|entry| entry.key.text == "use").cloned();
        let with = entries.iter().find(|entry| entry.key.text == "with").cloned();
        self.open.borrow_mut().push(name.to_owned());
        let mut out =
            inner.map(|entry| self.template(patterns, &entry.value, with.as_ref().map(|with| &with.value))).unwrap_or_default();
        self.open.borrow_mut().pop();
        for entry in entries.into_iter().filter(|entry| !matches!(entry.key.text.as_str(), "use" | "with")) {
            out.retain(|known: &Entry| known.key.text != entry.key.text);
            out.push(entry);
        }
        out
    }

    /// Says which fragments nobody uses.
    pub(super) fn report_unused(&self, desk: &Desk) {
        let used = self.used.borrow();
        for fragment in self.fragments.values().filter(|fragment| !used.contains(&fragment.name)) {
            desk.say(
                Diagnostic::new(
                    "Y0043",
                    Place { file: fragment.file, start: 0, end: 0 },
                    format!("no scenario uses `{}`", fragment.name),
                )
                .label("never used")
                .help("use it in a scenario, or delete the file"),
            );
        }
    }
}

impl Fragment {
    fn is_steps(&self) -> bool {
        matches!(self.content, Content::Steps(_))
    }

    /// The parameters with the values of `with`, or their defaults.
    pub(super) fn scope(&self, desk: &Desk, with: Option<&Node>, used: Place) -> Scope<'static> {
        let mut scope = Scope::new();
        let given = with.and_then(|with| Fields::of(desk, with, "`with`"));
        let names: Vec<&str> = self.parameters.iter().map(|(name, _)| name.text.as_str()).collect();
        for entry in given.iter().flat_map(|fields| fields.entries) {
            if !names.contains(&entry.key.text.as_str()) {
                desk.say(
                    Diagnostic::new("Y0018", entry.key.place, format!("`{}` has no parameter `{}`", self.name, entry.key.text))
                        .label("not a parameter")
                        .allowed("its parameters are", &entry.key.text, names.iter().copied()),
                );
            }
        }
        for (name, default) in &self.parameters {
            let mut value = given.as_ref().and_then(|fields| fields.get(&name.text)).unwrap_or(default).clone();
            if value.is_empty() {
                desk.say(
                    Diagnostic::new("Y0018", used, format!("parameter `{}` of `{}` has no value", name.text, self.name))
                        .label(format!("needs `with: {{ {}: … }}`", name.text))
                        .secondary(name.place, "declared here, without a default"),
                );
            }
            if value.is_empty() {
                value.kind = Kind::Scalar { text: String::new(), quoted: true };
            }
            scope.define(&name.text, value, name.place);
        }
        scope
    }

    /// Says which parameters the fragment does not read.
    pub(super) fn report_unread(&self, desk: &Desk, scope: &Scope<'_>) {
        for (name, place) in scope.unused() {
            desk.say(
                Diagnostic::new("Y0044", place, format!("parameter `{name}` of `{}` is never read", self.name))
                    .label("never read")
                    .help(format!("write `\"${{{name}}}\"` where it belongs, or remove it")),
            );
        }
    }
}

fn read_fragment(desk: &Desk, name: &str, file: u32, tree: &Node) -> Option<Fragment> {
    let fields = Fields::of(desk, tree, "a fragment")?;
    fields.known(desk, "a fragment", FIELDS);
    let parameters = fields.get("parameters").map(|node| parameters(desk, node)).unwrap_or_default();
    let content = match (fields.get("steps"), fields.get("template")) {
        (Some(steps), None) => Content::Steps(steps.clone()),
        (None, Some(template)) => Content::Template(template.clone()),
        _ => {
            desk.say(
                Diagnostic::new(
                    "Y0009",
                    Place { end: fields.place.start, ..fields.place },
                    format!("`{name}` holds either `steps` or a `template`"),
                )
                .label("one of the two")
                .help("a run of steps goes below `steps:`, the keys of a message below `template:`"),
            );
            return None;
        }
    };
    Some(Fragment { name: name.to_owned(), file, parameters, content })
}

/// `[a, b]`, or a mapping from names to defaults.
fn parameters(desk: &Desk, node: &Node) -> Vec<(Text, Node)> {
    match &node.kind {
        Kind::Mapping(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect(),
        _ => reader::texts(desk, node, "`parameters`")
            .into_iter()
            .map(|(text, place)| {
                let nothing = Node { kind: Kind::Scalar { text: String::new(), quoted: false }, place };
                (Text { text: text.to_owned(), place }, nothing)
            })
            .collect(),
    }
}
