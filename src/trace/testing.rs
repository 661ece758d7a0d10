//! Small traces, written by hand, for the tests of the court.

use std::net::SocketAddr;

use bytes::Bytes;

use super::event::{AddressBook, Content, Event, Kind, Link, Party};
use super::{Header, Trace};
use crate::engine::{Closure, ConnectionId, Transport};
use crate::pattern::ast::Role;
use crate::time::Instant;
use crate::wire::msrp::{Chunk, ChunkBuilder, Flag};
use crate::wire::sip::{Builder, Message};

pub(crate) const FOCUS: &str = "sip:gc-1@cf.home1.example";
pub(crate) const GROUP: &str = "sip:gc-1@pf.home1.example";
pub(crate) const ALICE: &str = "sip:+15145550101@home1.example";
pub(crate) const BOB: &str = "sip:+15145550102@home1.example";

/// A trace in the making.
pub(crate) struct Tape {
    pub(crate) events: Vec<Event>,
    now: Instant,
    pub(crate) transport: Transport,
    serial: u32,
}

/// The tags of a dialog as one of its ends writes them.
#[derive(Clone, Copy)]
pub(crate) struct In<'a> {
    pub(crate) call_id: &'a str,
    pub(crate) from: &'a str,
    pub(crate) to: Option<&'a str>,
    pub(crate) cseq: u32,
}

pub(crate) fn address(name: &str) -> SocketAddr {
    let host = match name {
        "pf" => "10.0.0.1",
        "core" => "10.0.0.2",
        "focus" => "10.0.1.1",
        "bob.tablet" => "10.0.2.2",
        "alice" => "10.0.2.3",
        _ => "10.0.2.1",
    };
    format!("{host}:5060").parse().expect("an address")
}

pub(crate) fn book() -> AddressBook {
    let bob = Party::new(Role::Client, "bob");
    let phone = Party::on(Role::Client, "bob", "phone");
    let tablet = Party::on(Role::Client, "bob", "tablet");
    let alice = Party::new(Role::Client, "alice");
    let core = Party::new(Role::Core, "core");
    let focus = Party::new(Role::Cf, "focus");
    let pf = Party::new(Role::Pf, "pf");
    let nodes =
        [("pf", &pf), ("core", &core), ("focus", &focus), ("bob.phone", &phone), ("bob.tablet", &tablet), ("alice", &alice)];
    AddressBook {
        nodes: nodes.into_iter().map(|(name, party)| (address(name), party.clone())).collect(),
        users: vec![(ALICE.into(), alice), (BOB.into(), bob.clone()), ("tel:+15145550102".into(), bob)],
        instances: vec![("urn:one".into(), phone), ("urn:two".into(), tablet)],
        hosts: vec![("scscf1.home1.example".into(), core), ("cf.home1.example".into(), focus), ("pf.home1.example".into(), pf)],
        groups: vec![(FOCUS.into(), "trip".into()), ("conv-1".into(), "trip".into())],
    }
}

impl Tape {
    pub(crate) fn new() -> Self {
        Self { events: Vec::new(), now: Instant::ZERO, transport: Transport::Tcp, serial: 0 }
    }

    pub(crate) fn wait(&mut self, millis: u64) -> &mut Self {
        self.now = Instant::from_micros(self.now.as_micros() + millis * 1_000);
        self
    }

    pub(crate) fn trace(&self) -> Trace {
        let header = Header { scenario: "test".into(), seed: 1, book: book().into(), ..Header::default() };
        Trace { header, events: self.events.clone(), ended: self.now, complete: true }
    }

    fn push(&mut self, kind: Kind) -> u32 {
        let number = u32::try_from(self.events.len()).expect("few events");
        self.events.push(Event { number, at: self.now, kind });
        self.wait(1);
        number
    }

    fn link(&self, from: &str, to: &str, msrp: bool) -> Link {
        let end = |name: &str| {
            let via = if !msrp && (name == "bob" || name.starts_with("bob.")) { "core" } else { name };
            address(via)
        };
        let serial = if msrp { 7 } else { 1 };
        let connection = (msrp || self.transport != Transport::Udp).then_some(ConnectionId(serial));
        let transport = if msrp { Transport::Tcp } else { self.transport };
        Link { transport, source: end(from), destination: end(to), connection }
    }

