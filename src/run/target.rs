//! Against whom scenarios are run, and which of them a target rules out.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use crate::engine::Transport;
use crate::suite::scenario::{Act, Scenario, Step};

/// The tag of a scenario that only the simulator can play.
const SIMULATOR_ONLY: &str = "simulator-only";
/// The tag of a scenario with SDP of its own that offers MSRP without TLS.
const PLAIN_MEDIA: &str = "plain-media";
/// How long a scenario may take by waiting, on the clock on the wall; its own time goes faster, on
/// both sides of the wire.
const LONGEST_WAIT: Duration = Duration::from_secs(150);

/// Against whom scenarios are run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Target {
    /// The reference PF in the simulator, in virtual time.
    #[default]
    Reference,
    /// The reference PF as a process of its own on real sockets.
    Own(Transport),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "reference" => Self::Reference,
            "self:udp" => Self::Own(Transport::Udp),
            "self:tcp" => Self::Own(Transport::Tcp),
            "self:tls" => Self::Own(Transport::Tls),
            _ => return Err("targets are reference, self:udp, self:tcp and self:tls".to_owned()),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference => f.write_str("reference"),
            Self::Own(transport) => write!(f, "self:{}", transport.token().to_ascii_lowercase()),
        }
    }
}

impl Target {
    /// Whether time is virtual.
    pub const fn is_simulated(self) -> bool {
        match self {
            Self::Reference => true,
            Self::Own(_) => false,
        }
    }

    /// How many scenarios run at a time unless asked otherwise: on sockets most of the time is
    /// spent waiting.
    pub fn jobs(self) -> Option<NonZeroUsize> {
        match self {
            Self::Reference => None,
            Self::Own(_) => NonZeroUsize::new(12),
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
        if self == Self::Own(Transport::Tls) && scenario.tags.iter().any(|tag| tag == PLAIN_MEDIA) {
            return Some(format!("tag {PLAIN_MEDIA}: it offers MSRP without TLS in its own words"));
        }
        let needs = needs(&scenario.flow);
        if needs.restarts && policy.contains_key("store.commit-delay") {
            return Some("a death between two moments that only virtual time hits".to_owned());
        }
        let waits = needs.waits.div_f64(speed);
        (waits > LONGEST_WAIT).then(|| format!("waits {} s at {speed} times the speed", waits.as_secs()))
    }
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
