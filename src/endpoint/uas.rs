//! The UAS core (RFC 3261 8.2, 9.2, 12.2.2, 13.3): requests in, responses out.

use std::sync::Arc;

use crate::sip::acceptance::Acceptance;
use crate::sip::dialog::{Dialog, DialogId, DialogKey, OutOfOrder, State};
use crate::sip::session::Collision;
use crate::sip::transaction::{Reception, TransactionId};
use crate::time::Instant;
use crate::wire::sip::{Builder, Message, Method, Name};

use super::dialogs::Entry;
use super::fill::is_target_refresh;
use super::transport::{Source, WayBack};
use super::{Endpoint, Event, Pending, Wake};

/// What the core knows of a server transaction.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) way: WayBack,
    pub(super) source: Source,
    pub(super) dialog: Option<DialogId>,
    /// The To tag of its responses.
    pub(super) tag: String,
    pub(super) method: Method,
    pub(super) merge_key: Option<Arc<MergeKey>>,
    /// The refusal that the base protocols ask for, left to the user.
    refusal: Option<Refused>,
}

/// Why the base protocols refuse a request, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Refused {
    status: u16,
    why: &'static str,
    /// Seconds of Retry-After.
    retry_after: Option<u64>,
}

impl Refused {
    const fn new(status: u16, why: &'static str) -> Self {
        Self { status, why, retry_after: None }
    }
}

/// What tells a merged request (RFC 3261 8.2.2.2): From tag, Call-ID and CSeq.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct MergeKey {
    from_tag: String,
    call_id: String,
    cseq: (u32, Method),
}

impl MergeKey {
    fn of(request: &Message) -> Option<Self> {
        let cseq = request.cseq().ok()?;
        Some(Self {
            from_tag: request.from_tag()?.to_owned(),
            call_id: request.call_id()?.to_owned(),
            cseq: (cseq.number, Method::of(cseq.method)),
        })
    }
}

/// Hearing.
impl Endpoint {
    pub(super) fn on_request(&mut self, now: Instant, message: Message, source: Source) {
        if self.transactions.len() >= self.config().limits.transactions && !self.transactions.knows(&message) {
            self.transport.note("transaction", "request refused with 503: the limit of transactions is reached");
            if message.method_token() != Some("ACK") {
                let response = Builder::response_to(&message, 503).push(Name::RetryAfter, 5);
                self.transport.reply(now, response, &message, &source);
            }
            return;
        }
        match self.transactions.handle_request(now, message.clone(), source.transport.is_reliable()) {
            Reception::Absorbed(_) => {}
            Reception::Ack => self.on_ack(now, message),
            Reception::New(id) => self.on_new_request(now, id, message, source),
        }
    }

    fn on_new_request(&mut self, now: Instant, id: TransactionId, message: Message, source: Source) {
        let tag = message.to_tag().map(str::to_owned);
        let inside = tag.is_some();
        let server = Server {
            way: source.way_back(&message, &self.config().hosts),
            source,
            dialog: None,
            tag: tag.unwrap_or_else(|| self.ids.tag()),
            method: message.method().unwrap_or(Method::Other("".into())),
            merge_key: None,
            refusal: None,
        };
        self.servers.insert(id, server);
        if message.method_token() == Some("CANCEL") {
            self.on_cancel(now, id, message);
        } else if inside {
            self.on_request_inside(now, id, message);
        } else if self.is_merged(id, &message) {
            self.refuse(now, id, message, Refused::new(482, "merged request"));
        } else {
            self.events.push_back(Event::Request { transaction: id, dialog: None, message });
        }
    }

    /// Whether the same request came by another way before (RFC 3261 8.2.2.2).
    fn is_merged(&mut self, id: TransactionId, message: &Message) -> bool {
        let Some(key) = MergeKey::of(message) else { return false };
        if self.merged.contains_key(&key) {
            return true;
        }
        let key = Arc::new(key);
        self.merged.insert(Arc::clone(&key), id);
        if let Some(server) = self.servers.get_mut(&id) {
            server.merge_key = Some(key);
        }
        false
    }

