//! Two nodes wired in memory, and one node against a script.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::engine::{Closure, ConnectionId};
use crate::ids::Ids;
use crate::time::Instant;
use crate::wire::msrp::{Chunk, FailureReport, Flag, Framer};

const PEER: &str = "msrp://10.0.2.1:2855/peer;tcp";
const LINK: ConnectionId = ConnectionId(1);

const fn ms(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn outgoing(id: &str, body: impl Into<Bytes>) -> Outgoing {
    Outgoing {
        message_id: Some(id.to_owned()),
        content_type: "text/plain".to_owned(),
        body: body.into(),
        success_report: false,
        failure_report: FailureReport::Yes,
        chunk_size: 2048,
    }
}

/// One node that a script feeds with chunks on [`LINK`].
struct Bench {
    node: Node,
    session: SessionId,
    path: String,
    framer: Framer,
}

impl Bench {
    /// A passive session whose peer has connected.
    fn passive(config: Config) -> Self {
        let mut node = Node::new(config, Ids::new(1, "pf"));
        let (session, path) = node.open();
        node.start(ms(0), session, PEER, false);
        node.handle_accepted(ms(0), LINK);
        Self { node, session, path, framer: Framer::default() }
    }

    /// As [`Bench::passive`], bound by the peer's first request.
    fn bound(config: Config) -> Self {
        let mut bench = Self::passive(config);
        assert_eq!(bench.feed("bind1", "SEND", "Message-ID: bind-0001"), ["200"]);
        assert_eq!(bench.events(), [Event::Bound]);
        bench
    }

    /// A session that sends only, bound, with this message under way at 0 ms: the chunks of it.
    fn sending(config: Config, message: Outgoing) -> (Self, Vec<Chunk>) {
        let mut bench = Self::bound(config);
        bench.node.send(ms(0), bench.session, message);
        let chunks = bench.chunks();
        (bench, chunks)
    }

    fn feed(&mut self, id: &str, start: &str, fields: &str) -> Vec<String> {
        let path = self.path.clone();
        self.feed_to(&path, id, start, fields)
    }

    /// Feeds a chunk; a line `Data: …` in `fields` is its body. Gives the answers, `REPORT` with its status.
    fn feed_to(&mut self, to: &str, id: &str, start: &str, fields: &str) -> Vec<String> {
        let (fields, flag) = fields.rsplit_once(' ').filter(|(_, flag)| ["+", "#"].contains(flag)).unwrap_or((fields, "$"));
        let mut text = format!("MSRP {id} {start}\r\nTo-Path: {to}\r\nFrom-Path: {PEER}\r\n");
        for field in fields.split('\n').filter(|field| !field.is_empty()) {
            match field.strip_prefix("Data: ") {
                Some(data) => text.push_str(&format!("Content-Type: text/plain\r\n\r\n{data}\r\n")),
                None => text.push_str(&format!("{field}\r\n")),
            }
        }
        text.push_str(&format!("-------{id}{flag}\r\n"));
        self.node.handle_received(ms(0), LINK, text.as_bytes());
        self.answers()
    }

    fn answers(&mut self) -> Vec<String> {
        let short = |chunk: &Chunk| match chunk.code() {
            Some(code) => code.to_string(),
            None => format!("{} {}", chunk.method().unwrap(), chunk.value("Status").unwrap_or("")).trim_end().to_owned(),
        };
        self.chunks().iter().map(short).collect()
    }

    /// What the node has put out; each chunk is without fault.
    fn chunks(&mut self) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        while let Some(action) = self.node.poll_action() {
            if let Action::Send { connection: LINK, data } = action {
                self.framer.feed(&data);
            }
        }
        while let Some(chunk) = self.framer.next_chunk().unwrap() {
            assert_eq!(crate::wire::msrp::validate(&chunk), vec![]);
            chunks.push(chunk);
        }
        chunks
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.node.poll_event()).map(|(_, event)| event).collect()
    }

    fn received(&mut self) -> Incoming {
        match self.events().as_slice() {
            [Event::Received(incoming)] => incoming.clone(),
            other => panic!("expected one message, got {other:?}"),
        }
    }

    fn respond(&mut self, now: Instant, request: &Chunk, code: u16) {
        let answer = crate::wire::msrp::ChunkBuilder::response(request, code, PEER).encode();
        self.node.handle_received(now, LINK, &answer);
    }
}

