//! One node: transport layer, transactions, dialogs, subscriptions and MSRP stacked into one
//! sans-IO machine.
//!
//! A user (the reference PF, a scripted peer) owns an [`Endpoint`], hands it every input, drains
//! [`Endpoint::poll_event`] and [`Engine::poll_output`] to `None`, and asks for the next
//! deadline. What the base protocols leave no choice about happens in here: retransmission and
//! its absorption, 100, ACK to a refusal, the repeated ACK to a repeated 2xx, 481, 482, 491 and 500
//! of a dialog, refresh of a subscription. Everything else is the user's.
//!
//! A proxy needs less: it uses [`transport::TransportLayer`] alone.

mod config;
mod dialogs;
mod event;
mod fill;
mod hosts;
mod media;
#[cfg(test)]
mod pairs;
mod subscriptions;
pub mod transport;
mod uac;
mod uas;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Closure, ConnectionId, Engine, Input, Output, Standing};
use crate::ids::Ids;
use crate::sip::acceptance::{self, Acceptance};
use crate::sip::session;
use crate::sip::transaction::{Effect, Transactions};
use crate::time::{Deadlines, Instant};
use crate::wire::sip::{Builder, Message};

use dialogs::Dialogs;
use subscriptions::Subscriptions;
use transport::{Arrival, Hop, TransportLayer};

pub use crate::msrp::SessionId as MsrpId;
pub use crate::sip::dialog::{Dialog, DialogId, Side, State};
pub use crate::sip::subscription::SubscriptionId;
pub use crate::sip::timers::Timing;
pub use crate::sip::transaction::{Failure, TransactionId};
pub use config::{Config, Limits};
pub use event::{Change, Destination, Event};
pub use hosts::Hosts;

/// One node.
#[derive(Debug)]
pub struct Endpoint {
    transport: TransportLayer,
    transactions: Transactions,
    dialogs: Dialogs,
    clients: BTreeMap<TransactionId, uac::Client>,
    servers: BTreeMap<TransactionId, uas::Server>,
    /// The client transactions whose requests went to a hop; read when its connection breaks.
    by_hop: BTreeMap<Hop, BTreeSet<TransactionId>>,
    merged: BTreeMap<Arc<uas::MergeKey>, TransactionId>,
    acceptances: BTreeMap<TransactionId, Pending>,
    subscriptions: Subscriptions,
    wakes: Deadlines<Wake>,
    msrp: crate::msrp::Node,
    ids: Ids,
    /// The Contact where the user gives none.
    contact: String,
    events: VecDeque<Event>,
    /// The time of the latest input.
    clock: Instant,
}

/// A 2xx to INVITE without its ACK.
#[derive(Debug)]
struct Pending {
    acceptance: Acceptance,
    dialog: DialogId,
    response: Bytes,
}

/// What waits for its time besides the transactions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Wake {
    Acceptance(TransactionId),
    Session(DialogId),
    Subscription(SubscriptionId),
    Notifier(DialogId),
}

impl Engine for Endpoint {
    fn handle(&mut self, now: Instant, input: Input) {
        self.clock = now;
        self.sweep();
        match input {
            Input::Timeout => self.on_timeout(now),
            other => {
                if let Some(rest) = self.transport.handle(now, other) {
                    self.on_media_input(now, rest);
                }
            }
        }
        while let Some(arrival) = self.transport.poll_arrival() {
            self.on_arrival(now, arrival);
        }
        self.pump(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.transport.poll_output()
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let wake = self.wakes.next().and_then(|(_, wake)| match wake {
            Wake::Acceptance(id) => self.acceptances.get(id)?.acceptance.poll_timeout(),
            Wake::Session(id) => self.dialogs.get(*id)?.session.poll_timeout(),
            Wake::Subscription(id) => self.subscription_timeout(*id),
            Wake::Notifier(id) => self.dialogs.get(*id)?.notifier.as_ref()?.1.poll_timeout(),
        });
        [self.transactions.poll_timeout(), wake, self.msrp.poll_timeout()].into_iter().flatten().min()
    }

    fn standing(&self, connection: ConnectionId) -> Standing {
        self.transport.standing(connection).unwrap_or_else(|| self.msrp.standing(connection))
    }
}

impl Endpoint {
    /// A node that has nothing to do yet.
    pub fn new(config: Config) -> Self {
        Self {
            transactions: Transactions::new(config.timing),
            dialogs: Dialogs::default(),
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            by_hop: BTreeMap::new(),
            merged: BTreeMap::new(),
            acceptances: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
            wakes: Deadlines::default(),
            msrp: crate::msrp::Node::new(config.media(), Ids::new(config.seed, &format!("{} msrp", config.name))),
            ids: Ids::new(config.seed, &config.name),
            contact: config.own_contact(),
            events: VecDeque::new(),
            clock: Instant::ZERO,
            transport: TransportLayer::new(config),
        }
    }

