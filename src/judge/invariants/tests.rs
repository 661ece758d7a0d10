//! A good session breaks nothing; each invariant notices its own fault.

use std::collections::BTreeSet;

use crate::judge::Judge;
use crate::trace::testing::{BOB, FOCUS, GROUP, In, Tape, sdp, session};
use crate::wire::msrp::{Chunk, ChunkBuilder, Flag};
use crate::wire::sip::{Builder, Message};

/// The invariants that a tape breaks.
fn broken(tape: &Tape) -> BTreeSet<String> {
    Judge::default().judge(&tape.trace()).findings.into_iter().map(|finding| finding.id).collect()
}

#[track_caller]
fn breaks(tape: &Tape, id: &str) {
    let found = broken(tape);
    assert!(found.contains(id), "{id} is not among {found:?}");
}

#[track_caller]
fn breaks_nothing(tape: &Tape) {
    let findings = Judge::default().judge(&tape.trace()).findings;
    assert!(findings.is_empty(), "{findings:#?}");
}

const TO_BOB: In<'static> = In { call_id: "c", from: "pf-1", to: Some("b-1"), cseq: 2 };
const FROM_BOB: In<'static> = In { call_id: "c", from: "b-1", to: Some("pf-1"), cseq: 7 };

/// A request of the PF to bob in the session, altered.
fn altered(tape: &mut Tape, method: &str, alter: impl FnOnce(Builder) -> Builder) -> u32 {
    let request = alter(tape.request("pf", method, "sip:bob@10.0.2.1", TO_BOB)).build();
    tape.sip("pf", "bob.phone", request)
}

/// The PF's answer to a request of bob, altered.
fn answered(tape: &mut Tape, method: &str, status: u16, alter: impl FnOnce(Builder) -> Builder) -> u32 {
    let asked = tape.ask("bob.phone", "pf", method, FROM_BOB);
    let response = alter(tape.response(asked, status, "")).build();
    tape.sip("pf", "bob.phone", response)
}

fn rejoin(tape: &mut Tape, alter: impl FnOnce(Builder) -> Builder) -> u32 {
    let dialog = In { call_id: "r", from: "b-2", to: None, cseq: 1 };
    let request = alter(tape.request("bob.phone", "INVITE", GROUP, dialog)).build();
    tape.sip("bob.phone", "pf", request)
}

fn chunk_of(tape: &Tape, event: u32) -> Chunk {
    use crate::trace::event::{Content, Kind};
    match &tape.events[event as usize].kind {
        Kind::Message { content: Content::Msrp(chunk), .. } => chunk.clone(),
        _ => panic!("event {event} is no chunk"),
    }
}

fn message_of(tape: &Tape, event: u32) -> Message {
    tape.message(event).clone()
}

#[test]
fn a_good_session_breaks_nothing() {
    let mut tape = session();
    let stored = tape.send("focus", "pf", "one");
    tape.msrp_answer(stored, "pf", "focus", 200);
    let sent = tape.send("pf", "bob.phone", "one");
    tape.msrp_answer(sent, "bob.phone", "pf", 200);
    let bye = tape.ask("bob.phone", "pf", "BYE", FROM_BOB);
    tape.answer(bye, "pf", "bob.phone", 200, "");
    let bye = tape.ask("pf", "focus", "BYE", In { call_id: "f", from: "pf-f", to: Some("cf-1"), cseq: 1 });
    tape.answer(bye, "focus", "pf", 200, "");
    tape.wait(60_000);
    breaks_nothing(&tape);
}

#[test]
fn names_of_invariants_are_unique_and_cite_their_standard() {
    let mut names = BTreeSet::new();
    for invariant in super::all() {
        assert!(names.insert(invariant.id), "{} twice", invariant.id);
        assert!(invariant.rfc.contains("RFC "), "{}", invariant.id);
    }
    assert!(names.len() >= 40, "{}", names.len());
}

#[test]
fn the_form_of_a_message_is_judged() {
    let mut tape = session();
    altered(&mut tape, "BYE", |bye| bye.remove("Max-Forwards"));
    breaks(&tape, "mandatory-fields");
    let mut tape = session();
    altered(&mut tape, "BYE", |bye| bye.set("CSeq", "2 INVITE"));
    breaks(&tape, "sip-cseq-method");
    let mut tape = session();
    altered(&mut tape, "BYE", |bye| bye.set("Via", "SIP/2.0/TCP 10.0.0.1:5060;branch=plain123"));
    breaks(&tape, "via-branch-cookie");
    let mut tape = session();
    altered(&mut tape, "BYE", |bye| bye.set("From", format!("<{FOCUS}>")));
    breaks(&tape, "from-tag");
}