    /// Records a SIP message.
    pub(crate) fn sip(&mut self, from: &str, to: &str, message: Message) -> u32 {
        let mut link = self.link(from, to, false);
        let peer = if from == "pf" { to } else { from };
        link.connection = link.connection.map(|_| ConnectionId(if peer == "focus" { 3 } else { 1 }));
        self.push(Kind::Message { link, sent: from == "pf", content: Content::Sip(message) })
    }

    /// The head of a request with everything that a request needs.
    pub(crate) fn request(&mut self, from: &str, method: &str, uri: &str, dialog: In<'_>) -> Builder {
        self.serial += 1;
        let branch = format!("z9hG4bKtest{}", self.serial);
        let sent_by = address(from);
        let mut builder = Builder::request(method, uri);
        if from.starts_with("bob") {
            builder = builder.push("Via", format!("SIP/2.0/TCP scscf1.home1.example;branch={branch}c"));
        }
        let to_tag = dialog.to.map(|tag| format!(";tag={tag}")).unwrap_or_default();
        let (own, other) = match from {
            "focus" => (FOCUS, BOB),
            "alice" => (ALICE, BOB),
            "pf" if uri.starts_with("sip:gc-1@cf") => (BOB, FOCUS),
            "pf" => (FOCUS, BOB),
            _ => (BOB, GROUP),
        };
        let contact = match from {
            "focus" => format!("<{FOCUS}>;isfocus"),
            "pf" if other == BOB => format!("<{GROUP}>;isfocus"),
            "pf" => "<sip:pf.home1.example:5060>".to_owned(),
            "alice" => "<sip:alice@10.0.2.3>".to_owned(),
            "bob.tablet" => "<sip:bob@10.0.2.2>;+sip.instance=\"<urn:two>\"".to_owned(),
            _ => "<sip:bob@10.0.2.1>;+sip.instance=\"<urn:one>\"".to_owned(),
        };
        builder
            .push("Via", format!("SIP/2.0/{} {sent_by};branch={branch}", self.transport.token()))
            .push("Max-Forwards", 70)
            .push("From", format!("<{own}>;tag={}", dialog.from))
            .push("To", format!("<{other}>{to_tag}"))
            .push("Call-ID", dialog.call_id)
            .push("CSeq", format!("{} {method}", dialog.cseq))
            .push("Contact", contact)
    }

    /// Records a request without more.
    pub(crate) fn ask(&mut self, from: &str, to: &str, method: &str, dialog: In<'_>) -> u32 {
        let uri = match (from, to) {
            ("pf", "focus") => FOCUS,
            ("pf", _) if dialog.to.is_some() => "sip:bob@10.0.2.1",
            ("pf" | "focus" | "alice", _) => BOB,
            ("core", _) => "sip:pf.home1.example",
            _ => GROUP,
        };
        let request = self.request(from, method, uri, dialog).build();
        self.sip(from, to, request)
    }

    /// The head of the response to an event.
    pub(crate) fn response(&self, event: u32, status: u16, to_tag: &str) -> Builder {
        let request = self.message(event);
        let mut response = Builder::response_to(request, status);
        if !request.has_to_tag() && status > 100 {
            let to = format!("{};tag={to_tag}", request.value(crate::wire::sip::Name::To).unwrap_or(""));
            response = response.set("To", to);
        }
        response
    }

    /// Records the response to an event, the other way.
    pub(crate) fn answer(&mut self, event: u32, from: &str, to: &str, status: u16, to_tag: &str) -> u32 {
        let mut response = self.response(event, status, to_tag);
        if from.starts_with("bob") {
            let instance = if from == "bob.tablet" { "two" } else { "one" };
            response = response.push("Contact", format!("<sip:bob@10.0.2.1>;+sip.instance=\"<urn:{instance}>\""));
        }
        let response = response.build();
        self.sip(from, to, response)
    }

    pub(crate) fn message(&self, event: u32) -> &Message {
        match &self.events[event as usize].kind {
            Kind::Message { content: Content::Sip(message), .. } => message,
            _ => panic!("event {event} is no SIP message"),
        }
    }

    /// Records an MSRP chunk.
    pub(crate) fn chunk(&mut self, from: &str, to: &str, chunk: Chunk) -> u32 {
        let mut link = self.link(from, to, true);
        let peer = if from == "pf" { to } else { from };
        link.connection = Some(ConnectionId(if peer == "focus" { 9 } else { 7 }));
        self.push(Kind::Message { link, sent: from == "pf", content: Content::Msrp(chunk) })
    }

