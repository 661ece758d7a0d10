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
        let session = self.session_of(chunk).filter(|session| self.is_bound_to(*session, connection));
        match (session, chunk.message_id(), chunk.status()) {
            (Some(session), Some(message_id), Some(code)) => {
                self.tell(session, Event::Report { message_id: message_id.to_owned(), code });
            }
            _ => self.note("absorbed REPORT: no session, Message-ID or status of ours".to_owned()),
        }
    }

    fn handle_send(&mut self, now: Instant, connection: ConnectionId, chunk: &Chunk) {
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
        let session = self.session_of(chunk).ok_or(481_u16)?;
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
    fn session_of(&self, chunk: &Chunk) -> Option<SessionId> {
        let mut uris = paths(chunk.to_path());
        let (first, None) = (uris.next()?, uris.next()) else { return None };
        let uri = MsrpUri::parse(first).ok()?;
        let session = *self.by_part.get(session_part(&uri)?)?;
        let own = self.sessions.get(&session)?;
        MsrpUri::parse(&own.local).is_ok_and(|local| local.equivalent(&uri)).then_some(session)
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
        if !known && own.inbox.assemblies.len() >= limits.messages || own.inbox.held() + body.len() as u64 > limits.unfinished {
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
        if reports::wants(request.failure_report(), code) {
            self.put(connection, reports::answer(request, code));
        }
    }
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
