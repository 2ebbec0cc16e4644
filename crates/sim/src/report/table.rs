//! Decides how a table of results reads: the words of a row, the verdict over all, a page of
//! Markdown.

use std::fmt::Write as _;

use super::number;
use crate::paper::{Bar, Row, Table};

/// The cells of a row, for people: empty where there is nothing to say.
fn cells(row: &Row) -> [String; 5] {
    [
        row.what.clone(),
        row.paper.map_or(String::new(), number::show),
        number::with_error(row.ours, row.se),
        bar(row.bar),
        verdict(row).unwrap_or("").to_owned(),
    ]
}

/// `PASS`, `FAIL`, or nothing where there is nothing to meet.
pub fn verdict(row: &Row) -> Option<&'static str> {
    row.pass().map(|pass| if pass { "PASS" } else { "FAIL" })
}

/// What is to be met.
fn bar(bar: Bar) -> String {
    match bar {
        Bar::Near { of, tolerance: 0.0 } => format!("= {}", number::show(of)),
        Bar::Near { of, tolerance } => {
            format!("{} ± {}", number::show(of), number::brief(tolerance))
        }
        Bar::AtMost(most) => format!("≤ {}", number::show(most)),
        Bar::AtLeast(least) => format!("≥ {}", number::show(least)),
        Bar::None => String::new(),
    }
}

impl Table {
    /// Header and rows for people, without the columns that no row fills. `source` is over the
    /// published values: a paper, an article.
    pub fn grid(&self, source: &'static str) -> (Vec<&'static str>, Vec<Vec<String>>) {
        let cells: Vec<[String; 5]> = self.rows.iter().map(cells).collect();
        let filled = |column: &usize| cells.iter().any(|row| !row[*column].is_empty());
        let columns: Vec<usize> = (0..5).filter(filled).collect();
        let header = ["what", source, "ours", "bar", "verdict"];
        let header = columns.iter().map(|c| header[*c]).collect();
        let row = |row: &[String; 5]| columns.iter().map(|c| row[*c].clone()).collect();
        (header, cells.iter().map(row).collect())
    }

    /// How many rows pass, of how many that have a bar.
    pub fn passes(&self) -> (usize, usize) {
        let with_bar = self.rows.iter().filter_map(Row::pass);
        (with_bar.clone().filter(|pass| *pass).count(), with_bar.count())
    }

    /// The rows, the charts as pictures beside the page, and the notes. The same table always
    /// makes the same text.
    pub fn markdown(&self, source: &'static str) -> String {
        let mut out = String::new();
        let (header, rows) = self.grid(source);
        if !rows.is_empty() {
            let sides = header.iter().map(|name| match *name {
                "what" | "verdict" => "---|",
                _ => "--:|",
            });
            let _ = writeln!(out, "| {} |\n|{}", header.join(" | "), sides.collect::<String>());
        }
        for row in rows {
            let cells: Vec<String> = row.iter().map(|cell| plain(cell)).collect();
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        for chart in &self.charts {
            let _ = writeln!(out, "\n![{}]({})", plain(&chart.title), chart.file());
        }
        if !self.notes.is_empty() {
            out.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(out, "- {}", plain(note));
        }
        out
    }
}

/// Text that means nothing to Markdown.
pub fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '|' | '*' | '`' | '[' | ']' | '\\' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chart::Chart;

    fn row(what: &str, ours: f64, bar: Bar) -> Row {
        Row { what: what.to_owned(), paper: Some(0.037), ours, se: 0.0012, bar }
    }

    #[test]
    fn a_table_reads_as_markdown() {
        let near = Bar::Near { of: 0.0368, tolerance: 0.0036 };
        let rows = vec![
            row("k = 2 | residue", 0.0371, near),
            row("worse", 0.5, Bar::AtMost(0.1)),
            row("lost", f64::NAN, Bar::AtLeast(0.1)),
            row("shown", 1.0, Bar::None),
        ];
        let chart =
            Chart { name: "a b/../c".to_owned(), title: "*T*".to_owned(), ..Chart::default() };
        let notes = vec!["1,000 sites.".to_owned()];
        let table = Table { title: String::new(), notes, rows, charts: vec![chart] };
        let expected = "\
| what | paper | ours | bar | verdict |
|---|--:|--:|--:|---|
| k = 2 \\| residue | 0.037 | 0.0371 ± 0.0012 | 0.0368 ± 0.0036 | PASS |
| worse | 0.037 | 0.5000 ± 0.0012 | ≤ 0.1 | FAIL |
| lost | 0.037 | none | ≥ 0.1 | FAIL |
| shown | 0.037 | 1.0000 ± 0.0012 |  |  |

![\\*T\\*](a-b----c.svg)

- 1,000 sites.
";
        assert_eq!(table.markdown("paper"), expected);
        assert_eq!((table.passes(), table.passed()), ((1, 3), false));
    }

    #[test]
    fn columns_that_nothing_fills_are_left_out() {
        let row = Row { paper: None, ..row("x", 1.0, Bar::None) };
        let table = Table { rows: vec![row], ..Table::default() };
        let (header, rows) = table.grid("article");
        assert_eq!(header, ["what", "ours"]);
        assert_eq!(rows, [["x", "1.0000 ± 0.0012"]]);
    }
}
