//! The edge of the IUT: everything that crosses it becomes an event, and a filter may stand there.
//!
//! Without a filter bytes pass untouched and are only looked at. With one, what crosses is taken
//! apart into whole messages, on streams too, and each goes on as the filter says. The record then
//! holds what crossed the filter's far side: for the judge, filter and IUT are one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::engine::{Closure, ConnectionId, Input, Note, Output};
use crate::time::Instant;
use crate::trace::event::{Event, Kind, Link};
use crate::trace::tap::Tap;

/// How many events a record of one scenario mostly has.
const USUAL: usize = 128;

/// What becomes of a message at the edge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It is gone, and nobody saw it.
    Drop,
    /// It is recorded but goes no further.
    Withhold,
    /// It goes on twice.
    Duplicate,
    /// It goes on later, overtaken by what follows.
    Delay(Duration),
    /// These bytes, one whole message, go on in its place.
    Replace(Bytes),
}

/// A message that the IUT never sent and yet is seen to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Injection {
    /// How long from now.
    pub after: Duration,
    /// Away from the IUT. A connection that is gone is replaced by another one to the same peer.
    pub link: Link,
    /// One whole message.
    pub bytes: Bytes,
}

/// Someone who alters the traffic of the IUT. Only messages are shown to it; the number of an
/// event is the one that it gets when it passes.
pub trait Filter {
    /// The IUT sent a message.
    fn on_sent(&mut self, event: &Event) -> Verdict;

    /// A message is about to reach the IUT.
    fn on_received(&mut self, event: &Event) -> Verdict;

    /// The next message to put in, asked for after every message until there is none.
    fn poll_injection(&mut self) -> Option<Injection>;
}

/// A message that the filter keeps back for a while.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) at: Instant,
    sent: bool,
    link: Link,
    bytes: Bytes,
}

/// The record of a run and the guard at the IUT's edge.
pub struct Edge {
    tap: Tap,
    filter: Option<Box<dyn Filter>>,
    events: Vec<Event>,
    cut: Vec<Kind>,
    admitted: VecDeque<Input>,
    pub(super) held: Vec<Held>,
    /// Whether the record is closed.
    closed: bool,
}

impl Edge {
    /// An edge whose connections `tap` follows.
    pub fn new(tap: Tap) -> Self {
        Self {
            tap,
            filter: None,
            events: Vec::with_capacity(USUAL),
            cut: Vec::new(),
            admitted: VecDeque::new(),
            held: Vec::new(),
            closed: false,
        }
    }

    /// Puts a filter in place.
    pub fn set_filter(&mut self, filter: Option<Box<dyn Filter>>) {
        self.filter = filter;
    }

    /// Closes the record: what crosses from now on is not looked at any more. A filter goes on.
    pub fn close_record(&mut self) {
        self.closed = self.filter.is_none();
    }

    /// Everything recorded so far.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The record itself, when the run is over.
    pub fn into_events(self) -> Vec<Event> {
        self.events
    }

    /// Takes everything recorded so far out.
    pub(super) fn drain_events(&mut self) -> impl Iterator<Item = Event> {
        self.events.drain(..)
    }

    /// Records something that is no message.
    pub fn record(&mut self, now: Instant, kind: Kind) {
        let number = self.next_number();
        self.events.push(Event { number, at: now, kind });
    }

    /// Records a remark of a node.
    pub fn note(&mut self, now: Instant, node: &Arc<str>, note: Note) {
        self.record(now, Kind::Note { node: Arc::clone(node), note });
    }

    fn next_number(&self) -> u32 {
        u32::try_from(self.events.len()).unwrap_or(u32::MAX)
    }

    /// What the IUT is about to be told: it is recorded, and with a filter taken apart.
    pub fn admit(&mut self, now: Instant, input: Input) {
        if self.closed {
            return self.admitted.push_back(input);
        }
        match &input {
            Input::Datagram { local, peer, data } => {
                let kind = Tap::datagram(*local, *peer, data, false);
                return self.come_in(now, kind, input);
            }
            Input::Received { connection, data } => {
                let raw = self.filter.is_none() || self.tap.is_lost(*connection, false);
                self.tap.stream(*connection, false, data, |kind| self.cut.push(kind));
                return self.come_in_cut(now, raw.then_some(input));
            }
            Input::Accepted { connection, local, peer } => {
                let kind = self.tap.accepted(*connection, *local, *peer);
                self.record(now, kind);
            }
            Input::Connected { connection, local } => {
                if let Some(kind) = self.tap.connected(*connection, *local) {
                    self.record(now, kind);
                }
            }
            Input::Closed { connection, how } => self.close(now, *connection, *how, false),
            Input::Committed { .. } | Input::Timeout => {}
        }
        self.admitted.push_back(input);
    }

    fn close(&mut self, now: Instant, connection: ConnectionId, how: Closure, by_iut: bool) {
        self.tap.closed(connection, how, by_iut, |kind| self.cut.push(kind));
        let mut cut = std::mem::take(&mut self.cut);
        for kind in cut.drain(..) {
            self.record(now, kind);
        }
        self.cut = cut;
    }

    fn come_in(&mut self, now: Instant, kind: Kind, input: Input) {
        if self.filter.is_some() {
            self.judge(now, kind, &mut Vec::new());
        } else {
            self.record(now, kind);
            self.admitted.push_back(input);
        }
    }

