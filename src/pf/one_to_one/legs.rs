//! Legs of sessions that are no group's: they come, are refreshed, and go.
//!
//! Each leg has its dialog, its session timer and its MSRP session: the PF is the media endpoint of
//! every leg.

use std::time::Duration;

use super::{End, Place, delivery, session};
use crate::endpoint::{DialogId, MsrpId, TransactionId};
use crate::msrp;
use crate::pf::core::{Call, Core};
use crate::pf::headers::{self, own_contact, with_body};
use crate::pf::leg::{Leg, MIN_SE, Media};
use crate::pf::procedures::{notification_session, one_to_one_modification};
use crate::pf::schedule::Alarm;
use crate::time::Instant;
use crate::wire::sip::{Builder, Message, Method};

impl Core {
    /// The leg at a place.
    pub(in crate::pf) fn leg_at(&self, place: Place) -> Option<&Leg> {
        match place {
            Place::Delivery(shelf) => self.one.deliveries.get(&shelf)?.leg.as_ref(),
            Place::Notifications(user) => self.notifications.get(user)?.session.as_ref()?.leg.as_ref(),
            Place::Session(id, End::Originating) => self.one.sessions.get(&id)?.originating.as_ref(),
            Place::Session(id, End::Terminating) => self.one.sessions.get(&id)?.terminating.as_ref(),
        }
    }

    /// The place for a leg.
    fn slot(&mut self, place: Place) -> Option<&mut Option<Leg>> {
        Some(match place {
            Place::Delivery(shelf) => &mut self.one.deliveries.get_mut(&shelf)?.leg,
            Place::Notifications(user) => &mut self.notifications.of(user).session.as_mut()?.leg,
            Place::Session(id, End::Originating) => &mut self.one.sessions.get_mut(&id)?.originating,
            Place::Session(id, End::Terminating) => &mut self.one.sessions.get_mut(&id)?.terminating,
        })
    }

    /// The leg at a place, to be changed.
    pub(in crate::pf) fn leg_at_mut(&mut self, place: Place) -> Option<&mut Leg> {
        self.slot(place)?.as_mut()
    }

    /// Opens the media side of a leg to come.
    pub(in crate::pf) fn open_media_at(&mut self, place: Place) -> Media {
        let media = Media::open(&mut self.endpoint, &mut self.ids);
        self.one.media.insert(media.session, place);
        media
    }

    /// Puts the leg of a confirmed dialog in its place; its connection is due within 64*T1.
    pub(in crate::pf) fn attach_at(&mut self, now: Instant, place: Place, leg: Leg) {
        self.one.dialogs.insert(leg.dialog, place);
        self.one.media.insert(leg.media.session, place);
        if !self.bound.contains(&leg.media.session) {
            let limit = self.endpoint.config().timing.transaction();
            self.schedule.set(Alarm::NoConnection(place), now + limit);
        }
        if let Some(slot) = self.slot(place) {
            *slot = Some(leg);
        }
    }

    /// Takes a leg away: its media lives until its BYE is answered.
    pub(in crate::pf) fn take_at(&mut self, now: Instant, place: Place) -> Option<Leg> {
        one_to_one_modification::abandon(self, now, place);
        let leg = self.slot(place)?.take()?;
        self.one.dialogs.remove(&leg.dialog);
        self.one.media.remove(&leg.media.session);
        self.schedule.stop(Alarm::NoConnection(place));
        self.schedule.stop(Alarm::RefreshAt(place));
        Some(leg)
    }

    /// Ends a leg with a BYE.
    pub(in crate::pf) fn hang_up_at(&mut self, now: Instant, place: Place, reason: Option<&str>) {
        if let Some(leg) = self.take_at(now, place) {
            self.bye(now, &leg, reason);
        }
    }

    /// Closes a medium that was offered in vain.
    pub(in crate::pf) fn close_offer(&mut self, now: Instant, media: &Media) {
        self.one.media.remove(&media.session);
        self.close_media(now, media.session);
    }

