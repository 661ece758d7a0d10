//! Makes messages that the IUT never sent: in its dialogs, over its connections, under its name.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::ids::Ids;
use crate::pattern::ast::{Pattern, What};
use crate::trace::Header;
use crate::trace::correlate::{Facts, Symbol};
use crate::trace::event::{Content, Event, Kind, Link, Party};
use crate::wire::msrp::{Chunk, ChunkBuilder};
use crate::wire::sip::header::NameAddr;
use crate::wire::sip::{Builder, Message, Method, Name};

/// What the IUT has of one dialog.
#[derive(Clone, Debug)]
struct Leg {
    peer: Party,
    group: Option<Symbol>,
    user: Option<Symbol>,
    call_id: String,
    /// Its From and To, with tags.
    local: String,
    remote: String,
    target: String,
    routes: Vec<String>,
    cseq: u32,
    link: Link,
    latest: u32,
    confirmed: bool,
}

/// What passed so far, as far as it helps to forge more.
#[derive(Debug)]
pub(super) struct Forge {
    iut: Party,
    legs: BTreeMap<Symbol, Leg>,
    /// The latest Via of the IUT, without its branch.
    via: Option<String>,
    contact: BTreeMap<Symbol, String>,
    /// The latest request outside of dialogs that the IUT sent, by method and role of the peer.
    openings: Vec<(Message, Link, Facts)>,
    /// Requests that came, for forged answers.
    requests: Vec<(Message, Link, Facts)>,
    chunks: Vec<(Chunk, Link, Facts)>,
}

impl Forge {
    pub(super) fn new(header: &Header) -> Self {
        Self {
            iut: header.iut.clone(),
            legs: BTreeMap::new(),
            via: None,
            contact: BTreeMap::new(),
            openings: Vec::new(),
            requests: Vec::new(),
            chunks: Vec::new(),
        }
    }

    /// Learns from a message that passed.
    pub(super) fn note(&mut self, event: &Event, facts: &Facts) {
        let Kind::Message { link, sent, content } = &event.kind else { return };
        match content {
            Content::Sip(message) => self.note_sip(event.number, message, *link, *sent, facts),
            Content::Msrp(chunk) if chunk.method() == Some("SEND") => {
                self.chunks.push((chunk.clone(), *link, facts.clone()));
            }
            Content::Msrp(_) | Content::Broken { .. } => {}
        }
    }

    fn note_sip(&mut self, number: u32, message: &Message, link: Link, sent: bool, facts: &Facts) {
        if message.is_request() {
            if sent {
                self.via = message.value(Name::Via).map(str::to_owned);
                if !message.has_to_tag() && message.method() != Some(Method::Cancel) {
                    self.openings.push((message.clone(), link, facts.clone()));
                }
            } else {
                self.requests.push((message.clone(), link, facts.clone()));
            }
        }
        let Some(symbol) = facts.dialog else { return };
        if let (true, Some(contact)) = (sent, message.value(Name::Contact)) {
            self.contact.insert(symbol, contact.to_owned());
        }
        self.note_leg(symbol, number, message, link, sent, facts);
    }

    fn note_leg(&mut self, symbol: Symbol, number: u32, message: &Message, link: Link, sent: bool, facts: &Facts) {
        let (Some(from), Some(to)) = (message.value(Name::From), message.value(Name::To)) else { return };
        // The IUT is From in its requests and in the responses to them.
        let own_request = message.is_request() == sent;
        let (local, remote) = if own_request { (from, to) } else { (to, from) };
        let outward = if sent { link } else { Link { source: link.destination, destination: link.source, ..link } };
        let leg = self.legs.entry(symbol).or_insert_with(|| Leg {
            peer: facts.peer(&self.iut).clone(),
            group: facts.group,
            user: facts.user,
            call_id: message.call_id().unwrap_or("").to_owned(),
            local: local.to_owned(),
            remote: remote.to_owned(),
            target: String::new(),
            routes: Vec::new(),
            cseq: 100,
            link: outward,
            latest: number,
            confirmed: false,
        });
        leg.latest = number;
        leg.link = outward;
        leg.peer = facts.peer(&self.iut).clone();
        (leg.group, leg.user) = (leg.group.or(facts.group), leg.user.or(facts.user));
        if tagged(local) && tagged(remote) {
            (leg.local, leg.remote) = (local.to_owned(), remote.to_owned());
            leg.confirmed = true;
        }
        if let (true, Ok(cseq)) = (own_request && message.is_request(), message.cseq()) {
            leg.cseq = leg.cseq.max(cseq.number);
        }
        if !sent && let Ok(contact) = message.contact() {
            leg.target = contact.uri.text.to_owned();
        }
        let recorded: Vec<String> = message.elements(Name::RecordRoute).map(str::to_owned).collect();
        if !sent && !recorded.is_empty() {
            leg.routes = if message.is_request() { recorded } else { recorded.into_iter().rev().collect() };
        }
    }

