//! 8.3.2.9.1.1: the PF delivers what original senders have written to an absent user.
//!
//! One sendonly session for each original sender, one after the other in the order of the policy
//! (T-P01). How such a session runs is in [`delivery`]; here is what its INVITE says, and what
//! becomes of the other senders when it ends.
//!
//! ```text
//! trigger                     senders with stored messages -> waiting, in order
//! waiting, none delivering    the next one: INVITE V3
//! complete, left, refused     the next one
//! 480, stop list, loss        nobody waits any more, until the next trigger
//! ```

use crate::clause::Clause;
use crate::pf::core::Core;
use crate::pf::headers::{self, Deferring};
use crate::pf::leg::SESSION_EXPIRES;
use crate::pf::one_to_one::delivery::{self, Ending, Recipe};
use crate::pf::one_to_one::session::{self, Phase};
use crate::pf::one_to_one::{Place, SenderId, SessionId, Shelf};
use crate::pf::policy::{FirstMessage, SenderOrder};
use crate::pf::procedures::deferred_handling::Departure;
use crate::pf::schedule::Alarm;
use crate::pf::state::{Registration, UserId, address_key};
use crate::time::Instant;

const PER_SENDER: Clause = Clause::of("DGC-1.1-01");
const ORDER: Clause = Clause::of("DGC-1.1-02");
const INVITES: Clause = Clause::of("DGC-1.1-03");
const RECIPIENT: Clause = Clause::of("DGC-1.1-04");
const PF_IDENTITY: Clause = Clause::of("DGC-1.1-05");
const ORIGINAL_SENDER: Clause = Clause::of("DGC-1.1-06");
const ORIGINAL_OFFER: Clause = Clause::of("DGC-1.1-07");
const SENDONLY: Clause = Clause::of("DGC-1.1-08");
const CARRIES: Clause = Clause::of("DGC-1.1-09");
const THROUGH_THE_CORE: Clause = Clause::of("DGC-1.1-10");
const RESPONSES: Clause = Clause::of("DGC-1.1-11");
const ACK_FIRST: Clause = Clause::of("DGC-1.1-12");
const SESSION_TIMER: Clause = Clause::of("DGC-1.1-13");
const ALL_OF_THE_SENDER: Clause = Clause::of("DGC-1.1-14");
const STOPS: Clause = Clause::of("DGC-1.1-18");
const STOPS_BY_POLICY: Clause = Clause::of("DGC-1.1-19");
/// NOTE 2: the newer of two answered sessions stays.
pub(in crate::pf) const SECOND_ANSWER: Clause = Clause::of("DGC-1.1-17");

/// The user is available: every sender with stored messages is served.
pub(in crate::pf) fn trigger(core: &mut Core, now: Instant, user: UserId) {
    let Some(turn) = core.one.turns.get(&user) else { return };
    let mut waiting: Vec<SenderId> = turn.senders.clone();
    waiting.retain(|sender| is_due(core, *sender));
    arrange(core, &mut waiting);
    for sender in &waiting {
        core.one[*sender].attempts = 0;
        core.one[*sender].follows = false;
        core.schedule.stop(Alarm::RetrySender(*sender));
    }
    if let Some(turn) = core.one.turns.get_mut(&user) {
        turn.waiting = waiting.into();
    }
    next(core, now, user);
}

fn is_due(core: &Core, sender: SenderId) -> bool {
    !core.one[sender].deferred.is_empty() && !core.one.deliveries.contains_key(&Shelf::Sender(sender))
}

/// The order of the senders; where it is open they come by arrival of their oldest message.
fn arrange(core: &mut Core, senders: &mut [SenderId]) {
    senders.sort_by_key(|sender| core.one[*sender].deferred.oldest());
    match &core.policy.sender_order {
        SenderOrder::Arrival => {}
        SenderOrder::DateTime => senders.sort_by_key(|sender| core.one[*sender].deferred.first().map(|item| item.date)),
        SenderOrder::List(list) => {
            let keys: Vec<String> = list.iter().map(|address| address_key(address)).collect();
            let rank = |sender: &SenderId| {
                let own = address_key(&core.one[*sender].address);
                keys.iter().position(|key| *key == own).unwrap_or(keys.len())
            };
            senders.sort_by_key(rank);
        }
    }
    if senders.len() > 1 {
        core.because(ORDER, "the policy decides which sender comes first");
    }
}

