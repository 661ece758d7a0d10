//! `cpmcheck inspect FILE…`: any message taken apart, and what is wrong with it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::ValueEnum;

use super::{Console, Exit};
use crate::engine::Transport;
use crate::wire::inspect::{As, Inspection, inspect, visible};
use crate::wire::{Level, Violation};

/// Arguments of `inspect`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Files with one message each; a stream (MSRP, SIP over TCP) may hold several
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What to read the files as
    #[arg(long = "as", value_enum, default_value_t = What::Auto)]
    what: What,
    /// What SIP messages travelled on: a datagram ends the body, a stream needs Content-Length
    #[arg(long, value_enum, default_value_t = On::Udp)]
    transport: On,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Auto,
    Sip,
    Msrp,
    Cpim,
    Sdp,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum On {
    Udp,
    Tcp,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    /// For a person
    Pretty,
    /// One JSON object per file and line
    Json,
}

/// Inspects every file. One that cannot be read is a usage error; the others are inspected all the same.
pub(super) fn run(args: &Args, console: &Console) -> Exit {
    let mut worst = Exit::Ok;
    for file in &args.files {
        let exit = match std::fs::read(file) {
            Ok(bytes) => one(file, Bytes::from(bytes), args, console),
            Err(error) => {
                console.talk(&format!("error[U0010]: cannot read {}: {error}\n", visible(&file.to_string_lossy())));
                Exit::Usage
            }
        };
        worst = worst.max(exit);
    }
    worst
}

fn one(file: &Path, bytes: Bytes, args: &Args, console: &Console) -> Exit {
    let what = match args.what {
        What::Auto => As::Auto,
        What::Sip => As::Sip,
        What::Msrp => As::Msrp,
        What::Cpim => As::Cpim,
        What::Sdp => As::Sdp,
    };
    let transport = match args.transport {
        On::Udp => Transport::Udp,
        On::Tcp => Transport::Tcp,
    };
    let inspection = inspect(&bytes, what, transport);
    let name = file.to_string_lossy();
    console.print(&match args.format {
        Format::Json => format!("{}\n", inspection.to_json(&name)),
        Format::Pretty => pretty(&name, &bytes, &inspection),
    });
    if inspection.is_fine() { Exit::Ok } else { Exit::Conformance }
}

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const RESET: &str = "\x1b[0m";

/// The verdict on a line, the message indented, then each violation with its place.
fn pretty(name: &str, bytes: &[u8], inspection: &Inspection) -> String {
    let mut out = String::new();
    let protocol = inspection.protocol.token().to_uppercase();
    let _ = writeln!(out, "{BOLD}{}{RESET}: {protocol}, {}", visible(name), summary(inspection));
    out.push_str(&inspection.to_tree());
    for violation in &inspection.violations {
        let (color, level) = match violation.level {
            Level::Error => (RED, "error"),
            Level::Warning => (YELLOW, "warning"),
        };
        let Violation { code, offset, rfc, message, .. } = violation;
        let line = 1 + memchr::memchr_iter(b'\n', &bytes[..(*offset).min(bytes.len())]).count();
        let _ = writeln!(out, "{color}{level}[{code}]{RESET}: {} ({rfc}; line {line}, byte {offset})", visible(message));
    }
    out
}

fn summary(inspection: &Inspection) -> String {
    let count = |level| inspection.violations.iter().filter(|violation| violation.level == level).count();
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let state = match (inspection.parsed, inspection.lossless) {
        (false, _) => "does not parse, ",
        (true, false) => "not lossless, ",
        (true, true) => "",
    };
    match (count(Level::Error), count(Level::Warning)) {
        (0, 0) if inspection.is_fine() => "nothing wrong".to_owned(),
        (errors, warnings) => format!("{state}{}, {}", plural(errors, "error"), plural(warnings, "warning")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_the_wire_do_not_reach_the_terminal() {
        let bytes = Bytes::from_static(b"OPTIONS sip:a@b.example SIP/2.0\r\nX-Note: \x1b[2J\x07\r\n\r\n");
        let inspection = inspect(&bytes, As::Auto, Transport::Udp);
        let text = pretty("a\nb", &bytes, &inspection);
        assert!(text.contains("X-Note: \\x1b[2J\\x07") && text.contains("a\\nb"));
        assert!(!text.contains("\x1b[2J") && !text.contains('\x07'));
        assert!(!inspection.to_json("x\u{9b}y").contains('\u{9b}'));
    }
}
