//! Wrong files of authors: each gives its golden diagnostic.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cpmcheck::suite::diagnostics::{Look, Severity, render};
use cpmcheck::suite::source::Sources;
use cpmcheck::suite::{Loaded, load_all};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bad-scenarios");

/// A fixture stands for the file that its name begins with; everything else is a scenario.
fn place(name: &str) -> String {
    let prefix = name.split('-').next().unwrap_or(name);
    match prefix {
        "suite" => "suite.yaml".to_owned(),
        "requirements" if name != "requirements-of-a-scenario.yaml" => "requirements.yaml".to_owned(),
        "flows" => format!("flows/{}", name.trim_start_matches("flows-")),
        _ => name.to_owned(),
    }
}

fn read(name: &str) -> Loaded {
    let mut sources = Sources::read(Path::new(&format!("{FIXTURES}/base"))).expect("the base suite is readable");
    let text = fs::read_to_string(format!("{FIXTURES}/{name}")).expect("the fixture is readable");
    sources.put(&place(name), &format!("fixtures/bad-scenarios/{name}"), text);
    load_all(sources)
}

fn fixtures() -> Vec<String> {
    let entries = fs::read_dir(FIXTURES).expect("the fixtures are readable");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".yaml")).collect();
    names.sort();
    names
}

#[test]
fn the_base_suite_has_no_mistake() {
    let sources = Sources::read(Path::new(&format!("{FIXTURES}/base"))).expect("the base suite is readable");
    let loaded = load_all(sources);
    assert_eq!(render(&loaded.diagnostics, &loaded.suite.sources, Look::Short), "");
    assert_eq!(loaded.suite.scenarios.len(), 1);
}

#[test]
fn each_wrong_file_gives_its_diagnostic() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("{FIXTURES}/golden"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut codes = BTreeSet::new();
    for name in fixtures() {
        let loaded = read(&name);
        assert!(!loaded.is_usable(), "{name} is read without complaint");
        assert!(loaded.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error), "{name}");
        codes.extend(loaded.diagnostics.iter().map(|diagnostic| diagnostic.code));
        let text = render(&loaded.diagnostics, &loaded.suite.sources, Look::Full { colour: false });
        let text = text.replace(env!("CARGO_MANIFEST_DIR"), ".");
        settings.bind(|| insta::assert_snapshot!(name.trim_end_matches(".yaml"), text));
    }
    assert!(codes.len() >= 45, "only {} kinds of mistakes are shown: {codes:?}", codes.len());
}

#[test]
fn one_wrong_file_never_hides_the_rest() {
    let mut sources = Sources::read(Path::new(&format!("{FIXTURES}/base"))).expect("the base suite is readable");
    for name in ["not-yaml.yaml", "unknown-actor.yaml", "unused.yaml"] {
        let text = fs::read_to_string(format!("{FIXTURES}/{name}")).expect("the fixture is readable");
        sources.put(name, name, text);
    }
    let loaded = load_all(sources);
    let told: BTreeSet<&str> = loaded.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    assert!(["Y0001", "Y0011", "Y0044", "Y0045"].iter().all(|code| told.contains(code)), "{told:?}");
    assert_eq!(loaded.suite.scenarios.len(), 1, "what is right is read");
}