    /// What it was made of.
    pub const fn config(&self) -> &Config {
        self.transport.config()
    }

    /// The next event for the user.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn on_arrival(&mut self, now: Instant, arrival: Arrival) {
        match arrival {
            Arrival::Message { message, source } if message.is_request() => self.on_request(now, message, source),
            Arrival::Message { message, source } => {
                if self.transactions.handle_response(now, message).is_none() {
                    self.transport.note("transaction", format!("response from {} belongs to no transaction", source.peer));
                }
            }
            Arrival::Broken { how: Closure::Finished, .. } => {}
            Arrival::Broken { hop, how: how @ (Closure::Reset | Closure::Refused) } => self.on_broken_hop(now, hop, how),
        }
        self.pump(now);
    }

    fn on_timeout(&mut self, now: Instant) {
        self.transactions.handle_timeout(now);
        self.pump(now);
        while let Some(wake) = self.wakes.expire(now) {
            match wake {
                Wake::Acceptance(id) => self.on_acceptance_due(now, id),
                Wake::Session(id) => self.on_session_due(now, id),
                Wake::Subscription(id) => self.on_subscription_due(now, id),
                Wake::Notifier(id) => self.on_notifier_due(now, id),
            }
        }
        self.on_media_timeout(now);
    }

    fn on_acceptance_due(&mut self, now: Instant, id: TransactionId) {
        let Some(pending) = self.acceptances.get_mut(&id) else { return };
        match pending.acceptance.handle_timeout(now) {
            Some(acceptance::Due::Repeat) => {
                self.wakes.set(Wake::Acceptance(id), pending.acceptance.poll_timeout().map(|(at, _)| at));
                let response = pending.response.clone();
                self.transport.note("session", "2xx sent again: no ACK yet");
                self.transactions.respond(now, id, 200, response);
                self.pump(now);
            }
            Some(acceptance::Due::AckMissing) => {
                let dialog = pending.dialog;
                self.settle_acceptance(dialog);
                self.transport.note("session", "no ACK to the 2xx within 64*T1");
                self.events.push_back(Event::AckMissing { dialog });
            }
            None => self.wakes.set(Wake::Acceptance(id), pending.acceptance.poll_timeout().map(|(at, _)| at)),
        }
    }

    /// The 2xx that the dialog waits for is acknowledged, or never will be.
    fn settle_acceptance(&mut self, dialog: DialogId) {
        let Some(entry) = self.dialogs.get_mut(dialog) else { return };
        entry.session.on_acknowledged();
        if let Some((_, id)) = entry.awaited_ack.take() {
            self.acceptances.remove(&id);
            self.wakes.set(Wake::Acceptance(id), None);
        }
    }

    fn on_session_due(&mut self, now: Instant, dialog: DialogId) {
        let Some(entry) = self.dialogs.get_mut(dialog) else { return };
        match entry.session.handle_timeout(now) {
            Some(session::Due::Refresh) => self.events.push_back(Event::RefreshDue { dialog }),
            Some(session::Due::Expiry) => self.events.push_back(Event::SessionExpired { dialog }),
            None => {}
        }
        self.rearm(dialog);
    }

    /// Keeps the deadline of a session in step with its state.
    fn rearm(&mut self, dialog: DialogId) {
        let at = self.dialogs.get(dialog).and_then(|entry| entry.session.poll_timeout());
        self.wakes.set(Wake::Session(dialog), at.map(|(at, _)| at));
    }