fn sent(id: &str, outcome: Outcome) -> Event {
    Event::Sent { message_id: id.to_owned(), outcome }
}

fn config() -> Config {
    Config::new("10.0.0.1", 2855)
}

#[test]
fn a_message_is_answered_when_the_user_says_so() {
    let mut bench = Bench::bound(config());
    assert_eq!(bench.feed("abcd1", "SEND", "Message-ID: m-0001\nByte-Range: 1-5/5\nData: hello"), [""; 0]);
    let incoming = bench.received();
    assert_eq!((incoming.message_id.as_str(), incoming.body.as_ref()), ("m-0001", &b"hello"[..]));
    bench.node.answer(ms(1), bench.session, incoming.token, 200);
    assert_eq!(bench.answers(), ["200"]);
    bench.node.answer(ms(1), bench.session, incoming.token, 200);
    assert_eq!(bench.answers(), [""; 0]);
}

#[test]
fn chunks_before_the_last_are_answered_at_once() {
    let mut bench = Bench::bound(config());
    assert_eq!(bench.feed("abcd1", "SEND", "Message-ID: m-0001\nByte-Range: 1-3/6\nData: abc +"), ["200"]);
    assert_eq!(bench.feed("abcd2", "SEND", "Message-ID: m-0001\nByte-Range: 4-6/6\nData: def"), [""; 0]);
    assert_eq!(bench.received().body, "abcdef");
}

#[test]
fn messages_may_interleave() {
    let mut bench = Bench::bound(config());
    bench.feed("abcd1", "SEND", "Message-ID: m-0001\nByte-Range: 1-3/6\nData: abc +");
    bench.feed("abcd2", "SEND", "Message-ID: m-0002\nByte-Range: 1-3/6\nData: uvw +");
    bench.feed("abcd3", "SEND", "Message-ID: m-0001\nByte-Range: 4-6/6\nData: def");
    assert_eq!(bench.received().body, "abcdef");
    bench.feed("abcd4", "SEND", "Message-ID: m-0002\nByte-Range: 4-6/6\nData: xyz");
    assert_eq!(bench.received().body, "uvwxyz");
}

#[test]
fn an_aborted_message_is_dropped() {
    let mut bench = Bench::bound(config());
    bench.feed("abcd1", "SEND", "Message-ID: m-0001\nByte-Range: 1-*/6\nData: abc +");
    assert_eq!(bench.feed("abcd2", "SEND", "Message-ID: m-0001\nByte-Range: 4-*/6\nData: d #"), ["200"]);
    bench.feed("abcd3", "SEND", "Message-ID: m-0001\nByte-Range: 4-6/6\nData: def");
    assert_eq!(bench.events(), []);
}

#[test]
fn answers_keep_to_the_wish_of_the_sender() {
    for (wish, code, answers) in [
        ("yes", 200, vec!["200"]),
        ("partial", 200, vec![]),
        ("partial", 413, vec!["413"]),
        ("no", 200, vec![]),
        ("no", 413, vec![]),
    ] {
        let mut bench = Bench::bound(config());
        bench.feed("abcd1", "SEND", &format!("Message-ID: m-0001\nFailure-Report: {wish}\nByte-Range: 1-1/1\nData: x"));
        let token = bench.received().token;
        bench.node.answer(ms(1), bench.session, token, code);
        assert_eq!(bench.answers(), answers, "{wish} {code}");
    }
}

