//! One node against a script, for the tests of the machines.

use bytes::Bytes;

use super::{Action, Config, Event, Incoming, Node, Outcome, Outgoing, SessionId};
use crate::engine::ConnectionId;
use crate::ids::Ids;
use crate::time::Instant;
use crate::wire::msrp::{Chunk, ChunkBuilder, FailureReport, Framer, validate};

pub(super) const PEER: &str = "msrp://10.0.2.1:2855/peer;tcp";
pub(super) const LINK: ConnectionId = ConnectionId(1);

pub(super) const fn ms(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub(super) fn outgoing(id: &str, body: impl Into<Bytes>) -> Outgoing {
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
pub(super) struct Bench {
    pub(super) node: Node,
    pub(super) session: SessionId,
    pub(super) path: String,
    pub(super) framer: Framer,
}

impl Bench {
    /// A passive session whose peer has connected.
    pub(super) fn passive(config: Config) -> Self {
        let mut node = Node::new(config, Ids::new(1, "pf"));
        let (session, path) = node.open();
        node.start(ms(0), session, PEER, false);
        node.handle_accepted(ms(0), LINK);
        Self { node, session, path, framer: Framer::default() }
    }

    /// As [`Bench::passive`], bound by the peer's first request.
    pub(super) fn bound(config: Config) -> Self {
        let mut bench = Self::passive(config);
        assert_eq!(bench.feed("bind1", "SEND", "Message-ID: bind-0001"), ["200"]);
        assert_eq!(bench.events(), [Event::Bound]);
        bench
    }

    /// A session that sends only, bound, with this message under way at 0 ms: the chunks of it.
    pub(super) fn sending(config: Config, message: Outgoing) -> (Self, Vec<Chunk>) {
        let mut bench = Self::bound(config);
        bench.node.send(ms(0), bench.session, message);
        let chunks = bench.chunks();
        (bench, chunks)
    }

    pub(super) fn feed(&mut self, id: &str, start: &str, fields: &str) -> Vec<String> {
        let path = self.path.clone();
        self.feed_to(&path, id, start, fields)
    }

    /// Feeds a chunk; a line `Data: …` in `fields` is its body. Gives the answers, `REPORT` with its status.
    pub(super) fn feed_to(&mut self, to: &str, id: &str, start: &str, fields: &str) -> Vec<String> {
        let (fields, flag) = fields.rsplit_once(' ').filter(|(_, flag)| ["+", "#"].contains(flag)).unwrap_or((fields, "$"));
        let mut text = format!("MSRP {id} {start}\r\nTo-Path: {to}\r\nFrom-Path: {PEER}\r\n");
        for field in fields.split('\n').filter(|field| !field.is_empty()) {
            match field.strip_prefix("Data: ") {
                Some(data) => text.push_str(&format!("Content-Type: text/plain\r\n\r\n{data}\r\n")),
                None => text.push_str(&format!("{field}\r\n")),
            }
        }
        text.push_str(&format!("-------{id}{flag}\r\n"));
        self.node.handle_received(ms(0), LINK, &Bytes::copy_from_slice(text.as_bytes()));
        self.answers()
    }

    pub(super) fn answers(&mut self) -> Vec<String> {
        let short = |chunk: &Chunk| match chunk.code() {
            Some(code) => code.to_string(),
            None => format!("{} {}", chunk.method().unwrap(), chunk.value("Status").unwrap_or("")).trim_end().to_owned(),
        };
        self.chunks().iter().map(short).collect()
    }

    /// What the node has put out; each chunk is without fault.
    pub(super) fn chunks(&mut self) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        while let Some(action) = self.node.poll_action() {
            if let Action::Send { connection: LINK, data } = action {
                self.framer.feed(&data);
            }
        }
        while let Some(chunk) = self.framer.next_chunk().unwrap() {
            assert_eq!(validate(&chunk), vec![]);
            chunks.push(chunk);
        }
        chunks
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.node.poll_event()).map(|(_, event)| event).collect()
    }

    pub(super) fn received(&mut self) -> Incoming {
        match self.events().as_slice() {
            [Event::Received(incoming)] => incoming.clone(),
            other => panic!("expected one message, got {other:?}"),
        }
    }

    pub(super) fn respond(&mut self, now: Instant, request: &Chunk, code: u16) {
        let answer = ChunkBuilder::response(request, code, PEER).encode();
        self.node.handle_received(now, LINK, &answer);
    }
}

pub(super) fn sent(id: &str, outcome: Outcome) -> Event {
    Event::Sent { message_id: id.to_owned(), outcome }
}

pub(super) fn config() -> Config {
    Config::new("10.0.0.1", 2855)
}
