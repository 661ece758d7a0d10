//! Puts the values of a pattern into a message: when a scripted actor sends, and when a tamper
//! case changes what the IUT sent.

mod content;
mod fields;

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

use super::ast::{Key, Path, Place, Value};
use super::env::{Env, substitute};
use super::grammar::Grammar;
use super::path::{Selector, Subject};
use crate::ids::Ids;
use crate::wire::datetime;
use crate::wire::msrp::{self, ChunkBuilder, FailureReport, Flag};
use crate::wire::sip;
use crate::wire::xml::conference_info::ConferenceInfo;

/// What made content is made of.
pub struct Supplies<'a> {
    /// Names, variables, other messages.
    pub env: &'a dyn Env,
    /// Identifiers for what the pattern leaves open.
    pub ids: &'a mut Ids,
    /// The present in microseconds since 1970, for DateTime.
    pub now: i64,
    /// The CPIM From of a message whose pattern names none: a name or a URI.
    pub from: &'a str,
    /// The CPIM To of a message whose pattern names none: a name or a URI.
    pub to: &'a str,
    /// The conference that a roster speaks of: a name or a URI.
    pub entity: &'a str,
    /// The version of a roster whose pattern names none.
    pub roster_version: u32,
    /// The roster in the message, when whoever wrote it still has it.
    pub roster: Option<ConferenceInfo>,
}

impl Supplies<'_> {
    /// The URI that a name stands for when it is sent; other text as it is.
    fn uri(&self, text: &str) -> String {
        self.env.names().address(text).unwrap_or(text).to_owned()
    }

    /// The present as RFC 3339 text.
    fn date_time(&self) -> String {
        datetime::format(self.now)
    }
}

/// Why a pattern cannot be put into a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FillFault {
    /// The key.
    pub path: Path,
    /// What is wrong, a lower-case fragment.
    pub why: String,
    /// Where the key was written.
    pub place: Place,
}

impl FillFault {
    fn of(key: &Key, why: impl Into<String>) -> Self {
        Self { path: key.path.clone(), why: why.into(), place: key.place }
    }
}

