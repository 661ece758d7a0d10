//! The UAC core (RFC 3261 8.1, 9.1, 13.2): requests out, responses in.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::engine::{Closure, Transport};
use crate::sip::dialog::{Dialog, DialogId, DialogKey, State};
use crate::sip::session;
use crate::sip::subscription::SubscriptionId;
use crate::sip::transaction::{Failure, TransactionId, client_invite};
use crate::time::Instant;
use crate::wire::sip::{Builder, Message, Method, Name};

use super::dialogs::Entry;
use super::fill::{is_target_refresh, method_and_uri};
use super::transport::Hop;
use super::{Endpoint, Event};

/// What the core knows of a client transaction.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) hop: Hop,
    /// The dialog that the request was sent in.
    pub(super) dialog: Option<DialogId>,
    /// The dialogs that its responses opened.
    pub(super) forks: Vec<DialogId>,
    /// The To tags of the 2xx that came, and their dialogs.
    pub(super) accepted: Vec<(String, DialogId)>,
    /// Where the request goes should no connection come to be: it went by TCP for its size only.
    fallback: Option<Hop>,
    method: Method,
    acks: BTreeMap<DialogId, (Hop, Bytes)>,
    cancel: Cancel,
    pub(super) purpose: Purpose,
}

/// Who waits for the outcome of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// The user.
    User,
    /// Nobody: it is a CANCEL.
    Cancel,
    /// A subscription: it is one of its SUBSCRIBEs.
    Subscription(SubscriptionId),
}

/// Whether an INVITE is to be cancelled.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Cancel {
    No,
    /// As soon as a provisional response came (RFC 3261 9.1).
    Wanted(Vec<(String, String)>),
    Sent,
}

/// Sending.
impl Endpoint {
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

    /// Sends a request with the fields that it has and no others.
    pub fn send_as_is(&mut self, now: Instant, dialog: Option<DialogId>, request: Builder) -> TransactionId {
        self.start_client(now, dialog, request, Purpose::User)
    }

    pub(super) fn start_client(
        &mut self,
        now: Instant,
        dialog: Option<DialogId>,
        request: Builder,
        purpose: Purpose,
    ) -> TransactionId {
        let wished = self.transport.next_hop(&request);
        let hop = wished.map(|wished| by_transport_of(&request, wished));
        let fallback = wished.filter(|wished| !wished.transport.is_reliable() && Some(*wished) != hop);
        let (Some(hop), Ok(message)) = (hop, request.to_message()) else {
            return self.send_blindly(dialog, hop, request.encode(), purpose);
        };
        let method = message.method().unwrap_or(Method::Other("".into()));
        if let Some(entry) = dialog.and_then(|dialog| self.dialogs.get_mut(dialog)) {
            entry.session.on_request_sent(&message);
            if method == Method::Invite {
                entry.invite_cseq = message.cseq().map_or(entry.invite_cseq, |cseq| cseq.number);
            }
        }
        let opening = (dialog.is_none() && method == Method::Subscribe).then(|| message.clone());
        let id = self.transactions.start_client(now, message, hop.transport.is_reliable());
        if let Some(subscribe) = opening {
            self.subscriptions.open(&subscribe, id);
        }
        let client = Client {
            hop,
            dialog,
            forks: Vec::new(),
            accepted: Vec::new(),
            fallback,
            method,
            acks: BTreeMap::new(),
            cancel: Cancel::No,
            purpose,
        };
        self.clients.insert(id, client);
        if hop.transport.is_reliable() {
            self.by_hop.entry(hop).or_default().insert(id);
        }
        self.pump(now);
        id
    }

    /// What was sent to a hop may be lost. A request that left UDP for its size alone goes back to
    /// it where no connection came to be (RFC 3261 18.1.1); the transactions of all others are told.
    pub(super) fn on_broken_hop(&mut self, now: Instant, hop: Hop, how: Closure) {
        for id in self.by_hop.get(&hop).cloned().unwrap_or_default() {
            let fallback = self.clients.get_mut(&id).and_then(|client| client.fallback.take());
            match fallback.filter(|_| how == Closure::Refused) {
                Some(fallback) => self.send_again(now, id, fallback),
                None => self.transactions.handle_transport_error(id),
            }
        }
    }

    fn send_again(&mut self, now: Instant, id: TransactionId, hop: Hop) {
        let (Some(request), Some(client)) = (self.transactions.request(id), self.clients.get_mut(&id)) else { return };
        let via = request.value(Name::Via).unwrap_or_default().replacen("/TCP", "/UDP", 1);
        let Ok(request) = Message::decode(Builder::of(request).set_first(Name::Via, Some(via)).encode()) else { return };
        self.transport.note("transport", "no TCP: sent by UDP in spite of its size");
        let left = std::mem::replace(&mut client.hop, hop);
        self.leave_hop(id, left);
        self.transactions.restart_client(now, id, request, hop.transport.is_reliable());
    }

