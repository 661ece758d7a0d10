//! The two peers of the PF on sockets of their own: the focus, and Bob's device behind the core.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cpmcheck::endpoint::{Config, DialogId, Endpoint, Event, Hosts, MsrpId, TransactionId};
use cpmcheck::engine::Transport;
use cpmcheck::msrp::{Outgoing, Token};
use cpmcheck::net::NodeId;
use cpmcheck::net::socket::{Bound, Clock, Limits, Listener, Sockets, Use};
use cpmcheck::time::Instant;
use cpmcheck::wire::msrp::FailureReport;
use cpmcheck::wire::sip::{Builder, Message};

pub(crate) const FOCUS: usize = 0;
pub(crate) const BOB: usize = 1;

const USER: &str = "sip:+15145550102@home1.example";
const GROUP: &str = "sip:gc-1@cf.home1.example";
const ALICE: &str = "sip:+15145550101@home1.example";
const PHONE: &str = "urn:gsma:imei:35824005-694458-0";
/// How much a message has to say beside its number.
const FILLER: usize = 900;

/// Addresses of this process: loopback has enough for several at a time.
fn address(node: u8) -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 16 + high % 200, low, node)
}

const PF_HOST: u8 = 1;
const FOCUS_HOST: u8 = 2;
const BOB_HOST: u8 = 3;

pub(crate) struct Peers {
    runtime: tokio::runtime::Runtime,
    sockets: Sockets<Endpoint>,
    nodes: [NodeId; 2],
    events: VecDeque<(usize, Event)>,
}

impl Peers {
    pub(crate) fn new(seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (sockets, nodes) = runtime.block_on(async {
            let mut sockets = Sockets::new(Clock::of_the_wall(1.0, None), Limits::default(), None);
            let mut add = |name: &str, host: u8, known_as: &str| {
                let ip = IpAddr::V4(address(host));
                let own = |of, transport, port| Listener { of, transport, address: SocketAddr::new(ip, port) };
                let wanted = [own(Use::Sip, Transport::Tcp, 5060), own(Use::Msrp, Transport::Tcp, 2855)];
                let bound = Bound::bind(&wanted, &Limits::default()).expect("free addresses");
                let endpoint = Endpoint::new(Config::new(name, seed, ip, known_as, Arc::new(hosts())));
                sockets.add(name.into(), bound, None, endpoint).expect("sockets")
            };
            let nodes = [add("cf", FOCUS_HOST, "cf.home1.example"), add("bob", BOB_HOST, &address(BOB_HOST).to_string())];
            (sockets, nodes)
        });
        Self { runtime, sockets, nodes, events: VecDeque::new() }
    }

    /// The configuration of a PF that has these peers.
    pub(crate) fn configuration(&self, store: &Path) -> String {
        let own = address(PF_HOST);
        let names: String = hosts_of().map(|(name, ip)| format!("\"{name}\" = \"{ip}\"\n")).concat();
        format!(
            "listen = [\"tcp:{own}:5060\"]\nmsrp-listen = [\"{own}:2855\"]\nhost = \"pf.home1.example\"\n\
             core = \"sip:scscf1.home1.example\"\nstore = {store:?}\n\n\
             [policy]\n\"msrp.window\" = 1\n\n[hosts]\n{names}\n[[user]]\nuri = \"{USER}\"\n"
        )
    }

    /// The next event of a peer; `None` when nothing comes for so long.
    pub(crate) fn next(&mut self, patience: Duration) -> Option<(usize, Event)> {
        let end = self.sockets.now() + patience;
        loop {
            for peer in [FOCUS, BOB] {
                while let Some(event) = self.act(peer, |endpoint, _| endpoint.poll_event()) {
                    self.events.push_back((peer, event));
                }
            }
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.sockets.now() >= end {
                return None;
            }
            let sockets = &mut self.sockets;
            self.runtime.block_on(sockets.step(Some(end)));
        }
    }

    fn act<R>(&mut self, peer: usize, action: impl FnOnce(&mut Endpoint, Instant) -> R) -> R {
        let _entered = self.runtime.enter();
        self.sockets.act(self.nodes[peer], |peer, now| action(peer, now)).expect("a node of ours")
    }

    fn describe(&mut self, peer: usize, setup: &str) -> (MsrpId, String) {
        let (media, path) = self.act(peer, |endpoint, _| endpoint.msrp_open());
        let own = address(if peer == FOCUS { FOCUS_HOST } else { BOB_HOST });
        let sdp = format!(
            "v=0\r\no=- {} 1 IN IP4 {own}\r\ns=-\r\nc=IN IP4 {own}\r\nt=0 0\r\nm=message 2855 TCP/MSRP *\r\n\
             a=accept-types:message/cpim\r\na=accept-wrapped-types:text/plain\r\na=setup:{setup}\r\na=path:{path}\r\na=sendrecv\r\n",
            media.0
        );
        (media, sdp)
    }

    /// Media towards the description in a message of the PF.
    fn start(&mut self, peer: usize, media: MsrpId, message: &Message) {
        let text = String::from_utf8_lossy(&message.body()).into_owned();
        let path = text.lines().find_map(|line| line.strip_prefix("a=path:")).expect("a path in the description").to_owned();
        self.act(peer, |endpoint, now| endpoint.msrp_start(now, media, &path, true));
    }

