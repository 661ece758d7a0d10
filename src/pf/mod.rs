//! The reference Participating Function: a terminating PF for CPM 2.0 as one sans-IO node.
//!
//! It is a B2BUA with MSRP on both legs, fed with registrar events, that stores what an absent
//! user misses in a group and delivers it later. It is not a production PF: one node, no
//! charging, no interworking. It stands on [`crate::endpoint`] and knows neither peers nor judge.
//!
//! The state of a group session is in `state`, what moves it in `procedures`, a file for each
//! clause. Events come in by `core`, legs are made and ended in `b2bua`, messages pass in `relay`.

mod b2bua;
mod core;
mod deferred;
mod group_state;
mod headers;
mod journal;
mod leg;
mod media;
mod notifications;
mod one_to_one;
mod outbox;
pub mod policy;
mod procedures;
mod registrar;
mod relay;
mod restore;
mod retention;
mod schedule;
mod state;
pub mod store;
#[cfg(test)]
mod testing;

use bytes::Bytes;

use self::core::Core;
use crate::endpoint::Config;
use crate::engine::{ConnectionId, Engine, Input, Output, Standing};
use crate::time::Instant;

pub use policy::Policy;
pub use store::BadRecord;

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
    /// The next hop towards this user, in place of the one towards all.
    pub core: Option<String>,
}

/// The reference PF.
#[derive(Debug)]
pub struct Pf {
    core: Core,
}

impl Pf {
    /// A PF that knows no session. `config` is the node's; User-Agent and Allow are the PF's own.
    pub fn new(config: Config, pf: PfConfig, policy: Policy) -> Self {
        Self { core: Core::new(as_pf(config), pf, policy) }
    }

    /// A PF that takes up where a process that died left off: `records` are those of its store.
    /// It acts at its first deadline, which is at once.
    ///
    /// # Errors
    ///
    /// When it cannot take up all of them.
    pub fn restored(
        config: Config,
        pf: PfConfig,
        policy: Policy,
        records: impl IntoIterator<Item = (Vec<u8>, Bytes)>,
    ) -> Result<Self, BadRecord> {
        Ok(Self { core: restore::restored(as_pf(config), pf, policy, records)? })
    }
}

fn as_pf(config: Config) -> Config {
    let (agent, allow) = (AGENT.to_owned(), ALLOW.to_owned());
    Config { agent, allow, refuses: true, repeat_ack: true, success_reports: false, ..config }
}

impl Engine for Pf {
    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Committed { batch, outcome } => self.core.on_committed(now, batch, outcome),
            Input::Timeout => {
                self.core.endpoint.handle(now, Input::Timeout);
                self.core.wake(now);
            }
            other => self.core.endpoint.handle(now, other),
        }
        self.core.run(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.core.poll_output()
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let own = self.core.schedule.next();
        self.core.endpoint.poll_timeout().into_iter().chain(own).min()
    }

    fn standing(&self, connection: ConnectionId) -> Standing {
        self.core.endpoint.standing(connection)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::testing::{BOB, PHONE, World};
    use crate::ids::Ids;

    /// A session with everything in it, so that what is thrown at the PF finds state to hit.
    fn busy() -> World {
        let mut world = World::new();
        let (focus, bob, _) = world.established();
        world.lose(&bob);
        let dialog = world.subscribed();
        world.notify(dialog, "active;expires=3600", "<conference-info/>");
        world.missed(&focus, &["one", "two"]);
        world.register(600_000, Some(PHONE));
        let (invite, _, message) = world.request(BOB, "INVITE");
        world.pick_up(invite, &message, PHONE);
        assert_eq!(world.read(BOB, 200), "one");
        world
    }

    #[test]
    fn nothing_that_peers_send_makes_it_panic() {
        let mut ids = Ids::new(7, "noise");
        let sent = busy().to_pf;
        for round in 0..100 {
            let mut world = busy();
            for _ in 0..4 {
                let mut data = sent[ids.below(sent.len() as u64) as usize].to_vec();
                for _ in 0..=round % 4 {
                    let at = ids.below(data.len() as u64) as usize;
                    data[at] = b" \r\n:;<>@=\"0z\xff"[ids.below(13) as usize];
                }
                let port = if data.starts_with(b"MSRP") { 2855 } else { 5060 };
                world.throw(port, Bytes::from(data));
            }
        }
    }
}
