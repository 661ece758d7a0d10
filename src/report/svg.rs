//! The ladder as one SVG: a lane per actor, time on the left, findings on the right, dark where the
//! reader's screen is dark. It needs nothing from anywhere else.

use std::fmt::Write as _;
use std::time::Duration;

use super::chart::{Chart, Row, Stroke, What};
use super::escape::{short, visible};
use super::exhibit::Exhibit;

/// Where the first lane stands, and how far each is from the next.
const LEFT: usize = 140;
const LANE: usize = 190;
/// Room for findings.
const RIGHT: usize = 360;
/// The head, a row, a line of a finding.
const HEAD: usize = 84;
const ROW: usize = 26;
const LINE: usize = 16;
/// Characters of a finding on one line, and of a label on one lane's width.
const WIDE: usize = 52;
const LABEL: usize = 26;
/// Silence that is worth showing.
const SILENCE: Duration = Duration::from_secs(1);

const STYLE: &str = "\
:root{--paper:#fff;--ink:#1b1f24;--faint:#8b949e;--lane:#d0d7de;--iut:#fff3bf;--request:#0550ae;--response:#1a7f37;\
--media:#8250df;--bad:#cf222e;--odd:#9a6700;--band:#fff8c5}\
@media(prefers-color-scheme:dark){:root{--paper:#0d1117;--ink:#e6edf3;--faint:#7d8590;--lane:#30363d;--iut:#3a2f0b;\
--request:#79c0ff;--response:#7ee787;--media:#d2a8ff;--bad:#ff7b72;--odd:#e3b341;--band:#272115}}\
svg{background:var(--paper)}text{font:13px ui-sans-serif,system-ui,sans-serif;fill:var(--ink)}\
.t{font:11px ui-monospace,monospace;fill:var(--faint)}.h{font-size:16px;font-weight:600}.n{font-weight:600;text-anchor:middle}\
.l{text-anchor:middle;font-size:12px;paint-order:stroke;stroke:var(--paper);stroke-width:4px}\
.lane{stroke:var(--lane)}.box{fill:var(--paper);stroke:var(--lane)}.iut{fill:var(--iut);stroke:var(--odd)}\
line{stroke-width:1.5}.request{stroke:var(--request)}.response{stroke:var(--response);stroke-dasharray:6 3}\
.media{stroke:var(--media)}.faint{stroke:var(--faint);stroke-dasharray:2 3}.bad{stroke:var(--bad)}\
.m{fill:var(--bad);font-size:12px}.o{fill:var(--odd);font-size:12px;text-anchor:middle}.band{fill:var(--band)}\
marker path{fill:context-stroke}";

/// Draws the ladder.
pub fn ladder(exhibit: &Exhibit<'_>) -> String {
    let chart = Chart::of(exhibit);
    let width = LEFT + chart.lanes.len().saturating_sub(1) * LANE + RIGHT + 90;
    let absences: Vec<String> = exhibit.absences().collect();
    let mut body = String::new();
    let mut y = HEAD + ROW;
    let mut before = None;
    for row in &chart.rows {
        let silence = before.map(|before| row.at.since(before)).filter(|silence| *silence >= SILENCE);
        if let Some(silence) = silence {
            let _ = writeln!(body, "<text class=\"t\" x=\"12\" y=\"{y}\">⋮ +{:.3} s</text>", silence.as_secs_f64());
            y += ROW;
        }
        before = Some(row.at);
        y += draw(&mut body, &chart, row, y, width);
    }
    for absence in &absences {
        y += marks(&mut body, absence, LEFT - 30, y);
    }
    let height = y + ROW;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n<defs><marker id=\"a\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"7\" \
         markerHeight=\"7\" orient=\"auto-start-reverse\"><path d=\"M0 0 10 5 0 10z\"/></marker></defs>\n",
        escaped(&exhibit.trace.header.name())
    );
    heads(&mut out, &chart, exhibit, height);
    out.push_str(&body);
    out.push_str("</svg>\n");
    out
}

