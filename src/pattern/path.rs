//! Paths: how they are written, and what stands at one in a message.

use std::borrow::Cow;

use smallvec::{SmallVec, smallvec};

use super::ast::Path;
use super::bodies;
use super::grammar::Grammar;
use super::view::View;
use crate::wire::sip::header::{self, AcceptContact, CSeq, NameAddr, Via, bare_instance};
use crate::wire::sip::{Name, Params, StartLine, Uri};

/// The prefixes of parts. A key that starts with none of them and with no capital is a word of
/// the language, or a mistake.
pub const PREFIXES: [&str; 8] = ["sdp", "cpim", "imdn", "reason", "msrp", "conference-info", "group-state", "body"];

/// The values at a path.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Values<'a> {
    /// The values in order; none when nothing stands there.
    pub items: SmallVec<[Cow<'a, str>; 2]>,
    /// Whether the path is a list by nature, even when it has one member.
    pub listed: bool,
}

impl<'a> Values<'a> {
    /// Nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// One value, if there is one.
    pub fn one(value: Option<impl Into<Cow<'a, str>>>) -> Self {
        Self { items: value.into_iter().map(Into::into).collect(), listed: false }
    }

    /// A list.
    pub fn list<T: Into<Cow<'a, str>>>(values: impl IntoIterator<Item = T>) -> Self {
        Self { items: values.into_iter().map(Into::into).collect(), listed: true }
    }

    /// Whether nothing stands there.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// Why a path is not one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathFault {
    /// It starts like neither a header field nor a part.
    NotAPath,
    /// The part has no such field; these are known.
    UnknownField {
        /// The prefix.
        prefix: &'static str,
        /// The fields that it has.
        known: &'static [&'static str],
    },
    /// The header field is unknown and looks like this one.
    LooksLike(&'static str),
    /// A dot without anything after it, or a name that is no token.
    Malformed,
}

impl Path {
    /// Reads a path as it is written in a key.
    ///
    /// # Errors
    ///
    /// When it is no path, or one that no message can have.
    pub fn parse(text: &str) -> Result<Self, PathFault> {
        let (first, rest) = match text.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (text, None),
        };
        if text == "status" {
            return Ok(Self::Header { name: "Status-Code".to_owned(), part: None });
        }
        if rest == Some("") || first.is_empty() {
            return Err(PathFault::Malformed);
        }
        if let Some(prefix) = PREFIXES.into_iter().find(|prefix| *prefix == first) {
            let rest = rest.ok_or(PathFault::NotAPath)?;
            let known = bodies::fields(prefix);
            if !bodies::is_field(prefix, rest) {
                return Err(PathFault::UnknownField { prefix, known });
            }
            return Ok(Self::Part { prefix: prefix.to_owned(), rest: rest.to_owned() });
        }
        let compact = first.len() == 1 && Name::of(first.as_bytes()) != Name::Other;
        if !compact && !first.starts_with(|char: char| char.is_ascii_uppercase()) {
            return Err(PathFault::NotAPath);
        }
        if !first.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'.')) {
            return Err(PathFault::Malformed);
        }
        let unknown = Name::of(first.as_bytes()) == Name::Other && !PSEUDO.contains(&first);
        if unknown && let Some(known) = looks_like(first) {
            return Err(PathFault::LooksLike(known));
        }
        Ok(Self::Header { name: first.to_owned(), part: rest.map(str::to_owned) })
    }
}

/// What is written like a header field and stands in the start line.
const PSEUDO: [&str; 3] = ["Request-URI", "Reason-Phrase", "Status-Code"];

fn looks_like(name: &str) -> Option<&'static str> {
    if name.starts_with("X-") || name.len() < 4 {
        return None;
    }
    let known = Name::all().map(Name::canonical).chain(PSEUDO);
    known
        .map(|known| (distance(&name.to_ascii_lowercase(), &known.to_ascii_lowercase()), known))
        .filter(|(far, _)| *far <= 2)
        .min()
        .map(|(_, known)| known)
}

