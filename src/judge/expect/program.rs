//! The flow of a scenario as a graph: which step has to wait for which.
//!
//! *Control* steps (sends, waits, faults, scopes) form one chain in the order of the text, each
//! behind every expectation above it. An expectation stands behind the one before it on the same
//! channel, and behind whatever of the chain can cause it:
//!
//! - a response behind the request that it answers;
//! - an MSRP message behind the answer that set up a session between the two ends, since a sender
//!   need not wait for what else goes on before it sends the next;
//! - anything else behind the last message that is more than an acknowledgement (an ACK, a 2xx to
//!   a request other than INVITE, an MSRP 200);
//! - everything behind the last thing that changed the world (a wait, a fault).

use std::collections::BTreeMap;
use std::time::Duration;

use smallvec::{SmallVec, smallvec};

use crate::ids::Ids;
use crate::pattern::ast::{Codes, Condition, End, Pattern, What};
use crate::suite::catalogue::Level;
use crate::suite::scenario::{Act, Expectation, Scenario, Sending, Step};
use crate::wire::sip::Method;

/// Operations, by their place in the program. Most stand behind one or two others.
pub(super) type Places = SmallVec<[usize; 2]>;

/// One step that something has to happen for.
#[derive(Debug)]
pub(super) struct Op<'s> {
    /// The step of the text.
    pub(super) step: &'s Step,
    /// What it does.
    pub(super) task: Task<'s>,
    /// What has to be settled before.
    pub(super) behind: Places,
    /// Who is to be asked again when this one is settled.
    pub(super) ahead: Places,
    /// The steps of the chain above: an expectation's time runs from them.
    pub(super) clock: Places,
    /// The branch that it stands in, if any.
    pub(super) guard: Option<Guard>,
}

/// What an [`Op`] does.
#[derive(Debug)]
pub(super) enum Task<'s> {
    /// A scripted actor sends.
    Send(&'s Sending),
    /// A message is awaited.
    Expect(&'s Expectation),
    /// Time passes.
    Wait(Duration),
    /// Forbids from here on; `Some`: for this long, and the time passes.
    Never(&'s [Pattern], Option<Duration>),
    /// Excuses from here on.
    Ignore(&'s [Pattern]),
    /// Ends what these opened.
    Close(Vec<usize>),
    /// The world changes.
    Fault(&'s Act),
}

/// A branch of a choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Guard {
    /// The choice.
    pub(super) choice: usize,
    /// Its branch.
    pub(super) branch: usize,
}

/// `either` or `optional`.
#[derive(Debug)]
pub(super) struct Choice {
    /// The branch that the choice itself stands in.
    pub(super) guard: Option<Guard>,
    /// The level of each branch.
    pub(super) levels: Vec<Level>,
    /// Whether nothing needs to come.
    pub(super) optional: bool,
}

/// The compiled flow.
#[derive(Debug, Default)]
pub(super) struct Program<'s> {
    /// Its steps, in the order of the text.
    pub(super) ops: Vec<Op<'s>>,
    /// Its choices.
    pub(super) choices: Vec<Choice>,
    /// Whether the seed had a say: there is a race.
    pub(super) is_drawn: bool,
}

/// What decides branches when a run starts.
pub(super) struct Setting<'a> {
    /// Policy and PICS.
    pub(super) holds: &'a dyn Fn(&Condition) -> bool,
    /// The seed of interleavings.
    pub(super) seed: u64,
}

/// Messages between two ends over one connection, as far as the text tells.
type Channel = (End, End, Flow);

/// What is ordered among itself: SIP, and in each MSRP session the messages apart from the answers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Flow {
    Sip,
    Msrp(String),
    Answers(String),
}

/// Where in the graph the next step of the text is attached.
#[derive(Clone, Default)]
struct Cursor {
    /// The last steps of the chain.
    chain: Places,
    /// The last steps of the chain that can cause something.
    barrier: Places,
    /// The last steps of the chain that changed the world.
    world: Places,
    /// Expectations since `chain`.
    open: Places,
    /// The last expectations of each channel since `world`.
    channels: BTreeMap<Channel, Places>,
    /// The last answers between two ends that set up a session.
    sessions: BTreeMap<(End, End), Places>,
    /// Inside `in-order`: what came last, whatever it was.
    strict: Option<Places>,
    /// The branch that encloses.
    guard: Option<Guard>,
}

