//! What an editor of the change request asks: what is meant here, and does the catalogue still follow
//! the text.

mod common;

use std::fs;
use std::path::Path;

use common::{cpmcheck, suite, write};
use cpmcheck::policy;
use cpmcheck::suite::fingerprint::Fingerprint;

const SENTENCE: &str = "The node SHALL answer each REGISTER request of the core within five seconds;";

/// A suite whose first requirement comes from [`SENTENCE`], and a text that holds it.
fn with_fingerprint(text: &str) -> tempfile::TempDir {
    let dir = suite(&["pass"]);
    let catalogue = fs::read_to_string(dir.path().join("requirements.yaml")).expect("a catalogue");
    let print = Fingerprint::of(SENTENCE).expect("a sentence");
    let line = format!("  clause: 8.3.2.9\n  fingerprint: {print}\n");
    write(dir.path(), "requirements.yaml", &catalogue.replacen("  clause: 8.3.2.9\n", &line, 1));
    write(dir.path(), "cr.txt", text);
    dir
}

/// What `lint --text` prints, and its exit code.
fn compared(dir: &Path, flags: &[&str]) -> (String, i32) {
    let mut command = cpmcheck();
    let output =
        command.args(["lint", "--text"]).arg(dir.join("cr.txt")).arg("--suite").arg(dir).args(flags).output().expect("it runs");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().expect("a code"))
}

#[test]
fn a_text_that_was_not_edited_is_as_the_catalogue_knows_it() {
    let dir = with_fingerprint(&format!("1) Registration\na. {SENTENCE}\nb. nothing else.\n"));
    assert_eq!(compared(dir.path(), &[]), (String::new(), 0));
}

#[test]
fn a_changed_sentence_names_its_requirement_until_it_is_taken_over() {
    let dir = with_fingerprint(&format!("1) Registration\na. {}\nb. nothing else.\n", SENTENCE.replace("five", "ten")));
    let (told, code) = compared(dir.path(), &[]);
    assert!(code == 5 && told.starts_with("changed    DGC-9-01  SHALL  8.3.2.9  line 2"), "{told}");
    assert!(told.contains("> a. The node SHALL answer"), "{told}");
    assert_eq!(compared(dir.path(), &["--update"]).1, 0);
    assert_eq!(compared(dir.path(), &[]), (String::new(), 0));
}

#[test]
fn a_sentence_that_is_gone_and_one_that_is_new_are_told() {
    let dir = with_fingerprint("1) Registration\na. The core MAY send what it likes.\n");
    let (told, code) = compared(dir.path(), &[]);
    assert_eq!(code, 5);
    assert!(told.contains("gone       DGC-9-01") && told.contains("new        line 2"), "{told}");
}

#[test]
fn a_text_that_is_not_there_is_an_invalid_input() {
    let dir = with_fingerprint("");
    fs::remove_file(dir.path().join("cr.txt")).expect("it was there");
    assert_eq!(compared(dir.path(), &[]).1, 3);
}

fn explained(topic: &[&str]) -> String {
    let mut command = cpmcheck();
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).arg("explain").args(topic).output().expect("it runs");
    assert!(output.status.success(), "{topic:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn every_knob_is_listed_with_its_type_its_default_and_its_reading() {
    let text = explained(&["--policies"]);
    for knob in policy::knobs() {
        let block = text.split("\n\n").find(|block| block.starts_with(&format!("{}\n", knob.name))).unwrap_or_default();
        assert!(block.contains(knob.doc) && block.contains(&format!("default  {}", knob.default)), "{}: {block}", knob.name);
        assert!(block.contains(&format!("type     {}", knob.kind.name())), "{}: {block}", knob.name);
        assert!(knob.reading.is_none_or(|reading| block.contains(reading)), "{}: {block}", knob.name);
    }
}

#[test]
fn a_reading_tells_both_sides_its_knob_and_the_scenarios_that_differ() {
    let text = explained(&["AMB-10"]);
    for part in [
        "concerns",
        "DGC-9-02",
        "ours ",
        "other ",
        "bye.no-reason = leave",
        "told apart by",
        "policy/bye-without-reason",
        "@defer",
        "as we read it",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(explained(&["amb-18"]).contains("other "));
}

#[test]
fn a_requirement_shows_its_rule_what_breaks_it_and_who_shows_it() {
    let text = explained(&["DGC-9-02"]);
    for part in
        ["SHALL", "8.3.2.9", "rule, ", "requirements.yaml:", "when:", "tamper case", "proven(", "group/missed-messages", "AMB-10"]
    {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!text.contains("AMB-18"), "a reading of another requirement of the clause is told: {text}");
    assert!(explained(&["8.3.2.9.1.4"]).contains("DGC-1.4-02"));
    assert!(explained(&["c0204"]).starts_with("C0204: "));
}
