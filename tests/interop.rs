//! The reference PF on real sockets, against programs that no one here wrote.
//!
//! A program that is missing skips its tests, which says so and counts it; with `CI` set it fails them.

#[path = "interop/mod.rs"]
mod peers;

use peers::msrp::{Answerer, Session};
use peers::{Core, Pf, Playing, Sipp, Transport, free_port, has};

const MISSED: [&str; 3] = ["one", "two", "three"];

/// What every test begins with: the group session stands, then the Client is lost, and the focus
/// sends what the Client misses.
struct Held {
    pf: Pf,
    core: u16,
    transport: Transport,
    focus: Playing,
    missed: Session,
}

impl Held {
    fn set_up(transport: Transport) -> Self {
        let core = free_port(transport);
        let pf = Pf::start(transport, &transport.uri(core));
        let (legs, client_leg) = (Answerer::listen(), Answerer::listen());
        let client = Sipp::answering(core, transport, "client-lost").key("msrp", client_leg.port()).start();
        let focus = Sipp::calling(pf.port, transport, "focus")
            .beside("focus-subscriptions")
            .key("group", "gc-7f3a9c")
            .key("msrp", legs.port())
            .start();
        client.succeeds();
        let missed = legs.take();
        for text in MISSED {
            assert_eq!(missed.send(text), 200, "the PF takes what the Client misses");
        }
        Self { pf, core, transport, focus, missed }
    }

    fn register(&self) {
        Sipp::calling(self.pf.port, self.transport, "register").key("core", format!("127.0.0.1:{}", self.core)).start().succeeds();
    }

    /// The Client registers, takes the session, and reads what it missed before it leaves.
    fn return_and_read(&self) -> Vec<String> {
        let leg = Answerer::listen();
        let client = Sipp::answering(self.core, self.transport, "client-again").key("msrp", leg.port()).start();
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
fn kamailio_in_the_path_records_its_route_and_changes_the_transport() {
    if !has("sipp") || !has("kamailio") {
        return;
    }
    let client_port = free_port(Transport::Udp);
    let core = Core::start(client_port);
    let pf = Pf::start(Transport::Tcp, &Transport::Tcp.uri(core.port));
    let (legs, client_leg) = (Answerer::listen(), Answerer::listen());
    let client = Sipp::answering(client_port, Transport::Udp, "client-lost").key("msrp", client_leg.port()).start();
    let focus = Sipp::calling(pf.port, Transport::Tcp, "focus")
        .beside("focus-subscriptions")
        .key("group", "gc-7f3a9c")
        .key("msrp", legs.port())
        .start();
    client.succeeds();
    let missed = legs.take();
    assert_eq!(missed.send("one"), 200);
    let leg = Answerer::listen();
    let client = Sipp::answering(client_port, Transport::Udp, "client-again").key("msrp", leg.port()).start();
    Sipp::calling(pf.port, Transport::Tcp, "register").key("core", format!("127.0.0.1:{}", core.port)).start().succeeds();
    assert_eq!(leg.take().receive(1), ["one"]);
    client.succeeds();
    focus.succeeds();
}
