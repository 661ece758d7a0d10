//! Offers that fork: peers that connect before their answers have come.
//!
//! An INVITE may be answered by several devices (RFC 3261 13.2.2.4), each with a path of its own and
//! all towards the one path that was offered. The first request of a device may overtake its answer.
//! Such a device is no intruder on the session of another, which would have to be refused with 506
//! (RFC 4975 10): it has a place of its own as a guest, known by its From-Path, until an answer names
//! that path. What it sends until then is told when the answer has come.
//!
//! ```text
//! SEND of an unknown path     -> guest             Bound and what follows are held back
//! start with that path        guest -> session     what was held back is told
//! connection closed, session closed                guest -> gone
//! ```

use std::collections::BTreeMap;

use super::node::{Node, session_part};
use super::session::{Session, State};
use super::types::{Event, SessionId};
use crate::engine::{Closure, ConnectionId};
use crate::wire::msrp::{Chunk, MsrpUri, paths};

/// How many devices may wait for their answers on one path.
const GUESTS: usize = 8;

/// Who shares a path.
#[derive(Debug, Default)]
pub(super) struct Forks {
    /// Sessions and guests of a session part, beside the session that it names.
    siblings: BTreeMap<String, Vec<SessionId>>,
    /// What guests have to tell.
    held: BTreeMap<SessionId, Vec<Event>>,
}

impl Forks {
    /// Holds an event of a guest back; gives back that of any other session.
    pub(super) fn hold(&mut self, session: SessionId, event: Event) -> Option<Event> {
        match self.held.get_mut(&session) {
            Some(held) => {
                held.push(event);
                None
            }
            None => Some(event),
        }
    }

    /// Whether a session is a guest.
    pub(super) fn is_guest(&self, session: SessionId) -> bool {
        self.held.contains_key(&session)
    }
}

impl Node {
    /// The path of a session goes into an offer that may fork: it may get several answers.
    pub fn forks(&mut self, session: SessionId) {
        if let Some(own) = self.sessions.get_mut(&session) {
            own.forks = true;
        }
    }

    /// A session for a further answer to the same offer: the path of `session` leads to it from now
    /// on, while `session` keeps the connection that it has.
    pub fn fork(&mut self, session: SessionId) -> SessionId {
        let forked = self.next_session();
        let Some(own) = self.sessions.get(&session) else { return forked };
        let own = Session { accept: own.accept.clone(), forks: own.forks, ..Session::new(own.local.clone()) };
        if let Some(part) = part_of(&own.local) {
            self.by_part.insert(part.clone(), forked);
            self.forks.siblings.entry(part).or_default().push(session);
        }
        self.sessions.insert(forked, own);
        forked
    }

    /// Of the sessions that share the path of `named` the one that a chunk on a connection is for.
    pub(super) fn among_siblings(&self, part: &str, named: SessionId, connection: ConnectionId, chunk: &Chunk) -> SessionId {
        let Some(siblings) = self.forks.siblings.get(part) else { return named };
        let is_its = |session: &SessionId| {
            let own = self.sessions.get(session);
            own.is_some_and(|own| own.bound() == Some(connection) && same_peer(&own.remote, chunk.from_path()))
        };
        std::iter::once(&named).chain(siblings).find(|session| is_its(session)).copied().unwrap_or(named)
    }

    /// Whether a chunk comes from a peer other than that of a session whose offer may fork. On the
    /// connection of the session there is no other.
    pub(super) fn is_stranger(&self, session: SessionId, connection: ConnectionId, chunk: &Chunk) -> bool {
        let own = self.sessions.get(&session).filter(|own| own.forks && !own.remote.is_empty());
        own.is_some_and(|own| own.bound() != Some(connection) && !same_peer(&own.remote, chunk.from_path()))
    }

