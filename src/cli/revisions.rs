//! The suite as it was in a revision of the Git repository that holds it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::suite::source::Sources;

/// Reads the suite in `dir` as `revision` has it; `REVISION:DIR` names another folder.
///
/// # Errors
///
/// What Git says, or that the revision has no suite there.
pub(super) fn read(revision: &str, dir: Option<&Path>) -> Result<Sources, String> {
    let (commit, folder) = match revision.split_once(':') {
        Some((commit, folder)) => (commit, folder.trim_end_matches('/').to_owned()),
        None => (revision, within_repository(dir.ok_or("no folder holds the suite; say REVISION:DIR")?)?),
    };
    if commit.starts_with('-') {
        return Err(format!("`{commit}` is no revision"));
    }
    let listed = git(&["ls-tree", "-r", "-z", "--name-only", "--full-tree", commit, "--", &folder], b"")?;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let paths: Vec<&str> = listed.split('\0').filter(|path| !path.is_empty()).collect();
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    if !paths.iter().any(|path| path.strip_prefix(&prefix) == Some("suite.yaml")) {
        return Err(format!("{commit} has no suite in {folder}"));
    }
    let texts = contents(commit, &paths)?;
    let below = paths.iter().map(|path| path.strip_prefix(&prefix).unwrap_or(path));
    let pairs = below.zip(&texts).filter_map(|(path, text)| Some((path, text.as_deref()?)));
    Ok(Sources::of_texts(revision, pairs))
}

/// The path of a folder from the top of its repository.
fn within_repository(dir: &Path) -> Result<String, String> {
    let prefix = git(&["-C", &dir.to_string_lossy(), "rev-parse", "--show-prefix"], b"")?;
    Ok(String::from_utf8_lossy(&prefix).trim().trim_end_matches('/').to_owned())
}

/// The texts of files, in the order of `paths`; `None` for what is no text.
fn contents(commit: &str, paths: &[&str]) -> Result<Vec<Option<String>>, String> {
    let wanted: String = paths.iter().map(|path| format!("{commit}:{path}\n")).collect();
    let answer = git(&["cat-file", "--batch"], wanted.as_bytes())?;
    let mut rest = answer.as_slice();
    let mut texts = Vec::with_capacity(paths.len());
    for path in paths {
        let (text, after) = entry(rest).ok_or_else(|| format!("git gives nothing for {path}"))?;
        texts.push(std::str::from_utf8(text).ok().map(str::to_owned));
        rest = after;
    }
    Ok(texts)
}

/// One answer of `cat-file --batch`: a line that ends in the size, the bytes, a line feed.
fn entry(answer: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = answer.iter().position(|byte| *byte == b'\n')?;
    let size: usize = std::str::from_utf8(&answer[..end]).ok()?.rsplit(' ').next()?.parse().ok()?;
    let body = answer.get(end + 1..)?;
    Some((body.get(..size)?, body.get(size + 1..)?))
}

fn git(arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = Command::new("git")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("git cannot be started: {error}"))?;
    let mut pipe = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // Written beside the reading: both pipes are finite.
        scope.spawn(move || pipe.take().map(|mut pipe| pipe.write_all(input)));
        child.wait_with_output()
    });
    let output = output.map_err(|error| format!("git did not end well: {error}"))?;
    if output.status.success() { Ok(output.stdout) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cut_by_its_size() {
        let (text, rest) = entry(b"abc blob 5\none\nt\nabd blob 0\n\n").expect("an entry");
        assert_eq!((text, entry(rest)), (&b"one\nt"[..], Some((&b""[..], &b""[..]))));
        assert_eq!(entry(b"x:y missing\n"), None);
    }
}
