//! The configuration of `serve`: a TOML file, the command line on top of it, and what both mean.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::Transport;
use crate::net::socket::{Limits, Listener, TlsFiles, Use};
use crate::policy::Values;
use crate::wire::sip::Uri;

/// What `serve` is told, as it is written in a TOML file. Everything has a default; times are in
/// seconds. The command line takes precedence.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Where SIP is taken: `udp:127.0.0.1:5060`, `tcp:[::1]:5060`, `tls:0.0.0.0:5061`.
    pub listen: Vec<String>,
    /// Where MSRP is taken: `127.0.0.1:2855`, or `tls:127.0.0.1:2855`.
    pub msrp_listen: Vec<String>,
    /// The name in Via, Contact and MSRP paths; without it the first address.
    pub host: Option<String>,
    /// The next hop towards the client: the SIP/IP core, or the PF for an actor that stands behind it.
    pub core: Option<String>,
    /// What the PF calls itself.
    pub identity: Option<String>,
    /// A file for what must survive, or `memory`.
    pub store: Option<String>,
    /// The seed of identifiers; without it every process draws its own.
    pub seed: Option<u64>,
    /// How many times faster than the clock on the wall all timers go, for tests.
    pub speed: Option<f64>,
    /// Since when, in seconds since 1970, so that two processes at the same speed agree on the date.
    pub speed_since: Option<f64>,
    /// How long SIGTERM waits for what is under way.
    pub drain: Option<f64>,
    /// Policy knobs of the PF, see `cpmcheck explain --policies`.
    pub policy: BTreeMap<String, toml::Value>,
    /// Addresses of names, in place of DNS.
    pub hosts: BTreeMap<String, IpAddr>,
    /// The users that the PF serves; a client is the first of them.
    pub user: Vec<User>,
    /// The groups that a focus hosts.
    pub group: Vec<Group>,
    /// Certificates.
    pub tls: TlsSettings,
    /// What peers may cost.
    pub limits: LimitSettings,
    /// The timers of RFC 3261.
    pub timers: TimerSettings,
}

/// A user.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct User {
    /// The main CPM address.
    pub uri: String,
    /// Further addresses of the same user.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The display name of a client.
    #[serde(default)]
    pub display: Option<String>,
    /// The instance of a client's device, `urn:uuid:…`.
    #[serde(default)]
    pub instance: Option<String>,
    /// The next hop towards this user, in place of the one of the PF.
    #[serde(default)]
    pub core: Option<String>,
}

/// A group.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Group {
    /// The focus URI.
    pub focus: String,
    /// The subject.
    #[serde(default)]
    pub subject: String,
    /// Conversation-ID.
    pub conversation_id: String,
    /// Contribution-ID.
    pub contribution_id: String,
    /// The addresses of the members.
    pub members: Vec<String>,
    /// The members that are invited at the start.
    #[serde(default)]
    pub invite: Vec<String>,
}

/// Certificates (PEM).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TlsSettings {
    /// Our chain; without it one is made for the run.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Whom we trust; without it any certificate will do.
    pub trusted: Option<PathBuf>,
    /// Whether a peer that connects must show a certificate which those have signed.
    pub mutual: bool,
}

/// What peers may cost. Times are in seconds.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Connections at a time.
    pub connections: Option<usize>,
    /// A connection coming up.
    pub connect: Option<f64>,
    /// A message, or a first word.
    pub unfinished: Option<f64>,
    /// A SIP connection that nobody uses.
    pub idle: Option<f64>,
    /// Bytes that a peer does not read.
    pub stalled: Option<f64>,
}

/// T1, T2 and T4 in seconds (RFC 3261 17).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TimerSettings {
    /// The estimate of the round trip.
    pub t1: Option<f64>,
    /// The longest interval between repetitions.
    pub t2: Option<f64>,
    /// How long a message lives in the network.
    pub t4: Option<f64>,
}

/// A mistake in the configuration, with where it stands when that is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// Which setting, as the file calls it.
    pub setting: String,
    /// What is wrong with it.
    pub why: String,
}

impl Mistake {
    pub(super) fn new(setting: &str, why: impl Into<String>) -> Self {
        Self { setting: setting.to_owned(), why: why.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.setting, self.why)
    }
}

/// Every setting with what it is for and its default.
const TEMPLATE: &str = include_str!("settings.toml");

/// Whether a value is more than an absence.
fn is_set(value: &toml::Value) -> bool {
    !matches!(value, toml::Value::Boolean(false)) && value.as_array().is_none_or(|values| !values.is_empty())
}

