//! Each operator of the rule language on small traces: kept, broken, open, not called for.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::judge::Judge;
use crate::suite::catalogue::Level;
use crate::suite::source::Sources;
use crate::suite::{self};
use crate::trace::Trace;
use crate::trace::testing::{BOB, In, Tape, session};

/// Reads one rule.
fn judge_of(rule: &str, setup: Setup) -> Judge {
    judge_at("SHALL", rule, setup)
}

/// Reads one rule of a requirement of this level.
fn judge_at(level: &str, rule: &str, setup: Setup) -> Judge {
    let mut text = format!("DGC-9-01:\n  clause: 8.3\n  level: {level}\n  actor: pf\n  summary: as the rule says\n  rule:\n");
    for line in rule.lines() {
        let _ = writeln!(text, "    {line}");
    }
    let loaded = suite::load_all(Sources::of_texts("test", [("requirements.yaml", text.as_str())]));
    let requirements = loaded.suite.catalogue.requirements;
    assert!(requirements.first().is_some_and(|first| !first.rules.is_empty()), "{:?}", loaded.diagnostics);
    Judge::new(&requirements, Names::default(), setup)
}

fn judged(rule: &str, trace: &Trace) -> Outcome {
    judge_of(rule, Setup::default()).judge(trace).outcome("DGC-9-01").expect("the requirement")
}

fn outcome(rule: &str, tape: &Tape) -> Outcome {
    judged(rule, &tape.trace())
}

const CLIENT: In<'static> = In { call_id: "c", from: "b-1", to: Some("pf-1"), cseq: 7 };
const TO_FOCUS: In<'static> = In { call_id: "f", from: "pf-f", to: Some("cf-1"), cseq: 2 };

fn bye(tape: &mut Tape) -> u32 {
    tape.ask("bob.phone", "pf", "BYE", CLIENT)
}

fn lost(tape: &mut Tape) -> u32 {
    let bye = tape.request("bob.phone", "BYE", "sip:x", CLIENT).push("Reason", "SIP;cause=503").build();
    tape.sip("bob.phone", "pf", bye)
}

fn register(tape: &mut Tape) -> u32 {
    let request = tape.request("core", "REGISTER", "sip:pf.home1.example", In { call_id: "3p", from: "s", to: None, cseq: 1 });
    let request =
        request.set("To", format!("<{BOB}>")).set("Via", "SIP/2.0/TCP scscf1.home1.example;branch=z9hG4bKregister").build();
    tape.sip("core", "pf", request)
}

fn rejoin(tape: &mut Tape) -> u32 {
    tape.ask("bob.phone", "pf", "INVITE", In { call_id: "r", from: "b-2", to: None, cseq: 1 })
}

fn delivered(tape: &mut Tape, id: &str) {
    let sent = tape.send("pf", "bob.phone", id);
    tape.msrp_answer(sent, "bob.phone", "pf", 200);
}

fn stored(tape: &mut Tape, id: &str) {
    let sent = tape.send("focus", "pf", id);
    tape.msrp_answer(sent, "pf", "focus", 200);
}

#[test]
fn must_judges_the_trigger_itself() {
    let rule = "per: [dialog]\nwhen: { client -> pf BYE: {} }\nmust: { Reason: present }";
    let mut tape = session();
    assert_eq!(outcome(rule, &tape), Outcome::NotTriggered);
    lost(&mut tape);
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
    bye(&mut tape);
    assert_eq!(outcome(rule, &tape), Outcome::Violated);
}

#[test]
fn a_note_binds_where_the_policy_says_so() {
    let judge = judge_at("NOTE", "per: [dialog]\nwhen: { client -> pf BYE: {} }\nmust: { Reason: present }", Setup::default());
    let mut tape = session();
    bye(&mut tape);
    let mut trace = tape.trace();
    for (word, level) in [("warning", Level::Note), ("failure", Level::Shall)] {
        Arc::make_mut(&mut trace.header.policy).insert("report.notes-as".into(), word.into());
        let finding = judge.judge(&trace).findings.into_iter().find(|finding| finding.id == "DGC-9-01").expect("a finding");
        assert_eq!(finding.level, level, "{word}");
    }
}

const ANSWERED: &str = "per: [dialog]\nwhen: { client -> pf BYE: {} }\nthen: { pf -> client 200: { answers: $when } }\nwithin: 5s";

