//! The crash loop: a real process with a store is killed at seeded points while it is at work, and
//! started again on the same file. What it has acknowledged is there, what it has given up is not.
//!
//! ```text
//! cargo test --test crash                         200 kills, as in CI
//! cargo test --release --test crash -- --kills 2000 --seed 7
//! ```

mod ledger;
mod peers;
mod pf;
mod store;
mod watch;

use std::process::ExitCode;

use watch::Figures;

/// Kills of a run that names no number.
const KILLS: u64 = 200;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, path] = &*arguments
        && [store::CHILD, store::HASTY].contains(&mode.as_str())
    {
        return store::child(path.as_ref(), mode == store::HASTY);
    }
    if arguments.iter().any(|argument| argument == "--list") {
        println!("crash: test");
        return ExitCode::SUCCESS;
    }
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let (kills, seed) = (number("--kills").unwrap_or(KILLS), number("--seed").unwrap_or(1));
    println!("\ncrash loop, seed {seed}");
    // A loop that never found anything would prove nothing.
    let sharp = store::finds_out_haste(seed);
    println!("a store that acknowledges too early is {}", if sharp { "found out" } else { "NOT found out" });
    let alone = report("store alone", &store::run(kills, seed));
    let good = report("serve pf", &pf::run(kills, seed)) && alone;
    if good && sharp { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(name: &str, figures: &Figures) -> bool {
    println!("{name}: {figures}");
    for fault in figures.ledger.faults.iter().take(10) {
        println!("   {fault}");
    }
    figures.ledger.is_sound() && figures.is_quick()
}
