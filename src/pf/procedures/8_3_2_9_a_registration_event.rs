//! 8.3.2.9 trigger A by the other reading of AMB-02: the registration event package (RFC 3680) tells
//! who has come and who has gone.
//!
//! Where `trigger.source` says so the PF subscribes to the registration of a user as soon as it hears
//! of the user by a third-party REGISTER, or something is stored. The first NOTIFY tells how things stood all along; a later one that
//! speaks of an active contact is the trigger.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::endpoint::{Change, SubscriptionId};
use crate::pf::core::{Core, Watch};
use crate::pf::headers::own_contact;
use crate::pf::procedures::registration;
use crate::pf::registrar::Devices;
use crate::pf::state::{Registration, UserId};
use crate::time::Instant;
use crate::wire::sip::{Builder, Message};
use crate::wire::xml::reginfo::{self, RegInfo};

/// The expiry that is asked for: the default of the package (RFC 3680 4.4).
const EXPIRES: u32 = 3_761;

/// The subscriptions to registrations.
#[derive(Debug, Default)]
pub(in crate::pf) struct Watched {
    /// For each user the subscription, and whether its first NOTIFY has come.
    by_user: BTreeMap<UserId, (SubscriptionId, bool)>,
}

/// From now on the PF wants to know when a user comes.
pub(in crate::pf) fn watch(core: &mut Core, now: Instant, user: UserId) {
    if !core.policy.trigger_source.reg_event || core.watched.by_user.contains_key(&user) {
        return;
    }
    let (uri, identity) = (&core.users[user].uri, &core.config.identity);
    let request = Builder::request("SUBSCRIBE", uri)
        .push("Route", &core.users[user].route)
        .push("From", format!("<{identity}>"))
        .push("To", format!("<{uri}>"))
        .push("Contact", own_contact(&core.address()))
        .push("P-Asserted-Identity", format!("<{identity}>"))
        .push("Event", "reg")
        .push("Accept", reginfo::MEDIA_TYPE)
        .push("Expires", EXPIRES);
    core.note("the PF subscribes to the registration of the user (AMB-02)");
    let id = core.endpoint.subscribe(now, request);
    core.watches.insert(id, Watch::Registration(user));
    core.watched.by_user.insert(user, (id, false));
}

/// The process before this one died, and its subscriptions with it.
pub(in crate::pf) fn resume(core: &mut Core, now: Instant) {
    for user in core.users.ids() {
        if core.users[user].stored > 0 {
            watch(core, now, user);
        }
    }
}

/// The subscription to the registration of a user has changed.
pub(in crate::pf) fn on_change(core: &mut Core, now: Instant, id: SubscriptionId, user: UserId, change: Change) {
    match change {
        Change::Notified { transaction, message } => {
            core.reply(now, transaction, 200);
            on_notify(core, now, user, &message);
        }
        Change::Terminated { .. } | Change::Failed { .. } => {
            core.note("the registration of the user is told no more");
            core.watches.remove(&id);
            core.watched.by_user.remove(&user);
        }
        Change::Accepted { .. } | Change::Expired { .. } => {}
    }
}

