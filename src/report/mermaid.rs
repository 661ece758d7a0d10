//! Traces as Mermaid sequence diagrams, for pages that render them.

use std::fmt::Write as _;

use super::escape::visible;
use crate::engine::Closure;
use crate::judge::expect::headline;
use crate::pattern::ast::Role;
use crate::trace::Trace;
use crate::trace::correlate::Correlation;
use crate::trace::event::{Event, Kind, Party};

/// A sequence diagram of at most `limit` messages; what is left out is said in a note.
pub fn sequence(trace: &Trace, limit: usize) -> String {
    let facts = Correlation::of(trace).facts;
    let shown: Vec<_> =
        trace.events.iter().zip(&facts).filter(|(event, facts)| facts.retransmission.is_none() && is_shown(event)).collect();
    let iut = &trace.header.iut;
    let mut lanes: Vec<&Party> = vec![iut];
    for (event, facts) in &shown {
        if matches!(event.kind, Kind::Message { .. } | Kind::Closed { .. }) && !lanes.contains(&facts.peer(iut)) {
            lanes.push(facts.peer(iut));
        }
    }
    // Clients on the left, the IUT between, everyone else on the right.
    lanes.sort_by_key(|party| (side(party.role, *party == iut), party.to_string()));
    let mut out = String::from("sequenceDiagram\n");
    let number = |party: &Party| lanes.iter().position(|lane| *lane == party).unwrap_or(0);
    for (at, lane) in lanes.iter().enumerate() {
        let _ = writeln!(out, "    participant p{at} as {}", text(&lane.to_string()));
    }
    let span = format!("p0,p{}", lanes.len() - 1);
    for (event, facts) in shown.iter().take(limit) {
        let (from, to) = (number(&facts.from), number(&facts.to));
        let _ = match &event.kind {
            Kind::Fault(what) => writeln!(out, "    Note over {span}: {}", text(what)),
            Kind::Closed { .. } => writeln!(out, "    p{from}--xp{to}: connection lost"),
            _ => writeln!(out, "    p{from}->>p{to}: {}", text(&headline(event))),
        };
    }
    if shown.len() > limit {
        let _ = writeln!(out, "    Note over {span}: and {} more", shown.len() - limit);
    }
    out
}

const fn side(role: Role, is_iut: bool) -> u8 {
    match role {
        _ if is_iut => 1,
        Role::Client => 0,
        _ => 2,
    }
}

fn is_shown(event: &Event) -> bool {
    match &event.kind {
        Kind::Message { .. } | Kind::Fault(_) => true,
        Kind::Closed { how, .. } => *how == Closure::Reset,
        Kind::Opened { .. } | Kind::Note { .. } | Kind::FlowEnded => false,
    }
}

/// Text that cannot end a line of the diagram, nor start an entity or a directive.
fn text(text: &str) -> String {
    visible(text)
        .chars()
        .map(|mark| match mark {
            '#' => "#35;".to_owned(),
            ';' => "#59;".to_owned(),
            '<' => "#60;".to_owned(),
            '>' => "#62;".to_owned(),
            '%' => "#37;".to_owned(),
            '`' => "#96;".to_owned(),
            mark => mark.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_sent_cannot_leave_its_line() {
        assert_eq!(text("A\nend; #x <b>%%{init}"), "A␊end#59; #35;x #60;b#62;#37;#37;{init}");
    }

    #[test]
    fn a_trace_without_messages_still_is_a_diagram() {
        let mut trace = Trace::default();
        trace.header.iut = Party::new(Role::Pf, "pf");
        assert_eq!(sequence(&trace, 60), "sequenceDiagram\n    participant p0 as pf\n");
    }
}
