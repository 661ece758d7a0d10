//! 8.3.2.9.1.2 item 2: a group that has ended at the focus is delivered as 1-1 messages are.
//!
//! One sendonly session of the PF for the group (AMB-06), in which the last roster goes along as a
//! group state object (AMB-34). How such a session runs is in [`delivery`]. What it delivers is
//! taken out of the group's queue, so that a group that comes to life again meanwhile, by the
//! re-join of the Client or an invitation of the CF, has its own.
//!
//! ```text
//! start                  Dormant, data stored           INVITE V4
//! 2xx                    the message of the INVITE is delivered; roster, then the others, then BYE
//! complete               Dormant                        what the Client refused is kept
//! 603, BYE cause 200     Dormant -> Gone                discarded (AMB-22, AMB-33)
//! other, timeout, loss   Dormant                        kept; again by policy
//! BYE focus              DrainPf | DrainRj -> Dormant   that session is completed as one of these
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::clause::Clause;
use crate::pf::core::Core;
use crate::pf::deferred::{Deferred, Item};
use crate::pf::group_state;
use crate::pf::headers::{self, GROUP_SERVICE};
use crate::pf::one_to_one::delivery::{self, Ending, Particulars, Recipe};
use crate::pf::one_to_one::{Place, Shelf};
use crate::pf::policy::Referrer;
use crate::pf::procedures::deferred_handling::Departure;
use crate::pf::procedures::group_delivery;
use crate::pf::schedule::Alarm;
use crate::pf::state::{Delivery, GroupId, Phase, Side};
use crate::time::Instant;
use crate::wire::cpim::Cpim;

const AS_ONE_TO_ONE: Clause = Clause::of("DGC-1.2-15");
const GROUP_STATE: Clause = Clause::of("DGC-1.2-16");
const PINNED: Clause = Clause::of("DGC-1.2-18");
const INSTANCE: Clause = Clause::of("DGC-1.2-19");
const DECLINE_DISCARDS: Clause = Clause::of("DGC-1.2-10");
const LEAVES_DURING_DELIVERY: Clause = Clause::of("DGC-1.2-22");
const DISCARDS: Clause = Clause::of("DGC-1.2-23");
const STOPS: Clause = Clause::of("DGC-1.1-18");

/// What a delivery of an inactive group has taken along.
#[derive(Debug, Default)]
pub(in crate::pf) struct Parcel {
    /// The messages.
    pub(in crate::pf) queue: Deferred,
    /// Senders whose sessions follow, where each has one.
    senders: VecDeque<String>,
}

/// Whether a delivery of the group runs.
pub(in crate::pf) fn is_running(core: &Core, group: GroupId) -> bool {
    core.one.deliveries.contains_key(&Shelf::Group(group))
}

/// Begins the delivery of a group: one session, or one for each sender (AMB-06).
pub(in crate::pf) fn start(core: &mut Core, now: Instant, group: GroupId) {
    core.because(AS_ONE_TO_ONE, "the group is inactive: it is delivered as 1-1 messages are");
    let mut senders = VecDeque::new();
    if core.policy.inactive_referrer == Referrer::PerSender {
        for (_, item) in core[group].deferred.iter() {
            let sender = sender_of(item).unwrap_or_default();
            if !senders.contains(&sender) {
                senders.push_back(sender);
            }
        }
    }
    let first = senders.pop_front();
    core[group].parcel = Parcel { senders, ..Parcel::default() };
    open(core, now, group, first.as_deref());
}

/// Opens a session for everything, or for the messages of one sender.
fn open(core: &mut Core, now: Instant, group: GroupId, sender: Option<&str>) {
    let wanted = |item: &Item| sender.is_none_or(|sender| sender_of(item).unwrap_or_default() == sender);
    core[group].parcel.queue = core[group].deferred.split(wanted);
    let device = group_delivery::pinned(core, now, group).map(str::to_owned);
    if device.is_some() {
        core.because(PINNED, "only the device that had accepted is invited");
        core.because(INSTANCE, "Accept-Contact names its instance");
    }
    let recipe = recipe(core, group, device.as_deref());
    delivery::open(core, now, Shelf::Group(group), recipe);
}

