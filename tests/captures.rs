//! Captures of the whole suite: written, read back, and judged as the run was.

#[path = "common/captures.rs"]
mod rewrites;
#[path = "common/tshark.rs"]
mod tshark;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{LazyLock, Mutex};

use bytes::Bytes;
use cpmcheck::capture::{Assignment, Encapsulation, Remarks, read, write};
use cpmcheck::engine::{Closure, ConnectionId, Transport};
use cpmcheck::judge::outcome::{Outcome, RuleState};
use cpmcheck::judge::verdict::{Certainty, Fault, Verdict};
use cpmcheck::run::execute::{Choices, Course};
use cpmcheck::run::field::{Judged, SKEW, Terms, judge};
use cpmcheck::run::plan::{Job, Order, Pool, cores};
use cpmcheck::run::selftest;
use cpmcheck::suite::source::Sources;
use cpmcheck::suite::{Suite, load_all};
use cpmcheck::time::Instant;
use cpmcheck::trace::Trace;
use cpmcheck::trace::event::{AddressBook, Content, Event, Kind, Link};
use cpmcheck::wire::sip;
use pcap_file::DataLink;
use pcap_file::pcapng::{Block, PcapNgReader};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use rewrites::{at_time_of, blocks, carried, classic, ends, is_packet, is_segment, joined, packet, time};
use tshark::{dissected, has_tshark, malformed, told};

static SUITE: LazyLock<Suite> = LazyLock::new(|| load_all(Sources::embedded()).suite);
/// Every variant of every scenario, played once.
static OUTCOMES: LazyLock<Vec<Outcome>> = LazyLock::new(|| outcomes(&SUITE));

fn outcomes(suite: &Suite) -> Vec<Outcome> {
    let none = BTreeMap::new();
    let course = Course::new(suite, Choices::in_the_simulator(&none));
    let variants = suite.scenarios.iter().flat_map(|scenario| scenario.variants.iter().map(move |variant| (scenario, variant)));
    let job = |(scenario, variant)| Job { scenario, variant, repetition: 1, seed: suite.defaults.seed };
    let jobs: Vec<Job<'_>> = variants.map(job).collect();
    let stop = AtomicBool::new(false);
    let mut outcomes = Vec::with_capacity(jobs.len());
    pool(&stop).run(&jobs, &|job| course.play(job), |outcome| outcomes.push(outcome));
    outcomes
}

fn pool(stop: &AtomicBool) -> Pool<'_> {
    Pool { threads: cores(), order: Order::Id, seed: SUITE.defaults.seed, max_fail: None, stop }
}

/// What comes of work on each outcome, in their order; all cores share it, and the longest is begun first.
fn of_each<T: Send>(outcomes: &[&'static Outcome], work: impl Fn(&'static Outcome) -> T + Sync) -> Vec<T> {
    let mut queue: Vec<usize> = (0..outcomes.len()).collect();
    queue.sort_by_key(|at| outcomes[*at].trace.events.len());
    let queue = Mutex::new(queue);
    let next = || queue.lock().expect("no work panics").pop();
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        let worker = || std::iter::from_fn(&next).map(|at| (at, work(outcomes[at]))).collect::<Vec<_>>();
        let begun: Vec<_> = (0..cores().get()).map(|_| scope.spawn(worker)).collect();
        begun.into_iter().flat_map(|begun| begun.join().expect("no work panics")).collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

fn all() -> Vec<&'static Outcome> {
    OUTCOMES.iter().collect()
}

fn capture(outcome: &Outcome, encapsulation: Encapsulation) -> Bytes {
    write(&outcome.trace, encapsulation, &Remarks { verdict: outcome.verdict.name(), of: &BTreeMap::new() }).into()
}

fn judged(outcome: &Outcome, encapsulation: Encapsulation, terms: &Terms) -> Judged {
    judge(&SUITE, &capture(outcome, encapsulation), terms).expect("a capture")
}

/// The requirements that a run satisfied and the judgement of its capture does not, or the other
/// way round.
fn doubted(outcome: &Outcome, judged: &Judged) -> Vec<String> {
    let satisfied = outcome.rules.iter().filter(|(_, state)| **state == RuleState::Satisfied).map(|(id, _)| id.clone());
    let (live, caught): (BTreeSet<String>, BTreeSet<String>) = (satisfied.collect(), judged.satisfied.iter().cloned().collect());
    live.symmetric_difference(&caught).map(|id| format!("{} {id}", outcome.name())).collect()
}

