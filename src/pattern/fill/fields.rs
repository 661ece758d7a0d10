//! Header fields and the start line of a SIP message.

use std::borrow::Cow;

use super::super::grammar::{Grammar, bare_uri};
use super::super::path::{Subject, is_list};
use super::{FillFault, Filled, Supplies};
use crate::wire::sip::header::{self, NameAddr};
use crate::wire::sip::{Builder, Name, Params, Uri, reason_phrase};

/// Puts one key into the header.
pub(super) fn fill(builder: Builder, filled: &Filled<'_>, supplies: &Supplies<'_>) -> Result<Builder, FillFault> {
    match &filled.selector.subject {
        Subject::RequestUri => request_uri(builder, filled, supplies),
        Subject::StatusCode => status(builder, filled),
        Subject::ReasonPhrase => {
            let start = builder.start().splitn(3, ' ').take(2).collect::<Vec<_>>().join(" ");
            let phrase = filled.joined(" ").unwrap_or_default();
            Ok(builder.with_start(format!("{start} {phrase}")))
        }
        Subject::Field { name, spelling } if filled.selector.inner.is_empty() => {
            Ok(whole(builder, filled, *name, spelling, supplies))
        }
        Subject::Field { name, spelling } => inside(builder, filled, *name, spelling, supplies),
        Subject::Part(_) => Ok(builder),
    }
}

fn status(builder: Builder, filled: &Filled<'_>) -> Result<Builder, FillFault> {
    let text = filled.joined("").unwrap_or_default();
    let code: u16 = text.parse().map_err(|_| filled.fault("a status code is a number"))?;
    if !builder.start().starts_with("SIP/") {
        return Err(filled.fault("a request has no status code"));
    }
    Ok(builder.with_start(format!("SIP/2.0 {code} {}", reason_phrase(code))))
}

fn request_uri(builder: Builder, filled: &Filled<'_>, supplies: &Supplies<'_>) -> Result<Builder, FillFault> {
    let start = builder.start().to_owned();
    let mut words = start.splitn(2, ' ');
    let (method, rest) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let Some((old, version)) = rest.rsplit_once(' ').filter(|_| method != "SIP/2.0") else {
        return Err(filled.fault("a response has no Request-URI"));
    };
    let text = filled.joined("").ok_or_else(|| filled.fault("a request has a Request-URI"))?;
    let uri = match filled.selector.inner.as_str() {
        "" => supplies.uri(bare_uri(&text)),
        inner => changed_uri(old, inner, Some(&text)).ok_or_else(|| filled.fault("this part cannot be set"))?,
    };
    Ok(builder.with_start(format!("{method} {uri} {version}")))
}

/// A URI with another user, host, port or parameter.
fn changed_uri(old: &str, inner: &str, value: Option<&str>) -> Option<String> {
    let uri = Uri::parse(old).ok()?;
    let (scheme, _) = old.split_once(':')?;
    let host = uri.host?;
    let user = if inner == "user" { value } else { uri.user };
    let host = if inner == "host" { value? } else { host.0 };
    let port = if inner == "port" { value.map(str::to_owned) } else { uri.port.map(|port| port.to_string()) };
    let params = match inner {
        "user" | "host" | "port" => uri.params.0.to_owned(),
        name => with_param(uri.params, name, value, false),
    };
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{scheme}:{user}{host}{port}{params}"))
}

fn whole(builder: Builder, filled: &Filled<'_>, name: Name, spelling: &str, supplies: &Supplies<'_>) -> Builder {
    let Some(texts) = &filled.texts else { return builder.remove(spelling) };
    let old = builder.value(spelling).filter(|_| matches!(name, Name::From | Name::To));
    let written = |text: &String| keep_tag(address(text, supplies), old);
    let texts: Cow<'_, [String]> = match filled.grammar {
        Grammar::NameAddr => texts.iter().map(written).collect(),
        _ => Cow::Borrowed(texts),
    };
    match &*texts {
        [only] => builder.set(spelling, only),
        several if is_list(name) || several.is_empty() => builder.set(spelling, several.join(", ")),
        several => several.iter().fold(builder.remove(spelling), |builder, text| builder.push(spelling, text)),
    }
}

/// A name becomes a name-addr, a bare URI gets its brackets.
fn address(text: &str, supplies: &Supplies<'_>) -> String {
    let names = supplies.env.names();
    if let Some(uri) = names.address(text) {
        return names.display(text).map_or_else(|| format!("<{uri}>"), |display| format!("\"{display}\" <{uri}>"));
    }
    let bare = !text.contains('<') && !text.contains(';') && Uri::parse(text).is_ok();
    if bare { format!("<{text}>") } else { text.to_owned() }
}

/// From and To keep the tag that the dialog gave them, unless the pattern brings one.
fn keep_tag(text: String, old: Option<&str>) -> String {
    let tag = old.and_then(|old| NameAddr::parse(old).ok()).and_then(|old| old.tag());
    match tag {
        Some(tag) if !text.contains(";tag=") => format!("{text};tag={tag}"),
        _ => text,
    }
}

