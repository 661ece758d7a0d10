//! The core of the PF: it holds the state, hands each event to the procedure that it belongs to,
//! and carries the effects out in order.

mod identities;
mod relays;
mod requests;
mod responses;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[cfg(test)]
pub(in crate::pf) use self::relays::untagged;
use super::b2bua::Flights;
use super::journal::Journal;
use super::notifications::Notifications;
use super::one_to_one::{End, OneToOne, Place, SenderId, SessionId, Shelf, delivery, legs, session};
use super::procedures::deferred_handling::{self, Silence};
use super::procedures::{
    active_group, group_delivery, notification_session, one_to_one_delivery, participants_information, registration,
    registration_event, restart, session_modification,
};
use super::schedule::{Alarm, Schedule};
use super::state::{Group, GroupId, Side, UserId, Users};
use super::{PfConfig, Policy, media};
use crate::clause::Clause;
use crate::endpoint::{self, DialogId, Endpoint, Event, MsrpId, SubscriptionId, TransactionId};
use crate::engine::{Engine, Note, Output, Transport};
use crate::ids::Ids;
use crate::time::Instant;

/// What a request that the PF sent is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pf) enum Call {
    /// The invitation of the focus, passed on to the user.
    Invitation(GroupId),
    /// The PF's own invitation to a deferred delivery.
    Delivery(GroupId),
    /// An INVITE of the Client, passed on to the focus.
    Join(GroupId),
    /// The re-start of an inactive group.
    Restart(GroupId),
    /// A change of the session, passed on to this side.
    Modification(GroupId, Side),
    /// A refresh of the session timer on this side.
    Refresh(GroupId, Side),
    /// The re-INVITE by which a restarted PF gets its media with the focus back.
    Repair(GroupId),
    /// A NOTIFY of the focus, passed on to the Client.
    Notify(SubscriptionId),
    /// The end of a leg whose media is to be closed.
    Bye(MsrpId),
    /// A MESSAGE, passed on for this request.
    Message(TransactionId),
    /// The INVITE of an original sender, passed on to the user.
    InvitationAt(SessionId),
    /// The INVITE of a delivery session.
    DeliveryAt(Shelf),
    /// The BYE of a delivery session that has delivered everything.
    Completed(Shelf, MsrpId),
    /// A change of a 1-1 session, passed on to this end.
    ModificationAt(SessionId, End),
    /// A refresh of the session timer of a leg.
    RefreshAt(Place),
    /// A notification, passed on by MESSAGE to a user who may be away.
    Notification {
        /// The MESSAGE that brought it.
        asked: TransactionId,
        /// Whom it is for.
        user: UserId,
    },
    /// A MESSAGE with a stored notification of this user.
    NotificationMessage(UserId, u64),
    /// The INVITE to a session for notifications of this user.
    NotificationSession(UserId),
    /// The end of that session, whose media is to be closed.
    NotificationBye(UserId, MsrpId),
    /// A MESSAGE that tells the sender of a message that it was delivered.
    Told(SenderId, u64),
}

/// What one of the PF's subscriptions is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pf) enum Watch {
    /// The PF itself keeps the roster.
    Own(GroupId),
    /// The Client asked for it.
    Relayed(GroupId),
    /// The PF wants to know when the user comes.
    Registration(UserId),
}

