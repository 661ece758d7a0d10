//! The MSRP side of a dialog: offer, answer, and who opens the connection.

use bytes::Bytes;

use crate::endpoint::MsrpId;
use crate::wire::mime;
use crate::wire::sdp::{self, Direction, Media as MediaLine, Sdp, SdpBuilder, Setup};
use crate::wire::sip::{Message, Name};

/// Types that every actor takes outermost.
const ACCEPT_TYPES: [&str; 2] = ["message/cpim", "application/im-iscomposing+xml"];
/// What a client takes besides when it joins a group by itself, or one that is no longer active.
pub(super) const GROUP_STATE: &str = "application/group-state-object+xml";
/// Types that every actor takes inside a CPIM wrapper.
const WRAPPED_TYPES: [&str; 3] = ["text/plain", "message/imdn+xml", "application/im-iscomposing+xml"];

/// The port in the media line of the side that opens the connection (RFC 6135 4.2).
const DISCARD: u16 = 9;

/// Where an actor takes MSRP, as its descriptions say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) address: String,
    pub(super) port: u16,
}

/// What one description said.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Said {
    setup: Option<Setup>,
    path: Option<String>,
    refused: bool,
    direction: Direction,
}

impl Said {
    fn of(sdp: &Sdp) -> Self {
        Self { setup: sdp.setup(), path: sdp.path().map(str::to_owned), refused: sdp.is_refused(), direction: sdp.direction() }
    }
}

/// How a session is bound to its connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Binding {
    pub(super) remote_path: String,
    pub(super) active: bool,
}

/// The MSRP session of a dialog and the descriptions that belong to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Media {
    pub(super) session: MsrpId,
    /// Our own path.
    pub(super) path: String,
    number: u64,
    version: u64,
    /// The description that we sent last, as bytes.
    sent: Option<Bytes>,
    local: Option<Said>,
    remote: Option<Said>,
    /// The peer's description, for the answer to it.
    offer: Option<Sdp>,
    /// Whether ours was the offer.
    offered: bool,
    pub(super) started: bool,
    /// The path of the peer that it was bound to.
    pub(super) towards: Option<String>,
}

impl Media {
    pub(super) fn new(session: MsrpId, path: String, number: u64) -> Self {
        Self {
            session,
            path,
            number,
            version: number,
            sent: None,
            local: None,
            remote: None,
            offer: None,
            offered: false,
            started: false,
            towards: None,
        }
    }

    /// The path of the peer, once it is known.
    pub(super) fn remote_path(&self) -> Option<&str> {
        self.remote.as_ref()?.path.as_deref()
    }