#[test]
fn a_success_report_follows_the_answer_when_it_is_wanted() {
    let mut bench = Bench::bound(config());
    bench.feed("abcd1", "SEND", "Message-ID: m-0001\nSuccess-Report: yes\nFailure-Report: no\nByte-Range: 1-1/1\nData: x");
    let token = bench.received().token;
    bench.node.answer(ms(1), bench.session, token, 200);
    let chunks = bench.chunks();
    assert_eq!((chunks.len(), chunks[0].method(), chunks[0].status()), (1, Some("REPORT"), Some(200)));
    assert_eq!((chunks[0].to_path(), chunks[0].from_path()), (PEER, bench.path.as_str()));
    assert_eq!((chunks[0].message_id(), chunks[0].value("Byte-Range")), (Some("m-0001"), Some("1-1/1")));

    let mut bench = Bench::bound(Config { success_reports: false, ..config() });
    bench.feed("abcd1", "SEND", "Message-ID: m-0001\nSuccess-Report: yes\nByte-Range: 1-1/1\nData: x");
    let token = bench.received().token;
    bench.node.answer(ms(1), bench.session, token, 200);
    assert_eq!(bench.answers(), ["200"]);
    bench.node.report(ms(1), bench.session, &Report { message_id: "m-0001".to_owned(), code: 403, size: 1 });
    assert_eq!(bench.answers(), ["REPORT 000 403 Forbidden"]);
}

#[test]
fn paths_decide_who_is_meant() {
    let mut bench = Bench::passive(config());
    let message = "Message-ID: m-0001\nByte-Range: 1-1/1\nData: x";
    assert_eq!(bench.feed_to("msrp://10.0.0.1:2855/unknown;tcp", "abcd1", "SEND", message), ["481"]);
    let other_host = bench.path.replace("10.0.0.1", "10.0.0.9");
    assert_eq!(bench.feed_to(&other_host, "abcd2", "SEND", message), ["481"]);
    let relayed = format!("{} msrp://10.0.9.9/next;tcp", bench.path);
    assert_eq!(bench.feed_to(&relayed, "abcd3", "SEND", message), ["481"]);
    assert_eq!(bench.events(), []);
    assert_eq!(bench.feed("abcd4", "SEND", message), [""; 0]);
    assert!(matches!(bench.events().as_slice(), [Event::Bound, Event::Received(_)]));
}

#[test]
fn a_second_connection_for_a_bound_session_is_refused() {
    let mut bench = Bench::bound(config());
    bench.node.handle_accepted(ms(1), ConnectionId(3));
    let text =
        format!("MSRP abcd1 SEND\r\nTo-Path: {}\r\nFrom-Path: {PEER}\r\nMessage-ID: bind-0002\r\n-------abcd1$\r\n", bench.path);
    bench.node.handle_received(ms(1), ConnectionId(3), text.as_bytes());
    let answer = std::iter::from_fn(|| bench.node.poll_action()).find_map(|action| match action {
        Action::Send { connection: ConnectionId(3), data } => Some(Chunk::decode(data).unwrap()),
        _ => None,
    });
    assert_eq!(answer.and_then(|answer| answer.code()), Some(506));
}

#[test]
fn what_cannot_be_taken_is_refused() {
    let cases = [
        ("NUDGE", "Message-ID: m-0001", "501"),
        ("SEND", "Byte-Range: 1-1/1\nData: x", "400"),
        ("SEND", "Message-ID: a b\nByte-Range: 1-1/1\nData: x", "400"),
        ("SEND", "Message-ID: m-0001\nByte-Range: one\nData: x", "400"),
        ("SEND", "Message-ID: m-0001\nByte-Range: 1-7/7\nData: x", "400"),
        ("SEND", "Message-ID: m-0001\nByte-Range: 1-*/101\nData: x +", "413"),
    ];
    for (method, fields, code) in cases {
        let mut bench = Bench::bound(config());
        bench.node.accept(bench.session, Accept { types: vec!["text/*".to_owned()], max_size: Some(100) });
        assert_eq!(bench.feed("abcd1", method, fields), [code], "{fields}");
        assert_eq!(bench.events(), []);
    }
    let mut bench = Bench::bound(config());
    bench.node.accept(bench.session, Accept { types: vec!["message/cpim".to_owned()], max_size: None });
    assert_eq!(bench.feed("abcd1", "SEND", "Message-ID: m-0001\nByte-Range: 1-1/1\nData: x"), ["415"]);
}

