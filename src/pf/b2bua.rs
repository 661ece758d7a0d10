//! The back-to-back user agent: legs come, are joined, and go.

use std::time::Duration;

use super::core::{Call, Core};
use super::group_state::Announcement;
use super::headers::{ELSEWHERE, own_contact, with_body};
use super::leg::{Leg, Media, with_session_timer};
use super::media::{self, Remote};
use super::one_to_one::legs;
use super::procedures::active_group;
use super::procedures::deferred_handling::{self, Silence};
use super::schedule::Alarm;
use super::state::{GroupId, Phase, Side};
use crate::endpoint::{DialogId, MsrpId, TransactionId};
use crate::engine::Closure;
use crate::time::Instant;
use crate::wire::sip::{Builder, Message};

pub(super) use super::relay::Flights;

/// How long an MSRP session outlives its dialog when answers are due: a BYE can overtake them.
const LINGER: Duration = Duration::from_secs(5);

impl Core {
    /// Opens the media side of a leg to come.
    pub(super) fn open_media(&mut self, group: GroupId, side: Side) -> Media {
        let media = Media::open(&mut self.endpoint, &mut self.ids);
        self.media.insert(media.session, (group, side));
        media
    }

    /// The message medium of a description, if the PF can use one.
    pub(super) fn medium_of(&self, sdp: &str) -> Option<Remote> {
        media::read(sdp, self.endpoint.config().secure_media)
    }

    /// The message medium of what a message describes.
    pub(super) fn medium_in(&self, message: &Message) -> Option<Remote> {
        self.medium_of(&super::headers::sdp_of(message)?)
    }

    /// Makes a leg of a confirmed dialog and its media, whose connection is due within 64*T1.
    pub(super) fn attach(&mut self, now: Instant, group: GroupId, side: Side, leg: Leg) {
        self.dialogs.insert(leg.dialog, (group, side));
        self.media.insert(leg.media.session, (group, side));
        self.await_connection(now, group, side, leg.media.session);
        self[group].named |= side == Side::Client;
        self[group].was_over = false;
        match side {
            Side::Client => {
                self[group].client = Some(leg);
                self[group].parting = None;
            }
            Side::Focus => {
                self[group].focus_leg = Some(leg);
                self[group].ended = None;
            }
        }
        self.journal.touch(group);
    }

    /// From now on the connection of an MSRP session is due.
    pub(super) fn await_connection(&mut self, now: Instant, group: GroupId, side: Side, session: MsrpId) {
        if !self.bound.contains(&session) {
            let limit = self.endpoint.config().timing.transaction();
            self.schedule.set(Alarm::Disconnected(group, side), now + limit);
        }
    }

    /// Takes a leg away that its peer has ended: its media is closed, what the Client did not
    /// acknowledge is due again.
    pub(super) fn detach(&mut self, now: Instant, group: GroupId, side: Side) -> Option<Leg> {
        let leg = self.take(now, group, side)?;
        self.linger(now, leg.media.session);
        Some(leg)
    }

    /// Closes an MSRP session whose peer has ended its dialog: answers may still be under way, or the
    /// peer's first request when the BYE was faster than that.
    pub(super) fn linger(&mut self, now: Instant, session: MsrpId) {
        if self.flights.any_of(session) || !self.bound.contains(&session) {
            self.schedule.set(Alarm::Linger(session), now + LINGER);
        } else {
            self.close_media(now, session);
        }
    }

    /// Takes a leg away, to be ended by [`Core::bye`]: its media lives until then.
    pub(super) fn take(&mut self, now: Instant, group: GroupId, side: Side) -> Option<Leg> {
        let leg = self[group].take_leg(side)?;
        self.dialogs.remove(&leg.dialog);
        self.media.remove(&leg.media.session);
        self.schedule.stop(Alarm::Refresh(group, side));
        self.schedule.stop(Alarm::Disconnected(group, side));
        if side == Side::Focus {
            self[group].ended = Some(now);
        } else {
            self[group].deferred.rewind();
            self[group].announcement = Announcement::default();
            self[group].outbox.orphan();
        }
        super::procedures::session_modification::abandon(self, now, group, side);
        self.journal.touch(group);
        Some(leg)
    }

    /// Closes an MSRP session; what was on its way by it has no outcome any more.
    pub(super) fn close_media(&mut self, now: Instant, session: MsrpId) {
        self.schedule.stop(Alarm::Linger(session));
        self.forget_flights(session);
        self.media.remove(&session);
        self.one.media.remove(&session);
        self.bound.remove(&session);
        self.endpoint.msrp_close(now, session, Closure::Finished);
    }

