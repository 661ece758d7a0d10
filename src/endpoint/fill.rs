//! Puts into requests and responses what their sender left out.

use crate::sip::dialog::DialogId;
use crate::sip::session::is_too_small;
use crate::sip::transaction::TransactionId;
use crate::wire::sip::header::{self, CSeq, Via};
use crate::wire::sip::{Builder, FieldValue, Method, Name, Scheme, reason_phrase};

use super::Endpoint;
use super::transport::{bracketed, with_to_tag};

/// The order in which a message of ours starts.
const LEADING: &[Name] =
    &[Name::Via, Name::MaxForwards, Name::Route, Name::RecordRoute, Name::From, Name::To, Name::CallId, Name::CSeq, Name::Contact];

impl Endpoint {
    /// What [`Endpoint::send`] would send, to be altered before [`Endpoint::send_as_is`].
    pub fn prepare(&mut self, request: Builder) -> Builder {
        let (method, uri) = method_and_uri(&request);
        let host = bracketed(&self.config().host).into_owned();
        let from = match request.value(Name::From) {
            Some(from) if header::tag_of(from).is_some() => from.to_owned(),
            Some(from) => [from, ";tag=", &self.ids.tag()].concat(),
            None => format!("<sip:{host}>;tag={}", self.ids.tag()),
        };
        let request = request.set(Name::From, from);
        let request = default(request, Name::To, || ["<", &uri, ">"]);
        let request = default(request, Name::CallId, || self.ids.call_id(&host));
        let request = default(request, Name::CSeq, || ["1 ", &method]);
        self.finish(&method, request)
    }

    /// What [`Endpoint::send_in`] would send; it uses up a sequence number of the dialog.
    pub fn prepare_in(&mut self, dialog: DialogId, request: Builder) -> Option<Builder> {
        let (method, _) = method_and_uri(&request);
        let request = if method == "NOTIFY" { self.complete_notify(dialog, request) } else { request };
        let entry = self.dialogs.get_mut(dialog)?;
        let given = request.value(Name::CSeq).and_then(|value| CSeq::parse(value).ok()).map(|cseq| cseq.number);
        let cseq = match given {
            Some(number) => {
                entry.dialog.local_cseq = entry.dialog.local_cseq.max(number);
                number
            }
            None => entry.dialog.next_cseq(),
        };
        let request = entry.dialog.complete(&method, cseq, request);
        Some(self.finish(&method, request))
    }

    /// What every request has, and the order of its first fields.
    pub(super) fn finish(&mut self, method: &str, request: Builder) -> Builder {
        let request = default(request, Name::MaxForwards, || "70");
        let request =
            if is_target_refresh(&Method::of(method)) { default(request, Name::Contact, || self.contact()) } else { request };
        let request = match method {
            "INVITE" | "UPDATE" => default(request, Name::Allow, || self.config().allow.as_str()),
            _ => request,
        };
        let request = match method {
            "ACK" | "CANCEL" => request,
            _ => default(request, Name::UserAgent, || self.config().agent.as_str()),
        };
        self.with_via(request).lead_with(LEADING)
    }

    fn with_via(&mut self, request: Builder) -> Builder {
        if request.has(Name::Via) {
            return request;
        }
        let branch = self.ids.branch();
        match self.transport.next_hop(&request) {
            Some(hop) => self.transport.push_via(request, hop, &branch).0,
            None => {
                let via = self.transport.via(self.config().transport, &branch);
                request.push_first(Name::Via, via)
            }
        }
    }

    /// Names in the Via of a prepared request the transport that it goes by as it is now: what was
    /// altered may have got another next hop, or got too long for a datagram, or short enough.
    #[must_use]
    pub fn with_transport(&self, request: Builder) -> Builder {
        let branch = request.value(Name::Via).and_then(|via| Via::parse(via).ok()?.branch().map(str::to_owned));
        let (Some(branch), Some(hop)) = (branch, self.transport.next_hop(&request)) else { return request };
        self.transport.replace_via(request, hop, &branch).0
    }

    /// The Contact of this node where its user gives none.
    pub(super) fn contact(&self) -> &str {
        &self.contact
    }

