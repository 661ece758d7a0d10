//! How a target is reached and what may be done to it: what a test laboratory calls the PIXIT.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::engine::Transport;
use crate::pattern::ast::Place;
use crate::suite::diagnostics::Diagnostic;
use crate::suite::reader::{Desk, Fields, flag, members, number, text, texts};
use crate::suite::yaml::Node;

pub(super) const ROLE_FIELDS: &[&str] = &["pf"];
pub(super) const LISTEN_FIELDS: &[&str] = &["core", "registrar", "cf", "client"];
/// Timers with their bounds, in seconds or, for `speed` and `patience`, as factors.
pub(super) const TIMERS: &[(&str, f64, f64)] = &[
    ("t1", SHORTEST, LONGEST),
    ("t2", SHORTEST, LONGEST),
    ("t4", SHORTEST, LONGEST),
    ("speed", 0.1, 100.0),
    ("patience", 0.1, 1000.0),
    ("longest-wait", SHORTEST, LONGEST),
];
const SHORTEST: f64 = 0.001;
const LONGEST: f64 = 3600.0;
pub(super) const TLS_FIELDS: &[&str] = &["certificate", "key", "trusted", "mutual"];
pub(super) const CONTROL_FIELDS: &[&str] = &["reset", "restart", "policy", "patience"];
pub(super) const TRANSPORTS: &[(&str, Transport)] = &[("udp", Transport::Udp), ("tcp", Transport::Tcp), ("tls", Transport::Tls)];

/// How long a scenario may wait in all, unless the target says otherwise.
const LONGEST_WAIT: Duration = Duration::from_secs(180);
/// How long a command of a target may take, unless the target says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where SIP of the PF is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reach {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// Who is where. Everyone but the PF is played by us, on the usual ports of an address of its own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Addresses {
    /// Where the PF takes SIP, at least once.
    pub pf: Vec<Reach>,
    /// Where it takes MSRP, if that is always the same.
    pub msrp: Option<SocketAddr>,
    /// The proxy between PF and clients.
    pub core: Option<IpAddr>,
    /// The part of the core that registers users with the PF.
    pub registrar: Option<IpAddr>,
    /// Controlling functions.
    pub cf: Vec<IpAddr>,
    /// Devices of clients.
    pub client: Vec<IpAddr>,
}

impl Addresses {
    /// The addresses that are ours, each with the role that lives there.
    pub fn ours(&self) -> impl Iterator<Item = (&'static str, IpAddr)> {
        let single = [("core", self.core), ("registrar", self.registrar)];
        let single = single.into_iter().filter_map(|(role, address)| Some((role, address?)));
        single.chain(self.cf.iter().map(|own| ("cf", *own))).chain(self.client.iter().map(|own| ("client", *own)))
    }
}

/// How time passes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Timers {
    /// T1, T2 and T4, where they differ from RFC 3261.
    pub t1: Option<Duration>,
    /// See `t1`.
    pub t2: Option<Duration>,
    /// See `t1`.
    pub t4: Option<Duration>,
    /// How many times faster than the clock on the wall all timers of the target go.
    pub speed: f64,
    /// What the patience of expectations and rules is multiplied by.
    pub patience: f64,
    /// The longest that a scenario may wait in all to be applicable.
    pub longest_wait: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self { t1: None, t2: None, t4: None, speed: 1.0, patience: 1.0, longest_wait: LONGEST_WAIT }
    }
}

/// Files for TLS.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsPaths {
    /// Our chain.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Whom we trust.
    pub trusted: Option<PathBuf>,
    /// Whether the PF must show a certificate when it connects to us.
    pub mutual: bool,
}

/// What a user lets us do to the target: commands, none by default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Control {
    /// Brings it into its first state; run before every scenario.
    pub reset: Vec<String>,
    /// Lets its process die and start again with what it stored.
    pub restart: Vec<String>,
    /// Resets it with other answers to knobs, which follow as `NAME=VALUE`.
    pub policy: Vec<String>,
    /// How long a command may take.
    pub patience: Duration,
}

