//! The SIP transport layer (RFC 3261 18): datagrams, connections, Via and next hops.
//!
//! It knows no transaction. A proxy uses it alone: [`TransportLayer::forward_request`] pushes a Via,
//! [`TransportLayer::forward_response`] pops one.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::engine::{Closure, ConnectionId, Input, Note, Output, Transport};
use crate::time::Instant;
use crate::wire::sip::header::{self, NameAddr, Via};
use crate::wire::sip::{Builder, Framer, Host, Message, Name, Scheme, Uri};

use super::Config;

/// The largest request that is sent as a datagram (RFC 3261 18.1.1).
const DATAGRAM_LIMIT: usize = 1300;

/// Separates the hash of a stateless branch from the connection that the request came by.
const CONNECTION_MARK: &str = ".c";

/// Where a message came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source {
    /// How it came.
    pub transport: Transport,
    /// The address that it came to.
    pub local: SocketAddr,
    /// The address that it came from.
    pub peer: SocketAddr,
    /// The connection that it came by.
    pub connection: Option<ConnectionId>,
}

impl Source {
    /// Completes `received` and `rport` of the Via on top (RFC 3261 18.2.1, RFC 3581 4).
    #[must_use]
    pub fn stamp(&self, message: Builder) -> Builder {
        match message.value("Via").and_then(|field| self.stamped_field(field)) {
            Some(stamped) => message.set_first("Via", Some(stamped)),
            None => message,
        }
    }

    fn stamped_field(&self, field: &str) -> Option<String> {
        let mut elements = header::list(field);
        let stamped = self.stamped(elements.next()?)?;
        Some(elements.fold(stamped, |all, element| format!("{all}, {element}")))
    }

    /// The element with its parameters completed; `None` when it needs none.
    fn stamped(&self, top: &str) -> Option<String> {
        let via = Via::parse(top).ok()?;
        let rport = via.params.get("rport").is_some_and(str::is_empty);
        if (via.host.ip() == Some(self.peer.ip()) && !rport) || via.params.has("received") {
            return None;
        }
        let at = top.len() - via.params.0.len();
        let mut stamped = top[..at].to_owned();
        for (name, value) in via.params.iter() {
            stamped.push(';');
            stamped.push_str(name);
            if rport && name.eq_ignore_ascii_case("rport") {
                stamped.push_str(&format!("={}", self.peer.port()));
            } else if let Some(value) = value {
                stamped.push_str(&format!("={value}"));
            }
        }
        Some(format!("{stamped};received={}", self.peer.ip()))
    }

    /// Where the answer to a request goes (RFC 3261 18.2.2, RFC 3581 4).
    pub fn way_back(&self, request: &Message, hosts: &super::Hosts) -> WayBack {
        let via = request.via().ok();
        let rport = via.is_some_and(|via| via.params.has("rport"));
        let port = via.and_then(|via| via.port).unwrap_or(default_port(self.transport));
        let maddr = via.and_then(|via| via.params.get("maddr")).and_then(|maddr| hosts.resolve(Host(maddr)));
        let peer = match (self.transport, maddr) {
            (Transport::Udp, Some(maddr)) => SocketAddr::new(maddr, port),
            (Transport::Udp, None) if rport => self.peer,
            (Transport::Udp | Transport::Tcp | Transport::Tls, _) => SocketAddr::new(self.peer.ip(), port),
        };
        WayBack { hop: Hop { transport: self.transport, peer }, local: self.local, connection: self.connection }
    }
}

/// Where a message goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Hop {
    /// How.
    pub transport: Transport,
    /// The address.
    pub peer: SocketAddr,
}

/// Where responses go: by the connection that the request came by, while it is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WayBack {
    hop: Hop,
    local: SocketAddr,
    connection: Option<ConnectionId>,
}

impl WayBack {
    /// Whether the transport is reliable.
    pub const fn is_reliable(&self) -> bool {
        self.hop.transport.is_reliable()
    }
}

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
}

/// The transport layer of one node.
#[derive(Debug)]
pub struct TransportLayer {
    config: Config,
    links: BTreeMap<ConnectionId, Link>,
    by_hop: BTreeMap<Hop, ConnectionId>,
    next_connection: u64,
    arrivals: VecDeque<Arrival>,
    outputs: VecDeque<Output>,
}

