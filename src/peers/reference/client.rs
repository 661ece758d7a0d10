//! The reference Client.

use std::collections::BTreeMap;
use std::time::Duration;

use super::calls::{Calls, Due, Letter};
use crate::endpoint::{DialogId, Event, TransactionId};
use crate::msrp::{self, Incoming, Outgoing};
use crate::peers::script::{Aim, Scripted};
use crate::time::Instant;
use crate::wire::cpim::{self, Cpim};
use crate::wire::imdn::{self, Imdn, Kind};
use crate::wire::sip::{Builder, Message, Method, Name};
use crate::wire::{datetime, msrp::FailureReport};

/// How long the longest pause before a re-join is, once the Client is registered.
const RETURN: u64 = 3_000;
/// The bounds of the pause after 491, in milliseconds (RFC 3261 14.1: 2.1 s to 4 s for the owner of
/// the Call-ID).
const CROSSED: (u64, u64) = (2_100, 4_000);
/// How long a 1-1 session lasts at most once everything is written, in milliseconds.
const LONGEST: u64 = 20_000;
/// The pause after any other refusal that may pass.
const REFUSED: Duration = Duration::from_secs(30);

/// A group that the Client was invited to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Membership {
    /// The group session identity that it saw last.
    target: String,
    contribution: String,
    subject: Option<String>,
    dialog: Option<DialogId>,
    joining: Option<TransactionId>,
    left: bool,
    wake: Option<Instant>,
}

/// What a Client remembers.
#[derive(Clone, Debug, Default)]
pub(in crate::peers) struct Client {
    /// By Conversation-ID.
    groups: BTreeMap<String, Membership>,
    calls: Calls,
    registering: Option<TransactionId>,
    absent: bool,
    /// What the next invitation is refused with.
    refusal: Option<u16>,
    messages: u64,
    /// Whether a re-join that is answered 491 is given up: the PF's own INVITE is to come.
    gives_up_after_491: bool,
}

impl Client {
    pub(super) fn wake(&self) -> Option<Instant> {
        self.groups.values().filter_map(|group| group.wake).chain(self.calls.wake()).min()
    }

    pub(in crate::peers) fn give_up_after_491(&mut self) {
        self.gives_up_after_491 = true;
    }

    pub(super) fn conversations(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().filter(|(_, group)| group.dialog.is_some()).map(|(id, _)| id.as_str())
    }

    pub(super) fn before(&mut self, actor: &mut Scripted, now: Instant, event: &Event) -> bool {
        match event {
            Event::Request { transaction, message, .. } if opens_session(message) => {
                let status = self.answer_to(message);
                status.is_some_and(|status| actor.answer(now, *transaction, status).is_some() || status >= 300)
            }
            Event::Response { transaction, message, .. } => {
                self.on_response(actor, now, *transaction, message);
                false
            }
            Event::Failed { transaction, .. } => {
                if self.registering == Some(*transaction) {
                    self.registering = None;
                }
                self.pause(*transaction, now + REFUSED);
                self.calls.refused(*transaction);
                false
            }
            _ => false,
        }
    }

    /// Whether invitations are taken: an INVITE may overtake the answer to the REGISTER that it is due to.
    fn is_reachable(&self) -> bool {
        !self.absent || self.registering.is_some()
    }

    /// What an invitation is answered, where it is not accepted.
    fn answer_to(&mut self, invite: &Message) -> Option<u16> {
        let group = invite.value(Name::ConversationId).and_then(|id| self.groups.get(id));
        match group {
            _ if !self.is_reachable() => Some(480),
            Some(group) if group.left => Some(603),
            _ => self.refusal.take(),
        }
    }

