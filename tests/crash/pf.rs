//! The PF itself: `cpmcheck serve pf` between a focus that writes and a user who is away, killed
//! while it stores and while it delivers.
//!
//! ```text
//! focus   INVITE, then SENDs              200 to a SEND: the message is stored for good
//! bob     is lost, registers, fetches     200 to a SEND: the message is delivered
//! ```
//!
//! The PF sends a message only when the one before was acknowledged (`msrp.window` is 1). So when the next one
//! comes, the end of the one before is on its way to the store; and when a message that the focus
//! sends after that is acknowledged, it is there: from then on it must not come again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use cpmcheck::endpoint::{DialogId, Event, MsrpId, TransactionId};
use cpmcheck::ids::Ids;
use cpmcheck::msrp;
use cpmcheck::wire::sip::Message;

use crate::ledger::{Leave, Ledger};
use crate::peers::{BOB, Peers};
use crate::watch::{Figures, Watch};

/// Longer than anything here takes; only a defect makes it pass.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a server that is dead may be heard of by what lies in sockets.
const QUIET: Duration = Duration::from_millis(20);
/// Messages of the focus under way at once.
const WINDOW: usize = 8;

/// Kills the server so many times.
pub(crate) fn run(kills: u64, seed: u64) -> Figures {
    let folder = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let peers = Peers::new(seed);
    let config = folder.path().join("pf.toml");
    std::fs::write(&config, peers.configuration(&folder.path().join("pf.store"))).expect("a file");
    let mut world = World {
        ids: Ids::new(seed, "crash of a PF"),
        peers,
        config,
        last: 0,
        figures: Figures::default(),
        life: Life::default(),
        held: false,
    };
    let mut watch = Watch::start();
    while world.figures.kills < kills {
        let server = Server::start(&world.config);
        world.figures.returns.push(watch.elapsed());
        world.live();
        watch = Watch::start();
        drop(server);
        world.hear_what_was_said();
        world.figures.kills += 1;
    }
    // What is left is fetched from a process that nobody kills.
    let _server = Server::start(&world.config);
    world.life = Life::default();
    world.come_back();
    world.fetch_all();
    world.figures
}

/// What belongs to one process of the PF.
#[derive(Default)]
struct Life {
    /// The media of the focus, once it has its connection.
    focus: Option<MsrpId>,
    /// The INVITE of the focus and its media, until it is answered.
    invited: Option<(TransactionId, MsrpId)>,
    bob: Option<(DialogId, MsrpId)>,
    /// Messages of the focus without an answer: their numbers, and what has ended before they were sent.
    asked: BTreeMap<String, (u64, Vec<u64>)>,
    /// What Bob got, in order.
    arrived: Vec<u64>,
    /// Sessions that have their connection.
    connected: BTreeSet<(usize, MsrpId)>,
}

struct World {
    ids: Ids,
    peers: Peers,
    config: PathBuf,
    last: u64,
    figures: Figures,
    life: Life,
    /// Whether the PF holds the session with the focus.
    held: bool,
}

/// What a step of the script waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Happening {
    FocusConnected,
    BobConnected,
    Promised,
    Arrived(u64),
    Subscribed,
}

impl World {
    /// One life of the server, up to the kill.
    fn live(&mut self) {
        self.life = Life::default();
        if self.held && self.ids.below(10) == 0 {
            // This one dies before it has its media back.
            self.figures.early += 1;
            return self.wait_a_little();
        }
        self.come_back();
        match self.ids.below(4) {
            0 => {
                self.fetch_all();
                self.store(1);
            }
            1 => self.fetch_some(),
            _ => {
                let wanted = self.ids.below(120);
                self.store(wanted);
            }
        }
        self.wait_a_little();
    }

    /// The focus has its session with the PF: a first one, or the one before, taken up again.
    fn come_back(&mut self) {
        if !self.held {
            self.life.invited = Some(self.peers.invite());
            self.wait_for(Happening::FocusConnected);
            while self.life.bob.is_none() {
                self.wait_for(Happening::BobConnected);
            }
            let (dialog, _) = self.life.bob.take().expect("just looked");
            self.peers.lose(dialog);
            self.wait_for(Happening::Subscribed);
            self.held = true;
            // From now on there is something to fetch.
            self.store(1);
        } else if self.life.focus.is_none() {
            self.wait_for(Happening::FocusConnected);
        }
    }

    /// The focus writes until so many messages are acknowledged; others are under way then.
    fn store(&mut self, wanted: u64) {
        for _ in 0..wanted {
            while self.life.asked.len() < WINDOW {
                self.write();
            }
            self.wait_for(Happening::Promised);
        }
    }

    /// Bob fetches everything, up to a last message that is sent for that.
    fn fetch_all(&mut self) {
        self.peers.register();
        self.wait_for(Happening::BobConnected);
        let last = self.write();
        self.wait_for(Happening::Arrived(last));
        let arrived: BTreeSet<u64> = self.life.arrived.iter().copied().collect();
        self.figures.ledger.decide_without(&arrived);
    }

