//! A PF in a process of its own with a crowd of users, each with one group session that it holds: the
//! user's device took the session and was lost, and the PF subscribed to the roster in its place. The
//! focus of all groups and the core in front of all devices are of this process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant as RealInstant};

use cpmcheck::endpoint::{Config, DialogId, Endpoint, Event, Hosts, MsrpId, TransactionId};
use cpmcheck::engine::Transport;
use cpmcheck::msrp;
use cpmcheck::net::NodeId;
use cpmcheck::net::socket::{Bound, Clock, Limits, Listener, Sockets, Use, raise_descriptor_limit};
use cpmcheck::time::Instant;
use cpmcheck::wire::sip::{Builder, Message};

const FOCUS: usize = 0;
const CORE: usize = 1;
/// Sessions under way to be held at once.
const WINDOW: usize = 32;
/// Longer than anything here takes; only a defect makes it pass.
const PATIENCE: Duration = Duration::from_secs(30);

/// How far one session has come.
#[derive(Clone, Copy, Default)]
struct Progress {
    focus_media: bool,
    device: Option<DialogId>,
    device_media: bool,
    lost: bool,
}

/// What a transaction, dialog or session of a node is about: the number of its user.
#[derive(Default)]
struct Owners {
    calls: BTreeMap<TransactionId, (usize, MsrpId)>,
    media: BTreeMap<(usize, MsrpId), usize>,
    rosters: BTreeMap<TransactionId, usize>,
}

/// The PF, the crowd and its peers.
pub(crate) struct Crowd {
    pf: Child,
    _said: BufReader<ChildStdout>,
    runtime: tokio::runtime::Runtime,
    sockets: Sockets<Endpoint>,
    nodes: [NodeId; 2],
    owners: Owners,
    progress: Vec<Progress>,
    held: usize,
    /// INVITEs that came to devices besides those of the set-up.
    pub(crate) further: usize,
}

/// Addresses of this process: loopback has enough for several at a time.
fn address(node: u8) -> IpAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 16 + high % 200, low, node).into()
}

fn user(number: usize) -> String {
    format!("sip:+1514{number:07}@home1.example")
}

fn group(number: usize) -> String {
    format!("sip:gc-{number}@cf.home1.example")
}

