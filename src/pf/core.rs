//! The core of the PF: it holds the state, hands each event to the procedure that it belongs to,
//! and carries the effects out in order.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::headers::Invitation;
use super::journal::Journal;
use super::notifications::Notifications;
use super::one_to_one::{End, OneToOne, Place, SenderId, SessionId, Shelf, delivery, legs, session};
use super::procedures::deferred_handling::Silence;
use super::procedures::{
    active_group, deferred_handling, disposition_notifications, group_delivery, group_rejoin, notification_sending,
    notification_session, one_to_one_delivery, one_to_one_invitation, one_to_one_modification, participants_information,
    participants_notification, registration, registration_event, restart, session_invitation, session_modification,
    standalone_message,
};
use super::schedule::{Alarm, Schedule};
use super::state::{Delivery, Group, GroupId, Phase, Restart, Side, UserId, Users, address_key};
use super::{PfConfig, Policy};
use crate::clause::Clause;
use crate::endpoint::{self, Change, DialogId, Endpoint, Event, Failure, MsrpId, SubscriptionId, TransactionId};
use crate::engine::{Note, Output, Transport};
use crate::ids::Ids;
use crate::time::Instant;
use crate::wire::sip::{Builder, Message, Method, Name};

/// What a request that the PF sent is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
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
pub(super) enum Watch {
    /// The PF itself keeps the roster.
    Own(GroupId),
    /// The Client asked for it.
    Relayed(GroupId),
    /// The PF wants to know when the user comes.
    Registration(UserId),
}

/// The PF behind its face.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) endpoint: Endpoint,
    pub(super) config: PfConfig,
    pub(super) policy: Policy,
    pub(super) ids: Ids,
    pub(super) users: Users,
    pub(super) groups: Vec<Group>,
    pub(super) one: OneToOne,
    /// Disposition notifications that wait for their users.
    pub(super) notifications: Notifications,
    pub(super) journal: Journal,
    pub(super) schedule: Schedule,
    /// Dialogs that are legs.
    pub(super) dialogs: BTreeMap<DialogId, (GroupId, Side)>,
    /// MSRP sessions of legs.
    pub(super) media: BTreeMap<MsrpId, (GroupId, Side)>,
    /// MSRP sessions that have their connection.
    pub(super) bound: BTreeSet<MsrpId>,
    /// Requests of the PF that have no final response.
    pub(super) calls: BTreeMap<TransactionId, Call>,
    /// INVITEs that the PF owes a final response.
    pub(super) asked: BTreeMap<TransactionId, GroupId>,
    /// BYEs that wait for the ACK (RFC 3261 15), with the media of their leg and their Reason.
    pub(super) byes: BTreeMap<DialogId, (MsrpId, Option<String>)>,
    pub(super) watches: BTreeMap<SubscriptionId, Watch>,
    pub(super) watched: registration_event::Watched,
    pub(super) relays: participants_information::Relays,
    pub(super) flights: super::b2bua::Flights,
    identities: BTreeMap<(UserId, String), GroupId>,
    outputs: VecDeque<Output>,
}

impl Core {
    /// The core of a PF that knows no session.
    pub(super) fn new(config: endpoint::Config, pf: PfConfig, policy: Policy) -> Self {
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
            flights: super::b2bua::Flights::default(),
            identities: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The URI at which the PF itself is reached.
    pub(super) fn address(&self) -> String {
        let config = self.endpoint.config();
        let transport = match config.transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Tls => ";transport=tls",
        };
        format!("sip:{}{transport}", config.authority())
    }

    /// Puts a remark in front of what happens next: the requirement that decides, and how.
    pub(super) fn because(&mut self, clause: Clause, text: impl Into<Cow<'static, str>>) -> &mut Self {
        self.push(Output::Note(Note { layer: "pf", text: text.into(), because: Some(clause) }));
        self
    }

    /// Puts a remark of no requirement in front of what happens next.
    pub(super) fn note(&mut self, text: impl Into<Cow<'static, str>>) {
        self.push(Output::Note(Note { layer: "pf", text: text.into(), because: None }));
    }

    /// Adds an effect behind those of the endpoint so far.
    pub(super) fn push(&mut self, output: Output) {
        self.flush();
        self.outputs.push_back(output);
    }

