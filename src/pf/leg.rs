//! One leg of the B2BUA: a dialog with its session timer, and the MSRP session beside it.

use super::media::{self, Own, Remote, Setup};
use crate::endpoint::{Config, DialogId, Endpoint, MsrpId};
use crate::ids::Ids;
use crate::time::Instant;
use crate::wire::sip::header::{Refresher, SessionExpires};
use crate::wire::sip::{Builder, Message, Name};

/// The session interval that the PF asks for (RFC 4028 4).
pub(super) const SESSION_EXPIRES: u32 = 1800;
/// The smallest session interval that the PF takes (RFC 4028 5).
pub(super) const MIN_SE: u32 = 90;

/// The PF's end of one MSRP session, and what was said of it in SDP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Media {
    /// The session.
    pub(super) session: MsrpId,
    /// Our latest description.
    pub(super) sdp: String,
    /// What the peer said; `None` while its description is due.
    pub(super) remote: Option<Remote>,
    path: String,
    origin: u64,
    version: u32,
    /// Whether a description was written; its version counts then.
    described: bool,
    setup: Setup,
    /// The path of the peer to which the session was started.
    started: String,
}

impl Media {
    /// Opens an MSRP session that nothing has been said of.
    pub(super) fn open(endpoint: &mut Endpoint, ids: &mut Ids) -> Self {
        let (session, path) = endpoint.msrp_open();
        let origin = 3_000_000_000 + ids.below(1_000_000_000);
        Self {
            session,
            described: false,
            path,
            origin,
            version: 0,
            setup: Setup::ActPass,
            sdp: String::new(),
            remote: None,
            started: String::new(),
        }
    }

    /// Opens an MSRP session for a dialog of the process before: descriptions go on from its last
    /// one, under the next version (RFC 3264 8).
    pub(super) fn reopen(endpoint: &mut Endpoint, ids: &mut Ids, (origin, version): (u64, u32)) -> Self {
        Self { origin, version, described: true, ..Self::open(endpoint, ids) }
    }

    /// The medium of a further answer to the same offer: a session of its own under the same path.
    pub(super) fn fork(&self, endpoint: &mut Endpoint) -> Self {
        let session = endpoint.msrp_fork(self.session);
        Self { session, setup: Setup::ActPass, remote: None, started: String::new(), ..self.clone() }
    }

    /// The number and the version of its descriptions.
    pub(super) const fn origin(&self) -> (u64, u32) {
        (self.origin, self.version)
    }

    fn own(&self, config: &Config, version: u32) -> Own<'_> {
        Own { address: config.msrp, path: &self.path, setup: self.setup, origin: self.origin, version }
    }

    /// Writes a description: one that says the same as the last keeps its version, any other gets
    /// the next (RFC 3264 8).
    fn describe(&mut self, config: &Config, write: impl Fn(&Own<'_>) -> String) -> String {
        if self.described && write(&self.own(config, self.version)) != self.sdp {
            self.version += 1;
        }
        self.described = true;
        self.sdp = write(&self.own(config, self.version));
        self.sdp.clone()
    }

    /// Writes an offer with the content attributes of `template`. Once the session has started its
    /// roles stay as they are (RFC 4145 4).
    pub(super) fn offer(&mut self, config: &Config, template: &str, direction: Option<&str>) -> String {
        if self.started.is_empty() {
            self.setup = Setup::ActPass;
        }
        self.describe(config, |own| media::offer(template, own, direction))
    }

    /// Answers `offer`, which `remote` was read from, with the content attributes of `attributes`.
    pub(super) fn answer(&mut self, config: &Config, offer: &str, remote: Remote, attributes: &str) -> String {
        self.setup = if self.started.is_empty() { remote.chosen_setup() } else { remote.kept_setup(self.setup) };
        self.remote = Some(remote);
        self.describe(config, |own| media::answer(offer, attributes, own))
    }

    /// Starts the session once the peer's description is known, and again when its path changes.
    pub(super) fn start(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let Some(remote) = self.remote.as_ref().filter(|remote| remote.path != self.started) else { return };
        let active = match self.setup {
            Setup::Active => true,
            Setup::Passive => false,
            Setup::ActPass => remote.answered_passive(),
        };
        self.setup = if active { Setup::Active } else { Setup::Passive };
        remote.path.clone_into(&mut self.started);
        endpoint.msrp_start(now, self.session, &remote.path, active);
    }
}

