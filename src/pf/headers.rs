//! The header fields and bodies of what the PF sends: group invitations and what goes with them.

use bytes::Bytes;

use crate::wire::mime;
use crate::wire::sip::header::NameAddr;
use crate::wire::sip::{Builder, Message, Name};

/// The CPM session feature tag, as Contact and Accept-Contact carry it.
pub(super) const FEATURE_TAG: &str = "+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.session\"";
/// The service of a group, as P-Asserted-Service carries it.
pub(super) const GROUP_SERVICE: &str = "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.session.group";
/// The service of a 1-1 session.
pub(super) const SESSION_SERVICE: &str = "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.session";
/// Who is shown in place of someone who asked for privacy (RFC 3323 4.1.1.3).
pub(super) const ANONYMOUS: &str = "sip:anonymous@anonymous.invalid";
/// The Reason of a session that another one replaces.
pub(super) const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";
/// The Reason towards the focus of a user who declined.
pub(super) const DECLINED: &str = "SIP;cause=603;text=\"Decline\"";

/// A body part that goes through the PF unchanged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Part {
    /// Its Content-Type.
    pub(super) content_type: String,
    /// Its Content-Disposition.
    pub(super) disposition: Option<String>,
    /// Its data.
    pub(super) body: Bytes,
}

impl Part {
    /// Whether it is of this media type.
    pub(super) fn is(&self, media_type: &str) -> bool {
        essence(&self.content_type).eq_ignore_ascii_case(media_type)
    }
}

/// The original CPM Group Session information: what an INVITE said of its group (AMB-30).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Invitation {
    /// Fields that are repeated as they were, in their order.
    pub(super) fields: Vec<(String, String)>,
    /// The URI of From.
    pub(super) from: String,
    /// The SDP of the focus, whose content attributes are repeated.
    pub(super) sdp: String,
    /// The other parts of the body.
    pub(super) parts: Vec<Part>,
}

/// The fields of the original information, in the order in which they are written.
const REPEATED: [Name; 9] = [
    Name::PAssertedIdentity,
    Name::PAssertedService,
    Name::Privacy,
    Name::ReferredBy,
    Name::ConversationId,
    Name::ContributionId,
    Name::InReplyToContributionId,
    Name::SessionReplaces,
    Name::Subject,
];

impl Invitation {
    /// Reads an invitation of the focus.
    pub(super) fn of_focus(message: &Message) -> Self {
        let from = message.from().map(|from| from.uri.text.to_owned()).unwrap_or_default();
        Self { fields: repeated(message), from, sdp: sdp_of(message).unwrap_or_default(), parts: other_parts(message) }
    }

    /// Reads an INVITE of the Client to the focus at `focus`: the group information is the same
    /// seen from the other side, what concerns the Client as sender is left out.
    pub(super) fn of_client(message: &Message, focus: &str) -> Self {
        let mut fields = vec![("P-Asserted-Identity".to_owned(), format!("<{focus}>"))];
        fields.push(("P-Asserted-Service".to_owned(), GROUP_SERVICE.to_owned()));
        let own = [Name::PAssertedIdentity, Name::PAssertedService, Name::Privacy, Name::ReferredBy];
        fields.extend(repeated(message).into_iter().filter(|(name, _)| !own.contains(&Name::of(name.as_bytes()))));
        Self { fields, from: focus.to_owned(), sdp: String::new(), parts: Vec::new() }
    }

    /// What identifies the group, whoever invites to it: Conversation-ID, Contribution-ID, Subject
    /// and the like.
    pub(super) fn identifiers(&self) -> Vec<(String, String)> {
        let sender = [Name::PAssertedIdentity, Name::PAssertedService, Name::Privacy, Name::ReferredBy];
        let fields = self.fields.iter().filter(|(name, _)| !sender.contains(&Name::of(name.as_bytes())));
        fields.cloned().collect()
    }

    /// The value of the first field of this name.
    pub(super) fn value(&self, name: Name) -> Option<&str> {
        self.fields.iter().find(|(token, _)| Name::of(token.as_bytes()) == name).map(|(_, value)| value.as_str())
    }
}

