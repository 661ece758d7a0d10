//! From a suite to outcomes: what is run, in which order, with which seed, and how each scenario
//! is played and judged.

pub mod coverage;
pub mod execute;
pub mod plan;
pub mod select;
pub mod selftest;
mod speak;
mod tamper;
mod world;

pub use tamper::Tampering;
pub use world::names;
