//! Two MSRP endpoints of ours on sockets, for what goes between them through other programs.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cpmcheck::endpoint::{Config, Endpoint, Event, Hosts, MsrpId};
use cpmcheck::engine::Transport;
use cpmcheck::msrp::{self, Incoming, Outgoing, Token};
use cpmcheck::net::NodeId;
use cpmcheck::net::socket::{Bound, Clock, Limits, Listener, Sockets, Use};
use cpmcheck::time::Instant;
use cpmcheck::wire::msrp::FailureReport;

/// Longer than anything here takes; only a defect makes it pass.
const PATIENCE: Duration = Duration::from_secs(30);

/// One of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    One,
    Other,
}

/// Both, each with one session.
pub(crate) struct Two {
    runtime: tokio::runtime::Runtime,
    sockets: Sockets<Endpoint>,
    nodes: [NodeId; 2],
    media: [MsrpId; 2],
    paths: [String; 2],
    events: VecDeque<(Side, msrp::Event)>,
}

impl Two {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let entered = runtime.enter();
        let mut sockets = Sockets::new(Clock::of_the_wall(1.0, None), Limits::default(), None);
        let ip = SocketAddr::from(([127, 0, 0, 1], 0)).ip();
        let nodes = ["one", "other"].map(|name| {
            let wanted = [Listener { of: Use::Msrp, transport: Transport::Tcp, address: SocketAddr::new(ip, 0) }];
            let bound = Bound::bind(&wanted, &Limits::default()).expect("free ports");
            let address = bound.addresses().next().expect("an address");
            let own = Config::new(name, 1, ip, "127.0.0.1", Arc::new(Hosts::default()));
            let endpoint = Endpoint::new(Config { msrp: address, success_reports: true, ..own });
            sockets.add(name.into(), bound, None, endpoint).expect("sockets")
        });
        let [(one, path), (other, other_path)] =
            nodes.map(|node| sockets.act(node, |peer, _| peer.msrp_open()).expect("a node of ours"));
        drop(entered);
        Self { runtime, sockets, nodes, media: [one, other], paths: [path, other_path], events: VecDeque::new() }
    }

    /// The path of one of them.
    pub(crate) fn path(&self, side: Side) -> &str {
        &self.paths[side as usize]
    }

    fn act<R>(&mut self, side: Side, action: impl FnOnce(&mut Endpoint, Instant, MsrpId) -> R) -> R {
        let _entered = self.runtime.enter();
        let media = self.media[side as usize];
        self.sockets.act(self.nodes[side as usize], |peer, now| action(peer, now, media)).expect("a node of ours")
    }

    /// Towards the peer at the end of this path, by a connection of its own or of the peer.
    pub(crate) fn start(&mut self, side: Side, path: &str, active: bool) {
        self.act(side, |endpoint, now, media| endpoint.msrp_start(now, media, path, active));
    }

    /// Sends a text in chunks of 2 KB, and wants a success report; its Message-ID is returned.
    pub(crate) fn send(&mut self, side: Side, text: &str) -> String {
        let body =
            format!("From: <sip:a@home1.example>\r\nTo: <sip:b@home1.example>\r\n\r\nContent-Type: text/plain\r\n\r\n{text}");
        let outgoing = Outgoing {
            message_id: None,
            content_type: "message/cpim".to_owned(),
            body: Bytes::from(body),
            success_report: true,
            failure_report: FailureReport::Yes,
            chunk_size: 2_048,
        };
        self.act(side, |endpoint, now, media| endpoint.msrp_send(now, media, outgoing))
    }

    fn answer(&mut self, side: Side, token: Token) {
        self.act(side, |endpoint, now, media| endpoint.msrp_answer(now, media, token, 200));
    }

    /// The next thing that happens to either.
    pub(crate) fn next(&mut self) -> (Side, msrp::Event) {
        let end = self.sockets.now() + PATIENCE;
        loop {
            for side in [Side::One, Side::Other] {
                while let Some(event) = self.act(side, |endpoint, _, _| endpoint.poll_event()) {
                    if let Event::Msrp { event, .. } = event {
                        self.events.push_back((side, event));
                    }
                }
            }
            if let Some((side, event)) = self.events.pop_front() {
                return (side, event);
            }
            assert!(self.sockets.now() < end, "nothing comes any more");
            self.runtime.block_on(self.sockets.step(Some(end)));
        }
    }

    /// What happens until a message has come, is answered, and its sender knows its outcome and the
    /// report on it.
    pub(crate) fn until_reported(&mut self, id: &str) -> Exchange {
        let mut seen = Exchange::default();
        while seen.outcome.is_none() || seen.report.is_none() {
            match self.next() {
                (side, msrp::Event::Received(incoming)) => {
                    self.answer(side, incoming.token);
                    seen.received = Some(incoming);
                }
                (_, msrp::Event::Sent { message_id, outcome }) if message_id == id => seen.outcome = Some(outcome),
                (_, msrp::Event::Report { message_id, code }) if message_id == id => seen.report = Some(code),
                _ => {}
            }
        }
        seen
    }

    /// What became of a message at the next hop.
    pub(crate) fn outcome(&mut self, id: &str) -> msrp::Outcome {
        loop {
            match self.next() {
                (_, msrp::Event::Sent { message_id, outcome }) if message_id == id => return outcome,
                (_, msrp::Event::Lost) => panic!("the connection is lost"),
                _ => {}
            }
        }
    }
}

/// What became of one message.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) received: Option<Incoming>,
    pub(crate) outcome: Option<msrp::Outcome>,
    pub(crate) report: Option<u16>,
}