    /// The focus invites Bob.
    pub(crate) fn invite(&mut self) -> (TransactionId, MsrpId) {
        let (media, sdp) = self.describe(FOCUS, "actpass");
        let invite = Builder::request("INVITE", USER)
            .push("Route", "<sip:pf.home1.example;lr>")
            .push("From", format!("<{GROUP}>"))
            .push("To", format!("<{USER}>"))
            .push("Contact", format!("<{GROUP}>;isfocus"))
            .push("P-Asserted-Identity", format!("<{GROUP}>"))
            .push("P-Asserted-Service", "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.session.group")
            .push("Referred-By", format!("<{ALICE}>"))
            .push("Accept-Contact", "*;+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.session\"")
            .push("Conversation-ID", "conversation-1")
            .push("Contribution-ID", "contribution-1")
            .push("Subject", "Crash")
            .body("application/sdp", sdp);
        (self.act(FOCUS, |endpoint, now| endpoint.send(now, invite)), media)
    }

    /// The focus acknowledges the 200 of the PF.
    pub(crate) fn acknowledge(&mut self, invite: TransactionId, dialog: DialogId, media: MsrpId, response: &Message) {
        self.act(FOCUS, |endpoint, now| endpoint.acknowledge(now, invite, dialog, None));
        self.start(FOCUS, media, response);
    }

    /// A peer answers an INVITE of the PF by 200.
    pub(crate) fn pick_up(&mut self, peer: usize, invite: TransactionId, message: &Message) -> (Option<DialogId>, MsrpId) {
        let (media, sdp) = self.describe(peer, "active");
        let contact = match peer {
            FOCUS => format!("<{GROUP}>;isfocus"),
            _ => format!("<sip:bob@{}:5060;transport=tcp>;+sip.instance=\"<{PHONE}>\"", address(BOB_HOST)),
        };
        let dialog = self.act(peer, |endpoint, now| {
            let response = endpoint.response(invite, 200).set("Contact", contact).body("application/sdp", sdp);
            endpoint.respond(now, invite, response)
        });
        self.start(peer, media, message);
        (dialog, media)
    }

    /// Bob's device is lost.
    pub(crate) fn lose(&mut self, dialog: DialogId) {
        let bye = Builder::request("BYE", "").push("Reason", "SIP;cause=503;text=\"Radio lost\"");
        self.act(BOB, |endpoint, now| endpoint.send_in(now, dialog, bye));
    }

    /// The S-CSCF tells that Bob is gone, and back.
    pub(crate) fn register(&mut self) {
        for expires in [0, 600_000] {
            let register = Builder::request("REGISTER", "sip:pf.home1.example")
                .push("Route", "<sip:pf.home1.example;lr>")
                .push("From", "<sip:scscf1.home1.example>")
                .push("To", format!("<{USER}>"))
                .push("Contact", "<sip:scscf1.home1.example:5060>")
                .push("Expires", expires);
            self.act(BOB, |endpoint, now| endpoint.send(now, register));
        }
    }

    pub(crate) fn answer(&mut self, peer: usize, transaction: TransactionId, status: u16) {
        self.act(peer, |endpoint, now| {
            let response = endpoint.response(transaction, status);
            endpoint.respond(now, transaction, response);
        });
    }

    pub(crate) fn answer_subscription(&mut self, transaction: TransactionId) {
        self.act(FOCUS, |endpoint, now| {
            let response = endpoint.response(transaction, 200).push("Expires", 3600);
            endpoint.respond(now, transaction, response);
        });
    }

    /// The focus sends the message of this number; returns its Message-ID.
    pub(crate) fn write(&mut self, media: MsrpId, number: u64) -> String {
        let body = format!(
            "From: <{ALICE}>\r\nTo: <{GROUP}>\r\nDateTime: 2012-01-17T09:00:00Z\r\n\r\nContent-Type: text/plain\r\n\r\nnumber {number} {}",
            "x".repeat(FILLER)
        );
        let outgoing = Outgoing {
            message_id: None,
            content_type: "message/cpim".to_owned(),
            body: Bytes::from(body),
            success_report: false,
            failure_report: FailureReport::Yes,
            chunk_size: 2_048,
        };
        self.act(FOCUS, |endpoint, now| endpoint.msrp_send(now, media, outgoing))
    }

    /// A peer answers a message by 200.
    pub(crate) fn take(&mut self, peer: usize, media: MsrpId, token: Token) {
        self.act(peer, |endpoint, now| endpoint.msrp_answer(now, media, token, 200));
    }

    /// The number of a message of the focus.
    pub(crate) fn number_of(body: &[u8]) -> Option<u64> {
        let text = String::from_utf8_lossy(body);
        text.split_once("number ")?.1.split(' ').next()?.parse().ok()
    }
}

fn hosts_of() -> [(&'static str, Ipv4Addr); 3] {
    [("pf.home1.example", address(PF_HOST)), ("cf.home1.example", address(FOCUS_HOST)), ("scscf1.home1.example", address(BOB_HOST))]
}

fn hosts() -> Hosts {
    hosts_of().map(|(name, ip)| (name, IpAddr::V4(ip))).into_iter().collect()
}
