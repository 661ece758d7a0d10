//! What is wrong about a chunk that could be read.

use super::chunk::is_ident;
use super::{ByteRange, Chunk, Flag, MsrpUri, Start, paths};
use crate::wire::{Level, Violation};

/// Chunks above this size are to be interruptible (RFC 4975 7.1.1).
const INTERRUPTIBLE: usize = 2048;
/// Fields that a chunk has at most once.
const ONCE: [&str; 8] =
    ["To-Path", "From-Path", "Message-ID", "Byte-Range", "Status", "Success-Report", "Failure-Report", "Content-Type"];

/// Checks a chunk.
pub fn validate(chunk: &Chunk) -> Vec<Violation> {
    let mut check = Check { chunk, found: Vec::new() };
    check.fields();
    check.paths();
    match chunk.start() {
        Start::Request { method: "SEND" } => check.send(),
        Start::Request { method: "REPORT" } => check.report(),
        Start::Request { method } => check.other(method),
        Start::Response { code, .. } => check.response(code),
    }
    check.found.sort_by_key(|violation| violation.offset);
    check.found
}

struct Check<'a> {
    chunk: &'a Chunk,
    found: Vec<Violation>,
}

impl Check<'_> {
    fn error(&mut self, code: &'static str, offset: usize, rfc: &'static str, message: impl Into<String>) {
        self.found.push(Violation { code, level: Level::Error, offset, rfc, message: message.into() });
    }

    fn warning(&mut self, code: &'static str, offset: usize, rfc: &'static str, message: impl Into<String>) {
        self.found.push(Violation { code, level: Level::Warning, offset, rfc, message: message.into() });
    }

    /// Where the value of the first field of this name stands.
    fn at(&self, name: &str) -> usize {
        self.chunk.place(name).unwrap_or(0)
    }

    fn fields(&mut self) {
        let chunk = self.chunk;
        for ((name, _), (at, value)) in chunk.fields().zip(chunk.places()) {
            if &chunk.bytes()[at.end..value.start] != b": " {
                self.error("msrp-space", at.end, "RFC 4975 9", format!("`{name}` is not followed by a colon and one space"));
            }
            let again = self.at(name) != value.start;
            if again && ONCE.iter().any(|own| own.eq_ignore_ascii_case(name)) {
                self.error("msrp-repeated", at.start, "RFC 4975 9", format!("{name} occurs more than once"));
            }
        }
    }

    fn paths(&mut self) {
        let chunk = self.chunk;
        for (index, wanted) in ["To-Path", "From-Path"].into_iter().enumerate() {
            let Some(value) = chunk.value(wanted) else {
                self.error("msrp-missing-path", 0, "RFC 4975 7.1", format!("{wanted} is missing"));
                continue;
            };
            if !chunk.fields().nth(index).is_some_and(|(name, _)| name.eq_ignore_ascii_case(wanted)) {
                let place = if index == 0 { "first" } else { "second" };
                self.error("msrp-path-order", self.at(wanted), "RFC 4975 7.1", format!("{wanted} is not the {place} header field"));
            }
            self.path(wanted, value);
        }
        let hops = paths(chunk.to_path()).count();
        if hops > 1 && chunk.code().is_some() {
            self.error("msrp-response-path", self.at("To-Path"), "RFC 4975 7.2", "a response goes back one hop only");
        }
    }

    fn path(&mut self, name: &'static str, value: &str) {
        if paths(value).next().is_none() {
            self.error("msrp-path", self.at(name), "RFC 4975 9", format!("{name} is empty"));
        }
        for uri in paths(value) {
            if let Err(fault) = MsrpUri::parse(uri) {
                self.error("msrp-uri", self.at(name), "RFC 4975 9", format!("`{uri}`: {fault}"));
            }
        }
    }

    fn message_id(&mut self) {
        match self.chunk.message_id() {
            None => self.error("msrp-message-id", 0, "RFC 4975 7.1.1", "Message-ID is missing"),
            Some(id) if !is_ident(id.as_bytes()) => {
                let message = format!("`{id}` is no Message-ID of 4 to 32 characters");
                self.error("msrp-message-id", self.at("Message-ID"), "RFC 4975 9", message);
            }
            Some(_) => {}
        }
    }

    fn send(&mut self) {
        let chunk = self.chunk;
        self.message_id();
        self.word("Success-Report", &["yes", "no"]);
        self.word("Failure-Report", &["yes", "no", "partial"]);
        self.content();
        match chunk.value("Byte-Range") {
            None if chunk.body().is_some() && chunk.flag() == Flag::More => {
                self.warning("msrp-byte-range", 0, "RFC 4975 7.1.1", "a part of a message has no Byte-Range");
            }
            None => {}
            Some(text) => match ByteRange::parse(text) {
                Ok(range) => self.range(range),
                Err(_) => self.error("msrp-byte-range", self.at("Byte-Range"), "RFC 4975 9", format!("`{text}` is no byte range")),
            },
        }
    }

    fn word(&mut self, name: &'static str, allowed: &[&str]) {
        let Some(value) = self.chunk.value(name) else { return };
        if !allowed.contains(&value) {
            let message = format!("`{value}` is no value of {name}");
            self.error("msrp-report-wish", self.at(name), "RFC 4975 9", message);
        }
    }

    /// Content-Type and the data belong together, the one right before the other (RFC 4975 9).
    fn content(&mut self) {
        let chunk = self.chunk;
        let last = chunk.fields().last().map(|(name, _)| name);
        match (chunk.body_offset(), chunk.content_type()) {
            (Some(at), None) => self.error("msrp-content-type", at, "RFC 4975 7.1", "there is data but no Content-Type"),
            (None, Some(_)) => {
                self.error("msrp-content-type", self.at("Content-Type"), "RFC 4975 9", "there is a Content-Type but no data");
            }
            (Some(_), Some(_)) if !last.is_some_and(|name| name.eq_ignore_ascii_case("Content-Type")) => {
                self.error(
                    "msrp-content-order",
                    self.at("Content-Type"),
                    "RFC 4975 9",
                    "Content-Type is not the last header field",
                );
            }
            _ => {}
        }
        let (at, end) = (chunk.body_offset().unwrap_or(0), chunk.bytes().len() - chunk.transact_id().len() - 10);
        if at == end {
            self.error("msrp-data-line", at, "RFC 4975 9", "no line end between the empty line and the end-line");
        }
    }

    fn range(&mut self, range: ByteRange) {
        let chunk = self.chunk;
        let at = self.at("Byte-Range");
        let size = chunk.body().map_or(0, |body| body.len() as u64);
        let ByteRange { start, end, total } = range;
        if start == 0 {
            self.error("msrp-range-start", at, "RFC 4975 7.1.1", "byte ranges count from 1");
        }
        if end.is_some_and(|end| end.saturating_add(1) < start) {
            self.error("msrp-range-end", at, "RFC 4975 7.1.1", format!("the range {range} ends before it starts"));
        }
        if end.zip(total).is_some_and(|(end, total)| end > total) {
            self.error("msrp-range-total", at, "RFC 4975 7.1.1", format!("the range {range} ends behind the message"));
        }
        let last = start.max(1).saturating_add(size).saturating_sub(1);
        if end.is_some_and(|end| end.saturating_add(1) >= start && end != last) && chunk.flag() != Flag::Aborted {
            self.error("msrp-range-size", at, "RFC 4975 7.1.1", format!("the range {range} does not fit {size} bytes of data"));
        } else if total.is_some_and(|total| size > 0 && last > total) {
            self.error(
                "msrp-range-total",
                at,
                "RFC 4975 7.1.1",
                format!("{size} bytes from {start} exceed the message of {range}"),
            );
        }
        if chunk.flag() == Flag::Complete && total.is_some_and(|total| last < total) {
            self.error("msrp-range-flag", at, "RFC 4975 7.1", format!("the flag says complete, the range {range} does not"));
        }
        if end.is_some() && size > INTERRUPTIBLE as u64 {
            self.error("msrp-interruptible", at, "RFC 4975 7.1.1", format!("a chunk of {size} bytes is not interruptible"));
        }
    }

    fn report(&mut self) {
        let chunk = self.chunk;
        self.message_id();
        self.plain("REPORT");
        match chunk.value("Byte-Range").map(ByteRange::parse) {
            Some(Ok(_)) => {}
            Some(Err(fault)) => self.error("msrp-byte-range", self.at("Byte-Range"), "RFC 4975 9", fault.to_string()),
            None => self.error("msrp-byte-range", 0, "RFC 4975 7.1.2", "the REPORT has no Byte-Range"),
        }
        match chunk.value("Status") {
            None => self.error("msrp-status", 0, "RFC 4975 7.1.2", "the REPORT has no Status"),
            Some(value) if chunk.status().is_none() => {
                self.error("msrp-status", self.at("Status"), "RFC 4975 9", format!("`{value}` is no status of namespace 000"));
            }
            Some(_) => {}
        }
        for name in ["Success-Report", "Failure-Report"] {
            if chunk.value(name).is_some() {
                self.error("msrp-report-wish", self.at(name), "RFC 4975 7.1.2", format!("a REPORT has no {name}"));
            }
        }
    }

    fn other(&mut self, method: &str) {
        // AUTH is of RFC 4976, NICKNAME of RFC 7701.
        if !matches!(method, "AUTH" | "NICKNAME") {
            self.warning("msrp-method", 0, "RFC 4975 12", format!("`{method}` is no registered method"));
        }
    }

    fn response(&mut self, code: u16) {
        self.plain("a response");
        if super::comment(code).is_empty() {
            self.warning("msrp-code", 0, "RFC 4975 10", format!("{code} is no registered status code"));
        }
    }

    /// Neither data nor a part of something.
    fn plain(&mut self, what: &str) {
        let chunk = self.chunk;
        if let Some(at) = chunk.body_offset() {
            self.error("msrp-body", at, "RFC 4975 7.2", format!("{what} has no data"));
        }
        if chunk.flag() != Flag::Complete {
            let at = chunk.bytes().len().saturating_sub(3);
            self.error("msrp-flag", at, "RFC 4975 7.1", format!("{what} is complete, its flag says otherwise"));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const SEND: &str = "MSRP d93kswow SEND\r\nTo-Path: msrp://127.0.0.1:15302/b1d2;tcp\r\nFrom-Path: msrp://127.0.0.1:15201/pfd2;tcp\r\n\
        Message-ID: 12339sdqwer\r\nByte-Range: 1-5/5\r\nContent-Type: text/plain\r\n\r\nhello\r\n-------d93kswow$\r\n";
    const REPORT: &str = "MSRP f0f1r2p3 REPORT\r\nTo-Path: msrp://127.0.0.1:15302/b1rj;tcp\r\nFrom-Path: msrp://127.0.0.1:15202/pfrj;tcp\r\n\
        Message-ID: b1-msg-0007\r\nByte-Range: 1-305/305\r\nStatus: 000 403 Forbidden\r\n-------f0f1r2p3$\r\n";
    const OK: &str = "MSRP d93kswow 200 OK\r\nTo-Path: msrp://127.0.0.1:15201/pfd2;tcp\r\nFrom-Path: msrp://127.0.0.1:15302/b1d2;tcp\r\n-------d93kswow$\r\n";

    fn codes(text: &str) -> Vec<&'static str> {
        let chunk = Chunk::decode(Bytes::copy_from_slice(text.as_bytes())).unwrap();
        validate(&chunk).into_iter().map(|own| own.code).collect()
    }

    #[test]
    fn what_keeps_the_rules_is_not_reported() {
        for text in [SEND, REPORT, OK] {
            assert_eq!(codes(text), [""; 0]);
        }
        assert_eq!(codes(&SEND.replace("Byte-Range: 1-5/5\r\nContent-Type: text/plain\r\n\r\nhello\r\n", "")), [""; 0]);
        for range in ["1-5/5", "1-*/5", "1-*/*", "1-5/*"] {
            assert_eq!(codes(&SEND.replace("1-5/5", range)), [""; 0], "{range}");
        }
        assert_eq!(codes(&SEND.replace("1-5/5", "1-*/9").replace("wow$", "wow+")), [""; 0]);
        assert_eq!(codes(&SEND.replace("1-5/5", "1-9/9").replace("wow$", "wow#")), [""; 0]);
        assert_eq!(codes(&SEND.replace("1-5/5", "1-0/0").replace("hello", "")), [""; 0]);
    }

    #[test]
    fn what_breaks_a_rule_is_reported() {
        let to = "To-Path: msrp://127.0.0.1:15302/b1d2;tcp\r\n";
        let cases = [
            (SEND.replace(to, ""), "msrp-missing-path"),
            (SEND.replace(to, "").replace("Byte-Range", &format!("{to}Byte-Range")), "msrp-path-order"),
            (SEND.replace("b1d2;tcp", "b1d2"), "msrp-uri"),
            (SEND.replace("Message-ID: 12339sdqwer\r\n", ""), "msrp-message-id"),
            (SEND.replace("12339sdqwer", "a b"), "msrp-message-id"),
            (SEND.replace("Message-ID: ", "Message-ID:  "), "msrp-space"),
            (SEND.replace("Byte-Range", "Message-ID: again1\r\nByte-Range"), "msrp-repeated"),
            (SEND.replace("Byte-Range", "Success-Report: maybe\r\nByte-Range"), "msrp-report-wish"),
            (SEND.replace("1-5/5", "one"), "msrp-byte-range"),
            (SEND.replace("1-5/5", "0-4/5"), "msrp-range-start"),
            (SEND.replace("1-5/5", "5-3/10"), "msrp-range-end"),
            (SEND.replace("1-5/5", "1-5/4"), "msrp-range-total"),
            (SEND.replace("1-5/5", "1-*/4"), "msrp-range-total"),
            (SEND.replace("1-5/5", "1-6/6"), "msrp-range-size"),
            (SEND.replace("1-5/5", "1-5/9"), "msrp-range-flag"),
            (SEND.replace("1-5/5", "1-3000/3000").replace("hello", &"x".repeat(3000)), "msrp-interruptible"),
            (SEND.replace("Content-Type: text/plain\r\n", ""), "msrp-content-type"),
            (SEND.replace("\r\nhello\r\n", ""), "msrp-content-type"),
            (
                SEND.replace("Message-ID", "Content-Type: text/plain\r\nMessage-ID")
                    .replace("text/plain\r\n\r\n", "x/y\r\nX-Y: z\r\n\r\n"),
                "msrp-content-order",
            ),
            (SEND.replace("hello\r\n", ""), "msrp-data-line"),
            (REPORT.replace("Byte-Range: 1-305/305\r\n", ""), "msrp-byte-range"),
            (REPORT.replace("000 403", "001 403"), "msrp-status"),
            (REPORT.replace("Status: 000 403 Forbidden\r\n", ""), "msrp-status"),
            (REPORT.replace("p3$", "p3+"), "msrp-flag"),
            (REPORT.replace("REPORT", "NUDGE"), "msrp-method"),
            (OK.replace("-------", "Content-Type: a/b\r\n\r\nx\r\n-------"), "msrp-body"),
            (OK.replace("200 OK", "299 Fine"), "msrp-code"),
            (OK.replace("pfd2;tcp", "pfd2;tcp msrp://a.example/x;tcp"), "msrp-response-path"),
        ];
        for (text, code) in cases {
            assert!(codes(&text).contains(&code), "{code}: {:?}", codes(&text));
        }
    }
}