#[test]
fn dialogs_are_formed_and_answered_in_form() {
    let mut tape = session();
    answered(&mut tape, "BYE", 200, |ok| ok.set("Call-ID", "other"));
    assert!(!broken(&tape).is_empty());
    let mut tape = session();
    answered(&mut tape, "BYE", 200, |ok| ok.set("To", "<sip:x@y>;tag=another"));
    breaks(&tape, "to-tag-kept");
    let mut tape = session();
    let asked = rejoin(&mut tape, |invite| invite.push("Record-Route", "<sip:scscf1.home1.example;lr>"));
    let ok = tape.response(asked, 200, "p").body("application/sdp", sdp("pf", "bob.phone")).build();
    tape.sip("pf", "bob.phone", ok);
    breaks(&tape, "contact-forms-dialog");
    let mut tape = session();
    let asked = rejoin(&mut tape, |invite| invite.push("Record-Route", "<sip:scscf1.home1.example;lr>"));
    let ok = tape.response(asked, 200, "p").remove("Record-Route").build();
    tape.sip("pf", "bob.phone", ok);
    breaks(&tape, "record-route-copied");
    let mut tape = session();
    answered(&mut tape, "BYE", 405, |refusal| refusal);
    breaks(&tape, "refusal-fields");
    let mut tape = session();
    answered(&mut tape, "BYE", 200, |ok| ok.push("Require", "precondition"));
    breaks(&tape, "require-supported");
    let mut tape = session();
    let asked = rejoin(&mut tape, |invite| invite);
    let refusal = tape.response(asked, 486, "p").set("To", format!("<{FOCUS}>")).build();
    tape.sip("pf", "bob.phone", refusal);
    breaks(&tape, "response-to-tag");
}

#[test]
fn every_request_has_a_branch_of_its_own() {
    let mut tape = session();
    let used = tape.message(1).via().expect("a Via").branch().expect("a branch").to_owned();
    altered(&mut tape, "BYE", |bye| bye.set("Via", format!("SIP/2.0/TCP 10.0.0.1:5060;branch={used}")));
    breaks(&tape, "branch-unique");
}

#[test]
fn every_request_is_answered_once() {
    let mut tape = session();
    tape.ask("bob.phone", "pf", "BYE", FROM_BOB);
    tape.wait(10_000);
    breaks_nothing(&tape);
    tape.wait(30_000);
    breaks(&tape, "request-answered");
    let mut tape = session();
    rejoin(&mut tape, |invite| invite);
    tape.wait(2_000);
    breaks(&tape, "invite-answered");
    let mut tape = session();
    let asked = rejoin(&mut tape, |invite| invite);
    tape.answer(asked, "pf", "bob.phone", 486, "p");
    tape.answer(asked, "pf", "bob.phone", 480, "p");
    breaks(&tape, "one-final-response");
    tape.answer(asked, "pf", "bob.phone", 180, "p");
    breaks(&tape, "no-provisional-after-final");
}

#[test]
fn every_final_answer_to_an_invite_is_acknowledged() {
    let mut tape = Tape::new();
    let dialog = In { call_id: "c", from: "pf-1", to: None, cseq: 1 };
    let invite = tape.request("pf", "INVITE", BOB, dialog).body("application/sdp", sdp("pf", "bob.phone")).build();
    let invite = tape.sip("pf", "bob.phone", invite);
    tape.answer(invite, "bob.phone", "pf", 486, "b");
    let before = broken(&tape);
    assert!(before.is_empty(), "{before:?}");
    tape.wait(40_000);
    breaks(&tape, "ack-for-every-final");
    // The branch of a new transaction is that of a 2xx's ACK.
    tape.ask("pf", "bob.phone", "ACK", In { to: Some("b"), ..dialog });
    breaks(&tape, "ack-of-refusal");
}

#[test]
fn a_cancel_waits_for_a_provisional_response() {
    let mut tape = Tape::new();
    let dialog = In { call_id: "c", from: "pf-1", to: None, cseq: 1 };
    let invite = tape.ask("pf", "bob.phone", "INVITE", dialog);
    let via = message_of(&tape, invite);
    let via = via.value(crate::wire::sip::Name::Via).unwrap_or("").to_owned();
    let cancel = tape.request("pf", "CANCEL", BOB, dialog).set("Via", &via).remove("Contact").build();
    let mut good = Tape::new();
    good.ask("pf", "bob.phone", "INVITE", dialog);
    tape.sip("pf", "bob.phone", cancel.clone());
    breaks(&tape, "cancel-after-provisional");
    let ringing = good.response(0, 180, "b").push("Contact", "<sip:bob@10.0.2.1>").build();
    good.sip("bob.phone", "pf", ringing);
    good.sip("pf", "bob.phone", cancel);
    assert!(!broken(&good).contains("cancel-after-provisional"));
}

