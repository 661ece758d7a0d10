//! The parts of a message that patterns speak of in lower case: which fields a part has, how they
//! compare, and what stands there.

use std::borrow::Cow;
use std::cell::OnceCell;

use bytes::Bytes;

use super::grammar::Grammar;
use super::path::Values;
use super::view::View;
use crate::wire::Fault;
use crate::wire::cpim::{self, Cpim};
use crate::wire::imdn::{self, Imdn};
use crate::wire::mime;
use crate::wire::msrp::{self, Flag};
use crate::wire::sdp::{self, Sdp};
use crate::wire::sip::{Params, header};
use crate::wire::xml::conference_info::{self, ConferenceInfo, State, User};
use crate::wire::xml::group_state::{self, GroupState};

/// The bodies of one message, each decoded when it is first asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Bodies {
    content_type: Option<String>,
    bytes: Bytes,
    parts: OnceCell<Vec<mime::Part>>,
    cpim: OnceCell<Option<Result<Cpim, Fault>>>,
    // What few messages hold is kept apart, so that what all have stays small.
    sdp: OnceCell<Option<Result<Box<Sdp>, Fault>>>,
    imdn: OnceCell<Option<Box<Imdn>>>,
    conference: OnceCell<Option<Box<ConferenceInfo>>>,
    group: OnceCell<Option<Box<GroupState>>>,
}

impl Bodies {
    pub(super) fn decode(content_type: Option<(&str, Params<'_>)>, bytes: Bytes) -> Self {
        let content_type = content_type.map(|(essence, params)| [essence, params.0].concat());
        Self { content_type, bytes, ..Self::default() }
    }

    /// The parts, those of nested multiparts after the one that holds them.
    fn parts(&self) -> &[mime::Part] {
        self.parts.get_or_init(|| {
            let Some(content_type) = self.content_type.as_deref().filter(|_| !self.bytes.is_empty()) else { return Vec::new() };
            let mut out = mime::parts(content_type, &self.bytes);
            let nested: Vec<mime::Part> = out
                .iter()
                .filter(|part| mime::is_multipart(part.content_type()))
                .flat_map(|part| mime::parts(part.content_type(), &part.body))
                .collect();
            out.extend(nested);
            out
        })
    }

    fn part(&self, essence: &str) -> Option<&mime::Part> {
        self.parts().iter().find(|part| part.is(essence))
    }

    pub(super) fn description(&self) -> Option<Result<&Sdp, Fault>> {
        let read = || Some(Sdp::parse(&self.part(sdp::MEDIA_TYPE)?.body).map(Box::new));
        self.sdp.get_or_init(read).as_ref().map(|sdp| sdp.as_deref().map_err(|fault| *fault))
    }

    pub(super) fn message(&self) -> Option<Result<&Cpim, Fault>> {
        let read = || Some(Cpim::decode(self.part(cpim::MEDIA_TYPE)?.body.clone()));
        self.cpim.get_or_init(read).as_ref().map(|cpim| cpim.as_ref().map_err(|fault| *fault))
    }

    fn sdp(&self) -> Option<&Sdp> {
        self.description()?.ok()
    }

    fn cpim(&self) -> Option<&Cpim> {
        self.message()?.ok()
    }

    /// A body of a type, alone, as a part, or as the content of a CPIM message.
    fn within<T>(&self, essence: &str, read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        if let Some(part) = self.part(essence) {
            return read(&part.decoded());
        }
        let cpim = self.cpim()?;
        let wrapped = header::MediaType::parse(cpim.content_type()?).ok()?.is(essence);
        wrapped.then(|| read(&cpim.decoded())).flatten()
    }

    fn imdn(&self) -> Option<&Imdn> {
        self.imdn.get_or_init(|| self.within(imdn::MEDIA_TYPE, |body| Imdn::parse(body).ok().map(Box::new))).as_deref()
    }

    fn conference(&self) -> Option<&ConferenceInfo> {
        let read = || self.within(conference_info::MEDIA_TYPE, |body| ConferenceInfo::parse(body).ok().map(Box::new));
        self.conference.get_or_init(read).as_deref()
    }

    fn group(&self) -> Option<&GroupState> {
        let read = || self.within(group_state::MEDIA_TYPE, |body| GroupState::parse(body).ok().map(Box::new));
        self.group.get_or_init(read).as_deref()
    }
}

const SDP: &[&str] = &[
    "direction",
    "path",
    "port",
    "protocol",
    "media",
    "setup",
    "accept-types",
    "accept-wrapped-types",
    "max-size",
    "address",
    "connection",
    "session-id",
    "version",
    "attribute.<name>",
];
const CPIM: &[&str] = &[
    "from",
    "to",
    "cc",
    "date-time",
    "subject",
    "content-type",
    "text",
    "imdn.Message-ID",
    "imdn.Disposition-Notification",
    "<Header>",
];
const IMDN: &[&str] = &["message-id", "status", "kind", "date-time", "recipient", "original-recipient", "subject"];
const REASON: &[&str] = &["protocol", "cause", "text"];
const MSRP: &[&str] = &[
    "message-id",
    "byte-range",
    "failure-report",
    "success-report",
    "content-type",
    "status",
    "code",
    "flag",
    "to-path",
    "from-path",
];
const CONFERENCE_INFO: &[&str] =
    &["entity", "state", "version", "subject", "users", "disconnected", "booted", "departed", "user-count"];
const GROUP_STATE: &[&str] = &["focus", "type", "timestamp", "contribution-id", "participants"];
const BODY: &[&str] = &["content-type", "text", "size", "parts"];

/// The fields of a part, for a person to choose from.
pub fn fields(prefix: &str) -> &'static [&'static str] {
    match prefix {
        "sdp" => SDP,
        "cpim" => CPIM,
        "imdn" => IMDN,
        "reason" => REASON,
        "msrp" => MSRP,
        "conference-info" => CONFERENCE_INFO,
        "group-state" => GROUP_STATE,
        _ => BODY,
    }
}