/// How many letters have to be inserted, removed, replaced or swapped to make `left` into `right`.
pub fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![(0..=right.len()).collect::<Vec<_>>()];
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(a != b);
            let mut best = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

/// A path that is ready to be read often: its header name is recognised.
#[derive(Clone, Debug)]
pub(super) struct Selector {
    pub(super) subject: Subject,
    /// What follows the first dot; empty for a whole element.
    pub(super) inner: String,
}

/// What the keys of one prefix speak of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Subject {
    RequestUri,
    ReasonPhrase,
    StatusCode,
    Field { name: Name, spelling: String },
    Part(&'static str),
}

impl Selector {
    pub(super) fn of(path: &Path) -> Self {
        match path {
            Path::Header { name, part } => {
                let subject = match name.as_str() {
                    "Request-URI" => Subject::RequestUri,
                    "Reason-Phrase" => Subject::ReasonPhrase,
                    "Status-Code" => Subject::StatusCode,
                    spelling => Subject::field(spelling),
                };
                Self { subject, inner: part.clone().unwrap_or_default() }
            }
            Path::Part { prefix, rest } if prefix == "reason" => Self { subject: Subject::field("Reason"), inner: rest.clone() },
            Path::Part { prefix, rest } => {
                let prefix = PREFIXES.into_iter().find(|known| known == prefix).unwrap_or("body");
                Self { subject: Subject::Part(prefix), inner: rest.clone() }
            }
        }
    }

    /// How values here are compared.
    pub(super) fn grammar(&self) -> Grammar {
        match &self.subject {
            Subject::RequestUri if self.inner.is_empty() => Grammar::Uri,
            Subject::RequestUri | Subject::ReasonPhrase => Grammar::Text,
            Subject::StatusCode => Grammar::Number,
            Subject::Field { name, .. } if self.inner.is_empty() => Grammar::of_field(*name),
            Subject::Field { name, .. } => grammar_of_inner(*name, &self.inner),
            Subject::Part(prefix) => bodies::grammar(prefix, &self.inner),
        }
    }

    /// The value inside one element.
    pub(super) fn read<'a>(&self, view: &'a View<'_>, element: &'a str) -> Values<'a> {
        match &self.subject {
            Subject::Part(prefix) => bodies::read(view, prefix, &self.inner),
            _ if self.inner.is_empty() => Values::one(Some(unfold(element))),
            Subject::RequestUri => Values::one(inside_uri(element, &self.inner)),
            Subject::ReasonPhrase | Subject::StatusCode => Values::none(),
            Subject::Field { name: Name::Reason, .. } if self.inner == "cause" => {
                // A cause that is no number is as if it were missing (RFC 3326 2: 1*DIGIT).
                let cause = inside(Name::Reason, element, &self.inner);
                Values::one(cause.filter(|cause| header::number(cause).is_ok()))
            }
            Subject::Field { name, .. } => Values::one(inside(*name, element, &self.inner)),
        }
    }
}

impl Subject {
    fn field(spelling: &str) -> Self {
        Self::Field { name: Name::of(spelling.as_bytes()), spelling: spelling.to_owned() }
    }

    /// The elements that keys of this prefix speak of, in order. A part is one element, which is
    /// always there: its fields say for themselves what is missing.
    pub(super) fn elements<'a>(&self, view: &View<'a>) -> SmallVec<[&'a str; 4]> {
        match self {
            Self::Part(_) => smallvec![""],
            Self::RequestUri => view.as_sip().and_then(|message| message.request_uri()).into_iter().collect(),
            Self::ReasonPhrase => match view.as_sip().map(|message| message.start_line()) {
                Some(StartLine::Status { reason, .. }) => smallvec![reason],
                _ => smallvec![],
            },
            // The three digits after the version.
            Self::StatusCode => match view.as_sip().filter(|message| !message.is_request()) {
                Some(message) => {
                    let line = message.version().len() + 1;
                    let code = message.bytes().get(line..line + 3).and_then(|code| std::str::from_utf8(code).ok());
                    code.into_iter().collect()
                }
                None => smallvec![],
            },
            Self::Field { name, spelling } => field_elements(view, *name, spelling),
        }
    }
}

