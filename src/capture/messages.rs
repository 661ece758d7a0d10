//! Cuts datagrams and streams into messages; SIP and MSRP are recognised by how they begin.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::datagram::Fragments;
use super::file::Frame;
use super::frame::{self, Inside, Packet, Upper, u16_at, u32_at};
use super::labels::FAULT;
use super::protocol;
use super::stream::{Flow, Flows, Piece, Rank, Segment};
use crate::engine::{Closure, ConnectionId, Transport};
use crate::trace::correlate::sdp_path;
use crate::trace::event::{Content, Kind, Link};
use crate::trace::tap::Tap;
use crate::wire::msrp::{self, MsrpUri, paths};
use crate::wire::sip;

/// How long a start line may be that is looked for.
const LINE: usize = 4096;

/// Something that was seen, whoever it concerns.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) rank: Rank,
    pub(super) what: What,
}

/// What was seen.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// A message passed.
    Message(Link, Content),
    /// A connection came up; its link leads from the opener.
    Opened(Link),
    /// A connection ended.
    Closed { link: Link, how: Closure, by_opener: bool },
    /// Someone noted in the capture what was done.
    Fault(String),
}

/// Bytes that a capture lacks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Hole {
    pub(super) rank: Rank,
    pub(super) link: Link,
    pub(super) bytes: u64,
}

/// Everything that was said in a capture.
#[derive(Debug, Default)]
pub(super) struct Talk {
    /// In order.
    pub(super) items: Vec<Item>,
    pub(super) holes: Vec<Hole>,
    /// What a reader of the capture should know.
    pub(super) notes: Vec<String>,
}

/// Reads all frames of a capture.
pub(super) fn hear(frames: &[Frame]) -> Talk {
    let mut ear = Ear::default();
    for (rank, frame) in frames.iter().enumerate() {
        for comment in &frame.comments {
            if let Some(fault) = comment.strip_prefix(FAULT) {
                ear.push(rank, What::Fault(fault.to_owned()));
            }
        }
        ear.frame(rank, frame);
    }
    ear.finish()
}

#[derive(Default)]
struct Ear {
    fragments: Fragments,
    flows: Flows,
    /// Datagrams that do not begin as a message does.
    unclear: Vec<(Rank, SocketAddr, SocketAddr, Bytes)>,
    /// Connections of link type 252, which has none of its own.
    upper: BTreeMap<(SocketAddr, SocketAddr), ConnectionId>,
    talk: Talk,
    others: Others,
}

/// What was passed over.
#[derive(Default)]
struct Others {
    unknown_links: BTreeSet<u32>,
    cut: usize,
    middles: usize,
    tls: usize,
    foreign: usize,
}

impl Ear {
    fn push(&mut self, rank: Rank, what: What) {
        self.talk.items.push(Item { rank, what });
    }

    fn frame(&mut self, rank: Rank, frame: &Frame) {
        match frame::open(frame.link, &frame.data) {
            Inside::Ip(packet) => {
                if let Some(packet) = self.fragments.whole(packet) {
                    self.packet(rank, &packet);
                }
            }
            Inside::Upper(upper) => self.upper(rank, upper),
            Inside::Other => {}
            Inside::UnknownLink => {
                self.others.unknown_links.insert(frame.link);
            }
        }
    }

    fn packet(&mut self, rank: Rank, packet: &Packet) -> Option<()> {
        let (data, ends) = (&packet.payload, (packet.source, packet.destination));
        match packet.protocol {
            protocol::UDP => {
                let length = usize::from(u16_at(data, 4)?);
                let (source, destination) = ends_of(ends, data)?;
                let end = if length < 8 { data.len() } else { length.min(data.len()) };
                if packet.lacks > 0 {
                    self.others.cut += 1;
                    let link = Link { transport: Transport::Udp, source, destination, connection: None };
                    self.talk.holes.push(Hole { rank, link, bytes: packet.lacks as u64 });
                    return None;
                }
                self.datagram(rank, source, destination, data.slice(8.min(end)..end));
            }
            protocol::TCP => {
                let (source, destination) = ends_of(ends, data)?;
                let header = usize::from(*data.get(12)? >> 4) * 4;
                let segment = Segment {
                    source,
                    destination,
                    sequence: u32_at(data, 4)?,
                    acknowledged: u32_at(data, 8)?,
                    flags: *data.get(13)?,
                    data: data.slice(header.clamp(20, data.len().max(20)).min(data.len())..),
                    lacks: packet.lacks,
                };
                self.others.cut += usize::from(packet.lacks > 0);
                self.flows.take(rank, segment);
            }
            _ => {}
        }
        Some(())
    }

    fn datagram(&mut self, rank: Rank, source: SocketAddr, destination: SocketAddr, data: Bytes) {
        if !begins_sip(&data) {
            return self.unclear.push((rank, source, destination, data));
        }
        let link = Link { transport: Transport::Udp, source, destination, connection: None };
        self.push(rank, What::Message(link, read(&data, true)));
    }

