//! A PF that starts with the records of a process that died.
//!
//! What was acknowledged outlives the process, what can be set up again does not:
//!
//! | survives | how it goes on |
//! |---|---|
//! | messages for users, of groups and of 1-1 sessions | delivered at the next trigger; of those that were on their way, the ones without an answer |
//! | notifications, and those that the PF still had to make | the same; the PF makes them at once |
//! | what Clients wrote to a group | sent when the focus leg is connected again, or the group re-started |
//! | groups: identity, invitation, roster, pinned device, when they ended | as before |
//! | the focus leg of a group | re-INVITE with a new path; a new subscription |
//! | the leg to the Client of a group | BYE: its connection is gone, it counts as lost |
//! | registrations | triggers that come later are told from the first |
//!
//! Legs of 1-1 sessions, of delivery sessions and of sessions for notifications, pending INVITEs,
//! and subscriptions of Clients are in no record: whatever still comes in such a dialog is answered
//! 481 (RFC 3261 12.2.2), which tells the peer to set it up anew.

use std::borrow::Cow;

use bytes::Bytes;

use super::core::Core;
use super::deferred::Item;
use super::leg::{Leg, Media};
use super::notifications::Notification;
use super::one_to_one::{SenderId, session};
use super::outbox::Unsent;
use super::schedule::Alarm;
use super::state::{GroupId, Phase, Side, Users};
use super::store::{self, BadRecord, GroupRecord, LegRecord, Record, SenderRecord};
use super::{PfConfig, Policy};
use crate::endpoint::Config;
use crate::time::Instant;

/// The core with the state that the records tell; all of them or none.
pub(super) fn restored(
    mut config: Config,
    pf: PfConfig,
    policy: Policy,
    records: impl IntoIterator<Item = (Vec<u8>, Bytes)>,
) -> Result<Core, BadRecord> {
    let records = store::read(records, &Users::new(&pf))?;
    let lives = records.iter().map(|record| if let Record::Life(number) = record { *number } else { 0 }).max().unwrap_or(0) + 1;
    // Each life has identifiers of its own: a branch or tag that comes again would be mistaken for
    // the one of the life before (RFC 3261 8.1.1.7, 19.3).
    config.seed = config.seed.wrapping_add(lives.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut core = Core::new(config, pf, policy);
    core.journal.begin_life(lives);
    for record in records {
        match record {
            Record::Life(_) => {}
            Record::User(address, route, registration) => {
                if let Some(user) = core.users.find(&address) {
                    core.users[user].route = route;
                    core.users[user].registration = registration;
                }
            }
            Record::Group(number, record) => restore_group(&mut core, number, *record),
            Record::Message(number, message, item) => restore_message(&mut core, number, message, item),
            Record::Sender(number, record) => restore_sender(&mut core, number, record),
            Record::OneToOne(sender, message, item) => restore_one_to_one(&mut core, sender, message, item),
            Record::Notification(user, number, notification) => restore_notification(&mut core, &user, number, notification),
            Record::Unsent(group, number, unsent) => restore_unsent(&mut core, group, number, unsent),
            Record::Delivered(sender, number, item) => restore_delivered(&mut core, sender, number, item),
        }
    }
    for user in core.users.ids() {
        core.watch_age(user);
    }
    let holes = core.groups.iter().zip(0..).filter(|(group, _)| group.is_hole() && group.is_over());
    core.holes = holes.map(|(_, number)| GroupId(number)).collect();
    core.schedule.set(Alarm::Restore, Instant::ZERO);
    Ok(core)
}

fn restore_group(core: &mut Core, number: u32, record: GroupRecord<'static>) {
    let Some(user) = core.users.find(&record.user) else { return };
    // Numbers without a record belong to groups that were never set up.
    while core.groups.len() < number as usize {
        core.add_hole(user);
    }
    let id = core.add_group(user, &record.focus, record.invitation.into_owned());
    let group = &mut core[id];
    group.shown = record.shown.into_owned();
    group.named = record.named;
    group.closed = record.closed;
    group.held_since = record.held_since;
    let ended = record.ended;
    group.device = record.device.map(Cow::into_owned);
    group.roster = record.roster.into_owned();
    group.phase = if record.left { Phase::Gone } else { Phase::Dormant };
    core.index_group(id);
    core.journal.has(id);
    let [client, focus] = record.legs;
    restore_leg(core, id, Side::Client, client);
    restore_leg(core, id, Side::Focus, focus);
    core[id].ended = ended;
}

fn restore_leg(core: &mut Core, group: GroupId, side: Side, record: Option<LegRecord<'_>>) {
    let Some(LegRecord { dialog, updates, origin }) = record else { return };
    let dialog = core.endpoint.restore_dialog(dialog.into_owned());
    let media = Media::reopen(&mut core.endpoint, &mut core.ids, origin);
    core.attach(Instant::ZERO, group, side, Leg { dialog, media, acknowledged: true, updates, interval: 0, device: None });
    // Its connection is due from the moment when the process acts.
    core.schedule.stop(Alarm::Disconnected(group, side));
}

/// Numbers without a record belong to senders whose first message was never durable.
fn restore_sender(core: &mut Core, number: u32, record: SenderRecord) {
    let Some(user) = core.users.find(&record.user) else { return };
    while core.one.senders().count() < number as usize {
        core.one.add_hole(user);
    }
    let id = core.one.sender(user, &record.address, record.private);
    core.one[id].sdp = record.sdp;
}

fn restore_one_to_one(core: &mut Core, sender: u32, number: u64, item: Item) {
    core.journal.last_number = core.journal.last_number.max(number);
    if core.one.senders().nth(sender as usize).is_some() {
        let sender = SenderId(sender);
        let user = core.one[sender].user;
        if session::is_notification(&item) {
            core.one.stranded.push((sender, number, item));
            return;
        }
        if let Some(id) = &item.message_id {
            core.one.by_message_id.insert((user, id.clone()), (sender, number));
        }
        core.one[sender].deferred.push(number, item);
        core.users[user].stored += 1;
    }
}

/// Notifications of the process before wait for the next trigger.
fn restore_notification(core: &mut Core, user: &str, number: u64, notification: Notification) {
    core.journal.last_number = core.journal.last_number.max(number);
    if let Some(user) = core.users.find(user) {
        let queue = core.notifications.of(user);
        queue.push(number, notification, true);
        queue.stopped = true;
        core.users[user].stored += 1;
    }
}

/// What a Client wrote waits for the focus leg.
fn restore_unsent(core: &mut Core, group: u32, number: u64, unsent: Unsent) {
    core.journal.last_number = core.journal.last_number.max(number);
    if let Some(group) = core.groups.get_mut(group as usize) {
        group.outbox.restore(number, unsent);
    }
}

/// The sender of a message that was delivered is told once the process acts.
fn restore_delivered(core: &mut Core, sender: u32, number: u64, item: Item) {
    core.journal.last_number = core.journal.last_number.max(number);
    if core.one.senders().nth(sender as usize).is_some() {
        core.one[SenderId(sender)].untold.insert(number, item);
    }
}

fn restore_message(core: &mut Core, group: u32, number: u64, item: Item) {
    core.journal.last_number = core.journal.last_number.max(number);
    if let Some(group) = core.groups.get_mut(group as usize) {
        group.deferred.push(number, item);
        let user = group.user;
        core.users[user].stored += 1;
    }
}
