//! A capture as a trace.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::file::{self, Fault, Recording};
use super::labels::Labels;
use super::messages::{Hole, Item, What, hear};
use super::roles::{Assignment, Cast, cast};
use crate::engine::{Closure, ConnectionId};
use crate::pattern::ast::Role;
use crate::time::Instant;
use crate::trace::event::{AddressBook, Event, Kind, Link, Party};
use crate::trace::{Header, Trace};

/// What was read out of a capture.
#[derive(Clone, Debug)]
pub struct Imported {
    /// What passed the implementation under test.
    pub trace: Trace,
    /// What the capture says about itself.
    pub labels: Labels,
    /// Who is who, and what tells it: a line for each address.
    pub roles: Vec<String>,
    /// What whoever reads findings should know of the capture.
    pub notes: Vec<String>,
    /// The first event after bytes that the capture lacks: from there on nothing is certain.
    pub doubtful: Option<u32>,
}

/// Whether bytes begin as a capture does.
pub fn is_capture(data: &[u8]) -> bool {
    file::is_capture(data)
}

/// Reads a capture. `told` are addresses whose roles are known, `known` the users, instances and
/// groups that may occur.
///
/// # Errors
///
/// When the file is no capture.
pub fn read(data: &Bytes, told: &[Assignment], known: &AddressBook) -> Result<Imported, Fault> {
    let recording = file::cut(data)?;
    let talk = hear(&recording.frames);
    let cast = cast(&talk.items, told, known);
    let mut notes = talk.notes;
    if recording.truncated {
        notes.push("the file ends in the middle of a packet".to_owned());
    }
    let start = recording.frames.first().map_or(0, |frame| frame.at);
    let begun = virtual_start(&recording.labels).filter(|begun| *begun <= start).unwrap_or(start);
    let mut telling =
        Telling { recording: &recording, cast: &cast, begun, events: Vec::new(), connections: BTreeMap::new(), past: 0 };
    let holes: Vec<Hole> = talk.holes.into_iter().filter(|hole| telling.concerns(&hole.link)).collect();
    let mut holes = holes.into_iter().peekable();
    let mut doubtful = None;
    let mut said = Vec::new();
    for item in talk.items {
        while let Some(hole) = holes.next_if(|hole| hole.rank < item.rank) {
            doubtful.get_or_insert(telling.number());
            said.push(telling.lament(&hole));
        }
        telling.tell(item);
    }
    for hole in holes {
        doubtful.get_or_insert(telling.number());
        said.push(telling.lament(&hole));
    }
    notes.extend(said);
    if telling.past > 0 {
        notes.push(format!("{} messages do not pass the implementation under test", telling.past));
    }
    let ended = recording.ended.unwrap_or_default().max(recording.frames.last().map_or(0, |frame| frame.at));
    let trace = Trace {
        ended: Instant::from_micros(ended.saturating_sub(begun)),
        complete: !recording.truncated,
        events: telling.events,
        header: header(&recording.labels, cast.book),
    };
    Ok(Imported { trace, labels: recording.labels, roles: cast.said, notes, doubtful })
}

/// When a simulated run began, which a capture of it need not have a packet of.
fn virtual_start(labels: &Labels) -> Option<u64> {
    labels.virtual_clock.then(|| u64::try_from(Instant::ZERO.to_unix_micros()).unwrap_or_default())
}

fn header(labels: &Labels, book: AddressBook) -> Header {
    Header {
        scenario: labels.scenario.clone().unwrap_or_default(),
        variant: labels.variant.clone(),
        seed: labels.seed,
        iut: Party::new(Role::Pf, "pf"),
        book: Arc::new(book),
        policy: Arc::new(labels.policy.clone()),
        pics: labels.pics.clone(),
        virtual_clock: labels.virtual_clock,
    }
}

/// Turns what was seen into what the implementation under test saw.
struct Telling<'a> {
    recording: &'a Recording,
    cast: &'a Cast,
    begun: u64,
    events: Vec<Event>,
    connections: BTreeMap<ConnectionId, ConnectionId>,
    /// Messages between others.
    past: usize,
}

impl Telling<'_> {
    fn number(&self) -> u32 {
        u32::try_from(self.events.len()).unwrap_or(u32::MAX)
    }

    fn is_iut(&self, address: std::net::SocketAddr) -> bool {
        self.cast.iut.contains(&self.cast.ground.place(address))
    }

    fn concerns(&self, link: &Link) -> bool {
        self.is_iut(link.source) != self.is_iut(link.destination)
    }

    fn tell(&mut self, item: Item) {
        let at = self.recording.frames.get(item.rank).map_or(0, |frame| frame.at);
        let at = Instant::from_micros(at.saturating_sub(self.begun));
        if let Some(kind) = self.kind(item.what) {
            let number = self.number();
            self.events.push(Event { number, at, kind });
        }
    }

    fn kind(&mut self, what: What) -> Option<Kind> {
        match what {
            What::Fault(text) => Some(Kind::Fault(text)),
            What::Message(link, _) if !self.concerns(&link) => {
                self.past += 1;
                None
            }
            What::Message(link, content) => {
                let sent = self.is_iut(link.source);
                let link = self.renumbered(link, sent);
                Some(Kind::Message { link, sent, content })
            }
            What::Opened(link) => self.concerns(&link).then(|| {
                let by_iut = self.is_iut(link.source);
                Kind::Opened { link: self.renumbered(link, by_iut) }
            }),
            What::Closed { link, how, by_opener } => {
                let by_iut = self.is_iut(link.source) == by_opener;
                // Whoever was refused never had a connection; only the one who asked knows of it.
                let is_news = self.concerns(&link) && (how != Closure::Refused || !by_iut);
                let opened_by_iut = self.is_iut(link.source);
                is_news.then(|| Kind::Closed { link: self.renumbered(link, opened_by_iut), how, by_iut })
            }
        }
    }

    /// Numbers a connection as the implementation under test would: even when it opened it. The
    /// first one who is seen to send on it is taken for its opener where nothing else tells.
    fn renumbered(&mut self, link: Link, opened_by_iut: bool) -> Link {
        let count = self.connections.len() as u64;
        let fresh = ConnectionId(2 * count + u64::from(!opened_by_iut));
        let connection = link.connection.map(|known| *self.connections.entry(known).or_insert(fresh));
        Link { connection, ..link }
    }

    fn lament(&self, hole: &Hole) -> String {
        let at = self.recording.frames.get(hole.rank).map_or(0, |frame| frame.at).saturating_sub(self.begun);
        let Hole { link, bytes, .. } = hole;
        let ends = format!("{} -> {}", link.source, link.destination);
        format!(
            "{bytes} bytes from {ends} are missing after {}; from event #{} on nothing is certain",
            Instant::from_micros(at),
            self.number()
        )
    }
}
