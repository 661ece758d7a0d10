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
use crate::suite::targets::{self, Configuration, Document, Entry, Pics};

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
    #[arg(long, value_name = "FILE", env = "CPMCHECK_EXPECTATIONS", hide_env = true, value_delimiter = ',')]
    pub(super) expectations: Vec<PathBuf>,
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
    /// The target with its version, if that is told.
    pub(super) fn title(&self) -> String {
        let target = self.target();
        let version = target.foreign().and_then(|foreign| foreign.target.version.as_deref());
        version.map_or_else(|| target.to_string(), |version| format!("{target} {version}"))
    }

    /// The target.
    pub(super) fn target(&self) -> Target<'_> {
        match &self.foreign {
            Some(foreign) => Target::Foreign(foreign),
            None => Target::built_in(&self.name).unwrap_or_default(),
        }
    }
}

/// A target, with its files of expected failures as they are, right or wrong.
#[derive(Debug)]
pub(super) struct Survey {
    /// The target.
    pub(super) chosen: Chosen,
    /// The paths of the files.
    pub(super) files: Vec<PathBuf>,
    /// What is in them, in the same order.
    pub(super) documents: Vec<Document<Vec<Entry>>>,
}

/// What is told of a target before its claims and expectations are read.
struct Told {
    foreign: Option<Foreign>,
    pics: Option<PathBuf>,
    expectations: Vec<PathBuf>,
}

impl TargetArgs {
    /// Reads everything about the target, and puts its identities into the suite. Mistakes are shown
    /// and end the command.
    pub(super) fn choose(&self, suite: &mut Suite, console: &Console) -> Result<Chosen, Exit> {
        let survey = self.survey(suite, console, &|path| read(path, console, Exit::Input))?;
        // All files are told before the command ends.
        let told: Vec<Result<(), Exit>> = survey.documents.iter().map(|document| told(document, console, Exit::Input)).collect();
        told.into_iter().collect::<Result<Vec<()>, Exit>>()?;
        Ok(survey.chosen)
    }

    /// The same, for who has to see what is wrong with files of expected failures, and gets at them
    /// in a way of its own.
    pub(super) fn survey(
        &self,
        suite: &mut Suite,
        console: &Console,
        open: &dyn Fn(&Path) -> Result<String, Exit>,
    ) -> Result<Survey, Exit> {
        let told = self.told(suite, console)?;
        let pics = self.pics.clone().or(told.pics);
        let pics = pics.map(|path| claims(&path, suite, console)).transpose()?;
        let files = if self.expectations.is_empty() { told.expectations } else { self.expectations.clone() };
        let none = Pics::default();
        let version = told.foreign.as_ref().and_then(|foreign| foreign.target.version.as_deref());
        let against = Against { suite, pics: pics.as_ref().unwrap_or(&none), version, today: super::clock::today() };
        let document = |path: &PathBuf| Ok(targets::expectations(&path.display().to_string(), open(path)?));
        let mut documents = files.iter().map(document).collect::<Result<Vec<_>, Exit>>()?;
        let register = Register::new(&mut documents, &against);
        let chosen = Chosen { name: self.target.clone(), foreign: told.foreign, pics, register };
        Ok(Survey { chosen, files, documents })
    }

    /// What the configuration says of the target. One that is built in needs none.
    fn told(&self, suite: &mut Suite, console: &Console) -> Result<Told, Exit> {
        let built_in = Target::built_in(&self.target).is_some();
        if built_in && self.config.is_none() && upward().is_none() {
            return Ok(Told { foreign: None, pics: None, expectations: Vec::new() });
        }
        let (path, configuration) = self.configuration(console)?;
        let found = configuration.value.target(&self.target).cloned();
        let Some(mut target) = found.or_else(|| built_in.then(targets::Target::default)) else {
            return Err(self.unknown(&path, &configuration.value, console));
        };
        settle(&mut target, path.parent().unwrap_or(Path::new("")));
        if let Some(path) = &target.identities {
            let document = targets::identities(&path.display().to_string(), read(path, console, Exit::Usage)?, suite);
            told(&document, console, Exit::Usage)?;
            document.value.adapt(&mut suite.defaults);
        }
        let (pics, expectations) = (target.pics.clone(), target.expectations.clone());
        // A target without an address of its PF was refused above.
        let foreign = if built_in { None } else { Some(Foreign::new(target).ok_or(Exit::Usage)?) };
        Ok(Told { foreign, pics, expectations })
    }

    fn unknown(&self, path: &Path, configuration: &Configuration, console: &Console) -> Exit {
        let known: Vec<&str> = configuration.targets.iter().map(|target| target.name.as_str()).chain(BUILT_IN).collect();
        let near = nearest(&self.target, known.iter().copied()).map(|near| format!("   = similar     {near}\n"));
        console.talk(&format!(
            "error[U0031]: {} has no target `{}`\n{}   = known       {}\n   = note        nothing was run; exit 2\n",
            path.display(),
            self.target,
            near.unwrap_or_default(),
            known.join(", ")
        ));
        Exit::Usage
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
    let files = [&mut tls.certificate, &mut tls.key, &mut tls.trusted, &mut target.pics, &mut target.identities];
    for path in files.into_iter().flatten().chain(&mut target.expectations) {
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

pub(super) fn read(path: &Path, console: &Console, exit: Exit) -> Result<String, Exit> {
    std::fs::read_to_string(path).map_err(|why| {
        console.talk(&format!(
            "error[U0032]: {} cannot be read: {why}\n   = note        nothing was run; exit {exit}\n",
            path.display()
        ));
        exit
    })
}
