//! The MSRP half of a node: sessions, connections and what moves between them.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::connection::{Connection, Transactions};
use super::early::Forks;
use super::session::{Session, State};
use super::types::{Accept, Action, Config, Event, Outcome, SessionId};
use crate::engine::{Closure, ConnectionId, Note, Standing};
use crate::ids::Ids;
use crate::time::Instant;
use crate::wire::msrp::{MsrpUri, paths};

/// All MSRP sessions of one node and their connections.
///
/// Connections that the node opens carry the numbers 2, 6, 10, …; the multiples of four are left
/// to the rest of the endpoint.
#[derive(Debug)]
pub struct Node {
    pub(super) config: Config,
    pub(super) ids: Ids,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    /// The sessions by the session part of their URIs.
    pub(super) by_part: BTreeMap<String, SessionId>,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) transactions: Transactions,
    pub(super) next_token: u64,
    pub(super) next_session: u32,
    pub(super) forks: Forks,
    next_connection: u64,
    events: VecDeque<(SessionId, Event)>,
    actions: VecDeque<Action>,
}

impl Node {
    /// A node without sessions.
    pub fn new(config: Config, ids: Ids) -> Self {
        Self {
            config,
            ids,
            sessions: BTreeMap::new(),
            by_part: BTreeMap::new(),
            connections: BTreeMap::new(),
            transactions: Transactions::default(),
            next_token: 0,
            next_session: 0,
            forks: Forks::default(),
            next_connection: 2,
            events: VecDeque::new(),
            actions: VecDeque::new(),
        }
    }

    /// A new session and its own path for `a=path`.
    pub fn open(&mut self) -> (SessionId, String) {
        let part = self.ids.session_id();
        let scheme = if self.config.secure { "msrps" } else { "msrp" };
        let local = [scheme, "://", &self.config.host, ":", &self.config.port.to_string(), "/", &part, ";tcp"].concat();
        let session = self.next_session();
        self.by_part.insert(part, session);
        self.sessions.insert(session, Session::new(local.clone()));
        (session, local)
    }

    pub(super) fn next_session(&mut self) -> SessionId {
        let session = SessionId(self.next_session);
        self.next_session += 1;
        session
    }

    /// Says what a session takes; without it everything within the limits.
    pub fn accept(&mut self, session: SessionId, accept: Accept) {
        if let Some(own) = self.sessions.get_mut(&session) {
            own.accept = accept;
        }
    }

    /// Binds a session to its peer: the active side connects, the passive one waits (RFC 6135).
    ///
    /// A session that is bound already, because the peer was faster, stays so; one that was lost starts again.
    pub fn start(&mut self, now: Instant, session: SessionId, remote_path: &str, active: bool) {
        self.match_peer(session, remote_path);
        let Some(own) = self.sessions.get_mut(&session) else { return };
        remote_path.clone_into(&mut own.remote);
        own.started = true;
        match own.state {
            State::Bound(_) => self.pump(now, session),
            State::Connecting(_) => {}
            State::Idle | State::Waiting | State::Lost if active => self.connect(now, session),
            State::Idle | State::Waiting | State::Lost => own.state = State::Waiting,
        }
    }

    fn connect(&mut self, now: Instant, session: SessionId) {
        let Some(own) = self.sessions.get(&session) else { return };
        let Some(Ok(uri)) = paths(&own.remote).next().map(MsrpUri::parse) else {
            self.note(format!("cannot connect: `{}` is no path", own.remote));
            return self.unbind(session);
        };
        let target = (uri.host.0.to_owned(), uri.port, uri.secure);
        let shared = self.connections.iter().find(|(_, own)| self.config.share_connections && own.target.as_ref() == Some(&target));
        let connection = match shared {
            Some((connection, _)) => *connection,
            None => self.open_connection(target),
        };
        let Some(own) = self.connections.get_mut(&connection) else { return };
        own.sessions.insert(session);
        let up = own.up;
        self.set_state(session, State::Connecting(connection));
        if up {
            self.bind_active(now, session, connection);
        }
    }

