//! Expectations: what the steps of a scenario demand of the trace, event by event.
//!
//! A [`Script`] knows the flow and the trace and nothing else: whoever plays the scenario shows it
//! every event, carries out the [`Action`]s that are due, and is told which requests the script
//! answers itself. It works the same on virtual and on real time.
//!
//! A message of the IUT has to be explained by a step, by `ignore`, or by this list of what the
//! base protocols cause without being asked:
//!
//! - repetitions, and 100;
//! - an ACK;
//! - a response to a request that no step sent;
//! - an in-dialog UPDATE without content, and an in-dialog SUBSCRIBE that refreshes;
//! - an MSRP SEND without content, the chunks of a message before its last, and an MSRP 200;
//! - the end of a connection;
//! - everything between the IUT and a reference actor;
//! - everything after the last step, and after the first step that failed.

mod misses;
mod program;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::outcome::Miss;
use super::verdict::Finding;
use crate::pattern::ast::{Answers, Condition, End, Path, Pattern, What};
use crate::pattern::{Env, Matcher, Names, View, read};
use crate::suite::catalogue::Level;
use crate::suite::scenario::{Act, Expectation, Scenario, Sending, Step};
use crate::time::Instant;
use crate::trace::correlate::{Facts, Symbol};
use crate::trace::event::{Content, Event, Kind, Party};
use crate::wire::sip::Method;

pub use misses::headline;
use program::{Guard, Op, Program, Setting, Task};

/// How long a message of ours may be on its way before it counts as lost on it.
const GRACE: Duration = Duration::from_secs(2);

/// What a run decides about a script.
pub struct Terms<'a> {
    /// Policy and PICS.
    pub holds: &'a dyn Fn(&Condition) -> bool,
    /// The seed of interleavings.
    pub seed: u64,
    /// The latest arrival of an expected message where the step does not say.
    pub within: Duration,
    /// `--timeout-scale`.
    pub scale: f64,
    /// Who has a name.
    pub names: Names,
    /// The actor under test.
    pub iut: Party,
}

/// Something that the player has to do now.
#[derive(Clone, Copy, Debug)]
pub enum Action<'s> {
    /// Send for a scripted actor; [`Script::sent`] when it is done.
    Send(&'s Step, &'s Sending),
    /// Change the world.
    Fault(&'s Act),
}

/// What an event was to the script.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// A step; the flag says that a later step answers this request.
    Step {
        /// Its number.
        step: u32,
        /// Whether the script answers it itself.
        answered_by_script: bool,
    },
    /// What `ignore` excuses, or the list above.
    Excused,
    /// Nothing that a script looks at.
    Aside,
    /// It fails the run.
    Miss,
}

/// Where an operation stands.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Mark {
    /// Something above it is not settled.
    Waiting,
    /// An expectation that can be met.
    Open(Instant),
    /// A wait or a delayed send.
    Until(Instant),
    /// An action that the player was given, or is about to be.
    Due,
    /// A message of ours on its way.
    Sent(Instant),
    /// Over; of a message its event.
    Done(Option<u32>),
    /// In a branch that was not taken.
    Dropped,
}

/// Patterns that hold for a while.
struct Standing<'s> {
    op: usize,
    step: &'s Step,
    patterns: &'s [Pattern],
    matchers: Vec<Matcher>,
    forbids: bool,
}

/// A message that a step named, and the dialogs that steps opened.
#[derive(Debug)]
struct Kept {
    content: Content,
    whole: Option<Bytes>,
    dialog: Option<Symbol>,
    event: u32,
    answers: Option<u32>,
}

#[derive(Clone, Debug)]
struct Opened {
    op: usize,
    peer: Party,
    dialog: Symbol,
    subscription: bool,
    ended: bool,
}

/// A flow on its way.
pub struct Script<'s> {
    scenario: &'s Scenario,
    program: Program<'s>,
    matchers: Vec<OnceCell<Matcher>>,
    marks: Vec<Mark>,
    decided: Vec<Option<usize>>,
    open: BTreeSet<usize>,
    timed: BTreeSet<usize>,
    actions: VecDeque<usize>,
    standing: Vec<Standing<'s>>,
    ignored: Vec<Matcher>,
    due: usize,
    settled_at: Vec<Instant>,
    scene: Scene,
    steps: BTreeMap<u32, u32>,
    opened: Vec<Opened>,
    within: Duration,
    scale: f64,
    iut: Party,
    failed: bool,
    misses: Vec<Miss>,
    findings: Vec<Finding>,
    excused: Vec<u32>,
    /// What the base protocols made an actor send unasked, for steps that say so later.
    unasked: Vec<(Event, Facts)>,
}

/// What patterns are matched and filled with: names, saved values, messages that steps named.
#[derive(Debug, Default)]
pub struct Scene {
    names: Names,
    variables: BTreeMap<String, String>,
    kept: BTreeMap<String, Kept>,
}

