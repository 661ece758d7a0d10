//! JSON Schemas (draft-07) of the authoring files, for editors: made from the same tables that the
//! readers use, so that they cannot drift apart.
//!
//! A schema knows the form; names, references and meaning are checked by the readers.

use serde_json::{Map, Value, json};

use super::catalogue::Level;
use super::flow::{BLOCKS, LEVELS};
use super::patterns::{PATTERN_WORDS, ROLES, STEP_WORDS, VALUE_WORDS};
use super::rules::{COUNT_FIELDS, PER, RELAY_FIELDS, RULE_FIELDS, SCOPE_FIELDS, TAMPER_FIELDS};
use super::{defaults, fragments, resolve, rules, targets};
use crate::pattern::{PREFIXES, part_fields};
use crate::policy;

/// The schema of a scenario or a fragment of `flows/`.
pub fn scenario() -> Value {
    let mut properties = described(resolve::FIELDS, scenario_field);
    for (name, schema) in described(fragments::FIELDS, scenario_field) {
        properties.entry(name).or_insert(schema);
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "cpmcheck scenario",
        "description": "A scenario, or a fragment below flows/: who talks, what is sent, what is expected.",
        "type": "object",
        "required": ["title"],
        "oneOf": [{ "required": ["flow"] }, { "required": ["steps"] }, { "required": ["template"] }],
        "properties": properties,
        "additionalProperties": false,
        "definitions": definitions(),
    })
}

/// The schema of `suite.yaml`.
pub fn suite() -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "cpmcheck suite",
        "description": "What holds for every scenario of a suite.",
        "type": "object",
        "required": ["title"],
        "properties": described(defaults::FIELDS, suite_field),
        "additionalProperties": false,
        "definitions": { "policy": policy_schema(), "span": span(), "text": text() },
    })
}

/// The schema of `requirements.yaml`.
pub fn requirements() -> Value {
    let mut definitions = definitions();
    definitions.insert(
        "requirement".to_owned(),
        object(described(rules::FIELDS, requirement_field), &["clause", "level", "actor", "summary"]),
    );
    definitions.insert("rule".to_owned(), object(described(RULE_FIELDS, rule_field), &[]));
    definitions.insert("tamper".to_owned(), object(described(TAMPER_FIELDS, tamper_field), &["name"]));
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "cpmcheck requirements",
        "description": "The catalogue: a map from frozen identifiers to requirements, each with the rule that judges it.",
        "type": "object",
        "additionalProperties": reference("requirement"),
        "definitions": definitions,
    })
}

/// The schema of this name.
pub fn named(name: &str) -> Option<Value> {
    match name {
        "scenario" => Some(scenario()),
        "suite" => Some(suite()),
        "requirements" => Some(requirements()),
        "config" => Some(targets::schema::config()),
        "identities" => Some(targets::schema::identities()),
        "pics" => Some(targets::schema::pics()),
        "expectations" => Some(targets::schema::expectations()),
        _ => None,
    }
}

/// The names of all schemas.
pub const NAMES: [&str; 7] = ["scenario", "suite", "requirements", "config", "identities", "pics", "expectations"];

pub(super) type Properties = Map<String, Value>;

/// Properties for each name of a table, in its order.
pub(super) fn described(names: &[&str], field: impl Fn(&str) -> Option<(Value, &'static str)>) -> Properties {
    let property = |name: &&str| {
        let (mut schema, text) = field(name)?;
        // Keywords beside a `$ref` are ignored in draft-07, so the reference is wrapped.
        if schema.get("$ref").is_some() {
            schema = json!({ "allOf": [schema] });
        }
        schema["description"] = text.into();
        Some(((*name).to_owned(), schema))
    };
    names.iter().filter_map(property).collect()
}

pub(super) fn object(properties: Properties, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

pub(super) fn list(of: &Value) -> Value {
    json!({ "type": "array", "items": of })
}

pub(super) fn words<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    json!({ "enum": names.into_iter().collect::<Vec<_>>() })
}

/// Scalars are read as they are written, so a text may look like a number or a truth value.
pub(super) fn text() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}

pub(super) fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn span() -> Value {
    json!({ "type": "string", "pattern": "^([0-9.]+ ?(ms|s|m|min|h)|.*\\$.*)$" })
}

fn levels() -> Value {
    words(LEVELS.iter().map(|(word, _): &(&str, Level)| *word))
}

