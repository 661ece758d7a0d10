//! The ladder of a trace: a lane per actor, an arrow per message, time on the left.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::escape::{bounded, short, visible};
use super::style::{bad, faint, odd};
use crate::judge::expect::headline;
use crate::trace::Trace;
use crate::trace::correlate::Correlation;
use crate::trace::event::{Content, Event, Kind, Party};

/// Characters from one lane to the next.
const LANE: usize = 18;
/// Characters of the time column.
const TIME: usize = 9;

/// How a ladder is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// ASCII characters only.
    pub ascii: bool,
    /// What stands beside events, by number.
    pub marks: &'a BTreeMap<u32, String>,
    /// Events that are drawn faintly.
    pub ignored: &'a [u32],
}

/// Draws the ladder of a trace.
pub fn ladder(trace: &Trace, look: &Look<'_>) -> String {
    let facts = Correlation::of(trace).facts;
    let iut = &trace.header.iut;
    let mut lanes: Vec<Party> = Vec::new();
    for (event, facts) in trace.events.iter().zip(&facts).filter(|(event, _)| is_shown(event)) {
        let peer = facts.peer(iut);
        if !lanes.contains(peer) && matches!(event.kind, Kind::Message { .. } | Kind::Closed { .. }) {
            lanes.push(peer.clone());
        }
    }
    // Clients on the left, the IUT between, everyone else on the right.
    lanes.sort_by_key(|party| (party.role, party.name.clone(), party.device.clone()));
    let place = lanes.iter().take_while(|party| party.role == crate::pattern::ast::Role::Client).count();
    lanes.insert(place, iut.clone());
    let mut out = heads(&lanes, iut);
    for (event, facts) in trace.events.iter().zip(&facts).filter(|(event, _)| is_shown(event)) {
        let at = |party: &Party| lanes.iter().position(|lane| lane == party).unwrap_or(place);
        out.push_str(&row(event, at(&facts.from), at(&facts.to), lanes.len(), look));
    }
    out
}

fn is_shown(event: &Event) -> bool {
    match &event.kind {
        Kind::Message { .. } | Kind::Fault(_) | Kind::FlowEnded => true,
        Kind::Closed { how, .. } => *how == crate::engine::Closure::Reset,
        Kind::Opened { .. } | Kind::Note { .. } => false,
    }
}

fn heads(lanes: &[Party], iut: &Party) -> String {
    let mut line = " ".repeat(TIME);
    for lane in lanes {
        let name = if lane == iut { format!("{lane}*") } else { lane.to_string() };
        let _ = write!(line, "{:^LANE$}", short(&name, LANE - 1));
    }
    format!("{}\n", line.trim_end())
}

fn row(event: &Event, from: usize, to: usize, lanes: usize, look: &Look<'_>) -> String {
    let time = format!("{:>8} ", event.at.to_string());
    let text = match &event.kind {
        Kind::Fault(text) => return format!("{time}{}\n", odd(format!("== {} ==", bounded(text, 200)))),
        Kind::FlowEnded => return format!("{time}{}\n", faint("-- the script is over --")),
        _ => arrow(event, from, to, lanes, look.ascii),
    };
    let mark = look.marks.get(&event.number).map(|mark| format!("   {}", bad(visible(mark)))).unwrap_or_default();
    let ignored = if mark.is_empty() && look.ignored.contains(&event.number) { "   ignored" } else { "" };
    if ignored.is_empty() { format!("{time}{text}{mark}\n") } else { format!("{time}{}{}\n", faint(text), faint(ignored)) }
}

fn arrow(event: &Event, from: usize, to: usize, lanes: usize, ascii: bool) -> String {
    let label = format!("#{} {}", event.number, headline(event));
    let (left, right) = (from.min(to), from.max(to));
    let (bar, dash) = if ascii { ('|', '-') } else { ('│', '─') };
    let mut line = " ".repeat(LANE / 2);
    for lane in 0..lanes {
        if lane == left && left != right {
            let width = (right - left) * LANE - 1;
            let label = short(&label, width.saturating_sub(4));
            let used = label.chars().count() + 1;
            let before = (width - used) / 2;
            let line_of = |count: usize| dash.to_string().repeat(count);
            let shaft = format!("{}{label}{}", line_of(before), line_of(width - used - before));
            let shaft = if to > from { format!("{shaft}>") } else { format!("<{shaft}") };
            let _ = write!(line, "{bar}{shaft}");
        } else if lane < left || lane >= right {
            let gap = if lane + 1 < lanes { LANE - 1 } else { 0 };
            let _ = write!(line, "{bar}{}", " ".repeat(gap));
        }
    }
    line.trim_end().to_owned()
}

/// Every message in full, in the order of the trace.
pub fn messages(trace: &Trace) -> String {
    let facts = Correlation::of(trace).facts;
    let mut out = String::new();
    for (event, facts) in trace.events.iter().zip(&facts) {
        let Kind::Message { content, .. } = &event.kind else { continue };
        let ends = format!("{} -> {}", facts.from, facts.to);
        let _ = writeln!(out, "#{}  {}  {}  {}", event.number, event.at, visible(&ends), visible(&headline(event)));
        let bytes = match content {
            Content::Sip(message) => message.encode(),
            Content::Msrp(chunk) => chunk.encode(),
            Content::Broken { bytes, .. } => bytes.clone(),
        };
        for line in String::from_utf8_lossy(&bytes).split('\n') {
            let _ = writeln!(out, "    {}", visible(line.trim_end_matches('\r')));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Transport;
    use crate::pattern::ast::Role;
    use crate::time::Instant;
    use crate::trace::event::Link;
    use crate::wire::sip::{Builder, Message};

    #[test]
    fn arrows_lead_from_lane_to_lane() {
        let mut trace = Trace::default();
        let nodes =
            [("10.0.2.1:5060", Role::Client, "bob"), ("10.0.1.1:5060", Role::Cf, "focus"), ("10.0.0.1:5060", Role::Pf, "pf")];
        std::sync::Arc::make_mut(&mut trace.header.book).nodes =
            nodes.iter().map(|(address, role, name)| (address.parse().expect("an address"), Party::new(*role, name))).collect();
        trace.events = vec![event(0, "10.0.1.1:5060", "10.0.0.1:5060", false), event(1, "10.0.0.1:5060", "10.0.2.1:5060", true)];
        let (marks, ignored) = ([(1, "✗ expected 404".to_owned())].into(), []);
        let text = ladder(&trace, &Look { ascii: true, marks: &marks, ignored: &ignored });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("bob") && lines[0].contains("pf*") && lines[0].contains("focus"), "{text}");
        assert!(lines[1].contains("|<") && lines[1].contains("#0 OPTIONS"), "{text}");
        assert!(lines[2].contains("#1 OPTIONS") && lines[2].contains("✗ expected 404"), "{text}");
    }

    fn event(number: u32, source: &str, destination: &str, sent: bool) -> Event {
        let link = Link {
            transport: Transport::Udp,
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
            connection: None,
        };
        Event { number, at: Instant::ZERO, kind: Kind::Message { link, sent, content: Content::Sip(options()) } }
    }

    fn options() -> Message {
        Builder::request("OPTIONS", "sip:x@example.org")
            .push("Via", "SIP/2.0/UDP 10.0.1.1;branch=z9hG4bK1")
            .push("From", "<sip:a@example.org>;tag=1")
            .push("To", "<sip:x@example.org>")
            .push("Call-ID", "1@example.org")
            .push("CSeq", "1 OPTIONS")
            .build()
    }
}
