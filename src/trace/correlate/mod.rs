//! What belongs to what in a trace, derived from the wire alone.
//!
//! A [`Correlator`] reads events in order and says of each one its logical ends, its dialog,
//! transaction, group, user and MSRP session, which request a response answers, and what a chunk
//! completes. Nothing here looks at notes of an engine: a capture is read as a live run is.

mod dialogs;
mod groups;
mod head;
mod media;
mod places;
mod transactions;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::event::{Content, Event, Kind, Link, Party};
use super::{Header, Trace};
use crate::engine::{Closure, ConnectionId};
use crate::pattern::ast::{End, Role};
use crate::wire::{msrp, sip};
use dialogs::Dialogs;
use groups::Groups;
pub(crate) use head::Head;
use media::Media;
pub use media::sdp_path;
use places::Places;
pub use places::uri_key;
use transactions::Transactions;

/// A value of a correlation key; equal symbols mean the same thing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Symbol(u32);

/// What has one symbol wherever its name stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Thing {
    User,
    Device,
    Group,
    Message,
}

/// Names of symbols, for reports.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    /// By kind.
    known: [BTreeMap<String, Symbol>; 4],
    /// All names in the order of their symbols, and where each ends.
    names: String,
    ends: Vec<usize>,
}

impl Symbols {
    /// The symbol of a thing of this kind and name, a new one when it is not known.
    fn of(&mut self, kind: Thing, name: &str) -> Symbol {
        if let Some(symbol) = self.known[kind as usize].get(name) {
            return *symbol;
        }
        let symbol = self.fresh(name);
        self.known[kind as usize].insert(name.to_owned(), symbol);
        symbol
    }

    /// The symbol of a device.
    fn of_device(&mut self, party: &Party) -> Symbol {
        match &party.device {
            None => self.of(Thing::Device, &party.name),
            Some(_) => self.of(Thing::Device, &party.to_string()),
        }
    }

    /// A symbol that no other call returns; `name` is for people.
    fn fresh(&mut self, name: &str) -> Symbol {
        let symbol = Symbol(u32::try_from(self.ends.len()).unwrap_or(u32::MAX));
        self.names.push_str(name);
        self.ends.push(self.names.len());
        symbol
    }

    /// What a person calls it: an actor's name, a Call-ID, a Message-ID.
    pub fn name(&self, symbol: Symbol) -> &str {
        let at = symbol.0 as usize;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(at).and_then(|end| self.names.get(start..*end)).unwrap_or("")
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
    /// Whether the Client at the other end is not the served user's: it invited that user.
    pub with_sender: bool,
}

impl Facts {
    pub(crate) fn between(from: Party, to: Party) -> Self {
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
            with_sender: false,
        }
    }

    /// Whether a pattern speaks of a message between these ends.
    pub fn runs(&self, from: &End, to: &End) -> bool {
        let is = |party: &Party, end: &End| {
            party.is(end)
                && match end {
                    End::Sender => self.with_sender,
                    End::Role(Role::Client) => !self.with_sender,
                    End::Any | End::Role(_) | End::Actor { .. } => true,
                }
        };
        is(&self.from, from) && is(&self.to, to)
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
    /// What the header says; shared by all that read traces with the same.
    places: Arc<Places>,
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
            places: Arc::new(Places::of(&header.book)),
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
        match (&event.kind, Head::of_event(event)) {
            (Kind::Message { link, sent, .. }, Some(head)) => self.sip(event.number, link, *sent, &head),
            (kind, _) => self.other(event.number, kind),
        }
    }

    fn sip(&mut self, number: u32, link: &Link, sent: bool, head: &Head<'_>) -> Facts {
        if head.message.is_request() {
            self.sip_request(number, link, sent, head)
        } else {
            self.sip_response(number, link, sent, head)
        }
    }