    /// Gives a place to a peer whose answer has not come yet; 506 when there is none.
    pub(super) fn welcome(&mut self, host: SessionId, connection: ConnectionId, chunk: &Chunk) -> Result<SessionId, u16> {
        let own = self.sessions.get(&host).ok_or(481_u16)?;
        let part = part_of(&own.local).ok_or(481_u16)?;
        let siblings = self.forks.siblings.entry(part).or_default();
        if siblings.iter().filter(|session| self.forks.held.contains_key(session)).count() >= GUESTS {
            return Err(506);
        }
        let session = Session { accept: own.accept.clone(), ..Session::new(own.local.clone()) };
        let guest = SessionId(self.next_session);
        siblings.push(guest);
        self.next_session += 1;
        let remote = chunk.from_path().to_owned();
        self.sessions.insert(guest, Session { remote, state: State::Bound(connection), ..session });
        self.forks.held.insert(guest, vec![Event::Bound]);
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.sessions.insert(guest);
        }
        self.note("a peer whose answer has not come yet has connected".to_owned());
        Ok(guest)
    }

    /// The answer has come that names the peer of a session: if another peer has bound the session
    /// meanwhile it becomes a guest, and a guest with the path of the answer gets the session.
    pub(super) fn match_peer(&mut self, session: SessionId, remote_path: &str) {
        let Some(own) = self.sessions.get(&session).filter(|own| own.forks) else { return };
        let Some(part) = part_of(&own.local) else { return };
        if !own.started && own.bound().is_some() && !same_peer(&own.remote, remote_path) {
            self.demote(session, &part);
        }
        if self.sessions.get(&session).is_some_and(|own| own.bound().is_none()) {
            self.adopt(session, &part, remote_path);
        }
    }

    fn demote(&mut self, session: SessionId, part: &str) {
        let guest = self.next_session();
        let Some(own) = self.sessions.get_mut(&session) else { return };
        let fresh = Session { accept: own.accept.clone(), forks: true, ..Session::new(own.local.clone()) };
        let former = Session { forks: false, outbox: super::session::Outbox::default(), ..own.clone() };
        let outbox = std::mem::take(&mut own.outbox);
        *own = Session { outbox, ..fresh };
        self.rebind(session, guest, former);
        self.forks.siblings.entry(part.to_owned()).or_default().push(guest);
        self.forks.held.insert(guest, vec![Event::Bound]);
        self.tell(session, Event::Lost);
    }

    fn adopt(&mut self, session: SessionId, part: &str, remote_path: &str) {
        let siblings = self.forks.siblings.get(part).into_iter().flatten();
        let mut guests = siblings.filter(|guest| self.forks.is_guest(**guest)).copied();
        let fits = |guest: &SessionId| self.sessions.get(guest).is_some_and(|own| same_peer(&own.remote, remote_path));
        let Some(guest) = guests.find(fits) else { return };
        let held = self.forget(guest);
        let (Some(found), Some(own)) = (self.sessions.remove(&guest), self.sessions.get_mut(&session)) else { return };
        let accept = std::mem::take(&mut own.accept);
        let outbox = std::mem::take(&mut own.outbox);
        let adopted = Session { accept, outbox, forks: true, started: own.started, ..found };
        if let Some(connection) = adopted.bound().and_then(|connection| self.connections.get_mut(&connection)) {
            connection.sessions.remove(&guest);
        }
        self.rebind(session, session, adopted);
        for event in held {
            self.tell(session, event);
        }
    }

    /// Puts what was `former` under the name `session`, on the connection that it has.
    fn rebind(&mut self, former: SessionId, session: SessionId, own: Session) {
        if let Some(connection) = own.bound().and_then(|connection| self.connections.get_mut(&connection)) {
            connection.sessions.remove(&former);
            connection.sessions.insert(session);
        }
        self.sessions.insert(session, own);
    }

    /// A guest whose connection is gone leaves no trace.
    pub(super) fn lose_guest(&mut self, guest: SessionId) {
        self.forget(guest);
        self.sessions.remove(&guest);
    }

    fn forget(&mut self, guest: SessionId) -> Vec<Event> {
        if let Some(part) = self.sessions.get(&guest).and_then(|own| part_of(&own.local)) {
            self.leave(&part, guest);
        }
        self.forks.held.remove(&guest).unwrap_or_default()
    }

    fn leave(&mut self, part: &str, session: SessionId) {
        if let Some(siblings) = self.forks.siblings.get_mut(part) {
            siblings.retain(|own| *own != session);
            if siblings.is_empty() {
                self.forks.siblings.remove(part);
            }
        }
    }

    /// A session is closed: its path leads to the latest other one, and with the last one guests go.
    pub(super) fn close_path(&mut self, local: &str, session: SessionId) {
        let Some(part) = part_of(local) else { return };
        self.leave(&part, session);
        if self.by_part.get(&part) != Some(&session) {
            return;
        }
        let siblings = self.forks.siblings.get(&part).cloned().unwrap_or_default();
        if let Some(other) = siblings.iter().rev().find(|other| !self.forks.is_guest(**other)) {
            self.leave(&part, *other);
            self.by_part.insert(part, *other);
            return;
        }
        self.by_part.remove(&part);
        for guest in siblings {
            let connection = self.sessions.get(&guest).and_then(Session::bound);
            self.lose_guest(guest);
            if let Some(connection) = connection {
                self.release(connection, guest, Closure::Finished);
            }
        }
    }
}

