//! Against whom scenarios are run, and which of them a target rules out.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::foreign::Foreign;
use crate::engine::Transport;
use crate::judge::outcome::Omission;
use crate::suite::scenario::{Act, Scenario, Step};
pub use crate::suite::targets::BUILT_IN;
use crate::suite::targets::Pics;

/// The tag of a scenario that only the simulator can play.
const SIMULATOR_ONLY: &str = "simulator-only";
/// The tag of a scenario with SDP of its own that offers MSRP without TLS.
const PLAIN_MEDIA: &str = "plain-media";
/// How long a scenario may take by waiting, on the clock on the wall; its own time goes faster, on
/// both sides of the wire.
const LONGEST_WAIT: Duration = Duration::from_secs(150);

/// Against whom scenarios are run.
#[derive(Clone, Copy, Debug, Default)]
pub enum Target<'a> {
    /// The reference PF in the simulator, in virtual time.
    #[default]
    Reference,
    /// The reference PF as a process of its own on real sockets.
    Own(Transport),
    /// An implementation that is not ours.
    Foreign(&'a Foreign),
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference => f.write_str("reference"),
            Self::Own(transport) => write!(f, "self:{}", transport.token().to_ascii_lowercase()),
            Self::Foreign(foreign) => f.write_str(&foreign.target.name),
        }
    }
}

impl<'a> Target<'a> {
    /// The target of this name that needs no configuration.
    pub fn built_in(name: &str) -> Option<Self> {
        Some(match name {
            "reference" => Self::Reference,
            "self:udp" => Self::Own(Transport::Udp),
            "self:tcp" => Self::Own(Transport::Tcp),
            "self:tls" => Self::Own(Transport::Tls),
            _ => return None,
        })
    }

    /// The implementation that is not ours, if that is the target.
    pub const fn foreign(self) -> Option<&'a Foreign> {
        match self {
            Self::Foreign(foreign) => Some(foreign),
            Self::Reference | Self::Own(_) => None,
        }
    }

    /// What actors speak, where that is the target's to say.
    fn transport(self) -> Option<Transport> {
        match self {
            Self::Reference => None,
            Self::Own(transport) => Some(transport),
            Self::Foreign(foreign) => Some(foreign.transport()),
        }
    }

    /// Whether time is virtual.
    pub const fn is_simulated(self) -> bool {
        match self {
            Self::Reference => true,
            Self::Own(_) | Self::Foreign(_) => false,
        }
    }

    /// How many scenarios run at a time unless asked otherwise: on sockets most of the time is
    /// spent waiting.
    pub fn jobs(self) -> Option<NonZeroUsize> {
        match self {
            Self::Reference => None,
            Self::Own(_) => NonZeroUsize::new(12),
            Self::Foreign(_) => Some(NonZeroUsize::MIN),
        }
    }

    /// Why a scenario under these knobs cannot be played against the target at this speed; `None` if
    /// it can. But for the tag this follows from what its steps do.
    pub fn obstacle(self, scenario: &Scenario, policy: &BTreeMap<String, String>, speed: f64) -> Option<String> {
        if self.is_simulated() {
            return None;
        }
        if scenario.tags.iter().any(|tag| tag == SIMULATOR_ONLY) {
            return Some(format!("tag {SIMULATOR_ONLY}"));
        }
        if self.transport() == Some(Transport::Tls) && scenario.tags.iter().any(|tag| tag == PLAIN_MEDIA) {
            return Some(format!("tag {PLAIN_MEDIA}: it offers MSRP without TLS in its own words"));
        }
        let needs = needs(&scenario.flow);
        if needs.restarts && policy.contains_key("store.commit-delay") {
            return Some("a death between two moments that only virtual time hits".to_owned());
        }
        let foreign = self.foreign();
        if needs.restarts && foreign.is_some_and(|foreign| foreign.target.control.restart.is_empty()) {
            return Some("needs a restart of the PF, which the target does not offer".to_owned());
        }
        let waits = needs.waits.div_f64(speed);
        if waits > foreign.map_or(LONGEST_WAIT, |foreign| foreign.target.timers.longest_wait) {
            return Some(format!("waits {} s at {speed} times the speed", waits.as_secs()));
        }
        foreign.and_then(|foreign| foreign.shortage(scenario))
    }

    /// Why a variant is not for this target, and what kind of reason it is. What cannot be played at
    /// all goes before what is not claimed.
    pub(super) fn excuse(self, case: &Case<'_>) -> Option<(Omission, String)> {
        let kind = if self.foreign().is_some() { Omission::NotApplicable } else { Omission::Skipped };
        let lacks = || case.pics.and_then(|pics| pics.lacks(case.scenario)).map(|why| (Omission::Unsupported, why));
        let obstacle = || self.obstacle(case.scenario, case.turned, case.speed).map(|why| (kind, why));
        let offers_policy = self.foreign().is_some_and(|foreign| !foreign.target.control.policy.is_empty());
        let other = || if offers_policy { None } else { self.other_policy(case).map(|why| (Omission::NotApplicable, why)) };
        lacks().or_else(obstacle).or_else(other)
    }

    /// A knob that the variant turns otherwise than the target has it.
    fn other_policy(self, case: &Case<'_>) -> Option<String> {
        case.turned.iter().filter(|(name, _)| !ACTORS_KNOBS.contains(&name.as_str())).find_map(|(name, wanted)| {
            let stated = case.pics.and_then(|pics| pics.policies.get(name));
            let foreign = self.foreign()?;
            let spoken = foreign.transport().token().to_ascii_lowercase();
            let known = if name == "sip.transport" { Some(spoken.as_str()) } else { stated.map(String::as_str) };
            let known = known.or_else(|| case.usual.get(name).map(String::as_str));
            let has = known.or_else(|| crate::policy::knob(name).map(|knob| knob.default))?;
            (!crate::policy::same(has, wanted)).then(|| format!("needs the policy {name} = {wanted}, the target has {has}"))
        })
    }
}

