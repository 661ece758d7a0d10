//! What tshark makes of a capture, beside what we make of it.

use std::path::Path;
use std::process::Command;

use cpmcheck::trace::Trace;
use cpmcheck::trace::event::{Content, Kind};

/// Whether tshark is there. It may be missing, but not where changes are gated.
pub(crate) fn has_tshark() -> bool {
    let here = Command::new("tshark").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(here || std::env::var_os("CI").is_none(), "tshark is missing: CI installs it");
    if !here {
        use std::io::Write as _;
        // Not by `eprintln!`, which is not heard of from a test that passes.
        let _ = writeln!(std::io::stderr(), "SKIPPED: tshark is not installed, so nothing was tried against it");
    }
    here
}

/// A tshark that reads a capture of ours.
pub(crate) fn tshark(path: &Path) -> Command {
    let mut command = Command::new("tshark");
    // What was said inside of TLS is written as it was there.
    command.arg("-r").arg(path).args(["-d", "tcp.port==2855,msrp", "-d", "tcp.port==5061,sip"]);
    command.args(["-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]);
    command
}

/// For each message that tshark sees its method or status code.
pub(crate) fn dissected(path: &Path) -> Vec<String> {
    let fields = ["sip.Method", "sip.Status-Code", "msrp.method", "msrp.status.code"];
    let mut command = tshark(path);
    command.args(["-T", "fields", "-E", "separator=|", "-E", "occurrence=f", "-Y", "sip or msrp"]);
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = command.output().expect("tshark runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(|line| line.replace('|', "")).collect()
}

/// Frames that tshark calls malformed, or whose checksums are wrong.
pub(crate) fn malformed(path: &Path) -> String {
    let filter = "_ws.malformed or tcp.checksum.status == 0 or udp.checksum.status == 0 or ip.checksum.status == 0";
    let output = tshark(path).args(["-Y", filter]).output().expect("tshark runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The method or status code of each message, as we read it.
pub(crate) fn told(trace: &Trace) -> Vec<String> {
    let word = |content: &Content| match content {
        // To a dissector of SIP 2.0 another version is none, nor what follows it in a stream.
        Content::Sip(message) if !message.version().ends_with("/2.0") => "broken".to_owned(),
        Content::Sip(message) => match message.status() {
            Some(code) => code.to_string(),
            None => message.method_token().unwrap_or_default().to_owned(),
        },
        Content::Msrp(chunk) => chunk.code().map_or_else(|| chunk.method().unwrap_or_default().to_owned(), |code| code.to_string()),
        Content::Broken { .. } => "broken".to_owned(),
    };
    let events = trace.events.iter();
    events.filter_map(|event| if let Kind::Message { content, .. } = &event.kind { Some(word(content)) } else { None }).collect()
}
