//! The disk of a node: it outlives the node's process.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::engine::{CommitOutcome, Write};

/// Where a node's commits go.
pub trait Disk {
    /// Makes all writes durable, or none.
    fn commit(&mut self, writes: &[Write]) -> CommitOutcome;

    /// What is stored, in the order of its keys: what a process reads when it starts.
    fn entries(&self) -> Vec<(Vec<u8>, Bytes)>;
}

/// A disk in memory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MemoryDisk {
    entries: BTreeMap<Vec<u8>, Bytes>,
}

impl Disk for MemoryDisk {
    fn commit(&mut self, writes: &[Write]) -> CommitOutcome {
        for write in writes {
            match write {
                Write::Put { key, value } => {
                    self.entries.insert(key.clone(), value.clone());
                }
                Write::Delete { key } => {
                    self.entries.remove(key);
                }
            }
        }
        CommitOutcome::Durable
    }

    fn entries(&self) -> Vec<(Vec<u8>, Bytes)> {
        self.entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// Which commits fail.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum CommitFailure {
    /// None does.
    #[default]
    Never,
    /// Every one does.
    Always,
    /// Those of these numbers do, counted from 1.
    Among(Vec<u64>),
}

/// How a node's commits go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitPlan {
    /// From the request to the outcome; a process that dies in between has stored nothing.
    pub delay: Duration,
    /// Which of them fail.
    pub failure: CommitFailure,
}

impl Default for CommitPlan {
    fn default() -> Self {
        Self { delay: Duration::from_millis(1), failure: CommitFailure::Never }
    }
}

impl CommitPlan {
    /// Whether the commit number `nth`, from 1, fails.
    pub(super) fn fails(&self, nth: u64) -> bool {
        match &self.failure {
            CommitFailure::Never => false,
            CommitFailure::Always => true,
            CommitFailure::Among(chosen) => chosen.contains(&nth),
        }
    }
}
