//! What a SIP message says of where it belongs, each header field read once.

use crate::trace::event::{Content, Event, Kind};
use crate::wire::sip::Message;
use crate::wire::sip::header::{CSeq, NameAddr, Via};

/// The fields that transactions, dialogs and parties are known by; `None` where one is missing or
/// malformed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) message: &'a Message,
    /// The method of a request, or of the request that a response answers.
    pub(crate) method: &'a str,
    pub(crate) call_id: Option<&'a str>,
    pub(crate) cseq: Option<CSeq<'a>>,
    pub(crate) via: Option<Via<'a>>,
    pub(crate) branch: Option<&'a str>,
    pub(crate) from: Option<NameAddr<'a>>,
    pub(crate) from_tag: Option<&'a str>,
    pub(crate) to: Option<NameAddr<'a>>,
    pub(crate) to_tag: Option<&'a str>,
    pub(crate) contact: Option<NameAddr<'a>>,
}

impl<'a> Head<'a> {
    pub(crate) fn of(message: &'a Message) -> Self {
        let (via, cseq, from, to) = (message.via().ok(), message.cseq().ok(), message.from().ok(), message.to().ok());
        let method = if message.is_request() { message.method_token() } else { cseq.map(|cseq| cseq.method) };
        Self {
            message,
            method: method.unwrap_or(""),
            call_id: message.call_id(),
            cseq,
            via,
            branch: via.and_then(|via| via.branch()),
            from,
            from_tag: from.and_then(|from| from.tag()),
            to,
            to_tag: to.and_then(|to| to.tag()),
            contact: message.contact().ok(),
        }
    }

    /// The head of an event that is a SIP message.
    pub(crate) fn of_event(event: &'a Event) -> Option<Self> {
        match &event.kind {
            Kind::Message { content: Content::Sip(message), .. } => Some(Self::of(message)),
            _ => None,
        }
    }
}
