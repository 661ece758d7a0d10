//! What belongs to what in a trace, derived from the wire alone.
//!
//! A [`Correlator`] reads events in order and says of each one its logical ends, its dialog,
//! transaction, group, user and MSRP session, which request a response answers, and what a chunk
//! completes. Nothing here looks at notes of an engine: a capture is read as a live run is.

mod dialogs;
mod groups;
mod media;
mod places;
mod transactions;

use std::collections::BTreeMap;

use bytes::Bytes;
use smallvec::SmallVec;

use super::event::{Content, Event, Kind, Link, Party};
use super::{Header, Trace};
use crate::engine::{Closure, ConnectionId};
use crate::pattern::ast::Role;
use crate::wire::{msrp, sip};
use dialogs::Dialogs;
use groups::Groups;
use media::Media;
use places::Places;
pub use places::uri_key;
use transactions::Transactions;

/// A value of a correlation key; equal symbols mean the same thing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Symbol(u32);

/// Names of symbols, for reports.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    known: BTreeMap<String, Symbol>,
    names: Vec<String>,
}

impl Symbols {
    /// The symbol of `name`, a new one when it is not known.
    pub(super) fn of(&mut self, name: &str) -> Symbol {
        if let Some(symbol) = self.known.get(name) {
            return *symbol;
        }
        let symbol = self.fresh(name);
        self.known.insert(name.to_owned(), symbol);
        symbol
    }

    /// A symbol that no other call returns; `name` is for people.
    fn fresh(&mut self, name: &str) -> Symbol {
        let symbol = Symbol(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.names.push(name.to_owned());
        symbol
    }

    /// What a person calls it: an actor's name, a Call-ID, a Message-ID.
    pub fn name(&self, symbol: Symbol) -> &str {
        self.names.get(symbol.0 as usize).map_or("", |name| name.split_once(':').map_or(name.as_str(), |(_, name)| name))
    }
}

/// A whole MSRP message, known at its last chunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Whole {
    /// The content, put together from all chunks.
    pub body: Bytes,
    /// The events of its chunks, this one last.
    pub chunks: SmallVec<[u32; 2]>,
    /// Whether the byte ranges cover it without a gap.
    pub seamless: bool,
}

/// The final answer to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answered {
    /// The event of the request; for MSRP, of the message's last chunk.
    pub request: u32,
    /// The status code; for MSRP, 200 when all chunks were answered 200.
    pub code: u16,
}

/// What is known of one event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Who sent it, past all relays.
    pub from: Party,
    /// Whom it is for, past all relays.
    pub to: Party,
    /// The served user.
    pub user: Option<Symbol>,
    /// The device of the user.
    pub device: Option<Symbol>,
    /// The group; both legs share it.
    pub group: Option<Symbol>,
    /// The SIP dialog; of an MSRP event, the one that set up its session.
    pub dialog: Option<Symbol>,
    /// The SIP or MSRP transaction.
    pub transaction: Option<Symbol>,
    /// The subscription.
    pub subscription: Option<Symbol>,
    /// The MSRP session.
    pub msrp_session: Option<Symbol>,
    /// The chat message (`imdn.Message-ID`).
    pub message: Option<Symbol>,
    /// Of a response: the event of its request; of an ACK: that of its INVITE; of a CANCEL: that
    /// of the request that it cancels.
    pub answers: Option<u32>,
    /// The event that this one repeats, when RFC 3261 or RFC 6026 has it absorbed.
    pub retransmission: Option<u32>,
    /// The whole message, at its last chunk.
    pub whole: Option<Whole>,
    /// What this event is the final answer to.
    pub answered: Option<Answered>,
    /// Whether this is the end of a connection that a session still needed.
    pub lost: bool,
}

impl Facts {
    fn between(from: Party, to: Party) -> Self {
        Self {
            from,
            to,
            user: None,
            device: None,
            group: None,
            dialog: None,
            transaction: None,
            subscription: None,
            msrp_session: None,
            message: None,
            answers: None,
            retransmission: None,
            whole: None,
            answered: None,
            lost: false,
        }
    }

    /// The end that is not the IUT.
    pub fn peer(&self, iut: &Party) -> &Party {
        if self.from == *iut { &self.to } else { &self.from }
    }
}

/// Reads a trace event by event. The cost of an event is logarithmic in what was seen before.
#[derive(Clone, Debug)]
pub struct Correlator {
    iut: Party,
    places: Places,
    symbols: Symbols,
    transactions: Transactions,
    dialogs: Dialogs,
    groups: Groups,
    media: Media,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Room for composite keys, reused.
    scratch: String,
}