impl Settings {
    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// The first mistake, with its line and an excerpt.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|mistake| mistake.to_string().trim_end().to_owned())
    }

    /// The file that would say the same, with every setting explained.
    ///
    /// # Panics
    ///
    /// Never: every setting has a form in TOML.
    pub fn to_toml(&self) -> String {
        let given = toml::Table::try_from(self).expect("every setting has a form in TOML");
        let nothing = toml::Table::new();
        let (mut text, mut table) = (String::new(), &given);
        for line in TEMPLATE.lines() {
            let shown = line.strip_prefix('#').and_then(|line| line.split_once(" = "));
            let own = shown.and_then(|(name, _)| table.get(name).filter(|value| is_set(value)).map(|value| (name, value)));
            match own {
                Some((name, value)) => text.extend([name, " = ", &value.to_string()]),
                None => text.push_str(line),
            }
            text.push('\n');
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                table = given.get(name).and_then(toml::Value::as_table).unwrap_or(&nothing);
                let named = table.iter().filter(|_| ["policy", "hosts"].contains(&name));
                named.for_each(|(name, value)| text.push_str(&format!("{name:?} = {value}\n")));
            }
        }
        for name in ["user", "group"] {
            for entry in given.get(name).and_then(toml::Value::as_array).into_iter().flatten() {
                let entry = toml::to_string(entry).expect("every setting has a form in TOML");
                text.extend(["\n[[", name, "]]\n", &entry]);
            }
        }
        text
    }

    /// The sockets that are asked for.
    pub(super) fn listeners(&self) -> Result<Vec<Listener>, Mistake> {
        let mut listeners = Vec::new();
        for text in &self.listen {
            let (transport, address) = listener(text, None).map_err(|why| Mistake::new("listen", why))?;
            listeners.push(Listener { of: Use::Sip, transport, address });
        }
        for text in &self.msrp_listen {
            let (transport, address) = listener(text, Some(Transport::Tcp)).map_err(|why| Mistake::new("msrp-listen", why))?;
            if transport == Transport::Udp {
                return Err(Mistake::new("msrp-listen", "MSRP has no UDP (RFC 4975 4)"));
            }
            listeners.push(Listener { of: Use::Msrp, transport, address });
        }
        one_port(&listeners, "listen", |own| own.of == Use::Sip && !own.is_secure())?;
        one_port(&listeners, "listen", |own| own.of == Use::Sip && own.is_secure())?;
        one_port(&listeners, "msrp-listen", |own| own.of == Use::Msrp)?;
        if !listeners.iter().any(|own| own.of == Use::Sip) {
            return Err(Mistake::new("listen", "at least one is needed, for example udp:127.0.0.1:5060"));
        }
        Ok(listeners)
    }

    pub(super) fn tls_files(&self) -> Result<TlsFiles, Mistake> {
        let identity = match (&self.tls.certificate, &self.tls.key) {
            (Some(chain), Some(key)) => Some((chain.clone(), key.clone())),
            (None, None) => None,
            _ => return Err(Mistake::new("tls", "certificate and key belong together")),
        };
        if self.tls.mutual && self.tls.trusted.is_none() {
            return Err(Mistake::new("tls", "mutual needs trusted: somebody must have signed what peers show"));
        }
        Ok(TlsFiles { identity, trusted: self.tls.trusted.clone(), mutual: self.tls.mutual })
    }

    pub(super) fn limits(&self) -> Result<Limits, Mistake> {
        let usual = Limits::default();
        let own = &self.limits;
        Ok(Limits {
            connections: own.connections.unwrap_or(usual.connections),
            connect: seconds("limits.connect", own.connect, usual.connect)?,
            unfinished: seconds("limits.unfinished", own.unfinished, usual.unfinished)?,
            idle: seconds("limits.idle", own.idle, usual.idle)?,
            stalled: seconds("limits.stalled", own.stalled, usual.stalled)?,
            ..usual
        })
    }

    /// The knobs with their values.
    pub(super) fn values(&self) -> Result<Values, Mistake> {
        let texts: Vec<(&str, String)> = self.policy.iter().map(|(name, value)| (name.as_str(), text_of(value))).collect();
        Values::read(texts.iter().map(|(name, value)| (*name, value.as_str())))
            .map_err(|mistakes| Mistake::new("policy", mistakes.join("; ")))
    }

    /// The names that need no table, asked from the system once.
    pub(super) fn resolved(&self) -> Result<BTreeMap<String, IpAddr>, Mistake> {
        let mut hosts = self.hosts.clone();
        for core in self.core.iter().chain(self.user.iter().filter_map(|user| user.core.as_ref())) {
            let uri = Uri::parse(core).map_err(|_| Mistake::new("core", format!("`{core}` is no SIP URI")))?;
            let host = uri.host.ok_or_else(|| Mistake::new("core", format!("`{core}` names no host")))?;
            if host.ip().is_none() && !hosts.contains_key(host.0) {
                let found = (host.0, 0).to_socket_addrs().ok().and_then(|mut found| found.next());
                let address =
                    found.ok_or_else(|| Mistake::new("core", format!("`{}` has no address; name it in hosts", host.0)))?;
                hosts.insert(host.0.to_owned(), address.ip());
            }
        }
        Ok(hosts)
    }
}

