//! What comes to an actor, and what of it concerns its MSRP sessions.

use super::super::media;
use super::{Pending, Scripted, automatic};
use crate::endpoint::{DialogId, Event, TransactionId};
use crate::engine::Closure;
use crate::msrp;
use crate::time::Instant;
use crate::wire::sip::{Message, Method};

/// What happens by itself.
impl Scripted {
    pub(super) fn collect(&mut self, now: Instant) {
        // What comes while an event is dealt with has its turn after it.
        if std::mem::replace(&mut self.collecting, true) {
            return;
        }
        while let Some(event) = self.endpoint.poll_event() {
            self.observe(now, &event);
            if self.unattended {
                automatic::act(self, now, &event);
            }
            self.events.push_back(event);
        }
        self.collecting = false;
    }

    fn observe(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Request { transaction, dialog, message } => {
                self.remember(*dialog, message);
                self.pending.push(Pending { transaction: *transaction, message: message.clone() });
            }
            Event::Response { transaction, dialog, message } => {
                self.remember(*dialog, message);
                self.on_response(now, *transaction, *dialog, message);
            }
            Event::Ack { dialog, message } => {
                if let (Some(media), Some(answer)) = (self.media.get_mut(dialog), media::description(message)) {
                    media.note_answer(&answer);
                }
                self.bind(now, *dialog, true);
            }
            Event::Failed { transaction, dialog, .. } => {
                self.drop_offer(now, *transaction);
                let gone = dialog.filter(|dialog| self.endpoint.dialog(*dialog).is_none());
                gone.into_iter().for_each(|dialog| self.close(now, dialog));
            }
            Event::Msrp { session, event: msrp::Event::Received(incoming) } => {
                self.unanswered.push((*session, incoming.clone()));
            }
            Event::Msrp { session, event: msrp::Event::Bound } => drop(self.bound.insert(*session)),
            Event::Msrp { session, event: msrp::Event::Lost } => {
                self.bound.remove(session);
                // The next offer and answer bind it again.
                if let Some(media) = self.sessions.get(session).and_then(|dialog| self.media.get_mut(dialog)) {
                    media.started = false;
                }
                self.unanswered.retain(|(of, _)| of != session);
            }
            Event::Msrp { .. }
            | Event::Cancelled { .. }
            | Event::AckMissing { .. }
            | Event::RefreshDue { .. }
            | Event::SessionExpired { .. }
            | Event::Subscription { .. } => {}
        }
    }

    fn remember(&mut self, dialog: Option<DialogId>, message: &Message) {
        if let (Some(dialog), Some(call_id)) = (dialog, message.call_id())
            && self.dialogs.get(call_id) != Some(&dialog)
        {
            self.dialogs.insert(call_id.to_owned(), dialog);
        }
    }

    fn on_response(&mut self, now: Instant, transaction: TransactionId, dialog: Option<DialogId>, message: &Message) {
        let status = message.status().unwrap_or(0);
        match (message.method(), dialog) {
            (Some(Method::Invite), Some(dialog)) if (200..300).contains(&status) => {
                self.unacknowledged.insert(dialog, transaction);
                self.on_invite_accepted(now, transaction, dialog, message);
            }
            (Some(Method::Invite), _) if status >= 300 => self.drop_offer(now, transaction),
            (Some(Method::Bye), Some(dialog)) if status >= 200 => self.close(now, dialog),
            _ => {}
        }
    }

    fn on_invite_accepted(&mut self, now: Instant, transaction: TransactionId, dialog: DialogId, message: &Message) {
        if let Some(media) = self.offers.remove(&transaction) {
            self.sessions.insert(media.session, dialog);
            self.media.insert(dialog, media);
        }
        if let (Some(media), Some(description)) = (self.media.get_mut(&dialog), media::description(message)) {
            if media.has_offered() {
                media.note_answer(&description);
            } else {
                media.note_offer(description);
            }
        }
        self.bind(now, dialog, false);
    }

    /// Binds the session of a dialog: the passive side waits as soon as both have spoken, the
    /// active side connects with the ACK, or at once when its profile says so.
    pub(super) fn bind(&mut self, now: Instant, dialog: DialogId, acknowledged: bool) {
        let acknowledged = acknowledged || self.profile.connects_early;
        let Some(media) = self.media.get_mut(&dialog) else { return };
        let Some(binding) = media.binding().filter(|binding| acknowledged || !binding.active) else { return };
        // A peer that names another path, after its restart for example, is bound to anew.
        if media.towards.as_ref() == Some(&binding.remote_path) {
            return;
        }
        media.started = true;
        media.towards = Some(binding.remote_path.clone());
        self.endpoint.msrp_start(now, media.session, &binding.remote_path, binding.active);
    }

    fn drop_offer(&mut self, now: Instant, invite: TransactionId) {
        if let Some(media) = self.offers.remove(&invite) {
            self.endpoint.msrp_close(now, media.session, Closure::Finished);
        }
    }

    pub(super) fn close(&mut self, now: Instant, dialog: DialogId) {
        self.unacknowledged.remove(&dialog);
        if let Some(media) = self.media.remove(&dialog) {
            self.sessions.remove(&media.session);
            self.bound.remove(&media.session);
            self.endpoint.msrp_close(now, media.session, Closure::Finished);
        }
    }
}