    fn come_in_cut(&mut self, now: Instant, raw: Option<Input>) {
        let mut cut = std::mem::take(&mut self.cut);
        for kind in cut.drain(..) {
            if raw.is_some() {
                self.record(now, kind);
            } else {
                self.judge(now, kind, &mut Vec::new());
            }
        }
        self.cut = cut;
        self.admitted.extend(raw);
    }

    /// What the IUT is to be told next.
    pub fn next_admitted(&mut self) -> Option<Input> {
        self.admitted.pop_front()
    }

    /// What the IUT puts out: it is recorded, and what is left of it goes to `effects`.
    pub fn emit(&mut self, now: Instant, output: Output, effects: &mut Vec<Output>) {
        if self.closed {
            return effects.push(output);
        }
        match &output {
            Output::Datagram { local, peer, data } => {
                let kind = Tap::datagram(*local, *peer, data, true);
                if self.filter.is_some() {
                    return self.judge(now, kind, effects);
                }
                self.record(now, kind);
            }
            Output::Send { connection, data } => {
                let raw = self.filter.is_none() || self.tap.is_lost(*connection, true);
                self.tap.stream(*connection, true, data, |kind| self.cut.push(kind));
                return self.go_out_cut(now, raw.then_some(output), effects);
            }
            Output::Connect { connection, transport, peer } => self.tap.connecting(*connection, *transport, *peer),
            Output::Close { connection, how } => self.close(now, *connection, *how, true),
            Output::Commit { .. } | Output::Note(_) => {}
        }
        effects.push(output);
    }

    fn go_out_cut(&mut self, now: Instant, raw: Option<Output>, effects: &mut Vec<Output>) {
        let mut cut = std::mem::take(&mut self.cut);
        for kind in cut.drain(..) {
            if raw.is_some() {
                self.record(now, kind);
            } else {
                self.judge(now, kind, effects);
            }
        }
        self.cut = cut;
        effects.extend(raw);
    }

    /// Asks the filter about one message and does as it says.
    fn judge(&mut self, now: Instant, kind: Kind, effects: &mut Vec<Output>) {
        let event = Event { number: self.next_number(), at: now, kind };
        let Kind::Message { link, sent, content } = &event.kind else { return self.events.push(event) };
        let (link, sent, bytes) = (*link, *sent, content.bytes());
        let verdict = match &mut self.filter {
            Some(filter) if sent => filter.on_sent(&event),
            Some(filter) => filter.on_received(&event),
            None => Verdict::Pass,
        };
        match verdict {
            Verdict::Pass => {
                self.events.push(event);
                self.forward(sent, link, bytes, effects);
            }
            Verdict::Drop => {}
            Verdict::Withhold => self.events.push(event),
            Verdict::Duplicate => {
                self.events.push(event);
                self.forward(sent, link, bytes.clone(), effects);
                self.pass(now, sent, link, bytes, effects);
            }
            Verdict::Delay(span) => self.held.push(Held { at: now + span, sent, link, bytes }),
            Verdict::Replace(bytes) => self.pass(now, sent, link, bytes, effects),
        }
    }

    /// Records `bytes` as a message and sends them on.
    fn pass(&mut self, now: Instant, sent: bool, link: Link, bytes: Bytes, effects: &mut Vec<Output>) {
        let content = self.tap.whole(link, &bytes);
        self.record(now, Kind::Message { link, sent, content });
        self.forward(sent, link, bytes, effects);
    }

    fn forward(&mut self, sent: bool, link: Link, data: Bytes, effects: &mut Vec<Output>) {
        let Link { source, destination, connection, .. } = link;
        match (sent, connection) {
            (true, Some(connection)) => effects.push(Output::Send { connection, data }),
            (true, None) => effects.push(Output::Datagram { local: source, peer: destination, data }),
            (false, Some(connection)) => self.admitted.push_back(Input::Received { connection, data }),
            (false, None) => self.admitted.push_back(Input::Datagram { local: destination, peer: source, data }),
        }
    }

    /// Puts in what the filter has to put in.
    pub fn inject(&mut self, now: Instant, effects: &mut Vec<Output>) {
        while let Some(injection) = self.filter.as_mut().and_then(|filter| filter.poll_injection()) {
            let held = Held { at: now + injection.after, sent: true, link: injection.link, bytes: injection.bytes };
            if injection.after.is_zero() {
                self.release(now, held, effects);
            } else {
                self.held.push(held);
            }
        }
    }

    /// Lets go of a message whose time has come.
    pub(super) fn release(&mut self, now: Instant, held: Held, effects: &mut Vec<Output>) {
        let Held { sent, link, bytes, .. } = held;
        let way = if sent && link.connection.is_some() { self.tap.outward(link) } else { Some(link) };
        match way {
            Some(way) => self.pass(now, sent, way, bytes, effects),
            // Nothing leads to the peer any more: it is seen to be sent, and reaches nobody.
            None => {
                let content = self.tap.whole(link, &bytes);
                self.record(now, Kind::Message { link, sent, content });
            }
        }
    }

    /// The process of the IUT is gone, and its connections with it.
    pub(super) fn process_died(&mut self, now: Instant) {
        let connections: Vec<_> = self.tap.connections().collect();
        for connection in connections {
            self.close(now, connection, Closure::Reset, false);
        }
        self.held.clear();
    }
}
