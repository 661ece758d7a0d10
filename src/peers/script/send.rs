//! What an actor sends: drafts, and what becomes of them.

use bytes::Bytes;

use super::super::focus::{self, Notifier};
use super::super::media::{self, Media};
use super::super::{profile, templates};
use super::{Aim, Draft, Refusal, Scripted, Subject};
use crate::endpoint::{Destination, DialogId, MsrpId, State, TransactionId};
use crate::msrp;
use crate::pattern::ast::Role;
use crate::time::Instant;
use crate::wire::sdp;
use crate::wire::sip::header::MediaType;
use crate::wire::sip::{Builder, Message, Method, Name};

/// What it sends.
impl Scripted {
    /// A request as the role writes it.
    ///
    /// # Errors
    ///
    /// When the dialog is gone.
    pub fn draft_request(&mut self, method: &Method, aim: Aim) -> Result<Draft, Refusal> {
        match aim {
            Aim::Outside(target) => Ok(self.draft_outside(method, target)),
            Aim::Inside(dialog) => self.draft_inside(method, dialog),
        }
    }

    fn draft_outside(&mut self, method: &Method, target: String) -> Draft {
        let mut request = templates::outside(&self.profile, &mut self.ids, method, &target);
        let media = (*method == Method::Invite).then(|| self.new_media());
        if let Some(media) = &media {
            request =
                request.body(sdp::MEDIA_TYPE, media.offer(&self.place, templates::offers_group_state(&self.profile, &target)));
        }
        let message = self.endpoint.prepare(request);
        Draft { of: subject(&message, None, method, target), message, roster: None, media }
    }

    fn draft_inside(&mut self, method: &Method, dialog: DialogId) -> Result<Draft, Refusal> {
        let entity = self.endpoint.dialog(dialog).map(|dialog| templates::bare(&dialog.local_uri)).ok_or(Refusal::NoDialog)?;
        let media = (*method == Method::Invite).then(|| self.media.get(&dialog).cloned()).flatten();
        let mut request = templates::inside(method);
        let mut roster = None;
        if *method == Method::Notify {
            let notifier = self.notifiers.entry(dialog).or_insert_with(Notifier::unknown);
            notifier.version += 1;
            let notifier = &self.notifiers[&dialog];
            if let Some(group) = self.profile.group(&entity).filter(|_| self.profile.role == Role::Cf) {
                request = request.push("Contact", self.profile.focus_contact(&group.focus));
            }
            roster = notifier.is_of_a_conference().then(|| self.roster_of(&entity, notifier));
            request = focus::notify(request, notifier, roster.as_ref());
        }
        if matches!(method, Method::Invite | Method::Update) && self.profile.role == Role::Cf {
            // A focus that hosts several groups speaks as the one of this dialog (RFC 3261 12.2.1.1).
            request = request.push("Contact", self.profile.focus_contact(&entity));
        }
        if let Some(media) = &media {
            request = request.body(sdp::MEDIA_TYPE, media.offer(&self.place, templates::takes_group_state(&self.profile, None)));
        }
        let message = self.endpoint.prepare_in(dialog, request).ok_or(Refusal::NoDialog)?;
        Ok(Draft { of: subject(&message, Some(dialog), method, String::new()), message, roster, media })
    }

    fn new_media(&mut self) -> Media {
        let (session, path) = self.endpoint.msrp_open();
        Media::new(session, path, 3_535_784_400 + self.ids.below(1_000_000))
    }

