//! The edge of an IUT in another process, seen from the other ends of its connections.
//!
//! What an actor of ours sends to the IUT counts as received by it, and what it sends us as sent.
//! Between its edge and ours lies the network, so the order of what crosses two connections is ours
//! and not the IUT's; the judge knows (see `skew`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::engine::{Closure, ConnectionId, Input, Output, Transport};
use crate::net::NodeId;
use crate::trace::event::Kind;
use crate::trace::tap::Tap;

/// A connection of one of our nodes.
type Ours = (NodeId, ConnectionId);

/// A connection that we open and that is not up yet.
#[derive(Debug)]
struct Opening {
    transport: Transport,
    peer: SocketAddr,
    /// What goes out once it is up.
    unsent: Vec<Bytes>,
}

/// Turns what our nodes see into what happened at the edge of the IUT.
#[derive(Debug)]
pub(super) struct Mirror {
    tap: Tap,
    iut: IpAddr,
    opening: BTreeMap<Ours, Opening>,
    /// The numbers that the connections carry in the record.
    known: BTreeMap<Ours, ConnectionId>,
    /// Those whose other end is dead, although its last bytes may still be on their way to us.
    dead: BTreeSet<Ours>,
    secure: BTreeSet<SocketAddr>,
    opened_by_us: u64,
    opened_by_iut: u64,
    kinds: Vec<Kind>,
}

impl Mirror {
    pub(super) fn new(iut: IpAddr, sip_ports: &[u16]) -> Self {
        Self {
            tap: Tap::new(iut, sip_ports),
            iut,
            opening: BTreeMap::new(),
            known: BTreeMap::new(),
            dead: BTreeSet::new(),
            secure: BTreeSet::new(),
            opened_by_us: 0,
            opened_by_iut: 0,
            kinds: Vec::new(),
        }
    }

    /// How a listener of ours is spoken to.
    fn transport_at(&self, local: SocketAddr) -> Transport {
        if self.secure.contains(&local) { Transport::Tls } else { Transport::Tcp }
    }

    /// TLS is spoken at these listeners of ours.
    pub(super) fn secure(&mut self, listeners: impl IntoIterator<Item = SocketAddr>) {
        self.secure.extend(listeners);
    }

    /// The process of the IUT was killed: nothing that we send on its connections reaches anyone.
    pub(super) fn died(&mut self) {
        self.dead.extend(self.known.keys().copied());
    }

    fn is_iut(&self, address: SocketAddr) -> bool {
        address.ip() == self.iut
    }

    /// What one of our nodes is told.
    pub(super) fn input(&mut self, node: NodeId, input: &Input) -> impl Iterator<Item = Kind> {
        match input {
            Input::Datagram { local, peer, data } if self.is_iut(*peer) => {
                self.kinds.push(Tap::datagram(*peer, *local, data, true));
            }
            Input::Accepted { connection, local, peer } if self.is_iut(*peer) => {
                // Numbers as the IUT would give them: even for what it opens.
                self.opened_by_iut += 1;
                let id = ConnectionId(2 * self.opened_by_iut);
                self.known.insert((node, *connection), id);
                self.tap.connecting(id, self.transport_at(*local), *local);
                self.kinds.extend(self.tap.connected(id, *peer));
            }
            Input::Connected { connection, local } => self.up(node, *connection, *local),
            Input::Received { connection, data } => self.stream((node, *connection), true, data),
            Input::Closed { connection, how } => {
                self.opening.remove(&(node, *connection));
                // The dead close nothing, although the system may do it for them, in good order even.
                let died = self.dead.remove(&(node, *connection));
                let how = if died { Closure::Reset } else { *how };
                if let Some(id) = self.known.remove(&(node, *connection)) {
                    self.tap.closed(id, how, !died, |kind| self.kinds.push(kind));
                }
            }
            Input::Datagram { .. } | Input::Accepted { .. } | Input::Committed { .. } | Input::Timeout => {}
        }
        self.kinds.drain(..)
    }

