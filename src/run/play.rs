//! Plays one variant of one scenario, in the simulator or on sockets.
//!
//! The player walks the script of [`crate::judge::expect`]: it shows it every event, fills the
//! patterns of its sending steps into messages that the actors draft, and leaves to the actors'
//! own habits what the script does not claim for itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::execute::Course;
use super::plan::Job;
use super::speak::{self, Occasion, Speech};
use super::tamper::{Bitten, Tampering};
use super::world::World;
use crate::endpoint::Event as Came;
use crate::judge::expect::{Action, Reading, Script, Terms};
use crate::judge::outcome::{CleanUp, Miss};
use crate::judge::verdict::{Certainty, Fault, Finding, FindingKind, Verdict};
use crate::judge::{self, Judgement, Session};
use crate::msrp;
use crate::net::NodeId;
use crate::pattern::ast::{End, Place, Role};
use crate::suite::catalogue::Level;
use crate::suite::scenario::{Act, Sending, Step};
use crate::time::Instant;
use crate::trace::correlate::{Facts, Symbol};
use crate::trace::event::{Content, Event, Kind};
use crate::trace::{Header, Trace};
use crate::wire::sip::Message;

/// How long a step may wait for the message that it reacts to before the script is at fault.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the actors may take to close what is open after the judged part.
const CLOSING: Duration = Duration::from_secs(40);

/// How long the Clients may take of it to hear from the PF that their groups are closed.
const COURTESY: Duration = Duration::from_millis(500);

/// How long the judged part may go on after the script while something is owed.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// What came of playing.
pub(super) struct Played {
    pub(super) trace: Trace,
    pub(super) findings: Vec<Finding>,
    pub(super) misses: Vec<Miss>,
    pub(super) ignored: Vec<u32>,
    pub(super) steps: BTreeMap<u32, Place>,
    pub(super) judgement: Option<Judgement>,
    pub(super) clean_up: CleanUp,
    pub(super) took: Duration,
}

impl Played {
    /// A run that the machine did not let begin.
    pub(super) fn denied(header: Header, why: &str) -> Self {
        let Self { mut findings, .. } = Self::broken(header.clone(), why);
        for finding in &mut findings {
            "environment".clone_into(&mut finding.id);
            "sockets and a process for the run".clone_into(&mut finding.expected);
            finding.fault = Fault::Environment;
        }
        Self { findings, ..Self::broken(header, why) }
    }

    /// A run that a defect of ours ended.
    pub(super) fn broken(header: Header, why: &str) -> Self {
        let finding = Finding {
            kind: FindingKind::Expectation,
            id: "harness".to_owned(),
            level: Level::Shall,
            certainty: Certainty::Broken,
            event: None,
            cites: String::new(),
            expected: "a run without a defect of ours".to_owned(),
            observed: why.to_owned(),
            fault: Fault::Harness,
        };
        debug_assert_eq!(finding.verdict(false), Verdict::Error, "a defect of ours is an error");
        Self {
            trace: Trace { header, ..Trace::default() },
            findings: vec![finding],
            misses: Vec::new(),
            ignored: Vec::new(),
            steps: BTreeMap::new(),
            judgement: None,
            clean_up: CleanUp::Clean,
            took: Duration::ZERO,
        }
    }
}

/// What identifies a message on its whole way: Call-ID, CSeq and From tag of a SIP request or of
/// the one that is answered, the Message-ID of an MSRP message.
type Label = String;

/// A send that could not be done yet.
struct Waiting<'s> {
    step: &'s Step,
    sending: &'s Sending,
    since: Instant,
}

/// One scenario on its way.
pub(super) struct Player<'c, 'a> {
    course: &'c Course<'a>,
    script: Script<'c>,
    /// The requirements that the scenario shows.
    listed: &'c [String],
    session: Session<'c>,
    header: Header,
    world: World,
    seen: usize,
    settle: Duration,
    speech: Speech,
    /// What the script asks for and nobody has looked at yet.
    actions: VecDeque<Action<'c>>,
    waiting: Vec<Waiting<'c>>,
    /// Messages that the script deals with itself, and the step that expects each.
    claimed: BTreeMap<Label, u32>,
    /// What came to an actor and is left to the script.
    held: Vec<(NodeId, Came)>,
    /// The Call-ID of each dialog.
    dialogs: BTreeMap<Symbol, String>,
    /// The final answers to requests, by event.
    finals: BTreeMap<u32, u16>,
    learnt: usize,
    took: Option<Duration>,
}