    /// A response with the fields that it needs: those copied, To tag, Contact, Allow and Server.
    ///
    /// For a transaction that is gone it has a status line only.
    pub fn response(&self, transaction: TransactionId, status: u16) -> Builder {
        let (Some(request), Some(server)) = (self.transactions.request(transaction), self.servers.get(&transaction)) else {
            return Builder::response(status, reason_phrase(status));
        };
        let response = Builder::response_to(request, status);
        if status == 100 {
            return response;
        }
        let response = with_to_tag(response, &server.tag);
        let opens = status < 300 && is_target_refresh(&server.method);
        let response = response.push_some(Name::Contact, opens.then(|| self.contact()));
        let allow = (status == 405 || (status / 100 == 2 && server.method == Method::Invite)).then(|| self.config().allow.as_str());
        response.push_some(Name::Allow, allow).push(Name::Server, &self.config().agent)
    }

    /// The refusal of a method that this node does not take: 405 with Allow (RFC 3261 8.2.1). `None` when
    /// it takes it.
    pub fn method_not_allowed(&self, transaction: TransactionId) -> Option<Builder> {
        let method = self.transactions.request(transaction)?.method_token()?;
        let is_taken = self.config().allow.split(',').any(|taken| taken.trim() == method);
        (!is_taken).then(|| self.response(transaction, 405))
    }

    /// The refusal of extensions in Require that are not in `supported`: 420 with Unsupported
    /// (RFC 3261 8.2.2.3). `None` when all are.
    pub fn bad_extension(&self, transaction: TransactionId, supported: &[&str]) -> Option<Builder> {
        let request = self.transactions.request(transaction)?;
        let known = |option: &str| supported.iter().any(|supported| supported.eq_ignore_ascii_case(option));
        let unknown: Vec<&str> = request.elements(Name::Require).filter(|option| !known(option)).collect();
        (!unknown.is_empty()).then(|| self.response(transaction, 420).push(Name::Unsupported, unknown.join(", ")))
    }

    /// The refusal of a Request-URI whose scheme no one here knows: 416 (RFC 3261 8.2.2.1). `None` when
    /// the scheme is known.
    pub fn unsupported_scheme(&self, transaction: TransactionId) -> Option<Builder> {
        let request = self.transactions.request(transaction)?;
        let is_unknown = request.target().is_ok_and(|uri| uri.scheme == Scheme::Other);
        is_unknown.then(|| self.response(transaction, 416))
    }

    /// The refusal of a body that is none of `accepted`: 415 with Accept (RFC 3261 8.2.3).
    pub fn unsupported_media(&self, transaction: TransactionId, accepted: &str) -> Builder {
        self.response(transaction, 415).push(Name::Accept, accepted)
    }

    /// The refusal of a session interval below `min_se` seconds: 422 with Min-SE (RFC 4028 9). `None`
    /// when the request asks for none or for enough, or its sender does not know the extension.
    pub fn interval_too_small(&self, transaction: TransactionId, min_se: u32) -> Option<Builder> {
        let request = self.transactions.request(transaction)?;
        is_too_small(request, min_se).then(|| self.response(transaction, 422).push(Name::MinSe, min_se))
    }

    /// The refusal of a request that may go no further: 483 (RFC 3261 16.3). `None` when it may.
    pub fn too_many_hops(&self, transaction: TransactionId) -> Option<Builder> {
        let request = self.transactions.request(transaction)?;
        let left = request.value(Name::MaxForwards).and_then(|value| header::number(value).ok());
        (left == Some(0)).then(|| self.response(transaction, 483))
    }
}

/// The method and the Request-URI of a request in the making.
pub(super) fn method_and_uri(request: &Builder) -> (String, String) {
    let mut words = request.start().split(' ').map(str::to_owned);
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

/// Whether requests of this method, and their answers, carry a Contact that replaces the remote
/// target (RFC 3261 12.2, RFC 3311, RFC 6665).
pub(super) const fn is_target_refresh(method: &Method) -> bool {
    match method {
        Method::Invite | Method::Update | Method::Subscribe | Method::Notify | Method::Refer => true,
        Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Options
        | Method::Register
        | Method::Prack
        | Method::Message
        | Method::Info
        | Method::Publish
        | Method::Other(_) => false,
    }
}

fn default<V: FieldValue>(message: Builder, name: Name, value: impl FnOnce() -> V) -> Builder {
    if message.has(name) { message } else { message.push(name, value()) }
}
