//! Decides what `tidings sim run` takes and prints: one scenario, as JSON lines or a summary.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tidings_proto::Config;
use tidings_sim::scenario::document::{Document, Refusal};
use tidings_sim::scenario::outcome::{Line, Outcome, Quantiles, Summary};
use tidings_sim::scenario::{self, Scenario};
use tidings_sim::{script, setup};

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
        false => print(describe(&outcome).as_bytes())?,
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
    let started = Instant::now();
    let mut outcome = effort.work(false, |work| {
        scenario::run(scenario, seed, work, &mut |line: Line| {
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
    summary.wall_seconds = Some(wall);
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
    let html = tidings_sim::report::run::html(scenario, outcome);
    std::fs::write(path, html)
        .map_err(|error| Failure::Failed(format!("--html {}: {error}", path.display())))
}

/// The summary for a terminal.
fn describe(outcome: &Outcome) -> String {
    let s = &outcome.summary;
    let mut text = format!("{} (seed {})\n", outcome.file, s.seed);
    let mut row = |name: &str, what: String| text.push_str(&format!("  {name:<14}{what}\n"));
    let wall = s.wall_seconds.unwrap_or_default();
    let speed = s.virtual_seconds / wall.max(1e-9);
    row(
        "ran",
        format!(
            "{} nodes for {} s in {wall:.2} s ({speed:.1} x real time), {} inputs, {:.0} a second, {} MiB",
            s.nodes,
            s.virtual_seconds,
            s.inputs,
            s.inputs_per_second.unwrap_or_default(),
            s.peak_mib.unwrap_or_default()
        ),
    );
    if s.updates.made > 0 {
        let u = &s.updates;
        row(
            "updates",
            format!("{} made, {} reached all, {} did not", u.made, u.reached, u.unreached),
        );
        row("to all", quantiles(&s.convergence));
        row("to each", quantiles(&s.delivery));
        let mean = s.hops_mean.map_or_else(|| "unknown".to_owned(), |h| format!("{h:.2} mean"));
        row("hops", format!("{mean}, {} most", s.hops_max));
    }
    if s.joins.made > 0 {
        row(
            "joins",
            format!(
                "{} made, {} known to all: {}",
                s.joins.made,
                s.joins.reached,
                quantiles(&s.join_seconds)
            ),
        );
    }
    if s.detection.departures > 0 {
        let d = &s.detection;
        let (first, all) = (pair(d.first_p50, d.first_max), pair(d.all_p50, d.all_max));
        let (ends, missed) = (d.departures, d.undetected);
        row("ends", format!("{ends}, {missed} not noticed by all; by one {first}; by all {all}"));
    }
    row("false deaths", format!("{} ({} confirmed)", s.false_deaths, s.false_deaths_confirmed));
    let t = &s.traffic;
    let causes: Vec<String> = t
        .by_cause
        .iter()
        .filter(|(_, bytes)| **bytes >= 0.05)
        .map(|(cause, bytes)| format!("{cause} {bytes:.1}"))
        .collect();
    row(
        "traffic",
        format!(
            "{:.2} datagrams and {:.1} B per node and second: {}",
            t.datagrams_per_node_second,
            t.bytes_per_node_second,
            causes.join(", ")
        ),
    );
    row(
        "duplicates",
        format!("{} rumours, {} B, of {} sent", t.duplicates, t.duplicate_bytes, t.rumours_sent),
    );
    let equal = s.equal_seconds.map_or_else(
        || format!("not equal: {} groups", s.groups_at_end),
        |seconds| format!("all equal {seconds:.1} s after the last action"),
    );
    row(
        "at the end",
        format!("{equal}; each lists {} to {} alive", s.alive_at_end.0, s.alive_at_end.1),
    );
    for violation in &s.violations {
        row("BROKEN RULE", violation.clone());
    }
    for e in s.expectations.iter().filter(|e| e.line > 0) {
        let verdict = if e.pass { "pass" } else { "FAIL" };
        row(verdict, format!("line {}: {}: {}", e.line, e.expected, e.found));
    }
    row("trace", s.trace_hash.clone());
    text
}

fn quantiles(q: &Quantiles) -> String {
    let (Some(mean), Some(p50), Some(p99), Some(max)) = (q.mean, q.p50, q.p99, q.max) else {
        return "none".to_owned();
    };
    format!("{mean:.3} s mean, {p50:.3} p50, {p99:.3} p99, {max:.3} most")
}

fn pair(p50: Option<f64>, max: Option<f64>) -> String {
    match (p50, max) {
        (Some(p50), Some(max)) => format!("{p50:.3} s p50, {max:.3} most"),
        _ => "never".to_owned(),
    }
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
