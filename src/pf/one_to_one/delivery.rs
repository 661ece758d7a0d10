//! A session of the PF's own that delivers what lies on a shelf: sendonly, and over when it is empty.
//!
//! It knows neither whose messages they are nor what comes next: the procedure that opens it gives
//! the INVITE, and is told how the session ended. A session with the Client that was begun for a group
//! which has ended since can be adopted: it goes on as one of these.
//!
//! ```text
//! open                 Invited               INVITE, with the first message in its body
//! 2xx                  Invited -> Sending    ACK; messages one by one, each after the 200 of the last
//! other, timeout       Invited -> over       kept
//! all delivered        Sending -> Closing    BYE
//! answer to that BYE   Closing -> over
//! BYE, loss            Sending -> over       the rest is kept
//! 2xx of another device   Sending -> Sending    ACK; BYE to the earlier one (NOTE 2)
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::{Place, Shelf};
use crate::clause::Clause;
use crate::endpoint::{DialogId, MsrpId, TransactionId};
use crate::msrp::Outcome;
use crate::pf::core::{Call, Core};
use crate::pf::headers::{self, Deferring, ELSEWHERE, Part, with_body};
use crate::pf::leg::{Leg, Media, SESSION_EXPIRES};
use crate::pf::media;
use crate::pf::policy::{Delivered, FirstMessage};
use crate::pf::procedures::deferred_handling::{self, Departure};
use crate::pf::procedures::{inactive_group, notification_sending, one_to_one_delivery};
use crate::pf::relay::{Flight, ends_session};
use crate::pf::schedule::Alarm;
use crate::pf::state::UserId;
use crate::time::Instant;
use crate::wire::sip::{Builder, Message, Name};

const SECOND_ANSWER: Clause = Clause::of("DGC-1.1-17");
const BYE_KEEPS: Clause = Clause::of("DGC-1.1-16");
const BYE_AFTER_ALL: Clause = Clause::of("DGC-1.1-15");

/// How long the PF waits for a success report before it ends the session without it.
const REPORT_LIMIT: Duration = Duration::from_secs(30);

/// How far a delivery session has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pf) enum Phase {
    /// The INVITE has no final response.
    Invited {
        /// The INVITE.
        call: TransactionId,
        /// Whether the PF has cancelled it.
        cancelled: bool,
    },
    /// It was accepted; messages are on their way.
    Sending,
    /// The BYE of the PF waits for its answer.
    Closing,
}

/// How a delivery session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pf) enum Ending {
    /// Everything was sent, and the BYE is answered.
    Complete,
    /// The INVITE failed: 408 without an answer, 503 without a way, 487 when the PF withdrew it.
    Refused {
        /// The status.
        status: u16,
        /// Retry-After.
        retry_after: Option<Duration>,
    },
    /// The Client sent a BYE.
    Left(Departure),
    /// The Client is gone without a BYE.
    Lost,
    /// Another session with the same user has taken its place.
    Replaced,
}

/// One delivery session.
#[derive(Debug)]
pub(in crate::pf) struct DeliverySession {
    pub(in crate::pf) phase: Phase,
    /// The medium that the INVITE offers.
    offered: Option<Media>,
    pub(in crate::pf) leg: Option<Leg>,
    /// The stored message that the INVITE carries.
    carried: Option<u64>,
    /// Messages of the PF's own that go before the stored ones, or behind them by policy: Content-Type
    /// and body.
    announced: VecDeque<(String, Bytes)>,
    /// The one of those that waits for its answer.
    announcing: Option<(String, Bytes)>,
    /// Messages that were answered 200 and wait for their success report.
    unreported: Vec<(String, u64)>,
    /// The Reason of the BYE at the end.
    farewell: Option<String>,
}

impl DeliverySession {
    fn new(phase: Phase) -> Self {
        Self {
            phase,
            offered: None,
            leg: None,
            carried: None,
            announced: VecDeque::new(),
            announcing: None,
            unreported: Vec::new(),
            farewell: None,
        }
    }
}

