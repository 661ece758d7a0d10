//! Selectors: which scenarios a command speaks of.
//!
//! ```text
//! expression = term { "or" term }
//! term       = factor { ["and"] factor }
//! factor     = "not" factor | "(" expression ")" | atom
//! atom       = [ kind ":" ] glob
//! ```

use std::fmt;

use crate::suite::catalogue::{Level, Requirement};
use crate::suite::scenario::Scenario;

/// One selector, or several joined by `and`, `or` and `not`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Selector {
    /// `glob` on the identifier, `glob@glob` on identifier and variant.
    Id(Glob, Option<Glob>),
    /// `tag:glob`.
    Tag(Glob),
    /// `req:glob`.
    Requirement(Glob),
    /// `clause:8.3.2.9.1.4`, that clause and those below it.
    Clause(String),
    /// `level:SHALL`.
    Level(Level),
    /// `actor:glob` on role or name.
    Actor(Glob),
    /// `file:glob` on the path below the suite.
    File(Glob),
    /// Both.
    And(Box<Selector>, Box<Selector>),
    /// Either.
    Or(Box<Selector>, Box<Selector>),
    /// Not.
    Not(Box<Selector>),
}

/// Why a selector cannot be understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misread {
    /// The selector as written.
    pub text: String,
    /// What is wrong, a lower-case fragment.
    pub why: String,
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.text, self.why)
    }
}

/// The kinds of atoms, as they are written.
pub const KINDS: [&str; 6] = ["tag", "req", "clause", "level", "actor", "file"];

impl Selector {
    /// Reads one selector of the command line: an atom.
    pub fn parse(text: &str) -> Result<Self, Misread> {
        atom(text).map_err(|why| Misread { text: text.to_owned(), why })
    }

    /// Reads the expression of `-E`.
    pub fn parse_expression(text: &str) -> Result<Self, Misread> {
        let misread = |why: String| Misread { text: text.to_owned(), why };
        let mut words = Words { rest: tokens(text) };
        let selector = expression(&mut words).map_err(misread)?;
        match words.rest.first() {
            None => Ok(selector),
            Some(word) => Err(misread(format!("`{word}` is one too many"))),
        }
    }

    /// Whether a variant of a scenario that fits is meant too.
    pub fn takes(&self, variant: &str) -> bool {
        match self {
            Self::Id(_, Some(wanted)) => wanted.fits(variant),
            _ => true,
        }
    }

    /// Whether `scenario` is meant; `catalogue` tells clause and level of what it lists.
    pub fn fits<'c>(&self, scenario: &Scenario, catalogue: &dyn Fn(&str) -> Option<&'c Requirement>) -> bool {
        let listed = |test: &dyn Fn(&Requirement) -> bool| scenario.requirements.iter().filter_map(|id| catalogue(id)).any(test);
        match self {
            Self::Id(glob, variant) => {
                let named = |wanted: &Glob| scenario.variants.iter().any(|variant| wanted.fits(&variant.name));
                glob.fits(&scenario.id) && variant.as_ref().is_none_or(named)
            }
            Self::Tag(glob) => scenario.tags.iter().any(|tag| glob.fits(tag)),
            Self::Requirement(glob) => scenario.requirements.iter().any(|id| glob.fits(id)),
            Self::Clause(clause) => listed(&|requirement| is_below(&requirement.clause, clause)),
            Self::Level(level) => listed(&|requirement| requirement.level == *level),
            Self::Actor(glob) => {
                glob.fits(&scenario.iut.to_string())
                    || scenario.actors.iter().any(|actor| glob.fits(&actor.name) || glob.fits(&actor.role.to_string()))
            }
            Self::File(glob) => glob.fits(&format!("{}.yaml", scenario.id)),
            Self::And(left, right) => left.fits(scenario, catalogue) && right.fits(scenario, catalogue),
            Self::Or(left, right) => left.fits(scenario, catalogue) || right.fits(scenario, catalogue),
            Self::Not(inner) => !inner.fits(scenario, catalogue),
        }
    }
}

