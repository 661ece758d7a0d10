//! From a suite to outcomes: what is run, in which order, with which seed, and how each scenario
//! is played and judged.

pub mod execute;
pub mod field;
mod ground;
pub mod measure;
pub mod plan;
mod play;
pub mod select;
pub mod selftest;
pub mod serve;
pub mod soak;
mod speak;
mod tamper;
mod world;

pub use ground::{acquaintances, names};
pub use tamper::Tampering;
