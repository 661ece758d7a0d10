//! 8.3.2.9 trigger A: the S-CSCF tells by a third-party REGISTER who has come and who has gone.

use std::time::Duration;

use crate::clause::Clause;
use crate::endpoint::TransactionId;
use crate::pf::core::Core;
use crate::pf::procedures::{deferred_handling, group_delivery};
use crate::pf::registrar::ThirdParty;
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
        deregister(core, now, user);
    } else {
        register_user(core, now, user, register);
    }
    core.journal.touch_user(user);
}

/// 200 with the binding that the S-CSCF has with the PF.
fn accept(core: &mut Core, now: Instant, transaction: TransactionId, message: &Message, expires: u64) {
    let response = core.endpoint.response(transaction, 200).remove("Contact");
    let contact = message.contact().ok().filter(|_| expires > 0).map(|contact| format!("<{}>;expires={expires}", contact.uri.text));
    let response = response.push_some("Contact", contact).push_some("Expires", message.value(Name::Expires).map(|_| expires));
    core.endpoint.respond(now, transaction, response);
}

fn register_user(core: &mut Core, now: Instant, id: UserId, register: ThirdParty) {
    let user = &mut core.users[id];
    let again = matches!(user.registration, Registration::Until(end) if end > now);
    user.registration = Registration::Until(now + Duration::from_secs(register.expires));
    if let Some(scscf) = register.scscf {
        user.route = format!("<{};lr>", scscf.trim_end_matches(";lr"));
    }
    user.devices = register.devices;
    leave_devices(core, now, id);
    if again && !core.policy.trigger_on_reregister {
        return core.note("the policy takes a re-registration for no trigger");
    }
    if core.policy.trigger_delay.is_zero() {
        core.because(CLIENT_AVAILABLE, "the user is available");
        group_delivery::trigger(core, now, id);
    } else {
        core.schedule.set(Alarm::Trigger(id), now + core.policy.trigger_delay);
    }
}

/// The REGISTER that is told of has taken a device away: sessions with that device are lost.
fn leave_devices(core: &mut Core, now: Instant, id: UserId) {
    let gone = |core: &Core, group: GroupId| {
        let device = core[group].device.as_ref();
        core[group].client.is_some() && device.is_some_and(|device| core.users[id].devices.gone.contains(device))
    };
    for group in core.users[id].groups.clone() {
        if gone(core, group) {
            deferred_handling::on_deregistered(core, now, group);
        }
    }
}

fn deregister(core: &mut Core, now: Instant, id: UserId) {
    let user = &mut core.users[id];
    user.registration = Registration::Gone;
    user.waiting.clear();
    core.schedule.stop(Alarm::Trigger(id));
    for group in core.users[id].groups.clone() {
        deferred_handling::on_deregistered(core, now, group);
    }
}
