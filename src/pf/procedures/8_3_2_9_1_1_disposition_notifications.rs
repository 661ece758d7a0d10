//! 8.3.2.9.1.1, second half: disposition notifications for the sender of a chat message.
//!
//! A notification that finds its user is passed on as it is. For a user who is away it is kept, and
//! leaves later by exactly one of three ways (AMB-27): in a session that is up with the device, in a
//! session of its own, or by MESSAGE.
//!
//! ```text
//! MESSAGE, user there        relayed; 408, 480, 503 or no answer: kept, 202
//! MESSAGE, user away         kept, 202
//! MSRP, user away            kept, 200
//! trigger, session up        the first way that is open
//! ```

use std::time::Duration;

use bytes::Bytes;

use crate::clause::Clause;
use crate::endpoint::{MsrpId, TransactionId};
use crate::engine::Write;
use crate::msrp::Outcome;
use crate::pf::core::{Call, Core};
use crate::pf::headers;
use crate::pf::journal::Waiting;
use crate::pf::leg::Leg;
use crate::pf::notifications::{self, Answer, Notification, Queue};
use crate::pf::one_to_one::session::Phase as SessionPhase;
use crate::pf::one_to_one::{SessionId, legs};
use crate::pf::procedures::deferred_handling::{self, Silence};
use crate::pf::procedures::{notification_session, registration_event};
use crate::pf::relay::{Flight, ends_session};
use crate::pf::state::{Phase, Registration, UserId, address_key};
use crate::pf::store::{self, Key};
use crate::time::Instant;
use crate::wire::sip::header::AcceptContact;
use crate::wire::sip::{Builder, Message, Name};
use crate::wire::{cpim, imdn};

const RELAYED: Clause = Clause::of("DGC-1.1-21");
const ONE_WAY: Clause = Clause::of("DGC-1.1-39");
const ONGOING: Clause = Clause::of("DGC-1.1-40");
const KEPT: Clause = Clause::of("DGC-1.1-41");
const BY_MESSAGE: Clause = Clause::of("DGC-1.1-42");

/// The service of a standalone message, as Accept-Contact carries it.
const MESSAGE_FEATURE: &str = "+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.msg\"";

/// Takes a MESSAGE that carries a notification.
pub(in crate::pf) fn start(core: &mut Core, now: Instant, asked: TransactionId, message: &Message) {
    let notification = of_message(message);
    if let Some(recipient) = core.users.find(&notification.from) {
        learn(core, now, recipient, cpim::MEDIA_TYPE, &notification.body);
    }
    let user = message.request_uri().and_then(|target| core.users.find(target));
    if let Some(user) = user.filter(|user| core.users[*user].registration == Registration::Gone) {
        core.note("the user is away: the notification is kept");
        return keep(core, now, user, notification, Answer::Message(asked));
    }
    core.because(RELAYED, "a notification is passed on as it is");
    let call = core.relay_message(now, message);
    core.calls.insert(call, user.map_or(Call::Message(asked), |user| Call::Notification { asked, user }));
}

/// Takes the final response to a notification that was passed on. A user who cannot be reached gets
/// it later.
pub(in crate::pf) fn on_relayed(core: &mut Core, now: Instant, asked: TransactionId, user: UserId, status: u16) {
    let unreachable = matches!(status, 408 | 480 | 503);
    match core.endpoint.request(asked).filter(|_| unreachable).map(of_message) {
        Some(notification) => {
            core.note("the user cannot be reached: the notification is kept");
            core.notifications.of(user).stopped = true;
            keep(core, now, user, notification, Answer::Message(asked));
        }
        None => core.pass_on(now, asked, status),
    }
}

/// The notification in a MESSAGE, with what its fields tell of sender and devices.
fn of_message(message: &Message) -> Notification {
    let wanted = message.elements(Name::AcceptContact).filter_map(|value| AcceptContact::parse(value).ok());
    Notification {
        from: headers::asserted_identity(message).unwrap_or_default(),
        private: headers::wants_privacy(message),
        target: wanted.filter_map(|value| value.instance()).next().map(str::to_owned),
        origin: headers::instance_of(message),
        identifiers: headers::identifiers(message),
        body: message.body(),
        ..Notification::default()
    }
}

