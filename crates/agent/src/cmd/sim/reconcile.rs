//! Decides what `tidings sim reconcile` takes and prints.

use serde_json::json;
use tidings_proto::config::Reconciliation;
use tidings_sim::reconcile::{Cost, Difference, Replicas};

use crate::Failure;
use crate::cmd::print_line;
use crate::os::cpu_time;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    /// Keys of the two replicas together.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    keys: usize,
    /// Keys that one of the two lacks: each half of them, the asker the odd one.
    #[arg(long, value_name = "D", default_value_t = 100)]
    diff: usize,
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
}

fn method(text: &str) -> Result<Reconciliation, &'static str> {
    text.parse().map_err(|()| "expected auto, sketch, merkle or digest")
}

pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let Flags { keys, diff, method, seed, .. } = *flags;
    let writers = flags.writers.unwrap_or_else(|| Difference::writers_for(keys));
    let difference = Difference { keys, differing: diff, writers, method, seed };
    difference.check().map_err(|error| Failure::Misuse(format!("--{error}")))?;
    let mut replicas = Replicas::new(&difference);
    let before = cpu_time();
    let cost = replicas.reconcile().map_err(Failure::Failed)?;
    let cpu_ms = (cpu_time() - before).as_secs_f64() * 1e3;
    print_line(&if flags.json { json_line(&cost, cpu_ms) } else { text(&cost, cpu_ms) })
}

fn json_line(cost: &Cost, cpu_ms: f64) -> String {
    json!({
        "bytes": cost.bytes, "metadata_bytes": cost.metadata_bytes,
        "round_trips": cost.round_trips, "cpu_ms": (cpu_ms * 10.0).round() / 10.0,
        "method": cost.method, "symbols": cost.symbols,
    })
    .to_string()
}

fn text(cost: &Cost, cpu_ms: f64) -> String {
    let Cost { bytes, metadata_bytes, round_trips, method, symbols, .. } = cost;
    format!(
        "equal after {round_trips} round trips, found by {method}\n\
         {bytes} bytes both ways, {metadata_bytes} of them besides the entries that were lacking\n\
         {symbols} symbols, {cpu_ms:.1} ms of CPU on both sides"
    )
}
