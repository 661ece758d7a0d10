//! The rooms of the house: a module imports only what its row allows.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each room may use, itself aside. Rooms that are missing here do not exist.
const ALLOWED: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("ids", &[]),
    ("clause", &[]),
    ("policy", &[]),
    ("engine", &["clause", "time"]),
    ("wire", &["clause", "engine", "ids", "time"]),
    ("sip", &["clause", "engine", "ids", "time", "wire"]),
    ("msrp", &["clause", "engine", "ids", "time", "wire"]),
    ("endpoint", &["clause", "engine", "ids", "msrp", "sip", "time", "wire"]),
    ("pf", &["clause", "endpoint", "engine", "ids", "msrp", "policy", "sip", "time", "wire"]),
    // A peer knows its role by the name that patterns have for it, and no more of patterns.
    ("peers", &["clause", "endpoint", "engine", "ids", "msrp", "pattern", "sip", "time", "wire"]),
    ("pattern", &["clause", "engine", "ids", "time", "wire"]),
    ("suite", &["clause", "engine", "ids", "pattern", "policy", "time", "wire"]),
    // The record names roles and ends as patterns do.
    ("trace", &["clause", "engine", "ids", "pattern", "time", "wire"]),
    // Packets to a trace and back; who is who is told in the words of the record.
    ("capture", &["engine", "pattern", "time", "trace", "wire"]),
    ("judge", &["clause", "engine", "ids", "pattern", "policy", "suite", "time", "trace", "wire"]),
    ("net", &["clause", "engine", "ids", "time", "trace", "wire"]),
    (
        "run",
        &[
            "capture", "clause", "endpoint", "engine", "ids", "judge", "msrp", "net", "pattern", "peers", "pf", "policy", "sip",
            "suite", "time", "trace", "wire",
        ],
    ),
    ("report", &["clause", "engine", "ids", "judge", "pattern", "suite", "time", "trace", "wire"]),
    (
        "cli",
        &["capture", "clause", "engine", "ids", "judge", "pattern", "policy", "report", "run", "suite", "time", "trace", "wire"],
    ),
];

/// Crates that only one room, or a part of it, may use.
const KEPT: &[(&str, &[&str])] = &[
    ("tokio", &["net", "run", "cli"]),
    ("redb", &["net/disk"]),
    ("tokio_rustls", &["net/socket"]),
    ("socket2", &["net/socket"]),
    ("rcgen", &["net/socket"]),
    ("rustix", &["net/socket"]),
    ("toml", &["run/serve", "suite/targets"]),
    ("serde_yaml", &["suite"]),
    ("tabled", &["report"]),
    ("quick_junit", &["report"]),
    ("indicatif", &["cli"]),
    ("clap", &["cli"]),
    ("rsip", &[]),
    ("insta", &[]),
];

#[test]
fn every_room_imports_only_what_its_row_allows() {
    let rooms: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for (room, path, line, text) in lines() {
        let Some(allowed) = rooms.get(room.as_str()) else {
            wrong.push(format!("{}: the room `{room}` has no row", path.display()));
            continue;
        };
        for used in rooms_named_in(&text) {
            let known = used == room || allowed.contains(&used.as_str()) || !rooms.contains_key(used.as_str());
            if !known {
                wrong.push(format!("{}:{line}: `{room}` uses `{used}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "upward edges:\n{}", wrong.join("\n"));
}

#[test]
fn crates_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for (room, path, line, text) in lines() {
        for (name, rooms) in KEPT {
            let used = text.contains(&format!("{name}::")) || text.trim_start().starts_with(&format!("use {name}"));
            if used && !rooms.iter().any(|room| path.starts_with(room)) {
                wrong.push(format!("{}:{line}: `{room}` uses the crate `{name}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every line of code outside of tests and comments, with its room.
fn lines() -> Vec<(String, PathBuf, usize, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let mut found = Vec::new();
    for path in files {
        let below = path.strip_prefix(&root).expect("a file below src");
        let room = below.components().next().map(|part| part.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned());
        let Some(room) = room.filter(|room| room != "lib" && room != "main") else { continue };
        // Helpers of tests stand in files of their own.
        if below.file_stem().is_some_and(|stem| stem == "testing" || stem == "tests" || stem == "pairs") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a readable source file");
        for (number, line) in text.lines().enumerate() {
            if line.trim() == "#[cfg(test)]" {
                break;
            }
            let code = line.split("//").next().unwrap_or("");
            if !code.trim().is_empty() {
                found.push((room.clone(), below.to_path_buf(), number + 1, code.to_owned()));
            }
        }
    }
    found
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

/// The rooms that a line names by `crate::room` or by `crate::{room, …}`.
fn rooms_named_in(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let word = |text: &str| text.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect::<String>();
        if let Some(list) = rest.strip_prefix('{') {
            rooms.extend(list.split(',').map(|part| word(part.trim())));
        } else {
            rooms.push(word(rest));
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}
