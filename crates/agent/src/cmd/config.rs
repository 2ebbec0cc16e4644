//! Decides how `config show` prints each setting, its value and its origin.

use serde_json::json;

use super::{print_json, print_line, table};
use crate::args::Config;
use crate::{Failure, config};

pub(crate) fn run(command: &Config) -> Result<(), Failure> {
    let Config::Show { agent, json } = command;
    let rows = config::load(agent)?.rows();
    if *json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(key, value, origin)| json!({ "key": key, "value": value, "origin": origin }))
            .collect();
        return print_json(json!(rows).to_string().as_bytes());
    }
    let rows = rows.into_iter().map(|(key, value, origin)| vec![key, value, origin]).collect();
    print_line(&table(&["SETTING", "VALUE", "ORIGIN"], rows))
}
