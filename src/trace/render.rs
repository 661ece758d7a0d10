//! A trace as a ladder for the terminal.
//!
//! Everything from the wire is untrusted: control characters are shown as pictures of themselves,
//! so no message can move the cursor.

use std::fmt::Write;

use super::Trace;
use super::correlate::Facts;
use super::event::{Content, Event, Kind, Party};
use crate::engine::Closure;
use crate::pattern::ast::Role;
use crate::wire::msrp::{self, Flag};
use crate::wire::sip::StartLine;

/// How a ladder looks.
pub struct Look<'a> {
    /// Letters of ASCII only.
    pub ascii: bool,
    /// What stands to the right of an event.
    pub remark: &'a dyn Fn(u32) -> Option<String>,
}

impl Default for Look<'_> {
    fn default() -> Self {
        Self { ascii: false, remark: &|_| None }
    }
}

/// Between two lanes.
const GAP: usize = 22;
/// Before the first lane: the time.
const MARGIN: usize = 11;

/// Draws all events that are arrows or breaks.
pub fn ladder(trace: &Trace, facts: &[Facts], look: &Look<'_>) -> String {
    let lanes = lanes(trace, facts);
    let mut out = String::new();
    head(&lanes, &trace.header.iut, &mut out);
    let mut silence = trace.events.first().map(|event| event.at);
    for (event, facts) in trace.events.iter().zip(facts) {
        let Some(label) = label(event, facts) else { continue };
        if let Some(before) = silence.filter(|before| event.at.since(*before).as_secs() >= 1) {
            let _ = writeln!(out, "{:>9}  {}", format!("+{:.0?}", event.at.since(before)), rails(&lanes, look));
        }
        silence = Some(event.at);
        let line = row(event, facts, &label, &lanes, look);
        let remark = (look.remark)(event.number).map(|remark| format!("   {}", printable(&remark))).unwrap_or_default();
        let _ = writeln!(out, "{:>9}  {}", event.at.to_string(), format!("{line}{remark}").trim_end());
    }
    out
}

/// The actors that take part, Clients first, then the core, the IUT, and the focuses.
fn lanes(trace: &Trace, facts: &[Facts]) -> Vec<String> {
    let rank = |party: &Party| match party.role {
        Role::Client => 0,
        Role::Core => 1,
        Role::Pf => 2,
        Role::Cf => 3,
    };
    let mut lanes: Vec<(u8, String)> = Vec::new();
    for (event, facts) in trace.events.iter().zip(facts) {
        if label(event, facts).is_none() || facts.from == facts.to {
            continue;
        }
        for party in [&facts.from, &facts.to] {
            let lane = (rank(party), party.name.to_string());
            if !lanes.contains(&lane) {
                lanes.push(lane);
            }
        }
    }
    lanes.sort_by_key(|(rank, _)| *rank);
    lanes.into_iter().map(|(_, name)| name).collect()
}

fn head(lanes: &[String], iut: &Party, out: &mut String) {
    let mut line = " ".repeat(MARGIN);
    for (at, lane) in lanes.iter().enumerate() {
        let mark = if **lane == *iut.name { "*" } else { "" };
        let name = format!("{}{mark}", printable(lane));
        let centre = MARGIN + at * GAP;
        let start = centre.saturating_sub(name.chars().count() / 2).max(line.chars().count());
        let _ = write!(line, "{}{name} ", " ".repeat(start.saturating_sub(line.chars().count())));
    }
    let _ = writeln!(out, "{}", line.trim_end());
}

fn rails(lanes: &[String], look: &Look<'_>) -> String {
    let rail = if look.ascii { "|" } else { "│" };
    let gap = " ".repeat(GAP - 1);
    lanes.iter().map(|_| rail).collect::<Vec<_>>().join(&gap)
}

