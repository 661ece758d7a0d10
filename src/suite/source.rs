//! The text of a suite: its files, from the binary or from a folder, and where lines begin.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use include_dir::{Dir, include_dir};

use crate::pattern::ast::Place;

/// The suites that this binary was built with, traces included. Cargo does not watch the folder: where
/// only scenarios changed, an incremental build keeps the former ones. Inside the project that does
/// not matter, since the folder itself goes first; a build script that watched it would compile the
/// whole crate for every edit of a scenario.
static EMBEDDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/scenarios");

/// The suite that is used when no other is named.
const DEFAULT_SUITE: &str = "deferred-delivery";

/// One file of a suite.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceFile {
    /// The path below the suite, `group/missed-messages.yaml`.
    pub path: String,
    /// The path as messages show it.
    pub shown: String,
    /// The text.
    pub text: String,
    lines: Vec<usize>,
}

impl SourceFile {
    fn new(path: String, shown: String, text: String) -> Self {
        let lines = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect();
        Self { path, shown, text, lines }
    }

    /// Line and column of a byte, both from 1; columns count characters.
    pub fn position(&self, at: usize) -> (usize, usize) {
        let at = at.min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let start = self.lines[line - 1];
        (line, self.text.get(start..at).map_or(0, |text| text.chars().count()) + 1)
    }

    /// A line by its number from 1, without its end.
    pub fn line(&self, number: usize) -> &str {
        let Some(start) = number.checked_sub(1).and_then(|at| self.lines.get(at)) else { return "" };
        let end = self.lines.get(number).copied().unwrap_or(self.text.len());
        self.text[*start..end].trim_end_matches(['\r', '\n'])
    }

    /// Where a line begins, its number from 1.
    pub fn line_start(&self, number: usize) -> usize {
        number.checked_sub(1).and_then(|at| self.lines.get(at)).copied().unwrap_or(self.text.len())
    }
}

/// The files of one suite.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sources {
    /// Where the suite comes from, for a person: a folder, or that it is the built-in one.
    pub origin: String,
    /// Its YAML files, ordered by path; places name them by their index here.
    pub files: Vec<SourceFile>,
    /// Further text files, snapshots for example, by path below the suite.
    pub others: BTreeMap<String, String>,
    /// Files that are no UTF-8, with what the reader said.
    pub unreadable: Vec<(String, String)>,
}

impl Sources {
    /// The built-in suite.
    pub fn embedded() -> Self {
        let mut sources = Self { origin: format!("built-in suite {DEFAULT_SUITE}"), ..Self::default() };
        if let Some(dir) = EMBEDDED.get_dir(DEFAULT_SUITE) {
            sources.add_embedded(dir);
        }
        sources.sort();
        sources
    }

    fn add_embedded(&mut self, dir: &Dir<'static>) {
        for file in dir.files() {
            let path = file.path().strip_prefix(DEFAULT_SUITE).unwrap_or(file.path()).to_string_lossy().replace('\\', "/");
            let shown = format!("scenarios/{DEFAULT_SUITE}/{path}");
            self.add_bytes(path, shown, file.contents().to_vec());
        }
        for below in dir.dirs() {
            self.add_embedded(below);
        }
    }

    /// The suite in a folder.
    ///
    /// # Errors
    ///
    /// When the folder or one of its files cannot be read.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let origin = dir.display().to_string();
        let mut sources = Self { origin: origin.clone(), ..Self::default() };
        sources.add_folder(dir, dir, origin.trim_end_matches('/'))?;
        sources.sort();
        Ok(sources)
    }

    fn add_folder(&mut self, root: &Path, dir: &Path, origin: &str) -> io::Result<()> {
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                self.add_folder(root, &path, origin)?;
                continue;
            }
            let below = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            let shown = format!("{origin}/{below}");
            self.add_bytes(below, shown, std::fs::read(&path)?);
        }
        Ok(())
    }

    /// A suite made of texts, for tests and tools.
    pub fn of_texts<'a>(origin: &str, texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut sources = Self { origin: origin.to_owned(), ..Self::default() };
        for (path, text) in texts {
            sources.add_bytes(path.to_owned(), path.to_owned(), text.as_bytes().to_vec());
        }
        sources.sort();
        sources
    }

    /// Puts a file at a path below the suite, in place of one that is there: a scenario that is read
    /// as if it belonged to the suite.
    pub fn put(&mut self, path: &str, shown: &str, text: String) {
        self.files.retain(|file| file.path != path);
        self.files.push(SourceFile::new(path.to_owned(), shown.to_owned(), text));
        self.sort();
    }

    fn add_bytes(&mut self, path: String, shown: String, bytes: Vec<u8>) {
        match String::from_utf8(bytes) {
            Ok(text) if path.ends_with(".yaml") || path.ends_with(".yml") => self.files.push(SourceFile::new(path, shown, text)),
            Ok(text) => {
                self.others.insert(path, text);
            }
            Err(fault) => self.unreadable.push((shown, fault.utf8_error().to_string())),
        }
    }

    fn sort(&mut self) {
        self.files.sort_by(|left, right| left.path.cmp(&right.path));
    }

    /// The file of a place.
    pub fn file(&self, place: Place) -> Option<&SourceFile> {
        self.files.get(place.file as usize)
    }

    /// The file at a path below the suite, and its index.
    pub fn find(&self, path: &str) -> Option<(u32, &SourceFile)> {
        let at = self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok()?;
        Some((u32::try_from(at).ok()?, &self.files[at]))
    }

    /// File, line and column of a place, as messages show them.
    pub fn locate(&self, place: Place) -> (String, usize, usize) {
        self.file(place).map_or_else(
            || (self.origin.clone(), 1, 1),
            |file| {
                let (line, column) = file.position(place.start as usize);
                (file.shown.clone(), line, column)
            },
        )
    }

    /// The text of a place.
    pub fn text(&self, place: Place) -> &str {
        self.file(place).and_then(|file| file.text.get(place.start as usize..place.end as usize)).unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_by_line_and_column() {
        let sources = Sources::of_texts("test", [("b.yaml", "one\nzwölf: x\n"), ("a.yaml", ""), ("a.snap", "not read")]);
        assert_eq!(sources.files.len(), 2);
        let start = u32::try_from("one\nzwölf: ".len()).unwrap();
        assert_eq!(sources.locate(Place { file: 1, start, end: start + 1 }), ("b.yaml".to_owned(), 2, 8));
        assert_eq!(sources.files[1].line(2), "zwölf: x");
        assert_eq!(sources.find("b.yaml").map(|(at, _)| at), Some(1));
    }

    #[test]
    fn the_built_in_suite_is_there() {
        assert!(Sources::embedded().find("suite.yaml").is_some());
    }
}