/// A user has sent something that may tell of the delivery of a stored message.
pub(in crate::pf) fn learn(core: &mut Core, now: Instant, user: UserId, content_type: &str, body: &Bytes) {
    if !core.policy.imdn_releases_message || core.users[user].stored == 0 {
        return;
    }
    if let Some(imdn) = notifications::read(content_type, body).filter(imdn::Imdn::says_delivered) {
        core.on_notified(now, user, &imdn.message_id);
    }
}

/// Keeps a notification for a user; whoever brought it is answered once it is durable.
pub(in crate::pf) fn keep(core: &mut Core, now: Instant, user: UserId, notification: Notification, answer: Answer) {
    keep_in_place_of(core, now, user, notification, answer, None);
}

/// Keeps a notification that is stored in another form, which goes in the same batch: so it is
/// neither lost nor doubled wherever the process ends.
pub(in crate::pf) fn keep_in_place_of(
    core: &mut Core,
    now: Instant,
    user: UserId,
    notification: Notification,
    answer: Answer,
    former: Option<Key>,
) {
    if notification.body.len() > core.policy.max_size || !core.has_room(user) {
        core.note("a notification is beyond the limits of the store: refused, the others are kept");
        return respond(core, now, answer, false);
    }
    core.journal.last_number += 1;
    let number = core.journal.last_number;
    let notification = Notification { since: now, ..notification };
    let value = store::encode_notification(&core.users[user].uri, &notification);
    core.notifications.of(user).push(number, notification, false);
    core.users[user].stored += 1;
    registration_event::watch(core, now, user);
    core.because(KEPT, "the notification is kept until it can be delivered");
    let key = Key::Notification(user.0, number).encode();
    let former = former.map(|former| Write::Delete { key: former.encode() });
    let writes = std::iter::once(Write::Put { key, value }).chain(former).collect();
    core.commit(writes, Waiting::Notification { user, number, answer });
}

/// A notification is durable, or could not be stored.
pub(in crate::pf) fn on_kept(core: &mut Core, now: Instant, (user, number): (UserId, u64), answer: Answer, durable: bool) {
    respond(core, now, answer, durable);
    if durable {
        core.notifications.of(user).make_durable(number);
        core.watch_age(user);
        pump(core, now, user);
    } else if core.notifications.of(user).remove(number).is_some() {
        core.note("a notification could not be stored: refused, the others are kept");
        core.users[user].stored -= 1;
    }
}

fn respond(core: &mut Core, now: Instant, answer: Answer, kept: bool) {
    match answer {
        Answer::Message(asked) => core.reply(now, asked, if kept { 202 } else { 480 }),
        Answer::Msrp(session, incoming) if kept => core.acknowledge_message(now, session, &incoming),
        Answer::Msrp(session, incoming) => core.endpoint.msrp_answer(now, session, incoming.token, 413),
        Answer::Told(sender, number) => core.on_told(sender, number, kept),
        Answer::Nobody => {}
    }
}

/// Drops a notification for good: it was delivered.
fn forget(core: &mut Core, user: UserId, number: u64) {
    if core.notifications.of(user).remove(number).is_some() {
        core.users[user].stored -= 1;
        core.journal.delete(Key::Notification(user.0, number));
    }
}

/// What a user has not fetched in time is dropped.
pub(in crate::pf) fn on_aged(core: &mut Core, now: Instant, user: UserId, limit: Duration) {
    let old = core.notifications.get(user).map(|queue| queue.older_than(now, limit)).unwrap_or_default();
    for number in old {
        core.note("a notification has been kept for longer than the policy allows: dropped");
        forget(core, user, number);
    }
}

/// The user is available: everything that is kept may be tried again.
pub(in crate::pf) fn trigger(core: &mut Core, now: Instant, user: UserId) {
    if core.notifications.get(user).is_some() {
        core.notifications.of(user).trigger();
        pump(core, now, user);
    }
}