    /// Makes the leg of a 2xx to our INVITE; `None` when its answer has no usable medium: the dialog
    /// is acknowledged and ended then.
    pub(in crate::pf) fn confirm_at(
        &mut self,
        now: Instant,
        place: Place,
        mut media: Media,
        (invite, dialog): (TransactionId, DialogId),
        response: &Message,
    ) -> Option<()> {
        self.endpoint.acknowledge(now, invite, dialog, None);
        media.remote = self.medium_in(response);
        let mut leg = Leg::new(dialog, media, response, true);
        if leg.media.remote.is_none() {
            self.one.media.remove(&leg.media.session);
            self.bye(now, &leg, None);
            return None;
        }
        leg.media.start(&mut self.endpoint, now);
        self.attach_at(now, place, leg);
        Some(())
    }

    /// Answers an INVITE by 200 and makes its leg: `attributes` is the SDP whose content attributes
    /// the answer carries. `None` when the offer has no medium that could be used.
    pub(in crate::pf) fn accept_at(
        &mut self,
        now: Instant,
        place: Place,
        transaction: TransactionId,
        request: &Message,
        attributes: &str,
    ) -> Option<()> {
        let offer = headers::sdp_of(request);
        let remote = offer.as_deref().map(|offer| self.medium_of(offer).ok_or(())).transpose().ok()?;
        let mut media = self.open_media_at(place);
        let config = self.endpoint.config();
        let sdp = match (offer, remote) {
            (Some(offer), Some(remote)) => media.answer(config, &offer, remote, attributes),
            _ => media.offer(config, attributes, None),
        };
        let contact = own_contact(&self.address());
        let Some(dialog) = self.reply_with_sdp(now, transaction, contact, request, Some(&sdp)) else {
            self.close_offer(now, &media);
            return None;
        };
        media.start(&mut self.endpoint, now);
        self.attach_at(now, place, Leg::new(dialog, media, request, false));
        Some(())
    }
}

/// A request within the dialog of a leg.
pub(in crate::pf) fn on_request(core: &mut Core, now: Instant, asked: TransactionId, place: Place, message: &Message) {
    match message.method() {
        Some(Method::Bye) => {
            core.reply(now, asked, 200);
            match place {
                Place::Delivery(shelf) => delivery::on_bye(core, now, shelf, message),
                Place::Notifications(user) => notification_session::on_bye(core, now, user),
                Place::Session(id, end) => session::on_bye(core, now, id, end, message),
            }
        }
        Some(Method::Invite | Method::Update) => one_to_one_modification::start(core, now, asked, place, message),
        Some(Method::Message) => core.forward_message(now, asked, message),
        Some(Method::Options) => core.reply(now, asked, 200),
        Some(Method::Notify) => core.reply(now, asked, 481),
        // Methods that the PF takes, and Allow names, but not inside this dialog.
        _ => core.reply(now, asked, 403),
    }
}

/// The ACK to our 2xx: the leg may send, and may be ended.
pub(in crate::pf) fn on_ack(core: &mut Core, now: Instant, place: Place, message: &Message) {
    let remote = core.medium_in(message);
    let Some(leg) = core.leg_at_mut(place) else { return };
    leg.acknowledged = true;
    if leg.media.remote.is_none() {
        leg.media.remote = remote;
        if leg.media.remote.is_none() {
            return on_silence(core, now, place, "the ACK brought no medium that could be used");
        }
        start_media(core, now, place);
    }
    pump(core, now, place);
}

/// No ACK came within 64*T1 (RFC 3261 13.3.1.4).
pub(in crate::pf) fn on_ack_missing(core: &mut Core, now: Instant, place: Place) {
    if let Some(leg) = core.leg_at_mut(place) {
        leg.acknowledged = true;
    }
    on_silence(core, now, place, "our 2xx was never acknowledged");
}

/// Starts the MSRP session of a leg, unless it runs towards the same path already.
pub(in crate::pf) fn start_media(core: &mut Core, now: Instant, place: Place) {
    let Some(mut media) = core.leg_at(place).map(|leg| leg.media.clone()) else { return };
    media.start(&mut core.endpoint, now);
    if let Some(leg) = core.leg_at_mut(place) {
        leg.media = media;
    }
}

/// Sends what is due by a leg.
pub(in crate::pf) fn pump(core: &mut Core, now: Instant, place: Place) {
    match place {
        Place::Delivery(shelf) => delivery::pump(core, now, shelf),
        Place::Notifications(user) => notification_session::go_on(core, now, user),
        Place::Session(id, _) => session::pump(core, now, id),
    }
}