    /// Whether the peer asked for a session in which it alone sends.
    pub(super) fn only_receives(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.direction == Direction::SendOnly)
    }

    /// An offer: either side may open the connection. A later one in the dialog repeats what we said
    /// last, so that a refresh changes nothing (RFC 4028 7.4).
    pub(super) fn offer(&self, place: &Place, group_state: bool) -> Bytes {
        if let Some(sent) = &self.sent {
            return sent.clone();
        }
        let media = self.line(place, Setup::ActPass, Direction::SendRecv, group_state);
        SdpBuilder::new(&place.address, self.number, self.version).media(&media).encode()
    }

    /// The answer to the offer that was noted last (RFC 3264 6): the direction is mirrored, the
    /// side that answers opens the connection when it may (RFC 4145 4.1).
    pub(super) fn answer(&self, place: &Place, group_state: bool) -> Bytes {
        let Some(offer) = &self.offer else { return self.offer(place, group_state) };
        let setup = match (offer.setup(), self.role_so_far()) {
            (Some(Setup::ActPass), Some(role)) => role,
            (Some(Setup::ActPass | Setup::Passive), _) => Setup::Active,
            (Some(Setup::Active) | None, _) => Setup::Passive,
            (Some(Setup::HoldConn), _) => Setup::HoldConn,
        };
        let media = self.line(place, setup, offer.direction().reversed(), group_state);
        let mut answer = SdpBuilder::new(&place.address, self.number, self.version);
        let mut answered = false;
        for offered in offer.medias() {
            let ours =
                !answered && offered.media == "message" && offered.port != 0 && offered.proto.eq_ignore_ascii_case(&media.proto);
            answered |= ours;
            answer = if ours { answer.media(&media) } else { answer.refuse(offered) };
        }
        answer.encode()
    }

    /// Our role in the connection that there is (RFC 6135 4.3: it is kept).
    fn role_so_far(&self) -> Option<Setup> {
        let binding = self.binding().filter(|_| self.started)?;
        Some(if binding.active { Setup::Active } else { Setup::Passive })
    }

    fn line(&self, place: &Place, setup: Setup, direction: Direction, group_state: bool) -> MediaLine {
        let owned = |types: &[&str]| types.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
        let mut accept_types = owned(&ACCEPT_TYPES);
        accept_types.extend(group_state.then(|| GROUP_STATE.to_owned()));
        MediaLine {
            port: if setup == Setup::Active { DISCARD } else { place.port },
            accept_types,
            accept_wrapped_types: owned(&WRAPPED_TYPES),
            setup: Some(setup),
            path: self.path.clone(),
            proto: if self.path.starts_with("msrps:") { "TCP/TLS/MSRP" } else { "TCP/MSRP" }.to_owned(),
            direction: Some(direction),
            ..MediaLine::default()
        }
    }

    /// Takes note of a description that we are about to send. One that differs from the former
    /// gets the next version, unless it has a version of its own (RFC 3264 8).
    pub(super) fn note_sent(&mut self, said: &Sdp, offered: bool) -> Option<Bytes> {
        let description = said.encode();
        let changed = self.sent.as_ref().is_some_and(|former| *former != description);
        let stale = said.origin().sess_version == self.version;
        self.local = Some(Said::of(said));
        self.offered = offered;
        if !offered {
            self.offer = None;
        }
        if !(changed && stale) {
            self.sent = Some(description);
            return None;
        }
        self.version += 1;
        let next = SdpBuilder::of(said).origin(&self.number.to_string(), self.version).encode();
        self.sent = Some(next.clone());
        Some(next)
    }

    /// Takes note of the peer's offer.
    pub(super) fn note_offer(&mut self, sdp: Sdp) {
        self.remote = Some(Said::of(&sdp));
        self.offer = Some(sdp);
    }

    /// Takes note of the peer's answer to our offer.
    pub(super) fn note_answer(&mut self, sdp: &Sdp) {
        self.remote = Some(Said::of(sdp));
    }

    /// Whether we owe the answer to an offer of the peer.
    pub(super) const fn owes_answer(&self) -> bool {
        self.offer.is_some()
    }

    /// Whether a description of ours was sent and is the offer.
    pub(super) const fn has_offered(&self) -> bool {
        self.offered && self.local.is_some()
    }

    /// How the session is bound, when both sides have spoken and neither refused.
    ///
    /// The answer decides (RFC 4145 4.1); where it does not, the offer does; where neither does, the
    /// side that offered opens the connection (RFC 4975 5.4).
    pub(super) fn binding(&self) -> Option<Binding> {
        let (local, remote) = (self.local.as_ref()?, self.remote.as_ref()?);
        if local.refused || remote.refused {
            return None;
        }
        let (offer, answer) = if self.offered { (local, remote) } else { (remote, local) };
        let answerer_opens = match (answer.setup, offer.setup) {
            (Some(Setup::HoldConn), _) | (_, Some(Setup::HoldConn)) => return None,
            (Some(Setup::Active), _) | (None, Some(Setup::Passive)) => true,
            (Some(Setup::Passive | Setup::ActPass) | None, _) => false,
        };
        Some(Binding { remote_path: remote.path.clone()?, active: answerer_opens != self.offered })
    }
}

/// The session description in a message, also inside a multipart body.
pub(super) fn description(message: &Message) -> Option<Sdp> {
    description_in(message.value(Name::ContentType)?, &message.body())
}

