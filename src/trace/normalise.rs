//! Makes traces comparable: values that a run invents become numbered placeholders.
//!
//! Numbers are given in order of first use, so equal values stay equal and different ones differ,
//! wherever they stand: in header fields, in SDP, in enclosed messages, in MSRP end-lines. What a
//! scenario fixes (subjects, Conversation-IDs of its groups, texts) is kept.

mod address;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::Header;
use super::correlate::Facts;
use super::event::Party;
use crate::wire::sip::Name;
use crate::wire::sip::set::{ALPHANUMERIC, Set, is_in, run, set};
use address::Found;

/// Gives out placeholders for one trace.
#[derive(Clone, Debug, Default)]
pub struct Normaliser {
    placeholders: BTreeMap<String, String>,
    /// The lengths of what has a placeholder, one bit each: most words have none of them.
    lengths: u64,
    counters: BTreeMap<String, u32>,
    /// First CSeq number of each side of a dialog.
    sequences: BTreeMap<String, u32>,
    /// First version of each SDP session.
    versions: BTreeMap<String, u64>,
    kept: BTreeSet<String>,
    machines: BTreeMap<IpAddr, Option<String>>,
    nodes: BTreeMap<SocketAddr, String>,
    /// The port that is simply called the actor's: the first that the address book gives it.
    main_ports: BTreeMap<String, u16>,
    hosts: BTreeMap<String, String>,
}

static MOMENT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)|[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
    )
    .unwrap_or_else(|fault| panic!("an expression of our own does not compile: {fault}"))
});

/// Bytes of which identifiers on the wire are made (RFC 3261 25.1 `word` without quotes).
static WORD: Set = set(&[ALPHANUMERIC, b"-.!%*_+`'~@="]);

/// Whether a text may hold a moment, which tells the time as `12:34:56`.
fn has_clock(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b':', bytes).any(|at| bytes.get(at + 3) == Some(&b':') && at > 0 && bytes[at - 1].is_ascii_digit())
}

/// The bit of a length; all from 63 on share one.
fn bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// Who says what: the ends of the message whose text is normalised.
struct Voice<'a> {
    from: &'a Party,
    to: &'a Party,
    is_request: bool,
}

impl Normaliser {
    /// A normaliser for a trace with this header.
    pub fn new(header: &Header) -> Self {
        let mut normaliser = Self::default();
        for (address, party) in &header.book.nodes {
            let name = party.to_string();
            normaliser.nodes.insert(*address, name.clone());
            normaliser.main_ports.entry(name.clone()).or_insert(address.port());
            let machine = normaliser.machines.entry(address.ip()).or_insert_with(|| Some(name.clone()));
            if machine.as_ref().is_some_and(|known| *known != name) {
                *machine = None;
            }
        }
        normaliser.hosts = header.book.hosts.iter().map(|(host, party)| (host.to_ascii_lowercase(), party.to_string())).collect();
        normaliser.kept = header.book.groups.iter().map(|(alias, _)| alias.clone()).collect();
        normaliser
    }

    /// The text of a SIP message: start line, header fields, empty line and body, lines as on the
    /// wire.
    pub fn sip(&mut self, text: &str, facts: &Facts) -> String {
        let voice = Voice { from: &facts.from, to: &facts.to, is_request: !text.starts_with("SIP/") };
        let body_at = text.find("\r\n\r\n").map_or(text.len(), |at| at + 4);
        let (head, body) = text.split_at(body_at);
        let mut out = String::with_capacity(text.len());
        self.boundary(head);
        for line in head.split_inclusive('\n') {
            self.header_line(line, head, &voice, &mut out);
        }
        self.body(body, &voice, &mut out);
        out
    }

    /// The text of an MSRP chunk.
    pub fn msrp(&mut self, text: &str, facts: &Facts) -> String {
        let voice = Voice { from: &facts.from, to: &facts.to, is_request: true };
        if let Some(tid) = text.split(' ').nth(1) {
            self.learn("msrp-tid", tid);
        }
        let mut out = String::with_capacity(text.len());
        let body_at = text.find("\r\n\r\n").map_or(text.len(), |at| at + 4);
        let (head, body) = text.split_at(body_at);
        for line in head.split_inclusive('\n') {
            let value = |name: &str| line.strip_prefix(name).map(str::trim);
            if let Some(path) = value("From-Path:") {
                self.learn_path(path, voice.from);
            } else if let Some(path) = value("To-Path:") {
                self.learn_path(path, voice.to);
            } else if let Some(id) = value("Message-ID:") {
                self.learn("message-id", id);
            }
            self.words(line, &mut out);
        }
        self.body(body, &voice, &mut out);
        out
    }

    fn number(&mut self, kind: &str) -> u32 {
        let counter = self.counters.entry(kind.to_owned()).or_default();
        *counter += 1;
        *counter
    }

    fn learn(&mut self, kind: &str, value: &str) {
        if value.is_empty() || self.placeholder(value).is_some() || self.kept.contains(value) {
            return;
        }
        let number = self.number(kind);
        self.place(value, format!("<{kind}:{number}>"));
    }

