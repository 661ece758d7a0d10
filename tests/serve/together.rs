//! `serve pf`, `serve cf` and two `serve client`: processes that talk to one another and are told by
//! their standard input what a person would do.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};

use super::certificates::OURS;
use super::server::{PATIENCE, command};

const ALICE: &str = "sip:+15145550101@home1.example";
const BOB: &str = "sip:+15145550102@home1.example";

/// One of the processes; it is killed when it is dropped.
struct Process {
    name: &'static str,
    child: Child,
    orders: ChildStdin,
    /// What it prints, line by line.
    said: Receiver<String>,
    /// What it has said and nobody has asked for yet.
    unheard: VecDeque<String>,
    /// Where it takes SIP.
    sip: String,
}

impl Process {
    fn start(name: &'static str, part: &str, settings: &str) -> Self {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), settings).expect("settings");
        let mut child = command()
            .args(["serve", part, "--log", "warn", "--config", &file.path().display().to_string()])
            .args((part != "pf").then_some("--control"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let orders = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (to_us, said) = channel();
        // Ends with the process, or with us.
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| to_us.send(line)));
        let mut own = Self { name, child, orders, said, unheard: VecDeque::new(), sip: String::new() };
        let line = own.hears("listening sip ");
        own.sip = line.rsplit_once(' ').map(|(_, address)| address.to_owned()).expect("an address");
        own.hears("ready");
        own
    }

    /// The first line that begins so and was not heard yet. What comes before it stays to be heard:
    /// a Client may print an invitation before the answer to its REGISTER.
    #[track_caller]
    fn hears(&mut self, begin: &str) -> String {
        if let Some(place) = self.unheard.iter().position(|line| line.starts_with(begin)) {
            return self.unheard.remove(place).expect("it was found");
        }
        loop {
            let line = match self.said.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(why) => panic!("{} does not say `{begin}` ({why}), but {:?}", self.name, self.unheard),
            };
            if line.starts_with(begin) {
                return line;
            }
            self.unheard.push_back(line);
        }
    }

    fn does(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("it lives");
    }

    /// Returns when all orders so far are carried out: they are taken one after the other.
    fn has_done_all(&mut self) {
        self.does("dance");
        self.hears("error `dance` is no order");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A PF for two users, their Clients, and a focus: each at an address, over a transport.
struct House {
    ip: &'static str,
    transport: &'static str,
    ports: [u16; 3],
}

impl House {
    fn new(ip: &'static str, transport: &'static str) -> Self {
        Self { ip, transport, ports: [(); 3].map(|()| port_of_our_own(ip)) }
    }

    /// The URI of one of those whose port is known beforehand: the PF, Alice, Bob.
    fn uri(&self, number: usize) -> String {
        format!("sip:{}:{};transport={}", self.ip, self.ports[number], self.transport)
    }

    /// What all have in common. Over TLS everyone shows a certificate, and wants to see one.
    fn settings(&self, port: u16, more: &str) -> String {
        let Self { ip, transport, .. } = self;
        let media = if *transport == "tls" { "tls:" } else { "" };
        let tls = format!(
            "\n[tls]\ncertificate = {:?}\nkey = {:?}\ntrusted = {:?}\nmutual = true\n",
            OURS.certificate(),
            OURS.key(),
            OURS.authority()
        );
        let tls = if *transport == "tls" { tls } else { String::new() };
        // A request that is too large for UDP goes by TCP to the same port (RFC 3261 18.1.1).
        let beside = if *transport == "udp" { format!(", \"tcp:{ip}:{port}\"") } else { String::new() };
        format!("listen = [\"{transport}:{ip}:{port}\"{beside}]\nmsrp-listen = [\"{media}{ip}:0\"]\nspeed = 10.0\n{more}{tls}")
    }

    fn pf(&self) -> Process {
        let users: String = [(ALICE, 1), (BOB, 2)]
            .iter()
            .map(|(uri, number)| format!("[[user]]\nuri = \"{uri}\"\ncore = \"{}\"\n", self.uri(*number)))
            .collect();
        let settings = self.settings(self.ports[0], "store = \"memory\"\n");
        Process::start("pf", "pf", &format!("{settings}\n{users}"))
    }

    fn client(&self, name: &'static str, uri: &str, number: usize) -> Process {
        let core = format!("core = \"{}\"\n", self.uri(0));
        let settings = self.settings(self.ports[number], &core);
        Process::start(
            name,
            "client",
            &format!(
                "{settings}\n[[user]]\nuri = \"{uri}\"\ninstance = \"urn:uuid:00000000-0000-4000-8000-00000000000{number}\"\n"
            ),
        )
    }

    fn focus(&self) -> Process {
        let core = format!("core = \"{}\"\n", self.uri(0));
        let port = port_of_our_own(self.ip);
        let settings = self.settings(port, &core);
        let group = format!(
            "[[group]]\nfocus = \"sip:gc-1@{}:{port};transport={}\"\nsubject = \"Beach trip\"\nconversation-id = \"conversation-1\"\n\
             contribution-id = \"contribution-1\"\nmembers = [\"{ALICE}\", \"{BOB}\"]\ninvite = [\"{ALICE}\"]\n",
            self.ip, self.transport
        );
        Process::start("cf", "cf", &format!("{settings}\n{group}"))
    }
}

/// A port that is free, and stays so until its process takes it: it lies below those that systems
/// hand out, and no other test of this program gets it.
fn port_of_our_own(ip: &str) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 100) as u16 * 100;
    let free = |port: &u16| TcpListener::bind(format!("{ip}:{port}")).is_ok() && UdpSocket::bind(format!("{ip}:{port}")).is_ok();
    std::iter::repeat_with(|| first + NEXT.fetch_add(1, Ordering::Relaxed)).take(1_000).find(free).expect("a free port")
}

