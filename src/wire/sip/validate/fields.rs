//! Header fields one by one: grammar, ranges, parameters.

use super::Sink;
use super::table::{self, Row};
use crate::wire::sip::header::{self, NameAddr, Via};
use crate::wire::sip::{HeaderField, Message, Name, Params, Scheme, grammar};

/// The largest delta-seconds that RFC 3261 20.19 allows.
const MAX_SECONDS: u64 = u32::MAX as u64;

pub(super) fn check(message: &Message, sink: &mut Sink) {
    for field in message.fields() {
        // A name that is known is a token.
        if field.name == Name::Other && !grammar::is_token(field.token) {
            sink.error("sip-header-name", field.offset, "RFC 3261 7.3.1", "the name of a header field is no token");
        }
        if let Some(at) = message.first_non_utf8(&field) {
            sink.error("sip-utf8", at, "RFC 3261 7.3.1", "a header field is not UTF-8");
            continue;
        }
        match table::row(field.name) {
            Some(row) => known(row, &field, sink),
            None => unknown(&field, sink),
        }
    }
}

fn unknown(field: &HeaderField<'_>, sink: &mut Sink) {
    if let Err((at, expected)) = grammar::check(grammar::fields::text, field.value) {
        sink.error("sip-header-value", field.offset + at, "RFC 3261 7.3.1", format!("{}: expected {expected}", field.token));
    }
}

fn known(row: &Row, field: &HeaderField<'_>, sink: &mut Sink) {
    if let Err((at, expected)) = grammar::check(row.grammar, field.value) {
        let message = format!("{} is malformed: expected {expected}", row.name.canonical());
        let excuse = is_placeholder(&field.value[at..]).then_some("a remark in parentheses stands for a value");
        sink.excused(excuse, row.code, field.offset + at, row.rfc, &message);
        return;
    }
    let check = Check { row, field, sink };
    match field.name {
        Name::Via => check.via(),
        Name::Contact => check.contact(),
        Name::From | Name::To => check.tag(),
        Name::CSeq => check.cseq(),
        Name::MaxForwards => check.at_most(255),
        Name::Expires | Name::MinExpires => check.at_most(MAX_SECONDS),
        Name::RSeq => check.rseq(),
        Name::RetryAfter => check.retry_after(),
        Name::SessionExpires | Name::MinSe => check.interval(),
        Name::SubscriptionState => check.subscription_state(),
        Name::Reason => check.reason(),
        Name::Route | Name::RecordRoute | Name::Path | Name::ServiceRoute => check.loose(),
        Name::PAssertedIdentity | Name::PPreferredIdentity => check.identity(),
        Name::Replaces => check.dialog_tags("to-tag", "from-tag"),
        Name::Join => check.dialog_tags("to-tag", "from-tag"),
        Name::TargetDialog => check.dialog_tags("local-tag", "remote-tag"),
        Name::ContentType => check.boundary(),
        _ => {}
    }
}

/// Whether a remark in parentheses stands for a value, as in printed call flows: `(whatever URI)`.
fn is_placeholder(rest: &str) -> bool {
    rest.starts_with('(') && rest.ends_with(')')
}

struct Check<'a, 'b> {
    row: &'a Row,
    field: &'a HeaderField<'a>,
    sink: &'b mut Sink,
}

impl Check<'_, '_> {
    fn error(&mut self, message: impl Into<String>) {
        self.sink.error(self.row.code, self.field.offset, self.row.rfc, message);
    }

    fn warning(&mut self, rfc: &'static str, message: impl Into<String>) {
        self.sink.warning(self.row.code, self.field.offset, rfc, message);
    }

    fn at_most(mut self, limit: u64) {
        if !fits(self.field.value, limit) {
            self.error(format!("{} is larger than {limit}", self.row.name.canonical()));
        }
    }

    fn via(mut self) {
        for via in header::list(self.field.value).filter_map(|element| Via::parse(element).ok()) {
            match via.branch() {
                Some("z9hG4bK") => self.error("the branch is the magic cookie and nothing else"),
                Some(branch) if branch.starts_with("z9hG4bK") => {}
                Some(_) => self.warning("RFC 3261 8.1.1.7", "the branch lacks the magic cookie of RFC 3261"),
                None => self.warning("RFC 3261 8.1.1.7", "there is no branch, as in RFC 2543"),
            }
            if via.host.ip().is_some_and(|ip| ip.is_multicast() || ip == std::net::IpAddr::from([255, 255, 255, 255])) {
                self.warning("RFC 3261 18.1.1", "sent-by is no address of one host");
            }
            if via.version != "2.0" {
                self.error(format!("the version is {:?}, not 2.0", via.version));
            }
            if via.params.get("ttl").is_some_and(|ttl| !fits(ttl, 255)) {
                self.error("ttl is no number up to 255");
            }
            if via.params.get("rport").is_some_and(|port| !port.is_empty() && !fits(port, 65_535)) {
                self.error("rport is no port");
            }
        }
    }

    fn contact(mut self) {
        for contact in header::list(self.field.value).filter_map(|element| NameAddr::parse(element).ok()) {
            if contact.params.get("expires").is_some_and(|seconds| !fits(seconds, MAX_SECONDS)) {
                self.error(format!("expires is no number up to {MAX_SECONDS}"));
            }
            self.quality(contact.params);
            if contact.params.get("+sip.instance").is_some_and(|value| !value.starts_with("\"<") || !value.ends_with(">\"")) {
                self.sink.error(
                    self.row.code,
                    self.field.offset,
                    "RFC 5626 4.1",
                    "+sip.instance is no URN in angle brackets and quotes",
                );
            }
        }
    }

