//! Messages in a CPIM wrapper (RFC 3862) with the headers of IMDN (RFC 5438).
//!
//! Reading is tolerant, since field traces are: each departure that is put up with is reported by
//! [`validate`]. Writing through [`Builder`] is strict.

mod builder;
mod validate;

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::lines::{Line, Slot, is_folded};
use super::{Fault, mime};

pub use builder::Builder;
pub use validate::validate;

/// The media type of a wrapped message.
pub const MEDIA_TYPE: &str = "message/cpim";
/// The namespace of the headers that ask for and identify disposition notifications (RFC 5438 6).
pub const IMDN_NAMESPACE: &str = "urn:ietf:params:imdn";

/// The most header fields that a message may have, CPIM and MIME together.
const MAX_FIELDS: usize = 128;

/// A decoded message as views into its bytes. Cloning shares them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cpim {
    bytes: Bytes,
    headers: Box<[Slot]>,
    mime: Box<[Slot]>,
    content: usize,
    layout: Layout,
}

/// What was unusual about the way the parts are set off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Layout {
    /// Empty lines before the first header.
    leading_blank: bool,
    /// Where the MIME headers started without an empty line before them.
    unseparated: Option<usize>,
    /// Where the content started without MIME headers.
    bare: Option<usize>,
    /// The message ended before the empty line that ends its headers.
    truncated: bool,
}

impl Cpim {
    /// Decodes a message.
    ///
    /// # Errors
    ///
    /// When it does not start with header lines of UTF-8.
    pub fn decode(bytes: Bytes) -> Result<Self, Fault> {
        let mut reader = Reader { bytes: &bytes, at: 0, layout: Layout::default() };
        let headers = reader.headers()?;
        let mime = reader.mime()?;
        let (content, layout) = (reader.at, reader.layout);
        if let Err(error) = std::str::from_utf8(&bytes[..content]) {
            return Err(Fault::new("cpim-utf8", error.valid_up_to(), "header fields in UTF-8"));
        }
        Ok(Self { bytes, headers: headers.into_boxed_slice(), mime: mime.into_boxed_slice(), content, layout })
    }

    /// The bytes of the message.
    pub fn encode(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The bytes that the message was decoded from.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The CPIM header fields in wire order, names with the prefix as written.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|slot| (self.text(&slot.name), self.text(&slot.value)))
    }

    /// The header fields of the wrapped content in wire order.
    pub fn mime_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.mime.iter().map(|slot| (self.text(&slot.name), self.text(&slot.value)))
    }

    /// The first CPIM header field of this name, for example `imdn.Message-ID`.
    ///
    /// The prefix `imdn` stands for the IMDN namespace under whatever prefix the message declares
    /// for it. Names are first compared as RFC 3862 wants it, then in any letter case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let name = self.own_name(name);
        let exact = self.headers().find(|(own, _)| *own == name.as_ref());
        exact.or_else(|| self.headers().find(|(own, _)| own.eq_ignore_ascii_case(&name))).map(|(_, value)| value)
    }

    /// All CPIM header fields of this name, in any letter case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let name = self.own_name(name);
        self.headers().filter(move |(own, _)| own.eq_ignore_ascii_case(&name)).map(|(_, value)| value)
    }

    /// The namespaces that the message declares: prefix (empty for the default one) and URI.
    pub fn namespaces(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers().filter(|(name, _)| name.eq_ignore_ascii_case("NS")).filter_map(|(_, value)| {
            let (prefix, uri) = value.split_once('<')?;
            Some((prefix.trim(), uri.trim_end().strip_suffix('>')?))
        })
    }

    fn own_name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let Some(local) = name.strip_prefix("imdn.") else { return Cow::Borrowed(name) };
        match self.namespaces().find(|(_, uri)| *uri == IMDN_NAMESPACE) {
            Some(("imdn", _)) | None => Cow::Borrowed(name),
            Some(("", _)) => Cow::Borrowed(local),
            Some((prefix, _)) => Cow::Owned(format!("{prefix}.{local}")),
        }
    }

    /// From, when it can be read.
    pub fn from(&self) -> Option<Address<'_>> {
        Address::parse(self.header("From")?).ok()
    }

    /// The first To, when it can be read.
    pub fn to(&self) -> Option<Address<'_>> {
        Address::parse(self.header("To")?).ok()
    }

    /// DateTime.
    pub fn date_time(&self) -> Option<&str> {
        self.header("DateTime")
    }

    /// imdn.Message-ID.
    pub fn message_id(&self) -> Option<&str> {
        self.header("imdn.Message-ID")
    }

    /// imdn.Disposition-Notification as written.
    pub fn disposition_notification(&self) -> Option<&str> {
        self.header("imdn.Disposition-Notification")
    }

    /// Whether the sender asks for this kind of notification, for example `positive-delivery`.
    pub fn asks_for(&self, notification: &str) -> bool {
        let mut asked = self.disposition_notification().unwrap_or("").split(',');
        asked.any(|own| own.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case(notification))
    }

    /// The first header field of the wrapped content of this name, in any letter case.
    pub fn mime(&self, name: &str) -> Option<&str> {
        self.mime_headers().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Content-Type of the wrapped content.
    pub fn content_type(&self) -> Option<&str> {
        self.mime("Content-Type")
    }

    /// Content-Disposition of the wrapped content.
    pub fn content_disposition(&self) -> Option<&str> {
        self.mime("Content-Disposition")
    }

    /// The wrapped content as it stands on the wire.
    pub fn content(&self) -> Bytes {
        self.bytes.slice(self.content..)
    }

    /// Where the wrapped content starts.
    pub const fn content_offset(&self) -> usize {
        self.content
    }

    /// The wrapped content with its transfer encoding undone.
    pub fn decoded(&self) -> Cow<'_, [u8]> {
        mime::decode_transfer(self.mime("Content-Transfer-Encoding"), &self.bytes[self.content..])
    }

    /// The wrapped content as text, with its transfer encoding undone; `None` when it is not UTF-8.
    pub fn content_text(&self) -> Option<Cow<'_, str>> {
        match self.decoded() {
            Cow::Borrowed(data) => std::str::from_utf8(data).ok().map(Cow::Borrowed),
            Cow::Owned(data) => String::from_utf8(data).ok().map(Cow::Owned),
        }
    }

    fn text(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(&self.bytes[range.clone()]).unwrap_or("")
    }
}