fn field_elements<'a>(view: &View<'a>, name: Name, spelling: &str) -> SmallVec<[&'a str; 4]> {
    let mut out = SmallVec::new();
    if let Some(message) = view.as_sip() {
        match name {
            Name::Other => {
                let same = message.fields().filter(|field| field.name == name && field.token.eq_ignore_ascii_case(spelling));
                out.extend(same.map(|field| field.value));
            }
            _ if is_list(name) => out.extend(message.elements(name).filter(|element| !element.is_empty())),
            _ => out.extend(message.values(name)),
        }
    } else if let Some(chunk) = view.as_msrp() {
        out.extend(chunk.fields().filter(|(token, _)| token.eq_ignore_ascii_case(spelling)).map(|(_, value)| value));
    }
    out
}

/// Whether a field is a comma-separated list of elements (RFC 3261 7.3.1).
pub(super) const fn is_list(name: Name) -> bool {
    !matches!(
        name,
        Name::From
            | Name::To
            | Name::CallId
            | Name::CSeq
            | Name::Date
            | Name::Subject
            | Name::UserAgent
            | Name::Server
            | Name::Organization
            | Name::ContentType
            | Name::ContentLength
            | Name::ContentDisposition
            | Name::Event
            | Name::Expires
            | Name::MaxForwards
            | Name::MinExpires
            | Name::MinSe
            | Name::SessionExpires
            | Name::SubscriptionState
            | Name::RetryAfter
            | Name::ReferTo
            | Name::ReferredBy
            | Name::Replaces
            | Name::Timestamp
            | Name::ConversationId
            | Name::ContributionId
            | Name::InReplyToContributionId
            | Name::WwwAuthenticate
            | Name::ProxyAuthenticate
            | Name::Authorization
            | Name::ProxyAuthorization
            | Name::AuthenticationInfo
            | Name::PChargingVector
            | Name::PAccessNetworkInfo
            | Name::PAssertedService
            | Name::PPreferredService
            | Name::Other
    )
}

/// Folded lines as one (RFC 3261 7.3.1).
fn unfold(text: &str) -> Cow<'_, str> {
    if text.contains('\n') { Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(" ")) } else { Cow::Borrowed(text) }
}

fn grammar_of_inner(name: Name, inner: &str) -> Grammar {
    match inner {
        "uri" => Grammar::Uri,
        "+sip.instance" => Grammar::Instance,
        "port" | "number" | "seconds" | "cause" | "expires" | "ttl" | "rport" => Grammar::Number,
        "host" | "protocol" | "transport" | "package" | "state" | "type" | "value" | "refresher" | "handling" => Grammar::Token,
        "method" if !matches!(name, Name::CSeq) => Grammar::Token,
        inner if inner.starts_with('+') => Grammar::Token,
        _ => Grammar::Text,
    }
}

fn inside<'a>(name: Name, element: &'a str, inner: &str) -> Option<Cow<'a, str>> {
    match Grammar::of_field(name) {
        Grammar::NameAddr => inside_address(&NameAddr::parse(element).ok()?, inner),
        _ if name == Name::Via => inside_via(&Via::parse(element).ok()?, inner),
        _ if name == Name::CSeq => {
            let cseq = CSeq::parse(element).ok()?;
            match inner {
                "number" => Some(cseq.number.to_string().into()),
                "method" => Some(cseq.method.into()),
                _ => None,
            }
        }
        _ if matches!(name, Name::AcceptContact | Name::RejectContact) => param(AcceptContact::parse(element).ok()?.params, inner),
        _ => {
            let at = element.find(';').unwrap_or(element.len());
            if is_head(name, inner) {
                return Some(element[..at].trim().into());
            }
            param(Params(&element[at..]), inner)
        }
    }
}

