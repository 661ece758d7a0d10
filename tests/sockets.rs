//! Runs on real sockets: their traces equal those of the simulator, and a signal leaves them whole.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Scenarios of every topic whose traces do not hang on which of two connections is faster.
const EQUAL: [&str; 50] = [
    "failure/group-state-refused",
    "failure/interval-too-small",
    "failure/retried",
    "failure/subscription-ends-with-the-group",
    "failure/subscription-refused",
    "group/client-subscribes",
    "group/invitation-repeats-the-original",
    "group/never-accepted",
    "group/notification-among-messages",
    "group/pinned-device",
    "group/reinvite-mirrored",
    "group/roster-of-the-last-notify",
    "group/unsubscribes-after-delivery",
    "inactive/latest-roster",
    "inactive/one-active-one-inactive",
    "inactive/place-of-the-roster@first",
    "inactive/roster-not-accepted",
    "inactive/whom-it-is-referred-by@first-sender",
    "malformed/accept-contact-in-compact-form",
    "malformed/bye-for-an-unknown-dialog",
    "malformed/byte-ranges",
    "malformed/paths-in-the-wrong-order",
    "malformed/reason-in-lower-case",
    "malformed/reason-of-another-protocol",
    "malformed/reason-with-white-space",
    "malformed/two-reasons",
    "notification/relayed",
    "notification/two-devices",
    "notification/two-notifiers",
    "one-to-one/first-message-of-the-sender",
    "one-to-one/first-message-over-msrp-only",
    "one-to-one/first-message@in-invite-only",
    "one-to-one/invitation",
    "one-to-one/lenient-cpim",
    "one-to-one/look-alikes-of-end-lines",
    "one-to-one/not-reachable",
    "policy/bye-without-reason@leave",
    "policy/loss-by-deregistration@undetected",
    "policy/loss-by-missed-refresh@undetected",
    "policy/predicates-in-one-value@one",
    "policy/sender-of-a-delivery@sender",
    "policy/subscriber@user",
    "policy/timer-profiles@radio",
    "restart/early-accept@early",
    "restart/fails-during-delivery@drain",
    "restart/forbidden",
    "restart/refused-nothing-written",
    "restart/refused-report-not-wanted",
    "restart/report-status@focus",
    "restart/target@old-focus",
];
/// How many of them have to be equal; a busy machine may reorder what is free to go either way.
const ENOUGH: usize = 40;

#[test]
fn traces_on_sockets_equal_those_of_the_simulator() {
    let output = command()
        .args(["run", "--target", "self:udp", "--format", "json", "--timeout-scale", "4"])
        .args(EQUAL)
        .output()
        .expect("the program");
    let said = String::from_utf8_lossy(&output.stdout);
    let summary: serde_json::Value = serde_json::from_str(&said).expect("a summary");
    assert_eq!((summary["passed"].as_u64(), output.status.code()), (Some(EQUAL.len() as u64), Some(0)), "{said}");
    let equal: Vec<&str> = summary["parity"].as_array().expect("a list").iter().filter_map(|name| name.as_str()).collect();
    let others: Vec<&&str> = EQUAL.iter().filter(|name| !equal.contains(name)).collect();
    println!("{} of {} traces equal the simulator's; not {others:?}", equal.len(), EQUAL.len());
    assert!(equal.len() >= ENOUGH, "{} are equal, not {others:?}", equal.len());
}

#[cfg(unix)]
#[test]
fn a_run_on_sockets_that_is_interrupted_leaves_a_whole_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("run.jsonl");
    let mut child = command()
        .args(["run", "group/*", "--target", "self:udp", "--jobs", "2", "--status-level", "all", "--trace", "on"])
        .arg("--reporter")
        .arg(format!("jsonl={}", file.display()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
    let first = lines.find(|line| line.contains("PASS"));
    assert!(first.is_some(), "no scenario was played");
    let signalled = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(signalled.success());
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().expect("an end").code(), Some(130), "{rest:?}");
    let text = std::fs::read_to_string(&file).expect("the run file");
    let values: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let footer = values.last().expect("a footer");
    assert_eq!((footer["type"].as_str(), footer["complete"].as_bool()), (Some("footer"), Some(false)));
    assert_eq!((values[0]["target"].as_str(), values[0]["clock"].as_str()), (Some("self:udp"), Some("real")));
    let played = values.iter().filter(|value| value["type"] == "scenario-end").count() as u64;
    assert_eq!(footer["passed"].as_u64(), Some(played), "{footer}");
    assert!(played > 0 && footer["failed"] == 0 && footer["skipped"].as_u64() > Some(0), "{footer}");
    // What was at hand was played to its end, and can be judged again.
    let again = command().args(["trace", "check"]).arg(&file).output().expect("the program");
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(!said.contains("fail"), "{said}");
}

fn command() -> Command {
    Command::new(assert_cmd::cargo::cargo_bin("cpmcheck"))
}
