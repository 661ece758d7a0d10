//! Captures of runs on real sockets, as tshark sees them.

use std::process::Command;

use cpmcheck::report::jsonl;

use super::tshark::{dissected, has_tshark, malformed, told};

const SCENARIOS: [&str; 3] = ["group/leaves-voluntarily", "group/nothing-missed", "notification/*"];

#[test]
fn tshark_agrees_on_every_message_of_runs_over_udp_tcp_and_tls() {
    if !has_tshark() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (mut captures, mut messages) = (0, 0);
    for target in ["self:udp", "self:tcp", "self:tls"] {
        let run = folder.path().join(format!("{}.jsonl", target.replace(':', "-")));
        let exported = run.with_extension("captures");
        std::fs::create_dir(&exported).expect("a folder");
        let cpmcheck = |args: &[&str]| {
            let output = Command::new(env!("CARGO_BIN_EXE_cpmcheck")).args(args).output().expect("the program");
            assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let reporter = format!("jsonl={}", run.display());
        let mut args = vec!["run", "--target", target, "--trace", "on", "--timeout-scale", "4", "--reporter", &reporter];
        args.extend(SCENARIOS);
        cpmcheck(&args);
        let (run, exported) = (run.display().to_string(), exported.display().to_string());
        cpmcheck(&["trace", "export", &run, "--output", &exported]);
        let stored = jsonl::read(&std::fs::read_to_string(&run).expect("a run file")).expect("a run file");
        let traces: Vec<_> = stored.outcomes.into_iter().filter_map(|outcome| outcome.trace).collect();
        let mut files: Vec<_> = std::fs::read_dir(&exported).expect("a folder").map(|file| file.expect("a file").path()).collect();
        files.sort();
        assert_eq!(files.len(), traces.len(), "a capture for each trace");
        // The names of files say which scenario they are of, and not in which order it ran.
        let mut ours: Vec<Vec<String>> = traces.iter().map(told).collect();
        for file in &files {
            assert_eq!(malformed(file), "", "{}", file.display());
            let theirs = dissected(file);
            let at = ours.iter().position(|ours| *ours == theirs);
            messages += theirs.len();
            captures += 1;
            ours.remove(at.unwrap_or_else(|| panic!("{}: tshark sees {theirs:?}, of which we know nothing", file.display())));
        }
    }
    println!("tshark agrees on {messages} messages in {captures} captures of runs on sockets");
}