/// The peer of a leg is gone without a BYE.
pub(in crate::pf) fn on_silence(core: &mut Core, now: Instant, place: Place, why: &'static str) {
    core.note(why);
    match place {
        Place::Delivery(shelf) => delivery::on_lost(core, now, shelf),
        Place::Notifications(user) => notification_session::on_lost(core, now, user),
        Place::Session(id, end) => session::on_lost(core, now, id, end),
    }
}

/// Half of the session interval is over and the refresh is ours (RFC 4028 10).
pub(in crate::pf) fn refresh(core: &mut Core, now: Instant, place: Place) {
    let contact = own_contact(&core.address());
    let Some(leg) = core.leg_at(place) else { return };
    let (dialog, updates, interval, sdp) = (leg.dialog, leg.updates, leg.interval, leg.media.sdp.clone());
    if !core.endpoint.may_offer(dialog) {
        return core.schedule.set(Alarm::RefreshAt(place), now + Duration::from_secs(2));
    }
    let request = Builder::request(if updates { "UPDATE" } else { "INVITE" }, "")
        .push("Contact", contact)
        .push("Supported", "timer")
        .push("Session-Expires", format!("{};refresher=uac", interval.max(MIN_SE)));
    let request = if updates { request } else { with_body(request, &sdp, &[]) };
    core.note("the session timer of this leg is refreshed");
    if let Some(call) = core.endpoint.send_in(now, dialog, request) {
        core.calls.insert(call, Call::RefreshAt(place));
    }
}

/// Takes the final response to a refresh: 408 and 481 mean that the peer is gone (RFC 4028 10).
pub(in crate::pf) fn on_refreshed(core: &mut Core, now: Instant, place: Place, call: TransactionId, response: &Message) {
    let Some(dialog) = core.leg_at(place).map(|leg| leg.dialog) else { return };
    match response.status().unwrap_or(500) {
        200..=299 => {
            if response.method() == Some(Method::Invite) {
                core.endpoint.acknowledge(now, call, dialog, None);
            }
            if let Some(leg) = core.leg_at_mut(place) {
                leg.learn(response);
            }
        }
        408 | 481 => on_silence(core, now, place, "the refresh says that the peer is gone"),
        491 => {
            // RFC 3261 14.1: 2.1 to 4 s for the owner of the Call-ID, 0 to 2 s for the other.
            let ours = core.endpoint.dialog(dialog).is_some_and(|dialog| dialog.side == crate::endpoint::Side::Uac);
            let wait = if ours { 2_100 + 10 * core.ids.below(191) } else { 10 * core.ids.below(201) };
            core.schedule.set(Alarm::RefreshAt(place), now + Duration::from_millis(wait));
        }
        405 | 501 => {
            if core.leg_at_mut(place).is_some_and(|leg| std::mem::take(&mut leg.updates)) {
                refresh(core, now, place);
            }
        }
        _ => core.note("the refresh was refused: the session runs until its interval ends"),
    }
}

/// An event of the MSRP session of a leg.
pub(in crate::pf) fn on_msrp(core: &mut Core, now: Instant, place: Place, media: MsrpId, event: msrp::Event) {
    match event {
        msrp::Event::Bound => {
            core.bound.insert(media);
            core.schedule.stop(Alarm::NoConnection(place));
            match place {
                Place::Delivery(shelf) => delivery::on_bound(core, now, shelf, media),
                Place::Notifications(user) => {
                    core.forget_flights(media);
                    notification_session::go_on(core, now, user);
                }
                Place::Session(id, end) => session::on_bound(core, now, (id, end), media),
            }
        }
        msrp::Event::Lost => {
            core.bound.remove(&media);
            let own = core.leg_at(place).is_some_and(|leg| leg.media.session == media);
            if own && !core.schedule.runs(Alarm::NoConnection(place)) {
                core.schedule.set(Alarm::NoConnection(place), now + core.policy.loss_grace);
            }
        }
        msrp::Event::Received(incoming) => match place {
            // Nothing is expected of a Client in a session that is sendonly.
            Place::Delivery(_) | Place::Notifications(_) => {
                let code = if incoming.content_type.is_empty() { 200 } else { 403 };
                core.endpoint.msrp_answer(now, media, incoming.token, code);
            }
            Place::Session(id, end) => session::on_message(core, now, id, end, media, incoming),
        },
        msrp::Event::Report { message_id, code, .. } => delivery::on_report(core, now, media, &message_id, code),
        msrp::Event::Sent { .. } => {}
    }
}