pub(super) fn policy_schema() -> Value {
    let knob = |knob: &policy::Knob| {
        let text = format!("{}. Takes {}; default {}.", knob.doc, knob.kind.allowed(), knob.default);
        (knob.name.to_owned(), json!({ "description": text }))
    };
    let properties: Properties = policy::knobs().iter().map(knob).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn definitions() -> Properties {
    let mut definitions = Properties::new();
    let mut add = |name: &str, schema: Value| definitions.insert(name.to_owned(), schema);
    add("text", text());
    add("span", span());
    add("policy", policy_schema());
    add("steps", json!({ "type": "array", "minItems": 1, "items": reference("step") }));
    add("step", step());
    add("message", keys(STEP_WORDS, step_word));
    add("keys", keys(PATTERN_WORDS, pattern_word));
    add("value", value());
    add(
        "pattern",
        json!({
            "type": "object", "minProperties": 1, "maxProperties": 1,
            "patternProperties": { "->": reference("keys") }, "additionalProperties": false,
        }),
    );
    add(
        "anyPattern",
        json!({ "anyOf": [
        reference("pattern"),
        { "type": "object", "required": ["any"], "properties": { "any": list(&reference("pattern")) }, "additionalProperties": false },
    ] }),
    );
    definitions
}

/// A step: one message, or a block with its words.
fn step() -> Value {
    let names: Vec<&str> = BLOCKS.iter().flat_map(|(word, beside)| std::iter::once(*word).chain(beside.iter().copied())).collect();
    let mut properties = Properties::new();
    for (name, schema) in described(&names, block_word) {
        properties.entry(name).or_insert(schema);
    }
    json!({
        "type": "object",
        "minProperties": 1,
        "properties": properties,
        "patternProperties": { "->": reference("message") },
        "additionalProperties": false,
    })
}

/// What stands below an arrow: words, header fields, parts.
fn keys(words: &[&str], word: impl Fn(&str) -> Option<(Value, &'static str)>) -> Value {
    let mut properties = described(words, word);
    for prefix in PREFIXES {
        for field in part_fields(prefix).iter().filter(|field| !field.contains('<')) {
            properties.insert(format!("{prefix}.{field}"), reference("value"));
        }
    }
    json!({
        "type": ["object", "null"],
        "properties": properties,
        "patternProperties": {
            "^[A-Z][A-Za-z0-9-]*(\\..+)?$": reference("value"),
            "^[a-z]$": reference("value"),
            "^status$": text(),
            "^sdp\\.attribute\\..+$": reference("value"),
            "^cpim\\.([A-Z]|.+\\.).*$": reference("value"),
        },
        "additionalProperties": false,
    })
}

fn value() -> Value {
    let inner = json!({ "type": "object", "additionalProperties": reference("value") });
    let bound = json!({ "anyOf": [{ "type": "number" }, { "type": "string", "pattern": "^\\$" }] });
    let word = |word: &str| {
        Some(match word {
            "not" => (reference("value"), "A value is there and differs."),
            "one-of" => (list(&reference("value")), "A value is there and is one of these."),
            "contains" => (reference("value"), "A text that holds this text; a list that holds this element."),
            "matches" => (json!({ "type": "string", "format": "regex" }), "A text that this expression matches."),
            "less-than" => (bound.clone(), "A number below this, or below what a variable holds."),
            "greater-than" => (bound.clone(), "A number above this, or above what a variable holds."),
            "none" => (inner.clone(), "No element fits all of these."),
            "first" => (inner.clone(), "The first element fits all of these."),
            "same-as" => (text(), "Equal to the value of another message: the identifier of a step, a dot, a path."),
            "bind" => {
                (text(), "Rules: each match starts an instance of the rule with this variable, in the middle of a chain as well.")
            }
            "bind-latest" => (text(), "Rules: the newest match replaces what the variable held."),
            "generate" => (
                object(described(&["bytes", "seed"], |_| Some((count(), "A number."))), &["bytes"]),
                "Sending: made content of so many bytes.",
            ),
            _ => return None,
        })
    };
    json!({ "anyOf": [
        text(),
        list(&reference("value")),
        { "type": "object", "minProperties": 1, "properties": described(VALUE_WORDS, word), "additionalProperties": false },
    ] })
}

fn scenario_field(name: &str) -> Option<(Value, &'static str)> {
    let role = words(ROLES.iter().map(|(word, _)| *word));
    let actor = json!({ "anyOf": [role, object(
        described(&["role", "devices", "reference", "refreshes", "connects-early"], |name| Some(match name {
            "role" => (role.clone(), "What the actor is."),
            "devices" => (list(&text()), "The devices of a client."),
            "refreshes" => (flag(), "Whether it refreshes its sessions unasked when that is its part; it does by default."),
            "connects-early" => (flag(), "Whether it opens an MSRP connection that is its to open with its answer, not with the ACK."),
            _ => (flag(), "The reference actor acts for it, unscripted."),
        })),
        &["role"],
    )] });
    let map = |of: Value| json!({ "type": "object", "additionalProperties": of });
    Some(match name {
        "title" => (text(), "One sentence: what the scenario shows."),
        "requirements" => (list(&text()), "Identifiers of the requirements that the run must satisfy."),
        "tags" => (list(&text()), "For selection."),
        "iut" => (role, "The role under test; pf by default."),
        "actors" => (map(actor), "Who takes part besides the IUT: a name and a role."),
        "vars" => (map(json!({})), "Variables, read as \"${name}\"."),
        "policy" => (reference("policy"), "Knobs of the reference PF."),
        "policies" => (map(reference("policy")), "Variants: the scenario runs once under each."),
        "needs" => (list(&text()), "PICS names that the IUT must claim."),
        "control" => (text(), "The positive twin of a scenario that expects a refusal."),
        "ignore" => (json!({ "anyOf": [list(&reference("pattern")), reference("pattern")] }), "Messages that explain themselves."),
        "settle" => (reference("span"), "How long the actors go on after the last step."),
        "draft" => (flag(), "Runs but does not gate."),
        "since" | "until" => (text(), "Editions of the specification for which this holds."),
        "flow" => (reference("steps"), "What happens, in the order of the text."),
        "parameters" => (
            json!({ "anyOf": [list(&text()), { "type": "object" }] }),
            "Fragments: names of parameters, or a map from names to defaults.",
        ),
        "steps" => (reference("steps"), "Fragments: the steps that `use` puts in place."),
        "template" => (reference("message"), "Fragments: the keys that `use` puts among those of a message."),
        _ => return None,
    })
}

fn step_word(name: &str) -> Option<(Value, &'static str)> {
    Some(match name {
        "id" => (text(), "Names the message for later steps."),
        "save" => {
            (json!({ "type": "object", "additionalProperties": text() }), "Keeps values: a variable and the path of its value.")
        }
        "in" => (text(), "The step that opened the dialog in which this message lives."),
        "answers" => (text(), "The step whose request this response answers."),
        "within" => (reference("span"), "Latest arrival since the previous step on this path."),
        "after" => (reference("span"), "Delay before sending."),
        "level" => (levels(), "What a miss counts as."),
        "because" => (text(), "The requirement that a miss names."),
        "use" => (text(), "A message template of flows/."),
        "with" => (json!({ "type": "object" }), "Values for the parameters of the template."),
        "raw" => (json!({ "type": "string" }), "Exact bytes in place of a made message."),
        "chunk-size" => (count(), "How many bytes an MSRP chunk holds."),
        "unanswered" => (flag(), "Nobody answers this request, not even automatically."),
        other => return pattern_word(other),
    })
}

fn pattern_word(name: &str) -> Option<(Value, &'static str)> {
    Some(match name {
        "answers" => (text(), "The request that the response answers: a method, or $when for the trigger."),
        "answered" => (text(), "The request, taken at the moment of its final response, which is one of these."),
        "initial" => (flag(), "Whether the request has no To tag."),
        _ => return None,
    })
}

fn block_word(name: &str) -> Option<(Value, &'static str)> {
    let ends = json!({ "type": "array", "items": text(), "minItems": 2, "maxItems": 2 });
    let patterns = json!({ "anyOf": [list(&reference("pattern")), reference("pattern")] });
    let branch = object(
        described(&["level", "do"], |name| {
            Some(if name == "level" { (levels(), "What taking it counts as.") } else { (reference("steps"), "Its steps.") })
        }),
        &["do"],
    );
    let link = object(
        described(&["from", "to", "loss", "delay", "reorder", "duplicate"], |name| {
            Some(match name {
                "from" | "to" => (text(), "An end."),
                "delay" => (reference("span"), "Time on the way."),
                _ => (json!({ "type": "number", "minimum": 0, "maximum": 1 }), "A share between 0 and 1."),
            })
        }),
        &["from", "to"],
    );
    Some(match name {
        "use" => (text(), "A fragment of flows/, put in place."),
        "with" => (json!({ "type": "object" }), "Values for the parameters of the fragment."),
        "as" => (text(), "What identifiers of its steps begin with; by default the name of the fragment."),
        "wait" => (reference("span"), "Time passes."),
        "never" => (patterns, "From here to the end of the block none of these comes."),
        "for" => (reference("span"), "Lets the time pass while `never` holds."),
        "ignore" => (patterns, "Messages that explain themselves, from here to the end of the block."),
        "any-order" => (list(&json!({ "anyOf": [reference("step"), reference("steps")] })), "Runs of expectations in any order."),
        "in-order" => (reference("steps"), "Expectations in this order, across ends and connections."),
        "either" => (json!({ "type": "array", "minItems": 2, "items": branch }), "Branches of which the first message decides."),
        "optional" => (reference("steps"), "May be left out; the first message decides."),
        "for-each" => {
            (json!({ "type": "object", "minProperties": 1, "maxProperties": 1 }), "A variable and the list that it goes through.")
        }
        "repeat" => (text(), "So often; \"${i}\" counts from 1."),
        "do" => (reference("steps"), "What is done."),
        "when" => (text(), "`policy NAME = value`, `pics NAME`, and, or, not, parentheses."),
        "else" => (reference("steps"), "What is done otherwise."),
        "race" => (
            json!({ "type": "object", "minProperties": 2, "additionalProperties": reference("steps") }),
            "Interleavings of sending steps.",
        ),
        "disconnect" => (text(), "TCP reset of this actor's connections, no BYE."),
        "link" => (link, "What a link does to traffic."),
        "partition" => (ends, "Nothing passes between these two."),
        "heal" => (ends, "All passes again."),
        "restart" => (text(), "The process dies and starts again: memory gone, store kept."),
        "clock" => (reference("span"), "The wall clock jumps, timers do not."),
        _ => return None,
    })
}

fn suite_field(name: &str) -> Option<(Value, &'static str)> {
    let default = |name: &str| {
        Some(match name {
            "within" => (reference("span"), "Latest arrival of an expected message."),
            "delay" => (reference("span"), "Time on the way between two nodes."),
            "seed" => (count(), "The seed of the stored snapshots."),
            _ => return None,
        })
    };
    let identity = |name: &str| {
        Some(match name {
            "uri" => (text(), "The CPM address."),
            "aliases" => (list(&text()), "Further addresses."),
            "display" => (text(), "The display name."),
            "devices" => (json!({ "type": "object", "additionalProperties": text() }), "The instance of each device."),
            _ => return None,
        })
    };
    let group = |name: &str| {
        Some(match name {
            "focus" => (text(), "The focus URI."),
            "conversation-id" => (text(), "Conversation-ID."),
            "contribution-id" => (text(), "Contribution-ID."),
            "subject" => (text(), "Subject."),
            "members" => (list(&text()), "Names of the members."),
            _ => return None,
        })
    };
    let map = |of: Value| json!({ "type": "object", "additionalProperties": of });
    Some(match name {
        "title" => (text(), "What the suite is about."),
        "spec" => (text(), "The specification and its edition."),
        "defaults" => (object(described(defaults::DEFAULT_FIELDS, default), &[]), "Values for what scenarios leave open."),
        "pf" => (text(), "The identity of the PF, which patterns call `pf`."),
        "identities" => (map(object(described(defaults::IDENTITY_FIELDS, identity), &["uri"])), "Everyone who has a name."),
        "groups" => (
            map(object(described(defaults::GROUP_FIELDS, group), &["focus", "conversation-id", "contribution-id"])),
            "Groups by name.",
        ),
        "policy" => (reference("policy"), "Knobs that differ from the reference PF's own defaults."),
        _ => return None,
    })
}

fn requirement_field(name: &str) -> Option<(Value, &'static str)> {
    Some(match name {
        "clause" => (text(), "The clause, for display and selection."),
        "fingerprint" => (
            json!({ "anyOf": [text(), list(&text())] }),
            "What is kept of the sentences that it comes from; `cpmcheck lint --text` compares and writes it.",
        ),
        "level" => (levels(), "How strongly it binds."),
        "actor" => (text(), "Who must do it."),
        "summary" => (text(), "What it demands, in our words."),
        "rule" => (json!({ "anyOf": [reference("rule"), list(&reference("rule"))] }), "What judges it."),
        "tamper" => (list(&reference("tamper")), "The ways to break it; each must be caught."),
        "untestable" => (text(), "Why nothing on the wire tells."),
        "implicit" => (text(), "What implies it."),
        "editorial" => (text(), "Why it speaks to editors."),
        "todo" => (text(), "Why it has no rule yet."),
        "since" | "until" => (text(), "Editions of the specification for which it holds."),
        "cr" => (text(), "The change request that brought it."),
        _ => return None,
    })
}

fn rule_field(name: &str) -> Option<(Value, &'static str)> {
    let any = || reference("anyPattern");
    let per = words(PER.iter().map(|(word, _)| *word));
    let bound = |names: &[&str]| {
        object(
            described(names, |name| Some(if name == "of" { (any(), "What is counted.") } else { (count(), "A bound.") })),
            &["of"],
        )
    };
    let relay = |name: &str| {
        Some(match name {
            "from" => (any(), "What goes in."),
            "to" => (any(), "What comes out."),
            "key" => (text(), "By which value they are paired."),
            "order" => (words(["same", "any"]), "Whether the order is kept."),
            "times" => (count(), "How often each comes out."),
            "within" => (reference("span"), "How long that takes at most."),
            _ => return None,
        })
    };
    let scope = described(SCOPE_FIELDS, |name| {
        Some(match name {
            "after" => (any(), "Opens the scope."),
            "until" => (any(), "Closes it."),
            "for" => (reference("span"), "How long after what opened it last it closes at the latest."),
            _ => return None,
        })
    });
    let all =
        json!({ "type": "object", "required": ["all"], "properties": { "all": list(&any()) }, "additionalProperties": false });
    Some(match name {
        "per" => (json!({ "anyOf": [per, list(&per)] }), "An instance of the rule for each value of this."),
        "if" => (text(), "A condition over policy and PICS; false: not triggered."),
        "while" => (object(scope, &[]), "The scope, reopened each time."),
        "when" => (json!({ "anyOf": [any(), list(&any()), all] }), "What triggers: a message, a chain, or all of several."),
        "must" => (reference("keys"), "The triggering message itself also fits these."),
        "then" => (json!({ "anyOf": [any(), list(&any())] }), "What follows, in order."),
        "within" => (reference("span"), "No later than this after the trigger."),
        "before" => (any(), "`then` comes before this."),
        "needs" => (any(), "This came before the trigger."),
        "never" => (any(), "None of these comes."),
        "until" => (any(), "How long `never` holds."),
        "count" => (bound(COUNT_FIELDS), "How many of these there are."),
        "relay" => (object(described(RELAY_FIELDS, relay), &["from", "to", "key"]), "What goes in comes out."),
        "unless" => (any(), "Ends the obligation without verdict."),
        "seen" => (any(), "For a MAY: satisfied when it occurs."),
        _ => return None,
    })
}

fn tamper_field(name: &str) -> Option<(Value, &'static str)> {
    Some(match name {
        "name" => (text(), "Its name."),
        "on" => (reference("pattern"), "The message of the IUT that is altered."),
        "after" => (reference("pattern"), "The message after which one is injected."),
        "nth" => (count(), "Which one of them; the first by default."),
        "drop" => (flag(), "It does not arrive."),
        "duplicate" => (flag(), "It arrives twice."),
        "delay" => (reference("span"), "It arrives later."),
        "change" => (reference("keys"), "It arrives with these values."),
        "swap-with" => (reference("pattern"), "It changes places with the next of these."),
        "inject" => (reference("pattern"), "A message of this kind is added."),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_language_is_described() {
        let all = |names: &[&str], field: &dyn Fn(&str) -> Option<(Value, &'static str)>| {
            names.iter().filter(|name| field(name).is_none()).map(|name| (*name).to_owned()).collect::<Vec<_>>()
        };
        let blocks: Vec<&str> =
            BLOCKS.iter().flat_map(|(word, beside)| std::iter::once(*word).chain(beside.iter().copied())).collect();
        let missing = [
            all(resolve::FIELDS, &scenario_field),
            all(fragments::FIELDS, &scenario_field),
            all(STEP_WORDS, &step_word),
            all(PATTERN_WORDS, &pattern_word),
            all(&blocks, &block_word),
            all(defaults::FIELDS, &suite_field),
            all(rules::FIELDS, &requirement_field),
            all(RULE_FIELDS, &rule_field),
            all(TAMPER_FIELDS, &tamper_field),
        ];
        assert_eq!(missing.concat(), Vec::<String>::new());
        let words = value()["anyOf"][2]["properties"].as_object().map_or(0, Map::len);
        assert_eq!(words, VALUE_WORDS.len());
    }

    #[test]
    fn every_reference_has_its_definition() {
        for name in NAMES {
            let schema = named(name).unwrap();
            let text = schema.to_string();
            for (at, _) in text.match_indices("#/definitions/") {
                let rest = &text[at + "#/definitions/".len()..];
                let target = &rest[..rest.find('"').unwrap()];
                assert!(schema["definitions"].get(target).is_some(), "{name}: {target}");
            }
        }
    }
}
