//! An actor that a script moves: a client's device, a focus, the registrar side of an S-CSCF.
//!
//! Sending takes two steps. A *draft* is the complete message that the role would send, bodies
//! included; the owner alters what the script says and hands it back. What came in is told by
//! [`Scripted::poll_event`], and the owner decides for each event whether the script deals with it
//! or [`Scripted::act_automatically`] does.
//!
//! MSRP sessions follow their dialogs by themselves: the passive side of a connection waits from the
//! moment when offer and answer are known, the active side connects with the ACK, and a BYE that
//! was answered ends the session.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use bytes::Bytes;

use super::automatic;
use super::focus::Notifier;
use super::media::{self, Media, Place};
use super::profile::Profile;
use super::templates;
use crate::endpoint::{Config, Destination, DialogId, Endpoint, Event, MsrpId, State, TransactionId};
use crate::engine::{Closure, Engine, Input, Output};
use crate::ids::Ids;
use crate::msrp;
use crate::time::Instant;
use crate::wire::sdp;
use crate::wire::sip::{Builder, Message, Method, Name};

/// Where a request goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Aim {
    /// To this URI, outside of any dialog.
    Outside(String),
    /// To the peer of this dialog.
    Inside(DialogId),
}

/// A message as the role would send it, to be altered and then sent.
#[derive(Clone, PartialEq, Debug)]
pub struct Draft {
    /// The message, complete.
    pub message: Builder,
    of: Subject,
    media: Option<Media>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Subject {
    Request { dialog: Option<DialogId>, method: Method, target: String },
    Response { transaction: TransactionId, status: u16 },
    Ack { invite: TransactionId, dialog: DialogId },
}

/// Why an actor cannot do what the script says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The dialog is gone.
    NoDialog,
    /// The request is gone, or was answered already.
    NoRequest,
    /// No 2xx waits for an ACK in this dialog.
    NothingToAcknowledge,
    /// The dialog has no MSRP session.
    NoSession,
    /// The draft is of another kind.
    WrongDraft,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoDialog => "the dialog is gone",
            Self::NoRequest => "there is no such request to answer",
            Self::NothingToAcknowledge => "no 2xx waits for an ACK in this dialog",
            Self::NoSession => "the dialog has no MSRP session",
            Self::WrongDraft => "the draft is of another kind",
        })
    }
}

impl std::error::Error for Refusal {}

/// A request that waits for its final response.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Pending {
    transaction: TransactionId,
    message: Message,
}

/// An actor that a script moves.
#[derive(Debug)]
pub struct Scripted {
    profile: Profile,
    endpoint: Endpoint,
    ids: Ids,
    place: Place,
    events: VecDeque<Event>,
    unattended: bool,
    pending: Vec<Pending>,
    /// 2xx to our INVITEs without ACK so far.
    unacknowledged: BTreeMap<DialogId, TransactionId>,
    /// The sessions that our INVITEs offered, until their 2xx.
    offers: BTreeMap<TransactionId, Media>,
    media: BTreeMap<DialogId, Media>,
    sessions: BTreeMap<MsrpId, DialogId>,
    /// Sessions that have their connection.
    bound: BTreeSet<MsrpId>,
    notifiers: BTreeMap<DialogId, Notifier>,
    /// The latest dialog of each Call-ID.
    dialogs: BTreeMap<String, DialogId>,
    /// Messages whose last chunk is not answered.
    unanswered: Vec<(MsrpId, msrp::Incoming)>,
}

impl Scripted {
    /// An actor of this profile on a node of its own.
    pub fn new(profile: Profile, config: Config) -> Self {
        let config = profile.dress(config);
        let ids = Ids::new(config.seed, &format!("{}/script", config.name));
        let place = Place { address: config.msrp.ip().to_string(), port: config.msrp.port() };
        Self {
            endpoint: Endpoint::new(config),
            ids,
            place,
            events: VecDeque::new(),
            unattended: profile.reference,
            profile,
            pending: Vec::new(),
            unacknowledged: BTreeMap::new(),
            offers: BTreeMap::new(),
            media: BTreeMap::new(),
            sessions: BTreeMap::new(),
            bound: BTreeSet::new(),
            notifiers: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            unanswered: Vec::new(),
        }
    }

    /// Makes it act by itself on everything that comes, as [`automatic`] lists.
    pub const fn set_unattended(&mut self, unattended: bool) {
        self.unattended = unattended;
    }

    /// Who it is.
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Its node.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The next thing that came.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Does what the role does unasked about an event; see [`automatic`] for the list.
    pub fn act_automatically(&mut self, now: Instant, event: &Event) {
        automatic::act(self, now, event);
    }
}