    pub(super) fn after(&mut self, actor: &mut Scripted, now: Instant, event: &Event) {
        match event {
            Event::Request { message, .. } if opens_session(message) => self.on_invited(actor, now, message),
            Event::Request { dialog: Some(dialog), message, .. } if message.method() == Some(Method::Bye) => self.forget(*dialog),
            Event::Response { transaction, dialog: Some(dialog), message }
                if is_accepted_invite(message) && !self.calls.accepted(now, *transaction, *dialog) =>
            {
                self.on_joined(actor, now, *transaction, *dialog);
            }
            Event::AckMissing { dialog } | Event::SessionExpired { dialog } => self.forget(*dialog),
            Event::Msrp { session, event: msrp::Event::Received(incoming) } => {
                if let Some(dialog) = actor.dialog_of_session(*session) {
                    self.notify_delivery(actor, now, dialog, incoming);
                }
            }
            _ => {}
        }
    }

    /// An invitation was accepted: it is the session of its group from now on.
    fn on_invited(&mut self, actor: &mut Scripted, now: Instant, invite: &Message) {
        let Some(dialog) = invite.call_id().and_then(|call_id| actor.dialog_of(call_id)) else { return };
        if !self.is_reachable() {
            return;
        }
        let Some(id) = invite.value(Name::ConversationId) else { return };
        let focus = invite.contact().ok().filter(|contact| contact.is_focus()).map(|contact| contact.uri.text.to_owned());
        if focus.is_none() {
            // A session of two, or a delivery that is none of the group itself.
            return self.calls.take(dialog);
        }
        let group = self.groups.entry(id.to_owned()).or_default();
        if group.left {
            return;
        }
        if let Some(focus) = focus {
            group.target = focus;
        }
        group.contribution = invite.value(Name::ContributionId).unwrap_or("").to_owned();
        group.subject = invite.value(Name::Subject).map(str::to_owned);
        group.wake = None;
        // The newer session takes the place of an older one.
        if let Some(older) = group.dialog.replace(dialog).filter(|older| *older != dialog) {
            actor.request_inside(now, &Method::Bye, older);
        }
    }

    fn forget(&mut self, dialog: DialogId) {
        self.calls.forget(dialog);
        for group in self.groups.values_mut().filter(|group| group.dialog == Some(dialog)) {
            group.dialog = None;
        }
    }

    fn on_response(&mut self, actor: &mut Scripted, now: Instant, transaction: TransactionId, message: &Message) {
        let status = message.status().unwrap_or(0);
        if self.registering == Some(transaction) && status >= 200 {
            self.registering = None;
            if status < 300 {
                self.come_back(actor, now);
            }
        }
        if status >= 300 {
            self.calls.refused(transaction);
        }
        if status == 491 && self.gives_up_after_491 {
            for group in self.groups.values_mut().filter(|group| group.joining == Some(transaction)) {
                group.joining = None;
            }
        } else if status == 491 {
            let pause = CROSSED.0 + actor.below(CROSSED.1 - CROSSED.0);
            self.pause(transaction, now + Duration::from_millis(pause));
        } else if status >= 300 {
            self.pause(transaction, now + REFUSED);
        }
    }

    /// A re-join failed: it is tried again, unless another session has come meanwhile.
    fn pause(&mut self, joining: TransactionId, until: Instant) {
        for group in self.groups.values_mut().filter(|group| group.joining == Some(joining)) {
            group.joining = None;
            group.wake = (group.dialog.is_none() && !self.absent && !group.left).then_some(until);
        }
    }

    fn on_joined(&mut self, actor: &mut Scripted, now: Instant, transaction: TransactionId, dialog: DialogId) {
        let Some(group) = self.groups.values_mut().find(|group| group.joining == Some(transaction)) else { return };
        group.joining = None;
        if self.absent || group.left {
            return actor.request_inside(now, &Method::Bye, dialog);
        }
        if let Some(older) = group.dialog.replace(dialog) {
            actor.request_inside(now, &Method::Bye, older);
        }
    }

