//! `cpmcheck expect list|update|prune`: the expected failures of a target, and what runs say about them.

use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::load::{Loaded, SuiteArgs, count};
use super::progress::{Bar, Progress};
use super::selection::SelectionArgs;
use super::signals::Signals;
use super::targets::{Survey, TargetArgs};
use super::{Console, Exit};
use crate::judge::outcome::{FailOn, Gate, Reasons, Skip};
use crate::report::diff::unified;
use crate::report::jsonl;
use crate::report::matrix::table;
use crate::run::execute::{Choices, Course};
use crate::run::expected::{At, Listed};
use crate::run::plan::{Job, Order, Pool, cores, jobs};
use crate::run::waivers::{self, Sightings};
use crate::suite::diagnostics::{Look, Severity};
use crate::suite::targets::{Entry, Expect, UNWRITTEN, edit};

/// Runs without which nobody knows whether a failure is one of every time.
const RUNS: u32 = 2;
/// What may be wrong with files of expected failures that these commands are there to mend: entries
/// about nothing, entries that have expired, entries that wait for their reason.
const MENDED: [&str; 3] = ["T0009", "T0011", "T0016"];

/// What is done with expected failures.
#[derive(clap::Subcommand, Debug)]
pub(super) enum Command {
    /// Show every entry and what it matches
    List(ListArgs),
    /// Write entries for what fails and is not listed; nothing that is there is deleted
    Update(UpdateArgs),
    /// Take out entries of scenarios that pass, and entries about nothing
    Prune(PruneArgs),
}

/// Arguments of `expect list`.
#[derive(clap::Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    suite: SuiteArgs,
}

/// Arguments of `expect update`.
#[derive(clap::Args, Debug)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    evidence: EvidenceArgs,
    /// Why the new failures are accepted, for all of them
    #[arg(long, value_name = "TEXT", env = "CPMCHECK_BECAUSE", hide_env = true, default_value = "", hide_default_value = true)]
    because: String,
    /// Where they are followed up, a link
    #[arg(long, value_name = "URL", env = "CPMCHECK_ISSUE", hide_env = true, default_value = "", hide_default_value = true)]
    issue: String,
}

/// Arguments of `expect prune`.
#[derive(clap::Args, Debug)]
pub(super) struct PruneArgs {
    #[command(flatten)]
    evidence: EvidenceArgs,
}

/// From which runs, and what for.
#[derive(clap::Args, Debug)]
struct EvidenceArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    suite: SuiteArgs,
    /// Run files to go by, in place of running the target
    #[arg(long, value_name = "RUN", num_args = 1.., conflicts_with_all = ["selectors", "expression", "skip"])]
    from: Vec<PathBuf>,
    /// How often the target is run, each time under another seed
    #[arg(long, value_name = "N", default_value_t = RUNS, value_parser = clap::value_parser!(u32).range(i64::from(RUNS)..=1000), env = "CPMCHECK_RUNS", hide_env = true)]
    runs: u32,
    /// Scenarios at a time
    #[arg(long, value_name = "N", env = "CPMCHECK_JOBS", hide_env = true)]
    jobs: Option<NonZeroUsize>,
    /// Multiplies the patience of expectations and rules
    #[arg(long, value_name = "F", default_value_t = 1.0, env = "CPMCHECK_TIMEOUT_SCALE", hide_env = true)]
    timeout_scale: f64,
    /// Show what would change and write nothing
    #[arg(long, env = "CPMCHECK_DRY_RUN", hide_env = true)]
    dry_run: bool,
    /// How progress is shown on a terminal
    #[arg(long, value_enum, default_value_t = Progress::Auto, env = "CPMCHECK_PROGRESS", hide_env = true)]
    progress: Progress,
}

impl Command {
    /// Does it.
    pub(super) fn run(&self, console: &Console) -> Exit {
        let done = match self {
            Self::List(args) => list(args, console),
            Self::Update(args) => update(args, console),
            Self::Prune(args) => prune(args, console),
        };
        match done {
            Ok(exit) | Err(exit) => exit,
        }
    }
}

