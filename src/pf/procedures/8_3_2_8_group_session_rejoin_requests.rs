//! 8.3.2.8, by 8.2.2.8 as reconstructed: the Client asks to take part in a group.
//!
//! When the PF holds the focus leg the re-join is served from it (8.3.2.9.1.3), unless it collides
//! with an invitation of the PF (8.3.2.9.1.4). Otherwise the INVITE goes on to the focus, and the
//! answer of the focus comes back.
//!
//! ```text
//! INVITE, unknown identity of the PF         404
//! INVITE, Held | Live | DrainRj              served from the focus leg
//! INVITE, DrainPf                            491
//! INVITE, Dormant while it is delivered      re-started in parallel (8.3.2.9.1.4)
//! INVITE, Dormant with stored data           served, and the group re-started (8.3.2.9.1.3)
//! INVITE, else  -> Joining
//! 2xx           Joining -> Live
//! other         Joining -> Gone | Dormant    relayed
//! ```

use std::sync::Arc;

use crate::clause::Clause;
use crate::endpoint::{DialogId, TransactionId};
use crate::pf::core::{Call, Core};
use crate::pf::headers::{self, GROUP_SERVICE, Invitation, own_contact, with_body};
use crate::pf::leg::SESSION_EXPIRES;
use crate::pf::procedures::{inactive_group, race_conditions, rejoin_delivery, restart};
use crate::pf::state::{GroupId, Phase, Side, UserId};
use crate::time::Instant;
use crate::wire::sip::header::NameAddr;
use crate::wire::sip::{Builder, Message, Name, Uri};

const AS_ORIGINATING: Clause = Clause::of("DGC-8-01");

/// Takes an INVITE of a served user to a group.
pub(in crate::pf) fn start(core: &mut Core, now: Instant, asked: TransactionId, message: &Message) {
    let target = message.request_uri().unwrap_or_default();
    let Some(user) = sender(core, message) else {
        let status = if is_ours(core, target) { 404 } else { 403 };
        return core.reply(now, asked, status);
    };
    match core.find_group(user, target) {
        Some(group) => dispatch(core, now, group, asked, message),
        None if is_ours(core, target) => core.because(AS_ORIGINATING, "no group has this identity").reply(now, asked, 404),
        None => {
            let group = core.add_group(user, target, Invitation::of_client(message, target));
            forward(core, now, group, asked, message);
        }
    }
}

fn dispatch(core: &mut Core, now: Instant, group: GroupId, asked: TransactionId, message: &Message) {
    match core[group].phase {
        Phase::Inviting { .. } | Phase::Joining { .. } => core.reply(now, asked, 491),
        Phase::DrainPf(_) => {
            if !race_conditions::start(core, now, group, asked, message) {
                rejoin_delivery::start(core, now, group, asked, message);
            }
        }
        Phase::Held | Phase::Live | Phase::DrainRj | Phase::Restarting(_) => {
            rejoin_delivery::start(core, now, group, asked, message)
        }
        Phase::Dormant if inactive_group::is_running(core, group) && !core[group].closed => {
            race_conditions::in_parallel(core, now, group, asked, message);
        }
        Phase::Dormant if restart::is_due(core, group) => restart::start(core, now, group, asked, message),
        // The focus closed the group for good: no re-start is tried (AMB-29).
        Phase::Dormant | Phase::Gone if core[group].closed => core.reply(now, asked, 410),
        Phase::Dormant if !core[group].deferred.is_empty() => restart::forward(core, now, group, asked, message),
        Phase::Dormant | Phase::Gone => forward(core, now, group, asked, message),
    }
}

/// Passes a provisional response of the focus on.
pub(in crate::pf) fn on_provisional(core: &mut Core, now: Instant, group: GroupId, status: u16) {
    if let Phase::Joining { asked, .. } = core[group].phase {
        core.reply(now, asked, status);
    }
}