#[test]
fn a_response_in_time_satisfies() {
    let mut tape = session();
    let asked = bye(&mut tape);
    tape.answer(asked, "pf", "bob.phone", 200, "");
    tape.wait(60_000);
    assert_eq!(outcome(ANSWERED, &tape), Outcome::Satisfied);
}

#[test]
fn a_response_too_late_or_never_violates() {
    let mut tape = session();
    let asked = bye(&mut tape);
    assert_eq!(outcome(ANSWERED, &tape), Outcome::Pending, "its time is not over");
    tape.wait(5_001);
    assert_eq!(outcome(ANSWERED, &tape), Outcome::Violated, "nothing came");
    tape.answer(asked, "pf", "bob.phone", 200, "");
    assert_eq!(outcome(ANSWERED, &tape), Outcome::Violated, "it came too late");
    let judge = judge_of(ANSWERED, Setup { scale: 2.0, ..Setup::default() });
    assert_eq!(judge.judge(&tape.trace()).outcome("DGC-9-01"), Some(Outcome::Satisfied), "written times are scaled");
}

#[test]
fn a_response_to_another_request_does_not_count() {
    let mut tape = session();
    let first = bye(&mut tape);
    let second = tape.ask("bob.phone", "pf", "BYE", In { cseq: 8, ..CLIENT });
    tape.answer(second, "pf", "bob.phone", 200, "");
    tape.wait(6_000);
    let judgement = judge_of(ANSWERED, Setup::default()).judge(&tape.trace());
    let breach = &judgement.requirements[0].rules[0].breaches[0];
    assert_eq!((breach.event, breach.trigger), (Some(first), Some(first)));
}

#[test]
fn a_chain_is_owed_in_order() {
    let rule = "per: [group, user]\nwhen: { client -> pf BYE: {} }\nthen: [ { pf -> cf SUBSCRIBE: {} }, { pf -> cf BYE: {} } ]\nwithin: 5s";
    let subscribe = |tape: &mut Tape| tape.ask("pf", "focus", "SUBSCRIBE", In { call_id: "s", from: "x", to: None, cseq: 1 });
    let mut tape = session();
    bye(&mut tape);
    subscribe(&mut tape);
    tape.ask("pf", "focus", "BYE", TO_FOCUS);
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
    let mut tape = session();
    bye(&mut tape);
    tape.ask("pf", "focus", "BYE", TO_FOCUS);
    subscribe(&mut tape);
    tape.wait(6_000);
    assert_eq!(outcome(rule, &tape), Outcome::Violated);
}

#[test]
fn before_bounds_by_an_event() {
    let rule = "per: [group, user]\nwhen: { client -> pf INVITE: { initial: true } }\nthen: { pf -> client 2xx: { answers: $when } }\nbefore: { pf -> client MSRP SEND: {} }";
    let mut tape = session();
    let asked = rejoin(&mut tape);
    tape.answer(asked, "pf", "bob.phone", 200, "p");
    tape.send("pf", "bob.phone", "one");
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
    let mut tape = session();
    rejoin(&mut tape);
    tape.send("pf", "bob.phone", "one");
    assert_eq!(outcome(rule, &tape), Outcome::Violated);
}

const STAYS: &str = "per: [group, user]\nwhen: { client -> pf BYE: { Reason: present } }\nnever: { pf -> cf BYE: {} }\nuntil: { client -> pf INVITE: {} }";

#[test]
fn an_absence_holds_until_its_end() {
    let mut tape = session();
    lost(&mut tape);
    assert_eq!(outcome(STAYS, &tape), Outcome::Satisfied, "it held to the end of a complete trace");
    assert_eq!(judged(STAYS, &Trace { complete: false, ..tape.trace() }), Outcome::Pending);
    rejoin(&mut tape);
    tape.ask("pf", "focus", "BYE", TO_FOCUS);
    assert_eq!(outcome(STAYS, &tape), Outcome::Satisfied, "it ended before");
}

#[test]
fn what_must_not_come_violates_and_is_named() {
    let mut tape = session();
    let trigger = lost(&mut tape);
    let wrong = tape.ask("pf", "focus", "BYE", TO_FOCUS);
    let judgement = judge_of(STAYS, Setup::default()).judge(&tape.trace());
    let breach = &judgement.requirements[0].rules[0].breaches[0];
    assert_eq!((breach.event, breach.trigger), (Some(wrong), Some(trigger)));
    let finding = judgement.findings.iter().find(|finding| finding.id == "DGC-9-01").expect("a finding");
    assert_eq!(finding.event, Some(wrong));
}

