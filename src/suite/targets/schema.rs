//! JSON Schemas (draft-07) of the files about targets, made from the tables of their readers.

use serde_json::{Map, Value, json};

use super::config::{BUILT_IN, BUILT_IN_FIELDS, KINDS, ROOT_FIELDS, TARGET_FIELDS};
use super::expectations::{EXPECTS, FAILURE_FIELDS, OPERATORS, UNWRITTEN, WHEN_FIELDS};
use super::pixit::{CONTROL_FIELDS, LISTEN_FIELDS, ROLE_FIELDS, TIMERS, TLS_FIELDS, TRANSPORTS};
use crate::suite::schema::{Properties, described, flag, list, object, policy_schema, reference, text, words};

type Described = Option<(Value, &'static str)>;

/// The schema of `cpmcheck.toml`.
pub(in crate::suite) fn config() -> Value {
    let one_of_ours = reference("built-in");
    let ours: Properties = BUILT_IN.iter().map(|name| ((*name).to_owned(), one_of_ours.clone())).collect();
    let targets = json!({ "type": "object", "properties": ours, "additionalProperties": reference("address") });
    let root = |name: &str| -> Described {
        Some(match name {
            "suite" => (text(), "The folder of the suite, seen from this file; the built-in one without."),
            "required-version" => (version_test(), "The versions of cpmcheck that this file is for."),
            "target" => (targets.clone(), "The targets by the names that `--target` takes."),
            _ => return None,
        })
    };
    let definitions = json!({
        "built-in": object(described(BUILT_IN_FIELDS, |name| target_field(name, true)), &["kind"]),
        "address": object(described(TARGET_FIELDS, |name| target_field(name, false)), &["kind", "roles", "listen"]),
        "host": host(),
        "reach": reach(),
        "command": { "type": "array", "minItems": 1, "items": { "type": "string" } },
    });
    document(
        "cpmcheck.toml",
        "The suite, and the implementations under test.",
        object(described(ROOT_FIELDS, root), &[]),
        definitions,
    )
}

/// The schema of a file of identities.
pub(in crate::suite) fn identities() -> Value {
    let identity = |name: &str| -> Described {
        Some(match name {
            "uri" => (uri(), "The CPM address."),
            "aliases" => (list(&uri()), "Further addresses."),
            _ => return None,
        })
    };
    let group = |name: &str| -> Described { (name == "focus").then(|| (uri(), "The focus URI.")) };
    let map = |of: Value| json!({ "type": "object", "additionalProperties": of });
    let field = |name: &str| -> Described {
        Some(match name {
            "pf" => (uri(), "What the PF calls itself."),
            "identities" => (map(object(described(super::identities::IDENTITY_FIELDS, identity), &["uri"])), "Users of the suite."),
            "groups" => (map(object(described(super::identities::GROUP_FIELDS, group), &["focus"])), "Groups of the suite."),
            _ => return None,
        })
    };
    let root = object(described(super::identities::FIELDS, field), &[]);
    document("cpmcheck identities", "Who is who for a target, in place of what the suite says.", root, json!({}))
}

/// The schema of a PICS file.
pub(in crate::suite) fn pics() -> Value {
    let roles: Vec<String> = super::pics::ROLES.iter().map(ToString::to_string).collect();
    let flags = json!({ "type": "object", "additionalProperties": flag() });
    let field = |name: &str| -> Described {
        Some(match name {
            "roles" => {
                let roles = words(roles.iter().map(String::as_str));
                (json!({ "type": "array", "items": roles, "contains": { "enum": ["pf"] } }), "What it is.")
            }
            "features" => (flags.clone(), "Needs and tags of scenarios: which it has. What is not named is claimed."),
            "policies" => (reference("policy"), "Its answers to knobs."),
            "optional" => (flags.clone(), "MAYs by their requirement: which it has."),
            _ => return None,
        })
    };
    let root = object(described(super::pics::FIELDS, field), &[]);
    document("cpmcheck PICS", "What an implementation claims.", root, json!({ "policy": policy_schema() }))
}

/// The schema of a file of expected failures.
pub(in crate::suite) fn expectations() -> Value {
    let part = |name: &str| -> Described {
        Some(match name {
            "step" => (text(), "The step that is not met, or a part of it."),
            "requirement" => (text(), "The requirement whose rule is broken."),
            "contains" => (text(), "What the report says of it."),
            _ => return None,
        })
    };
    let version = |_: &str| -> Described { Some((version_test(), "An operator and a version.")) };
    let field = |name: &str| -> Described {
        Some(match name {
            "match" => (text(), "A selector of scenarios."),
            "expect" => (words(EXPECTS.iter().map(|(word, _)| *word)), "What is expected of them."),
            "because" => (json!({ "allOf": [text()], "not": { "enum": [UNWRITTEN] } }), "Why this is accepted."),
            "issue" => (json!({ "type": "string", "pattern": "://" }), "Where it is followed up, a link."),
            "failure" => (object(described(FAILURE_FIELDS, part), &[]), "How it looks; another failure is not accepted."),
            "when" => (object(described(WHEN_FIELDS, version), WHEN_FIELDS), "For which versions of the target."),
            "until" => (json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" }), "The last day on which it holds."),
            _ => return None,
        })
    };
    let entry = object(described(super::expectations::FIELDS, field), &["match", "expect", "because", "issue"]);
    let root = json!({ "type": ["array", "null"], "items": entry });
    document(
        "cpmcheck expected failures",
        "Which failures of a target are known, why, and where they are followed up.",
        root,
        json!({}),
    )
}

/// A root under its heading.
fn document(title: &str, description: &str, root: Value, definitions: Value) -> Value {
    let mut whole = Map::new();
    whole.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    whole.insert("title".to_owned(), json!(title));
    whole.insert("description".to_owned(), json!(description));
    whole.extend(root.as_object().cloned().unwrap_or_default());
    whole.insert("definitions".to_owned(), definitions);
    Value::Object(whole)
}

fn target_field(name: &str, built_in: bool) -> Described {
    let kinds = KINDS.iter().filter(|(_, own)| *own == built_in).map(|(word, _)| *word);
    let one_or_more = |of: &str| json!({ "anyOf": [reference(of), list(&reference(of))] });
    let role = |_: &str| -> Described { Some((one_or_more("reach"), "Where it takes SIP; all of one host.")) };
    Some(match name {
        "kind" => (words(kinds), "`builtin` is a PF of this program, `address` one that is running."),
        "version" => (text(), "Its version, for expectations that hold for some."),
        "roles" => (object(described(ROLE_FIELDS, role), ROLE_FIELDS), "Where it is; everyone else is played."),
        "msrp" => (json!({ "type": "string", "pattern": ":[0-9]+$" }), "Where it takes MSRP, if that is always the same."),
        "listen" => (object(described(LISTEN_FIELDS, listener), LISTEN_FIELDS), "Where those live who are played."),
        "transport" => (words(TRANSPORTS.iter().map(|(word, _)| *word)), "Which of its addresses is spoken to; the first without."),
        "identities" => (text(), "A file: addresses of PF, users and groups."),
        "timers" => (object(described(&names_of_timers(), timer), &[]), "How time passes, in seconds and factors."),
        "tls" => (object(described(TLS_FIELDS, tls), &[]), "Certificates; made for the run without."),
        "control" => (object(described(CONTROL_FIELDS, control), &[]), "Commands by which it may be handled."),
        "pics" => (text(), "A file: what it claims."),
        "expectations" => (list(&text()), "Files: which failures are expected of it."),
        _ => return None,
    })
}

fn listener(name: &str) -> Described {
    let several = json!({ "anyOf": [reference("host"), list(&reference("host"))] });
    Some(match name {
        "core" => (reference("host"), "The proxy between PF and clients."),
        "registrar" => (reference("host"), "The part of the core that registers users with the PF."),
        "cf" => (several, "Controlling Functions."),
        "client" => (several, "Devices of clients."),
        _ => return None,
    })
}

fn names_of_timers() -> Vec<&'static str> {
    TIMERS.iter().map(|(name, ..)| *name).collect()
}

fn timer(name: &str) -> Described {
    let (_, least, most) = TIMERS.iter().find(|(known, ..)| *known == name)?;
    let what = match name {
        "speed" => "How many times faster than the wall all timers of the target go.",
        "patience" => "What the patience of expectations and rules is multiplied by.",
        "longest-wait" => "The longest that a scenario may wait in all.",
        _ => "A timer of RFC 3261.",
    };
    Some((json!({ "type": "number", "minimum": least, "maximum": most }), what))
}

fn tls(name: &str) -> Described {
    Some(match name {
        "certificate" => (text(), "Our chain, a file in PEM."),
        "key" => (text(), "Its key."),
        "trusted" => (text(), "Whom we trust; anyone without."),
        "mutual" => (flag(), "Whether the PF must show a certificate when it connects to us."),
        _ => return None,
    })
}

fn control(name: &str) -> Described {
    Some(match name {
        "reset" => (reference("command"), "Brings it into its first state; run before every scenario."),
        "restart" => (reference("command"), "Lets its process die and start again with what it stored."),
        "policy" => (reference("command"), "A reset with other answers to knobs, which follow as NAME=VALUE."),
        "patience" => (json!({ "type": "number", "minimum": 0.1, "maximum": 3600 }), "How many seconds a command may take."),
        _ => return None,
    })
}

/// An address without a port.
fn host() -> Value {
    json!({ "type": "string", "pattern": "^([0-9.]+|[0-9a-fA-F]*:[0-9a-fA-F:.]*)$" })
}

fn reach() -> Value {
    let transports: Vec<&str> = TRANSPORTS.iter().map(|(word, _)| *word).collect();
    json!({ "type": "string", "pattern": format!("^({}):([0-9.]+|\\[[0-9a-fA-F:.]+\\]):[0-9]+$", transports.join("|")) })
}

fn uri() -> Value {
    json!({ "type": "string", "pattern": "^(sips?|tel):." })
}

fn version_test() -> Value {
    json!({ "type": "string", "pattern": format!("^ *({}) *[^ ]", OPERATORS.join("|")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_reader_is_described() {
        let missing = |names: &[&str], schema: &Value| {
            names
                .iter()
                .filter(|name| schema["properties"].get(**name).is_none())
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let (config, entry) = (config(), expectations()["items"].clone());
        let address = &config["definitions"]["address"];
        let part = |name: &str| &address["properties"][name];
        let left = [
            missing(ROOT_FIELDS, &config),
            missing(TARGET_FIELDS, address),
            missing(BUILT_IN_FIELDS, &config["definitions"]["built-in"]),
            missing(ROLE_FIELDS, part("roles")),
            missing(LISTEN_FIELDS, part("listen")),
            missing(&names_of_timers(), part("timers")),
            missing(TLS_FIELDS, part("tls")),
            missing(CONTROL_FIELDS, part("control")),
            missing(super::super::pics::FIELDS, &pics()),
            missing(super::super::identities::FIELDS, &identities()),
            missing(super::super::expectations::FIELDS, &entry),
            missing(FAILURE_FIELDS, &entry["properties"]["failure"]),
            missing(WHEN_FIELDS, &entry["properties"]["when"]),
        ];
        assert_eq!(left.concat(), Vec::<String>::new());
    }
}
