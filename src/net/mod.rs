//! The virtual wire, and the rule by which engines are driven.
//!
//! [`Hub`] is the one place that calls an [`Engine`]: record, handle, drain, record. It stands
//! under every driver, so that a run in the simulator and one on sockets differ in their bytes'
//! way and in nothing else. [`sim::Simulator`] moves hubs in virtual time, [`socket::Sockets`] on
//! real sockets in real time.

mod commits;
pub mod disk;
mod edge;
mod link;
pub mod sim;
pub mod socket;
mod stream;

use std::sync::Arc;

pub use commits::{CommitFailure, CommitPlan};
pub use edge::{Edge, Filter, Injection, Verdict};
pub use link::{NodeId, Quality};

use crate::engine::{Engine, Input, Output};
use crate::time::Instant;
use edge::Held;

/// One engine, and whether it is the one whose edge is recorded.
#[derive(Debug)]
pub struct Hub<E> {
    engine: E,
    name: Arc<str>,
    observed: bool,
}

impl<E: Engine> Hub<E> {
    /// An engine under the name of its node; what crosses its edge is recorded if `observed`.
    pub fn new(name: Arc<str>, engine: E, observed: bool) -> Self {
        Self { engine, name, observed }
    }

    /// The engine.
    pub const fn engine(&self) -> &E {
        &self.engine
    }

    /// Records the input, applies it, drains the engine and records what it put out. What is to be
    /// done about that is left in `effects`.
    pub fn feed(&mut self, now: Instant, input: Input, edge: &mut Edge, effects: &mut Vec<Output>) {
        if !self.observed {
            self.engine.handle(now, input);
            return self.drain(now, edge, effects);
        }
        edge.admit(now, input);
        self.feed_admitted(now, edge, effects);
    }

    /// Lets the owner of the run act on the engine, a scripted one say, and drains it likewise.
    pub fn act<R>(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        effects: &mut Vec<Output>,
        action: impl FnOnce(&mut E, Instant) -> R,
    ) -> R {
        let result = action(&mut self.engine, now);
        self.drain(now, edge, effects);
        if self.observed {
            edge.inject(now, effects);
        }
        result
    }

    /// Lets go of a message that the filter held back.
    fn release(&mut self, now: Instant, held: Held, edge: &mut Edge, effects: &mut Vec<Output>) {
        edge.release(now, held, effects);
        self.feed_admitted(now, edge, effects);
    }

    fn feed_admitted(&mut self, now: Instant, edge: &mut Edge, effects: &mut Vec<Output>) {
        while let Some(input) = edge.next_admitted() {
            self.engine.handle(now, input);
            self.drain(now, edge, effects);
        }
        edge.inject(now, effects);
    }

    fn drain(&mut self, now: Instant, edge: &mut Edge, effects: &mut Vec<Output>) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Note(note) => edge.note(now, &self.name, note),
                output if self.observed => edge.emit(now, output, effects),
                output => effects.push(output),
            }
        }
    }
}