impl Default for Control {
    fn default() -> Self {
        Self { reset: Vec::new(), restart: Vec::new(), policy: Vec::new(), patience: PATIENCE }
    }
}

pub(super) const fn token(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
    }
}

/// The addresses of a target: its own (`roles`, `msrp`), then ours (`listen`).
pub(super) fn addresses(desk: &Desk, fields: &Fields<'_>, what: &str) -> Addresses {
    let mut found = Addresses { msrp: fields.get("msrp").and_then(|node| socket(desk, node)), ..Addresses::default() };
    let mut seen: Vec<(IpAddr, Place, String)> = Vec::new();
    if let Some(roles) = fields.need(desk, "roles", what).and_then(|node| Fields::of(desk, node, "`roles`")) {
        roles.known(desk, "`roles`: the target is a PF, everyone else is ours and stands in `listen`", ROLE_FIELDS);
        if let Some(node) = roles.need(desk, "pf", "`roles`") {
            found.pf = reaches(desk, node);
            seen.extend(found.pf.first().map(|reach| (reach.address.ip(), node.place, "pf".to_owned())));
        }
    }
    let Some(listen) = fields.need(desk, "listen", what).and_then(|node| Fields::of(desk, node, "`listen`")) else { return found };
    listen.known(desk, "`listen`", LISTEN_FIELDS);
    let mut ours = |name: &str| -> Vec<IpAddr> {
        let Some(node) = listen.need(desk, name, "`listen`") else { return Vec::new() };
        let nodes = if node.text().is_some() { std::slice::from_ref(node) } else { members(desk, node, name) };
        nodes.iter().filter_map(|node| ip(desk, node, name, &mut seen)).collect()
    };
    found.core = ours("core").first().copied();
    found.registrar = ours("registrar").first().copied();
    found.cf = ours("cf");
    found.client = ours("client");
    found
}

/// `udp:192.0.2.10:5060`, or several; all of one host.
fn reaches(desk: &Desk, node: &Node) -> Vec<Reach> {
    let nodes = if node.text().is_some() { std::slice::from_ref(node) } else { members(desk, node, "`pf`") };
    let mut found: Vec<Reach> = Vec::new();
    for node in nodes {
        let Some(written) = text(desk, node, "an address of the PF") else { continue };
        let Some(reach) = reach(written) else {
            desk.say(
                Diagnostic::new("T0002", node.place, format!("`{written}` is no address of the PF"))
                    .label("not an address")
                    .help("write `udp:192.0.2.10:5060` (or tcp:, tls:; an IPv6 address stands in brackets)"),
            );
            continue;
        };
        if found.first().is_some_and(|first| first.address.ip() != reach.address.ip()) {
            desk.say(
                Diagnostic::new("T0002", node.place, "the addresses of the PF differ")
                    .label("another host")
                    .help("what comes from one address is the PF's: list one host, and make a target of the other"),
            );
        }
        found.push(reach);
    }
    found
}

fn reach(written: &str) -> Option<Reach> {
    let (word, address) = written.split_once(':')?;
    let transport = TRANSPORTS.iter().find(|(known, _)| *known == word)?.1;
    let address: SocketAddr = address.parse().ok()?;
    (!address.ip().is_unspecified() && address.port() != 0).then_some(Reach { transport, address })
}

fn socket(desk: &Desk, node: &Node) -> Option<SocketAddr> {
    let written = text(desk, node, "`msrp`")?;
    let address = written.parse().ok();
    if address.is_none() {
        desk.say(
            Diagnostic::new("T0002", node.place, format!("`{written}` is no address with a port"))
                .label("not an address")
                .help("write `192.0.2.10:2855`; an IPv6 address stands in brackets"),
        );
    }
    address
}

