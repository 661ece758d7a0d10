//! A decoded message costs one allocation: its table of fields. Everything else is a view.

use bytes::Bytes;
use cpmcheck::wire::sip::{Framer, Message, Name};

const INVITE: &[u8] = include_bytes!("../fixtures/wire/invite.sip");

fn allocations(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

#[test]
fn decoding_an_ims_invite_allocates_once() {
    let bytes = Bytes::from_static(INVITE);
    let mut fields = 0;
    let count = allocations(|| {
        let message = Message::decode(bytes).expect("the fixture decodes");
        fields = message.fields().len();
    });
    assert_eq!((fields, count), (28, 1));
}

#[test]
fn typed_views_allocate_nothing() {
    let message = Message::decode(Bytes::from_static(INVITE)).expect("the fixture decodes");
    let count = allocations(|| {
        assert!(message.via().is_ok_and(|via| via.branch().is_some()));
        assert!(message.from().is_ok_and(|from| from.tag().is_some()));
        assert!(message.contact().is_ok_and(|contact| contact.is_focus()));
        assert_eq!(message.elements(Name::RecordRoute).count(), 2);
        assert!(message.cseq().is_ok() && message.call_id().is_some() && message.target().is_ok());
    });
    assert_eq!(count, 0);
}

#[test]
fn a_message_of_sixty_fields_still_allocates_once() {
    let mut text = "OPTIONS sip:a@b.example SIP/2.0\r\n".to_owned();
    for number in 0..60 {
        text.push_str(&format!("X-Field-{number}: value\r\n"));
    }
    text.push_str("\r\n");
    let bytes = Bytes::from(text);
    assert_eq!(allocations(|| drop(Message::decode(bytes).expect("decodes"))), 1);
}

#[test]
fn encoding_allocates_the_bytes_once() {
    let message = Message::decode(Bytes::from_static(INVITE)).expect("the fixture decodes");
    let count = allocations(|| assert_eq!(message.encode().len(), INVITE.len()));
    // The buffer, and what shares it.
    assert!(count <= 2, "{count} allocations");
}

#[test]
fn a_framed_message_costs_its_bytes_and_its_table() {
    let mut framer = Framer::default();
    let count = allocations(|| {
        framer.feed(INVITE);
        assert!(framer.next_message().is_ok_and(|message| message.is_some()));
    });
    assert!(count <= 3, "{count} allocations");
}
