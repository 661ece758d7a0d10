//! One node: transport layer, transactions, dialogs, subscriptions and MSRP stacked into one
//! sans-IO machine.
//!
//! A user (the reference PF, a scripted peer) owns an [`Endpoint`], hands it every input, drains
//! [`Endpoint::poll_event`] and [`Endpoint::poll_output`] to `None`, and asks for the next
//! deadline. What the base protocols leave no choice about happens in here: retransmission and
//! its absorption, 100, ACK to a refusal, the repeated ACK to a repeated 2xx, 481, 491 and 500 of
//! a dialog, refresh of a subscription. Everything else is the user's.
//!
//! A proxy needs less: it uses [`transport::TransportLayer`] alone.

mod hosts;
pub mod transport;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Closure, ConnectionId, Input, Output, Transport};
use crate::time::Instant;
use crate::wire::sip::{Builder, Message};

pub use crate::msrp::SessionId as MsrpId;
pub use crate::sip::dialog::{Dialog, DialogId, Side, State};
pub use crate::sip::subscription::SubscriptionId;
pub use crate::sip::timers::Timing;
pub use crate::sip::transaction::{Failure, TransactionId};
pub use hosts::Hosts;

/// What makes one node.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name in the run; identifiers derive from it and the seed.
    pub name: String,
    /// The seed of the run.
    pub seed: u64,
    /// The host in Via, Call-ID, default Contact and MSRP paths.
    pub host: String,
    /// Where it takes SIP, on UDP and TCP.
    pub sip: SocketAddr,
    /// Where it takes MSRP connections.
    pub msrp: SocketAddr,
    /// The transport of requests whose next hop names none.
    pub transport: Transport,
    /// The names that it can resolve.
    pub hosts: Arc<Hosts>,
    /// T1, T2 and T4.
    pub timing: Timing,
    /// The value of User-Agent and Server.
    pub agent: String,
    /// The value of Allow.
    pub allow: String,
    /// The Contact that is filled in where none is given; `None` makes one of host and port.
    pub contact: Option<String>,
    /// Whether the ACK is repeated for each repeated 2xx (RFC 3261 13.2.2.4).
    pub repeat_ack: bool,
    /// What peers may make it hold.
    pub limits: Limits,
}

impl Config {
    /// A node at `ip` with the usual ports and timers, TCP first.
    pub fn new(name: &str, seed: u64, ip: IpAddr, host: &str, hosts: Arc<Hosts>) -> Self {
        Self {
            name: name.to_owned(),
            seed,
            host: host.to_owned(),
            sip: SocketAddr::new(ip, 5060),
            msrp: SocketAddr::new(ip, 2855),
            transport: Transport::Tcp,
            hosts,
            timing: Timing::default(),
            agent: "cpmcheck".to_owned(),
            allow: "INVITE, ACK, BYE, CANCEL, UPDATE, OPTIONS, MESSAGE, SUBSCRIBE, NOTIFY".to_owned(),
            contact: None,
            repeat_ack: true,
            limits: Limits::default(),
        }
    }
}

/// What peers may make a node hold before it refuses (503) or closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// SIP connections at a time; more are closed at once.
    pub connections: usize,
    /// Server transactions at a time; further requests are answered 503 without state.
    pub transactions: usize,
    /// Unfinished messages of one connection.
    pub framer: crate::wire::sip::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 100_000, transactions: 1_000_000, framer: crate::wire::sip::Limits::default() }
    }
}

/// What a node tells its user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A new request, ACK and CANCEL aside; the user answers it.
    Request {
        /// Its server transaction.
        transaction: TransactionId,
        /// The dialog that it belongs to.
        dialog: Option<DialogId>,
        /// The request.
        message: Message,
    },
    /// The ACK to our 2xx came, for the first time.
    Ack {
        /// The dialog that it belongs to.
        dialog: DialogId,
        /// The ACK.
        message: Message,
    },
    /// A pending INVITE was cancelled. The CANCEL is answered; the user answers the INVITE by 487.
    Cancelled {
        /// The INVITE.
        transaction: TransactionId,
        /// The CANCEL.
        message: Message,
    },
    /// A provisional response above 100, or a final one; repetitions are absorbed. A further 2xx
    /// of a forked INVITE comes with its own dialog.
    Response {
        /// The client transaction.
        transaction: TransactionId,
        /// The dialog that the response belongs to.
        dialog: Option<DialogId>,
        /// The response.
        message: Message,
    },
    /// A request got no final response.
    Failed {
        /// The client transaction.
        transaction: TransactionId,
        /// The dialog that the request belongs to.
        dialog: Option<DialogId>,
        /// Why not.
        why: Failure,
    },
    /// No ACK to our 2xx came within 64*T1: the user sends a BYE (RFC 3261 13.3.1.4).
    AckMissing {
        /// The dialog.
        dialog: DialogId,
    },
    /// Half of the session interval is over and the refresh is ours (RFC 4028 10).
    RefreshDue {
        /// The dialog.
        dialog: DialogId,
    },
    /// No refresh came in time: the user sends a BYE (RFC 4028 10).
    SessionExpired {
        /// The dialog.
        dialog: DialogId,
    },
    /// A subscription changed.
    Subscription {
        /// The subscription.
        id: SubscriptionId,
        /// How.
        change: Change,
    },
    /// An MSRP session has something to tell.
    Msrp {
        /// The session.
        session: MsrpId,
        /// What happened.
        event: crate::msrp::Event,
    },
}

