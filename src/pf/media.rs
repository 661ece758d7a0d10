//! SDP at an intermediate node: what the PF replaces and what it passes (5.2.1.2 as reconstructed).
//!
//! Address, port, path, set-up role and origin are the PF's own on each leg; accept lists, sizes
//! and unknown attributes go through. Only the first message medium is taken; others are refused.

use std::fmt::Write;
use std::net::SocketAddr;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::wire::cpim::{self, Cpim};

/// Which side opens the MSRP connection (RFC 6135 4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Setup {
    /// An offer leaves it open.
    ActPass,
    /// We connect.
    Active,
    /// The peer connects.
    Passive,
}

/// What the PF says of itself in one description.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own<'a> {
    /// Where it takes MSRP connections.
    pub(super) address: SocketAddr,
    /// Its path.
    pub(super) path: &'a str,
    /// Its part in the set-up of the connection.
    pub(super) setup: Setup,
    /// The session number of `o=`.
    pub(super) origin: u64,
    /// The version of `o=`.
    pub(super) version: u32,
}

impl Own<'_> {
    /// Whether it speaks MSRP over TLS alone.
    fn is_secure(&self) -> bool {
        self.path.starts_with("msrps:")
    }
}

/// What the peer said of its medium.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Remote {
    /// Its `o=` line: equal lines are equal descriptions.
    pub(super) origin: String,
    /// Its path.
    pub(super) path: String,
    /// Its `a=setup`.
    pub(super) setup: Option<String>,
    /// Whether it takes messages: its direction is `sendrecv` or `recvonly`.
    pub(super) receives: bool,
    /// Its accept-types, as it wrote them; empty when it gave none.
    pub(super) accept_types: String,
    /// Its accept-wrapped-types, as it wrote them; empty when it gave none.
    pub(super) wrapped_types: String,
}

impl Remote {
    /// Whether it may be sent a message of this type (RFC 4975 8.6).
    pub(super) fn accepts(&self, content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or("").trim();
        self.accept_types.is_empty() || lists(&self.accept_types, essence)
    }

    /// Whether it takes this type inside CPIM: accept-types count there too (RFC 4975 8.6).
    pub(super) fn accepts_wrapped(&self, content_type: &str) -> bool {
        lists(&self.wrapped_types, content_type) || lists(&self.accept_types, content_type)
    }

    /// Whether it may be sent this message, with what is inside when it is a CPIM message.
    pub(super) fn takes(&self, content_type: &str, body: &Bytes) -> bool {
        let is_cpim = content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(cpim::MEDIA_TYPE));
        if !is_cpim || self.wrapped_types.is_empty() {
            return self.accepts(content_type);
        }
        let message = Cpim::decode(body.clone()).ok();
        let inner = message.as_ref().and_then(|message| message.content_type()?.split(';').next()).map(str::trim);
        self.accepts(content_type) && inner.is_none_or(|inner| self.accepts_wrapped(inner))
    }

    /// Whether we connect, given that this is the answer to our offer.
    pub(super) fn answered_passive(&self) -> bool {
        // Without a=setup the offerer connects (RFC 4975 5.4); our offers always have one.
        self.setup.as_deref().is_none_or(|setup| setup.eq_ignore_ascii_case("passive"))
    }

    /// Our part when this is an offer in a session that has started: the one that we have, unless
    /// the peer now takes it (RFC 4145 4).
    pub(super) fn kept_setup(&self, own: Setup) -> Setup {
        match self.setup.as_deref() {
            Some(setup) if setup.eq_ignore_ascii_case("passive") => Setup::Active,
            Some(setup) if setup.eq_ignore_ascii_case("active") => Setup::Passive,
            _ => own,
        }
    }

    /// Our part when this is an offer that we answer: passive wherever we may choose, since the
    /// PF can be reached and a device behind a translator cannot.
    pub(super) fn chosen_setup(&self) -> Setup {
        match self.setup.as_deref() {
            Some(setup) if setup.eq_ignore_ascii_case("passive") => Setup::Active,
            _ => Setup::Passive,
        }
    }
}

/// Reads the message medium of a description; `None` when there is none that could be used: the
/// transport of an answer is that of its offer (RFC 3264 6), so it must be ours, TLS or not.
pub(super) fn read(sdp: &str, secure: bool) -> Option<Remote> {
    let lines = lines(sdp);
    let (session, mut media) = sections(&lines);
    let medium = media.find(|section| is_message(section) && is_secure(section) == secure)?;
    let port = medium.first()?.split(' ').nth(1)?;
    let path = attribute(medium, "path").filter(|path| !path.is_empty())?;
    if port == "0" {
        return None;
    }
    let direction = direction(medium).or(direction(session)).unwrap_or("sendrecv");
    Some(Remote {
        origin: session.iter().find(|line| line.starts_with("o=")).copied().unwrap_or_default().to_owned(),
        path: path.to_owned(),
        setup: attribute(medium, "setup").map(str::to_owned),
        receives: matches!(direction, "sendrecv" | "recvonly"),
        accept_types: attribute(medium, "accept-types").unwrap_or_default().to_owned(),
        wrapped_types: attribute(medium, "accept-wrapped-types").unwrap_or_default().to_owned(),
    })
}

