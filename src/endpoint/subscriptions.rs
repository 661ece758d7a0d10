//! The subscription usages of dialogs (RFC 6665).

use crate::sip::subscription::SubscriptionId;
use crate::time::Instant;
use crate::wire::sip::Builder;

use super::{DialogId, Endpoint};

impl Endpoint {
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
}
