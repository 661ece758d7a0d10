//! The programs of the interop tests, started and watched.

pub(crate) mod msrp;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The user that the PF serves.
pub(crate) const USER: &str = "+15145550102";

/// How long any one program may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, reason = "a real process is timed")]
fn now() -> Instant {
    Instant::now()
}

/// Whether a program is there. It may be missing, but not where changes are gated.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new("which").arg(program).stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{program} is missing: CI installs it");
        eprintln!("SKIPPED: {program} is not installed, so nothing was tried against it");
    }
    found
}

/// What SIP runs over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }

    /// The SIP URI of a port of this machine.
    pub(crate) fn uri(self, port: u16) -> String {
        format!("sip:127.0.0.1:{port};transport={}", self.name())
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port(transport: Transport) -> u16 {
    let address = match transport {
        Transport::Udp => UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()),
        Transport::Tcp => TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()),
    };
    address.expect("a free port").port()
}

/// Whether a port of this machine is taken, by what the kernel lists.
fn is_bound(transport: Transport, port: u16) -> bool {
    let table = fs::read_to_string(format!("/proc/net/{}", transport.name())).expect("the kernel's list of sockets");
    let suffix = format!(":{port:04X}");
    // A TCP socket in state 0A listens.
    table.lines().skip(1).any(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let local = columns.next().is_some_and(|local| local.ends_with(&suffix));
        local && (transport == Transport::Udp || columns.nth(1) == Some("0A"))
    })
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/interop").join(name)
}

/// The reference PF in a process of its own.
pub(crate) struct Pf {
    process: Child,
    /// Where it takes SIP.
    pub(crate) port: u16,
}

impl Pf {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(transport: Transport, core: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_cpmcheck"))
            .args(["serve", "pf", "--store", "memory", "--msrp-listen", "127.0.0.1:0", "--core", core])
            .args(["--listen", &format!("{}:127.0.0.1:0", transport.name())])
            .args(["--user", &format!("sip:{USER}@home1.example"), "--log", "warn"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the PF starts");
        let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let mut port = None;
        for line in lines.map(|line| line.expect("text")) {
            if line == "ready" {
                break;
            }
            if line.contains(&format!("sip {}:127.0.0.1:", transport.name())) {
                port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok());
            }
        }
        Self { process, port: port.expect("the PF tells where it listens") }
    }
}

impl Drop for Pf {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Kamailio as the SIP core between the PF and the Client.
pub(crate) struct Core {
    process: Child,
    _folder: TempDir,
    /// Where it takes SIP, over UDP and TCP.
    pub(crate) port: u16,
}

impl Core {
    /// Starts it in front of a Client at this port.
    pub(crate) fn start(client: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port(Transport::Tcp);
        let path = folder.path().to_str().expect("a path in UTF-8").to_owned();
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let process = Command::new("kamailio")
            .args(["-DD", "-E", "-f"])
            .arg(fixture("kamailio/core.cfg"))
            .args(["-w", &path, "-Y", &path, "-P", &format!("{path}/pid")])
            .args(["-A", &format!("CORE={port}"), "-A", &format!("CLIENT={client}")])
            .stderr(log)
            .spawn()
            .expect("kamailio starts");
        let started = now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < PATIENCE, "kamailio does not listen");
            thread::yield_now();
        }
        Self { process, _folder: folder, port }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// One SIPp with one scenario of `fixtures/interop/sipp`, for one call.
pub(crate) struct Sipp {
    command: Command,
    scenario: String,
    folder: TempDir,
    /// The scenario.
    text: String,
    /// What it has to have bound before anyone may call it.
    bound: Option<(Transport, u16)>,
}

/// A SIPp under way.
pub(crate) struct Playing {
    process: Child,
    scenario: String,
    folder: TempDir,
}

impl Sipp {
    fn new(transport: Transport, scenario: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("sipp");
        let mode = match transport {
            Transport::Udp => "u1",
            Transport::Tcp => "t1",
        };
        command
            .current_dir(folder.path())
            .args(["-t", mode, "-m", "1", "-i", "127.0.0.1", "-nostdin", "-trace_err", "-trace_msg", "-message_file", "messages"])
            .args(["-error_file", "errors", "-timeout", "50s", "-timeout_error", "-default_behaviors", "all,-bye"])
            .args(["-sf", "scenario.xml"])
            .args(["-key", "user", USER])
            .stdin(Stdio::null());
        let text = fs::read_to_string(fixture(&format!("sipp/{scenario}.xml"))).expect("the scenario");
        Self { command, scenario: scenario.to_owned(), folder, text, bound: None }
    }

    /// The side that begins, towards a port of the PF.
    pub(crate) fn calling(target: u16, transport: Transport, scenario: &str) -> Self {
        let mut own = Self::new(transport, scenario);
        own.command.arg(format!("127.0.0.1:{target}")).args(["-p", &free_port(transport).to_string()]);
        own
    }

    /// The side that waits, at a port of its own.
    pub(crate) fn answering(port: u16, transport: Transport, scenario: &str) -> Self {
        let mut own = Self::new(transport, scenario);
        own.command.args(["-p", &port.to_string()]);
        own.bound = Some((transport, port));
        own
    }

    /// Answers what comes out of the call by another scenario.
    pub(crate) fn beside(mut self, scenario: &str) -> Self {
        self.command.arg("-oocsf").arg(fixture(&format!("sipp/{scenario}.xml")));
        self
    }

    /// A value that the scenario asks for.
    pub(crate) fn key(mut self, name: &str, value: impl ToString) -> Self {
        self.command.args(["-key", name, &value.to_string()]);
        self
    }

    /// What the scenario leaves open and SIPp has no key for: the status line of a response.
    pub(crate) fn status(mut self, line: &str) -> Self {
        self.text = self.text.replace("STATUS", line);
        self
    }

    /// Starts it; one that answers has its port then.
    pub(crate) fn start(mut self) -> Playing {
        fs::write(self.folder.path().join("scenario.xml"), &self.text).expect("a scenario");
        let screen = fs::File::create(self.folder.path().join("screen")).expect("a file");
        let process = self.command.stdout(screen).spawn().expect("sipp starts");
        let started = now();
        while self.bound.is_some_and(|(transport, port)| !is_bound(transport, port)) {
            assert!(started.elapsed() < PATIENCE, "sipp {} does not bind its port", self.scenario);
            thread::yield_now();
        }
        Playing { process, scenario: self.scenario, folder: self.folder }
    }
}

impl Playing {
    /// Waits for its end: the call succeeded, and no message was unexpected.
    ///
    /// # Panics
    ///
    /// Panics with what SIPp said and saw when it did not.
    pub(crate) fn succeeds(mut self) {
        let status = self.process.wait().expect("sipp ends");
        let said = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        let errors = said("errors");
        assert!(
            status.success() && !errors.contains("nexpected"),
            "sipp {} ended with {status}\n{errors}\n{}",
            self.scenario,
            said("messages")
        );
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
