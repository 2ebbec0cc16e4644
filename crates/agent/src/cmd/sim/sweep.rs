//! Decides what `tidings sim sweep` takes and prints: a row for each finished cell, kept whatever
//! happens, and a summary.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tidings_sim::report;
use tidings_sim::scenario::document::{Document, Refusal};
use tidings_sim::scenario::sweep::{Cell, Plan};

use super::Effort;
use super::run::{read_file, scenario_of};
use crate::Failure;
use crate::cmd::print_line;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    /// Scenario with a [sweep].
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where rows go, one JSON object a line; run again to go on where it was stopped [default:
    /// FILE with .jsonl].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write an overview with charts.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Threads [default: all cores]; results do not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
}

pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let text = read_file(&flags.file)?;
    let read = || {
        let document = Document::parse(&flags.file.display().to_string(), &text)?;
        Plan::read(&document, &text, &|document| scenario_of(&flags.file, document))
    };
    let plan = read().map_err(|refusal: Refusal| Failure::Misuse(refusal.to_string()))?;
    let out = flags.out.clone().unwrap_or_else(|| flags.file.with_extension("jsonl"));
    let mut rows = earlier_rows(&plan, &out)?;
    let earlier = rows.len();
    let file = Mutex::new(reopen(&plan, &out, &mut rows)?);
    let todo: Vec<&Cell> = plan
        .sweep
        .cells
        .iter()
        .filter(|cell| !rows.iter().any(|(number, _)| *number == cell.number))
        .collect();
    let effort = Effort { jobs: flags.jobs, seed: 0 };
    let done = effort.work(false, |work| {
        work.map("cells", &todo, |cell| {
            let row = plan.run(cell, work)?;
            let mut file = file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            Some((cell.number, append(&mut file, &row).map(|()| row)))
        })
    });
    for (number, written) in done.into_iter().flatten().flatten() {
        rows.push((number, written.map_err(|error| unwritable(&out, &error))?));
    }
    let sorted = plan.sweep.sorted(&mut rows);
    replace(&out, &sorted)?;
    if let Some(path) = &flags.html {
        let html = report::sweep::html(&plan.sweep, &rows);
        std::fs::write(path, html)
            .map_err(|error| Failure::Failed(format!("--html {}: {error}", path.display())))?;
    }
    conclude(&plan, &out, &rows, earlier)
}

/// Rows of a run before this one, if the scenario is the same.
fn earlier_rows(plan: &Plan, out: &Path) -> Result<Vec<(usize, String)>, Failure> {
    let text = match std::fs::read_to_string(out) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unwritable(out, &error)),
    };
    let refuse = |why| Failure::Misuse(format!("--out {}: {why}", out.display()));
    let rows = plan.sweep.resume(&text).map_err(refuse)?;
    Ok(rows.kept.into_iter().map(|(cell, row)| (cell, row.to_owned())).collect())
}

/// The file with what is known, ready for more: a row that was cut off is gone.
fn reopen(plan: &Plan, out: &Path, rows: &mut [(usize, String)]) -> Result<File, Failure> {
    replace(out, &plan.sweep.sorted(rows))?;
    OpenOptions::new().append(true).open(out).map_err(|error| unwritable(out, &error))
}

/// In one step: a reader, or a process that is killed, never leaves half of it.
fn replace(out: &Path, text: &str) -> Result<(), Failure> {
    let mut fresh = out.as_os_str().to_owned();
    fresh.push(".new");
    std::fs::write(&fresh, text)
        .and_then(|()| std::fs::rename(&fresh, out))
        .map_err(|error| unwritable(out, &error))
}

/// One write, so that rows of two threads do not mix.
fn append(file: &mut File, row: &str) -> std::io::Result<()> {
    file.write_all(format!("{row}\n").as_bytes())
}

fn unwritable(out: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("--out {}: {error}", out.display()))
}

fn conclude(
    plan: &Plan,
    out: &Path,
    rows: &[(usize, String)],
    earlier: usize,
) -> Result<(), Failure> {
    let all = plan.sweep.cells.len();
    let (done, out) = (rows.len(), out.display());
    let what = format!("{done} of {all} cells in {out} ({earlier} from before)");
    if done < all {
        return Err(Failure::Failed(format!("stopped: {what}; run again to go on")));
    }
    let missed = |row: &str| {
        serde_json::from_str::<serde_json::Value>(row).is_ok_and(|row| row["passed"] == false)
    };
    let missed: Vec<usize> =
        rows.iter().filter(|(_, row)| missed(row)).map(|(cell, _)| *cell).collect();
    print_line(&what)?;
    match missed.first() {
        None => Ok(()),
        Some(first) => Err(Failure::Failed(format!(
            "{} of {all} cells miss what is expected, the first is cell {first}",
            missed.len()
        ))),
    }
}
