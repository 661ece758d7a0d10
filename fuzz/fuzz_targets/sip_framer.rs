//! Any stream in two segmentations: the same messages, then the same fault.
#![no_main]

use cpmcheck::wire::Fault;
use cpmcheck::wire::sip::Framer;

fn run<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<bytes::Bytes>, Option<Fault>) {
    let mut framer = Framer::default();
    let mut messages = Vec::new();
    for piece in pieces {
        framer.feed(piece);
        loop {
            match framer.next_message() {
                Ok(Some(message)) => messages.push(message.encode()),
                Ok(None) => break,
                Err(fault) => return (messages, Some(fault)),
            }
        }
    }
    (messages, None)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((size, stream)) = data.split_first() else { return };
    let size = usize::from(*size).max(1);
    assert_eq!(run(std::iter::once(stream)), run(stream.chunks(size)));
});
