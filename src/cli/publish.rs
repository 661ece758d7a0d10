//! `cpmcheck publish`: the conformance report of the reference PF, as it stands in `reports/`.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::load::SuiteArgs;
use super::{Console, Exit};
use crate::report::conformance::{to_json, to_markdown};
use crate::run::measure::{Terms, measure};

/// Arguments of `publish`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The folder that the report is written to
    #[arg(value_name = "DIR", default_value = "reports")]
    dir: PathBuf,
    #[command(flatten)]
    suite: SuiteArgs,
    /// Write nothing; fail when what is there is not what would be written
    #[arg(long)]
    check: bool,
}

/// Plays the suite, tries its tamper cases and writes the report.
pub(super) fn run(args: &Args, console: &Console) -> Exit {
    let loaded = match args.suite.load(console) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let none = BTreeMap::new();
    let revision = measure(&loaded.suite, "", Terms { policy: &none, seed: None, tamper: true });
    let files = [
        ("conformance.md", to_markdown(&revision, &to_root(&args.dir))),
        ("conformance.json", format!("{:#}\n", to_json(&revision))),
    ];
    let results = files.iter().map(|(name, text)| put(&args.dir.join(name), text, args.check, console));
    results.fold(Exit::Ok, Exit::and)
}

/// The way from a folder to the one that its path starts from.
fn to_root(dir: &Path) -> String {
    let folders = dir.components().filter(|part| matches!(part, Component::Normal(_)));
    folders.map(|_| "../").collect()
}

fn put(path: &Path, text: &str, check: bool, console: &Console) -> Exit {
    if check {
        if std::fs::read_to_string(path).is_ok_and(|stored| stored == text) {
            return Exit::Ok;
        }
        console.talk(&format!("{} is stale\nnext: cpmcheck publish\n", path.display()));
        return Exit::Pending;
    }
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, text));
    match written {
        Ok(()) => {
            console.print(&format!("{}\n", path.display()));
            Exit::Ok
        }
        Err(error) => {
            console.talk(&format!("error[E0704]: {} cannot be written: {error}\n", path.display()));
            Exit::Environment
        }
    }
}
