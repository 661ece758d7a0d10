//! Where text goes: standard output for data, standard error for talk, with or without colour.

use std::io::{IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};

/// When to colour.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Color {
    /// On a terminal that can.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The two standard streams of the process.
#[derive(Debug)]
pub struct Console {
    color: Color,
    ascii: bool,
}

/// The environment's word on colour.
#[derive(Clone, Copy, Default)]
struct Wishes {
    no_color: bool,
    force: bool,
    terminal: bool,
    dumb: bool,
}

impl Console {
    /// The console under `--color` and `--ascii`.
    pub fn new(color: Color, ascii: bool) -> Self {
        Self { color, ascii: ascii || !locale_is_utf8() }
    }

    /// Whether ladders are drawn with ASCII characters only.
    pub fn ascii(&self) -> bool {
        self.ascii
    }

    /// Characters in a line: what `COLUMNS` says, 100 without.
    pub fn width(&self) -> usize {
        std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|width| *width >= 40).unwrap_or(100)
    }

    /// Whether someone can be asked.
    pub fn is_interactive(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
    }

    /// Whether a progress bar makes sense: a person reads standard error and this is no CI job.
    pub fn can_redraw(&self) -> bool {
        std::io::stderr().is_terminal() && std::env::var_os("CI").is_none()
    }

    /// Writes data.
    pub fn print(&self, text: &str) {
        let stream = std::io::stdout();
        let choice = self.choice(stream.is_terminal());
        put(AutoStream::new(stream.lock(), choice), text);
    }

    /// Writes talk.
    pub fn talk(&self, text: &str) {
        let stream = std::io::stderr();
        let choice = self.choice(stream.is_terminal());
        put(AutoStream::new(stream.lock(), choice), text);
    }

    fn choice(&self, terminal: bool) -> ColorChoice {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
        let wishes = Wishes {
            no_color: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            force: set("CLICOLOR_FORCE") || set("FORCE_COLOR"),
            terminal,
            dumb: std::env::var_os("TERM").is_some_and(|term| term == "dumb"),
        };
        if coloured(self.color, wishes) { ColorChoice::AlwaysAnsi } else { ColorChoice::Never }
    }
}

/// The flag goes before `NO_COLOR`, that before `CLICOLOR_FORCE`, that before the terminal.
fn coloured(color: Color, wishes: Wishes) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => !wishes.no_color && (wishes.force || (wishes.terminal && !wishes.dumb)),
    }
}

fn put(mut stream: impl Write, text: &str) {
    // A closed pipe (`| head`) leaves nobody to tell.
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

/// The first of the locale variables that is set decides; none set means no promise either way.
fn locale_is_utf8() -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty())).is_none_or(
        |value| {
            let value = value.to_ascii_lowercase();
            value.contains("utf-8") || value.contains("utf8")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_decides_before_the_environment() {
        let all = Wishes { no_color: true, force: true, terminal: true, dumb: false };
        assert!(coloured(Color::Always, all));
        assert!(!coloured(Color::Never, Wishes { no_color: false, ..all }));
    }

    #[test]
    fn no_color_goes_before_force_and_force_before_the_terminal() {
        let none = Wishes::default();
        assert!(!coloured(Color::Auto, Wishes { no_color: true, force: true, ..none }));
        assert!(coloured(Color::Auto, Wishes { force: true, ..none }));
        assert!(coloured(Color::Auto, Wishes { terminal: true, ..none }));
        assert!(!coloured(Color::Auto, Wishes { terminal: true, dumb: true, ..none }));
        assert!(!coloured(Color::Auto, none));
    }
}
