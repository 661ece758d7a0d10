//! Mistakes of an author: collected all at once, each with its place, what is allowed there, and
//! the nearest name.

use std::borrow::Cow;
use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};
use serde_json::{Value, json};

use super::source::Sources;
use crate::pattern::ast::Place;
use crate::pattern::distance;

/// How bad a mistake is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// The suite can be used.
    Warning,
    /// It cannot.
    Error,
}

impl Severity {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One mistake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// The code, one of [`super::codes::CODES`].
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, a lower-case fragment.
    pub message: String,
    /// Where.
    pub place: Place,
    /// What to say at that place.
    pub label: String,
    /// Further places and what to say there.
    pub secondary: Vec<(Place, String)>,
    /// How to mend it.
    pub help: Vec<String>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn new(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            place,
            label: String::new(),
            secondary: Vec::new(),
            help: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Makes it a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Says something at the place.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = text.into();
        self
    }

    /// Says something at another place.
    #[must_use]
    pub fn secondary(mut self, place: Place, text: impl Into<String>) -> Self {
        self.secondary.push((place, text.into()));
        self
    }

    /// Says how to mend it.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// Adds what else there is to know.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Lists what is allowed, and names what is nearest to what was written.
    #[must_use]
    pub fn allowed<'a>(self, what: &str, written: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.into_iter().collect();
        let near = nearest(written, names.iter().copied());
        if names.is_empty() {
            return self;
        }
        let mut text = format!("{what} {}", listed(written, &names));
        if let Some(near) = near {
            let _ = write!(text, "; did you mean `{near}`?");
        }
        self.help(text)
    }
}

/// At most so many names are listed; of more, those that look most like what was written.
const LISTED: usize = 24;

fn listed(written: &str, names: &[&str]) -> String {
    let quoted = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() <= LISTED {
        return quoted(names);
    }
    let mut near: Vec<&str> = names.to_vec();
    near.sort_by_key(|name| distance(written, name));
    near.truncate(5);
    format!("{} and more", quoted(&near))
}

/// The name that looks most like `written`, if one looks like it at all.
pub fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    let far = |name: &str| distance(&written, &name.to_lowercase());
    let limit = (written.chars().count() / 3).clamp(1, 4);
    names.into_iter().map(|name| (far(name), name)).filter(|(far, _)| *far <= limit).min().map(|(_, name)| name)
}

/// The mistakes found so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mistakes {
    found: Vec<Diagnostic>,
}

impl Mistakes {
    /// Adds one, unless the very same is there: a fragment is read once for each use.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let known = |other: &Diagnostic| {
            other.code == diagnostic.code && other.place == diagnostic.place && other.message == diagnostic.message
        };
        if !self.found.iter().any(known) {
            self.found.push(diagnostic);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Forgets those after the first `mark` that follow from another one.
    pub fn forget_since(&mut self, mark: usize, follows: impl Fn(&Diagnostic) -> bool) {
        let later = self.found.split_off(mark.min(self.found.len()));
        self.found.extend(later.into_iter().filter(|diagnostic| !follows(diagnostic)));
    }

    /// Whether a code is among those after the first `mark`.
    pub fn has_code_since(&self, mark: usize, code: &str) -> bool {
        self.found.iter().skip(mark).any(|diagnostic| diagnostic.code == code)
    }

    /// Whether an error is among those after the first `mark`.
    pub fn has_errors_since(&self, mark: usize) -> bool {
        self.found.iter().skip(mark).any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// All of them, ordered by file and place.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|left, right| (left.place, left.code).cmp(&(right.place, right.code)));
        self.found
    }
}

/// How mistakes are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// An excerpt for a person, with or without colour.
    Full {
        /// Whether ANSI colours are used.
        colour: bool,
    },
    /// One line each, `file:line:column: code message`.
    Short,
    /// One JSON object each, on one line.
    Json,
    /// Workflow commands that a code host shows beside the text.
    Github,
}

/// Shows mistakes.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, look: Look) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        match look {
            Look::Full { colour } => {
                out.push_str(&full(diagnostic, sources, colour));
                out.push_str("\n\n");
            }
            Look::Short => out.push_str(&short(diagnostic, sources)),
            Look::Json => {
                let _ = writeln!(out, "{}", to_json(diagnostic, sources));
            }
            Look::Github => out.push_str(&github(diagnostic, sources)),
        }
    }
    out
}

fn full(diagnostic: &Diagnostic, sources: &Sources, colour: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(visible(&diagnostic.message)).id(diagnostic.code));
    for snippet in snippets(diagnostic, sources) {
        group = group.element(snippet);
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(visible(note)));
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(visible(help)));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).render(&[group])
}

fn snippets<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let mut files = vec![diagnostic.place.file];
    for (place, _) in &diagnostic.secondary {
        if !files.contains(&place.file) {
            files.push(place.file);
        }
    }
    let snippet = |file: u32| {
        let source = sources.files.get(file as usize)?;
        let mut snippet = Snippet::source(inert(&source.text)).path(source.shown.as_str()).fold(true);
        if diagnostic.place.file == file {
            let mark = AnnotationKind::Primary.span(span(diagnostic.place, &source.text));
            snippet = snippet.annotation(mark.label((!diagnostic.label.is_empty()).then(|| visible(&diagnostic.label))));
        }
        for (place, text) in diagnostic.secondary.iter().filter(|(place, _)| place.file == file) {
            snippet = snippet.annotation(AnnotationKind::Context.span(span(*place, &source.text)).label(visible(text)));
        }
        Some(snippet)
    };
    files.into_iter().filter_map(snippet).collect()
}

