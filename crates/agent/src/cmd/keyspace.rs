//! Decides how keyspaces are declared and listed on the command line.

use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use super::{block_on, plain, print_json, print_line, read_json, table};
use crate::Failure;
use crate::args::Keyspace;
use crate::client::{Client, refused, segment};

const PATH: &str = "/v1/tidings/keyspace";

#[derive(Deserialize)]
struct Record {
    name: String,
    kind: String,
    consistency: String,
    lifetime_ms: Option<u64>,
    mode: String,
    hot: bool,
    declared: bool,
}

pub(crate) fn run(agent: &Client, command: &Keyspace) -> Result<(), Failure> {
    match command {
        Keyspace::List { json } => list(agent, *json),
        Keyspace::Set { name, kind, consistency, lifetime, mode, hot } => {
            let said = json!({
                "kind": kind, "consistency": consistency, "lifetime": lifetime, "mode": mode,
                "hot": hot,
            });
            let (url, body) = (format!("{PATH}/{}", segment(name)), said.to_string());
            let answer = block_on(agent.answer(Method::PUT, &url, body.into()))?;
            match answer.status.is_success() {
                true => Ok(()),
                false => {
                    let text = String::from_utf8_lossy(&answer.body).into_owned();
                    // Asked for what cannot be had: as much a misuse as a word that is none.
                    if answer.status == hyper::StatusCode::NOT_IMPLEMENTED {
                        return Err(Failure::Misuse(text));
                    }
                    Err(refused(answer.status, text))
                }
            }
        }
    }
}

fn list(agent: &Client, json: bool) -> Result<(), Failure> {
    let answer = block_on(agent.get(PATH))?;
    if json {
        return print_json(&answer);
    }
    let records: Vec<Record> = read_json(&answer)?;
    let lifetime = |r: &Record| r.lifetime_ms.map_or("-".to_owned(), |ms| format!("{ms}ms"));
    let rows = records.iter().map(|r| {
        let declared = if r.declared { "yes" } else { "no" }.to_owned();
        let hot = if r.hot { "on" } else { "off" }.to_owned();
        let words =
            [r.kind.clone(), r.consistency.clone(), r.mode.clone(), hot, lifetime(r), declared];
        [vec![plain(&r.name)], words.to_vec()].concat()
    });
    print_line(&table(
        &["NAME", "KIND", "CONSISTENCY", "MODE", "HOT", "LIFETIME", "DECLARED"],
        rows.collect(),
    ))
}
