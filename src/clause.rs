//! Requirement identifiers that are checked when the program is compiled.
//!
//! The list below is generated from the catalogue of the suite and compared with it by a test, so
//! code can cite only what the catalogue knows.

use std::fmt;

/// The identifier of a requirement of the embedded suite.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Clause(&'static str);

impl Clause {
    /// Cites a requirement. Called in a constant, an unknown identifier does not compile.
    ///
    /// # Panics
    ///
    /// When the catalogue does not know `id`.
    pub const fn of(id: &'static str) -> Self {
        let mut at = 0;
        while at < CATALOGUE.len() {
            if equal(CATALOGUE[at], id) {
                return Self(CATALOGUE[at]);
            }
            at += 1;
        }
        panic!("the catalogue knows no requirement of this identifier")
    }

    /// The requirement of an identifier that is known only at run time.
    pub fn find(id: &str) -> Option<Self> {
        CATALOGUE.iter().find(|known| **known == id).copied().map(Self)
    }

    /// The identifier, for example `DGC-1.4-02`.
    pub const fn id(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

const fn equal(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Every identifier of the embedded catalogue, in its order.
pub const CATALOGUE: &[&str] = &[
    "DGC-5-01",
    "DGC-6-01",
    "DGC-7-01",
    "DGC-8-01",
    "DGC-9-01",
    "DGC-9-02",
    "DGC-9-03",
    "DGC-9-04",
    "DGC-9-05",
    "DGC-9-06",
    "DGC-9-07",
    "DGC-9-08",
    "DGC-9-09",
    "DGC-1.1-01",
    "DGC-1.1-02",
    "DGC-1.1-03",
    "DGC-1.1-04",
    "DGC-1.1-05",
    "DGC-1.1-06",
    "DGC-1.1-07",
    "DGC-1.1-08",
    "DGC-1.1-09",
    "DGC-1.1-10",
    "DGC-1.1-11",
    "DGC-1.1-12",
    "DGC-1.1-13",
    "DGC-1.1-14",
    "DGC-1.1-15",
    "DGC-1.1-16",
    "DGC-1.1-17",
    "DGC-1.1-18",
    "DGC-1.1-19",
    "DGC-1.1-20",
    "DGC-1.1-21",
    "DGC-1.1-22",
    "DGC-1.1-23",
    "DGC-1.1-24",
    "DGC-1.1-25",
    "DGC-1.1-26",
    "DGC-1.1-27",
    "DGC-1.1-28",
    "DGC-1.1-29",
    "DGC-1.1-30",
    "DGC-1.1-31",
    "DGC-1.1-32",
    "DGC-1.1-33",
    "DGC-1.1-34",
    "DGC-1.1-35",
    "DGC-1.1-36",
    "DGC-1.1-37",
    "DGC-1.1-38",
    "DGC-1.1-39",
    "DGC-1.1-40",
    "DGC-1.1-41",
    "DGC-1.1-42",
    "DGC-1.1-43",
    "DGC-1.2-01",
    "DGC-1.2-02",
    "DGC-1.2-03",
    "DGC-1.2-04",
    "DGC-1.2-05",
    "DGC-1.2-06",
    "DGC-1.2-07",
    "DGC-1.2-08",
    "DGC-1.2-09",
    "DGC-1.2-10",
    "DGC-1.2-11",
    "DGC-1.2-12",
    "DGC-1.2-13",
    "DGC-1.2-14",
    "DGC-1.2-15",
    "DGC-1.2-16",
    "DGC-1.2-17",
    "DGC-1.2-18",
    "DGC-1.2-19",
    "DGC-1.2-20",
    "DGC-1.2-21",
    "DGC-1.2-22",
    "DGC-1.2-23",
    "DGC-1.3-01",
    "DGC-1.3-02",
    "DGC-1.3-03",
    "DGC-1.3-04",
    "DGC-1.3-05",
    "DGC-1.3-06",
    "DGC-1.3-07",
    "DGC-1.3-08",
    "DGC-1.3-09",
    "DGC-1.4-01",
    "DGC-1.4-02",
    "DGC-1.4-03",
    "DGC-1.4-04",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_prints_as_its_identifier() {
        const CLAUSE: Clause = Clause::of("DGC-1.4-02");
        assert_eq!(CLAUSE.to_string(), "DGC-1.4-02");
    }

    #[test]
    #[should_panic(expected = "the catalogue knows no requirement")]
    fn an_unknown_identifier_is_refused() {
        let _ = Clause::of("DGC-1.4-99");
    }
}
