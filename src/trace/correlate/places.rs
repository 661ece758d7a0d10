//! Who is reached where: the address book, indexed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::head::Head;
use crate::pattern::ast::Role;
use crate::trace::event::{AddressBook, Party};
use crate::wire::sip::{Host, Message, Name, Scheme, Uri, header};

/// The address book, indexed by whatever a message shows of its ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    addresses: BTreeMap<SocketAddr, Party>,
    /// `None`: several actors share the address.
    machines: BTreeMap<IpAddr, Option<Party>>,
    hosts: BTreeMap<String, Party>,
    users: BTreeMap<String, Party>,
    instances: BTreeMap<String, Party>,
}

/// What two URIs of one user or group have in common: the number for telephone numbers, in SIP
/// and TEL form alike; user and host otherwise.
pub fn uri_key(uri: &Uri<'_>) -> String {
    let user = uri.user.unwrap_or("");
    let number = user.split(';').next().unwrap_or("");
    let is_number = uri.scheme == Scheme::Tel || (number.len() > 3 && number.starts_with('+'));
    let mut key = String::with_capacity(uri.text.len());
    match uri.host {
        _ if is_number => key.extend(number.chars().filter(|char| char.is_ascii_digit() || *char == '+')),
        Some(host) => {
            key.push_str(user);
            key.push('@');
            key.push_str(host.0);
            key[user.len()..].make_ascii_lowercase();
        }
        None => key.push_str(uri.text),
    }
    key
}

impl Places {
    pub(super) fn of(book: &AddressBook) -> Self {
        let mut places = Self::default();
        for (address, party) in &book.nodes {
            places.addresses.insert(*address, party.clone());
            let machine = places.machines.entry(address.ip()).or_insert_with(|| Some(party.clone()));
            if machine.as_ref().is_some_and(|known| known != party) {
                *machine = None;
            }
        }
        places.hosts = book.hosts.iter().map(|(host, party)| (host.to_ascii_lowercase(), party.clone())).collect();
        for (uri, party) in &book.users {
            if let Ok(uri) = Uri::parse(uri) {
                places.users.insert(uri_key(&uri), party.clone());
            }
        }
        places.instances = book.instances.iter().cloned().collect();
        places
    }

    /// The node at an address; of a connection, whose port is of no use, the machine decides.
    pub(super) fn node(&self, address: SocketAddr) -> Option<&Party> {
        self.addresses.get(&address).or_else(|| self.machines.get(&address.ip())?.as_ref())
    }

    /// The user that a URI names.
    pub(super) fn user(&self, uri: &Uri<'_>) -> Option<&Party> {
        self.users.get(&uri_key(uri))
    }

    fn at_host(&self, host: Host<'_>, port: Option<u16>) -> Option<&Party> {
        match host.ip() {
            Some(ip) => self.node(SocketAddr::new(ip, port.unwrap_or(5060))),
            None => self.hosts.get(host.0).or_else(|| self.hosts.get(host.0.to_ascii_lowercase().as_str())),
        }
    }

    /// The device of `+sip.instance`, or the one that the Contact address leads to.
    pub(super) fn device(&self, head: &Head<'_>) -> Option<&Party> {
        let contact = head.contact?;
        let by_instance = contact.instance().and_then(|instance| self.instances.get(instance));
        by_instance.or_else(|| self.at_host(contact.uri.host?, contact.uri.port)).filter(|party| party.role == Role::Client)
    }

    /// The device that a third-party REGISTER speaks of: a Contact instance, of its own or of the
    /// REGISTER that it encloses (TS 24.229 5.4.1.7).
    pub(super) fn registered(&self, register: &Head<'_>) -> Option<&Party> {
        if let Some(party) = self.device(register) {
            return Some(party);
        }
        let body = register.message.body();
        let at = memchr::memmem::find(&body, b"+sip.instance=")?;
        let rest = std::str::from_utf8(body.get(at + 14..)?).ok()?;
        let end = rest.find(['\r', '\n', ';', ',']).unwrap_or(rest.len());
        self.instances.get(header::bare_instance(rest.get(..end)?))
    }

    /// Who made a request that a relay brought: whoever wrote the bottom Via (RFC 3261 16.6 has
    /// each relay add one above), else the device of its Contact, else the user of its From.
    /// `None` when it came from its maker directly, who is `node`.
    pub(super) fn origin(&self, request: &Head<'_>, node: &Party) -> Option<&Party> {
        let (count, bottom) = request.message.elements(Name::Via).fold((0, None), |(count, _), via| (count + 1, Some(via)));
        if count < 2 && node.role != Role::Core {
            return None;
        }
        let via = bottom.and_then(|via| header::Via::parse(via).ok());
        let by_via = via.and_then(|via| self.at_host(via.host, via.port));
        by_via.or_else(|| self.device(request)).or_else(|| self.user(&request.from?.uri))
    }

    /// Whom a request is for that goes to the core: the device that it pins, the user or the
    /// contact address in its Request-URI.
    pub(super) fn target(&self, request: &Head<'_>) -> Option<&Party> {
        let uri = request.message.target().ok()?;
        let user = self.user(&uri);
        let pinned = request
            .message
            .elements(Name::AcceptContact)
            .filter_map(|value| header::AcceptContact::parse(value).ok())
            .find_map(|value| self.instances.get(value.instance()?))
            .filter(|party| user.is_none_or(|user| user.name == party.name));
        pinned.or(user).or_else(|| self.at_host(uri.host?, uri.port)).or_else(|| self.user(&request.to?.uri))
    }

    /// The user that P-Asserted-Identity or P-Preferred-Identity names.
    pub(super) fn asserted(&self, request: &Message) -> Option<&Party> {
        [Name::PAssertedIdentity, Name::PPreferredIdentity].into_iter().find_map(|name| {
            request.elements(name).filter_map(|value| header::NameAddr::parse(value).ok()).find_map(|value| self.user(&value.uri))
        })
    }
}
