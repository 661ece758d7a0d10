//! Any bytes as one MSRP request or response: what decodes comes back the same.
#![no_main]

use bytes::Bytes;
use cpmcheck::wire::msrp::{Chunk, ChunkBuilder, validate};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(chunk) = Chunk::decode(Bytes::copy_from_slice(data)) else { return };
    assert_eq!(&chunk.encode()[..], data);
    let _ = (validate(&chunk), chunk.byte_range(), chunk.status(), chunk.failure_report(), chunk.body_offset());
    let built = ChunkBuilder::of(&chunk).encode();
    assert!(Chunk::decode(built).is_ok());
});