    /// Carries out what the transactions ask for.
    fn pump(&mut self, now: Instant) {
        while let Some((id, effect)) = self.transactions.poll_effect() {
            match effect {
                Effect::Send(data) => self.transmit(id, data),
                Effect::Deliver(message) if message.is_request() => self.on_ack(now, message),
                Effect::Deliver(message) => self.on_response(now, id, message),
                Effect::Fail(why) => self.on_failure(now, id, why),
                Effect::Note(text) => self.transport.note("transaction", text),
            }
        }
    }

    fn transmit(&mut self, id: TransactionId, data: Bytes) {
        if let Some(client) = self.clients.get(&id) {
            self.transport.send(client.hop, data);
        } else if let Some(server) = self.servers.get(&id) {
            self.transport.send_back(&server.way, data);
        }
    }

    /// Forgets what ended before this input.
    fn sweep(&mut self) {
        while let Some(id) = self.transactions.sweep() {
            if let Some(client) = self.clients.remove(&id) {
                self.forget_client(id, &client);
            } else if let Some(server) = self.servers.remove(&id) {
                server.merge_key.map(|key| self.merged.remove(&key));
            }
        }
    }
}

/// Reading.
impl Endpoint {
    /// The request of a transaction, until the next input after the transaction's end.
    pub fn request(&self, transaction: TransactionId) -> Option<&Message> {
        self.transactions.request(transaction)
    }

    /// The dialog that a transaction's request belongs to, or opened.
    pub fn dialog_of(&self, transaction: TransactionId) -> Option<DialogId> {
        match self.clients.get(&transaction) {
            Some(client) => client.dialog.or(client.accepted.first().map(|(_, dialog)| *dialog)),
            None => self.servers.get(&transaction)?.dialog,
        }
    }

    /// A dialog. BYE ends it at its final answer, or when it fails.
    pub fn dialog(&self, dialog: DialogId) -> Option<&Dialog> {
        self.dialogs.get(dialog).map(|entry| &entry.dialog)
    }

    /// Whether neither side has an INVITE or an offer under way, so that ours meets no 491.
    pub fn may_offer(&self, dialog: DialogId) -> bool {
        self.dialogs.get(dialog).is_some_and(|entry| entry.session.is_free() && entry.awaited_ack.is_none())
    }

    /// Whether our 2xx in this dialog still waits for its ACK, so that BYE has to wait
    /// (RFC 3261 15).
    pub fn awaits_ack(&self, dialog: DialogId) -> bool {
        self.dialogs.get(dialog).is_some_and(|entry| entry.awaited_ack.is_some())
    }

    /// The session interval in force in a dialog, in seconds (RFC 4028).
    pub fn session_interval(&self, dialog: DialogId) -> Option<u32> {
        self.dialogs.get(dialog)?.session.interval()
    }
}

/// Beneath the dialogs.
impl Endpoint {
    /// Forgets a dialog; nothing is sent.
    pub fn drop_dialog(&mut self, dialog: DialogId) {
        self.settle_acceptance(dialog);
        let subscription = self.dialogs.remove(dialog).and_then(|entry| entry.subscription);
        self.wakes.set(Wake::Session(dialog), None);
        self.wakes.set(Wake::Notifier(dialog), None);
        if let Some(subscription) = subscription {
            self.drop_subscription(subscription);
        }
    }

    /// Sends bytes as they are. Without a known destination nothing is sent.
    pub fn send_raw(&mut self, _now: Instant, destination: Destination, data: Bytes) {
        let hop = match destination {
            Destination::Dialog(dialog) => self.dialog_hop(dialog),
            Destination::Transaction(id) => {
                return self.transmit(id, data);
            }
            Destination::Uri(uri) => self.transport.next_hop(&Builder::request("OPTIONS", &uri)),
            Destination::Address(transport, peer) => Some(Hop { transport, peer }),
            Destination::Connection(connection) => {
                self.transport.send_on(connection, data);
                return;
            }
        };
        match hop {
            Some(hop) => self.transport.send(hop, data),
            None => self.transport.note("transport", "raw bytes not sent: no such destination"),
        }
    }

    fn dialog_hop(&self, dialog: DialogId) -> Option<Hop> {
        let entry = self.dialogs.get(dialog)?;
        self.transport.next_hop(&entry.dialog.complete("OPTIONS", 1, Builder::request("OPTIONS", "")))
    }
}
