//! Decides what the report of one scenario shows: how updates spread beside what the model of the
//! agent's timers says, what was detected when, where the bytes went, and who agreed with whom.

use tidings_proto::base::rng::Rng;

use super::chart::{Axis, Chart, Series, Style};
use super::html::{Report, Section};
use super::number::{brief, show};
use crate::epidemic::eager::Cluster;
use crate::host::Spent;
use crate::scenario::Scenario;
use crate::scenario::outcome::{Outcome, Quantiles, Sample, Spread};

/// Curves of single updates in one chart.
const CURVES_MAX: usize = 6;
/// Runs of the model behind the dashed curve.
const MODEL_RUNS: u32 = 40;
/// Rows of tables.
const ROWS_MAX: usize = 200;

/// The whole page.
pub fn html(scenario: &Scenario, outcome: &Outcome) -> String {
    let s = &outcome.summary;
    let sections = [
        Some(numbers(outcome)),
        spreads(scenario, outcome),
        detections(outcome),
        Some(agreement(&outcome.samples)),
        Some(bytes(outcome)),
        actions(outcome),
    ];
    let report = Report {
        title: format!("Scenario {}", outcome.file),
        lead: format!(
            "{} nodes for {} simulated seconds with seed {}; trace {}.",
            s.nodes,
            show(s.virtual_seconds),
            s.seed,
            s.trace_hash
        ),
        sections: sections.into_iter().flatten().collect(),
    };
    report.html()
}

fn numbers(outcome: &Outcome) -> Section {
    let s = &outcome.summary;
    let mut rows = vec![
        row("updates made, and known to all", format!("{}, {}", s.updates.made, s.updates.reached)),
        row("seconds until all know an update", quantiles(&s.convergence)),
        row("seconds until each knows it", quantiles(&s.delivery)),
        row(
            "false deaths, of them confirmed",
            format!("{}, {}", s.false_deaths, s.false_deaths_confirmed),
        ),
        row("all equal after the last action", optional(s.equal_seconds, "s")),
        row("datagrams per node and second", show(s.traffic.datagrams_per_node_second)),
        row("bytes per node and second", show(s.traffic.bytes_per_node_second)),
        row(
            "rumours sent, and known already",
            format!("{}, {}", s.traffic.rumours_sent, s.traffic.duplicates),
        ),
        row("inbound datagrams, most over mean", optional(s.traffic.inbound_max_over_mean, "")),
    ];
    rows.extend(
        s.violations.iter().map(|v| vec!["broken rule".to_owned(), v.clone(), "FAIL".to_owned()]),
    );
    for e in &s.expectations {
        let verdict = if e.pass { "PASS" } else { "FAIL" };
        let what = format!("line {}: expected {}", e.line, e.expected);
        rows.push(vec![what, e.found.clone(), verdict.to_owned()]);
    }
    let header = ["what", "found", "verdict"].map(str::to_owned).to_vec();
    Section { heading: "Numbers".to_owned(), table: Some((header, rows)), ..Section::default() }
}

fn row(what: &str, found: String) -> Vec<String> {
    vec![what.to_owned(), found, String::new()]
}

fn quantiles(q: &Quantiles) -> String {
    match (q.mean, q.p50, q.p99, q.max) {
        (Some(mean), Some(p50), Some(p99), Some(max)) => format!(
            "mean {}, p50 {}, p99 {}, most {}",
            brief(mean),
            brief(p50),
            brief(p99),
            brief(max)
        ),
        _ => "none".to_owned(),
    }
}

fn optional(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(|| "no".to_owned(), |v| format!("{} {unit}", brief(v)).trim().to_owned())
}

fn spreads(scenario: &Scenario, outcome: &Outcome) -> Option<Section> {
    let updates: Vec<&Spread> = outcome.spreads.iter().filter(|s| s.kind != "join").collect();
    if updates.is_empty() {
        return None;
    }
    let step = updates.len().div_ceil(CURVES_MAX);
    let mut series: Vec<Series> = updates
        .iter()
        .step_by(step)
        .map(|s| {
            Series::new(format!("{} at {} s", s.what, show(s.at)), Style::Line, s.curve.clone())
        })
        .collect();
    let model = model(scenario, outcome);
    let told = match &model {
        Some(_) => "Dashed: the model of the same timers in a cluster at rest.",
        None => {
            "The model is left out: it knows neither distance, nor such loss, nor clusters of several kinds."
        }
    };
    series.extend(model);
    let infection = Chart {
        name: "infection".to_owned(),
        title: "Share of nodes that know an update".to_owned(),
        x: Axis::linear("seconds since the update"),
        y: Axis::linear("share"),
        series,
    };
    let depth = updates.iter().map(|s| s.hops.len()).max().unwrap_or(0);
    let hops: Vec<f64> = (0..depth)
        .map(|hop| updates.iter().filter_map(|s| s.hops.get(hop)).sum::<u64>() as f64)
        .collect();
    let all: f64 = hops.iter().sum();
    let points = hops.iter().enumerate().map(|(hop, n)| (hop as f64, n / all.max(1.0))).collect();
    let hops = Chart {
        name: "hops".to_owned(),
        title: "Hops from the node that made the update".to_owned(),
        x: Axis::linear("hops"),
        y: Axis::linear("share of nodes"),
        series: vec![Series::new("all updates", Style::Bars, points)],
    };
    Some(Section {
        heading: "How updates spread".to_owned(),
        text: format!("{} updates were followed; some of them are drawn.\n{told}", updates.len()),
        table: None,
        charts: vec![infection, hops],
    })
}

