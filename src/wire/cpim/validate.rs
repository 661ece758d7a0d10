//! What is wrong about a CPIM message that could be read.

use super::{Address, Cpim, IMDN_NAMESPACE};
use crate::wire::lines::{Line, Slot};
use crate::wire::{Level, Violation, datetime};

/// The headers of RFC 3862 4, in their case.
const CORE: [&str; 7] = ["From", "To", "cc", "DateTime", "Subject", "NS", "Require"];
/// What may be asked for: RFC 5438 6.2, and the interworking notification of CPM.
const NOTIFICATIONS: [&str; 5] = ["positive-delivery", "negative-delivery", "processing", "display", "interworking"];

/// Checks a message.
pub fn validate(message: &Cpim) -> Vec<Violation> {
    let mut check = Check { message, found: Vec::new() };
    check.layout();
    check.lines();
    for slot in &message.headers {
        check.name(slot);
        check.value(slot);
    }
    check.presence();
    check.namespaces();
    check.content();
    check.found.sort_by_key(|violation| violation.offset);
    check.found
}

struct Check<'a> {
    message: &'a Cpim,
    found: Vec<Violation>,
}

impl Check<'_> {
    fn error(&mut self, code: &'static str, offset: usize, rfc: &'static str, message: impl Into<String>) {
        self.found.push(Violation { code, level: Level::Error, offset, rfc, message: message.into() });
    }

    fn warning(&mut self, code: &'static str, offset: usize, rfc: &'static str, message: impl Into<String>) {
        self.found.push(Violation { code, level: Level::Warning, offset, rfc, message: message.into() });
    }

    fn layout(&mut self) {
        let layout = self.message.layout;
        if layout.leading_blank {
            self.error("cpim-leading-line", 0, "RFC 3862 2", "an empty line before the first header");
        }
        if let Some(at) = layout.unseparated {
            self.error("cpim-empty-line", at, "RFC 3862 2", "no empty line between the CPIM headers and the MIME headers");
        }
        if let Some(at) = layout.bare {
            self.error("cpim-mime-headers", at, "RFC 3862 2.4", "no MIME headers and empty line before the content");
        }
        if layout.truncated {
            self.error("cpim-truncated", self.message.bytes().len(), "RFC 3862 2", "the message ends before its content");
        }
    }

    /// Line ends and folding, up to the content.
    fn lines(&mut self) {
        let bytes = self.message.bytes().clone();
        let mime_from = self.message.mime.first().map_or(self.message.content, |slot| slot.name.start);
        let mut at = 0;
        while at < self.message.content {
            let Some(line) = Line::at(&bytes, at) else { break };
            if !line.is_strict() {
                self.error("cpim-line-end", line.end, "RFC 3862 2.2", "a line does not end in CRLF");
            }
            if at < mime_from && matches!(bytes[at], b' ' | b'\t') {
                self.error("cpim-folding", at, "RFC 3862 2.2", "a header is folded");
            }
            at = line.next;
        }
    }

    fn name(&mut self, slot: &Slot) {
        let name = self.message.text(&slot.name).to_owned();
        if let Some(core) = CORE.iter().find(|core| core.eq_ignore_ascii_case(&name) && **core != name) {
            self.error("cpim-name-case", slot.name.start, "RFC 3862 2.2", format!("`{name}` is to be written `{core}`"));
        }
        let gap = &self.message.bytes()[slot.name.end..slot.value.start];
        if gap != b": " && !(slot.value.is_empty() && gap == b":") {
            self.error("cpim-space", slot.name.end, "RFC 3862 2.2", format!("`{name}` is not followed by a colon and one space"));
        }
    }

    fn value(&mut self, slot: &Slot) {
        let (at, value) = (slot.value.start, self.message.text(&slot.value).to_owned());
        let name = self.message.text(&slot.name).to_ascii_lowercase();
        match name.as_str() {
            "from" | "to" | "cc" if Address::parse(&value).is_err() => {
                self.error("cpim-address", at, "RFC 3862 4.1", format!("`{value}` holds no URI in angle brackets"));
            }
            "from" | "to" | "cc" if !value.ends_with('>') => {
                self.error("cpim-address-brackets", at, "RFC 3862 4.1", "the URI is not in angle brackets");
            }
            "datetime" if !datetime::is_valid(&value) => {
                self.error("cpim-datetime", at, "RFC 3862 4.4", format!("`{value}` is no date and time of RFC 3339"));
            }
            "ns" => self.namespace_value(at, &value),
            _ => {}
        }
    }

    fn namespace_value(&mut self, at: usize, value: &str) {
        match value.split_once('<') {
            Some((prefix, uri)) if uri.ends_with('>') => {
                let spaced = prefix.is_empty() || prefix.strip_suffix(' ').is_some_and(|prefix| !prefix.ends_with(' '));
                if !spaced {
                    self.error("cpim-ns-space", at, "RFC 3862 4.6", "prefix and URI are not set off by one space");
                }
            }
            _ => self.error("cpim-ns", at, "RFC 3862 4.6", format!("`{value}` holds no URI in angle brackets")),
        }
    }

    fn presence(&mut self) {
        for name in ["From", "To"] {
            if self.message.header(name).is_none() {
                self.error("cpim-missing", 0, "RFC 4975 13", format!("{name} is missing"));
            }
        }
        for name in ["From", "DateTime", "imdn.Message-ID", "imdn.Disposition-Notification"] {
            if self.message.values(name).nth(1).is_some() {
                self.error("cpim-repeated", 0, "RFC 3862 4", format!("{name} occurs more than once"));
            }
        }
        if self.message.disposition_notification().is_some() {
            for name in ["DateTime", "imdn.Message-ID"] {
                if self.message.header(name).is_none() {
                    self.error("imdn-missing", 0, "RFC 5438 7.1.1", format!("notifications are asked for without {name}"));
                }
            }
        }
    }

    fn namespaces(&mut self) {
        let message = self.message;
        let declared: Vec<_> = message.namespaces().collect();
        for slot in &message.headers {
            let Some((prefix, _)) = message.text(&slot.name).split_once('.') else { continue };
            if !declared.iter().any(|(own, _)| *own == prefix) {
                self.error("cpim-prefix", slot.name.start, "RFC 3862 3.4", format!("the prefix `{prefix}` is not declared"));
            }
        }
        if let Some((_, uri)) = declared.iter().find(|(prefix, uri)| *prefix == "imdn" && *uri != IMDN_NAMESPACE) {
            self.warning("imdn-namespace", 0, "RFC 5438 6", format!("the prefix imdn stands for `{uri}`"));
        }
        for asked in message.disposition_notification().unwrap_or("").split(',').filter(|asked| !asked.trim().is_empty()) {
            let asked = asked.split(';').next().unwrap_or("").trim();
            if !NOTIFICATIONS.contains(&asked) {
                self.warning("imdn-notification", 0, "RFC 5438 6.2", format!("`{asked}` is no known notification"));
            }
        }
    }

    fn content(&mut self) {
        let message = self.message;
        let at = message.content;
        if message.layout.bare.is_none() && !message.layout.truncated && message.content_type().is_none() {
            self.warning("cpim-content-type", at, "RFC 3862 2.4", "the content has no Content-Type");
        }
        let Some(length) = message.mime("Content-Length") else { return };
        if length.parse() != Ok(message.bytes().len() - at) {
            let actual = message.bytes().len() - at;
            self.error(
                "cpim-content-length",
                at,
                "RFC 3862 2.4",
                format!("Content-Length is {length}, the content has {actual} bytes"),
            );
        }
    }
}