    /// Sends a drafted request. One whose Call-ID was altered is in no dialog of ours any more.
    ///
    /// # Errors
    ///
    /// When the draft is none of a request.
    pub fn send(&mut self, now: Instant, draft: Draft) -> Result<TransactionId, Refusal> {
        let Subject::Request { dialog, method, target, via } = draft.of else { return Err(Refusal::WrongDraft) };
        let mut message = templates::address(draft.message, &target);
        let own = |id: DialogId| self.endpoint.dialog(id).is_some_and(|own| message.value("Call-ID") == Some(own.call_id.as_str()));
        let dialog = dialog.filter(|id| own(*id));
        let mut media = draft.media;
        if let Some(media) = &mut media {
            message = note_description(media, message, true);
        }
        if message.value("Via") == Some(&via) {
            message = self.endpoint.with_transport(message);
        }
        let transaction = self.endpoint.send_as_is(now, dialog, message);
        match (media, dialog) {
            (Some(media), Some(dialog)) => drop(self.media.insert(dialog, media)),
            (Some(media), None) => drop(self.offers.insert(transaction, media)),
            (None, _) => {}
        }
        if let (Method::Notify, Some(dialog)) = (&method, dialog) {
            self.forget_ended_subscription(dialog);
        }
        self.collect(now);
        Ok(transaction)
    }

    fn forget_ended_subscription(&mut self, dialog: DialogId) {
        if self.notifiers.get(&dialog).is_some_and(|notifier| notifier.expires == 0) {
            self.notifiers.remove(&dialog);
        }
    }

    /// A response as the role writes it: to INVITE with the answer, or the offer when there was none.
    ///
    /// # Errors
    ///
    /// When there is no such request any more.
    pub fn draft_response(&mut self, transaction: TransactionId, status: u16) -> Result<Draft, Refusal> {
        let request = self.endpoint.request(transaction).cloned().ok_or(Refusal::NoRequest)?;
        let response = self.endpoint.response(transaction, status);
        let mut message = templates::response(&self.profile, &request, status, response);
        let accepts = request.method() == Some(Method::Invite) && (200..300).contains(&status);
        let media = accepts.then(|| self.media_for(transaction, &request));
        if let Some(media) = &media {
            let group_state = templates::takes_group_state(&self.profile, Some(&request));
            message = message.body(sdp::MEDIA_TYPE, media.answer(&self.place, group_state));
        }
        Ok(Draft { message, of: Subject::Response { transaction, status }, roster: None, media })
    }

    /// Gives a request the refusal that the base protocols ask for; whether they do.
    pub(in crate::peers) fn refuse(&mut self, now: Instant, transaction: TransactionId) -> bool {
        let Some(refusal) = self.endpoint.refusal(transaction) else { return false };
        self.endpoint.respond(now, transaction, refusal);
        self.pending.retain(|pending| pending.transaction != transaction);
        self.collect(now);
        true
    }

    fn media_for(&mut self, transaction: TransactionId, request: &Message) -> Media {
        let former = self.endpoint.dialog_of(transaction).and_then(|dialog| self.media.get(&dialog).cloned());
        let mut media = former.unwrap_or_else(|| self.new_media());
        if let Some(offer) = media::description(request) {
            media.note_offer(offer);
        }
        media
    }

    /// Sends a drafted response and returns the dialog that it belongs to.
    ///
    /// # Errors
    ///
    /// When the draft is none of a response.
    pub fn respond(&mut self, now: Instant, draft: Draft) -> Result<Option<DialogId>, Refusal> {
        let Subject::Response { transaction, status } = draft.of else { return Err(Refusal::WrongDraft) };
        let request = self.endpoint.request(transaction).cloned().ok_or(Refusal::NoRequest)?;
        let (mut message, mut media) = (draft.message, draft.media);
        if let Some(media) = &mut media {
            let offered = !media.owes_answer();
            message = note_description(media, message, offered);
        }
        let expires = message.value("Expires").and_then(|value| value.trim().parse().ok());
        let before = self.endpoint.dialog_of(transaction);
        let dialog = self.endpoint.respond(now, transaction, message).or(before);
        if status >= 200 {
            self.pending.retain(|pending| pending.transaction != transaction);
        }
        if let Some(dialog) = dialog.filter(|_| (200..300).contains(&status)) {
            self.on_accepted(now, &request, dialog, media, expires);
        }
        self.collect(now);
        Ok(dialog)
    }