fn heads(out: &mut String, chart: &Chart, exhibit: &Exhibit<'_>, height: usize) {
    let header = &exhibit.trace.header;
    let verdict = if exhibit.verdict.is_empty() { String::new() } else { format!("  ·  {}", exhibit.verdict) };
    let _ = writeln!(out, "<text class=\"h\" x=\"12\" y=\"24\">{}{}</text>", escaped(&header.name()), escaped(&verdict));
    let _ = writeln!(out, "<text class=\"t\" x=\"12\" y=\"42\">seed {:#x}</text>", header.seed);
    for (at, lane) in chart.lanes.iter().enumerate() {
        let x = x_of(at);
        let class = if at == chart.iut { "iut" } else { "box" };
        let name = escaped(&short(&lane.to_string(), 20));
        let (top, bottom) = (HEAD - 34, height - 10);
        let _ = writeln!(
            out,
            "<line class=\"lane\" x1=\"{x}\" y1=\"{HEAD}\" x2=\"{x}\" y2=\"{bottom}\"/>\
             <rect class=\"{class}\" x=\"{}\" y=\"{top}\" width=\"128\" height=\"28\" rx=\"5\"/>\
             <text class=\"n\" x=\"{x}\" y=\"{}\">{name}</text><title>{}</title>",
            x - 64,
            top + 19,
            escaped(&format!("{lane} ({})", lane.role))
        );
    }
}

const fn x_of(lane: usize) -> usize {
    LEFT + lane * LANE
}

/// Draws a row; returns how much room it took.
fn draw(out: &mut String, chart: &Chart, row: &Row, y: usize, width: usize) -> usize {
    let time = row.at.to_string();
    let (from, to, class) = match row.what {
        What::Message { from, to, .. } if !row.marks.is_empty() => (from, to, "bad"),
        What::Message { from, to, stroke } => (from, to, class_of(stroke)),
        What::Lost { from, to } => (from, to, "bad"),
        What::Fault | What::Over => {
            let _ = writeln!(
                out,
                "<rect class=\"band\" x=\"0\" y=\"{}\" width=\"{width}\" height=\"20\"/><text class=\"t\" x=\"12\" y=\"{y}\">{time}</text>\
                 <text class=\"o\" x=\"{}\" y=\"{y}\">{}</text>",
                y - 14,
                x_of(chart.iut),
                escaped(&short(&row.label, 80))
            );
            return ROW;
        }
    };
    let (left, right) = (x_of(from), x_of(to));
    let lanes = from.abs_diff(to).max(1);
    let label = format!("#{} {}", row.number, short(&row.label, LABEL * lanes));
    let step = row.step.as_deref().map(|step| format!("\n{step}")).unwrap_or_default();
    let inward = if right > left { right - 2 } else { right + 2 };
    let _ = writeln!(
        out,
        "<g><title>{}</title><text class=\"t\" x=\"12\" y=\"{y}\">{time}</text>\
         <line class=\"{class}\" x1=\"{left}\" y1=\"{line}\" x2=\"{inward}\" y2=\"{line}\" marker-end=\"url(#a)\"/>\
         <text class=\"l\" x=\"{}\" y=\"{}\">{}</text></g>",
        escaped(&format!("#{} {} -> {}: {}{step}", row.number, chart.lanes[from], chart.lanes[to], row.label)),
        usize::midpoint(left, right),
        y - 1,
        escaped(&label),
        line = y + 4,
    );
    let mut used = ROW;
    for mark in &row.marks {
        let taken = marks(out, mark, x_of(chart.lanes.len() - 1) + 18, y);
        used = used.max(taken + 10);
    }
    used
}

/// Writes a finding in lines; returns how much room it took.
fn marks(out: &mut String, mark: &str, x: usize, y: usize) -> usize {
    let mut lines = vec![String::from("✗")];
    for word in visible(mark).split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < WIDE => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(short(word, WIDE)),
        }
    }
    for (at, line) in lines.iter().enumerate() {
        let _ = writeln!(out, "<text class=\"m\" x=\"{x}\" y=\"{}\">{}</text>", y + at * LINE, escaped(line));
    }
    lines.len() * LINE
}

const fn class_of(stroke: Stroke) -> &'static str {
    match stroke {
        Stroke::Request => "request",
        Stroke::Response => "response",
        Stroke::Media => "media",
        Stroke::Faint => "faint",
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for mark in text.split('\n').map(visible).collect::<Vec<_>>().join("\n").chars() {
        match mark {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            mark => out.push(mark),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Trace;

    #[test]
    fn what_a_peer_sent_cannot_leave_its_element() {
        assert_eq!(escaped("</text><script>\u{1b}&\""), "&lt;/text&gt;&lt;script&gt;␛&amp;&quot;");
    }

    #[test]
    fn a_trace_without_messages_still_is_a_well_formed_picture() {
        let trace = Trace::default();
        let exhibit =
            Exhibit { trace: &trace, verdict: "pass".to_owned(), findings: &[], steps: std::collections::BTreeMap::new() };
        let text = ladder(&exhibit);
        let document = roxmltree::Document::parse(&text).expect("well-formed XML");
        assert_eq!(document.root_element().tag_name().name(), "svg");
    }
}
