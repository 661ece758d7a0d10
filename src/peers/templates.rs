//! Messages as a role writes them when a script says nothing about them.

use super::profile::{Profile, SESSION_EXPIRES, SUBSCRIPTION_EXPIRES};
use super::{client, focus, registrar};
use crate::ids::Ids;
use crate::pattern::ast::Role;
use crate::wire::sip::header::{self, NameAddr, SessionExpires};
use crate::wire::sip::{Builder, Message, Method, Name};

/// A request outside of dialogs: addresses, Route, identifiers of the conversation, and the fields
/// of the role. A third-party REGISTER names the user in To and the PF in the Request-URI.
pub(super) fn outside(profile: &Profile, ids: &mut Ids, method: &Method, target: &str) -> Builder {
    let registers = profile.role == Role::Core && *method == Method::Register;
    let request_uri = if registers { &profile.pf } else { target };
    let request = Builder::request(method.token(), request_uri)
        .push_some("Route", profile.route.as_ref())
        .push("From", [profile.name_addr().as_str(), ";tag=", &ids.tag()])
        .push("To", ["<", target, ">"]);
    let request = match profile.role {
        Role::Client => client::request(profile, method, target, request),
        Role::Cf => focus::request(profile, method, request),
        Role::Core => registrar::request(profile, method, request),
        Role::Pf => request,
    };
    match method {
        Method::Invite | Method::Message => conversation(profile, ids, request),
        _ => request,
    }
}

/// Conversation-ID and Contribution-ID: those of the group that a focus hosts, else new ones.
fn conversation(profile: &Profile, ids: &mut Ids, request: Builder) -> Builder {
    let group = profile.groups.first();
    let known = |value: Option<&String>| value.filter(|value| !value.is_empty()).cloned();
    let conversation = known(group.map(|group| &group.conversation_id)).unwrap_or_else(|| identifier(ids));
    let contribution = known(group.map(|group| &group.contribution_id)).unwrap_or_else(|| identifier(ids));
    request.push("Conversation-ID", conversation).push("Contribution-ID", contribution)
}

/// 32 lower-case hexadecimal digits.
fn identifier(ids: &mut Ids) -> String {
    ids.message_id() + &ids.message_id()
}

/// A request inside a dialog, which gives it its addresses.
pub(super) fn inside(method: &Method) -> Builder {
    let request = Builder::request(method.token(), "");
    match method {
        Method::Invite | Method::Update => request.push("Supported", "timer").push("Session-Expires", SESSION_EXPIRES),
        Method::Subscribe => request.push("Event", "conference").push("Expires", SUBSCRIPTION_EXPIRES),
        _ => request,
    }
}

/// To follows a Request-URI that the script altered, unless the script altered To as well; not so
/// for REGISTER, where they differ by nature.
pub(super) fn address(request: Builder, target: &str) -> Builder {
    let mut words = request.start().split(' ');
    let (method, uri) = (words.next().unwrap_or(""), words.next().unwrap_or("").to_owned());
    let untouched = request.value("To").and_then(|to| to.strip_prefix('<')?.strip_suffix('>')) == Some(target);
    if target.is_empty() || method == "REGISTER" || uri.is_empty() || uri == target || !untouched {
        return request;
    }
    request.set("To", ["<", &uri, ">"])
}

/// What a response carries besides what every response has.
pub(super) fn response(profile: &Profile, request: &Message, status: u16, response: Builder) -> Builder {
    match (request.method(), status) {
        (Some(Method::Invite), 200..=299) => session_timer(request, focus_contact(profile, request, response)),
        (Some(Method::Update), 200..=299) => session_timer(request, focus_contact(profile, request, response)),
        (Some(Method::Invite), 101..=199) => focus_contact(profile, request, response),
        (Some(Method::Subscribe), 200..=299) => {
            let asked = number(request.value(Name::Expires)).unwrap_or(u64::from(SUBSCRIPTION_EXPIRES));
            focus_contact(profile, request, response).push("Expires", asked.min(u64::from(SUBSCRIPTION_EXPIRES)))
        }
        (Some(Method::Register), 200..=299) => {
            let response = response.remove("Contact");
            request
                .values(Name::Contact)
                .fold(response, |response, contact| response.push("Contact", contact))
                .push_some("Expires", request.value(Name::Expires))
        }
        (_, 422) => response.push("Min-SE", SESSION_EXPIRES),
        (_, 423) => response.push("Min-Expires", SUBSCRIPTION_EXPIRES),
        _ => response,
    }
}

/// A focus answers under the identity of the group that was addressed.
fn focus_contact(profile: &Profile, request: &Message, response: Builder) -> Builder {
    if profile.role != Role::Cf {
        return response;
    }
    let addressed = request.request_uri().and_then(|uri| profile.groups.iter().find(|group| group.focus == uri));
    match addressed {
        Some(group) => response.set("Contact", profile.focus_contact(&group.focus)),
        None => response,
    }
}

/// The UAS's part of a session timer (RFC 4028 9): the UAC refreshes unless it asked otherwise.
fn session_timer(request: &Message, response: Builder) -> Builder {
    let supported = request.elements(Name::Supported).any(|option| option.eq_ignore_ascii_case("timer"));
    let asked = request.value(Name::SessionExpires).and_then(|value| SessionExpires::parse(value).ok());
    let Some(asked) = asked.filter(|_| supported) else { return response };
    let refresher = asked.refresher.unwrap_or(header::Refresher::Uac);
    response
        .push("Supported", "timer")
        .push("Require", "timer")
        .push("Session-Expires", format!("{};refresher={refresher}", asked.seconds))
}

/// Whether an offer to `target` names the group state object: a client's does when it joins a group.
pub(super) fn offers_group_state(profile: &Profile, target: &str) -> bool {
    profile.role == Role::Client && !client::is_person(target)
}

/// Whether descriptions of the actor name the group state object: a client's do when it joins by
/// itself, and when it is invited to a group that is no longer active (no focus in the Contact).
pub(super) fn takes_group_state(profile: &Profile, invitation: Option<&Message>) -> bool {
    let Some(invite) = invitation else { return profile.role == Role::Client };
    let of_a_group = invite.value(Name::PAssertedService).is_some_and(|service| service.trim().ends_with(".group"));
    profile.role == Role::Client && of_a_group && !invite.contact().is_ok_and(|contact| contact.is_focus())
}

/// The URI of a name-addr.
pub(super) fn bare(name_addr: &str) -> String {
    NameAddr::parse(name_addr).map_or_else(|_| name_addr.to_owned(), |addr| addr.uri.text.to_owned())
}

fn number(value: Option<&str>) -> Option<u64> {
    header::number(value?.trim()).ok()
}