    /// Registered again: the groups are re-joined, each after a pause of its own.
    fn come_back(&mut self, actor: &mut Scripted, now: Instant) {
        self.absent = false;
        for group in self.groups.values_mut().filter(|group| !group.left && group.dialog.is_none() && group.joining.is_none()) {
            group.wake = Some(now + Duration::from_millis(actor.below(RETURN)));
        }
    }

    pub(super) fn expire(&mut self, actor: &mut Scripted, now: Instant) {
        while let Some((dialog, due)) = self.calls.due(now) {
            match due {
                Due::HangUp => actor.request_inside(now, &Method::Bye, dialog),
                Due::Write(letter) => {
                    for text in &letter.texts {
                        self.write(actor, now, dialog, &letter.to, (text, letter.notify));
                    }
                }
            }
        }
        for (id, group) in &mut self.groups {
            if group.wake.is_some_and(|wake| wake <= now) {
                group.wake = None;
                if group.dialog.is_none() && !group.left {
                    group.joining = rejoin(actor, now, id, group);
                }
            }
        }
    }

    pub(super) fn register(&mut self, actor: &mut Scripted, now: Instant) {
        if self.is_reachable() {
            return;
        }
        let user = actor.profile().name_addr();
        let Ok(mut draft) = actor.draft_request(&Method::Register, Aim::Outside("sip:home1.example".to_owned())) else { return };
        let contact = actor.profile().contact(actor.endpoint().config());
        let message = draft.message.set("To", user).set("Contact", contact);
        draft.message = message.set("Expires", crate::peers::profile::REGISTRATION_EXPIRES);
        self.registering = actor.send(now, draft).ok();
    }

    /// The S-CSCF releases the sessions of a device that it lost (TS 24.229 5.4.5.1).
    pub(super) fn lose(&mut self, actor: &mut Scripted, now: Instant) {
        self.absent = true;
        self.registering = None;
        for group in self.groups.values_mut() {
            group.wake = None;
            if let Some(dialog) = group.dialog.take() {
                bye(actor, now, dialog, "SIP;cause=503;text=\"Service Unavailable\"");
            }
        }
        for dialog in self.calls.drain() {
            bye(actor, now, dialog, "SIP;cause=503;text=\"Service Unavailable\"");
        }
    }

    /// The next invitation is refused.
    pub(super) fn refuse(&mut self, status: u16) {
        self.refusal = Some(status);
    }

    /// Opens a 1-1 session to say something.
    pub(super) fn call(&mut self, actor: &mut Scripted, now: Instant, letter: Letter) {
        if self.absent {
            return;
        }
        let lasts = Duration::from_millis(actor.below(LONGEST));
        let Ok(draft) = actor.draft_request(&Method::Invite, Aim::Outside(letter.to.clone())) else { return };
        if let Ok(invite) = actor.send(now, draft) {
            self.calls.open(invite, letter, lasts);
        }
    }

    pub(super) fn leave(&mut self, actor: &mut Scripted, now: Instant, conversation: &str) {
        let Some(group) = self.groups.get_mut(conversation) else { return };
        let Some(dialog) = group.dialog.take() else { return };
        group.left = true;
        bye(actor, now, dialog, "SIP;cause=200;text=\"Call completed\"");
    }

    pub(super) fn say(&mut self, actor: &mut Scripted, now: Instant, conversation: &str, (text, notify): (&str, bool)) {
        let Some((dialog, to)) = self.groups.get(conversation).and_then(|group| Some((group.dialog?, group.target.clone()))) else {
            return;
        };
        self.write(actor, now, dialog, &to, (text, notify));
    }

    fn write(&mut self, actor: &mut Scripted, now: Instant, dialog: DialogId, to: &str, (text, notify): (&str, bool)) {
        let own = actor.profile().uri.clone();
        let id = self.identifier(actor);
        let message = cpim::Builder::new(&own, to).date_time(&datetime::format(now.to_unix_micros())).message_id(&id);
        let message = if notify { message.disposition_notification("positive-delivery") } else { message };
        let message = message.content("text/plain;charset=utf-8", text.to_owned());
        send(actor, now, dialog, &message);
    }

