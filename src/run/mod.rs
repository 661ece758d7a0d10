//! From a suite to outcomes: what is run, in which order, with which seed, and how each scenario
//! is played and judged.

mod block;
pub mod doctor;
pub mod execute;
pub mod expected;
pub mod field;
pub mod foreign;
mod ground;
pub mod measure;
mod medium;
pub mod plan;
mod play;
mod process;
pub mod select;
pub mod selftest;
pub mod serve;
pub mod soak;
mod speak;
mod tamper;
pub mod target;
pub mod waivers;
mod world;

pub use ground::{acquaintances, names};
pub use tamper::Tampering;
