//! Decides how the rounds until all know are held against the published figures: every cell of a
//! table of exact simulations by the chain, the node level against the chain, growth with ln N.

use super::{Bar, Row, Table};
use crate::epidemic::{Engine, Mode, Setting, Spread, chain, jittered, rounds, sample};
use crate::report::chart::{Axis, Chart, Series, Style};
use crate::statistics::mean;
use crate::work::Work;

const FANOUTS: [u32; 4] = [1, 3, 4, 6];

/// (nodes, mode, loss, mean and p99 rounds and messages per node for each fanout): node-level
/// simulations of 100,000 runs (100 nodes) and 20,000 (1,000), a chain of 10,000 (10^6).
const CELLS: [(u64, Mode, f64, [(f64, f64, f64); 4]); 27] = [
    (
        100,
        Mode::Push,
        0.0,
        [(12.31, 16.0, 5.6), (5.64, 7.0, 6.5), (4.86, 6.0, 7.3), (4.01, 5.0, 8.6)],
    ),
    (
        100,
        Mode::Push,
        0.1,
        [(13.45, 18.0, 6.2), (6.06, 8.0, 7.2), (5.11, 6.0, 7.7), (4.07, 5.0, 8.3)],
    ),
    (
        100,
        Mode::Push,
        0.3,
        [(16.70, 23.0, 7.8), (7.15, 9.0, 8.8), (5.94, 7.0, 9.3), (4.69, 6.0, 10.2)],
    ),
    (
        100,
        Mode::Pull,
        0.0,
        [(9.80, 14.0, 7.7), (5.04, 6.0, 11.9), (4.32, 5.0, 13.8), (3.76, 4.0, 17.5)],
    ),
    (
        100,
        Mode::Pull,
        0.1,
        [(12.37, 18.0, 9.0), (5.81, 8.0, 13.2), (4.98, 6.0, 15.2), (4.08, 5.0, 18.9)],
    ),
    (
        100,
        Mode::Pull,
        0.3,
        [(20.78, 30.0, 13.5), (8.60, 12.0, 17.7), (7.04, 9.0, 19.7), (5.47, 7.0, 23.6)],
    ),
    (
        100,
        Mode::PushPull,
        0.0,
        [(6.53, 8.0, 7.2), (3.92, 4.0, 12.8), (3.21, 4.0, 14.2), (3.00, 3.0, 19.6)],
    ),
    (
        100,
        Mode::PushPull,
        0.1,
        [(7.58, 10.0, 8.3), (4.06, 5.0, 13.2), (3.71, 4.0, 16.1), (3.01, 3.0, 19.7)],
    ),
    (
        100,
        Mode::PushPull,
        0.3,
        [(10.45, 14.0, 11.2), (5.06, 6.0, 16.2), (4.27, 5.0, 18.2), (3.66, 4.0, 23.4)],
    ),
    (
        1_000,
        Mode::Push,
        0.0,
        [(18.04, 22.0, 8.0), (8.17, 10.0, 9.0), (6.95, 8.0, 9.8), (5.49, 6.0, 10.2)],
    ),
    (
        1_000,
        Mode::Push,
        0.1,
        [(19.70, 24.0, 8.8), (8.73, 10.0, 9.8), (7.27, 8.0, 10.1), (5.97, 7.0, 12.1)],
    ),
    (
        1_000,
        Mode::Push,
        0.3,
        [(24.48, 31.0, 11.2), (10.37, 12.0, 12.2), (8.54, 10.0, 12.6), (6.72, 8.0, 13.8)],
    ),
    (
        1_000,
        Mode::Pull,
        0.0,
        [(13.76, 18.0, 11.1), (7.05, 8.0, 17.0), (6.10, 7.0, 19.7), (5.06, 6.0, 24.8)],
    ),
    (
        1_000,
        Mode::Pull,
        0.1,
        [(17.77, 23.0, 12.9), (8.24, 10.0, 19.0), (7.01, 8.0, 21.7), (5.75, 7.0, 27.0)],
    ),
    (
        1_000,
        Mode::Pull,
        0.3,
        [(30.17, 40.0, 19.3), (12.37, 15.0, 25.5), (10.12, 12.0, 28.4), (7.79, 9.0, 33.9)],
    ),
    (
        1_000,
        Mode::PushPull,
        0.0,
        [(9.15, 10.0, 9.8), (5.06, 6.0, 16.3), (4.86, 5.0, 20.8), (4.00, 4.0, 25.5)],
    ),
    (
        1_000,
        Mode::PushPull,
        0.1,
        [(10.87, 13.0, 11.6), (5.82, 6.0, 18.5), (5.01, 5.0, 21.2), (4.05, 5.0, 25.9)],
    ),
    (
        1_000,
        Mode::PushPull,
        0.3,
        [(15.15, 19.0, 15.9), (7.17, 8.0, 22.5), (6.10, 7.0, 25.6), (5.02, 6.0, 31.6)],
    ),
    (
        1_000_000,
        Mode::Push,
        0.0,
        [(34.91, 39.0, 14.9), (15.40, 17.0, 15.7), (12.99, 14.0, 16.8), (10.11, 11.0, 16.6)],
    ),
    (
        1_000_000,
        Mode::Push,
        0.1,
        [(38.17, 43.0, 16.5), (16.56, 18.0, 17.4), (13.80, 15.0, 18.1), (10.97, 12.0, 19.8)],
    ),
    (
        1_000_000,
        Mode::Push,
        0.3,
        [(47.40, 54.0, 21.1), (19.77, 22.0, 22.0), (16.22, 18.0, 22.6), (12.51, 14.0, 23.4)],
    ),
    (
        1_000_000,
        Mode::Pull,
        0.0,
        [(24.73, 29.0, 21.1), (12.46, 14.0, 32.0), (10.88, 12.0, 36.9), (9.03, 10.0, 46.2)],
    ),
    (
        1_000_000,
        Mode::Pull,
        0.1,
        [(33.61, 39.0, 24.6), (15.23, 17.0, 35.8), (12.83, 14.0, 40.9), (10.22, 11.0, 50.5)],
    ),
    (
        1_000_000,
        Mode::Pull,
        0.3,
        [(57.79, 67.0, 36.7), (23.45, 27.0, 48.5), (19.05, 21.0, 53.9), (14.53, 16.0, 64.1)],
    ),
    (
        1_000_000,
        Mode::PushPull,
        0.0,
        [(16.31, 17.0, 17.0), (9.03, 10.0, 28.2), (8.01, 8.0, 33.3), (7.00, 7.0, 43.5)],
    ),
    (
        1_000_000,
        Mode::PushPull,
        0.1,
        [(20.50, 22.0, 21.2), (10.35, 11.0, 32.1), (9.01, 10.0, 37.3), (7.66, 8.0, 47.5)],
    ),
    (
        1_000_000,
        Mode::PushPull,
        0.3,
        [(29.00, 33.0, 29.7), (13.36, 15.0, 41.1), (11.26, 12.0, 46.2), (9.05, 10.0, 55.7)],
    ),
];

