//! Every reporter over one fixed outcome, and over one that is as nasty as a peer can make it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::diff::Difference;
use super::jsonl::{Keep, Opening, Writer, read};
use super::terminal::{Closing, Setting};
use super::{diff, junit, ladder, matrix, terminal};
use crate::judge::outcome::{CleanUp, Comparison, Exit, Expected, Gate, Miss, Omission, Outcome, Reasons, RuleState, Skip, Totals};
use crate::judge::verdict::{Certainty, Fault, Finding, FindingKind, Verdict};
use crate::pattern::ast::{Place, Role};
use crate::suite::Suite;
use crate::suite::catalogue::Level;
use crate::suite::source::Sources;
use crate::time::Instant;
use crate::trace::event::{Content, Event, Kind, Party};
use crate::trace::snapshot::Snapshot;
use crate::trace::testing::{In, Tape, session};
use crate::wire::sip::Message;

#[test]
fn a_failure_in_the_terminal() {
    golden("failure", &plain(&terminal::block(&failed(), &setting(&suite()))));
}

#[test]
fn a_warning_in_the_terminal() {
    golden("warning", &plain(&terminal::block(&warned(), &setting(&suite()))));
}

#[test]
fn the_whole_of_a_run_in_the_terminal() {
    let outcomes = outcomes();
    let (totals, reasons) = totals(&outcomes);
    let closing = Closing {
        outcomes: &outcomes,
        skips: &skips(),
        totals: &totals,
        reasons: &reasons,
        requirements: "SHALL 1/2 shown",
        full: true,
    };
    let lines: String = outcomes.iter().map(terminal::line).collect();
    golden("run", &plain(&format!("{}{lines}{}", terminal::opening(&suite(), 4, 17, "reference"), terminal::closing(&closing))));
}

#[test]
fn colours_mark_what_matters() {
    // ESC is shown as a glyph, so that the golden file is plain text.
    let coloured = terminal::line(&failed()) + &terminal::line(&passed());
    golden("colours", &coloured.replace('\u{1b}', "␛"));
}

#[test]
fn a_ladder_with_every_kind_of_row() {
    let (marks, ignored) = (terminal::marks(&failed()), [5]);
    let draw = |ascii| ladder::ladder(&failed().trace, &ladder::Look { ascii, marks: &marks, ignored: &ignored });
    golden("ladder", &plain(&format!("{}\n{}", draw(false), draw(true))));
}

#[test]
fn messages_in_full() {
    golden("messages", &plain(&ladder::messages(&failed().trace)));
}

#[test]
fn junit_for_a_service() {
    golden("junit", &junit::render(&outcomes(), &skips(), 17, "reference").expect("XML"));
}

#[test]
fn a_run_file() {
    golden("run-file", &run_file(&outcomes()));
}

#[test]
fn a_changed_trace() {
    let (old, new) = (snapshot("one"), snapshot("another"));
    let difference = Difference::of(&old, &new);
    golden("difference", &plain(&format!("{}\n{}", difference.headline(), difference.text())));
}

#[test]
fn a_table_that_is_wider_than_the_terminal() {
    let rows = || [vec!["DGC-9-02".to_owned(), "SHALL".to_owned(), "group/missed-messages rejoin/before-register".repeat(3)]];
    let head = ["requirement", "level", "scenarios"];
    golden("table", &format!("{}\n{}", matrix::table(&head, rows(), 300), matrix::table(&head, rows(), 60)));
}

#[test]
fn nothing_nasty_gets_out_of_any_report() {
    for text in NASTY {
        inspect_all(text);
    }
    inspect_all(&"long".repeat(5_000));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_at_all_gets_out_of_any_report(text in any::<String>()) {
        inspect_all(&text);
    }
}