    fn upper(&mut self, rank: Rank, upper: Upper) {
        let Upper { source, destination, is_datagram, data } = upper;
        let key = if source <= destination { (source, destination) } else { (destination, source) };
        let (count, first) = (self.upper.len(), u64::MAX / 2);
        let connection = (!is_datagram).then(|| *self.upper.entry(key).or_insert_with(|| ConnectionId(first + count as u64)));
        let transport = if is_datagram { Transport::Udp } else { Transport::Tcp };
        let link = Link { transport, source, destination, connection };
        self.push(rank, What::Message(link, read(&data, !data.starts_with(b"MSRP "))));
    }

    fn finish(mut self) -> Talk {
        self.flows.finish();
        let flows = std::mem::take(&mut self.flows.all);
        let known: Vec<Option<Protocol>> = flows.iter().map(recognise).collect();
        for (number, (flow, protocol)) in flows.iter().zip(&known).enumerate() {
            if let Some(protocol @ (Protocol::Sip | Protocol::Msrp)) = protocol {
                self.stream(number, flow, *protocol);
            }
            self.others.tls += usize::from(*protocol == Some(Protocol::Tls));
        }
        let listeners = self.listeners(&flows, &known);
        for (number, (flow, protocol)) in flows.iter().zip(&known).enumerate() {
            match (protocol, listeners.get(&flow.acceptor)) {
                (None, Some(protocol)) => self.stream(number, flow, *protocol),
                (None, None) => self.others.foreign += usize::from(!flow.pieces.is_empty()),
                (Some(_), _) => {}
            }
        }
        self.unclear_datagrams();
        self.conclude();
        self.talk
    }

    /// Who listens for what, as far as messages tell.
    fn listeners(&self, flows: &[Flow], known: &[Option<Protocol>]) -> BTreeMap<SocketAddr, Protocol> {
        let spoken = flows.iter().zip(known).filter_map(|(flow, protocol)| Some((flow.acceptor, (*protocol)?)));
        let mut listeners: BTreeMap<SocketAddr, Protocol> = spoken.filter(|(_, protocol)| *protocol != Protocol::Tls).collect();
        for item in &self.talk.items {
            if let What::Message(_, Content::Sip(message)) = &item.what
                && let Some(address) = msrp_address(&message.body())
            {
                listeners.entry(address).or_insert(Protocol::Msrp);
            }
        }
        listeners
    }

    /// What came as a datagram to or from someone who speaks SIP, and is none.
    fn unclear_datagrams(&mut self) {
        let speakers: BTreeSet<SocketAddr> = self.talk.items.iter().filter_map(udp_ends).flatten().collect();
        for (rank, source, destination, data) in std::mem::take(&mut self.unclear) {
            let blank = data.iter().all(u8::is_ascii_whitespace);
            if speakers.contains(&destination) && !blank {
                let link = Link { transport: Transport::Udp, source, destination, connection: None };
                self.push(rank, What::Message(link, read(&data, true)));
            } else {
                self.others.foreign += usize::from(!blank);
            }
        }
    }

    fn stream(&mut self, number: usize, flow: &Flow, protocol: Protocol) {
        let connection = ConnectionId(number as u64);
        let link =
            Link { transport: Transport::Tcp, source: flow.opener, destination: flow.acceptor, connection: Some(connection) };
        if let Some(rank) = flow.opened {
            self.push(rank, What::Opened(link));
        }
        let mut tap = Tap::new(flow.opener.ip(), Vec::new());
        tap.adopt(connection, link, protocol == Protocol::Sip);
        let (mut seeking, mut last) = ([false; 2], 0);
        for (rank, forward, piece) in &flow.pieces {
            last = last.max(*rank);
            let sought = &mut seeking[usize::from(*forward)];
            match piece {
                Piece::Data(data) => {
                    let start = if *sought { start_of(data, protocol) } else { Some(0) };
                    let Some(start) = start else { continue };
                    *sought = false;
                    tap.stream(connection, *forward, &data.slice(start..), |kind| push_kind(&mut self.talk, *rank, kind));
                }
                Piece::Gap(bytes) => {
                    *sought = true;
                    tap.resync(connection, *forward);
                    let way = if *forward { link } else { back(link) };
                    self.talk.holes.push(Hole { rank: *rank, link: way, bytes: *bytes });
                }
                Piece::Middle => {
                    *sought = true;
                    self.others.middles += 1;
                }
            }
        }
        if let Some((rank, how, by_opener)) = flow.closed {
            let rank = rank.max(last);
            tap.closed(connection, how, by_opener, |kind| push_kind(&mut self.talk, rank, kind));
        }
    }

