//! The few colours that reports use. Reports always write them; the stream that they are written
//! to takes them away where they are not wanted.

use std::fmt;

use crate::judge::outcome::Gate;

/// A text in a colour.
#[derive(Clone, Copy, Debug)]
pub struct Painted<T>(&'static str, T);

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)?;
        self.1.fmt(f)?;
        f.write_str("\u{1b}[0m")
    }
}

/// What fails.
pub const fn bad<T>(text: T) -> Painted<T> {
    Painted("\u{1b}[1;31m", text)
}

/// What passes.
pub const fn good<T>(text: T) -> Painted<T> {
    Painted("\u{1b}[32m", text)
}

/// What a person should look at.
pub const fn odd<T>(text: T) -> Painted<T> {
    Painted("\u{1b}[33m", text)
}

/// A headline.
pub const fn strong<T>(text: T) -> Painted<T> {
    Painted("\u{1b}[1m", text)
}

/// What stands beside the point.
pub const fn faint<T>(text: T) -> Painted<T> {
    Painted("\u{1b}[2m", text)
}

/// Places and frames.
pub const fn frame<T>(text: T) -> Painted<T> {
    Painted("\u{1b}[1;34m", text)
}

/// The colour of a gate; MAY and INFO have none, since they neither pass nor fail.
pub fn of_gate<T>(gate: Gate, text: T) -> Painted<T> {
    match gate {
        Gate::Pass => good(text),
        Gate::Info => Painted("", text),
        Gate::Warn | Gate::Unsteady | Gate::Waived | Gate::Unsupported => odd(text),
        Gate::Surprise | Gate::Otherwise | Gate::Undeclared | Gate::Flaky | Gate::Fail | Gate::NotRun | Gate::Error => bad(text),
    }
}