/// How a subscription changed (RFC 6665).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Subscriber: the notifier accepted it for so many seconds.
    Accepted {
        /// The interval granted.
        expires: u32,
    },
    /// Subscriber: a NOTIFY came; the user answers it.
    Notified {
        /// Its server transaction.
        transaction: TransactionId,
        /// The NOTIFY.
        message: Message,
    },
    /// Subscriber: it is over, by a NOTIFY that said so or because we unsubscribed.
    Terminated {
        /// The reason of Subscription-State.
        reason: Option<String>,
        /// Its retry-after, in seconds.
        retry_after: Option<u32>,
    },
    /// Subscriber: it never came to be, or its refresh failed.
    Failed {
        /// The status of the refusal; 408 for a timeout, Timer N included, 503 for the transport.
        status: u16,
    },
    /// Notifier: it ran out; the user sends the last NOTIFY (`terminated;reason=timeout`).
    Expired {
        /// Its dialog.
        dialog: DialogId,
    },
}

/// Where raw bytes go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Destination {
    /// The next hop of a dialog.
    Dialog(DialogId),
    /// The next hop of a client transaction, or back to where a request came from.
    Transaction(TransactionId),
    /// Where a request to this URI would go.
    Uri(String),
    /// An address.
    Address(Transport, SocketAddr),
    /// An open connection.
    Connection(ConnectionId),
}

/// One node.
#[derive(Debug)]
pub struct Endpoint {
    config: Config,
}

impl Endpoint {
    /// A node that has nothing to do yet.
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// What it was made of.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Applies one input.
    pub fn handle(&mut self, _now: Instant, _input: Input) {}

    /// The next event for the user.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// The next effect for the driver.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }

