//! What came from the wire is not trusted: control characters are shown, never sent on to a
//! terminal.

use std::borrow::Cow;

/// Replaces control characters by glyphs: CR and LF by `␍` and `␊`, ESC by `␛`, and so on.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_hidden) { Cow::Owned(text.chars().map(glyph).collect()) } else { Cow::Borrowed(text) }
}

/// As [`visible`], on one line and no longer than `width` characters.
pub fn short(text: &str, width: usize) -> String {
    let text = visible(text);
    if text.chars().count() <= width {
        return text.into_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// As [`short`], and says how much is left out: for text of which a person may need all.
pub fn bounded(text: &str, width: usize) -> String {
    let text = visible(text);
    match text.chars().count().checked_sub(width) {
        None | Some(0) => text.into_owned(),
        Some(over) => format!("{}… (and {over} more characters)", text.chars().take(width).collect::<String>()),
    }
}

fn is_hidden(mark: char) -> bool {
    // Bidirectional marks reorder what a person reads; line separators end a line in some readers;
    // the last two are no characters at all, and no XML may hold them.
    mark.is_control()
        || matches!(mark, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffe}'..='\u{ffff}')
}

fn glyph(mark: char) -> char {
    match mark {
        '\u{7f}' => '␡',
        mark if u32::from(mark) < 0x20 => char::from_u32(0x2400 + u32::from(mark)).unwrap_or('\u{fffd}'),
        mark if is_hidden(mark) => '\u{fffd}',
        mark => mark,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_glyphs() {
        assert_eq!(visible("a\r\n\u{1b}[31m\0b\u{7f}"), "a␍␊␛[31m␀b␡");
        assert_eq!(visible("\u{202e}x\u{9b}"), "\u{fffd}x\u{fffd}");
        assert!(matches!(visible("Überraschung"), Cow::Borrowed(_)));
    }

    #[test]
    fn long_text_is_cut_with_a_mark() {
        assert_eq!(short("abcdef", 4), "abc…");
        assert_eq!(short("abcd", 4), "abcd");
        assert_eq!(bounded("abcdef", 4), "abcd… (and 2 more characters)");
        assert_eq!(bounded("abcd", 4), "abcd");
    }
}