impl<'c, 'a: 'c> Player<'c, 'a> {
    pub(super) fn new(course: &'c Course<'a>, job: &Job<'c>, tampering: Option<(Tampering, Bitten)>) -> Result<Self, String> {
        let (mut world, ground) = course.world(job)?;
        let header = Header { book: Arc::clone(&ground.book), policy: Arc::clone(&ground.knobs), ..course.header(job) };
        if let Some((tampering, bitten)) = tampering {
            world.tamper(tampering.begin(&header, course.names.clone(), bitten));
        }
        let terms = Terms {
            within: course.suite.defaults.within,
            scale: course.scale,
            late: course.late(),
            names: course.names.clone(),
            iut: header.iut.clone(),
        };
        let script = Script::new(course.plan(job, &header), terms);
        Ok(Self {
            course,
            script,
            listed: &job.scenario.requirements,
            session: course.session(job, &header),
            settle: job.scenario.settle.unwrap_or_else(|| course.usual_settle(world.timing())),
            world,
            header,
            seen: 0,
            speech: Speech::new(course.ids(job)),
            actions: VecDeque::new(),
            waiting: Vec::new(),
            claimed: BTreeMap::new(),
            held: Vec::new(),
            dialogs: BTreeMap::new(),
            finals: BTreeMap::new(),
            learnt: 0,
            took: None,
        })
    }

    pub(super) fn play(mut self) -> Played {
        self.script.start(self.world.now());
        self.act();
        while !self.script.is_over() {
            let limit = self.next_deadline();
            self.advance(limit);
        }
        let over = self.world.now();
        self.took = Some(over.since(Instant::ZERO));
        self.world.record(Kind::FlowEnded);
        self.let_go();
        let mut end = over + self.settle;
        while self.step(end) {}
        // In real time a short rest does, unless something is still owed.
        while self.owes(end) && end < over + LONGEST_REST {
            end = end + Duration::from_secs(1);
            while self.step(end) {}
        }
        self.finish(end)
    }

    /// Whether a requirement that the scenario shows has an open deadline.
    fn owes(&self, now: Instant) -> bool {
        if !self.course.rests_briefly() {
            return false;
        }
        let judgement = self.session.clone().finish(self.world.events(), now, false);
        let pending = |id: &String| judgement.outcome(id) == Some(judge::Outcome::Pending);
        self.listed.iter().any(pending)
    }

    /// The next moment at which the script itself has something to do.
    fn next_deadline(&self) -> Instant {
        let patience = self.waiting.iter().map(|waiting| waiting.since + PATIENCE.mul_f64(self.course.scale)).min();
        let next = self.script.poll_timeout().into_iter().chain(patience).min();
        // Nothing open and nothing over cannot be; an hour ends such a run all the same.
        next.unwrap_or_else(|| self.world.now() + Duration::from_secs(3600))
    }

    fn advance(&mut self, limit: Instant) {
        if self.step(limit) {
            return;
        }
        self.script.handle_timeout(self.world.now());
        self.give_up();
        self.act();
    }

    /// Lets one thing happen by `limit`; `false` when nothing is left to happen.
    fn step(&mut self, limit: Instant) -> bool {
        let Some(node) = self.world.step(limit) else { return false };
        self.observe();
        self.change_at_once();
        self.attend(node);
        self.act();
        true
    }

    /// Shows the script what happened at the edge of the IUT.
    fn observe(&mut self) {
        while self.seen < self.world.events().len() {
            let at = self.seen;
            self.seen += 1;
            self.session.advance(&self.world.events()[..self.seen]);
            let (event, facts) = (&self.world.events()[at], &self.session.facts()[at]);
            note_dialog(event, facts, &mut self.dialogs);
            if let Some(answered) = facts.answered {
                self.finals.insert(answered.request, answered.code);
            }
            let learnt = self.session.learnt();
            for (group, uri) in &learnt[self.learnt..] {
                self.script.learn_address(group, uri.clone());
                self.speech.learn_address(group, uri, &self.course.names);
            }
            self.learnt = learnt.len();
            let reading = self.script.offer(event, facts, &self.session.contents()[at]);
            self.claim(at, reading);
        }
    }

    /// Remembers which messages the script deals with itself.
    fn claim(&mut self, at: usize, reading: Reading) {
        let Reading::Step { step, answered_by_script } = reading else { return };
        if answered_by_script || self.script.acknowledges(step) {
            self.claimed.extend(label(&self.world.events()[at]).map(|label| (label, step)));
        }
    }

    /// Looks after what came to an actor: the script's share is held, the rest done by habit.
    fn attend(&mut self, node: NodeId) {
        while let Some(came) = self.world.poll_event(node) {
            if self.is_held(&came) {
                self.held.push((node, came));
            } else {
                self.world.act_automatically(node, &came);
                self.observe();
            }
        }
    }

    /// Whether the script deals with what came. A fork that is cancelled once another device has
    /// answered is not its business any more.
    fn is_held(&self, came: &Came) -> bool {
        if self.claimed.is_empty() || self.script.is_over() {
            return false;
        }
        let Some(step) = label_of(came).and_then(|label| self.claimed.get(&label)) else { return false };
        !matches!(came, Came::Cancelled { .. }) || self.script.answers_later(*step)
    }

    /// The script is over: what it held back goes its usual way.
    fn let_go(&mut self) {
        self.waiting.clear();
        let held = std::mem::take(&mut self.held);
        let cancelled: Vec<(NodeId, Option<Label>)> = held
            .iter()
            .filter(|(_, came)| matches!(came, Came::Cancelled { .. }))
            .map(|(node, came)| (*node, label_of(came)))
            .collect();
        for (node, came) in held {
            let void = matches!(came, Came::Request { .. }) && cancelled.contains(&(node, label_of(&came)));
            if !void && !self.world.is_settled(node, &came) {
                self.world.act_automatically(node, &came);
            }
        }
        self.observe();
    }

    /// Does what the script asks for, as far as it can be done now.
    fn act(&mut self) {
        loop {
            let mut progress = self.retry();
            while let Some(action) = self.actions.pop_front().or_else(|| self.script.poll_action()) {
                progress = true;
                match action {
                    Action::Send(step, sending) => self.waiting.push(Waiting { step, sending, since: self.world.now() }),
                    Action::Fault(act) => self.change(act),
                }
            }
            if !progress {
                return;
            }
        }
    }

    /// A fault that is due comes before anyone reacts to what made it due: on sockets that has reached
    /// an actor already.
    fn change_at_once(&mut self) {
        self.actions.extend(std::iter::from_fn(|| self.script.poll_action()));
        while let Some(Action::Fault(act)) = self.actions.front() {
            let act = *act;
            self.actions.pop_front();
            self.change(act);
            self.actions.extend(std::iter::from_fn(|| self.script.poll_action()));
        }
    }

    fn retry(&mut self) -> bool {
        let mut progress = false;
        let mut at = 0;
        while at < self.waiting.len() && !self.script.has_failed() {
            let (step, sending) = (self.waiting[at].step, self.waiting[at].sending);
            match self.send(step, sending) {
                Ok(()) => {
                    self.waiting.remove(at);
                    let observable = matches!(&sending.pattern.to, End::Actor { name, device: None } if **name == *"pf");
                    self.script.sent(step.number, self.world.now(), observable);
                    self.observe();
                    progress = true;
                }
                Err(speak::Fault::NotYet(_)) => at += 1,
                Err(speak::Fault::Never(why)) => {
                    self.waiting.remove(at);
                    self.script.refuse(step, &why);
                }
            }
        }
        progress
    }

    /// A step whose occasion does not come is the script's fault.
    fn give_up(&mut self) {
        let now = self.world.now();
        let patience = PATIENCE.mul_f64(self.course.scale);
        let Some(at) = self.waiting.iter().position(|waiting| waiting.since + patience <= now) else { return };
        let Waiting { step, sending, .. } = self.waiting.remove(at);
        match self.send(step, sending) {
            Err(speak::Fault::NotYet(why)) => self.script.refuse(step, why),
            Err(speak::Fault::Never(why)) => self.script.refuse(step, &why),
            Ok(()) => self.script.sent(step.number, now, true),
        }
    }

    fn send(&mut self, step: &'c Step, sending: &'c Sending) -> Result<(), speak::Fault> {
        let occasion = Occasion { script: &self.script, dialogs: &self.dialogs, finals: &self.finals, step, sending };
        self.speech.send(&mut self.world, &occasion).map(drop)
    }

    fn change(&mut self, act: &'c Act) {
        self.world.change(act);
        self.script.carried_out(act, self.world.now());
        self.observe();
    }

    fn finish(mut self, end: Instant) -> Played {
        self.observe();
        let judgement = self.session.finish(self.world.events(), end, true);
        let judged = self.world.events().len();
        let died = self.world.is_broken();
        let clean_up = close(&mut self.world, end);
        let mut events = self.world.into_events();
        events.truncate(judged);
        let steps = self.script.places();
        let (mut findings, misses, ignored) = self.script.into_findings();
        findings.extend(died.map(|why| gone(&why)));
        Played {
            trace: Trace { header: self.header, events, ended: end, complete: true },
            findings,
            misses,
            ignored,
            steps,
            judgement: Some(judgement),
            clean_up,
            took: self.took.unwrap_or_default(),
        }
    }
}

