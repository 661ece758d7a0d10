//! Cuts what passes the edge of the IUT into events: one message, one event, at its last byte.
//!
//! A datagram is one SIP message. A stream carries SIP or MSRP, which the port of its accepting
//! side decides, and is framed by the framers of [`crate::wire`], so that an event is the same
//! however the bytes were segmented. The same cutting serves the simulator, sockets and captures.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::event::{Content, Kind, Link};
use crate::engine::{Closure, ConnectionId, Transport};
use crate::wire::{Fault, msrp, sip};

/// The ports on which a stream is SIP; on all others it is MSRP.
pub const SIP_PORTS: [u16; 2] = [5060, 5061];

/// The connections of one node and the messages that are not whole yet.
#[derive(Debug)]
pub struct Tap {
    address: IpAddr,
    sip_ports: Vec<u16>,
    streams: BTreeMap<ConnectionId, Stream>,
}

#[derive(Debug)]
struct Stream {
    link: Link,
    sip: bool,
    opened_here: bool,
    up: bool,
    sent: Framing,
    received: Framing,
}

/// One direction of a stream.
#[derive(Debug)]
enum Framing {
    Sip(sip::Framer),
    Msrp(msrp::Framer),
    /// No message boundary is known any more.
    Lost,
}

impl Tap {
    /// The tap of the node at `address`; streams to or from `sip_ports` carry SIP.
    pub fn new(address: IpAddr, sip_ports: impl Into<Vec<u16>>) -> Self {
        Self { address, sip_ports: sip_ports.into(), streams: BTreeMap::new() }
    }

    /// The event of one datagram.
    pub fn datagram(local: SocketAddr, peer: SocketAddr, data: &Bytes, sent: bool) -> Kind {
        let (source, destination) = if sent { (local, peer) } else { (peer, local) };
        let link = Link { transport: Transport::Udp, source, destination, connection: None };
        Kind::Message { link, sent, content: read_sip(data) }
    }

    /// The node asks for a connection.
    pub fn connecting(&mut self, connection: ConnectionId, transport: Transport, peer: SocketAddr) {
        let source = SocketAddr::new(self.address, 0);
        let link = Link { transport, source, destination: peer, connection: Some(connection) };
        self.insert(connection, link, true);
    }

    /// The connection that the node asked for is up.
    pub fn connected(&mut self, connection: ConnectionId, local: SocketAddr) -> Option<Kind> {
        let stream = self.streams.get_mut(&connection)?;
        stream.link.source = local;
        stream.up = true;
        Some(Kind::Opened { link: stream.link })
    }

    /// A peer opened a connection to the node.
    pub fn accepted(&mut self, connection: ConnectionId, local: SocketAddr, peer: SocketAddr) -> Kind {
        self.accepted_over(Transport::Tcp, connection, local, peer)
    }

    /// The same, where the transport is known.
    pub fn accepted_over(&mut self, transport: Transport, connection: ConnectionId, local: SocketAddr, peer: SocketAddr) -> Kind {
        let link = Link { transport, source: peer, destination: local, connection: Some(connection) };
        self.insert(connection, link, false);
        Kind::Opened { link }
    }

    /// A connection that someone else watches, from its opener's side; it carries SIP or MSRP.
    pub fn adopt(&mut self, connection: ConnectionId, link: Link, sip: bool) {
        let stream = Stream { link, sip, opened_here: true, up: true, sent: Framing::of(sip), received: Framing::of(sip) };
        self.streams.insert(connection, stream);
    }

    /// Bytes were missed in this direction: what is not whole yet never will be.
    pub fn resync(&mut self, connection: ConnectionId, sent: bool) {
        if let Some(stream) = self.streams.get_mut(&connection) {
            let framing = if sent { &mut stream.sent } else { &mut stream.received };
            *framing = Framing::of(stream.sip);
        }
    }

    fn insert(&mut self, connection: ConnectionId, link: Link, opened_here: bool) {
        let sip = self.sip_ports.contains(&link.destination.port());
        let stream = Stream { link, sip, opened_here, up: !opened_here, sent: Framing::of(sip), received: Framing::of(sip) };
        self.streams.insert(connection, stream);
    }