impl std::fmt::Display for FillFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` cannot be put into the message: {}", self.path, self.why)
    }
}

impl std::error::Error for FillFault {}

/// An MSRP message or request in the making. What is `None` is left to the sender's defaults.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Draft {
    /// Message-ID.
    pub message_id: Option<String>,
    /// Content-Type.
    pub content_type: Option<String>,
    /// The content.
    pub body: Bytes,
    /// Success-Report.
    pub success_report: Option<bool>,
    /// Failure-Report.
    pub failure_report: Option<FailureReport>,
    /// Byte-Range, for a single chunk.
    pub byte_range: Option<String>,
    /// Status of a REPORT.
    pub status: Option<u16>,
    /// The continuation flag, for a single chunk.
    pub flag: Option<Flag>,
    /// To-Path, in place of the session's own.
    pub to_path: Option<String>,
    /// From-Path, in place of the session's own.
    pub from_path: Option<String>,
    /// Further header fields; one without value is left out of the message.
    pub fields: Vec<(String, Option<String>)>,
}

/// Puts keys into a SIP message. Bodies are filled before header fields, so that a pattern may say
/// of a body what is not true.
///
/// # Errors
///
/// The first key that cannot be sent, or that needs a body that is not there.
pub fn sip(mut builder: sip::Builder, keys: &[Key], supplies: &mut Supplies<'_>) -> Result<sip::Builder, FillFault> {
    let filled = filled(keys, supplies)?;
    if filled.iter().any(Filled::is_part) {
        let body = builder.value("Content-Type").map(|content_type| (content_type.to_owned(), builder.content()));
        if let Some((content_type, body)) = content::fill(body, &filled, supplies)? {
            builder = builder.body(&content_type, body);
        }
    }
    for field in filled.iter().filter(|filled| !filled.is_part()) {
        builder = fields::fill(builder, field, supplies)?;
    }
    Ok(builder)
}

/// Puts keys into an MSRP message.
///
/// # Errors
///
/// The first key that cannot be sent.
pub fn msrp(mut draft: Draft, keys: &[Key], supplies: &mut Supplies<'_>) -> Result<Draft, FillFault> {
    let filled = filled(keys, supplies)?;
    let is_own = |filled: &Filled<'_>| filled.prefix() == Some("msrp");
    if filled.iter().any(|filled| filled.is_part() && !is_own(filled)) {
        let body = draft.content_type.take().map(|content_type| (content_type, draft.body.clone()));
        if let Some((content_type, body)) = content::fill(body, &filled, supplies)? {
            (draft.content_type, draft.body) = (Some(content_type), body);
        }
    }
    for field in filled.iter().filter(|filled| is_own(filled)) {
        msrp_field(&mut draft, field)?;
    }
    for field in filled.iter().filter(|filled| !filled.is_part()) {
        draft.fields.push((field.key.path.prefix().to_owned(), field.joined(" ")));
    }
    Ok(draft)
}

/// A chat message for a SEND whose pattern says nothing of its content: short text in a CPIM
/// wrapper.
///
/// # Errors
///
/// None in practice; the shape is that of [`msrp()`].
pub fn plain_message(supplies: &mut Supplies<'_>) -> Result<Draft, FillFault> {
    let path = Path::Part { prefix: "cpim".to_owned(), rest: "text".to_owned() };
    msrp(Draft::default(), &[Key { path, value: Value::Literal("hello".to_owned()), place: Place::default() }], supplies)
}

/// Puts keys into a chunk that was received, for a tamper case; the content is that of the chunk.
///
/// # Errors
///
/// The first key that cannot be put there.
pub fn chunk(chunk: &msrp::Chunk, keys: &[Key], supplies: &mut Supplies<'_>) -> Result<ChunkBuilder, FillFault> {
    let draft =
        Draft { content_type: chunk.content_type().map(str::to_owned), body: chunk.body().unwrap_or_default(), ..Draft::default() };
    let before = draft.clone();
    let draft = msrp(draft, keys, supplies)?;
    let mut builder = ChunkBuilder::of(chunk);
    if draft.body != before.body {
        if let (Some(range), None) = (chunk.byte_range(), &draft.byte_range) {
            let end = range.start + draft.body.len() as u64 - u64::from(!draft.body.is_empty());
            let total = range.total.map(|_| end);
            builder = builder.set("Byte-Range", msrp::ByteRange { start: range.start, end: range.end.map(|_| end), total });
        }
        builder = builder.bare_body(Some(draft.body));
    }
    let texts = [
        ("Content-Type", draft.content_type.filter(|own| before.content_type.as_ref() != Some(own))),
        ("Message-ID", draft.message_id),
        ("Byte-Range", draft.byte_range),
        ("To-Path", draft.to_path),
        ("From-Path", draft.from_path),
        ("Success-Report", draft.success_report.map(|wanted| if wanted { "yes" } else { "no" }.to_owned())),
        ("Failure-Report", draft.failure_report.map(|wanted| wanted.to_string())),
        ("Status", draft.status.map(|code| format!("000 {code:03}"))),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            builder = builder.set(name, value);
        }
    }
    for (name, value) in draft.fields {
        builder = match value {
            Some(value) => builder.set(&name, value),
            None => builder.remove(&name),
        };
    }
    Ok(match draft.flag {
        Some(flag) => builder.flag(flag),
        None => builder,
    })
}

fn msrp_field(draft: &mut Draft, filled: &Filled<'_>) -> Result<(), FillFault> {
    let value = filled.joined(" ");
    let fault = |why: &str| FillFault::of(filled.key, why);
    let named = |draft: &mut Draft, name: &str, value: Option<String>| draft.fields.push((name.to_owned(), value));
    match (filled.selector.inner.as_str(), value) {
        ("message-id", Some(value)) => draft.message_id = Some(value),
        ("content-type", Some(value)) => draft.content_type = Some(value),
        ("byte-range", Some(value)) => draft.byte_range = Some(value),
        ("to-path", Some(value)) => draft.to_path = Some(value),
        ("from-path", Some(value)) => draft.from_path = Some(value),
        ("success-report", Some(value)) => match value.as_str() {
            "yes" => draft.success_report = Some(true),
            "no" => draft.success_report = Some(false),
            _ => named(draft, "Success-Report", Some(value)),
        },
        ("failure-report", Some(value)) => match value.as_str() {
            "yes" => draft.failure_report = Some(FailureReport::Yes),
            "no" => draft.failure_report = Some(FailureReport::No),
            "partial" => draft.failure_report = Some(FailureReport::Partial),
            _ => named(draft, "Failure-Report", Some(value)),
        },
        ("status", Some(value)) => match value.trim_start_matches("000 ").parse() {
            Ok(code) => draft.status = Some(code),
            Err(_) => named(draft, "Status", Some(value)),
        },
        ("flag", Some(value)) => {
            let flag = value.bytes().next().and_then(Flag::of);
            draft.flag = Some(flag.ok_or_else(|| fault("a flag is `$`, `+` or `#`"))?);
        }
        ("code", _) => return Err(fault("the code of an answer stands in the arrow")),
        (name, value) => {
            let name = match name {
                "message-id" => "Message-ID",
                "content-type" => "Content-Type",
                "byte-range" => "Byte-Range",
                "to-path" => "To-Path",
                "from-path" => "From-Path",
                "success-report" => "Success-Report",
                "failure-report" => "Failure-Report",
                other => other,
            };
            named(draft, name, value);
        }
    }
    Ok(())
}