#[test]
fn the_trigger_never_counts_for_its_own_instance() {
    let rule = "per: [group, user]\nwhen: { client -> pf BYE: {} }\nnever: { client -> pf BYE: {} }";
    let mut tape = session();
    bye(&mut tape);
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
    tape.ask("bob.phone", "pf", "BYE", In { cseq: 8, ..CLIENT });
    assert_eq!(outcome(rule, &tape), Outcome::Violated, "a second one counts for the first");
}

#[test]
fn an_absence_may_be_bounded_in_time() {
    let rule = "per: [group, user]\nwhen: { client -> pf BYE: {} }\nnever: { pf -> cf BYE: {} }\nwithin: 2s";
    for (wait, expected) in [(1_000, Outcome::Violated), (3_000, Outcome::Satisfied)] {
        let mut tape = session();
        bye(&mut tape);
        tape.wait(wait);
        tape.ask("pf", "focus", "BYE", TO_FOCUS);
        assert_eq!(outcome(rule, &tape), expected);
    }
}

#[test]
fn precedence_looks_back() {
    let rule = "per: [group, user]\nwhen: { pf -> cf BYE: {} }\nneeds: { client -> pf BYE: {} }";
    let mut tape = session();
    tape.ask("pf", "focus", "BYE", TO_FOCUS);
    assert_eq!(outcome(rule, &tape), Outcome::Violated);
    let mut tape = session();
    bye(&mut tape);
    tape.ask("pf", "focus", "BYE", TO_FOCUS);
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
}

#[test]
fn precedence_may_depend_on_what_was_bound() {
    let rule = "per: [group, user]\nwhen: { pf -> client MSRP SEND: { cpim.imdn.Message-ID: { bind: id } } }\nneeds: { cf -> pf MSRP SEND: { cpim.imdn.Message-ID: $id } }";
    let mut tape = session();
    stored(&mut tape, "one");
    delivered(&mut tape, "one");
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
    delivered(&mut tape, "two");
    assert_eq!(outcome(rule, &tape), Outcome::Violated);
}

#[test]
fn counts_have_an_upper_and_a_lower_bound() {
    let most = "per: [group, user]\nwhen: { client -> pf INVITE: {} }\ncount: { of: { pf -> client MSRP SEND: {} }, at-most: 1 }";
    let least = "per: [group, user]\nwhen: { client -> pf INVITE: {} }\ncount: { of: { pf -> client MSRP SEND: {} }, at-least: 2 }\nuntil: { client -> pf BYE: {} }";
    let mut tape = session();
    delivered(&mut tape, "earlier");
    rejoin(&mut tape);
    delivered(&mut tape, "one");
    assert_eq!(outcome(most, &tape), Outcome::Satisfied);
    let mut early = session();
    rejoin(&mut early);
    delivered(&mut early, "one");
    bye(&mut early);
    assert_eq!(outcome(least, &early), Outcome::Violated);
    delivered(&mut tape, "two");
    bye(&mut tape);
    assert_eq!(outcome(most, &tape), Outcome::Violated);
    assert_eq!(outcome(least, &tape), Outcome::Satisfied);
}

const RELAYED: &str = "per: [group, user]
while:
  after: { client -> pf BYE: { Reason: present } }
  until: { pf -> client 2xx: { answers: INVITE } }
relay:
  from: { cf -> pf MSRP SEND: {} }
  to: { pf -> client MSRP SEND: { answered: 200 } }
  key: cpim.imdn.Message-ID
  order: same
  times: 1
  within: 10s
unless: { client -> pf 603: { answers: INVITE } }";

fn missed(ids: &[&str]) -> Tape {
    let mut tape = session();
    lost(&mut tape);
    ids.iter().for_each(|id| stored(&mut tape, id));
    tape.wait(90_000);
    let asked = rejoin(&mut tape);
    tape.answer(asked, "pf", "bob.phone", 200, "p");
    tape
}

