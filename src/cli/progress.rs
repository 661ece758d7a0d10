//! Progress on standard error, for a person at a terminal and for nobody else.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Console;

/// How progress is shown.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// A bar on a terminal
    Auto,
    /// A bar
    Bar,
    /// Numbers
    Counter,
    /// Nothing
    None,
}

/// The line that is redrawn.
#[derive(Debug)]
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// A bar of so many steps; it hides where nobody looks.
    pub(super) fn new(wanted: Progress, quiet: bool, console: &Console, length: usize) -> Self {
        let shown = wanted != Progress::None && !quiet && console.can_redraw();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(length as u64), target);
        let template = match wanted {
            Progress::Counter => "  {pos}/{len}  {msg}",
            Progress::Auto | Progress::Bar | Progress::None => "  {bar:20}  {pos}/{len}  {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("█▉░"));
        }
        Self(bar)
    }

    /// So many are done, so many of them failed, this one was last.
    pub(super) fn tell(&self, done: usize, failed: usize, last: &str) {
        self.0.set_position(done as u64);
        self.0.set_message(format!("{failed} failed   {last}"));
    }

    /// Writes something while the bar steps aside.
    pub(super) fn aside(&self, write: impl FnOnce()) {
        self.0.suspend(write);
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
