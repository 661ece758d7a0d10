//! The suite: its text, its catalogue of requirements, its scenarios.
//!
//! [`load`] reads everything that [`source::Sources`] holds: text, then YAML trees ([`yaml`]), then
//! resolved values. All mistakes of all files are collected; one bad file never hides the rest.

mod arithmetic;
mod arrows;
pub mod catalogue;
pub mod codes;
mod conditions;
mod defaults;
pub mod diagnostics;
mod flow;
mod fragments;
mod lint;
mod patterns;
mod reader;
mod resolve;
mod rule_lint;
mod rules;
pub mod scenario;
pub mod schema;
mod scope;
pub mod source;
mod threads;
pub mod yaml;

use catalogue::Catalogue;
use diagnostics::{Diagnostic, Severity};
use fragments::Library;
use reader::Desk;
use resolve::Surroundings;
use rules::Rules;
use scenario::{Defaults, Scenario};
use source::Sources;
use yaml::Node;

use crate::pattern::ast::Place;

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
    let desk = Desk::default();
    for (file, why) in &sources.unreadable {
        desk.say(Diagnostic::new("Y0070", Place::default(), format!("{file} is no UTF-8: {why}")));
    }
    let parse = |(at, file): (usize, &source::SourceFile)| {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        desk.with(|mistakes| yaml::parse(at, file, mistakes))
    };
    let trees: Vec<Option<Node>> = sources.files.iter().enumerate().map(parse).collect();
    let root = |path: &str| sources.find(path).and_then(|(at, _)| trees[at as usize].as_ref());
    let defaults = root("suite.yaml").map(|tree| defaults::read(&desk, tree)).unwrap_or_default();
    if sources.find("suite.yaml").is_none() {
        let message = format!("{} holds no `suite.yaml`, so it is no suite", sources.origin);
        desk.say(Diagnostic::new("Y0061", Place::default(), message));
    }
    let library = Library::read(&desk, &sources, &trees);
    let mut catalogue =
        root("requirements.yaml").map(|tree| Rules::new(&desk, &defaults, &library).catalogue(tree)).unwrap_or_default();
    let scenarios = read_scenarios(&desk, &sources, &trees, &defaults, &library, root("requirements.yaml"));
    let ids: Vec<String> = scenario_files(&sources).map(|(_, id)| id.to_owned()).collect();
    if let Some(tree) = root("readings.yaml") {
        catalogue.readings = defaults::readings(&desk, tree, &ids);
    }
    lint::controls(&desk, &scenarios, &ids, &controls(&sources, &trees));
    library.report_unused(&desk);
    Loaded { suite: Suite { sources, defaults, catalogue, scenarios }, diagnostics: desk.into_sorted() }
}

/// Files that are scenarios: everything but the suite's own files and the fragments.
fn scenario_files(sources: &Sources) -> impl Iterator<Item = (usize, &str)> {
    let own = |path: &str| matches!(path, "suite.yaml" | "requirements.yaml" | "readings.yaml") || path.starts_with("flows/");
    let files = sources.files.iter().enumerate().filter(move |(_, file)| !own(&file.path));
    files.map(|(at, file)| (at, file.path.rsplit_once('.').map_or(file.path.as_str(), |(id, _)| id)))
}

fn read_scenarios(
    desk: &Desk,
    sources: &Sources,
    trees: &[Option<Node>],
    defaults: &Defaults,
    library: &Library,
    catalogue: Option<&Node>,
) -> Vec<Scenario> {
    // Identifiers are taken from the keys, so that a requirement that is wrong in itself is known.
    let entries = catalogue.and_then(Node::entries).unwrap_or_default();
    let requirements: Vec<&str> = entries.iter().map(|entry| entry.key.text.as_str()).collect();
    let surroundings = Surroundings { desk, defaults, library, requirements: &requirements };
    let read = |(at, id): (usize, &str)| {
        let tree = trees[at].as_ref()?;
        surroundings.scenario(id, u32::try_from(at).ok()?, tree)
    };
    scenario_files(sources).filter_map(read).collect()
}

/// Where each scenario names its control.
fn controls(sources: &Sources, trees: &[Option<Node>]) -> Vec<(String, Place)> {
    let place = |(at, id): (usize, &str)| {
        let entry = trees[at].as_ref()?.entries()?.iter().find(|entry| entry.key.text == "control")?;
        Some((id.to_owned(), entry.value.place))
    };
    scenario_files(sources).filter_map(place).collect()
}
