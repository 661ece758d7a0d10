//! The reference Controlling Function.

use std::collections::BTreeMap;

use crate::endpoint::{DialogId, Event, TransactionId};
use crate::peers::profile::GroupProfile;
use crate::peers::script::{Aim, Scripted};
use crate::peers::templates::bare;
use crate::time::Instant;
use crate::wire::sip::{Message, Method};

/// A group session that is open.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Room {
    /// The session of each participant, by address.
    participants: BTreeMap<String, DialogId>,
    /// Whom an invitation is under way to.
    invited: BTreeMap<TransactionId, String>,
}

/// What a focus remembers: its rooms, by focus URI.
#[derive(Clone, Debug, Default)]
pub(in crate::peers) struct Focus {
    rooms: BTreeMap<String, Room>,
}

impl Focus {
    pub(super) fn before(&mut self, actor: &mut Scripted, now: Instant, event: &Event) -> bool {
        let Event::Request { transaction, dialog, message } = event else { return false };
        let refusal = match message.method() {
            Some(Method::Invite) if !message.has_to_tag() => match group_of(actor, message) {
                None => Some(404),
                Some(group) if !is_member(group, &sender(message)) => Some(403),
                Some(_) => None,
            },
            // A refresh that crosses the last NOTIFY finds no subscription (RFC 6665 4.2.1).
            Some(Method::Subscribe) if message.has_to_tag() => {
                dialog.is_none_or(|dialog| !actor.is_subscribed(dialog)).then_some(481)
            }
            _ => None,
        };
        refusal.is_some_and(|status| {
            actor.answer(now, *transaction, status);
            true
        })
    }

    pub(super) fn after(&mut self, actor: &mut Scripted, now: Instant, event: &Event) {
        match event {
            Event::Request { message, .. } if message.method() == Some(Method::Invite) && !message.has_to_tag() => {
                let dialog = message.call_id().and_then(|call_id| actor.dialog_of(call_id));
                if let (Some(dialog), Some(group)) = (dialog, group_of(actor, message).map(|group| group.focus.clone())) {
                    self.enter(actor, now, &group, sender(message), dialog);
                }
            }
            Event::Request { dialog: Some(dialog), message, .. } if message.method() == Some(Method::Bye) => {
                self.depart(actor, now, *dialog);
            }
            Event::Response { transaction, dialog, message } if message.status().is_some_and(|status| status >= 200) => {
                let accepted = message.status().is_some_and(|status| status < 300);
                self.on_answer(actor, now, *transaction, dialog.filter(|_| accepted));
            }
            Event::Failed { transaction, .. } => self.on_answer(actor, now, *transaction, None),
            Event::AckMissing { dialog } | Event::SessionExpired { dialog } => self.depart(actor, now, *dialog),
            _ => {}
        }
    }

    fn on_answer(&mut self, actor: &mut Scripted, now: Instant, transaction: TransactionId, dialog: Option<DialogId>) {
        let invited = self.rooms.iter_mut().find_map(|(group, room)| Some((group.clone(), room.invited.remove(&transaction)?)));
        if let (Some((group, user)), Some(dialog)) = (invited, dialog) {
            self.enter(actor, now, &group, user, dialog);
        }
    }

    /// A participant is in; a session that it had is replaced.
    fn enter(&mut self, actor: &mut Scripted, now: Instant, group: &str, user: String, dialog: DialogId) {
        let room = self.rooms.entry(group.to_owned()).or_default();
        if let Some(older) = room.participants.insert(user, dialog).filter(|older| *older != dialog) {
            actor.request_inside(now, &Method::Bye, older);
        }
        self.announce(actor, now, group);
    }

    fn depart(&mut self, actor: &mut Scripted, now: Instant, dialog: DialogId) {
        let holds = |room: &Room| room.participants.values().any(|held| *held == dialog);
        let Some((group, room)) = self.rooms.iter_mut().find(|(_, room)| holds(room)) else { return };
        room.participants.retain(|_, held| *held != dialog);
        let group = group.clone();
        self.announce(actor, now, &group);
    }

    /// Tells the roster to everyone who subscribed to it.
    fn announce(&self, actor: &mut Scripted, now: Instant, group: &str) {
        let participants = self.rooms.get(group).map(|room| room.participants.keys().cloned().collect()).unwrap_or_default();
        actor.set_connected(group, participants);
        for subscription in actor.subscriptions_to(group) {
            actor.notify(now, subscription);
        }
    }

    pub(super) fn invite(&mut self, actor: &mut Scripted, now: Instant, group: &str, user: &str) {
        let Some(profile) = actor.profile().groups.iter().find(|own| own.focus == group).cloned() else { return };
        let room = self.rooms.entry(group.to_owned()).or_default();
        if room.participants.contains_key(user) || room.invited.values().any(|invited| invited == user) {
            return;
        }
        let Ok(mut draft) = actor.draft_request(&Method::Invite, Aim::Outside(user.to_owned())) else { return };
        let tag = draft.message.value("From").and_then(|from| from.split_once(";tag=")).map(|(_, tag)| tag.to_owned());
        let contact = actor.profile().focus_contact(group);
        let inviter = profile.members.iter().map(|(uri, _)| uri).find(|uri| *uri != user);
        draft.message = draft
            .message
            .set("From", format!("<{group}>;tag={}", tag.unwrap_or_default()))
            .set("Contact", contact)
            .set("P-Asserted-Identity", format!("<{group}>"))
            .set("Subject", &profile.subject)
            .set("Conversation-ID", &profile.conversation_id)
            .set("Contribution-ID", &profile.contribution_id)
            .push_some("Referred-By", inviter.map(|uri| format!("<{uri}>")));
        if let Ok(transaction) = actor.send(now, draft) {
            self.rooms.entry(group.to_owned()).or_default().invited.insert(transaction, user.to_owned());
        }
    }

    /// Ends a group: every session, then every subscription (RFC 6665 4.4.1).
    pub(super) fn end(&mut self, actor: &mut Scripted, now: Instant, group: &str) {
        let Some(room) = self.rooms.remove(group) else { return };
        room.invited.into_keys().for_each(|invite| actor.cancel(now, invite, Vec::new()));
        room.participants.into_values().for_each(|dialog| actor.request_inside(now, &Method::Bye, dialog));
        // The last NOTIFY tells who took part to the end.
        for subscription in actor.subscriptions_to(group) {
            actor.close_subscription(now, subscription);
        }
    }
}

/// The group that a request is addressed to.
fn group_of<'a>(actor: &'a Scripted, request: &Message) -> Option<&'a GroupProfile> {
    let uri = request.request_uri()?;
    actor.profile().groups.iter().find(|group| group.focus == uri)
}

fn sender(request: &Message) -> String {
    request.from().map(|from| from.uri.text.to_owned()).unwrap_or_default()
}

fn is_member(group: &GroupProfile, user: &str) -> bool {
    group.members.iter().any(|(uri, _)| bare(uri) == user)
}
