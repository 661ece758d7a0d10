//! `cpmcheck serve` as a process on loopback: what it says, and what peers that misbehave can do.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

/// Longer than anything here takes; only a defect makes it pass.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn it_answers_on_udp_and_tcp_once_it_is_ready() {
    let server = Server::start("");
    assert!(server.udp_answers());
    let mut stream = server.tcp();
    stream.write_all(&options("tcp-1", "")).expect("a request");
    assert!(first_line(&mut stream).starts_with("SIP/2.0 "), "an answer on the same connection");
}

#[test]
fn a_peer_that_sends_garbage_is_closed_and_nobody_else_notices() {
    let server = Server::start("");
    let mut good = server.tcp();
    good.write_all(&options("good-1", "")).expect("a request");
    assert!(first_line(&mut good).starts_with("SIP/2.0 "));
    for (address, garbage) in [(server.tcp, &b"\x00\xff\x17nonsense\r\n\r\n"[..]), (server.msrp, b"GET / HTTP/1.1\r\n\r\n")] {
        let mut bad = connect(address);
        bad.write_all(garbage).expect("garbage");
        assert!(is_closed(&mut bad), "{address} was not closed");
    }
    UdpSocket::bind("127.0.0.1:0").expect("a socket").send_to(b"\x00\x01\x02", server.udp).expect("garbage");
    good.write_all(&options("good-2", "")).expect("a request");
    assert!(first_line(&mut good).starts_with("SIP/2.0 "));
    assert!(server.udp_answers());
}

#[test]
fn half_a_message_and_silence_are_closed_in_bounded_time() {
    let server = Server::start("[limits]\nunfinished = 0.4\n");
    let mut halves: Vec<TcpStream> = vec![server.tcp(), server.tcp(), connect(server.msrp), connect(server.msrp)];
    halves[0].write_all(b"OPTIONS sip:pf SIP/2.0\r\nVia: ").expect("half a message");
    halves[2].write_all(b"MSRP a1b2c3d4 SEND\r\nTo-Path: msrp://").expect("half a message");
    for half in &mut halves {
        assert!(is_closed(half), "a peer that says nothing whole stays");
    }
    assert!(server.udp_answers());
}

#[test]
fn bytes_that_drip_do_not_hold_a_connection_open() {
    let server = Server::start("[limits]\nunfinished = 0.5\n");
    let mut drip = server.tcp();
    drip.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    drip.write_all(b"OPTIONS sip:pf SIP/2.0\r\nX: ").expect("half a message");
    let mut byte = [0; 1];
    // Each round waits for the server to close, and adds a byte when it does not.
    let closed = (0..400).any(|_| match drip.read(&mut byte) {
        Ok(_) => true,
        Err(fault) if matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => drip.write_all(b"x").is_err(),
        Err(_) => true,
    });
    assert!(closed, "a byte now and then keeps the connection");
}

#[test]
fn an_oversized_header_is_refused_before_it_is_stored() {
    let server = Server::start("");
    let mut bad = server.tcp();
    let endless = vec![b'a'; 1 << 20];
    // The server may close while we are still writing.
    let _ = bad.write_all(b"OPTIONS sip:pf SIP/2.0\r\nX-Endless: ").and_then(|()| bad.write_all(&endless));
    assert!(is_closed(&mut bad));
    assert!(server.udp_answers());
}

#[test]
fn a_peer_that_does_not_read_is_given_up_and_holds_up_nobody() {
    let server = Server::start("[limits]\nstalled = 0.5\n");
    let mut deaf = server.tcp();
    deaf.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    let padding = format!("X-Padding: {}\r\n", "p".repeat(800));
    let batch: Vec<u8> = (0..64).flat_map(|number| options(&format!("deaf-{number}"), &padding)).collect();
    let fault = (0..100_000).find_map(|_| deaf.write_all(&batch).err()).expect("an endless peer is cut off");
    let given_up = matches!(fault.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted);
    assert!(given_up, "{fault}");
    assert!(server.udp_answers());
}

#[test]
fn a_port_in_use_is_said_and_ends_it_with_code_7() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let output = ended(&["serve", "pf", "--listen", &format!("tcp:{address}"), "--core", "sip:127.0.0.1", "--store", "memory"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("tcp:{address} is in use")), "{said}");
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(7), true));
}

