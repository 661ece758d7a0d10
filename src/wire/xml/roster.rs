//! Who takes part in a conference: the state that documents of a subscription add up to (RFC 4575 4.6).

use super::conference_info::{ConferenceInfo, Endpoint, State, User, Users};

/// What became of a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Applied {
    /// It changed the state.
    Updated,
    /// Its version is not newer than what is known: it was ignored.
    Stale,
    /// Documents are missing before it: full state is to be asked for by a refresh.
    Gap {
        /// The version that was due.
        expected: u32,
    },
}

/// The state of one conference as one subscription knows it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Roster {
    /// The URI of the conference.
    pub entity: String,
    /// The version of the last document that was applied.
    pub version: Option<u32>,
    /// The subject.
    pub subject: Option<String>,
    /// How many users may take part.
    pub maximum_user_count: Option<u32>,
    /// Whether the conference lives.
    pub active: Option<bool>,
    /// The users, in the order in which they came.
    pub users: Vec<User>,
}

impl Roster {
    /// Applies a document of the subscription.
    ///
    /// A document without version is taken as the one that is due: field traces leave it out.
    pub fn apply(&mut self, info: &ConferenceInfo) -> Applied {
        match (self.version, info.version) {
            (Some(known), Some(version)) if version <= known => return Applied::Stale,
            (Some(known), Some(version)) if info.state != State::Full && version != known.saturating_add(1) => {
                return Applied::Gap { expected: known.saturating_add(1) };
            }
            (None, _) if info.state != State::Full => return Applied::Gap { expected: 1 },
            _ => {}
        }
        let version = info.version.or(self.version.map(|known| known.saturating_add(1)));
        if info.state == State::Full {
            *self = Self::default();
        }
        self.version = version;
        self.merge(info);
        Applied::Updated
    }

    fn merge(&mut self, info: &ConferenceInfo) {
        info.entity.clone_into(&mut self.entity);
        if info.state == State::Deleted {
            self.users.clear();
            self.active = Some(false);
            return;
        }
        replace(&mut self.subject, &info.subject);
        replace(&mut self.maximum_user_count, &info.maximum_user_count);
        replace(&mut self.active, &info.active);
        if let Some(users) = &info.users {
            self.merge_users(users);
        }
    }

    fn merge_users(&mut self, users: &Users) {
        if users.state != State::Partial {
            self.users.clear();
        }
        for user in &users.list {
            let known = self.users.iter().position(|own| own.entity == user.entity);
            match (user.state, known) {
                (State::Deleted, Some(at)) => {
                    self.users.remove(at);
                }
                (State::Deleted, None) => {}
                (State::Full, Some(at)) => self.users[at] = user.clone(),
                (State::Partial, Some(at)) => merge_user(&mut self.users[at], user),
                (State::Full | State::Partial, None) => self.users.push(User { state: State::Full, ..user.clone() }),
            }
        }
    }

    /// The users who take part now.
    pub fn connected(&self) -> impl Iterator<Item = &User> {
        self.users.iter().filter(|user| user.is_connected())
    }

    /// The user of this URI.
    pub fn user(&self, entity: &str) -> Option<&User> {
        self.users.iter().find(|user| user.entity == entity)
    }

    /// The document that tells everything, under this version.
    pub fn to_xml(&self, version: u32) -> String {
        let mut info = ConferenceInfo::full(&self.entity, version, Vec::new());
        info.subject.clone_from(&self.subject);
        info.maximum_user_count = self.maximum_user_count;
        info.user_count = u32::try_from(self.connected().count()).ok();
        info.active = self.active;
        info.to_xml_with(Some((State::Full, &self.users)))
    }
}

fn replace<T: Clone>(own: &mut Option<T>, new: &Option<T>) {
    if new.is_some() {
        own.clone_from(new);
    }
}

fn merge_user(own: &mut User, change: &User) {
    replace(&mut own.display_text, &change.display_text);
    own.own |= change.own;
    if !change.roles.is_empty() {
        own.roles.clone_from(&change.roles);
    }
    for endpoint in &change.endpoints {
        let known = own.endpoints.iter().position(|device| device.entity == endpoint.entity);
        match (endpoint.state, known) {
            (State::Deleted, Some(at)) => {
                own.endpoints.remove(at);
            }
            (State::Deleted, None) => {}
            (State::Full, Some(at)) => own.endpoints[at] = endpoint.clone(),
            (State::Partial, Some(at)) => merge_endpoint(&mut own.endpoints[at], endpoint),
            (State::Full | State::Partial, None) => own.endpoints.push(Endpoint { state: State::Full, ..endpoint.clone() }),
        }
    }
}

fn merge_endpoint(own: &mut Endpoint, change: &Endpoint) {
    replace(&mut own.status, &change.status);
    replace(&mut own.disconnection_method, &change.disconnection_method);
    replace(&mut own.disconnection_reason, &change.disconnection_reason);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster() -> Roster {
        let mut roster = Roster::default();
        let users = ["sip:a@x.example", "sip:b@x.example"].map(|uri| User::new(uri, "connected")).to_vec();
        assert_eq!(roster.apply(&ConferenceInfo::full("sip:gc@x.example", 4, users)), Applied::Updated);
        roster
    }

    fn connected(roster: &Roster) -> Vec<&str> {
        roster.connected().map(|user| user.entity.as_str()).collect()
    }

    #[test]
    fn a_partial_document_changes_what_it_names() {
        let mut roster = roster();
        let mut left = User { state: State::Partial, ..User::new("sip:b@x.example", "disconnected") };
        left.endpoints[0].state = State::Partial;
        let joined = User::new("sip:c@x.example", "connected");
        assert_eq!(roster.apply(&ConferenceInfo::partial("sip:gc@x.example", 5, vec![left, joined])), Applied::Updated);
        assert_eq!(connected(&roster), ["sip:a@x.example", "sip:c@x.example"]);
        let gone = User { state: State::Deleted, ..User::new("sip:a@x.example", "connected") };
        assert_eq!(roster.apply(&ConferenceInfo::partial("sip:gc@x.example", 6, vec![gone])), Applied::Updated);
        assert_eq!(roster.user("sip:a@x.example"), None);
    }

    #[test]
    fn old_versions_are_ignored_and_gaps_are_told() {
        let mut roster = roster();
        let before = roster.clone();
        let document =
            |version| ConferenceInfo::partial("sip:gc@x.example", version, vec![User::new("sip:d@x.example", "connected")]);
        assert_eq!(roster.apply(&document(4)), Applied::Stale);
        assert_eq!(roster.apply(&document(3)), Applied::Stale);
        assert_eq!(roster.apply(&document(6)), Applied::Gap { expected: 5 });
        assert_eq!(roster, before);
    }

    #[test]
    fn a_full_document_closes_a_gap() {
        let mut roster = roster();
        let users = vec![User::new("sip:z@x.example", "connected")];
        assert_eq!(roster.apply(&ConferenceInfo::full("sip:gc@x.example", 9, users)), Applied::Updated);
        assert_eq!((connected(&roster), roster.version), (vec!["sip:z@x.example"], Some(9)));
    }

    #[test]
    fn the_first_document_is_a_full_one() {
        let mut roster = Roster::default();
        assert_eq!(roster.apply(&ConferenceInfo::partial("sip:gc@x.example", 1, vec![])), Applied::Gap { expected: 1 });
    }
}