#[test]
fn a_2xx_is_repeated_as_it_was() {
    let mut tape = session();
    let first = message_of(&tape, 4);
    let again = Builder::of(&first).push("Server", "other").build();
    tape.sip("pf", "focus", again);
    breaks(&tape, "same-2xx");
}

#[test]
fn streams_carry_a_request_once() {
    let mut tape = session();
    let again = message_of(&tape, 1);
    tape.sip("pf", "bob.phone", again);
    breaks(&tape, "no-repetition-on-streams");
}

#[test]
fn dialog_state_is_kept() {
    let mut tape = session();
    altered(&mut tape, "BYE", |bye| bye.set("CSeq", "9 BYE"));
    breaks(&tape, "cseq-increases");
    let mut tape = session();
    altered(&mut tape, "BYE", |bye| bye.with_start("BYE sip:elsewhere@10.9.9.9 SIP/2.0".to_owned()));
    breaks(&tape, "remote-target");
    let mut tape = session();
    altered(&mut tape, "BYE", |bye| bye.push("Route", "<sip:proxy.example;lr>"));
    breaks(&tape, "route-set");
    let mut tape = session();
    altered(&mut tape, "BYE", |bye| bye);
    altered(&mut tape, "INFO", |info| info);
    breaks(&tape, "nothing-after-bye");
}

#[test]
fn what_leaves_before_a_bye_is_answered_has_crossed_it() {
    let mut tape = session();
    let bye = tape.ask("bob.phone", "pf", "BYE", FROM_BOB);
    altered(&mut tape, "INFO", |info| info);
    breaks_nothing(&tape);
    tape.answer(bye, "pf", "bob.phone", 200, "");
    altered(&mut tape, "INFO", |info| info);
    breaks(&tape, "nothing-after-bye");
}

#[test]
fn nothing_crosses_an_unanswered_bye_for_longer_than_t1() {
    for (after, crosses) in [(500, true), (501, false)] {
        let mut tape = session();
        tape.ask("bob.phone", "pf", "BYE", FROM_BOB);
        // A millisecond has gone by with the BYE.
        tape.wait(after - 1);
        altered(&mut tape, "INFO", |info| info);
        assert_eq!(broken(&tape).contains("nothing-after-bye"), !crosses, "{after} ms after the BYE");
    }
}

#[test]
fn the_callee_hangs_up_after_the_ack_only() {
    let mut tape = session();
    let asked = rejoin(&mut tape, |invite| invite.body("application/sdp", sdp("bob.phone", "pf")));
    let ok = tape.response(asked, 200, "p").push("Contact", format!("<{GROUP}>;isfocus"));
    let ok = ok.body("application/sdp", sdp("pf", "bob.phone")).build();
    tape.sip("pf", "bob.phone", ok);
    let dialog = In { call_id: "r", from: "p", to: Some("b-2"), cseq: 1 };
    let bye = tape.request("pf", "BYE", "sip:bob@10.0.2.1", dialog).build();
    tape.sip("pf", "bob.phone", bye);
    assert_eq!(broken(&tape).into_iter().collect::<Vec<_>>(), ["bye-after-ack"]);
}

#[test]
fn offers_are_answered_in_kind() {
    let answer = |body: Option<String>| {
        let mut tape = session();
        let asked =
            rejoin(&mut tape, |invite| invite.body("application/sdp", sdp("bob.phone", "pf").replace("sendrecv", "sendonly")));
        let ok = tape.response(asked, 200, "p").push("Contact", format!("<{GROUP}>;isfocus"));
        let ok = body.into_iter().fold(ok, |ok, body| ok.body("application/sdp", body)).build();
        tape.sip("pf", "bob.phone", ok);
        tape
    };
    breaks(&answer(None), "offer-answered");
    breaks(&answer(Some(sdp("pf", "bob.phone"))), "answer-direction");
    let two = format!("{}m=audio 0 RTP/AVP 0\r\n", sdp("pf", "bob.phone"));
    breaks(&answer(Some(two)), "answer-media");
    let secure = sdp("pf", "bob.phone").replace("sendrecv", "recvonly").replace("TCP/MSRP", "TCP/TLS/MSRP");
    breaks(&answer(Some(secure)), "answer-media");
    breaks_nothing(&answer(Some(sdp("pf", "bob.phone").replace("sendrecv", "recvonly"))));
}

