//! Decides how flags are changed and shown on the command line.

use hyper::Method;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{block_on, follow, plain, print_json, print_line, read_json, table};
use crate::Failure;
use crate::args::{Flag, Wait};
use crate::client::{Client, segment};

pub(crate) fn run(agent: &Client, command: Flag) -> Result<(), Failure> {
    match command {
        Flag::Get { name, json } => get(agent, &name, json),
        Flag::List { json } => list(agent, json),
        Flag::Watch { json } => follow(watch(agent, json)),
        Flag::Set { name, value, kind, wait } => {
            let asked = json!({ "value": value, "type": kind });
            tell(agent, (Method::PUT, &path(&name, "")), &asked, &wait)
        }
        Flag::Stage { name, value, percent, zone, wait } => {
            if !(0.01..=100.0).contains(&percent) {
                let text = format!("--percent {percent}: expected 0.01 to 100");
                return Err(Failure::Misuse(text));
            }
            let asked = json!({ "value": value, "percent": percent, "zone": zone });
            tell(agent, (Method::PUT, &path(&name, "/stage")), &asked, &wait)
        }
        Flag::Promote { name, wait } => {
            tell(agent, (Method::PUT, &path(&name, "/promote")), &Value::Null, &wait)
        }
        Flag::Rollback { name, wait } => {
            tell(agent, (Method::PUT, &path(&name, "/rollback")), &Value::Null, &wait)
        }
        Flag::Alarm { name, reason } => {
            let asked = json!({ "reason": reason });
            tell(agent, (Method::PUT, &path(&name, "/alarm")), &asked, &Wait::default())
        }
        Flag::Delete { name, wait } => {
            tell(agent, (Method::DELETE, &path(&name, "")), &Value::Null, &wait)
        }
    }
}

#[derive(Deserialize)]
struct Record {
    name: String,
    r#type: String,
    value: Value,
    stage: Option<Stage>,
}

#[derive(Deserialize)]
struct Stage {
    value: Value,
    percent: f64,
    zone: Option<String>,
    stopped: Option<Vec<String>>,
}

fn tell(
    agent: &Client,
    (method, path): (Method, &str),
    asked: &Value,
    wait: &Wait,
) -> Result<(), Failure> {
    let body: Bytes = if asked.is_null() { Bytes::new() } else { asked.to_string().into() };
    match &wait.receipt {
        None => block_on(agent.call(method, path, body)).map(|_| ()),
        Some(receipt) => {
            let wanted = (receipt.as_str(), wait.timeout, false);
            super::receipt::write(agent, (method, path), body, wanted, false)
        }
    }
}

fn get(agent: &Client, name: &str, json: bool) -> Result<(), Failure> {
    let answer = block_on(agent.get(&path(name, "")))?;
    if json {
        return print_json(&answer);
    }
    let record: Record = read_json(&answer)?;
    print_line(&shown(&record.value))
}

fn list(agent: &Client, json: bool) -> Result<(), Failure> {
    let answer = block_on(agent.get("/v1/tidings/flags"))?;
    if json {
        return print_json(&answer);
    }
    let records: Vec<Record> = read_json(&answer)?;
    let rows = records.iter().map(|record| {
        let stage = record.stage.as_ref().map_or(String::new(), in_words);
        vec![plain(&record.name), record.r#type.clone(), shown(&record.value), stage]
    });
    print_line(&table(&["NAME", "TYPE", "VALUE HERE", "STAGE"], rows.collect()))
}

async fn watch(agent: &Client, json: bool) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Change {
        name: String,
        value: Option<String>,
    }
    let mut events = agent.events("/v1/tidings/watch?types=flag").await?;
    loop {
        let line = events.next().await?;
        if line.starts_with(b"{\"type\":\"lagged\"") {
            crate::complain("some changes were missed: list the flags again");
        }
        if !line.starts_with(b"{\"type\":\"flag\"") {
            continue;
        }
        if json {
            print_json(&line)?;
            continue;
        }
        let change: Change = read_json(&line)?;
        match change.value {
            Some(value) => print_line(&plain(&format!("{} = {value}", change.name)))?,
            None => print_line(&plain(&format!("{} deleted", change.name)))?,
        }
    }
}

fn in_words(stage: &Stage) -> String {
    let zone = stage.zone.as_ref().map_or(String::new(), |zone| format!(" of zone {zone}"));
    let text = format!("{} at {} %{zone}", shown(&stage.value), stage.percent);
    match &stage.stopped {
        Some(reasons) => plain(&format!("stopped ({}): {text}", reasons.join("; "))),
        None => plain(&text),
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), plain)
}

fn path(name: &str, end: &str) -> String {
    format!("/v1/tidings/flags/{}{end}", segment(name))
}
