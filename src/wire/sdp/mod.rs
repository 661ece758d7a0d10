//! Session descriptions of message media (RFC 8866, RFC 4975 8) over `sdp-types`.

mod builder;
mod usual;
mod validate;

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use sdp_types::Session;
use smallvec::SmallVec;

use super::Fault;
use super::lines::Line;
use super::raw::Raw;
use super::sip::first_of;

pub use builder::{Media, SdpBuilder};
pub use validate::validate;

/// The media type of a description.
pub const MEDIA_TYPE: &str = "application/sdp";
/// The largest description that is read, in bytes.
const MAX_SIZE: usize = 64 * 1024;

/// In which direction media may flow (RFC 3264 5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// From the side that says so.
    SendOnly,
    /// To the side that says so.
    RecvOnly,
    /// Not at all.
    Inactive,
}

impl Direction {
    /// All directions.
    pub const ALL: [Self; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    /// The name of the attribute.
    pub const fn token(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The direction of this name.
    pub fn of(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|direction| direction.token() == token)
    }

    /// Whether the side that says so sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the side that says so receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same flow as the other side names it.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::SendRecv => Self::SendRecv,
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::Inactive => Self::Inactive,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

/// Who opens the connection (RFC 4145, RFC 6135).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setup {
    /// The side that says so.
    Active,
    /// The other side.
    Passive,
    /// Either: the answer decides.
    ActPass,
    /// No one for now.
    HoldConn,
}

impl Setup {
    /// The value of the attribute.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }

    /// The role of this name.
    pub fn of(token: &str) -> Option<Self> {
        [Self::Active, Self::Passive, Self::ActPass, Self::HoldConn].into_iter().find(|setup| setup.token() == token)
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

/// One line of a description: its letter and where its value stands.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Row {
    letter: u8,
    value: Range<usize>,
    strict: bool,
}

/// A description that was read: its bytes, and where its lines and their words stand in them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sdp {
    raw: Raw,
    rows: Vec<Row>,
    medias: SmallVec<[Place; 1]>,
}

/// Where a media line stands: its words, and the lines below it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    media: Range<usize>,
    port: u16,
    proto: Range<usize>,
    fmt: Range<usize>,
    below: Range<usize>,
}

/// The origin line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin<'a> {
    /// Who made it; `-` for nobody in particular.
    pub username: &'a str,
    /// The number of the session.
    pub sess_id: &'a str,
    /// Its version.
    pub sess_version: u64,
    /// Where it was made.
    pub unicast_address: &'a str,
}

/// A media line with what stands below it.
#[derive(Clone, Copy, Debug)]
pub struct MediaLine<'a> {
    /// The type, for example `message`.
    pub media: &'a str,
    /// The port.
    pub port: u16,
    /// The protocol, for example `TCP/MSRP`.
    pub proto: &'a str,
    /// The format, `*` for messages.
    pub fmt: &'a str,
    below: Lines<'a>,
}

/// Some lines of a description.
#[derive(Clone, Copy, Debug)]
struct Lines<'a> {
    raw: &'a Raw,
    rows: &'a [Row],
}

impl<'a> Lines<'a> {
    fn of(self, letter: u8) -> impl Iterator<Item = &'a str> {
        self.rows.iter().filter(move |row| row.letter == letter).map(move |row| self.raw.text(row.value.clone()))
    }

    /// The attributes as name and value.
    fn attributes(self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        self.of(b'a').map(|text| match first_of([b':'], text.as_bytes()) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        })
    }

    /// The value of the first attribute of this name, empty for a flag.
    fn attribute(self, name: &str) -> Option<&'a str> {
        self.of(b'a').find_map(|text| match text.strip_prefix(name)? {
            "" => Some(""),
            value => value.strip_prefix(':'),
        })
    }

    fn directions(self) -> impl Iterator<Item = Direction> {
        self.attributes().filter_map(|(name, _)| Direction::of(name))
    }

    /// The address of the first connection line.
    fn connection(self) -> Option<&'a str> {
        words(self.of(b'c').next()?).nth(2)
    }
}