    /// Bytes passed on a connection: an event for every message that they complete.
    pub fn stream(&mut self, connection: ConnectionId, sent: bool, data: &Bytes, mut each: impl FnMut(Kind)) {
        let Some(stream) = self.streams.get_mut(&connection) else { return };
        let link = stream.directed(sent);
        let framing = if sent { &mut stream.sent } else { &mut stream.received };
        framing.cut(data, |content| each(Kind::Message { link, sent, content }));
    }

    /// Whether messages can no longer be told apart in this direction.
    pub fn is_lost(&self, connection: ConnectionId, sent: bool) -> bool {
        self.streams
            .get(&connection)
            .is_none_or(|stream| matches!(if sent { &stream.sent } else { &stream.received }, Framing::Lost))
    }

    /// The event of one whole message that the node is made to send over `link`.
    pub fn whole(&self, link: Link, bytes: &Bytes) -> Content {
        let stream = link.connection.and_then(|id| self.streams.get(&id));
        let sip = stream.map_or_else(|| !bytes.starts_with(b"MSRP "), |stream| matches!(stream.sent, Framing::Sip(_)));
        if sip { read_sip(bytes) } else { read_msrp(bytes) }
    }

    /// A connection ended: an event for a message that it broke off, and one for the end itself.
    pub fn closed(&mut self, connection: ConnectionId, how: Closure, by_iut: bool, mut each: impl FnMut(Kind)) {
        let Some(stream) = self.streams.remove(&connection) else { return };
        for (sent, framing) in [(true, &stream.sent), (false, &stream.received)] {
            let bytes = framing.unfinished();
            if !bytes.iter().all(u8::is_ascii_whitespace) {
                let fault = Fault::new("stream-end", bytes.len(), "the rest of the message");
                let link = stream.directed(sent);
                each(Kind::Message { link, sent, content: Content::Broken { bytes, fault } });
            }
        }
        each(Kind::Closed { link: stream.link, how, by_iut });
    }

    /// Every known connection, in the order of their numbers.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.streams.keys().copied()
    }

    /// The link of an open connection, directed away from the node: `wanted` itself when it is
    /// open, else another one to the same peer that carries the same protocol.
    pub fn outward(&self, wanted: Link) -> Option<Link> {
        let open = |id: ConnectionId| self.streams.get(&id).filter(|stream| stream.up);
        if let Some(stream) = wanted.connection.and_then(open) {
            return Some(stream.directed(true));
        }
        let sip = self.sip_ports.contains(&wanted.destination.port()) || self.sip_ports.contains(&wanted.source.port());
        self.streams
            .values()
            .filter(|stream| stream.up && matches!(stream.sent, Framing::Sip(_)) == sip)
            .map(|stream| stream.directed(true))
            .find(|link| link.destination.ip() == wanted.destination.ip())
    }
}

impl Stream {
    /// The link from the node to its peer, or the other way round.
    const fn directed(&self, sent: bool) -> Link {
        let Link { transport, source, destination, connection } = self.link;
        if sent == self.opened_here { self.link } else { Link { transport, source: destination, destination: source, connection } }
    }
}

impl Framing {
    fn of(sip: bool) -> Self {
        if sip { Self::Sip(sip::Framer::default()) } else { Self::Msrp(msrp::Framer::default()) }
    }

    fn cut(&mut self, data: &Bytes, mut each: impl FnMut(Content)) {
        if let Some(content) = self.exactly_one(data) {
            return each(content);
        }
        let before = self.unfinished();
        match self {
            Self::Sip(framer) => framer.feed(data),
            Self::Msrp(framer) => framer.feed(data),
            Self::Lost => return,
        }
        let mut taken = 0;
        loop {
            match self.next() {
                Ok(Some(content)) => {
                    taken += content.bytes().len();
                    each(content);
                }
                Ok(None) => return,
                Err(fault) => {
                    // What is left of the stream here, however it was segmented.
                    let all = [before.as_ref(), data.as_ref()].concat();
                    let bytes = Bytes::from(all).slice(taken.min(before.len() + data.len())..);
                    each(Content::Broken { bytes, fault });
                    *self = Self::Lost;
                    return;
                }
            }
        }
    }

