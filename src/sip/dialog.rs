//! Dialogs (RFC 3261 12): early, forked and confirmed.

use crate::wire::sip::header::NameAddr;
use crate::wire::sip::{Builder, FieldValue, Message, Name};

/// A dialog of one node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DialogId(pub u32);

/// Which side of the request that created the dialog this node was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// It sent the request.
    Uac,
    /// It answered the request.
    Uas,
}

/// How far a dialog has come.
///
/// ```text
/// 101-199 with To tag    -> Early
/// 2xx                    -> Confirmed, Early -> Confirmed
/// NOTIFY to a SUBSCRIBE  -> Confirmed
/// 3xx-6xx, BYE, 481      -> gone
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// Created by a provisional response.
    Early,
    /// Created or confirmed by a 2xx, or by a NOTIFY.
    Confirmed,
}

/// What identifies a dialog (RFC 3261 12): Call-ID, local tag, remote tag.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DialogKey {
    /// The Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag.
    pub remote_tag: String,
}

/// A request whose sequence number is below the one before: it is refused with 500
/// (RFC 3261 12.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfOrder;

/// The state that both ends of a dialog keep (RFC 3261 12).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dialog {
    /// Early or confirmed.
    pub state: State,
    /// This node's side in the request that created it.
    pub side: Side,
    /// The Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag.
    pub remote_tag: String,
    /// Our address as From or To carries it, without the tag.
    pub local_uri: String,
    /// The peer's address as From or To carries it, without the tag.
    pub remote_uri: String,
    /// The sequence number of our latest request.
    pub local_cseq: u32,
    /// The sequence number of the peer's latest request.
    pub remote_cseq: Option<u32>,
    /// The URI of the peer's Contact.
    pub remote_target: String,
    /// The route set, nearest hop first, each as `<sip:…;lr>`.
    pub route_set: Vec<String>,
}

impl DialogKey {
    /// The dialog that a received request belongs to; `None` without both tags.
    pub fn of_request(request: &Message) -> Option<Self> {
        Some(Self {
            call_id: request.call_id()?.to_owned(),
            local_tag: request.to_tag()?.to_owned(),
            remote_tag: request.from_tag().unwrap_or_default().to_owned(),
        })
    }

    /// The dialog that a received response belongs to; `None` without a To tag.
    pub fn of_response(response: &Message) -> Option<Self> {
        Some(Self {
            call_id: response.call_id()?.to_owned(),
            local_tag: response.from_tag().unwrap_or_default().to_owned(),
            remote_tag: response.to_tag()?.to_owned(),
        })
    }
}

impl Dialog {
    /// The dialog that a response creates at the UAC (RFC 3261 12.1.2); `None` without a To tag.
    pub fn of_response(request: &Message, response: &Message) -> Option<Self> {
        let key = DialogKey::of_response(response)?;
        let target = response.contact().map(|contact| contact.uri.text).ok().or(request.request_uri())?;
        let mut route_set = record_route(response);
        route_set.reverse();
        Some(Self {
            state: state_after(response),
            side: Side::Uac,
            call_id: key.call_id,
            local_tag: key.local_tag,
            remote_tag: key.remote_tag,
            local_uri: without_tag(request.value(Name::From)?),
            remote_uri: without_tag(request.value(Name::To)?),
            local_cseq: request.cseq().ok()?.number,
            remote_cseq: None,
            remote_target: target.to_owned(),
            route_set,
        })
    }

    /// The dialog that our response creates at the UAS (RFC 3261 12.1.1); `None` without a To tag.
    pub fn of_request(request: &Message, response: &Message) -> Option<Self> {
        let from = request.from().ok()?;
        let target = request.contact().map_or(from.uri.text, |contact| contact.uri.text);
        Some(Self {
            state: state_after(response),
            side: Side::Uas,
            call_id: request.call_id()?.to_owned(),
            local_tag: response.to_tag()?.to_owned(),
            remote_tag: from.tag().unwrap_or_default().to_owned(),
            local_uri: without_tag(request.value(Name::To)?),
            remote_uri: without_tag(request.value(Name::From)?),
            local_cseq: 0,
            remote_cseq: Some(request.cseq().ok()?.number),
            remote_target: target.to_owned(),
            route_set: record_route(request),
        })
    }

