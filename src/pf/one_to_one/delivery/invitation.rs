//! The INVITE of a delivery session and its answers, and sessions that become one later.

use std::time::Duration;

use super::{DeliverySession, Ending, Phase, SECOND_ANSWER, on_delivered, over, pump};
use crate::endpoint::{DialogId, TransactionId};
use crate::pf::core::{Call, Core};
use crate::pf::headers::{self, Deferring, ELSEWHERE, Part, with_body};
use crate::pf::leg::{Leg, Media, SESSION_EXPIRES};
use crate::pf::one_to_one::{Place, Shelf};
use crate::pf::policy::FirstMessage;
use crate::pf::procedures::{inactive_group, one_to_one_delivery};
use crate::pf::schedule::Alarm;
use crate::pf::state::UserId;
use crate::time::Instant;
use crate::wire::sip::{Builder, Message, Name};

/// What a delivery session is opened with.
#[derive(Debug)]
pub(in crate::pf) struct Recipe {
    /// The INVITE without its body.
    pub(in crate::pf) invite: Builder,
    /// The SDP whose content attributes the offer repeats.
    pub(in crate::pf) template: String,
    /// The stored message that the INVITE is to carry.
    pub(in crate::pf) carried: Option<u64>,
}

/// What tells one delivery session of the PF from another.
#[derive(Debug)]
pub(in crate::pf) struct Particulars<'a> {
    /// Whom it is for.
    pub(in crate::pf) user: UserId,
    /// Whose messages they are.
    pub(in crate::pf) referred_by: &'a str,
    /// The service.
    pub(in crate::pf) service: &'a str,
    /// The values of Accept-Contact.
    pub(in crate::pf) accept_contact: Vec<String>,
    /// Conversation-ID, Contribution-ID and the like.
    pub(in crate::pf) identifiers: &'a [(String, String)],
    /// The first message that is stored.
    pub(in crate::pf) first: Option<u64>,
    /// The SDP of the original offer; empty when there was none.
    pub(in crate::pf) sdp: &'a str,
}

impl Recipe {
    /// The INVITE V3 for these particulars, under the policy of the PF.
    pub(in crate::pf) fn of(core: &Core, parts: Particulars<'_>) -> Self {
        let user = &core.users[parts.user];
        let invite = headers::deferred_invite(&Deferring {
            target: &user.uri,
            route: &user.route,
            identity: &core.config.identity,
            from: if core.policy.from_sender { parts.referred_by } else { &core.config.identity },
            referred_by: parts.referred_by,
            contact: &core.address(),
            service: parts.service,
            accept_contact: parts.accept_contact,
            identifiers: parts.identifiers,
            interval: SESSION_EXPIRES,
        });
        let carried = parts.first.filter(|_| core.policy.first_message != FirstMessage::MsrpOnly);
        let template = if parts.sdp.is_empty() { core.default_sdp() } else { parts.sdp.to_owned() };
        Self { invite, template, carried }
    }
}

/// Sends the INVITE. There is one session for each shelf at a time.
pub(in crate::pf) fn open(core: &mut Core, now: Instant, shelf: Shelf, recipe: Recipe) {
    let place = Place::Delivery(shelf);
    let mut media = core.open_media_at(place);
    core.endpoint.msrp_forks(media.session);
    let sdp = media.offer(core.endpoint.config(), &recipe.template, Some("sendonly"));
    let carried = recipe.carried.and_then(|number| core.shelf(shelf).get(number));
    let part = carried.map(|item| Part { content_type: item.content_type.clone(), disposition: None, body: item.body.clone() });
    let invite = with_body(recipe.invite, &sdp, part.as_slice());
    let call = core.endpoint.send(now, invite);
    core.calls.insert(call, Call::DeliveryAt(shelf));
    core.one.invites.insert(call, place);
    // A 100 ends timer B, so from then on this limit alone runs.
    core.schedule.set(Alarm::RingingAt(shelf), now + core.policy.ringing_limit);
    let session = DeliverySession::new(Phase::Invited { call, cancelled: false });
    let session = DeliverySession { offered: Some(media), carried: recipe.carried, ..session };
    core.one.deliveries.insert(shelf, session);
}

/// Takes over an INVITE of the PF that has no final response, with the medium that it offers.
pub(in crate::pf) fn adopt_invited(
    core: &mut Core,
    now: Instant,
    shelf: Shelf,
    (call, cancelled): (TransactionId, bool),
    offered: Option<Media>,
    farewell: Option<String>,
) {
    let place = Place::Delivery(shelf);
    core.calls.insert(call, Call::DeliveryAt(shelf));
    core.one.invites.insert(call, place);
    core.schedule.set(Alarm::RingingAt(shelf), now + core.policy.ringing_limit);
    if let Some(media) = &offered {
        core.media.remove(&media.session);
        core.one.media.insert(media.session, place);
    }
    let session = DeliverySession { offered, farewell, ..DeliverySession::new(Phase::Invited { call, cancelled }) };
    core.one.deliveries.insert(shelf, session);
}

/// Takes over a leg in which messages are on their way.
pub(in crate::pf) fn adopt_leg(core: &mut Core, now: Instant, shelf: Shelf, leg: Leg, farewell: Option<String>) {
    core.flights.hand_over(leg.media.session, shelf);
    let session = DeliverySession { farewell, ..DeliverySession::new(Phase::Sending) };
    core.one.deliveries.insert(shelf, session);
    core.attach_at(now, Place::Delivery(shelf), leg);
    pump(core, now, shelf);
}