impl Env for Scene {
    fn names(&self) -> &Names {
        &self.names
    }

    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some(value) = self.variables.get(name) {
            return Some(Cow::Borrowed(value.as_str()));
        }
        // `x.path` reads from the message that a step named `x`; names hold dots themselves.
        let named = name.rmatch_indices('.').find_map(|(dot, _)| {
            let path = Path::parse(&name[dot + 1..]).ok()?;
            self.kept.contains_key(&name[..dot]).then(|| self.values_of(&name[..dot], &path))?
        });
        let named = named.and_then(|values| values.into_iter().next()).map(Cow::Owned);
        named.or_else(|| self.names.instance(name).map(Cow::Borrowed))
    }

    fn values_of(&self, id: &str, path: &Path) -> Option<Vec<String>> {
        let kept = self.kept.get(id)?;
        let whole = kept.whole.clone();
        Some(view_of(&kept.content, whole).map_or_else(Vec::new, |view| read(&view, path)))
    }
}

/// A message as patterns see it.
pub fn view_of(content: &Content, whole: Option<Bytes>) -> Option<View<'_>> {
    match content {
        Content::Sip(message) => Some(View::sip(message)),
        Content::Msrp(chunk) => Some(View::msrp(chunk, whole)),
        Content::Broken { .. } => None,
    }
}

/// One event as steps look at it.
struct Seen<'e> {
    event: &'e Event,
    facts: &'e Facts,
    view: Option<View<'e>>,
    now: Instant,
}

impl<'s> Script<'s> {
    /// The flow of `scenario`, ready to begin.
    pub fn new(scenario: &'s Scenario, terms: Terms<'_>) -> Self {
        let program = Program::of(scenario, &Setting { holds: terms.holds, seed: terms.seed });
        let size = program.ops.len();
        Self {
            scenario,
            matchers: (0..size).map(|_| OnceCell::new()).collect(),
            marks: vec![Mark::Waiting; size],
            decided: vec![None; program.choices.len()],
            open: BTreeSet::new(),
            timed: BTreeSet::new(),
            actions: VecDeque::new(),
            standing: Vec::new(),
            ignored: scenario.ignore.iter().map(|pattern| Matcher::of(&pattern.keys)).collect(),
            due: 0,
            settled_at: vec![Instant::ZERO; size],
            scene: Scene { names: terms.names, ..Scene::default() },
            steps: BTreeMap::new(),
            opened: Vec::new(),
            within: terms.within,
            scale: terms.scale,
            iut: terms.iut,
            failed: false,
            misses: Vec::new(),
            findings: Vec::new(),
            excused: Vec::new(),
            unasked: Vec::new(),
            program,
        }
    }

    /// Lets everything begin that waits for nothing.
    pub fn start(&mut self, now: Instant) {
        for at in 0..self.program.ops.len() {
            self.wake(at, now);
        }
    }