/// What a delivery session is opened with.
#[derive(Debug)]
pub(in crate::pf) struct Recipe {
    /// The INVITE without its body.
    pub(in crate::pf) invite: Builder,
    /// The SDP whose content attributes the offer repeats.
    pub(in crate::pf) template: String,
    /// The stored message that the INVITE is to carry.
    pub(in crate::pf) carried: Option<u64>,
}

/// What tells one delivery session of the PF from another.
#[derive(Debug)]
pub(in crate::pf) struct Particulars<'a> {
    /// Whom it is for.
    pub(in crate::pf) user: UserId,
    /// Whose messages they are.
    pub(in crate::pf) referred_by: &'a str,
    /// The service.
    pub(in crate::pf) service: &'a str,
    /// The values of Accept-Contact.
    pub(in crate::pf) accept_contact: Vec<String>,
    /// Conversation-ID, Contribution-ID and the like.
    pub(in crate::pf) identifiers: &'a [(String, String)],
    /// The first message that is stored.
    pub(in crate::pf) first: Option<u64>,
    /// The SDP of the original offer; empty when there was none.
    pub(in crate::pf) sdp: &'a str,
}

impl Recipe {
    /// The INVITE V3 for these particulars, under the policy of the PF.
    pub(in crate::pf) fn of(core: &Core, parts: Particulars<'_>) -> Self {
        let user = &core.users[parts.user];
        let invite = headers::deferred_invite(&Deferring {
            target: &user.uri,
            route: &user.route,
            identity: &core.config.identity,
            from: if core.policy.from_sender { parts.referred_by } else { &core.config.identity },
            referred_by: parts.referred_by,
            contact: &core.address(),
            service: parts.service,
            accept_contact: parts.accept_contact,
            identifiers: parts.identifiers,
            interval: SESSION_EXPIRES,
        });
        let carried = parts.first.filter(|_| core.policy.first_message != FirstMessage::MsrpOnly);
        let template = if parts.sdp.is_empty() { core.default_sdp() } else { parts.sdp.to_owned() };
        Self { invite, template, carried }
    }
}

/// Sends the INVITE. There is one session for each shelf at a time.
pub(in crate::pf) fn open(core: &mut Core, now: Instant, shelf: Shelf, recipe: Recipe) {
    let place = Place::Delivery(shelf);
    let mut media = core.open_media_at(place);
    core.endpoint.msrp_forks(media.session);
    let sdp = media.offer(core.endpoint.config(), &recipe.template, Some("sendonly"));
    let carried = recipe.carried.and_then(|number| core.shelf(shelf).get(number));
    let part = carried.map(|item| Part { content_type: item.content_type.clone(), disposition: None, body: item.body.clone() });
    let invite = with_body(recipe.invite, &sdp, part.as_slice());
    let call = core.endpoint.send(now, invite);
    core.calls.insert(call, Call::DeliveryAt(shelf));
    core.one.invites.insert(call, place);
    // A 100 ends timer B, so from then on this limit alone runs.
    core.schedule.set(Alarm::RingingAt(shelf), now + core.policy.ringing_limit);
    let session = DeliverySession::new(Phase::Invited { call, cancelled: false });
    let session = DeliverySession { offered: Some(media), carried: recipe.carried, ..session };
    core.one.deliveries.insert(shelf, session);
}

/// Takes over an INVITE of the PF that has no final response, with the medium that it offers.
pub(in crate::pf) fn adopt_invited(
    core: &mut Core,
    now: Instant,
    shelf: Shelf,
    (call, cancelled): (TransactionId, bool),
    offered: Option<Media>,
    farewell: Option<String>,
) {
    let place = Place::Delivery(shelf);
    core.calls.insert(call, Call::DeliveryAt(shelf));
    core.one.invites.insert(call, place);
    core.schedule.set(Alarm::RingingAt(shelf), now + core.policy.ringing_limit);
    if let Some(media) = &offered {
        core.media.remove(&media.session);
        core.one.media.insert(media.session, place);
    }
    let session = DeliverySession { offered, farewell, ..DeliverySession::new(Phase::Invited { call, cancelled }) };
    core.one.deliveries.insert(shelf, session);
}

