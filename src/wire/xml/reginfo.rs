//! Registration state (RFC 3680): who is registered, with which contacts.

use super::{Element, attribute, child_text, children, parse, root, text_of};
use crate::wire::Fault;

/// The namespace of the document.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:reginfo";
/// The media type of the document.
pub const MEDIA_TYPE: &str = "application/reginfo+xml";

/// A registration document.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RegInfo {
    /// The version, growing by one with each document of a subscription.
    pub version: u32,
    /// Whether the document tells everything or only what changed.
    pub full: bool,
    /// One entry per address of record.
    pub registrations: Vec<Registration>,
}

/// The registration of one address of record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registration {
    /// The address of record.
    pub aor: String,
    /// The identifier of the entry.
    pub id: String,
    /// `init`, `active` or `terminated`.
    pub state: String,
    /// Its contacts.
    pub contacts: Vec<Contact>,
}

/// One contact of a registration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Contact {
    /// The identifier of the contact.
    pub id: String,
    /// `active` or `terminated`.
    pub state: String,
    /// Why it is in that state, for example `registered` or `expired`.
    pub event: String,
    /// For how many seconds more it is valid.
    pub expires: Option<u32>,
    /// The URI.
    pub uri: String,
    /// Further parameters, for example `+sip.instance`.
    pub params: Vec<(String, String)>,
}

impl Contact {
    /// The instance of the device, without angle brackets and quotes.
    pub fn instance(&self) -> Option<&str> {
        let (_, value) = self.params.iter().find(|(name, _)| name.eq_ignore_ascii_case("+sip.instance"))?;
        Some(crate::wire::sip::header::bare_instance(value))
    }
}

impl RegInfo {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// When it is no XML or its root is not `reginfo`.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        let document = parse(text_of(body)?)?;
        let root = root(&document, "reginfo")?;
        Ok(Self {
            version: attribute(root, "version").and_then(|version| version.parse().ok()).unwrap_or_default(),
            full: attribute(root, "state").as_deref() == Some("full"),
            registrations: children(root, "registration").map(registration).collect(),
        })
    }

    /// Writes the document.
    pub fn to_xml(&self) -> String {
        let registrations = self.registrations.iter().map(|own| {
            Element::new("registration")
                .attribute("aor", &own.aor)
                .attribute("id", &own.id)
                .attribute("state", &own.state)
                .children(own.contacts.iter().map(contact_element))
        });
        Element::new("reginfo")
            .attribute("xmlns", NAMESPACE)
            .attribute("version", self.version.to_string())
            .attribute("state", if self.full { "full" } else { "partial" })
            .children(registrations)
            .document()
    }
}

fn registration(node: roxmltree::Node<'_, '_>) -> Registration {
    let own = |name| attribute(node, name).unwrap_or_default();
    Registration { aor: own("aor"), id: own("id"), state: own("state"), contacts: children(node, "contact").map(contact).collect() }
}

fn contact(node: roxmltree::Node<'_, '_>) -> Contact {
    let own = |name| attribute(node, name).unwrap_or_default();
    Contact {
        id: own("id"),
        state: own("state"),
        event: own("event"),
        expires: attribute(node, "expires").and_then(|expires| expires.parse().ok()),
        uri: child_text(node, "uri").unwrap_or_default(),
        params: children(node, "unknown-param")
            .map(|param| (attribute(param, "name").unwrap_or_default(), super::text(param)))
            .collect(),
    }
}

fn contact_element(contact: &Contact) -> Element<'_> {
    let expires = contact.expires.map(|expires| expires.to_string());
    Element::new("contact")
        .attribute("id", &contact.id)
        .attribute("state", &contact.state)
        .attribute("event", &contact.event)
        .attribute_some("expires", expires)
        .child(Element::new("uri").text(&contact.uri))
        .children(contact.params.iter().map(|(name, value)| Element::new("unknown-param").attribute("name", name).text(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_keep_their_instance() {
        let text = "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"0\" state=\"full\">\
            <registration aor=\"sip:bob@home1.example\" id=\"a7\" state=\"active\">\
            <contact id=\"76\" state=\"active\" event=\"registered\" expires=\"3600\"><uri>sip:bob@10.0.2.1</uri>\
            <unknown-param name=\"+sip.instance\">\"&lt;urn:gsma:imei:35824005-694458-0&gt;\"</unknown-param></contact></registration></reginfo>";
        let info = RegInfo::parse(text.as_bytes()).unwrap();
        let contact = &info.registrations[0].contacts[0];
        assert!(info.full);
        assert_eq!((contact.state.as_str(), contact.event.as_str(), contact.expires), ("active", "registered", Some(3600)));
        assert_eq!(contact.instance(), Some("urn:gsma:imei:35824005-694458-0"));
        assert_eq!(RegInfo::parse(info.to_xml().as_bytes()), Ok(info));
    }
}