fn repeated(message: &Message) -> Vec<(String, String)> {
    let values = REPEATED.iter().flat_map(|name| message.values(*name).map(|value| (name.canonical(), value)));
    values.map(|(name, value)| (name.to_owned(), unfolded(value))).collect()
}

/// A value on one line (RFC 3261 7.3.1).
fn unfolded(value: &str) -> String {
    value.split(['\r', '\n']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// What an INVITE of the PF to a user is made of.
pub(super) struct ToUser<'a> {
    /// The address of the user.
    pub(super) target: &'a str,
    /// The identity of the group as the user is shown it.
    pub(super) shown: &'a str,
    /// The S-CSCF.
    pub(super) route: &'a str,
    /// What the group is.
    pub(super) invitation: &'a Invitation,
    /// The offer.
    pub(super) sdp: String,
    /// The values of Accept-Contact.
    pub(super) accept_contact: Vec<String>,
    /// The session interval.
    pub(super) interval: u32,
}

/// The INVITE of a group to its user (V1 towards the Client, V2).
pub(super) fn invite_user(parts: &ToUser<'_>) -> Builder {
    let mut invite = Builder::request("INVITE", parts.target)
        .push("Route", parts.route)
        .push("From", ["<", &parts.invitation.from, ">"])
        .push("To", ["<", parts.target, ">"])
        .push("Contact", group_contact(parts.shown));
    for (name, value) in &parts.invitation.fields {
        invite = invite.push(name, value);
    }
    if parts.invitation.value(Name::PAssertedService).is_none() {
        invite = invite.push("P-Asserted-Service", GROUP_SERVICE);
    }
    for value in &parts.accept_contact {
        invite = invite.push("Accept-Contact", value);
    }
    let invite = invite.push("Supported", "timer").push("Session-Expires", parts.interval);
    with_body(invite, &parts.sdp, &parts.invitation.parts)
}

/// An INVITE of an original sender as the user's devices get it.
pub(super) fn relayed_invite(message: &Message, target: &str, route: &str, address: &str) -> Builder {
    let from = message.from().map(|from| from.uri.text.to_owned()).unwrap_or_default();
    let mut invite = Builder::request("INVITE", target)
        .push("Max-Forwards", hops(message))
        .push("Route", route)
        .push("From", ["<", &from, ">"])
        .push("To", ["<", target, ">"])
        .push("Contact", own_contact(address));
    for (name, value) in repeated(message) {
        invite = invite.push(name, value);
    }
    if message.value(Name::PAssertedService).is_none() {
        invite = invite.push("P-Asserted-Service", SESSION_SERVICE);
    }
    let wanted = message.values(Name::AcceptContact).map(unfolded).collect::<Vec<_>>();
    let wanted = if wanted.is_empty() { vec![format!("*;{FEATURE_TAG}")] } else { wanted };
    invite = wanted.into_iter().fold(invite, |invite, value| invite.push("Accept-Contact", value));
    let interval = super::leg::session_expires(message).map_or(super::leg::SESSION_EXPIRES, |session| session.seconds);
    invite.push("Supported", "timer").push("Session-Expires", interval)
}

/// What the INVITE of a 1-1 delivery is made of.
pub(super) struct Deferring<'a> {
    /// The address of the user.
    pub(super) target: &'a str,
    /// The S-CSCF.
    pub(super) route: &'a str,
    /// The identity of the PF.
    pub(super) identity: &'a str,
    /// Who stands in From.
    pub(super) from: &'a str,
    /// Whose messages they are.
    pub(super) referred_by: &'a str,
    /// Where the PF is reached.
    pub(super) contact: &'a str,
    /// The service.
    pub(super) service: &'a str,
    /// The values of Accept-Contact.
    pub(super) accept_contact: Vec<String>,
    /// Conversation-ID, Contribution-ID and the like.
    pub(super) identifiers: &'a [(String, String)],
    /// The session interval.
    pub(super) interval: u32,
}

