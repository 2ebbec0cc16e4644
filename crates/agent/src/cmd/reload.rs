//! Decides what is shown of a reload: what changed, and what waits for a restart.

use serde_json::Value;

use super::{block_on, plain, print_json, print_line, read_json};
use crate::Failure;
use crate::args::Reload;
use crate::client::Client;

pub(crate) fn run(agent: &Client, flags: &Reload) -> Result<(), Failure> {
    let json = block_on(agent.put("/v1/tidings/reload", ""))?;
    if flags.json {
        return print_json(&json);
    }
    let reloaded: Value = read_json(&json)?;
    let names = |name: &str| {
        let keys = reloaded[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        keys.map(plain).collect::<Vec<_>>().join(", ")
    };
    let (changed, restart) = (names("changed"), names("needs_restart"));
    print_line(&format!("changed: {}", if changed.is_empty() { "nothing" } else { &changed }))?;
    match restart.is_empty() {
        true => Ok(()),
        false => print_line(&format!("needs a restart: {restart}")),
    }
}
