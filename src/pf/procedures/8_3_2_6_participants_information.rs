//! 8.3.2.6, by 8.2.2.6 as reconstructed: subscriptions to the focus, the Client's and the PF's own.
//!
//! The Client's SUBSCRIBE is relayed: the PF subscribes to the focus in a dialog of its own and
//! answers what the focus answered. For an absent Client of a long-lived group the PF subscribes
//! itself (8.2.2.6.2), refreshes while the absence lasts, and carries on without when it is refused.

use std::collections::BTreeMap;

use crate::clause::Clause;
use crate::endpoint::{DialogId, SubscriptionId, TransactionId};
use crate::pf::core::{Core, Watch};
use crate::pf::headers::{FEATURE_TAG, GROUP_SERVICE, group_contact, own_contact};
use crate::pf::procedures::{group_rejoin, participants_notification};
use crate::pf::state::GroupId;
use crate::time::Instant;
use crate::wire::sip::header::{Token, number};
use crate::wire::sip::{Builder, Message, Name};
use crate::wire::xml::roster::Roster;

const AS_ORIGINATING: Clause = Clause::of("DGC-6-01");
const SUBSCRIBES: Clause = Clause::of("DGC-9-04");

/// The event package (RFC 4575).
const PACKAGE: &str = "conference";
/// Its document.
pub(in crate::pf) const DOCUMENT: &str = "application/conference-info+xml";
/// How long a subscription lasts when nothing is said (RFC 4575 3.3).
const DEFAULT_EXPIRES: u32 = 3600;

/// A subscription of the Client that is relayed.
#[derive(Debug)]
pub(in crate::pf) struct Relay {
    /// Whose participants.
    pub(in crate::pf) group: GroupId,
    /// The Client's SUBSCRIBE, until it is answered.
    asked: Option<TransactionId>,
    /// The dialog with the Client, once the PF has answered.
    pub(in crate::pf) dialog: Option<DialogId>,
    /// What the subscription has told; versions count for each subscription.
    pub(in crate::pf) roster: Roster,
    /// How long the Client asked for.
    expires: u32,
}

/// The relayed subscriptions.
#[derive(Debug, Default)]
pub(in crate::pf) struct Relays {
    pub(in crate::pf) list: BTreeMap<SubscriptionId, Relay>,
    by_dialog: BTreeMap<DialogId, SubscriptionId>,
}

impl Relays {
    /// Forgets a subscription.
    pub(in crate::pf) fn remove(&mut self, id: SubscriptionId) -> Option<Relay> {
        let relay = self.list.remove(&id)?;
        if let Some(dialog) = relay.dialog {
            self.by_dialog.remove(&dialog);
        }
        Some(relay)
    }
}

/// Takes a SUBSCRIBE outside of any dialog.
pub(in crate::pf) fn handle(core: &mut Core, now: Instant, asked: TransactionId, message: &Message) {
    let event = message.value(Name::Event).and_then(|value| Token::parse(value).ok());
    if event.is_none_or(|event| !event.value.eq_ignore_ascii_case(PACKAGE)) {
        let refusal = core.endpoint.response(asked, 489).push("Allow-Events", PACKAGE);
        core.endpoint.respond(now, asked, refusal);
        return;
    }
    let target = message.request_uri().unwrap_or_default();
    let group = group_rejoin::sender(core, message).and_then(|user| core.find_group(user, target));
    let Some(group) = group else { return core.reply(now, asked, 404) };
    let expires = expires_of(message);
    let accept = message.value(Name::Accept).unwrap_or(DOCUMENT).to_owned();
    let request = subscribe_request(core, group, expires, &accept, false);
    let id = core.because(AS_ORIGINATING, "the SUBSCRIBE goes on to the focus").endpoint.subscribe(now, request);
    core.watches.insert(id, Watch::Relayed(group));
    core.relays.list.insert(id, Relay { group, asked: Some(asked), dialog: None, roster: Roster::default(), expires });
}

/// Takes a SUBSCRIBE of the Client within its subscription: a refresh, or the end.
pub(in crate::pf) fn on_refresh(core: &mut Core, now: Instant, asked: TransactionId, dialog: DialogId, message: &Message) {
    let Some(id) = core.relays.by_dialog.get(&dialog).copied() else { return core.reply(now, asked, 481) };
    let expires = expires_of(message);
    let response = core.endpoint.response(asked, 200).push("Expires", expires);
    core.endpoint.respond(now, asked, response);
    if expires == 0 {
        // The last NOTIFY of the focus is relayed and ends the Client's subscription too.
        core.endpoint.unsubscribe(now, id, Builder::request("SUBSCRIBE", ""));
    } else {
        // Full state is due to the Client (RFC 6665 4.2.1.2): the focus gives it.
        core.endpoint.refresh_subscription(now, id);
    }
}

