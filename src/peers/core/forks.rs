//! The response contexts of forked INVITEs (RFC 3261 16.7).

use std::collections::{BTreeMap, VecDeque};

use crate::endpoint::transport::{Hop, Source};
use crate::wire::sip::{Builder, Message, Name};

/// How many contexts are kept; the oldest give way.
const LIMIT: usize = 1_000;

/// One INVITE that went to several devices.
#[derive(Debug)]
pub(super) struct Fork {
    /// The INVITE as it came.
    pub(super) request: Message,
    /// Where it came from.
    pub(super) source: Source,
    pub(super) branches: Vec<Branch>,
    /// Whether the final response went back: a 2xx, or the best of the others.
    pub(super) answered: bool,
}

/// The INVITE on its way to one device.
#[derive(Debug)]
pub(super) struct Branch {
    /// The beginning of the branch parameter of our Via.
    pub(super) key: String,
    /// The INVITE as it was forwarded.
    pub(super) sent: Message,
    pub(super) hop: Hop,
    /// Its latest response.
    pub(super) response: Option<Message>,
    pub(super) cancelled: bool,
}

impl Branch {
    pub(super) fn status(&self) -> u16 {
        self.response.as_ref().and_then(Message::status).unwrap_or(0)
    }

    /// A request of the same transaction: CANCEL (RFC 3261 9.1), or the ACK to a refusal
    /// (17.1.1.3), which takes To from the response.
    pub(super) fn hop_by_hop(&self, method: &str, to: Option<&str>) -> Builder {
        let sent = &self.sent;
        let via = sent.elements(Name::Via).next();
        let number = sent.cseq().map_or(1, |cseq| cseq.number);
        let request = Builder::request(method, sent.request_uri().unwrap_or("")).push_some("Via", via).push("Max-Forwards", 70);
        sent.values(Name::Route)
            .fold(request, |request, route| request.push("Route", route))
            .push_some("From", sent.value(Name::From))
            .push_some("To", to.or(sent.value(Name::To)))
            .push_some("Call-ID", sent.call_id())
            .push("CSeq", format!("{number} {method}"))
    }
}

impl Fork {
    /// Whether every device has answered finally.
    pub(super) fn is_over(&self) -> bool {
        self.branches.iter().all(|branch| branch.status() >= 200)
    }

    /// The best response when nobody accepted: a 6xx, else one of the lowest class, in which those
    /// that ask for something come first (RFC 3261 16.7 step 6).
    pub(super) fn best(&self) -> Option<&Message> {
        let rank = |status: u16| match status {
            600.. => (0, 0),
            401 | 407 | 415 | 420 | 484 => (status / 100, 0),
            487 => (status / 100, 2),
            _ => (status / 100, 1),
        };
        self.branches
            .iter()
            .filter_map(|branch| branch.response.as_ref())
            .min_by_key(|response| rank(response.status().unwrap_or(0)))
    }
}

/// All contexts, by the branch with which their INVITE came.
#[derive(Debug, Default)]
pub(super) struct Forks {
    forks: BTreeMap<String, Fork>,
    order: VecDeque<String>,
    /// From the branch of a forwarded INVITE to the one with which it came.
    upstream: BTreeMap<String, String>,
}

impl Forks {
    pub(super) fn insert(&mut self, key: String, fork: Fork) {
        if self.order.len() >= LIMIT {
            self.forget_oldest();
        }
        for branch in &fork.branches {
            self.upstream.insert(branch.key.clone(), key.clone());
        }
        self.order.push_back(key.clone());
        self.forks.insert(key, fork);
    }

    fn forget_oldest(&mut self) {
        let Some(fork) = self.order.pop_front().and_then(|key| self.forks.remove(&key)) else { return };
        for branch in fork.branches {
            self.upstream.remove(&branch.key);
        }
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Fork> {
        self.forks.get_mut(key)
    }

    /// The context of a response by the branch of our Via, and which device it came from.
    pub(super) fn of_response(&mut self, branch: &str) -> Option<(&mut Fork, usize)> {
        let (key, upstream) = self.upstream.range(..=branch.to_owned()).next_back()?;
        let (key, upstream) = branch.starts_with(key.as_str()).then(|| (key.clone(), upstream.clone()))?;
        let fork = self.forks.get_mut(&upstream)?;
        let at = fork.branches.iter().position(|branch| branch.key == key)?;
        Some((fork, at))
    }
}