impl Sdp {
    /// Parses a description.
    ///
    /// # Errors
    ///
    /// When a line is malformed or the version is not 0.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        if body.len() > MAX_SIZE {
            return Err(Fault::new("sdp-limit", MAX_SIZE, "a description of at most 64 KiB"));
        }
        let rows = rows(body)?;
        let raw = Raw::of(Bytes::copy_from_slice(body));
        if !usual::fits(&raw, &rows) {
            Session::parse(body).map_err(|error| fault(&error, &rows))?;
        }
        let medias = places(&raw, &rows);
        Ok(Self { raw, rows, medias })
    }

    /// The bytes of the description.
    pub fn encode(&self) -> Bytes {
        self.raw.bytes().clone()
    }

    /// The description as `sdp-types` sees it, to be altered.
    fn session(&self) -> Session {
        Session::parse(self.raw.bytes()).unwrap_or_else(|error| panic!("a description that was read is not read again: {error}"))
    }

    /// The lines before the first media line.
    fn top(&self) -> Lines<'_> {
        let end = self.rows.iter().position(|row| row.letter == b'm').unwrap_or(self.rows.len());
        Lines { raw: &self.raw, rows: &self.rows[..end] }
    }

    /// The origin line; where there is none, one of nobody and nowhere.
    pub fn origin(&self) -> Origin<'_> {
        let mut words = words(self.top().of(b'o').next().unwrap_or("- 0 0 IN IP4 0.0.0.0"));
        let mut word = || words.next().unwrap_or_default();
        let (username, sess_id, sess_version) = (word(), word(), word().parse().unwrap_or(0));
        Origin { username, sess_id, sess_version, unicast_address: words.nth(2).unwrap_or_default() }
    }

    /// All media lines.
    pub fn medias(&self) -> impl ExactSizeIterator<Item = MediaLine<'_>> {
        self.medias.iter().map(|place| MediaLine {
            media: self.raw.text(place.media.clone()),
            port: place.port,
            proto: self.raw.text(place.proto.clone()),
            fmt: self.raw.text(place.fmt.clone()),
            below: Lines { raw: &self.raw, rows: &self.rows[place.below.clone()] },
        })
    }

    /// The media line that the accessors speak of: the first of type `message`, else the first.
    pub fn media(&self) -> Option<MediaLine<'_>> {
        self.medias().find(|media| media.media == "message").or_else(|| self.medias().next())
    }

    /// Whether there is a media line of type `message` over MSRP.
    pub fn is_message(&self) -> bool {
        self.media().is_some_and(|media| media.media == "message" && media.proto.ends_with("/MSRP"))
    }

    /// The connection address of the media, its own or that of the session.
    pub fn connection(&self) -> Option<&str> {
        self.media().and_then(|media| media.below.connection()).or_else(|| self.top().connection())
    }

    /// The port of the media.
    pub fn port(&self) -> Option<u16> {
        self.media().map(|media| media.port)
    }

    /// The protocol of the media, for example `TCP/MSRP`.
    pub fn proto(&self) -> Option<&str> {
        self.media().map(|media| media.proto)
    }

    /// Whether the other side refused the media: port 0 (RFC 3264 6).
    pub fn is_refused(&self) -> bool {
        self.port() == Some(0)
    }

    /// An attribute of the media, or of the session when the media has none: its value, empty for a flag.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.media().and_then(|media| media.below.attribute(name)).or_else(|| self.top().attribute(name))
    }

    /// The attributes of the media alone, as name and value.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.media().into_iter().flat_map(|media| media.below.attributes())
    }

    /// The direction of the media; `sendrecv` when neither the media nor the session says.
    pub fn direction(&self) -> Direction {
        let own = self.media().and_then(|media| media.below.directions().next());
        own.or_else(|| self.top().directions().next()).unwrap_or_default()
    }

    /// The MSRP path.
    pub fn path(&self) -> Option<&str> {
        self.attribute("path").map(str::trim)
    }

    /// Who opens the connection.
    pub fn setup(&self) -> Option<Setup> {
        Setup::of(self.attribute("setup")?.trim())
    }

    /// The types that a message may have.
    pub fn accept_types(&self) -> impl Iterator<Item = &str> {
        self.attribute("accept-types").unwrap_or("").split_ascii_whitespace()
    }

    /// The types that a wrapped message may have besides.
    pub fn accept_wrapped_types(&self) -> impl Iterator<Item = &str> {
        self.attribute("accept-wrapped-types").unwrap_or("").split_ascii_whitespace()
    }

    /// Whether a message of this type may be sent (RFC 4975 8.6): the outer type, or, `wrapped`, the inner one.
    pub fn accepts(&self, essence: &str, wrapped: bool) -> bool {
        let fits = |own: &str| {
            own == "*"
                || own.eq_ignore_ascii_case(essence)
                || own
                    .strip_suffix("/*")
                    .is_some_and(|kind| essence.split_once('/').is_some_and(|(other, _)| other.eq_ignore_ascii_case(kind)))
        };
        self.accept_types().any(fits) || wrapped && self.accept_wrapped_types().any(fits)
    }

    /// The largest message that may be sent, in bytes.
    pub fn max_size(&self) -> Option<u64> {
        self.attribute("max-size")?.trim().parse().ok()
    }

    /// Whether the connection may differ from the path (RFC 6714).
    pub fn is_cema(&self) -> bool {
        self.attribute("msrp-cema").is_some()
    }

    /// The file that the description offers (RFC 5547): not a chat session then.
    pub fn file_selector(&self) -> Option<&str> {
        self.attribute("file-selector")
    }
}

