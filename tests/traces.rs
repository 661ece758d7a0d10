//! Runs of another PF, written by hand: the court gives each the verdict that its file states.
//!
//! A file begins with `title:` and `expect:`, then has a block for each message: `@ TIME FROM -> TO
//! sip|msrp`, and the message with plain line ends. `Content-Length: auto` and `Byte-Range: auto`
//! are counted here. A good run breaks nothing and satisfies the requirements that it names; a bad one
//! breaks the requirements that it names, and no invariant of a base protocol that it does not name.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use cpmcheck::engine::{ConnectionId, Transport};
use cpmcheck::judge::verdict::{FindingKind, Verdict};
use cpmcheck::judge::{Judge, Judgement, Outcome, Setup};
use cpmcheck::pattern::ast::Role;
use cpmcheck::suite::source::Sources;
use cpmcheck::suite::{Suite, load_all};
use cpmcheck::time::Instant;
use cpmcheck::trace::event::{AddressBook, Content, Event, Kind, Link, Party};
use cpmcheck::trace::{Header, Trace};
use cpmcheck::wire::{msrp, sip};

const FOLDER: &str = "fixtures/traces";

fn address(name: &str, msrp: bool) -> SocketAddr {
    let host = match name {
        "pf" => "10.0.0.1",
        // SIP of a Client comes by way of the core.
        "core" => "10.0.0.2",
        "bob" | "bob.phone" | "bob.tablet" if !msrp => "10.0.0.2",
        "bob" | "bob.phone" => "10.0.2.1",
        "bob.tablet" => "10.0.2.2",
        "focus" => "10.0.1.1",
        other => panic!("{other} is nobody here"),
    };
    format!("{host}:{}", if msrp { 2855 } else { 5060 }).parse().expect("an address")
}

/// `by_device`: Bob has two devices in this run, otherwise one.
fn book(suite: &Suite, by_device: bool) -> AddressBook {
    let device = |name: &str| Party { device: by_device.then(|| name.into()), ..Party::new(Role::Client, "bob") };
    let (pf, core, focus) = (Party::new(Role::Pf, "pf"), Party::new(Role::Core, "core"), Party::new(Role::Cf, "focus"));
    let nodes = [("pf", &pf), ("core", &core), ("focus", &focus)];
    let mut book = AddressBook::default();
    for msrp in [false, true] {
        book.nodes.extend(nodes.iter().map(|(name, party)| (address(name, msrp), (*party).clone())));
        let port = if msrp { 2855 } else { 5060 };
        book.nodes.push((SocketAddr::new([10, 0, 2, 1].into(), port), device("phone")));
        book.nodes.push((SocketAddr::new([10, 0, 2, 2].into(), port), device("tablet")));
    }
    book.hosts = [("pf.home1.example", pf), ("scscf1.home1.example", core), ("cf.home1.example", focus)]
        .map(|(host, party)| (host.to_owned(), party))
        .to_vec();
    for (name, identity) in &suite.defaults.identities {
        let party = Party::new(Role::Client, name);
        book.users.extend(std::iter::once(&identity.uri).chain(&identity.aliases).map(|uri| (uri.clone(), party.clone())));
    }
    let devices = &suite.defaults.identities["bob"].devices;
    book.instances.extend(devices.iter().map(|(name, instance)| (instance.clone(), device(name))));
    for (name, group) in &suite.defaults.groups {
        let ids = [&group.focus, &group.conversation_id, &group.contribution_id];
        book.groups.extend(ids.map(|id| (id.clone(), name.as_str().into())));
    }
    book
}

/// What a file says about itself, and its blocks.
struct File {
    expect: String,
    blocks: Vec<(String, String)>,
}

fn read(path: &Path) -> File {
    let text = fs::read_to_string(path).expect("it is readable");
    let (head, rest) = text.split_once("\n@ ").expect("blocks");
    let expect = head.lines().find_map(|line| line.strip_prefix("expect: ")).expect("what is expected").to_owned();
    let blocks = rest.split("\n@ ").map(|block| {
        let (title, message) = block.split_once('\n').expect("a title");
        (title.to_owned(), message.trim_end().to_owned())
    });
    File { expect, blocks: blocks.collect() }
}

fn sip_message(text: &str) -> sip::Message {
    let (head, body) =
        text.split_once("\n\n").map_or((text, String::new()), |(head, body)| (head, format!("{}\r\n", body.replace('\n', "\r\n"))));
    let head = head.replace("Content-Length: auto", &format!("Content-Length: {}", body.len())).replace('\n', "\r\n");
    sip::Message::decode(Bytes::from(format!("{head}\r\n\r\n{body}"))).expect("a SIP message")
}

