//! MSRP between two of ours through Kamailio, and with Kamailio itself.

use cpmcheck::msrp::Outcome;

use super::peers::kamailio::{Kamailio, has_kamailio};
use super::peers::media::{Side, Two};

/// A text of this many lines, which makes chunks of it that differ.
fn long(lines: usize) -> String {
    (0..lines).map(|line| format!("line {line} of a long message\n")).collect()
}

#[test]
fn chunks_and_reports_pass_kamailio_in_both_directions() {
    if !has_kamailio(&["msrp", "htable"]) {
        return;
    }
    let relay = Kamailio::media();
    let mut two = Two::new();
    let hop = relay.path("relay");
    let (to_one, to_other) = (format!("{hop} {}", two.path(Side::One)), format!("{hop} {}", two.path(Side::Other)));
    two.start(Side::Other, &to_one, false);
    two.start(Side::One, &to_other, true);
    for (side, text) in [(Side::One, long(8_000)), (Side::Other, long(8_000)), (Side::One, "short".to_owned())] {
        let id = two.send(side, &text);
        let seen = two.until_reported(&id);
        let received = seen.received.expect("it comes before its report");
        assert!(received.body.ends_with(text.as_bytes()), "{} bytes came of {}", received.body.len(), text.len());
        assert_eq!((seen.outcome, seen.report), (Some(Outcome::Accepted), Some(200)), "from {side:?}");
    }
    // 240 KB a direction, in chunks of 2 KB.
    let chunks = relay.log().matches("relayed SEND").count();
    assert!(chunks > 200, "{chunks} chunks");
    assert_eq!(relay.log().matches("relayed REPORT").count(), 3);
}

#[test]
fn kamailio_answers_every_chunk_of_a_long_message() {
    if !has_kamailio(&["msrp", "htable"]) {
        return;
    }
    let peer = Kamailio::media();
    let mut two = Two::new();
    two.start(Side::One, &peer.path("answers"), true);
    let ids: Vec<String> = [long(8_000), "short".to_owned(), long(400)].iter().map(|text| two.send(Side::One, text)).collect();
    for id in ids {
        assert_eq!(two.outcome(&id), Outcome::Accepted);
    }
}

#[test]
fn a_413_of_kamailio_ends_a_message_and_not_the_session() {
    if !has_kamailio(&["msrp", "htable"]) {
        return;
    }
    let peer = Kamailio::media();
    let mut two = Two::new();
    two.start(Side::One, &peer.path("refuses"), true);
    for text in [long(8_000), "short".to_owned()] {
        let id = two.send(Side::One, &text);
        assert_eq!(two.outcome(&id), Outcome::Refused(413));
    }
}