    fn open_connection(&mut self, target: (String, u16, bool)) -> ConnectionId {
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 4;
        let (host, port, secure) = target.clone();
        self.connections.insert(connection, Connection::opening(&self.config.limits, target));
        self.actions.push_back(Action::Connect { connection, host, port, secure });
        connection
    }

    /// The connection is up: what waits is sent, or a request without data, so that the peer can bind.
    fn bind_active(&mut self, now: Instant, session: SessionId, connection: ConnectionId) {
        self.set_state(session, State::Bound(connection));
        let idle = self.sessions.get(&session).is_some_and(|own| own.outbox.unsent.is_empty());
        if idle {
            self.send_binding(now, session, connection);
        }
        self.tell(session, Event::Bound);
        self.pump(now, session);
    }

    /// Ends a session and, unless another session uses it, its connection. No event follows.
    pub fn close(&mut self, _now: Instant, session: SessionId, how: Closure) {
        let Some(own) = self.sessions.remove(&session) else { return };
        self.close_path(&own.local, session);
        self.transactions.forget(session);
        self.events.retain(|(of, _)| *of != session);
        if let Some(connection) = own.connection() {
            self.release(connection, session, how);
        }
    }

    /// Resets every connection; each bound session is lost.
    pub fn disconnect(&mut self, now: Instant) {
        let connections: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for connection in connections {
            self.actions.push_back(Action::Close { connection, how: Closure::Reset });
            self.handle_closed(now, connection, Closure::Reset);
        }
    }

    /// A peer opened a connection.
    pub fn handle_accepted(&mut self, _now: Instant, connection: ConnectionId) {
        self.connections.insert(connection, Connection::accepted(&self.config.limits));
    }

    /// A connection of [`Action::Connect`] is up.
    pub fn handle_connected(&mut self, now: Instant, connection: ConnectionId) {
        let Some(own) = self.connections.get_mut(&connection) else { return };
        own.up = true;
        for session in own.sessions.clone() {
            self.bind_active(now, session, connection);
        }
    }

    /// Bytes arrived.
    pub fn handle_received(&mut self, now: Instant, connection: ConnectionId, data: &Bytes) {
        if let Some(own) = self.connections.get_mut(&connection) {
            if let Some(chunk) = own.framer.whole(data) {
                own.chunks += 1;
                return self.handle_chunk(now, connection, &chunk);
            }
            own.framer.feed(data);
        }
        while let Some(own) = self.connections.get_mut(&connection) {
            match own.framer.next_chunk() {
                Ok(Some(chunk)) => {
                    own.chunks += 1;
                    self.handle_chunk(now, connection, &chunk);
                }
                Ok(None) => return,
                Err(fault) if own.framer.is_broken() => {
                    self.note(format!("reset the connection: {fault}"));
                    self.actions.push_back(Action::Close { connection, how: Closure::Reset });
                    return self.handle_closed(now, connection, Closure::Reset);
                }
                Err(fault) => self.note(format!("dropped a chunk: {fault}")),
            }
        }
    }

    /// A connection is gone, or never came to be: what it carried is lost.
    pub fn handle_closed(&mut self, _now: Instant, connection: ConnectionId, _how: Closure) {
        let Some(own) = self.connections.remove(&connection) else { return };
        for session in own.sessions {
            self.lose(session);
        }
    }

    /// The peer refused to bind: the session is lost, and so is its connection to it.
    pub(super) fn unbind(&mut self, session: SessionId) {
        let connection = self.sessions.get(&session).and_then(Session::connection);
        self.lose(session);
        if let Some(connection) = connection {
            self.release(connection, session, Closure::Finished);
        }
    }

    fn lose(&mut self, session: SessionId) {
        if self.forks.is_guest(session) {
            return self.lose_guest(session);
        }
        let Some(own) = self.sessions.get_mut(&session) else { return };
        own.state = State::Lost;
        own.inbox.clear();
        let messages: Vec<String> = own.outbox.drain().map(|message| message.message_id).collect();
        self.transactions.forget(session);
        for message_id in messages {
            self.tell(session, Event::Sent { message_id, outcome: Outcome::Lost });
        }
        self.tell(session, Event::Lost);
    }