/// Takes over a leg in which messages are on their way.
pub(in crate::pf) fn adopt_leg(core: &mut Core, now: Instant, shelf: Shelf, leg: Leg, farewell: Option<String>) {
    core.flights.hand_over(leg.media.session, shelf);
    let session = DeliverySession { farewell, ..DeliverySession::new(Phase::Sending) };
    core.one.deliveries.insert(shelf, session);
    core.attach_at(now, Place::Delivery(shelf), leg);
    pump(core, now, shelf);
}

/// The INVITE is repeated under another transaction.
pub(in crate::pf) fn follow(core: &mut Core, shelf: Shelf, before: TransactionId, again: TransactionId) {
    let Some(session) = core.one.deliveries.get_mut(&shelf) else { return };
    if let Phase::Invited { call, .. } = &mut session.phase
        && *call == before
    {
        *call = again;
        core.one.invites.remove(&before);
        core.one.invites.insert(again, Place::Delivery(shelf));
    }
}

/// Nobody answered the INVITE in time.
pub(in crate::pf) fn on_ringing_limit(core: &mut Core, now: Instant, shelf: Shelf) {
    core.note("the invitation rings for longer than the policy waits");
    withdraw(core, now, shelf);
}

/// Cancels a pending INVITE.
pub(in crate::pf) fn withdraw(core: &mut Core, now: Instant, shelf: Shelf) {
    let Some(session) = core.one.deliveries.get_mut(&shelf) else { return };
    if let Phase::Invited { call, cancelled } = &mut session.phase
        && !std::mem::replace(cancelled, true)
    {
        let call = *call;
        core.endpoint.cancel(now, call);
    }
}

/// Whether the INVITE was withdrawn and has no final response yet.
pub(in crate::pf) fn is_withdrawn(core: &Core, shelf: Shelf) -> bool {
    let session = core.one.deliveries.get(&shelf);
    session.is_some_and(|session| matches!(session.phase, Phase::Invited { cancelled: true, .. }))
}

/// The user is not there any more: the INVITE is withdrawn, or the session ended (AMB-45).
pub(in crate::pf) fn interrupt(core: &mut Core, now: Instant, shelf: Shelf) {
    match core.one.deliveries.get(&shelf).map(|session| session.phase) {
        Some(Phase::Invited { .. }) => withdraw(core, now, shelf),
        Some(Phase::Sending) => on_lost(core, now, shelf),
        Some(Phase::Closing) | None => {}
    }
}

/// Another session takes the place of this one (NOTE 2).
pub(in crate::pf) fn replace(core: &mut Core, now: Instant, shelf: Shelf) {
    if core.one.deliveries.get(&shelf).is_some_and(|session| session.phase == Phase::Sending) {
        core.because(SECOND_ANSWER, "another session with the user is newer");
        core.hang_up_at(now, Place::Delivery(shelf), Some(ELSEWHERE));
        over(core, now, shelf, Ending::Replaced);
    }
}

/// Takes the final response to the INVITE.
pub(in crate::pf) fn handle(
    core: &mut Core,
    now: Instant,
    shelf: Shelf,
    (invite, dialog): (TransactionId, Option<DialogId>),
    response: &Message,
) {
    let Some(session) = core.one.deliveries.get_mut(&shelf) else { return };
    let Phase::Invited { cancelled, .. } = session.phase else { return };
    core.schedule.stop(Alarm::RingingAt(shelf));
    let status = response.status().unwrap_or(500);
    match (status, dialog) {
        (200..=299, Some(dialog)) if cancelled => {
            core.release(now, invite, dialog);
            on_failed(core, now, shelf, 487, None);
        }
        (200..=299, Some(dialog)) => on_accepted(core, now, shelf, (invite, dialog), response),
        _ => {
            let after = response.value(Name::RetryAfter).and_then(|value| value.split([' ', ';', '(']).next()?.parse().ok());
            on_failed(core, now, shelf, if cancelled { 487 } else { status }, after.map(Duration::from_secs));
        }
    }
}

