//! 8.3.2.9.1.1: the PF delivers what original senders have written to an absent user.
//!
//! One sendonly session for each original sender, one after the other in the order of the policy
//! (T-P01). How such a session runs is in [`delivery`]; here is what its INVITE says, and what
//! becomes of the other senders when it ends.
//!
//! ```text
//! trigger                     senders with stored messages -> waiting, in order
//! waiting, none delivering    the next one: INVITE V3
//! complete, left, refused     the next one
//! 480, stop list, loss        nobody waits any more, until the next trigger
//! ```

use crate::clause::Clause;
use crate::pf::core::Core;
use crate::pf::headers;
use crate::pf::one_to_one::delivery::{self, Ending, Particulars, Recipe};
use crate::pf::one_to_one::session::{self, Phase};
use crate::pf::one_to_one::{Place, SenderId, SessionId, Shelf};
use crate::pf::policy::SenderOrder;
use crate::pf::procedures::deferred_handling::Departure;
use crate::pf::procedures::notification_sending;
use crate::pf::schedule::Alarm;
use crate::pf::state::{Registration, UserId, address_key};
use crate::time::Instant;

const PER_SENDER: Clause = Clause::of("DGC-1.1-01");
const ORDER: Clause = Clause::of("DGC-1.1-02");
const INVITES: Clause = Clause::of("DGC-1.1-03");
const RECIPIENT: Clause = Clause::of("DGC-1.1-04");
const PF_IDENTITY: Clause = Clause::of("DGC-1.1-05");
const ORIGINAL_SENDER: Clause = Clause::of("DGC-1.1-06");
const ORIGINAL_OFFER: Clause = Clause::of("DGC-1.1-07");
const SENDONLY: Clause = Clause::of("DGC-1.1-08");
const CARRIES: Clause = Clause::of("DGC-1.1-09");
const THROUGH_THE_CORE: Clause = Clause::of("DGC-1.1-10");
const RESPONSES: Clause = Clause::of("DGC-1.1-11");
const ACK_FIRST: Clause = Clause::of("DGC-1.1-12");
const SESSION_TIMER: Clause = Clause::of("DGC-1.1-13");
const ALL_OF_THE_SENDER: Clause = Clause::of("DGC-1.1-14");
const STOPS: Clause = Clause::of("DGC-1.1-18");
const STOPS_BY_POLICY: Clause = Clause::of("DGC-1.1-19");
/// NOTE 2: the newer of two answered sessions stays.
pub(in crate::pf) const SECOND_ANSWER: Clause = Clause::of("DGC-1.1-17");

/// The user is available: every sender with stored messages is served.
pub(in crate::pf) fn trigger(core: &mut Core, now: Instant, user: UserId) {
    let Some(turn) = core.one.turns.get(&user) else { return };
    let early = turn.delivering.is_some_and(|sender| is_failing(core, sender));
    let mut waiting: Vec<SenderId> = turn.senders.clone();
    waiting.retain(|sender| is_due(core, *sender));
    arrange(core, &mut waiting);
    for sender in &waiting {
        core.one[*sender].attempts = 0;
        core.one[*sender].follows = false;
        core.schedule.stop(Alarm::RetrySender(*sender));
    }
    if let Some(turn) = core.one.turns.get_mut(&user) {
        turn.waiting = waiting.into();
        turn.again = early;
    }
    next(core, now, user);
}

/// Whether the delivery of this sender will come to nothing: its INVITE is withdrawn, or its leg has
/// no connection.
fn is_failing(core: &Core, sender: SenderId) -> bool {
    let shelf = Shelf::Sender(sender);
    delivery::is_withdrawn(core, shelf) || core.schedule.runs(Alarm::NoConnection(Place::Delivery(shelf)))
}

fn is_due(core: &Core, sender: SenderId) -> bool {
    !core.one[sender].deferred.is_empty() && !core.one.deliveries.contains_key(&Shelf::Sender(sender))
}

/// The order of the senders; where it is open they come by arrival of their oldest message.
fn arrange(core: &mut Core, senders: &mut [SenderId]) {
    senders.sort_by_key(|sender| core.one[*sender].deferred.oldest());
    match &core.policy.sender_order {
        SenderOrder::Arrival => {}
        SenderOrder::DateTime => senders.sort_by_key(|sender| core.one[*sender].deferred.first().map(|item| item.date)),
        SenderOrder::List(list) => {
            let keys: Vec<String> = list.iter().map(|address| address_key(address)).collect();
            let rank = |sender: &SenderId| {
                let own = address_key(&core.one[*sender].address);
                keys.iter().position(|key| *key == own).unwrap_or(keys.len())
            };
            senders.sort_by_key(rank);
        }
    }
    if senders.len() > 1 {
        core.because(ORDER, "the policy decides which sender comes first");
    }
}

