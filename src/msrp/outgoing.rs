//! Sending: which chunk of which message goes next, and what became of it.

use bytes::Bytes;

use super::chunks::{Cut, cut};
use super::connection::Pending;
use super::node::Node;
use super::reports;
use super::session::Sending;
use super::types::{Event, Outcome, Outgoing, Report, SessionId};
use crate::engine::ConnectionId;
use crate::time::Instant;
use crate::wire::msrp::{Chunk, ChunkBuilder, FailureReport};

impl Node {
    /// Sends a message and returns its Message-ID. It waits until the session is bound; in a
    /// session that is lost or unknown it is lost at once.
    pub fn send(&mut self, now: Instant, session: SessionId, message: Outgoing) -> String {
        let message_id = message.message_id.clone().unwrap_or_else(|| self.ids.message_id());
        let sending = Sending::new(message, message_id.clone());
        match self.sessions.get_mut(&session) {
            Some(own) if own.state != super::session::State::Lost => {
                own.outbox.push(sending);
                self.pump(now, session);
            }
            _ => self.tell(session, Event::Sent { message_id: sending.message_id, outcome: Outcome::Lost }),
        }
        message_id
    }

    /// Sends a report on a message to the peer. In a session without connection it is dropped.
    pub fn report(&mut self, _now: Instant, session: SessionId, report: &Report) {
        let Some(own) = self.sessions.get(&session) else { return };
        let (to_path, from_path) = (own.remote.clone(), own.local.clone());
        if let Some(connection) = own.bound() {
            let data = reports::report(&self.ids.transact_id(), &to_path, &from_path, report);
            self.put(connection, data);
        }
    }

    /// Sends bytes as they are on the connection of a session; whether there is one.
    pub fn send_raw(&mut self, session: SessionId, data: Bytes) -> bool {
        let connection = self.sessions.get(&session).and_then(super::session::Session::bound);
        if let Some(connection) = connection {
            self.put(connection, data);
        }
        connection.is_some()
    }

    /// Sends chunks of the session until its window is full.
    pub(super) fn pump(&mut self, now: Instant, session: SessionId) {
        while let Some((connection, serial)) = self.next_chunk_of(session) {
            self.send_chunk(now, session, connection, serial);
        }
    }

    /// The connection and the message whose turn it is, when the window is open.
    fn next_chunk_of(&self, session: SessionId) -> Option<(ConnectionId, u64)> {
        let own = self.sessions.get(&session)?;
        let serial = own.outbox.unsent.front()?;
        let open = own.outbox.in_flight < self.config.window || own.outbox.in_flight == 0;
        open.then_some((own.bound()?, *serial))
    }

    fn send_chunk(&mut self, now: Instant, session: SessionId, connection: ConnectionId, serial: u64) {
        let interleave = self.config.interleave;
        let Some(own) = self.sessions.get_mut(&session) else { return };
        let crowded = interleave && own.outbox.unsent.len() > 1;
        let Some(message) = own.outbox.messages.get_mut(&serial) else { return };
        let cut = cut(&message.body, message.sent, message.chunk_size, crowded);
        message.sent += cut.data.len();
        message.done = message.sent == message.body.len();
        let (done, wish, size) = (message.done, message.failure_report, cut.data.len());
        let awaited = wish != FailureReport::No;
        message.unanswered += usize::from(awaited);
        let chunk = chunk_of(message, cut, &own.remote, &own.local);
        own.outbox.unsent.pop_front();
        if !done && interleave {
            own.outbox.unsent.push_back(serial);
        } else if !done {
            own.outbox.unsent.push_front(serial);
        }
        // Without answers to wait for there is nothing that could open the window again.
        let counted = if reports::owes_answer(wish) { size } else { 0 };
        own.outbox.in_flight += counted;
        let chunk = self.transmit(connection, chunk);
        if awaited {
            let pending = Pending { connection, session, message: Some(serial), size: counted };
            self.transactions.insert(chunk.id(), pending, now + self.config.timeout);
        } else if done {
            self.settle(session, serial, Outcome::Accepted);
        }
    }

    /// Sends the request without data by which the active side binds the connection (RFC 4975 5.4).
    pub(super) fn send_binding(&mut self, now: Instant, session: SessionId, connection: ConnectionId) {
        let Some(own) = self.sessions.get(&session) else { return };
        let message_id = self.ids.message_id();
        let chunk = ChunkBuilder::request("", "SEND", &own.remote, &own.local).push("Message-ID", message_id);
        let chunk = self.transmit(connection, chunk);
        let pending = Pending { connection, session, message: None, size: 0 };
        self.transactions.insert(chunk.id(), pending, now + self.config.timeout);
    }

