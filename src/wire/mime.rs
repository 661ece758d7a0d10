//! Bodies of several parts (RFC 2046) and the transfer encodings of a part (RFC 2045).

use std::borrow::Cow;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem;

use super::lines::{Line, Slot, is_folded};
use super::sip::header::{MediaType, unquote};
use super::{Fault, Level, Violation};

/// How many parts one body may have.
const MAX_PARTS: usize = 64;
/// How many header fields one part may have.
const MAX_FIELDS: usize = 64;
/// How deep multiparts may nest before [`find`] gives up.
const MAX_DEPTH: usize = 4;

/// One part of a body; a body that is not multipart is its own only part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The header fields in wire order, names as written, values unfolded.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// Its data.
    pub body: Bytes,
    /// Where the data starts in the body that was taken apart.
    pub offset: usize,
}

impl Part {
    /// The first header field of this name, in any letter case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(token, _)| token.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Content-Type; `text/plain` when absent (RFC 2045 5.2).
    pub fn content_type(&self) -> &str {
        self.header("Content-Type").unwrap_or("text/plain")
    }

    /// Whether the data is of type `essence`, in any letter case and whatever the parameters.
    pub fn is(&self, essence: &str) -> bool {
        is_of(self.content_type(), essence)
    }

    /// Content-Disposition with its parameters.
    pub fn disposition(&self) -> Option<&str> {
        self.header("Content-Disposition")
    }

    /// Content-ID.
    pub fn content_id(&self) -> Option<&str> {
        self.header("Content-ID")
    }

    /// The data with its transfer encoding undone.
    pub fn decoded(&self) -> Cow<'_, [u8]> {
        decode_transfer(self.header("Content-Transfer-Encoding"), &self.body)
    }
}

/// A body taken apart, with what was wrong about its form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Multipart {
    /// The parts in order.
    pub parts: Vec<Part>,
    violations: Vec<Violation>,
}

impl Multipart {
    /// Takes a multipart body apart. Preamble and epilogue are ignored.
    ///
    /// # Errors
    ///
    /// When the type is no multipart, has no boundary, or the boundary does not occur.
    pub fn decode(content_type: &str, body: &Bytes) -> Result<Self, Fault> {
        let boundary = boundary(content_type)?;
        let mut reader = Reader { body, boundary: &boundary, violations: Vec::new() };
        let ranges = reader.split()?;
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            parts.push(reader.part(range)?);
        }
        Ok(Self { parts, violations: reader.violations })
    }

    /// What is wrong about the form of the body.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }
}

/// Checks a body of this type; a body that is not multipart has nothing to check.
pub fn validate(content_type: &str, body: &Bytes) -> Vec<Violation> {
    if !is_multipart(content_type) {
        return Vec::new();
    }
    match Multipart::decode(content_type, body) {
        Ok(multipart) => multipart.violations,
        Err(fault) => vec![violation("mime-multipart", fault.offset, "RFC 2046 5.1.1", format!("{fault}"))],
    }
}

/// The parts of a body; a body that is not multipart is one part, one that cannot be taken apart has none.
pub fn parts(content_type: &str, body: &Bytes) -> Vec<Part> {
    if is_multipart(content_type) {
        return Multipart::decode(content_type, body).map(|multipart| multipart.parts).unwrap_or_default();
    }
    let headers = vec![("Content-Type".into(), content_type.to_owned())];
    vec![Part { headers, body: body.clone(), offset: 0 }]
}

/// The first part of type `essence`, looked for in nested multiparts too.
pub fn find(content_type: &str, body: &Bytes, essence: &str) -> Option<Part> {
    find_within(content_type, body, essence, MAX_DEPTH)
}

fn find_within(content_type: &str, body: &Bytes, essence: &str, depth: usize) -> Option<Part> {
    if !is_multipart(content_type) && !is_of(content_type, essence) {
        return None;
    }
    parts(content_type, body).into_iter().find_map(|part| {
        if part.is(essence) {
            return Some(part);
        }
        let nested = depth > 1 && is_multipart(part.content_type());
        let inner = nested.then(|| find_within(part.content_type(), &part.body, essence, depth - 1))??;
        Some(Part { offset: inner.offset + part.offset, ..inner })
    })
}

/// Whether a type is `essence`, in any letter case and whatever the parameters.
fn is_of(content_type: &str, essence: &str) -> bool {
    MediaType::parse(content_type).is_ok_and(|own| own.is(essence))
}

/// Whether the type is `multipart/…`.
pub fn is_multipart(content_type: &str) -> bool {
    content_type.trim_start().get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/"))
}

