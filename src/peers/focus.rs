//! What a Controlling Function writes: invitations, and the roster in conference state.

use super::profile::{GROUP_SERVICE, GroupProfile, Profile, SESSION_EXPIRES, SESSION_FEATURE};
use crate::wire::sip::{Builder, Method};
use crate::wire::xml::conference_info::{ConferenceInfo, MEDIA_TYPE, User};

/// The fields of a request outside of dialogs that the role decides.
pub(super) fn request(profile: &Profile, method: &Method, request: Builder) -> Builder {
    match method {
        Method::Invite => {
            let subject = profile.groups.first().map(|group| group.subject.as_str()).filter(|subject| !subject.is_empty());
            request
                .push("P-Asserted-Identity", profile.name_addr())
                .push("P-Asserted-Service", GROUP_SERVICE)
                .push("Accept-Contact", ["*;", SESSION_FEATURE])
                .push_some("Subject", subject)
                .push("Supported", "timer")
                .push("Session-Expires", SESSION_EXPIRES)
        }
        Method::Message | Method::Subscribe | Method::Refer => {
            request.push("P-Asserted-Identity", profile.name_addr()).push("P-Asserted-Service", GROUP_SERVICE)
        }
        Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Options
        | Method::Register
        | Method::Prack
        | Method::Notify
        | Method::Update
        | Method::Info
        | Method::Publish
        | Method::Other(_) => request,
    }
}

/// One subscription to the conference state, as its notifier keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Notifier {
    /// The Event field of the SUBSCRIBE.
    pub(super) event: String,
    /// What was granted; 0: it is to end.
    pub(super) expires: u32,
    /// The version of the latest document.
    pub(super) version: u32,
    /// Whether the conference itself is over.
    pub(super) over: bool,
}

impl Notifier {
    /// The notifier of a dialog in which no SUBSCRIBE was seen.
    pub(super) fn unknown() -> Self {
        Self { event: "conference".to_owned(), expires: super::profile::SUBSCRIPTION_EXPIRES, version: 0, over: false }
    }

    /// Whether its NOTIFYs carry the roster.
    pub(super) fn is_of_a_conference(&self) -> bool {
        self.event.starts_with("conference")
    }

    /// Subscription-State of the next NOTIFY (RFC 6665 4.1.3).
    pub(super) fn state(&self) -> String {
        match self.expires {
            _ if self.over => "terminated;reason=noresource".to_owned(),
            0 => "terminated;reason=timeout".to_owned(),
            expires => format!("active;expires={expires}"),
        }
    }
}

/// A NOTIFY, of a conference with the roster (RFC 4575).
pub(super) fn notify(request: Builder, notifier: &Notifier, roster: Option<&ConferenceInfo>) -> Builder {
    let request = request.push("Event", &notifier.event).push("Subscription-State", notifier.state());
    match roster {
        Some(roster) => request.body(MEDIA_TYPE, roster.to_xml()),
        None => request,
    }
}

/// The full roster: every member that takes part is connected.
pub(super) fn roster(
    entity: &str,
    version: u32,
    group: Option<&GroupProfile>,
    takes_part: impl Fn(&String) -> bool,
) -> ConferenceInfo {
    let members = group.map(|group| group.members.as_slice()).unwrap_or_default().iter().filter(|(uri, _)| takes_part(uri));
    let users: Vec<_> =
        members.map(|(uri, display)| User { display_text: display.clone(), ..User::new(uri, "connected") }).collect();
    let count = u32::try_from(users.len()).ok();
    let mut info = ConferenceInfo::full(entity, version, users);
    info.subject = group.map(|group| group.subject.clone()).filter(|subject| !subject.is_empty());
    info.user_count = count;
    info.active = Some(true);
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roster_names_every_member_as_connected() {
        let group = GroupProfile {
            subject: "Beach trip".to_owned(),
            members: vec![("sip:a@x".to_owned(), Some("Alice".to_owned())), ("sip:b@x".to_owned(), None)],
            ..GroupProfile::default()
        };
        let read = ConferenceInfo::parse(roster("sip:gc@cf", 3, Some(&group), |_| true).to_xml().as_bytes()).expect("a document");
        let users: Vec<_> = read.users().iter().map(|user| (user.entity.as_str(), user.is_connected())).collect();
        assert_eq!(users, [("sip:a@x", true), ("sip:b@x", true)]);
        assert_eq!((read.version, read.subject.as_deref()), (Some(3), Some("Beach trip")));
    }

    #[test]
    fn a_subscription_that_was_granted_nothing_ends() {
        let notifier = Notifier { event: "conference".to_owned(), expires: 0, version: 1, over: false };
        assert_eq!(notifier.state(), "terminated;reason=timeout");
        assert_eq!(Notifier { over: true, ..notifier }.state(), "terminated;reason=noresource");
    }
}