/// The focus has ended the group while a session with the Client delivers what is stored: that
/// session is completed, and ends with the Reason of the focus.
pub(in crate::pf) fn adopt(core: &mut Core, now: Instant, group: GroupId, farewell: Option<String>) {
    core.note("the focus has ended the group: the delivery is completed, then the Client gets its BYE");
    let shelf = Shelf::Group(group);
    let phase = std::mem::replace(&mut core[group].phase, Phase::Dormant);
    core[group].parcel = Parcel { queue: std::mem::take(&mut core[group].deferred), ..Parcel::default() };
    if let Phase::DrainPf(Delivery::Invited { call, cancelled }) = phase {
        core.schedule.stop(Alarm::Ringing(group));
        let offered = core[group].offered.take();
        delivery::adopt_invited(core, now, shelf, (call, cancelled), offered, farewell);
    } else if let Some(leg) = core.take(now, group, Side::Client) {
        delivery::adopt_leg(core, now, shelf, leg, farewell);
    }
}

/// V4: the INVITE of a 1-1 delivery with what identifies the group.
fn recipe(core: &Core, group: GroupId, device: Option<&str>) -> Recipe {
    let own = &core[group];
    let first = own.parcel.queue.first_durable();
    let by_sender = core.policy.inactive_referrer != Referrer::Focus;
    let sender = first.filter(|_| by_sender).and_then(|(_, item)| sender_of(item));
    let particulars = Particulars {
        user: own.user,
        referred_by: sender.as_deref().unwrap_or(&own.focus),
        service: GROUP_SERVICE,
        accept_contact: headers::accept_contact(device, core.policy.merge_accept_contact),
        identifiers: &own.invitation.identifiers(),
        first: first.map(|(number, _)| number),
        sdp: &own.invitation.sdp,
    };
    Recipe::of(core, particulars)
}

/// Who wrote a message (AMB-06).
fn sender_of(item: &Item) -> Option<String> {
    let message = Cpim::decode(item.body.clone()).ok()?;
    Some(message.from()?.uri.to_owned())
}

/// The Client accepted: the roster is due, in each session, for the Client need not know that two
/// of them belong together. It goes before the messages, or behind them (AMB-34).
pub(in crate::pf) fn on_accepted(core: &mut Core, now: Instant, group: GroupId) -> Vec<(String, Bytes)> {
    core[group].attempts = 0;
    let remote = core.leg_at(Place::Delivery(Shelf::Group(group))).and_then(|leg| leg.media.remote.clone());
    core.because(GROUP_STATE, "the last roster is due as a group state object");
    group_state::message(core, now, group, &remote.unwrap_or_default()).into_iter().collect()
}

/// A session is over.
pub(in crate::pf) fn on_over(core: &mut Core, now: Instant, group: GroupId, ending: Ending) {
    let mut rest = std::mem::take(&mut core[group].parcel.queue);
    let unwanted = matches!(ending, Ending::Refused { status: 603, .. } | Ending::Left(Departure::Left));
    if unwanted || core[group].phase == Phase::Gone {
        core.strike_off(group, rest.discard());
    } else {
        core[group].deferred.merge(rest);
    }
    match ending {
        Ending::Complete => {
            if core[group].phase == Phase::Dormant
                && let Some(sender) = core[group].parcel.senders.pop_front()
            {
                return open(core, now, group, Some(&sender));
            }
        }
        Ending::Refused { status: 603, .. } => {
            core.because(DECLINE_DISCARDS, "the user has declined: stored data is discarded");
            leave(core, now, group);
        }
        Ending::Left(Departure::Left) => {
            core.because(LEAVES_DURING_DELIVERY, "the user leaves in the middle of the delivery");
            core.because(DISCARDS, "what is left is discarded");
            leave(core, now, group);
        }
        Ending::Refused { status, retry_after } => plan_retry(core, now, group, status, retry_after.unwrap_or_default()),
        Ending::Left(Departure::Lost | Departure::Unclear) | Ending::Lost | Ending::Replaced => {}
    }
    // A session with the Client that has come to be meanwhile takes what is left.
    core.pump(now, group);
    core.journal.touch(group);
    let stop = stops(core, ending);
    group_delivery::on_over(core, now, group, stop);
    if std::mem::take(&mut core[group].again) {
        let user = core[group].user;
        group_delivery::trigger(core, now, user);
    }
}

/// The user wants nothing more of the group, unless it is in use again by another session.
fn leave(core: &mut Core, now: Instant, group: GroupId) {
    if core[group].phase == Phase::Dormant {
        core.finish(now, group, true);
    }
}

/// Whether the user's other groups have to wait for the next trigger (AMB-24).
fn stops(core: &mut Core, ending: Ending) -> bool {
    match ending {
        Ending::Refused { status: 480, .. } => {
            core.because(STOPS, "nothing more is delivered until the next trigger");
            true
        }
        Ending::Refused { status, .. } => status == 487 || core.policy.stop_codes.contains(&u64::from(status)),
        Ending::Lost | Ending::Left(Departure::Lost) => true,
        Ending::Complete | Ending::Left(_) | Ending::Replaced => false,
    }
}

