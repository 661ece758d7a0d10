//! Requests and responses of the peers, outside and within dialogs.

use super::{FOCUS, Session, World};
use crate::endpoint::{Change, DialogId, Event, MsrpId, TransactionId};
use crate::wire::sip::{Builder, Message};

use super::sessions::sdp;

impl World {
    /// The next request, which has to have this method.
    pub(in crate::pf) fn request(&mut self, node: usize, method: &str) -> (TransactionId, Option<DialogId>, Message) {
        match self.next(node) {
            Event::Request { transaction, dialog, message } if message.method_token() == Some(method) => {
                (transaction, dialog, message)
            }
            Event::Subscription { change: Change::Notified { transaction, message }, .. } if method == "NOTIFY" => {
                (transaction, None, message)
            }
            other => panic!("node {node}: {method} was due, not {other:?}"),
        }
    }

    /// The next response, which has to have this status.
    pub(in crate::pf) fn response(&mut self, node: usize, status: u16) -> (TransactionId, Option<DialogId>, Message) {
        match self.next(node) {
            Event::Response { transaction, dialog, message } if message.status() == Some(status) => (transaction, dialog, message),
            other => panic!("node {node}: {status} was due, not {other:?}"),
        }
    }

    pub(in crate::pf) fn ack(&mut self, node: usize) -> DialogId {
        match self.next(node) {
            Event::Ack { dialog, .. } => dialog,
            other => panic!("node {node}: ACK was due, not {other:?}"),
        }
    }

    /// Answers a request with a status alone.
    pub(in crate::pf) fn answer(&mut self, node: usize, transaction: TransactionId, status: u16) -> Option<DialogId> {
        self.answer_with(node, transaction, status, |response| response)
    }

    pub(in crate::pf) fn answer_with(
        &mut self,
        node: usize,
        transaction: TransactionId,
        status: u16,
        change: impl FnOnce(Builder) -> Builder,
    ) -> Option<DialogId> {
        let now = self.now;
        let response = change(self.peer(node).response(transaction, status));
        let dialog = self.peer(node).respond(now, transaction, response);
        self.settle();
        dialog
    }

    pub(in crate::pf) fn send(&mut self, node: usize, request: Builder) -> TransactionId {
        let now = self.now;
        let transaction = self.peer(node).send(now, request);
        self.settle();
        transaction
    }

    pub(in crate::pf) fn send_in(&mut self, session: &Session, request: Builder) -> TransactionId {
        let now = self.now;
        let transaction = self.peer(session.node).send_in(now, session.dialog, request).expect("a dialog");
        self.settle();
        transaction
    }

    pub(in crate::pf) fn cancel(&mut self, node: usize, invite: TransactionId) {
        let now = self.now;
        self.peer(node).cancel(now, invite);
        self.settle();
    }

    /// Sends a BYE in a session and takes its 200.
    pub(in crate::pf) fn bye(&mut self, session: &Session, reason: Option<&str>) {
        self.send_in(session, Builder::request("BYE", "").push_some("Reason", reason));
        self.response(session.node, 200);
    }

    /// A node acknowledges a 200 of the PF and starts its media.
    pub(in crate::pf) fn acknowledge(
        &mut self,
        node: usize,
        invite: TransactionId,
        dialog: DialogId,
        media: MsrpId,
        response: &Message,
    ) -> Session {
        let now = self.now;
        self.peer(node).acknowledge(now, invite, dialog, None);
        self.start(node, media, response, true);
        Session { node, dialog, media }
    }

    /// The focus notifies in the dialog of a subscription.
    pub(in crate::pf) fn notify(&mut self, dialog: DialogId, state: &str, document: &str) {
        let session = Session { node: FOCUS, dialog, media: MsrpId(0) };
        let notify = Builder::request("NOTIFY", "").push("Event", "conference").push("Subscription-State", state);
        self.send_in(&session, notify.body("application/conference-info+xml", document.to_owned()));
        self.response(FOCUS, 200);
    }

    /// The next request of this method, whatever comes before it.
    pub(in crate::pf) fn skip_to_request(&mut self, node: usize, method: &str) -> (TransactionId, Message) {
        loop {
            match self.next(node) {
                Event::Request { transaction, message, .. } if message.method_token() == Some(method) => {
                    return (transaction, message);
                }
                _ => {}
            }
        }
    }

    /// The next response of this status, whatever comes before it.
    pub(in crate::pf) fn skip_to_response(&mut self, node: usize, status: u16) -> (TransactionId, Option<DialogId>, Message) {
        loop {
            match self.next(node) {
                Event::Response { transaction, dialog, message } if message.status() == Some(status) => {
                    return (transaction, dialog, message);
                }
                _ => {}
            }
        }
    }

    /// A request of a node within a session, with an altered description of its media.
    pub(in crate::pf) fn modify(
        &mut self,
        session: &Session,
        method: &str,
        change: impl FnOnce(String) -> String,
    ) -> TransactionId {
        let paths = self.peer(session.node).msrp_paths(session.media).expect("a session").0.to_owned();
        let sdp = sdp(session.node, 900, "actpass", &paths);
        self.send_in(session, Builder::request(method, "").body("application/sdp", change(sdp)))
    }

    /// Answers a change of the session by 200.
    pub(in crate::pf) fn agree(&mut self, session: &Session, asked: TransactionId, change: impl FnOnce(String) -> String) {
        let paths = self.peer(session.node).msrp_paths(session.media).expect("a session").0.to_owned();
        let sdp = change(sdp(session.node, 901, "active", &paths));
        self.answer_with(session.node, asked, 200, |response| response.body("application/sdp", sdp));
    }

    /// Acknowledges a 2xx to a re-INVITE.
    pub(in crate::pf) fn confirm(&mut self, session: &Session, invite: TransactionId) {
        let now = self.now;
        self.peer(session.node).acknowledge(now, invite, session.dialog, None);
        self.settle();
    }
}