#[test]
fn a_relay_is_owed_in_order_and_once() {
    let mut tape = missed(&["one", "two"]);
    delivered(&mut tape, "one");
    delivered(&mut tape, "live");
    delivered(&mut tape, "two");
    tape.wait(20_000);
    assert_eq!(outcome(RELAYED, &tape), Outcome::Satisfied);
}

#[test]
fn a_relay_that_loses_repeats_or_swaps_violates() {
    for ids in [&["one"][..], &["one", "one", "two"], &["two", "one"]] {
        let mut tape = missed(&["one", "two"]);
        ids.iter().for_each(|id| delivered(&mut tape, id));
        tape.wait(20_000);
        assert_eq!(outcome(RELAYED, &tape), Outcome::Violated, "{ids:?}");
    }
}

#[test]
fn a_relay_is_open_while_the_client_is_away_and_while_there_is_time() {
    let mut away = session();
    lost(&mut away);
    stored(&mut away, "one");
    away.wait(90_000);
    assert_eq!(outcome(RELAYED, &away), Outcome::Pending);
    let mut tape = missed(&["one", "two"]);
    delivered(&mut tape, "one");
    tape.wait(9_000);
    assert_eq!(outcome(RELAYED, &tape), Outcome::Pending);
    tape.wait(2_000);
    assert_eq!(outcome(RELAYED, &tape), Outcome::Violated);
}

#[test]
fn a_second_loss_gives_the_relay_new_time() {
    let mut tape = missed(&["one", "two"]);
    delivered(&mut tape, "one");
    lost(&mut tape);
    tape.wait(60_000);
    let asked = tape.ask("bob.phone", "pf", "INVITE", In { call_id: "r2", from: "b-3", to: None, cseq: 1 });
    tape.answer(asked, "pf", "bob.phone", 200, "p2");
    delivered(&mut tape, "two");
    tape.wait(20_000);
    assert_eq!(outcome(RELAYED, &tape), Outcome::Satisfied);
}

#[test]
fn a_permission_is_satisfied_when_it_is_used() {
    let rule = "per: [group, user]\nseen: { pf -> cf BYE: {} }";
    let mut tape = session();
    assert_ne!(outcome(rule, &tape), Outcome::Violated);
    tape.ask("pf", "focus", "BYE", TO_FOCUS);
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
}

#[test]
fn unless_ends_the_obligation_without_verdict() {
    let rule = format!("{ANSWERED}\nunless: {{ client -> pf INVITE: {{}} }}").replace("[dialog]", "[group, user]");
    let mut tape = session();
    bye(&mut tape);
    rejoin(&mut tape);
    tape.wait(6_000);
    assert_eq!(outcome(&rule, &tape), Outcome::NotTriggered);
}

#[test]
fn unless_makes_a_chain_start_anew() {
    let rule = "per: [group, user]\nwhen: [ { client -> pf BYE: {} }, { core -> pf REGISTER: {} } ]\nthen: { pf -> client INVITE: {} }\nwithin: 5s\nunless: { client -> pf INVITE: {} }";
    let mut tape = session();
    bye(&mut tape);
    rejoin(&mut tape);
    register(&mut tape);
    tape.wait(6_000);
    assert_eq!(outcome(rule, &tape), Outcome::NotTriggered);
}

#[test]
fn unless_with_a_variable_ends_the_chains_that_bound_it() {
    let rule = "per: [group, user]\nwhen: [ { cf -> pf MSRP SEND: { cpim.imdn.Message-ID: { bind: id } } }, { client -> pf BYE: {} } ]\nnever: { cf -> pf BYE: {} }\nunless: { pf -> client MSRP SEND: { cpim.imdn.Message-ID: $id } }";
    let mut tape = session();
    tape.send("focus", "pf", "a");
    tape.send("pf", "bob.phone", "a");
    bye(&mut tape);
    tape.ask("focus", "pf", "BYE", In { call_id: "f", from: "cf-1", to: Some("pf-f"), cseq: 2 });
    assert_eq!(outcome(rule, &tape), Outcome::NotTriggered, "the chain of a has ended");
    let mut tape = session();
    tape.send("focus", "pf", "a");
    tape.send("focus", "pf", "b");
    tape.send("pf", "bob.phone", "a");
    bye(&mut tape);
    tape.ask("focus", "pf", "BYE", In { call_id: "f", from: "cf-1", to: Some("pf-f"), cseq: 2 });
    assert_eq!(outcome(rule, &tape), Outcome::Violated, "nothing ended the chain of b");
}

