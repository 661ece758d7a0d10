//! Requests that reach the PF: each goes to the procedure that it belongs to.

use super::Core;
use crate::endpoint::{DialogId, TransactionId};
use crate::pf::leg;
use crate::pf::one_to_one::legs;
use crate::pf::procedures::{
    deferred_handling, group_rejoin, one_to_one_invitation, one_to_one_modification, participants_information, registration,
    session_invitation, session_modification, standalone_message,
};
use crate::pf::state::Phase;
use crate::time::Instant;
use crate::wire::sip::{Builder, Message, Method};

impl Core {
    pub(super) fn on_request(&mut self, now: Instant, transaction: TransactionId, message: &Message) {
        if let Some(refusal) = self.refusal(transaction, message) {
            self.endpoint.respond(now, transaction, refusal);
            return;
        }
        match message.method() {
            Some(Method::Register) => registration::handle(self, now, transaction, message),
            Some(Method::Invite) => self.on_invite(now, transaction, message),
            Some(Method::Subscribe) => participants_information::handle(self, now, transaction, message),
            Some(Method::Message) => standalone_message::start(self, now, transaction, message),
            Some(Method::Options) => self.reply(now, transaction, 200),
            _ => self.reply(now, transaction, 481),
        }
    }

    /// What a request is refused with whatever it asks for, inspected in the order of RFC 3261 8.2: its
    /// method is not taken, it is for a resource of an unknown kind, demands what the PF does not know,
    /// or may not be passed on any more.
    fn refusal(&self, transaction: TransactionId, message: &Message) -> Option<Builder> {
        const UNDERSTOOD: [&str; 2] = ["timer", "recipient-list-invite"];
        let passed_on = matches!(message.method(), Some(Method::Invite | Method::Message)) && !message.has_to_tag();
        let tired = passed_on.then(|| self.endpoint.too_many_hops(transaction)).flatten();
        let endpoint = &self.endpoint;
        let refused = endpoint.method_not_allowed(transaction).or_else(|| endpoint.unsupported_scheme(transaction));
        refused.or_else(|| endpoint.bad_extension(transaction, &UNDERSTOOD)).or(tired)
    }

    pub(super) fn on_invite(&mut self, now: Instant, transaction: TransactionId, message: &Message) {
        if leg::interval_too_small(message) {
            let refusal = self.endpoint.response(transaction, 422).push("Min-SE", leg::MIN_SE);
            self.endpoint.respond(now, transaction, refusal);
        } else if message.request_uri().is_some_and(|target| self.users.find(target).is_some()) {
            session_invitation::start(self, now, transaction, message);
        } else {
            group_rejoin::start(self, now, transaction, message);
        }
    }

    pub(super) fn on_request_within(&mut self, now: Instant, transaction: TransactionId, dialog: DialogId, message: &Message) {
        if let Some(refusal) = self.refusal(transaction, message) {
            self.endpoint.respond(now, transaction, refusal);
            return;
        }
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
            (Some(Method::Bye), None) => deferred_handling::on_late_bye(self, now, transaction, dialog, message),
            (Some(Method::Options), _) => self.reply(now, transaction, 200),
            (Some(Method::Message), Some(_)) => self.forward_message(now, transaction, message),
            (Some(Method::Notify), _) | (_, None) => self.reply(now, transaction, 481),
            // Methods that the PF takes, and Allow names, but not inside this dialog.
            _ => self.reply(now, transaction, 403),
        }
    }

    pub(super) fn on_cancelled(&mut self, now: Instant, transaction: TransactionId) {
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
}
