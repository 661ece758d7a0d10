//! What the wire alone tells of small traces.

use super::*;
use crate::engine::Transport;
use crate::trace::testing::{BOB, FOCUS, GROUP, In, Tape, sdp, session};
use crate::wire::msrp::Flag;

fn ends(facts: &Facts) -> String {
    format!("{} -> {}", facts.from, facts.to)
}

#[test]
fn both_legs_of_a_session_share_group_and_user() {
    let mut tape = session();
    let sent = tape.send("focus", "pf", "one");
    let relayed = tape.send("pf", "bob.phone", "one");
    let trace = tape.trace();
    let Correlation { facts, symbols } = Correlation::of(&trace);
    let seen: Vec<_> = facts.iter().map(ends).collect();
    assert_eq!(
        seen,
        [
            "focus -> pf",
            "pf -> bob",
            "bob.phone -> pf",
            "pf -> bob.phone",
            "pf -> focus",
            "focus -> pf",
            "focus -> pf",
            "pf -> bob.phone"
        ]
    );
    for at in &facts {
        assert_eq!(at.group.map(|group| symbols.name(group)), Some("trip"));
        assert_eq!(at.user.map(|user| symbols.name(user)), Some("bob"));
    }
    assert_eq!(facts[sent as usize].message, facts[relayed as usize].message);
    assert_ne!(facts[sent as usize].msrp_session, facts[relayed as usize].msrp_session);
    assert_eq!(facts[relayed as usize].dialog, facts[1].dialog);
    assert_eq!(facts[2].answers, Some(1));
    assert_eq!(facts[2].answered, Some(Answered { request: 1, code: 200 }));
    assert_eq!(facts[3].answers, Some(1));
    assert_eq!(facts[3].transaction, facts[1].transaction);
}

#[test]
fn a_bye_belongs_to_its_dialog_in_either_direction() {
    let mut tape = session();
    let from_bob = tape.ask("bob.phone", "pf", "BYE", In { call_id: "c", from: "b-1", to: Some("pf-1"), cseq: 7 });
    let to_focus = tape.ask("pf", "focus", "BYE", In { call_id: "f", from: "pf-f", to: Some("cf-1"), cseq: 2 });
    let facts = Correlation::of(&tape.trace()).facts;
    assert_eq!(facts[from_bob as usize].dialog, facts[1].dialog);
    assert_eq!(ends(&facts[from_bob as usize]), "bob.phone -> pf");
    assert_eq!(facts[to_focus as usize].dialog, facts[0].dialog);
    assert_eq!(ends(&facts[to_focus as usize]), "pf -> focus");
}

#[test]
fn a_re_join_by_the_mapped_uri_is_of_the_same_group() {
    let mut tape = session();
    let dialog = In { call_id: "r", from: "b-2", to: None, cseq: 1 };
    let rejoin = tape.request("bob.tablet", "INVITE", GROUP, dialog).build();
    let rejoin = tape.sip("bob.tablet", "pf", rejoin);
    let facts = Correlation::of(&tape.trace()).facts;
    assert_eq!(facts[rejoin as usize].group, facts[0].group);
    assert_eq!(ends(&facts[rejoin as usize]), "bob.tablet -> pf");
    assert_eq!(facts[rejoin as usize].user, facts[0].user);
}

