//! A store on a thread of its own, which makes one commit of all batches that wait.
//!
//! While a commit is on its way to the disk the next ones gather; so the more there is to do, the
//! more of it shares a commit, and the disk does not set the rate. Outcomes come in the order in
//! which batches went in. What waits is bounded: a batch beyond that is refused at once.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::engine::{BatchId, Store, Write};

/// How much may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Batches, the one excepted that is on its way to the disk.
    pub batches: usize,
    /// Bytes of their keys and values.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { batches: 65_536, bytes: 256 << 20 }
    }
}

/// A batch that was not taken; none of its writes takes place. Too much waits, or the thread is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused;

/// The thread that commits, seen from outside.
#[derive(Debug)]
pub struct Committer<S> {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<S>>,
}

impl<S: Store + Send + 'static> Committer<S> {
    /// Starts the thread. It tells `report` the outcome of each batch; `report` must not block.
    ///
    /// # Errors
    ///
    /// When the operating system gives no thread.
    pub fn start<R>(mut store: S, limits: Limits, mut report: R) -> io::Result<Self>
    where
        R: FnMut(BatchId, Result<(), &io::Error>) + Send + 'static,
    {
        let queue = Arc::new(Queue { limits, waiting: Mutex::default(), grown: Condvar::new() });
        let served = Arc::clone(&queue);
        let run = move || {
            let _closed = Closing(&served);
            while let Some(batches) = served.take() {
                commit(&mut store, batches, &mut report);
            }
            store
        };
        let thread = thread::Builder::new().name("store".to_owned()).spawn(run)?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Hands in a batch; its outcome is reported.
    ///
    /// # Errors
    ///
    /// When too much waits already; nothing is reported of the batch then.
    pub fn submit(&self, batch: BatchId, writes: Vec<Write>) -> Result<(), Refused> {
        self.queue.put(batch, writes)
    }

    /// Commits what waits, ends the thread and gives the store back; `None` if the thread has panicked.
    pub fn close(mut self) -> Option<S> {
        self.end()
    }
}

impl<S> Committer<S> {
    fn end(&mut self) -> Option<S> {
        self.queue.close();
        self.thread.take()?.join().ok()
    }
}

impl<S> Drop for Committer<S> {
    fn drop(&mut self) {
        drop(self.end());
    }
}

/// Commits batches in one; when that fails, each alone, so that one that the store cannot take does
/// not stand in the way of the others.
fn commit(store: &mut impl Store, mut batches: Vec<Batch>, report: &mut impl FnMut(BatchId, Result<(), &io::Error>)) {
    if let [batch] = &*batches {
        return report(batch.id, store.commit(&batch.writes).as_ref().map(drop));
    }
    let ends: Vec<usize> = batches.iter().scan(0, |end, batch| Some(next_end(end, batch))).collect();
    let all: Vec<Write> = batches.iter_mut().flat_map(|batch| std::mem::take(&mut batch.writes)).collect();
    let together = store.commit(&all);
    let mut start = 0;
    for (batch, end) in batches.iter().zip(ends) {
        match together {
            Ok(()) => report(batch.id, Ok(())),
            Err(_) => report(batch.id, store.commit(&all[start..end]).as_ref().map(drop)),
        }
        start = end;
    }
}

fn next_end(end: &mut usize, batch: &Batch) -> usize {
    *end += batch.writes.len();
    *end
}

#[derive(Debug)]
struct Batch {
    id: BatchId,
    writes: Vec<Write>,
}

#[derive(Debug)]
struct Queue {
    limits: Limits,
    waiting: Mutex<Waiting>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    /// A thread that panicked leaves the queue whole: no lock is held across a commit.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, id: BatchId, writes: Vec<Write>) -> Result<(), Refused> {
        let size: usize = writes.iter().map(size).sum();
        let mut waiting = self.waiting();
        // One batch is always taken, however large: its size is the engine's affair.
        let full = waiting.batches.len() >= self.limits.batches || waiting.bytes.saturating_add(size) > self.limits.bytes;
        if waiting.closed || (full && !waiting.batches.is_empty()) {
            return Err(Refused);
        }
        waiting.bytes += size;
        waiting.batches.push_back(Batch { id, writes });
        drop(waiting);
        self.grown.notify_one();
        Ok(())
    }

    /// All that waits; `None` when the queue is closed and empty.
    fn take(&self) -> Option<Vec<Batch>> {
        let idle = |waiting: &mut Waiting| waiting.batches.is_empty() && !waiting.closed;
        let mut waiting = self.grown.wait_while(self.waiting(), idle).unwrap_or_else(PoisonError::into_inner);
        waiting.bytes = 0;
        let batches = Vec::from(std::mem::take(&mut waiting.batches));
        (!batches.is_empty()).then_some(batches)
    }

    fn close(&self) {
        self.waiting().closed = true;
        self.grown.notify_one();
    }
}

/// Closes the queue when the thread ends, by a panic too: a batch that nobody takes would wait for
/// ever.
struct Closing<'a>(&'a Queue);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