/// The boundary of a multipart type, unquoted.
///
/// # Errors
///
/// When it is missing, empty, longer than 70 characters, or holds one that is no part of a line
/// (RFC 2046 5.1.1).
pub fn boundary(content_type: &str) -> Result<String, Fault> {
    let fault = Fault::new("mime-boundary", 0, "a boundary of 1 to 70 characters");
    let media = MediaType::parse(content_type)?;
    if !is_multipart(content_type) {
        return Err(Fault::new("mime-multipart", 0, "a multipart type"));
    }
    let value = unquote(media.params.get("boundary").ok_or(fault)?);
    if value.is_empty() || value.len() > 70 || value.chars().any(char::is_control) { Err(fault) } else { Ok(value) }
}

struct Reader<'a> {
    body: &'a Bytes,
    boundary: &'a str,
    violations: Vec<Violation>,
}

impl Reader<'_> {
    /// The bytes between the delimiters, without the line ends that belong to these.
    fn split(&mut self) -> Result<Vec<Range<usize>>, Fault> {
        let mark = [b"--", self.boundary.as_bytes()].concat();
        let mut parts = Vec::new();
        let mut start = None;
        for at in memmem::find_iter(self.body, &mark) {
            let Some((closing, next)) = self.delimiter(at, mark.len()) else { continue };
            if let Some(start) = start {
                parts.push(start..self.before_line_end(at).max(start));
            }
            if parts.len() > MAX_PARTS {
                return Err(Fault::new("mime-parts-limit", at, "fewer parts"));
            }
            start = Some(next);
            if closing {
                return Ok(parts);
            }
        }
        let Some(start) = start else { return Err(Fault::new("mime-delimiter", 0, "the first delimiter line")) };
        self.complain("mime-close-delimiter", self.body.len(), "the closing delimiter is missing");
        parts.push(start.min(self.body.len())..self.body.len());
        Ok(parts)
    }

    /// Whether a delimiter line starts at `at`: whether it closes, and where the next line starts.
    fn delimiter(&mut self, at: usize, length: usize) -> Option<(bool, usize)> {
        if at > 0 && self.body[at - 1] != b'\n' {
            return None;
        }
        let line = Line::at(self.body, at)?;
        let rest = self.body.get(at + length..line.end)?;
        let closing = rest.starts_with(b"--");
        if !rest[if closing { 2 } else { 0 }..].trim_ascii().is_empty() {
            return None;
        }
        let last = closing && line.next == line.end;
        if !line.is_strict() && !last || at > 1 && self.body[at - 2] != b'\r' {
            self.complain("mime-line-end", at, "a delimiter line is not set off by CRLF");
        }
        Some((closing, line.next))
    }

    fn before_line_end(&self, at: usize) -> usize {
        match &self.body[..at] {
            [.., b'\r', b'\n'] => at - 2,
            [.., b'\n'] => at - 1,
            _ => at,
        }
    }

    fn part(&mut self, range: Range<usize>) -> Result<Part, Fault> {
        let bytes = &self.body[..range.end];
        let mut headers: Vec<Slot> = Vec::new();
        let mut at = range.start;
        while let Some(line) = Line::at(bytes, at) {
            at = line.next;
            if line.is_empty() {
                break;
            }
            match headers.last_mut() {
                Some(last) if is_folded(bytes, line) => last.extend(bytes, line),
                _ => match Slot::of(bytes, line) {
                    Some(slot) => headers.push(slot),
                    None => {
                        self.complain("mime-header-line", line.start, "no empty line before the data of a part");
                        at = line.start;
                        break;
                    }
                },
            }
            if headers.len() > MAX_FIELDS {
                return Err(Fault::new("mime-fields-limit", at, "fewer header fields"));
            }
        }
        let text = |range: &Range<usize>| unfold(&String::from_utf8_lossy(&bytes[range.clone()]));
        let headers = headers.iter().map(|slot| (text(&slot.name).into(), text(&slot.value))).collect();
        Ok(Part { headers, body: self.body.slice(at.min(range.end)..range.end), offset: at.min(range.end) })
    }

    fn complain(&mut self, code: &'static str, offset: usize, message: &str) {
        self.violations.push(violation(code, offset, "RFC 2046 5.1.1", message.to_owned()));
    }
}

fn violation(code: &'static str, offset: usize, rfc: &'static str, message: String) -> Violation {
    Violation { code, level: Level::Error, offset, rfc, message }
}

