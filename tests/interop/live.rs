//! Captures of runs on real sockets, as tshark sees them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cpmcheck::report::jsonl;
use cpmcheck::trace::Trace;
use cpmcheck::trace::event::{Content, Event, Kind};

use super::peers::{has, skip};
use super::tshark::{dissected, has_tshark, malformed, told, tshark};

const SCENARIOS: [&str; 2] = ["group/notification-among-messages", "group/large-message"];
const TARGETS: [&str; 3] = ["self:udp", "self:tcp", "self:tls"];

fn cpmcheck(args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cpmcheck"));
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program")
}

/// A run that keeps every message; its file.
fn run(folder: &Path, target: &str, scenarios: &[&str]) -> (PathBuf, Child) {
    let file = folder.join(format!("{}.jsonl", target.replace(':', "-")));
    let reporter = format!("jsonl={}", file.display());
    let mut args = vec!["run", "--target", target, "--trace", "on", "--timeout-scale", "2", "--reporter", &reporter];
    args.extend(scenarios);
    (file, cpmcheck(&args))
}

fn traces(run: &Path) -> Vec<Trace> {
    let stored = jsonl::read(&std::fs::read_to_string(run).expect("a run file")).expect("a run file");
    stored.outcomes.into_iter().filter_map(|outcome| outcome.trace).collect()
}

#[test]
fn tshark_agrees_on_every_message_of_runs_over_udp_tcp_and_tls() {
    if !has_tshark() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (mut captures, mut messages) = (0, 0);
    for (file, mut run) in TARGETS.map(|target| run(folder.path(), target, &SCENARIOS)) {
        // Which verdict it comes to is the affair of other tests.
        run.wait().expect("it ends");
        let exported = file.with_extension("captures");
        std::fs::create_dir(&exported).expect("a folder");
        let exporting = cpmcheck(&["trace", "export", &file.display().to_string(), "--output", &exported.display().to_string()]);
        assert!(exporting.wait_with_output().expect("it ends").status.success(), "{} cannot be exported", file.display());
        // Files are named after scenarios, and stand in another order.
        let mut ours: Vec<Vec<String>> = traces(&file).iter().map(told).collect();
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

/// The kernel's own record of what passes the loopback device, until it is ended.
struct Caught {
    dumpcap: Child,
}

impl Caught {
    /// Begins, unless this user may not.
    fn begin(file: &Path) -> Option<Self> {
        let mut dumpcap = Command::new("dumpcap")
            .args(["-q", "-i", "lo", "-f", "tcp or udp", "-w"])
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("dumpcap starts");
        // It names its file once it has begun.
        let said = BufReader::new(dumpcap.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let begun = said.take_while(|line| !line.contains("permission")).any(|line| line.starts_with("File:"));
        if !begun {
            let _ = dumpcap.kill();
            let _ = dumpcap.wait();
        }
        begun.then_some(Self { dumpcap })
    }

    /// Ends, and has everything written.
    fn end(mut self) {
        let asked = Command::new("kill").args(["-INT", &self.dumpcap.id().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()) && self.dumpcap.wait().is_ok(), "dumpcap ends");
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.dumpcap.kill();
        let _ = self.dumpcap.wait();
    }
}

/// How often each SIP method and status code comes, as tshark sees it; a segment may hold several.
fn counted(path: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for field in ["sip.Method", "sip.Status-Code"] {
        let mut command = tshark(path);
        command.args(["-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,", "-Y", field, "-e", field]);
        let output = command.output().expect("tshark runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for word in text.lines().flat_map(|line| line.split(',')) {
            *counts.entry(word.to_owned()).or_default() += 1;
        }
    }
    counts
}

#[test]
fn what_the_kernel_caught_of_a_run_holds_what_we_recorded_and_passes_too() {
    if !has_tshark() || !has("dumpcap") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (all, own) = (folder.path().join("all.pcapng"), folder.path().join("own.pcapng"));
    let Some(caught) = Caught::begin(&all) else {
        skip("the right to capture packets");
        return;
    };
    let (file, mut run) = run(folder.path(), "self:tcp", &["group/large-message"]);
    assert!(run.wait().expect("it ends").success(), "the run passes");
    caught.end();
    let trace = traces(&file).remove(0);
    // Other tests use the same device.
    let address = trace.events.iter().find_map(|event| match &event.kind {
        Kind::Message { link, sent: true, .. } => Some(link.source.ip()),
        _ => None,
    });
    let filter = format!("ip.addr == {}", address.expect("the PF says something"));
    let mut narrowed = Command::new("tshark");
    narrowed.arg("-r").arg(&all).args(["-Y", &filter, "-w"]).arg(&own);
    assert!(narrowed.output().expect("tshark runs").status.success());
    // What follows the last step is caught and not recorded; of MSRP tshark sees the first chunk of a segment.
    let is_sip = |event: &&Event| matches!(event.kind, Kind::Message { content: Content::Sip(_), .. });
    let events = trace.events.iter().filter(is_sip).cloned().collect();
    let mut theirs = counted(&own);
    for word in told(&Trace { events, ..trace }) {
        let left = theirs.get_mut(&word).filter(|left| **left > 0);
        *left.unwrap_or_else(|| panic!("tshark misses a {word}")) -= 1;
    }
    let output = tshark(&own).args(["-Y", "_ws.malformed"]).output().expect("tshark runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let judged = Command::new(env!("CARGO_BIN_EXE_cpmcheck")).arg("judge").arg(&own).output().expect("the program");
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.success() && said.starts_with("pass "), "{said}");
}