    /// Takes over the effects of the endpoint.
    pub(super) fn flush(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            self.outputs.push_back(output);
        }
    }

    /// The next effect.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Handles all events of the endpoint and writes down what has changed.
    pub(super) fn run(&mut self, now: Instant) {
        while let Some(event) = self.endpoint.poll_event() {
            self.on_event(now, event);
        }
        self.save_changes();
        self.flush();
    }

    /// Handles the PF's own deadlines.
    pub(super) fn wake(&mut self, now: Instant) {
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
                Alarm::Linger(session) => self.close_media(now, session),
                Alarm::RetrySender(sender) => one_to_one_delivery::retry(self, now, sender),
                Alarm::RingingFor(user) => notification_session::on_ringing_limit(self, now, user),
                Alarm::RingingAt(shelf) => delivery::on_ringing_limit(self, now, shelf),
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

    fn on_request(&mut self, now: Instant, transaction: TransactionId, message: &Message) {
        match message.method() {
            Some(Method::Register) => registration::handle(self, now, transaction, message),
            Some(Method::Invite) => self.on_invite(now, transaction, message),
            Some(Method::Subscribe) => participants_information::handle(self, now, transaction, message),
            Some(Method::Message) => standalone_message::start(self, now, transaction, message),
            Some(Method::Options) => self.reply(now, transaction, 200),
            Some(Method::Notify | Method::Bye | Method::Update | Method::Prack) => self.reply(now, transaction, 481),
            _ => self.reply(now, transaction, 405),
        }
    }

    fn on_invite(&mut self, now: Instant, transaction: TransactionId, message: &Message) {
        const UNDERSTOOD: [&str; 2] = ["timer", "recipient-list-invite"];
        let unknown: Vec<&str> = message.elements(Name::Require).filter(|option| !UNDERSTOOD.contains(option)).collect();
        if !unknown.is_empty() {
            let refusal = self.endpoint.response(transaction, 420).push("Unsupported", unknown.join(", "));
            self.endpoint.respond(now, transaction, refusal);
        } else if super::leg::interval_too_small(message) {
            let refusal = self.endpoint.response(transaction, 422).push("Min-SE", super::leg::MIN_SE);
            self.endpoint.respond(now, transaction, refusal);
        } else if message.request_uri().is_some_and(|target| self.users.find(target).is_some()) {
            session_invitation::start(self, now, transaction, message);
        } else {
            group_rejoin::start(self, now, transaction, message);
        }
    }

    fn on_request_within(&mut self, now: Instant, transaction: TransactionId, dialog: DialogId, message: &Message) {
        if let Some(place) = self.one.dialogs.get(&dialog).copied() {
            return legs::on_request(self, now, transaction, place, message);
        }
        let leg = self.dialogs.get(&dialog).copied();
        match (message.method(), leg) {
            (Some(Method::Bye), Some((group, side))) => deferred_handling::on_bye(self, now, transaction, group, side, message),
            (Some(Method::Invite | Method::Update), Some((group, side))) => {
                session_modification::start(self, now, transaction, group, side, message);
            }
            (Some(Method::Subscribe), _) => participants_information::on_refresh(self, now, transaction, dialog, message),
            // A BYE that crosses ours, or one in a dialog that was given up (RFC 3261 15.1.2).
            (Some(Method::Bye | Method::Options), _) => self.reply(now, transaction, 200),
            (Some(Method::Message), Some(_)) => self.forward_message(now, transaction, message),
            (Some(Method::Info), Some(_)) => self.reply(now, transaction, 200),
            (_, None) => self.reply(now, transaction, 481),
            _ => self.reply(now, transaction, 405),
        }
    }

    fn on_cancelled(&mut self, now: Instant, transaction: TransactionId) {
        if let Some(id) = self.one.asked.remove(&transaction) {
            if one_to_one_modification::on_cancelled(self, now, id, transaction) {
                return;
            }
            return one_to_one_invitation::on_cancelled(self, now, id, transaction);
        }
        let Some(group) = self.asked.remove(&transaction) else { return };
        self.reply(now, transaction, 487);
        match self[group].phase {
            Phase::Inviting { asked, call } | Phase::Joining { asked, call } if asked == transaction => {
                self.calls.remove(&call);
                self.endpoint.cancel(now, call);
                self.give_up_offer(now, group);
                self[group].phase = self[group].resting();
            }
            _ => session_modification::on_cancelled(self, now, group, transaction),
        }
    }

    fn on_response(&mut self, now: Instant, transaction: TransactionId, dialog: Option<DialogId>, message: &Message) {
        let status = message.status().unwrap_or(0);
        if status < 200 {
            return self.on_provisional(now, transaction, status);
        }
        let Some(call) = self.calls.remove(&transaction).filter(|call| self.concerns(*call, dialog)) else {
            return self.on_stray(now, transaction, dialog, message);
        };
        if status == 422
            && let Some(again) = self.endpoint.retry_with_min_se(now, transaction, message)
        {
            return self.follow(call, transaction, again);
        }
        match call {
            Call::Invitation(group) => session_invitation::handle(self, now, group, transaction, dialog, message),
            Call::Delivery(group) => active_group::handle(self, now, group, transaction, dialog, message),
            Call::Join(group) => group_rejoin::handle(self, now, group, transaction, dialog, message),
            Call::Restart(group) => restart::handle(self, now, group, transaction, dialog, message),
            Call::Modification(group, side) => session_modification::handle(self, now, (group, side), transaction, message),
            Call::Refresh(group, side) => session_modification::on_refreshed(self, now, (group, side), transaction, message),
            Call::Repair(group) => session_modification::on_repaired(self, now, group, transaction, message),
            Call::Notify(subscription) => participants_notification::on_relayed(self, now, subscription, status),
            Call::Bye(media) => self.close_media(now, media),
            Call::Message(asked) => standalone_message::on_answered(self, now, asked, status),
            Call::InvitationAt(id) => one_to_one_invitation::handle(self, now, id, (transaction, dialog), message),
            Call::DeliveryAt(shelf) => delivery::handle(self, now, shelf, (transaction, dialog), message),
            Call::Completed(shelf, media) => delivery::on_closed(self, now, shelf, media),
            Call::ModificationAt(id, end) => one_to_one_modification::handle(self, now, (id, end), transaction, message),
            Call::RefreshAt(place) => legs::on_refreshed(self, now, place, transaction, message),
            Call::Notification { asked, user } => disposition_notifications::on_relayed(self, now, asked, user, status),
            Call::NotificationMessage(user, number) => {
                disposition_notifications::on_message_answered(self, now, user, number, status);
            }
            Call::NotificationSession(user) => notification_session::handle(self, now, user, (transaction, dialog), message),
            Call::NotificationBye(user, media) => notification_session::on_closed(self, now, user, media),
            Call::Told(sender, number) => notification_sending::on_answered(self, sender, number, status),
        }
    }

    /// Whether a response still speaks of the leg that its request was sent for: another may have
    /// taken its place.
    fn concerns(&self, call: Call, dialog: Option<DialogId>) -> bool {
        let leg = match call {
            Call::Modification(group, side) | Call::Refresh(group, side) => (group, side),
            Call::Repair(group) => (group, Side::Focus),
            Call::ModificationAt(id, end) => {
                let place = Place::Session(id, end);
                return dialog.and_then(|dialog| self.one.dialogs.get(&dialog)) == Some(&place);
            }
            Call::RefreshAt(place) => return dialog.and_then(|dialog| self.one.dialogs.get(&dialog)) == Some(&place),
            Call::Invitation(_)
            | Call::Delivery(_)
            | Call::Join(_)
            | Call::Restart(_)
            | Call::Notify(_)
            | Call::Bye(_)
            | Call::Message(_)
            | Call::InvitationAt(_)
            | Call::DeliveryAt(_)
            | Call::Completed(..)
            | Call::Notification { .. }
            | Call::NotificationMessage(..)
            | Call::NotificationSession(_)
            | Call::NotificationBye(..)
            | Call::Told(..) => return true,
        };
        dialog.and_then(|dialog| self.dialogs.get(&dialog)) == Some(&leg)
    }

    fn on_provisional(&mut self, now: Instant, transaction: TransactionId, status: u16) {
        match self.calls.get(&transaction) {
            Some(Call::Invitation(group)) => session_invitation::on_provisional(self, now, *group, status),
            Some(Call::Join(group)) => group_rejoin::on_provisional(self, now, *group, status),
            Some(Call::InvitationAt(id)) => one_to_one_invitation::on_provisional(self, now, *id, status),
            _ => {}
        }
    }

    /// A request is repeated under a new transaction: what waits for its answer waits for that.
    fn follow(&mut self, call: Call, before: TransactionId, again: TransactionId) {
        self.calls.insert(again, call);
        match call {
            Call::ModificationAt(id, _) => one_to_one_modification::follow(self, id, again),
            Call::InvitationAt(id) => one_to_one_invitation::follow(self, id, before, again),
            Call::DeliveryAt(shelf) => delivery::follow(self, shelf, before, again),
            Call::NotificationSession(user) => notification_session::follow(self, user, again),
            _ => {}
        }
        let (Call::Invitation(group)
        | Call::Delivery(group)
        | Call::Join(group)
        | Call::Restart(group)
        | Call::Modification(group, _)) = call
        else {
            return;
        };
        let group = &mut self[group];
        if let Phase::Inviting { call, .. }
        | Phase::Joining { call, .. }
        | Phase::Restarting(Restart::Asked { call })
        | Phase::DrainPf(Delivery::Invited { call, .. }) = &mut group.phase
            && *call == before
        {
            *call = again;
        }
        if let Some(modification) = &mut group.modification
            && modification.call == before
        {
            modification.call = again;
        }
    }

    /// A final response that nobody waits for: a further 2xx of a fork, or one that crossed our
    /// CANCEL or BYE. Its dialog is confirmed, and one that it opened is ended at once
    /// (RFC 3261 13.2.2.4).
    fn on_stray(&mut self, now: Instant, transaction: TransactionId, dialog: Option<DialogId>, message: &Message) {
        let accepted = message.status().is_some_and(|status| status < 300) && message.method() == Some(Method::Invite);
        let Some(dialog) = dialog.filter(|_| accepted) else { return };
        let request = self.endpoint.request(transaction);
        if request.is_some_and(|request| request.to().is_ok_and(|to| to.tag().is_some())) {
            return self.endpoint.acknowledge(now, transaction, dialog, None);
        }
        match self.one.invites.get(&transaction).copied() {
            _ if self.dialogs.contains_key(&dialog) || self.one.dialogs.contains_key(&dialog) => {}
            Some(Place::Delivery(shelf)) => delivery::on_further_answer(self, now, shelf, (transaction, dialog), message),
            Some(Place::Session(id, _)) => {
                one_to_one_invitation::on_further_answer(self, now, id, (transaction, dialog), message);
            }
            Some(Place::Notifications(_)) | None => self.release(now, transaction, dialog),
        }
    }

    fn on_failed(&mut self, now: Instant, transaction: TransactionId, dialog: Option<DialogId>, why: Failure) {
        let status = match why {
            Failure::Timeout => 408,
            Failure::Transport => 503,
        };
        let Some(call) = self.calls.remove(&transaction).filter(|call| self.concerns(*call, dialog)) else { return };
        match call {
            Call::Invitation(group) => session_invitation::on_failed(self, now, group),
            Call::Delivery(group) => active_group::on_failed(self, now, group, status, None),
            Call::Join(group) => group_rejoin::refuse(self, now, group, status),
            Call::Restart(group) => restart::on_failed(self, now, group, status),
            Call::Modification(group, side) => session_modification::on_failed(self, now, (group, side), 408),
            Call::Refresh(group, side) => {
                deferred_handling::on_silence(self, now, group, side, Silence::Unanswered);
            }
            Call::Repair(group) => deferred_handling::on_focus_gone(self, now, group, "the focus does not answer"),
            Call::Notify(subscription) => participants_notification::on_relayed(self, now, subscription, 408),
            Call::Bye(media) => self.close_media(now, media),
            Call::Message(asked) => standalone_message::on_answered(self, now, asked, status),
            Call::InvitationAt(id) => one_to_one_invitation::on_failed(self, now, id),
            Call::DeliveryAt(shelf) => delivery::on_failed(self, now, shelf, status, None),
            Call::Completed(shelf, media) => delivery::on_closed(self, now, shelf, media),
            Call::ModificationAt(id, end) => one_to_one_modification::on_failed(self, now, (id, end), 408),
            Call::RefreshAt(place) => legs::on_silence(self, now, place, "the refresh was not answered"),
            Call::Notification { asked, user } => disposition_notifications::on_relayed(self, now, asked, user, status),
            Call::NotificationMessage(user, number) => {
                disposition_notifications::on_message_answered(self, now, user, number, status);
            }
            Call::NotificationSession(user) => notification_session::on_failed(self, now, user),
            Call::NotificationBye(user, media) => notification_session::on_closed(self, now, user, media),
            Call::Told(sender, number) => notification_sending::on_answered(self, sender, number, status),
        }
    }

    fn on_subscription(&mut self, now: Instant, id: SubscriptionId, change: Change) {
        if let Some(Watch::Registration(user)) = self.watches.get(&id).copied() {
            return registration_event::on_change(self, now, id, user, change);
        }
        match change {
            Change::Expired { dialog } => participants_information::on_expired(self, now, dialog),
            Change::Accepted { expires } => participants_information::on_accepted(self, now, id, expires),
            Change::Notified { transaction, message } => participants_notification::handle(self, now, id, transaction, &message),
            Change::Terminated { reason, .. } => participants_notification::on_terminated(self, now, id, reason.as_deref()),
            Change::Failed { status } => participants_information::on_failed(self, now, id, status),
        }
    }

    /// The group of this identity for a user: the focus URI or what the user is shown.
    pub(super) fn find_group(&self, user: UserId, identity: &str) -> Option<GroupId> {
        self.identities.get(&(user, address_key(identity))).copied()
    }

    /// The group of this Contribution-ID for a user.
    pub(super) fn find_contribution(&self, user: UserId, contribution: &str) -> Option<GroupId> {
        self.identities.get(&(user, format!("contribution {contribution}"))).copied()
    }

    /// What an offer says of content when no session of the sender is known (AMB-17).
    pub(super) fn default_sdp(&self) -> String {
        super::media::default_template(&self.policy.default_accept_types, &self.policy.default_wrapped_types)
    }

    /// Adds a group; its identity on the Client leg is a URI of the PF that no other group of the
    /// user has (note on Contact in 2.4 of the reference).
    pub(super) fn add_group(&mut self, user: UserId, focus: &str, invitation: Invitation) -> GroupId {
        let id = GroupId(u32::try_from(self.groups.len()).unwrap_or(u32::MAX));
        let shown = self.shown_identity(user, focus, id);
        self.groups.push(Group::new(user, focus.to_owned(), shown, invitation));
        self.users[user].groups.push(id);
        self.index_group(id);
        id
    }

    /// Takes up a number that belongs to no group.
    pub(super) fn add_hole(&mut self, user: UserId) {
        self.groups.push(Group::new(user, String::new(), String::new(), Invitation::default()));
    }

    fn shown_identity(&self, user: UserId, focus: &str, id: GroupId) -> String {
        let name = crate::wire::sip::Uri::parse(focus).ok().and_then(|uri| uri.user).unwrap_or("group");
        let host = &self.endpoint.config().host;
        let shown = format!("sip:{name}@{host}");
        if self.find_group(user, &shown).is_some() { format!("sip:{name}-{}@{host}", id.0) } else { shown }
    }

    /// Gives a group the focus URI that its focus has told; what the Client is shown follows, since
    /// the Client has seen nothing yet.
    pub(super) fn rename_group(&mut self, id: GroupId, focus: &str) {
        focus.clone_into(&mut self[id].focus);
        if !self[id].named {
            let user = self[id].user;
            self[id].shown = self.shown_identity(user, focus, id);
        }
        self.index_group(id);
    }

    /// Enters the identities of a group.
    pub(super) fn index_group(&mut self, id: GroupId) {
        let group = &self.groups[id.0 as usize];
        let contribution = group.invitation.value(Name::ContributionId).map(|value| format!("contribution {value}"));
        let keys = [Some(address_key(&group.focus)), Some(address_key(&group.shown)), contribution];
        for key in keys.into_iter().flatten() {
            self.identities.insert((self.groups[id.0 as usize].user, key), id);
        }
    }

    /// Answers a request with a response of this status and nothing more.
    pub(super) fn reply(&mut self, now: Instant, transaction: TransactionId, status: u16) {
        let response = self.endpoint.response(transaction, status);
        self.endpoint.respond(now, transaction, response);
    }

    /// Gives a request the final status that the other side gave.
    pub(super) fn pass_on(&mut self, now: Instant, asked: TransactionId, status: u16) {
        self.asked.remove(&asked);
        self.reply(now, asked, status);
    }

    /// Passes a MESSAGE on: to its user through the core, to anyone else where its URI says.
    pub(super) fn forward_message(&mut self, now: Instant, transaction: TransactionId, message: &Message) {
        let call = self.relay_message(now, message);
        self.calls.insert(call, Call::Message(transaction));
    }

    /// Sends a MESSAGE on: to its user through the core, to anyone else where its URI says.
    pub(super) fn relay_message(&mut self, now: Instant, message: &Message) -> TransactionId {
        let target = message.request_uri().unwrap_or_default();
        let mut out = Builder::request("MESSAGE", target);
        if let Some(user) = self.users.find(target) {
            out = out.push("Route", &self.users[user].route);
        }
        const LEFT_OUT: [Name; 9] = [
            Name::Via,
            Name::Route,
            Name::RecordRoute,
            Name::CallId,
            Name::CSeq,
            Name::Contact,
            Name::MaxForwards,
            Name::UserAgent,
            Name::ContentLength,
        ];
        for field in message.fields().filter(|field| !LEFT_OUT.contains(&field.name)) {
            let value = if matches!(field.name, Name::From | Name::To) { untagged(field.value) } else { field.value.to_owned() };
            out = out.push(field.token, value);
        }
        self.endpoint.send(now, out.bare_body(message.body()))
    }
}

/// A From or To value without its tag: the next dialog or transaction has its own.
pub(super) fn untagged(value: &str) -> String {
    crate::wire::sip::header::NameAddr::parse(value).map_or_else(|_| value.to_owned(), |name| format!("<{}>", name.uri.text))
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
