//! The codes of runs and of the command line, each with a sentence for `cpmcheck explain`.

/// Codes of runs, as [`crate::suite::codes::CODES`] are those of files: code, title, what it means.
pub const RUN_CODES: &[(&str, &str, &str)] = &[
    ("C0200", "a step was not kept", "The script went on, since the step binds less than a SHALL. With --strict it fails."),
    (
        "C0201",
        "another answer came",
        "The request of a step was answered, and not as the step allows. The report shows what is allowed; `either:` allows more.",
    ),
    (
        "C0202",
        "a message differs",
        "The message that a step awaits came, and not all of the step's keys hold on it. Every key that does not hold is listed.",
    ),
    (
        "C0203",
        "a forbidden message came",
        "A `never:` above was still in force. It holds to the end of the block that encloses it.",
    ),
    (
        "C0204",
        "a message that nothing explains",
        "Neither a step, nor `ignore:`, nor the list of what the base protocols cause unasked explains it. Write a step for it, or ignore it.",
    ),
    (
        "C0210",
        "an awaited message did not come",
        "Nothing that fits came within the time of the step (`within:`, else the suite's, times --timeout-scale).",
    ),
    (
        "C0220",
        "the rule of a requirement was broken",
        "Rules look at the whole trace, whatever the scenario's steps say. `cpmcheck explain` with the requirement says what it demands.",
    ),
    ("C0230", "an invariant of a base protocol was broken", "Invariants hold in every run; each cites its RFC."),
    ("C0240", "something was left open", "After the scenario the harness closed what was open, and some of it would not close."),
    ("C0250", "coverage was lost", "coverage.snap says more of a requirement than the suite now shows."),
    (
        "C0301",
        "the script cannot do what a step says",
        "The actor is not in a state for it: no such dialog, no such request, no MSRP connection. The scenario is at fault.",
    ),
    ("U0001", "unknown help topic", "`cpmcheck help` lists the topics."),
    ("U0002", "unknown schema", "Schemas are those of the suite's files."),
    ("U0003", "a selector cannot be read", "`cpmcheck help selectors` shows every form."),
    ("U0004", "a selector matches nothing", "A selector that matches no scenario would make a green run of nothing."),
    ("U0005", "more than one suite", "Name one by --suite."),
    ("U0006", "no suite", "A suite is a folder with a suite.yaml."),
    ("U0007", "a knob is unknown or its value is not allowed", "`cpmcheck explain --policies` lists them."),
    ("U0008", "nothing is left to run", "Selectors match, and --skip takes all of it away."),
    ("U0009", "no such pending trace", "`cpmcheck pending` lists them."),
    ("U0010", "no such trace", "`trace show` takes a run file, RUN:SCENARIO, or a scenario."),
    ("U0011", "no such topic", "Topics are requirements, clauses, readings, knobs and codes."),
    ("U0012", "no revision", "`cr diff` takes suite folders and Git revisions; REVISION:DIR names a folder in a revision."),
    ("R0001", "no run file", "A run file is JSON lines with a header, made by `run --reporter jsonl=PATH`."),
    ("R0002", "an incomplete run file", "Without a footer nobody knows what is missing; such a file never passes."),
    ("E0703", "a file cannot be read", "The message of the operating system follows."),
    (
        "U0020",
        "the configuration of serve is wrong",
        "The setting is named as a TOML file calls it; `serve --print-config` shows what would be used.",
    ),
    ("U0021", "a log filter cannot be read", "A filter is a level, or levels by target: `warn,wire=debug`."),
    ("E0704", "a file cannot be written", "The message of the operating system follows."),
    (
        "E0705",
        "the store cannot be used",
        "It is no store, a damaged one, a later version's or somebody else's. The file is left as it is.",
    ),
    ("E0706", "the store cannot be opened", "Another process has it, or the operating system does not let us."),
    ("E0720", "a server cannot start", "A port is in use, an address is not of this machine, or too few descriptors may be open."),
    ("H0070", "a defect of cpmcheck", "A panic. It says nothing about the IUT; the seed repeats it."),
];
