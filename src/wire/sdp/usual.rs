//! The usual description: one origin, name and time, media with connection and attributes, each
//! line in its place and its words one space apart.
//!
//! `sdp-types` reads and writes every description, this one included, with a generality that costs
//! several times as much. Whatever is not of the usual form is left to it.

use std::iter::Peekable;

use sdp_types::{AddrType, Attribute, Connection, Media, NetType, Origin, Session, Time};

use super::Row;

/// Lines as letter and value.
type Lines<I> = Peekable<I>;

/// Reads a description of the usual form; `None` says nothing about any other.
pub(super) fn read(bytes: &[u8], rows: &[Row]) -> Option<Session> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_plain = rows.iter().all(|row| row.strict) && memchr::memchr_iter(b'\r', bytes).count() == rows.len();
    if !is_plain || memchr::memchr(0, bytes).is_some() {
        return None;
    }
    let mut lines = rows.iter().map(|row| (row.letter, &text[row.value.clone()])).peekable();
    let version = take(&mut lines, b'v')?;
    let origin = origin(take(&mut lines, b'o')?)?;
    let session_name = take(&mut lines, b's')?.to_owned();
    let connection = match take(&mut lines, b'c') {
        Some(text) => Some(connection(text)?),
        None => None,
    };
    let [start_time, stop_time] = words(take(&mut lines, b't')?)?;
    let time = Time { start_time: start_time.parse().ok()?, stop_time: stop_time.parse().ok()?, repeats: Vec::new() };
    let attributes = attributes(&mut lines);
    let mut medias = Vec::with_capacity(1);
    while let Some(text) = take(&mut lines, b'm') {
        medias.push(media(text, &mut lines)?);
    }
    (version == "0" && lines.next().is_none()).then(|| Session {
        origin,
        session_name,
        session_description: None,
        uri: None,
        emails: Vec::new(),
        phones: Vec::new(),
        connection,
        bandwidths: Vec::new(),
        times: vec![time],
        time_zones: Vec::new(),
        key: None,
        attributes,
        medias,
    })
}

/// The value of the next line, if it is one of this letter.
fn take<'a, I: Iterator<Item = (u8, &'a str)>>(lines: &mut Lines<I>, letter: u8) -> Option<&'a str> {
    lines.next_if(|(own, _)| *own == letter).map(|(_, value)| value)
}

/// So many words, one space between each two.
fn words<const COUNT: usize>(text: &str) -> Option<[&str; COUNT]> {
    let mut rest = Some(text);
    let words = std::array::from_fn(|_| {
        let (word, after) = rest.map_or(("", None), |rest| cut(rest, b' '));
        rest = after;
        word
    });
    (rest.is_none() && words.iter().all(|word| !word.is_empty())).then_some(words)
}

/// What stands before a mark, and what behind it; lines are too short for a vector search to pay.
fn cut(text: &str, mark: u8) -> (&str, Option<&str>) {
    match text.bytes().position(|byte| byte == mark) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

fn origin(text: &str) -> Option<Origin> {
    let [username, sess_id, sess_version, nettype, addrtype, address] = words(text)?;
    Some(Origin {
        username: (username != "-").then(|| username.to_owned()),
        sess_id: sess_id.to_owned(),
        sess_version: sess_version.parse().ok()?,
        nettype: (nettype == "IN").then_some(NetType::In)?,
        addrtype: address_type(addrtype)?,
        unicast_address: address.to_owned(),
    })
}

fn connection(text: &str) -> Option<Connection> {
    let [nettype, addrtype, address] = words(text)?;
    Some(Connection {
        nettype: (nettype == "IN").then_some(NetType::In)?,
        addrtype: address_type(addrtype)?,
        connection_address: address.to_owned(),
    })
}

fn address_type(text: &str) -> Option<AddrType> {
    match text {
        "IP4" => Some(AddrType::Ip4),
        "IP6" => Some(AddrType::Ip6),
        _ => None,
    }
}

fn media<'a, I: Iterator<Item = (u8, &'a str)>>(text: &str, lines: &mut Lines<I>) -> Option<Media> {
    let [media, port, proto, fmt] = words(text)?;
    let port = port.parse().ok()?;
    let mut connections = Vec::new();
    while let Some(text) = take(lines, b'c') {
        connections.push(connection(text)?);
    }
    Some(Media {
        media: media.to_owned(),
        port,
        num_ports: None,
        proto: proto.to_owned(),
        fmt: fmt.to_owned(),
        media_title: None,
        connections,
        bandwidths: Vec::new(),
        key: None,
        attributes: attributes(lines),
    })
}

fn attributes<'a, I: Iterator<Item = (u8, &'a str)>>(lines: &mut Lines<I>) -> Vec<Attribute> {
    let mut attributes = Vec::with_capacity(8);
    while let Some(text) = take(lines, b'a') {
        let (name, value) = cut(text, b':');
        attributes.push(Attribute { attribute: name.to_owned(), value: value.map(str::to_owned) });
    }
    attributes
}