/// A field value on one line: each fold, with the blanks around it, becomes one space.
pub(super) fn unfold(value: &str) -> String {
    if !value.contains('\n') {
        return value.to_owned();
    }
    value.lines().map(|line| line.trim_matches([' ', '\t'])).collect::<Vec<_>>().join(" ")
}

/// Undoes a transfer encoding; data that does not decode, or of another encoding, is given as it is.
pub fn decode_transfer<'a>(encoding: Option<&str>, data: &'a [u8]) -> Cow<'a, [u8]> {
    let decoded = match encoding.map(str::trim) {
        Some(name) if name.eq_ignore_ascii_case("base64") => decode_base64(data),
        Some(name) if name.eq_ignore_ascii_case("quoted-printable") => decode_quoted_printable(data),
        _ => None,
    };
    decoded.map_or(Cow::Borrowed(data), Cow::Owned)
}

/// Decodes base64, line breaks allowed (RFC 2045 6.8); `None` when it is malformed.
pub fn decode_base64(data: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(data.len() / 4 * 3);
    let (mut bits, mut count, mut padding) = (0_u32, 0_u32, 0);
    for byte in data.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if padding < 2 => {
                padding += 1;
                continue;
            }
            _ => return None,
        };
        if padding > 0 {
            return None;
        }
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    // What is left over are the zero bits of the last group; a whole character too many is a fault.
    (count < 6).then_some(out)
}

fn decode_quoted_printable(data: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(data.len());
    let mut rest = data;
    while let Some((first, tail)) = rest.split_first() {
        rest = match (first, tail) {
            (b'=', [b'\r', b'\n', tail @ ..] | [b'\n', tail @ ..]) => tail,
            (b'=', [high, low, tail @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                out.push(u8::try_from(digit(high)? << 4 | digit(low)?).ok()?);
                tail
            }
            (b'=', _) => return None,
            (byte, tail) => {
                out.push(*byte);
                tail
            }
        };
    }
    Some(out)
}

/// Writes a multipart body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Builder {
    boundary: String,
    parts: Vec<(Vec<(String, String)>, Bytes)>,
}

impl Builder {
    /// A body without parts and the boundary that will set them off.
    pub fn new(boundary: &str) -> Self {
        Self { boundary: boundary.to_owned(), parts: Vec::new() }
    }

    /// Adds a part of this type.
    #[must_use]
    pub fn part(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.part_with(&[("Content-Type", content_type)], body)
    }

    /// Adds a part with these header fields.
    #[must_use]
    pub fn part_with(mut self, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.parts.push((headers, body.into()));
        self
    }

