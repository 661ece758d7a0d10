//! `NAME=VALUE` of policy knobs on the command line.

use std::collections::BTreeMap;

use super::{Console, Exit};

/// Reads the pairs given to `flag`; a slip is shown and ends the command.
pub(super) fn policies(flag: &str, pairs: &[String], console: &Console) -> Result<BTreeMap<String, String>, Exit> {
    let mut policy = BTreeMap::new();
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let complaint = match crate::policy::knob(name) {
            None => Some(format!("there is no knob `{name}`; `cpmcheck explain --policies` lists them")),
            Some(knob) => knob.check(value).err(),
        };
        if let Some(complaint) = complaint {
            console.talk(&format!("error[U0007]: {flag} {pair}: {complaint}\n   = note        nothing was run; exit 2\n"));
            return Err(Exit::Usage);
        }
        policy.insert(name.replace('_', "-"), value.to_owned());
    }
    Ok(policy)
}
