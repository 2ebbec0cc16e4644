//! Decides what `tidings sim reconcile` takes and prints.

use serde_json::json;
use tidings_proto::config::Reconciliation;
use tidings_sim::reconcile::page::{self, Measured};
use tidings_sim::reconcile::{Cost, Difference, Lacks, Replicas};

use crate::Failure;
use crate::cmd::print_line;
use crate::os::cpu_time;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    /// Keys of the two replicas together.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    keys: usize,
    /// Keys that one of the two lacks.
    #[arg(long, value_name = "D", default_value_t = 100)]
    diff: usize,
    /// Who lacks them: both (half of them each), first or second.
    #[arg(long, value_name = "WHO", default_value = "both", value_parser = lacks)]
    lacks: Lacks,
    /// How the difference is found: auto, sketch, merkle or digest.
    #[arg(long, value_name = "METHOD", default_value = "auto", value_parser = method)]
    method: Reconciliation,
    /// Nodes that wrote the keys [default: one for each hundred keys].
    #[arg(long, value_name = "W")]
    writers: Option<usize>,
    /// Seed of all randomness: equal seeds give equal bytes.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
    /// Print a page with all methods by how much differs, instead.
    #[arg(long, conflicts_with_all = ["json", "diff", "lacks", "method", "writers"])]
    page: bool,
}

fn method(text: &str) -> Result<Reconciliation, &'static str> {
    text.parse().map_err(|()| "expected auto, sketch, merkle or digest")
}

fn lacks(text: &str) -> Result<Lacks, &'static str> {
    match text {
        "both" => Ok(Lacks::Both),
        "first" => Ok(Lacks::First),
        "second" => Ok(Lacks::Second),
        _ => Err("expected both, first or second"),
    }
}

pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    if flags.page {
        return print_page(flags.keys, flags.seed);
    }
    let Flags { keys, diff, lacks, method, seed, .. } = *flags;
    let writers = flags.writers.unwrap_or_else(|| Difference::writers_for(keys));
    let difference = Difference { keys, differing: diff, lacks, writers, method, seed };
    difference.check().map_err(|error| Failure::Misuse(format!("--{error}")))?;
    let mut replicas = Replicas::new(&difference);
    let before = cpu_time();
    let cost = replicas.reconcile().map_err(Failure::Failed)?;
    let cpu_ms = (cpu_time() - before).as_secs_f64() * 1e3;
    print_line(&if flags.json { json_line(&cost, cpu_ms) } else { text(&cost, cpu_ms) })
}

fn print_page(keys: usize, seed: u64) -> Result<(), Failure> {
    let command = format!("tidings sim reconcile --page --keys {keys} --seed {seed}");
    let told = |run: &Measured| {
        let Measured { asked_for, differing, cost, .. } = run;
        eprintln!("{differing} differ, {asked_for}: {} bytes of metadata", cost.metadata_bytes);
    };
    let all = page::measure(keys, seed, cpu_time, told).map_err(Failure::Failed)?;
    print_line(page::markdown(keys, &all, &command).trim_end())?;
    match all.iter().filter(|run| run.pass() == Some(false)).count() {
        0 => Ok(()),
        failed => Err(Failure::Failed(format!("{failed} runs cost more than their bars"))),
    }
}

fn json_line(cost: &Cost, cpu_ms: f64) -> String {
    json!({
        "bytes": cost.bytes, "metadata_bytes": cost.metadata_bytes,
        "round_trips": cost.round_trips, "cpu_ms": (cpu_ms * 10.0).round() / 10.0,
        "method": cost.method, "symbols": cost.symbols,
        "asker_lacked": cost.asker_lacked, "asked_lacked": cost.asked_lacked,
    })
    .to_string()
}

fn text(cost: &Cost, cpu_ms: f64) -> String {
    let Cost { bytes, metadata_bytes, round_trips, method, symbols, .. } = cost;
    let Cost { asker_lacked, asked_lacked, .. } = cost;
    format!(
        "equal after {round_trips} round trips, found by {method}\n\
         the asking one lacked {asker_lacked} entries, the asked one {asked_lacked}\n\
         {bytes} bytes both ways, {metadata_bytes} of them besides the entries that were lacking\n\
         {symbols} symbols, {cpu_ms:.1} ms of CPU on both sides"
    )
}
