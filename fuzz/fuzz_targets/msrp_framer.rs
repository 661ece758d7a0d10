//! Any stream in two segmentations: the same chunks, then the same fault.
#![no_main]

use cpmcheck::wire::msrp::{Framer, validate};

fn run<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<bytes::Bytes>, bool) {
    let mut framer = Framer::default();
    let mut chunks = Vec::new();
    for piece in pieces {
        framer.feed(piece);
        loop {
            match framer.next_chunk() {
                Ok(Some(chunk)) => {
                    let _ = validate(&chunk);
                    chunks.push(chunk.encode());
                }
                Ok(None) => break,
                Err(_) => return (chunks, true),
            }
        }
    }
    (chunks, false)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((size, stream)) = data.split_first() else { return };
    let size = usize::from(*size).max(1);
    assert_eq!(run(std::iter::once(stream)), run(stream.chunks(size)));
});