    /// What the player has to do next.
    pub fn poll_action(&mut self) -> Option<Action<'s>> {
        let at = self.actions.pop_front()?;
        let op = &self.program.ops[at];
        match &op.task {
            Task::Send(sending) => Some(Action::Send(op.step, sending)),
            Task::Fault(act) => Some(Action::Fault(act)),
            Task::Expect(_) | Task::Wait(_) | Task::Never(..) | Task::Ignore(_) | Task::Close(_) => None,
        }
    }

    /// A message of the script is on its way; `observable`: the trace will show it.
    pub fn sent(&mut self, step: u32, now: Instant, observable: bool) {
        let Some(at) = self.op_of(step, Mark::Due) else { return };
        if observable {
            self.due -= 1;
            self.marks[at] = Mark::Sent(now);
            self.settled_at[at] = now;
            self.timed.insert(at);
            for ahead in self.program.ops[at].ahead.clone() {
                self.wake(ahead, now);
            }
            self.claim_unasked(now);
        } else {
            self.settle(at, Mark::Done(None), now);
        }
    }

    /// An ACK to a refusal and the answer to a CANCEL may have come before their step was reached.
    fn claim_unasked(&mut self, now: Instant) {
        let unasked = std::mem::take(&mut self.unasked);
        for (event, facts) in unasked {
            let claimed = {
                let Kind::Message { content, .. } = &event.kind else { continue };
                let seen = Seen { event: &event, facts: &facts, view: view_of(content, None), now };
                self.claim(&seen).is_some()
            };
            if !claimed {
                self.unasked.push((event, facts));
            }
        }
    }

    /// A change of the world was carried out.
    pub fn carried_out(&mut self, act: &Act, now: Instant) {
        let same = |op: &Op<'_>| matches!(&op.task, Task::Fault(known) if std::ptr::eq(*known, act));
        let due = (0..self.marks.len()).find(|at| self.marks[*at] == Mark::Due && same(&self.program.ops[*at]));
        if let Some(at) = due {
            self.settle(at, Mark::Done(None), now);
        }
    }

    fn op_of(&self, step: u32, mark: Mark) -> Option<usize> {
        (0..self.marks.len()).find(|at| self.marks[*at] == mark && self.program.ops[*at].step.number == step)
    }

    /// When the script has something to do unasked.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.failed {
            return None;
        }
        let timed = self.timed.iter().filter_map(|at| match self.marks[*at] {
            Mark::Until(until) => Some(until),
            Mark::Sent(since) => Some(since + GRACE.mul_f64(self.scale)),
            _ => None,
        });
        let open = self.open.iter().filter_map(|at| self.deadline(*at));
        timed.chain(open).min()
    }

    /// Lets pass what is due by now: waits end, expectations run out.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<usize> = self.timed.iter().copied().collect();
        for at in due {
            match self.marks[at] {
                Mark::Until(until) if until <= now => self.over(at, now),
                Mark::Sent(since) if since + GRACE.mul_f64(self.scale) <= now => {
                    self.timed.remove(&at);
                    self.settle(at, Mark::Done(None), now);
                }
                _ => {}
            }
        }
        let late: Vec<usize> = self.open.iter().copied().filter(|at| self.deadline(*at).is_some_and(|at| at <= now)).collect();
        for at in late {
            self.run_out(at, now);
        }
    }

    /// A timed operation is over: a wait has passed, a delayed send is due.
    fn over(&mut self, at: usize, now: Instant) {
        self.timed.remove(&at);
        match self.program.ops[at].task {
            Task::Send(_) => {
                self.fall_due(at);
            }
            _ => {
                self.standing.retain(|standing| standing.op != at);
                self.settle(at, Mark::Done(None), now);
            }
        }
    }

    /// Whether every step is settled, or one failed.
    pub fn is_over(&self) -> bool {
        self.failed || (self.due == 0 && self.timed.is_empty() && self.open.iter().all(|at| self.may_stay_away(*at, None)))
    }

    /// Whether a step failed.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Names, saved values and named messages, for filling.
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// Adds an address that a name turned out to have.
    pub fn learn_address(&mut self, name: &str, address: String) {
        self.scene.names.add_address(name, address);
    }

    /// The event of a step, once it came.
    pub fn event_of(&self, step: u32) -> Option<u32> {
        self.steps.get(&step).copied()
    }

    /// The dialog that a sending step belongs to: the one that `in` names, else the latest that
    /// is open between the two ends in the text. `None`: it stands outside of dialogs.
    pub fn dialog_of(&self, step: &Step, sending: &Sending) -> Option<Symbol> {
        if let Some(name) = &sending.dialog {
            return self.scene.kept.get(name).and_then(|kept| kept.dialog);
        }
        if opens_dialog(&sending.pattern.what) {
            return None;
        }
        let before = self.program.ops.iter().position(|op| std::ptr::eq(op.step, step)).unwrap_or(usize::MAX);
        self.latest_dialog(before, &sending.pattern)
    }

    fn latest_dialog(&self, before: usize, pattern: &Pattern) -> Option<Symbol> {
        let end = if self.iut.is(&pattern.from) { &pattern.to } else { &pattern.from };
        let subscription = matches!(pattern.what, What::Request(Method::Notify));
        let fits = |opened: &&Opened| opened.op < before && opened.subscription == subscription && is_end(&opened.peer, end);
        let latest =
            |open: bool| self.opened.iter().filter(fits).filter(|opened| !(open && opened.ended)).max_by_key(|opened| opened.op);
        latest(true).or_else(|| latest(false)).map(|opened| opened.dialog)
    }

    /// Whether the script itself acknowledges the 2xx that a step expects: an ACK of the same actor
    /// follows before the next 2xx to it.
    pub fn acknowledges(&self, step: u32) -> bool {
        let Some(at) = self.program.ops.iter().position(|op| op.step.number == step) else { return false };
        let Task::Expect(expectation) = self.program.ops[at].task else { return false };
        let What::Response(_) = expectation.pattern.what else { return false };
        for (next, op) in self.program.ops.iter().enumerate().skip(at + 1) {
            match &op.task {
                Task::Send(sending) if sending.pattern.what == What::Request(Method::Ack) => {
                    let same = sending.pattern.from == expectation.pattern.to;
                    if same && !matches!(self.marks[next], Mark::Dropped) {
                        return true;
                    }
                }
                Task::Send(sending) if sending.pattern.what == What::Request(Method::Invite) => {
                    if sending.pattern.from == expectation.pattern.to {
                        return false;
                    }
                }
                _ => {}
            }
        }
        false
    }

    /// Whether a step that answers this one is still to come.
    pub fn answers_later(&self, step: u32) -> bool {
        let answers = |op: &Op<'_>| matches!(op.task, Task::Send(sending) if sending.answers == Some(step));
        self.program
            .ops
            .iter()
            .zip(&self.marks)
            .any(|(op, mark)| answers(op) && matches!(mark, Mark::Waiting | Mark::Until(_) | Mark::Due))
    }

    /// The INVITE that a sending ACK belongs to: the one that `in` names, else the latest of the
    /// actor.
    pub fn acknowledged_invite(&self, step: &Step, sending: &Sending) -> Option<u32> {
        if let Some(name) = &sending.dialog {
            return self.scene.kept.get(name).map(|kept| kept.answers.unwrap_or(kept.event));
        }
        let before = self.program.ops.iter().position(|op| std::ptr::eq(op.step, step))?;
        let invites = self.program.ops[..before].iter().rev().filter(|op| {
            matches!(&op.task, Task::Send(sent) if sent.pattern.what == What::Request(Method::Invite) && sent.pattern.from == sending.pattern.from)
        });
        invites.into_iter().find_map(|op| self.event_of(op.step.number))
    }

    /// A failure that the player found: it could not do what a step asks for.
    pub fn refuse(&mut self, step: &Step, why: &str) {
        self.failed = true;
        let (miss, finding) = misses::refused(step, why);
        self.misses.push(miss);
        self.findings.push(finding);
    }

    /// Shows the script the next event.
    pub fn offer(&mut self, event: &Event, facts: &Facts) -> Reading {
        let content = match &event.kind {
            Kind::Message { content, .. } => Some(content),
            Kind::Closed { .. } if facts.lost => None,
            _ => return Reading::Aside,
        };
        if facts.retransmission.is_some() {
            self.excused.push(event.number);
            return Reading::Excused;
        }
        let whole = facts.whole.as_ref().map(|whole| whole.body.clone());
        let view = content.map_or_else(|| Some(View::lost()), |content| view_of(content, whole));
        let seen = Seen { event, facts, view, now: event.at };
        self.note_end(&seen);
        let reading = self.read(&seen);
        if reading == Reading::Excused {
            self.excused.push(event.number);
        }
        reading
    }

    fn read(&mut self, seen: &Seen<'_>) -> Reading {
        if let (Some(step), false) = (self.forbidding(seen), self.failed) {
            return self.fail(misses::forbidden(step, seen.event, seen.facts));
        }
        let by_iut = seen.facts.from == self.iut;
        if self.is_over() {
            return if by_iut { Reading::Excused } else { Reading::Aside };
        }
        let reference = self.is_reference(seen.facts.peer(&self.iut));
        if !by_iut && let Some(reading) = self.claim(seen) {
            return reading;
        }
        if !by_iut && seen.is_of_the_protocols() {
            self.unasked.push((seen.event.clone(), seen.facts.clone()));
        }
        if (by_iut || reference)
            && let Some(at) = self.candidate(seen)
        {
            return self.meet(at, seen);
        }
        if !by_iut {
            return Reading::Aside;
        }
        if reference || self.ignores(seen) || self.comes_unasked(seen) {
            return Reading::Excused;
        }
        self.unexplained(seen)
    }

    fn is_reference(&self, party: &Party) -> bool {
        self.scenario.actors.iter().any(|actor| actor.reference && actor.name == party.name)
    }

    /// What was found against the IUT, for the verdict and for a person.
    pub fn into_findings(self) -> (Vec<Finding>, Vec<Miss>, Vec<u32>) {
        (self.findings, self.misses, self.excused)
    }
}

