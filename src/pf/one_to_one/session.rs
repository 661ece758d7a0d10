//! A 1-1 session between an original sender and a user, with the PF between them.
//!
//! What the sender writes is stored, acknowledged once it is durable, and sent to the user from
//! there; what the user does not acknowledge becomes deferred. In a session that the PF accepted for
//! an absent user there is no second leg: everything is stored.
//!
//! ```text
//! Inviting  -> Live                the user accepted
//! Inviting  -> Accepting | Storing the user cannot be reached: the PF accepts
//! Accepting -> Storing             the message in the INVITE is durable
//! Live, Storing -> over            BYE of either side, loss
//! ```

use super::{End, Place, SenderId, SessionId, Shelf, delivery, store::Owed};
use bytes::Bytes;

use crate::endpoint::{MsrpId, TransactionId};
use crate::msrp::{Incoming, Outcome, Report};
use crate::pf::core::Core;
use crate::pf::deferred::{Deferred, Item, Origin};
use crate::pf::headers::ELSEWHERE;
use crate::pf::leg::{Leg, Media};
use crate::pf::notifications::{self, Answer, Notification};
use crate::pf::procedures::one_to_one_modification::Modification;
use crate::pf::procedures::{disposition_notifications, one_to_one_delivery};
use crate::pf::relay::{Flight, ends_session, failure_code};
use crate::pf::store::Key;
use crate::time::Instant;
use crate::wire::msrp::FailureReport;
use crate::wire::sip::{Message, Name};

/// The Reason towards a sender whose user is gone without a BYE.
const GONE: &str = "SIP;cause=503;text=\"Service Unavailable\"";

/// How far a session has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pf) enum Phase {
    /// The INVITE was passed on to the user.
    Inviting {
        /// That of the sender.
        asked: TransactionId,
        /// Ours.
        call: TransactionId,
    },
    /// The PF accepts for the user once the first message is durable.
    Accepting {
        /// The INVITE of the sender.
        asked: TransactionId,
    },
    /// Both legs are up.
    Live,
    /// The PF takes part for the user.
    Storing,
}

/// One session.
#[derive(Debug)]
pub(in crate::pf) struct Session {
    pub(in crate::pf) sender: SenderId,
    pub(in crate::pf) phase: Phase,
    pub(in crate::pf) originating: Option<Leg>,
    pub(in crate::pf) terminating: Option<Leg>,
    /// The medium that our INVITE offers.
    pub(in crate::pf) offered: Option<Media>,
    /// A change of the session that one end asked for and the other has not answered.
    pub(in crate::pf) modification: Option<Modification>,
    /// Conversation-ID, Contribution-ID and the like.
    pub(in crate::pf) identifiers: Vec<(String, String)>,
    /// What is on its way to the user.
    live: Deferred,
    /// The sender has ended the session while messages were on their way; its Reason.
    closing: Option<Option<String>>,
}

impl Session {
    /// A session whose INVITE has come.
    pub(in crate::pf) fn new(sender: SenderId, phase: Phase, identifiers: Vec<(String, String)>) -> Self {
        Self {
            sender,
            phase,
            originating: None,
            terminating: None,
            offered: None,
            modification: None,
            identifiers,
            live: Deferred::default(),
            closing: None,
        }
    }
}

/// A message in a session.
pub(in crate::pf) fn on_message(core: &mut Core, now: Instant, id: SessionId, end: End, media: MsrpId, incoming: Incoming) {
    if incoming.content_type.is_empty() {
        return core.endpoint.msrp_answer(now, media, incoming.token, 200);
    }
    match (end, core.one.sessions.get(&id).map(|session| session.phase)) {
        (End::Originating, Some(Phase::Live)) => keep(core, now, id, media, incoming, true),
        (End::Originating, Some(_)) => keep(core, now, id, media, incoming, false),
        (End::Terminating, Some(Phase::Live)) => answer_back(core, now, id, media, incoming),
        (End::Terminating, _) | (_, None) => core.endpoint.msrp_answer(now, media, incoming.token, 403),
    }
}

/// A notification that the other user of a session sends to an absent one.
fn notification_of(
    core: &Core,
    sender: SenderId,
    origin: Option<String>,
    identifiers: Vec<(String, String)>,
    body: Bytes,
) -> Notification {
    let sender = &core.one[sender];
    Notification { from: sender.address.clone(), private: sender.private, origin, identifiers, body, ..Notification::default() }
}

