//! A target that is not ours: a PF in a process that only the addresses of a configuration lead to.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering};

use certificates::Certificates;
use cpmcheck::report::jsonl;
use cpmcheck::trace::Trace;
use cpmcheck::trace::event::{Content, Kind};
use cpmcheck::wire::sip::Message;

#[path = "common/certificates.rs"]
mod certificates;

/// The certificate of the PF, for the name by which the suite knows it.
static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(|| Certificates::make("foreign", "pf.home1.example"));

#[test]
fn scenarios_are_played_over_udp_around_a_pf_that_somebody_else_runs() {
    played_over("udp", ["group/invitation-repeats-the-original", "group/large-message"]);
}

#[test]
fn scenarios_are_played_over_tcp_around_a_pf_that_somebody_else_runs() {
    played_over("tcp", ["group/reinvite-mirrored", "one-to-one/large-message"]);
}

#[test]
fn scenarios_are_played_over_tls_around_a_pf_whose_certificate_is_checked() {
    played_over("tls", ["group/invitation-repeats-the-original", "one-to-one/first-message-of-the-sender"]);
}

/// Plays scenarios in which the PF stores what a lost device misses and delivers it.
fn played_over(transport: &str, picked: [&str; 2]) {
    let lab = Lab::new(transport, Controlled::Fully);
    let run_file = lab.path("run.jsonl");
    let output = lab.run(&[&picked[..], &["--trace", "on", "--reporter", &format!("jsonl={}", run_file.display())]].concat());
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(said.contains("target lab 1.0") && said.contains("clock real"), "{said}");
    assert!(said.ends_with("\n2 passed, 0 failed\n"), "{said}");
    let run = jsonl::read(&fs::read_to_string(run_file).expect("the run file")).expect("a run file");
    let traces: Vec<&Trace> = run.outcomes.iter().filter_map(|outcome| outcome.trace.as_ref()).collect();
    assert_eq!(traces.len(), 2);
    traces.into_iter().for_each(|trace| assert_all_sip_goes_over(transport, trace));
}

/// All SIP goes over one transport; but UDP leaves requests of more than 1300 bytes to TCP, with
/// what belongs to their transactions (RFC 3261 18.1.1).
fn assert_all_sip_goes_over(wanted: &str, trace: &Trace) {
    let sip = || {
        trace.events.iter().filter_map(|event| match &event.kind {
            Kind::Message { link, content: Content::Sip(message), .. } => Some((link.transport, message)),
            _ => None,
        })
    };
    let branch = |message: &Message| message.via().ok().and_then(|via| via.branch().map(str::to_owned));
    let is_long = |message: &Message| message.is_request() && message.encode().len() > 1300;
    let long: BTreeSet<_> = sip().filter(|(_, message)| is_long(message)).filter_map(|(_, message)| branch(message)).collect();
    assert!(sip().count() > 10, "there is SIP");
    for (transport, message) in sip() {
        let exempt = wanted == "udp" && branch(message).is_some_and(|branch| long.contains(&branch));
        let wanted = if exempt { "tcp" } else { wanted };
        assert!(transport.token().eq_ignore_ascii_case(wanted), "{transport} in place of {wanted}: {message:?}");
    }
}

#[test]
fn a_certificate_of_nobody_known_keeps_a_run_from_beginning() {
    let lab = Lab::new("tls", Controlled::Not);
    let other = &*certificates::OURS;
    lab.write("authority.pem", &fs::read_to_string(other.authority()).expect("a certificate"));
    let output = lab.run(&["group/invitation-repeats-the-original"]);
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(7) && said.contains("E0730"), "{said}");
}

#[test]
fn a_restart_and_other_policies_are_asked_for_by_commands() {
    let lab = Lab::new("udp", Controlled::Fully);
    let output = lab.run(&["store/restart-keeps-notifications", "store/limit-of-messages"]);
    let said = text(&output.stdout);
    assert!(output.status.success() && said.contains("0 failed"), "{said}{}", text(&output.stderr));
    let told = fs::read_to_string(lab.dir.path().join("told")).expect("what the commands were told");
    assert!(told.lines().any(|line| line == "restart") && told.contains("policy store.max-messages="), "{told}");
}

#[test]
fn what_the_target_does_not_offer_is_not_applicable_with_the_reason() {
    let lab = Lab::new("udp", Controlled::Not);
    let xml = lab.dir.path().join("junit.xml");
    let reporter = format!("junit={}", xml.display());
    let picked = ["store/restart-keeps-notifications", "store/failed-commit", "store/limit-of-messages", "group/reinvite-mirrored"];
    let output = lab.run(&[&picked[..], &["--reporter", &reporter]].concat());
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for reason in [
        "N/A     1  needs a restart of the PF, which the target does not offer",
        "needs the policy store.max-messages =",
        "needs the policy store.commit-fail =",
    ] {
        assert!(said.contains(reason), "{reason} is missing:\n{said}");
    }
    assert!(said.contains("1 passed, 0 failed, 4 skipped"), "{said}");
    let xml = fs::read_to_string(xml).expect("the report");
    assert!(xml.contains("<skipped message=\"N/A: needs a restart") && xml.contains("value=\"lab 1.0\""), "{xml}");
}