#[derive(Clone, Debug)]
struct Connection {
    peer: Party,
    session: media::SessionId,
}

impl Correlator {
    /// A correlator for a trace with this header.
    pub fn new(header: &Header) -> Self {
        let mut symbols = Symbols::default();
        Self {
            iut: header.iut.clone(),
            places: Places::of(&header.book),
            groups: Groups::of(&header.book, &mut symbols),
            symbols,
            transactions: Transactions::default(),
            dialogs: Dialogs::default(),
            media: Media::default(),
            connections: BTreeMap::new(),
            scratch: String::with_capacity(128),
        }
    }

    /// The names of all symbols so far.
    pub const fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// The further URIs of groups that were learnt from the wire since the last call: name of the
    /// group and URI, for example the one that the PF shows to its Clients.
    pub fn learnt_uris(&mut self) -> Vec<(String, String)> {
        self.groups.learnt(&self.symbols)
    }

    /// Takes the next event.
    pub fn push(&mut self, event: &Event) -> Facts {
        match &event.kind {
            Kind::Message { link, sent, content: Content::Sip(message) } => self.sip(event.number, link, *sent, message),
            Kind::Message { link, sent, content: Content::Msrp(chunk) } => self.msrp(event.number, link, *sent, chunk),
            Kind::Message { link, sent, content: Content::Broken { .. } } => {
                let peer = self.peer_of(link, *sent);
                self.directed(*sent, peer)
            }
            Kind::Opened { link } => {
                let by_iut = link.connection.is_some_and(|connection| connection.0 % 2 == 0);
                let peer = self.peer_of(link, by_iut);
                self.directed(by_iut, peer)
            }
            Kind::Closed { link, how, by_iut } => self.closed(link, *how, *by_iut),
            Kind::Fault(_) | Kind::Note { .. } | Kind::FlowEnded => Facts::between(self.iut.clone(), self.iut.clone()),
        }
    }

    fn directed(&self, sent: bool, peer: Party) -> Facts {
        if sent { Facts::between(self.iut.clone(), peer) } else { Facts::between(peer, self.iut.clone()) }
    }

    /// The node behind a link, as far as addresses tell.
    fn peer_of(&self, link: &Link, sent: bool) -> Party {
        let address = if sent { link.destination } else { link.source };
        let known = link.connection.and_then(|connection| self.connections.get(&connection));
        known
            .map(|connection| connection.peer.clone())
            .or_else(|| self.places.node(address).cloned())
            .unwrap_or_else(|| Party::new(Role::Core, &address.to_string()))
    }

    fn closed(&mut self, link: &Link, how: Closure, by_iut: bool) -> Facts {
        // The connection as it was opened may have either end as its source.
        let peer = match self.places.node(link.source) {
            Some(party) if *party != self.iut => party.clone(),
            _ => self.peer_of(link, true),
        };
        let known = link.connection.and_then(|connection| self.connections.remove(&connection));
        let session = known.as_ref().map(|connection| connection.session);
        let mut facts = self.directed(by_iut, known.map_or(peer, |connection| connection.peer));
        if let Some(session) = session {
            self.describe_session(session, &mut facts);
        }
        let needed = session.is_some_and(|session| !self.dialogs.has_ended(self.media.dialog(session)));
        facts.lost = match how {
            Closure::Reset => true,
            // Whoever closes in good order has lost nothing.
            Closure::Finished => needed && !by_iut,
            Closure::Refused => false,
        };
        facts
    }

    /// A connection is its session's. One that carries SIP may be a relay's and is no one's.
    fn learn_connection(&mut self, link: &Link, peer: &Party, session: media::SessionId) {
        if let Some(connection) = link.connection {
            self.connections.insert(connection, Connection { peer: peer.clone(), session });
        }
    }

    fn describe_session(&mut self, session: media::SessionId, facts: &mut Facts) {
        facts.msrp_session = Some(self.media.symbol(session));
        self.describe_dialog(self.media.dialog(session), facts);
    }

    fn describe_dialog(&self, dialog: dialogs::DialogId, facts: &mut Facts) {
        let dialog = self.dialogs.get(dialog);
        facts.dialog = Some(dialog.symbol);
        facts.user = facts.user.or(dialog.user);
        facts.device = facts.device.or(dialog.device);
        facts.group = facts.group.or(dialog.group);
    }
}