/// A message of the original sender is stored, whoever is there to take it.
fn keep(core: &mut Core, now: Instant, id: SessionId, media: MsrpId, incoming: Incoming, live: bool) {
    let Some(session) = core.one.sessions.get(&id) else { return };
    let (sender, token) = (session.sender, incoming.token);
    let device = session.originating.as_ref().and_then(|leg| leg.device.clone());
    if !live && notifications::read(&incoming.content_type, &incoming.body).is_some() {
        let notification = notification_of(core, sender, device, session.identifiers.clone(), incoming.body.clone());
        let user = core.one[sender].user;
        return disposition_notifications::keep(core, now, user, notification, Answer::Msrp(media, incoming));
    }
    let mut item = Item::new(now, &incoming.content_type, incoming.body.clone()).with_identifiers(session.identifiers.clone());
    item.device = device;
    let wants_report = live && incoming.failure_report != FailureReport::No;
    item.origin = wants_report.then(|| Origin { session: media, message_id: incoming.message_id.clone() });
    let owed = if live { Owed::Live(id, media, incoming) } else { Owed::Stored(media, incoming) };
    match (core.keep(sender, &item, owed), core.one.sessions.get_mut(&id)) {
        (Some(number), Some(session)) if live => session.live.push(number, item),
        (Some(number), _) => core.one[sender].deferred.push(number, item),
        (None, _) => core.endpoint.msrp_answer(now, media, token, 413),
    }
}

/// A message of the user goes to the original sender, whose answer is that of the PF: nothing of it
/// is stored, so it must not be acknowledged before it has arrived.
fn answer_back(core: &mut Core, now: Instant, id: SessionId, media: MsrpId, incoming: Incoming) {
    if incoming.body.len() > core.policy.max_size {
        return core.endpoint.msrp_answer(now, media, incoming.token, 413);
    }
    let place = Place::Session(id, End::Originating);
    let takes = |leg: &&Leg| leg.media.remote.as_ref().is_none_or(|remote| remote.receives);
    let Some(there) = core.leg_at(place).filter(takes).map(|leg| leg.media.session) else {
        return core.endpoint.msrp_answer(now, media, incoming.token, 403);
    };
    if let Some(user) = core.one.sessions.get(&id).map(|session| core.one[session.sender].user) {
        disposition_notifications::learn(core, now, user, &incoming.content_type, &incoming.body);
    }
    let (content_type, body) = (incoming.content_type.clone(), incoming.body.clone());
    core.send_on(now, there, content_type, body, Flight::AnsweredBack { session: id, back: media, incoming });
}

/// A live message is durable, or could not be stored.
pub(in crate::pf) fn on_live_kept(core: &mut Core, now: Instant, id: SessionId, (sender, number): (SenderId, u64), durable: bool) {
    let live = core.one.sessions.get_mut(&id).map(|session| &mut session.live);
    match live.filter(|live| live.get(number).is_some()) {
        Some(live) if durable => drop(live.make_durable(number)),
        Some(live) => {
            if let Some(item) = live.remove(number) {
                core.written_off(sender, number, &item);
            }
        }
        // The session is over, and the message lies on the shelf.
        None => core.settle(now, sender, number, durable),
    }
}

/// Sends what is due to the user.
pub(in crate::pf) fn pump(core: &mut Core, now: Instant, id: SessionId) {
    while send_next(core, now, id) {}
    let Some(session) = core.one.sessions.get_mut(&id) else { return };
    if session.phase == Phase::Live
        && session.live.is_drained()
        && let Some(reason) = session.closing.take()
    {
        core.hang_up_at(now, Place::Session(id, End::Terminating), reason.as_deref());
        core.one.sessions.remove(&id);
        forget_invites(core, id);
    }
}

fn send_next(core: &mut Core, now: Instant, id: SessionId) -> bool {
    let window = core.policy.window;
    let Some(session) = core.one.sessions.get_mut(&id) else { return false };
    let ready = session.terminating.as_ref().filter(|leg| leg.acknowledged && core.bound.contains(&leg.media.session));
    let Some(leg) = ready else { return false };
    let Some(remote) = leg.media.remote.as_ref().filter(|remote| remote.receives) else { return false };
    if session.live.outstanding() >= window {
        return false;
    }
    let Some((number, item)) = session.live.next() else { return false };
    let (media, content_type, body) = (leg.media.session, item.content_type.clone(), item.body.clone());
    let accepted = remote.takes(&content_type, &body);
    session.live.sent(number);
    if accepted {
        core.send_on(now, media, content_type, body, Flight::Live(id, number));
    } else {
        refuse(core, now, id, number, 415);
    }
    true
}

/// A live message has its outcome.
pub(in crate::pf) fn on_sent(core: &mut Core, now: Instant, id: SessionId, number: u64, outcome: Outcome) {
    match outcome {
        Outcome::Accepted => drop(take_live(core, id, number)),
        Outcome::Lost => return,
        _ if ends_session(outcome) => return on_lost(core, now, id, End::Terminating),
        Outcome::Refused(code) => refuse(core, now, id, number, code),
        Outcome::TimedOut => {}
    }
    pump(core, now, id);
}

/// A message of the user has its outcome at the original sender.
pub(in crate::pf) fn on_answered_back(
    core: &mut Core,
    now: Instant,
    id: SessionId,
    (back, incoming): (MsrpId, &Incoming),
    outcome: Outcome,
) {
    match failure_code(outcome) {
        Some(code) => core.endpoint.msrp_answer(now, back, incoming.token, code),
        None => core.acknowledge_message(now, back, incoming),
    }
    if ends_session(outcome) {
        on_lost(core, now, id, End::Originating);
    }
}

