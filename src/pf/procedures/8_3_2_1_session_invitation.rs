//! 8.3.2.1 step 7, as reconstructed: the focus invites a served user to a group.
//!
//! The PF keeps the invitation, offers it to all devices of the user, and joins the two legs. A
//! user who cannot be reached is joined to the group by the PF alone, which then stores.
//!
//! ```text
//! INVITE  -> Inviting
//! 2xx     Inviting -> Live                   both legs
//! INVITE  Restarting -> DrainRj -> Live      the Client is there already
//! 408, 480, 503, timeout                     Inviting -> Held, the PF accepts for the user
//! other   Inviting -> Gone | Dormant         relayed
//! ```

use std::sync::Arc;

use crate::clause::Clause;
use crate::endpoint::{DialogId, TransactionId};
use crate::pf::core::{Call, Core};
use crate::pf::headers::{self, GROUP_SERVICE, Invitation, ToUser};
use crate::pf::leg::SESSION_EXPIRES;
use crate::pf::procedures::{deferred_handling, group_delivery, one_to_one_invitation, restart};
use crate::pf::state::{Delivery, GroupId, Phase, Registration, Side, UserId};
use crate::time::Instant;
use crate::wire::sip::{Message, Name};

const AS_B2BUA: Clause = Clause::of("DGC-1.2-20");
const ALL_DEVICES: Clause = Clause::of("DGC-1.2-17");

/// Takes an INVITE whose Request-URI is a served user.
pub(in crate::pf) fn start(core: &mut Core, now: Instant, asked: TransactionId, message: &Message) {
    let user = message.request_uri().and_then(|target| core.users.find(target));
    let (Some(user), Some(focus)) = (user, headers::contact_uri(message)) else { return core.reply(now, asked, 400) };
    let offer = headers::sdp_of(message);
    if offer.as_deref().is_some_and(|offer| core.medium_of(offer).is_none()) {
        return core.reply(now, asked, 488);
    }
    if !is_group(message) {
        return one_to_one_invitation::start(core, now, user, asked, message);
    }
    let group = locate(core, user, &focus, message);
    let busy = matches!(core[group].phase, Phase::Inviting { .. } | Phase::Joining { .. });
    if busy {
        core.reply(now, asked, 491);
    } else if matches!(core[group].phase, Phase::Restarting(_)) {
        join_waiting(core, now, group, asked, message);
    } else if core[group].focus_leg.is_some() {
        replace_focus(core, now, group, asked, message);
    } else if core.users[user].registration == Registration::Gone {
        accept_for_user(core, now, group, asked, message);
    } else {
        offer_to_user(core, now, group, asked, message);
    }
}

/// Passes a provisional response of the user on.
pub(in crate::pf) fn on_provisional(core: &mut Core, now: Instant, group: GroupId, status: u16) {
    if let Phase::Inviting { asked, .. } = core[group].phase {
        core.reply(now, asked, status);
    }
}

/// Takes the final response of the user.
pub(in crate::pf) fn handle(
    core: &mut Core,
    now: Instant,
    group: GroupId,
    invite: TransactionId,
    dialog: Option<DialogId>,
    response: &Message,
) {
    let Phase::Inviting { asked, .. } = core[group].phase else { return };
    match response.status().unwrap_or(500) {
        200..=299 => on_accepted(core, now, (group, asked), invite, dialog, response),
        408 | 480 | 503 => on_failed(core, now, group),
        status => {
            core.give_up_offer(now, group);
            core.because(AS_B2BUA, "the answer of the user is passed on").pass_on(now, asked, status);
            if status == 603 {
                core.discard(group);
            }
            core[group].phase = core[group].resting();
        }
    }
}

/// No device answered: the PF takes part for the user (step 7.b).
pub(in crate::pf) fn on_failed(core: &mut Core, now: Instant, group: GroupId) {
    let Phase::Inviting { asked, .. } = core[group].phase else { return };
    core.give_up_offer(now, group);
    core.asked.remove(&asked);
    let Some(request) = core.endpoint.request(asked).cloned() else {
        core[group].phase = core[group].resting();
        return;
    };
    accept_for_user(core, now, group, asked, &request);
}