/// A whole trace, correlated.
#[derive(Clone, Debug)]
pub struct Correlation {
    /// One entry per event.
    pub facts: Vec<Facts>,
    /// The names of the symbols in it.
    pub symbols: Symbols,
}

impl Correlation {
    /// Correlates a trace.
    pub fn of(trace: &Trace) -> Self {
        let mut correlator = Correlator::new(&trace.header);
        let facts = trace.events.iter().map(|event| correlator.push(event)).collect();
        Self { facts, symbols: correlator.symbols }
    }
}

impl Correlator {
    fn sip(&mut self, number: u32, link: &Link, sent: bool, message: &sip::Message) -> Facts {
        if message.is_request() {
            self.sip_request(number, link, sent, message)
        } else {
            self.sip_response(number, link, sent, message)
        }
    }

    fn sip_request(&mut self, number: u32, link: &Link, sent: bool, request: &sip::Message) -> Facts {
        let found = self.dialogs.find(request, &mut self.scratch);
        let original = self.transactions.original(request, sent, &mut self.scratch);
        let peer = self.request_peer(link, sent, request, found, original.as_ref());
        let mut facts = self.directed(sent, peer.clone());
        self.served(sent, &peer, request, &mut facts);
        let dialog = found.or_else(|| original.as_ref().and_then(|original| original.dialog));
        if let Some(dialog) = dialog {
            // What the dialog was set up for outweighs what this one message looks like.
            (facts.user, facts.device) = (None, None);
            self.describe_dialog(dialog, &mut facts);
        }
        let group = self.groups.of_message(request, &self.places, &mut self.symbols);
        facts.group = facts.group.or(group);
        let dialog = dialog.or_else(|| self.dialogs.open(request, &facts, &peer, &mut self.symbols, &mut self.scratch));
        if let Some(dialog) = dialog {
            self.dialogs.enrich(dialog, &facts);
            self.describe_dialog(dialog, &mut facts);
            facts.subscription = self.dialogs.subscription(dialog, request, &mut self.symbols);
            facts.msrp_session = self.media.learn(dialog, request, sent, &mut self.symbols);
        }
        facts.message = groups::imdn_message_id(&request.body()).map(|id| self.symbols.of(&format!("message:{id}")));
        let reliable = link.transport.is_reliable();
        let filing = transactions::Filing { number, request, sent, reliable, original, dialog };
        self.transactions.request(&filing, &mut facts, &mut self.symbols, &mut self.scratch);
        facts
    }

    fn sip_response(&mut self, number: u32, link: &Link, sent: bool, response: &sip::Message) -> Facts {
        let Some(found) = self.transactions.response(number, response, sent, link.transport.is_reliable(), &mut self.scratch)
        else {
            let peer = self.stray_peer(link, sent, response);
            let mut facts = self.directed(sent, peer);
            if let Some(dialog) = self.dialogs.find(response, &mut self.scratch) {
                self.describe_dialog(dialog, &mut facts);
            }
            return facts;
        };
        let mut facts = Facts::between(found.to, found.from);
        facts.transaction = Some(found.symbol);
        facts.answers = Some(found.request);
        facts.retransmission = found.retransmission;
        facts.answered = found.answered;
        (facts.user, facts.device, facts.group) = (found.user, found.device, found.group);
        facts.message = found.message;
        if !sent {
            self.refine_device(response, &mut facts);
        }
        let group = self.groups.of_response(response, facts.group, &mut self.symbols);
        facts.group = facts.group.or(group);
        let dialog = found.dialog.map(|dialog| self.dialogs.of_response(dialog, response, &mut self.symbols, &mut self.scratch));
        if let Some(dialog) = dialog {
            let peer = facts.peer(&self.iut).clone();
            self.dialogs.refine(dialog, &facts, &peer, response);
            self.describe_dialog(dialog, &mut facts);
            facts.subscription = self.dialogs.subscription_of(dialog, response);
            facts.msrp_session = self.media.learn(dialog, response, sent, &mut self.symbols);
        }
        facts
    }

    /// A device that answers says which one it is (RFC 5626 4.1), or its Contact address does.
    fn refine_device(&mut self, response: &sip::Message, facts: &mut Facts) {
        if facts.from.role != Role::Client {
            return;
        }
        if let Some(party) = self.places.device(response).filter(|party| party.name == facts.from.name) {
            facts.from = party.clone();
            facts.device = Some(self.symbols.of(&format!("device:{party}")));
        }
    }

