//! Users and their devices, as far as messages show them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::bottom_via;
use crate::pattern::ast::Role;
use crate::trace::correlate::uri_key;
use crate::trace::event::{AddressBook, Party};
use crate::wire::sip::{Host, Message, Name, Uri, header};

/// Everyone who has a device.
#[derive(Debug, Default)]
pub(super) struct Devices {
    /// URIs as they were written, by what is compared of them.
    uris: BTreeMap<String, (String, String)>,
    /// The user of each instance.
    instances: BTreeMap<String, String>,
    /// Parties of instances that were known before.
    named: BTreeMap<String, Party>,
    /// By host and port: the user and, where known, the instance.
    homes: BTreeMap<(String, u16), Home>,
}

#[derive(Clone, Debug)]
struct Home {
    user: String,
    instance: Option<String>,
}

/// Who made a message, as far as it tells.
#[derive(Clone, Debug)]
pub(super) struct Made {
    user: String,
    home: Option<(String, u16)>,
}

impl Devices {
    pub(super) fn of(known: &AddressBook) -> Self {
        let mut devices = Self { named: known.instances.iter().cloned().collect(), ..Self::default() };
        for (uri, party) in &known.users {
            if let Ok(parsed) = Uri::parse(uri) {
                devices.uris.insert(uri_key(&parsed), (uri.clone(), party.name.to_string()));
            }
        }
        devices
    }

    /// The name of the user of a URI, a new one when nobody has it yet.
    fn user(&mut self, uri: &Uri<'_>) -> Option<String> {
        if uri.user.is_none() && uri.scheme != crate::wire::sip::Scheme::Tel {
            return None;
        }
        let key = uri_key(uri);
        let fresh = || (uri.text.to_owned(), key.split('@').next().unwrap_or(&key).to_owned());
        let (_, name) = self.uris.entry(key.clone()).or_insert_with(fresh);
        Some(name.clone())
    }

    /// The user that an identity header, or From, names.
    fn maker(&mut self, message: &Message) -> Option<String> {
        let asserted = [Name::PAssertedIdentity, Name::PPreferredIdentity].into_iter().flat_map(|name| message.elements(name));
        let asserted: Vec<header::NameAddr<'_>> = asserted.filter_map(|value| header::NameAddr::parse(value).ok()).collect();
        let end = if message.is_request() { message.from().ok() } else { message.to().ok() };
        let uri = asserted.first().map(|value| value.uri).filter(|_| message.is_request()).or(end.map(|end| end.uri))?;
        self.user(&uri)
    }

    /// Learns the device that made a message.
    pub(super) fn made(&mut self, message: &Message, direct: Option<SocketAddr>) -> Option<Made> {
        let user = self.maker(message)?;
        let contact = message.contact().ok();
        let instance = contact.and_then(|contact| contact.instance()).map(str::to_owned);
        let of_contact = || {
            let contact = contact?;
            Some((contact.uri.host?.0.to_owned(), contact.uri.port.unwrap_or(5060)))
        };
        let of_via = || bottom_via(message).filter(|_| message.is_request()).map(|(host, port)| (host, port.unwrap_or(5060)));
        let home = of_via().or_else(of_contact).or_else(|| direct.map(|address| (address.ip().to_string(), address.port())));
        if let Some(instance) = &instance {
            self.instances.entry(instance.clone()).or_insert_with(|| user.clone());
        }
        if let Some(home) = &home {
            let known = self.homes.entry(home.clone()).or_insert_with(|| Home { user: user.clone(), instance: None });
            known.instance = known.instance.take().or(instance);
        }
        Some(Made { user, home })
    }

    /// Learns from a third-party REGISTER, and from the REGISTER that it may enclose
    /// (TS 24.229 5.4.1.7).
    pub(super) fn registered(&mut self, register: &Message) {
        let user = register.to().ok().filter(|_| register.method_token() == Some("REGISTER")).and_then(|to| self.user(&to.uri));
        let Some(user) = user else { return };
        let body = register.body();
        let Ok(enclosed) = Message::decode(body) else { return };
        let Some(contact) = enclosed.contact().ok() else { return };
        let instance = contact.instance().map(str::to_owned);
        if let Some(instance) = &instance {
            self.instances.entry(instance.clone()).or_insert_with(|| user.clone());
        }
        if let Some(host) = contact.uri.host {
            let home = (host.0.to_owned(), contact.uri.port.unwrap_or(5060));
            let known = self.homes.entry(home).or_insert_with(|| Home { user, instance: None });
            known.instance = known.instance.take().or(instance);
        }
    }

    /// Learns the instance that a request asks for (RFC 3841).
    pub(super) fn pinned(&mut self, request: &Message) {
        let pinned: Vec<String> = request
            .elements(Name::AcceptContact)
            .filter_map(|value| header::AcceptContact::parse(value).ok())
            .filter_map(|value| value.instance().map(str::to_owned))
            .collect();
        let Some(user) = request.to().ok().filter(|_| !pinned.is_empty()).and_then(|to| self.user(&to.uri)) else { return };
        for instance in pinned {
            self.instances.entry(instance).or_insert_with(|| user.clone());
        }
    }

    /// The party that made a message.
    pub(super) fn party(&self, made: &Made) -> Party {
        let known = made.home.as_ref().and_then(|home| Some((home, self.homes.get(home)?)));
        known.map_or_else(|| Party::new(Role::Client, &made.user), |(at, home)| self.party_at(at, home))
    }

    fn party_at(&self, at: &(String, u16), home: &Home) -> Party {
        let own: BTreeSet<&String> = self.instances_of(&home.user).collect();
        match (&home.instance, own.len()) {
            (Some(instance), _) => self.party_of(instance, &home.user),
            (None, 0) if self.homes.values().filter(|other| other.user == home.user).count() < 2 => {
                Party::new(Role::Client, &home.user)
            }
            (None, 1) => own.first().map_or_else(|| Party::new(Role::Client, &home.user), |one| self.party_of(one, &home.user)),
            (None, _) => Party::on(Role::Client, &home.user, &at.0),
        }
    }

    fn instances_of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a String> {
        self.instances.iter().filter(move |(_, owner)| *owner == user).map(|(instance, _)| instance)
    }

    fn party_of(&self, instance: &str, user: &str) -> Party {
        if let Some(party) = self.named.get(instance) {
            return party.clone();
        }
        match self.instances_of(user).position(|known| known == instance) {
            Some(place) if self.instances_of(user).count() > 1 => Party::on(Role::Client, user, &format!("device{}", place + 1)),
            _ => Party::new(Role::Client, user),
        }
    }

    pub(super) fn users(&self) -> Vec<(String, Party)> {
        self.uris.values().map(|(uri, name)| (uri.clone(), Party::new(Role::Client, name))).collect()
    }

    pub(super) fn instances(&self) -> Vec<(String, Party)> {
        self.instances.iter().map(|(instance, user)| (instance.clone(), self.party_of(instance, user))).collect()
    }

    pub(super) fn nodes(&self) -> Vec<(SocketAddr, Party)> {
        let at = |(at, home): (&(String, u16), &Home)| Some((SocketAddr::new(Host(&at.0).ip()?, at.1), self.party_at(at, home)));
        self.homes.iter().filter_map(at).collect()
    }

    pub(super) fn hosts(&self) -> Vec<(String, Party)> {
        self.homes.iter().map(|(at, home)| (at.0.clone(), self.party_at(at, home))).collect()
    }
}
