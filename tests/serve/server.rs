//! `cpmcheck serve` as a process of its own, and how it is spoken to.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

/// Longer than anything here takes; only a defect makes it pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A server that ends with its test.
pub(crate) struct Server {
    pub(crate) child: Child,
    _stdout: BufReader<ChildStdout>,
    pub(crate) udp: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) msrp: SocketAddr,
}

impl Server {
    /// Starts a PF with these settings besides the usual ones, and waits until it is ready.
    pub(crate) fn start(settings: &str) -> Self {
        Self::start_at("127.0.0.1", settings)
    }

    /// The same at another address.
    pub(crate) fn start_at(ip: &str, settings: &str) -> Self {
        Self::launch(ip, settings, command().args(["serve", "pf", "--log", "error"]))
    }

    /// The same in another part than the PF's.
    pub(crate) fn start_as(part: &str, settings: &str) -> Self {
        Self::launch("127.0.0.1", settings, command().args(["serve", part, "--log", "error"]))
    }

    /// The same with a log of everything in JSON.
    pub(crate) fn start_logging(ip: &str, settings: &str) -> Self {
        Self::launch(ip, settings, command().args(["serve", "pf", "--log", "debug", "--log-format", "json"]).stderr(Stdio::piped()))
    }

    fn launch(ip: &str, settings: &str, command: &mut Command) -> Self {
        let usual = format!(
            "listen = [\"udp:{ip}:0\", \"tcp:{ip}:0\", \"tls:{ip}:0\"]\nmsrp-listen = [\"{ip}:0\"]\ncore = \"sip:127.0.0.1:9\"\n\
             store = \"memory\"\n"
        );
        let mut child = command.args(["--config", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the server");
        let mut stdin = child.stdin.take().expect("its input");
        stdin.write_all(format!("{usual}{settings}").as_bytes()).expect("its settings");
        drop(stdin);
        let mut stdout = BufReader::new(child.stdout.take().expect("its output"));
        let mut said = Vec::new();
        while said.last().is_none_or(|line| line != "ready") {
            let mut line = String::new();
            assert!(stdout.read_line(&mut line).expect("a line") > 0, "it ended before it was ready: {said:?}");
            said.push(line.trim_end().to_owned());
        }
        let address = |of: &str| {
            let line = said.iter().find_map(|line| line.strip_prefix("listening ")?.strip_prefix(of)).expect("its address");
            line.parse().expect("an address")
        };
        Self {
            udp: address("sip udp:"),
            tcp: address("sip tcp:"),
            tls: address("sip tls:"),
            msrp: address("msrp tcp:"),
            child,
            _stdout: stdout,
        }
    }

    /// Ends it in good order; what it has logged is returned.
    pub(crate) fn ended(mut self) -> String {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().is_ok_and(|status| status.success()));
        let mut log = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut log).expect("text");
        log
    }

    pub(crate) fn tcp(&self) -> TcpStream {
        connect(self.tcp)
    }

    pub(crate) fn udp_answers(&self) -> bool {
        let socket = UdpSocket::bind((self.udp.ip(), 0)).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let own = socket.local_addr().expect("its address");
        let request = String::from_utf8(options(&format!("udp-{}", own.port()), "")).expect("text");
        let request = request.replace("SIP/2.0/TCP 127.0.0.1", &format!("SIP/2.0/UDP {own}"));
        socket.send_to(request.as_bytes(), self.udp).expect("a request");
        let mut buffer = [0; 4096];
        let size = socket.recv(&mut buffer).expect("an answer");
        buffer[..size].starts_with(b"SIP/2.0 ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn command() -> Command {
    Command::new(assert_cmd::cargo::cargo_bin("cpmcheck"))
}

pub(crate) fn ended(args: &[&str]) -> Output {
    command().args(args).output().expect("the program")
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

pub(crate) fn options(name: &str, fields: &str) -> Vec<u8> {
    format!(
        "OPTIONS sip:pf.home1.example SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK-{name}\r\nMax-Forwards: 70\r\n\
         From: <sip:probe@home1.example>;tag={name}\r\nTo: <sip:pf.home1.example>\r\nCall-ID: {name}@probe\r\n\
         CSeq: 1 OPTIONS\r\n{fields}Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

pub(crate) fn first_line(stream: &mut impl Read) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        let size = stream.read(&mut buffer).expect("an answer");
        assert!(size > 0, "closed in place of an answer");
        answer.extend_from_slice(&buffer[..size]);
    }
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

/// Waits until the server ends the connection; what it still says is skipped.
pub(crate) fn is_closed(stream: &mut impl Read) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(fault) => !matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}