/// As above, mean and p99 in periods, where the timers are not synchronised: (mode, fanout, loss,
/// nodes, mean, p99).
const JITTERED: [(Mode, u32, f64, u64, f64, f64); 14] = [
    (Mode::Push, 1, 0.0, 100, 9.75, 13.9),
    (Mode::Push, 1, 0.0, 1_000, 14.4, 18.3),
    (Mode::Push, 1, 0.0, 10_000, 19.1, 23.7),
    (Mode::Push, 3, 0.0, 100, 3.4, 4.9),
    (Mode::Push, 3, 0.0, 1_000, 5.0, 6.4),
    (Mode::Push, 3, 0.0, 10_000, 6.5, 7.9),
    (Mode::PushPull, 1, 0.0, 100, 4.4, 5.6),
    (Mode::PushPull, 1, 0.0, 1_000, 6.3, 7.3),
    (Mode::PushPull, 1, 0.0, 10_000, 8.0, 9.0),
    (Mode::PushPull, 3, 0.0, 100, 1.5, 2.2),
    (Mode::PushPull, 3, 0.0, 1_000, 2.0, 2.7),
    (Mode::PushPull, 3, 0.0, 10_000, 2.5, 3.2),
    (Mode::PushPull, 1, 0.1, 1_000, 8.1, 10.1),
    (Mode::PushPull, 1, 0.3, 1_000, 12.4, 15.8),
];

