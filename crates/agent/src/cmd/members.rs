//! Decides how `members` shows the cluster.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{block_on, plain, print_json, print_line, read_json, table};
use crate::Failure;
use crate::args::Json;
use crate::client::Client;

#[derive(Deserialize)]
struct Member {
    name: String,
    addr: String,
    status: String,
    confirmed: bool,
    #[serde(default)]
    suppressed: bool,
    id: String,
    tags: BTreeMap<String, String>,
}

pub(crate) fn run(agent: &Client, flags: &Json) -> Result<(), Failure> {
    let json = block_on(agent.get("/v1/tidings/members"))?;
    if flags.json {
        return print_json(&json);
    }
    let members: Vec<Member> = read_json(&json)?;
    let rows = members.into_iter().map(row).collect();
    print_line(&table(&["NAME", "ADDRESS", "STATUS", "ID", "TAGS"], rows))
}

fn row(member: Member) -> Vec<String> {
    let tags: Vec<String> =
        member.tags.iter().map(|(key, value)| plain(&format!("{key}={value}"))).collect();
    let status = match member.confirmed || member.status != "failed" {
        true => member.status,
        false => format!("{} (unconfirmed)", member.status),
    };
    let status = if member.suppressed { format!("{status} (flaps)") } else { status };
    let id: String = member.id.chars().take(8).collect();
    vec![plain(&member.name), member.addr, status, id, tags.join(" ")]
}