/// The words of a line, any number of spaces between them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|word| !word.is_empty())
}

/// Where the media lines of a description stand that is known to be well-formed.
fn places(raw: &Raw, rows: &[Row]) -> SmallVec<[Place; 1]> {
    let mut medias: SmallVec<[Place; 1]> = SmallVec::new();
    for (index, row) in rows.iter().enumerate() {
        if row.letter == b'm' {
            medias.push(place(raw, row.value.clone(), index));
        } else if let Some(media) = medias.last_mut() {
            media.below.end = index + 1;
        }
    }
    medias
}

/// The words of the media line at `value`: all but the last end at a space (RFC 8866 5.14).
fn place(raw: &Raw, value: Range<usize>, index: usize) -> Place {
    let mut rest = value;
    let mut word = || {
        let end = first_of([b' '], &raw.bytes()[rest.clone()]).map_or(rest.end, |at| rest.start + at);
        let word = rest.start..end;
        rest.start = (end + 1).min(rest.end);
        word
    };
    let (media, port, proto) = (word(), word(), word());
    let port = raw.text(port).split('/').next().and_then(|port| port.parse().ok()).unwrap_or(0);
    Place { media, port, proto, fmt: rest, below: index + 1..index + 1 }
}

fn rows(bytes: &[u8]) -> Result<Vec<Row>, Fault> {
    let mut rows = Vec::with_capacity(16);
    let mut at = 0;
    while let Some(line) = Line::at(bytes, at) {
        match &bytes[line.range()] {
            [letter, b'=', ..] if letter.is_ascii_lowercase() => {
                rows.push(Row { letter: *letter, value: line.start + 2..line.end, strict: line.is_strict() });
            }
            // Empty lines are left to the parser, which skips them.
            [] => rows.push(Row { letter: 0, value: line.range(), strict: line.is_strict() }),
            _ => return Err(Fault::new("sdp-line", line.start, "a letter and an equals sign")),
        }
        at = line.next;
    }
    Ok(rows)
}

