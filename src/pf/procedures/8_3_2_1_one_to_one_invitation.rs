//! 8.3.2.1 step 7, as reconstructed: an INVITE to a 1-1 session with a served user.
//!
//! It is offered to the user's devices. When none can be reached the PF accepts for the user and
//! stores what the sender writes, a message in the INVITE included.
//!
//! ```text
//! INVITE                         Inviting, or Accepting for a user who is gone
//! 2xx                            Inviting -> Live       both legs
//! 408, 480, 503, timeout         Inviting -> Storing    the PF accepts for the user
//! other                          Inviting -> over       relayed
//! ```

use crate::endpoint::{DialogId, TransactionId};
use crate::pf::core::{Call, Core};
use crate::pf::deferred::Item;
use crate::pf::headers::{self, ELSEWHERE};
use crate::pf::media;
use crate::pf::one_to_one::session::{self, Phase, Session};
use crate::pf::one_to_one::store::Owed;
use crate::pf::one_to_one::{End, Place, SessionId};
use crate::pf::procedures::one_to_one_delivery;
use crate::pf::state::{Registration, UserId};
use crate::time::Instant;
use crate::wire::cpim;
use crate::wire::sip::Message;

/// Takes an INVITE of an original sender.
pub(in crate::pf) fn start(core: &mut Core, now: Instant, user: UserId, asked: TransactionId, message: &Message) {
    let Some(address) = headers::asserted_identity(message) else { return core.reply(now, asked, 400) };
    let sender = core.one.sender(user, &address, headers::wants_privacy(message));
    if let Some(sdp) = headers::sdp_of(message) {
        core.one[sender].sdp = sdp;
    }
    let id = core.one.add(Session::new(sender, Phase::Accepting { asked }, headers::identifiers(message)));
    if core.users[user].registration == Registration::Gone {
        accept_for_user(core, now, id, asked, message);
    } else {
        offer_to_user(core, now, (id, user), asked, message);
    }
}

/// 7.c: the INVITE to the user's devices.
fn offer_to_user(core: &mut Core, now: Instant, (id, user): (SessionId, UserId), asked: TransactionId, message: &Message) {
    let place = Place::Session(id, End::Terminating);
    let mut media = core.open_media_at(place);
    let template = headers::sdp_of(message).unwrap_or_default();
    let sdp = media.offer(core.endpoint.config(), &template, None);
    let target = message.request_uri().unwrap_or(&core.users[user].uri).to_owned();
    let invite = headers::relayed_invite(message, &target, &core.users[user].route, &core.address());
    let invite = headers::with_body(invite, &sdp, &headers::other_parts(message));
    core.note("the INVITE of the original sender is passed on to the user");
    let call = core.endpoint.send(now, invite);
    core.calls.insert(call, Call::InvitationAt(id));
    core.one.invites.insert(call, place);
    core.one.asked.insert(asked, id);
    if let Some(session) = core.one.sessions.get_mut(&id) {
        session.phase = Phase::Inviting { asked, call };
        session.offered = Some(media);
    }
}

/// Our INVITE is repeated under another transaction.
pub(in crate::pf) fn follow(core: &mut Core, id: SessionId, before: TransactionId, again: TransactionId) {
    if let Some(session) = core.one.sessions.get_mut(&id)
        && let Phase::Inviting { call, .. } = &mut session.phase
    {
        *call = again;
        core.one.invites.remove(&before);
        core.one.invites.insert(again, Place::Session(id, End::Terminating));
    }
}

/// Passes a provisional response of the user on.
pub(in crate::pf) fn on_provisional(core: &mut Core, now: Instant, id: SessionId, status: u16) {
    if let Some(Phase::Inviting { asked, .. }) = phase(core, id) {
        core.reply(now, asked, status);
    }
}

/// The sender has cancelled its INVITE.
pub(in crate::pf) fn on_cancelled(core: &mut Core, now: Instant, id: SessionId, asked: TransactionId) {
    core.reply(now, asked, 487);
    if let Some(Phase::Inviting { call, .. }) = phase(core, id) {
        core.calls.remove(&call);
        core.endpoint.cancel(now, call);
    }
    session::over(core, now, id);
}

/// Takes the final response of the user.
pub(in crate::pf) fn handle(
    core: &mut Core,
    now: Instant,
    id: SessionId,
    (invite, dialog): (TransactionId, Option<DialogId>),
    response: &Message,
) {
    let Some(Phase::Inviting { asked, .. }) = phase(core, id) else { return };
    match (response.status().unwrap_or(500), dialog) {
        (200..=299, Some(dialog)) => on_accepted(core, now, (id, asked), (invite, dialog), response),
        (408 | 480 | 503, _) => on_failed(core, now, id),
        (status, _) => {
            core.one.asked.remove(&asked);
            core.reply(now, asked, status);
            session::over(core, now, id);
        }
    }
}

