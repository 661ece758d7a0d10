//! The subscription usages of dialogs (RFC 6665): ours, kept alive in here, and those that peers
//! have with us, counted down in here.

use std::collections::BTreeMap;

use crate::sip::dialog::{Dialog, DialogId, DialogKey};
use crate::sip::subscription::{Due, Event as Package, Notifier, Subscriber, SubscriptionId, ends_at};
use crate::sip::transaction::{Failure, TransactionId};
use crate::time::Instant;
use crate::wire::sip::header;
use crate::wire::sip::{Builder, Message, Method, Name};

use super::dialogs::Entry;
use super::uac::Purpose;
use super::{Change, Endpoint, Event, Wake};

/// The interval asked for where the request names none (RFC 4575 3.3).
const DEFAULT_EXPIRES: u32 = 3_600;

/// Our subscriptions, and the SUBSCRIBEs that a NOTIFY may overtake.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    next: u32,
    own: BTreeMap<SubscriptionId, Own>,
    /// The SUBSCRIBEs outside of dialogs whose transactions are not over, by Call-ID and our tag.
    open: BTreeMap<(String, String), TransactionId>,
    open_keys: BTreeMap<TransactionId, (String, String)>,
}

#[derive(Debug)]
struct Own {
    machine: Subscriber,
    /// What the user asked for; refreshes repeat it.
    wish: Builder,
    expires: u32,
    dialog: Option<DialogId>,
    /// Unsubscribe as soon as there is a dialog.
    ending: Option<Builder>,
    /// The notifier's Min-Expires was met once already.
    lengthened: bool,
}

impl Subscriptions {
    /// A number for a subscription, ours or a peer's.
    pub(super) const fn allocate(&mut self) -> SubscriptionId {
        self.next += 1;
        SubscriptionId(self.next)
    }

    /// A SUBSCRIBE outside of dialogs was sent.
    pub(super) fn open(&mut self, request: &Message, id: TransactionId) {
        if let Some(key) = open_key(request) {
            self.open_keys.insert(id, key.clone());
            self.open.insert(key, id);
        }
    }

    /// Its transaction is over; a retry with the same Call-ID and tag may be open by now.
    pub(super) fn close(&mut self, id: TransactionId) {
        if let Some(key) = self.open_keys.remove(&id).filter(|key| self.open.get(key) == Some(&id)) {
            self.open.remove(&key);
        }
    }
}

fn open_key(request: &Message) -> Option<(String, String)> {
    Some((request.call_id()?.to_owned(), request.from().ok()?.tag()?.to_owned()))
}

/// The subscriber's part for the user.
impl Endpoint {
    /// Subscribes (RFC 6665): refreshes before expiry, meets 423, tells what is notified. The
    /// events of the subscription stand for those of its SUBSCRIBE transactions.
    pub fn subscribe(&mut self, now: Instant, request: Builder) -> SubscriptionId {
        let id = self.subscriptions.allocate();
        let expires = expires_of(request.value(Name::Expires)).unwrap_or(DEFAULT_EXPIRES);
        let request = request.set(Name::Expires, expires);
        let wish = ["Via", "Route", "From", "To", "Call-ID", "CSeq", "Max-Forwards"]
            .into_iter()
            .fold(request.clone().with_start("SUBSCRIBE  SIP/2.0".to_owned()), |wish, name| wish.remove(name));
        let request = self.prepare(request);
        let event = wish.value(Name::Event).and_then(Package::parse).unwrap_or_default();
        let machine = Subscriber::start(now, event, self.config().timing);
        let own = Own { machine, wish, expires, dialog: None, ending: None, lengthened: false };
        self.subscriptions.own.insert(id, own);
        self.start_client(now, None, request, Purpose::Subscription(id));
        self.rearm_subscription(id);
        id
    }

    /// Subscribes again at once, for example to get the full state (RFC 4575 4.4).
    pub fn refresh_subscription(&mut self, now: Instant, subscription: SubscriptionId) {
        if let Some(own) = self.subscriptions.own.get_mut(&subscription) {
            own.machine.on_subscribe_sent(now);
            self.resubscribe(now, subscription);
        }
    }

