//! What a Client has written to a group and the focus has not acknowledged.
//!
//! A message is acknowledged to the Client once it is durable, goes to the focus in the order in
//! which it came, and stays stored until the focus has answered. While there is no focus leg it
//! waits: for the re-start of the group that is under way, or for the next one when the Client, or
//! the process, is gone meanwhile and nobody can be told any more.
//!
//! ```text
//! SEND of the Client     Storing
//! durable                Storing -> Waiting     200
//! focus leg connected    Waiting -> Sent
//! answer of the focus    Sent -> gone           a refusal is reported
//! connection lost        Sent -> Waiting        or gone, if the Client was told
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::core::Core;
use super::deferred::Origin;
use super::journal::Waiting;
use super::procedures::deferred_handling::{self, Silence};
use super::procedures::disposition_notifications;
use super::relay::{Flight, ends_session, failure_code};
use super::state::{GroupId, Phase, Side};
use super::store::{self, Key};
use crate::endpoint::MsrpId;
use crate::msrp::{Incoming, Outcome, Report};
use crate::time::Instant;
use crate::wire::msrp::FailureReport;

/// How many messages of a Client may wait for the focus.
const LIMIT: usize = 1_000;

/// What the Client is owed when a message gets nowhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Owed {
    /// A failure report in the session that it came by.
    Report(Origin),
    /// Nothing: it asked for no report.
    Nothing,
    /// The delivery: the session that it came by is over, so a failure cannot be told.
    Delivery,
}

/// Where a message stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    /// The store does not have it for good yet.
    Storing,
    /// It waits for the focus leg.
    Waiting,
    /// It was sent, and is not answered.
    Sent,
}

/// A message of the Client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Unsent {
    /// Its Content-Type.
    pub(super) content_type: String,
    /// Its body.
    pub(super) body: Bytes,
    /// What the Client is owed when it gets nowhere.
    pub(super) owed: Owed,
    /// When it came.
    pub(super) since: Instant,
}

impl Unsent {
    /// Whether the Client is to be told when it gets nowhere.
    pub(super) const fn wants_report(&self) -> bool {
        matches!(self.owed, Owed::Report(_))
    }
}

/// The messages of one group, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Outbox(BTreeMap<u64, (Unsent, Standing)>);

impl Outbox {
    /// Takes up a message of the process before.
    pub(super) fn restore(&mut self, number: u64, unsent: Unsent) {
        self.0.insert(number, (unsent, Standing::Waiting));
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When the oldest message came of those that wait.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let mut waiting = self.0.values().filter(|(_, standing)| *standing == Standing::Waiting);
        waiting.next().map(|(unsent, _)| unsent.since)
    }

    /// The session with the Client is over: what was acknowledged in it can only be delivered.
    pub(super) fn orphan(&mut self) {
        for (unsent, _) in self.0.values_mut() {
            if matches!(unsent.owed, Owed::Report(_)) {
                unsent.owed = Owed::Delivery;
            }
        }
    }

    /// The focus leg has a connection, perhaps a new one: what is not answered is due again.
    fn rewind(&mut self) {
        for (_, standing) in self.0.values_mut().filter(|(_, standing)| *standing == Standing::Sent) {
            *standing = Standing::Waiting;
        }
    }

    /// The next message to send: the oldest that was not sent, if it is durable.
    fn next(&mut self) -> Option<(u64, &mut (Unsent, Standing))> {
        let next = self.0.iter_mut().find(|(_, (_, standing))| *standing != Standing::Sent);
        next.filter(|(_, (_, standing))| *standing == Standing::Waiting).map(|(number, entry)| (*number, entry))
    }
}

impl Core {
    /// A message of the Client: to the focus, whatever is on its way to the Client (AMB-32).
    pub(super) fn forward(&mut self, now: Instant, group: GroupId, session: MsrpId, incoming: Incoming) {
        let refusal = match &self[group] {
            _ if incoming.content_type.is_empty() => Some(200),
            _ if incoming.body.len() > self.policy.max_size => Some(413),
            own if own.focus_leg.is_none() && !matches!(own.phase, Phase::Restarting(_)) => Some(403),
            own if own.outbox.0.len() >= LIMIT => Some(413),
            _ => None,
        };
        if let Some(code) = refusal {
            return self.endpoint.msrp_answer(now, session, incoming.token, code);
        }
        self.journal.last_number += 1;
        let number = self.journal.last_number;
        let owed = match incoming.failure_report {
            FailureReport::No => Owed::Nothing,
            FailureReport::Yes | FailureReport::Partial => {
                Owed::Report(Origin { session, message_id: incoming.message_id.clone() })
            }
        };
        let unsent = Unsent { content_type: incoming.content_type.clone(), body: incoming.body.clone(), owed, since: now };
        let writes = self.with_group(group, Key::Unsent(group.0, number), store::encode_unsent(&unsent));
        self[group].outbox.0.insert(number, (unsent, Standing::Storing));
        self.commit(writes, Waiting::Unsent { group, number, session, incoming });
    }