/// Takes the final response of the focus.
pub(in crate::pf) fn handle(
    core: &mut Core,
    now: Instant,
    group: GroupId,
    invite: TransactionId,
    dialog: Option<DialogId>,
    response: &Message,
) {
    let Phase::Joining { asked, .. } = core[group].phase else { return };
    let status = response.status().unwrap_or(500);
    if status >= 300 {
        return refuse(core, now, group, status);
    }
    learn_focus(core, group, response);
    let request = core.endpoint.request(asked).cloned();
    let joined = core.confirm(now, (group, Side::Focus), invite, dialog, response);
    let attributes = core[group].invitation.sdp.clone();
    core.because(AS_ORIGINATING, "the focus has accepted, so the PF accepts towards the Client");
    let accepted =
        request.as_ref().is_some_and(|request| joined && core.accept(now, (group, Side::Client), asked, request, &attributes));
    if !accepted {
        core.hang_up(now, group, Side::Focus, None);
        return refuse(core, now, group, 488);
    }
    core.asked.remove(&asked);
    core[group].device = request.as_ref().and_then(headers::instance_of);
    core[group].phase = Phase::Live;
    if !core[group].deferred.is_empty() {
        core[group].phase = Phase::DrainRj;
        restart::announce(core, group);
    }
    core.pump(now, group);
}

/// The focus refuses, or does not answer: the Client gets the same final response.
pub(in crate::pf) fn refuse(core: &mut Core, now: Instant, group: GroupId, status: u16) {
    core.give_up_offer(now, group);
    if let Phase::Joining { asked, .. } = core[group].phase {
        core.because(AS_ORIGINATING, "the answer of the focus is passed on").pass_on(now, asked, status);
    }
    core[group].phase = core[group].resting();
}

/// The focus URI and the content attributes, as the 2xx of the focus tells them.
pub(in crate::pf) fn learn_focus(core: &mut Core, group: GroupId, response: &Message) {
    if core[group].invitation.sdp.is_empty() {
        Arc::make_mut(&mut core[group].invitation).sdp = headers::sdp_of(response).unwrap_or_default();
    }
    let contact = response.contact().ok().filter(NameAddr::is_focus).map(|contact| contact.uri.text.to_owned());
    if let Some(focus) = contact
        && focus != core[group].focus
    {
        core.rename_group(group, &focus);
    }
}

/// Sends the INVITE on to the focus, for the user.
fn forward(core: &mut Core, now: Instant, group: GroupId, asked: TransactionId, message: &Message) {
    let Some(offer) = headers::sdp_of(message).filter(|offer| core.medium_of(offer).is_some()) else {
        return core.reply(now, asked, 488);
    };
    let mut media = core.open_media(group, Side::Focus);
    let sdp = media.offer(core.endpoint.config(), &offer, None);
    core[group].offered = Some(media);
    let lists = message.elements(Name::Require).any(|option| option == "recipient-list-invite");
    let invite = to_focus(core, group, message, &core[group].focus).push_some("Require", lists.then_some("recipient-list-invite"));
    let invite = with_body(invite, &sdp, &headers::other_parts(message));
    core.because(AS_ORIGINATING, "the PF has no leg to the focus: the INVITE goes on");
    join(core, now, group, asked, invite);
}

/// Sends an INVITE to the focus whose final response is passed on to the Client.
pub(in crate::pf) fn join(core: &mut Core, now: Instant, group: GroupId, asked: TransactionId, invite: Builder) {
    let call = core.endpoint.send(now, invite);
    core.calls.insert(call, Call::Join(group));
    core.asked.insert(asked, group);
    core[group].phase = Phase::Joining { asked, call };
}

