//! 8.3.2.7, by 8.2.2.7 as reconstructed: the focus tells who takes part.
//!
//! Each NOTIFY is answered 200, its document applied under the version rules of RFC 4575 4.6, and
//! the Client told where it has subscribed. For an absent Client the roster is kept.

use crate::clause::Clause;
use crate::endpoint::{SubscriptionId, TransactionId};
use crate::pf::core::{Call, Core, Watch};
use crate::pf::headers::group_contact;
use crate::pf::procedures::{deferred_handling, participants_information};
use crate::pf::state::{GroupId, Phase};
use crate::time::Instant;
use crate::wire::sip::{Builder, Message, Name};
use crate::wire::xml::conference_info::ConferenceInfo;
use crate::wire::xml::roster::{Applied, Roster};

const AS_ORIGINATING: Clause = Clause::of("DGC-7-01");

/// Takes a NOTIFY of the focus.
pub(in crate::pf) fn handle(core: &mut Core, now: Instant, id: SubscriptionId, notify: TransactionId, message: &Message) {
    core.because(AS_ORIGINATING, "the roster follows the NOTIFY").reply(now, notify, 200);
    let gap = match core.watches.get(&id).copied() {
        Some(Watch::Own(group)) => apply_own(core, group, message),
        Some(Watch::Relayed(group)) => {
            participants_information::answer_client(core, now, id, None);
            let gap = apply_relayed(core, id, group, message);
            relay(core, now, id, message);
            gap
        }
        Some(Watch::Registration(_)) | None => false,
    };
    if gap {
        core.note("the roster has a gap: full state is asked for");
        core.endpoint.refresh_subscription(now, id);
    }
}

/// Applies a document to the group's roster; whether documents are missing before it.
fn apply_own(core: &mut Core, group: GroupId, message: &Message) -> bool {
    match apply(&mut core[group].roster, message) {
        Some(Applied::Updated) => {
            core.journal.touch(group);
            false
        }
        Some(Applied::Gap { .. }) => true,
        Some(Applied::Stale) | None => false,
    }
}

/// The Client's subscription feeds the group's roster as long as the PF has none of its own.
fn apply_relayed(core: &mut Core, id: SubscriptionId, group: GroupId, message: &Message) -> bool {
    let Some(relay) = core.relays.list.get_mut(&id) else { return false };
    let applied = apply(&mut relay.roster, message);
    if applied == Some(Applied::Updated) && core.groups[group.0 as usize].subscription.is_none() {
        core.groups[group.0 as usize].roster = relay.roster.clone();
        core.journal.touch(group);
    }
    matches!(applied, Some(Applied::Gap { .. }))
}

/// What cannot be read changes nothing.
fn apply(roster: &mut Roster, message: &Message) -> Option<Applied> {
    message.content_type().filter(|own| own.is(participants_information::DOCUMENT))?;
    ConferenceInfo::parse(&message.body()).ok().map(|info| roster.apply(&info))
}

/// Passes a NOTIFY on to the Client, if it is there.
fn relay(core: &mut Core, now: Instant, id: SubscriptionId, message: &Message) {
    let Some((group, Some(dialog))) = core.relays.list.get(&id).map(|relay| (relay.group, relay.dialog)) else { return };
    let ended = message.value(Name::SubscriptionState).is_some_and(|state| state.trim_start().starts_with("terminated"));
    if core[group].client.is_none() && !ended {
        return;
    }
    let mut out = Builder::request("NOTIFY", "").push("Contact", group_contact(&core[group].shown));
    for name in [Name::Event, Name::SubscriptionState] {
        out = out.push_some(name.canonical(), message.value(name));
    }
    if let Some(content_type) = message.value(Name::ContentType) {
        out = out.body(content_type, message.body());
    }
    if let Some(call) = core.endpoint.send_in(now, dialog, out) {
        core.calls.insert(call, Call::Notify(id));
    }
}

/// The Client has answered a relayed NOTIFY: 481 and silence end its subscription (RFC 6665 4.2.2).
pub(in crate::pf) fn on_relayed(core: &mut Core, now: Instant, id: SubscriptionId, status: u16) {
    if matches!(status, 404 | 408 | 410 | 481) && core.relays.remove(id).is_some() {
        core.watches.remove(&id);
        core.endpoint.unsubscribe(now, id, Builder::request("SUBSCRIBE", ""));
    }
}

/// Ends the Client's subscription from the PF's side.
pub(in crate::pf) fn end_relay(core: &mut Core, now: Instant, id: SubscriptionId, reason: &str) {
    let Some((group, Some(dialog))) = core.relays.remove(id).map(|relay| (relay.group, relay.dialog)) else { return };
    let state = format!("terminated;reason={reason}");
    let contact = group_contact(&core[group].shown);
    let notify = Builder::request("NOTIFY", "").push("Contact", contact).push("Event", "conference");
    core.endpoint.send_in(now, dialog, notify.push("Subscription-State", state));
}

