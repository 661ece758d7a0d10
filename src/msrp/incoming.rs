//! Receiving: which session a request is for, what it is answered, what its chunks add up to.

use bytes::Bytes;

use super::chunks::Misfit;
use super::node::{Node, session_part};
use super::reports;
use super::session::{Owed, State};
use super::types::{Event, Incoming, Report, SessionId, Token};
use crate::engine::ConnectionId;
use crate::time::Instant;
use crate::wire::msrp::{ByteRange, Chunk, Flag, MsrpUri, Start, is_ident, paths};
use crate::wire::sip::header::MediaType;

impl Node {
    /// Takes a whole chunk of a connection.
    pub(super) fn handle_chunk(&mut self, now: Instant, connection: ConnectionId, chunk: &Chunk) {
        match chunk.start() {
            Start::Response { code, .. } => self.handle_response(now, connection, chunk, code),
            Start::Request { method: "REPORT" } => self.handle_report(connection, chunk),
            Start::Request { method: "SEND" } => self.handle_send(now, connection, chunk),
            Start::Request { .. } => self.respond(connection, chunk, 501),
        }
    }

    /// A REPORT is never answered (RFC 4975 7.1.2).
    fn handle_report(&mut self, connection: ConnectionId, chunk: &Chunk) {
        let session = self.session_of(connection, chunk).filter(|session| self.is_bound_to(*session, connection));
        match (session, chunk.message_id(), chunk.status()) {
            (Some(session), Some(message_id), Some(code)) => {
                self.tell(session, Event::Report { message_id: message_id.to_owned(), code });
            }
            _ => self.note("absorbed REPORT: no session, Message-ID or status of ours".to_owned()),
        }
    }

    fn handle_send(&mut self, now: Instant, connection: ConnectionId, chunk: &Chunk) {
        if !has_paths_first(chunk) {
            return self.respond(connection, chunk, 400);
        }
        let session = match self.bind(now, connection, chunk) {
            Ok(session) => session,
            Err(code) => return self.respond(connection, chunk, code),
        };
        match self.take(session, connection, chunk) {
            Ok(Some(code)) | Err(code) => self.respond(connection, chunk, code),
            Ok(None) => {}
        }
    }

    /// The session that a SEND is for, bound to this connection by its first SEND (RFC 4975 5.4).
    fn bind(&mut self, now: Instant, connection: ConnectionId, chunk: &Chunk) -> Result<SessionId, u16> {
        let session = self.session_of(connection, chunk).ok_or(481_u16)?;
        if self.is_stranger(session, connection, chunk) {
            return self.welcome(session, connection, chunk);
        }
        let own = self.sessions.get_mut(&session).ok_or(481_u16)?;
        match own.state {
            State::Bound(bound) if bound == connection => {}
            State::Bound(_) | State::Connecting(_) => return Err(506),
            State::Lost => return Err(481),
            State::Idle | State::Waiting => {
                own.state = State::Bound(connection);
                if own.remote.is_empty() {
                    chunk.from_path().clone_into(&mut own.remote);
                }
                if let Some(connection) = self.connections.get_mut(&connection) {
                    connection.sessions.insert(session);
                }
                self.tell(session, Event::Bound);
                self.pump(now, session);
            }
        }
        Ok(session)
    }

    /// The session whose URI the To-Path is: one URI, for no relay is played.
    fn session_of(&self, connection: ConnectionId, chunk: &Chunk) -> Option<SessionId> {
        let mut uris = paths(chunk.to_path());
        let (first, None) = (uris.next()?, uris.next()) else { return None };
        let uri = MsrpUri::parse(first).ok()?;
        let part = session_part(&uri)?;
        let session = self.among_siblings(part, *self.by_part.get(part)?, connection, chunk);
        let own = self.sessions.get(&session)?;
        let is_own = || MsrpUri::parse(&own.local).is_ok_and(|local| local.equivalent(&uri));
        (own.local == first || is_own()).then_some(session)
    }

    fn is_bound_to(&self, session: SessionId, connection: ConnectionId) -> bool {
        self.sessions.get(&session).is_some_and(|own| own.bound() == Some(connection))
    }

