//! Expected failures against a suite and what came of its run.
//!
//! Entries never keep a scenario from being run. One that fails as expected is waived; one that
//! passes all the same, or fails otherwise, makes the run fail; an entry that is about nothing is a
//! mistake in its file.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::Selected;
use super::select::Selector;
use crate::judge::outcome::{Expected, Gate, Outcome};
use crate::suite::Suite;
use crate::suite::diagnostics::{Diagnostic, nearest};
use crate::suite::scenario::Scenario;
use crate::suite::source::Sources;
use crate::suite::targets::{Date, Document, Entry, Expect, Failure, Pics};
use crate::trace::event::{Content, Kind};

/// How the IUT says that it cannot: method, event package or function that it does not have.
const UNSUPPORTED: [u16; 3] = [405, 489, 501];

/// One file of expected failures, and the cases that its entries are about.
#[derive(Clone, Debug)]
struct File {
    entries: Vec<Entry>,
    sources: Sources,
}

/// An entry: which file, which of it.
pub type At = (usize, usize);

/// All expected failures of a target.
#[derive(Clone, Debug, Default)]
pub struct Register {
    files: Vec<File>,
    /// By the name of the case.
    cases: BTreeMap<String, At>,
    /// The cases of each entry that holds.
    reach: BTreeMap<At, Vec<String>>,
    /// By the scenario, a feature that it needs and the target claims in so many words.
    claims: BTreeMap<String, String>,
}

/// An entry and the cases that it is about.
#[derive(Clone, Debug)]
pub struct Listed<'r> {
    /// Which it is.
    pub at: At,
    /// What it says.
    pub entry: &'r Entry,
    /// `FILE:LINE`.
    pub place: String,
    /// Its cases; `None` where it is for other versions of the target.
    pub cases: Option<&'r [String]>,
}

/// What the entries are checked against.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    /// The scenarios.
    pub suite: &'a Suite,
    /// What the target claims.
    pub pics: &'a Pics,
    /// The version of the target, if it is told.
    pub version: Option<&'a str>,
    /// The day.
    pub today: Date,
}

impl Register {
    /// Finds the cases of every entry. What is wrong with entries is added to the mistakes of their
    /// documents.
    pub fn new(documents: &mut [Document<Vec<Entry>>], against: &Against<'_>) -> Self {
        let claims = against.suite.scenarios.iter().filter_map(|scenario| {
            let feature = against.pics.claims_for(scenario)?;
            Some((scenario.id.clone(), feature.to_owned()))
        });
        let mut register = Self { claims: claims.collect(), ..Self::default() };
        for (number, document) in documents.iter_mut().enumerate() {
            register.files.push(File { entries: document.value.clone(), sources: document.sources.clone() });
            for (at, entry) in document.value.iter().enumerate() {
                let is_for = |version| entry.when.as_ref().is_none_or(|when| when.holds(version));
                if entry.when.is_none() || against.version.is_some_and(is_for) {
                    document.mistakes.extend(expired(entry, against));
                    document.mistakes.extend(register.take((number, at), entry, against));
                }
            }
        }
        register
    }

    /// Notes the cases of an entry, and tells what is wrong with it.
    fn take(&mut self, at: At, entry: &Entry, against: &Against<'_>) -> Option<Diagnostic> {
        self.reach.insert(at, Vec::new());
        let cases = match cases(entry, against) {
            Ok(cases) => cases,
            Err(mistake) => return Some(*mistake),
        };
        let other = cases.iter().find_map(|case| {
            let (other, _) = self.entry(*self.cases.get(case)?)?;
            contradiction(entry, other, case)
        });
        for case in &cases {
            self.cases.entry(case.clone()).or_insert(at);
        }
        self.reach.insert(at, cases);
        other
    }

    fn entry(&self, (file, entry): At) -> Option<(&Entry, &Sources)> {
        let file = self.files.get(file)?;
        Some((file.entries.get(entry)?, &file.sources))
    }

    /// Every entry, in the order of the files.
    pub fn entries(&self) -> Vec<Listed<'_>> {
        let files = self.files.iter().enumerate();
        let of_file =
            |(number, file): (usize, &'_ File)| (0..file.entries.len()).map(move |entry| (number, entry)).collect::<Vec<_>>();
        let all = files.flat_map(of_file);
        all.filter_map(|at| {
            let (entry, sources) = self.entry(at)?;
            let (path, line, _) = sources.locate(entry.place);
            Some(Listed { at, entry, place: format!("{path}:{line}"), cases: self.reach.get(&at).map(Vec::as_slice) })
        })
        .collect()
    }

    /// The entry that decides about a case.
    pub fn covering(&self, case: &str) -> Option<(At, &Entry)> {
        let at = *self.cases.get(case)?;
        Some((at, self.entry(at)?.0))
    }

    /// A feature that a scenario needs and the target claims in so many words.
    pub fn claimed(&self, scenario: &str) -> Option<&str> {
        self.claims.get(scenario).map(String::as_str)
    }

