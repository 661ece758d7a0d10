//! Puts TCP segments into the order of their bytes (RFC 9293): what comes late waits, what comes
//! again is left out, what never comes is a gap.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;

use super::flag;
use crate::engine::Closure;

/// What one direction may hold back before a gap counts as lost.
const HELD_BYTES: usize = 4 << 20;
const HELD_SEGMENTS: usize = 512;
/// A jump of the sequence number that no window allows (RFC 7323 2.3).
const WINDOW: u32 = 1 << 30;

/// The place of a packet among all, by time.
pub(super) type Rank = usize;

/// A TCP segment.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) sequence: u32,
    pub(super) acknowledged: u32,
    pub(super) flags: u8,
    pub(super) data: Bytes,
    /// Bytes that were sent and not kept.
    pub(super) lacks: usize,
}

/// What a direction of a connection brought, in order.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// These bytes.
    Data(Bytes),
    /// The capture lacks this many bytes.
    Gap(u64),
    /// The capture begins in the middle of the connection.
    Middle,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) opener: SocketAddr,
    pub(super) acceptor: SocketAddr,
    /// When it came up, where that was seen.
    pub(super) opened: Option<Rank>,
    /// When and how it ended, and whether by its opener.
    pub(super) closed: Option<(Rank, Closure, bool)>,
    /// What passed, whether from the opener, and when.
    pub(super) pieces: Vec<(Rank, bool, Piece)>,
    /// Whether a SYN was seen, and whether one was answered.
    synchronised: bool,
    answered: bool,
    ways: [Way; 2],
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    /// The sequence number of the next byte; unknown before the first segment.
    next: Option<u32>,
    /// Bytes after a hole, by distance from `next` when nothing was delivered: a running count.
    held: BTreeMap<u64, (Rank, Bytes)>,
    held_bytes: usize,
    /// How many bytes were delivered or skipped.
    count: u64,
    /// When the last byte was delivered.
    rank: Rank,
    /// The farthest byte that the other end says it has.
    acknowledged: Option<u32>,
    /// Whether a FIN was seen, which counts as a byte.
    finished: bool,
}

/// All connections of a capture.
#[derive(Debug, Default)]
pub(super) struct Flows {
    pub(super) all: Vec<Flow>,
    /// The latest connection between two ends, the smaller address first.
    current: BTreeMap<(SocketAddr, SocketAddr), usize>,
    /// Segments that came again, and how many that no window allows.
    pub(super) repeated: usize,
    pub(super) strange: usize,
}

impl Flows {
    /// Takes a segment.
    pub(super) fn take(&mut self, rank: Rank, segment: Segment) {
        let Segment { source, destination, .. } = segment;
        let key = if source <= destination { (source, destination) } else { (destination, source) };
        let opens = segment.flags & (flag::SYN | flag::ACK) == flag::SYN;
        let known = self.current.get(&key).copied().filter(|at| {
            let flow = &self.all[*at];
            // The ports of an ended connection may be used again.
            !opens || (flow.closed.is_none() && flow.is_repeated_syn(&segment))
        });
        let at = match known {
            Some(at) => at,
            // The last words of a connection that is over, or was never seen.
            None if segment.data.is_empty() && !opens => return,
            None => {
                self.all.push(Flow::begin(&segment));
                self.current.insert(key, self.all.len() - 1);
                self.all.len() - 1
            }
        };
        let outcome = self.all[at].take(rank, segment);
        self.repeated += usize::from(outcome == Taken::Repeated);
        self.strange += usize::from(outcome == Taken::Strange);
    }

