//! The MSRP side of a node: connections on the MSRP port, and those opened for MSRP.

use crate::engine::{Closure, Input};
use crate::msrp::{Outgoing, Report, SessionId, Token};
use crate::sip::subscription::SubscriptionId;
use crate::time::Instant;
use crate::wire::sip::Builder;

use super::{DialogId, Endpoint, MsrpId};

impl Endpoint {
    pub(super) fn on_media_input(&mut self, _now: Instant, _input: Input) {}

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

    /// Resets every connection of this node, SIP and MSRP.
    pub fn disconnect(&mut self, now: Instant) {
        self.transport.disconnect(now);
    }

    /// A new MSRP session and its own path for `a=path`.
    pub fn msrp_open(&mut self) -> (MsrpId, String) {
        (SessionId(0), String::new())
    }

    /// Binds a session to its peer: the active side connects, the passive one waits (RFC 6135).
    pub fn msrp_start(&mut self, _now: Instant, _session: MsrpId, _remote_path: &str, _active: bool) {}

    /// Sends a message and returns its Message-ID.
    pub fn msrp_send(&mut self, _now: Instant, _session: MsrpId, message: Outgoing) -> String {
        message.message_id.unwrap_or_default()
    }

    /// Answers the last chunk of a received message.
    pub fn msrp_answer(&mut self, _now: Instant, _session: MsrpId, _token: Token, _code: u16) {}

    /// Sends a REPORT.
    pub fn msrp_report(&mut self, _now: Instant, _session: MsrpId, _report: Report) {}

    /// Ends a session and its connection, unless another session uses that.
    pub fn msrp_close(&mut self, _now: Instant, _session: MsrpId, _how: Closure) {}
}
