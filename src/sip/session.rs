//! The INVITE usage of a dialog: offer and answer (RFC 3264, RFC 3261 14, RFC 3311) and the session
//! timer (RFC 4028).

use std::time::Duration;

use crate::time::{Instant, Timers};
use crate::wire::sip::header::{Refresher, SessionExpires};
use crate::wire::sip::{Builder, Message, Method, Name};

use super::dialog::Side;

/// The smallest session interval that may be asked for (RFC 4028 4).
pub const MIN_SE: u32 = 90;

/// What an INVITE set up, seen from one end of its dialog.
///
/// ```text
/// offer sent         Stable -> LocalOffer     answered or refused  -> Stable
/// offer received     Stable -> RemoteOffer    answered or refused  -> Stable
/// offerless INVITE   the 2xx makes the offer, the ACK answers it
/// ```
#[derive(Clone, Debug, Default)]
pub struct Session {
    exchange: Exchange,
    sent_invite: bool,
    received_invite: bool,
    interval: Option<u32>,
    timers: Timers<Due>,
}

/// Where offer and answer stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Exchange {
    /// No offer is open.
    #[default]
    Stable,
    /// Ours is not answered.
    LocalOffer,
    /// The peer's is not answered.
    RemoteOffer,
}

/// What the session timer asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Due {
    /// Half of the interval is over and the refresh is ours (RFC 4028 7.2).
    Refresh,
    /// The interval is nearly over and nobody refreshed (RFC 4028 10).
    Expiry,
}

/// Why a request of the peer cannot be taken now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Collision {
    /// Ours is under way: 491 (RFC 3261 14.2, RFC 3311 5.2).
    Pending,
    /// The peer's earlier one is not answered: 500 with Retry-After (same sections).
    Overlap,
}

impl Session {
    /// Where offer and answer stand.
    pub const fn exchange(&self) -> Exchange {
        self.exchange
    }

    /// The session interval in force, in seconds.
    pub const fn interval(&self) -> Option<u32> {
        self.interval
    }

    /// Whether an INVITE or UPDATE of ours would collide with nothing that we know of.
    pub fn is_free(&self) -> bool {
        self.exchange == Exchange::Stable && !self.sent_invite && !self.received_invite
    }

    /// We sent a request.
    pub fn on_request_sent(&mut self, request: &Message) {
        let method = request.method();
        if method == Some(Method::Invite) {
            self.sent_invite = true;
        }
        if makes_offer(method.as_ref()) && carries_sdp(request) {
            self.exchange = Exchange::LocalOffer;
        }
    }

    /// The peer sent a request.
    ///
    /// # Errors
    ///
    /// When it collides with one that is under way; the state stays as it was.
    pub fn on_request_received(&mut self, request: &Message) -> Result<(), Collision> {
        let method = request.method();
        let offers = makes_offer(method.as_ref()) && carries_sdp(request);
        if method == Some(Method::Invite) {
            if self.sent_invite || self.exchange == Exchange::LocalOffer {
                return Err(Collision::Pending);
            }
            if self.received_invite || self.exchange == Exchange::RemoteOffer {
                return Err(Collision::Overlap);
            }
            self.received_invite = true;
        } else if offers {
            match self.exchange {
                Exchange::LocalOffer => return Err(Collision::Pending),
                Exchange::RemoteOffer => return Err(Collision::Overlap),
                Exchange::Stable => {}
            }
        }
        if offers {
            self.exchange = Exchange::RemoteOffer;
        }
        Ok(())
    }

    /// We sent a response to `method`.
    pub fn on_response_sent(&mut self, now: Instant, method: &Method, response: &Message) {
        self.on_response(now, method, response, Side::Uas, Exchange::RemoteOffer, Exchange::LocalOffer);
    }

    /// The peer sent a response to our `method`.
    pub fn on_response_received(&mut self, now: Instant, method: &Method, response: &Message) {
        self.on_response(now, method, response, Side::Uac, Exchange::LocalOffer, Exchange::RemoteOffer);
    }

    fn on_response(&mut self, now: Instant, method: &Method, response: &Message, side: Side, asked: Exchange, offered: Exchange) {
        let status = response.status().unwrap_or(0);
        if status < 200 || !makes_offer(Some(method)) {
            return;
        }
        if *method == Method::Invite {
            match side {
                Side::Uac => self.sent_invite = false,
                Side::Uas => self.received_invite = false,
            }
        }
        if self.exchange == asked {
            self.exchange = Exchange::Stable;
        } else if status < 300 && *method == Method::Invite && carries_sdp(response) && self.exchange == Exchange::Stable {
            self.exchange = offered;
        }
        if status < 300 {
            self.arm(now, response, side);
        }
    }

