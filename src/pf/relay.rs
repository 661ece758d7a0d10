//! Messages on their way through the PF, which is an MSRP endpoint on each leg (5.2.1.2, RFC 4975).
//!
//! What the focus sends is stored, acknowledged once it is durable, and sent to the Client from the
//! store. What the Client sends is in [`super::outbox`]. Reports are sent hop by hop.

use std::collections::BTreeMap;

use super::core::Core;
use super::group_state::{self, Announcement};
use super::one_to_one::{SessionId, Shelf, delivery, legs, session};
use super::procedures::deferred_handling::{self, Silence};
use super::procedures::{active_group, disposition_notifications, restart};
use super::schedule::Alarm;
use super::state::{Delivery, GroupId, Phase, Restart, Side, UserId};
use crate::endpoint::MsrpId;
use crate::msrp::{self, Incoming, Outcome, Outgoing, Report};
use crate::time::Instant;
use crate::wire::msrp::FailureReport;

/// A message of ours that has no outcome yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Flight {
    /// A stored message on its way to the Client.
    Stored(GroupId, u64),
    /// The group state object, which the PF made itself.
    Roster(GroupId),
    /// A disposition notification on its way to a user.
    Notification(UserId, u64),
    /// A stored message in a delivery session.
    Shelved {
        /// The shelf.
        shelf: Shelf,
        /// Its number.
        number: u64,
        /// Whether it asks for a success report.
        reported: bool,
    },
    /// A message that the PF made itself, in a delivery session.
    Announced(Shelf),
    /// A message of an original sender on its way to the user.
    Live(SessionId, u64),
    /// A message of the user on its way to the original sender.
    AnsweredBack {
        /// The session.
        session: SessionId,
        /// The MSRP session that it came by.
        back: MsrpId,
        /// The message, whose answer is due.
        incoming: Incoming,
    },
    /// A message of the Client on its way to the focus.
    Forwarded(GroupId, u64),
}

/// Messages on their way, by session and Message-ID.
#[derive(Debug, Default)]
pub(super) struct Flights(BTreeMap<MsrpId, BTreeMap<String, Flight>>);

impl Flights {
    fn insert(&mut self, session: MsrpId, message_id: String, flight: Flight) {
        self.0.entry(session).or_default().insert(message_id, flight);
    }

    fn take(&mut self, session: MsrpId, message_id: &str) -> Option<Flight> {
        let flights = self.0.get_mut(&session)?;
        let flight = flights.remove(message_id);
        if flights.is_empty() {
            self.0.remove(&session);
        }
        flight
    }

    /// Whether answers are due in a session.
    pub(super) fn any_of(&self, session: MsrpId) -> bool {
        self.0.contains_key(&session)
    }

    /// What stored messages a session has on its way are those of a delivery session from now on.
    pub(super) fn hand_over(&mut self, session: MsrpId, shelf: Shelf) {
        for flight in self.0.get_mut(&session).into_iter().flat_map(BTreeMap::values_mut) {
            if let Flight::Stored(_, number) = *flight {
                // It left before the delivery session was one, and asks for no report.
                *flight = Flight::Shelved { shelf, number, reported: false };
            }
        }
    }

    /// Forgets what a session has on its way.
    pub(super) fn forget(&mut self, session: MsrpId) {
        self.0.remove(&session);
    }
}

impl Core {
    /// Handles an event of an MSRP session.
    pub(super) fn on_msrp(&mut self, now: Instant, session: MsrpId, event: msrp::Event) {
        let place = self.media.get(&session).copied();
        if let (Some(place), false) = (self.one.media.get(&session).copied(), matches!(event, msrp::Event::Sent { .. })) {
            return legs::on_msrp(self, now, place, session, event);
        }
        match (event, place) {
            (msrp::Event::Sent { message_id, outcome }, _) => self.on_sent(now, session, &message_id, outcome),
            (msrp::Event::Bound, Some((group, side))) => self.on_bound(now, session, group, side),
            (msrp::Event::Received(incoming), Some((group, Side::Focus))) => {
                deferred_handling::on_message(self, now, group, session, incoming);
            }
            (msrp::Event::Received(incoming), Some((group, Side::Client))) => self.forward(now, group, session, incoming),
            (msrp::Event::Received(incoming), None) => self.endpoint.msrp_answer(now, session, incoming.token, 481),
            // The PF sent its own report when the message was complete (reference 2.7).
            (msrp::Event::Report { .. }, _) | (msrp::Event::Bound | msrp::Event::Lost, None) => {}
            (msrp::Event::Lost, Some((group, side))) => self.on_unbound(now, session, group, side),
        }
    }