#[test]
fn every_chunk_of_a_refused_message_is_refused() {
    let mut bench = Bench::bound(config());
    bench.node.accept(bench.session, Accept { types: vec![], max_size: Some(5) });
    assert_eq!(bench.feed("abcd1", "SEND", "Message-ID: m-0001\nByte-Range: 1-*/9\nData: abc +"), ["413"]);
    assert_eq!(bench.feed("abcd2", "SEND", "Message-ID: m-0001\nByte-Range: 4-*/9\nData: d +"), ["413"]);
    assert_eq!(bench.feed("abcd3", "SEND", "Message-ID: m-0001\nByte-Range: 5-*/9\nData: d #"), ["413"]);
    assert_eq!(bench.feed("abcd4", "SEND", "Message-ID: m-0001\nByte-Range: 1-1/1\nData: x"), [""; 0]);
}

#[test]
fn unfinished_messages_are_bounded() {
    let limits = Limits { messages: 2, unfinished: 10, ..Limits::default() };
    let mut bench = Bench::bound(Config { limits, ..config() });
    let mut begin =
        |id: &str, data: &str| bench.feed("abcd1", "SEND", &format!("Message-ID: {id}\nByte-Range: 1-*/50\nData: {data} +"));
    assert_eq!(begin("m-0001", "abcd"), ["200"]);
    assert_eq!(begin("m-0002", "abcdefg"), ["413"]);
    assert_eq!(begin("m-0003", "abcd"), ["200"]);
    assert_eq!(begin("m-0004", "a"), ["413"]);
}

#[test]
fn a_message_is_sent_when_all_its_chunks_are_answered() {
    let (mut bench, chunks) = Bench::sending(config(), outgoing("m-0001", vec![b'x'; 5000]));
    let ranges: Vec<_> = chunks.iter().map(|chunk| chunk.value("Byte-Range").unwrap()).collect();
    assert_eq!(ranges, ["1-2048/5000", "2049-4096/5000", "4097-5000/5000"]);
    for chunk in &chunks {
        assert_eq!(bench.events(), []);
        bench.respond(ms(5), chunk, 200);
    }
    assert_eq!(bench.events(), [sent("m-0001", Outcome::Accepted)]);
    assert_eq!(bench.node.poll_timeout(), None);
}

#[test]
fn a_refused_chunk_ends_its_message() {
    let (mut bench, chunks) = Bench::sending(Config { window: 2048, ..config() }, outgoing("m-0001", vec![b'x'; 5000]));
    assert_eq!(chunks.len(), 1);
    bench.respond(ms(5), &chunks[0], 413);
    assert_eq!(bench.events(), [sent("m-0001", Outcome::Refused(413))]);
    assert_eq!(bench.answers(), [""; 0]);
}

#[test]
fn a_chunk_without_answer_times_out_after_30_s() {
    let (mut bench, _) = Bench::sending(config(), outgoing("m-0001", "x"));
    assert_eq!(bench.node.poll_timeout(), Some((ms(30_000), "MSRP transaction")));
    bench.node.handle_timeout(ms(29_999));
    assert_eq!(bench.events(), []);
    bench.node.handle_timeout(ms(30_000));
    assert_eq!(bench.events(), [sent("m-0001", Outcome::TimedOut)]);
    assert_eq!(bench.node.poll_timeout(), None);
}

#[test]
fn silence_is_consent_where_only_errors_are_wanted() {
    let partial = |code: Option<u16>| {
        let message = Outgoing { failure_report: FailureReport::Partial, ..outgoing("m-0001", "x") };
        let (mut bench, chunks) = Bench::sending(config(), message);
        if let Some(code) = code {
            bench.respond(ms(5), &chunks[0], code);
        }
        bench.node.handle_timeout(ms(30_000));
        bench.events()
    };
    assert_eq!(partial(None), [sent("m-0001", Outcome::Accepted)]);
    assert_eq!(partial(Some(415)), [sent("m-0001", Outcome::Refused(415))]);
    let unasked = Outgoing { failure_report: FailureReport::No, ..outgoing("m-0001", vec![b'x'; 500_000]) };
    let (mut bench, chunks) = Bench::sending(config(), unasked);
    assert_eq!((chunks.len(), bench.events()), (245, vec![sent("m-0001", Outcome::Accepted)]));
    assert_eq!(bench.node.poll_timeout(), None);
}

