//! The reference PF on real sockets, against programs that no one here wrote.
//!
//! A program that is missing skips its tests, which says so and counts it; with `CI` set it fails them.

#[path = "interop/mod.rs"]
mod peers;

#[path = "interop/live.rs"]
mod live;
#[path = "interop/relay.rs"]
mod relay;
#[path = "common/tshark.rs"]
mod tshark;

use peers::kamailio::{Kamailio, has_kamailio};
use peers::msrp::{Answerer, Session};
use peers::{Pf, Playing, Sipp, Transport, free_port, has};

const MISSED: [&str; 3] = ["one", "two", "three"];

/// What every test begins with: the group session stands, then the Client is lost, and the focus
/// sends what the Client misses.
struct Held {
    pf: Pf,
    core: u16,
    transport: Transport,
    /// Through which MSRP of the focus and the Client goes.
    relay: Option<String>,
    focus: Playing,
    missed: Session,
}

impl Held {
    fn set_up(transport: Transport) -> Self {
        Self::set_up_through(transport, None)
    }

    fn set_up_through(transport: Transport, relay: Option<String>) -> Self {
        let core = free_port(transport);
        let pf = Pf::start(transport, &transport.uri(core));
        let (legs, client_leg) = (Answerer::listen(), Answerer::listen());
        let through = |sipp: Sipp| match &relay {
            Some(relay) => sipp.through(relay),
            None => sipp,
        };
        let client = through(Sipp::answering(core, transport, "client-lost").key("msrp", client_leg.port())).start();
        let focus = Sipp::calling(pf.port, transport, "focus").beside("focus-subscriptions").key("group", "gc-7f3a9c");
        let focus = through(focus.key("msrp", legs.port())).start();
        client.succeeds();
        let missed = legs.take();
        for text in MISSED {
            assert_eq!(missed.send(text), 200, "the PF takes what the Client misses");
        }
        Self { pf, core, transport, relay, focus, missed }
    }

    fn register(&self) {
        Sipp::calling(self.pf.port, self.transport, "register").key("core", format!("127.0.0.1:{}", self.core)).start().succeeds();
    }

    /// The Client registers, takes the session, and reads what it missed before it leaves.
    fn return_and_read(&self) -> Vec<String> {
        let leg = Answerer::listen();
        let client = Sipp::answering(self.core, self.transport, "client-again").key("msrp", leg.port());
        let client = match &self.relay {
            Some(relay) => client.through(relay).start(),
            None => client.start(),
        };
        self.register();
        let read = leg.take().receive(MISSED.len());
        client.succeeds();
        read
    }

    /// The Client registers and answers the INVITE so.
    fn return_and_refuse(&self, status: &str) {
        let client = Sipp::answering(self.core, self.transport, "client-refuses").status(status).start();
        self.register();
        client.succeeds();
    }
}

fn stored_messages_are_delivered(transport: Transport) {
    let held = Held::set_up(transport);
    assert_eq!(held.return_and_read(), MISSED);
    held.focus.succeeds();
}

#[test]
fn sipp_loses_its_client_and_gets_what_it_missed_over_udp() {
    if has("sipp") {
        stored_messages_are_delivered(Transport::Udp);
    }
}

#[test]
fn sipp_loses_its_client_and_gets_what_it_missed_over_tcp() {
    if has("sipp") {
        stored_messages_are_delivered(Transport::Tcp);
    }
}

#[test]
fn a_603_of_sipp_makes_the_pf_leave_the_group() {
    if has("sipp") {
        let held = Held::set_up(Transport::Udp);
        held.return_and_refuse("603 Decline");
        held.focus.succeeds();
    }
}

#[test]
fn a_480_of_sipp_leaves_everything_stored_for_the_next_registration() {
    if has("sipp") {
        let held = Held::set_up(Transport::Udp);
        held.return_and_refuse("480 Temporarily Unavailable");
        assert_eq!(held.missed.send("four"), 200, "the session with the focus goes on");
        assert_eq!(held.return_and_read(), MISSED);
        held.focus.succeeds();
    }
}

