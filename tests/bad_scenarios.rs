//! Wrong files of authors: each gives its golden diagnostic, as `cpmcheck lint FILE` shows it.
//!
//! `fixtures/bad-scenarios` is one suite in which each scenario but one is wrong in one way;
//! `fixtures/bad-suites` holds suites whose other files are wrong.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cpmcheck::suite::diagnostics::{Diagnostic, Look, render};
use cpmcheck::suite::source::Sources;
use cpmcheck::suite::{Loaded, load_all};

const SCENARIOS: &str = "fixtures/bad-scenarios";
const SUITES: &str = "fixtures/bad-suites";
/// Files of the suite of wrong scenarios that are right.
const RIGHT: [&str; 5] = ["flows/chat.yaml", "flows/session.yaml", "good.yaml", "requirements.yaml", "suite.yaml"];

/// Reads a folder; tests run in the folder of the crate, so places are shown as its user sees them.
fn read(dir: &str) -> Loaded {
    load_all(Sources::read(Path::new(dir)).expect("the fixtures are readable"))
}

fn golden(folder: &str) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("{}/{folder}/golden", env!("CARGO_MANIFEST_DIR")));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

fn suites() -> Vec<String> {
    let entries = fs::read_dir(SUITES).expect("the fixtures are readable");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name != "golden").collect();
    names.sort();
    names
}

#[test]
fn each_wrong_scenario_gives_its_diagnostic() {
    let loaded = read(SCENARIOS);
    let ids: Vec<&str> = loaded.suite.scenarios.iter().map(|scenario| scenario.id.as_str()).collect();
    assert_eq!(ids, ["good"], "every other file is wrong");
    let mut shown = 0;
    for (at, file) in loaded.suite.sources.files.iter().enumerate() {
        let own = |diagnostic: &&Diagnostic| diagnostic.place.file as usize == at;
        let mistakes: Vec<Diagnostic> = loaded.diagnostics.iter().filter(own).cloned().collect();
        let text = render(&mistakes, &loaded.suite.sources, Look::Full { colour: false });
        if RIGHT.contains(&file.path.as_str()) {
            assert_eq!(text, "", "{}", file.path);
            continue;
        }
        assert_ne!(text, "", "{} is read without complaint", file.path);
        golden(SCENARIOS).bind(|| insta::assert_snapshot!(file.path.trim_end_matches(".yaml"), text));
        shown += 1;
    }
    assert!(shown >= 50, "{shown} wrong scenarios");
}

#[test]
fn each_wrong_suite_gives_its_diagnostic() {
    for name in suites() {
        let loaded = read(&format!("{SUITES}/{name}"));
        assert!(!loaded.is_usable(), "{name} is read without complaint");
        let text = render(&loaded.diagnostics, &loaded.suite.sources, Look::Full { colour: false });
        golden(SUITES).bind(|| insta::assert_snapshot!(name.as_str(), text));
    }
}

#[test]
fn nearly_every_code_is_shown_by_a_fixture() {
    let mut told: BTreeSet<&str> = read(SCENARIOS).diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    for name in suites() {
        told.extend(read(&format!("{SUITES}/{name}")).diagnostics.iter().map(|diagnostic| diagnostic.code));
    }
    let codes = cpmcheck::suite::codes::CODES;
    // `T` stands for the files of a target, which are no part of a suite.
    let of_suites = codes.iter().map(|code| code.code).filter(|code| !code.starts_with('T'));
    let missing: Vec<&str> = of_suites.filter(|code| !told.contains(code)).collect();
    // A file that is no UTF-8 cannot be kept as a fixture; strays are a matter of `cpmcheck lint`.
    assert_eq!(missing, ["Y0070", "Y0090"]);
}

/// Whatever stands in a file, reading and showing it ends without a panic.
mod anything {
    use proptest::prelude::*;

    use super::{Look, Sources, load_all, read, render};

    fn show(path: &str, text: &str) {
        let base = read(super::SCENARIOS).suite.sources;
        let right = base.files.iter().filter(|file| super::RIGHT.contains(&file.path.as_str()) && file.path != path);
        let texts: Vec<(&str, &str)> = right.map(|file| (file.path.as_str(), file.text.as_str())).chain([(path, text)]).collect();
        let loaded = load_all(Sources::of_texts("test", texts));
        for look in [Look::Full { colour: false }, Look::Short, Look::Json, Look::Github] {
            render(&loaded.diagnostics, &loaded.suite.sources, look);
        }
    }

    /// A wrong file with a stretch of it replaced.
    fn damaged() -> impl Strategy<Value = (String, String)> {
        let files: Vec<(String, String)> =
            read(super::SCENARIOS).suite.sources.files.into_iter().map(|file| (file.path, file.text)).collect();
        (prop::sample::select(files), any::<prop::sample::Index>(), 0_usize..12, "[ -~\\n\u{e9}\u{1f600}]{0,6}").prop_map(
            |((path, text), at, cut, new)| {
                let start = text.floor_char_boundary(at.index(text.len().max(1)));
                let end = text.floor_char_boundary((start + cut).min(text.len())).max(start);
                (path, format!("{}{new}{}", &text[..start], &text[end..]))
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_read_without_a_panic(text in "(\\PC|[\\n\\t :{}\\[\\],\"'#&*!-]){0,80}") {
            show("any.yaml", &text);
        }

        #[test]
        fn any_damage_is_told_without_a_panic((path, text) in damaged()) {
            show(&path, &text);
        }
    }
}