    /// Ends a subscription: `extra` is `Builder::request("SUBSCRIBE", "")` with further fields.
    /// Without a dialog yet it ends as soon as there is one.
    pub fn unsubscribe(&mut self, now: Instant, subscription: SubscriptionId, extra: Builder) {
        let Some(own) = self.subscriptions.own.get_mut(&subscription) else { return };
        let Some(dialog) = own.dialog else {
            own.ending = Some(extra);
            return;
        };
        own.machine.on_unsubscribe_sent(now);
        let event = own.wish.value(Name::Event).map(str::to_owned);
        let request = extra.set(Name::Expires, 0);
        let request = if request.has(Name::Event) { request } else { request.push_some(Name::Event, event) };
        self.send_for(now, subscription, dialog, request);
    }

    /// The dialog of a subscription, once it has one.
    pub fn subscription_dialog(&self, subscription: SubscriptionId) -> Option<DialogId> {
        self.subscriptions.own.get(&subscription)?.dialog
    }

    /// Forgets a subscription and its dialog; nothing is sent.
    pub fn drop_subscription(&mut self, subscription: SubscriptionId) {
        if let Some(dialog) = self.forget_subscription(subscription).and_then(|own| own.dialog) {
            self.end_usage(dialog, &Method::Subscribe);
        }
    }

    fn forget_subscription(&mut self, id: SubscriptionId) -> Option<Own> {
        self.wakes.set(Wake::Subscription(id), None);
        let own = self.subscriptions.own.remove(&id)?;
        if let Some(entry) = own.dialog.and_then(|dialog| self.dialogs.get_mut(dialog)) {
            entry.subscription = None;
        }
        Some(own)
    }

    fn resubscribe(&mut self, now: Instant, id: SubscriptionId) {
        let Some(own) = self.subscriptions.own.get(&id) else { return };
        let request = own.wish.clone().set(Name::Expires, own.expires);
        if let Some(dialog) = own.dialog {
            self.send_for(now, id, dialog, request);
        }
    }

    fn send_for(&mut self, now: Instant, id: SubscriptionId, dialog: DialogId, request: Builder) {
        if let Some(request) = self.prepare_in(dialog, request) {
            self.start_client(now, Some(dialog), request, Purpose::Subscription(id));
        }
        self.rearm_subscription(id);
    }

    pub(super) fn rearm_subscription(&mut self, id: SubscriptionId) {
        let at = self.subscriptions.own.get(&id).and_then(|own| own.machine.poll_timeout());
        self.wakes.set(Wake::Subscription(id), at.map(|(at, _)| at));
    }

    pub(super) fn subscription_timeout(&self, id: SubscriptionId) -> Option<(Instant, &'static str)> {
        self.subscriptions.own.get(&id)?.machine.poll_timeout()
    }

    fn tell(&mut self, id: SubscriptionId, change: Change) {
        self.events.push_back(Event::Subscription { id, change });
    }
}

/// The subscriber's part towards the wire.
impl Endpoint {
    pub(super) fn on_subscription_due(&mut self, now: Instant, id: SubscriptionId) {
        let Some(own) = self.subscriptions.own.get_mut(&id) else { return };
        match own.machine.handle_timeout(now) {
            Some(Due::Refresh) => {
                self.transport.note("subscription", "refresh before expiry");
                self.resubscribe(now, id);
            }
            Some(Due::NotifyMissing) if own.machine.is_leaving() => {
                self.transport.note("subscription", "timer N: no last NOTIFY");
                self.drop_subscription(id);
                self.tell(id, Change::Terminated { reason: None, retry_after: None });
            }
            Some(due @ (Due::NotifyMissing | Due::Expired)) => {
                let why = if due == Due::Expired { "it ran out" } else { "timer N: no NOTIFY" };
                self.transport.note("subscription", why);
                self.drop_subscription(id);
                self.tell(id, Change::Failed { status: 408 });
            }
            None => {}
        }
        self.rearm_subscription(id);
    }

    /// A final response to a SUBSCRIBE of ours; `dialog` is the one that it belongs to.
    pub(super) fn on_subscribe_answered(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        transaction: TransactionId,
        dialog: Option<DialogId>,
        response: &Message,
    ) {
        let status = response.status().unwrap_or(0);
        match status {
            0..200 => {}
            200..300 => self.on_subscribe_accepted(now, id, dialog, response),
            423 if self.lengthen(now, id, transaction, response) => {}
            _ => self.on_subscribe_refused(id, status),
        }
        self.rearm_subscription(id);
    }