    fn request_peer(
        &self,
        link: &Link,
        sent: bool,
        request: &sip::Message,
        dialog: Option<dialogs::DialogId>,
        original: Option<&transactions::Original>,
    ) -> Party {
        if let Some(original) = original.filter(|_| dialog.is_none()) {
            return original.peer.clone();
        }
        let node = self.peer_of(link, sent);
        let remembered = dialog.map(|dialog| &self.dialogs.get(dialog).peer);
        if sent {
            if let Some(party) = remembered {
                return party.clone();
            }
            return if node.role == Role::Core { self.places.target(request).cloned().unwrap_or(node) } else { node };
        }
        let origin = self.places.origin(request, &node).cloned();
        match (origin, remembered) {
            (Some(origin), Some(party)) if origin.role == Role::Core => party.clone(),
            (Some(origin), _) => origin,
            (None, Some(party)) => party.clone(),
            (None, None) => node,
        }
    }

    fn stray_peer(&self, link: &Link, sent: bool, response: &sip::Message) -> Party {
        let node = self.peer_of(link, sent);
        if node.role != Role::Core {
            return node;
        }
        let user = if sent { response.from() } else { response.to() };
        user.ok().and_then(|user| self.places.user(&user.uri)).cloned().unwrap_or(node)
    }

    /// The served user of a request outside dialogs: the IUT's side of a leg to the focus, the
    /// other side of a leg to a Client.
    fn served(&mut self, sent: bool, peer: &Party, request: &sip::Message, facts: &mut Facts) {
        let target = |places: &Places| {
            let of_uri = request.target().ok().and_then(|uri| places.user(&uri).cloned());
            of_uri.or_else(|| request.to().ok().and_then(|to| places.user(&to.uri).cloned()))
        };
        let sender = |places: &Places| {
            let of_from = request.from().ok().and_then(|from| places.user(&from.uri).cloned());
            of_from.or_else(|| places.asserted(request).cloned())
        };
        let is_register = request.method_token() == Some("REGISTER");
        let user = match peer.role {
            Role::Client => Some(peer.clone()),
            Role::Core if is_register => request.to().ok().and_then(|to| self.places.user(&to.uri).cloned()),
            Role::Cf | Role::Core | Role::Pf if sent => sender(&self.places),
            Role::Cf | Role::Core | Role::Pf => target(&self.places),
        };
        let Some(user) = user else { return };
        facts.user = Some(self.symbols.of(&format!("user:{}", user.name)));
        let device = if is_register { self.places.registered(request).cloned() } else { None };
        let device = device.or_else(|| (peer.role == Role::Client).then(|| peer.clone()));
        facts.device = device.map(|party| self.symbols.of(&format!("device:{party}")));
    }

