//! The service information of a third-party REGISTER (3GPP TS 24.229 7.6): what a filter criterion hands to the server.

use super::{Element, child, child_text, parse, root, text_of};
use crate::wire::Fault;

/// The media type of the document.
pub const MEDIA_TYPE: &str = "application/3gpp-ims+xml";

/// The service information.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServiceInfo {
    /// The text between the tags, opaque to the core.
    pub service_info: Option<String>,
}

impl ServiceInfo {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// When it is no XML or its root is not `ims-3gpp`.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        let document = parse(text_of(body)?)?;
        let root = root(&document, "ims-3gpp")?;
        let nested = child(root, "Service-Info").and_then(|node| child_text(node, "service-info"));
        Ok(Self { service_info: child_text(root, "service-info").or(nested) })
    }

    /// Writes the document.
    pub fn to_xml(&self) -> String {
        Element::new("ims-3gpp")
            .attribute("version", "1")
            .child_some(self.service_info.as_ref().map(|info| Element::new("service-info").text(info)))
            .document()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_information_is_opaque_text() {
        let info = ServiceInfo::parse(b"<ims-3gpp version=\"1\"><service-info>a &amp; b</service-info></ims-3gpp>").unwrap();
        assert_eq!(info.service_info.as_deref(), Some("a & b"));
        assert_eq!(ServiceInfo::parse(info.to_xml().as_bytes()), Ok(info));
    }
}