/// What the word before the first semicolon is called.
fn is_head(name: Name, inner: &str) -> bool {
    inner == "value"
        || match name {
            Name::Reason => inner == "protocol",
            Name::Event => inner == "package",
            Name::SubscriptionState => inner == "state",
            Name::SessionExpires | Name::MinSe | Name::RetryAfter => inner == "seconds",
            Name::ContentType | Name::Accept => inner == "type",
            Name::Replaces => inner == "call-id",
            _ => false,
        }
}

fn inside_address<'a>(address: &NameAddr<'a>, inner: &str) -> Option<Cow<'a, str>> {
    match inner {
        "uri" => Some(address.uri.text.into()),
        "display" => address.display.map(|display| header::unquote(display).into()),
        "user" | "host" | "port" | "scheme" => inside_uri(address.uri.text, inner),
        _ => match inner.strip_prefix("uri.") {
            Some(inner) => inside_uri(address.uri.text, inner),
            None => param(address.params, inner),
        },
    }
}

fn inside_uri<'a>(text: &'a str, inner: &str) -> Option<Cow<'a, str>> {
    let uri = Uri::parse(text).ok()?;
    match inner {
        "user" => uri.user.map(Cow::from),
        "host" => uri.host.map(|host| host.0.into()),
        "port" => uri.port.map(|port| port.to_string().into()),
        "scheme" => text.split(':').next().map(Cow::from),
        _ => param(uri.params, inner),
    }
}

fn inside_via<'a>(via: &Via<'a>, inner: &str) -> Option<Cow<'a, str>> {
    match inner {
        "transport" => Some(via.transport.into()),
        "host" => Some(via.host.0.into()),
        "port" => via.port.map(|port| port.to_string().into()),
        _ => param(via.params, inner),
    }
}

/// A parameter without quotes; an instance without brackets; empty when it has no value.
fn param<'a>(params: Params<'a>, name: &str) -> Option<Cow<'a, str>> {
    let value = params.get(name)?;
    Some(match name {
        "+sip.instance" => bare_instance(value).into(),
        _ if value.starts_with('"') => header::unquote(value).into(),
        _ => value.into(),
    })
}

/// What a bare word at a path has to be: the name of someone, of a device, or anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// An address or a name.
    Address,
    /// An instance or a device.
    Instance,
    /// Any text.
    Text,
}

/// What values at a path stand for.
pub fn wanted(path: &Path) -> Wanted {
    match Selector::of(path).grammar() {
        Grammar::NameAddr | Grammar::Uri => Wanted::Address,
        Grammar::Instance => Wanted::Instance,
        _ => Wanted::Text,
    }
}

/// A path, made ready to be read often.
#[derive(Clone, Debug)]
pub struct Reader(Selector);

impl Reader {
    /// Prepares a path.
    pub fn of(path: &Path) -> Self {
        Self(Selector::of(path))
    }

    /// All values at the path: of all elements, in order.
    pub fn all(&self, view: &View<'_>) -> Vec<String> {
        let elements = self.0.subject.elements(view);
        elements.iter().flat_map(|element| self.0.read(view, element).items.into_iter().map(Cow::into_owned)).collect()
    }

    /// The first value at the path.
    pub fn first(&self, view: &View<'_>) -> Option<String> {
        let elements = self.0.subject.elements(view);
        elements.iter().find_map(|element| self.0.read(view, element).items.into_iter().next()).map(Cow::into_owned)
    }
}

/// All values at a path: of all elements, in order. What `save:`, `same-as` and `bind` outside a
/// pattern read.
pub fn read(view: &View<'_>, path: &Path) -> Vec<String> {
    Reader::of(path).all(view)
}
