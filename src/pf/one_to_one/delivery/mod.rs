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

mod invitation;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

pub(in crate::pf) use self::invitation::{
    Particulars, Recipe, adopt_invited, adopt_leg, follow, handle, is_withdrawn, on_failed, on_further_answer, on_ringing_limit,
    open, withdraw,
};
use super::{Place, Shelf};
use crate::clause::Clause;
use crate::endpoint::{MsrpId, TransactionId};
use crate::msrp::Outcome;
use crate::pf::core::{Call, Core};
use crate::pf::headers::ELSEWHERE;
use crate::pf::leg::{Leg, Media};
use crate::pf::policy::Delivered;
use crate::pf::procedures::deferred_handling::{self, Departure};
use crate::pf::procedures::{inactive_group, notification_sending, one_to_one_delivery};
use crate::pf::relay::{Flight, ends_session};
use crate::pf::schedule::Alarm;
use crate::time::Instant;
use crate::wire::sip::{Builder, Message};

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
