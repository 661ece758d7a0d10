//! From the text to the code and back: whatever is named exists, and whatever has to be there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cpmcheck::policy;
use cpmcheck::report::codes::RUN_CODES;
use cpmcheck::suite::catalogue::{Catalogue, Exemption, Level, Requirement};
use cpmcheck::suite::codes::CODES;
use cpmcheck::suite::source::Sources;
use cpmcheck::suite::{Suite, load_all};

/// Requirements of the PF that have a rule and no place of their own in its procedures, and where
/// they are kept instead. One that gets a place leaves this list.
const KEPT_ELSEWHERE: &[(&str, &str)] = &[];

#[test]
fn every_requirement_that_is_named_exists() {
    let catalogue = suite().catalogue;
    let known: BTreeSet<&str> = catalogue.requirements.iter().map(|requirement| requirement.id.as_str()).collect();
    let found = named("DGC-", |rest| rest.chars().take_while(|char| char.is_ascii_digit() || matches!(char, '.' | '-')).collect());
    // `DGC-1.2-*` selects, `DGC-1.4` alone is the beginning of a name.
    let whole = |name: &str| name.rsplit_once('-').is_some_and(|(_, number)| number.len() == 2);
    let wrong: Vec<_> = found.iter().filter(|(name, _)| whole(name) && !known.contains(name.as_str())).collect();
    // Number 99 is no requirement of any clause: tests use it where they need a name that nobody knows.
    let wrong: Vec<_> = wrong.into_iter().filter(|(name, _)| !name.ends_with("-99")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_reading_that_is_named_exists() {
    let catalogue = suite().catalogue;
    let known: BTreeSet<&str> = catalogue.readings.iter().map(|reading| reading.id.as_str()).collect();
    let found = named("AMB-", |rest| rest.chars().take_while(char::is_ascii_digit).collect());
    let wrong: Vec<_> = found.iter().filter(|(name, _)| name.len() > 4 && !known.contains(name.as_str())).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_procedure_is_named_by_its_clause_and_cites_it() {
    let catalogue = suite().catalogue;
    let mut wrong = Vec::new();
    for (path, text) in files(Path::new("src/pf/procedures"), &["rs"]) {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if name == "mod" {
            continue;
        }
        let clause =
            name.split('_').take_while(|part| part.chars().all(|char| char.is_ascii_digit())).collect::<Vec<_>>().join(".");
        if !text.starts_with(&format!("//! {clause}")) {
            wrong.push(format!("{}: its first line does not begin with {clause}", path.display()));
        }
        let cited: Vec<&Requirement> = cited_in(&text).iter().filter_map(|id| catalogue.get(id)).collect();
        // Of a clause without requirements of its own the text holds only references; what serves the
        // other reading of a clause names that.
        let stands_in_text = catalogue.requirements.iter().any(|requirement| requirement.clause == clause);
        let cites = cited.iter().any(|requirement| requirement.clause == clause) || text.contains("AMB-");
        if stands_in_text && !cites {
            wrong.push(format!("{}: it cites neither a requirement nor a reading of {clause}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_the_pf_must_do_has_a_place_in_its_code_and_a_scenario() {
    let suite = suite();
    let code: BTreeSet<String> = files(Path::new("src/pf"), &["rs"]).iter().flat_map(|(_, text)| cited_in(text)).collect();
    let elsewhere: BTreeMap<&str, &str> = KEPT_ELSEWHERE.iter().copied().collect();
    let mut wrong = Vec::new();
    for requirement in suite.catalogue.requirements.iter().filter(|requirement| !requirement.rules.is_empty()) {
        let id = requirement.id.as_str();
        let binds = matches!(requirement.level, Level::Shall | Level::Should | Level::Note);
        match (code.contains(id), elsewhere.contains_key(id)) {
            (false, false) if binds && requirement.actor == "pf" => wrong.push(format!("{id} has a rule and no place in the PF")),
            (true, true) => wrong.push(format!("{id} has a place in the PF and need not be kept elsewhere")),
            _ => {}
        }
        if !suite.scenarios.iter().any(|scenario| scenario.requirements.iter().any(|listed| listed == id)) {
            wrong.push(format!("{id} has a rule and no scenario lists it"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_exemption_that_is_no_longer_needed_goes() {
    let suite = suite();
    let listed = |id: &str| suite.scenarios.iter().any(|scenario| scenario.requirements.iter().any(|listed| listed == id));
    let open = |requirement: &&Requirement| matches!(requirement.exemption, Some(Exemption::Todo(_)));
    let wrong: Vec<&str> = suite
        .catalogue
        .requirements
        .iter()
        .filter(open)
        .map(|requirement| requirement.id.as_str())
        .filter(|id| listed(id))
        .collect();
    assert!(wrong.is_empty(), "scenarios list what has no rule yet: {wrong:?}");
}

#[test]
fn every_reading_is_told_apart_by_scenarios_or_says_why_no_trace_can() {
    let Catalogue { readings, .. } = suite().catalogue;
    let wrong = readings.iter().filter(|reading| reading.scenarios.is_empty() != reading.untold.is_some());
    assert_eq!(wrong.map(|reading| reading.id.as_str()).collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn knobs_and_readings_name_each_other() {
    let Catalogue { readings, .. } = suite().catalogue;
    let mut wrong = Vec::new();
    for knob in policy::knobs() {
        let Some(id) = knob.reading else { continue };
        match readings.iter().find(|reading| reading.id == id) {
            None => wrong.push(format!("{} decides {id}, which does not exist", knob.name)),
            Some(reading) if reading.knob.is_none() => wrong.push(format!("{id} does not name its knob {}", knob.name)),
            Some(_) => {}
        }
    }
    for reading in &readings {
        let knob = reading.knob.as_deref().and_then(policy::knob);
        if knob.is_some_and(|knob| knob.reading != Some(reading.id.as_str())) {
            wrong.push(format!("{} names a knob that decides something else", reading.id));
        }
        if reading.ours == reading.other || reading.ours.is_empty() || reading.other.is_empty() {
            wrong.push(format!("{} does not say how else it can be read", reading.id));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_code_that_is_told_is_explained() {
    let mut explained: BTreeSet<&str> = CODES.iter().map(|code| code.code).collect();
    explained.extend(RUN_CODES.iter().map(|(code, ..)| *code));
    let mut told = BTreeSet::new();
    for (path, text) in files(Path::new("src"), &["rs"]) {
        if path.ends_with("codes.rs") || path.ends_with("tests.rs") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        told.extend(codes_in(code));
    }
    let explained: BTreeSet<String> = explained.into_iter().map(str::to_owned).collect();
    assert_eq!(told.difference(&explained).collect::<Vec<_>>(), Vec::<&String>::new(), "told and not explained");
    assert_eq!(explained.difference(&told).collect::<Vec<_>>(), Vec::<&String>::new(), "explained and never told");
}

/// Codes in quotes or in brackets: a letter of our kinds and four digits.
fn codes_in(text: &str) -> impl Iterator<Item = String> + '_ {
    let bytes = text.as_bytes();
    let is_code =
        |code: &[u8]| matches!(code[0], b'C' | b'Y' | b'U' | b'R' | b'E' | b'H' | b'T') && code[1..].iter().all(u8::is_ascii_digit);
    bytes
        .windows(7)
        .filter(move |window| matches!((window[0], window[6]), (b'"', b'"') | (b'[', b']')) && is_code(&window[1..6]))
        .map(|window| String::from_utf8_lossy(&window[1..6]).into_owned())
}

fn suite() -> Suite {
    load_all(Sources::read(&root().join("scenarios/deferred-delivery")).expect("the suite is readable")).suite
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The requirements that code cites in constants.
fn cited_in(text: &str) -> Vec<String> {
    let parts = text.split("Clause::of(\"").skip(1);
    parts.filter_map(|part| part.split('"').next().map(str::to_owned)).collect()
}

/// Every name with this prefix in sources, scenarios, tests, reports and the README, with a file
/// that has it.
fn named(prefix: &str, name: impl Fn(&str) -> String) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut texts: Vec<(PathBuf, String)> = ["src", "scenarios", "tests", "benches", "reports"]
        .iter()
        .flat_map(|dir| files(Path::new(dir), &["rs", "yaml", "md", "json"]))
        .collect();
    texts.push(("README.md".into(), fs::read_to_string(root().join("README.md")).expect("a README")));
    for (path, text) in texts {
        for (at, _) in text.match_indices(prefix) {
            found.entry(format!("{prefix}{}", name(&text[at + prefix.len()..]))).or_insert_with(|| path.clone());
        }
    }
    found
}

/// The files below a folder with one of these endings, in order.
fn files(dir: &Path, endings: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(root().join(dir)) else { return found };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let below = path.strip_prefix(root()).expect("a path below the project").to_path_buf();
        if path.is_dir() {
            found.extend(files(&below, endings));
        } else if path.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known)) {
            found.push((below, fs::read_to_string(&path).expect("a readable file")));
        }
    }
    found.sort();
    found
}