/// Whether a part has this field.
pub(super) fn is_field(prefix: &str, rest: &str) -> bool {
    if rest.contains('<') {
        return false;
    }
    match prefix {
        "sdp" if rest.starts_with("attribute.") => rest.len() > "attribute.".len(),
        // A header of the CPIM message as it is spelt: `cpim.Subject`, `cpim.imdn.Forwarded`.
        "cpim" if rest.starts_with(|char: char| char.is_ascii_uppercase()) || rest.contains('.') => true,
        _ => fields(prefix).contains(&rest),
    }
}

/// How values of a field compare.
pub(super) fn grammar(prefix: &str, rest: &str) -> Grammar {
    match (prefix, rest) {
        ("cpim", "from" | "to" | "cc" | "From" | "To" | "Cc") => Grammar::NameAddr,
        ("imdn", "recipient" | "original-recipient")
        | ("conference-info", "entity" | "users" | "disconnected" | "booted" | "departed")
        | ("group-state", "focus" | "participants") => Grammar::Uri,
        ("cpim" | "msrp" | "body", "content-type") | ("body", "parts") | ("sdp", "accept-types" | "accept-wrapped-types") => {
            Grammar::Params
        }
        ("sdp", "port" | "max-size" | "version")
        | ("conference-info", "version" | "user-count")
        | ("msrp", "code" | "status")
        | ("body", "size") => Grammar::Number,
        ("sdp", "direction" | "setup" | "protocol" | "media" | "connection")
        | ("imdn", "status" | "kind")
        | ("conference-info", "state")
        | ("group-state", "type")
        | ("msrp", "failure-report" | "success-report") => Grammar::Token,
        ("cpim" | "body", "text") => Grammar::Exact,
        _ => Grammar::Text,
    }
}

/// The values of a field.
pub(super) fn read<'a>(view: &'a View<'_>, prefix: &str, rest: &str) -> Values<'a> {
    match prefix {
        "msrp" => msrp(view, rest),
        "sdp" => view.bodies().sdp().map_or_else(Values::none, |sdp| of_sdp(sdp, rest)),
        "cpim" => view.bodies().cpim().map_or_else(Values::none, |cpim| of_cpim(cpim, rest)),
        "imdn" => view.bodies().imdn().map_or_else(Values::none, |imdn| of_imdn(imdn, rest)),
        "conference-info" => view.bodies().conference().map_or_else(Values::none, |info| of_conference(info, rest)),
        "group-state" => view.bodies().group().map_or_else(Values::none, |state| of_group(state, rest)),
        _ => body(view.bodies(), rest),
    }
}

fn msrp<'a>(view: &'a View<'_>, rest: &str) -> Values<'a> {
    let Some(chunk) = view.as_msrp() else { return Values::none() };
    match rest {
        "flag" => Values::one(Some(match chunk.flag() {
            Flag::Complete => "$",
            Flag::More => "+",
            Flag::Aborted => "#",
        })),
        "code" => Values::one(chunk.code().map(|code| code.to_string())),
        "status" => Values::one(chunk.status().map(|status| status.to_string())),
        "to-path" => Values::list(msrp::paths(chunk.to_path())),
        "from-path" => Values::list(msrp::paths(chunk.from_path())),
        field => Values::one(chunk.value(field)),
    }
}