#[test]
fn a_chain_triggers_with_each_last_link() {
    let rule = "per: [group, user]\nwhen: [ { client -> pf BYE: {} }, { client -> pf INVITE: {} } ]\nthen: { pf -> client 2xx: { answers: $when } }\nwithin: 5s";
    let mut tape = session();
    let early = rejoin(&mut tape);
    tape.wait(6_000);
    assert_eq!(outcome(rule, &tape), Outcome::NotTriggered, "the first link is missing: {early}");
    bye(&mut tape);
    let first = tape.ask("bob.phone", "pf", "INVITE", In { call_id: "r2", from: "b", to: None, cseq: 1 });
    tape.answer(first, "pf", "bob.phone", 200, "p");
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
    tape.ask("bob.phone", "pf", "INVITE", In { call_id: "r3", from: "b", to: None, cseq: 1 });
    tape.wait(6_000);
    assert_eq!(outcome(rule, &tape), Outcome::Violated);
}

#[test]
fn each_match_in_the_middle_of_a_chain_is_a_chain_of_its_own() {
    let rule = "per: [group, user]\nwhen: [ { client -> pf BYE: {} }, { cf -> pf MSRP SEND: { cpim.imdn.Message-ID: { bind: id } } }, { client -> pf INVITE: {} } ]\nthen: { pf -> client MSRP SEND: { cpim.imdn.Message-ID: $id } }\nwithin: 5s";
    let mut tape = session();
    bye(&mut tape);
    tape.send("focus", "pf", "a");
    tape.send("focus", "pf", "b");
    rejoin(&mut tape);
    tape.send("pf", "bob.phone", "a");
    tape.wait(6_000);
    assert_eq!(outcome(rule, &tape), Outcome::Violated, "b is missing");
    let mut tape = session();
    bye(&mut tape);
    tape.send("focus", "pf", "a");
    tape.send("focus", "pf", "b");
    rejoin(&mut tape);
    tape.send("pf", "bob.phone", "a");
    tape.send("pf", "bob.phone", "b");
    tape.wait(6_000);
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
}

#[test]
fn parts_trigger_in_any_order() {
    let rule =
        "per: [group, user]\nwhen: { all: [ { client -> pf BYE: {} }, { cf -> pf BYE: {} } ] }\nnever: { pf -> client INVITE: {} }";
    let mut tape = session();
    tape.ask("focus", "pf", "BYE", In { call_id: "f", from: "cf-1", to: Some("pf-f"), cseq: 2 });
    assert_eq!(outcome(rule, &tape), Outcome::NotTriggered);
    bye(&mut tape);
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
}

#[test]
fn each_binding_starts_an_instance() {
    let rule = "per: [group, user]\nwhen: { cf -> pf MSRP SEND: { cpim.imdn.Message-ID: { bind: id } } }\nthen: { pf -> client MSRP SEND: { cpim.imdn.Message-ID: $id } }\nwithin: 5s";
    let mut tape = session();
    stored(&mut tape, "one");
    stored(&mut tape, "two");
    delivered(&mut tape, "two");
    tape.wait(1_000);
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
    tape.wait(5_000);
    assert_eq!(outcome(rule, &tape), Outcome::Violated, "one is missing");
}

#[test]
fn the_latest_binding_replaces_the_one_before() {
    let rule = "per: [group, user]\nwhen: [ { cf -> pf MSRP SEND: { cpim.imdn.Message-ID: { bind-latest: id } } }, { pf -> client MSRP SEND: {} } ]\nmust: { cpim.imdn.Message-ID: $id }";
    let mut tape = session();
    stored(&mut tape, "one");
    stored(&mut tape, "two");
    delivered(&mut tape, "two");
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
    delivered(&mut tape, "one");
    assert_eq!(outcome(rule, &tape), Outcome::Violated);
}

/// A BYE of bob under another number.
fn bye_number(tape: &mut Tape, cseq: u32) {
    tape.ask("bob.phone", "pf", "BYE", In { cseq, ..CLIENT });
}

