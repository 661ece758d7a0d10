//! Finds and reads the suite that a command works on.

use std::path::{Path, PathBuf};

use super::{Console, Exit};
use crate::suite::diagnostics::{Look, Severity, render};
use crate::suite::source::Sources;
use crate::suite::targets;
use crate::suite::{Suite, load_all};

/// Which suite.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct SuiteArgs {
    /// A suite folder, in place of the built-in suite or of scenarios/*/ below the working directory
    #[arg(long, value_name = "DIR", env = "CPMCHECK_SUITE", hide_env = true, help_heading = "Suite")]
    pub(super) suite: Option<PathBuf>,
    /// The configuration of the command, which may name a suite.
    #[arg(skip)]
    pub(super) config: Option<PathBuf>,
}

/// A suite that can be used, and the folder that it came from.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The suite.
    pub(super) suite: Suite,
    /// Its folder; `None` for the built-in one.
    pub(super) dir: Option<PathBuf>,
}

impl SuiteArgs {
    /// The same, for a command whose configuration is not the one of the working directory.
    pub(super) fn configured(&self, config: Option<&Path>) -> Self {
        Self { config: config.map(Path::to_path_buf), ..self.clone() }
    }

    /// What the configuration says. Its mistakes are told by commands that need a target.
    fn told(&self) -> Option<PathBuf> {
        let path = self.config.clone().or_else(super::targets::upward)?;
        let text = std::fs::read_to_string(&path).ok()?;
        let suite = targets::configuration(&path.display().to_string(), text).value.suite?;
        Some(path.parent().unwrap_or(Path::new("")).join(suite))
    }

    /// The text of the suite and its folder.
    pub(super) fn sources(&self, console: &Console) -> Result<(Sources, Option<PathBuf>), Exit> {
        let dir = match self.suite.clone().or_else(|| self.told()) {
            Some(dir) if dir.join("suite.yaml").is_file() => Some(dir),
            Some(dir) => {
                console.talk(&format!(
                    "error[U0006]: {} is no suite: it holds no suite.yaml\n   = note        nothing was run; exit 2\n",
                    dir.display()
                ));
                return Err(Exit::Usage);
            }
            None => below_working_directory(console)?,
        };
        let Some(dir) = dir else { return Ok((Sources::embedded(), None)) };
        match Sources::read(&dir) {
            Ok(sources) => Ok((sources, Some(dir))),
            Err(error) => {
                console.talk(&format!("error[E0703]: {} cannot be read: {error}\n", dir.display()));
                Err(Exit::Environment)
            }
        }
    }

    /// Reads the suite; mistakes are shown and end the command.
    pub(super) fn load(&self, console: &Console) -> Result<Loaded, Exit> {
        let (sources, dir) = self.sources(console)?;
        Ok(Loaded { suite: usable(sources, console)?, dir })
    }
}

/// Reads a suite; mistakes are shown and end the command.
pub(super) fn usable(sources: Sources, console: &Console) -> Result<Suite, Exit> {
    let loaded = load_all(sources);
    if loaded.is_usable() {
        return Ok(loaded.suite);
    }
    let errors: Vec<_> = loaded.diagnostics.into_iter().filter(|diagnostic| diagnostic.severity == Severity::Error).collect();
    console.talk(&render(&errors, &loaded.suite.sources, Look::Full { colour: true }));
    console.talk(&format!("next: mend {} and run `cpmcheck lint`\n", count(errors.len(), "mistake")));
    Err(Exit::Input)
}

/// `1 mistake`, `2 mistakes`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The one folder `scenarios/*/` with a suite.yaml.
fn below_working_directory(console: &Console) -> Result<Option<PathBuf>, Exit> {
    let Ok(entries) = std::fs::read_dir(Path::new("scenarios")) else { return Ok(None) };
    let mut found: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|dir| dir.join("suite.yaml").is_file()).collect();
    found.sort();
    if found.len() > 1 {
        let names: Vec<String> = found.iter().map(|dir| dir.display().to_string()).collect();
        console.talk(&format!(
            "error[U0005]: there is more than one suite here\n   = found       {}\n   = try         --suite {}\n",
            names.join(", "),
            names[0]
        ));
        return Err(Exit::Usage);
    }
    Ok(found.pop())
}
