//! Bodies inside messages, by their media type.

use bytes::Bytes;

use super::{Node, error_of};
use crate::wire::sip::header::MediaType;
use crate::wire::xml::{conference_info, group_state, reginfo, resource_lists, service_info};
use crate::wire::{Fault, Level, Violation, cpim, imdn, mime, sdp, sip};

/// How deep bodies in bodies are followed.
pub(super) const DEPTH: usize = 4;

/// How many octets of a body that is no text are shown.
const SHOWN_OCTETS: usize = 64;

/// A body as a node; what is wrong with it goes into `violations`.
pub(super) fn body(content_type: &str, data: &Bytes, offset: usize, violations: &mut Vec<Violation>, depth: usize) -> Node {
    let essence = MediaType::parse(content_type).map_or_else(|_| String::new(), |media| media.essence.to_ascii_lowercase());
    let name = if content_type.is_empty() { "body without type" } else { content_type };
    let title = format!("body: {}, {} octets", one_line(name), data.len());
    if depth == 0 {
        return Node::leaf(title);
    }
    if mime::is_multipart(content_type) {
        return Node::new(title, parts(content_type, data, offset, violations, depth));
    }
    match essence.as_str() {
        cpim::MEDIA_TYPE => wrapped(title, data, offset, violations),
        "message/sip" => embedded(title, data, offset, violations, depth),
        _ => {
            check(&essence, data, offset, violations);
            Node::new(title, lines(data))
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn parts(content_type: &str, data: &Bytes, offset: usize, violations: &mut Vec<Violation>, depth: usize) -> Vec<Node> {
    match mime::Multipart::decode(content_type, data) {
        Err(fault) => {
            violations.push(error_of(fault, offset, "RFC 2046 5.1"));
            lines(data)
        }
        Ok(multipart) => {
            shift(multipart.violations().to_vec(), offset, violations);
            multipart.parts.iter().map(|part| one_part(part, offset, violations, depth)).collect()
        }
    }
}

fn one_part(part: &mime::Part, offset: usize, violations: &mut Vec<Violation>, depth: usize) -> Node {
    let encoded = part.header("Content-Transfer-Encoding").is_some_and(|encoding| encoding.eq_ignore_ascii_case("base64"));
    let content_type = if encoded { "application/octet-stream" } else { part.content_type() };
    let mut node = body(content_type, &part.body, offset + part.offset, violations, depth - 1);
    let headers = part.headers.iter().map(|(name, value)| Node::leaf(format!("{name}: {value}")));
    node.children.splice(0..0, headers);
    node.text = node.text.replacen("body", "part", 1);
    node
}

fn wrapped(title: String, data: &Bytes, offset: usize, violations: &mut Vec<Violation>) -> Node {
    let mut children = Vec::new();
    match cpim::Cpim::decode(data.clone()) {
        Ok(message) => cpim(&message, offset, violations, &mut children),
        Err(fault) => {
            violations.push(error_of(fault, offset, "RFC 3862 3"));
            children = lines(data);
        }
    }
    Node::new(title, children)
}

/// The headers and the content of a CPIM message.
pub(super) fn cpim(message: &cpim::Cpim, offset: usize, violations: &mut Vec<Violation>, nodes: &mut Vec<Node>) {
    shift(cpim::validate(message), offset, violations);
    nodes.extend(message.headers().chain(message.mime_headers()).map(|(name, value)| Node::leaf(format!("{name}: {value}"))));
    let content = message.content();
    if !content.is_empty() {
        let content_type = message.content_type().unwrap_or("text/plain");
        let encoded = message.mime("Content-Transfer-Encoding").is_some_and(|encoding| encoding.eq_ignore_ascii_case("base64"));
        let content_type = if encoded { "application/octet-stream" } else { content_type };
        nodes.push(body(content_type, &content, offset + message.content_offset(), violations, DEPTH - 1));
    }
}

fn embedded(title: String, data: &Bytes, offset: usize, violations: &mut Vec<Violation>, depth: usize) -> Node {
    match sip::Message::decode_tolerant(data.clone()) {
        Err(fault) => {
            violations.push(error_of(fault, offset, "RFC 3261 7"));
            Node::new(title, lines(data))
        }
        Ok(message) => {
            let fields = message.fields().map(|field| Node::leaf(super::field_line(&field)));
            let start = Node::leaf(String::from_utf8_lossy(message.start_bytes()).trim_end());
            let mut children: Vec<Node> = std::iter::once(start).chain(fields).collect();
            let inner = message.body();
            if !inner.is_empty() {
                let content_type = message.value(sip::Name::ContentType).unwrap_or("");
                children.push(body(content_type, &inner, offset + message.body_offset(), violations, depth - 1));
            }
            Node::new(title, children)
        }
    }
}

/// Checks a body that holds no further message.
fn check(essence: &str, data: &Bytes, offset: usize, violations: &mut Vec<Violation>) {
    let (result, rfc): (Result<Vec<Violation>, Fault>, _) = match essence {
        sdp::MEDIA_TYPE => (sdp::Sdp::parse(data).map(|own| sdp::validate(&own)), "RFC 8866 9"),
        imdn::MEDIA_TYPE => (imdn::Imdn::parse(data).map(|own| imdn::validate(&own)), "RFC 5438 11"),
        conference_info::MEDIA_TYPE => {
            let parsed = conference_info::ConferenceInfo::parse(data);
            (parsed.map(|own| conference_info::validate(&own)), "RFC 4575 5")
        }
        group_state::MEDIA_TYPE => {
            (group_state::GroupState::parse(data).map(|own| group_state::validate(&own)), "OMA CPM group state object")
        }
        resource_lists::MEDIA_TYPE => (resource_lists::ResourceLists::parse(data).map(|_| Vec::new()), "RFC 4826 3"),
        reginfo::MEDIA_TYPE => (reginfo::RegInfo::parse(data).map(|_| Vec::new()), "RFC 3680 5"),
        service_info::MEDIA_TYPE => (service_info::ServiceInfo::parse(data).map(|_| Vec::new()), "3GPP TS 24.229 7.6"),
        _ => return,
    };
    let mut found = result.unwrap_or_else(|fault| vec![error_of(fault, 0, rfc)]);
    // Whether a call with other media can be set up is for its endpoints to say.
    if essence == sdp::MEDIA_TYPE && memchr::memmem::find(data, b"m=message").is_none() {
        found.iter_mut().for_each(|violation| violation.level = Level::Warning);
    }
    shift(found, offset, violations);
}

fn shift(found: Vec<Violation>, offset: usize, violations: &mut Vec<Violation>) {
    violations.extend(found.into_iter().map(|violation| Violation { offset: violation.offset + offset, ..violation }));
}

/// Text line by line; anything else as its first octets.
pub(super) fn lines(data: &[u8]) -> Vec<Node> {
    match std::str::from_utf8(data) {
        Ok(text) if !text.contains('\0') => text.lines().map(|line| Node::leaf(line.trim_end_matches('\r'))).collect(),
        _ => vec![Node::leaf(octets(data))],
    }
}

fn octets(data: &[u8]) -> String {
    let shown: Vec<String> = data.iter().take(SHOWN_OCTETS).map(|byte| format!("{byte:02x}")).collect();
    let more = if data.len() > SHOWN_OCTETS { " …" } else { "" };
    format!("{}{more}", shown.join(" "))
}
