//! Decides what `tidings sim epidemic` takes and prints.

use serde_json::json;
use tidings_sim::epidemic::{
    Engine, FANOUT_MAX, LOSS_MAX, Mode, NODES_MAX, Setting, Spread, baseline, chain, jittered,
    rounds, sample,
};

use super::Effort;
use crate::Failure;
use crate::cmd::{print_line, table};

/// Node by node, memory is a bit a node, but time is what it is.
const NODE_LEVEL_MAX: u64 = 1_000_000;
/// `auto` goes node by node up to this many nodes in all runs together: seconds.
const NODE_LEVEL_WORK: u64 = 100_000_000;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    /// How the update spreads; broadcast and sequential are what gossip is compared with.
    #[arg(long, value_name = "MODE", default_value = "push-pull", value_parser = way)]
    #[arg(
        help = "push, pull or push-pull; or broadcast, sequential: what gossip is compared with"
    )]
    mode: Way,
    /// Whom a node calls in a round.
    #[arg(long, value_name = "K", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(FANOUT_MAX)))]
    fanout: u32,
    /// How many nodes there are.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=NODES_MAX))]
    nodes: u64,
    /// Share of messages that are lost.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = loss)]
    #[arg(allow_negative_numbers = true)]
    loss: f64,
    /// How often it is run.
    #[arg(long, value_name = "R", default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    runs: u64,
    /// Whether all nodes call at once, or each at a time of its own in the period.
    #[arg(long, value_name = "TIMERS", default_value = "synchronous", value_parser = timers)]
    timers: Timers,
    /// Node by node (up to 10^6 nodes), or as a chain of counts (synchronous timers). What is
    /// right and quick is chosen by itself.
    #[arg(long, value_name = "auto|node|chain", default_value = "auto", value_parser = level)]
    level: Level,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    effort: Effort,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Gossip(Mode),
    Broadcast,
    Sequential,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Timers {
    Synchronous,
    Jittered,
}

#[derive(Clone, Copy, Debug)]
enum Level {
    Auto,
    Node,
    Chain,
}

fn way(text: &str) -> Result<Way, String> {
    match text {
        "broadcast" => Ok(Way::Broadcast),
        "sequential" => Ok(Way::Sequential),
        _ => text.parse().map(Way::Gossip).map_err(|_: String| {
            "expected push, pull, push-pull, broadcast or sequential".to_owned()
        }),
    }
}

fn timers(text: &str) -> Result<Timers, &'static str> {
    match text {
        "synchronous" => Ok(Timers::Synchronous),
        "jittered" => Ok(Timers::Jittered),
        _ => Err("expected synchronous or jittered"),
    }
}

fn level(text: &str) -> Result<Level, &'static str> {
    match text {
        "auto" => Ok(Level::Auto),
        "node" => Ok(Level::Node),
        "chain" => Ok(Level::Chain),
        _ => Err("expected auto, node or chain"),
    }
}

/// Of messages: shared with the other commands that lose some.
pub(super) fn loss(text: &str) -> Result<f64, String> {
    let loss = text.parse().ok().filter(|loss| (0.0..=LOSS_MAX).contains(loss));
    loss.ok_or_else(|| format!("expected a share from 0 to {LOSS_MAX}"))
}

pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let (engine, level) = engine(flags).map_err(Failure::Misuse)?;
    let mode = match flags.mode {
        Way::Gossip(mode) => mode,
        Way::Broadcast | Way::Sequential => Mode::Push,
    };
    let setting = Setting { mode, nodes: flags.nodes, fanout: flags.fanout, loss: flags.loss };
    setting.check().map_err(Failure::Misuse)?;
    let runs = flags.runs as usize;
    let spread = flags.effort.work(false, |work| sample(engine, &setting, runs, work));
    let spread =
        spread.ok_or_else(|| Failure::Failed("stopped before a run was done".to_owned()))?;
    print_line(&if flags.json { json_line(level, &spread) } else { text(level, flags, &spread) })
}

/// What runs it, and its name.
fn engine(flags: &Flags) -> Result<(Engine, &'static str), String> {
    let few = flags.nodes <= NODE_LEVEL_MAX;
    let too_many = |flag: &str| {
        Err(format!("--nodes {}: expected 1 to {NODE_LEVEL_MAX} with {flag}", flags.nodes))
    };
    match flags.mode {
        Way::Broadcast => return Ok((baseline::broadcast, "chain")),
        Way::Sequential if !few => return too_many("--mode sequential"),
        Way::Sequential => return Ok((baseline::sequential, "chain")),
        Way::Gossip(_) => {}
    }
    match (flags.timers, flags.level) {
        (Timers::Jittered, Level::Chain) => {
            Err("--level chain: expected node or auto with --timers jittered".to_owned())
        }
        (Timers::Jittered, _) if !few => too_many("--timers jittered"),
        (Timers::Jittered, _) => Ok((jittered::run, "node")),
        (Timers::Synchronous, Level::Node) if !few => too_many("--level node"),
        (Timers::Synchronous, Level::Node) => Ok((rounds::run, "node")),
        (Timers::Synchronous, Level::Chain) => Ok((chain::run, "chain")),
        (Timers::Synchronous, Level::Auto) => {
            let quick = flags.nodes.saturating_mul(flags.runs) <= NODE_LEVEL_WORK;
            Ok(if few && quick { (rounds::run, "node") } else { (chain::run, "chain") })
        }
    }
}

fn json_line(level: &str, spread: &Spread) -> String {
    let Spread { rounds, messages, curve } = spread;
    let step = curve.len().div_ceil(CURVE_POINTS);
    let curve: Vec<f64> = curve.iter().step_by(step).copied().collect();
    json!({
        "mean": rounds.mean, "se": rounds.se, "sd": rounds.sd, "min": rounds.min,
        "p50": rounds.p50, "p99": rounds.p99, "p999": rounds.p999, "max": rounds.max,
        "messages_per_node": messages.mean, "messages_per_node_se": messages.se,
        "runs": rounds.runs, "level": level, "curve_step": step, "curve": curve,
    })
    .to_string()
}

fn text(level: &str, flags: &Flags, spread: &Spread) -> String {
    let Spread { rounds, messages, curve } = spread;
    let unit = if flags.timers == Timers::Jittered { "PERIODS" } else { "ROUNDS" };
    let summary = table(
        &[unit, "SE", "P50", "P99", "P99.9", "MESSAGES PER NODE", "RUNS", "LEVEL"],
        vec![vec![
            format!("{:.2}", rounds.mean),
            format!("{:.3}", rounds.se),
            format!("{:.1}", rounds.p50),
            format!("{:.1}", rounds.p99),
            format!("{:.1}", rounds.p999),
            format!("{:.2}", messages.mean),
            rounds.runs.to_string(),
            level.to_owned(),
        ]],
    );
    let know = curve.iter().enumerate().step_by(curve.len().div_ceil(CURVE_LINES));
    let rows = know.map(|(round, &know)| {
        let share = know / flags.nodes as f64;
        let bar = "#".repeat((share * 40.0).round() as usize);
        vec![round.to_string(), format!("{know:.1}"), format!("{:.3} %", share * 100.0), bar]
    });
    format!("{summary}\n\n{}", table(&["AFTER", "KNOW", "SHARE", ""], rows.collect()))
}

/// A long curve is shown at equal steps.
const CURVE_LINES: usize = 60;
const CURVE_POINTS: usize = 1_000;
