//! How long it takes to play and judge a scenario, and to read the suite.
//!
//! The target of the first is 1 ms for 40 messages, rules and invariants included.

use std::collections::BTreeMap;
use std::hint::black_box;

use cpmcheck::judge::{Judge, Setup};
use cpmcheck::pattern::Names;
use cpmcheck::run::execute::{Choices, Course};
use cpmcheck::run::plan::Job;
use cpmcheck::suite::source::Sources;
use cpmcheck::suite::{Suite, load_all};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// As the program has it: what is measured is what ships.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn suite() -> Suite {
    load_all(Sources::embedded()).suite
}

fn scenario(criterion: &mut Criterion) {
    let suite = suite();
    let none = BTreeMap::new();
    let choices = Choices::in_the_simulator(&none);
    let course = Course::new(&suite, choices);
    let mut group = criterion.benchmark_group("scenario");
    for id in ["group/missed-messages", "rejoin/before-register"] {
        let Some(scenario) = suite.scenario(id) else { continue };
        let job = Job { scenario, variant: &scenario.variants[0], repetition: 1, seed: suite.defaults.seed };
        let messages = course.play(&job).messages();
        group.throughput(Throughput::Elements(messages as u64));
        group.bench_with_input(BenchmarkId::new(id, messages), &job, |bencher, job| bencher.iter(|| black_box(course.play(job))));
    }
    group.finish();
}

/// The court alone: correlation, all rules, all invariants.
fn judgement(criterion: &mut Criterion) {
    let suite = suite();
    let none = BTreeMap::new();
    let choices = Choices::in_the_simulator(&none);
    let course = Course::new(&suite, choices);
    let judge = Judge::new(&suite.catalogue.requirements, Names::default(), Setup::default());
    let mut group = criterion.benchmark_group("judge");
    for id in ["group/missed-messages", "rejoin/before-register"] {
        let Some(scenario) = suite.scenario(id) else { continue };
        let job = Job { scenario, variant: &scenario.variants[0], repetition: 1, seed: suite.defaults.seed };
        let outcome = course.play(&job);
        group.throughput(Throughput::Elements(outcome.messages() as u64));
        group.bench_with_input(BenchmarkId::new(id, outcome.messages()), &outcome.trace, |bencher, trace| {
            bencher.iter(|| black_box(judge.judge(trace)))
        });
    }
    group.finish();
}

/// A thousand stored messages must cost less than twice, per message, what a hundred cost.
fn stored_messages(criterion: &mut Criterion) {
    let text = |count: u32| {
        format!(
            "title: Stored messages\nrequirements: [DGC-1.2-07]\ntags: [load]\nactors: {{ bob: client, focus: cf, core: core }}\nflow:\n\
             \x20 - use: group-session-established\n  - use: client-lost\n  - repeat: {count}\n    do:\n\
             \x20     - focus -> pf MSRP SEND: {{ id: missed, use: chat-message, with: {{ text: \"message ${{i}}\" }} }}\n\
             \x20     - pf -> focus MSRP 200: {{ answers: missed }}\n  - use: client-registers\n  - use: delivery-accepted\n  - repeat: {count}\n    do:\n\
             \x20     - pf -> bob MSRP SEND: {{ id: delivered, cpim.text: \"message ${{i}}\" }}\n\
             \x20     - bob -> pf MSRP 200: {{ answers: delivered }}\n"
        )
    };
    let embedded = Sources::embedded();
    let mut group = criterion.benchmark_group("stored-messages");
    group.sample_size(10);
    for count in [100, 1_000] {
        let own = text(count);
        let mut texts: Vec<(&str, &str)> = embedded
            .files
            .iter()
            .filter(|file| !file.path.contains('/') || file.path.starts_with("flows/"))
            .map(|file| (file.path.as_str(), file.text.as_str()))
            .collect();
        texts.push(("load/stored.yaml", &own));
        let suite = load_all(Sources::of_texts("bench", texts)).suite;
        let none = BTreeMap::new();
        let choices = Choices::in_the_simulator(&none);
        let course = Course::new(&suite, choices);
        let Some(scenario) = suite.scenario("load/stored") else { continue };
        let job = Job { scenario, variant: &scenario.variants[0], repetition: 1, seed: suite.defaults.seed };
        group.throughput(Throughput::Elements(u64::from(count)));
        group.bench_with_input(BenchmarkId::from_parameter(count), &job, |bencher, job| {
            bencher.iter(|| black_box(course.play(job)))
        });
    }
    group.finish();
}

fn load(criterion: &mut Criterion) {
    criterion.bench_function("suite/load", |bencher| bencher.iter(|| black_box(load_all(Sources::embedded()))));
}

criterion_group!(benches, scenario, judgement, stored_messages, load);
criterion_main!(benches);
