//! Requests that came as datagrams and went on over a stream.
//!
//! A sender of datagrams repeats what is not answered in time. Over a stream nothing is lost and
//! nobody may repeat anything (RFC 3261 17.1.2.2), so the repetitions end here, as they do at a proxy
//! that keeps transactions; the answer is given again once it is known.

use std::collections::{BTreeMap, VecDeque};

use super::MEMORY;
use crate::wire::sip::Message;

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Known {
    /// It has not come before.
    New,
    /// It is on its way.
    UnderWay,
    /// It has this final answer.
    Answered(Message),
}

/// The requests that came as datagrams and went on over a stream, the latest of them.
#[derive(Debug, Default)]
pub(super) struct Bridge {
    answers: BTreeMap<String, Option<Message>>,
    order: VecDeque<String>,
}

impl Bridge {
    /// What is known of a request; from now on it is under way.
    pub(super) fn take(&mut self, request: &Message) -> Known {
        let key = key(request, 0);
        match self.answers.get(&key) {
            Some(Some(answer)) => return Known::Answered(answer.clone()),
            Some(None) => return Known::UnderWay,
            None => {}
        }
        if self.order.len() >= MEMORY
            && let Some(oldest) = self.order.pop_front()
        {
            self.answers.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.answers.insert(key, None);
        Known::New
    }

    /// A response that still has our Via on top.
    pub(super) fn answered(&mut self, response: &Message) {
        if !self.answers.is_empty()
            && response.status().is_some_and(|status| status >= 200)
            && let Some(answer) = self.answers.get_mut(&key(response, 1))
        {
            *answer = Some(response.clone());
        }
    }
}

/// The branch of the sender, below so many Vias of others, and the method.
fn key(message: &Message, above: usize) -> String {
    let via =
        message.elements(crate::wire::sip::Name::Via).nth(above).and_then(|via| crate::wire::sip::header::Via::parse(via).ok());
    let (branch, host) = via.as_ref().map_or(("", ""), |via| (via.branch().unwrap_or(""), via.host.0));
    let method = message.cseq().map(|cseq| cseq.method.to_owned()).unwrap_or_default();
    [branch, " ", host, " ", &method].concat()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_request_is_new_once_and_its_answer_is_kept() {
        let request = message("MESSAGE sip:alice@home1.example SIP/2.0\r\nVia: SIP/2.0/UDP bob;branch=z9hG4bKa\r\n");
        let answer = message("SIP/2.0 202 Accepted\r\nVia: SIP/2.0/TCP core;branch=z9hG4bKx, SIP/2.0/UDP bob;branch=z9hG4bKa\r\n");
        let mut bridge = Bridge::default();
        assert_eq!(bridge.take(&request), Known::New);
        assert_eq!(bridge.take(&request), Known::UnderWay);
        bridge.answered(&answer);
        assert_eq!(bridge.take(&request), Known::Answered(answer));
    }

    fn message(head: &str) -> Message {
        Message::decode(Bytes::from(format!("{head}CSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"))).expect("a message")
    }
}
