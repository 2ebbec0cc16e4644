//! Decides what the overview of a sweep shows: a chart for each figure over the first parameter, a
//! line for each value of the second, and every cell in a table.

use std::collections::BTreeMap;

use serde_json::Value;

use super::chart::{Axis, Chart, Series, Style};
use super::html::{Report, Section};
use super::number::{brief, show};
use crate::scenario::sweep::Sweep;
use crate::scenario::value;
use crate::statistics::Summary;

/// What is drawn of each cell: title, unit, and where it stands in the row's summary.
const FIGURES: [(&str, &str, &str); 8] = [
    ("Convergence, p50", "seconds", "/convergence/p50"),
    ("Convergence, p99", "seconds", "/convergence/p99"),
    ("Delivery to each node, mean", "seconds", "/delivery/mean"),
    ("First detection, p50", "seconds", "/detection/first_p50"),
    ("Detection by all, p50", "seconds", "/detection/all_p50"),
    ("Bytes per node and second", "bytes", "/traffic/bytes_per_node_second"),
    ("Datagrams per node and second", "datagrams", "/traffic/datagrams_per_node_second"),
    ("False deaths", "reports", "/false_deaths"),
];
/// More lines than these are not told apart.
const LINES_MAX: usize = 8;
const ROWS_MAX: usize = 1000;

/// The page of a sweep, of rows in the order of their cells.
pub fn html(sweep: &Sweep, rows: &[(usize, String)]) -> String {
    let read: Vec<(usize, Value)> = rows
        .iter()
        .filter_map(|(cell, row)| Some((*cell, serde_json::from_str(row).ok()?)))
        .collect();
    let passed = read.iter().filter(|(_, row)| row["passed"] == Value::Bool(true)).count();
    let lead = format!(
        "{} of {} cells are done; {passed} of them show what is expected.",
        read.len(),
        sweep.cells.len()
    );
    let mut sections = Vec::new();
    if (1..=2).contains(&sweep.axes.len()) {
        let charts = FIGURES.iter().filter_map(|figure| chart(sweep, &read, figure)).collect();
        sections.push(Section {
            heading: "Over the grid".to_owned(),
            text: "Means over the seeds; bars are the standard error of the mean.".to_owned(),
            table: None,
            charts,
        });
    }
    sections.push(cells(sweep, &read));
    Report { title: format!("Sweep {}", sweep.file), lead, sections }.html()
}

/// One figure; `None` where no cell has it, or all have the same.
fn chart(
    sweep: &Sweep,
    rows: &[(usize, Value)],
    (title, unit, pointer): &(&str, &str, &str),
) -> Option<Chart> {
    // Of each line (second axis) and place on the first axis: the values of all seeds.
    let mut samples: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for (cell, row) in rows {
        let place = &sweep.cells[*cell].place;
        let line = place.get(1).copied().unwrap_or(0);
        if let Some(found) = row["summary"].pointer(pointer).and_then(Value::as_f64) {
            samples.entry((line, place[0])).or_default().push(found);
        }
    }
    let first = samples.values().next()?[0];
    if samples.values().flatten().all(|v| *v == first) {
        return None;
    }
    let axis = &sweep.axes[0];
    let numbers: Option<Vec<f64>> = axis.values.iter().map(|v| value::number(&v.value)).collect();
    let x = match numbers {
        Some(_) => Axis::linear(&axis.path),
        None => Axis::named(&axis.path, axis.values.iter().map(|v| value::shown(&v.value))),
    };
    let lines = sweep.axes.get(1).map_or(1, |second| second.values.len());
    let series = (0..lines.min(LINES_MAX)).map(|line| {
        let label = match sweep.axes.get(1) {
            Some(second) => {
                format!("{} = {}", second.path, value::shown(&second.values[line].value))
            }
            None => (*title).to_owned(),
        };
        let (mut points, mut errors) = (Vec::new(), Vec::new());
        for at in 0..axis.values.len() {
            if let Some(sample) = samples.get(&(line, at)) {
                let s = Summary::of(&mut sample.clone());
                let place = numbers.as_ref().map_or(at as f64, |n| n[at]);
                points.push((place, s.mean));
                errors.push(s.se);
            }
        }
        Series::new(label, Style::Line, points).with_errors(errors)
    });
    Some(Chart {
        name: pointer.trim_start_matches('/').replace('/', "-"),
        title: (*title).to_owned(),
        x,
        y: Axis::linear(unit),
        series: series.collect(),
    })
}

fn cells(sweep: &Sweep, rows: &[(usize, Value)]) -> Section {
    let mut header = vec!["cell".to_owned()];
    header.extend(sweep.axes.iter().map(|axis| axis.path.clone()));
    header.push("seed".to_owned());
    header.extend(FIGURES.iter().map(|(title, _, _)| (*title).to_owned()));
    header.push("verdict".to_owned());
    let table = rows.iter().take(ROWS_MAX).map(|(cell, row)| {
        let known = &sweep.cells[*cell];
        let mut cells = vec![cell.to_string()];
        let places = sweep.axes.iter().zip(&known.place);
        cells.extend(places.map(|(axis, at)| value::shown(&axis.values[*at].value)));
        cells.push(known.seed.to_string());
        cells.extend(FIGURES.iter().map(|(_, _, pointer)| {
            let found = row["summary"].pointer(pointer).and_then(Value::as_f64);
            found.map_or_else(String::new, |v| if v.fract() == 0.0 { show(v) } else { brief(v) })
        }));
        let passed = row["passed"] == Value::Bool(true);
        cells.push(if passed { "PASS" } else { "FAIL" }.to_owned());
        cells
    });
    Section {
        heading: "Cells".to_owned(),
        table: Some((header, table.collect())),
        ..Section::default()
    }
}
