//! Tables: what is covered, what would run.

use tabled::builder::Builder;
use tabled::settings::Modify;
use tabled::settings::Style;
use tabled::settings::Width;
use tabled::settings::object::Columns;

/// A table with a head, no wider than `width`; the last column gives way.
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>, width: usize) -> String {
    let mut builder = Builder::default();
    builder.push_record(head.iter().copied());
    for row in rows {
        builder.push_record(row.into_iter().map(|cell| super::escape::visible(&cell).into_owned()));
    }
    let columns = head.len();
    let mut table = builder.build();
    table.with(Style::blank());
    let natural = table.total_width();
    if natural > width {
        let text = table.to_string();
        let last = text.lines().next().map_or(0, |_| natural - width);
        let own = (width / 3).max(natural.saturating_sub(last).saturating_sub(width * 2 / 3));
        table.with(Modify::new(Columns::new(columns - 1..)).with(Width::truncate(own).suffix("…")));
    }
    let text = table.to_string();
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