/// What differs between a run and the judgement of its capture, for a person.
fn difference(outcome: &Outcome, judged: &Judged) -> Option<String> {
    if judged.verdict == outcome.verdict {
        return None;
    }
    let findings: Vec<String> = judged
        .findings
        .iter()
        .filter(|finding| finding.verdict(false) > Verdict::Pass)
        .map(|finding| format!("    {:?} {}: {} / {}", finding.event, finding.id, finding.expected, finding.observed))
        .collect();
    let roles = judged.imported.roles.join("\n    ");
    Some(format!("{}: {} became {}\n{}\n    {roles}", outcome.name(), outcome.verdict, judged.verdict, findings.join("\n")))
}

#[test]
fn the_capture_of_every_scenario_gets_the_verdict_of_its_run() {
    let compared = of_each(&all(), |outcome| {
        let judged = judged(outcome, Encapsulation::RawIp, &Terms::default());
        (difference(outcome, &judged), doubted(outcome, &judged))
    });
    let (different, doubtful): (Vec<_>, Vec<_>) = compared.into_iter().unzip();
    let (different, doubtful): (Vec<String>, Vec<String>) =
        (different.into_iter().flatten().collect(), doubtful.into_iter().flatten().collect());
    assert!(different.is_empty(), "{} of {} differ:\n{}", different.len(), OUTCOMES.len(), different.join("\n"));
    assert!(doubtful.is_empty(), "requirements that only one of run and capture satisfies:\n{}", doubtful.join("\n"));
}