/// Whether the clause number in `text` (`8.3.2.9 para 2`) is `clause` or lies below it.
fn is_below(text: &str, clause: &str) -> bool {
    text.strip_prefix(clause).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ' ']))
}

fn atom(text: &str) -> Result<Selector, String> {
    let Some((kind, value)) = text.split_once(':') else {
        return match text.split_once('@') {
            _ if text.is_empty() => Err("it is empty".to_owned()),
            Some((id, variant)) => Ok(Selector::Id(Glob::new(id), Some(Glob::new(variant)))),
            None => Ok(Selector::Id(Glob::new(text), None)),
        };
    };
    if value.is_empty() {
        return Err(format!("nothing follows `{kind}:`"));
    }
    match kind {
        "tag" => Ok(Selector::Tag(Glob::new(value))),
        "req" => Ok(Selector::Requirement(Glob::new(value))),
        "clause" => Ok(Selector::Clause(value.to_owned())),
        "actor" => Ok(Selector::Actor(Glob::new(value))),
        "file" => Ok(Selector::File(Glob::new(value))),
        "level" => match value.to_ascii_uppercase().as_str() {
            "SHALL" => Ok(Selector::Level(Level::Shall)),
            "SHOULD" => Ok(Selector::Level(Level::Should)),
            "MAY" => Ok(Selector::Level(Level::May)),
            "NOTE" => Ok(Selector::Level(Level::Note)),
            _ => Err(format!("there is no level `{value}`; levels are SHALL, SHOULD, MAY, NOTE")),
        },
        _ => Err(format!("there is no selector `{kind}:`; there are {}", KINDS.map(|kind| format!("{kind}:")).join(", "))),
    }
}

struct Words<'a> {
    rest: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn take(&mut self, word: &str) -> bool {
        let there = self.rest.first() == Some(&word);
        if there {
            self.rest.remove(0);
        }
        there
    }

    fn next(&mut self) -> Option<&'a str> {
        (!self.rest.is_empty()).then(|| self.rest.remove(0))
    }
}

fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for word in text.split_whitespace() {
        let mut start = 0;
        for (at, mark) in word.match_indices(['(', ')']) {
            found.push(&word[start..at]);
            found.push(mark);
            start = at + 1;
        }
        found.push(&word[start..]);
    }
    found.retain(|token| !token.is_empty());
    found
}

fn expression(words: &mut Words<'_>) -> Result<Selector, String> {
    let mut left = term(words)?;
    while words.take("or") {
        left = Selector::Or(Box::new(left), Box::new(term(words)?));
    }
    Ok(left)
}

fn term(words: &mut Words<'_>) -> Result<Selector, String> {
    let mut left = factor(words)?;
    while words.take("and") || !matches!(words.rest.first(), None | Some(&("or" | ")"))) {
        left = Selector::And(Box::new(left), Box::new(factor(words)?));
    }
    Ok(left)
}

fn factor(words: &mut Words<'_>) -> Result<Selector, String> {
    if words.take("not") {
        return Ok(Selector::Not(Box::new(factor(words)?)));
    }
    if words.take("(") {
        let inner = expression(words)?;
        return if words.take(")") { Ok(inner) } else { Err("a `)` is missing".to_owned()) };
    }
    match words.next() {
        None => Err("a selector is missing at the end".to_owned()),
        Some(word @ ("and" | "or" | ")")) => Err(format!("a selector is missing before `{word}`")),
        Some(word) => atom(word),
    }
}

/// A text in which `*` stands for any text, `?` for one character.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Glob(String);