#[test]
fn the_window_opens_with_the_answers() {
    let (mut bench, chunks) = Bench::sending(Config { window: 4096, ..config() }, outgoing("m-0001", vec![b'x'; 10_000]));
    assert_eq!((chunks.len(), bench.node.backlog(bench.session)), (2, 10_000 - 4096));
    bench.respond(ms(5), &chunks[0], 200);
    assert_eq!(bench.chunks().len(), 1);
}

#[test]
fn messages_go_one_after_the_other_or_in_turns() {
    let order = |interleave| {
        let mut bench = Bench::bound(Config { interleave, window: 1, ..config() });
        for id in ["m-0001", "m-0002", "m-0003"] {
            bench.node.send(ms(0), bench.session, Outgoing { chunk_size: 10_000, ..outgoing(id, vec![b'x'; 5000]) });
        }
        let mut order = Vec::new();
        loop {
            let chunks = bench.chunks();
            let Some(chunk) = chunks.first() else { return order };
            order.push(format!("{} {}", chunk.message_id().unwrap(), chunk.value("Byte-Range").unwrap()));
            bench.respond(ms(1), chunk, 200);
        }
    };
    assert_eq!(order(false), ["m-0001 1-*/5000", "m-0002 1-*/5000", "m-0003 1-*/5000"]);
    // The first one finds the connection free, the others interrupt each other.
    let turns = ["1-*/5000", "2049-*/5000", "4097-5000/5000"].map(|range| [format!("m-0002 {range}"), format!("m-0003 {range}")]);
    assert_eq!(order(true), [vec!["m-0001 1-*/5000".to_owned()], turns.concat()].concat());
}

#[test]
fn a_lost_connection_loses_what_was_not_answered() {
    let (mut bench, chunks) = Bench::sending(Config { window: 1, ..config() }, outgoing("m-0001", "x"));
    bench.node.send(ms(1), bench.session, outgoing("m-0002", "y"));
    bench.feed("abcd1", "SEND", "Message-ID: in-0001\nByte-Range: 1-1/1\nData: x");
    let token = bench.received().token;
    bench.node.handle_closed(ms(2), LINK, Closure::Reset);
    let lost = [sent("m-0001", Outcome::Lost), sent("m-0002", Outcome::Lost), Event::Lost];
    assert_eq!(bench.events(), lost);
    assert_eq!(bench.node.poll_timeout(), None);
    bench.node.answer(ms(3), bench.session, token, 200);
    bench.respond(ms(3), &chunks[0], 200);
    assert_eq!(bench.answers(), [""; 0]);
    bench.node.send(ms(4), bench.session, outgoing("m-0003", "z"));
    assert_eq!(bench.events(), [sent("m-0003", Outcome::Lost)]);
}

#[test]
fn the_active_side_connects_and_binds() {
    let mut node = Node::new(config(), Ids::new(1, "pf"));
    let (session, path) = node.open();
    node.start(ms(0), session, PEER, true);
    let connection = ConnectionId(2);
    let connect = Action::Connect { connection, host: "10.0.2.1".to_owned(), port: 2855, secure: false };
    assert_eq!((node.poll_action(), node.poll_action()), (Some(connect), None));
    node.handle_connected(ms(1), connection);
    assert_eq!(node.poll_event(), Some((session, Event::Bound)));
    let Some(Action::Send { data, .. }) = node.poll_action() else { panic!("nothing binds the connection") };
    let binding = Chunk::decode(data).unwrap();
    assert_eq!((binding.body(), binding.to_path(), binding.from_path()), (None, PEER, path.as_str()));
    assert_eq!(crate::wire::msrp::validate(&binding), vec![]);
    let refusal = crate::wire::msrp::ChunkBuilder::response(&binding, 481, PEER).encode();
    node.handle_received(ms(2), connection, &refusal);
    assert_eq!(node.poll_event(), Some((session, Event::Lost)));
    assert_eq!(node.poll_action(), Some(Action::Close { connection, how: Closure::Finished }));
}

