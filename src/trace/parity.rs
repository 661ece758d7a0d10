//! When a trace on sockets equals that of the simulator: the one place that says what may differ.
//!
//! Two snapshots are equal in this sense when they are after this, and nothing else is made alike:
//!
//! - messages between different ends, and SIP and MSRP between the same ends, have no common order;
//! - 100 responses are left out, as they are only for transactions (RFC 3261 17.2.1);
//! - the transport is not told: Via, `transport` of a URI, `TCP/TLS/MSRP`, `msrps`, `sips`;
//! - nor are ports, moments, and the length of a body, which is compared itself;
//! - placeholders are numbered anew, so that equal values stay equal and different ones differ.
//!
//! Retransmissions and connections that come and go are in no snapshot.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::snapshot::{Change, compare};

fn expression(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|fault| panic!("an expression of our own does not compile: {fault}"))
}

/// What is made alike on a line, in this order.
static ALIKE: LazyLock<[(Regex, &str); 6]> = LazyLock::new(|| {
    [
        (expression(r"SIP/2\.0/(?:UDP|TCP|TLS)"), "SIP/2.0/-"),
        (expression(r"(?i);transport=(?:udp|tcp|tls)"), ""),
        (expression(r"\b(sip|msrp)s:"), "$1:"),
        (expression(r"TCP/TLS/MSRP"), "TCP/MSRP"),
        (expression(r"<(port|date):[^<>]*>"), "<$1>"),
        (expression(r"^Content-Length: [1-9][0-9]*"), "Content-Length: <length>"),
    ]
});
/// A numbered placeholder.
static NUMBERED: LazyLock<Regex> = LazyLock::new(|| expression(r"<([a-z-]+:(?:[^<>]*\.)?)([0-9]+)>"));

/// How a trace compares with one of the simulator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Parity {
    /// They are equal but for what may differ.
    Equal,
    /// They are not.
    Differs(Vec<Change>),
}

impl Parity {
    /// Compares the contents of two snapshots.
    pub fn of(simulated: &str, real: &str) -> Self {
        let (simulated, real) = (comparable(simulated), comparable(real));
        if simulated == real { Self::Equal } else { Self::Differs(compare(&simulated, &real)) }
    }
}

/// A block of a snapshot: its title without number and transport, and its lines.
struct Block<'a> {
    title: &'a str,
    lines: Vec<&'a str>,
}

impl Block<'_> {
    /// What has an order of its own: the two ends, in either direction, and the protocol.
    fn line(&self) -> (&str, &str, &str) {
        let (ends, protocol) = self.title.split_once("  ").unwrap_or((self.title, ""));
        let (from, to) = ends.split_once(" -> ").unwrap_or((ends, ""));
        (from.min(to), from.max(to), protocol)
    }

    fn is_trying(&self) -> bool {
        self.lines.first().is_some_and(|start| start.starts_with("SIP/2.0 100 "))
    }
}

/// What of a snapshot is compared, in one order that does not depend on how things interleaved.
fn comparable(content: &str) -> String {
    let blocks = blocks(content);
    let mut lines: BTreeMap<_, Vec<&Block<'_>>> = BTreeMap::new();
    for block in blocks.iter().filter(|block| !block.is_trying()) {
        lines.entry(block.line()).or_default().push(block);
    }
    let (mut numbers, mut out) = (Numbers::default(), String::new());
    for (number, block) in (1..).zip(lines.values().flatten()) {
        let _ = writeln!(out, "#{number} {}", block.title);
        for line in &block.lines {
            let mut text = (*line).to_owned();
            for (what, alike) in &*ALIKE {
                text = what.replace_all(&text, *alike).into_owned();
            }
            let _ = writeln!(out, "{}", numbers.anew(&text));
        }
    }
    out
}

fn blocks(content: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for line in content.lines() {
        if let Some(rest) = line.strip_prefix('#') {
            let title = rest.split_once(' ').map_or(rest, |(_, title)| title);
            let transports = [" UDP", " TCP", " TLS"];
            let title = transports.iter().find_map(|transport| title.strip_suffix(transport)).unwrap_or(title);
            blocks.push(Block { title, lines: Vec::new() });
        } else if let Some(block) = blocks.last_mut() {
            block.lines.push(line);
        }
    }
    for block in &mut blocks {
        while block.lines.last().is_some_and(|line| line.is_empty()) {
            block.lines.pop();
        }
    }
    blocks
}

/// Numbers for placeholders in the order of their first use.
#[derive(Default)]
struct Numbers {
    given: BTreeMap<(String, String), u32>,
    latest: BTreeMap<String, u32>,
}

impl Numbers {
    fn anew(&mut self, line: &str) -> String {
        let numbered = |found: &Captures<'_>| format!("<{}{}>", &found[1], self.number(&found[1], &found[2]));
        NUMBERED.replace_all(line, numbered).into_owned()
    }

    fn number(&mut self, kind: &str, old: &str) -> u32 {
        let latest = self.latest.entry(kind.to_owned()).or_default();
        *self.given.entry((kind.to_owned(), old.to_owned())).or_insert_with(|| {
            *latest += 1;
            *latest
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYE: &str = "#1 bob -> pf  SIP TCP\nBYE sip:pf;transport=tcp SIP/2.0\nVia: SIP/2.0/TCP bob:<port:bob>;branch=<branch:1>\n\
                       Call-ID: <call-id:1>\nContent-Length: 12\n\n#2 pf -> focus  SIP TCP\nSUBSCRIBE sip:focus SIP/2.0\nCall-ID: <call-id:2>";

    #[test]
    fn transport_ports_and_the_order_between_different_ends_do_not_count() {
        let real = "#1 pf -> focus  SIP UDP\nSUBSCRIBE sip:focus SIP/2.0\nCall-ID: <call-id:1>\n\n#2 pf -> bob  SIP UDP\nSIP/2.0 100 Trying\n\n\
                    #3 bob -> pf  SIP TLS\nBYE sips:pf;transport=tls SIP/2.0\nVia: SIP/2.0/TLS bob:<port:bob.3>;branch=<branch:7>\n\
                    Call-ID: <call-id:2>\nContent-Length: 13\n";
        assert_eq!(Parity::of(BYE, real), Parity::Equal);
    }

    #[test]
    fn whatever_else_differs_counts() {
        for (old, new) in [
            ("<call-id:2>", "<call-id:1>"),
            ("SUBSCRIBE sip:focus", "SUBSCRIBE sip:other"),
            ("Content-Length: 12", "Content-Length: 0"),
            ("#2 pf -> focus", "#2 focus -> pf"),
        ] {
            assert!(matches!(Parity::of(BYE, &BYE.replace(old, new)), Parity::Differs(_)), "{old} and {new}");
        }
        let swapped = "#1 bob -> pf  MSRP\na\n\n#2 pf -> bob  MSRP\nb";
        assert!(matches!(Parity::of(swapped, "#1 pf -> bob  MSRP\nb\n\n#2 bob -> pf  MSRP\na"), Parity::Differs(_)));
    }
}
