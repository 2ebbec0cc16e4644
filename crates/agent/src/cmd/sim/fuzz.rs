//! Decides what `tidings sim fuzz` takes and prints.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use tidings_sim::statistics::Summary;
use tidings_sim::swarm::{
    Broken, NEWEST, NO_RULE, Passed, Scenario, Tally, hunt, run_scenario, shrink,
};
use tidings_sim::trace::Text;
use tidings_sim::work::Work;

use super::Effort;
use crate::Failure;
use crate::cmd::print_line;

/// Failing scenarios made smaller in one go; the others have their replay lines.
const SHRUNK_MAX: usize = 5;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    /// Seeds to run, the last one excluded.
    #[arg(long, value_name = "A..B", value_parser = seeds, required_unless_present = "replay")]
    seeds: Option<Range<u64>>,
    /// Which meaning of the seeds: a replay line names it.
    #[arg(long, value_name = "N", default_value_t = NEWEST)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(NEWEST)))]
    generation: u32,
    /// Run the scenario of a file instead, as --shrink writes it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "generation"])]
    replay: Option<PathBuf>,
    /// Threads [default: all cores]; results do not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Make failing scenarios smaller and write them to files in the working directory.
    #[arg(long)]
    shrink: bool,
    /// Runs that making one scenario smaller may take.
    #[arg(long, value_name = "N", default_value_t = 500)]
    tries: usize,
    /// With a failure, print what happened in it.
    #[arg(long)]
    text: bool,
    /// Print one JSON object a line: each failure, then the summary.
    #[arg(long)]
    json: bool,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let range = text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    range
        .filter(|r: &Range<u64>| r.start < r.end && r.end <= i64::MAX as u64)
        .ok_or_else(|| "expected A..B with A less than B, as 0..1000".to_owned())
}

pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let effort = Effort { jobs: flags.jobs, seed: 0 };
    match &flags.replay {
        Some(path) => replay(flags, &effort, path),
        None => effort.work(false, |work| many(flags, work)),
    }
}

/// What is printed on the way is not worth ending a hunt for.
fn say(text: &str) {
    let _ = print_line(text);
}

fn text(flags: &Flags) -> Text {
    if flags.text { Text::Events } else { Text::Off }
}

fn many(flags: &Flags, work: &Work<'_>) -> Result<(), Failure> {
    let started = Instant::now();
    let range = flags.seeds.clone().expect("clap asks for seeds or a file");
    let asked = range.end - range.start;
    let tally = hunt(work, flags.generation, range, text(flags), &|broken| tell(flags, broken));
    summarize(flags, &tally, asked, started.elapsed());
    if flags.shrink {
        for broken in tally.broken.iter().take(SHRUNK_MAX) {
            make_smaller(flags, work, broken)?;
        }
    }
    match tally.broken.len() {
        0 => Ok(()),
        n => Err(Failure::Failed(format!("{n} of {} scenarios broke a rule", tally.run))),
    }
}

/// One failure, as soon as it is found.
fn tell(flags: &Flags, broken: &Broken) {
    if flags.json {
        let options = &broken.scenario.options;
        let lines = if flags.text { json!(broken.lines) } else { json!(null) };
        let command = broken.to_string();
        let replay = command.split(" #").next().unwrap_or_default();
        say(&json!({"failure": {
            "seed": options.seed, "generation": options.generation, "rule": broken.rule,
            "replay": replay, "lines": lines,
        }})
        .to_string());
        return;
    }
    let lines = if flags.text { broken.lines.as_slice() } else { &[] };
    let told: Vec<String> = lines.iter().cloned().chain([broken.to_string()]).collect();
    say(&told.join("\n"));
}

