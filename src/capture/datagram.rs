//! Puts fragments of IP datagrams together (RFC 791 3.2, RFC 8200 4.5).

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use bytes::{Bytes, BytesMut};

use super::frame::Packet;

/// How many datagrams may be unfinished at a time.
const OPEN: usize = 1024;
/// The longest datagram, and the most pieces of one.
const LONGEST: usize = 65_535;
const PIECES: usize = 8192;

type Key = (IpAddr, IpAddr, u8, u32);

/// The fragments whose datagrams are not whole yet.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    open: BTreeMap<Key, Partial>,
    /// The oldest first.
    order: VecDeque<Key>,
    /// How many datagrams never became whole.
    pub(super) lost: usize,
}

#[derive(Debug, Default)]
struct Partial {
    pieces: BTreeMap<usize, Bytes>,
    total: Option<usize>,
}

impl Fragments {
    /// Takes a packet; returns the datagram that it is, or completes.
    pub(super) fn whole(&mut self, packet: Packet) -> Option<Packet> {
        let Some(fragment) = packet.fragment else { return Some(packet) };
        let key = (packet.source, packet.destination, packet.protocol, fragment.identification);
        if !self.open.contains_key(&key) {
            self.make_room();
            self.order.push_back(key);
        }
        let partial = self.open.entry(key).or_default();
        let end = fragment.offset + packet.payload.len();
        if end > LONGEST || packet.lacks > 0 || partial.pieces.len() >= PIECES {
            return None;
        }
        if !fragment.more {
            partial.total = Some(end);
        }
        // What came first stays: a repetition has nothing new.
        partial.pieces.entry(fragment.offset).or_insert_with(|| packet.payload.clone());
        let payload = partial.joined()?;
        self.open.remove(&key);
        self.order.retain(|known| *known != key);
        Some(Packet { payload, fragment: None, ..packet })
    }

    fn make_room(&mut self) {
        if self.order.len() >= OPEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.open.remove(&oldest);
            self.lost += 1;
        }
    }

    /// How many datagrams did not become whole, now that nothing more comes.
    pub(super) fn unfinished(&self) -> usize {
        self.lost + self.open.len()
    }
}

impl Partial {
    fn joined(&self) -> Option<Bytes> {
        let total = self.total?;
        let mut body = BytesMut::with_capacity(total);
        for (offset, piece) in &self.pieces {
            let known = body.len().checked_sub(*offset)?;
            body.extend_from_slice(piece.get(known..).unwrap_or_default());
        }
        (body.len() == total).then(|| body.freeze())
    }
}