#[test]
fn a_target_that_is_not_there_is_no_failure_of_its_own() {
    let lab = Lab::new("udp", Controlled::Not);
    lab.control("stop");
    let output = lab.run(&["group/reinvite-mirrored"]);
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(7) && said.contains("E0730") && said.contains("cpmcheck doctor --target lab"), "{said}");
    let output = lab.cpmcheck(&["doctor", "--target", "lab"]);
    let said = text(&output.stdout);
    assert!(
        output.status.code() == Some(7) && said.contains("fail  pf udp:") && said.contains("mend: check that it listens"),
        "{said}"
    );
}

#[test]
fn the_doctor_finds_everything_in_its_place() {
    for (transport, own) in [("udp", "ok    pf msrp 127."), ("tls", "OPTIONS is answered")] {
        let lab = Lab::new(transport, Controlled::Fully);
        let output = lab.cpmcheck(&["doctor", "--target", "lab"]);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
        for line in
            ["ok    suite", "ok    configuration", "ok    pics", "ok    core 127.", "OPTIONS is answered", "ok    control", own]
        {
            assert!(said.contains(line), "{line} is missing:\n{said}");
        }
    }
}

#[test]
fn the_doctor_says_that_no_certificate_is_checked_where_the_target_trusts_none_by_name() {
    let lab = Lab::new("tls", Controlled::Not);
    let trusting = fs::read_to_string(lab.path("cpmcheck.toml")).expect("the configuration");
    lab.write("cpmcheck.toml", &trusting.replace("tls = { trusted = \"authority.pem\" }\n", ""));
    let output = lab.cpmcheck(&["doctor", "--target", "lab"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    assert!(said.contains("any certificate is taken, since the target names none to trust"), "{said}");
}

#[test]
fn an_address_that_is_taken_is_told_by_the_doctor() {
    let lab = Lab::new("udp", Controlled::Not);
    let _taken = std::net::TcpListener::bind((lab.address(2), 5060)).expect("the address of the core");
    let output = lab.cpmcheck(&["doctor", "--target", "lab"]);
    let said = text(&output.stdout);
    assert!(output.status.code() == Some(7) && said.contains("is in use by another process"), "{said}");
}

#[test]
fn a_target_that_nobody_named_is_a_wrong_flag() {
    let lab = Lab::new("udp", Controlled::Not);
    let output = lab.cpmcheck(&["run", "--target", "lap"]);
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("U0031") && said.contains("similar     lab"), "{said}");
    let nowhere = tempfile::tempdir().expect("a folder");
    let output = command(nowhere.path(), &["run", "--target", "lab"]);
    assert!(output.status.code() == Some(2) && text(&output.stderr).contains("U0030"));
    fs::write(nowhere.path().join("cpmcheck.toml"), "[target.lab]\nkind = \"address\"\nrolls = {}\n").expect("a configuration");
    let output = command(nowhere.path(), &["run", "--target", "lab"]);
    let said = text(&output.stderr);
    assert!(
        output.status.code() == Some(2) && said.contains("cpmcheck.toml:3:1") && said.contains("did you mean `roles`?"),
        "{said}"
    );
}

/// What the target lets us do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Controlled {
    Fully,
    Not,
}

/// A PF that is started by a script, and a configuration that leads to it.
struct Lab {
    dir: tempfile::TempDir,
    block: [u8; 3],
}

/// Starts, stops and restarts the PF; says what it was told in a file.
const SCRIPT: &str = r#"#!/bin/sh
# ctl.sh start|stop|reset|restart|policy [NAME=VALUE…]
cd "$(dirname "$0")" || exit 1
what=$1; shift
echo "$what $*" | sed 's/ $//' >> told
stop() { [ -f pid ] && kill -9 "$(cat pid)" 2>/dev/null; rm -f pid; return 0; }
start() {
    rm -f out; mkfifo out
    knobs=$(cat knobs 2>/dev/null)
    # shellcheck disable=SC2086
    "$CPMCHECK_BIN" serve pf --config pf.toml --store pf.store --log error $knobs > out 2> log & echo $! > pid
    while read -r line; do [ "$line" = ready ] && return 0; done < out
    cat log >&2; return 1
}
stop
case $what in
    stop) exit 0 ;;
    restart) ;;
    *) rm -f pf.store knobs; for knob in "$@"; do echo "--policy $knob" >> knobs; done ;;
esac
start
"#;