fn summarize(flags: &Flags, tally: &Tally, asked: u64, took: Duration) {
    let seconds = took.as_secs_f64();
    let per_second = tally.run as f64 / seconds.max(1e-9);
    let mut shares = tally.shares.clone();
    let share = (!shares.is_empty()).then(|| Summary::of(&mut shares));
    let mut healed = tally.seconds.clone();
    let healed = (!healed.is_empty()).then(|| Summary::of(&mut healed));
    if flags.json {
        let quantiles = |s: Option<Summary>| {
            s.map(|s| json!({"p50": s.p50, "p99": s.p99, "p999": s.p999, "max": s.max}))
        };
        say(&json!({"summary": {
            "seeds": tally.run, "asked": asked, "generation": flags.generation,
            "failed": tally.broken.len(), "rules": tally.by_rule(),
            "seconds": seconds, "seeds_per_second": per_second, "inputs": tally.inputs,
            "session_acts": tally.served, "session_stale": tally.stale,
            "share_of_bound": quantiles(share), "closest_to_bound": tally.closest, "equal_after_seconds": quantiles(healed),
        }})
        .to_string());
        return;
    }
    let mut line = format!(
        "{} of {asked} seeds run, {} failed; {per_second:.1} seeds/s, {:.1} million inputs",
        tally.run,
        tally.broken.len(),
        tally.inputs as f64 / 1e6
    );
    for (rule, times) in tally.by_rule() {
        line.push_str(&format!("\n  {rule}: {times}"));
    }
    if let Some((share, healed)) = share.zip(healed) {
        line.push_str(&format!(
            "\nequal after {:.1} s (median), {:.1} s (p99), {:.1} s (longest); of the bound: {:.0} %, \
             {:.0} %, {:.0} %",
            healed.p50, healed.p99, healed.max, share.p50 * 100.0, share.p99 * 100.0,
            share.max * 100.0
        ));
    }
    say(&line);
}

fn make_smaller(flags: &Flags, work: &Work<'_>, broken: &Broken) -> Result<(), Failure> {
    let options = &broken.scenario.options;
    let smaller = shrink(broken, flags.tries, NO_RULE, &|| work.stopped());
    let (before, after) = smaller.steps;
    let path = format!("tidings-fuzz-{}-{}.json", options.generation, options.seed);
    if !smaller.repeats {
        say(&format!("seed {}: not repeated from its list of steps", options.seed));
        return Ok(());
    }
    std::fs::write(&path, smaller.scenario.to_text())
        .map_err(|e| Failure::Failed(format!("cannot write {path}: {e}")))?;
    if flags.json {
        say(&json!({"smaller": {
            "seed": options.seed, "file": path, "tries": smaller.tries, "rule": smaller.rule,
            "steps_before": before, "steps": after,
            "nodes_before": options.nodes, "nodes": smaller.scenario.options.nodes,
        }})
        .to_string());
    } else {
        say(&format!(
            "seed {}: {before} steps on {} nodes became {after} on {} in {} runs:\n  \
             tidings sim fuzz --replay {path} --text # {}",
            options.seed,
            options.nodes,
            smaller.scenario.options.nodes,
            smaller.tries,
            smaller.rule
        ));
    }
    Ok(())
}

fn replay(flags: &Flags, effort: &Effort, path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let file = std::fs::read_to_string(path)
        .map_err(|e| Failure::Misuse(format!("cannot read {shown}: {e}")))?;
    let scenario = Scenario::parse(&file).map_err(|e| Failure::Misuse(format!("{shown}: {e}")))?;
    match run_scenario(&scenario, text(flags), NO_RULE) {
        Ok(passed) => {
            tell_passed(flags, &passed);
            Ok(())
        }
        Err(broken) => {
            tell(flags, &broken);
            if flags.shrink {
                effort.work(false, |work| make_smaller(flags, work, &broken))?;
            }
            Err(Failure::Failed(format!("{shown}: {}", broken.rule)))
        }
    }
}

fn tell_passed(flags: &Flags, passed: &Passed) {
    let Passed { trace, healed, inputs, served, stale } = passed;
    let took = healed.map(|h| h.took.as_secs_f64());
    let bound = healed.map(|h| h.bound.as_secs_f64());
    if flags.json {
        let trace = format!("{trace:032x}");
        say(&json!({"passed": {
            "trace_hash": trace, "inputs": inputs, "equal_after_seconds": took,
            "bound_seconds": bound, "session_acts": served, "session_stale": stale,
        }})
        .to_string());
        return;
    }
    let equal = match took.zip(bound) {
        Some((took, bound)) => format!("equal after {took:.1} s, bound {bound:.1} s"),
        None => "equality is not asked for".to_owned(),
    };
    say(&format!("no rule is broken; {equal}; {inputs} inputs, trace {trace:032x}"));
}
