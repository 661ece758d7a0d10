//! `cpmcheck expect`, through the binary: what runs say about a file of expected failures. The target
//! is the reference, which answers every REGISTER with 200.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use common::{cpmcheck, suite, write};

const KNOWN: &str = "# What the lab knows.\n\n- match: group/pass   # it was late once\n  expect: fail\n  because: answers 503\n  issue: https://tracker.example/ACME-1\n\n\
    # Nobody is like that.\n- match: group/fail\n  expect: fail\n  because: answers 200\n  issue: https://tracker.example/ACME-2\n";

#[test]
fn list_shows_every_entry_and_what_it_matches() {
    let lab = Lab::of(&["pass", "fail"]).knowing(
        &KNOWN.replace("match: group/pass", "match: group/*").replace("answers 503\n", "answers 503\n  until: 2999-12-31\n"),
    );
    let output = lab.expect(&["list"]);
    let said = out(&output);
    assert_eq!(output.status.code(), Some(0), "{said}{}", err(&output));
    for part in ["expect.yaml:3", "group/*", "2 cases", "2999-12-31", "https://tracker.example/ACME-2", "answers 200"] {
        assert!(said.contains(part), "{part} is missing:\n{said}");
    }
    assert!(err(&output).contains("2 expectations match 2 of 2 scenarios"), "{}", err(&output));
}

#[test]
fn list_shows_what_is_stale_and_ends_with_three() {
    let lab = Lab::of(&["pass"]).knowing(KNOWN);
    let output = lab.expect(&["list"]);
    assert!(
        output.status.code() == Some(3) && out(&output).contains("nothing") && err(&output).contains("T0009"),
        "{}",
        out(&output)
    );
}

#[test]
fn update_appends_what_fails_and_leaves_the_reason_to_a_person() {
    let lab = Lab::of(&["pass", "fail"]);
    let output = lab.expect(&["update"]);
    let said = out(&output);
    assert_eq!(output.status.code(), Some(0), "{said}{}", err(&output));
    for part in [
        "+- match: group/fail",
        "+  expect: fail",
        "+  because: TODO",
        "+  issue: TODO",
        "+# Failed in 2 of 2 runs",
        "+  failure: {",
    ] {
        assert!(said.contains(part), "{part} is missing:\n{said}");
    }
    assert!(!said.contains("match: group/pass") && err(&output).contains("next: say why"), "{said}{}", err(&output));
    let output = lab.run(&[]);
    assert!(output.status.code() == Some(3) && err(&output).contains("T0016"), "a waiver without a reason waives nothing");
    let written = lab.known();
    assert_eq!((lab.expect(&["update"]).status.code(), lab.known()), (Some(0), written.clone()), "nothing is written twice");
    let told =
        written.replace("because: TODO", "because: answers 200").replace("issue: TODO", "issue: https://tracker.example/ACME-2");
    let lab = lab.knowing(&told);
    let output = lab.run(&[]);
    assert!(
        output.status.success() && out(&output).contains("1 expectation matches 1 of 2 scenarios"),
        "{}{}",
        out(&output),
        err(&output)
    );
    assert!(out(&output).contains("XFAIL   1  (https://tracker.example/ACME-2 ×1)"), "{}", out(&output));
}