/// The user was de-registered: what is under way ends, what is left is kept.
pub(in crate::pf) fn on_deregistered(core: &mut Core, now: Instant, user: UserId) {
    if core.notifications.get(user).is_some() {
        core.notifications.of(user).stopped = true;
        notification_session::withdraw(core, now, user);
    }
}

/// A 1-1 session has its connection: it may carry what is kept for either of its users.
pub(in crate::pf) fn on_session(core: &mut Core, now: Instant, id: SessionId) {
    let Some(sender) = core.one.sessions.get(&id).map(|session| &core.one[session.sender]) else { return };
    let users = [Some(sender.user), core.users.find(&sender.address)];
    for user in users.into_iter().flatten() {
        pump(core, now, user);
    }
}

/// Sends what is due to a user, by the first way that is open.
pub(in crate::pf) fn pump(core: &mut Core, now: Instant, user: UserId) {
    if core.notifications.get(user).is_none_or(Queue::is_empty) {
        return;
    }
    if core.policy.imdn_ways.ongoing {
        by_ongoing_sessions(core, now, user);
    }
    let available = core.users[user].registration != Registration::Gone;
    if !available || core.notifications.of(user).stopped {
        return;
    }
    if core.policy.imdn_ways.session {
        by_own_session(core, now, user);
    }
    if core.policy.imdn_ways.message {
        by_message(core, now, user);
    }
}

/// Way 1: one notification at a time in each session that is up with its device.
fn by_ongoing_sessions(core: &mut Core, now: Instant, user: UserId) {
    for (session, device) in ongoing(core, user) {
        let queue = core.notifications.of(user);
        let Some(number) = queue.next(|own| own.is_for(device.as_deref())).map(|(number, _)| number) else { continue };
        if !queue.awaits(session) {
            core.because(ONE_WAY, "the notification leaves by one way only");
            core.because(ONGOING, "its device has a session that is up");
            send(core, now, (user, number), session);
        }
    }
}

/// The sessions with a user that can take notifications now, and their devices: 1-1 sessions that
/// the user takes part in from either side, then groups.
fn ongoing(core: &Core, user: UserId) -> Vec<(MsrpId, Option<String>)> {
    let own = address_key(&core.users[user].uri);
    let live = core.one.sessions.values().filter(|session| session.phase == SessionPhase::Live);
    let one_to_one = live.filter_map(|session| {
        let sender = &core.one[session.sender];
        let leg = if sender.user == user { session.terminating.as_ref() } else { session.originating.as_ref() };
        leg.filter(|_| sender.user == user || address_key(&sender.address) == own)
    });
    let groups = core.users[user].groups.iter().map(|group| &core[*group]).filter(|group| group.phase == Phase::Live);
    let legs = one_to_one.chain(groups.filter_map(|group| group.client.as_ref()));
    legs.filter(|leg| can_carry(core, leg)).map(|leg| (leg.media.session, leg.device.clone())).collect()
}

fn can_carry(core: &Core, leg: &Leg) -> bool {
    let accepts = leg
        .media
        .remote
        .as_ref()
        .is_some_and(|remote| remote.receives && remote.accepts(cpim::MEDIA_TYPE) && remote.accepts_wrapped(imdn::MEDIA_TYPE));
    accepts && leg.acknowledged && core.bound.contains(&leg.media.session)
}

/// Sends a notification in a session.
pub(in crate::pf) fn send(core: &mut Core, now: Instant, (user, number): (UserId, u64), session: MsrpId) {
    let Some(body) = core.notifications.of(user).get(number).map(|own| own.body.clone()) else { return };
    core.send_on(now, session, cpim::MEDIA_TYPE.to_owned(), body, Flight::Notification(user, number));
    core.notifications.sent(user, number, session);
}

/// Way 2: a session for the sender and the device of the oldest notification.
fn by_own_session(core: &mut Core, now: Instant, user: UserId) {
    let devices = &core.users[user].devices;
    let Some(queue) = core.notifications.get(user).filter(|queue| queue.session.is_none()) else { return };
    let Some((_, first)) = queue.next(|own| devices.may_reach(own.target.as_deref())) else { return };
    let first = first.clone();
    core.because(ONE_WAY, "the notification leaves by one way only");
    notification_session::start(core, now, user, first);
}

