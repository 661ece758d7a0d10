//! `cpmcheck schema NAME`: the JSON Schema of a file, for editors.

use super::{Console, Exit};

/// Arguments of `schema`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// scenario, suite, requirements or readings
    name: String,
}

/// Prints the schema.
pub(super) fn run(args: &Args, console: &Console) -> Exit {
    match crate::suite::schema::of(&args.name) {
        Some(schema) => {
            console.print(&schema);
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
