//! Disposition notifications (RFC 5438 7): `message/imdn+xml` in and out.

use std::fmt;

use super::xml::{self, Element};
use super::{Fault, Level, Violation, datetime};

/// The namespace of the document.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:imdn";
/// The media type of the document.
pub const MEDIA_TYPE: &str = "message/imdn+xml";

/// What a notification speaks of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Whether the message reached the device.
    Delivery,
    /// What an intermediary did with it.
    Processing,
    /// Whether it was shown.
    Display,
}

impl Kind {
    /// The name of the element, for example `delivery-notification`.
    pub const fn element(self) -> &'static str {
        match self {
            Self::Delivery => "delivery-notification",
            Self::Processing => "processing-notification",
            Self::Display => "display-notification",
        }
    }

    fn of(element: &str) -> Option<Self> {
        [Self::Delivery, Self::Processing, Self::Display].into_iter().find(|kind| kind.element() == element)
    }

    /// Whether RFC 5438 11.1 knows this status for this kind.
    pub fn allows(self, status: &str) -> bool {
        let own: &[&str] = match self {
            Self::Delivery => &["delivered", "failed"],
            Self::Processing => &["processed", "stored"],
            Self::Display => &["displayed"],
        };
        own.contains(&status) || matches!(status, "forbidden" | "error")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delivery => "delivery",
            Self::Processing => "processing",
            Self::Display => "display",
        })
    }
}

/// One notification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Imdn {
    /// imdn.Message-ID of the message that it speaks of.
    pub message_id: String,
    /// DateTime of that message.
    pub date_time: String,
    /// Who got the message.
    pub recipient_uri: Option<String>,
    /// Whom the message was first addressed to.
    pub original_recipient_uri: Option<String>,
    /// Subject of the message.
    pub subject: Option<String>,
    /// What it speaks of.
    pub kind: Kind,
    /// The status, for example `delivered`.
    pub status: String,
    namespaced: bool,
}

