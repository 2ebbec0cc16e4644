//! Decides how a table of results comes out: for people, for scripts, and its charts as files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tidings_sim::paper::{Bar, Row, Table};
use tidings_sim::report::table::verdict;
use tidings_sim::work::Work;

use super::Effort;
use crate::Failure;
use crate::cmd::{print, print_line, table};

/// Flags of commands that run one experiment or all.
#[derive(clap::Args, Debug)]
pub(super) struct Showing {
    #[command(flatten)]
    pub(super) effort: Effort,
    /// Fewer runs and wider bars: seconds instead of minutes.
    #[arg(long)]
    pub(super) quick: bool,
    /// Directory for the charts, made where it is missing.
    #[arg(long, value_name = "DIR", default_value = "tidings-charts")]
    charts: PathBuf,
    /// Write no charts.
    #[arg(long, conflicts_with = "charts")]
    no_charts: bool,
    /// Print one JSON object per row, and a last one with the verdict.
    #[arg(long)]
    json: bool,
}

/// What a command runs, by the name that its rows carry.
pub(super) struct Experiment<'a> {
    pub(super) name: String,
    /// What people read above the table.
    pub(super) lead: String,
    /// What the published values are of.
    pub(super) source: &'static str,
    pub(super) run: &'a dyn Fn(&Work<'_>) -> Table,
}

impl Showing {
    /// Runs one after the other and shows each as it is done; fails if a row did.
    pub(super) fn run(&self, experiments: &[Experiment<'_>]) -> Result<(), Failure> {
        let mut failed = Vec::new();
        for one in experiments {
            let (found, stopped) = self.effort.work(self.quick, |work| {
                let found = (one.run)(work);
                (found, work.stopped())
            });
            self.show(one, &found)?;
            if stopped {
                return Err(Failure::Failed(format!("{}: stopped before its end", one.name)));
            }
            if !found.passed() {
                failed.push(one.name.clone());
            }
        }
        match failed.is_empty() {
            true => Ok(()),
            false => Err(Failure::Failed(format!("rows that fail: {}", failed.join(", ")))),
        }
    }

    fn show(&self, one: &Experiment<'_>, found: &Table) -> Result<(), Failure> {
        let charts = match self.no_charts {
            true => Vec::new(),
            false => write_charts(&self.charts, found)?,
        };
        match self.json {
            true => print(json_lines(&one.name, found, &charts).as_bytes()),
            false => print_line(&text(one, found, &charts)),
        }
    }
}

/// Writes each chart to its file; returns where they are.
pub(super) fn write_charts(dir: &Path, found: &Table) -> Result<Vec<PathBuf>, Failure> {
    let mut written = Vec::new();
    for chart in &found.charts {
        let path = dir.join(chart.file());
        write(&path, &chart.svg())?;
        written.push(path);
    }
    Ok(written)
}

/// Writes a file, and the directory that it is in.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, text))
        .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
}

fn text(one: &Experiment<'_>, found: &Table, charts: &[PathBuf]) -> String {
    let (header, rows) = found.grid(one.source);
    let (passed, of) = found.passes();
    let mut text = format!("{}\n\n{}\n\n", one.lead, table(&header, rows));
    for note in &found.notes {
        text.push_str(&format!("{note}\n"));
    }
    for chart in charts {
        text.push_str(&format!("chart: {}\n", chart.display()));
    }
    let verdict = if found.passed() { "PASS" } else { "FAIL" };
    format!("{text}{verdict}: {passed} of {of} rows with a bar meet it\n")
}

fn json_lines(name: &str, found: &Table, charts: &[PathBuf]) -> String {
    let mut lines: Vec<String> = found.rows.iter().map(|r| json_row(name, r).to_string()).collect();
    let (passed, of) = found.passes();
    let verdict = if found.passed() { "PASS" } else { "FAIL" };
    let charts: Vec<String> = charts.iter().map(|c| c.display().to_string()).collect();
    let summary = json!({"name": name, "title": found.title, "rows": found.rows.len(), "bars": of,
        "passed": passed, "verdict": verdict, "charts": charts, "notes": found.notes});
    lines.push(json!({ "summary": summary }).to_string());
    lines.join("\n") + "\n"
}

/// `low` and `high` are what the bar allows; `null` where it does not bound.
fn json_row(name: &str, row: &Row) -> Value {
    let (low, high, tolerance) = match row.bar {
        Bar::Near { of, tolerance } => {
            (Some(of - tolerance), Some(of + tolerance), Some(tolerance))
        }
        Bar::AtMost(most) => (None, Some(most), None),
        Bar::AtLeast(least) => (Some(least), None, None),
        Bar::None => (None, None, None),
    };
    json!({"name": name, "what": row.what, "paper": row.paper, "ours": row.ours, "se": row.se,
        "low": low, "high": high, "tolerance": tolerance, "verdict": verdict(row)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_out_for_people_and_for_scripts() {
        let near = Bar::Near { of: 2.0, tolerance: 0.5 };
        let row = |ours, bar| Row { what: "x".to_owned(), paper: Some(2.0), ours, se: 0.1, bar };
        let rows = vec![row(2.25, near), row(9.0, Bar::AtMost(8.0))];
        let notes = vec!["A note.".to_owned()];
        let found = Table { title: "T".to_owned(), notes, rows, charts: vec![] };
        let one = Experiment {
            name: "n".to_owned(),
            lead: "Lead.".to_owned(),
            source: "paper",
            run: &|_| Table::default(),
        };
        let text = text(&one, &found, &[PathBuf::from("c/a.svg")]);
        let expected = "what  paper  ours         bar      verdict\n\
                        x     2      2.25 ± 0.10  2 ± 0.5  PASS\n\
                        x     2      9.00 ± 0.10  ≤ 8      FAIL";
        let squeezed = |t: &str| t.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed(&text).contains(&squeezed(expected)), "{text}");
        assert!(text.ends_with("A note.\nchart: c/a.svg\nFAIL: 1 of 2 rows with a bar meet it\n"));
        let lines: Vec<Value> = json_lines("n", &found, &[])
            .lines()
            .map(|l| serde_json::from_str(l).expect("JSON on one line"))
            .collect();
        assert_eq!(
            (lines.len(), &lines[0]["verdict"], &lines[1]["verdict"]),
            (3, &json!("PASS"), &json!("FAIL"))
        );
        assert_eq!((&lines[0]["low"], &lines[1]["low"]), (&json!(1.5), &Value::Null));
        assert_eq!(lines[2]["summary"]["verdict"], "FAIL");
    }
}
