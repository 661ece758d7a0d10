//! `cpmcheck list`: what would run, and why the rest would not.

use serde_json::json;

use super::load::{SuiteArgs, count};
use super::selection::SelectionArgs;
use super::{Console, Exit};
use crate::report::matrix::table;
use crate::suite::scenario::{Scenario, Variant};

/// Arguments of `list`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    suite: SuiteArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Pretty, env = "CPMCHECK_FORMAT", hide_env = true)]
    format: Format,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    /// A table for a person
    Pretty,
    /// One JSON object
    Json,
}

/// Lists the selected scenarios.
pub(super) fn run(args: &Args, console: &Console) -> Exit {
    match list(args, console) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn list(args: &Args, console: &Console) -> Result<Exit, Exit> {
    let loaded = args.suite.load(console)?;
    let (_, selected) = args.selection.apply(&loaded.suite, console)?;
    match args.format {
        Format::Json => {
            let object = |(scenario, variants): &(&Scenario, Vec<&Variant>)| {
                json!({
                    "id": scenario.id,
                    "title": scenario.title,
                    "requirements": scenario.requirements,
                    "tags": scenario.tags,
                    "variants": variants.iter().map(|variant| variant.name.as_str()).collect::<Vec<_>>(),
                    "draft": scenario.draft,
                })
            };
            let scenarios: Vec<_> = selected.scenarios.iter().map(object).collect();
            let skipped: Vec<_> = selected.skips.iter().map(|skip| json!({ "id": skip.name, "why": skip.why })).collect();
            let text = json!({ "suite": loaded.suite.sources.origin, "scenarios": scenarios, "skipped": skipped });
            console.print(&format!("{text:#}\n"));
        }
        Format::Pretty => {
            console.talk(&format!("suite {}\n", loaded.suite.sources.origin));
            let rows = selected.scenarios.iter().map(|(scenario, variants)| row(scenario, variants));
            console.print(&table(&["scenario", "tags", "shows"], rows, console.width()));
            for skip in &selected.skips {
                console.print(&format!(" {} would not run: {}\n", skip.name, skip.why));
            }
            console.talk(&format!("{} of {}\n", count(selected.scenarios.len(), "scenario"), loaded.suite.scenarios.len()));
        }
    }
    Ok(if selected.scenarios.is_empty() { Exit::NoTests } else { Exit::Ok })
}

fn row(scenario: &Scenario, variants: &[&Variant]) -> Vec<String> {
    let names: Vec<&str> = variants.iter().map(|variant| variant.name.as_str()).filter(|name| !name.is_empty()).collect();
    let id = if names.is_empty() { scenario.id.clone() } else { format!("{} @{}", scenario.id, names.join(" @")) };
    vec![id, scenario.tags.join(" "), scenario.title.clone()]
}
