//! Decides what the one screen of `status` shows.

use std::time::Duration;

use serde_json::Value;

use super::{block_on, plain, print_json, print_line, read_json, receipt};
use crate::Failure;
use crate::args::Status;
use crate::client::Client;

pub(crate) fn run(agent: &Client, flags: &Status) -> Result<(), Failure> {
    if flags.wait {
        return receipt::agreement(agent, flags);
    }
    let json = block_on(agent.get("/v1/tidings/status"))?;
    if flags.json {
        return print_json(&json);
    }
    let status: Value = read_json(&json)?;
    print_line(&screen(&status))
}

fn screen(status: &Value) -> String {
    let text = |path: &str| show(status.pointer(path).unwrap_or(&Value::Null));
    let millis = |path: &str| status.pointer(path).and_then(Value::as_f64).unwrap_or(0.0);
    let uptime = Duration::from_secs((millis("/uptime_ms") / 1000.0) as u64);
    let mib = millis("/resident_bytes") / f64::from(1024 * 1024);
    let mut lines = vec![
        ("node", format!("{}  {}", text("/name"), text("/status"))),
        ("id", format!("{}  incarnation {}", text("/id"), text("/incarnation"))),
        ("addresses", format!("gossip {}  http {}", text("/addr"), text("/http"))),
        ("cluster", format!("{}  profile {}", text("/cluster"), text("/profile"))),
        ("data", text("/data_dir")),
        (
            "process",
            format!(
                "version {}  pid {}  up {}  {mib:.1} MiB",
                text("/version"),
                text("/pid"),
                tidings_sim::duration::show(uptime)
            ),
        ),
        (
            "members",
            format!(
                "{} alive  {} failed  {} left",
                text("/members/alive"),
                text("/members/failed"),
                text("/members/left")
            ),
        ),
        (
            "entries",
            format!("{} live  {} deleted", text("/entries/live"), text("/entries/deleted")),
        ),
        ("keyspaces", list(status, "keyspaces")),
        ("seeds", list(status, "seeds")),
        ("in step", text("/synced")),
        (
            "fingerprints",
            format!(
                "members {}  state {}",
                text("/fingerprints/members"),
                text("/fingerprints/state")
            ),
        ),
        ("spread", format!("news reach all in about {:.0} ms", millis("/spread_ms"))),
        ("local health", format!("{} (0 is well)", text("/local_health"))),
        (
            "datagrams/s",
            format!(
                "{} sent  {} received",
                text("/datagrams_per_s/sent"),
                text("/datagrams_per_s/received")
            ),
        ),
        ("waiting", format!("{} rumours", text("/rumours_waiting"))),
        ("dropped", drops(status)),
    ];
    for alarm in status["alarms"].as_array().into_iter().flatten() {
        let at = alarm["at_ms"].as_i64().unwrap_or(0);
        let at = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
        lines.push(("alarm", format!("{at:.0} {}", show(&alarm["text"]))));
    }
    let lines: Vec<String> =
        lines.into_iter().map(|(label, text)| format!("{label:<14}{text}")).collect();
    lines.join("\n")
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn list(status: &Value, name: &str) -> String {
    let items: Vec<String> = status[name].as_array().into_iter().flatten().map(show).collect();
    if items.is_empty() { "-".to_owned() } else { items.join(" ") }
}

fn drops(status: &Value) -> String {
    let drops: Vec<String> = status["drops"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if drops.is_empty() { "nothing".to_owned() } else { drops.join("  ") }
}