    fn placeholder(&self, value: &str) -> Option<&str> {
        if self.lengths & bit(value.len()) == 0 {
            return None;
        }
        self.placeholders.get(value).map(String::as_str)
    }

    fn place(&mut self, value: &str, placeholder: String) {
        self.lengths |= bit(value.len());
        self.placeholders.insert(value.to_owned(), placeholder);
    }

    fn learn_of(&mut self, kind: &str, party: &Party, value: &str) {
        if value.is_empty() || self.placeholder(value).is_some() || self.kept.contains(value) {
            return;
        }
        let name = &party.name;
        let number = self.number(&format!("{kind}:{name}"));
        self.place(value, format!("<{kind}:{name}.{number}>"));
    }

    fn learn_path(&mut self, path: &str, party: &Party) {
        let Some(last) = path.split(' ').rfind(|uri| !uri.is_empty()) else { return };
        let session = last.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, session)| session);
        if let Some(session) = session.and_then(|session| session.split(';').next()) {
            self.learn_of("msrp-session", party, session);
        }
    }

    fn boundary(&mut self, head: &str) {
        let value = head.split("boundary=").nth(1).map(|rest| rest.trim_start_matches('"'));
        if let Some(value) =
            value.and_then(|rest| rest.split(|char: char| char == '"' || char == ';' || char.is_whitespace()).next())
        {
            self.learn("boundary", value);
        }
    }

    fn header_line(&mut self, line: &str, head: &str, voice: &Voice<'_>, out: &mut String) {
        let (name, value) = line.split_once(':').map_or(("", line), |(name, value)| (name.trim(), value.trim()));
        match Name::of(name.as_bytes()) {
            Name::CallId => self.learn("call-id", value),
            Name::From => self.learn_tag(value, if voice.is_request { voice.from } else { voice.to }),
            Name::To => self.learn_tag(value, if voice.is_request { voice.to } else { voice.from }),
            Name::Via => value.split(',').for_each(|via| self.learn_param("branch", "branch=", via)),
            Name::ConversationId => self.learn_invented("conversation-id", value),
            Name::ContributionId => self.learn_invented("contribution-id", value),
            Name::CSeq => return self.cseq(line, value, head, voice, out),
            _ => {}
        }
        self.words(line, out);
    }

    fn learn_tag(&mut self, value: &str, party: &Party) {
        if let Some(tag) = param(value, ";tag=") {
            self.learn_of("tag", party, tag);
        }
    }

    fn learn_param(&mut self, kind: &str, mark: &str, text: &str) {
        if let Some(value) = param(text, mark) {
            self.learn(kind, value);
        }
    }

    /// Values that a scenario may fix: only what looks made up is replaced.
    fn learn_invented(&mut self, kind: &str, value: &str) {
        let is_made_up = value.len() >= 14 && value.chars().all(|char| char.is_ascii_hexdigit() || char == '-');
        if is_made_up {
            self.learn(kind, value);
        }
    }

    /// CSeq numbers count from 1 on each side of a dialog: where a run starts is its own affair.
    fn cseq(&mut self, line: &str, value: &str, head: &str, voice: &Voice<'_>, out: &mut String) {
        let Some((number, rest)) = value.split_once(' ').and_then(|(number, rest)| Some((number.parse::<u32>().ok()?, rest)))
        else {
            return out.push_str(line);
        };
        let call_id = head.lines().find_map(|line| line.strip_prefix("Call-ID:")).unwrap_or("").trim();
        let side = if voice.is_request { voice.from } else { voice.to };
        let base = *self.sequences.entry(format!("{call_id} {}", side.name)).or_insert(number);
        let relative = i64::from(number) - i64::from(base) + 1;
        let end = &line[line.trim_end_matches(['\r', '\n']).len()..];
        out.push_str(&format!("CSeq: {relative} {rest}{end}"));
    }

    fn body(&mut self, body: &str, voice: &Voice<'_>, out: &mut String) {
        for line in body.split_inclusive('\n') {
            let text = line.trim_end_matches(['\r', '\n']);
            let end = &line[text.len()..];
            if let Some(origin) = text.strip_prefix("o=") {
                self.origin(origin, out);
                out.push_str(end);
                continue;
            }
            if let Some(path) = text.strip_prefix("a=path:") {
                self.learn_path(path, voice.from);
            } else if let Some(port) = text.strip_prefix("m=message ").and_then(|rest| rest.split(' ').next()) {
                let shown = self.port(&voice.from.to_string(), port);
                out.push_str("m=message ");
                out.push_str(&shown);
                self.words(&text["m=message ".len() + port.len()..], out);
                out.push_str(end);
                continue;
            }
            self.learn_in_body(text, voice);
            self.words(line, out);
        }
    }

    /// Identifiers in enclosed SIP messages and CPIM headers.
    fn learn_in_body(&mut self, text: &str, voice: &Voice<'_>) {
        if let Some(tag) = param(text, ";tag=") {
            self.learn_of("tag", voice.from, tag);
        }
        self.learn_param("branch", ";branch=", text);
        if let Some(id) = text.strip_prefix("Call-ID:") {
            self.learn("call-id", id.trim());
        }
        if let Some((_, id)) = text.split_once("imdn.Message-ID:") {
            self.learn_invented("imdn-id", id.trim());
        }
    }

    /// `o=user id version IN IP4 address`: the session numbered, its versions counted from 0.
    fn origin(&mut self, origin: &str, out: &mut String) {
        let parts: Vec<&str> = origin.split(' ').collect();
        let [user, id, version, rest @ ..] = parts.as_slice() else {
            out.push_str("o=");
            return self.words(origin, out);
        };
        let number: u64 = version.parse().unwrap_or(0);
        let key = format!("o {user} {id} {}", rest.join(" "));
        let base = *self.versions.entry(key.clone()).or_insert(number);
        self.learn("sdp", &key);
        let shown = self.placeholder(&key).unwrap_or_default();
        out.push_str(&format!("o={user} {shown} {} ", number.wrapping_sub(base)));
        self.words(&rest.join(" "), out);
    }

    /// Replaces what is known, word by word, then addresses and moments.
    fn words(&mut self, text: &str, out: &mut String) {
        let mut replaced = String::with_capacity(text.len() + 32);
        let mut rest = text;
        while let Some(start) = rest.bytes().position(|byte| is_in(&WORD, byte)) {
            let end = start + run(&WORD, &rest.as_bytes()[start..]);
            replaced.push_str(&rest[..start]);
            self.word(&rest[start..end], &mut replaced);
            rest = &rest[end..];
        }
        replaced.push_str(rest);
        if has_clock(&replaced) {
            let moments = MOMENT.replace_all(&replaced, |found: &Captures<'_>| {
                self.learn("date", &found[0]);
                self.placeholder(&found[0]).unwrap_or_default().to_owned()
            });
            return self.addresses(&moments, out);
        }
        self.addresses(&replaced, out);
    }

    fn addresses(&mut self, text: &str, out: &mut String) {
        let mut done = 0;
        while let Some(found) = address::next(text, done) {
            out.push_str(&text[done..found.start]);
            done = found.end;
            match self.address(&found) {
                Some(shown) => out.push_str(&shown),
                None => out.push_str(&text[found.start..found.end]),
            }
        }
        out.push_str(&text[done..]);
    }

    fn word(&self, word: &str, out: &mut String) {
        // Parameters bring their name along: `tag=x`, `boundary=x`.
        let (lead, core) = match word.split_once('=') {
            Some((name, value)) if self.placeholder(word).is_none() => (&word[..=name.len()], value),
            _ => ("", word),
        };
        out.push_str(lead);
        if let Some(placeholder) = self.placeholder(core) {
            return out.push_str(placeholder);
        }
        // End-lines and boundaries stand between dashes; an end-line may be followed by its flag.
        let inner = core.trim_start_matches('-');
        let tail = inner.trim_end_matches(['-', '+']);
        match self.placeholder(tail).filter(|_| !tail.is_empty()) {
            Some(placeholder) => {
                out.push_str(&core[..core.len() - inner.len()]);
                out.push_str(placeholder);
                out.push_str(&inner[tail.len()..]);
            }
            None => out.push_str(core),
        }
    }

    /// How an address is shown; `None` as it is.
    fn address(&mut self, &Found { host, port, .. }: &Found<'_>) -> Option<String> {
        let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() else {
            let port = port?;
            let owner = self.hosts.get(&host.to_ascii_lowercase())?.clone();
            return Some(format!("{host}:{}", self.port(&owner, port)));
        };
        let node = port.and_then(|port| port.parse().ok()).and_then(|port| self.nodes.get(&SocketAddr::new(ip, port)).cloned());
        let owner = node.or_else(|| self.machines.get(&ip).cloned().flatten())?;
        Some(match port {
            None => format!("<ip:{owner}>"),
            Some(port) => format!("<ip:{owner}>:{}", self.port(&owner, port)),
        })
    }

    /// The port of an actor: its main one, or the first, second, … other one.
    fn port(&mut self, owner: &str, port: &str) -> String {
        if matches!(port, "0" | "9") {
            return port.to_owned();
        }
        if self.main_ports.get(owner).is_some_and(|main| main.to_string() == port) {
            return format!("<port:{owner}>");
        }
        let key = format!("port {owner} {port}");
        if let Some(known) = self.placeholder(&key) {
            return known.to_owned();
        }
        let number = self.number(&format!("port:{owner}"));
        let shown = format!("<port:{owner}.{number}>");
        self.place(&key, shown.clone());
        shown
    }
}

/// The value after `mark`, which ends in an equals sign, up to whatever ends a parameter.
fn param<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    let bytes = text.as_bytes();
    let is_mark = |at: &usize| {
        let start = (at + 1).checked_sub(mark.len());
        start.is_some_and(|start| bytes[start..=*at].eq_ignore_ascii_case(mark.as_bytes()))
    };
    let rest = &text[memchr::memchr_iter(b'=', bytes).find(is_mark)? + 1..];
    let end = rest.find(|char: char| matches!(char, ';' | ',' | '>' | '"') || char.is_whitespace()).unwrap_or(rest.len());
    Some(&rest[..end])
}
