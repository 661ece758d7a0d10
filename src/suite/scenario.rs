//! A scenario after reading: names resolved, fragments put in place, mistakes excluded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::catalogue::Level;
use crate::pattern::ast::{Condition, End, Pattern, Place, Role};

/// One scenario of the suite.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The path below the suite without extension, `group/missed-messages`.
    pub id: String,
    /// What it shows, one sentence.
    pub title: String,
    /// The requirements that it claims to show.
    pub requirements: Vec<String>,
    /// For selection.
    pub tags: Vec<String>,
    /// The role under test.
    pub iut: Role,
    /// Everyone but the IUT, in the order of declaration.
    pub actors: Vec<Actor>,
    /// The policy of each variant, at least one; the first is the one whose snapshot has no suffix.
    pub variants: Vec<Variant>,
    /// PICS names that the IUT must claim.
    pub needs: Vec<String>,
    /// The positive twin of a scenario that expects a refusal.
    pub control: Option<String>,
    /// Messages that explain themselves everywhere.
    pub ignore: Vec<Pattern>,
    /// How long the actors go on after the last step; `None`: 64 T1.
    pub settle: Option<Duration>,
    /// Runs but does not gate.
    pub draft: bool,
    /// What happens.
    pub flow: Vec<Step>,
    /// How many steps the flow has, nested ones included: step numbers run below it.
    pub steps: u32,
    /// The files that it was read from, itself first.
    pub files: Vec<u32>,
}

/// A named policy set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Variant {
    /// Its name; empty for the only or first one.
    pub name: String,
    /// The knobs that differ from the suite's defaults, by name, values as written.
    pub policy: BTreeMap<String, String>,
}

/// A declared actor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    /// Its name.
    pub name: Arc<str>,
    /// Its role.
    pub role: Role,
    /// Its devices; empty: one without a name.
    pub devices: Vec<Arc<str>>,
    /// Whether the reference actor acts for it, unscripted.
    pub reference: bool,
    /// Whether it refreshes its sessions by itself when that is its part.
    pub refreshes: bool,
    /// Whether it opens an MSRP connection that is its to open with its answer, before the ACK.
    pub connects_early: bool,
}

/// One step or block.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its number in the text, fragments expanded; stable for one scenario.
    pub number: u32,
    /// What it does.
    pub act: Act,
    /// Where it was written; in a fragment, the place there.
    pub place: Place,
    /// The `use` steps through which it came, outermost first.
    pub via: Vec<Place>,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Act {
    /// A scripted actor sends.
    Send(Box<Sending>),
    /// A message of the IUT or of a reference actor is awaited.
    Expect(Box<Expectation>),
    /// Time passes.
    Wait(Duration),
    /// From here to the end of the enclosing block none of these comes.
    Never(Vec<Pattern>),
    /// None of these comes for this long; the time passes.
    NeverFor(Vec<Pattern>, Duration),
    /// Messages that explain themselves from here to the end of the enclosing block.
    Ignore(Vec<Pattern>),
    /// Each element is a run of expectations; the runs are free among each other.
    AnyOrder(Vec<Vec<Step>>),
    /// Expectations in this order across ends and connections.
    InOrder(Vec<Step>),
    /// Branches of which the first message decides.
    Either(Vec<Branch>),
    /// A branch that may be left out; the first message decides.
    Optional(Vec<Step>),
    /// A list of values, one run each; `${variable}` is already put in.
    Repeat(Vec<Vec<Step>>),
    /// A condition decides when the run starts.
    When(Condition, Vec<Step>, Vec<Step>),
    /// Interleavings of sending steps.
    Race(Vec<(String, Vec<Step>)>),
    /// A group of steps that ends a scope of `never` and `ignore`: an expanded fragment.
    Block(Vec<Step>),
    /// TCP reset of an actor's connections, without BYE.
    Disconnect(End),
    /// Quality of a link, both ways.
    Link {
        /// One end.
        from: End,
        /// The other.
        to: End,
        /// What it does to traffic.
        quality: Quality,
    },
    /// Nothing passes between the two.
    Partition(End, End),
    /// All passes again.
    Heal(End, End),
    /// The process dies and starts again: memory gone, store kept.
    Restart(End),
    /// The wall clock jumps, timers do not.
    Clock(Duration),
}

