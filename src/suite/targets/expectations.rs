//! Which failures are expected of an implementation, and why.

use std::cmp::Ordering;

use crate::pattern::ast::Place;
use crate::suite::diagnostics::Diagnostic;
use crate::suite::reader::{Desk, Fields, members, text, word};
use crate::suite::yaml::Node;

pub(super) const FIELDS: &[&str] = &["match", "expect", "because", "issue", "failure", "when", "until"];
pub(super) const FAILURE_FIELDS: &[&str] = &["step", "requirement", "contains"];
pub(super) const WHEN_FIELDS: &[&str] = &["target-version"];
/// What stands where a person has to say why, until one did.
pub const UNWRITTEN: &str = "TODO";
pub(super) const EXPECTS: &[(&str, Expect)] =
    &[("fail", Expect::Fail), ("flaky", Expect::Flaky), ("warn", Expect::Warn), ("unsupported", Expect::Unsupported)];

/// What is expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expect {
    /// It fails.
    #[default]
    Fail,
    /// It sometimes fails.
    Flaky,
    /// It passes with a warning.
    Warn,
    /// The implementation says that it cannot do it.
    Unsupported,
}

impl Expect {
    /// The word for it.
    pub fn word(self) -> &'static str {
        EXPECTS.iter().find(|(_, expect)| *expect == self).map_or("fail", |(word, _)| word)
    }
}

/// How the failure looks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Failure {
    /// The step that is not met, as the scenario writes it.
    pub step: Option<String>,
    /// The requirement whose rule is broken.
    pub requirement: Option<String>,
    /// What the report says of it.
    pub contains: Option<String>,
}

/// A day of the calendar.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Date {
    /// From 1970 on.
    pub year: u16,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
}

impl Date {
    /// `2026-12-31`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        if (year.len(), month.len(), day.len()) != (4, 2, 2) {
            return None;
        }
        let date = Self { year: year.parse().ok()?, month: month.parse().ok()?, day: day.parse().ok()? };
        (date.year >= 1970 && (1..=12).contains(&date.month) && (1..=date.days()).contains(&date.day)).then_some(date)
    }

    /// How many days its month has.
    const fn days(self) -> u8 {
        let leap = self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// The day that many days after the first of 1970.
    pub fn of_days(mut days: u64) -> Self {
        let mut date = Self { year: 1970, month: 1, day: 1 };
        while days >= u64::from(date.days()) && date.year < u16::MAX {
            days -= u64::from(date.days());
            (date.year, date.month) = if date.month == 12 { (date.year + 1, 1) } else { (date.year, date.month + 1) };
        }
        Self { day: u8::try_from(days + 1).unwrap_or(1), ..date }
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// `<4.2`: which versions an entry is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VersionTest {
    operator: &'static str,
    version: String,
}

/// Operators, the longer ones first.
pub(super) const OPERATORS: [&str; 5] = ["<=", ">=", "<", ">", "="];

impl VersionTest {
    /// Reads an operator and a version.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let operator = OPERATORS.into_iter().find(|operator| text.starts_with(operator))?;
        let version = text[operator.len()..].trim();
        (!version.is_empty()).then(|| Self { operator, version: version.to_owned() })
    }

    /// Whether it holds on a version.
    pub fn holds(&self, version: &str) -> bool {
        let order = compared(version, &self.version);
        match self.operator {
            "<" => order == Ordering::Less,
            "<=" => order != Ordering::Greater,
            ">" => order == Ordering::Greater,
            ">=" => order != Ordering::Less,
            _ => order == Ordering::Equal,
        }
    }
}

