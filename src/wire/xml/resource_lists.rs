//! Lists of recipients in an INVITE (RFC 4826, RFC 5366, copy control of RFC 5364).

use super::{Element, attribute, child_text, parse, root, text_of};
use crate::wire::Fault;

/// The namespace of the document.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:resource-lists";
/// The namespace of copy control.
pub const COPY_CONTROL: &str = "urn:ietf:params:xml:ns:copycontrol";
/// The media type of the document.
pub const MEDIA_TYPE: &str = "application/resource-lists+xml";

/// The recipients, nested lists flattened in document order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ResourceLists {
    /// The entries.
    pub entries: Vec<Entry>,
}

/// One recipient.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Entry {
    /// The URI.
    pub uri: String,
    /// The display name.
    pub display_name: Option<String>,
    /// `to`, `cc` or `bcc`.
    pub copy_control: Option<String>,
}

impl ResourceLists {
    /// A list of these recipients, all addressed as `to`.
    pub fn of<'a>(uris: impl IntoIterator<Item = &'a str>) -> Self {
        let entry = |uri: &str| Entry { uri: uri.to_owned(), display_name: None, copy_control: Some("to".to_owned()) };
        Self { entries: uris.into_iter().map(entry).collect() }
    }

    /// The URIs in order.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.uri.as_str())
    }

    /// Reads a document.
    ///
    /// # Errors
    ///
    /// When it is no XML or its root is not `resource-lists`.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        let document = parse(text_of(body)?)?;
        let entries = root(&document, "resource-lists")?
            .descendants()
            .filter(|node| node.is_element() && node.tag_name().name() == "entry")
            .map(|node| Entry {
                uri: attribute(node, "uri").unwrap_or_default(),
                display_name: child_text(node, "display-name"),
                copy_control: attribute(node, "copyControl"),
            })
            .collect();
        Ok(Self { entries })
    }

    /// Writes the document: one list.
    pub fn to_xml(&self) -> String {
        let entries = self.entries.iter().map(|entry| {
            Element::new("entry")
                .attribute("uri", &entry.uri)
                .attribute_some("cp:copyControl", entry.copy_control.as_deref())
                .child_some(entry.display_name.as_ref().map(|name| Element::new("display-name").text(name)))
        });
        Element::new("resource-lists")
            .attribute("xmlns", NAMESPACE)
            .attribute("xmlns:cp", COPY_CONTROL)
            .child(Element::new("list").children(entries))
            .document()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_read_from_nested_lists() {
        let text = "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\" xmlns:cp=\"urn:ietf:params:xml:ns:copycontrol\"><list>\
            <entry uri=\"sip:a@b.example\" cp:copyControl=\"to\"/><list><entry uri=\"tel:+1\"><display-name>Bob</display-name></entry></list>\
            </list></resource-lists>";
        let lists = ResourceLists::parse(text.as_bytes()).unwrap();
        assert_eq!(lists.uris().collect::<Vec<_>>(), ["sip:a@b.example", "tel:+1"]);
        assert_eq!(lists.entries[1].display_name.as_deref(), Some("Bob"));
        assert_eq!(ResourceLists::parse(lists.to_xml().as_bytes()), Ok(lists));
    }

    #[test]
    fn a_list_of_uris_addresses_each_as_to() {
        let lists = ResourceLists::of(["sip:a@b.example"]);
        assert!(lists.to_xml().contains("<entry uri=\"sip:a@b.example\" cp:copyControl=\"to\"/>"));
    }
}