/// The INVITE failed, or was not answered.
pub(in crate::pf) fn on_failed(core: &mut Core, now: Instant, shelf: Shelf, status: u16, retry_after: Option<Duration>) {
    core.schedule.stop(Alarm::RingingAt(shelf));
    if let Some(media) = core.one.deliveries.get_mut(&shelf).and_then(|session| session.offered.take()) {
        core.close_offer(now, &media);
    }
    over(core, now, shelf, Ending::Refused { status, retry_after });
}

fn on_accepted(core: &mut Core, now: Instant, shelf: Shelf, answer: (TransactionId, DialogId), response: &Message) {
    let Some(session) = core.one.deliveries.get_mut(&shelf) else { return };
    let (Some(media), carried) = (session.offered.take(), session.carried.take()) else { return };
    if core.confirm_at(now, Place::Delivery(shelf), media, answer, response).is_none() {
        core.note("the answer has no medium that could be used");
        return over(core, now, shelf, Ending::Refused { status: 488, retry_after: None });
    }
    if let Some(session) = core.one.deliveries.get_mut(&shelf) {
        session.phase = Phase::Sending;
    }
    match shelf {
        Shelf::Sender(sender) => one_to_one_delivery::on_accepted(core, now, sender),
        Shelf::Group(group) => {
            let announced = inactive_group::on_accepted(core, now, group);
            if let Some(session) = core.one.deliveries.get_mut(&shelf) {
                session.announced = announced.into();
            }
        }
    }
    if let (Some(number), FirstMessage::InInviteOnly) = (carried, core.policy.first_message) {
        on_delivered(core, shelf, number);
    }
    pump(core, now, shelf);
}

/// A further 2xx to the INVITE, of another device: it is acknowledged; the newer session stays.
pub(in crate::pf) fn on_further_answer(
    core: &mut Core,
    now: Instant,
    shelf: Shelf,
    (invite, dialog): (TransactionId, DialogId),
    response: &Message,
) {
    let place = Place::Delivery(shelf);
    let sending = core.one.deliveries.get(&shelf).is_some_and(|session| session.phase == Phase::Sending);
    let usable = headers::sdp_of(response).as_deref().and_then(media::read).is_some();
    let Some(earlier) = (sending && usable).then(|| core.take_at(now, place)).flatten() else {
        return core.release(now, invite, dialog);
    };
    let media = earlier.media.fork(&mut core.endpoint);
    core.one.media.insert(media.session, place);
    core.because(SECOND_ANSWER, "a second device has answered: the earlier session ends");
    core.bye(now, &earlier, Some(ELSEWHERE));
    core.forget_flights(earlier.media.session);
    core.shelf_mut(shelf).retract();
    if core.confirm_at(now, place, media, (invite, dialog), response).is_none() {
        return over(core, now, shelf, Ending::Lost);
    }
    pump(core, now, shelf);
}

/// Sends what is due, one by one; ends the session when nothing is left.
pub(in crate::pf) fn pump(core: &mut Core, now: Instant, shelf: Shelf) {
    let ready =
        |session: &DeliverySession| session.phase == Phase::Sending && session.leg.as_ref().is_some_and(|leg| leg.acknowledged);
    if !core.one.deliveries.get(&shelf).is_some_and(ready) {
        return;
    }
    while send_next(core, now, shelf) {}
    let Some(session) = core.one.deliveries.get(&shelf) else { return };
    let announced = session.announced.is_empty() && session.announcing.is_none();
    if announced && session.unreported.is_empty() && core.shelf(shelf).is_drained() {
        finish(core, now, shelf);
    }
}

