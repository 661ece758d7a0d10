//! The state of the PF: users, groups, and the state of each CPM Group Session of one user.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::deferred::{Deferred, Item};
use super::group_state::Announcement;
use super::headers::Invitation;
use super::leg::{Leg, Media};
use super::outbox::Outbox;
use super::procedures::inactive_group::Parcel;
use super::registrar::Devices;
use super::{PfConfig, ServedUser};
use crate::endpoint::{DialogId, SubscriptionId, TransactionId};
use crate::time::Instant;
use crate::wire::sip::{Scheme, Uri};
use crate::wire::xml::roster::Roster;

/// A served user.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct UserId(pub(super) u32);

/// One CPM Group Session of one user.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct GroupId(pub(super) u32);

/// The two sides of the B2BUA.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Side {
    /// Towards the CPM Client, through the SIP/IP core.
    Client,
    /// Towards the Controlling Function.
    Focus,
}

impl Side {
    /// The other one.
    pub(super) const fn opposite(self) -> Self {
        match self {
            Self::Client => Self::Focus,
            Self::Focus => Self::Client,
        }
    }
}

/// How far the PF's own delivery INVITE has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Delivery {
    /// The INVITE has no final response.
    Invited {
        /// The INVITE.
        call: TransactionId,
        /// Whether the PF has cancelled it.
        cancelled: bool,
    },
    /// It was accepted; stored data is on its way.
    Sending,
}

/// The state of a group session for its user.
///
/// ```text
/// Inviting  -> Live | Held | Gone            the focus invited, the user is being asked
/// Joining   -> Live | Dormant | Gone         the Client asked, the focus is being asked
/// Live      -> Held | Dormant | Gone | DrainRj
/// Held      -> DrainPf | DrainRj | Dormant
/// DrainPf   -> Live | Held | Dormant | Gone
/// DrainRj   -> Live | Held | Dormant | Gone
/// Dormant   -> Inviting | Joining | Restarting
/// Restarting -> Live | DrainRj | Dormant | Gone
/// Gone      -> Inviting | Joining
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// The invitation of the focus was passed on to the user's devices.
    Inviting {
        /// The INVITE of the focus.
        asked: TransactionId,
        /// Ours to the user.
        call: TransactionId,
    },
    /// An INVITE of the Client was passed on to the focus.
    Joining {
        /// The INVITE of the Client.
        asked: TransactionId,
        /// Ours to the focus.
        call: TransactionId,
    },
    /// Both legs are up and joined.
    Live,
    /// The Client is away; the PF stays in the media path.
    Held,
    /// The PF invited the returning Client.
    DrainPf(Delivery),
    /// The Client re-joined; stored data is on its way.
    DrainRj,
    /// The Client re-joined an inactive group: stored data is on its way, and the CF is asked to
    /// re-start the group.
    Restarting(Restart),
    /// Neither leg; what is stored is kept.
    Dormant,
    /// The user left or declined.
    Gone,
}

impl Phase {
    /// Whether a session with the Client delivers what was stored.
    pub(super) const fn is_delivering(&self) -> bool {
        match self {
            Self::DrainPf(_) | Self::DrainRj | Self::Restarting(_) => true,
            Self::Inviting { .. } | Self::Joining { .. } | Self::Live | Self::Held | Self::Dormant | Self::Gone => false,
        }
    }
}

/// How far the re-start of a group has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Restart {
    /// The INVITE to the CF has no final response.
    Asked {
        /// The INVITE.
        call: TransactionId,
    },
    /// It failed, or must not be tried: the session of the Client ends with this status.
    Failed {
        /// The status.
        status: u16,
    },
}