    /// A leg has its connection, perhaps a new one: what was on its way by the old one is due again.
    fn on_bound(&mut self, now: Instant, session: MsrpId, group: GroupId, side: Side) {
        self.bound.insert(session);
        self.schedule.stop(Alarm::Disconnected(group, side));
        if side == Side::Client {
            self[group].again = false;
            self.forget_flights(session);
            self[group].deferred.rewind();
            if self[group].announcement == Announcement::Sent {
                self[group].announcement = Announcement::Due;
            }
            self.pump(now, group);
        } else {
            self.on_focus_bound(now, group, session);
        }
    }

    /// A connection broke. A peer that ends its session closes the connection too, and its BYE may
    /// take longer than that: the PF waits for it before it takes the peer for lost.
    fn on_unbound(&mut self, now: Instant, session: MsrpId, group: GroupId, side: Side) {
        self.bound.remove(&session);
        let alarm = Alarm::Disconnected(group, side);
        if self[group].leg(side).is_some_and(|leg| leg.media.session == session) && !self.schedule.runs(alarm) {
            self.schedule.set(alarm, now + self.policy.loss_grace);
        }
    }

    /// Answers a whole message, and reports success where that was asked for.
    pub(super) fn acknowledge_message(&mut self, now: Instant, session: MsrpId, incoming: &Incoming) {
        self.endpoint.msrp_answer(now, session, incoming.token, 200);
        if incoming.success_report {
            self.endpoint.msrp_report(now, session, report(incoming, 200));
        }
    }

    /// Sends a message; failures have to be told, since delivered means answered by 200 (AMB-21).
    fn send_message(&mut self, now: Instant, session: MsrpId, content_type: String, body: bytes::Bytes) -> String {
        self.send_outgoing(now, session, content_type, body, false)
    }

    fn send_outgoing(&mut self, now: Instant, session: MsrpId, content_type: String, body: bytes::Bytes, report: bool) -> String {
        let outgoing = Outgoing {
            message_id: None,
            content_type,
            body,
            success_report: report,
            failure_report: FailureReport::Yes,
            chunk_size: self.policy.chunk_size,
        };
        self.endpoint.msrp_send(now, session, outgoing)
    }

    /// Sends the group state object as soon as the leg to the Client can take it.
    fn announce(&mut self, now: Instant, group: GroupId) {
        let ready = self[group].client.as_ref().filter(|leg| leg.acknowledged && self.bound.contains(&leg.media.session));
        let Some(leg) = ready else { return };
        let (session, remote) = (leg.media.session, leg.media.remote.clone().unwrap_or_default());
        self[group].announcement = Announcement::Nothing;
        if let Some((content_type, body)) = group_state::message(self, now, group, &remote) {
            self[group].announcement = Announcement::Sent;
            let message_id = self.send_message(now, session, content_type, body);
            self.flights.insert(session, message_id, Flight::Roster(group));
        }
    }

    /// Sends a message in a session; `flight` tells what its outcome is for.
    pub(super) fn send_on(&mut self, now: Instant, session: MsrpId, content_type: String, body: bytes::Bytes, flight: Flight) {
        let report = matches!(flight, Flight::Shelved { reported: true, .. });
        let message_id = self.send_outgoing(now, session, content_type, body, report);
        self.flights.insert(session, message_id, flight);
    }

    /// Sends what is due to the Client: one by one while stored data is delivered, several at a
    /// time in a live session, and always in the order in which it came.
    pub(super) fn pump(&mut self, now: Instant, group: GroupId) {
        let live = match self[group].phase {
            Phase::Live => true,
            Phase::DrainRj | Phase::Restarting(_) | Phase::DrainPf(Delivery::Sending) => false,
            Phase::Inviting { .. }
            | Phase::Joining { .. }
            | Phase::Held
            | Phase::Dormant
            | Phase::Gone
            | Phase::DrainPf(Delivery::Invited { .. }) => return,
        };
        let announced_last = self.policy.group_state_last;
        if !announced_last && !self.is_announced(now, group) {
            return;
        }
        let window = if live { self.policy.window } else { 1 };
        while self[group].deferred.outstanding() < window {
            if !self.send_next(now, group) {
                break;
            }
        }
        if live {
            return disposition_notifications::pump(self, now, self[group].user);
        }
        let drained = self[group].deferred.is_drained() && self[group].client.as_ref().is_some_and(|leg| leg.acknowledged);
        if !drained || !self.is_announced(now, group) {
            return;
        }
        match self[group].phase {
            Phase::Restarting(Restart::Failed { status }) => restart::end(self, now, group, status),
            // The delivery is complete; the group goes on when the CF has answered.
            Phase::Restarting(Restart::Asked { .. }) => {}
            _ => active_group::on_drained(self, now, group),
        }
    }

    /// Whether no group state object is due any more; one that is due is sent if that can be done.
    fn is_announced(&mut self, now: Instant, group: GroupId) -> bool {
        if self[group].announcement == Announcement::Due {
            self.announce(now, group);
        }
        self[group].announcement == Announcement::Nothing
    }