/// The process of the IUT ended while it was needed.
fn gone(why: &str) -> Finding {
    Finding {
        kind: FindingKind::Expectation,
        id: "process".to_owned(),
        level: Level::Shall,
        certainty: Certainty::Broken,
        event: None,
        cites: String::new(),
        expected: "an IUT that stays alive".to_owned(),
        observed: why.to_owned(),
        fault: Fault::Iut,
    }
}

/// Closes what is still open, unjudged, and says what would not close.
fn close(world: &mut World, end: Instant) -> CleanUp {
    world.set_unattended();
    // The focus first: what it ends, the PF ends towards the Clients.
    for (role, limit) in [(Role::Cf, end + COURTESY), (Role::Client, end + CLOSING)] {
        world.hang_up(role);
        while world.open_sessions().next().is_some() && world.step(limit).is_some() {}
    }
    let left: Vec<String> = world.open_sessions().collect();
    if left.is_empty() { CleanUp::Clean } else { CleanUp::Left(left) }
}

fn note_dialog(event: &Event, facts: &Facts, dialogs: &mut BTreeMap<Symbol, String>) {
    if let (Kind::Message { content: Content::Sip(message), .. }, Some(dialog)) = (&event.kind, facts.dialog)
        && let (Some(call_id), false) = (message.call_id(), dialogs.contains_key(&dialog))
    {
        dialogs.insert(dialog, call_id.to_owned());
    }
}

fn label(event: &Event) -> Option<Label> {
    match &event.kind {
        Kind::Message { content: Content::Sip(message), .. } => sip_label(message),
        Kind::Message { content: Content::Msrp(chunk), .. } => chunk.message_id().map(str::to_owned),
        _ => None,
    }
}

fn sip_label(message: &Message) -> Option<Label> {
    let cseq = message.cseq().ok()?;
    Some([message.call_id()?, " ", &cseq.number.to_string(), " ", cseq.method, " ", message.from_tag()?].concat())
}

/// The label of what came to an actor, where the script may deal with it.
fn label_of(came: &Came) -> Option<Label> {
    match came {
        Came::Request { message, .. } => sip_label(message),
        Came::Response { message, .. } if message.status().is_some_and(|status| (200..300).contains(&status)) => sip_label(message),
        // Its INVITE is what the script answers.
        Came::Cancelled { message, .. } => sip_label(message).map(|label| label.replacen(" CANCEL ", " INVITE ", 1)),
        Came::Msrp { event: msrp::Event::Received(incoming), .. } => Some(incoming.message_id.clone()),
        _ => None,
    }
}
