//! A small suite of its own for tests of the binary: every scenario has one known outcome.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

const SUITE: &str = "\
title: A suite for tests
spec: none
defaults: { within: 5s, delay: 1ms, seed: 17 }
identities:
  bob:
    uri: sip:bob@home1.example
    devices: { phone: urn:uuid:2ad8950e-48a5-4a74-8d99-ad76cc7fc74c }
";

const REQUIREMENTS: &str = "\
DGC-9-01:
  clause: 8.3.2.9
  level: SHALL
  actor: pf
  summary: A REGISTER is answered
  rule:
    per: transaction
    when: { core -> pf REGISTER: {} }
    then: { pf -> core 200: { answers: REGISTER } }
    within: 5s
  tamper:
    - name: unanswered
      on: { pf -> core 200: { answers: REGISTER } }
      drop: true
DGC-9-02:
  clause: 8.3.2.9
  level: SHALL
  actor: pf
  summary: A REGISTER is followed by another one within the hour
  rule:
    per: trace
    when: { core -> pf REGISTER: { Expires: 600 } }
    then: { core -> pf REGISTER: { Expires: 700 } }
    within: 1h
";

/// A scenario that registers bob and expects this answer.
pub(crate) fn scenario(title: &str, requirements: &str, expires: u32, answer: u16) -> String {
    format!(
        "title: {title}\nrequirements: [{requirements}]\ntags: [register]\nactors: {{ bob: client, core: core }}\nflow:\n\
         \x20 - core -> pf REGISTER: {{ id: register, To.uri: bob, Expires: {expires} }}\n\
         \x20 - pf -> core {answer}: {{ answers: register }}\n\
         \x20 - never: {{ pf -> bob INVITE: {{}} }}\n\
         \x20   for: 1s\n"
    )
}

/// A suite with the named scenarios: `pass`, `fail`, `open`, `waver` (which hangs on the seed).
pub(crate) fn suite(names: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder for the suite");
    write(dir.path(), "suite.yaml", SUITE);
    write(dir.path(), "requirements.yaml", REQUIREMENTS);
    for name in names {
        let text = match *name {
            "pass" => scenario("A REGISTER is answered 200", "DGC-9-01", 800, 200),
            "fail" => scenario("Nobody answers 404", "DGC-9-01", 800, 404),
            "open" => scenario("A deadline is open at the end", "DGC-9-02", 600, 200),
            "waver" => scenario("A REGISTER that may be lost is answered at once", "DGC-9-01", 800, 200)
                .replace("flow:\n", "flow:\n  - link: { from: core, to: pf, loss: 0.5 }\n")
                .replace("{ answers: register }", "{ answers: register, within: 100ms }"),
            "broken" => "title: [\n".to_owned(),
            other => panic!("there is no scenario {other}"),
        };
        write(dir.path(), &format!("group/{name}.yaml"), &text);
    }
    dir
}

/// Writes a file of a suite.
pub(crate) fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().expect("a file in a folder")).expect("the folder can be made");
    fs::write(path, text).expect("the file can be written");
}

/// The binary, with an environment of its own.
pub(crate) fn cpmcheck() -> Command {
    let mut command = Command::cargo_bin("cpmcheck").expect("the binary is built");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CPMCHECK_")) {
        command.env_remove(name);
    }
    command.env_remove("CI").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env_remove("FORCE_COLOR");
    command.current_dir(std::env::temp_dir());
    command
}
