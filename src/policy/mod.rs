//! The knobs of a simulated run: what the reference PF decides where the change request leaves it
//! open, and how the simulated world is set up.
//!
//! This is a table and the grammar of its values, nothing that acts: the scenario reader checks
//! `policy:` against it, the reference PF and the simulator read typed values from it. Names and
//! words may be written with `-` or `_`.

mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use self::table::{CONTRADICTIONS, KNOBS};

/// What the value of a knob looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any of these words, separated by commas; `none` for no one.
    Choices(&'static [&'static str]),
    /// A number from the first to the second bound.
    Count(u64, u64),
    /// A span of time such as `500ms`, `30s`, `5m` or `1h`.
    Span,
    /// A span of time, or `none`.
    SpanOrNone,
    /// One or several of these words, separated by commas: without any a demand could not be met.
    SomeOf(&'static [&'static str]),
    /// Numbers separated by commas; `none` for the empty list.
    Numbers,
    /// Things of this kind, separated by commas or blanks; `none` for the empty list.
    Words(&'static str),
}

impl Kind {
    /// The name of the kind, for a person.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Choice(_) => "choice",
            Self::Choices(_) | Self::SomeOf(_) => "list",
            Self::Count(..) => "number",
            Self::Span | Self::SpanOrNone => "time",
            Self::Numbers => "numbers",
            Self::Words(_) => "words",
        }
    }

    /// The words that are allowed; empty when the value is no word.
    pub const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Flag => &["true", "false"],
            Self::Choice(words) | Self::Choices(words) | Self::SomeOf(words) => words,
            Self::SpanOrNone | Self::Numbers | Self::Words(_) => &["none"],
            Self::Count(..) | Self::Span => &[],
        }
    }

    /// What is allowed, for a person.
    pub fn allowed(self) -> String {
        match self {
            Self::Flag | Self::Choice(_) => self.words().join(" or "),
            Self::Choices(words) => format!("some of {}, or none", words.join(", ")),
            Self::SomeOf(words) => format!("at least one of {}", words.join(", ")),
            Self::Count(least, u64::MAX) => format!("a number from {least}"),
            Self::Count(least, most) => format!("a number from {least} to {most}"),
            Self::Span => "a time such as 500ms, 30s, 5m or 1h".to_owned(),
            Self::SpanOrNone => "a time such as 30s or 5m, or none".to_owned(),
            Self::Numbers => "numbers separated by commas, or none".to_owned(),
            Self::Words(what) => format!("{what} separated by commas, or none"),
        }
    }
}

/// One knob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Knob {
    /// The name, as a scenario writes it.
    pub name: &'static str,
    /// The form of its value.
    pub kind: Kind,
    /// The value that holds when nothing is said.
    pub default: &'static str,
    /// What it decides, in one sentence.
    pub doc: &'static str,
    /// The reading it switches (`AMB-10`), if the text is ambiguous there.
    pub reading: Option<&'static str>,
}

impl Knob {
    /// Whether `value` is allowed.
    ///
    /// # Errors
    ///
    /// A fragment that says what is allowed instead.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let fits = match self.kind {
            Kind::Flag | Kind::Choice(_) => self.kind.words().iter().any(|word| same(word, value)),
            Kind::Choices(words) => members(value).all(|member| words.iter().any(|word| same(word, member))),
            Kind::SomeOf(words) => {
                members(value).next().is_some() && members(value).all(|member| words.iter().any(|word| same(word, member)))
            }
            Kind::Count(least, most) => value.trim().parse().is_ok_and(|number: u64| (least..=most).contains(&number)),
            Kind::Span => span(value).is_some(),
            Kind::SpanOrNone => same(value, "none") || span(value).is_some(),
            Kind::Words(_) => !value.trim().is_empty() && value.chars().all(|char| !char.is_control()),
            Kind::Numbers => members(value).all(|member| member.parse::<u64>().is_ok()),
        };
        if fits { Ok(()) } else { Err(format!("`{}` takes {}, not `{value}`", self.name, self.kind.allowed())) }
    }
}

/// The knob of this name.
pub fn knob(name: &str) -> Option<&'static Knob> {
    // Our own code writes the names as they are.
    KNOBS.iter().find(|knob| knob.name == name).or_else(|| KNOBS.iter().find(|knob| same(knob.name, name)))
}

