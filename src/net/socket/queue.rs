//! The bytes that wait for one peer, and the two tasks that meet there.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use super::drain::{Share, Work};
use crate::engine::Closure;

/// Small messages are joined up to this many bytes, so that they do not go in packets of their own.
const JOINED: usize = 64 * 1024;

/// What the writer does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Writes these bytes.
    Write(Bytes),
    /// Ends the connection.
    End(Closure),
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    /// As long as bytes wait that the peer is to get.
    unwritten: Option<Share>,
    ending: Option<Closure>,
    /// As long as the driver waits for the connection to end.
    leaving: Option<Share>,
    /// Grows with every byte that the peer took.
    written: u64,
}

/// The bytes that wait for one peer.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    pause_at: usize,
    driver: Work,
    work: Notify,
    relief: Notify,
    ended: Notify,
}

impl Queue {
    pub(super) fn new(pause_at: usize, driver: Work) -> Self {
        Self { state: Mutex::default(), pause_at, driver, work: Notify::new(), relief: Notify::new(), ended: Notify::new() }
    }

    /// Nothing panics while the lock is held, so a poisoned one is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts bytes in line and returns how many wait now.
    pub(super) fn push(&self, data: Bytes) -> usize {
        let mut state = self.state();
        state.bytes += data.len();
        state.waiting.push_back(data);
        state.unwritten.get_or_insert_with(|| self.driver.begin());
        self.work.notify_one();
        state.bytes
    }

    /// Ends the connection: after what waits, or at once.
    pub(super) fn end(&self, how: Closure) {
        let mut state = self.state();
        if how != Closure::Finished {
            state.waiting.clear();
            state.bytes = 0;
            state.unwritten = None;
        }
        state.ending = Some(how);
        self.work.notify_one();
        self.relief.notify_one();
        self.ended.notify_one();
    }

    /// Ends the connection after what waits, as the last thing that the driver does with it.
    pub(super) fn leave(&self) {
        self.state().leaving = Some(self.driver.begin());
        self.end(Closure::Finished);
    }

    /// Whether the driver is about to end.
    pub(super) fn is_leaving(&self) -> bool {
        self.state().leaving.is_some()
    }

    /// Waits until this side has ended the connection and the peer has had `grace` to take what
    /// waits; an end without ceremony grants none.
    pub(super) async fn overdue(&self, grace: Duration) {
        while self.state().ending.is_none() {
            self.ended.notified().await;
        }
        if !self.is_aborted() {
            tokio::time::timeout(grace, self.aborted()).await.unwrap_or_default();
        }
    }

    async fn aborted(&self) {
        while !self.is_aborted() {
            self.ended.notified().await;
        }
    }

    /// How many bytes wait, and how many were ever written.
    pub(super) fn level(&self) -> (usize, u64) {
        let state = self.state();
        (state.bytes, state.written)
    }

    /// Whether the connection is to end at once, whatever the peer does.
    pub(super) fn is_aborted(&self) -> bool {
        matches!(self.state().ending, Some(Closure::Reset | Closure::Refused))
    }

    /// Waits for something to write.
    pub(super) async fn next(&self) -> Next {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.work.notified().await;
        }
    }

    fn take(&self) -> Option<Next> {
        let mut state = self.state();
        let Some(first) = state.waiting.pop_front() else { return state.ending.map(Next::End) };
        let fits = |size: usize, next: &Bytes| size + next.len() <= JOINED;
        if !state.waiting.front().is_some_and(|next| fits(first.len(), next)) {
            return Some(Next::Write(first));
        }
        let mut joined = BytesMut::from(first);
        while let Some(next) = state.waiting.pop_front_if(|next| fits(joined.len(), next)) {
            joined.extend_from_slice(&next);
        }
        Some(Next::Write(joined.freeze()))
    }

    /// What was taken out so far is on its way to the peer.
    pub(super) fn flushed(&self) {
        let mut state = self.state();
        if state.waiting.is_empty() {
            state.unwritten = None;
        }
    }

    /// The peer took this many bytes.
    pub(super) fn wrote(&self, bytes: usize) {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_sub(bytes);
        state.written += bytes as u64;
        if state.bytes < self.pause_at {
            self.relief.notify_one();
        }
    }

    /// Waits until the peer has taken enough for more to be read from it.
    pub(super) async fn relieved(&self) {
        while !self.is_relieved() {
            self.relief.notified().await;
        }
    }

    fn is_relieved(&self) -> bool {
        let state = self.state();
        state.bytes < self.pause_at || state.ending.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(queue: &Queue) -> Option<Bytes> {
        match queue.take()? {
            Next::Write(bytes) => Some(bytes),
            Next::End(_) => None,
        }
    }

    #[test]
    fn small_messages_are_joined_and_large_ones_are_not_copied() {
        let queue = Queue::new(10, Work::default());
        let large = Bytes::from(vec![b'x'; JOINED]);
        queue.push(Bytes::from_static(b"one "));
        queue.push(Bytes::from_static(b"two"));
        assert_eq!(queue.push(large.clone()), JOINED + 7);
        assert_eq!(written(&queue).as_deref(), Some(&b"one two"[..]));
        assert_eq!(written(&queue).map(|bytes| bytes.as_ptr()), Some(large.as_ptr()));
        assert!(queue.take().is_none());
    }

    #[test]
    fn a_finish_comes_after_what_waits_and_a_reset_at_once() {
        let queue = Queue::new(10, Work::default());
        queue.push(Bytes::from_static(b"last words"));
        queue.end(Closure::Finished);
        assert!(written(&queue).is_some());
        assert!(matches!(queue.take(), Some(Next::End(Closure::Finished))));
        queue.push(Bytes::from_static(b"never said"));
        queue.end(Closure::Reset);
        assert!(matches!(queue.take(), Some(Next::End(Closure::Reset))));
        assert!(queue.is_aborted());
    }
}
