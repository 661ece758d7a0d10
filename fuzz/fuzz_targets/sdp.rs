//! Any bytes as SDP: what parses comes back the same, and its media line can be refused.
#![no_main]

use cpmcheck::wire::sdp::{Media, Sdp, SdpBuilder, validate};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(sdp) = Sdp::parse(data) else { return };
    assert_eq!(&sdp.encode()[..], data);
    let _ = (validate(&sdp), Media::of(&sdp), sdp.accept_types().count(), sdp.is_cema());
    let altered = SdpBuilder::of(&sdp).port(0).encode();
    if sdp.media().is_some() {
        assert!(Sdp::parse(&altered).expect("what is built parses").is_refused());
    }
});
