//! What a capture of ours says about itself, in the comment of its section: lines of a word, a
//! colon and a value. A person may write such lines into any capture.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::trace::Header;

/// What the section says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Labels {
    /// The scenario that was played.
    pub scenario: Option<String>,
    /// Its variant.
    pub variant: String,
    /// The seed.
    pub seed: u64,
    /// Whether time was virtual: then the order of packets is exact.
    pub virtual_clock: bool,
    /// The knobs of the IUT.
    pub policy: BTreeMap<String, String>,
    /// What the IUT claims.
    pub pics: BTreeSet<String>,
}

/// How the comment of a packet begins that tells what the harness did before it.
pub(super) const FAULT: &str = "fault: ";

impl Labels {
    /// The comment of a section for a trace.
    pub(super) fn text(header: &Header, verdict: &str) -> String {
        let mut text = format!("scenario: {}\n", header.scenario);
        if !header.variant.is_empty() {
            let _ = writeln!(text, "variant: {}", header.variant);
        }
        let _ = writeln!(text, "seed: {:#x}\nclock: {}", header.seed, if header.virtual_clock { "virtual" } else { "real" });
        if !verdict.is_empty() {
            let _ = writeln!(text, "verdict: {verdict}");
        }
        for (name, value) in &*header.policy {
            let _ = writeln!(text, "policy: {name}={value}");
        }
        for claim in &header.pics {
            let _ = writeln!(text, "pics: {claim}");
        }
        text
    }

    /// Takes up what a comment says; lines that are none of these are for people.
    pub(super) fn read(&mut self, comment: &str) {
        for line in comment.lines() {
            let Some((word, value)) = line.split_once(": ") else { continue };
            match (word, value.split_once('=')) {
                ("scenario", _) => self.scenario = Some(value.to_owned()),
                ("variant", _) => value.clone_into(&mut self.variant),
                ("seed", _) => self.seed = u64::from_str_radix(value.trim_start_matches("0x"), 16).unwrap_or_default(),
                ("clock", _) => self.virtual_clock = value == "virtual",
                ("policy", Some((name, value))) => {
                    self.policy.insert(name.to_owned(), value.to_owned());
                }
                ("pics", _) => {
                    self.pics.insert(value.to_owned());
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_a_section_says_is_read_back() {
        let header = Header {
            scenario: "group/missed".to_owned(),
            variant: "strict".to_owned(),
            seed: 0x11,
            policy: Arc::new([("retry.on-603".to_owned(), "false".to_owned())].into()),
            pics: ["msrp-chunking".to_owned()].into(),
            ..Header::default()
        };
        let mut labels = Labels::default();
        labels.read(&Labels::text(&header, "pass"));
        let Header { variant, seed, policy, pics, .. } = header;
        let policy = policy.as_ref().clone();
        assert_eq!(labels, Labels { scenario: Some(header.scenario), variant, seed, virtual_clock: true, policy, pics });
    }
}
