//! Decides how tables 1 to 3 of Demers et al. 1987, and the variants that the paper tells of
//! without a table, are reproduced: residue, traffic and delay of rumours among 1,000 sites.

use super::{Bar, Row, Table};
use crate::epidemic::Mode;
use crate::epidemic::rumor::{Interest, Outcomes, Rumor, Stop, sample};
use crate::report::chart::{Axis, Chart, Series, Style};
use crate::statistics::Summary;
use crate::work::Work;

const SITES: u64 = 1_000;
/// Runs behind each reference value.
const REFERENCE_RUNS: f64 = 20_000.0;
/// Runs of variants without a table: the whole takes less than half a minute on one core.
const OTHER_RUNS: usize = 5_000;

/// A reference value as printed: the last digit tells how far it was rounded.
type Printed = &'static str;

/// One row of a table: what the paper prints, and the reference values of 20,000 runs by the same
/// rules: (residue, traffic, t_ave, t_last), empty where there is none.
struct Line {
    k: u32,
    paper: [Option<f64>; 4],
    reference: [Printed; 4],
}

struct Variant {
    name: &'static str,
    rumor: Rumor,
    lines: Vec<Line>,
}

const MEASURES: [&str; 4] =
    ["residue s", "traffic m, updates per site", "t_ave, cycles", "t_last, cycles"];

pub(super) fn run(work: &Work<'_>) -> Table {
    let runs = if work.quick { 2_000 } else { REFERENCE_RUNS as usize };
    let mut table = Table {
        title: "Rumours that go cold, 1,000 sites".to_owned(),
        notes: vec![
            format!(
                "{runs} runs a row, at most {OTHER_RUNS} without a table. Bar: three standard errors (ours and that of the reference, \
                 20,000 runs by the same rules) and half a unit of the reference's last digit."
            ),
            "t_ave of tables 1 and 2 as printed is not the mean first receipt of the text: with \
             k without end it cannot exceed 10.06. Table 3's is."
                .to_owned(),
        ],
        ..Table::default()
    };
    let mut found = Vec::new();
    let untabled = others().into_iter().map(|variant| (variant, runs.min(OTHER_RUNS)));
    for (variant, runs) in tables().into_iter().map(|v| (v, runs)).chain(untabled) {
        let mut points = Vec::new();
        for line in &variant.lines {
            let rumor = Rumor { k: line.k, ..variant.rumor };
            let Some(outcomes) = sample(&rumor, runs, work) else { continue };
            if work.stopped() {
                break; // a part of the runs meets no bar
            }
            table.rows.extend(rows(&variant, line, &outcomes));
            points.push((outcomes.traffic.mean, outcomes.residue.mean));
        }
        found.push((variant.name, points));
    }
    table.charts.push(residue_against_traffic(found));
    table
}

fn rows(variant: &Variant, line: &Line, found: &Outcomes) -> Vec<Row> {
    let measured = [found.residue, found.traffic, found.t_ave, found.t_last];
    let mut rows = Vec::new();
    for (at, ours) in measured.into_iter().enumerate() {
        let (printed, paper) = (line.reference[at], line.paper[at]);
        if printed.is_empty() {
            continue;
        }
        let reference: f64 = printed.parse().expect("a printed number");
        // Where nothing was missed in all runs, what rare misses would scatter by.
        let sd = if at == 0 { ours.sd.max((reference / SITES as f64).sqrt()) } else { ours.sd };
        let both = (1.0 / ours.runs as f64 + 1.0 / REFERENCE_RUNS).sqrt();
        let tolerance = 3.0 * sd * both + half_unit(printed);
        let what = format!("{}, k {}: {}", variant.name, line.k, MEASURES[at]);
        let bar = Bar::Near { of: reference, tolerance };
        rows.push(Row { what, paper, ours: ours.mean, se: ours.se, bar });
    }
    if variant.rumor.mode == Mode::Push && variant.rumor.connection_limit.is_none() && line.k > 1 {
        rows.push(exponential(variant, line.k, found));
    }
    rows
}

/// All push variants without a limit leave s = e^-m.
fn exponential(variant: &Variant, k: u32, found: &Outcomes) -> Row {
    let Summary { mean: traffic, .. } = found.traffic;
    let Summary { mean: residue, se, .. } = found.residue;
    Row {
        what: format!("{}, k {k}: -ln s / m", variant.name),
        paper: Some(1.0),
        ours: -residue.ln() / traffic,
        se: se / residue / traffic,
        bar: Bar::Near { of: 1.0, tolerance: 0.02 + 3.0 * se / residue / traffic },
    }
}

/// Half a unit of the last printed digit.
fn half_unit(printed: &str) -> f64 {
    let (digits, exponent) = printed.split_once('e').unwrap_or((printed, "0"));
    let decimals = digits.split_once('.').map_or(0, |(_, after)| after.len() as i32);
    0.5 * 10f64.powi(exponent.parse::<i32>().expect("an exponent") - decimals)
}

const PUSH: Rumor = Rumor {
    mode: Mode::Push,
    interest: Interest::Feedback,
    stop: Stop::Counter,
    k: 1,
    nodes: SITES,
    minimize: false,
    announce: false,
    connection_limit: None,
    hunt: 0,
};

