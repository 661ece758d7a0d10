//! `cpmcheck lint --text FILE`: an edited text of the change request against the catalogue.
//!
//! The catalogue holds fingerprints of sentences, not the sentences; what is shown of a text is shown
//! from the file of whoever asks.

use std::path::Path;

use crate::cli::load::{Loaded, SuiteArgs, count};
use crate::cli::{Console, Exit};
use crate::report::escape::short;
use crate::report::terminal::level_name;
use crate::suite::catalogue::Requirement;
use crate::suite::fingerprint::{Found, Text};

/// Compares the text with the catalogue, and takes over what changed if `update` says so.
pub(super) fn compare(path: &Path, update: bool, suite: &SuiteArgs, console: &Console) -> Result<Exit, Exit> {
    let loaded = suite.load(console)?;
    let content = std::fs::read_to_string(path).map_err(|error| {
        console.talk(&format!("error[E0703]: {} cannot be read: {error}\n", path.display()));
        Exit::Input
    })?;
    let text = Text::new(&content);
    let requirements = &loaded.suite.catalogue.requirements;
    let mut changed = 0;
    for (requirement, found) in requirements.iter().filter_map(|requirement| Some((requirement, worst(requirement, &text)?))) {
        changed += usize::from(!matches!(found, Found::Same { .. }));
        console.print(&told(requirement, found, &content));
    }
    let prints = requirements.iter().flat_map(|requirement| requirement.fingerprints.iter().map(|(print, _)| print));
    let unclaimed = text.unclaimed(prints);
    for line in &unclaimed {
        console.print(&format!(
            "new        line {line}: a sentence that binds and that no requirement comes from\n{}",
            quoted(*line, &content)
        ));
    }
    let known = requirements.iter().filter(|requirement| !requirement.fingerprints.is_empty()).count();
    console.talk(&format!(
        "{}: {} of {known} unchanged, {changed} changed or gone, {} without a requirement\n",
        path.display(),
        known - changed,
        count(unclaimed.len(), "line")
    ));
    if update {
        return take_over(&loaded, &text, console);
    }
    Ok(if changed + unclaimed.len() > 0 { Exit::Pending } else { Exit::Ok })
}

/// What became of a requirement's sentences: the worst of it. `None` when it has no fingerprint.
fn worst(requirement: &Requirement, text: &Text) -> Option<Found> {
    let found = requirement.fingerprints.iter().map(|(print, _)| text.find(print));
    found.max_by_key(|found| match found {
        Found::Same { .. } => 0,
        Found::Changed { .. } => 1,
        Found::Gone => 2,
    })
}

fn told(requirement: &Requirement, found: Found, content: &str) -> String {
    let Requirement { id, clause, summary, .. } = requirement;
    let head = format!("{id}  {}  {clause}", level_name(requirement.level));
    match found {
        Found::Same { .. } => String::new(),
        Found::Gone => format!("gone       {head}\n             {summary}\n"),
        Found::Changed { line, alike } => {
            format!("changed    {head}  line {line}, {alike} % alike\n             {summary}\n{}", quoted(line, content))
        }
    }
}

fn quoted(line: usize, content: &str) -> String {
    let text = content.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    format!("           > {}\n", short(text.trim(), 140))
}

/// Writes the fingerprints of the sentences that changed; one that is gone stays for an editor to
/// decide about.
fn take_over(loaded: &Loaded, text: &Text, console: &Console) -> Result<Exit, Exit> {
    let suite = &loaded.suite;
    let file = suite.sources.find("requirements.yaml");
    let (Some(dir), Some((at, file))) = (&loaded.dir, file) else {
        console.talk("error[E0704]: the built-in suite cannot be written; name a folder with --suite\n");
        return Err(Exit::Usage);
    };
    let prints = suite.catalogue.requirements.iter().flat_map(|requirement| &requirement.fingerprints);
    let news = prints.filter(|(_, place)| place.file == at).filter_map(|(print, place)| Some((*place, text.now(print)?)));
    let mut written = file.text.clone();
    let mut news: Vec<_> = news.collect();
    news.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
    for (place, print) in &news {
        written.replace_range(place.start as usize..place.end as usize, &print.to_string());
    }
    let path = dir.join("requirements.yaml");
    std::fs::write(&path, written).map_err(|error| {
        console.talk(&format!("error[E0704]: {} cannot be written: {error}\n", path.display()));
        Exit::Environment
    })?;
    console.talk(&format!("{} written; look at rule and summary of each requirement above\n", count(news.len(), "fingerprint")));
    Ok(Exit::Ok)
}