    /// What a session has on its way has no outcome any more.
    pub(super) fn forget_flights(&mut self, session: MsrpId) {
        self.flights.forget(session);
        self.notifications.rewind(session);
    }

    /// Ends a leg with a BYE.
    pub(super) fn hang_up(&mut self, now: Instant, group: GroupId, side: Side, reason: Option<&str>) {
        if let Some(leg) = self.take(now, group, side) {
            self.bye(now, &leg, reason);
        }
    }

    /// Sends the BYE of a leg that was taken away; the UAS waits for the ACK (RFC 3261 15). Its
    /// media is closed when the BYE is answered, so that the BYE comes first.
    pub(super) fn bye(&mut self, now: Instant, leg: &Leg, reason: Option<&str>) {
        let limit = self.endpoint.config().timing.transaction();
        self.schedule.set(Alarm::Linger(leg.media.session), now + limit + LINGER);
        if leg.acknowledged {
            self.send_bye(now, leg.dialog, Some(leg.media.session), reason);
        } else {
            self.byes.insert(leg.dialog, (leg.media.session, reason.map(str::to_owned)));
        }
    }

    fn send_bye(&mut self, now: Instant, dialog: DialogId, media: Option<MsrpId>, reason: Option<&str>) {
        let call = self.endpoint.send_in(now, dialog, Builder::request("BYE", "").push_some("Reason", reason));
        match (call, media) {
            (Some(call), Some(media)) => drop(self.calls.insert(call, Call::Bye(media))),
            (None, Some(media)) => self.close_media(now, media),
            (_, None) => {}
        }
    }

    /// Confirms a dialog that nobody wants and ends it.
    pub(super) fn release(&mut self, now: Instant, invite: TransactionId, dialog: DialogId) {
        self.endpoint.acknowledge(now, invite, dialog, None);
        self.send_bye(now, dialog, None, Some(ELSEWHERE));
    }

    /// The ACK to our 2xx came: the leg may send, and may be ended.
    pub(super) fn on_ack(&mut self, now: Instant, dialog: DialogId, message: &Message) {
        if let Some((media, reason)) = self.byes.remove(&dialog) {
            return self.send_bye(now, dialog, Some(media), reason.as_deref());
        }
        if let Some(place) = self.one.dialogs.get(&dialog).copied() {
            return legs::on_ack(self, now, place, message);
        }
        let Some((group, side)) = self.dialogs.get(&dialog).copied() else { return };
        let remote = self.medium_in(message);
        let Some(leg) = self[group].leg_mut(side) else { return };
        let first = !std::mem::replace(&mut leg.acknowledged, true);
        // The answer to an offer that our 2xx made.
        if leg.media.remote.is_none() {
            leg.media.remote = remote;
            if leg.media.remote.is_none() {
                return deferred_handling::on_silence(self, now, group, side, Silence::NoMedia);
            }
            self.start_media(now, group, side);
        }
        if first && side == Side::Client && self[group].phase == Phase::DrainRj {
            active_group::announce(self, group);
        }
        self.pump(now, group);
    }

    /// No ACK came within 64*T1 (RFC 3261 13.3.1.4).
    pub(super) fn on_ack_missing(&mut self, now: Instant, dialog: DialogId) {
        if let Some((media, reason)) = self.byes.remove(&dialog) {
            return self.send_bye(now, dialog, Some(media), reason.as_deref());
        }
        if let Some(place) = self.one.dialogs.get(&dialog).copied() {
            return legs::on_ack_missing(self, now, place);
        }
        let Some((group, side)) = self.dialogs.get(&dialog).copied() else { return };
        if let Some(leg) = self[group].leg_mut(side) {
            leg.acknowledged = true;
        }
        deferred_handling::on_silence(self, now, group, side, Silence::NoAck);
    }

    /// Answers the INVITE of a side by 200 and makes its leg: `attributes` is the SDP whose content
    /// attributes the answer carries. `false` when the offer has no medium that could be used.
    pub(super) fn accept(
        &mut self,
        now: Instant,
        (group, side): (GroupId, Side),
        transaction: TransactionId,
        request: &Message,
        attributes: &str,
    ) -> bool {
        let leg = self.leg_of(now, (group, side), transaction, request, attributes);
        leg.map(|leg| self.attach(now, group, side, leg)).is_some()
    }

