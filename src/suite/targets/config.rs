//! `cpmcheck.toml`: the targets, each with what a test laboratory calls the PIXIT.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::engine::Transport;
use crate::pattern::ast::Place;
use crate::suite::Suite;
use crate::suite::diagnostics::Diagnostic;
use crate::suite::reader::{Desk, Fields, flag, members, number, text, texts, word};
use crate::suite::scenario::Defaults;
use crate::suite::yaml::{Entry, Node};

const ROOT_FIELDS: &[&str] = &["targets"];
pub(super) const TARGET_FIELDS: &[&str] =
    &["addresses", "control", "expected-failures", "groups", "identity", "pics", "timers", "tls", "transport", "users", "version"];
const ADDRESS_FIELDS: &[&str] = &["pf", "msrp", "core", "registrar", "cf", "client"];
const TIMER_FIELDS: &[&str] = &["t1", "t2", "t4", "speed", "patience", "longest-wait"];
const TLS_FIELDS: &[&str] = &["certificate", "key", "trusted", "mutual"];
const CONTROL_FIELDS: &[&str] = &["reset", "restart", "policy", "patience"];
const TRANSPORTS: &[(&str, Transport)] = &[("udp", Transport::Udp), ("tcp", Transport::Tcp), ("tls", Transport::Tls)];

/// How long a scenario may wait in all, unless the target says otherwise.
const LONGEST_WAIT: Duration = Duration::from_secs(180);
/// How long a command of a target may take, unless the target says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that `cpmcheck.toml` says.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// Its targets, in the order of the file.
    pub targets: Vec<Target>,
}

impl Configuration {
    /// The target of this name.
    pub fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.name == name)
    }
}

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

/// One implementation under test.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// What `--target` calls it.
    pub name: String,
    /// Its version, for expectations that hold for some versions only.
    pub version: Option<String>,
    /// What our actors speak to it.
    pub transport: Option<Transport>,
    /// Who is where.
    pub addresses: Addresses,
    /// What the PF calls itself.
    pub identity: Option<String>,
    /// Addresses of users, in place of the suite's.
    pub users: BTreeMap<String, Vec<String>>,
    /// Focus URIs of groups, in place of the suite's.
    pub groups: BTreeMap<String, String>,
    /// How time passes.
    pub timers: Timers,
    /// Certificates.
    pub tls: TlsPaths,
    /// What we may do to it.
    pub control: Control,
    /// What it claims.
    pub pics: Option<PathBuf>,
    /// Which failures are expected.
    pub expected_failures: Vec<PathBuf>,
    /// Where users and groups are named.
    names: Vec<(&'static str, String, Place)>,
}

impl Target {
    /// Where our actors reach its SIP.
    pub fn reach(&self) -> Option<Reach> {
        let wanted = self.transport;
        self.addresses.pf.iter().find(|reach| wanted.is_none_or(|wanted| reach.transport == wanted)).copied()
    }

    /// Puts the identities of the target in place of the suite's.
    pub fn adapt(&self, defaults: &mut Defaults) {
        if let Some(identity) = &self.identity {
            defaults.pf.clone_from(identity);
        }
        for (name, uris) in &self.users {
            if let (Some(identity), Some((uri, aliases))) = (defaults.identities.get_mut(name), uris.split_first()) {
                identity.uri.clone_from(uri);
                aliases.clone_into(&mut identity.aliases);
            }
        }
        for (name, focus) in &self.groups {
            if let Some(group) = defaults.groups.get_mut(name) {
                group.focus.clone_from(focus);
            }
        }
    }
}

/// Reads the whole file.
pub(super) fn read(desk: &Desk, tree: &Node) -> Configuration {
    let mut configuration = Configuration::default();
    let Some(fields) = Fields::of(desk, tree, "the configuration") else { return configuration };
    fields.known(desk, "the configuration", ROOT_FIELDS);
    let Some(targets) = fields.get("targets") else { return configuration };
    let Some(targets) = Fields::of(desk, targets, "`targets`") else { return configuration };
    configuration.targets = targets.entries.iter().filter_map(|entry| target(desk, entry)).collect();
    configuration
}