/// Walking the graph.
impl<'s> Script<'s> {
    fn wake(&mut self, at: usize, now: Instant) {
        if self.marks[at] != Mark::Waiting || self.failed {
            return;
        }
        let op = &self.program.ops[at];
        if !op.behind.iter().all(|before| self.is_settled(*before, op)) {
            return;
        }
        if matches!(op.task, Task::Expect(_)) {
            self.marks[at] = Mark::Open(now);
            self.open.insert(at);
        } else if self.is_taken(op.guard) {
            self.begin(at, now);
        }
    }

    fn begin(&mut self, at: usize, now: Instant) {
        let step = self.program.ops[at].step;
        let until = match &self.program.ops[at].task {
            Task::Send(sending) if !sending.after.is_zero() => now + sending.after,
            Task::Wait(span) => now + *span,
            Task::Never(patterns, span) => {
                let patterns: &'s [Pattern] = patterns;
                let until = span.map(|span| now + span);
                self.stand(at, step, patterns, true);
                match until {
                    Some(until) => until,
                    None => return self.settle(at, Mark::Done(None), now),
                }
            }
            Task::Ignore(patterns) => {
                let patterns: &'s [Pattern] = patterns;
                self.stand(at, step, patterns, false);
                return self.settle(at, Mark::Done(None), now);
            }
            Task::Close(opened) => {
                self.standing.retain(|standing| !opened.contains(&standing.op));
                return self.settle(at, Mark::Done(None), now);
            }
            Task::Send(_) | Task::Fault(_) => {
                return self.fall_due(at);
            }
            Task::Expect(_) => return,
        };
        self.marks[at] = Mark::Until(until);
        self.timed.insert(at);
    }

    fn fall_due(&mut self, at: usize) {
        self.marks[at] = Mark::Due;
        self.due += 1;
        self.actions.push_back(at);
    }

    fn stand(&mut self, op: usize, step: &'s Step, patterns: &'s [Pattern], forbids: bool) {
        let matchers = patterns.iter().map(|pattern| Matcher::of(&pattern.keys)).collect();
        self.standing.push(Standing { op, step, patterns, matchers, forbids });
    }