    /// Takes a chunk into its message: the code of its answer, or none when the user decides.
    fn take(&mut self, session: SessionId, connection: ConnectionId, chunk: &Chunk) -> Result<Option<u16>, u16> {
        let message_id = chunk.message_id().filter(|id| is_ident(id)).ok_or(400_u16)?.to_owned();
        let Some(body) = chunk.body().filter(|_| chunk.content_type().is_some()) else {
            // A request without data keeps a connection alive or binds it; data without a type says nothing.
            return if chunk.body().is_none_or(|body| body.is_empty()) { Ok(Some(200)) } else { Err(400) };
        };
        let range = chunk.value("Byte-Range").map(ByteRange::parse).transpose().map_err(|_| 400_u16)?;
        let own = self.sessions.get_mut(&session).ok_or(481_u16)?;
        if let Some(code) = own.inbox.refusal(&message_id) {
            if chunk.flag() != Flag::More {
                own.inbox.forgive(&message_id);
            }
            return Err(code);
        }
        if chunk.flag() == Flag::Aborted {
            own.inbox.assemblies.remove(&message_id);
            return Ok(Some(200));
        }
        match self.assemble(session, &message_id, range, body, chunk) {
            Ok(Some(body)) => {
                self.complete(session, connection, chunk, message_id, body);
                Ok(None)
            }
            Ok(None) => Ok(Some(200)),
            Err(code) => {
                if let Some(own) = self.sessions.get_mut(&session).filter(|_| chunk.flag() == Flag::More) {
                    own.inbox.refuse(&message_id, code);
                } else if let Some(own) = self.sessions.get_mut(&session) {
                    own.inbox.assemblies.remove(&message_id);
                }
                Err(code)
            }
        }
    }

    /// Adds a chunk to its message: the body once it is whole.
    fn assemble(
        &mut self,
        session: SessionId,
        id: &str,
        range: Option<ByteRange>,
        body: Bytes,
        chunk: &Chunk,
    ) -> Result<Option<Bytes>, u16> {
        let limits = self.config.limits;
        let own = self.sessions.get_mut(&session).ok_or(481_u16)?;
        if !is_accepted(&own.accept.types, chunk.content_type().unwrap_or("")) {
            return Err(415);
        }
        let limit = own.accept.max_size.unwrap_or(limits.message).min(limits.message);
        let known = own.inbox.assemblies.contains_key(id);
        let crowded = !known && own.inbox.assemblies.len() >= limits.messages || own.inbox.owed.len() >= limits.unanswered;
        if crowded || own.inbox.held() + body.len() as u64 > limits.unfinished {
            return Err(413);
        }
        let assembly = own.inbox.assemblies.entry(id.to_owned()).or_default();
        assembly.add(range, body, chunk.flag(), limit).map_err(|misfit| match misfit {
            Misfit::Range => 400_u16,
            Misfit::TooLarge => 413,
        })?;
        if !assembly.is_complete() {
            return Ok(None);
        }
        Ok(own.inbox.assemblies.remove(id).map(super::chunks::Assembly::into_body))
    }

    fn complete(&mut self, session: SessionId, connection: ConnectionId, chunk: &Chunk, message_id: String, body: Bytes) {
        let token = Token(self.next_token);
        self.next_token += 1;
        let Some(own) = self.sessions.get_mut(&session) else { return };
        own.inbox.owed.insert(token, Owed { connection, request: chunk.clone(), size: body.len() as u64 });
        let incoming = Incoming {
            message_id,
            content_type: chunk.content_type().unwrap_or("").to_owned(),
            body,
            success_report: chunk.success_report(),
            failure_report: chunk.failure_report(),
            token,
        };
        self.tell(session, Event::Received(incoming));
    }

    /// Answers the last chunk of a received message, as far as its sender wants an answer; 200 also
    /// sends the success report that was asked for, unless the configuration leaves it to the user.
    ///
    /// A token that was used, or whose connection is gone, is ignored.
    pub fn answer(&mut self, _now: Instant, session: SessionId, token: Token, code: u16) {
        let Some(owed) = self.sessions.get_mut(&session).and_then(|own| own.inbox.owed.remove(&token)) else { return };
        self.respond(owed.connection, &owed.request, code);
        if code == 200 && owed.request.success_report() && self.config.success_reports {
            let message_id = owed.request.message_id().unwrap_or("").to_owned();
            let report = Report { message_id, code, size: owed.size };
            let own = paths(owed.request.to_path()).next().unwrap_or("");
            let data = reports::report(&self.ids.transact_id(), owed.request.from_path(), own, &report);
            self.put(owed.connection, data);
        }
    }

