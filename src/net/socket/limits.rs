//! What peers may cost: bytes, time and descriptors.

use std::time::Duration;

use super::Fault;

/// What peers may cost a process before their connections are closed. Times are wall-clock times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections of a node, in both directions together.
    pub connections: usize,
    /// How long a connection may take to come up, TLS included.
    pub connect: Duration,
    /// How long a peer may take over one message, or to say something at all.
    pub unfinished: Duration,
    /// How long a SIP connection that nothing depends on stays open in silence.
    pub idle: Duration,
    /// How long bytes may wait for a peer that does not read.
    pub stalled: Duration,
    /// Bytes waiting for a peer from which on nothing more is read from it.
    pub pause_at: usize,
    /// Bytes waiting for a peer at which it is given up.
    pub drop_at: usize,
    /// The receive buffer that is asked for on each UDP socket.
    pub datagram_buffer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            connect: Duration::from_secs(10),
            unfinished: Duration::from_secs(30),
            idle: Duration::from_secs(900),
            stalled: Duration::from_secs(30),
            pause_at: 256 * 1024,
            drop_at: 32 * 1024 * 1024,
            datagram_buffer: 4 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// How often connections are looked after.
    pub(super) fn sweep(&self) -> Duration {
        let shortest = self.unfinished.min(self.idle).min(self.stalled);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}

/// Raises the limit of open descriptors as far as this user may, and returns it.
///
/// # Errors
///
/// When even then `wanted` descriptors cannot be had.
#[cfg(unix)]
pub fn raise_descriptor_limit(wanted: u64) -> Result<u64, Fault> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let highest = maximum.unwrap_or(u64::MAX);
    let now = current.unwrap_or(u64::MAX);
    let goal = wanted.max(now).min(highest);
    if goal > now && setrlimit(Resource::Nofile, Rlimit { current: Some(goal), maximum }).is_err() {
        return enough(now, wanted);
    }
    enough(goal, wanted)
}

/// Elsewhere there is no such limit to raise.
///
/// # Errors
///
/// Never.
#[cfg(not(unix))]
pub fn raise_descriptor_limit(wanted: u64) -> Result<u64, Fault> {
    Ok(wanted)
}

#[cfg(unix)]
fn enough(limit: u64, wanted: u64) -> Result<u64, Fault> {
    if limit >= wanted { Ok(limit) } else { Err(Fault::Descriptors { limit, wanted }) }
}
