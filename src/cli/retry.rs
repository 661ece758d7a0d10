//! `--retries`: what fails is tried again, and what then passes is flaky.

use crate::ids::Ids;
use crate::judge::outcome::{Gate, Outcome};
use crate::run::plan::Job;

/// Whether failures are tried again.
#[derive(clap::Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Gates")]
pub(super) struct RetryArgs {
    /// Try a scenario that fails so often again, each time under another seed
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=10), env = "CPMCHECK_RETRIES", hide_env = true)]
    retries: u32,
    /// What it means that a scenario passes only when it is tried again
    #[arg(long, value_enum, default_value_t = FlakyResult::Fail, env = "CPMCHECK_FLAKY_RESULT", hide_env = true)]
    flaky_result: FlakyResult,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum FlakyResult {
    /// Exit 1
    Fail,
    /// It is counted as passed, and told
    Pass,
}

impl RetryArgs {
    /// Plays a job, again as long as it fails and tries are left. Of a flaky one the failure is kept.
    pub(super) fn play(self, job: &Job<'_>, play: impl Fn(&Job<'_>) -> Outcome) -> Outcome {
        let mut first = play(job);
        if !matches!(first.gate, Gate::Fail | Gate::Otherwise | Gate::Undeclared) {
            return first;
        }
        for attempt in 2..=self.retries + 1 {
            let seed = Ids::new(job.seed, &format!("attempt {attempt}")).next_u64();
            if play(&Job { seed, ..*job }).gate.fails() {
                continue;
            }
            first.gate = if self.flaky_result == FlakyResult::Pass { Gate::Unsteady } else { Gate::Flaky };
            first.expected = None;
            first.remark = format!("passed in attempt {attempt} of at most {}; shown is the failure", self.retries + 1);
            break;
        }
        first
    }
}