    fn on_cancel(&mut self, now: Instant, id: TransactionId, message: Message) {
        let Some(invite) = self.transactions.cancelled_by(&message) else {
            self.transport.note("dialog", "answered 481: CANCEL without its INVITE");
            let response = self.response(id, 481);
            self.respond(now, id, response);
            return;
        };
        if let Some(tag) = self.servers.get(&invite).map(|server| server.tag.clone()) {
            self.servers.entry(id).and_modify(|server| server.tag = tag);
        }
        let response = self.response(id, 200);
        self.respond(now, id, response);
        if self.transactions.is_unanswered(invite) {
            self.events.push_back(Event::Cancelled { transaction: invite, message });
        } else {
            self.transport.note("session", "CANCEL without effect: the INVITE has its final response");
        }
    }

    fn on_request_inside(&mut self, now: Instant, id: TransactionId, message: Message) {
        let is_notify = message.method_token() == Some("NOTIFY");
        let known = DialogKey::of_request(&message).and_then(|key| self.dialogs.find(&key));
        let found = known.or_else(|| is_notify.then(|| self.dialog_of_early_notify(&message)).flatten());
        let Some(dialog) = found else {
            return self.refuse(now, id, message, Refused::new(481, "no such dialog"));
        };
        self.servers.entry(id).and_modify(|server| server.dialog = Some(dialog));
        if let Err(refused) = self.admit(dialog, &message) {
            return self.refuse(now, id, message, refused);
        }
        let subscription = self.dialogs.get(dialog).and_then(|entry| entry.subscription).filter(|_| is_notify);
        match subscription {
            Some(subscription) if self.on_notify(now, subscription, id, &message) => {}
            Some(_) => self.refuse(now, id, message, Refused::new(481, "NOTIFY of no subscription of ours")),
            None => self.events.push_back(Event::Request { transaction: id, dialog: Some(dialog), message }),
        }
    }

    /// Takes a request into its dialog, unless it comes at the wrong time.
    fn admit(&mut self, dialog: DialogId, message: &Message) -> Result<(), Refused> {
        let Some(entry) = self.dialogs.get_mut(dialog) else { return Err(Refused::new(481, "no such dialog")) };
        entry.dialog.receive(message).map_err(|OutOfOrder| Refused::new(500, "CSeq out of order"))?;
        match entry.session.on_request_received(message) {
            Ok(()) => {}
            Err(Collision::Pending) => return Err(Refused::new(491, "our own request is pending")),
            Err(Collision::Overlap) => {
                // RFC 3261 14.2: the second waits up to ten seconds.
                let retry_after = Some(self.ids.below(11));
                return Err(Refused { retry_after, ..Refused::new(500, "the peer's own request is pending") });
            }
        }
        if message.method().is_some_and(|method| is_target_refresh(&method)) {
            entry.dialog.refresh_target(message);
        }
        Ok(())
    }

    /// Answers what the base protocols refuse, or leaves it to the user.
    fn refuse(&mut self, now: Instant, id: TransactionId, message: Message, refused: Refused) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        server.refusal = Some(refused);
        let dialog = server.dialog;
        if !self.config().refuses {
            self.events.push_back(Event::Request { transaction: id, dialog, message });
        } else if let Some(response) = self.refusal(id) {
            self.transport.note("dialog", format!("answered {}: {}", refused.status, refused.why));
            self.respond(now, id, response);
        }
    }

    /// The answer by which the base protocols refuse a request; `None` when they do not. Of use
    /// where [`super::Config::refuses`] is off.
    pub fn refusal(&self, transaction: TransactionId) -> Option<Builder> {
        let refused = self.servers.get(&transaction)?.refusal?;
        Some(self.response(transaction, refused.status).push_some(Name::RetryAfter, refused.retry_after))
    }

    pub(super) fn on_ack(&mut self, _now: Instant, message: Message) {
        let Some(dialog) = DialogKey::of_request(&message).and_then(|key| self.dialogs.find(&key)) else {
            return self.transport.note("dialog", "ACK dropped: no such dialog");
        };
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        if self.dialogs.get(dialog).and_then(|entry| entry.awaited_ack).is_some_and(|(awaited, _)| awaited == number) {
            self.settle_acceptance(dialog);
            self.events.push_back(Event::Ack { dialog, message });
        } else {
            self.transport.note("session", "repeated ACK absorbed");
        }
    }
}