fn target(desk: &Desk, entry: &Entry) -> Option<Target> {
    let name = &entry.key.text;
    if name == "reference" || name.starts_with("self") {
        desk.say(
            Diagnostic::new("T0002", entry.key.place, format!("`{name}` is built in"))
                .label("taken")
                .help("call the target otherwise"),
        );
    }
    let what = format!("target `{name}`");
    let fields = Fields::of(desk, &entry.value, &what)?;
    fields.known(desk, &what, TARGET_FIELDS);
    let mut target = Target { name: name.clone(), ..Target::default() };
    let own = |name: &str| fields.get(name);
    let one = |name: &str| own(name).and_then(|node| text(desk, node, &format!("`{name}`"))).map(str::to_owned);
    target.version = one("version");
    target.identity = one("identity");
    target.pics = one("pics").map(PathBuf::from);
    target.expected_failures = own("expected-failures").map(|node| paths(desk, node)).unwrap_or_default();
    target.transport = own("transport").and_then(|node| word(desk, node, "`transport`", TRANSPORTS));
    if let Some(node) = fields.need(desk, "addresses", &what) {
        target.addresses = addresses(desk, node).unwrap_or_default();
    }
    if let (None, Some(node), false) = (target.reach(), own("transport"), target.addresses.pf.is_empty()) {
        let told: Vec<&str> = target.addresses.pf.iter().map(|reach| token(reach.transport)).collect();
        desk.say(
            Diagnostic::new("T0002", node.place, "the PF has no address for this transport")
                .label("not among its addresses")
                .help(format!("`addresses.pf` names {}; add an address, or choose another transport", told.join(", "))),
        );
    }
    target.timers = own("timers").and_then(|node| timers(desk, node)).unwrap_or_default();
    target.tls = own("tls").and_then(|node| tls(desk, node)).unwrap_or_default();
    target.control = own("control").and_then(|node| control(desk, node)).unwrap_or_default();
    if let Some(node) = own("users") {
        users(desk, node, &mut target);
    }
    if let Some(node) = own("groups") {
        groups(desk, node, &mut target);
    }
    Some(target)
}

/// One path or several.
fn paths(desk: &Desk, node: &Node) -> Vec<PathBuf> {
    match node.text() {
        Some(path) => vec![path.into()],
        None => texts(desk, node, "`expected-failures`").into_iter().map(|(path, _)| path.into()).collect(),
    }
}

const fn token(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
    }
}