fn row(event: &Event, facts: &Facts, label: &str, lanes: &[String], look: &Look<'_>) -> String {
    let place = |party: &Party| lanes.iter().position(|lane| **lane == *party.name);
    let ends = place(&facts.from).zip(place(&facts.to)).filter(|(from, to)| from != to);
    let Some((from, to)) = ends else {
        return format!("{}  {}", rails(lanes, look), printable(label));
    };
    let (low, high) = (from.min(to), from.max(to));
    let (dash, rail, right, left) = if look.ascii { ('-', '|', '>', '<') } else { ('─', '│', '►', '◄') };
    let broken = matches!(event.kind, Kind::Closed { .. });
    let dash = if broken { if look.ascii { '~' } else { '╌' } } else { dash };
    let width = (high - low) * GAP - 1;
    let text: String = format!("#{} {}", event.number, printable(label)).chars().take(width.saturating_sub(3)).collect();
    let mut arrow: Vec<char> = vec![dash; width];
    let start = (width - text.chars().count()) / 2;
    arrow.splice(start..start + text.chars().count(), text.chars());
    if from < to { arrow[width - 1] = right } else { arrow[0] = left }
    let gap = " ".repeat(GAP - 1);
    let mut line = String::new();
    for at in 0..lanes.len() {
        line.push(rail);
        if at == low {
            line.extend(&arrow);
        } else if !(low..high).contains(&at) && at + 1 < lanes.len() {
            line.push_str(&gap);
        }
        if (low + 1..high).contains(&at) {
            // The arrow passes behind the lane.
            line.pop();
        }
    }
    line
}

/// What an arrow says; `None`: nothing is drawn.
fn label(event: &Event, facts: &Facts) -> Option<String> {
    let mark = if facts.retransmission.is_some() { " (again)" } else { "" };
    match &event.kind {
        Kind::Message { content: Content::Sip(message), .. } => Some(match message.start_line() {
            StartLine::Request { method, .. } => format!("{method}{mark}"),
            StartLine::Status { code, .. } => {
                let method = message.method_token().filter(|method| *method != "INVITE").map(|method| format!(" {method}"));
                format!("{code}{}{mark}", method.unwrap_or_default())
            }
        }),
        Kind::Message { content: Content::Msrp(chunk), .. } => Some(match chunk.start() {
            msrp::Start::Request { method } => {
                let flag = match chunk.flag() {
                    Flag::Complete => "",
                    Flag::More => " +",
                    Flag::Aborted => " #",
                };
                format!("MSRP {method}{flag}")
            }
            msrp::Start::Response { code, .. } => format!("MSRP {code}"),
        }),
        Kind::Message { content: Content::Broken { .. }, .. } => Some("unreadable".to_owned()),
        Kind::Closed { how, .. } if facts.lost => Some(match how {
            Closure::Reset => "reset".to_owned(),
            Closure::Finished | Closure::Refused => "closed".to_owned(),
        }),
        Kind::Fault(what) => Some(format!("!! {what}")),
        Kind::Opened { .. } | Kind::Closed { .. } | Kind::Note { .. } | Kind::FlowEnded => None,
    }
}

/// Text that cannot do anything to a terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|char| match char {
            '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(char)).unwrap_or('?'),
            '\u{7f}' => '\u{2421}',
            char if char.is_control() || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => '?',
            char => char,
        })
        .collect()
}

/// A message for the terminal: a line per line, other control characters as pictures; bytes that
/// are no text are replaced.
pub fn message(content: &Content) -> String {
    let bytes = match content {
        Content::Sip(message) => message.encode(),
        Content::Msrp(chunk) => chunk.encode(),
        Content::Broken { bytes, .. } => bytes.clone(),
    };
    let text = String::from_utf8_lossy(&bytes);
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::correlate::Correlation;
    use crate::trace::testing::session;

    #[test]
    fn a_session_is_a_ladder() {
        let tape = session();
        let trace = tape.trace();
        let facts = Correlation::of(&trace).facts;
        let look = Look { ascii: true, remark: &|event| (event == 2).then(|| "accepted".to_owned()) };
        let drawn = ladder(&trace, &facts, &look);
        let lines: Vec<_> = drawn.lines().collect();
        assert_eq!(lines[0], "          bob                   pf*                  focus");
        assert_eq!(lines[1], "    0.000  |                     |<-----#0 INVITE------|");
        assert_eq!(lines[2], "    0.001  |<-----#1 INVITE------|                     |");
        assert_eq!(lines[3], "    0.002  |-------#2 200------->|                     |   accepted");
    }

    #[test]
    fn no_message_can_move_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}"), "a␛[2Jb?");
    }
}