    fn settle(&mut self, at: usize, mark: Mark, now: Instant) {
        self.due -= usize::from(self.marks[at] == Mark::Due);
        self.marks[at] = mark;
        self.settled_at[at] = now;
        self.open.remove(&at);
        for ahead in self.program.ops[at].ahead.clone() {
            self.wake(ahead, now);
        }
    }

    /// Whether `op` need not wait for `at`. A message of ours that is on its way holds up only
    /// what other actors send: one actor's messages do not overtake each other.
    fn is_settled(&self, at: usize, op: &Op<'_>) -> bool {
        match self.marks[at] {
            Mark::Done(_) | Mark::Dropped => true,
            Mark::Sent(_) => match (&self.program.ops[at].task, &op.task) {
                (_, Task::Expect(_)) => true,
                (Task::Send(before), Task::Send(next)) => before.pattern.from == next.pattern.from,
                _ => false,
            },
            _ => self.may_stay_away(at, op.guard),
        }
    }

    /// Whether `at` stands in a branch that nobody has to take, as seen from outside of it.
    fn may_stay_away(&self, at: usize, from: Option<Guard>) -> bool {
        let inside: Vec<usize> = self.guards(from).map(|guard| guard.choice).collect();
        self.guards(self.program.ops[at].guard).any(|guard| {
            let free = self.program.choices[guard.choice].optional && self.decided[guard.choice].is_none();
            free && !inside.contains(&guard.choice)
        })
    }

    /// The branches around an operation, innermost first.
    fn guards(&self, innermost: Option<Guard>) -> impl Iterator<Item = Guard> {
        std::iter::successors(innermost, |guard| self.program.choices[guard.choice].guard)
    }

    fn is_taken(&self, guard: Option<Guard>) -> bool {
        self.guards(guard).all(|guard| self.decided[guard.choice] == Some(guard.branch))
    }

    /// Takes the branches in which `at` stands; the others are dropped.
    fn decide(&mut self, at: usize, now: Instant) {
        let guards: Vec<Guard> = self.guards(self.program.ops[at].guard).collect();
        for guard in guards.into_iter().rev() {
            if self.decided[guard.choice].is_some() {
                continue;
            }
            self.decided[guard.choice] = Some(guard.branch);
            self.note_level(guard, at);
            for other in 0..self.program.ops.len() {
                let inside = self.guards(self.program.ops[other].guard).find(|inner| inner.choice == guard.choice);
                match inside {
                    Some(inner) if inner.branch != guard.branch => self.drop_op(other, now),
                    Some(_) => self.wake(other, now),
                    None => {}
                }
            }
        }
    }

    fn drop_op(&mut self, at: usize, now: Instant) {
        if !matches!(self.marks[at], Mark::Done(_) | Mark::Dropped) {
            self.timed.remove(&at);
            self.settle(at, Mark::Dropped, now);
        }
    }

    fn note_level(&mut self, guard: Guard, at: usize) {
        let level = self.program.choices[guard.choice].levels[guard.branch];
        if level != Level::Shall {
            self.findings.push(misses::deviation(self.program.ops[at].step, level));
        }
    }

    /// When the patience with an expectation ends. Of the branches of a choice the most patient
    /// one decides.
    fn deadline(&self, at: usize) -> Option<Instant> {
        let undecided = self.guards(self.program.ops[at].guard).find(|guard| self.decided[guard.choice].is_none());
        let Some(undecided) = undecided else { return self.own_deadline(at) };
        let rivals = self
            .open
            .iter()
            .filter(|rival| self.guards(self.program.ops[**rival].guard).any(|guard| guard.choice == undecided.choice));
        let deadlines: Option<Vec<Instant>> = rivals.map(|rival| self.own_deadline(*rival)).collect();
        deadlines?.into_iter().max()
    }

    fn own_deadline(&self, at: usize) -> Option<Instant> {
        let op = &self.program.ops[at];
        let (Task::Expect(expectation), Mark::Open(since)) = (&op.task, self.marks[at]) else { return None };
        if self.may_stay_away(at, None) || !op.clock.iter().all(|before| self.is_settled(*before, op)) {
            return None;
        }
        let since = op.clock.iter().fold(since, |since, before| since.max(self.settled_at[*before]));
        Some(since + expectation.within.unwrap_or(self.within).mul_f64(self.scale))
    }
}

