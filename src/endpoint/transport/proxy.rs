//! What a stateless proxy needs (RFC 3261 16.11): push a Via, pop a Via.

use std::net::SocketAddr;

use crate::engine::{ConnectionId, Transport};
use crate::time::Instant;
use crate::wire::sip::header::{self, Via};
use crate::wire::sip::{Builder, Host, Message, Name};

use super::address::default_port;
use super::{Hop, Source, TransportLayer, WayBack};

/// Separates the hash of a stateless branch from the connection that the request came by.
const CONNECTION_MARK: &str = ".c";

/// What a proxy needs.
impl TransportLayer {
    /// Forwards a request as a proxy (RFC 3261 16.6): `received` and `rport` of the Via on top are
    /// completed from `source`, a Via with `branch` is pushed, and it goes to the first Route, else
    /// to the Request-URI. Returns whether a next hop was found.
    pub fn forward_request(&mut self, _now: Instant, request: Builder, source: &Source, branch: &str) -> bool {
        let branch = match source.connection {
            Some(connection) => [branch, CONNECTION_MARK, &connection.0.to_string()].concat(),
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
        let Some(own) = response.value(Name::Via).and_then(|field| header::list(field).next()).map(str::to_owned) else {
            return false;
        };
        let response = pop_via(response);
        let Some(next) = response.value(Name::Via).and_then(|field| header::list(field).next()).map(str::to_owned) else {
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
        format!("z9hG4bK{:016x}", hash([branch, " ", sent_by, " ", salt]))
    }
}

/// Removes the first Via element.
fn pop_via(response: Builder) -> Builder {
    let Some(field) = response.value(Name::Via) else { return response };
    let rest: Vec<&str> = header::list(field).skip(1).collect();
    let rest = (!rest.is_empty()).then(|| rest.join(", "));
    response.set_first(Name::Via, rest)
}

/// FNV-1a, for values that must be equal for equal text in every run.
pub(super) fn hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> u64 {
    parts
        .into_iter()
        .flat_map(str::bytes)
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
