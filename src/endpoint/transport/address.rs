//! Where messages come from and where they go: source, hop, way back.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use crate::engine::{ConnectionId, Transport};
use crate::wire::sip::header::{self, Via};
use crate::wire::sip::{Builder, Host, Message, Name};

use crate::endpoint::Hosts;

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

/// Room for `received` and the port of `rport`.
const ROOM: usize = 64;

impl Source {
    /// Completes `received` and `rport` of the Via on top (RFC 3261 18.2.1, RFC 3581 4).
    #[must_use]
    pub fn stamp(&self, message: Builder) -> Builder {
        match message.value(Name::Via).and_then(|field| self.stamped_field(field)) {
            Some(stamped) => message.set_first(Name::Via, Some(stamped)),
            None => message,
        }
    }

    fn stamped_field(&self, field: &str) -> Option<String> {
        let mut elements = header::list(field);
        let mut stamped = self.stamped(elements.next()?)?;
        elements.for_each(|element| stamped.extend([", ", element]));
        Some(stamped)
    }

    /// The element with its parameters completed; `None` when it needs none.
    fn stamped(&self, top: &str) -> Option<String> {
        let via = Via::parse(top).ok()?;
        let rport = via.params.get("rport").is_some_and(str::is_empty);
        if (via.host.ip() == Some(self.peer.ip()) && !rport) || via.params.has("received") {
            return None;
        }
        let at = top.len() - via.params.0.len();
        let mut stamped = String::with_capacity(top.len() + ROOM);
        stamped.push_str(&top[..at]);
        for (name, value) in via.params.iter() {
            stamped.extend([";", name]);
            if rport && name.eq_ignore_ascii_case("rport") {
                // Writing to a string does not fail.
                let _ = write!(stamped, "={}", self.peer.port());
            } else if let Some(value) = value {
                stamped.extend(["=", value]);
            }
        }
        let _ = write!(stamped, ";received={}", self.peer.ip());
        Some(stamped)
    }

    /// Where the answer to a request goes (RFC 3261 18.2.2, RFC 3581 4).
    pub fn way_back(&self, request: &Message, hosts: &Hosts) -> WayBack {
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
    pub(super) hop: Hop,
    pub(super) local: SocketAddr,
    pub(super) connection: Option<ConnectionId>,
}

impl WayBack {
    /// Whether the transport is reliable.
    pub const fn is_reliable(&self) -> bool {
        self.hop.transport.is_reliable()
    }
}

/// The port of a transport where none is written (RFC 3261 19.1.2).
pub(super) const fn default_port(transport: Transport) -> u16 {
    match transport {
        Transport::Udp | Transport::Tcp => 5060,
        Transport::Tls => 5061,
    }
}

/// A host as Via and URIs write it: an IPv6 address stands in brackets.
pub(in crate::endpoint) fn bracketed(host: &str) -> Cow<'_, str> {
    match host.parse() {
        Ok(IpAddr::V6(_)) => format!("[{host}]").into(),
        Ok(IpAddr::V4(_)) | Err(_) => host.into(),
    }
}