fn addresses(desk: &Desk, node: &Node) -> Option<Addresses> {
    let fields = Fields::of(desk, node, "`addresses`")?;
    fields.known(desk, "`addresses`", ADDRESS_FIELDS);
    let mut seen: Vec<(IpAddr, Place, String)> = Vec::new();
    let mut found = Addresses {
        pf: fields.need(desk, "pf", "`addresses`").map(|node| reaches(desk, node)).unwrap_or_default(),
        ..Addresses::default()
    };
    if let (Some(reach), Some(node)) = (found.pf.first(), fields.get("pf")) {
        seen.push((reach.address.ip(), node.place, "pf".to_owned()));
    }
    found.msrp = fields.get("msrp").and_then(|node| socket(desk, node));
    let mut ours = |name: &str| -> Vec<IpAddr> {
        let Some(node) = fields.need(desk, name, "`addresses`") else { return Vec::new() };
        let nodes = if node.text().is_some() { std::slice::from_ref(node) } else { members(desk, node, name) };
        nodes.iter().filter_map(|node| ip(desk, node, name, &mut seen)).collect()
    };
    found.core = ours("core").first().copied();
    found.registrar = ours("registrar").first().copied();
    found.cf = ours("cf");
    found.client = ours("client");
    Some(found)
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
                .help("write `192.0.2.20` without a port: actors of ours take 5060, 5061 (TLS) and 2855 (MSRP)"),
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

fn timers(desk: &Desk, node: &Node) -> Option<Timers> {
    let fields = Fields::of(desk, node, "`timers`")?;
    fields.known(desk, "`timers`", TIMER_FIELDS);
    let usual = Timers::default();
    let within = |name: &str, least: f64, most: f64| -> Option<f64> {
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
    let span = |name: &str| within(name, 0.001, 3600.0).map(Duration::from_secs_f64);
    Some(Timers {
        t1: span("t1"),
        t2: span("t2"),
        t4: span("t4"),
        speed: within("speed", 0.1, 100.0).unwrap_or(usual.speed),
        patience: within("patience", 0.1, 1000.0).unwrap_or(usual.patience),
        longest_wait: span("longest-wait").unwrap_or(usual.longest_wait),
    })
}

fn tls(desk: &Desk, node: &Node) -> Option<TlsPaths> {
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

fn control(desk: &Desk, node: &Node) -> Option<Control> {
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

fn users(desk: &Desk, node: &Node, target: &mut Target) {
    let Some(fields) = Fields::of(desk, node, "`users`") else { return };
    for entry in fields.entries {
        let nodes =
            if entry.value.text().is_some() { std::slice::from_ref(&entry.value) } else { members(desk, &entry.value, "a user") };
        let uris: Vec<String> = nodes.iter().filter_map(|node| uri(desk, node, "a user's address")).collect();
        target.names.push(("user", entry.key.text.clone(), entry.key.place));
        target.users.insert(entry.key.text.clone(), uris);
    }
}

fn groups(desk: &Desk, node: &Node, target: &mut Target) {
    let Some(fields) = Fields::of(desk, node, "`groups`") else { return };
    for entry in fields.entries {
        target.names.push(("group", entry.key.text.clone(), entry.key.place));
        if let Some(focus) = uri(desk, &entry.value, "a focus URI") {
            target.groups.insert(entry.key.text.clone(), focus);
        }
    }
}

fn uri(desk: &Desk, node: &Node, what: &str) -> Option<String> {
    let written = text(desk, node, what)?;
    let fits = ["sip:", "sips:", "tel:"].iter().any(|scheme| written.len() > scheme.len() && written.starts_with(scheme));
    if !fits {
        desk.say(
            Diagnostic::new("Y0050", node.place, format!("{what} is a SIP or TEL URI, not `{written}`"))
                .label("not a URI")
                .help("write `sip:bob@ims.example` or `tel:+15145550102`"),
        );
    }
    fits.then(|| written.to_owned())
}

/// Users and groups are those of the suite.
pub(super) fn check_names(desk: &Desk, target: &Target, suite: &Suite) {
    for (kind, name, place) in &target.names {
        let known: Vec<&str> = match *kind {
            "user" => suite.defaults.identities.keys().map(String::as_str).collect(),
            _ => suite.defaults.groups.keys().map(String::as_str).collect(),
        };
        if !known.contains(&name.as_str()) {
            desk.say(Diagnostic::new("T0004", *place, format!("the suite has no {kind} `{name}`")).label("unknown").allowed(
                "known are",
                name,
                known,
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Look, configuration};
    use super::*;

    const GOOD: &str = "[targets.lab]\nversion = \"4.1\"\ntransport = \"tcp\"\nidentity = \"sip:pf@ims.example\"\n\
        pics = \"lab.pics.yaml\"\nexpected-failures = \"lab.expect.yaml\"\nusers = { bob = [\"sip:b@ims.example\", \"tel:+1\"] }\n\
        timers = { speed = 5, t1 = 0.5 }\ncontrol = { restart = [\"./ctl\", \"restart\"] }\n\n[targets.lab.addresses]\n\
        pf = [\"udp:192.0.2.10:5060\", \"tcp:192.0.2.10:5070\"]\nmsrp = \"192.0.2.10:2855\"\ncore = \"192.0.2.20\"\n\
        registrar = \"192.0.2.21\"\ncf = [\"192.0.2.30\"]\nclient = [\"192.0.2.40\", \"192.0.2.41\"]\n";

    fn complaints(text: &str) -> String {
        configuration("cpmcheck.toml", text.to_owned()).complaints(Look::Short)
    }

    #[test]
    fn a_target_is_read_whole() {
        let read = configuration("cpmcheck.toml", GOOD.to_owned());
        assert_eq!(read.complaints(Look::Short), "");
        let target = read.value.target("lab").expect("the target");
        assert_eq!(target.reach().map(|reach| reach.address.port()), Some(5070), "the address of the transport that is asked for");
        assert_eq!(target.addresses.ours().count(), 5);
        assert_eq!((target.timers.speed, target.timers.t1), (5.0, Some(Duration::from_millis(500))));
        let mut defaults = Defaults::default();
        defaults.identities.insert("bob".to_owned(), crate::suite::scenario::Identity::default());
        target.adapt(&mut defaults);
        assert_eq!((defaults.pf.as_str(), defaults.identities["bob"].aliases.len()), ("sip:pf@ims.example", 1));
    }

    #[test]
    fn every_mistake_is_told_with_its_place_and_how_to_mend_it() {
        let text = GOOD.replace("version", "verison").replace("speed = 5", "speed = 0").replace("192.0.2.41", "192.0.2.40");
        let text = text.replace("udp:192.0.2.10:5060", "192.0.2.10").replace("sip:b@", "b@");
        let said = complaints(&text);
        for part in [
            "cpmcheck.toml:2:1: Y0003 error: unknown field `verison`",
            "did you mean `version`?",
            "T0002 error: `speed` cannot be 0",
            "T0003 error: client and client have the same address",
            "T0002 error: `192.0.2.10` is no address of the PF (write `udp:192.0.2.10:5060`",
            "Y0050 error: a user's address is a SIP or TEL URI",
        ] {
            assert!(said.contains(part), "{part} is missing:\n{said}");
        }
    }

    #[test]
    fn what_is_missing_or_no_toml_is_told() {
        assert!(complaints("[targets.lab]\n").contains("target `lab` lacks `addresses`"));
        assert!(complaints("[targets.lab\n").starts_with("cpmcheck.toml:1:"), "{}", complaints("[targets.lab\n"));
        assert!(complaints("[targets.self]\naddresses = {}\n").contains("`self` is built in"));
        assert!(complaints(&GOOD.replace("\"tcp\"", "\"tls\"")).contains("no address for this transport"));
    }
}
