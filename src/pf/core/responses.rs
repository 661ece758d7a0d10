//! Responses, and what else becomes of the PF's own requests: each goes to the procedure that has
//! sent the request.

use super::{Call, Core, Watch};
use crate::endpoint::{Change, DialogId, Failure, SubscriptionId, TransactionId};
use crate::pf::one_to_one::{Place, delivery, legs};
use crate::pf::procedures::deferred_handling::{self, Silence};
use crate::pf::procedures::{
    active_group, disposition_notifications, group_rejoin, notification_sending, notification_session, one_to_one_invitation,
    one_to_one_modification, participants_information, participants_notification, registration_event, restart, session_invitation,
    session_modification, standalone_message,
};
use crate::pf::state::{Delivery, Phase, Restart, Side};
use crate::time::Instant;
use crate::wire::sip::{Message, Method};

impl Core {
    pub(super) fn on_response(&mut self, now: Instant, transaction: TransactionId, dialog: Option<DialogId>, message: &Message) {
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

    pub(super) fn on_provisional(&mut self, now: Instant, transaction: TransactionId, status: u16) {
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
    pub(super) fn on_stray(&mut self, now: Instant, transaction: TransactionId, dialog: Option<DialogId>, message: &Message) {
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

    pub(super) fn on_failed(&mut self, now: Instant, transaction: TransactionId, dialog: Option<DialogId>, why: Failure) {
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

    pub(super) fn on_subscription(&mut self, now: Instant, id: SubscriptionId, change: Change) {
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
}
