//! TLS for a SIPp that has none: socat between it and the PF, with a certificate on either side.

use std::process::{Child, Command, Stdio};

use super::certificates::OURS;
use super::{Transport, await_port, free_port};

/// A socat that carries connections until it is dropped.
pub(crate) struct Socat {
    process: Child,
    /// The port at its TLS side, by which the PF knows the SIPp.
    pub(crate) secure: u16,
    /// The port at its plain side.
    pub(crate) plain: u16,
}

impl Socat {
    /// Carries one connection to the PF's port; it comes from the port that stands in the Contact of
    /// the SIPp, so that the PF finds it for requests of its own.
    pub(crate) fn towards(pf: u16) -> Self {
        let (plain, secure) = (free_port(Transport::Tcp), free_port(Transport::Tls));
        let from = format!("TCP-LISTEN:{plain},bind=127.0.0.1,reuseaddr");
        let to = format!("OPENSSL:127.0.0.1:{pf},bind=127.0.0.1:{secure},reuseaddr,{}", credentials());
        Self::start(&from, &to, plain, secure, plain)
    }

    /// Takes connections at a port and carries them to a SIPp that waits.
    pub(crate) fn before(secure: u16) -> Self {
        let plain = free_port(Transport::Tcp);
        let from = format!("OPENSSL-LISTEN:{secure},bind=127.0.0.1,reuseaddr,fork,{}", credentials());
        Self::start(&from, &format!("TCP:127.0.0.1:{plain}"), plain, secure, secure)
    }

    fn start(from: &str, to: &str, plain: u16, secure: u16, listens: u16) -> Self {
        let process = Command::new("socat").args([from, to]).stdin(Stdio::null()).spawn().expect("socat starts");
        await_port("socat", Transport::Tcp, listens);
        Self { process, secure, plain }
    }
}

/// What it shows, and whom it trusts.
fn credentials() -> String {
    format!("cert={},key={},cafile={},verify=1", OURS.certificate(), OURS.key(), OURS.authority())
}

impl Drop for Socat {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
