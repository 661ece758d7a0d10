//! What runs say about a target's expected failures: which entries are missing, and which are over.
//!
//! Nothing is decided here that a person has to decide: why a failure is accepted stays theirs.

use std::collections::BTreeMap;

use super::expected::{At, Listed, Register};
use crate::judge::outcome::Gate;
use crate::judge::verdict::{Finding, FindingKind, Verdict};
use crate::suite::Suite;
use crate::suite::targets::Expect;
use crate::suite::targets::edit::Draft;

/// Characters of what was observed that an entry names.
const NAMED: usize = 60;

/// How a case came out in one run, whatever was expected of it then.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum State {
    Passed,
    Warned,
    Failed,
    /// The implementation says that it cannot.
    Refused,
    /// Nobody knows.
    Undecided,
}

impl State {
    /// What stands behind a gate of a run file; a flaky outcome was seen both ways.
    fn behind(gate: &str) -> Vec<Self> {
        let is = |gates: &[Gate]| gates.iter().any(|known| known.name() == gate);
        if is(&[Gate::Pass, Gate::Info, Gate::Surprise]) {
            vec![Self::Passed]
        } else if is(&[Gate::Warn]) {
            vec![Self::Warned]
        } else if is(&[Gate::Fail, Gate::Waived, Gate::Otherwise]) {
            vec![Self::Failed]
        } else if is(&[Gate::Unsupported, Gate::Undeclared]) {
            vec![Self::Refused]
        } else if is(&[Gate::Flaky]) {
            vec![Self::Failed, Self::Passed]
        } else {
            vec![Self::Undecided]
        }
    }

    const fn fails(self) -> bool {
        matches!(self, Self::Failed | Self::Refused)
    }
}

/// One case in one run.
#[derive(Clone, Debug)]
struct Sighting {
    state: State,
    /// The requirements that were broken.
    broken: Vec<String>,
    /// What came in place of what steps expect.
    observed: Vec<String>,
}

/// What was seen of every case.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    cases: BTreeMap<String, Vec<Sighting>>,
}

impl Sightings {
    /// Adds one case of one run, with the gate that the run gave it.
    pub fn add(&mut self, case: String, gate: &str, findings: &[Finding]) {
        let broken = |finding: &&Finding| finding.verdict(false) == Verdict::Fail && !finding.is_unshown_claim();
        let of = |kind| findings.iter().filter(broken).filter(move |finding| finding.kind == kind);
        let sighting = |state| Sighting {
            state,
            broken: of(FindingKind::Rule).map(|finding| finding.id.clone()).collect(),
            observed: of(FindingKind::Expectation).map(|finding| finding.observed.clone()).collect(),
        };
        self.cases.entry(case).or_default().extend(State::behind(gate).into_iter().map(sighting));
    }

    /// How often the case was seen that was seen least; none when there is none.
    pub fn least(&self) -> Option<usize> {
        self.cases.values().map(Vec::len).min()
    }

    fn of(&self, case: &str) -> &[Sighting] {
        self.cases.get(case).map(Vec::as_slice).unwrap_or_default()
    }
}

/// What is to be written.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Entries that are missing.
    pub drafts: Vec<Draft>,
    /// Entries that are flaky and expect more.
    pub wavering: Vec<At>,
    /// What a person has to see to.
    pub remarks: Vec<String>,
}

/// What the file of expected failures lacks. `because` and `issue` are what new entries say.
pub fn update(register: &Register, seen: &Sightings, suite: &Suite, because: &str, issue: &str) -> Update {
    let mut update = Update::default();
    for (case, sightings) in &seen.cases {
        if sightings.iter().any(|sighting| sighting.state == State::Undecided) {
            update.remarks.push(format!("{case} could not be decided; nothing is written about it"));
        } else if let Some((at, _)) = register.covering(case) {
            listed(register, at, case, sightings, &mut update);
        } else if sightings.iter().any(|sighting| sighting.state.fails()) {
            let draft = draft(case, sightings, register, suite);
            update.drafts.push(Draft { because: because.to_owned(), issue: issue.to_owned(), ..draft });
        }
    }
    update
}