#[test]
fn what_waits_for_the_connection_binds_it() {
    let mut node = Node::new(config(), Ids::new(1, "pf"));
    let (session, _) = node.open();
    node.send(ms(0), session, outgoing("m-0001", "x"));
    node.start(ms(0), session, PEER, true);
    node.poll_action();
    node.handle_connected(ms(1), ConnectionId(2));
    let Some(Action::Send { data, .. }) = node.poll_action() else { panic!("nothing was sent") };
    assert_eq!(Chunk::decode(data).unwrap().message_id(), Some("m-0001"));
    assert_eq!(node.poll_action(), None);
}

#[test]
fn a_connection_that_never_comes_up_loses_the_session() {
    let mut node = Node::new(config(), Ids::new(1, "pf"));
    let (session, _) = node.open();
    node.start(ms(0), session, PEER, true);
    node.handle_closed(ms(1), ConnectionId(2), Closure::Refused);
    assert_eq!(node.poll_event(), Some((session, Event::Lost)));
    node.start(ms(2), session, "no path", true);
    assert_eq!(node.poll_event(), Some((session, Event::Lost)));
    node.start(ms(3), session, PEER, true);
    node.handle_connected(ms(4), ConnectionId(6));
    assert_eq!(node.poll_event(), Some((session, Event::Bound)));
}

#[test]
fn a_peer_may_be_faster_than_its_answer() {
    let mut node = Node::new(config(), Ids::new(1, "pf"));
    let (session, path) = node.open();
    node.handle_accepted(ms(0), LINK);
    let text = format!("MSRP abcd1 SEND\r\nTo-Path: {path}\r\nFrom-Path: {PEER}\r\nMessage-ID: bind-0001\r\n-------abcd1$\r\n");
    node.handle_received(ms(0), LINK, text.as_bytes());
    node.start(ms(1), session, PEER, true);
    assert_eq!(node.poll_event(), Some((session, Event::Bound)));
    assert_eq!((node.connection(session), node.poll_event()), (Some(LINK), None));
}

#[test]
fn closing_ends_the_connection_with_its_last_session() {
    let mut bench = Bench::bound(config());
    let (second, path) = bench.node.open();
    bench.node.start(ms(0), second, PEER, false);
    assert_eq!(bench.feed_to(&path, "bind2", "SEND", "Message-ID: bind-0002"), ["200"]);
    bench.node.send(ms(0), bench.session, outgoing("m-0001", "x"));
    bench.chunks();
    bench.events();
    bench.node.close(ms(1), bench.session, Closure::Finished);
    assert_eq!((bench.node.poll_action(), bench.node.poll_event(), bench.node.poll_timeout()), (None, None, None));
    assert_eq!(bench.feed("abcd1", "SEND", "Message-ID: m-0001"), ["481"]);
    bench.node.close(ms(2), second, Closure::Reset);
    assert_eq!(bench.node.poll_action(), Some(Action::Close { connection: LINK, how: Closure::Reset }));
    assert!(!bench.node.owns(LINK));
}

#[test]
fn reports_are_told_and_never_answered() {
    let mut bench = Bench::bound(config());
    assert_eq!(bench.feed("abcd1", "REPORT", "Message-ID: m-0001\nByte-Range: 1-1/1\nStatus: 000 403 Forbidden"), [""; 0]);
    assert_eq!(bench.events(), [Event::Report { message_id: "m-0001".to_owned(), code: 403 }]);
    assert_eq!(bench.feed_to("msrp://10.0.0.1:2855/x;tcp", "abcd2", "REPORT", "Message-ID: m-0001"), [""; 0]);
    assert_eq!(bench.events(), []);
}

#[test]
fn a_stream_that_is_no_msrp_is_reset() {
    let mut bench = Bench::bound(config());
    bench.node.handle_received(ms(1), LINK, b"GET / HTTP/1.1\r\n");
    let actions: Vec<Action> = std::iter::from_fn(|| bench.node.poll_action()).collect();
    assert!(actions.contains(&Action::Close { connection: LINK, how: Closure::Reset }));
    assert_eq!(bench.events(), [Event::Lost]);
}