#[test]
fn descriptions_count_their_versions() {
    let again = |body: String| {
        let mut tape = session();
        altered(&mut tape, "INVITE", |invite| invite.body("application/sdp", body));
        tape
    };
    breaks_nothing(&again(sdp("pf", "bob.phone")));
    breaks_nothing(&again(sdp("pf", "bob.phone").replace("o=- 1 1", "o=- 1 2").replace("sendrecv", "inactive")));
    breaks(&again(sdp("pf", "bob.phone").replace("sendrecv", "inactive")), "origin-version");
    breaks(&again(sdp("pf", "bob.phone").replace("o=- 1 1", "o=- 7 1")), "origin-version");
}

#[test]
fn one_offer_is_open_at_a_time() {
    let mut tape = session();
    altered(&mut tape, "INVITE", |invite| invite.body("application/sdp", sdp("pf", "bob.phone")));
    altered(&mut tape, "UPDATE", |update| update.set("CSeq", "3 UPDATE").body("application/sdp", sdp("pf", "bob.phone")));
    breaks(&tape, "one-offer-at-a-time");
}

#[test]
fn session_timers_are_agreed_in_form() {
    let with = |asked: &str, told: &str, require: bool| {
        let mut tape = session();
        let asked = rejoin(&mut tape, |invite| invite.push("Supported", "timer").push("Session-Expires", asked));
        let ok = tape.response(asked, 200, "p").push("Contact", format!("<{GROUP}>;isfocus")).push("Session-Expires", told);
        let ok = if require { ok.push("Require", "timer") } else { ok };
        let ok = ok.body("application/sdp", sdp("pf", "bob.phone")).build();
        tape.sip("pf", "bob.phone", ok);
        tape
    };
    breaks_nothing(&with("1800", "1800;refresher=uac", true));
    breaks(&with("1800", "1800;refresher=uac", false), "require-timer");
    breaks(&with("1800", "1800", true), "refresher-named");
    breaks(&with("1800;refresher=uas", "1800;refresher=uac", true), "refresher-named");
    breaks(&with("1800", "3600;refresher=uas", true), "session-expires-not-longer");
    breaks(&with("1800", "60;refresher=uas", true), "session-expires-least");
}

#[test]
fn subscriptions_are_kept_in_form() {
    let subscribed = |told: Option<&str>| {
        let mut tape = session();
        let dialog = In { call_id: "s", from: "b-s", to: None, cseq: 1 };
        let ask = tape.request("bob.phone", "SUBSCRIBE", GROUP, dialog).push("Event", "conference").push("Expires", 600).build();
        let ask = tape.sip("bob.phone", "pf", ask);
        let ok = tape.response(ask, 200, "p-s").push("Contact", format!("<{GROUP}>")).push_some("Expires", told).build();
        tape.sip("pf", "bob.phone", ok);
        tape
    };
    breaks(&subscribed(None), "expires-granted");
    breaks(&subscribed(Some("900")), "expires-granted");
    let mut silent = subscribed(Some("600"));
    silent.wait(40_000);
    breaks(&silent, "notify-after-subscribe");
    let mut tape = subscribed(Some("600"));
    for (cseq, state) in [(1, "terminated;reason=timeout"), (2, "active")] {
        let dialog = In { call_id: "s", from: "p-s", to: Some("b-s"), cseq };
        let notify =
            tape.request("pf", "NOTIFY", "sip:bob@10.0.2.1", dialog).push("Event", "conference").push("Subscription-State", state);
        let notify = notify.set("From", format!("<{GROUP}>;tag=p-s")).build();
        tape.sip("pf", "bob.phone", notify);
    }
    assert_eq!(broken(&tape).into_iter().collect::<Vec<_>>(), ["nothing-after-terminated"]);
}

#[test]
fn chunks_follow_each_other_in_their_session() {
    let two = |start: usize, total: usize| {
        let mut tape = session();
        let first = tape.send_chunk("pf", "bob.phone", "big", 1, 10, "01234", Flag::More);
        tape.chunk("pf", "bob.phone", first);
        let second = tape.send_chunk(
            "pf",
            "bob.phone",
            "big",
            start,
            total,
            "56789",
            if start + 4 == total { Flag::Complete } else { Flag::More },
        );
        tape.chunk("pf", "bob.phone", second);
        tape
    };
    assert!(!broken(&two(6, 10)).iter().any(|id| id.starts_with("msrp")), "{:?}", broken(&two(6, 10)));
    breaks(&two(7, 11), "msrp-range-follows");
    breaks(&two(6, 12), "msrp-range-total-kept");
    let mut tape = session();
    let sent = tape.send("pf", "bob.phone", "one");
    let stray = ChunkBuilder::of(&chunk_of(&tape, sent)).set("To-Path", "msrp://10.9.9.9:2855/elsewhere;tcp").build();
    tape.chunk("pf", "bob.phone", stray);
    breaks(&tape, "msrp-session-path");
    breaks(&tape, "msrp-transaction-unique");
}