    /// A request that goes nowhere, or that no transaction can hold: it is sent where possible and
    /// counts as failed.
    fn send_blindly(&mut self, dialog: Option<DialogId>, hop: Option<Hop>, data: Bytes, purpose: Purpose) -> TransactionId {
        let transaction = self.transactions.allocate();
        match hop {
            Some(hop) => self.transport.send(hop, data),
            None => self.transport.note("transport", "no next hop: neither Route nor Request-URI can be resolved"),
        }
        match purpose {
            Purpose::User => self.events.push_back(Event::Failed { transaction, dialog, why: Failure::Transport }),
            Purpose::Subscription(id) => self.on_subscribe_failed(id, Failure::Transport),
            Purpose::Cancel => {}
        }
        transaction
    }

    /// Sends the ACK to a 2xx, with a body where the 2xx made the offer.
    pub fn acknowledge(&mut self, now: Instant, invite: TransactionId, dialog: DialogId, body: Option<(&str, Bytes)>) {
        let ack = Builder::request("ACK", "");
        let ack = match body {
            Some((content_type, body)) => ack.body(content_type, body),
            None => ack,
        };
        self.acknowledge_with(now, invite, dialog, ack);
    }

    /// As [`Endpoint::acknowledge`]; `ack` is `Builder::request("ACK", "")` with further fields.
    pub fn acknowledge_with(&mut self, _now: Instant, invite: TransactionId, dialog: DialogId, ack: Builder) {
        let number = self.transactions.request(invite).and_then(|request| request.cseq().ok()).map(|cseq| cseq.number);
        let Some(entry) = self.dialogs.get_mut(dialog) else { return };
        entry.session.on_acknowledged();
        let ack = entry.dialog.complete("ACK", number.unwrap_or(entry.invite_cseq), ack);
        let ack = self.finish("ACK", ack);
        let Some(hop) = self.transport.next_hop(&ack).map(|hop| by_transport_of(&ack, hop)) else { return };
        let data = ack.encode();
        self.transport.send(hop, data.clone());
        if let Some(client) = self.clients.get_mut(&invite) {
            client.acks.insert(dialog, (hop, data));
        }
    }

    /// Cancels an INVITE; waits for a provisional response itself (RFC 3261 9.1).
    pub fn cancel(&mut self, now: Instant, invite: TransactionId) {
        self.cancel_with(now, invite, Vec::new());
    }

    /// As [`Endpoint::cancel`], with further fields, for example a Reason.
    pub fn cancel_with(&mut self, now: Instant, invite: TransactionId, extra: Vec<(String, String)>) {
        let Some(client) = self.clients.get_mut(&invite) else { return };
        match self.transactions.client_invite(invite) {
            Some(client_invite::State::Calling) => client.cancel = Cancel::Wanted(extra),
            Some(client_invite::State::Proceeding) if client.cancel != Cancel::Sent => self.send_cancel(now, invite, extra),
            Some(_) | None => self.transport.note("session", "no CANCEL: the INVITE has its final response"),
        }
    }

    fn send_cancel(&mut self, now: Instant, invite: TransactionId, extra: Vec<(String, String)>) {
        let Some(request) = self.transactions.request(invite) else { return };
        let cancel = extra.into_iter().fold(cancel_of(request), |cancel, (name, value)| cancel.push(name, value));
        if let Some(client) = self.clients.get_mut(&invite) {
            client.cancel = Cancel::Sent;
        }
        self.transactions.cancelled(now, invite);
        self.start_client(now, None, cancel, Purpose::Cancel);
    }

    /// Sends a request again that was refused by 422 (RFC 4028 7.4): same Call-ID, From and To,
    /// next CSeq, Min-SE and a Session-Expires not below it. `None` when `refusal` is no 422.
    pub fn retry_with_min_se(&mut self, now: Instant, refused: TransactionId, refusal: &Message) -> Option<TransactionId> {
        let request = self.transactions.request(refused)?;
        let retry = session::with_min_se(request, refusal)?;
        let (method, number) = (request.method_token()?.to_owned(), request.cseq().ok()?.number);
        match self.clients.get(&refused).and_then(|client| client.dialog) {
            Some(dialog) => self.send_in(now, dialog, retry.remove(Name::CSeq).remove(Name::Route)),
            None => Some(self.send(now, retry.set(Name::CSeq, format_args!("{} {method}", number.saturating_add(1))))),
        }
    }
}