/// Serves the next sender of a user, one at a time.
fn next(core: &mut Core, now: Instant, user: UserId) {
    loop {
        let Some(turn) = core.one.turns.get_mut(&user) else { return };
        if turn.delivering.is_some() {
            return;
        }
        let Some(sender) = turn.waiting.pop_front() else { return };
        if is_due(core, sender) {
            return deliver(core, now, sender);
        }
    }
}

/// Items 1 to 7: the INVITE of one sender's session.
fn deliver(core: &mut Core, now: Instant, sender: SenderId) {
    let user = core.one[sender].user;
    if let Some(turn) = core.one.turns.get_mut(&user) {
        turn.delivering = Some(sender);
    }
    core.because(PER_SENDER, "each original sender has a session of its own");
    core.because(INVITES, "the PF initiates a 1-1 session");
    core.because(RECIPIENT, "the Request-URI is the user, not a device");
    core.because(PF_IDENTITY, "the PF asserts its own identity");
    core.because(ORIGINAL_SENDER, "Referred-By names the original sender");
    core.because(ORIGINAL_OFFER, "the offer has the content attributes of the original one");
    core.because(SENDONLY, "the session is for delivery alone");
    let recipe = recipe(core, sender);
    if recipe.carried.is_some() {
        core.because(CARRIES, "the INVITE carries the first message");
    }
    core.because(THROUGH_THE_CORE, "the INVITE goes by the S-CSCF of the user");
    delivery::open(core, now, Shelf::Sender(sender), recipe);
}

fn recipe(core: &Core, sender: SenderId) -> Recipe {
    let own = &core.one[sender];
    let first = own.deferred.first_durable();
    let hidden = own.private && core.policy.honour_privacy;
    let particulars = Particulars {
        user: own.user,
        referred_by: if hidden { headers::ANONYMOUS } else { &own.address },
        service: headers::SESSION_SERVICE,
        accept_contact: vec![format!("*;{}", headers::FEATURE_TAG)],
        identifiers: first.map(|(_, item)| item.identifiers.as_slice()).unwrap_or_default(),
        first: first.map(|(number, _)| number),
        sdp: &own.sdp,
    };
    Recipe::of(core, particulars)
}

/// Item 8.a: the Client accepted.
pub(in crate::pf) fn on_accepted(core: &mut Core, now: Instant, sender: SenderId) {
    core.because(RESPONSES, "the response is handled as the base protocol says");
    core.because(ACK_FIRST, "the ACK goes before any message");
    core.because(SESSION_TIMER, "the session timer runs with the value of the 200");
    core.because(ALL_OF_THE_SENDER, "every message of this sender follows, none of another");
    core.one[sender].attempts = 0;
    supersede(core, now, sender, None);
}

/// NOTE 2: a session of this sender with the user was answered, so any earlier one ends.
pub(in crate::pf) fn supersede(core: &mut Core, now: Instant, sender: SenderId, newer: Option<SessionId>) {
    let earlier: Vec<SessionId> = core
        .one
        .sessions
        .iter()
        .filter(|(id, own)| own.sender == sender && own.phase == Phase::Live && Some(**id) != newer)
        .map(|(id, _)| *id)
        .collect();
    for id in earlier {
        core.because(SECOND_ANSWER, "a newer session of the same two was answered");
        session::replace(core, now, id);
    }
    if newer.is_some() {
        delivery::replace(core, now, Shelf::Sender(sender));
    }
}

/// A delivery session is over, well or not.
pub(in crate::pf) fn on_over(core: &mut Core, now: Instant, sender: SenderId, ending: Ending) {
    let user = core.one[sender].user;
    let stop = match ending {
        Ending::Complete => {
            notify_sender(core, now, sender);
            // What was refused for itself waits for the next trigger.
            core.one[sender].follows = core.one[sender].deferred.is_empty();
            false
        }
        Ending::Refused { status: 480, .. } => {
            core.because(STOPS, "nothing is delivered from any sender until the next trigger");
            true
        }
        Ending::Refused { status, .. } if core.policy.stop_codes.contains(&u64::from(status)) => {
            core.because(STOPS_BY_POLICY, "the policy ends the delivery on this error too");
            true
        }
        Ending::Refused { .. } | Ending::Lost | Ending::Left(_) | Ending::Replaced => has_vanished(ending),
    };
    if let Ending::Refused { status, retry_after } = ending {
        plan_retry(core, now, sender, status, retry_after.unwrap_or_default());
    }
    let Some(turn) = core.one.turns.get_mut(&user) else { return };
    if turn.delivering == Some(sender) {
        turn.delivering = None;
    }
    if std::mem::take(&mut turn.again) && has_vanished(ending) {
        core.note("the user came back while the delivery failed");
        return trigger(core, now, user);
    }
    if stop {
        turn.waiting.clear();
    }
    next(core, now, user);
    follow(core, now, sender);
}

