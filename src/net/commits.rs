//! How the commits of a node go: how long they take and which of them fail.

use std::time::Duration;

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