    /// The dialog that a NOTIFY creates at the subscriber (RFC 6665 4.4.1).
    pub fn of_notify(subscribe: &Message, notify: &Message) -> Option<Self> {
        let from = notify.from().ok()?;
        let target = notify.contact().map_or(from.uri.text, |contact| contact.uri.text);
        Some(Self {
            state: State::Confirmed,
            side: Side::Uac,
            call_id: notify.call_id()?.to_owned(),
            local_tag: subscribe.from_tag()?.to_owned(),
            remote_tag: from.tag()?.to_owned(),
            local_uri: without_tag(subscribe.value(Name::From)?),
            remote_uri: without_tag(subscribe.value(Name::To)?),
            local_cseq: subscribe.cseq().ok()?.number,
            remote_cseq: None,
            remote_target: target.to_owned(),
            route_set: record_route(notify),
        })
    }

    /// What identifies it.
    pub fn key(&self) -> DialogKey {
        DialogKey { call_id: self.call_id.clone(), local_tag: self.local_tag.clone(), remote_tag: self.remote_tag.clone() }
    }

    /// A 2xx came for a dialog known from a provisional response: the route set is computed anew
    /// (RFC 3261 13.2.2.4).
    pub fn confirm(&mut self, response: &Message) {
        if self.state == State::Early && self.side == Side::Uac {
            self.route_set = record_route(response);
            self.route_set.reverse();
        }
        self.state = State::Confirmed;
        self.refresh_target(response);
    }

    /// Takes the Contact of a target refresh request or of its 2xx (RFC 3261 12.2).
    pub fn refresh_target(&mut self, message: &Message) {
        if let Ok(contact) = message.contact() {
            contact.uri.text.clone_into(&mut self.remote_target);
        }
    }

    /// Takes the sequence number of a request of the peer (RFC 3261 12.2.2).
    ///
    /// # Errors
    ///
    /// When it is below that of an earlier request.
    pub fn receive(&mut self, request: &Message) -> Result<(), OutOfOrder> {
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        if self.remote_cseq.is_some_and(|latest| number < latest) {
            return Err(OutOfOrder);
        }
        self.remote_cseq = Some(number);
        Ok(())
    }

    /// The sequence number of our next request.
    pub const fn next_cseq(&mut self) -> u32 {
        self.local_cseq = self.local_cseq.saturating_add(1);
        self.local_cseq
    }

    /// Puts the fields of the dialog into a request of ours (RFC 3261 12.2.1.1). Fields that are
    /// there win, and so does a Request-URI that is not empty.
    #[must_use]
    pub fn complete(&self, method: &str, cseq: u32, request: Builder) -> Builder {
        let strict = self.route_set.first().and_then(|route| strict_router(route));
        let named = request.start().split(' ').nth(1).is_some_and(|uri| !uri.is_empty());
        let uri = strict.as_deref().unwrap_or(&self.remote_target);
        let mut request = if named { request } else { request.with_start([method, " ", uri, " SIP/2.0"]) };
        if !request.has(Name::Route) {
            let loose = self.route_set.iter().skip(usize::from(strict.is_some()));
            request = loose.fold(request, |request, route| request.push(Name::Route, route));
            let target = strict.is_some().then_some(["<", &self.remote_target, ">"]);
            request = request.push_some(Name::Route, target);
        }
        let to_mark = if self.remote_tag.is_empty() { "" } else { ";tag=" };
        let request = default(request, Name::From, [self.local_uri.as_str(), ";tag=", &self.local_tag]);
        let request = default(request, Name::To, [self.remote_uri.as_str(), to_mark, &self.remote_tag]);
        let request = default(request, Name::CallId, &self.call_id);
        default(request, Name::CSeq, format_args!("{cseq} {method}"))
    }
}

fn state_after(response: &Message) -> State {
    if response.status().is_some_and(|status| status < 200) { State::Early } else { State::Confirmed }
}

fn default(request: Builder, name: Name, value: impl FieldValue) -> Builder {
    if request.has(name) { request } else { request.push(name, value) }
}

fn record_route(message: &Message) -> Vec<String> {
    message.elements(Name::RecordRoute).map(str::to_owned).collect()
}

/// The URI of a first route that is no loose router (RFC 3261 12.2.1.1).
fn strict_router(route: &str) -> Option<String> {
    let uri = NameAddr::parse(route).ok()?.uri;
    (!uri.params.has("lr")).then(|| uri.text.to_owned())
}

