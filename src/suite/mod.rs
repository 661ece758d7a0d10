//! The suite: its text, its catalogue of requirements, its scenarios.

pub mod catalogue;
pub mod scenario;
