//! What lies between two nodes: time on the way, loss, reordering, duplication, partitions.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::Ids;

/// A node of the simulated network, numbered in order of declaration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub u32);

/// What a link does to traffic, both ways. Probabilities are between 0 and 1.
///
/// On a stream nothing is lost for good: a lost segment comes late, as TCP would send it again.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Quality {
    /// Share of datagrams that are lost.
    pub loss: f64,
    /// Time on the way; `None`: that of the network.
    pub delay: Option<Duration>,
    /// Share of datagrams that are overtaken.
    pub reorder: f64,
    /// Share of datagrams that arrive twice.
    pub duplicate: f64,
}

/// How long TCP waits before it sends a lost segment again (RFC 6298 2.4 allows no less than a
/// second; the usual stacks take 200 ms).
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// All links of a network.
#[derive(Debug)]
pub(super) struct Links {
    delay: Duration,
    mtu: usize,
    pairs: BTreeMap<(NodeId, NodeId), Condition>,
    random: Ids,
}

#[derive(Clone, Copy, Debug, Default)]
struct Condition {
    quality: Quality,
    cut: bool,
}

/// When the copies of a datagram arrive, counted from its sending; at most two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fate {
    pub(super) first: Option<Duration>,
    pub(super) second: Option<Duration>,
}

impl Links {
    pub(super) fn new(seed: u64, delay: Duration, mtu: usize) -> Self {
        Self { delay, mtu, pairs: BTreeMap::new(), random: Ids::new(seed, "links") }
    }

    pub(super) fn set_quality(&mut self, one: NodeId, other: NodeId, quality: Quality) {
        self.pairs.entry(pair(one, other)).or_default().quality = quality;
    }

    pub(super) fn set_cut(&mut self, one: NodeId, other: NodeId, cut: bool) {
        self.pairs.entry(pair(one, other)).or_default().cut = cut;
    }

    pub(super) fn is_cut(&self, one: NodeId, other: NodeId) -> bool {
        self.pairs.get(&pair(one, other)).is_some_and(|condition| condition.cut)
    }

    /// Time on the way between two nodes.
    pub(super) fn delay(&self, one: NodeId, other: NodeId) -> Duration {
        self.pairs.get(&pair(one, other)).and_then(|condition| condition.quality.delay).unwrap_or(self.delay)
    }

    /// What becomes of a datagram of `size` bytes.
    pub(super) fn datagram(&mut self, from: NodeId, to: NodeId, size: usize) -> Fate {
        let delay = self.delay(from, to);
        let lost = Fate { first: None, second: None };
        if size > self.mtu {
            return lost;
        }
        let Some(Condition { quality, cut }) = self.pairs.get(&pair(from, to)).copied() else {
            return Fate { first: Some(delay), second: None };
        };
        if cut || self.chance(quality.loss) {
            return lost;
        }
        let late = if self.chance(quality.reorder) { self.overtaken(delay) } else { Duration::ZERO };
        let second = self.chance(quality.duplicate).then(|| delay + self.overtaken(delay));
        Fate { first: Some(delay + late), second }
    }

    /// Time on the way of one segment of a stream.
    pub(super) fn segment(&mut self, from: NodeId, to: NodeId) -> Duration {
        let delay = self.delay(from, to);
        let loss = self.pairs.get(&pair(from, to)).map_or(0.0, |condition| condition.quality.loss);
        if self.chance(loss) { delay + RETRANSMISSION } else { delay }
    }

    /// Long enough that what was sent up to two delays later arrives earlier.
    fn overtaken(&mut self, delay: Duration) -> Duration {
        let unit = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX).max(1_000);
        Duration::from_micros(unit + self.random.below(unit.saturating_mul(2)))
    }

    fn chance(&mut self, share: f64) -> bool {
        if share <= 0.0 {
            return false;
        }
        let drawn = u32::try_from(self.random.next_u64() >> 32).unwrap_or(u32::MAX);
        f64::from(drawn) < share * 4_294_967_296.0
    }
}

fn pair(one: NodeId, other: NodeId) -> (NodeId, NodeId) {
    (one.min(other), one.max(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(0);
    const B: NodeId = NodeId(1);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_untouched_link_delays_and_no_more() {
        let mut links = Links::new(1, MS, 65_507);
        assert_eq!(links.datagram(A, B, 2_000), Fate { first: Some(MS), second: None });
        assert_eq!(links.segment(B, A), MS);
    }

    #[test]
    fn a_share_of_the_datagrams_is_lost_both_ways() {
        let mut links = Links::new(1, MS, 65_507);
        links.set_quality(B, A, Quality { loss: 0.25, ..Quality::default() });
        let lost = (0..1_000).filter(|_| links.datagram(A, B, 100).first.is_none()).count();
        assert!((200..300).contains(&lost), "{lost}");
    }

    #[test]
    fn a_partition_lets_nothing_through_until_it_heals() {
        let mut links = Links::new(1, MS, 65_507);
        links.set_cut(A, B, true);
        assert_eq!(links.datagram(A, B, 1).first, None);
        links.set_cut(B, A, false);
        assert_eq!(links.datagram(A, B, 1).first, Some(MS));
    }

    #[test]
    fn a_datagram_above_the_mtu_is_lost() {
        let mut links = Links::new(1, MS, 1_500);
        assert_eq!(links.datagram(A, B, 1_501).first, None);
    }

    #[test]
    fn a_duplicate_arrives_after_the_first() {
        let mut links = Links::new(1, MS, 1_500);
        links.set_quality(A, B, Quality { duplicate: 1.0, ..Quality::default() });
        let fate = links.datagram(A, B, 1);
        assert!(fate.second > fate.first);
    }
}