/// Writes a description of the usual form; `None` says nothing about any other.
pub(super) fn write(session: &Session) -> Option<String> {
    let Session { origin, session_description: None, uri: None, key: None, .. } = session else { return None };
    let [Time { start_time, stop_time, repeats }] = session.times.as_slice() else { return None };
    let none_besides = session.emails.is_empty() && session.phones.is_empty() && session.time_zones.is_empty();
    if !(none_besides && session.bandwidths.is_empty() && repeats.is_empty()) {
        return None;
    }
    let mut out = String::with_capacity(USUAL_SIZE);
    let username = origin.username.as_deref().filter(|name| !name.is_empty()).unwrap_or("-");
    let Origin { sess_id, sess_version, nettype, addrtype, unicast_address, .. } = origin;
    push(&mut out, &["v=0\r\no=", username, " ", sess_id, " ", &sess_version.to_string(), " ", nettype.as_str(), " "]);
    push(&mut out, &[addrtype.as_str(), " ", unicast_address, "\r\ns=", &session.session_name, "\r\n"]);
    session.connection.iter().for_each(|connection| push_connection(&mut out, connection));
    push(&mut out, &["t=", &start_time.to_string(), " ", &stop_time.to_string(), "\r\n"]);
    session.attributes.iter().for_each(|attribute| push_attribute(&mut out, attribute));
    for media in &session.medias {
        push_media(&mut out, media)?;
    }
    is_whole(session, &out).then_some(out)
}

/// Room for a usual description.
const USUAL_SIZE: usize = 512;

fn push(out: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| out.push_str(part));
}

fn push_connection(out: &mut String, connection: &Connection) {
    let Connection { nettype, addrtype, connection_address } = connection;
    push(out, &["c=", nettype.as_str(), " ", addrtype.as_str(), " ", connection_address, "\r\n"]);
}

fn push_attribute(out: &mut String, Attribute { attribute, value }: &Attribute) {
    match value {
        Some(value) => push(out, &["a=", attribute, ":", value, "\r\n"]),
        None => push(out, &["a=", attribute, "\r\n"]),
    }
}

fn push_media(out: &mut String, media: &Media) -> Option<()> {
    let Media { media: kind, port, num_ports: None, proto, fmt, media_title: None, key: None, .. } = media else { return None };
    push(out, &["m=", kind, " ", &port.to_string(), " ", proto, " ", fmt, "\r\n"]);
    media.connections.iter().for_each(|connection| push_connection(out, connection));
    media.attributes.iter().for_each(|attribute| push_attribute(out, attribute));
    media.bandwidths.is_empty().then_some(())
}

/// Whether no value brought a line end of its own; the general writer leaves such characters out.
fn is_whole(session: &Session, text: &str) -> bool {
    let of_media = |media: &Media| 1 + media.connections.len() + media.attributes.len();
    let lines = 4 + session.connection.iter().len() + session.attributes.len() + session.medias.iter().map(of_media).sum::<usize>();
    let count = |byte| memchr::memchr_iter(byte, text.as_bytes()).count();
    count(b'\r') == lines && count(b'\n') == lines && count(0) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USUAL: &str = "v=0\r\no=- 3535784400 7 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP6 ::1\r\nt=0 0\r\na=group\r\n\
        m=message 15201 TCP/MSRP *\r\nc=IN IP4 127.0.0.1\r\na=accept-types:message/cpim\r\na=sendonly\r\na=x:\r\n";

    fn both(text: &str) -> (Option<Session>, Option<Session>) {
        let rows = super::super::rows(text.as_bytes()).unwrap_or_default();
        (read(text.as_bytes(), &rows), Session::parse(text.as_bytes()).ok())
    }

    #[test]
    fn the_usual_description_is_read_here() {
        let (own, general) = both(USUAL);
        assert!(own.is_some());
        assert_eq!(own, general);
    }

    fn written_in_general(session: &Session) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        session.write(&mut out).ok().map(|()| out)
    }

    #[test]
    fn what_would_break_a_line_is_left_to_the_general_writer() {
        let mut session = both(USUAL).0.expect("usual");
        assert_eq!(write(&session).as_deref(), Some(USUAL));
        session.attributes[0].value = Some("x\r\na=y".to_owned());
        assert_eq!(write(&session), None);
    }

    #[test]
    fn whatever_is_unusual_is_left_to_the_general_parser() {
        for (old, new) in
            [("\r\nt=", "\nt="), ("t=0 0\r\n", ""), ("15201", "15201/2"), ("IN IP4", "IN  IP4"), ("s=-", "s=-\r\ni=x")]
        {
            assert_eq!(both(&USUAL.replacen(old, new, 1)).0, None, "{new}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_here_is_what_the_general_parser_reads(
            lines in proptest::collection::vec(0..24_usize, 0..14), byte in "[ -~]{0,3}", at in 0..200_usize,
        ) {
            let known: Vec<&str> = USUAL.split_inclusive('\n').collect();
            let mut text: String = known.iter().copied().chain(lines.into_iter().filter_map(|line| known.get(line)).copied()).collect();
            text.insert_str(at.min(text.len()), &byte);
            if let (Some(own), general) = both(&text) {
                prop_assert_eq!(Some(&own), general.as_ref());
                prop_assert_eq!(write(&own).map(String::into_bytes), written_in_general(&own));
            }
        }
    }
}
