//! What a CPM Client writes: re-join, standalone message, conference subscription.

use super::profile::{
    GROUP_SERVICE, MESSAGE_FEATURE, Profile, SESSION_EXPIRES, SESSION_FEATURE, SESSION_SERVICE, SUBSCRIPTION_EXPIRES,
};
use crate::wire::sip::{Builder, Method, Scheme, Uri};
use crate::wire::xml::conference_info;

/// Whether an address is a person's and not a group's: persons are addressed by telephone number.
pub(super) fn is_person(address: &str) -> bool {
    Uri::parse(address).is_ok_and(|uri| uri.scheme == Scheme::Tel || uri.user.is_some_and(|user| user.starts_with('+')))
}

/// The fields of a request outside of dialogs that the role decides. Bodies, tags and what every
/// SIP request has are added by others.
pub(super) fn request(profile: &Profile, method: &Method, target: &str, request: Builder) -> Builder {
    let identified = request.push("P-Preferred-Identity", profile.name_addr());
    match method {
        Method::Invite => identified
            .push("P-Preferred-Service", if is_person(target) { SESSION_SERVICE } else { GROUP_SERVICE })
            .push("Accept-Contact", ["*;", SESSION_FEATURE])
            .push("Supported", "timer")
            .push("Session-Expires", SESSION_EXPIRES),
        Method::Subscribe => identified
            .push("P-Preferred-Service", GROUP_SERVICE)
            .push("Accept-Contact", ["*;", SESSION_FEATURE])
            .push("Event", "conference")
            .push("Accept", conference_info::MEDIA_TYPE)
            .push("Expires", SUBSCRIPTION_EXPIRES),
        Method::Message => identified.push("Accept-Contact", ["*;", MESSAGE_FEATURE]),
        Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Options
        | Method::Register
        | Method::Prack
        | Method::Notify
        | Method::Update
        | Method::Refer
        | Method::Info
        | Method::Publish
        | Method::Other(_) => identified,
    }
}