/// After an error other than 603 the policy may invite again by itself (AMB-04).
fn plan_retry(core: &mut Core, now: Instant, group: GroupId, status: u16, retry_after: Duration) {
    core[group].attempts += 1;
    if status != 487 && core[group].attempts <= core.policy.retry_count {
        core.schedule.set(Alarm::Retry(group), now + core.policy.retry_interval.max(retry_after));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::endpoint::{Event, TransactionId};
    use crate::pf::headers::{self, other_parts, sdp_of};
    use crate::pf::testing::{BOB, FOCUS, GROUP, PHONE, SHOWN, Session, TABLET, USER, World, taking_state};
    use crate::wire::sip::{Message, Name};
    use crate::wire::xml::group_state::GroupState;

    const PF: &str = "<sip:rcse-standfw@home1.example>";

    fn carried(invite: &Message) -> Option<String> {
        let part = other_parts(invite).into_iter().find(|part| part.is("message/cpim"))?;
        Some(String::from_utf8_lossy(&part.body).into_owned())
    }

    /// The Client is back, and the PF has invited it.
    fn invited(world: &mut World) -> (TransactionId, Message) {
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        (invite, message)
    }

    /// Bob accepts in the session of a delivery, and takes the group state object.
    fn pick_up(world: &mut World, invite: TransactionId, message: &Message) -> Session {
        world.pick_up_describing(invite, message, |sdp| taking_state(sdp).replace("a=sendrecv", "a=recvonly"))
    }

    fn assert_state(world: &mut World) {
        let state = GroupState::parse(world.read(BOB, 200).as_bytes()).expect("a group state object");
        let members: Vec<&str> = state.participants.iter().map(|participant| participant.comm_addr.as_str()).collect();
        assert_eq!((state.last_focus_session_id.as_str(), members.len()), (SHOWN, 3));
        assert!(members.contains(&USER));
    }

    fn assert_over(world: &mut World) {
        let (bye, _, message) = world.request(BOB, "BYE");
        assert_eq!(message.value(Name::Reason), None);
        world.answer(BOB, bye, 200);
    }

    #[test]
    fn the_group_is_delivered_with_its_roster_in_a_session_for_that_alone() {
        let mut world = World::dormant(&[], &["one", "two", "three"], None);
        let (invite, message) = invited(&mut world);
        assert_eq!(message.request_uri(), Some(USER));
        assert_eq!((message.value(Name::PAssertedIdentity), message.values(Name::PAssertedIdentity).count()), (Some(PF), 1));
        assert_eq!(message.value(Name::PAssertedService), Some(headers::GROUP_SERVICE));
        assert_eq!(message.value(Name::ReferredBy), Some(format!("<{GROUP}>").as_str()));
        assert_eq!(message.value(Name::ConversationId), Some("conversation-1"));
        assert_eq!(message.value(Name::ContributionId), Some("contribution-1"));
        assert_eq!(message.value(Name::Subject), Some("Hiking trip"));
        assert!(message.values(Name::AcceptContact).any(|value| value.contains(PHONE)));
        assert!(message.contact().is_ok_and(|contact| !contact.is_focus()));
        let sdp = sdp_of(&message).expect("SDP");
        assert!(sdp.contains("a=sendonly\r\n") && sdp.contains("a=accept-types:message/cpim application/im-iscomposing+xml"));
        assert_eq!(carried(&message).as_deref(), Some("one"));
        pick_up(&mut world, invite, &message);
        assert_state(&mut world);
        world.delivered(&["two", "three"]);
        assert_over(&mut world);
        world.assert_quiet(FOCUS);
        world.register(600_000, None);
        world.assert_quiet(BOB);
        for id in ["DGC-1.2-01", "DGC-1.2-15", "DGC-1.2-16", "DGC-9-05", "DGC-1.1-15"] {
            assert!(world.has_cited(id), "{id}");
        }
    }

    #[test]
    fn the_bye_waits_for_the_answer_to_the_roster() {
        for (knob, messages) in [("first", &["one"][..]), ("last", &["one", "two"][..])] {
            let mut world = World::dormant(&[("group-state.position", knob)], messages, None);
            let (invite, message) = invited(&mut world);
            pick_up(&mut world, invite, &message);
            world.delivered(&messages[1..]);
            assert!(world.read(BOB, 0).contains("<groupstate"));
            world.assert_quiet(BOB);
            world.answer_last(BOB, 415);
            assert_over(&mut world);
        }
    }

    #[test]
    fn a_client_that_does_not_take_the_object_gets_the_messages() {
        let mut world = World::dormant(&[("invite.first-message", "msrp-only")], &["one", "two"], None);
        let (invite, message) = invited(&mut world);
        assert_eq!(carried(&message), None);
        world.pick_up(invite, &message, PHONE);
        world.delivered(&["one", "two"]);
        assert_over(&mut world);
    }

    #[test]
    fn a_decline_discards() {
        let mut world = World::dormant(&[], &["one", "two"], None);
        let (invite, _) = invited(&mut world);
        world.answer(BOB, invite, 603);
        world.assert_quiet(FOCUS);
        world.register(600_000, None);
        world.assert_quiet(BOB);
    }

    #[test]
    fn an_error_keeps_the_data_and_the_policy_may_try_again() {
        for retries in ["0", "1"] {
            let mut world = World::dormant(&[("retry.count", retries)], &["one"], None);
            let (invite, first) = invited(&mut world);
            world.answer(BOB, invite, 480);
            world.assert_quiet(BOB);
            world.pass(Duration::from_secs(30));
            if retries == "0" {
                world.assert_quiet(BOB);
                world.register(600_000, None);
            }
            let (_, _, again) = world.request(BOB, "INVITE");
            assert_ne!(first.value(Name::CallId), again.value(Name::CallId));
        }
    }

    #[test]
    fn a_bye_discards_the_rest_only_where_the_user_has_left() {
        for (reason, kept) in [("SIP;cause=200", false), ("SIP;cause=503", true), ("Q.850;cause=16", true)] {
            let mut world = World::dormant(&[], &["one", "two"], None);
            let (invite, message) = invited(&mut world);
            let bob = pick_up(&mut world, invite, &message);
            assert_state(&mut world);
            assert_eq!(world.read(BOB, 0), "two");
            world.bye(&bob, Some(reason));
            world.register(600_000, None);
            if kept {
                let (_, _, again) = world.request(BOB, "INVITE");
                assert_eq!(carried(&again).as_deref(), Some("two"));
            }
            world.assert_quiet(BOB);
        }
    }

    #[test]
    fn a_deregistration_withdraws_and_the_next_trigger_invites_again() {
        let mut world = World::dormant(&[], &["one"], None);
        let (invite, _) = invited(&mut world);
        world.answer(BOB, invite, 180);
        world.register(0, None);
        assert!(matches!(world.event(BOB), Some(Event::Cancelled { .. })));
        world.register(600_000, None);
        world.answer(BOB, invite, 487);
        world.request(BOB, "INVITE");
    }

    #[test]
    fn another_device_is_no_trigger() {
        let mut world = World::dormant(&[], &["one"], None);
        world.register(600_000, Some(TABLET));
        world.assert_quiet(BOB);
    }

    #[test]
    fn referred_by_may_name_the_first_sender_or_each_in_a_session_of_its_own() {
        let of = |name: &str, text: &str| {
            format!("From: <sip:{name}@home1.example>\r\nTo: <{GROUP}>\r\n\r\nContent-Type: text/plain\r\n\r\n{text}")
        };
        let (a1, b1, a2) = (of("alice", "a1"), of("carol", "c1"), of("alice", "a2"));
        for (knob, each) in [("first-sender", false), ("per-sender-sessions", true)] {
            let mut world = World::dormant(&[("group-inactive.referred-by", knob)], &[&a1, &b1, &a2], None);
            let (invite, message) = invited(&mut world);
            assert_eq!(message.value(Name::ReferredBy), Some("<sip:alice@home1.example>"));
            pick_up(&mut world, invite, &message);
            assert_state(&mut world);
            if each {
                world.delivered(&[&a2]);
                assert_over(&mut world);
                let (invite, _, message) = world.request(BOB, "INVITE");
                assert_eq!(message.value(Name::ReferredBy), Some("<sip:carol@home1.example>"));
                assert_eq!(carried(&message), Some(b1.clone()));
                pick_up(&mut world, invite, &message);
                assert_state(&mut world);
            } else {
                world.delivered(&[&b1, &a2]);
            }
            assert_over(&mut world);
        }
    }

    #[test]
    fn a_rejoin_starts_the_group_again_while_the_delivery_is_completed() {
        let mut world = World::dormant(&[], &["one", "two"], None);
        let (invite, message) = invited(&mut world);
        let (rejoin, media) = world.rejoin(SHOWN, PHONE);
        let (asked, _, restart) = world.request(FOCUS, "INVITE");
        assert_eq!(restart.request_uri(), Some("sip:conference-factory@cf.home1.example"));
        pick_up(&mut world, invite, &message);
        assert_state(&mut world);
        assert_eq!(world.read(BOB, 0), "two");
        let focus = world.accept_join(asked, &restart);
        world.accepted(BOB, rejoin, media);
        world.missed(&focus, &["live"]);
        world.delivered(&["live"]);
        world.assert_quiet(BOB);
        world.answer_last(BOB, 200);
        assert_over(&mut world);
        world.missed(&focus, &["still there"]);
        world.delivered(&["still there"]);
        assert!(world.has_cited("DGC-1.4-03") && world.has_cited("DGC-1.4-04"));
    }

    #[test]
    fn a_restart_that_fails_does_not_concern_the_delivery() {
        let mut world = World::dormant(&[], &["one", "two"], None);
        let (invite, message) = invited(&mut world);
        world.rejoin(SHOWN, PHONE);
        let (asked, _, _) = world.request(FOCUS, "INVITE");
        world.answer(FOCUS, asked, 403);
        world.response(BOB, 403);
        pick_up(&mut world, invite, &message);
        assert_state(&mut world);
        world.delivered(&["two"]);
        assert_over(&mut world);
    }

    #[test]
    fn what_a_failed_delivery_leaves_over_goes_by_the_session_that_was_started_again() {
        let mut world = World::dormant(&[], &["one", "two"], None);
        let (invite, _) = invited(&mut world);
        let (rejoin, media) = world.rejoin(SHOWN, PHONE);
        let (asked, _, restart) = world.request(FOCUS, "INVITE");
        let focus = world.accept_join(asked, &restart);
        world.accepted(BOB, rejoin, media);
        world.answer(BOB, invite, 486);
        world.delivered(&["one", "two"]);
        world.missed(&focus, &["live"]);
        world.delivered(&["live"]);
    }

    #[test]
    fn an_invitation_of_the_cf_leaves_the_delivery_alone() {
        let mut world = World::dormant(&[], &["one", "two"], None);
        let (invite, message) = invited(&mut world);
        pick_up(&mut world, invite, &message);
        assert_state(&mut world);
        assert_eq!(world.read(BOB, 0), "two");
        let (focus, _, _) = world.established();
        world.missed(&focus, &["live"]);
        world.delivered(&["live"]);
    }

    #[test]
    fn a_group_that_ends_while_its_client_is_invited_is_one_of_these() {
        let mut world = World::new();
        let (focus, bob, _) = world.established();
        world.lose(&bob);
        let dialog = world.subscribed();
        world.missed(&focus, &["one", "two"]);
        let (invite, message) = invited(&mut world);
        world.bye(&focus, Some("SIP;cause=480"));
        world.notify(dialog, "terminated;reason=noresource", "");
        let (rejoin, media) = world.rejoin(SHOWN, PHONE);
        let (asked, _, restart) = world.request(FOCUS, "INVITE");
        world.pick_up(invite, &message, PHONE);
        assert_eq!(world.read(BOB, 0), "one");
        let focus = world.accept_join(asked, &restart);
        world.accepted(BOB, rejoin, media);
        world.missed(&focus, &["live"]);
        world.delivered(&["live"]);
        world.answer_last(BOB, 200);
        world.delivered(&["two"]);
        let (bye, _, message) = world.request(BOB, "BYE");
        assert_eq!(message.value(Name::Reason), Some("SIP;cause=480"));
        world.answer(BOB, bye, 200);
        world.assert_quiet(FOCUS);
    }

    #[test]
    fn a_group_that_ends_and_comes_back_during_its_delivery_has_two_sessions() {
        let mut world = World::new();
        let (focus, bob, _) = world.established();
        world.lose(&bob);
        let dialog = world.subscribed();
        world.missed(&focus, &["one", "two"]);
        let (invite, message) = invited(&mut world);
        world.pick_up(invite, &message, PHONE);
        assert_eq!(world.read(BOB, 0), "one");
        world.bye(&focus, None);
        world.notify(dialog, "terminated;reason=noresource", "");
        let (focus, _, _) = world.established();
        world.missed(&focus, &["live"]);
        world.delivered(&["live"]);
        world.answer_last(BOB, 200);
        world.delivered(&["two"]);
        assert_over(&mut world);
    }

    #[test]
    fn a_process_that_dies_keeps_what_was_not_delivered() {
        let mut world = World::dormant(&[], &["one", "two", "three"], None);
        let (invite, message) = invited(&mut world);
        pick_up(&mut world, invite, &message);
        assert_state(&mut world);
        world.delivered(&["two"]);
        assert_eq!(world.read(BOB, 0), "three");
        world.restart();
        let (_, again) = invited(&mut world);
        assert_eq!(carried(&again).as_deref(), Some("three"));
    }
}