fn printed(k: u32, paper: [f64; 4], reference: [Printed; 4]) -> Line {
    Line { k, paper: paper.map(Some), reference }
}

fn tables() -> Vec<Variant> {
    vec![
        Variant {
            name: "table 1: push, feedback, counter",
            rumor: PUSH,
            lines: vec![
                printed(1, [0.18, 1.7, 11.0, 16.8], ["0.174", "1.745", "9.78", "16.82"]),
                printed(2, [0.037, 3.3, 12.1, 16.9], ["0.0368", "3.300", "9.95", "16.96"]),
                printed(3, [0.011, 4.5, 12.5, 17.4], ["0.0107", "4.533", "10.02", "17.31"]),
                unprinted(4, ["", "5.637", "", ""]),
                unprinted(5, ["", "6.682", "10.05", ""]),
            ],
        },
        Variant {
            name: "table 2: push, blind, coin",
            rumor: Rumor { interest: Interest::Blind, stop: Stop::Coin, ..PUSH },
            lines: vec![
                printed(1, [0.96, 0.04, 19.0, 38.0], ["0.960", "0.040", "19.6", "39.2"]),
                printed(2, [0.20, 1.6, 17.0, 33.0], ["0.204", "1.592", "15.69", "32.7"]),
                printed(3, [0.060, 2.8, 15.0, 32.0], ["0.0599", "2.820", "13.32", "31.5"]),
            ],
        },
        Variant {
            name: "table 3: pull, feedback, counter",
            rumor: Rumor { mode: Mode::Pull, ..PUSH },
            lines: vec![
                printed(1, [3.1e-2, 2.7, 9.97, 17.6], ["3.16e-2", "2.699", "10.15", "17.55"]),
                printed(2, [5.8e-4, 4.5, 10.07, 15.4], ["5.84e-4", "4.487", "10.09", "15.25"]),
                printed(3, [4.0e-6, 6.1, 10.08, 14.0], ["3.1e-6", "6.088", "10.05", "13.95"]),
            ],
        },
    ]
}

fn unprinted(k: u32, reference: [Printed; 4]) -> Line {
    Line { k, paper: [None; 4], reference }
}

/// Told of in the text of the paper, without a table.
fn others() -> Vec<Variant> {
    let both = Rumor { mode: Mode::PushPull, ..PUSH };
    vec![
        Variant {
            name: "push, feedback, coin",
            rumor: Rumor { stop: Stop::Coin, ..PUSH },
            lines: vec![
                unprinted(2, [".050", "3.00", "", "21.2"]),
                unprinted(3, [".0164", "4.11", "", "24.2"]),
                unprinted(4, [".0058", "5.16", "", "25.7"]),
                unprinted(5, [".0021", "6.19", "", "26.3"]),
            ],
        },
        Variant {
            name: "push, blind, counter",
            rumor: Rumor { interest: Interest::Blind, ..PUSH },
            lines: vec![
                unprinted(2, [".203", "1.595", "", "24.5"]),
                unprinted(3, [".0595", "2.82", "", "20.5"]),
                unprinted(4, [".0198", "3.92", "", "19.4"]),
                unprinted(5, [".0070", "4.97", "", "18.8"]),
            ],
        },
        Variant {
            name: "push, feedback, counter, connection limit 1",
            rumor: Rumor { connection_limit: Some(1), ..PUSH },
            lines: vec![
                unprinted(1, [".144", "1.71", "", ""]),
                unprinted(2, [".0201", "3.11", "", ""]),
                unprinted(3, [".0037", "4.22", "", ""]),
                unprinted(4, ["7.6e-4", "5.25", "", ""]),
                unprinted(5, ["1.5e-4", "6.26", "", ""]),
            ],
        },
        Variant {
            name: "push-pull, feedback, counter",
            rumor: both,
            lines: vec![
                unprinted(1, ["1.25e-2", "3.68", "", "9.7"]),
                unprinted(2, ["2.0e-4", "5.94", "", "9.4"]),
                unprinted(3, ["8e-7", "7.96", "", "9.2"]),
            ],
        },
        Variant {
            name: "push-pull, feedback, counter, minimised",
            rumor: Rumor { minimize: true, ..both },
            lines: vec![
                unprinted(1, ["1.25e-2", "2.84", "", "9.70"]),
                unprinted(2, ["4.9e-5", "4.15", "", "9.21"]),
                unprinted(3, ["0", "5.29", "", "9.15"]),
            ],
        },
    ]
}

fn residue_against_traffic(found: Vec<(&'static str, Vec<(f64, f64)>)>) -> Chart {
    let mut series: Vec<Series> =
        found.into_iter().map(|(name, points)| Series::new(name, Style::Line, points)).collect();
    let law =
        |rate: f64| (0..=70).map(|m| f64::from(m) / 10.0).map(move |m| (m, (-rate * m).exp()));
    series.push(Series::new("s = e^-m", Style::Dashed, law(1.0).collect()));
    series.push(Series::new("s = e^-1.58m", Style::Dashed, law(1.582).collect()));
    Chart {
        name: "demers-residue".to_owned(),
        title: "What a rumour leaves, against what it costs".to_owned(),
        x: Axis::linear("traffic m, updates per site"),
        y: Axis::logarithmic("residue s, share never told"),
        series,
    }
}