/// An address that nobody else has.
fn ip(desk: &Desk, node: &Node, role: &str, seen: &mut Vec<(IpAddr, Place, String)>) -> Option<IpAddr> {
    let written = text(desk, node, "an address")?;
    let Some(address) = written.parse::<IpAddr>().ok().filter(|address| !address.is_unspecified()) else {
        desk.say(
            Diagnostic::new("T0002", node.place, format!("`{written}` is no address of a host"))
                .label("not an address")
                .help(
                    "write `192.0.2.20` without a port: who spoke is told by the address, and connections come from any port; actors of ours take 5060, 5061 (TLS) and 2855 (MSRP)",
                ),
        );
        return None;
    };
    if let Some((_, place, other)) = seen.iter().find(|(known, ..)| *known == address) {
        desk.say(
            Diagnostic::new("T0003", node.place, format!("{role} and {other} have the same address"))
                .label("the same again")
                .secondary(*place, "first here")
                .help("every actor needs an address of its own, since who spoke is told by it; `ip address add` adds one"),
        );
    }
    seen.push((address, node.place, role.to_owned()));
    Some(address)
}

pub(super) fn timers(desk: &Desk, node: &Node) -> Option<Timers> {
    let fields = Fields::of(desk, node, "`timers`")?;
    let names: Vec<&str> = TIMERS.iter().map(|(name, ..)| *name).collect();
    fields.known(desk, "`timers`", &names);
    let usual = Timers::default();
    let within = |name: &str| -> Option<f64> {
        let (_, least, most) = *TIMERS.iter().find(|(known, ..)| *known == name)?;
        let node = fields.get(name)?;
        let value: f64 = number(desk, node, &format!("`{name}`"))?;
        if (least..=most).contains(&value) {
            return Some(value);
        }
        desk.say(
            Diagnostic::new("T0002", node.place, format!("`{name}` cannot be {value}"))
                .label("out of range")
                .help(format!("from {least} to {most}; times are in seconds")),
        );
        None
    };
    let span = |name: &str| within(name).map(Duration::from_secs_f64);
    Some(Timers {
        t1: span("t1"),
        t2: span("t2"),
        t4: span("t4"),
        speed: within("speed").unwrap_or(usual.speed),
        patience: within("patience").unwrap_or(usual.patience),
        longest_wait: span("longest-wait").unwrap_or(usual.longest_wait),
    })
}

pub(super) fn tls(desk: &Desk, node: &Node) -> Option<TlsPaths> {
    let fields = Fields::of(desk, node, "`tls`")?;
    fields.known(desk, "`tls`", TLS_FIELDS);
    let path = |name: &str| fields.get(name).and_then(|node| text(desk, node, &format!("`{name}`"))).map(PathBuf::from);
    let mutual = fields.get("mutual").and_then(|node| flag(desk, node, "`mutual`"));
    let found =
        TlsPaths { certificate: path("certificate"), key: path("key"), trusted: path("trusted"), mutual: mutual.unwrap_or(false) };
    if found.certificate.is_some() != found.key.is_some() {
        desk.say(
            Diagnostic::new("T0002", node.place, "`certificate` and `key` belong together")
                .label("one of them is missing")
                .help("name both, or neither: then a certificate is made for the run"),
        );
    }
    Some(found)
}

pub(super) fn control(desk: &Desk, node: &Node) -> Option<Control> {
    let fields = Fields::of(desk, node, "`control`")?;
    fields.known(desk, "`control`", CONTROL_FIELDS);
    let command = |name: &str| -> Vec<String> {
        let Some(node) = fields.get(name) else { return Vec::new() };
        let words: Vec<String> = texts(desk, node, &format!("`{name}`")).into_iter().map(|(word, _)| word.to_owned()).collect();
        if words.is_empty() && node.members().is_some() {
            desk.say(
                Diagnostic::new("T0002", node.place, format!("`{name}` names no program"))
                    .label("empty")
                    .help("write the program and its arguments: `[\"./reset.sh\", \"lab\"]`"),
            );
        }
        words
    };
    let patience = fields.get("patience").and_then(|node| number::<f64>(desk, node, "`patience`"));
    let patience = patience.filter(|seconds| (0.1..=3600.0).contains(seconds)).map(Duration::from_secs_f64);
    Some(Control {
        reset: command("reset"),
        restart: command("restart"),
        policy: command("policy"),
        patience: patience.unwrap_or(PATIENCE),
    })
}