/// A case about which there is an entry.
fn listed(register: &Register, at: At, case: &str, sightings: &[Sighting], update: &mut Update) {
    let Some(listed) = register.entries().into_iter().find(|listed| listed.at == at) else { return };
    let fails = sightings.iter().filter(|sighting| sighting.state.fails()).count();
    let place = &listed.place;
    match listed.entry.expect {
        Expect::Fail | Expect::Unsupported if fails == 0 => {
            update.remarks.push(format!("{case} passes: `expect prune` takes {place} out"));
        }
        Expect::Fail | Expect::Unsupported if fails < sightings.len() => {
            if listed.cases.is_some_and(|cases| cases.len() == 1) {
                update.wavering.push(at);
            } else {
                let word = listed.entry.expect.word();
                update
                    .remarks
                    .push(format!("{case} is flaky, and {place} expects `{word}` of it and of others: narrow that entry"));
            }
        }
        Expect::Warn if fails > 0 => update.remarks.push(format!("{case} fails, and {place} expects a warning")),
        Expect::Fail | Expect::Unsupported | Expect::Warn | Expect::Flaky => {}
    }
}

fn draft(case: &str, sightings: &[Sighting], register: &Register, suite: &Suite) -> Draft {
    let (scenario, variant) = case.split_once('@').unwrap_or((case, ""));
    let alone = suite.scenario(scenario).is_some_and(|scenario| scenario.variants.len() == 1);
    let failed: Vec<&Sighting> = sightings.iter().filter(|sighting| sighting.state.fails()).collect();
    let refused = failed.iter().all(|sighting| sighting.state == State::Refused) && register.claimed(scenario).is_none();
    let expect = match failed.len() == sightings.len() {
        false => Expect::Flaky,
        true if refused => Expect::Unsupported,
        true => Expect::Fail,
    };
    let common = |of: fn(&Sighting) -> &[String]| {
        let rest = |text: &&String| failed.iter().all(|sighting| of(sighting).contains(text));
        failed.first().and_then(|first| of(first).iter().find(rest)).cloned()
    };
    let requirement = common(|sighting| &sighting.broken);
    let observed = common(|sighting| &sighting.observed);
    let shown = [requirement.clone(), observed.as_ref().map(|text| format!("observed {text}"))];
    let shown: Vec<String> = shown.into_iter().flatten().collect();
    let failure = requirement.map(|id| ("requirement", id));
    let failure = failure.or_else(|| observed.map(|text| ("contains", text.chars().take(NAMED).collect())));
    let colon = if shown.is_empty() { "" } else { ": " };
    Draft {
        selector: if alone { scenario.to_owned() } else { format!("{scenario}@{variant}") },
        expect,
        failure: failure.filter(|_| expect == Expect::Fail),
        seen: format!("Failed in {} of {} runs{colon}{}", failed.len(), sightings.len(), shown.join(", ")),
        ..Draft::default()
    }
}

/// What is to be taken out.
#[derive(Clone, Debug, Default)]
pub struct Prune {
    /// The entries.
    pub gone: Vec<At>,
    /// Why each goes, and what a person has to see to.
    pub remarks: Vec<String>,
}

/// Which entries are over: about nothing, or about what passes. `left_out` tells why a case was not
/// run on purpose.
pub fn prune(register: &Register, seen: &Sightings, left_out: &dyn Fn(&str) -> Option<String>) -> Prune {
    let mut prune = Prune::default();
    for listed in register.entries() {
        let Some(cases) = listed.cases else { continue };
        let (selector, place) = (&listed.entry.selector, &listed.place);
        match fate(&listed, cases, seen, left_out) {
            Fate::Over(why) => {
                prune.gone.push(listed.at);
                prune.remarks.push(format!("{place} `{selector}` goes: {why}"));
            }
            Fate::Look(what) => prune.remarks.push(format!("{place} `{selector}` stays: {what}")),
            Fate::Holds => {}
        }
    }
    prune
}

/// What becomes of an entry.
enum Fate {
    Over(String),
    Look(String),
    Holds,
}

