//! The schemas that are stored for editors are those that the program writes, and those of targets say
//! of an example what its reader says.

#[path = "common/json_schema.rs"]
mod json_schema;

use std::sync::LazyLock;

use cpmcheck::suite::source::Sources;
use cpmcheck::suite::targets::{self, Document};
use cpmcheck::suite::{Suite, load, schema};
use json_schema::faults;
use serde_json::Value;

#[test]
fn stored_schemas_are_fresh() {
    for name in schema::NAMES {
        let fresh = format!("{:#}\n", schema::named(name).expect("a schema of this name"));
        let path = format!("{}/scenarios/schema/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == fresh, "{path} is stale: write it anew with `cargo run -- schema {name}`");
    }
}

#[test]
fn a_good_example_fits_its_schema_and_its_reader() {
    for (name, text) in GOOD {
        let said = faults_of(name, text);
        assert!(said.is_empty(), "{name}: {said:?}\n{text}");
        assert!(reads(name, text), "the reader of {name} refuses\n{text}");
    }
}

#[test]
fn each_bad_example_is_refused_by_its_schema_and_its_reader() {
    for (name, good, bad) in BAD {
        let (_, text) = GOOD.iter().find(|(known, text)| known == name && text.contains(good)).expect("the example has this");
        let text = text.replacen(good, bad, 1);
        assert!(!faults_of(name, &text).is_empty(), "the schema of {name} takes `{bad}`");
        assert!(!reads(name, &text), "the reader of {name} takes `{bad}`");
    }
}

#[test]
fn what_only_meaning_tells_is_left_to_the_reader() {
    for (name, good, bad) in MEANT {
        let (_, text) = GOOD.iter().find(|(known, text)| known == name && text.contains(good)).expect("the example has this");
        let text = text.replacen(good, bad, 1);
        assert!(faults_of(name, &text).is_empty() && !reads(name, &text), "{name}: `{bad}`");
    }
}

const GOOD: &[(&str, &str)] = &[
    ("config", ""),
    ("config", "[target.reference]\nkind = \"builtin\"\npics = \"a.yaml\"\n"),
    (
        "config",
        "suite = \"scenarios/own\"\nrequired-version = \">=0.1\"\n\n[target.lab]\nkind = \"address\"\nversion = \"4.1\"\n\
         roles = { pf = [\"udp:192.0.2.10:5060\", \"tls:192.0.2.10:5061\"] }\nmsrp = \"192.0.2.10:2855\"\ntransport = \"udp\"\n\
         identities = \"lab.identities.yaml\"\npics = \"lab.pics.yaml\"\nexpectations = [\"lab.expect.yaml\"]\n\
         timers = { t1 = 0.5, speed = 5, patience = 2.5, longest-wait = 60 }\ntls = { trusted = \"ca.pem\", mutual = true }\n\
         control = { reset = [\"./lab.sh\", \"reset\"], patience = 10 }\n\n[target.lab.listen]\ncore = \"192.0.2.20\"\n\
         registrar = \"2001:db8::21\"\ncf = [\"192.0.2.30\"]\nclient = \"192.0.2.40\"\n",
    ),
    (
        "identities",
        "pf: sip:pf@ims.example\nidentities:\n  bob: { uri: sip:b@ims.example, aliases: [\"tel:+15145550102\"] }\n\
         groups: { beach-trip: { focus: sip:gc@ims.example } }\n",
    ),
    ("pics", "roles: [pf, core]\nfeatures: { imdn: false }\npolicies: { bye.no-reason: defer }\noptional: {}\n"),
    ("expectations", ""),
    (
        "expectations",
        "- match: restart/not-found\n  expect: fail\n  because: sends 480\n  issue: https://tracker.example/ACME-812\n\
         \x20 failure: { step: verdict, requirement: DGC-1.1-01, contains: \"480\" }\n  when: { target-version: \"<4.2\" }\n  until: 2026-12-31\n",
    ),
];

/// What is replaced in a good example, and by what.
const BAD: &[(&str, &str, &str)] = &[
    ("config", "suite =", "siute ="),
    ("config", "kind = \"builtin\"", "kind = \"exec\""),
    ("config", "kind = \"builtin\"", "kind = \"builtin\"\nversion = \"1\""),
    ("config", "kind = \"address\"", "kind = \"builtin\""),
    ("config", "kind = \"address\"\n", ""),
    ("config", "roles =", "rolls ="),
    ("config", "pf = [", "cf = ["),
    ("config", "udp:192.0.2.10:5060", "192.0.2.10:5060"),
    ("config", "udp:192.0.2.10:5060", "sctp:192.0.2.10:5060"),
    ("config", "\"192.0.2.10:2855\"", "\"192.0.2.10\""),
    ("config", "transport = \"udp\"", "transport = \"sctp\""),
    ("config", "expectations = [\"lab.expect.yaml\"]", "expectations = \"lab.expect.yaml\""),
    ("config", "speed = 5", "speed = 0"),
    ("config", "t1 = 0.5", "t1 = \"soon\""),
    ("config", "longest-wait", "longest_wait"),
    ("config", "mutual = true", "mutual = \"perhaps\""),
    ("config", "[\"./lab.sh\", \"reset\"]", "[]"),
    ("config", "\"192.0.2.20\"", "\"udp:192.0.2.20:5090\""),
    ("config", "registrar =", "register ="),
    ("config", ">=0.1", "0.1"),
    ("identities", "sip:pf@", "pf@"),
    ("identities", "uri: sip:b@ims.example, ", ""),
    ("identities", "focus:", "uri:"),
    ("pics", "roles: [pf, core]", "roles: [core]"),
    ("pics", "roles: [pf, core]", "roles: [pf, proxy]"),
    ("pics", "imdn: false", "imdn: maybe"),
    ("pics", "bye.no-reason", "bye.no-raeson"),
    ("pics", "optional", "options"),
    ("expectations", "expect: fail", "expect: fails"),
    ("expectations", "  because: sends 480\n", ""),
    ("expectations", "because: sends 480", "because: TODO"),
    ("expectations", "https://tracker.example/ACME-812", "ACME-812"),
    ("expectations", "step: verdict", "steps: verdict"),
    ("expectations", "\"<4.2\"", "\"4.2\""),
    ("expectations", "2026-12-31", "soon"),
    ("expectations", "- match", "- matches"),
];

/// What a schema cannot see.
const MEANT: &[(&str, &str, &str)] = &[
    ("config", "\"192.0.2.20\"", "\"192.0.2.40\""),
    ("config", ">=0.1", ">=99"),
    ("config", "transport = \"udp\"", "transport = \"tcp\""),
    ("identities", "bob:", "bobb:"),
    ("pics", "imdn: false", "imdm: false"),
    ("expectations", "2026-12-31", "2026-02-30"),
];

/// What the schema says of a text.
fn faults_of(name: &str, text: &str) -> Vec<String> {
    let value: Value = if name == "config" {
        toml::from_str(text).expect("TOML")
    } else {
        let read: Option<Value> = serde_yaml::from_str(text).expect("YAML");
        // A file without a word in it is an empty one of its kind.
        read.unwrap_or(Value::Null)
    };
    faults(&schema::named(name).expect("a schema of this name"), &value)
}

/// Whether the reader can use a text.
fn reads(name: &str, text: &str) -> bool {
    static SUITE: LazyLock<Suite> = LazyLock::new(|| load(Sources::embedded()).expect("the built-in suite"));
    fn usable<T>(document: &Document<T>) -> bool {
        document.is_usable()
    }
    let text = text.to_owned();
    match name {
        "config" => usable(&targets::configuration(name, text)),
        "identities" => usable(&targets::identities(name, text, &SUITE)),
        "pics" => usable(&targets::pics(name, text, &SUITE)),
        _ => usable(&targets::expectations(name, text)),
    }
}
