//! What each address does in a capture, and what that makes of it.

use std::collections::BTreeMap;

use super::super::messages::Item;
use super::{Ground, Place, messages};
use crate::pattern::ast::Role;
use crate::trace::correlate::uri_key;
use crate::trace::event::Content;
use crate::wire::sip::{Message, Name};

/// What was seen of all addresses.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    of: BTreeMap<Place, Acts>,
    messages: usize,
}

/// What one address did.
#[derive(Clone, Debug, Default)]
struct Acts {
    messages: usize,
    /// SIP, rather than MSRP alone.
    sip: usize,
    /// REGISTERs of users by someone else (RFC 3261 10.2): sent and received.
    registers: usize,
    is_told_of_users: usize,
    /// Requests sent that someone else made.
    relays: usize,
    /// Called itself a focus in a message of its own.
    is_focus: usize,
    meets_focus: usize,
    /// NOTIFY and SUBSCRIBE for a conference.
    tells_conference: usize,
    asks_conference: usize,
    is_asked_conference: usize,
    /// SUBSCRIBE for registrations.
    asks_registrations: usize,
    is_asked_registrations: usize,
    /// Requests received that were routed by way of it.
    is_route: usize,
    /// Requests of its own.
    makes: usize,
}

impl Evidence {
    pub(super) fn of(items: &[Item], ground: &Ground) -> Self {
        let mut evidence = Self::default();
        for (link, content) in messages(items) {
            let (source, destination) = (ground.place(link.source), ground.place(link.destination));
            evidence.messages += 1;
            for place in [source, destination] {
                let acts = evidence.of.entry(place).or_default();
                acts.messages += 1;
                acts.sip += usize::from(!matches!(content, Content::Msrp(_)));
            }
            if let Content::Sip(message) = content {
                evidence.sip(source, destination, message);
            }
        }
        evidence
    }

    fn sip(&mut self, source: Place, destination: Place, message: &Message) {
        let focus = message.contact().is_ok_and(|contact| contact.is_focus());
        let relayed = message.is_request() && message.elements(Name::Via).count() > 1;
        self.count(source, |acts| acts.is_focus += usize::from(focus && !relayed));
        self.count(destination, |acts| acts.meets_focus += usize::from(focus));
        let Some(method) = message.method_token().filter(|_| message.is_request()) else { return };
        self.count(source, |acts| if relayed { acts.relays += 1 } else { acts.makes += 1 });
        let event = message.value(Name::Event).and_then(|event| event.split(';').next()).map(str::trim);
        match (method, event) {
            ("REGISTER", _) if is_third_party(message) => {
                self.count(source, |acts| acts.registers += 1);
                self.count(destination, |acts| acts.is_told_of_users += 1);
            }
            ("SUBSCRIBE", Some("conference")) => {
                self.count(source, |acts| acts.asks_conference += 1);
                self.count(destination, |acts| acts.is_asked_conference += 1);
            }
            ("SUBSCRIBE", Some("reg")) => {
                self.count(source, |acts| acts.asks_registrations += 1);
                self.count(destination, |acts| acts.is_asked_registrations += 1);
            }
            ("NOTIFY", Some("conference")) => self.count(source, |acts| acts.tells_conference += usize::from(!relayed)),
            _ => {}
        }
        if message.elements(Name::Route).next().is_some() {
            self.count(destination, |acts| acts.is_route += 1);
        }
    }

    fn count(&mut self, place: Place, act: impl FnOnce(&mut Acts)) {
        act(self.of.entry(place).or_default());
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.of.keys()
    }

    /// The likeliest implementation under test, and why.
    pub(super) fn iut(&self, taken: impl Fn(&Place) -> bool) -> Option<(Place, String)> {
        let free = self.of.iter().filter(|(place, acts)| !taken(place) && acts.sip > 0);
        let (place, acts) = free.max_by_key(|(_, acts)| acts.likeness())?;
        let share = format!("{} of {} messages pass it", acts.messages, self.messages);
        let why = match acts {
            Acts { is_told_of_users: 1.., .. } => format!("it is told who registers; {share}"),
            Acts { asks_conference: 1.., .. } => format!("it subscribes to conferences; {share}"),
            _ => share,
        };
        Some((*place, format!("guessed: {why}")))
    }

    /// The role of an address that is not under test, and why.
    pub(super) fn role(&self, place: &Place) -> (Option<Role>, &'static str) {
        match &self.of[place] {
            Acts { registers: 1.., .. } => (Some(Role::Core), "guessed: it registers users of others"),
            Acts { relays: 1.., .. } => (Some(Role::Core), "guessed: it relays requests"),
            Acts { is_asked_registrations: 1.., .. } => (Some(Role::Core), "guessed: it is asked who is registered"),
            Acts { is_focus: 1.., .. } => (Some(Role::Cf), "guessed: its Contact has isfocus"),
            Acts { is_asked_conference: 1.., .. } => (Some(Role::Cf), "guessed: its conference is subscribed to"),
            Acts { tells_conference: 1.., .. } => (Some(Role::Cf), "guessed: it notifies of a conference"),
            Acts { is_route: 1.., .. } => (Some(Role::Core), "guessed: requests are routed by way of it"),
            Acts { makes: 1.., .. } => (Some(Role::Client), "guessed: it makes requests, and nothing else tells"),
            // Whose session it is, tells.
            Acts { .. } => (None, ""),
        }
    }
}

impl Acts {
    /// How much an address is like the implementation under test.
    fn likeness(&self) -> (i32, usize) {
        let yes = |count: usize, weight: i32| if count > 0 { weight } else { 0 };
        let marks = yes(self.is_told_of_users, 8)
            + yes(self.asks_registrations, 4)
            + yes(self.asks_conference, 2)
            + yes(self.meets_focus, 1)
            - yes(self.relays, 8)
            - yes(self.registers, 8)
            - yes(self.is_asked_registrations, 8)
            - yes(self.is_route, 2)
            - if self.meets_focus == 0 { yes(self.is_focus, 2) + yes(self.tells_conference, 2) } else { 0 };
        (marks, self.messages)
    }
}

/// Whether a REGISTER is made for another user than its sender (RFC 3261 10.2).
fn is_third_party(message: &Message) -> bool {
    let (Ok(from), Ok(to)) = (message.from(), message.to()) else { return false };
    uri_key(&from.uri) != uri_key(&to.uri)
}
