//! Standalone messages that are passed on.

use super::{Call, Core};
use crate::endpoint::TransactionId;
use crate::pf::headers;
use crate::time::Instant;
use crate::wire::sip::header::NameAddr;
use crate::wire::sip::{Builder, Message, Name};

impl Core {
    /// Passes a MESSAGE on: to its user through the core, to anyone else where its URI says.
    pub(in crate::pf) fn forward_message(&mut self, now: Instant, transaction: TransactionId, message: &Message) {
        let call = self.relay_message(now, message);
        self.calls.insert(call, Call::Message(transaction));
    }

    /// Sends a MESSAGE on: to its user through the core, to anyone else where its URI says.
    pub(in crate::pf) fn relay_message(&mut self, now: Instant, message: &Message) -> TransactionId {
        let target = message.request_uri().unwrap_or_default();
        let mut out = Builder::request("MESSAGE", target).push("Max-Forwards", headers::hops(message));
        if let Some(user) = self.users.find(target) {
            out = out.push("Route", &self.users[user].route);
        }
        const LEFT_OUT: [Name; 9] = [
            Name::Via,
            Name::Route,
            Name::RecordRoute,
            Name::CallId,
            Name::CSeq,
            Name::Contact,
            Name::MaxForwards,
            Name::UserAgent,
            Name::ContentLength,
        ];
        for field in message.fields().filter(|field| !LEFT_OUT.contains(&field.name)) {
            let value = if matches!(field.name, Name::From | Name::To) { untagged(field.value) } else { field.value.to_owned() };
            out = out.push(field.token, value);
        }
        self.endpoint.send(now, out.bare_body(message.body()))
    }
}

/// A From or To value without its tag: the next dialog or transaction has its own.
pub(in crate::pf) fn untagged(value: &str) -> String {
    NameAddr::parse(value).map_or_else(|_| value.to_owned(), |name| format!("<{}>", name.uri.text))
}