/// Who a message is from or to: a formal name and a URI in angle brackets (RFC 3862 4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address<'a> {
    /// The formal name, quotes left out, empty when there is none.
    pub name: &'a str,
    /// The URI.
    pub uri: &'a str,
}

impl<'a> Address<'a> {
    /// Parses a value; a URI without angle brackets is put up with.
    ///
    /// # Errors
    ///
    /// When there is no URI.
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let fault = |offset| Fault::new("cpim-address", offset, "a URI in angle brackets");
        let (name, uri) = match text.rfind('<') {
            Some(at) => (text[..at].trim(), text[at + 1..].trim_end().strip_suffix('>').ok_or(fault(text.len()))?),
            None => ("", text.trim()),
        };
        let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
        if uri.contains(':') && !uri.contains(' ') { Ok(Self { name, uri }) } else { Err(fault(0)) }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    layout: Layout,
}

impl Reader<'_> {
    /// The CPIM headers and the empty line after them.
    fn headers(&mut self) -> Result<Vec<Slot>, Fault> {
        let mut headers: Vec<Slot> = Vec::with_capacity(8);
        while let Some(line) = Line::at(self.bytes, self.at) {
            if line.is_empty() {
                self.at = line.next;
                if headers.is_empty() {
                    self.layout.leading_blank = true;
                    continue;
                }
                return Ok(headers);
            }
            if is_mime_name(&self.bytes[line.range()]) && !headers.is_empty() {
                self.layout.unseparated = Some(line.start);
                return Ok(headers);
            }
            self.at = line.next;
            match headers.last_mut() {
                Some(last) if is_folded(self.bytes, line) => last.extend(self.bytes, line),
                _ => headers.push(field(self.bytes, line)?),
            }
            within_limit(headers.len(), line.start)?;
        }
        self.layout.truncated = true;
        if headers.is_empty() { Err(Fault::new("cpim-header-line", 0, "a CPIM header line")) } else { Ok(headers) }
    }

    /// The MIME headers and the empty line after them; none when the content starts at once.
    fn mime(&mut self) -> Result<Vec<Slot>, Fault> {
        let start = self.at;
        let mut headers: Vec<Slot> = Vec::with_capacity(4);
        while let Some(line) = Line::at(self.bytes, self.at) {
            self.at = line.next;
            if line.is_empty() {
                return Ok(headers);
            }
            match headers.last_mut() {
                Some(last) if is_folded(self.bytes, line) => last.extend(self.bytes, line),
                _ => match Slot::of(self.bytes, line) {
                    Some(slot) => headers.push(slot),
                    None => return Ok(self.bare(start)),
                },
            }
            within_limit(headers.len(), line.start)?;
        }
        // No empty line came: what looked like header fields is content, unless it says otherwise.
        if !headers.iter().all(|slot| is_mime_name(&self.bytes[slot.name.start..])) {
            return Ok(self.bare(start));
        }
        self.layout.truncated = true;
        Ok(headers)
    }

    fn bare(&mut self, start: usize) -> Vec<Slot> {
        self.layout.bare = Some(start);
        self.at = start;
        Vec::new()
    }
}

fn field(bytes: &[u8], line: Line) -> Result<Slot, Fault> {
    Slot::of(bytes, line).ok_or(Fault::new("cpim-header-line", line.start, "a header name and a colon"))
}

const fn within_limit(count: usize, at: usize) -> Result<(), Fault> {
    if count > MAX_FIELDS { Err(Fault::new("cpim-fields-limit", at, "fewer header fields")) } else { Ok(()) }
}

/// Whether a MIME header field of RFC 2045 starts here.
fn is_mime_name(text: &[u8]) -> bool {
    let starts = |name: &[u8]| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    starts(b"Content-") || starts(b"MIME-Version")
}
