//! The sockets of one node, bound before its engine exists, so that it can be told its ports.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::{TcpListener, UdpSocket};

use super::{Fault, Limits, listen};
use crate::engine::Transport;

/// What goes over a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// SIP.
    Sip,
    /// MSRP.
    Msrp,
}

/// Where a node listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listener {
    /// For what.
    pub of: Use,
    /// How.
    pub transport: Transport,
    /// Where; port 0 takes a free one.
    pub address: SocketAddr,
}

impl Listener {
    /// Whether TLS is spoken first.
    pub fn is_secure(&self) -> bool {
        self.transport == Transport::Tls
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match self.of {
            Use::Sip => "sip",
            Use::Msrp => "msrp",
        };
        write!(f, "{of} {}:{}", self.transport.token().to_ascii_lowercase(), self.address)
    }
}

/// Attempts to find one free port for UDP and TCP alike.
const ATTEMPTS: usize = 32;

/// The sockets of one node.
#[derive(Debug, Default)]
pub struct Bound {
    pub(super) datagrams: Vec<(SocketAddr, UdpSocket)>,
    pub(super) listeners: Vec<(TcpListener, Listener)>,
}

impl Bound {
    /// Binds every listener. Those for SIP on UDP and TCP that leave the port open get the same one,
    /// for a request that is too large for UDP goes by TCP to the same port (RFC 3261 18.1.1).
    ///
    /// # Errors
    ///
    /// When a socket cannot be bound.
    pub fn bind(wanted: &[Listener], limits: &Limits) -> Result<Self, Fault> {
        let open = wanted.iter().any(|own| own.address.port() == 0);
        for _ in 1..ATTEMPTS {
            match Self::attempt(wanted, limits) {
                Err(Fault::Bind { cause, .. }) if open && cause.kind() == ErrorKind::AddrInUse => {}
                outcome => return outcome,
            }
        }
        Self::attempt(wanted, limits)
    }

    fn attempt(wanted: &[Listener], limits: &Limits) -> Result<Self, Fault> {
        let mut bound = Self::default();
        let mut shared = None;
        let mut sorted = wanted.to_vec();
        // UDP first: its port decides.
        sorted.sort_by_key(|own| (own.address.port() == 0, own.transport));
        for own in sorted {
            let plain_sip = own.of == Use::Sip && !own.is_secure();
            let address = match (own.address.port(), shared) {
                (0, Some(port)) if plain_sip => SocketAddr::new(own.address.ip(), port),
                _ => own.address,
            };
            let address = bound.open(Listener { address, ..own }, limits)?;
            if plain_sip {
                shared = Some(address.port());
            }
        }
        Ok(bound)
    }

    fn open(&mut self, own: Listener, limits: &Limits) -> Result<SocketAddr, Fault> {
        let unknown = |cause| Fault::Io("the address of a socket cannot be told", cause);
        if own.transport == Transport::Udp {
            let socket = listen::bind_udp(own.address, limits.datagram_buffer)?;
            let address = socket.local_addr().map_err(unknown)?;
            self.datagrams.push((address, socket));
            return Ok(address);
        }
        let listener = listen::bind_tcp(own.transport, own.address)?;
        let address = listener.local_addr().map_err(unknown)?;
        self.listeners.push((listener, Listener { address, ..own }));
        Ok(address)
    }

    /// Every listener with the address that it got.
    pub fn listeners(&self) -> impl Iterator<Item = Listener> {
        let datagram =
            |(address, _): &(SocketAddr, UdpSocket)| Listener { of: Use::Sip, transport: Transport::Udp, address: *address };
        self.datagrams.iter().map(datagram).chain(self.listeners.iter().map(|(_, own)| *own))
    }

    /// Every address.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners().map(|own| own.address)
    }

    /// The first address of a use on one of these transports.
    pub fn address(&self, of: Use, transports: &[Transport]) -> Option<SocketAddr> {
        self.listeners().find(|own| own.of == of && transports.contains(&own.transport)).map(|own| own.address)
    }
}
