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
    let mut lines = vec![
        ("node", format!("{}  {}", text("/name"), text("/status"))),
        ("id", format!("{}  incarnation {}", text("/id"), text("/incarnation"))),
        ("addresses", format!("gossip {}  http {}", text("/addr"), text("/http"))),
        ("cluster", format!("{}  profile {}", text("/cluster"), text("/profile"))),
        ("data", text("/data_dir")),
        ("process", process(status)),
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
        ("tombstones", tombstones(status)),
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
        ("same state", same_state(status)),
        ("quiet", quiet(status)),
        ("spread", format!("news reach all in about {:.0} ms", millis("/spread_ms"))),
        ("pace", pace(&status["pace"])),
        ("owning", format!("{} (this side of a split)", text("/owning"))),
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

fn process(status: &Value) -> String {
    let number = |name: &str| status[name].as_f64().unwrap_or(0.0);
    let uptime = Duration::from_secs((number("uptime_ms") / 1000.0) as u64);
    let mib = number("resident_bytes") / f64::from(1024 * 1024);
    format!(
        "version {}  pid {}  up {}  {mib:.1} MiB",
        show(&status["version"]),
        show(&status["pid"]),
        tidings_sim::duration::show(uptime)
    )
}

/// The rounds that were chosen for an aim, and whether it is met.
fn pace(pace: &Value) -> String {
    if pace.is_null() {
        return "as set".to_owned();
    }
    let of = |name: &str| show(&pace[name]);
    let expected = match pace["expected_p99_ms"].as_f64() {
        Some(ms) => format!("in {ms:.0} ms (p99)"),
        None => "later than changes come".to_owned(),
    };
    let met = if pace["met"] == true { "as wanted" } else { "NOT as wanted" };
    format!(
        "{} peers every {} ms, {} sends: {expected} at {} bytes/s, {met}",
        of("fanout"),
        of("interval_ms"),
        of("sends"),
        of("expected_bytes_per_second")
    )
}

/// Deletes that are not forgotten yet, and why.
fn tombstones(status: &Value) -> String {
    let of = |name: &str| &status["tombstones"][name];
    let names: Vec<String> = of("wait_for").as_array().into_iter().flatten().map(show).collect();
    match names.is_empty() || of("count").as_u64() == Some(0) {
        true => show(of("count")),
        false => format!("{} wait for {}", show(of("count")), names.join(", ")),
    }
}

/// The groups of members that hold the same state, the largest first.
fn same_state(status: &Value) -> String {
    let groups = status.pointer("/state_groups/groups").and_then(Value::as_array);
    let groups: Vec<String> = groups.into_iter().flatten().map(|g| show(&g["members"])).collect();
    let more = if status["state_groups"]["more"].as_u64() > Some(0) { " ..." } else { "" };
    let unheard = status["state_groups"]["unheard"].as_u64().unwrap_or(0);
    let unheard = if unheard > 0 { format!("  {unheard} not heard yet") } else { String::new() };
    format!("{} members{more}{unheard}", groups.join(" + "))
}

fn quiet(status: &Value) -> String {
    let of = |name: &str| &status["quiet"][name];
    let rounds = format!("{} rounds of {}", show(of("rounds")), show(of("rounds_needed")));
    let likely = of("likely_converged").as_bool() == Some(true);
    let percent = of("probability").as_f64().unwrap_or(0.0) * 100.0;
    let said = if likely { "likely converged" } else { "not quiet for long enough" };
    format!("{rounds}: {said} ({percent:.2} %)")
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
