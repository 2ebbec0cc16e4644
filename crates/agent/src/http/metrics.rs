//! Decides what `/metrics` shows: every counter of the core by its name, and the gauges that an
//! operator watches, in the text format of Prometheus.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use tidings::Paced;
use tidings_proto::convergence::delay::{BOUNDS, Delays, HOPS_MAX, Topic, bound};

use super::{App, Fault};
use crate::{log, os};

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Fault> {
    let (stats, gauges, delays) = app
        .node
        .query(|view, stats| {
            let (alive, failed, left) = view.counts();
            let (live, deleted) = view.entry_counts();
            let gauges = [
                ("tidings_members{status=\"alive\"}", alive as f64),
                ("tidings_members{status=\"failed\"}", failed as f64),
                ("tidings_members{status=\"left\"}", left as f64),
                ("tidings_entries{kind=\"live\"}", live as f64),
                ("tidings_entries{kind=\"deleted\"}", deleted as f64),
                ("tidings_local_health", f64::from(view.local_health())),
                ("tidings_rumours_waiting", view.rumours_waiting() as f64),
                ("tidings_spread_seconds", view.spread_time().as_secs_f64()),
                ("tidings_synced", f64::from(u8::from(view.synced()))),
                ("tidings_disk_failed", f64::from(u8::from(view.writes_refused()))),
            ];
            let gauges = gauges.into_iter().chain(pace(view.paced())).collect::<Vec<_>>();
            (stats.clone(), gauges, topics(view.delays()))
        })
        .await?;
    let usage = os::usage();
    let mut text = String::with_capacity(16 * 1024);
    for (name, value) in stats.each() {
        sample(&mut text, "counter", &format!("tidings_{name}_total"), value as f64);
    }
    for (name, value) in gauges {
        sample(&mut text, "gauge", name, value);
    }
    text.push_str(&histograms(&delays));
    let io = app.node.io_faults();
    sample(&mut text, "counter", "tidings_sends_full_total", io.sends_full as f64);
    sample(&mut text, "counter", "tidings_sends_failed_total", io.sends_failed as f64);
    sample(&mut text, "counter", "tidings_streams_oversized_total", io.streams_oversized as f64);
    let watchers = app.watchers.load(Ordering::Relaxed);
    let missed = app.watch_missed.load(Ordering::Relaxed);
    sample(&mut text, "gauge", "tidings_watchers", watchers as f64);
    sample(&mut text, "counter", "tidings_watch_events_missed_total", missed as f64);
    let dropped = log::lines_dropped();
    sample(&mut text, "counter", "tidings_log_lines_dropped_total", dropped as f64);
    sample(&mut text, "gauge", "process_resident_memory_bytes", usage.resident_bytes as f64);
    sample(&mut text, "counter", "process_cpu_seconds_total", usage.cpu.as_secs_f64());
    sample(&mut text, "gauge", "process_open_fds", usage.open_files as f64);
    sample(&mut text, "gauge", "process_threads", usage.threads as f64);
    let started = app.about.started_ms as f64 / 1000.0;
    sample(&mut text, "gauge", "process_start_time_seconds", started);
    let version = format!("tidings_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    sample(&mut text, "gauge", &version, 1.0);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// Where gossip follows an aim. Without an end: more changes than the budget can tell.
fn pace(paced: Option<Paced>) -> impl Iterator<Item = (&'static str, f64)> {
    paced.into_iter().flat_map(|Paced { pace, outlook, .. }| {
        let expected = outlook.expected.map_or(f64::INFINITY, |it| it.as_secs_f64());
        [
            ("tidings_pace_interval_seconds", pace.interval.as_secs_f64()),
            ("tidings_pace_fanout", f64::from(pace.fanout)),
            ("tidings_pace_sends", f64::from(pace.sends)),
            ("tidings_pace_expected_p99_seconds", expected),
            ("tidings_pace_expected_bytes_per_second", outlook.bytes),
            ("tidings_pace_met", f64::from(u8::from(outlook.meets))),
        ]
    })
}

/// What came here as news, by topic.
fn topics(delays: &Delays) -> Vec<(String, Topic)> {
    let own = [("members", &*delays.members), ("events", &*delays.events)];
    let own = own.map(|(name, topic)| (name.to_owned(), topic.clone()));
    let keyspaces = delays.keyspaces().map(|(name, topic)| {
        let name = if name.is_empty() { "others" } else { name };
        (format!("kv/{name}"), topic.clone())
    });
    own.into_iter().chain(keyspaces).collect()
}

/// Delays from the write to this node, and members that told it on.
fn histograms(topics: &[(String, Topic)]) -> String {
    let mut text = String::new();
    let header = |text: &mut String, name: &str| {
        let _ = writeln!(text, "# TYPE {name} histogram");
    };
    let name = "tidings_convergence_seconds";
    header(&mut text, name);
    for (topic, known) in topics {
        for (path, histogram) in [("rumour", &known.rumours), ("session", &known.sessions)] {
            let labels = format!("topic=\"{}\",path=\"{path}\"", escaped(topic));
            let mut below = 0;
            for (bucket, count) in histogram.buckets.iter().enumerate().take(BOUNDS) {
                below += count;
                let le = bound(bucket).as_secs_f64();
                let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{le}\"}} {below}");
            }
            let (count, sum) = (histogram.count, histogram.sum.as_secs_f64());
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
            let _ = writeln!(text, "{name}_sum{{{labels}}} {sum}");
            let _ = writeln!(text, "{name}_count{{{labels}}} {count}");
        }
    }
    let name = "tidings_convergence_hops";
    header(&mut text, name);
    for (topic, known) in topics {
        let label = format!("topic=\"{}\"", escaped(topic));
        let (mut below, mut sum) = (0, 0);
        for (hops, count) in (1..).zip(known.hops) {
            below += count;
            sum += hops * count;
            // The last place holds longer ways as well.
            if hops < HOPS_MAX as u64 {
                let _ = writeln!(text, "{name}_bucket{{{label},le=\"{hops}\"}} {below}");
            }
        }
        let _ = writeln!(text, "{name}_bucket{{{label},le=\"+Inf\"}} {below}");
        let _ = writeln!(text, "{name}_sum{{{label}}} {sum}");
        let _ = writeln!(text, "{name}_count{{{label}}} {below}");
    }
    text
}

/// The value of a label: any text.
fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// One sample, with the type of its family before the first of it.
fn sample(text: &mut String, kind: &str, name: &str, value: f64) {
    let family = name.split('{').next().unwrap_or(name);
    let header = format!("# TYPE {family} {kind}\n");
    if !text.contains(&header) {
        text.push_str(&header);
    }
    let _ = writeln!(text, "{name} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_cumulative_and_labels_are_escaped() {
        let mut topic = Topic::default();
        topic.rumours.add(std::time::Duration::from_millis(3));
        topic.hops[1] += 1;
        let text = histograms(&[("kv/a\"b\\\n".to_owned(), topic)]);
        let labels = r#"topic="kv/a\"b\\\n",path="rumour""#;
        for (le, count) in [("0.002828", 0), ("0.004", 1), ("+Inf", 1)] {
            let line =
                format!("tidings_convergence_seconds_bucket{{{labels},le=\"{le}\"}} {count}");
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
        assert!(text.contains(r#"tidings_convergence_hops_sum{topic="kv/a\"b\\\n"} 2"#), "{text}");
    }

    #[test]
    fn a_family_has_one_header() {
        let mut text = String::new();
        sample(&mut text, "gauge", "m{a=\"1\"}", 1.0);
        sample(&mut text, "gauge", "m{a=\"2\"}", 2.5);
        assert_eq!(text, "# TYPE m gauge\nm{a=\"1\"} 1\nm{a=\"2\"} 2.5\n");
    }
}