fn list(args: &ListArgs, console: &Console) -> Result<Exit, Exit> {
    let mut loaded = args.suite.configured(args.target.config.as_deref()).load(console)?;
    let survey = args.target.survey(&mut loaded.suite, console, &|path| present(path, console))?;
    let register = &survey.chosen.register;
    let head = ["entry", "match", "expect", "matches now", "until", "issue", "reason"];
    console.print(&table(&head, register.entries().iter().map(row), console.width()));
    if register.is_empty() {
        console.talk("no failure is expected\n");
    } else {
        console.talk(&register.banner(loaded.suite.scenarios.len()));
    }
    let mut usable = true;
    for document in &survey.documents {
        console.talk(&document.complaints(Look::Full { colour: true }));
        usable &= document.is_usable();
    }
    Ok(if usable { Exit::Ok } else { Exit::Input })
}

fn row(listed: &Listed<'_>) -> Vec<String> {
    let entry = listed.entry;
    let matches = match listed.cases {
        None => "another version".to_owned(),
        Some([]) => "nothing".to_owned(),
        Some([case]) => case.clone(),
        Some(cases) => format!("{} cases", cases.len()),
    };
    let until = entry.until.map_or_else(|| "-".to_owned(), |(until, _)| until.to_string());
    let (expect, selector) = (entry.expect.word().to_owned(), entry.selector.clone());
    vec![listed.place.clone(), selector, expect, matches, until, entry.issue.clone(), entry.because.clone()]
}

fn update(args: &UpdateArgs, console: &Console) -> Result<Exit, Exit> {
    let case = Case::open(&args.evidence, console)?;
    let (seen, _, reasons) = case.evidence()?;
    if seen.least().is_some_and(|runs| runs < RUNS as usize) {
        console.talk("error[U0034]: one run does not tell a failure of every time from one of now and then\n   = try         --from with another run file, or a run with --repeat 2\n   = note        nothing was written; exit 2\n");
        return Err(Exit::Usage);
    }
    let update = waivers::update(&case.survey.chosen.register, &seen, &case.loaded.suite, &args.because, &args.issue);
    remarks(&update.remarks, console);
    let Some(first) = case.survey.documents.first() else {
        return Err(case.no_file(update.drafts.len()));
    };
    let mut texts: Vec<String> = Vec::new();
    for (number, document) in case.survey.documents.iter().enumerate() {
        let wavering: Vec<&Entry> = of_file(&update.wavering, number).filter_map(|entry| document.value.get(entry)).collect();
        texts.push(edit::reword(&text_of(document), &wavering, Expect::Flaky));
    }
    if !update.drafts.is_empty() {
        texts[0] = edit::append(&case.headed(&texts[0]), &first.value, &update.drafts);
    }
    let changed = case.write(&texts, &|number, read| {
        let added = if number == 0 { update.drafts.len() } else { 0 };
        read == case.survey.documents[number].value.len() + added
    })?;
    if changed {
        console.talk(&format!(
            "{} new, {} flaky from now on{}\n",
            count(update.drafts.len(), "entry").replace("entrys", "entries"),
            update.wavering.len(),
            if args.evidence.dry_run { " (--dry-run: nothing was written)" } else { "" }
        ));
    } else {
        console.talk("nothing to add: everything that fails is listed\n");
    }
    if !update.drafts.is_empty() && (args.because.is_empty() || args.issue.is_empty()) {
        console.talk(&format!(
            "next: say why and where it is followed up, in place of {UNWRITTEN}; until then the file is refused (T0016)\n"
        ));
    }
    Ok(reasons.exit())
}

fn prune(args: &PruneArgs, console: &Console) -> Result<Exit, Exit> {
    let case = Case::open(&args.evidence, console)?;
    let (seen, skips, reasons) = case.evidence()?;
    let left_out = |case: &str| {
        let named = |skip: &&Skip| skip.name == case || case.split('@').next() == Some(skip.name.as_str());
        skips.iter().find(named).map(|skip| skip.why.clone())
    };
    let prune = waivers::prune(&case.survey.chosen.register, &seen, &left_out);
    remarks(&prune.remarks, console);
    let mut texts = Vec::new();
    for (number, document) in case.survey.documents.iter().enumerate() {
        let gone: Vec<usize> = of_file(&prune.gone, number).collect();
        let text = text_of(document);
        let left = if gone.is_empty() { Some(text) } else { edit::remove(&text, &document.value, &gone) };
        texts.push(left.ok_or_else(|| case.entangled(number))?);
    }
    case.write(&texts, &|number, read| read + of_file(&prune.gone, number).count() == case.survey.documents[number].value.len())?;
    let note = if args.evidence.dry_run { " (--dry-run: nothing was written)" } else { "" };
    console.talk(&format!("{} taken out{note}\n", count(prune.gone.len(), "entry").replace("entrys", "entries")));
    Ok(reasons.exit())
}

