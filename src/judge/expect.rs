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
mod reading;
mod scene;
mod walk;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::outcome::Miss;
use super::verdict::Finding;
use crate::pattern::ast::{Condition, Pattern, Place, What};
use crate::pattern::{Contents, Matcher, Names, View};
use crate::suite::scenario::{Act, Scenario, Sending, Step};
use crate::time::Instant;
use crate::trace::correlate::{Facts, Symbol};
use crate::trace::event::{Event, Kind, Party};
use crate::wire::sip::Method;

pub use misses::headline;
use program::{Op, Program, Setting, Task};
use reading::{Seen, is_end};
pub use reading::{lives_in_dialog, opens_dialog};
pub use scene::{Scene, view_of};

/// How long a message of ours may be on its way before it counts as lost on it.
const GRACE: Duration = Duration::from_secs(2);

/// A flow, compiled: what all runs of it under one policy share.
#[derive(Debug)]
pub struct Plan<'s> {
    scenario: &'s Scenario,
    program: Program<'s>,
    /// Of each operation that awaits a message, made when it is first looked for.
    matchers: Vec<OnceLock<Matcher>>,
    ignored: Vec<Matcher>,
}

impl<'s> Plan<'s> {
    /// Compiles the flow of `scenario`. `holds` decides over policy and PICS, `seed` draws the order
    /// of what races.
    pub fn of(scenario: &'s Scenario, holds: &dyn Fn(&Condition) -> bool, seed: u64) -> Self {
        let program = Program::of(scenario, &Setting { holds, seed });
        Self {
            scenario,
            matchers: program.ops.iter().map(|_| OnceLock::new()).collect(),
            ignored: scenario.ignore.iter().map(|pattern| Matcher::of(&pattern.keys)).collect(),
            program,
        }
    }

    /// Whether another seed gives another plan.
    pub const fn is_drawn(&self) -> bool {
        self.program.is_drawn
    }
}

/// What a run decides about a script.
pub struct Terms {
    /// The latest arrival of an expected message where the step does not say.
    pub within: Duration,
    /// `--timeout-scale`.
    pub scale: f64,
    /// How late something may be through the fault of the machine.
    pub late: Duration,
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

/// A dialog that a step opened.
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
    plan: Arc<Plan<'s>>,
    marks: Vec<Mark>,
    decided: Vec<Option<usize>>,
    open: BTreeSet<usize>,
    timed: BTreeSet<usize>,
    actions: VecDeque<usize>,
    standing: Vec<Standing<'s>>,
    due: usize,
    settled_at: Vec<Instant>,
    scene: Scene,
    steps: BTreeMap<u32, u32>,
    opened: Vec<Opened>,
    within: Duration,
    scale: f64,
    late: Duration,
    iut: Party,
    failed: bool,
    misses: Vec<Miss>,
    findings: Vec<Finding>,
    excused: Vec<u32>,
    /// What the base protocols made an actor send unasked, for steps that say so later.
    unasked: Vec<(Event, Facts)>,
}

impl<'s> Script<'s> {
    /// The flow of a plan, ready to begin.
    pub fn new(plan: Arc<Plan<'s>>, terms: Terms) -> Self {
        let size = plan.program.ops.len();
        Self {
            marks: vec![Mark::Waiting; size],
            decided: vec![None; plan.program.choices.len()],
            open: BTreeSet::new(),
            timed: BTreeSet::new(),
            actions: VecDeque::new(),
            standing: Vec::new(),
            due: 0,
            settled_at: vec![Instant::ZERO; size],
            scene: Scene { names: terms.names, ..Scene::default() },
            steps: BTreeMap::new(),
            opened: Vec::new(),
            within: terms.within,
            scale: terms.scale,
            late: terms.late,
            iut: terms.iut,
            failed: false,
            misses: Vec::new(),
            findings: Vec::new(),
            excused: Vec::new(),
            unasked: Vec::new(),
            plan,
        }
    }

    /// Lets everything begin that waits for nothing.
    pub fn start(&mut self, now: Instant) {
        for at in 0..self.plan.program.ops.len() {
            self.wake(at, now);
        }
    }