/// A subscription is over: a conference that is no more makes the group inactive.
pub(in crate::pf) fn on_terminated(core: &mut Core, now: Instant, id: SubscriptionId, reason: Option<&str>) {
    match core.watches.remove(&id) {
        Some(Watch::Relayed(_)) => drop(core.relays.remove(id)),
        Some(Watch::Own(group)) => {
            if core[group].subscription == Some(id) {
                core[group].subscription = None;
            }
            let over = reason.is_some_and(|reason| reason.eq_ignore_ascii_case("noresource"));
            if over && matches!(core[group].phase, Phase::Held | Phase::DrainPf(_) | Phase::DrainRj) {
                deferred_handling::on_focus_gone(core, now, group, "the conference is no more");
            }
        }
        Some(Watch::Registration(_)) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::pf::testing::{BOB, FOCUS, PHONE, SHOWN, USER, World};
    use crate::wire::sip::{Builder, Name};
    use crate::wire::xml::conference_info::{ConferenceInfo, User};
    use crate::wire::xml::group_state::GroupState;

    fn roster(version: u32, names: &[&str]) -> String {
        let users = names.iter().map(|name| User::new(&format!("sip:{name}@home1.example"), "connected")).collect();
        ConferenceInfo::full("sip:gc-1@cf.home1.example", version, users).to_xml()
    }

    /// The roster that the PF delivers after these documents.
    fn delivered(documents: &[&str]) -> Vec<String> {
        let mut world = World::with(&[("group-active.send-group-state", "true"), ("group-state.if-not-accepted", "send")]);
        let (focus, bob, _) = world.established();
        world.lose(&bob);
        let dialog = world.subscribed();
        for document in documents {
            world.notify(dialog, "active;expires=3600", document);
        }
        world.missed(&focus, &["one"]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        let state = GroupState::parse(world.read(BOB, 200).as_bytes()).expect("a group state object");
        world.delivered(&["one"]);
        state.participants.into_iter().map(|participant| participant.comm_addr).collect()
    }

    #[test]
    fn the_last_roster_counts() {
        let names = delivered(&[&roster(1, &["alice", "bob"]), &roster(2, &["bob", "dave"])]);
        assert_eq!(names, ["sip:bob@home1.example", "sip:dave@home1.example"]);
    }

    #[test]
    fn old_versions_and_broken_documents_change_nothing() {
        let newest = roster(5, &["bob", "dave"]);
        let names = delivered(&[&newest, &roster(5, &["alice"]), &roster(4, &["carol"]), "<conference-info", "<other/>"]);
        assert_eq!(names, ["sip:bob@home1.example", "sip:dave@home1.example"]);
    }

    #[test]
    fn a_conference_that_is_no_more_makes_the_group_inactive() {
        let mut world = World::new();
        let (focus, bob, _) = world.established();
        world.lose(&bob);
        let dialog = world.subscribed();
        world.missed(&focus, &["one"]);
        world.notify(dialog, "terminated;reason=noresource", &roster(1, &[]));
        world.request(FOCUS, "BYE");
        world.register(600_000, None);
        let (_, _, message) = world.request(BOB, "INVITE");
        assert!(crate::pf::headers::sdp_of(&message).is_some_and(|sdp| sdp.contains("a=sendonly")));
    }

    #[test]
    fn a_refused_subscription_is_done_without() {
        for status in [403, 481, 489] {
            let mut world = World::new();
            let (focus, bob, _) = world.established();
            world.lose(&bob);
            let (subscribe, _, _) = world.request(FOCUS, "SUBSCRIBE");
            world.answer(FOCUS, subscribe, status);
            world.missed(&focus, &["one"]);
            world.register(600_000, None);
            let (invite, _, message) = world.request(BOB, "INVITE");
            world.pick_up(invite, &message, PHONE);
            world.delivered(&["one"]);
        }
    }

    #[test]
    fn the_subscription_of_the_client_is_relayed() {
        let mut world = World::new();
        let (focus, bob, _) = world.established();
        let subscribe = Builder::request("SUBSCRIBE", SHOWN)
            .push("Route", "<sip:pf.home1.example;lr>")
            .push("From", format!("<{USER}>"))
            .push("Event", "conference")
            .push("Accept", "application/conference-info+xml")
            .push("Expires", 1800);
        world.send(BOB, subscribe);
        let dialog = {
            let (relayed, _, message) = world.request(FOCUS, "SUBSCRIBE");
            assert_eq!(message.value(Name::Expires), Some("1800"));
            world.answer_with(FOCUS, relayed, 200, |response| response.push("Expires", 600)).expect("a dialog")
        };
        let (_, _, response) = world.response(BOB, 200);
        assert_eq!(response.value(Name::Expires), Some("600"));
        world.notify(dialog, "active;expires=600", &roster(1, &["alice", "bob"]));
        let (notify, _, message) = world.request(BOB, "NOTIFY");
        assert_eq!(message.body(), roster(1, &["alice", "bob"]));
        world.answer(BOB, notify, 200);
        // An absent Client is told nothing; the PF subscribes for it.
        world.lose(&bob);
        world.subscribed();
        world.notify(dialog, "active;expires=500", &roster(2, &["bob"]));
        world.assert_quiet(BOB);
        world.missed(&focus, &["one"]);
    }

    #[test]
    fn another_event_package_is_refused() {
        let mut world = World::new();
        world.established();
        let subscribe = Builder::request("SUBSCRIBE", SHOWN).push("From", format!("<{USER}>")).push("Event", "presence");
        world.send(BOB, subscribe.push("Route", "<sip:pf.home1.example;lr>"));
        world.response(BOB, 489);
    }
}