/// A time in seconds.
pub(super) fn seconds(setting: &str, given: Option<f64>, usual: Duration) -> Result<Duration, Mistake> {
    match given {
        None => Ok(usual),
        Some(number) if number > 0.0 && number < 1e9 => Ok(Duration::from_secs_f64(number)),
        Some(number) => Err(Mistake::new(setting, format!("{number} is no time in seconds"))),
    }
}

fn text_of(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(values) => values.iter().map(text_of).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// `udp:127.0.0.1:5060`; the transport may be left out where there is a usual one.
fn listener(text: &str, usual: Option<Transport>) -> Result<(Transport, SocketAddr), String> {
    let (transport, address) = match text.split_once(':') {
        Some(("udp", rest)) => (Some(Transport::Udp), rest),
        Some(("tcp", rest)) => (Some(Transport::Tcp), rest),
        Some(("tls", rest)) => (Some(Transport::Tls), rest),
        _ => (usual, text),
    };
    let form = "is not of the form udp:ADDRESS:PORT (or tcp:, tls:; an IPv6 address stands in brackets)";
    let transport = transport.ok_or_else(|| format!("`{text}` {form}"))?;
    let address = address.parse().map_err(|_| format!("`{text}` {form}"))?;
    Ok((transport, address))
}

/// All listeners of a kind share a port: it is the one that Via, Contact and paths name.
fn one_port(listeners: &[Listener], setting: &str, of: impl Fn(&Listener) -> bool) -> Result<(), Mistake> {
    let mut ports = listeners.iter().filter(|own| of(own)).map(|own| own.address.port());
    let first = ports.next();
    match ports.find(|port| Some(*port) != first) {
        Some(other) => {
            let first = first.unwrap_or_default();
            Err(Mistake::new(setting, format!("ports {first} and {other} differ; one port is what Via and Contact can name")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_it_is_printed_as() {
        let text = "listen = [\"udp:127.0.0.1:0\"]\ncore = \"sip:127.0.0.1:5090\"\n\n[policy]\n\"retry.on-603\" = false\n\n\
                    [[user]]\nuri = \"sip:bob@home1.example\"\naliases = []\n";
        let settings = Settings::parse(text).expect("a configuration");
        assert_eq!(Settings::parse(&settings.to_toml()).as_ref(), Ok(&settings));
    }

    /// A line of the template with its setting in force.
    fn set(line: &str) -> &str {
        line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line)
    }

    #[test]
    fn every_setting_is_explained_and_what_is_shown_is_right() {
        let shown: Vec<&str> = TEMPLATE.lines().map(set).collect();
        let everything = Settings::parse(&shown.join("\n")).expect("what is shown is a configuration");
        let mutual = TlsSettings { mutual: true, ..everything.tls.clone() };
        let everything = Settings { tls: mutual, ..everything };
        let text = everything.to_toml();
        assert_eq!(Settings::parse(&text).as_ref(), Ok(&everything));
        // A setting that the template lacks would have no value in `everything`.
        let json = format!("{everything:?}");
        assert!(!json.contains("None") && !json.contains("[]") && !json.contains("{}"), "not everything is shown: {json}");
    }

    #[test]
    fn what_is_shown_as_a_default_is_the_default() {
        let limits = TEMPLATE.split("[limits]").nth(1).and_then(|rest| rest.split("[timers]").next()).expect("limits");
        let limits: Vec<&str> = limits.lines().map(set).collect();
        let settings = Settings { limits: toml::from_str(&limits.join("\n")).expect("limits"), ..Settings::default() };
        assert_eq!(settings.limits(), Ok(Limits::default()));
    }

    #[test]
    fn an_unknown_setting_is_shown_with_its_line() {
        let mistake = Settings::parse("core = \"sip:a\"\nlisten-udp = 3\n").expect_err("a mistake");
        assert!(mistake.contains("line 2") && mistake.contains("listen-udp"), "{mistake}");
    }

    #[test]
    fn listeners_of_a_kind_share_a_port() {
        let with =
            |listen: &[&str]| Settings { listen: listen.iter().map(|&text| text.to_owned()).collect(), ..Settings::default() };
        assert!(with(&["udp:127.0.0.1:5060", "tcp:[::1]:5060", "tls:127.0.0.1:5061"]).listeners().is_ok());
        for wrong in [&["udp:127.0.0.1:5060", "tcp:127.0.0.1:5062"][..], &["5060"], &["udp:localhost:5060"], &[]] {
            assert_eq!(with(wrong).listeners().map_err(|mistake| mistake.setting), Err("listen".to_owned()), "{wrong:?}");
        }
    }
}