/// The Client did not refresh its subscription.
pub(in crate::pf) fn on_expired(core: &mut Core, now: Instant, dialog: DialogId) {
    let Some(id) = core.relays.by_dialog.get(&dialog).copied() else { return };
    participants_notification::end_relay(core, now, id, "timeout");
    core.watches.remove(&id);
    core.endpoint.unsubscribe(now, id, Builder::request("SUBSCRIBE", ""));
}

/// The focus has accepted a subscription.
pub(in crate::pf) fn on_accepted(core: &mut Core, now: Instant, id: SubscriptionId, expires: u32) {
    answer_client(core, now, id, Some(expires));
}

/// Answers the Client's SUBSCRIBE, unless that was done: a NOTIFY may come before the 200 of the
/// focus (RFC 6665 4.1.2.4).
pub(in crate::pf) fn answer_client(core: &mut Core, now: Instant, id: SubscriptionId, expires: Option<u32>) {
    let Some(relay) = core.relays.list.get_mut(&id) else { return };
    let Some(asked) = relay.asked.take() else { return };
    let (group, expires) = (relay.group, expires.unwrap_or(relay.expires));
    let contact = group_contact(&core[group].shown);
    let response = core.endpoint.response(asked, 200).set("Contact", contact).push("Expires", expires);
    let dialog = core.endpoint.respond(now, asked, response);
    if let Some(relay) = core.relays.list.get_mut(&id) {
        relay.dialog = dialog;
    }
    if let Some(dialog) = dialog {
        core.relays.by_dialog.insert(dialog, id);
    }
}

/// The focus refused a subscription, or it broke down.
pub(in crate::pf) fn on_failed(core: &mut Core, now: Instant, id: SubscriptionId, status: u16) {
    match core.watches.remove(&id) {
        Some(Watch::Own(group)) => {
            core.because(SUBSCRIBES, "no subscription to the focus: the last roster known is kept");
            if core[group].subscription == Some(id) {
                core[group].subscription = None;
            }
        }
        Some(Watch::Relayed(_)) => {
            let asked = core.relays.list.get_mut(&id).and_then(|relay| relay.asked.take());
            match asked {
                Some(asked) => core.reply(now, asked, status),
                None => participants_notification::end_relay(core, now, id, "deactivated"),
            }
            core.relays.remove(id);
        }
        Some(Watch::Registration(_)) | None => {}
    }
}

impl Core {
    /// Subscribes to the focus for an absent user, or asks for full state where the PF has kept its
    /// subscription.
    pub(in crate::pf) fn subscribe(&mut self, now: Instant, group: GroupId) {
        if let Some(id) = self[group].subscription {
            self.because(SUBSCRIBES, "the subscription to the focus is refreshed").endpoint.refresh_subscription(now, id);
            return;
        }
        let expires = u32::try_from(self.policy.subscribe_expires).unwrap_or(DEFAULT_EXPIRES);
        let request = subscribe_request(self, group, expires, DOCUMENT, self.policy.subscribe_as_pf);
        let id = self.because(SUBSCRIBES, "the PF subscribes for the absent user").endpoint.subscribe(now, request);
        self[group].subscription = Some(id);
        self[group].roster.version = None;
        self.watches.insert(id, Watch::Own(group));
    }

    /// Ends the PF's own subscription.
    pub(in crate::pf) fn unsubscribe(&mut self, now: Instant, group: GroupId) {
        if let Some(id) = self[group].subscription.take() {
            self.endpoint.unsubscribe(now, id, Builder::request("SUBSCRIBE", ""));
        }
    }
}

/// The SUBSCRIBE of 2.3: on behalf of the user, or of the PF itself (AMB-12).
fn subscribe_request(core: &Core, group: GroupId, expires: u32, accept: &str, as_pf: bool) -> Builder {
    let focus = &core[group].focus;
    let identity = if as_pf { &core.config.identity } else { &core.users[core[group].user].uri };
    Builder::request("SUBSCRIBE", focus)
        .push("From", format!("<{identity}>"))
        .push("To", format!("<{focus}>"))
        .push("Contact", own_contact(&core.address()))
        .push("P-Asserted-Identity", format!("<{identity}>"))
        .push("P-Asserted-Service", GROUP_SERVICE)
        .push("Accept-Contact", format!("*;{FEATURE_TAG}"))
        .push("Event", PACKAGE)
        .push("Accept", accept)
        .push("Expires", expires)
}

fn expires_of(message: &Message) -> u32 {
    let expires = message.value(Name::Expires).and_then(|value| number(value).ok());
    expires.and_then(|expires| u32::try_from(expires).ok()).unwrap_or(DEFAULT_EXPIRES)
}
