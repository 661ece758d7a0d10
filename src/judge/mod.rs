//! The court: findings over a trace, and their verdict.
//!
//! It sees a trace and nothing else, and shares only the parsers with the player.

pub mod expect;
pub mod outcome;
pub mod verdict;