impl Imdn {
    /// A notification about the message `message_id` that was sent at `date_time`.
    pub fn new(message_id: &str, date_time: &str, kind: Kind, status: &str) -> Self {
        Self {
            message_id: message_id.to_owned(),
            date_time: date_time.to_owned(),
            recipient_uri: None,
            original_recipient_uri: None,
            subject: None,
            kind,
            status: status.to_owned(),
            namespaced: true,
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    ///
    /// When it is no XML, its root is not `imdn`, or it holds no message-id or no notification with a status.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        let text = xml::text_of(body)?;
        let document = xml::parse(text)?;
        let root = xml::root(&document, "imdn")?;
        let at = root.range().start;
        let notification = root
            .children()
            .find_map(|node| Kind::of(node.tag_name().name()).map(|kind| (kind, node)))
            .ok_or(Fault::new("imdn-notification", at, "a delivery, processing or display notification"))?;
        let status = xml::child(notification.1, "status").and_then(|status| status.first_element_child()).ok_or(Fault::new(
            "imdn-status",
            notification.1.range().start,
            "a status",
        ))?;
        let own = |name| xml::child_text(root, name);
        Ok(Self {
            message_id: own("message-id").ok_or(Fault::new("imdn-message-id", at, "a message-id"))?,
            date_time: own("datetime").unwrap_or_default(),
            recipient_uri: own("recipient-uri"),
            original_recipient_uri: own("original-recipient-uri"),
            subject: own("subject"),
            kind: notification.0,
            status: status.tag_name().name().to_owned(),
            namespaced: root.tag_name().namespace() == Some(NAMESPACE),
        })
    }

    /// Whether the message has reached its recipient: delivered, or already shown.
    pub fn says_delivered(&self) -> bool {
        matches!((self.kind, self.status.as_str()), (Kind::Delivery, "delivered") | (Kind::Display, "displayed"))
    }

    /// Writes the document.
    pub fn to_xml(&self) -> String {
        let status = Element::new("status").child(Element::new(&self.status));
        Element::new("imdn")
            .attribute("xmlns", NAMESPACE)
            .child(Element::new("message-id").text(&self.message_id))
            .child(Element::new("datetime").text(&self.date_time))
            .child_some(self.recipient_uri.as_ref().map(|uri| Element::new("recipient-uri").text(uri)))
            .child_some(self.original_recipient_uri.as_ref().map(|uri| Element::new("original-recipient-uri").text(uri)))
            .child_some(self.subject.as_ref().map(|subject| Element::new("subject").text(subject)))
            .child(Element::new(self.kind.element()).child(status))
            .document()
    }
}

/// Checks a document that was read.
pub fn validate(imdn: &Imdn) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut complain = |code, rfc, message| found.push(Violation { code, level: Level::Error, offset: 0, rfc, message });
    if !imdn.namespaced {
        complain("imdn-namespace", "RFC 5438 11.1", format!("the root is not in {NAMESPACE}"));
    }
    if imdn.message_id.is_empty() {
        complain("imdn-message-id", "RFC 5438 11.1.1", "the message-id is empty".to_owned());
    }
    if !datetime::is_valid(&imdn.date_time) {
        complain("imdn-datetime", "RFC 5438 11.1.2", format!("`{}` is no date and time of RFC 3339", imdn.date_time));
    }
    if !imdn.kind.allows(&imdn.status) {
        complain("imdn-status", "RFC 5438 11.1.7", format!("`{}` is no status of a {} notification", imdn.status, imdn.kind));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<imdn xmlns=\"urn:ietf:params:xml:ns:imdn\">\n  \
        <message-id>Msg-A-0001</message-id>\n  <datetime>2012-01-17T09:58:12Z</datetime>\n  <delivery-notification>\n    <status>\n      \
        <delivered/>\n    </status>\n  </delivery-notification>\n</imdn>\n";

    #[test]
    fn a_notification_is_written_as_it_was_read() {
        let imdn = Imdn::parse(DOCUMENT.as_bytes()).unwrap();
        assert_eq!(imdn, Imdn::new("Msg-A-0001", "2012-01-17T09:58:12Z", Kind::Delivery, "delivered"));
        assert_eq!(imdn.to_xml(), DOCUMENT);
        assert_eq!(validate(&imdn), vec![]);
    }

    #[test]
    fn optional_elements_survive() {
        let mut imdn = Imdn::new("m1", "2012-01-17T09:58:12Z", Kind::Display, "displayed");
        imdn.recipient_uri = Some("sip:bob@home1.example".to_owned());
        imdn.original_recipient_uri = Some("tel:+15145550102".to_owned());
        imdn.subject = Some("a < b & c".to_owned());
        assert_eq!(Imdn::parse(imdn.to_xml().as_bytes()), Ok(imdn));
    }

    #[test]
    fn a_document_without_namespace_or_known_status_is_read_and_reported() {
        let text =
            DOCUMENT.replace(" xmlns=\"urn:ietf:params:xml:ns:imdn\"", "").replace("delivered", "displayed").replace("T09", " 09");
        let codes: Vec<_> = validate(&Imdn::parse(text.as_bytes()).unwrap()).into_iter().map(|own| own.code).collect();
        assert_eq!(codes, ["imdn-namespace", "imdn-datetime", "imdn-status"]);
    }

    #[test]
    fn documents_of_another_kind_are_refused() {
        let code = |text: &str| Imdn::parse(text.as_bytes()).unwrap_err().code;
        assert_eq!(code("<other/>"), "xml-root");
        assert_eq!(code("<imdn/>"), "imdn-notification");
        assert_eq!(code("<imdn><display-notification/></imdn>"), "imdn-status");
        assert_eq!(
            code("<imdn><display-notification><status><displayed/></status></display-notification></imdn>"),
            "imdn-message-id"
        );
        assert_eq!(code("<!DOCTYPE x><imdn/>"), "xml-dtd");
        assert_eq!(code("no xml"), "xml-syntax");
    }
}
