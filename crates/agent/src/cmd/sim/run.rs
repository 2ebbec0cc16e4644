//! Decides what `tidings sim run` takes and prints: one scenario, as JSON lines or a summary.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tidings_proto::Config;
use tidings_sim::scenario::document::{Document, Refusal};
use tidings_sim::scenario::outcome::{Line, Outcome, Summary};
use tidings_sim::scenario::{self, Scenario};
use tidings_sim::{report, script, setup};

use super::Effort;
use crate::cmd::{print, print_line};
use crate::{Failure, config};

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    /// Scenario in TOML, or a script (FILE.txt).
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Seed of all randomness, instead of the file's: equal seeds give equal traces.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Print one JSON object per line as things happen, the summary last.
    #[arg(long)]
    json: bool,
    /// Write a report with charts.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let text = read_file(&flags.file)?;
    if flags.file.extension().is_some_and(|x| x == "txt") {
        return run_script(flags, &text);
    }
    let scenario = read(&flags.file, &text)?;
    let outcome = play(flags, &scenario)?;
    if let Some(path) = &flags.html {
        write_report(path, &scenario, &outcome)?;
    }
    let summary = &outcome.summary;
    match flags.json {
        true => print_line(&summary.json())?,
        false => print(report::summary::text(&outcome).as_bytes())?,
    }
    judge(&outcome.file, summary)
}

pub(super) fn read_file(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::Misuse(format!("{}: {error}: expected a readable scenario file", path.display()))
    })
}

fn read(path: &Path, text: &str) -> Result<Scenario, Failure> {
    let read = || scenario_of(path, &Document::parse(&path.display().to_string(), text)?);
    read().map_err(|refusal: Refusal| Failure::Misuse(refusal.to_string()))
}

/// Agent files are found from the folder of the scenario.
pub(super) fn scenario_of(path: &Path, document: &Document) -> Result<Scenario, Refusal> {
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let load = |file: &Path| -> Result<Config, String> {
        config::gossip_of_file(&folder.join(file)).map_err(|failure| match failure {
            Failure::Misuse(why) | Failure::Failed(why) => why,
            Failure::PipeClosed => "closed".to_owned(),
        })
    };
    Scenario::of(document, &load)
}

/// Runs it, with JSON lines as they come, or a progress bar.
fn play(flags: &Flags, scenario: &Scenario) -> Result<Outcome, Failure> {
    let seed = flags.seed.unwrap_or(scenario.seed);
    let effort = Effort { jobs: Some(1), seed };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut written = Ok(());
    let mut started = Instant::now();
    let mut set_up = None;
    let mut outcome = effort.work(false, |work| {
        scenario::run(scenario, seed, work, &mut |line: Line| {
            if set_up.is_none() {
                // The first line comes when all nodes are there.
                set_up = Some(started.elapsed().as_secs_f64());
                started = Instant::now();
            }
            if flags.json && written.is_ok() {
                written = writeln!(out, "{}", line.json());
                if matches!(line, Line::Sample(_)) && written.is_ok() {
                    written = out.flush();
                }
                if written.is_err() {
                    work.stop.store(true, std::sync::atomic::Ordering::Relaxed);
                }
            }
        })
    });
    let wall = started.elapsed().as_secs_f64();
    let summary = &mut outcome.summary;
    (summary.set_up_seconds, summary.wall_seconds) = (set_up, Some(wall));
    summary.inputs_per_second = Some((summary.inputs as f64 / wall).round());
    summary.peak_mib = setup::peak_mib();
    written.and_then(|()| out.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::PipeClosed,
        _ => Failure::Failed(format!("standard output: {error}")),
    })?;
    Ok(outcome)
}

/// What was expected and did not happen is a failure, named with its line.
fn judge(file: &str, summary: &Summary) -> Result<(), Failure> {
    if summary.stopped {
        return Err(Failure::Failed("stopped before the end".to_owned()));
    }
    let missed: Vec<String> = summary
        .expectations
        .iter()
        .filter(|e| !e.pass)
        .map(|e| {
            let place = if e.line > 0 { format!("{file}:{}", e.line) } else { file.to_owned() };
            format!("{place}: expected {}, found {}", e.expected, e.found)
        })
        .collect();
    if missed.is_empty() { Ok(()) } else { Err(Failure::Failed(missed.join("\n"))) }
}

fn write_report(path: &Path, scenario: &Scenario, outcome: &Outcome) -> Result<(), Failure> {
    let html = report::run::html(scenario, outcome);
    std::fs::write(path, html)
        .map_err(|error| Failure::Failed(format!("--html {}: {error}", path.display())))
}

/// A script holds what it must print: it passes if that is what happens.
fn run_script(flags: &Flags, text: &str) -> Result<(), Failure> {
    if flags.html.is_some() || flags.seed.is_some() {
        let what = "--html and --seed are for scenarios: a script says its seed itself";
        return Err(Failure::Misuse(what.to_owned()));
    }
    let file = flags.file.display();
    let ran = script::run(text).map_err(|why| Failure::Misuse(format!("{file}:{why}")))?;
    let passed = ran.text == text;
    if flags.json {
        let hash = format!("{:032x}", ran.trace_hash);
        let summary = serde_json::json!({"summary": {"passed": passed, "trace_hash": hash}});
        print_line(&summary.to_string())?;
    } else {
        print(ran.text.as_bytes())?;
    }
    if passed {
        return Ok(());
    }
    let difference = script::difference(text, &ran.text);
    Err(Failure::Failed(format!("{file}: another trace than written:\n{difference}")))
}