/// Sends the next message; `false` when there is none, or the Client takes none now.
fn send_next(core: &mut Core, now: Instant, shelf: Shelf) -> bool {
    let Some(session) = core.one.deliveries.get(&shelf) else { return false };
    let Some(leg) = session.leg.as_ref().filter(|leg| core.bound.contains(&leg.media.session)) else { return false };
    let Some(remote) = leg.media.remote.as_ref().filter(|remote| remote.receives) else { return false };
    let (media, deferred) = (leg.media.session, core.shelf(shelf));
    if session.announcing.is_some() || deferred.outstanding() > 0 {
        return false;
    }
    if !session.announced.is_empty() && (!core.policy.group_state_last || deferred.is_drained()) {
        announce(core, now, shelf, media);
        return true;
    }
    let Some((number, item)) = deferred.next() else { return false };
    if !remote.takes(&item.content_type, &item.body) {
        core.shelf_mut(shelf).skip(number);
        core.note("a stored message is of a type that the Client does not accept: kept");
        return true;
    }
    let (content_type, body) = (item.content_type.clone(), item.body.clone());
    core.shelf_mut(shelf).sent(number);
    let reported = core.policy.delivered == Delivered::SuccessReport;
    core.send_on(now, media, content_type, body, Flight::Shelved { shelf, number, reported });
    true
}

/// Sends the next message of the PF's own.
fn announce(core: &mut Core, now: Instant, shelf: Shelf, media: MsrpId) {
    let Some(session) = core.one.deliveries.get_mut(&shelf) else { return };
    if let Some((content_type, body)) = session.announced.pop_front() {
        session.announcing = Some((content_type.clone(), body.clone()));
        core.send_on(now, media, content_type, body, Flight::Announced(shelf));
    }
}

/// Everything is delivered, or was refused for itself: the PF ends the session.
fn finish(core: &mut Core, now: Instant, shelf: Shelf) {
    let Some(leg) = core.take_at(now, Place::Delivery(shelf)) else { return };
    let Some(session) = core.one.deliveries.get_mut(&shelf) else { return };
    session.phase = Phase::Closing;
    let bye = Builder::request("BYE", "").push_some("Reason", session.farewell.take());
    core.because(BYE_AFTER_ALL, "all messages of the session are delivered");
    match core.endpoint.send_in(now, leg.dialog, bye) {
        Some(call) => drop(core.calls.insert(call, Call::Completed(shelf, leg.media.session))),
        None => on_closed(core, now, shelf, leg.media.session),
    }
}

/// The BYE is answered, or never will be.
pub(in crate::pf) fn on_closed(core: &mut Core, now: Instant, shelf: Shelf, media: MsrpId) {
    core.close_media(now, media);
    over(core, now, shelf, Ending::Complete);
}

/// A message has its outcome; `awaited` is the Message-ID that its success report will name.
pub(in crate::pf) fn on_sent(
    core: &mut Core,
    now: Instant,
    (shelf, number): (Shelf, u64),
    (media, awaited): (MsrpId, Option<&str>),
    outcome: Outcome,
) {
    let current = core.one.media.get(&media) == Some(&Place::Delivery(shelf));
    match (outcome, awaited) {
        (Outcome::Accepted, Some(message_id)) if current => {
            if let Some(session) = core.one.deliveries.get_mut(&shelf) {
                session.unreported.push((message_id.to_owned(), number));
                core.schedule.set(Alarm::NoReport(shelf), now + REPORT_LIMIT);
            }
            core.shelf_mut(shelf).skip(number);
        }
        (Outcome::Accepted, _) => on_delivered(core, shelf, number),
        // The connection that broke says so itself, and has its time of grace.
        (Outcome::Lost, _) => return,
        _ if !current => return,
        _ if ends_session(outcome) => return on_lost(core, now, shelf),
        // 413, 415 and the like concern this message alone; it stays stored (AMB-21).
        (Outcome::Refused(_) | Outcome::TimedOut, _) => core.shelf_mut(shelf).skip(number),
    }
    if current {
        pump(core, now, shelf);
    }
}