    /// A request of ours got no final response.
    pub fn on_request_failed(&mut self, method: &Method) {
        if *method == Method::Invite {
            self.sent_invite = false;
        }
        if makes_offer(Some(method)) && self.exchange == Exchange::LocalOffer {
            self.exchange = Exchange::Stable;
        }
    }

    /// An ACK to a 2xx was sent or received, or will never come: an offer of the 2xx is settled.
    pub fn on_acknowledged(&mut self) {
        self.exchange = Exchange::Stable;
    }

    /// Takes the session interval of a 2xx (RFC 4028 7.2, 9): without Session-Expires there is none.
    fn arm(&mut self, now: Instant, response: &Message, side: Side) {
        self.timers.clear();
        let agreed = response.value(Name::SessionExpires).and_then(|value| SessionExpires::parse(value).ok());
        self.interval = agreed.map(|agreed| agreed.seconds);
        let Some(agreed) = agreed.filter(|agreed| agreed.seconds > 0) else { return };
        let ours = match agreed.refresher {
            Some(Refresher::Uac) | None => side == Side::Uac,
            Some(Refresher::Uas) => side == Side::Uas,
        };
        if ours {
            self.timers.set(Due::Refresh, now + Duration::from_millis(u64::from(agreed.seconds) * 500));
            self.timers.set(Due::Expiry, now + Duration::from_secs(u64::from(agreed.seconds)));
        } else {
            self.timers.set(Due::Expiry, now + expiry_after(agreed.seconds));
        }
    }

    /// Stops the session timer.
    pub fn stop(&mut self) {
        self.timers.clear();
    }

    /// The earliest deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.timers.next().map(|(at, due)| match due {
            Due::Refresh => (at, "session refresh"),
            Due::Expiry => (at, "session expiry"),
        })
    }

    /// The next thing that is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        self.timers.expire(now)
    }
}

/// When the side that does not refresh gives up (RFC 4028 10): a third of the interval, at most
/// 32 s, before its end.
fn expiry_after(seconds: u32) -> Duration {
    let interval = Duration::from_secs(u64::from(seconds));
    interval - (interval / 3).min(Duration::from_secs(32))
}

fn makes_offer(method: Option<&Method>) -> bool {
    matches!(method, Some(Method::Invite | Method::Update))
}

/// Whether a message carries a session description, alone or as a part of a multipart body.
pub fn carries_sdp(message: &Message) -> bool {
    const SDP: &[u8] = b"application/sdp";
    match message.content_type() {
        Some(media) if media.is("application/sdp") => true,
        Some(media) if media.essence.to_ascii_lowercase().starts_with("multipart/") => {
            message.body().windows(SDP.len()).any(|window| window.eq_ignore_ascii_case(SDP))
        }
        Some(_) | None => false,
    }
}

/// Whether a request asks for a session interval below `min_se`: it is refused with 422 and Min-SE
/// (RFC 4028 9), provided that its sender knows the extension.
pub fn is_too_small(request: &Message, min_se: u32) -> bool {
    let asked = request.value(Name::SessionExpires).and_then(|value| SessionExpires::parse(value).ok());
    let knows = request.elements(Name::Supported).any(|option| option.eq_ignore_ascii_case("timer"));
    knows && asked.is_some_and(|asked| asked.seconds < min_se)
}