    fn on_subscribe_accepted(&mut self, now: Instant, id: SubscriptionId, dialog: Option<DialogId>, response: &Message) {
        if let Some(dialog) = dialog {
            self.bind_subscription(id, dialog);
        }
        let Some(own) = self.subscriptions.own.get_mut(&id) else { return };
        let expires = expires_of(response.value(Name::Expires)).unwrap_or(own.expires);
        own.machine.on_accepted(now, expires);
        let ending = own.ending.take();
        self.tell(id, Change::Accepted { expires });
        if let Some(extra) = ending {
            self.unsubscribe(now, id, extra);
        }
    }

    fn on_subscribe_refused(&mut self, id: SubscriptionId, status: u16) {
        let Some(own) = self.subscriptions.own.get(&id) else { return };
        if own.machine.is_leaving() {
            self.drop_subscription(id);
            self.tell(id, Change::Terminated { reason: None, retry_after: None });
        } else if own.dialog.is_none() || ends_at(status) {
            self.drop_subscription(id);
            self.tell(id, Change::Failed { status });
        } else {
            self.transport.note("subscription", format!("refresh refused with {status}: it lives until it runs out"));
        }
    }

    /// Asks once more for the interval that a 423 demands (RFC 6665 4.1.2.1).
    fn lengthen(&mut self, now: Instant, id: SubscriptionId, transaction: TransactionId, response: &Message) -> bool {
        let Some(least) = expires_of(response.value(Name::MinExpires)) else { return false };
        let Some(own) = self.subscriptions.own.get_mut(&id).filter(|own| !own.lengthened && own.expires < least) else {
            return false;
        };
        own.lengthened = true;
        own.expires = least;
        own.machine.on_subscribe_sent(now);
        if own.dialog.is_some() {
            self.resubscribe(now, id);
            return true;
        }
        let Some(refused) = self.transactions.request(transaction) else { return false };
        let number = refused.cseq().map_or(1, |cseq| cseq.number.saturating_add(1));
        let again =
            Builder::of(refused).remove(Name::Via).set(Name::Expires, least).set(Name::CSeq, format_args!("{number} SUBSCRIBE"));
        let again = self.prepare(again);
        self.start_client(now, None, again, Purpose::Subscription(id));
        true
    }

    pub(super) fn on_subscribe_failed(&mut self, id: SubscriptionId, why: Failure) {
        let status = match why {
            Failure::Timeout => 408,
            Failure::Transport => 503,
        };
        self.on_subscribe_refused(id, status);
        self.rearm_subscription(id);
    }

    fn bind_subscription(&mut self, id: SubscriptionId, dialog: DialogId) {
        let Some(own) = self.subscriptions.own.get_mut(&id) else { return };
        own.dialog.get_or_insert(dialog);
        if let Some(entry) = self.dialogs.get_mut(dialog) {
            entry.subscription = Some(id);
        }
    }

    /// The dialog of a NOTIFY that overtook the 2xx to its SUBSCRIBE (RFC 6665 4.1.2.4); `None`
    /// when no SUBSCRIBE of ours waits for it.
    pub(super) fn dialog_of_early_notify(&mut self, notify: &Message) -> Option<DialogId> {
        let key = DialogKey::of_request(notify)?;
        let transaction = *self.subscriptions.open.get(&(key.call_id, key.local_tag))?;
        let subscribe = self.transactions.request(transaction)?;
        let purpose = self.clients.get(&transaction)?.purpose;
        if Package::of(subscribe) != Package::of(notify) {
            return None;
        }
        if let Purpose::Subscription(id) = purpose {
            // A second notifier of a forked SUBSCRIBE is not wanted.
            self.subscriptions.own.get(&id).filter(|own| own.dialog.is_none())?;
        }
        let mut entry = Entry::new(Dialog::of_notify(subscribe, notify)?);
        entry.has_subscription = true;
        let dialog = self.dialogs.insert(entry);
        if let Some(client) = self.clients.get_mut(&transaction) {
            client.forks.push(dialog);
        }
        if let Purpose::Subscription(id) = purpose {
            self.bind_subscription(id, dialog);
        }
        Some(dialog)
    }