/// A leg whose dialog is confirmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Leg {
    /// The dialog.
    pub(super) dialog: DialogId,
    /// The media side.
    pub(super) media: Media,
    /// Whether the ACK has come, or was sent: before it the UAS must not send BYE (RFC 3261 15).
    pub(super) acknowledged: bool,
    /// Whether the peer allows UPDATE.
    pub(super) updates: bool,
    /// The session interval in force; 0 without a session timer.
    pub(super) interval: u32,
    /// The instance of the peer, as its Contact tells.
    pub(super) device: Option<String>,
}

impl Leg {
    /// The leg whose 2xx, or whose INVITE, is `message`; `ours` is the 2xx when we wrote it.
    pub(super) fn new(dialog: DialogId, media: Media, message: &Message, acknowledged: bool) -> Self {
        let device = super::headers::instance_of(message);
        let mut leg = Self { dialog, media, acknowledged, updates: false, interval: 0, device };
        leg.learn(message);
        leg
    }

    /// Takes over what a message of the peer says of UPDATE and of the session timer.
    pub(super) fn learn(&mut self, message: &Message) {
        if message.field(Name::Allow).is_some() {
            self.updates = message.elements(Name::Allow).any(|method| method == "UPDATE");
        }
        self.interval = session_expires(message).map_or(0, |session| session.seconds);
    }
}

/// Session-Expires of a message.
pub(super) fn session_expires(message: &Message) -> Option<SessionExpires> {
    SessionExpires::parse(message.value(Name::SessionExpires)?).ok()
}

/// Adds the session timer to a 2xx (RFC 4028 9): the interval that was asked for, ours if none was.
///
/// The peer refreshes if it can: it is the one whose silence has to be noticed.
pub(super) fn with_session_timer(response: Builder, request: &Message) -> Builder {
    let supported = request.elements(Name::Supported).any(|option| option == "timer");
    let asked = session_expires(request);
    let refresher = match asked.and_then(|session| session.refresher) {
        Some(refresher) if supported => refresher,
        None if supported => Refresher::Uac,
        _ => Refresher::Uas,
    };
    let seconds = asked.map_or(SESSION_EXPIRES, |session| session.seconds);
    let response = response.push("Supported", "timer");
    let response = if supported { response.push("Require", "timer") } else { response };
    response.push("Session-Expires", format!("{seconds};refresher={refresher}"))
}

/// Whether the session interval of a request is too small for us (RFC 4028 8.1).
pub(super) fn interval_too_small(request: &Message) -> bool {
    let supported = request.elements(Name::Supported).any(|option| option == "timer");
    supported && session_expires(request).is_some_and(|session| session.seconds < MIN_SE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn request(fields: &str) -> Message {
        let text = format!("INVITE sip:a@b.example SIP/2.0\r\nCSeq: 1 INVITE\r\n{fields}Content-Length: 0\r\n\r\n");
        Message::decode(Bytes::from(text)).expect("a message")
    }

    fn timer(fields: &str) -> String {
        let response = with_session_timer(Builder::response(200, "OK"), &request(fields));
        format!("{} {}", response.value("Require").unwrap_or("-"), response.value("Session-Expires").unwrap_or("-"))
    }

    #[test]
    fn the_peer_refreshes_when_it_can() {
        assert_eq!(timer("Supported: timer\r\nSession-Expires: 600\r\n"), "timer 600;refresher=uac");
        assert_eq!(timer("Supported: timer\r\nx: 600;refresher=uas\r\n"), "timer 600;refresher=uas");
        assert_eq!(timer("Supported: timer\r\n"), "timer 1800;refresher=uac");
        assert_eq!(timer(""), "- 1800;refresher=uas");
    }

    #[test]
    fn an_interval_below_ninety_seconds_is_too_small() {
        assert!(interval_too_small(&request("k: timer\r\nSession-Expires: 89\r\n")));
        assert!(!interval_too_small(&request("k: timer\r\nSession-Expires: 90\r\n")));
        assert!(!interval_too_small(&request("Session-Expires: 30\r\n")));
    }
}
