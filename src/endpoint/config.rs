//! What makes one node.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::engine::Transport;
use crate::msrp;
use crate::sip::timers::Timing;

use super::Hosts;
use super::transport::bracketed;

/// What makes one node.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name in the run; identifiers derive from it and the seed.
    pub name: String,
    /// The seed of the run.
    pub seed: u64,
    /// The host in Via, Call-ID, default Contact and MSRP paths.
    pub host: String,
    /// Where it takes SIP, on UDP and TCP.
    pub sip: SocketAddr,
    /// Where it takes SIP on TLS.
    pub sips: SocketAddr,
    /// Whether its own MSRP paths are `msrps`.
    pub secure_media: bool,
    /// Where it takes MSRP connections.
    pub msrp: SocketAddr,
    /// The transport of requests whose next hop names none.
    pub transport: Transport,
    /// The names that it can resolve.
    pub hosts: Arc<Hosts>,
    /// T1, T2 and T4.
    pub timing: Timing,
    /// The value of User-Agent and Server.
    pub agent: String,
    /// The value of Allow.
    pub allow: String,
    /// The Contact that is filled in where none is given; `None` makes one of host and port.
    pub contact: Option<String>,
    /// Whether it answers by itself what the base protocols refuse inside dialogs (481, 491, 500) and
    /// merged requests (482). Otherwise such a request is passed up, and
    /// [`super::Endpoint::refusal`] gives the answer that it deserves.
    pub refuses: bool,
    /// Whether the ACK is repeated for each repeated 2xx (RFC 3261 13.2.2.4).
    pub repeat_ack: bool,
    /// Whether an answer to an MSRP message brings the success report that its sender asked for;
    /// otherwise the user sends reports.
    pub success_reports: bool,
    /// What peers may make it hold.
    pub limits: Limits,
}

impl Config {
    /// A node at `ip` with the usual ports and timers, TCP first.
    pub fn new(name: &str, seed: u64, ip: IpAddr, host: &str, hosts: Arc<Hosts>) -> Self {
        Self {
            name: name.to_owned(),
            seed,
            host: host.to_owned(),
            sip: SocketAddr::new(ip, 5060),
            sips: SocketAddr::new(ip, 5061),
            secure_media: false,
            msrp: SocketAddr::new(ip, 2855),
            transport: Transport::Tcp,
            hosts,
            timing: Timing::default(),
            agent: "cpmcheck".to_owned(),
            allow: "INVITE, ACK, BYE, CANCEL, UPDATE, OPTIONS, MESSAGE, SUBSCRIBE, NOTIFY".to_owned(),
            contact: None,
            refuses: true,
            repeat_ack: true,
            success_reports: false,
            limits: Limits::default(),
        }
    }

    /// Host and port at which it takes SIP by its own transport, as a URI writes them.
    pub fn authority(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.own_port())
    }

    const fn own_port(&self) -> u16 {
        match self.transport {
            Transport::Udp | Transport::Tcp => self.sip.port(),
            Transport::Tls => self.sips.port(),
        }
    }

    /// The Contact that is filled in.
    pub(super) fn own_contact(&self) -> String {
        self.contact.clone().unwrap_or_else(|| {
            let transport = self.transport.token().to_ascii_lowercase();
            format!("<sip:{};transport={transport}>", self.authority())
        })
    }

    /// The same for the MSRP machines.
    pub(super) fn media(&self) -> msrp::Config {
        let own = msrp::Config::new(&bracketed(&self.host), self.msrp.port());
        msrp::Config { success_reports: self.success_reports, secure: self.secure_media, limits: self.limits.media, ..own }
    }
}

/// What peers may make a node hold before it refuses (503) or closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// SIP connections at a time; more are closed at once.
    pub connections: usize,
    /// Server transactions at a time; further requests are answered 503 without state.
    pub transactions: usize,
    /// Unfinished messages of one connection.
    pub framer: crate::wire::sip::Limits,
    /// MSRP messages.
    pub media: msrp::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 100_000,
            transactions: 1_000_000,
            framer: crate::wire::sip::Limits::default(),
            media: msrp::Limits::default(),
        }
    }
}
