//! 8.3.2.9.1.4: a re-join arrives when the PF has already sent its own INVITE.
//!
//! For an active group only one session with the user goes on, the one that the PF began: the
//! re-join is refused. How long the window is open, and whether another device of the user falls
//! under it, is policy (AMB-41, AMB-44).
//!
//! For an inactive group the delivery that runs is completed, and the re-join goes to a CF at the
//! same time, to start the group again: two dialogs with the Client, and nothing delivered twice,
//! since the delivery has taken along what it delivers.

use crate::clause::Clause;
use crate::endpoint::TransactionId;
use crate::pf::core::Core;
use crate::pf::headers;
use crate::pf::policy::RaceWindow;
use crate::pf::procedures::restart;
use crate::pf::schedule::Alarm;
use crate::pf::state::{Delivery, GroupId, Phase};
use crate::time::Instant;
use crate::wire::sip::Message;

const ONE_SESSION: Clause = Clause::of("DGC-1.4-01");
const COMPLETES: Clause = Clause::of("DGC-1.4-03");
const IN_PARALLEL: Clause = Clause::of("DGC-1.4-04");
const REQUEST_PENDING: Clause = Clause::of("DGC-1.4-02");

/// Refuses a re-join that collides with the PF's invitation; `false` when it does not collide and
/// is to be served.
pub(in crate::pf) fn start(core: &mut Core, now: Instant, group: GroupId, asked: TransactionId, message: &Message) -> bool {
    if collides(core, group, message) {
        core.because(REQUEST_PENDING, "the PF has invited the Client already").reply(now, asked, 491);
        return true;
    }
    withdraw(core, now, group);
    false
}

/// Passes a re-join on to a CF while the delivery of its inactive group runs.
pub(in crate::pf) fn in_parallel(core: &mut Core, now: Instant, group: GroupId, asked: TransactionId, message: &Message) {
    core.because(COMPLETES, "the delivery that runs is completed in its own session");
    core.because(IN_PARALLEL, "the re-join goes to the CF meanwhile, to start the group again");
    restart::forward(core, now, group, asked, message);
}

fn collides(core: &Core, group: GroupId, message: &Message) -> bool {
    let Phase::DrainPf(delivery) = core[group].phase else { return false };
    let other_device = match (&core[group].device, headers::instance_of(message)) {
        (Some(invited), Some(own)) => *invited != own,
        _ => false,
    };
    if core.policy.race_per_device && other_device {
        return false;
    }
    match (delivery, core.policy.race_window) {
        (Delivery::Invited { .. }, _) | (Delivery::Sending, RaceWindow::UntilDrained) => true,
        (Delivery::Sending, RaceWindow::UntilFinal) => false,
    }
}

/// The re-join takes the place of the invitation: one that has no answer yet is cancelled, and if
/// it is accepted all the same, its dialog is ended.
fn withdraw(core: &mut Core, now: Instant, group: GroupId) {
    let Phase::DrainPf(Delivery::Invited { call, cancelled }) = core[group].phase else { return };
    core.because(ONE_SESSION, "the invitation gives way to the re-join of another device");
    core.calls.remove(&call);
    if !cancelled {
        core.endpoint.cancel(now, call);
    }
    core.schedule.stop(Alarm::Ringing(group));
    core.give_up_offer(now, group);
    core[group].phase = Phase::Held;
}

#[cfg(test)]
mod tests {
    use crate::pf::headers::ELSEWHERE;
    use crate::pf::testing::{BOB, PHONE, SHOWN, TABLET, World};

    fn invited(knobs: &[(&str, &str)]) -> (World, crate::endpoint::TransactionId, crate::wire::sip::Message) {
        let mut world = World::with(knobs);
        let (focus, bob, _) = world.established();
        world.lose(&bob);
        world.subscribed();
        world.missed(&focus, &["one", "two"]);
        world.register(600_000, None);
        let (invite, _, message) = world.request(BOB, "INVITE");
        (world, invite, message)
    }

    #[test]
    fn a_rejoin_that_crosses_the_invitation_is_refused_and_the_invitation_goes_on() {
        let (mut world, invite, message) = invited(&[]);
        world.rejoin(SHOWN, PHONE);
        world.response(BOB, 491);
        world.answer(BOB, invite, 180);
        world.rejoin(SHOWN, TABLET);
        world.response(BOB, 491);
        world.pick_up(invite, &message, PHONE);
        world.delivered(&["one", "two"]);
        assert!(world.has_cited("DGC-1.4-02"));
    }

    #[test]
    fn the_window_is_open_until_everything_is_delivered() {
        let (mut world, invite, message) = invited(&[]);
        world.pick_up(invite, &message, PHONE);
        assert_eq!(world.read(BOB, 0), "one");
        world.rejoin(SHOWN, PHONE);
        world.response(BOB, 491);
        world.answer_last(BOB, 200);
        world.delivered(&["two"]);
        let (invite, media) = world.rejoin(SHOWN, PHONE);
        world.accepted_and_replaced(invite, media, ELSEWHERE);
    }

    #[test]
    fn the_policy_may_close_the_window_with_the_final_response() {
        let (mut world, invite, message) = invited(&[("race.window", "until-final")]);
        world.pick_up(invite, &message, PHONE);
        assert_eq!(world.read(BOB, 0), "one");
        let (invite, media) = world.rejoin(SHOWN, PHONE);
        world.accepted_and_replaced(invite, media, ELSEWHERE);
        world.delivered(&["one", "two"]);
    }

    #[test]
    fn the_policy_may_serve_another_device_in_place_of_the_invited_one() {
        let (mut world, invite, _) = invited(&[("race.per-device", "true")]);
        world.answer(BOB, invite, 180);
        let (rejoin, media) = world.rejoin(SHOWN, TABLET);
        assert!(matches!(world.event(BOB), Some(crate::endpoint::Event::Cancelled { .. })));
        world.answer(BOB, invite, 487);
        world.accepted(BOB, rejoin, media);
        world.delivered(&["one", "two"]);
    }

    #[test]
    fn once_the_invitation_has_failed_a_rejoin_is_served() {
        let (mut world, invite, _) = invited(&[]);
        world.rejoin(SHOWN, PHONE);
        world.response(BOB, 491);
        world.answer(BOB, invite, 480);
        let (rejoin, media) = world.rejoin(SHOWN, PHONE);
        world.accepted(BOB, rejoin, media);
        world.delivered(&["one", "two"]);
    }
}
