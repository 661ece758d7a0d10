//! The MSRP side of a SIPp: a listening endpoint that answers 200 and tells what came (RFC 4975).

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for the PF to connect.
pub(crate) struct Answerer {
    listener: TcpListener,
}

/// A session over one connection.
pub(crate) struct Session {
    writer: Mutex<TcpStream>,
    /// From-Path and To-Path of the first request, as we would send them.
    paths: (String, String),
    texts: Receiver<String>,
    statuses: Receiver<u16>,
}

impl Answerer {
    /// Listens at a free port.
    pub(crate) fn listen() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").expect("a free port") }
    }

    /// Where.
    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().expect("an address").port()
    }

    /// The session of the PF that connects; its first SEND tells the paths.
    pub(crate) fn take(&self) -> Session {
        let (stream, _) = self.listener.accept().expect("the PF connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let mut reader = stream.try_clone().expect("two halves");
        let mut pending = Vec::new();
        let first = frame(&mut reader, &mut pending).expect("the PF sends at once");
        let mut writer = stream;
        writer.write_all(&answer(&first)).expect("the PF reads");
        let (text, texts) = channel();
        let (status, statuses) = channel();
        let paths = (field(&first, "To-Path: "), field(&first, "From-Path: "));
        tell(&first, &text, &status);
        let mut answers = writer.try_clone().expect("two halves");
        thread::spawn(move || {
            while let Some(next) = frame(&mut reader, &mut pending) {
                if next.lines().next().is_some_and(|line| line.ends_with(" SEND")) && answers.write_all(&answer(&next)).is_err() {
                    return;
                }
                tell(&next, &text, &status);
            }
        });
        Session { writer: Mutex::new(writer), paths, texts, statuses }
    }
}

impl Session {
    /// Sends a group message and returns the status of its answer.
    pub(crate) fn send(&self, text: &str) -> u16 {
        let body = format!(
            "From: <sip:+15145550101@home1.example>\r\nTo: <sip:gc-7f3a9c@127.0.0.1>\r\nNS: imdn <urn:ietf:params:imdn>\r\n\
             imdn.Message-ID: id-{text}\r\nDateTime: 2024-05-01T12:00:00Z\r\n\r\nContent-Type: text/plain\r\n\r\n{text}"
        );
        let request = format!(
            "MSRP t{text} SEND\r\nTo-Path: {}\r\nFrom-Path: {}\r\nMessage-ID: m{text}\r\nByte-Range: 1-{len}/{len}\r\n\
             Content-Type: message/cpim\r\n\r\n{body}\r\n-------t{text}$\r\n",
            self.paths.1,
            self.paths.0,
            len = body.len()
        );
        self.writer.lock().expect("one user").write_all(request.as_bytes()).expect("the PF reads");
        self.statuses.recv_timeout(PATIENCE).expect("an answer")
    }

    /// The texts of the next messages that come.
    pub(crate) fn receive(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.texts.recv_timeout(PATIENCE).expect("a message")).collect()
    }
}

/// The next request or response, up to its end-line.
fn frame(reader: &mut TcpStream, pending: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(pending).into_owned();
        if let Some(id) = text.split(' ').nth(1) {
            let end = format!("-------{id}$\r\n");
            if let Some(at) = text.find(&end) {
                let length = at + end.len();
                pending.drain(..length);
                return Some(text[..length].to_owned());
            }
        }
        let mut bytes = [0; 4096];
        match reader.read(&mut bytes) {
            Ok(0) | Err(_) => return None,
            Ok(count) => pending.extend_from_slice(&bytes[..count]),
        }
    }
}

fn field(frame: &str, name: &str) -> String {
    frame.lines().find_map(|line| line.strip_prefix(name)).expect("a field of every request").to_owned()
}

fn answer(request: &str) -> Vec<u8> {
    let id = request.split(' ').nth(1).expect("a transaction");
    // Answers go from hop to hop.
    let hop = |name: &str| field(request, name).split(' ').next().unwrap_or_default().to_owned();
    let (to, from) = (hop("From-Path: "), hop("To-Path: "));
    format!("MSRP {id} 200 OK\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n-------{id}$\r\n").into_bytes()
}

/// Passes on what a frame tells: the text of a message, the status of an answer.
fn tell(frame: &str, texts: &Sender<String>, statuses: &Sender<u16>) {
    let start = frame.lines().next().unwrap_or_default();
    let third = start.split(' ').nth(2).unwrap_or_default();
    if let Ok(code) = third.parse() {
        let _ = statuses.send(code);
    } else if frame.contains("message/cpim") {
        let body = frame.rsplit("\r\n\r\n").next().unwrap_or_default();
        let text = body.split("\r\n-------").next().unwrap_or_default();
        let _ = texts.send(text.to_owned());
    }
}