/// A session comes about; Bob's Client is killed, misses something, comes back as a new process, and
/// gets it; then it loses its radio and comes back once more.
fn a_client_is_lost_and_comes_back(house: &House) {
    let _pf = house.pf();
    let mut alice = house.client("alice", ALICE, 1);
    let mut bob = house.client("bob", BOB, 2);
    alice.hears("registered");
    bob.hears("registered");
    let mut focus = house.focus();
    alice.hears("invited conversation-1");
    focus.hears("joined");
    focus.does(&format!("invite {BOB}"));
    bob.hears("invited conversation-1");
    focus.hears("joined");
    alice.does("say hello");
    assert_eq!(bob.hears("message "), format!("message {ALICE} hello"));
    // Once his answer is there, the PF knows that he has what came before.
    bob.does("say hello too");
    alice.hears(&format!("message {BOB} hello too"));

    drop(bob);
    for text in ["first", "second"] {
        alice.does(&format!("say {text}"));
        focus.hears(&format!("message {ALICE} {text}"));
    }
    let mut bob = house.client("bob", BOB, 2);
    bob.hears("registered");
    bob.hears("invited conversation-1");
    for text in ["first", "second"] {
        assert_eq!(bob.hears("message "), format!("message {ALICE} {text}"));
    }

    bob.does("lose");
    bob.has_done_all();
    alice.does("say third");
    focus.hears(&format!("message {ALICE} third"));
    bob.does("register");
    bob.hears("registered");
    assert_eq!(bob.hears("message "), format!("message {ALICE} third"));
}

#[test]
fn four_processes_hold_a_group_chat_over_tcp_while_one_of_them_comes_and_goes() {
    a_client_is_lost_and_comes_back(&House::new("127.0.0.1", "tcp"));
}

#[test]
fn four_processes_hold_a_group_chat_over_tls_with_certificates_on_both_sides() {
    a_client_is_lost_and_comes_back(&House::new("127.0.0.1", "tls"));
}

#[test]
fn four_processes_hold_a_group_chat_over_udp_on_ipv6() {
    if UdpSocket::bind("[::1]:0").is_ok() {
        a_client_is_lost_and_comes_back(&House::new("[::1]", "udp"));
    }
}
