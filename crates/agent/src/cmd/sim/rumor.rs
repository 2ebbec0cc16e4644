//! Decides what `tidings sim rumor` takes and prints.

use serde_json::json;
use tidings_sim::epidemic::Mode;
use tidings_sim::epidemic::rumor::{Interest, K_MAX, NODES_MAX, Outcomes, Rumor, Stop, sample};

use super::Effort;
use crate::Failure;
use crate::cmd::{print_line, table};

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    /// push, pull or push-pull.
    #[arg(long, value_name = "MODE", default_value = "push", value_parser = mode)]
    mode: Mode,
    /// Whether a site loses interest by what it hears back, or in any case.
    #[arg(long, value_name = "feedback|blind", default_value = "feedback")]
    interest: Interest,
    /// Loses interest after k such contacts, or with probability 1/k at each.
    #[arg(long, value_name = "counter|coin", default_value = "counter")]
    stop: Stop,
    /// The k of counter and coin.
    #[arg(short, value_name = "K", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(K_MAX)))]
    k: u32,
    /// How many sites there are.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(2..=NODES_MAX))]
    nodes: u64,
    /// How often it is run.
    #[arg(long, value_name = "R", default_value_t = 2_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    runs: u64,
    /// Of two sites that meet and both spread it, only the smaller counter counts (push-pull,
    /// feedback, counter).
    #[arg(long)]
    minimize: bool,
    /// Sites say first what they have; the update itself goes only to who asks for it.
    #[arg(long)]
    announce: bool,
    /// Contacts that a site takes in a cycle [default: any number].
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u32).range(1..))]
    connection_limit: Option<u32>,
    /// Other sites that a refused caller tries in the same cycle.
    #[arg(long, value_name = "H", default_value_t = 0, requires = "connection_limit")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=1_000))]
    hunt: u32,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    effort: Effort,
}

fn mode(text: &str) -> Result<Mode, &'static str> {
    text.parse().map_err(|_: String| "expected push, pull or push-pull")
}

pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let Flags { mode, interest, stop, k, nodes, minimize, announce, .. } = *flags;
    let Flags { connection_limit, hunt, .. } = *flags;
    let rumor =
        Rumor { mode, interest, stop, k, nodes, minimize, announce, connection_limit, hunt };
    rumor.check().map_err(|error| Failure::Misuse(format!("--{error}")))?;
    let found = flags.effort.work(false, |work| sample(&rumor, flags.runs as usize, work));
    let found = found.ok_or_else(|| Failure::Failed("stopped before a run was done".to_owned()))?;
    print_line(&if flags.json { json_line(&found) } else { text(&found) })
}

fn json_line(found: &Outcomes) -> String {
    let Outcomes { residue, traffic, copies, t_ave, t_last, complete } = found;
    json!({
        "residue": residue.mean, "residue_se": residue.se,
        "traffic": traffic.mean, "traffic_se": traffic.se,
        "copies": copies.mean, "copies_se": copies.se,
        "t_ave": t_ave.mean, "t_ave_se": t_ave.se,
        "t_last": t_last.mean, "t_last_se": t_last.se,
        "complete": complete, "runs": residue.runs,
    })
    .to_string()
}

fn text(found: &Outcomes) -> String {
    let Outcomes { residue, traffic, copies, t_ave, t_last, complete } = found;
    let row = |what: &str, s: &tidings_sim::statistics::Summary| {
        vec![
            what.to_owned(),
            format!("{:.4e}", s.mean),
            format!("{:.1e}", s.se),
            format!("{:.4e}", s.sd),
        ]
    };
    let rows = vec![
        row("residue: share that never hears it", residue),
        row("traffic: updates sent or announced per site", traffic),
        row("copies: whole updates sent per site", copies),
        row("t_ave: cycles until a site hears it", t_ave),
        row("t_last: cycles until the last does", t_last),
    ];
    let shown = table(&["", "MEAN", "SE", "SD OF A RUN"], rows);
    format!(
        "{shown}\n\n{} runs, {:.2} % of them reached every site",
        residue.runs,
        complete * 100.0
    )
}
