//! Decides how the stream of the cluster's events reads.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::{follow, plain, print_json, print_line, read_json};
use crate::client::{Client, segment};
use crate::{Failure, args};

pub(crate) fn run(agent: &Client, flags: &args::Monitor) -> Result<(), Failure> {
    let types = flags.types.as_deref().unwrap_or("");
    let path = format!("/v1/tidings/watch?types={}", segment(types));
    follow(async {
        let mut events = agent.events(&path).await?;
        loop {
            let line = events.next().await?;
            if flags.json {
                print_json(&line)?;
            } else {
                print_line(&tell(&read_json(&line)?))?;
            }
        }
    })
}

fn tell(event: &Value) -> String {
    let text = |name: &str| plain(event[name].as_str().unwrap_or(""));
    let at = jiff::Timestamp::from_millisecond(event["at_ms"].as_i64().unwrap_or(0));
    let at = at.unwrap_or_default();
    let what = match event["type"].as_str().unwrap_or("") {
        "snapshot" => snapshot(event),
        "member" => format!("{:<8} {} {}", text("change"), text("name"), text("addr")),
        "event" => {
            let payload = decoded(&event["payload"]);
            format!("event    {} from {}: {payload}", text("name"), text("from"))
        }
        "key" => {
            let (space, key) = (text("keyspace"), key(event));
            match &event["value"] {
                Value::Null => format!("key      {space}/{key} deleted"),
                value => format!("key      {space}/{key} = {}", decoded(value)),
            }
        }
        "flag" => match event["value"].as_str() {
            Some(value) => format!("flag     {} = {}", text("name"), plain(value)),
            None => format!("flag     {} deleted", text("name")),
        },
        "alarm" => format!("alarm    {}", text("text")),
        "cut" => {
            let gone = event["gone"].as_array().map_or(&[][..], Vec::as_slice);
            let names: Vec<String> = gone.iter().filter_map(Value::as_str).map(plain).collect();
            format!("cut      {} gone, {} alive: {}", gone.len(), event["alive"], names.join(", "))
        }
        "owning" => format!("owning   {}", text("owning")),
        "conflict" => {
            let (space, key) = (text("keyspace"), key(event));
            format!("conflict {space}/{key}: a write was given up (`tidings kv conflicts`)")
        }
        "lagged" => format!("lagged   {} events were missed", event["missed"]),
        _ => event.to_string(),
    };
    format!("{at:.3} {what}")
}

fn key(event: &Value) -> String {
    match event["key"].as_str() {
        Some(key) => plain(key),
        None => decoded(&event["KeyB64"]),
    }
}

fn snapshot(event: &Value) -> String {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for member in event["members"].as_array().into_iter().flatten() {
        *counts.entry(member["status"].as_str().unwrap_or("?")).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(status, n)| format!("{n} {status}")).collect();
    format!("members  {}", counts.join(", "))
}

/// Base64 as text for a terminal, at most a line of it.
fn decoded(value: &Value) -> String {
    let bytes = BASE64_STANDARD.decode(value.as_str().unwrap_or("")).unwrap_or_default();
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => plain(text),
        Err(_) => bytes.escape_ascii().to_string(),
    };
    match text.char_indices().nth(200) {
        Some((cut, _)) => format!("{}... ({} bytes)", &text[..cut], bytes.len()),
        None => text,
    }
}