/// What a hostile peer, or an unlucky one, may put wherever text goes.
const NASTY: [&str; 12] = [
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[31mred",
    "\u{9b}2J\u{90}q\u{9c}",
    "a\rb\nc\r\nd\u{b}\u{c}\u{85}\u{2028}\u{2029}e",
    "\0\u{1}\u{8}\u{7f}",
    "]]><!-- </failure><script>alert('x')</script> &amp; \" '",
    "\u{fffe}\u{ffff}\u{fdd0}",
    "| a | b |\n|---|---|\n`code` *bold* [link](javascript:x) <b>",
    "\u{202e}gnp.exe\u{2066}\u{200f}\u{feff}",
    "::error file=x::y%0A::set-output name=z::1",
    "{\"type\":\"footer\",\"complete\":true}\n{\"type\":\"header\"}",
    "\\u001b \\n %s {} {0}",
    "",
];

/// Every report of a run in which `text` stands wherever text can stand.
fn inspect_all(text: &str) {
    let outcome = nasty(text);
    let error = Outcome { gate: Gate::Error, repetition: 2, ..outcome.clone() };
    let draft = Outcome { draft: true, repetition: 3, ..outcome.clone() };
    let said = || name(text);
    let expected = Expected { what: "fail", because: said(), issue: said(), place: said(), difference: said() };
    let waived = Outcome { gate: Gate::Waived, repetition: 4, expected: Some(expected.clone()), ..outcome.clone() };
    let surprise = Outcome { gate: Gate::Surprise, repetition: 5, expected: Some(expected), ..outcome.clone() };
    let flaky = Outcome { gate: Gate::Flaky, repetition: 6, remark: said(), ..outcome.clone() };
    let outcomes = [outcome.clone(), error, draft, waived, surprise, flaky];
    let skips = [Skip { name: name(text), why: name(text), omission: Omission::NotApplicable }];
    let suite = suite();
    let (totals, mut reasons) = totals(&outcomes);
    reasons.add(Exit::Environment, name(text));
    let closing = Closing { outcomes: &outcomes, skips: &skips, totals: &totals, reasons: &reasons, requirements: "", full: true };
    let marks = terminal::marks(&outcome);
    let look = ladder::Look { ascii: true, marks: &marks, ignored: &[] };
    let shown = [
        terminal::block(&outcome, &setting(&suite)),
        terminal::line(&outcome),
        terminal::closing(&closing),
        diff::of_outcomes(&outcomes),
        ladder::ladder(&outcome.trace, &look),
        ladder::messages(&outcome.trace),
        matrix::table(&["a", "b"], [vec![text.to_owned(), text.to_owned()]], 80),
    ];
    for report in &shown {
        is_inert(report);
    }
    for report in [&shown[0], &shown[1], &shown[2], &shown[3], &shown[4]] {
        let longest = report.lines().max_by_key(|line| line.len()).unwrap_or_default();
        assert!(
            longest.chars().count() < 2_000,
            "{} characters: {}",
            longest.len(),
            &longest.chars().take(200).collect::<String>()
        );
    }
    is_xml(&junit::render(&outcomes, &skips, 1, text).expect("XML"), 7);
    is_run_file(&run_file(&outcomes), &outcomes);
}

/// A terminal does nothing on it but write and colour.
fn is_inert(report: &str) {
    let own = ["\u{1b}[1;31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[1;34m", "\u{1b}[0m"];
    let bare = own.iter().fold(report.to_owned(), |text, code| text.replace(code, ""));
    let strange: Vec<char> = bare
        .chars()
        .filter(|char| (char.is_control() && *char != '\n') || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        .collect();
    assert_eq!(strange, [], "{report:?}");
}

fn is_xml(xml: &str, cases: usize) {
    let document = roxmltree::Document::parse(xml).expect("well-formed XML");
    let count = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
    assert_eq!((count("testcase"), count("failure"), count("error"), count("skipped")), (cases, 3, 1, 3), "{xml}");
    let legal = |char: char| matches!(char, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(xml.chars().all(legal), "{xml:?}");
}

/// Each line is one object, and what was recorded comes back byte for byte.
fn is_run_file(file: &str, outcomes: &[Outcome]) {
    for line in file.strip_suffix('\n').expect("an end of line").split('\n') {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(value["type"].is_string(), "{line}");
    }
    let stored = read(file).expect("a run file");
    assert!(stored.complete);
    assert_eq!(stored.outcomes.len(), outcomes.len());
    for (read, written) in stored.outcomes.iter().zip(outcomes) {
        let read = &read.trace.as_ref().expect("a trace").events;
        assert_eq!(read.len(), written.trace.events.len());
        read.iter().zip(&written.trace.events).for_each(|(read, written)| assert_eq!(read, written));
    }
}

fn golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/reports"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

const REQUIREMENTS: &str = "\
DGC-9-02:
  clause: 8.3.2.9
  level: SHALL
  actor: pf
  summary: The PF keeps the focus leg when the Client was lost rather than left
";

const SCENARIO: &str = "\
title: A BYE is answered
flow:
  - bob -> pf BYE: { id: loss }
  - pf -> bob 404: { answers: loss, because: DGC-9-02 }
";

fn suite() -> Suite {
    let texts =
        [("suite.yaml", "title: A suite for tests\n"), ("requirements.yaml", REQUIREMENTS), ("group/decline.yaml", SCENARIO)];
    crate::suite::load_all(Sources::of_texts("scenarios", texts)).suite
}

#[test]
fn what_a_script_did_not_come_to_show_is_one_line_once_it_broke_off() {
    let mut outcome = failed();
    let claim = |id: &str| Finding { id: id.to_owned(), event: None, fault: Fault::Scenario, ..outcome.findings[1].clone() };
    let claims = [claim("DGC-9-06"), claim("DGC-1.2-01")];
    outcome.findings.extend(claims);
    let text = plain(&terminal::block(&outcome, &setting(&suite())));
    assert!(text.contains("= not shown   DGC-9-06, DGC-1.2-01"), "{text}");
    assert!(!text.contains("not kept: DGC-9-06"), "{text}");
    outcome.misses.clear();
    let text = plain(&terminal::block(&outcome, &setting(&suite())));
    assert!(text.contains("not kept: DGC-9-06"), "{text}");
}

fn setting(suite: &Suite) -> Setting<'_> {
    Setting { suite, suite_flag: Some("scenarios"), ascii: false, width: 100, run_file: Some("run.jsonl"), flags: "" }
}

/// The place of `text` in the scenario.
fn place(suite: &Suite, text: &str) -> Place {
    let (file, source) = suite.sources.find("group/decline.yaml").expect("the scenario");
    let start = source.text.find(text).expect("the text");
    let number = |at: usize| u32::try_from(at).expect("a short file");
    Place { file, start: number(start), end: number(start + text.len()) }
}

/// A group session in which the Client is lost; the harness cuts, breaks and restarts things.
fn tape() -> Tape {
    let mut tape = session();
    let sent = tape.send("focus", "pf", "one");
    tape.msrp_answer(sent, "pf", "focus", 200);
    let lost = In { call_id: "c", from: "b-1", to: Some("pf-1"), cseq: 1 };
    let bye = tape.ask("bob.phone", "pf", "BYE", lost);
    tape.answer(bye, "pf", "bob.phone", 200, "");
    tape.fault("restart pf");
    tape.lose("focus", crate::engine::Closure::Reset, false);
    tape
}

/// The number of the BYE's 200 in [`tape`].
const ANSWER: u32 = 9;

fn failed() -> Outcome {
    let mut trace = tape().trace();
    let number = u32::try_from(trace.events.len()).expect("few events");
    trace.events.push(Event { number, at: trace.ended, kind: Kind::FlowEnded });
    let finding = Finding {
        kind: FindingKind::Expectation,
        id: "step 2".to_owned(),
        level: Level::Shall,
        certainty: Certainty::Broken,
        event: Some(ANSWER),
        cites: "DGC-9-02".to_owned(),
        expected: "404".to_owned(),
        observed: "200 OK".to_owned(),
        fault: Fault::Iut,
    };
    let rule = Finding {
        kind: FindingKind::Rule,
        id: "DGC-9-02".to_owned(),
        expected: "no BYE to the focus".to_owned(),
        observed: "BYE".to_owned(),
        ..finding.clone()
    };
    let invariant = Finding {
        kind: FindingKind::Invariant,
        id: "ack-for-every-final".to_owned(),
        cites: "RFC 3261 13.2.2.4".to_owned(),
        event: None,
        expected: "an ACK for every final response to an INVITE".to_owned(),
        observed: "none for 32s".to_owned(),
        ..finding.clone()
    };
    let miss = Miss {
        code: "C0201",
        title: "pf answered 200 OK, which this step does not allow".to_owned(),
        step: Some(2),
        place: Some(place(&suite(), "pf -> bob 404")),
        label: "observed 200 OK".to_owned(),
        notes: vec![("allowed", "404 (SHALL)".to_owned()), ("observed", "200 OK at 0.009, message #9, pf -> bob".to_owned())],
    };
    Outcome {
        scenario: "group/decline".to_owned(),
        variant: String::new(),
        repetition: 1,
        seed: 17,
        draft: false,
        requirements: vec!["DGC-9-02".to_owned()],
        verdict: Verdict::Fail,
        gate: Gate::Fail,
        findings: vec![finding, rule, invariant],
        misses: vec![miss],
        rules: [("DGC-9-02".to_owned(), RuleState::Violated)].into(),
        ignored: vec![5],
        steps: std::collections::BTreeMap::new(),
        comparison: Comparison::Skipped,
        clean_up: CleanUp::Left(vec!["a session of bob".to_owned()]),
        trace,
        took: Duration::from_millis(1_019),
        expected: None,
        remark: String::new(),
    }
}

fn warned() -> Outcome {
    let failed = failed();
    let finding = Finding { level: Level::Should, ..failed.findings[1].clone() };
    Outcome {
        scenario: "group/warned".to_owned(),
        verdict: Verdict::Pass,
        gate: Gate::Warn,
        findings: vec![finding],
        misses: Vec::new(),
        clean_up: CleanUp::Clean,
        comparison: Comparison::Changed { old: snapshot("one"), new: snapshot("another") },
        ..failed
    }
}

fn passed() -> Outcome {
    Outcome {
        scenario: "group/passed".to_owned(),
        variant: "strict".to_owned(),
        gate: Gate::Pass,
        findings: Vec::new(),
        rules: [("DGC-9-02".to_owned(), RuleState::Satisfied)].into(),
        comparison: Comparison::New(snapshot("one")),
        ..warned()
    }
}

fn outcomes() -> [Outcome; 4] {
    let draft = Outcome { scenario: "draft/undecided".to_owned(), draft: true, ..failed() };
    [failed(), warned(), passed(), draft]
}

fn skips() -> [Skip; 1] {
    [Skip { name: "group/skipped".to_owned(), why: "--skip group/skipped".to_owned(), omission: Omission::Skipped }]
}

fn totals(outcomes: &[Outcome]) -> (Totals, Reasons) {
    let mut totals = Totals { skipped: 1, ..Totals::default() };
    outcomes.iter().for_each(|outcome| totals.count(outcome));
    let reasons = Reasons::of(&totals);
    (totals, reasons)
}

fn snapshot(id: &str) -> String {
    let mut tape = session();
    tape.send("focus", "pf", id);
    Snapshot::of(&tape.trace(), "group/decline.yaml", "A BYE is answered").to_file()
}

fn run_file(outcomes: &[Outcome]) -> String {
    let names: Vec<String> = outcomes.iter().map(Outcome::name).collect();
    let opening = Opening {
        title: "A suite for tests",
        suite_hash: "0123456789abcdef",
        selected: &names,
        seed: 17,
        target: "reference",
        speed: None,
        filtered: false,
    };
    let (totals, reasons) = totals(outcomes);
    let mut writer = Writer::begin(Vec::new(), Keep::On, &opening).expect("memory");
    for outcome in outcomes {
        writer.add(outcome, &suite().sources).expect("memory");
    }
    String::from_utf8(writer.finish(&totals, &reasons, true, None).expect("memory")).expect("text")
}

/// An outcome in which `text` stands wherever a peer or an author can put text.
fn nasty(text: &str) -> Outcome {
    let mut outcome = failed();
    let named = || text.to_owned();
    let name = name(text);
    for finding in &mut outcome.findings {
        (finding.id, finding.cites, finding.expected, finding.observed) = (name.clone(), named(), named(), named());
    }
    for miss in &mut outcome.misses {
        (miss.title, miss.label, miss.notes) = (named(), named(), vec![("observed", named())]);
    }
    outcome.scenario = format!("group/{name}");
    outcome.variant = name.clone();
    outcome.requirements = vec![name.clone()];
    outcome.rules = [(name.clone(), RuleState::Violated)].into();
    outcome.clean_up = CleanUp::Left(vec![named()]);
    outcome.comparison = Comparison::Changed { old: snapshot("one"), new: snapshot("one").replace("hello one", text) };
    let header = &mut outcome.trace.header;
    header.scenario = outcome.scenario.clone();
    header.variant = outcome.variant.clone();
    header.policy = Arc::new([(named(), named())].into());
    for (_, party) in &mut Arc::make_mut(&mut header.book).nodes {
        if party.role == Role::Cf {
            *party = Party::on(Role::Cf, &name, text);
        }
    }
    outcome.trace.events.extend(nasty_events(text, outcome.trace.events[0].clone()));
    for (number, event) in (0..).zip(&mut outcome.trace.events) {
        event.number = number;
        event.at = Instant::from_millis(u64::from(number));
    }
    outcome
}

/// Names come from files of the suite: they are as nasty, but no longer than a file's name.
fn name(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Messages with `text` in start line, header fields and body, and bytes that are no message.
fn nasty_events(text: &str, like: Event) -> Vec<Event> {
    let Kind::Message { link, .. } = like.kind else { panic!("the first event is a message") };
    let start = |line: &str| line.replace(['\r', '\n', '\u{85}', '\u{2028}', '\u{2029}'], " ");
    let sip = |start: &str, field: &str, body: &[u8]| {
        let mut bytes = format!(
            "{start}\r\nVia: SIP/2.0/TCP a;branch=z9hG4bKx\r\nCall-ID: {field}\r\nSubject: {field}\r\nX-{field}: x\r\n\r\n"
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        Message::decode(bytes.into()).ok().map(Content::Sip)
    };
    let field = start(text);
    let word = start(text).replace(' ', "_");
    let broken = Bytes::from([text.as_bytes(), b"\xff\xfe\x80"].concat());
    let fault = Message::decode(broken.clone()).expect_err("no message");
    let contents = [
        sip(&format!("SIP/2.0 200 {field}"), &field, text.as_bytes()),
        sip(&format!("{word} sip:{word} SIP/2.0"), &field, b"\xff\x1b\x00"),
        Some(Content::Broken { bytes: broken, fault }),
    ];
    let messages = contents.into_iter().flatten().map(|content| Kind::Message { link, sent: false, content });
    let notes = [Kind::Fault(text.to_owned())];
    messages.chain(notes).map(|kind| Event { number: 0, at: Instant::ZERO, kind }).collect()
}
