//! An implementation that says that it cannot: declared, not declared, and declared otherwise, through
//! the binary, around a peer that answers OPTIONS with 200 and everything else with 501.
#![cfg(target_os = "linux")]

mod common;
#[path = "common/runs.rs"]
mod runs;

use std::fmt::Write as _;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use common::{suite, write};
use runs::{UNCOMPARED, run};

const UNSUPPORTED: &str =
    "- match: group/pass\n  expect: unsupported\n  because: nothing is registered there\n  issue: https://tracker.example/ACME-9\n";

#[test]
fn what_nobody_declared_fails() {
    let output = Lab::new().run(&[]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", text(&output.stderr));
    assert!(said.contains("UNSUP! group/pass") && said.contains("neither PICS nor expectations declare that"), "{said}");
    assert!(said.contains("exit 1 (conformance): 1 UNSUP!"), "{said}");
}

#[test]
fn what_is_declared_true_fails_and_the_feature_is_named() {
    let lab = Lab::new().claiming("features: { register: true }\n");
    let output = lab.run(&["--reporter", "junit=junit.xml"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("UNSUP! group/pass") && said.contains("feature register is declared true"), "{said}");
    let xml = std::fs::read_to_string(lab.dir.path().join("junit.xml")).expect("the report");
    assert!(xml.contains("<failure") && xml.contains("feature register is declared true"), "{xml}");
}

#[test]
fn an_expectation_against_the_claim_is_a_mistake() {
    let output = Lab::new().claiming("features: { register: true }\n").expecting(UNSUPPORTED).run(&[]);
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("T0012"), "{said}");
}

#[test]
fn what_is_declared_as_unsupported_is_waived_and_counted() {
    let output = Lab::new().expecting(UNSUPPORTED).run(&[]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    assert!(
        said.contains("UNSUP   1  (https://tracker.example/ACME-9 ×1)") && said.ends_with("0 passed, 0 failed, 1 skipped\n"),
        "{said}"
    );
}

#[test]
fn what_is_not_claimed_is_not_asked_for() {
    let output = Lab::new().claiming("features: { register: false }\n").run(&[]);
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(4) && said.contains("feature register is not claimed"), "{said}");
}

#[test]
fn update_writes_unsupported_where_nothing_else_is_claimed() {
    for (claim, word) in [("features: {}\n", "expect: unsupported"), ("features: { register: true }\n", "expect: fail")] {
        let lab = Lab::new().claiming(claim);
        let output = lab.cpmcheck(&["expect", "update", "--target", "lab", "--expectations", "new.yaml"]);
        let said = text(&output.stdout);
        assert!(output.status.success() && said.contains(word), "{said}{}", text(&output.stderr));
    }
}

#[test]
fn expectations_hold_for_the_versions_that_they_name() {
    for (version, code) in [("<4.2", 0), (">=4.2", 1)] {
        let output = Lab::new().expecting(&format!("{UNSUPPORTED}  when: {{ target-version: \"{version}\" }}\n")).run(&[]);
        assert_eq!(output.status.code(), Some(code), "{version}: {}", text(&output.stdout));
    }
}

/// A peer that can nothing, and a configuration that leads to it.
struct Lab {
    suite: tempfile::TempDir,
    dir: tempfile::TempDir,
    more: Vec<String>,
    over: Arc<AtomicBool>,
    peer: Option<JoinHandle<()>>,
}

impl Lab {
    fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let third = (std::process::id() % 16) as u8 * 16 + NEXT.fetch_add(1, Ordering::Relaxed) % 16;
        let at = |number| Ipv4Addr::new(127, 252, third, number);
        let mut lab = Self {
            suite: suite(&["pass"]),
            dir: tempfile::tempdir().expect("a folder"),
            more: Vec::new(),
            over: Arc::default(),
            peer: None,
        };
        write(
            lab.dir.path(),
            "cpmcheck.toml",
            &format!(
                "[target.lab]\nkind = \"address\"\nversion = \"4.1\"\ntimers = {{ speed = 30 }}\nroles = {{ pf = \"udp:{}:5070\" }}\n\n[target.lab.listen]\n\
                 core = \"{}\"\nregistrar = \"{}\"\ncf = []\nclient = [\"{}\"]\n",
                at(1),
                at(2),
                at(3),
                at(4)
            ),
        );
        let socket = UdpSocket::bind((at(1), 5070)).expect("the address of the peer");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket that does not wait for ever");
        let over = Arc::clone(&lab.over);
        lab.peer = Some(std::thread::spawn(move || refuse(&socket, &over)));
        lab
    }

    fn with(mut self, flag: &str, name: &str, text: &str) -> Self {
        write(self.dir.path(), name, text);
        self.more.extend([flag.to_owned(), name.to_owned()]);
        self
    }

    fn claiming(self, text: &str) -> Self {
        self.with("--pics", "pics.yaml", text)
    }

    fn expecting(self, text: &str) -> Self {
        self.with("--expectations", "expect.yaml", text)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = run(self.suite.path(), &[&UNCOMPARED[..], &["--target", "lab"]].concat());
        command.current_dir(self.dir.path()).args(&self.more).args(arguments).output().expect("the program")
    }

    fn cpmcheck(&self, arguments: &[&str]) -> Output {
        let mut command = common::cpmcheck();
        command.current_dir(self.dir.path()).args(arguments).args(&self.more).arg("--suite").arg(self.suite.path());
        command.output().expect("the program")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(peer) = self.peer.take() {
            peer.join().expect("the peer ends");
        }
    }
}

/// Answers requests until it is over.
fn refuse(socket: &UdpSocket, over: &AtomicBool) {
    let mut buffer = [0; 65_536];
    while !over.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if let Some(answer) = answer(&request) {
            // Who asked may be gone by now.
            let _ = socket.send_to(answer.as_bytes(), from);
        }
    }
}

fn answer(request: &str) -> Option<String> {
    let mut lines = request.split("\r\n");
    let method = lines.next()?.split(' ').next()?;
    let status = match method {
        "ACK" | "SIP/2.0" => return None,
        "OPTIONS" => "200 OK",
        _ => "501 Not Implemented",
    };
    let mut out = format!("SIP/2.0 {status}\r\n");
    for line in lines.take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or("").trim().to_ascii_lowercase();
        let tag = if name == "to" && !line.contains(";tag=") { ";tag=cannot" } else { "" };
        if ["via", "from", "to", "call-id", "cseq"].contains(&name.as_str()) {
            // Writing to a string does not fail.
            let _ = write!(out, "{line}{tag}\r\n");
        }
    }
    Some(out + "Content-Length: 0\r\n\r\n")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