/// No device can be reached: the PF takes part for the user (step 7.b).
pub(in crate::pf) fn on_failed(core: &mut Core, now: Instant, id: SessionId) {
    let Some(Phase::Inviting { asked, .. }) = phase(core, id) else { return };
    core.one.asked.remove(&asked);
    let offered = core.one.sessions.get_mut(&id).and_then(|session| session.offered.take());
    if let Some(media) = offered {
        core.close_offer(now, &media);
    }
    match core.endpoint.request(asked).cloned() {
        Some(request) => accept_for_user(core, now, id, asked, &request),
        None => session::over(core, now, id),
    }
}

fn on_accepted(
    core: &mut Core,
    now: Instant,
    (id, asked): (SessionId, TransactionId),
    answer: (TransactionId, DialogId),
    response: &Message,
) {
    core.one.asked.remove(&asked);
    let request = core.endpoint.request(asked).cloned();
    let Some(session) = core.one.sessions.get_mut(&id) else { return };
    let (Some(media), sender) = (session.offered.take(), session.sender) else { return };
    let attributes = headers::sdp_of(response).unwrap_or_default();
    let joined = core.confirm_at(now, Place::Session(id, End::Terminating), media, answer, response);
    let place = Place::Session(id, End::Originating);
    let accepted = joined.and(request).and_then(|request| core.accept_at(now, place, asked, &request, &attributes));
    if accepted.is_none() {
        core.hang_up_at(now, Place::Session(id, End::Terminating), None);
        core.reply(now, asked, 488);
        return session::over(core, now, id);
    }
    if let Some(session) = core.one.sessions.get_mut(&id) {
        session.phase = Phase::Live;
    }
    one_to_one_delivery::supersede(core, now, sender, Some(id));
}

/// A further 2xx of the user, from another device: the newer one stays (NOTE 2).
pub(in crate::pf) fn on_further_answer(
    core: &mut Core,
    now: Instant,
    id: SessionId,
    (invite, dialog): (TransactionId, DialogId),
    response: &Message,
) {
    let place = Place::Session(id, End::Terminating);
    let usable = headers::sdp_of(response).as_deref().and_then(media::read).is_some();
    let Some(earlier) = usable.then(|| core.take_at(place)).flatten() else { return core.release(now, invite, dialog) };
    let media = earlier.media.fork(&mut core.endpoint);
    core.one.media.insert(media.session, place);
    core.because(one_to_one_delivery::SECOND_ANSWER, "a second device has answered: the earlier session ends");
    core.bye(now, &earlier, Some(ELSEWHERE));
    core.flights.forget(earlier.media.session);
    if core.confirm_at(now, place, media, (invite, dialog), response).is_none() {
        return session::on_lost(core, now, id, End::Terminating);
    }
    if let Some(media) = core.leg_at(place).map(|leg| leg.media.session) {
        session::on_bound(core, now, (id, End::Terminating), media);
    }
}

/// 7.b: accepts in place of the user; a message in the INVITE is stored first.
fn accept_for_user(core: &mut Core, now: Instant, id: SessionId, asked: TransactionId, message: &Message) {
    let Some(session) = core.one.sessions.get_mut(&id) else { return };
    session.phase = Phase::Accepting { asked };
    let sender = session.sender;
    let first = headers::other_parts(message).into_iter().find(|part| part.is(cpim::MEDIA_TYPE));
    core.note("no device can be reached: the PF takes part for the user");
    let Some(part) = first else { return accept(core, now, id, asked, message) };
    let item = Item::new(now, &part.content_type, part.body).with_identifiers(headers::identifiers(message));
    match core.keep(sender, &item, Owed::Invite(id)) {
        Some(number) => core.one[sender].deferred.push(number, item),
        None => {
            core.reply(now, asked, 480);
            session::over(core, now, id);
        }
    }
}

/// The message in the INVITE is durable, or could not be stored.
pub(in crate::pf) fn on_first_kept(core: &mut Core, now: Instant, id: SessionId, durable: bool) {
    let Some(Phase::Accepting { asked }) = phase(core, id) else { return };
    match core.endpoint.request(asked).cloned() {
        Some(request) if durable => accept(core, now, id, asked, &request),
        _ => {
            core.reply(now, asked, 480);
            session::over(core, now, id);
        }
    }
}

fn accept(core: &mut Core, now: Instant, id: SessionId, asked: TransactionId, message: &Message) {
    let attributes = headers::sdp_of(message).unwrap_or_else(|| core.default_sdp());
    if core.accept_at(now, Place::Session(id, End::Originating), asked, message, &attributes).is_none() {
        core.reply(now, asked, 488);
        return session::over(core, now, id);
    }
    if let Some(session) = core.one.sessions.get_mut(&id) {
        session.phase = Phase::Storing;
    }
}

fn phase(core: &Core, id: SessionId) -> Option<Phase> {
    core.one.sessions.get(&id).map(|session| session.phase)
}
