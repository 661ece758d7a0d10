//! Conference state (RFC 4575): the document; [`super::roster`] keeps the state that documents add up to.

use roxmltree::Node;

use super::{Element, attribute, attribute_text, child, child_text, children, parse, root, text_of};
use crate::wire::{Fault, Level, Violation};

/// The namespace of the document.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:conference-info";
/// The media type of the document.
pub const MEDIA_TYPE: &str = "application/conference-info+xml";

/// What an element tells of what it names (RFC 4575 4.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// Everything.
    #[default]
    Full,
    /// What changed.
    Partial,
    /// That it is gone.
    Deleted,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Full, Self::Partial, Self::Deleted];

    /// The value of the attribute.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::Deleted => "deleted",
        }
    }

    /// The state of an element; `full` when it does not say.
    fn of(node: Node<'_, '_>) -> Self {
        match attribute_text(node, "state") {
            Some("partial") => Self::Partial,
            Some("deleted") => Self::Deleted,
            _ => Self::Full,
        }
    }
}

/// A conference document.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConferenceInfo {
    /// The URI of the conference.
    pub entity: String,
    /// What the document tells.
    pub state: State,
    /// Its version, growing by one within a subscription.
    pub version: Option<u32>,
    /// The subject.
    pub subject: Option<String>,
    /// How many users may take part.
    pub maximum_user_count: Option<u32>,
    /// How many users take part.
    pub user_count: Option<u32>,
    /// Whether the conference lives.
    pub active: Option<bool>,
    /// The users; `None` when the document has no such element.
    pub users: Option<Users>,
    namespaced: bool,
}

/// The users element.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Users {
    /// What it tells.
    pub state: State,
    /// The users.
    pub list: Vec<User>,
}

/// One user.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct User {
    /// The URI of the user.
    pub entity: String,
    /// What the element tells.
    pub state: State,
    /// The display name.
    pub display_text: Option<String>,
    /// Whether the user is the subscriber (`yourown`, an addition of RCS).
    pub own: bool,
    /// The roles.
    pub roles: Vec<String>,
    /// The devices with which the user takes part.
    pub endpoints: Vec<Endpoint>,
}

impl User {
    /// A user whose one device has this status.
    pub fn new(entity: &str, status: &str) -> Self {
        Self { entity: entity.to_owned(), endpoints: vec![Endpoint::new(entity, status)], ..Self::default() }
    }

    /// Whether one of the devices takes part: connected, on hold or muted.
    pub fn is_connected(&self) -> bool {
        let inside = |status: &str| matches!(status, "connected" | "on-hold" | "muted-via-focus");
        self.endpoints.iter().any(|endpoint| endpoint.status.as_deref().is_some_and(inside))
    }
}

/// One device of a user.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Endpoint {
    /// The URI of the device.
    pub entity: String,
    /// What the element tells.
    pub state: State,
    /// `connected`, `disconnected`, `pending`, …
    pub status: Option<String>,
    /// `departed`, `booted`, `failed` or `busy`.
    pub disconnection_method: Option<String>,
    /// Why it left, from `disconnection-info`.
    pub disconnection_reason: Option<String>,
}

impl Endpoint {
    /// A device of this status.
    pub fn new(entity: &str, status: &str) -> Self {
        Self { entity: entity.to_owned(), status: Some(status.to_owned()), ..Self::default() }
    }
}

impl ConferenceInfo {
    /// A full document.
    pub fn full(entity: &str, version: u32, users: Vec<User>) -> Self {
        Self::with(entity, version, State::Full, Users { state: State::Full, list: users })
    }

    /// A document that tells of these users only.
    pub fn partial(entity: &str, version: u32, users: Vec<User>) -> Self {
        Self::with(entity, version, State::Partial, Users { state: State::Partial, list: users })
    }

    fn with(entity: &str, version: u32, state: State, users: Users) -> Self {
        let (entity, version, users) = (entity.to_owned(), Some(version), Some(users));
        Self { entity, state, version, users, namespaced: true, ..Self::default() }
    }

