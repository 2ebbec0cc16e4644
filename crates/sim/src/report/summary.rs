//! Decides how a terminal shows what a run found: a line for each thing that happened.

use crate::scenario::outcome::{Outcome, Quantiles, Summary};

/// The summary, each line with a label.
pub fn text(outcome: &Outcome) -> String {
    let s = &outcome.summary;
    let mut rows = vec![("ran", ran(s))];
    rows.extend(updates(s));
    rows.extend(members(s));
    rows.extend(traffic(s));
    rows.push(("at the end", end(s)));
    rows.extend(s.violations.iter().map(|rule| ("BROKEN RULE", rule.clone())));
    rows.extend(s.expectations.iter().filter(|e| e.line > 0).map(|e| {
        let verdict = if e.pass { "pass" } else { "FAIL" };
        (verdict, format!("line {}: {}: {}", e.line, e.expected, e.found))
    }));
    rows.push(("trace", s.trace_hash.clone()));
    let mut text = format!("{} (seed {})\n", outcome.file, s.seed);
    for (label, what) in rows {
        text.push_str(&format!("  {label:<14}{what}\n"));
    }
    text
}

fn ran(s: &Summary) -> String {
    let mut text = format!("{} nodes for {} s, {} inputs", s.nodes, s.virtual_seconds, s.inputs);
    if let (Some(wall), Some(rate)) = (s.wall_seconds, s.inputs_per_second) {
        let speed = s.virtual_seconds / wall.max(1e-9);
        text.push_str(&format!(", in {wall:.2} s ({speed:.1} x real time, {rate:.0} a second)"));
    }
    if let Some(set_up) = s.set_up_seconds {
        text.push_str(&format!(", after {set_up:.2} s to set up"));
    }
    if let Some(mib) = s.peak_mib {
        text.push_str(&format!(", {mib} MiB"));
    }
    text
}

fn updates(s: &Summary) -> Vec<(&'static str, String)> {
    let u = &s.updates;
    if u.made == 0 {
        return Vec::new();
    }
    let mean = s.hops_mean.map_or_else(|| "unknown".to_owned(), |hops| format!("{hops:.2} mean"));
    vec![
        ("updates", format!("{} made, {} reached all, {} did not", u.made, u.reached, u.unreached)),
        ("to all", quantiles(&s.convergence)),
        ("to each", quantiles(&s.delivery)),
        ("hops", format!("{mean}, {} most", s.hops_max)),
    ]
}

fn members(s: &Summary) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if s.joins.made > 0 {
        let (made, known) = (s.joins.made, s.joins.reached);
        rows.push((
            "joins",
            format!("{made} made, {known} known to all: {}", quantiles(&s.join_seconds)),
        ));
    }
    let d = &s.detection;
    if d.departures > 0 {
        let (first, all) = (pair(d.first_p50, d.first_max), pair(d.all_p50, d.all_max));
        let (ends, missed) = (d.departures, d.undetected);
        let what = format!("{ends}, {missed} not noticed by all; by one {first}; by all {all}");
        rows.push(("ends", what));
    }
    let (deaths, confirmed) = (s.false_deaths, s.false_deaths_confirmed);
    rows.push(("false deaths", format!("{deaths} ({confirmed} confirmed)")));
    rows
}

fn traffic(s: &Summary) -> Vec<(&'static str, String)> {
    let t = &s.traffic;
    let causes = t.by_cause.iter().filter(|(_, bytes)| **bytes >= 0.05);
    let causes: Vec<String> = causes.map(|(cause, bytes)| format!("{cause} {bytes:.1}")).collect();
    let per = format!(
        "{:.2} datagrams and {:.1} B per node and second: {}",
        t.datagrams_per_node_second,
        t.bytes_per_node_second,
        causes.join(", ")
    );
    let (sent, known, bytes) = (t.rumours_sent, t.duplicates, t.duplicate_bytes);
    let duplicates = format!("{known} of {sent} rumours sent were known already ({bytes} B)");
    vec![("traffic", per), ("duplicates", duplicates)]
}

fn end(s: &Summary) -> String {
    let equal = match s.equal_seconds {
        Some(seconds) => format!("all equal {seconds:.1} s after the last action"),
        None => format!("not equal: {} groups", s.groups_at_end),
    };
    format!("{equal}; each lists {} to {} alive", s.alive_at_end.0, s.alive_at_end.1)
}

fn quantiles(q: &Quantiles) -> String {
    let (Some(mean), Some(p50), Some(p99), Some(max)) = (q.mean, q.p50, q.p99, q.max) else {
        return "none".to_owned();
    };
    format!("{mean:.3} s mean, {p50:.3} p50, {p99:.3} p99, {max:.3} most")
}

fn pair(p50: Option<f64>, max: Option<f64>) -> String {
    match (p50, max) {
        (Some(p50), Some(max)) => format!("{p50:.3} s p50, {max:.3} most"),
        _ => "never".to_owned(),
    }
}
