//! Which group a message is about: Conversation-ID, focus URI, and the URI that a PF shows in its
//! place all lead to one symbol, on both legs.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use memchr::memmem::Finder;

use super::head::Head;
use super::places::{Places, uri_key};
use super::{Symbol, Symbols, Thing};
use crate::trace::event::AddressBook;
use crate::wire::sip::{Message, Name, Uri};

#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    /// What the address book says; shared by all that read traces with the same.
    known: Arc<BTreeMap<String, Symbol>>,
    /// What messages said.
    aliases: BTreeMap<String, Symbol>,
    learnt: Vec<(Symbol, String)>,
}

impl Groups {
    pub(super) fn of(book: &AddressBook, symbols: &mut Symbols) -> Self {
        let mut known = BTreeMap::new();
        for (alias, name) in &book.groups {
            let key = Uri::parse(alias).map_or_else(|_| alias.clone(), |uri| uri_key(&uri));
            known.insert(key, symbols.of(Thing::Group, name));
        }
        Self { known: Arc::new(known), ..Self::default() }
    }

    fn get(&self, alias: &str) -> Option<Symbol> {
        self.aliases.get(alias).or_else(|| self.known.get(alias)).copied()
    }

    /// The group of a request: that of its dialog, or by everything in it that may name one.
    pub(super) fn of_message(
        &mut self,
        head: &Head<'_>,
        dialog: Option<Symbol>,
        places: &Places,
        symbols: &mut Symbols,
    ) -> Option<Symbol> {
        let (request, from) = (head.message, head.from);
        let contact = head.contact.filter(|contact| contact.is_focus());
        let conversation = request.value(Name::ConversationId);
        if dialog.is_some() && conversation.is_none() && contact.is_none() {
            return dialog;
        }
        let focus = contact.map(|contact| uri_key(&contact.uri));
        let known = [conversation, focus.as_deref()].into_iter().flatten().find_map(|alias| self.get(alias));
        let target = if known.is_none() { request.target().ok().map(|uri| uri_key(&uri)) } else { None };
        let known = known.or_else(|| self.get(target.as_deref()?));
        let known = known.or_else(|| {
            let ends = [head.to, from].into_iter().flatten();
            ends.map(|end| uri_key(&end.uri)).find_map(|alias| self.get(&alias))
        });
        if known.is_none() && focus.is_none() && !names_group_service(request) {
            return dialog;
        }
        let symbol = known.or_else(|| {
            let name = conversation.or(focus.as_deref()).or(target.as_deref())?;
            Some(symbols.of(Thing::Group, name))
        });
        let Some(symbol) = symbol else { return dialog };
        if let Some(conversation) = conversation {
            self.learn(conversation, symbol, None);
        }
        if let (Some(focus), Some(contact)) = (&focus, contact) {
            self.learn(focus, symbol, Some(contact.uri.text));
            // A focus that invites writes its own URI in From as well.
            if let Some(from) = from.filter(|from| places.user(&from.uri).is_none()) {
                self.learn(&uri_key(&from.uri), symbol, Some(from.uri.text));
            }
        }
        dialog.or(Some(symbol))
    }

    /// The group of a response: that of its request, or of the focus in its Contact.
    pub(super) fn of_response(&mut self, response: &Head<'_>, group: Option<Symbol>, symbols: &mut Symbols) -> Option<Symbol> {
        let Some(contact) = response.contact.filter(|contact| contact.is_focus()) else { return group };
        let key = uri_key(&contact.uri);
        let symbol = group
            .or_else(|| self.get(&key))
            .unwrap_or_else(|| symbols.of(Thing::Group, response.message.value(Name::ConversationId).unwrap_or(&key)));
        self.learn(&key, symbol, Some(contact.uri.text));
        Some(symbol)
    }

    fn learn(&mut self, alias: &str, symbol: Symbol, uri: Option<&str>) {
        if self.get(alias).is_some() {
            return;
        }
        self.aliases.insert(alias.to_owned(), symbol);
        if let Some(uri) = uri {
            self.learnt.push((symbol, uri.to_owned()));
        }
    }

    pub(super) fn learnt(&mut self, symbols: &Symbols) -> Vec<(String, String)> {
        if self.learnt.is_empty() {
            return Vec::new();
        }
        self.learnt.drain(..).map(|(symbol, uri)| (symbols.name(symbol).to_owned(), uri)).collect()
    }
}

fn names_group_service(request: &Message) -> bool {
    [Name::PAssertedService, Name::PPreferredService]
        .into_iter()
        .flat_map(|name| request.values(name))
        .any(|service| service.trim().ends_with(".group"))
}

/// The value of `imdn.Message-ID` in a CPIM message, under whatever prefix NS declares
/// (RFC 5438 6.3, RFC 3862 2.3). Only the CPIM header section is looked at.
pub(super) fn imdn_message_id(body: &[u8]) -> Option<&str> {
    const NAME: &[u8] = b".Message-ID:";
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(NAME));
    let at = FINDER.find(body)?;
    let start = memchr::memrchr(b'\n', &body[..at]).map_or(0, |feed| feed + 1);
    let rest = body.get(at + NAME.len()..)?;
    let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
    let is_prefix = at > start && body[start..at].iter().all(u8::is_ascii_alphanumeric);
    std::str::from_utf8(&rest[..end]).ok().map(str::trim).filter(|id| is_prefix && !id.is_empty())
}