pub(super) fn run(work: &Work<'_>) -> Table {
    let mut table = Table {
        title: "Rounds until all know".to_owned(),
        notes: vec![
            "Published: exact simulations, 10,000 to 100,000 runs a cell; bars of 0.1 on the mean, \
             1 on p99, 0.2 on messages of any kind per node."
                .to_owned(),
            "Node level against the chain: the difference of the means in standard errors; one in \
             370 is beyond 3 by chance."
                .to_owned(),
        ],
        ..Table::default()
    };
    for add in [cells, node_level, without_common_rounds, growth, curves] {
        if !work.stopped() {
            add(work, &mut table);
        }
    }
    table
}

/// Every cell by the chain.
fn cells(work: &Work<'_>, table: &mut Table) {
    let runs = if work.quick { 10_000 } else { 40_000 };
    for (nodes, mode, loss, published) in CELLS {
        for (fanout, (mean, p99, messages)) in FANOUTS.into_iter().zip(published) {
            if work.quick && (nodes == 100 || ![1, 3].contains(&fanout)) {
                continue;
            }
            let setting = Setting { mode, nodes, fanout, loss };
            let Some(spread) = whole(chain::run, &setting, runs, work) else { return };
            let (rounds, sent) = (spread.rounds, spread.messages);
            let name = name(&setting);
            let near = |of, tolerance| Bar::Near { of, tolerance };
            table.rows.extend([
                row(format!("{name}: rounds, mean"), mean, rounds.mean, rounds.se, near(mean, 0.1)),
                row(format!("{name}: rounds, p99"), p99, rounds.p99, 0.0, near(p99, 1.0)),
                row(format!("{name}: messages"), messages, sent.mean, sent.se, near(messages, 0.2)),
            ]);
        }
    }
}

/// The node level against the chain.
fn node_level(work: &Work<'_>, table: &mut Table) {
    let sizes =
        if work.quick { [(1_000, 400), (10_000, 60)] } else { [(1_000, 2_000), (10_000, 400)] };
    for (nodes, runs) in sizes {
        for mode in Mode::ALL {
            for (fanout, loss) in grid(work.quick) {
                let setting = Setting { mode, nodes, fanout, loss };
                let (Some(node), Some(counted)) = (
                    whole(rounds::run, &setting, runs, work),
                    whole(chain::run, &setting, 10 * runs, work),
                ) else {
                    return;
                };
                table.rows.push(Row {
                    what: format!("{}: node level - chain, in standard errors", name(&setting)),
                    paper: None,
                    ours: apart(&node, &counted),
                    se: 1.0,
                    bar: Bar::Near { of: 0.0, tolerance: 3.0 },
                });
            }
        }
    }
}

fn grid(quick: bool) -> Vec<(u32, f64)> {
    if quick {
        return vec![(1, 0.0), (3, 0.0), (3, 0.3)];
    }
    let losses = [0.0, 0.1, 0.3];
    FANOUTS.into_iter().flat_map(|fanout| losses.map(|loss| (fanout, loss))).collect()
}

/// The difference of two mean rounds, in its standard errors.
fn apart(a: &Spread, b: &Spread) -> f64 {
    let se = libm::hypot(a.rounds.se, b.rounds.se);
    if se == 0.0 { a.rounds.mean - b.rounds.mean } else { (a.rounds.mean - b.rounds.mean) / se }
}

fn without_common_rounds(work: &Work<'_>, table: &mut Table) {
    for (mode, fanout, loss, nodes, mean, p99) in JITTERED {
        if work.quick && nodes > 1_000 {
            continue;
        }
        let setting = Setting { mode, nodes, fanout, loss };
        let runs = if work.quick { 1_000 } else { 20_000_000 / nodes as usize };
        let Some(spread) = whole(jittered::run, &setting, runs.min(20_000), work) else { return };
        let name = format!("{}, jittered timers: periods", name(&setting));
        let (rounds, bar) = (spread.rounds, Bar::Near { of: mean, tolerance: 0.15 });
        table.rows.push(row(format!("{name}, mean"), mean, rounds.mean, rounds.se, bar));
        let bar = Bar::Near { of: p99, tolerance: 1.0 };
        table.rows.push(row(format!("{name}, p99"), p99, rounds.p99, 0.0, bar));
    }
}

