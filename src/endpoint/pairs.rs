//! Two nodes and a wire between them, with loss and reordering.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::engine::{ConnectionId, Transport};
use crate::wire::sip::{Name, StartLine};

/// The first node calls, the second answers.
const A: usize = 0;
const B: usize = 1;

#[test]
fn a_session_over_tcp_is_set_up_and_released() {
    let mut net = Net::new(Transport::Tcp);
    let invite = net.invite();
    net.run_for(ms(10));
    let (incoming, request) = net.request(B);
    assert_eq!(request.value(Name::Via).map(|via| via.starts_with("SIP/2.0/TCP a.example:5060")), Some(true));
    let uas = net.respond(B, incoming, 200).expect("a dialog");
    net.run_for(ms(10));
    let (transaction, uac, response) = net.response(A);
    assert_eq!((transaction, response.status()), (invite, Some(200)));
    let uac = uac.expect("a dialog");
    net.acknowledge(A, invite, uac);
    net.run_for(ms(10));
    assert!(matches!(net.event(B), Some(Event::Ack { dialog, .. }) if dialog == uas));

    let bye = net.send_in(B, uas, "BYE");
    net.run_for(ms(10));
    let (incoming, _) = net.request(A);
    net.respond(A, incoming, 200);
    assert!(net.nodes[A].dialog(uac).is_none());
    net.run_for(ms(10));
    assert!(matches!(net.event(B), Some(Event::Response { transaction, .. }) if transaction == bye));
    assert!(net.nodes[B].dialog(uas).is_none());
    net.run_for(Duration::from_secs(100));
    net.assert_silent();
}

#[test]
fn every_loss_is_mended_by_retransmission() {
    for seed in 0..40 {
        let mut net = Net::new(Transport::Udp);
        net.wild = Some(Ids::new(seed, "loss"));
        let invite = net.invite();
        let incoming = net.wait_for(B, |event| matches!(event, Event::Request { .. }));
        let Event::Request { transaction, .. } = incoming else { panic!("an INVITE") };
        net.respond(B, transaction, 180);
        net.respond(B, transaction, 200);
        let uac = loop {
            let event = net.wait_for(A, |event| matches!(event, Event::Response { .. }));
            let Event::Response { message, dialog: Some(dialog), .. } = event else { panic!("a response in a dialog") };
            if message.status() == Some(200) {
                break dialog;
            }
        };
        net.acknowledge(A, invite, uac);
        net.wait_for(B, |event| matches!(event, Event::Ack { .. }));
        net.send_in(A, uac, "BYE");
        let Event::Request { transaction, .. } = net.wait_for(B, |event| matches!(event, Event::Request { .. })) else {
            panic!("a BYE")
        };
        net.respond(B, transaction, 200);
        net.wait_for(A, |event| matches!(event, Event::Response { .. }));
        net.run_for(Duration::from_secs(100));
        net.assert_silent();
    }
}

#[test]
fn a_repeated_2xx_is_answered_by_a_repeated_ack() {
    let mut net = Net::new(Transport::Udp);
    let invite = net.invite();
    net.run_for(ms(10));
    let (incoming, _) = net.request(B);
    net.respond(B, incoming, 200);
    net.run_for(ms(10));
    let (_, dialog, _) = net.response(A);
    net.drop_next = true;
    net.acknowledge(A, invite, dialog.expect("a dialog"));
    net.run_for(ms(1_000));
    assert!(matches!(net.event(B), Some(Event::Ack { .. })));
    assert!(net.event(A).is_none());
    assert_eq!(net.count("ACK"), 2);
}

