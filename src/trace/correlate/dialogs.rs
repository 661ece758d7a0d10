//! Dialogs and subscriptions (RFC 3261 12, RFC 6665), as an onlooker sees them.
//!
//! A request that may open a dialog is known by Call-ID and From tag at first. The first To tag
//! that answers it completes that same entry; every further one, of a fork, makes an entry of its
//! own.

use std::collections::BTreeMap;

use super::head::Head;
use super::{Facts, Symbol, Symbols};
use crate::trace::event::Party;
use crate::wire::sip::header::Token;
use crate::wire::sip::{Message, Name};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct DialogId(usize);

/// What is known of one dialog.
#[derive(Clone, Debug)]
pub(super) struct Dialog {
    pub(super) symbol: Symbol,
    /// The end that is not the IUT.
    pub(super) peer: Party,
    pub(super) user: Option<Symbol>,
    pub(super) device: Option<Symbol>,
    pub(super) group: Option<Symbol>,
    pub(super) with_sender: bool,
    subscription: Option<Symbol>,
    /// Whether a To tag was seen that belongs to it.
    has_both_tags: bool,
    ended: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Dialogs {
    all: Vec<Dialog>,
    /// By Call-ID and both tags, the smaller one first: the direction does not matter.
    full: BTreeMap<String, DialogId>,
    /// By Call-ID and the tag of whoever opened it.
    half: BTreeMap<String, DialogId>,
}

fn full_key<'a>(scratch: &'a mut String, call_id: &str, one: &str, two: &str) -> &'a str {
    let (low, high) = if one <= two { (one, two) } else { (two, one) };
    scratch.clear();
    scratch.extend([call_id, "\n", low, "\n", high]);
    scratch
}

fn half_key<'a>(scratch: &'a mut String, call_id: &str, tag: &str) -> &'a str {
    scratch.clear();
    scratch.extend([call_id, "\n", tag]);
    scratch
}

struct Tags<'a> {
    call_id: &'a str,
    from: &'a str,
    to: Option<&'a str>,
}

fn tags<'a>(head: &Head<'a>) -> Option<Tags<'a>> {
    Some(Tags { call_id: head.call_id?, from: head.from_tag?, to: head.to_tag })
}

impl Dialogs {
    pub(super) fn get(&self, id: DialogId) -> &Dialog {
        &self.all[id.0]
    }

    pub(super) fn has_ended(&self, id: DialogId) -> bool {
        self.all[id.0].ended
    }

    /// The dialog that a message belongs to. A NOTIFY may overtake the response that would have
    /// told its tag (RFC 6665 4.1.2.4): then the opener's tag, which is its To tag, finds it.
    pub(super) fn find(&mut self, head: &Head<'_>, scratch: &mut String) -> Option<DialogId> {
        let tags = tags(head)?;
        let to = tags.to?;
        if let Some(id) = self.full.get(full_key(scratch, tags.call_id, tags.from, to)) {
            let id = *id;
            self.note_end(id, head);
            return Some(id);
        }
        if !head.message.is_request() {
            return None;
        }
        let id = *self.half.get(half_key(scratch, tags.call_id, to))?;
        (!self.all[id.0].has_both_tags).then(|| self.complete(id, &tags, to, scratch))
    }

    fn complete(&mut self, id: DialogId, tags: &Tags<'_>, to: &str, scratch: &mut String) -> DialogId {
        self.all[id.0].has_both_tags = true;
        self.full.insert(full_key(scratch, tags.call_id, tags.from, to).to_owned(), id);
        id
    }

    fn note_end(&mut self, id: DialogId, head: &Head<'_>) {
        if head.message.is_request() && head.method == "BYE" {
            self.all[id.0].ended = true;
        }
    }

    /// The entry of a request that opens a dialog or belongs to one that was not seen to begin.
    pub(super) fn open(
        &mut self,
        request: &Head<'_>,
        facts: &Facts,
        peer: &Party,
        symbols: &mut Symbols,
        scratch: &mut String,
    ) -> Option<DialogId> {
        let tags = tags(request)?;
        let opens = matches!(request.method, "INVITE" | "SUBSCRIBE" | "REFER");
        if tags.to.is_none() && !opens {
            return None;
        }
        let id = DialogId(self.all.len());
        self.all.push(Dialog {
            symbol: symbols.fresh(tags.call_id),
            peer: peer.clone(),
            user: facts.user,
            device: facts.device,
            group: facts.group,
            with_sender: facts.with_sender,
            subscription: None,
            has_both_tags: tags.to.is_some(),
            ended: false,
        });
        match tags.to {
            Some(to) => {
                self.full.insert(full_key(scratch, tags.call_id, tags.from, to).to_owned(), id);
                self.note_end(id, request);
            }
            None => {
                self.half.insert(half_key(scratch, tags.call_id, tags.from).to_owned(), id);
            }
        }
        Some(id)
    }

    /// Adds what a further message of the dialog tells.
    pub(super) fn enrich(&mut self, id: DialogId, facts: &Facts) {
        let dialog = &mut self.all[id.0];
        dialog.group = dialog.group.or(facts.group);
        dialog.user = dialog.user.or(facts.user);
    }

    /// The dialog that a response belongs to, given the one of its request.
    pub(super) fn of_response(
        &mut self,
        opened: DialogId,
        response: &Head<'_>,
        symbols: &mut Symbols,
        scratch: &mut String,
    ) -> DialogId {
        let establishes = response.message.status().is_some_and(|status| (101..300).contains(&status));
        let Some(tags) = tags(response) else { return opened };
        let (Some(to), true) = (tags.to, establishes) else { return opened };
        if let Some(id) = self.full.get(full_key(scratch, tags.call_id, tags.from, to)) {
            return *id;
        }
        if !self.all[opened.0].has_both_tags {
            return self.complete(opened, &tags, to, scratch);
        }
        let mut fork = self.all[opened.0].clone();
        fork.symbol = symbols.fresh(tags.call_id);
        fork.ended = false;
        let id = DialogId(self.all.len());
        self.all.push(fork);
        self.complete(id, &tags, to, scratch)
    }

    /// Adds what a response tells: which device answered, whether the dialog ever came to be.
    pub(super) fn refine(&mut self, id: DialogId, facts: &Facts, peer: &Party, response: &Message) {
        let dialog = &mut self.all[id.0];
        dialog.group = dialog.group.or(facts.group);
        if response.status().is_some_and(|status| (200..300).contains(&status)) && peer.device.is_some() {
            dialog.peer.clone_from(peer);
            dialog.device = facts.device.or(dialog.device);
        }
    }

    /// The subscription of a SUBSCRIBE or NOTIFY.
    pub(super) fn subscription(&mut self, id: DialogId, request: &Head<'_>, symbols: &mut Symbols) -> Option<Symbol> {
        if !matches!(request.method, "SUBSCRIBE" | "NOTIFY") {
            return None;
        }
        let dialog = &mut self.all[id.0];
        let event = request.message.value(Name::Event).and_then(|value| Token::parse(value).ok());
        let name = event.map_or("", |event| event.value);
        Some(*dialog.subscription.get_or_insert_with(|| symbols.fresh(&[name, " ", request.call_id.unwrap_or("")].concat())))
    }

    /// The subscription that a response to a SUBSCRIBE or NOTIFY belongs to.
    pub(super) fn subscription_of(&self, id: DialogId, response: &Head<'_>) -> Option<Symbol> {
        matches!(response.method, "SUBSCRIBE" | "NOTIFY").then_some(self.all[id.0].subscription)?
    }
}
