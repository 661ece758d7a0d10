//! What a CPM Client writes: re-join, standalone message, conference subscription.

use super::profile::{GROUP_SERVICE, MESSAGE_FEATURE, Profile, SESSION_EXPIRES, SESSION_FEATURE, SUBSCRIPTION_EXPIRES};
use crate::wire::sip::{Builder, Method};
use crate::wire::xml::conference_info;

/// The fields of a request outside of dialogs that the role decides. Bodies, tags and what every
/// SIP request has are added by others.
pub(super) fn request(profile: &Profile, method: &Method, request: Builder) -> Builder {
    let identified = request.push("P-Preferred-Identity", profile.name_addr());
    match method {
        Method::Invite => identified
            .push("P-Preferred-Service", GROUP_SERVICE)
            .push("Accept-Contact", format!("*;{SESSION_FEATURE}"))
            .push("Supported", "timer")
            .push("Session-Expires", SESSION_EXPIRES),
        Method::Subscribe => identified
            .push("P-Preferred-Service", GROUP_SERVICE)
            .push("Accept-Contact", format!("*;{SESSION_FEATURE}"))
            .push("Event", "conference")
            .push("Accept", conference_info::MEDIA_TYPE)
            .push("Expires", SUBSCRIPTION_EXPIRES),
        Method::Message => identified.push("Accept-Contact", format!("*;{MESSAGE_FEATURE}")),
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