    fn msrp(&mut self, number: u32, link: &Link, sent: bool, chunk: &msrp::Chunk) -> Facts {
        let session = self.media.session(chunk);
        let peer = match session {
            Some(session) => self.dialogs.get(self.media.dialog(session)).peer.clone(),
            None => self.peer_of(link, sent),
        };
        if let Some(session) = session {
            self.learn_connection(link, &peer, session);
        }
        let mut facts = self.directed(sent, peer);
        if let Some(session) = session {
            self.describe_session(session, &mut facts);
        }
        let filing = media::Filing { number, link, sent, chunk, session };
        self.media.chunk(&filing, &mut facts, &mut self.symbols, &mut self.scratch);
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Transport;
    use crate::trace::testing::{BOB, FOCUS, GROUP, In, Tape, sdp, session};
    use crate::wire::msrp::Flag;

    fn ends(facts: &Facts) -> String {
        format!("{} -> {}", facts.from, facts.to)
    }

    #[test]
    fn both_legs_of_a_session_share_group_and_user() {
        let mut tape = session();
        let sent = tape.send("focus", "pf", "one");
        let relayed = tape.send("pf", "bob.phone", "one");
        let trace = tape.trace();
        let Correlation { facts, symbols } = Correlation::of(&trace);
        let seen: Vec<_> = facts.iter().map(ends).collect();
        assert_eq!(
            seen,
            [
                "focus -> pf",
                "pf -> bob",
                "bob.phone -> pf",
                "pf -> bob.phone",
                "pf -> focus",
                "focus -> pf",
                "focus -> pf",
                "pf -> bob.phone"
            ]
        );
        for at in &facts {
            assert_eq!(at.group.map(|group| symbols.name(group)), Some("trip"));
            assert_eq!(at.user.map(|user| symbols.name(user)), Some("bob"));
        }
        assert_eq!(facts[sent as usize].message, facts[relayed as usize].message);
        assert_ne!(facts[sent as usize].msrp_session, facts[relayed as usize].msrp_session);
        assert_eq!(facts[relayed as usize].dialog, facts[1].dialog);
        assert_eq!(facts[2].answers, Some(1));
        assert_eq!(facts[2].answered, Some(Answered { request: 1, code: 200 }));
        assert_eq!(facts[3].answers, Some(1));
        assert_eq!(facts[3].transaction, facts[1].transaction);
    }

    #[test]
    fn a_bye_belongs_to_its_dialog_in_either_direction() {
        let mut tape = session();
        let from_bob = tape.ask("bob.phone", "pf", "BYE", In { call_id: "c", from: "b-1", to: Some("pf-1"), cseq: 7 });
        let to_focus = tape.ask("pf", "focus", "BYE", In { call_id: "f", from: "pf-f", to: Some("cf-1"), cseq: 2 });
        let facts = Correlation::of(&tape.trace()).facts;
        assert_eq!(facts[from_bob as usize].dialog, facts[1].dialog);
        assert_eq!(ends(&facts[from_bob as usize]), "bob.phone -> pf");
        assert_eq!(facts[to_focus as usize].dialog, facts[0].dialog);
        assert_eq!(ends(&facts[to_focus as usize]), "pf -> focus");
    }

    #[test]
    fn a_re_join_by_the_mapped_uri_is_of_the_same_group() {
        let mut tape = session();
        let dialog = In { call_id: "r", from: "b-2", to: None, cseq: 1 };
        let rejoin = tape.request("bob.tablet", "INVITE", GROUP, dialog).build();
        let rejoin = tape.sip("bob.tablet", "pf", rejoin);
        let facts = Correlation::of(&tape.trace()).facts;
        assert_eq!(facts[rejoin as usize].group, facts[0].group);
        assert_eq!(ends(&facts[rejoin as usize]), "bob.tablet -> pf");
        assert_eq!(facts[rejoin as usize].user, facts[0].user);
    }

    #[test]
    fn a_third_party_register_serves_the_user_in_its_to() {
        let mut tape = Tape::new();
        let register = crate::wire::sip::Builder::request("REGISTER", "sip:pf.home1.example")
            .push("Via", "SIP/2.0/TCP scscf1.home1.example;branch=z9hG4bKreg00001")
            .push("From", "<sip:scscf1.home1.example>;tag=3p")
            .push("To", format!("<{BOB}>"))
            .push("Call-ID", "3p-1")
            .push("CSeq", "1 REGISTER")
            .push("Contact", "<sip:scscf1.home1.example>")
            .body("message/sip", "REGISTER sip:x SIP/2.0\r\nContact: <sip:b@y>;+sip.instance=\"<urn:two>\";expires=9\r\n\r\n")
            .build();
        let register = tape.sip("core", "pf", register);
        let answer = tape.answer(register, "pf", "core", 200, "t");
        let Correlation { facts, symbols } = Correlation::of(&tape.trace());
        assert_eq!(ends(&facts[register as usize]), "core -> pf");
        assert_eq!(ends(&facts[answer as usize]), "pf -> core");
        assert_eq!(facts[answer as usize].user.map(|user| symbols.name(user)), Some("bob"));
        assert_eq!(facts[register as usize].device.map(|device| symbols.name(device)), Some("bob.tablet"));
        assert_eq!(facts[register as usize].group, None);
    }

    #[test]
    fn a_notify_may_overtake_the_answer_to_its_subscribe() {
        let mut tape = session();
        let dialog = In { call_id: "s", from: "pf-s", to: None, cseq: 1 };
        let subscribe = tape.request("pf", "SUBSCRIBE", FOCUS, dialog).push("Event", "conference").build();
        let subscribe = tape.sip("pf", "focus", subscribe);
        let dialog = In { call_id: "s", from: "cf-s", to: Some("pf-s"), cseq: 1 };
        let notify = tape.request("focus", "NOTIFY", "sip:pf.home1.example", dialog).push("Event", "conference").build();
        let notify = tape.sip("focus", "pf", notify);
        let answer = tape.answer(subscribe, "focus", "pf", 200, "cf-s");
        let facts = Correlation::of(&tape.trace()).facts;
        let of = |event: u32| (facts[event as usize].dialog, facts[event as usize].subscription, facts[event as usize].user);
        assert_eq!(of(subscribe), of(notify));
        assert_eq!(of(subscribe), of(answer));
        assert!(of(subscribe).1.is_some());
    }

    #[test]
    fn forks_have_dialogs_of_their_own() {
        let mut tape = Tape::new();
        let invite = tape.ask("pf", "bob.phone", "INVITE", In { call_id: "c", from: "pf-1", to: None, cseq: 1 });
        let one = tape.answer(invite, "bob.phone", "pf", 180, "p");
        let two = tape.answer(invite, "bob.tablet", "pf", 200, "t");
        let facts = Correlation::of(&tape.trace()).facts;
        let dialog = |event: u32| facts[event as usize].dialog;
        assert_eq!(dialog(invite), dialog(one));
        assert_ne!(dialog(one), dialog(two));
        assert_eq!(ends(&facts[two as usize]), "bob.tablet -> pf");
    }

    #[test]
    fn datagrams_repeat_requests_and_streams_do_not() {
        for (transport, repeated) in [(Transport::Udp, Some(0)), (Transport::Tcp, None)] {
            let mut tape = Tape::new();
            tape.transport = transport;
            let invite = tape.ask("focus", "pf", "INVITE", In { call_id: "f", from: "cf", to: None, cseq: 1 });
            let again = tape.message(invite).clone();
            let again = tape.sip("focus", "pf", again);
            let answer = tape.answer(invite, "pf", "focus", 200, "t");
            let same = tape.message(answer).clone();
            let same = tape.sip("pf", "focus", same);
            let facts = Correlation::of(&tape.trace()).facts;
            assert_eq!(facts[again as usize].retransmission, repeated);
            assert_eq!(facts[same as usize].retransmission, Some(answer));
            assert_eq!(facts[same as usize].answered, None);
        }
    }

    #[test]
    fn chunks_make_a_message_and_its_answers_one() {
        let mut tape = session();
        let first = tape.send_chunk("focus", "pf", "big", 1, 10, "01234", Flag::More);
        let first = tape.chunk("focus", "pf", first);
        let small = tape.send("focus", "pf", "small");
        let second = tape.send_chunk("focus", "pf", "big", 6, 10, "56789", Flag::Complete);
        let second = tape.chunk("focus", "pf", second);
        let early = tape.msrp_answer(first, "pf", "focus", 200);
        let late = tape.msrp_answer(second, "pf", "focus", 200);
        let facts = Correlation::of(&tape.trace()).facts;
        assert_eq!(facts[first as usize].whole, None);
        assert!(facts[small as usize].whole.is_some());
        let whole = facts[second as usize].whole.as_ref().expect("a whole message");
        assert_eq!((&whole.body[..], whole.seamless), (&b"0123456789"[..], true));
        assert_eq!(facts[early as usize].answered, None);
        assert_eq!(facts[late as usize].answered, Some(Answered { request: second, code: 200 }));
    }

    #[test]
    fn a_reset_is_a_loss_and_a_close_after_bye_is_none() {
        for (bye, how, lost) in [(false, Closure::Reset, true), (false, Closure::Finished, true), (true, Closure::Finished, false)]
        {
            let mut tape = session();
            tape.send("pf", "bob.phone", "one");
            if bye {
                tape.ask("bob.phone", "pf", "BYE", In { call_id: "c", from: "b-1", to: Some("pf-1"), cseq: 7 });
            }
            let closed = tape.lose("bob.phone", how, false);
            let facts = Correlation::of(&tape.trace()).facts;
            assert_eq!(facts[closed as usize].lost, lost);
            assert_eq!(ends(&facts[closed as usize]), "bob.phone -> pf");
            assert_eq!(facts[closed as usize].group, facts[0].group);
        }
    }

    #[test]
    fn a_session_is_found_by_the_path_of_a_later_answer() {
        let mut tape = Tape::new();
        let dialog = In { call_id: "r", from: "b-2", to: None, cseq: 1 };
        let rejoin = tape.request("bob.phone", "INVITE", GROUP, dialog).push("Conversation-ID", "conv-1");
        let rejoin = rejoin.body("application/sdp", sdp("bob.phone", "pf")).build();
        let rejoin = tape.sip("bob.phone", "pf", rejoin);
        let ok = tape.response(rejoin, 200, "p").body("application/sdp", sdp("pf", "bob.phone")).build();
        tape.sip("pf", "bob.phone", ok);
        let sent = tape.send("pf", "bob.phone", "x");
        let facts = Correlation::of(&tape.trace()).facts;
        assert_eq!(facts[sent as usize].dialog, facts[rejoin as usize].dialog);
        assert!(facts[sent as usize].group.is_some());
    }
}
