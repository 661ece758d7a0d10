//! What `cr diff` lists is what changes, no more and no less.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use cpmcheck::judge::expect::headline;
use cpmcheck::judge::outcome::Outcome;
use cpmcheck::judge::revision::{Difference, Revision};
use cpmcheck::run::measure::{Terms, measure};
use cpmcheck::suite::source::Sources;
use cpmcheck::suite::{Suite, load_all};
use cpmcheck::trace::event::{Content, Kind};

const SUITE: &str = "scenarios/deferred-delivery";

/// Knobs of five readings, each turned to the reading that is not ours.
const TURNED: [(&str, &str); 5] = [
    ("bye.no-reason", "defer"),
    ("subscribe.identity", "pf"),
    ("race.per-device", "true"),
    ("trigger.on-reregister", "false"),
    ("group-active.send-group-state", "true"),
];

fn played<'s>(suite: &'s Suite, policy: &BTreeMap<String, String>) -> Revision<'s> {
    measure(suite, "", Terms { policy, seed: None, tamper: false })
}

/// Everything on the wire, in order.
fn wire(outcome: &Outcome) -> Vec<Vec<u8>> {
    let bytes = |kind: &Kind| match kind {
        Kind::Message { content: Content::Sip(message), .. } => Some(message.encode().to_vec()),
        Kind::Message { content: Content::Msrp(chunk), .. } => Some(chunk.encode().to_vec()),
        Kind::Message { content: Content::Broken { bytes, .. }, .. } => Some(bytes.to_vec()),
        _ => None,
    };
    outcome.trace.events.iter().filter_map(|event| bytes(&event.kind)).collect()
}

/// What a person would call each message, in order.
fn course(outcome: &Outcome) -> Vec<String> {
    outcome.trace.events.iter().filter(|event| matches!(event.kind, Kind::Message { .. })).map(headline).collect()
}

#[test]
fn a_turned_knob_changes_exactly_the_flows_that_are_listed() {
    let suite = load_all(Sources::read(Path::new(SUITE)).expect("the suite is readable")).suite;
    let before = played(&suite, &BTreeMap::new());
    assert!(Difference::of(&before, &played(&suite, &BTreeMap::new())).is_empty(), "equal sides do not differ");
    for (knob, value) in TURNED {
        let after = played(&suite, &BTreeMap::from([(knob.to_owned(), value.to_owned())]));
        let difference = Difference::of(&before, &after);
        let listed: BTreeSet<&str> = difference.flows.iter().map(|flow| flow.name.as_str()).collect();
        assert!(!listed.is_empty(), "{knob} changes no flow at all");
        for (old, new) in before.outcomes.iter().zip(&after.outcomes) {
            let name = old.name();
            assert_eq!(name, new.name());
            if listed.contains(name.as_str()) {
                assert_ne!(wire(old), wire(new), "{knob}: {name} is listed and did not change");
            } else {
                assert_eq!(course(old), course(new), "{knob}: {name} changed and is not listed");
            }
        }
    }
}

/// A repository with two revisions of a small suite.
#[test]
fn revisions_are_read_from_the_repository() {
    let dir = tempfile::tempdir().expect("a folder");
    let git = |arguments: &[&str]| {
        let author = ["-c", "user.name=An Editor", "-c", "user.email=editor@example.org"];
        let status = Command::new("git").current_dir(dir.path()).args(author).args(arguments).output().expect("git runs");
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    };
    let write = |name: &str, text: &str| {
        let path = dir.path().join("scenarios/small").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
        std::fs::write(path, text).expect("it is written");
    };
    let requirement = "DGC-1.2-01:\n  clause: 8.3.2.9.1.2\n  level: SHALL\n  actor: pf\n  summary: One\n  todo: later\n";
    let scenario = "title: A greeting\nrequirements: []\nactors: { core: core }\nflow:\n  - core -> pf OPTIONS: { id: ask, Request-URI: \"sip:pf.home1.example\" }\n  - pf -> core 200: { answers: ask }\n";
    write("suite.yaml", "title: Small\nspec: None\nidentities:\n  bob: { uri: \"sip:bob@home1.example\" }\n");
    write("requirements.yaml", requirement);
    write("greeting.yaml", scenario);
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "One"]);
    write("requirements.yaml", &requirement.replace("summary: One", "summary: Two"));
    let output = assert_cmd::Command::cargo_bin("cpmcheck")
        .expect("the program")
        .current_dir(dir.path())
        .args(["cr", "diff", "main", "--format", "json"])
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value: serde_json::Value =
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(value["requirements"][0]["id"], "DGC-1.2-01");
    assert_eq!(value["requirements"][0]["parts"], serde_json::json!(["summary"]));
    assert_eq!((value["flows"].as_array().map(Vec::len), value["verdicts"].as_array().map(Vec::len)), (Some(0), Some(0)));
}
