//! The SIP transport layer (RFC 3261 18): datagrams, connections, Via and next hops.
//!
//! It knows no transaction. A proxy uses it alone: [`TransportLayer::forward_request`] pushes a Via,
//! [`TransportLayer::forward_response`] pops one.

mod address;
mod faults;
mod proxy;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;

use crate::engine::{Closure, ConnectionId, Input, Note, Output, Standing, Transport};
use crate::time::Instant;
use crate::wire::sip::header::{self, NameAddr};
use crate::wire::sip::{Builder, Framer, Host, Message, Name, Scheme, Uri};

use super::Config;
use address::default_port;
use faults::{fault_of, salvage};
use proxy::hash;

pub(super) use address::bracketed;
pub use address::{Hop, Source, WayBack};
pub(super) use faults::with_to_tag;

/// The largest request that is sent as a datagram (RFC 3261 18.1.1).
const DATAGRAM_LIMIT: usize = 1300;

/// What came in by the transport layer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// A well-framed request or response with its mandatory fields.
    Message {
        /// The message.
        message: Message,
        /// Where it came from.
        source: Source,
    },
    /// A connection broke or could not be opened; what was sent to `hop` may be lost.
    Broken {
        /// The peer.
        hop: Hop,
        /// How it ended.
        how: Closure,
    },
}

#[derive(Debug)]
struct Link {
    hop: Hop,
    local: SocketAddr,
    framer: Framer,
    /// How many whole messages came.
    messages: u64,
    /// Whether the peer opened it.
    accepted: bool,
}

impl Link {
    fn source(&self, connection: ConnectionId) -> Source {
        Source { transport: self.hop.transport, local: self.local, peer: self.hop.peer, connection: Some(connection) }
    }
}

/// The transport layer of one node.
#[derive(Debug)]
pub struct TransportLayer {
    config: Config,
    /// Host and port in our Via.
    sent_by: String,
    /// The same for TLS.
    secure_sent_by: String,
    links: BTreeMap<ConnectionId, Link>,
    by_hop: BTreeMap<Hop, ConnectionId>,
    next_connection: u64,
    arrivals: VecDeque<Arrival>,
    outputs: VecDeque<Output>,
}

/// Host and port of a Via. A node that does not listen there, as one with TLS alone, has no port to
/// name: over a stream the answer comes back on the connection of its request.
fn sent_by(host: &str, port: u16) -> String {
    let host = bracketed(host);
    if port == 0 { host.into_owned() } else { format!("{host}:{port}") }
}

