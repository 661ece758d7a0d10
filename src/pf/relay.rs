//! Messages on their way through the PF, which is an MSRP endpoint on each leg (5.2.1.2, RFC 4975).
//!
//! What the focus sends is stored, acknowledged once it is durable, and sent to the Client from the
//! store; what the Client sends is acknowledged and passed on. Reports are sent hop by hop.

use std::collections::BTreeMap;

use super::core::Core;
use super::procedures::active_group;
use super::procedures::deferred_handling::{self, Silence};
use super::schedule::Alarm;
use super::state::{Delivery, GroupId, Phase, Side};
use crate::endpoint::MsrpId;
use crate::msrp::{self, Incoming, Outcome, Outgoing, Report};
use crate::time::Instant;
use crate::wire::msrp::FailureReport;

/// A message of ours that has no outcome yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Flight {
    /// A stored message on its way to the Client.
    Stored(GroupId, u64),
    /// A message that the PF made itself; nothing hangs on it.
    Own(GroupId),
    /// A message of the Client on its way to the focus.
    Forwarded {
        /// The group.
        group: GroupId,
        /// The session that it came by.
        back: MsrpId,
        /// What a failure is reported with; `None` when the Client wants no report.
        report: Option<(String, u64)>,
    },
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

    /// Forgets what a session has on its way.
    pub(super) fn forget(&mut self, session: MsrpId) {
        self.0.remove(&session);
    }
}

impl Core {
    /// Handles an event of an MSRP session.
    pub(super) fn on_msrp(&mut self, now: Instant, session: MsrpId, event: msrp::Event) {
        let place = self.media.get(&session).copied();
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
            self.flights.forget(session);
            self[group].deferred.rewind();
            self.pump(now, group);
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

    /// A message of the Client: to the focus at once, whatever is on its way to the Client (AMB-32).
    fn forward(&mut self, now: Instant, group: GroupId, session: MsrpId, incoming: Incoming) {
        if incoming.content_type.is_empty() {
            return self.endpoint.msrp_answer(now, session, incoming.token, 200);
        }
        if incoming.body.len() > self.policy.max_size {
            return self.endpoint.msrp_answer(now, session, incoming.token, 413);
        }
        let Some(focus) = self[group].focus_leg.as_ref().map(|leg| leg.media.session) else {
            return self.endpoint.msrp_answer(now, session, incoming.token, 403);
        };
        self.acknowledge_message(now, session, &incoming);
        let wanted = incoming.failure_report != FailureReport::No;
        let report = wanted.then(|| (incoming.message_id.clone(), incoming.body.len() as u64));
        let message_id = self.send_message(now, focus, incoming.content_type, incoming.body);
        self.flights.insert(focus, message_id, Flight::Forwarded { group, back: session, report });
    }

    /// Sends a message; failures have to be told, since delivered means answered by 200 (AMB-21).
    fn send_message(&mut self, now: Instant, session: MsrpId, content_type: String, body: bytes::Bytes) -> String {
        let outgoing = Outgoing {
            message_id: None,
            content_type,
            body,
            success_report: false,
            failure_report: FailureReport::Yes,
            chunk_size: self.policy.chunk_size,
        };
        self.endpoint.msrp_send(now, session, outgoing)
    }

    /// Sends a message that is not stored to the Client.
    pub(super) fn send_own(&mut self, now: Instant, group: GroupId, content_type: &str, body: String) {
        let Some(session) = self[group].client.as_ref().map(|leg| leg.media.session) else { return };
        let message_id = self.send_message(now, session, content_type.to_owned(), body.into());
        self.flights.insert(session, message_id, Flight::Own(group));
    }

    /// Sends what is due to the Client: one by one while stored data is delivered, several at a
    /// time in a live session, and always in the order in which it came.
    pub(super) fn pump(&mut self, now: Instant, group: GroupId) {
        let live = match self[group].phase {
            Phase::Live => true,
            Phase::DrainRj | Phase::DrainPf(Delivery::Sending) => false,
            Phase::Inviting { .. }
            | Phase::Joining { .. }
            | Phase::Held
            | Phase::Dormant
            | Phase::Gone
            | Phase::DrainPf(Delivery::Invited { .. }) => return,
        };
        let window = if live { self.policy.window } else { 1 };
        while self[group].deferred.outstanding() < window {
            if !self.send_next(now, group) {
                break;
            }
        }
        if !live && self[group].deferred.is_drained() && self[group].client.as_ref().is_some_and(|leg| leg.acknowledged) {
            active_group::on_drained(self, now, group);
        }
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
        let current = self.media.contains_key(&session);
        match flight {
            Flight::Stored(group, number) => self.on_stored_sent(now, (group, number), current, outcome),
            Flight::Own(group) if current && ends_session(outcome) => {
                deferred_handling::on_silence(self, now, group, Side::Client, Silence::Media);
            }
            Flight::Own(_) => {}
            Flight::Forwarded { group, back, report } => {
                if let (Some((message_id, size)), Some(code)) = (report, failure_code(outcome)) {
                    self.endpoint.msrp_report(now, back, Report { message_id, code, size });
                }
                if current && ends_session(outcome) {
                    deferred_handling::on_silence(self, now, group, Side::Focus, Silence::Media);
                }
            }
        }
        if !current && !self.flights.any_of(session) {
            self.close_media(now, session);
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
const fn ends_session(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::TimedOut | Outcome::Refused(408 | 481 | 506))
}

const fn failure_code(outcome: Outcome) -> Option<u16> {
    match outcome {
        Outcome::Accepted => None,
        Outcome::Refused(code) => Some(code),
        Outcome::TimedOut | Outcome::Lost => Some(408),
    }
}

fn report(incoming: &Incoming, code: u16) -> Report {
    Report { message_id: incoming.message_id.clone(), code, size: incoming.body.len() as u64 }
}