/// What an offer says of content when no session of the sender is known (AMB-17).
pub(super) fn default_template(accept_types: &str, accept_wrapped_types: &str) -> String {
    format!(
        "v=0\r\nm=message 2855 TCP/MSRP *\r\na=accept-types:{accept_types}\r\na=accept-wrapped-types:{accept_wrapped_types}\r\n"
    )
}

/// An offer with the attributes of `template` and our own transport, in `direction` if one is given.
pub(super) fn offer(template: &str, own: &Own<'_>, wanted: Option<&str>) -> String {
    let mut out = head(own);
    push_medium(&mut out, message_medium(&lines(template)), own, wanted);
    out
}

/// An answer to `offer` with the attributes of `attributes`: one medium for each offered one.
pub(super) fn answer(offer: &str, attributes: &str, own: &Own<'_>) -> String {
    let (offered, given) = (lines(offer), lines(attributes));
    let medium = message_medium(&given);
    let mut out = head(own);
    let mut taken = false;
    for section in sections(&offered).1 {
        if !taken && is_message(section) && is_secure(section) == own.is_secure() {
            taken = true;
            push_medium(&mut out, medium, own, Some(mirrored(section, medium)));
        } else {
            out.push_str(&refused(section));
        }
    }
    out
}

/// The direction of an answer: what the far side said, within what this side offered (RFC 3264 6.1).
fn mirrored(offered: &[&str], given: &[&str]) -> &'static str {
    let sends = |own: &[&str]| matches!(direction(own).unwrap_or("sendrecv"), "sendrecv" | "sendonly");
    let receives = |own: &[&str]| matches!(direction(own).unwrap_or("sendrecv"), "sendrecv" | "recvonly");
    match (sends(given) && receives(offered), receives(given) && sends(offered)) {
        (true, true) => "sendrecv",
        (true, false) => "sendonly",
        (false, true) => "recvonly",
        (false, false) => "inactive",
    }
}

fn head(own: &Own<'_>) -> String {
    let family = if own.address.is_ipv4() { "IP4" } else { "IP6" };
    let (ip, origin, version) = (own.address.ip(), own.origin, own.version);
    format!("v=0\r\no=- {origin} {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n")
}

fn push_medium(out: &mut String, medium: &[&str], own: &Own<'_>, wanted: Option<&str>) {
    // The active side names port 9: nobody connects to it (RFC 6135 4.3).
    let (port, setup) = match own.setup {
        Setup::ActPass => (own.address.port(), "actpass"),
        Setup::Passive => (own.address.port(), "passive"),
        Setup::Active => (9, "active"),
    };
    let direction = wanted.or(direction(medium)).unwrap_or("sendrecv");
    let proto = if own.is_secure() { "TCP/TLS/MSRP" } else { "TCP/MSRP" };
    let _ = write!(out, "m=message {port} {proto} *\r\n");
    for line in medium.iter().filter(|line| passes(line)) {
        let _ = write!(out, "{line}\r\n");
    }
    let _ = write!(out, "a=setup:{setup}\r\na=path:{}\r\na={direction}\r\n", own.path);
}

/// Attributes that say something of the session's content, and not of the way to the node.
fn passes(line: &str) -> bool {
    const OWN: [&str; 6] = ["path", "setup", "connection", "fingerprint", "msrp-cema", "holdconn"];
    let Some(attribute) = line.strip_prefix("a=") else { return false };
    let name = attribute.split(':').next().unwrap_or("");
    !OWN.contains(&name) && !DIRECTIONS.contains(&attribute.trim())
}

fn refused(section: &[&str]) -> String {
    let mut words = section.first().map(|line| line.split(' ')).into_iter().flatten();
    let (kind, _port) = (words.next().unwrap_or("m=message"), words.next());
    let rest: Vec<&str> = words.collect();
    format!("{kind} 0 {}\r\n", rest.join(" "))
}

const DIRECTIONS: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];

fn direction<'a>(section: &[&'a str]) -> Option<&'a str> {
    section.iter().filter_map(|line| line.strip_prefix("a=")).map(str::trim).find(|value| DIRECTIONS.contains(value))
}

fn attribute<'a>(section: &[&'a str], name: &str) -> Option<&'a str> {
    section.iter().filter_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':')).map(str::trim).next()
}

/// Whether a list of types names this one, or every type.
fn lists(types: &str, wanted: &str) -> bool {
    types.split(' ').any(|own| own == "*" || (!own.is_empty() && own.eq_ignore_ascii_case(wanted)))
}

fn is_message(section: &[&str]) -> bool {
    section.first().is_some_and(|line| {
        let mut words = line.split(' ');
        words.next() == Some("m=message")
            && words.nth(1).and_then(|proto| proto.rsplit_once('/')).is_some_and(|(_, last)| last.eq_ignore_ascii_case("MSRP"))
    })
}

