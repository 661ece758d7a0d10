//! What a user writes about an implementation that is to be tested: where it is and how to reach it
//! (`cpmcheck.toml`), who is who for it, what it claims (PICS), and which failures are expected of it.
//!
//! Each file is read whole; every mistake is told with its place, as those of scenarios are.

mod config;
pub mod edit;
mod expectations;
mod identities;
mod pics;
mod pixit;
pub(super) mod schema;
mod tables;

pub use config::{BUILT_IN, Configuration, Target};
pub use expectations::{Date, Entry, Expect, Failure, UNWRITTEN, VersionTest};
pub use identities::Identities;
pub use pics::Pics;
pub use pixit::{Addresses, Control, Reach, Timers, TlsPaths};

use super::Suite;
use super::diagnostics::{Diagnostic, Look, Severity, render};
use super::reader::Desk;
use super::source::Sources;
use super::yaml;

/// The number of the one file of a document, in places.
const FILE: u32 = 0;

/// A file that was read, with its text, so that its mistakes can be shown.
#[derive(Clone, Debug, Default)]
pub struct Document<T> {
    /// What it says, as far as it could be read.
    pub value: T,
    /// Its text.
    pub sources: Sources,
    /// What is wrong with it.
    pub mistakes: Vec<Diagnostic>,
}

impl<T> Document<T> {
    /// Whether it can be used.
    pub fn is_usable(&self) -> bool {
        self.mistakes.iter().all(|mistake| mistake.severity < Severity::Error)
    }

    /// Its mistakes, for a person.
    pub fn complaints(&self, look: Look) -> String {
        render(&self.mistakes, &self.sources, look)
    }
}

/// Reads `cpmcheck.toml`.
pub fn configuration(shown: &str, text: String) -> Document<Configuration> {
    document(shown, text, Form::Toml, config::read)
}

/// Reads a file of identities against the suite whose users and groups it speaks of.
pub fn identities(shown: &str, text: String, suite: &Suite) -> Document<Identities> {
    document(shown, text, Form::Yaml, |desk, tree| identities::read(desk, tree, suite))
}

/// Reads a PICS file against the suite whose features and requirements it speaks of.
pub fn pics(shown: &str, text: String, suite: &Suite) -> Document<Pics> {
    document(shown, text, Form::Yaml, |desk, tree| pics::read(desk, tree, suite))
}

/// Reads a file of expected failures.
pub fn expectations(shown: &str, text: String) -> Document<Vec<Entry>> {
    document(shown, text, Form::Yaml, expectations::read)
}

/// The names of features that a PICS file may speak of: what scenarios need, and their tags.
pub fn features(suite: &Suite) -> Vec<&str> {
    pics::features(suite)
}

/// How a file is written.
#[derive(Clone, Copy)]
enum Form {
    Toml,
    Yaml,
}

fn document<T: Default>(shown: &str, text: String, form: Form, read: impl FnOnce(&Desk, &yaml::Node) -> T) -> Document<T> {
    let mut sources = Sources { origin: shown.to_owned(), ..Sources::default() };
    sources.put(shown, shown, text);
    let desk = Desk::default();
    let file = &sources.files[FILE as usize];
    let tree = match form {
        Form::Toml => tables::parse(&desk, &file.text),
        Form::Yaml => desk.with(|mistakes| yaml::parse(FILE, file, mistakes)),
    };
    let value = tree.map(|tree| read(&desk, &tree)).unwrap_or_default();
    Document { value, mistakes: desk.into_sorted(), sources }
}
