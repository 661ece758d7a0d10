//! An inspection as text for a person, or as one line of JSON for a script.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::json;

use super::{Inspection, Node};
use crate::wire::{Level, Violation};

impl Inspection {
    /// One JSON object on one line, without a line end.
    pub fn to_json(&self, file: &str) -> String {
        let violations: Vec<_> = self.violations.iter().map(violation_json).collect();
        let object = json!({
            "file": file,
            "protocol": self.protocol.token(),
            "parsed": self.parsed,
            "lossless": self.lossless,
            "violations": violations,
        });
        // serde_json escapes what JSON demands; DEL and C1 are controls too, for a terminal.
        visible_but(&object.to_string(), |char| char.is_ascii() && char != '\u{7f}').into_owned()
    }

    /// The messages as indented lines.
    pub fn to_tree(&self) -> String {
        let mut out = String::new();
        for node in &self.tree {
            write_node(node, 1, &mut out);
        }
        out
    }
}

fn violation_json(violation: &Violation) -> serde_json::Value {
    json!({
        "code": violation.code,
        "level": level_token(violation.level),
        "offset": violation.offset,
        "rfc": violation.rfc,
        "message": violation.message,
    })
}

const fn level_token(level: Level) -> &'static str {
    match level {
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

fn write_node(node: &Node, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let _ = writeln!(out, "{}", format_args!("{indent}{}", visible(&node.text)).to_string().trim_end());
    for child in &node.children {
        write_node(child, depth + 1, out);
    }
}

/// Text from the wire, safe for a terminal: control characters, and those that turn the direction
/// of writing, appear as escapes.
pub fn visible(text: &str) -> Cow<'_, str> {
    visible_but(text, |_| false)
}

fn visible_but(text: &str, keep: fn(char) -> bool) -> Cow<'_, str> {
    let is_unsafe = |char: char| !keep(char) && (char.is_control() || turns_direction(char));
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        match char {
            char if !is_unsafe(char) => out.push(char),
            '\t' | '\r' | '\n' => out.extend(char.escape_default()),
            char if u32::from(char) < 0x80 => {
                let _ = write!(out, "\\x{:02x}", u32::from(char));
            }
            char => {
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
        }
    }
    Cow::Owned(out)
}

const fn turns_direction(char: char) -> bool {
    matches!(char, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