/// Hearing.
impl Endpoint {
    pub(super) fn on_response(&mut self, now: Instant, id: TransactionId, response: Message) {
        let status = response.status().unwrap_or(0);
        let Some(client) = self.clients.get_mut(&id) else { return };
        // Whoever responds has the request: it goes by no second transport.
        client.fallback = None;
        let (purpose, method) = (client.purpose, client.method.clone());
        if let (..200, Cancel::Wanted(extra)) = (status, client.cancel.clone()) {
            self.send_cancel(now, id, extra);
        }
        let accepts = method == Method::Invite && status / 100 == 2;
        if status == 100 || purpose == Purpose::Cancel || (accepts && self.is_repeated(id, &response)) {
            return;
        }
        let dialog = match self.clients.get(&id).and_then(|client| client.dialog) {
            Some(dialog) => self.on_response_inside(now, dialog, &method, &response),
            None => self.on_response_opening(now, id, &method, &response),
        };
        if status >= 300 {
            self.drop_early(id);
        }
        if let (Some(client), Some(dialog)) = (self.clients.get_mut(&id), dialog.filter(|_| accepts)) {
            client.accepted.push((to_tag(&response), dialog));
        }
        let ended = dialog.filter(|_| status >= 200 && self.ends_usage(id, &method));
        match purpose {
            Purpose::Subscription(subscription) => self.on_subscribe_answered(now, subscription, id, dialog, &response),
            Purpose::User | Purpose::Cancel => {
                self.events.push_back(Event::Response { transaction: id, dialog, message: response });
            }
        }
        if let Some(dialog) = ended {
            self.end_usage(dialog, &method);
        }
    }

    fn on_response_inside(&mut self, now: Instant, dialog: DialogId, method: &Method, response: &Message) -> Option<DialogId> {
        if let Some(entry) = self.dialogs.get_mut(dialog) {
            entry.session.on_response_received(now, method, response);
            if response.status().is_some_and(|status| status / 100 == 2) && is_target_refresh(method) {
                entry.dialog.refresh_target(response);
            }
            self.rearm(dialog);
        }
        Some(dialog)
    }

    /// Finds or creates the dialog of a response to a request sent outside of one.
    fn on_response_opening(&mut self, now: Instant, id: TransactionId, method: &Method, response: &Message) -> Option<DialogId> {
        let status = response.status().unwrap_or(0);
        let opens = match method {
            Method::Invite => (101..300).contains(&status),
            Method::Subscribe | Method::Refer => (200..300).contains(&status),
            _ => false,
        };
        let key = DialogKey::of_response(response).filter(|_| opens)?;
        let dialog = match self.dialogs.find(&key) {
            Some(known) => known,
            None => self.open_dialog(id, method, response)?,
        };
        let entry = self.dialogs.get_mut(dialog)?;
        if status >= 200 {
            entry.dialog.confirm(response);
        }
        entry.session.on_response_received(now, method, response);
        self.rearm(dialog);
        Some(dialog)
    }

    fn open_dialog(&mut self, id: TransactionId, method: &Method, response: &Message) -> Option<DialogId> {
        let request = self.transactions.request(id)?;
        let mut entry = Entry::new(Dialog::of_response(request, response)?);
        match method {
            Method::Invite => {
                entry.has_invite = true;
                entry.session.on_request_sent(request);
            }
            _ => entry.has_subscription = true,
        }
        let dialog = self.dialogs.insert(entry);
        if let Some(client) = self.clients.get_mut(&id) {
            client.forks.push(dialog);
        }
        Some(dialog)
    }

    /// Whether a 2xx with this To tag came before: its ACK is repeated then (RFC 3261 13.2.2.4),
    /// even if the dialog is gone by now.
    fn is_repeated(&mut self, id: TransactionId, response: &Message) -> bool {
        let Some(client) = self.clients.get(&id) else { return false };
        let tag = to_tag(response);
        let Some((_, dialog)) = client.accepted.iter().find(|(accepted, _)| *accepted == tag) else { return false };
        match client.acks.get(dialog).cloned().filter(|_| self.transport.config().repeat_ack) {
            Some((hop, ack)) => {
                self.transport.note("session", "repeated 2xx absorbed, ACK sent again");
                self.transport.send(hop, ack);
            }
            None => self.transport.note("session", "repeated 2xx absorbed"),
        }
        true
    }