    /// Sends the next stored message; `false` when there is none, or the Client takes none now.
    fn send_next(&mut self, now: Instant, id: GroupId) -> bool {
        let (group, bound) = (&mut self.groups[id.0 as usize], &self.bound);
        let ready = group.client.as_ref().filter(|leg| leg.acknowledged && bound.contains(&leg.media.session));
        let Some(leg) = ready else { return false };
        let Some(remote) = leg.media.remote.as_ref().filter(|remote| remote.receives) else { return false };
        let Some((number, item)) = group.deferred.next() else { return false };
        if !remote.accepts(&item.content_type) {
            group.deferred.skip(number);
            self.note("a stored message is of a type that the Client does not accept: kept");
            return true;
        }
        let (session, content_type, body) = (leg.media.session, item.content_type.clone(), item.body.clone());
        group.deferred.sent(number);
        let message_id = self.send_message(now, session, content_type, body);
        self.flights.insert(session, message_id, Flight::Stored(id, number));
        true
    }

    fn on_sent(&mut self, now: Instant, session: MsrpId, message_id: &str, outcome: Outcome) {
        let Some(flight) = self.flights.take(session, message_id) else { return };
        let current = self.media.contains_key(&session) || self.one.media.contains_key(&session);
        match flight {
            Flight::Notification(user, number) => {
                disposition_notifications::on_sent(self, now, (user, number), session, outcome);
            }
            Flight::Shelved { shelf, number, reported } => {
                let awaited = reported.then_some(message_id);
                delivery::on_sent(self, now, (shelf, number), (session, awaited), outcome);
            }
            Flight::Live(id, number) => session::on_sent(self, now, id, number, outcome),
            Flight::AnsweredBack { session: id, back, incoming } => {
                session::on_answered_back(self, now, id, (back, &incoming), outcome);
            }
            Flight::Stored(group, number) => self.on_stored_sent(now, (group, number), current, outcome),
            Flight::Roster(group) if current => self.on_announced(now, group, outcome),
            Flight::Roster(_) => {}
            Flight::Announced(shelf) => delivery::on_announced(self, now, shelf, session, outcome),
            Flight::Forwarded(group, number) => self.on_forwarded(now, (group, number), current, outcome),
        }
        if !current && !self.flights.any_of(session) {
            self.close_media(now, session);
        }
    }

    /// The Client has answered, or not answered, the group state object: a refusal concerns it alone.
    fn on_announced(&mut self, now: Instant, group: GroupId, outcome: Outcome) {
        if ends_session(outcome) {
            return deferred_handling::on_silence(self, now, group, Side::Client, Silence::Media);
        }
        if outcome != Outcome::Lost {
            self[group].announcement = Announcement::Nothing;
            self.pump(now, group);
        }
    }

    /// The Client has answered, or not answered, a stored message.
    fn on_stored_sent(&mut self, now: Instant, (group, number): (GroupId, u64), current: bool, outcome: Outcome) {
        match outcome {
            Outcome::Accepted => drop(self.forget_message(group, number)),
            // The connection that broke says so itself, and has its time of grace.
            Outcome::Lost => return,
            _ if !current => return,
            _ if ends_session(outcome) => {
                return deferred_handling::on_silence(self, now, group, Side::Client, Silence::Media);
            }
            Outcome::Refused(code) if self.is_live(group) => self.refuse_live(now, group, number, code),
            // 413, 415 and the like concern this message alone; it stays stored (AMB-21).
            Outcome::Refused(_) | Outcome::TimedOut => self[group].deferred.skip(number),
        }
        self.pump(now, group);
    }

    /// A Client that is there refused a live message: nothing is deferred, its sender is told.
    fn refuse_live(&mut self, now: Instant, group: GroupId, number: u64, code: u16) {
        if let Some(item) = self.forget_message(group, number)
            && let Some(origin) = item.origin
        {
            let size = item.body.len() as u64;
            self.endpoint.msrp_report(now, origin.session, Report { message_id: origin.message_id, code, size });
        }
    }
}

/// Whether an outcome says that the session is of no use any more (AMB-21).
///
/// A broken connection says so itself, and has its time of grace.
pub(super) const fn ends_session(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::TimedOut | Outcome::Refused(408 | 481 | 506))
}

pub(super) const fn failure_code(outcome: Outcome) -> Option<u16> {
    match outcome {
        Outcome::Accepted => None,
        Outcome::Refused(code) => Some(code),
        Outcome::TimedOut | Outcome::Lost => Some(408),
    }
}

fn report(incoming: &Incoming, code: u16) -> Report {
    Report { message_id: incoming.message_id.clone(), code, size: incoming.body.len() as u64 }
}