fn on_accepted(
    core: &mut Core,
    now: Instant,
    (group, asked): (GroupId, TransactionId),
    invite: TransactionId,
    dialog: Option<DialogId>,
    response: &Message,
) {
    core.asked.remove(&asked);
    let request = core.endpoint.request(asked).cloned();
    let joined = core.confirm(now, (group, Side::Client), invite, dialog, response);
    let attributes = headers::sdp_of(response).unwrap_or_default();
    core.because(AS_B2BUA, "the user has accepted, so the PF accepts towards the focus");
    let accepted = joined && request.is_some_and(|request| core.accept(now, (group, Side::Focus), asked, &request, &attributes));
    if !accepted {
        core.hang_up(now, group, Side::Client, None);
        core[group].phase = core[group].resting();
        return core.reply(now, asked, 488);
    }
    core[group].device = headers::instance_of(response);
    core[group].phase = if core[group].deferred.is_empty() { Phase::Live } else { Phase::DrainPf(Delivery::Sending) };
    core.pump(now, group);
}

/// 7.c: builds the INVITE to the user's devices from that of the focus.
fn offer_to_user(core: &mut Core, now: Instant, group: GroupId, asked: TransactionId, message: &Message) {
    let mut media = core.open_media(group, Side::Client);
    core.endpoint.msrp_forks(media.session);
    let invitation = Arc::clone(&core[group].invitation);
    let user = &core.users[core[group].user];
    let mut accept_contact: Vec<String> = message.elements(Name::AcceptContact).map(str::to_owned).collect();
    if accept_contact.is_empty() {
        accept_contact = headers::accept_contact(None, false);
    }
    let invite = headers::invite_user(&ToUser {
        target: message.request_uri().unwrap_or(&user.uri),
        shown: &core[group].shown,
        route: &user.route,
        sdp: media.offer(core.endpoint.config(), &invitation.sdp, None),
        invitation: &invitation,
        accept_contact,
        interval: SESSION_EXPIRES,
    })
    .push("Max-Forwards", headers::hops(message));
    core[group].offered = Some(media);
    let call = core.because(ALL_DEVICES, "the invitation goes to all devices of the user").endpoint.send(now, invite);
    core.calls.insert(call, Call::Invitation(group));
    core.asked.insert(asked, group);
    core[group].phase = Phase::Inviting { asked, call };
}

/// 7.b: accepts in place of a user who cannot be reached, and stores from now on.
fn accept_for_user(core: &mut Core, now: Instant, group: GroupId, asked: TransactionId, request: &Message) {
    let attributes = core[group].invitation.sdp.clone();
    core.because(ALL_DEVICES, "no device can be reached: the PF takes part for the user");
    if !core.accept(now, (group, Side::Focus), asked, request, &attributes) {
        core[group].phase = core[group].resting();
        return core.reply(now, asked, 488);
    }
    core[group].device = None;
    deferred_handling::hold(core, now, group);
    group_delivery::on_over(core, now, group, false);
}

/// The focus invites to a group whose Client waits for it: its leg takes the place of the re-start.
fn join_waiting(core: &mut Core, now: Instant, group: GroupId, asked: TransactionId, message: &Message) {
    let attributes = core[group].invitation.sdp.clone();
    if !core.accept(now, (group, Side::Focus), asked, message, &attributes) {
        return core.reply(now, asked, 488);
    }
    core.because(AS_B2BUA, "the Client is there: the PF accepts, and asks for no re-start any more");
    restart::withdraw(core, now, group);
    restart::on_restarted(core, now, group);
}

/// The focus invites to a group whose leg stands: the new leg takes the place of the old one.
fn replace_focus(core: &mut Core, now: Instant, group: GroupId, asked: TransactionId, message: &Message) {
    let attributes = core[group].invitation.sdp.clone();
    if !core.accept_instead(now, (group, Side::Focus), asked, message, &attributes) {
        core.reply(now, asked, 488);
    }
}

