//! `cpmcheck run`: run scenarios against the reference PF and judge them.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::knobs::policies;
use super::load::{Loaded, SuiteArgs, count};
use super::progress::{Bar, Progress};
use super::reporters::{Files, Reporter};
use super::retry::RetryArgs;
use super::selection::SelectionArgs;
use super::signals::Signals;
use super::snapshots::{self, Update};
use super::targets::{Chosen, TargetArgs};
use super::{Console, Exit};
use crate::judge::coverage::{self, Coverage};
use crate::judge::outcome::{FailOn, Gate, Outcome, Reasons, Totals};
use crate::report::escape::visible;
use crate::report::jsonl::Keep;
use crate::report::terminal::{self, Closing, Setting};
use crate::run::execute::{Choices, Course};
use crate::run::plan::{Job, Order, Pool, Selected, cores, jobs};
use crate::run::target::Target;
use crate::trace::parity::Parity;

/// Arguments of `run`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    suite: SuiteArgs,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    course: CourseArgs,
    #[command(flatten)]
    gates: GateArgs,
    #[command(flatten)]
    retries: RetryArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// How many times faster than the clock on the wall a run against our own PF goes.
pub(super) const SPEED: f64 = 5.0;

/// How scenarios are played.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Course")]
pub(super) struct CourseArgs {
    /// How many times faster than the clock on the wall a run against self: goes
    #[arg(long, value_name = "F", default_value_t = SPEED, value_parser = speed, env = "CPMCHECK_SPEED", hide_env = true)]
    speed: f64,
    /// The seed of everything random [default: the suite's]
    #[arg(long, value_name = "N", value_parser = seed, env = "CPMCHECK_SEED", hide_env = true)]
    seed: Option<u64>,
    /// The order in which scenarios begin
    #[arg(long, value_enum, default_value_t = OrderArg::Id, env = "CPMCHECK_ORDER", hide_env = true)]
    order: OrderArg,
    /// Scenarios at a time [default: cores; 12 on sockets]
    #[arg(long, value_name = "N", env = "CPMCHECK_JOBS", hide_env = true)]
    jobs: Option<NonZeroUsize>,
    /// Turn a knob of the reference PF; traces are then not compared
    #[arg(long, value_name = "NAME=VALUE", env = "CPMCHECK_POLICY", hide_env = true)]
    policy: Vec<String>,
    /// Multiplies the patience of expectations and rules
    #[arg(long, value_name = "F", default_value_t = 1.0, env = "CPMCHECK_TIMEOUT_SCALE", hide_env = true)]
    timeout_scale: f64,
    /// Run each scenario so often, each time under another seed
    #[arg(long, value_name = "N", default_value_t = 1, env = "CPMCHECK_REPEAT", hide_env = true)]
    repeat: u32,
}

/// What makes a run fail.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Gates")]
pub(super) struct GateArgs {
    /// A broken SHOULD fails as a SHALL does
    #[arg(long, env = "CPMCHECK_STRICT", hide_env = true)]
    strict: bool,
    /// From which level on a broken requirement fails the run
    #[arg(long, value_enum, default_value_t = FailOnArg::Shall, env = "CPMCHECK_FAIL_ON", hide_env = true)]
    fail_on: FailOnArg,
    /// Stop after so many failures
    #[arg(long, value_name = "N", env = "CPMCHECK_MAX_FAIL", hide_env = true)]
    max_fail: Option<usize>,
    /// Stop after the first failure
    #[arg(short = 'x', conflicts_with = "max_fail")]
    first_fail: bool,
    /// Fail (exit 4) when fewer scenarios ran
    #[arg(long, value_name = "N", env = "CPMCHECK_MIN_TESTS", hide_env = true)]
    min_tests: Option<usize>,
    /// What it means that nothing was left to run
    #[arg(long, value_enum, default_value_t = NoTests::Fail, env = "CPMCHECK_NO_TESTS", hide_env = true)]
    no_tests: NoTests,
    /// What to do with traces that differ [default: none where CI is set, else pending files]
    #[arg(long, value_enum, env = "CPMCHECK_UPDATE", hide_env = true)]
    update: Option<Update>,
    /// Where pending traces go, in place of beside the scenario
    #[arg(long, value_name = "DIR", env = "CPMCHECK_PENDING_DIR", hide_env = true)]
    pending_dir: Option<PathBuf>,
}

