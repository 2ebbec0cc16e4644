//! Decides how a scenario is run over a grid: which values each cell has, what its row says, and
//! which rows of an earlier run still hold.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;

use serde::Serialize;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::document::{Document, Entry, Item, Refusal, Section, Value};
use super::outcome::Summary;
use super::value;
use super::{SWEEP_KEYS, Scenario, TOP_KEYS, play};
use crate::work::Work;

/// A grid over one scenario.
pub struct Sweep {
    pub file: String,
    /// Of all that decides the rows: the file, the agents' settings, this program's version.
    pub hash: String,
    pub axes: Vec<Axis>,
    pub cells: Vec<Cell>,
}

/// One parameter and its values.
#[derive(Clone, Debug)]
pub struct Axis {
    pub path: String,
    pub values: Vec<Item>,
}

/// One run: a point of the grid and a seed.
pub struct Cell {
    pub number: usize,
    pub seed: u64,
    /// The position of its value on each axis.
    pub place: Vec<usize>,
    scenario: usize,
}

/// The cells of a sweep with the scenarios that they run.
pub struct Plan {
    pub sweep: Sweep,
    scenarios: Vec<Scenario>,
}

/// First line of the rows.
#[derive(Serialize)]
struct Header<'a> {
    file: &'a str,
    scenario_hash: &'a str,
    cells: usize,
}

const CELLS_MAX: usize = 100_000;

impl Plan {
    /// Reads the grid and every point of it, so that a value that cannot be is refused before
    /// anything runs. `scenario` reads a document as [`Scenario::of`] does.
    pub fn read(
        document: &Document,
        text: &str,
        scenario: &dyn Fn(&Document) -> Result<Scenario, Refusal>,
    ) -> Result<Plan, Refusal> {
        let top = document.section(&TOP_KEYS)?;
        let base = top.optional("seed", "a whole number, 0 or more", value::whole(0, u64::MAX))?;
        let Some(section) = top.table("sweep", "sweep.", &SWEEP_KEYS)? else {
            let what = "no [sweep]: expected seeds, and a grid in [sweep.grid]".to_owned();
            return Err(document.refuse(1, what));
        };
        let seeds = seeds(&section, base.unwrap_or(1))?;
        let axes = axes(&section)?;
        let points: usize = axes.iter().map(|axis| axis.values.len()).product();
        let count = points.saturating_mul(seeds.len());
        if count > CELLS_MAX {
            let what = format!("sweep: {count} cells: expected at most {CELLS_MAX}");
            return Err(document.refuse(section.line, what));
        }
        let mut plan = Plan {
            sweep: Sweep {
                file: document.file.clone(),
                hash: String::new(),
                axes,
                cells: Vec::with_capacity(count),
            },
            scenarios: Vec::with_capacity(points),
        };
        for point in 0..points {
            let place = plan.sweep.place_of(point);
            let mut document = document.clone();
            for (axis, at) in plan.sweep.axes.iter().zip(&place) {
                document.set(&axis.path, axis.values[*at].clone())?;
            }
            plan.scenarios.push(scenario(&document)?);
            for &seed in &seeds {
                let number = plan.sweep.cells.len();
                let cell = Cell { number, seed, place: place.clone(), scenario: point };
                plan.sweep.cells.push(cell);
            }
        }
        plan.sweep.hash = hash(text, &plan.scenarios);
        Ok(plan)
    }

    /// Runs one cell; its row, or nothing where it was stopped.
    pub fn run(&self, cell: &Cell, work: &Work<'_>) -> Option<String> {
        let quiet = Work { jobs: 1, progress: &|_, _, _| {}, ..*work };
        let outcome = play::run(&self.scenarios[cell.scenario], cell.seed, &quiet, &mut |_| {});
        (!outcome.summary.stopped).then(|| self.sweep.row(cell, &outcome.summary))
    }
}

impl Sweep {
    pub fn header(&self) -> String {
        let (file, scenario_hash) = (self.file.as_str(), self.hash.as_str());
        let header = Header { file, scenario_hash, cells: self.cells.len() };
        serde_json::json!({ "sweep": header }).to_string()
    }

    fn row(&self, cell: &Cell, summary: &Summary) -> String {
        let parameters: BTreeMap<&str, serde_json::Value> = self
            .axes
            .iter()
            .zip(&cell.place)
            .map(|(axis, at)| (axis.path.as_str(), value::json(&axis.values[*at].value)))
            .collect();
        serde_json::json!({
            "cell": cell.number,
            "parameters": parameters,
            "seed": cell.seed,
            "passed": summary.passed(),
            "summary": summary,
        })
        .to_string()
    }

    /// Where the n-th point is on each axis; the last axis turns fastest.
    fn place_of(&self, point: usize) -> Vec<usize> {
        let mut rest = point;
        let mut place = vec![0; self.axes.len()];
        for (at, axis) in place.iter_mut().zip(&self.axes).rev() {
            *at = rest % axis.values.len();
            rest /= axis.values.len();
        }
        place
    }

