//! Captures of runs on real sockets, as tshark sees them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cpmcheck::report::jsonl;

use super::tshark::{dissected, has_tshark, malformed, told};

const SCENARIOS: [&str; 2] = ["group/notification-among-messages", "group/large-message"];
const TARGETS: [&str; 3] = ["self:udp", "self:tcp", "self:tls"];

fn cpmcheck(args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cpmcheck"));
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program")
}

/// A run that keeps every message; its file.
fn run(folder: &Path, target: &str) -> (PathBuf, Child) {
    let file = folder.join(format!("{}.jsonl", target.replace(':', "-")));
    let reporter = format!("jsonl={}", file.display());
    let mut args = vec!["run", "--target", target, "--trace", "on", "--timeout-scale", "2", "--reporter", &reporter];
    args.extend(SCENARIOS);
    (file, cpmcheck(&args))
}

#[test]
fn tshark_agrees_on_every_message_of_runs_over_udp_tcp_and_tls() {
    if !has_tshark() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (mut captures, mut messages) = (0, 0);
    for (file, mut run) in TARGETS.map(|target| run(folder.path(), target)) {
        // Which verdict it comes to is the affair of other tests.
        run.wait().expect("it ends");
        let exported = file.with_extension("captures");
        std::fs::create_dir(&exported).expect("a folder");
        let exporting = cpmcheck(&["trace", "export", &file.display().to_string(), "--output", &exported.display().to_string()]);
        assert!(exporting.wait_with_output().expect("it ends").status.success(), "{} cannot be exported", file.display());
        let stored = jsonl::read(&std::fs::read_to_string(&file).expect("a run file")).expect("a run file");
        // Files are named after scenarios, and stand in another order.
        let mut ours: Vec<Vec<String>> = stored.outcomes.iter().filter_map(|outcome| outcome.trace.as_ref()).map(told).collect();
        assert_eq!(ours.len(), SCENARIOS.len(), "a trace for each scenario");
        for capture in std::fs::read_dir(&exported).expect("a folder").map(|capture| capture.expect("a file").path()) {
            assert_eq!(malformed(&capture), "", "{}", capture.display());
            let theirs = dissected(&capture);
            let at = ours.iter().position(|ours| *ours == theirs);
            ours.remove(at.unwrap_or_else(|| panic!("{}: tshark sees {theirs:?}, of which we know nothing", capture.display())));
            messages += theirs.len();
            captures += 1;
        }
        assert!(ours.is_empty(), "a capture for each trace");
    }
    assert!(captures == TARGETS.len() * SCENARIOS.len() && messages > 100, "{messages} messages in {captures} captures");
}