    /// We accepted a request.
    fn on_accepted(&mut self, now: Instant, request: &Message, dialog: DialogId, media: Option<Media>, expires: Option<u32>) {
        if let Some(call_id) = request.call_id() {
            self.dialogs.insert(call_id.to_owned(), dialog);
        }
        match request.method() {
            Some(Method::Invite) => {
                if let Some(media) = media {
                    self.sessions.insert(media.session, dialog);
                    self.media.insert(dialog, media);
                }
                self.bind(now, dialog, false);
            }
            Some(Method::Bye) => self.close(now, dialog),
            Some(Method::Subscribe) => {
                let event = request.value(Name::Event).unwrap_or("conference").to_owned();
                let version = self.notifiers.get(&dialog).map_or(0, |former| former.version);
                let expires = expires.unwrap_or(profile::SUBSCRIPTION_EXPIRES);
                self.notifiers.insert(dialog, Notifier { event, expires, version, over: false });
            }
            _ => {}
        }
    }

    /// The ACK that a 2xx in this dialog waits for; with the answer when the 2xx made the offer.
    ///
    /// # Errors
    ///
    /// When no 2xx waits.
    pub fn draft_ack(&self, dialog: DialogId) -> Result<Draft, Refusal> {
        let invite = self.unacknowledged(dialog).ok_or(Refusal::NothingToAcknowledge)?;
        let mut message = Builder::request("ACK", "");
        let media = self.media.get(&dialog).filter(|media| media.owes_answer()).cloned();
        if let Some(media) = &media {
            message = message.body(sdp::MEDIA_TYPE, media.answer(&self.place, templates::takes_group_state(&self.profile, None)));
        }
        Ok(Draft { message, of: Subject::Ack { invite, dialog }, roster: None, media })
    }

    /// Sends a drafted ACK; the active side of the session connects.
    ///
    /// # Errors
    ///
    /// When the draft is none of an ACK.
    pub fn acknowledge(&mut self, now: Instant, draft: Draft) -> Result<(), Refusal> {
        let Subject::Ack { invite, dialog } = draft.of else { return Err(Refusal::WrongDraft) };
        let mut message = draft.message;
        if let Some(mut media) = draft.media {
            message = note_description(&mut media, message, false);
            self.media.insert(dialog, media);
        }
        self.endpoint.acknowledge_with(now, invite, dialog, message);
        self.unacknowledged.remove(&dialog);
        self.bind(now, dialog, true);
        self.collect(now);
        Ok(())
    }

    /// Cancels an INVITE of ours, with further fields.
    pub fn cancel(&mut self, now: Instant, invite: TransactionId, fields: Vec<(String, String)>) {
        self.endpoint.cancel_with(now, invite, fields);
        self.collect(now);
    }

    /// Sends an MSRP message in the session of a dialog and returns its Message-ID; it waits until
    /// the session has its connection.
    ///
    /// # Errors
    ///
    /// When the dialog has no session.
    pub fn send_message(&mut self, now: Instant, dialog: DialogId, message: msrp::Outgoing) -> Result<String, Refusal> {
        let session = self.session_of(dialog).ok_or(Refusal::NoSession)?;
        let message_id = self.endpoint.msrp_send(now, session, message);
        self.collect(now);
        Ok(message_id)
    }

    /// Answers the last chunk of a received message.
    ///
    /// # Errors
    ///
    /// When no such message waits.
    pub fn answer_message(&mut self, now: Instant, message_id: &str, code: u16) -> Result<(), Refusal> {
        let at = self.unanswered.iter().position(|(_, incoming)| incoming.message_id == message_id).ok_or(Refusal::NoRequest)?;
        let (session, incoming) = self.unanswered.remove(at);
        self.endpoint.msrp_answer(now, session, incoming.token, code);
        self.collect(now);
        Ok(())
    }

    /// Sends a REPORT in the session of a dialog.
    ///
    /// # Errors
    ///
    /// When the dialog has no session.
    pub fn report(&mut self, now: Instant, dialog: DialogId, report: msrp::Report) -> Result<(), Refusal> {
        let session = self.session_of(dialog).ok_or(Refusal::NoSession)?;
        self.endpoint.msrp_report(now, session, report);
        self.collect(now);
        Ok(())
    }