/// A key with the texts that its value comes to.
struct Filled<'k> {
    key: &'k Key,
    selector: Selector,
    grammar: Grammar,
    /// The texts; `None`: nothing is to stand there.
    texts: Option<Texts>,
}

/// Texts that a value comes to: mostly one.
type Texts = SmallVec<[String; 1]>;

impl Filled<'_> {
    fn prefix(&self) -> Option<&'static str> {
        match self.selector.subject {
            Subject::Part(prefix) => Some(prefix),
            _ => None,
        }
    }

    fn is_part(&self) -> bool {
        self.prefix().is_some()
    }

    fn joined(&self, separator: &str) -> Option<String> {
        self.texts.as_ref().map(|texts| texts.join(separator))
    }

    fn fault(&self, why: impl Into<String>) -> FillFault {
        FillFault::of(self.key, why)
    }
}

fn filled<'k>(keys: &'k [Key], supplies: &Supplies<'_>) -> Result<Vec<Filled<'k>>, FillFault> {
    let one = |key: &'k Key| {
        let selector = Selector::of(&key.path);
        let grammar = selector.grammar();
        Ok(Filled { texts: texts(key, &key.value, supplies)?, key, selector, grammar })
    };
    keys.iter().map(one).collect()
}

/// The texts that a value comes to.
fn texts(key: &Key, value: &Value, supplies: &Supplies<'_>) -> Result<Option<Texts>, FillFault> {
    let env = supplies.env;
    Ok(Some(match value {
        Value::Absent => return Ok(None),
        Value::Literal(text) => smallvec![substitute(text, env).into_owned()],
        Value::Variable(name) => {
            let value = env.variable(name).ok_or_else(|| FillFault::of(key, format!("variable `{name}` has no value yet")))?;
            smallvec![value.into_owned()]
        }
        Value::SameAs { id, path } => {
            let values = env.values_of(id, path).ok_or_else(|| FillFault::of(key, format!("no message `{id}` has come yet")))?;
            if values.is_empty() {
                return Ok(None);
            }
            values.into()
        }
        Value::Generate { bytes, seed } => smallvec![generated(*bytes, *seed)],
        Value::List(members) => {
            let mut out = Texts::new();
            for member in members {
                out.extend(texts(key, member, supplies)?.unwrap_or_default());
            }
            out
        }
        Value::OneOf(choices) if choices.len() == 1 => return texts(key, &choices[0], supplies),
        Value::Present => smallvec![String::new()],
        _ => return Err(FillFault::of(key, format!("`{value}` is no value to send"))),
    }))
}