fn on_notify(core: &mut Core, now: Instant, user: UserId, message: &Message) {
    let Ok(info) = RegInfo::parse(&message.body()) else { return core.note("a registration document cannot be read") };
    let own: Vec<_> = info.registrations.iter().filter(|own| core.users.find(&own.aor) == Some(user)).collect();
    let contacts: Vec<_> = own.iter().flat_map(|own| &own.contacts).collect();
    let mut devices = if info.full { Devices::default() } else { core.users[user].devices.clone() };
    for contact in &contacts {
        if let Some(instance) = contact.instance() {
            devices.tell(instance, contact.state == "active");
        }
    }
    let active: Vec<_> = contacts.iter().filter(|contact| contact.state == "active").collect();
    let came = active.iter().any(|own| matches!(own.event.as_str(), "registered" | "created" | "refreshed" | "shortened"));
    let first = core.watched.by_user.get_mut(&user).is_some_and(|(_, told)| !std::mem::replace(told, true));
    let was_gone = core.users[user].registration == Registration::Gone;
    if !active.is_empty() {
        let expires = active.iter().filter_map(|contact| contact.expires).max().unwrap_or(EXPIRES);
        let until = now + Duration::from_secs(u64::from(expires));
        registration::came(core, now, user, until, devices, came && (!first || was_gone));
    } else if info.full || own.iter().any(|own| own.state == "terminated") {
        registration::went(core, now, user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::DialogId;
    use crate::pf::testing::{ALICE, BOB, PHONE, Session, TABLET, USER, World};
    use crate::wire::sip::Name;

    fn notify(world: &mut World, dialog: DialogId, state: &str, event: &str, device: &str) {
        let session = Session { node: BOB, dialog, media: crate::endpoint::MsrpId(0) };
        let document = format!(
            "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"0\" state=\"full\">\
             <registration aor=\"{USER}\" id=\"r\" state=\"{state}\"><contact id=\"c\" state=\"{state}\" event=\"{event}\">\
             <uri>sip:bob@10.0.2.1</uri><unknown-param name=\"+sip.instance\">\"&lt;{device}&gt;\"</unknown-param></contact>\
             </registration></reginfo>"
        );
        let notify = Builder::request("NOTIFY", "").push("Event", "reg").push("Subscription-State", "active;expires=3600");
        world.send_in(&session, notify.body(reginfo::MEDIA_TYPE, document));
    }

    fn watched(knob: &str) -> (World, DialogId) {
        let mut world = World::with(&[("trigger.source", knob)]);
        world.register(0, None);
        let (subscribe, _, message) = world.request(BOB, "SUBSCRIBE");
        assert_eq!((message.value(Name::Event), message.request_uri()), (Some("reg"), Some(USER)));
        let dialog = world.answer_with(BOB, subscribe, 200, |response| response.push("Expires", 3_600)).expect("a dialog");
        notify(&mut world, dialog, "terminated", "unregistered", PHONE);
        world.response(BOB, 200);
        world.wrote(ALICE, &["one"]);
        world.assert_quiet(BOB);
        (world, dialog)
    }

    #[test]
    fn an_active_contact_triggers() {
        for knob in ["reg-event", "both"] {
            let (mut world, dialog) = watched(knob);
            notify(&mut world, dialog, "active", "registered", PHONE);
            world.skip_to_request(BOB, "INVITE");
            assert!(world.has_cited("DGC-9-06"), "{knob}");
        }
    }

    #[test]
    fn a_third_party_register_triggers_only_where_it_is_a_source() {
        let (mut world, _) = watched("reg-event");
        world.register(600_000, None);
        world.assert_quiet(BOB);
        let (mut world, _) = watched("both");
        world.register(600_000, None);
        world.request(BOB, "INVITE");
    }

    #[test]
    fn a_terminated_contact_withdraws_the_invitation() {
        let (mut world, dialog) = watched("both");
        notify(&mut world, dialog, "active", "created", TABLET);
        let (invite, _) = world.skip_to_request(BOB, "INVITE");
        world.answer(BOB, invite, 180);
        notify(&mut world, dialog, "terminated", "expired", TABLET);
        let mut cancelled = false;
        while let Some(event) = world.event(BOB) {
            cancelled |= matches!(event, crate::endpoint::Event::Cancelled { .. });
        }
        assert!(cancelled);
    }

    #[test]
    fn a_document_that_cannot_be_read_changes_nothing() {
        let (mut world, dialog) = watched("both");
        let session = Session { node: BOB, dialog, media: crate::endpoint::MsrpId(0) };
        let notify = Builder::request("NOTIFY", "").push("Event", "reg").push("Subscription-State", "active;expires=3600");
        world.send_in(&session, notify.body(reginfo::MEDIA_TYPE, "<reginfo".to_owned()));
        world.response(BOB, 200);
        world.assert_quiet(BOB);
    }
}