fn names() -> [(&'static str, IpAddr); 3] {
    [("pf.home1.example", address(1)), ("cf.home1.example", address(2)), ("scscf1.home1.example", address(3))]
}

impl Crowd {
    /// Starts the PF for a crowd of this size; no session is there yet.
    pub(crate) fn new(size: usize) -> Self {
        raise_descriptor_limit(size as u64 + 200).expect("a descriptor for each connection");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let entered = runtime.enter();
        let mut sockets = Sockets::new(Clock::of_the_wall(1.0, None), Limits::default(), None);
        let mut add = |name: &str, host: u8, known_as: &str| {
            let own = |of, port| Listener { of, transport: Transport::Tcp, address: SocketAddr::new(address(host), port) };
            let bound = Bound::bind(&[own(Use::Sip, 5060), own(Use::Msrp, 2855)], &Limits::default()).expect("free addresses");
            let hosts: Hosts = names().into_iter().collect();
            let endpoint = Endpoint::new(Config::new(name, 1, address(host), known_as, Arc::new(hosts)));
            sockets.add(name.into(), bound, None, endpoint).expect("sockets")
        };
        let nodes = [add("cf", 2, "cf.home1.example"), add("core", 3, &address(3).to_string())];
        drop(entered);
        let (pf, said) = start(size);
        Self {
            pf,
            _said: said,
            runtime,
            sockets,
            nodes,
            owners: Owners::default(),
            progress: vec![Progress::default(); size],
            held: 0,
            further: 0,
        }
    }

    /// Sets every session up and lets its device be lost, until the PF holds them all.
    pub(crate) fn hold(&mut self, mut tell: impl FnMut(usize)) {
        let mut asked = 0;
        while self.held < self.progress.len() {
            while asked < self.progress.len() && asked < self.held + WINDOW {
                self.invite(asked);
                asked += 1;
            }
            let before = self.held;
            assert!(self.step(PATIENCE), "nothing comes any more: {} of {asked} are held", self.held);
            if self.held > before {
                tell(self.held);
            }
        }
    }

    /// Lets time pass, in which peers do as they should, until `done` says so.
    pub(crate) fn serve_while(&mut self, mut busy: impl FnMut() -> bool) {
        while busy() {
            self.step(Duration::from_millis(5));
        }
    }

    /// The resident memory of the PF, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pf.id())).expect("the PF lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kilobytes * 1024
    }

    /// The TCP connections of the PF that are open.
    pub(crate) fn connections(&self) -> usize {
        let [a, b, c, d] = match address(1) {
            IpAddr::V4(address) => address.octets(),
            IpAddr::V6(_) => unreachable!("addresses of ours are of version 4"),
        };
        let own = format!("{:08X}:", u32::from_le_bytes([a, b, c, d]));
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's list of sockets");
        let open = |line: &&str| {
            let mut columns = line.split_whitespace().skip(1);
            // State 01 is established.
            columns.next().is_some_and(|local| local.starts_with(&own)) && columns.nth(1) == Some("01")
        };
        table.lines().skip(1).filter(open).count()
    }

    /// Whether anything happened in time.
    fn step(&mut self, patience: Duration) -> bool {
        let end = self.sockets.now() + patience;
        let happened = self.runtime.block_on(self.sockets.step(Some(end))).is_some();
        for peer in [FOCUS, CORE] {
            while let Some(event) = self.act(peer, |endpoint, _| endpoint.poll_event()) {
                self.on_event(peer, event);
            }
        }
        happened
    }

    fn act<R>(&mut self, peer: usize, action: impl FnOnce(&mut Endpoint, Instant) -> R) -> R {
        let _entered = self.runtime.enter();
        self.sockets.act(self.nodes[peer], |peer, now| action(peer, now)).expect("a node of ours")
    }

    fn on_event(&mut self, peer: usize, event: Event) {
        match event {
            Event::Request { transaction, message, .. } => self.on_request(peer, transaction, &message),
            Event::Response { transaction, dialog: Some(dialog), message } => self.on_response(transaction, dialog, &message),
            Event::Msrp { session, event: msrp::Event::Bound } => self.on_bound(peer, session),
            Event::Response { message, .. } if message.status().is_some_and(|status| status >= 300) => {
                panic!("a request was refused: {}", message.to_text());
            }
            Event::Failed { why, .. } => panic!("a request came to nothing: {why:?}"),
            _ => {}
        }
    }

    fn describe(&mut self, peer: usize, number: usize, setup: &str) -> (MsrpId, String) {
        let (media, path) = self.act(peer, |endpoint, _| endpoint.msrp_open());
        self.owners.media.insert((peer, media), number);
        let own = names()[peer + 1].1;
        let sdp = format!(
            "v=0\r\no=- {} 1 IN IP4 {own}\r\ns=-\r\nc=IN IP4 {own}\r\nt=0 0\r\nm=message 2855 TCP/MSRP *\r\n\
             a=accept-types:message/cpim\r\na=accept-wrapped-types:text/plain\r\na=setup:{setup}\r\na=path:{path}\r\na=sendrecv\r\n",
            media.0
        );
        (media, sdp)
    }

    /// Media towards the description in a message of the PF.
    fn start_media(&mut self, peer: usize, media: MsrpId, message: &Message) {
        let text = String::from_utf8_lossy(&message.body()).into_owned();
        let path = text.lines().find_map(|line| line.strip_prefix("a=path:")).expect("a path in the description").to_owned();
        self.act(peer, |endpoint, now| endpoint.msrp_start(now, media, &path, true));
    }

    /// The focus invites a user.
    fn invite(&mut self, number: usize) {
        let (media, sdp) = self.describe(FOCUS, number, "actpass");
        let (group, user) = (group(number), user(number));
        let invite = Builder::request("INVITE", &user)
            .push("Route", "<sip:pf.home1.example;lr>")
            .push("From", format!("<{group}>"))
            .push("To", format!("<{user}>"))
            .push("Contact", format!("<{group}>;isfocus"))
            .push("P-Asserted-Identity", format!("<{group}>"))
            .push("P-Asserted-Service", "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.session.group")
            .push("Referred-By", "<sip:+15145550101@home1.example>")
            .push("Accept-Contact", "*;+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.session\"")
            .push("Conversation-ID", format!("conversation-{number}"))
            .push("Contribution-ID", format!("contribution-{number}"))
            .push("Subject", "Crowd")
            .body("application/sdp", sdp);
        let call = self.act(FOCUS, |endpoint, now| endpoint.send(now, invite));
        self.owners.calls.insert(call, (number, media));
    }

    fn on_response(&mut self, transaction: TransactionId, dialog: DialogId, message: &Message) {
        if let Some(number) = self.owners.rosters.remove(&transaction) {
            assert_eq!(message.status(), Some(200), "the roster of {number}");
            self.held += 1;
        } else if message.status() == Some(200)
            && let Some((_, media)) = self.owners.calls.remove(&transaction)
        {
            self.act(FOCUS, |endpoint, now| endpoint.acknowledge(now, transaction, dialog, None));
            self.start_media(FOCUS, media, message);
        }
    }

    fn on_request(&mut self, peer: usize, transaction: TransactionId, message: &Message) {
        let number = || message.request_uri()?.strip_prefix("sip:+1514")?.split('@').next()?.parse::<usize>().ok();
        match message.method_token() {
            Some("INVITE") => {
                let number = number().expect("a user of ours");
                if self.progress[number].lost {
                    self.further += 1;
                    return self.answer(peer, transaction, 480);
                }
                self.pick_up(number, transaction, message);
            }
            Some("SUBSCRIBE") => self.send_roster(transaction, message),
            _ => self.answer(peer, transaction, 200),
        }
    }

    fn answer(&mut self, peer: usize, transaction: TransactionId, status: u16) {
        self.act(peer, |endpoint, now| {
            let response = endpoint.response(transaction, status);
            endpoint.respond(now, transaction, response);
        });
    }

    /// The user's device takes the session.
    fn pick_up(&mut self, number: usize, transaction: TransactionId, message: &Message) {
        let (media, sdp) = self.describe(CORE, number, "active");
        let contact = format!(
            "<sip:device-{number}@{}:5060;transport=tcp>;+sip.instance=\"<urn:gsma:imei:{number:08}-694458-0>\"",
            address(3)
        );
        let dialog = self.act(CORE, |endpoint, now| {
            let response = endpoint.response(transaction, 200).set("Contact", contact).body("application/sdp", sdp);
            endpoint.respond(now, transaction, response)
        });
        self.progress[number].device = dialog;
        self.start_media(CORE, media, message);
    }

    /// Once both sides have their connection, the device is lost.
    fn on_bound(&mut self, peer: usize, media: MsrpId) {
        let Some(number) = self.owners.media.get(&(peer, media)).copied() else { return };
        let own = &mut self.progress[number];
        if peer == FOCUS {
            own.focus_media = true;
        } else {
            own.device_media = true;
        }
        if own.focus_media
            && own.device_media
            && let (Some(dialog), false) = (own.device, own.lost)
        {
            own.lost = true;
            let bye = Builder::request("BYE", "").push("Reason", "SIP;cause=503;text=\"Radio lost\"");
            self.act(CORE, |endpoint, now| endpoint.send_in(now, dialog, bye));
        }
    }

    /// The focus tells the PF, which subscribes for the user who is away, who takes part.
    fn send_roster(&mut self, transaction: TransactionId, message: &Message) {
        let number = |uri: &str| uri.strip_prefix("sip:gc-")?.split('@').next()?.parse::<usize>().ok();
        let number = message.request_uri().and_then(number).expect("a group of ours");
        let mut roster = format!(
            "<?xml version=\"1.0\"?>\n<conference-info xmlns=\"urn:ietf:params:xml:ns:conference-info\" entity=\"{}\" state=\"full\" version=\"1\"><users>",
            group(number)
        );
        for member in ["sip:+15145550101@home1.example".to_owned(), user(number), "sip:+15145550103@home1.example".to_owned()] {
            let _ = write!(
                roster,
                "<user entity=\"{member}\"><endpoint entity=\"{member}\"><status>connected</status></endpoint></user>"
            );
        }
        roster.push_str("</users></conference-info>");
        let notify = Builder::request("NOTIFY", "")
            .push("Event", "conference")
            .push("Subscription-State", "active;expires=3600")
            .body("application/conference-info+xml", roster);
        let sent = self.act(FOCUS, |endpoint, now| {
            let response = endpoint.response(transaction, 200).push("Expires", 3600);
            let dialog = endpoint.respond(now, transaction, response)?;
            endpoint.send_in(now, dialog, notify)
        });
        self.owners.rosters.insert(sent.expect("a subscription"), number);
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.pf.kill();
        let _ = self.pf.wait();
    }
}

