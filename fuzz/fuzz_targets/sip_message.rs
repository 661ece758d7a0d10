//! Any bytes: decode, encode, validate and inspect without panic; what decodes comes back the same.
#![no_main]

use bytes::Bytes;
use cpmcheck::engine::Transport;
use cpmcheck::wire::inspect::{As, inspect};
use cpmcheck::wire::sip::{Message, validate};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(message) = Message::decode_tolerant(bytes.clone()) {
        assert_eq!(message.encode(), bytes[..bytes.len() - message.trailing()]);
        let _ = validate(&message, Transport::Udp);
    }
    let _ = inspect(&bytes, As::Auto, Transport::Tcp).to_tree();
});