#[test]
fn with_the_skew_of_real_clocks_only_the_order_of_connections_leaves_anything_open() {
    let terms = Terms { skew: Some(SKEW), ..Terms::default() };
    let verdicts = of_each(&all(), |outcome| {
        let judged = judged(outcome, Encapsulation::RawIp, &terms);
        match judged.verdict {
            Verdict::Inconclusive => (1, None),
            _ => (0, difference(outcome, &judged)),
        }
    });
    let open: usize = verdicts.iter().map(|(open, _)| open).sum();
    let wrong: Vec<String> = verdicts.into_iter().filter_map(|(_, wrong)| wrong).collect();
    println!("{open} of {} captures are inconclusive with a skew of {SKEW:?}", OUTCOMES.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn whole_messages_without_packets_get_the_verdict_of_the_run_where_no_connection_breaks() {
    // What differs from packets is how messages are read, not how they are judged.
    let sound: Vec<_> = OUTCOMES.iter().filter(|outcome| !breaks(outcome)).step_by(3).collect();
    let wrong = of_each(&sound, |outcome| difference(outcome, &judged(outcome, Encapsulation::UpperPdu, &Terms::default())));
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    println!("{} of {} captures have whole messages for packets", sound.len(), OUTCOMES.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a connection is lost, which link type 252 cannot tell.
fn breaks(outcome: &Outcome) -> bool {
    outcome.trace.events.iter().any(|event| matches!(event.kind, Kind::Closed { how: Closure::Reset, .. }))
}

/// Scenarios of every kind, for what need not be shown on all of them.
fn sample() -> impl Iterator<Item = &'static Outcome> {
    OUTCOMES.iter().filter(|outcome| outcome.verdict == Verdict::Pass).step_by(9)
}

fn judged_bytes(data: &Bytes, terms: &Terms) -> Judged {
    judge(&SUITE, data, terms).expect("a capture")
}

#[test]
fn a_violation_in_a_capture_names_the_requirement() {
    let none = BTreeMap::new();
    let course = Course::new(&SUITE, Choices::in_the_simulator(&none));
    let mut trials: Vec<_> = selftest::trials(&SUITE).into_iter().step_by(7).collect();
    let stop = AtomicBool::new(false);
    selftest::tamper(&course, &mut trials, &pool(&stop), &|| ());
    let mut unnamed = Vec::new();
    for trial in &trials {
        let Some(spoilt) = trial.spoilt.as_ref().filter(|_| trial.is_caught()) else { continue };
        let judged = judged(spoilt, Encapsulation::RawIp, &Terms::default());
        let id = &trial.requirement.id;
        if !judged.findings.iter().any(|finding| finding.id == *id && finding.certainty == Certainty::Broken) {
            unnamed.push(format!("{id} {} in {}", trial.case.name, spoilt.name()));
        }
    }
    println!("{} tamper cases judged from captures", trials.len());
    assert!(unnamed.is_empty(), "{} of {} are not named:\n{}", unnamed.len(), trials.len(), unnamed.join("\n"));
}

/// By how much a segment may come before one that was sent earlier: RFC 3261's T1, in microseconds.
const OVERTAKEN: u64 = 500_000;

#[test]
fn a_network_that_reorders_and_repeats_segments_changes_nothing() {
    for outcome in sample() {
        let mut blocks = blocks(&capture(outcome, Encapsulation::RawIp));
        let mut at = 0;
        while at + 1 < blocks.len() {
            let (one, two) = (&blocks[at], &blocks[at + 1]);
            // Two segments of one direction overtake each other, on the way together; datagrams that do are another
            // conversation, and so is a message that is there long before it was sent.
            let segments = is_packet(one) && is_packet(two) && is_segment(packet(one)) && is_segment(packet(two));
            if segments && ends(packet(one)) == ends(packet(two)) && time(two) - time(one) < OVERTAKEN {
                let swapped = (at_time_of(two, one), at_time_of(one, two));
                (blocks[at], blocks[at + 1]) = swapped;
                at += 1;
            }
            at += 1;
        }
        let mut repeated = Vec::new();
        for (at, block) in blocks.iter().enumerate() {
            repeated.push(block.clone());
            if let Some(earlier) = at.checked_sub(3).map(|at| &blocks[at])
                && is_packet(earlier)
                && is_packet(block)
                && carried(packet(earlier)) > 0
            {
                repeated.push(at_time_of(earlier, block));
            }
        }
        let judged = judged_bytes(&joined(repeated), &Terms::default());
        assert_eq!(difference(outcome, &judged), None);
        assert!(judged.imported.notes.iter().any(|note| note.contains("came again")), "{:?}", judged.imported.notes);
    }
}

#[test]
fn a_capture_that_lacks_segments_says_so_and_accuses_nobody() {
    let mut inconclusive = 0;
    for (number, outcome) in sample().enumerate() {
        let all = blocks(&capture(outcome, Encapsulation::RawIp));
        let carrying: Vec<usize> = (0..all.len()).filter(|at| is_packet(&all[*at]) && carried(packet(&all[*at])) > 0).collect();
        // Each time another one of them is lost.
        let Some(lost) = carrying.get(number * 3 % carrying.len().max(1)).copied() else { continue };
        let kept = all.into_iter().enumerate().filter(|(at, _)| *at != lost).map(|(_, block)| block);
        let judged = judged_bytes(&joined(kept), &Terms::default());
        let why = format!("{} without packet {lost}: {:?}\n{:#?}", outcome.name(), judged.imported.notes, judged.findings);
        assert!(judged.imported.notes.iter().any(|note| note.contains("are missing after")), "{why}");
        let accused = judged.findings.iter().filter(|finding| finding.fault == Fault::Iut);
        assert!(accused.filter(|finding| finding.verdict(false) == Verdict::Fail).count() == 0, "{why}");
        inconclusive += usize::from(judged.verdict == Verdict::Inconclusive);
    }
    println!("{inconclusive} captures without one segment are inconclusive");
}

#[test]
fn every_link_layer_and_the_older_file_format_are_read_alike() {
    let outcome = sample().next().expect("a scenario that passes");
    let file = capture(outcome, Encapsulation::RawIp);
    let terms = Terms { scenario: Some(outcome.name()), skew: Some(std::time::Duration::ZERO), ..Terms::default() };
    let ethernet = [&[0; 12][..], &[8, 0]].concat();
    let tagged = [&[0; 12][..], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 7, 8, 0]].concat();
    let cooked = [&[0; 14][..], &[8, 0]].concat();
    let cooked2 = [&[8, 0][..], &[0; 18]].concat();
    let loopback = [0, 0, 0, 2];
    let heads: [(u32, &[u8]); 6] = [(1, &ethernet), (1, &tagged), (113, &cooked), (276, &cooked2), (0, &loopback), (101, &[])];
    for (link, head) in heads {
        let judged = judged_bytes(&classic(&file, link, head), &terms);
        assert_eq!(difference(outcome, &judged), None, "link type {link}");
    }
}

#[test]
fn a_second_witness_reads_what_is_written() {
    for (encapsulation, link) in [(Encapsulation::RawIp, DataLink::RAW), (Encapsulation::UpperPdu, DataLink::WIRESHARK_UPPER_PDU)] {
        let file = capture(sample().next().expect("a scenario that passes"), encapsulation);
        let mut reader = PcapNgReader::new(&file[..]).expect("a section");
        let mut packets = 0;
        while let Some(block) = reader.next_block() {
            match block.expect("a whole block") {
                Block::InterfaceDescription(interface) => assert_eq!(interface.linktype, link),
                Block::EnhancedPacket(packet) => {
                    assert_eq!(packet.data.len(), packet.original_len as usize);
                    packets += 1;
                }
                _ => {}
            }
        }
        assert!(packets > 10, "{packets} packets");
    }
}

#[test]
fn a_hostile_file_is_an_error_or_a_capture_and_never_a_panic() {
    let file = capture(sample().next().expect("a scenario that passes"), Encapsulation::RawIp);
    let upper = capture(sample().next().expect("a scenario that passes"), Encapsulation::UpperPdu);
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40);
    let strategy = (edits, any::<prop::sample::Index>(), any::<bool>());
    let done = runner.run(&strategy, |(edits, end, whole)| {
        for original in [&file, &upper] {
            let mut data = original.to_vec();
            for (place, byte) in &edits {
                data[place.index(original.len())] = *byte;
            }
            if !whole {
                data.truncate(end.index(data.len()));
            }
            let _ = read(&data.into(), &[], &AddressBook::default());
        }
        Ok(())
    });
    done.expect("no input panics");
}

#[test]
fn tshark_agrees_on_every_message_and_calls_no_frame_malformed() {
    if !has_tshark() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (mut frames, mut captures) = (0, 0);
    // Starting a dissector takes longer than what it then does.
    for (number, outcome) in OUTCOMES.iter().filter(|outcome| outcome.verdict == Verdict::Pass).step_by(4).enumerate() {
        let told = told(&outcome.trace);
        // Each scenario in one form, in turn.
        let encapsulation = if number.is_multiple_of(2) { Encapsulation::UpperPdu } else { Encapsulation::RawIp };
        if !told.iter().any(|word| word == "broken") {
            let path = folder.path().join(format!("{number}-{encapsulation:?}.pcapng"));
            std::fs::write(&path, capture(outcome, encapsulation)).expect("it is written");
            assert_eq!(dissected(&path), told, "{} {encapsulation:?}", outcome.name());
            assert_eq!(malformed(&path), "", "{} {encapsulation:?}", outcome.name());
            captures += 1;
            frames += told.len();
        }
    }
    println!("tshark agrees on {frames} messages in {captures} captures");
}

/// A long message from a focus to the PF, by datagram and over a connection.
fn long_messages(pf: IpAddr, cf: IpAddr) -> Trace {
    let message = |number: u32| {
        let text = "x".repeat(4000);
        let wire = format!(
            "MESSAGE sip:pf.home1.example SIP/2.0\r\nVia: SIP/2.0/UDP cf.home1.example;branch=z9hG4bK{number}\r\nFrom: <sip:focus@cf.home1.example>;tag=1\r\n\
             To: <sip:bob@home1.example>\r\nCall-ID: {number}@cf.home1.example\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\n\
             Contact: <sip:gc-1@cf.home1.example>;isfocus\r\nContent-Type: text/plain\r\nContent-Length: 4000\r\n\r\n{text}"
        );
        Content::Sip(sip::Message::decode(Bytes::from(wire)).expect("a SIP message"))
    };
    let event = |number: u32, kind: Kind| Event { number, at: Instant::from_millis(u64::from(number)), kind };
    let link = |transport: Transport, connection: Option<ConnectionId>| Link {
        transport,
        source: SocketAddr::new(cf, if connection.is_some() { 49_200 } else { 5060 }),
        destination: SocketAddr::new(pf, 5060),
        connection,
    };
    let tcp = link(Transport::Tcp, Some(ConnectionId(1)));
    let events = vec![
        event(0, Kind::Message { link: link(Transport::Udp, None), sent: false, content: message(0) }),
        event(1, Kind::Opened { link: tcp }),
        event(2, Kind::Message { link: tcp, sent: false, content: message(1) }),
        event(3, Kind::Closed { link: tcp, how: Closure::Finished, by_iut: false }),
    ];
    Trace { events, ended: Instant::from_millis(10), complete: true, ..Trace::default() }
}

#[test]
fn fragments_and_long_streams_of_both_versions_of_ip_come_back_whole() {
    for (pf, cf) in [("10.0.0.1", "10.0.1.1"), ("2001:db8::1", "2001:db8::1:1")] {
        let trace = long_messages(pf.parse().expect("an address"), cf.parse().expect("an address"));
        let file: Bytes = write(&trace, Encapsulation::RawIp, &Remarks { verdict: "", of: &BTreeMap::new() }).into();
        let told: Assignment = format!("pf={pf}").parse().expect("an assignment");
        let imported = read(&file, &[told], &AddressBook::default()).expect("a capture");
        assert_eq!(imported.trace.events, trace.events, "{:?}", imported.notes);
        // Without one fragment there is no datagram.
        let mut packets = 0;
        let kept = blocks(&file).into_iter().filter(|block| {
            packets += usize::from(is_packet(block));
            packets != 2 || !is_packet(block)
        });
        let imported = read(&joined(kept), &[told], &AddressBook::default()).expect("a capture");
        assert_eq!(imported.trace.events.len(), 3);
        assert!(imported.notes.iter().any(|note| note.contains("lack fragments")), "{:?}", imported.notes);
    }
}