    /// What the player has to do next.
    pub fn poll_action(&mut self) -> Option<Action<'s>> {
        let at = self.actions.pop_front()?;
        let op = &self.plan.program.ops[at];
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
            for ahead in self.plan.program.ops[at].ahead.clone() {
                self.wake(ahead, now);
            }
            self.claim_unasked(now);
        } else {
            self.settle(at, Mark::Done(None), now);
        }
    }

    /// A change of the world was carried out.
    pub fn carried_out(&mut self, act: &Act, now: Instant) {
        let same = |op: &Op<'_>| matches!(&op.task, Task::Fault(known) if std::ptr::eq(*known, act));
        let due = (0..self.marks.len()).find(|at| self.marks[*at] == Mark::Due && same(&self.plan.program.ops[*at]));
        if let Some(at) = due {
            self.settle(at, Mark::Done(None), now);
        }
    }

    fn op_of(&self, step: u32, mark: Mark) -> Option<usize> {
        (0..self.marks.len()).find(|at| self.marks[*at] == mark && self.plan.program.ops[*at].step.number == step)
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
        match self.plan.program.ops[at].task {
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
        let before = self.plan.program.ops.iter().position(|op| std::ptr::eq(op.step, step)).unwrap_or(usize::MAX);
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
        let Some(at) = self.plan.program.ops.iter().position(|op| op.step.number == step) else { return false };
        let Task::Expect(expectation) = self.plan.program.ops[at].task else { return false };
        let What::Response(_) = expectation.pattern.what else { return false };
        let own = |op: &Op<'_>, method: &Method| {
            matches!(op.task, Task::Send(sending) if sending.pattern.what == What::Request(method.clone())
                && sending.pattern.from == expectation.pattern.to)
        };
        let later = self.plan.program.ops.iter().zip(&self.marks).skip(at + 1);
        later.take_while(|(op, _)| !own(op, &Method::Invite)).any(|(op, mark)| own(op, &Method::Ack) && *mark != Mark::Dropped)
    }

    /// Whether a step that answers this one is still to come.
    pub fn answers_later(&self, step: u32) -> bool {
        let answers = |op: &Op<'_>| matches!(op.task, Task::Send(sending) if sending.answers == Some(step));
        self.plan
            .program
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
        let before = self.plan.program.ops.iter().position(|op| std::ptr::eq(op.step, step))?;
        let invites = self.plan.program.ops[..before].iter().rev().filter(|op| {
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

    /// Shows the script the next event; `contents` is what was decoded of it so far.
    pub fn offer(&mut self, event: &Event, facts: &Facts, contents: &Contents) -> Reading {
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
        let view = view.map(|view| view.knowing(contents));
        let seen = Seen { event, facts, view, now: event.at };
        self.note_end(&seen);
        let reading = self.read(&seen);
        if reading == Reading::Excused {
            self.excused.push(event.number);
        }
        reading
    }

    /// Where in the text each event was written that a step sends or awaits.
    pub fn places(&self) -> BTreeMap<u32, Place> {
        let steps = self.plan.program.ops.iter().map(|op| op.step);
        steps.filter_map(|step| Some((self.event_of(step.number)?, step.place))).collect()
    }

    /// What was found against the IUT, for the verdict and for a person.
    pub fn into_findings(self) -> (Vec<Finding>, Vec<Miss>, Vec<u32>) {
        (self.findings, self.misses, self.excused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Transport;
    use crate::pattern::ast::Role;
    use crate::suite::catalogue::Level;
    use crate::suite::source::Sources;
    use crate::suite::{Suite, load_all};
    use crate::trace::event::{Content, Link};
    use crate::wire::sip::{Builder, Message};

    #[test]
    fn a_send_waits_for_every_expectation_above_it() {
        let suite = suite(
            "- pf -> bob OPTIONS: { id: asked }\n  - pf -> focus OPTIONS: { id: other }\n  - bob -> pf 200: { answers: asked }\n  - focus -> pf 200: { answers: other }",
        );
        let mut play = Play::of(&suite);
        assert_eq!(play.sends(), 0);
        play.comes("pf", "focus", "OPTIONS", None);
        assert_eq!(play.sends(), 0, "across pairs the order is free");
        play.comes("pf", "bob", "OPTIONS", None);
        assert_eq!(play.sends(), 1);
        assert!(!play.script.is_over());
    }

    #[test]
    fn within_a_pair_the_order_of_the_text_holds() {
        let suite = suite("- pf -> bob OPTIONS: {}\n  - pf -> bob MESSAGE: {}\n  - pf -> focus OPTIONS: {}");
        let mut play = Play::of(&suite);
        play.comes("pf", "bob", "MESSAGE", None);
        assert_eq!(play.code(), Some("C0204"));
    }

    #[test]
    fn in_order_reaches_across_pairs() {
        let suite = suite("- in-order:\n      - pf -> bob OPTIONS: {}\n      - pf -> focus OPTIONS: {}");
        let mut play = Play::of(&suite);
        play.comes("pf", "focus", "OPTIONS", None);
        assert_eq!(play.code(), Some("C0204"));
    }

    #[test]
    fn any_order_frees_what_stands_in_one_pair() {
        let suite =
            suite("- any-order:\n      - pf -> bob OPTIONS: {}\n      - pf -> bob MESSAGE: {}\n  - pf -> focus OPTIONS: {}");
        let mut play = Play::of(&suite);
        play.comes("pf", "bob", "MESSAGE", None);
        play.comes("pf", "bob", "OPTIONS", None);
        play.comes("pf", "focus", "OPTIONS", None);
        assert_eq!((play.code(), play.script.is_over()), (None, true));
    }

    #[test]
    fn never_holds_from_where_it_stands() {
        let suite = suite("- pf -> bob OPTIONS: {}\n  - never: { pf -> bob MESSAGE: {} }\n  - pf -> focus OPTIONS: {}");
        let mut play = Play::of(&suite);
        play.comes("pf", "bob", "OPTIONS", None);
        play.comes("pf", "bob", "MESSAGE", None);
        assert_eq!(play.code(), Some("C0203"));
    }

    #[test]
    fn the_first_message_decides_a_choice_and_its_level_is_told() {
        let suite = suite(
            "- either:\n      - level: SHALL\n        do: [ { pf -> bob OPTIONS: {} } ]\n      - level: SHOULD\n        do: [ { pf -> bob MESSAGE: {} } ]\n  - pf -> focus OPTIONS: {}",
        );
        let mut play = Play::of(&suite);
        play.comes("pf", "bob", "MESSAGE", None);
        play.comes("pf", "focus", "OPTIONS", None);
        assert_eq!((play.code(), play.script.is_over()), (None, true));
        assert_eq!(play.script.findings.iter().map(|finding| finding.level).collect::<Vec<_>>(), [Level::Should]);
    }

    #[test]
    fn what_is_optional_holds_nobody_up_until_it_comes() {
        let suite = suite("- optional:\n      - pf -> bob OPTIONS: {}\n      - pf -> bob MESSAGE: {}\n  - pf -> focus OPTIONS: {}");
        let mut play = Play::of(&suite);
        play.comes("pf", "focus", "OPTIONS", None);
        assert!(play.script.is_over());
        let mut play = Play::of(&suite);
        play.comes("pf", "bob", "OPTIONS", None);
        play.comes("pf", "focus", "OPTIONS", None);
        assert!(!play.script.is_over(), "once begun, it has to go on");
        play.comes("pf", "bob", "MESSAGE", None);
        assert!(play.script.is_over());
    }

    #[test]
    fn patience_ends_after_the_time_of_the_step() {
        let suite = suite("- pf -> bob OPTIONS: { within: 2s }\n  - pf -> focus OPTIONS: { within: 4s }");
        let mut play = Play::of(&suite);
        assert_eq!(play.script.poll_timeout(), Some(Instant::from_millis(2_000)));
        play.script.handle_timeout(Instant::from_millis(2_000));
        assert_eq!(play.code(), Some("C0210"));
    }

    #[test]
    fn another_answer_is_told_from_a_stray_message() {
        let suite = suite("- bob -> pf OPTIONS: { id: asked }\n  - pf -> bob 200: { answers: asked }\n  - pf -> focus OPTIONS: {}");
        let mut play = Play::of(&suite);
        assert_eq!(play.sends(), 1);
        let request = play.comes("bob", "pf", "OPTIONS", None);
        play.comes("pf", "bob", "480", Some(request));
        assert_eq!(play.code(), Some("C0201"));
    }

    #[test]
    fn the_base_protocols_explain_what_they_cause() {
        let suite = suite("- bob -> pf OPTIONS: { id: asked }\n  - pf -> bob 200: { answers: asked }\n  - pf -> focus OPTIONS: {}");
        let mut play = Play::of(&suite);
        play.sends();
        let request = play.comes("bob", "pf", "OPTIONS", None);
        play.comes("pf", "bob", "100", Some(request));
        play.comes("pf", "bob", "ACK", None);
        assert_eq!((play.code(), play.script.excused.len()), (None, 2));
    }

    /// A suite of one scenario between bob, the focus and the PF.
    fn suite(flow: &str) -> Suite {
        let scenario =
            format!("title: A test\nrequirements: []\ntags: [test]\nactors: {{ bob: client, focus: cf }}\nflow:\n  {flow}\n");
        let texts = [
            (
                "suite.yaml",
                "title: Tests\nspec: none\ndefaults: { within: 5s, delay: 1ms, seed: 1 }\nidentities:\n  bob:\n    uri: sip:bob@example.org\n    devices: { phone: urn:uuid:1 }\n",
            ),
            ("requirements.yaml", "{}\n"),
            ("group/test.yaml", scenario.as_str()),
        ];
        load_all(Sources::of_texts("tests", texts)).suite
    }

    struct Play<'s> {
        script: Script<'s>,
        number: u32,
    }

    impl<'s> Play<'s> {
        fn of(suite: &'s Suite) -> Self {
            let scenario = suite.scenario("group/test").expect("the scenario can be read");
            let terms = Terms {
                within: Duration::from_secs(5),
                scale: 1.0,
                late: Duration::ZERO,
                names: Names::default(),
                iut: Party::new(Role::Pf, "pf"),
            };
            let mut script = Script::new(Arc::new(Plan::of(scenario, &|_| true, 1)), terms);
            script.start(Instant::ZERO);
            Self { script, number: 0 }
        }

        /// How many sends are due; they are made.
        fn sends(&mut self) -> usize {
            let mut count = 0;
            while let Some(action) = self.script.poll_action() {
                if let Action::Send(step, _) = action {
                    self.script.sent(step.number, Instant::ZERO, true);
                    count += 1;
                }
            }
            count
        }

        /// A message passes; returns its number.
        fn comes(&mut self, from: &str, to: &str, what: &str, answers: Option<u32>) -> u32 {
            let party = |name: &str| {
                let role = match name {
                    "pf" => Role::Pf,
                    "focus" => Role::Cf,
                    _ => Role::Client,
                };
                Party::new(role, name)
            };
            let address = "10.0.0.1:5060".parse().expect("an address");
            let link = Link { transport: Transport::Udp, source: address, destination: address, connection: None };
            let kind = Kind::Message { link, sent: from == "pf", content: Content::Sip(message(what)) };
            let event = Event { number: self.number, at: Instant::ZERO, kind };
            let mut facts = Facts::between(party(from), party(to));
            facts.answers = answers;
            self.number += 1;
            self.script.offer(&event, &facts, &Contents::default());
            event.number
        }

        fn code(&self) -> Option<&'static str> {
            self.script.misses.first().map(|miss| miss.code)
        }
    }

    fn message(what: &str) -> Message {
        let builder = match what.parse() {
            Ok(status) => Builder::response(status, "x"),
            Err(_) => Builder::request(what, "sip:bob@example.org"),
        };
        let method = if what.parse::<u16>().is_ok() { "OPTIONS" } else { what };
        builder
            .push("Via", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1")
            .push("From", "<sip:a@example.org>;tag=1")
            .push("To", "<sip:bob@example.org>")
            .push("Call-ID", "1@example.org")
            .push("CSeq", format!("1 {method}"))
            .build()
    }
}
