//! The codes of mistakes, each with a paragraph for `cpmcheck explain`.

/// A code and what it means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code {
    /// `Y0011`.
    pub code: &'static str,
    /// One line.
    pub title: &'static str,
    /// One paragraph: what it means and how to mend it.
    pub text: &'static str,
}

/// All codes.
pub const CODES: &[Code] = &[];
