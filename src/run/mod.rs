//! From a suite to outcomes: what is run, in which order, with which seed, and how each scenario
//! is played and judged.

pub mod select;
