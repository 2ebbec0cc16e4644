//! Decides how the median-counter rule of Karp et al. 2000 is held against reference runs: what
//! it sends, when the last site hears, and how often all do.

use super::{Bar, Row, Table};
use crate::epidemic::each_run;
use crate::epidemic::median_counter::{MedianCounter, Outcome};
use crate::report::chart::{Axis, Chart, Series, Style};
use crate::statistics::Summary;
use crate::work::Work;

/// (ctr_max, rounds in C, nodes, runs, messages per node, share of runs that reach all, t_last).
const REFERENCE: [(u8, u8, u32, usize, f64, Option<f64>, Option<f64>); 7] = [
    (2, 2, 1_000, 2_000, 10.24, Some(1.0), Some(9.15)),
    (2, 2, 10_000, 500, 10.24, Some(1.0), Some(11.56)),
    (2, 2, 100_000, 100, 10.24, Some(1.0), Some(14.02)),
    (1, 2, 1_000, 2_000, 7.07, Some(0.978), None),
    (1, 2, 10_000, 500, 7.07, Some(0.854), None),
    (1, 2, 100_000, 100, 7.07, Some(0.110), None),
    (2, 3, 1_000_000, 10, 12.24, None, Some(16.1)),
];

pub(super) fn run(work: &Work<'_>) -> Table {
    let mut table = Table {
        title: "Median counter: a rumour that knows when to stop".to_owned(),
        notes: vec![
            "Bars: 0.01 messages per node; three standard errors of ours and the reference's \
             runs, as many as ours."
                .to_owned(),
        ],
        ..Table::default()
    };
    let mut sent: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for (counter_max, quiet_after, nodes, runs, messages, full, t_last) in REFERENCE {
        if work.quick && nodes > 10_000 {
            continue;
        }
        let runs = if work.quick { runs / 5 } else { runs };
        let rule = MedianCounter { nodes, counter_max, quiet_after };
        let found = each_run("median counter", runs, work, |rng| rule.run(rng));
        if work.stopped() {
            break;
        }
        let name = format!("({counter_max}, {quiet_after}), {nodes} nodes");
        let of = |value: fn(&Outcome) -> f64| {
            Summary::of(&mut found.iter().map(value).collect::<Vec<_>>())
        };
        let spent = of(|o| o.messages_per_node);
        table.rows.push(row(&name, "messages per node", messages, spent, 0.01));
        if let Some(full) = full {
            let sd = (full * (1.0 - full)).sqrt();
            let reached = of(|o| f64::from(u8::from(o.missed == 0)));
            let tolerance = both(reached.sd.max(sd), runs) + 0.0005;
            table.rows.push(row(&name, "share of runs that reach all", full, reached, tolerance));
        }
        if let Some(t_last) = t_last {
            let last = of(|o| o.t_last);
            let tolerance = both(last.sd, runs) + 0.05;
            table.rows.push(row(&name, "t_last, rounds", t_last, last, tolerance));
        }
        let label = format!("ctr_max {counter_max}, C {quiet_after}");
        let point = (f64::from(nodes), spent.mean);
        match sent.iter_mut().find(|(known, _)| *known == label) {
            Some((_, points)) => points.push(point),
            None => sent.push((label, vec![point])),
        }
    }
    table.charts.push(Chart {
        name: "median-counter".to_owned(),
        title: "Messages per node do not grow with the number of nodes".to_owned(),
        x: Axis::logarithmic("nodes"),
        y: Axis::linear("messages per node"),
        series: sent.into_iter().map(|(l, points)| Series::new(l, Style::Points, points)).collect(),
    });
    table
}

/// Three standard errors of the difference of two means of as many runs.
fn both(sd: f64, runs: usize) -> f64 {
    3.0 * sd * (2.0 / runs as f64).sqrt()
}

fn row(name: &str, what: &str, reference: f64, ours: Summary, tolerance: f64) -> Row {
    Row {
        what: format!("{name}: {what}"),
        paper: Some(reference),
        ours: ours.mean,
        se: ours.se,
        bar: Bar::Near { of: reference, tolerance },
    }
}
