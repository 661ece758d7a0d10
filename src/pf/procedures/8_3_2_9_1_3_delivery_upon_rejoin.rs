//! 8.3.2.9.1.3: the Client re-joins before the PF has invited it.
//!
//! The group is active: the PF holds the focus leg, so it answers the re-join itself, delivers what
//! was missed in the session that the re-join has set up, and joins the two legs. The same answer
//! serves a re-join in a session that the Client has already: the new dialog replaces the old one.
//!
//! ```text
//! Held            -> DrainRj -> Live      200, ACK, stored data, joined
//! Live | DrainRj  -> DrainRj -> Live      200, BYE to the old dialog
//! ```

use crate::clause::Clause;
use crate::endpoint::TransactionId;
use crate::pf::core::Core;
use crate::pf::headers::{self, ELSEWHERE};
use crate::pf::procedures::{group_delivery, restart};
use crate::pf::schedule::Alarm;
use crate::pf::state::{GroupId, Phase, Side};
use crate::time::Instant;
use crate::wire::sip::Message;

const NO_INVITATION: Clause = Clause::of("DGC-9-07");
const SAME_SESSION: Clause = Clause::of("DGC-9-08");
const OVER_MSRP: Clause = Clause::of("DGC-9-09");
const ALL_MISSED: Clause = Clause::of("DGC-1.3-03");
const FROM_THE_START: Clause = Clause::of("DGC-1.3-04");
const REJOIN_HANDLED: Clause = Clause::of("DGC-1.3-02");
const JOINED: Clause = Clause::of("DGC-1.3-09");

/// Serves a re-join from the focus leg, or in place of the session that waits for its re-start.
pub(in crate::pf) fn start(core: &mut Core, now: Instant, group: GroupId, asked: TransactionId, message: &Message) {
    if headers::sdp_of(message).is_some_and(|offer| core.medium_of(&offer).is_none()) {
        core.note("the re-join offers no medium that could be used");
        return core.reply(now, asked, 488);
    }
    core.schedule.stop(Alarm::Retry(group));
    let old = core.take(now, group, Side::Client);
    let restarting = matches!(core[group].phase, Phase::Restarting(_));
    core.because(REJOIN_HANDLED, "the re-join is served");
    if !restarting {
        core.because(JOINED, "it is answered from the focus leg");
    }
    core.because(NO_INVITATION, "so the PF sends no invitation");
    if !core[group].deferred.is_empty() {
        core.because(ALL_MISSED, "everything that was missed is due");
        core.because(SAME_SESSION, "the session of the re-join serves the delivery");
        core.because(OVER_MSRP, "stored data goes out over MSRP alone");
        core.because(FROM_THE_START, "a message without its answer is sent again from its first byte");
    }
    let attributes = core[group].invitation.sdp.clone();
    let accepted = core.accept(now, (group, Side::Client), asked, message, &attributes);
    if let Some(old) = old {
        core.bye(now, &old, Some(ELSEWHERE));
    }
    if let Some(device) = headers::instance_of(message) {
        core[group].device = Some(device);
    }
    core[group].attempts = 0;
    // Until the ACK nothing is sent; with nothing stored the drain ends there and then.
    match (restarting, accepted) {
        (true, true) => restart::announce(core, group),
        (true, false) => {
            restart::withdraw(core, now, group);
            core[group].phase = Phase::Dormant;
        }
        (false, true) => core[group].phase = Phase::DrainRj,
        (false, false) => core[group].phase = Phase::Held,
    }
    group_delivery::on_over(core, now, group, false);
}

#[cfg(test)]
mod tests {
    use crate::pf::headers::ELSEWHERE;
    use crate::pf::testing::{BOB, FOCUS, GROUP, PHONE, SHOWN, TABLET, World};
    use crate::wire::sip::Name;

    #[test]
    fn a_rejoin_is_answered_from_the_focus_leg_and_gets_what_was_missed() {
        let (mut world, focus, _) = World::held(&[("group.unsubscribe-after-delivery", "false")], &["one", "two", "three"]);
        let (invite, media) = world.rejoin(SHOWN, PHONE);
        let bob = world.accepted(BOB, invite, media);
        world.delivered(&["one", "two", "three"]);
        world.missed(&focus, &["live"]);
        world.delivered(&["live"]);
        world.write(&bob, "back");
        assert_eq!(world.sent(BOB), crate::msrp::Outcome::Accepted);
        assert_eq!(world.read(FOCUS, 200), "back");
        assert!(world.has_cited("DGC-9-07") && world.has_cited("DGC-1.3-09"));
    }

    #[test]
    fn a_register_after_the_rejoin_causes_no_invitation() {
        let (mut world, _, _) = World::held(&[], &["one", "two", "three"]);
        let (invite, media) = world.rejoin(SHOWN, PHONE);
        let (_, dialog, response) = world.response(BOB, 200);
        assert!(response.value(Name::Contact).is_some_and(|contact| contact.starts_with(&format!("<{SHOWN}>;isfocus"))));
        world.register(600_000, None);
        world.acknowledge(BOB, invite, dialog.expect("a dialog"), media, &response);
        world.delivered(&["one", "two", "three"]);
        world.assert_quiet(BOB);
    }

    #[test]
    fn the_focus_uri_names_the_group_too() {
        let (mut world, _, _) = World::held(&[], &["one", "two", "three"]);
        let (invite, media) = world.rejoin(GROUP, PHONE);
        world.accepted(BOB, invite, media);
        world.delivered(&["one", "two", "three"]);
    }

    #[test]
    fn a_second_rejoin_replaces_the_first_and_goes_on_with_the_first_undelivered_message() {
        let (mut world, _, _) = World::held(&[], &["one", "two", "three"]);
        let (invite, media) = world.rejoin(SHOWN, PHONE);
        world.accepted(BOB, invite, media);
        assert_eq!(world.read(BOB, 200), "one");
        assert_eq!(world.read(BOB, 0), "two");
        let (invite, media) = world.rejoin(SHOWN, TABLET);
        world.accepted_and_replaced(invite, media, ELSEWHERE);
        world.delivered(&["two", "three"]);
    }

    #[test]
    fn without_an_ack_the_session_ends_and_the_data_stays() {
        let (mut world, _, _) = World::held(&[], &["one", "two", "three"]);
        world.rejoin(SHOWN, PHONE);
        world.response(BOB, 200);
        world.pass(std::time::Duration::from_secs(33));
        world.skip_to_request(BOB, "BYE");
        world.register(600_000, None);
        world.request(BOB, "INVITE");
    }

    #[test]
    fn a_rejoin_without_usable_media_is_refused() {
        let (mut world, _, _) = World::held(&[], &["one", "two", "three"]);
        world.rejoin_with(SHOWN, PHONE, |sdp| sdp.replace("a=path", "a=way"));
        world.response(BOB, 488);
    }
}
