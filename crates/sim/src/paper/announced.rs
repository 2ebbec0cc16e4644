//! Decides how rumours that are announced first are held against the best variant of Demers et al.
//! 1987: as fast and as sure, with one copy of the update for each site.

use super::{Bar, Row, Table};
use crate::epidemic::Mode;
use crate::epidemic::rumor::{Interest, Rumor, Stop, sample};
use crate::report::chart::{Axis, Chart, Series, Style};
use crate::statistics::Summary;
use crate::work::Work;

/// The best variant of the paper: two that meet compare counters, the smaller one counts.
const BEST: Rumor = Rumor {
    mode: Mode::PushPull,
    interest: Interest::Feedback,
    stop: Stop::Counter,
    k: 3,
    nodes: 1_000,
    minimize: true,
    announce: false,
    connection_limit: None,
    hunt: 0,
};

/// Copies for each site of the best variant of the paper, and its cycles until the last has it.
const REFERENCE: (f64, f64) = (5.29, 9.15);
/// What a site may send of one update: 1.3 log2 n (row B6).
const SENDS_FACTOR: f64 = 1.3;

pub(super) fn run(work: &Work<'_>) -> Table {
    let mut table = Table {
        title: "Announced rumours: each site gets an update once".to_owned(),
        notes: vec![
            "Push-pull, feedback, counter k = 3, minimised: two sites that meet say which updates \
             they have and how often they heard of them again. Announced: the update itself goes \
             only to who asks for it, and a site asks the first that has it. Copies per site: \
             (n - 1)/n. No loss; the best variant of the paper beside it, from our own runs of it."
                .to_owned(),
            format!("Bar of what is sent or announced: {SENDS_FACTOR} log2 n per site.",),
        ],
        ..Table::default()
    };
    let mut series = [("sent at once", Vec::new()), ("announced", Vec::new())];
    for nodes in [100, 1_000, 10_000] {
        let runs = match nodes {
            1_000 if !work.quick => 20_000,
            10_000 if work.quick => 20,
            _ if work.quick => 400,
            _ => 1_000,
        };
        for announce in [false, true] {
            let rumor = Rumor { nodes, announce, ..BEST };
            let Some(found) = sample(&rumor, runs, work) else { return table };
            let how = if announce { "announced" } else { "sent at once" };
            let mut row = |what: &str, paper, ours: Summary, bar| {
                let what = format!("{nodes} sites, {how}: {what}");
                table.rows.push(Row { what, paper, ours: ours.mean, se: ours.se, bar });
            };
            let best = (nodes == 1_000 && !announce).then_some(REFERENCE);
            series[usize::from(announce)].1.push((nodes as f64, found.copies.mean));
            let once = (nodes - 1) as f64 / nodes as f64;
            let of = |announced: Bar| if announce { announced } else { Bar::None };
            let copies = of(Bar::Near { of: once, tolerance: 0.001 });
            row("copies of the update per site", best.map(|b| b.0), found.copies, copies);
            let none = of(Bar::AtMost(if nodes <= 1_000 { 0.0 } else { 1e-6 }));
            row("share of sites that never get it", None, found.residue, none);
            let last = if announce && nodes == 1_000 { Bar::AtMost(9.3) } else { Bar::None };
            row("cycles until the last has it", best.map(|b| b.1), found.t_last, last);
            let most = SENDS_FACTOR * (nodes as f64).log2();
            row("sent or announced per site", None, found.traffic, of(Bar::AtMost(most)));
        }
    }
    table.charts.push(Chart {
        name: "announced".to_owned(),
        title: "Copies of an update for each site".to_owned(),
        x: Axis::logarithmic("sites"),
        y: Axis::linear("copies per site"),
        series: series.map(|(how, points)| Series::new(how, Style::Line, points)).to_vec(),
    });
    table
}
