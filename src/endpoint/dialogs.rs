//! The dialogs of one node, by identifier and by what identifies them on the wire.

use std::collections::BTreeMap;

use crate::sip::dialog::{Dialog, DialogId, DialogKey};
use crate::sip::session::Session;
use crate::sip::subscription::{Notifier, SubscriptionId};
use crate::sip::transaction::TransactionId;

/// One dialog and its usages (RFC 5057).
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) dialog: Dialog,
    /// The INVITE usage.
    pub(super) session: Session,
    pub(super) has_invite: bool,
    pub(super) has_subscription: bool,
    /// Our subscription that lives in it.
    pub(super) subscription: Option<SubscriptionId>,
    /// The peer's subscription that lives in it.
    pub(super) notifier: Option<(SubscriptionId, Notifier)>,
    /// The number of our latest INVITE; its ACK carries it too.
    pub(super) invite_cseq: u32,
    /// The number of the peer's INVITE, and its transaction, whose 2xx waits for the ACK.
    pub(super) awaited_ack: Option<(u32, TransactionId)>,
}

impl Entry {
    pub(super) fn new(dialog: Dialog) -> Self {
        let invite_cseq = dialog.local_cseq;
        Self {
            dialog,
            session: Session::default(),
            has_invite: false,
            has_subscription: false,
            subscription: None,
            notifier: None,
            invite_cseq,
            awaited_ack: None,
        }
    }
}

/// The dialogs of one node.
#[derive(Debug, Default)]
pub(super) struct Dialogs {
    next: u32,
    entries: BTreeMap<DialogId, Entry>,
    by_key: BTreeMap<DialogKey, DialogId>,
}

impl Dialogs {
    pub(super) fn insert(&mut self, entry: Entry) -> DialogId {
        self.next += 1;
        let id = DialogId(self.next);
        self.by_key.insert(entry.dialog.key(), id);
        self.entries.insert(id, entry);
        id
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.by_key.is_empty()
    }

    pub(super) fn find(&self, key: &DialogKey) -> Option<DialogId> {
        self.by_key.get(key).copied()
    }

    pub(super) fn get(&self, id: DialogId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: DialogId) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    pub(super) fn remove(&mut self, id: DialogId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.by_key.remove(&entry.dialog.key());
        Some(entry)
    }
}

impl super::Endpoint {
    /// Takes up a confirmed dialog that another process of this node had: requests within it match
    /// again. Its session timer starts with the next refresh.
    pub fn restore_dialog(&mut self, dialog: Dialog) -> DialogId {
        let mut entry = Entry::new(dialog);
        entry.has_invite = true;
        self.dialogs.insert(entry)
    }
}