impl Lab {
    fn new(transport: &str, controlled: Controlled) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let lab = Self {
            dir: tempfile::tempdir().expect("a folder"),
            block: [127, 253, (std::process::id() % 16) as u8 * 16 + NEXT.fetch_add(1, Ordering::Relaxed) % 16],
        };
        lab.write("ctl.sh", SCRIPT);
        let runnable = Command::new("chmod").arg("+x").arg(lab.path("ctl.sh")).status().expect("chmod");
        assert!(runnable.success());
        lab.write("pf.toml", &lab.settings(transport));
        lab.write("authority.pem", &fs::read_to_string(CERTIFICATES.authority()).expect("a certificate"));
        lab.write("pics.yaml", "roles: [pf]\nfeatures: { group: true }\n");
        lab.write("cpmcheck.toml", &lab.configuration(transport, controlled));
        lab.control("start");
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file of the lab");
    }

    fn address(&self, number: u8) -> std::net::Ipv4Addr {
        let [first, second, third] = self.block;
        std::net::Ipv4Addr::new(first, second, third, number)
    }

    /// What the PF is told: where it is, who is where, and that time goes five times faster.
    fn settings(&self, transport: &str) -> String {
        let at = |number| self.address(number);
        // What names no transport goes as the first of these does.
        let listen = match transport {
            "tls" => format!("\"tls:{}:5071\"", at(1)),
            "tcp" => format!("\"tcp:{pf}:5070\", \"udp:{pf}:5070\"", pf = at(1)),
            _ => format!("\"udp:{pf}:5070\", \"tcp:{pf}:5070\"", pf = at(1)),
        };
        format!(
            "listen = [{listen}]\nmsrp-listen = [\"{media}{pf}:2855\"]\ntls = {{ certificate = \"{certificate}\", key = \"{key}\" }}\n\
             host = \"pf.home1.example\"\ncore = \"sip:scscf1.home1.example\"\nspeed = 5.0\n\
             policy = {{ \"group.unsubscribe-after-delivery\" = false }}\n\n[hosts]\n\"pf.home1.example\" = \"{pf}\"\n\
             \"scscf1.home1.example\" = \"{core}\"\n\"home1.example\" = \"{core}\"\n\"registrar.home1.example\" = \"{registrar}\"\n\
             \"cf.home1.example\" = \"{focus}\"\n\"librarian.home1.example\" = \"{librarian}\"\n",
            certificate = CERTIFICATES.certificate(),
            key = CERTIFICATES.key(),
            media = if transport == "tls" { "tls:" } else { "" },
            pf = at(1),
            core = at(2),
            registrar = at(3),
            focus = at(4),
            librarian = at(5),
        )
    }

    fn configuration(&self, transport: &str, controlled: Controlled) -> String {
        let at = |number| self.address(number);
        let clients: Vec<String> = (10..16).map(|number| format!("\"{}\"", at(number))).collect();
        let control = match controlled {
            Controlled::Fully => {
                "control = { reset = [\"./ctl.sh\", \"reset\"], restart = [\"./ctl.sh\", \"restart\"], policy = [\"./ctl.sh\", \"policy\"] }\n"
            }
            Controlled::Not => "",
        };
        let port = if transport == "tls" { 5071 } else { 5070 };
        let msrp = match transport {
            "tls" => "transport = \"tls\"\ntls = { trusted = \"authority.pem\" }\n".to_owned(),
            _ => format!("msrp = \"{}:2855\"\n", at(1)),
        };
        format!(
            "[target.lab]\nkind = \"address\"\nversion = \"1.0\"\npics = \"pics.yaml\"\ntimers = {{ speed = 5, patience = 4 }}\n{control}{msrp}\
             roles = {{ pf = \"{transport}:{}:{port}\" }}\n\n[target.lab.listen]\ncore = \"{}\"\nregistrar = \"{}\"\ncf = [\"{}\", \"{}\"]\nclient = [{}]\n",
            at(1),
            at(2),
            at(3),
            at(4),
            at(5),
            clients.join(", ")
        )
    }

    fn control(&self, what: &str) {
        let status = Command::new(self.path("ctl.sh")).arg(what).env("CPMCHECK_BIN", binary()).status().expect("the script");
        assert!(status.success(), "{what}: {}", fs::read_to_string(self.path("log")).unwrap_or_default());
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.cpmcheck(&[&["run", "--target", "lab"], arguments].concat())
    }

    fn cpmcheck(&self, arguments: &[&str]) -> Output {
        command(self.dir.path(), arguments)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.control("stop");
    }
}

fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_cpmcheck")
}

/// The program in a folder, with the built-in suite.
fn command(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CPMCHECK_")) {
        command.env_remove(name);
    }
    command.env("CPMCHECK_BIN", binary()).current_dir(dir).args(arguments).output().expect("the program")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