/// Way 3: a MESSAGE, one after the other; where sessions are used, for what they refuse.
fn by_message(core: &mut Core, now: Instant, id: UserId) {
    let any = !core.policy.imdn_ways.session;
    let user = &core.users[id];
    let Some(queue) = core.notifications.get(id).filter(|queue| queue.message.is_none()) else { return };
    let Some(number) = queue.next_for_message(any, |own| user.devices.may_reach(own.target.as_deref())) else { return };
    let Some(message) = queue.get(number).map(|own| standalone(&user.uri, &user.route, own)) else { return };
    core.because(ONE_WAY, "the notification leaves by one way only").because(BY_MESSAGE, "the policy sends it by MESSAGE");
    let call = core.endpoint.send(now, message);
    core.calls.insert(call, Call::NotificationMessage(id, number));
    core.notifications.of(id).sent_by_message(number);
}

/// A MESSAGE on behalf of the sender of a notification (5.4).
pub(in crate::pf) fn standalone(target: &str, route: &str, notification: &Notification) -> Builder {
    let sender = format!("<{}>", notification.from);
    let message = Builder::request("MESSAGE", target)
        .push("Route", route)
        .push("From", &sender)
        .push("To", format!("<{target}>"))
        .push("P-Asserted-Identity", &sender)
        .push_some("Privacy", notification.private.then_some("id"))
        .push("Accept-Contact", format!("*;{MESSAGE_FEATURE}"));
    let device = notification.target.as_ref().map(|device| format!("*;+sip.instance=\"<{device}>\";require;explicit"));
    let message = message.push_some("Accept-Contact", device);
    let identifiers = notification.identifiers.iter();
    let message = identifiers.fold(message, |message, (name, value)| message.push(name.clone(), value));
    message.body(cpim::MEDIA_TYPE, notification.body.clone())
}

/// Takes the final response to that MESSAGE: any 2xx means that it is delivered (5.4).
pub(in crate::pf) fn on_message_answered(core: &mut Core, now: Instant, user: UserId, number: u64, status: u16) {
    core.notifications.of(user).message = None;
    if (200..300).contains(&status) {
        forget(core, user, number);
    } else {
        core.note("the MESSAGE was not accepted: notifications are kept for the next trigger");
        core.notifications.of(user).pass(number);
        core.notifications.of(user).stopped = true;
    }
    pump(core, now, user);
}

/// A notification that left by a session has its outcome.
pub(in crate::pf) fn on_sent(core: &mut Core, now: Instant, (user, number): (UserId, u64), session: MsrpId, outcome: Outcome) {
    match outcome {
        Outcome::Accepted => forget(core, user, number),
        // The session is over, or has another connection: what it owed is due again.
        _ if !core.notifications.of(user).is_sent(number, session) => return,
        // The connection that broke says so itself.
        Outcome::Lost => return,
        _ if ends_session(outcome) => return on_useless(core, now, session),
        Outcome::Refused(_) | Outcome::TimedOut => {
            core.note("a notification was refused: it is kept");
            let message_is_open = core.policy.imdn_ways.message;
            core.notifications.of(user).refused(number, message_is_open);
        }
    }
    notification_session::go_on(core, now, user);
    pump(core, now, user);
}

