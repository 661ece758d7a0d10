//! 8.3.2.9.1.4: a re-join arrives when the PF has already sent its own INVITE.
//!
//! For an active group only one session with the user goes on, the one that the PF began: the
//! re-join is refused. How long the window is open, and whether another device of the user falls
//! under it, is policy (AMB-41, AMB-44).

use crate::clause::Clause;
use crate::endpoint::TransactionId;
use crate::pf::core::Core;
use crate::pf::headers;
use crate::pf::policy::RaceWindow;
use crate::pf::schedule::Alarm;
use crate::pf::state::{Delivery, GroupId, Phase};
use crate::time::Instant;
use crate::wire::sip::Message;

const ONE_SESSION: Clause = Clause::of("DGC-1.4-01");
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
