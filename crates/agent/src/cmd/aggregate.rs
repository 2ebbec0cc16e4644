//! Decides how numbers over all members are asked for and put in on the command line.

use hyper::Method;
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::{block_on, print_json, print_line, read_json};
use crate::Failure;
use crate::args::Aggregate;
use crate::client::{Client, segment};

pub(crate) fn run(agent: &Client, command: Aggregate) -> Result<(), Failure> {
    match command {
        Aggregate::Sum(of) => tell(agent, &of.name, "/sum", of.json),
        Aggregate::Avg(of) => tell(agent, &of.name, "/avg", of.json),
        Aggregate::Min(of) => tell(agent, &of.name, "/min/value", of.json),
        Aggregate::Max(of) => tell(agent, &of.name, "/max/value", of.json),
        Aggregate::Count(of) => tell(agent, &of.name, "/count", of.json),
        Aggregate::Variance(of) => tell(agent, &of.name, "/variance", of.json),
        Aggregate::Quantile { of, q } => {
            if !(0.0..=1.0).contains(&q) {
                return Err(Failure::Misuse(format!("-q {q}: expected a number from 0 to 1")));
            }
            let answer = block_on(agent.get(&format!("{}?q={q}", path(&of.name))))?;
            show(&answer, &format!("/quantiles/{q}"), of.json)
        }
        Aggregate::Put { name, value, quantiles } => {
            if !value.is_finite() {
                return Err(Failure::Misuse(format!("VALUE {value}: expected a finite number")));
            }
            let asked = json!({ "value": value, "quantiles": quantiles }).to_string();
            block_on(agent.call(Method::PUT, &path(&name), asked.into())).map(|_| ())
        }
        Aggregate::Withdraw { name } => {
            block_on(agent.call(Method::DELETE, &path(&name), Bytes::new())).map(|_| ())
        }
        Aggregate::List { json } => {
            let answer = block_on(agent.get("/v1/tidings/aggregate"))?;
            if json {
                return print_json(&answer);
            }
            let names: Vec<String> = read_json(&answer)?;
            names.iter().try_for_each(|name| print_line(&super::plain(name)))
        }
    }
}

fn tell(agent: &Client, name: &str, pointer: &str, json: bool) -> Result<(), Failure> {
    show(&block_on(agent.get(&path(name)))?, pointer, json)
}

fn show(answer: &Bytes, pointer: &str, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(answer);
    }
    let record: Value = read_json(answer)?;
    match record.pointer(pointer).and_then(Value::as_f64) {
        Some(number) => print_line(&number.to_string()),
        None => Err(Failure::Failed(
            "nobody counts into the distribution: put with --quantiles".to_owned(),
        )),
    }
}

fn path(name: &str) -> String {
    format!("/v1/tidings/aggregate/{}", segment(name))
}