/// The PF behind its face.
#[derive(Debug)]
pub(in crate::pf) struct Core {
    pub(in crate::pf) endpoint: Endpoint,
    pub(in crate::pf) config: PfConfig,
    pub(in crate::pf) policy: Policy,
    pub(in crate::pf) ids: Ids,
    pub(in crate::pf) users: Users,
    pub(in crate::pf) groups: Vec<Group>,
    pub(in crate::pf) one: OneToOne,
    /// Disposition notifications that wait for their users.
    pub(in crate::pf) notifications: Notifications,
    pub(in crate::pf) journal: Journal,
    pub(in crate::pf) schedule: Schedule,
    /// Dialogs that are legs.
    pub(in crate::pf) dialogs: BTreeMap<DialogId, (GroupId, Side)>,
    /// MSRP sessions of legs.
    pub(in crate::pf) media: BTreeMap<MsrpId, (GroupId, Side)>,
    /// MSRP sessions that have their connection.
    pub(in crate::pf) bound: BTreeSet<MsrpId>,
    /// Requests of the PF that have no final response.
    pub(in crate::pf) calls: BTreeMap<TransactionId, Call>,
    /// INVITEs that the PF owes a final response.
    pub(in crate::pf) asked: BTreeMap<TransactionId, GroupId>,
    /// BYEs that wait for the ACK (RFC 3261 15), with the media of their leg and their Reason.
    pub(in crate::pf) byes: BTreeMap<DialogId, (MsrpId, Option<String>)>,
    pub(in crate::pf) watches: BTreeMap<SubscriptionId, Watch>,
    pub(in crate::pf) watched: registration_event::Watched,
    pub(in crate::pf) relays: participants_information::Relays,
    pub(in crate::pf) flights: Flights,
    identities: BTreeMap<(UserId, String), GroupId>,
    /// Groups that have come to be with this input.
    pub(in crate::pf) fresh: Vec<GroupId>,
    /// Numbers that belong to no group.
    pub(in crate::pf) holes: BTreeSet<GroupId>,
    outputs: VecDeque<Output>,
}

impl Core {
    /// The core of a PF that knows no session.
    pub(in crate::pf) fn new(config: endpoint::Config, pf: PfConfig, policy: Policy) -> Self {
        Self {
            ids: Ids::new(config.seed, &format!("{}/core", config.name)),
            users: Users::new(&pf),
            endpoint: Endpoint::new(config),
            config: pf,
            policy,
            groups: Vec::new(),
            one: OneToOne::default(),
            notifications: Notifications::default(),
            journal: Journal::default(),
            schedule: Schedule::default(),
            dialogs: BTreeMap::new(),
            media: BTreeMap::new(),
            bound: BTreeSet::new(),
            calls: BTreeMap::new(),
            asked: BTreeMap::new(),
            byes: BTreeMap::new(),
            watches: BTreeMap::new(),
            watched: registration_event::Watched::default(),
            relays: participants_information::Relays::default(),
            flights: Flights::default(),
            identities: BTreeMap::new(),
            fresh: Vec::new(),
            holes: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The URI at which the PF itself is reached.
    pub(in crate::pf) fn address(&self) -> String {
        let config = self.endpoint.config();
        let transport = match config.transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Tls => ";transport=tls",
        };
        format!("sip:{}{transport}", config.authority())
    }

    /// Puts a remark in front of what happens next: the requirement that decides, and how.
    pub(in crate::pf) fn because(&mut self, clause: Clause, text: impl Into<Cow<'static, str>>) -> &mut Self {
        self.push(Output::Note(Note { layer: "pf", text: text.into(), because: Some(clause) }));
        self
    }

    /// Puts a remark of no requirement in front of what happens next.
    pub(in crate::pf) fn note(&mut self, text: impl Into<Cow<'static, str>>) {
        self.push(Output::Note(Note { layer: "pf", text: text.into(), because: None }));
    }

    /// Adds an effect behind those of the endpoint so far.
    pub(in crate::pf) fn push(&mut self, output: Output) {
        self.flush();
        self.outputs.push_back(output);
    }

    /// Takes over the effects of the endpoint.
    pub(in crate::pf) fn flush(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            self.outputs.push_back(output);
        }
    }

    /// The next effect.
    pub(in crate::pf) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Handles all events of the endpoint and writes down what has changed.
    pub(in crate::pf) fn run(&mut self, now: Instant) {
        while let Some(event) = self.endpoint.poll_event() {
            self.on_event(now, event);
        }
        self.watch_groups(now);
        self.save_changes();
        self.flush();
    }