/// Rounds = a + b ln N (row A1).
fn growth(work: &Work<'_>, table: &mut Table) {
    let sizes = [100, 316, 1_000, 3_162, 10_000, 31_623, 100_000];
    let mut series = Vec::new();
    for mode in Mode::ALL {
        for fanout in [1, 3] {
            let mut points = Vec::new();
            for nodes in sizes {
                let setting = Setting { mode, nodes, fanout, loss: 0.0 };
                let Some(spread) = whole(chain::run, &setting, 2_000, work) else { return };
                points.push((nodes as f64, spread.rounds.mean));
            }
            let (a, b, r2) = fit(&points);
            let label = format!("{}, fanout {fanout}", mode.as_str());
            table.rows.push(Row {
                what: format!("{label}: R^2 of {a:.2} + {b:.2} ln N over N = 10^2 ... 10^5"),
                paper: None,
                ours: r2,
                se: 0.0,
                bar: Bar::AtLeast(0.99),
            });
            series.push(Series::new(label, Style::Line, points));
        }
    }
    table.charts.push(Chart {
        name: "rounds-growth".to_owned(),
        title: "Rounds until all know grow with ln N".to_owned(),
        x: Axis::logarithmic("nodes"),
        y: Axis::linear("rounds, mean"),
        series,
    });
}

/// Least squares of y = a + b ln x: (a, b, R^2).
fn fit(points: &[(f64, f64)]) -> (f64, f64, f64) {
    let xs: Vec<f64> = points.iter().map(|p| libm::log(p.0)).collect();
    let ys: Vec<f64> = points.iter().map(|p| p.1).collect();
    let (x, y) = (mean(&xs), mean(&ys));
    let products = |a: &[f64], b: &[f64], (ma, mb): (f64, f64)| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum()
    };
    let (xx, xy, yy) =
        (products(&xs, &xs, (x, x)), products(&xs, &ys, (x, y)), products(&ys, &ys, (y, y)));
    (y - xy / xx * x, xy / xx, xy * xy / (xx * yy))
}

/// How many know after each round, against the mean field.
fn curves(work: &Work<'_>, table: &mut Table) {
    let mut series = Vec::new();
    for mode in Mode::ALL {
        let setting = Setting { mode, nodes: 1_000_000, fanout: 3, loss: 0.0 };
        let Some(spread) = whole(chain::run, &setting, 1_000, work) else { return };
        let share = |curve: &[f64]| -> Vec<(f64, f64)> {
            curve
                .iter()
                .enumerate()
                .map(|(t, know)| (t as f64, know / setting.nodes as f64))
                .collect()
        };
        series.push(Series::new(mode.as_str(), Style::Line, share(&spread.curve)));
        let expected = mean_field(&setting, spread.curve.len());
        let label = format!("{}, mean field", mode.as_str());
        series.push(Series::new(label, Style::Dashed, share(&expected)));
    }
    table.charts.push(Chart {
        name: "rounds-curve".to_owned(),
        title: "Share of 10^6 nodes that know, fanout 3".to_owned(),
        x: Axis::linear("rounds"),
        y: Axis::linear("share that knows"),
        series,
    });
}

/// What the recurrence of means says (PAPERS 2.3).
fn mean_field(setting: &Setting, rounds: usize) -> Vec<f64> {
    let (others, fanout) = ((setting.nodes - 1) as f64, f64::from(setting.fanout));
    let arrives = 1.0 - setting.loss;
    let mut unaware = others;
    let after_round = |_| {
        let aware = setting.nodes as f64 - unaware;
        let mut missed = 1.0;
        if setting.mode.pushes() {
            missed *= libm::exp(aware * libm::log1p(-fanout * arrives / others));
        }
        if setting.mode.pulls() {
            missed *= libm::pow(1.0 - arrives * arrives * (aware / others).min(1.0), fanout);
        }
        unaware *= missed;
        aware
    };
    (0..rounds).map(after_round).collect()
}

/// A sample, unless the work was stopped meanwhile: of fewer runs a bar means nothing.
fn whole(engine: Engine, setting: &Setting, runs: usize, work: &Work<'_>) -> Option<Spread> {
    sample(engine, setting, runs, work).filter(|s| s.rounds.runs == runs)
}

fn name(setting: &Setting) -> String {
    let Setting { mode, nodes, fanout, loss } = setting;
    format!("{nodes} nodes, {}, fanout {fanout}, loss {} %", mode.as_str(), loss * 100.0)
}

fn row(what: String, paper: f64, ours: f64, se: f64, bar: Bar) -> Row {
    Row { what, paper: Some(paper), ours, se, bar }
}