/// Every knob, in the order of the reference.
pub const fn knobs() -> &'static [Knob] {
    KNOBS
}

/// Values of knobs, each checked; a knob without a value has its default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Values(BTreeMap<&'static str, String>);

impl Values {
    /// Reads `name: value` pairs.
    ///
    /// # Errors
    ///
    /// All faults at once: names that no knob has, values that are not allowed.
    pub fn read<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Vec<String>> {
        let mut values = BTreeMap::new();
        let mut faults = Vec::new();
        for (name, value) in pairs {
            match knob(name).ok_or_else(|| format!("no knob is called `{name}`")).and_then(|knob| knob.check(value).map(|()| knob))
            {
                Ok(knob) => drop(values.insert(knob.name, value.to_owned())),
                Err(fault) => faults.push(fault),
            }
        }
        let values = Self(values);
        if faults.is_empty() {
            faults = values.contradictions();
        }
        if faults.is_empty() { Ok(values) } else { Err(faults) }
    }

    /// Sets one knob.
    ///
    /// # Errors
    ///
    /// As [`Values::read`].
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Vec<String>> {
        let own = self.0.iter().map(|(name, value)| (*name, value.as_str()));
        *self = Self::read(own.chain([(name, value)]))?;
        Ok(())
    }

    /// What these values cannot mean together, each with its reason.
    fn contradictions(&self) -> Vec<String> {
        CONTRADICTIONS.iter().filter(|(holds, _)| holds(self)).map(|(_, reason)| (*reason).to_owned()).collect()
    }

    /// The value of a knob as text, its default when it was not set.
    ///
    /// # Panics
    ///
    /// When no knob has this name: the caller's spelling is wrong.
    pub fn text(&self, name: &str) -> &str {
        let Some(knob) = knob(name) else { panic!("no knob is called `{name}`") };
        self.0.get(knob.name).map_or(knob.default, String::as_str)
    }

    /// The value of a [`Kind::Flag`].
    pub fn flag(&self, name: &str) -> bool {
        same(self.text(name), "true")
    }

    /// Whether the value of a [`Kind::Choice`] is `word`.
    pub fn is(&self, name: &str, word: &str) -> bool {
        same(self.text(name), word)
    }

    /// Whether the value of a [`Kind::Choices`] or [`Kind::SomeOf`] holds `word`.
    pub fn has(&self, name: &str, word: &str) -> bool {
        lists(self.text(name), word)
    }

    /// The value of a [`Kind::Count`].
    pub fn count(&self, name: &str) -> u64 {
        self.text(name).trim().parse().unwrap_or(0)
    }

    /// The value of a [`Kind::Span`] or [`Kind::SpanOrNone`].
    pub fn span(&self, name: &str) -> Option<Duration> {
        span(self.text(name))
    }

    /// The value of a [`Kind::Words`], as written.
    pub fn words(&self, name: &str) -> Vec<String> {
        members(self.text(name)).map(str::to_owned).collect()
    }

    /// The value of a [`Kind::Numbers`].
    pub fn numbers(&self, name: &str) -> Vec<u64> {
        members(self.text(name)).filter_map(|member| member.parse().ok()).collect()
    }
}

/// Reads a span of time: digits and `us`, `ms`, `s`, `m` or `h`; bare digits are seconds.
pub fn span(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..unit_at].parse().ok()?;
    let micros: u64 = match text[unit_at..].trim() {
        "us" => 1,
        "ms" => 1_000,
        "s" | "" => 1_000_000,
        "m" | "min" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return None,
    };
    number.checked_mul(micros).map(Duration::from_micros)
}

/// Whether two names or words are the same: letter case does not count, nor does `_` for `-`.
pub fn same(one: &str, other: &str) -> bool {
    fn letters(word: &str) -> impl Iterator<Item = u8> {
        word.trim().bytes().map(|byte| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() })
    }
    letters(one).eq(letters(other))
}

/// Whether a value that is a list holds a word.
pub fn lists(value: &str, word: &str) -> bool {
    members(value).any(|member| same(member, word))
}

