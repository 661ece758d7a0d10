//! Messages in a CPIM wrapper (RFC 3862) with the headers of IMDN (RFC 5438).
//!
//! Reading is tolerant, since field traces are: each departure that is put up with is reported by
//! [`validate()`]. Writing through [`Builder`] is strict.

mod builder;
mod validate;

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::lines::{Line, Slot, is_folded};
use super::{Fault, mime, raw::Raw};

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
    raw: Raw,
    headers: Vec<Slot>,
    mime: Vec<Slot>,
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
        let raw = Raw::of(bytes);
        if let Some(at) = raw.first_non_utf8(0..content) {
            return Err(Fault::new("cpim-utf8", at, "header fields in UTF-8"));
        }
        Ok(Self { raw, headers, mime, content, layout })
    }

    /// The bytes of the message.
    pub fn encode(&self) -> Bytes {
        self.bytes().clone()
    }

    /// The bytes that the message was decoded from.
    pub fn bytes(&self) -> &Bytes {
        self.raw.bytes()
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
        let exact = self.headers_like(&name).find(|(own, _)| *own == name.as_ref());
        exact.or_else(|| self.headers_like(&name).next()).map(|(_, value)| value)
    }

    /// All CPIM header fields of this name, in any letter case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let name = self.own_name(name);
        let alike = self.headers.iter().filter(move |slot| self.is_named(slot, &name));
        alike.map(|slot| self.text(&slot.value))
    }

    /// The header fields of this name as it is written, in any letter case.
    fn headers_like<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let alike = self.headers.iter().filter(move |slot| self.is_named(slot, name));
        alike.map(|slot| (self.text(&slot.name), self.text(&slot.value)))
    }

    /// Most names differ in their length already, and need not be read.
    fn is_named(&self, slot: &Slot, name: &str) -> bool {
        slot.name.len() == name.len() && self.text(&slot.name).eq_ignore_ascii_case(name)
    }

    /// The namespaces that the message declares: prefix (empty for the default one) and URI.
    pub fn namespaces(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers_like("NS").filter_map(|(_, value)| {
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
        self.bytes().slice(self.content..)
    }

    /// Where the wrapped content starts.
    pub const fn content_offset(&self) -> usize {
        self.content
    }

    /// The wrapped content with its transfer encoding undone.
    pub fn decoded(&self) -> Cow<'_, [u8]> {
        mime::decode_transfer(self.mime("Content-Transfer-Encoding"), &self.bytes()[self.content..])
    }

    /// The wrapped content as text, with its transfer encoding undone; `None` when it is not UTF-8.
    pub fn content_text(&self) -> Option<Cow<'_, str>> {
        match self.decoded() {
            Cow::Borrowed(data) => std::str::from_utf8(data).ok().map(Cow::Borrowed),
            Cow::Owned(data) => String::from_utf8(data).ok().map(Cow::Owned),
        }
    }

    fn text(&self, range: &Range<usize>) -> &str {
        self.raw.text(range.clone())
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MESSAGE: &str = "From: Alice <sip:+15145550101@home1.example>\r\nTo: <sip:gc-7f3a9c@cf.home1.example>\r\n\
        DateTime: 2012-01-17T10:01:05Z\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: Msg-A-0002\r\n\
        imdn.Disposition-Notification: positive-delivery, display\r\n\r\n\
        Content-Type: text/plain;charset=UTF-8\r\nContent-Length: 12\r\n\r\nBring water.";

    fn read(text: &str) -> Cpim {
        Cpim::decode(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    fn codes(message: &Cpim) -> Vec<&'static str> {
        validate(message).into_iter().map(|violation| violation.code).collect()
    }

    #[test]
    fn a_group_message_is_read_without_complaint() {
        let message = read(MESSAGE);
        assert_eq!(message.from(), Some(Address { name: "Alice", uri: "sip:+15145550101@home1.example" }));
        assert_eq!(message.to().map(|to| to.uri), Some("sip:gc-7f3a9c@cf.home1.example"));
        assert_eq!(message.date_time(), Some("2012-01-17T10:01:05Z"));
        assert_eq!(message.message_id(), Some("Msg-A-0002"));
        assert!(message.asks_for("display") && message.asks_for("positive-delivery") && !message.asks_for("negative-delivery"));
        assert_eq!(message.content_type(), Some("text/plain;charset=UTF-8"));
        assert_eq!(message.content_text().as_deref(), Some("Bring water."));
        assert_eq!(message.encode(), MESSAGE);
        assert_eq!(codes(&message), [""; 0]);
    }

    #[test]
    fn what_field_traces_do_wrong_is_read_and_reported() {
        let cases = [
            (MESSAGE.replace("imdn <urn", "imdn<urn"), "cpim-ns-space"),
            (MESSAGE.replace("DateTime: ", "DateTime:  "), "cpim-space"),
            (MESSAGE.replace("DateTime: ", "Datetime: "), "cpim-name-case"),
            (MESSAGE.replace("display\r\n\r\n", "display\r\n"), "cpim-empty-line"),
            (MESSAGE.replace("\r\nTo", "\nTo"), "cpim-line-end"),
            (MESSAGE.replace("Message-ID: ", "Message-ID: \r\n "), "cpim-folding"),
            (format!("\r\n{MESSAGE}"), "cpim-leading-line"),
            (MESSAGE.replace("NS: imdn <urn:ietf:params:imdn>\r\n", ""), "cpim-prefix"),
            (MESSAGE.replace("Length: 12", "Length: 13"), "cpim-content-length"),
        ];
        for (text, code) in cases {
            let message = read(&text);
            assert_eq!(message.message_id(), Some("Msg-A-0002"), "{code}");
            assert_eq!(message.content_text().as_deref(), Some("Bring water."), "{code}");
            assert!(codes(&message).contains(&code), "{code}: {:?}", codes(&message));
        }
    }

    #[test]
    fn odd_mime_headers_and_addresses_are_put_up_with() {
        let message =
            read(&MESSAGE.replace("Content-Type", "Content-type").replace("<sip:gc-7f3a9c@cf.home1.example>", "sip:gc@cf.example"));
        assert_eq!(message.content_type(), Some("text/plain;charset=UTF-8"));
        assert_eq!(message.to().map(|to| to.uri), Some("sip:gc@cf.example"));
        assert_eq!(codes(&message), ["cpim-address-brackets"]);
    }

    #[test]
    fn content_without_mime_headers_is_content() {
        for content in ["Bring water.", "See http://example.com\r\n\r\nthere", "http://example.com"] {
            let message = read(&format!("From: <sip:a@b.example>\r\nTo: <sip:c@d.example>\r\n\r\n{content}"));
            assert_eq!(message.content_text().as_deref(), Some(content));
            assert_eq!(codes(&message), ["cpim-mime-headers"]);
        }
    }

    #[test]
    fn the_prefix_of_imdn_is_what_the_message_declares() {
        let message = read(&MESSAGE.replace("imdn.", "n.").replace("NS: imdn", "NS: n"));
        assert_eq!(message.message_id(), Some("Msg-A-0002"));
        assert_eq!(codes(&message), [""; 0]);
    }

    #[test]
    fn base64_content_reads_as_text() {
        let text = MESSAGE
            .replace("Content-Length: 12", "Content-Transfer-Encoding: base64")
            .replace("Bring water.", "QnJpbmcgd2F0\r\nZXIu\r\n");
        assert_eq!(read(&text).content_text().as_deref(), Some("Bring water."));
    }

    #[test]
    fn a_folded_value_that_starts_with_a_control_character_is_built_again_alike() {
        let message = read("Subject:\u{b}  \n   later\r\n\r\n");
        let built = Builder::of(&message).encode();
        assert_eq!(Builder::of(&Cpim::decode(built.clone()).unwrap()).encode(), built);
    }

    #[test]
    fn what_the_builder_writes_is_without_fault() {
        let bytes = Builder::new("sip:a@b.example", "sip:c@d.example")
            .date_time("2012-01-17T10:01:05Z")
            .message_id("Msg-1")
            .disposition_notification("positive-delivery")
            .content("text/plain", "hello")
            .encode();
        let message = Cpim::decode(bytes.clone()).unwrap();
        assert_eq!(codes(&message), [""; 0]);
        assert_eq!(Builder::of(&message).encode(), bytes);
        let altered =
            Cpim::decode(Builder::of(&message).set("To", "<sip:x@y.example>").bare_content("longer text").encode()).unwrap();
        assert_eq!(codes(&altered), [""; 0]);
        assert_eq!(altered.to().map(|to| to.uri), Some("sip:x@y.example"));
    }

    #[test]
    fn bytes_that_are_no_message_name_the_place() {
        let fault = |bytes: &'static [u8]| Cpim::decode(Bytes::from_static(bytes)).unwrap_err();
        assert_eq!((fault(b"").code, fault(b"").offset), ("cpim-header-line", 0));
        assert_eq!((fault(b"To: x\r\nno header").code, fault(b"To: x\r\nno header").offset), ("cpim-header-line", 7));
        assert_eq!(fault(b"To: \xff\r\n\r\n").code, "cpim-utf8");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(message) = Cpim::decode(Bytes::from(bytes.clone())) {
                validate(&message);
                prop_assert_eq!(message.encode(), bytes);
            }
        }

        #[test]
        fn no_lines_make_it_panic(text in "([A-Za-z.]{0,8}:? {0,2}[<>a-z\\\\.:]{0,8}(\r\n|\n){0,2}){0,12}") {
            if let Ok(message) = Cpim::decode(Bytes::from(text)) {
                validate(&message);
                message.from();
                message.message_id();
            }
        }
    }
}