    /// The users that the document tells of.
    pub fn users(&self) -> &[User] {
        self.users.as_ref().map_or(&[], |users| users.list.as_slice())
    }

    /// Reads a document.
    ///
    /// # Errors
    ///
    /// When it is no XML or its root is not `conference-info`.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        let document = parse(text_of(body)?)?;
        let root = root(&document, "conference-info")?;
        let description = |name| child(root, "conference-description").and_then(|node| child_text(node, name));
        let state = |name| child(root, "conference-state").and_then(|node| child_text(node, name));
        Ok(Self {
            entity: attribute(root, "entity").unwrap_or_default(),
            state: State::of(root),
            version: attribute_text(root, "version").and_then(|version| version.parse().ok()),
            subject: description("subject"),
            maximum_user_count: description("maximum-user-count").and_then(|count| count.parse().ok()),
            user_count: state("user-count").and_then(|count| count.parse().ok()),
            active: state("active").map(|active| matches!(active.as_str(), "true" | "1")),
            users: child(root, "users")
                .map(|node| Users { state: State::of(node), list: children(node, "user").map(user).collect() }),
            namespaced: root.tag_name().namespace() == Some(NAMESPACE),
        })
    }

    /// Writes the document.
    pub fn to_xml(&self) -> String {
        self.to_xml_with(self.users.as_ref().map(|users| (users.state, users.list.as_slice())))
    }

    /// As [`ConferenceInfo::to_xml`], with users that stand elsewhere.
    pub(super) fn to_xml_with(&self, users: Option<(State, &[User])>) -> String {
        let group = |name, children: Vec<Element<'static>>| (!children.is_empty()).then(|| Element::new(name).children(children));
        let number = |name, value: Option<u32>| value.map(|value| Element::new(name).text(value.to_string()));
        let subject = self.subject.clone().map(|subject| Element::new("subject").text(subject));
        let description = subject.into_iter().chain(number("maximum-user-count", self.maximum_user_count)).collect();
        let active = self.active.map(|active| Element::new("active").text(if active { "true" } else { "false" }));
        let state = number("user-count", self.user_count).into_iter().chain(active).collect();
        Element::new("conference-info")
            .attribute("xmlns", NAMESPACE)
            .attribute("entity", &self.entity)
            .attribute("state", self.state.token())
            .attribute_some("version", self.version.map(|version| version.to_string()))
            .child_some(group("conference-description", description))
            .child_some(group("conference-state", state))
            .child_some(users.map(|(state, list)| users_element(state, list)))
            .document()
    }
}

/// Checks a document that was read.
pub fn validate(info: &ConferenceInfo) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut complain = |code, rfc, message| found.push(Violation { code, level: Level::Error, offset: 0, rfc, message });
    if !info.namespaced {
        complain("conference-namespace", "RFC 4575 5.1", format!("the root is not in {NAMESPACE}"));
    }
    if info.entity.is_empty() {
        complain("conference-entity", "RFC 4575 5.2", "the conference has no entity".to_owned());
    }
    if info.version.is_none() {
        complain("conference-version", "RFC 4575 5.2", "the document has no version".to_owned());
    }
    for user in info.users() {
        if user.entity.is_empty() {
            complain("conference-user", "RFC 4575 5.6", "a user has no entity".to_owned());
        }
        let mut endpoints = user.endpoints.iter();
        if let Some(status) = endpoints.find_map(|own| own.status.as_deref().filter(|status| !is_status(status))) {
            complain("conference-status", "RFC 4575 5.7", format!("`{status}` is no status of an endpoint"));
        }
    }
    found
}

fn is_status(text: &str) -> bool {
    matches!(
        text,
        "connected"
            | "disconnected"
            | "on-hold"
            | "muted-via-focus"
            | "pending"
            | "alerting"
            | "dialing-in"
            | "dialing-out"
            | "disconnecting"
    )
}

fn user(node: Node<'_, '_>) -> User {
    User {
        entity: attribute(node, "entity").unwrap_or_default(),
        state: State::of(node),
        display_text: child_text(node, "display-text"),
        own: attribute_text(node, "yourown") == Some("true"),
        roles: child(node, "roles").map(|roles| children(roles, "entry").map(super::text).collect()).unwrap_or_default(),
        endpoints: children(node, "endpoint").map(endpoint).collect(),
    }
}

