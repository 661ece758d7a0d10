//! XML bodies: read with bounds, written through one small tree.
//!
//! Documents with a DTD are refused, so no entity can expand. Element names are compared without
//! regard to their namespace: field traces leave it out, and `validate` of each document says so.

pub mod conference_info;
pub mod group_state;
pub mod reginfo;
pub mod resource_lists;
pub mod roster;
pub mod service_info;

use std::borrow::Cow;

use roxmltree::{Document, Node, ParsingOptions};

use super::Fault;

/// The largest document that is read, in bytes.
const MAX_SIZE: usize = 1024 * 1024;
/// The most nodes that a document may have.
const MAX_NODES: u32 = 50_000;
/// Room for a usual document.
const USUAL_SIZE: usize = 2_048;

/// The document as text, a byte order mark and blanks before the declaration left out.
pub(super) fn text_of(body: &[u8]) -> Result<&str, Fault> {
    if body.len() > MAX_SIZE {
        return Err(Fault::new("xml-limit", MAX_SIZE, "a document of at most 1 MiB"));
    }
    let text = std::str::from_utf8(body).map_err(|error| Fault::new("xml-utf8", error.valid_up_to(), "UTF-8"))?;
    Ok(text.trim_start_matches('\u{feff}').trim())
}

/// Parses the text within the bounds.
pub(super) fn parse(text: &str) -> Result<Document<'_>, Fault> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| match error {
        roxmltree::Error::DtdDetected => Fault::new("xml-dtd", 0, "a document without DTD"),
        roxmltree::Error::NodesLimitReached => Fault::new("xml-limit", 0, "fewer elements"),
        other => Fault::new("xml-syntax", offset_of(text, other.pos()), "well-formed XML"),
    })
}

/// The byte that a position of roxmltree speaks of.
fn offset_of(text: &str, position: roxmltree::TextPos) -> usize {
    let line: usize = text.split_inclusive('\n').take(position.row.saturating_sub(1) as usize).map(str::len).sum();
    let rest = text.get(line..).unwrap_or("");
    line + rest.chars().take(position.col.saturating_sub(1) as usize).map(char::len_utf8).sum::<usize>()
}

/// The root element, when it has this name.
pub(super) fn root<'a, 'input>(document: &'a Document<'input>, name: &'static str) -> Result<Node<'a, 'input>, Fault> {
    let root = document.root_element();
    if root.tag_name().name() == name { Ok(root) } else { Err(Fault::new("xml-root", root.range().start, name)) }
}

/// The first child element of this name.
pub(super) fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    children(node, name).next()
}

/// The child elements of this name.
pub(super) fn children<'a, 'input>(node: Node<'a, 'input>, name: &str) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

/// The text of the first child element of this name, trimmed.
pub(super) fn child_text(node: Node<'_, '_>, name: &str) -> Option<String> {
    child(node, name).map(text)
}

/// The text of an element, trimmed.
pub(super) fn text(node: Node<'_, '_>) -> String {
    let mut parts = node.children().filter_map(|child| child.text());
    let first = parts.next().unwrap_or("");
    match parts.next() {
        None => first.trim().to_owned(),
        Some(second) => [first, second].into_iter().chain(parts).collect::<String>().trim().to_owned(),
    }
}

/// An attribute by its local name.
pub(super) fn attribute(node: Node<'_, '_>, name: &str) -> Option<String> {
    attribute_text(node, name).map(str::to_owned)
}

/// As [`attribute`], in the document.
pub(super) fn attribute_text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes().find(|own| own.name() == name).map(|own| own.value().trim())
}

/// An element to be written: either text or children.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Element<'a> {
    name: &'a str,
    attributes: Vec<(&'a str, Cow<'a, str>)>,
    text: Cow<'a, str>,
    children: Vec<Element<'a>>,
}