/// What is written.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArgs {
    /// auto, junit=PATH, jsonl=PATH
    #[arg(long, value_name = "NAME[=PATH]", value_delimiter = ',', env = "CPMCHECK_REPORTER", hide_env = true)]
    reporter: Vec<Reporter>,
    /// What standard output carries
    #[arg(long, value_enum, default_value_t = Format::Pretty, env = "CPMCHECK_FORMAT", hide_env = true)]
    format: Format,
    /// Which traces run files keep
    #[arg(long, value_enum, default_value_t = KeepArg::RetainOnFailure, env = "CPMCHECK_TRACE", hide_env = true)]
    trace: KeepArg,
    /// How progress is shown on a terminal
    #[arg(long, value_enum, default_value_t = Progress::Auto, env = "CPMCHECK_PROGRESS", hide_env = true)]
    progress: Progress,
    /// From which gate on an outcome gets a line of its own
    #[arg(long, value_enum, default_value_t = StatusLevel::Fail, env = "CPMCHECK_STATUS_LEVEL", hide_env = true)]
    status_level: StatusLevel,
    /// On sockets: say where traces differ from the simulator's
    #[arg(long, env = "CPMCHECK_PARITY", hide_env = true)]
    parity: bool,
    /// Only the last line
    #[arg(short, long, env = "CPMCHECK_QUIET", hide_env = true)]
    quiet: bool,
    /// Write the duration of the run into the footer of run files
    #[arg(long, overrides_with = "no_timing", env = "CPMCHECK_TIMING", hide_env = true)]
    timing: bool,
    /// Write no wall-clock value anywhere (the default)
    #[arg(long, overrides_with = "timing", env = "CPMCHECK_NO_TIMING", hide_env = true)]
    no_timing: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum OrderArg {
    /// By identifier
    Id,
    /// As the seed shuffles them
    Random,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum FailOnArg {
    /// A SHALL
    Shall,
    /// A SHOULD or a NOTE too
    Should,
    /// Anything that was found
    Any,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum NoTests {
    /// Exit 4
    Fail,
    /// A line on standard error
    Warn,
    /// Nothing
    Pass,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    /// For a person
    Pretty,
    /// One JSON object at the end
    Json,
    /// The run file
    Jsonl,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum KeepArg {
    /// None
    Off,
    /// All
    On,
    /// Those of outcomes that do not pass
    RetainOnFailure,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum StatusLevel {
    /// No lines
    None,
    /// What does not pass
    Fail,
    /// Warnings too
    Warn,
    /// Everything
    All,
}

/// `17`, `0x11`.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    let parsed = text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |digits| u64::from_str_radix(digits, 16).ok());
    parsed.ok_or_else(|| "a seed is a number, decimal or with 0x".to_owned())
}

/// `10`, `0.5`.
fn speed(text: &str) -> Result<f64, String> {
    let parsed = text.parse().ok().filter(|speed| (0.1..=100.0).contains(speed));
    parsed.ok_or_else(|| "a speed is a number between 0.1 and 100".to_owned())
}

/// Runs the selected scenarios.
pub(super) fn run(args: &Args, console: &Console) -> Exit {
    match prepare(args, console) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn prepare(args: &Args, console: &Console) -> Result<Exit, Exit> {
    let policy = policies("--policy", &args.course.policy, console)?;
    let mut loaded = args.suite.configured(args.target.config.as_deref()).load(console)?;
    let chosen = args.target.choose(&mut loaded.suite, console)?;
    let target = chosen.target();
    let (selection, mut selected) = args.selection.apply(&loaded.suite, console)?;
    let seed = args.course.seed.unwrap_or(loaded.suite.defaults.seed);
    super::exit::remember_seed(seed);
    let choices = Choices {
        policy: &policy,
        scale: args.course.timeout_scale * target.foreign().map_or(1.0, |foreign| foreign.target.timers.patience),
        fail_on: args.gates.fail_on(),
        compare: policy.is_empty() && seed == loaded.suite.defaults.seed && target.is_simulated(),
        target,
        pics: chosen.pics.as_ref(),
        speed: speed_of(target, args),
    };
    let course = Course::new(&loaded.suite, choices);
    course.rule_out(&mut selected);
    if selected.scenarios.is_empty() {
        return Ok(nothing_left(args, &selected, console));
    }
    let (filtered, flags) = (selection.is_filtered(), flags(args));
    if !filtered {
        super::targets::refuse_stale(&chosen.register, &selected, console)?;
    }
    if let Some(foreign) = target.foreign() {
        super::targets::greet(foreign, console)?;
    }
    let session = Session { args, console, loaded: &loaded, selected: &selected, chosen: &chosen, course, seed, filtered, flags };
    Ok(session.go())
}

/// A target says itself how fast its timers go.
fn speed_of(target: Target<'_>, args: &Args) -> f64 {
    target.foreign().map_or(args.course.speed, |foreign| foreign.target.timers.speed)
}

/// The flags without which a failure would not come again.
fn flags(args: &Args) -> String {
    let mut flags: String = args.course.policy.iter().map(|pair| format!(" --policy '{pair}'")).collect();
    if args.target.target != "reference" {
        let _ = write!(flags, " --target {}", args.target.target);
    }
    for (flag, path) in [("--config", &args.target.config), ("--pics", &args.target.pics)] {
        if let Some(path) = path {
            let _ = write!(flags, " {flag} {}", path.display());
        }
    }
    for path in &args.target.expectations {
        let _ = write!(flags, " --expectations {}", path.display());
    }
    if args.course.timeout_scale != 1.0 {
        let _ = write!(flags, " --timeout-scale {}", args.course.timeout_scale);
    }
    match args.gates.fail_on() {
        FailOn::Shall => {}
        FailOn::Should => flags.push_str(" --strict"),
        FailOn::Any => flags.push_str(" --fail-on any"),
    }
    flags
}

fn nothing_left(args: &Args, selected: &Selected<'_>, console: &Console) -> Exit {
    if args.gates.no_tests == NoTests::Pass {
        return Exit::Ok;
    }
    let fails = args.gates.no_tests == NoTests::Fail;
    let word = if fails { "error" } else { "warning" };
    let first = selected.skips.first().map(|skip| format!("   = skipped     {}: {}\n", skip.name, skip.why)).unwrap_or_default();
    console.talk(&format!("{word}[U0008]: the selectors match scenarios, and none of them is left to run\n{first}"));
    if fails { Exit::NoTests } else { Exit::Ok }
}

impl GateArgs {
    fn fail_on(&self) -> FailOn {
        match self.fail_on {
            FailOnArg::Shall if self.strict => FailOn::Should,
            FailOnArg::Shall => FailOn::Shall,
            FailOnArg::Should => FailOn::Should,
            FailOnArg::Any => FailOn::Any,
        }
    }
}

/// One run, from its first line to its last.
struct Session<'a> {
    args: &'a Args,
    console: &'a Console,
    loaded: &'a Loaded,
    selected: &'a Selected<'a>,
    chosen: &'a Chosen,
    course: Course<'a>,
    seed: u64,
    filtered: bool,
    /// What else of the command line decides how a scenario goes.
    flags: String,
}

impl Session<'_> {
    fn go(&self) -> Exit {
        let clock = super::clock::Stopwatch::start();
        let jobs = jobs(&self.selected.scenarios, self.seed, self.args.course.repeat);
        let suite = &self.loaded.suite;
        self.say(&terminal::opening(suite, self.selected.scenarios.len(), self.seed, &self.chosen.title()));
        if !self.chosen.register.is_empty() {
            self.say(&self.chosen.register.banner(suite.scenarios.len()));
        }
        let mut files = match self.files(&jobs) {
            Ok(files) => files,
            Err(exit) => return exit,
        };
        let (outcomes, left) = self.play(&jobs, &mut files);
        let totals = self.totals(&outcomes, left);
        let signal = Signals::caught();
        let mut reasons = self.reasons(&outcomes, &totals, left, signal);
        snapshots::keep(
            &outcomes,
            self.loaded.dir.as_deref(),
            self.args.gates.pending_dir.as_deref(),
            self.args.gates.update,
            self.console,
        );
        let duration = (self.args.output.timing && !self.args.output.no_timing).then(|| clock.elapsed());
        let complete = signal.is_none() && left == 0;
        if let Err(why) = files.finish(&outcomes, &self.selected.skips, &totals, &reasons, complete, duration) {
            self.console.talk(&format!("error[E0704]: a report could not be written: {why}\n"));
            reasons.add(Exit::Environment, "a report could not be written");
        }
        self.close(&outcomes, &totals, &reasons);
        reasons.exit()
    }

    fn files(&self, jobs: &[Job<'_>]) -> Result<Files, Exit> {
        let keep = match self.args.output.trace {
            KeepArg::Off => Keep::Off,
            KeepArg::On => Keep::On,
            KeepArg::RetainOnFailure => Keep::RetainOnFailure,
        };
        let names: Vec<String> = jobs.iter().map(job_name).collect();
        let target = self.chosen.title();
        let opening = crate::report::jsonl::Opening {
            title: &self.loaded.suite.defaults.title,
            suite_hash: &super::reporters::suite_hash(&self.loaded.suite),
            selected: &names,
            seed: self.seed,
            target: &target,
            speed: (!self.chosen.target().is_simulated()).then_some(self.speed()),
            filtered: self.filtered,
        };
        Files::open(&self.args.output.reporter, self.args.output.format == Format::Jsonl, keep, &opening).map_err(|why| {
            self.console.talk(&format!("error[E0704]: a report cannot be written: {why}\n"));
            Exit::Environment
        })
    }

    fn play(&self, jobs: &[Job<'_>], files: &mut Files) -> (Vec<Outcome>, usize) {
        let stop = Signals::listen();
        let max_fail = if self.args.gates.first_fail { Some(1) } else { self.args.gates.max_fail };
        let order = if self.args.course.order == OrderArg::Random { Order::Random } else { Order::Id };
        let threads = self.args.course.jobs.or(self.chosen.target().jobs()).unwrap_or_else(cores);
        let pool = Pool { threads, order, seed: self.seed, max_fail, stop };
        let (done, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let bar = Bar::new(self.args.output.progress, self.args.output.quiet, self.console, jobs.len());
        let mut outcomes = Vec::with_capacity(jobs.len());
        let left = pool.run(jobs, &|job| self.one(job), |outcome| {
            done.fetch_add(1, Ordering::Relaxed);
            failed.fetch_add(usize::from(outcome.gate.fails()), Ordering::Relaxed);
            bar.tell(done.load(Ordering::Relaxed), failed.load(Ordering::Relaxed), &outcome.name());
            bar.aside(|| self.show(&outcome));
            files.add(&outcome, &self.loaded.suite.sources);
            outcomes.push(outcome);
        });
        bar.finish();
        (outcomes, left)
    }

    /// Plays a job, again if that is asked for, and holds what came of it against what is expected.
    fn one(&self, job: &Job<'_>) -> Outcome {
        self.args.retries.play(job, |job| {
            let mut outcome = self.course.play(job);
            self.chosen.register.judge(&mut outcome, self.chosen.target().foreign().is_some());
            outcome
        })
    }

    /// How many times faster than the clock on the wall time goes on sockets.
    fn speed(&self) -> f64 {
        speed_of(self.chosen.target(), self.args)
    }

    fn show(&self, outcome: &Outcome) {
        let level = self.args.output.status_level;
        let wanted = match outcome.gate {
            Gate::Pass | Gate::Info => StatusLevel::All,
            Gate::Warn | Gate::Unsteady | Gate::Waived | Gate::Unsupported => StatusLevel::Warn,
            _ => StatusLevel::Fail,
        };
        if level < wanted {
            return;
        }
        self.say(&terminal::line(outcome));
        if outcome.gate > Gate::Info {
            self.say(&terminal::block(outcome, &self.setting()));
        }
    }

    fn setting(&self) -> Setting<'_> {
        Setting {
            suite: &self.loaded.suite,
            suite_flag: self.args.suite.suite.as_deref().and_then(|dir| dir.to_str()),
            ascii: self.console.ascii(),
            width: self.console.width(),
            run_file: self.args.output.reporter.iter().find_map(Reporter::run_file),
            flags: &self.flags,
        }
    }

    /// Talk of a run goes to standard output, unless that carries data.
    fn say(&self, text: &str) {
        if !self.args.output.quiet && self.args.output.format == Format::Pretty {
            self.console.print(text);
        }
    }

    fn totals(&self, outcomes: &[Outcome], left: usize) -> Totals {
        let mut totals = Totals { skipped: self.selected.skips.len() + left, ..Totals::default() };
        outcomes.iter().for_each(|outcome| totals.count(outcome));
        if matches!(self.args.gates.update, Some(Update::All | Update::Changed | Update::Missing)) {
            totals.pending = outcomes.iter().filter(|outcome| snapshots::stays_pending(outcome, self.args.gates.update)).count();
        }
        totals
    }

    fn reasons(&self, outcomes: &[Outcome], totals: &Totals, left: usize, signal: Option<Exit>) -> Reasons {
        let mut reasons = Reasons::of(totals);
        for outcome in outcomes.iter().filter(|outcome| outcome.gate == Gate::Error && !outcome.draft) {
            reasons.add_error(outcome);
        }
        if let Some(signal) = signal {
            reasons.add(signal, format!("{}, {} not run", signal.name(), count(left, "scenario")));
        }
        if self.args.gates.min_tests.is_some_and(|least| outcomes.len() < least) {
            reasons.add(Exit::NoTests, format!("{} ran, --min-tests asks for more", outcomes.len()));
        }
        reasons
    }

    fn close(&self, outcomes: &[Outcome], totals: &Totals, reasons: &Reasons) {
        let parity = self.parity(outcomes);
        if self.args.output.format == Format::Json {
            let equal = parity.map(|parity| parity.equal);
            self.console.print(&super::reporters::summary(outcomes, &self.selected.skips, totals, reasons, self.seed, equal));
            return;
        }
        if self.args.output.format == Format::Jsonl {
            return;
        }
        let entries = coverage::measure(&self.loaded.suite, outcomes, &coverage::Proofs::new());
        let requirements = if self.filtered { String::new() } else { coverage::summary(&entries, Coverage::Shown) };
        let closing = Closing {
            outcomes,
            skips: &self.selected.skips,
            totals,
            reasons,
            requirements: &requirements,
            full: !self.args.output.quiet,
        };
        let text = terminal::closing(&closing);
        self.say(&parity.map(|parity| parity.text).unwrap_or_default());
        if self.args.output.quiet {
            self.console.print(&format!("{}\n", totals.last_line()));
        } else {
            self.console.print(&text);
        }
        if !self.args.output.quiet {
            self.console.talk(next(reasons));
        }
    }
}

/// Which traces of a run on sockets equal the simulator's.
struct Equality {
    equal: Vec<String>,
    text: String,
}

impl Session<'_> {
    fn parity(&self, outcomes: &[Outcome]) -> Option<Equality> {
        let compared: Vec<_> = outcomes.iter().filter_map(|outcome| Some((outcome.name(), self.course.parity(outcome)?))).collect();
        let equal: Vec<String> =
            compared.iter().filter(|(_, parity)| *parity == Parity::Equal).map(|(name, _)| name.clone()).collect();
        let mut text = String::new();
        for (name, parity) in compared.iter().filter(|_| self.args.output.parity) {
            if let Parity::Differs(changes) = parity {
                let _ = writeln!(text, "parity: {name} differs");
                let lines = changes.iter().map(ToString::to_string).collect::<Vec<_>>();
                lines.iter().flat_map(|change| change.lines()).for_each(|line| _ = writeln!(text, "  {}", visible(line)));
            }
        }
        let _ = writeln!(text, "parity: {} of {} equal the simulator's", equal.len(), count(compared.len(), "trace"));
        (!compared.is_empty()).then_some(Equality { equal, text })
    }
}

fn job_name(job: &Job<'_>) -> String {
    if job.variant.name.is_empty() { job.scenario.id.clone() } else { format!("{}@{}", job.scenario.id, job.variant.name) }
}

/// What to do after a run that does not end with 0.
fn next(reasons: &Reasons) -> &'static str {
    match reasons.exit() {
        Exit::Ok => "",
        Exit::Pending => "next: cpmcheck review\n",
        Exit::Conformance => "next: type one of the `again:` lines above, or cpmcheck explain with what is named there\n",
        Exit::Incomplete => "next: give deadlines more time (--timeout-scale), or lengthen `settle:` in the scenario\n",
        Exit::Internal => "next: report this with the seed above; it is a defect of cpmcheck\n",
        Exit::Input => "next: cpmcheck lint\n",
        Exit::NoTests => "next: cpmcheck list\n",
        Exit::Usage => "next: cpmcheck run --help\n",
        Exit::Environment | Exit::Interrupted | Exit::Terminated => "",
    }
}
