//! Bodies: SDP is edited, CPIM, IMDN, rosters and group state are edited or made.

use bytes::{Bytes, BytesMut};

use super::super::bodies::cpim_header;
use super::super::grammar::bare_uri;
use super::{FillFault, Filled, Supplies};
use crate::wire::cpim::{self, Builder, Cpim};
use crate::wire::imdn::{self, Imdn, Kind};
use crate::wire::mime;
use crate::wire::sdp::{self, Direction, Sdp, SdpBuilder};
use crate::wire::xml::conference_info::{self, ConferenceInfo, State, User, Users};
use crate::wire::xml::group_state::{self, GroupState, Participant};

/// A media type and the bytes of that type.
pub(super) type Typed = (String, Bytes);

/// Puts the keys of parts into a body; `None` when there is to be none.
pub(super) fn fill(body: Option<Typed>, keys: &[Filled<'_>], supplies: &mut Supplies<'_>) -> Result<Option<Typed>, FillFault> {
    let of = |prefix: &str| keys.iter().filter(|filled| filled.prefix() == Some(prefix)).collect::<Vec<_>>();
    let mut body = body.filter(|(_, bytes)| !bytes.is_empty());
    let session = of("sdp");
    if let Some(first) = session.first() {
        let whole = body.take().ok_or_else(|| first.fault("the message has no SDP"))?;
        body = Some(within(whole, sdp::MEDIA_TYPE, first, |bytes| edit_sdp(bytes, &session))?);
    }
    let wrapper = wrapped(body.as_ref());
    let inside = match &wrapper {
        Some(cpim) => cpim.content_type().map(|own| (own.to_owned(), cpim.content())),
        None => body.clone(),
    };
    let mut inner = None;
    let (notification, roster, state) = (of("imdn"), of("conference-info"), of("group-state"));
    if !notification.is_empty() {
        inner = Some((imdn::MEDIA_TYPE.to_owned(), make_imdn(inside.as_ref(), &notification, supplies)?));
    }
    if !roster.is_empty() {
        inner = Some((conference_info::MEDIA_TYPE.to_owned(), make_roster(inside.as_ref(), &roster, supplies)?));
    }
    if !state.is_empty() {
        inner = Some((group_state::MEDIA_TYPE.to_owned(), make_group_state(inside.as_ref(), &state, supplies)?));
    }
    let headers = of("cpim");
    if !headers.is_empty() || wrapper.is_some() || !notification.is_empty() {
        let bytes = make_cpim(wrapper.as_ref(), inner, &headers, supplies);
        body = Some(placed(body, bytes));
    } else if inner.is_some() {
        body = inner;
    }
    of("body").into_iter().try_fold(body, |body, filled| whole(body, filled))
}

fn wrapped(body: Option<&Typed>) -> Option<Cpim> {
    let (content_type, bytes) = body?;
    Cpim::decode(mime::find(content_type, bytes, cpim::MEDIA_TYPE)?.body).ok()
}

/// A CPIM message in place of the one that was there, or as a part beside the SDP that is there.
fn placed(body: Option<Typed>, cpim: Bytes) -> Typed {
    let alone = (cpim::MEDIA_TYPE.to_owned(), cpim.clone());
    let Some((content_type, bytes)) = body else { return alone };
    let old = mime::parts(&content_type, &bytes);
    if !mime::is_multipart(&content_type) && !old.iter().any(|part| part.is(sdp::MEDIA_TYPE)) {
        return alone;
    }
    let mut is_new = true;
    let mut parts = Vec::with_capacity(old.len() + 1);
    for part in old {
        let is_cpim = part.is(cpim::MEDIA_TYPE) && is_new;
        is_new &= !is_cpim;
        parts.push(if is_cpim { mime::Part { body: cpim.clone(), ..part } } else { part });
    }
    if is_new {
        let headers = vec![("Content-Type".into(), cpim::MEDIA_TYPE.to_owned())];
        parts.push(mime::Part { headers, body: cpim, offset: 0 });
    }
    multipart(&content_type, &parts)
}

fn multipart(content_type: &str, parts: &[mime::Part]) -> Typed {
    let boundary = mime::boundary(content_type).unwrap_or_else(|_| "boundary1".to_owned());
    let builder = parts.iter().fold(mime::Builder::new(&boundary), |builder, part| {
        let headers: Vec<(&str, &str)> = part.headers.iter().map(|(name, value)| (name.as_ref(), value.as_str())).collect();
        builder.part_with(&headers, part.body.clone())
    });
    (builder.content_type(), builder.encode())
}

/// The body with the parts of these types alone; one that is left stands for itself.
fn kept(body: Option<Typed>, types: &[String]) -> Option<Typed> {
    let (content_type, bytes) = body?;
    let mut parts = mime::parts(&content_type, &bytes);
    parts.retain(|part| types.iter().any(|wanted| part.is(wanted)));
    match parts.as_slice() {
        [] => None,
        [one] => Some((one.content_type().to_owned(), one.body.clone())),
        several => Some(multipart(&content_type, several)),
    }
}

fn whole(body: Option<Typed>, filled: &Filled<'_>) -> Result<Option<Typed>, FillFault> {
    if let ("parts", Some(types)) = (filled.selector.inner.as_str(), &filled.texts) {
        return Ok(kept(body, types));
    }
    let value = filled.joined("");
    match (filled.selector.inner.as_str(), value) {
        ("content-type", Some(value)) => Ok(Some((value, body.map(|(_, bytes)| bytes).unwrap_or_default()))),
        ("text", Some(value)) => {
            let content_type = body.map_or_else(|| "text/plain;charset=UTF-8".to_owned(), |(content_type, _)| content_type);
            Ok(Some((content_type, Bytes::from(value))))
        }
        ("text" | "content-type", None) => Ok(None),
        _ => Err(filled.fault("this is read, not written")),
    }
}

/// Edits the part of a type, alone or inside a multipart body.
fn within(
    (content_type, bytes): Typed,
    essence: &str,
    filled: &Filled<'_>,
    edit: impl Fn(&[u8]) -> Result<Bytes, FillFault>,
) -> Result<Typed, FillFault> {
    let part = mime::find(&content_type, &bytes, essence).ok_or_else(|| filled.fault("the message has no body of this kind"))?;
    let new = edit(&part.body)?;
    let mut out = BytesMut::with_capacity(bytes.len() + new.len());
    out.extend_from_slice(&bytes[..part.offset]);
    out.extend_from_slice(&new);
    out.extend_from_slice(&bytes[part.offset + part.body.len()..]);
    Ok((content_type, out.freeze()))
}

fn edit_sdp(bytes: &[u8], parts: &[&Filled<'_>]) -> Result<Bytes, FillFault> {
    let first = parts[0];
    let sdp = Sdp::parse(bytes).map_err(|fault| first.fault(format!("the SDP that is there cannot be read: {fault}")))?;
    let mut builder = SdpBuilder::of(&sdp);
    for filled in parts {
        builder = edit_line(builder, &sdp, filled)?;
    }
    Ok(builder.encode())
}

fn edit_line(builder: SdpBuilder, sdp: &Sdp, filled: &Filled<'_>) -> Result<SdpBuilder, FillFault> {
    let name = filled.selector.inner.as_str();
    let value = filled.joined(" ");
    let number = |value: &str| value.parse().map_err(|_| filled.fault("this is a number"));
    Ok(match (name, value) {
        ("direction", Some(value)) => {
            let direction = Direction::of(&value)
                .ok_or_else(|| filled.fault("a direction is `sendrecv`, `sendonly`, `recvonly` or `inactive`"))?;
            builder.direction(direction)
        }
        ("direction", None) => {
            Direction::ALL.into_iter().fold(builder, |builder, direction| builder.remove_attribute(direction.token()))
        }
        ("port", Some(value)) => {
            let port: u64 = number(&value)?;
            builder.port(u16::try_from(port).map_err(|_| filled.fault("a port is below 65536"))?)
        }
        ("protocol", Some(value)) => builder.proto(&value),
        ("address", Some(value)) => builder.connection(&value),
        ("version", Some(value)) => builder.origin(sdp.origin().sess_id, number(&value)?),
        ("session-id", Some(value)) => builder.origin(&value, sdp.origin().sess_version),
        ("port" | "protocol" | "address" | "version" | "session-id" | "media", _) => return Err(filled.fault("this cannot be set")),
        (name, value) => {
            let name = name.strip_prefix("attribute.").unwrap_or(name);
            match value {
                Some(value) => builder.attribute(name, (!value.is_empty()).then_some(value.as_str())),
                None => builder.remove_attribute(name),
            }
        }
    })
}

fn make_cpim(old: Option<&Cpim>, inner: Option<Typed>, parts: &[&Filled<'_>], supplies: &mut Supplies<'_>) -> Bytes {
    let mut builder = match old {
        Some(old) => Builder::of(old),
        None => fresh_cpim(inner.as_ref(), supplies),
    };
    if let Some((content_type, bytes)) = inner {
        builder = builder.content(&content_type, bytes);
    }
    for filled in parts {
        builder = set_cpim(builder, filled, supplies);
    }
    builder.encode()
}

fn fresh_cpim(inner: Option<&Typed>, supplies: &mut Supplies<'_>) -> Builder {
    let (from, to) = (supplies.uri(supplies.from), supplies.uri(supplies.to));
    let builder =
        Builder::new(bare_uri(&from), bare_uri(&to)).date_time(&supplies.date_time()).message_id(&supplies.ids.message_id());
    match inner {
        Some((content_type, _)) if content_type == imdn::MEDIA_TYPE => builder.mime("Content-Disposition", "notification"),
        Some(_) => builder,
        None => builder.content("text/plain;charset=UTF-8", Bytes::new()),
    }
}

fn set_cpim(builder: Builder, filled: &Filled<'_>, supplies: &Supplies<'_>) -> Builder {
    let name = filled.selector.inner.as_str();
    match (name, &filled.texts) {
        ("text", texts) => builder.bare_content(texts.as_ref().map(|texts| texts.join("")).unwrap_or_default()),
        ("content-type", Some(texts)) => builder.mime("Content-Type", texts.join("")),
        ("content-type", None) => builder.remove_mime("Content-Type"),
        (name, Some(texts)) if name.starts_with("Content-") => builder.mime(name, texts.join(" ")),
        (name, None) if name.starts_with("Content-") => builder.remove_mime(name),
        (name, None) => builder.remove(cpim_header(name)),
        (name, Some(texts)) => {
            let header = cpim_header(name);
            let address = matches!(header, "From" | "To" | "Cc");
            let mut texts = texts.iter().map(|text| if address { named(text, supplies) } else { text.clone() });
            let first = builder.set(header, texts.next().unwrap_or_default());
            texts.fold(first, |builder, text| builder.push(header, text))
        }
    }
}

/// `Alice <sip:…>` for a name, `<sip:…>` for a bare URI (RFC 3862 3.1: the display name is free).
fn named(text: &str, supplies: &Supplies<'_>) -> String {
    let names = supplies.env.names();
    match names.address(text) {
        Some(uri) => names.display(text).map_or_else(|| format!("<{uri}>"), |display| format!("{display} <{uri}>")),
        None if text.contains('<') => text.to_owned(),
        None => format!("<{text}>"),
    }
}

fn make_imdn(old: Option<&Typed>, parts: &[&Filled<'_>], supplies: &Supplies<'_>) -> Result<Bytes, FillFault> {
    let old = old.and_then(|(_, bytes)| Imdn::parse(bytes).ok());
    let mut imdn = old.unwrap_or_else(|| Imdn::new("", &supplies.date_time(), Kind::Delivery, "delivered"));
    let mut kind = None;
    for filled in parts {
        let value = filled.joined(" ");
        match filled.selector.inner.as_str() {
            "message-id" => imdn.message_id = value.unwrap_or_default(),
            "status" => imdn.status = value.unwrap_or_default(),
            "date-time" => imdn.date_time = value.unwrap_or_default(),
            "recipient" => imdn.recipient_uri = value.map(|value| supplies.uri(&value)),
            "original-recipient" => imdn.original_recipient_uri = value.map(|value| supplies.uri(&value)),
            "subject" => imdn.subject = value,
            _ => {
                let wanted =
                    [Kind::Delivery, Kind::Processing, Kind::Display].into_iter().find(|kind| Some(kind.to_string()) == value);
                kind = Some(wanted.ok_or_else(|| filled.fault("a kind is `delivery`, `processing` or `display`"))?);
            }
        }
    }
    let fits = [Kind::Delivery, Kind::Display, Kind::Processing].into_iter().find(|kind| kind.allows(&imdn.status));
    imdn.kind = kind.or(fits).unwrap_or(imdn.kind);
    Ok(Bytes::from(imdn.to_xml()))
}

fn make_roster(old: Option<&Typed>, parts: &[&Filled<'_>], supplies: &mut Supplies<'_>) -> Result<Bytes, FillFault> {
    let known = supplies.roster.take();
    let old = known.or_else(|| ConferenceInfo::parse(&old?.1).ok());
    let entity = bare_uri(&supplies.uri(supplies.entity)).to_owned();
    let mut info = old.unwrap_or_else(|| ConferenceInfo::full(&entity, supplies.roster_version, Vec::new()));
    for filled in parts {
        roster_field(&mut info, filled, supplies)?;
    }
    if let Some(users) = &mut info.users {
        users.state = if info.state == State::Partial { State::Partial } else { users.state };
        if !parts.iter().any(|filled| filled.selector.inner == "user-count") {
            // A partial document does not know how many there are in all.
            let connected = users.list.iter().filter(|user| user.is_connected()).count();
            info.user_count = (info.state == State::Full).then(|| u32::try_from(connected).unwrap_or(u32::MAX));
        }
    }
    Ok(Bytes::from(info.to_xml()))
}

fn roster_field(info: &mut ConferenceInfo, filled: &Filled<'_>, supplies: &Supplies<'_>) -> Result<(), FillFault> {
    let value = filled.joined(" ");
    let number = |value: Option<String>| match value {
        Some(value) => value.parse().map(Some).map_err(|_| filled.fault("this is a number")),
        None => Ok(None),
    };
    match filled.selector.inner.as_str() {
        "entity" => info.entity = value.map(|value| supplies.uri(&value)).unwrap_or_default(),
        "subject" => info.subject = value,
        "version" => info.version = number(value)?,
        "user-count" => info.user_count = number(value)?,
        "state" => {
            let wanted =
                [State::Full, State::Partial, State::Deleted].into_iter().find(|state| Some(state.token()) == value.as_deref());
            info.state = wanted.ok_or_else(|| filled.fault("a state is `full`, `partial` or `deleted`"))?;
        }
        kind => match &filled.texts {
            None => info.users = None,
            Some(names) => set_users(info, kind, names, supplies),
        },
    }
    Ok(())
}

/// Replaces the users of one kind: those who take part, or those who are gone in some way.
fn set_users(info: &mut ConferenceInfo, kind: &str, names: &[String], supplies: &Supplies<'_>) {
    let connected = kind == "users";
    let mut list: Vec<User> = info.users.take().map(|users| users.list).unwrap_or_default();
    list.retain(|user| user.is_connected() != connected);
    for name in names {
        let uri = supplies.uri(name);
        let mut user = User::new(bare_uri(&uri), if connected { "connected" } else { "disconnected" });
        user.display_text = supplies.env.names().display(name).map(str::to_owned);
        if matches!(kind, "booted" | "departed") {
            for endpoint in &mut user.endpoints {
                endpoint.disconnection_method = Some(kind.to_owned());
            }
        }
        list.push(user);
    }
    info.users = Some(Users { state: State::Full, list });
}

fn make_group_state(old: Option<&Typed>, parts: &[&Filled<'_>], supplies: &Supplies<'_>) -> Result<Bytes, FillFault> {
    let old = old.and_then(|(_, bytes)| GroupState::parse(bytes).ok());
    let mut state = old.unwrap_or_else(|| GroupState {
        timestamp: supplies.date_time(),
        last_focus_session_id: bare_uri(&supplies.uri(supplies.entity)).to_owned(),
        group_type: "Closed".to_owned(),
        ..GroupState::default()
    });
    for filled in parts {
        let value = filled.joined(" ");
        match filled.selector.inner.as_str() {
            "focus" => state.last_focus_session_id = value.map(|value| supplies.uri(&value)).unwrap_or_default(),
            "type" => state.group_type = value.unwrap_or_default(),
            "timestamp" => state.timestamp = value.unwrap_or_default(),
            "contribution-id" => state.contribution_id = value,
            _ => {
                let participant = |name: &String| Participant {
                    name: supplies.env.names().display(name).map(str::to_owned),
                    comm_addr: bare_uri(&supplies.uri(name)).to_owned(),
                    role: None,
                };
                state.participants = filled.texts.iter().flatten().map(participant).collect();
            }
        }
    }
    Ok(Bytes::from(state.to_xml()))
}