fn of_sdp<'a>(sdp: &'a Sdp, rest: &str) -> Values<'a> {
    let number = |number: Option<u64>| Values::one(number.map(|number| number.to_string()));
    match rest {
        "direction" => Values::one(sdp.media().map(|_| sdp.direction().token())),
        "path" => Values::one(sdp.path()),
        "port" => number(sdp.port().map(u64::from)),
        "protocol" => Values::one(sdp.proto()),
        "media" => Values::one(sdp.media().map(|media| media.media)),
        "accept-types" | "accept-wrapped-types" if sdp.attribute(rest).is_none() => Values::none(),
        "accept-types" => Values::list(sdp.accept_types()),
        "accept-wrapped-types" => Values::list(sdp.accept_wrapped_types()),
        "address" => Values::one(sdp.connection()),
        "session-id" => Values::one(Some(sdp.origin().sess_id)),
        "version" => number(Some(sdp.origin().sess_version)),
        "setup" | "max-size" | "connection" => Values::one(sdp.attribute(rest).map(str::trim)),
        _ => {
            let name = rest.strip_prefix("attribute.").unwrap_or(rest);
            Values::one(sdp.attributes().find(|(own, _)| *own == name).map(|(_, value)| value.unwrap_or("")))
        }
    }
}

/// The header field of a CPIM message that a short name means.
pub(super) fn cpim_header(rest: &str) -> &str {
    match rest {
        "from" => "From",
        "to" => "To",
        "cc" => "Cc",
        "date-time" => "DateTime",
        "subject" => "Subject",
        other => other,
    }
}

fn of_cpim<'a>(cpim: &'a Cpim, rest: &str) -> Values<'a> {
    match rest {
        "text" => Values::one(cpim.content_text()),
        "content-type" => Values::one(cpim.content_type()),
        _ if rest.starts_with("Content-") => Values::one(cpim.mime(rest)),
        _ => {
            let header = cpim_header(rest);
            if header.starts_with("imdn.") {
                return Values::one(cpim.header(header));
            }
            let values = cpim.headers().filter(|(own, _)| own.eq_ignore_ascii_case(header)).map(|(_, value)| Cow::Borrowed(value));
            Values { items: values.collect(), listed: matches!(header, "To" | "Cc") }
        }
    }
}

fn of_imdn<'a>(imdn: &'a Imdn, rest: &str) -> Values<'a> {
    match rest {
        "message-id" => Values::one(Some(imdn.message_id.as_str())),
        "status" => Values::one(Some(imdn.status.as_str())),
        "kind" => Values::one(Some(imdn.kind.to_string())),
        "date-time" => Values::one((!imdn.date_time.is_empty()).then_some(imdn.date_time.as_str())),
        "recipient" => Values::one(imdn.recipient_uri.as_deref()),
        "original-recipient" => Values::one(imdn.original_recipient_uri.as_deref()),
        _ => Values::one(imdn.subject.as_deref()),
    }
}

fn of_conference<'a>(info: &'a ConferenceInfo, rest: &str) -> Values<'a> {
    let users = |wanted: &dyn Fn(&User) -> bool| {
        let users = info.users().iter().filter(|user| wanted(user)).map(|user| user.entity.as_str());
        Values::list(users.collect::<Vec<_>>())
    };
    match rest {
        "entity" => Values::one(Some(info.entity.as_str())),
        "state" => Values::one(Some(info.state.token())),
        "version" => Values::one(info.version.map(|version| version.to_string())),
        "subject" => Values::one(info.subject.as_deref()),
        "user-count" => Values::one(info.user_count.map(|count| count.to_string())),
        "users" if info.users.is_none() => Values::none(),
        "users" => users(&|user| !is_gone(user)),
        "disconnected" => users(&is_gone),
        method => users(&|user| {
            is_gone(user) && user.endpoints.iter().any(|endpoint| endpoint.disconnection_method.as_deref() == Some(method))
        }),
    }
}

/// A user that is reported as gone: removed, or on no device any more.
fn is_gone(user: &User) -> bool {
    let left = |status: Option<&str>| matches!(status, Some("disconnected" | "disconnecting"));
    user.state == State::Deleted
        || (!user.endpoints.is_empty() && user.endpoints.iter().all(|endpoint| left(endpoint.status.as_deref())))
}

fn of_group<'a>(state: &'a GroupState, rest: &str) -> Values<'a> {
    let text = |text: &'a str| Values::one((!text.is_empty()).then_some(text));
    match rest {
        "focus" => text(&state.last_focus_session_id),
        "type" => text(&state.group_type),
        "timestamp" => text(&state.timestamp),
        "contribution-id" => Values::one(state.contribution_id.as_deref()),
        _ => Values::list(state.participants.iter().map(|participant| participant.comm_addr.as_str())),
    }
}

fn body<'a>(bodies: &'a Bodies, rest: &str) -> Values<'a> {
    match rest {
        "content-type" => Values::one(bodies.content_type.as_deref()),
        "size" => Values::one(Some(bodies.bytes.len().to_string())),
        "text" if bodies.bytes.is_empty() => Values::none(),
        // What is text, as nearly everything is, need not be looked at character by character.
        "text" => match std::str::from_utf8(&bodies.bytes) {
            Ok(text) => Values::one(Some(text)),
            Err(_) => Values::one(Some(String::from_utf8_lossy(&bodies.bytes))),
        },
        _ => Values::list(
            bodies.parts().iter().filter(|part| !mime::is_multipart(part.content_type())).map(mime::Part::content_type),
        ),
    }
}
