//! Traces as PlantUML sequence diagrams.

use std::fmt::Write as _;

use super::chart::{Chart, Stroke, What};
use super::escape::visible;
use super::exhibit::Exhibit;

/// A sequence diagram.
pub fn sequence(exhibit: &Exhibit<'_>) -> String {
    let chart = Chart::of(exhibit);
    let mut out = String::from("@startuml\nhide footbox\n");
    let _ = writeln!(out, "title {}", text(&exhibit.trace.header.name()));
    for (at, lane) in chart.lanes.iter().enumerate() {
        let look = if at == chart.iut { " #LightYellow" } else { "" };
        let _ = writeln!(out, "participant \"{}\" as p{at}{look}", text(&lane.to_string()).replace('"', "'"));
    }
    for row in &chart.rows {
        let label = text(&row.label);
        let _ = match row.what {
            What::Message { from, to, stroke } => writeln!(out, "p{from} {} p{to} : {label}", arrow(stroke)),
            What::Lost { from, to } => writeln!(out, "p{from} -x p{to} : {label}"),
            What::Fault => writeln!(out, "== {label} =="),
            What::Over => writeln!(out, "... {label} ..."),
        };
        for mark in &row.marks {
            let _ = writeln!(out, "note over p{} #FFAAAA : {}", chart.iut, text(mark));
        }
    }
    for absence in exhibit.absences() {
        let _ = writeln!(out, "note over p{} #FFAAAA : {}", chart.iut, text(&absence));
    }
    out.push_str("@enduml\n");
    out
}

const fn arrow(stroke: Stroke) -> &'static str {
    match stroke {
        Stroke::Request => "->",
        Stroke::Response => "-->",
        Stroke::Media => "->>",
        Stroke::Faint => "-[#gray]->",
    }
}

/// Text that stays on its line and starts no mark-up of PlantUML.
fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for mark in visible(text).chars() {
        match mark {
            '<' | '>' | '\\' | '~' | '*' | '/' | '_' | '-' | '"' | '&' | '%' | '[' | ']' | '{' | '}' | '#' | '!' | '@' | '='
            | '^' => {
                let _ = write!(out, "&#{};", u32::from(mark));
            }
            mark => out.push(mark),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_sent_stays_on_its_line_and_marks_nothing_up() {
        let text = text("a\n@enduml\n!include x <b>");
        assert!(!text.contains(['\n', '@', '!', '<']), "{text}");
    }
}
