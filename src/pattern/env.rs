//! What a pattern needs to know beyond the message: names, variables, other messages.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::ast::Path;

/// The surroundings in which a pattern is matched or filled.
pub trait Env {
    /// Who has a name: identities, devices, groups.
    fn names(&self) -> &Names;

    /// The value of a saved or bound variable.
    fn variable(&self, name: &str) -> Option<Cow<'_, str>>;

    /// The values at `path` of the message that the step `id` named; empty when nothing stands
    /// there, `None` when there is no such message (yet).
    fn values_of(&self, id: &str, path: &Path) -> Option<Vec<String>>;
}

/// The names that a literal may stand for. Cloning shares what the suite says.
#[derive(Clone, Debug, Default)]
pub struct Names {
    known: Arc<Known>,
    /// The addresses that are used for sending in place of what the suite says.
    preferred: BTreeMap<String, String>,
    /// The addresses that the trace taught.
    learnt: BTreeMap<String, Vec<String>>,
}

/// What the suite says.
#[derive(Clone, Debug, Default)]
struct Known {
    addresses: BTreeMap<String, Vec<String>>,
    displays: BTreeMap<String, String>,
    instances: BTreeMap<String, String>,
}

impl Names {
    /// Gives `name` its addresses; the first one is used for sending.
    pub fn insert(&mut self, name: &str, addresses: Vec<String>, display: Option<String>) {
        let known = Arc::make_mut(&mut self.known);
        known.addresses.insert(name.to_owned(), addresses);
        if let Some(display) = display {
            known.displays.insert(name.to_owned(), display);
        }
    }

    /// Adds a further address of `name`, for matching.
    pub fn add_address(&mut self, name: &str, address: String) {
        self.learnt.entry(name.to_owned()).or_default().push(address);
    }

    /// Makes a further address of `name` the one for sending.
    pub fn prefer_address(&mut self, name: &str, address: &str) {
        self.preferred.insert(name.to_owned(), address.to_owned());
    }

    /// Gives a device (`bob.phone`, or `bob` for the only one) its instance.
    pub fn insert_device(&mut self, device: &str, instance: String) {
        Arc::make_mut(&mut self.known).instances.insert(device.to_owned(), instance);
    }

    /// The addresses that `name` stands for; none when it is no name.
    pub fn addresses(&self, name: &str) -> impl Iterator<Item = &str> {
        let (known, learnt) = (self.known.addresses.get(name), self.learnt.get(name));
        self.preferred.get(name).into_iter().chain(known.into_iter().chain(learnt).flatten()).map(String::as_str)
    }

    /// Whether `name` stands for an address.
    pub fn has(&self, name: &str) -> bool {
        self.address(name).is_some()
    }

    /// The address of `name` for sending.
    pub fn address(&self, name: &str) -> Option<&str> {
        self.addresses(name).next()
    }

    /// The display name of `name`.
    pub fn display(&self, name: &str) -> Option<&str> {
        self.known.displays.get(name).map(String::as_str)
    }

    /// The bare instance (`urn:…`) of a device.
    pub fn instance(&self, device: &str) -> Option<&str> {
        self.known.instances.get(device).map(String::as_str)
    }

    /// The name that a URI belongs to, for a person to read.
    pub fn name_of(&self, uri: &str) -> Option<&str> {
        let uri = crate::wire::sip::Uri::parse(uri).ok()?;
        let same = |address: &String| crate::wire::sip::Uri::parse(address).is_ok_and(|address| address.same_user(&uri));
        let mut all = self.known.addresses.iter().chain(&self.learnt);
        let found = all.find(|(_, addresses)| addresses.iter().any(same)).map(|(name, _)| name.as_str());
        found.or_else(|| self.preferred.iter().find(|(_, address)| same(address)).map(|(name, _)| name.as_str()))
    }
}

/// Names alone: no variables, no other messages.
impl Env for Names {
    fn names(&self) -> &Names {
        self
    }

    fn variable(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn values_of(&self, _: &str, _: &Path) -> Option<Vec<String>> {
        None
    }
}

/// Puts `${variable}` and `${step.path}` in; what has no value stays as it is written.
pub fn substitute<'a>(text: &'a str, env: &dyn Env) -> Cow<'a, str> {
    if memchr::memchr(b'$', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("${") {
        let Some(end) = rest[at..].find('}') else { break };
        out.push_str(&rest[..at]);
        match value_of(&rest[at + 2..at + end], env) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&rest[at..=at + end]),
        }
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn value_of<'e>(name: &str, env: &'e dyn Env) -> Option<Cow<'e, str>> {
    if let Some(value) = env.variable(name) {
        return Some(value);
    }
    let mut splits = name.match_indices('.').filter_map(|(at, _)| Some((&name[..at], Path::parse(&name[at + 1..]).ok()?)));
    splits.find_map(|(id, path)| env.values_of(id, &path)?.into_iter().next()).map(Cow::Owned)
}