    /// A message of the Client is durable, or could not be stored.
    pub(super) fn on_unsent_kept(
        &mut self,
        now: Instant,
        (group, number): (GroupId, u64),
        (session, incoming): (MsrpId, &Incoming),
        durable: bool,
    ) {
        let Some((_, standing)) = self[group].outbox.0.get_mut(&number) else {
            // The user has left meanwhile.
            self.journal.delete(Key::Unsent(group.0, number));
            return self.endpoint.msrp_answer(now, session, incoming.token, 403);
        };
        if durable {
            *standing = Standing::Waiting;
            self.journal.has(group);
            self.acknowledge_message(now, session, incoming);
            let user = self[group].user;
            self.watch_age(user);
            disposition_notifications::learn(self, now, user, &incoming.content_type, &incoming.body);
        } else {
            self[group].outbox.0.remove(&number);
            self.note("a message could not be stored: refused, the others are kept");
            self.endpoint.msrp_answer(now, session, incoming.token, 413);
        }
        self.send_unsent(now, group);
    }

    /// Sends what the Client has written, as far as it is durable, once the focus leg is connected.
    fn send_unsent(&mut self, now: Instant, group: GroupId) {
        let Some(focus) = self[group].focus_leg.as_ref().map(|leg| leg.media.session) else { return };
        if !self.bound.contains(&focus) {
            return;
        }
        while let Some((number, (unsent, standing))) = self[group].outbox.next() {
            *standing = Standing::Sent;
            let (content_type, body) = (unsent.content_type.clone(), unsent.body.clone());
            self.send_on(now, focus, content_type, body, Flight::Forwarded(group, number));
        }
    }

    /// The focus leg is connected, perhaps anew.
    pub(super) fn on_focus_bound(&mut self, now: Instant, group: GroupId, session: MsrpId) {
        self.forget_flights(session);
        self[group].outbox.rewind();
        self.send_unsent(now, group);
    }

    /// The focus has answered, or not answered, a message of the Client.
    pub(super) fn on_forwarded(&mut self, now: Instant, (group, number): (GroupId, u64), current: bool, outcome: Outcome) {
        let Some((unsent, standing)) = self[group].outbox.0.get_mut(&number) else { return };
        let lost = matches!(outcome, Outcome::Lost | Outcome::TimedOut);
        match failure_code(outcome) {
            Some(_) if lost && unsent.owed == Owed::Delivery => *standing = Standing::Waiting,
            Some(code) => {
                let unsent = unsent.clone();
                self.report_failure(now, &unsent, code);
                self.forget_unsent(group, number);
            }
            None => self.forget_unsent(group, number),
        }
        if current && ends_session(outcome) {
            deferred_handling::on_silence(self, now, group, Side::Focus, Silence::Media);
        }
    }

    /// Tells the Client that a message got nowhere, if it can and wants to be told.
    pub(super) fn report_failure(&mut self, now: Instant, unsent: &Unsent, code: u16) {
        if let Owed::Report(Origin { session, message_id }) = &unsent.owed {
            let report = Report { message_id: message_id.clone(), code, size: unsent.body.len() as u64 };
            self.endpoint.msrp_report(now, *session, report);
        }
    }

    /// Takes out what the Client has written in its present session: the group does not come back.
    pub(super) fn take_unsent(&mut self, group: GroupId) -> Vec<Unsent> {
        let taken: Vec<(u64, (Unsent, Standing))> =
            self[group].outbox.0.extract_if(.., |_, (unsent, _)| unsent.owed != Owed::Delivery).collect();
        for (number, _) in &taken {
            self.journal.delete(Key::Unsent(group.0, *number));
        }
        taken.into_iter().map(|(_, (unsent, _))| unsent).collect()
    }

    /// Drops a message of the Client for good.
    pub(super) fn forget_unsent(&mut self, group: GroupId, number: u64) {
        if self[group].outbox.0.remove(&number).is_some() {
            self.journal.delete(Key::Unsent(group.0, number));
        }
    }

    /// Drops what has waited for the focus longer than the policy keeps anything.
    pub(super) fn drop_old_unsent(&mut self, now: Instant, group: GroupId, limit: Duration) {
        let waits = |standing: Standing| standing == Standing::Waiting;
        let old = self[group].outbox.0.iter().filter(|(_, (own, standing))| own.since + limit <= now && waits(*standing));
        for number in old.map(|(number, _)| *number).collect::<Vec<u64>>() {
            self.note("a message of the Client has waited for the focus longer than the policy allows: dropped");
            self.forget_unsent(group, number);
        }
    }