    fn other(&mut self, number: u32, kind: &Kind) -> Facts {
        match kind {
            Kind::Message { link, sent, content: Content::Msrp(chunk) } => self.msrp(number, link, *sent, chunk),
            Kind::Message { link, sent, content: Content::Sip(_) | Content::Broken { .. } } => {
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
        facts.with_sender |= dialog.with_sender;
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
    fn sip_request(&mut self, number: u32, link: &Link, sent: bool, request: &Head<'_>) -> Facts {
        let found = self.dialogs.find(request, &mut self.scratch);
        let original = self.transactions.original(request, sent, &mut self.scratch);
        let peer = self.request_peer(link, sent, request, found, original.as_ref());
        let mut facts = self.directed(sent, peer.clone());
        self.served(sent, &peer, request, &mut facts);
        let dialog = found.or_else(|| original.as_ref().and_then(|original| original.dialog));
        if let Some(dialog) = dialog {
            // What the dialog was set up for outweighs what this one message looks like.
            (facts.user, facts.device, facts.with_sender) = (None, None, false);
            self.describe_dialog(dialog, &mut facts);
        }
        facts.group = self.groups.of_message(request, facts.group, &self.places, &mut self.symbols);
        let dialog = dialog.or_else(|| self.dialogs.open(request, &facts, &peer, &mut self.symbols, &mut self.scratch));
        if let Some(dialog) = dialog {
            self.dialogs.enrich(dialog, &facts);
            self.describe_dialog(dialog, &mut facts);
            facts.subscription = self.dialogs.subscription(dialog, request, &mut self.symbols);
            facts.msrp_session = self.media.learn(dialog, request.message, sent, &mut self.symbols, &mut self.scratch);
        }
        facts.message = groups::imdn_message_id(&request.message.body()).map(|id| self.symbols.of(Thing::Message, id));
        let reliable = link.transport.is_reliable();
        let filing = transactions::Filing { number, request, sent, reliable, original, dialog };
        self.transactions.request(&filing, &mut facts, &mut self.symbols, &mut self.scratch);
        facts
    }

    fn sip_response(&mut self, number: u32, link: &Link, sent: bool, response: &Head<'_>) -> Facts {
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
        facts.with_sender = found.with_sender;
        facts.message = found.message;
        if !sent {
            self.refine_device(response, &mut facts);
        }
        let group = self.groups.of_response(response, facts.group, &mut self.symbols);
        facts.group = facts.group.or(group);
        let dialog = found.dialog.map(|dialog| self.dialogs.of_response(dialog, response, &mut self.symbols, &mut self.scratch));
        if let Some(dialog) = dialog {
            let peer = facts.peer(&self.iut).clone();
            self.dialogs.refine(dialog, &facts, &peer, response.message);
            self.describe_dialog(dialog, &mut facts);
            facts.subscription = self.dialogs.subscription_of(dialog, response);
            facts.msrp_session = self.media.learn(dialog, response.message, sent, &mut self.symbols, &mut self.scratch);
        }
        facts
    }

    /// A device that answers says which one it is (RFC 5626 4.1), or its Contact address does.
    fn refine_device(&mut self, response: &Head<'_>, facts: &mut Facts) {
        if facts.from.role != Role::Client {
            return;
        }
        if let Some(party) = self.places.device(response).filter(|party| party.name == facts.from.name) {
            facts.from = party.clone();
            facts.device = Some(self.symbols.of_device(party));
        }
    }

    fn request_peer(
        &self,
        link: &Link,
        sent: bool,
        request: &Head<'_>,
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
            // The S-CSCF itself tells who is registered; everything else it passes on.
            let relayed =
                node.role == Role::Core && request.message.value(sip::Name::Event).is_none_or(|event| event.trim() != "reg");
            return if relayed { self.places.target(request).cloned().unwrap_or(node) } else { node };
        }
        let origin = self.places.origin(request, &node).cloned();
        match (origin, remembered) {
            (Some(origin), Some(party)) if origin.role == Role::Core => party.clone(),
            (Some(origin), _) => origin,
            (None, Some(party)) => party.clone(),
            (None, None) => node,
        }
    }

    fn stray_peer(&self, link: &Link, sent: bool, response: &Head<'_>) -> Party {
        let node = self.peer_of(link, sent);
        if node.role != Role::Core {
            return node;
        }
        let user = if sent { response.from } else { response.to };
        user.and_then(|user| self.places.user(&user.uri)).cloned().unwrap_or(node)
    }

    /// The served user of a request outside dialogs: the IUT's side of a leg to the focus, the
    /// other side of a leg to a Client, and of an invitation from a Client to a user that user.
    fn served(&mut self, sent: bool, peer: &Party, request: &Head<'_>, facts: &mut Facts) {
        let target = |places: &Places| {
            let of_uri = request.message.target().ok().and_then(|uri| places.user(&uri).cloned());
            of_uri.or_else(|| request.to.and_then(|to| places.user(&to.uri).cloned()))
        };
        let sender = |places: &Places| {
            let of_from = request.from.and_then(|from| places.user(&from.uri).cloned());
            of_from.or_else(|| places.asserted(request.message).cloned())
        };
        let is_register = request.method == "REGISTER";
        let invited = (!sent && peer.role == Role::Client && request.method == "INVITE")
            .then(|| target(&self.places))
            .flatten()
            .filter(|user| user.name != peer.name);
        facts.with_sender = invited.is_some();
        let user = match peer.role {
            Role::Client if invited.is_some() => invited,
            Role::Client => Some(peer.clone()),
            Role::Core if is_register => request.to.and_then(|to| self.places.user(&to.uri).cloned()),
            Role::Cf | Role::Core | Role::Pf if sent => sender(&self.places),
            Role::Cf | Role::Core | Role::Pf => target(&self.places),
        };
        let Some(user) = user else { return };
        facts.user = Some(self.symbols.of(Thing::User, &user.name));
        let device = if is_register { self.places.registered(request).cloned() } else { None };
        let device = device.or_else(|| (peer.role == Role::Client).then(|| peer.clone()));
        facts.device = device.map(|party| self.symbols.of_device(&party));
    }

    fn msrp(&mut self, number: u32, link: &Link, sent: bool, chunk: &msrp::Chunk) -> Facts {
        let session = self.media.session(chunk, sent, &mut self.scratch);
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
        self.media.chunk(&filing, &mut facts, &mut self.symbols);
        facts
    }
}

#[cfg(test)]
mod tests;