fn endpoint(node: Node<'_, '_>) -> Endpoint {
    Endpoint {
        entity: attribute(node, "entity").unwrap_or_default(),
        state: State::of(node),
        status: child_text(node, "status"),
        disconnection_method: child_text(node, "disconnection-method"),
        disconnection_reason: child(node, "disconnection-info").and_then(|info| child_text(info, "reason")),
    }
}

fn users_element(state: State, users: &[User]) -> Element<'_> {
    let state = (state != State::Full).then(|| state.token());
    Element::new("users").attribute_some("state", state).children(users.iter().map(user_element))
}

fn user_element(user: &User) -> Element<'_> {
    let roles = user.roles.iter().map(|role| Element::new("entry").text(role));
    Element::new("user")
        .attribute("entity", &user.entity)
        .attribute("state", user.state.token())
        .attribute_some("yourown", user.own.then_some("true"))
        .child_some(user.display_text.as_ref().map(|text| Element::new("display-text").text(text)))
        .child_some((!user.roles.is_empty()).then(|| Element::new("roles").children(roles)))
        .children(user.endpoints.iter().map(endpoint_element))
}

fn endpoint_element(endpoint: &Endpoint) -> Element<'_> {
    fn text<'a>(name: &'a str, value: Option<&'a String>) -> Option<Element<'a>> {
        value.map(|value| Element::new(name).text(value))
    }
    let state = (endpoint.state != State::Full).then(|| endpoint.state.token());
    let reason = text("reason", endpoint.disconnection_reason.as_ref());
    Element::new("endpoint")
        .attribute("entity", &endpoint.entity)
        .attribute_some("state", state)
        .child_some(text("status", endpoint.status.as_ref()))
        .child_some(text("disconnection-method", endpoint.disconnection_method.as_ref()))
        .child_some(reason.map(|reason| Element::new("disconnection-info").child(reason)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<conference-info xmlns="urn:ietf:params:xml:ns:conference-info" entity="sip:gc-7f3a9c@cf.home1.example" state="full" version="1">
  <conference-description>
    <subject>Hiking trip</subject>
    <maximum-user-count>10</maximum-user-count>
  </conference-description>
  <conference-state>
    <user-count>1</user-count>
    <active>true</active>
  </conference-state>
  <users>
    <user entity="sip:+15145550101@home1.example" state="full" yourown="true">
      <display-text>Alice</display-text>
      <endpoint entity="sip:+15145550101@home1.example">
        <status>connected</status>
      </endpoint>
    </user>
    <user entity="sip:+15145550104@home1.example" state="full">
      <endpoint entity="sip:+15145550104@home1.example">
        <status>disconnected</status>
        <disconnection-method>departed</disconnection-method>
      </endpoint>
    </user>
  </users>
</conference-info>
"#;

    #[test]
    fn a_roster_is_written_as_it_was_read() {
        let info = ConferenceInfo::parse(DOCUMENT.as_bytes()).unwrap();
        assert_eq!((info.version, info.user_count, info.active), (Some(1), Some(1), Some(true)));
        assert_eq!(info.users().iter().map(User::is_connected).collect::<Vec<_>>(), [true, false]);
        assert!(info.users()[0].own);
        assert_eq!(info.users()[1].endpoints[0].disconnection_method.as_deref(), Some("departed"));
        assert_eq!(info.to_xml(), DOCUMENT);
        assert_eq!(validate(&info), vec![]);
    }

    #[test]
    fn what_breaks_the_schema_is_reported() {
        let text = "<conference-info><users><user><endpoint><status>asleep</status></endpoint></user></users></conference-info>";
        let codes: Vec<_> = validate(&ConferenceInfo::parse(text.as_bytes()).unwrap()).into_iter().map(|own| own.code).collect();
        assert_eq!(
            codes,
            ["conference-namespace", "conference-entity", "conference-version", "conference-user", "conference-status"]
        );
    }
}
