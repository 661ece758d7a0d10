//! 8.3.2.9 trigger A: the S-CSCF tells by a third-party REGISTER who has come and who has gone.

use std::time::Duration;

use crate::clause::Clause;
use crate::endpoint::TransactionId;
use crate::pf::core::Core;
use crate::pf::procedures::{
    deferred_handling, disposition_notifications, group_delivery, inactive_group, one_to_one_delivery, registration_event,
};
use crate::pf::registrar::{Devices, ThirdParty};
use crate::pf::schedule::Alarm;
use crate::pf::state::{GroupId, Registration, UserId};
use crate::time::Instant;
use crate::wire::sip::{Message, Name};

const CLIENT_AVAILABLE: Clause = Clause::of("DGC-9-06");

/// Answers a third-party REGISTER and does what it calls for.
pub(in crate::pf) fn handle(core: &mut Core, now: Instant, transaction: TransactionId, message: &Message) {
    let register = match ThirdParty::read(message) {
        Ok(register) => register,
        Err(status) => return core.reply(now, transaction, status),
    };
    let Some(user) = core.users.find(&register.user) else {
        let status = core.policy.unknown_user_status;
        if status != 200 {
            return core.reply(now, transaction, status);
        }
        core.note("the PF does not serve this user");
        return accept(core, now, transaction, message, register.expires);
    };
    accept(core, now, transaction, message, register.expires);
    if register.expires == 0 {
        went(core, now, user);
    } else {
        register_user(core, now, user, register);
    }
    core.journal.touch_user(user);
    registration_event::watch(core, now, user);
}

/// 200 with the binding that the S-CSCF has with the PF.
fn accept(core: &mut Core, now: Instant, transaction: TransactionId, message: &Message, expires: u64) {
    let response = core.endpoint.response(transaction, 200).remove("Contact");
    let contact = message.contact().ok().filter(|_| expires > 0).map(|contact| format!("<{}>;expires={expires}", contact.uri.text));
    let response = response.push_some("Contact", contact).push_some("Expires", message.value(Name::Expires).map(|_| expires));
    core.endpoint.respond(now, transaction, response);
}

fn register_user(core: &mut Core, now: Instant, id: UserId, register: ThirdParty) {
    if let Some(scscf) = register.scscf {
        core.users[id].route = format!("<{};lr>", scscf.trim_end_matches(";lr"));
    }
    let until = now + Duration::from_secs(register.expires);
    came(core, now, id, until, register.devices, core.policy.trigger_source.third_party_register);
}

/// A user is registered until then with these devices; whether that is a trigger depends on who
/// tells (AMB-02).
pub(in crate::pf) fn came(core: &mut Core, now: Instant, id: UserId, until: Instant, devices: Devices, triggers: bool) {
    let user = &mut core.users[id];
    let again = matches!(user.registration, Registration::Until(end) if end > now);
    user.registration = Registration::Until(until);
    user.devices = devices;
    core.journal.touch_user(id);
    leave_devices(core, now, id);
    if !triggers {
        return core.note("the policy takes this registration for no trigger");
    }
    if again && !core.policy.trigger_on_reregister {
        return core.note("the policy takes a re-registration for no trigger");
    }
    if core.policy.trigger_delay.is_zero() {
        available(core, now, id);
    } else {
        core.schedule.set(Alarm::Trigger(id), now + core.policy.trigger_delay);
    }
}

/// The user is available: everything that is deferred is delivered.
pub(in crate::pf) fn available(core: &mut Core, now: Instant, user: UserId) {
    core.because(CLIENT_AVAILABLE, "the user is available");
    group_delivery::trigger(core, now, user);
    one_to_one_delivery::trigger(core, now, user);
    disposition_notifications::trigger(core, now, user);
}

/// The REGISTER that is told of has taken a device away: sessions with that device are lost.
fn leave_devices(core: &mut Core, now: Instant, id: UserId) {
    let gone = |core: &Core, group: GroupId| {
        let device = core[group].device.as_ref();
        let taking_part = core[group].client.is_some() || inactive_group::is_running(core, group);
        taking_part && device.is_some_and(|device| core.users[id].devices.gone.contains(device))
    };
    for group in core.users[id].groups.clone() {
        if gone(core, group) {
            deferred_handling::on_deregistered(core, now, group);
        }
    }
}

