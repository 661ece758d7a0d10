//! The flags by which a command selects scenarios, and what is said when they match nothing.

use super::{Console, Exit};
use crate::run::plan::{Selected, Selection, Unmatched};
use crate::run::select::{Misread, Selector};
use crate::suite::Suite;

/// Which scenarios.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct SelectionArgs {
    /// id, glob*, id@variant, tag:x, req:DGC-1.2-*, clause:8.3.2.9, level:SHALL, actor:cf, file:group/*
    #[arg(value_name = "SELECTOR")]
    selectors: Vec<String>,
    /// A selector expression with `and`, `or`, `not` and parentheses
    #[arg(short = 'E', long = "expression", value_name = "EXPR", env = "CPMCHECK_EXPRESSION", hide_env = true)]
    expression: Option<String>,
    /// Leave out what this selector matches
    #[arg(long, value_name = "SELECTOR", env = "CPMCHECK_SKIP", hide_env = true, value_delimiter = ',')]
    skip: Vec<String>,
}

impl SelectionArgs {
    /// Applies the selection to a suite; slips are shown and end the command.
    pub(super) fn apply<'s>(&self, suite: &'s Suite, console: &Console) -> Result<(Selection, Selected<'s>), Exit> {
        let selection = self.parse().map_err(|misread| {
            console.talk(&format!(
                "error[U0003]: selector {misread}\n   = try         cpmcheck help selectors\n   = note        nothing was run; exit 2\n"
            ));
            Exit::Usage
        })?;
        let selected = selection.apply(suite).map_err(|unmatched| {
            unmatched.iter().for_each(|unmatched| console.talk(&complaint(unmatched)));
            Exit::Usage
        })?;
        Ok((selection, selected))
    }

    fn parse(&self) -> Result<Selection, Misread> {
        let read = |text: &String| Ok((text.clone(), Selector::parse(text)?));
        let mut selection = Selection {
            wanted: self.selectors.iter().map(read).collect::<Result<_, _>>()?,
            skipped: self.skip.iter().map(read).collect::<Result<_, _>>()?,
        };
        if let Some(text) = &self.expression {
            selection.wanted.push((text.clone(), Selector::parse_expression(text)?));
        }
        Ok(selection)
    }
}

fn complaint(unmatched: &Unmatched) -> String {
    let similar = if unmatched.similar.is_empty() {
        String::new()
    } else {
        format!("   = similar     {}   ({})\n", unmatched.similar.join(", "), unmatched.similar.len())
    };
    format!(
        "error[U0004]: `{}` matches no scenario ({} loaded)\n{similar}   = note        nothing was run; exit 2\n",
        unmatched.text, unmatched.loaded
    )
}
