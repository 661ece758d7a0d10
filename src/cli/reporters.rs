//! The files that a run writes: JUnit, run files, and the JSON summary.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde_json::json;

use crate::judge::outcome::{Outcome, Reasons, Skip, Totals};
use crate::report::jsonl::{Hash, Keep, Opening, Writer};
use crate::report::junit;
use crate::suite::Suite;
use crate::suite::source::Sources;

/// A reporter as the command line names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reporter {
    /// What the terminal shows anyway.
    Auto,
    /// JUnit XML.
    Junit(String),
    /// A run file.
    Jsonl(String),
}

impl FromStr for Reporter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "auto" => Ok(Self::Auto),
            Some(("junit", path)) if !path.is_empty() => Ok(Self::Junit(path.to_owned())),
            Some(("jsonl", path)) if !path.is_empty() => Ok(Self::Jsonl(path.to_owned())),
            _ => Err("reporters are auto, junit=PATH, jsonl=PATH".to_owned()),
        }
    }
}

impl Reporter {
    /// The path of a run file.
    pub(super) fn run_file(&self) -> Option<&str> {
        match self {
            Self::Jsonl(path) => Some(path),
            Self::Auto | Self::Junit(_) => None,
        }
    }
}

/// The files of a run that is under way.
pub(super) struct Files {
    runs: Vec<Writer<Box<dyn Write>>>,
    junit: Vec<String>,
    seed: u64,
    target: String,
    fault: Option<io::Error>,
}

impl Files {
    /// Opens every file, so that a path that cannot be written is known before anything runs.
    pub(super) fn open(reporters: &[Reporter], to_stdout: bool, keep: Keep, opening: &Opening<'_>) -> io::Result<Self> {
        let mut files =
            Self { runs: Vec::new(), junit: Vec::new(), seed: opening.seed, target: opening.target.to_owned(), fault: None };
        if to_stdout {
            let out: Box<dyn Write> = Box::new(io::stdout());
            files.runs.push(Writer::begin(out, keep, opening)?);
        }
        for reporter in reporters {
            match reporter {
                Reporter::Auto => {}
                Reporter::Jsonl(path) => {
                    let out: Box<dyn Write> = Box::new(BufWriter::new(create(path)?));
                    files.runs.push(Writer::begin(out, keep, opening)?);
                }
                Reporter::Junit(path) => {
                    create(path)?;
                    files.junit.push(path.clone());
                }
            }
        }
        Ok(files)
    }

    /// Adds an outcome. A fault is kept for the end, so that the run goes on.
    pub(super) fn add(&mut self, outcome: &Outcome, sources: &Sources) {
        for run in &mut self.runs {
            if let Err(error) = run.add(outcome, sources) {
                self.fault.get_or_insert(error);
            }
        }
    }

    /// Closes every file.
    pub(super) fn finish(
        self,
        outcomes: &[Outcome],
        skips: &[Skip],
        totals: &Totals,
        reasons: &Reasons,
        complete: bool,
        duration: Option<Duration>,
    ) -> Result<(), String> {
        for run in self.runs {
            run.finish(totals, reasons, complete, duration).map_err(|error| error.to_string())?;
        }
        for path in self.junit {
            let xml = junit::render(outcomes, skips, self.seed, &self.target)?;
            std::fs::write(&path, xml).map_err(|error| format!("{path}: {error}"))?;
        }
        self.fault.map_or(Ok(()), |error| Err(error.to_string()))
    }
}

fn create(path: &str) -> io::Result<File> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"));
    if let Some(dir) = Path::new(path).parent().filter(|dir| !dir.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir).map_err(named)?;
    }
    File::create(path).map_err(named)
}

/// The hash of everything that decides what a suite does.
pub(super) fn suite_hash(suite: &Suite) -> String {
    let files = &suite.sources.files;
    files.iter().fold(Hash::default(), |hash, file| hash.with(file.path.as_bytes()).with(b"\n").with(file.text.as_bytes())).text()
}

/// A run as one JSON object.
pub(super) fn summary(
    outcomes: &[Outcome],
    skips: &[Skip],
    totals: &Totals,
    reasons: &Reasons,
    seed: u64,
    parity: Option<Vec<String>>,
) -> String {
    let object = |outcome: &Outcome| {
        json!({
            "scenario": outcome.scenario,
            "variant": outcome.variant,
            "verdict": outcome.verdict.name(),
            "gate": outcome.gate.name(),
            "expected": outcome.expected.as_ref().map(crate::report::jsonl::expected),
            "remark": outcome.remark,
            "requirements": outcome.requirements,
            "findings": outcome.findings.iter().map(|finding| json!({
                "kind": finding.kind.to_string(),
                "id": finding.id,
                "level": crate::report::terminal::level_name(finding.level),
                "event": finding.event,
                "expected": finding.expected,
                "observed": finding.observed,
                "fault": finding.fault.to_string(),
            })).collect::<Vec<_>>(),
        })
    };
    let exit = reasons.exit();
    let mut value = json!({
        "seed": format!("{seed:#x}"),
        "passed": totals.passed(),
        "failed": totals.failed(),
        "skipped": totals.neither(),
        "pending": totals.pending,
        "exit": {
            "code": exit.code(),
            "name": exit.name(),
            "reasons": reasons.iter().map(|(exit, text)| format!("{}: {text}", exit.name())).collect::<Vec<_>>(),
        },
        "outcomes": outcomes.iter().map(object).collect::<Vec<_>>(),
        "skips": skips.iter().map(|skip| json!({ "scenario": skip.name, "why": skip.why, "kind": skip.omission.name() })).collect::<Vec<_>>(),
    });
    if let Some(equal) = parity {
        value["parity"] = json!(equal);
    }
    format!("{value:#}\n")
}
