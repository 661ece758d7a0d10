//! What `inspect` says of the public torture messages and call flows.

#[path = "common/corpus.rs"]
mod corpus;

use std::io::Write as _;
use std::path::Path;

use bytes::Bytes;
use cpmcheck::engine::Transport;
use cpmcheck::wire::Level;
use cpmcheck::wire::inspect::{As, inspect};

struct Entry {
    file: String,
    class: String,
    treatment: String,
}

fn entries(folder: &Path) -> Vec<Entry> {
    let manifest = std::fs::read_to_string(folder.join("MANIFEST.tsv")).expect("the manifest is readable");
    let mut lines = manifest.lines();
    let columns: Vec<&str> = lines.next().expect("the manifest has a header").split('\t').collect();
    let column = |name| columns.iter().position(|column| *column == name).expect("the manifest has this column");
    let (file, class, treatment) = (column("file"), column("class"), column("expected_treatment"));
    let entry = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        Entry { file: cells[file].to_owned(), class: cells[class].to_owned(), treatment: cells[treatment].to_owned() }
    };
    lines.filter(|line| !line.is_empty()).map(entry).collect()
}

fn complaint(entry: &Entry, bytes: &Bytes) -> Option<String> {
    let inspection = inspect(bytes, As::Auto, Transport::Udp);
    let flagged = inspection.violations.iter().any(|violation| violation.level == Level::Error);
    let met = match entry.class.as_str() {
        "valid" | "tolerate" => inspection.is_fine(),
        "invalid" => flagged,
        // The transaction user or the application decides these; some are wrong in one message already.
        "semantic" => inspection.parsed && inspection.lossless && flagged == is_wrong_alone(&entry.file),
        other => panic!("{}: unknown class {other}", entry.file),
    };
    (!met).then(|| format!("{}; {}: {}", entry.class, entry.treatment, inspection.to_json(&entry.file)))
}

/// The semantic messages that RFC 4475 has answered with 400: missing, repeated or contradicting
/// fields (3.2.1, 3.3.1, 3.3.8, 3.3.9).
fn is_wrong_alone(file: &str) -> bool {
    ["badbranch", "insuf", "multi01", "mcl01"].iter().any(|name| file.ends_with(&format!("/{name}.sip")))
}

/// Says it even when the test passes and its output is captured.
fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("standard error is open");
}

#[test]
fn every_message_of_the_corpus_is_treated_as_its_manifest_says() {
    let Some(folder) = corpus::folder() else {
        say("NOT CHECKED: there is no corpus of SIP messages (set CPMCHECK_CORPUS, or put it at ../shared/corpus)");
        return;
    };
    let entries = entries(&folder);
    let complaints: Vec<String> = entries
        .iter()
        .filter_map(|entry| {
            complaint(entry, &Bytes::from(std::fs::read(folder.join(&entry.file)).expect("a listed file is there")))
        })
        .collect();
    say(&format!("corpus: {} messages checked, {} treated wrongly", entries.len(), complaints.len()));
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
