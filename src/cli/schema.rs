//! `cpmcheck schema NAME`: the JSON Schema of a file, for editors.

use super::{Console, Exit};

/// Arguments of `schema`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// scenario, suite, requirements, config, identities, pics or expectations
    name: String,
}

/// Prints the schema.
pub(super) fn run(args: &Args, console: &Console) -> Exit {
    match crate::suite::schema::named(&args.name) {
        Some(schema) => {
            console.print(&format!("{schema:#}\n"));
            Exit::Ok
        }
        None => {
            console.talk(&format!(
                "error[U0002]: there is no schema `{}`\n   = allowed     {}\n",
                args.name,
                crate::suite::schema::NAMES.join(", ")
            ));
            Exit::Usage
        }
    }
}