/// Knobs of the actors that we play.
const ACTORS_KNOBS: [&str; 1] = ["client.rejoin-retry-after-491"];

/// A variant of a scenario, and by what it is held against a target.
#[derive(Clone, Copy)]
pub(super) struct Case<'c> {
    pub(super) scenario: &'c Scenario,
    /// The knobs that it turns.
    pub(super) turned: &'c BTreeMap<String, String>,
    /// What the suite says of knobs.
    pub(super) usual: &'c BTreeMap<String, String>,
    pub(super) pics: Option<&'c Pics>,
    pub(super) speed: f64,
}

/// Whether steps kill the IUT.
pub(super) fn restarts(steps: &[Step]) -> bool {
    needs(steps).restarts
}

/// What steps need from the world.
#[derive(Default)]
struct Needs {
    restarts: bool,
    waits: Duration,
}

impl Needs {
    fn and(self, other: Self) -> Self {
        Self { restarts: self.restarts || other.restarts, waits: self.waits + other.waits }
    }
}

fn needs(steps: &[Step]) -> Needs {
    steps.iter().fold(Needs::default(), |all, step| all.and(needs_of(&step.act)))
}

fn needs_of(act: &Act) -> Needs {
    let waits = |waits| Needs { waits, ..Needs::default() };
    match act {
        Act::Send(sending) => waits(sending.after),
        Act::Expect(expectation) => waits(expectation.within.unwrap_or_default()),
        Act::Wait(span) | Act::NeverFor(_, span) => waits(*span),
        Act::Restart(_) => Needs { restarts: true, ..Needs::default() },
        Act::AnyOrder(runs) | Act::Repeat(runs) => runs.iter().fold(Needs::default(), |all, run| all.and(needs(run))),
        Act::InOrder(steps) | Act::Optional(steps) | Act::Block(steps) => needs(steps),
        Act::Either(branches) => branches.iter().fold(Needs::default(), |all, branch| all.and(needs(&branch.steps))),
        Act::When(_, yes, no) => needs(yes).and(needs(no)),
        Act::Race(lanes) => lanes.iter().fold(Needs::default(), |all, (_, lane)| all.and(needs(lane))),
        Act::Never(_)
        | Act::Ignore(_)
        | Act::Disconnect(_)
        | Act::Link { .. }
        | Act::Partition(..)
        | Act::Heal(..)
        | Act::Clock(_) => Needs::default(),
    }
}
