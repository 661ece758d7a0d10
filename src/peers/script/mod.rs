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

mod hear;
mod send;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use super::automatic;
use super::focus::{self, Notifier};
use super::media::{Media, Place};
use super::profile::Profile;
use super::reference::{Habits, Order};
use super::templates;
use crate::endpoint::{Config, DialogId, Endpoint, Event, MsrpId, TransactionId};
use crate::engine::{ConnectionId, Engine, Input, Output, Standing};
use crate::ids::Ids;
use crate::msrp;
use crate::time::Instant;
use crate::wire::sip::{Builder, Message, Method, Name};
use crate::wire::xml::conference_info::ConferenceInfo;

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
    /// The roster that it carries, as it was before it was written.
    pub roster: Option<ConferenceInfo>,
    of: Subject,
    media: Option<Media>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Subject {
    Request {
        dialog: Option<DialogId>,
        method: Method,
        target: String,
        /// The Via that it was drafted with.
        via: String,
    },
    Response {
        transaction: TransactionId,
        status: u16,
    },
    Ack {
        invite: TransactionId,
        dialog: DialogId,
    },
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

impl Refusal {
    /// What is in the way.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NoDialog => "the dialog is gone",
            Self::NoRequest => "there is no such request to answer",
            Self::NothingToAcknowledge => "no 2xx waits for an ACK in this dialog",
            Self::NoSession => "the dialog has no MSRP session",
            Self::WrongDraft => "the draft is of another kind",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
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
    profile: Arc<Profile>,
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
    /// What it remembers as a reference actor.
    habits: Habits,
    /// Who takes part in each group of a reference focus, by focus URI.
    connected: BTreeMap<String, BTreeSet<String>>,
    /// Whether events are being dealt with.
    collecting: bool,
}

impl Scripted {
    /// An actor of this profile on a node of its own.
    pub fn new(profile: impl Into<Arc<Profile>>, config: Config) -> Self {
        let profile = profile.into();
        let config = profile.dress(config);
        let ids = Ids::new(config.seed, &format!("{}/script", config.name));
        let (reference, habits) = (profile.reference, Habits::of(&profile));
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
            habits: if reference { habits } else { Habits::None },
            connected: BTreeMap::new(),
            collecting: false,
        }
    }

    /// Makes it act by itself on everything that comes, as [`automatic`] lists.
    pub const fn set_unattended(&mut self, unattended: bool) {
        self.unattended = unattended;
    }

    /// Who it is.
    pub fn profile(&self) -> &Profile {
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

/// What it does as a reference actor.
impl Scripted {
    /// Makes it a reference actor, or one that follows the automatic list alone.
    pub fn set_reference(&mut self, reference: bool) {
        self.unattended = reference;
        if self.profile.reference != reference {
            Arc::make_mut(&mut self.profile).reference = reference;
        }
        self.habits = if reference { Habits::of(&self.profile) } else { Habits::None };
    }

    /// Lets a reference Client give up a re-join that is answered 491.
    pub fn give_up_after_491(&mut self) {
        if let Habits::Client(client) = &mut self.habits {
            client.give_up_after_491();
        }
    }

    /// Does what a person or the network makes a reference actor do.
    pub fn obey(&mut self, now: Instant, order: &Order) {
        self.collecting = true;
        self.with_habits(|habits, actor| habits.obey(actor, now, order));
        self.collecting = false;
        self.collect(now);
    }

    /// The Conversation-IDs of the groups in which a reference Client takes part now.
    pub fn conversations(&self) -> Vec<&str> {
        self.habits.conversations()
    }

    /// Lends out the memory; what comes meanwhile waits.
    pub(super) fn with_habits<R>(&mut self, act: impl FnOnce(&mut Habits, &mut Self) -> R) -> R {
        let mut habits = std::mem::take(&mut self.habits);
        let result = act(&mut habits, self);
        self.habits = habits;
        result
    }

    /// A random number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.ids.below(bound)
    }

    /// Answers a request as the role would; `None` when it is gone.
    pub(super) fn answer(&mut self, now: Instant, transaction: TransactionId, status: u16) -> Option<()> {
        let draft = self.draft_response(transaction, status).ok()?;
        self.respond(now, draft).ok().map(drop)
    }

    /// The address of the peer in a dialog.
    pub(super) fn peer_of(&self, dialog: DialogId) -> Option<String> {
        self.endpoint.dialog(dialog).map(|dialog| templates::bare(&dialog.remote_uri))
    }

    /// Whether it may send nothing in the MSRP session of a dialog.
    pub(super) fn only_receives(&self, dialog: DialogId) -> bool {
        self.media.get(&dialog).is_some_and(Media::only_receives)
    }

    /// Says who takes part in a group.
    pub(super) fn set_connected(&mut self, group: &str, participants: BTreeSet<String>) {
        self.connected.insert(group.to_owned(), participants);
    }

    /// The subscriptions to the state of a group.
    pub(super) fn subscriptions_to(&self, group: &str) -> Vec<DialogId> {
        let is_of = |id: &DialogId| self.endpoint.dialog(*id).is_some_and(|dialog| templates::bare(&dialog.local_uri) == group);
        self.notifiers.keys().copied().filter(is_of).collect()
    }

    /// Whether a subscription lives in a dialog.
    pub(super) fn is_subscribed(&self, dialog: DialogId) -> bool {
        self.notifiers.contains_key(&dialog)
    }

    /// The full roster of a group: those who take part, where that is known.
    fn roster_of(&self, group: &str, notifier: &Notifier) -> ConferenceInfo {
        let (profile, connected) = (self.profile.group(group), self.connected.get(group));
        let takes_part = |uri: &String| connected.is_none_or(|connected| connected.contains(uri));
        let mut roster = focus::roster(group, notifier.version, profile, takes_part);
        roster.active = Some(!notifier.over);
        roster
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

    /// Whether it is a focus.
    pub(super) fn is_focus(&self) -> bool {
        matches!(self.profile.role, crate::pattern::ast::Role::Cf)
    }

    /// A received MSRP message whose last chunk is not answered: its session and what to answer.
    pub fn unanswered(&self, message_id: &str) -> Option<(MsrpId, &msrp::Incoming)> {
        let found = self.unanswered.iter().find(|(_, incoming)| incoming.message_id == message_id);
        found.map(|(session, incoming)| (*session, incoming))
    }
}

impl Engine for Scripted {
    fn handle(&mut self, now: Instant, input: Input) {
        self.endpoint.handle(now, input);
        self.collect(now);
        if self.habits.wake().is_some_and(|wake| wake <= now) {
            self.collecting = true;
            self.with_habits(|habits, actor| habits.expire(actor, now));
            self.collecting = false;
            self.collect(now);
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.endpoint.poll_output()
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let own = self.habits.wake().map(|at| (at, "habit"));
        self.endpoint.poll_timeout().into_iter().chain(own).min()
    }

    fn standing(&self, connection: ConnectionId) -> Standing {
        self.endpoint.standing(connection)
    }
}