#[test]
fn a_number_may_be_compared_with_what_was_bound() {
    let rule = "per: [dialog]\nwhen: [ { client -> pf BYE: { CSeq.number: { bind: n } } }, { client -> pf BYE: { CSeq.number: { greater-than: $n } } } ]\nmust: { CSeq.number: { less-than: $n } }";
    let mut tape = session();
    bye_number(&mut tape, 7);
    bye_number(&mut tape, 6);
    bye_number(&mut tape, 7);
    assert_eq!(outcome(rule, &tape), Outcome::Violated, "7 comes after 6, and is not less");
    let mut tape = session();
    bye_number(&mut tape, 7);
    bye_number(&mut tape, 7);
    bye_number(&mut tape, 6);
    assert_eq!(outcome(rule, &tape), Outcome::NotTriggered, "nothing grows");
}

#[test]
fn the_newest_of_numbered_messages_is_told_from_those_that_come_late() {
    let rule = "per: [dialog]\nwhen: { any: [ { client -> pf BYE: { Call-ID: { not: $call, bind-latest: call }, CSeq.number: { bind-latest: n } } }, { client -> pf BYE: { Call-ID: $call, CSeq.number: { greater-than: $n, bind-latest: n } } } ] }\nmust: { Reason: absent }";
    let mut tape = session();
    bye_number(&mut tape, 8);
    lost(&mut tape);
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied, "7 is late");
    let mut tape = session();
    bye_number(&mut tape, 6);
    lost(&mut tape);
    assert_eq!(outcome(rule, &tape), Outcome::Violated, "7 is newer than 6");
}

#[test]
fn a_bound_that_is_no_number_fits_nothing() {
    let rule = "per: [dialog]\nwhen: [ { client -> pf INVITE: { CSeq.method: { bind: n } } }, { client -> pf BYE: {} } ]\nnever: { any: [ { pf -> client 2xx: { answers: BYE, CSeq.number: { greater-than: $n } } }, { pf -> client 2xx: { answers: BYE, CSeq.number: { less-than: $n } } } ] }";
    let mut tape = session();
    tape.ask("bob.phone", "pf", "INVITE", CLIENT);
    let asked = bye(&mut tape);
    tape.answer(asked, "pf", "bob.phone", 200, "");
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
}

#[test]
fn triggers_count_inside_their_scope_only() {
    let rule = "per: [group, user]\nwhile: { after: { client -> pf BYE: {} }, until: { client -> pf INVITE: {} } }\nwhen: { pf -> client MSRP SEND: {} }\nmust: { msrp.content-type: text/plain }";
    let mut tape = session();
    delivered(&mut tape, "one");
    bye(&mut tape);
    rejoin(&mut tape);
    delivered(&mut tape, "two");
    assert_eq!(outcome(rule, &tape), Outcome::NotTriggered);
    lost(&mut tape);
    delivered(&mut tape, "three");
    assert_eq!(outcome(rule, &tape), Outcome::Violated, "the scope opened again");
}

#[test]
fn an_event_that_fits_two_alternatives_counts_once() {
    let rule = "per: [group, user]\nwhen: { client -> pf INVITE: {} }\ncount: { of: { any: [ { pf -> client MSRP SEND: {} }, { any -> client MSRP SEND: {} } ] }, at-most: 1 }";
    let mut tape = session();
    rejoin(&mut tape);
    delivered(&mut tape, "one");
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
}

#[test]
fn a_message_that_comes_twice_is_answered_twice() {
    let mut tape = missed(&["one"]);
    let sent = tape.send("pf", "bob.phone", "one");
    let again = match &tape.events[sent as usize].kind {
        crate::trace::event::Kind::Message { content: crate::trace::event::Content::Msrp(chunk), .. } => chunk.clone(),
        _ => panic!("a chunk"),
    };
    let again = tape.chunk("pf", "bob.phone", again);
    tape.msrp_answer(sent, "bob.phone", "pf", 200);
    assert_eq!(outcome(RELAYED, &tape), Outcome::Satisfied);
    tape.msrp_answer(again, "bob.phone", "pf", 200);
    assert_eq!(outcome(RELAYED, &tape), Outcome::Violated);
}

#[test]
fn what_opens_a_scope_counts_for_precedence() {
    let rule = "per: [group, user]\nwhile: { after: { client -> pf 2xx: { answers: INVITE } } }\nwhen: { pf -> client ACK: {} }\nneeds: { client -> pf 2xx: { answers: INVITE } }";
    assert_eq!(outcome(rule, &session()), Outcome::Satisfied);
}