/// What it knows about what came.
impl Scripted {
    /// The server transaction of a request that waits for its final response; the request may be
    /// the one seen elsewhere on its way, since From tag, Call-ID and CSeq tell it.
    pub fn pending(&self, request: &Message) -> Option<TransactionId> {
        let same = |own: &Message| {
            own.call_id() == request.call_id()
                && own.value(Name::CSeq) == request.value(Name::CSeq)
                && own.from().ok().and_then(|from| from.tag()) == request.from().ok().and_then(|from| from.tag())
        };
        self.pending.iter().rev().find(|pending| same(&pending.message)).map(|pending| pending.transaction)
    }

    /// The latest dialog of a Call-ID.
    pub fn dialog_of(&self, call_id: &str) -> Option<DialogId> {
        self.dialogs.get(call_id).copied().filter(|dialog| self.endpoint.dialog(*dialog).is_some())
    }

    /// The latest dialog in which it is the notifier of a subscription.
    pub fn subscription(&self) -> Option<DialogId> {
        self.notifiers.keys().rev().copied().find(|dialog| self.endpoint.dialog(*dialog).is_some())
    }

    /// The INVITE whose 2xx waits for an ACK in a dialog.
    pub fn unacknowledged(&self, dialog: DialogId) -> Option<TransactionId> {
        self.unacknowledged.get(&dialog).copied()
    }

    /// The MSRP session of a dialog.
    pub fn session_of(&self, dialog: DialogId) -> Option<MsrpId> {
        self.media.get(&dialog).map(|media| media.session)
    }

    /// The dialog of an MSRP session.
    pub fn dialog_of_session(&self, session: MsrpId) -> Option<DialogId> {
        self.sessions.get(&session).copied()
    }

    /// How many of its dialogs have an MSRP session.
    pub fn open_sessions(&self) -> usize {
        self.media.len()
    }

    /// To-Path and From-Path of what it sends in the MSRP session of a dialog.
    pub fn paths(&self, dialog: DialogId) -> Option<(&str, &str)> {
        let media = self.media.get(&dialog)?;
        Some((media.remote_path()?, media.path.as_str()))
    }

    /// The sessions of other users in the group of this dialog; our own URI in it names the group.
    pub(super) fn others_in_group(&self, dialog: DialogId) -> Vec<DialogId> {
        let ends = |id: DialogId| {
            let dialog = self.endpoint.dialog(id)?;
            Some((templates::bare(&dialog.local_uri), templates::bare(&dialog.remote_uri)))
        };
        let Some((group, user)) = ends(dialog) else { return Vec::new() };
        let other = |id: &DialogId| ends(*id).is_some_and(|(own, peer)| own == group && peer != user);
        self.media.keys().copied().filter(other).collect()
    }