impl TransportLayer {
    /// The transport layer of a node without connections.
    pub fn new(config: Config) -> Self {
        Self {
            sent_by: sent_by(&config.host, config.sip.port()),
            secure_sent_by: sent_by(&config.host, config.sips.port()),
            config,
            links: BTreeMap::new(),
            by_hop: BTreeMap::new(),
            next_connection: 0,
            arrivals: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// What it was made of.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Applies one input; inputs that are not for SIP come back.
    pub fn handle(&mut self, _now: Instant, input: Input) -> Option<Input> {
        match input {
            Input::Datagram { local, peer, data } if local.port() == self.config.sip.port() => self.on_datagram(local, peer, data),
            Input::Accepted { connection, local, peer }
                if [self.config.sip.port(), self.config.sips.port()].contains(&local.port()) =>
            {
                self.on_accepted(connection, local, peer);
            }
            Input::Connected { connection, local } if self.links.contains_key(&connection) => {
                self.links.entry(connection).and_modify(|link| link.local = local);
            }
            Input::Received { connection, data } if self.links.contains_key(&connection) => self.on_received(connection, &data),
            Input::Closed { connection, how } if self.links.contains_key(&connection) => self.on_closed(connection, how),
            other => return Some(other),
        }
        None
    }

    /// The next message or broken connection.
    pub fn poll_arrival(&mut self) -> Option<Arrival> {
        self.arrivals.pop_front()
    }

    /// The next effect for the driver.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Puts an effect of another layer in line, so that effects keep their order.
    pub fn push_output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Leaves a remark for the trace.
    pub fn note(&mut self, layer: &'static str, text: impl Into<std::borrow::Cow<'static, str>>) {
        self.outputs.push_back(Output::Note(Note { layer, text: text.into(), because: None }));
    }

    /// What a connection is to this layer; `None` if it is not its own.
    pub fn standing(&self, connection: ConnectionId) -> Option<Standing> {
        let link = self.links.get(&connection)?;
        let silent = link.accepted && link.messages == 0;
        let unfinished = silent || !link.framer.unfinished().is_empty();
        Some(if unfinished { Standing::Unfinished { messages: link.messages } } else { Standing::Idle })
    }

    /// A number for a connection that this node opens. Those for MSRP leave remainder 2 by four.
    fn allocate_connection(&mut self) -> ConnectionId {
        self.next_connection += 4;
        ConnectionId(self.next_connection)
    }
}

/// Coming in.
impl TransportLayer {
    fn on_datagram(&mut self, local: SocketAddr, peer: SocketAddr, data: Bytes) {
        let source = Source { transport: Transport::Udp, local, peer, connection: None };
        match Message::decode(data.clone()) {
            Ok(message) => self.on_message(message, source),
            Err(fault) => {
                self.note("transport", format!("datagram from {peer} is no SIP message: {fault}"));
                if let Some(request) = salvage(&data) {
                    self.refuse(&request, 400, &source);
                }
            }
        }
    }

    fn on_accepted(&mut self, connection: ConnectionId, local: SocketAddr, peer: SocketAddr) {
        if self.links.len() >= self.config.limits.connections {
            self.note("transport", format!("connection from {peer} refused: the limit of connections is reached"));
            self.outputs.push_back(Output::Close { connection, how: Closure::Reset });
            return;
        }
        let secure = local.port() == self.config.sips.port();
        let transport = if secure { Transport::Tls } else { Transport::Tcp };
        self.add_link(connection, Hop { transport, peer }, local, true);
    }

    fn add_link(&mut self, connection: ConnectionId, hop: Hop, local: SocketAddr, accepted: bool) {
        let framer = Framer::new(self.config.limits.framer);
        self.links.insert(connection, Link { hop, local, framer, messages: 0, accepted });
        self.by_hop.insert(hop, connection);
    }

    fn on_received(&mut self, connection: ConnectionId, data: &Bytes) {
        let Some(link) = self.links.get_mut(&connection) else { return };
        if let Some(message) = link.framer.whole(data) {
            link.messages += 1;
            let source = link.source(connection);
            return self.on_message(message, source);
        }
        link.framer.feed(data);
        loop {
            let Some(link) = self.links.get_mut(&connection) else { return };
            let source = link.source(connection);
            match link.framer.next_message() {
                Ok(Some(message)) => {
                    link.messages += 1;
                    self.on_message(message, source);
                }
                Ok(None) => return,
                Err(fault) => {
                    self.note("transport", format!("connection to {} cannot be framed any more: {fault}", source.peer));
                    self.outputs.push_back(Output::Close { connection, how: Closure::Finished });
                    self.on_closed(connection, Closure::Finished);
                    return;
                }
            }
        }
    }

    fn on_closed(&mut self, connection: ConnectionId, how: Closure) {
        let Some(link) = self.links.remove(&connection) else { return };
        if self.by_hop.get(&link.hop) == Some(&connection) {
            self.by_hop.remove(&link.hop);
        }
        if !link.framer.unfinished().is_empty() {
            self.note("transport", format!("connection to {} ended inside a message", link.hop.peer));
        }
        self.arrivals.push_back(Arrival::Broken { hop: link.hop, how });
    }

    fn on_message(&mut self, message: Message, source: Source) {
        match (fault_of(&message), message.is_request()) {
            (None, _) => self.arrivals.push_back(Arrival::Message { message, source }),
            (Some((status, why)), true) => {
                self.note("transport", format!("request from {} refused with {status}: {why}", source.peer));
                self.refuse(&message, status, &source);
            }
            (Some((_, why)), false) => self.note("transport", format!("response from {} dropped: {why}", source.peer)),
        }
    }

    /// Answers a request that no layer above can read; never an ACK (RFC 3261 17.2.1).
    fn refuse(&mut self, request: &Message, status: u16, source: &Source) {
        if request.via().is_ok() && request.method_token() != Some("ACK") {
            let tag = format!("{:x}", hash(request.via().ok().and_then(|via| via.branch())));
            let response = with_to_tag(Builder::response_to(request, status), &tag);
            let way = source.way_back(request, &self.config.hosts);
            let bytes = source.stamp(response).encode();
            self.send_back(&way, bytes);
        }
    }
}

/// Going out.
impl TransportLayer {
    /// The next hop of a request: its first Route, else its Request-URI (RFC 3261 8.1.2).
    pub fn next_hop(&self, request: &Builder) -> Option<Hop> {
        if let Some(route) = request.value(Name::Route).and_then(|value| header::list(value).next()) {
            return self.resolve(&NameAddr::parse(route).ok()?.uri);
        }
        let uri = request.start().split(' ').nth(1)?;
        self.resolve(&Uri::parse(uri).ok()?)
    }

    /// The address and transport of a URI, after RFC 3263 with the host table for DNS.
    pub fn resolve(&self, uri: &Uri<'_>) -> Option<Hop> {
        let transport = match uri.params.get("transport") {
            _ if uri.scheme == Scheme::Sips => Transport::Tls,
            Some(token) if token.eq_ignore_ascii_case("udp") => Transport::Udp,
            Some(token) if token.eq_ignore_ascii_case("tcp") => Transport::Tcp,
            Some(token) if token.eq_ignore_ascii_case("tls") => Transport::Tls,
            // Who names the port of plain SIP does not speak TLS there.
            Some(_) | None if self.config.transport == Transport::Tls && uri.port == Some(5060) => Transport::Tcp,
            Some(_) | None => self.config.transport,
        };
        let host = uri.params.get("maddr").map(Host).or(uri.host)?;
        let port = uri.port.or_else(|| self.config.hosts.port(host)).unwrap_or(default_port(transport));
        Some(Hop { transport, peer: SocketAddr::new(self.config.hosts.resolve(host)?, port) })
    }

    /// A Via of this node, in parts.
    pub fn via<'a>(&'a self, transport: Transport, branch: &'a str) -> [&'a str; 6] {
        let sent_by = match transport {
            Transport::Udp | Transport::Tcp => &self.sent_by,
            Transport::Tls => &self.secure_sent_by,
        };
        ["SIP/2.0/", transport.token(), " ", sent_by, ";branch=", branch]
    }

    /// Finds the next hop of a request and pushes our Via for it.
    pub fn route(&self, request: Builder, branch: &str) -> Option<(Builder, Hop)> {
        let hop = self.next_hop(&request)?;
        Some(self.push_via(request, hop, branch))
    }

    /// Pushes our Via for a hop. A request too large for a datagram goes by TCP, and its Via says so
    /// (RFC 3261 18.1.1).
    pub fn push_via(&self, request: Builder, hop: Hop, branch: &str) -> (Builder, Hop) {
        self.within_datagram(request.push_first(Name::Via, self.via(hop.transport, branch)), hop, branch)
    }

    /// As [`TransportLayer::push_via`], in place of the Via on top.
    pub fn replace_via(&self, request: Builder, hop: Hop, branch: &str) -> (Builder, Hop) {
        self.within_datagram(request.set_first(Name::Via, Some(self.via(hop.transport, branch))), hop, branch)
    }

    fn within_datagram(&self, routed: Builder, mut hop: Hop, branch: &str) -> (Builder, Hop) {
        if hop.transport == Transport::Udp && routed.encoded_len() > DATAGRAM_LIMIT {
            hop.transport = Transport::Tcp;
            return (routed.set_first(Name::Via, Some(self.via(hop.transport, branch))), hop);
        }
        (routed, hop)
    }

    /// Sends bytes to a hop, by an open connection or a new one.
    pub fn send(&mut self, hop: Hop, data: Bytes) {
        let connection = match (hop.transport, self.by_hop.get(&hop)) {
            (Transport::Udp, _) => {
                self.outputs.push_back(Output::Datagram { local: self.config.sip, peer: hop.peer, data });
                return;
            }
            (Transport::Tcp | Transport::Tls, Some(open)) => *open,
            (Transport::Tcp | Transport::Tls, None) => self.connect(hop),
        };
        self.outputs.push_back(Output::Send { connection, data });
    }

    fn connect(&mut self, hop: Hop) -> ConnectionId {
        let connection = self.allocate_connection();
        self.add_link(connection, hop, self.config.sip, false);
        self.outputs.push_back(Output::Connect { connection, transport: hop.transport, peer: hop.peer });
        connection
    }

    /// Sends bytes on an open connection; returns whether it is one.
    pub fn send_on(&mut self, connection: ConnectionId, data: Bytes) -> bool {
        let open = self.links.contains_key(&connection);
        if open {
            self.outputs.push_back(Output::Send { connection, data });
        }
        open
    }

    /// Sends the bytes of a response back where its request came from.
    pub fn send_back(&mut self, way: &WayBack, data: Bytes) {
        match way.connection.filter(|connection| self.links.contains_key(connection)) {
            Some(connection) => self.outputs.push_back(Output::Send { connection, data }),
            None if way.hop.transport == Transport::Udp => {
                self.outputs.push_back(Output::Datagram { local: way.local, peer: way.hop.peer, data });
            }
            None => self.send(way.hop, data),
        }
    }

    /// Resets every connection.
    pub fn disconnect(&mut self, _now: Instant) {
        for connection in std::mem::take(&mut self.links).into_keys() {
            self.outputs.push_back(Output::Close { connection, how: Closure::Reset });
        }
        self.by_hop.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::endpoint::Hosts;

    #[test]
    fn a_via_is_stamped_where_the_packet_came_from_elsewhere() {
        let via = |via: &str| source(None).stamp(Builder::request("OPTIONS", "sip:b").push("Via", via));
        assert_eq!(
            via("SIP/2.0/UDP a.example;branch=z9hG4bK1").value("Via"),
            Some("SIP/2.0/UDP a.example;branch=z9hG4bK1;received=10.0.0.9")
        );
        assert_eq!(
            via("SIP/2.0/UDP 10.0.0.9;rport;branch=z9hG4bK1, SIP/2.0/UDP c").value("Via"),
            Some("SIP/2.0/UDP 10.0.0.9;rport=4000;branch=z9hG4bK1;received=10.0.0.9, SIP/2.0/UDP c")
        );
        assert_eq!(via("SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1").value("Via"), Some("SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1"));
    }

    #[test]
    fn a_node_that_listens_for_tls_alone_names_no_port_of_plain_sip() {
        let config = layer().config().clone();
        let sip = SocketAddr::new(config.sip.ip(), 0);
        let layer = TransportLayer::new(Config { sip, ..config });
        let port = |via: [&str; 6]| {
            via.concat().split([' ', ';']).nth(1).and_then(|sent_by| sent_by.split_once(':')).map(|(_, port)| port.to_owned())
        };
        assert_eq!(port(layer.via(Transport::Tcp, "z9hG4bK1")), None);
        assert_eq!(port(layer.via(Transport::Tls, "z9hG4bK1")).as_deref(), Some("5061"));
    }

    #[test]
    fn the_next_hop_is_the_first_route_then_the_request_uri() {
        let layer = layer();
        let request = Builder::request("BYE", "sip:x@b.example:5070;transport=udp");
        assert_eq!(
            layer.next_hop(&request).map(|hop| format!("{} {}", hop.transport, hop.peer)),
            Some("UDP 10.0.0.2:5070".to_owned())
        );
        let routed = request.push("Route", "<sip:a.example;lr>, <sip:c.example;lr>");
        assert_eq!(
            layer.next_hop(&routed).map(|hop| format!("{} {}", hop.transport, hop.peer)),
            Some("TCP 10.0.0.1:5060".to_owned())
        );
        assert_eq!(layer.next_hop(&Builder::request("BYE", "sip:nowhere.example")), None);
    }

    #[test]
    fn a_proxy_sends_the_response_by_the_connection_of_its_request() {
        let mut layer = layer();
        accept(&mut layer, 1);
        let request = Builder::request("OPTIONS", "sip:x@b.example").push("Via", "SIP/2.0/TCP a.example;branch=z9hG4bK1");
        assert!(layer.forward_request(Instant::ZERO, request, &source(Some(ConnectionId(1))), "z9hG4bKx"));
        let forwarded = drain(&mut layer).into_iter().find_map(sent).expect("a request").1;
        let forwarded = Message::decode(forwarded).expect("a message");
        assert_eq!(forwarded.values(crate::wire::sip::Name::Via).count(), 2);

        let response = Builder::response_to(&forwarded, 200);
        assert!(layer.forward_response(Instant::ZERO, response));
        let (connection, data) = drain(&mut layer).into_iter().find_map(sent).expect("a response");
        assert_eq!(connection, ConnectionId(1));
        let back = Message::decode(data).expect("a message");
        assert_eq!(
            back.values(crate::wire::sip::Name::Via).collect::<Vec<_>>(),
            ["SIP/2.0/TCP a.example;branch=z9hG4bK1;received=10.0.0.9"]
        );
    }

    #[test]
    fn the_branch_of_a_stateless_proxy_follows_the_request() {
        let branch = |via: &str, salt| {
            let request = Builder::request("INVITE", "sip:b").push("Via", via).build();
            TransportLayer::stateless_branch(&request, salt)
        };
        let one = branch("SIP/2.0/TCP a;branch=z9hG4bK1", "");
        assert!(one.starts_with("z9hG4bK"));
        assert_eq!(one, branch("SIP/2.0/TCP a;branch=z9hG4bK1", ""));
        assert_ne!(one, branch("SIP/2.0/TCP a;branch=z9hG4bK2", ""));
        assert_ne!(one, branch("SIP/2.0/TCP a;branch=z9hG4bK1", "phone"));
    }

    #[test]
    fn a_connection_that_cannot_be_framed_is_closed() {
        let mut layer = layer();
        accept(&mut layer, 1);
        let data = Bytes::from_static(b"OPTIONS sip:b SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\n\r\n");
        layer.handle(Instant::ZERO, Input::Received { connection: ConnectionId(1), data });
        assert!(drain(&mut layer).contains(&Output::Close { connection: ConnectionId(1), how: Closure::Finished }));
        assert!(matches!(layer.poll_arrival(), Some(Arrival::Broken { how: Closure::Finished, .. })));
    }

    #[test]
    fn connections_above_the_limit_are_closed_at_once() {
        let mut layer = layer();
        layer.config.limits.connections = 1;
        accept(&mut layer, 1);
        accept(&mut layer, 3);
        assert!(drain(&mut layer).contains(&Output::Close { connection: ConnectionId(3), how: Closure::Reset }));
    }

    fn layer() -> TransportLayer {
        let address = |node: u8| std::net::IpAddr::from([10, 0, 0, node]);
        let hosts: Hosts = [("a.example", address(1)), ("b.example", address(2))].into_iter().collect();
        TransportLayer::new(Config::new("a", 1, address(1), "a.example", Arc::new(hosts)))
    }

    fn source(connection: Option<ConnectionId>) -> Source {
        let transport = if connection.is_some() { Transport::Tcp } else { Transport::Udp };
        let address = |node: u8, port| SocketAddr::from(([10, 0, 0, node], port));
        Source { transport, local: address(1, 5060), peer: address(9, 4000), connection }
    }

    fn accept(layer: &mut TransportLayer, connection: u64) {
        let source = source(Some(ConnectionId(connection)));
        let (local, peer) = (source.local, source.peer);
        layer.handle(Instant::ZERO, Input::Accepted { connection: ConnectionId(connection), local, peer });
    }

    fn drain(layer: &mut TransportLayer) -> Vec<Output> {
        std::iter::from_fn(|| layer.poll_output()).collect()
    }

    fn sent(output: Output) -> Option<(ConnectionId, Bytes)> {
        match output {
            Output::Send { connection, data } => Some((connection, data)),
            _ => None,
        }
    }
}
