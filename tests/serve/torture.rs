//! Torture messages (RFC 4475, RFC 5118) on every actor that listens: whatever comes, it goes on serving.

use std::io::Write;
use std::net::{Shutdown, UdpSocket};
use std::path::{Path, PathBuf};

use super::corpus;
use super::server::{Server, first_line, options};

const USER: &str = "[[user]]\nuri = \"sip:+15145550102@home1.example\"\n";
const GROUP: &str = "[[group]]\nfocus = \"sip:gc-1@cf.home1.example\"\nsubject = \"Beach trip\"\nconversation-id = \"c\"\n\
    contribution-id = \"d\"\nmembers = [\"sip:+15145550102@home1.example\"]\n";

/// Every file below a folder, in the order of its names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    entries.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// What is thrown: messages of our own, and those of the corpus where it is.
fn messages() -> Vec<Vec<u8>> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wire");
    let folders = [Some(own), corpus::folder()];
    let paths = folders.into_iter().flatten().flat_map(|folder| files(&folder));
    paths.map(|path| std::fs::read(path).expect("a listed file is there")).collect()
}

/// Throws everything, over UDP and over TCP, each on a connection of its own.
fn torture(part: &str, settings: &str) {
    let server = Server::start_as(part, settings);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for (number, message) in messages().iter().enumerate() {
        // What is longer than a datagram can be goes over TCP alone.
        let _ = socket.send_to(message, server.udp);
        let mut stream = server.tcp();
        // It may be closed while we are still writing.
        let _ = stream.write_all(message).and_then(|()| stream.shutdown(Shutdown::Write));
        if number % 50 == 0 {
            assert!(server.udp_answers(), "{part} after message {number}");
        }
    }
    assert!(server.udp_answers(), "{part}");
    let mut stream = server.tcp();
    stream.write_all(&options("after-all", "")).expect("a request");
    assert!(first_line(&mut stream).starts_with("SIP/2.0 "), "{part}");
}

#[test]
fn torture_messages_leave_the_pf_serving() {
    torture("pf", "");
}

#[test]
fn torture_messages_leave_the_focus_serving() {
    torture("cf", GROUP);
}

#[test]
fn torture_messages_leave_the_client_serving() {
    torture("client", USER);
}