#[test]
fn the_end_of_a_scope_ends_what_has_no_bound() {
    let rule = "per: [group, user]\nwhile: { after: { client -> pf BYE: {} }, until: { client -> pf INVITE: {} } }\nnever: { pf -> cf BYE: {} }";
    let mut tape = session();
    bye(&mut tape);
    rejoin(&mut tape);
    tape.ask("pf", "focus", "BYE", TO_FOCUS);
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
}

const FOR_A_MINUTE: &str =
    "per: [group, user]\nwhile: { after: { client -> pf BYE: {} }, until: { client -> pf INVITE: {} }, for: 60s }";

#[test]
fn a_scope_closes_when_its_time_is_up() {
    let rule = &format!("{FOR_A_MINUTE}\nwhen: {{ pf -> cf BYE: {{}} }}\nmust: {{ Reason: present }}");
    let mut tape = session();
    bye(&mut tape);
    tape.wait(61_000);
    tape.ask("pf", "focus", "BYE", TO_FOCUS);
    assert_eq!(outcome(rule, &tape), Outcome::NotTriggered);
    bye(&mut tape);
    tape.wait(40_000);
    bye(&mut tape);
    tape.wait(40_000);
    tape.ask("pf", "focus", "BYE", TO_FOCUS);
    assert_eq!(outcome(rule, &tape), Outcome::Violated, "its time counts from what would have opened it last");
    let judge = judge_of(rule, Setup { scale: 2.0, ..Setup::default() });
    let mut tape = session();
    bye(&mut tape);
    tape.wait(61_000);
    tape.ask("pf", "focus", "BYE", TO_FOCUS);
    assert_eq!(judge.judge(&tape.trace()).outcome("DGC-9-01"), Some(Outcome::Violated), "it is scaled as other times are");
}

#[test]
fn the_time_of_a_scope_ends_what_has_no_bound() {
    let never = &format!("{FOR_A_MINUTE}\nnever: {{ pf -> cf BYE: {{}} }}");
    let then = &format!("{FOR_A_MINUTE}\nthen: {{ pf -> cf BYE: {{}} }}");
    let mut tape = session();
    bye(&mut tape);
    tape.wait(59_000);
    assert_eq!(outcome(then, &tape), Outcome::Pending);
    tape.wait(2_000);
    assert_eq!(outcome(then, &tape), Outcome::Violated, "the response did not come in time");
    tape.ask("pf", "focus", "BYE", TO_FOCUS);
    assert_eq!(outcome(never, &tape), Outcome::Satisfied);
}

#[test]
fn a_relay_is_due_when_the_time_of_its_scope_is_up() {
    let relay =
        "relay: { from: { cf -> pf MSRP SEND: {} }, to: { pf -> client MSRP SEND: {} }, key: cpim.imdn.Message-ID, within: 10s }";
    let rule = &format!("{FOR_A_MINUTE}\n{relay}");
    let mut tape = session();
    lost(&mut tape);
    stored(&mut tape, "one");
    tape.wait(69_000);
    assert_eq!(outcome(rule, &tape), Outcome::Pending);
    tape.wait(2_000);
    assert_eq!(outcome(rule, &tape), Outcome::Violated);
}

#[test]
fn the_time_of_a_scope_goes_over_to_those_who_become_known_in_it() {
    let rule = "per: [group, user]\nwhile: { after: { core -> pf REGISTER: {} }, for: 60s }\nwhen: { client -> pf BYE: {} }\nmust: { Reason: present }";
    for (wait, expected) in [(59_000, Outcome::Violated), (61_000, Outcome::NotTriggered)] {
        let mut tape = session();
        register(&mut tape);
        tape.wait(wait);
        bye(&mut tape);
        assert_eq!(outcome(rule, &tape), expected, "after {wait} ms");
    }
}

#[test]
fn a_message_counts_when_it_is_answered() {
    let rule = "per: [group, user]\nwhen: { pf -> client MSRP SEND: { answered: 200 } }\nnever: { pf -> client MSRP SEND: {} }";
    let mut tape = session();
    tape.send("pf", "bob.phone", "one");
    assert_eq!(outcome(rule, &tape), Outcome::NotTriggered);
    delivered(&mut tape, "two");
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
}