#[test]
fn msrp_answers_what_asks_for_it() {
    let received = |wish: &str| {
        let mut tape = session();
        let chunk = tape.send_chunk("focus", "pf", "msg-x", 1, 5, "01234", Flag::Complete);
        let chunk = ChunkBuilder::of(&chunk).set("Failure-Report", wish).body("message/cpim", "01234").build();
        let event = tape.chunk("focus", "pf", chunk);
        (tape, event)
    };
    let (mut silent, _) = received("yes");
    silent.wait(31_000);
    breaks(&silent, "msrp-answered");
    let (mut quiet, event) = received("no");
    quiet.wait(31_000);
    breaks_nothing(&quiet);
    quiet.msrp_answer(event, "pf", "focus", 200);
    breaks(&quiet, "msrp-answer-unasked");
    let (mut twice, event) = received("yes");
    twice.msrp_answer(event, "pf", "focus", 200);
    breaks_nothing(&twice);
    twice.msrp_answer(event, "pf", "focus", 200);
    breaks(&twice, "msrp-response-stray");
}

#[test]
fn reports_come_when_they_are_asked_for() {
    let received = |wish: &str| {
        let mut tape = session();
        let chunk = tape.send_chunk("focus", "pf", "msg-x", 1, 5, "01234", Flag::Complete);
        let chunk = ChunkBuilder::of(&chunk).set("Success-Report", wish).body("message/cpim", "01234").build();
        let event = tape.chunk("focus", "pf", chunk.clone());
        tape.msrp_answer(event, "pf", "focus", 200);
        let report = ChunkBuilder::request("report01", "REPORT", chunk.from_path(), chunk.to_path())
            .push("Message-ID", "m-msg-x")
            .push("Byte-Range", "1-5/5")
            .push("Status", "000 200 OK")
            .build();
        (tape, report)
    };
    let (mut owed, report) = received("yes");
    owed.wait(31_000);
    breaks(&owed, "msrp-report-owed");
    owed.chunk("pf", "focus", report);
    breaks_nothing(&owed);
    let (mut unasked, report) = received("no");
    unasked.chunk("pf", "focus", report);
    breaks(&unasked, "msrp-report-unasked");
}

#[test]
fn only_accepted_types_are_sent() {
    let mut tape = session();
    let sent = tape.send("pf", "bob.phone", "one");
    let bare = ChunkBuilder::of(&chunk_of(&tape, sent)).remove("Byte-Range").body("text/plain", "x").build();
    tape.chunk("pf", "bob.phone", bare);
    breaks(&tape, "msrp-accepted-type");
}

#[test]
fn what_is_passed_on_is_not_judged_and_what_is_written_is() {
    let mut tape = session();
    let odd = "From: <sip:a@b>\r\nTo: <sip:c@d>\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Disposition-Notification: positive-delivery\r\n\r\nContent-Type: text/plain\r\n\r\nx";
    let came = tape.send_chunk("focus", "pf", "msg-x", 1, odd.len(), odd, Flag::Complete);
    let came = tape.chunk("focus", "pf", came);
    tape.msrp_answer(came, "pf", "focus", 200);
    let passed = tape.send_chunk("pf", "bob.phone", "msg-x", 1, odd.len(), odd, Flag::Complete);
    tape.chunk("pf", "bob.phone", passed);
    breaks_nothing(&tape);
    let own = odd.replace("\r\nx", "\r\ny");
    let written = tape.send_chunk("pf", "bob.phone", "msg-y", 1, own.len(), own, Flag::Complete);
    tape.chunk("pf", "bob.phone", written);
    breaks(&tape, "imdn-message-id");
}

#[test]
fn a_restart_of_the_iut_forgets_what_it_owed() {
    for (who, expected) in [("pf", false), ("bob", true)] {
        let mut tape = session();
        tape.ask("bob.phone", "pf", "BYE", FROM_BOB);
        tape.fault(&format!("restart {who}"));
        tape.wait(40_000);
        assert_eq!(broken(&tape).contains("request-answered"), expected, "{who}");
    }
}
