//! Kamailio: as the SIP core in the path, and as MSRP relay and peer.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use tempfile::TempDir;

use super::certificates::OURS;
use super::{Transport, await_port, fixture, free_port, has, skip};

/// Whether it is there with the modules that a test needs.
pub(crate) fn has_kamailio(modules: &[&str]) -> bool {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/lib64", "/usr/local/lib64"];
    let there =
        |module: &&&str| folders.iter().any(|folder| Path::new(folder).join(format!("kamailio/modules/{module}.so")).is_file());
    if !has("kamailio") {
        return false;
    }
    match modules.iter().find(|module| !there(module)) {
        Some(missing) => skip(&format!("the module {missing} of kamailio")),
        None => true,
    }
}

/// A Kamailio that runs until it is dropped.
pub(crate) struct Kamailio {
    process: Child,
    folder: TempDir,
    /// Where it listens, over TCP at least.
    pub(crate) port: u16,
    /// Where it takes SIP over TLS, if it does.
    pub(crate) secure: Option<u16>,
}

impl Kamailio {
    /// The SIP core in front of a Client at this port: over UDP and TCP towards the PF.
    pub(crate) fn core(client: u16) -> Self {
        Self::start("core.cfg", vec![format!("CLIENT={client}")], None)
    }

    /// The same with TLS too, that shows a certificate and wants to see one.
    pub(crate) fn secure_core(client: u16) -> Self {
        let secure = free_port(Transport::Tls);
        let text = |name: &str, path: &str| format!("{name}=\"{path}\"");
        let files = [("CERTIFICATE", OURS.certificate()), ("KEY", OURS.key()), ("AUTHORITY", OURS.authority())];
        let mut defined = vec![format!("CLIENT={client}"), format!("SECURE={secure}")];
        defined.extend(files.iter().map(|(name, path)| text(name, path)));
        Self::start("core.cfg", defined, Some(secure))
    }

    /// An MSRP relay, and an MSRP peer that answers for itself.
    pub(crate) fn media() -> Self {
        Self::start("media.cfg", Vec::new(), None)
    }

    fn start(config: &str, defined: Vec<String>, secure: Option<u16>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port(Transport::Tcp);
        let path = folder.path().to_str().expect("a path in UTF-8").to_owned();
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let process = Command::new("kamailio")
            .args(["-DD", "-E", "-f"])
            .arg(fixture(&format!("kamailio/{config}")))
            .args(["-w", &path, "-Y", &path, "-P", &format!("{path}/pid"), "-A", &format!("PORT={port}")])
            .args(defined.iter().flat_map(|define| ["-A", define]))
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("kamailio starts");
        let own = Self { process, folder, port, secure };
        // It listens from the start, and reads once its processes are there.
        await_port("kamailio", Transport::Tcp, secure.unwrap_or(port));
        own
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The URI by which MSRP goes through it, or to it.
    pub(crate) fn path(&self, session: &str) -> String {
        format!("msrp://127.0.0.1:{}/{session};tcp", self.port)
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // Its main process ends the others.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}