    /// Puts everything in order and says what was passed over.
    fn conclude(&mut self) {
        self.talk.items.sort_by_key(|item| item.rank);
        self.talk.holes.sort_by_key(|hole| hole.rank);
        let Others { unknown_links, cut, middles, tls, foreign } = &self.others;
        let fragments = self.fragments.unfinished();
        let links: Vec<String> = unknown_links.iter().map(u32::to_string).collect();
        let notes = [
            (!links.is_empty(), format!("packets of link type {} are not read", links.join(", "))),
            (*cut > 0, format!("{cut} packets were cut by the capture's snapshot length")),
            (fragments > 0, format!("{fragments} datagrams lack fragments")),
            (
                *middles > 0,
                format!("{middles} directions of connections are older than the capture; they are read from the first message on"),
            ),
            (*tls > 0, format!("{tls} connections are TLS: what they carry is not seen")),
            (!self.upper.is_empty(), "link type 252 has no connections: none is seen to open or to break".to_owned()),
            (self.flows.repeated > 0, format!("{} TCP segments came again", self.flows.repeated)),
            (self.flows.strange > 0, format!("{} TCP segments lie outside of every window", self.flows.strange)),
            (*foreign > 0, format!("{foreign} connections and datagrams are neither SIP nor MSRP")),
        ];
        self.talk.notes.extend(notes.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| text));
    }
}

fn push_kind(talk: &mut Talk, rank: Rank, kind: Kind) {
    let what = match kind {
        Kind::Message { link, content, .. } => What::Message(link, content),
        Kind::Closed { link, how, by_iut } => What::Closed { link, how, by_opener: by_iut },
        Kind::Opened { link } => What::Opened(link),
        Kind::Fault(_) | Kind::Note { .. } | Kind::FlowEnded => return,
    };
    talk.items.push(Item { rank, what });
}

/// The other direction.
pub(super) const fn back(link: Link) -> Link {
    Link { source: link.destination, destination: link.source, ..link }
}

fn ends_of(ends: (IpAddr, IpAddr), header: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    Some((SocketAddr::new(ends.0, u16_at(header, 0)?), SocketAddr::new(ends.1, u16_at(header, 2)?)))
}

fn udp_ends(item: &Item) -> Option<[SocketAddr; 2]> {
    match &item.what {
        What::Message(link, _) if link.transport == Transport::Udp => Some([link.source, link.destination]),
        _ => None,
    }
}

/// Where the path of an offer or answer leads.
pub(super) fn msrp_address(body: &[u8]) -> Option<SocketAddr> {
    let uri = MsrpUri::parse(paths(sdp_path(body)?).last()?).ok()?;
    Some(SocketAddr::new(uri.host.ip()?, uri.port))
}

fn read(data: &Bytes, is_sip: bool) -> Content {
    let content = if is_sip {
        sip::Message::decode(data.clone()).map(Content::Sip)
    } else {
        msrp::Chunk::decode(data.clone()).map(Content::Msrp)
    };
    content.unwrap_or_else(|fault| Content::Broken { bytes: data.clone(), fault })
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Protocol {
    Sip,
    Msrp,
    Tls,
}

/// What a connection carries: the first start of a message in it tells.
fn recognise(flow: &Flow) -> Option<Protocol> {
    let mut beginnings = [Vec::new(), Vec::new()];
    for (_, forward, piece) in &flow.pieces {
        let beginning = &mut beginnings[usize::from(*forward)];
        let Piece::Data(data) = piece else {
            beginning.clear();
            continue;
        };
        let fresh = beginning.is_empty();
        if beginning.len() < LINE {
            beginning.extend_from_slice(&data[..data.len().min(LINE)]);
        }
        if fresh && data.starts_with(&[0x16, 3]) {
            return Some(Protocol::Tls);
        }
        let found = [&beginning[..], &data[..]].into_iter().find_map(|text| {
            if begins_msrp(text) {
                return Some(Protocol::Msrp);
            }
            begins_sip(text).then_some(Protocol::Sip)
        });
        if found.is_some() {
            return found;
        }
    }
    None
}

fn begins_msrp(data: &[u8]) -> bool {
    data.starts_with(b"MSRP ")
}

fn begins_sip(data: &[u8]) -> bool {
    let blank = data.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let data = &data[blank..];
    let Some(end) = memchr::memchr2(b'\r', b'\n', &data[..data.len().min(LINE)]) else { return false };
    data.starts_with(b"SIP/2.0 ") || data[..end].ends_with(b" SIP/2.0")
}

/// Where a message starts, after bytes that are missing: at the beginning of a segment, and after
/// an end-line of MSRP. Elsewhere a start line may be part of a body.
fn start_of(data: &[u8], protocol: Protocol) -> Option<usize> {
    if protocol == Protocol::Sip {
        return begins_sip(data).then_some(0);
    }
    if begins_msrp(data) {
        return Some(0);
    }
    memchr::memmem::find_iter(data, b"\r\n-------").find_map(|at| {
        let line = at + 2 + memchr::memchr(b'\n', &data[at + 2..])? + 1;
        (line == data.len() || begins_msrp(&data[line..])).then_some(line)
    })
}
