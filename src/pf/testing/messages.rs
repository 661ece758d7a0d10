//! Messages over MSRP, and what is in them.

use bytes::Bytes;

use super::{ALICE, BOB, FOCUS, Session, USER, World};
use crate::endpoint::{Event, MsrpId};
use crate::engine::Closure;
use crate::msrp::{self, Outcome, Outgoing};
use crate::pf::headers::sdp_of;
use crate::pf::media;
use crate::wire::cpim;
use crate::wire::imdn::{self, Imdn, Kind};
use crate::wire::msrp::FailureReport;
use crate::wire::sip::{Builder, Message};

impl World {
    /// The peer's connections break.
    pub(in crate::pf) fn break_media(&mut self, session: &Session) {
        let now = self.now;
        self.peer(session.node).msrp_close(now, session.media, Closure::Reset);
        self.settle();
    }

    pub(super) fn start(&mut self, node: usize, media: MsrpId, message: &Message, active: bool) {
        let sdp = sdp_of(message).expect("SDP");
        let remote = media::read(&sdp, false).expect("a medium");
        let now = self.now;
        self.peer(node).msrp_start(now, media, &remote.path, active);
        self.settle();
    }

    /// The Message-ID of the next message that a node gets, answered by `code`.
    pub(in crate::pf) fn read_with_id(&mut self, node: usize, code: u16) -> String {
        let (session, incoming) = match self.next(node) {
            Event::Msrp { session, event: msrp::Event::Received(incoming) } => (session, incoming),
            other => panic!("node {node}: a message was due, not {other:?}"),
        };
        let now = self.now;
        self.peer(node).msrp_answer(now, session, incoming.token, code);
        self.settle();
        incoming.message_id
    }

    /// A node reports on a message.
    pub(in crate::pf) fn report(&mut self, session: &Session, message_id: &str, code: u16) {
        let now = self.now;
        let report = msrp::Report { message_id: message_id.to_owned(), code, size: 1 };
        self.peer(session.node).msrp_report(now, session.media, report);
        self.settle();
    }

    /// The next message that a node gets, whatever comes before it; answered by 200.
    pub(in crate::pf) fn skip_to_message(&mut self, node: usize) -> String {
        self.settle();
        while !matches!(self.events[node - 1].front(), Some(Event::Msrp { event: msrp::Event::Received(_), .. })) {
            assert!(self.events[node - 1].pop_front().is_some(), "node {node} got no message");
        }
        self.read(node, 200)
    }

    /// A node sends a message; the other side's answer is still to be taken.
    pub(in crate::pf) fn write(&mut self, session: &Session, text: &str) {
        self.write_with(session, text, FailureReport::Yes);
    }

    pub(super) fn write_with(&mut self, session: &Session, text: &str, failure_report: FailureReport) {
        let outgoing = Outgoing {
            message_id: None,
            content_type: "message/cpim".to_owned(),
            body: Bytes::from(text.to_owned()),
            success_report: false,
            failure_report,
            chunk_size: 2048,
        };
        let now = self.now;
        self.peer(session.node).msrp_send(now, session.media, outgoing);
        self.settle();
    }

    /// As [`World::write`], by someone who wants to hear of no failure.
    pub(in crate::pf) fn write_unconcerned(&mut self, session: &Session, text: &str) {
        self.write_with(session, text, FailureReport::No);
    }

    /// What became of the message that the node sent.
    pub(in crate::pf) fn sent(&mut self, node: usize) -> Outcome {
        match self.next(node) {
            Event::Msrp { event: msrp::Event::Sent { outcome, .. }, .. } => outcome,
            other => panic!("node {node}: an outcome was due, not {other:?}"),
        }
    }

    /// The focus writes and the PF accepts.
    pub(in crate::pf) fn missed(&mut self, focus: &Session, texts: &[&str]) {
        for text in texts {
            self.write(focus, text);
            assert_eq!(self.sent(FOCUS), Outcome::Accepted, "{text}");
        }
    }

    /// The next message that a node gets, answered by `code`; 0 for no answer.
    pub(in crate::pf) fn read(&mut self, node: usize, code: u16) -> String {
        let (session, incoming) = match self.next(node) {
            Event::Msrp { session, event: msrp::Event::Received(incoming) } => (session, incoming),
            other => panic!("node {node}: a message was due, not {other:?}"),
        };
        if code == 0 {
            self.unanswered.insert(node, (session, incoming.token));
        } else {
            let now = self.now;
            self.peer(node).msrp_answer(now, session, incoming.token, code);
            self.settle();
        }
        String::from_utf8_lossy(&incoming.body).into_owned()
    }

    /// Answers the message that was read last without an answer.
    pub(in crate::pf) fn answer_last(&mut self, node: usize, code: u16) {
        let (session, token) = self.unanswered.remove(&node).expect("a message");
        let now = self.now;
        self.peer(node).msrp_answer(now, session, token, code);
        self.settle();
    }

    /// Bob reads these messages, in this order.
    pub(in crate::pf) fn delivered(&mut self, texts: &[&str]) {
        for text in texts {
            assert_eq!(self.read(BOB, 200), *text);
        }
    }
}

/// Alice's notification that she has the user's message of this imdn.Message-ID, in its wrapper.
pub(in crate::pf) fn wrapped_notification(id: &str) -> String {
    let document = Imdn::new(id, "2012-01-17T09:58:12Z", Kind::Delivery, "delivered").to_xml();
    let wrapper = cpim::Builder::new(ALICE, USER)
        .date_time("2012-01-17T10:02:10Z")
        .message_id(&format!("Imdn-{id}"))
        .mime("Content-Type", imdn::MEDIA_TYPE)
        .mime("Content-Disposition", "notification")
        .content(imdn::MEDIA_TYPE, document);
    String::from_utf8_lossy(&wrapper.encode()).into_owned()
}

/// That notification by MESSAGE, for the device that has sent the message.
pub(in crate::pf) fn notification(id: &str, device: Option<&str>) -> Builder {
    let message = Builder::request("MESSAGE", USER)
        .push("Route", "<sip:pf.home1.example;lr>")
        .push("From", format!("<{ALICE}>"))
        .push("To", format!("<{USER}>"))
        .push("P-Asserted-Identity", format!("<{ALICE}>"))
        .push("Accept-Contact", "*;+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.msg\"");
    let instance = device.map(|device| format!("*;+sip.instance=\"<{device}>\";require;explicit"));
    message
        .push_some("Accept-Contact", instance)
        .push("Conversation-ID", "conversation-9")
        .push("Contribution-ID", "contribution-9")
        .body(cpim::MEDIA_TYPE, wrapped_notification(id))
}

/// A chat message in its CPIM wrapper, of this imdn.Message-ID.
pub(in crate::pf) fn chat(id: &str) -> String {
    let wrapper = cpim::Builder::new(ALICE, USER)
        .date_time("2012-01-17T09:58:12Z")
        .message_id(id)
        .disposition_notification("positive-delivery")
        .content("text/plain", id.to_owned());
    String::from_utf8_lossy(&wrapper.encode()).into_owned()
}