impl Glob {
    /// A glob as written.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether `text` fits as a whole.
    pub fn fits(&self, text: &str) -> bool {
        let (glob, text): (Vec<char>, Vec<char>) = (self.0.chars().collect(), text.chars().collect());
        // The latest star and where in the text it was tried last: enough, since a later star
        // can do all that an earlier one could.
        let (mut at, mut seen, mut star) = (0, 0, None);
        while seen < text.len() {
            match glob.get(at) {
                Some('*') => {
                    star = Some((at, seen));
                    at += 1;
                }
                Some(mark) if *mark == '?' || *mark == text[seen] => {
                    at += 1;
                    seen += 1;
                }
                _ => match star {
                    Some((position, tried)) => {
                        star = Some((position, tried + 1));
                        (at, seen) = (position + 1, tried + 1);
                    }
                    None => return false,
                },
            }
        }
        glob[at..].iter().all(|mark| *mark == '*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::ast::{Place, Role};
    use crate::suite::scenario::{Actor, Variant};

    #[test]
    fn globs_fit_whole_texts() {
        for (glob, text, fits) in [
            ("group/*", "group/a", true),
            ("*-lost", "client-lost", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b", "abc", false),
            ("gr?up/a", "group/a", true),
            ("group", "group/a", false),
            ("*", "", true),
        ] {
            assert_eq!(Glob::new(glob).fits(text), fits, "{glob} on {text}");
        }
    }

    #[test]
    fn every_kind_of_atom_selects() {
        for text in [
            "group/pinned*",
            "tag:group",
            "req:DGC-1.2-*",
            "clause:8.3.2.9.1.2",
            "clause:8.3.2.9",
            "level:shall",
            "actor:cf",
            "actor:focus",
            "file:group/*.yaml",
        ] {
            assert!(selects(text), "{text}");
        }
        for text in ["tag:race", "req:DGC-9-01", "clause:8.3.2.9.1.20", "level:MAY", "actor:carol", "pinned"] {
            assert!(!selects(text), "{text}");
        }
    }

    #[test]
    fn expressions_bind_not_before_and_before_or() {
        for (text, expected) in [
            ("tag:race or tag:group and actor:cf", true),
            ("not tag:race and tag:group", true),
            ("not (tag:race or tag:group)", false),
            ("tag:group actor:carol", false),
        ] {
            let selector = Selector::parse_expression(text).expect("it is well formed");
            assert_eq!(selects_by(&selector), expected, "{text}");
        }
    }

    #[test]
    fn slips_are_named() {
        for (text, why) in [
            ("tag:a and", "a selector is missing at the end"),
            ("(tag:a", "a `)` is missing"),
            ("tag:a )", "`)` is one too many"),
            ("tga:a", "there is no selector `tga:`"),
            ("level:must", "there is no level `must`"),
            ("tag:", "nothing follows `tag:`"),
        ] {
            let misread = Selector::parse_expression(text).expect_err("it is a slip");
            assert!(misread.why.contains(why), "{text}: {}", misread.why);
        }
    }

    fn selects(text: &str) -> bool {
        selects_by(&Selector::parse(text).expect("it is well formed"))
    }

    fn selects_by(selector: &Selector) -> bool {
        let known = requirement();
        selector.fits(&scenario(), &|id| (id == known.id).then_some(&known))
    }

    fn requirement() -> Requirement {
        Requirement {
            id: "DGC-1.2-19".to_owned(),
            clause: "8.3.2.9.1.2 item 5".to_owned(),
            level: Level::Shall,
            actor: "pf".to_owned(),
            summary: String::new(),
            rules: Vec::new(),
            tamper: Vec::new(),
            exemption: None,
            fingerprints: Vec::new(),
            place: Place::default(),
        }
    }

    fn scenario() -> Scenario {
        Scenario {
            id: "group/pinned-device".to_owned(),
            title: String::new(),
            requirements: vec!["DGC-1.2-19".to_owned()],
            tags: vec!["group".to_owned()],
            iut: Role::Pf,
            actors: vec![Actor {
                name: "focus".into(),
                role: Role::Cf,
                devices: Vec::new(),
                reference: false,
                refreshes: true,
                connects_early: false,
            }],
            variants: vec![Variant::default()],
            needs: Vec::new(),
            control: None,
            ignore: Vec::new(),
            settle: None,
            draft: false,
            flow: Vec::new(),
            steps: 0,
            files: Vec::new(),
        }
    }
}
