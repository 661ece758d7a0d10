//! `--target`: what `cpmcheck.toml` says of an implementation, what that claims, and which failures
//! are expected of it.

use std::path::{Path, PathBuf};

use super::{Console, Exit};
use crate::run::expected::{Against, Register};
use crate::run::foreign::Foreign;
use crate::run::plan::Selected;
use crate::run::target::{BUILT_IN, Target};
use crate::suite::Suite;
use crate::suite::diagnostics::{Look, nearest, render};
use crate::suite::targets::{self, Configuration, Document, Pics};

/// The name of the configuration.
const FILE: &str = "cpmcheck.toml";

/// Against whom, and what is known of it.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Target")]
pub(super) struct TargetArgs {
    /// Against whom: reference; self:udp, self:tcp or self:tls for our PF in a process of its own; or
    /// a target of cpmcheck.toml
    #[arg(long, value_name = "TARGET", default_value = "reference", env = "CPMCHECK_TARGET", hide_env = true)]
    pub(super) target: String,
    /// The configuration that names targets [default: cpmcheck.toml here or above]
    #[arg(long, value_name = "FILE", env = "CPMCHECK_CONFIG", hide_env = true)]
    pub(super) config: Option<PathBuf>,
    /// What the implementation claims (PICS), in place of the target's file
    #[arg(long, value_name = "FILE", env = "CPMCHECK_PICS", hide_env = true)]
    pub(super) pics: Option<PathBuf>,
    /// Which failures are expected of it, in place of the target's files
    #[arg(long, value_name = "FILE", env = "CPMCHECK_EXPECTED_FAILURES", hide_env = true, value_delimiter = ',')]
    pub(super) expected_failures: Vec<PathBuf>,
}

/// A target, ready to be run against.
#[derive(Debug)]
pub(super) struct Chosen {
    name: String,
    foreign: Option<Foreign>,
    /// What it claims, if that is told.
    pub(super) pics: Option<Pics>,
    /// Which failures are expected of it.
    pub(super) register: Register,
}

impl Chosen {
    /// The target.
    pub(super) fn target(&self) -> Target<'_> {
        match &self.foreign {
            Some(foreign) => Target::Foreign(foreign),
            None => Target::built_in(&self.name).unwrap_or_default(),
        }
    }
}

impl TargetArgs {
    /// Reads everything about the target, and puts its identities into the suite. Mistakes are shown
    /// and end the command.
    pub(super) fn choose(&self, suite: &mut Suite, console: &Console) -> Result<Chosen, Exit> {
        let foreign = if Target::built_in(&self.target).is_some() { None } else { Some(self.foreign(suite, console)?) };
        let told = foreign.as_ref().map(|foreign| &foreign.target);
        let pics = self.pics.clone().or_else(|| told.and_then(|target| target.pics.clone()));
        let pics = pics.map(|path| claims(&path, suite, console)).transpose()?;
        let mut files = self.expected_failures.clone();
        if let (Some(target), true) = (told, files.is_empty()) {
            files.clone_from(&target.expected_failures);
        }
        let none = Pics::default();
        let version = told.and_then(|target| target.version.as_deref());
        let against = Against { suite, pics: pics.as_ref().unwrap_or(&none), version, today: super::clock::today() };
        let register = expected(&files, &against, console)?;
        Ok(Chosen { name: self.target.clone(), foreign, pics, register })
    }

    fn foreign(&self, suite: &mut Suite, console: &Console) -> Result<Foreign, Exit> {
        let (path, configuration) = self.configuration(console)?;
        let Some(target) = configuration.value.target(&self.target) else {
            let known: Vec<&str> = configuration.value.targets.iter().map(|target| target.name.as_str()).chain(BUILT_IN).collect();
            let near = nearest(&self.target, known.iter().copied()).map(|near| format!("   = similar     {near}\n"));
            console.talk(&format!(
                "error[U0031]: {} has no target `{}`\n{}   = known       {}\n   = note        nothing was run; exit 2\n",
                path.display(),
                self.target,
                near.unwrap_or_default(),
                known.join(", ")
            ));
            return Err(Exit::Usage);
        };
        let mistakes = targets::check_names(target, suite);
        if !mistakes.is_empty() {
            console.talk(&render(&mistakes, &configuration.sources, Look::Full { colour: true }));
            return Err(Exit::Usage);
        }
        let mut target = target.clone();
        target.adapt(&mut suite.defaults);
        settle(&mut target, path.parent().unwrap_or(Path::new("")));
        // A target without an address of its PF was refused above.
        Foreign::new(target).ok_or(Exit::Usage)
    }

