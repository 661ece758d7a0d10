//! MSRP sessions and messages (RFC 4975), as an onlooker sees them: which SDP set up the session
//! of a chunk, which chunks make a message, which responses answer it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;
use smallvec::SmallVec;

use super::dialogs::DialogId;
use super::{Answered, Facts, Symbol, Symbols, Thing, Whole, groups};
use crate::engine::ConnectionId;
use crate::trace::event::Link;
use crate::wire::msrp::{Chunk, Flag, MsrpUri, paths};
use crate::wire::sip::Message;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct SessionId(usize);

#[derive(Clone, Debug)]
struct Session {
    symbol: Symbol,
    dialog: DialogId,
    /// The path of the IUT and that of its peer, as far as they were seen.
    local: Option<String>,
    remote: Option<String>,
}

/// A message on its way, chunk by chunk.
#[derive(Clone, Debug, Default)]
struct Assembly {
    chunks: SmallVec<[u32; 2]>,
    parts: SmallVec<[(u64, Bytes); 1]>,
    message: Option<Symbol>,
    /// Whether a chunk had content: a SEND without any carries no message (RFC 4975 5.4).
    has_content: bool,
    ended: bool,
    answers: usize,
    settled: bool,
}

/// A SEND that waits for its response.
#[derive(Clone, Copy, Debug)]
struct Sent {
    event: u32,
    assembly: usize,
    symbol: Symbol,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Media {
    sessions: Vec<Session>,
    paths: BTreeMap<String, SessionId>,
    /// As `paths`, by URIs as chunks write them.
    spellings: BTreeMap<String, SessionId>,
    current: BTreeMap<DialogId, SessionId>,
    /// By Message-ID.
    assembling: BTreeMap<Way, BTreeMap<String, usize>>,
    assemblies: Vec<Assembly>,
    /// Requests that a response may answer, by transaction identifier; oldest first, should one
    /// identifier be used twice.
    requests: BTreeMap<Way, BTreeMap<String, SmallVec<[Sent; 1]>>>,
}

/// On which way a request went: whether the IUT sent it, and over what.
type Way = (bool, Line);

/// What requests and responses have in common, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Line {
    Session(SessionId),
    Connection(ConnectionId),
    /// From the end that sent the request to the other.
    Addresses(SocketAddr, SocketAddr),
}

fn path_key<'a>(scratch: &'a mut String, path: &str) -> Option<&'a str> {
    let uri = MsrpUri::parse(paths(path).last()?).ok()?;
    scratch.clear();
    scratch.push_str(uri.host.0);
    scratch.make_ascii_lowercase();
    write!(scratch, ":{}/", uri.port).ok()?;
    scratch.push_str(uri.session.unwrap_or(""));
    Some(scratch)
}

/// The value of the first `a=path` in a body, however the SDP is wrapped.
pub fn sdp_path(body: &[u8]) -> Option<&str> {
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\na=path:"));
    let at = FINDER.find(body)? + 8;
    let rest = body.get(at..)?;
    let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
    std::str::from_utf8(&rest[..end]).ok()
}

impl Media {
    pub(super) fn symbol(&self, id: SessionId) -> Symbol {
        self.sessions[id.0].symbol
    }

    pub(super) fn dialog(&self, id: SessionId) -> DialogId {
        self.sessions[id.0].dialog
    }

    /// Learns the path in an offer or answer. A path that differs from the one its side had
    /// before sets up a new session in the same dialog.
    pub(super) fn learn(
        &mut self,
        dialog: DialogId,
        message: &Message,
        sent: bool,
        symbols: &mut Symbols,
        scratch: &mut String,
    ) -> Option<Symbol> {
        let current = self.current.get(&dialog).copied();
        let body = message.body();
        let key = sdp_path(&body).and_then(|path| path_key(scratch, path));
        let Some(key) = key else { return current.map(|id| self.symbol(id)) };
        let fits = current.filter(|id| {
            let session = &self.sessions[id.0];
            let side = if sent { &session.local } else { &session.remote };
            side.as_ref().is_none_or(|known| *known == key)
        });
        let id = fits.unwrap_or_else(|| {
            let symbol = symbols.fresh(key);
            self.sessions.push(Session { symbol, dialog, local: None, remote: None });
            SessionId(self.sessions.len() - 1)
        });
        self.current.insert(dialog, id);
        let session = &mut self.sessions[id.0];
        let side = if sent { &mut session.local } else { &mut session.remote };
        if side.as_deref() != Some(key) {
            *side = Some(key.to_owned());
        }
        if self.paths.get(key) != Some(&id) && self.paths.insert(key.to_owned(), id).is_some() {
            self.spellings.clear();
        }
        Some(self.symbol(id))
    }

    /// The session that a chunk belongs to. The path of the peer names it; that of the IUT is the
    /// same in all answers to a forked offer.
    pub(super) fn session(&mut self, chunk: &Chunk, sent: bool, scratch: &mut String) -> Option<SessionId> {
        let (own, peer) = if sent { (chunk.from_path(), chunk.to_path()) } else { (chunk.to_path(), chunk.from_path()) };
        self.by_path(peer, scratch).or_else(|| self.by_path(own, scratch))
    }

    fn by_path(&mut self, path: &str, scratch: &mut String) -> Option<SessionId> {
        let uri = paths(path).last()?;
        if let Some(id) = self.spellings.get(uri) {
            return Some(*id);
        }
        let id = *self.paths.get(path_key(scratch, path)?)?;
        self.spellings.insert(uri.to_owned(), id);
        Some(id)
    }