/// The group of an invitation: known by its focus or its Contribution-ID, else new.
fn locate(core: &mut Core, user: UserId, focus: &str, message: &Message) -> GroupId {
    let invitation = Invitation::of_focus(message);
    let contribution = invitation.value(Name::ContributionId).and_then(|value| core.find_contribution(user, value));
    match core.find_group(user, focus).or(contribution) {
        None => core.add_group(user, focus, invitation),
        Some(group) => {
            core[group].invitation = Arc::new(invitation);
            focus.clone_into(&mut core[group].focus);
            core[group].closed = false;
            core.index_group(group);
            group
        }
    }
}

fn is_group(message: &Message) -> bool {
    message.contact().is_ok_and(|contact| contact.is_focus())
        || message.value(Name::PAssertedService).is_some_and(|service| service.contains(GROUP_SERVICE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pf::testing::{BOB, FOCUS, PHONE, World};
    use crate::wire::sip::Builder;

    #[test]
    fn ringing_and_refusal_are_passed_on() {
        let mut world = World::new();
        world.invite();
        let (invite, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, invite, 180);
        world.response(FOCUS, 180);
        world.answer(BOB, invite, 486);
        world.response(FOCUS, 486);
        world.assert_quiet(FOCUS);
    }

    #[test]
    fn a_cancel_is_passed_on() {
        let mut world = World::new();
        let (invite, _) = world.invite();
        let (offered, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, offered, 180);
        world.response(FOCUS, 180);
        world.cancel(FOCUS, invite);
        world.response(FOCUS, 487);
        assert!(matches!(world.event(BOB), Some(crate::endpoint::Event::Cancelled { .. })));
    }

    #[test]
    fn the_pf_takes_part_for_a_user_who_cannot_be_reached() {
        let mut world = World::new();
        let (invite, media) = world.invite();
        let (offered, _, _) = world.request(BOB, "INVITE");
        world.answer(BOB, offered, 480);
        let focus = world.accepted(FOCUS, invite, media);
        world.subscribed();
        world.missed(&focus, &["one"]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        assert_eq!(message.values(Name::AcceptContact).count(), 1);
        world.pick_up(invite, &message, PHONE);
        world.delivered(&["one"]);
    }

    #[test]
    fn a_user_who_is_gone_is_not_asked() {
        let mut world = World::new();
        world.register(0, None);
        let (invite, media) = world.invite();
        world.accepted(FOCUS, invite, media);
        world.assert_quiet(BOB);
    }

    #[test]
    fn an_invitation_that_is_refused_leaves_the_session_of_its_group_as_it_was() {
        let mut world = World::new();
        let (focus, _, _) = world.established();
        // The second is for a PF that takes MSRP over TLS; this one has no such port.
        let secure = "m=message 2856 TCP/TLS/MSRP *\r\na=path:msrps://cf.home1.example:2856/own;tcp";
        for medium in ["m=audio 5004 RTP/AVP 0", secure] {
            let invite = Builder::request("INVITE", crate::pf::testing::USER)
                .push("Route", "<sip:pf.home1.example;lr>")
                .push("Contact", "<sip:gc-1@cf.home1.example>;isfocus")
                .push("Contribution-ID", "contribution-1")
                .body("application/sdp", format!("v=0\r\n{medium}\r\n"));
            world.send(FOCUS, invite);
            world.response(FOCUS, 488);
            world.assert_quiet(FOCUS);
        }
        world.write(&focus, "still there");
        assert_eq!(world.read(BOB, 200), "still there");
    }

    #[test]
    fn an_unknown_extension_is_refused() {
        let mut world = World::new();
        let invite = Builder::request("INVITE", crate::pf::testing::USER)
            .push("Route", "<sip:pf.home1.example;lr>")
            .push("Require", "100rel");
        world.send(FOCUS, invite);
        let (_, _, response) = world.response(FOCUS, 420);
        assert_eq!(response.value(Name::Unsupported), Some("100rel"));
    }
}