/// The INVITE of a 1-1 delivery (V3), without its body.
pub(super) fn deferred_invite(parts: &Deferring<'_>) -> Builder {
    let invite = Builder::request("INVITE", parts.target)
        .push("Route", parts.route)
        .push("From", ["<", parts.from, ">"])
        .push("To", ["<", parts.target, ">"])
        .push("Contact", own_contact(parts.contact))
        .push("P-Asserted-Identity", ["<", parts.identity, ">"])
        .push("P-Asserted-Service", parts.service)
        .push("Referred-By", ["<", parts.referred_by, ">"]);
    let invite = parts.accept_contact.iter().fold(invite, |invite, value| invite.push("Accept-Contact", value));
    let invite = parts.identifiers.iter().fold(invite, |invite, (name, value)| invite.push(name, value));
    invite.push("Supported", "timer").push("Session-Expires", parts.interval)
}

/// The identifiers of the conversation that a message belongs to.
pub(super) fn identifiers(message: &Message) -> Vec<(String, String)> {
    let names = [Name::ConversationId, Name::ContributionId, Name::InReplyToContributionId];
    let found = names.iter().filter_map(|name| Some((name.canonical().to_owned(), message.value(*name)?.to_owned())));
    found.collect()
}

/// The address of who sent a request: the asserted one, else From.
pub(super) fn asserted_identity(message: &Message) -> Option<String> {
    let asserted = message.elements(Name::PAssertedIdentity).find_map(|value| NameAddr::parse(value).ok());
    asserted.map(|identity| identity.uri.text.to_owned()).or_else(|| Some(message.from().ok()?.uri.text.to_owned()))
}

/// Whether the sender asked the network to withhold its identity (RFC 3323, RFC 3325 9.3).
pub(super) fn wants_privacy(message: &Message) -> bool {
    let asked = message.values(Name::Privacy).flat_map(|value| value.split([';', ',']));
    asked.map(str::trim).any(|word| ["id", "user", "header"].iter().any(|own| word.eq_ignore_ascii_case(own)))
}

/// A media type without its parameters.
pub(super) fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or("").trim()
}

/// Accept-Contact of a delivery: the service, and the device when one is pinned (AMB-37).
pub(super) fn accept_contact(device: Option<&str>, merge: bool) -> Vec<String> {
    match device {
        Some(device) if merge => vec![format!("*;{FEATURE_TAG};+sip.instance=\"<{device}>\";require;explicit")],
        Some(device) => {
            vec![format!("*;{FEATURE_TAG};require;explicit"), format!("*;+sip.instance=\"<{device}>\";require;explicit")]
        }
        None => vec![format!("*;{FEATURE_TAG};require;explicit")],
    }
}

/// How many hops are left to a request that the PF passes on: as a B2BUA it counts itself, lest a
/// request go round for ever (RFC 7332).
pub(super) fn hops(message: &Message) -> u64 {
    let left = message.value(Name::MaxForwards).and_then(|value| crate::wire::sip::header::number(value.trim()).ok());
    left.unwrap_or(70_u64).saturating_sub(1)
}

/// Contact on the Client leg: the group session identity, a URI of the PF.
pub(super) fn group_contact(shown: &str) -> String {
    format!("<{shown}>;isfocus;{FEATURE_TAG}")
}

/// Contact on the focus leg: the PF, for the user.
pub(super) fn own_contact(address: &str) -> String {
    format!("<{address}>;{FEATURE_TAG}")
}

/// Sets the body: SDP alone, or SDP with what else the original had.
pub(super) fn with_body(message: Builder, sdp: &str, parts: &[Part]) -> Builder {
    if parts.is_empty() {
        return message.body("application/sdp", sdp.to_owned());
    }
    let mut body = mime::Builder::new("boundary1").part("application/sdp", sdp.to_owned());
    for part in parts {
        body = match &part.disposition {
            Some(disposition) => {
                body.part_with(&[("Content-Type", &part.content_type), ("Content-Disposition", disposition)], part.body.clone())
            }
            None => body.part(&part.content_type, part.body.clone()),
        };
    }
    let content_type = body.content_type();
    message.body(&content_type, body.encode())
}

