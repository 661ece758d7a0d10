//! Results as text: for a person, for a CI service, for a file. Reports read outcomes and change
//! nothing.

pub mod chart;
pub mod codes;
pub mod conformance;
pub mod diff;
pub mod escape;
pub mod exhibit;
pub mod json;
pub mod jsonl;
pub mod junit;
pub mod ladder;
pub mod markdown;
pub mod matrix;
pub mod mermaid;
pub mod plantuml;
pub mod revision;
pub mod style;
pub mod svg;
pub mod terminal;
#[cfg(test)]
mod tests;