#[test]
fn sipp_behind_socat_loses_its_client_and_gets_what_it_missed_over_tls() {
    if has("sipp") && has("socat") {
        stored_messages_are_delivered(Transport::Tls);
    }
}

#[test]
fn what_is_missed_goes_through_kamailio_as_msrp_relay_of_focus_and_client() {
    if has("sipp") && has_kamailio(&["msrp", "htable"]) {
        let relay = Kamailio::media();
        let held = Held::set_up_through(Transport::Tcp, Some(relay.path("relay")));
        assert_eq!(held.return_and_read(), MISSED);
        held.focus.succeeds();
        let relayed = relay.log().matches("relayed SEND").count();
        // Each message goes through it to the PF, and once more to the Client.
        assert!(relayed >= 2 * MISSED.len(), "{relayed} relayed\n{}", relay.log());
    }
}

/// The Client is lost, misses a message and comes back, with Kamailio between it and the PF. What
/// the core saw in the dialogs, and over what, is told.
fn through_a_core(transport: Transport) -> String {
    let client_port = free_port(Transport::Udp);
    let core = if transport == Transport::Tls { Kamailio::secure_core(client_port) } else { Kamailio::core(client_port) };
    let next = transport.uri(core.secure.unwrap_or(core.port));
    let pf = Pf::start(transport, &next);
    let (legs, client_leg) = (Answerer::listen(), Answerer::listen());
    let client = Sipp::answering(client_port, Transport::Udp, "client-lost").key("msrp", client_leg.port()).start();
    let focus = Sipp::calling(pf.port, transport, "focus")
        .beside("focus-subscriptions")
        .key("group", "gc-7f3a9c")
        .key("msrp", legs.port())
        .start();
    let lost = client.succeeds();
    // The Client's BYE names the way that the core has recorded, or it would not be relayed.
    assert!(lost.contains("Record-Route: <sip:127.0.0.1"), "{lost}");
    let missed = legs.take();
    assert_eq!(missed.send("one"), 200);
    let leg = Answerer::listen();
    let client = Sipp::answering(client_port, Transport::Udp, "client-again").key("msrp", leg.port()).start();
    let core_port = core.secure.unwrap_or(core.port);
    Sipp::calling(pf.port, transport, "register").key("core", format!("127.0.0.1:{core_port}")).start().succeeds();
    assert_eq!(leg.take().receive(1), ["one"]);
    let again = client.succeeds();
    // The core is in the PF's Route, and takes itself out.
    let acks = again.split("ACK sip:").skip(1).count();
    assert!(acks > 0, "{again}");
    focus.succeeds();
    core.log()
}

/// The PF's requests reach the core over `transport`, and so do those of the Client by UDP.
fn honours_the_route(log: &str, transport: &str) {
    for seen in [
        format!("first: INVITE over {transport}"),
        format!("in dialog: ACK over {transport}"),
        "in dialog: BYE over udp".to_owned(),
    ] {
        assert!(log.contains(&seen), "`{seen}` is not in\n{log}");
    }
}

#[test]
fn kamailio_in_the_path_records_its_route_and_changes_tcp_to_udp() {
    if has("sipp") && has_kamailio(&["rr"]) {
        honours_the_route(&through_a_core(Transport::Tcp), "tcp");
    }
}

#[test]
fn kamailio_in_the_path_changes_tls_to_udp_and_both_sides_show_certificates() {
    if has("sipp") && has("socat") && has_kamailio(&["rr", "tls"]) {
        honours_the_route(&through_a_core(Transport::Tls), "tls");
    }
}

#[test]
fn a_request_too_large_for_udp_goes_to_kamailio_by_tcp() {
    if has("sipp") && has_kamailio(&["rr"]) {
        // Its Record-Route names TCP then, and so the ACK goes there by TCP too (RFC 3261 18.1.1, 12.2.1.1).
        honours_the_route(&through_a_core(Transport::Udp), "tcp");
    }
}
