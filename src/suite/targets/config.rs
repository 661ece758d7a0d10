//! `cpmcheck.toml`: where the suite is, and the targets.

use std::path::PathBuf;

use super::expectations::VersionTest;
use super::pixit::{self, Addresses, Control, Reach, TRANSPORTS, Timers, TlsPaths};
use crate::engine::Transport;
use crate::suite::diagnostics::Diagnostic;
use crate::suite::reader::{Desk, Fields, text, texts, unknown_field, word};
use crate::suite::yaml::{Entry, Node};

pub(super) const ROOT_FIELDS: &[&str] = &["suite", "required-version", "target"];
/// What a target may say.
pub(super) const TARGET_FIELDS: &[&str] =
    &["kind", "version", "roles", "msrp", "listen", "transport", "identities", "timers", "tls", "control", "pics", "expectations"];
/// What a target that is built in may say.
pub(super) const BUILT_IN_FIELDS: &[&str] = &["kind", "pics", "expectations"];
/// The targets that need no configuration.
pub const BUILT_IN: [&str; 4] = ["reference", "self:udp", "self:tcp", "self:tls"];
pub(super) const KINDS: &[(&str, bool)] = &[("builtin", true), ("address", false)];
/// What users of other harnesses look for here, and why it is not there.
const ELSEWHERE: &[(&str, &str)] = &[
    ("store", "no run is kept unless `--reporter jsonl=PATH` asks for it; CPMCHECK_REPORTER asks for it always"),
    ("profile", "flags that are always the same are set by the environment: CPMCHECK_TRACE for `--trace`, and so on"),
    ("override", "times are stretched for a whole target, by `timers.patience`; a scenario that needs more says `within:` itself"),
];
const EXEC: &str = "nobody here starts the implementation: start it, give its address (kind = \"address\"), and let commands of `control` reset and restart it";

/// Everything that `cpmcheck.toml` says.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// The folder of the suite.
    pub suite: Option<PathBuf>,
    /// Its targets, in the order of the file.
    pub targets: Vec<Target>,
}

impl Configuration {
    /// The target of this name.
    pub fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.name == name)
    }
}

/// One implementation under test.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// What `--target` calls it.
    pub name: String,
    /// Whether it is a reference PF of ours, of which only claims and expectations can be told.
    pub built_in: bool,
    /// Its version, for expectations that hold for some versions only.
    pub version: Option<String>,
    /// What our actors speak to it.
    pub transport: Option<Transport>,
    /// Who is where.
    pub addresses: Addresses,
    /// What the PF calls itself, users and groups, in place of the suite's.
    pub identities: Option<PathBuf>,
    /// How time passes.
    pub timers: Timers,
    /// Certificates.
    pub tls: TlsPaths,
    /// What we may do to it.
    pub control: Control,
    /// What it claims.
    pub pics: Option<PathBuf>,
    /// Which failures are expected.
    pub expectations: Vec<PathBuf>,
}

impl Target {
    /// Where our actors reach its SIP.
    pub fn reach(&self) -> Option<Reach> {
        let wanted = self.transport;
        self.addresses.pf.iter().find(|reach| wanted.is_none_or(|wanted| reach.transport == wanted)).copied()
    }
}

/// Reads the whole file.
pub(super) fn read(desk: &Desk, tree: &Node) -> Configuration {
    let mut configuration = Configuration::default();
    let Some(fields) = Fields::of(desk, tree, "the configuration") else { return configuration };
    for entry in fields.entries.iter().filter(|entry| !ROOT_FIELDS.contains(&entry.key.text.as_str())) {
        desk.say(match ELSEWHERE.iter().find(|(name, _)| *name == entry.key.text) {
            Some((name, why)) => {
                Diagnostic::new("T0014", entry.key.place, format!("`{name}` is not offered")).label("not offered").help(*why)
            }
            None => unknown_field(entry, "the configuration", ROOT_FIELDS),
        });
    }
    configuration.suite = fields.get("suite").and_then(|node| text(desk, node, "`suite`")).map(PathBuf::from);
    if let Some(node) = fields.get("required-version") {
        required(desk, node);
    }
    let targets = fields.get("target").and_then(|node| Fields::of(desk, node, "`target`"));
    configuration.targets =
        targets.map(|targets| targets.entries.iter().filter_map(|entry| target(desk, entry)).collect()).unwrap_or_default();
    configuration
}

