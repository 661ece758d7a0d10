//! Any bytes as CPIM: what decodes comes back the same, taken apart and built again too.
#![no_main]

use bytes::Bytes;
use cpmcheck::wire::cpim::{Builder, Cpim, validate};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(message) = Cpim::decode(Bytes::copy_from_slice(data)) else { return };
    assert_eq!(&message.encode()[..], data);
    let _ = (validate(&message), message.from(), message.to(), message.message_id(), message.decoded().len());
    let built = Builder::of(&message).encode();
    let again = Cpim::decode(built.clone()).expect("what is built decodes");
    assert_eq!(Builder::of(&again).encode(), built);
});
