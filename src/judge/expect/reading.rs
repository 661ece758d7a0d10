//! Reading events: which step an event belongs to, and what it is held to be if to none.

use bytes::Bytes;

use super::program::Task;
use super::scene::Kept;
use super::{Mark, Opened, Reading, Script, misses, view_of};
use crate::judge::outcome::Miss;
use crate::judge::verdict::Finding;
use crate::pattern::ast::{Answers, End, Pattern, What};
use crate::pattern::{Matcher, Mismatch, View, read};
use crate::suite::catalogue::Level;
use crate::suite::scenario::{Expectation, Step};
use crate::time::Instant;
use crate::trace::correlate::Facts;
use crate::trace::event::{Event, Kind, Party};
use crate::wire::sip::Method;

/// One event as steps look at it.
pub(super) struct Seen<'e> {
    pub(super) event: &'e Event,
    pub(super) facts: &'e Facts,
    pub(super) view: Option<View<'e>>,
    pub(super) now: Instant,
}

impl<'s> Script<'s> {
    /// What an event is to the script.
    pub(super) fn read(&mut self, seen: &Seen<'_>) -> Reading {
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
        self.plan.scenario.actors.iter().any(|actor| actor.reference && actor.name == party.name)
    }

    /// An ACK to a refusal and the answer to a CANCEL may have come before their step was reached.
    pub(super) fn claim_unasked(&mut self, now: Instant) {
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

    /// The step that forbids an event.
    fn forbidding(&self, seen: &Seen<'_>) -> Option<&'s Step> {
        let standing = self.standing.iter().filter(|standing| standing.forbids);
        standing
            .into_iter()
            .find(|standing| self.any_fits(seen, standing.patterns, &standing.matchers))
            .map(|standing| standing.step)
    }

    fn ignores(&self, seen: &Seen<'_>) -> bool {
        self.any_fits(seen, &self.plan.scenario.ignore, &self.plan.ignored)
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
    pub(super) fn claim(&mut self, seen: &Seen<'_>) -> Option<Reading> {
        let at = self.timed.iter().copied().find(|at| self.is_claimed_by(*at, seen))?;
        let step = self.plan.program.ops[at].step.number;
        self.timed.remove(&at);
        let Task::Send(sending) = self.plan.program.ops[at].task else { return None };
        self.keep(at, sending.id.as_deref(), seen);
        self.settle(at, Mark::Done(Some(seen.event.number)), seen.now);
        Some(Reading::Step { step, answered_by_script: false })
    }

    fn is_claimed_by(&self, at: usize, seen: &Seen<'_>) -> bool {
        let (Task::Send(sending), Mark::Sent(_)) = (&self.plan.program.ops[at].task, self.marks[at]) else { return false };
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
            let Task::Expect(expectation) = self.plan.program.ops[*at].task else { return false };
            let lenient = expectation.level != Level::Shall;
            self.may_be(*at, expectation, seen) && (lenient || self.matches(*at, expectation, seen))
        })
    }

    fn matches(&self, at: usize, expectation: &Expectation, seen: &Seen<'_>) -> bool {
        let matcher = self.plan.matchers[at].get_or_init(|| Matcher::of(&expectation.pattern.keys));
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
        let raw = self.plan.program.ops.iter().find(|op| op.step.number == step).and_then(|op| match op.task {
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
        let (op, now) = (&self.plan.program.ops[at], seen.event.at);
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
        self.steps.insert(self.plan.program.ops[at].step.number, seen.event.number);
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
    pub(super) fn note_end(&mut self, seen: &Seen<'_>) {
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
            let opening = self.steps.get(&self.plan.program.ops[opened.op].step.number) == seen.facts.answers.as_ref();
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
            let Task::Expect(expectation) = self.plan.program.ops[at].task else { return None };
            let expectation: &'s Expectation = expectation;
            self.may_be(at, expectation, seen).then(|| (self.plan.program.ops[at].step, expectation))
        });
        if let Some((step, expectation)) = nearest {
            let mismatches = self.mismatches(expectation, seen);
            return self.fail(misses::differs(step, expectation, seen.event, seen.facts, &mismatches));
        }
        if let Some((step, expectation)) = self.other_answer(seen) {
            return self.fail(misses::wrong_answer(step, expectation, seen.event, seen.facts));
        }
        let awaited: Vec<&Step> = self.open.iter().map(|at| self.plan.program.ops[*at].step).collect();
        self.fail(misses::unexplained(seen.event, seen.facts, &awaited))
    }

    /// The expectation that awaits another answer to the same request.
    fn other_answer(&self, seen: &Seen<'_>) -> Option<(&'s Step, &'s Expectation)> {
        let request = seen.facts.answers.or(seen.facts.answered.map(|answered| answered.request))?;
        self.plan.program.ops.iter().enumerate().find_map(|(at, op)| {
            let Task::Expect(expectation) = op.task else { return None };
            let awaits = expectation.answers.is_some_and(|step| self.steps.get(&step) == Some(&request));
            (awaits && !matches!(self.marks[at], Mark::Done(_) | Mark::Dropped)).then_some((op.step, expectation))
        })
    }

    fn mismatches(&self, expectation: &Expectation, seen: &Seen<'_>) -> Vec<Mismatch> {
        let explained = seen.view.as_ref().map(|view| Matcher::of(&expectation.pattern.keys).explain(view, &self.scene));
        explained.and_then(Result::err).unwrap_or_default()
    }

    /// An expectation was not met in time.
    pub(super) fn run_out(&mut self, at: usize, now: Instant) {
        let op = &self.plan.program.ops[at];
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
pub(super) fn is_end(party: &Party, end: &End) -> bool {
    match end {
        End::Actor { name, device } => {
            party.name == *name && (device.is_none() || party.device.is_none() || party.device == *device)
        }
        End::Any | End::Role(_) | End::Sender => party.is(end),
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