/// The INVITE of the Client as it goes on to `target` at the CF, for the user; without its body.
pub(in crate::pf) fn to_focus(core: &Core, group: GroupId, message: &Message, target: &str) -> Builder {
    const COPIED: [Name; 7] = [
        Name::Privacy,
        Name::ConversationId,
        Name::ContributionId,
        Name::InReplyToContributionId,
        Name::SessionReplaces,
        Name::Subject,
        Name::AcceptContact,
    ];
    let user = &core.users[core[group].user].uri;
    let mut invite = Builder::request("INVITE", target)
        .push("Max-Forwards", headers::hops(message))
        .push("From", format!("<{user}>"))
        .push("To", format!("<{target}>"))
        .push("Contact", own_contact(&core.address()))
        .push("P-Asserted-Identity", format!("<{user}>"))
        .push("P-Asserted-Service", GROUP_SERVICE);
    for name in COPIED {
        for value in message.values(name) {
            invite = invite.push(name.canonical(), value);
        }
    }
    invite.push("Supported", "timer").push("Session-Expires", SESSION_EXPIRES)
}

/// The served user who sent a request: the asserted identity, else the preferred one, else From.
pub(in crate::pf) fn sender(core: &Core, message: &Message) -> Option<UserId> {
    let asserted = message.elements(Name::PAssertedIdentity).chain(message.elements(Name::PPreferredIdentity));
    let mut identities = asserted.chain(message.elements(Name::From)).filter_map(|value| NameAddr::parse(value).ok());
    identities.find_map(|identity| core.users.find(identity.uri.text))
}

/// Whether a URI names the PF as its host.
pub(in crate::pf) fn is_ours(core: &Core, uri: &str) -> bool {
    let config = core.endpoint.config();
    let host = Uri::parse(uri).ok().and_then(|uri| uri.host);
    host.is_some_and(|host| host.0.eq_ignore_ascii_case(&config.host) || host.ip() == Some(config.sip.ip()))
}

#[cfg(test)]
mod tests {
    use crate::pf::testing::{BOB, FOCUS, GROUP, PHONE, SHOWN, World};
    use crate::wire::sip::Name;

    #[test]
    fn an_unknown_identity_of_the_pf_is_not_found() {
        let mut world = World::new();
        world.rejoin("sip:gc-unknown@pf.home1.example", PHONE);
        world.response(BOB, 404);
        world.assert_quiet(FOCUS);
    }

    #[test]
    fn without_a_focus_leg_the_rejoin_goes_to_the_focus_and_its_answer_comes_back() {
        let mut world = World::new();
        let (focus, _, _) = world.established();
        world.bye(&focus, None);
        let (bye, _, _) = world.request(BOB, "BYE");
        world.answer(BOB, bye, 200);
        world.rejoin(SHOWN, PHONE);
        let (joined, _, message) = world.request(FOCUS, "INVITE");
        assert_eq!(message.request_uri(), Some(GROUP));
        assert_eq!(message.value(Name::ConversationId), Some("conversation-1"));
        world.answer(FOCUS, joined, 404);
        world.response(BOB, 404);
        let (rejoin, media) = world.rejoin(SHOWN, PHONE);
        let (joined, _, message) = world.request(FOCUS, "INVITE");
        let focus = world.accept_join(joined, &message);
        world.accepted(BOB, rejoin, media);
        world.missed(&focus, &["welcome back"]);
        world.delivered(&["welcome back"]);
    }

    #[test]
    fn a_group_that_the_client_starts_is_shown_under_an_identity_of_the_pf() {
        let mut world = World::new();
        let (join, media) = world.rejoin("sip:conference-factory@cf.home1.example", PHONE);
        let (joined, _, message) = world.request(FOCUS, "INVITE");
        world.accept_join(joined, &message);
        let (_, dialog, response) = world.response(BOB, 200);
        assert!(response.value(Name::Contact).is_some_and(|contact| contact.starts_with(&format!("<{SHOWN}>;isfocus"))));
        let bob = world.acknowledge(BOB, join, dialog.expect("a dialog"), media, &response);
        world.lose(&bob);
        world.subscribed();
        let (rejoin, media) = world.rejoin(SHOWN, PHONE);
        world.accepted(BOB, rejoin, media);
    }
}