/// Only the first line of a place is underlined: a whole block would hide what is meant.
fn span(place: Place, text: &str) -> std::ops::Range<usize> {
    let start = text.floor_char_boundary((place.start as usize).min(text.len()));
    let end = text.ceil_char_boundary((place.end as usize).clamp(start, text.len()));
    let line = text[start..end].find('\n').map_or(end, |at| start + at);
    start..line.max(start)
}

/// Text of the suite with control characters made harmless, byte for byte as long as it was.
fn inert(text: &str) -> Cow<'_, str> {
    let bad = |char: char| char.is_ascii_control() && !matches!(char, '\n' | '\t' | '\r');
    if text.contains(bad) { Cow::Owned(text.replace(bad, "?")) } else { Cow::Borrowed(text) }
}

/// A message with control characters as escapes, so that nothing from a file steers a terminal.
fn visible(text: &str) -> Cow<'_, str> {
    let bad = |char: char| char.is_control() && char != '\n';
    if !text.contains(bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if bad(char) { out.extend(char.escape_default()) } else { out.push(char) }
    }
    Cow::Owned(out)
}

fn short(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let (file, line, column) = sources.locate(diagnostic.place);
    let help = diagnostic.help.first().map(|help| format!(" ({help})")).unwrap_or_default();
    let text = format!("{}: {}{help}", diagnostic.severity.word(), diagnostic.message);
    format!("{file}:{line}:{column}: {} {}\n", diagnostic.code, visible(&text).replace('\n', " "))
}

/// A mistake as a JSON object.
pub fn to_json(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let place = |place: Place, label: &str| {
        let (file, line, column) = sources.locate(place);
        let (end_line, end_column) = sources.file(place).map_or((line, column), |file| file.position(place.end as usize));
        json!({ "file": file, "line": line, "column": column, "endLine": end_line, "endColumn": end_column, "label": label })
    };
    json!({
        "code": diagnostic.code,
        "severity": diagnostic.severity.word(),
        "message": diagnostic.message,
        "place": place(diagnostic.place, &diagnostic.label),
        "secondary": diagnostic.secondary.iter().map(|(at, label)| place(*at, label)).collect::<Vec<_>>(),
        "help": diagnostic.help,
        "notes": diagnostic.notes,
    })
}

fn github(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let (file, line, column) = sources.locate(diagnostic.place);
    let escape = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let text = std::iter::once(&diagnostic.message).chain(&diagnostic.help).map(String::as_str).collect::<Vec<_>>().join("\n");
    let text = visible(&text);
    let file = escape(&file).replace(':', "%3A").replace(',', "%2C");
    format!("::{} file={file},line={line},col={column},title={}::{}\n", diagnostic.severity.word(), diagnostic.code, escape(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Diagnostic, Sources) {
        let sources = Sources::of_texts("test", [("a.yaml", "flow:\n  - bobb -> pf BYE: {}\n")]);
        let place = Place { file: 0, start: 10, end: 14 };
        let diagnostic = Diagnostic::new("Y0011", place, "step names actor `bobb`, which is not declared")
            .label("not declared")
            .allowed("declared are", "bobb", ["bob", "pf", "focus"]);
        (diagnostic, sources)
    }

    #[test]
    fn a_mistake_is_shown_in_the_look_of_rustc() {
        let (diagnostic, sources) = sample();
        let text = render(&[diagnostic], &sources, Look::Full { colour: false });
        assert_eq!(
            text,
            "error[Y0011]: step names actor `bobb`, which is not declared\n --> a.yaml:2:5\n  |\n2 |   - bobb -> pf BYE: {}\n  |     ^^^^ not declared\n  |\n  = help: declared are `bob`, `pf`, `focus`; did you mean `bob`?\n\n"
        );
    }

    #[test]
    fn the_short_form_is_one_line() {
        let (diagnostic, sources) = sample();
        let text = render(&[diagnostic], &sources, Look::Short);
        assert!(text.starts_with("a.yaml:2:5: Y0011 error: step names actor `bobb`"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let sources = Sources::of_texts("test", [("a.yaml", "title: \u{1b}[31mred\n")]);
        let diagnostic = Diagnostic::new("Y0003", Place { file: 0, start: 0, end: 5 }, "unknown field `\u{1b}[2J`");
        for look in [Look::Full { colour: false }, Look::Short, Look::Json, Look::Github] {
            let text = render(std::slice::from_ref(&diagnostic), &sources, look);
            assert!(!text.contains('\u{1b}'), "{look:?}: {text:?}");
        }
    }

    #[test]
    fn the_nearest_name_is_near() {
        assert_eq!(nearest("bobb", ["bob", "focus"]), Some("bob"));
        assert_eq!(nearest("tilte", ["title", "tags"]), Some("title"));
        assert_eq!(nearest("zzz", ["bob", "focus"]), None);
    }
}