    /// Whether there are entries at all.
    pub fn is_empty(&self) -> bool {
        self.files.iter().all(|file| file.entries.is_empty())
    }

    /// `2 expectations match 3 of 176 scenarios (https://tracker.example/1 ×3)`.
    pub fn banner(&self, scenarios: usize) -> String {
        let entries: usize = self.files.iter().map(|file| file.entries.len()).sum();
        let mut issues: BTreeMap<&str, usize> = BTreeMap::new();
        for at in self.cases.values() {
            if let Some((entry, _)) = self.entry(*at) {
                *issues.entry(&entry.issue).or_default() += 1;
            }
        }
        let each: Vec<String> = issues.iter().map(|(issue, count)| format!("{issue} ×{count}")).collect();
        let named: BTreeSet<&str> = self.cases.keys().map(|case| case.split('@').next().unwrap_or(case)).collect();
        let plural = if entries == 1 { "expectation matches" } else { "expectations match" };
        format!("{entries} {plural} {} of {scenarios} scenarios ({})\n", named.len(), each.join(", "))
    }

    /// Compares an outcome with what is expected of it. `foreign`: an IUT that says that it cannot
    /// do something is told from one that fails.
    pub fn judge(&self, outcome: &mut Outcome, foreign: bool) {
        let refuses = outcome.gate == Gate::Fail && foreign && says_unsupported(outcome);
        let Some((entry, sources)) = self.cases.get(&outcome.name()).and_then(|at| self.entry(*at)) else {
            if refuses {
                outcome.gate = Gate::Undeclared;
                outcome.remark = match self.claimed(&outcome.scenario) {
                    Some(feature) => format!("says that it cannot, and feature {feature} is declared true"),
                    None => "says that it cannot, and neither PICS nor expectations declare that".to_owned(),
                };
            }
            return;
        };
        let Some((gate, difference)) = judged(entry, outcome, refuses) else { return };
        let (path, line, _) = sources.locate(entry.place);
        outcome.gate = gate;
        outcome.expected = Some(Expected {
            what: entry.expect.word(),
            because: entry.because.clone(),
            issue: entry.issue.clone(),
            place: format!("{path}:{line}"),
            difference: if gate == Gate::Surprise { format!("{difference}; remove {path}:{line}") } else { difference },
        });
    }

    /// The entries none of whose cases was run, after a run of the whole suite.
    pub fn stale(&self, selected: &Selected<'_>) -> Vec<(Diagnostic, &Sources)> {
        let ran: BTreeSet<String> = selected
            .scenarios
            .iter()
            .flat_map(|(scenario, variants)| variants.iter().map(|variant| case_name(scenario, &variant.name)))
            .collect();
        let mut runs: BTreeMap<At, (bool, Vec<&str>)> = BTreeMap::new();
        for (case, at) in &self.cases {
            let entry = runs.entry(*at).or_default();
            entry.0 |= ran.contains(case);
            entry.1.push(case);
        }
        let idle = runs.into_iter().filter(|(_, (ran, _))| !ran);
        let told = idle.filter_map(|(at, (_, cases))| {
            let (entry, sources) = self.entry(at)?;
            let meant = |name: &str| cases.iter().any(|case| *case == name || case.split('@').next() == Some(name));
            let why = selected.skips.iter().find(|skip| meant(&skip.name));
            let why = why.map(|skip| format!("{} is left out: {}", skip.name, skip.why));
            let mistake = Diagnostic::new("T0009", entry.place, format!("`{}` matches nothing that was run", entry.selector))
                .label("stale")
                .help("remove the entry");
            Some((if let Some(why) = why { mistake.note(why) } else { mistake }, sources))
        });
        told.collect()
    }
}

/// `group/missed@strict`.
fn case_name(scenario: &Scenario, variant: &str) -> String {
    if variant.is_empty() { scenario.id.clone() } else { format!("{}@{variant}", scenario.id) }
}

fn expired(entry: &Entry, against: &Against<'_>) -> Option<Diagnostic> {
    let (until, place) = entry.until.filter(|(until, _)| *until < against.today)?;
    Some(
        Diagnostic::new("T0011", place, format!("this expected failure has expired on {until}"))
            .label("past")
            .help("mend the implementation and remove the entry, or renew it"),
    )
}