fn remarks(remarks: &[String], console: &Console) {
    remarks.iter().for_each(|remark| console.talk(&format!("   = remark      {remark}\n")));
}

fn of_file(entries: &[At], number: usize) -> impl Iterator<Item = usize> {
    entries.iter().filter(move |(file, _)| *file == number).map(|(_, entry)| *entry)
}

fn text_of<T>(document: &crate::suite::targets::Document<T>) -> String {
    document.sources.files.first().map(|file| file.text.clone()).unwrap_or_default()
}

/// The text of a file of expected failures; one that is not there is still to be written.
fn present(path: &Path, console: &Console) -> Result<String, Exit> {
    match std::fs::metadata(path) {
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(String::new()),
        _ => super::targets::read(path, console, Exit::Input),
    }
}

/// A target whose expected failures are held against runs.
struct Case<'a> {
    args: &'a EvidenceArgs,
    console: &'a Console,
    loaded: Loaded,
    survey: Survey,
}

impl<'a> Case<'a> {
    fn open(args: &'a EvidenceArgs, console: &'a Console) -> Result<Self, Exit> {
        let mut loaded = args.suite.configured(args.target.config.as_deref()).load(console)?;
        let survey = args.target.survey(&mut loaded.suite, console, &|path| present(path, console))?;
        let mends = |code: &str| MENDED.contains(&code);
        for document in &survey.documents {
            if document.mistakes.iter().any(|mistake| mistake.severity == Severity::Error && !mends(mistake.code)) {
                console.talk(&document.complaints(Look::Full { colour: true }));
                console.talk("   = note        nothing was run; exit 3\n");
                return Err(Exit::Input);
            }
        }
        Ok(Self { args, console, loaded, survey })
    }

    /// What was seen of which case, what was left out, and why the command does not end with 0.
    fn evidence(&self) -> Result<(Sightings, Vec<Skip>, Reasons), Exit> {
        if self.args.from.is_empty() {
            return self.observe();
        }
        let mut seen = Sightings::default();
        for path in &self.args.from {
            self.stored(path, &mut seen)?;
        }
        Ok((seen, Vec::new(), Reasons::default()))
    }

    fn stored(&self, path: &Path, seen: &mut Sightings) -> Result<(), Exit> {
        let shown = path.display();
        let text = super::targets::read(path, self.console, Exit::Input)?;
        let stored = jsonl::read(&text).map_err(|fault| {
            self.console.talk(&format!("error[R0001]: {shown} is no run file: {fault}\n"));
            Exit::Input
        })?;
        let title = self.survey.chosen.title();
        if stored.target != title {
            self.console.talk(&format!(
                "error[R0004]: {shown} is a run against {}, not {title}\n   = note        nothing was written; exit 3\n",
                stored.target
            ));
            return Err(Exit::Input);
        }
        if !stored.complete {
            self.console.talk(&format!("error[R0002]: {shown} is incomplete\n   = note        nothing was written; exit 6\n"));
            return Err(Exit::Incomplete);
        }
        stored.outcomes.iter().for_each(|outcome| seen.add(outcome.name(), &outcome.gate, &outcome.findings));
        Ok(())
    }

