//! Pieces of Markdown that hold what others wrote.

use super::escape::visible;

/// Text for a cell or a line: control characters shown, marks of Markdown and HTML without effect.
pub fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for mark in visible(text).chars() {
        match mark {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' | '~' | '#' => {
                out.push('\\');
                out.push(mark);
            }
            mark => out.push(mark),
        }
    }
    out
}

/// Code in a line; a fence longer than any run of backticks in it.
pub fn code(text: &str) -> String {
    let text = visible(text).replace('|', "\\|");
    let longest = text.split(|mark| mark != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// A link; its label is Markdown already.
pub fn link(label: &str, target: &str) -> String {
    format!("[{label}](<{}>)", visible(target).replace(['<', '>', '|'], ""))
}

/// A table; cells are Markdown already.
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let names: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    let mut out = line(&names);
    out.push_str(&format!("|{}\n", " --- |".repeat(head.len())));
    rows.into_iter().for_each(|row| out.push_str(&line(&row)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_others_have_no_effect() {
        assert_eq!(text("a|b <i>*x*\n"), "a\\|b &lt;i&gt;\\*x\\*␊");
        assert_eq!(code("a`b|"), "``a`b\\|``");
        assert_eq!(code("`a"), "`` `a ``");
        assert_eq!(link(&code("a"), "b c>|.yaml"), "[`a`](<b c.yaml>)");
    }

    #[test]
    fn a_table_has_a_head_and_a_row_for_each() {
        assert_eq!(table(&["a", "b"], [vec!["1".to_owned(), "2".to_owned()]]), "| a | b |\n| --- | --- |\n| 1 | 2 |\n");
    }
}