#[test]
fn a_2xx_that_comes_after_the_session_is_over_opens_no_other() {
    let mut net = Net::new(Transport::Udp);
    let invite = net.invite();
    net.run_for(ms(10));
    let (incoming, _) = net.request(B);
    let ok = net.nodes[B].response(incoming, 200).body("application/sdp", "v=0\r\n");
    let now = net.now;
    net.nodes[B].respond(now, incoming, ok.clone());
    net.run_for(ms(10));
    let dialog = net.response(A).1.expect("a dialog");
    net.acknowledge(A, invite, dialog);
    net.nodes[B].send_raw(now, Destination::Transaction(incoming), ok.encode());
    net.run_for(ms(10));
    assert!(net.nodes[A].may_offer(dialog));
    net.nodes[A].drop_dialog(dialog);
    net.nodes[B].send_raw(now, Destination::Transaction(incoming), ok.encode());
    net.run_for(ms(10));
    assert!(net.event(A).is_none());
    assert_eq!(net.count("ACK"), 3);
}

#[test]
fn a_large_request_goes_back_to_udp_where_there_is_no_tcp() {
    let mut net = Net::new(Transport::Udp);
    net.refusing = true;
    net.nodes[A].send(net.now, invitation().body("text/plain", vec![b'x'; 1_400]));
    net.run_for(ms(10));
    let (incoming, request) = net.request(B);
    assert_eq!(request.via().map(|via| via.transport), Ok("UDP"));
    net.respond(B, incoming, 603);
    net.run_for(ms(10));
    assert_eq!(net.response(A).2.status(), Some(603));
    net.run_for(Duration::from_secs(100));
    net.assert_silent();
}

#[test]
fn a_large_request_that_arrived_does_not_come_again_when_its_connection_breaks() {
    let mut net = Net::new(Transport::Udp);
    net.nodes[A].send(net.now, invitation().body("text/plain", vec![b'x'; 1_400]));
    net.run_for(ms(10));
    let (incoming, _) = net.request(B);
    net.respond(B, incoming, 200);
    net.run_for(ms(10));
    net.response(A);
    net.nodes[B].disconnect(net.now);
    net.run_for(ms(10));
    assert_eq!(net.count("INVITE"), 1);
}

#[test]
fn without_an_ack_the_user_is_told_after_64_t1() {
    let mut net = Net::new(Transport::Tcp);
    net.invite();
    net.run_for(ms(10));
    let (incoming, _) = net.request(B);
    let dialog = net.respond(B, incoming, 200);
    assert!(net.nodes[B].awaits_ack(dialog.expect("a dialog")));
    net.run_for(Duration::from_secs(33));
    assert!(matches!(net.event(B), Some(Event::AckMissing { dialog: missing }) if Some(missing) == dialog));
    assert_eq!(net.count("200"), 11);
}

#[test]
fn cancel_waits_for_a_provisional_response_and_brings_487() {
    let mut net = Net::new(Transport::Tcp);
    let invite = net.invite();
    net.nodes[A].cancel(net.now, invite);
    net.drain();
    net.run_for(ms(100));
    assert_eq!(net.count("CANCEL"), 0);
    let (incoming, _) = net.request(B);
    net.respond(B, incoming, 180);
    net.run_for(ms(10));
    assert!(matches!(net.event(B), Some(Event::Cancelled { transaction, .. }) if transaction == incoming));
    net.respond(B, incoming, 487);
    net.run_for(ms(10));
    let early = net.response(A).1.expect("an early dialog");
    assert_eq!(net.response(A).2.status(), Some(487));
    assert!(net.nodes[A].dialog(early).is_none());
    assert_eq!(net.count("200"), 1);
    net.run_for(Duration::from_secs(100));
    net.assert_silent();
}

#[test]
fn a_fork_has_a_dialog_of_its_own() {
    let mut net = Net::new(Transport::Udp);
    let invite = net.invite();
    net.run_for(ms(10));
    let (incoming, _) = net.request(B);
    let mut dialogs = BTreeSet::new();
    for tag in ["one", "two"] {
        let response = net.nodes[B].response(incoming, 200);
        let to = response.value("To").expect("a To").split(";tag=").next().expect("a To").to_owned();
        net.nodes[B].send_raw(net.now, Destination::Transaction(incoming), response.set("To", format!("{to};tag={tag}")).encode());
        net.drain();
        net.run_for(ms(10));
        let (_, dialog, _) = net.response(A);
        dialogs.extend(dialog);
    }
    assert_eq!(dialogs.len(), 2);
    for dialog in dialogs {
        net.acknowledge(A, invite, dialog);
        assert!(net.nodes[A].send_in(net.now, dialog, Builder::request("BYE", "")).is_some());
    }
}