/// Text of so many bytes that a seed decides: lower-case words.
pub fn generated(bytes: usize, seed: u64) -> String {
    let mut ids = Ids::new(seed, "generate");
    let mut out = String::with_capacity(bytes);
    while out.len() < bytes {
        let letter = ids.below(27);
        out.push(if letter == 26 { ' ' } else { char::from(b'a' + u8::try_from(letter).unwrap_or(0)) });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bob, invite, key};
    use super::super::{Names, View, fits, read};
    use super::*;
    use crate::wire::sip::{Builder, Message};

    fn with<T>(names: &Names, act: impl FnOnce(&mut Supplies<'_>) -> T) -> T {
        let mut ids = Ids::new(1, "test");
        act(&mut Supplies {
            env: names,
            ids: &mut ids,
            now: 1_767_225_600_000_000,
            from: "alice",
            to: "trip",
            entity: "trip",
            roster_version: 3,
            roster: None,
        })
    }

    fn changed(message: &Message, keys: &[(&str, &str)]) -> Message {
        let keys: Vec<Key> = keys.iter().map(|(path, text)| key(path, value(text))).collect();
        with(&bob(), |supplies| sip(Builder::of(message), &keys, supplies)).unwrap().build()
    }

    fn value(text: &str) -> Value {
        if text == "absent" { Value::Absent } else { Value::Literal(text.to_owned()) }
    }

    fn at(message: &Message, path: &str) -> Vec<String> {
        read(&View::sip(message), &Path::parse(path).unwrap())
    }

    const SDP: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=message 2855 TCP/MSRP *\r\n\
                       a=accept-types:message/cpim\r\na=path:msrp://10.0.0.1:2855/x;tcp\r\na=sendrecv\r\n";

    #[test]
    fn header_fields_are_set_edited_and_removed() {
        let message = invite(&["Subject: old", "Reason: SIP;cause=200;text=\"x\""], "");
        let new = changed(
            &message,
            &[
                ("Subject", "new"),
                ("P-Asserted-Identity", "bob"),
                ("To", "alice"),
                ("From.uri", "trip"),
                ("Contact.isfocus", "absent"),
                ("Contact.+sip.instance", "urn:uuid:2"),
                ("reason.cause", "503"),
                ("Request-URI", "alice"),
                ("User-Agent", "x/1"),
                ("Session-Expires.refresher", "uas"),
                ("Accept-Contact.+sip.instance", "bob.phone"),
            ],
        );
        assert_eq!(at(&new, "Subject"), ["new"]);
        assert_eq!(at(&new, "P-Asserted-Identity"), ["\"Bob\" <sip:+15145550102@home1.example>"]);
        assert_eq!(at(&new, "From"), ["<sip:gc-1@cf.home1.example>;tag=f1"]);
        assert_eq!(at(&new, "Contact"), ["<sip:gc@pf.home1.example>;+sip.instance=\"<urn:uuid:2>\""]);
        assert_eq!(at(&new, "Reason"), ["SIP;cause=503;text=\"x\""]);
        assert_eq!(new.request_uri(), Some("sip:+15145550101@home1.example"));
        assert_eq!(at(&new, "Accept-Contact"), ["*;+sip.instance=\"<urn:uuid:1>\""]);
    }

    #[test]
    fn what_was_filled_fits_the_same_pattern() {
        let message = invite(&["Content-Type: application/sdp"], SDP);
        let types = Value::List(vec![Value::Literal("text/plain".into()), Value::Literal("message/cpim".into())]);
        let keys = [
            key("sdp.direction", value("recvonly")),
            key("sdp.port", value("0")),
            key("sdp.accept-types", types),
            key("sdp.attribute.chatroom", value("nickname")),
            key("Conversation-ID", value("abc")),
            key("Supported", Value::List(vec![value("timer"), value("100rel")])),
        ];
        let names = bob();
        let new = with(&names, |supplies| sip(Builder::of(&message), &keys, supplies)).unwrap().build();
        assert_eq!(fits(&keys, &View::sip(&new), &names), Ok(super::super::Bindings::default()));
    }

    #[test]
    fn a_chat_message_is_wrapped_and_named() {
        let names = bob();
        let keys = [key("cpim.from", value("bob")), key("cpim.text", value("hi")), key("msrp.success-report", value("yes"))];
        let draft = with(&names, |supplies| msrp(Draft::default(), &keys, supplies)).unwrap();
        assert_eq!(draft.content_type.as_deref(), Some("message/cpim"));
        assert_eq!(draft.success_report, Some(true));
        let text = String::from_utf8(draft.body.to_vec()).unwrap();
        assert!(
            text.starts_with("From: Bob <sip:+15145550102@home1.example>\r\nTo: <sip:gc-1@cf.home1.example>\r\nDateTime: 2026"),
            "{text}"
        );
        assert!(text.contains("imdn.Message-ID: ") && text.contains("NS: imdn <urn:ietf:params:imdn>"), "{text}");
        assert!(text.ends_with("Content-Length: 2\r\n\r\nhi"), "{text}");
    }

    #[test]
    fn a_first_message_stands_beside_the_description() {
        let names = bob();
        let message = invite(&["Content-Type: application/sdp"], SDP);
        let first = [key("cpim.text", value("hi"))];
        let both = with(&names, |supplies| sip(Builder::of(&message), &first, supplies)).unwrap().build();
        let kinds = [value("application/sdp"), value("message/cpim")];
        let demands = [key("body.parts", Value::List(kinds.to_vec())), key("cpim.text", value("hi"))];
        assert!(fits(&demands, &View::sip(&both), &names).is_ok());
        let turned = [key("sdp.direction", value("sendonly")), key("cpim.text", value("ho"))];
        let both = with(&names, |supplies| sip(Builder::of(&both), &turned, supplies)).unwrap().build();
        assert!(fits(&turned, &View::sip(&both), &names).is_ok());
        let alone = [key("body.parts", Value::List(vec![value("application/sdp")]))];
        let alone = with(&names, |supplies| sip(Builder::of(&both), &alone, supplies)).unwrap().build();
        let demands = [key("sdp.direction", value("sendonly")), key("body.content-type", value("application/sdp"))];
        assert!(fits(&demands, &View::sip(&alone), &names).is_ok());
    }

    #[test]
    fn a_notification_is_made_inside_its_wrapper() {
        let names = bob();
        let keys = [key("imdn.message-id", value("m1")), key("imdn.status", value("displayed"))];
        let draft = with(&names, |supplies| msrp(Draft::default(), &keys, supplies)).unwrap();
        let chunk = msrp::ChunkBuilder::request("tid1", "SEND", "a", "b").body("message/cpim", draft.body.clone()).build();
        let view = View::msrp(&chunk, Some(draft.body));
        let demands = [
            key("imdn.kind", value("display")),
            key("imdn.message-id", value("m1")),
            key("cpim.Content-Disposition", value("notification")),
        ];
        assert_eq!(fits(&demands, &view, &names), Ok(super::super::Bindings::default()));
    }

    #[test]
    fn a_roster_lists_names_as_addresses() {
        let names = bob();
        let users = Value::List(vec![value("alice"), value("bob")]);
        let keys = [key("conference-info.users", users), key("conference-info.booted", Value::List(vec![value("sip:carol@x")]))];
        let new = with(&names, |supplies| sip(Builder::request("NOTIFY", "sip:x"), &keys, supplies)).unwrap().build();
        assert_eq!(at(&new, "conference-info.version"), ["3"]);
        assert_eq!(at(&new, "conference-info.user-count"), ["2"]);
        assert_eq!(fits(&keys, &View::sip(&new), &names), Ok(super::super::Bindings::default()));
        assert_eq!(at(&new, "Content-Type"), ["application/conference-info+xml"]);
    }

    #[test]
    fn a_changed_chunk_keeps_its_byte_range_true() {
        let chunk =
            msrp::ChunkBuilder::request("tid1", "SEND", "a", "b").push("Byte-Range", "1-2/2").body("text/plain", "hi").build();
        let new = with(&bob(), |supplies| super::chunk(&chunk, &[key("body.text", value("hello"))], supplies)).unwrap().build();
        assert_eq!(new.value("Byte-Range"), Some("1-5/5"));
        assert_eq!(new.body().as_deref(), Some(&b"hello"[..]));
    }

    #[test]
    fn what_cannot_be_sent_is_told() {
        let message = invite(&[], "");
        for (path, value) in
            [("sdp.port", value("1")), ("Subject", Value::Contains(Box::new(value("x")))), ("Status-Code", value("200"))]
        {
            assert!(with(&bob(), |supplies| sip(Builder::of(&message), &[key(path, value)], supplies)).is_err(), "{path}");
        }
    }

    mod anything {
        use proptest::prelude::*;

        use super::*;

        const PATHS: [&str; 30] = [
            "Request-URI",
            "Request-URI.user",
            "Request-URI.host",
            "Reason-Phrase",
            "status",
            "From",
            "From.uri",
            "From.tag",
            "To.display",
            "Contact",
            "Contact.+sip.instance",
            "Contact.uri.user",
            "Via.branch",
            "CSeq.number",
            "reason.cause",
            "reason.protocol",
            "Accept-Contact.+g.x",
            "Supported",
            "X-Own",
            "Session-Expires.refresher",
            "sdp.direction",
            "sdp.port",
            "sdp.attribute.x",
            "cpim.from",
            "cpim.text",
            "cpim.imdn.Message-ID",
            "imdn.status",
            "conference-info.users",
            "group-state.participants",
            "body.text",
        ];

        fn values() -> impl Strategy<Value = Value> {
            let text = "(\\PC|[;:<>\"@%,= \\r\\n]){0,12}".prop_map(Value::Literal);
            prop_oneof![
                text.clone(),
                Just(Value::Absent),
                Just(Value::Present),
                prop::collection::vec(text, 0..3).prop_map(Value::List)
            ]
        }

        proptest! {
            #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

            #[test]
            fn any_value_is_put_anywhere_without_a_panic(
                keys in prop::collection::vec((prop::sample::select(&PATHS[..]), values()), 1..4),
                sdp in any::<bool>(),
            ) {
                let keys: Vec<Key> = keys.into_iter().map(|(path, value)| key(path, value)).collect();
                let message = invite(if sdp { &["Content-Type: application/sdp"] } else { &[] }, if sdp { SDP } else { "" });
                let names = bob();
                if let Ok(filled) = with(&names, |supplies| sip(Builder::of(&message), &keys, supplies))
                    && let Ok(message) = Message::decode(filled.encode())
                {
                    let _ = fits(&keys, &View::sip(&message), &names);
                }
                let _ = with(&names, |supplies| msrp(Draft::default(), &keys, supplies));
            }
        }
    }
}
