//! `cpmcheck serve` as a process on loopback: what it says, and what peers that misbehave can do.

#[path = "common/certificates.rs"]
mod certificates;
#[path = "common/corpus.rs"]
mod corpus;
#[cfg(unix)]
#[path = "serve/drain.rs"]
mod drain;
#[path = "serve/hostile.rs"]
mod hostile;
#[cfg(unix)]
#[path = "crash/peers.rs"]
mod peers;
#[path = "serve/secure.rs"]
mod secure;
#[path = "serve/server.rs"]
mod server;
#[path = "serve/together.rs"]
mod together;
#[path = "serve/torture.rs"]
mod torture;

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use server::{Server, command, ended, first_line, options};

#[test]
fn it_answers_on_udp_and_tcp_once_it_is_ready() {
    let server = Server::start("");
    assert!(server.udp_answers());
    let mut stream = server.tcp();
    stream.write_all(&options("tcp-1", "")).expect("a request");
    assert!(first_line(&mut stream).starts_with("SIP/2.0 "), "an answer on the same connection");
}

#[test]
fn a_port_in_use_is_said_and_ends_it_with_code_7() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let output = ended(&["serve", "pf", "--listen", &format!("tcp:{address}"), "--core", "sip:127.0.0.1", "--store", "memory"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("tcp:{address} is in use")), "{said}");
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(7), true));
}

#[test]
fn a_wrong_configuration_names_the_setting() {
    for (args, setting) in [
        (&["serve", "pf", "--listen", "5060", "--core", "sip:127.0.0.1"][..], "`listen`"),
        (&["serve", "pf", "--listen", "udp:127.0.0.1:0"], "`core`"),
        (&["serve", "client", "--listen", "udp:127.0.0.1:0", "--core", "sip:127.0.0.1"], "`user`"),
        (&["serve", "pf", "--listen", "udp:127.0.0.1:0", "--core", "sip:127.0.0.1", "--policy", "no.such=1"], "no.such"),
    ] {
        let output = ended(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(setting), "{args:?}: {said}");
    }
}

#[test]
fn it_answers_on_the_loopback_of_ipv6() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: this machine has no IPv6");
        return;
    }
    let server = Server::start_at("[::1]", "");
    assert!(server.udp_answers());
    let mut stream = server.tcp();
    stream.write_all(&options("tcp-6", "")).expect("a request");
    assert!(first_line(&mut stream).starts_with("SIP/2.0 "));
}

#[test]
fn more_connections_than_the_system_grants_are_said_and_end_it_with_code_7() {
    let settings =
        "listen = [\"udp:127.0.0.1:0\"]\ncore = \"sip:127.0.0.1\"\nstore = \"memory\"\n[limits]\nconnections = 4000000000\n";
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), settings).expect("the configuration");
    let output = ended(&["serve", "pf", "--config", &file.path().display().to_string()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(7) && said.contains("4000000064 descriptors are needed"), "{said}");
}

#[test]
fn the_log_is_structured_when_it_is_asked_for() {
    let server = Server::start_logging("127.0.0.1", "");
    assert!(server.udp_answers());
    let log = server.ended();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let request = lines.iter().find(|line| {
        line["target"] == "wire" && line["fields"]["message"].as_str().is_some_and(|text| text.starts_with("<- OPTIONS"))
    });
    let request = request.expect("the request is logged");
    assert!(request["fields"]["peer"].is_string() && request["fields"]["node"] == "pf" && request["level"] == "DEBUG", "{request}");
}

#[cfg(unix)]
#[test]
fn sigterm_drains_and_ends_in_good_order() {
    let mut server = Server::start("");
    assert!(server.udp_answers());
    let killed = Command::new("kill").arg(server.child.id().to_string()).status().expect("kill");
    assert!(killed.success());
    assert_eq!(server.child.wait().expect("an end").code(), Some(0));
}

#[test]
fn a_printed_configuration_is_one_that_is_read() {
    let args = ["serve", "pf", "--listen", "udp:127.0.0.1:0", "--core", "sip:127.0.0.1:5090", "--print-config"];
    let printed = ended(&args);
    let text = String::from_utf8(printed.stdout).expect("text");
    assert!(text.contains("\ncore = \"sip:127.0.0.1:5090\""), "{text}");
    // What is not set is explained all the same.
    assert!(text.contains("\n#unfinished = 30.0") && text.contains("# How long a peer may take over one message"), "{text}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &text).expect("the configuration");
    let again = ended(&["serve", "pf", "--config", &file.path().display().to_string(), "--print-config"]);
    assert_eq!(String::from_utf8_lossy(&again.stdout), text);
}

#[test]
fn a_scenario_passes_against_our_own_pf_in_another_process() {
    let start = |target: &str| {
        let child = command()
            .args(["run", "group/leaves-voluntarily", "group/nothing-missed", "--target", target, "--timeout-scale", "4"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        (target.to_owned(), child.expect("the program"))
    };
    for (target, child) in ["self:udp", "self:tcp", "self:tls"].map(start) {
        let output = child.wait_with_output().expect("its output");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("3 passed, 0 failed"), "{target}: {said}");
    }
}

#[test]
fn what_sockets_cannot_do_is_skipped_with_the_reason() {
    let output = ended(&["run", "store/failed-commit", "--target", "self:udp", "--no-tests", "pass"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