    /// Removes the early dialogs of an INVITE that was refused or forgotten.
    fn drop_early(&mut self, id: TransactionId) {
        let forks = self.clients.get_mut(&id).map(|client| std::mem::take(&mut client.forks)).unwrap_or_default();
        self.remove_early(&forks);
    }

    fn remove_early(&mut self, forks: &[DialogId]) {
        for fork in forks {
            if self.dialog(*fork).is_some_and(|dialog| dialog.state == State::Early) {
                self.drop_dialog(*fork);
            }
        }
    }

    pub(super) fn on_failure(&mut self, _now: Instant, id: TransactionId, why: Failure) {
        let Some(client) = self.clients.get(&id) else { return };
        let (dialog, method, purpose) = (client.dialog, client.method.clone(), client.purpose);
        if purpose == Purpose::Cancel {
            return;
        }
        if let Some(entry) = dialog.and_then(|dialog| self.dialogs.get_mut(dialog)) {
            entry.session.on_request_failed(&method);
        }
        self.drop_early(id);
        let ended = dialog.filter(|_| self.ends_usage(id, &method));
        match purpose {
            Purpose::Subscription(subscription) => self.on_subscribe_failed(subscription, why),
            Purpose::User | Purpose::Cancel => self.events.push_back(Event::Failed { transaction: id, dialog, why }),
        }
        if let Some(dialog) = ended {
            self.end_usage(dialog, &method);
        }
    }

    /// Whether the final answer to this request ends a usage of its dialog: BYE, and the NOTIFY
    /// that says `terminated`.
    pub(super) fn ends_usage(&self, id: TransactionId, method: &Method) -> bool {
        match method {
            Method::Bye => true,
            Method::Notify => self.transactions.request(id).is_some_and(says_terminated),
            _ => false,
        }
    }

    /// Ends the usage that `method` belongs to, and the dialog with its last usage (RFC 5057 4).
    pub(super) fn end_usage(&mut self, dialog: DialogId, method: &Method) {
        let Some(entry) = self.dialogs.get_mut(dialog) else { return };
        if *method == Method::Bye {
            entry.has_invite = false;
            entry.session.stop();
        } else {
            entry.has_subscription = false;
        }
        if !entry.has_invite && !entry.has_subscription {
            self.drop_dialog(dialog);
        } else {
            self.rearm(dialog);
        }
    }

    fn leave_hop(&mut self, id: TransactionId, hop: Hop) {
        if let Some(waiting) = self.by_hop.get_mut(&hop) {
            waiting.remove(&id);
            if waiting.is_empty() {
                self.by_hop.remove(&hop);
            }
        }
    }

    /// A client transaction is forgotten: with it the early dialogs that never got a 2xx.
    pub(super) fn forget_client(&mut self, id: TransactionId, client: &Client) {
        self.remove_early(&client.forks);
        self.subscriptions.close(id);
        self.leave_hop(id, client.hop);
    }
}

/// A hop by the transport that the Via on top names.
fn by_transport_of(request: &Builder, hop: Hop) -> Hop {
    let token = request.value(Name::Via).and_then(|via| via.split_whitespace().next()).and_then(|word| word.rsplit('/').next());
    let transport = match token {
        Some("UDP") => Transport::Udp,
        Some("TCP") => Transport::Tcp,
        Some("TLS") => Transport::Tls,
        Some(_) | None => hop.transport,
    };
    Hop { transport, ..hop }
}

fn to_tag(response: &Message) -> String {
    response.to_tag().unwrap_or_default().to_owned()
}

/// Whether a NOTIFY ends its subscription (RFC 6665 4.1.3).
pub(super) fn says_terminated(notify: &Message) -> bool {
    let state = notify.value(Name::SubscriptionState).and_then(|value| value.split(';').next());
    state.is_some_and(|state| state.trim().eq_ignore_ascii_case("terminated"))
}

/// The CANCEL of an INVITE (RFC 3261 9.1).
fn cancel_of(invite: &Message) -> Builder {
    let number = invite.cseq().map_or(0, |cseq| cseq.number);
    let (_, uri) = method_and_uri(&Builder::of(invite));
    let cancel = Builder::request("CANCEL", &uri)
        .push_some(Name::Via, invite.elements(Name::Via).next())
        .push_some(Name::MaxForwards, invite.value(Name::MaxForwards));
    let cancel = invite.values(Name::Route).fold(cancel, |cancel, route| cancel.push(Name::Route, route));
    cancel
        .push_some(Name::From, invite.value(Name::From))
        .push_some(Name::To, invite.value(Name::To))
        .push_some(Name::CallId, invite.call_id())
        .push(Name::CSeq, format_args!("{number} CANCEL"))
}