#[test]
fn what_belongs_to_no_dialog_is_answered_481() {
    let mut net = Net::new(Transport::Tcp);
    let stray = Builder::request("BYE", "sip:b@b.example").push("To", "<sip:b@b.example>;tag=none");
    net.nodes[A].send(net.now, stray);
    net.run_for(ms(10));
    assert_eq!(net.response(A).2.status(), Some(481));
    assert!(net.event(B).is_none());
}

#[test]
fn two_offers_that_cross_are_both_answered_491() {
    let mut net = Net::new(Transport::Tcp);
    let (uac, uas) = net.session();
    net.send_in(A, uac, "INVITE");
    net.send_in(B, uas, "INVITE");
    net.run_for(ms(10));
    assert_eq!((net.response(A).2.status(), net.response(B).2.status()), (Some(491), Some(491)));
    assert!(net.nodes[A].may_offer(uac) && net.nodes[B].may_offer(uas));
}

#[test]
fn a_second_offer_before_the_first_is_answered_is_told_to_wait() {
    let mut net = Net::new(Transport::Tcp);
    let (uac, uas) = net.session();
    net.send_in(A, uac, "INVITE");
    net.run_for(ms(10));
    let (first, _) = net.request(B);
    net.send_in(A, uac, "UPDATE");
    net.run_for(ms(10));
    let (_, _, refusal) = net.response(A);
    assert_eq!(refusal.status(), Some(500));
    assert!(refusal.value(Name::RetryAfter).is_some());
    assert!(!net.nodes[B].may_offer(uas));
    net.respond(B, first, 200);
    net.run_for(ms(10));
    assert_eq!(net.response(A).2.status(), Some(200));
}

#[test]
fn a_user_who_refuses_himself_is_asked_and_advised() {
    let mut net = Net::with(Transport::Tcp, |config| config.refuses = false);
    let (uac, uas) = net.session();
    net.send_in(A, uac, "INVITE");
    net.send_in(B, uas, "INVITE");
    net.run_for(ms(10));
    let (incoming, _) = net.request(B);
    let refusal = net.nodes[B].refusal(incoming).expect("advice");
    assert_eq!(refusal.start(), "SIP/2.0 491 Request Pending");
    let now = net.now;
    net.nodes[B].respond(now, incoming, refusal);
    net.run_for(ms(10));
    assert!(matches!(net.event(A), Some(Event::Request { .. })));
    assert_eq!(net.response(A).2.status(), Some(491));
}

#[test]
fn a_bye_out_of_order_ends_nothing() {
    let mut net = Net::new(Transport::Tcp);
    let (uac, uas) = net.session();
    let now = net.now;
    net.nodes[A].send_in(now, uac, Builder::request("BYE", "").push("CSeq", "0 BYE"));
    net.run_for(ms(10));
    assert_eq!(net.response(A).2.status(), Some(500));
    assert!(net.nodes[B].dialog(uas).is_some());
}

#[test]
fn a_request_out_of_order_is_answered_500() {
    let mut net = Net::new(Transport::Tcp);
    let (uac, _) = net.session();
    let late = Builder::request("INFO", "").push("CSeq", "0 INFO");
    net.nodes[A].send_in(net.now, uac, late);
    net.run_for(ms(10));
    assert_eq!(net.response(A).2.status(), Some(500));
}

#[test]
fn the_session_timer_asks_the_refresher_and_ends_at_the_other_side() {
    let mut net = Net::new(Transport::Tcp);
    let invite = net.invite();
    net.run_for(ms(10));
    let (incoming, _) = net.request(B);
    let ok = net.nodes[B].response(incoming, 200).push("Session-Expires", "90;refresher=uac");
    net.nodes[B].respond(net.now, incoming, ok);
    net.run_for(ms(10));
    let (_, dialog, _) = net.response(A);
    net.acknowledge(A, invite, dialog.expect("a dialog"));
    net.run_for(ms(10));
    net.event(B);
    net.run_for(Duration::from_secs(45));
    assert!(matches!(net.event(A), Some(Event::RefreshDue { .. })));
    net.run_for(Duration::from_secs(16));
    assert!(matches!(net.event(B), Some(Event::SessionExpired { .. })));
}

