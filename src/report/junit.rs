//! JUnit XML, for CI services: a failure is a `failure`, a fault of the surroundings an `error`,
//! what did not run is `skipped`.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::escape::visible;
use crate::judge::outcome::{Gate, Omission, Outcome, Skip};

/// The report of a run as XML.
///
/// # Errors
///
/// When the XML cannot be made.
pub fn render(outcomes: &[Outcome], skips: &[Skip], seed: u64, target: &str) -> Result<String, String> {
    let mut suite = TestSuite::new("cpmcheck");
    suite.add_property(Property::new("seed", format!("{seed:#x}")));
    suite.add_property(Property::new("target", text(target)));
    for outcome in outcomes {
        suite.add_test_case(case(outcome));
    }
    for skip in skips {
        let mut status = TestCaseStatus::skipped();
        status.set_message(text(&reason(skip)));
        suite.add_test_case(TestCase::new(text(&skip.name), status));
    }
    let mut report = Report::new("cpmcheck");
    report.add_test_suite(suite);
    report.to_string().map_err(|error| error.to_string())
}

fn case(outcome: &Outcome) -> TestCase {
    let mut case = TestCase::new(text(&outcome.name()), status(outcome));
    if let Some((topic, _)) = outcome.scenario.split_once('/') {
        case.set_classname(text(topic));
    }
    // Virtual time: what the flow took, not what the machine took.
    case.set_time(Duration::from_micros(u64::try_from(outcome.took.as_micros()).unwrap_or(0)));
    for requirement in &outcome.requirements {
        case.add_property(Property::new("requirement", text(requirement)));
    }
    case.add_property(Property::new("verdict", outcome.verdict.name()));
    case.add_property(Property::new("gate", outcome.gate.name()));
    if let Some(expected) = &outcome.expected {
        case.add_property(Property::new("issue", text(&expected.issue)));
    }
    case
}

/// Why a scenario was left out; who asked for it knows the kind.
fn reason(skip: &Skip) -> String {
    match skip.omission {
        Omission::Skipped => skip.why.clone(),
        Omission::NotApplicable | Omission::Unsupported => format!("{}: {}", skip.omission.name(), skip.why),
    }
}

/// A failure that was expected did not pass, and fails nothing.
fn declared(outcome: &Outcome) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    let because = outcome.expected.as_ref().map_or("", |expected| expected.because.as_str());
    status.set_message(text(&format!("{}: {because}", outcome.gate)));
    status
}

/// What XML may hold: control characters, that it may not, are shown.
fn text(untrusted: &str) -> String {
    visible(untrusted).into_owned()
}

fn status(outcome: &Outcome) -> TestCaseStatus {
    let kind = match outcome.gate {
        Gate::Pass | Gate::Info | Gate::Warn | Gate::Unsteady => return TestCaseStatus::success(),
        _ if outcome.draft => {
            let mut status = TestCaseStatus::skipped();
            status.set_message("draft");
            return status;
        }
        Gate::Waived | Gate::Unsupported => return declared(outcome),
        Gate::Fail | Gate::NotRun | Gate::Surprise | Gate::Otherwise | Gate::Undeclared | Gate::Flaky => NonSuccessKind::Failure,
        Gate::Error => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(outcome.misses.first().map_or("C0220", |miss| miss.code));
    let difference = outcome.expected.as_ref().map(|expected| expected.difference.clone());
    let first = || outcome.misses.first().map(|miss| miss.title.clone());
    let rule = || outcome.findings.first().map(|finding| format!("{}: {}", finding.id, finding.observed));
    let remark = || (!outcome.remark.is_empty()).then(|| outcome.remark.clone());
    let message = difference.filter(|difference| !difference.is_empty()).or_else(remark).or_else(first).or_else(rule);
    status.set_message(text(&message.unwrap_or_default()));
    let lines: Vec<String> = outcome
        .findings
        .iter()
        .map(|finding| format!("{} {}: expected {}, observed {}", finding.kind, finding.id, finding.expected, finding.observed))
        .collect();
    status.set_description(lines.iter().map(|line| text(line)).collect::<Vec<_>>().join("\n"));
    status
}