#[test]
fn a_wrong_configuration_names_the_setting() {
    for (args, setting) in [
        (&["serve", "pf", "--listen", "5060", "--core", "sip:127.0.0.1"][..], "`listen`"),
        (&["serve", "pf", "--listen", "udp:127.0.0.1:0"], "`core`"),
        (&["serve", "client", "--listen", "udp:127.0.0.1:0", "--core", "sip:127.0.0.1"], "`user`"),
        (&["serve", "pf", "--listen", "udp:127.0.0.1:0", "--core", "sip:127.0.0.1", "--policy", "no.such=1"], "no.such"),
    ] {
        let output = ended(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(setting), "{args:?}: {said}");
    }
}

#[cfg(unix)]
#[test]
fn sigterm_drains_and_ends_in_good_order() {
    let mut server = Server::start("");
    assert!(server.udp_answers());
    let killed = Command::new("kill").arg(server.child.id().to_string()).status().expect("kill");
    assert!(killed.success());
    assert_eq!(server.child.wait().expect("an end").code(), Some(0));
}

#[test]
fn a_printed_configuration_is_one_that_is_read() {
    let args = ["serve", "pf", "--listen", "udp:127.0.0.1:0", "--core", "sip:127.0.0.1:5090", "--print-config"];
    let printed = ended(&args);
    let text = String::from_utf8(printed.stdout).expect("text");
    assert!(text.contains("core = \"sip:127.0.0.1:5090\""), "{text}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &text).expect("the configuration");
    let again = ended(&["serve", "pf", "--config", &file.path().display().to_string(), "--print-config"]);
    assert_eq!(String::from_utf8_lossy(&again.stdout), text);
}

#[test]
fn a_scenario_passes_against_our_own_pf_in_another_process() {
    let start = |target: &str| {
        let child = command()
            .args(["run", "group/leaves-voluntarily", "group/nothing-missed", "--target", target, "--timeout-scale", "4"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        (target.to_owned(), child.expect("the program"))
    };
    for (target, child) in ["self:udp", "self:tcp", "self:tls"].map(start) {
        let output = child.wait_with_output().expect("its output");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("3 passed, 0 failed"), "{target}: {said}");
    }
}

#[test]
fn what_sockets_cannot_do_is_skipped_with_the_reason() {
    let output = ended(&["run", "store/failed-commit", "--target", "self:udp", "--no-tests", "pass"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A server that ends with its test.
struct Server {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    udp: SocketAddr,
    tcp: SocketAddr,
    msrp: SocketAddr,
}

impl Server {
    /// Starts a PF with these settings besides the usual ones, and waits until it is ready.
    fn start(settings: &str) -> Self {
        let usual = "listen = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]\nmsrp-listen = [\"127.0.0.1:0\"]\n\
                     core = \"sip:127.0.0.1:9\"\nstore = \"memory\"\n";
        let mut child = command()
            .args(["serve", "pf", "--config", "-", "--log", "error"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server");
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
        Self { udp: address("sip udp:"), tcp: address("sip tcp:"), msrp: address("msrp tcp:"), child, _stdout: stdout }
    }

    fn tcp(&self) -> TcpStream {
        connect(self.tcp)
    }

    fn udp_answers(&self) -> bool {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let port = socket.local_addr().expect("its address").port();
        let request = String::from_utf8(options(&format!("udp-{port}"), "")).expect("text");
        let request = request.replace("SIP/2.0/TCP 127.0.0.1", &format!("SIP/2.0/UDP 127.0.0.1:{port}"));
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

fn command() -> Command {
    Command::new(assert_cmd::cargo::cargo_bin("cpmcheck"))
}

fn ended(args: &[&str]) -> Output {
    command().args(args).output().expect("the program")
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

fn options(name: &str, fields: &str) -> Vec<u8> {
    format!(
        "OPTIONS sip:pf.home1.example SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK-{name}\r\nMax-Forwards: 70\r\n\
         From: <sip:probe@home1.example>;tag={name}\r\nTo: <sip:pf.home1.example>\r\nCall-ID: {name}@probe\r\n\
         CSeq: 1 OPTIONS\r\n{fields}Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

fn first_line(stream: &mut TcpStream) -> String {
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
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(fault) => !matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}