    /// Nothing more comes: what is held back stands after a gap.
    pub(super) fn finish(&mut self) {
        for flow in &mut self.all {
            flow.give_up();
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    New,
    Repeated,
    Strange,
}

impl Flow {
    fn begin(first: &Segment) -> Self {
        // Without a SYN the well-known or smaller port is taken for the one that was connected to.
        let from_opener = match first.flags & (flag::SYN | flag::ACK) {
            flag::SYN => true,
            both if both == flag::SYN | flag::ACK => false,
            _ => is_listener(first.destination) || (!is_listener(first.source) && first.source.port() > first.destination.port()),
        };
        let (opener, acceptor) = if from_opener { (first.source, first.destination) } else { (first.destination, first.source) };
        Self {
            opener,
            acceptor,
            opened: None,
            closed: None,
            pieces: Vec::new(),
            synchronised: false,
            answered: false,
            ways: Default::default(),
        }
    }

    /// Whether a SYN is of this connection: it came again, or late.
    fn is_repeated_syn(&self, segment: &Segment) -> bool {
        segment.source == self.opener && self.ways[0].first().is_none_or(|first| first == segment.sequence.wrapping_add(1))
    }

    fn take(&mut self, rank: Rank, segment: Segment) -> Taken {
        let forward = segment.source == self.opener;
        if segment.flags & flag::SYN != 0 {
            return self.synchronise(rank, forward, &segment);
        }
        if segment.flags & flag::ACK != 0 {
            self.ways[usize::from(forward)].note_acknowledged(segment.acknowledged);
        }
        self.ways[usize::from(!forward)].finished |= segment.flags & flag::FIN != 0;
        let taken = self.put(rank, forward, &segment);
        if segment.flags & flag::RST != 0 {
            let refused = self.synchronised && !self.answered && self.pieces.is_empty();
            self.end(rank, if refused { Closure::Refused } else { Closure::Reset }, forward);
        } else if self.synchronised {
            // The answer to the SYN may have been missed.
            self.opened.get_or_insert(rank);
        }
        if segment.flags & (flag::FIN | flag::RST) == flag::FIN {
            self.end(rank, Closure::Finished, forward);
        }
        taken
    }

    fn synchronise(&mut self, rank: Rank, forward: bool, segment: &Segment) -> Taken {
        self.synchronised = true;
        let way = &mut self.ways[usize::from(!forward)];
        if let Some(first) = way.first() {
            if first == segment.sequence.wrapping_add(1) {
                // It was overtaken: what came before it was no middle.
                self.pieces.retain(|(_, way, piece)| *way != forward || !matches!(piece, Piece::Middle));
            }
            return Taken::Repeated;
        }
        way.next = Some(segment.sequence.wrapping_add(1));
        way.rank = rank;
        if segment.flags & flag::ACK != 0 {
            self.answered = true;
            self.opened.get_or_insert(rank);
        }
        Taken::New
    }

    /// Files the bytes of a segment.
    fn put(&mut self, rank: Rank, forward: bool, segment: &Segment) -> Taken {
        if segment.data.is_empty() && segment.lacks == 0 {
            return Taken::New;
        }
        let way = &mut self.ways[usize::from(!forward)];
        let next = *way.next.get_or_insert_with(|| {
            self.pieces.push((rank, forward, Piece::Middle));
            segment.sequence
        });
        let ahead = segment.sequence.wrapping_sub(next);
        let behind = next.wrapping_sub(segment.sequence);
        let (place, data) = if ahead < WINDOW {
            (way.count + u64::from(ahead), segment.data.clone())
        } else if behind < WINDOW {
            let known = usize::try_from(behind).unwrap_or(usize::MAX);
            if known >= segment.data.len() {
                return Taken::Repeated;
            }
            (way.count, segment.data.slice(known..))
        } else {
            return Taken::Strange;
        };
        way.hold(place, rank, data);
        self.deliver(forward);
        let way = &self.ways[usize::from(!forward)];
        if way.held_bytes > HELD_BYTES || way.held.len() > HELD_SEGMENTS {
            self.skip(forward);
        }
        Taken::New
    }

    /// Hands on what has become contiguous.
    fn deliver(&mut self, forward: bool) {
        let way = &mut self.ways[usize::from(!forward)];
        while let Some((place, (rank, data))) = way.held.pop_first() {
            if place > way.count {
                way.held.insert(place, (rank, data));
                return;
            }
            way.held_bytes -= data.len();
            let known = usize::try_from(way.count - place).unwrap_or(usize::MAX).min(data.len());
            let data = data.slice(known..);
            if data.is_empty() {
                continue;
            }
            way.rank = way.rank.max(rank);
            way.advance(data.len() as u64);
            self.pieces.push((way.rank, forward, Piece::Data(data)));
        }
    }

    /// Gives up on the bytes before what is held.
    fn skip(&mut self, forward: bool) {
        let way = &mut self.ways[usize::from(!forward)];
        let Some((place, (rank, _))) = way.held.first_key_value().map(|(place, held)| (*place, held.clone())) else { return };
        let gap = place - way.count;
        way.advance(gap);
        // They may have been sent at any time since the last byte that was caught.
        self.pieces.push((way.rank, forward, Piece::Gap(gap)));
        way.rank = way.rank.max(rank);
        self.deliver(forward);
    }

    fn give_up(&mut self) {
        for forward in [true, false] {
            while !self.ways[usize::from(!forward)].held.is_empty() {
                self.skip(forward);
            }
            let way = &self.ways[usize::from(!forward)];
            if let Some(missing) = way.missed() {
                self.pieces.push((way.rank, forward, Piece::Gap(missing)));
            }
        }
    }

    fn end(&mut self, rank: Rank, how: Closure, by_opener: bool) {
        if self.closed.is_none() {
            self.closed = Some((rank, how, by_opener));
        }
    }
}

impl Way {
    /// The sequence number of its first byte.
    fn first(&self) -> Option<u32> {
        #[expect(clippy::cast_possible_truncation, reason = "sequence numbers are counted modulo 2^32")]
        self.next.map(|next| next.wrapping_sub(self.count as u32))
    }

    fn note_acknowledged(&mut self, acknowledged: u32) {
        let ahead = acknowledged.wrapping_sub(self.acknowledged.unwrap_or(acknowledged));
        if self.acknowledged.is_none() || (ahead > 0 && ahead < WINDOW) {
            self.acknowledged = Some(acknowledged);
        }
    }

    /// How many bytes at the end the other side has and the capture lacks.
    fn missed(&self) -> Option<u64> {
        let ahead = self.acknowledged?.wrapping_sub(self.next?);
        let missing = u64::from(ahead).saturating_sub(u64::from(self.finished));
        (ahead < WINDOW && missing > 0).then_some(missing)
    }

    fn hold(&mut self, place: u64, rank: Rank, data: Bytes) {
        let known = self.held.get(&place).map_or(0, |(_, known)| known.len());
        if data.len() > known {
            self.held_bytes += data.len() - known;
            self.held.insert(place, (rank, data));
        }
    }

    fn advance(&mut self, by: u64) {
        self.count += by;
        #[expect(clippy::cast_possible_truncation, reason = "sequence numbers are counted modulo 2^32")]
        let by = by as u32;
        self.next = self.next.map(|next| next.wrapping_add(by));
    }
}

const fn is_listener(address: SocketAddr) -> bool {
    matches!(address.port(), 5060 | 5061 | 2855)
}
