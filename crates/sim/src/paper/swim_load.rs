//! Decides what "constant load" means (SWIM 2002, section 5 and Fig 2): two datagrams sent and two
//! received per member and period, whatever the size of the group, and few members ever send more.

use tidings_proto::Config;

use super::{Bar, Row, Table};
use crate::report::chart::{Axis, Chart, Series, Style};
use crate::statistics::{deviation, mean};
use crate::work::Work;
use crate::world::{World, WorldConfig};

/// Fig 2's example: at 28 members, 99 % send fewer than 5 in a period.
const FIG2_MEMBERS: usize = 28;
const FIG2_BELOW: usize = 5;

pub(super) fn run(work: &Work<'_>) -> Table {
    let sizes: &[usize] =
        if work.quick { &[10, 28, 100, 1000] } else { &[10, 28, 55, 100, 1000, 10_000] };
    let measured = work.map("groups at rest", sizes, |&n| measure(work.seed, n, periods(n)));
    let mut table = Table {
        title: "SWIM: load per member and period at rest".to_owned(),
        notes: vec![
            "The unmodified core in the packet simulator, LAN profile, nothing to tell; counted \
             over whole probe periods of each member."
                .to_owned(),
            "Fig 2's 0.99 is one measured group. If the pings that arrive in a period were Poisson \
             with mean 1, fewer than 5 datagrams would be sent with probability 0.981."
                .to_owned(),
        ],
        ..Table::default()
    };
    let done: Vec<(usize, Load)> =
        sizes.iter().zip(measured).filter_map(|(&n, load)| Some((n, load?))).collect();
    for (n, load) in &done {
        table.rows.push(Row {
            what: format!("n={n}: datagrams sent + received per member and period"),
            paper: Some(4.0),
            ours: load.sent + load.received,
            se: load.se,
            bar: Bar::Near { of: 4.0, tolerance: 0.2 },
        });
        if *n == FIG2_MEMBERS {
            table.rows.push(Row {
                what: format!("n={n}: P(sent < {FIG2_BELOW}) in a period"),
                paper: Some(0.99),
                ours: load.below(FIG2_BELOW),
                se: 0.0,
                bar: Bar::Near { of: 0.99, tolerance: 0.02 },
            });
        }
    }
    table.charts = charts(&done);
    table
}

/// Periods counted: fewer where there are many members.
fn periods(n: usize) -> usize {
    (60_000 / n).clamp(10, 2000)
}

struct Load {
    /// Mean per member and period.
    sent: f64,
    received: f64,
    /// Standard error of their sum, over periods.
    se: f64,
    /// Member-periods by datagrams sent.
    histogram: Vec<u64>,
}

impl Load {
    fn below(&self, limit: usize) -> f64 {
        let below: u64 = self.histogram.iter().take(limit).sum();
        below as f64 / self.histogram.iter().sum::<u64>() as f64
    }
}

fn measure(seed: u64, n: usize, periods: usize) -> Load {
    let config = Config::lan();
    let unwatched = WorldConfig { checks: false, ..WorldConfig::default() };
    let mut world = World::converged(seed, unwatched, n, &config);
    world.run_for(config.probe_period * 3);
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    let mut histogram = vec![0; 32];
    for _ in 0..periods {
        let before: Vec<_> = (0..n).map(|h| world.traffic(h)).collect();
        world.run_for(config.probe_period);
        let (mut all_sent, mut all_received) = (0, 0);
        for (host, earlier) in before.into_iter().enumerate() {
            let traffic = world.traffic(host) - earlier;
            all_sent += traffic.datagrams_sent;
            all_received += traffic.datagrams_received;
            histogram[(traffic.datagrams_sent as usize).min(31)] += 1;
        }
        sent.push(all_sent as f64 / n as f64);
        received.push(all_received as f64 / n as f64);
    }
    let both: Vec<f64> = sent.iter().zip(&received).map(|(s, r)| s + r).collect();
    let se = deviation(&both) / (both.len() as f64).sqrt();
    Load { sent: mean(&sent), received: mean(&received), se, histogram }
}

fn charts(done: &[(usize, Load)]) -> Vec<Chart> {
    let line = |label: &str, style, value: &dyn Fn(&Load) -> f64| {
        let points = done.iter().map(|(n, load)| (*n as f64, value(load))).collect();
        Series::new(label, style, points)
    };
    let by_size = Chart {
        name: "swim-load".to_owned(),
        title: "Load per member does not grow with the group (SWIM Fig 2)".to_owned(),
        x: Axis::logarithmic("members"),
        y: Axis::linear("datagrams per member and period"),
        series: vec![
            line("sent", Style::Line, &|load| load.sent),
            line("received", Style::Points, &|load| load.received),
            line("SWIM: 2.0", Style::Dashed, &|_| 2.0),
        ],
    };
    let share = |(n, load): &(usize, Load)| {
        let points = (1..9).map(|limit| (limit as f64, load.below(limit))).collect();
        Series::new(format!("n = {n}"), Style::Line, points)
    };
    let spread = Chart {
        name: "swim-load-spread".to_owned(),
        title: "Share of members that send fewer than x in a period".to_owned(),
        x: Axis::linear("x, datagrams"),
        y: Axis::linear("share of member-periods"),
        series: done.iter().map(share).collect(),
    };
    vec![by_size, spread]
}
