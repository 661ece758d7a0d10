//! What it costs a PF to hold sessions that nobody uses, each with its own MSRP connection to the focus.
//!
//! ```text
//! cargo bench --bench held                        10 000 sessions
//! cargo bench --bench held -- --sessions 2000
//! ```
//!
//! The target for 10 000: less than 1 GiB resident, and a REGISTER answered within 10 ms.

#[path = "../tests/common/crowd.rs"]
mod crowd;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use crowd::{Crowd, register};

const SESSIONS: usize = 10_000;
const REGISTERS: usize = 2_000;
const MEMORY: u64 = 1 << 30;
const LATENCY: Duration = Duration::from_millis(10);

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let asked = arguments.iter().position(|argument| argument == "--sessions");
    let sessions = asked.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(SESSIONS);
    let mut crowd = Crowd::new(sessions);
    let empty = crowd.resident();
    let start = now();
    crowd.hold(|held| {
        if held.is_multiple_of(1_000) {
            println!("  {held} held after {:.1} s", start.elapsed().as_secs_f64());
        }
    });
    let resident = crowd.resident();
    let each = resident.saturating_sub(empty) / sessions as u64;
    println!("  {sessions} sessions, {} TCP connections of the PF", crowd.connections());
    println!("  resident {:.1} MB, {:.1} MB without sessions: {each} bytes a session", mega(resident), mega(empty));
    let step = (sessions / REGISTERS).max(1);
    let registering = thread::spawn(move || register((0..sessions).step_by(step)));
    crowd.serve_while(|| !registering.is_finished());
    let mut took = registering.join().expect("every REGISTER is answered");
    took.sort_unstable();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!("  {} REGISTERs one by one: p50 {:.3} ms, p99 {:.3} ms, longest {:.3} ms", took.len(), at(0.5), at(0.99), at(1.0));
    if resident < MEMORY && at(0.99) < LATENCY.as_secs_f64() * 1e3 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
