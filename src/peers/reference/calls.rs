//! The 1-1 sessions of a reference Client: it opens one, writes what it has to say, and ends it;
//! those of others it takes part in until they end them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::endpoint::{DialogId, TransactionId};
use crate::time::Instant;

/// How long a session may take to get its MSRP connection before something is written.
const CONNECT: Duration = Duration::from_secs(1);

/// What is written in a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Letter {
    /// Whom it is for.
    pub(super) to: String,
    pub(super) texts: Vec<String>,
    /// Whether delivery notifications are asked for.
    pub(super) notify: bool,
}

/// What a session is due for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Write(Letter),
    HangUp,
}

/// A session that the Client has opened: what comes next in it, and when.
#[derive(Clone, Debug)]
struct Call {
    next: Due,
    at: Instant,
    /// How long it lasts once everything is written.
    lasts: Duration,
}

/// The 1-1 sessions of a Client.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    opening: BTreeMap<TransactionId, (Letter, Duration)>,
    opened: BTreeMap<DialogId, Call>,
    taken: BTreeSet<DialogId>,
}

impl Calls {
    /// An INVITE is under way.
    pub(super) fn open(&mut self, invite: TransactionId, letter: Letter, lasts: Duration) {
        self.opening.insert(invite, (letter, lasts));
    }

    /// The INVITE was accepted; whether it was one of these.
    pub(super) fn accepted(&mut self, now: Instant, invite: TransactionId, dialog: DialogId) -> bool {
        let opening = self.opening.remove(&invite);
        if let Some((letter, lasts)) = opening {
            self.opened.insert(dialog, Call { next: Due::Write(letter), at: now + CONNECT, lasts });
            return true;
        }
        false
    }

    /// The INVITE has failed.
    pub(super) fn refused(&mut self, invite: TransactionId) {
        self.opening.remove(&invite);
    }

    /// Somebody else's INVITE was accepted.
    pub(super) fn take(&mut self, dialog: DialogId) {
        self.taken.insert(dialog);
    }

    /// A session is over.
    pub(super) fn forget(&mut self, dialog: DialogId) {
        self.opened.remove(&dialog);
        self.taken.remove(&dialog);
    }

    /// When something is due next.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.opened.values().map(|call| call.at).min()
    }

    /// What is due now in one of the sessions.
    pub(super) fn due(&mut self, now: Instant) -> Option<(DialogId, Due)> {
        let (dialog, call) = self.opened.iter_mut().find(|(_, call)| call.at <= now)?;
        let (dialog, due) = (*dialog, std::mem::replace(&mut call.next, Due::HangUp));
        call.at = now + call.lasts;
        if due == Due::HangUp {
            self.opened.remove(&dialog);
        }
        Some((dialog, due))
    }

    /// All sessions, which are over with that.
    pub(super) fn drain(&mut self) -> Vec<DialogId> {
        self.opening.clear();
        let opened = std::mem::take(&mut self.opened).into_keys();
        opened.chain(std::mem::take(&mut self.taken)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_written_into_and_then_ended() {
        let (invite, dialog) = (TransactionId(1), DialogId(1));
        let letter = Letter { to: "sip:a@b.example".to_owned(), texts: vec!["hello".to_owned()], notify: false };
        let mut calls = Calls::default();
        calls.open(invite, letter.clone(), Duration::from_secs(9));
        assert_eq!(calls.wake(), None);
        assert!(calls.accepted(Instant::ZERO, invite, dialog));
        assert_eq!(calls.due(Instant::ZERO), None, "the connection is not there yet");
        let then = Instant::ZERO + CONNECT;
        assert_eq!(calls.wake(), Some(then));
        assert_eq!(calls.due(then), Some((dialog, Due::Write(letter))));
        assert_eq!(calls.due(then), None);
        let end = then + Duration::from_secs(9);
        assert_eq!(calls.due(end), Some((dialog, Due::HangUp)));
        assert_eq!(calls.wake(), None);
    }
}
