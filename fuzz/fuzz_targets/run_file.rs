//! Any text as a run file: it is read or refused, and whatever was read is drawn and judged.
#![no_main]

use std::collections::BTreeMap;

use cpmcheck::report::jsonl::{Hash, read};
use cpmcheck::report::ladder::{Look, ladder, messages};
use cpmcheck::trace::correlate::Correlation;
use cpmcheck::trace::snapshot::Snapshot;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A footer whose hash is right, so that what stands above it is looked at.
    let hash = Hash::default().with(text.as_bytes()).text();
    let footer = format!("{{\"type\":\"footer\",\"complete\":true,\"hash\":\"{hash}\"}}\n");
    let Ok(stored) = read(&format!("{text}{footer}")).or_else(|_| read(text)) else { return };
    for trace in stored.outcomes.iter().filter_map(|outcome| outcome.trace.as_ref()) {
        let _ = Correlation::of(trace);
        let _ = Snapshot::of(trace, "", "");
        let _ = (ladder(trace, &Look { ascii: true, marks: &BTreeMap::new(), ignored: &[] }), messages(trace));
    }
});
