//! A trace as pcapng.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::labels::{FAULT, Labels};
use super::packets::Packets;
use super::pcapng::Writer;
use super::{link, tag};
use crate::engine::{Closure, ConnectionId, Transport};
use crate::time::Instant;
use crate::trace::Trace;
use crate::trace::event::{Content, Event, Kind, Link};

/// What packets are made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Encapsulation {
    /// IP packets without a link layer, as they might have been caught.
    #[default]
    RawIp,
    /// Whole messages, one a packet, without connections.
    UpperPdu,
}

/// What is written beside the messages.
#[derive(Clone, Copy, Debug)]
pub struct Remarks<'a> {
    /// The verdict of the run.
    pub verdict: &'a str,
    /// By event.
    pub of: &'a BTreeMap<u32, Vec<String>>,
}

/// A trace as a pcapng file. Messages of a TLS connection are written as they were inside of it.
pub fn write(trace: &Trace, encapsulation: Encapsulation, remarks: &Remarks<'_>) -> Vec<u8> {
    let link = match encapsulation {
        Encapsulation::RawIp => link::RAW,
        Encapsulation::UpperPdu => link::UPPER_PDU,
    };
    let iut = trace.header.iut.to_string();
    let mut export = Export {
        writer: Writer::begin(&Labels::text(&trace.header, remarks.verdict), link, &iut),
        packets: Packets::default(),
        encapsulation,
        waiting: Vec::new(),
        ahead: &[],
    };
    for (at, event) in trace.events.iter().enumerate() {
        export.ahead = &trace.events[at..];
        export.event(event, remarks.of.get(&event.number).map_or(&[], Vec::as_slice));
    }
    export.writer.finish(micros(Instant::ZERO), micros(trace.ended))
}

struct Export<'a> {
    writer: Writer,
    packets: Packets,
    encapsulation: Encapsulation,
    /// Comments of things that are no packets; the next packet carries them.
    waiting: Vec<String>,
    /// This event and those to come.
    ahead: &'a [Event],
}

impl Export<'_> {
    fn event(&mut self, event: &Event, remarks: &[String]) {
        let at = micros(event.at);
        match (&event.kind, self.encapsulation) {
            (Kind::Fault(text), _) => self.waiting.push(format!("{FAULT}{text}")),
            (Kind::Message { link, content, .. }, Encapsulation::UpperPdu) => {
                let data = upper(link, content);
                self.put(at, &[data], 0, remarks);
            }
            (Kind::Message { link, sent, content }, Encapsulation::RawIp) => {
                let last = self.message(link, *sent, content);
                let made = self.packets.take();
                self.put(at, &made, last, remarks);
            }
            (Kind::Opened { link }, Encapsulation::RawIp) => {
                if let Some(connection) = link.connection.filter(|connection| !self.packets.is_open(*connection)) {
                    self.packets.open(connection, link.source, link.destination);
                }
                self.flush(at, remarks);
            }
            (Kind::Closed { link, how, by_iut }, Encapsulation::RawIp) => {
                self.close(link, *how, *by_iut);
                self.flush(at, remarks);
            }
            (Kind::Opened { .. } | Kind::Closed { .. }, Encapsulation::UpperPdu) | (Kind::Note { .. } | Kind::FlowEnded, _) => {
                self.waiting.extend_from_slice(remarks);
            }
        }
    }

    fn message(&mut self, link: &Link, sent: bool, content: &Content) -> usize {
        let bytes = content.bytes();
        let Some(connection) = link.connection else {
            return self.packets.datagram(link.source, link.destination, &bytes);
        };
        if !self.packets.is_open(connection) {
            let (opener, acceptor) = self.upcoming(connection).unwrap_or_else(|| {
                // It is older than the trace, or is gone already: then this one takes its place.
                let opened_by_sender = sent == connection.0.is_multiple_of(2);
                if opened_by_sender { (link.source, link.destination) } else { (link.destination, link.source) }
            });
            self.packets.open(connection, opener, acceptor);
        }
        self.packets.data(connection, link, &bytes)
    }

    /// The ends of a connection that is on its way up: what is sent meanwhile waits for it.
    fn upcoming(&self, connection: ConnectionId) -> Option<(SocketAddr, SocketAddr)> {
        self.ahead.iter().find_map(|event| match &event.kind {
            Kind::Opened { link } if link.connection == Some(connection) => Some(Some((link.source, link.destination))),
            Kind::Closed { link, .. } if link.connection == Some(connection) => Some(None),
            _ => None,
        })?
    }

    fn close(&mut self, link: &Link, how: Closure, by_iut: bool) {
        let Some(connection) = link.connection else { return };
        match self.packets.opener(connection) {
            Some(_) => {
                let opened_by_iut = connection.0.is_multiple_of(2);
                self.packets.close(connection, by_iut == opened_by_iut, how);
            }
            None => self.packets.refuse(link.source, link.destination),
        }
    }

    fn flush(&mut self, at: u64, remarks: &[String]) {
        let made = self.packets.take();
        self.put(at, &made, made.len().saturating_sub(1), remarks);
    }

    /// Writes packets; what is to be remarked stands at the one of number `last`, what happened
    /// before at the first.
    fn put(&mut self, at: u64, made: &[Vec<u8>], last: usize, remarks: &[String]) {
        for (number, packet) in made.iter().enumerate() {
            let before = std::mem::take(&mut self.waiting);
            let own = if number == last { remarks } else { &[] };
            self.writer.packet(at, packet, before.iter().chain(own).map(String::as_str));
        }
    }
}

/// A message under link type 252.
fn upper(link: &Link, content: &Content) -> Vec<u8> {
    let dissector = match content {
        Content::Sip(_) => "sip",
        Content::Msrp(_) => "msrp",
        Content::Broken { .. } => "data",
    };
    let mut out = Vec::new();
    put_tag(&mut out, tag::DISSECTOR, dissector.as_bytes());
    put_address(&mut out, link.source, tag::IPV4_SOURCE, tag::IPV6_SOURCE);
    put_address(&mut out, link.destination, tag::IPV4_DESTINATION, tag::IPV6_DESTINATION);
    let kind = match link.transport {
        Transport::Udp => tag::UDP,
        Transport::Tcp | Transport::Tls => tag::TCP,
    };
    put_tag(&mut out, tag::PORT_TYPE, &kind.to_be_bytes());
    put_tag(&mut out, tag::SOURCE_PORT, &u32::from(link.source.port()).to_be_bytes());
    put_tag(&mut out, tag::DESTINATION_PORT, &u32::from(link.destination.port()).to_be_bytes());
    put_tag(&mut out, tag::END, &[]);
    out.extend(content.bytes());
    out
}

fn put_address(out: &mut Vec<u8>, address: SocketAddr, four: u16, six: u16) {
    match address.ip() {
        IpAddr::V4(address) => put_tag(out, four, &address.octets()),
        IpAddr::V6(address) => put_tag(out, six, &address.octets()),
    }
}

fn put_tag(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    let length = value.len().next_multiple_of(4);
    out.extend(tag.to_be_bytes());
    out.extend(u16::try_from(length).unwrap_or_default().to_be_bytes());
    out.extend(value);
    out.resize(out.len() + length - value.len(), 0);
}

fn micros(at: Instant) -> u64 {
    u64::try_from(at.to_unix_micros()).unwrap_or_default()
}
