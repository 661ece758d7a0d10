//! Actors that no script moves: a Client and a Controlling Function that behave as CPM asks them to.
//!
//! They stand on the automatic list and add what needs a memory. The Client registers, accepts
//! invitations, opens sessions of two, re-joins its groups once it is registered, tries again after 491 (RFC 3261 14.1),
//! returns delivery notifications, and declines what it left. The focus invites, keeps the roster
//! of each group, tells it to its subscribers, takes re-joins and re-starts, and ends groups. What
//! a person would decide comes from outside as an [`Order`].

mod calls;
mod client;
mod focus;

use self::calls::Letter;
use super::Profile;
use super::script::Scripted;
use crate::endpoint::Event;
use crate::pattern::ast::Role;
use crate::time::Instant;

/// What a person, or the network, makes an actor do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// A Client comes back: it registers, and re-joins its groups.
    Register,
    /// A Client loses its connectivity: its sessions are released with cause 503.
    Lose,
    /// A Client writes a message into a group.
    Say {
        /// The Conversation-ID of the group.
        conversation: String,
        /// The text.
        text: String,
        /// Whether a delivery notification is asked for.
        notify: bool,
    },
    /// A Client opens a session with another user, writes, and ends it.
    Call {
        /// The address of the other user.
        user: String,
        /// What it writes.
        texts: Vec<String>,
        /// Whether delivery notifications are asked for.
        notify: bool,
    },
    /// A Client refuses the next invitation.
    Refuse {
        /// The status, 603 for a decline.
        status: u16,
    },
    /// A Client leaves a group for good.
    Leave {
        /// The Conversation-ID of the group.
        conversation: String,
    },
    /// A focus invites a member.
    Invite {
        /// The focus URI of the group.
        group: String,
        /// The address of the member.
        user: String,
    },
    /// A focus ends a group; it can be started again.
    End {
        /// The focus URI of the group.
        group: String,
    },
}

/// The memory of a reference actor.
#[derive(Clone, Debug, Default)]
pub(super) enum Habits {
    /// It has none: a script moves it, or it is just being used.
    #[default]
    None,
    /// That of a Client.
    Client(client::Client),
    /// That of a focus.
    Focus(focus::Focus),
}

impl Habits {
    /// The memory that an actor of this profile begins with.
    pub(super) fn of(profile: &Profile) -> Self {
        match profile.role {
            Role::Client => Self::Client(client::Client::default()),
            Role::Cf => Self::Focus(focus::Focus::default()),
            Role::Core | Role::Pf => Self::None,
        }
    }

    /// When it acts next by itself.
    pub(super) fn wake(&self) -> Option<Instant> {
        match self {
            Self::Client(client) => client.wake(),
            Self::Focus(_) | Self::None => None,
        }
    }

    /// Deals with what came before the automatic list does; whether the list has nothing left to do.
    pub(super) fn before(&mut self, actor: &mut Scripted, now: Instant, event: &Event) -> bool {
        match self {
            Self::Client(client) => client.before(actor, now, event),
            Self::Focus(focus) => focus.before(actor, now, event),
            Self::None => false,
        }
    }

    /// Deals with what came after the automatic list did.
    pub(super) fn after(&mut self, actor: &mut Scripted, now: Instant, event: &Event) {
        match self {
            Self::Client(client) => client.after(actor, now, event),
            Self::Focus(focus) => focus.after(actor, now, event),
            Self::None => {}
        }
    }

    /// Does what is due.
    pub(super) fn expire(&mut self, actor: &mut Scripted, now: Instant) {
        if let Self::Client(client) = self {
            client.expire(actor, now);
        }
    }

    /// Does what it is told to; an order for the other role does nothing.
    pub(super) fn obey(&mut self, actor: &mut Scripted, now: Instant, order: &Order) {
        match (self, order) {
            (Self::Client(client), Order::Register) => client.register(actor, now),
            (Self::Client(client), Order::Lose) => client.lose(actor, now),
            (Self::Client(client), Order::Say { conversation, text, notify }) => {
                client.say(actor, now, conversation, (text, *notify))
            }
            (Self::Client(client), Order::Call { user, texts, notify }) => {
                client.call(actor, now, Letter { to: user.clone(), texts: texts.clone(), notify: *notify });
            }
            (Self::Client(client), Order::Refuse { status }) => client.refuse(*status),
            (Self::Client(client), Order::Leave { conversation }) => client.leave(actor, now, conversation),
            (Self::Focus(focus), Order::Invite { group, user }) => focus.invite(actor, now, group, user),
            (Self::Focus(focus), Order::End { group }) => focus.end(actor, now, group),
            _ => {}
        }
    }

    /// The Conversation-IDs of the groups in which a Client takes part now.
    pub(super) fn conversations(&self) -> Vec<&str> {
        match self {
            Self::Client(client) => client.conversations().collect(),
            Self::Focus(_) | Self::None => Vec::new(),
        }
    }
}