/// Answering.
impl Endpoint {
    /// Sends a response as it is. A 2xx to INVITE is repeated until its ACK comes. Returns the
    /// dialog that the response belongs to; it is created here when the response creates one.
    pub fn respond(&mut self, now: Instant, transaction: TransactionId, response: Builder) -> Option<DialogId> {
        let Some(server) = self.servers.get(&transaction) else {
            self.transport.note("transaction", "response not sent: its transaction is over");
            return None;
        };
        let method = server.method.clone();
        let response = server.source.stamp(response);
        let message = response.to_message().ok();
        let data = message.as_ref().map_or_else(|| response.encode(), |message| message.bytes().clone());
        let first = self.transactions.is_unanswered(transaction);
        let status = message.as_ref().and_then(Message::status).unwrap_or(500);
        let refused = server.refusal.is_some();
        let dialog = match message.filter(|_| first && !(refused && status >= 300)) {
            Some(message) => self.on_answer(now, transaction, &method, &message),
            None => server.dialog,
        };
        if let Some(dialog) = dialog.filter(|_| first && method == Method::Invite && status / 100 == 2) {
            self.await_ack(now, transaction, dialog, data.clone());
        }
        self.transactions.respond(now, transaction, status, data);
        self.pump(now);
        if let Some(dialog) = dialog.filter(|_| status >= 200 && !refused && self.ends_usage(transaction, &method)) {
            self.end_usage(dialog, &method);
        }
        dialog
    }

    /// Brings the dialog of an answer up to date, and creates it if the answer does.
    fn on_answer(&mut self, now: Instant, id: TransactionId, method: &Method, response: &Message) -> Option<DialogId> {
        let status = response.status().unwrap_or(0);
        let dialog = match self.servers.get(&id)?.dialog {
            Some(dialog) => dialog,
            None => self.create_dialog(id, method, response)?,
        };
        let entry = self.dialogs.get_mut(dialog)?;
        entry.session.on_response_sent(now, method, response);
        let opened_by_this = entry.dialog.state == State::Early && *method == Method::Invite;
        match status {
            200..300 if opened_by_this => entry.dialog.state = State::Confirmed,
            300.. if opened_by_this => self.drop_dialog(dialog),
            200..300 if *method == Method::Subscribe => {
                let request = self.transactions.request(id).cloned();
                self.on_subscription_granted(now, dialog, request, response);
            }
            _ => {}
        }
        self.rearm(dialog);
        Some(dialog)
    }

    fn create_dialog(&mut self, id: TransactionId, method: &Method, response: &Message) -> Option<DialogId> {
        let status = response.status().unwrap_or(0);
        let opens = match method {
            Method::Invite => (101..300).contains(&status),
            Method::Subscribe | Method::Refer => (200..300).contains(&status),
            _ => false,
        };
        let request = self.transactions.request(id).filter(|_| opens)?;
        let mut entry = Entry::new(Dialog::of_request(request, response)?);
        match method {
            Method::Invite => {
                entry.has_invite = true;
                // Nothing can collide with the first request of a dialog.
                let _ = entry.session.on_request_received(request);
            }
            _ => entry.has_subscription = true,
        }
        let dialog = self.dialogs.insert(entry);
        self.servers.entry(id).and_modify(|server| server.dialog = Some(dialog));
        Some(dialog)
    }

    fn await_ack(&mut self, now: Instant, id: TransactionId, dialog: DialogId, response: bytes::Bytes) {
        let number = self.transactions.request(id).and_then(|request| request.cseq().ok()).map_or(0, |cseq| cseq.number);
        let Some(entry) = self.dialogs.get_mut(dialog) else { return };
        entry.awaited_ack = Some((number, id));
        let acceptance = Acceptance::start(now, self.transport.config().timing);
        self.wakes.set(Wake::Acceptance(id), acceptance.poll_timeout().map(|(at, _)| at));
        self.acceptances.insert(id, Pending { acceptance, dialog, response });
    }
}