    /// Takes a session off its connection, which ends with its last session.
    pub(super) fn release(&mut self, connection: ConnectionId, session: SessionId, how: Closure) {
        let Some(own) = self.connections.get_mut(&connection) else { return };
        own.sessions.remove(&session);
        if own.sessions.is_empty() {
            self.connections.remove(&connection);
            self.actions.push_back(Action::Close { connection, how });
        }
    }

    fn set_state(&mut self, session: SessionId, state: State) {
        if let Some(own) = self.sessions.get_mut(&session) {
            own.state = state;
        }
    }

    /// Whether the connection belongs to this node.
    pub fn owns(&self, connection: ConnectionId) -> bool {
        self.connections.contains_key(&connection)
    }

    /// What a connection is to this node. One that no session is bound to is of no use to it.
    pub fn standing(&self, connection: ConnectionId) -> Standing {
        match self.connections.get(&connection) {
            Some(own) if !own.sessions.is_empty() && own.framer.unfinished() == 0 => Standing::InUse,
            Some(own) => Standing::Unfinished { messages: own.chunks },
            None => Standing::Idle,
        }
    }

    /// The connection that a session is bound to.
    pub fn connection(&self, session: SessionId) -> Option<ConnectionId> {
        self.sessions.get(&session)?.bound()
    }

    /// The own and the peer's path of a session.
    pub fn paths(&self, session: SessionId) -> Option<(&str, &str)> {
        self.sessions.get(&session).map(|own| (own.local.as_str(), own.remote.as_str()))
    }

    /// How many bytes of data of a session wait to be sent.
    pub fn backlog(&self, session: SessionId) -> usize {
        let messages = self.sessions.get(&session).map(|own| own.outbox.messages.values());
        messages.into_iter().flatten().map(|message| message.body.len() - message.sent).sum()
    }

    /// The next event, in order.
    pub fn poll_event(&mut self) -> Option<(SessionId, Event)> {
        self.events.pop_front()
    }

    /// The next effect, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When the oldest unanswered chunk times out.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.transactions.next().map(|at| (at, "MSRP transaction"))
    }

    pub(super) fn tell(&mut self, session: SessionId, event: Event) {
        if let Some(event) = self.forks.hold(session, event) {
            self.events.push_back((session, event));
        }
    }

    pub(super) fn put(&mut self, connection: ConnectionId, data: Bytes) {
        if self.connections.contains_key(&connection) {
            self.actions.push_back(Action::Send { connection, data });
        }
    }

    pub(super) fn note(&mut self, text: String) {
        self.actions.push_back(Action::Note(Note { layer: "msrp", text: Cow::Owned(text), because: None }));
    }
}

/// The part of a URI by which sessions are told apart.
pub(super) fn session_part<'a>(uri: &MsrpUri<'a>) -> Option<&'a str> {
    uri.session.filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::engine::{Closure, ConnectionId};
    use crate::ids::Ids;
    use crate::msrp::bench::{Bench, LINK, PEER, config, ms, outgoing, sent};
    use crate::msrp::{Action, Config, Event, Node, Outcome};
    use crate::wire::msrp::{Chunk, ChunkBuilder, validate};

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
        assert_eq!(validate(&binding), vec![]);
        let refusal = ChunkBuilder::response(&binding, 481, PEER).encode();
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
        node.handle_received(ms(0), LINK, &Bytes::copy_from_slice(text.as_bytes()));
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
    fn a_stream_that_is_no_msrp_is_reset() {
        let mut bench = Bench::bound(config());
        bench.node.handle_received(ms(1), LINK, &Bytes::from_static(b"GET / HTTP/1.1\r\n"));
        let actions: Vec<Action> = std::iter::from_fn(|| bench.node.poll_action()).collect();
        assert!(actions.contains(&Action::Close { connection: LINK, how: Closure::Reset }));
        assert_eq!(bench.events(), [Event::Lost]);
    }
}
