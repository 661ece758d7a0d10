//! What the commands print, and that one seed gives one run file.

mod common;
#[path = "common/runs.rs"]
mod runs;

use common::{cpmcheck, suite};
use runs::{UNCOMPARED, run};

fn stdout(command: &mut assert_cmd::Command) -> String {
    String::from_utf8_lossy(&command.output().expect("it runs").stdout).into_owned()
}

#[test]
fn without_a_command_the_six_basic_ones_are_named() {
    let text = stdout(&mut cpmcheck());
    for name in ["run", "list", "inspect", "explain", "lint", "trace"] {
        assert!(text.contains(&format!("cpmcheck {name}")), "{name} is missing in {text}");
    }
}

#[test]
fn one_seed_gives_one_run_file_and_timing_is_asked_for() {
    let dir = suite(&["pass", "fail"]);
    let file = |name: &str, more: &[&str]| {
        let path = dir.path().join(name);
        let reporter = format!("jsonl={}", path.display());
        let arguments = [&UNCOMPARED[..], &["--trace", "on", "--reporter", &reporter], more].concat();
        run(dir.path(), &arguments).output().expect("it runs");
        std::fs::read_to_string(path).expect("the run file")
    };
    let one = file("one.jsonl", &[]);
    assert_eq!(one, file("two.jsonl", &["--jobs", "1", "--order", "random"]));
    assert!(!one.contains("duration"), "no wall-clock value");
    assert!(file("three.jsonl", &["--timing"]).contains("duration-ms"));
}