fn fault(error: &sdp_types::ParserError, rows: &[Row]) -> Fault {
    use sdp_types::ParserError as Error;
    let (line, code, expected) = match error {
        Error::InvalidLineFormat(line, _) => (*line, "sdp-line", "a letter and an equals sign"),
        Error::InvalidFieldEncoding(line, field) => (*line, "sdp-encoding", *field),
        Error::InvalidFieldFormat(line, field) => (*line, "sdp-field", *field),
        Error::MissingField(line, field) => (*line, "sdp-missing-field", *field),
        Error::FieldTrailingData(line, field) => (*line, "sdp-trailing-data", *field),
        Error::InvalidVersion(line, _) => (*line, "sdp-version", "version 0"),
        Error::MultipleVersions(line)
        | Error::MultipleOrigins(line)
        | Error::MultipleSessionNames(line)
        | Error::MultipleSessionDescription(line)
        | Error::MultipleUris(line)
        | Error::MultipleConnections(line)
        | Error::MultipleTimeZones(line)
        | Error::MultipleMediaTitles(line)
        | Error::MultipleKeys(line) => (*line, "sdp-repeated-line", "such a line only once"),
        Error::RepeatWithoutTime(line) => (*line, "sdp-order", "a time line before a repeat line"),
        _ => (1, "sdp-version", "a version line first"),
    };
    let offset = rows.get(line.saturating_sub(1)).map_or(0, |row| row.value.start);
    Fault::new(code, offset, expected)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OFFER: &str = "v=0\r\no=- 3535784400 3535784400 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
        m=message 15201 TCP/MSRP *\r\na=accept-types:message/cpim application/im-iscomposing+xml\r\n\
        a=accept-wrapped-types:text/* message/imdn+xml\r\na=max-size:50000\r\na=setup:actpass\r\n\
        a=path:msrp://127.0.0.1:15201/pfd2;tcp\r\na=sendonly\r\n";

    fn read(text: &str) -> Sdp {
        Sdp::parse(text.as_bytes()).unwrap()
    }

    fn codes(text: &str) -> Vec<&'static str> {
        validate(&read(text)).into_iter().map(|own| own.code).collect()
    }

    #[test]
    fn an_offer_is_read_without_complaint_and_written_back() {
        let sdp = read(OFFER);
        assert_eq!((sdp.connection(), sdp.port(), sdp.proto()), (Some("127.0.0.1"), Some(15201), Some("TCP/MSRP")));
        assert_eq!((sdp.direction(), sdp.setup(), sdp.max_size()), (Direction::SendOnly, Some(Setup::ActPass), Some(50_000)));
        assert_eq!(sdp.path(), Some("msrp://127.0.0.1:15201/pfd2;tcp"));
        assert!(sdp.is_message() && !sdp.is_refused() && !sdp.is_cema() && sdp.file_selector().is_none());
        assert_eq!(codes(OFFER), [""; 0]);
        assert_eq!(sdp.encode(), OFFER);
        assert_eq!(SdpBuilder::of(&sdp).encode(), OFFER);
    }

    #[test]
    fn types_are_accepted_by_name_and_by_kind() {
        let sdp = read(OFFER);
        assert!(sdp.accepts("Message/CPIM", false) && !sdp.accepts("text/plain", false));
        assert!(sdp.accepts("text/plain", true) && sdp.accepts("message/cpim", true) && !sdp.accepts("image/png", true));
        assert!(read(&OFFER.replace("message/cpim application", "* application")).accepts("image/png", false));
    }

    #[test]
    fn the_direction_of_the_session_stands_in_for_that_of_the_media() {
        let at_session = OFFER.replace("a=sendonly\r\n", "").replace("t=0 0\r\n", "t=0 0\r\na=recvonly\r\n");
        assert_eq!(read(&at_session).direction(), Direction::RecvOnly);
        assert_eq!(read(&at_session.replace("a=recvonly\r\n", "")).direction(), Direction::SendRecv);
        assert_eq!(Direction::SendOnly.reversed(), Direction::RecvOnly);
    }

    #[test]
    fn what_breaks_a_rule_is_reported() {
        let cases = [
            (OFFER.replace("a=path:msrp://127.0.0.1:15201/pfd2;tcp\r\n", ""), "sdp-path"),
            (OFFER.replace("path:msrp:", "path:msrps:"), "sdp-path"),
            (OFFER.replace("/pfd2;tcp", ";tcp"), "sdp-path"),
            (OFFER.replace("accept-types:message/cpim application/im-iscomposing+xml", "label:1"), "sdp-accept-types"),
            (OFFER.replace("setup:actpass", "setup:maybe"), "sdp-setup"),
            (OFFER.replace("setup:actpass", "setup:holdconn"), "sdp-setup"),
            (OFFER.replace("a=sendonly\r\n", "a=sendonly\r\na=recvonly\r\n"), "sdp-direction"),
            (OFFER.replace("TCP/MSRP", "UDP/MSRP"), "sdp-msrp-proto"),
            (OFFER.replace("MSRP *", "MSRP 0"), "sdp-msrp-format"),
            (OFFER.replace("s=-\r\nc=IN IP4 127.0.0.1\r\n", "c=IN IP4 127.0.0.1\r\ns=-\r\n"), "sdp-order"),
            (OFFER.replace("t=0 0\r\n", ""), "sdp-missing-line"),
            (OFFER.replace("c=IN IP4 127.0.0.1\r\n", ""), "sdp-connection"),
            (OFFER.replace("\r\n", "\n"), "sdp-line-end"),
            (OFFER.replace("max-size:50000", "max-size:big"), "sdp-max-size"),
        ];
        for (text, code) in cases {
            assert!(codes(&text).contains(&code), "{code}: {:?}", codes(&text));
        }
    }

    #[test]
    fn malformed_lines_name_the_place() {
        let fault = |text: &str| Sdp::parse(text.as_bytes()).unwrap_err();
        assert_eq!(fault("v=0\r\nnonsense\r\n"), Fault::new("sdp-line", 5, "a letter and an equals sign"));
        assert_eq!(fault("v=1\r\n").code, "sdp-version");
        assert_eq!(fault("").code, "sdp-version");
        let port = fault(&OFFER.replace("15201 TCP", "port TCP"));
        assert_eq!((port.code, &OFFER[port.offset..port.offset + 7]), ("sdp-field", "message"));
    }

    #[test]
    fn a_description_is_built_and_altered() {
        let media = Media {
            port: 9,
            accept_types: vec!["message/cpim".to_owned()],
            setup: Some(Setup::Active),
            path: "msrp://10.0.0.1:9/x;tcp".to_owned(),
            direction: Some(Direction::RecvOnly),
            further: vec![("msrp-cema".to_owned(), None)],
            ..Media::default()
        };
        let sdp = Sdp::parse(&SdpBuilder::new("10.0.0.1", 1, 2).media(&media).encode()).unwrap();
        assert_eq!(validate(&sdp), vec![]);
        assert_eq!(Media::of(&sdp), media);
        let altered = SdpBuilder::of(&sdp).direction(Direction::Inactive).attribute("max-size", Some("9")).port(0).encode();
        let altered = Sdp::parse(&altered).unwrap();
        assert_eq!((altered.direction(), altered.max_size(), altered.is_refused()), (Direction::Inactive, Some(9), true));
        let refused = SdpBuilder::new("::1", 1, 1).refuse(sdp.medias().next().unwrap()).encode();
        assert!(Sdp::parse(&refused).unwrap().is_refused());
    }

    /// What the accessors say of a description is what `sdp-types` reads in it.
    fn is_seen_alike(sdp: &Sdp) -> Result<(), TestCaseError> {
        fn attributes(lines: Lines<'_>) -> Vec<sdp_types::Attribute> {
            let owned = |(name, value): (&str, Option<&str>)| sdp_types::Attribute {
                attribute: name.to_owned(),
                value: value.map(str::to_owned),
            };
            lines.attributes().map(owned).collect()
        }
        let session = sdp.session();
        let (own, theirs) = (sdp.origin(), &session.origin);
        prop_assert_eq!((own.username, own.sess_id), (theirs.username.as_deref().unwrap_or("-"), theirs.sess_id.as_str()));
        prop_assert_eq!((own.sess_version, own.unicast_address), (theirs.sess_version, theirs.unicast_address.as_str()));
        prop_assert_eq!(sdp.top().connection(), session.connection.as_ref().map(|own| own.connection_address.as_str()));
        prop_assert_eq!(&attributes(sdp.top()), &session.attributes);
        prop_assert_eq!(sdp.medias().len(), session.medias.len());
        for (own, theirs) in sdp.medias().zip(&session.medias) {
            prop_assert_eq!((own.media, own.port), (theirs.media.as_str(), theirs.port));
            prop_assert_eq!((own.proto, own.fmt), (theirs.proto.as_str(), theirs.fmt.as_str()));
            let connection = theirs.connections.first().map(|own| own.connection_address.as_str());
            prop_assert_eq!(own.below.connection(), connection);
            prop_assert_eq!(&attributes(own.below), &theirs.attributes);
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn every_description_is_seen_as_the_general_parser_sees_it(
            lines in proptest::collection::vec(0..16_usize, 0..14), byte in "[ -~\r\n]{0,3}", at in 0..300_usize,
        ) {
            const MORE: &str = "o=a  5 6 IN IP4 10.0.0.1\r\nc=IN  IP4  10.0.0.1\nm=message 9/2 TCP/MSRP * x\na=x\r\na=x:\r\na=\r\n\r\n";
            let known: Vec<&str> = OFFER.split_inclusive('\n').chain(MORE.split_inclusive('\n')).collect();
            let mut text: String = "v=0\r\n".chars().chain(lines.into_iter().filter_map(|line| known.get(line)).flat_map(|line| line.chars())).collect();
            text.insert_str(at.min(text.len()), &byte);
            if let Ok(sdp) = Sdp::parse(text.as_bytes()) {
                is_seen_alike(&sdp)?;
            }
        }

        #[test]
        fn no_bytes_make_it_panic(text in "v=0\r\n([a-z]=[ -~é]{0,20}(\r\n|\n)){0,20}") {
            if let Ok(sdp) = Sdp::parse(text.as_bytes()) {
                validate(&sdp);
                is_seen_alike(&sdp)?;
                prop_assert_eq!(sdp.encode(), text);
            }
        }
    }
}
