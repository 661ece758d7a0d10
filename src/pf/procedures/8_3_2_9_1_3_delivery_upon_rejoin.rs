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
use crate::pf::media;
use crate::pf::procedures::group_delivery;
use crate::pf::schedule::Alarm;
use crate::pf::state::{GroupId, Phase, Side};
use crate::time::Instant;
use crate::wire::sip::Message;

const NO_INVITATION: Clause = Clause::of("DGC-9-07");
const REJOIN_HANDLED: Clause = Clause::of("DGC-1.3-02");
const JOINED: Clause = Clause::of("DGC-1.3-09");

/// Serves a re-join from the focus leg.
pub(in crate::pf) fn start(core: &mut Core, now: Instant, group: GroupId, asked: TransactionId, message: &Message) {
    if core[group].focus_leg.is_none() {
        // The focus has gone, and the rest is still on its way to the Client (AMB-29).
        return core.reply(now, asked, 491);
    }
    if headers::sdp_of(message).is_some_and(|offer| media::read(&offer).is_none()) {
        return core.because(REJOIN_HANDLED, "the re-join offers no medium that could be used").reply(now, asked, 488);
    }
    core.schedule.stop(Alarm::Retry(group));
    let old = core.detach(now, group, Side::Client);
    core.because(NO_INVITATION, "the session of the re-join serves the deferred delivery too");
    core.because(JOINED, "the re-join is answered from the focus leg");
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
    core[group].phase = if accepted { Phase::DrainRj } else { Phase::Held };
    group_delivery::on_over(core, now, group, false);
}
