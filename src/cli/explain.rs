//! `cpmcheck explain`: a requirement, a clause, a reading, a knob, an error code.

mod topics;

use super::load::SuiteArgs;
use super::{Console, Exit};
use crate::report::codes::RUN_CODES;
use crate::suite::Suite;
use crate::suite::codes::CODES;
use crate::suite::diagnostics::nearest;

/// Arguments of `explain`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// DGC-1.2-07, 8.3.2.9.1.4, AMB-18, bye.no-reason, C0201
    #[arg(required_unless_present = "policies")]
    topic: Option<String>,
    /// List every policy knob of the reference PF
    #[arg(long)]
    policies: bool,
    #[command(flatten)]
    suite: SuiteArgs,
}

/// Explains the topic.
pub(super) fn run(args: &Args, console: &Console) -> Exit {
    let loaded = match args.suite.load(console) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let suite = &loaded.suite;
    if args.policies {
        console.print(&topics::knobs(suite));
        return Exit::Ok;
    }
    let topic = args.topic.as_deref().unwrap_or("");
    match explain(topic, suite) {
        Some(text) => {
            console.print(&text);
            Exit::Ok
        }
        None => {
            let names = names(suite);
            let hint = nearest(topic, names.iter().map(String::as_str))
                .map_or_else(String::new, |near| format!("   = similar     {near}\n"));
            console.talk(&format!(
                "error[U0011]: nothing is known of `{topic}`\n{hint}   = try         a requirement, clause, reading, knob or code\n"
            ));
            Exit::Usage
        }
    }
}

fn names(suite: &Suite) -> Vec<String> {
    let mut names: Vec<String> = suite.catalogue.requirements.iter().map(|requirement| requirement.id.clone()).collect();
    names.extend(suite.catalogue.readings.iter().map(|reading| reading.id.clone()));
    names.extend(crate::policy::knobs().iter().map(|knob| knob.name.to_owned()));
    names.extend(RUN_CODES.iter().map(|(code, ..)| (*code).to_owned()));
    names.extend(CODES.iter().map(|code| code.code.to_owned()));
    names
}

fn explain(topic: &str, suite: &Suite) -> Option<String> {
    let catalogue = &suite.catalogue;
    let is = |id: &str| id.eq_ignore_ascii_case(topic);
    if let Some(found) = catalogue.requirements.iter().find(|requirement| is(&requirement.id)) {
        return Some(topics::requirement(found, suite));
    }
    if let Some(found) = catalogue.readings.iter().find(|reading| is(&reading.id)) {
        return Some(topics::reading(found, suite));
    }
    if let Some(knob) = crate::policy::knob(topic) {
        return Some(topics::knob(knob, suite));
    }
    if let Some((code, title, text)) = RUN_CODES.iter().find(|(code, ..)| is(code)) {
        return Some(format!("{code}: {title}\n\n{text}\n"));
    }
    if let Some(code) = CODES.iter().find(|code| is(code.code)) {
        return Some(format!("{}: {}\n\n{}\n", code.code, code.title, code.text));
    }
    topics::clause(topic, suite)
}