/// A From or To value without its tag; the display name and other parameters stay.
fn without_tag(value: &str) -> String {
    let Ok(address) = NameAddr::parse(value) else { return value.to_owned() };
    let head = &value[..value.len() - address.params.0.len()];
    let bracketed = if head.contains('<') { head.trim_end().to_owned() } else { format!("<{}>", head.trim()) };
    address.params.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("tag")).fold(bracketed, |uri, (name, value)| match value {
        Some(value) => format!("{uri};{name}={value}"),
        None => format!("{uri};{name}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uac_reverses_record_route_and_the_uas_keeps_it() {
        let (invite, ok) = (invite(), ok());
        let uac = Dialog::of_response(&invite, &ok).expect("a dialog");
        let uas = Dialog::of_request(&invite, &ok).expect("a dialog");
        assert_eq!(uac.route_set, ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]);
        assert_eq!(uas.route_set, ["<sip:p2.example;lr>", "<sip:p1.example;lr>"]);
        assert_eq!((uac.remote_target.as_str(), uas.remote_target.as_str()), ("sip:bob@10.0.0.2", "sip:alice@10.0.0.1"));
        assert_eq!((uac.local_tag.as_str(), uac.remote_tag.as_str()), ("a", "b"));
        assert_eq!((uas.local_tag.as_str(), uas.remote_tag.as_str()), ("b", "a"));
    }

    #[test]
    fn a_request_takes_target_route_tags_and_the_next_number() {
        let mut dialog = Dialog::of_response(&invite(), &ok()).expect("a dialog");
        let cseq = dialog.next_cseq();
        let bye = dialog.complete("BYE", cseq, Builder::request("BYE", ""));
        assert_eq!(bye.start(), "BYE sip:bob@10.0.0.2 SIP/2.0");
        assert_eq!(bye.values("Route").collect::<Vec<_>>(), ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]);
        assert_eq!(bye.value("From"), Some("\"Alice; A\" <sip:alice@a.example>;tag=a"));
        assert_eq!(bye.value("To"), Some("<sip:bob@b.example>;tag=b"));
        assert_eq!(bye.value("CSeq"), Some("8 BYE"));
    }

    #[test]
    fn a_strict_router_takes_the_request_uri_and_the_target_ends_the_route() {
        let mut dialog = Dialog::of_response(&invite(), &ok()).expect("a dialog");
        dialog.route_set[0] = "<sip:p1.example>".to_owned();
        let bye = dialog.complete("BYE", 8, Builder::request("BYE", ""));
        assert_eq!(bye.start(), "BYE sip:p1.example SIP/2.0");
        assert_eq!(bye.values("Route").collect::<Vec<_>>(), ["<sip:p2.example;lr>", "<sip:bob@10.0.0.2>"]);
    }

    #[test]
    fn fields_that_are_there_win() {
        let dialog = Dialog::of_response(&invite(), &ok()).expect("a dialog");
        let odd = Builder::request("BYE", "sip:else@c.example").push("CSeq", "3 BYE").push("Route", "<sip:other.example;lr>");
        let odd = dialog.complete("BYE", 8, odd);
        assert_eq!(odd.start(), "BYE sip:else@c.example SIP/2.0");
        assert_eq!((odd.value("CSeq"), odd.values("Route").count()), (Some("3 BYE"), 1));
    }

    #[test]
    fn a_lower_sequence_number_is_out_of_order() {
        let mut dialog = Dialog::of_request(&invite(), &ok()).expect("a dialog");
        let with = |number| Builder::of(&invite()).set("CSeq", format!("{number} BYE")).build();
        assert_eq!(dialog.receive(&with(9)), Ok(()));
        assert_eq!(dialog.receive(&with(8)), Err(OutOfOrder));
        assert_eq!(dialog.remote_cseq, Some(9));
    }

    #[test]
    fn a_2xx_confirms_an_early_dialog_with_its_own_route_and_target() {
        let ringing = Builder::of(&ok()).with_start("SIP/2.0 180 Ringing".to_owned()).remove("Record-Route").build();
        let mut dialog = Dialog::of_response(&invite(), &ringing).expect("a dialog");
        assert_eq!((dialog.state, dialog.route_set.len()), (State::Early, 0));
        dialog.confirm(&ok());
        assert_eq!((dialog.state, dialog.route_set.len()), (State::Confirmed, 2));
    }

    fn invite() -> Message {
        Builder::request("INVITE", "sip:bob@b.example")
            .push("Via", "SIP/2.0/TCP a.example;branch=z9hG4bK1")
            .push("Record-Route", "<sip:p2.example;lr>, <sip:p1.example;lr>")
            .push("From", "\"Alice; A\" <sip:alice@a.example>;tag=a")
            .push("To", "sip:bob@b.example")
            .push("Call-ID", "call-1")
            .push("CSeq", "7 INVITE")
            .push("Contact", "<sip:alice@10.0.0.1>")
            .build()
    }

    fn ok() -> Message {
        Builder::response_to(&invite(), 200).set("To", "<sip:bob@b.example>;tag=b").push("Contact", "<sip:bob@10.0.0.2>").build()
    }
}
