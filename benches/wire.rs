//! Wire codecs: SIP against rsip on one IMS INVITE of 2 to 3 KB and 28 header fields, MSRP alone.
//!
//! Two depths of parsing are compared. `split`: start line, header fields and body told apart.
//! `typed`: the same, and Via, From, To, Call-ID, CSeq, Contact, Route and Record-Route read, all of
//! them, with every parameter. The last lines say how many times as fast as rsip this codec is.

use std::hint::black_box;

use bytes::Bytes;
use cpmcheck::wire::msrp::{Chunk, ChunkBuilder};
use cpmcheck::wire::sip::header::{NameAddr, Via};
use cpmcheck::wire::sip::{Builder, Message, Name};
use criterion::{Criterion, Throughput};
use rsip::message::HasHeaders;
use rsip::prelude::{HeadersExt, ToTypedHeader};

const INVITE: &[u8] = include_bytes!("../fixtures/wire/invite.sip");
const SEND: &[u8] = include_bytes!("../fixtures/wire/send.msrp");

fn split(bytes: &Bytes) -> Message {
    Message::decode(bytes.clone()).expect("the fixture decodes")
}

/// Reads what rsip's typed headers read, parameters included, and counts it.
fn typed(bytes: &Bytes) -> usize {
    let message = split(bytes);
    let mut parts = message.call_id().map_or(0, str::len) + message.cseq().expect("a CSeq").method.len();
    for via in message.elements(Name::Via).map(|text| Via::parse(text).expect("a Via")) {
        parts += via.host.0.len() + via.params.iter().count();
    }
    for name in [Name::From, Name::To, Name::Contact, Name::Route, Name::RecordRoute] {
        for address in message.elements(name).map(|text| NameAddr::parse(text).expect("an address")) {
            parts += address.uri.params.iter().count() + address.params.iter().count();
        }
    }
    parts
}

fn rsip_split(bytes: &[u8]) -> rsip::SipMessage {
    rsip::SipMessage::try_from(bytes).expect("rsip decodes the fixture")
}

fn rsip_typed(bytes: &[u8]) -> usize {
    let message = rsip_split(bytes);
    let mut parts = message.call_id_header().expect("a Call-ID").to_string().len();
    for header in message.headers().iter() {
        match header {
            rsip::Header::Via(via) => parts += via.clone().typed().expect("a Via").params.len(),
            rsip::Header::From(from) => parts += from.clone().typed().expect("a From").params.len(),
            rsip::Header::To(to) => parts += to.clone().typed().expect("a To").params.len(),
            // rsip 0.4 gives up on a quoted feature parameter; what it spends until then is counted.
            rsip::Header::Contact(contact) => parts += contact.clone().typed().map_or(0, |contact| contact.params.len()),
            rsip::Header::Route(route) => parts += route.clone().typed().expect("a Route").uris().len(),
            rsip::Header::RecordRoute(route) => parts += route.clone().typed().expect("a Record-Route").uris().len(),
            rsip::Header::CSeq(cseq) => parts += cseq.clone().typed().map_or(0, |cseq| cseq.seq as usize),
            _ => {}
        }
    }
    parts
}

fn sip(criterion: &mut Criterion) {
    let bytes = Bytes::from_static(INVITE);
    let mut group = criterion.benchmark_group("sip-invite");
    group.throughput(Throughput::Bytes(INVITE.len() as u64));
    group.bench_function("split", |bencher| bencher.iter(|| black_box(split(black_box(&bytes)))));
    group.bench_function("split/rsip", |bencher| bencher.iter(|| black_box(rsip_split(black_box(INVITE)))));
    group.bench_function("typed", |bencher| bencher.iter(|| black_box(typed(black_box(&bytes)))));
    group.bench_function("typed/rsip", |bencher| bencher.iter(|| black_box(rsip_typed(black_box(INVITE)))));
    let (ours, theirs) = (split(&bytes), rsip_split(INVITE));
    group.bench_function("encode", |bencher| bencher.iter(|| black_box(&ours).encode()));
    group.bench_function("encode/rsip", |bencher| bencher.iter(|| rsip_bytes(black_box(&theirs))));
    let builder = Builder::of(&ours);
    group.bench_function("encode-built", |bencher| bencher.iter(|| black_box(&builder).encode()));
    group.finish();
}

fn rsip_bytes(message: &rsip::SipMessage) -> Vec<u8> {
    message.clone().into()
}

fn msrp(criterion: &mut Criterion) {
    let bytes = Bytes::from_static(SEND);
    let mut group = criterion.benchmark_group("msrp-send");
    group.throughput(Throughput::Bytes(SEND.len() as u64));
    group
        .bench_function("parse", |bencher| bencher.iter(|| Chunk::decode(black_box(&bytes).clone()).expect("the fixture decodes")));
    let builder = ChunkBuilder::of(&Chunk::decode(bytes.clone()).expect("the fixture decodes"));
    group.bench_function("encode", |bencher| bencher.iter(|| black_box(&builder).encode()));
    group.finish();
}

/// The fastest of many short rounds, in nanoseconds: what the machine can do when left alone.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures the time that passes")]
fn fastest(mut work: impl FnMut()) -> f64 {
    const CALLS: u32 = 20;
    let round = |work: &mut dyn FnMut()| {
        let start = std::time::Instant::now();
        (0..CALLS).for_each(|_| work());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    (0..5_000).map(|_| round(&mut work)).fold(f64::INFINITY, f64::min)
}

fn ratios() {
    let bytes = Bytes::from_static(INVITE);
    let (ours, theirs) = (split(&bytes), rsip_split(INVITE));
    let rows = [
        ("split", fastest(|| drop(black_box(split(&bytes)))), fastest(|| drop(black_box(rsip_split(INVITE))))),
        ("typed", fastest(|| _ = black_box(typed(&bytes))), fastest(|| _ = black_box(rsip_typed(INVITE)))),
        ("encode", fastest(|| drop(black_box(ours.encode()))), fastest(|| drop(black_box(rsip_bytes(&theirs))))),
    ];
    for (what, ours, theirs) in rows {
        println!("{what:<8} {ours:>7.0} ns, rsip {theirs:>7.0} ns: {:.1} times as fast", theirs / ours);
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    sip(&mut criterion);
    msrp(&mut criterion);
    criterion.final_summary();
    ratios();
}