fn take_live(core: &mut Core, id: SessionId, number: u64) -> Option<Item> {
    let session = core.one.sessions.get_mut(&id)?;
    let (sender, item) = (session.sender, session.live.remove(number)?);
    core.written_off(sender, number, &item);
    Some(item)
}

/// A user who is there refused a message: nothing is deferred, its sender is told.
fn refuse(core: &mut Core, now: Instant, id: SessionId, number: u64, code: u16) {
    if let Some(item) = take_live(core, id, number)
        && let Some(origin) = item.origin
    {
        let size = item.body.len() as u64;
        core.endpoint.msrp_report(now, origin.session, Report { message_id: origin.message_id, code, size });
    }
}

/// A leg has its connection, perhaps a new one: what was on its way by the former is due again.
pub(in crate::pf) fn on_bound(core: &mut Core, now: Instant, (id, end): (SessionId, End), media: MsrpId) {
    if end == End::Terminating
        && let Some(session) = core.one.sessions.get_mut(&id)
    {
        session.live.retract();
        core.forget_flights(media);
    }
    pump(core, now, id);
    disposition_notifications::on_session(core, now, id);
}

/// One side ends the session: so does the PF on the other leg.
pub(in crate::pf) fn on_bye(core: &mut Core, now: Instant, id: SessionId, end: End, message: &Message) {
    let reason = message.value(Name::Reason).map(str::to_owned);
    if let Some(leg) = core.take_at(now, Place::Session(id, end)) {
        core.linger(now, leg.media.session);
    }
    let Some(session) = core.one.sessions.get_mut(&id) else { return };
    if end == End::Originating && session.phase == Phase::Live && !session.live.is_drained() {
        session.closing = Some(reason);
        return;
    }
    core.hang_up_at(now, Place::Session(id, end.opposite()), reason.as_deref());
    over(core, now, id);
}

/// One side is gone without a BYE.
pub(in crate::pf) fn on_lost(core: &mut Core, now: Instant, id: SessionId, end: End) {
    core.hang_up_at(now, Place::Session(id, end), None);
    core.hang_up_at(now, Place::Session(id, end.opposite()), Some(GONE));
    over(core, now, id);
}

/// Ends both legs of a session that a newer one replaces (NOTE 2).
pub(in crate::pf) fn replace(core: &mut Core, now: Instant, id: SessionId) {
    for end in [End::Terminating, End::Originating] {
        core.hang_up_at(now, Place::Session(id, end), Some(ELSEWHERE));
    }
    over(core, now, id);
}

/// The session is over: what the user has not acknowledged is deferred.
pub(in crate::pf) fn over(core: &mut Core, now: Instant, id: SessionId) {
    let Some(mut session) = core.one.sessions.remove(&id) else { return };
    if let Some(media) = session.offered.take() {
        core.close_offer(now, &media);
    }
    forget_invites(core, id);
    for (number, mut item) in session.live.take_all() {
        if is_notification(&item) {
            core.written_off(session.sender, number, &item);
            keep_notification(core, now, session.sender, number, item);
            continue;
        }
        item.origin = None;
        core.one[session.sender].deferred.push(number, item);
    }
}

/// Whether a message of a session is a notification, which is deferred as such.
pub(in crate::pf) fn is_notification(item: &Item) -> bool {
    notifications::read(&item.content_type, &item.body).is_some()
}

fn keep_notification(core: &mut Core, now: Instant, sender: SenderId, number: u64, item: Item) {
    let user = core.one[sender].user;
    let notification = notification_of(core, sender, item.device, item.identifiers, item.body);
    let former = Some(Key::OneToOne(sender.0, number));
    disposition_notifications::keep_in_place_of(core, now, user, notification, Answer::Nobody, former);
}

/// The process before this one died: no session outlives it. Messages lie on their shelves already;
/// notifications that were on their way are kept for the next trigger.
pub(in crate::pf) fn resume(core: &mut Core, now: Instant) {
    for (sender, number, item) in std::mem::take(&mut core.one.stranded) {
        let user = core.one[sender].user;
        core.notifications.of(user).stopped = true;
        keep_notification(core, now, sender, number, item);
    }
}

fn forget_invites(core: &mut Core, id: SessionId) {
    core.one.invites.retain(|_, place| *place != Place::Session(id, End::Terminating));
}

/// A message was stored for a user: it follows those that were delivered already, at once if the
/// user is still there.
pub(in crate::pf) fn on_stored(core: &mut Core, now: Instant, sender: SenderId) {
    if core.one.deliveries.contains_key(&Shelf::Sender(sender)) {
        delivery::pump(core, now, Shelf::Sender(sender));
    } else {
        one_to_one_delivery::follow(core, now, sender);
    }
}