    /// The earliest deadline and its name.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        None
    }

    /// Sends a request outside of any dialog; INVITE and SUBSCRIBE open one with their answer.
    ///
    /// Fields that are there win; Via, Max-Forwards, From, To, Call-ID, CSeq, Contact, Allow and
    /// User-Agent are filled in. The next hop is the first Route, else the Request-URI.
    pub fn send(&mut self, now: Instant, request: Builder) -> TransactionId {
        let request = self.prepare(request);
        self.send_as_is(now, None, request)
    }

    /// Sends a request inside a dialog. Request-URI (when empty), From, To, Call-ID, CSeq and
    /// Route come from it. `None` when the dialog is gone.
    pub fn send_in(&mut self, now: Instant, dialog: DialogId, request: Builder) -> Option<TransactionId> {
        let request = self.prepare_in(dialog, request)?;
        Some(self.send_as_is(now, Some(dialog), request))
    }

    /// What [`Endpoint::send`] would send, to be altered before [`Endpoint::send_as_is`].
    pub fn prepare(&mut self, request: Builder) -> Builder {
        request
    }

    /// What [`Endpoint::send_in`] would send; it uses up a sequence number of the dialog.
    pub fn prepare_in(&mut self, _dialog: DialogId, request: Builder) -> Option<Builder> {
        Some(request)
    }

    /// Sends a request with the fields that it has and no others.
    pub fn send_as_is(&mut self, _now: Instant, _dialog: Option<DialogId>, _request: Builder) -> TransactionId {
        TransactionId(0)
    }

    /// Sends the ACK to a 2xx, with a body where the 2xx made the offer.
    pub fn acknowledge(&mut self, _now: Instant, _invite: TransactionId, _dialog: DialogId, _body: Option<(&str, Bytes)>) {}

    /// As [`Endpoint::acknowledge`]; `ack` is `Builder::request("ACK", "")` with further fields.
    pub fn acknowledge_with(&mut self, _now: Instant, _invite: TransactionId, _dialog: DialogId, _ack: Builder) {}

    /// Cancels an INVITE; waits for a provisional response itself (RFC 3261 9.1).
    pub fn cancel(&mut self, _now: Instant, _invite: TransactionId) {}

    /// As [`Endpoint::cancel`], with further fields, for example a Reason.
    pub fn cancel_with(&mut self, _now: Instant, _invite: TransactionId, _extra: Vec<(String, String)>) {}

    /// A response with the fields that it needs: those copied, To tag, Contact, Allow and Server.
    ///
    /// For a transaction that is gone it has a status line only.
    pub fn response(&self, _transaction: TransactionId, status: u16) -> Builder {
        Builder::response(status, crate::wire::sip::reason_phrase(status))
    }

    /// Sends a response as it is. A 2xx to INVITE is repeated until its ACK comes. Returns the
    /// dialog that the response belongs to; it is created here when the response creates one.
    pub fn respond(&mut self, _now: Instant, _transaction: TransactionId, _response: Builder) -> Option<DialogId> {
        None
    }

    /// The request of a transaction, until the next input after the transaction's end.
    pub fn request(&self, _transaction: TransactionId) -> Option<&Message> {
        None
    }

    /// The dialog that a transaction's request belongs to, or opened.
    pub fn dialog_of(&self, _transaction: TransactionId) -> Option<DialogId> {
        None
    }

    /// A dialog. BYE ends it at its final answer, or when it fails.
    pub fn dialog(&self, _dialog: DialogId) -> Option<&Dialog> {
        None
    }

    /// Forgets a dialog; nothing is sent.
    pub fn drop_dialog(&mut self, _dialog: DialogId) {}

    /// Whether neither side has an INVITE or an offer under way, so that ours meets no 491.
    pub fn may_offer(&self, _dialog: DialogId) -> bool {
        true
    }

    /// Sends a request again that was refused by 422 (RFC 4028 7.4): same Call-ID, From and To,
    /// next CSeq, Min-SE and a Session-Expires not below it. `None` when `refusal` is no 422.
    pub fn retry_with_min_se(&mut self, _now: Instant, _refused: TransactionId, _refusal: &Message) -> Option<TransactionId> {
        None
    }

    /// Subscribes (RFC 6665): refreshes before expiry, handles 423, tells what is notified.
    pub fn subscribe(&mut self, _now: Instant, _request: Builder) -> SubscriptionId {
        SubscriptionId(0)
    }

    /// Ends a subscription: `extra` is `Builder::request("SUBSCRIBE", "")` with further fields.
    pub fn unsubscribe(&mut self, _now: Instant, _subscription: SubscriptionId, _extra: Builder) {}

    /// The dialog of a subscription, once it has one.
    pub fn subscription_dialog(&self, _subscription: SubscriptionId) -> Option<DialogId> {
        None
    }

    /// Forgets a subscription and its dialog; nothing is sent.
    pub fn drop_subscription(&mut self, _subscription: SubscriptionId) {}

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, _now: Instant, _destination: Destination, _data: Bytes) {}

    /// Resets every connection of this node, SIP and MSRP.
    pub fn disconnect(&mut self, _now: Instant) {}

    /// A new MSRP session and its own path for `a=path`.
    pub fn msrp_open(&mut self) -> (MsrpId, String) {
        (crate::msrp::SessionId(0), String::new())
    }

    /// Binds a session to its peer: the active side connects, the passive one waits (RFC 6135).
    pub fn msrp_start(&mut self, _now: Instant, _session: MsrpId, _remote_path: &str, _active: bool) {}

    /// Sends a message and returns its Message-ID.
    pub fn msrp_send(&mut self, _now: Instant, _session: MsrpId, message: crate::msrp::Outgoing) -> String {
        message.message_id.unwrap_or_default()
    }

    /// Answers the last chunk of a received message.
    pub fn msrp_answer(&mut self, _now: Instant, _session: MsrpId, _token: crate::msrp::Token, _code: u16) {}

    /// Sends a REPORT.
    pub fn msrp_report(&mut self, _now: Instant, _session: MsrpId, _report: crate::msrp::Report) {}

    /// Ends a session and its connection, unless another session uses that.
    pub fn msrp_close(&mut self, _now: Instant, _session: MsrpId, _how: Closure) {}
}