    /// Handles the PF's own deadlines.
    pub(in crate::pf) fn wake(&mut self, now: Instant) {
        while let Some(alarm) = self.schedule.expire(now) {
            match alarm {
                Alarm::WriteAgain => self.journal.write_again(),
                Alarm::Restore => {
                    deferred_handling::resume(self, now);
                    registration_event::resume(self, now);
                    session::resume(self, now);
                    one_to_one_delivery::resume(self, now);
                }
                Alarm::Trigger(user) => registration::available(self, now, user),
                Alarm::Retry(group) => group_delivery::retry(self, now, group),
                Alarm::Ringing(group) => active_group::on_ringing_limit(self, now, group),
                Alarm::Restarting(group) => restart::on_limit(self, now, group),
                Alarm::Disconnected(group, side) => deferred_handling::on_silence(self, now, group, side, Silence::Media),
                Alarm::Refresh(group, side) => session_modification::refresh(self, now, group, side),
                Alarm::Abandoned(group) => session_modification::on_abandoned(self, now, group),
                Alarm::Linger(session) => self.close_media(now, session),
                Alarm::RetrySender(sender) => one_to_one_delivery::retry(self, now, sender),
                Alarm::RingingFor(user) => notification_session::on_ringing_limit(self, now, user),
                Alarm::RingingAt(shelf) => delivery::on_ringing_limit(self, now, shelf),
                Alarm::Forget(group) => self.on_forgetting(now, group),
                Alarm::Expire(user) => self.on_aged(now, user),
                Alarm::NoReport(shelf) => delivery::on_report_limit(self, now, shelf),
                Alarm::NoConnection(place) => legs::on_silence(self, now, place, "there is no MSRP connection"),
                Alarm::RefreshAt(place) => legs::refresh(self, now, place),
            }
        }
    }

    fn on_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Request { transaction, dialog, message } => match dialog {
                Some(dialog) => self.on_request_within(now, transaction, dialog, &message),
                None => self.on_request(now, transaction, &message),
            },
            Event::Ack { dialog, message } => self.on_ack(now, dialog, &message),
            Event::AckMissing { dialog } => self.on_ack_missing(now, dialog),
            Event::Cancelled { transaction, .. } => self.on_cancelled(now, transaction),
            Event::Response { transaction, dialog, message } => self.on_response(now, transaction, dialog, &message),
            Event::Failed { transaction, dialog, why } => self.on_failed(now, transaction, dialog, why),
            Event::RefreshDue { dialog } => {
                if let Some((group, side)) = self.dialogs.get(&dialog).copied() {
                    session_modification::refresh(self, now, group, side);
                } else if let Some(place) = self.one.dialogs.get(&dialog).copied() {
                    legs::refresh(self, now, place);
                }
            }
            Event::SessionExpired { dialog } => {
                if let Some((group, side)) = self.dialogs.get(&dialog).copied() {
                    deferred_handling::on_silence(self, now, group, side, Silence::SessionTimer);
                } else if let Some(place) = self.one.dialogs.get(&dialog).copied() {
                    legs::on_silence(self, now, place, "the session timer ran out");
                }
            }
            Event::Subscription { id, change } => self.on_subscription(now, id, change),
            Event::Msrp { session, event } => self.on_msrp(now, session, event),
        }
    }

    /// Answers a request with a response of this status and nothing more.
    pub(in crate::pf) fn reply(&mut self, now: Instant, transaction: TransactionId, status: u16) {
        let response = self.endpoint.response(transaction, status);
        self.endpoint.respond(now, transaction, response);
    }

    /// Gives a request the final status that the other side gave.
    pub(in crate::pf) fn pass_on(&mut self, now: Instant, asked: TransactionId, status: u16) {
        self.asked.remove(&asked);
        self.reply(now, asked, status);
    }

    /// What an offer says of content when no session of the sender is known (AMB-17).
    pub(in crate::pf) fn default_sdp(&self) -> String {
        media::default_template(&self.policy.default_accept_types, &self.policy.default_wrapped_types)
    }
}

impl std::ops::Index<GroupId> for Core {
    type Output = Group;

    fn index(&self, id: GroupId) -> &Group {
        &self.groups[id.0 as usize]
    }
}

impl std::ops::IndexMut<GroupId> for Core {
    fn index_mut(&mut self, id: GroupId) -> &mut Group {
        &mut self.groups[id.0 as usize]
    }
}
