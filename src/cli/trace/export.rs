//! `cpmcheck trace export`: a trace as a capture for Wireshark, a picture, a diagram, or JSON.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{kept, played, stored};
use crate::capture::{Encapsulation, Remarks, write};
use crate::cli::load::{SuiteArgs, count};
use crate::cli::{Console, Exit};
use crate::judge::outcome::Outcome;
use crate::judge::verdict::Finding;
use crate::report::exhibit::{Exhibit, steps_of};
use crate::report::jsonl::StoredOutcome;
use crate::report::{json, mermaid, plantuml, svg};
use crate::suite::Suite;
use crate::trace::Trace;

/// Arguments of `trace export`.
#[derive(clap::Args, Debug)]
pub(in crate::cli) struct Args {
    /// RUN:SCENARIO of a run file, a run file, or a scenario that is played for it
    what: String,
    /// The file to write, - for standard output; a folder takes a file for each trace
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The form [default: by the end of the file's name, else pcapng]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// What packets of a capture are made of
    #[arg(long, value_enum, default_value_t = Packets::RawIp)]
    packets: Packets,
    /// The seed, when a scenario is played [default: the suite's]
    #[arg(long, value_parser = crate::cli::run::seed)]
    seed: Option<u64>,
    #[command(flatten)]
    suite: SuiteArgs,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    /// A capture with the verdict and findings as comments
    Pcapng,
    /// One JSON object: every event and what was derived of it
    Json,
    /// A picture
    Svg,
    /// A diagram for pages that render Mermaid
    Mermaid,
    /// A diagram for PlantUML
    Plantuml,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Packets {
    /// Datagrams and TCP streams, as they might have been caught
    RawIp,
    /// Whole messages, one a packet (link type 252)
    UpperPdu,
}

impl Format {
    fn of(path: &Path) -> Self {
        match path.extension().and_then(|end| end.to_str()) {
            Some("json") => Self::Json,
            Some("svg") => Self::Svg,
            Some("mmd" | "mermaid") => Self::Mermaid,
            Some("puml" | "plantuml") => Self::Plantuml,
            _ => Self::Pcapng,
        }
    }

    const fn ending(self) -> &'static str {
        match self {
            Self::Pcapng => "pcapng",
            Self::Json => "json",
            Self::Svg => "svg",
            Self::Mermaid => "mmd",
            Self::Plantuml => "puml",
        }
    }
}

/// What is exported of one outcome.
struct Piece {
    trace: Trace,
    verdict: String,
    findings: Vec<Finding>,
    steps: BTreeMap<u32, String>,
}

impl Piece {
    fn of_stored(outcome: StoredOutcome) -> Option<Self> {
        let StoredOutcome { gate, findings, steps, trace, .. } = outcome;
        Some(Self { trace: trace?, verdict: gate, findings, steps })
    }

    fn of_played(outcome: Outcome, suite: &Suite) -> Self {
        let steps = steps_of(&outcome, &suite.sources);
        let Outcome { gate, findings, trace, .. } = outcome;
        Self { trace, verdict: gate.name().to_owned(), findings, steps }
    }

    fn exhibit(&self) -> Exhibit<'_> {
        let Self { trace, verdict, findings, steps } = self;
        Exhibit { trace, verdict: verdict.clone(), findings, steps: steps.clone() }
    }
}

/// Exports what is asked for.
pub(super) fn run(args: &Args, console: &Console) -> Result<Exit, Exit> {
    let pieces = match stored(&args.what, console)? {
        Some((stored, name)) => kept(stored, name.as_deref(), console)?.into_iter().filter_map(Piece::of_stored).collect(),
        None => {
            let (outcome, suite) = played(&args.what, args.seed, &args.suite, console)?;
            vec![Piece::of_played(outcome, &suite)]
        }
    };
    let format = args.format.unwrap_or_else(|| Format::of(&args.output));
    if let [piece] = &pieces[..]
        && !args.output.is_dir()
    {
        put(&args.output, &rendered(piece, format, args.packets), console)?;
        return Ok(Exit::Ok);
    }
    if !args.output.is_dir() {
        let names: Vec<String> = pieces.iter().map(|piece| piece.trace.header.name()).collect();
        console.talk(&format!(
            "error[U0010]: the run file keeps {}; name one as RUN:SCENARIO, or give a folder\n   = kept        {}\n",
            count(pieces.len(), "trace"),
            names.join(", ")
        ));
        return Err(Exit::Usage);
    }
    for piece in &pieces {
        let name = piece.trace.header.name().replace(['/', '\\'], "_");
        put(&args.output.join(format!("{name}.{}", format.ending())), &rendered(piece, format, args.packets), console)?;
    }
    console.talk(&format!("{} written to {}\n", count(pieces.len(), "file"), args.output.display()));
    Ok(Exit::Ok)
}

fn rendered(piece: &Piece, format: Format, packets: Packets) -> Vec<u8> {
    let exhibit = piece.exhibit();
    match format {
        Format::Pcapng => {
            let encapsulation = match packets {
                Packets::RawIp => Encapsulation::RawIp,
                Packets::UpperPdu => Encapsulation::UpperPdu,
            };
            write(&piece.trace, encapsulation, &Remarks { verdict: &piece.verdict, of: &exhibit.comments() })
        }
        Format::Json => json::document(&exhibit).into_bytes(),
        Format::Svg => svg::ladder(&exhibit).into_bytes(),
        Format::Mermaid => mermaid::sequence(&piece.trace, usize::MAX).into_bytes(),
        Format::Plantuml => plantuml::sequence(&exhibit).into_bytes(),
    }
}

fn put(path: &Path, bytes: &[u8], console: &Console) -> Result<(), Exit> {
    let written = if path == Path::new("-") { std::io::stdout().write_all(bytes) } else { std::fs::write(path, bytes) };
    written.map_err(|error| {
        console.talk(&format!("error[E0704]: {} cannot be written: {error}\n", path.display()));
        Exit::Environment
    })
}