#[test]
fn a_third_party_register_serves_the_user_in_its_to() {
    let mut tape = Tape::new();
    let register = crate::wire::sip::Builder::request("REGISTER", "sip:pf.home1.example")
        .push("Via", "SIP/2.0/TCP scscf1.home1.example;branch=z9hG4bKreg00001")
        .push("From", "<sip:scscf1.home1.example>;tag=3p")
        .push("To", format!("<{BOB}>"))
        .push("Call-ID", "3p-1")
        .push("CSeq", "1 REGISTER")
        .push("Contact", "<sip:scscf1.home1.example>")
        .body("message/sip", "REGISTER sip:x SIP/2.0\r\nContact: <sip:b@y>;+sip.instance=\"<urn:two>\";expires=9\r\n\r\n")
        .build();
    let register = tape.sip("core", "pf", register);
    let answer = tape.answer(register, "pf", "core", 200, "t");
    let Correlation { facts, symbols } = Correlation::of(&tape.trace());
    assert_eq!(ends(&facts[register as usize]), "core -> pf");
    assert_eq!(ends(&facts[answer as usize]), "pf -> core");
    assert_eq!(facts[answer as usize].user.map(|user| symbols.name(user)), Some("bob"));
    assert_eq!(facts[register as usize].device.map(|device| symbols.name(device)), Some("bob.tablet"));
    assert_eq!(facts[register as usize].group, None);
}

#[test]
fn a_notify_may_overtake_the_answer_to_its_subscribe() {
    let mut tape = session();
    let dialog = In { call_id: "s", from: "pf-s", to: None, cseq: 1 };
    let subscribe = tape.request("pf", "SUBSCRIBE", FOCUS, dialog).push("Event", "conference").build();
    let subscribe = tape.sip("pf", "focus", subscribe);
    let dialog = In { call_id: "s", from: "cf-s", to: Some("pf-s"), cseq: 1 };
    let notify = tape.request("focus", "NOTIFY", "sip:pf.home1.example", dialog).push("Event", "conference").build();
    let notify = tape.sip("focus", "pf", notify);
    let answer = tape.answer(subscribe, "focus", "pf", 200, "cf-s");
    let facts = Correlation::of(&tape.trace()).facts;
    let of = |event: u32| (facts[event as usize].dialog, facts[event as usize].subscription, facts[event as usize].user);
    assert_eq!(of(subscribe), of(notify));
    assert_eq!(of(subscribe), of(answer));
    assert!(of(subscribe).1.is_some());
}

#[test]
fn forks_have_dialogs_of_their_own() {
    let mut tape = Tape::new();
    let invite = tape.ask("pf", "bob.phone", "INVITE", In { call_id: "c", from: "pf-1", to: None, cseq: 1 });
    let one = tape.answer(invite, "bob.phone", "pf", 180, "p");
    let two = tape.answer(invite, "bob.tablet", "pf", 200, "t");
    let facts = Correlation::of(&tape.trace()).facts;
    let dialog = |event: u32| facts[event as usize].dialog;
    assert_eq!(dialog(invite), dialog(one));
    assert_ne!(dialog(one), dialog(two));
    assert_eq!(ends(&facts[two as usize]), "bob.tablet -> pf");
}

#[test]
fn datagrams_repeat_requests_and_streams_only_what_a_proxy_hands_on() {
    let ends = [("focus", "pf"), ("pf", "focus")];
    for (transport, (from, to), repeated) in [
        (Transport::Udp, ends[0], Some(0)),
        (Transport::Udp, ends[1], Some(0)),
        (Transport::Tcp, ends[0], Some(0)),
        (Transport::Tcp, ends[1], None),
    ] {
        let mut tape = Tape::new();
        tape.transport = transport;
        let invite = tape.ask(from, to, "INVITE", In { call_id: "f", from: "cf", to: None, cseq: 1 });
        let again = tape.message(invite).clone();
        let again = tape.sip(from, to, again);
        let answer = tape.answer(invite, to, from, 200, "t");
        let same = tape.message(answer).clone();
        let same = tape.sip(to, from, same);
        let facts = Correlation::of(&tape.trace()).facts;
        assert_eq!(facts[again as usize].retransmission, repeated);
        assert_eq!(facts[same as usize].retransmission, Some(answer));
        assert_eq!(facts[same as usize].answered, None);
    }
}