#[test]
fn update_keeps_every_word_that_is_there_and_takes_a_reason_for_all() {
    let known = KNOWN.split("\n\n# Nobody").next().expect("the first entry").to_owned() + "\n";
    let lab = Lab::of(&["pass", "fail"]).knowing(&known);
    let output = lab.expect(&["update", "--because", "answers 200: always", "--issue", "https://tracker.example/ACME-2"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(err(&output).contains("group/pass passes: `expect prune` takes expect.yaml:3 out"), "{}", err(&output));
    let now = lab.known();
    assert!(now.starts_with(&known) && now.contains("because: \"answers 200: always\""), "{now}");
    assert_eq!(lab.run(&["group/fail"]).status.code(), Some(0));
}

#[test]
fn a_dry_run_shows_the_difference_and_writes_nothing() {
    let lab = Lab::of(&["pass", "fail"]).knowing("# Empty so far.\n");
    let output = lab.expect(&["update", "--dry-run"]);
    assert!(output.status.success() && out(&output).contains("+- match: group/fail"), "{}", out(&output));
    assert_eq!(lab.known(), "# Empty so far.\n");
}

#[test]
fn where_nothing_fails_nothing_is_written() {
    let lab = Lab::of(&["pass"]);
    let output = lab.expect(&["update"]);
    assert!(output.status.success() && err(&output).contains("nothing to add") && out(&output).is_empty(), "{}", out(&output));
    assert!(!lab.path("expect.yaml").exists());
}

#[test]
fn what_differs_between_runs_becomes_flaky() {
    let lab = Lab::of(&["pass", "waver"]);
    let files = lab.runs_that_differ();
    let output =
        lab.expect(&["update", "--from", &files[0], &files[1], "--because", "loses datagrams", "--issue", "https://t.example/1"]);
    let now = lab.known();
    assert!(
        output.status.success() && now.contains("expect: flaky") && now.contains("Failed in 1 of 2 runs"),
        "{now}{}",
        err(&output)
    );
    assert!(!now.contains("group/pass"), "{now}");
    let lab = lab.knowing(&now.replace("expect: flaky", "expect: fail"));
    let output = lab.expect(&["update", "--from", &files[0], &files[1]]);
    assert_eq!(
        (output.status.code(), lab.known()),
        (Some(0), now),
        "an entry that is about nothing else is reworded: {}",
        err(&output)
    );
}

#[test]
fn one_run_or_a_run_of_another_target_or_half_a_run_tells_nothing() {
    let lab = Lab::of(&["pass", "fail"]);
    let whole = lab.run_file("whole.jsonl", &["--seed", "18"]);
    let output = lab.expect(&["update", "--from", &whole]);
    assert!(output.status.code() == Some(2) && err(&output).contains("U0034"), "{}", err(&output));
    let text = fs::read_to_string(lab.path("whole.jsonl")).expect("the run file");
    let cut: String = text.lines().take(text.lines().count() - 1).map(|line| format!("{line}\n")).collect();
    fs::write(lab.path("cut.jsonl"), cut).expect("a run file");
    let output = lab.expect(&["update", "--from", &whole, "cut.jsonl"]);
    assert!(output.status.code() == Some(6) && err(&output).contains("R0002"), "{}", err(&output));
    fs::write(lab.path("other.jsonl"), text.lines().next().expect("a header").replace("\"reference\"", "\"lab 1.0\""))
        .expect("a run file");
    let output = lab.expect(&["update", "--from", "other.jsonl"]);
    assert!(output.status.code() == Some(3) && err(&output).contains("R0004"), "{}", err(&output));
    assert!(!lab.path("expect.yaml").exists(), "nothing was written");
}

#[test]
fn prune_takes_out_what_passes_and_what_is_stale_and_nothing_else() {
    let stale = "- match: group/gone\n  expect: fail\n  because: was there\n  issue: https://tracker.example/ACME-3\n";
    let lab = Lab::of(&["pass", "fail"]).knowing(&format!("{KNOWN}\n{stale}"));
    let output = lab.expect(&["prune", "--dry-run"]);
    assert!(output.status.success() && lab.known().contains("group/gone"), "{}", err(&output));
    let output = lab.expect(&["prune"]);
    let said = out(&output);
    assert_eq!(output.status.code(), Some(0), "{said}{}", err(&output));
    assert!(said.contains("-- match: group/pass   # it was late once") && said.contains("-- match: group/gone"), "{said}");
    assert!(
        err(&output).contains("group/pass passed every time") && err(&output).contains("matches no scenario"),
        "{}",
        err(&output)
    );
    let kept = KNOWN.split("\n\n").collect::<Vec<_>>();
    assert_eq!(lab.known(), format!("{}\n\n{}", kept[0], kept[2]));
    assert_eq!(lab.run(&[]).status.code(), Some(0));
}

#[test]
fn prune_goes_by_run_files_too() {
    let lab = Lab::of(&["pass", "fail"]).knowing(KNOWN);
    let file = lab.run_file("run.jsonl", &["--seed", "18"]);
    let output = lab.expect(&["prune", "--from", &file]);
    assert!(
        output.status.success() && !lab.known().contains("group/pass") && lab.known().contains("group/fail"),
        "{}",
        err(&output)
    );
}

#[test]
fn a_mistake_that_is_not_theirs_stops_them_with_three() {
    let lab = Lab::of(&["pass", "fail"]).knowing(&KNOWN.replace("expect: fail", "expect: fails"));
    for what in ["update", "prune"] {
        let output = lab.expect(&[what]);
        assert!(output.status.code() == Some(3) && err(&output).contains("Y0010"), "{}", err(&output));
    }
    assert_eq!(lab.expect(&["update", "--runs", "1"]).status.code(), Some(2));
}

#[test]
fn a_target_without_a_file_is_told_where_to_name_one() {
    let lab = Lab::of(&["pass", "fail"]);
    let whole = fs::read_to_string(lab.path("cpmcheck.toml")).expect("the configuration");
    let nameless: String = whole.lines().filter(|line| !line.starts_with("expectations")).map(|line| format!("{line}\n")).collect();
    fs::write(lab.path("cpmcheck.toml"), nameless).expect("a configuration");
    let output = lab.expect(&["update"]);
    assert!(output.status.code() == Some(2) && err(&output).contains("U0033"), "{}", err(&output));
    let output = lab.expect(&["update", "--expectations", "own.yaml"]);
    assert!(output.status.success() && lab.path("own.yaml").is_file(), "{}", err(&output));
}

/// A suite, a configuration that names a file of expected failures, and what is in that.
struct Lab {
    suite: tempfile::TempDir,
    dir: tempfile::TempDir,
}

impl Lab {
    fn of(names: &[&str]) -> Self {
        let lab = Self { suite: suite(names), dir: tempfile::tempdir().expect("a folder") };
        let configuration = format!(
            "suite = '{}'\n\n[target.reference]\nkind = \"builtin\"\nexpectations = [\"expect.yaml\"]\n",
            lab.suite.path().display()
        );
        write(lab.dir.path(), "cpmcheck.toml", &configuration);
        lab
    }

    fn knowing(self, text: &str) -> Self {
        write(self.dir.path(), "expect.yaml", text);
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn known(&self) -> String {
        fs::read_to_string(self.path("expect.yaml")).expect("the file of expected failures")
    }

    fn expect(&self, arguments: &[&str]) -> Output {
        cpmcheck().current_dir(self.dir.path()).arg("expect").args(arguments).output().expect("the program")
    }

    /// Everything, judged and not compared.
    fn run(&self, arguments: &[&str]) -> Output {
        cpmcheck().current_dir(self.dir.path()).args(["run", "--seed", "18"]).args(arguments).output().expect("the program")
    }

    /// The name of a run file; nothing is expected of this run.
    fn run_file(&self, name: &str, arguments: &[&str]) -> String {
        let elsewhere = tempfile::tempdir().expect("a folder");
        let reporter = format!("jsonl={}", self.path(name).display());
        let mut command = cpmcheck();
        command.args(["run", "--update", "none", "--reporter", &reporter, "--suite"]).arg(self.suite.path());
        command.current_dir(elsewhere.path()).args(arguments).output().expect("the program");
        name.to_owned()
    }

    /// Run files of two seeds under one of which the wavering scenario fails.
    fn runs_that_differ(&self) -> [String; 2] {
        let mut found = [None, None];
        for seed in 1..40 {
            let name = self.run_file(&format!("{seed}.jsonl"), &["--seed", &seed.to_string()]);
            let text = fs::read_to_string(self.path(&name)).expect("the run file");
            found[usize::from(text.contains("\"gate\":\"FAIL\""))] = Some(name);
            if let [Some(passed), Some(failed)] = &found {
                return [failed.clone(), passed.clone()];
            }
        }
        panic!("the scenario does not waver");
    }
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
