//! What a SIP message says of where it belongs, each header field read once.

use crate::wire::sip::Message;
use crate::wire::sip::header::{CSeq, NameAddr, Via};

/// The fields that transactions, dialogs and parties are known by; `None` where one is missing or
/// malformed.
pub(super) struct Head<'a> {
    pub(super) message: &'a Message,
    /// The method of a request, or of the request that a response answers.
    pub(super) method: &'a str,
    pub(super) call_id: Option<&'a str>,
    pub(super) cseq: Option<CSeq<'a>>,
    pub(super) via: Option<Via<'a>>,
    pub(super) from: Option<NameAddr<'a>>,
    pub(super) from_tag: Option<&'a str>,
    pub(super) to: Option<NameAddr<'a>>,
    pub(super) to_tag: Option<&'a str>,
    pub(super) contact: Option<NameAddr<'a>>,
}

impl<'a> Head<'a> {
    pub(super) fn of(message: &'a Message) -> Self {
        let (cseq, from, to) = (message.cseq().ok(), message.from().ok(), message.to().ok());
        let method = if message.is_request() { message.method_token() } else { cseq.map(|cseq| cseq.method) };
        Self {
            message,
            method: method.unwrap_or(""),
            call_id: message.call_id(),
            cseq,
            via: message.via().ok(),
            from,
            from_tag: from.and_then(|from| from.tag()),
            to,
            to_tag: to.and_then(|to| to.tag()),
            contact: message.contact().ok(),
        }
    }
}
