//! How many messages a second are acknowledged after they are on the disk.
//!
//! 50 connections, each with one message of 1 KB under way. The target is 5 000 messages a second.
//! Beside it stand the same without a disk, the database without anything around it, and a commit
//! for each message.

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cpmcheck::engine::{BatchId, MemoryStore, Store, Write};
use cpmcheck::net::disk::{Committer, Disk, Limits};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use redb::{Database, TableDefinition};
use tempfile::TempDir;

const OWNER: &str = "sip:pf@home1.example";
const PRODUCERS: u64 = 50;
const MESSAGES: u64 = 20_000;
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn now() -> Instant {
    Instant::now()
}

/// A folder on the disk that holds the build, not in memory.
fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let path = folder.path().join("bench.store");
    (folder, path)
}

fn record(number: u64, value: &Bytes) -> Write {
    Write::Put { key: number.to_be_bytes().to_vec(), value: value.clone() }
}

/// What a run has shown.
struct Run {
    messages: u64,
    took: Duration,
    /// From asking to the acknowledgement, sorted.
    latencies: Vec<Duration>,
}

impl Run {
    fn new(messages: u64, took: Duration, mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        Self { messages, took, latencies }
    }

    fn rate(&self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64()
    }

    fn row(&self, name: &str) {
        let at = |part: f64| self.latencies[((self.latencies.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
        println!("  {name:<34} {:>9.0}/s   p50 {:>7.3} ms   p99 {:>7.3} ms", self.rate(), at(0.5), at(0.99));
    }
}

/// Producers that each wait for their message before they send the next.
fn grouped(store: impl Store + Send + 'static, messages: u64) -> Run {
    let (tell, outcomes) = mpsc::channel();
    let report = move |batch: BatchId, outcome: Result<(), &std::io::Error>| {
        outcome.expect("the disk works");
        tell.send(batch.0).expect("the producers listen");
    };
    let committer = Committer::start(store, Limits::default(), report).expect("a thread");
    let value = Bytes::from(vec![b'x'; 1_024]);
    let mut asked = Vec::with_capacity(messages as usize);
    let mut latencies = Vec::with_capacity(messages as usize);
    let send = |asked: &mut Vec<Instant>| {
        let number = asked.len() as u64;
        asked.push(now());
        committer.submit(BatchId(number), vec![record(number, &value)]).expect("room");
    };
    let start = now();
    (0..PRODUCERS.min(messages)).for_each(|_| send(&mut asked));
    for _ in 0..messages {
        let done: u64 = outcomes.recv().expect("the thread lives");
        latencies.push(asked[done as usize].elapsed());
        if (asked.len() as u64) < messages {
            send(&mut asked);
        }
    }
    Run::new(messages, start.elapsed(), latencies)
}

fn one_for_each(messages: u64) -> Run {
    let (_folder, path) = folder();
    let mut disk = Disk::open(&path, OWNER).expect("a store");
    let value = Bytes::from(vec![b'x'; 1_024]);
    let start = now();
    let commit = |number| {
        let asked = now();
        disk.commit(&[record(number, &value)]).expect("the disk works");
        asked.elapsed()
    };
    let latencies = (0..messages).map(commit).collect();
    Run::new(messages, start.elapsed(), latencies)
}

/// The database alone, `each` records to a commit.
fn raw(messages: u64, each: u64) -> Run {
    let (_folder, path) = folder();
    let database = Database::create(path).expect("a file");
    let value = vec![b'x'; 1_024];
    let commit = |first: u64| {
        let asked = now();
        let transaction = database.begin_write().expect("a disk");
        {
            let mut table = transaction.open_table(RECORDS).expect("a table");
            for number in first..first + each {
                table.insert(number.to_be_bytes().as_slice(), value.as_slice()).expect("a disk");
            }
        }
        transaction.commit().expect("a disk");
        asked.elapsed()
    };
    let start = now();
    let latencies = (0..messages).step_by(each as usize).map(commit).collect();
    Run::new(messages, start.elapsed(), latencies)
}

fn on_disk(messages: u64) -> Run {
    let (_folder, path) = folder();
    grouped(Disk::open(&path, OWNER).expect("a store"), messages)
}

/// One run of each, side by side.
fn figures() {
    println!("\n{MESSAGES} records of 1 KB, {PRODUCERS} producers, acknowledged after sync:");
    let disk = on_disk(MESSAGES);
    disk.row("disk, commits grouped");
    let memory = grouped(MemoryStore::default(), MESSAGES);
    memory.row("memory, commits grouped");
    let engine = raw(MESSAGES, PRODUCERS);
    engine.row("database alone, 50 to a commit");
    let single = one_for_each(MESSAGES / 20);
    single.row("disk, a commit for each");
    let bare = raw(MESSAGES / 20, 1);
    bare.row("database alone, a commit for each");
    let ratio = |other: &Run| disk.rate() / other.rate();
    println!(
        "  grouped commits on disk are {:.3} of memory, {:.2} of the database alone, {:.1} times a commit for each\n",
        ratio(&memory),
        ratio(&engine),
        ratio(&single)
    );
}

fn store(criterion: &mut Criterion) {
    figures();
    let mut group = criterion.benchmark_group("store");
    group.sample_size(10).throughput(Throughput::Elements(1));
    // Criterion asks for a number of messages and gets the time that they took.
    let took = |run: fn(u64) -> Run| {
        move |messages: u64| run(messages.max(PRODUCERS)).took.mul_f64(messages as f64 / messages.max(PRODUCERS) as f64)
    };
    group.bench_function("disk, commits grouped", |bencher| bencher.iter_custom(took(on_disk)));
    group.bench_function("memory, commits grouped", |bencher| {
        bencher.iter_custom(took(|messages| grouped(MemoryStore::default(), messages)));
    });
    group.bench_function("disk, a commit for each", |bencher| bencher.iter_custom(took(one_for_each)));
    group.finish();
}

criterion_group!(benches, store);
criterion_main!(benches);