    /// Looks through the text of earlier rows. A row that was cut off is dropped; anything else
    /// that does not belong is refused.
    pub fn resume<'a>(&self, text: &'a str) -> Result<Rows<'a>, String> {
        let mut rows = Rows { kept: Vec::new(), done: BTreeSet::new() };
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut lines = whole.lines();
        let Some(header) = lines.next() else { return Ok(rows) };
        let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok();
        let found =
            read(header).and_then(|h| Some(h["sweep"]["scenario_hash"].as_str()?.to_owned()));
        match found {
            Some(found) if found == self.hash => {}
            Some(found) => {
                return Err(format!(
                    "rows of another scenario ({found}): expected those of {} as it is now ({}), or a new file",
                    self.file, self.hash
                ));
            }
            None => return Err("no rows of a sweep: expected a new file".to_owned()),
        }
        for (number, line) in lines.enumerate() {
            let cell = read(line).and_then(|row| row["cell"].as_u64()).map(|cell| cell as usize);
            let Some(cell) = cell.filter(|cell| *cell < self.cells.len()) else {
                return Err(format!(
                    "line {}: no row of this sweep: expected a new file",
                    number + 2
                ));
            };
            if rows.done.insert(cell) {
                rows.kept.push((cell, line));
            }
        }
        Ok(rows)
    }

    /// The file as it is when all is done: in the order of the cells, whatever finished first.
    pub fn sorted(&self, rows: &mut [(usize, String)]) -> String {
        rows.sort_by_key(|(cell, _)| *cell);
        let mut text = self.header();
        text.push('\n');
        for (_, row) in rows {
            text.push_str(row);
            text.push('\n');
        }
        text
    }
}

/// Rows of an earlier run.
pub struct Rows<'a> {
    pub kept: Vec<(usize, &'a str)>,
    pub done: BTreeSet<usize>,
}

fn hash(text: &str, scenarios: &[Scenario]) -> String {
    let mut hasher = SipHasher13::new();
    hasher.write(env!("CARGO_PKG_VERSION").as_bytes());
    hasher.write(text.as_bytes());
    for member in scenarios.iter().flat_map(|s| &s.cast.members) {
        hasher.write(format!("{:?}", member.config).as_bytes());
    }
    format!("{:032x}", hasher.finish128().as_u128())
}

fn seeds(section: &Section<'_>, base: u64) -> Result<Vec<u64>, Refusal> {
    const SEEDS: &str = "how many seeds, or a list of them";
    let read = |v: &Value| match v {
        Value::Whole(_) => {
            let count = value::whole(1, 10_000)(v)?;
            Some((0..count).map(|n| base.wrapping_add(n)).collect())
        }
        Value::List(items) if !items.is_empty() => {
            items.iter().map(|item| value::whole(0, u64::MAX)(&item.value)).collect()
        }
        _ => None,
    };
    Ok(section.optional("seeds", SEEDS, read)?.unwrap_or_else(|| vec![base]))
}

fn axes(section: &Section<'_>) -> Result<Vec<Axis>, Refusal> {
    const GRID: &str = "a table of key paths, as in \"network.loss\" = [0.0, 0.1]";
    let mut axes = Vec::new();
    match section.item("grid") {
        None => {}
        Some(Item { value: Value::Table(entries), .. }) => {
            for entry in entries {
                read_axis(section, &entry.key, entry, &mut axes)?;
            }
        }
        Some(item) => return Err(section.refuse_value("grid", item, GRID)),
    }
    Ok(axes)
}

/// A list, or a range; any other table is part of a path with dots.
fn read_axis(
    section: &Section<'_>,
    path: &str,
    entry: &Entry,
    axes: &mut Vec<Axis>,
) -> Result<(), Refusal> {
    const VALUES: &str = "a list of values, or { from = 10, to = 100, step = 10 }";
    let refuse = |what: String| Err(section.document.refuse(entry.line, what));
    let values = match &entry.item.value {
        Value::List(items) if !items.is_empty() => Some(items.clone()),
        Value::Table(ends) if ends.iter().any(|e| e.key == "from") => range(ends, entry.line),
        Value::Table(entries) if !entries.is_empty() => {
            for entry in entries {
                read_axis(section, &format!("{path}.{}", entry.key), entry, axes)?;
            }
            return Ok(());
        }
        _ => None,
    };
    let Some(values) = values else {
        return refuse(format!("sweep.grid.{path} = {}: expected {VALUES}", entry.item.value));
    };
    if path.split('.').next() == Some("sweep") || path == "seed" {
        return refuse(format!(
            "sweep.grid.{path}: expected a key of the scenario but seed and sweep"
        ));
    }
    axes.push(Axis { path: path.to_owned(), values });
    Ok(())
}

fn range(ends: &[Entry], line: usize) -> Option<Vec<Item>> {
    let end = |key: &str| ends.iter().find(|e| e.key == key).map(|e| &e.item.value);
    let (from, to, step) = (end("from")?, end("to")?, end("step")?);
    let (first, last, by) = (value::number(from)?, value::number(to)?, value::positive(step)?);
    let count = ((last - first) / by + 1e-9).floor();
    if ends.len() != 3 || !(0.0..CELLS_MAX as f64).contains(&count) {
        return None;
    }
    let whole = matches!((from, step), (Value::Whole(_), Value::Whole(_)));
    let at = |n: usize| {
        let number = first + by * n as f64;
        // A decimal of the file's kind, not the nearest binary fraction of a sum.
        let number = (number * 1e9).round() / 1e9;
        if whole { Value::Whole(number as i64) } else { Value::Number(number) }
    };
    Some((0..=count as usize).map(|n| Item { line, value: at(n) }).collect())
}