/// The words of a list; `none` is an empty one.
fn members(value: &str) -> impl Iterator<Item = &str> {
    value
        .trim_matches(['[', ']', ' '])
        .split([',', ' '])
        .map(str::trim)
        .filter(|member| !member.is_empty() && !same(member, "none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_allowed() {
        for knob in knobs() {
            assert_eq!(knob.check(knob.default), Ok(()), "{}", knob.name);
        }
    }

    #[test]
    fn names_are_unique_and_written_with_hyphens() {
        for (at, one) in knobs().iter().enumerate() {
            assert!(!one.name.contains('_'));
            assert!(knobs()[at + 1..].iter().all(|other| other.name != one.name), "{}", one.name);
        }
    }

    #[test]
    fn underscores_and_hyphens_are_the_same() {
        let values = Values::read([("bye.no_reason", "defer"), ("race.window", "until_final")]);
        let values = values.expect("both are knobs");
        assert!(values.is("bye.no-reason", "defer"));
        assert!(values.is("race.window", "until-final"));
    }

    #[test]
    fn all_faults_come_at_once() {
        let faults = Values::read([("bye.reason", "leave"), ("retry.count", "many"), ("trigger.delay", "5s")]);
        let faults = faults.expect_err("two are wrong");
        assert_eq!(faults, ["no knob is called `bye.reason`", "`retry.count` takes a number from 0 to 100, not `many`"]);
    }

    #[test]
    fn lists_may_be_empty() {
        let values = Values::read([("loss.detect", "[session_timer, deregistration]"), ("stop.codes", "none")]).expect("valid");
        assert!(values.has("loss.detect", "deregistration"));
        assert!(!values.has("loss.detect", "msrp-disconnect"));
        assert!(values.numbers("stop.codes").is_empty());
        assert_eq!(Values::default().numbers("stop.codes"), [408, 480, 503]);
    }

    #[test]
    fn a_demand_needs_one_way_at_least() {
        let faults = Values::read([("imdn.ways", "none")]).expect_err("no way is open");
        assert_eq!(faults, ["`imdn.ways` takes at least one of ongoing, session, message, not `none`"]);
        assert!(Values::read([("imdn.ways", "message, ongoing")]).is_ok_and(|values| !values.has("imdn.ways", "session")));
    }

    #[test]
    fn impossible_combinations_are_refused_with_the_reason() {
        let faults = Values::read([("sender.order", "list")]).expect_err("there is no list");
        assert_eq!(faults, ["`sender.order` is `list`, but `sender.list` names no sender"]);
        let mut values = Values::read([("sender.list", "tel:+1514, SIP:carol_b@home1.example")]).expect("a list");
        values.set("sender.order", "list").expect("there is a list");
        assert_eq!(values.words("sender.list"), ["tel:+1514", "SIP:carol_b@home1.example"]);
        assert!(values.set("sender.list", "none").is_err());
        assert!(values.is("sender.order", "list"));
    }

    #[test]
    fn what_no_pf_can_act_by_is_refused() {
        let refused: [&[(&str, &str)]; 11] = [
            &[("sender.order", "list")],
            &[("sdp.default-accept-types", "none")],
            &[("rejoin.early-accept", "false"), ("restart.fail-before-drain", "immediate")],
            &[("rejoin.early-accept", "false"), ("msrp.fail-status-map", "focus")],
            &[("delivered-when", "imdn"), ("imdn.releases-message", "false")],
            &[("store.drop-oldest", "true"), ("store.max-messages", "18446744073709551615")],
            &[("imdn.instance", "both"), ("imdn.ways", "ongoing, message")],
            &[("stop.codes", "480, 200")],
            &[("ringing.limit", "0s")],
            &[("store.max-age", "0s")],
            &[("imdn.ways", "none")],
        ];
        for pairs in refused {
            let faults = Values::read(pairs.iter().copied()).expect_err("impossible");
            assert_eq!(faults.len(), 1, "{pairs:?}: {faults:?}");
        }
        assert_eq!(CONTRADICTIONS.len() + 1, refused.len());
    }

    #[test]
    fn spans_have_units() {
        assert_eq!(span("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(span("2h"), Some(Duration::from_secs(7200)));
        assert_eq!(span("7"), Some(Duration::from_secs(7)));
        assert_eq!(span("soon"), None);
        assert_eq!(Values::default().span("device.pin-timeout"), None);
    }
}