/// Whether this program is of a version that the file is for.
fn required(desk: &Desk, node: &Node) {
    let own = env!("CARGO_PKG_VERSION");
    let Some(written) = text(desk, node, "`required-version`") else { return };
    let mistake = match VersionTest::parse(written) {
        None => Diagnostic::new("T0013", node.place, format!("`{written}` compares no version"))
            .label("not a comparison")
            .help("write an operator and a version: `>=0.3`"),
        Some(test) if !test.holds(own) => Diagnostic::new("T0015", node.place, format!("this is cpmcheck {own}"))
            .label("another version is required")
            .help("install that version, or change the line"),
        Some(_) => return,
    };
    desk.say(mistake);
}

fn target(desk: &Desk, entry: &Entry) -> Option<Target> {
    let name = &entry.key.text;
    let what = format!("target `{name}`");
    let fields = Fields::of(desk, &entry.value, &what)?;
    let kind = fields.need(desk, "kind", &what)?;
    if kind.text() == Some("exec") {
        desk.say(Diagnostic::new("T0014", kind.place, "`exec` is not offered").label("not offered").help(EXEC));
        return None;
    }
    let built_in = word(desk, kind, "`kind`", KINDS)?;
    let ours = BUILT_IN.contains(&name.as_str());
    if ours != built_in {
        let names = format!("built in are {}", BUILT_IN.join(", "));
        let (said, help) = if ours {
            (format!("`{name}` is built in"), "write kind = \"builtin\", or call the target otherwise")
        } else {
            (format!("`{name}` is not built in"), "write kind = \"address\" and give its address")
        };
        desk.say(Diagnostic::new("T0002", kind.place, said).label("another kind").help(help).note(names));
        return None;
    }
    fields.known(desk, &what, if built_in { BUILT_IN_FIELDS } else { TARGET_FIELDS });
    let own = |name: &str| fields.get(name);
    let one = |name: &str| own(name).and_then(|node| text(desk, node, &format!("`{name}`"))).map(str::to_owned);
    let mut target = Target { name: name.clone(), built_in, ..Target::default() };
    target.pics = one("pics").map(PathBuf::from);
    target.expectations = own("expectations").map(|node| paths(desk, node)).unwrap_or_default();
    if built_in {
        return Some(target);
    }
    target.version = one("version");
    target.identities = one("identities").map(PathBuf::from);
    target.transport = own("transport").and_then(|node| word(desk, node, "`transport`", TRANSPORTS));
    target.addresses = pixit::addresses(desk, &fields, &what);
    if let (None, Some(node), false) = (target.reach(), own("transport"), target.addresses.pf.is_empty()) {
        let told: Vec<&str> = target.addresses.pf.iter().map(|reach| pixit::token(reach.transport)).collect();
        desk.say(
            Diagnostic::new("T0002", node.place, "the PF has no address for this transport")
                .label("not among its addresses")
                .help(format!("`roles.pf` names {}; add an address, or choose another transport", told.join(", "))),
        );
    }
    target.timers = own("timers").and_then(|node| pixit::timers(desk, node)).unwrap_or_default();
    target.tls = own("tls").and_then(|node| pixit::tls(desk, node)).unwrap_or_default();
    target.control = own("control").and_then(|node| pixit::control(desk, node)).unwrap_or_default();
    Some(target)
}

