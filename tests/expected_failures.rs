//! Expected failures and claims, through the binary: what they make of a run, and which of them are
//! mistakes. The target is the reference, which answers every REGISTER with 200.

mod common;
#[path = "common/runs.rs"]
mod runs;

use std::process::Output;

use common::{suite, write};
use runs::{UNCOMPARED, run};

/// An entry about `group/fail`, which fails because the PF answers 200.
const FAILS: &str = "- match: group/fail\n  expect: fail\n  because: answers 200\n  issue: https://tracker.example/ACME-812\n";

#[test]
fn a_failure_that_is_expected_is_waived_and_counted() {
    let run = Run::of(&["pass", "fail"]).expecting(FAILS);
    let output = run.go(&[]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("1 expectation matches 1 of 2 scenarios (https://tracker.example/ACME-812 ×1)"), "{said}");
    assert!(said.contains("  XFAIL   1  (https://tracker.example/ACME-812 ×1)"), "{said}");
    assert!(said.ends_with("\n1 passed, 0 failed, 1 skipped\n"), "{said}");
}

#[test]
fn an_unexpected_pass_fails_and_says_which_line_to_remove() {
    let run = Run::of(&["pass"]).expecting(&FAILS.replace("group/fail", "group/pass"));
    let output = run.go(&[]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("XPASS  group/pass") && said.contains("expect.yaml:1"), "{said}");
    assert!(said.contains("exit 1 (conformance): 1 XPASS"), "{said}");
}

#[test]
fn another_failure_than_the_expected_one_fails() {
    for failure in ["contains: \"480\"", "step: pf -> bob", "requirement: DGC-9-02"] {
        let run = Run::of(&["fail"]).expecting(&format!("{FAILS}  failure: {{ {failure} }}\n"));
        let output = run.go(&[]);
        let said = text(&output);
        assert!(output.status.code() == Some(1) && said.contains("XDIFF  group/fail"), "{failure}: {said}");
    }
    let run = Run::of(&["fail"]).expecting(&format!("{FAILS}  failure: {{ contains: \"200\" }}\n"));
    assert_eq!(run.go(&[]).status.code(), Some(0), "the failure is the expected one");
}

