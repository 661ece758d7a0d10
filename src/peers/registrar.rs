//! What the S-CSCF writes in its own name: third-party registrations (TS 24.229 5.4.1.7).

use super::profile::{Profile, REGISTRATION_EXPIRES};
use crate::wire::sip::{Builder, Method};

/// The fields of a request outside of dialogs that the role decides.
pub(super) fn request(profile: &Profile, method: &Method, request: Builder) -> Builder {
    match method {
        Method::Register => request
            .push("Contact", ["<", &profile.uri, ">"])
            .push("Expires", REGISTRATION_EXPIRES)
            .push("P-Visited-Network-ID", "home1.example"),
        Method::Invite
        | Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Options
        | Method::Prack
        | Method::Subscribe
        | Method::Notify
        | Method::Message
        | Method::Update
        | Method::Refer
        | Method::Info
        | Method::Publish
        | Method::Other(_) => request,
    }
}