impl<'s> Program<'s> {
    /// Compiles the flow of `scenario`.
    pub(super) fn of(scenario: &'s Scenario, setting: &Setting<'_>) -> Self {
        let mut compiler = Compiler { program: Self::default(), setting, methods: BTreeMap::new(), by_step: BTreeMap::new() };
        compiler.learn_methods(&scenario.flow);
        let mut cursor = Cursor::default();
        compiler.steps(&scenario.flow, &mut cursor);
        let mut program = compiler.program;
        for at in 0..program.ops.len() {
            for before in program.ops[at].behind.clone() {
                program.ops[before].ahead.push(at);
            }
        }
        program
    }
}

/// What a control step does to what stands below it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    /// It causes nothing.
    Nothing,
    /// It makes the IUT act.
    Message,
    /// It changes what the IUT lives in.
    World,
}

struct Compiler<'s, 'a> {
    program: Program<'s>,
    setting: &'a Setting<'a>,
    methods: BTreeMap<u32, Method>,
    by_step: BTreeMap<u32, usize>,
}

impl<'s> Compiler<'s, '_> {
    /// Notes which step is which request, so that a response is known to answer an INVITE.
    fn learn_methods(&mut self, steps: &[Step]) {
        for step in steps {
            let what = match &step.act {
                Act::Send(sending) => Some(&sending.pattern.what),
                Act::Expect(expectation) => Some(&expectation.pattern.what),
                _ => None,
            };
            if let Some(What::Request(method)) = what {
                self.methods.insert(step.number, method.clone());
            }
            for list in nested(&step.act) {
                self.learn_methods(list);
            }
        }
    }

    fn steps(&mut self, steps: &'s [Step], cursor: &mut Cursor) {
        for step in steps {
            self.step(step, cursor);
        }
    }

    /// Steps whose `never` and `ignore` end with them.
    fn block(&mut self, steps: &'s [Step], cursor: &mut Cursor) {
        let first = self.program.ops.len();
        self.steps(steps, cursor);
        let opened: Vec<usize> = (first..self.program.ops.len())
            .filter(|at| matches!(self.program.ops[*at].task, Task::Never(_, None) | Task::Ignore(_)))
            .filter(|at| steps.iter().any(|step| std::ptr::eq(step, self.program.ops[*at].step)))
            .collect();
        if let (false, Some(last)) = (opened.is_empty(), steps.last()) {
            self.control(last, Task::Close(opened), Effect::Nothing, cursor);
        }
    }

    fn step(&mut self, step: &'s Step, cursor: &mut Cursor) {
        match &step.act {
            Act::Send(sending) => {
                let causes = !self.only_acknowledges(sending);
                let causes = if causes { Effect::Message } else { Effect::Nothing };
                self.control(step, Task::Send(sending), causes, cursor);
                if self.sets_up(&sending.pattern.what, sending.answers) {
                    let (from, to) = (sending.pattern.from.clone(), sending.pattern.to.clone());
                    cursor.sessions.insert(if from <= to { (from, to) } else { (to, from) }, cursor.chain.clone());
                }
            }
            Act::Expect(expectation) => self.expect(step, expectation, cursor),
            Act::Wait(span) => self.control(step, Task::Wait(*span), Effect::World, cursor),
            Act::Never(patterns) => self.control(step, Task::Never(patterns, None), Effect::Nothing, cursor),
            Act::NeverFor(patterns, span) => {
                self.control(step, Task::Never(patterns, Some(*span)), Effect::World, cursor);
            }
            Act::Ignore(patterns) => self.control(step, Task::Ignore(patterns), Effect::Nothing, cursor),
            Act::AnyOrder(runs) => {
                let runs: Vec<&'s [Step]> = runs.iter().map(Vec::as_slice).collect();
                self.side_by_side(&runs, cursor);
            }
            Act::InOrder(steps) => {
                let outer = cursor.strict.replace(Places::new());
                self.block(steps, cursor);
                cursor.strict = outer;
            }
            Act::Either(branches) => {
                let branches = branches.iter().map(|branch| (branch.level, branch.steps.as_slice())).collect();
                self.choose(branches, false, cursor);
            }
            Act::Optional(steps) => self.choose(vec![(Level::Shall, steps.as_slice())], true, cursor),
            Act::Repeat(runs) => runs.iter().for_each(|run| self.block(run, cursor)),
            Act::When(condition, then, otherwise) => {
                let taken = if (self.setting.holds)(condition) { then } else { otherwise };
                self.block(taken, cursor);
            }
            Act::Race(runs) => self.race(runs, cursor),
            Act::Block(steps) => self.block(steps, cursor),
            act
            @ (Act::Disconnect(_) | Act::Link { .. } | Act::Partition(..) | Act::Heal(..) | Act::Restart(_) | Act::Clock(_)) => {
                self.control(step, Task::Fault(act), Effect::World, cursor)
            }
        }
    }

    fn control(&mut self, step: &'s Step, task: Task<'s>, effect: Effect, cursor: &mut Cursor) {
        let mut behind = std::mem::take(&mut cursor.open);
        behind.append(&mut cursor.chain);
        let at = self.add(step, task, behind, Places::new(), cursor);
        cursor.chain = smallvec![at];
        if effect >= Effect::Message {
            cursor.barrier = smallvec![at];
        }
        if effect == Effect::World {
            cursor.world = smallvec![at];
            cursor.channels.clear();
        }
    }

    fn expect(&mut self, step: &'s Step, expectation: &'s Expectation, cursor: &mut Cursor) {
        let channel = channel_of(expectation);
        let pair = (channel.0.clone(), channel.1.clone());
        let answered = expectation.answers.and_then(|step| self.by_step.get(&step));
        let cause = match (&expectation.pattern.what, answered, cursor.sessions.get(&pair)) {
            (What::Response(_) | What::MsrpResponse(_), Some(request), _) => smallvec![*request],
            (What::MsrpSend | What::MsrpChunk, _, Some(session)) => session.clone(),
            _ => cursor.barrier.clone(),
        };
        let before = cursor.channels.get(&channel).into_iter().flatten().copied();
        let behind = cause.into_iter().chain(cursor.world.iter().copied()).chain(before).collect();
        let at = self.add(step, Task::Expect(expectation), behind, cursor.chain.clone(), cursor);
        if self.sets_up(&expectation.pattern.what, expectation.answers) {
            cursor.sessions.insert(pair, smallvec![at]);
        }
        cursor.channels.insert(channel, smallvec![at]);
        cursor.open.push(at);
    }

    fn add(&mut self, step: &'s Step, task: Task<'s>, mut behind: Places, clock: Places, cursor: &mut Cursor) -> usize {
        let at = self.program.ops.len();
        self.by_step.insert(step.number, at);
        if let Some(last) = &mut cursor.strict {
            behind.extend(last.iter().copied());
            *last = smallvec![at];
        }
        behind.sort_unstable();
        behind.dedup();
        self.program.ops.push(Op { step, task, behind, ahead: Places::new(), clock, guard: cursor.guard });
        at
    }

    /// Runs that are free among each other: each starts where the others do, what follows stands
    /// behind all of them.
    fn side_by_side(&mut self, runs: &[&'s [Step]], cursor: &mut Cursor) {
        let start = cursor.clone();
        let mut ends = Vec::new();
        for run in runs {
            let mut own = start.clone();
            self.block(run, &mut own);
            ends.push(own);
        }
        *cursor = join(start, ends);
    }

    fn choose(&mut self, branches: Vec<(Level, &'s [Step])>, optional: bool, cursor: &mut Cursor) {
        let choice = self.program.choices.len();
        let levels = branches.iter().map(|(level, _)| *level).collect();
        self.program.choices.push(Choice { guard: cursor.guard, levels, optional });
        let start = cursor.clone();
        let mut ends = Vec::new();
        for (branch, (_, steps)) in branches.into_iter().enumerate() {
            let mut own = Cursor { guard: Some(Guard { choice, branch }), ..start.clone() };
            let first = self.program.ops.len();
            self.block(steps, &mut own);
            let expects = self.program.ops[first..].iter().any(|op| matches!(op.task, Task::Expect(_)));
            self.program.choices[choice].optional |= !expects;
            ends.push(own);
        }
        // Without a branch taken, what follows still stands behind what came before.
        ends.push(start.clone());
        *cursor = join(start, ends);
    }

    /// The seed draws the order of the sending steps; each run keeps its own.
    fn race(&mut self, runs: &'s [(String, Vec<Step>)], cursor: &mut Cursor) {
        let mut queues = Vec::new();
        let first = self.program.ops.len();
        let start = cursor.clone();
        let mut ends = Vec::new();
        for (_, steps) in runs {
            let from = self.program.ops.len();
            let mut own = start.clone();
            self.block(steps, &mut own);
            ends.push(own);
            let sends = (from..self.program.ops.len()).filter(|at| matches!(self.program.ops[*at].task, Task::Send(_)));
            queues.push(sends.collect::<Vec<usize>>());
        }
        self.program.is_drawn = true;
        let mut ids = Ids::new(self.setting.seed, &format!("race {first}"));
        let (mut first_drawn, mut last) = (None, None);
        while queues.iter().any(|queue| !queue.is_empty()) {
            let waiting: Vec<usize> = (0..queues.len()).filter(|at| !queues[*at].is_empty()).collect();
            let drawn = waiting[usize::try_from(ids.below(waiting.len() as u64)).unwrap_or(0)];
            let op = queues[drawn].remove(0);
            self.program.ops[op].behind.extend(last);
            first_drawn.get_or_insert(op);
            last = Some(op);
        }
        *cursor = join(start, ends);
        // Whatever stands below may be caused by the first of the sends already.
        cursor.barrier = first_drawn.map_or_else(|| cursor.barrier.clone(), |op| smallvec![op]);
    }

    /// Whether this is the answer that makes a session of an INVITE.
    fn sets_up(&self, what: &What, answers: Option<u32>) -> bool {
        let invite = answers.and_then(|step| self.methods.get(&step)) == Some(&Method::Invite);
        invite && matches!(what, What::Response(codes) if codes.low >= 200 && codes.low < 300)
    }

    fn only_acknowledges(&self, sending: &Sending) -> bool {
        const SUCCESS: Codes = Codes { low: 200, high: 299 };
        let success = |codes: Codes| SUCCESS.has(codes.low) && SUCCESS.has(codes.high);
        match &sending.pattern.what {
            What::Request(method) => *method == Method::Ack,
            What::Response(codes) => {
                let answered = sending.answers.and_then(|step| self.methods.get(&step));
                success(*codes) && answered.is_some_and(|method| *method != Method::Invite)
            }
            What::MsrpResponse(codes) => success(*codes),
            What::Any | What::MsrpSend | What::MsrpChunk | What::MsrpReport | What::Lost => false,
        }
    }
}

/// Where several runs come together again.
fn join(start: Cursor, ends: Vec<Cursor>) -> Cursor {
    let mut joined = Cursor { guard: start.guard, strict: start.strict, ..Cursor::default() };
    for end in ends {
        joined.chain.extend(end.chain);
        joined.barrier.extend(end.barrier);
        joined.world.extend(end.world);
        joined.open.extend(end.open);
        for (channel, last) in end.channels {
            joined.channels.entry(channel).or_default().extend(last);
        }
        for (pair, last) in end.sessions {
            joined.sessions.entry(pair).or_default().extend(last);
        }
        if let (Some(all), Some(last)) = (&mut joined.strict, end.strict) {
            all.extend(last);
        }
    }
    let tidy = |list: &mut Places| {
        list.sort_unstable();
        list.dedup();
    };
    tidy(&mut joined.chain);
    tidy(&mut joined.barrier);
    tidy(&mut joined.world);
    tidy(&mut joined.open);
    joined.channels.values_mut().chain(joined.sessions.values_mut()).for_each(tidy);
    joined.strict.iter_mut().for_each(tidy);
    joined
}

fn channel_of(expectation: &Expectation) -> Channel {
    let pattern = &expectation.pattern;
    let session = || expectation.dialog.clone().unwrap_or_default();
    let flow = match pattern.what {
        What::Any | What::Request(_) | What::Response(_) => Flow::Sip,
        What::MsrpSend | What::MsrpChunk | What::MsrpReport | What::Lost => Flow::Msrp(session()),
        What::MsrpResponse(_) => Flow::Answers(session()),
    };
    let (left, right) = (pattern.from.clone(), pattern.to.clone());
    if left <= right { (left, right, flow) } else { (right, left, flow) }
}

/// The lists of steps inside an act.
fn nested(act: &Act) -> Vec<&[Step]> {
    match act {
        Act::AnyOrder(runs) | Act::Repeat(runs) => runs.iter().map(Vec::as_slice).collect(),
        Act::InOrder(steps) | Act::Optional(steps) | Act::Block(steps) => vec![steps],
        Act::Either(branches) => branches.iter().map(|branch| branch.steps.as_slice()).collect(),
        Act::When(_, then, otherwise) => vec![then, otherwise],
        Act::Race(runs) => runs.iter().map(|(_, steps)| steps.as_slice()).collect(),
        Act::Send(_)
        | Act::Expect(_)
        | Act::Wait(_)
        | Act::Never(_)
        | Act::NeverFor(..)
        | Act::Ignore(_)
        | Act::Disconnect(_)
        | Act::Link { .. }
        | Act::Partition(..)
        | Act::Heal(..)
        | Act::Restart(_)
        | Act::Clock(_) => Vec::new(),
    }
}
