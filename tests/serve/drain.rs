//! SIGTERM in the middle of work: what is under way ends well, and the next process goes on from there.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use cpmcheck::endpoint::{DialogId, Event, MsrpId, TransactionId};
use cpmcheck::msrp;
use cpmcheck::wire::sip::Message;

use crate::peers::{BOB, FOCUS, Peers};
use crate::server::{PATIENCE, Server, command, options};

/// How often the log is looked at while the peers are served.
const LOOK: Duration = Duration::from_millis(10);
/// Requests and messages that a peer has open at any time.
const OPEN: usize = 32;

#[test]
fn sigterm_lets_a_commit_under_way_end_and_keeps_the_session_and_what_is_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::new();
    let usual = world.peers.configuration(&folder.path().join("pf.store"));
    let slow = usual.replace("[policy]\n", "[policy]\n\"store.commit-delay\" = \"2s\"\n");
    let config = folder.path().join("pf.toml");
    std::fs::write(&config, format!("drain = 600.0\n{slow}")).expect("the configuration");
    let pf = Pf::start(&config);
    let media = world.lose_bob();
    let stored = [1, 2].map(|number| world.peers.write(media, number));
    stored.into_iter().for_each(|message| world.accepts(message));
    let last = world.peers.write(media, 3);
    // The store has been asked to take all three.
    (0..3).for_each(|_| pf.logs(&mut world, "acknowledged once it is durable"));
    terminate(&pf.child);
    pf.logs(&mut world, "draining");
    for step in ["\"message\":\"committed\"", "-> MSRP "] {
        pf.logs(&mut world, step);
    }
    world.accepts(last);
    assert_eq!(pf.ended(), Some(0));

    std::fs::write(&config, usual).expect("the configuration");
    let _pf = Pf::start(&config);
    world.until(|seen| matches!(seen, Seen::Connected(FOCUS, _)));
    world.peers.register();
    let arrived = [1, 2, 3].map(|_| world.until(|seen| matches!(seen, Seen::Arrived(_))));
    assert_eq!(arrived, [1, 2, 3].map(Seen::Arrived));
}

#[test]
fn sigterm_in_steady_traffic_ends_it_soon_and_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::new();
    let config = folder.path().join("pf.toml");
    let usual = world.peers.configuration(&folder.path().join("pf.store"));
    std::fs::write(&config, format!("drain = 600.0\n{usual}")).expect("the configuration");
    let pf = Pf::start(&config);
    let media = world.lose_bob();
    let mut written: Vec<String> = (0..OPEN).map(|number| world.peers.write(media, number as u64)).collect();
    let mut accepted = BTreeSet::new();
    while let Seen::Accepted(message) = world.until(|seen| matches!(seen, Seen::Accepted(_) | Seen::Lost)) {
        accepted.extend(written.iter().position(|own| *own == message));
        written.push(world.peers.write(media, written.len() as u64));
        if accepted.len() == 5 * OPEN {
            terminate(&pf.child);
        }
    }
    assert!(accepted.len() >= 5 * OPEN, "{accepted:?}");
    assert_eq!(pf.ended(), Some(0));

    let _pf = Pf::start(&config);
    world.until(|seen| matches!(seen, Seen::Connected(FOCUS, _)));
    world.peers.register();
    while !accepted.is_empty() {
        let Seen::Arrived(number) = world.until(|seen| matches!(seen, Seen::Arrived(_))) else { unreachable!() };
        accepted.remove(&usize::try_from(number).expect("a number of ours"));
    }
}

#[test]
fn peers_that_always_have_one_more_request_do_not_keep_it_from_ending() {
    let mut server = Server::start_logging("127.0.0.1", "drain = 600.0\n");
    let over = closed(server.child.stderr.take().expect("piped"));
    let (tell, answered) = mpsc::channel();
    let peers: Vec<_> = (0..4)
        .map(|peer| {
            let (stream, tell) = (server.tcp(), tell.clone());
            thread::spawn(move || insist(stream, peer, &tell))
        })
        .collect();
    drop(tell);
    assert_eq!(answered.iter().take(1000).count(), 1000);
    terminate(&server.child);
    assert!(over.recv_timeout(PATIENCE).is_ok(), "it does not end");
    assert_eq!(server.child.wait().expect("an end").code(), Some(0));
    peers.into_iter().for_each(|peer| assert!(peer.join().is_ok()));
}

/// Has always as many requests open, until the connection is closed.
fn insist(mut stream: TcpStream, peer: usize, answered: &Sender<()>) {
    let request = |number: usize| options(&format!("insist-{peer}-{number}"), "");
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    let mut asked = 0;
    let mut wanted: Vec<u8> = (0..OPEN).flat_map(request).collect();
    while stream.write_all(&wanted).is_ok() {
        let Ok(size @ 1..) = stream.read(&mut buffer) else { break };
        said.extend_from_slice(&buffer[..size]);
        wanted.clear();
        while let Some(end) = said.windows(4).position(|end| end == b"\r\n\r\n") {
            said.drain(..end + 4);
            wanted.extend(request(OPEN + asked));
            asked += 1;
            // Whoever counts them may have seen enough.
            let _ = answered.send(());
        }
    }
    assert!(said.is_empty(), "an answer was cut off: {:?}", String::from_utf8_lossy(&said));
}

/// Tells when a process has closed this pipe; what it says until then is skipped.
fn closed(mut pipe: impl Read + Send + 'static) -> Receiver<()> {
    let (tell, over) = mpsc::channel();
    thread::spawn(move || std::io::copy(&mut pipe, &mut std::io::sink()).is_ok() && tell.send(()).is_ok());
    over
}

