//! Properties of the SIP codec: total, lossless, and the same however the bytes arrive.

use bytes::Bytes;
use cpmcheck::engine::Transport;
use cpmcheck::wire::inspect::{As, inspect};
use cpmcheck::wire::sip::header::{self, NameAddr, Via};
use cpmcheck::wire::sip::{Builder, Framer, Message, Name, StartLine, Uri, validate};
use proptest::prelude::*;

const INVITE: &[u8] = include_bytes!("../fixtures/wire/invite.sip");
const ODD: &[u8] = include_bytes!("../fixtures/wire/odd.sip");

#[test]
fn the_fixtures_decode_encode_and_have_no_error() {
    for (name, bytes) in [("invite.sip", INVITE), ("odd.sip", ODD)] {
        let bytes = Bytes::from_static(bytes);
        let message = Message::decode(bytes.clone()).expect(name);
        assert_eq!(message.encode(), bytes, "{name}");
        let inspection = inspect(&bytes, As::Auto, Transport::Udp);
        assert!(inspection.is_fine(), "{name}: {:?}", inspection.violations);
    }
}

#[test]
fn folds_compact_names_odd_case_and_binary_bodies_are_read() {
    let message = Message::decode(Bytes::from_static(ODD)).expect("odd.sip decodes");
    assert_eq!(
        message.start_line(),
        StartLine::Request { method: "OPTIONS", uri: "tel:+1-514-555-0102;phone-context=example.com" }
    );
    let vias: Vec<_> = message.elements(Name::Via).map(|text| Via::parse(text).expect("a Via")).collect();
    assert_eq!((vias.len(), vias[0].branch(), vias[1].transport), (2, Some("z9hG4bK.odd~1"), "SCTP"));
    assert_eq!(vias[0].received(), "2001:db8::9:255".parse().ok());
    let from = message.from().expect("a From");
    assert_eq!(
        (from.tag(), from.uri.user, from.name().as_deref()),
        (Some("abc"), Some("a%40b"), Some("Quoted \\ \"name\", <odd>; \u{416}"))
    );
    assert_eq!(message.cseq().map(|cseq| (cseq.number, cseq.method)), Ok((7, "OPTIONS")));
    assert_eq!(message.body().as_ref(), b"\x00\x01\x02\x03\xff");
    assert_eq!(message.values_named("x-own-header").collect::<Vec<_>>(), ["kept   as it is"]);
}

/// Calls everything that reads from a message.
fn read_all(bytes: &Bytes) {
    let _ = Message::decode(bytes.clone());
    if let Ok(message) = Message::decode_tolerant(bytes.clone()) {
        let end = bytes.len() - message.trailing();
        assert_eq!(message.encode(), bytes[..end]);
        for transport in [Transport::Udp, Transport::Tcp] {
            for violation in validate(&message, transport) {
                assert!(violation.offset <= bytes.len(), "{violation:?}");
            }
        }
        let _ = (message.via(), message.from(), message.to(), message.contact(), message.cseq(), message.target());
        let _ = (message.method(), message.content_type(), message.has_to_tag());
        for field in message.fields() {
            read_value(field.value);
        }
        let _ = Builder::of(&message).encode();
    }
    for what in [As::Auto, As::Sip, As::Msrp, As::Cpim, As::Sdp] {
        let inspection = inspect(bytes, what, Transport::Tcp);
        assert!(inspection.parsed || !inspection.is_fine());
        let (json, tree) = (inspection.to_json("file"), inspection.to_tree());
        assert!(!json.contains(char::is_control) && !tree.contains(|char: char| char.is_control() && char != '\n'));
    }
}