/// A message of the PF's own has its outcome; a refusal concerns it alone.
pub(in crate::pf) fn on_announced(core: &mut Core, now: Instant, shelf: Shelf, media: MsrpId, outcome: Outcome) {
    if core.one.media.get(&media) != Some(&Place::Delivery(shelf)) || outcome == Outcome::Lost {
        return;
    }
    if let Some(session) = core.one.deliveries.get_mut(&shelf) {
        session.announcing = None;
    }
    if ends_session(outcome) {
        return on_lost(core, now, shelf);
    }
    pump(core, now, shelf);
}

/// The Client reported on a message.
pub(in crate::pf) fn on_report(core: &mut Core, now: Instant, media: MsrpId, message_id: &str, code: u16) {
    let Some(Place::Delivery(shelf)) = core.one.media.get(&media).copied() else { return };
    let Some(session) = core.one.deliveries.get_mut(&shelf) else { return };
    let Some(at) = session.unreported.iter().position(|(own, _)| own == message_id) else { return };
    let (_, number) = session.unreported.swap_remove(at);
    if code == 200 {
        on_delivered(core, shelf, number);
    }
    pump(core, now, shelf);
}

/// Reports did not come in time: the messages stay stored.
pub(in crate::pf) fn on_report_limit(core: &mut Core, now: Instant, shelf: Shelf) {
    if let Some(session) = core.one.deliveries.get_mut(&shelf) {
        session.unreported.clear();
        core.note("no success report came: the message stays stored");
        pump(core, now, shelf);
    }
}

/// A message is delivered as far as this session can tell (AMB-21).
fn on_delivered(core: &mut Core, shelf: Shelf, number: u64) {
    let remote = core.leg_at(Place::Delivery(shelf)).and_then(|leg| leg.media.remote.as_ref());
    let notifies = remote.is_none_or(|remote| notification_sending::is_supported(core, remote));
    if core.policy.delivered == Delivered::Notification && notifies {
        return core.shelf_mut(shelf).skip(number);
    }
    // Of a Client that sends no notifications the PF may tell the sender itself, once all is delivered.
    match shelf {
        Shelf::Sender(sender) if !notifies => core.keep_untold(sender, number),
        Shelf::Sender(_) | Shelf::Group(_) => drop(core.forget_stored(shelf, number)),
    }
}

/// The connection is up, perhaps anew: what was on its way by the former one is due again.
pub(in crate::pf) fn on_bound(core: &mut Core, now: Instant, shelf: Shelf, media: MsrpId) {
    core.forget_flights(media);
    core.shelf_mut(shelf).retract();
    if let Some(session) = core.one.deliveries.get_mut(&shelf)
        && let Some(again) = session.announcing.take()
    {
        session.announced.push_front(again);
    }
    pump(core, now, shelf);
}

/// The Client ends the session (NOTE 1).
pub(in crate::pf) fn on_bye(core: &mut Core, now: Instant, shelf: Shelf, message: &Message) {
    let Some(leg) = core.take_at(now, Place::Delivery(shelf)) else { return };
    core.because(BYE_KEEPS, "what is not delivered is kept");
    core.linger(now, leg.media.session);
    over(core, now, shelf, Ending::Left(deferred_handling::departure(message)));
}

/// The Client is gone without a BYE.
pub(in crate::pf) fn on_lost(core: &mut Core, now: Instant, shelf: Shelf) {
    core.hang_up_at(now, Place::Delivery(shelf), None);
    over(core, now, shelf, Ending::Lost);
}

/// The session is over; the procedure that opened it goes on.
fn over(core: &mut Core, now: Instant, shelf: Shelf, ending: Ending) {
    if core.one.deliveries.remove(&shelf).is_none() {
        return;
    }
    core.schedule.stop(Alarm::NoReport(shelf));
    core.one.invites.retain(|_, place| *place != Place::Delivery(shelf));
    core.shelf_mut(shelf).rewind();
    match shelf {
        Shelf::Sender(sender) => one_to_one_delivery::on_over(core, now, sender, ending),
        Shelf::Group(group) => inactive_group::on_over(core, now, group, ending),
    }
}
