//! What is wrong about a description that could be read.

use super::{Lines, Row, Sdp, Setup};
use crate::wire::msrp::{MsrpUri, paths};
use crate::wire::{Level, Violation};

/// The letters of RFC 8866 9 in their order, before and after the first media line.
const SESSION_ORDER: &[u8] = b"vosiuepcbtrzka";
const MEDIA_ORDER: &[u8] = b"micbka";

/// Checks a description: the order of its lines, and the attributes of MSRP media.
pub fn validate(sdp: &Sdp) -> Vec<Violation> {
    let mut check = Check { sdp, found: Vec::new() };
    check.lines();
    check.order();
    check.presence();
    check.directions();
    if sdp.is_message() && !sdp.is_refused() {
        check.message();
    }
    check.found.sort_by_key(|violation| violation.offset);
    check.found
}

struct Check<'a> {
    sdp: &'a Sdp,
    found: Vec<Violation>,
}

impl Check<'_> {
    fn error(&mut self, code: &'static str, offset: usize, rfc: &'static str, message: impl Into<String>) {
        self.found.push(Violation { code, level: Level::Error, offset, rfc, message: message.into() });
    }

    fn lines(&mut self) {
        let sdp = self.sdp;
        for row in &sdp.rows {
            if row.letter == 0 {
                self.error("sdp-empty-line", row.value.start, "RFC 8866 5", "an empty line");
            } else if !row.strict {
                let message = "a line does not end in CRLF".to_owned();
                let (code, level, offset, rfc) = ("sdp-line-end", Level::Warning, row.value.end, "RFC 8866 5");
                self.found.push(Violation { code, level, offset, rfc, message });
            }
        }
    }

    fn order(&mut self) {
        let sdp = self.sdp;
        let (mut order, mut reached) = (SESSION_ORDER, 0);
        for row in sdp.rows.iter().filter(|row| row.letter != 0) {
            if row.letter == b'm' {
                (order, reached) = (MEDIA_ORDER, 0);
                continue;
            }
            match order.iter().position(|letter| *letter == row.letter) {
                Some(at) if at < reached && !is_repeating(order, row.letter, reached) => {
                    self.error(
                        "sdp-order",
                        row.value.start - 2,
                        "RFC 8866 5",
                        format!("{}= stands too late", char::from(row.letter)),
                    );
                }
                Some(at) => reached = reached.max(at),
                None => {
                    self.error(
                        "sdp-letter",
                        row.value.start - 2,
                        "RFC 8866 5",
                        format!("{}= has no place here", char::from(row.letter)),
                    );
                }
            }
        }
    }

    fn presence(&mut self) {
        for letter in [b'o', b's', b't'] {
            if !self.sdp.rows.iter().any(|row| row.letter == letter) {
                self.error("sdp-missing-line", 0, "RFC 8866 5", format!("{}= is missing", char::from(letter)));
            }
        }
        let everywhere = self.sdp.medias().all(|media| media.below.connection().is_some());
        if self.sdp.top().connection().is_none() && !everywhere {
            self.error("sdp-connection", 0, "RFC 8866 5.7", "neither the session nor each media has a c= line");
        }
    }

    fn directions(&mut self) {
        let many = |lines: Lines<'_>| lines.directions().nth(1).is_some();
        if many(self.sdp.top()) || self.sdp.medias().any(|media| many(media.below)) {
            let at = self.at("sendrecv").max(self.at("sendonly")).max(self.at("recvonly")).max(self.at("inactive"));
            self.error("sdp-direction", at, "RFC 8866 6.7", "more than one direction at one level");
        }
    }

    fn message(&mut self) {
        let sdp = self.sdp;
        let media_at = sdp.rows.iter().find(|row| row.letter == b'm').map_or(0, |row| row.value.start);
        if !matches!(sdp.proto(), Some("TCP/MSRP" | "TCP/TLS/MSRP")) {
            let proto = sdp.proto().unwrap_or("").to_owned();
            self.error("sdp-msrp-proto", media_at, "RFC 4975 8.1", format!("`{proto}` is neither TCP/MSRP nor TCP/TLS/MSRP"));
        }
        if sdp.media().is_some_and(|media| media.fmt != "*") {
            self.error("sdp-msrp-format", media_at, "RFC 4975 8.1", "the format of message media is not `*`");
        }
        if sdp.accept_types().next().is_none() {
            self.error("sdp-accept-types", media_at, "RFC 4975 8.6", "accept-types is missing");
        }
        self.path(media_at);
        self.setup();
        if sdp.attribute("max-size").is_some() && sdp.max_size().is_none() {
            self.error("sdp-max-size", self.at("max-size"), "RFC 4975 8.6", "max-size is no number");
        }
    }

    fn path(&mut self, media_at: usize) {
        let sdp = self.sdp;
        let Some(path) = sdp.path() else {
            return self.error("sdp-path", media_at, "RFC 4975 8.2", "path is missing");
        };
        let at = self.at("path");
        for uri in paths(path) {
            match MsrpUri::parse(uri) {
                Ok(uri) if uri.session.is_none_or(str::is_empty) => {
                    self.error("sdp-path", at, "RFC 4975 6", format!("`{}` names no session", uri.text));
                }
                Ok(uri) if uri.secure != (sdp.proto() == Some("TCP/TLS/MSRP")) => {
                    self.error("sdp-path", at, "RFC 4975 8.2", "the scheme of the path does not fit the protocol");
                }
                Ok(_) => {}
                Err(fault) => self.error("sdp-path", at, "RFC 4975 9", format!("`{uri}`: {fault}")),
            }
        }
    }

    fn setup(&mut self) {
        let Some(value) = self.sdp.attribute("setup") else { return };
        match Setup::of(value.trim()) {
            Some(Setup::Active | Setup::Passive | Setup::ActPass) => {}
            Some(Setup::HoldConn) => {
                self.error("sdp-setup", self.at("setup"), "RFC 6135 4.2", "holdconn is not used with MSRP");
            }
            None => self.error("sdp-setup", self.at("setup"), "RFC 4145 4", format!("`{value}` is no setup role")),
        }
    }

    /// Where the last attribute of this name stands.
    fn at(&self, name: &str) -> usize {
        let is = |row: &&Row| {
            let value = &self.sdp.raw.bytes()[row.value.clone()];
            row.letter == b'a' && value.split(|byte| *byte == b':').next() == Some(name.as_bytes())
        };
        self.sdp.rows.iter().rev().find(is).map_or(0, |row| row.value.start)
    }
}

/// Whether the letter may come again after later ones: a time description is a group `t=`, `r=`.
fn is_repeating(order: &[u8], letter: u8, reached: usize) -> bool {
    matches!(letter, b't' | b'r') && order.get(reached).is_some_and(|last| matches!(last, b't' | b'r'))
}
