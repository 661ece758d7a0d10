//! Writes CPIM messages, strictly.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Cpim, IMDN_NAMESPACE};
use crate::wire::put_one_line;

/// The parts of a message to be written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Builder {
    headers: Vec<(String, String)>,
    mime: Vec<(String, String)>,
    content: Bytes,
}

/// Room for the header fields of a usual message.
const USUAL_HEADERS: usize = 8;

impl Builder {
    /// A message from one URI to another.
    pub fn new(from: &str, to: &str) -> Self {
        let bracketed = |name: &str, uri: &str| (name.to_owned(), ["<", uri, ">"].concat());
        let mut headers = Vec::with_capacity(USUAL_HEADERS);
        headers.extend([bracketed("From", from), bracketed("To", to)]);
        Self { headers, ..Self::default() }
    }

    /// The parts of `message`, to be altered.
    pub fn of(message: &Cpim) -> Self {
        let own = |(name, value): (&str, &str)| (name.to_owned(), crate::wire::mime::unfold(value));
        Self {
            headers: message.headers().map(own).collect(),
            mime: message.mime_headers().map(own).collect(),
            content: message.content(),
        }
    }

    /// Sets DateTime.
    #[must_use]
    pub fn date_time(self, text: &str) -> Self {
        self.set("DateTime", text)
    }

    /// Sets imdn.Message-ID.
    #[must_use]
    pub fn message_id(self, id: &str) -> Self {
        self.set("imdn.Message-ID", id)
    }

    /// Asks for notifications, for example `positive-delivery, display`.
    #[must_use]
    pub fn disposition_notification(self, notifications: &str) -> Self {
        self.set("imdn.Disposition-Notification", notifications)
    }

    /// Adds a CPIM header field at the end; the first one with the prefix `imdn` declares it before.
    #[must_use]
    pub fn push(mut self, name: &str, value: impl fmt::Display) -> Self {
        if name.starts_with("imdn.") && !self.declares_imdn() {
            self.headers.push(("NS".to_owned(), ["imdn <", IMDN_NAMESPACE, ">"].concat()));
        }
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    fn declares_imdn(&self) -> bool {
        self.headers.iter().any(|(name, value)| name.eq_ignore_ascii_case("NS") && value.trim_start().starts_with("imdn"))
    }

    /// Replaces the CPIM header fields of this name by one at the place of the first, or at the end.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl fmt::Display) -> Self {
        let Some(at) = self.headers.iter().position(|(own, _)| own.eq_ignore_ascii_case(name)) else {
            return self.push(name, value);
        };
        self = self.remove(name);
        self.headers.insert(at, (name.to_owned(), value.to_string()));
        self
    }

    /// Removes the CPIM header fields of this name.
    #[must_use]
    pub fn remove(mut self, name: &str) -> Self {
        self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self
    }

    /// The first CPIM header field of this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Sets a header field of the content, at the place of the first of this name or at the end.
    #[must_use]
    pub fn mime(mut self, name: &str, value: impl fmt::Display) -> Self {
        let field = (name.to_owned(), value.to_string());
        match self.mime.iter().position(|(own, _)| own.eq_ignore_ascii_case(name)) {
            Some(at) => self.mime[at] = field,
            None => self.mime.push(field),
        }
        self
    }

    /// Removes the header fields of the content of this name.
    #[must_use]
    pub fn remove_mime(mut self, name: &str) -> Self {
        self.mime.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self
    }

    /// Sets the content with its Content-Type and Content-Length.
    #[must_use]
    pub fn content(self, content_type: &str, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        let mut with = self.mime("Content-Type", content_type).mime("Content-Length", content.len());
        with.content = content;
        with
    }

    /// Replaces the content alone; a Content-Length that is there follows it.
    #[must_use]
    pub fn bare_content(mut self, content: impl Into<Bytes>) -> Self {
        self.content = content.into();
        let length = self.content.len();
        if self.mime.iter().any(|(name, _)| name.eq_ignore_ascii_case("Content-Length")) {
            return self.mime("Content-Length", length);
        }
        self
    }

    /// The bytes of the message. Line ends inside a value become spaces, so that it stays one field.
    pub fn encode(&self) -> Bytes {
        let fields = self.headers.iter().chain(&self.mime);
        let size: usize = fields.map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut out = BytesMut::with_capacity(size + self.content.len() + 4);
        for fields in [&self.headers, &self.mime] {
            for (name, value) in fields {
                out.put_slice(name.as_bytes());
                out.put_slice(b": ");
                put_one_line(&mut out, value);
            }
            out.put_slice(b"\r\n");
        }
        out.put_slice(&self.content);
        out.freeze()
    }
}
