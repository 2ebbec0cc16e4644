//! Decides how the endgame of anti-entropy is held against Demers et al. 1987, section 1.3: how
//! few are left after each cycle, from 10 % that miss an update, and from what a rumour left.

use super::{Bar, Row, Table};
use crate::epidemic::rumor::{self, Interest, Rumor, Stop};
use crate::epidemic::{Mode, Setting, chain, each_run, rounds};
use crate::report::chart::{Axis, Chart, Series, Style};
use crate::statistics::{deviation, mean};
use crate::work::Work;

const NODES: u64 = 1_000_000;
/// Sites without the update before and after each cycle, one run each, 10^6 sites.
const PUBLISHED: [(Mode, &[f64]); 3] = [
    (Mode::Push, &[1e5, 40_589.0, 15_623.0, 5_772.0, 2_096.0, 769.0, 272.0, 118.0, 35.0, 14.0]),
    (Mode::Pull, &[1e5, 9_979.0, 95.0, 0.0]),
    (Mode::PushPull, &[1e5, 4_039.0, 7.0, 0.0]),
];

pub(super) fn run(work: &Work<'_>) -> Table {
    let mut table = Table {
        title: "The endgame of anti-entropy: each site calls one other in a cycle".to_owned(),
        notes: vec![
            "Published: single runs, so the bar is three standard deviations of a run. Laws: \
             pull p' = p^2; push p' = p (1 - 1/n)^(n (1 - p)); push-pull both."
                .to_owned(),
            "Sites missed by a rumour: push-pull, feedback, counter k = 2, minimised; then one \
             cycle of push-pull anti-entropy."
                .to_owned(),
        ],
        ..Table::default()
    };
    for add in [from_a_tenth, ten_thousand, after_a_rumour] {
        if !work.stopped() {
            add(work, &mut table);
        }
    }
    table
}

fn setting(mode: Mode, nodes: u64) -> Setting {
    Setting { mode, nodes, fanout: 1, loss: 0.0 }
}

/// A tenth of a million, cycle by cycle.
fn from_a_tenth(work: &Work<'_>, table: &mut Table) {
    let runs = if work.quick { 1_000 } else { 10_000 };
    let mut series = Vec::new();
    for (mode, published) in PUBLISHED {
        let curves = each_run("endgames", runs, work, |rng| {
            let mut left = Vec::new();
            let tenth = NODES / 10;
            chain::run_from(&setting(mode, NODES), tenth, rng, &mut |n| left.push(n as f64));
            left
        });
        if work.stopped() {
            return;
        }
        let at = |cycle: usize| -> Vec<f64> {
            curves.iter().map(|left| left.get(cycle).copied().unwrap_or(0.0)).collect()
        };
        let mut points = vec![(0.0, 1e5)];
        for (cycle, &paper) in published.iter().enumerate().skip(1) {
            let left = at(cycle);
            let (ours, sd, runs) = (mean(&left), deviation(&left), runs as f64);
            let tolerance = 3.0 * sd * (1.0 + 1.0 / runs).sqrt() + 0.5;
            table.rows.push(Row {
                what: format!("{}, 10 % of 10^6: left after cycle {cycle}", mode.as_str()),
                paper: Some(paper),
                ours,
                se: sd / runs.sqrt(),
                bar: Bar::Near { of: paper, tolerance },
            });
            points.push((cycle as f64, ours));
        }
        table.rows.push(law(mode, &at(1)));
        let theory = std::iter::successors(Some(0.1), |&p| Some(after_cycle(mode, p)));
        let theory = theory.take(points.len()).map(|p| p * NODES as f64).enumerate();
        let label = format!("{}, law", mode.as_str());
        series.push(Series::new(mode.as_str(), Style::Line, points));
        let theory = theory.map(|(cycle, left)| (cycle as f64, left));
        series.push(Series::new(label, Style::Dashed, theory.collect()));
    }
    table.charts.push(Chart {
        name: "endgame".to_owned(),
        title: "Sites without the update, from a tenth of 10^6".to_owned(),
        x: Axis::linear("cycles"),
        y: Axis::logarithmic("sites without it"),
        series,
    });
}

/// The share missing after a cycle, from the share before it.
fn after_cycle(mode: Mode, p: f64) -> f64 {
    let n = NODES as f64;
    let by_push = (n * (1.0 - p) * (-1.0 / n).ln_1p()).exp();
    let push = if mode.pushes() { by_push } else { 1.0 };
    let pull = if mode.pulls() { p } else { 1.0 };
    p * push * pull
}

fn law(mode: Mode, left: &[f64]) -> Row {
    let says = after_cycle(mode, 0.1) * NODES as f64;
    let se = deviation(left) / (left.len() as f64).sqrt();
    Row {
        what: format!("{}, 10 % of 10^6: left after cycle 1, against the law", mode.as_str()),
        paper: Some(says),
        ours: mean(left),
        se,
        bar: Bar::Near { of: says, tolerance: 4.0 * se },
    }
}

/// A tenth of ten thousand, node by node: cycles until nobody is left.
fn ten_thousand(work: &Work<'_>, table: &mut Table) {
    let (runs, nodes) = (if work.quick { 500 } else { 10_000 }, 10_000);
    for mode in Mode::ALL {
        let cycles = each_run("endgames node by node", runs, work, |rng| {
            rounds::run_from(&setting(mode, nodes), nodes as u32 / 10, rng, &mut |_| {}).rounds
        });
        if work.stopped() {
            return;
        }
        let share =
            mean(&cycles.iter().map(|&c| f64::from(u8::from(c <= 3.0))).collect::<Vec<_>>());
        let hard = mode == Mode::PushPull;
        table.rows.push(Row {
            what: format!("{}, 10 % of 10^4: share of runs done in 3 cycles", mode.as_str()),
            paper: None,
            ours: share,
            se: (share * (1.0 - share) / runs as f64).sqrt(),
            bar: if hard { Bar::AtLeast(0.99) } else { Bar::None },
        });
    }
}

/// Row B6: damping leaves little, and one cycle closes it.
fn after_a_rumour(work: &Work<'_>, table: &mut Table) {
    let nodes = 1_000;
    let rumor = Rumor {
        mode: Mode::PushPull,
        interest: Interest::Feedback,
        stop: Stop::Counter,
        k: 2,
        nodes,
        minimize: true,
        announce: false,
        connection_limit: None,
        hunt: 0,
    };
    let runs = if work.quick { 1_000 } else { 20_000 };
    let found = each_run("rumours, then repair", runs, work, |rng| {
        let told = rumor::run(&rumor, rng);
        let left = (told.residue * nodes as f64).round() as u64;
        let mut after = Vec::new(); // 0, 1, 2 ... cycles
        chain::run_from(&setting(Mode::PushPull, nodes), left, rng, &mut |n| after.push(n));
        let closed = after.get(1).is_none_or(|&left| left == 0);
        (told.traffic, f64::from(u8::from(closed)))
    });
    if work.stopped() {
        return;
    }
    let (traffic, closed): (Vec<f64>, Vec<f64>) = found.into_iter().unzip();
    let row = |what: &str, values: &[f64], bar| Row {
        what: format!("rumour to 1,000, then one cycle: {what}"),
        paper: None,
        ours: mean(values),
        se: deviation(values) / (values.len() as f64).sqrt(),
        bar,
    };
    let most = 1.3 * (nodes as f64).log2();
    table.rows.push(row("updates sent per site", &traffic, Bar::AtMost(most)));
    table.rows.push(row("share of runs that reach all", &closed, Bar::AtLeast(0.999)));
}
