//! Any text as a scenario, as a catalogue and as a suite: mistakes are told with places that exist.
#![no_main]

use cpmcheck::suite::diagnostics::{Look, render};
use cpmcheck::suite::load_all;
use cpmcheck::suite::source::Sources;

const SUITE: &str = "title: t\nidentities:\n  bob: { uri: 'sip:bob@home1.example', devices: { phone: 'urn:uuid:1' } }\n";
const CATALOGUE: &str = "DGC-9-01: { clause: '1', level: MAY, actor: pf, summary: s, untestable: none }\n";
const FRAGMENT: &str = "title: f\nparameters: { who: bob }\nsteps:\n  - \"pf -> ${who} BYE\": { id: bye }\n";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(data) else { return };
    let place = ["group/x.yaml", "requirements.yaml", "suite.yaml", "flows/f.yaml"][usize::from(*which % 4)];
    let mut sources = Sources::of_texts("s", [("suite.yaml", SUITE), ("requirements.yaml", CATALOGUE), ("flows/f.yaml", FRAGMENT)]);
    sources.put(place, place, text.to_owned());
    let loaded = load_all(sources);
    let _ = render(&loaded.diagnostics, &loaded.suite.sources, Look::Full { colour: true });
});