    /// Sends a request under a transaction identifier that its data does not hold (RFC 4975 7.1), and
    /// returns it as it was sent.
    fn transmit(&mut self, connection: ConnectionId, chunk: ChunkBuilder) -> ChunkBuilder {
        let mut chunk = chunk.transact_id(self.ids.transact_id());
        while chunk.collides() {
            chunk = chunk.transact_id(self.ids.transact_id());
        }
        self.put(connection, chunk.encode());
        chunk
    }

    /// Takes the answer to one of our requests.
    pub(super) fn handle_response(&mut self, now: Instant, connection: ConnectionId, response: &Chunk, code: u16) {
        match self.transactions.answered(response.transact_id(), connection) {
            Some(pending) if code == 200 => self.conclude(now, pending, None),
            Some(pending) => self.conclude(now, pending, Some(Outcome::Refused(code))),
            None => self.note(format!("absorbed {code}: no request of ours waits for it")),
        }
    }

    /// Ends the transactions whose time is over. Silence is consent where only errors are wanted.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(pending) = self.transactions.expire(now) {
            let partial = pending.message.is_some_and(|serial| self.is_partial(pending.session, serial));
            self.conclude(now, pending, (!partial).then_some(Outcome::TimedOut));
        }
    }

    fn is_partial(&self, session: SessionId, serial: u64) -> bool {
        let message = self.sessions.get(&session).and_then(|own| own.outbox.messages.get(&serial));
        message.is_some_and(|message| message.failure_report == FailureReport::Partial)
    }

    /// Ends a transaction: well, or with the outcome that its message then has.
    fn conclude(&mut self, now: Instant, pending: Pending, failure: Option<Outcome>) {
        let Some(own) = self.sessions.get_mut(&pending.session) else { return };
        own.outbox.in_flight = own.outbox.in_flight.saturating_sub(pending.size);
        match (pending.message, failure) {
            (Some(serial), Some(failure)) => self.settle(pending.session, serial, failure),
            (Some(serial), None) => {
                let Some(message) = own.outbox.messages.get_mut(&serial) else { return self.pump(now, pending.session) };
                message.unanswered = message.unanswered.saturating_sub(1);
                if message.done && message.unanswered == 0 {
                    self.settle(pending.session, serial, Outcome::Accepted);
                }
            }
            (None, Some(Outcome::Refused(481 | 506))) => return self.unbind(pending.session),
            (None, _) => {}
        }
        self.pump(now, pending.session);
    }

    /// Tells what became of a message and forgets it. Of one that failed no more is sent.
    fn settle(&mut self, session: SessionId, serial: u64, outcome: Outcome) {
        let message = self.sessions.get_mut(&session).and_then(|own| own.outbox.remove(serial));
        if let Some(message) = message {
            self.tell(session, Event::Sent { message_id: message.message_id, outcome });
        }
    }
}

/// The request for one part of a message. A message that is no more than its identifier has no data.
fn chunk_of(message: &Sending, cut: Cut, to_path: &str, from_path: &str) -> ChunkBuilder {
    let mut chunk = ChunkBuilder::request("", "SEND", to_path, from_path).push("Message-ID", &message.message_id);
    if message.success_report {
        chunk = chunk.push("Success-Report", "yes");
    }
    if message.failure_report != FailureReport::Yes {
        chunk = chunk.push("Failure-Report", message.failure_report);
    }
    if message.content_type.is_empty() && message.body.is_empty() {
        return chunk;
    }
    chunk.push("Byte-Range", cut.range).body(&message.content_type, cut.data).flag(cut.flag)
}

#[cfg(test)]
mod tests {
    use crate::ids::Ids;
    use crate::msrp::bench::{Bench, config, ms, outgoing, sent};
    use crate::msrp::{Config, Outcome, Outgoing};
    use crate::wire::msrp::{Chunk, FailureReport, Flag};

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
        let turns =
            ["1-*/5000", "2049-*/5000", "4097-5000/5000"].map(|range| [format!("m-0002 {range}"), format!("m-0003 {range}")]);
        assert_eq!(order(true), [vec!["m-0001 1-*/5000".to_owned()], turns.concat()].concat());
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

    #[test]
    fn flags_are_those_of_the_last_chunk() {
        let (_, chunks) = Bench::sending(config(), outgoing("m-0001", vec![b'x'; 4096]));
        assert_eq!(chunks.iter().map(Chunk::flag).collect::<Vec<_>>(), [Flag::More, Flag::Complete]);
    }
}
