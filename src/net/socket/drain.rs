//! An end in good order: what has come is dealt with and answered, and nothing more is taken in.
//!
//! ```text
//! readers   --last call-->  read what is there, then no more
//! engines   --------------  commit it and answer
//! writers   ---all done-->  the driver, which asks whether that was all, and ends the connections
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::connection::Connection;
use super::{Node, Sockets, Weather};
use crate::engine::Engine;
use crate::time::Instant;

/// What the tasks of a driver have in hand.
#[derive(Clone, Debug)]
pub(super) struct Work(Arc<Tally>);

#[derive(Debug)]
struct Tally {
    in_hand: AtomicUsize,
    done: Notify,
    last_call: watch::Sender<bool>,
}

/// A piece of it, until dropped: a reader that may bring something, or bytes that wait to be written.
#[derive(Debug)]
pub(super) struct Share(Work);

impl Default for Work {
    fn default() -> Self {
        Self(Arc::new(Tally { in_hand: AtomicUsize::new(0), done: Notify::new(), last_call: watch::Sender::new(false) }))
    }
}

impl Work {
    pub(super) fn begin(&self) -> Share {
        self.0.in_hand.fetch_add(1, Ordering::Relaxed);
        Share(self.clone())
    }

    /// From now on readers take what is there already and nothing more.
    fn call_last(&self) {
        self.0.last_call.send_replace(true);
    }

    fn is_in_hand(&self) -> bool {
        self.0.in_hand.load(Ordering::Acquire) > 0
    }

    /// Waits until the last piece is done. It has been waited for in vain if there is a new one by then.
    async fn done(&self) {
        self.0.done.notified().await;
    }
}

impl Share {
    /// Waits until nothing more is to be read than is there already.
    pub(super) async fn last_call(&self) {
        // The sender lives as long as this does.
        let _ = self.0.0.last_call.subscribe().wait_for(|called| *called).await;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.0.0.in_hand.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.0.done.notify_one();
        }
    }
}

impl<E: Engine> Sockets<E> {
    /// Stops accepting and reading, waits until what has come is committed and answered and all of that
    /// is written, and ends the connections; all of it within `patience`. A peer that has not been read
    /// from is not answered: it says the same again to whoever comes after.
    pub async fn drain(&mut self, patience: Duration) {
        for node in &mut self.nodes {
            node.listening.iter().for_each(AbortHandle::abort);
        }
        self.work.call_last();
        let (work, end) = (self.work.clone(), self.clock.now() + patience.mul_f64(self.clock.rate()));
        while self.is_busy() {
            tokio::select! {
                biased;
                stepped = self.step(Some(end)) => if stepped.is_none() {
                    return tracing::warn!(target: "socket", "not all could be finished in time");
                },
                // That the last byte is written is nothing that happens to an engine.
                () = work.done() => {}
            }
        }
        self.part(end).await;
    }

    /// Ends every connection so that what was said last arrives. No engine is told: its sessions are
    /// to go on when it is back.
    async fn part(&mut self, end: Instant) {
        for node in &mut self.nodes {
            std::mem::take(&mut node.connections).values().for_each(Connection::conclude);
        }
        let (work, late) = (self.work.clone(), tokio::time::sleep_until(self.clock.at(end)));
        tokio::pin!(late);
        while work.is_in_hand() {
            tokio::select! {
                () = work.done() => {}
                // Whatever it is, it comes too late.
                Some(_) = self.inbox.recv() => {}
                () = &mut late => return,
            }
        }
    }

    fn is_busy(&self) -> bool {
        let held = self.weather.as_ref().is_some_and(Weather::is_carrying);
        let committing = |node: &Node<E>| node.committing > 0;
        self.work.is_in_hand()
            || held
            || !self.inbox.is_empty()
            || !self.committed.1.is_empty()
            || self.nodes.iter().any(committing)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll(future: impl Future<Output = ()>) -> Poll<()> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn only_the_end_of_the_last_piece_of_work_is_told() {
        let work = Work::default();
        let [one, other] = [work.begin(), work.begin()];
        drop(one);
        assert_eq!((work.is_in_hand(), poll(work.done())), (true, Poll::Pending));
        drop(other);
        assert_eq!((work.is_in_hand(), poll(work.done())), (false, Poll::Ready(())));
    }

    #[test]
    fn a_last_call_reaches_readers_that_come_after_it() {
        let work = Work::default();
        let early = work.begin();
        assert_eq!(poll(early.last_call()), Poll::Pending);
        work.call_last();
        assert_eq!([poll(early.last_call()), poll(work.begin().last_call())], [Poll::Ready(()); 2]);
    }
}