/// Serves the next sender of a user, one at a time.
fn next(core: &mut Core, now: Instant, user: UserId) {
    loop {
        let Some(turn) = core.one.turns.get_mut(&user) else { return };
        if turn.delivering.is_some() {
            return;
        }
        let Some(sender) = turn.waiting.pop_front() else { return };
        if is_due(core, sender) {
            return deliver(core, now, sender);
        }
    }
}

/// Items 1 to 7: the INVITE of one sender's session.
fn deliver(core: &mut Core, now: Instant, sender: SenderId) {
    let user = core.one[sender].user;
    if let Some(turn) = core.one.turns.get_mut(&user) {
        turn.delivering = Some(sender);
    }
    core.because(PER_SENDER, "each original sender has a session of its own");
    core.because(INVITES, "the PF initiates a 1-1 session");
    core.because(RECIPIENT, "the Request-URI is the user, not a device");
    core.because(PF_IDENTITY, "the PF asserts its own identity");
    core.because(ORIGINAL_SENDER, "Referred-By names the original sender");
    core.because(ORIGINAL_OFFER, "the offer has the content attributes of the original one");
    core.because(SENDONLY, "the session is for delivery alone");
    let recipe = recipe(core, sender);
    if recipe.carried.is_some() {
        core.because(CARRIES, "the INVITE carries the first message");
    }
    core.because(THROUGH_THE_CORE, "the INVITE goes by the S-CSCF of the user");
    delivery::open(core, now, Shelf::Sender(sender), recipe);
}

fn recipe(core: &Core, sender: SenderId) -> Recipe {
    let own = &core.one[sender];
    let user = &core.users[own.user];
    let first = own.deferred.first_durable();
    let hidden = own.private && core.policy.honour_privacy;
    let referred_by = if hidden { headers::ANONYMOUS } else { &own.address };
    let invite = headers::deferred_invite(&Deferring {
        target: &user.uri,
        route: &user.route,
        identity: &core.config.identity,
        from: if core.policy.from_sender { referred_by } else { &core.config.identity },
        referred_by,
        contact: &core.address(),
        identifiers: first.map(|(_, item)| item.identifiers.as_slice()).unwrap_or_default(),
        interval: SESSION_EXPIRES,
    });
    let carried = first.map(|(number, _)| number).filter(|_| core.policy.first_message != FirstMessage::MsrpOnly);
    let template = if own.sdp.is_empty() { core.default_sdp() } else { own.sdp.clone() };
    Recipe { invite, template, carried }
}

/// Item 8.a: the Client accepted.
pub(in crate::pf) fn on_accepted(core: &mut Core, now: Instant, sender: SenderId) {
    core.because(RESPONSES, "the response is handled as the base protocol says");
    core.because(ACK_FIRST, "the ACK goes before any message");
    core.because(SESSION_TIMER, "the session timer runs with the value of the 200");
    core.because(ALL_OF_THE_SENDER, "every message of this sender follows, none of another");
    core.one[sender].attempts = 0;
    supersede(core, now, sender, None);
}

/// NOTE 2: a session of this sender with the user was answered, so any earlier one ends.
pub(in crate::pf) fn supersede(core: &mut Core, now: Instant, sender: SenderId, newer: Option<SessionId>) {
    let earlier: Vec<SessionId> = core.one.sessions.iter().filter(|(id, own)| {
        own.sender == sender && own.phase == Phase::Live && Some(**id) != newer
    }).map(|(id, _)| *id).collect();
    for id in earlier {
        core.because(SECOND_ANSWER, "a newer session of the same two was answered");
        session::replace(core, now, id);
    }
    if newer.is_some() {
        delivery::replace(core, now, Shelf::Sender(sender));
    }
}