impl<'a> Element<'a> {
    /// An empty element.
    pub const fn new(name: &'a str) -> Self {
        Self { name, attributes: Vec::new(), text: Cow::Borrowed(""), children: Vec::new() }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, name: &'a str, value: impl Into<Cow<'a, str>>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// Adds an attribute when there is a value.
    #[must_use]
    pub fn attribute_some(self, name: &'a str, value: Option<impl Into<Cow<'a, str>>>) -> Self {
        match value {
            Some(value) => self.attribute(name, value),
            None => self,
        }
    }

    /// Sets the text.
    #[must_use]
    pub fn text(mut self, text: impl Into<Cow<'a, str>>) -> Self {
        self.text = text.into();
        self
    }

    /// Adds a child.
    #[must_use]
    pub fn child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// Adds a child when there is one.
    #[must_use]
    pub fn child_some(mut self, child: Option<Self>) -> Self {
        self.children.extend(child);
        self
    }

    /// Adds children.
    #[must_use]
    pub fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// The document with this element as its root.
    pub fn document(&self) -> String {
        let mut out = String::with_capacity(USUAL_SIZE);
        out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
        self.write(&mut out, 0);
        out.push('\n');
        out
    }

    fn write(&self, out: &mut String, depth: usize) {
        begin_line(out, depth);
        out.push('<');
        out.push_str(self.name);
        for (name, value) in &self.attributes {
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            escape(out, value);
            out.push('"');
        }
        if self.text.is_empty() && self.children.is_empty() {
            return out.push_str("/>");
        }
        out.push('>');
        escape(out, &self.text);
        for child in &self.children {
            child.write(out, depth + 1);
        }
        if !self.children.is_empty() {
            begin_line(out, depth);
        }
        out.push_str("</");
        out.push_str(self.name);
        out.push('>');
    }
}

fn begin_line(out: &mut String, depth: usize) {
    out.push('\n');
    (0..depth).for_each(|_| out.push_str("  "));
}

/// Text for a place between tags or between double quotes (XML 1.0 2.4). Line ends and tabs would be
/// read as spaces in an attribute (XML 1.0 3.3.3).
fn escape(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| !entity(byte).is_empty()) {
        out.push_str(&rest[..at]);
        out.push_str(entity(rest.as_bytes()[at]));
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

/// What is written for a byte that may not stand for itself; empty for all others.
const fn entity(byte: u8) -> &'static str {
    match byte {
        b'<' => "&lt;",
        b'>' => "&gt;",
        b'&' => "&amp;",
        b'\'' => "&apos;",
        b'"' => "&quot;",
        b'\n' => "&#10;",
        b'\r' => "&#13;",
        b'\t' => "&#9;",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fault_points_at_the_byte() {
        let fault = parse("<a>\n<é></b></a>").unwrap_err();
        assert_eq!((fault.code, fault.offset), ("xml-syntax", 8));
        assert_eq!(text_of(b"\xef\xbb\xbf <a/>"), Ok("<a/>"));
        assert_eq!(text_of(b"<a>\xff</a>").unwrap_err().offset, 3);
    }

    #[test]
    fn text_and_attributes_are_escaped() {
        let text = Element::new("a").attribute("b", "<\"&>").child(Element::new("c").text("1 < 2 & 3")).document();
        let document = parse(&text).unwrap();
        assert_eq!(attribute(document.root_element(), "b").as_deref(), Some("<\"&>"));
        assert_eq!(child_text(document.root_element(), "c").as_deref(), Some("1 < 2 & 3"));
    }

    proptest! {
        #[test]
        fn any_value_reads_back_as_it_was_written(value in "(\\PC|[<>&'\"\r\n\t]){0,20}") {
            let text = Element::new("a").attribute("b", &value).child(Element::new("c").text(&value)).document();
            let document = parse(&text).unwrap();
            prop_assert_eq!(document.root_element().attribute("b"), Some(value.as_str()));
            prop_assert_eq!(child_text(document.root_element(), "c"), Some(value.trim().to_owned()));
        }

        #[test]
        fn no_text_makes_a_document_panic(text in "(<[/?!]?[a-z]{0,3}( a=\"b\")?/?>|[a-z&;é]|\n|]]>){0,40}") {
            prop_assert!(parse(&text).map_or_else(|fault| fault.offset <= text.len(), |_| true));
            drop(conference_info::ConferenceInfo::parse(text.as_bytes()));
            drop(group_state::GroupState::parse(text.as_bytes()));
            drop(resource_lists::ResourceLists::parse(text.as_bytes()));
            drop(reginfo::RegInfo::parse(text.as_bytes()));
        }
    }
}
