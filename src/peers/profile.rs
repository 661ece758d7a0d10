//! Who an actor is: what its messages say unless the script says otherwise.

use crate::endpoint::Config;
use crate::engine::Transport;
use crate::pattern::ast::Role;

/// The feature tag of a CPM session, as Contact and Accept-Contact carry it.
pub(super) const SESSION_FEATURE: &str = "+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.session\"";
/// The feature tag of a standalone message.
pub(super) const MESSAGE_FEATURE: &str = "+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.msg\"";
/// The service of a 1-1 session.
pub(super) const SESSION_SERVICE: &str = "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.session";
/// The service of a group session.
pub(super) const GROUP_SERVICE: &str = "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.session.group";
/// The Session-Expires of an offer, in seconds.
pub(super) const SESSION_EXPIRES: u32 = 1_800;
/// The Expires of a subscription (RFC 4575 3.4).
pub(super) const SUBSCRIPTION_EXPIRES: u32 = 3_600;
/// The Expires of a registration.
pub(super) const REGISTRATION_EXPIRES: u32 = 600_000;

/// A group session that a focus hosts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GroupProfile {
    /// The focus URI.
    pub focus: String,
    /// The subject.
    pub subject: String,
    /// Conversation-ID.
    pub conversation_id: String,
    /// Contribution-ID.
    pub contribution_id: String,
    /// The members: URI and display name.
    pub members: Vec<(String, Option<String>)>,
}

/// Who an actor is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// Its role.
    pub role: Role,
    /// Its name in the run, which is the user part of a device's Contact.
    pub name: String,
    /// Its own address: the CPM Address of a user, the focus URI of its first group, the URI of
    /// the S-CSCF.
    pub uri: String,
    /// Its display name.
    pub display: Option<String>,
    /// The instance of a device, bare.
    pub instance: Option<String>,
    /// The Route of requests outside of dialogs, `<sip:…;lr>`: the core for a client, the PF for a
    /// focus.
    pub route: Option<String>,
    /// The URI of the PF.
    pub pf: String,
    /// The groups that a focus hosts.
    pub groups: Vec<GroupProfile>,
    /// Whether no script moves it: it acts on everything by itself, and as a focus passes on what
    /// its participants write.
    pub reference: bool,
    /// Whether it refreshes its sessions (RFC 4028) unasked when that is its part.
    pub refreshes: bool,
    /// Whether it opens an MSRP connection that is its to open with its answer, before the ACK
    /// (RFC 4975 5.4 sets no moment).
    pub connects_early: bool,
}

impl Profile {
    /// An actor of this role with an address; everything else is empty.
    pub fn new(role: Role, name: &str, uri: &str) -> Self {
        Self {
            role,
            name: name.to_owned(),
            uri: uri.to_owned(),
            display: None,
            instance: None,
            route: None,
            pf: "sip:pf.home1.example".to_owned(),
            groups: Vec::new(),
            reference: false,
            refreshes: true,
            connects_early: false,
        }
    }

    /// The configuration of the actor's node: `config` with the Contact and the product tokens of
    /// the role.
    #[must_use]
    pub fn dress(&self, config: Config) -> Config {
        let agent = match self.role {
            Role::Client => "CPM-client/OMA2.0",
            Role::Pf | Role::Cf => "CPM-serv/OMA2.0",
            Role::Core => "S-CSCF",
        };
        Config { contact: Some(self.contact(&config)), agent: agent.to_owned(), refuses: false, ..config }
    }

    /// The Contact that the actor's messages carry.
    pub fn contact(&self, config: &Config) -> String {
        let authority = config.authority();
        let transport = match config.transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Tls => ";transport=tls",
        };
        match self.role {
            Role::Client => {
                let mut contact = format!("<sip:{}@{authority}{transport}>", self.name);
                if let Some(urn) = &self.instance {
                    contact.extend([";+sip.instance=\"<", urn, ">\""]);
                }
                contact + ";" + SESSION_FEATURE
            }
            Role::Cf => self.focus_contact(&self.uri),
            Role::Pf | Role::Core => format!("<sip:{authority}{transport}>"),
        }
    }

    /// The Contact of a focus (RFC 4579 5.1).
    pub fn focus_contact(&self, focus: &str) -> String {
        ["<", focus, ">;isfocus;", SESSION_FEATURE].concat()
    }

    /// The group of a focus URI, else the first.
    pub fn group(&self, focus: &str) -> Option<&GroupProfile> {
        self.groups.iter().find(|group| group.focus == focus).or_else(|| self.groups.first())
    }

    /// From or P-Preferred-Identity with the display name, if there is one.
    pub fn name_addr(&self) -> String {
        match &self.display {
            Some(display) => ["\"", display, "\" <", &self.uri, ">"].concat(),
            None => ["<", &self.uri, ">"].concat(),
        }
    }
}