/// A delivery session is over, well or not.
pub(in crate::pf) fn on_over(core: &mut Core, now: Instant, sender: SenderId, ending: Ending) {
    let user = core.one[sender].user;
    let stop = match ending {
        Ending::Complete => {
            core.one[sender].follows = true;
            false
        }
        Ending::Refused { status: 480, .. } => {
            core.because(STOPS, "nothing is delivered from any sender until the next trigger");
            true
        }
        Ending::Refused { status, .. } if core.policy.stop_codes.contains(&u64::from(status)) => {
            core.because(STOPS_BY_POLICY, "the policy ends the delivery on this error too");
            true
        }
        Ending::Refused { status: 487, .. } | Ending::Lost | Ending::Left(Departure::Lost) => true,
        Ending::Refused { .. } | Ending::Left(_) | Ending::Replaced => false,
    };
    if let Ending::Refused { status, retry_after } = ending {
        plan_retry(core, now, sender, status, retry_after.unwrap_or_default());
    }
    let Some(turn) = core.one.turns.get_mut(&user) else { return };
    if turn.delivering == Some(sender) {
        turn.delivering = None;
    }
    if stop {
        turn.waiting.clear();
    }
    next(core, now, user);
    follow(core, now, sender);
}

/// After an error other than 603 the policy may invite again by itself (AMB-04).
fn plan_retry(core: &mut Core, now: Instant, sender: SenderId, status: u16, retry_after: std::time::Duration) {
    core.one[sender].attempts += 1;
    if !matches!(status, 487 | 603) && core.one[sender].attempts <= core.policy.retry_count {
        core.schedule.set(Alarm::RetrySender(sender), now + core.policy.retry_interval.max(retry_after));
    }
}

/// The interval between two attempts is over.
pub(in crate::pf) fn retry(core: &mut Core, now: Instant, sender: SenderId) {
    let user = core.one[sender].user;
    if !is_due(core, sender) || core.users[user].registration == Registration::Gone {
        return;
    }
    core.note("the policy invites again");
    if let Some(turn) = core.one.turns.get_mut(&user) {
        turn.waiting.push_back(sender);
    }
    next(core, now, user);
}

/// A message came after everything before it was delivered: if the user is still there it follows.
pub(in crate::pf) fn follow(core: &mut Core, now: Instant, sender: SenderId) {
    let user = core.one[sender].user;
    let present = matches!(core.users[user].registration, Registration::Until(end) if end > now);
    if present && core.one[sender].follows && is_due(core, sender) && core.one[sender].deferred.first_durable().is_some() {
        core.one[sender].follows = false;
        if let Some(turn) = core.one.turns.get_mut(&user) {
            turn.waiting.push_back(sender);
        }
        next(core, now, user);
    }
}

/// The user is gone: what is under way is withdrawn, what is stored is kept (AMB-45).
pub(in crate::pf) fn on_deregistered(core: &mut Core, now: Instant, user: UserId) {
    let Some(turn) = core.one.turns.get_mut(&user) else { return };
    turn.waiting.clear();
    let (delivering, senders) = (turn.delivering, turn.senders.clone());
    for sender in &senders {
        core.one[*sender].follows = false;
        core.schedule.stop(Alarm::RetrySender(*sender));
    }
    if let Some(sender) = delivering {
        delivery::interrupt(core, now, Shelf::Sender(sender));
    }
    let live: Vec<SessionId> = core.one.sessions.iter().filter(|(_, own)| own.phase == Phase::Live && senders.contains(&own.sender)).map(|(id, _)| *id).collect();
    for id in live {
        crate::pf::one_to_one::legs::on_silence(
            core,
            now,
            Place::Session(id, crate::pf::one_to_one::End::Terminating),
            "the user was de-registered",
        );
    }
}
