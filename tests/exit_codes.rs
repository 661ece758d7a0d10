//! Every exit code that can be provoked, and which of two goes first.

mod common;
#[path = "common/runs.rs"]
mod runs;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use common::{cpmcheck, suite};
use runs::{UNCOMPARED, run};

#[test]
fn zero_when_all_gates_pass() {
    let dir = suite(&["pass"]);
    run(dir.path(), &UNCOMPARED).assert().code(0);
}

#[test]
fn one_when_the_iut_does_not_conform() {
    let dir = suite(&["pass", "fail"]);
    let assert = run(dir.path(), &UNCOMPARED).assert().code(1);
    let text = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert!(text.ends_with("1 passed, 1 failed\n"), "{text}");
}

#[test]
fn two_for_a_wrong_flag_and_for_a_selector_that_matches_nothing() {
    let dir = suite(&["pass"]);
    run(dir.path(), &["--no-such-flag"]).assert().code(2);
    let assert = run(dir.path(), &["group/pas"]).assert().code(2);
    let text = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(text.contains("U0004") && text.contains("group/pass"), "{text}");
    run(dir.path(), &["tga:register"]).assert().code(2);
    run(dir.path(), &["group/pass", "--skip", "tag:nope"]).assert().code(2);
    run(dir.path(), &["--policy", "no.such=1"]).assert().code(2);
}

#[test]
fn three_for_an_invalid_file() {
    let dir = suite(&["pass", "broken"]);
    run(dir.path(), &[]).assert().code(3);
    cpmcheck().arg("lint").arg("--suite").arg(dir.path()).assert().code(3);
    let file = dir.path().join("group/pass.yaml");
    cpmcheck().args(["trace", "check"]).arg(&file).assert().code(3);
}

#[test]
fn four_when_nothing_is_left_or_less_than_asked_for() {
    let dir = suite(&["pass"]);
    run(dir.path(), &["tag:register", "--skip", "tag:register"]).assert().code(4);
    run(dir.path(), &["tag:register", "--skip", "tag:register", "--no-tests", "warn"]).assert().code(0);
    run(dir.path(), &[&UNCOMPARED[..], &["--min-tests", "2"]].concat()).assert().code(4);
}

#[test]
fn five_when_traces_await_review() {
    let dir = suite(&["pass"]);
    run(dir.path(), &[]).assert().code(5);
    assert!(dir.path().join("group/pass.snap.new").is_file(), "the new trace is beside the scenario");
    cpmcheck().args(["pending", "--suite"]).arg(dir.path()).assert().code(5);
    cpmcheck().args(["review", "--suite"]).arg(dir.path()).assert().code(5);
    cpmcheck().args(["accept", "--all", "--suite"]).arg(dir.path()).assert().code(0);
    run(dir.path(), &[]).assert().code(0);
}

#[test]
fn six_when_a_claim_stays_open_or_a_run_file_is_cut_off() {
    let dir = suite(&["open"]);
    run(dir.path(), &UNCOMPARED).assert().code(6);
    let whole = suite(&["pass"]);
    let file = whole.path().join("run.jsonl");
    let reporter = format!("jsonl={}", file.display());
    run(whole.path(), &[&UNCOMPARED[..], &["--trace", "on", "--reporter", &reporter]].concat()).assert().code(0);
    cpmcheck().args(["trace", "check"]).arg(&file).arg("--suite").arg(whole.path()).assert().code(0);
    let text = std::fs::read_to_string(&file).expect("the run file");
    let cut: String = text.lines().take(text.lines().count() - 1).map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, cut).expect("the run file can be cut");
    cpmcheck().args(["trace", "check"]).arg(&file).arg("--suite").arg(whole.path()).assert().code(6);
}

#[test]
fn seven_when_a_report_cannot_be_written() {
    let dir = suite(&["pass"]);
    let file = dir.path().join("suite.yaml/run.jsonl");
    let reporter = format!("jsonl={}", file.display());
    run(dir.path(), &[&UNCOMPARED[..], &["--reporter", &reporter]].concat()).assert().code(7);
}

#[test]
fn seventy_for_a_defect_of_our_own() {
    let assert = cpmcheck().arg("__crash").assert().code(70);
    let text = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(text.contains("H0070") && text.contains("seed"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_signal_closes_the_run_file_and_goes_before_everything() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let dir = suite(&["fail"]);
        let file = dir.path().join("run.jsonl");
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("cpmcheck"))
            .args(["run", "--repeat", "1000000", "--status-level", "all", "--suite"])
            .arg(dir.path())
            .arg("--reporter")
            .arg(format!("jsonl={}", file.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        // The run is under way once an outcome was told.
        lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("again:"))).expect("an outcome").expect("text");
        let sent = std::process::Command::new("kill").arg(signal).arg(child.id().to_string()).status().expect("kill runs");
        assert!(sent.success(), "the signal was sent");
        lines.for_each(drop);
        assert_eq!(child.wait().expect("it ends").code(), Some(code));
        let text = std::fs::read_to_string(&file).expect("the run file");
        let footer = text.lines().last().expect("a footer");
        assert!(footer.contains("\"type\":\"footer\"") && footer.contains("\"complete\":false"), "{footer}");
    }
}

#[test]
fn of_two_codes_the_graver_one_is_returned() {
    // 1 before 6, 5 and 4.
    let dir = suite(&["pass", "fail", "open"]);
    run(dir.path(), &["--min-tests", "9"]).assert().code(1);
    // 6 before 5 and 4.
    let dir = suite(&["pass", "open"]);
    run(dir.path(), &["--min-tests", "9"]).assert().code(6);
    // 5 before 4.
    let dir = suite(&["pass"]);
    run(dir.path(), &["--min-tests", "9"]).assert().code(5);
    // 2 before 3.
    let dir = suite(&["broken"]);
    run(dir.path(), &["--policy", "no.such=1"]).assert().code(2);
}

#[cfg(target_os = "linux")]
#[test]
fn an_environment_that_fails_goes_before_a_failure() {
    let dir = suite(&["fail"]);
    run(dir.path(), &["--reporter", "jsonl=/dev/full"]).assert().code(7);
}

#[test]
fn the_code_is_never_a_count() {
    let dir = suite(&["fail"]);
    run(dir.path(), &["--repeat", "256", "--status-level", "none"]).assert().code(1);
}