    /// Sends bytes as they are, in an MSRP session; returns whether it has a connection.
    pub fn send_raw_msrp(&mut self, now: Instant, session: MsrpId, bytes: Bytes) -> bool {
        let bound = self.bound.contains(&session);
        if bound {
            self.endpoint.msrp_raw(now, session, bytes);
            self.collect(now);
        }
        bound
    }

    /// Sends bytes as they are, as SIP.
    pub fn send_raw(&mut self, now: Instant, destination: Destination, bytes: Bytes) {
        self.endpoint.send_raw(now, destination, bytes);
        self.collect(now);
    }

    /// Resets its connections without a word.
    pub fn disconnect(&mut self, now: Instant) {
        self.endpoint.disconnect(now);
        self.collect(now);
    }

    /// Ends whatever is open: requests that wait are answered 480, INVITEs are cancelled, sessions
    /// get their BYE and subscriptions their last NOTIFY.
    pub fn hang_up(&mut self, now: Instant) {
        for transaction in self.pending.iter().map(|pending| pending.transaction).collect::<Vec<_>>() {
            let sent = self.draft_response(transaction, 480).and_then(|draft| self.respond(now, draft));
            debug_assert!(!matches!(sent, Err(Refusal::WrongDraft)), "a response was drafted");
        }
        for invite in self.offers.keys().copied().collect::<Vec<_>>() {
            self.cancel(now, invite, Vec::new());
        }
        let subscriptions: Vec<_> = self.notifiers.keys().copied().collect();
        subscriptions.into_iter().for_each(|dialog| self.end_subscription(now, dialog));
        for dialog in self.media.keys().copied().collect::<Vec<_>>() {
            let confirmed = self.endpoint.dialog(dialog).is_some_and(|dialog| dialog.state == State::Confirmed);
            if confirmed {
                self.request_inside(now, &Method::Bye, dialog);
            }
        }
    }

    /// Sends the last NOTIFY of a subscription.
    pub(in crate::peers) fn end_subscription(&mut self, now: Instant, dialog: DialogId) {
        self.notifiers.entry(dialog).and_modify(|notifier| notifier.expires = 0);
        self.request_inside(now, &Method::Notify, dialog);
    }

    /// Sends the last NOTIFY of a subscription to a conference that is over (RFC 6665 4.1.3).
    pub(in crate::peers) fn close_subscription(&mut self, now: Instant, dialog: DialogId) {
        self.notifiers.entry(dialog).and_modify(|notifier| notifier.over = true);
        self.end_subscription(now, dialog);
    }

    /// Sends the NOTIFY that a SUBSCRIBE is owed at once (RFC 6665 4.2.1.2), after a 2xx that the
    /// script sent.
    pub fn notify(&mut self, now: Instant, dialog: DialogId) {
        self.request_inside(now, &Method::Notify, dialog);
    }

    /// Sends a request as it was drafted; a dialog that is gone needs none.
    pub(in crate::peers) fn request_inside(&mut self, now: Instant, method: &Method, dialog: DialogId) {
        let sent = self.draft_inside(method, dialog).and_then(|draft| self.send(now, draft));
        debug_assert!(!matches!(sent, Err(Refusal::WrongDraft)), "a request was drafted");
    }
}

/// What a drafted request is.
fn subject(drafted: &Builder, dialog: Option<DialogId>, method: &Method, target: String) -> Subject {
    let via = drafted.value("Via").unwrap_or_default().to_owned();
    Subject::Request { dialog, method: method.clone(), target, via }
}

/// Takes note of the description that a message carries; a changed one gets its next version.
fn note_description(media: &mut Media, message: Builder, offered: bool) -> Builder {
    let Some(content_type) = message.value("Content-Type") else { return message };
    let Some(description) = media::description_in(content_type, &message.content()) else { return message };
    let alone = MediaType::parse(content_type).is_ok_and(|kind| kind.is(sdp::MEDIA_TYPE));
    match media.note_sent(&description, offered) {
        Some(next) if alone => message.body(sdp::MEDIA_TYPE, next),
        _ => message,
    }
}
