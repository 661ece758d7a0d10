//! One message as patterns see it, with its bodies decoded at most once.

use std::cell::OnceCell;

use bytes::Bytes;

use super::ast::What;
use super::bodies::Bodies;
use crate::wire::cpim::Cpim;
use crate::wire::sdp::Sdp;
use crate::wire::{Fault, msrp, sip};

/// What happened, for a pattern to look at.
#[derive(Clone, Copy, Debug)]
enum Subject<'a> {
    Sip(&'a sip::Message),
    Msrp(&'a msrp::Chunk),
    Lost,
}

/// What was decoded of the bodies of one message so far. Whoever looks at a message more than once
/// keeps it, so that nothing is decoded twice.
#[derive(Clone, Debug, Default)]
pub struct Contents(OnceCell<Box<Bodies>>);

#[derive(Debug)]
enum Held<'a> {
    Own(Contents),
    Lent(&'a Contents),
}

/// A message and what was found in it so far.
#[derive(Debug)]
pub struct View<'a> {
    subject: Subject<'a>,
    /// The whole message at its last chunk, put together from all chunks.
    whole: Option<Bytes>,
    contents: Held<'a>,
}

impl<'a> View<'a> {
    /// A SIP message.
    pub const fn sip(message: &'a sip::Message) -> Self {
        Self { subject: Subject::Sip(message), whole: None, contents: Held::Own(Contents(OnceCell::new())) }
    }

    /// An MSRP request or response; `whole` is the content of the whole message, known at the
    /// last chunk of a SEND, when the view stands for the message and not for the chunk alone.
    pub const fn msrp(chunk: &'a msrp::Chunk, whole: Option<Bytes>) -> Self {
        Self { subject: Subject::Msrp(chunk), whole, contents: Held::Own(Contents(OnceCell::new())) }
    }

    /// A broken connection.
    pub const fn lost() -> Self {
        Self { subject: Subject::Lost, whole: None, contents: Held::Own(Contents(OnceCell::new())) }
    }

    /// The same view, of a message of which `contents` was decoded already.
    #[must_use]
    pub fn knowing(self, contents: &'a Contents) -> Self {
        Self { contents: Held::Lent(contents), ..self }
    }

    /// The session description in the message, bare or as a part.
    pub fn description(&self) -> Option<Result<&Sdp, Fault>> {
        self.bodies().description()
    }

    /// The CPIM message in it, bare or as a part.
    pub fn cpim(&self) -> Option<Result<&Cpim, Fault>> {
        self.bodies().message()
    }

    /// The SIP message, if it is one.
    pub const fn as_sip(&self) -> Option<&'a sip::Message> {
        match self.subject {
            Subject::Sip(message) => Some(message),
            Subject::Msrp(_) | Subject::Lost => None,
        }
    }

    /// The MSRP chunk, if it is one.
    pub const fn as_msrp(&self) -> Option<&'a msrp::Chunk> {
        match self.subject {
            Subject::Msrp(chunk) => Some(chunk),
            Subject::Sip(_) | Subject::Lost => None,
        }
    }

    /// The content of the whole MSRP message, at its last chunk.
    pub const fn whole(&self) -> Option<&Bytes> {
        self.whole.as_ref()
    }

    /// Whether this is the kind of event that a pattern speaks of. A response counts for its
    /// code only: whom it answers is known to the trace, not to the message. The last chunk of an
    /// MSRP message is both a chunk and, through its whole content, the message.
    pub fn is(&self, what: &What) -> bool {
        match (what, self.subject) {
            (What::Any, Subject::Sip(_)) | (What::Lost, Subject::Lost) => true,
            (What::Request(method), Subject::Sip(message)) => {
                message.is_request() && message.method_token() == Some(method.token())
            }
            (What::Response(codes), Subject::Sip(message)) => message.status().is_some_and(|code| codes.has(code)),
            (What::MsrpSend, Subject::Msrp(chunk)) => chunk.method() == Some("SEND") && self.whole.is_some(),
            (What::MsrpChunk, Subject::Msrp(chunk)) => chunk.method() == Some("SEND"),
            (What::MsrpReport, Subject::Msrp(chunk)) => chunk.method() == Some("REPORT"),
            (What::MsrpResponse(codes), Subject::Msrp(chunk)) => chunk.code().is_some_and(|code| codes.has(code)),
            _ => false,
        }
    }

    /// The bodies of the message, decoded on first use.
    pub(super) fn bodies(&self) -> &Bodies {
        let contents = match &self.contents {
            Held::Own(contents) => contents,
            Held::Lent(contents) => contents,
        };
        contents.0.get_or_init(|| Box::new(self.decode()))
    }

    fn decode(&self) -> Bodies {
        match self.subject {
            Subject::Sip(message) => {
                Bodies::decode(message.content_type().map(|media| (media.essence, media.params)), message.body())
            }
            Subject::Msrp(chunk) => {
                let body = self.whole.clone().or_else(|| chunk.body()).unwrap_or_default();
                let media = chunk.content_type().and_then(|text| sip::header::MediaType::parse(text).ok());
                Bodies::decode(media.map(|media| (media.essence, media.params)), body)
            }
            Subject::Lost => Bodies::default(),
        }
    }
}