/// Part by part: numbers as numbers, what is no number as text; what is missing is 0.
fn compared(left: &str, right: &str) -> Ordering {
    let parts = |text: &str| text.split(['.', '-', '+']).map(str::to_owned).collect::<Vec<_>>();
    let (left, right) = (parts(left), parts(right));
    let part = |parts: &[String], at: usize| parts.get(at).cloned().unwrap_or_else(|| "0".to_owned());
    for at in 0..left.len().max(right.len()) {
        let (one, other) = (part(&left, at), part(&right, at));
        let order = match (one.parse::<u64>(), other.parse::<u64>()) {
            (Ok(one), Ok(other)) => one.cmp(&other),
            _ => one.cmp(&other),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The selector of the scenarios that it is about, as written.
    pub selector: String,
    /// Where that stands.
    pub place: Place,
    /// Where the whole entry stands, from its first key on.
    pub span: Place,
    /// What is expected of them.
    pub expect: Expect,
    /// Where that stands.
    pub expect_place: Place,
    /// Why.
    pub because: String,
    /// Where it is followed up.
    pub issue: String,
    /// How the failure looks, if that is said.
    pub failure: Option<Failure>,
    /// For which versions of the target.
    pub when: Option<VersionTest>,
    /// The last day on which it holds, and where that is said.
    pub until: Option<(Date, Place)>,
}

/// Reads the whole file.
pub(super) fn read(desk: &Desk, tree: &Node) -> Vec<Entry> {
    members(desk, tree, "a file of expected failures").iter().filter_map(|node| entry(desk, node)).collect()
}

fn entry(desk: &Desk, node: &Node) -> Option<Entry> {
    const WHAT: &str = "an expected failure";
    let fields = Fields::of(desk, node, WHAT)?;
    fields.known(desk, WHAT, FIELDS);
    let needed = |name: &str| {
        let node = fields.need(desk, name, WHAT)?;
        text(desk, node, &format!("`{name}`")).map(|text| (text.to_owned(), node.place))
    };
    let (selector, because, issue) = (needed("match"), needed("because"), needed("issue"));
    for (name, value) in [("because", &because), ("issue", &issue)] {
        if let Some((_, place)) = value.as_ref().filter(|(text, _)| text == UNWRITTEN) {
            desk.say(
                Diagnostic::new("T0016", *place, format!("`{name}` is still to be written"))
                    .label("nobody has said it yet")
                    .help("say why this failure is accepted and where it is followed up, or remove the entry"),
            );
        }
    }
    if let Some((issue, place)) = &issue
        && issue != UNWRITTEN
        && !issue.contains("://")
    {
        desk.say(
            Diagnostic::new("T0013", *place, format!("`{issue}` is no link"))
                .label("not a link")
                .help("write the address of the issue, `https://tracker.example/ACME-812`"),
        );
    }
    let expect = fields.need(desk, "expect", WHAT).and_then(|node| Some((word(desk, node, "`expect`", EXPECTS)?, node.place)));
    let failure = fields.get("failure").and_then(|node| failure(desk, node));
    let when = fields.get("when").and_then(|node| when(desk, node));
    let until = fields.get("until").and_then(|node| until(desk, node));
    let ((selector, place), (expect, expect_place)) = (selector?, expect?);
    let (because, issue, span) = (because?.0, issue?.0, node.place);
    Some(Entry { selector, place, span, expect, expect_place, because, issue, failure, when, until })
}

fn failure(desk: &Desk, node: &Node) -> Option<Failure> {
    let fields = Fields::of(desk, node, "`failure`")?;
    fields.known(desk, "`failure`", FAILURE_FIELDS);
    let own = |name: &str| fields.get(name).and_then(|node| text(desk, node, &format!("`{name}`"))).map(str::to_owned);
    Some(Failure { step: own("step"), requirement: own("requirement"), contains: own("contains") })
}

fn when(desk: &Desk, node: &Node) -> Option<VersionTest> {
    let fields = Fields::of(desk, node, "`when`")?;
    fields.known(desk, "`when`", WHEN_FIELDS);
    let node = fields.need(desk, "target-version", "`when`")?;
    let written = text(desk, node, "`target-version`")?;
    let test = VersionTest::parse(written);
    if test.is_none() {
        desk.say(
            Diagnostic::new("T0013", node.place, format!("`{written}` compares no version"))
                .label("not a comparison")
                .help("write an operator and a version: `<4.2`, `<=`, `=`, `>=`, `>`"),
        );
    }
    test
}

fn until(desk: &Desk, node: &Node) -> Option<(Date, Place)> {
    let written = text(desk, node, "`until`")?;
    let date = Date::parse(written);
    if date.is_none() {
        desk.say(
            Diagnostic::new("T0013", node.place, format!("`{written}` is no date")).label("not a date").help("write `2026-12-31`"),
        );
    }
    date.map(|date| (date, node.place))
}

#[cfg(test)]
mod tests {
    use super::super::{Look, expectations};
    use super::*;

    #[test]
    fn an_entry_is_read_whole() {
        let text = "- match: group/*\n  expect: fail\n  because: sends 480\n  issue: https://tracker.example/1\n  failure: { step: pf -> bob 404, contains: \"480\" }\n  when: { target-version: \"<4.2\" }\n  until: 2026-12-31\n";
        let read = expectations("a.yaml", text.to_owned());
        assert_eq!(read.complaints(Look::Short), "");
        let [entry] = read.value.as_slice() else { panic!("{:?}", read.value) };
        assert_eq!((entry.expect, entry.until.map(|(date, _)| date.to_string())), (Expect::Fail, Some("2026-12-31".to_owned())));
        assert!(entry.when.as_ref().is_some_and(|when| when.holds("4.1.9") && !when.holds("4.10")));
    }

    #[test]
    fn what_is_missing_or_wrong_is_told_with_its_place() {
        let text = "- match: a\n  expect: fails\n  issue: ACME-1\n  until: 2026-02-30\n  when: { target-version: 4.2 }\n";
        let said = expectations("a.yaml", text.to_owned()).complaints(Look::Short);
        for part in [
            "a.yaml:1:3: Y0009 error: an expected failure lacks `because`",
            "a.yaml:2:11: Y0010 error: `expect` cannot be `fails`",
            "a.yaml:3:10: T0013 error: `ACME-1` is no link",
            "a.yaml:4:10: T0013 error: `2026-02-30` is no date",
            "a.yaml:5:27: T0013 error: `4.2` compares no version",
        ] {
            assert!(said.contains(part), "{part} is missing:\n{said}");
        }
    }

    #[test]
    fn a_reason_that_nobody_wrote_is_none() {
        let text = "- match: a\n  expect: fail\n  because: TODO\n  issue: TODO\n";
        let read = expectations("a.yaml", text.to_owned());
        assert!(!read.is_usable() && read.value.len() == 1 && read.mistakes.iter().all(|mistake| mistake.code == "T0016"));
        assert_eq!(read.mistakes.len(), 2);
    }

    #[test]
    fn days_count_from_1970() {
        for (days, date) in [(0, "1970-01-01"), (59, "1970-03-01"), (11_016, "2000-02-29"), (20_454, "2026-01-01")] {
            assert_eq!(Date::of_days(days).to_string(), date);
        }
        assert!(Date::parse("2026-12-31") < Date::parse("2027-01-01"));
    }

    #[test]
    fn versions_compare_part_by_part() {
        let holds = |test: &str, version: &str| VersionTest::parse(test).is_some_and(|test| test.holds(version));
        assert!(holds("<4.2", "4.1.3") && holds(">=4.2", "4.2.0") && holds("=4.2", "4.2") && holds("> 4.9", "4.10"));
        assert!(VersionTest::parse("4.2").is_none() && VersionTest::parse("<").is_none());
    }
}