/// One CPM Group Session as the PF keeps it for one user.
#[derive(Debug)]
pub(super) struct Group {
    /// Whose it is.
    pub(super) user: UserId,
    /// The focus URI, as the CF knows it.
    pub(super) focus: String,
    /// The group session identity that the Client is shown: a URI of the PF, constant for the
    /// life of the group.
    pub(super) shown: String,
    /// Whether the Client has seen that identity.
    pub(super) named: bool,
    /// The original CPM Group Session information.
    pub(super) invitation: Arc<Invitation>,
    /// The instance of the device that accepted.
    pub(super) device: Option<String>,
    /// The last known Participant Information.
    pub(super) roster: Roster,
    /// Where it stands.
    pub(super) phase: Phase,
    /// The leg to the Client.
    pub(super) client: Option<Leg>,
    /// The leg to the focus.
    pub(super) focus_leg: Option<Leg>,
    /// The medium that a pending INVITE of ours offers.
    pub(super) offered: Option<Media>,
    /// What is stored.
    pub(super) deferred: Deferred,
    /// What the delivery session of an inactive group has taken along of it.
    pub(super) parcel: Parcel,
    /// Whether the group state object is due on the leg to the Client.
    pub(super) announcement: Announcement,
    /// What the Client has written and the focus has not acknowledged.
    pub(super) outbox: Outbox,
    /// The PF's own subscription to the focus.
    pub(super) subscription: Option<SubscriptionId>,
    /// The focus closed the group for good (cause 410).
    pub(super) closed: bool,
    /// When the group ended; `None` while it runs.
    pub(super) ended: Option<Instant>,
    /// Since when the Client is away.
    pub(super) held_since: Instant,
    /// The user came back while the PF was cancelling its invitation, or before it had noticed that the
    /// Client was gone: a trigger is due.
    pub(super) again: bool,
    /// How many delivery INVITEs failed since the last trigger.
    pub(super) attempts: u64,
    /// The dialog that the PF ended because the Client seemed lost.
    pub(super) parting: Option<DialogId>,
    /// Whether it was over when it was looked at last.
    pub(super) was_over: bool,
    /// A change of the session that one side asked for and the other has not answered.
    pub(super) modification: Option<Modification>,
}

/// A re-INVITE or UPDATE on its way through the B2BUA.
#[derive(Clone, Debug)]
pub(super) struct Modification {
    /// The side that asked.
    pub(super) from: Side,
    /// Its request.
    pub(super) asked: TransactionId,
    /// Its offer.
    pub(super) offer: String,
    /// Our request on the other side.
    pub(super) call: TransactionId,
    /// The media of the other side before it.
    pub(super) before: Media,
}

impl Group {
    /// A group session that nothing has happened in.
    pub(super) fn new(user: UserId, focus: String, shown: String, invitation: Invitation) -> Self {
        Self {
            user,
            focus,
            shown,
            named: false,
            invitation: Arc::new(invitation),
            device: None,
            roster: Roster::default(),
            phase: Phase::Gone,
            client: None,
            focus_leg: None,
            offered: None,
            deferred: Deferred::default(),
            parcel: Parcel::default(),
            announcement: Announcement::default(),
            outbox: Outbox::default(),
            subscription: None,
            closed: false,
            ended: None,
            held_since: Instant::ZERO,
            again: false,
            attempts: 0,
            parting: None,
            was_over: false,
            modification: None,
        }
    }

    /// The leg of a side.
    pub(super) const fn leg(&self, side: Side) -> Option<&Leg> {
        match side {
            Side::Client => self.client.as_ref(),
            Side::Focus => self.focus_leg.as_ref(),
        }
    }

    /// The leg of a side, to be changed.
    pub(super) const fn leg_mut(&mut self, side: Side) -> Option<&mut Leg> {
        match side {
            Side::Client => self.client.as_mut(),
            Side::Focus => self.focus_leg.as_mut(),
        }
    }

    /// Takes the leg of a side away.
    pub(super) const fn take_leg(&mut self, side: Side) -> Option<Leg> {
        match side {
            Side::Client => self.client.take(),
            Side::Focus => self.focus_leg.take(),
        }
    }

    /// The phase of a group without focus that keeps what is stored, if anything is.
    pub(super) fn resting(&self) -> Phase {
        if self.deferred.is_empty() && self.parcel.queue.is_empty() { Phase::Gone } else { Phase::Dormant }
    }

    /// Marks a message as durable, wherever it is; `None` when it is gone meanwhile.
    pub(super) fn make_durable(&mut self, number: u64) -> Option<()> {
        self.deferred.make_durable(number).or_else(|| self.parcel.queue.make_durable(number))
    }

    /// Takes a message out, wherever it is.
    pub(super) fn take_stored(&mut self, number: u64) -> Option<Item> {
        self.deferred.remove(number).or_else(|| self.parcel.queue.remove(number))
    }
}

/// Whether a user is registered, as third-party REGISTERs tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Registration {
    /// No third-party REGISTER came yet.
    Unknown,
    /// Registered until then.
    Until(Instant),
    /// De-registered.
    Gone,
}

