//! The parts of a message that patterns speak of in lower case: which fields a part has, how they
//! compare, and what stands there.

use bytes::Bytes;

use super::grammar::Grammar;
use super::path::Values;
use super::view::View;
use crate::wire::msrp::Flag;
use crate::wire::sip::Params;

/// The bodies of one message.
#[derive(Clone, Debug, Default)]
pub(super) struct Bodies {
    content_type: Option<String>,
    bytes: Bytes,
}

impl Bodies {
    pub(super) fn decode(content_type: Option<(&str, Params<'_>)>, bytes: Bytes) -> Self {
        Self { content_type: content_type.map(|(essence, params)| format!("{essence}{}", params.0)), bytes }
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
    "a.<attribute>",
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
const GROUP_STATE: &[&str] = &["focus", "type", "timestamp", "participants"];
const BODY: &[&str] = &["content-type", "text", "size", "parts"];

/// The fields of a part, for a person to choose from.
pub(super) fn fields(prefix: &str) -> &'static [&'static str] {
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
        "sdp" if rest.starts_with("a.") => rest.len() > 2,
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
        "body" => body(view.bodies(), rest),
        _ => Values::none(),
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
        "to-path" => Values::list(crate::wire::msrp::paths(chunk.to_path())),
        "from-path" => Values::list(crate::wire::msrp::paths(chunk.from_path())),
        field => Values::one(chunk.value(field)),
    }
}

fn body<'a>(bodies: &'a Bodies, rest: &str) -> Values<'a> {
    match rest {
        "content-type" => Values::one(bodies.content_type.as_deref()),
        "size" => Values::one(Some(bodies.bytes.len().to_string())),
        "text" => Values::one((!bodies.bytes.is_empty()).then(|| String::from_utf8_lossy(&bodies.bytes))),
        _ => Values::none(),
    }
}