/// Whether the medium is offered over TLS (RFC 4975 8.1).
fn is_secure(section: &[&str]) -> bool {
    section.first().and_then(|line| line.split(' ').nth(2)).is_some_and(|proto| proto.eq_ignore_ascii_case("TCP/TLS/MSRP"))
}

fn lines(sdp: &str) -> SmallVec<[&str; 24]> {
    sdp.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect()
}

/// The session lines, and the lines of each medium.
fn sections<'l, 's>(lines: &'l [&'s str]) -> (&'l [&'s str], impl Iterator<Item = &'l [&'s str]>) {
    let first = lines.iter().position(|line| line.starts_with("m=")).unwrap_or(lines.len());
    let (session, media) = lines.split_at(first);
    (session, media.chunk_by(|_, next| !next.starts_with("m=")))
}

/// The lines of the first message medium; none when there is none.
fn message_medium<'l, 's>(lines: &'l [&'s str]) -> &'l [&'s str] {
    sections(lines).1.find(|section| is_message(section)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 10.0.1.1\r\ns=-\r\nc=IN IP4 10.0.1.1\r\nt=0 0\r\n\
        m=message 2855 TCP/MSRP *\r\na=accept-types:message/cpim application/im-iscomposing+xml\r\n\
        a=accept-wrapped-types:text/plain message/imdn+xml\r\na=max-size:65536\r\na=setup:actpass\r\n\
        a=path:msrp://cf.home1.example:2855/abc;tcp\r\na=sendrecv\r\n";

    fn own(setup: Setup) -> Own<'static> {
        let address = "10.0.0.1:2855".parse().expect("an address");
        Own { address, path: "msrp://pf.home1.example:2855/own;tcp", setup, origin: 7, version: 7 }
    }

    #[test]
    fn the_way_is_replaced_and_the_content_passes() {
        let offer = offer(OFFER, &own(Setup::ActPass), None);
        assert_eq!(
            offer,
            "v=0\r\no=- 7 7 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=message 2855 TCP/MSRP *\r\n\
             a=accept-types:message/cpim application/im-iscomposing+xml\r\n\
             a=accept-wrapped-types:text/plain message/imdn+xml\r\na=max-size:65536\r\na=setup:actpass\r\n\
             a=path:msrp://pf.home1.example:2855/own;tcp\r\na=sendrecv\r\n"
        );
    }

    #[test]
    fn an_answer_has_one_medium_for_each_offered_one() {
        let offered = format!("{}m=audio 4000 RTP/AVP 0\r\n", OFFER.replace("a=sendrecv", "a=sendonly"));
        let answer = answer(&offered, OFFER, &own(Setup::Passive));
        assert!(answer.contains("a=setup:passive\r\n") && answer.contains("a=recvonly\r\n"), "{answer}");
        assert!(answer.ends_with("m=audio 0 RTP/AVP 0\r\n"), "{answer}");
    }

    #[test]
    fn an_active_answer_names_port_nine() {
        let answer = answer(OFFER, OFFER, &own(Setup::Active));
        assert!(answer.contains("m=message 9 TCP/MSRP *\r\n"), "{answer}");
    }

    #[test]
    fn the_list_of_wrapped_types_tells_what_may_be_wrapped() {
        let accepts = |sdp: &str| read(sdp, false).expect("a medium").accepts_wrapped("message/imdn+xml");
        assert!(accepts(OFFER));
        assert!(!accepts(&OFFER.replace(" message/imdn+xml", "")));
        assert!(accepts(&OFFER.replace("text/plain message/imdn+xml", "*")));
        assert!(!accepts(&OFFER.replace("a=accept-wrapped-types:text/plain message/imdn+xml\r\n", "")));
    }

    #[test]
    fn a_medium_without_path_or_port_is_none() {
        let remote = read(OFFER, false).expect("a medium");
        assert_eq!(remote.path, "msrp://cf.home1.example:2855/abc;tcp");
        assert!(remote.receives && remote.accepts("message/cpim;charset=utf-8") && !remote.accepts("text/html"));
        assert_eq!(read(&OFFER.replace("m=message 2855", "m=message 0"), false), None);
        assert_eq!(read(&OFFER.replace("a=path", "a=way"), false), None);
        assert_eq!(read("", false), None);
    }

    #[test]
    fn of_two_media_the_one_over_our_transport_is_taken() {
        let secure = "m=message 2856 TCP/TLS/MSRP *\r\na=path:msrps://cf.home1.example:2856/abc;tcp\r\n";
        assert_eq!(read(OFFER, true), None);
        let both = format!("{OFFER}{secure}");
        assert_eq!(read(&both, true).expect("a medium").path, "msrps://cf.home1.example:2856/abc;tcp");
        let own = Own { path: "msrps://pf.home1.example:2855/own;tcp", ..own(Setup::Passive) };
        let answer = answer(&both, OFFER, &own);
        assert!(answer.contains("m=message 0 TCP/MSRP *\r\nm=message 2855 TCP/TLS/MSRP *\r\n"), "{answer}");
    }
}