/// A part of the first element of a field.
fn inside(
    builder: Builder,
    filled: &Filled<'_>,
    name: Name,
    spelling: &str,
    supplies: &Supplies<'_>,
) -> Result<Builder, FillFault> {
    let line = builder.value(spelling).map(str::to_owned);
    let mut elements: Vec<String> = match &line {
        Some(line) if is_list(name) => header::list(line).map(str::to_owned).collect(),
        Some(line) => vec![line.clone()],
        None => Vec::new(),
    };
    let inner = filled.selector.inner.as_str();
    let value = filled.joined(" ");
    let old = elements.first().cloned();
    if old.is_none() && value.is_none() {
        return Ok(builder);
    }
    let new = match Grammar::of_field(name) {
        Grammar::NameAddr => inside_address(old.as_deref(), inner, value.as_deref(), supplies),
        _ if name == Name::CSeq => inside_cseq(old.as_deref(), inner, value.as_deref()),
        _ => inside_params(name, old.as_deref(), inner, value.as_deref(), supplies),
    };
    let new = new.ok_or_else(|| filled.fault("this part cannot be set in the field that is there"))?;
    match elements.first_mut() {
        Some(first) => *first = new,
        None => elements.push(new),
    }
    let later: Vec<String> = builder.values(spelling).skip(1).map(str::to_owned).collect();
    let mut builder = builder.set(spelling, elements.join(", "));
    if !later.is_empty() {
        builder = builder.remove(spelling).push(spelling, elements.join(", "));
        for line in later {
            builder = builder.push(spelling, line);
        }
    }
    Ok(builder)
}

fn inside_address(old: Option<&str>, inner: &str, value: Option<&str>, supplies: &Supplies<'_>) -> Option<String> {
    let Some(old) = old else {
        return (inner == "uri").then(|| format!("<{}>", supplies.uri(bare_uri(value.unwrap_or("")))));
    };
    let address = NameAddr::parse(old).ok()?;
    let display = address.display.map(|display| format!("{display} ")).unwrap_or_default();
    let rebuilt = |display: &str, uri: &str, params: &str| format!("{display}<{uri}>{params}");
    match inner {
        "uri" => Some(rebuilt(&display, &supplies.uri(bare_uri(value?)), address.params.0)),
        "display" => {
            let display = value.map(|value| format!("\"{value}\" ")).unwrap_or_default();
            Some(rebuilt(&display, address.uri.text, address.params.0))
        }
        "user" | "host" | "port" => Some(rebuilt(&display, &changed_uri(address.uri.text, inner, value)?, address.params.0)),
        _ => match inner.strip_prefix("uri.") {
            Some(inner) => Some(rebuilt(&display, &changed_uri(address.uri.text, inner, value)?, address.params.0)),
            None => Some(rebuilt(&display, address.uri.text, &param(address.params, inner, value, supplies))),
        },
    }
}

fn inside_cseq(old: Option<&str>, inner: &str, value: Option<&str>) -> Option<String> {
    let (number, method) = old?.split_once(' ')?;
    match inner {
        "number" => Some(format!("{} {method}", value?)),
        "method" => Some(format!("{number} {}", value?)),
        _ => None,
    }
}

/// A head and parameters: Reason, Event, Session-Expires, Accept-Contact, Via and others.
fn inside_params(name: Name, old: Option<&str>, inner: &str, value: Option<&str>, supplies: &Supplies<'_>) -> Option<String> {
    let fresh = match name {
        Name::Reason => "SIP",
        Name::AcceptContact | Name::RejectContact => "*",
        _ => "",
    };
    let old = old.unwrap_or(fresh);
    let at = old.find(';').unwrap_or(old.len());
    let (head, params) = old.split_at(at);
    let is_head = match name {
        Name::Via => false,
        _ => matches!(inner, "value" | "protocol" | "package" | "state" | "seconds" | "type"),
    };
    if is_head {
        return Some(format!("{}{params}", value?));
    }
    if name == Name::Via && matches!(inner, "host" | "port" | "transport") {
        return None;
    }
    Some(format!("{head}{}", param(Params(params), inner, value, supplies)))
}

/// A header parameter, with the quotes that it wants.
fn param(params: Params<'_>, name: &str, value: Option<&str>, supplies: &Supplies<'_>) -> String {
    if name == "+sip.instance" {
        let value =
            value.map(|value| format!("\"<{}>\"", header::bare_instance(supplies.env.names().instance(value).unwrap_or(value))));
        return with_param(params, name, value.as_deref(), false);
    }
    let quoted = params.get(name).is_some_and(|old| old.starts_with('"')) || name == "text" || name.starts_with('+');
    with_param(params, name, value, quoted)
}

fn with_param(params: Params<'_>, name: &str, value: Option<&str>, quoted: bool) -> String {
    let written = value.map(|value| {
        let token = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~<>\":@/[]".contains(&byte));
        match value {
            "" => format!(";{name}"),
            value if quoted && !value.starts_with('"') || !token => {
                format!(";{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
            }
            value => format!(";{name}={value}"),
        }
    });
    let mut out = String::new();
    let mut placed = false;
    for (own, old) in params.iter() {
        if own.eq_ignore_ascii_case(name) {
            if !placed {
                out.push_str(written.as_deref().unwrap_or(""));
                placed = true;
            }
            continue;
        }
        out.push(';');
        out.push_str(own);
        if let Some(old) = old {
            out.push('=');
            out.push_str(old);
        }
    }
    if !placed {
        out.push_str(written.as_deref().unwrap_or(""));
    }
    out
}
