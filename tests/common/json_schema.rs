//! A judge of JSON Schema that shares no line with the writer: the words of draft-07 that schemas of
//! this project use. Another word is a mistake, so that nothing is passed over.

use regex::Regex;
use serde_json::Value;

/// What is wrong with `value`, each with its path; nothing if it fits.
pub(crate) fn faults(schema: &Value, value: &Value) -> Vec<String> {
    check(schema, schema, value, "")
}

fn check(root: &Value, schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let words = schema.as_object().expect("a schema is an object");
    words.iter().flat_map(|(word, rule)| by_word(root, schema, word, rule, value, path)).collect()
}

fn by_word(root: &Value, schema: &Value, word: &str, rule: &Value, value: &Value, path: &str) -> Vec<String> {
    let fault = |text: String| vec![format!("{path}: {text}")];
    let fits = |schema: &Value, value: &Value| check(root, schema, value, path).is_empty();
    let wrong = match word {
        "$schema" | "title" | "description" | "definitions" => return Vec::new(),
        // Checked together with `properties`.
        "additionalProperties" | "patternProperties" if schema.get("properties").is_some() => return Vec::new(),
        "properties" | "additionalProperties" | "patternProperties" => return members(root, schema, value, path),
        "$ref" => {
            let name = rule.as_str().and_then(|text| text.strip_prefix("#/definitions/")).expect("a definition");
            return check(root, root["definitions"].get(name).expect("it is defined"), value, path);
        }
        "items" => {
            let items = value.as_array().into_iter().flatten().enumerate();
            return items.flat_map(|(at, item)| check(root, rule, item, &format!("{path}/{at}"))).collect();
        }
        "allOf" => return list(rule).flat_map(|part| check(root, part, value, path)).collect(),
        "anyOf" => !list(rule).any(|part| fits(part, value)),
        "not" => fits(rule, value),
        "contains" => value.as_array().is_some_and(|items| !items.iter().any(|item| fits(rule, item))),
        "type" => !types(rule).any(|name| is_of(value, name)),
        "enum" => !list(rule).any(|one| one == value),
        "required" => value.is_object() && list(rule).any(|name| value.get(name.as_str().expect("a name")).is_none()),
        "minItems" => value.as_array().is_some_and(|items| (items.len() as u64) < rule.as_u64().expect("a number")),
        "minimum" => value.as_f64().is_some_and(|number| number < rule.as_f64().expect("a number")),
        "maximum" => value.as_f64().is_some_and(|number| number > rule.as_f64().expect("a number")),
        "pattern" => value.as_str().is_some_and(|text| !regex(rule.as_str().expect("a pattern")).is_match(text)),
        other => panic!("this judge does not know `{other}`"),
    };
    if wrong { fault(format!("{value} does not fit `{word}` {rule}")) } else { Vec::new() }
}

fn members(root: &Value, schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let patterns = schema.get("patternProperties").and_then(Value::as_object);
    let mut found = Vec::new();
    for (name, member) in value.as_object().into_iter().flatten() {
        let own = schema.get("properties").and_then(|properties| properties.get(name));
        let by_pattern = patterns.into_iter().flatten().find(|(pattern, _)| regex(pattern).is_match(name)).map(|(_, own)| own);
        let below = format!("{path}/{name}");
        match (own.or(by_pattern), schema.get("additionalProperties")) {
            (Some(own), _) => found.extend(check(root, own, member, &below)),
            (None, Some(Value::Bool(false))) => found.push(format!("{below}: there is no such field")),
            (None, Some(other @ Value::Object(_))) => found.extend(check(root, other, member, &below)),
            (None, _) => {}
        }
    }
    found
}

fn list(rule: &Value) -> impl Iterator<Item = &Value> {
    rule.as_array().expect("a list").iter()
}

fn types(rule: &Value) -> impl Iterator<Item = &str> {
    let several = rule.as_array().into_iter().flatten();
    rule.as_str().into_iter().chain(several.filter_map(Value::as_str))
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("there is no type `{other}`"),
    }
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern")
}
