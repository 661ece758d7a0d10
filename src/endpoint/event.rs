//! What a node tells its user, and what it is told in names of its own.

use std::net::SocketAddr;

use crate::engine::{ConnectionId, Transport};
use crate::sip::transaction::{Failure, TransactionId};
use crate::wire::sip::Message;

use super::{DialogId, MsrpId, SubscriptionId};

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
