//! The programs of the interop tests, started and watched.

#[path = "../common/certificates.rs"]
mod certificates;
pub(crate) mod kamailio;
pub(crate) mod media;
pub(crate) mod msrp;
mod socat;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use certificates::OURS;
use socat::Socat;

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
    found || skip(program)
}

/// Tells that a test is skipped for want of something, and counts it; with `CI` set it fails.
pub(crate) fn skip(missing: &str) -> bool {
    static SKIPPED: AtomicUsize = AtomicUsize::new(0);
    assert!(std::env::var_os("CI").is_none(), "{missing} is missing: CI installs it");
    let count = 1 + SKIPPED.fetch_add(1, Ordering::Relaxed);
    // Not by `eprintln!`, which is not heard of from a test that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED ({count}): {missing} is not installed, so nothing was tried against it");
    false
}

/// What SIP runs over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// What carries it, as the kernel calls it.
    const fn carrier(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp | Self::Tls => "tcp",
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
        Transport::Tcp | Transport::Tls => TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()),
    };
    address.expect("a free port").port()
}

/// Whether a port of this machine is taken, by what the kernel lists.
fn is_bound(transport: Transport, port: u16) -> bool {
    let table = fs::read_to_string(format!("/proc/net/{}", transport.carrier())).expect("the kernel's list of sockets");
    let suffix = format!(":{port:04X}");
    // A TCP socket in state 0A listens.
    table.lines().skip(1).any(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let local = columns.next().is_some_and(|local| local.ends_with(&suffix));
        local && (transport == Transport::Udp || columns.nth(1) == Some("0A"))
    })
}

/// Waits until a program has bound its port.
fn await_port(program: &str, transport: Transport, port: u16) {
    let started = now();
    while !is_bound(transport, port) {
        assert!(started.elapsed() < PATIENCE, "{program} does not bind its port");
        thread::yield_now();
    }
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
            .args(if transport == Transport::Tls { mutual_tls() } else { Vec::new() })
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

/// Certificates on both sides, and both are checked.
fn mutual_tls() -> Vec<String> {
    let own =
        ["--tls-certificate", &OURS.certificate(), "--tls-key", &OURS.key(), "--tls-trusted", &OURS.authority(), "--tls-mutual"];
    own.map(str::to_owned).to_vec()
}

impl Drop for Pf {
    fn drop(&mut self) {
        let _ = self.process.kill();
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
    /// The scenario for what comes out of the call.
    beside: Option<String>,
    /// What it has to have bound before anyone may call it.
    bound: Option<(Transport, u16)>,
    transport: Transport,
    /// What speaks TLS for it, and the port of the PF that it cannot see then.
    socat: Option<(Socat, u16)>,
}

/// A SIPp under way.
pub(crate) struct Playing {
    process: Child,
    scenario: String,
    folder: TempDir,
    _socat: Option<Socat>,
}

impl Sipp {
    fn new(transport: Transport, scenario: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("sipp");
        let mode = match transport {
            Transport::Udp => "u1",
            Transport::Tcp | Transport::Tls => "t1",
        };
        command
            .current_dir(folder.path())
            .args(["-t", mode, "-m", "1", "-i", "127.0.0.1", "-nostdin", "-trace_err", "-trace_msg", "-message_file", "messages"])
            .args(["-error_file", "errors", "-timeout", "50s", "-timeout_error", "-default_behaviors", "all,-bye"])
            .args(["-sf", "scenario.xml"])
            .args(["-key", "user", USER])
            .stdin(Stdio::null());
        let text = fs::read_to_string(fixture(&format!("sipp/{scenario}.xml"))).expect("the scenario");
        Self { command, scenario: scenario.to_owned(), folder, text, beside: None, bound: None, transport, socat: None }
    }

    /// The side that begins, towards a port of the PF.
    pub(crate) fn calling(target: u16, transport: Transport, scenario: &str) -> Self {
        let mut own = Self::new(transport, scenario);
        own.socat = (transport == Transport::Tls).then(|| (Socat::towards(target), target));
        let next = own.socat.as_ref().map_or(target, |(socat, _)| socat.plain);
        own.command.arg(format!("127.0.0.1:{next}")).args(["-p", &free_port(transport).to_string()]);
        own
    }

    /// The side that waits, at a port of its own.
    pub(crate) fn answering(port: u16, transport: Transport, scenario: &str) -> Self {
        let mut own = Self::new(transport, scenario);
        own.socat = (transport == Transport::Tls).then(|| (Socat::before(port), 0));
        let port = own.socat.as_ref().map_or(port, |(socat, _)| socat.plain);
        own.command.args(["-p", &port.to_string()]);
        own.bound = Some((transport, port));
        own
    }

    /// Answers what comes out of the call by another scenario.
    pub(crate) fn beside(mut self, scenario: &str) -> Self {
        self.beside = Some(fs::read_to_string(fixture(&format!("sipp/{scenario}.xml"))).expect("the scenario"));
        self
    }

    /// Its MSRP goes through this relay.
    pub(crate) fn through(mut self, relay: &str) -> Self {
        self.text = self.text.replace("a=path:", &format!("a=path:{relay} "));
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
        let text = self.seen_from_outside(&self.text);
        fs::write(self.folder.path().join("scenario.xml"), text).expect("a scenario");
        if let Some(beside) = &self.beside {
            fs::write(self.folder.path().join("beside.xml"), self.seen_from_outside(beside)).expect("a scenario");
            self.command.args(["-oocsf", "beside.xml"]);
        }
        let screen = fs::File::create(self.folder.path().join("screen")).expect("a file");
        let process = self.command.stdout(screen.try_clone().expect("a file")).stderr(screen).spawn().expect("sipp starts");
        if let Some((transport, port)) = self.bound {
            await_port(&format!("sipp {}", self.scenario), transport, port);
        }
        Playing { process, scenario: self.scenario, folder: self.folder, _socat: self.socat.map(|(socat, _)| socat) }
    }

    /// A scenario as it has to be where SIPp speaks to a socat: what it would say of its transport
    /// and of both ports is not what the PF sees.
    fn seen_from_outside(&self, text: &str) -> String {
        match &self.socat {
            None => text.to_owned(),
            Some((socat, pf)) => text
                .replace("[transport]", &self.transport.name().to_uppercase())
                .replace("[local_port]", &socat.secure.to_string())
                .replace("[remote_port]", &pf.to_string()),
        }
    }
}

impl Playing {
    /// Waits for its end: the call succeeded, and no message was unexpected. What it saw is told.
    ///
    /// # Panics
    ///
    /// Panics with what SIPp said and saw when it did not.
    pub(crate) fn succeeds(mut self) -> String {
        let status = self.process.wait().expect("sipp ends");
        let said = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        let errors = said("errors");
        assert!(
            status.success() && !errors.contains("nexpected"),
            "sipp {} ended with {status}\n{errors}\n{}",
            self.scenario,
            said("messages")
        );
        said("messages")
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