fn part_of(local: &str) -> Option<String> {
    MsrpUri::parse(local).ok().and_then(|uri| session_part(&uri).map(str::to_owned))
}

/// Whether two paths end at the same peer.
fn same_peer(path: &str, other: &str) -> bool {
    let last = |path| paths(path).last().map(MsrpUri::parse);
    path == other || matches!((last(path), last(other)), (Some(Ok(one)), Some(Ok(two))) if one.equivalent(&two))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::engine::{Closure, ConnectionId};
    use crate::ids::Ids;
    use crate::msrp::bench::{PEER, config, ms, outgoing};
    use crate::msrp::{Action, Event, Node, SessionId};
    use crate::wire::msrp::Chunk;

    const PHONE: ConnectionId = ConnectionId(1);
    const TABLET: ConnectionId = ConnectionId(3);
    const OTHER: &str = "msrp://10.0.2.2:2855/other;tcp";

    /// A session whose path was offered to several devices.
    fn offered() -> (Node, SessionId, String) {
        let mut node = Node::new(config(), Ids::new(1, "pf"));
        let (session, path) = node.open();
        node.forks(session);
        node.handle_accepted(ms(0), PHONE);
        node.handle_accepted(ms(0), TABLET);
        (node, session, path)
    }

    /// A SEND arrives, without data or with it; the code of its answer.
    fn send(node: &mut Node, connection: ConnectionId, to: &str, from: &str, data: Option<&str>) -> Option<u16> {
        let mut text = format!("MSRP abcd1 SEND\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\nMessage-ID: m-0001\r\n");
        if let Some(data) = data {
            text.push_str(&format!("Byte-Range: 1-{0}/{0}\r\nContent-Type: text/plain\r\n\r\n{data}\r\n", data.len()));
        }
        text.push_str("-------abcd1$\r\n");
        node.handle_received(ms(0), connection, &Bytes::from(text));
        sent(node, connection).and_then(|chunk| chunk.code())
    }

    /// The last that was put on a connection.
    fn sent(node: &mut Node, connection: ConnectionId) -> Option<Chunk> {
        let actions = std::iter::from_fn(|| node.poll_action());
        let sent = actions.filter_map(|action| match action {
            Action::Send { connection: own, data } if own == connection => Chunk::decode(data).ok(),
            _ => None,
        });
        sent.last()
    }

    fn told(node: &mut Node) -> Vec<(SessionId, Event)> {
        std::iter::from_fn(|| node.poll_event()).collect()
    }

    #[test]
    fn a_second_device_may_be_faster_than_its_answer() {
        let (mut node, session, path) = offered();
        node.start(ms(0), session, PEER, false);
        assert_eq!(send(&mut node, PHONE, &path, PEER, None), Some(200));
        assert_eq!(told(&mut node), [(session, Event::Bound)]);
        assert_eq!(send(&mut node, TABLET, &path, OTHER, None), Some(200));
        assert_eq!(told(&mut node), []);
        let forked = node.fork(session);
        node.start(ms(1), forked, OTHER, false);
        assert_eq!(told(&mut node), [(forked, Event::Bound)]);
        assert_eq!((node.connection(session), node.connection(forked)), (Some(PHONE), Some(TABLET)));
        node.send(ms(1), forked, outgoing("m-0002", "x"));
        assert_eq!(sent(&mut node, TABLET).and_then(|chunk| chunk.message_id().map(str::to_owned)).as_deref(), Some("m-0002"));
    }

    #[test]
    fn who_connects_first_need_not_answer_first() {
        let (mut node, session, path) = offered();
        assert_eq!(send(&mut node, PHONE, &path, PEER, None), Some(200));
        assert_eq!(send(&mut node, TABLET, &path, OTHER, None), Some(200));
        assert_eq!(told(&mut node), [(session, Event::Bound)]);
        node.start(ms(1), session, OTHER, false);
        assert_eq!(told(&mut node), [(session, Event::Lost), (session, Event::Bound)]);
        assert_eq!(node.connection(session), Some(TABLET));
        let forked = node.fork(session);
        node.start(ms(2), forked, PEER, false);
        assert_eq!(told(&mut node), [(forked, Event::Bound)]);
        assert_eq!((node.connection(session), node.connection(forked)), (Some(TABLET), Some(PHONE)));
    }

    #[test]
    fn a_device_that_is_slower_to_connect_than_another_to_answer_finds_its_session() {
        let (mut node, session, path) = offered();
        node.start(ms(0), session, PEER, false);
        assert_eq!(send(&mut node, TABLET, &path, OTHER, None), Some(200));
        assert_eq!(told(&mut node), []);
        assert_eq!(send(&mut node, PHONE, &path, PEER, None), Some(200));
        assert_eq!((told(&mut node), node.connection(session)), (vec![(session, Event::Bound)], Some(PHONE)));
    }

    #[test]
    fn what_a_device_sends_before_its_answer_is_told_with_it() {
        let (mut node, session, path) = offered();
        node.start(ms(0), session, PEER, false);
        assert_eq!(send(&mut node, TABLET, &path, OTHER, Some("early")), None);
        assert_eq!(told(&mut node), []);
        let forked = node.fork(session);
        node.start(ms(1), forked, OTHER, false);
        let events = told(&mut node);
        let [(_, Event::Bound), (of, Event::Received(incoming))] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!((*of, incoming.body.as_ref()), (forked, &b"early"[..]));
        node.answer(ms(1), forked, incoming.token, 200);
        assert_eq!(sent(&mut node, TABLET).and_then(|chunk| chunk.code()), Some(200));
    }

    #[test]
    fn both_sessions_of_a_fork_keep_their_connections() {
        let (mut node, session, path) = offered();
        node.start(ms(0), session, PEER, false);
        send(&mut node, PHONE, &path, PEER, None);
        let forked = node.fork(session);
        node.start(ms(0), forked, OTHER, false);
        send(&mut node, TABLET, &path, OTHER, None);
        told(&mut node);
        for (connection, from, of) in [(PHONE, PEER, session), (TABLET, OTHER, forked)] {
            assert_eq!(send(&mut node, connection, &path, from, Some("x")), None);
            assert!(matches!(told(&mut node).as_slice(), [(own, Event::Received(_))] if *own == of));
        }
        node.close(ms(1), forked, Closure::Finished);
        assert_eq!(send(&mut node, PHONE, &path, PEER, Some("y")), None);
        assert!(matches!(told(&mut node).as_slice(), [(own, Event::Received(_))] if *own == session));
    }

    #[test]
    fn the_same_device_on_another_connection_is_refused_and_so_is_a_crowd() {
        let (mut node, session, path) = offered();
        node.start(ms(0), session, PEER, false);
        send(&mut node, PHONE, &path, PEER, None);
        assert_eq!(send(&mut node, TABLET, &path, PEER, None), Some(506));
        for guest in 0..8 {
            assert_eq!(send(&mut node, TABLET, &path, &format!("msrp://10.0.2.2:2855/{guest};tcp"), None), Some(200));
        }
        assert_eq!(send(&mut node, TABLET, &path, OTHER, None), Some(506));
    }

    #[test]
    fn guests_go_with_their_connection_or_with_the_session() {
        let (mut node, session, path) = offered();
        node.start(ms(0), session, PEER, false);
        send(&mut node, TABLET, &path, OTHER, None);
        node.handle_closed(ms(1), TABLET, Closure::Finished);
        let forked = node.fork(session);
        node.start(ms(1), forked, OTHER, false);
        assert_eq!((told(&mut node), node.connection(forked)), (vec![], None));
        node.handle_accepted(ms(2), TABLET);
        send(&mut node, TABLET, &path, "msrp://10.0.2.3:2855/third;tcp", None);
        node.close(ms(3), session, Closure::Finished);
        node.close(ms(3), forked, Closure::Finished);
        assert!(!node.owns(TABLET));
        assert_eq!(send(&mut node, PHONE, &path, PEER, None), Some(481));
    }
}