    /// Bob fetches a part while the focus goes on writing.
    fn fetch_some(&mut self) {
        self.store(4);
        self.peers.register();
        let wanted = 1 + self.ids.below(30) as usize;
        while self.life.arrived.len() < wanted {
            while self.life.asked.len() < 2 {
                self.write();
            }
            self.next();
        }
    }

    fn write(&mut self) -> u64 {
        self.last += 1;
        self.figures.ledger.send(self.last);
        let media = self.life.focus.expect("the focus is connected");
        let id = self.peers.write(media, self.last);
        let ended = self.life.arrived.split_last().map(|(_, before)| before.to_vec()).unwrap_or_default();
        self.life.asked.insert(id, (self.last, ended));
        self.last
    }

    /// Lets the server get on for some time that is different each time and never long.
    fn wait_a_little(&mut self) {
        for _ in 0..self.ids.below(400_000) {
            std::hint::spin_loop();
        }
    }

    /// The server is dead: what it has still said is heard, up to the end of every connection.
    fn hear_what_was_said(&mut self) {
        while !self.life.connected.is_empty() {
            self.next();
        }
        while let Some((node, event)) = self.peers.next(QUIET) {
            self.on_event(node, event);
        }
    }

    fn wait_for(&mut self, what: Happening) {
        while self.next() != Some(what) {}
    }

    /// Lets the next thing happen.
    fn next(&mut self) -> Option<Happening> {
        let (node, event) = self.peers.next(PATIENCE).unwrap_or_else(|| panic!("nothing comes any more: {}", self.figures.ledger));
        self.on_event(node, event)
    }

    fn on_event(&mut self, node: usize, event: Event) -> Option<Happening> {
        match event {
            Event::Request { transaction, message, .. } => self.on_request(node, transaction, &message),
            Event::Response { transaction, dialog, message } => self.on_response(transaction, dialog, &message),
            Event::Msrp { session, event } => self.on_msrp(node, session, event),
            _ => None,
        }
    }

    fn on_request(&mut self, node: usize, transaction: TransactionId, message: &Message) -> Option<Happening> {
        match message.method_token() {
            Some("INVITE") => {
                let (dialog, media) = self.peers.pick_up(node, transaction, message);
                if node == BOB {
                    self.life.bob = dialog.map(|dialog| (dialog, media));
                }
                None
            }
            Some("SUBSCRIBE") => {
                self.peers.answer_subscription(transaction);
                Some(Happening::Subscribed)
            }
            _ => {
                self.peers.answer(node, transaction, 200);
                None
            }
        }
    }

    fn on_response(&mut self, transaction: TransactionId, dialog: Option<DialogId>, message: &Message) -> Option<Happening> {
        let (invite, media) = self.life.invited?;
        if transaction == invite && message.status() == Some(200) {
            self.life.invited = None;
            self.peers.acknowledge(invite, dialog?, media, message);
        }
        None
    }

    fn on_msrp(&mut self, node: usize, session: MsrpId, event: msrp::Event) -> Option<Happening> {
        match event {
            msrp::Event::Bound => {
                self.life.connected.insert((node, session));
                if node == BOB {
                    return Some(Happening::BobConnected);
                }
                self.life.focus = Some(session);
                Some(Happening::FocusConnected)
            }
            msrp::Event::Lost => {
                self.life.connected.remove(&(node, session));
                None
            }
            msrp::Event::Received(incoming) => {
                self.peers.take(node, session, incoming.token);
                let number = Peers::number_of(&incoming.body)?;
                self.on_arrived(number);
                Some(Happening::Arrived(number))
            }
            msrp::Event::Sent { message_id, outcome } => {
                let (number, ended) = self.life.asked.remove(&message_id)?;
                if outcome != msrp::Outcome::Accepted {
                    return None;
                }
                self.figures.ledger.promise(number);
                ended.into_iter().for_each(|number| self.figures.ledger.settle(number));
                Some(Happening::Promised)
            }
            msrp::Event::Report { .. } => None,
        }
    }

    fn on_arrived(&mut self, number: u64) {
        let ledger: &mut Ledger = &mut self.figures.ledger;
        if self.life.arrived.last().is_some_and(|last| *last >= number) {
            ledger.faults.push(format!("{number} comes behind a later message"));
        }
        ledger.appear(number);
        ledger.leave(number, Leave::Delivered);
        self.life.arrived.push(number);
    }
}

/// The process of the PF; it is killed when it is dropped.
struct Server {
    child: Child,
    _output: BufReader<ChildStdout>,
}

impl Server {
    /// Starts it and waits until every socket is bound.
    fn start(config: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cpmcheck"));
        command.args(["serve", "pf", "--log", "error", "--config"]).arg(config).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut said: VecDeque<String> = VecDeque::new();
        while said.back().is_none_or(|line| line.trim_end() != "ready") {
            let mut line = String::new();
            assert!(output.read_line(&mut line).expect("a pipe") > 0, "the server ended: {said:?}");
            said.push_back(line);
        }
        Self { child, _output: output }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("the server lives");
        self.child.wait().expect("the server is ours");
    }
}