#[test]
fn a_422_is_retried_with_the_interval_asked_for() {
    let mut net = Net::new(Transport::Tcp);
    let first = net.nodes[A].send(net.now, invitation().push("Session-Expires", "30").push("Supported", "timer"));
    net.run_for(ms(10));
    let (incoming, _) = net.request(B);
    let refusal = net.nodes[B].interval_too_small(incoming, 90).expect("a refusal");
    net.nodes[B].respond(net.now, incoming, refusal);
    net.run_for(ms(10));
    let (_, _, refusal) = net.response(A);
    let now = net.now;
    let second = net.nodes[A].retry_with_min_se(now, first, &refusal).expect("a retry");
    assert_ne!(first, second);
    net.run_for(ms(10));
    let (_, again) = net.request(B);
    assert_eq!(again.value(Name::SessionExpires), Some("90"));
    assert_eq!(again.value(Name::MinSe), Some("90"));
    assert_eq!(again.cseq().map(|cseq| cseq.number), Ok(2));
}

#[test]
fn a_large_request_leaves_udp_and_says_so() {
    let mut net = Net::new(Transport::Udp);
    net.nodes[A].send(net.now, invitation().body("text/plain", vec![b'x'; 1_400]));
    net.run_for(ms(10));
    let (_, request) = net.request(B);
    assert_eq!(request.via().map(|via| via.transport), Ok("TCP"));
}

#[test]
fn a_refused_connection_fails_the_request() {
    let mut net = Net::new(Transport::Tcp);
    net.refusing = true;
    let invite = net.invite();
    net.run_for(ms(10));
    assert!(matches!(net.event(A), Some(Event::Failed { transaction, why: Failure::Transport, .. }) if transaction == invite));
}

#[test]
fn an_answer_finds_its_way_after_the_connection_broke() {
    let mut net = Net::new(Transport::Tcp);
    net.invite();
    net.run_for(ms(10));
    let (incoming, _) = net.request(B);
    net.respond(B, incoming, 180);
    net.run_for(ms(10));
    assert_eq!(net.response(A).2.status(), Some(180));
    net.nodes[B].disconnect(net.now);
    net.drain();
    net.run_for(ms(10));
    net.respond(B, incoming, 200);
    net.run_for(ms(10));
    assert_eq!(net.response(A).2.status(), Some(200));
}

#[test]
fn a_broken_request_is_answered_400_and_broken_bytes_are_not() {
    let mut net = Net::new(Transport::Udp);
    let to = Destination::Uri("sip:b@b.example".to_owned());
    let short = "OPTIONS sip:b SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK9\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Length: 99\r\n\r\n";
    net.nodes[A].send_raw(net.now, to.clone(), Bytes::from(short));
    net.drain();
    net.run_for(ms(10));
    assert_eq!(net.count("400"), 1);
    net.nodes[A].send_raw(net.now, to, Bytes::from_static(b"\x00\x01\x02"));
    net.drain();
    net.run_for(ms(10));
    assert_eq!(net.count("400"), 1);
    assert!(net.event(B).is_none());
}

#[test]
fn a_merged_request_is_answered_482() {
    let mut net = Net::new(Transport::Udp);
    let request = net.nodes[A].prepare(Builder::request("MESSAGE", "sip:b@b.example"));
    let now = net.now;
    net.nodes[A].send_as_is(now, None, request.clone());
    let other = net.nodes[A].prepare(request.remove("Via"));
    net.nodes[A].send_as_is(now, None, other);
    net.run_for(ms(10));
    assert!(net.event(B).is_some());
    assert!(net.event(B).is_none());
    assert_eq!(net.response(A).2.status(), Some(482));
}