    /// Drops everything that the Client has written.
    pub(super) fn discard_unsent(&mut self, group: GroupId) {
        for number in std::mem::take(&mut self[group].outbox.0).into_keys() {
            self.journal.delete(Key::Unsent(group.0, number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{CommitOutcome, Store};
    use crate::pf::testing::{BOB, FOCUS, PHONE, SHOWN, World};

    /// What the store holds of what Clients wrote.
    fn kept(world: &World) -> usize {
        world.store.records().expect("memory").into_iter().filter(|(key, _)| key.starts_with(b"v")).count()
    }

    #[test]
    fn a_message_is_acknowledged_once_it_is_durable_and_kept_until_the_focus_has_it() {
        let mut world = World::new();
        let (_, bob, _) = world.established();
        world.slow = true;
        world.write(&bob, "hello");
        world.assert_quiet(BOB);
        world.assert_quiet(FOCUS);
        world.slow = false;
        world.commit();
        assert_eq!(world.sent(BOB), Outcome::Accepted);
        assert_eq!(kept(&world), 1);
        assert_eq!(world.read(FOCUS, 200), "hello");
        assert_eq!(kept(&world), 0);
    }

    #[test]
    fn a_message_that_cannot_be_stored_is_refused() {
        let mut world = World::new();
        let (_, bob, _) = world.established();
        world.commits.push_back(CommitOutcome::Failed);
        world.write(&bob, "one");
        assert_eq!(world.sent(BOB), Outcome::Refused(413));
        world.write(&bob, "two");
        assert_eq!(world.sent(BOB), Outcome::Accepted);
        assert_eq!(world.read(FOCUS, 200), "two");
    }

    #[test]
    fn what_the_focus_has_not_answered_outlives_the_process() {
        let mut world = World::new();
        let (mut focus, bob, _) = world.established();
        world.write(&bob, "hello");
        assert_eq!(world.sent(BOB), Outcome::Accepted);
        assert_eq!(world.read(FOCUS, 0), "hello");
        world.restart();
        let (invite, _) = world.skip_to_request(FOCUS, "INVITE");
        let request = world.take_up(&mut focus, invite);
        world.start_media(&focus, &request);
        assert_eq!(world.skip_to_message(FOCUS), "hello");
        assert_eq!(kept(&world), 0);
    }

    #[test]
    fn what_was_written_during_a_restart_of_the_group_outlives_the_process() {
        let mut world = World::dormant(&[], &["one"], None);
        let (invite, media) = world.rejoin(SHOWN, PHONE);
        let bob = world.accepted(BOB, invite, media);
        world.delivered(&["one"]);
        world.write(&bob, "anyone there?");
        assert_eq!(world.sent(BOB), Outcome::Accepted);
        world.request(FOCUS, "INVITE");
        world.restart();
        let (bye, _) = world.skip_to_request(BOB, "BYE");
        world.answer(BOB, bye, 200);
        let (invite, media) = world.rejoin(SHOWN, PHONE);
        let (asked, request) = world.skip_to_request(FOCUS, "INVITE");
        world.accept_join(asked, &request);
        world.accepted(BOB, invite, media);
        assert_eq!(world.skip_to_message(FOCUS), "anyone there?");
        assert_eq!(kept(&world), 0);
    }

    #[test]
    fn who_leaves_takes_along_what_the_focus_has_not_got() {
        let mut world = World::dormant(&[], &["one"], None);
        let (invite, media) = world.rejoin(SHOWN, PHONE);
        let bob = world.accepted(BOB, invite, media);
        world.delivered(&["one"]);
        world.write(&bob, "anyone there?");
        assert_eq!((world.sent(BOB), kept(&world)), (Outcome::Accepted, 1));
        world.bye(&bob, Some("SIP;cause=200"));
        assert_eq!(kept(&world), 0);
    }

    #[test]
    fn what_waits_for_too_long_is_dropped() {
        let mut world = World::dormant(&[("store.max-age", "1h")], &["one"], None);
        let (invite, media) = world.rejoin(SHOWN, PHONE);
        let bob = world.accepted(BOB, invite, media);
        world.delivered(&["one"]);
        world.write(&bob, "anyone there?");
        assert_eq!(world.sent(BOB), Outcome::Accepted);
        world.bye(&bob, Some("SIP;cause=503"));
        world.pass(Duration::from_secs(3_599));
        assert_eq!(kept(&world), 1);
        world.pass(Duration::from_secs(2));
        assert_eq!(kept(&world), 0);
    }
}