fn msrp_chunk(text: &str) -> msrp::Chunk {
    let (message, end) = text.rsplit_once('\n').expect("an end-line");
    let wire = match message.split_once("\n\n") {
        Some((head, body)) => {
            let body = body.replace('\n', "\r\n");
            let range = format!("Byte-Range: 1-{0}/{0}", body.len());
            format!("{}\r\n\r\n{body}\r\n{end}\r\n", head.replace("Byte-Range: auto", &range).replace('\n', "\r\n"))
        }
        None => format!("{}\r\n{end}\r\n", message.replace('\n', "\r\n")),
    };
    msrp::Chunk::decode(Bytes::from(wire)).expect("an MSRP chunk")
}

fn event(number: usize, title: &str, text: &str) -> Event {
    let words: Vec<&str> = title.split(' ').collect();
    let [time, from, "->", to, protocol] = words[..] else { panic!("`{title}` is no title") };
    let (seconds, millis) = time.split_once('.').expect("a time");
    let at = Instant::from_millis(seconds.parse::<u64>().expect("seconds") * 1_000 + millis.parse::<u64>().expect("milliseconds"));
    let msrp = protocol == "msrp";
    let peer = if from == "pf" { to } else { from };
    let far_end = ["focus", "bob.tablet"].into_iter().zip(1..).find(|(name, _)| *name == peer).map_or(0, |(_, number)| number);
    let connection = ConnectionId(u64::from(msrp) * 10 + far_end + 1);
    let link = Link {
        transport: Transport::Tcp,
        source: address(from, msrp),
        destination: address(to, msrp),
        connection: Some(connection),
    };
    let content = if msrp { Content::Msrp(msrp_chunk(text)) } else { Content::Sip(sip_message(text)) };
    Event { number: u32::try_from(number).expect("few events"), at, kind: Kind::Message { link, sent: from == "pf", content } }
}

fn judged(file: &File, suite: &Suite, judge: &Judge) -> Judgement {
    let events: Vec<Event> = file.blocks.iter().enumerate().map(|(number, (title, text))| event(number, title, text)).collect();
    let ended = events.last().map_or(Instant::ZERO, |event| event.at) + std::time::Duration::from_secs(40);
    let knobs = cpmcheck::policy::knobs().iter().map(|knob| (knob.name.to_owned(), knob.default.to_owned()));
    let by_device = file.blocks.iter().any(|(title, _)| title.contains("bob.tablet"));
    let header = Header {
        scenario: "by hand".to_owned(),
        book: book(suite, by_device).into(),
        policy: std::sync::Arc::new(knobs.collect()),
        ..Header::default()
    };
    judge.judge(&Trace { header, events, ended, complete: true })
}

#[test]
fn runs_of_another_pf_get_the_verdicts_that_they_state() {
    let suite = load_all(Sources::read(Path::new("scenarios/deferred-delivery")).expect("the suite is readable")).suite;
    let judge = Judge::new(&suite.catalogue.requirements, cpmcheck::run::names(&suite.defaults), Setup::default());
    let mut paths: Vec<_> = fs::read_dir(FOLDER).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    assert!(paths.len() >= 20, "{} runs", paths.len());
    let mut wrong = Vec::new();
    for path in paths {
        let file = read(&path);
        let judgement = judged(&file, &suite, &judge);
        let broken: BTreeSet<String> = judgement
            .findings
            .iter()
            .filter(|finding| finding.verdict(false) >= Verdict::Fail)
            .map(|finding| finding.id.clone())
            .collect();
        let (verdict, named) = file.expect.split_once(' ').unwrap_or((&file.expect, ""));
        let named: Vec<&str> = named.split(' ').filter(|word| word.starts_with("DGC-")).collect();
        let complaint = if verdict.starts_with("pass") {
            let open: Vec<&&str> = named.iter().filter(|id| judgement.outcome(id) != Some(Outcome::Satisfied)).collect();
            (!broken.is_empty() || !open.is_empty()).then(|| format!("breaks {broken:?}, does not show {open:?}"))
        } else {
            let missing: Vec<&&str> = named.iter().filter(|id| !broken.contains(**id)).collect();
            (named.is_empty() || !missing.is_empty()).then(|| format!("does not break {missing:?}, breaks {broken:?}"))
        };
        let texts = || {
            judgement.findings.iter().filter(|finding| finding.verdict(false) >= Verdict::Fail).map(|finding| {
                format!(
                    "    {:?} {} at {:?}: expected {}; observed {}\n",
                    finding.kind, finding.id, finding.event, finding.expected, finding.observed
                )
            })
        };
        wrong.extend(complaint.map(|complaint| format!("{}: {complaint}\n{}", path.display(), texts().collect::<String>())));
        // A bad run breaks what its title says, not the protocols beneath, unless it says so.
        let base = judgement.findings.iter().filter(|finding| finding.kind == FindingKind::Invariant);
        let base = base.filter(|finding| finding.verdict(false) >= Verdict::Fail && !file.expect.contains(finding.id.as_str()));
        wrong.extend(base.map(|finding| format!("{}: {} {}", path.display(), finding.id, finding.observed)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