#[test]
fn a_subscription_is_notified_refreshed_and_ended() {
    let mut net = Net::new(Transport::Tcp);
    let (id, dialog) = net.subscription();
    net.run_for(Duration::from_secs(30));
    let (incoming, refresh) = net.request(B);
    assert_eq!((refresh.method_token(), refresh.value(Name::Expires)), (Some("SUBSCRIBE"), Some("60")));
    net.grant(incoming, 60);
    net.notify(dialog, "active;expires=60");
    assert!(matches!(net.event(A), Some(Event::Subscription { change: Change::Accepted { expires: 60 }, .. })));
    net.expect_notified();

    let now = net.now;
    net.nodes[A].unsubscribe(now, id, Builder::request("SUBSCRIBE", ""));
    net.run_for(ms(10));
    let (incoming, end) = net.request(B);
    assert_eq!((end.value(Name::Expires), end.value(Name::Event)), (Some("0"), Some("conference")));
    net.grant(incoming, 0);
    net.notify(dialog, "terminated;reason=timeout");
    net.event(A);
    net.expect_notified();
    assert!(matches!(net.event(A), Some(Event::Subscription { change: Change::Terminated { .. }, .. })));
    net.run_for(Duration::from_secs(100));
    net.assert_silent();
}

#[test]
fn a_notify_may_overtake_the_2xx_to_its_subscribe() {
    let mut net = Net::new(Transport::Tcp);
    let now = net.now;
    let id = net.nodes[A].subscribe(now, subscription());
    net.run_for(ms(10));
    let (incoming, request) = net.request(B);
    let from = request.value(Name::From).expect("a From").to_owned();
    let ok = net.nodes[B].response(incoming, 200).push("Expires", 60);
    let notify = Builder::request("NOTIFY", request.contact().expect("a Contact").uri.text)
        .push("From", ok.value("To").expect("a To"))
        .push("To", from)
        .push("Call-ID", request.call_id().expect("a Call-ID"))
        .push("Event", "conference")
        .push("Subscription-State", "active;expires=60");
    let now = net.now;
    net.nodes[B].send(now, notify);
    net.run_for(ms(10));
    net.expect_notified();
    let dialog = net.nodes[A].subscription_dialog(id);
    assert!(dialog.is_some());
    let now = net.now;
    net.nodes[B].respond(now, incoming, ok);
    net.run_for(ms(10));
    assert!(matches!(net.event(A), Some(Event::Subscription { change: Change::Accepted { .. }, .. })));
    assert_eq!(net.nodes[A].subscription_dialog(id), dialog);
}

#[test]
fn a_subscription_that_is_too_brief_asks_for_more() {
    let mut net = Net::new(Transport::Tcp);
    let now = net.now;
    net.nodes[A].subscribe(now, subscription());
    net.run_for(ms(10));
    let (incoming, _) = net.request(B);
    let refusal = net.nodes[B].interval_too_brief(incoming, 120).expect("a refusal");
    let now = net.now;
    net.nodes[B].respond(now, incoming, refusal);
    net.run_for(ms(10));
    let (_, again) = net.request(B);
    assert_eq!((again.value(Name::Expires), again.value(Name::CSeq)), (Some("120"), Some("2 SUBSCRIBE")));
    assert!(net.event(A).is_none());
}

#[test]
fn a_subscription_without_notify_fails_at_timer_n() {
    let mut net = Net::new(Transport::Tcp);
    let now = net.now;
    let id = net.nodes[A].subscribe(now, subscription());
    net.run_for(ms(10));
    let (incoming, _) = net.request(B);
    net.grant(incoming, 3_600);
    assert!(matches!(net.event(A), Some(Event::Subscription { change: Change::Accepted { .. }, .. })));
    net.run_for(Duration::from_secs(32));
    assert_eq!(net.event(A), Some(Event::Subscription { id, change: Change::Failed { status: 408 } }));
}