    /// A message as a pattern of `inject` names it, near the event that it follows.
    pub(super) fn make(&self, pattern: &Pattern, event: &Event, facts: &Facts, ids: &mut Ids) -> Option<(Link, Content)> {
        match &pattern.what {
            What::Request(method) => {
                let opens = matches!(method, Method::Invite | Method::Subscribe | Method::Message | Method::Options);
                let inside = pattern.keys.iter().any(|key| key.path.to_string() == "To.tag");
                let made = if opens && !inside { self.opening(pattern, method, facts, ids) } else { None };
                made.or_else(|| self.request(pattern, method, facts, ids))
            }
            What::Response(codes) => self.response(pattern, codes.low),
            What::MsrpSend | What::MsrpChunk => self.chunk(pattern, facts, ids),
            What::Any | What::MsrpReport | What::MsrpResponse(_) | What::Lost => None,
        }
        .filter(|_| matches!(event.kind, Kind::Message { .. }))
    }

    /// A request in the latest dialog with the peer, that of the same group first.
    fn request(&self, pattern: &Pattern, method: &Method, facts: &Facts, ids: &mut Ids) -> Option<(Link, Content)> {
        let subscription = matches!(method, Method::Subscribe);
        let fits = |leg: &&Leg| leg.peer.is(&pattern.to) && leg.confirmed && (subscription || !leg.target.is_empty());
        let near = |leg: &Leg| (leg.group == facts.group, leg.user == facts.user, leg.latest);
        let (symbol, leg) = self.legs.iter().filter(|(_, leg)| fits(leg)).max_by_key(|(_, leg)| near(leg))?;
        let mut request = Builder::request(method.token(), &leg.target)
            .push("Via", self.fresh_via(ids)?)
            .push("Max-Forwards", 70)
            .push("From", &leg.local)
            .push("To", &leg.remote)
            .push("Call-ID", &leg.call_id)
            .push("CSeq", format!("{} {}", leg.cseq + 1000, method.token()))
            .push_some("Contact", self.contact.get(symbol));
        for route in &leg.routes {
            request = request.push("Route", route);
        }
        if *method == Method::Invite {
            request = self.with_description(request, *symbol);
        }
        Some((leg.link, Content::Sip(request.build())))
    }

    /// A re-INVITE repeats the offer that the IUT made in the dialog's opening.
    fn with_description(&self, request: Builder, symbol: Symbol) -> Builder {
        let opening = self.openings.iter().rev().find(|(_, _, facts)| facts.dialog == Some(symbol));
        let source = opening.map(|(message, ..)| message).or_else(|| self.openings.last().map(|(message, ..)| message));
        match source.filter(|message| message.content_type().is_some_and(|media| media.is("application/sdp"))) {
            Some(message) => request.body("application/sdp", message.body()),
            None => request,
        }
    }