fn terminate(child: &Child) {
    assert!(Command::new("kill").arg(child.id().to_string()).status().is_ok_and(|status| status.success()));
}

/// What a peer notices.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    Connected(usize, MsrpId),
    Subscribed,
    /// A message of the focus was taken over.
    Accepted(String),
    /// The media of the focus are gone.
    Lost,
    /// A message reached Bob.
    Arrived(u64),
}

/// The addresses of the peers are those of this process: one world at a time has them.
static ADDRESSES: Mutex<()> = Mutex::new(());

struct World {
    peers: Peers,
    _addresses: MutexGuard<'static, ()>,
    invited: Option<(TransactionId, MsrpId)>,
    bob: Option<DialogId>,
    /// What nobody has waited for yet.
    seen: Vec<Seen>,
}

impl World {
    fn new() -> Self {
        let addresses = ADDRESSES.lock().unwrap_or_else(PoisonError::into_inner);
        Self { peers: Peers::new(1), _addresses: addresses, invited: None, bob: None, seen: Vec::new() }
    }

    /// The focus has a session with Bob, and Bob is lost: the PF holds it. Returns the media of the focus.
    fn lose_bob(&mut self) -> MsrpId {
        self.invited = Some(self.peers.invite());
        self.until(|seen| matches!(seen, Seen::Connected(BOB, _)));
        let Seen::Connected(_, media) = self.until(|seen| matches!(seen, Seen::Connected(FOCUS, _))) else { unreachable!() };
        self.peers.lose(self.bob.expect("Bob took the session"));
        self.until(|seen| *seen == Seen::Subscribed);
        media
    }

    fn accepts(&mut self, message: String) {
        self.until(|seen| *seen == Seen::Accepted(message.clone()));
    }

    fn until(&mut self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        loop {
            if let Some(at) = self.seen.iter().position(&wanted) {
                return self.seen.remove(at);
            }
            assert!(self.hear(PATIENCE), "nothing comes any more after {:?}", self.seen);
        }
    }

    /// Takes the next thing that comes, if anything does in time.
    fn hear(&mut self, patience: Duration) -> bool {
        let Some((node, event)) = self.peers.next(patience) else { return false };
        let seen = self.on_event(node, event);
        self.seen.extend(seen);
        true
    }

    fn on_event(&mut self, node: usize, event: Event) -> Option<Seen> {
        match event {
            Event::Request { transaction, message, .. } => self.on_request(node, transaction, &message),
            Event::Response { transaction, dialog, message } => {
                let (invite, media) =
                    self.invited.take_if(|(invite, _)| *invite == transaction && message.status() == Some(200))?;
                self.peers.acknowledge(invite, dialog?, media, &message);
                None
            }
            Event::Msrp { session, event } => self.on_msrp(node, session, event),
            _ => None,
        }
    }

    fn on_request(&mut self, node: usize, transaction: TransactionId, message: &Message) -> Option<Seen> {
        match message.method_token() {
            Some("INVITE") => {
                let (dialog, _) = self.peers.pick_up(node, transaction, message);
                self.bob = dialog.filter(|_| node == BOB).or(self.bob);
                None
            }
            Some("SUBSCRIBE") => {
                self.peers.answer_subscription(transaction);
                Some(Seen::Subscribed)
            }
            _ => {
                self.peers.answer(node, transaction, 200);
                None
            }
        }
    }

    fn on_msrp(&mut self, node: usize, session: MsrpId, event: msrp::Event) -> Option<Seen> {
        match event {
            msrp::Event::Bound => Some(Seen::Connected(node, session)),
            msrp::Event::Received(incoming) => {
                self.peers.take(node, session, incoming.token);
                Peers::number_of(&incoming.body).map(Seen::Arrived)
            }
            msrp::Event::Sent { message_id, outcome: msrp::Outcome::Accepted } => Some(Seen::Accepted(message_id)),
            msrp::Event::Lost => (node == FOCUS).then_some(Seen::Lost),
            msrp::Event::Sent { .. } | msrp::Event::Report { .. } => None,
        }
    }
}

/// The process of the PF, and what it logs.
struct Pf {
    child: Child,
    log: Receiver<String>,
}

impl Pf {
    fn start(config: &Path) -> Self {
        let mut child = command()
            .args(["serve", "pf", "--log", "debug", "--log-format", "json", "--config"])
            .arg(config)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server");
        let (line, log) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        // Whoever does not listen any more has heard enough.
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
        let mut said = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        assert!(said.any(|line| line == "ready"), "it ended before it was ready: {:?}", log.iter().last());
        Self { child, log }
    }

    /// Waits for a line of the log that says so, while the world goes on; those before it are passed over.
    fn logs(&self, world: &mut World, wanted: &str) {
        let mut silence = Duration::ZERO;
        while silence < PATIENCE {
            match self.log.try_recv() {
                Ok(line) if line.contains(wanted) => return,
                Ok(_) => silence = Duration::ZERO,
                Err(_) if world.hear(LOOK) => {}
                Err(_) => silence += LOOK,
            }
        }
        panic!("`{wanted}` is not logged");
    }

    /// It ends as soon as nothing is left to do, long before its time is over.
    fn ended(mut self) -> Option<i32> {
        let (tell, over) = mpsc::channel();
        let log = std::mem::replace(&mut self.log, mpsc::channel().1);
        thread::spawn(move || {
            log.iter().for_each(drop);
            tell.send(())
        });
        assert!(over.recv_timeout(PATIENCE).is_ok(), "it does not end");
        self.child.wait().expect("an end").code()
    }
}

impl Drop for Pf {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
