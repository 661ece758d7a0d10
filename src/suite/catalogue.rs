//! The catalogue: every requirement with its rule and the ways in which a PF could break it.

use super::fingerprint::Fingerprint;
use crate::pattern::ast::{AnyOf, Condition, Key, Path, Pattern, Place, Span};

/// How strongly a requirement binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// Optional.
    May,
    /// Normative content inside a note; judged as a SHOULD and counted apart.
    Note,
    /// Recommended.
    Should,
    /// Mandatory.
    Shall,
}

/// Why a requirement has no rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Exemption {
    /// Nothing on the wire tells.
    Untestable(String),
    /// Another requirement or invariant implies it.
    Implicit(String),
    /// It speaks to editors.
    Editorial(String),
    /// Not written yet, and why.
    Todo(String),
}

/// One requirement.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// The frozen identifier, `DGC-1.2-07`.
    pub id: String,
    /// The clause number, for display and selection.
    pub clause: String,
    /// Its level.
    pub level: Level,
    /// Who must do it.
    pub actor: String,
    /// What it demands, in our words.
    pub summary: String,
    /// Its rules: none violated, one satisfied.
    pub rules: Vec<Rule>,
    /// The ways to break it.
    pub tamper: Vec<Tamper>,
    /// Why there is no rule.
    pub exemption: Option<Exemption>,
    /// What is kept of the sentences that it comes from, and where each stands in the catalogue.
    pub fingerprints: Vec<(Fingerprint, Place)>,
    /// Where it stands in the catalogue.
    pub place: Place,
}

/// By what a rule is instantiated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Per {
    /// The whole trace.
    Trace,
    /// The served user.
    User,
    /// A device of the user.
    Device,
    /// The CPM Group Session.
    Group,
    /// All sessions that are no group's: what belongs to a group is not looked at.
    OneToOne,
    /// The SIP dialog.
    Dialog,
    /// The SIP transaction.
    Transaction,
    /// The subscription.
    Subscription,
    /// The MSRP session.
    MsrpSession,
    /// The chat message (`imdn.Message-ID`).
    Message,
}

/// A temporal rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The correlation key; an instance per value.
    pub per: Vec<Per>,
    /// When false the rule is not triggered.
    pub condition: Option<Condition>,
    /// The scope, reopened each time.
    pub scope: Option<Scope>,
    /// What starts an instance; `None`: the scope itself does.
    pub when: Option<Trigger>,
    /// What is owed.
    pub duty: Duty,
    /// What ends the obligation without verdict.
    pub unless: Option<AnyOf>,
    /// Where it was written.
    pub place: Place,
}

/// `while: { after, until, for }`.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Opens the scope; `None`: open from the start.
    pub after: Option<AnyOf>,
    /// Closes it; `None`: nothing that comes does.
    pub until: Option<AnyOf>,
    /// `for`: how long after what opened it last it closes at the latest.
    pub span: Option<Span>,
}

/// What triggers a rule.
#[derive(Clone, Debug)]
pub enum Trigger {
    /// One of these.
    Any(AnyOf),
    /// These in order; the last triggers each time it comes.
    Chain(Vec<AnyOf>),
    /// These in any order; the one that completes them triggers.
    All(Vec<AnyOf>),
}

/// What a rule demands once it is triggered. Several may stand together.
#[derive(Clone, Debug, Default)]
pub struct Duty {
    /// `must`: the triggering message fits these keys too.
    pub must: Vec<Key>,
    /// `then`: these follow, in order.
    pub then: Vec<AnyOf>,
    /// `within`: no later than this after the trigger.
    pub within: Option<Span>,
    /// `before`: `then` comes before this.
    pub before: Option<AnyOf>,
    /// `needs`: this came before the trigger.
    pub needs: Option<AnyOf>,
    /// `never`: none of these comes.
    pub never: Option<AnyOf>,
    /// `until`: how long `never` holds.
    pub until: Option<AnyOf>,
    /// `count`.
    pub count: Option<Count>,
    /// `relay`.
    pub relay: Option<Relay>,
    /// `seen`: for a MAY, satisfied when it occurs.
    pub seen: Option<AnyOf>,
}

/// `count: { of, at-least, at-most }`.
#[derive(Clone, Debug)]
pub struct Count {
    /// What is counted.
    pub of: AnyOf,
    /// The lower bound.
    pub at_least: Option<u32>,
    /// The upper bound.
    pub at_most: Option<u32>,
}

/// `relay: { from, to, key, order, times, within }`.
#[derive(Clone, Debug)]
pub struct Relay {
    /// What goes in.
    pub from: AnyOf,
    /// What comes out.
    pub to: AnyOf,
    /// By which value they are paired.
    pub key: Path,
    /// Whether the order is kept (`order: same`).
    pub ordered: bool,
    /// How often each comes out; `None`: at least once.
    pub times: Option<u32>,
    /// No longer than this from the end of the scope, or from one `to` to the next that is owed.
    pub within: Option<Span>,
}

/// One way to break a requirement: what the link does to what the IUT sent.
#[derive(Clone, Debug)]
pub struct Tamper {
    /// Its name.
    pub name: String,
    /// Which message it meets.
    pub at: TamperPoint,
    /// Which one of them, from 1.
    pub nth: u32,
    /// What is done.
    pub act: TamperAct,
    /// Where it was written.
    pub place: Place,
}

/// Where a tamper case bites.
#[derive(Clone, Debug)]
pub enum TamperPoint {
    /// `on: P`: this message itself.
    On(Pattern),
    /// `after: P`: right after it.
    After(Pattern),
}

/// What a tamper case does.
#[derive(Clone, Debug)]
pub enum TamperAct {
    /// The message does not arrive, its retransmissions neither.
    Drop,
    /// It arrives twice.
    Duplicate,
    /// It arrives later.
    Delay(std::time::Duration),
    /// It arrives with these values.
    Change(Vec<Key>),
    /// It changes places with the next message of this kind.
    SwapWith(Pattern),
    /// A message of this kind is added.
    Inject(Pattern),
}

/// All requirements of a suite, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// The requirements.
    pub requirements: Vec<Requirement>,
    /// The readings of places that can be read two ways.
    pub readings: Vec<Reading>,
}

impl Catalogue {
    /// The requirement of an identifier.
    pub fn get(&self, id: &str) -> Option<&Requirement> {
        self.requirements.iter().find(|requirement| requirement.id == id)
    }

    /// The readings that decide what a requirement means.
    pub fn readings_of(&self, id: &str) -> impl Iterator<Item = &Reading> {
        self.readings.iter().filter(move |reading| reading.requirements.iter().any(|known| known == id))
    }
}

/// An ambiguity of the text: how we read it, and how it could be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// The frozen identifier, `AMB-18`.
    pub id: String,
    /// Where in the text.
    pub clause: String,
    /// The requirements whose meaning it decides.
    pub requirements: Vec<String>,
    /// What can be read two ways.
    pub question: String,
    /// Our reading.
    pub ours: String,
    /// The other one.
    pub other: String,
    /// The policy knob that switches between them.
    pub knob: Option<String>,
    /// The scenarios that tell them apart.
    pub scenarios: Vec<String>,
    /// Why no trace can tell them apart.
    pub untold: Option<String>,
    /// Where it stands.
    pub place: Place,
}