#[test]
fn the_notifier_is_told_that_a_subscription_ran_out() {
    let mut net = Net::new(Transport::Tcp);
    let now = net.now;
    net.nodes[A].send(now, subscription());
    net.run_for(ms(10));
    let (incoming, _) = net.request(B);
    let dialog = net.grant(incoming, 60);
    assert_eq!(net.response(A).2.status(), Some(200));
    net.run_for(Duration::from_secs(61));
    assert!(matches!(net.event(B), Some(Event::Subscription { change: Change::Expired { dialog: of }, .. }) if of == dialog));
    net.notify(dialog, "");
    let (incoming, last) = net.request(A);
    assert_eq!(last.value(Name::SubscriptionState), Some("terminated;reason=timeout"));
    net.respond(A, incoming, 200);
    net.run_for(ms(10));
    assert!(net.nodes[B].dialog(dialog).is_none());
}

#[test]
fn a_message_crosses_an_msrp_session_and_is_answered() {
    let mut net = Net::new(Transport::Tcp);
    let (near, near_path) = net.nodes[A].msrp_open();
    let (far, far_path) = net.nodes[B].msrp_open();
    assert!(near_path.starts_with("msrp://a.example:2855/"));
    net.nodes[A].msrp_start(net.now, near, &far_path, true);
    net.nodes[B].msrp_start(net.now, far, &near_path, false);
    net.run_for(ms(10));
    let message = crate::msrp::Outgoing {
        message_id: None,
        content_type: "text/plain".to_owned(),
        body: Bytes::from(vec![b'x'; 5_000]),
        success_report: false,
        failure_report: crate::wire::msrp::FailureReport::Yes,
        chunk_size: 2_048,
    };
    let message_id = net.nodes[A].msrp_send(net.now, near, message);
    let Event::Msrp { event: crate::msrp::Event::Received(incoming), .. } =
        net.wait_for(B, |event| matches!(event, Event::Msrp { event: crate::msrp::Event::Received(_), .. }))
    else {
        panic!("a message")
    };
    assert_eq!((incoming.body.len(), &incoming.message_id), (5_000, &message_id));
    net.nodes[B].msrp_answer(net.now, far, incoming.token, 200);
    net.wait_for(A, |event| {
        matches!(event, Event::Msrp { event: crate::msrp::Event::Sent { outcome: crate::msrp::Outcome::Accepted, .. }, .. })
    });
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn subscription() -> Builder {
    Builder::request("SUBSCRIBE", "sip:b@b.example").push("Event", "conference").push("Expires", 60)
}

fn invitation() -> Builder {
    Builder::request("INVITE", "sip:b@b.example").push("From", "<sip:a@a.example>").body("application/sdp", "v=0\r\n")
}

/// Nodes, a clock and what is under way.
struct Net {
    nodes: Vec<Endpoint>,
    now: Instant,
    sequence: u64,
    under_way: BTreeMap<(Instant, u64), (usize, Input)>,
    /// A connection of a node and the connection of the other node at its far end.
    far: BTreeMap<(usize, ConnectionId), ConnectionId>,
    accepted: u64,
    /// Loses and delays datagrams by chance.
    wild: Option<Ids>,
    drop_next: bool,
    refusing: bool,
    names: Vec<String>,
}

impl Net {
    fn new(transport: Transport) -> Self {
        Self::with(transport, |_| {})
    }

    fn with(transport: Transport, adjust: impl Fn(&mut Config)) -> Self {
        let address = |node: u8| std::net::IpAddr::from([10, 0, 0, node]);
        let hosts: Arc<Hosts> = Arc::new([("a.example", address(1)), ("b.example", address(2))].into_iter().collect());
        let node = |name: &str, ip: u8| {
            let mut config = Config::new(name, 7, address(ip), &format!("{name}.example"), hosts.clone());
            config.transport = transport;
            adjust(&mut config);
            Endpoint::new(config)
        };
        Self {
            nodes: vec![node("a", 1), node("b", 2)],
            now: Instant::ZERO,
            sequence: 0,
            under_way: BTreeMap::new(),
            far: BTreeMap::new(),
            accepted: 1,
            wild: None,
            drop_next: false,
            refusing: false,
            names: Vec::new(),
        }
    }

    fn drain(&mut self) {
        for node in [A, B] {
            while let Some(output) = self.nodes[node].poll_output() {
                self.carry(node, output);
            }
        }
    }

    fn carry(&mut self, node: usize, output: Output) {
        let other = 1 - node;
        match output {
            Output::Datagram { local, peer, data } => {
                self.record(&data);
                if let Some(delay) = self.fate() {
                    self.later(delay, other, Input::Datagram { local: peer, peer: local, data });
                }
            }
            Output::Connect { connection, .. } if self.refusing => {
                self.later(ms(1), node, Input::Closed { connection, how: Closure::Refused });
            }
            Output::Connect { connection, peer, .. } => {
                let local = std::net::SocketAddr::new(self.nodes[node].config().sip.ip(), 40_000);
                let far = ConnectionId(self.accepted);
                self.accepted += 2;
                self.far.insert((node, connection), far);
                self.far.insert((other, far), connection);
                self.later(ms(1), other, Input::Accepted { connection: far, local: peer, peer: local });
                self.later(ms(1), node, Input::Connected { connection, local });
            }
            Output::Send { connection, data } => {
                self.record(&data);
                if let Some(far) = self.far.get(&(node, connection)).copied() {
                    let middle = data.len() / 2;
                    self.later(ms(1), other, Input::Received { connection: far, data: data.slice(..middle) });
                    self.later(ms(1), other, Input::Received { connection: far, data: data.slice(middle..) });
                }
            }
            Output::Close { connection, how } => {
                if let Some(far) = self.far.remove(&(node, connection)) {
                    self.far.remove(&(other, far));
                    self.later(ms(1), other, Input::Closed { connection: far, how });
                }
            }
            Output::Commit { .. } | Output::Note(_) => {}
        }
    }

    /// How long a datagram takes; `None` when it is lost.
    fn fate(&mut self) -> Option<Duration> {
        if std::mem::take(&mut self.drop_next) {
            return None;
        }
        match &mut self.wild {
            Some(chance) => (chance.below(10) >= 3).then(|| ms(1 + chance.below(40))),
            None => Some(ms(1)),
        }
    }

    fn record(&mut self, data: &Bytes) {
        if let Ok(message) = Message::decode(data.clone()) {
            self.names.push(match message.start_line() {
                StartLine::Request { method, .. } => method.to_owned(),
                StartLine::Status { code, .. } => code.to_string(),
            });
        }
    }

    fn count(&self, name: &str) -> usize {
        self.names.iter().filter(|other| *other == name).count()
    }

    fn later(&mut self, delay: Duration, node: usize, input: Input) {
        self.sequence += 1;
        self.under_way.insert((self.now + delay, self.sequence), (node, input));
    }

    fn step(&mut self, limit: Instant) -> bool {
        self.drain();
        let arrival = self.under_way.keys().next().map(|(at, _)| *at);
        let timer = [A, B].into_iter().filter_map(|node| self.nodes[node].poll_timeout().map(|(at, _)| (at, node))).min();
        let next = [arrival, timer.map(|(at, _)| at)].into_iter().flatten().min().filter(|at| *at <= limit);
        let Some(at) = next else { return false };
        self.now = at.max(self.now);
        let now = self.now;
        if arrival == Some(at) {
            if let Some((_, (node, input))) = self.under_way.pop_first() {
                self.nodes[node].handle(now, input);
            }
        } else if let Some((_, node)) = timer {
            self.nodes[node].handle(now, Input::Timeout);
        }
        true
    }

    fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
        self.now = end;
    }

    fn wait_for(&mut self, node: usize, wanted: impl Fn(&Event) -> bool) -> Event {
        let end = self.now + Duration::from_secs(60);
        loop {
            while let Some(event) = self.nodes[node].poll_event() {
                if wanted(&event) {
                    return event;
                }
            }
            assert!(self.step(end), "nothing more happens");
        }
    }

    fn event(&mut self, node: usize) -> Option<Event> {
        self.nodes[node].poll_event()
    }

    fn request(&mut self, node: usize) -> (TransactionId, Message) {
        match self.event(node) {
            Some(Event::Request { transaction, message, .. }) => (transaction, message),
            other => panic!("a request, not {other:?}"),
        }
    }

    fn response(&mut self, node: usize) -> (TransactionId, Option<DialogId>, Message) {
        match self.event(node) {
            Some(Event::Response { transaction, dialog, message }) => (transaction, dialog, message),
            other => panic!("a response, not {other:?}"),
        }
    }

    fn invite(&mut self) -> TransactionId {
        let id = self.nodes[A].send(self.now, invitation());
        self.drain();
        id
    }

    fn respond(&mut self, node: usize, transaction: TransactionId, status: u16) -> Option<DialogId> {
        let response = self.nodes[node].response(transaction, status);
        let dialog = self.nodes[node].respond(self.now, transaction, response);
        self.drain();
        dialog
    }

    fn acknowledge(&mut self, node: usize, invite: TransactionId, dialog: DialogId) {
        self.nodes[node].acknowledge(self.now, invite, dialog, None);
        self.drain();
    }

    fn send_in(&mut self, node: usize, dialog: DialogId, method: &str) -> TransactionId {
        let request = Builder::request(method, "").body("application/sdp", "v=0\r\n");
        let id = self.nodes[node].send_in(self.now, dialog, request).expect("the dialog is there");
        self.drain();
        id
    }

    /// A session between the nodes, with no event left over.
    fn session(&mut self) -> (DialogId, DialogId) {
        let invite = self.invite();
        self.run_for(ms(10));
        let (incoming, _) = self.request(B);
        let uas = self.respond(B, incoming, 200).expect("a dialog");
        self.run_for(ms(10));
        let uac = self.response(A).1.expect("a dialog");
        self.acknowledge(A, invite, uac);
        self.run_for(ms(10));
        assert!(matches!(self.event(B), Some(Event::Ack { .. })));
        (uac, uas)
    }

    /// A subscription of the first node with the second, notified once, with no event left over.
    fn subscription(&mut self) -> (SubscriptionId, DialogId) {
        let id = self.nodes[A].subscribe(self.now, subscription());
        self.run_for(ms(10));
        let (incoming, _) = self.request(B);
        let dialog = self.grant(incoming, 60);
        self.notify(dialog, "active;expires=60");
        assert!(matches!(self.event(A), Some(Event::Subscription { change: Change::Accepted { expires: 60 }, .. })));
        self.expect_notified();
        (id, dialog)
    }

    fn grant(&mut self, incoming: TransactionId, expires: u32) -> DialogId {
        let ok = self.nodes[B].response(incoming, 200).push("Expires", expires);
        let dialog = self.nodes[B].respond(self.now, incoming, ok).expect("a dialog");
        self.run_for(ms(10));
        dialog
    }

    fn notify(&mut self, dialog: DialogId, state: &str) {
        let notify = Builder::request("NOTIFY", "").push_some("Subscription-State", (!state.is_empty()).then_some(state));
        self.nodes[B].send_in(self.now, dialog, notify).expect("the dialog is there");
        self.run_for(ms(10));
    }

    /// The first node tells of a NOTIFY, and answers it.
    fn expect_notified(&mut self) {
        let Some(Event::Subscription { change: Change::Notified { transaction, .. }, .. }) = self.event(A) else {
            panic!("a notification")
        };
        self.respond(A, transaction, 200);
        self.run_for(ms(10));
        assert!(matches!(self.event(B), Some(Event::Response { .. })));
    }

    /// Nothing is left: no transaction, no dialog, no deadline.
    fn assert_silent(&mut self) {
        for node in &mut self.nodes {
            node.handle(self.now, Input::Timeout);
            assert_eq!(node.poll_timeout(), None);
            assert!(node.transactions.is_empty(), "transactions are left");
            assert!(node.clients.is_empty() && node.servers.is_empty() && node.merged.is_empty() && node.by_hop.is_empty());
            assert!(node.dialogs.is_empty(), "dialogs are left");
        }
    }
}