    /// Takes a NOTIFY in a dialog of ours; `false` when it belongs to no subscription of ours.
    pub(super) fn on_notify(&mut self, now: Instant, id: SubscriptionId, transaction: TransactionId, notify: &Message) -> bool {
        let Some(own) = self.subscriptions.own.get_mut(&id).filter(|own| own.machine.matches(notify)) else { return false };
        let ending = own.machine.on_notify(now, notify);
        let wants_to_leave = own.ending.take().filter(|_| ending.is_none());
        self.tell(id, Change::Notified { transaction, message: notify.clone() });
        if let Some(ending) = ending {
            self.forget_subscription(id);
            self.tell(id, Change::Terminated { reason: ending.reason, retry_after: ending.retry_after });
        }
        if let Some(extra) = wants_to_leave {
            self.unsubscribe(now, id, extra);
        }
        self.rearm_subscription(id);
        true
    }
}

/// The notifier's part.
impl Endpoint {
    /// A 2xx to a SUBSCRIBE was sent: the subscription runs as long as it says.
    pub(super) fn on_subscription_granted(&mut self, now: Instant, dialog: DialogId, request: Option<Message>, response: &Message) {
        let Some(request) = request else { return };
        let granted = expires_of(response.value(Name::Expires)).or(expires_of(request.value(Name::Expires)));
        let expires = granted.unwrap_or(DEFAULT_EXPIRES);
        let Some(entry) = self.dialogs.get_mut(dialog) else { return };
        match &mut entry.notifier {
            Some((_, notifier)) => notifier.refresh(now, expires),
            None => {
                let notifier = Notifier::start(now, Package::of(&request).unwrap_or_default(), expires);
                entry.notifier = Some((self.subscriptions.allocate(), notifier));
            }
        }
        self.rearm_notifier(dialog);
    }

    pub(super) fn rearm_notifier(&mut self, dialog: DialogId) {
        let notifier = self.dialogs.get(dialog).and_then(|entry| entry.notifier.as_ref());
        let at = notifier.and_then(|(_, notifier)| notifier.poll_timeout());
        self.wakes.set(Wake::Notifier(dialog), at.map(|(at, _)| at));
    }

    pub(super) fn on_notifier_due(&mut self, now: Instant, dialog: DialogId) {
        let notifier = self.dialogs.get_mut(dialog).and_then(|entry| entry.notifier.as_mut());
        let over = notifier.and_then(|(id, notifier)| notifier.handle_timeout(now).then_some(*id));
        if let Some(id) = over {
            self.tell(id, Change::Expired { dialog });
        }
        self.rearm_notifier(dialog);
    }

    /// Adds Event and Subscription-State to a NOTIFY that lacks them.
    pub(super) fn complete_notify(&self, dialog: DialogId, notify: Builder) -> Builder {
        let Some((_, notifier)) = self.dialogs.get(dialog).and_then(|entry| entry.notifier.as_ref()) else { return notify };
        let event = (!notify.has(Name::Event)).then(|| notifier.event().value());
        let state = (!notify.has(Name::SubscriptionState)).then(|| notifier.state(self.clock));
        notify.push_some(Name::Event, event).push_some(Name::SubscriptionState, state)
    }

    /// The refusal of an event package: 489 with Allow-Events (RFC 6665 4.2.1.1).
    pub fn bad_event(&self, transaction: TransactionId, allowed: &str) -> Builder {
        self.response(transaction, 489).push(Name::AllowEvents, allowed)
    }

    /// The refusal of an interval below `least` seconds: 423 with Min-Expires (RFC 6665 4.2.1.1).
    /// `None` when the request asks for none or for enough; 0 ends a subscription and is enough.
    pub fn interval_too_brief(&self, transaction: TransactionId, least: u32) -> Option<Builder> {
        let asked = expires_of(self.transactions.request(transaction)?.value(Name::Expires))?;
        (asked > 0 && asked < least).then(|| self.response(transaction, 423).push(Name::MinExpires, least))
    }
}

fn expires_of(value: Option<&str>) -> Option<u32> {
    header::number(value?.trim()).ok().map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX))
}