    fn up(&mut self, node: NodeId, connection: ConnectionId, local: SocketAddr) {
        let Some(Opening { transport, peer, unsent }) = self.opening.remove(&(node, connection)) else { return };
        let id = ConnectionId(2 * self.opened_by_us + 1);
        self.opened_by_us += 1;
        self.known.insert((node, connection), id);
        let opened = self.tap.accepted_over(transport, id, peer, local);
        self.kinds.push(opened);
        for data in unsent {
            self.stream((node, connection), false, &data);
        }
    }

    fn stream(&mut self, of: Ours, by_iut: bool, data: &Bytes) {
        if let Some(id) = self.known.get(&of) {
            self.tap.stream(*id, by_iut, data, |kind| self.kinds.push(kind));
        }
    }

    /// What one of our nodes does.
    pub(super) fn output(&mut self, node: NodeId, output: &Output) -> impl Iterator<Item = Kind> {
        match output {
            Output::Datagram { local, peer, data } if self.is_iut(*peer) => {
                self.kinds.push(Tap::datagram(*peer, *local, data, false));
            }
            Output::Connect { connection, transport, peer } if self.is_iut(*peer) => {
                self.opening.insert((node, *connection), Opening { transport: *transport, peer: *peer, unsent: Vec::new() });
            }
            Output::Send { connection, .. } if self.dead.contains(&(node, *connection)) => {}
            Output::Send { connection, data } => match self.opening.get_mut(&(node, *connection)) {
                Some(opening) => opening.unsent.push(data.clone()),
                None => self.stream((node, *connection), false, data),
            },
            Output::Close { connection, how } => {
                self.opening.remove(&(node, *connection));
                if let Some(id) = self.known.remove(&(node, *connection)) {
                    self.tap.closed(id, *how, false, |kind| self.kinds.push(kind));
                }
            }
            Output::Datagram { .. } | Output::Connect { .. } | Output::Commit { .. } | Output::Note(_) => {}
        }
        self.kinds.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::event::Content;
    use crate::trace::tap::SIP_PORTS;
    use crate::wire::sip::Builder;

    const NODE: NodeId = NodeId(3);
    const LINK: ConnectionId = ConnectionId(4);

    #[test]
    fn what_we_send_before_a_connection_is_up_is_seen_when_it_is() {
        let (iut, ours) = addresses();
        let mut mirror = Mirror::new(iut.ip(), &SIP_PORTS);
        let request = Builder::request("OPTIONS", "sip:pf").push("Content-Length", "0").encode();
        let output = |output: Output, mirror: &mut Mirror| mirror.output(NODE, &output).collect::<Vec<_>>();
        assert_eq!(output(Output::Connect { connection: LINK, transport: Transport::Tls, peer: iut }, &mut mirror), []);
        assert_eq!(output(Output::Send { connection: LINK, data: request }, &mut mirror), []);
        let seen: Vec<Kind> = mirror.input(NODE, &Input::Connected { connection: LINK, local: ours }).collect();
        let Kind::Opened { link } = &seen[0] else { panic!("{:?}", seen[0]) };
        assert_eq!((link.source, link.destination, link.transport), (ours, iut, Transport::Tls));
        assert!(matches!(&seen[1], Kind::Message { sent: false, content: Content::Sip(_), .. }));
        let closed = output(Output::Close { connection: LINK, how: Closure::Finished }, &mut mirror);
        assert!(matches!(closed[..], [Kind::Closed { by_iut: false, .. }]));
    }

    #[test]
    fn what_passes_between_our_own_nodes_is_not_the_iuts() {
        let (iut, ours) = addresses();
        let mut mirror = Mirror::new(iut.ip(), &SIP_PORTS);
        let accepted = Input::Accepted { connection: ConnectionId(1), local: ours, peer: ours };
        assert_eq!(mirror.input(NODE, &accepted).count(), 0);
        let data = Bytes::from_static(b"OPTIONS");
        assert_eq!(mirror.input(NODE, &Input::Received { connection: ConnectionId(1), data }).count(), 0);
    }

    fn addresses() -> (SocketAddr, SocketAddr) {
        (SocketAddr::from(([127, 1, 0, 1], 5060)), SocketAddr::from(([127, 1, 0, 2], 40_000)))
    }
}