/// The session description in a body of this type.
pub(super) fn description_in(content_type: &str, body: &Bytes) -> Option<Sdp> {
    let part = mime::find(content_type, body, sdp::MEDIA_TYPE)?;
    Sdp::parse(&part.decoded()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "10.0.2.1";

    fn media(id: u32) -> Media {
        Media::new(MsrpId(id), format!("msrp://{PLACE}:2855/s{id};tcp"), 7)
    }

    fn place() -> Place {
        Place { address: PLACE.to_owned(), port: 2855 }
    }

    fn read(description: &Bytes) -> Sdp {
        Sdp::parse(description).expect("a description")
    }

    /// Lets `one` offer and `other` answer.
    fn negotiate(alter_offer: impl Fn(SdpBuilder) -> SdpBuilder) -> (Media, Media) {
        let (mut one, mut other) = (media(1), media(2));
        let offer = alter_offer(SdpBuilder::of(&read(&one.offer(&place(), false)))).encode();
        one.note_sent(&read(&offer), true);
        other.note_offer(read(&offer));
        let answer = other.answer(&place(), false);
        other.note_sent(&read(&answer), false);
        one.note_answer(&read(&answer));
        (one, other)
    }

    #[test]
    fn the_side_that_answers_opens_the_connection_when_it_may() {
        for (setup, offerer_opens) in [("actpass", false), ("passive", false), ("active", true)] {
            let (one, other) = negotiate(|offer| offer.attribute("setup", Some(setup)));
            let (one, other) = (one.binding().expect("bound"), other.binding().expect("bound"));
            assert_eq!((one.active, other.active), (offerer_opens, !offerer_opens), "{setup}");
            assert_eq!(one.remote_path, "msrp://10.0.2.1:2855/s2;tcp");
        }
    }

    #[test]
    fn without_setup_the_side_that_offered_opens_the_connection() {
        let (one, other) = negotiate(|offer| offer.remove_attribute("setup"));
        assert!(one.binding().expect("bound").active);
        assert!(!other.binding().expect("bound").active);
    }

    #[test]
    fn an_answer_mirrors_the_direction_and_refuses_what_is_no_message_media() {
        let mut other = media(2);
        let offer = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n\
                     m=message 2855 TCP/MSRP *\r\na=accept-types:message/cpim\r\na=path:msrp://10.0.0.1:2855/a;tcp\r\na=sendonly\r\n";
        other.note_offer(Sdp::parse(offer.as_bytes()).expect("an offer"));
        let answer = Sdp::parse(&other.answer(&place(), false)).expect("an answer");
        let ports: Vec<_> = answer.medias().map(|media| media.port).collect();
        assert_eq!(ports, [0, 2855]);
        assert_eq!(answer.direction(), Direction::RecvOnly);
    }

    #[test]
    fn refused_media_are_not_bound() {
        let (mut one, _) = negotiate(|offer| offer);
        let refusal = SdpBuilder::of(&Sdp::parse(&media(2).offer(&place(), false)).expect("a description")).port(0).encode();
        one.note_answer(&Sdp::parse(&refusal).expect("an answer"));
        assert_eq!(one.binding(), None);
    }

    #[test]
    fn a_refresh_changes_nothing_on_either_side() {
        let (mut one, mut other) = negotiate(|offer| offer);
        one.started = true;
        other.started = true;
        let (offered, answered) = (one.sent.clone(), other.sent.clone());
        let again = one.offer(&place(), false);
        assert_eq!(Some(&again), offered.as_ref());
        other.note_offer(Sdp::parse(&again).expect("an offer"));
        assert_eq!(Some(other.answer(&place(), false)), answered);
        assert_eq!(Some(other.offer(&place(), false)), answered);
    }

    #[test]
    fn a_changed_description_gets_the_next_version() {
        let mut one = media(1);
        let offer = one.offer(&place(), false);
        assert_eq!(one.note_sent(&read(&offer), true), None);
        assert_eq!(one.note_sent(&read(&offer), true), None);
        let held = SdpBuilder::of(&read(&offer)).direction(Direction::Inactive).encode();
        let sent = one.note_sent(&read(&held), true).expect("another version");
        assert_eq!(Sdp::parse(&sent).expect("an offer").origin().sess_version, 8);
    }
}