    /// The bytes of a message that is not whole yet.
    fn unfinished(&self) -> Bytes {
        match self {
            Self::Sip(framer) => framer.unfinished(),
            Self::Msrp(framer) => Bytes::copy_from_slice(framer.unfinished_bytes()),
            Self::Lost => Bytes::new(),
        }
    }

    /// The usual case, which needs no copy.
    fn exactly_one(&self, data: &Bytes) -> Option<Content> {
        match self {
            Self::Sip(framer) => framer.whole(data).map(Content::Sip),
            Self::Msrp(framer) => framer.whole(data).map(Content::Msrp),
            Self::Lost => None,
        }
    }

    fn next(&mut self) -> Result<Option<Content>, Fault> {
        match self {
            Self::Sip(framer) => Ok(framer.next_message()?.map(Content::Sip)),
            Self::Msrp(framer) => Ok(framer.next_chunk()?.map(Content::Msrp)),
            Self::Lost => Ok(None),
        }
    }
}

fn read_sip(data: &Bytes) -> Content {
    sip::Message::decode(data.clone()).map_or_else(|fault| Content::Broken { bytes: data.clone(), fault }, Content::Sip)
}

fn read_msrp(data: &Bytes) -> Content {
    msrp::Chunk::decode(data.clone()).map_or_else(|fault| Content::Broken { bytes: data.clone(), fault }, Content::Msrp)
}

impl Content {
    /// The bytes on the wire.
    pub fn bytes(&self) -> Bytes {
        match self {
            Self::Sip(message) => message.encode(),
            Self::Msrp(chunk) => chunk.encode(),
            Self::Broken { bytes, .. } => bytes.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sip::Builder;

    const C: ConnectionId = ConnectionId(1);

    /// What an accepted connection on `port` brings, the bytes cut into pieces of this size.
    fn cut(port: u16, stream: &[u8], size: usize) -> Vec<Kind> {
        let mut tap = Tap::new([10, 0, 0, 1].into(), SIP_PORTS);
        tap.accepted(C, ([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], 50_000).into());
        let mut kinds = Vec::new();
        for piece in stream.chunks(size) {
            tap.stream(C, false, &Bytes::copy_from_slice(piece), |kind| kinds.push(kind));
        }
        tap.closed(C, Closure::Reset, false, |kind| kinds.push(kind));
        kinds
    }

    fn requests() -> Vec<u8> {
        (1..4)
            .flat_map(|number| Builder::request("OPTIONS", "sip:pf").push("CSeq", format!("{number} OPTIONS")).encode().to_vec())
            .collect()
    }

    #[test]
    fn messages_are_the_same_in_any_segmentation() {
        let whole = cut(5060, &requests(), usize::MAX);
        assert_eq!(whole.len(), 4);
        for size in 1..60 {
            assert_eq!(cut(5060, &requests(), size), whole, "pieces of {size}");
        }
    }

    #[test]
    fn what_cannot_be_framed_is_recorded_once_from_where_it_starts() {
        let stream = [&requests()[..], b"nonsense\r\n\r\n and more"].concat();
        let whole = cut(5060, &stream, usize::MAX);
        assert!(
            matches!(&whole[3], Kind::Message { content: Content::Broken { bytes, .. }, .. } if bytes.starts_with(b"nonsense"))
        );
        assert!(matches!(whole[4], Kind::Closed { .. }));
        assert_eq!(whole.len(), 5);
    }

    #[test]
    fn a_message_that_a_closure_breaks_off_is_recorded_before_it() {
        let kinds = cut(2855, b"MSRP a1b2 SEND\r\nTo-Path: x\r\n", 7);
        assert!(matches!(&kinds[0], Kind::Message { content: Content::Broken { fault, .. }, .. } if fault.code == "stream-end"));
        assert!(matches!(kinds[1], Kind::Closed { how: Closure::Reset, by_iut: false, .. }));
    }
}