/// The INVITE is repeated under another transaction.
pub(in crate::pf) fn follow(core: &mut Core, shelf: Shelf, before: TransactionId, again: TransactionId) {
    let Some(session) = core.one.deliveries.get_mut(&shelf) else { return };
    if let Phase::Invited { call, .. } = &mut session.phase
        && *call == before
    {
        *call = again;
        core.one.invites.remove(&before);
        core.one.invites.insert(again, Place::Delivery(shelf));
    }
}

/// Nobody answered the INVITE in time.
pub(in crate::pf) fn on_ringing_limit(core: &mut Core, now: Instant, shelf: Shelf) {
    core.note("the invitation rings for longer than the policy waits");
    withdraw(core, now, shelf);
}

/// Cancels a pending INVITE.
pub(in crate::pf) fn withdraw(core: &mut Core, now: Instant, shelf: Shelf) {
    let Some(session) = core.one.deliveries.get_mut(&shelf) else { return };
    if let Phase::Invited { call, cancelled } = &mut session.phase
        && !std::mem::replace(cancelled, true)
    {
        let call = *call;
        core.endpoint.cancel(now, call);
    }
}

/// Whether the INVITE was withdrawn and has no final response yet.
pub(in crate::pf) fn is_withdrawn(core: &Core, shelf: Shelf) -> bool {
    let session = core.one.deliveries.get(&shelf);
    session.is_some_and(|session| matches!(session.phase, Phase::Invited { cancelled: true, .. }))
}

/// Takes the final response to the INVITE.
pub(in crate::pf) fn handle(
    core: &mut Core,
    now: Instant,
    shelf: Shelf,
    (invite, dialog): (TransactionId, Option<DialogId>),
    response: &Message,
) {
    let Some(session) = core.one.deliveries.get_mut(&shelf) else { return };
    let Phase::Invited { cancelled, .. } = session.phase else { return };
    core.schedule.stop(Alarm::RingingAt(shelf));
    let status = response.status().unwrap_or(500);
    match (status, dialog) {
        (200..=299, Some(dialog)) if cancelled => {
            core.release(now, invite, dialog);
            on_failed(core, now, shelf, 487, None);
        }
        (200..=299, Some(dialog)) => on_accepted(core, now, shelf, (invite, dialog), response),
        _ => {
            let after = response.value(Name::RetryAfter).and_then(|value| value.split([' ', ';', '(']).next()?.parse().ok());
            on_failed(core, now, shelf, if cancelled { 487 } else { status }, after.map(Duration::from_secs));
        }
    }
}

/// The INVITE failed, or was not answered.
pub(in crate::pf) fn on_failed(core: &mut Core, now: Instant, shelf: Shelf, status: u16, retry_after: Option<Duration>) {
    core.schedule.stop(Alarm::RingingAt(shelf));
    if let Some(media) = core.one.deliveries.get_mut(&shelf).and_then(|session| session.offered.take()) {
        core.close_offer(now, &media);
    }
    over(core, now, shelf, Ending::Refused { status, retry_after });
}

fn on_accepted(core: &mut Core, now: Instant, shelf: Shelf, answer: (TransactionId, DialogId), response: &Message) {
    let Some(session) = core.one.deliveries.get_mut(&shelf) else { return };
    let (Some(media), carried) = (session.offered.take(), session.carried.take()) else { return };
    if core.confirm_at(now, Place::Delivery(shelf), media, answer, response).is_none() {
        core.note("the answer has no medium that could be used");
        return over(core, now, shelf, Ending::Refused { status: 488, retry_after: None });
    }
    if let Some(session) = core.one.deliveries.get_mut(&shelf) {
        session.phase = Phase::Sending;
    }
    match shelf {
        Shelf::Sender(sender) => one_to_one_delivery::on_accepted(core, now, sender),
        Shelf::Group(group) => {
            let announced = inactive_group::on_accepted(core, now, group);
            if let Some(session) = core.one.deliveries.get_mut(&shelf) {
                session.announced = announced.into();
            }
        }
    }
    if let (Some(number), FirstMessage::InInviteOnly) = (carried, core.policy.first_message) {
        on_delivered(core, shelf, number);
    }
    pump(core, now, shelf);
}

/// A further 2xx to the INVITE, of another device: it is acknowledged; the newer session stays.
pub(in crate::pf) fn on_further_answer(
    core: &mut Core,
    now: Instant,
    shelf: Shelf,
    (invite, dialog): (TransactionId, DialogId),
    response: &Message,
) {
    let place = Place::Delivery(shelf);
    let sending = core.one.deliveries.get(&shelf).is_some_and(|session| session.phase == Phase::Sending);
    let usable = core.medium_in(response).is_some();
    let Some(earlier) = (sending && usable).then(|| core.take_at(now, place)).flatten() else {
        return core.release(now, invite, dialog);
    };
    let media = earlier.media.fork(&mut core.endpoint);
    core.one.media.insert(media.session, place);
    core.because(SECOND_ANSWER, "a second device has answered: the earlier session ends");
    core.bye(now, &earlier, Some(ELSEWHERE));
    core.forget_flights(earlier.media.session);
    core.shelf_mut(shelf).retract();
    if core.confirm_at(now, place, media, (invite, dialog), response).is_none() {
        return over(core, now, shelf, Ending::Lost);
    }
    pump(core, now, shelf);
}