/// The request again after a 422 (RFC 4028 7.4): a Session-Expires not below the Min-SE of the
/// refusal, and a Min-SE. The next CSeq and a new Via are the sender's part.
pub fn with_min_se(refused: &Message, refusal: &Message) -> Option<Builder> {
    let min_se: u32 = refusal.value(Name::MinSe)?.split(';').next()?.trim().parse().ok()?;
    if refusal.status() != Some(422) {
        return None;
    }
    let asked = refused.value(Name::SessionExpires).and_then(|value| SessionExpires::parse(value).ok());
    let seconds = asked.map_or(min_se, |asked| asked.seconds.max(min_se));
    let refresher = asked.and_then(|asked| asked.refresher).map(|refresher| format!(";refresher={refresher}"));
    let value = format!("{seconds}{}", refresher.unwrap_or_default());
    Some(Builder::of(refused).remove(Name::Via).set(Name::SessionExpires, value).set(Name::MinSe, min_se))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: Method = Method::Invite;

    #[test]
    fn an_offer_in_invite_is_answered_by_the_2xx() {
        let mut session = Session::default();
        session.on_request_sent(&request("INVITE", true));
        assert_eq!(session.exchange(), Exchange::LocalOffer);
        assert!(!session.is_free());
        session.on_response_received(at(0), &INVITE, &response(200, true, ""));
        assert!(session.is_free());
    }

    #[test]
    fn an_offerless_invite_leaves_the_answer_to_the_ack() {
        let mut session = Session::default();
        session.on_request_received(&request("INVITE", false)).expect("no collision");
        session.on_response_sent(at(0), &INVITE, &response(200, true, ""));
        assert_eq!(session.exchange(), Exchange::LocalOffer);
        assert_eq!(session.on_request_received(&request("INVITE", true)), Err(Collision::Pending));
        session.on_acknowledged();
        assert!(session.is_free());
    }

    #[test]
    fn two_invites_that_cross_are_a_glare() {
        let mut session = Session::default();
        session.on_request_sent(&request("INVITE", true));
        assert_eq!(session.on_request_received(&request("INVITE", true)), Err(Collision::Pending));
        session.on_response_received(at(0), &INVITE, &response(491, false, ""));
        assert_eq!(session.on_request_received(&request("INVITE", true)), Ok(()));
    }

    #[test]
    fn a_second_invite_before_the_answer_overlaps() {
        let mut session = Session::default();
        session.on_request_received(&request("INVITE", true)).expect("no collision");
        assert_eq!(session.on_request_received(&request("INVITE", true)), Err(Collision::Overlap));
        assert_eq!(session.on_request_received(&request("UPDATE", true)), Err(Collision::Overlap));
        assert_eq!(session.on_request_received(&request("UPDATE", false)), Ok(()));
    }

    #[test]
    fn the_refresher_acts_at_half_of_the_interval() {
        let mut session = Session::default();
        session.on_response_received(at(10), &INVITE, &response(200, true, "1800;refresher=uac"));
        assert_eq!(session.poll_timeout(), Some((at(910), "session refresh")));
        assert_eq!(session.handle_timeout(at(910)), Some(Due::Refresh));
        session.on_response_received(at(911), &Method::Update, &response(200, false, "1800;refresher=uac"));
        assert_eq!(session.poll_timeout(), Some((at(1_811), "session refresh")));
    }

    #[test]
    fn the_other_side_gives_up_a_third_but_at_most_32_s_before_the_end() {
        for (seconds, expected) in [(1_800, 1_768), (90, 60), (96, 64)] {
            let mut session = Session::default();
            session.on_response_sent(at(0), &INVITE, &response(200, true, &format!("{seconds};refresher=uac")));
            assert_eq!(session.poll_timeout(), Some((at(expected), "session expiry")));
        }
    }

    #[test]
    fn a_2xx_without_session_expires_stops_the_timer() {
        let mut session = Session::default();
        session.on_response_sent(at(0), &INVITE, &response(200, true, "90;refresher=uas"));
        assert_eq!(session.interval(), Some(90));
        session.on_response_sent(at(10), &Method::Update, &response(200, false, ""));
        assert_eq!((session.poll_timeout(), session.interval()), (None, None));
    }

    #[test]
    fn a_422_is_met_with_its_min_se() {
        let refused = Builder::of(&request("INVITE", true)).push("Session-Expires", "60;refresher=uac").build();
        let refusal = Builder::response(422, "Session Interval Too Small").push("Min-SE", 120).build();
        let retry = with_min_se(&refused, &refusal).expect("a retry");
        assert_eq!((retry.value("Session-Expires"), retry.value("Min-SE")), (Some("120;refresher=uac"), Some("120")));
        assert!(!retry.has("Via"));
    }

    #[test]
    fn only_a_sender_that_knows_the_timer_is_told_that_it_is_too_small() {
        let asked = Builder::request("INVITE", "sip:b").push("Session-Expires", "60");
        assert!(!is_too_small(&asked.clone().build(), MIN_SE));
        assert!(is_too_small(&asked.push("Supported", "timer").build(), MIN_SE));
    }

    const fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    fn request(method: &str, sdp: bool) -> Message {
        with_sdp(Builder::request(method, "sip:bob@b.example").push("Via", "SIP/2.0/TCP a;branch=z9hG4bK1"), sdp)
    }

    fn response(status: u16, sdp: bool, session_expires: &str) -> Message {
        let response = Builder::response(status, "");
        let expires = (!session_expires.is_empty()).then_some(session_expires);
        with_sdp(response.push_some("Session-Expires", expires), sdp)
    }

    fn with_sdp(message: Builder, sdp: bool) -> Message {
        if sdp { message.body("application/sdp", "v=0\r\n").build() } else { message.build() }
    }
}
