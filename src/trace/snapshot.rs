//! The accepted trace of a scenario, as text beside it.
//!
//! One block per message: a title, then the message as on the wire with its volatile values
//! replaced. A CRLF is a line break; every other line end and whatever is no text is escaped, so
//! nothing is lost. The file is in insta's format.

mod diff;

use std::fmt::Write;

pub use diff::{Change, Line, compare};

use super::Trace;
use super::correlate::{Correlation, Facts};
use super::event::{Content, Event, Kind, Link};
use super::normalise::Normaliser;
use crate::engine::Closure;

/// A snapshot file: what it says about itself, and the trace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    /// The scenario's file.
    pub source: String,
    /// What the scenario shows.
    pub description: String,
    /// The blocks.
    pub content: String,
}

impl Snapshot {
    /// The snapshot of a trace.
    pub fn of(trace: &Trace, source: &str, description: &str) -> Self {
        Self::knowing(&Correlation::of(trace).facts, trace, source, description)
    }

    /// The snapshot of a trace of which these facts are known already.
    pub fn knowing(facts: &[Facts], trace: &Trace, source: &str, description: &str) -> Self {
        Self { source: source.to_owned(), description: description.to_owned(), content: blocks(trace, facts) }
    }

    /// The text of the file.
    pub fn to_file(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        format!(
            "---\nsource: {}\ndescription: {}\n---\n{}\n",
            quoted(&self.source),
            quoted(&self.description),
            self.content.trim_end()
        )
    }

    /// Reads a file; `None` when it has no header.
    pub fn parse(file: &str) -> Option<Self> {
        let text = file.replace("\r\n", "\n");
        let rest = text.strip_prefix("---\n")?;
        let (head, content) = rest.split_once("\n---\n")?;
        let value = |key: &str| {
            let raw = head.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("").trim();
            serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned())
        };
        Some(Self { source: value("source:"), description: value("description:"), content: content.trim_end().to_owned() })
    }

    /// Whether both show the same trace.
    pub fn matches(&self, other: &Self) -> bool {
        self.content.trim_end() == other.content.trim_end()
    }
}

/// The blocks of a trace, with an empty line between them.
pub fn blocks(trace: &Trace, facts: &[Facts]) -> String {
    let mut normaliser = Normaliser::new(&trace.header);
    let mut out = String::new();
    let mut number = 0;
    for (event, facts) in trace.events.iter().zip(facts) {
        let Some(text) = block(event, facts, &mut normaliser) else { continue };
        number += 1;
        let gap = if out.is_empty() { "" } else { "\n" };
        let _ = writeln!(out, "{gap}#{number} {text}");
    }
    out.trim_end().to_owned()
}

fn block(event: &Event, facts: &Facts, normaliser: &mut Normaliser) -> Option<String> {
    let ends = format!("{} -> {}", facts.from, facts.to);
    match &event.kind {
        Kind::Message { .. } if facts.retransmission.is_some() => None,
        Kind::Message { link, content: Content::Sip(message), .. } => {
            let text = message.encode();
            let text = match std::str::from_utf8(&text) {
                Ok(text) => escape(&normaliser.sip(text, facts)),
                Err(_) => escape_bytes(&text),
            };
            Some(format!("{ends}  SIP {}\n{text}", transport(link)))
        }
        Kind::Message { content: Content::Msrp(chunk), .. } => {
            let text = chunk.encode();
            let text = match std::str::from_utf8(&text) {
                Ok(text) => escape(&normaliser.msrp(text, facts)),
                Err(_) => escape_bytes(&text),
            };
            Some(format!("{ends}  MSRP\n{text}"))
        }
        Kind::Message { link, content: Content::Broken { bytes, .. }, .. } => {
            Some(format!("{ends}  broken {}\n{}", transport(link), escape_bytes(bytes)))
        }
        Kind::Closed { how, .. } if facts.lost => {
            let how = match how {
                Closure::Finished => "closed",
                Closure::Reset => "reset",
                Closure::Refused => "refused",
            };
            Some(format!("{ends}  connection {how}"))
        }
        Kind::Fault(what) => Some(format!("fault  {}", escape(what).trim_end_matches("\\\n"))),
        Kind::Opened { .. } | Kind::Closed { .. } | Kind::Note { .. } | Kind::FlowEnded => None,
    }
}

fn transport(link: &Link) -> &'static str {
    link.transport.token()
}

/// Text with its line ends shown: CRLF as a line break, anything else escaped. A text that ends
/// without CRLF ends in a backslash.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find("\r\n");
        let line = &rest[..end.unwrap_or(rest.len())];
        if line.starts_with('#') {
            out.push('\\');
        }
        if line.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\') {
            out.push_str(line);
        } else {
            escape_line(line, &mut out);
        }
        match end {
            Some(end) => {
                out.push('\n');
                rest = &rest[end + 2..];
            }
            None => {
                out.push_str("\\\n");
                rest = "";
            }
        }
    }
    out.trim_end_matches('\n').to_owned()
}

/// A line with what would not be seen in it escaped.
fn escape_line(line: &str, out: &mut String) {
    for char in line.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n\n"),
            '\r' => out.push_str("\\r\n"),
            '\t' => out.push_str("\\t"),
            char if char.is_control() => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(char));
            }
            char => out.push(char),
        }
    }
}

/// Bytes that are no UTF-8, with each stray byte escaped.
fn escape_bytes(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        let text = escape(chunk.valid());
        out.push_str(text.strip_suffix('\\').unwrap_or(&text));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::testing::session;

    #[test]
    fn a_snapshot_reads_back_as_it_was_written() {
        let mut tape = session();
        tape.send("focus", "pf", "one");
        let snapshot = Snapshot::of(&tape.trace(), "scenarios/x.yaml", "what it \"shows\"");
        assert_eq!(Snapshot::parse(&snapshot.to_file()), Some(snapshot.clone()));
        assert!(snapshot.content.starts_with("#1 focus -> pf  SIP TCP\nINVITE sip:+15145550102@home1.example SIP/2.0\n"));
    }

    #[test]
    fn equal_values_get_equal_placeholders_wherever_they_stand() {
        let mut tape = session();
        let sent = tape.send("focus", "pf", "one");
        tape.msrp_answer(sent, "pf", "focus", 200);
        let content = Snapshot::of(&tape.trace(), "", "").content;
        assert!(content.contains("Call-ID: <call-id:1>"), "{content}");
        assert!(content.contains("-------<msrp-tid:1>$"), "{content}");
        assert_eq!(content.matches("MSRP <msrp-tid:1> ").count(), 2, "{content}");
        assert!(content.contains("tag=<tag:focus.1>"), "{content}");
        assert!(content.contains("a=path:msrp://<ip:focus>:<port:focus.1>/<msrp-session:focus.1>;tcp"), "{content}");
        assert!(!content.contains("z9hG4bK"), "{content}");
    }

    #[test]
    fn line_ends_and_stray_bytes_are_shown() {
        assert_eq!(escape("a\r\nb\nc\td\\\r\n"), "a\nb\\n\nc\\td\\\\");
        assert_eq!(escape("#x"), "\\#x\\");
        assert_eq!(escape_bytes(b"a\xff\x00b"), "a\\xff\\u{0}b");
    }
}