    /// The configuration and its path; mistakes are shown and end the command.
    pub(super) fn configuration(&self, console: &Console) -> Result<(PathBuf, Document<Configuration>), Exit> {
        let Some(path) = self.config.clone().or_else(upward) else {
            console.talk(&format!(
                "error[U0030]: there is no target `{}`: no {FILE} here or above\n   = built in    {}\n   = try         name it by --config FILE\n   = note        nothing was run; exit 2\n",
                self.target,
                BUILT_IN.join(", ")
            ));
            return Err(Exit::Usage);
        };
        let text = read(&path, console, Exit::Usage)?;
        let document = targets::configuration(&path.display().to_string(), text);
        told(&document, console, Exit::Usage)?;
        Ok((path, document))
    }
}

/// The configuration in the working directory or the nearest one above.
pub(super) fn upward() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let found = here.ancestors().map(|dir| dir.join(FILE)).find(|path| path.is_file())?;
    Some(found.strip_prefix(&here).map(Path::to_path_buf).unwrap_or(found))
}

/// Paths of a configuration are seen from its folder. A program without a slash is looked for as a
/// shell would.
fn settle(target: &mut targets::Target, folder: &Path) {
    let tls = &mut target.tls;
    let files = [&mut tls.certificate, &mut tls.key, &mut tls.trusted, &mut target.pics].into_iter().flatten();
    for path in files.chain(&mut target.expected_failures) {
        *path = folder.join(&*path);
    }
    let control = &mut target.control;
    for command in [&mut control.reset, &mut control.restart, &mut control.policy] {
        if let Some(program) = command.first_mut().filter(|program| program.contains('/')) {
            *program = folder.join(&*program).display().to_string();
        }
    }
}

fn claims(path: &Path, suite: &Suite, console: &Console) -> Result<Pics, Exit> {
    let text = read(path, console, Exit::Input)?;
    let document = targets::pics(&path.display().to_string(), text, suite);
    told(&document, console, Exit::Input)?;
    Ok(document.value)
}

fn expected(files: &[PathBuf], against: &Against<'_>, console: &Console) -> Result<Register, Exit> {
    let mut documents = Vec::new();
    for path in files {
        let text = read(path, console, Exit::Input)?;
        documents.push(targets::expectations(&path.display().to_string(), text));
    }
    let register = Register::new(&mut documents, against);
    // All files are told before the command ends.
    let told: Vec<Result<(), Exit>> = documents.iter().map(|document| told(document, console, Exit::Input)).collect();
    told.into_iter().collect::<Result<Vec<()>, Exit>>()?;
    Ok(register)
}

/// Entries that are about nothing that this run plays; only a run of the whole suite can tell.
pub(super) fn refuse_stale(register: &Register, selected: &Selected<'_>, console: &Console) -> Result<(), Exit> {
    let stale = register.stale(selected);
    for (mistake, sources) in &stale {
        console.talk(&render(std::slice::from_ref(mistake), sources, Look::Full { colour: true }));
    }
    if stale.is_empty() {
        return Ok(());
    }
    console.talk("   = note        nothing was run; exit 3\n");
    Err(Exit::Input)
}

/// Asks a target whether it is there, before anything is run against it.
pub(super) fn greet(foreign: &Foreign, console: &Console) -> Result<(), Exit> {
    crate::run::doctor::greet(foreign).map_err(|why| {
        let name = &foreign.target.name;
        let address = foreign.reach.address;
        console.talk(&format!(
            "error[E0730]: target `{name}` does not answer OPTIONS at {address}: {why}\n   = effect      nothing was run; nothing counts as an expected failure\n   = try         cpmcheck doctor --target {name}\n   = note        exit 7 (environment)\n"
        ));
        Exit::Environment
    })
}

fn told<T>(document: &Document<T>, console: &Console, exit: Exit) -> Result<(), Exit> {
    console.talk(&document.complaints(Look::Full { colour: true }));
    if document.is_usable() {
        return Ok(());
    }
    console.talk(&format!("   = note        nothing was run; exit {exit}\n"));
    Err(exit)
}

fn read(path: &Path, console: &Console, exit: Exit) -> Result<String, Exit> {
    std::fs::read_to_string(path).map_err(|why| {
        console.talk(&format!(
            "error[U0032]: {} cannot be read: {why}\n   = note        nothing was run; exit {exit}\n",
            path.display()
        ));
        exit
    })
}
