//! The store alone: a child that commits what it is told by a pipe and acknowledges by another.
//!
//! ```text
//! child   has 17        a record that it found, once for each
//!         ready
//! parent  put 18        store record 18          drop 17   remove record 17
//! child   done 18       durable
//! ```

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use bytes::Bytes;
use cpmcheck::engine::{BatchId, Store, Write};
use cpmcheck::ids::Ids;
use cpmcheck::net::disk::{Committer, Disk, Limits};

use crate::ledger::{Leave, Ledger};
use crate::watch::{Figures, Watch};

/// The argument that makes this program the child.
pub(crate) const CHILD: &str = "--store-child";
/// The argument that makes it a child which acknowledges before the disk has anything.
pub(crate) const HASTY: &str = "--hasty-child";
const OWNER: &str = "sip:pf@home1.example";
/// Requests under way at once.
const WINDOW: u64 = 32;

/// The child: returns when its parent closes the pipe, which it does only to end well.
pub(crate) fn child(path: &Path, hasty: bool) -> ExitCode {
    let disk = match Disk::open(path, OWNER) {
        Ok(disk) => disk,
        Err(error) => {
            println!("error {error}");
            return ExitCode::FAILURE;
        }
    };
    for (key, value) in disk.records().expect("the disk reads") {
        let number = u64::from_be_bytes(key.try_into().expect("a key of ours"));
        assert!(value == content(number), "record {number} has the content of another");
        println!("has {number}");
    }
    println!("ready");
    let report = move |batch: BatchId, outcome: Result<(), &std::io::Error>| match outcome {
        Ok(()) if hasty => {}
        Ok(()) => println!("done {}", batch.0),
        Err(error) => println!("error {error}"),
    };
    let committer = Committer::start(disk, Limits::default(), report).expect("a thread");
    for line in std::io::stdin().lines() {
        let line = line.expect("a pipe");
        let (what, number) = line.split_once(' ').expect("a request");
        let number: u64 = number.parse().expect("a number");
        let key = number.to_be_bytes().to_vec();
        let write = if what == "put" { Write::Put { key, value: content(number) } } else { Write::Delete { key } };
        if hasty {
            println!("done {number}");
        }
        committer.submit(BatchId(number), vec![write]).expect("room");
    }
    ExitCode::SUCCESS
}

/// A kilobyte that belongs to this number.
fn content(number: u64) -> Bytes {
    format!("{number:016x}").repeat(64).into()
}

/// Whether the loop finds out a child that acknowledges too early, within some kills.
pub(crate) fn finds_out_haste(seed: u64) -> bool {
    let figures = kill_again_and_again(HASTY, 100, seed, |ledger| !ledger.is_sound());
    !figures.ledger.is_sound()
}

/// Kills the child so many times.
pub(crate) fn run(kills: u64, seed: u64) -> Figures {
    kill_again_and_again(CHILD, kills, seed, |_| false)
}

fn kill_again_and_again(mode: &str, kills: u64, seed: u64, enough: impl Fn(&Ledger) -> bool) -> Figures {
    let folder = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let path = folder.path().join("crash.store");
    let mut world = World { ids: Ids::new(seed, "crash"), last: 0, figures: Figures::default() };
    let mut watch = Watch::start();
    while world.figures.kills < kills && !enough(&world.figures.ledger) {
        let mut process = Process::start(mode, &path);
        // Some die while they open their store, or make it.
        if world.ids.below(8) == 0 {
            world.wait_a_little();
            world.figures.early += 1;
        } else {
            let there = process.ready();
            world.figures.returns.push(watch.elapsed());
            world.figures.ledger.compare(&there);
            world.traffic(&mut process);
        }
        watch = Watch::start();
        process.kill(&mut world.figures.ledger);
        world.figures.kills += 1;
    }
    let there = Process::start(mode, &path).ready();
    world.figures.ledger.compare(&there);
    world.figures
}

struct World {
    ids: Ids,
    last: u64,
    figures: Figures,
}

impl World {
    /// Requests until some number of them is acknowledged; the last ones are under way then.
    fn traffic(&mut self, process: &mut Process) {
        let (mut asked, mut wanted) = (0, self.ids.below(300));
        while wanted > 0 {
            while asked < WINDOW {
                let request = self.next_request();
                process.ask(&request);
                asked += 1;
            }
            process.acknowledged(&mut self.figures.ledger);
            asked -= 1;
            wanted -= 1;
        }
        self.wait_a_little();
    }

    fn next_request(&mut self) -> String {
        let ledger = &mut self.figures.ledger;
        let stored = ledger.stored().count() as u64;
        // About as much goes as comes, so that the store stays of one size.
        if self.ids.below(400) < stored {
            let number = ledger.stored().nth(self.ids.below(stored) as usize).expect("as many as counted");
            let why = if self.ids.below(2) == 0 { Leave::Delivered } else { Leave::Discarded };
            ledger.leave(number, why);
            return format!("drop {number}\n");
        }
        self.last += 1;
        ledger.send(self.last);
        format!("put {}\n", self.last)
    }

    /// Lets the child get on for some time that is different each time and never long.
    fn wait_a_little(&mut self) {
        for _ in 0..self.ids.below(200_000) {
            std::hint::spin_loop();
        }
    }
}

/// A child and its pipes.
struct Process {
    child: Child,
    requests: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(mode: &str, path: &Path) -> Self {
        let program = std::env::current_exe().expect("the path of this program");
        let mut command = Command::new(program);
        command.arg(mode).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let (requests, answers) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Self { child, requests, answers: BufReader::new(answers).lines() }
    }

    /// Waits until it is ready; returns what it has found.
    fn ready(&mut self) -> BTreeSet<u64> {
        let mut there = BTreeSet::new();
        loop {
            let line = self.answers.next().expect("the child lives").expect("a pipe");
            match line.split_once(' ') {
                None if line == "ready" => return there,
                Some(("has", number)) => drop(there.insert(number.parse::<u64>().expect("a number"))),
                _ => panic!("the child says: {line}"),
            }
        }
    }

    fn ask(&mut self, request: &str) {
        self.requests.write_all(request.as_bytes()).expect("the child lives");
    }

    /// Reads one acknowledgement.
    fn acknowledged(&mut self, ledger: &mut Ledger) {
        let line = self.answers.next().expect("the child lives").expect("a pipe");
        take(&line, ledger);
    }

    /// Kills it, and reads what it has still said.
    fn kill(mut self, ledger: &mut Ledger) {
        self.child.kill().expect("the child lives");
        self.child.wait().expect("the child is ours");
        // A line goes into the pipe whole or not at all.
        let rest: Vec<String> = self.answers.by_ref().map_while(Result::ok).collect();
        rest.iter().filter(|line| line.starts_with("done ")).for_each(|line| take(line, ledger));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left behind when a check fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn take(line: &str, ledger: &mut Ledger) {
    match line.strip_prefix("done ").map(str::parse) {
        Some(Ok(number)) => ledger.acknowledge(number),
        _ => panic!("the child says: {line}"),
    }
}