#[test]
fn data_never_holds_its_own_end_line() {
    // The identifiers that the node would take next.
    let mut ids = Ids::new(1, "pf");
    let taken: Vec<String> = (0..6).map(|_| ids.transact_id()).collect();
    let body = taken.iter().map(|id| format!("\r\n-------{id}$\r\n")).collect::<String>();
    let (mut bench, chunks) = Bench::sending(config(), outgoing("m-0001", body.clone()));
    assert_eq!(chunks[0].body().unwrap(), body);
    assert!(!taken.iter().any(|id| id == chunks[0].transact_id()));
    bench.respond(ms(1), &chunks[0], 200);
    assert_eq!(bench.events(), [sent("m-0001", Outcome::Accepted)]);
}

/// Two nodes with one stream in each direction, cut at random.
struct Pair {
    nodes: [Node; 2],
    sessions: Vec<[SessionId; 2]>,
    streams: BTreeMap<usize, VecDeque<(ConnectionId, Bytes)>>,
    received: [Vec<(SessionId, Incoming)>; 2],
    outcomes: [Vec<(String, Outcome)>; 2],
    reports: [Vec<String>; 2],
    ids: Ids,
}

impl Pair {
    /// Nodes with so many sessions between them; the first is active.
    fn new(count: usize, configs: [Config; 2], seed: u64) -> Self {
        let [left, right] = configs;
        let mut nodes = [Node::new(left, Ids::new(seed, "left")), Node::new(right, Ids::new(seed, "right"))];
        let mut sessions = Vec::new();
        for _ in 0..count {
            let ends = [nodes[0].open(), nodes[1].open()];
            nodes[0].start(ms(0), ends[0].0, &ends[1].1, true);
            nodes[1].start(ms(0), ends[1].0, &ends[0].1, false);
            sessions.push([ends[0].0, ends[1].0]);
        }
        let streams = BTreeMap::from([(0, VecDeque::new()), (1, VecDeque::new())]);
        Self {
            nodes,
            sessions,
            streams,
            received: Default::default(),
            outcomes: Default::default(),
            reports: Default::default(),
            ids: Ids::new(seed, "link"),
        }
    }

    /// Moves bytes in random pieces until nothing moves any more.
    fn run(&mut self) {
        loop {
            let moved = self.collect(0) | self.collect(1);
            let side = usize::try_from(self.ids.below(2)).unwrap();
            let delivered = self.deliver(side) || self.deliver(1 - side);
            if !moved && !delivered {
                return;
            }
        }
    }

