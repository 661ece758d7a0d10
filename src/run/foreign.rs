//! An implementation that is not ours: what it offers, and what it is told between scenarios.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::ground::PF_HOST;
use crate::engine::Transport;
use crate::net::socket::{Names, TlsFiles};
use crate::pattern::ast::Role;
use crate::suite::scenario::Scenario;
use crate::suite::targets::{Reach, Target};

/// How often a command is asked whether it has ended.
const GLANCE: Duration = Duration::from_millis(10);
/// Characters of what a command said that a report shows.
const SAID: usize = 300;

/// A target of `cpmcheck.toml` in a run.
#[derive(Debug)]
pub struct Foreign {
    /// What the configuration says of it.
    pub target: Target,
    /// Where our actors reach it.
    pub reach: Reach,
    /// Makes identifiers of this run differ from those of every other one: it lives on, and would
    /// take them for repetitions.
    nonce: u64,
}

impl Foreign {
    /// A target that has an address; `None` without one.
    pub fn new(target: Target) -> Option<Self> {
        let reach = target.reach()?;
        Some(Self { reach, target, nonce: RandomState::new().hash_one(std::process::id()) })
    }

    /// The seed of identifiers in a run of a scenario.
    pub(super) fn seed(&self, seed: u64, scenario: &str) -> u64 {
        crate::ids::Ids::new(seed ^ self.nonce, scenario).next_u64()
    }

    /// How our actors speak to it.
    pub(super) const fn transport(&self) -> Transport {
        self.reach.transport
    }

    pub(super) fn tls(&self) -> TlsFiles {
        let tls = &self.target.tls;
        let identity = tls.certificate.clone().zip(tls.key.clone());
        TlsFiles { identity, trusted: tls.trusted.clone(), mutual: tls.mutual }
    }

    /// The name that its certificate may carry in place of its address.
    pub(super) fn names(&self) -> Names {
        Names::from([(self.reach.address.ip(), vec![PF_HOST.to_owned()])])
    }

    /// What of a scenario's actors the target gives no address to.
    pub(super) fn shortage(&self, scenario: &Scenario) -> Option<String> {
        let clients = scenario.actors.iter().filter(|actor| actor.role == Role::Client);
        let devices: usize = clients.map(|actor| actor.devices.len().max(1)).sum();
        let focuses = scenario.actors.iter().filter(|actor| actor.role == Role::Cf).count();
        let addresses = &self.target.addresses;
        let short = |what: &str, needed: usize, told: usize| {
            (needed > told).then(|| format!("needs {needed} addresses of role {what}, the target lists {told}"))
        };
        short("client", devices, addresses.client.len()).or_else(|| short("cf", focuses, addresses.cf.len()))
    }

    /// Brings the target into its first state, with these answers to knobs besides its own.
    ///
    /// # Errors
    ///
    /// What the command said, or that it did not end.
    pub(super) fn prepare(&self, turned: &BTreeMap<String, String>) -> Result<(), String> {
        let control = &self.target.control;
        if !control.policy.is_empty() && (!turned.is_empty() || control.reset.is_empty()) {
            let knobs = turned.iter().map(|(name, value)| format!("{name}={value}"));
            let command: Vec<String> = control.policy.iter().cloned().chain(knobs).collect();
            return command_of(&command, control.patience);
        }
        if control.reset.is_empty() { Ok(()) } else { command_of(&control.reset, control.patience) }
    }

    /// The command that restarts it.
    pub(super) fn restart(&self) -> Restart {
        Restart { command: self.target.control.restart.clone(), patience: self.target.control.patience }
    }
}

/// Lets the process of a target die and start again.
#[derive(Clone, Debug)]
pub(super) struct Restart {
    command: Vec<String>,
    patience: Duration,
}

impl Restart {
    /// Does it.
    ///
    /// # Errors
    ///
    /// What the command said, or that it did not end.
    pub(super) fn run(&self) -> Result<(), String> {
        command_of(&self.command, self.patience)
    }
}

/// Runs a command to its end; it is killed when that takes longer than `patience`.
fn command_of(command: &[String], patience: Duration) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Err("there is no command".to_owned()) };
    let shown = command.join(" ");
    let spawned = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|why| format!("`{shown}` cannot be started: {why}"))?;
    let glances = patience.as_millis() / GLANCE.as_millis();
    for _ in 0..=glances {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("`{shown}` failed, {status}: {}", said(child.stderr.take()))),
            Ok(None) => pause(),
            Err(why) => return Err(format!("`{shown}` cannot be waited for: {why}")),
        }
    }
    // It may have ended by now.
    let _ = child.kill();
    let _ = child.wait();
    Err(format!("`{shown}` did not end within {} s", patience.as_secs_f64()))
}

#[expect(clippy::disallowed_methods, reason = "a process of the machine is waited for, in real time")]
fn pause() {
    std::thread::sleep(GLANCE);
}

/// The beginning of what a command that has ended complained of. What it started may hold the pipe
/// open, so no more is read than is there at once.
fn said(stderr: Option<impl Read>) -> String {
    let mut buffer = vec![0; 4 * SAID];
    let length = stderr.and_then(|mut stderr| stderr.read(&mut buffer).ok()).unwrap_or(0);
    String::from_utf8_lossy(&buffer[..length]).trim().chars().take(SAID).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, patience: Duration) -> Result<(), String> {
        command_of(&["sh", "-c", script].map(str::to_owned), patience)
    }

    #[test]
    fn a_command_that_fails_is_heard() {
        assert_eq!(run("exit 0", Duration::from_secs(10)), Ok(()));
        let why = run("echo no such lab >&2; exit 3", Duration::from_secs(10)).expect_err("a failure");
        assert!(why.contains("no such lab") && why.contains('3'), "{why}");
    }

    #[test]
    fn a_command_that_does_not_end_is_ended() {
        let why = run("exec sleep 600", Duration::from_millis(50)).expect_err("a failure");
        assert!(why.contains("did not end within 0.05 s"), "{why}");
        assert!(command_of(&["/no/such/program".to_owned()], Duration::ZERO).is_err());
    }
}