#[test]
fn chunks_make_a_message_and_its_answers_one() {
    let mut tape = session();
    let first = tape.send_chunk("focus", "pf", "big", 1, 10, "01234", Flag::More);
    let first = tape.chunk("focus", "pf", first);
    let small = tape.send("focus", "pf", "small");
    let second = tape.send_chunk("focus", "pf", "big", 6, 10, "56789", Flag::Complete);
    let second = tape.chunk("focus", "pf", second);
    let early = tape.msrp_answer(first, "pf", "focus", 200);
    let late = tape.msrp_answer(second, "pf", "focus", 200);
    let facts = Correlation::of(&tape.trace()).facts;
    assert_eq!(facts[first as usize].whole, None);
    assert!(facts[small as usize].whole.is_some());
    let whole = facts[second as usize].whole.as_ref().expect("a whole message");
    assert_eq!((&whole.body[..], whole.seamless), (&b"0123456789"[..], true));
    assert_eq!(facts[early as usize].answered, None);
    assert_eq!(facts[late as usize].answered, Some(Answered { request: second, code: 200 }));
}

#[test]
fn a_reset_is_a_loss_and_a_close_after_bye_is_none() {
    for (bye, how, lost) in [(false, Closure::Reset, true), (false, Closure::Finished, true), (true, Closure::Finished, false)] {
        let mut tape = session();
        tape.send("pf", "bob.phone", "one");
        if bye {
            tape.ask("bob.phone", "pf", "BYE", In { call_id: "c", from: "b-1", to: Some("pf-1"), cseq: 7 });
        }
        let closed = tape.lose("bob.phone", how, false);
        let facts = Correlation::of(&tape.trace()).facts;
        assert_eq!(facts[closed as usize].lost, lost);
        assert_eq!(ends(&facts[closed as usize]), "bob.phone -> pf");
        assert_eq!(facts[closed as usize].group, facts[0].group);
    }
}

#[test]
fn a_session_is_found_by_the_path_of_a_later_answer() {
    let mut tape = Tape::new();
    let dialog = In { call_id: "r", from: "b-2", to: None, cseq: 1 };
    let rejoin = tape.request("bob.phone", "INVITE", GROUP, dialog).push("Conversation-ID", "conv-1");
    let rejoin = rejoin.body("application/sdp", sdp("bob.phone", "pf")).build();
    let rejoin = tape.sip("bob.phone", "pf", rejoin);
    let ok = tape.response(rejoin, 200, "p").body("application/sdp", sdp("pf", "bob.phone")).build();
    tape.sip("pf", "bob.phone", ok);
    let sent = tape.send("pf", "bob.phone", "x");
    let facts = Correlation::of(&tape.trace()).facts;
    assert_eq!(facts[sent as usize].dialog, facts[rejoin as usize].dialog);
    assert!(facts[sent as usize].group.is_some());
}

#[test]
fn who_invites_a_user_is_the_sender_in_a_session_of_that_user() {
    let mut tape = Tape::new();
    let invite = tape.ask("alice", "pf", "INVITE", In { call_id: "a", from: "a-1", to: None, cseq: 1 });
    let accepted = tape.answer(invite, "pf", "alice", 200, "pf-a");
    let bye = tape.ask("alice", "pf", "BYE", In { call_id: "a", from: "a-1", to: Some("pf-a"), cseq: 2 });
    let delivery = tape.ask("pf", "bob.phone", "INVITE", In { call_id: "d", from: "pf-d", to: None, cseq: 1 });
    let Correlation { facts, symbols } = Correlation::of(&tape.trace());
    let (client, pf) = (End::Role(Role::Client), End::Role(Role::Pf));
    for event in [invite, bye] {
        let facts = &facts[event as usize];
        assert_eq!(ends(facts), "alice -> pf");
        assert_eq!(facts.user.map(|user| symbols.name(user)), Some("bob"));
        assert!(facts.runs(&End::Sender, &pf) && !facts.runs(&client, &pf));
    }
    assert!(facts[accepted as usize].runs(&pf, &End::Sender));
    let delivery = &facts[delivery as usize];
    assert_eq!(delivery.user, facts[invite as usize].user);
    assert!(delivery.runs(&pf, &client) && !delivery.runs(&pf, &End::Sender));
}
