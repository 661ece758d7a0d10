//! What is inside a frame: link layers down to IP, IP down to UDP and TCP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;

use super::{link, protocol, tag};

/// What a frame carries.
#[derive(Clone, Debug)]
pub(super) enum Inside {
    /// An IP datagram or a fragment of one.
    Ip(Packet),
    /// A whole message of link type 252.
    Upper(Upper),
    /// Neither: ARP, say.
    Other,
    /// A link type that is not read.
    UnknownLink,
}

/// An IP packet.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) payload: Bytes,
    /// How many bytes of the payload were not kept.
    pub(super) lacks: usize,
    pub(super) fragment: Option<Fragment>,
}

/// Where a fragment belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment {
    pub(super) identification: u32,
    pub(super) offset: usize,
    pub(super) more: bool,
}

/// A message without packets around it.
#[derive(Clone, Debug)]
pub(super) struct Upper {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) is_datagram: bool,
    pub(super) data: Bytes,
}

/// How many headers may stand between Ethernet or IPv6 and what they carry.
const NESTED: usize = 8;

/// Looks into a frame.
pub(super) fn open(link: u32, data: &Bytes) -> Inside {
    let inside = match link {
        link::ETHERNET => ethernet(data),
        link::RAW | link::RAW_BSD | link::RAW_OPENBSD | link::IPV4 | link::IPV6 => ip(data.clone()).map(Inside::Ip),
        link::NULL | link::LOOP => data.get(4..).and_then(|_| ip(data.slice(4..))).map(Inside::Ip),
        link::SLL => u16_at(data, 14).and_then(|kind| by_type(kind, data, 16)),
        link::SLL2 => u16_at(data, 0).and_then(|kind| by_type(kind, data, 20)),
        link::UPPER_PDU => upper(data).map(Inside::Upper),
        _ => return Inside::UnknownLink,
    };
    inside.unwrap_or(Inside::Other)
}

fn ethernet(data: &Bytes) -> Option<Inside> {
    let mut at = 12;
    for _ in 0..NESTED {
        match u16_at(data, at)? {
            // A VLAN tag (IEEE 802.1Q, 802.1ad, and the older number of the latter).
            0x8100 | 0x88a8 | 0x9100 => at += 4,
            kind => return by_type(kind, data, at + 2),
        }
    }
    None
}

fn by_type(kind: u16, data: &Bytes, at: usize) -> Option<Inside> {
    match kind {
        0x0800 | 0x86dd => ip(from(data, at)?).map(Inside::Ip),
        // A tag inside of Linux cooked capture.
        0x8100 | 0x88a8 => match u16_at(data, at + 2)? {
            0x0800 | 0x86dd => ip(from(data, at + 4)?).map(Inside::Ip),
            _ => None,
        },
        _ => None,
    }
}

/// An IP packet, of whichever version its first byte says.
fn ip(data: Bytes) -> Option<Packet> {
    match data.first()? >> 4 {
        4 => ipv4(data),
        6 => ipv6(data),
        _ => None,
    }
}

fn ipv4(data: Bytes) -> Option<Packet> {
    let header = usize::from(data[0] & 0x0f) * 4;
    let total = usize::from(u16_at(&data, 2)?);
    if header < 20 || data.len() < header {
        return None;
    }
    // A sender that leaves segmentation to its card writes no length.
    let total = if total == 0 { data.len() } else { total };
    let field = u16_at(&data, 6)?;
    let (offset, more) = (usize::from(field & 0x1fff) * 8, field & 0x2000 != 0);
    let identification = u32::from(u16_at(&data, 4)?);
    let protocol = data[9];
    let source = Ipv4Addr::from(*data.get(12..)?.first_chunk::<4>()?);
    let destination = Ipv4Addr::from(*data.get(16..)?.first_chunk::<4>()?);
    let length = total.checked_sub(header)?;
    Some(Packet {
        source: source.into(),
        destination: destination.into(),
        protocol,
        payload: kept(&data, header, length),
        lacks: (header + length).saturating_sub(data.len()),
        fragment: (more || offset > 0).then_some(Fragment { identification, offset, more }),
    })
}

fn ipv6(data: Bytes) -> Option<Packet> {
    let length = usize::from(u16_at(&data, 4)?);
    let source = Ipv6Addr::from(*data.get(8..)?.first_chunk::<16>()?);
    let destination = Ipv6Addr::from(*data.get(24..)?.first_chunk::<16>()?);
    let end = if length == 0 { data.len() } else { 40 + length };
    let (mut next, mut at, mut fragment) = (data[6], 40, None);
    for _ in 0..NESTED {
        match next {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION => {
                let length = (usize::from(*data.get(at + 1)?) + 1) * 8;
                next = *data.get(at)?;
                at += length;
            }
            protocol::AUTHENTICATION => {
                let length = (usize::from(*data.get(at + 1)?) + 2) * 4;
                next = *data.get(at)?;
                at += length;
            }
            protocol::FRAGMENT => {
                let field = u16_at(&data, at + 2)?;
                let identification = u32::from_be_bytes(*data.get(at + 4..)?.first_chunk::<4>()?);
                fragment = Some(Fragment { identification, offset: usize::from(field & 0xfff8), more: field & 1 != 0 });
                next = *data.get(at)?;
                at += 8;
                // What follows the header of a later fragment is data.
                break;
            }
            _ => break,
        }
    }
    let length = end.checked_sub(at)?;
    let payload = kept(&data, at, length);
    Some(Packet {
        source: source.into(),
        destination: destination.into(),
        protocol: next,
        lacks: length - payload.len(),
        payload,
        // One that is whole all the same (RFC 6946).
        fragment: fragment.filter(|fragment| fragment.more || fragment.offset > 0),
    })
}

fn upper(data: &Bytes) -> Option<Upper> {
    let (mut at, mut dissector) = (0, Bytes::new());
    let (mut source, mut destination) = (None, None);
    let (mut ports, mut kind) = ([0_u16; 2], tag::TCP);
    loop {
        let (tag, length) = (u16_at(data, at)?, usize::from(u16_at(data, at + 2)?));
        let value = from(data, at + 4).filter(|rest| rest.len() >= length)?.slice(..length);
        at += 4 + length;
        let number = value.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes));
        match tag {
            tag::END => break,
            tag::DISSECTOR => dissector = value,
            tag::IPV4_SOURCE => source = value.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
            tag::IPV4_DESTINATION => destination = value.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
            tag::IPV6_SOURCE => source = value.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes)),
            tag::IPV6_DESTINATION => destination = value.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes)),
            tag::PORT_TYPE => kind = number?,
            tag::SOURCE_PORT => ports[0] = u16::try_from(number?).ok()?,
            tag::DESTINATION_PORT => ports[1] = u16::try_from(number?).ok()?,
            _ => {}
        }
    }
    let data = from(data, at)?;
    let is_read = [&b"sip"[..], b"msrp", b"data"].iter().any(|name| dissector.starts_with(name));
    is_read.then_some(Upper {
        source: SocketAddr::new(source?, ports[0]),
        destination: SocketAddr::new(destination?, ports[1]),
        is_datagram: kind == tag::UDP,
        data,
    })
}

/// As much of a part as there is.
fn kept(data: &Bytes, at: usize, length: usize) -> Bytes {
    let at = at.min(data.len());
    data.slice(at..at.saturating_add(length).min(data.len()))
}

fn from(data: &Bytes, at: usize) -> Option<Bytes> {
    (at <= data.len()).then(|| data.slice(at..))
}

pub(super) fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    data.get(at..)?.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes))
}

pub(super) fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}