    /// Files a chunk or a response, and completes what is known of it.
    pub(super) fn chunk(&mut self, filing: &Filing<'_>, facts: &mut Facts, symbols: &mut Symbols) {
        match filing.chunk.method() {
            Some("SEND") => self.send(filing, facts, symbols),
            Some(_) => {
                facts.transaction = Some(symbols.fresh(filing.chunk.transact_id()));
                let known = self.assembling.get(&filing.way(!filing.sent));
                let at = known.and_then(|known| known.get(filing.chunk.message_id().unwrap_or("")));
                facts.message = at.and_then(|at| self.assemblies[*at].message);
            }
            None => self.response(filing, facts),
        }
    }

    fn send(&mut self, filing: &Filing<'_>, facts: &mut Facts, symbols: &mut Symbols) {
        let (chunk, way) = (filing.chunk, filing.way(filing.sent));
        let symbol = symbols.fresh(chunk.transact_id());
        facts.transaction = Some(symbol);
        let range = chunk.byte_range();
        let start = range.map_or(1, |range| range.start);
        let at = self.assembly(start, way, chunk.message_id().unwrap_or(""));
        let assembly = &mut self.assemblies[at];
        let body = chunk.body();
        assembly.chunks.push(filing.number);
        assembly.has_content |= body.is_some();
        if let Some(body) = body {
            if assembly.message.is_none() {
                assembly.message = groups::imdn_message_id(&body).map(|id| symbols.of(Thing::Message, id));
            }
            assembly.parts.push((start, body));
        }
        facts.message = assembly.message;
        assembly.ended = chunk.flag() != Flag::More;
        if chunk.flag() == Flag::Complete && assembly.has_content {
            facts.whole = Some(assembly.whole(range.and_then(|range| range.total)));
        }
        let requests = self.requests.entry(way).or_default().entry(chunk.transact_id().to_owned()).or_default();
        requests.push(Sent { event: filing.number, assembly: at, symbol });
    }

    /// The message that a chunk continues; one that starts at its first byte begins anew when the
    /// last one of this Message-ID is over.
    fn assembly(&mut self, start: u64, way: Way, message_id: &str) -> usize {
        let known = self.assembling.entry(way).or_default();
        if let Some(at) = known.get(message_id).copied()
            && (!self.assemblies[at].ended || start > 1)
        {
            return at;
        }
        self.assemblies.push(Assembly::default());
        known.insert(message_id.to_owned(), self.assemblies.len() - 1);
        self.assemblies.len() - 1
    }

    fn response(&mut self, filing: &Filing<'_>, facts: &mut Facts) {
        let Some(requests) = self.requests.get_mut(&filing.way(!filing.sent)) else { return };
        let id = filing.chunk.transact_id();
        let Some(waiting) = requests.get_mut(id) else { return };
        let request = waiting.remove(0);
        if waiting.is_empty() {
            requests.remove(id);
        }
        facts.answers = Some(request.event);
        facts.transaction = Some(request.symbol);
        let assembly = &mut self.assemblies[request.assembly];
        facts.message = assembly.message;
        assembly.answers += 1;
        let code = filing.chunk.code().unwrap_or(0);
        let refused = code != 200;
        let over = refused || (assembly.ended && assembly.answers >= assembly.chunks.len());
        if over && !assembly.settled && assembly.has_content {
            assembly.settled = true;
            let last = assembly.chunks.last().copied().unwrap_or(request.event);
            facts.answered = Some(Answered { request: last, code });
        }
    }
}

impl Assembly {
    /// Puts the chunks together. Their bytes are let go: a message is asked for once.
    fn whole(&mut self, total: Option<u64>) -> Whole {
        let mut parts = std::mem::take(&mut self.parts);
        let chunks = self.chunks.clone();
        if let [(1, body)] = parts.as_slice() {
            let seamless = total.is_none_or(|total| total == body.len() as u64);
            return Whole { body: body.clone(), chunks, seamless };
        }
        parts.sort_by_key(|(start, _)| *start);
        let mut body = BytesMut::new();
        let mut seamless = true;
        for (start, part) in &parts {
            let have = body.len() as u64 + 1;
            seamless &= *start <= have;
            // What a chunk repeats of an earlier one is the same bytes (RFC 4975 7.3.1).
            let skip = usize::try_from(have.saturating_sub(*start)).unwrap_or(usize::MAX).min(part.len());
            body.extend_from_slice(&part[skip..]);
        }
        seamless &= total.is_none_or(|total| total == body.len() as u64);
        Whole { body: body.freeze(), chunks, seamless }
    }
}

/// A chunk to be filed.
pub(super) struct Filing<'a> {
    pub(super) number: u32,
    pub(super) link: &'a Link,
    pub(super) sent: bool,
    pub(super) chunk: &'a Chunk,
    pub(super) session: Option<SessionId>,
}

impl Filing<'_> {
    /// The way of the request that this is, or, when the IUT is the other end of it, answers.
    fn way(&self, sent: bool) -> Way {
        let line = match (self.session, self.link.connection) {
            (Some(session), _) => Line::Session(session),
            (None, Some(connection)) => Line::Connection(connection),
            (None, None) if self.sent == sent => Line::Addresses(self.link.source, self.link.destination),
            (None, None) => Line::Addresses(self.link.destination, self.link.source),
        };
        (sent, line)
    }
}
