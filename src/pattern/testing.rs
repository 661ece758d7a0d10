//! Messages and names for the tests of this room.

use bytes::Bytes;

use super::ast::{Key, Path, Place, Value};
use super::env::Names;
use crate::wire::sip::Message;

/// Bob with two addresses and a device, Alice with one address.
pub(super) fn bob() -> Names {
    let mut names = Names::default();
    names.insert("bob", vec!["sip:+15145550102@home1.example".to_owned(), "tel:+15145550102".to_owned()], Some("Bob".to_owned()));
    names.insert("alice", vec!["sip:+15145550101@home1.example".to_owned()], Some("Alice".to_owned()));
    names.insert("trip", vec!["sip:gc-1@cf.home1.example".to_owned()], None);
    names.insert_device("bob.phone", "urn:uuid:1".to_owned());
    names
}

/// An INVITE with further header fields and a body.
pub(super) fn invite(fields: &[&str], body: &str) -> Message {
    let further: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let text = format!(
        "INVITE sip:+15145550102@home1.example;user=phone SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.1;branch=z9hG4bK1\r\n\
         From: <sip:pf.home1.example>;tag=f1\r\nTo: <sip:+15145550102@home1.example>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:gc@pf.home1.example>;isfocus;+sip.instance=\"<urn:uuid:1>\"\r\n{further}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Message::decode(Bytes::from(text)).expect("a message of the tests decodes")
}

/// A key of a pattern.
pub(super) fn key(path: &str, value: Value) -> Key {
    Key { path: Path::parse(path).expect("a path of the tests is one"), value, place: Place::default() }
}
