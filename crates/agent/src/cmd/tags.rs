//! Decides how tags are written on the command line: `key=value`.

use std::collections::BTreeMap;

use super::{block_on, plain, print_json, print_line, read_json};
use crate::Failure;
use crate::args::Tags;
use crate::client::Client;

const PATH: &str = "/v1/tidings/tags";

pub(crate) fn run(agent: &Client, command: &Tags) -> Result<(), Failure> {
    let changes: BTreeMap<&str, Option<&str>> = match command {
        Tags::List { json } => return list(agent, *json),
        Tags::Set { tags } => tags
            .iter()
            .map(|tag| match tag.split_once('=').filter(|(key, _)| !key.is_empty()) {
                Some((key, value)) => Ok((key, Some(value))),
                None => Err(Failure::Misuse(format!("tag {tag:?}: expected KEY=VALUE"))),
            })
            .collect::<Result<_, Failure>>()?,
        Tags::Unset { keys } => keys.iter().map(|key| (key.as_str(), None)).collect(),
    };
    let body = serde_json::to_vec(&changes).map_err(|e| Failure::Failed(e.to_string()))?;
    block_on(agent.put(PATH, body)).map(|_| ())
}

fn list(agent: &Client, json: bool) -> Result<(), Failure> {
    let answer = block_on(agent.get(PATH))?;
    if json {
        return print_json(&answer);
    }
    let tags: BTreeMap<String, String> = read_json(&answer)?;
    for (key, value) in tags {
        print_line(&plain(&format!("{key}={value}")))?;
    }
    Ok(())
}
