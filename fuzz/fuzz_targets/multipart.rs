//! Any Content-Type and body: parts lie where they say, and what is built from them is taken apart
//! into the same.
#![no_main]

use bytes::Bytes;
use cpmcheck::wire::mime::{Builder, decode_base64, decode_transfer, parts, validate};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let Ok(content_type) = std::str::from_utf8(&data[..end]) else { return };
    let body = Bytes::copy_from_slice(data.get(end + 1..).unwrap_or_default());
    let _ = (validate(content_type, &body), decode_base64(&body), decode_transfer(Some("quoted-printable"), &body).len());
    let found = parts(content_type, &body);
    for part in &found {
        assert_eq!(&body[part.offset..part.offset + part.body.len()], &part.body[..]);
        let _ = (part.decoded().len(), part.disposition(), part.content_id());
    }
    let built = found.iter().fold(Builder::new("seam"), |builder, part| builder.part("text/plain", part.body.clone()));
    let again = parts(&built.content_type(), &built.encode());
    assert!(found.iter().map(|part| &part.body).eq(again.iter().map(|part| &part.body)) || found.is_empty());
});