    /// A received MSRP message whose last chunk is not answered: its session and what to answer.
    pub fn unanswered(&self, message_id: &str) -> Option<(MsrpId, &msrp::Incoming)> {
        let found = self.unanswered.iter().find(|(_, incoming)| incoming.message_id == message_id);
        found.map(|(session, incoming)| (*session, incoming))
    }
}

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
            request = request.body(sdp::MEDIA_TYPE, media.offer(&self.place, templates::takes_group_state(&self.profile, None)));
        }
        let message = self.endpoint.prepare(request);
        Draft { message, of: Subject::Request { dialog: None, method: method.clone(), target }, media }
    }

    fn draft_inside(&mut self, method: &Method, dialog: DialogId) -> Result<Draft, Refusal> {
        let entity = self.endpoint.dialog(dialog).map(|dialog| templates::bare(&dialog.local_uri)).ok_or(Refusal::NoDialog)?;
        let media = (*method == Method::Invite).then(|| self.media.get(&dialog).cloned()).flatten();
        let mut request = templates::inside(method);
        if *method == Method::Notify {
            let notifier = self.notifiers.entry(dialog).or_insert_with(Notifier::unknown);
            notifier.version += 1;
            request = super::focus::notify(request, notifier, &entity, self.profile.group(&entity));
        }
        if let Some(media) = &media {
            request = request.body(sdp::MEDIA_TYPE, media.offer(&self.place, templates::takes_group_state(&self.profile, None)));
        }
        let message = self.endpoint.prepare_in(dialog, request).ok_or(Refusal::NoDialog)?;
        Ok(Draft { message, of: Subject::Request { dialog: Some(dialog), method: method.clone(), target: String::new() }, media })
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
        let Subject::Request { dialog, method, target } = draft.of else { return Err(Refusal::WrongDraft) };
        let mut message = templates::address(draft.message, &target);
        let own = |id: DialogId| self.endpoint.dialog(id).is_some_and(|own| message.value("Call-ID") == Some(own.call_id.as_str()));
        let dialog = dialog.filter(|id| own(*id));
        let mut media = draft.media;
        if let Some(media) = &mut media {
            message = note_description(media, message, true);
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
        Ok(Draft { message, of: Subject::Response { transaction, status }, media })
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
                let expires = expires.unwrap_or(super::profile::SUBSCRIPTION_EXPIRES);
                self.notifiers.insert(dialog, Notifier { event, expires, version });
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
        Ok(Draft { message, of: Subject::Ack { invite, dialog }, media })
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

    /// Ends every confirmed dialog: BYE in sessions, the last NOTIFY in subscriptions.
    pub fn hang_up(&mut self, now: Instant) {
        for dialog in self.notifiers.keys().copied().collect::<Vec<_>>() {
            self.end_subscription(now, dialog);
        }
        for dialog in self.media.keys().copied().collect::<Vec<_>>() {
            let confirmed = self.endpoint.dialog(dialog).is_some_and(|dialog| dialog.state == State::Confirmed);
            if confirmed {
                self.request_inside(now, &Method::Bye, dialog);
            }
        }
    }

    /// Sends the last NOTIFY of a subscription.
    pub(super) fn end_subscription(&mut self, now: Instant, dialog: DialogId) {
        self.notifiers.entry(dialog).and_modify(|notifier| notifier.expires = 0);
        self.request_inside(now, &Method::Notify, dialog);
    }

    /// Sends the NOTIFY that a SUBSCRIBE is owed at once (RFC 6665 4.2.1.2), after a 2xx that the
    /// script sent.
    pub fn notify(&mut self, now: Instant, dialog: DialogId) {
        self.request_inside(now, &Method::Notify, dialog);
    }

    /// Sends a request as it was drafted; a dialog that is gone needs none.
    pub(super) fn request_inside(&mut self, now: Instant, method: &Method, dialog: DialogId) {
        let sent = self.draft_inside(method, dialog).and_then(|draft| self.send(now, draft));
        debug_assert!(!matches!(sent, Err(Refusal::WrongDraft)), "a request was drafted");
    }
}

/// What happens by itself.
impl Scripted {
    fn collect(&mut self, now: Instant) {
        while let Some(event) = self.endpoint.poll_event() {
            self.observe(now, &event);
            if self.unattended {
                automatic::act(self, now, &event);
            }
            self.events.push_back(event);
        }
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
        if let (Some(dialog), Some(call_id)) = (dialog, message.call_id()) {
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
    /// active side connects with the ACK.
    fn bind(&mut self, now: Instant, dialog: DialogId, acknowledged: bool) {
        let Some(media) = self.media.get_mut(&dialog).filter(|media| !media.started) else { return };
        let Some(binding) = media.binding().filter(|binding| acknowledged || !binding.active) else { return };
        media.started = true;
        self.endpoint.msrp_start(now, media.session, &binding.remote_path, binding.active);
    }

    fn drop_offer(&mut self, now: Instant, invite: TransactionId) {
        if let Some(media) = self.offers.remove(&invite) {
            self.endpoint.msrp_close(now, media.session, Closure::Finished);
        }
    }

    fn close(&mut self, now: Instant, dialog: DialogId) {
        self.unacknowledged.remove(&dialog);
        if let Some(media) = self.media.remove(&dialog) {
            self.sessions.remove(&media.session);
            self.bound.remove(&media.session);
            self.endpoint.msrp_close(now, media.session, Closure::Finished);
        }
    }

    pub(super) const fn is_focus(&self) -> bool {
        matches!(self.profile.role, crate::pattern::ast::Role::Cf)
    }
}

impl Engine for Scripted {
    fn handle(&mut self, now: Instant, input: Input) {
        self.endpoint.handle(now, input);
        self.collect(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.endpoint.poll_output()
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.endpoint.poll_timeout()
    }
}

/// Takes note of the description that a message carries; a changed one gets its next version.
fn note_description(media: &mut Media, message: Builder, offered: bool) -> Builder {
    let Ok(encoded) = Message::decode(message.encode()) else { return message };
    let Some(description) = media::description(&encoded) else { return message };
    match media.note_sent(&description.encode(), offered) {
        Some(next) if encoded.content_type().is_some_and(|kind| kind.is(sdp::MEDIA_TYPE)) => message.body(sdp::MEDIA_TYPE, next),
        _ => message,
    }
}
