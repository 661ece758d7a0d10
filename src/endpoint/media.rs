//! The MSRP side of a node: connections on the MSRP port, and those opened for MSRP.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::engine::{Closure, Input, Output, Transport};
use crate::msrp::{Accept, Action, Outgoing, Report, Token};
use crate::time::Instant;
use crate::wire::sip::Host;

use super::{Endpoint, Event, MsrpId};

impl Endpoint {
    /// A new MSRP session and its own path for `a=path`.
    pub fn msrp_open(&mut self) -> (MsrpId, String) {
        self.msrp.open()
    }

    /// The path of a session goes into an offer that may fork.
    pub fn msrp_forks(&mut self, session: MsrpId) {
        self.msrp.forks(session);
    }

    /// A session for a further answer to the offer of `session`, under the same path.
    pub fn msrp_fork(&mut self, session: MsrpId) -> MsrpId {
        self.msrp.fork(session)
    }

    /// Says what a session takes; without it everything within the limits.
    pub fn msrp_accept(&mut self, session: MsrpId, accept: Accept) {
        self.msrp.accept(session, accept);
    }

    /// Binds a session to its peer: the active side connects, the passive one waits (RFC 6135).
    pub fn msrp_start(&mut self, now: Instant, session: MsrpId, remote_path: &str, active: bool) {
        self.msrp.start(now, session, remote_path, active);
        self.pump_msrp(now);
    }

    /// Sends a message and returns its Message-ID.
    pub fn msrp_send(&mut self, now: Instant, session: MsrpId, message: Outgoing) -> String {
        let message_id = self.msrp.send(now, session, message);
        self.pump_msrp(now);
        message_id
    }

    /// Answers the last chunk of a received message.
    pub fn msrp_answer(&mut self, now: Instant, session: MsrpId, token: Token, code: u16) {
        self.msrp.answer(now, session, token, code);
        self.pump_msrp(now);
    }

    /// Sends a REPORT.
    pub fn msrp_report(&mut self, now: Instant, session: MsrpId, report: Report) {
        self.msrp.report(now, session, &report);
        self.pump_msrp(now);
    }

    /// Sends bytes as they are on the connection of a session.
    pub fn msrp_raw(&mut self, now: Instant, session: MsrpId, data: Bytes) {
        if !self.msrp.send_raw(session, data) {
            self.transport.note("msrp", "raw bytes not sent: the session has no connection");
        }
        self.pump_msrp(now);
    }

    /// Ends a session and its connection, unless another session uses that.
    pub fn msrp_close(&mut self, now: Instant, session: MsrpId, how: Closure) {
        self.msrp.close(now, session, how);
        self.pump_msrp(now);
    }

    /// The own and the peer's path of a session.
    pub fn msrp_paths(&self, session: MsrpId) -> Option<(&str, &str)> {
        self.msrp.paths(session)
    }

    /// Resets every connection of this node, SIP and MSRP.
    pub fn disconnect(&mut self, now: Instant) {
        self.transport.disconnect(now);
        self.msrp.disconnect(now);
        self.pump_msrp(now);
    }

    /// Takes an input that is not for SIP.
    pub(super) fn on_media_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Accepted { connection, local, .. } if local.port() == self.config().msrp.port() => {
                self.msrp.handle_accepted(now, connection);
            }
            Input::Accepted { connection, .. } => {
                self.transport.push_output(Output::Close { connection, how: Closure::Reset });
            }
            Input::Connected { connection, .. } => self.msrp.handle_connected(now, connection),
            Input::Received { connection, data } => self.msrp.handle_received(now, connection, &data),
            Input::Closed { connection, how } => self.msrp.handle_closed(now, connection, how),
            Input::Datagram { .. } | Input::Committed { .. } | Input::Timeout => {}
        }
        self.pump_msrp(now);
    }

    pub(super) fn on_media_timeout(&mut self, now: Instant) {
        self.msrp.handle_timeout(now);
        self.pump_msrp(now);
    }

    /// Carries out what the MSRP machines ask for, and passes on what they tell.
    fn pump_msrp(&mut self, now: Instant) {
        while let Some(action) = self.msrp.poll_action() {
            match action {
                Action::Connect { connection, host, port, secure } => match self.config().hosts.resolve(Host(&host)) {
                    Some(address) => {
                        let transport = if secure { Transport::Tls } else { Transport::Tcp };
                        let peer = SocketAddr::new(address, port);
                        self.transport.push_output(Output::Connect { connection, transport, peer });
                    }
                    None => {
                        self.transport.note("msrp", format!("cannot connect: `{host}` is unknown"));
                        self.msrp.handle_closed(now, connection, Closure::Refused);
                    }
                },
                Action::Send { connection, data } => self.transport.push_output(Output::Send { connection, data }),
                Action::Close { connection, how } => self.transport.push_output(Output::Close { connection, how }),
                Action::Note(note) => self.transport.push_output(Output::Note(note)),
            }
        }
        while let Some((session, event)) = self.msrp.poll_event() {
            self.events.push_back(Event::Msrp { session, event });
        }
    }
}