const fn size(write: &Write) -> usize {
    match write {
        Write::Put { key, value } => key.len() + value.len(),
        Write::Delete { key } => key.len(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};

    use bytes::Bytes;

    use super::*;
    use crate::engine::MemoryStore;

    /// A store that says how many writes a commit has, waits to be let on, and refuses some keys.
    struct Gated {
        inner: MemoryStore,
        begun: Sender<usize>,
        gate: Receiver<()>,
        refused: &'static [u8],
    }

    impl Store for Gated {
        fn commit(&mut self, writes: &[Write]) -> io::Result<()> {
            let _ = self.begun.send(writes.len());
            let _ = self.gate.recv();
            let refused = |write: &Write| matches!(write, Write::Put { key, .. } if key == self.refused);
            if writes.iter().any(refused) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.inner.commit(writes)
        }

        fn records(&self) -> io::Result<Vec<(Vec<u8>, Bytes)>> {
            self.inner.records()
        }
    }

    type Outcome = (u64, bool);

    struct World {
        committer: Committer<Gated>,
        begun: Receiver<usize>,
        gate: Sender<()>,
        outcomes: Receiver<Outcome>,
    }

    fn world(limits: Limits, refused: &'static [u8]) -> World {
        let ((starts, begun), (gate, gated), (tell, outcomes)) = (mpsc::channel(), mpsc::channel(), mpsc::channel());
        let store = Gated { inner: MemoryStore::default(), begun: starts, gate: gated, refused };
        let report = move |batch: BatchId, outcome: Result<(), &io::Error>| {
            let _ = tell.send((batch.0, outcome.is_ok()));
        };
        World { committer: Committer::start(store, limits, report).expect("a thread"), begun, gate, outcomes }
    }

    fn put(key: &[u8]) -> Vec<Write> {
        vec![Write::Put { key: key.to_vec(), value: Bytes::from_static(b"value") }]
    }

    impl World {
        fn submit(&self, number: u64, key: &[u8]) -> Result<(), Refused> {
            self.committer.submit(BatchId(number), put(key))
        }

        /// Lets commits go on for ever and ends the thread.
        fn finish(self) -> (MemoryStore, Vec<Outcome>) {
            drop(self.gate);
            let store = self.committer.close().expect("no panic");
            (store.inner, self.outcomes.iter().collect())
        }
    }

    #[test]
    fn what_gathers_while_a_commit_is_under_way_shares_the_next_one() {
        let world = world(Limits::default(), b"");
        world.submit(1, b"a").expect("room");
        assert_eq!(world.begun.recv(), Ok(1));
        for number in 2..=6 {
            world.submit(number, &[number as u8]).expect("room");
        }
        world.gate.send(()).expect("the thread waits");
        assert_eq!(world.begun.recv(), Ok(5));
        let (store, outcomes) = world.finish();
        assert_eq!(outcomes, (1..=6).map(|number| (number, true)).collect::<Vec<_>>());
        assert_eq!(store.records().expect("memory").len(), 6);
    }

    #[test]
    fn one_batch_that_cannot_be_stored_fails_alone_and_in_its_turn() {
        let world = world(Limits::default(), b"bad");
        world.submit(1, b"a").expect("room");
        assert_eq!(world.begun.recv(), Ok(1));
        for (number, key) in [(2, &b"b"[..]), (3, b"bad"), (4, b"c")] {
            world.submit(number, key).expect("room");
        }
        let (store, outcomes) = world.finish();
        assert_eq!(outcomes, [(1, true), (2, true), (3, false), (4, true)]);
        let keys: Vec<Vec<u8>> = store.records().expect("memory").into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"a".to_vec(), b"b".to_vec(), b"c".to_vec()]);
    }

    #[test]
    fn what_is_beyond_the_limits_is_refused_at_once() {
        let world = world(Limits { batches: 2, bytes: 1_000 }, b"");
        world.submit(1, b"a").expect("room");
        assert_eq!(world.begun.recv(), Ok(1));
        world.submit(2, b"b").expect("room");
        world.submit(3, b"c").expect("room");
        assert_eq!(world.submit(4, b"d"), Err(Refused));
        assert_eq!(world.finish().1, [(1, true), (2, true), (3, true)]);
    }

    #[test]
    fn bytes_count_too_but_a_single_batch_is_always_taken() {
        let world = world(Limits { batches: 9, bytes: 8 }, b"");
        world.submit(1, b"a").expect("room");
        assert_eq!(world.begun.recv(), Ok(1));
        world.submit(2, b"large enough").expect("nothing waits");
        assert_eq!(world.submit(3, b"b"), Err(Refused));
        assert_eq!(world.finish().1, [(1, true), (2, true)]);
    }

    #[test]
    fn a_thread_that_is_gone_takes_nothing_more() {
        let report = |_, _: Result<(), &io::Error>| panic!("a fault of the driver");
        let committer = Committer::start(MemoryStore::default(), Limits::default(), report).expect("a thread");
        committer.submit(BatchId(1), put(b"a")).expect("room");
        committer.queue.grown.wait_while(committer.queue.waiting(), |waiting| !waiting.closed).expect("no lock is held").closed =
            true;
        assert_eq!(committer.submit(BatchId(2), put(b"b")), Err(Refused));
        assert!(committer.close().is_none());
    }
}