    fn collect(&mut self, side: usize) -> bool {
        let mut moved = false;
        while let Some(action) = self.nodes[side].poll_action() {
            moved = true;
            match action {
                Action::Connect { connection, .. } => {
                    self.nodes[1 - side].handle_accepted(ms(1), across(connection));
                    self.nodes[side].handle_connected(ms(1), connection);
                }
                Action::Send { connection, data } => self.streams.get_mut(&side).unwrap().push_back((across(connection), data)),
                Action::Close { connection, how } => self.nodes[1 - side].handle_closed(ms(1), across(connection), how),
                Action::Note(_) => {}
            }
        }
        while let Some((session, event)) = self.nodes[side].poll_event() {
            moved = true;
            match event {
                Event::Received(incoming) => {
                    self.nodes[side].answer(ms(1), session, incoming.token, 200);
                    self.received[side].push((session, incoming));
                }
                Event::Sent { message_id, outcome } => self.outcomes[side].push((message_id, outcome)),
                Event::Report { message_id, code: 200 } => self.reports[side].push(message_id),
                Event::Bound => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        moved
    }

    /// Delivers a piece of what is first in the stream from `side`.
    fn deliver(&mut self, side: usize) -> bool {
        let Some((connection, mut data)) = self.streams.get_mut(&side).unwrap().pop_front() else { return false };
        let size = usize::try_from(self.ids.below(data.len() as u64)).unwrap() + 1;
        let piece = data.split_to(size.min(data.len()));
        if !data.is_empty() {
            self.streams.get_mut(&side).unwrap().push_front((connection, data));
        }
        self.nodes[1 - side].handle_received(ms(1), connection, &piece);
        true
    }
}

/// The number of a connection at its other end.
fn across(connection: ConnectionId) -> ConnectionId {
    ConnectionId(connection.0 ^ 1)
}

fn body(seed: u64, size: usize) -> Bytes {
    let mut ids = Ids::new(seed, "body");
    (0..size).map(|_| b"\r\n-$+#ab"[usize::try_from(ids.below(8)).unwrap()]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_message_arrives_whole_in_any_segmentation(
        seed in any::<u64>(),
        sizes in prop::collection::vec((0_usize..50_000, 1_usize..12_000, 0_usize..2, any::<bool>(), 0_usize..2), 1..8),
        interleave in any::<bool>(),
        shared in any::<bool>(),
        window in 1_usize..80_000,
    ) {
        let config = Config { interleave, window, share_connections: shared, ..config() };
        let mut pair = Pair::new(2, [config.clone(), config], seed);
        pair.run();
        let mut expected: [Vec<(String, Bytes)>; 2] = Default::default();
        for (at, (size, chunk_size, side, success_report, session)) in sizes.into_iter().enumerate() {
            let message = Outgoing { chunk_size: chunk_size.max(50), success_report, ..outgoing(&format!("m-{at:04}"), body(seed ^ at as u64, size)) };
            expected[1 - side].push((message.message_id.clone().unwrap(), message.body.clone()));
            let session = pair.sessions[session][side];
            pair.nodes[side].send(ms(1), session, message);
        }
        pair.run();
        for side in 0..2 {
            let mut received: Vec<(String, Bytes)> = pair.received[side].iter().map(|(_, own)| (own.message_id.clone(), own.body.clone())).collect();
            received.sort();
            prop_assert_eq!(&received, &expected[side]);
            let mut outcomes = pair.outcomes[1 - side].clone();
            outcomes.sort_by(|left, right| left.0.cmp(&right.0));
            let accepted: Vec<_> = expected[side].iter().map(|(id, _)| (id.clone(), Outcome::Accepted)).collect();
            prop_assert_eq!(outcomes, accepted);
            let wanted = pair.received[side].iter().filter(|(_, own)| own.success_report).count();
            prop_assert_eq!(pair.reports[1 - side].len(), wanted);
            prop_assert_eq!(pair.nodes[side].poll_timeout(), None);
        }
    }

    #[test]
    fn no_bytes_make_a_node_panic(bytes in "(MSRP abcd SEND\r\n|MSRP abcd 200 OK\r\n|MSRP abcd REPORT\r\n|To-Path: PATH\r\n|From-Path: msrp://a/b;tcp\r\n|Message-ID: abcd\r\n|Byte-Range: [0-9*]{1,2}-[0-9*]{1,2}/[0-9*]{1,2}\r\n|Content-Type: a/b\r\n\r\n|x|\r\n|-------abcd[$+#]\r\n){0,30}") {
        let mut bench = Bench::bound(config());
        let text = bytes.replace("PATH", &bench.path);
        bench.node.handle_received(ms(1), LINK, text.as_bytes());
        bench.node.handle_timeout(ms(60_000));
    }
}

#[test]
fn messages_of_one_session_arrive_in_their_order() {
    let mut pair = Pair::new(1, [config(), config()], 7);
    pair.run();
    for at in 0..20 {
        let session = pair.sessions[0][0];
        pair.nodes[0].send(ms(1), session, outgoing(&format!("m-{at:04}"), body(at, 3000)));
    }
    pair.run();
    let order: Vec<String> = pair.received[1].iter().map(|(_, own)| own.message_id.clone()).collect();
    assert_eq!(order, (0..20).map(|at| format!("m-{at:04}")).collect::<Vec<_>>());
    assert!(pair.received[1].iter().all(|(session, _)| *session == pair.sessions[0][1]));
}

#[test]
fn flags_are_those_of_the_last_chunk() {
    let (_, chunks) = Bench::sending(config(), outgoing("m-0001", vec![b'x'; 4096]));
    assert_eq!(chunks.iter().map(Chunk::flag).collect::<Vec<_>>(), [Flag::More, Flag::Complete]);
}
