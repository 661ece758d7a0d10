//! Who is who for a target: what the PF calls itself, addresses of users, focus URIs of groups, in the
//! words of `suite.yaml` and in place of what that says.

use std::collections::BTreeMap;

use crate::suite::Suite;
use crate::suite::diagnostics::Diagnostic;
use crate::suite::reader::{Desk, Fields, members, text};
use crate::suite::scenario::Defaults;
use crate::suite::yaml::{Entry, Node};

pub(super) const FIELDS: &[&str] = &["pf", "identities", "groups"];
pub(super) const IDENTITY_FIELDS: &[&str] = &["uri", "aliases"];
pub(super) const GROUP_FIELDS: &[&str] = &["focus"];

/// What is said in place of the suite.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identities {
    /// What the PF calls itself.
    pub pf: Option<String>,
    /// The address of each user, and further ones.
    pub users: BTreeMap<String, (String, Vec<String>)>,
    /// The focus URI of each group.
    pub groups: BTreeMap<String, String>,
}

impl Identities {
    /// Puts them in place of the suite's.
    pub fn adapt(&self, defaults: &mut Defaults) {
        if let Some(pf) = &self.pf {
            defaults.pf.clone_from(pf);
        }
        for (name, (uri, aliases)) in &self.users {
            if let Some(identity) = defaults.identities.get_mut(name) {
                identity.uri.clone_from(uri);
                identity.aliases.clone_from(aliases);
            }
        }
        for (name, focus) in &self.groups {
            if let Some(group) = defaults.groups.get_mut(name) {
                group.focus.clone_from(focus);
            }
        }
    }
}

/// Reads the whole file; users and groups are those of the suite.
pub(super) fn read(desk: &Desk, tree: &Node, suite: &Suite) -> Identities {
    const WHAT: &str = "a file of identities";
    let mut found = Identities::default();
    let Some(fields) = Fields::of(desk, tree, WHAT) else { return found };
    fields.known(desk, WHAT, FIELDS);
    found.pf = fields.get("pf").and_then(|node| uri(desk, node, "the address of the PF"));
    let users: Vec<&str> = suite.defaults.identities.keys().map(String::as_str).collect();
    for entry in entries(desk, &fields, "identities") {
        known(desk, entry, "user", &users);
        found.users.extend(user(desk, entry).map(|user| (entry.key.text.clone(), user)));
    }
    let groups: Vec<&str> = suite.defaults.groups.keys().map(String::as_str).collect();
    for entry in entries(desk, &fields, "groups") {
        known(desk, entry, "group", &groups);
        found.groups.extend(focus(desk, entry).map(|focus| (entry.key.text.clone(), focus)));
    }
    found
}

fn entries<'n>(desk: &Desk, fields: &Fields<'n>, name: &str) -> &'n [Entry] {
    let node = fields.get(name).and_then(|node| Fields::of(desk, node, &format!("`{name}`")));
    node.map(|fields| fields.entries).unwrap_or_default()
}

fn known(desk: &Desk, entry: &Entry, kind: &str, names: &[&str]) {
    let name = &entry.key.text;
    if !names.contains(&name.as_str()) {
        let mistake = Diagnostic::new("T0004", entry.key.place, format!("the suite has no {kind} `{name}`")).label("unknown");
        desk.say(mistake.allowed("known are", name, names.iter().copied()));
    }
}

fn user(desk: &Desk, entry: &Entry) -> Option<(String, Vec<String>)> {
    let what = format!("`{}`", entry.key.text);
    let fields = Fields::of(desk, &entry.value, &what)?;
    fields.known(desk, &what, IDENTITY_FIELDS);
    let aliases = fields.get("aliases").map(|node| members(desk, node, "`aliases`")).unwrap_or_default();
    let aliases = aliases.iter().filter_map(|node| uri(desk, node, "a user's address")).collect();
    Some((uri(desk, fields.need(desk, "uri", &what)?, "a user's address")?, aliases))
}

fn focus(desk: &Desk, entry: &Entry) -> Option<String> {
    let what = format!("`{}`", entry.key.text);
    let fields = Fields::of(desk, &entry.value, &what)?;
    fields.known(desk, &what, GROUP_FIELDS);
    uri(desk, fields.need(desk, "focus", &what)?, "a focus URI")
}

fn uri(desk: &Desk, node: &Node, what: &str) -> Option<String> {
    let written = text(desk, node, what)?;
    let fits = ["sip:", "sips:", "tel:"].iter().any(|scheme| written.len() > scheme.len() && written.starts_with(scheme));
    if !fits {
        desk.say(
            Diagnostic::new("Y0050", node.place, format!("{what} is a SIP or TEL URI, not `{written}`"))
                .label("not a URI")
                .help("write `sip:bob@ims.example` or `tel:+15145550102`"),
        );
    }
    fits.then(|| written.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{Look, identities};
    use crate::suite::load;
    use crate::suite::source::Sources;

    #[test]
    fn the_words_are_those_of_the_suite_and_replace_them() {
        let suite = load(Sources::embedded()).expect("the built-in suite");
        let (user, group) = (suite.defaults.identities.keys().next().unwrap(), suite.defaults.groups.keys().next().unwrap());
        let text = format!(
            "pf: sip:pf@ims.example\nidentities:\n  {user}: {{ uri: sip:b@ims.example, aliases: [tel:+1] }}\ngroups:\n  {group}: {{ focus: sip:g@ims.example }}\n"
        );
        let read = identities("lab.yaml", text, &suite);
        assert_eq!(read.complaints(Look::Short), "");
        let mut defaults = suite.defaults.clone();
        read.value.adapt(&mut defaults);
        assert_eq!((defaults.pf.as_str(), defaults.identities[user].aliases.len()), ("sip:pf@ims.example", 1));
        assert_eq!(defaults.groups[group].focus, "sip:g@ims.example");
    }

    #[test]
    fn who_is_unknown_and_what_is_no_address_is_told() {
        let suite = load(Sources::embedded()).expect("the built-in suite");
        let text = "identities:\n  bobb: { uri: b@ims.example }\n  bob: { aliases: [] }\ngroups: { none: { focus: x } }\n";
        let said = identities("lab.yaml", text.to_owned(), &suite).complaints(Look::Short);
        for part in [
            "lab.yaml:2:3: T0004 error: the suite has no user `bobb`",
            "did you mean `bob`?",
            "Y0050 error: a user's address is a SIP or TEL URI",
            "`bob` lacks `uri`",
            "the suite has no group `none`",
        ] {
            assert!(said.contains(part), "{part} is missing:\n{said}");
        }
    }
}