/// Whether nobody was there any more: the INVITE was withdrawn, or the Client is gone.
const fn has_vanished(ending: Ending) -> bool {
    matches!(ending, Ending::Refused { status: 487, .. } | Ending::Lost | Ending::Left(Departure::Lost))
}

/// Everything of the sender is delivered: the PF notifies of it for a Client that does not.
fn notify_sender(core: &mut Core, now: Instant, sender: SenderId) {
    let own = &core.one[sender];
    if !own.deferred.is_empty() {
        return;
    }
    let due: Vec<u64> = own.untold.keys().filter(|number| !own.telling.contains(number)).copied().collect();
    for number in due {
        notification_sending::start(core, now, sender, number);
    }
}

/// The process before this one died: senders whom it had not told yet are told.
pub(in crate::pf) fn resume(core: &mut Core, now: Instant) {
    let senders: Vec<SenderId> = core.one.senders().map(|(sender, _)| sender).collect();
    for sender in senders {
        notify_sender(core, now, sender);
    }
}

/// After an error other than 603 the policy may invite again by itself (AMB-04).
fn plan_retry(core: &mut Core, now: Instant, sender: SenderId, status: u16, retry_after: std::time::Duration) {
    core.one[sender].attempts += 1;
    if !matches!(status, 487 | 603) && core.one[sender].attempts <= core.policy.retry_count {
        core.schedule.set(Alarm::RetrySender(sender), now + core.policy.retry_interval.max(retry_after));
    }
}

/// The interval between two attempts is over.
pub(in crate::pf) fn retry(core: &mut Core, now: Instant, sender: SenderId) {
    let user = core.one[sender].user;
    if !is_due(core, sender) || core.users[user].registration == Registration::Gone {
        return;
    }
    core.note("the policy invites again");
    if let Some(turn) = core.one.turns.get_mut(&user) {
        turn.waiting.push_back(sender);
    }
    next(core, now, user);
}

/// A message came after everything before it was delivered: if the user is still there it follows.
pub(in crate::pf) fn follow(core: &mut Core, now: Instant, sender: SenderId) {
    let user = core.one[sender].user;
    let present = matches!(core.users[user].registration, Registration::Until(end) if end > now);
    if present && core.one[sender].follows && is_due(core, sender) && core.one[sender].deferred.first_durable().is_some() {
        core.one[sender].follows = false;
        if let Some(turn) = core.one.turns.get_mut(&user) {
            turn.waiting.push_back(sender);
        }
        next(core, now, user);
    }
}

