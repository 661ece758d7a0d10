//! Groups and the identities by which they are found.

use std::net::IpAddr;

use super::Core;
use crate::pf::headers::Invitation;
use crate::pf::state::{Group, GroupId, UserId, address_key};
use crate::wire::sip::Name;

impl Core {
    /// The group of this identity for a user: the focus URI or what the user is shown.
    pub(in crate::pf) fn find_group(&self, user: UserId, identity: &str) -> Option<GroupId> {
        self.identities.get(&(user, address_key(identity))).copied()
    }

    /// The group of this Contribution-ID for a user.
    pub(in crate::pf) fn find_contribution(&self, user: UserId, contribution: &str) -> Option<GroupId> {
        self.identities.get(&(user, format!("contribution {contribution}"))).copied()
    }

    /// Adds a group; its identity on the Client leg is a URI of the PF that no other group of the
    /// user has (note on Contact in 2.4 of the reference).
    pub(in crate::pf) fn add_group(&mut self, user: UserId, focus: &str, invitation: Invitation) -> GroupId {
        let id = self.holes.pop_first().unwrap_or_else(|| self.add_hole(user));
        let shown = self.shown_identity(user, focus, id);
        self[id] = Group::new(user, focus.to_owned(), shown, invitation);
        self.users[user].groups.push(id);
        self.index_group(id);
        self.fresh.push(id);
        id
    }

    /// Takes up a number that belongs to no group.
    pub(in crate::pf) fn add_hole(&mut self, user: UserId) -> GroupId {
        let id = GroupId(u32::try_from(self.groups.len()).unwrap_or(u32::MAX));
        self.groups.push(Group::new(user, String::new(), String::new(), Invitation::default()));
        id
    }

    /// Drops the identities of a group.
    pub(in crate::pf) fn forget_identities(&mut self, id: GroupId) {
        self.identities.retain(|_, known| *known != id);
    }

    fn shown_identity(&self, user: UserId, focus: &str, id: GroupId) -> String {
        let name = crate::wire::sip::Uri::parse(focus).ok().and_then(|uri| uri.user).unwrap_or("group");
        let place = self.place_in_uris();
        let shown = format!("sip:{name}@{place}");
        if self.find_group(user, &shown).is_some() { format!("sip:{name}-{}@{place}", id.0) } else { shown }
    }

    /// What follows the `@` in a URI of ours. A name is looked up, port and transport with it
    /// (RFC 3263 4.1); an address says neither, so they stand beside it.
    fn place_in_uris(&self) -> String {
        let host = &self.endpoint.config().host;
        if host.parse::<IpAddr>().is_err() {
            return host.clone();
        }
        let own = self.address();
        own.strip_prefix("sip:").unwrap_or(&own).to_owned()
    }

    /// Gives a group the focus URI that its focus has told; what the Client is shown follows, since
    /// the Client has seen nothing yet.
    pub(in crate::pf) fn rename_group(&mut self, id: GroupId, focus: &str) {
        focus.clone_into(&mut self[id].focus);
        if !self[id].named {
            let user = self[id].user;
            self[id].shown = self.shown_identity(user, focus, id);
        }
        self.index_group(id);
    }

    /// Enters the identities of a group.
    pub(in crate::pf) fn index_group(&mut self, id: GroupId) {
        let group = &self.groups[id.0 as usize];
        let contribution = group.invitation.value(Name::ContributionId).map(|value| format!("contribution {value}"));
        let keys = [Some(address_key(&group.focus)), Some(address_key(&group.shown)), contribution];
        for key in keys.into_iter().flatten() {
            self.identities.insert((self.groups[id.0 as usize].user, key), id);
        }
    }
}
