//! TOML as the same tree that YAML is read into, so that both are checked alike.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::FILE;
use crate::pattern::ast::Place;
use crate::suite::diagnostics::Diagnostic;
use crate::suite::reader::Desk;
use crate::suite::yaml::{Entry, Kind, Node, Text};

/// Reads a text; a syntax error leaves no tree.
pub(super) fn parse(desk: &Desk, text: &str) -> Option<Node> {
    match DeTable::parse(text) {
        Ok(table) => Some(Node { place: place(&table.span()), kind: mapping(table.get_ref()) }),
        Err(fault) => {
            let span = fault.span().unwrap_or(0..0);
            desk.say(Diagnostic::new("T0001", place(&span), format!("this is not TOML: {}", fault.message())).label("here"));
            None
        }
    }
}

fn place(span: &Range<usize>) -> Place {
    let at = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
    Place { file: FILE, start: at(span.start), end: at(span.end) }
}

fn mapping(table: &DeTable<'_>) -> Kind {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| Entry {
        key: Text { text: AsRef::<str>::as_ref(key.get_ref()).to_owned(), place: place(&key.span()) },
        value: node(value),
    };
    let mut entries: Vec<Entry> = table.iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.key.place.start);
    Kind::Mapping(entries)
}

fn node(value: &Spanned<DeValue<'_>>) -> Node {
    let scalar = |text: String, quoted| Kind::Scalar { text, quoted };
    let kind = match value.get_ref() {
        DeValue::String(text) => scalar(text.clone().into_owned(), true),
        DeValue::Integer(number) => scalar(number.to_string(), false),
        DeValue::Float(number) => scalar(number.to_string(), false),
        DeValue::Boolean(flag) => scalar(flag.to_string(), false),
        DeValue::Datetime(date) => scalar(date.to_string(), false),
        DeValue::Array(members) => Kind::Sequence(members.iter().map(node).collect()),
        DeValue::Table(table) => mapping(table),
    };
    Node { kind, place: place(&value.span()) }
}