    /// As [`Core::accept`], for a leg that takes the place of another: what stands is left alone until
    /// there is one.
    pub(super) fn accept_instead(
        &mut self,
        now: Instant,
        (group, side): (GroupId, Side),
        transaction: TransactionId,
        request: &Message,
        attributes: &str,
    ) -> bool {
        let Some(leg) = self.leg_of(now, (group, side), transaction, request, attributes) else { return false };
        let old = self.take(now, group, side);
        self.attach(now, group, side, leg);
        if let Some(old) = old {
            self.bye(now, &old, Some(ELSEWHERE));
        }
        true
    }

    /// Answers an INVITE by 200; the leg that comes of it.
    fn leg_of(
        &mut self,
        now: Instant,
        (group, side): (GroupId, Side),
        transaction: TransactionId,
        request: &Message,
        attributes: &str,
    ) -> Option<Leg> {
        let mut media = self.open_media(group, side);
        let sdp = match super::headers::sdp_of(request) {
            Some(offer) => {
                let Some(remote) = self.medium_of(&offer) else {
                    self.close_media(now, media.session);
                    return None;
                };
                media.answer(self.endpoint.config(), &offer, remote, attributes)
            }
            None => media.offer(self.endpoint.config(), attributes, None),
        };
        let contact = match side {
            Side::Client => super::headers::group_contact(&self[group].shown),
            Side::Focus => own_contact(&self.address()),
        };
        let Some(dialog) = self.reply_with_sdp(now, transaction, contact, request, Some(&sdp)) else {
            self.close_media(now, media.session);
            return None;
        };
        media.start(&mut self.endpoint, now);
        Some(Leg::new(dialog, media, request, false))
    }

    /// Answers an INVITE or UPDATE 200, with our Contact, a session timer and what SDP there is.
    pub(super) fn reply_with_sdp(
        &mut self,
        now: Instant,
        asked: TransactionId,
        contact: String,
        request: &Message,
        sdp: Option<&str>,
    ) -> Option<DialogId> {
        let response = with_session_timer(self.endpoint.response(asked, 200).set("Contact", contact), request);
        let response = match sdp {
            Some(sdp) => with_body(response, sdp, &[]),
            None => response,
        };
        self.endpoint.respond(now, asked, response)
    }

    /// Makes the leg of a 2xx to our INVITE from the medium that it offered. When the answer has
    /// none that could be used, the dialog is acknowledged and ended, and there is no leg.
    pub(super) fn confirm(
        &mut self,
        now: Instant,
        (group, side): (GroupId, Side),
        invite: TransactionId,
        dialog: Option<DialogId>,
        response: &Message,
    ) -> bool {
        let (Some(dialog), Some(mut media)) = (dialog, self[group].offered.take()) else { return false };
        self.endpoint.acknowledge(now, invite, dialog, None);
        media.remote = self.medium_in(response);
        let mut leg = Leg::new(dialog, media, response, true);
        if leg.media.remote.is_none() {
            self.media.remove(&leg.media.session);
            self.bye(now, &leg, None);
            return false;
        }
        leg.media.start(&mut self.endpoint, now);
        self.attach(now, group, side, leg);
        true
    }

    /// Starts the MSRP session of a leg, unless it runs towards the same path already.
    pub(super) fn start_media(&mut self, now: Instant, group: GroupId, side: Side) {
        if let Some(leg) = self.groups[group.0 as usize].leg_mut(side) {
            leg.media.start(&mut self.endpoint, now);
        }
    }

    /// Closes the medium that a failed INVITE of ours offered.
    pub(super) fn give_up_offer(&mut self, now: Instant, group: GroupId) {
        if let Some(media) = self[group].offered.take() {
            self.close_media(now, media.session);
        }
    }

    /// The group is over for its user: both legs are gone, and what is stored stays or goes.
    pub(super) fn finish(&mut self, now: Instant, group: GroupId, discard: bool) {
        if discard {
            self.discard(group);
        }
        self.unsubscribe(now, group);
        self[group].phase = self[group].resting();
        self.schedule.stop(Alarm::Retry(group));
        self.journal.touch(group);
    }

    /// Whether the group has both legs and nothing under way.
    pub(super) fn is_live(&self, group: GroupId) -> bool {
        matches!(self[group].phase, Phase::Live)
    }
}