#[test]
fn another_seed_gives_the_same_verdicts() {
    let dir = suite(&["pass", "fail", "open"]);
    let gates = |seed: &str| {
        let text = stdout(&mut run(dir.path(), &["--seed", seed, "--format", "json"]));
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        value["outcomes"].as_array().expect("outcomes").iter().map(|outcome| outcome["gate"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(gates("18"), ["\"FAIL\"", "\"NOTRUN\"", "\"PASS\""]);
    assert_eq!(gates("18"), gates("0xfeed"));
}

#[test]
fn junit_tells_failures_from_what_was_left_out() {
    let dir = suite(&["pass", "fail"]);
    let path = dir.path().join("out/junit.xml");
    let reporter = format!("junit={}", path.display());
    run(dir.path(), &[&UNCOMPARED[..], &["--reporter", &reporter]].concat()).assert().code(1);
    let xml = std::fs::read_to_string(path).expect("the report");
    let document = roxmltree::Document::parse(&xml).expect("well-formed XML");
    let count = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
    assert_eq!((count("testcase"), count("failure"), count("error")), (2, 1, 0));
}

#[test]
fn a_failure_answers_five_questions() {
    let dir = suite(&["fail"]);
    let text = stdout(&mut run(dir.path(), &UNCOMPARED));
    for part in
        ["error[C0201]", "group/fail.yaml:7:5", "allowed", "404", "observed", "200 OK", "blame", "IUT", "again:", "--seed 0x12"]
    {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let again = text.lines().find_map(|line| line.trim().strip_prefix("again:  cpmcheck ")).expect("a command to repeat it");
    cpmcheck().args(again.split(' ')).assert().code(1);
}

#[test]
fn a_reading_that_breaks_a_base_protocol_is_blamed_by_that_protocol() {
    let send = ["run", "inactive/roster-not-accepted", "--policy", "group-state.if-not-accepted=send"];
    let output = cpmcheck().args(send).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["msrp-accepted-type", "RFC 4975 8.6", "application/group-state-object+xml"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}

#[test]
fn colour_follows_the_flag_then_the_environment() {
    let dir = suite(&["fail"]);
    let has_escape = |command: &mut assert_cmd::Command| stdout(command).contains('\u{1b}');
    assert!(!has_escape(&mut run(dir.path(), &UNCOMPARED)));
    assert!(has_escape(run(dir.path(), &UNCOMPARED).arg("--color=always").env("NO_COLOR", "1")));
    assert!(has_escape(run(dir.path(), &UNCOMPARED).env("CLICOLOR_FORCE", "1")));
    assert!(!has_escape(run(dir.path(), &UNCOMPARED).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")));
    assert!(!has_escape(run(dir.path(), &UNCOMPARED).arg("--color=never").env("CLICOLOR_FORCE", "1")));
}

#[test]
fn a_trace_is_shown_from_a_run_file_and_from_a_scenario() {
    let dir = suite(&["pass"]);
    let path = dir.path().join("run.jsonl");
    let reporter = format!("jsonl={}", path.display());
    run(dir.path(), &[&UNCOMPARED[..], &["--trace", "on", "--reporter", &reporter]].concat()).assert().code(0);
    let show = |what: &str| stdout(cpmcheck().args(["trace", "show", "--ascii", what, "--suite"]).arg(dir.path()));
    let stored = show(&format!("{}:group/pass", path.display()));
    assert!(stored.contains("REGISTER") && stored.contains("200 OK") && stored.contains("pf*"), "{stored}");
    assert!(show("group/pass").contains("REGISTER"));
}

#[test]
fn the_built_in_suite_is_listed_and_explained() {
    let list: serde_json::Value = serde_json::from_str(&stdout(cpmcheck().args(["list", "--format", "json"]))).expect("JSON");
    assert!(list["scenarios"].as_array().expect("scenarios").len() >= 50);
    let text = stdout(cpmcheck().args(["explain", "DGC-9-02"]));
    assert!(text.contains("SHALL") && text.contains("group/missed-messages"), "{text}");
    assert!(stdout(cpmcheck().args(["explain", "C0201"])).contains("another answer"));
    assert!(stdout(cpmcheck().args(["explain", "--policies"])).contains("bye.no-reason"));
    cpmcheck().args(["explain", "DGC-9-99"]).assert().code(2);
}

#[test]
fn help_knows_exit_codes_and_completions_are_scripts() {
    let text = stdout(cpmcheck().args(["help", "exit-codes"]));
    assert!(text.contains("130") && text.contains("conformance"), "{text}");
    assert!(stdout(cpmcheck().args(["help", "run"])).contains("Usage: cpmcheck run "));
    assert!(stdout(cpmcheck().args(["completions", "bash"])).contains("cpmcheck"));
    assert!(stdout(cpmcheck().args(["schema", "scenario"])).contains("\"$schema\""));
}

#[test]
fn a_flag_goes_before_the_environment() {
    let dir = suite(&["pass"]);
    let text = stdout(run(dir.path(), &["--format", "json"]).env("CPMCHECK_SEED", "0x99"));
    assert!(text.contains("\"seed\": \"0x99\""), "{text}");
    let text = stdout(run(dir.path(), &["--format", "json", "--seed", "5"]).env("CPMCHECK_SEED", "0x99"));
    assert!(text.contains("\"seed\": \"0x5\""), "{text}");
}

#[test]
fn only_the_last_line_is_left_when_quiet() {
    let dir = suite(&["pass"]);
    assert_eq!(stdout(&mut run(dir.path(), &["--seed", "18", "-q"])), "1 passed, 0 failed\n");
}

#[test]
fn lint_tells_of_files_that_have_no_place_in_a_suite() {
    let dir = suite(&["pass"]);
    std::fs::write(dir.path().join("pass.snap.new"), "---\n---\n").expect("it is written");
    let output = cpmcheck().arg("lint").arg("--suite").arg(dir.path()).output().expect("it runs");
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(told.contains("Y0090") && told.contains("pass.snap.new"), "{told}");
}

#[test]
fn a_run_is_exported_in_every_form_and_its_capture_gets_its_verdict() {
    let dir = suite(&["pass"]);
    let folder = dir.path().to_str().expect("a path of text").to_owned();
    let out = tempfile::tempdir().expect("a folder beside the suite");
    for end in ["pcapng", "json", "svg", "puml", "mmd"] {
        let path = out.path().join(format!("one.{end}"));
        let path = path.to_str().expect("a path of text");
        cpmcheck().args(["trace", "export", "group/pass", "--suite", &folder, "-o", path]).assert().success();
    }
    let path = out.path().join("one.pcapng");
    let output = cpmcheck().args(["judge", "--suite", &folder]).arg(&path).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.starts_with("pass ") && text.contains("pf = 10.0.0.1") && text.contains("guessed"), "{text}");
    std::fs::write(&path, "neither").expect("it is written");
    cpmcheck().args(["judge", "--suite", &folder]).arg(&path).assert().code(3);
}

#[test]
fn a_stored_run_is_exported_with_the_steps_of_its_scenario() {
    let dir = suite(&["pass"]);
    let out = tempfile::tempdir().expect("a folder beside the suite");
    let path = |name: &str| out.path().join(name).to_str().expect("a path of text").to_owned();
    let file = path("run.jsonl");
    let reporter = format!("jsonl={file}");
    run(dir.path(), &[&UNCOMPARED[..], &["--trace", "on", "--reporter", &reporter]].concat()).assert().code(0);
    for end in ["pcapng", "json", "svg"] {
        let export = path(&format!("one.{end}"));
        cpmcheck().args(["trace", "export", &file, "-o", &export]).assert().success();
        let bytes = std::fs::read(export).expect("an export");
        assert!(String::from_utf8_lossy(&bytes).contains("group/pass.yaml:6"), "{end}");
    }
}

#[test]
fn the_skew_of_a_judgement_is_told_and_has_a_unit() {
    let dir = suite(&["pass"]);
    let folder = dir.path().to_str().expect("a path of text").to_owned();
    let out = tempfile::tempdir().expect("a folder beside the suite");
    let path = out.path().join("one.pcapng");
    let path = path.to_str().expect("a path of text");
    cpmcheck().args(["trace", "export", "group/pass", "--suite", &folder, "-o", path]).assert().success();
    let judged = |skew: &[&str]| {
        let output = cpmcheck().args(["judge", "--suite", &folder, path]).args(skew).output().expect("it runs");
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (skew, told) in [(&[][..], false), (&["--skew", "0"], false), (&["--skew", "5ms"], true)] {
        let said = judged(skew);
        assert_eq!(said.contains("  skew        5ms: events of different connections"), told, "{said}");
    }
    assert!(judged(&["--skew", "5ms", "--format", "json"]).contains("\"skew-us\": 5000"));
    for wrong in ["5", "61s", "soon", "-1ms"] {
        cpmcheck().args(["judge", "--suite", &folder, path, &format!("--skew={wrong}")]).assert().code(2);
    }
}