    /// The boundary: the one that was given, longer where a part holds it.
    pub fn boundary(&self) -> Cow<'_, str> {
        let mut boundary = Cow::Borrowed(self.boundary.as_str());
        while self.parts.iter().any(|(_, body)| memmem::find(body, boundary.as_bytes()).is_some()) {
            boundary.to_mut().push('x');
        }
        boundary
    }

    /// The Content-Type of the whole.
    pub fn content_type(&self) -> String {
        format!("multipart/mixed;boundary=\"{}\"", self.boundary())
    }

    /// The bytes of the whole.
    pub fn encode(&self) -> Bytes {
        let boundary = self.boundary();
        let mut out = BytesMut::with_capacity(self.parts.iter().map(|(_, body)| body.len() + 256).sum());
        for (headers, body) in &self.parts {
            out.put_slice(format!("--{boundary}\r\n").as_bytes());
            for (name, value) in headers {
                out.put_slice(format!("{name}: {value}\r\n").as_bytes());
            }
            out.put_slice(b"\r\n");
            out.put_slice(body);
            out.put_slice(b"\r\n");
        }
        out.put_slice(format!("--{boundary}--\r\n").as_bytes());
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/mixed;boundary=\"b 1\"";
    const BODY: &str = "preamble\r\n--b 1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b 1  \r\n\
        content-type: application/resource-lists+xml\r\nContent-Disposition: recipient-list-history;\r\n handling=optional\r\n\r\n<x/>\r\n--b 1--\r\nepilogue";

    fn codes(content_type: &str, body: &'static str) -> Vec<&'static str> {
        validate(content_type, &Bytes::from_static(body.as_bytes())).into_iter().map(|own| own.code).collect()
    }

    #[test]
    fn parts_are_told_apart_by_a_quoted_boundary() {
        let body = Bytes::from_static(BODY.as_bytes());
        let parts = parts(TYPE, &body);
        assert_eq!(parts.iter().map(Part::content_type).collect::<Vec<_>>(), ["application/sdp", "application/resource-lists+xml"]);
        assert_eq!(parts[0].body, "v=0\r\n");
        assert_eq!(&body[parts[1].offset..][..4], b"<x/>");
        assert_eq!(parts[1].disposition(), Some("recipient-list-history; handling=optional"));
        assert_eq!(codes(TYPE, BODY), [""; 0]);
    }

    #[test]
    fn bare_line_feeds_and_a_missing_end_are_put_up_with() {
        let body = "--x\nContent-Type: text/plain\n\nhello\n--x--\n";
        assert_eq!(parts("multipart/mixed; boundary=x", &Bytes::from_static(body.as_bytes()))[0].body, "hello");
        assert!(codes("multipart/mixed; boundary=x", body).contains(&"mime-line-end"));
        assert_eq!(codes("multipart/mixed; boundary=x", "--x\r\n\r\nhello"), ["mime-close-delimiter"]);
    }

    #[test]
    fn a_body_without_its_boundary_is_faulty() {
        assert_eq!(codes("multipart/mixed; boundary=x", "--y\r\n\r\nhello"), ["mime-multipart"]);
        assert_eq!(codes("multipart/mixed", "--y\r\n\r\nhello"), ["mime-multipart"]);
        assert!(parts("multipart/mixed; boundary=x", &Bytes::new()).is_empty());
    }

    #[test]
    fn a_look_alike_of_the_boundary_is_data() {
        let body = Bytes::from_static(b"--x\r\n\r\na --x b\r\n--xy\r\n--x--");
        assert_eq!(parts("multipart/mixed;boundary=x", &body)[0].body, "a --x b\r\n--xy");
    }

    #[test]
    fn a_type_is_found_in_nested_and_in_single_bodies() {
        let inner = Builder::new("in").part("application/sdp", "v=0\r\n");
        let outer = Builder::new("out").part("text/plain", "x").part(&inner.content_type(), inner.encode());
        let body = outer.encode();
        let found = find(&outer.content_type(), &body, "application/sdp").unwrap();
        assert_eq!(&body[found.offset..][..5], b"v=0\r\n");
        assert_eq!(find("Application/SDP;x=y", &inner.encode(), "application/sdp").map(|part| part.body), Some(inner.encode()));
        assert_eq!(find("text/plain", &body, "application/sdp"), None);
    }

    #[test]
    fn a_boundary_that_a_part_holds_is_not_used() {
        let builder = Builder::new("b").part("text/plain", "--b\r\n");
        assert_eq!(builder.content_type(), "multipart/mixed;boundary=\"bx\"");
        assert_eq!(parts(&builder.content_type(), &builder.encode())[0].body, "--b\r\n");
    }

    #[test]
    fn transfer_encodings_are_undone() {
        assert_eq!(decode_base64(b"aGVs\r\nbG8="), Some(b"hello".to_vec()));
        assert_eq!(decode_base64(b"aGVsbG8"), Some(b"hello".to_vec()));
        assert_eq!(decode_base64(b"a"), None);
        assert_eq!(decode_base64(b"aG=s"), None);
        assert_eq!(decode_transfer(Some("Quoted-Printable"), b"a=3Db=\r\nc").as_ref(), b"a=bc");
        assert_eq!(decode_transfer(Some("quoted-printable"), b"a=4").as_ref(), b"a=4");
    }

    #[test]
    fn a_boundary_that_ends_a_line_is_none() {
        let body = Bytes::from_static(b"--x y\r\n\r\none\r\n--x y--");
        assert_eq!(boundary("multipart/related;boundary=\"x y\r\"").map_err(|fault| fault.code), Err("mime-boundary"));
        assert_eq!(validate("multipart/related;boundary=\"x y\r\"", &body)[0].code, "mime-multipart");
        assert_eq!(parts("multipart/related;boundary=\"x y\r\"", &body), []);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in "(--x(--)?|\r\n|\n|a:|b| |é){0,40}") {
            let body = Bytes::from(bytes);
            for part in parts("multipart/mixed;boundary=x", &body) {
                prop_assert_eq!(&body[part.offset..part.offset + part.body.len()], &part.body[..]);
            }
        }

        #[test]
        fn what_is_built_is_taken_apart(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..5)) {
            let builder = bodies.iter().fold(Builder::new("b"), |builder, body| builder.part("text/plain", body.clone()));
            let encoded = builder.encode();
            prop_assert_eq!(validate(&builder.content_type(), &encoded), vec![]);
            let back: Vec<Vec<u8>> = parts(&builder.content_type(), &encoded).iter().map(|part| part.body.to_vec()).collect();
            prop_assert_eq!(back, bodies);
        }
    }
}