/// The SDP of a message, alone or in a multipart.
pub(super) fn sdp_of(message: &Message) -> Option<String> {
    let content_type = message.value(Name::ContentType)?;
    let part = mime::find(content_type, &message.body(), "application/sdp")?;
    String::from_utf8(part.body.to_vec()).ok()
}

/// The parts of a body beside the SDP.
pub(super) fn other_parts(message: &Message) -> Vec<Part> {
    let Some(content_type) = message.value(Name::ContentType) else { return Vec::new() };
    let parts = mime::parts(content_type, &message.body()).into_iter().filter(|part| !part.is("application/sdp"));
    parts
        .map(|part| Part {
            content_type: part.content_type().to_owned(),
            disposition: part.disposition().map(str::to_owned),
            body: part.body.clone(),
        })
        .collect()
}

/// The instance in the Contact of a message.
pub(super) fn instance_of(message: &Message) -> Option<String> {
    message.contact().ok()?.instance().map(str::to_owned)
}

/// The URI of the first Contact.
pub(super) fn contact_uri(message: &Message) -> Option<String> {
    message.contact().ok().map(|contact| contact.uri.text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "INVITE sip:bob@home1.example SIP/2.0\r\nFrom: \"Trip\" <sip:gc-1@cf.home1.example>;tag=1\r\n\
        To: <sip:bob@home1.example>\r\nContact: <sip:gc-1@cf.home1.example>;isfocus\r\nSubject: Hiking\r\n trip\r\n\
        P-Asserted-Identity: <sip:gc-1@cf.home1.example>\r\nb: <sip:alice@home1.example>\r\n\
        Conversation-ID: c-1\r\nContribution-ID: d-1\r\nContent-Type: multipart/mixed;boundary=x\r\n\r\n\
        --x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--x\r\nContent-Type: application/resource-lists+xml\r\n\
        Content-Disposition: recipient-list-history;handling=optional\r\n\r\n<list/>\r\n--x--\r\n";

    fn invitation() -> Invitation {
        Invitation::of_focus(&Message::decode(Bytes::from(V1)).expect("a message"))
    }

    #[test]
    fn an_invitation_repeats_the_group_information() {
        let invitation = invitation();
        let parts = ToUser {
            target: "sip:bob@home1.example",
            shown: "sip:gc-1@pf.home1.example",
            route: "<sip:scscf1.home1.example;lr>",
            invitation: &invitation,
            sdp: "v=0\r\n".to_owned(),
            accept_contact: accept_contact(Some("urn:uuid:1"), false),
            interval: 1800,
        };
        let invite = invite_user(&parts);
        assert_eq!(invite.value("From"), Some("<sip:gc-1@cf.home1.example>"));
        assert_eq!(invite.value("Contact"), Some(group_contact("sip:gc-1@pf.home1.example").as_str()));
        assert_eq!(invite.value("Referred-By"), Some("<sip:alice@home1.example>"));
        assert_eq!(invite.value("Subject"), Some("Hiking trip"));
        assert_eq!(invite.values("Accept-Contact").count(), 2);
        assert_eq!(invite.value("P-Asserted-Service"), Some(GROUP_SERVICE));
        let message = invite.build();
        assert_eq!(sdp_of(&message).as_deref(), Some("v=0\r\n"));
        assert_eq!(other_parts(&message), invitation.parts);
    }

    #[test]
    fn service_and_device_may_stand_in_one_value() {
        let merged = accept_contact(Some("urn:uuid:1"), true);
        assert_eq!(merged, [format!("*;{FEATURE_TAG};+sip.instance=\"<urn:uuid:1>\";require;explicit")]);
        assert_eq!(accept_contact(None, true).len(), 1);
    }

    #[test]
    fn the_client_as_sender_is_left_out_of_the_group_information() {
        let message = Message::decode(Bytes::from(V1)).expect("a message");
        let invitation = Invitation::of_client(&message, "sip:gc-1@cf.home1.example");
        assert_eq!(invitation.value(Name::ReferredBy), None);
        assert_eq!(invitation.value(Name::ConversationId), Some("c-1"));
        assert_eq!(invitation.value(Name::PAssertedIdentity), Some("<sip:gc-1@cf.home1.example>"));
    }
}