/// What the PF keeps of a served user.
#[derive(Debug)]
pub(super) struct User {
    /// The main address.
    pub(super) uri: String,
    /// The Route of requests for this user: the S-CSCF.
    pub(super) route: String,
    /// Whether the user is registered.
    pub(super) registration: Registration,
    /// What the last third-party REGISTER told of devices.
    pub(super) devices: Devices,
    /// The user's groups.
    pub(super) groups: Vec<GroupId>,
    /// Groups to be delivered one after the other.
    pub(super) waiting: VecDeque<GroupId>,
    /// The group that is being delivered.
    pub(super) delivering: Option<GroupId>,
    /// How many messages are stored for the user.
    pub(super) stored: u64,
}

/// All served users, by any of their addresses.
#[derive(Debug)]
pub(super) struct Users {
    list: Vec<User>,
    by_address: BTreeMap<String, UserId>,
}

impl Users {
    /// The users of the configuration.
    pub(super) fn new(config: &PfConfig) -> Self {
        let mut users = Self { list: Vec::new(), by_address: BTreeMap::new() };
        for served in &config.users {
            let core = served.core.as_ref().unwrap_or(&config.core);
            users.add(served, format!("<{};lr>", core.trim_end_matches(";lr")));
        }
        users
    }

    fn add(&mut self, served: &ServedUser, route: String) {
        let id = UserId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        for address in std::iter::once(&served.uri).chain(&served.aliases) {
            self.by_address.insert(address_key(address), id);
            // A SIP address whose user part is a number stands for the tel: URI too.
            if let Ok(Uri { user: Some(number), .. }) = Uri::parse(address)
                && number.starts_with('+')
            {
                self.by_address.entry(address_key(&format!("tel:{number}"))).or_insert(id);
            }
        }
        self.list.push(User {
            uri: served.uri.clone(),
            route,
            registration: Registration::Unknown,
            devices: Devices::default(),
            groups: Vec::new(),
            waiting: VecDeque::new(),
            delivering: None,
            stored: 0,
        });
    }

    /// All of them.
    pub(super) fn ids(&self) -> impl Iterator<Item = UserId> + use<> {
        (0..u32::try_from(self.list.len()).unwrap_or(u32::MAX)).map(UserId)
    }

    /// The user whose address this is.
    pub(super) fn find(&self, address: &str) -> Option<UserId> {
        self.by_address.get(&address_key(address)).copied()
    }
}

impl std::ops::Index<UserId> for Users {
    type Output = User;

    fn index(&self, id: UserId) -> &User {
        &self.list[id.0 as usize]
    }
}

impl std::ops::IndexMut<UserId> for Users {
    fn index_mut(&mut self, id: UserId) -> &mut User {
        &mut self.list[id.0 as usize]
    }
}

/// What two spellings of one address have in common: parameters and port aside, hosts in lower
/// case, telephone numbers without visual separators.
pub(super) fn address_key(address: &str) -> String {
    let Ok(uri) = Uri::parse(address) else { return address.to_owned() };
    let user = uri.user.unwrap_or("");
    match (uri.scheme, uri.host) {
        (Scheme::Tel, _) => format!("tel:{}", user.chars().filter(|char| !"-.() ".contains(*char)).collect::<String>()),
        (_, Some(host)) => format!("{user}@{}", host.0.to_ascii_lowercase()),
        (_, None) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_every_address() {
        let served = ServedUser {
            uri: "sip:+15145550102@home1.example".to_owned(),
            aliases: vec!["sip:bob@home1.example".to_owned()],
            core: None,
        };
        let elsewhere = Some("sip:10.0.0.9;transport=tcp;lr".to_owned());
        let other = ServedUser { uri: "sip:+15145550103@home1.example".to_owned(), aliases: Vec::new(), core: elsewhere };
        let core = "sip:scscf1.home1.example".to_owned();
        let users = Users::new(&PfConfig { identity: String::new(), users: vec![served, other], core });
        for address in
            ["sip:+15145550102@HOME1.example;user=phone", "tel:+1-514-555-0102", "sip:bob@home1.example:5060;transport=tcp"]
        {
            assert_eq!(users.find(address), Some(UserId(0)), "{address}");
        }
        assert_eq!(users.find("sip:+15145550102@home2.example"), None);
        assert_eq!(users[UserId(0)].route, "<sip:scscf1.home1.example;lr>");
        assert_eq!(users[UserId(1)].route, "<sip:10.0.0.9;transport=tcp;lr>", "that user has a core of its own");
    }
}