    fn quality(&mut self, params: Params<'_>) {
        if params.get("q").is_some_and(|quality| !is_quality(quality)) {
            self.error("q is no number from 0 to 1 with up to three decimals");
        }
    }

    fn tag(mut self) {
        let Ok(address) = NameAddr::parse(self.field.value) else { return };
        let tags = address.params.iter().filter(|(name, _)| name.eq_ignore_ascii_case("tag")).count();
        if tags > 1 {
            self.error("there is more than one tag");
        }
        if address.tag().is_some_and(|tag| !grammar::is_token(tag)) {
            self.error("the tag is no token");
        }
    }

    fn cseq(self) {
        let number = self.field.value.split(|char: char| !char.is_ascii_digit()).next().unwrap_or("");
        if !fits(number, (1 << 31) - 1) {
            self.sink.error(self.row.code, self.field.offset, "RFC 3261 8.1.1.5", "the sequence number is not below 2^31");
        }
    }

    fn rseq(mut self) {
        if !fits(self.field.value, MAX_SECONDS) || self.field.value.trim_start_matches('0').is_empty() {
            self.error("RSeq is no number from 1 to 2^32-1");
        }
    }

    fn retry_after(mut self) {
        let number = self.field.value.split(|char: char| !char.is_ascii_digit()).next().unwrap_or("");
        if !fits(number, MAX_SECONDS) {
            self.warning("RFC 3261 20.33", "the number of seconds is beyond reason");
        }
    }

    fn interval(mut self) {
        let number = self.field.value.split(|char: char| !char.is_ascii_digit()).next().unwrap_or("");
        if !fits(number, MAX_SECONDS) {
            self.error("the interval is too large");
        } else if header::number(number).is_ok_and(|seconds| seconds < 90) {
            self.error("the interval is below 90 seconds");
        }
        let refresher = Params(self.field.value.find(';').map_or("", |at| &self.field.value[at..])).get("refresher");
        if refresher.is_some_and(|who| !who.eq_ignore_ascii_case("uac") && !who.eq_ignore_ascii_case("uas")) {
            self.error("refresher is neither uac nor uas");
        }
    }

    fn subscription_state(mut self) {
        let Ok(state) = header::Token::parse(self.field.value) else { return };
        if !["active", "pending", "terminated"].iter().any(|known| known.eq_ignore_ascii_case(state.value)) {
            self.warning("RFC 6665 4.1.3", "the state is none of active, pending and terminated");
        }
        for name in ["expires", "retry-after"] {
            if state.params.get(name).is_some_and(|seconds| !fits(seconds, MAX_SECONDS)) {
                self.error(format!("{name} is no number of seconds"));
            }
        }
    }

    fn reason(mut self) {
        for reason in header::list(self.field.value).filter_map(|element| header::Reason::parse(element).ok()) {
            if reason.params.get("cause").is_some_and(|cause| header::number(cause).is_err()) {
                self.error("the cause is no number");
            }
            if reason.params.get("text").is_some_and(|text| !text.starts_with('"')) {
                self.error("the text is not quoted");
            }
            let code = reason.cause().filter(|_| reason.protocol.eq_ignore_ascii_case("SIP"));
            if code.is_some_and(|code| !(100..700).contains(&code)) {
                self.warning("RFC 3326 2", "the cause is no SIP status code");
            }
        }
    }

    fn loose(mut self) {
        for route in header::list(self.field.value).filter_map(|element| NameAddr::parse(element).ok()) {
            if !route.uri.params.has("lr") {
                self.warning("RFC 3261 19.1.1", "a route without lr, as for a strict router of RFC 2543");
            }
        }
    }

    fn identity(mut self) {
        for identity in header::list(self.field.value).filter_map(|element| NameAddr::parse(element).ok()) {
            if identity.uri.scheme == Scheme::Other {
                self.error("the identity is neither a sip, sips nor tel URI");
            }
        }
    }

    fn dialog_tags(mut self, first: &str, second: &str) {
        let params = Params(self.field.value.find(';').map_or("", |at| &self.field.value[at..]));
        for name in [first, second] {
            if !params.has(name) {
                self.error(format!("there is no {name}"));
            }
        }
    }

    fn boundary(self) {
        let Ok(media) = header::MediaType::parse(self.field.value) else { return };
        let multipart = media.essence.get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/"));
        if multipart && media.params.get("boundary").is_none_or(|boundary| header::unquote(boundary).is_empty()) {
            self.sink.error(self.row.code, self.field.offset, "RFC 2046 5.1.1", "a multipart type has no boundary");
        }
    }
}

/// Whether `digits` is a number up to `limit`, however many leading zeros it has.
fn fits(digits: &str, limit: u64) -> bool {
    let significant = digits.trim_start_matches('0');
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number && (significant.is_empty() || significant.parse::<u64>().is_ok_and(|number| number <= limit))
}

/// `qvalue` of RFC 3261 25.1.
fn is_quality(text: &str) -> bool {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    digits && (whole == "0" || (whole == "1" && decimals.bytes().all(|byte| byte == b'0')))
}