/// Reads one value as everything it might be.
fn read_value(value: &str) {
    let _ = (Uri::parse(value), header::unquote(value), header::seconds(value), header::number(value));
    for element in header::list(value) {
        let _ = (Via::parse(element), header::Contact::parse(element), header::Reason::parse(element));
        let _ = (header::Warning::parse(element), header::RetryAfter::parse(element), header::RAck::parse(element));
        let _ = (header::AcceptContact::parse(element), header::SessionExpires::parse(element), header::Service::parse(element));
        let _ = (header::Replaces::parse(element), header::SubscriptionState::parse(element), header::MediaType::parse(element));
        if let Ok(address) = NameAddr::parse(element) {
            let _ = (address.name(), address.instance(), address.params.iter().count(), address.uri.equivalent(&address.uri));
        }
    }
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9.!%*_+`'~-]{1,12}"
}

/// A field line as a peer may write it: any case, blanks before the colon, folds, any text.
fn field() -> impl Strategy<Value = String> {
    let name = prop_oneof![token(), "(?i:via|from|call-id|v|f|i|subject|contact)"];
    let word = "[!-~\u{416}\u{20ac}]{0,12}";
    (name, "[ \t]{0,2}", "[ \t]{0,2}", proptest::collection::vec((word, "( |\t|\r\n |\r\n\t)"), 0..5))
        .prop_filter("Content-Length decides the body", |(name, ..)| {
            !["l", "content-length"].contains(&name.to_lowercase().as_str())
        })
        .prop_map(|(name, before, after, words)| {
            let value: String = words.into_iter().map(|(word, gap)| word + &gap).collect();
            format!("{name}{before}:{after}{value}\r\n")
        })
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![
        (token(), "(sip|tel|urn):[a-z0-9@.;=+-]{1,20}").prop_map(|(method, uri)| format!("{method} {uri} SIP/2.0\r\n")),
        (100..700_u16, "[ -~\u{416}]{0,20}").prop_map(|(code, reason)| format!("SIP/2.0 {code} {reason}\r\n")),
    ];
    let fields = proptest::collection::vec(field(), 0..20);
    let body = proptest::collection::vec(any::<u8>(), 0..200);
    ("(\r\n){0,2}", start, fields, any::<prop::sample::Index>(), body).prop_map(|(lead, start, mut fields, at, body)| {
        let at = at.index(fields.len() + 1);
        fields.insert(at, format!("Content-Length: {}\r\n", body.len()));
        let mut text = format!("{lead}{start}{}\r\n", fields.concat()).into_bytes();
        text.extend_from_slice(&body);
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_all(&Bytes::from(bytes));
    }

    #[test]
    fn spoilt_messages_never_panic(
        which in any::<bool>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), prop::sample::select(b"\r\n \t:;,<>\"\\@[]%=".to_vec())]), 1..6),
        end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = if which { INVITE.to_vec() } else { ODD.to_vec() };
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - end.index(bytes.len()) / 2);
        read_all(&Bytes::from(bytes));
    }

    #[test]
    fn arbitrary_values_never_panic(value in "\\PC{0,60}") {
        read_value(&value);
    }

    #[test]
    fn generated_messages_come_back_the_same(bytes in message()) {
        let bytes = Bytes::from(bytes);
        let message = Message::decode(bytes.clone()).expect("a generated message decodes");
        prop_assert_eq!(message.encode(), bytes);
    }

    #[test]
    fn framer_and_decoder_agree_in_any_segmentation(
        messages in proptest::collection::vec(message(), 1..4),
        cuts in proptest::collection::vec(1..40_usize, 1..8),
    ) {
        let stream = messages.concat();
        let mut framer = Framer::default();
        let (mut rest, mut framed, mut sizes) = (stream.as_slice(), Vec::new(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(sizes.next().copied().unwrap_or(1).min(rest.len()));
            framer.feed(piece);
            while let Some(message) = framer.next_message().expect("the stream frames") {
                framed.push(message);
            }
            rest = after;
        }
        let decoded = messages.iter().map(|bytes| Message::decode(Bytes::from(bytes.clone())).expect("decodes"));
        prop_assert_eq!(framed.len(), messages.len());
        for (framed, decoded) in framed.iter().zip(decoded) {
            prop_assert_eq!(framed.encode(), decoded.encode().slice(decoded.start_offset()..));
            prop_assert_eq!(framed.fields().len(), decoded.fields().len());
            prop_assert!(framed.fields().zip(decoded.fields()).all(|(one, two)| (one.token, one.value) == (two.token, two.value)));
        }
    }

    #[test]
    fn a_broken_stream_breaks_at_the_same_place_however_it_arrives(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"\r\n :SIP/2.0".to_vec())], 0..200),
        size in 1..20_usize,
    ) {
        let run = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut framer = Framer::default();
            let mut messages = 0;
            for piece in pieces {
                framer.feed(piece);
                loop {
                    match framer.next_message() {
                        Ok(Some(_)) => messages += 1,
                        Ok(None) => break,
                        Err(fault) => return (messages, Some(fault)),
                    }
                }
            }
            (messages, None)
        };
        prop_assert_eq!(run(&mut std::iter::once(bytes.as_slice())), run(&mut bytes.chunks(size)));
    }
}