#[test]
fn an_event_without_a_group_concerns_every_group_of_its_user() {
    let rule = "per: [group, user]\nwhen: [ { client -> pf BYE: {} }, { core -> pf REGISTER: {} } ]\nthen: { pf -> client INVITE: { initial: true } }\nwithin: 5s";
    let mut tape = session();
    bye(&mut tape);
    register(&mut tape);
    tape.wait(6_000);
    assert_eq!(outcome(rule, &tape), Outcome::Violated);
    let mut tape = session();
    bye(&mut tape);
    register(&mut tape);
    tape.ask("pf", "bob.phone", "INVITE", In { call_id: "d", from: "d-1", to: None, cseq: 1 });
    tape.wait(6_000);
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
}

#[test]
fn an_obligation_waits_for_its_group_to_show() {
    let rule =
        "per: [group, user]\nwhen: { core -> pf REGISTER: {} }\nthen: { pf -> client INVITE: { initial: true } }\nwithin: 5s";
    let mut tape = Tape::new();
    register(&mut tape);
    tape.ask("pf", "bob.phone", "INVITE", In { call_id: "d", from: "d-1", to: None, cseq: 1 });
    tape.wait(6_000);
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
}

#[test]
fn a_condition_that_does_not_hold_switches_a_rule_off() {
    let rule = format!("{ANSWERED}\nif: pics imdn");
    let mut tape = session();
    bye(&mut tape);
    tape.wait(6_000);
    assert_eq!(outcome(&rule, &tape), Outcome::NotTriggered);
    let mut trace = tape.trace();
    trace.header.pics.insert("imdn".into());
    assert_eq!(judged(&rule, &trace), Outcome::Violated);
}

#[test]
fn a_time_may_come_from_the_wire() {
    let rule = "per: [dialog]\nwhen: { client -> pf BYE: { CSeq.number: { bind: n } } }\nthen: { pf -> client 200: { answers: $when } }\nwithin: \"$n - 2\"";
    for (wait, expected) in [(4_000, Outcome::Satisfied), (6_000, Outcome::Violated)] {
        let mut tape = session();
        let asked = bye(&mut tape);
        tape.wait(wait);
        tape.answer(asked, "pf", "bob.phone", 200, "");
        assert_eq!(outcome(rule, &tape), expected);
    }
}

#[test]
fn events_of_two_connections_within_the_skew_have_no_order() {
    let mut tape = session();
    lost(&mut tape);
    tape.ask("pf", "focus", "BYE", TO_FOCUS);
    let judge = judge_of(STAYS, Setup { skew: Duration::from_millis(20), ..Setup::default() });
    assert_eq!(judge.judge(&tape.trace()).outcome("DGC-9-01"), Some(Outcome::Pending));
}

#[test]
fn a_trace_judged_event_by_event_is_judged_alike() {
    let mut tape = missed(&["one", "two"]);
    delivered(&mut tape, "two");
    let trace = tape.trace();
    let judge = judge_of(RELAYED, Setup::default());
    let mut session = judge.session(&trace.header);
    for count in 0..=trace.events.len() {
        session.advance(&trace.events[..count]);
    }
    assert_eq!(session.finish(&trace.events, trace.ended, true), judge.judge(&trace));
}

#[test]
fn a_rule_of_one_to_one_sessions_does_not_look_at_groups() {
    let rule =
        "per: [one-to-one, user]\nwhen: { any -> pf INVITE: { initial: true } }\nnever: { pf -> client INVITE: { initial: true } }";
    assert_eq!(outcome(rule, &session()), Outcome::NotTriggered);
    let mut tape = session();
    tape.ask("alice", "pf", "INVITE", In { call_id: "a", from: "a-1", to: None, cseq: 1 });
    assert_eq!(outcome(rule, &tape), Outcome::Satisfied);
}

#[test]
fn the_sender_is_told_from_the_client_of_the_served_user() {
    let mut tape = Tape::new();
    tape.ask("alice", "pf", "INVITE", In { call_id: "a", from: "a-1", to: None, cseq: 1 });
    assert_eq!(outcome("when: { sender -> pf INVITE: {} }\nmust: { To.tag: absent }", &tape), Outcome::Satisfied);
    assert_eq!(outcome("when: { client -> pf INVITE: {} }\nmust: { To.tag: absent }", &tape), Outcome::NotTriggered);
}
