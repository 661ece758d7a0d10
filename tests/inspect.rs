//! `cpmcheck inspect` as a process: what it prints, and its exit codes.

use std::path::{Path, PathBuf};

use assert_cmd::Command;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wire").join(name)
}

fn inspect() -> Command {
    let mut command = Command::cargo_bin("cpmcheck").expect("the binary is built");
    command.arg("inspect");
    command
}

fn broken(folder: &tempfile::TempDir) -> PathBuf {
    let file = folder.path().join("broken.sip");
    std::fs::write(&file, "OPTIONS sip:a@b.example SIP/2.0\r\nX: \u{1b}[2J\r\nCSeq: 1 BYE\r\n\r\n").expect("written");
    file
}

#[test]
fn nothing_wrong_exits_with_0() {
    let output =
        inspect().args([fixture("invite.sip"), fixture("odd.sip"), fixture("send.msrp")]).assert().code(0).get_output().clone();
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(text.matches("nothing wrong").count(), 3, "{text}");
    assert!(
        text.contains("\n    Accept-Contact: *;+g.3gpp.icsi-ref=") && text.contains("\n        m=message 2855 TCP/MSRP *\n"),
        "{text}"
    );
}

#[test]
fn something_wrong_exits_with_1_and_shows_no_control_characters() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = inspect().arg(broken(&folder)).assert().code(1).get_output().clone();
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        text.contains("error[sip-cseq-method]: CSeq names BYE, the request line does not (RFC 3261 8.1.1.5; line 3, byte "),
        "{text}"
    );
    assert!(text.contains("\\x1b[2J") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn json_is_one_object_per_file_and_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let output =
        inspect().arg("--format").arg("json").args([fixture("invite.sip"), broken(&folder)]).assert().code(1).get_output().clone();
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let objects: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(objects.len(), 2);
    let keys: Vec<&String> = objects[0].as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["file", "protocol", "parsed", "lossless", "violations"]);
    assert_eq!((&objects[0]["protocol"], &objects[0]["lossless"]), (&"sip".into(), &true.into()));
    let violation = objects[1]["violations"][0].as_object().expect("a violation");
    assert_eq!(violation.keys().collect::<Vec<_>>(), ["code", "level", "offset", "rfc", "message"]);
}

#[test]
fn the_transport_decides_whether_content_length_is_owed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bye.sip");
    let head = "BYE sip:a@b.example SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKa\r\nMax-Forwards: 70\r\n";
    std::fs::write(
        &file,
        format!("{head}From: <sip:a@b.example>;tag=1\r\nTo: <sip:b@b.example>;tag=2\r\nCall-ID: c\r\nCSeq: 1 BYE\r\n\r\n"),
    )
    .expect("written");
    inspect().arg(&file).assert().code(0);
    inspect().args(["--transport", "tcp"]).arg(&file).assert().code(1);
    inspect().args(["--as", "msrp"]).arg(&file).assert().code(1);
}

#[test]
fn an_unreadable_file_or_a_wrong_option_exits_with_2_whatever_else_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = inspect().args([broken(&folder), folder.path().join("absent.sip")]).assert().code(2).get_output().clone();
    assert!(String::from_utf8_lossy(&output.stderr).contains("error[U0010]: cannot read "));
    inspect().args(["--as", "xmpp"]).arg(fixture("invite.sip")).assert().code(2);
    inspect().assert().code(2);
}
