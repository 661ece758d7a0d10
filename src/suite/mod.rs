//! The suite: its text, its catalogue of requirements, its scenarios.
//!
//! [`load`] reads everything that [`source::Sources`] holds: text, then YAML trees ([`yaml`]), then
//! resolved values. All mistakes of all files are collected; one bad file never hides the rest.

pub mod catalogue;
pub mod codes;
pub mod diagnostics;
pub mod scenario;
pub mod source;
pub mod yaml;

use catalogue::Catalogue;
use diagnostics::{Diagnostic, Severity};
use scenario::{Defaults, Scenario};
use source::Sources;

/// A suite that was read.
#[derive(Clone, Debug, Default)]
pub struct Suite {
    /// Its text.
    pub sources: Sources,
    /// What holds for every scenario.
    pub defaults: Defaults,
    /// Its requirements.
    pub catalogue: Catalogue,
    /// Its scenarios, ordered by identifier.
    pub scenarios: Vec<Scenario>,
}

impl Suite {
    /// The scenario of an identifier.
    pub fn scenario(&self, id: &str) -> Option<&Scenario> {
        self.scenarios.iter().find(|scenario| scenario.id == id)
    }
}

/// What could be read, and everything that is wrong.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// What could be read.
    pub suite: Suite,
    /// All mistakes, ordered by file and place.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Whether the suite can be used: nothing is worse than a warning.
    pub fn is_usable(&self) -> bool {
        self.diagnostics.iter().all(|diagnostic| diagnostic.severity < Severity::Error)
    }
}

/// Reads a suite.
///
/// # Errors
///
/// When anything in it is a mistake; what could be read is there all the same.
pub fn load(sources: Sources) -> Result<Suite, Box<Loaded>> {
    let loaded = load_all(sources);
    if loaded.is_usable() { Ok(loaded.suite) } else { Err(Box::new(loaded)) }
}

/// Reads a suite as far as it can be read.
pub fn load_all(sources: Sources) -> Loaded {
    Loaded { suite: Suite { sources, ..Suite::default() }, diagnostics: Vec::new() }
}