#[test]
fn a_flaky_scenario_may_pass_and_may_fail() {
    let flaky = FAILS.replace("expect: fail", "expect: flaky").replace("match: group/fail", "match: group/*");
    let output = Run::of(&["pass", "fail"]).expecting(&flaky).go(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn an_entry_that_is_about_nothing_is_a_mistake() {
    let output = Run::of(&["pass"]).expecting(&FAILS.replace("group/fail", "group/pas")).go(&[]);
    let said = complaint(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("T0009") && said.contains("expect.yaml:1:10") && said.contains("did you mean `group/pass`?"), "{said}");
}

#[test]
fn an_entry_about_what_is_never_run_is_stale_in_a_whole_run_only() {
    let run = Run::of(&["pass", "fail"]).expecting(FAILS).claiming("features: { register: false }\n");
    let output = run.go(&[]);
    assert!(output.status.code() == Some(4), "nothing is left to run: {}", complaint(&output));
    let dir = Run::of(&["pass", "fail"]);
    let other = common::scenario("Nobody answers 404", "DGC-9-01", 800, 404).replace("[register]", "[odd]");
    write(dir.dir.path(), "group/fail.yaml", &other);
    let run = dir.expecting(FAILS).claiming("features: { odd: false }\n");
    let output = run.go(&[]);
    let said = complaint(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("matches nothing that was run") && said.contains("feature odd is not claimed"), "{said}");
    assert_eq!(run.go(&["group/pass"]).status.code(), Some(0), "who selects knows what is left out");
}

#[test]
fn contradictions_past_dates_and_claimed_features_are_mistakes() {
    let twice = format!("{FAILS}{}", FAILS.replace("expect: fail", "expect: flaky").replace("group/fail", "group/*"));
    let unsupported = FAILS.replace("expect: fail", "expect: unsupported");
    for (entries, pics, code) in [
        (twice, "", "T0010"),
        (format!("{FAILS}  until: 2020-12-31\n"), "", "T0011"),
        (unsupported, "features: { register: true }\n", "T0012"),
        (FAILS.replace("group/fail", "tga:register"), "", "T0008"),
        (FAILS.replace("https://tracker.example/", ""), "", "T0013"),
        (FAILS.replace("  because: answers 200\n", ""), "", "Y0009"),
    ] {
        let output = Run::of(&["pass", "fail"]).expecting(&entries).claiming(pics).go(&[]);
        let said = complaint(&output);
        assert!(output.status.code() == Some(3) && said.contains(code), "{code}: {said}");
    }
    let later = format!("{FAILS}  until: 2999-12-31\n");
    assert_eq!(Run::of(&["fail"]).expecting(&later).go(&[]).status.code(), Some(0));
}

#[test]
fn a_defect_of_the_surroundings_satisfies_no_expectation() {
    let run = Run::of(&["open"]).expecting(&FAILS.replace("group/fail", "group/open"));
    assert_eq!(run.go(&[]).status.code(), Some(6), "inconclusive is no failure");
}

#[test]
fn what_is_not_claimed_is_left_out_and_counted() {
    let run = Run::of(&["pass"]);
    write(
        run.dir.path(),
        "group/other.yaml",
        &common::scenario("Nobody answers 404", "DGC-9-01", 800, 404).replace("[register]", "[odd]"),
    );
    let run = run.claiming("roles: [pf]\nfeatures: { odd: false }\n");
    let output = run.go(&[]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("  UNSUP   1  feature odd is not claimed") && said.ends_with("1 passed, 0 failed, 1 skipped\n"),
        "{said}"
    );
}

#[test]
fn an_unknown_claim_is_told_with_its_place() {
    let output = Run::of(&["pass"]).claiming("features: { registre: false }\n").go(&[]);
    let said = complaint(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("T0005") && said.contains("pics.yaml:1:13") && said.contains("did you mean `register`?"), "{said}");
}

#[test]
fn machines_are_told_of_waivers_too() {
    let run = Run::of(&["pass", "fail"]).expecting(FAILS);
    let (xml, lines) = (run.dir.path().join("junit.xml"), run.dir.path().join("run.jsonl"));
    let reporters = format!("junit={},jsonl={}", xml.display(), lines.display());
    let output = run.go(&["--reporter", &reporters, "--format", "json"]);
    let summary: serde_json::Value = serde_json::from_str(&text(&output)).expect("JSON");
    let failed = summary["outcomes"].as_array().and_then(|outcomes| outcomes.iter().find(|one| one["scenario"] == "group/fail"));
    let failed = failed.expect("the outcome");
    assert_eq!((&failed["gate"], &failed["verdict"]), (&"XFAIL".into(), &"fail".into()));
    assert_eq!(failed["expected"]["issue"], "https://tracker.example/ACME-812");
    assert_eq!((&summary["failed"], &summary["skipped"]), (&0.into(), &1.into()));
    let xml = std::fs::read_to_string(xml).expect("the report");
    assert!(xml.contains("<skipped message=\"XFAIL: answers 200\"") && xml.contains("ACME-812"), "{xml}");
    assert!(xml.contains("failures=\"0\""), "{xml}");
    let lines = std::fs::read_to_string(lines).expect("the run file");
    assert!(lines.contains("\"gate\":\"XFAIL\"") && lines.contains("\"because\":\"answers 200\""), "{lines}");
}

#[test]
fn what_passes_only_when_it_is_tried_again_is_flaky() {
    let run = Run::of(&["waver"]);
    let seed = (1..40).map(|seed: u64| seed.to_string()).find(|seed| run.once(&["--seed", seed]).status.code() == Some(1));
    let seed = seed.expect("a seed under which it fails");
    let flaky = run.once(&["--seed", &seed, "--retries", "10"]);
    let said = text(&flaky);
    assert_eq!(flaky.status.code(), Some(1), "{said}");
    assert!(said.contains("FLAKY  group/waver") && said.contains("passed in attempt"), "{said}");
    assert!(said.contains("exit 1 (conformance): 1 FLAKY") && said.ends_with("0 passed, 1 failed\n"), "{said}");
    assert!(said.contains(&format!("--seed {:#x}", seed.parse::<u64>().expect("a seed"))), "the failure can be repeated: {said}");
    let accepted = run.once(&["--seed", &seed, "--retries", "10", "--flaky-result", "pass"]);
    let said = text(&accepted);
    assert!(accepted.status.success() && said.contains("FLAKY  group/waver") && said.ends_with("1 passed, 0 failed\n"), "{said}");
    let again = text(&run.once(&["--seed", &seed, "--retries", "10"]));
    assert_eq!(again, text(&flaky), "retries hang on the seed alone");
}

#[test]
fn what_fails_every_time_is_no_flaky_one() {
    let output = Run::of(&["fail"]).go(&["--retries", "2"]);
    let said = text(&output);
    assert!(output.status.code() == Some(1) && said.contains("1 FAIL") && !said.contains("FLAKY"), "{said}");
}

#[test]
fn an_entry_for_another_version_says_nothing() {
    let when = format!("{FAILS}  when: {{ target-version: \">=4.2\" }}\n  until: 2020-01-01\n");
    let output = Run::of(&["fail"]).expecting(&when).go(&[]);
    assert_eq!(output.status.code(), Some(1), "nobody says which version the reference has: {}", complaint(&output));
}

/// A suite, what is expected and what is claimed.
struct Run {
    dir: tempfile::TempDir,
    beside: tempfile::TempDir,
    arguments: Vec<String>,
}

impl Run {
    fn of(names: &[&str]) -> Self {
        Self { dir: suite(names), beside: tempfile::tempdir().expect("a folder"), arguments: Vec::new() }
    }

    fn with(mut self, flag: &str, name: &str, text: &str) -> Self {
        if !text.is_empty() {
            write(self.beside.path(), name, text);
            self.arguments.extend([flag.to_owned(), name.to_owned()]);
        }
        self
    }

    fn expecting(self, text: &str) -> Self {
        self.with("--expectations", "expect.yaml", text)
    }

    fn claiming(self, text: &str) -> Self {
        self.with("--pics", "pics.yaml", text)
    }

    /// A run under a seed that is among the arguments.
    fn once(&self, arguments: &[&str]) -> Output {
        let mut command = run(self.dir.path(), &["--update", "none"]);
        command.current_dir(self.beside.path()).args(&self.arguments).args(arguments).output().expect("the program")
    }

    fn go(&self, arguments: &[&str]) -> Output {
        let mut command = run(self.dir.path(), &UNCOMPARED);
        command.current_dir(self.beside.path()).args(&self.arguments).args(arguments).output().expect("the program")
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