impl TransportLayer {
    /// The transport layer of a node without connections.
    pub fn new(config: Config) -> Self {
        Self {
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
            Input::Accepted { connection, local, peer } if local.port() == self.config.sip.port() => {
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
        self.add_link(connection, Hop { transport: Transport::Tcp, peer }, local);
    }

    fn add_link(&mut self, connection: ConnectionId, hop: Hop, local: SocketAddr) {
        let framer = Framer::new(self.config.limits.framer);
        self.links.insert(connection, Link { hop, local, framer });
        self.by_hop.insert(hop, connection);
    }

    fn on_received(&mut self, connection: ConnectionId, data: &Bytes) {
        let Some(link) = self.links.get_mut(&connection) else { return };
        link.framer.feed(data);
        loop {
            let Some(link) = self.links.get_mut(&connection) else { return };
            let source =
                Source { transport: link.hop.transport, local: link.local, peer: link.hop.peer, connection: Some(connection) };
            match link.framer.next_message() {
                Ok(Some(message)) => self.on_message(message, source),
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
            let tag = format!("{:x}", hash(request.via().ok().and_then(|via| via.branch()).unwrap_or("")));
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
        if let Some(route) = request.value("Route").and_then(|value| header::list(value).next()) {
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
            Some(_) | None => self.config.transport,
        };
        let host = uri.params.get("maddr").map(Host).or(uri.host)?;
        let port = uri.port.unwrap_or(default_port(transport));
        Some(Hop { transport, peer: SocketAddr::new(self.config.hosts.resolve(host)?, port) })
    }

    /// A Via of this node.
    pub fn via(&self, transport: Transport, branch: &str) -> String {
        format!("SIP/2.0/{transport} {}:{};branch={branch}", bracketed(&self.config.host), self.config.sip.port())
    }

    /// Finds the next hop of a request and pushes our Via for it. A request too large for a
    /// datagram goes by TCP, and its Via says so (RFC 3261 18.1.1).
    pub fn route(&self, request: Builder, branch: &str) -> Option<(Builder, Hop)> {
        let mut hop = self.next_hop(&request)?;
        let routed = request.push_first("Via", self.via(hop.transport, branch));
        if hop.transport == Transport::Udp && routed.encode().len() > DATAGRAM_LIMIT {
            hop.transport = Transport::Tcp;
            return Some((routed.set_first("Via", Some(self.via(hop.transport, branch))), hop));
        }
        Some((routed, hop))
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
        self.add_link(connection, hop, self.config.sip);
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

/// What a proxy needs.
impl TransportLayer {
    /// Forwards a request as a proxy (RFC 3261 16.6): `received` and `rport` of the Via on top are
    /// completed from `source`, a Via with `branch` is pushed, and it goes to the first Route, else
    /// to the Request-URI. Returns whether a next hop was found.
    pub fn forward_request(&mut self, _now: Instant, request: Builder, source: &Source, branch: &str) -> bool {
        let branch = match source.connection {
            Some(connection) => format!("{branch}{CONNECTION_MARK}{}", connection.0),
            None => branch.to_owned(),
        };
        let Some((request, hop)) = self.route(source.stamp(request), &branch) else { return false };
        self.send(hop, request.encode());
        true
    }

    /// Forwards a response as a proxy (RFC 3261 16.7): the Via on top, ours, is removed and it goes
    /// to where the next one says, by the connection that its request came by while that is open.
    /// Returns whether there is such a place.
    pub fn forward_response(&mut self, _now: Instant, response: Builder) -> bool {
        let Some(own) = response.value("Via").and_then(|field| header::list(field).next()).map(str::to_owned) else { return false };
        let response = pop_via(response);
        let Some(next) = response.value("Via").and_then(|field| header::list(field).next()).map(str::to_owned) else {
            return false;
        };
        let Some(way) = self.way_of(&own, &next) else { return false };
        self.send_back(&way, response.encode());
        true
    }

    fn way_of(&self, own: &str, next: &str) -> Option<WayBack> {
        let branch = Via::parse(own).ok()?.branch()?;
        let connection = branch.rsplit_once(CONNECTION_MARK).and_then(|(_, number)| number.parse().ok()).map(ConnectionId);
        let via = Via::parse(next).ok()?;
        let transport = match via.transport {
            token if token.eq_ignore_ascii_case("UDP") => Transport::Udp,
            token if token.eq_ignore_ascii_case("TLS") => Transport::Tls,
            _ => Transport::Tcp,
        };
        let rport = via.params.get("rport").and_then(|port| port.parse().ok()).filter(|_| transport == Transport::Udp);
        let port = rport.or(via.port).unwrap_or(default_port(transport));
        let host = via.params.get("maddr").or(via.params.get("received")).map_or(via.host, Host);
        let peer = SocketAddr::new(self.config.hosts.resolve(host)?, port);
        Some(WayBack { hop: Hop { transport, peer }, local: self.config.sip, connection })
    }

    /// Answers a request without a transaction.
    pub fn reply(&mut self, _now: Instant, response: Builder, request: &Message, source: &Source) {
        let way = source.way_back(request, &self.config.hosts);
        self.send_back(&way, source.stamp(response).encode());
    }

    /// The branch of a stateless proxy (RFC 3261 16.11): the same for every repetition of a
    /// request, its CANCEL and the ACK to a refusal; `salt` tells the targets of a fork apart.
    pub fn stateless_branch(request: &Message, salt: &str) -> String {
        let via = request.via().ok();
        let branch = via.and_then(|via| via.branch()).unwrap_or("");
        let sent_by = via.map_or("", |via| via.host.0);
        format!("z9hG4bK{:016x}", hash(&format!("{branch} {sent_by} {salt}")))
    }
}

/// Removes the first Via element.
fn pop_via(response: Builder) -> Builder {
    let Some(field) = response.value("Via") else { return response };
    let rest: Vec<&str> = header::list(field).skip(1).collect();
    let rest = (!rest.is_empty()).then(|| rest.join(", "));
    response.set_first("Via", rest)
}

/// Adds a tag to To, unless it has one.
pub(super) fn with_to_tag(response: Builder, tag: &str) -> Builder {
    let tagged = match response.value("To") {
        Some(to) if !NameAddr::parse(to).is_ok_and(|to| to.tag().is_some()) => format!("{to};tag={tag}"),
        Some(_) | None => return response,
    };
    response.set_first("To", Some(tagged))
}

/// The status and the reason for which a message goes no further (RFC 3261 8.1.1, 8.2).
fn fault_of(message: &Message) -> Option<(u16, &'static str)> {
    let cseq = message.cseq();
    if !message.version().eq_ignore_ascii_case("SIP/2.0") {
        Some((505, "another SIP version"))
    } else if message.via().is_err() {
        Some((400, "no valid Via"))
    } else if message.from().is_err() || message.to().is_err() {
        Some((400, "no valid From or To"))
    } else if message.call_id().is_none_or(str::is_empty) {
        Some((400, "no Call-ID"))
    } else if cseq.is_err() || cseq.is_ok_and(|cseq| Some(cseq.method) != message.method_token()) {
        Some((400, "no valid CSeq"))
    } else {
        None
    }
}

/// What of a broken request is needed to answer it: its start line and the fields to be copied.
fn salvage(data: &[u8]) -> Option<Message> {
    let mut kept = Vec::with_capacity(data.len());
    for (index, line) in data.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        let name = line.split(|byte| *byte == b':').next().map_or(Name::Other, |token| Name::of(token.trim_ascii_end()));
        if index == 0 || matches!(name, Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq) {
            kept.extend_from_slice(line);
            kept.extend_from_slice(b"\r\n");
        }
    }
    kept.extend_from_slice(b"\r\n");
    Message::decode(kept.into()).ok().filter(Message::is_request)
}

const fn default_port(transport: Transport) -> u16 {
    match transport {
        Transport::Udp | Transport::Tcp => 5060,
        Transport::Tls => 5061,
    }
}

/// A host as Via and URIs write it: an IPv6 address stands in brackets.
pub(super) fn bracketed(host: &str) -> std::borrow::Cow<'_, str> {
    match host.parse() {
        Ok(IpAddr::V6(_)) => format!("[{host}]").into(),
        Ok(IpAddr::V4(_)) | Err(_) => host.into(),
    }
}

/// FNV-1a, for values that must be equal for equal text in every run.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
