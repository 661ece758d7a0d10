//! The group state object: where an idle group last lived and who took part.

use super::{Element, attribute, children, parse, root, text_of};
use crate::wire::{Fault, Level, Violation, datetime};

/// The media type of the document, compared in any letter case.
pub const MEDIA_TYPE: &str = "application/group-state-object+xml";

/// A snapshot of a group, taken when it was closed down.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GroupState {
    /// When the snapshot was taken (RFC 3339).
    pub timestamp: String,
    /// The last group session identity: the URI for a re-join.
    pub last_focus_session_id: String,
    /// `Open` or `Closed`.
    pub group_type: String,
    /// Contribution-ID, in later versions of the format.
    pub contribution_id: Option<String>,
    /// Who took part.
    pub participants: Vec<Participant>,
}

/// A member of the group.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Participant {
    /// The display name, possibly empty.
    pub name: Option<String>,
    /// The address, a tel or sip URI.
    pub comm_addr: String,
    /// The role, in later versions of the format.
    pub role: Option<String>,
}

impl GroupState {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// When it is no XML or its root is not `groupstate`.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        let document = parse(text_of(body)?)?;
        let root = root(&document, "groupstate")?;
        let own = |name| attribute(root, name);
        Ok(Self {
            timestamp: own("timestamp").unwrap_or_default(),
            last_focus_session_id: own("lastfocussessionid").unwrap_or_default(),
            group_type: own("group-type").unwrap_or_default(),
            contribution_id: own("contributionid"),
            participants: children(root, "participant")
                .map(|node| Participant {
                    name: attribute(node, "name"),
                    comm_addr: attribute(node, "comm-addr").unwrap_or_default(),
                    role: attribute(node, "role"),
                })
                .collect(),
        })
    }

    /// Writes the document.
    pub fn to_xml(&self) -> String {
        let participants = self.participants.iter().map(|participant| {
            Element::new("participant")
                .attribute_some("name", participant.name.as_deref())
                .attribute("comm-addr", &participant.comm_addr)
                .attribute_some("role", participant.role.as_deref())
        });
        Element::new("groupstate")
            .attribute("timestamp", &self.timestamp)
            .attribute("lastfocussessionid", &self.last_focus_session_id)
            .attribute("group-type", &self.group_type)
            .attribute_some("contributionid", self.contribution_id.as_deref())
            .children(participants)
            .document()
    }
}

/// Checks a document that was read. The format has no public schema, so each lack is a warning.
pub fn validate(state: &GroupState) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut complain = |code, message: String| {
        found.push(Violation { code, level: Level::Warning, offset: 0, rfc: "OMA CPM Message Storage 5.2.8", message });
    };
    if !datetime::is_valid(&state.timestamp) {
        complain("group-state-timestamp", format!("`{}` is no date and time of RFC 3339", state.timestamp));
    }
    if state.last_focus_session_id.is_empty() {
        complain("group-state-session", "the last group session identity is missing".to_owned());
    }
    if !["open", "closed"].contains(&state.group_type.to_ascii_lowercase().as_str()) {
        complain("group-state-type", format!("`{}` is neither Open nor Closed", state.group_type));
    }
    for participant in &state.participants {
        if !["tel:", "sip:", "sips:"].iter().any(|scheme| participant.comm_addr.starts_with(scheme)) {
            complain("group-state-address", format!("`{}` is no tel or sip URI", participant.comm_addr));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <groupstate timestamp=\"2012-01-17T10:05:41Z\" lastfocussessionid=\"sip:gc-7f3a9c@cf.home1.example\" group-type=\"Closed\">\n  \
        <participant name=\"Alice\" comm-addr=\"tel:+15145550101\"/>\n  <participant comm-addr=\"tel:+15145550102\"/>\n</groupstate>\n";

    #[test]
    fn a_snapshot_is_written_as_it_was_read() {
        let state = GroupState::parse(DOCUMENT.as_bytes()).unwrap();
        assert_eq!(state.last_focus_session_id, "sip:gc-7f3a9c@cf.home1.example");
        assert_eq!(state.participants[0].name.as_deref(), Some("Alice"));
        assert_eq!(state.participants[1].comm_addr, "tel:+15145550102");
        assert_eq!(state.to_xml(), DOCUMENT);
        assert_eq!(validate(&state), vec![]);
    }

    #[test]
    fn what_is_missing_is_reported() {
        let state = GroupState::parse(b"<groupstate group-type=\"CLOSED\"><participant/></groupstate>").unwrap();
        let codes: Vec<_> = validate(&state).into_iter().map(|own| own.code).collect();
        assert_eq!(codes, ["group-state-timestamp", "group-state-session", "group-state-address"]);
    }
}
