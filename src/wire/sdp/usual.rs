//! The usual description: one origin, name and time, media with connection and attributes, each
//! line in its place and its words one space apart.
//!
//! `sdp-types` reads and writes every description, this one included, with a generality that costs
//! several times as much. Whatever is not of the usual form is left to it.

use std::iter::Peekable;

use sdp_types::{Attribute, Connection, Media, Origin, Session, Time};

use super::Row;
use crate::wire::raw::Raw;
use crate::wire::sip::first_of;

/// Lines as letter and value.
type Lines<I> = Peekable<I>;

/// Whether a description has the usual form, so that it is well-formed; `false` says nothing about any other.
pub(super) fn fits(raw: &Raw, rows: &[Row]) -> bool {
    let bytes = raw.bytes();
    let is_plain = rows.iter().all(|row| row.strict) && memchr::memchr_iter(b'\r', bytes).count() == rows.len();
    is_plain && raw.is_text() && memchr::memchr(0, bytes).is_none() && in_place(raw, rows).is_some()
}

/// Whether each line stands in its place and is well-formed.
fn in_place(raw: &Raw, rows: &[Row]) -> Option<()> {
    let mut lines = rows.iter().map(|row| (row.letter, raw.text(row.value.clone()))).peekable();
    let version = take(&mut lines, b'v')?;
    let [_, _, sess_version, network @ ..] = words::<6>(take(&mut lines, b'o')?)?;
    let is_origin = is_number(sess_version) && is_network(network);
    take(&mut lines, b's')?;
    let is_connected = take(&mut lines, b'c').is_none_or(is_connection);
    let is_timed = words::<2>(take(&mut lines, b't')?)?.into_iter().all(is_number);
    while take(&mut lines, b'a').is_some() {}
    while let Some(text) = take(&mut lines, b'm') {
        let [_, port, _, _] = words(text)?;
        port.parse::<u16>().ok()?;
        while let Some(text) = take(&mut lines, b'c') {
            is_connection(text).then_some(())?;
        }
        while take(&mut lines, b'a').is_some() {}
    }
    (version == "0" && is_origin && is_connected && is_timed && lines.next().is_none()).then_some(())
}

/// The value of the next line, if it is one of this letter.
fn take<'a, I: Iterator<Item = (u8, &'a str)>>(lines: &mut Lines<I>, letter: u8) -> Option<&'a str> {
    lines.next_if(|(own, _)| *own == letter).map(|(_, value)| value)
}

/// So many words, one space between each two.
fn words<const COUNT: usize>(text: &str) -> Option<[&str; COUNT]> {
    let mut rest = Some(text);
    let words = std::array::from_fn(|_| {
        let (word, after) = rest.map_or(("", None), cut);
        rest = after;
        word
    });
    (rest.is_none() && words.iter().all(|word| !word.is_empty())).then_some(words)
}

/// What stands before a space, and what behind it.
fn cut(text: &str) -> (&str, Option<&str>) {
    match first_of([b' '], text.as_bytes()) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<u64>().is_ok()
}

fn is_connection(text: &str) -> bool {
    words(text).is_some_and(is_network)
}

fn is_network([nettype, addrtype, _]: [&str; 3]) -> bool {
    nettype == "IN" && matches!(addrtype, "IP4" | "IP6")
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

    fn fits(text: &str) -> bool {
        let rows = super::super::rows(text.as_bytes()).unwrap_or_default();
        super::fits(&Raw::of(text.to_owned().into()), &rows)
    }

    fn read(text: &str) -> Option<Session> {
        Session::parse(text.as_bytes()).ok()
    }

    #[test]
    fn the_usual_description_needs_no_general_parser() {
        assert!(fits(USUAL));
        assert!(read(USUAL).is_some());
    }

    fn written_in_general(session: &Session) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        session.write(&mut out).ok().map(|()| out)
    }

    #[test]
    fn what_would_break_a_line_is_left_to_the_general_writer() {
        let mut session = read(USUAL).expect("usual");
        assert_eq!(write(&session).as_deref(), Some(USUAL));
        session.attributes[0].value = Some("x\r\na=y".to_owned());
        assert_eq!(write(&session), None);
    }

    #[test]
    fn whatever_is_unusual_is_left_to_the_general_parser() {
        for (old, new) in
            [("\r\nt=", "\nt="), ("t=0 0\r\n", ""), ("15201", "15201/2"), ("IN IP4", "IN  IP4"), ("s=-", "s=-\r\ni=x")]
        {
            assert!(!fits(&USUAL.replacen(old, new, 1)), "{new}");
        }
    }

    proptest! {
        #[test]
        fn what_fits_is_read_and_written_by_the_general_parser_too(
            lines in proptest::collection::vec(0..24_usize, 0..14), byte in "[ -~]{0,3}", at in 0..200_usize,
        ) {
            let known: Vec<&str> = USUAL.split_inclusive('\n').collect();
            let mut text: String = known.iter().copied().chain(lines.into_iter().filter_map(|line| known.get(line)).copied()).collect();
            text.insert_str(at.min(text.len()), &byte);
            if fits(&text) {
                let session = read(&text);
                prop_assert!(session.is_some());
                prop_assert_eq!(session.as_ref().and_then(write).map(String::into_bytes), session.as_ref().and_then(written_in_general));
            }
        }
    }
}