/// Starts the PF and waits until it is ready.
fn start(size: usize) -> (Child, BufReader<ChildStdout>) {
    let own = address(1);
    let mut settings = format!(
        "listen = [\"tcp:{own}:5060\", \"udp:{own}:5060\"]\nmsrp-listen = [\"{own}:2855\"]\nhost = \"pf.home1.example\"\n\
         core = \"sip:scscf1.home1.example;transport=tcp\"\nstore = \"memory\"\n\n[hosts]\n"
    );
    for (name, ip) in names() {
        let _ = writeln!(settings, "\"{name}\" = \"{ip}\"");
    }
    for number in 0..size {
        let _ = writeln!(settings, "\n[[user]]\nuri = \"{}\"", user(number));
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_cpmcheck"))
        .args(["serve", "pf", "--log", "warn", "--config", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the PF starts");
    child.stdin.take().expect("piped").write_all(settings.as_bytes()).expect("its settings");
    let mut said = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    while line != "ready\n" {
        line.clear();
        assert!(said.read_line(&mut line).expect("a pipe") > 0, "the PF ended before it was ready");
    }
    (child, said)
}

#[expect(clippy::disallowed_methods, reason = "a real process is timed")]
fn now() -> RealInstant {
    RealInstant::now()
}

/// The S-CSCF tells of users who are back, one after the other, each time waiting for the answer: how
/// long each took.
pub(crate) fn register(users: impl Iterator<Item = usize>) -> Vec<Duration> {
    let socket = UdpSocket::bind((address(4), 0)).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let from = socket.local_addr().expect("an address");
    let mut buffer = [0; 4096];
    let mut once = |(count, number): (usize, usize)| {
        let request = format!(
            "REGISTER sip:pf.home1.example SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKr{count}\r\nMax-Forwards: 70\r\n\
             From: <sip:scscf1.home1.example>;tag=r{count}\r\nTo: <{}>\r\nCall-ID: r{count}@{}\r\nCSeq: 1 REGISTER\r\n\
             Contact: <sip:scscf1.home1.example:5060>\r\nExpires: 600000\r\nContent-Length: 0\r\n\r\n",
            user(number),
            from.ip()
        );
        let asked = now();
        socket.send_to(request.as_bytes(), SocketAddr::new(address(1), 5060)).expect("a request");
        loop {
            let size = socket.recv(&mut buffer).expect("an answer");
            let answer = String::from_utf8_lossy(&buffer[..size]);
            if answer.starts_with("SIP/2.0 1")
                || !answer.contains(&format!("branch=z9hG4bKr{count}\r\n")) && !answer.contains(&format!("branch=z9hG4bKr{count};"))
            {
                continue;
            }
            assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
            return asked.elapsed();
        }
    };
    users.enumerate().map(&mut once).collect()
}