fn paths(desk: &Desk, node: &Node) -> Vec<PathBuf> {
    texts(desk, node, "`expectations`").into_iter().map(|(path, _)| path.into()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Look, configuration};

    const GOOD: &str = "suite = \"scenarios/own\"\nrequired-version = \">=0.1\"\n\n[target.reference]\nkind = \"builtin\"\n\n\
        [target.lab]\nkind = \"address\"\nversion = \"4.1\"\ntransport = \"tcp\"\nidentities = \"lab.identities.yaml\"\n\
        pics = \"lab.pics.yaml\"\nexpectations = [\"lab.expect.yaml\"]\n\
        timers = { speed = 5, t1 = 0.5 }\ncontrol = { restart = [\"./ctl\", \"restart\"] }\n\
        roles = { pf = [\"udp:192.0.2.10:5060\", \"tcp:192.0.2.10:5070\"] }\nmsrp = \"192.0.2.10:2855\"\n\
        listen = { core = \"192.0.2.20\", registrar = \"192.0.2.21\", cf = [\"192.0.2.30\"], client = [\"192.0.2.40\", \"192.0.2.41\"] }\n";

    fn complaints(text: &str) -> String {
        configuration("cpmcheck.toml", text.to_owned()).complaints(Look::Short)
    }

    #[test]
    fn a_target_is_read_whole() {
        let read = configuration("cpmcheck.toml", GOOD.to_owned());
        assert_eq!(read.complaints(Look::Short), "");
        assert!(read.value.suite.is_some() && read.value.target("reference").is_some_and(|target| target.built_in));
        let target = read.value.target("lab").expect("the target");
        assert_eq!(target.reach().map(|reach| reach.address.port()), Some(5070), "the address of the transport that is asked for");
        assert_eq!(target.addresses.ours().count(), 5);
        assert_eq!((target.timers.speed, target.timers.t1), (5.0, Some(Duration::from_millis(500))));
        assert_eq!(target.expectations.len(), 1);
    }

    #[test]
    fn every_mistake_is_told_with_its_place_and_how_to_mend_it() {
        let text =
            GOOD.replace("version = \"4", "verison = \"4").replace("speed = 5", "speed = 0").replace("192.0.2.41", "192.0.2.40");
        let text = text
            .replace("udp:192.0.2.10:5060", "192.0.2.10")
            .replace(">=0.1", ">=99")
            .replace("\"192.0.2.20\"", "\"udp:192.0.2.20:5090\"");
        let said = complaints(&text);
        for part in [
            "cpmcheck.toml:9:1: Y0003 error: unknown field `verison`",
            "did you mean `version`?",
            "T0002 error: `speed` cannot be 0",
            "T0003 error: client and client have the same address",
            "T0002 error: `192.0.2.10` is no address of the PF (write `udp:192.0.2.10:5060`",
            "T0002 error: `udp:192.0.2.20:5090` is no address of a host",
            "cpmcheck.toml:2:20: T0015 error: this is cpmcheck",
        ] {
            assert!(said.contains(part), "{part} is missing:\n{said}");
        }
    }

    #[test]
    fn what_is_missing_or_no_toml_is_told() {
        let lacking = complaints("[target.lab]\nkind = \"address\"\n");
        assert!(lacking.contains("target `lab` lacks `roles`") && lacking.contains("target `lab` lacks `listen`"), "{lacking}");
        assert!(complaints("[target.lab]\n").contains("target `lab` lacks `kind`"));
        assert!(complaints("[target.lab\n").starts_with("cpmcheck.toml:1:"), "{}", complaints("[target.lab\n"));
        assert!(complaints("[target.\"self:udp\"]\nkind = \"address\"\n").contains("`self:udp` is built in"));
        assert!(complaints("[target.lab]\nkind = \"builtin\"\n").contains("`lab` is not built in"));
        assert!(complaints(&GOOD.replace("\"tcp\"", "\"tls\"")).contains("no address for this transport"));
    }

    #[test]
    fn what_is_not_offered_is_refused_with_the_reason() {
        let text = "store = \".runs\"\n[target.acme]\nkind = \"exec\"\ncommand = [\"./acme\"]\n[profile.ci]\ntrace = \"on\"\n[[override]]\nfilter = \"tag:slow\"\n";
        let said = complaints(text);
        for part in ["1:1: T0014", "3:8: T0014 error: `exec` is not offered", "T0014 error: `profile`", "T0014 error: `override`"] {
            assert!(said.contains(part), "{part} is missing:\n{said}");
        }
        assert_eq!(said.matches("error").count(), 4, "{said}");
    }
}