/// What the timers of the first node's settings say for the whole cluster.
fn model(scenario: &Scenario, outcome: &Outcome) -> Option<Series> {
    let members = &scenario.cast.members;
    let config = &members[0].config;
    if scenario.map.is_some() || members.iter().any(|m| m.config != *config) {
        return None;
    }
    let cluster = Cluster {
        nodes: members.len() as u32,
        config,
        latency: scenario.conditions.latency,
        loss: scenario.conditions.loss,
    };
    cluster.check().ok()?;
    let mut rng = Rng::fork(&Rng::from_u64(outcome.summary.seed).bytes32(), "report model");
    let times = cluster.infection(MODEL_RUNS, &mut rng);
    let share = |known: usize| known as f64 / times.len() as f64;
    let step = times.len().div_ceil(200).max(1);
    let shown = (0..times.len()).filter(|i| i % step == 0 || i + 1 == times.len());
    let points = shown.map(|i| (times[i], share(i + 1))).collect();
    Some(Series::new("model", Style::Dashed, points))
}

fn detections(outcome: &Outcome) -> Option<Section> {
    if outcome.departures.is_empty() {
        return None;
    }
    let rows = outcome.departures.iter().take(ROWS_MAX).map(|d| {
        let by = d.by.clone().unwrap_or_else(|| "nobody".to_owned());
        let noticed = format!("{} of {}", d.noticed, d.audience);
        vec![
            show(d.at),
            d.who.clone(),
            d.how.to_owned(),
            optional(d.first, "s"),
            by,
            optional(d.all, "s"),
            noticed,
        ]
    });
    let header = ["at (s)", "who", "how", "first", "by", "all", "noticed"];
    let times = |of: fn(&crate::scenario::outcome::Departure) -> Option<f64>| {
        let mut sample: Vec<f64> = outcome.departures.iter().filter_map(of).collect();
        sample.sort_by(f64::total_cmp);
        let share = |i: usize| (i + 1) as f64 / outcome.departures.len() as f64;
        sample.iter().enumerate().map(|(i, t)| (*t, share(i))).collect()
    };
    let chart = Chart {
        name: "detection".to_owned(),
        title: "Share of the ends that were noticed".to_owned(),
        x: Axis::linear("seconds since the end"),
        y: Axis::linear("share"),
        series: vec![
            Series::new("by somebody", Style::Points, times(|d| d.first)),
            Series::new("by all", Style::Points, times(|d| d.all)),
        ],
    };
    Some(Section {
        heading: "Detection".to_owned(),
        text: String::new(),
        table: Some((header.map(str::to_owned).to_vec(), rows.collect())),
        charts: vec![chart],
    })
}

fn agreement(samples: &[Sample]) -> Section {
    let over = |label: &str, of: &dyn Fn(&Sample) -> f64| {
        let points = samples.iter().map(|s| (s.at, of(s))).collect();
        Series::new(label, Style::Line, points)
    };
    let chart = |name: &str, title: &str, label: &str, series: Vec<Series>| Chart {
        name: name.to_owned(),
        title: title.to_owned(),
        x: Axis::linear("seconds"),
        y: Axis::linear(label),
        series,
    };
    let groups = over("digest groups", &|s| s.groups as f64);
    let members = vec![
        over("running", &|s| s.running as f64),
        over("alive, as listed by the one that lists fewest", &|s| s.alive.0 as f64),
        over("alive, as listed by the one that lists most", &|s| s.alive.1 as f64),
    ];
    Section {
        heading: "Who agrees".to_owned(),
        text: "A digest group is a set of nodes with equal fingerprints of members and state: one group means that all are equal.".to_owned(),
        table: None,
        charts: vec![
            chart("groups", "Digest groups over time", "groups", vec![groups]),
            chart("members", "Members over time", "nodes", members),
        ],
    }
}

fn bytes(outcome: &Outcome) -> Section {
    let samples = &outcome.samples;
    let cause = |cause: &'static str| {
        let points = samples.windows(2).map(|pair| {
            let span = pair[1].at - pair[0].at;
            let bytes = pair[1].bytes.get(cause).copied().unwrap_or(0) as f64;
            (pair[1].at, bytes / span.max(1e-9) / pair[1].running.max(1) as f64)
        });
        Series::new(cause, Style::Line, points.collect())
    };
    let rows = outcome.summary.traffic.by_cause.iter().map(|(cause, per)| {
        let share = per / outcome.summary.traffic.bytes_per_node_second.max(1e-9) * 100.0;
        vec![(*cause).to_owned(), show(*per), format!("{share:.1} %")]
    });
    let header = ["cause", "bytes per node and second", "share"];
    Section {
        heading: "Where the bytes went".to_owned(),
        text: format!(
            "Payload as sent, on datagrams and streams. {:.2} % of all bytes have a cause. Rumours that said nothing new: {} B.",
            outcome.summary.traffic.accounted * 100.0,
            outcome.summary.traffic.duplicate_bytes
        ),
        table: Some((header.map(str::to_owned).to_vec(), rows.collect())),
        charts: vec![Chart {
            name: "bytes".to_owned(),
            title: "Bytes by cause over time".to_owned(),
            x: Axis::linear("seconds"),
            y: Axis::linear("bytes per node and second"),
            series: Spent::CAUSES.into_iter().map(cause).collect(),
        }],
    }
}

fn actions(outcome: &Outcome) -> Option<Section> {
    let rows: Vec<Vec<String>> =
        outcome.actions.iter().take(ROWS_MAX).map(|a| vec![show(a.at), a.what.clone()]).collect();
    let header = ["at (s)", "what"].map(str::to_owned).to_vec();
    (!rows.is_empty()).then(|| Section {
        heading: "What was done".to_owned(),
        table: Some((header, rows)),
        ..Section::default()
    })
}