/// Reading events.
impl<'s> Script<'s> {
    /// The step that forbids an event.
    fn forbidding(&self, seen: &Seen<'_>) -> Option<&'s Step> {
        let standing = self.standing.iter().filter(|standing| standing.forbids);
        standing
            .into_iter()
            .find(|standing| self.any_fits(seen, standing.patterns, &standing.matchers))
            .map(|standing| standing.step)
    }

    fn ignores(&self, seen: &Seen<'_>) -> bool {
        self.any_fits(seen, &self.scenario.ignore, &self.ignored)
            || self.standing.iter().any(|standing| !standing.forbids && self.any_fits(seen, standing.patterns, &standing.matchers))
    }

    fn any_fits(&self, seen: &Seen<'_>, patterns: &[Pattern], matchers: &[Matcher]) -> bool {
        patterns.iter().zip(matchers).any(|(pattern, matcher)| {
            self.is_kind(seen, pattern)
                && self.is_answer_to(seen, pattern)
                && seen.view.as_ref().is_some_and(|view| matcher.matches(view, &self.scene).is_some())
        })
    }

    /// Whether ends, kind and place in its dialog are those of a pattern, whatever it holds.
    fn is_kind(&self, seen: &Seen<'_>, pattern: &Pattern) -> bool {
        let ends = is_end(&seen.facts.from, &pattern.from) && is_end(&seen.facts.to, &pattern.to);
        let kind = seen.view.as_ref().is_some_and(|view| view.is(&pattern.what));
        let initial = pattern.initial.is_none_or(|initial| seen.is_initial() == initial);
        ends && kind && initial
    }

    /// Whether a response answers what a pattern of `never` or `ignore` says.
    fn is_answer_to(&self, seen: &Seen<'_>, pattern: &Pattern) -> bool {
        match &pattern.answers {
            None | Some(Answers::Trigger) => true,
            Some(Answers::Method(method)) => seen.method() == Some(method.token()),
            Some(Answers::Step(id)) => self.scene.kept.get(id).is_some_and(|kept| seen.facts.answers == Some(kept.event)),
        }
    }

    /// A message of ours that arrived at the IUT.
    fn claim(&mut self, seen: &Seen<'_>) -> Option<Reading> {
        let at = self.timed.iter().copied().find(|at| self.is_claimed_by(*at, seen))?;
        let step = self.program.ops[at].step.number;
        self.timed.remove(&at);
        let Task::Send(sending) = self.program.ops[at].task else { return None };
        self.keep(at, sending.id.as_deref(), seen);
        self.settle(at, Mark::Done(Some(seen.event.number)), seen.now);
        Some(Reading::Step { step, answered_by_script: false })
    }

    fn is_claimed_by(&self, at: usize, seen: &Seen<'_>) -> bool {
        let (Task::Send(sending), Mark::Sent(_)) = (&self.program.ops[at].task, self.marks[at]) else { return false };
        if sending.raw.is_some() {
            return is_end(&seen.facts.from, &sending.pattern.from);
        }
        let Some(view) = &seen.view else { return false };
        let kind = match &sending.pattern.what {
            // Its last chunk, even where the ranges of all do not make a whole.
            What::MsrpSend => {
                view.is(&What::MsrpChunk) && view.as_msrp().is_some_and(|chunk| chunk.flag() != crate::wire::msrp::Flag::More)
            }
            what => view.is(what),
        };
        let answers = sending.answers.is_none_or(|step| self.steps.get(&step).copied() == seen.facts.answers);
        kind && answers && is_end(&seen.facts.from, &sending.pattern.from)
    }

    /// The first open expectation that the event meets.
    fn candidate(&self, seen: &Seen<'_>) -> Option<usize> {
        self.open.iter().copied().find(|at| {
            let Task::Expect(expectation) = self.program.ops[*at].task else { return false };
            let lenient = expectation.level != Level::Shall;
            self.may_be(*at, expectation, seen) && (lenient || self.matches(*at, expectation, seen))
        })
    }

    fn matches(&self, at: usize, expectation: &Expectation, seen: &Seen<'_>) -> bool {
        let matcher = self.matchers[at].get_or_init(|| Matcher::of(&expectation.pattern.keys));
        seen.view.as_ref().is_some_and(|view| matcher.matches(view, &self.scene).is_some())
    }

    /// Whether an event is the one that a step speaks of, whatever it holds.
    fn may_be(&self, at: usize, expectation: &Expectation, seen: &Seen<'_>) -> bool {
        self.is_kind(seen, &expectation.pattern) && self.is_answer(expectation, seen) && self.is_in_dialog(at, expectation, seen)
    }

    fn is_answer(&self, expectation: &Expectation, seen: &Seen<'_>) -> bool {
        let Some(step) = expectation.answers else { return true };
        let Some(request) = self.steps.get(&step) else { return false };
        match expectation.pattern.what {
            // The answer to a message is the one to its last chunk, a refusal that to any.
            What::MsrpResponse(_) => {
                self.answers_raw(step, seen)
                    || seen.facts.answered.is_some_and(|answered| answered.request == *request)
                    || seen.facts.answers == Some(*request)
            }
            _ => seen.facts.answers == Some(*request),
        }
    }

    /// Whether a response carries the transaction identifier of exact bytes that a step sent: what
    /// is no MSRP message to others may be answered all the same.
    fn answers_raw(&self, step: u32, seen: &Seen<'_>) -> bool {
        let raw = self.program.ops.iter().find(|op| op.step.number == step).and_then(|op| match op.task {
            Task::Send(sending) => sending.raw.as_deref(),
            _ => None,
        });
        let id = seen.view.as_ref().and_then(View::as_msrp).map(|chunk| chunk.transact_id());
        raw.zip(id).is_some_and(|(raw, id)| raw.starts_with("MSRP ") && raw[5..].split(' ').next() == Some(id))
    }

    fn is_in_dialog(&self, at: usize, expectation: &Expectation, seen: &Seen<'_>) -> bool {
        if let Some(name) = &expectation.dialog {
            let dialog = self.scene.kept.get(name).and_then(|kept| kept.dialog);
            return dialog.is_some() && seen.facts.dialog == dialog;
        }
        let what = &expectation.pattern.what;
        if opens_dialog(what) {
            return !matches!(what, What::Request(Method::Invite | Method::Subscribe)) || seen.is_initial();
        }
        if !lives_in_dialog(what) {
            return true;
        }
        // A fork has dialogs that no step opened by itself.
        let known = self.opened.iter().any(|opened| Some(opened.dialog) == seen.facts.dialog);
        let latest = self.latest_dialog(at, &expectation.pattern);
        latest.is_none_or(|dialog| !known || seen.facts.dialog == Some(dialog))
    }

    fn meet(&mut self, at: usize, seen: &Seen<'_>) -> Reading {
        let (op, now) = (&self.program.ops[at], seen.event.at);
        let (step, Task::Expect(expectation)) = (op.step, &op.task) else { return Reading::Aside };
        let expectation: &'s Expectation = expectation;
        if expectation.level != Level::Shall && !self.matches(at, expectation, seen) {
            let mismatches = self.mismatches(expectation, seen);
            self.findings.push(misses::lenient(step, expectation, seen.event, &mismatches));
        }
        for (variable, path) in &expectation.save {
            if let Some(value) = seen.view.as_ref().and_then(|view| read(view, path).into_iter().next()) {
                self.scene.variables.insert(variable.clone(), value);
            }
        }
        self.keep(at, expectation.id.as_deref(), seen);
        self.decide(at, now);
        self.settle(at, Mark::Done(Some(seen.event.number)), now);
        Reading::Step { step: step.number, answered_by_script: expectation.answered_by.is_some() }
    }

    /// Remembers the event of a step, its dialog, and the message if the step names it.
    fn keep(&mut self, at: usize, id: Option<&str>, seen: &Seen<'_>) {
        self.steps.insert(self.program.ops[at].step.number, seen.event.number);
        if let (Some(dialog), true, true) = (seen.facts.dialog, seen.opens(), seen.is_initial()) {
            let subscription = seen.method() == Some("SUBSCRIBE");
            let peer = seen.facts.peer(&self.iut).clone();
            self.opened.push(Opened { op: at, peer, dialog, subscription, ended: false });
        }
        let Kind::Message { content, .. } = &seen.event.kind else { return };
        if let Some(id) = id {
            let whole = seen.facts.whole.as_ref().map(|whole| whole.body.clone());
            let kept = Kept {
                content: content.clone(),
                whole,
                dialog: seen.facts.dialog,
                event: seen.event.number,
                answers: seen.facts.answers,
            };
            self.scene.kept.insert(id.to_owned(), kept);
        }
    }

    /// A dialog is open until its BYE was answered, or its opening refused.
    fn note_end(&mut self, seen: &Seen<'_>) {
        let Some(message) = seen.view.as_ref().and_then(View::as_sip) else { return };
        let Some(status) = message.status().filter(|status| *status >= 200) else { return };
        let ends = match seen.method() {
            Some("BYE") => true,
            Some("INVITE" | "SUBSCRIBE") => status >= 300,
            _ => false,
        };
        if !ends {
            return;
        }
        for opened in self.opened.iter_mut().filter(|opened| Some(opened.dialog) == seen.facts.dialog) {
            let request = self.steps.values().any(|event| Some(*event) == seen.facts.answers);
            // A refused re-INVITE leaves its dialog as it was.
            let opening = self.steps.get(&self.program.ops[opened.op].step.number) == seen.facts.answers.as_ref();
            opened.ended |= seen.method() == Some("BYE") || (request && opening);
        }
    }

    /// The list in the head of this module.
    fn comes_unasked(&self, seen: &Seen<'_>) -> bool {
        let Some(view) = &seen.view else { return true };
        if let Some(message) = view.as_sip() {
            let ours = |event: &u32| self.steps.values().any(|known| known == event);
            return match message.status() {
                Some(100) => true,
                Some(_) => seen.facts.answers.as_ref().is_some_and(|request| !ours(request)),
                None => match message.method_token() {
                    Some("ACK") => true,
                    Some("UPDATE") => !seen.is_initial() && message.body().is_empty(),
                    Some("SUBSCRIBE") => !seen.is_initial(),
                    _ => false,
                },
            };
        }
        let Some(chunk) = view.as_msrp() else { return view.is(&What::Lost) };
        let ours = |event: &u32| self.steps.values().any(|known| known == event);
        match chunk.code() {
            Some(code) => code == 200 || seen.facts.answers.is_some_and(|request| !ours(&request)),
            None => chunk.method() == Some("SEND") && (view.whole().is_none() || view.whole().is_some_and(Bytes::is_empty)),
        }
    }

    fn unexplained(&mut self, seen: &Seen<'_>) -> Reading {
        let nearest = self.open.iter().copied().find_map(|at| {
            let Task::Expect(expectation) = self.program.ops[at].task else { return None };
            let expectation: &'s Expectation = expectation;
            self.may_be(at, expectation, seen).then(|| (self.program.ops[at].step, expectation))
        });
        if let Some((step, expectation)) = nearest {
            let mismatches = self.mismatches(expectation, seen);
            return self.fail(misses::differs(step, expectation, seen.event, seen.facts, &mismatches));
        }
        if let Some((step, expectation)) = self.other_answer(seen) {
            return self.fail(misses::wrong_answer(step, expectation, seen.event, seen.facts));
        }
        let awaited: Vec<&Step> = self.open.iter().map(|at| self.program.ops[*at].step).collect();
        self.fail(misses::unexplained(seen.event, seen.facts, &awaited))
    }

    /// The expectation that awaits another answer to the same request.
    fn other_answer(&self, seen: &Seen<'_>) -> Option<(&'s Step, &'s Expectation)> {
        let request = seen.facts.answers.or(seen.facts.answered.map(|answered| answered.request))?;
        self.program.ops.iter().enumerate().find_map(|(at, op)| {
            let Task::Expect(expectation) = op.task else { return None };
            let awaits = expectation.answers.is_some_and(|step| self.steps.get(&step) == Some(&request));
            (awaits && !matches!(self.marks[at], Mark::Done(_) | Mark::Dropped)).then_some((op.step, expectation))
        })
    }

    fn mismatches(&self, expectation: &Expectation, seen: &Seen<'_>) -> Vec<crate::pattern::Mismatch> {
        let explained = seen.view.as_ref().map(|view| Matcher::of(&expectation.pattern.keys).explain(view, &self.scene));
        explained.and_then(Result::err).unwrap_or_default()
    }

    /// An expectation was not met in time.
    fn run_out(&mut self, at: usize, now: Instant) {
        let op = &self.program.ops[at];
        let (step, Task::Expect(expectation), Mark::Open(since)) = (op.step, &op.task, self.marks[at]) else { return };
        let expectation: &'s Expectation = expectation;
        let (miss, finding) = misses::nothing_came(step, expectation, now.since(since), self.scale);
        self.findings.push(finding);
        if expectation.level == Level::Shall {
            self.misses.push(miss);
            self.failed = true;
        } else {
            self.settle(at, Mark::Done(None), now);
        }
    }

    fn fail(&mut self, (miss, finding): (Miss, Finding)) -> Reading {
        self.failed = true;
        self.misses.push(miss);
        self.findings.push(finding);
        Reading::Miss
    }
}

impl Seen<'_> {
    /// Whether a request stands outside of dialogs, or a response answers such a one.
    fn is_initial(&self) -> bool {
        self.view.as_ref().and_then(View::as_sip).is_none_or(|message| !message.is_request() || !message.has_to_tag())
    }