    /// Records a whole MSRP message in one chunk, with a CPIM header section.
    pub(crate) fn send(&mut self, from: &str, to: &str, id: &str) -> u32 {
        let body = format!(
            "From: <{BOB}>\r\nTo: <{FOCUS}>\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: {id}\r\n\r\nContent-Type: text/plain\r\n\r\nhello {id}"
        );
        let chunk = self.send_chunk(from, to, id, 1, body.len(), body, Flag::Complete);
        self.chunk(from, to, chunk)
    }

    #[expect(clippy::too_many_arguments, reason = "a chunk has that many parts")]
    pub(crate) fn send_chunk(
        &mut self,
        from: &str,
        to: &str,
        id: &str,
        start: usize,
        total: usize,
        body: impl Into<Bytes>,
        flag: Flag,
    ) -> Chunk {
        self.serial += 1;
        let body: Bytes = body.into();
        ChunkBuilder::request(&format!("tid{:05}", self.serial), "SEND", &path(to, from), &path(from, to))
            .push("Message-ID", format!("m-{id}"))
            .push("Byte-Range", format!("{start}-{}/{total}", start + body.len() - 1))
            .body("message/cpim", body)
            .flag(flag)
            .build()
    }

    /// Records the MSRP response to an event.
    pub(crate) fn msrp_answer(&mut self, event: u32, from: &str, to: &str, code: u16) -> u32 {
        let Kind::Message { content: Content::Msrp(request), .. } = &self.events[event as usize].kind else {
            panic!("event {event} is no chunk")
        };
        let response = ChunkBuilder::response(request, code, &path(from, to)).build();
        self.chunk(from, to, response)
    }

    /// Records what the harness did to the world.
    pub(crate) fn fault(&mut self, what: &str) -> u32 {
        self.push(Kind::Fault(what.to_owned()))
    }

    /// Records a connection that broke.
    pub(crate) fn lose(&mut self, peer: &str, how: Closure, by_iut: bool) -> u32 {
        let link = Link { connection: Some(ConnectionId(7)), ..self.link(peer, "pf", true) };
        self.push(Kind::Closed { link, how, by_iut })
    }
}

/// The MSRP path that `of` uses towards `towards`.
pub(crate) fn path(of: &str, towards: &str) -> String {
    format!("msrp://{}:2855/{}{};tcp", address(of).ip(), of.replace('.', ""), towards.replace('.', ""))
}

/// An SDP with the path of an end.
pub(crate) fn sdp(of: &str, towards: &str) -> String {
    let ip = address(of).ip();
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=message 2855 TCP/MSRP *\r\na=accept-types:message/cpim\r\na=accept-wrapped-types:text/plain\r\na=path:{}\r\na=sendrecv\r\n",
        path(of, towards)
    )
}

/// A group session: the focus invites, the PF invites bob's phone, both accept. Returns the tape.
pub(crate) fn session() -> Tape {
    let mut tape = Tape::new();
    let focus = In { call_id: "f", from: "cf-1", to: None, cseq: 1 };
    let invite = tape
        .request("focus", "INVITE", BOB, focus)
        .push("Conversation-ID", "conv-1")
        .body("application/sdp", sdp("focus", "pf"))
        .build();
    let from_focus = tape.sip("focus", "pf", invite);
    let client = In { call_id: "c", from: "pf-1", to: None, cseq: 1 };
    let invite = tape
        .request("pf", "INVITE", BOB, client)
        .push("Conversation-ID", "conv-1")
        .body("application/sdp", sdp("pf", "bob.phone"))
        .build();
    let to_bob = tape.sip("pf", "bob.phone", invite);
    let ok = tape
        .response(to_bob, 200, "b-1")
        .push("Contact", "<sip:bob@10.0.2.1>;+sip.instance=\"<urn:one>\"")
        .body("application/sdp", sdp("bob.phone", "pf"))
        .build();
    tape.sip("bob.phone", "pf", ok);
    tape.ask("pf", "bob.phone", "ACK", In { to: Some("b-1"), ..client });
    let ok = tape
        .response(from_focus, 200, "pf-f")
        .push("Contact", "<sip:pf.home1.example:5060>")
        .body("application/sdp", sdp("pf", "focus"))
        .build();
    tape.sip("pf", "focus", ok);
    tape.ask("focus", "pf", "ACK", In { to: Some("pf-f"), ..focus });
    tape
}