fn fate(listed: &Listed<'_>, cases: &[String], seen: &Sightings, left_out: &dyn Fn(&str) -> Option<String>) -> Fate {
    let (ran, other): (Vec<&String>, Vec<&String>) = cases.iter().partition(|case| !seen.of(case).is_empty());
    let why = other.iter().find_map(|case| Some(format!("{case} is left out, {}", left_out(case)?)));
    let missing = other.iter().any(|case| left_out(case).is_none());
    if cases.is_empty() {
        return Fate::Over("it matches no scenario".to_owned());
    }
    if ran.is_empty() {
        return match why {
            Some(why) if !missing => Fate::Over(format!("none of its scenarios is run: {why}")),
            _ => Fate::Holds,
        };
    }
    let over = |state: State| match listed.entry.expect {
        Expect::Warn => state == State::Passed,
        Expect::Fail | Expect::Unsupported => matches!(state, State::Passed | State::Warned),
        Expect::Flaky => false,
    };
    let passes = |case: &&String| seen.of(case).iter().all(|sighting| over(sighting.state));
    let passing: Vec<&str> = ran.iter().copied().filter(passes).map(String::as_str).collect();
    match passing.len() {
        0 => Fate::Holds,
        all if all == ran.len() && !missing => Fate::Over(format!("{} passed every time", passing.join(", "))),
        all if all == ran.len() => Fate::Look("what was run of it passes, and not all of it was run".to_owned()),
        _ => Fate::Look(format!("narrow it, since {} passed every time", passing.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::expected::Against;
    use crate::suite::load;
    use crate::suite::source::Sources;
    use crate::suite::targets::{Date, Pics, expectations};

    const DAY: Date = Date { year: 2026, month: 1, day: 1 };

    fn suite() -> Suite {
        load(Sources::embedded()).expect("the built-in suite")
    }

    fn register(text: &str, suite: &Suite, pics: &Pics) -> Register {
        let mut documents = [expectations("a.yaml", text.to_owned())];
        Register::new(&mut documents, &Against { suite, pics, version: None, today: DAY })
    }

    fn entry(selector: &str, expect: &str) -> String {
        format!("- match: {selector}\n  expect: {expect}\n  because: known\n  issue: https://t.example/1\n")
    }

    fn seen(runs: &[(&str, &str)]) -> Sightings {
        let mut seen = Sightings::default();
        runs.iter().for_each(|(case, gate)| seen.add((*case).to_owned(), gate, &[]));
        seen
    }

    const ONE: &str = "group/missed-messages";
    const OTHER: &str = "failure/retried";

    #[test]
    fn what_fails_always_or_sometimes_or_is_refused_gets_an_entry_and_what_passes_none() {
        let suite = suite();
        let runs = [
            (ONE, "FAIL"),
            (ONE, "PASS"),
            (OTHER, "FAIL"),
            (OTHER, "XDIFF"),
            ("group/leaves-voluntarily", "PASS"),
            ("tag/x", "ERROR"),
            ("restart/not-found", "UNSUP!"),
        ];
        let update = update(&register("", &suite, &Pics::default()), &seen(&runs), &suite, "", "");
        let drafts: Vec<(&str, Expect)> =
            update.drafts.iter().map(|draft| (draft.selector.split('@').next().unwrap(), draft.expect)).collect();
        assert_eq!(drafts, [(OTHER, Expect::Fail), (ONE, Expect::Flaky), ("restart/not-found", Expect::Unsupported)]);
        assert_eq!(update.drafts[0].seen, "Failed in 2 of 2 runs");
        assert!(update.remarks.iter().any(|remark| remark.contains("tag/x could not be decided")), "{:?}", update.remarks);
    }

    #[test]
    fn an_entry_that_wavers_becomes_flaky_only_if_it_is_about_nothing_else() {
        let suite = suite();
        let runs = seen(&[(OTHER, "XFAIL"), (OTHER, "XPASS"), (ONE, "XFAIL"), (ONE, "XFAIL")]);
        let narrow = update(&register(&entry(OTHER, "fail"), &suite, &Pics::default()), &runs, &suite, "", "");
        assert_eq!((narrow.wavering.as_slice(), narrow.drafts.len()), ([(0, 0)].as_slice(), 1));
        let wide = update(&register(&entry("'*'", "fail"), &suite, &Pics::default()), &runs, &suite, "", "");
        assert!(wide.wavering.is_empty() && wide.drafts.is_empty() && wide.remarks[0].contains("narrow that entry"), "{wide:?}");
    }

    #[test]
    fn an_entry_goes_when_all_of_it_passes_or_it_is_about_nothing() {
        let suite = suite();
        let text =
            [entry(OTHER, "fail"), entry(ONE, "flaky"), entry("no/such", "fail"), entry("restart/not-found", "fail")].concat();
        let register = register(&text, &suite, &Pics::default());
        let runs = seen(&[(OTHER, "XPASS"), (OTHER, "PASS"), (ONE, "PASS"), (ONE, "PASS")]);
        let unknown = prune(&register, &runs, &|_| None);
        assert_eq!(unknown.gone, [(0, 0), (0, 2)], "{unknown:?}");
        let known = prune(&register, &runs, &|_| Some("needs a restart".to_owned()));
        assert_eq!(known.gone, [(0, 0), (0, 2), (0, 3)], "{known:?}");
    }

    #[test]
    fn an_entry_of_which_a_part_still_fails_stays() {
        let suite = suite();
        let register = register(&entry("'*'", "fail"), &suite, &Pics::default());
        let prune = prune(&register, &seen(&[(OTHER, "XPASS"), (ONE, "XFAIL")]), &|_| None);
        assert!(prune.gone.is_empty() && prune.remarks[0].contains("narrow it, since failure/retried passed"), "{prune:?}");
    }
}