    /// A request outside of dialogs, after the pattern of one that the IUT sent to such a peer.
    fn opening(&self, pattern: &Pattern, method: &Method, facts: &Facts, ids: &mut Ids) -> Option<(Link, Content)> {
        let to_peer = |(_, _, of): &&(Message, Link, Facts)| of.to.is(&pattern.to);
        let same = |(message, ..): &&(Message, Link, Facts)| message.method().as_ref() == Some(method);
        let near = |(_, _, of): &&(Message, Link, Facts)| of.user == facts.user;
        let all = || self.openings.iter().rev().filter(to_peer);
        let (model, link, _) =
            all().filter(near).find(same).or_else(|| all().find(same)).or_else(|| all().find(near)).or_else(|| all().next())?;
        let from = model.value(Name::From).and_then(|from| from.split(";tag=").next()).unwrap_or("").to_owned();
        let uri = model.request_uri().unwrap_or("");
        let mut request = Builder::of(model)
            .with_start(format!("{} {uri} SIP/2.0", method.token()))
            .set("Via", self.fresh_via(ids)?)
            .set("From", format!("{from};tag={}", ids.tag()))
            .set("Call-ID", ids.call_id("pf.home1.example"))
            .set("CSeq", format!("1 {}", method.token()));
        if model.method().as_ref() != Some(method) && *method != Method::Invite {
            request = request.remove("Content-Type").bare_body("");
        }
        if *method == Method::Message {
            // In pager mode: what came over MSRP last.
            let (content_type, body) = self.latest_content();
            request = request.body(content_type, body);
        }
        Some((*link, Content::Sip(request.build())))
    }

    /// An answer to the latest request of the method.
    fn response(&self, pattern: &Pattern, status: u16) -> Option<(Link, Content)> {
        let method = match &pattern.answers {
            Some(crate::pattern::ast::Answers::Method(method)) => Some(method.clone()),
            _ => None,
        };
        let fits = |(message, _, facts): &&(Message, Link, Facts)| {
            facts.from.is(&pattern.to) && method.as_ref().is_none_or(|method| message.method().as_ref() == Some(method))
        };
        let (request, link, _) = self.requests.iter().rev().find(fits)?;
        let mut response = Builder::response_to(request, status);
        if !request.has_to_tag() {
            let to = request.value(Name::To).unwrap_or("");
            response = response.set("To", format!("{to};tag=forged"));
        }
        let outward = Link { source: link.destination, destination: link.source, ..*link };
        Some((outward, Content::Sip(response.build())))
    }

    /// A message in the latest MSRP session with the peer, with the content of the latest message
    /// that had some.
    fn chunk(&self, pattern: &Pattern, facts: &Facts, ids: &mut Ids) -> Option<(Link, Content)> {
        let fits = |(_, _, of): &&(Chunk, Link, Facts)| of.peer(&self.iut).is(&pattern.to);
        let near = |(_, _, of): &&(Chunk, Link, Facts)| of.msrp_session == facts.msrp_session;
        let all = || self.chunks.iter().rev().filter(fits);
        let (session, link, of) = all().find(near).or_else(|| all().next())?;
        let (to, from, link) = if of.from == self.iut {
            (session.to_path(), session.from_path(), *link)
        } else {
            (session.from_path(), session.to_path(), Link { source: link.destination, destination: link.source, ..*link })
        };
        let (content_type, body) = self.latest_content();
        let size = body.len();
        let chunk = ChunkBuilder::request(&ids.transact_id(), "SEND", to, from)
            .push("Message-ID", ids.message_id())
            .push("Byte-Range", format!("1-{size}/{size}"))
            .body(content_type, body);
        Some((link, Content::Msrp(chunk.build())))
    }

    /// Type and content of the latest MSRP message that had some.
    fn latest_content(&self) -> (&str, Bytes) {
        let with_body = |chunk: &&Chunk| chunk.body().is_some_and(|body| !body.is_empty());
        let model = self.chunks.iter().rev().map(|(chunk, ..)| chunk).find(with_body);
        let body = model.and_then(Chunk::body).unwrap_or_else(|| "forged".into());
        (model.and_then(Chunk::content_type).unwrap_or("text/plain"), body)
    }

    fn fresh_via(&self, ids: &mut Ids) -> Option<String> {
        let via = self.via.as_deref()?;
        let head = via.split(';').next().unwrap_or(via);
        Some(format!("{head};branch={}", ids.branch()))
    }
}

fn tagged(value: &str) -> bool {
    NameAddr::parse(value).is_ok_and(|addr| addr.tag().is_some())
}