    /// The imdn.Message-ID of the next message: no other device of the user has it.
    fn identifier(&mut self, actor: &Scripted) -> String {
        self.messages += 1;
        let (profile, number) = (actor.profile(), self.messages);
        match profile.instance.as_ref().and_then(|instance| instance.get(instance.len().saturating_sub(4)..)) {
            Some(device) => format!("{}-{device}-{number}", profile.name),
            None => format!("{}-{number}", profile.name),
        }
    }

    /// Returns the notification that a message asks for (RFC 5438 7.2.1).
    fn notify_delivery(&mut self, actor: &mut Scripted, now: Instant, dialog: DialogId, incoming: &Incoming) {
        let Ok(message) = Cpim::decode(incoming.body.clone()) else { return };
        let (Some(id), Some(from)) = (message.message_id(), message.from()) else { return };
        if !message.asks_for("positive-delivery") {
            return;
        }
        let own = actor.profile().uri.clone();
        let mut notification = Imdn::new(id, message.date_time().unwrap_or(""), Kind::Delivery, "delivered");
        notification.recipient_uri = Some(own.clone());
        let answer = cpim::Builder::new(&own, from.uri)
            .date_time(&datetime::format(now.to_unix_micros()))
            .message_id(&self.identifier(actor))
            .mime("Content-Disposition", "notification")
            .content(imdn::MEDIA_TYPE, notification.to_xml());
        // A notification travels in the session of its message, unless that takes nothing from the Client.
        if actor.only_receives(dialog) { send_apart(actor, now, from.uri, &answer) } else { send(actor, now, dialog, &answer) }
    }
}

fn opens_session(request: &Message) -> bool {
    request.method() == Some(Method::Invite) && !request.has_to_tag()
}

fn is_accepted_invite(response: &Message) -> bool {
    response.method() == Some(Method::Invite) && response.status().is_some_and(|status| (200..300).contains(&status))
}

fn rejoin(actor: &mut Scripted, now: Instant, conversation: &str, group: &Membership) -> Option<TransactionId> {
    let mut draft = actor.draft_request(&Method::Invite, Aim::Outside(group.target.clone())).ok()?;
    let message: Builder = draft.message.set("Conversation-ID", conversation).set("Contribution-ID", &group.contribution);
    draft.message = match &group.subject {
        Some(subject) => message.set("Subject", subject),
        None => message,
    };
    actor.send(now, draft).ok()
}

fn bye(actor: &mut Scripted, now: Instant, dialog: DialogId, reason: &str) {
    if let Ok(mut draft) = actor.draft_request(&Method::Bye, Aim::Inside(dialog)) {
        draft.message = draft.message.set("Reason", reason);
        let sent = actor.send(now, draft);
        debug_assert!(sent.is_ok(), "a request was drafted");
    }
}

/// Sends a message outside any session (RFC 3428).
fn send_apart(actor: &mut Scripted, now: Instant, to: &str, message: &cpim::Builder) {
    let Ok(mut draft) = actor.draft_request(&Method::Message, Aim::Outside(to.to_owned())) else { return };
    draft.message = draft.message.body(cpim::MEDIA_TYPE, message.encode());
    let sent = actor.send(now, draft);
    debug_assert!(sent.is_ok(), "a request was drafted");
}

fn send(actor: &mut Scripted, now: Instant, dialog: DialogId, message: &cpim::Builder) {
    let message = Outgoing {
        message_id: None,
        content_type: cpim::MEDIA_TYPE.to_owned(),
        body: message.encode(),
        success_report: false,
        failure_report: FailureReport::Yes,
        chunk_size: 2_048,
    };
    // A session that has just ended takes nothing more.
    let _ = actor.send_message(now, dialog, message);
}