/// A user is registered no more.
pub(in crate::pf) fn went(core: &mut Core, now: Instant, id: UserId) {
    core.journal.touch_user(id);
    let user = &mut core.users[id];
    user.registration = Registration::Gone;
    user.waiting.clear();
    core.schedule.stop(Alarm::Trigger(id));
    for group in core.users[id].groups.clone() {
        deferred_handling::on_deregistered(core, now, group);
    }
    one_to_one_delivery::on_deregistered(core, now, id);
    disposition_notifications::on_deregistered(core, now, id);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::pf::testing::{BOB, FOCUS, PHONE, SHOWN, TABLET, World};
    use crate::wire::sip::Name;

    #[test]
    fn any_address_of_the_user_triggers() {
        let (mut world, _, _) = World::held(&[], &["one"]);
        world.register_user("tel:+1-514-555-0102", 600, None);
        world.response(BOB, 200);
        world.request(BOB, "INVITE");
    }

    #[test]
    fn an_unknown_user_is_answered_by_policy() {
        for (knob, status) in [("200", 200), ("404", 404)] {
            let (mut world, _, _) = World::held(&[("register.unknown-user", knob)], &["one"]);
            world.register_user("sip:nobody@home1.example", 600, None);
            world.response(BOB, status);
            world.assert_quiet(BOB);
        }
    }

    #[test]
    fn the_policy_may_let_a_rejoin_win() {
        let (mut world, _, _) = World::held(&[("trigger.delay", "500ms")], &["one"]);
        world.register(600, None);
        world.assert_quiet(BOB);
        let (rejoin, media) = world.rejoin(SHOWN, PHONE);
        world.accepted(BOB, rejoin, media);
        world.delivered(&["one"]);
        world.pass(Duration::from_secs(1));
        world.assert_quiet(BOB);
    }

    #[test]
    fn after_the_delay_the_pf_invites() {
        let (mut world, _, _) = World::held(&[("trigger.delay", "500ms")], &["one"]);
        world.register(600, None);
        world.pass(Duration::from_millis(500));
        world.request(BOB, "INVITE");
    }

    #[test]
    fn the_policy_may_take_a_reregistration_for_no_trigger() {
        let mut world = World::with(&[("trigger.on-reregister", "false")]);
        world.register(600, None);
        let (focus, bob, _) = world.established();
        world.lose(&bob);
        world.subscribed();
        world.missed(&focus, &["one"]);
        world.register(600, None);
        world.assert_quiet(BOB);
        world.pass(Duration::from_secs(601));
        world.register(600, None);
        world.request(BOB, "INVITE");
    }

    #[test]
    fn the_policy_may_invite_although_nothing_was_missed() {
        let mut world = World::with(&[("trigger.invite-when-empty", "true")]);
        let (_, bob, _) = world.established();
        world.lose(&bob);
        world.subscribed();
        world.register(600, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        world.assert_quiet(BOB);
    }

    #[test]
    fn the_policy_may_give_up_waiting_for_a_device() {
        let (mut world, _, _) = World::held(&[("device.pin-timeout", "10m")], &["one"]);
        world.register(600, Some(TABLET));
        world.assert_quiet(BOB);
        world.pass(Duration::from_secs(600));
        world.register(600, Some(TABLET));
        let (_, _, message) = world.request(BOB, "INVITE");
        assert_eq!(message.values(Name::AcceptContact).count(), 1);
    }

    #[test]
    fn groups_are_delivered_one_after_the_other_or_all_at_once() {
        for (knob, at_once) in [("serial", false), ("parallel", true)] {
            let mut world = World::with(&[("group.delivery", knob)]);
            let (focus, bob, _) = world.established();
            let (other_focus, other_bob, _) = world.established_with(2);
            world.lose(&bob);
            world.lose(&other_bob);
            world.subscribed();
            world.subscribed();
            world.missed(&other_focus, &["oldest"]);
            world.missed(&focus, &["newest"]);
            world.register(600, None);
            let (first, _, message) = world.request(BOB, "INVITE");
            assert_eq!(message.value(Name::ConversationId), Some("conversation-2"));
            if !at_once {
                world.assert_quiet(BOB);
                world.pick_up(first, &message, PHONE);
                world.delivered(&["oldest"]);
            }
            let (_, _, other) = world.request(BOB, "INVITE");
            assert_eq!(other.value(Name::ConversationId), Some("conversation-1"));
        }
    }

    #[test]
    fn an_error_of_the_stop_list_ends_the_round() {
        for (status, goes_on) in [(480, false), (486, true)] {
            let mut world = World::new();
            let (focus, bob, _) = world.established();
            let (other_focus, other_bob, _) = world.established_with(2);
            world.lose(&bob);
            world.lose(&other_bob);
            world.subscribed();
            world.subscribed();
            world.missed(&focus, &["one"]);
            world.missed(&other_focus, &["two"]);
            world.register(600, None);
            let (first, _, _) = world.request(BOB, "INVITE");
            world.answer(BOB, first, status);
            if goes_on {
                world.request(BOB, "INVITE");
            }
            world.assert_quiet(BOB);
            world.assert_quiet(FOCUS);
        }
    }
}
