//! Makes up packets around messages: datagrams, fragments of them, and TCP streams from SYN to FIN.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::{checksum, flag, protocol};
use crate::engine::{Closure, ConnectionId};
use crate::trace::event::Link;

/// The largest IP packet.
const MTU: usize = 1500;
/// Bytes of a TCP header without options, and of a UDP header.
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;

/// The packets of one capture.
#[derive(Debug, Default)]
pub(super) struct Packets {
    flows: BTreeMap<ConnectionId, Flow>,
    /// How many connections there were.
    begun: u32,
    identification: u16,
    made: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    opener: End,
    acceptor: End,
}

/// One end of a connection and the sequence number of its next byte.
#[derive(Clone, Copy, Debug)]
struct End {
    address: SocketAddr,
    next: u32,
}

impl Packets {
    /// The packets made since the last call.
    pub(super) fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.made)
    }

    /// Whether a connection is up.
    pub(super) fn is_open(&self, connection: ConnectionId) -> bool {
        self.flows.contains_key(&connection)
    }

    /// A connection comes up: the three-way handshake (RFC 9293 3.5).
    pub(super) fn open(&mut self, connection: ConnectionId, opener: SocketAddr, acceptor: SocketAddr) {
        let (mut opener, mut acceptor) = self.ends(opener, acceptor);
        self.segment(&mut opener, &acceptor, flag::SYN, &[]);
        self.segment(&mut acceptor, &opener, flag::SYN | flag::ACK, &[]);
        self.segment(&mut opener, &acceptor, flag::ACK, &[]);
        self.flows.insert(connection, Flow { opener, acceptor });
    }

    /// A connection that never comes up.
    pub(super) fn refuse(&mut self, opener: SocketAddr, acceptor: SocketAddr) {
        let (mut opener, mut acceptor) = self.ends(opener, acceptor);
        self.segment(&mut opener, &acceptor, flag::SYN, &[]);
        self.segment(&mut acceptor, &opener, flag::RST | flag::ACK, &[]);
    }

    /// Every connection gets sequence numbers of its own, so that ports may be used again.
    fn ends(&mut self, opener: SocketAddr, acceptor: SocketAddr) -> (End, End) {
        self.begun += 1;
        let first = self.begun.wrapping_mul(0x0123_4567);
        // Who never got a port is given one.
        let port = if opener.port() == 0 { 1024 + (self.begun % 60_000) as u16 } else { opener.port() };
        let opener = End { address: SocketAddr::new(opener.ip(), port), next: first };
        (opener, End { address: acceptor, next: first ^ 0x5555_5555 })
    }

    /// Bytes pass on a connection and are acknowledged. Returns which of the packets made is the
    /// last one that carries any.
    pub(super) fn data(&mut self, connection: ConnectionId, link: &Link, data: &[u8]) -> usize {
        let Some(mut flow) = self.flows.get(&connection).copied() else { return 0 };
        // The opener's port may have been made up.
        let forward = link.destination == flow.acceptor.address;
        let (from, to) = if forward { (&mut flow.opener, &mut flow.acceptor) } else { (&mut flow.acceptor, &mut flow.opener) };
        let room = MTU - ip_header(from.address.ip()) - TCP_HEADER;
        let mut pieces = data.chunks(room).peekable();
        while let Some(piece) = pieces.next() {
            let push = if pieces.peek().is_none() { flag::PSH } else { 0 };
            self.segment(from, to, flag::ACK | push, piece);
        }
        let last = self.made.len().saturating_sub(1);
        self.segment(to, from, flag::ACK, &[]);
        self.flows.insert(connection, flow);
        last
    }

    /// A connection ends.
    pub(super) fn close(&mut self, connection: ConnectionId, by_opener: bool, how: Closure) {
        let Some(mut flow) = self.flows.remove(&connection) else { return };
        let Flow { opener, acceptor } = &mut flow;
        let (from, to) = if by_opener { (opener, acceptor) } else { (acceptor, opener) };
        match how {
            Closure::Reset | Closure::Refused => self.segment(from, to, flag::RST | flag::ACK, &[]),
            Closure::Finished => {
                self.segment(from, to, flag::FIN | flag::ACK, &[]);
                self.segment(to, from, flag::FIN | flag::ACK, &[]);
                self.segment(from, to, flag::ACK, &[]);
            }
        }
    }

    /// Who opened a connection that is up.
    pub(super) fn opener(&self, connection: ConnectionId) -> Option<SocketAddr> {
        self.flows.get(&connection).map(|flow| flow.opener.address)
    }

    fn segment(&mut self, from: &mut End, to: &End, flags: u8, data: &[u8]) {
        let mut segment = Vec::with_capacity(TCP_HEADER + 4 + data.len());
        segment.extend(from.address.port().to_be_bytes());
        segment.extend(to.address.port().to_be_bytes());
        segment.extend(from.next.to_be_bytes());
        let acknowledged = if flags & flag::ACK == 0 { 0 } else { to.next };
        segment.extend(acknowledged.to_be_bytes());
        let opens = flags & flag::SYN != 0;
        segment.extend([if opens { 0x60 } else { 0x50 }, flags, 0xff, 0xff, 0, 0, 0, 0]);
        if opens {
            // Maximum segment size (RFC 9293 3.7.1).
            let room = u16::try_from(MTU - ip_header(from.address.ip()) - TCP_HEADER).unwrap_or(u16::MAX);
            segment.extend([2, 4]);
            segment.extend(room.to_be_bytes());
        }
        segment.extend(data);
        let sum = checksum::with_pseudo_header(from.address.ip(), to.address.ip(), protocol::TCP, &segment);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        let counted = u32::try_from(data.len()).unwrap_or_default() + u32::from(flags & (flag::SYN | flag::FIN) != 0);
        from.next = from.next.wrapping_add(counted);
        self.ip(from.address.ip(), to.address.ip(), protocol::TCP, &segment);
    }

    /// A datagram, in fragments where it is too long. Returns which of the packets made is its last.
    pub(super) fn datagram(&mut self, source: SocketAddr, destination: SocketAddr, data: &[u8]) -> usize {
        let mut datagram = Vec::with_capacity(UDP_HEADER + data.len());
        datagram.extend(source.port().to_be_bytes());
        datagram.extend(destination.port().to_be_bytes());
        datagram.extend(u16::try_from(data.len() + UDP_HEADER).unwrap_or_default().to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(data);
        let sum = checksum::with_pseudo_header(source.ip(), destination.ip(), protocol::UDP, &datagram);
        // Zero would say that there is none (RFC 768).
        let sum = if sum == 0 { 0xffff } else { sum };
        datagram[6..8].copy_from_slice(&sum.to_be_bytes());
        self.ip(source.ip(), destination.ip(), protocol::UDP, &datagram);
        self.made.len().saturating_sub(1)
    }

    fn ip(&mut self, source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) {
        self.identification = self.identification.wrapping_add(1);
        let room = MTU - ip_header(source);
        if payload.len() <= room {
            let packet = self.packet(source, destination, protocol, payload, None);
            return self.made.push(packet);
        }
        // Offsets count in units of eight bytes.
        let room = (room - 8) / 8 * 8;
        for (at, piece) in payload.chunks(room).enumerate() {
            let offset = at * room;
            let more = offset + piece.len() < payload.len();
            let packet = self.packet(source, destination, protocol, piece, Some((offset, more)));
            self.made.push(packet);
        }
    }

    fn packet(&self, source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8], part: Option<(usize, bool)>) -> Vec<u8> {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let field =
                    part.map_or(0x4000, |(offset, more)| u16::try_from(offset / 8).unwrap_or(0x1fff) | u16::from(more) << 13);
                let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
                let mut packet = vec![0x45, 0];
                packet.extend(length.to_be_bytes());
                packet.extend(self.identification.to_be_bytes());
                packet.extend(field.to_be_bytes());
                packet.extend([64, protocol, 0, 0]);
                packet.extend(source.octets());
                packet.extend(destination.octets());
                let sum = checksum::of(&packet);
                packet[10..12].copy_from_slice(&sum.to_be_bytes());
                packet.extend(payload);
                packet
            }
            (source, destination) => self.packet6(source, destination, protocol, payload, part),
        }
    }

    fn packet6(&self, source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8], part: Option<(usize, bool)>) -> Vec<u8> {
        let octets = |address: IpAddr| match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        let mut body = Vec::with_capacity(payload.len() + 8);
        if let Some((offset, more)) = part {
            body.extend([protocol, 0]);
            body.extend((u16::try_from(offset).unwrap_or_default() & 0xfff8 | u16::from(more)).to_be_bytes());
            body.extend(u32::from(self.identification).to_be_bytes());
        }
        body.extend(payload);
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes());
        packet.extend([if part.is_some() { protocol::FRAGMENT } else { protocol }, 64]);
        packet.extend(octets(source));
        packet.extend(octets(destination));
        packet.extend(body);
        packet
    }
}

const fn ip_header(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(_) => 20,
        IpAddr::V6(_) => 40,
    }
}