/// A session that carried a notification is of no use any more.
fn on_useless(core: &mut Core, now: Instant, session: MsrpId) {
    if let Some((group, side)) = core.media.get(&session).copied() {
        deferred_handling::on_silence(core, now, group, side, Silence::Media);
    } else if let Some(place) = core.one.media.get(&session).copied() {
        legs::on_silence(core, now, place, "a notification was not answered");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::endpoint::TransactionId;
    use crate::engine::CommitOutcome;
    use crate::pf::testing::{ALICE, BOB, FOCUS, PHONE, TABLET, USER, World, chat, notification, wrapped_notification};
    use crate::wire::sip::Name;

    /// The user is away and one notification is kept.
    fn kept(knobs: &[(&str, &str)], device: Option<&str>) -> World {
        let mut world = World::with(knobs);
        world.register(0, None);
        world.send(FOCUS, notification("one", device));
        world.response(FOCUS, 202);
        world.assert_quiet(BOB);
        world
    }

    fn message(world: &mut World, id: &str) -> TransactionId {
        let (transaction, _, message) = world.request(BOB, "MESSAGE");
        assert!(String::from_utf8_lossy(&message.body()).contains(&format!("<message-id>{id}</message-id>")));
        transaction
    }

    #[test]
    fn a_notification_for_a_user_who_is_there_is_passed_on_unchanged() {
        let mut world = World::new();
        let sent = notification("one", Some(PHONE));
        world.send(FOCUS, sent.clone());
        let (relayed, _, message) = world.request(BOB, "MESSAGE");
        assert_eq!(message.body(), sent.build().body());
        assert_eq!(message.value(Name::ConversationId), Some("conversation-9"));
        assert_eq!(message.values(Name::AcceptContact).count(), 2);
        world.answer(BOB, relayed, 200);
        world.response(FOCUS, 200);
        world.register(600_000, None);
        world.assert_quiet(BOB);
    }

    #[test]
    fn a_refusal_is_passed_back_and_silence_keeps_the_notification() {
        let mut world = World::new();
        world.send(FOCUS, notification("one", None));
        let relayed = message(&mut world, "one");
        world.answer(BOB, relayed, 403);
        world.response(FOCUS, 403);
        world.send(FOCUS, notification("two", None));
        let relayed = message(&mut world, "two");
        world.answer(BOB, relayed, 480);
        world.response(FOCUS, 202);
        world.assert_quiet(BOB);
        world.register(600_000, None);
        world.request(BOB, "INVITE");
    }

    #[test]
    fn by_message_each_notification_is_sent_until_it_is_accepted() {
        let mut world = kept(&[("imdn.ways", "message")], Some(PHONE));
        world.send(FOCUS, notification("two", None));
        world.response(FOCUS, 202);
        world.register(600_000, None);
        let (first, _, refused) = world.request(BOB, "MESSAGE");
        assert_eq!(refused.request_uri(), Some(USER));
        assert_eq!(refused.value(Name::Route), Some("<sip:scscf1.home1.example;lr>"));
        assert_eq!(refused.values(Name::AcceptContact).count(), 2);
        world.answer(BOB, first, 500);
        world.assert_quiet(BOB);
        world.register(600_000, None);
        for id in ["one", "two"] {
            let transaction = message(&mut world, id);
            world.answer(BOB, transaction, 202);
        }
        world.register(600_000, None);
        world.assert_quiet(BOB);
        assert!(world.has_cited("DGC-1.1-42"));
    }

    #[test]
    fn where_only_ongoing_sessions_are_used_it_waits_for_one() {
        let mut world = kept(&[("imdn.ways", "ongoing")], Some(PHONE));
        world.register(600_000, None);
        world.assert_quiet(BOB);
        world.established();
        assert!(world.read(BOB, 200).contains("<message-id>one</message-id>"));
        world.register(600_000, None);
        world.assert_quiet(BOB);
        assert!(world.has_cited("DGC-1.1-40"));
    }

    #[test]
    fn a_one_to_one_session_that_is_up_is_used_too() {
        let mut world = kept(&[("imdn.ways", "ongoing")], Some(PHONE));
        world.register(600_000, None);
        let (invite, media) = world.invite_one_to_one(ALICE, None);
        let (offered, _, request) = world.request(BOB, "INVITE");
        world.pick_up(offered, &request, PHONE);
        world.accepted(FOCUS, invite, media);
        assert!(world.read(BOB, 200).contains("<message-id>one</message-id>"));
        world.assert_quiet(BOB);
    }

    #[test]
    fn what_comes_by_msrp_for_an_absent_user_is_kept_too() {
        let mut world = World::new();
        world.register(0, None);
        world.wrote(ALICE, &[&wrapped_notification("one"), &chat("Msg-1")]);
        world.register(600_000, None);
        let (invites, mut read) = ([world.request(BOB, "INVITE"), world.request(BOB, "INVITE")], Vec::new());
        for (invite, _, request) in invites {
            let sdp = crate::pf::headers::sdp_of(&request).expect("an offer");
            let of_notifications = sdp.contains("accept-wrapped-types:message/imdn+xml\r\n");
            assert_eq!(request.value(Name::ReferredBy), Some(format!("<{ALICE}>").as_str()));
            world.pick_up(invite, &request, PHONE);
            if of_notifications {
                read.push(world.read(BOB, 200));
            }
            world.completed();
        }
        assert!(matches!(read.as_slice(), [one] if one.contains("<message-id>one</message-id>")));
    }

    #[test]
    fn a_session_with_another_device_is_not_used() {
        let mut world = kept(&[("imdn.ways", "ongoing")], Some(TABLET));
        world.register(600_000, None);
        world.established();
        world.assert_quiet(BOB);
    }

    #[test]
    fn what_a_session_has_not_acknowledged_is_sent_again() {
        let mut world = kept(&[("imdn.ways", "ongoing")], None);
        world.register(600_000, None);
        let (_, bob, _) = world.established();
        assert!(world.read(BOB, 0).contains("one"));
        world.bye(&bob, Some("SIP;cause=200"));
        world.request(FOCUS, "BYE");
        world.pass(Duration::from_secs(60));
        world.established_with(2);
        assert!(world.read(BOB, 200).contains("one"));
    }

    #[test]
    fn a_delivery_notification_releases_what_it_speaks_of() {
        for (knob, rest) in [("true", &["Msg-2"][..]), ("false", &["Msg-1", "Msg-2"])] {
            let mut world = World::with(&[("imdn.releases-message", knob)]);
            let (focus, bob, _) = world.established();
            world.missed(&focus, &[&chat("Msg-1")]);
            assert!(world.read(BOB, 0).contains("Msg-1"));
            let own = notification("Msg-1", None).with_start("MESSAGE sip:dora@cf.home1.example SIP/2.0".to_owned());
            world.send(BOB, own.set("From", format!("<{USER}>")).remove("P-Asserted-Identity"));
            let (relayed, _) = world.skip_to_request(FOCUS, "MESSAGE");
            world.answer(FOCUS, relayed, 200);
            world.response(BOB, 200);
            world.lose(&bob);
            world.skip_to_request(FOCUS, "SUBSCRIBE");
            world.missed(&focus, &[&chat("Msg-2")]);
            world.register(600_000, None);
            let (invite, request) = world.skip_to_request(BOB, "INVITE");
            world.pick_up(invite, &request, PHONE);
            for id in rest {
                assert!(world.read(BOB, 200).contains(id), "{knob}: {id}");
            }
            world.assert_quiet(BOB);
        }
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let mut world = kept(&[("store.max-messages", "2")], None);
        world.commits.push_back(CommitOutcome::Failed);
        world.send(FOCUS, notification("two", None));
        world.response(FOCUS, 480);
        world.send(FOCUS, notification("three", None));
        world.response(FOCUS, 202);
        world.send(FOCUS, notification("four", None));
        world.response(FOCUS, 480);
    }

    #[test]
    fn it_is_dropped_when_it_gets_too_old() {
        let mut world = kept(&[("store.max-age", "1h")], None);
        world.pass(Duration::from_secs(1_800));
        world.send(FOCUS, notification("two", None));
        world.response(FOCUS, 202);
        world.restart();
        world.pass(Duration::from_secs(1_801));
        world.register(600_000, None);
        let (invite, _, request) = world.request(BOB, "INVITE");
        world.pick_up(invite, &request, PHONE);
        assert!(world.read(BOB, 200).contains("<message-id>two</message-id>"));
        world.completed();
    }

    #[test]
    fn it_outlives_the_process() {
        let mut world = kept(&[("imdn.ways", "message")], Some(PHONE));
        world.restart();
        world.assert_quiet(BOB);
        world.register(600_000, None);
        let transaction = message(&mut world, "one");
        world.answer(BOB, transaction, 200);
        world.restart();
        world.register(600_000, None);
        world.assert_quiet(BOB);
    }
}