/// The user is gone: what is under way is withdrawn, what is stored is kept (AMB-45).
pub(in crate::pf) fn on_deregistered(core: &mut Core, now: Instant, user: UserId) {
    let Some(turn) = core.one.turns.get_mut(&user) else { return };
    turn.waiting.clear();
    turn.again = false;
    let (delivering, senders) = (turn.delivering, turn.senders.clone());
    for sender in &senders {
        core.one[*sender].follows = false;
        core.schedule.stop(Alarm::RetrySender(*sender));
    }
    if let Some(sender) = delivering {
        delivery::interrupt(core, now, Shelf::Sender(sender));
    }
    let live: Vec<SessionId> = core
        .one
        .sessions
        .iter()
        .filter(|(_, own)| own.phase == Phase::Live && senders.contains(&own.sender))
        .map(|(id, _)| *id)
        .collect();
    for id in live {
        crate::pf::one_to_one::legs::on_silence(
            core,
            now,
            Place::Session(id, crate::pf::one_to_one::End::Terminating),
            "the user was de-registered",
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pf::headers::{other_parts, sdp_of};
    use crate::pf::testing::{ALICE, BOB, CAROL, FOCUS, PHONE, Session, USER, World};
    use crate::wire::sip::{Builder, Message, Name};

    fn away(knobs: &[(&str, &str)]) -> World {
        let mut world = World::with(knobs);
        world.register(0, None);
        world
    }

    /// The next delivery INVITE is accepted.
    fn pick_up(world: &mut World) -> (Session, Message) {
        let (invite, _, message) = world.request(BOB, "INVITE");
        (world.pick_up(invite, &message, PHONE), message)
    }

    fn carried(invite: &Message) -> Option<String> {
        let part = other_parts(invite).into_iter().find(|part| part.is("message/cpim"))?;
        Some(String::from_utf8_lossy(&part.body).into_owned())
    }

    #[test]
    fn what_was_written_to_an_absent_user_is_delivered_and_the_session_ends() {
        let mut world = away(&[]);
        world.wrote(ALICE, &["one", "two", "three"]);
        world.assert_quiet(BOB);
        world.register(600_000, None);
        let (_, invite) = pick_up(&mut world);
        assert_eq!(carried(&invite).as_deref(), Some("one"));
        world.delivered(&["two", "three"]);
        world.completed();
        world.assert_quiet(BOB);
        world.register(600_000, None);
        world.assert_quiet(BOB);
        for id in ["DGC-1.1-03", "DGC-1.1-09", "DGC-1.1-14", "DGC-1.1-15"] {
            assert!(world.has_cited(id), "{id}");
        }
    }

    #[test]
    fn the_invite_says_what_the_session_is() {
        let mut world = away(&[]);
        world.wrote(ALICE, &["one"]);
        world.register(600_000, None);
        let (_, _, invite) = world.request(BOB, "INVITE");
        assert_eq!(invite.request_uri(), Some(USER));
        assert_eq!(invite.to().map(|to| to.uri.text.to_owned()).ok().as_deref(), Some(USER));
        assert_eq!(invite.from().map(|from| from.uri.text.to_owned()).ok().as_deref(), Some("sip:rcse-standfw@home1.example"));
        assert_eq!(invite.value(Name::PAssertedIdentity), Some("<sip:rcse-standfw@home1.example>"));
        assert_eq!(invite.value(Name::PAssertedService), Some(headers::SESSION_SERVICE));
        assert_eq!(invite.value(Name::ReferredBy), Some("<sip:+15145550101@home1.example>"));
        assert_eq!(invite.value(Name::ConversationId), Some("conversation of +15145550101"));
        assert_eq!(invite.value(Name::ContributionId), Some("contribution of +15145550101"));
        assert!(invite.contact().is_ok_and(|contact| !contact.is_focus()));
        let sdp = sdp_of(&invite).expect("SDP");
        for line in [
            "a=sendonly",
            "a=setup:actpass",
            "a=accept-types:message/cpim application/im-iscomposing+xml",
            "m=message 2855 TCP/MSRP *",
        ] {
            assert!(sdp.contains(line), "{line}");
        }
        assert!(sdp.contains("c=IN IP4 10.0.0.1") && !sdp.contains("a=sendrecv"));
    }

    #[test]
    fn each_sender_has_a_session_of_its_own_one_after_the_other() {
        let mut world = away(&[]);
        world.wrote(ALICE, &["a1", "a2"]);
        world.wrote(CAROL, &["c1", "c2"]);
        world.register(600_000, None);
        let (_, invite) = pick_up(&mut world);
        assert_eq!(invite.value(Name::ReferredBy), Some("<sip:+15145550101@home1.example>"));
        world.delivered(&["a2"]);
        world.completed();
        let (_, invite) = pick_up(&mut world);
        assert_eq!(invite.value(Name::ReferredBy), Some("<sip:+15145550103@home1.example>"));
        assert_eq!(carried(&invite).as_deref(), Some("c1"));
        world.delivered(&["c2"]);
        world.completed();
    }

    fn dated(date: &str, text: &str) -> String {
        format!("From: <{ALICE}>\r\nTo: <{USER}>\r\n{date}\r\nContent-Type: text/plain\r\n\r\n{text}")
    }

    #[test]
    fn the_policy_decides_which_sender_comes_first() {
        for (knobs, first) in [
            (vec![("sender.order", "date-time")], CAROL),
            (vec![("sender.order", "arrival")], ALICE),
            (vec![("sender.order", "list"), ("sender.list", "tel:+15145550109, sip:+15145550103@home1.example")], CAROL),
        ] {
            let mut world = away(&knobs);
            world.wrote(ALICE, &[&dated("DateTime: 2012-01-17T08:00:05Z\r\n", "late")]);
            world.wrote(CAROL, &[&dated("DateTime: 2012-01-17T08:00:01Z\r\n", "early")]);
            world.register(600_000, None);
            let (_, _, invite) = world.request(BOB, "INVITE");
            assert_eq!(invite.value(Name::ReferredBy), Some(format!("<{first}>").as_str()), "{knobs:?}");
        }
    }

    #[test]
    fn a_message_without_date_counts_from_its_arrival() {
        let mut world = away(&[]);
        world.wrote(ALICE, &[&dated("", "undated")]);
        world.pass(Duration::from_secs(5));
        world.wrote(CAROL, &[&dated("DateTime: 2012-01-17T09:00:04Z\r\n", "dated")]);
        world.register(600_000, None);
        let (_, _, invite) = world.request(BOB, "INVITE");
        assert_eq!(invite.value(Name::ReferredBy), Some(format!("<{ALICE}>").as_str()));
    }

    #[test]
    fn the_policy_decides_how_the_first_message_goes() {
        for (knob, in_invite, texts) in
            [("in-invite-only", true, &["two"][..]), ("both", true, &["one", "two"]), ("msrp-only", false, &["one", "two"])]
        {
            let mut world = away(&[("invite.first-message", knob)]);
            world.wrote(ALICE, &["one", "two"]);
            world.register(600_000, None);
            let (_, invite) = pick_up(&mut world);
            assert_eq!(carried(&invite).is_some(), in_invite, "{knob}");
            world.delivered(texts);
            world.completed();
        }
    }

    #[test]
    fn one_message_alone_goes_in_the_invite() {
        let mut world = away(&[]);
        world.wrote(ALICE, &["one"]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up_without_media(invite, PHONE);
        assert_eq!(carried(&message).as_deref(), Some("one"));
        world.completed();
        world.register(600_000, None);
        world.assert_quiet(BOB);
    }

    #[test]
    fn a_480_stops_all_senders_until_the_next_trigger() {
        for (status, knobs, stops) in [
            (480, &[][..], true),
            (480, &[("stop.codes", "none")], true),
            (486, &[], false),
            (486, &[("stop.codes", "486")], true),
            (503, &[], true),
            (503, &[("stop.codes", "none")], false),
            (603, &[], false),
        ] {
            let mut world = away(knobs);
            world.wrote(ALICE, &["a1"]);
            world.wrote(CAROL, &["c1"]);
            world.register(600_000, None);
            let (invite, _, _) = world.request(BOB, "INVITE");
            world.answer(BOB, invite, status);
            if !stops {
                let (invite, _, message) = world.request(BOB, "INVITE");
                assert_eq!(message.value(Name::ReferredBy), Some(format!("<{CAROL}>").as_str()));
                world.answer(BOB, invite, status);
            }
            world.pass(Duration::from_secs(600));
            world.assert_quiet(BOB);
            world.register(600_000, None);
            let (_, invite) = pick_up(&mut world);
            assert_eq!(carried(&invite).as_deref(), Some("a1"), "{status} {knobs:?}");
            world.completed();
            let (_, invite) = pick_up(&mut world);
            assert_eq!(carried(&invite).as_deref(), Some("c1"), "{status} {knobs:?}");
        }
    }

    #[test]
    fn an_invitation_without_a_final_answer_is_withdrawn_after_the_limit() {
        let mut world = away(&[("ringing.limit", "60s")]);
        world.wrote(ALICE, &["a1"]);
        world.wrote(CAROL, &["c1"]);
        world.register(600_000, None);
        let (invite, _, _) = world.request(BOB, "INVITE");
        world.pass(Duration::from_secs(59));
        world.assert_quiet(BOB);
        world.pass(Duration::from_secs(1));
        assert!(matches!(world.event(BOB), Some(crate::endpoint::Event::Cancelled { .. })));
        world.answer(BOB, invite, 487);
        world.assert_quiet(BOB);
    }

    #[test]
    fn the_policy_invites_again_with_a_new_call_id() {
        let mut world = away(&[("retry.count", "1"), ("retry.interval", "5s")]);
        world.wrote(ALICE, &["a1"]);
        world.register(600_000, None);
        let (invite, _, first) = world.request(BOB, "INVITE");
        world.answer(BOB, invite, 500);
        world.assert_quiet(BOB);
        world.pass(Duration::from_secs(5));
        let (invite, _, second) = world.request(BOB, "INVITE");
        assert_ne!(first.call_id(), second.call_id());
        assert_eq!(first.value(Name::ConversationId), second.value(Name::ConversationId));
        world.answer(BOB, invite, 500);
        world.pass(Duration::from_secs(60));
        world.assert_quiet(BOB);
    }

    #[test]
    fn a_bye_in_the_middle_keeps_the_rest() {
        for reason in [Some("SIP;cause=200;text=\"Call completed\""), Some("SIP;cause=503"), None] {
            let mut world = away(&[]);
            world.wrote(ALICE, &["one", "two", "three"]);
            world.register(600_000, None);
            let (session, _) = pick_up(&mut world);
            assert_eq!(world.read(BOB, 0), "two");
            world.bye(&session, reason);
            world.pass(Duration::from_secs(60));
            world.assert_quiet(BOB);
            world.register(600_000, None);
            let (_, invite) = pick_up(&mut world);
            assert_eq!(carried(&invite).as_deref(), Some("two"), "{reason:?}");
            world.delivered(&["three"]);
            world.completed();
        }
    }

    #[test]
    fn a_refused_message_is_passed_over_and_kept() {
        for code in [413, 415] {
            let mut world = away(&[]);
            world.wrote(ALICE, &["one", "two", "three"]);
            world.register(600_000, None);
            pick_up(&mut world);
            assert_eq!(world.read(BOB, code), "two");
            world.delivered(&["three"]);
            world.completed();
            world.register(600_000, None);
            let (_, invite) = pick_up(&mut world);
            assert_eq!(carried(&invite).as_deref(), Some("two"), "{code}");
        }
    }

    #[test]
    fn a_message_that_is_not_answered_ends_the_session_and_is_kept() {
        let mut world = away(&[]);
        world.wrote(ALICE, &["one", "two"]);
        world.register(600_000, None);
        pick_up(&mut world);
        assert_eq!(world.read(BOB, 0), "two");
        world.pass(Duration::from_secs(31));
        let (bye, _, _) = world.request(BOB, "BYE");
        world.answer(BOB, bye, 200);
        world.register(600_000, None);
        let (_, invite) = pick_up(&mut world);
        assert_eq!(carried(&invite).as_deref(), Some("two"));
    }

    #[test]
    fn an_answer_without_medium_is_acknowledged_and_ended() {
        let mut world = away(&[]);
        world.wrote(ALICE, &["one", "two"]);
        world.register(600_000, None);
        let (invite, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, invite, 200);
        world.ack(BOB);
        let (bye, _, _) = world.request(BOB, "BYE");
        world.answer(BOB, bye, 200);
        world.register(600_000, None);
        let (_, invite) = pick_up(&mut world);
        assert_eq!(carried(&invite).as_deref(), Some("one"));
    }

    #[test]
    fn the_newer_of_two_devices_that_answer_is_kept() {
        let mut world = away(&[]);
        world.wrote(ALICE, &["one", "two", "three"]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        assert_eq!(world.read(BOB, 0), "two");
        world.pick_up_with_other_tag(invite, &message, "second");
        let (bye, _, ended) = world.request(BOB, "BYE");
        assert_eq!(ended.value(Name::Reason), Some(headers::ELSEWHERE));
        world.answer(BOB, bye, 200);
        world.delivered(&["two", "three"]);
        assert!(world.has_cited("DGC-1.1-17"));
        assert_eq!(world.seen_from_pf("ACK").len(), 2);
        let byes = world.seen_from_pf("BYE");
        assert_eq!(byes.len(), 2);
        assert!(byes[1].contains(";tag=second"), "{}", byes[1]);
    }

    #[test]
    fn a_second_device_may_connect_before_its_answer_comes() {
        let mut world = away(&[]);
        world.wrote(ALICE, &["one", "two"]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        assert_eq!(world.read(BOB, 0), "two");
        let path = world.connect_early(&message, "second");
        assert!(world.seen_from_pf("MSRP early1 200").len() == 1 && world.seen_from_pf("MSRP early1 506").is_empty());
        world.pick_up_late(invite, "second", &path);
        let sent = world.seen_from_pf("MSRP").into_iter().rfind(|head| head.contains(" SEND\r\n")).expect("a message");
        assert!(sent.contains(&format!("To-Path: {path}\r\n")) && sent.contains("\r\ntwo\r\n"), "{sent}");
        let (bye, _, ended) = world.request(BOB, "BYE");
        assert_eq!(ended.value(Name::Reason), Some(headers::ELSEWHERE));
        world.answer(BOB, bye, 200);
    }

    #[test]
    fn a_newer_session_of_the_same_two_ends_the_delivery_and_the_rest_is_kept() {
        let mut world = World::new();
        world.register(0, None);
        world.wrote(ALICE, &["one", "two"]);
        world.register(600_000, None);
        pick_up(&mut world);
        assert_eq!(world.read(BOB, 0), "two");
        let (invite, media) = world.invite_one_to_one(ALICE, None);
        let (offered, _, message) = world.request(BOB, "INVITE");
        world.pick_up(offered, &message, PHONE);
        world.accepted(FOCUS, invite, media);
        let (bye, message) = world.skip_to_request(BOB, "BYE");
        assert_eq!(message.value(Name::Reason), Some(headers::ELSEWHERE));
        world.answer(BOB, bye, 200);
        world.register(600_000, None);
        let (_, invite) = pick_up(&mut world);
        assert_eq!(carried(&invite).as_deref(), Some("two"));
    }

    #[test]
    fn a_deregistration_withdraws_the_invitation() {
        let mut world = away(&[]);
        world.wrote(ALICE, &["one"]);
        world.register(600_000, None);
        let (invite, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, invite, 180);
        world.register(0, None);
        assert!(matches!(world.event(BOB), Some(crate::endpoint::Event::Cancelled { .. })));
        world.answer(BOB, invite, 487);
        world.register(600_000, None);
        let (_, invite) = pick_up(&mut world);
        assert_eq!(carried(&invite).as_deref(), Some("one"));
    }

    #[test]
    fn a_register_that_overtakes_the_487_is_a_trigger_for_all_senders_once_that_is_there() {
        let mut world = away(&[]);
        world.wrote(ALICE, &["one"]);
        world.wrote(CAROL, &["two"]);
        world.register(600_000, None);
        let (invite, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, invite, 180);
        world.register(0, None);
        assert!(matches!(world.event(BOB), Some(crate::endpoint::Event::Cancelled { .. })));
        world.register(600_000, None);
        world.assert_quiet(BOB);
        world.answer(BOB, invite, 487);
        let (_, invite) = pick_up(&mut world);
        assert_eq!(carried(&invite).as_deref(), Some("one"));
        world.completed();
        let (_, invite) = pick_up(&mut world);
        assert_eq!(carried(&invite).as_deref(), Some("two"));
    }

    #[test]
    fn a_register_that_comes_before_the_loss_is_noticed_is_a_trigger_once_it_is() {
        let mut world = away(&[]);
        world.wrote(ALICE, &["one", "two"]);
        world.register(600_000, None);
        let (session, _) = pick_up(&mut world);
        assert_eq!(world.read(BOB, 0), "two");
        world.break_media(&session);
        world.register(600_000, None);
        world.pass(Duration::from_secs(2));
        let (_, invite) = world.skip_to_request(BOB, "INVITE");
        assert_eq!(carried(&invite).as_deref(), Some("two"));
    }

    #[test]
    fn a_deregistration_ends_the_delivery() {
        let mut world = away(&[]);
        world.wrote(ALICE, &["one", "two", "three"]);
        world.register(600_000, None);
        pick_up(&mut world);
        assert_eq!(world.read(BOB, 0), "two");
        world.register_user(USER, 0, None);
        let (bye, message) = world.skip_to_request(BOB, "BYE");
        assert_eq!(message.value(Name::Reason), None);
        world.answer(BOB, bye, 200);
        world.register(600_000, None);
        let (_, invite) = pick_up(&mut world);
        assert_eq!(carried(&invite).as_deref(), Some("two"));
        world.delivered(&["three"]);
    }

    #[test]
    fn a_reregistration_during_the_delivery_starts_no_second_one() {
        let mut world = away(&[]);
        world.wrote(ALICE, &["one", "two"]);
        world.register(600_000, None);
        pick_up(&mut world);
        assert_eq!(world.read(BOB, 0), "two");
        world.register(600_000, None);
        world.assert_quiet(BOB);
        world.answer_last(BOB, 200);
        world.completed();
        world.assert_quiet(BOB);
    }

    #[test]
    fn who_asked_for_privacy_is_not_named() {
        for (knob, shown) in [("true", headers::ANONYMOUS), ("false", ALICE)] {
            let mut world = away(&[("privacy.honour", knob)]);
            let (invite, media) = world.invite_one_to_one_with(ALICE, None, |invite| invite.push("Privacy", "id"));
            let session = world.accepted(FOCUS, invite, media);
            world.missed(&session, &["one"]);
            world.register(600_000, None);
            let (_, _, invite) = world.request(BOB, "INVITE");
            assert_eq!(invite.value(Name::ReferredBy), Some(format!("<{shown}>").as_str()));
        }
    }

    #[test]
    fn from_is_the_pf_or_the_sender() {
        for (knob, from) in [("pf", "sip:rcse-standfw@home1.example"), ("sender", ALICE)] {
            let mut world = away(&[("invite.from", knob)]);
            world.wrote(ALICE, &["one"]);
            world.register(600_000, None);
            let (_, _, invite) = world.request(BOB, "INVITE");
            assert_eq!(invite.from().map(|from| from.uri.text.to_owned()).ok().as_deref(), Some(from));
        }
    }

    #[test]
    fn what_is_stored_survives_a_restart() {
        let mut world = away(&[]);
        world.wrote(ALICE, &["one", "two"]);
        world.wrote(CAROL, &["three"]);
        world.restart();
        world.register(600_000, None);
        let (_, invite) = pick_up(&mut world);
        assert_eq!(carried(&invite).as_deref(), Some("one"));
        assert_eq!(invite.value(Name::ReferredBy), Some(format!("<{ALICE}>").as_str()));
        assert!(sdp_of(&invite).is_some_and(|sdp| sdp.contains("a=accept-types:message/cpim application/im-iscomposing+xml")));
        world.delivered(&["two"]);
        world.completed();
        let (_, invite) = pick_up(&mut world);
        assert_eq!(carried(&invite).as_deref(), Some("three"));
        world.completed();
        world.restart();
        world.register(600_000, None);
        world.assert_quiet(BOB);
    }

    #[test]
    fn what_comes_during_the_delivery_follows_in_it() {
        let mut world = away(&[]);
        let (invite, media) = world.invite_one_to_one(ALICE, None);
        let session = world.accepted(FOCUS, invite, media);
        world.missed(&session, &["one", "two"]);
        world.register(600_000, None);
        pick_up(&mut world);
        assert_eq!(world.read(BOB, 0), "two");
        world.missed(&session, &["three"]);
        world.answer_last(BOB, 200);
        world.delivered(&["three"]);
        world.completed();
        world.missed(&session, &["four"]);
        let (_, invite) = pick_up(&mut world);
        assert_eq!(carried(&invite).as_deref(), Some("four"));
    }

    #[test]
    fn a_success_report_may_be_what_delivers() {
        let mut world = away(&[("delivered-when", "success-report"), ("invite.first-message", "msrp-only")]);
        world.wrote(ALICE, &["one"]);
        world.register(600_000, None);
        let (session, _) = pick_up(&mut world);
        let message_id = world.read_with_id(BOB, 200);
        world.assert_quiet(BOB);
        world.report(&session, &message_id, 200);
        world.completed();
        world.register(600_000, None);
        world.assert_quiet(BOB);
    }

    #[test]
    fn a_message_whose_report_does_not_come_is_kept() {
        let mut world = away(&[("delivered-when", "success-report"), ("invite.first-message", "msrp-only")]);
        world.wrote(ALICE, &["one"]);
        world.register(600_000, None);
        pick_up(&mut world);
        assert_eq!(world.read(BOB, 200), "one");
        world.pass(Duration::from_secs(31));
        world.completed();
        world.register(600_000, None);
        pick_up(&mut world);
        assert_eq!(world.read(BOB, 200), "one");
    }

    fn notification(of: &str) -> Builder {
        let imdn = crate::wire::imdn::Imdn::new(of, "2012-01-17T08:00:00Z", crate::wire::imdn::Kind::Delivery, "delivered");
        let body = format!("From: <{USER}>\r\nTo: <{ALICE}>\r\n\r\nContent-Type: message/imdn+xml\r\n\r\n{}", imdn.to_xml());
        Builder::request("MESSAGE", ALICE)
            .push("Route", "<sip:pf.home1.example;lr>")
            .push("P-Asserted-Identity", format!("<{USER}>"))
            .body("message/cpim", body)
    }

    #[test]
    fn a_notification_ends_the_keeping_of_its_message() {
        let mut world = away(&[]);
        let text = format!(
            "From: <{ALICE}>\r\nTo: <{USER}>\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: m-2\r\n\r\nContent-Type: text/plain\r\n\r\ntwo"
        );
        world.wrote(ALICE, &["one", &text, "three"]);
        world.register(600_000, None);
        let (session, _) = pick_up(&mut world);
        assert_eq!(world.read(BOB, 0), text);
        world.bye(&session, None);
        world.send(BOB, notification("m-2"));
        world.register_user(USER, 600_000, None);
        let (invite, message) = world.skip_to_request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        assert_eq!(carried(&message).as_deref(), Some("three"));
        assert!(world.has_cited("DGC-1.1-43"));
    }

    #[test]
    fn the_store_drops_the_oldest_where_the_policy_says_so() {
        for (knob, refused, left) in [("false", true, &["one", "two"]), ("true", false, &["two", "three"])] {
            let mut world = away(&[("store.max-messages", "2"), ("store.drop-oldest", knob)]);
            let (invite, media) = world.invite_one_to_one(ALICE, None);
            let session = world.accepted(FOCUS, invite, media);
            world.missed(&session, &["one", "two"]);
            world.write(&session, "three");
            assert_eq!(world.sent(FOCUS) != crate::msrp::Outcome::Accepted, refused);
            world.register(600_000, None);
            let (_, invite) = pick_up(&mut world);
            assert_eq!(carried(&invite).as_deref(), Some(left[0]));
            world.delivered(&left[1..]);
            world.completed();
        }
    }

    #[test]
    fn a_message_that_is_too_old_is_dropped() {
        let mut world = away(&[("store.max-age", "1h")]);
        world.wrote(ALICE, &["old", "older than it looks"]);
        world.pass(Duration::from_secs(1_800));
        world.wrote(CAROL, &["new"]);
        world.restart();
        world.pass(Duration::from_secs(1_801));
        world.register(600_000, None);
        let (_, invite) = pick_up(&mut world);
        assert_eq!(carried(&invite).as_deref(), Some("new"));
        world.completed();
        world.assert_quiet(BOB);
    }

    #[test]
    fn a_client_that_writes_in_a_sendonly_session_is_refused() {
        let mut world = away(&[]);
        world.wrote(ALICE, &["one", "two"]);
        world.register(600_000, None);
        let (session, _) = pick_up(&mut world);
        assert_eq!(world.read(BOB, 0), "two");
        world.write(&session, "hello");
        assert_eq!(world.sent(BOB), crate::msrp::Outcome::Refused(403));
        world.assert_quiet(FOCUS);
    }
}