/// The cases that an entry is about.
fn cases(entry: &Entry, against: &Against<'_>) -> Result<Vec<String>, Box<Diagnostic>> {
    let selector = Selector::parse(&entry.selector).map_err(|misread| {
        Diagnostic::new("T0008", entry.place, format!("selector {misread}"))
            .label("not a selector")
            .help("`cpmcheck help selectors` shows every form")
    })?;
    let catalogue = |id: &str| against.suite.catalogue.get(id);
    let fitting: Vec<&Scenario> = against.suite.scenarios.iter().filter(|scenario| selector.fits(scenario, &catalogue)).collect();
    if fitting.is_empty() {
        let names = against.suite.scenarios.iter().map(|scenario| scenario.id.as_str());
        let near = nearest(entry.selector.trim_matches('*'), names);
        let mistake = Diagnostic::new("T0009", entry.place, format!("`{}` matches no scenario", entry.selector)).label("stale");
        return Err(Box::new(match near {
            Some(near) => mistake.help(format!("did you mean `{near}`? else remove the entry")),
            None => mistake.help("remove the entry"),
        }));
    }
    if entry.expect == Expect::Unsupported
        && let Some((scenario, feature)) = fitting.iter().find_map(|scenario| Some((scenario, against.pics.claims_for(scenario)?)))
    {
        return Err(Box::new(
            Diagnostic::new("T0012", entry.place, format!("{} needs {feature}, which the PICS file claims", scenario.id))
                .label("unsupported and claimed")
                .help(format!("deny `{feature}` in the PICS file, or expect `fail`")),
        ));
    }
    let variants = fitting.iter().flat_map(|scenario| {
        scenario.variants.iter().filter(|variant| selector.takes(&variant.name)).map(|variant| case_name(scenario, &variant.name))
    });
    Ok(variants.collect())
}

fn contradiction(entry: &Entry, other: &Entry, case: &str) -> Option<Diagnostic> {
    (entry.expect != other.expect).then(|| {
        Diagnostic::new(
            "T0010",
            entry.place,
            format!("{case} is expected to be `{}` and `{}`", other.expect.word(), entry.expect.word()),
        )
        .label(format!("`{}` here", entry.expect.word()))
        .help("narrow one of the selectors")
    })
}

/// What an entry makes of an outcome; `None` leaves it as it is.
fn judged(entry: &Entry, outcome: &Outcome, refuses: bool) -> Option<(Gate, String)> {
    let fails = outcome.gate == Gate::Fail;
    let none = String::new;
    Some(match (entry.expect, outcome.gate) {
        (_, Gate::Error | Gate::NotRun) => return None,
        (Expect::Unsupported, _) if refuses => (Gate::Unsupported, none()),
        (Expect::Unsupported, _) if fails => (Gate::Otherwise, format!("expected `unsupported`, {}", came(outcome))),
        (Expect::Fail | Expect::Flaky, _) if fails => match differs(entry.failure.as_ref(), outcome) {
            None => (Gate::Waived, none()),
            Some(wanted) => (Gate::Otherwise, format!("expected a failure {wanted}, {}", came(outcome))),
        },
        (Expect::Warn, _) if fails => (Gate::Otherwise, format!("expected a warning, {}", came(outcome))),
        (Expect::Warn, Gate::Warn) => (Gate::Warn, none()),
        (Expect::Flaky, _) => return None,
        (expect, _) => (Gate::Surprise, format!("listed as `{}`, passed", expect.word())),
    })
}

/// What was wanted of the failure and is not there.
fn differs(failure: Option<&Failure>, outcome: &Outcome) -> Option<String> {
    let failure = failure?;
    let missed = |step: &String| outcome.misses.iter().any(|miss| miss.title.contains(step) || miss.label.contains(step));
    let broken = |id: &String| outcome.findings.iter().any(|finding| finding.id == *id || finding.cites == *id);
    let said = |text: &String| texts(outcome).any(|own| own.contains(text));
    let wanted = [
        failure.step.as_ref().filter(|step| !missed(step)).map(|step| format!("at `{step}`")),
        failure.requirement.as_ref().filter(|id| !broken(id)).map(|id| format!("of {id}")),
        failure.contains.as_ref().filter(|text| !said(text)).map(|text| format!("containing `{text}`")),
    ];
    wanted.into_iter().flatten().next()
}

fn texts(outcome: &Outcome) -> impl Iterator<Item = &str> {
    let misses = outcome.misses.iter().flat_map(|miss| {
        [miss.title.as_str(), miss.label.as_str()].into_iter().chain(miss.notes.iter().map(|(_, text)| text.as_str()))
    });
    let findings = outcome.findings.iter();
    misses.chain(findings.flat_map(|finding| [finding.id.as_str(), finding.expected.as_str(), finding.observed.as_str()]))
}

/// What came, shortly.
fn came(outcome: &Outcome) -> String {
    let first = outcome.misses.first().map(|miss| miss.title.clone());
    let finding = || outcome.findings.first().map(|finding| format!("{}: {}", finding.id, finding.observed));
    format!("failed with \"{}\"", first.or_else(finding).unwrap_or_default())
}

/// Whether the IUT answered that it cannot, where no step awaits that answer.
fn says_unsupported(outcome: &Outcome) -> bool {
    let missed = |code: &u16| outcome.misses.iter().any(|miss| miss.title.contains(&format!("answered {code}")));
    UNSUPPORTED.iter().any(missed)
        || outcome.trace.events.iter().any(|event| match &event.kind {
            Kind::Message { sent: true, content: Content::Sip(message), .. } => {
                message.status().is_some_and(|status| UNSUPPORTED.contains(&status)) && !outcome.steps.contains_key(&event.number)
            }
            _ => false,
        })
}