    fn method(&self) -> Option<&str> {
        self.view.as_ref().and_then(View::as_sip).and_then(|message| message.method_token())
    }

    /// An ACK, or the answer to a CANCEL.
    fn is_of_the_protocols(&self) -> bool {
        let request = self.view.as_ref().and_then(View::as_sip).is_some_and(|message| message.is_request());
        matches!((self.method(), request), (Some("ACK"), true) | (Some("CANCEL"), false))
    }

    fn opens(&self) -> bool {
        let request = self.view.as_ref().and_then(View::as_sip).is_some_and(|message| message.is_request());
        request && matches!(self.method(), Some("INVITE" | "SUBSCRIBE"))
    }
}

/// Whether a pattern's end speaks of a party; a device that the wire does not tell (that of an
/// INVITE to a user, say) is not held against it.
fn is_end(party: &Party, end: &End) -> bool {
    match end {
        End::Actor { name, device } => {
            party.name == *name && (device.is_none() || party.device.is_none() || party.device == *device)
        }
        End::Any | End::Role(_) => party.is(end),
    }
}

/// Whether a request of this kind begins something of its own.
pub fn opens_dialog(what: &What) -> bool {
    matches!(
        what,
        What::Request(Method::Invite | Method::Subscribe | Method::Register | Method::Message | Method::Options | Method::Publish)
    )
}

/// Whether a message of this kind lives in a dialog.
pub fn lives_in_dialog(what: &What) -> bool {
    match what {
        What::Request(method) => !matches!(method, Method::Ack | Method::Cancel | Method::Other(_)),
        What::MsrpSend | What::MsrpChunk | What::MsrpReport => true,
        What::Any | What::Response(_) | What::MsrpResponse(_) | What::Lost => false,
    }
}