    fn respond(&mut self, connection: ConnectionId, request: &Chunk, code: u16) {
        if paths(request.from_path()).next().is_none() {
            self.note(format!("{code} not sent: the request has no From-Path"));
        } else if reports::wants(request.failure_report(), code) {
            self.put(connection, reports::answer(request, code));
        }
    }
}

/// Whether To-Path is the first header field and From-Path the second (RFC 4975 7.1).
fn has_paths_first(chunk: &Chunk) -> bool {
    let mut names = chunk.fields().map(|(name, _)| name);
    ["To-Path", "From-Path"].iter().all(|wanted| names.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted)))
}

/// Whether one of the accepted types fits (RFC 4975 8.6).
fn is_accepted(types: &[String], content_type: &str) -> bool {
    let essence = MediaType::parse(content_type).map_or(content_type, |media| media.essence);
    let kind = essence.split('/').next().unwrap_or("");
    types.is_empty()
        || types.iter().any(|own| {
            own == "*"
                || own.eq_ignore_ascii_case(essence)
                || own.strip_suffix("/*").is_some_and(|own| own.eq_ignore_ascii_case(kind))
        })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::engine::ConnectionId;
    use crate::msrp::bench::{Bench, LINK, PEER, config, ms};
    use crate::msrp::{Accept, Action, Config, Event, Limits, Report};
    use crate::wire::msrp::Chunk;

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
        let text = format!(
            "MSRP abcd1 SEND\r\nTo-Path: {}\r\nFrom-Path: {PEER}\r\nMessage-ID: bind-0002\r\n-------abcd1$\r\n",
            bench.path
        );
        bench.node.handle_received(ms(1), ConnectionId(3), &Bytes::copy_from_slice(text.as_bytes()));
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
    fn paths_out_of_order_are_refused() {
        let mut bench = Bench::bound(config());
        let request = |first: &str, second: &str| {
            format!("MSRP abcd1 SEND\r\n{first}\r\n{second}\r\nMessage-ID: m-0001\r\n-------abcd1$\r\n")
        };
        let (to, from) = (format!("To-Path: {}", bench.path), format!("From-Path: {PEER}"));
        for (text, answers) in
            [(request(&from, &to), vec!["400"]), (request(&to, "X-Path: none"), vec![]), (request(&to, &from), vec!["200"])]
        {
            bench.node.handle_received(ms(1), LINK, &Bytes::copy_from_slice(text.as_bytes()));
            assert_eq!(bench.answers(), answers, "{text}");
        }
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
    fn messages_that_wait_for_the_user_are_bounded() {
        let limits = Limits { unanswered: 1, ..Limits::default() };
        let mut bench = Bench::bound(Config { limits, ..config() });
        assert_eq!(bench.feed("abcd1", "SEND", "Message-ID: m-0001\nByte-Range: 1-1/1\nData: x"), [""; 0]);
        assert_eq!(bench.feed("abcd2", "SEND", "Message-ID: m-0002\nByte-Range: 1-1/1\nData: x"), ["413"]);
        let token = bench.received().token;
        bench.node.answer(ms(1), bench.session, token, 200);
        assert_eq!(bench.answers(), ["200"]);
        assert_eq!(bench.feed("abcd3", "SEND", "Message-ID: m-0002\nByte-Range: 1-1/1\nData: x"), [""; 0]);
    }

    #[test]
    fn reports_are_told_and_never_answered() {
        let mut bench = Bench::bound(config());
        assert_eq!(bench.feed("abcd1", "REPORT", "Message-ID: m-0001\nByte-Range: 1-1/1\nStatus: 000 403 Forbidden"), [""; 0]);
        assert_eq!(bench.events(), [Event::Report { message_id: "m-0001".to_owned(), code: 403 }]);
        assert_eq!(bench.feed_to("msrp://10.0.0.1:2855/x;tcp", "abcd2", "REPORT", "Message-ID: m-0001"), [""; 0]);
        assert_eq!(bench.events(), []);
    }
}