    /// Runs the target.
    fn observe(&self) -> Result<(Sightings, Vec<Skip>, Reasons), Exit> {
        let chosen = &self.survey.chosen;
        let (suite, target) = (&self.loaded.suite, chosen.target());
        let (_, mut selected) = self.args.selection.apply(suite, self.console)?;
        let foreign = target.foreign();
        let none = std::collections::BTreeMap::new();
        let choices = Choices {
            policy: &none,
            scale: self.args.timeout_scale * foreign.map_or(1.0, |foreign| foreign.target.timers.patience),
            fail_on: FailOn::Shall,
            compare: false,
            target,
            pics: chosen.pics.as_ref(),
            speed: foreign.map_or(super::run::SPEED, |foreign| foreign.target.timers.speed),
        };
        let course = Course::new(suite, choices);
        course.rule_out(&mut selected);
        if selected.scenarios.is_empty() {
            self.console.talk("error[U0008]: the selectors match scenarios, and none of them is left to run\n");
            return Err(Exit::NoTests);
        }
        if let Some(foreign) = foreign {
            super::targets::greet(foreign, self.console)?;
        }
        let seed = suite.defaults.seed;
        super::exit::remember_seed(seed);
        let jobs = jobs(&selected.scenarios, seed, self.args.runs);
        let threads = self.args.jobs.or(target.jobs()).unwrap_or_else(cores);
        let pool = Pool { threads, order: Order::Id, seed, max_fail: None, stop: Signals::listen() };
        let bar = Bar::new(self.args.progress, false, self.console, jobs.len());
        let (mut seen, mut reasons, mut done) = (Sightings::default(), Reasons::default(), 0);
        let play = |job: &Job<'_>| {
            let mut outcome = course.play(job);
            chosen.register.judge(&mut outcome, foreign.is_some());
            outcome
        };
        pool.run(&jobs, &play, |outcome| {
            done += 1;
            bar.tell(done, 0, &outcome.name());
            seen.add(outcome.name(), outcome.gate.name(), &outcome.findings);
            match outcome.gate {
                Gate::Error => reasons.add_error(&outcome),
                Gate::NotRun => reasons.add(Exit::Incomplete, outcome.name()),
                _ => {}
            }
        });
        bar.finish();
        Signals::caught().map_or(Ok(()), Err)?;
        Ok((seen, selected.skips, reasons))
    }

    /// Shows and writes what is new; tells whether anything is. `fits` says whether a file that is read
    /// back has as many entries as it has to.
    fn write(&self, texts: &[String], fits: &dyn Fn(usize, usize) -> bool) -> Result<bool, Exit> {
        let old: Vec<String> = self.survey.documents.iter().map(text_of).collect();
        let changed = |number: &usize| old[*number] != texts[*number];
        let numbers: Vec<usize> = (0..texts.len()).filter(changed).collect();
        for number in &numbers {
            let shown = self.survey.files[*number].display().to_string();
            let read = crate::suite::targets::expectations(&shown, texts[*number].clone());
            let sound = read.mistakes.iter().all(|mistake| mistake.severity < Severity::Error || MENDED.contains(&mistake.code));
            if !sound || !fits(*number, read.value.len()) {
                self.console.talk(&read.complaints(Look::Full { colour: true }));
                return Err(self.entangled(*number));
            }
            self.console.print(&unified(&shown, &old[*number], &texts[*number]));
        }
        for number in numbers.iter().filter(|_| !self.args.dry_run) {
            self.save(&self.survey.files[*number], &texts[*number])?;
        }
        Ok(!numbers.is_empty())
    }

    fn save(&self, path: &Path, text: &str) -> Result<(), Exit> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let made = folder.map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::write(path, text)).map_err(|why| {
            self.console.talk(&format!("error[E0704]: {} cannot be written: {why}\n", path.display()));
            Exit::Environment
        })
    }

    /// A new file says what it is.
    fn headed(&self, text: &str) -> String {
        let name = &self.args.target.target;
        if text.trim().is_empty() {
            format!(
                "# Expected failures of {name}: which, why, and where they are followed up.\n# `cpmcheck expect list --target {name}` shows what they match.\n"
            )
        } else {
            text.to_owned()
        }
    }

    fn no_file(&self, new: usize) -> Exit {
        let name = &self.args.target.target;
        self.console.talk(&format!(
            "error[U0033]: target `{name}` names no file of expected failures; {} would be written\n   = try         expectations = [\"{name}.expect.yaml\"] in cpmcheck.toml, or --expectations FILE\n   = note        nothing was written; exit 2\n",
            count(new, "entry").replace("entrys", "entries")
        ));
        Exit::Usage
    }

    fn entangled(&self, number: usize) -> Exit {
        self.console.talk(&format!(
            "error[E0707]: {} cannot be changed without touching what somebody wrote\n   = help        begin every entry on a line of its own, with a dash\n   = note        nothing was written; exit 3\n",
            self.survey.files[number].display()
        ));
        Exit::Input
    }
}