/// A branch of `either`.
#[derive(Clone, Debug)]
pub struct Branch {
    /// What taking it counts as; SHALL is full conformance.
    pub level: Level,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// What a link does to traffic. Probabilities are between 0 and 1.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Quality {
    /// Share of datagrams that are lost.
    pub loss: f64,
    /// Time on the way; `None`: the suite's.
    pub delay: Option<Duration>,
    /// Share of datagrams that are overtaken.
    pub reorder: f64,
    /// Share of datagrams that arrive twice.
    pub duplicate: f64,
}

/// A sending step.
#[derive(Clone, Debug)]
pub struct Sending {
    /// Sender, receiver, kind, and the keys as the content.
    pub pattern: Pattern,
    /// The name of the message.
    pub id: Option<String>,
    /// The dialog that the named message opened.
    pub dialog: Option<String>,
    /// Number of the step whose request opened the dialog that this message belongs to, written
    /// (`in`) or found (the latest open one between the ends); `None`: it opens its own, or lives
    /// outside dialogs.
    pub opened_by: Option<u32>,
    /// Number of the step whose request this response answers.
    pub answers: Option<u32>,
    /// Delay before sending.
    pub after: Duration,
    /// Exact bytes in place of a made message.
    pub raw: Option<String>,
    /// MSRP chunking.
    pub chunk_size: Option<usize>,
}

/// An expecting step.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// What must come.
    pub pattern: Pattern,
    /// The name of the message.
    pub id: Option<String>,
    /// The dialog that the named message opened.
    pub dialog: Option<String>,
    /// As in [`Sending::opened_by`].
    pub opened_by: Option<u32>,
    /// Number of the step whose request the response answers.
    pub answers: Option<u32>,
    /// `unanswered: true`: nobody answers this request, not even automatically.
    pub unanswered: bool,
    /// Number of the later step that answers this request; `None`: it is answered automatically.
    pub answered_by: Option<u32>,
    /// Latest arrival since the previous step on this path; `None`: the suite's default.
    pub within: Option<Duration>,
    /// Values to keep: variable and path.
    pub save: Vec<(String, crate::pattern::ast::Path)>,
    /// What a miss counts as.
    pub level: Level,
    /// The requirement that a miss names.
    pub because: Option<String>,
}

/// The suite's defaults.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// Title of the suite.
    pub title: String,
    /// The specification and its edition.
    pub spec: String,
    /// Latest arrival of an expected message.
    pub within: Duration,
    /// Time on the way between two nodes.
    pub delay: Duration,
    /// The seed of the snapshots.
    pub seed: u64,
    /// The identity of the PF, which patterns call `pf`.
    pub pf: String,
    /// Everyone who has a name.
    pub identities: BTreeMap<String, Identity>,
    /// Groups by name.
    pub groups: BTreeMap<String, Group>,
    /// Knobs that differ from the reference's own defaults.
    pub policy: BTreeMap<String, String>,
}

/// Someone with a CPM Address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// The address, `sip:+15145550102@home1.example`.
    pub uri: String,
    /// Further addresses of the same user.
    pub aliases: Vec<String>,
    /// The display name.
    pub display: Option<String>,
    /// Instance by device name; the empty name is the only device.
    pub devices: BTreeMap<String, String>,
}

/// A group session.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Group {
    /// The focus URI.
    pub focus: String,
    /// Conversation-ID.
    pub conversation_id: String,
    /// Contribution-ID.
    pub contribution_id: String,
    /// Subject.
    pub subject: String,
    /// Names of the members.
    pub members: Vec<String>,
}
