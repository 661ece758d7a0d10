//! The group state object that the PF delivers: the last roster of a group and where it lived
//! (reference 2.9, AMB-34).

use bytes::Bytes;

use super::core::Core;
use super::media::Remote;
use super::state::{Group, GroupId};
use crate::clause::Clause;
use crate::time::{Instant, unix_micros};
use crate::wire::sip::{Name, header::NameAddr};
use crate::wire::xml::conference_info::User;
use crate::wire::xml::group_state::{GroupState, MEDIA_TYPE, Participant};
use crate::wire::xml::resource_lists::{self, ResourceLists};
use crate::wire::{cpim, datetime};

const LAST_ROSTER: Clause = Clause::of("DGC-9-05");

/// The type of a wrapped message.
const CPIM: &str = "message/cpim";

/// How far the group state object is on a leg to the Client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Announcement {
    /// None is due, or it is done.
    #[default]
    Nothing,
    /// It is due.
    Due,
    /// It is on its way.
    Sent,
}

/// The message that tells the Client the last roster, as of the end of the group; `None` when it does not take the type and the
/// policy sends nothing that is not taken.
pub(super) fn message(core: &mut Core, now: Instant, group: GroupId, remote: &Remote) -> Option<(String, Bytes)> {
    let wrapped = core.policy.wrap_group_state;
    let accepted = if wrapped { remote.accepts(CPIM) && remote.accepts_wrapped(MEDIA_TYPE) } else { remote.accepts(MEDIA_TYPE) };
    if !accepted && !core.policy.send_unaccepted_state {
        core.note("the Client does not accept the group state object: left out (AMB-34)");
        return None;
    }
    core.because(LAST_ROSTER, "the roster of the last NOTIFY goes along");
    // Its Client knows the group by this identity from now on.
    core[group].named = true;
    let body = document(core, now, group).to_xml();
    Some(if wrapped { (CPIM.to_owned(), wrap(core, now, group, body)) } else { (MEDIA_TYPE.to_owned(), body.into()) })
}

fn wrap(core: &Core, now: Instant, group: GroupId, body: String) -> Bytes {
    let (group, user) = (&core[group], &core.users[core[group].user]);
    let message = cpim::Builder::new(&format!("<{}>", group.focus), &format!("<{}>", user.uri));
    message.date_time(&timestamp(now)).content(MEDIA_TYPE, body).encode()
}

fn document(core: &Core, now: Instant, group: GroupId) -> GroupState {
    GroupState {
        timestamp: timestamp(core[group].ended.unwrap_or(now)),
        last_focus_session_id: core[group].shown.clone(),
        group_type: "Closed".to_owned(),
        contribution_id: None,
        participants: participants(&core[group], &core.users[core[group].user].uri),
    }
}

fn timestamp(now: Instant) -> String {
    datetime::format(unix_micros(now))
}

/// Who took part last; as long as no NOTIFY has told, those whom the invitation named.
fn participants(group: &Group, user: &str) -> Vec<Participant> {
    let named = |comm_addr: &str, name: Option<String>| Participant { name, comm_addr: comm_addr.to_owned(), role: None };
    if group.roster.version.is_none() && group.roster.users.is_empty() {
        let mut addresses = invited(group);
        addresses.push(user.to_owned());
        return addresses.iter().map(|address| named(address, None)).collect();
    }
    group.roster.connected().map(|user: &User| named(&user.entity, user.display_text.clone())).collect()
}

/// The other members, as the invitation named them: the list of recipients, and who invited.
fn invited(group: &Group) -> Vec<String> {
    let is_list = |content_type: &str| {
        content_type.split(';').next().is_some_and(|own| own.trim().eq_ignore_ascii_case(resource_lists::MEDIA_TYPE))
    };
    let lists = group.invitation.parts.iter().filter(|part| is_list(&part.content_type));
    let listed =
        lists.filter_map(|part| ResourceLists::parse(&part.body).ok()).flat_map(|list| list.entries).map(|entry| entry.uri);
    let inviting = group.invitation.value(Name::ReferredBy).and_then(|value| NameAddr::parse(value).ok());
    let mut addresses: Vec<String> = Vec::new();
    for address in inviting.map(|inviting| inviting.uri.text.to_owned()).into_iter().chain(listed) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// Whom a re-start invites: who took part last, without the user.
pub(super) fn recipients(core: &Core, group: GroupId) -> Vec<String> {
    let user = core[group].user;
    let mut members: Vec<String> = core[group].roster.connected().map(|member| member.entity.clone()).collect();
    members.extend(members.is_empty().then(|| invited(&core[group])).into_iter().flatten());
    members.retain(|member| core.users.find(member) != Some(user));
    members
}
